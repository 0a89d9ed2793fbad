/* state.h - the core's own structs; for files of this folder, and for tests that look inside.
 *
 *     endpoint --- publisher --- ledger          (what the publisher is to be told)
 *        |             \ route -> queues
 *        +------- consumer === tap --- queue     (=== a pointer, or two handles and entries)
 *
 * A consumer lives on its connection's worker and holds its credit and numbering; its tap
 * lives with the queue and holds what is in flight. Where both are on one worker they point at
 * each other, and nothing is copied.
 *
 * Owner    The core owns everything here. Taps belong to their queue, publishers and consumers
 *          to their endpoint.
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_STATE_H
#define BROKERD_CORE_STATE_H

#include "brokerd/core/core.h"
#include "brokerd/core/excuse.h"
#include "brokerd/core/flights.h"
#include "brokerd/core/ledger.h"
#include "brokerd/core/patience.h"
#include "brokerd/core/rate.h"
#include "brokerd/core/route.h"
#include "brokerd/core/slots.h"
#include "brokerd/core/store.h"
#include "brokerd/core/tree.h"
#include "libbroker/base/deque.h"
#include "libbroker/base/heap.h"
#include "libbroker/base/list.h"
#include "libbroker/base/map.h"

enum {
    RUN_MAX = 2048,                /* messages handled together at most */
    RUN_BYTES = 256 * 1024,        /* the same, in bytes of payload */
    PUMP_MAX = 4096,               /* deliveries of one queue before others have a turn */
    PUMP_MAX_BYTES = 4 << 20,      /* the same, in bytes */
    SHARE_MAX = 64,                /* deliveries to one of several consumers at a time */
    LEND_MESSAGES = 256,           /* credit lent to a queue on another worker */
    LEND_BYTES = 256 * 1024,       /* the same, in bytes not yet written */
    WINDOW_FIRST = 1024,           /* a publisher's window before sizes are known */
    WINDOW_SHORT = 16,             /* while the budget is short, windows are this much less */
    BUDGET_STEP = 1 << 20,         /* bytes drawn from or given back to the worker at once */
    STARVED_RETRY_MS = 20,         /* publishers short of memory are looked at this often */
    HEADERS_BYTES_MAX = 60 * 1024, /* of one message, so that a dead letter's still fit */
    LETTER_REST_MS = 1000,         /* a dead letter that no store took is sent again after that */
    LOSS_EVENT_MS = 1000,          /* losses of one queue are announced this often */
    FOLLOW_SPAN_MS = 100,          /* where a publisher's messages go is judged after so long */
    FOLLOW_MESSAGES = 8,           /* and so many of them */
};

/* ----------------------------------------------------------------------------------- timers */

enum timer_kind { TIMER_QUEUE, TIMER_TAP, TIMER_BACK, TIMER_CALL, TIMER_LETTER, TIMER_OPEN };

/* Due at node.key. What it is for may have moved on: whoever is called looks again. */
struct timer {
    struct heap_node node;
    enum timer_kind kind;
};

/* ----------------------------------------------------------------------------------- queues */

/* A message waiting for its first delivery. NULL: it has gone (expired, moved). */
struct waiting {
    struct msg *msg;
    int64_t since_ms;
};

/* A message that came back, in the queue's heap by sequence number or, while its nack delay
 * lasts, in the core's timers. */
struct back {
    struct timer timer; /* node.key: sequence number, or when it is due */
    struct list_node link;
    struct queue *queue;
    struct msg *msg;
    uint64_t seq;
    int64_t since_ms;
    uint32_t attempts; /* deliveries so far */
    bool delayed;
};

/* A message held in front of a full queue. */
struct held {
    struct msg *msg;
    handle_t publisher; /* 0: nobody waits for the answer */
    uint64_t number;
    int64_t since_ms;
    uint64_t left; /* queue_left() at that time */
    bool dedup;    /* it has an id that counts */
};

/* What a queue lost and refused, by reason; most never do. */
struct losses {
    struct queue *queue;
    struct list_node link; /* in core->lossy while some wait to be announced */
    uint64_t total[REASON_TABLE_SIZE];
    uint64_t gap[REASON_TABLE_SIZE]; /* since the last delivery, for the consumer to hear */
    uint64_t unannounced[REASON_TABLE_SIZE];
    uint64_t unannounced_damaged;             /* not in that: REASON_STORE is a refusal there */
    uint64_t dead_letters, announced_letters; /* sent to where they go; told of */
    int64_t announced_ms;
    struct list_node slow; /* in core->slow since people were told that it overflows */
    int64_t slow_since_ms;
    uint64_t slow_count; /* lost meanwhile, as far as told */
    bool has_gap;
    bool elsewhere; /* the gap is also of some that never came here: REASON_NODE */
};

/* What became of what a named queue delivered. */
struct settled_counters {
    uint64_t acked;
    uint64_t redelivered; /* second and later attempts */
    uint64_t timeouts;    /* acks that did not come in time */
    uint64_t late;        /* acks of what had settled already */
    uint64_t nacked;
};

/* What a queue keeps: messages that wait, and before it those that are held; what it lost, and what
 * its maker wished. A named queue has it from its beginning; a subscription that wishes nothing
 * from the first message on that could not go straight to its consumer, for until then it needs
 * none of this (queue.h: backlog_none). */
struct backlog {
    struct queue *queue;
    struct deque fifo;        /* struct waiting, by sequence number */
    struct heap back;         /* struct back by sequence number */
    struct list delayed;      /* struct back */
    struct deque held;        /* struct held */
    struct list_node holding; /* in core->holding while messages are held */
    uint64_t waiting, bytes;  /* messages and payload bytes that wait: fifo, back and delayed, and
                               * what waits in its store (durable.h) */
    uint64_t unready_n;       /* of those, delayed or not in memory */
    uint64_t inflight;        /* in all taps */
    int64_t charged;          /* bytes of the budget, in flight and held ones included */
    bool own_ttl;             /* some message that waits has an expiry of its own */
    bool stuck;               /* a hold ended and nothing had left meanwhile */
    bool redefine;            /* its store is opening it, and settings have changed meanwhile */
    uint64_t left;            /* messages that have left, delivered or lost */
    int64_t expiry_ms;        /* nothing that waits expires before */
    int64_t full_since_ms;    /* 0: it is not */
    int64_t idle_since_ms;    /* named: without a consumer since; INT64_MAX: has one */
    struct timer timer;       /* expiry, holds, idle expiry: the earliest */
    unsigned unseen;          /* named: workers that have yet to learn of a binding, while made */
    struct list taps;         /* named: struct custody; a subscription has queue_own() */
    struct list hungry;       /* named: of these, in turn, those that would take a message */
    unsigned taps_n, hungry_n;
    unsigned parted_n; /* of the taps, those without a consumer */
    struct settled_counters settled;
    struct losses *losses;  /* NULL: nothing was lost or refused yet */
    struct dedup *dedup;    /* NULL: no message had an id yet (dedup.h) */
    struct storage *stored; /* NULL: it is in memory and nowhere else (durable.h) */
    struct kept_wish *wish; /* NULL: none */
};

/* The settings that its maker asked for, as headers: a reload heeds them. */
struct kept_wish {
    size_t n;
    uint8_t headers[];
};

/* A subscription's lies behind its tap: the two come and go together. */
struct queue {
    /* What a delivery reads, so that with a subscription's tap before it that is two places in
     * memory; consumers likewise. */
    struct core *core;
    struct backlog *backlog; /* never NULL; to be written through queue_backlog() only */
    struct tap *hungry;      /* whose turn it is to take a message, if there is room; or NULL */
    uint64_t in, out; /* messages accepted: the number of the last; delivered, each attempt */

    handle_t handle;
    const struct queue_policy *policy; /* shared_policy.h; one reference */
    struct list_node pump;    /* in core->pump while something may be deliverable; doomed: in
                               * core->doomed, to be ended at the end of the turn */
    struct binding *bindings; /* in the order they came; a subscription's first is the label */
    /* Last, so that with a label of ten bytes a subscription, its tap and all take 144. */
    uint16_t bindings_n; /* with a subscription's label */
    bool is_named;
    bool making;  /* the directory waits for workers to learn of its bindings */
    bool doomed;  /* its policy ends it, for it overflowed: its taps have stopped */
    char label[]; /* for people: the name, or the first filter */
};

struct binding {
    struct binding *next;
    uint8_t n;      /* bytes of the filter, NAME_MAX_BYTES at most */
    bool is_wanted; /* and told so (outlet.h) */
    char filter[];
};

static inline struct slice binding_filter(const struct binding *b)
{
    return slice_of(b->filter, b->n);
}

/* What a named queue has handed to a consumer, and how it reaches one on another worker. A
 * subscription hands out for good, and to its own worker: its tap has none of this. */
struct custody {
    struct tap *tap;
    struct list_node link;   /* in backlog->taps */
    struct list_node hungry; /* in backlog->hungry */
    struct flights flights;
    uint64_t unsettled;       /* flights that are */
    uint64_t written;         /* deliveries known to have reached the socket */
    struct timer timer;       /* the earliest ack deadline */
    handle_t handle;          /* 0 for a local tap that nobody has asked for */
    handle_t remote;          /* the consumer on another worker, or 0 */
    uint64_t unwritten_bytes; /* remote: payload on its way */
    uint32_t ack_ms;          /* its own ack-timeout; 0: the queue's */
    unsigned unseen;          /* remote: workers that have yet to learn of its bindings */
};

/* A queue's side of a consumer. */
struct tap {
    struct queue *queue;       /* NULL: a subscription's that is closed */
    struct consumer *consumer; /* on this worker, or NULL */
    uint64_t credit;           /* deliveries it would take; CORE_UNLIMITED and more: any */
    uint64_t numbered;         /* deliveries so far */
    int64_t starved_ms : 56;   /* out of credit or room since; 0: it is not */
    bool manual_ack : 1, stopped : 1;
    bool parted : 1;          /* its consumer is gone and left what it had (part.h) */
    bool hungry : 1;          /* would take a message, if there is room */
    bool facts : 1;           /* wants sequence number, time and id of each message */
    struct custody custody[]; /* one of a named queue's tap, none of a subscription's */
};

/* The place of a subscription's only tap. */
static inline struct tap *queue_own(const struct queue *q)
{
    return (struct tap *)(uintptr_t)q - 1;
}

/* -------------------------------------------------------------------------------- endpoints */

/* Deliveries up to `number` of `consumer` end at output position `at`. */
struct mark {
    uint64_t at;
    struct consumer *consumer; /* NULL: detached meanwhile */
    uint64_t number;
    uint64_t bytes; /* payload since the mark before */
};

struct barrier {
    struct list_node link;
    uint64_t token;
};

/* Where an endpoint's messages go, in the current span: each counts once for each worker with a
 * queue for it. */
struct following {
    int64_t since_ms; /* start of the span; 0: none yet */
    uint64_t all;     /* messages */
    uint64_t there;   /* of them, to `worker` */
    uint8_t worker;   /* the first other one that got any in this span */
    uint8_t wanted;   /* what came of the span before: the worker to go to; the own one: stay */
};

/* What an endpoint needs that publishes: made with its first publisher, or at once if it has a
 * rate. The others share publishing_none. */
struct publishing {
    struct list publishers;
    uint64_t published; /* messages */
    struct rate rate;   /* beside that: who publishes reads whether there is one */
    struct following follow;
};

/* Where in an endpoint's output deliveries end that the socket has not passed yet: made with the
 * first such. Until then it shares marks_none. */
struct marks {
    struct mark newest; /* its `at` is 0: there is none */
    struct deque older; /* by rising position */
};

/* What an endpoint wants to be told when all is ready: there while it is not told. */
struct barriers {
    struct endpoint *ep;
    struct list asked;      /* struct barrier */
    struct list_node quiet; /* in core->barriers while some may be answered */
};

/* What few endpoints need: made for the first of it, gone with the last. The others share
 * seldom_none. */
struct seldom {
    struct barriers *barriers; /* NULL: it asks nothing */
    struct calling *calling;   /* NULL: it has no calls and serves nothing (service.h) */
    struct arrears *arrears;   /* verbs for many deliveries; NULL: none yet (arrears.h) */
    handle_t handle;           /* by which other workers answer it; 0: it asked none (part.h) */
};

struct endpoint {
    struct core *core;
    const struct endpoint_ops *ops;
    void *ctx;
    struct list_node link;         /* in core->endpoints */
    struct publishing *publishing; /* never NULL; made by endpoint_publishing() */
    struct list consumers;
    struct list cramped;      /* consumers that go on when the output has room again */
    struct marks *marks;      /* never NULL; to be written only where a mark is */
    uint64_t position;        /* of the output, after the last delivery */
    uint64_t written;         /* of it, at the socket */
    struct list_node wakeful; /* in core->wakeful while it may have found room */
    uint64_t number : 40;     /* endpoint_id() */
    uint64_t unready : 24;    /* consumers that are not: a core has not more */
    uint64_t delivered;       /* messages */
    int64_t since_ms : 56;
    bool is_broker : 1;    /* may use names that begin with `$` */
    bool manages : 1;      /* may ask the service `admin` */
    bool has_consumed : 1; /* so it stays on this core */
    bool has_name : 1;
    bool writable : 1;     /* net's word */
    bool roomy : 1;        /* less than OUT_HIGH_WATER unwritten */
    struct seldom *seldom; /* never NULL; to be written only where endpoint_seldom() gave it */
    char name[];           /* its own, if it has one; without, all this is 160 bytes of heap */
};

/* What a consumer says of deliveries first .. first + count - 1. */
struct ack {
    uint64_t first;
    uint32_t count, arg_ms;
    enum ack_verb verb;
};

struct publisher {
    struct endpoint *ep;
    void *ctx;
    handle_t handle;
    struct list_node link;    /* in endpoint->publishers */
    struct list_node news;    /* in core->news while there is something to tell, in
                                 core->unhurried while that can wait */
    struct list_node starved; /* in core->starved while the budget withholds credit */
    enum publisher_kind kind;
    uint64_t next; /* number of the next message */
    uint64_t told; /* messages up to here have been reported */
    struct patience patience;
    struct ledger ledger;
    uint64_t allowance;       /* credit granted and not used */
    uint32_t window, average; /* messages; bytes of a message, lately */
    struct route *route;      /* where the last run went, or NULL */
    struct named *queue;      /* the same, straight to one queue, or NULL */
    struct topic *carried;    /* the name of that, between two cores; NULL: none */
    bool carried_queue;       /* it is a queue's */
    bool may_hold;            /* its messages may wait in front of a full queue */
    bool makes_unbound;       /* queues that are not bound to their own names */
    struct excuse *excuses;   /* more about refusals that are to be told */
    uint64_t count, bytes;    /* published */
    uint64_t reason[REASON_TABLE_SIZE];
    int64_t waiting_ms; /* something unsettled since; 0: nothing */
};

enum consumer_state {
    CONSUMER_NAMING,    /* the queue is being made or looked up */
    CONSUMER_ATTACHING, /* the home was asked */
    CONSUMER_LIVE,
};

/* Where a consumer wants its queue to go on: what `$from` says (replay.h). */
struct replay {
    bool wanted; /* elsewhere than it left off */
    struct store_rewind to;
};

/* What a consumer of a named queue wants of it, and what it gave to one on another worker. */
struct errand {
    handle_t remote;             /* the tap on another worker, or 0 */
    uint64_t granted;            /* credit so far */
    uint64_t lent;               /* of that, to the remote tap */
    const char *queue;           /* its name, behind the rest */
    uint32_t ack_ms;             /* as of consume_options */
    struct replay from;          /* where the queue is to go on */
    size_t filters_n, headers_n; /* bytes of each in `wants` */
    uint8_t wants[];             /* bindings and own settings, packed (mail.h) */
};

struct consumer {
    struct endpoint *ep;
    void *ctx;
    struct errand *errand; /* of a named queue's; NULL: a subscription */
    uint64_t delivered;    /* number of the last delivery handed to the door */
    uint64_t written;      /* of those, at the socket */
    uint32_t marks;        /* of the endpoint that name it */
    unsigned unseen : 24;  /* workers that have yet to learn of the filters, each counted */
    enum consumer_state state : 4;
    bool ready : 1, manual_ack : 1, facts : 1;

    handle_t handle;
    struct tap *tap;         /* on this worker, or NULL */
    struct list_node link;   /* in endpoint->consumers */
    struct list_node waiter; /* in named->waiters while CONSUMER_NAMING; then in core->readies
                              * until the door knows; then in endpoint->cramped, or in none */
    int64_t since_ms;        /* attached at */
};

/* --------------------------------------------------------------------------------- the core */

/* A message the core itself publishes at the end of the turn. */
struct letter {
    struct list_node link;
    struct timer timer; /* while it rests, to be sent again */
    struct msg *msg;
    char *to; /* a topic, or to_queue: a queue */
    bool to_queue;
    bool accepted;      /* a queue has it */
    bool no_room;       /* the store of one that has not is full */
    bool is_back;       /* it was refused once for what passes */
    enum reason reason; /* the worst answer so far */
    uint32_t waits;     /* sent: answers still to come */
    handle_t handle;    /* sent, and somebody waits for what becomes of it; or 0 */
    handle_t queue;     /* it died there, */
    uint64_t seq;       /* as that number of its store, which is told when it has settled; or 0 */
    size_t headers_n;   /* in place of the message's own */
    uint8_t headers[];
};

struct core_counters {
    uint64_t published, published_bytes;
    uint64_t delivered, delivered_bytes;
    uint64_t unroutable;
    uint64_t repeats;                   /* accepted, and not taken again, all queues */
    uint64_t unopened;                  /* times that a store did not open a queue */
    uint64_t reason[REASON_TABLE_SIZE]; /* refused and lost, all queues */
    uint64_t stale_handles;             /* entries that found nothing */
    uint64_t endpoints;                 /* ever opened */
    struct settled_counters gone;       /* of queues that are */
    uint64_t gone_dead_letters;
    uint64_t calls, calls_open;               /* of callers here: ever, now */
    uint64_t calls_failed[REASON_TABLE_SIZE]; /* at their callers; 0: by the server's own word */
};

struct core {
    unsigned id, workers;
    const struct core_ops *ops;
    void *ctx;
    struct policy_set *policies;
    struct policy_globals globals;
    struct shared_policy *last_policy; /* the one made last, not counted; or NULL */
    int64_t now_ms, wall_ms;
    uint64_t next_id;
    uint64_t offers; /* that had a number */
    struct slots slots;
    struct tree *tree;
    struct routes *routes;
    struct heap timers;
    struct map names;    /* of queues: struct named */
    struct map services; /* struct service (service.h) */
    struct list owing;   /* struct call: what it owes the other side could not be posted */
    struct list parting; /* struct server that has left: the same */
    struct list slow;    /* struct losses of queues whose end of overflowing is yet to be told */
    int64_t slow_due_ms; /* when to look at them next */
    struct list endpoints, letters;
    struct list pump, news, starved, lossy, holding, doomed, barriers, wakeful, readies, behind;
    struct pool pool;          /* kept messages are from here */
    struct list unhurried;     /* publishers whose news can wait */
    int64_t unhurried_due_ms;  /* until then, all of them; INT64_MAX: there are none */
    int64_t used, drawn, left; /* of the budget: charged here, drawn, what all have left */
    bool started;              /* the configured queues have been asked for */
    struct answer_batch {
        handle_t publisher;
        uint64_t first;
        uint32_t count;
        struct answer a;
        struct blamed by; /* the queue that refused them; 0: none to speak of */
    } late;               /* answers that came one by one, gathered */
    uint64_t parked;      /* messages to queues that are not known yet */
    bool draining;
    bool owes;                               /* something is in `owing` or `parting` */
    bool ending;                             /* nobody is told anything any more */
    struct store *stores[DURABLE_REDIS + 1]; /* by level; NULL: there is none (found.h) */
    unsigned searching;   /* worker 0: bits of levels whose stores have yet to tell of all queues */
    unsigned finding;     /* worker 0: found queues that are yet to be made */
    struct list deferred; /* worker 0: wishes that wait for the stores to tell (names.c) */
    struct list durables; /* struct storage: all */
    struct list touched;  /* of those, what the end of the turn is to look at */
    int64_t windows;      /* bytes of the budget that they use, at most */
    struct list sent;     /* struct letter: of durable queues, not settled */
    struct list questions; /* struct question: put to stores, not answered */
    uint64_t asked;        /* so many questions ever */
    struct list moves;     /* struct move (manage.c) */
    struct queue *outlet;  /* of what other brokers want (outlet.h); NULL: none */
    void (*wanted)(void *ctx, struct slice filter, bool on); /* the same; NULL: nobody asks */
    void *wanted_ctx;
    struct core_counters count;

    /* Scratch of one call, so that none of it is on the stack or on the heap: a run from
     * another worker; the offer of a run to queues; deliveries taken from one queue. */
    struct msg_view in_views[RUN_MAX];
    struct msg_meta in_metas[RUN_MAX];
    _Alignas(struct topic) char in_topic[sizeof(struct topic) + NAME_MAX_BYTES + 1];
    struct msg *kept[RUN_MAX];
    struct verdict {
        uint32_t missed; /* queues that did not accept; those that hold it are not counted */
        uint32_t held;   /* queues that hold it */
        uint16_t reason;
    } verdicts[RUN_MAX];
    struct msg_view views[RUN_MAX];
    struct msg_meta metas[RUN_MAX];
    struct msg *taken[RUN_MAX];
};

#endif
