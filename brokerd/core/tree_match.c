/* Who wants the messages of a topic: walks through the tree, many of them side by side. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "brokerd/core/tree_node.h"
#include "libbroker/base/name.h"

/* What a walk still has to look at. Whatever that reads is fetched when the step is noted, and
 * meanwhile the walks of other topics take their steps. */
struct step {
    const struct node *node;
    uint64_t key; /* of the way to the node; of an edge's: to what it leads to */
    unsigned depth : 8;
    enum step_kind {
        STEP_PLACE, /* of the edge that leads on from the node, in the index */
        STEP_EDGE,  /* what is there */
        STEP_NODE,  /* go on from the node */
        STEP_END,   /* a filter that ends at the node matches */
        STEP_LIST,  /* the same, with several queues */
    } kind : 8;
};

/* Besides the node it has come to, each level leaves at most its `*` to be looked at. */
enum { STEPS_MAX = NAME_MAX_LEVELS + 4 };

struct walk {
    const struct tree *t;
    struct tree_result *result;
    unsigned levels; /* how many; one above NAME_MAX_LEVELS: more than a filter has */
    unsigned steps;
    bool of_the_broker;
    struct index seen; /* queues in the result, once there are many */
    struct step step[STEPS_MAX];
    struct slice level[NAME_MAX_LEVELS]; /* of the topic, and their hashes */
    uint64_t hash[NAME_MAX_LEVELS];
};

/* Levels of a topic that are fetched at once if it is alone. */
enum { LITERAL_MAX = 6 };

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

static void note_step(struct walk *w, struct step s)
{
    assert(w->steps < STEPS_MAX);
    w->step[w->steps++] = s;
}

static void fetch_node(const struct node *n)
{
    __builtin_prefetch(fork_of(n));
    __builtin_prefetch((const char *)fork_of(n) + 64); /* with that, and mostly with its name */
}

/* The node may end a filter that matches: look at it when it is there. */
static void note_end(struct walk *w, const struct node *n)
{
    fetch_node(n);
    note_step(w, (struct step){.node = n, .kind = STEP_END});
}

/* All filters that go through `n`, `depth` levels down the way with `key`, and match. */
static void visit(struct walk *w, const struct node *n, uint64_t key, unsigned depth)
{
    static const struct fork none;
    const struct fork *f = n->forks ? fork_of(n) : &none;
    bool wild = depth > 0 || !w->of_the_broker, on = depth < w->levels && depth < NAME_MAX_LEVELS;
    uint64_t to;

    if (on && f->star && wild) {
        fetch_node(f->star);
        note_step(w, (struct step){f->star, key_of(key, WILD_HASH), depth + 1, STEP_NODE});
    }
    if (on && f->children > (uint64_t)(f->star != NULL) + (f->rest != NULL)) {
        to = key_of(key, w->hash[depth]);
        __builtin_prefetch(&w->t->edges.slots[to & w->t->edges.mask]);
        note_step(w, (struct step){n, to, depth, STEP_PLACE});
    }
    if (depth == w->levels)
        note_step(w, (struct step){.node = n, .kind = STEP_END});
    if (f->rest && wild)
        note_end(w, f->rest);
}

/* The place of an edge is there: fetch what it may lead to. */
static void look_at_place(struct walk *w, struct step s)
{
    size_t at = s.key;
    const struct node *child = index_next(&w->t->edges, s.key, &at);

    if (!child)
        return;
    fetch_node(child);
    s.kind = STEP_EDGE;
    note_step(w, s);
}

static void follow_edge(struct walk *w, const struct step *s)
{
    const struct node *child = edge_find(w->t, s->node, w->level[s->depth], s->key);

    if (child)
        visit(w, child, s->key, s->depth + 1);
}

static int take_step(struct walk *w)
{
    struct step s = w->step[--w->steps];

    switch (s.kind) {
    case STEP_PLACE:
        look_at_place(w, s);
        break;
    case STEP_EDGE:
        follow_edge(w, &s);
        break;
    case STEP_NODE:
        visit(w, s.node, s.key, s.depth);
        break;
    case STEP_END:
        if (!s.node->room)
            return collect(w, s.node);
        __builtin_prefetch(s.node->queues.many);
        s.kind = STEP_LIST;
        note_step(w, s);
        break;
    case STEP_LIST:
        return collect(w, s.node);
    }
    return 0;
}

/* Cut the topic into levels. */
static void cut_topic(struct walk *w, struct slice topic)
{
    bool more = true;

    for (w->levels = 0; more && w->levels < NAME_MAX_LEVELS; w->levels++) {
        more = cut_level(&topic, &w->level[w->levels]);
        w->hash[w->levels] = hash_level(w->t, w->level[w->levels]);
    }
    w->levels += more;
}

static void begin_walk(struct walk *w, const struct tree *t, struct slice topic,
                       struct tree_result *result)
{
    w->t = t;
    w->result = result;
    w->steps = 0;
    w->of_the_broker = of_the_broker(topic);
    w->seen = (struct index){0};
    cut_topic(w, topic);
    result->n = 0;
    result->workers = 0;
    result->first_level = (uint32_t)w->hash[0];
    visit(w, &t->root, t->seed, 0);
}

/* A walk with no others to go on meanwhile: fetch the literal path, whose keys are known, at once.
 * Among 100,000 filters a walk that waits for one level after the other takes a third longer. */
static void fetch_literal_path(const struct walk *w)
{
    const struct index *edges = &w->t->edges;
    uint64_t key[LITERAL_MAX], way = w->t->seed;
    unsigned n = w->levels < LITERAL_MAX ? w->levels : LITERAL_MAX;

    for (unsigned i = 0; edges->slots && i < n; i++) {
        key[i] = way = key_of(way, w->hash[i]);
        __builtin_prefetch(&edges->slots[way & edges->mask]);
    }
    for (unsigned i = 0; edges->slots && i < n; i++) {
        size_t at = key[i];
        const struct node *node = index_next(edges, key[i], &at);

        if (!node)
            break;
        fetch_node(node);
    }
}

/* One step of each walk in turn. Walks one after the other took 29 % of the CPU of a broker with
 * 100,000 filters, nearly all of it to wait for memory. */
int tree_match_all(const struct tree *t, const struct slice *topics, unsigned n,
                   struct tree_result *results)
{
    struct walk walk[TREE_AHEAD];
    unsigned on[TREE_AHEAD], left = n;
    int r = 0;

    for (unsigned i = 0; i < n; i++) {
        begin_walk(&walk[i], t, topics[i], &results[i]);
        on[i] = i;
    }
    if (n == 1)
        fetch_literal_path(&walk[0]);
    while (left) {
        unsigned still = 0;

        for (unsigned i = 0; i < left; i++) {
            struct walk *w = &walk[on[i]];

            if (w->steps && r == 0) {
                r = take_step(w);
                on[still++] = on[i];
            }
        }
        left = still;
    }
    for (unsigned i = 0; i < n; i++) {
        index_fini(&walk[i].seen);
        if (r < 0)
            results[i].n = 0;
    }
    return r;
}

int tree_match(const struct tree *t, struct slice topic, struct tree_result *result)
{
    return tree_match_all(t, &topic, 1, result);
}

void tree_result_fini(struct tree_result *result)
{
    free(result->queues);
    *result = (struct tree_result){0};
}
