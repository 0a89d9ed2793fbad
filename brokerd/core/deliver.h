/* deliver.h - from queues to consumers: direct hand-over, taking turns, and the taps.
 *
 * Why      Order and fairness are decided here and nowhere else.
 * Shape    A message goes straight from its run into a consumer's output where the queue is empty
 *          and a consumer has credit and room. Else it waits, and the pump hands the queue's head
 *          to the hungry taps in turn.
 * Thread   The queue's worker. */
#ifndef BROKERD_CORE_DELIVER_H
#define BROKERD_CORE_DELIVER_H

#include "brokerd/core/offer.h"
#include "brokerd/core/state.h"

/* Hand as much of the run's beginning as possible to the consumers of `q`, if nothing waits before
 * it: a named queue keeps it as in flight, a subscription not at all. Returns how many. */
uint32_t deliver_direct(struct offer *o, struct queue *q);

/* Have what a delivery to these queues takes read from memory, for all of them at once. */
void deliver_foresee(struct queue *const *q, unsigned n);

/* Deliver what can be delivered now; long backlogs go on next turn. */
void deliver_pump(struct queue *q);

/* Let the pump look at `q` at the end of the turn. */
void deliver_later(struct queue *q);

/* A tap of a new consumer: on this worker (`k`), or on another (`remote`). NULL without memory.
 * It takes nothing until tap_look(). */
struct tap *tap_new(struct queue *q, struct consumer *k, handle_t remote);

/* All taps of a queue, one by one; NULL: there are no more. */
static inline struct tap *tap_first(const struct queue *q)
{
    const struct list_node *n;

    if (!q->is_named)
        return queue_own(q)->queue ? queue_own(q) : NULL;
    n = list_first(&q->backlog->taps);
    return n ? LIST_ITEM(n, struct custody, link)->tap : NULL;
}

static inline struct tap *tap_next(const struct tap *t)
{
    const struct list_node *n;

    if (!t->queue->is_named)
        return NULL;
    n = list_next(&t->queue->backlog->taps, &t->custody->link);
    return n ? LIST_ITEM(n, struct custody, link)->tap : NULL;
}

static inline unsigned taps_of(const struct queue *q)
{
    return q->is_named ? q->backlog->taps_n : queue_own(q)->queue != NULL;
}

static inline unsigned hungry_of(const struct queue *q)
{
    return q->is_named ? q->backlog->hungry_n : q->hungry != NULL;
}

/* Close a tap whose consumer's socket has taken deliveries up to `written`: what is unsettled
 * goes back to the queue, with its attempt counted only if it was written. */
void tap_close(struct tap *t, uint64_t written);

/* Credit, room or limits changed: is the tap hungry? Room that a connection's output has lost is
 * not told to each of its taps: who is about to deliver to a hungry one asks tap_has_room(), and
 * looks if it has not. */
void tap_look(struct tap *t);
bool tap_has_room(const struct tap *t);

/* Deliveries up to `number` have reached the socket. */
void tap_written(struct tap *t, uint64_t number);

/* Settle deliveries; see core_ack(). Those unknown to the tap count as late. Returns how many it
 * settled. */
uint32_t tap_ack(struct tap *t, uint64_t first, uint32_t count, enum ack_verb verb,
                 uint32_t arg_ms);

/* Its consumer goes, and what it was handed up to `upto` stays in flight until that settles; then
 * the tap goes, too. The rest goes back uncounted. */
void tap_part(struct tap *t, uint64_t upto);

/* What it handed out up to `upto` is settled, the rest goes back, the consumer is ended. */
void tap_take_over(struct tap *t, uint64_t upto);

/* It cannot have what it asked for: its consumer is ended. */
void tap_refuse(struct tap *t, const struct refusal *why);

/* Ack deadlines have come. */
void tap_due(struct tap *t);

/* End the queue: its taps are closed with `why`, what it holds is counted as `reason`, its
 * bindings are withdrawn. The queue is freed. */
void queue_end(struct queue *q, enum reason reason, const struct refusal *why);

#endif
