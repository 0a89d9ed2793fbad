/* tree.h - which queues, and which other workers, want the messages of a topic.
 *
 * Why      Every message is routed by it (through route.h, which remembers answers), so a match
 *          among 100,000 filters must cost a few cache misses, and a subscription that comes or
 *          goes must not spoil all remembered answers.
 * Shape    A tree of filter levels. One table holds the edges (path, level's name) -> node, under
 *          a keyed hash, and each node has its `*` and `#` child at hand. A node
 *          lists this worker's queues and has one bit for each other worker with an interest.
 *          The last TREE_LOG changes are kept, so that an old answer can tell if they concern
 *          it.
 * Owner    Queues are the user's: opaque, only compared. A queue must be unbound from every
 *          filter before it is freed. What is no longer bound takes no memory.
 * Errors   -errno with nothing changed. Taking away never fails for want of memory.
 * Thread   The worker the core lives on. */
#ifndef BROKERD_CORE_TREE_H
#define BROKERD_CORE_TREE_H

#include "libbroker/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tree;

enum { TREE_LOG = 1024 /* changes remembered */ };

/* An empty tree. `seed` keys its hashes: unguessable. NULL without memory. */
struct tree *tree_new(uint64_t seed);

/* Free the tree, bindings and all. NULL is fine. */
void tree_free(struct tree *t);

/* Bind `queue` (not NULL) to `filter`, a valid one (name_filter_error()).
 *  1        bound, and this worker's first queue on that filter: the others must hear of it
 *  0        bound
 *  -EEXIST  this queue is bound to this filter already
 *  -ENOMEM */
int tree_bind(struct tree *t, struct slice filter, void *queue);

/* Take the binding away.
 *  1        gone, and it was this worker's last on that filter: the others must hear of it
 *  0        gone
 *  -ENOENT  there is no such binding */
int tree_unbind(struct tree *t, struct slice filter, void *queue);

/* Note that another worker (0 to 63) has an interest in `filter`, or has none any more.
 *  1        changed
 *  0        so it was already
 *  -ENOMEM  only with `on` */
int tree_interest(struct tree *t, struct slice filter, unsigned worker, bool on);

/* An answer of tree_match(). Zeroed memory is an empty one; its array is used again. */
struct tree_result {
    void **queues; /* each once; in the same order for as long as the tree does not change */
    size_t n, cap;
    uint64_t workers;     /* bit w: worker w has an interest */
    uint32_t first_level; /* of the topic: what tree_missed() needs to know of it */
};

/* Find what matches `topic` (any bytes; only valid topics are ever bound), in *result, whose
 * content is replaced. -ENOMEM: it is empty. */
int tree_match(const struct tree *t, struct slice topic, struct tree_result *result);

/* The same for `n` topics, at most TREE_AHEAD, results[i] that of topics[i]: what one waits for is
 * read from memory while the others go on. -ENOMEM: all are empty. */
enum { TREE_AHEAD = 32 };
int tree_match_all(const struct tree *t, const struct slice *topics, unsigned n,
                   struct tree_result *results);

void tree_result_fini(struct tree_result *result);

/* Where the tree's version stands: it rises with each change that may change an answer. The
 * address is good as long as the tree lives, so that a look costs one load. */
const uint64_t *tree_version(const struct tree *t);

/* Whether a change after `version` may concern `topic`, `first` being the first_level of its
 * result: true if one matches it, if they are no longer all remembered, or if there are so many to
 * compare that asking tree_match() again costs less. */
bool tree_missed(const struct tree *t, uint64_t version, struct slice topic, uint32_t first);

/* How many there are of each: nothing grows but by what is bound. */
struct tree_counts {
    size_t nodes, bindings; /* the root is not counted */
};

struct tree_counts tree_counts(const struct tree *t);

#endif
