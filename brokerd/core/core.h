/* core.h - the core's edge: what doors, worker and admin may ask of it, and what it asks back.
 *
 * Why      Routing, queues, credit and delivery, apart from networks and protocols: the same
 *          code runs in the daemon, in unit tests and N times over in a simulation.
 * Shape    One core per worker. Doors open an endpoint per connection and on it publishers
 *          and consumers. Time is told by core_clock(); what the core wants of the world goes
 *          through tables of functions. Cores speak to each other in entries (core_take()).
 * Owner    What core_*_open/attach returns belongs to the core; the caller borrows it until it
 *          closes it or is told (`closed`, `settled` of a PUBLISH_ONCE) that it is gone.
 * Errors   0, or -errno with nothing changed; where the peer must be told why, a struct refusal.
 * Thread   The one worker the core lives on. The core is not re-entered: functions in the
 *          tables below write bytes and set marks, and never call back into the core. */
#ifndef BROKERD_CORE_CORE_H
#define BROKERD_CORE_CORE_H

#include "brokerd/core/message.h"
#include "libbroker/base/policy.h"
#include "libbroker/base/reason.h"

struct core;
struct endpoint;
struct publisher;
struct consumer;
struct entry;

enum { CORE_MAX_WORKERS = 64, CORE_WINDOW_BYTES = 1 << 20, CORE_WINDOW_MAX = 32768 };

/* Why a call was refused, in the words of the closed list; text is fit for the peer and begins
 * with the reason's word. */
struct refusal {
    enum reason reason;
    char text[240];
};

/* ------------------------------------------------------------------ the core and its worker */

enum core_event_kind {
    EVENT_SLOW_CONSUMER, /* a queue lost messages, being full: count of reason, and why */
    EVENT_SLOW_ENDED,    /* that is over: the same queue has room again, having lost count */
    EVENT_DROPPED,       /* a queue lost messages for another reason */
    EVENT_QUEUE_MADE,
    EVENT_QUEUE_GONE,
    EVENT_QUEUE_STUCK, /* a block queue's hold ended and nothing had left it */
    EVENT_DEAD_LETTER,
    EVENT_REFUSED,       /* a publish was refused */
    EVENT_CALL_FAILED,   /* a call was refused, or failed by the broker's word */
    EVENT_IDS_FORGOTTEN, /* a queue forgot ids (dedup.h) before their time */
    EVENT_CONNECTED,     /* a client's endpoint was opened */
    EVENT_DISCONNECTED,
    EVENT_STORE, /* something people should know of a queue and its store: `why` */
};

/* Something worth a log line and a `$SYS` message; strings are borrowed, may be "". */
struct core_event {
    enum core_event_kind kind;
    enum reason reason;
    uint64_t count;
    const char *queue, *topic, *client;
    const char *service; /* calls; may be NULL */
    const char *why;     /* what the consumer lacks: "credit", "output", "inflight"; may be NULL */
    int64_t for_ms;      /* how long it lasted; 0: not known */
};

struct core_ops {
    /* Room for an entry of `size` bytes (with its head) in the batch to worker `to`; the core
     * fills it before it returns to the worker. `credited`: bounded by somebody's credit, must
     * be taken; otherwise NULL when too much is on its way already. `refers`: bytes in blocks that
     * the entry keeps from being freed while it is on its way. NULL without memory. */
    struct entry *(*post)(void *ctx, unsigned to, size_t size, bool credited, size_t refers);
    /* Take `delta` bytes from the budget shared by all workers (negative: give back), always
     * granted. Returns what is then left of it, perhaps negative. */
    int64_t (*memory)(void *ctx, int64_t delta);
    void (*event)(void *ctx, const struct core_event *ev);
};

struct core_options {
    unsigned id, workers;       /* this worker's number, and how many there are */
    const struct core_ops *ops; /* outlives the core, as does ctx */
    void *ctx;
    struct policy_set *policies; /* the core takes a reference of its own */
    uint64_t id_base;            /* message ids count up from here: differ between cores */
    uint64_t seed;               /* keys the hashes of names that peers choose: unguessable */
};

/* A core in *ret; -ENOMEM. */
int core_new(const struct core_options *o, struct core **ret);
void core_free(struct core *c); /* NULL is fine; drops all it keeps, tells nobody */

/* The time, in ms: `now` monotonic, `wall` since 1970. Before anything else in a turn. */
void core_clock(struct core *c, int64_t now_ms, int64_t wall_ms);
int64_t core_wall(const struct core *c);
int64_t core_now(const struct core *c);

/* Other settings from now on; queues that exist take their new limits at once, and what their
 * makers asked for holds as far as those allow. */
void core_configure(struct core *c, struct policy_set *policies);

/* An entry that another core posted to this one. Takes over what it holds. */
void core_take(struct core *c, struct entry *e);
/* Release what an entry holds that nobody will take (the process stops). */
void entry_release(struct entry *e);

/* End of the turn: tell publishers what has settled, do what is due. Returns when it wants to
 * be called again at the latest (core_now's clock), INT64_MAX if never. */
int64_t core_tick(struct core *c);

/* No new publishes, attaches or holds: refused `draining`; what is held gets its fallback. */
void core_drain(struct core *c);
/* Whether nothing unsettled or held is left, nor anything that its stores do not keep yet. */
bool core_drained(const struct core *c);

/* Count `delta` bytes of output or reassembly into the memory budget (negative: fewer). This too
 * may be called from within deliver(), and nothing else comes of it. */
void core_charge(struct core *c, int64_t delta);
/* Whether the budget is used up. */
bool core_short_of_memory(const struct core *c);

/* ------------------------------------------------------------------------------- endpoints */

/* One or more messages for one consumer; everything borrowed for the call. */
struct gap {
    enum reason reason;
    uint64_t count;
};

struct delivery {
    const struct topic *topic; /* of all of them */
    struct run run;
    uint64_t offer;         /* deliveries with the same number, run.v and run.n are of the same
                             * messages; 0: not known */
    uint32_t attempt;       /* 1 for the first; more: n is 1 */
    const struct gap *gaps; /* lost before the first of them; NULL: none */
    unsigned gaps_n;
    uint64_t first;  /* delivery number of the first, from 1 */
    uint64_t seq;    /* queue sequence number of the first; the others follow */
    uint64_t id;     /* message id of the first; the others follow */
    int64_t time_ms; /* wall clock of publishing */
};

/* Messages first..first+count-1 of a publisher have had one outcome. */
struct outcome {
    uint64_t first;
    uint32_t count;
    enum reason reason;         /* REASON_NONE: accepted by all that matched, at least one */
    uint32_t matched, accepted; /* queues */
    const char *text;           /* more about a refusal, or NULL */
};

struct endpoint_ops {
    const char *door; /* whose these are, for people: "rsocket"; static */
    /* Write the deliveries into the endpoint's output, then out_end(). Returns the output's
     * position after them (out->end). */
    uint64_t (*deliver)(void *consumer_ctx, const struct delivery *d);
    /* Every worker knows of the consumer now; messages published from here on arrive. */
    void (*ready)(void *consumer_ctx);
    /* The consumer is gone: end its stream. `lost` messages were dropped with it. */
    void (*closed)(void *consumer_ctx, const struct refusal *why, uint64_t lost);
    /* Messages up to `upto` have settled; `o` covers, in order, all those not reported before.
     * At the end of a turn; several times where outcomes are many and mixed. A PUBLISH_ONCE
     * publisher is gone after it. */
    void (*settled)(void *publisher_ctx, uint64_t upto, const struct outcome *o, size_t n);
    /* `n` more messages may be sent (not for PUBLISH_FORGET, PUBLISH_ONCE). */
    void (*granted)(void *publisher_ctx, uint32_t n);
    /* What core_barrier() asked for. */
    void (*barrier)(void *endpoint_ctx, uint64_t token);
    /* What core_settle() asked for: whether the delivery was in flight, and is now settled as
     * asked. NULL where nobody asks. */
    void (*resolved)(void *endpoint_ctx, uint64_t token, bool settled);
    /* Who is at the other end, for people: the name of an endpoint that has none of its own. NULL
     * where all have. */
    const char *(*peer)(const void *endpoint_ctx);
};

struct endpoint_desc {
    const char *name;      /* for people, copied; NULL: what ops->peer() says */
    bool is_broker;        /* the broker's own: may publish to names that begin with `$` */
    uint32_t publish_rate; /* messages a second that it may publish, all its publishers together;
                            * it may save up one second's worth. 0: any number */
    bool manages;          /* may ask the service `admin` (access.h); the broker's own may anyway */
};

/* An endpoint in *ret; -ENOMEM. */
int core_endpoint_open(struct core *c, const struct endpoint_desc *d,
                       const struct endpoint_ops *ops, void *ctx, struct endpoint **ret);
/* From now on it may ask the service `admin`, or may not: it came in another way (a session that
 * goes on over another connection). */
void core_endpoint_set_manages(struct endpoint *ep, bool manages);
/* Close it with all its publishers and consumers; no callback comes after. What was delivered
 * beyond the last core_written() position goes back uncounted. NULL is fine. */
void core_endpoint_close(struct endpoint *ep);
/* Whether the endpoint's output has room (below OUT_HIGH_WATER); true at first. This and
 * core_written() only note what they are told until the next core_tick(): they alone may be
 * called from within deliver(), where a long run is written at once. */
void core_writable(struct endpoint *ep, bool writable);
/* Output up to this position has been written to the socket. Whether the core has to tick for
 * that: not if a subscription alone hears of it. */
bool core_written(struct endpoint *ep, uint64_t position);
/* Call ops->barrier(token) when all this endpoint asked for before is ready; perhaps at the
 * end of this turn. -ENOMEM. */
int core_barrier(struct endpoint *ep, uint64_t token);

/* ------------------------------------------------------------------------ to another core
 *
 * An endpoint that only publishes may go to the core its messages go to, where they cost half.
 * Its publishers go with it: same context, numbers and credit. Their messages keep their order,
 * for what it posted before it left was sent in an earlier turn than the message that carries
 * it, and mailboxes keep that order (worker.h). */

/* Whether three quarters of what `ep` published for 100 ms (and 8 messages) went to one other
 * worker, *ret. Never if it has ever consumed. */
bool core_endpoint_wants(const struct endpoint *ep, unsigned *ret);
/* Whether nothing of it is under way in this core: all its messages have settled and been told.
 * Stays so while it publishes nothing, but for messages of others (say it again to be sure). */
bool core_endpoint_at_rest(const struct endpoint *ep);
/* Take it out of its core, which must be at rest with it since an earlier turn; nothing may be
 * done with it but to have it join. -ENOMEM: it has not left. */
int core_endpoint_leave(struct endpoint *ep);
/* Take it in, on the thread of `c`. -ENOMEM: it is in, but good for nothing: close it. */
int core_endpoint_join(struct core *c, struct endpoint *ep);

/* ------------------------------------------------------------------------------ publishing */

enum publisher_kind {
    PUBLISH_FORGET, /* never waits, is told nothing: loss is counted */
    PUBLISH_ONCE,   /* one message; settled() once, then gone */
    PUBLISH_WINDOW, /* a stream: granted() and settled() */
};

/* A publisher on `ep` in *ret; -ENOMEM, -EPIPE draining. */
int core_publisher_open(struct endpoint *ep, enum publisher_kind kind, void *ctx,
                        struct publisher **ret);
/* No callback comes after; what it published goes its way. NULL is fine. */
void core_publisher_close(struct publisher *p);
/* No more will come, or somebody waits: what is yet to be told is told as soon as it is known. */
void core_publisher_last(struct publisher *p);
/* What it publishes from now on never waits in front of a full queue: there block-fallback applies
 * at once. For who must go on being heard meanwhile, lest its own acks wait behind what they would
 * make room for. */
void core_publisher_never_hold(struct publisher *p);
/* A queue that it makes, by sending to it, is not bound to the topic of its own name (`$bind`). */
void core_publisher_makes_unbound(struct publisher *p);
/* settled() comes on until all is settled: is it? */
bool core_publisher_idle(const struct publisher *p);

struct target {
    bool is_queue; /* that one queue, whatever its bindings; else all that match a topic */
    struct slice name;
};

/* Publish a run, borrowed. `to` NULL: where the publisher's last run went. Messages number on
 * from 1; each will have an outcome, at once (told at the end of the turn) or much later: also
 * one that is larger than max-message.
 *  0         taken
 *  -EINVAL   bad name, or no target yet: *ret_why says so, no message was numbered
 *  -ENOBUFS  beyond the credit granted; none was taken
 *  -EACCES   not its name to use (*ret_why)
 *  -EPIPE    draining (*ret_why)
 *  -ENOMEM */
int core_publish(struct publisher *p, const struct target *to, const struct run *run,
                 struct refusal *ret_why);

/* Is it a name, and one that the endpoint may use? For who has to know of several before it
 * publishes to the first. -EINVAL, -EACCES with *ret_why. */
int core_may_publish(const struct endpoint *ep, const struct target *to, struct refusal *ret_why);

enum { CORE_FORESEE_MAX = 32 };

/* Messages to these topics (any bytes, at most CORE_FORESEE_MAX) are published next: have what
 * that takes read from memory, for all of them at once. Nothing else comes of it. Among 100,000
 * subscriptions each message alone waits for memory a dozen times, one after the other. */
void core_foresee(struct core *c, const struct slice *topics, unsigned n);

/* The same for entries that are taken next (at most CORE_FORESEE_MAX), of any kinds. */
void core_foresee_mail(struct core *c, struct entry *const *e, unsigned n);

/* ------------------------------------------------------------------------------- consuming */

struct consume_options {
    struct slice queue;          /* consume: its name; subscribe: empty */
    const struct slice *filters; /* subscribe: 1 or more; consume: bindings to add, 0 or more */
    unsigned filters_n;
    bool manual_ack;      /* consume only: settled by core_ack(), else when written */
    uint32_t ack_ms;      /* with that: its own ack-timeout; 0: the queue's */
    uint64_t credit;      /* messages; CORE_UNLIMITED and above: no limit */
    struct slice headers; /* neutral form; the `$` names among them are own settings. With `$bind:
                           * none` a queue that is made for this is not bound to the topic of its
                           * own name; with the broker's own `$make: 1` it is made whatever the
                           * settings say of clients */
};

#define CORE_UNLIMITED UINT64_C(0x7fffffff)

/* Is there, or is being made, a queue of that name, as far as this core has heard? All cores hear
 * of a queue before whoever made it can use it. */
bool core_queue_known(const struct core *c, struct slice name);
/* Delete it, wherever it lives: what waits there is lost. Nothing happens if there is none. */
void core_queue_remove(struct core *c, struct slice name);

/* A consumer on `ep` in *ret. Deliveries begin when it is attached, `ready` says that every
 * publisher sees it. -EINVAL, -EACCES, -EPIPE, -ENOENT, -ENOSPC with *ret_why; -ENOMEM. What it
 * takes another worker to know is told by `closed`, never from within this call. */
int core_attach(struct endpoint *ep, const struct consume_options *o, void *ctx,
                struct consumer **ret, struct refusal *ret_why);
/* What it consumes: the queue's name, or the first filter. */
const char *core_consumer_label(const struct consumer *k);
/* No callback comes after; what it has unacknowledged returns to its queue. NULL is fine. */
void core_detach(struct consumer *k);
/* The number of the last delivery that the socket has taken whole; 0: none. */
uint64_t core_consumer_written(const struct consumer *k);
/* `k` goes, but the deliveries up to `upto` stay with whom they were passed on
 * to: each is in flight until it is settled by core_settle() or its time is up. Those after it
 * return to the queue, not counted as attempts. A subscription goes as with its connection: what
 * was not written is lost. No callback comes after. */
void core_part(struct consumer *k, uint64_t upto);
/* `n` more messages may be delivered. */
void core_grant(struct consumer *k, uint64_t n);

enum ack_verb { ACK_DONE = 1, ACK_NACK = 2, ACK_REJECT = 3, ACK_EXTEND = 4 };

/* Settle deliveries first..first+count-1. `arg_ms`: nack, the delay; extend, from now on, 0 for
 * the queue's own time-out. Those settled already are counted as late. Where much is asked at
 * once, it is done later, in order (core_is_behind). -EINVAL: a number not delivered yet, or not a
 * manual-ack consumer; -ENOMEM; nothing done. */
int core_ack(struct consumer *k, uint64_t first, uint32_t count, enum ack_verb verb,
             uint32_t arg_ms);
/* Whether acks of the endpoint's consumers wait, some milliseconds, to be carried out: until then
 * nothing more should be read from it. */
bool core_is_behind(const struct endpoint *ep);

/* What names a delivery in all cores, whoever it went to. Numbers that nobody should guess. */
struct delivery_ref {
    uint64_t tap, number;
};

/* The name of delivery `number` of `k`, which consumes a queue; may be asked from within deliver(),
 * for those that it is handed. -ENOMEM. */
int core_delivery_ref(struct consumer *k, uint64_t number, struct delivery_ref *ret);

struct settlement {
    struct slice queue; /* as it was attached to */
    struct delivery_ref ref;
    enum ack_verb verb;
    uint32_t arg_ms; /* as of core_ack() */
};

/* Settle a delivery from anywhere; `ep` hears by resolved(token), perhaps from within this call.
 * -EINVAL: such a name was never given; -EACCES, *ret_why; -ENOMEM. */
int core_settle(struct endpoint *ep, const struct settlement *s, uint64_t token,
                struct refusal *ret_why);
/* Whoever got that delivery has come again, having seen all it was handed up to it: that is
 * settled, what it was handed after it returns to its queue now, before what `ep` asks for next; if
 * its consumer is still there it is closed with REASON_NONE. The verb counts for nothing. Errors as
 * before. */
int core_take_over(struct endpoint *ep, const struct settlement *s, struct refusal *ret_why);

#endif
