#include "libbroker/base/heap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { HEAP_MIN = 16 };

/* Always: nodes[i]->pos == i + 1, and no node has a key below its parent's, nodes[(i-1)/2]. */

static void place(struct heap *h, size_t i, struct heap_node *n)
{
    h->nodes[i] = n;
    n->pos = i + 1;
}

/* Put `n` at `i`, which is free, or nearer to the root. */
static void sift_up(struct heap *h, size_t i, struct heap_node *n)
{
    while (i > 0) {
        struct heap_node *parent = h->nodes[(i - 1) / 2];

        if (parent->key <= n->key)
            break;
        place(h, i, parent);
        i = (i - 1) / 2;
    }
    place(h, i, n);
}

/* Put `n` at `i`, which is free, or farther from the root. */
static void sift_down(struct heap *h, size_t i, struct heap_node *n)
{
    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= h->n)
            break;
        if (child + 1 < h->n && h->nodes[child + 1]->key < h->nodes[child]->key)
            child++;
        if (n->key <= h->nodes[child]->key)
            break;
        place(h, i, h->nodes[child]);
        i = child;
    }
    place(h, i, n);
}

/* Put `n` at `i`, which is free, or wherever else it belongs. */
static void settle(struct heap *h, size_t i, struct heap_node *n)
{
    if (i > 0 && h->nodes[(i - 1) / 2]->key > n->key)
        sift_up(h, i, n);
    else
        sift_down(h, i, n);
}

/* Another size of the array, at least h->n. */
static int resize(struct heap *h, size_t cap)
{
    struct heap_node **nodes = realloc(h->nodes, cap * sizeof(struct heap_node *));

    if (!nodes)
        return -ENOMEM;
    h->nodes = nodes;
    h->cap = cap;
    return 0;
}

void heap_fini(struct heap *h)
{
    for (size_t i = 0; i < h->n; i++)
        h->nodes[i]->pos = 0;
    free(h->nodes);
    *h = (struct heap){0};
}

int heap_push(struct heap *h, struct heap_node *n)
{
    assert(!heap_queued(n));
    if (h->n == h->cap) {
        int r = resize(h, h->cap ? h->cap * 2 : HEAP_MIN);

        if (r < 0)
            return r;
    }
    h->n++;
    sift_up(h, h->n - 1, n);
    return 0;
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    struct heap_node *last;
    size_t i;

    if (!heap_queued(n))
        return;
    i = n->pos - 1;
    assert(i < h->n && h->nodes[i] == n);
    n->pos = 0;
    last = h->nodes[--h->n];
    if (last != n)
        settle(h, i, last);
    if (h->n == 0)
        heap_fini(h);
    else if (h->cap > HEAP_MIN && h->n < h->cap / 4)
        (void)resize(h, h->cap / 2); /* if not, it stays as it is */
}

void heap_update(struct heap *h, struct heap_node *n, int64_t key)
{
    assert(heap_queued(n) && h->nodes[n->pos - 1] == n);
    n->key = key;
    settle(h, n->pos - 1, n);
}
