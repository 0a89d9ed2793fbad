/* block.h - a piece of memory with a count of its holders.
 *
 * Why      Bytes are read from a socket once; a large payload among them is then held by
 *          queues and outputs, perhaps on several workers, without being copied again.
 * Owner    Whoever holds a reference. The last one to let go frees it.
 * Errors   NULL without memory.
 * Thread   The count is atomic (the only one in the project): references may be taken and
 *          dropped on any thread. The bytes are written by one thread, before it shares them. */
#ifndef BROKER_BASE_BLOCK_H
#define BROKER_BASE_BLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block {
    atomic_uint refs;
    size_t size; /* bytes usable at `bytes` */
    uint8_t bytes[];
};

/* A block of `size` bytes (at least 1) with one reference, the caller's; bytes undefined. */
struct block *block_new(size_t size);

/* Another size for `b` (NULL: a new block), whose only reference is the caller's: the bytes that
 * fit stay. The block to use from now on, the same or another; NULL without memory, `b` is as
 * before. */
struct block *block_resize(struct block *b, size_t size);

/* One more reference; returns `b`. */
static inline struct block *block_ref(struct block *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

/* Drop one reference, freeing at the last. NULL is fine. */
void block_unref(struct block *b);

/* Whether the caller's reference is the only one, so that the bytes may be written again. */
static inline bool block_alone(const struct block *b)
{
    return atomic_load_explicit(&b->refs, memory_order_acquire) == 1;
}

/* Idle blocks of two sizes, last in first out so that the next user finds them in cache. A crowd
 * that is answered at once takes a small one each; few of them are kept, what else it took is
 * anybody's again. One thread's; not shared. Zeroed memory is an empty pool. */
enum { BLOCK_SMALL = 4096 - 64, BLOCK_SMALL_KEPT = 8, BLOCK_LARGE = 65536, BLOCK_LARGE_KEPT = 64 };

struct block_pool {
    struct block *small[BLOCK_SMALL_KEPT], *large[BLOCK_LARGE_KEPT];
    unsigned small_n, large_n;
};

/* A block of at least `size` bytes: pooled if one fits, else new; the caller's reference. */
struct block *block_pool_get(struct block_pool *pool, size_t size);

/* Give the caller's reference back: kept for reuse when it is the last and there is room. */
void block_pool_put(struct block_pool *pool, struct block *b);

/* Free what the pool keeps. */
void block_pool_fini(struct block_pool *pool);

#endif
