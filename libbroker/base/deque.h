/* deque.h - elements of one size in the order they came, addressed by an index that only rises.
 *
 * Why      Queue slots, deliveries in flight, unsettled publishes: pushed at one end, dropped
 *          at the other, and looked up by number in between, so that an ack is an index and
 *          not a search.
 * Shape    Chunks of 64 elements hang from a ring of pointers; the chunk of an index is found
 *          by shifting and masking it. A chunk is released when the last of its elements is
 *          popped; one is kept spare while there are elements. An empty deque holds no memory.
 * Owner    The elements' bytes are the deque's; what they point to is the user's. An element
 *          stays where it is until it is popped.
 * Errors   NULL without memory, nothing changed.
 * Thread   One at a time. */
#ifndef BROKER_BASE_DEQUE_H
#define BROKER_BASE_DEQUE_H

#include <stddef.h>
#include <stdint.h>

enum { DEQUE_CHUNK_SHIFT = 6, DEQUE_CHUNK = 1 << DEQUE_CHUNK_SHIFT };

/* Always: the elements are first..end-1; ring is NULL exactly when there are none. */
struct deque {
    uint64_t first, end;
    char **ring; /* mask + 1 chunks; that of an index: ring[index >> SHIFT & mask] */
    char *spare; /* a chunk to use next, or NULL */
    uint32_t mask;
    uint32_t elem; /* bytes of an element */
};

/* Make an empty deque whose first element will have index 0. `elem_size`: bytes, 1 to 64 KiB;
 * elements are aligned as malloc aligns if it is a multiple of that alignment. */
void deque_init(struct deque *d, size_t elem_size);

/* Release all memory; the deque is then empty and goes on at deque_end(). Zeroed memory is fine. */
void deque_fini(struct deque *d);

/* Let the next element have this index. Only while the deque is empty. */
void deque_start_at(struct deque *d, uint64_t index);

/* The slow halves of what follows. */
void *deque_push_chunk(struct deque *d);
void deque_leave_chunk(struct deque *d);

static inline uint64_t deque_first(const struct deque *d)
{
    return d->first;
}

/* The index that the next element will have. */
static inline uint64_t deque_end(const struct deque *d)
{
    return d->end;
}

static inline uint64_t deque_len(const struct deque *d)
{
    return d->end - d->first;
}

/* Where the element `index` lies, which must be one that is there. */
static inline void *deque_slot(const struct deque *d, uint64_t index)
{
    return d->ring[index >> DEQUE_CHUNK_SHIFT & d->mask] +
           (size_t)(index & (DEQUE_CHUNK - 1)) * d->elem;
}

/* The element `index`; NULL if it is popped already or not pushed yet. */
static inline void *deque_at(const struct deque *d, uint64_t index)
{
    return index - d->first < d->end - d->first ? deque_slot(d, index) : NULL;
}

/* Append an element, its bytes undefined, with the index deque_end() had. NULL without memory. */
static inline void *deque_push(struct deque *d)
{
    if (!d->ring || (d->end & (DEQUE_CHUNK - 1)) == 0)
        return deque_push_chunk(d);
    return deque_slot(d, d->end++);
}

/* Drop the first element, which must be there. */
static inline void deque_pop(struct deque *d)
{
    d->first++;
    if (d->first == d->end || (d->first & (DEQUE_CHUNK - 1)) == 0)
        deque_leave_chunk(d);
}

/* Take back the element pushed last, which must be there; its index is the next one again. */
void deque_unpush(struct deque *d);

#endif
