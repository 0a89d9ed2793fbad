#include "brokerd/core/index.h"

#include <errno.h>
#include <stdlib.h>

enum { INDEX_MIN = 8 };

void index_fini(struct index *x)
{
    free(x->slots);
    *x = (struct index){0};
}

static void insert(struct index *x, struct index_slot s)
{
    size_t i = s.hash & x->mask;

    while (x->slots[i].thing)
        i = (i + 1) & x->mask;
    x->slots[i] = s;
}

/* Move all into `size` slots, a power of two above the number of them. */
static int rehash(struct index *x, size_t size)
{
    struct index other = {calloc(size, sizeof *other.slots), size - 1, x->n};

    if (!other.slots)
        return -ENOMEM;
    for (size_t i = 0; x->slots && i <= x->mask; i++)
        if (x->slots[i].thing)
            insert(&other, x->slots[i]);
    free(x->slots);
    *x = other;
    return 0;
}

int index_add(struct index *x, uint64_t hash, void *thing)
{
    int r = 0;

    if (!x->slots)
        r = rehash(x, INDEX_MIN);
    else if ((x->n + 1) * 3 > (x->mask + 1) * 2)
        r = rehash(x, (x->mask + 1) * 2);
    if (r < 0)
        return r;
    insert(x, (struct index_slot){(uint32_t)hash, thing});
    x->n++;
    return 0;
}

/* Free a slot, and let those behind it move up, each as far as its hash allows. */
static void vacate(struct index *x, size_t hole)
{
    for (size_t i = (hole + 1) & x->mask; x->slots[i].thing; i = (i + 1) & x->mask) {
        size_t from_home = (i - x->slots[i].hash) & x->mask;

        if (from_home < ((i - hole) & x->mask))
            continue;
        x->slots[hole] = x->slots[i];
        hole = i;
    }
    x->slots[hole] = (struct index_slot){0};
}

static size_t index_place(const struct index *x, uint64_t hash, const void *thing)
{
    size_t i = hash & x->mask;

    while (x->slots[i].thing != thing)
        i = (i + 1) & x->mask;
    return i;
}

void index_replace(struct index *x, uint64_t hash, const void *thing, void *other)
{
    x->slots[index_place(x, hash, thing)].thing = other;
}

void index_del(struct index *x, uint64_t hash, const void *thing)
{
    vacate(x, index_place(x, hash, thing));
    x->n--;
    if (x->n == 0)
        index_fini(x);
    else if (x->mask + 1 > INDEX_MIN && x->n < (x->mask + 1) / 8)
        (void)rehash(x, (x->mask + 1) / 2); /* if not, it stays as it is */
}
