/* listing.h - long lists, a page at a time.
 *
 * Why      A broker has 100,000 connections or queues; who wants to see them all wants them in
 *          pages, and nobody should have to hold them all at once for the first fifty.
 * Shape    A listing is filled by an ask on its way through the workers, in no order, and keeps
 *          the first `limit` after `after`: rows with a name by that, those without by their id,
 *          last. What can no more be among them is not even made. At the end the answer gets the
 *          rows, and `next` if there are more: what to say as `after` then.
 * Owner    A struct listing is its ask's (ask->data).
 * Thread   That of the ask at the time. */
#ifndef BROKERD_ADMIN_LISTING_H
#define BROKERD_ADMIN_LISTING_H

#include "brokerd/admin/internal.h"

enum { LISTING_MAX = 10000 }; /* rows of a page; without a limit there may be more */

struct listing_row {
    json_t *what;
    const char *name; /* in `what`; NULL: none */
    uint64_t id;
};

struct listing {
    char kind;         /* of its ids ('q', 'n', ..); 0: there are names only */
    bool names;        /* rows may have names */
    char *after;       /* the name after which it begins; NULL: see after_id */
    uint64_t after_id; /* 0, and no name: at the first */
    size_t limit;      /* SIZE_MAX: none */
    struct listing_row *rows;
    size_t n, room;
    size_t sorted; /* of the rows: in order, and no row after them that could be cut */
    bool more, no_memory;
};

/* Begin one, as the members `limit` and `after` of the request say. `names`: rows may have names.
 * False: refused, and the ask is gone. */
bool listing_begin(struct ask *a, struct desk *d, char kind, bool names);

/* Whether a row of this name (NULL: none) and id would be kept. */
bool listing_wants(struct listing *l, const char *name, uint64_t id);

/* Add one that it wants; takes `what`. With a name, that is its member "name". */
void listing_add(struct listing *l, json_t *what, uint64_t id);

/* Put the rows into their order and cut what is too many. False: refused; go on to the answer. */
bool listing_sort(struct ask *a);

/* The row of that id, after listing_sort() and nothing added; NULL: it is not there. Not for rows
 * with names. */
json_t *listing_find(const struct listing *l, uint64_t id);

/* Put it into the answer as the member `key`, and send that. */
void listing_answer(struct ask *a, struct desk *d, const char *key);

#endif
