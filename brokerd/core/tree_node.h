/* tree_node.h - how the tree lies in memory: what its two files share, tree.c, which changes it,
 * and tree_match.c, which walks it.
 *
 * Shape    A node is one level of some filters; a filter ends at the node its last level leads to:
 *
 *      orders.eu.*      root -orders-> A -eu-> B -*-> C          C: its queues, its workers
 *      orders.#                        A -#-> D
 *
 *          Named edges are in `edges`, under a hash of the whole path; the level's name itself lies
 *          in the node they lead to, which a walk is about to read anyway; its hash does not:
 *          whoever comes down the tree has it at hand. (Interning the names first took two cache
 *          misses more for each level, and more memory.)
 *          A node has its queues in a list; only where there are several does an index say who is
 *          where. Always: a node but the root has a child, a queue or a worker, or it is not there.
 *          Small functions are here, to be inlined into both files: a match is called for every
 *          message whose answer is not remembered.
 * Owner    The tree has its nodes. A walk only reads.
 * Thread   The worker the core lives on. */
#ifndef BROKERD_CORE_TREE_NODE_H
#define BROKERD_CORE_TREE_NODE_H

#include <string.h>

#include "brokerd/core/index.h"
#include "brokerd/core/tree.h"
#include "libbroker/base/hash.h"

struct node {
    struct node *parent; /* NULL: the root */
    uint64_t workers;
    union {
        void *one;
        void **many;
    } queues;
    uint32_t n;   /* queues */
    uint8_t room; /* for 2^room of them in `many`; 0: at most one, in `one` */
    uint8_t name_n;
    bool forks;  /* a struct fork lies before it */
    char name[]; /* name_n bytes: up to 9 of them, and all this is 48 bytes of heap */
};

/* Before a node that has children, or did, or several queues. Most have neither: they are where
 * somebody's own topic ends, on the worker and on the others. */
struct fork {
    struct node *star, *rest;
    uint64_t children; /* with star and rest */
};

/* A filter that something has changed for. */
struct change {
    uint32_t first; /* tree_result.first_level of what it may match */
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
    struct fork root_fork;
    struct node root; /* last: it ends with its name, of which it has none */
};

_Static_assert(offsetof(struct tree, root) ==
                   offsetof(struct tree, root_fork) + sizeof(struct fork),
               "the root's fork lies before it");

/* ---------------------------------------------------------------------------------- levels */

/* Take the first level off a name that has one. False: it was the last. */
static inline bool cut_level(struct slice *rest, struct slice *ret_level)
{
    const uint8_t *dot = rest->n ? memchr(rest->p, '.', rest->n) : NULL;

    *ret_level = slice_of(rest->p, dot ? (size_t)(dot - rest->p) : rest->n);
    if (dot)
        *rest = slice_from(*rest, ret_level->n + 1);
    return dot != NULL;
}

static inline bool is_level(struct slice level, uint8_t wildcard)
{
    return level.n == 1 && level.p[0] == wildcard;
}

static inline bool of_the_broker(struct slice topic)
{
    return topic.n && topic.p[0] == '$';
}

static inline uint64_t hash_level(const struct tree *t, struct slice level)
{
    return hash_bytes(t->seed, level);
}

/* ----------------------------------------------------------------------------------- nodes */

static inline void **node_queues(const struct node *n)
{
    return n->room ? n->queues.many : (void **)&n->queues.one;
}

/* Of one that forks. */
static inline struct fork *fork_of(const struct node *n)
{
    return (struct fork *)(uintptr_t)n - 1;
}

static inline bool has_children(const struct node *n)
{
    return n->forks && fork_of(n)->children;
}

static inline struct slice node_name(const struct node *n)
{
    return slice_of(n->name, n->name_n);
}

/* The key of what `level_hash` leads to from the node with key `from`. */
static inline uint64_t key_of(uint64_t from, uint64_t level_hash)
{
    return hash_pair(0, from, level_hash);
}

/* In a key, for a wildcard: it is found without. */
enum { WILD_HASH = 0 };

/* Where the edge from `n` with this name leads, `key` being that of the way there; NULL: nowhere.
 */
static inline struct node *edge_find(const struct tree *t, const struct node *n, struct slice name,
                                     uint64_t key)
{
    size_t at = key;
    struct node *child;

    while ((child = index_next(&t->edges, key, &at)) != NULL)
        if (child->parent == n && slice_eq(node_name(child), name))
            break;
    return child;
}

#endif
