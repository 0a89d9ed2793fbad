/* queue.h - what waits in a queue: order, limits, expiry, and how a message comes and goes.
 *
 * Why      The container, apart from who fills it (offer.h) and who drains it (deliver.h).
 * Shape    First deliveries in `fifo` by sequence number, without holes but those that expiry
 *          leaves; what came back in a heap by its old number, served first; delayed ones in the
 *          core's timers. Numbers start at 1 and are never used again.
 * Owner    The core has its queues in its slots; a message that waits is one reference.
 * Thread   The queue's worker. */
#ifndef BROKERD_CORE_QUEUE_H
#define BROKERD_CORE_QUEUE_H

#include "brokerd/core/budget.h"

/* An empty queue with a name, or a subscription's; `label`, copied, is the name or the first
 * filter. NULL without memory. */
struct queue *queue_new(struct core *c, bool is_named, struct slice label,
                        const struct queue_policy *policy);

/* Free the queue with all it holds, counting nothing: see queue_end() in deliver.h. It must
 * have no taps and no bindings. */
void queue_free(struct queue *q);

/* What a queue has that keeps nothing: empty, and constant. The other is the same with a gap to be
 * told (loss_elsewhere()), so that this costs nothing for each of many that are idle. */
extern const struct backlog backlog_none, backlog_missed;

static inline bool queue_keeps(const struct queue *q)
{
    return q->backlog != &backlog_none && q->backlog != &backlog_missed;
}

/* It has none: point it to backlog_none, or to backlog_missed. */
static inline void queue_keeps_none(struct queue *q, bool missed)
{
    q->backlog = (struct backlog *)(uintptr_t)(missed ? &backlog_missed : &backlog_none);
}

/* The queue's own backlog, made if it has none yet; NULL without memory. */
struct backlog *queue_backlog(struct queue *q);
/* What it lost; NULL without memory. */
struct losses *backlog_losses(struct backlog *b);

/* It has its first consumer, or lost its last one. */
void queue_in_use(struct queue *q, bool used);

/* The filters that it is bound to, one by one: false if there are no more. Zeroed at first. */
struct filter_walk {
    const struct binding *next;
    bool begun;
};

static inline bool queue_next_filter(const struct queue *q, struct filter_walk *w,
                                     struct slice *ret)
{
    if (!w->begun) {
        *w = (struct filter_walk){q->bindings, true};
        if (!q->is_named && q->bindings_n) {
            *ret = slice_str(q->label);
            return true;
        }
    }
    if (!w->next)
        return false;
    *ret = binding_filter(w->next);
    w->next = w->next->next;
    return true;
}

/* Rises with each message that leaves, delivered or lost. */
static inline uint64_t queue_left(const struct queue *q)
{
    return q->out + q->backlog->left;
}

/* Whether `q` is at its own limits for a message of `len` bytes. An empty queue takes any. */
static inline bool queue_at_limit(const struct queue *q, uint32_t len)
{
    return q->backlog->waiting && (q->backlog->waiting >= q->policy->max_messages ||
                                   q->backlog->bytes + len > q->policy->max_bytes);
}

/* Whether the budget lasts for one message more of `q`, which is kept, and so charged, already: no
 * queue may have more of it than it leaves to all others. */
static inline bool queue_affords(const struct queue *q)
{
    int64_t left = budget_left(q->core);

    return left >= 0 && q->backlog->charged <= left;
}

/* Append a message; its reference passes to the queue. -ENOMEM: it does not. */
int queue_push(struct queue *q, struct msg *m);

/* The same with a number of its own and another time that it came: of a durable queue. The numbers
 * between are holes. */
int queue_push_at(struct queue *q, uint64_t seq, struct msg *m, int64_t since_ms);

/* What could be delivered now. */
static inline uint64_t queue_ready(const struct queue *q)
{
    return q->backlog->waiting - q->backlog->unready_n;
}

/* The oldest deliverable message, expired ones dropped on the way; NULL if there is none. */
struct head {
    struct msg *msg;
    uint64_t seq;
    int64_t since_ms;
    uint32_t attempts; /* deliveries so far */
    struct back *back; /* it came back; NULL: it heads the fifo */
};
bool queue_head(struct queue *q, struct head *ret);

/* Take that head out: its reference passes to the caller. */
void queue_take(struct queue *q, const struct head *h);

/* Put what was delivered back where it stood; its reference passes to the queue. `delay_ms`:
 * only then. Without memory it is lost and counted; of a durable queue it stays in its store. */
void queue_put_back(struct queue *q, const struct flight *f, int64_t delay_ms);

/* The same, but without memory -ENOMEM, and nothing has changed. */
int queue_come_back(struct queue *q, const struct flight *f, int64_t delay_ms);

/* A delay is over. */
void queue_back_due(struct back *b);

/* A message has left for good (settled, lost): give its memory back, note that something
 * moved. Drops the reference. */
void queue_let_go(struct queue *q, struct msg *m);

/* Drop what has expired, note when the next does. */
void queue_expire(struct queue *q);

/* When the queue's one timer must fire: expiry, hold, end of an unused queue. */
void queue_arm(struct queue *q);

/* Let go of all that waits in memory, of a durable queue: it stays in its store, and whoever calls
 * this counts it. */
void queue_forget(struct queue *q);

/* Drop all that waits (not what is in flight), counting `reason`. Returns how many. */
uint64_t queue_purge(struct queue *q, enum reason reason);

#endif
