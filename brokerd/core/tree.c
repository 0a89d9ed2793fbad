/* A node is one level of some filters; a filter ends at the node its last level leads to:
 *
 *      orders.eu.*      root -orders-> A -eu-> B -*-> C          C: its queues, its workers
 *      orders.#                        A -#-> D
 *
 * Named edges are in `edges`, under (node, level); a level is known by the address of its entry
 * in `levels`, whose value counts the edges that bear the name.
 * Always: a node but the root has a child, a queue or a worker, or it is not there. */
#include "brokerd/core/tree.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "brokerd/core/pairs.h"
#include "libbroker/base/list.h"
#include "libbroker/base/map.h"
#include "libbroker/base/name.h"

struct node {
    struct map_entry *level; /* NULL: the root, a `*` or a `#` */
    struct node *parent;     /* NULL: the root */
    struct node *star, *rest;
    size_t children; /* with those two */
    uint64_t workers;
    uint32_t n, cap; /* queues; cap 0: at most one, in `one` */
    union {
        void *one;
        void **many;
    } queues;
    struct list_node link; /* in tree.nodes */
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
    struct map levels;     /* name -> number of edges */
    struct pairs edges;    /* (node, level) -> node */
    struct pairs bindings; /* (node, queue) -> place in the node's queues, from 1 */
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

static struct map_entry *level_take(struct tree *t, struct slice name)
{
    struct map_entry *e = map_find(&t->levels, name);

    if (!e)
        return map_add(&t->levels, name, (void *)(uintptr_t)1);
    e->value = (void *)((uintptr_t)e->value + 1);
    return e;
}

static void level_drop(struct tree *t, struct map_entry *e)
{
    uintptr_t edges = (uintptr_t)e->value - 1;

    if (edges)
        e->value = (void *)edges;
    else
        map_remove(&t->levels, e);
}

/* ----------------------------------------------------------------------------------- nodes */

static void **node_queues(const struct node *n)
{
    return n->cap ? n->queues.many : (void **)&n->queues.one;
}

static struct node *child_by(const struct tree *t, const struct node *n,
                             const struct map_entry *level)
{
    const struct pair *edge = pairs_find(&t->edges, n, level);

    return edge ? (struct node *)edge->value : NULL;
}

static struct node *child_find(const struct tree *t, const struct node *n, struct slice name)
{
    const struct map_entry *level;

    if (is_level(name, '*'))
        return n->star;
    if (is_level(name, '#'))
        return n->rest;
    level = map_find(&t->levels, name);
    return level ? child_by(t, n, level) : NULL;
}

/* Make the edge to a new child. */
static int child_link(struct tree *t, struct node *child, struct slice name)
{
    struct node *n = child->parent;
    int r;

    if (is_level(name, '*')) {
        n->star = child;
        return 0;
    }
    if (is_level(name, '#')) {
        n->rest = child;
        return 0;
    }
    child->level = level_take(t, name);
    if (!child->level)
        return -ENOMEM;
    r = pairs_add(&t->edges, n, child->level, (uintptr_t)child);
    if (r < 0)
        level_drop(t, child->level);
    return r;
}

static struct node *child_make(struct tree *t, struct node *n, struct slice name)
{
    struct node *child = calloc(1, sizeof *child);

    if (!child)
        return NULL;
    child->parent = n;
    if (child_link(t, child, name) < 0) {
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
    if (n->level) {
        pairs_del(&t->edges, parent, n->level);
        level_drop(t, n->level);
    }
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
    return (uint32_t)hash_bytes(t->seed, level);
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

int tree_bind(struct tree *t, struct slice filter, void *queue)
{
    struct node *n;

    assert(queue && filter.n && filter.n <= NAME_MAX_BYTES);
    n = node_make(t, filter);
    if (!n)
        return -ENOMEM;
    if (pairs_find(&t->bindings, n, queue))
        return -EEXIST;
    if (queues_widen(n) < 0 || pairs_add(&t->bindings, n, queue, (uintptr_t)n->n + 1) < 0) {
        prune(t, n);
        return -ENOMEM;
    }
    node_queues(n)[n->n++] = queue;
    note_change(t, filter);
    return n->n == 1;
}

int tree_unbind(struct tree *t, struct slice filter, void *queue)
{
    struct node *n = node_find(t, filter);
    const struct pair *binding = n ? pairs_find(&t->bindings, n, queue) : NULL;
    uintptr_t place;
    void **queues;
    bool last;

    if (!binding)
        return -ENOENT;
    place = binding->value;
    queues = node_queues(n);
    n->n--;
    if (place - 1 != n->n) { /* the last one takes its place */
        queues[place - 1] = queues[n->n];
        pairs_find(&t->bindings, n, queues[place - 1])->value = place;
    }
    pairs_del(&t->bindings, n, queue);
    queues_narrow(n);
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
    struct slice rest;                              /* of the topic, not yet looked up */
    const struct map_entry *level[NAME_MAX_LEVELS]; /* NULL: nobody has such an edge */
    unsigned looked, levels;                        /* levels looked up, and how many there are */
    bool of_the_broker;
    struct pairs seen; /* (queue, NULL) for all in the result, once there are many */
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

/* Whether `queue` is in the result: 1 or 0; -ENOMEM. */
static int seen(struct walk *w, const void *queue)
{
    const struct tree_result *r = w->result;

    if (r->n < SEEN_FROM) {
        for (size_t i = 0; i < r->n; i++)
            if (r->queues[i] == queue)
                return 1;
        return 0;
    }
    for (size_t i = w->seen.n; i < r->n; i++)
        if (pairs_add(&w->seen, r->queues[i], NULL, 1) < 0)
            return -ENOMEM;
    return pairs_find(&w->seen, queue, NULL) != NULL;
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

/* The level at `depth`, looked up when it is first needed. */
static const struct map_entry *level_at(struct walk *w, unsigned depth)
{
    while (w->looked <= depth) {
        struct slice level;

        (void)cut_level(&w->rest, &level);
        w->level[w->looked++] = map_find(&w->t->levels, level);
    }
    return w->level[depth];
}

/* All filters that go through `n` and match from `depth` on. Recurses as deep as a filter is. */
static int walk_from(struct walk *w, const struct node *n, unsigned depth)
{
    bool wild = depth > 0 || !w->of_the_broker;
    const struct map_entry *level;
    const struct node *child;
    int r = 0;

    if (n->rest && wild)
        r = collect(w, n->rest);
    if (r < 0 || (depth == w->levels && (r = collect(w, n)) < 0))
        return r;
    if (depth == w->levels || !n->children || depth == NAME_MAX_LEVELS)
        return 0;
    level = level_at(w, depth);
    child = level ? child_by(w->t, n, level) : NULL;
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
    w.looked = 0;
    w.levels = count_levels(topic);
    w.of_the_broker = of_the_broker(topic);
    w.seen = (struct pairs){.seed = t->seed};
    result->n = 0;
    result->workers = 0;
    r = walk_from(&w, &t->root, 0);
    pairs_fini(&w.seen);
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
    t->edges.seed = t->bindings.seed = seed;
    map_init(&t->levels, seed);
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
    pairs_fini(&t->edges);
    pairs_fini(&t->bindings);
    map_fini(&t->levels);
    free(t);
}

/* Write the filter that ends at `n`, from the end of `buf` backwards. */
static struct slice node_filter(const struct node *n, char *buf, size_t size)
{
    char *p = buf + size;

    for (; n->parent; n = n->parent) {
        struct slice level = n == n->parent->star ? SLICE("*") : SLICE("#");

        if (n->level)
            level = map_key(n->level);
        if (p < buf + size)
            *--p = '.';
        p -= level.n;
        memcpy(p, level.p, level.n);
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
    return (struct tree_counts){t->nodes_n, map_len(&t->levels), t->bindings.n};
}
