#include "libbroker/base/deque.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

enum { RING_MIN = 4 };

static char **chunk_at(const struct deque *d, uint64_t index)
{
    return &d->ring[index >> DEQUE_CHUNK_SHIFT & d->mask];
}

void deque_init(struct deque *d, size_t elem_size)
{
    assert(elem_size >= 1 && elem_size <= 65536);
    *d = (struct deque){.elem = (uint32_t)elem_size};
}

void deque_fini(struct deque *d)
{
    if (d->ring) {
        uint64_t last = (d->end - 1) >> DEQUE_CHUNK_SHIFT;

        for (uint64_t c = d->first >> DEQUE_CHUNK_SHIFT; c <= last; c++)
            free(d->ring[c & d->mask]);
    }
    free(d->ring);
    free(d->spare);
    d->ring = NULL;
    d->spare = NULL;
    d->mask = 0;
    d->first = d->end;
}

void deque_start_at(struct deque *d, uint64_t index)
{
    assert(d->first == d->end);
    d->first = d->end = index;
}

/* A ring twice as large (or the first one) with the same chunks. */
static bool widen(struct deque *d)
{
    size_t size = d->ring ? ((size_t)d->mask + 1) * 2 : RING_MIN;
    char **ring = malloc(size * sizeof *ring);

    if (!ring)
        return false;
    if (d->ring) {
        uint64_t last = (d->end - 1) >> DEQUE_CHUNK_SHIFT;

        for (uint64_t c = d->first >> DEQUE_CHUNK_SHIFT; c <= last; c++)
            ring[c & (size - 1)] = d->ring[c & d->mask];
        free(d->ring);
    }
    d->ring = ring;
    d->mask = (uint32_t)(size - 1);
    return true;
}

/* Whether the chunk of index `end` would fall on that of the first element. */
static bool ring_full(const struct deque *d)
{
    uint64_t chunks = (d->end >> DEQUE_CHUNK_SHIFT) - (d->first >> DEQUE_CHUNK_SHIFT);

    return !d->ring || chunks > d->mask;
}

/* The first element of a chunk: of the next one, or (after deque_start_at) of the only one. */
void *deque_push_chunk(struct deque *d)
{
    char *chunk;

    if (ring_full(d) && !widen(d))
        return NULL;
    chunk = d->spare ? d->spare : malloc((size_t)d->elem * DEQUE_CHUNK);
    if (!chunk) {
        if (d->first == d->end) { /* an empty deque holds no memory */
            free(d->ring);
            d->ring = NULL;
        }
        return NULL;
    }
    d->spare = NULL;
    *chunk_at(d, d->end) = chunk;
    return deque_slot(d, d->end++);
}

/* A chunk holds no element any more, perhaps none is left at all. */
static void leave(struct deque *d, char *chunk)
{
    if (d->first == d->end) {
        free(chunk);
        free(d->spare);
        free(d->ring);
        d->spare = NULL;
        d->ring = NULL;
        d->mask = 0;
        return;
    }
    if (d->spare)
        free(chunk);
    else
        d->spare = chunk;
}

/* The first element has been dropped, and was the last of its chunk or of all. */
void deque_leave_chunk(struct deque *d)
{
    leave(d, *chunk_at(d, d->first - 1));
}

void deque_unpush(struct deque *d)
{
    char *chunk = *chunk_at(d, --d->end);

    if (d->first == d->end || (d->end & (DEQUE_CHUNK - 1)) == 0)
        leave(d, chunk);
}
