#include "brokerd/core/durable.h"

#include "brokerd/core/answer.h"
#include "brokerd/core/budget.h"
#include "brokerd/core/deliver.h"
#include "brokerd/core/loss.h"
#include "brokerd/core/queue.h"
#include "brokerd/core/window.h"

#include <errno.h>
#include <stdlib.h>

/* -------------------------------------------------------------------------------- life */

int durable_open(struct queue *q, struct store *s, const struct store_open *o)
{
    struct storage *d = calloc(1, sizeof *d);

    if (!d)
        return -ENOMEM;
    d->queue = q;
    d->store = s;
    d->shared = s->ops->shared;
    d->window = DURABLE_WINDOW;
    deque_init(&d->unstored, sizeof(struct unstored));
    deque_init(&d->ids, sizeof(struct unstored_id));
    d->busy = true;
    d->since_ms = q->core->now_ms;
    /* Its timer stays in the heap while it is not open, so that setting it cannot fail. */
    d->timer = (struct timer){{.key = INT64_MAX}, TIMER_OPEN};
    if (heap_push(&q->core->timers, &d->timer.node) == 0)
        d->at = s->ops->open(s, o, q->handle);
    if (!d->at) {
        heap_remove(&q->core->timers, &d->timer.node);
        free(d);
        return -ENOMEM;
    }
    list_push_back(&q->core->durables, &d->link);
    q->backlog->stored = d;
    return 0;
}

int durable_open_again(struct queue *q, const struct store_open *o)
{
    struct storage *d = q->backlog->stored;

    d->at = d->store->ops->open(d->store, o, q->handle);
    return d->at ? 0 : -ENOMEM;
}

static void set_trouble(struct storage *d, const char *text)
{
    free(d->trouble);
    d->trouble = text ? strdup(text) : NULL;
}

void durable_not_opened(struct storage *d, const char *text)
{
    d->at = NULL; /* it is closed */
    d->busy = false;
    set_trouble(d, text);
    if (d->queue->policy->overflow != OVERFLOW_BLOCK)
        offer_end_holds(d->queue, REASON_STORE);
}

void durable_hand_over(struct storage *d)
{
    if (d->settlements_n && d->at)
        d->store->ops->settle(d->at, d->settlements, d->settlements_n);
    d->settlements_n = 0;
}

/* The last or the first of those unstored is so no more, whatever becomes of it. */
static void count_out(struct storage *d, const struct unstored *u)
{
    struct backlog *b = d->queue->backlog;

    b->waiting--;
    b->unready_n--;
    b->bytes -= u->len;
    d->unstored_bytes -= u->len;
    b->charged -= PLACE_CHARGE + (u->msg ? u->msg->charge : u->len);
    budget_charge(d->queue->core, -PLACE_CHARGE - (u->msg ? 0 : (int64_t)u->len));
}

static struct unstored *first_unstored(const struct storage *d)
{
    return deque_slot(&d->unstored, deque_first(&d->unstored));
}

static struct unstored_id *first_id(const struct storage *d)
{
    return deque_len(&d->ids) ? deque_slot(&d->ids, deque_first(&d->ids)) : NULL;
}

void durable_stand(struct storage *d, uint64_t w, uint64_t messages, uint64_t bytes)
{
    struct backlog *b = d->queue->backlog;

    d->w = d->rewinds ? 0 : w;
    d->gap = false;
    d->fixed = d->delayed_bytes = 0;
    d->away_n = messages;
    d->away_bytes = bytes;
    b->waiting = b->unready_n = messages + durable_unstored(d);
    b->bytes = bytes + d->unstored_bytes;
    durable_touch(d);
}

void durable_stand_as(struct storage *d, const struct store_facts *f)
{
    durable_stand(d, f->messages ? f->first : f->next, f->messages, f->bytes);
}

void durable_forget(struct storage *d)
{
    durable_stand(d, deque_first(&d->unstored), 0, 0);
}

void durable_begin(struct queue *q, const struct store_facts *f)
{
    struct storage *d = q->backlog->stored;

    deque_start_at(&d->unstored, d->shared ? 1 : f->next);
    d->open = d->news = true;
    d->busy = false;
    set_trouble(d, NULL);
    heap_remove(&q->core->timers, &d->timer.node);
    d->known = *f;
    if (!d->shared)
        durable_stand_as(d, f);
    durable_touch(d);
    offer_admit(q);
}

void durable_close(struct queue *q, bool remove)
{
    struct storage *d = q->backlog->stored;

    if (!d)
        return;
    for (; deque_len(&d->unstored); deque_pop(&d->unstored)) {
        count_out(d, first_unstored(d));
        budget_unref(q->core, first_unstored(d)->msg);
    }
    q->backlog->waiting -= d->away_n;
    q->backlog->unready_n -= d->away_n;
    q->backlog->bytes -= d->away_bytes;
    durable_hand_over(d);
    window_has_come(d); /* or will be of no consequence */
    if (d->at)
        d->store->ops->close(d->at, remove);
    deque_fini(&d->unstored);
    deque_fini(&d->ids);
    topic_unref(d->topic);
    heap_remove(&q->core->timers, &d->timer.node);
    free(d->trouble);
    list_remove(&d->link);
    list_remove(&d->touched);
    q->backlog->stored = NULL;
    free(d);
}

/* --------------------------------------------------------------------------------- put */

/* Will it go into the window, as far as can be said? Else it need not be kept until it is stored.
 */
static bool is_for_window(const struct storage *d, uint64_t len)
{
    uint64_t full = window_bytes(d) + d->unstored_bytes + durable_unstored(d) * DURABLE_PLACE;

    return !d->shared && d->w >= deque_first(&d->unstored) && window_affords(d->queue->core) &&
           (!full || full + len + DURABLE_PLACE <= d->window);
}

static bool within_limits(const struct storage *d, uint64_t len, bool beyond)
{
    const struct queue_policy *p = d->queue->policy;
    const struct backlog *b = d->queue->backlog;

    if (d->shared)
        return true;
    if (!beyond)
        return !queue_at_limit(d->queue, (uint32_t)len);
    return (b->waiting <= DURABLE_BEYOND || b->waiting - DURABLE_BEYOND < p->max_messages) &&
           (b->bytes <= DURABLE_BEYOND_BYTES || b->bytes - DURABLE_BEYOND_BYTES < p->max_bytes);
}

/* May it be put? Else why not. */
static enum reason judge(struct storage *d, uint32_t len, bool beyond)
{
    struct queue *q = d->queue;

    if (durable_refuses(q))
        return d->open ? d->refuses : REASON_STORE;
    if (!within_limits(d, len, beyond)) /* beyond them: it is the store that is late */
        return beyond ? REASON_STORE : REASON_FULL;
    while (!queue_affords(q) && window_cut(d))
        continue;
    return queue_affords(q) || !q->backlog->waiting ? REASON_NONE : REASON_MEMORY;
}

bool durable_takes(struct queue *q, uint32_t len)
{
    return judge(q->backlog->stored, len, false) == REASON_NONE;
}

/* `m` is borrowed; NULL: it is not kept. */
static int add(struct storage *d, struct msg *m, uint32_t len, handle_t publisher, uint64_t number)
{
    struct unstored *u = deque_push(&d->unstored);
    struct queue *q = d->queue;

    if (!u)
        return -ENOMEM;
    *u = (struct unstored){m ? msg_ref(m) : NULL, publisher, number, q->core->now_ms, len};
    q->backlog->waiting++;
    q->backlog->unready_n++;
    q->backlog->bytes += len;
    d->unstored_bytes += len;
    q->backlog->charged += PLACE_CHARGE + (m ? m->charge : len);
    budget_charge(q->core, PLACE_CHARGE + (m ? 0 : (int64_t)len));
    return 0;
}

static void take_back(struct storage *d, uint32_t n)
{
    for (; n; n--) {
        struct unstored *u = deque_slot(&d->unstored, deque_end(&d->unstored) - 1);

        count_out(d, u);
        budget_unref(d->queue->core, u->msg);
        deque_unpush(&d->unstored);
    }
}

static int add_id(struct storage *d, const struct unstored_id *id)
{
    struct unstored_id *slot = deque_push(&d->ids);

    if (!slot)
        return -ENOMEM;
    *slot = *id;
    return 0;
}

static enum reason reason_of(int error)
{
    switch (error) {
    case -ENOMEM:
        return REASON_MEMORY;
    case -ENOSPC:
        return REASON_FULL;
    case -EMSGSIZE:
        return REASON_TOO_LARGE;
    default:
        return REASON_STORE;
    }
}

/* The last `run->n` of those unstored, one of which may have an id, are handed to the store, or
 * none of them. */
static enum reason put(struct storage *d, const struct run *run, const struct msg_origin *from,
                       const struct dedup_key *key)
{
    uint64_t first = deque_end(&d->unstored) - run->n;
    int r = 0;

    if (key)
        r = add_id(d, &(struct unstored_id){.seq = first, .key = *key});
    if (r == 0) {
        r = d->store->ops->put(d->at, first, run, from);
        if (r < 0 && key)
            deque_unpush(&d->ids);
    }
    if (r == 0)
        return REASON_NONE;
    take_back(d, run->n);
    if (r != -ENOMEM && r != -EMSGSIZE) { /* else the next one may be taken */
        d->refuses = reason_of(r);
        d->busy = r == -EAGAIN;
    }
    return reason_of(r);
}

/* A store counts a TTL from when the message was published, an offer from now: a message that has
 * moved or waited comes alone. */
static enum reason put_run(struct storage *d, const struct run *run, const struct msg_origin *from,
                           const struct dedup_key *key)
{
    int64_t ago = d->queue->core->wall_ms - from->time_ms;
    struct run one = *run;
    struct msg_meta meta;
    struct msg_view v;

    if (run->n > 1 || ago <= 0 || !run->v->meta || !run->v->meta->ttl_ms)
        return put(d, run, from, key);
    v = *run->v;
    meta = *v.meta;
    meta.ttl_ms += ago;
    v.meta = &meta;
    one.v = &v;
    return put(d, &one, from, key);
}

/* At most *n from i on, in one call; *n: so many were, or would have been. REASON_NONE: they are
 * put; *ret_why: why no more could be. */
static enum reason put_some(struct storage *d, struct offer *o, uint32_t i, bool beyond,
                            uint32_t *n, enum reason *ret_why)
{
    struct queue *q = d->queue;
    struct msg_origin from = {o->topic, o->run->type, o->id + i, o->time_ms, q->core->now_ms};
    uint32_t most = *n, k = 0;
    struct run part;

    *ret_why = REASON_NONE;
    for (; k < most; k++) {
        uint32_t len = o->run->v[i + k].len;
        struct msg *m = NULL;

        *ret_why = judge(d, len, beyond);
        if (*ret_why != REASON_NONE)
            break;
        if (is_for_window(d, len)) /* without memory it is fetched */
            m = offer_keep(o, i + k);
        if (add(d, m, len, o->publisher, o->first + i + k) < 0) {
            *ret_why = REASON_MEMORY;
            break;
        }
    }
    *n = k;
    if (!k)
        return *ret_why;
    part = run_part(o->run, i, k);
    return put_run(d, &part, &from, o->dedup ? &o->id_key : NULL);
}

/* The store does not say which one is too large for it: half of them are tried, and half of those.
 */
uint32_t durable_put(struct queue *q, struct offer *o, uint32_t i, bool beyond,
                     enum reason *ret_why)
{
    struct storage *d = q->backlog->stored;
    uint32_t all = o->run->n - i, done = 0, most = all;

    for (*ret_why = REASON_NONE; *ret_why == REASON_NONE && done < all;) {
        uint32_t n = all - done < most ? all - done : most;
        enum reason why = put_some(d, o, i + done, beyond, &n, ret_why);

        if (why == REASON_TOO_LARGE && n > 1) {
            most = n / 2;
            *ret_why = REASON_NONE;
        } else if (why != REASON_NONE) {
            *ret_why = why;
        } else {
            done += n;
        }
    }
    return done;
}

enum reason durable_put_held(struct queue *q, const struct held *h, bool beyond)
{
    struct storage *d = q->backlog->stored;
    struct core *c = q->core;
    struct msg *m = h->msg;
    struct msg_meta meta = {
        .headers = msg_headers(m), .type = {.id = CTYPE_NONE}, .dedup = h->dedup};
    struct msg_view v = {m->data, m->len, &meta, m->block};
    struct run run = {.v = &v, .n = 1, .bytes = m->len, .type = msg_type(m)};
    struct msg_origin from = {m->topic, run.type, m->id, m->time_ms, c->now_ms};
    struct dedup_key key = dedup_key(c, meta.headers);
    enum reason why = judge(d, m->len, beyond);

    if (why != REASON_NONE)
        return why;
    if (m->expires_ms != INT64_MAX)
        meta.ttl_ms = m->expires_ms > c->now_ms ? m->expires_ms - c->now_ms : 1;
    if (add(d, is_for_window(d, m->len) ? m : NULL, m->len, h->publisher, h->number) < 0)
        return REASON_MEMORY;
    return put_run(d, &run, &from, h->dedup ? &key : NULL);
}

static bool same_key(const struct dedup_key *a, const struct dedup_key *b)
{
    return a->hash == b->hash && a->check == b->check;
}

static uint64_t find_id_in(const struct storage *d, const struct dedup_key *key, uint64_t from,
                           uint64_t end)
{
    for (; from != end; from++) {
        const struct unstored_id *id = deque_slot(&d->ids, from);

        if (!id->repeats && same_key(&id->key, key))
            break;
    }
    return from;
}

/* The message with that id, in d->ids, or their end. Who sends all again does so in order: without
 * a place to begin at, 16,384 repeats would take 134 million looks. */
static uint64_t find_id(const struct storage *d, const struct dedup_key *key)
{
    uint64_t first = deque_first(&d->ids), end = deque_end(&d->ids), at;
    uint64_t from = d->repeated > first && d->repeated < end ? d->repeated : first;

    at = find_id_in(d, key, from, end);
    if (at != end)
        return at;
    at = find_id_in(d, key, first, from);
    return at == from ? end : at;
}

int durable_repeats(struct queue *q, struct dedup_key key, handle_t publisher, uint64_t number)
{
    struct storage *d = q->backlog->stored;
    struct unstored_id repeat = {.seq = deque_end(&d->unstored) - 1,
                                 .repeats = true,
                                 .publisher = publisher,
                                 .number = number,
                                 .key = key};

    uint64_t at = find_id(d, &key);

    if (at == deque_end(&d->ids))
        return 0;
    d->repeated = at + 1;
    if (!publisher)
        return 1;
    repeat.next = ((struct unstored_id *)deque_slot(&d->ids, at))->next;
    if (add_id(d, &repeat) < 0)
        return -ENOMEM;
    ((struct unstored_id *)deque_slot(&d->ids, at))->next = deque_end(&d->ids) - 1;
    return 1;
}

/* ------------------------------------------------------------------------- it is stored */

/* What becomes of a range of numbers of one publisher, told in one piece. */
struct telling {
    struct core *core;
    const struct blamed *by;
    handle_t publisher;
    uint64_t number;
    uint32_t n;
    struct answer a;
};

static void tell(struct telling *t)
{
    if (t->n)
        answer_add(t->core, t->publisher, t->number, t->n, &t->a, t->by);
    t->n = 0;
}

static void tell_one(struct telling *t, handle_t publisher, uint64_t number)
{
    if (t->n && t->publisher == publisher && t->number + t->n == number) {
        t->n++;
        return;
    }
    tell(t);
    t->publisher = publisher;
    t->number = number;
    t->n = 1;
}

/* Its id counts no more, and who repeated it hears why. */
static void forget_id(struct storage *d, const struct unstored_id *of, enum reason reason)
{
    dedup_forget(d->queue, of->key);
    for (uint64_t i = of->next; i;) {
        struct unstored_id *id = deque_slot(&d->ids, i);

        id->reason = reason;
        i = id->next;
    }
}

/* Ids of messages up to `seq`, which had the same outcome, and the answers to repeats. */
static void settle_ids(struct storage *d, uint64_t seq, enum reason reason)
{
    struct unstored_id *id;

    for (; (id = first_id(d)) != NULL && id->seq <= seq; deque_pop(&d->ids)) {
        struct answer a = {
            .accepted = id->reason == REASON_NONE, .done = 1, .reason = (uint16_t)id->reason};

        if (id->repeats)
            answer_add(d->queue->core, id->publisher, id->number, 1, &a, NULL);
        else if (reason != REASON_NONE)
            forget_id(d, id, reason);
    }
}

/* The first of those unstored is kept: it enters the window, or is only in the store. */
static void kept(struct storage *d, uint64_t seq, struct unstored *u)
{
    struct queue *q = d->queue;

    q->in++;
    if (d->shared) {
        d->news = true;
    } else if (u->msg && d->w == seq && window_push(d, seq, u->msg)) {
        d->w = seq + 1;
        u->msg = NULL;
    } else {
        d->away_n++;
        d->away_bytes += u->len;
        q->backlog->waiting++;
        q->backlog->unready_n++;
        q->backlog->bytes += u->len;
    }
}

/* Those unstored up to below `end` have their answer. */
static void answered(struct storage *d, uint64_t end, enum reason reason)
{
    struct blamed by;
    struct telling t = {
        .core = d->queue->core,
        .by = answer_blame(d->queue, reason, &by),
        .a = {.accepted = reason == REASON_NONE, .done = 1, .reason = (uint16_t)reason}};

    if (reason == REASON_FULL && !d->shared) /* limits were looked at before */
        by.blame = BLAME_FULL;
    while (deque_len(&d->unstored) && deque_first(&d->unstored) < end) {
        uint64_t seq = deque_first(&d->unstored);
        struct unstored u = *first_unstored(d);

        deque_pop(&d->unstored);
        count_out(d, &u);
        if (reason == REASON_NONE)
            kept(d, seq, &u);
        else if (d->w == seq)
            d->w = seq + 1;
        budget_unref(d->queue->core, u.msg);
        tell_one(&t, u.publisher, u.number);
        if (deque_len(&d->ids)) {
            tell(&t);
            settle_ids(d, seq, reason);
        }
    }
    tell(&t);
}

void durable_end(struct queue *q, enum reason reason)
{
    struct storage *d = q->backlog->stored;

    if (!d || !durable_unstored(d))
        return;
    loss_count(q, reason, durable_unstored(d));
    answered(d, deque_end(&d->unstored), reason);
}

/* More is stored than there may be, by a policy that drops the oldest. */
static bool is_beyond(const struct storage *d)
{
    const struct queue *q = d->queue;
    uint64_t n = q->backlog->waiting - durable_unstored(d);

    return n > q->policy->max_messages ||
           (n > 1 && q->backlog->bytes - d->unstored_bytes > q->policy->max_bytes);
}

/* The oldest go when newer ones are stored, not before; those that are on their way from the store
 * when they have come. */
static void drop_oldest(struct storage *d)
{
    struct queue *q = d->queue;
    struct head h;

    if (d->shared || (q->policy->overflow != OVERFLOW_DROP_OLDEST &&
                      (q->policy->overflow != OVERFLOW_BLOCK ||
                       q->policy->block_fallback != OVERFLOW_DROP_OLDEST)))
        return;
    while (is_beyond(d) && queue_head(q, &h))
        offer_drop_head(q, &h);
}

/* A message that only the store had is lost: perhaps it has a dead letter. False: there is no
 * memory for one now. */
static bool lose(struct storage *d, const struct stored_message *s, uint64_t seq,
                 enum reason reason)
{
    struct msg *m = window_keep(d, s);

    if (!m)
        return false;
    loss_message(d->queue, m, seq, s->attempts, reason);
    budget_unref(d->queue->core, m);
    return true;
}

static void on_refused(struct storage *d, const struct stored *a)
{
    if (!a->n)
        loss_unseen(d->queue, a->reason, a->count);
    for (uint32_t i = 0; i < a->n; i++) {
        if (lose(d, &a->messages[i], 0, a->reason))
            continue;
        loss_unseen(d->queue, a->reason, 1);
        loss_count(d->queue, REASON_MEMORY, 1); /* its letter */
    }
}

/* A broker that stops begins no letters: the next one does. */
static void on_dead(struct storage *d, const struct stored *a)
{
    for (uint32_t i = 0; i < a->n; i++) {
        const struct stored_message *s = &a->messages[i];

        if (d->queue->core->draining || !lose(d, s, s->seq, a->reason))
            durable_returned(
                d, s->seq, s->attempts,
                s->due_ms > d->queue->core->wall_ms ? s->due_ms - d->queue->core->wall_ms : 0);
    }
}

static void on_put(struct storage *d, const struct stored *a)
{
    struct queue *q = d->queue;

    if (a->reason != REASON_NONE)
        on_refused(d, a);
    answered(d, a->first + a->count, a->reason);
    drop_oldest(d);
    durable_touch(d);
    if (q->hungry)
        deliver_later(q);
    if (a->reason != REASON_NONE)
        offer_admit(q);
}

/* What waits is fewer, and where the core counts it, it counts them no more. */
static void on_lost(struct storage *d, const struct stored *a)
{
    struct backlog *b = d->queue->backlog;
    uint64_t n = a->count < d->away_n ? a->count : d->away_n;

    if (a->reason == REASON_STORE) {
        loss_damaged(d->queue, a->count);
        d->damaged += a->count;
    } else {
        loss_unseen(d->queue, a->reason, a->count);
    }
    d->away_n -= n;
    b->waiting -= n;
    b->unready_n -= n;
    if (!d->away_n) {
        b->bytes -= d->away_bytes;
        d->away_bytes = 0;
    }
    durable_touch(d);
    offer_admit(d->queue);
}

void durable_stored(struct queue *q, const struct stored *a)
{
    struct storage *d = q->backlog->stored;

    if (!d || !d->open)
        return;
    switch (a->kind) {
    case STORED_PUT:
        on_put(d, a);
        break;
    case STORED_MESSAGES:
        window_take(d, a);
        drop_oldest(d);
        break;
    case STORED_LOST:
        on_lost(d, a);
        break;
    case STORED_DEAD:
        on_dead(d, a);
        break;
    case STORED_ROOM:
        d->refuses = REASON_NONE;
        d->busy = false;
        offer_admit(q);
        break;
    case STORED_NEWS:
        d->news = true;
        durable_touch(d);
        break;
    default: /* not a matter of its messages */
        break;
    }
}

/* -------------------------------------------------------------------------- settlements */

static struct store_settlement *next_settlement(struct storage *d)
{
    if (d->settlements_n == DURABLE_SETTLEMENTS)
        durable_hand_over(d);
    durable_touch(d);
    return &d->settlements[d->settlements_n++];
}

void durable_gone(struct storage *d, uint64_t seq)
{
    struct store_settlement *s = d->settlements_n ? &d->settlements[d->settlements_n - 1] : NULL;

    if (s && s->verb == SETTLE_GONE && s->seq + s->count == seq) {
        s->count++;
    } else if (s && s->verb == SETTLE_GONE && seq + 1 == s->seq) {
        s->seq--;
        s->count++;
    } else {
        *next_settlement(d) = (struct store_settlement){SETTLE_GONE, 1, seq, 0, 0};
    }
}

void durable_returned(struct storage *d, uint64_t seq, uint32_t attempts, int64_t delay_ms)
{
    int64_t due = delay_ms > 0 ? d->queue->core->wall_ms + delay_ms : 0;

    *next_settlement(d) = (struct store_settlement){SETTLE_RETURNED, 1, seq, attempts, due};
}

void durable_touch(struct storage *d)
{
    if (!list_linked(&d->touched))
        list_push_back(&d->queue->core->touched, &d->touched);
}

int64_t durable_turn(struct core *c)
{
    struct list starved;
    struct list_node *n;

    list_init(&starved);
    while ((n = list_pop(&c->touched)) != NULL) {
        struct storage *d = LIST_ITEM(n, struct storage, touched);

        durable_hand_over(d); /* what is settled is not fetched again */
        if (d->at)
            window_fetch(d);
        durable_hand_over(d);
        if (d->starved && !list_linked(&d->touched))
            list_push_back(&starved, &d->touched);
    }
    while ((n = list_pop(&starved)) != NULL)
        list_push_back(&c->touched, n);
    if (!window_affords(c))
        window_shrink(c);
    return list_empty(&c->touched) ? INT64_MAX : c->now_ms + STARVED_RETRY_MS;
}

bool durable_busy(const struct core *c)
{
    if (!list_empty(&c->letters))
        return true;
    for (struct list_node *n = list_first(&c->sent); n; n = list_next(&c->sent, n))
        if (LIST_ITEM(n, struct letter, link)->handle) /* else it rests */
            return true;
    for (struct list_node *n = list_first(&c->durables); n; n = list_next(&c->durables, n)) {
        const struct storage *d = LIST_ITEM(n, struct storage, link);

        if (durable_unstored(d) || d->settlements_n)
            return true;
    }
    for (unsigned i = 0; i < sizeof c->stores / sizeof *c->stores; i++)
        if (c->stores[i] && c->stores[i]->ops->busy(c->stores[i]))
            return true;
    return false;
}
