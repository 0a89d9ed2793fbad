#include "brokerd/core/publish.h"

#include "brokerd/core/access.h"
#include "brokerd/core/answer.h"
#include "brokerd/core/budget.h"
#include "brokerd/core/endpoint.h"
#include "brokerd/core/follow.h"
#include "brokerd/core/names.h"
#include "brokerd/core/parked.h"
#include "brokerd/core/queue.h"
#include "brokerd/core/spread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------ life */

int core_publisher_open(struct endpoint *ep, enum publisher_kind kind, void *ctx,
                        struct publisher **ret)
{
    struct core *c = ep->core;
    struct publisher *p;

    if (c->draining)
        return -EPIPE;
    if (!endpoint_publishing(ep))
        return -ENOMEM;
    p = calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    p->ep = ep;
    p->ctx = ctx;
    p->kind = kind;
    p->may_hold = kind != PUBLISH_FORGET;
    p->next = 1;
    p->window = WINDOW_FIRST;
    p->average = CORE_WINDOW_BYTES / WINDOW_FIRST;
    patience_init(&p->patience);
    /* A stream's first message comes with its request and needs no credit. */
    p->allowance = 1;
    p->handle = slots_put(&c->slots, SLOT_PUBLISHER, p);
    if (!p->handle) {
        free(p);
        return -ENOMEM;
    }
    list_push_back(&ep->publishing->publishers, &p->link);
    if (kind == PUBLISH_WINDOW)
        list_push_back(&c->news, &p->news);
    *ret = p;
    return 0;
}

void publisher_free(struct publisher *p)
{
    struct core *c = p->ep->core;

    list_remove(&p->link);
    list_remove(&p->news);
    list_remove(&p->starved);
    slots_drop(&c->slots, p->handle);
    ledger_fini(&p->ledger);
    route_unref(p->route);
    names_release(c, p->queue);
    topic_unref(p->carried);
    excuse_forget(&p->excuses, UINT64_MAX);
    free(p);
}

void core_publisher_close(struct publisher *p)
{
    if (p)
        publisher_free(p);
}

void core_publisher_last(struct publisher *p)
{
    p->patience.at_once = PATIENCE_NONE;
    publisher_has_news(p);
}

void core_publisher_never_hold(struct publisher *p)
{
    p->may_hold = false;
}

void core_publisher_makes_unbound(struct publisher *p)
{
    p->makes_unbound = true;
}

bool core_publisher_idle(const struct publisher *p)
{
    return p->told + 1 == p->next;
}

/* --------------------------------------------------------------------------- targets */

static int bad_name(struct refusal *why, const char *text)
{
    why->reason = REASON_INVALID;
    snprintf(why->text, sizeof why->text, "invalid: %s", text);
    return -EINVAL;
}

static int check_topic(const struct endpoint *ep, struct slice name, struct refusal *why)
{
    const char *error = name_topic_error(name, NAME_OF_BROKER);

    if (error)
        return bad_name(why, error);
    return access_allowed(ep, ACCESS_PUBLISH, name) ? 0 : access_denied(name, why);
}

static int check_queue(const struct endpoint *ep, struct slice name, struct refusal *why)
{
    const char *error = name_queue_error(name, NAME_OF_BROKER);

    if (error)
        return bad_name(why, error);
    return access_allowed(ep, ACCESS_SEND, name) ? 0 : access_denied(name, why);
}

int core_may_publish(const struct endpoint *ep, const struct target *to, struct refusal *why)
{
    return to->is_queue ? check_queue(ep, to->name, why) : check_topic(ep, to->name, why);
}

/* These that are always inline a lone message would pay 60 instructions for: they have more than
 * one caller. */
static inline __attribute__((always_inline)) int
aim_at_topic(struct publisher *p, struct slice name, struct refusal *why)
{
    struct core *c = p->ep->core;
    struct route *r;
    int err;

    if (p->route && slice_eq(topic_slice(p->route->topic), name))
        return 0;
    err = check_topic(p->ep, name, why);
    if (err < 0)
        return err;
    r = route_get(c->routes, name);
    if (!r)
        return -ENOMEM;
    route_unref(p->route);
    p->route = r;
    names_release(c, p->queue);
    p->queue = NULL;
    return 0;
}

int publisher_aim_at_topic(struct publisher *p, struct slice name, struct refusal *why)
{
    return aim_at_topic(p, name, why);
}

static int aim_at_queue(struct publisher *p, struct slice name, struct refusal *why)
{
    struct core *c = p->ep->core;
    struct named *n;
    int err;

    if (p->queue && slice_eq(map_key(p->queue->entry), name))
        return 0;
    err = check_queue(p->ep, name, why);
    if (err < 0)
        return err;
    n = names_get(c, name);
    if (!n)
        return -ENOMEM;
    names_hold(n);
    names_release(c, p->queue);
    p->queue = n;
    route_unref(p->route);
    p->route = NULL;
    return 0;
}

static int aim(struct publisher *p, const struct target *to, struct refusal *why)
{
    if (to)
        return to->is_queue ? aim_at_queue(p, to->name, why) : aim_at_topic(p, to->name, why);
    if (!p->route && !p->queue)
        return bad_name(why, "the first message must name its topic");
    return 0;
}

/* --------------------------------------------------------------------------- publish */

struct add_ctx {
    struct publisher *p;
    const struct offer *o;
    unsigned posted;
    int error;
};

static __attribute__((noinline)) void excuse(struct publisher *p, const struct span *s,
                                             const struct queue *q)
{
    struct blamed by;

    if (answer_blame(q, (enum reason)s->reason, &by))
        excuse_queue(&p->excuses, s->first, s->count, &by, slice_str(q->label),
                     p->ep->core->stores[by.level]);
}

static void add_range(void *ctx, const struct offer_range *r)
{
    struct add_ctx *a = ctx;
    struct span s = {.first = a->o->first + r->first,
                     .count = r->n,
                     .matched = r->matched,
                     .accepted = r->accepted,
                     .waiting = r->held + a->posted,
                     .reason = (uint16_t)r->reason};

    if (s.waiting && !a->p->waiting_ms)
        a->p->waiting_ms = a->p->ep->core->now_ms;
    if (ledger_add(&a->p->ledger, &s) < 0)
        a->error = -ENOMEM;
    if (r->reason != REASON_NONE && a->o->refuser && a->o->refused_for == r->reason)
        excuse(a->p, &s, a->o->refuser);
}

/* Enter in the ledger what became of the run so far. */
int publisher_enter(struct publisher *p, struct offer *o, unsigned posted)
{
    struct add_ctx a = {p, o, posted, 0};

    if (p->kind != PUBLISH_FORGET)
        offer_ranges(o, add_range, &a);
    offer_end(o);
    return a.error;
}

int publisher_refuse(struct publisher *p, const struct offer *o, enum reason reason)
{
    struct span s = {.first = o->first, .count = o->run->n, .reason = (uint16_t)reason};

    p->ep->core->count.reason[reason] += o->run->n;
    return p->kind == PUBLISH_FORGET ? 0 : ledger_add(&p->ledger, &s);
}

static int park_for(struct publisher *p, struct offer *o)
{
    struct span s = {.first = o->first, .count = o->run->n, .waiting = 1};

    /* First, for answers may come from below. */
    if (p->kind != PUBLISH_FORGET && ledger_add(&p->ledger, &s) < 0)
        return -ENOMEM;
    parked_add(o, p->queue, p->makes_unbound);
    return 0;
}

static int publish_to_queue(struct publisher *p, struct offer *o)
{
    struct named *n = p->queue;
    struct queue *q;

    o->topic = n->topic;
    if (n->state != NAMED_KNOWN)
        return park_for(p, o);
    follow_note(p->ep, UINT64_C(1) << handle_worker(n->queue), o->run->n);
    if (handle_worker(n->queue) != o->core->id) {
        if (spread_post(o, handle_worker(n->queue), n->queue) == 0)
            return publisher_enter(p, o, 1);
        spread_refused(o);
        return publisher_enter(p, o, 0);
    }
    q = slots_get(&o->core->slots, SLOT_QUEUE, n->queue);
    if (!q)
        return publisher_refuse(p, o, REASON_NOT_FOUND);
    offer_to(o, q);
    return publisher_enter(p, o, 0);
}

static int publish_to_topic(struct publisher *p, struct offer *o)
{
    struct route *r = publisher_route(p);
    unsigned posted;

    if (!r)
        return publisher_refuse(p, o, REASON_MEMORY);
    o->topic = r->topic;
    follow_note(p->ep, r->workers | (uint64_t)(r->n > 0) << o->core->id, o->run->n);
    posted = spread_out(o, r);
    if (!o->matched && !posted && !p->ep->is_broker) /* nobody need listen to the broker */
        o->core->count.unroutable += o->run->n;
    return publisher_enter(p, o, posted);
}

/* At most RUN_MAX messages, and RUN_BYTES and the last. */
static int publish_some(struct publisher *p, const struct run *run)
{
    struct core *c = p->ep->core;
    struct offer o = {.core = c,
                      .run = run,
                      .id = c->next_id,
                      .time_ms = c->wall_ms,
                      .publisher = p->kind == PUBLISH_FORGET ? 0 : p->handle,
                      .first = p->next,
                      .may_hold = p->may_hold};

    offer_note_id(&o);
    c->next_id += run->n;
    p->next += run->n;
    p->count += run->n;
    p->bytes += run->bytes;
    p->ep->publishing->published += run->n;
    if (!p->ep->is_broker) {
        c->count.published += run->n;
        c->count.published_bytes += run->bytes;
    }
    return p->queue ? publish_to_queue(p, &o) : publish_to_topic(p, &o);
}

/* A message larger than any may be: settled at once. */
int publisher_refuse_large(struct publisher *p, const struct msg_view *v)
{
    const struct run run = {.v = v, .n = 1, .bytes = v->len};
    const struct offer o = {.core = p->ep->core, .run = &run, .first = p->next++};

    return publisher_refuse(p, &o, REASON_TOO_LARGE);
}

/* A run that is long, or that has messages which are too large, in parts. */
static int publish_parts(struct publisher *p, const struct run *run)
{
    uint64_t max = p->ep->core->globals.max_message_bytes;
    int r = 0;

    for (uint32_t i = 0; i < run->n && r == 0;) {
        struct run part = {.v = run->v + i, .type = run->type, .head_room = run->head_room};

        for (; part.n < RUN_MAX && part.bytes < RUN_BYTES && i < run->n && run->v[i].len <= max;
             i++)
            part.bytes += part.v[part.n++].len;
        r = part.n ? publish_some(p, &part) : publisher_refuse_large(p, &run->v[i++]);
    }
    return r;
}

static inline __attribute__((always_inline)) int publish_run(struct publisher *p,
                                                             const struct run *run)
{
    uint64_t max = p->ep->core->globals.max_message_bytes;

    /* The sum is within the limit of one: so is each. */
    if (run->n <= RUN_MAX && run->bytes <= RUN_BYTES && run->bytes <= max)
        return publish_some(p, run);
    return publish_parts(p, run);
}

/* Tell people, at most once a second for each connection. */
static void tell_rate(struct endpoint *ep, uint32_t n)
{
    struct rate *rate = &ep->publishing->rate;
    struct core_event ev = {.kind = EVENT_REFUSED,
                            .reason = REASON_LIMIT,
                            .queue = "",
                            .topic = "",
                            .client = endpoint_name(ep)};

    rate->untold += n;
    if (rate->event_ms && ep->core->now_ms < rate->event_ms + LOSS_EVENT_MS)
        return;
    ev.count = rate->untold;
    rate->untold = 0;
    rate->event_ms = ep->core->now_ms;
    ep->core->ops->event(ep->core->ctx, &ev);
}

/* As many as the connection's rate allows; the others are settled at once. */
static int publish_rated(struct publisher *p, const struct run *run)
{
    struct rate *rate = &p->ep->publishing->rate;
    struct run part = *run, rest = *run;
    struct offer o = {.core = p->ep->core, .run = &rest};
    int r = 0;

    part.n = rate_take(rate, run->n, p->ep->core->now_ms);
    if (part.n == run->n)
        return publish_run(p, run);
    part.bytes = 0;
    for (uint32_t i = 0; i < part.n; i++)
        part.bytes += part.v[i].len;
    if (part.n)
        r = publish_run(p, &part);
    if (r < 0)
        return r;
    rest.v += part.n;
    rest.n -= part.n;
    o.first = p->next;
    p->next += rest.n;
    if (p->kind != PUBLISH_FORGET)
        excuse_rate(&p->excuses, o.first, rest.n, rate->per_s);
    tell_rate(p->ep, rest.n);
    return publisher_refuse(p, &o, REASON_LIMIT);
}

static bool headers_fit(const struct run *run, bool *ret_ids)
{
    for (uint32_t i = 0; i < run->n; i++) {
        const struct msg_meta *meta = run->v[i].meta;

        if (meta && meta->headers.n > HEADERS_BYTES_MAX)
            return false;
        *ret_ids |= meta && meta->dedup;
    }
    return true;
}

static inline __attribute__((always_inline)) int publish_at_rate(struct publisher *p,
                                                                 const struct run *run)
{
    return p->ep->publishing->rate.per_s ? publish_rated(p, run) : publish_run(p, run);
}

/* Some have ids, which queues look up for one message at a time. */
static __attribute__((noinline)) int publish_singly(struct publisher *p, const struct run *run)
{
    int r = 0;

    for (uint32_t i = 0; i < run->n && r == 0; i++) {
        struct run one = *run;

        one.v = &run->v[i];
        one.n = 1;
        one.bytes = one.v->len;
        r = publish_at_rate(p, &one);
    }
    return r;
}

int core_publish(struct publisher *p, const struct target *to, const struct run *run,
                 struct refusal *ret_why)
{
    struct core *c = p->ep->core;
    bool ids = false;
    int r;

    if (c->draining) {
        ret_why->reason = REASON_DRAINING;
        snprintf(ret_why->text, sizeof ret_why->text, "draining: the broker is about to stop");
        c->count.reason[REASON_DRAINING] += run->n;
        return -EPIPE;
    }
    r = aim(p, to, ret_why);
    if (r == 0 && !headers_fit(run, &ids))
        r = bad_name(ret_why, "headers of one message may have 60 KiB");
    if (r < 0) {
        c->count.reason[r == -ENOMEM ? REASON_MEMORY : ret_why->reason] += run->n;
        return r;
    }
    if (p->kind == PUBLISH_WINDOW) {
        if (run->n > p->allowance)
            return -ENOBUFS;
        p->allowance -= run->n;
        publisher_learn_size(p, run);
    }
    if (p->kind != PUBLISH_FORGET)
        publisher_has_news(p);
    if (ids && run->n > 1)
        return publish_singly(p, run);
    return publish_at_rate(p, run);
}
