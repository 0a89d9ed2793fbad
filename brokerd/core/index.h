/* index.h - things found again by a hash of whatever makes them what they are.
 *
 * Why      The topic tree asks "from this node, by this level, where?" all the time. A slot has
 *          half the hash, so hardly anything but the thing itself is ever looked at: two cache
 *          misses.
 * Shape    Open addressing, linear probing, at most two thirds full; removal moves up what
 *          follows, so there are no tombstones. Two things may have one hash: whoever searches
 *          compares.
 *              size_t at = hash;
 *              while ((e = index_next(x, hash, &at)) && !what_I_seek(e))
 *                  ;
 *          An empty index holds no memory. Zeroed memory is an empty index.
 * Owner    Things are the user's, and never NULL.
 * Errors   -ENOMEM, nothing changed.
 * Thread   The worker the core lives on. */
#ifndef BROKERD_CORE_INDEX_H
#define BROKERD_CORE_INDEX_H

#include <stddef.h>
#include <stdint.h>

/* 12 bytes, not 16: 13 less for each of 10,000 subscribers, and more of them in cache. */
struct __attribute__((packed)) index_slot {
    uint32_t hash; /* its lower half */
    void *thing;   /* NULL: free */
};

struct index {
    struct index_slot *slots; /* mask + 1; NULL when empty */
    size_t mask, n;
};

/* Release all; the index is then empty. */
void index_fini(struct index *x);

/* Add a thing. -ENOMEM. */
int index_add(struct index *x, uint64_t hash, void *thing);

/* Remove a thing, which must be there under this hash. */
void index_del(struct index *x, uint64_t hash, const void *thing);

/* Put `other` in the place of a thing, which must be there under this hash. */
void index_replace(struct index *x, uint64_t hash, const void *thing, void *other);

/* The next thing with this hash; NULL if there are no more. `*at` is `hash` at first, then
 * what the last call made of it. */
static inline void *index_next(const struct index *x, uint64_t hash, size_t *at)
{
    if (!x->slots)
        return NULL;
    for (;;) {
        const struct index_slot *s = &x->slots[(*at)++ & x->mask];

        if (!s->thing || s->hash == (uint32_t)hash)
            return s->thing;
    }
}

#endif
