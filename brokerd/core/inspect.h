/* inspect.h - what admin may look at in a core.
 *
 * Why      People ask what waits, where and why; whoever answers must not know how the core
 *          keeps its books, nor be able to disturb them.
 * Shape    Plain structs, filled for a call and handed to a callback that returns true to go
 *          on, or filled in for one thing by its id. An id names a queue, a consumer or a
 *          publisher while it lives, on whatever worker; only its home has something to tell. A
 *          connection that moves to another worker gets other ids, and so do its publishers.
 *          Long walks go in steps: what comes and goes between them may be missed.
 * Owner    Texts and slices are borrowed: good until the callback returns, or until the core is
 *          called again.
 * Errors   false or 0: there is no such thing here.
 * Thread   The core's worker. Callbacks must not call into the core, but for what is below. */
#ifndef BROKERD_CORE_INSPECT_H
#define BROKERD_CORE_INSPECT_H

#include "brokerd/core/core.h"

/* Counted since the thing began. What cannot be said of a thing is 0. */
struct inspect_counters {
    uint64_t published; /* messages that came in */
    uint64_t delivered; /* repeated deliveries included */
    uint64_t acked, nacked, redelivered, late, timeouts, dead_lettered;
    uint64_t duplicates;                /* accepted by their ids, and not taken again */
    uint64_t unroutable;                /* of the core: matched no queue */
    uint64_t unopened;                  /* of the core: times that a store did not open a queue */
    uint64_t reason[REASON_TABLE_SIZE]; /* refused and lost */
};

struct inspect_totals {
    struct inspect_counters count;
    unsigned endpoints, queues, subscriptions;
    uint64_t calls, calls_open;               /* of callers here: ever, now (those that wait too) */
    uint64_t calls_failed[REASON_TABLE_SIZE]; /* 0: by the server's own word */
    int64_t used; /* bytes of the budget that this core's messages and outputs take */
    bool short_of_memory, draining;
};

void inspect_totals(const struct core *c, struct inspect_totals *ret);

/* The worker a thing lives on. */
static inline unsigned inspect_home(uint64_t id)
{
    return (unsigned)(id >> 56);
}

/* -------------------------------------------------------------------------------- services */

/* What this core knows of a service: its home tells of servers and their calls, every worker of
 * calls that wait there for a server. */
struct inspect_service {
    const char *name;
    bool is_home;
    unsigned servers;
    uint64_t open, opened; /* calls: now, by those who serve it now */
    uint64_t waiting;
};

typedef bool inspect_service_fn(void *ctx, const struct inspect_service *s);
void inspect_services(const struct core *c, inspect_service_fn *fn, void *ctx);

/* ---------------------------------------------------------------------------------- queues */

struct inspect_queue {
    uint64_t id;
    const char *name;      /* NULL: anonymous */
    const char *label;     /* the name, or the first filter */
    const char *client;    /* of an anonymous one: whose it is; else "" */
    uint64_t depth, bytes; /* wait to be delivered, delayed ones included */
    uint64_t unacked, delayed, held;
    unsigned consumers;
    unsigned hungry;        /* of them: would take a message now */
    int64_t oldest_ms;      /* how long the first message has waited; -1: none does */
    int64_t full_ms;        /* how long it has been full; -1: it is not */
    bool stuck;             /* a hold ended and nothing had left meanwhile */
    uint64_t ids;           /* of messages, remembered */
    uint64_t ids_forgotten; /* before their time */
    const char *store;      /* what keeps it ("journal"); NULL: it is in memory only, all 0 below */
    uint64_t away;          /* of those that wait: only in the store, not in memory */
    uint64_t unstored;      /* of them: the store has not answered yet */
    uint64_t unstored_bytes;
    int64_t unstored_ms;       /* how long the first of these has waited; -1: there is none */
    enum reason store_refuses; /* why the store takes nothing now; REASON_NONE: it does */
    uint64_t damaged;          /* messages that it has lost */
    int64_t unopened_ms;       /* how long it has not opened the queue; -1: it has */
    const char *store_trouble; /* why not, as far as it has said; or NULL */
    uint64_t letters;   /* dead letters that were refused for what passes: sent again each second */
    int64_t letters_ms; /* how long there have been some; -1: there are none */
    enum reason letters_why; /* the last of them; REASON_FULL: a store is full */
    bool letters_stop;       /* so many dead letters wait that no more is fetched */
    const struct queue_policy *policy;
    struct inspect_counters count;
};

typedef bool inspect_queue_fn(void *ctx, const struct inspect_queue *q);

/* Look at up to `steps` places where a queue may be, from `from` (0 at first) on. Returns from
 * where to go on; 0: those were all. */
uint32_t inspect_queues(const struct core *c, uint32_t from, uint32_t steps, inspect_queue_fn *fn,
                        void *ctx);

bool inspect_queue(const struct core *c, uint64_t id, struct inspect_queue *ret);

/* The id of the queue called `name`, wherever it lives; 0 if this core knows none. */
uint64_t inspect_find_queue(const struct core *c, struct slice name);

/* The filters that feed a queue. */
typedef bool inspect_filter_fn(void *ctx, struct slice filter);
void inspect_bindings(const struct core *c, uint64_t queue, inspect_filter_fn *fn, void *ctx);

/* This core's queues that a message to `topic` reaches, with the first filter that leads there.
 * -ENOMEM. */
typedef bool inspect_route_fn(void *ctx, const struct inspect_queue *q, struct slice filter);
int inspect_route(const struct core *c, struct slice topic, inspect_route_fn *fn, void *ctx);

/* Whether a message to `topic` would reach any queue, on whatever worker: as far as this core
 * knows. False without memory. */
bool inspect_is_heard(const struct core *c, struct slice topic);
/* Rises whenever the answer of the above may have changed. */
uint64_t inspect_routes_version(const struct core *c);

struct inspect_message {
    uint64_t seq; /* place in the queue; 0 while it is held */
    uint64_t id;
    struct slice topic, data, headers;
    struct ctype type;
    int64_t time_ms; /* wall clock, when it was published */
    uint32_t attempts;
    const char *state; /* "waiting", "delayed", "unacked", "held", "unstored"; static */
};

/* The first `n` messages: those that wait, in the order of delivery, with what a store said of
 * those it alone has (core_queue_look(); NULL: nothing); then delayed, unacked and held ones.
 * -ENOMEM. */
struct question;
typedef bool inspect_message_fn(void *ctx, const struct inspect_message *m);
int inspect_peek(const struct core *c, uint64_t queue, uint32_t n, const struct question *rest,
                 inspect_message_fn *fn, void *ctx);

/* Where one message is in a queue. */
struct inspect_place {
    const char *state;   /* as above */
    uint64_t seq, ahead; /* ahead: of a waiting or held one, how many go before it */
    uint64_t consumer;   /* unacked: its id */
    uint32_t attempts;
};

enum { INSPECT_FIND = 16384 /* places that are looked at */ };

/* Find the message with that id, newest first: 1; 0: it is not there, or no more; -E2BIG: nor among
 * those that were looked at, and there are more. */
int inspect_find_message(const struct core *c, uint64_t queue, uint64_t id,
                         struct inspect_place *ret);

/* ------------------------------------------------------------------- consumers, publishers */

/* A queue's side of a consumer: told by the queue's home. */
struct inspect_tap {
    uint64_t consumer; /* id */
    uint64_t credit;   /* deliveries it would take, as far as known here */
    uint64_t unacked;
    uint64_t delivered;
    bool manual_ack, stopped;
    bool inflight_full; /* has as many unacknowledged as it may */
    int64_t stalled_ms; /* takes nothing since so long; -1: it would */
};

typedef bool inspect_tap_fn(void *ctx, const struct inspect_tap *t);
void inspect_taps(const struct core *c, uint64_t queue, inspect_tap_fn *fn, void *ctx);

/* The connection's side: told by the worker the connection lives on. */
struct inspect_consumer {
    uint64_t id, client;
    uint64_t queue; /* 0: on another worker, see label */
    const char *client_name, *door;
    const char *label; /* the queue's name, or the first filter */
    bool is_named;     /* consumes a queue with a name */
    uint64_t credit;   /* messages it would take; CORE_UNLIMITED: no limit */
    uint64_t delivered;
    bool manual_ack;
    bool has_room;    /* its connection takes what is written */
    int64_t since_ms; /* how long it has been attached */
};

bool inspect_consumer(const struct core *c, uint64_t id, struct inspect_consumer *ret);

struct inspect_publisher {
    uint64_t id, client;
    const char *client_name, *door;
    struct slice to; /* topic or queue of the last run; empty: none yet */
    bool to_queue;
    uint64_t open; /* messages that have not settled */
    uint64_t published;
    int64_t waiting_ms; /* some of them since so long; -1: nothing waits */
    uint32_t window;
    uint64_t allowance; /* messages it may send now */
    bool starved;       /* the budget withholds its credit */
};

bool inspect_publisher(const struct core *c, uint64_t id, struct inspect_publisher *ret);

/* The publishers held in front of a queue, once for each stretch of messages. */
struct inspect_holder {
    uint64_t publisher; /* id */
    uint64_t n;         /* messages */
    int64_t since_ms;   /* held for so long */
};

typedef bool inspect_holder_fn(void *ctx, const struct inspect_holder *h);
void inspect_holders(const struct core *c, uint64_t queue, inspect_holder_fn *fn, void *ctx);

/* ----------------------------------------------------------------------------- connections */

struct inspect_endpoint {
    uint64_t id;
    const char *name, *door;
    bool is_broker;
    int64_t since_ms; /* open for so long */
    uint64_t published, delivered;
    uint64_t output_bytes; /* of deliveries, written by the core and not yet by the socket */
    bool has_room;
    const struct endpoint *ep; /* for the walks below */
};

typedef bool inspect_endpoint_fn(void *ctx, const struct inspect_endpoint *e);
void inspect_endpoints(const struct core *c, inspect_endpoint_fn *fn, void *ctx);

/* One of them, in *ret. */
void inspect_endpoint(const struct endpoint *ep, struct inspect_endpoint *ret);

/* The services it answers calls to. */
typedef bool inspect_server_fn(void *ctx, const char *service);
void inspect_servers_of(const struct endpoint *ep, inspect_server_fn *fn, void *ctx);

typedef bool inspect_publisher_fn(void *ctx, const struct inspect_publisher *p);
void inspect_publishers_of(const struct endpoint *ep, inspect_publisher_fn *fn, void *ctx);

typedef bool inspect_consumer_fn(void *ctx, const struct inspect_consumer *k);
void inspect_consumers_of(const struct endpoint *ep, inspect_consumer_fn *fn, void *ctx);

#endif
