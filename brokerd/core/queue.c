#include "brokerd/core/queue.h"

#include "brokerd/core/durable.h"
#include "brokerd/core/loss.h"
#include "brokerd/core/shared_policy.h"

#include <errno.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------ life */

#define EMPTY(self)                                                                                \
    .delayed.head = {(struct list_node *)(uintptr_t) & (self).delayed.head,                        \
                     (struct list_node *)(uintptr_t) & (self).delayed.head},                       \
    .expiry_ms = INT64_MAX, .idle_since_ms = INT64_MAX, .timer.node.key = INT64_MAX

static const struct losses losses_elsewhere = {.has_gap = true, .elsewhere = true};

const struct backlog backlog_none = {EMPTY(backlog_none)};
const struct backlog backlog_missed = {
    EMPTY(backlog_missed),
    .losses = (struct losses *)(uintptr_t)&losses_elsewhere,
};

struct losses *backlog_losses(struct backlog *b)
{
    if (!b->losses) {
        b->losses = calloc(1, sizeof *b->losses);
        if (b->losses)
            b->losses->queue = b->queue;
    }
    return b->losses;
}

static void forget_backlog(struct core *c, struct backlog *b)
{
    heap_remove(&c->timers, &b->timer.node);
    free(b);
}

struct backlog *queue_backlog(struct queue *q)
{
    struct backlog *b;

    if (queue_keeps(q))
        return q->backlog;
    b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->timer = (struct timer){.node = {.key = INT64_MAX}, .kind = TIMER_QUEUE};
    /* Its timer stays in the heap for life, so that setting it cannot fail. */
    if (heap_push(&q->core->timers, &b->timer.node) < 0) {
        free(b);
        return NULL;
    }
    b->queue = q;
    b->expiry_ms = b->idle_since_ms = INT64_MAX;
    list_init(&b->delayed);
    list_init(&b->taps);
    list_init(&b->hungry);
    deque_init(&b->fifo, sizeof(struct waiting));
    deque_init(&b->held, sizeof(struct held));
    if (q->backlog == &backlog_missed) {
        if (!backlog_losses(b)) {
            forget_backlog(q->core, b);
            return NULL;
        }
        b->losses->elsewhere = b->losses->has_gap = true;
    }
    q->backlog = b;
    return b;
}

static void backlog_free(struct queue *q)
{
    struct backlog *b = q->backlog;

    if (!queue_keeps(q))
        return;
    deque_fini(&b->fifo);
    heap_fini(&b->back);
    deque_fini(&b->held);
    heap_remove(&q->core->timers, &b->timer.node);
    list_remove(&b->holding);
    dedup_free(q);
    free(b->losses);
    free(b->wish);
    free(b);
}

/* Free the queue itself, perhaps half built. */
static void release(struct queue *q)
{
    slots_drop(&q->core->slots, q->handle);
    policy_unshare(q->core, q->policy);
    backlog_free(q);
    free(q->is_named ? (void *)q : queue_own(q));
}

struct queue *queue_new(struct core *c, bool is_named, struct slice label,
                        const struct queue_policy *policy)
{
    size_t before = is_named ? 0 : sizeof(struct tap);
    char *memory = calloc(1, before + offsetof(struct queue, label) + label.n + 1);
    struct queue *q;

    if (!memory)
        return NULL;
    q = (struct queue *)(void *)(memory + before);
    q->core = c;
    q->policy = policy_share(c, policy);
    queue_keeps_none(q, false);
    memcpy(q->label, label.p, label.n);
    q->is_named = is_named;
    q->handle = slots_put(&c->slots, SLOT_QUEUE, q);
    if (!q->policy || !q->handle || (is_named && !queue_backlog(q))) {
        release(q);
        return NULL;
    }
    queue_in_use(q, false);
    return q;
}

static void drop_place(struct core *c, struct msg *m)
{
    int64_t freed = PLACE_CHARGE + (m->refs == 1 ? m->charge : 0);

    msg_unref(&c->pool, m);
    budget_charge(c, -freed);
}

static void free_back(struct queue *q, struct back *b)
{
    drop_place(q->core, b->msg);
    free(b);
}

static void free_waiting(struct queue *q)
{
    struct heap_node *n;
    struct list_node *l;

    for (; deque_len(&q->backlog->fifo); deque_pop(&q->backlog->fifo)) {
        struct waiting *w = deque_slot(&q->backlog->fifo, deque_first(&q->backlog->fifo));

        if (w->msg)
            drop_place(q->core, w->msg);
    }
    while ((n = heap_min(&q->backlog->back)) != NULL) {
        heap_remove(&q->backlog->back, n);
        free_back(q, HEAP_ITEM(n, struct back, timer.node));
    }
    while ((l = list_pop(&q->backlog->delayed)) != NULL) {
        struct back *b = LIST_ITEM(l, struct back, link);

        heap_remove(&q->core->timers, &b->timer.node);
        free_back(q, b);
    }
    for (; deque_len(&q->backlog->held); deque_pop(&q->backlog->held)) {
        struct held *h = deque_slot(&q->backlog->held, deque_first(&q->backlog->held));

        drop_place(q->core, h->msg);
    }
}

/* The broker's totals go on counting what queues that are gone have counted. */
static void bequeath(const struct queue *q)
{
    struct settled_counters *all = &q->core->count.gone;

    all->acked += q->backlog->settled.acked;
    all->nacked += q->backlog->settled.nacked;
    all->redelivered += q->backlog->settled.redelivered;
    all->late += q->backlog->settled.late;
    all->timeouts += q->backlog->settled.timeouts;
    if (q->backlog->losses)
        q->core->count.gone_dead_letters += q->backlog->losses->dead_letters;
}

void queue_free(struct queue *q)
{
    bequeath(q);
    if (q->backlog->stored)
        durable_close(q, false);
    free_waiting(q);
    list_remove(&q->pump);
    if (queue_keeps(q) && q->backlog->losses) {
        list_remove(&q->backlog->losses->link);
        list_remove(&q->backlog->losses->slow);
    }
    release(q);
}

/* --------------------------------------------------------------------- coming, going */

static int64_t expiry_of(const struct queue *q, const struct msg *m, int64_t since_ms)
{
    int64_t ttl = q->policy->message_ttl_ms;
    int64_t own = ttl == POLICY_NEVER ? INT64_MAX : since_ms + ttl;

    return m->expires_ms < own ? m->expires_ms : own;
}

static void note_expiry(struct queue *q, const struct msg *m, int64_t since_ms)
{
    int64_t at = expiry_of(q, m, since_ms);

    if (q->backlog->waiting == 1) { /* it was empty: what was noted before is history */
        q->backlog->expiry_ms = INT64_MAX;
        q->backlog->own_ttl = false;
    }
    if (m->expires_ms != INT64_MAX)
        q->backlog->own_ttl = true;
    if (at < q->backlog->expiry_ms) {
        q->backlog->expiry_ms = at;
        queue_arm(q);
    }
}

int queue_push(struct queue *q, struct msg *m)
{
    struct backlog *b = queue_backlog(q);
    struct waiting *w;

    if (!b)
        return -ENOMEM;
    if (!deque_len(&b->fifo)) /* others went to their consumer at once */
        deque_start_at(&b->fifo, q->in + 1);
    w = deque_push(&b->fifo);
    if (!w)
        return -ENOMEM;
    *w = (struct waiting){m, q->core->now_ms};
    b->waiting++;
    b->bytes += m->len;
    b->charged += m->charge + PLACE_CHARGE;
    budget_charge(q->core, PLACE_CHARGE);
    q->in++;
    note_expiry(q, m, w->since_ms);
    return 0;
}

int queue_push_at(struct queue *q, uint64_t seq, struct msg *m, int64_t since_ms)
{
    struct backlog *b = q->backlog;
    struct waiting *w;

    if (!deque_len(&b->fifo))
        deque_start_at(&b->fifo, seq);
    do {
        w = deque_push(&b->fifo);
        if (!w)
            return -ENOMEM;
        *w = (struct waiting){0};
    } while (deque_end(&b->fifo) <= seq);
    *w = (struct waiting){m, since_ms};
    b->waiting++;
    b->bytes += m->len;
    b->charged += m->charge + PLACE_CHARGE;
    budget_charge(q->core, PLACE_CHARGE);
    note_expiry(q, m, since_ms);
    return 0;
}

/* It no longer waits, but is still charged. */
static void unwait(struct queue *q, const struct msg *m)
{
    q->backlog->waiting--;
    q->backlog->bytes -= m->len;
}

void queue_let_go(struct queue *q, struct msg *m)
{
    q->backlog->charged -= m->charge + PLACE_CHARGE;
    q->backlog->left++;
    drop_place(q->core, m);
}

static void drop_expired(struct queue *q, struct msg *m, uint64_t seq, uint32_t attempts)
{
    unwait(q, m);
    loss_message(q, m, seq, attempts, REASON_EXPIRED);
    queue_let_go(q, m);
}

static bool expired(const struct queue *q, const struct msg *m, int64_t since_ms)
{
    return expiry_of(q, m, since_ms) <= q->core->now_ms;
}

static bool head_back(struct queue *q, struct head *ret)
{
    struct heap_node *n;

    while ((n = heap_min(&q->backlog->back)) != NULL) {
        struct back *b = HEAP_ITEM(n, struct back, timer.node);

        if (!expired(q, b->msg, b->since_ms)) {
            *ret = (struct head){b->msg, b->seq, b->since_ms, b->attempts, b};
            return true;
        }
        heap_remove(&q->backlog->back, n);
        drop_expired(q, b->msg, b->seq, b->attempts);
        free(b);
    }
    return false;
}

/* What came back is older than all of the fifo, but not where both were fetched. */
static bool fifo_is_older(const struct queue *q)
{
    const struct deque *fifo = &q->backlog->fifo;
    uint64_t i = deque_first(fifo), end = (uint64_t)heap_min(&q->backlog->back)->key;

    if (!q->backlog->stored || !deque_len(fifo))
        return false;
    while (i < end && i < deque_end(fifo) && !((const struct waiting *)deque_slot(fifo, i))->msg)
        i++;
    return i < end && i < deque_end(fifo);
}

static inline __attribute__((always_inline)) bool head_fifo(struct queue *q, struct head *ret)
{
    for (; deque_len(&q->backlog->fifo); deque_pop(&q->backlog->fifo)) {
        struct waiting *w = deque_slot(&q->backlog->fifo, deque_first(&q->backlog->fifo));

        if (!w->msg)
            continue;
        if ((q->backlog->expiry_ms > q->core->now_ms && !q->backlog->own_ttl) ||
            !expired(q, w->msg, w->since_ms)) {
            *ret = (struct head){w->msg, deque_first(&q->backlog->fifo), w->since_ms, 0, NULL};
            return true;
        }
        drop_expired(q, w->msg, deque_first(&q->backlog->fifo), 0);
    }
    return false;
}

/* Apart from queue_head(), which is asked for each message and seldom has to look at both. */
static __attribute__((noinline)) bool head_of_both(struct queue *q, struct head *ret)
{
    if (fifo_is_older(q))
        return head_fifo(q, ret) || head_back(q, ret);
    return head_back(q, ret) || head_fifo(q, ret);
}

bool queue_head(struct queue *q, struct head *ret)
{
    return q->backlog->back.n ? head_of_both(q, ret) : head_fifo(q, ret);
}

void queue_take(struct queue *q, const struct head *h)
{
    unwait(q, h->msg);
    if (h->back) {
        heap_remove(&q->backlog->back, &h->back->timer.node);
        free(h->back);
    } else {
        deque_pop(&q->backlog->fifo);
    }
}

/* So many bytes of a durable queue are delayed; or not any more. */
static void count_delayed(struct queue *q, int64_t len)
{
    if (q->backlog->stored)
        q->backlog->stored->delayed_bytes += (uint64_t)len;
}

int queue_come_back(struct queue *q, const struct flight *f, int64_t delay_ms)
{
    struct back *b = calloc(1, sizeof *b);
    int64_t key = delay_ms > 0 ? q->core->now_ms + delay_ms : (int64_t)f->seq;
    struct heap *heap = delay_ms > 0 ? &q->core->timers : &q->backlog->back;

    if (b)
        *b = (struct back){.timer = {{.key = key}, TIMER_BACK},
                           .queue = q,
                           .msg = f->msg,
                           .seq = f->seq,
                           .since_ms = f->since_ms,
                           .attempts = f->attempts,
                           .delayed = delay_ms > 0};
    if (!b || heap_push(heap, &b->timer.node) < 0) {
        free(b);
        return -ENOMEM;
    }
    q->backlog->waiting++;
    q->backlog->bytes += f->msg->len;
    if (b->delayed) {
        list_push_back(&q->backlog->delayed, &b->link);
        q->backlog->unready_n++;
        count_delayed(q, f->msg->len);
    }
    note_expiry(q, f->msg, f->since_ms);
    return 0;
}

/* There is no memory to keep it waiting. What its store has is delivered after the next start. */
static void lose_sight(struct queue *q, struct msg *m, uint32_t attempts)
{
    if (q->backlog->stored)
        loss_count(q, REASON_MEMORY, 1);
    else
        loss_message(q, m, 0, attempts, REASON_MEMORY);
    queue_let_go(q, m);
}

void queue_put_back(struct queue *q, const struct flight *f, int64_t delay_ms)
{
    if (queue_come_back(q, f, delay_ms) < 0)
        lose_sight(q, f->msg, f->attempts);
}

static void undelay(struct back *b)
{
    heap_remove(&b->queue->core->timers, &b->timer.node);
    list_remove(&b->link);
    b->queue->backlog->unready_n--;
    count_delayed(b->queue, -(int64_t)b->msg->len);
}

void queue_back_due(struct back *b)
{
    struct queue *q = b->queue;

    undelay(b);
    b->delayed = false;
    b->timer.node.key = (int64_t)b->seq;
    if (heap_push(&q->backlog->back, &b->timer.node) == 0)
        return;
    unwait(q, b->msg);
    lose_sight(q, b->msg, b->attempts);
    free(b);
}

/* ---------------------------------------------------------------------------- expiry */

/* Drop the expired of the fifo; returns when the next of those looked at expires. Where only
 * the queue's own time to live counts they expire in order, and the first that lives ends it. */
static int64_t expire_fifo(struct queue *q)
{
    int64_t next = INT64_MAX;

    for (uint64_t i = deque_first(&q->backlog->fifo); i != deque_end(&q->backlog->fifo); i++) {
        struct waiting *w = deque_slot(&q->backlog->fifo, i);
        int64_t at;

        if (!w->msg)
            continue;
        at = expiry_of(q, w->msg, w->since_ms);
        if (at <= q->core->now_ms) {
            drop_expired(q, w->msg, i, 0);
            w->msg = NULL;
        } else {
            next = at < next ? at : next;
            if (!q->backlog->own_ttl)
                break;
        }
    }
    while (deque_len(&q->backlog->fifo) &&
           !((struct waiting *)deque_slot(&q->backlog->fifo, deque_first(&q->backlog->fifo)))->msg)
        deque_pop(&q->backlog->fifo);
    return next;
}

static int64_t expire_delayed(struct queue *q)
{
    struct list_node *l, *after;
    int64_t next = INT64_MAX;

    for (l = list_first(&q->backlog->delayed); l; l = after) {
        struct back *b = LIST_ITEM(l, struct back, link);
        int64_t at = expiry_of(q, b->msg, b->since_ms);

        after = list_next(&q->backlog->delayed, l);
        if (at > q->core->now_ms) {
            next = at < next ? at : next;
            continue;
        }
        undelay(b);
        drop_expired(q, b->msg, b->seq, b->attempts);
        free(b);
    }
    return next;
}

static int64_t expire_back(struct queue *q)
{
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < q->backlog->back.n;) {
        struct back *b = HEAP_ITEM(q->backlog->back.nodes[i], struct back, timer.node);
        int64_t at = expiry_of(q, b->msg, b->since_ms);

        if (at > q->core->now_ms) {
            next = at < next ? at : next;
            i++;
            continue;
        }
        heap_remove(&q->backlog->back, &b->timer.node); /* others move: look again next time */
        drop_expired(q, b->msg, b->seq, b->attempts);
        free(b);
        next = q->core->now_ms;
    }
    return next;
}

void queue_expire(struct queue *q)
{
    uint64_t looked = q->backlog->waiting;
    int64_t next, other, floor;

    if (q->backlog->expiry_ms > q->core->now_ms)
        return;
    next = expire_fifo(q);
    other = expire_delayed(q);
    next = other < next ? other : next;
    other = expire_back(q);
    next = other < next ? other : next;
    if (!q->backlog->waiting)
        q->backlog->own_ttl = false;
    /* A look through a long queue with expiries of its own costs some 10 ns a message: at most
     * a hundredth of the time goes into it. Nothing expired is delivered meanwhile. */
    floor = q->core->now_ms + 1 + (q->backlog->own_ttl ? (int64_t)(looked / 1000) : 0);
    q->backlog->expiry_ms = next < floor ? floor : next;
}

void queue_in_use(struct queue *q, bool used)
{
    if (!q->is_named) /* it lives as long as its consumer */
        return;
    q->backlog->idle_since_ms = used ? INT64_MAX : q->core->now_ms;
    queue_arm(q);
}

void queue_arm(struct queue *q)
{
    int64_t due = q->backlog->waiting ? q->backlog->expiry_ms : INT64_MAX;
    int64_t at;

    if (q->backlog->dedup) {
        at = dedup_due(q);
        due = at < due ? at : due;
    }
    if (deque_len(&q->backlog->held) && q->policy->block_timeout_ms != POLICY_NEVER) {
        const struct held *h = deque_slot(&q->backlog->held, deque_first(&q->backlog->held));

        at = h->since_ms + q->policy->block_timeout_ms;
        due = at < due ? at : due;
    }
    if (q->is_named && !q->making && q->backlog->idle_since_ms != INT64_MAX &&
        !durable_is_shut(q) && q->policy->expires_ms != POLICY_NEVER) {
        at = q->backlog->idle_since_ms + q->policy->expires_ms;
        due = at < due ? at : due;
    }
    if (due != q->backlog->timer.node.key)
        heap_update(&q->core->timers, &q->backlog->timer.node, due);
}

/* Of a shared store's, for that one does not purge what a node has. */
static void purge_one(struct queue *q, struct msg *m, uint64_t seq)
{
    if (q->backlog->stored && q->backlog->stored->shared)
        durable_gone(q->backlog->stored, seq);
    queue_let_go(q, m);
}

static void purge_memory(struct queue *q)
{
    struct list_node *l;
    struct heap_node *h;

    for (; deque_len(&q->backlog->fifo); deque_pop(&q->backlog->fifo)) {
        struct waiting *w = deque_slot(&q->backlog->fifo, deque_first(&q->backlog->fifo));

        if (w->msg)
            purge_one(q, w->msg, deque_first(&q->backlog->fifo));
    }
    while ((h = heap_min(&q->backlog->back)) != NULL) {
        struct back *b = HEAP_ITEM(h, struct back, timer.node);

        heap_remove(&q->backlog->back, h);
        purge_one(q, b->msg, b->seq);
        free(b);
    }
    while ((l = list_pop(&q->backlog->delayed)) != NULL) {
        struct back *b = LIST_ITEM(l, struct back, link);

        heap_remove(&q->core->timers, &b->timer.node);
        purge_one(q, b->msg, b->seq);
        free(b);
    }
}

void queue_forget(struct queue *q)
{
    purge_memory(q);
    durable_forget(q->backlog->stored);
}

uint64_t queue_purge(struct queue *q, enum reason reason)
{
    struct storage *d = q->backlog->stored;
    uint64_t n = q->backlog->waiting - (d ? durable_unstored(d) : 0);

    if (n) {
        purge_memory(q);
        q->backlog->waiting = q->backlog->bytes = q->backlog->unready_n = 0;
        q->backlog->own_ttl = false;
        q->backlog->expiry_ms = INT64_MAX;
    }
    if (d)
        durable_forget(d);
    if (n && q->is_named)
        loss_count(q, reason, n);
    else if (n) /* every message here was meant for the one consumer: it hears of it */
        loss_gap(q, reason, n);
    return n;
}
