#include "brokerd/core/deliver.h"

#include "brokerd/core/durable.h"
#include "brokerd/core/endpoint.h"
#include "brokerd/core/loss.h"
#include "brokerd/core/mail.h"
#include "brokerd/core/publish.h"
#include "brokerd/core/queue.h"
#include "brokerd/core/tap.h"

/* --------------------------------------------------------------------------- gaps */

enum { GAPS_MAX = REASON_TABLE_SIZE };

/* What the queue lost since its last delivery, into `gaps`; the queue forgets it. */
static unsigned take_gaps(struct queue *q, struct gap *gaps)
{
    unsigned n = 0;

    if (!q->backlog->losses || !q->backlog->losses->has_gap)
        return 0;
    for (unsigned r = 0; r < REASON_TABLE_SIZE; r++) {
        if (!q->backlog->losses->gap[r]) /* nor is a constant one written to */
            continue;
        gaps[n++] = (struct gap){(enum reason)r, q->backlog->losses->gap[r]};
        q->backlog->losses->gap[r] = 0;
    }
    if (q->backlog->losses->elsewhere)
        gaps[n++] = (struct gap){REASON_NODE, 0};
    if (!queue_keeps(q))
        queue_keeps_none(q, false);
    else
        q->backlog->losses->elsewhere = q->backlog->losses->has_gap = false;
    return n;
}

/* ------------------------------------------------------------------------- sending */

static int send_remote(struct tap *t, const struct delivery *d)
{
    struct core *c = t->queue->core;
    struct slice topic = topic_slice(d->topic);
    size_t gaps = d->gaps_n * sizeof *d->gaps;
    struct packing k = mail_measure(topic, &d->run);
    struct mail_deliver *m = mail_post(c, handle_worker(t->custody->remote), MAIL_DELIVER,
                                       sizeof *m + gaps + k.size, true);

    if (!m)
        return -1;
    m->consumer = t->custody->remote;
    m->first = d->first;
    m->seq = d->seq;
    m->id = d->id;
    m->time_ms = d->time_ms;
    m->bytes_n = d->run.bytes;
    m->n = d->run.n;
    m->attempt = d->attempt;
    m->topic_n = (uint16_t)topic.n;
    m->gaps_n = (uint16_t)d->gaps_n;
    m->type_id = d->run.type.id;
    m->type_n = (uint8_t)(d->run.type.id == CTYPE_NAMED ? d->run.type.name.n : 0);
    if (gaps)
        memcpy(m->bytes, d->gaps, gaps);
    mail_pack(m->bytes + gaps, topic, &d->run, &k);
    t->custody->unwritten_bytes += d->run.bytes;
    return 0;
}

/* The consumer does not hear of them after all. */
static void return_gaps(struct queue *q, const struct delivery *d)
{
    for (unsigned i = 0; i < d->gaps_n; i++) {
        q->backlog->losses->gap[d->gaps[i].reason] += d->gaps[i].count;
        q->backlog->losses->elsewhere |= d->gaps[i].reason == REASON_NODE;
        q->backlog->losses->has_gap = true;
    }
}

/* Hand `d` to the tap's consumer and account for it. False: there is no memory to tell another
 * worker, and nothing has changed. */
static bool send(struct tap *t, struct delivery *d)
{
    struct queue *q = t->queue;
    struct core *c = q->core;
    struct gap gaps[GAPS_MAX];
    uint32_t n = d->run.n;

    d->gaps_n = take_gaps(q, gaps);
    d->gaps = d->gaps_n ? gaps : NULL;
    d->first = t->numbered + 1;
    if (!t->consumer && send_remote(t, d) < 0) {
        return_gaps(q, d);
        return false;
    }
    t->numbered += n;
    if (t->credit < CORE_UNLIMITED)
        t->credit -= n;
    q->out += n;
    c->count.delivered += n;
    c->count.delivered_bytes += d->run.bytes;
    if (d->attempt > 1)
        q->backlog->settled.redelivered++;
    if (t->consumer)
        endpoint_deliver(t->consumer, d);
    return true;
}

/* -------------------------------------------------------------------- who gets how much */

/* When what is delivered now must be settled; the tap's timer is set to it. */
static int64_t ack_deadline(struct tap *t)
{
    int64_t own = t->custody->ack_ms, timeout = own ? own : t->queue->policy->ack_timeout_ms;
    int64_t at = INT64_MAX;

    if (t->manual_ack && timeout != POLICY_NEVER)
        at = t->queue->core->now_ms + timeout;
    tap_arm(t, at);
    return at;
}

static bool add_flight(struct tap *t, const struct head *h, int64_t deadline_ms)
{
    struct flight *f = flights_push(&t->custody->flights);

    if (f)
        *f = (struct flight){.msg = h->msg,
                             .seq = h->seq,
                             .since_ms = h->since_ms,
                             .deadline_ms = deadline_ms,
                             .attempts = h->attempts + 1};
    return f;
}

/* So many were added. */
static void count_flights(struct tap *t, uint32_t n)
{
    struct backlog *b = t->queue->backlog;

    t->custody->unsettled += n;
    b->inflight += n;
    if (b->stored)
        durable_touch(b->stored);
}

/* A round in which each hungry tap gets an equal share of what was ready at its beginning. */
struct round {
    uint64_t share;
    unsigned taps; /* that have yet to get theirs */
};

static void next_round(struct round *r, const struct queue *q, uint64_t ready)
{
    r->taps = hungry_of(q);
    r->share = RUN_MAX;
    if (r->taps > 1) {
        r->share = (ready + r->taps - 1) / r->taps;
        r->share = r->share < SHARE_MAX ? r->share : SHARE_MAX;
    }
}

/* What of its share the tap may have. */
static uint32_t helping(const struct queue *q, const struct tap *t, uint64_t n)
{
    if (q->is_named) {
        uint64_t out = t->custody->unsettled, most = q->policy->max_inflight;
        uint64_t room = out < most ? most - out : 0;

        n = room < n ? room : n;
    }
    return (uint32_t)(n < t->credit ? n : t->credit);
}

/* The last `n` flights were not sent: back to their places. */
static void take_back(struct tap *t, uint32_t n)
{
    struct queue *q = t->queue;

    for (; n; n--) {
        struct flight *f =
            deque_slot(&t->custody->flights.recent, flights_end(&t->custody->flights) - 1);

        f->attempts--;
        queue_put_back(q, f, 0);
        q->backlog->inflight--;
        t->custody->unsettled--;
        deque_unpush(&t->custody->flights.recent);
    }
}

/* `t` has got its share: behind the others, if it is still hungry. */
static void served(struct tap *t)
{
    tap_look(t);
    if (t->hungry && t->queue->is_named && t->queue->backlog->hungry_n > 1)
        tap_yield(t);
}

/* -------------------------------------------------------------------------- direct */

/* Keep the run's messages from `i` on that `d` is to carry, as in flight to `t`. Without memory
 * it carries fewer. */
static void keep_in_flight(struct offer *o, struct tap *t, uint32_t i, struct delivery *d)
{
    int64_t deadline = ack_deadline(t), charge = 0;
    struct queue *q = t->queue;
    uint32_t n = 0;

    d->run.bytes = 0;
    for (; n < d->run.n; n++) {
        struct msg *m = offer_keep(o, i + n);
        struct head h = {.msg = m, .seq = q->in + 1 + n, .since_ms = q->core->now_ms};

        if (!m || !queue_affords(q) || !add_flight(t, &h, deadline))
            break;
        msg_ref(m);
        charge += PLACE_CHARGE;
        q->backlog->charged += m->charge + PLACE_CHARGE;
        d->run.bytes += m->len;
    }
    budget_charge(q->core, charge);
    count_flights(t, n);
    d->run.n = n;
}

uint32_t deliver_direct(struct offer *o, struct queue *q)
{
    const struct backlog *b = q->backlog;
    struct round round = {0};
    uint32_t i = 0;

    if (!q->hungry || deque_len(&b->fifo) || b->back.n || deque_len(&b->held))
        return 0;
    while (i < o->run->n && q->hungry) {
        struct tap *t = q->hungry;
        struct delivery d = {.topic = o->topic,
                             .offer = o->number,
                             .attempt = 1,
                             .seq = q->in + 1,
                             .id = o->id + i,
                             .time_ms = o->time_ms};

        if (!tap_has_room(t)) {
            tap_look(t);
            continue;
        }
        if (round.taps-- == 0) {
            next_round(&round, q, o->run->n - i);
            round.taps--;
        }
        d.run = run_part(o->run, i, helping(q, t, round.share));
        if (q->is_named) {
            if (b->stored) /* its store is to have it first */
                break;
            keep_in_flight(o, t, i, &d);
        }
        if (!d.run.n)
            break;
        q->in += d.run.n;
        i += d.run.n;
        if (!send(t, &d)) { /* never where it is not kept: that consumer is on its worker */
            take_back(t, d.run.n);
            break;
        }
        served(t);
    }
    return i;
}

/* ------------------------------------------------------------------------- looking ahead */

/* All of it, wherever in a line of 64 bytes it begins. */
static inline void fetch(const void *p, size_t size)
{
    for (size_t at = 0; at < size; at += 64)
        __builtin_prefetch((const char *)p + at);
    __builtin_prefetch((const char *)p + size - 1);
}

static inline struct consumer *first_hungry(const struct queue *q)
{
    return q->hungry ? q->hungry->consumer : NULL;
}

/* Each step reads what the one before has fetched. Of a queue and a consumer that is what comes
 * first in them. */
void deliver_foresee(struct queue *const *q, unsigned n)
{
    const struct consumer *k;

    for (unsigned i = 0; i < n; i++) /* with the tap that a subscription has before it */
        fetch(queue_own(q[i]), sizeof(struct tap) + offsetof(struct queue, handle));
    for (unsigned i = 0; i < n; i++)
        if (q[i]->is_named && q[i]->hungry)
            fetch(q[i]->hungry, sizeof(struct tap));
    for (unsigned i = 0; i < n; i++)
        if ((k = first_hungry(q[i])) != NULL)
            fetch(k, offsetof(struct consumer, handle));
    for (unsigned i = 0; i < n; i++)
        if ((k = first_hungry(q[i])) != NULL)
            fetch(k->ctx, 64); /* of the door's, about whose size nothing is known */
}

/* ---------------------------------------------------------------------------- pump */

static void view_of(struct core *c, uint32_t i, const struct msg *m)
{
    c->views[i] = (struct msg_view){.data = m->data, .len = m->len, .block = m->block};
    if (m->headers_len) {
        c->metas[i] = (struct msg_meta){.headers = msg_headers(m), .type = {.id = CTYPE_NONE}};
        c->views[i].meta = &c->metas[i];
    }
    c->taken[i] = (struct msg *)(uintptr_t)m;
}

/* May `h` follow the messages in `d` in one delivery? */
static bool follows(const struct tap *t, const struct delivery *d, const struct head *h,
                    const struct msg *first)
{
    uint32_t n = d->run.n;
    const struct msg *m = h->msg;

    if (h->back || m->topic != first->topic || !ctype_eq(d->run.type, msg_type(m)))
        return false;
    if (!t->facts)
        return true;
    return h->seq == d->seq + n && m->id == d->id + n && m->time_ms == d->time_ms;
}

/* Take up to `max` messages off the queue's head for `t`, as one delivery. */
static void gather(struct tap *t, uint32_t max, struct delivery *d)
{
    struct queue *q = t->queue;
    struct core *c = q->core;
    int64_t deadline = q->is_named ? ack_deadline(t) : 0;
    struct head h;

    *d = (struct delivery){.attempt = 1};
    while (d->run.n < max && d->run.bytes < RUN_BYTES && queue_head(q, &h)) {
        if (d->run.n && !follows(t, d, &h, c->taken[0]))
            break;
        if (q->is_named && !add_flight(t, &h, deadline))
            break;
        if (d->run.n == 0) {
            *d = (struct delivery){.topic = h.msg->topic,
                                   .run.type = msg_type(h.msg),
                                   .attempt = h.attempts + 1,
                                   .seq = h.seq,
                                   .id = h.msg->id,
                                   .time_ms = h.msg->time_ms};
        }
        view_of(c, d->run.n++, h.msg);
        d->run.bytes += h.msg->len;
        queue_take(q, &h);
        if (h.attempts)
            break;
    }
    if (q->is_named)
        count_flights(t, d->run.n);
    d->run.v = c->views;
}

static uint32_t deliver_to(struct tap *t, uint64_t most, uint64_t *bytes)
{
    struct queue *q = t->queue;
    struct delivery d;

    gather(t, helping(q, t, most), &d);
    if (d.run.n && !send(t, &d)) {
        take_back(t, d.run.n);
        return 0;
    }
    *bytes += d.run.bytes;
    if (!q->is_named)
        for (uint32_t i = 0; i < d.run.n; i++)
            queue_let_go(q, q->core->taken[i]);
    served(t);
    return d.run.n;
}

void deliver_later(struct queue *q)
{
    if (!list_linked(&q->pump))
        list_push_back(&q->core->pump, &q->pump);
}

void deliver_pump(struct queue *q)
{
    struct round round = {0};
    uint64_t n = 0, bytes = 0;

    while (queue_ready(q) && q->hungry) {
        struct tap *t = q->hungry;
        uint32_t k;

        if (n >= PUMP_MAX || bytes >= PUMP_MAX_BYTES) {
            deliver_later(q);
            break;
        }
        if (!tap_has_room(t)) {
            tap_look(t);
            continue;
        }
        if (round.taps-- == 0) {
            next_round(&round, q, queue_ready(q));
            round.taps--;
        }
        k = deliver_to(t, round.share, &bytes);
        if (!k && queue_ready(q)) { /* no memory for a flight or to send it: try again next turn */
            deliver_later(q);
            break;
        }
        n += k;
        if (deque_len(&q->backlog->held))
            offer_admit(q);
    }
    if (deque_len(&q->backlog->held))
        offer_admit(q);
}
