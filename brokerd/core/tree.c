/* The tree as it changes; how it lies in memory: tree_node.h. */
#include "brokerd/core/tree.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "brokerd/core/tree_node.h"
#include "libbroker/base/name.h"

/* Where a node with several queues has one of them. */
struct binding {
    const struct node *node;
    const void *queue;
    uint32_t place; /* in the node's queues */
};

/* The way to where a filter ends: its levels, and the key of what each leads to. */
struct way {
    struct slice level[NAME_MAX_LEVELS];
    uint64_t key[NAME_MAX_LEVELS];
    unsigned n;
    uint32_t first; /* tree_result.first_level of what it may match */
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

static struct node *child_find(const struct tree *t, const struct node *n, struct slice name,
                               uint64_t key)
{
    if (!has_children(n))
        return NULL;
    if (is_level(name, '*'))
        return fork_of(n)->star;
    if (is_level(name, '#'))
        return fork_of(n)->rest;
    return edge_find(t, n, name, key);
}

/* Make the edge from its parent to `child`. */
static int child_link(struct tree *t, struct node *child, uint64_t key)
{
    struct slice name = node_name(child);
    struct fork *f = fork_of(child->parent);

    if (is_level(name, '*')) {
        f->star = child;
        return 0;
    }
    if (is_level(name, '#')) {
        f->rest = child;
        return 0;
    }
    return index_add(&t->edges, key, child);
}

/* Memory for a node, zeroed. */
static struct node *node_new(size_t name_n, bool forks)
{
    size_t before = forks ? sizeof(struct fork) : 0;
    char *memory = calloc(1, before + offsetof(struct node, name) + name_n);
    struct node *n;

    if (!memory)
        return NULL;
    n = (struct node *)(void *)(memory + before);
    n->forks = forks;
    n->name_n = (uint8_t)name_n;
    return n;
}

static void node_release(struct node *n)
{
    if (n->room)
        free(n->queues.many);
    free(n->forks ? (void *)fork_of(n) : n);
}

/* A child of `n`, which forks. */
static struct node *child_make(struct tree *t, struct node *n, struct slice name, uint64_t key,
                               bool forks)
{
    struct node *child = node_new(name.n, forks);

    if (!child)
        return NULL;
    child->parent = n;
    memcpy(child->name, name.p, name.n);
    if (child_link(t, child, key) < 0) {
        node_release(child);
        return NULL;
    }
    fork_of(n)->children++;
    t->nodes_n++;
    return child;
}

static void node_free(struct tree *t, struct node *n, uint64_t key)
{
    struct fork *f = fork_of(n->parent);

    if (f->star == n)
        f->star = NULL;
    else if (f->rest == n)
        f->rest = NULL;
    else
        index_del(&t->edges, key, n);
    f->children--;
    t->nodes_n--;
    node_release(n);
}

/* What takes the place of `n`, which does not fork, and does. NULL without memory. */
static struct node *node_fork(struct tree *t, struct node *n, uint64_t key)
{
    struct fork *f = fork_of(n->parent);
    struct node *other = node_new(n->name_n, true);

    if (!other)
        return NULL;
    memcpy(other, n, offsetof(struct node, name) + n->name_n);
    other->forks = true;
    if (f->star == n)
        f->star = other;
    else if (f->rest == n)
        f->rest = other;
    else
        index_replace(&t->edges, key, n, other);
    free(n);
    return other;
}

/* Free `n`, `depth` levels down the way, and what leads to it, as far as nothing else needs it. */
static void prune(struct tree *t, struct node *n, const struct way *way, unsigned depth)
{
    while (depth && !has_children(n) && !n->n && !n->workers) {
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
            child = child_make(t, n, way->level[i], way->key[i], i + 1 < way->n);
        else if (!child->forks && i + 1 < way->n)
            child = node_fork(t, child, way->key[i]);
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
    if (n->n && !n->forks) {
        n = node_fork(t, n, way.key[way.n - 1]);
        if (!n)
            return -ENOMEM;
    }
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

/* ------------------------------------------------------------------------ the tree as such */

struct tree *tree_new(uint64_t seed)
{
    struct tree *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->seed = seed;
    t->root.forks = true;
    return t;
}

/* Free the wildcards below `n`. Named nodes are freed by their index. */
static void free_wildcards(struct node *n)
{
    struct node *below[2] = {NULL, NULL};

    if (n->forks) {
        below[0] = fork_of(n)->star;
        below[1] = fork_of(n)->rest;
    }
    for (int i = 0; i < 2; i++) {
        if (!below[i])
            continue;
        free_wildcards(below[i]);
        node_release(below[i]);
    }
}

void tree_free(struct tree *t)
{
    if (!t)
        return;
    for (size_t i = 0; t->edges.slots && i <= t->edges.mask; i++) {
        struct node *n = t->edges.slots[i].thing;

        if (!n)
            continue;
        free_wildcards(n);
        node_release(n);
    }
    free_wildcards(&t->root);
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
