#include "brokerd/core/queue.h"

#include "brokerd/core/loss.h"
#include "brokerd/core/shared_policy.h"

#include <errno.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------ life */

static char *copy_text(struct slice s)
{
    return strndup((const char *)s.p, s.n);
}

static void init_containers(struct queue *q)
{
    list_init(&q->bindings);
    list_init(&q->delayed);
    list_init(&q->taps);
    list_init(&q->hungry);
    deque_init(&q->fifo, sizeof(struct waiting));
    deque_start_at(&q->fifo, 1);
    deque_init(&q->held, sizeof(struct held));
}

/* Free the queue itself, perhaps half built. */
static void release(struct queue *q)
{
    slots_drop(&q->core->slots, q->handle);
    policy_unshare(q->core, q->policy);
    free(q->losses);
    free(q->wish);
    free(q->name);
    free(q->label);
    free(q);
}

struct queue *queue_new(struct core *c, struct slice name, struct slice label,
                        const struct queue_policy *policy)
{
    struct queue *q = calloc(1, sizeof *q);

    if (!q)
        return NULL;
    q->core = c;
    q->policy = policy_share(c, policy);
    q->made_ms = q->idle_since_ms = c->now_ms;
    q->expiry_ms = INT64_MAX;
    init_containers(q);
    q->timer = (struct timer){.node = {.key = INT64_MAX}, .kind = TIMER_QUEUE};
    q->name = name.n ? copy_text(name) : NULL;
    q->label = copy_text(label);
    q->handle = slots_put(&c->slots, SLOT_QUEUE, q);
    /* Its timer stays in the heap for life, so that setting it cannot fail. */
    if (!q->policy || (name.n && !q->name) || !q->label || !q->handle ||
        heap_push(&c->timers, &q->timer.node)) {
        release(q);
        return NULL;
    }
    list_push_back(&c->queues, &q->link);
    return q;
}

static void drop_place(struct core *c, struct msg *m)
{
    core_charge(c, -PLACE_CHARGE);
    budget_unref(c, m);
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

    for (; deque_len(&q->fifo); deque_pop(&q->fifo)) {
        struct waiting *w = deque_slot(&q->fifo, deque_first(&q->fifo));

        if (w->msg)
            drop_place(q->core, w->msg);
    }
    while ((n = heap_min(&q->back)) != NULL) {
        heap_remove(&q->back, n);
        free_back(q, HEAP_ITEM(n, struct back, timer.node));
    }
    while ((l = list_pop(&q->delayed)) != NULL) {
        struct back *b = LIST_ITEM(l, struct back, link);

        heap_remove(&q->core->timers, &b->timer.node);
        free_back(q, b);
    }
    for (; deque_len(&q->held); deque_pop(&q->held)) {
        struct held *h = deque_slot(&q->held, deque_first(&q->held));

        drop_place(q->core, h->msg);
    }
}

/* The broker's totals go on counting what queues that are gone have counted. */
static void bequeath(const struct queue *q)
{
    struct queue_counters *all = &q->core->count.gone;

    all->acked += q->count.acked;
    all->nacked += q->count.nacked;
    all->redelivered += q->count.redelivered;
    all->late += q->count.late;
    all->timeouts += q->count.timeouts;
    all->dead_letters += q->count.dead_letters;
}

void queue_free(struct queue *q)
{
    bequeath(q);
    free_waiting(q);
    deque_fini(&q->fifo);
    heap_fini(&q->back);
    deque_fini(&q->held);
    heap_remove(&q->core->timers, &q->timer.node);
    list_remove(&q->link);
    list_remove(&q->pump);
    list_remove(&q->lossy);
    list_remove(&q->holding);
    list_remove(&q->doomed);
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

    if (q->waiting == 1) { /* it was empty: what was noted before is history */
        q->expiry_ms = INT64_MAX;
        q->own_ttl = false;
    }
    if (m->expires_ms != INT64_MAX)
        q->own_ttl = true;
    if (at < q->expiry_ms) {
        q->expiry_ms = at;
        queue_arm(q);
    }
}

int queue_push(struct queue *q, struct msg *m)
{
    struct waiting *w = deque_push(&q->fifo);

    if (!w)
        return -ENOMEM;
    *w = (struct waiting){m, q->core->now_ms};
    q->waiting++;
    q->bytes += m->len;
    q->charged += m->charge + PLACE_CHARGE;
    core_charge(q->core, PLACE_CHARGE);
    q->count.in++;
    q->count.in_bytes += m->len;
    note_expiry(q, m, w->since_ms);
    return 0;
}

/* It no longer waits, but is still charged. */
static void unwait(struct queue *q, const struct msg *m)
{
    q->waiting--;
    q->bytes -= m->len;
}

void queue_let_go(struct queue *q, struct msg *m)
{
    q->charged -= m->charge + PLACE_CHARGE;
    q->left++;
    drop_place(q->core, m);
}

static void drop_expired(struct queue *q, struct msg *m, uint32_t attempts)
{
    unwait(q, m);
    loss_message(q, m, attempts, REASON_EXPIRED);
    queue_let_go(q, m);
}

static bool expired(const struct queue *q, const struct msg *m, int64_t since_ms)
{
    return expiry_of(q, m, since_ms) <= q->core->now_ms;
}

static bool head_back(struct queue *q, struct head *ret)
{
    struct heap_node *n;

    while ((n = heap_min(&q->back)) != NULL) {
        struct back *b = HEAP_ITEM(n, struct back, timer.node);

        if (!expired(q, b->msg, b->since_ms)) {
            *ret = (struct head){b->msg, b->seq, b->since_ms, b->attempts, b};
            return true;
        }
        heap_remove(&q->back, n);
        drop_expired(q, b->msg, b->attempts);
        free(b);
    }
    return false;
}

bool queue_head(struct queue *q, struct head *ret)
{
    if (q->back.n && head_back(q, ret))
        return true;
    for (; deque_len(&q->fifo); deque_pop(&q->fifo)) {
        struct waiting *w = deque_slot(&q->fifo, deque_first(&q->fifo));

        if (!w->msg)
            continue;
        if ((q->expiry_ms > q->core->now_ms && !q->own_ttl) || !expired(q, w->msg, w->since_ms)) {
            *ret = (struct head){w->msg, deque_first(&q->fifo), w->since_ms, 0, NULL};
            return true;
        }
        drop_expired(q, w->msg, 0);
    }
    return false;
}

void queue_take(struct queue *q, const struct head *h)
{
    unwait(q, h->msg);
    if (h->back) {
        heap_remove(&q->back, &h->back->timer.node);
        free(h->back);
    } else {
        deque_pop(&q->fifo);
    }
}

void queue_put_back(struct queue *q, const struct flight *f, int64_t delay_ms)
{
    struct back *b = calloc(1, sizeof *b);
    int64_t key = delay_ms > 0 ? q->core->now_ms + delay_ms : (int64_t)f->seq;
    struct heap *heap = delay_ms > 0 ? &q->core->timers : &q->back;

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
        loss_message(q, f->msg, f->attempts, REASON_MEMORY);
        queue_let_go(q, f->msg);
        return;
    }
    q->waiting++;
    q->bytes += f->msg->len;
    if (b->delayed) {
        list_push_back(&q->delayed, &b->link);
        q->delayed_n++;
    }
    note_expiry(q, f->msg, f->since_ms);
}

void queue_back_due(struct back *b)
{
    struct queue *q = b->queue;

    heap_remove(&q->core->timers, &b->timer.node);
    list_remove(&b->link);
    q->delayed_n--;
    b->delayed = false;
    b->timer.node.key = (int64_t)b->seq;
    if (heap_push(&q->back, &b->timer.node) == 0)
        return;
    unwait(q, b->msg);
    loss_message(q, b->msg, b->attempts, REASON_MEMORY);
    queue_let_go(q, b->msg);
    free(b);
}

/* ---------------------------------------------------------------------------- expiry */

/* Drop the expired of the fifo; returns when the next of those looked at expires. Where only
 * the queue's own time to live counts they expire in order, and the first that lives ends it. */
static int64_t expire_fifo(struct queue *q)
{
    int64_t next = INT64_MAX;

    for (uint64_t i = deque_first(&q->fifo); i != deque_end(&q->fifo); i++) {
        struct waiting *w = deque_slot(&q->fifo, i);
        int64_t at;

        if (!w->msg)
            continue;
        at = expiry_of(q, w->msg, w->since_ms);
        if (at <= q->core->now_ms) {
            drop_expired(q, w->msg, 0);
            w->msg = NULL;
        } else {
            next = at < next ? at : next;
            if (!q->own_ttl)
                break;
        }
    }
    while (deque_len(&q->fifo) &&
           !((struct waiting *)deque_slot(&q->fifo, deque_first(&q->fifo)))->msg)
        deque_pop(&q->fifo);
    return next;
}

static int64_t expire_delayed(struct queue *q)
{
    struct list_node *l, *after;
    int64_t next = INT64_MAX;

    for (l = list_first(&q->delayed); l; l = after) {
        struct back *b = LIST_ITEM(l, struct back, link);
        int64_t at = expiry_of(q, b->msg, b->since_ms);

        after = list_next(&q->delayed, l);
        if (at > q->core->now_ms) {
            next = at < next ? at : next;
            continue;
        }
        heap_remove(&q->core->timers, &b->timer.node);
        list_remove(l);
        q->delayed_n--;
        drop_expired(q, b->msg, b->attempts);
        free(b);
    }
    return next;
}

static int64_t expire_back(struct queue *q)
{
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < q->back.n;) {
        struct back *b = HEAP_ITEM(q->back.nodes[i], struct back, timer.node);
        int64_t at = expiry_of(q, b->msg, b->since_ms);

        if (at > q->core->now_ms) {
            next = at < next ? at : next;
            i++;
            continue;
        }
        heap_remove(&q->back, &b->timer.node); /* others move: look again next time */
        drop_expired(q, b->msg, b->attempts);
        free(b);
        next = q->core->now_ms;
    }
    return next;
}

void queue_expire(struct queue *q)
{
    uint64_t looked = q->waiting;
    int64_t next, other, floor;

    if (q->expiry_ms > q->core->now_ms)
        return;
    next = expire_fifo(q);
    other = expire_delayed(q);
    next = other < next ? other : next;
    other = expire_back(q);
    next = other < next ? other : next;
    if (!q->waiting)
        q->own_ttl = false;
    /* A look through a long queue with expiries of its own costs some 10 ns a message: at most
     * a hundredth of the time goes into it. Nothing expired is delivered meanwhile. */
    floor = q->core->now_ms + 1 + (q->own_ttl ? (int64_t)(looked / 1000) : 0);
    q->expiry_ms = next < floor ? floor : next;
}

void queue_arm(struct queue *q)
{
    int64_t due = q->waiting ? q->expiry_ms : INT64_MAX;
    int64_t at;

    if (deque_len(&q->held) && q->policy->block_timeout_ms != POLICY_NEVER) {
        const struct held *h = deque_slot(&q->held, deque_first(&q->held));

        at = h->since_ms + q->policy->block_timeout_ms;
        due = at < due ? at : due;
    }
    if (q->name && !q->making && q->idle_since_ms != INT64_MAX &&
        q->policy->expires_ms != POLICY_NEVER) {
        at = q->idle_since_ms + q->policy->expires_ms;
        due = at < due ? at : due;
    }
    if (due != q->timer.node.key)
        heap_update(&q->core->timers, &q->timer.node, due);
}

uint64_t queue_purge(struct queue *q, enum reason reason)
{
    uint64_t n = q->waiting;
    struct list_node *l;
    struct heap_node *h;

    for (; deque_len(&q->fifo); deque_pop(&q->fifo)) {
        struct waiting *w = deque_slot(&q->fifo, deque_first(&q->fifo));

        if (w->msg)
            queue_let_go(q, w->msg);
    }
    while ((h = heap_min(&q->back)) != NULL) {
        struct back *b = HEAP_ITEM(h, struct back, timer.node);

        heap_remove(&q->back, h);
        queue_let_go(q, b->msg);
        free(b);
    }
    while ((l = list_pop(&q->delayed)) != NULL) {
        struct back *b = LIST_ITEM(l, struct back, link);

        heap_remove(&q->core->timers, &b->timer.node);
        queue_let_go(q, b->msg);
        free(b);
    }
    q->waiting = q->bytes = q->delayed_n = 0;
    q->own_ttl = false;
    q->expiry_ms = INT64_MAX;
    if (n && q->name)
        loss_count(q, reason, n);
    else if (n) /* every message here was meant for the one consumer: it hears of it */
        loss_gap(q, reason, n);
    return n;
}
