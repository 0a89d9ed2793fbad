#include "brokerd/core/publish.h"

#include "brokerd/core/access.h"
#include "brokerd/core/budget.h"
#include "brokerd/core/endpoint.h"
#include "brokerd/core/follow.h"
#include "brokerd/core/loss.h"
#include "brokerd/core/mail.h"
#include "brokerd/core/names.h"
#include "brokerd/core/outlet.h"
#include "brokerd/core/queue.h"

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

/* -------------------------------------------------------------------- to other workers */

/* Has it cost a publisher credit? */
static bool is_paid(const struct offer *o)
{
    return o->publisher && !o->unpaid;
}

/* Post a run to `worker`; `queue` 0: to whatever matches there. */
static struct mail_run *post(const struct offer *o, unsigned worker, handle_t queue)
{
    struct slice topic = topic_slice(o->topic);
    struct packing k = mail_measure(topic, o->run);
    struct mail_run *m = mail_post_run(o->core, worker, &k, is_paid(o));

    if (!m)
        return NULL;
    m->publisher = o->publisher;
    m->first = o->first;
    m->queue = queue;
    m->id = o->id;
    m->time_ms = o->time_ms;
    m->bytes_n = o->run->bytes;
    m->n = o->run->n;
    m->topic_n = (uint16_t)topic.n;
    m->may_hold = o->may_hold;
    m->type_id = o->run->type.id;
    m->type_n = (uint8_t)(o->run->type.id == CTYPE_NAMED ? o->run->type.name.n : 0);
    mail_pack(m->bytes, topic, o->run, &k);
    return m;
}

static int post_run(const struct offer *o, unsigned worker, handle_t queue)
{
    return post(o, worker, queue) ? 0 : -1;
}

/* A worker took no more: its queues count as one that refused. */
static void refused_there(struct offer *o)
{
    enum reason why = is_paid(o) ? REASON_MEMORY : REASON_NO_CREDIT;

    o->matched++;
    o->core->count.reason[why] += o->run->n;
    offer_note_all(o, why);
}

/* Offer to this worker's queues. */
static void offer_to_all(struct offer *o, const struct route *r)
{
    if (r->n > 1)
        o->number = ++o->core->offers;
    for (uint32_t i = 0; i < r->n; i++)
        offer_to(o, r->queues[i]);
}

/* Offer to this worker's queues and post to the others. Returns how many will answer. */
static unsigned route_out(struct offer *o, const struct route *r)
{
    unsigned posted = 0;

    offer_to_all(o, r);
    for (uint64_t w = r->workers; w; w &= w - 1) {
        if (post_run(o, (unsigned)__builtin_ctzll(w), 0) == 0)
            posted++;
        else
            refused_there(o);
    }
    return posted;
}

/* The publisher's route as the tree stands now. NULL without memory. */
static inline __attribute__((always_inline)) struct route *fresh_route(struct publisher *p)
{
    struct core *c = p->ep->core;
    struct route *r;

    if (route_is_fresh(c->routes, p->route))
        return p->route;
    r = route_get(c->routes, topic_slice(p->route->topic));
    if (!r)
        return NULL;
    route_unref(p->route);
    p->route = r;
    return r;
}

/* ------------------------------------------------------------------- of another broker */

/* Queues that all brokers share have it already, and it does not go out again. */
static void offer_foreign_to_all(struct offer *o, const struct route *r)
{
    if (r->n > 1)
        o->number = ++o->core->offers;
    for (uint32_t i = 0; i < r->n; i++)
        if (outlet_takes_foreign(o->core, r->queues[i]))
            offer_to(o, r->queues[i]);
}

static unsigned route_foreign_out(struct offer *o, const struct route *r)
{
    unsigned posted = 0;

    offer_foreign_to_all(o, r);
    for (uint64_t w = r->workers; w; w &= w - 1) {
        struct mail_run *m = post(o, (unsigned)__builtin_ctzll(w), 0);

        if (m) {
            m->head.kind = MAIL_FOREIGN;
            posted++;
        } else {
            refused_there(o);
        }
    }
    return posted;
}

/* --------------------------------------------------------------------------- publish */

static struct full how_full(const struct queue *q)
{
    return (struct full){q->handle, q->backlog->waiting, q->backlog->bytes};
}

struct add_ctx {
    struct publisher *p;
    const struct queue *refuser;
    uint64_t first;
    unsigned posted;
    int error;
};

static void add_range(void *ctx, const struct offer_range *r)
{
    struct add_ctx *a = ctx;
    struct span s = {.first = a->first + r->first,
                     .count = r->n,
                     .matched = r->matched,
                     .accepted = r->accepted,
                     .waiting = r->held + a->posted,
                     .reason = (uint16_t)r->reason};

    if (s.waiting && !a->p->waiting_ms)
        a->p->waiting_ms = a->p->ep->core->now_ms;
    if (ledger_add(&a->p->ledger, &s) < 0)
        a->error = -ENOMEM;
    if (r->reason == REASON_FULL && a->refuser) {
        struct full full = how_full(a->refuser);

        excuse_full(&a->p->excuses, s.first, s.count, &full, slice_str(a->refuser->label));
    }
}

/* Enter in the ledger what became of the run so far. */
static int enter(struct publisher *p, struct offer *o, unsigned posted)
{
    struct add_ctx a = {p, o->refuser, o->first, posted, 0};

    if (p->kind != PUBLISH_FORGET)
        offer_ranges(o, add_range, &a);
    offer_end(o);
    return a.error;
}

static int refuse_run(struct publisher *p, const struct offer *o, enum reason reason)
{
    struct span s = {.first = o->first, .count = o->run->n, .reason = (uint16_t)reason};

    p->ep->core->count.reason[reason] += o->run->n;
    return p->kind == PUBLISH_FORGET ? 0 : ledger_add(&p->ledger, &s);
}

/* The queue is not known yet: keep the messages until it is. */
static void park(struct offer *o, struct named *n, bool unbound)
{
    struct core *c = o->core;

    for (uint32_t i = 0; i < o->run->n; i++) {
        struct msg_origin from = {n->topic, o->run->type, o->id + i, o->time_ms, c->now_ms};
        struct parked *k = calloc(1, sizeof *k);
        struct msg *m = k && budget_left(c) > 0 ? budget_keep(c, &o->run->v[i], &from) : NULL;
        struct answer lost = {.done = 1, .reason = REASON_MEMORY};

        if (!m) {
            free(k);
            c->count.reason[REASON_MEMORY]++;
            publish_answer(c, o->publisher, o->first + i, 1, &lost, NULL);
            continue;
        }
        *k = (struct parked){{0}, m, o->publisher, o->first + i, o->may_hold, o->dedup};
        budget_charge(c, PLACE_CHARGE);
        list_push_back(&n->parked, &k->link);
        c->parked++;
    }
    if (n->state == NAMED_UNKNOWN)
        names_want(c, n, unbound ? names_unbound : NULL, 0, unbound ? NAMES_UNBOUND_SIZE : 0);
}

static int park_for(struct publisher *p, struct offer *o)
{
    struct span s = {.first = o->first, .count = o->run->n, .waiting = 1};

    /* First, for answers may come from below. */
    if (p->kind != PUBLISH_FORGET && ledger_add(&p->ledger, &s) < 0)
        return -ENOMEM;
    park(o, p->queue, p->makes_unbound);
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
        if (post_run(o, handle_worker(n->queue), n->queue) == 0)
            return enter(p, o, 1);
        refused_there(o);
        return enter(p, o, 0);
    }
    q = slots_get(&o->core->slots, SLOT_QUEUE, n->queue);
    if (!q)
        return refuse_run(p, o, REASON_NOT_FOUND);
    offer_to(o, q);
    return enter(p, o, 0);
}

static int publish_to_topic(struct publisher *p, struct offer *o)
{
    struct route *r = fresh_route(p);
    unsigned posted;

    if (!r)
        return refuse_run(p, o, REASON_MEMORY);
    o->topic = r->topic;
    follow_note(p->ep, r->workers | (uint64_t)(r->n > 0) << o->core->id, o->run->n);
    posted = route_out(o, r);
    if (!o->matched && !posted && !p->ep->is_broker) /* nobody need listen to the broker */
        o->core->count.unroutable += o->run->n;
    return enter(p, o, posted);
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
static int refuse_large(struct publisher *p, const struct msg_view *v)
{
    const struct run run = {.v = v, .n = 1, .bytes = v->len};
    const struct offer o = {.core = p->ep->core, .run = &run, .first = p->next++};

    return refuse_run(p, &o, REASON_TOO_LARGE);
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
        r = part.n ? publish_some(p, &part) : refuse_large(p, &run->v[i++]);
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
    return refuse_run(p, &o, REASON_LIMIT);
}

/* The window follows the size of messages lately seen. */
static inline __attribute__((always_inline)) void learn_size(struct publisher *p,
                                                             const struct run *run)
{
    uint32_t size = (uint32_t)(run->bytes / run->n);

    p->average = p->count ? (uint32_t)(((uint64_t)p->average * 7 + size) / 8) : size;
    p->window = p->average ? CORE_WINDOW_BYTES / p->average : CORE_WINDOW_MAX;
    if (p->window < 1)
        p->window = 1;
    if (p->window > CORE_WINDOW_MAX)
        p->window = CORE_WINDOW_MAX;
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
        learn_size(p, run);
    }
    if (p->kind != PUBLISH_FORGET)
        publisher_has_news(p);
    if (ids && run->n > 1)
        return publish_singly(p, run);
    return publish_at_rate(p, run);
}

/* At most RUN_MAX messages, and RUN_BYTES and the last, none too large. */
static int publish_foreign(struct publisher *p, const struct run *run, const struct origin *from)
{
    struct offer o = {.core = p->ep->core,
                      .run = run,
                      .id = from->id,
                      .time_ms = from->time_ms,
                      .publisher = p->handle,
                      .first = p->next};
    struct route *r = fresh_route(p);

    offer_note_id(&o);
    p->next += run->n;
    p->count += run->n;
    p->bytes += run->bytes;
    p->ep->publishing->published += run->n;
    if (!r)
        return refuse_run(p, &o, REASON_MEMORY);
    o.topic = r->topic;
    return enter(p, &o, route_foreign_out(&o, r));
}

/* As much as can go as one run, from i on. */
static struct run foreign_part(const struct publisher *p, const struct run *run, uint32_t i)
{
    uint64_t max = p->ep->core->globals.max_message_bytes;
    struct run part = {.v = run->v + i, .type = run->type};

    for (; i < run->n && part.n < RUN_MAX && part.bytes < RUN_BYTES; i++) {
        const struct msg_meta *meta = run->v[i].meta;
        bool alone = run->v[i].len > max || (meta && meta->dedup);

        if (alone && part.n)
            break;
        part.bytes += run->v[i].len;
        part.n++;
        if (alone)
            break;
    }
    return part;
}

int core_publish_foreign(struct publisher *p, struct slice topic, const struct run *run,
                         const struct origin *from, struct refusal *ret_why)
{
    struct core *c = p->ep->core;
    struct origin at = *from;
    int r;

    if (c->draining) {
        ret_why->reason = REASON_DRAINING;
        return -EPIPE;
    }
    r = aim_at_topic(p, topic, ret_why);
    if (r < 0)
        return r;
    if (run->n > p->allowance)
        return -ENOBUFS;
    p->allowance -= run->n;
    learn_size(p, run);
    publisher_has_news(p);
    for (uint32_t i = 0; i < run->n && r == 0;) {
        struct run part = foreign_part(p, run, i);

        r = part.n == 1 && part.bytes > c->globals.max_message_bytes
                ? refuse_large(p, part.v)
                : publish_foreign(p, &part, &at);
        i += part.n;
        at.id += part.n;
    }
    return r;
}

/* To a queue of this worker or another. */
static int send_moved(struct publisher *p, struct offer *o, handle_t queue)
{
    struct core *c = p->ep->core;
    struct queue *q = slots_get(&c->slots, SLOT_QUEUE, queue);

    publisher_has_news(p);
    if (handle_worker(queue) != c->id) {
        if (post_run(o, handle_worker(queue), queue) == 0)
            return enter(p, o, 1);
        refused_there(o);
        return enter(p, o, 0);
    }
    if (!q)
        return refuse_run(p, o, REASON_NOT_FOUND);
    offer_to(o, q);
    return enter(p, o, 0);
}

int publish_moved(struct publisher *p, handle_t queue, struct slice name, struct msg *m)
{
    struct core *c = p->ep->core;
    struct loss_life life = {topic_slice(m->topic), msg_headers(m), m->id};
    struct route *r = loss_undo(name, &life) ? route_get(c->routes, life.topic) : NULL;
    struct msg_meta meta = {.headers = life.headers, .type = {.id = CTYPE_NONE}};
    struct msg_view v = {m->data, m->len, &meta, m->block};
    struct run run = {.v = &v, .n = 1, .bytes = m->len, .type = msg_type(m)};
    struct offer o = {.core = c,
                      .run = &run,
                      .topic = r ? r->topic : m->topic,
                      .id = life.id,
                      .time_ms = m->time_ms,
                      .publisher = p->handle,
                      .first = p->next++,
                      .may_hold = true};
    int error;

    if (m->expires_ms != INT64_MAX)
        meta.ttl_ms = m->expires_ms > c->now_ms ? m->expires_ms - c->now_ms : 1;
    error = send_moved(p, &o, queue);
    route_unref(r);
    return error;
}

static void note_internal(void *ctx, const struct offer_range *r)
{
    *(struct internal_outcome *)ctx = (struct internal_outcome){r->accepted, r->held, r->reason};
}

/* What the one message's queues here have said. */
static struct internal_outcome end_internal(struct offer *o, unsigned posted)
{
    struct internal_outcome out = {0};

    offer_ranges(o, note_internal, &out);
    out.answers += posted;
    offer_end(o);
    return out;
}

static struct internal_outcome refuse_internal(struct offer *o, enum reason reason)
{
    o->core->count.reason[reason] += o->run->n;
    return (struct internal_outcome){.reason = reason};
}

static struct internal_outcome internal_to_topic(struct offer *o, struct slice topic)
{
    struct core *c = o->core;
    struct route *r = route_get(c->routes, topic);
    struct internal_outcome out;
    unsigned posted;

    if (!r)
        return refuse_internal(o, REASON_MEMORY);
    o->topic = r->topic;
    posted = route_out(o, r);
    if (!posted && !o->matched)
        c->count.unroutable += o->run->n;
    out = end_internal(o, posted);
    route_unref(r);
    return out;
}

/* A queue made for it has nothing but what is sent to it. */
static struct internal_outcome internal_to_queue(struct offer *o, struct slice name)
{
    struct core *c = o->core;
    struct named *n = names_get(c, name);
    struct internal_outcome out = {0};
    struct queue *q;
    unsigned waits = 0;

    if (!n)
        return refuse_internal(o, REASON_MEMORY);
    names_hold(n);
    o->topic = n->topic;
    if (n->state != NAMED_KNOWN) {
        park(o, n, true);
        waits = 1;
    } else if (handle_worker(n->queue) != c->id) {
        if (post_run(o, handle_worker(n->queue), n->queue) == 0)
            waits = 1;
        else
            refused_there(o);
    } else if ((q = slots_get(&c->slots, SLOT_QUEUE, n->queue)) != NULL) {
        offer_to(o, q);
    } else {
        out = refuse_internal(o, REASON_NOT_FOUND);
    }
    if (out.reason == REASON_NONE)
        out = end_internal(o, waits);
    names_release(c, n);
    return out;
}

struct internal_outcome publish_internal(struct core *c, const struct target *to,
                                         const struct run *run, handle_t letter)
{
    struct offer o = {.core = c,
                      .run = run,
                      .id = c->next_id,
                      .time_ms = c->wall_ms,
                      .publisher = letter,
                      .first = 1,
                      .unpaid = true};

    c->next_id += run->n;
    return to->is_queue ? internal_to_queue(&o, to->name) : internal_to_topic(&o, to->name);
}

/* ------------------------------------------------------------------- from other workers */

struct answer_ctx {
    struct core *c;
    const struct offer *o;
};

/* What became of a range here, told to the publisher's worker as one answer. */
static void answer_range(void *ctx, const struct offer_range *r)
{
    const struct answer_ctx *a = ctx;
    struct answer answer = {.matched = r->matched,
                            .accepted = r->accepted,
                            .done = 1,
                            .more = r->held,
                            .reason = (uint16_t)r->reason};

    publish_answer(a->c, a->o->publisher, a->o->first + r->first, r->n, &answer,
                   r->reason == REASON_FULL ? a->o->refuser : NULL);
}

static void answer_offer(struct offer *o)
{
    struct answer_ctx a = {o->core, o};

    offer_ranges(o, answer_range, &a);
    offer_end(o);
}

/* No queue here was offered the run: none is called that, or (`matched`) those that match could
 * not be found out. */
static void answer_refused(struct offer *o, enum reason reason, uint32_t matched)
{
    struct answer a = {.matched = matched, .done = 1, .reason = (uint16_t)reason};

    o->core->count.reason[reason] += o->run->n;
    publish_answer(o->core, o->publisher, o->first, o->run->n, &a, NULL);
}

static void take_for_queue(struct offer *o, handle_t queue, struct topic *topic)
{
    struct queue *q = slots_get(&o->core->slots, SLOT_QUEUE, queue);

    o->topic = topic;
    if (!q) {
        o->core->count.stale_handles++;
        answer_refused(o, REASON_NOT_FOUND, 0);
        return;
    }
    offer_to(o, q);
    answer_offer(o);
}

static inline void take_run(struct core *c, struct mail_run *m, bool is_foreign)
{
    struct packed packed = {m->bytes, m->topic_n, m->type_n, m->n};
    struct slice topic = slice_of(m->bytes, m->topic_n);
    struct run run = {.v = c->in_views,
                      .n = m->n,
                      .bytes = m->bytes_n,
                      .type = {m->type_id, slice_of(m->bytes + m->topic_n, m->type_n)}};
    struct offer o = {.core = c,
                      .run = &run,
                      .id = m->id,
                      .time_ms = m->time_ms,
                      .publisher = m->publisher,
                      .first = m->first,
                      .may_hold = m->may_hold};
    struct route *r = route_get(c->routes, topic);

    run.head_room = mail_unpack(&packed, c->in_views, c->in_metas);
    offer_note_id(&o);
    if (!r) {
        answer_refused(&o, REASON_MEMORY, 1);
    } else if (m->queue) {
        take_for_queue(&o, m->queue, r->topic);
    } else {
        o.topic = r->topic;
        if (is_foreign)
            offer_foreign_to_all(&o, r);
        else
            offer_to_all(&o, r);
        answer_offer(&o);
    }
    route_unref(r);
    mail_unref(&packed);
}

void publish_take_run(struct core *c, struct mail_run *m)
{
    take_run(c, m, false);
}

void publish_take_foreign(struct core *c, struct mail_run *m)
{
    take_run(c, m, true);
}

void publish_unpark(struct core *c, struct named *n)
{
    struct list_node *l;

    while ((l = list_pop(&n->parked)) != NULL) {
        struct parked *k = LIST_ITEM(l, struct parked, link);
        struct msg *m = k->msg;
        struct msg_meta meta = {
            .headers = msg_headers(m), .type = {.id = CTYPE_NONE}, .dedup = k->dedup};
        struct msg_view v = {m->data, m->len, &meta, m->block};
        struct run run = {.v = &v, .n = 1, .bytes = m->len, .type = msg_type(m)};
        struct offer o = {.core = c,
                          .run = &run,
                          .topic = n->topic,
                          .id = m->id,
                          .time_ms = m->time_ms,
                          .publisher = k->publisher,
                          .first = k->number,
                          .may_hold = k->may_hold};
        struct answer refused = {.done = 1, .reason = (uint16_t)n->reason};

        if (m->expires_ms != INT64_MAX)
            meta.ttl_ms = m->expires_ms > c->now_ms ? m->expires_ms - c->now_ms : 1;
        offer_note_id(&o);
        budget_charge(c, -PLACE_CHARGE);
        c->parked--;
        if (n->state != NAMED_KNOWN) {
            c->count.reason[n->reason]++;
            publish_answer(c, k->publisher, k->number, 1, &refused, NULL);
        } else if (handle_worker(n->queue) == c->id) {
            take_for_queue(&o, n->queue, n->topic);
        } else if (post_run(&o, handle_worker(n->queue), n->queue) < 0) {
            refused.reason = REASON_NO_CREDIT;
            c->count.reason[REASON_NO_CREDIT]++;
            publish_answer(c, k->publisher, k->number, 1, &refused, NULL);
        }
        budget_unref(c, m);
        free(k);
    }
}

/* --------------------------------------------------------------------------- answers */

static bool same_answer(const struct answer *a, const struct answer *b)
{
    return a->matched == b->matched && a->accepted == b->accepted && a->done == b->done &&
           a->more == b->more && a->reason == b->reason;
}

static void apply_answer(struct core *c, const struct answer_batch *b, struct slice label)
{
    struct publisher *p = slots_get(&c->slots, SLOT_PUBLISHER, b->publisher);

    if (!p) { /* a dead letter; or it left before its messages settled */
        if (!loss_answer(c, b->publisher, &b->a))
            c->count.stale_handles++;
        return;
    }
    if (ledger_answer(&p->ledger, b->first, b->count, &b->a) < 0)
        c->count.reason[REASON_MEMORY] += b->count;
    if (label.n)
        excuse_full(&p->excuses, b->first, b->count, &b->full, label);
    if (!p->ledger.open)
        p->waiting_ms = 0;
    publisher_has_news(p);
}

void publish_flush(struct core *c)
{
    struct answer_batch late = c->late;
    const struct queue *q;
    struct slice label = {0};
    struct mail_settled *m;

    c->late.count = 0;
    if (!late.count)
        return;
    q = late.full.queue ? slots_get(&c->slots, SLOT_QUEUE, late.full.queue) : NULL;
    if (q)
        label = slice_str(q->label);
    if (handle_worker(late.publisher) == c->id) {
        apply_answer(c, &late, label);
        return;
    }
    m = mail_post(c, handle_worker(late.publisher), MAIL_SETTLED, sizeof *m + label.n, true);
    if (!m) {
        c->count.reason[REASON_MEMORY] += late.count;
        return;
    }
    m->publisher = late.publisher;
    m->first = late.first;
    m->count = late.count;
    m->answer = late.a;
    m->full = late.full;
    m->label_n = (uint8_t)label.n;
    if (label.n)
        memcpy(m->label, label.p, label.n);
}

void publish_answer(struct core *c, handle_t publisher, uint64_t first, uint32_t count,
                    const struct answer *a, const struct queue *full)
{
    struct answer_batch *late = &c->late;
    handle_t queue = full ? full->handle : 0;

    if (!publisher)
        return;
    if (late->count && late->publisher == publisher && late->first + late->count == first &&
        late->full.queue == queue && same_answer(&late->a, a)) {
        late->count += count;
        return;
    }
    publish_flush(c);
    *late = (struct answer_batch){publisher, first, count, *a, {0}};
    if (queue)
        late->full = how_full(full);
}

void publish_take_settled(struct core *c, const struct mail_settled *m)
{
    struct answer_batch b = {m->publisher, m->first, m->count, m->answer, m->full};

    apply_answer(c, &b, slice_of(m->label, m->label_n));
}
