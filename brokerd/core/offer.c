#include "brokerd/core/offer.h"

#include "brokerd/core/answer.h"
#include "brokerd/core/deliver.h"
#include "brokerd/core/durable.h"
#include "brokerd/core/loss.h"
#include "brokerd/core/queue.h"
#include "brokerd/core/tap.h"

enum put { PUT_ACCEPTED, PUT_DROPPED, PUT_REFUSED, PUT_HELD };

/* ------------------------------------------------------------------------- verdicts */

static void note(struct offer *o, uint32_t i, enum put put, enum reason reason)
{
    struct verdict *v = o->core->verdicts;

    if (!o->exceptional) {
        memset(v, 0, o->run->n * sizeof *v);
        o->exceptional = true;
    }
    if (put == PUT_HELD) {
        v[i].held++;
    } else {
        v[i].missed++;
        v[i].reason = worse_reason(v[i].reason, (uint16_t)reason);
    }
}

void offer_note_all(struct offer *o, enum reason reason)
{
    for (uint32_t i = 0; i < o->run->n; i++)
        note(o, i, PUT_REFUSED, reason);
}

static bool same_verdict(const struct verdict *a, const struct verdict *b)
{
    return a->missed == b->missed && a->held == b->held && a->reason == b->reason;
}

void offer_ranges(const struct offer *o, void (*fn)(void *ctx, const struct offer_range *r),
                  void *ctx)
{
    const struct verdict *v = o->core->verdicts;
    struct offer_range r = {.n = o->run->n, .matched = o->matched, .accepted = o->matched};

    if (!o->exceptional) {
        fn(ctx, &r);
        return;
    }
    for (uint32_t i = 0; i < o->run->n; i += r.n) {
        for (r.n = 1; i + r.n < o->run->n && same_verdict(&v[i], &v[i + r.n]); r.n++)
            continue;
        r.first = i;
        r.held = v[i].held;
        r.accepted = o->matched - v[i].missed - v[i].held;
        r.reason = (enum reason)v[i].reason;
        fn(ctx, &r);
    }
}

/* ------------------------------------------------------------------------- keeping */

struct msg *offer_keep(struct offer *o, uint32_t i)
{
    struct core *c = o->core;

    if (!o->keeps) {
        memset(c->kept, 0, o->run->n * sizeof *c->kept);
        o->keeps = true;
        o->from = (struct msg_origin){o->topic, o->run->type, 0, o->time_ms, c->now_ms};
    }
    if (!c->kept[i]) {
        o->from.id = o->id + i;
        c->kept[i] = budget_keep(c, &o->run->v[i], &o->from);
    }
    return c->kept[i];
}

void offer_end(struct offer *o)
{
    if (!o->keeps)
        return;
    for (uint32_t i = 0; i < o->run->n; i++)
        budget_unref(o->core, o->core->kept[i]);
}

/* ------------------------------------------------------------------------- policies */

void offer_drop_head(struct queue *q, const struct head *h)
{
    queue_take(q, h);
    loss_message(q, h->msg, h->seq, h->attempts, REASON_DROP_OLDEST);
    queue_let_go(q, h->msg);
}

/* Refused before it was anybody's: count. The consumer is told only where nobody chose that it
 * should miss something: its own queue found no memory. */
static enum put refuse(struct queue *q, enum reason why)
{
    if (q->is_named || why != REASON_MEMORY)
        loss_count(q, why, 1);
    else
        loss_gap(q, why, 1);
    return PUT_REFUSED;
}

/* Append a message by its own reference. */
static enum put push(struct queue *q, struct msg *m)
{
    if (queue_push(q, msg_ref(m)) == 0)
        return PUT_ACCEPTED;
    m->refs--; /* the offer has another */
    return refuse(q, REASON_MEMORY);
}

/* A message of a subscription is lost and its policy is to end it for that, at the end of the
 * turn; nothing is delivered with that hole before it. */
static void doom(struct queue *q)
{
    loss_gap(q, REASON_DROP_NEWEST, 1);
    if (q->doomed)
        return;
    q->doomed = true;
    list_move_to_back(&q->core->doomed, &q->pump);
    for (struct tap *t = tap_first(q); t; t = tap_next(t)) {
        t->stopped = true;
        tap_look(t);
    }
}

/* Apply a policy that does not hold to a message the queue has no room for. */
static enum put overflow(struct queue *q, struct msg *m, enum overflow policy, enum reason why,
                         enum reason *ret_reason)
{
    struct head h;

    *ret_reason = why;
    switch (policy) {
    case OVERFLOW_DROP_OLDEST:
        while (queue_at_limit(q, m->len) || !queue_affords(q)) {
            if (!queue_head(q, &h)) { /* nothing to drop: the memory is elsewhere */
                *ret_reason = REASON_MEMORY;
                return refuse(q, REASON_MEMORY);
            }
            offer_drop_head(q, &h);
        }
        return push(q, m);
    case OVERFLOW_DROP_NEWEST:
        loss_message(q, m, 0, 0, REASON_DROP_NEWEST);
        *ret_reason = REASON_DROP_NEWEST;
        return PUT_DROPPED;
    case OVERFLOW_DISCONNECT: /* its consumer hears of it; to the publisher it is a drop */
        *ret_reason = REASON_DROP_NEWEST;
        doom(q);
        return PUT_DROPPED;
    case OVERFLOW_BLOCK: /* a fallback is never block: the settings see to it */
    case OVERFLOW_REJECT:
        return refuse(q, why);
    }
    return PUT_REFUSED;
}

static enum put hold(struct offer *o, uint32_t i, struct queue *q, struct msg *m)
{
    struct backlog *b = queue_backlog(q);
    struct held *h = b ? deque_push(&b->held) : NULL;

    if (!h)
        return refuse(q, REASON_MEMORY);
    *h = (struct held){msg_ref(m),      o->publisher,  o->first + i,
                       q->core->now_ms, queue_left(q), o->dedup};
    b->charged += m->charge + PLACE_CHARGE;
    budget_charge(q->core, PLACE_CHARGE);
    if (!list_linked(&b->holding))
        list_push_back(&q->core->holding, &b->holding);
    if (deque_len(&b->held) == 1)
        queue_arm(q);
    return PUT_HELD;
}

static bool drained_to_half(const struct queue *q)
{
    return q->backlog->waiting <= q->policy->max_messages / 2 &&
           q->backlog->bytes <= q->policy->max_bytes / 2;
}

static bool may_hold(const struct offer *o, const struct queue *q)
{
    return o->may_hold && !q->backlog->stuck && !q->core->draining;
}

static enum put put_full(struct offer *o, uint32_t i, struct queue *q, struct msg *m,
                         enum reason why, enum reason *ret_reason)
{
    if (q->policy->overflow != OVERFLOW_BLOCK)
        return overflow(q, m, q->policy->overflow, why, ret_reason);
    if (may_hold(o, q)) {
        *ret_reason = REASON_MEMORY; /* a hold costs memory, too */
        return core_short_of_memory(q->core) ? refuse(q, REASON_MEMORY) : hold(o, i, q, m);
    }
    return overflow(q, m, q->policy->block_fallback, why, ret_reason);
}

/* Put message i into the queue or let the policy decide. */
static enum put put(struct offer *o, uint32_t i, struct queue *q, enum reason *ret_reason)
{
    struct backlog *b = q->backlog;
    /* What is held comes first: nothing goes past it. */
    bool full = queue_at_limit(q, o->run->v[i].len) || deque_len(&b->held);
    struct msg *m;

    if (b->stuck && drained_to_half(q))
        b->stuck = false;
    if (full && b->waiting && b->full_since_ms == 0)
        b->full_since_ms = q->core->now_ms;
    *ret_reason = REASON_FULL;
    if (full && q->policy->overflow == OVERFLOW_REJECT)
        return refuse(q, REASON_FULL); /* the commonest refusal costs no copy */
    m = offer_keep(o, i);
    if (m && full)
        return put_full(o, i, q, m, REASON_FULL, ret_reason);
    *ret_reason = REASON_MEMORY;
    if (!m)
        return refuse(q, REASON_MEMORY);
    if (!queue_affords(q)) {
        if (b->waiting && b->full_since_ms == 0)
            b->full_since_ms = q->core->now_ms;
        return put_full(o, i, q, m, REASON_MEMORY, ret_reason);
    }
    if (b->full_since_ms)
        b->full_since_ms = 0;
    return push(q, m);
}

/* The first is, but one whose store is full is rather: that passes. */
static bool is_to_blame(const struct offer *o, const struct queue *q, enum reason reason)
{
    return !o->refuser || (reason == REASON_FULL && o->refused_for == REASON_FULL &&
                           q->backlog->stored && q->backlog->stored->refuses == REASON_FULL);
}

/* A message did not get in, or not at once. True: it is held. */
static bool exception(struct offer *o, uint32_t i, struct queue *q, enum put what,
                      enum reason reason)
{
    if (o->dedup)
        dedup_undo(q);
    note(o, i, what, reason);
    if (what == PUT_REFUSED && is_to_blame(o, q, reason)) {
        o->refuser = q;
        o->refused_for = (uint8_t)reason;
    }
    return what == PUT_HELD;
}

/* ------------------------------------------------------------------------- stores */

/* May a queue exceed its limit, for its oldest will make room? */
static bool makes_room(const struct offer *o, const struct queue *q)
{
    enum overflow policy = q->policy->overflow;

    if (policy == OVERFLOW_BLOCK && !may_hold(o, q))
        policy = q->policy->block_fallback;
    return policy == OVERFLOW_DROP_OLDEST;
}

/* Does a message that cannot be put wait? A store that is merely busy is no reason to reject it. */
static bool waits(const struct offer *o, const struct queue *q)
{
    switch (q->policy->overflow) {
    case OVERFLOW_BLOCK:
        return may_hold(o, q);
    case OVERFLOW_REJECT:
        return may_hold(o, q) && (q->backlog->stored->busy || deque_len(&q->backlog->held));
    default:
        return false;
    }
}

/* Message i cannot be put, for `why`. Where that is the queue's own limit the policy decides; what
 * the store cannot take no dropping helps. */
static enum put put_later(struct offer *o, uint32_t i, struct queue *q, enum reason why,
                          enum reason *ret_reason)
{
    bool holds = why != REASON_TOO_LARGE && waits(o, q);
    enum overflow policy =
        q->policy->overflow == OVERFLOW_BLOCK ? q->policy->block_fallback : q->policy->overflow;
    bool drops = policy == OVERFLOW_DROP_NEWEST && why == REASON_FULL && !durable_refuses(q);
    struct msg *m;

    if (q->backlog->waiting && q->backlog->full_since_ms == 0)
        q->backlog->full_since_ms = q->core->now_ms;
    *ret_reason = why;
    if (!holds && !drops)
        return refuse(q, why);
    m = offer_keep(o, i);
    if (!m || (holds && core_short_of_memory(q->core))) {
        *ret_reason = REASON_MEMORY;
        return refuse(q, REASON_MEMORY);
    }
    return holds ? hold(o, i, q, m) : overflow(q, m, OVERFLOW_DROP_NEWEST, why, ret_reason);
}

/* The whole run, or as much of it as is accepted, goes to the store; the answer comes from there.
 * True: some are held in front of the queue. */
static bool offer_stored(struct offer *o, struct queue *q)
{
    struct backlog *b = q->backlog;
    enum reason why = REASON_FULL;
    bool holds = false;

    if (b->stuck && drained_to_half(q))
        b->stuck = false;
    for (uint32_t i = 0; i < o->run->n;) {
        uint32_t n = 0;
        enum reason reason;
        enum put what;

        if (!deque_len(&b->held) && why != REASON_MEMORY)
            n = durable_put(q, o, i, makes_room(o, q), &why);
        if (n && b->full_since_ms)
            b->full_since_ms = 0;
        for (; n; n--)
            note(o, i++, PUT_HELD, REASON_NONE);
        if (i == o->run->n)
            break;
        what = put_later(o, i, q, why, &reason);
        holds |= exception(o, i++, q, what, reason);
    }
    return holds;
}

/* A repeat is accepted when what it repeats is. */
static void repeat_unstored(struct offer *o, struct queue *q)
{
    int r = durable_repeats(q, o->id_key, o->publisher, o->first);

    if (r < 0)
        note(o, 0, refuse(q, REASON_MEMORY), REASON_MEMORY);
    else if (r)
        note(o, 0, PUT_HELD, REASON_NONE);
}

/* Is that all the queue has to do with a message that has an id? It took it before, or cannot
 * remember it. */
static bool offer_id(struct offer *o, struct queue *q)
{
    int r = dedup_add(q, o->id_key);

    if (r < 0)
        note(o, 0, refuse(q, REASON_MEMORY), REASON_MEMORY);
    else if (r && q->backlog->stored)
        repeat_unstored(o, q);
    return r != 0;
}

/* What is left of the run, message by message. True: some are held. */
static bool offer_rest(struct offer *o, struct queue *q, uint32_t i)
{
    bool holds = false;

    for (; i < o->run->n; i++) {
        enum reason reason;
        enum put what = put(o, i, q, &reason);

        if (what != PUT_ACCEPTED)
            holds |= exception(o, i, q, what, reason);
    }
    return holds;
}

void offer_to(struct offer *o, struct queue *q)
{
    uint32_t i;
    bool holds = false;

    o->matched++;
    if (o->dedup && offer_id(o, q))
        return;
    i = deliver_direct(o, q);
    if (i < o->run->n)
        holds = q->backlog->stored ? offer_stored(o, q) : offer_rest(o, q, i);
    if (!q->hungry)
        return;
    /* What is delivered makes room for what is held. That one is held must be told before what
     * became of it, so this waits until the offer is over. */
    if (holds)
        deliver_later(q);
    else
        deliver_pump(q);
}

/* ---------------------------------------------------------------------------- holds */

/* The first of those held has its outcome. */
static void answer_held(struct queue *q, enum put what, enum reason reason)
{
    struct held *h = deque_slot(&q->backlog->held, deque_first(&q->backlog->held));
    struct answer a = {.accepted = what == PUT_ACCEPTED, .done = 1};
    struct blamed by;

    if (what != PUT_ACCEPTED)
        a.reason = (uint16_t)reason;
    if (what != PUT_HELD) /* else its store answers */
        answer_add(q->core, h->publisher, h->number, 1, &a,
                   what == PUT_REFUSED ? answer_blame(q, reason, &by) : NULL);
    budget_unref(q->core, h->msg);
    deque_pop(&q->backlog->held);
    if (deque_len(&q->backlog->held) == 0)
        list_remove(&q->backlog->holding);
}

/* Its charge as held ends; as a waiting message it is charged anew. */
static struct msg *uncharge_held(struct queue *q)
{
    struct held *h = deque_slot(&q->backlog->held, deque_first(&q->backlog->held));

    q->backlog->charged -= h->msg->charge + PLACE_CHARGE;
    budget_charge(q->core, -PLACE_CHARGE);
    return h->msg;
}

/* The same undone: it stays held. */
static void charge_held(struct queue *q)
{
    struct held *h = deque_slot(&q->backlog->held, deque_first(&q->backlog->held));

    q->backlog->charged += h->msg->charge + PLACE_CHARGE;
    budget_charge(q->core, PLACE_CHARGE);
}

static struct dedup_key key_of(const struct queue *q, const struct held *h)
{
    return dedup_key(q->core, msg_headers(h->msg));
}

/* Settle the first of those held if the queue has taken its like meanwhile: one that was held
 * before it, most likely. */
static bool settle_repeat(struct queue *q)
{
    const struct held *h = deque_slot(&q->backlog->held, deque_first(&q->backlog->held));
    int waits = 0;

    if (!h->dedup || !dedup_repeats(q, key_of(q, h)))
        return false;
    if (q->backlog->stored)
        waits = durable_repeats(q, key_of(q, h), h->publisher, h->number);
    uncharge_held(q);
    if (waits < 0)
        answer_held(q, refuse(q, REASON_MEMORY), REASON_MEMORY);
    else
        answer_held(q, waits ? PUT_HELD : PUT_ACCEPTED, REASON_NONE);
    return true;
}

/* The store said that there is room, and had none for this one after those before it. */
static bool stays_held(const struct queue *q)
{
    return durable_refuses(q) &&
           (q->backlog->stored->busy || q->policy->overflow == OVERFLOW_BLOCK);
}

/* What is held goes to the store; where that is not possible `fallback` cannot help. HELD with a
 * reason: it stays where it is. */
static enum put admit_stored(struct queue *q, const struct held *h, const enum overflow *fallback,
                             enum reason *ret_reason)
{
    bool beyond = fallback && *fallback == OVERFLOW_DROP_OLDEST;

    *ret_reason = durable_put_held(q, h, beyond);
    if (*ret_reason == REASON_NONE)
        return PUT_HELD;
    if (!fallback && stays_held(q)) {
        charge_held(q);
        return PUT_HELD;
    }
    if (fallback && *fallback == OVERFLOW_DROP_NEWEST && !durable_refuses(q))
        return overflow(q, h->msg, *fallback, *ret_reason, ret_reason);
    return refuse(q, *ret_reason);
}

/* Let the first of those held in, or do with it what `fallback` says, which is never to hold. */
static enum put admit_first(struct queue *q, const enum overflow *fallback, enum reason *ret_reason)
{
    const struct held *h = deque_slot(&q->backlog->held, deque_first(&q->backlog->held));
    bool remembers = h->dedup;
    struct msg *m = uncharge_held(q);
    enum put what;

    *ret_reason = REASON_MEMORY;
    if (remembers && dedup_add(q, key_of(q, h)) < 0)
        return refuse(q, REASON_MEMORY);
    if (q->backlog->stored)
        what = admit_stored(q, h, fallback, ret_reason);
    else
        what = fallback ? overflow(q, m, *fallback, REASON_FULL, ret_reason) : push(q, m);
    if (remembers && (what == PUT_REFUSED || what == PUT_DROPPED ||
                      (what == PUT_HELD && *ret_reason != REASON_NONE)))
        dedup_undo(q);
    return what;
}

/* Is there no room yet for the first of those held? */
static bool must_wait(struct queue *q, uint32_t len)
{
    if (q->backlog->stored) /* a policy that does not hold has held it for the store's sake only */
        return !durable_takes(q, len) &&
               (durable_refuses(q) || q->policy->overflow == OVERFLOW_BLOCK);
    /* What it costs is charged already, so admitting it takes nothing from anybody. But then its
     * publisher sends another: with more than its share of the budget a queue must drain first. An
     * empty one takes any message. */
    return queue_at_limit(q, len) || (q->backlog->waiting && !queue_affords(q));
}

void offer_admit(struct queue *q)
{
    bool any = false;

    while (deque_len(&q->backlog->held)) {
        const struct held *h = deque_slot(&q->backlog->held, deque_first(&q->backlog->held));
        enum reason reason;
        enum put what;

        if (settle_repeat(q)) {
            any = true;
            continue;
        }
        if (must_wait(q, h->msg->len))
            break;
        what = admit_first(q, NULL, &reason);
        if (what == PUT_HELD && reason != REASON_NONE)
            break;
        answer_held(q, what, reason);
        any = true;
    }
    if (!any)
        return;
    queue_arm(q);
    if (q->hungry)
        deliver_later(q);
}

static void end_first_hold(struct queue *q, enum reason reason)
{
    enum reason why = reason;
    enum put what;

    if (settle_repeat(q))
        return;
    if (reason == REASON_FULL) {
        what = admit_first(q, &q->policy->block_fallback, &why);
    } else {
        uncharge_held(q);
        what = refuse(q, reason);
    }
    answer_held(q, what, why);
}

/* What keeps those that are held. */
static enum reason why_held(const struct queue *q)
{
    if (durable_is_shut(q))
        return REASON_STORE;
    return q->backlog->stored && q->backlog->stored->refuses ? q->backlog->stored->refuses
                                                             : REASON_FULL;
}

void offer_hold_due(struct queue *q)
{
    struct core *c = q->core;

    while (deque_len(&q->backlog->held) && q->policy->block_timeout_ms != POLICY_NEVER) {
        const struct held *h = deque_slot(&q->backlog->held, deque_first(&q->backlog->held));

        if (h->since_ms + q->policy->block_timeout_ms > c->now_ms)
            break;
        if (queue_left(q) == h->left && !q->backlog->stuck) {
            struct core_event ev = {.kind = EVENT_QUEUE_STUCK,
                                    .reason = why_held(q),
                                    .count = deque_len(&q->backlog->held),
                                    .queue = q->label,
                                    .topic = "",
                                    .client = "",
                                    .why = loss_why(q)};

            q->backlog->stuck = true;
            c->ops->event(c->ctx, &ev);
            offer_end_holds(q, REASON_FULL);
            break;
        }
        end_first_hold(q, REASON_FULL);
    }
    if (q->hungry)
        deliver_pump(q);
    queue_arm(q);
}

void offer_end_holds(struct queue *q, enum reason reason)
{
    while (deque_len(&q->backlog->held))
        end_first_hold(q, reason);
}
