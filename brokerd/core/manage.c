#include "brokerd/core/manage.h"

#include "brokerd/core/budget.h"
#include "brokerd/core/deliver.h"
#include "brokerd/core/durable.h"
#include "brokerd/core/names.h"
#include "brokerd/core/publish.h"
#include "brokerd/core/question.h"
#include "brokerd/core/queue.h"

#include <errno.h>
#include <stdlib.h>

enum { MOVE_BATCH = 64, MOVE_BYTES = 1 << 20 };

static struct queue *queue_of(struct core *c, uint64_t id)
{
    struct queue *q = slots_get(&c->slots, SLOT_QUEUE, id);

    return q && !q->making ? q : NULL;
}

/* ------------------------------------------------------------------- purging, looking */

/* What is on its way: flight i is message i of the publisher. */
struct move {
    struct list_node link; /* in core->moves */
    struct core *core;
    handle_t queue, to;
    struct endpoint *ep;
    struct publisher *publisher;
    struct deque flights; /* struct flight; in the queue's books they are in flight, too */
    uint64_t left, done;
    uint64_t wanted; /* of those that a store has */
    enum reason reason;
    bool ended; /* no more are taken */
    size_t name_n;
    char name[]; /* of the queue they go to */
};

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct store_settlement *)a)->seq;
    uint64_t y = ((const struct store_settlement *)b)->seq;

    return x < y ? -1 : x > y;
}

static void add_number(struct store_settlement *to, size_t *n, uint64_t most, uint64_t seq)
{
    if (*n < most)
        to[(*n)++] = (struct store_settlement){.verb = SETTLE_GONE, .count = 1, .seq = seq};
}

/* The numbers of all that is in flight, `most` at most. */
static size_t flights_of(const struct queue *q, struct store_settlement *to, uint64_t most)
{
    const struct flight *f;
    size_t n = 0;

    for (const struct tap *t = tap_first(q); t; t = tap_next(t))
        for (uint64_t i = 0; (f = flights_next(&t->custody->flights, &i, UINT64_MAX)) != NULL; i++)
            add_number(to, &n, most, f->seq);
    for (struct list_node *l = list_first(&q->core->moves); l; l = list_next(&q->core->moves, l)) {
        const struct move *m = LIST_ITEM(l, const struct move, link);

        for (uint64_t i = deque_first(&m->flights);
             m->queue == q->handle && i != deque_end(&m->flights); i++) {
            f = deque_slot(&m->flights, i);
            if (f->msg)
                add_number(to, &n, most, f->seq);
        }
    }
    return n;
}

/* In order, neighbours as one. */
static size_t merge(struct store_settlement *v, size_t n)
{
    size_t out = 0;

    if (n)
        qsort(v, n, sizeof *v, by_number);
    for (size_t i = 0; i < n; i++) {
        if (out && v[out - 1].seq + v[out - 1].count == v[i].seq && v[out - 1].count < UINT32_MAX)
            v[out - 1].count++;
        else
            v[out++] = v[i];
    }
    return out;
}

/* Have the store drop all that is stored but what is in flight. */
static int purge_stored(struct queue *q, struct question **ret)
{
    const struct storage *d = q->backlog->stored;
    uint64_t most = q->backlog->inflight;
    struct store_settlement *but = malloc((most + 1) * sizeof *but);
    size_t n = but ? merge(but, flights_of(q, but, most)) : 0;
    struct question *asked = but ? question_new(q) : NULL;
    int r = asked ? d->store->ops->purge(d->at, deque_first(&d->unstored) - 1, but, n, asked->token)
                  : -ENOMEM;

    free(but);
    if (r < 0)
        core_question_close(asked);
    else
        *ret = asked;
    return r;
}

int core_queue_purge(struct core *c, uint64_t queue, uint64_t *ret, struct question **ret_rest)
{
    struct queue *q = queue_of(c, queue);
    int r;

    *ret_rest = NULL;
    if (!q)
        return -ENOENT;
    if (durable_is_shut(q))
        return -EAGAIN;
    r = q->backlog->stored ? purge_stored(q, ret_rest) : 0;
    if (r < 0)
        return r;
    *ret = queue_purge(q, REASON_PURGED);
    deliver_later(q); /* what was held has room now */
    return 0;
}

int core_queue_look(struct core *c, uint64_t queue, uint32_t n, struct question **ret)
{
    struct queue *q = queue_of(c, queue);
    const struct storage *d = q ? q->backlog->stored : NULL;

    *ret = NULL;
    if (!q)
        return -ENOENT;
    if (!d || !d->open || (!d->shared && !d->away_n) || !n)
        return 0;
    return question_peek(q, d->shared ? 0 : d->w, n, ret);
}

int core_queue_ask(struct core *c, uint64_t queue, int64_t patience_ms, struct question **ret)
{
    struct queue *q = queue_of(c, queue);
    const struct storage *d = q ? q->backlog->stored : NULL;
    struct question *asked;
    int r;

    *ret = NULL;
    if (!q)
        return -ENOENT;
    if (!d || !d->open || !d->shared)
        return 0;
    asked = question_new(q);
    if (!asked)
        return -ENOMEM;
    asked->until_ms = c->now_ms + patience_ms;
    r = d->store->ops->ask(d->at, asked->token);
    if (r < 0)
        core_question_close(asked);
    else
        *ret = asked;
    return r;
}

int core_queue_delete(struct core *c, uint64_t queue, uint64_t *ret_lost)
{
    struct queue *q = queue_of(c, queue);

    if (!q || !q->is_named)
        return -ENOENT;
    if (durable_is_shut(q))
        return -EAGAIN;
    *ret_lost = q->backlog->waiting + q->backlog->inflight;
    names_delete(q, REASON_DELETED, true);
    return 0;
}

/* -------------------------------------------------------------------------------- moving */

static void not_accepted(struct move *m, enum reason reason)
{
    m->ended = true;
    if (m->reason == REASON_NONE)
        m->reason = reason;
}

/* One message has arrived, or goes back to its place. */
static void settle_one(struct move *m, struct flight *f, bool arrived)
{
    struct queue *q = slots_get(&m->core->slots, SLOT_QUEUE, m->queue);
    struct storage *d = q ? q->backlog->stored : NULL;

    if (q)
        q->backlog->inflight--;
    if (d && arrived)
        durable_gone(d, f->seq);
    else if (d && d->shared)
        durable_returned(d, f->seq, f->attempts, 0);
    if (!q) { /* the queue has been deleted meanwhile */
        budget_charge(m->core, -PLACE_CHARGE);
        budget_unref(m->core, f->msg);
    } else if (arrived || (d && d->shared)) {
        queue_let_go(q, f->msg);
    } else {
        queue_put_back(q, f, 0);
    }
    f->msg = NULL;
    if (arrived)
        m->done++;
    if (q)
        deliver_later(q);
}

static void trim(struct move *m)
{
    while (deque_len(&m->flights) &&
           !((struct flight *)deque_slot(&m->flights, deque_first(&m->flights)))->msg)
        deque_pop(&m->flights);
}

static void on_settled(void *ctx, uint64_t upto, const struct outcome *o, size_t n)
{
    struct move *m = ctx;

    (void)upto;
    for (; n--; o++) {
        bool arrived = o->reason == REASON_NONE && o->accepted;

        for (uint64_t i = o->first; i < o->first + o->count; i++) {
            struct flight *f = deque_at(&m->flights, i);

            if (f && f->msg)
                settle_one(m, f, arrived);
        }
        if (!arrived)
            not_accepted(m, o->reason);
    }
    trim(m);
}

static void on_granted(void *ctx, uint32_t n)
{
    (void)ctx; /* moved messages need no credit: there is one batch at a time */
    (void)n;
}

static const struct endpoint_ops move_ops = {
    .door = "admin", .settled = on_settled, .granted = on_granted};

/* Of a shared store's queue nobody knows how many wait: it is over when no more come. */
static uint64_t can_be_moved(const struct queue *q)
{
    const struct storage *d = q->backlog->stored;

    if (d && d->shared)
        return UINT64_MAX;
    return queue_ready(q) + (d ? d->away_n + durable_unstored(d) : 0);
}

/* Does something wait that is not in memory yet, and will be? */
static bool more_come(const struct queue *q)
{
    const struct storage *d = q->backlog->stored;

    return d && (d->away_n || durable_unstored(d) || d->fetching || (d->shared && d->news));
}

/* A shared store gives what is wanted, and no more. */
static void want(struct move *m, uint64_t n)
{
    struct queue *q = slots_get(&m->core->slots, SLOT_QUEUE, m->queue);
    struct storage *d = q ? q->backlog->stored : NULL;

    if (d) {
        d->moved += n - m->wanted;
        durable_touch(d);
    }
    m->wanted = n;
}

int core_move_open(struct core *c, uint64_t queue, struct slice to, uint64_t n, struct move **ret)
{
    const struct endpoint_desc d = {.name = "move", .is_broker = true};
    const struct queue *q = queue_of(c, queue);
    const struct named *target = map_get(&c->names, to);
    struct move *m;
    int r;

    if (!q || !target || target->state != NAMED_KNOWN)
        return -ENOENT;
    if (durable_is_shut(q)) /* what waits is not known yet */
        return -EAGAIN;
    m = calloc(1, sizeof *m + to.n);
    if (!m)
        return -ENOMEM;
    m->core = c;
    m->queue = queue;
    m->to = target->queue;
    m->name_n = to.n;
    memcpy(m->name, to.p, to.n);
    m->left = can_be_moved(q) < n ? can_be_moved(q) : n;
    list_push_back(&c->moves, &m->link);
    deque_init(&m->flights, sizeof(struct flight));
    deque_start_at(&m->flights, 1);
    r = core_endpoint_open(c, &d, &move_ops, m, &m->ep);
    if (r == 0)
        r = core_publisher_open(m->ep, PUBLISH_WINDOW, m, &m->publisher);
    if (r < 0) {
        core_move_close(m);
        return r;
    }
    *ret = m;
    return 0;
}

/* Take the queue's head and send it on. False if there is none. */
static bool move_one(struct move *m, struct queue *q, uint64_t *bytes)
{
    struct flight *f;
    struct head h;

    if (!queue_head(q, &h))
        return false;
    f = deque_push(&m->flights);
    if (!f) {
        not_accepted(m, REASON_MEMORY);
        return false;
    }
    *f = (struct flight){.msg = h.msg,
                         .seq = h.seq,
                         .since_ms = h.since_ms,
                         .deadline_ms = INT64_MAX,
                         .attempts = h.attempts};
    queue_take(q, &h);
    q->backlog->inflight++;
    m->left--;
    *bytes += f->msg->len;
    if (publish_moved(m->publisher, m->to, slice_of(m->name, m->name_n), f->msg) < 0) {
        settle_one(m, f, false);
        not_accepted(m, REASON_MEMORY);
    }
    return true;
}

enum move_state core_move_step(struct move *m)
{
    struct queue *q = slots_get(&m->core->slots, SLOT_QUEUE, m->queue);
    uint64_t bytes = 0;

    if (deque_len(&m->flights)) /* one batch at a time */
        return MOVE_WAITS;
    for (unsigned i = 0; q && !m->ended && m->left && i < MOVE_BATCH && bytes < MOVE_BYTES; i++)
        if (!move_one(m, q, &bytes))
            break;
    trim(m);
    if (deque_len(&m->flights))
        return MOVE_SENT;
    if (!q || m->ended || !m->left || !more_come(q))
        return MOVE_OVER;
    want(m, m->left < MOVE_BATCH ? m->left : MOVE_BATCH);
    return MOVE_SENT;
}

uint64_t core_move_done(const struct move *m, enum reason *ret_reason)
{
    *ret_reason = m->reason;
    return m->done;
}

void core_move_stop(struct move *m)
{
    m->ended = true;
}

void core_move_close(struct move *m)
{
    if (!m)
        return;
    for (; deque_len(&m->flights); deque_pop(&m->flights)) {
        struct flight *f = deque_slot(&m->flights, deque_first(&m->flights));

        if (f->msg)
            settle_one(m, f, false);
    }
    deque_fini(&m->flights);
    want(m, 0);
    list_remove(&m->link);
    core_endpoint_close(m->ep);
    free(m);
}
