#include "brokerd/core/route.h"

#include <stdlib.h>

#include "libbroker/base/hash.h"

struct routes *routes_new(const struct tree *tree, uint64_t seed)
{
    struct routes *rs = calloc(1, sizeof *rs);

    if (!rs)
        return NULL;
    rs->tree = tree;
    rs->version = tree_version(tree);
    rs->seed = seed;
    return rs;
}

struct route *route_ref(struct route *r)
{
    r->refs++;
    return r;
}

void route_unref(struct route *r)
{
    if (!r || --r->refs > 0)
        return;
    topic_unref(r->topic);
    free(r);
}

/* Empty one place of the cache; NULL in it is fine. */
static void forget(struct routes *rs, struct route **place)
{
    struct route *r = *place;

    if (!r)
        return;
    *place = NULL;
    rs->queues -= r->n;
    route_unref(r);
}

void routes_free(struct routes *rs)
{
    if (!rs)
        return;
    for (unsigned b = 0; b < ROUTES_BUCKETS; b++)
        for (unsigned i = 0; i < ROUTES_WAYS; i++)
            forget(rs, &rs->bucket[b][i]);
    tree_result_fini(&rs->scratch);
    free(rs);
}

bool route_catch_up(const struct routes *rs, struct route *r)
{
    if (tree_missed(rs->tree, r->version, topic_slice(r->topic), r->first_level))
        return false;
    r->version = *rs->version;
    return true;
}

/* Ask the tree. One reference, the caller's; NULL without memory. */
static struct route *route_make(struct routes *rs, struct topic *topic,
                                const struct tree_path *path)
{
    struct tree_result *found = &rs->scratch;
    struct route *r = NULL;

    if (tree_match_path(rs->tree, topic_slice(topic), path, found) == 0)
        r = malloc(sizeof *r + found->n * sizeof *r->queues);
    if (r) {
        r->topic = topic_ref(topic);
        r->version = *rs->version;
        r->workers = found->workers;
        r->first_level = tree_first_level(path);
        r->refs = 1;
        r->n = (uint32_t)found->n;
        if (found->n)
            memcpy(r->queues, found->queues, found->n * sizeof *r->queues);
    }
    if (found->cap > ROUTES_MAX_ONE)
        tree_result_fini(found);
    return r;
}

/* The place of `topic` in its bucket; that of the route used longest ago if it is not there. */
static unsigned place_of(struct route *const *bucket, struct slice topic, uint32_t hash)
{
    unsigned i = 0;

    for (; i < ROUTES_WAYS - 1; i++) {
        const struct route *r = bucket[i];

        if (!r || (r->topic->hash == hash && slice_eq(topic_slice(r->topic), topic)))
            break;
    }
    return i;
}

/* Let routes go, bucket by bucket, until there is room for `n` queues more. */
static void make_room(struct routes *rs, size_t n)
{
    while (rs->queues + n > ROUTES_MAX_QUEUES) {
        struct route **bucket = rs->bucket[rs->hand++ % ROUTES_BUCKETS];

        for (unsigned i = 0; i < ROUTES_WAYS; i++)
            forget(rs, &bucket[i]);
    }
}

/* Put `r` first in its bucket, where the place `i` is free; the cache takes a reference. */
static void put_first(struct route **bucket, unsigned i, struct route *r)
{
    memmove(bucket + 1, bucket, i * sizeof(struct route *));
    bucket[0] = r;
}

static void remember(struct routes *rs, struct route **bucket, unsigned i, struct route *r)
{
    forget(rs, &bucket[i]);
    if (r->n > ROUTES_MAX_ONE) {
        /* no hole in the middle: place_of() stops at the first */
        memmove(bucket + i, bucket + i + 1, (ROUTES_WAYS - 1 - i) * sizeof(struct route *));
        bucket[ROUTES_WAYS - 1] = NULL;
        return;
    }
    make_room(rs, r->n);
    rs->queues += r->n;
    put_first(bucket, bucket[0] ? i : 0, route_ref(r));
}

static struct route **bucket_of(struct routes *rs, uint64_t hash)
{
    return rs->bucket[hash % ROUTES_BUCKETS];
}

/* The fresh route of `topic` if it is cached. One reference, the caller's. */
static struct route *cached(struct routes *rs, struct slice topic, uint64_t hash)
{
    struct route **bucket = bucket_of(rs, hash);
    unsigned i = place_of(bucket, topic, (uint32_t)hash);
    struct route *r = bucket[i];

    if (!r || !slice_eq(topic_slice(r->topic), topic) || !route_is_fresh(rs, r))
        return NULL;
    put_first(bucket, i, r);
    return route_ref(r);
}

/* Make the route of `topic`, which is not there or not fresh. */
static struct route *make(struct routes *rs, struct slice topic, uint64_t hash,
                          const struct tree_path *path)
{
    struct route **bucket = bucket_of(rs, hash);
    unsigned i = place_of(bucket, topic, (uint32_t)hash);
    bool is_old = bucket[i] && slice_eq(topic_slice(bucket[i]->topic), topic);
    struct topic *name = is_old ? topic_ref(bucket[i]->topic) : topic_new(topic, (uint32_t)hash);
    struct route *r;

    if (!name)
        return NULL;
    r = route_make(rs, name, path);
    topic_unref(name);
    if (r)
        remember(rs, bucket, i, r);
    return r;
}

struct route *route_get(struct routes *rs, struct slice topic)
{
    uint64_t hash = hash_bytes(rs->seed, topic);
    struct route *r = cached(rs, topic, hash);
    struct tree_path path;

    if (r)
        return r;
    tree_fetch_places(rs->tree, topic, &path);
    tree_fetch_nodes(rs->tree, &path);
    return make(rs, topic, hash, &path);
}

void routes_foresee(struct routes *rs, const struct slice *topics, unsigned n, struct route **ret)
{
    struct tree_path path[ROUTES_AHEAD];
    uint64_t hash[ROUTES_AHEAD];

    for (unsigned i = 0; i < n; i++) {
        hash[i] = hash_bytes(rs->seed, topics[i]);
        ret[i] = cached(rs, topics[i], hash[i]);
        if (!ret[i])
            tree_fetch_places(rs->tree, topics[i], &path[i]);
    }
    for (unsigned i = 0; i < n; i++)
        if (!ret[i])
            tree_fetch_nodes(rs->tree, &path[i]);
    for (unsigned i = 0; i < n; i++)
        if (!ret[i])
            ret[i] = make(rs, topics[i], hash[i], &path[i]);
}
