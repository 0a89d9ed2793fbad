/* A node is one level of some filters; a filter ends at the node its last level leads to:
 *
 *      orders.eu.*      root -orders-> A -eu-> B -*-> C          C: its queues, its workers
 *      orders.#                        A -#-> D
 *
 * Named edges are in `edges`, under a hash of the node they come from and the level's name; the
 * name itself lies in the node they lead to, which a walk is about to read anyway. (Interning
 * the names first took two cache misses more for each level, and more memory.)
 * Always: a node but the root has a child, a queue or a worker, or it is not there. */
#include "brokerd/core/tree.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "brokerd/core/index.h"
#include "libbroker/base/hash.h"
#include "libbroker/base/list.h"
#include "libbroker/base/name.h"

struct node {
    struct node *parent; /* NULL: the root */
    struct node *star, *rest;
    uint64_t hash;     /* in `edges` */
    uint32_t children; /* with those two */
    uint32_t n, cap;   /* queues; cap 0: at most one, in `one` */
    uint8_t name_n;
    uint64_t workers;
    union {
        void *one;
        void **many;
    } queues;
    struct list_node link; /* in tree.nodes */
    /* name_n bytes follow: node_name() */
};

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
    uint64_t version; /* that of the last change */
    uint64_t seed;
    struct index edges;    /* struct node, by parent and name */
    struct index bindings; /* struct binding, by node and queue */
    struct list nodes;     /* all but the root, in the order they came */
    size_t nodes_n;
    struct node root;
    struct change log[TREE_LOG]; /* of version v: [v % TREE_LOG] */
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
    return n->cap ? n->queues.many : (void **)&n->queues.one;
}

static struct slice node_name(const struct node *n)
{
    return slice_of(n + 1, n->name_n);
}

static uint64_t hash_edge(const struct tree *t, const struct node *n, uint64_t level_hash)
{
    return hash_pair(t->seed, (uintptr_t)n, level_hash);
}

/* Where the edge from `n` with this name leads; NULL: nowhere. */
static struct node *edge_find(const struct tree *t, const struct node *n, struct slice name,
                              uint64_t level_hash)
{
    uint64_t hash = hash_edge(t, n, level_hash);
    size_t at = hash;
    struct node *child;

    while ((child = index_next(&t->edges, hash, &at)) != NULL)
        if (child->parent == n && slice_eq(node_name(child), name))
            break;
    return child;
}

static struct node *child_find(const struct tree *t, const struct node *n, struct slice name)
{
    if (is_level(name, '*'))
        return n->star;
    if (is_level(name, '#'))
        return n->rest;
    return edge_find(t, n, name, hash_level(t, name));
}

/* Make the edge from its parent to `child`. */
static int child_link(struct tree *t, struct node *child)
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
    child->hash = hash_edge(t, n, hash_level(t, name));
    return index_add(&t->edges, child->hash, child);
}

static struct node *child_make(struct tree *t, struct node *n, struct slice name)
{
    struct node *child = calloc(1, sizeof *child + name.n);

    if (!child)
        return NULL;
    child->parent = n;
    child->name_n = (uint8_t)name.n;
    memcpy(child + 1, name.p, name.n);
    if (child_link(t, child) < 0) {
        free(child);
        return NULL;
    }
    n->children++;
    list_push_back(&t->nodes, &child->link);
    t->nodes_n++;
    return child;
}

static void node_free(struct tree *t, struct node *n)
{
    struct node *parent = n->parent;

    if (parent->star == n)
        parent->star = NULL;
    else if (parent->rest == n)
        parent->rest = NULL;
    else
        index_del(&t->edges, n->hash, n);
    parent->children--;
    list_remove(&n->link);
    t->nodes_n--;
    if (n->cap)
        free(n->queues.many);
    free(n);
}

/* Free `n` and what leads to it, as far as nothing else needs it. */
static void prune(struct tree *t, struct node *n)
{
    while (n != &t->root && !n->children && !n->n && !n->workers) {
        struct node *parent = n->parent;

        node_free(t, n);
        n = parent;
    }
}

/* The node where `filter` ends; NULL if there is none. */
static struct node *node_find(struct tree *t, struct slice filter)
{
    struct node *n = &t->root;
    struct slice level;
    bool more = true;

    while (more && n) {
        more = cut_level(&filter, &level);
        n = child_find(t, n, level);
    }
    return n;
}

/* The same, made if there is none. NULL without memory. */
static struct node *node_make(struct tree *t, struct slice filter)
{
    struct node *n = &t->root;
    struct slice level;
    bool more = true;

    while (more) {
        struct node *child;

        more = cut_level(&filter, &level);
        child = child_find(t, n, level);
        if (!child)
            child = child_make(t, n, level);
        if (!child) {
            prune(t, n);
            return NULL;
        }
        n = child;
    }
    return n;
}

/* -------------------------------------------------------------------------------- the log */

/* Something has changed for `filter`. Cannot fail: what finds no memory concerns everybody. */
static void note_change(struct tree *t, struct slice filter)
{
    struct change *c = &t->log[++t->version % TREE_LOG];
    struct slice rest = filter, level;

    free(c->filter);
    (void)cut_level(&rest, &level);
    c->filter = malloc(filter.n);
    c->any_first = !c->filter || is_level(level, '*') || is_level(level, '#');
    c->first = tree_first_level(t, filter);
    c->len = (uint8_t)filter.n;
    if (c->filter)
        memcpy(c->filter, filter.p, filter.n);
}

const uint64_t *tree_version(const struct tree *t)
{
    return &t->version;
}

uint32_t tree_first_level(const struct tree *t, struct slice topic)
{
    struct slice level;

    (void)cut_level(&topic, &level);
    return (uint32_t)hash_level(t, level);
}

bool tree_missed(const struct tree *t, uint64_t version, struct slice topic, uint32_t first)
{
    if (t->version - version > TREE_LOG)
        return true;
    while (version != t->version) {
        const struct change *c = &t->log[++version % TREE_LOG];

        if (!c->any_first && c->first != first)
            continue;
        if (!c->filter || name_filter_matches(slice_of(c->filter, c->len), topic))
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------------------- bindings */

/* Room for one more queue. */
static int queues_widen(struct node *n)
{
    uint32_t cap = n->cap ? n->cap * 2 : 4;
    void **many;

    if (n->n < (n->cap ? n->cap : 1))
        return 0;
    many = n->cap ? realloc(n->queues.many, cap * sizeof *many) : malloc(cap * sizeof *many);
    if (!many)
        return -ENOMEM;
    if (!n->cap)
        many[0] = n->queues.one;
    n->queues.many = many;
    n->cap = cap;
    return 0;
}

/* Give room back after one has gone. */
static void queues_narrow(struct node *n)
{
    void **many = n->queues.many;

    if (!n->cap || n->n >= n->cap / 4)
        return;
    if (n->n <= 1) {
        n->queues.one = n->n ? many[0] : NULL;
        n->cap = 0;
        free(many);
        return;
    }
    many = realloc(many, n->cap / 2 * sizeof *many);
    if (many) {
        n->queues.many = many;
        n->cap /= 2;
    }
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

/* Append `queue` to those of `n`. */
static int binding_make(struct tree *t, struct node *n, void *queue)
{
    struct binding *b = malloc(sizeof *b);

    if (!b || queues_widen(n) < 0 || index_add(&t->bindings, hash_binding(t, n, queue), b) < 0) {
        free(b);
        return -ENOMEM;
    }
    *b = (struct binding){n, queue, n->n};
    node_queues(n)[n->n++] = queue;
    return 0;
}

/* Take a queue out of those of `n`; the last one takes its place. */
static void binding_drop(struct tree *t, struct node *n, struct binding *b)
{
    void **queues = node_queues(n);
    void *last = queues[--n->n];

    queues[b->place] = last;
    binding_find(t, n, last)->place = b->place;
    index_del(&t->bindings, hash_binding(t, n, b->queue), b);
    free(b);
    queues_narrow(n);
}

int tree_bind(struct tree *t, struct slice filter, void *queue)
{
    struct node *n;

    assert(queue && filter.n && filter.n <= NAME_MAX_BYTES);
    n = node_make(t, filter);
    if (!n)
        return -ENOMEM;
    if (binding_find(t, n, queue))
        return -EEXIST;
    if (binding_make(t, n, queue) < 0) {
        prune(t, n);
        return -ENOMEM;
    }
    note_change(t, filter);
    return n->n == 1;
}

int tree_unbind(struct tree *t, struct slice filter, void *queue)
{
    struct node *n = node_find(t, filter);
    struct binding *b = n ? binding_find(t, n, queue) : NULL;
    bool last;

    if (!b)
        return -ENOENT;
    binding_drop(t, n, b);
    last = n->n == 0;
    prune(t, n);
    note_change(t, filter);
    return last;
}

int tree_interest(struct tree *t, struct slice filter, unsigned worker, bool on)
{
    uint64_t bit = UINT64_C(1) << worker;
    struct node *n = node_find(t, filter);

    assert(worker < 64 && filter.n && filter.n <= NAME_MAX_BYTES);
    if ((n && n->workers & bit) == on)
        return 0;
    if (!n)
        n = node_make(t, filter);
    if (!n)
        return -ENOMEM;
    n->workers ^= bit;
    prune(t, n);
    note_change(t, filter);
    return 1;
}

/* -------------------------------------------------------------------------------- matching */

struct walk {
    const struct tree *t;
    struct tree_result *result;
    struct slice rest;                   /* of the topic, not yet cut into levels */
    struct slice level[NAME_MAX_LEVELS]; /* those cut so far, and their hashes */
    uint64_t hash[NAME_MAX_LEVELS];
    unsigned cut, levels; /* how many are cut, and how many there are */
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

/* Where the edge with the topic's name at `depth` leads; cut and hashed when first needed. */
static const struct node *named_child(struct walk *w, const struct node *n, unsigned depth)
{
    for (; w->cut <= depth; w->cut++) {
        (void)cut_level(&w->rest, &w->level[w->cut]);
        w->hash[w->cut] = hash_level(w->t, w->level[w->cut]);
    }
    return edge_find(w->t, n, w->level[depth], w->hash[depth]);
}

/* All filters that go through `n` and match from `depth` on. Recurses as deep as a filter is. */
static int walk_from(struct walk *w, const struct node *n, unsigned depth)
{
    bool wild = depth > 0 || !w->of_the_broker;
    const struct node *child;
    int r = 0;

    if (n->rest && wild)
        r = collect(w, n->rest);
    if (r < 0 || (depth == w->levels && (r = collect(w, n)) < 0))
        return r;
    if (depth == w->levels || !n->children || depth == NAME_MAX_LEVELS)
        return 0;
    child = named_child(w, n, depth);
    if (child)
        r = walk_from(w, child, depth + 1);
    if (r == 0 && n->star && wild)
        r = walk_from(w, n->star, depth + 1);
    return r;
}

static unsigned count_levels(struct slice topic)
{
    unsigned levels = 1;

    for (size_t i = 0; i < topic.n; i++)
        levels += topic.p[i] == '.';
    return levels;
}

int tree_match(const struct tree *t, struct slice topic, struct tree_result *result)
{
    struct walk w;
    int r;

    w.t = t;
    w.result = result;
    w.rest = topic;
    w.cut = 0;
    w.levels = count_levels(topic);
    w.of_the_broker = of_the_broker(topic);
    w.seen = (struct index){0};
    result->n = 0;
    result->workers = 0;
    r = walk_from(&w, &t->root, 0);
    index_fini(&w.seen);
    if (r < 0) {
        result->n = 0;
        result->workers = 0;
    }
    return r;
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
    list_init(&t->nodes);
    return t;
}

void tree_free(struct tree *t)
{
    struct list_node *l, *next;

    if (!t)
        return;
    for (l = list_first(&t->nodes); l; l = next) {
        struct node *n = LIST_ITEM(l, struct node, link);

        next = list_next(&t->nodes, l);
        if (n->cap)
            free(n->queues.many);
        free(n);
    }
    for (int i = 0; i < TREE_LOG; i++)
        free(t->log[i].filter);
    for (size_t i = 0; t->bindings.slots && i <= t->bindings.mask; i++)
        free(t->bindings.slots[i].thing);
    index_fini(&t->edges);
    index_fini(&t->bindings);
    free(t);
}

/* Write the filter that ends at `n`, from the end of `buf` backwards. */
static struct slice node_filter(const struct node *n, char *buf, size_t size)
{
    char *p = buf + size;

    for (; n->parent; n = n->parent) {
        if (p < buf + size)
            *--p = '.';
        p -= n->name_n;
        memcpy(p, node_name(n).p, n->name_n);
    }
    return slice_of(p, (size_t)(buf + size - p));
}

void tree_each(const struct tree *t, bool (*fn)(void *ctx, const struct tree_filter *f), void *ctx)
{
    bool more = true;

    for (struct list_node *l = list_first(&t->nodes); l && more; l = list_next(&t->nodes, l)) {
        const struct node *n = LIST_ITEM(l, struct node, link);
        char buf[NAME_MAX_BYTES];
        struct tree_filter f;

        if (!n->n && !n->workers)
            continue;
        f.filter = node_filter(n, buf, sizeof buf);
        f.queues = node_queues(n);
        f.queues_n = n->n;
        f.workers = n->workers;
        more = fn(ctx, &f);
    }
}

struct tree_counts tree_counts(const struct tree *t)
{
    return (struct tree_counts){t->nodes_n, t->bindings.n};
}
