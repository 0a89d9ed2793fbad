#include "brokerd/core/window.h"

#include "brokerd/core/budget.h"
#include "brokerd/core/deliver.h"
#include "brokerd/core/queue.h"

#include <errno.h>

/* An answer is sparse if less than one number in so many is there. */
enum { SPARSE = 8 };

/* Fetched while the budget is short, so that what waits goes on. */
enum { FETCH_LITTLE = 16, FETCH_LITTLE_BYTES = 16 * 1024 };

uint64_t window_bytes(const struct storage *d)
{
    const struct backlog *b = d->queue->backlog;

    return b->bytes - d->away_bytes - d->unstored_bytes - d->delayed_bytes +
           queue_ready(d->queue) * DURABLE_PLACE;
}

/* ------------------------------------------------------------------------------ coming */

/* A message counts as away no more; whoever takes it in counts it anew. */
static void count_out(struct storage *d, uint32_t len)
{
    struct backlog *b = d->queue->backlog;

    if (d->shared || !d->away_n) /* where the store counts, or counted otherwise */
        return;
    len = len < d->away_bytes ? len : (uint32_t)d->away_bytes;
    d->away_n--;
    d->away_bytes -= len;
    b->waiting--;
    b->bytes -= len;
    b->unready_n--;
}

/* Where the core says so, TTLs count from when a message was published, or each start of the broker
 * would renew them. */
static int64_t since(const struct core *c, int64_t time_ms)
{
    return c->now_ms - (c->wall_ms > time_ms ? c->wall_ms - time_ms : 0);
}

/* The topic's name is most often that of the message before. */
static struct topic *topic_of(struct storage *d, struct slice name)
{
    struct route *r;

    if (d->topic && slice_eq(topic_slice(d->topic), name))
        return d->topic;
    r = route_get(d->queue->core->routes, name);
    if (!r)
        return NULL;
    topic_unref(d->topic);
    d->topic = topic_ref(r->topic);
    route_unref(r);
    return d->topic;
}

struct msg *window_keep(struct storage *d, const struct stored_message *s)
{
    struct core *c = d->queue->core;
    struct msg_meta meta = {.headers = s->headers, .type = {.id = CTYPE_NONE}};
    struct msg_view v = {.data = s->data.p, .len = (uint32_t)s->data.n, .meta = &meta};
    struct msg_origin from = {topic_of(d, s->topic), s->type, s->id, s->time_ms, c->now_ms};
    struct msg *m = from.topic ? budget_keep(c, &v, &from) : NULL;

    if (m && s->expires_ms != INT64_MAX)
        m->expires_ms = c->now_ms + (s->expires_ms - c->wall_ms);
    return m;
}

/* Among those that came back: it did, or the fifo cannot have it. */
static int take_back(struct storage *d, const struct stored_message *s, struct msg *m)
{
    struct queue *q = d->queue;
    int64_t charge = m->charge + PLACE_CHARGE;
    struct flight f = {
        .msg = m, .seq = s->seq, .since_ms = since(q->core, s->time_ms), .attempts = s->attempts};
    int64_t delay = s->due_ms > q->core->wall_ms ? s->due_ms - q->core->wall_ms : 0;

    if (queue_come_back(q, &f, delay) < 0)
        return -ENOMEM;
    q->backlog->charged += charge;
    budget_charge(q->core, PLACE_CHARGE);
    if (s->seq >= d->fixed)
        d->fixed = s->seq + 1;
    return 0;
}

/* -ERANGE: too many numbers are missing before it. */
static int take_in_order(struct storage *d, const struct stored_message *s, struct msg *m)
{
    return queue_push_at(d->queue, s->seq, m, since(d->queue->core, s->time_ms));
}

static bool fifo_reaches(const struct storage *d, uint64_t seq)
{
    const struct deque *f = &d->queue->backlog->fifo;

    return !deque_len(f) || (seq >= deque_end(f) && seq - deque_end(f) <= DURABLE_HOLES);
}

static int take_one(struct storage *d, const struct stored_message *s, bool sparse)
{
    struct queue *q = d->queue;
    bool back = s->attempts || s->due_ms > q->core->wall_ms || sparse;
    struct msg *m;
    int r;

    if (d->shared)
        back |= !fifo_reaches(d, s->seq);
    else if (!back && !fifo_reaches(d, s->seq))
        return -ERANGE;
    if (!d->shared && queue_ready(q) && !queue_affords(q))
        return -ENOBUFS;
    m = window_keep(d, s);
    if (!m)
        return -ENOMEM;
    r = back ? take_back(d, s, m) : take_in_order(d, s, m);
    if (r < 0) {
        budget_unref(q->core, m);
        return r;
    }
    count_out(d, m->len);
    q->core->windows += m->charge + PLACE_CHARGE;
    return 0;
}

/* All below `stored` is in memory or gone: what was thought to be away beyond that is not there. */
static void correct(struct storage *d)
{
    struct backlog *b = d->queue->backlog;

    if (d->w < deque_first(&d->unstored))
        return;
    b->waiting -= d->away_n;
    b->unready_n -= d->away_n;
    b->bytes -= d->away_bytes;
    d->away_n = d->away_bytes = 0;
}

static bool is_sparse(const struct storage *d, const struct stored *a)
{
    uint64_t numbers = a->n ? a->messages[a->n - 1].seq - a->messages[0].seq : 0;

    return !deque_len(&d->queue->backlog->fifo) &&
           numbers > (uint64_t)a->n * SPARSE + DURABLE_HOLES;
}

static void take_exclusive(struct storage *d, const struct stored *a)
{
    uint64_t stored = deque_first(&d->unstored), upto = a->upto < stored ? a->upto : stored;
    bool sparse = is_sparse(d, a);

    if (a->first != d->w) /* cut or purged meanwhile */
        return;
    for (uint32_t i = 0; i < a->n && a->messages[i].seq < upto; i++) {
        int r = take_one(d, &a->messages[i], sparse);

        if (r < 0) {
            d->w = a->messages[i].seq;
            d->gap = r == -ERANGE;
            return;
        }
        d->w = a->messages[i].seq + 1;
    }
    if (upto > d->w)
        d->w = upto;
    correct(d);
}

/* What cannot be kept is everybody's again. */
static void take_shared(struct storage *d, const struct stored *a)
{
    for (uint32_t i = 0; i < a->n; i++) {
        const struct stored_message *s = &a->messages[i];

        if (take_one(d, s, false) < 0)
            durable_returned(d, s->seq, s->attempts, 0);
    }
    if (a->n >= d->asked)
        d->news = true;
}

void window_has_come(struct storage *d)
{
    d->fetching = false;
    d->queue->core->windows -= d->coming;
    d->coming = 0;
}

void window_take(struct storage *d, const struct stored *a)
{
    window_has_come(d);
    durable_touch(d);
    if (d->shared)
        take_shared(d, a);
    else
        take_exclusive(d, a);
    if (queue_ready(d->queue))
        deliver_later(d->queue);
}

bool window_push(struct storage *d, uint64_t seq, struct msg *m)
{
    uint64_t full = window_bytes(d);

    if (!fifo_reaches(d, seq) || (full && full + m->len + DURABLE_PLACE > d->window))
        return false;
    d->queue->core->windows += m->charge + PLACE_CHARGE;
    return queue_push_at(d->queue, seq, m, since(d->queue->core, m->time_ms)) == 0;
}

/* ------------------------------------------------------------------------------- going */

bool window_affords(struct core *c)
{
    return c->windows <= budget_left(c);
}

static int64_t held_by(const struct storage *d)
{
    return d->queue->backlog->charged + d->coming;
}

/* What they use is counted as it comes only; when that is too much, it is counted anew. */
void window_shrink(struct core *c)
{
    struct list_node *n;

    c->windows = 0;
    for (n = list_first(&c->durables); n; n = list_next(&c->durables, n))
        c->windows += held_by(LIST_ITEM(n, struct storage, link));
    for (n = list_first(&c->durables); n && !window_affords(c); n = list_next(&c->durables, n)) {
        struct storage *d = LIST_ITEM(n, struct storage, link);
        int64_t before = d->queue->backlog->charged;

        while (!window_affords(c) && window_cut(d)) {
            c->windows -= before - d->queue->backlog->charged;
            before = d->queue->backlog->charged;
        }
    }
}

bool window_cut(struct storage *d)
{
    struct queue *q = d->queue;
    struct backlog *b = q->backlog;
    uint64_t seq = deque_end(&b->fifo) - 1;
    struct msg *m;

    if (d->shared || deque_len(&b->fifo) < 2 || seq < d->fixed)
        return false;
    m = ((struct waiting *)deque_slot(&b->fifo, seq))->msg;
    deque_unpush(&b->fifo);
    d->w = seq;
    if (!m)
        return true;
    d->away_n++;
    d->away_bytes += m->len;
    b->unready_n++;
    b->charged -= m->charge + PLACE_CHARGE;
    budget_charge(q->core, -PLACE_CHARGE);
    budget_unref(q->core, m);
    return true;
}

/* Room for what is yet to be fetched is measured by what is there. */
static void trim_holes(struct deque *fifo)
{
    while (deque_len(fifo) && !((struct waiting *)deque_slot(fifo, deque_first(fifo)))->msg)
        deque_pop(fifo);
}

/* ---------------------------------------------------------------------------- fetching */

static void fetch(struct storage *d, uint64_t from, uint64_t n, uint64_t bytes)
{
    d->fetching = true;
    d->asked = n;
    d->coming = 2 * (int64_t)bytes; /* in the answer, and then as messages */
    d->queue->core->windows += d->coming;
    d->store->ops->fetch(d->at, from, (uint32_t)n, bytes);
}

/* While the budget is short: what consumers have, or have sent back for later, will come free or be
 * delivered. Without this they could have all that is stored brought into memory. */
static bool holds_enough(const struct queue *q)
{
    const struct storage *d = q->backlog->stored;

    return q->backlog->charged >= DURABLE_WINDOW && (q->backlog->inflight || d->delayed_bytes);
}

static void fetch_exclusive(struct storage *d)
{
    struct queue *q = d->queue;
    uint64_t full = window_bytes(d), room = d->window - full, bytes;
    int64_t left;

    trim_holes(&q->backlog->fifo);
    if (durable_has_letters(d) || d->w >= deque_first(&d->unstored) || full > d->window / 2 ||
        (d->gap && deque_len(&q->backlog->fifo)))
        return;
    d->gap = false;
    if (!queue_affords(q) || !window_affords(q->core)) {
        d->starved = holds_enough(q);
        if (!queue_ready(q) && !d->starved)
            fetch(d, d->w, FETCH_LITTLE, FETCH_LITTLE_BYTES);
        return;
    }
    bytes = room < STORE_FETCH_BYTES ? room : STORE_FETCH_BYTES;
    left = (budget_left(q->core) - q->core->windows) / 2;
    if ((int64_t)bytes > left)
        bytes = left > FETCH_LITTLE_BYTES ? (uint64_t)left : FETCH_LITTLE_BYTES;
    fetch(d, d->w, room / DURABLE_PLACE + 1, bytes);
}

/* What its consumers would take, beside what they have: now, or (`ever`) when outputs have room. */
static uint64_t appetite(const struct queue *q, bool ever)
{
    uint64_t sum = q->backlog->stored->moved;

    for (const struct tap *t = tap_first(q); t; t = tap_next(t)) {
        uint64_t out = t->custody->unsettled, most = q->policy->max_inflight, n;

        if (t->stopped || (!ever && !t->hungry) || out >= most)
            continue;
        n = most - out < t->credit ? most - out : t->credit;
        sum += n < RUN_MAX ? n : RUN_MAX;
    }
    return sum;
}

/* Nobody here will take it. */
static bool give_back_one(struct storage *d)
{
    struct queue *q = d->queue;
    struct head h;

    if (!queue_head(q, &h))
        return false;
    durable_returned(d, h.seq, h.attempts, 0);
    queue_take(q, &h);
    queue_let_go(q, h.msg);
    return true;
}

static void fetch_shared(struct storage *d)
{
    struct queue *q = d->queue;
    uint64_t wanted = appetite(q, false), ready;

    for (uint64_t most = appetite(q, true); queue_ready(q) > most && give_back_one(d);)
        d->news = true; /* as much would be fetched again, if somebody came */
    ready = queue_ready(q);
    if (!d->news || wanted <= ready || durable_has_letters(d))
        return;
    d->news = false;
    wanted -= ready;
    if (!window_affords(q->core))
        fetch(d, 0, wanted < FETCH_LITTLE ? wanted : FETCH_LITTLE, FETCH_LITTLE_BYTES);
    else
        fetch(d, 0, wanted, STORE_FETCH_BYTES);
}

void window_fetch(struct storage *d)
{
    d->starved = false;
    if (!d->open || d->fetching || d->rewinds)
        return;
    if (d->shared)
        fetch_shared(d);
    else
        fetch_exclusive(d);
}
