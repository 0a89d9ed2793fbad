#include "brokerd/doors/rsocket/streams.h"

#include <errno.h>
#include <stdlib.h>

enum { SLOTS_MIN = 4 };

/* Ids of one connection are all odd or all even and mostly count up, so the upper bits of a
 * product spread them well; a peer that seeks collisions slows down only itself. */
static uint32_t home(const struct stream_table *t, uint32_t id)
{
    return (uint32_t)(id * UINT64_C(0x9e3779b1) >> 16) & (t->cap - 1);
}

struct stream *streams_find(const struct stream_table *t, uint32_t id)
{
    if (t->n == 0)
        return NULL;
    for (uint32_t i = home(t, id);; i = (i + 1) & (t->cap - 1)) {
        if (!t->slot[i] || t->slot[i]->id == id)
            return t->slot[i];
    }
}

static void put_slot(struct stream_table *t, struct stream *s)
{
    uint32_t i = home(t, s->id);

    while (t->slot[i])
        i = (i + 1) & (t->cap - 1);
    t->slot[i] = s;
}

static int resize(struct stream_table *t, uint32_t cap)
{
    struct stream_table larger = {calloc(cap, sizeof *larger.slot), cap, t->n};

    if (!larger.slot)
        return -ENOMEM;
    for (uint32_t i = 0; i < t->cap; i++) {
        if (t->slot[i])
            put_slot(&larger, t->slot[i]);
    }
    free(t->slot);
    *t = larger;
    return 0;
}

int streams_add(struct stream_table *t, struct stream *s)
{
    if (t->n + 1 > t->cap / 4 * 3) {
        int r = resize(t, t->cap ? t->cap * 2 : SLOTS_MIN);

        if (r < 0)
            return r;
    }
    put_slot(t, s);
    t->n++;
    return 0;
}

/* Close the gap at `hole`: what was pushed past it by a collision moves back. */
static void close_gap(struct stream_table *t, uint32_t hole)
{
    uint32_t mask = t->cap - 1;

    for (uint32_t i = (hole + 1) & mask; t->slot[i]; i = (i + 1) & mask) {
        uint32_t from_home = (i - home(t, t->slot[i]->id)) & mask;

        if (from_home < ((i - hole) & mask))
            continue; /* it would land before its home */
        t->slot[hole] = t->slot[i];
        hole = i;
    }
    t->slot[hole] = NULL;
}

void streams_remove(struct stream_table *t, const struct stream *s)
{
    uint32_t i = home(t, s->id);

    while (t->slot[i] != s)
        i = (i + 1) & (t->cap - 1);
    close_gap(t, i);
    t->n--;
    if (t->n == 0) {
        free(t->slot);
        *t = (struct stream_table){0};
    } else if (t->cap > 64 && t->n < t->cap / 8) {
        (void)resize(t, t->cap / 2); /* without memory the larger one will do */
    }
}

void streams_fini(struct stream_table *t)
{
    free(t->slot);
    *t = (struct stream_table){0};
}
