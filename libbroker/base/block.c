#include "libbroker/base/block.h"

#include <stdlib.h>

struct block *block_new(size_t size)
{
    struct block *b = malloc(sizeof *b + size);

    if (!b)
        return NULL;
    atomic_init(&b->refs, 1);
    b->size = size;
    return b;
}

struct block *block_resize(struct block *b, size_t size)
{
    struct block *r;

    if (!b)
        return block_new(size);
    r = realloc(b, sizeof *r + size);
    if (r)
        r->size = size;
    return r;
}

void block_unref(struct block *b)
{
    if (!b)
        return;
    if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_release) == 1) {
        /* An acquiring read instead of a fence: the thread sanitizer understands it. */
        (void)atomic_load_explicit(&b->refs, memory_order_acquire);
        free(b);
    }
}

struct block *block_pool_get(struct block_pool *pool, size_t size)
{
    if (size <= BLOCK_SMALL)
        return pool->small_n ? pool->small[--pool->small_n] : block_new(BLOCK_SMALL);
    if (size <= BLOCK_LARGE)
        return pool->large_n ? pool->large[--pool->large_n] : block_new(BLOCK_LARGE);
    return block_new(size);
}

void block_pool_put(struct block_pool *pool, struct block *b)
{
    if (!b)
        return;
    if (block_alone(b)) {
        if (b->size == BLOCK_SMALL && pool->small_n < BLOCK_SMALL_KEPT) {
            pool->small[pool->small_n++] = b;
            return;
        }
        if (b->size == BLOCK_LARGE && pool->large_n < BLOCK_LARGE_KEPT) {
            pool->large[pool->large_n++] = b;
            return;
        }
    }
    block_unref(b);
}

void block_pool_fini(struct block_pool *pool)
{
    while (pool->small_n)
        block_unref(pool->small[--pool->small_n]);
    while (pool->large_n)
        block_unref(pool->large[--pool->large_n]);
}
