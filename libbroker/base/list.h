/* list.h - doubly linked list whose links lie in the items themselves.
 *
 * Shape    A ring through the list's own head. A node that is in no list is all zero, so zeroed
 *          memory is an unlinked node; a list must be initialized.
 *          To walk, and free to remove the node at hand, take the next one first:
 *              for (n = list_first(l); n; n = next) {
 *                  next = list_next(l, n);
 *                  ...
 *              }
 * Owner    The list owns nothing. An item must be removed before it is freed.
 * Thread   One at a time. */
#ifndef BROKER_BASE_LIST_H
#define BROKER_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *next, *prev; /* NULL both: in no list */
};

/* Must not be moved while it has items: they point to it. */
struct list {
    struct list_node head;
};

/* The struct of `type` whose `member` is `*node`, which must not be NULL. */
#define LIST_ITEM(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->head.next = l->head.prev = &l->head;
}

static inline bool list_empty(const struct list *l)
{
    return l->head.next == &l->head;
}

/* Whether `n` is in some list. */
static inline bool list_linked(const struct list_node *n)
{
    return n->next != NULL;
}

/* Put `n`, in no list so far, between two neighbours. */
static inline void list_link_between(struct list_node *n, struct list_node *prev,
                                     struct list_node *next)
{
    n->prev = prev;
    n->next = next;
    prev->next = n;
    next->prev = n;
}

/* Append `n`, which is in no list. */
static inline void list_push_back(struct list *l, struct list_node *n)
{
    list_link_between(n, l->head.prev, &l->head);
}

/* Put `n`, which is in no list, first. */
static inline void list_push_front(struct list *l, struct list_node *n)
{
    list_link_between(n, &l->head, l->head.next);
}

/* Take `n` out of whatever list it is in; nothing happens if it is in none. */
static inline void list_remove(struct list_node *n)
{
    if (!list_linked(n))
        return;
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->next = n->prev = NULL;
}

/* Make `n` the last of `l`, whether it is in `l`, in another list or in none. */
static inline void list_move_to_back(struct list *l, struct list_node *n)
{
    list_remove(n);
    list_push_back(l, n);
}

/* The first node; NULL if there is none. */
static inline struct list_node *list_first(const struct list *l)
{
    return list_empty(l) ? NULL : l->head.next;
}

/* The last node; NULL if there is none. */
static inline struct list_node *list_last(const struct list *l)
{
    return list_empty(l) ? NULL : l->head.prev;
}

/* The node after `n`, which is in `l`; NULL after the last. */
static inline struct list_node *list_next(const struct list *l, const struct list_node *n)
{
    return n->next == &l->head ? NULL : n->next;
}

/* Take the first out and return it; NULL if there is none. */
static inline struct list_node *list_pop(struct list *l)
{
    struct list_node *n = list_first(l);

    if (n)
        list_remove(n);
    return n;
}

#endif
