/* pairs.h - hash table from two addresses to a number.
 *
 * Why      The topic tree asks "from this node, by this level, where?" and "this queue at this
 *          node, in which place?" all the time: one flat table, one cache miss.
 * Shape    Open addressing, linear probing, at most two thirds full; removal moves up what
 *          follows, so there are no tombstones. An empty table holds no memory. Zeroed memory
 *          is an empty table.
 * Errors   -ENOMEM, nothing changed.
 * Thread   The worker the core lives on. */
#ifndef BROKERD_CORE_PAIRS_H
#define BROKERD_CORE_PAIRS_H

#include "libbroker/base/hash.h"

#include <stddef.h>
#include <stdint.h>

struct pair {
    const void *a, *b; /* a NULL: a free slot */
    uintptr_t value;
};

struct pairs {
    struct pair *slots; /* mask + 1; NULL when empty */
    size_t mask, n;
    uint64_t seed;
};

/* Release all; the table is then empty. */
void pairs_fini(struct pairs *p);

/* Add a value, not 0, for (a, b), which has none yet; `a` is not NULL. -ENOMEM. */
int pairs_add(struct pairs *p, const void *a, const void *b, uintptr_t value);

/* Remove (a, b), which must be there. */
void pairs_del(struct pairs *p, const void *a, const void *b);

/* The slot of (a, b), whose value may be changed; NULL if there is none. */
static inline struct pair *pairs_find(const struct pairs *p, const void *a, const void *b)
{
    if (!p->slots)
        return NULL;
    for (size_t i = hash_pair(p->seed, (uintptr_t)a, (uintptr_t)b);; i++) {
        struct pair *s = &p->slots[i & p->mask];

        if (s->a == a && s->b == b)
            return s;
        if (!s->a)
            return NULL;
    }
}

#endif
