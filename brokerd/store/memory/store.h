/* store.h - the model's side that a core sees: its queues, and what they have asked for.
 *
 * Shape    ops.c turns calls into requests and appends them to the store's list; flush() moves them
 *          to the shelf's. act.c carries one out. memory.c walks over them, and says what came of
 *          it.
 * Thread   One. */
#ifndef BROKERD_STORE_MEMORY_STORE_H
#define BROKERD_STORE_MEMORY_STORE_H

#include "brokerd/store/memory/shelf.h"

enum request_kind {
    ASK_OPEN,
    ASK_DEFINE,
    ASK_PUT,
    ASK_FETCH,
    ASK_SETTLE,
    ASK_PEEK,
    ASK_PURGE,
    ASK_REWIND,
    ASK_FACTS,
    ASK_CLOSE, /* the last of its queue */
};

/* What open() and define() were told, copied. */
struct told {
    struct queue_policy policy;
    size_t filters_n, wishes_n;
    uint8_t bytes[];
};

struct request {
    struct list_node link; /* of its store, then of the shelf, then perhaps of a drawer: blocked */
    enum request_kind kind;
    struct store_queue *q;
    uint64_t from; /* put: its label; purge: up to where */
    uint64_t bytes, token;
    uint32_t n;
    struct store_rewind rewind;
    bool remove;
    int64_t deadline_ms;           /* put that waits for room */
    bool waited;                   /* put: it did */
    uint64_t turn;                 /* put: those of one turn go together */
    struct kept *msg;              /* put */
    struct told *told;             /* open, define */
    struct store_settlement *list; /* settle, purge */
    size_t list_n;
};

struct store_queue {
    struct list_node link; /* of its store */
    struct memory_store *store;
    struct drawer *drawer;
    uint64_t life; /* of the drawer, when it was opened; 0: it is not */
    handle_t handle;
    bool closed;        /* says nothing more */
    bool fetching;      /* is not answered yet */
    bool wants;         /* shared: its last fetch brought less than it asked for */
    bool needs_room;    /* put() has refused */
    uint64_t full_turn; /* shared: of what was put in that turn something was refused */
    uint64_t unstored, unstored_bytes;
};

/* Something to be told to worker 0: a queue was made, defined anew or removed elsewhere. */
struct notice {
    struct list_node link;
    bool removed;
    size_t n;
    uint8_t name[];
};

struct memory_store {
    struct store base;
    struct list_node link; /* of the shelf */
    struct memory_shelf *shelf;
    struct core *core;
    void (*answer)(struct core *c, const struct stored *a);
    unsigned worker, node;
    struct memory_trouble trouble;
    struct list queues, unsent, notices;
    uint64_t turns;  /* flushed, and 1 */
    uint64_t unkept; /* puts and settlements that are not carried out */
    bool listed;     /* the queues there were at start are told */
    bool silent;     /* nobody listens any more */
    bool dead;       /* nor does anything come of what it is asked */
    unsigned answers;
    struct stored puts; /* an answer to puts that may grow; count 0: there is none */
};

extern const struct store_ops memory_ops_exclusive, memory_ops_shared;

/* Carry out a request. It and its queue may be freed then, or the request lies among those that
 * are blocked. */
void request_act(struct request *r);
/* Try again those that are blocked in the queue's drawer, as far as they are its own. */
void request_unblock(struct store_queue *q);
/* Shared: those whose time is over wait no more. */
void request_drop_over(struct store_queue *q);
bool request_is_answered(const struct request *r);
/* Forget all that was not sent out. */
void memory_drop_unsent(struct memory_store *st);

/* Forget a request that is in no list; its queue with it, if it was the last. */
void request_free(struct request *r);

void store_queue_free(struct store_queue *q);

/* Tell the core of the queue's. Puts are gathered, in order with all else. */
void memory_say(struct store_queue *q, struct stored *a);
void memory_say_put(struct store_queue *q, uint64_t label, enum reason reason);
/* Tell all workers 0 of nodes but the queue's own. */
void memory_notice(const struct store_queue *q, bool removed);

#endif
