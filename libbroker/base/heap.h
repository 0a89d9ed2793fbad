/* heap.h - what is due next: a binary heap of nodes that lie in the items themselves.
 *
 * Why      Exceptional deadlines (delays, extensions, a message's own time to live) and what
 *          came back to a queue, by sequence number: rare, so O(log n) is fine, and each may
 *          be taken out again from the middle.
 * Shape    An array of pointers; each node knows its place in it. Smallest key first; equal
 *          keys in no promised order. Zeroed memory is an empty heap, and an unqueued node.
 * Owner    The heap owns its array only. A node must be removed before it is freed.
 * Errors   -ENOMEM from heap_push, nothing changed.
 * Thread   One at a time. */
#ifndef BROKER_BASE_HEAP_H
#define BROKER_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    int64_t key; /* set before heap_push(); while queued changed by heap_update() only */
    size_t pos;  /* place in the heap, from 1; 0: in none */
};

struct heap {
    struct heap_node **nodes;
    size_t n, cap;
};

/* The struct of `type` whose `member` is `*node`, which must not be NULL. */
#define HEAP_ITEM(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

/* Release the array; nodes still in it are forgotten, and marked so. The heap is then empty. */
void heap_fini(struct heap *h);

/* Add `n`, which is in no heap, by its key. -ENOMEM. */
int heap_push(struct heap *h, struct heap_node *n);

/* Take `n` out; nothing happens if it is in no heap. It must not be in another. */
void heap_remove(struct heap *h, struct heap_node *n);

/* Give `n`, which is in `h`, another key. Cannot fail. */
void heap_update(struct heap *h, struct heap_node *n, int64_t key);

static inline bool heap_queued(const struct heap_node *n)
{
    return n->pos != 0;
}

/* The node with the smallest key; NULL if there is none. */
static inline struct heap_node *heap_min(const struct heap *h)
{
    return h->n ? h->nodes[0] : NULL;
}

#endif
