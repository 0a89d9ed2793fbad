/* names.h - the directory of named queues, and who is told of bindings.
 *
 * Why      A queue has one home; two makers at once must get one queue; a binding counts as
 *          made when every publisher sees it.
 * Shape    Worker 0 decides. An unknown name is wanted from it; it lets the worker that named
 *          it first make the queue, and when all have seen its bindings tells everybody where
 *          it lives. Bindings are announced to all other workers, who answer each announcement.
 * Owner    struct named: the core's map; publishers count as holders (refs).
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_NAMES_H
#define BROKERD_CORE_NAMES_H

#include "brokerd/core/state.h"

struct mail_interest;
struct mail_name;
struct mail_seen;

enum named_state { NAMED_UNKNOWN, NAMED_WANTED, NAMED_KNOWN };

/* Messages sent to a queue that is not known yet. */
struct parked {
    struct list_node link;
    struct msg *msg;
    handle_t publisher;
    uint64_t number;
    bool may_hold, dedup;
};

struct named {
    struct map_entry *entry;
    handle_t queue; /* NAMED_KNOWN */
    enum named_state state;
    enum reason reason;  /* NAMED_UNKNOWN: why the last wish was refused */
    struct list waiters; /* struct consumer */
    struct list parked;  /* struct parked */
    unsigned refs;       /* publishers that point here */
    uint64_t askers;     /* worker 0: whom to tell when it is made */
    bool making;         /* worker 0: a home was asked to make it */
    bool found;          /* worker 0, while making: a store told of it */
    enum durable level;  /* worker 0: what keeps it */
    struct topic *topic; /* its name, for messages sent straight to it */
};

/* The directory's entry of a name, made if need be. NULL without memory. */
struct named *names_get(struct core *c, struct slice name);
struct named *names_hold(struct named *n);
void names_release(struct core *c, struct named *n); /* NULL is fine */

/* Ask for the queue to be found or made: `wants` are packed bindings and own settings. */
void names_want(struct core *c, struct named *n, const uint8_t *wants, size_t filters_n,
                size_t headers_n);

/* The wish for a queue that is not bound to its own name, packed: `$bind: none`. */
enum { NAMES_UNBOUND_SIZE = 1 + 5 + 2 + 4 };
extern const uint8_t names_unbound[NAMES_UNBOUND_SIZE];

/* What was wished is known: consumers and messages that wait for it go on. */
void names_settle(struct core *c, struct named *n);

/* Bind a queue. `token` (a handle of this core's) hears names_seen() for each of the other
 * workers; returns how many will answer. -ENOSPC: it has as many as a queue may have; -ENOMEM. */
int names_bind(struct queue *q, struct slice filter, handle_t token);
void names_unbind_all(struct queue *q);

/* Tell all other workers that a filter has its first queue here, or lost it; how many will answer
 * `token` (0: none). */
unsigned names_announce(struct core *c, struct slice filter, bool on, handle_t token);

/* Bind to each of the packed filters (u8 length, filter). Returns answers to come, -errno. */
int names_bind_packed(struct queue *q, const uint8_t *filters, size_t n, handle_t token);

/* The same when somebody attaches to a queue that is there: its store hears what it has now. */
int names_bind_more(struct queue *q, const uint8_t *filters, size_t n, handle_t token);

/* Note a filter that a queue is to be bound to: -ENOSPC, -ENOMEM. Then bind it to all those, as
 * names_bind() does; its handle hears of it. */
int names_plan(struct queue *q, struct slice filter);
int names_bind_planned(struct queue *q);

/* To worker 0: the queue `name` is made, or (0) could not be for `reason`. */
void names_report_made(struct core *c, struct slice name, handle_t queue, enum reason reason);

/* Ask for the queues that the settings name. Worker 0. */
void names_configured(struct core *c);

/* Delete a named queue that lives here: tells its consumers, worker 0 and so everybody. `remove`:
 * its store, too. */
void names_delete(struct queue *q, enum reason reason, bool remove);

/* A store has that queue, or it has other bindings or settings there now; was removed there; and
 * all stores have told what they have at start. Worker 0. */
struct store_definition;
void names_found(struct core *c, const struct store_definition *def, enum durable level);
void names_removed(struct core *c, struct slice name, enum durable level);
void names_all_found(struct core *c);

/* Free the wishes that wait for stores. */
void names_fini(struct core *c);

/* Entries. */
void names_take_interest(struct core *c, const struct mail_interest *m);
void names_take_seen(struct core *c, uint64_t token);
void names_take_want(struct core *c, const struct mail_name *m);
void names_take_make(struct core *c, const struct mail_name *m);
void names_take_made(struct core *c, const struct mail_name *m);
void names_take_known(struct core *c, const struct mail_name *m);
void names_take_gone(struct core *c, const struct mail_name *m);
void names_take_delete(struct core *c, const struct mail_seen *m, bool remove);

void named_free(struct named *n);

#endif
