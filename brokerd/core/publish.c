#include "brokerd/core/publish.h"

#include "brokerd/core/access.h"
#include "brokerd/core/budget.h"
#include "brokerd/core/deliver.h"
#include "brokerd/core/endpoint.h"
#include "brokerd/core/follow.h"
#include "brokerd/core/mail.h"
#include "brokerd/core/names.h"
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
    free(p->why);
    free(p);
}

void core_publisher_close(struct publisher *p)
{
    if (p)
        publisher_free(p);
}

static void has_news(struct publisher *p)
{
    if (!list_linked(&p->news) || p->patience.is_tried)
        list_move_to_back(&p->ep->core->news, &p->news);
}

void core_publisher_last(struct publisher *p)
{
    p->patience.at_once = PATIENCE_NONE;
    has_news(p);
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

static int aim_at_topic(struct publisher *p, struct slice name, struct refusal *why)
{
    struct core *c = p->ep->core;
    const char *error;
    struct route *r;

    if (p->route && slice_eq(topic_slice(p->route->topic), name))
        return 0;
    error = name_topic_error(name, NAME_OF_BROKER);
    if (error)
        return bad_name(why, error);
    if (!access_allowed(p->ep, ACCESS_PUBLISH, name))
        return access_denied(name, why);
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
    const char *error;
    struct named *n;

    if (p->queue && slice_eq(map_key(p->queue->entry), name))
        return 0;
    error = name_queue_error(name, NAME_OF_BROKER);
    if (error)
        return bad_name(why, error);
    if (!access_allowed(p->ep, ACCESS_SEND, name))
        return access_denied(name, why);
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

/* Post a run to `worker`; `queue` 0: to whatever matches there. */
static int post_run(const struct offer *o, unsigned worker, handle_t queue)
{
    struct slice topic = topic_slice(o->topic);
    struct packing k = mail_measure(topic, o->run);
    struct mail_run *m = mail_post_run(o->core, worker, &k, o->publisher != 0);

    if (!m)
        return -1;
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
    return 0;
}

/* A worker took no more: its queues count as one that refused. */
static void refused_there(struct offer *o)
{
    enum reason why = o->publisher ? REASON_MEMORY : REASON_NO_CREDIT;

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
static struct route *fresh_route(struct publisher *p)
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

/* --------------------------------------------------------------------------- publish */

struct add_ctx {
    struct publisher *p;
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
}

static void explain(struct publisher *p, const struct queue *q)
{
    char text[NAME_MAX_BYTES + 80];

    if (p->kind != PUBLISH_ONCE || p->why || !q)
        return;
    snprintf(text, sizeof text, "queue \"%s\" is full (%llu messages, %llu bytes)", q->label,
             (unsigned long long)q->backlog->waiting, (unsigned long long)q->backlog->bytes);
    p->why = strdup(text);
}

/* Enter in the ledger what became of the run so far. */
static int enter(struct publisher *p, struct offer *o, unsigned posted)
{
    struct add_ctx a = {p, o->first, posted, 0};

    if (p->kind != PUBLISH_FORGET)
        offer_ranges(o, add_range, &a);
    if (o->refuser)
        explain(p, o->refuser);
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
static int park(struct publisher *p, struct offer *o)
{
    struct core *c = o->core;
    struct named *n = p->queue;
    struct span s = {.first = o->first, .count = o->run->n, .waiting = 1};

    /* First, for answers may come from below. */
    if (p->kind != PUBLISH_FORGET && ledger_add(&p->ledger, &s) < 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < o->run->n; i++) {
        struct msg_origin from = {n->topic, o->run->type, o->id + i, o->time_ms, c->now_ms};
        struct parked *k = calloc(1, sizeof *k);
        struct msg *m = k && budget_left(c) > 0 ? budget_keep(c, &o->run->v[i], &from) : NULL;
        struct answer lost = {.done = 1, .reason = REASON_MEMORY};

        if (!m) {
            free(k);
            c->count.reason[REASON_MEMORY]++;
            publish_answer(c, o->publisher, o->first + i, 1, &lost);
            continue;
        }
        *k = (struct parked){{0}, m, o->publisher, o->first + i, o->may_hold};
        budget_charge(c, PLACE_CHARGE);
        list_push_back(&n->parked, &k->link);
        c->parked++;
    }
    if (n->state == NAMED_UNKNOWN)
        names_want(c, n, p->makes_unbound ? names_unbound : NULL, 0,
                   p->makes_unbound ? NAMES_UNBOUND_SIZE : 0);
    return 0;
}

static int publish_to_queue(struct publisher *p, struct offer *o)
{
    struct named *n = p->queue;
    struct queue *q;

    o->topic = n->topic;
    if (n->state != NAMED_KNOWN)
        return park(p, o);
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

/* The window follows the size of messages lately seen. */
static void learn_size(struct publisher *p, const struct run *run)
{
    uint32_t size = (uint32_t)(run->bytes / run->n);

    p->average = p->count ? (uint32_t)(((uint64_t)p->average * 7 + size) / 8) : size;
    p->window = p->average ? CORE_WINDOW_BYTES / p->average : CORE_WINDOW_MAX;
    if (p->window < 1)
        p->window = 1;
    if (p->window > CORE_WINDOW_MAX)
        p->window = CORE_WINDOW_MAX;
}

static bool headers_fit(const struct run *run)
{
    for (uint32_t i = 0; i < run->n; i++)
        if (run->v[i].meta && run->v[i].meta->headers.n > HEADERS_BYTES_MAX)
            return false;
    return true;
}

int core_publish(struct publisher *p, const struct target *to, const struct run *run,
                 struct refusal *ret_why)
{
    struct core *c = p->ep->core;
    int r;

    if (c->draining) {
        ret_why->reason = REASON_DRAINING;
        snprintf(ret_why->text, sizeof ret_why->text, "draining: the broker is about to stop");
        c->count.reason[REASON_DRAINING] += run->n;
        return -EPIPE;
    }
    r = aim(p, to, ret_why);
    if (r == 0 && !headers_fit(run))
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
        has_news(p);
    /* The sum is within the limit of one: so is each. */
    if (run->n <= RUN_MAX && run->bytes <= RUN_BYTES && run->bytes <= c->globals.max_message_bytes)
        return publish_some(p, run);
    return publish_parts(p, run);
}

void core_foresee(struct core *c, const struct slice *topics, unsigned n)
{
    struct route *const *route = routes_foresee(c->routes, topics, n);
    struct queue *queue[CORE_FORESEE_MAX];
    unsigned queues = 0;

    for (unsigned i = 0; i < n; i++)
        for (uint32_t k = 0; route[i] && k < route[i]->n && queues < CORE_FORESEE_MAX; k++)
            queue[queues++] = route[i]->queues[k];
    deliver_foresee(queue, queues);
}

void core_foresee_mail(struct core *c, struct entry *const *e, unsigned n)
{
    struct slice topic[CORE_FORESEE_MAX];
    unsigned topics = 0;

    for (unsigned i = 0; i < n; i++) {
        const struct mail_run *m = (const struct mail_run *)e[i];

        if (e[i]->kind == MAIL_RUN && m->n == 1 && !m->queue)
            topic[topics++] = slice_of(m->bytes, m->topic_n);
    }
    if (topics > 1)
        core_foresee(c, topic, topics);
}

int publish_moved(struct publisher *p, handle_t queue, struct msg *m)
{
    struct core *c = p->ep->core;
    struct msg_meta meta = {.headers = msg_headers(m), .type = {.id = CTYPE_NONE}};
    struct msg_view v = {m->data, m->len, &meta, m->block};
    struct run run = {.v = &v, .n = 1, .bytes = m->len, .type = msg_type(m)};
    struct offer o = {.core = c,
                      .run = &run,
                      .topic = m->topic,
                      .id = m->id,
                      .time_ms = m->time_ms,
                      .publisher = p->handle,
                      .first = p->next++,
                      .may_hold = true};
    struct queue *q = slots_get(&c->slots, SLOT_QUEUE, queue);

    if (m->expires_ms != INT64_MAX)
        meta.ttl_ms = m->expires_ms > c->now_ms ? m->expires_ms - c->now_ms : 1;
    has_news(p);
    if (handle_worker(queue) != c->id) {
        if (post_run(&o, handle_worker(queue), queue) == 0)
            return enter(p, &o, 1);
        refused_there(&o);
        return enter(p, &o, 0);
    }
    if (!q)
        return refuse_run(p, &o, REASON_NOT_FOUND);
    offer_to(&o, q);
    return enter(p, &o, 0);
}

void publish_internal(struct core *c, struct slice topic, const struct run *run)
{
    struct route *r = route_get(c->routes, topic);
    struct offer o = {.core = c, .run = run, .id = c->next_id, .time_ms = c->wall_ms};

    if (!r) {
        c->count.reason[REASON_MEMORY] += run->n;
        return;
    }
    c->next_id += run->n;
    o.topic = r->topic;
    if (!route_out(&o, r) && !o.matched)
        c->count.unroutable += run->n;
    offer_end(&o);
    route_unref(r);
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

    publish_answer(a->c, a->o->publisher, a->o->first + r->first, r->n, &answer);
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
    publish_answer(o->core, o->publisher, o->first, o->run->n, &a);
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

void publish_take_run(struct core *c, struct mail_run *m)
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
    if (!r) {
        answer_refused(&o, REASON_MEMORY, 1);
    } else if (m->queue) {
        take_for_queue(&o, m->queue, r->topic);
    } else {
        o.topic = r->topic;
        offer_to_all(&o, r);
        answer_offer(&o);
    }
    route_unref(r);
    mail_unref(&packed);
}

void publish_unpark(struct core *c, struct named *n)
{
    struct list_node *l;

    while ((l = list_pop(&n->parked)) != NULL) {
        struct parked *k = LIST_ITEM(l, struct parked, link);
        struct msg *m = k->msg;
        struct msg_meta meta = {.headers = msg_headers(m), .type = {.id = CTYPE_NONE}};
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
        budget_charge(c, -PLACE_CHARGE);
        c->parked--;
        if (n->state != NAMED_KNOWN) {
            c->count.reason[n->reason]++;
            publish_answer(c, k->publisher, k->number, 1, &refused);
        } else if (handle_worker(n->queue) == c->id) {
            take_for_queue(&o, n->queue, n->topic);
        } else if (post_run(&o, handle_worker(n->queue), n->queue) < 0) {
            refused.reason = REASON_NO_CREDIT;
            c->count.reason[REASON_NO_CREDIT]++;
            publish_answer(c, k->publisher, k->number, 1, &refused);
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

static void apply_answer(struct core *c, handle_t publisher, uint64_t first, uint32_t count,
                         const struct answer *a)
{
    struct publisher *p = slots_get(&c->slots, SLOT_PUBLISHER, publisher);

    if (!p) { /* it left before its messages settled */
        c->count.stale_handles++;
        return;
    }
    if (ledger_answer(&p->ledger, first, count, a) < 0)
        c->count.reason[REASON_MEMORY] += count;
    if (!p->ledger.open)
        p->waiting_ms = 0;
    has_news(p);
}

void publish_flush(struct core *c)
{
    struct answer_batch late = c->late;
    struct mail_settled *m;

    c->late.count = 0;
    if (!late.count)
        return;
    if (handle_worker(late.publisher) == c->id) {
        apply_answer(c, late.publisher, late.first, late.count, &late.a);
        return;
    }
    m = mail_post(c, handle_worker(late.publisher), MAIL_SETTLED, sizeof *m, true);
    if (!m) {
        c->count.reason[REASON_MEMORY] += late.count;
        return;
    }
    m->publisher = late.publisher;
    m->first = late.first;
    m->count = late.count;
    m->answer = late.a;
}

void publish_answer(struct core *c, handle_t publisher, uint64_t first, uint32_t count,
                    const struct answer *a)
{
    struct answer_batch *late = &c->late;

    if (!publisher)
        return;
    if (late->count && late->publisher == publisher && late->first + late->count == first &&
        same_answer(&late->a, a)) {
        late->count += count;
        return;
    }
    publish_flush(c);
    *late = (struct answer_batch){publisher, first, count, *a};
}

void publish_take_settled(struct core *c, const struct mail_settled *m)
{
    apply_answer(c, m->publisher, m->first, m->count, &m->answer);
}

/* --------------------------------------------------------------------------- telling */

enum { TELL_MAX = 64 };

static void outcome_of(const struct publisher *p, const struct span *s, struct outcome *o)
{
    *o = (struct outcome){.first = s->first,
                          .count = s->count,
                          .reason = (enum reason)s->reason,
                          .matched = s->matched,
                          .accepted = s->accepted,
                          .text = p->why};
    if (!s->matched && s->reason == REASON_NONE)
        o->reason = REASON_NO_MATCH;
}

static void tell_settled(struct publisher *p)
{
    struct outcome o[TELL_MAX];
    struct span s;

    while (ledger_news(&p->ledger)) {
        size_t n = 0;

        while (n < TELL_MAX && ledger_take(&p->ledger, &s)) {
            outcome_of(p, &s, &o[n++]);
            p->told = s.first + s.count - 1;
        }
        p->ep->ops->settled(p->ctx, p->told, o, n);
    }
}

static bool takes_credit(const struct publisher *p)
{
    return p->kind == PUBLISH_WINDOW && !p->ep->core->draining;
}

/* The credit to be granted now. */
static uint64_t credit_due(const struct publisher *p)
{
    /* The first message, which comes without credit, is not part of the window. */
    uint64_t window = p->window, out = p->next > 1 ? p->allowance + p->ledger.open : 0;

    if (!takes_credit(p))
        return 0;
    if (core_short_of_memory(p->ep->core))
        window = window / WINDOW_SHORT ? window / WINDOW_SHORT : 1;
    if (out >= window || window - out < (window + 1) / 2 || (p->next == 1 && p->allowance > 1))
        return 0;
    return window - out;
}

static void grant(struct publisher *p)
{
    struct core *c = p->ep->core;
    uint64_t n = credit_due(p);

    if (takes_credit(p) && core_short_of_memory(c) && !list_linked(&p->starved))
        list_push_back(&c->starved, &p->starved);
    if (n == 0)
        return;
    p->allowance += n;
    p->ep->ops->granted(p->ctx, (uint32_t)n);
}

/* Can what is to be told wait? Not what went wrong; and credit takes it along. */
static bool put_off(struct publisher *p)
{
    struct core *c = p->ep->core;
    uint32_t n = p->kind == PUBLISH_WINDOW ? ledger_plain_news(&p->ledger) : 0;

    if (!n || c->draining || core_short_of_memory(c) || credit_due(p) > 0 ||
        !patience_put_off(&p->patience, n, p->next, c->now_ms)) {
        p->patience.is_tried = false;
        return false;
    }
    list_push_back(&c->unhurried, &p->news);
    if (patience_due(&p->patience) < c->unhurried_due_ms)
        c->unhurried_due_ms = patience_due(&p->patience);
    return true;
}

/* Those that have published nothing more hear now what was put off. */
static void end_patience(struct core *c)
{
    struct list_node *n, *next;

    if (c->now_ms < c->unhurried_due_ms)
        return;
    c->unhurried_due_ms = INT64_MAX;
    for (n = list_first(&c->unhurried); n; n = next) {
        struct publisher *p = LIST_ITEM(n, struct publisher, news);
        int64_t due = patience_due(&p->patience);

        next = list_next(&c->unhurried, n);
        if (due <= c->now_ms) {
            patience_over(&p->patience);
            list_move_to_back(&c->news, n);
        } else if (due < c->unhurried_due_ms) {
            c->unhurried_due_ms = due;
        }
    }
}

void publish_hasten(struct core *c)
{
    struct list_node *n;

    while ((n = list_pop(&c->unhurried)) != NULL)
        list_push_back(&c->news, n);
}

static void feed_starved(struct core *c)
{
    struct list_node *n;

    if (core_short_of_memory(c))
        return;
    while ((n = list_pop(&c->starved)) != NULL)
        has_news(LIST_ITEM(n, struct publisher, starved));
}

void publish_tell(struct core *c)
{
    struct list_node *n;

    feed_starved(c);
    end_patience(c);
    while ((n = list_pop(&c->news)) != NULL) {
        struct publisher *p = LIST_ITEM(n, struct publisher, news);

        if (put_off(p))
            continue;
        tell_settled(p);
        if (p->kind == PUBLISH_ONCE && p->next > 1 && core_publisher_idle(p))
            publisher_free(p);
        else
            grant(p);
    }
    if (list_empty(&c->unhurried)) /* or the worker would wake up for nothing */
        c->unhurried_due_ms = INT64_MAX;
}
