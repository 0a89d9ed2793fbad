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
    if (t->cap == 0) {
        for (uint32_t i = 0; i < t->n; i++)
            if (t->few[i]->id == id)
                return t->few[i];
        return NULL;
    }
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
    struct stream_table larger = {.slot = calloc(cap, sizeof *larger.slot), .cap = cap, .n = t->n};
    struct stream *s;
    uint32_t at = 0;

    if (!larger.slot)
        return -ENOMEM;
    while ((s = streams_next(t, &at)) != NULL)
        put_slot(&larger, s);
    streams_fini(t);
    *t = larger;
    return 0;
}

int streams_add(struct stream_table *t, struct stream *s)
{
    if (t->cap == 0 && t->n < STREAMS_FEW) {
        t->few[t->n++] = s;
        return 0;
    }
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
    uint32_t i;

    if (t->cap == 0) {
        for (i = 0; t->few[i] != s; i++)
            ;
        t->few[i] = t->few[--t->n];
        return;
    }
    i = home(t, s->id);
    while (t->slot[i] != s)
        i = (i + 1) & (t->cap - 1);
    close_gap(t, i);
    t->n--;
    if (t->n == 0)
        streams_fini(t);
    else if (t->cap > 64 && t->n < t->cap / 8)
        (void)resize(t, t->cap / 2); /* without memory the larger one will do */
}

struct stream *streams_next(const struct stream_table *t, uint32_t *at)
{
    if (t->cap == 0)
        return *at < t->n ? t->few[(*at)++] : NULL;
    while (*at < t->cap)
        if (t->slot[(*at)++])
            return t->slot[*at - 1];
    return NULL;
}

void streams_fini(struct stream_table *t)
{
    if (t->cap)
        free(t->slot);
    *t = (struct stream_table){0};
}
