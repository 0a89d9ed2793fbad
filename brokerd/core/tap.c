#include "brokerd/core/tap.h"

#include "brokerd/core/consume.h"
#include "brokerd/core/durable.h"
#include "brokerd/core/endpoint.h"
#include "brokerd/core/loss.h"
#include "brokerd/core/mail.h"
#include "brokerd/core/names.h"
#include "brokerd/core/queue.h"

#include <errno.h>
#include <stdlib.h>

/* ---------------------------------------------------------------------------- life */

static int custody_begin(struct tap *t, handle_t remote)
{
    struct core *c = t->queue->core;

    *t->custody =
        (struct custody){.tap = t, .remote = remote, .timer = {{.key = INT64_MAX}, TIMER_TAP}};
    flights_init(&t->custody->flights);
    if (heap_push(&c->timers, &t->custody->timer.node) < 0)
        return -ENOMEM;
    if (!remote)
        return 0;
    t->custody->handle = slots_put(&c->slots, SLOT_TAP, t);
    if (t->custody->handle)
        return 0;
    heap_remove(&c->timers, &t->custody->timer.node);
    return -ENOMEM;
}

static void join(struct tap *t)
{
    struct queue *q = t->queue;

    if (!q->is_named)
        return;
    list_push_back(&q->backlog->taps, &t->custody->link);
    q->backlog->taps_n++;
}

/* It is gone. False: it was the last. */
static bool leave(struct tap *t)
{
    struct queue *q = t->queue;

    if (!q->is_named) {
        t->queue = NULL;
        return false;
    }
    list_remove(&t->custody->link);
    q->backlog->parted_n -= t->parted;
    free(t);
    return --q->backlog->taps_n != 0;
}

/* The first in line is who has its turn. */
static void line_up(struct queue *q)
{
    struct list_node *n = list_first(&q->backlog->hungry);

    q->hungry = n ? LIST_ITEM(n, struct custody, hungry)->tap : NULL;
}

static void set_hungry(struct tap *t, bool hungry)
{
    struct queue *q = t->queue;

    t->hungry = hungry;
    if (!q->is_named) {
        q->hungry = hungry ? t : NULL;
        return;
    }
    if (hungry) {
        list_push_back(&q->backlog->hungry, &t->custody->hungry);
        q->backlog->hungry_n++;
    } else {
        list_remove(&t->custody->hungry);
        q->backlog->hungry_n--;
    }
    line_up(q);
    if (q->backlog->stored)
        durable_touch(q->backlog->stored);
}

void tap_yield(struct tap *t)
{
    list_move_to_back(&t->queue->backlog->hungry, &t->custody->hungry);
    line_up(t->queue);
}

struct tap *tap_new(struct queue *q, struct consumer *k, handle_t remote)
{
    struct tap *t = q->is_named ? calloc(1, sizeof *t + sizeof *t->custody) : queue_own(q);

    if (!t)
        return NULL;
    t->queue = q;
    t->consumer = k;
    t->starved_ms = q->core->now_ms;
    if (q->is_named && custody_begin(t, remote) < 0) {
        free(t);
        return NULL;
    }
    join(t);
    queue_in_use(q, true);
    return t;
}

/* `f` will not be settled by its consumer any more. `counts`: it was an attempt. */
static void give_back(struct queue *q, struct flight *f, bool counts, int64_t delay_ms)
{
    struct storage *d = q->backlog->stored;
    struct msg *m = f->msg;

    if (!counts)
        f->attempts--;
    q->backlog->inflight--;
    if (f->attempts >= q->policy->max_deliveries) {
        loss_message(q, m, f->seq, f->attempts, REASON_ATTEMPTS);
        queue_let_go(q, m);
    } else {
        if (d && (d->shared || counts || delay_ms > 0))
            durable_returned(d, f->seq, f->attempts, delay_ms);
        if (d && d->shared)
            queue_let_go(q, m);
        else
            queue_put_back(q, f, delay_ms);
    }
    f->msg = NULL;
}

static __attribute__((noinline)) void tell_settled(const struct tap *t, uint64_t first,
                                                   uint64_t end)
{
    const struct flight *f;

    for (uint64_t i = first; (f = flights_next(&t->custody->flights, &i, end)) != NULL; i++)
        durable_gone(t->queue->backlog->stored, f->seq);
}

/* Flights from `first` to below `end` are about to be settled: a store is to know of them. All in
 * one walk before that, so that a queue without a store is asked once and not for each message. */
static inline void note_settled(const struct tap *t, uint64_t first, uint64_t end)
{
    if (t->queue->backlog->stored)
        tell_settled(t, first, end);
}

static void settle(struct queue *q, struct flight *f)
{
    queue_let_go(q, f->msg);
    f->msg = NULL;
    q->backlog->inflight--;
    q->backlog->settled.acked++;
}

/* It settles nothing any more: what it had in flight is settled or goes back. */
static void custody_end(struct tap *t, uint64_t written)
{
    struct queue *q = t->queue;
    struct flight *f;

    if (!t->manual_ack)
        note_settled(t, 0, written + 1);
    for (uint64_t i = 0; (f = flights_next(&t->custody->flights, &i, UINT64_MAX)) != NULL; i++) {
        if (!t->manual_ack && i <= written)
            settle(q, f);
        else
            give_back(q, f, i <= written, 0);
    }
    flights_fini(&t->custody->flights);
    heap_remove(&q->core->timers, &t->custody->timer.node);
    slots_drop(&q->core->slots, t->custody->handle);
}

void tap_close(struct tap *t, uint64_t written)
{
    struct queue *q = t->queue;

    if (q->is_named)
        custody_end(t, written);
    if (t->hungry)
        set_hungry(t, false);
    if (!leave(t))
        queue_in_use(q, false);
    deliver_later(q);
}

/* Some of what it had has settled. One that has nothing left and nobody to have more goes. */
static void settled_some(struct tap *t)
{
    flights_trim(&t->custody->flights, t->custody->unsettled);
    tap_look(t);
    deliver_later(t->queue);
    if (t->parted && !t->custody->unsettled)
        tap_close(t, UINT64_MAX);
}

void tap_part(struct tap *t, uint64_t upto)
{
    struct queue *q = t->queue;
    struct flight *f;

    for (uint64_t i = upto + 1; (f = flights_next(&t->custody->flights, &i, UINT64_MAX)) != NULL;
         i++) {
        give_back(q, f, false, 0);
        t->custody->unsettled--;
    }
    t->consumer = NULL;
    t->custody->remote = 0;
    t->parted = t->stopped = true;
    q->backlog->parted_n++;
    settled_some(t);
}

/* ---------------------------------------------------------------------- appetite */

bool tap_has_room(const struct tap *t)
{
    return t->consumer ? endpoint_has_room(t->consumer->ep)
                       : t->custody->unwritten_bytes < LEND_BYTES;
}

void tap_look(struct tap *t)
{
    struct queue *q = t->queue;
    bool hungry = t->credit && !t->stopped &&
                  (!q->is_named || t->custody->unsettled < q->policy->max_inflight);

    if (hungry && !tap_has_room(t)) {
        hungry = false;
        if (t->consumer)
            endpoint_cramped(t->consumer);
    }
    if (hungry == t->hungry)
        return;
    set_hungry(t, hungry);
    if (hungry) {
        t->starved_ms = 0;
        if (queue_ready(q))
            deliver_later(q);
    } else {
        t->starved_ms = q->core->now_ms;
    }
}

void tap_written(struct tap *t, uint64_t number)
{
    struct queue *q = t->queue;
    struct flight *f;

    t->custody->written = number;
    if (t->manual_ack)
        return;
    note_settled(t, 0, number + 1);
    for (uint64_t i = 0; (f = flights_next(&t->custody->flights, &i, number + 1)) != NULL; i++) {
        settle(q, f);
        t->custody->unsettled--;
    }
    flights_trim(&t->custody->flights, t->custody->unsettled);
    tap_look(t);
    if (deque_len(&q->backlog->held))
        offer_admit(q);
}

/* ------------------------------------------------------------------ acks, time-outs */

void tap_arm(struct tap *t, int64_t due_ms)
{
    if (due_ms < t->custody->timer.node.key)
        heap_update(&t->queue->core->timers, &t->custody->timer.node, due_ms);
}

static void extend(struct tap *t, struct flight *f, uint32_t ms)
{
    int64_t own = t->custody->ack_ms ? t->custody->ack_ms : t->queue->policy->ack_timeout_ms;
    int64_t by = ms ? (int64_t)ms : own;

    f->deadline_ms = by == POLICY_NEVER ? INT64_MAX : t->queue->core->now_ms + by;
    tap_arm(t, f->deadline_ms);
}

static void reject(struct queue *q, struct flight *f)
{
    loss_message(q, f->msg, f->seq, f->attempts, REASON_REJECTED);
    queue_let_go(q, f->msg);
    f->msg = NULL;
    q->backlog->inflight--;
}

uint32_t tap_ack(struct tap *t, uint64_t first, uint32_t count, enum ack_verb verb, uint32_t arg_ms)
{
    struct queue *q = t->queue;
    uint64_t end = first + count;
    uint32_t known = 0;
    struct flight *f;

    if (verb == ACK_DONE)
        note_settled(t, first, end);
    for (uint64_t i = first; (f = flights_next(&t->custody->flights, &i, end)) != NULL; i++) {
        known++;
        switch (verb) {
        case ACK_DONE:
            settle(q, f);
            break;
        case ACK_NACK:
            give_back(q, f, true, arg_ms);
            q->backlog->settled.nacked++;
            break;
        case ACK_REJECT:
            reject(q, f);
            break;
        case ACK_EXTEND:
            extend(t, f, arg_ms);
            continue;
        }
        t->custody->unsettled--;
    }
    q->backlog->settled.late += count - known;
    settled_some(t);
    return verb == ACK_EXTEND ? 0 : known;
}

void tap_due(struct tap *t)
{
    struct queue *q = t->queue;
    int64_t now = q->core->now_ms, next = INT64_MAX;
    struct flight *f;

    for (uint64_t i = 0; (f = flights_next(&t->custody->flights, &i, UINT64_MAX)) != NULL; i++) {
        if (f->deadline_ms > now) {
            next = f->deadline_ms < next ? f->deadline_ms : next;
            continue;
        }
        q->backlog->settled.timeouts++;
        t->custody->unsettled--;
        give_back(q, f, true, 0);
    }
    heap_update(&q->core->timers, &t->custody->timer.node, next);
    settled_some(t);
}

/* --------------------------------------------------------------------- end of a queue */

static void close_consumer(struct tap *t, const struct refusal *why, uint64_t lost)
{
    struct core *c = t->queue->core;

    if (t->consumer) {
        consumer_closed(t->consumer, why, lost);
    } else if (!t->parted) {
        struct mail_closed *m =
            mail_post(c, handle_worker(t->custody->remote), MAIL_CLOSED, sizeof *m, true);

        if (m) {
            m->consumer = t->custody->remote;
            m->lost = lost;
            m->why = *why;
        }
    }
}

void tap_take_over(struct tap *t, uint64_t upto)
{
    struct refusal elsewhere = {.reason = REASON_NONE,
                                .text = "it goes on over another connection"};
    struct queue *q = t->queue;
    struct flight *f;

    note_settled(t, 0, upto + 1);
    for (uint64_t i = 0; (f = flights_next(&t->custody->flights, &i, upto + 1)) != NULL; i++) {
        settle(q, f);
        t->custody->unsettled--;
    }
    close_consumer(t, &elsewhere, 0);
    tap_close(t, UINT64_MAX);
}

void tap_refuse(struct tap *t, const struct refusal *why)
{
    close_consumer(t, why, 0);
    tap_close(t, UINT64_MAX);
}

static uint64_t lost_so_far(const struct queue *q)
{
    uint64_t n = 0;

    for (unsigned r = 0; q->backlog->losses && r < REASON_TABLE_SIZE; r++)
        n += q->backlog->losses->gap[r];
    return n;
}

void queue_end(struct queue *q, enum reason reason, const struct refusal *why)
{
    struct tap *t;
    uint64_t lost;

    while ((t = tap_first(q)) != NULL) {
        struct flight *f;

        for (uint64_t i = 0;
             q->is_named && (f = flights_next(&t->custody->flights, &i, UINT64_MAX)) != NULL; i++) {
            loss_count(q, reason, 1); /* the consumer's already, but never to be settled */
            queue_let_go(q, f->msg);
            q->backlog->inflight--;
            f->msg = NULL;
        }
        lost = lost_so_far(q) + q->backlog->waiting;
        close_consumer(t, why, lost);
        tap_close(t, UINT64_MAX);
    }
    offer_end_holds(q, REASON_NOT_FOUND);
    if (q->backlog->stored)
        durable_end(q, REASON_NOT_FOUND);
    queue_purge(q, reason);
    if (q->backlog->stored)
        durable_close(q, reason == REASON_DELETED);
    names_unbind_all(q);
    if (queue_keeps(q) && q->backlog->losses)
        q->backlog->losses->announced_ms = 0;
    loss_announce(q->core);
    queue_free(q);
}
