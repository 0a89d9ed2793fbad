#include "brokerd/core/pairs.h"

#include <errno.h>
#include <stdlib.h>

enum { PAIRS_MIN = 8 };

void pairs_fini(struct pairs *p)
{
    free(p->slots);
    p->slots = NULL;
    p->mask = p->n = 0;
}

/* Where (a, b) belongs if nobody is in the way. */
static size_t home(const struct pairs *p, const struct pair *s)
{
    return hash_pair(p->seed, (uintptr_t)s->a, (uintptr_t)s->b) & p->mask;
}

static void insert(struct pairs *p, struct pair s)
{
    size_t i = home(p, &s);

    while (p->slots[i].a)
        i = (i + 1) & p->mask;
    p->slots[i] = s;
}

/* Move all into `size` slots, a power of two above the number of them. */
static int rehash(struct pairs *p, size_t size)
{
    struct pairs wider = {.mask = size - 1, .n = p->n, .seed = p->seed};

    wider.slots = calloc(size, sizeof *wider.slots);
    if (!wider.slots)
        return -ENOMEM;
    for (size_t i = 0; p->slots && i <= p->mask; i++)
        if (p->slots[i].a)
            insert(&wider, p->slots[i]);
    free(p->slots);
    *p = wider;
    return 0;
}

int pairs_add(struct pairs *p, const void *a, const void *b, uintptr_t value)
{
    int r = 0;

    if (!p->slots)
        r = rehash(p, PAIRS_MIN);
    else if ((p->n + 1) * 3 > (p->mask + 1) * 2)
        r = rehash(p, (p->mask + 1) * 2);
    if (r < 0)
        return r;
    insert(p, (struct pair){a, b, value});
    p->n++;
    return 0;
}

void pairs_del(struct pairs *p, const void *a, const void *b)
{
    size_t hole = (size_t)(pairs_find(p, a, b) - p->slots);

    for (size_t i = (hole + 1) & p->mask; p->slots[i].a; i = (i + 1) & p->mask) {
        /* what may not stand before its home stays */
        if (((i - home(p, &p->slots[i])) & p->mask) < ((i - hole) & p->mask))
            continue;
        p->slots[hole] = p->slots[i];
        hole = i;
    }
    p->slots[hole] = (struct pair){0};
    p->n--;
    if (p->n == 0)
        pairs_fini(p);
    else if (p->mask + 1 > PAIRS_MIN && p->n < (p->mask + 1) / 8)
        (void)rehash(p, (p->mask + 1) / 2); /* if not, it stays as it is */
}
