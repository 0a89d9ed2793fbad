#include "brokerd/core/consume.h"

#include "brokerd/core/access.h"
#include "brokerd/core/arrears.h"
#include "brokerd/core/deliver.h"
#include "brokerd/core/endpoint.h"
#include "brokerd/core/loss.h"
#include "brokerd/core/mail.h"
#include "brokerd/core/names.h"
#include "brokerd/core/queue.h"
#include "brokerd/core/replay.h"
#include "libbroker/base/headers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* --------------------------------------------------------------------------- options */

static int refuse(struct refusal *why, enum reason reason, int error, const char *text)
{
    why->reason = reason;
    snprintf(why->text, sizeof why->text, "%s: %.200s", reason_name(reason), text);
    return error;
}

/* Names of `$` headers that are not settings of a queue. */
static bool is_option(struct slice name)
{
    return slice_eq(name, SLICE("$facts")) || slice_eq(name, SLICE("$from")) ||
           slice_eq(name, SLICE("$bind")) || slice_eq(name, SLICE("$make"));
}

static const char no_past[] = "$from: only \"new\" is possible, this queue keeps no past";

static int check_option(enum policy_kind kind, struct slice name, struct slice value, bool *facts,
                        struct refusal *why)
{
    struct replay from;

    if (slice_eq(name, SLICE("$facts"))) {
        *facts = slice_eq(value, SLICE("1"));
        return 0;
    }
    if (slice_eq(name, SLICE("$bind")))
        return slice_eq(value, SLICE("none"))
                   ? 0
                   : refuse(why, REASON_INVALID, -EINVAL, "$bind: only \"none\" is possible");
    if (slice_eq(name, SLICE("$make")))
        return 0;
    if (replay_parse(value, &from) < 0)
        return refuse(
            why, REASON_INVALID, -EINVAL,
            "$from: \"new\", \"first\", \"last\", a sequence number or a time (RFC 3339)");
    if (from.wanted && kind == POLICY_SUBSCRIPTION)
        return refuse(why, REASON_INVALID, -EINVAL, no_past);
    return 0;
}

/* Apply the `$` headers to `policy`; *facts tells whether deliveries must carry facts. */
static int apply_options(struct slice headers, enum policy_kind kind, struct queue_policy *policy,
                         bool *facts, struct refusal *why)
{
    char text[POLICY_ERROR_MAX];
    struct header h;
    int r;

    while (headers_next(&headers, &h) > 0) {
        if (h.name.p[0] != '$')
            continue;
        if (is_option(h.name))
            r = check_option(kind, h.name, h.value, facts, why);
        else if ((r = policy_set_key(policy, kind, slice_from(h.name, 1), h.value, text,
                                     sizeof text)) < 0)
            refuse(why, REASON_INVALID, r, text);
        if (r < 0)
            return -EINVAL;
    }
    return 0;
}

int consume_policy(struct core *c, enum policy_kind kind, struct slice name, struct slice headers,
                   struct queue_policy *ret, bool *facts, struct refusal *why)
{
    const struct policy_rule *rule = kind == POLICY_QUEUE
                                         ? policy_set_find_queue(c->policies, name)
                                         : policy_set_find_subscription(c->policies, name);
    int r;

    *ret = rule->policy;
    r = apply_options(headers, kind, ret, facts, why);
    if (r == 0)
        policy_clamp(ret, &rule->policy);
    return r;
}

int consume_keep_wish(struct queue *q, struct slice headers)
{
    struct slice rest = headers;
    struct header h;
    struct kept_wish *wish;
    struct backlog *b;
    size_t n = 0;
    uint8_t *p;

    while (headers_next(&rest, &h) > 0)
        if (h.name.p[0] == '$' && !is_option(h.name))
            n += headers_size(h.name.n, h.value.n);
    if (!n && !q->backlog->wish)
        return 0;
    b = queue_backlog(q);
    wish = b ? malloc(sizeof *wish + n) : NULL;
    if (!wish)
        return -ENOMEM;
    free(b->wish);
    b->wish = wish;
    wish->n = n;
    p = wish->headers;
    while (headers_next(&headers, &h) > 0)
        if (h.name.p[0] == '$' && !is_option(h.name))
            p = headers_put(p, h.name, h.value);
    return 0;
}

static int check_names(const struct endpoint *ep, const struct consume_options *o,
                       struct refusal *why)
{
    const char *error = NULL;
    struct slice make;

    if (o->queue.n)
        error = name_queue_error(o->queue, NAME_OF_BROKER);
    for (unsigned i = 0; i < o->filters_n && !error; i++)
        error = name_filter_error(o->filters[i]);
    if (!o->queue.n && !o->filters_n)
        error = "a subscription needs a filter";
    if (error)
        return refuse(why, REASON_INVALID, -EINVAL, error);
    if (!ep->is_broker && headers_find(o->headers, SLICE("$make"), &make))
        return refuse(why, REASON_INVALID, -EINVAL, "$make: no such setting");
    if (o->queue.n && !access_allowed(ep, ACCESS_CONSUME, o->queue))
        return access_denied(o->queue, why);
    for (unsigned i = 0; i < o->filters_n; i++)
        if (!access_allowed(ep, ACCESS_SUBSCRIBE, o->filters[i]))
            return access_denied(o->filters[i], why);
    return 0;
}

/* ------------------------------------------------------------------------------ life */

static struct consumer *consumer_new(struct endpoint *ep, void *ctx)
{
    struct consumer *k = calloc(1, sizeof *k);

    if (!k)
        return NULL;
    k->ep = ep;
    k->ctx = ctx;
    k->since_ms = ep->core->now_ms;
    k->handle = slots_put(&ep->core->slots, SLOT_CONSUMER, k);
    if (!k->handle) {
        free(k);
        return NULL;
    }
    list_push_back(&ep->consumers, &k->link);
    ep->unready++;
    return k;
}

static void consumer_free(struct consumer *k)
{
    struct endpoint *ep = k->ep;

    endpoint_unmark(k);
    if (!k->ready) {
        ep->unready--;
        endpoint_quiet(ep);
    }
    arrears_drop(k);
    list_remove(&k->link);
    list_remove(&k->waiter);
    slots_drop(&ep->core->slots, k->handle);
    free(k->errand);
    free(k);
}

/* All that publishers must know, they know. The door hears at the end of the turn. */
static void now_ready(struct consumer *k)
{
    list_move_to_back(&k->ep->core->readies, &k->waiter);
}

const char *core_consumer_label(const struct consumer *k)
{
    return k->errand ? k->errand->queue : k->tap->queue->label;
}

void consumer_look(struct consumer *k)
{
    if (k->tap)
        tap_look(k->tap);
    else
        consumer_lend(k);
}

void consumer_tell_ready(struct core *c)
{
    struct list_node *n;

    while ((n = list_pop(&c->readies)) != NULL) {
        struct consumer *k = LIST_ITEM(n, struct consumer, waiter);

        k->ready = true;
        k->ep->unready--;
        endpoint_quiet(k->ep);
        k->ep->ops->ready(k->ctx);
        consumer_look(k); /* room may have been short meanwhile, which found it in this list */
    }
}

void consumer_seen(struct consumer *k)
{
    if (k->unseen && --k->unseen == 0 && k->state == CONSUMER_LIVE)
        now_ready(k);
}

void consumer_closed(struct consumer *k, const struct refusal *why, uint64_t lost)
{
    struct endpoint *ep = k->ep;
    void *ctx = k->ctx;

    consumer_free(k);
    ep->ops->closed(ctx, why, lost);
}

/* An anonymous queue dies with its consumer: what it held, and what a dead connection did not
 * take, is counted. */
static void end_own_queue(struct consumer *k, uint64_t unwritten)
{
    struct queue *q = k->tap->queue;
    struct refusal nobody = {.reason = REASON_DISCONNECTED};

    if (unwritten)
        loss_count(q, REASON_DISCONNECTED, unwritten);
    tap_close(k->tap, k->written);
    queue_end(q, REASON_DISCONNECTED, &nobody);
}

/* Attached to a queue on another worker? */
static bool is_away(const struct consumer *k)
{
    return k->errand && k->errand->remote;
}

static void post_tap(struct consumer *k, enum mail_kind kind, uint64_t number, uint64_t bytes)
{
    struct core *c = k->ep->core;
    struct mail_tap *m = mail_post(c, handle_worker(k->errand->remote), kind, sizeof *m, true);

    if (!m) {
        c->count.reason[REASON_MEMORY]++;
        return;
    }
    m->tap = k->errand->remote;
    m->consumer = k->handle;
    m->number = number;
    m->bytes = bytes;
}

void consumer_leave(struct consumer *k, bool with_connection)
{
    if (k->tap && !k->tap->queue->is_named)
        end_own_queue(k, with_connection ? k->delivered - k->written : 0);
    else if (k->tap)
        tap_close(k->tap, with_connection ? k->written : k->delivered);
    else if (is_away(k))
        post_tap(k, MAIL_DETACH, with_connection ? k->written : k->delivered, 0);
    consumer_free(k);
}

uint64_t core_consumer_written(const struct consumer *k)
{
    return k->written;
}

void core_part(struct consumer *k, uint64_t upto)
{
    if (k->tap && !k->tap->queue->is_named)
        end_own_queue(k, k->delivered - k->written);
    else if (k->tap)
        tap_part(k->tap, upto);
    else if (is_away(k))
        post_tap(k, MAIL_PART, upto, 0);
    consumer_free(k);
}

void core_detach(struct consumer *k)
{
    if (k)
        consumer_leave(k, false);
}

/* ------------------------------------------------------------------------- subscribe */

/* Why a filter could not be bound. */
static int bind_refused(int error, struct refusal *why)
{
    return error == -ENOSPC
               ? refuse(why, REASON_LIMIT, error, "the queue has as many bindings as it may have")
               : refuse(why, REASON_MEMORY, -ENOMEM, "no memory to attach to the queue");
}

static int bind_all(struct consumer *k, struct queue *q, const struct consume_options *o)
{
    for (unsigned i = 0; i < o->filters_n; i++) {
        int r = names_bind(q, o->filters[i], k->handle);

        if (r < 0)
            return r;
        k->unseen += (unsigned)r;
    }
    return 0;
}

static int subscribe(struct consumer *k, const struct consume_options *o, struct refusal *why)
{
    struct core *c = k->ep->core;
    struct refusal nobody = {.reason = REASON_NONE};
    struct queue_policy policy;
    struct queue *q;
    bool facts = false;
    int r = consume_policy(c, POLICY_SUBSCRIPTION, o->filters[0], o->headers, &policy, &facts, why);

    if (r < 0)
        return r;
    q = queue_new(c, false, o->filters[0], &policy);
    if (!q)
        return -ENOMEM;
    k->tap = tap_new(q, k, 0);
    r = k->tap ? consume_keep_wish(q, o->headers) : -ENOMEM;
    if (r == 0)
        r = bind_all(k, q, o);
    if (r < 0) {
        if (k->tap)
            tap_close(k->tap, 0);
        k->tap = NULL;
        queue_end(q, REASON_NONE, &nobody);
        return bind_refused(r, why);
    }
    k->tap->facts = facts;
    k->tap->credit = o->credit;
    k->state = CONSUMER_LIVE;
    if (!k->unseen)
        now_ready(k);
    tap_look(k->tap);
    return 0;
}

/* ------------------------------------------------------------------ attaching to a queue */

/* What a consumer has been granted in all, when `used` of it are used up and `n` more come:
 * once so much is open that it means no limit, it has none for good. */
static uint64_t add_credit(uint64_t granted, uint64_t used, uint64_t n)
{
    uint64_t open = granted - used;

    return open >= CORE_UNLIMITED || n >= CORE_UNLIMITED - open ? UINT64_MAX / 2 : granted + n;
}

static int attach_here(struct consumer *k, struct queue *q, struct refusal *why)
{
    const struct replay *from = &k->errand->from;
    int unseen;

    if (replay_check(q, from, why) < 0)
        return -EINVAL;
    unseen = names_bind_more(q, k->errand->wants, k->errand->filters_n, k->handle);
    k->tap = unseen < 0 ? NULL : tap_new(q, k, 0);
    if (k->tap && from->wanted && replay_begin(k->tap, from) < 0) {
        tap_close(k->tap, 0);
        k->tap = NULL;
    }
    if (!k->tap)
        return bind_refused(unseen < 0 ? unseen : -ENOMEM, why);
    k->tap->manual_ack = k->manual_ack;
    k->tap->facts = k->facts;
    k->tap->custody->ack_ms = k->errand->ack_ms;
    k->tap->credit = k->errand->granted;
    k->unseen += (unsigned)unseen;
    k->state = CONSUMER_LIVE;
    if (!k->unseen)
        now_ready(k);
    tap_look(k->tap);
    return 0;
}

static int attach_there(struct consumer *k, handle_t queue, struct refusal *why)
{
    struct core *c = k->ep->core;
    struct errand *e = k->errand;
    struct mail_attach *m =
        mail_post(c, handle_worker(queue), MAIL_ATTACH, sizeof *m + e->filters_n, true);

    if (!m)
        return refuse(why, REASON_MEMORY, -ENOMEM, "no memory to attach to the queue");
    k->state = CONSUMER_ATTACHING;
    e->lent = e->granted < LEND_MESSAGES ? e->granted : LEND_MESSAGES;
    m->queue = queue;
    m->consumer = k->handle;
    m->credit = e->lent;
    m->manual_ack = k->manual_ack;
    m->facts = k->facts;
    m->ack_ms = e->ack_ms;
    m->replay = e->from;
    m->filters_n = (uint32_t)e->filters_n;
    memcpy(m->bytes, e->wants, e->filters_n);
    return 0;
}

static int queue_deleted(struct refusal *why)
{
    return refuse(why, REASON_NOT_FOUND, -ENOENT, "the queue has just been deleted");
}

static const char *why_not_made(const struct core *c, const struct named *n)
{
    const struct policy_rule *rule = policy_set_find_queue(c->policies, map_key(n->entry));

    if (n->reason == REASON_NOT_FOUND)
        return "no such queue, and create-queues is false";
    if (n->reason != REASON_STORE)
        return "the queue could not be made";
    return c->stores[rule->policy.durable] ? "the queue's store could not open it"
                                           : "the queue is durable, and there is no such store";
}

/* What became of the wish for a queue is known: attach to it, or say why not. */
static int go_on(struct consumer *k, const struct named *n, struct refusal *why)
{
    struct queue *q;

    if (n->state != NAMED_KNOWN)
        return refuse(why, n->reason, -ENOENT, why_not_made(k->ep->core, n));
    if (handle_worker(n->queue) != k->ep->core->id)
        return attach_there(k, n->queue, why);
    q = slots_get(&k->ep->core->slots, SLOT_QUEUE, n->queue);
    if (!q)
        return queue_deleted(why);
    return attach_here(k, q, why);
}

void consumer_named(struct consumer *k, struct named *n)
{
    struct refusal why;

    list_remove(&k->waiter);
    if (go_on(k, n, &why) < 0)
        consumer_closed(k, &why, 0);
}

/* --------------------------------------------------------------------------- consume */

/* With bindings and own settings packed for whoever makes or holds the queue. */
static struct errand *errand_new(const struct consume_options *o)
{
    size_t n = o->headers.n + o->queue.n + 1;
    struct errand *e;
    uint8_t *p;

    for (unsigned i = 0; i < o->filters_n; i++)
        n += 1 + o->filters[i].n;
    e = calloc(1, sizeof *e + n);
    if (!e)
        return NULL;
    p = e->wants;
    for (unsigned i = 0; i < o->filters_n; i++) {
        *p++ = (uint8_t)o->filters[i].n;
        memcpy(p, o->filters[i].p, o->filters[i].n);
        p += o->filters[i].n;
    }
    e->filters_n = (size_t)(p - e->wants);
    e->headers_n = o->headers.n;
    if (o->headers.n)
        memcpy(p, o->headers.p, o->headers.n);
    p += o->headers.n;
    memcpy(p, o->queue.p, o->queue.n);
    e->queue = (const char *)p;
    return e;
}

/* What keeps a queue, and whether it keeps a past, only the settings say. Who asked for more would
 * else believe to have it. */
static int check_level(const struct core *c, struct slice queue, const struct queue_policy *asked,
                       struct refusal *why)
{
    const struct queue_policy *said = &policy_set_find_queue(c->policies, queue)->policy;
    char is[POLICY_ERROR_MAX], text[2 * POLICY_ERROR_MAX];

    if (asked->retain_ms && !said->retain_ms)
        return refuse(why, REASON_INVALID, -EINVAL,
                      said->durable == DURABLE_JOURNAL
                          ? "$retain: the settings say 0s for this queue"
                          : "$retain: the settings must say durable = journal and retain for this "
                            "queue, else nothing is retained");
    if (asked->durable == said->durable && asked->replicas == said->replicas)
        return 0;
    (void)policy_get_key(said, POLICY_QUEUE, SLICE("durable"), is, sizeof is);
    snprintf(text, sizeof text, "$durable: the settings say %s for this queue", is);
    return refuse(why, REASON_INVALID, -EINVAL, text);
}

/* What is asked of a queue by `$from`, checked before; without stores no queue has a past. */
static int check_from(const struct core *c, struct slice headers, struct replay *ret,
                      struct refusal *why)
{
    struct slice value;

    *ret = (struct replay){0};
    if (headers_find(headers, SLICE("$from"), &value))
        (void)replay_parse(value, ret);
    if (ret->wanted && !c->stores[DURABLE_JOURNAL] && !c->stores[DURABLE_REDIS])
        return refuse(why, REASON_INVALID, -EINVAL, no_past);
    return 0;
}

static int consume(struct consumer *k, const struct consume_options *o, struct refusal *why)
{
    struct core *c = k->ep->core;
    struct queue_policy policy = policy_set_find_queue(c->policies, o->queue)->policy;
    struct named *n;
    struct replay from;
    bool facts = false;
    int r = apply_options(o->headers, POLICY_QUEUE, &policy, &facts, why);

    if (r == 0)
        r = check_level(c, o->queue, &policy, why);
    if (r == 0)
        r = check_from(c, o->headers, &from, why);
    if (r < 0)
        return r;
    k->errand = errand_new(o);
    if (!k->errand)
        return -ENOMEM;
    k->errand->granted = add_credit(0, 0, o->credit);
    k->errand->ack_ms = o->ack_ms;
    k->errand->from = from;
    k->manual_ack = o->manual_ack;
    k->facts = facts;
    n = names_get(c, o->queue);
    if (!n)
        return -ENOMEM;
    k->state = CONSUMER_NAMING;
    names_hold(n);
    names_want(c, n, k->errand->wants, k->errand->filters_n, k->errand->headers_n);
    if (n->state == NAMED_WANTED)
        list_push_back(&n->waiters, &k->waiter);
    else
        r = go_on(k, n, why);
    names_release(c, n);
    return r;
}

int core_attach(struct endpoint *ep, const struct consume_options *o, void *ctx,
                struct consumer **ret, struct refusal *ret_why)
{
    struct consumer *k;
    int r = check_names(ep, o, ret_why);

    if (r < 0)
        return r;
    if (ep->core->draining)
        return refuse(ret_why, REASON_DRAINING, -EPIPE, "the broker is about to stop");
    k = consumer_new(ep, ctx);
    if (!k)
        return -ENOMEM;
    r = o->queue.n ? consume(k, o, ret_why) : subscribe(k, o, ret_why);
    if (r < 0) {
        consumer_free(k);
        return r;
    }
    ep->has_consumed = true;
    *ret = k;
    return 0;
}

/* ---------------------------------------------------------------------- credit, acks */

void consumer_lend(struct consumer *k)
{
    struct errand *e = k->errand;
    uint64_t upto = k->written + LEND_MESSAGES;
    uint64_t n;

    if (!is_away(k))
        return;
    if (!endpoint_has_room(k->ep)) {
        endpoint_cramped(k);
        return;
    }
    if (e->lent >= e->granted || e->lent - k->written > LEND_MESSAGES / 2)
        return;
    n = e->granted < upto ? e->granted - e->lent : upto - e->lent;
    e->lent += n;
    post_tap(k, MAIL_CREDIT, n, 0);
}

void core_grant(struct consumer *k, uint64_t n)
{
    if (k->tap) {
        k->tap->credit = add_credit(k->tap->credit, 0, n);
        tap_look(k->tap);
    } else {
        k->errand->granted = add_credit(k->errand->granted, k->delivered, n);
        consumer_lend(k);
    }
}

void consumer_written(struct consumer *k, uint64_t number, uint64_t bytes)
{
    k->written = number;
    if (!k->errand) /* a subscription: nothing comes of it, and its tap and queue stay unread */
        return;
    if (k->tap) {
        tap_written(k->tap, number);
    } else if (is_away(k)) {
        post_tap(k, MAIL_WRITTEN, number, bytes);
        consumer_lend(k);
    }
}

int consumer_ack(struct consumer *k, const struct ack *a, uint32_t *ret_vain)
{
    struct mail_ack *m;

    *ret_vain = a->count;
    if (k->tap) {
        *ret_vain -= tap_ack(k->tap, a->first, a->count, a->verb, a->arg_ms);
        return 0;
    }
    m = mail_post(k->ep->core, handle_worker(k->errand->remote), MAIL_ACK, sizeof *m, true);
    if (!m)
        return -ENOMEM;
    m->tap = k->errand->remote;
    m->first = a->first;
    m->count = a->count;
    m->verb = a->verb;
    m->arg_ms = a->arg_ms;
    return 0;
}

int core_ack(struct consumer *k, uint64_t first, uint32_t count, enum ack_verb verb,
             uint32_t arg_ms)
{
    struct ack a = {first, count, arg_ms, verb};

    if (!k->manual_ack || first == 0 || count == 0 || first > k->delivered ||
        count - 1 > k->delivered - first)
        return -EINVAL;
    return arrears_ack(k, &a);
}

/* ----------------------------------------------------------- from the queue's worker */

static void leave_tap(struct core *c, handle_t tap)
{
    struct mail_tap *m = mail_post(c, handle_worker(tap), MAIL_DETACH, sizeof *m, true);

    c->count.stale_handles++;
    if (!m)
        return;
    m->tap = tap;
    m->consumer = 0;
    m->number = m->bytes = 0;
}

void consumer_take_attached(struct core *c, const struct mail_tap *m)
{
    struct consumer *k = slots_get(&c->slots, SLOT_CONSUMER, m->consumer);

    if (!k) { /* it went while the home was asked */
        leave_tap(c, m->tap);
        return;
    }
    k->errand->remote = m->tap;
    k->state = CONSUMER_LIVE;
    consumer_lend(k);
}

void consumer_take_ready(struct core *c, const struct mail_tap *m)
{
    struct consumer *k = slots_get(&c->slots, SLOT_CONSUMER, m->consumer);

    if (k)
        now_ready(k);
}

/* The topic of a delivery from another worker, for the length of a call. */
static const struct topic *scratch_topic(struct core *c, struct slice name)
{
    struct topic *t = (struct topic *)c->in_topic;

    *t = (struct topic){.refs = 1, .len = (uint16_t)name.n};
    memcpy(t->name, name.p, name.n);
    t->name[name.n] = '\0';
    return t;
}

void consumer_take_deliver(struct core *c, struct mail_deliver *m)
{
    struct consumer *k = slots_get(&c->slots, SLOT_CONSUMER, m->consumer);
    const uint8_t *at = m->bytes + m->gaps_n * sizeof(struct gap);
    struct packed packed = {at, m->topic_n, m->type_n, m->n};
    struct delivery d = {.run = {.v = c->in_views,
                                 .n = m->n,
                                 .bytes = m->bytes_n,
                                 .type = {m->type_id, slice_of(at + m->topic_n, m->type_n)}},
                         .attempt = m->attempt,
                         .gaps = m->gaps_n ? (const struct gap *)m->bytes : NULL,
                         .gaps_n = m->gaps_n,
                         .first = m->first,
                         .seq = m->seq,
                         .id = m->id,
                         .time_ms = m->time_ms};

    if (!k) { /* the queue still has them in flight and will take them back */
        c->count.stale_handles++;
        mail_unref(&packed);
        return;
    }
    d.run.head_room = mail_unpack(&packed, c->in_views, c->in_metas);
    d.topic = scratch_topic(c, slice_of(at, m->topic_n));
    endpoint_deliver(k, &d);
    mail_unref(&packed);
}

void consumer_take_closed(struct core *c, const struct mail_closed *m)
{
    struct consumer *k = slots_get(&c->slots, SLOT_CONSUMER, m->consumer);

    if (k)
        consumer_closed(k, &m->why, m->lost);
}

/* -------------------------------------------------------- from the consumer's worker */

static void post_consumer(struct tap *t, enum mail_kind kind)
{
    struct core *c = t->queue->core;
    struct mail_tap *m;

    if (t->parted)
        return;
    m = mail_post(c, handle_worker(t->custody->remote), kind, sizeof *m, true);

    if (!m) {
        c->count.reason[REASON_MEMORY]++;
        return;
    }
    m->tap = t->custody->handle;
    m->consumer = t->custody->remote;
    m->number = m->bytes = 0;
}

static void refuse_attach(struct core *c, const struct mail_attach *a, const struct refusal *why)
{
    struct mail_closed *m = mail_post(c, handle_worker(a->consumer), MAIL_CLOSED, sizeof *m, true);

    if (!m)
        return;
    m->consumer = a->consumer;
    m->lost = 0;
    m->why = *why;
}

void tap_take_attach(struct core *c, const struct mail_attach *m)
{
    struct queue *q = slots_get(&c->slots, SLOT_QUEUE, m->queue);
    struct refusal why;
    struct tap *t;
    int unseen;

    if (!q) {
        c->count.stale_handles++;
        queue_deleted(&why);
        refuse_attach(c, m, &why);
        return;
    }
    if (replay_check(q, &m->replay, &why) < 0) {
        refuse_attach(c, m, &why);
        return;
    }
    t = tap_new(q, NULL, m->consumer);
    unseen = t ? names_bind_more(q, m->bytes, m->filters_n, t->custody->handle) : -ENOMEM;
    /* Last, for it cannot be undone: who is refused moves nothing. */
    if (unseen >= 0 && m->replay.wanted && replay_begin(t, &m->replay) < 0)
        unseen = -ENOMEM;
    if (unseen < 0) {
        if (t)
            tap_close(t, 0);
        bind_refused(unseen, &why);
        refuse_attach(c, m, &why);
        return;
    }
    t->manual_ack = m->manual_ack;
    t->facts = m->facts;
    t->custody->ack_ms = m->ack_ms;
    t->credit = m->credit;
    t->custody->unseen = (unsigned)unseen;
    post_consumer(t, MAIL_ATTACHED);
    if (!t->custody->unseen)
        post_consumer(t, MAIL_READY);
    tap_look(t);
}

void tap_seen(struct tap *t)
{
    if (t->custody->unseen && --t->custody->unseen == 0)
        post_consumer(t, MAIL_READY);
}

static struct tap *tap_of(struct core *c, handle_t h)
{
    struct tap *t = slots_get(&c->slots, SLOT_TAP, h);

    if (!t)
        c->count.stale_handles++;
    return t;
}

void tap_take_credit(struct core *c, const struct mail_tap *m)
{
    struct tap *t = tap_of(c, m->tap);

    if (!t)
        return;
    t->credit += m->number;
    tap_look(t);
}

void tap_take_written(struct core *c, const struct mail_tap *m)
{
    struct tap *t = tap_of(c, m->tap);

    if (!t)
        return;
    t->custody->unwritten_bytes -=
        m->bytes < t->custody->unwritten_bytes ? m->bytes : t->custody->unwritten_bytes;
    tap_written(t, m->number);
    tap_look(t);
}

void tap_take_ack(struct core *c, const struct mail_ack *m)
{
    struct tap *t = tap_of(c, m->tap);

    if (t)
        (void)tap_ack(t, m->first, m->count, (enum ack_verb)m->verb, m->arg_ms);
}

void tap_take_detach(struct core *c, const struct mail_tap *m)
{
    struct tap *t = tap_of(c, m->tap);

    if (t)
        tap_close(t, m->number);
}
