/* A node is one level of some filters; a filter ends at the node its last level leads to:
 *
 *      orders.eu.*      root -orders-> A -eu-> B -*-> C          C: its queues, its workers
 *      orders.#                        A -#-> D
 *
 * Named edges are in `edges`, under a hash of the whole path; the level's name itself lies in the
 * node they lead to, which a walk is about to read anyway; its hash does not: whoever comes down
 * the tree has it at hand. (Interning the names first took two
 * cache misses more for each level, and more memory.) Since the topic alone tells the hash of each
 * literal path, a walk has all of them fetched at once before it begins: see tree_match().
 * A node has its queues in a list; only where there are several does an index say who is where.
 * Always: a node but the root has a child, a queue or a worker, or it is not there. */
#include "brokerd/core/tree.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "brokerd/core/index.h"
#include "libbroker/base/hash.h"
#include "libbroker/base/name.h"

struct node {
    struct node *parent; /* NULL: the root */
    struct node *star, *rest;
    uint64_t workers;
    union {
        void *one;
        void **many;
    } queues;
    uint32_t children; /* with star and rest */
    uint32_t n;        /* queues */
    uint8_t room;      /* for 2^room of them in `many`; 0: at most one, in `one` */
    uint8_t name_n;
    char name[]; /* name_n bytes: up to 6 of them, and all this is 64 bytes of heap */
};

/* Where a node with several queues has one of them. */
struct binding {
    const struct node *node;
    const void *queue;
    uint32_t place; /* in the node's queues */
};

/* A filter that something has changed for. */
struct change {
    uint32_t first; /* tree_first_level() of what it may match */
    bool any_first; /* its first level is a wildcard */
    uint8_t len;
    char *filter; /* NULL: there was no memory, so it may have been any */
};

struct tree {
    uint64_t version;      /* that of the last change */
    uint64_t seed;         /* and key of the root */
    struct index edges;    /* struct node with a name, by the key of its path */
    struct index bindings; /* struct binding, by node and queue */
    size_t nodes_n, bindings_n;
    struct change log[TREE_LOG]; /* of version v: [v % TREE_LOG] */
    struct node root;            /* last: it ends with its name, of which it has none */
};

/* ---------------------------------------------------------------------------------- levels */

/* Take the first level off a name that has one. False: it was the last. */
static bool cut_level(struct slice *rest, struct slice *ret_level)
{
    const uint8_t *dot = rest->n ? memchr(rest->p, '.', rest->n) : NULL;

    *ret_level = slice_of(rest->p, dot ? (size_t)(dot - rest->p) : rest->n);
    if (dot)
        *rest = slice_from(*rest, ret_level->n + 1);
    return dot != NULL;
}

static bool is_level(struct slice level, uint8_t wildcard)
{
    return level.n == 1 && level.p[0] == wildcard;
}

static bool of_the_broker(struct slice topic)
{
    return topic.n && topic.p[0] == '$';
}

static uint64_t hash_level(const struct tree *t, struct slice level)
{
    return hash_bytes(t->seed, level);
}

/* ----------------------------------------------------------------------------------- nodes */

static void **node_queues(const struct node *n)
{
    return n->room ? n->queues.many : (void **)&n->queues.one;
}

static struct slice node_name(const struct node *n)
{
    return slice_of(n->name, n->name_n);
}

/* The key of what `level_hash` leads to from the node with key `from`. */
static uint64_t key_of(uint64_t from, uint64_t level_hash)
{
    return hash_pair(0, from, level_hash);
}

/* In a key, for a wildcard: it is found without. */
enum { WILD_HASH = 0 };

/* The way to where a filter ends: its levels, and the key of what each leads to. */
struct way {
    struct slice level[NAME_MAX_LEVELS];
    uint64_t key[NAME_MAX_LEVELS];
    unsigned n;
    uint32_t first; /* tree_first_level() of the topics it may match */
    bool any_first; /* its first level is a wildcard */
};

static void find_way(const struct tree *t, struct slice filter, struct way *ret)
{
    uint64_t key = t->seed, hash;
    bool more = true;

    for (ret->n = 0; more; ret->n++) {
        struct slice *level = &ret->level[ret->n];
        bool wild;

        assert(ret->n < NAME_MAX_LEVELS);
        more = cut_level(&filter, level);
        wild = is_level(*level, '*') || is_level(*level, '#');
        hash = wild ? WILD_HASH : hash_level(t, *level);
        key = ret->key[ret->n] = key_of(key, hash);
        if (ret->n == 0) {
            ret->first = (uint32_t)hash;
            ret->any_first = wild;
        }
    }
}

/* Where the edge from `n` with this name leads, `key` being that of the way there; NULL: nowhere.
 */
static struct node *edge_find(const struct tree *t, const struct node *n, struct slice name,
                              uint64_t key)
{
    size_t at = key;
    struct node *child;

    while ((child = index_next(&t->edges, key, &at)) != NULL)
        if (child->parent == n && slice_eq(node_name(child), name))
            break;
    return child;
}

static struct node *child_find(const struct tree *t, const struct node *n, struct slice name,
                               uint64_t key)
{
    if (is_level(name, '*'))
        return n->star;
    if (is_level(name, '#'))
        return n->rest;
    return edge_find(t, n, name, key);
}

/* Make the edge from its parent to `child`. */
static int child_link(struct tree *t, struct node *child, uint64_t key)
{
    struct slice name = node_name(child);
    struct node *n = child->parent;

    if (is_level(name, '*')) {
        n->star = child;
        return 0;
    }
    if (is_level(name, '#')) {
        n->rest = child;
        return 0;
    }
    return index_add(&t->edges, key, child);
}

static struct node *child_make(struct tree *t, struct node *n, struct slice name, uint64_t key)
{
    struct node *child = calloc(1, offsetof(struct node, name) + name.n);

    if (!child)
        return NULL;
    child->parent = n;
    child->name_n = (uint8_t)name.n;
    memcpy(child->name, name.p, name.n);
    if (child_link(t, child, key) < 0) {
        free(child);
        return NULL;
    }
    n->children++;
    t->nodes_n++;
    return child;
}

static void node_free(struct tree *t, struct node *n, uint64_t key)
{
    struct node *parent = n->parent;

    if (parent->star == n)
        parent->star = NULL;
    else if (parent->rest == n)
        parent->rest = NULL;
    else
        index_del(&t->edges, key, n);
    parent->children--;
    t->nodes_n--;
    if (n->room)
        free(n->queues.many);
    free(n);
}

/* Free `n`, `depth` levels down the way, and what leads to it, as far as nothing else needs it. */
static void prune(struct tree *t, struct node *n, const struct way *way, unsigned depth)
{
    while (depth && !n->children && !n->n && !n->workers) {
        struct node *parent = n->parent;

        node_free(t, n, way->key[--depth]);
        n = parent;
    }
}

/* The node at the end of the way; NULL if there is none. */
static struct node *node_find(struct tree *t, const struct way *way)
{
    struct node *n = &t->root;

    for (unsigned i = 0; i < way->n && n; i++)
        n = child_find(t, n, way->level[i], way->key[i]);
    return n;
}

/* The same, made if there is none. NULL without memory. */
static struct node *node_make(struct tree *t, const struct way *way)
{
    struct node *n = &t->root;

    for (unsigned i = 0; i < way->n; i++) {
        struct node *child = child_find(t, n, way->level[i], way->key[i]);

        if (!child)
            child = child_make(t, n, way->level[i], way->key[i]);
        if (!child) {
            prune(t, n, way, i);
            return NULL;
        }
        n = child;
    }
    return n;
}

/* -------------------------------------------------------------------------------- the log */

/* Something has changed for `filter`. Cannot fail: what finds no memory concerns everybody. */
static void note_change(struct tree *t, struct slice filter, const struct way *way)
{
    struct change *c = &t->log[++t->version % TREE_LOG];

    free(c->filter);
    c->filter = malloc(filter.n);
    c->any_first = !c->filter || way->any_first;
    c->first = way->first;
    c->len = (uint8_t)filter.n;
    if (c->filter)
        memcpy(c->filter, filter.p, filter.n);
}

const uint64_t *tree_version(const struct tree *t)
{
    return &t->version;
}

/* Filters compared before a new walk is cheaper: all that come and go may have the first level in
 * common, and then 1,000 changes took 26 us to look through. */
enum { COMPARED_MAX = 32 };

bool tree_missed(const struct tree *t, uint64_t version, struct slice topic, uint32_t first)
{
    unsigned compared = 0;

    if (t->version - version > TREE_LOG)
        return true;
    while (version != t->version) {
        const struct change *c = &t->log[++version % TREE_LOG];

        if (!c->any_first && c->first != first)
            continue;
        if (!c->filter || ++compared > COMPARED_MAX ||
            name_filter_matches(slice_of(c->filter, c->len), topic))
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------------------- bindings */

/* Have room for 2^room queues, several. -ENOMEM, which matters only if that is more. */
static int queues_resize(struct node *n, uint8_t room)
{
    size_t size = ((size_t)1 << room) * sizeof(void *);
    void **many = n->room ? realloc(n->queues.many, size) : malloc(size);

    if (!many)
        return -ENOMEM;
    if (!n->room)
        many[0] = n->queues.one;
    n->queues.many = many;
    n->room = room;
    return 0;
}

/* Room for one more queue. */
static int queues_widen(struct node *n)
{
    if (n->n < UINT32_C(1) << n->room)
        return 0;
    return queues_resize(n, n->room ? n->room + 1 : 2);
}

/* Give room back after one has gone. */
static void queues_narrow(struct node *n)
{
    void **many = n->queues.many;

    if (!n->room || n->n >= UINT32_C(1) << n->room >> 2)
        return;
    if (n->n <= 1) {
        n->queues.one = n->n ? many[0] : NULL;
        n->room = 0;
        free(many);
        return;
    }
    (void)queues_resize(n, n->room - 1);
}

static uint64_t hash_binding(const struct tree *t, const struct node *n, const void *queue)
{
    return hash_pair(t->seed, (uintptr_t)n, (uintptr_t)queue);
}

static struct binding *binding_find(const struct tree *t, const struct node *n, const void *queue)
{
    uint64_t hash = hash_binding(t, n, queue);
    size_t at = hash;
    struct binding *b;

    while ((b = index_next(&t->bindings, hash, &at)) != NULL)
        if (b->node == n && b->queue == queue)
            break;
    return b;
}

/* Whether `queue` is bound to `n`; where there are several, *ret says more. */
static bool is_bound(const struct tree *t, const struct node *n, const void *queue,
                     struct binding **ret)
{
    *ret = n->room ? binding_find(t, n, queue) : NULL;
    return n->room ? *ret != NULL : n->n && n->queues.one == queue;
}

/* Note that `n`, which has several, has `queue` at `place`. */
static int binding_note(struct tree *t, const struct node *n, const void *queue, uint32_t place)
{
    struct binding *b = malloc(sizeof *b);

    if (!b || index_add(&t->bindings, hash_binding(t, n, queue), b) < 0) {
        free(b);
        return -ENOMEM;
    }
    *b = (struct binding){n, queue, place};
    return 0;
}

static void binding_free(struct tree *t, struct binding *b)
{
    index_del(&t->bindings, hash_binding(t, b->node, b->queue), b);
    free(b);
}

/* From one to several: the first is noted, too. */
static int queues_become_many(struct tree *t, struct node *n)
{
    if (binding_note(t, n, n->queues.one, 0) < 0)
        return -ENOMEM;
    if (queues_widen(n) == 0)
        return 0;
    binding_free(t, binding_find(t, n, n->queues.one));
    return -ENOMEM;
}

/* Append `queue` to those of `n`. */
static int queue_add(struct tree *t, struct node *n, void *queue)
{
    int r = 0;

    if (n->n && !n->room)
        r = queues_become_many(t, n);
    else if (n->room)
        r = queues_widen(n);
    if (r == 0 && n->room)
        r = binding_note(t, n, queue, n->n);
    if (r < 0)
        return r;
    node_queues(n)[n->n++] = queue;
    t->bindings_n++;
    return 0;
}

/* Take a queue out of those of `n`; the last one takes its place. `b`: of is_bound(). */
static void queue_remove(struct tree *t, struct node *n, struct binding *b)
{
    void **queues = node_queues(n);
    void *last = queues[--n->n];

    if (b) {
        queues[b->place] = last;
        binding_find(t, n, last)->place = b->place;
        binding_free(t, b);
    }
    t->bindings_n--;
    queues_narrow(n);
    if (b && !n->room && n->n) /* the only one again */
        binding_free(t, binding_find(t, n, n->queues.one));
}

int tree_bind(struct tree *t, struct slice filter, void *queue)
{
    struct binding *b;
    struct way way;
    struct node *n;

    assert(queue && filter.n && filter.n <= NAME_MAX_BYTES);
    find_way(t, filter, &way);
    n = node_make(t, &way);
    if (!n)
        return -ENOMEM;
    if (is_bound(t, n, queue, &b))
        return -EEXIST;
    if (queue_add(t, n, queue) < 0) {
        prune(t, n, &way, way.n);
        return -ENOMEM;
    }
    note_change(t, filter, &way);
    return n->n == 1;
}

int tree_unbind(struct tree *t, struct slice filter, void *queue)
{
    struct binding *b;
    struct way way;
    struct node *n;
    bool last;

    find_way(t, filter, &way);
    n = node_find(t, &way);
    if (!n || !is_bound(t, n, queue, &b))
        return -ENOENT;
    queue_remove(t, n, b);
    last = n->n == 0;
    prune(t, n, &way, way.n);
    note_change(t, filter, &way);
    return last;
}

int tree_interest(struct tree *t, struct slice filter, unsigned worker, bool on)
{
    uint64_t bit = UINT64_C(1) << worker;
    struct way way;
    struct node *n;

    assert(worker < 64 && filter.n && filter.n <= NAME_MAX_BYTES);
    find_way(t, filter, &way);
    n = node_find(t, &way);
    if ((n && n->workers & bit) == on)
        return 0;
    if (!n)
        n = node_make(t, &way);
    if (!n)
        return -ENOMEM;
    n->workers ^= bit;
    prune(t, n, &way, way.n);
    note_change(t, filter, &way);
    return 1;
}

/* -------------------------------------------------------------------------------- matching */

struct walk {
    const struct tree *t;
    struct tree_result *result;
    struct slice level[NAME_MAX_LEVELS]; /* of the topic, and their hashes */
    uint64_t hash[NAME_MAX_LEVELS];
    unsigned levels; /* how many; one above NAME_MAX_LEVELS: more than a filter has */
    bool of_the_broker;
    struct index seen; /* queues in the result, once there are many */
};

/* Up to so many queues are compared one by one to find those that matched before. */
enum { SEEN_FROM = 16 };

static int result_reserve(struct tree_result *r, size_t more)
{
    size_t cap = r->cap ? r->cap : 8;
    void **queues;

    if (more <= r->cap - r->n)
        return 0;
    while (cap < r->n + more)
        cap *= 2;
    queues = realloc(r->queues, cap * sizeof *queues);
    if (!queues)
        return -ENOMEM;
    r->queues = queues;
    r->cap = cap;
    return 0;
}

static uint64_t hash_queue(const struct walk *w, const void *queue)
{
    return hash_pair(w->t->seed, (uintptr_t)queue, 0);
}

/* Whether `queue` is in the result: 1 or 0; -ENOMEM. */
static int seen(struct walk *w, const void *queue)
{
    const struct tree_result *r = w->result;
    uint64_t hash = hash_queue(w, queue);
    size_t at = hash;
    const void *before;

    if (r->n < SEEN_FROM) {
        for (size_t i = 0; i < r->n; i++)
            if (r->queues[i] == queue)
                return 1;
        return 0;
    }
    for (size_t i = w->seen.n; i < r->n; i++)
        if (index_add(&w->seen, hash_queue(w, r->queues[i]), r->queues[i]) < 0)
            return -ENOMEM;
    do {
        before = index_next(&w->seen, hash, &at);
    } while (before && before != queue);
    return before != NULL;
}

/* A filter that ends here matches. */
static int collect(struct walk *w, const struct node *n)
{
    struct tree_result *r = w->result;
    void **queues = node_queues(n);
    bool alone = r->n == 0; /* a node has each queue once */

    r->workers |= n->workers;
    if (result_reserve(r, n->n) < 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < n->n; i++) {
        int before = alone ? 0 : seen(w, queues[i]);

        if (before < 0)
            return before;
        if (!before)
            r->queues[r->n++] = queues[i];
    }
    return 0;
}

/* All filters that go through `n`, whose key is `key`, and match from `depth` on. Recurses as deep
 * as a filter is. */
static int walk_from(struct walk *w, const struct node *n, uint64_t key, unsigned depth)
{
    bool wild = depth > 0 || !w->of_the_broker;
    const struct node *child;
    uint64_t to;
    int r = 0;

    if (n->rest && wild)
        r = collect(w, n->rest);
    if (r < 0 || (depth == w->levels && (r = collect(w, n)) < 0))
        return r;
    if (depth == w->levels || !n->children || depth == NAME_MAX_LEVELS)
        return 0;
    to = key_of(key, w->hash[depth]);
    child = edge_find(w->t, n, w->level[depth], to);
    if (child)
        r = walk_from(w, child, to, depth + 1);
    if (r == 0 && n->star && wild)
        r = walk_from(w, n->star, key_of(key, WILD_HASH), depth + 1);
    return r;
}

void tree_fetch_places(const struct tree *t, struct slice topic, struct tree_path *ret)
{
    uint64_t key = t->seed;
    struct slice level;
    bool more = true;

    for (ret->n = 0; more && ret->n < TREE_PATH_LEVELS; ret->n++) {
        more = cut_level(&topic, &level);
        ret->hash[ret->n] = hash_level(t, level);
        key = ret->key[ret->n] = key_of(key, ret->hash[ret->n]);
        if (t->edges.slots)
            __builtin_prefetch(&t->edges.slots[key & t->edges.mask]);
    }
}

void tree_fetch_nodes(const struct tree *t, const struct tree_path *path)
{
    for (unsigned i = 0; i < path->n; i++) {
        size_t at = path->key[i];
        const char *node = index_next(&t->edges, path->key[i], &at);

        if (!node)
            break;
        __builtin_prefetch(node);
        __builtin_prefetch(node + 64);
    }
}

/* Cut the topic into levels. */
static void cut_topic(struct walk *w, struct slice topic, const struct tree_path *path)
{
    bool more = true;

    for (w->levels = 0; more && w->levels < NAME_MAX_LEVELS; w->levels++) {
        more = cut_level(&topic, &w->level[w->levels]);
        w->hash[w->levels] =
            w->levels < path->n ? path->hash[w->levels] : hash_level(w->t, w->level[w->levels]);
    }
    w->levels += more;
}

int tree_match_path(const struct tree *t, struct slice topic, const struct tree_path *path,
                    struct tree_result *result)
{
    struct walk w;
    int r;

    w.t = t;
    w.result = result;
    cut_topic(&w, topic, path);
    w.of_the_broker = of_the_broker(topic);
    w.seen = (struct index){0};
    result->n = 0;
    result->workers = 0;
    r = walk_from(&w, &t->root, t->seed, 0);
    index_fini(&w.seen);
    if (r < 0) {
        result->n = 0;
        result->workers = 0;
    }
    return r;
}

/* A walk that waits for one place and node after the other takes half as long again among 100,000
 * filters. */
int tree_match(const struct tree *t, struct slice topic, struct tree_result *result)
{
    struct tree_path path;

    tree_fetch_places(t, topic, &path);
    tree_fetch_nodes(t, &path);
    return tree_match_path(t, topic, &path, result);
}

void tree_result_fini(struct tree_result *result)
{
    free(result->queues);
    *result = (struct tree_result){0};
}

/* ------------------------------------------------------------------------ the tree as such */

struct tree *tree_new(uint64_t seed)
{
    struct tree *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->seed = seed;
    return t;
}

/* Free `n` and the wildcards below it. Named nodes are freed by their index. */
static void free_with_wildcards(struct node *n, bool itself)
{
    if (!n)
        return;
    free_with_wildcards(n->star, true);
    free_with_wildcards(n->rest, true);
    if (n->room)
        free(n->queues.many);
    if (itself)
        free(n);
}

void tree_free(struct tree *t)
{
    if (!t)
        return;
    for (size_t i = 0; t->edges.slots && i <= t->edges.mask; i++)
        free_with_wildcards(t->edges.slots[i].thing, true);
    free_with_wildcards(&t->root, false);
    for (int i = 0; i < TREE_LOG; i++)
        free(t->log[i].filter);
    for (size_t i = 0; t->bindings.slots && i <= t->bindings.mask; i++)
        free(t->bindings.slots[i].thing);
    index_fini(&t->edges);
    index_fini(&t->bindings);
    free(t);
}

struct tree_counts tree_counts(const struct tree *t)
{
    return (struct tree_counts){t->nodes_n, t->bindings_n};
}
