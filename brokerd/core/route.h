/* route.h - answers of the tree, remembered per topic.
 *
 * Why      A publisher sends thousands of messages to one topic: it looks up once and then
 *          asks, with one comparison, whether that is still right.
 * Shape    A route is what tree_match() said of one topic at one version. Routes are immutable
 *          but for their version. A cache keeps up to ROUTES_MAX of them, four to a bucket,
 *          the one used longest ago giving way; its routes hold at most ROUTES_MAX_QUEUES
 *          queues in all, and a route with a good part of that is not kept.
 * Owner    Counted references, not atomic. A route dropped by the cache lives on with those
 *          who hold it. Its queues are borrowed: they may be touched only after
 *          route_is_fresh() has said yes, and until the tree is changed again.
 * Thread   The worker the core lives on. */
#ifndef BROKERD_CORE_ROUTE_H
#define BROKERD_CORE_ROUTE_H

#include "brokerd/core/message.h"
#include "brokerd/core/tree.h"

enum {
    ROUTES_WAYS = 4,
    ROUTES_BUCKETS = 256,
    ROUTES_MAX = ROUTES_WAYS * ROUTES_BUCKETS,
    ROUTES_MAX_QUEUES = 1 << 18, /* 2 MiB of pointers */
    ROUTES_MAX_ONE = ROUTES_MAX_QUEUES / 8,
    ROUTES_AHEAD = TREE_AHEAD, /* topics that are looked up together at most */
};

struct route {
    struct topic *topic;  /* one reference */
    uint64_t version;     /* of the tree, when it was last known to be right */
    uint64_t workers;     /* other workers with an interest, a bit each */
    uint32_t first_level; /* of the topic, for tree_missed() */
    uint32_t refs;
    uint32_t n;
    void *queues[]; /* n of them, each once */
};

/* A place of the cache. */
struct route_cell {
    struct route *route; /* one reference, or NULL */
    uint32_t hash;       /* of its topic: it is not read to see that it is another */
};

/* The cache; its fields are route.c's own. */
struct routes {
    const struct tree *tree;
    const uint64_t *version; /* tree_version(tree) */
    uint64_t seed;
    size_t queues; /* in all cached routes */
    unsigned hand; /* bucket that gives way next when there are too many queues */
    struct tree_result scratch[ROUTES_AHEAD];
    struct route
        *ahead[ROUTES_AHEAD]; /* of routes_foresee(), not asked for yet: from ahead_at on */
    unsigned ahead_at, ahead_n;
    struct route_cell bucket[ROUTES_BUCKETS][ROUTES_WAYS]; /* the one used last first */
};

/* An empty cache of answers of `tree`, which must outlive it. `seed` keys its hash:
 * unguessable. NULL without memory. */
struct routes *routes_new(const struct tree *tree, uint64_t seed);

/* Free the cache; routes that are held elsewhere live on, but may not be asked about any
 * more. NULL is fine. */
void routes_free(struct routes *rs);

/* The route of `topic`, fresh; one reference, the caller's. NULL without memory. */
struct route *route_get(struct routes *rs, struct slice topic);

/* `n` topics, at most ROUTES_AHEAD, are asked for next, in this order: have what it takes read from
 * memory for all of them at once. Returns their routes, borrowed until any function but
 * route_is_fresh() is called; NULL those there was no memory for, or that are very long. */
struct route *const *routes_foresee(struct routes *rs, const struct slice *topics, unsigned n);

struct route *route_ref(struct route *r);
void route_unref(struct route *r); /* NULL is fine */

/* The slow half of route_is_fresh(). */
bool route_catch_up(const struct routes *rs, struct route *r);

/* Whether `r`, made by `rs`, is what tree_match() would say now; if not, drop it and
 * route_get() another. One comparison while the tree does not change. After changes it looks
 * through those it missed: it may say no where nothing changed, never yes where something did. */
static inline bool route_is_fresh(const struct routes *rs, struct route *r)
{
    return r->version == *rs->version || route_catch_up(rs, r);
}

#endif
