#include "brokerd/core/route.h"

#include <stdlib.h>

#include "libbroker/base/hash.h"

/* Of each scratch, that much is kept for the next topics. */
enum { SCRATCH_MAX = ROUTES_MAX_ONE / ROUTES_AHEAD };

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

/* Empty one place of the cache; that it is empty is fine. */
static void forget(struct routes *rs, struct route_cell *cell)
{
    struct route *r = cell->route;

    if (!r)
        return;
    cell->route = NULL;
    rs->queues -= r->n;
    route_unref(r);
}

/* Of those foreseen, let the ones before `upto` go. */
static void forget_ahead(struct routes *rs, unsigned upto)
{
    while (rs->ahead_at < upto)
        route_unref(rs->ahead[rs->ahead_at++]);
}

void routes_free(struct routes *rs)
{
    if (!rs)
        return;
    for (unsigned b = 0; b < ROUTES_BUCKETS; b++)
        for (unsigned i = 0; i < ROUTES_WAYS; i++)
            forget(rs, &rs->bucket[b][i]);
    forget_ahead(rs, rs->ahead_n);
    for (unsigned i = 0; i < ROUTES_AHEAD; i++)
        tree_result_fini(&rs->scratch[i]);
    free(rs);
}

bool route_catch_up(const struct routes *rs, struct route *r)
{
    if (tree_missed(rs->tree, r->version, topic_slice(r->topic), r->first_level))
        return false;
    r->version = *rs->version;
    return true;
}

/* The route that the tree has found. One reference, the caller's; NULL without memory. */
static struct route *route_make(const struct routes *rs, struct topic *topic,
                                const struct tree_result *found)
{
    struct route *r = malloc(sizeof *r + found->n * sizeof *r->queues);

    if (!r)
        return NULL;
    r->topic = topic_ref(topic);
    r->version = *rs->version;
    r->workers = found->workers;
    r->first_level = found->first_level;
    r->refs = 1;
    r->n = (uint32_t)found->n;
    if (found->n)
        memcpy(r->queues, found->queues, found->n * sizeof *r->queues);
    return r;
}

static bool is_of(const struct route_cell *cell, struct slice topic, uint32_t hash)
{
    return cell->hash == hash && cell->route && slice_eq(topic_slice(cell->route->topic), topic);
}

/* The place of `topic` in its bucket; that of the route used longest ago if it is not there. */
static unsigned place_of(const struct route_cell *bucket, struct slice topic, uint32_t hash)
{
    unsigned i = 0;

    while (i < ROUTES_WAYS - 1 && bucket[i].route && !is_of(&bucket[i], topic, hash))
        i++;
    return i;
}

/* Let routes go, bucket by bucket, until there is room for `n` queues more. */
static void make_room(struct routes *rs, size_t n)
{
    while (rs->queues + n > ROUTES_MAX_QUEUES) {
        struct route_cell *bucket = rs->bucket[rs->hand++ % ROUTES_BUCKETS];

        for (unsigned i = 0; i < ROUTES_WAYS; i++)
            forget(rs, &bucket[i]);
    }
}

/* Put `cell` first in its bucket, where the place `i` is free. */
static void put_first(struct route_cell *bucket, unsigned i, struct route_cell cell)
{
    memmove(bucket + 1, bucket, i * sizeof *bucket);
    bucket[0] = cell;
}

static void remember(struct routes *rs, struct route_cell *bucket, unsigned i, struct route *r)
{
    forget(rs, &bucket[i]);
    if (r->n > ROUTES_MAX_ONE) {
        /* no hole in the middle: place_of() stops at the first */
        memmove(bucket + i, bucket + i + 1, (ROUTES_WAYS - 1 - i) * sizeof *bucket);
        bucket[ROUTES_WAYS - 1].route = NULL;
        return;
    }
    make_room(rs, r->n);
    rs->queues += r->n;
    put_first(bucket, bucket[0].route ? i : 0, (struct route_cell){route_ref(r), r->topic->hash});
}

static struct route_cell *bucket_of(struct routes *rs, uint64_t hash)
{
    return rs->bucket[hash % ROUTES_BUCKETS];
}

/* The fresh route of `topic` if it is cached. One reference, the caller's. */
static struct route *cached(struct routes *rs, struct slice topic, uint64_t hash)
{
    struct route_cell *bucket = bucket_of(rs, hash);
    unsigned i = place_of(bucket, topic, (uint32_t)hash);
    struct route_cell cell = bucket[i];

    if (!is_of(&cell, topic, (uint32_t)hash) || !route_is_fresh(rs, cell.route))
        return NULL;
    put_first(bucket, i, cell);
    return route_ref(cell.route);
}

/* Make the route of `topic`, which was not there or not fresh, of what the tree has found. */
static struct route *make(struct routes *rs, struct slice topic, uint64_t hash,
                          struct tree_result *found)
{
    struct route_cell *bucket = bucket_of(rs, hash);
    unsigned i = place_of(bucket, topic, (uint32_t)hash);
    bool is_old = is_of(&bucket[i], topic, (uint32_t)hash);
    struct topic *name =
        is_old ? topic_ref(bucket[i].route->topic) : topic_new(topic, (uint32_t)hash);
    struct route *r = name ? route_make(rs, name, found) : NULL;

    topic_unref(name);
    if (r)
        remember(rs, bucket, i, r);
    if (found->cap > SCRATCH_MAX)
        tree_result_fini(found);
    return r;
}

/* The fresh route of `topic` if it was foreseen: without its hash, and without a look into the
 * cache. One reference, the caller's. Who asks for another topic leaves those that were not asked
 * for so far. */
static struct route *foreseen(struct routes *rs, struct slice topic)
{
    for (unsigned i = rs->ahead_at; i < rs->ahead_n; i++) {
        struct route *r = rs->ahead[i];

        if (!r || !slice_eq(topic_slice(r->topic), topic))
            continue;
        forget_ahead(rs, i);
        if (!route_is_fresh(rs, r))
            return NULL;
        rs->ahead_at++;
        return r;
    }
    forget_ahead(rs, rs->ahead_n);
    return NULL;
}

struct route *route_get(struct routes *rs, struct slice topic)
{
    struct route *r = foreseen(rs, topic);
    uint64_t hash;

    if (r)
        return r;
    hash = hash_bytes(rs->seed, topic);
    r = cached(rs, topic, hash);
    if (r || tree_match(rs->tree, topic, &rs->scratch[0]) < 0)
        return r;
    return make(rs, topic, hash, &rs->scratch[0]);
}

struct route *const *routes_foresee(struct routes *rs, const struct slice *topics, unsigned n)
{
    struct slice topic[ROUTES_AHEAD];
    unsigned at[ROUTES_AHEAD], missing = 0;
    uint64_t hash[ROUTES_AHEAD];

    forget_ahead(rs, rs->ahead_n);
    rs->ahead_at = 0;
    rs->ahead_n = n;
    for (unsigned i = 0; i < n; i++) {
        hash[missing] = hash_bytes(rs->seed, topics[i]);
        rs->ahead[i] = cached(rs, topics[i], hash[missing]);
        if (rs->ahead[i])
            continue;
        topic[missing] = topics[i];
        at[missing++] = i;
    }
    if (!missing || tree_match_all(rs->tree, topic, missing, rs->scratch) < 0)
        return rs->ahead;
    for (unsigned i = 0; i < missing; i++) {
        struct route *r = make(rs, topic[i], hash[i], &rs->scratch[i]);

        if (r && r->n > SCRATCH_MAX) { /* too much to be held for one message */
            route_unref(r);
            r = NULL;
        }
        rs->ahead[at[i]] = r;
    }
    return rs->ahead;
}
