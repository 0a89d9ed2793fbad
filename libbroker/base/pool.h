/* pool.h - memory for many small objects of one thread, which come and go in large numbers.
 *
 * Why      A queue makes an object of each message it keeps and frees it when that is settled:
 *          with malloc this was a third of the path through a queue (430 of 1,200 instructions),
 *          and what a backlog had used stayed with the process when it was gone.
 * Shape    Size classes, four to a doubling, so that at most a fifth is lost to rounding. A class
 *          takes its objects from chunks of 64 KiB, aligned so that an object's address names its
 *          chunk: neither objects nor their owners carry anything for it. A chunk without objects
 *          is kept for any class, up to 2 MiB of them, or goes back to the system. Larger objects
 *          are malloc's.
 *          With the address sanitizer all objects are malloc's: it finds uses after free then.
 * Owner    Objects go back to the pool they are from, before pool_fini().
 * Errors   NULL without memory, nothing changed.
 * Thread   One at a time. */
#ifndef BROKER_BASE_POOL_H
#define BROKER_BASE_POOL_H

#include "libbroker/base/list.h"

#include <stddef.h>
#include <stdint.h>

enum {
    POOL_MIN = 64,     /* bytes of the smallest class */
    POOL_MAX = 8192,   /* bytes of the largest: 7 doublings */
    POOL_CLASSES = 29, /* 1 and 4 for each doubling */
};

struct pool_chunk;

struct pool {
    struct list open[POOL_CLASSES]; /* chunks with room, the one to take from first */
    struct pool_chunk *spare;       /* chunks without objects */
    unsigned spare_n;
    unsigned chunks; /* in all */
    uint64_t used;   /* objects that are out */
};

/* Make an empty pool. It must not be moved. */
void pool_init(struct pool *p);

/* Give everything back; all objects must have come back. */
void pool_fini(struct pool *p);

/* The class of objects of `n` bytes (up to POOL_MAX), and how many bytes its objects have. */
static inline unsigned pool_class(size_t n)
{
    unsigned top;

    if (n <= POOL_MIN)
        return 0;
    top = 63 - (unsigned)__builtin_clzll(n - 1); /* 2^top < n <= 2^(top + 1) */
    return 4 * (top - 6) + ((n - 1) >> (top - 2) & 3) + 1;
}

static inline uint32_t pool_class_size(unsigned cls)
{
    return cls ? (5 + (cls - 1) % 4) << (4 + (cls - 1) / 4) : POOL_MIN;
}

/* Bytes that an object of `n` bytes takes up. */
static inline size_t pool_room(size_t n)
{
    return n > POOL_MAX ? n : pool_class_size(pool_class(n));
}

/* An object of `n` bytes (at least 1), aligned as malloc aligns, bytes undefined. */
void *pool_get(struct pool *p, size_t n);

/* Give back an object and the `n` that pool_get() was asked for. */
void pool_put(struct pool *p, void *object, size_t n);

#endif
