#include "brokerd/core/loss.h"

#include "brokerd/core/budget.h"
#include "brokerd/core/deliver.h"
#include "brokerd/core/durable.h"
#include "brokerd/core/endpoint.h"
#include "brokerd/core/publish.h"
#include "brokerd/core/queue.h"
#include "libbroker/base/headers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Made for the first. NULL without memory. */
static struct losses *own_losses(struct queue *q)
{
    struct backlog *b = queue_backlog(q);

    return b ? backlog_losses(b) : NULL;
}

static struct losses *count(struct queue *q, enum reason reason, uint64_t n)
{
    struct core *c = q->core;
    struct losses *l = own_losses(q);

    c->count.reason[reason] += n;
    if (!l)
        return NULL; /* counted, but for the whole broker only */
    l->total[reason] += n;
    l->unannounced[reason] += n;
    if (!list_linked(&l->link))
        list_push_back(&c->lossy, &l->link);
    return l;
}

void loss_count(struct queue *q, enum reason reason, uint64_t n)
{
    (void)count(q, reason, n);
}

void loss_gap(struct queue *q, enum reason reason, uint64_t n)
{
    struct losses *l = count(q, reason, n);

    if (!l)
        return;
    l->gap[reason] += n;
    l->has_gap = true;
}

void loss_damaged(struct queue *q, uint64_t n)
{
    struct losses *l = count(q, REASON_STORE, n);

    if (!l)
        return;
    l->gap[REASON_STORE] += n;
    l->has_gap = true;
    l->unannounced[REASON_STORE] -= n;
    l->unannounced_damaged += n;
}

void loss_elsewhere(struct queue *q)
{
    struct losses *l;

    if (!queue_keeps(q)) {
        queue_keeps_none(q, true);
        return;
    }
    l = own_losses(q);
    if (l)
        l->elsewhere = l->has_gap = true;
}

/* Does the consumer hear of it in band? Of what overflow took, always; of the rest only where
 * the queue is the consumer's own: there every message was meant for it. */
static bool tells_consumer(const struct queue *q, enum reason reason)
{
    switch (reason) {
    case REASON_DROP_OLDEST:
    case REASON_DROP_NEWEST:
        return true;
    case REASON_EXPIRED:
    case REASON_MEMORY:
        return !q->is_named;
    default:
        return false;
    }
}

void loss_unseen(struct queue *q, enum reason reason, uint64_t n)
{
    if (tells_consumer(q, reason))
        loss_gap(q, reason, n);
    else
        loss_count(q, reason, n);
}

/* -------------------------------------------------------------------- dead letters */

/* A message never dead-letters twice from one queue, or two queues whose dead letters meet
 * would play with it for ever. */
static bool died_here_before(const struct queue *q, const struct msg *m)
{
    struct slice rest = msg_headers(m);
    struct header h;

    while (headers_next(&rest, &h) > 0)
        if (slice_eq(h.name, SLICE("$dead-queue")) && slice_eq(h.value, slice_str(q->label)))
            return true;
    return false;
}

/* What a letter says of its death, in front of the headers that the message had. */
enum { DEATH_FACTS = 5 };

struct death {
    struct header h[DEATH_FACTS];
    char attempts[16], id[24];
};

static void describe(struct death *d, const struct queue *q, const struct msg *m, uint32_t attempts,
                     enum reason reason)
{
    int n = snprintf(d->attempts, sizeof d->attempts, "%u", attempts);
    int id = snprintf(d->id, sizeof d->id, "%" PRIu64, m->id);

    d->h[0] = (struct header){SLICE("$dead-reason"), slice_str(reason_name(reason))};
    d->h[1] = (struct header){SLICE("$dead-queue"), slice_str(q->label)};
    d->h[2] = (struct header){SLICE("$dead-topic"), topic_slice(m->topic)};
    d->h[3] = (struct header){SLICE("$dead-attempts"), slice_of(d->attempts, (size_t)n)};
    d->h[4] = (struct header){SLICE("$dead-id"), slice_of(d->id, (size_t)id)};
}

bool loss_undo(struct slice queue, struct loss_life *l)
{
    static const char *const names[DEATH_FACTS] = {"$dead-reason", "$dead-queue", "$dead-topic",
                                                   "$dead-attempts", "$dead-id"};
    struct slice rest = l->headers, value[DEATH_FACTS];
    char id[24];
    struct header h;

    for (unsigned i = 0; i < DEATH_FACTS; i++) {
        if (headers_next(&rest, &h) <= 0 || !slice_eq(h.name, slice_str(names[i])))
            return false;
        value[i] = h.value;
    }
    if (!slice_eq(value[1], queue))
        return false;
    (void)snprintf(id, sizeof id, "%.*s", (int)value[4].n, (const char *)value[4].p);
    *l = (struct loss_life){value[2], rest, strtoull(id, NULL, 10)};
    return true;
}

/* False: there will be none. */
static bool write_letter(struct queue *q, struct msg *m, uint64_t seq, uint32_t attempts,
                         enum reason reason)
{
    struct slice old = msg_headers(m);
    size_t size = old.n;
    struct letter *l;
    struct death d;
    uint8_t *p;

    describe(&d, q, m, attempts, reason);
    for (unsigned i = 0; i < DEATH_FACTS; i++)
        size += headers_size(d.h[i].name.n, d.h[i].value.n);
    if (size > UINT16_MAX) { /* it has died in too many queues already */
        loss_count(q, REASON_TOO_LARGE, 1);
        return false;
    }
    l = malloc(sizeof *l + size);
    if (l)
        *l = (struct letter){.to = strdup(q->policy->dead_letter),
                             .to_queue = q->policy->dead_letter_queue,
                             .queue = q->handle,
                             .seq = q->backlog->stored ? seq : 0,
                             .headers_n = size};
    if (!l || !l->to) { /* the loss itself is counted already */
        free(l);
        loss_count(q, REASON_MEMORY, 1);
        return false;
    }
    p = l->headers;
    for (unsigned i = 0; i < DEATH_FACTS; i++)
        p = headers_put(p, d.h[i].name, d.h[i].value);
    if (old.n)
        memcpy(p, old.p, old.n);
    l->msg = msg_ref(m);
    if (l->seq)
        q->backlog->stored->letters++;
    list_push_back(&q->core->letters, &l->link);
    if (q->backlog->losses)
        q->backlog->losses->dead_letters++;
    return true;
}

void loss_message(struct queue *q, struct msg *m, uint64_t seq, uint32_t attempts,
                  enum reason reason)
{
    struct storage *d = q->backlog->stored;
    bool written = false;

    loss_unseen(q, reason, 1);
    if (q->policy->dead_letter[0] && !died_here_before(q, m))
        written = write_letter(q, m, seq, attempts, reason);
    if (d && seq && !written)
        durable_gone(d, seq);
}

/* The queue it is about, if that is there and its store waits for what becomes of it. */
static struct storage *storage_of(const struct core *c, const struct letter *l)
{
    const struct queue *q = l->seq ? slots_get(&c->slots, SLOT_QUEUE, l->queue) : NULL;

    return q ? q->backlog->stored : NULL;
}

void loss_free_letter(struct core *c, struct letter *l)
{
    struct storage *d = storage_of(c, l);

    if (d) {
        d->letters--;
        d->letters_back -= l->is_back;
        durable_touch(d); /* more may be fetched */
    }
    list_remove(&l->link);
    heap_remove(&c->timers, &l->timer.node);
    slots_drop(&c->slots, l->handle);
    budget_unref(c, l->msg);
    free(l->to);
    free(l);
}

/* It failed for what passes: a store that is full does, a queue that is by its own limits has said
 * what it does with more. */
static bool failed_for_now(const struct letter *l)
{
    switch (l->reason) {
    case REASON_STORE:
    case REASON_MEMORY:
    case REASON_NO_CREDIT:
        return !l->accepted;
    default:
        return !l->accepted && l->no_room;
    }
}

static void note_back(struct storage *d, struct letter *l)
{
    if (!d->letters_back)
        d->letters_since_ms = d->queue->core->now_ms;
    d->letters_back += !l->is_back;
    d->letters_why = l->no_room ? REASON_FULL : l->reason;
    l->is_back = true;
}

/* It will be sent again. False: there is no memory to, or the broker stops; the message stays in
 * its store until the next start. */
static bool rest(struct core *c, struct letter *l)
{
    slots_drop(&c->slots, l->handle);
    l->handle = 0;
    l->reason = REASON_NONE;
    l->no_room = false;
    l->timer = (struct timer){{.key = c->now_ms + LETTER_REST_MS}, TIMER_LETTER};
    return !c->draining && heap_push(&c->timers, &l->timer.node) == 0;
}

void loss_letter_due(struct core *c, struct letter *l)
{
    heap_remove(&c->timers, &l->timer.node);
    list_move_to_back(&c->letters, &l->link);
}

/* All is known of it: now the message it is about may be gone. */
static void end_letter(struct core *c, struct letter *l)
{
    struct storage *d = storage_of(c, l);
    bool again = d && failed_for_now(l);

    if (again)
        note_back(d, l);
    if (again && rest(c, l))
        return;
    if (d && !again)
        durable_gone(d, l->seq);
    loss_free_letter(c, l);
}

bool loss_answer(struct core *c, handle_t letter, const struct answer *a, const struct blamed *by)
{
    struct letter *l = slots_get(&c->slots, SLOT_LETTER, letter);

    if (!l)
        return false;
    l->accepted |= a->accepted > 0;
    l->reason = (enum reason)worse_reason((uint16_t)l->reason, a->reason);
    l->no_room |= by && by->queue && by->blame == BLAME_FULL;
    l->waits += a->more;
    l->waits -= a->done < l->waits ? a->done : l->waits;
    if (!l->waits)
        end_letter(c, l);
    return true;
}

/* Publish it. Returns how many answers will come; what is known already is in the letter. */
static uint32_t send_letter(struct core *c, struct letter *l)
{
    struct msg *m = l->msg;
    struct msg_meta meta = {.headers = slice_of(l->headers, l->headers_n), .type = msg_type(m)};
    struct msg_view v = {m->data, m->len, &meta, m->block};
    struct run run = {.v = &v, .n = 1, .bytes = m->len, .type = msg_type(m)};
    const struct target to = {l->to_queue, slice_str(l->to)};
    struct internal_outcome out = publish_internal(c, &to, &run, l->handle);

    l->accepted |= out.accepted > 0;
    l->reason = (enum reason)worse_reason((uint16_t)l->reason, (uint16_t)out.reason);
    l->no_room |= out.no_room;
    return out.answers;
}

void loss_send_letters(struct core *c)
{
    enum { SENDING = 1 << 30 }; /* so that no answer that comes meanwhile is the last */
    const struct answer sent = {.done = SENDING};
    struct list_node *n;

    while ((n = list_pop(&c->letters)) != NULL) {
        struct letter *l = LIST_ITEM(n, struct letter, link);

        if (l->seq)
            l->handle = slots_put(&c->slots, SLOT_LETTER, l);
        if (!l->handle) { /* nobody waits for what becomes of it, or there is no memory to */
            (void)send_letter(c, l);
            loss_free_letter(c, l);
            continue;
        }
        list_push_back(&c->sent, &l->link);
        l->waits = SENDING;
        l->waits += send_letter(c, l);
        (void)loss_answer(c, l->handle, &sent, NULL);
    }
}

/* -------------------------------------------------------------------------- events */

const char *loss_why(const struct queue *q)
{
    const struct tap *t = tap_first(q);
    const struct endpoint *ep = t && t->consumer ? t->consumer->ep : NULL;

    if (q->backlog->stored && durable_refuses(q))
        return "store";
    if (!t)
        return "no-consumer";
    if (q->is_named && t->custody->unsettled >= q->policy->max_inflight)
        return "inflight";
    if (ep && !(ep->writable && ep->roomy))
        return "output";
    return t->credit ? "rate" : "credit";
}

static struct core_event event_of(const struct queue *q, enum core_event_kind kind)
{
    const struct tap *t = tap_first(q);

    return (struct core_event){.kind = kind,
                               .queue = q->label,
                               .topic = "",
                               .client = t && t->consumer ? endpoint_name(t->consumer->ep) : ""};
}

/* Its consumer is too slow for it; the end of that will be told. */
static void note_slow(struct losses *l, uint64_t n)
{
    struct core *c = l->queue->core;

    if (!list_linked(&l->slow)) {
        if (list_empty(&c->slow))
            c->slow_due_ms = c->now_ms + LOSS_EVENT_MS;
        list_push_back(&c->slow, &l->slow);
        l->slow_since_ms = c->now_ms;
        l->slow_count = 0;
    }
    l->slow_count += n;
}

static void announce_lost(struct queue *q, enum reason reason, uint64_t n)
{
    struct core_event ev = event_of(q, EVENT_DROPPED);

    ev.reason = reason;
    ev.count = n;
    if (reason == REASON_DROP_OLDEST || reason == REASON_DROP_NEWEST) {
        ev.kind = EVENT_SLOW_CONSUMER;
        ev.why = loss_why(q);
        note_slow(q->backlog->losses, n);
    } else if (reason_is_refusal(reason)) {
        ev.kind = EVENT_REFUSED;
        ev.why = reason == REASON_FULL ? loss_why(q) : NULL;
    }
    q->core->ops->event(q->core->ctx, &ev);
}

static void announce_damaged(struct queue *q)
{
    struct core_event ev = event_of(q, EVENT_DROPPED);
    struct losses *l = q->backlog->losses;

    ev.reason = REASON_STORE;
    ev.count = l->unannounced_damaged;
    l->unannounced_damaged = 0;
    q->core->ops->event(q->core->ctx, &ev);
}

static void announce_letters(struct queue *q)
{
    struct core_event ev = event_of(q, EVENT_DEAD_LETTER);
    struct losses *l = q->backlog->losses;
    char to[POLICY_VALUE_MAX];

    (void)policy_get_key(q->policy, POLICY_QUEUE, SLICE("dead-letter"), to, sizeof to);
    ev.topic = to;
    ev.count = l->dead_letters - l->announced_letters;
    l->announced_letters = l->dead_letters;
    q->core->ops->event(q->core->ctx, &ev);
}

static void announce(struct queue *q)
{
    struct losses *l = q->backlog->losses;

    for (unsigned r = 0; r < REASON_TABLE_SIZE; r++) {
        uint64_t n = l->unannounced[r];

        l->unannounced[r] = 0;
        if (n)
            announce_lost(q, (enum reason)r, n);
    }
    if (l->unannounced_damaged)
        announce_damaged(q);
    if (l->dead_letters != l->announced_letters)
        announce_letters(q);
    l->announced_ms = q->core->now_ms;
}

/* Nothing is lost any more, and there is room: at most half of it is in use. */
static bool keeps_up(const struct queue *q)
{
    const struct backlog *b = q->backlog;

    return !list_linked(&b->losses->link) && b->waiting <= q->policy->max_messages / 2 &&
           b->bytes <= q->policy->max_bytes / 2;
}

static void announce_ends(struct core *c)
{
    struct list_node *n, *next;

    for (n = list_first(&c->slow); n; n = next) {
        struct losses *l = LIST_ITEM(n, struct losses, slow);
        struct core_event ev = event_of(l->queue, EVENT_SLOW_ENDED);

        next = list_next(&c->slow, n);
        if (!keeps_up(l->queue))
            continue;
        list_remove(n);
        ev.count = l->slow_count;
        ev.for_ms = c->now_ms - l->slow_since_ms;
        c->ops->event(c->ctx, &ev);
    }
    c->slow_due_ms = c->now_ms + LOSS_EVENT_MS;
}

int64_t loss_announce(struct core *c)
{
    struct list_node *n, *next;
    int64_t due = INT64_MAX;

    for (n = list_first(&c->lossy); n; n = next) {
        struct losses *l = LIST_ITEM(n, struct losses, link);
        int64_t at = l->announced_ms ? l->announced_ms + LOSS_EVENT_MS : c->now_ms;

        next = list_next(&c->lossy, n);
        if (at <= c->now_ms) {
            list_remove(n);
            announce(l->queue);
        } else {
            due = at < due ? at : due;
        }
    }
    if (list_empty(&c->slow))
        return due;
    if (c->slow_due_ms <= c->now_ms)
        announce_ends(c);
    return c->slow_due_ms < due ? c->slow_due_ms : due;
}
