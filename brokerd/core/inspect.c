#include "brokerd/core/inspect.h"

#include "brokerd/core/consume.h"
#include "brokerd/core/deliver.h"
#include "brokerd/core/durable.h"
#include "brokerd/core/endpoint.h"
#include "brokerd/core/names.h"
#include "brokerd/core/question.h"
#include "brokerd/core/queue.h"
#include "brokerd/core/service.h"
#include "libbroker/base/name.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------ totals */

static void add_settled(struct inspect_counters *to, const struct settled_counters *from)
{
    to->acked += from->acked;
    to->nacked += from->nacked;
    to->redelivered += from->redelivered;
    to->late += from->late;
    to->timeouts += from->timeouts;
}

void inspect_totals(const struct core *c, struct inspect_totals *ret)
{
    const struct list_node *n;
    const struct queue *q;

    *ret = (struct inspect_totals){
        .count = {.published = c->count.published,
                  .delivered = c->count.delivered,
                  .unroutable = c->count.unroutable,
                  .unopened = c->count.unopened},
        .used = c->used,
        .short_of_memory = core_short_of_memory(c),
        .draining = c->draining,
        .calls = c->count.calls,
        .calls_open = c->count.calls_open,
    };
    memcpy(ret->calls_failed, c->count.calls_failed, sizeof ret->calls_failed);
    memcpy(ret->count.reason, c->count.reason, sizeof ret->count.reason);
    add_settled(&ret->count, &c->count.gone);
    ret->count.dead_lettered = c->count.gone_dead_letters;
    ret->count.duplicates = c->count.repeats;
    for (uint32_t at = 0; (q = slots_next(&c->slots, SLOT_QUEUE, &at)) != NULL;) {
        add_settled(&ret->count, &q->backlog->settled);
        if (q->backlog->losses)
            ret->count.dead_lettered += q->backlog->losses->dead_letters;
        *(q->is_named ? &ret->queues : &ret->subscriptions) += 1;
    }
    for (n = list_first(&c->endpoints); n; n = list_next(&c->endpoints, n))
        if (!LIST_ITEM(n, const struct endpoint, link)->is_broker)
            ret->endpoints++;
}

/* ---------------------------------------------------------------------------- services */

void inspect_services(const struct core *c, inspect_service_fn *fn, void *ctx)
{
    for (struct map_entry *e = map_next(&c->services, NULL); e; e = map_next(&c->services, e)) {
        const struct service *s = e->value;
        struct inspect_service i = {.name = e->key, .waiting = s->waiting_n};

        if (s->own)
            continue;
        for (struct list_node *n = list_first(&s->places); n; n = list_next(&s->places, n)) {
            const struct place *p = LIST_ITEM(n, const struct place, link);

            i.is_home = true;
            i.servers++;
            i.open += p->open;
            i.opened += p->opened;
        }
        if ((i.is_home || i.waiting) && !fn(ctx, &i))
            return;
    }
}

/* ------------------------------------------------------------------------------ queues */

static int64_t age(const struct core *c, int64_t since_ms)
{
    return c->now_ms > since_ms ? c->now_ms - since_ms : 0;
}

/* How long the message that is first in line has waited. */
static int64_t oldest(const struct queue *q)
{
    if (q->backlog->back.n)
        return age(q->core,
                   HEAP_ITEM(q->backlog->back.nodes[0], struct back, timer.node)->since_ms);
    for (uint64_t i = deque_first(&q->backlog->fifo); i != deque_end(&q->backlog->fifo); i++) {
        const struct waiting *w = deque_slot(&q->backlog->fifo, i);

        if (w->msg)
            return age(q->core, w->since_ms);
    }
    return -1;
}

/* What it noted when it last found no room may be history: half empty, it is not full. */
static bool is_full(const struct queue *q)
{
    if (!q->backlog->full_since_ms)
        return false;
    return deque_len(&q->backlog->held) || q->backlog->waiting > q->policy->max_messages / 2 ||
           q->backlog->bytes > q->policy->max_bytes / 2;
}

static const char *owner_of(const struct queue *q)
{
    const struct tap *t = q->is_named ? NULL : tap_first(q);

    return t && t->consumer ? endpoint_name(t->consumer->ep) : "";
}

static void fill_stored(const struct storage *d, struct inspect_queue *ret)
{
    const struct unstored *first =
        durable_unstored(d) ? deque_slot(&d->unstored, deque_first(&d->unstored)) : NULL;

    ret->store = d->store->ops->name;
    ret->away = d->away_n;
    if (d->shared) { /* what waits there, or is in other nodes' hands, as of a few seconds ago */
        uint64_t here = ret->depth + ret->unacked;

        ret->away = d->known.messages > here ? d->known.messages - here : 0;
        ret->depth += ret->away;
        ret->bytes = d->known.bytes > ret->bytes ? d->known.bytes : ret->bytes;
    }
    ret->unstored = durable_unstored(d);
    ret->unstored_bytes = d->unstored_bytes;
    ret->unstored_ms = first ? age(d->queue->core, first->since_ms) : -1;
    ret->store_refuses = d->open ? d->refuses : REASON_STORE;
    ret->damaged = d->damaged;
    ret->unopened_ms = d->open ? -1 : age(d->queue->core, d->since_ms);
    ret->store_trouble = d->trouble;
    ret->letters = d->letters_back;
    ret->letters_ms = d->letters_back ? age(d->queue->core, d->letters_since_ms) : -1;
    ret->letters_why = d->letters_why;
    ret->letters_stop = durable_has_letters(d);
}

static void fill_queue(const struct queue *q, struct inspect_queue *ret)
{
    *ret = (struct inspect_queue){
        .id = q->handle,
        .name = q->is_named ? q->label : NULL,
        .label = q->label,
        .client = owner_of(q),
        .depth = q->backlog->waiting,
        .bytes = q->backlog->bytes,
        .unacked = q->backlog->inflight,
        .delayed = durable_delayed(q),
        .held = deque_len(&q->backlog->held),
        .consumers = taps_of(q) - (q->is_named ? q->backlog->parted_n : 0),
        .hungry = hungry_of(q),
        .oldest_ms = oldest(q),
        .full_ms = is_full(q) ? age(q->core, q->backlog->full_since_ms) : -1,
        .stuck = q->backlog->stuck,
        .unstored_ms = -1,
        .unopened_ms = -1,
        .letters_ms = -1,
        .policy = q->policy,
        .count = {.published = q->in, .delivered = q->out},
    };
    add_settled(&ret->count, &q->backlog->settled);
    if (q->backlog->stored)
        fill_stored(q->backlog->stored, ret);
    if (q->backlog->losses) {
        memcpy(ret->count.reason, q->backlog->losses->total, sizeof ret->count.reason);
        ret->count.dead_lettered = q->backlog->losses->dead_letters;
    }
    if (q->backlog->dedup) {
        ret->count.duplicates = q->backlog->dedup->repeats;
        ret->ids = deque_len(&q->backlog->dedup->ids);
        ret->ids_forgotten = q->backlog->dedup->forgotten;
    }
}

uint32_t inspect_queues(const struct core *c, uint32_t from, uint32_t steps, inspect_queue_fn *fn,
                        void *ctx)
{
    for (; from < c->slots.n; from++) {
        const struct slot *s = slots_at(&c->slots, from);
        struct inspect_queue q;

        if (!steps--)
            return from;
        if (s->kind != SLOT_QUEUE || ((const struct queue *)s->object)->making)
            continue;
        fill_queue(s->object, &q);
        if (!fn(ctx, &q))
            return 0;
    }
    return 0;
}

static const struct queue *queue_of(const struct core *c, uint64_t id)
{
    const struct queue *q = slots_get(&c->slots, SLOT_QUEUE, id);

    return q && !q->making ? q : NULL;
}

bool inspect_queue(const struct core *c, uint64_t id, struct inspect_queue *ret)
{
    const struct queue *q = queue_of(c, id);

    if (q)
        fill_queue(q, ret);
    return q != NULL;
}

uint64_t inspect_find_queue(const struct core *c, struct slice name)
{
    const struct named *n = map_get(&c->names, name);

    return n && n->state == NAMED_KNOWN ? n->queue : 0;
}

void inspect_bindings(const struct core *c, uint64_t queue, inspect_filter_fn *fn, void *ctx)
{
    const struct queue *q = queue_of(c, queue);
    struct filter_walk w = {0};
    struct slice filter;

    while (q && queue_next_filter(q, &w, &filter))
        if (!fn(ctx, filter))
            return;
}

static struct slice first_match(const struct queue *q, struct slice topic)
{
    struct filter_walk w = {0};
    struct slice filter;

    while (queue_next_filter(q, &w, &filter))
        if (name_filter_matches(filter, topic))
            return filter;
    return slice_of(NULL, 0);
}

int inspect_route(const struct core *c, struct slice topic, inspect_route_fn *fn, void *ctx)
{
    struct tree_result r = {0};
    int error = tree_match(c->tree, topic, &r);

    for (size_t i = 0; error == 0 && i < r.n; i++) {
        struct inspect_queue q;

        fill_queue(r.queues[i], &q);
        if (!fn(ctx, &q, first_match(r.queues[i], topic)))
            break;
    }
    tree_result_fini(&r);
    return error;
}

bool inspect_is_heard(const struct core *c, struct slice topic)
{
    struct tree_result r = {0};
    bool heard = tree_match(c->tree, topic, &r) == 0 && (r.n || r.workers);

    tree_result_fini(&r);
    return heard;
}

uint64_t inspect_routes_version(const struct core *c)
{
    return *tree_version(c->tree);
}

/* ---------------------------------------------------------------------------- messages */

struct peek {
    uint32_t left;
    inspect_message_fn *fn;
    void *ctx;
};

/* True while more are wanted. */
static bool tell(struct peek *p, const struct inspect_message *m)
{
    if (!p->left)
        return false;
    p->left--;
    return p->fn(p->ctx, m) && p->left;
}

static bool show(struct peek *p, const struct msg *m, uint64_t seq, uint32_t attempts,
                 const char *state)
{
    struct inspect_message im = {.seq = seq,
                                 .id = m->id,
                                 .topic = topic_slice(m->topic),
                                 .data = slice_of(m->data, m->len),
                                 .headers = msg_headers(m),
                                 .type = msg_type(m),
                                 .time_ms = m->time_ms,
                                 .attempts = attempts,
                                 .state = state};

    return tell(p, &im);
}

static int by_seq(const void *a, const void *b)
{
    uint64_t x = (*(const struct back *const *)a)->seq, y = (*(const struct back *const *)b)->seq;

    return x < y ? -1 : x > y;
}

/* What came back lies in a heap: sorted only for people. 1: go on. */
static int show_back(struct peek *p, const struct queue *q)
{
    const struct back **all;
    bool more = true;

    if (!q->backlog->back.n)
        return 1;
    all = malloc(q->backlog->back.n * sizeof *all);
    if (!all)
        return -ENOMEM;
    for (size_t i = 0; i < q->backlog->back.n; i++)
        all[i] = HEAP_ITEM(q->backlog->back.nodes[i], struct back, timer.node);
    qsort(all, q->backlog->back.n, sizeof *all, by_seq);
    for (size_t i = 0; more && i < q->backlog->back.n; i++)
        more = show(p, all[i]->msg, all[i]->seq, all[i]->attempts, "waiting");
    free(all);
    return more;
}

static bool show_fifo(struct peek *p, const struct queue *q)
{
    for (uint64_t i = deque_first(&q->backlog->fifo); i != deque_end(&q->backlog->fifo); i++) {
        const struct waiting *w = deque_slot(&q->backlog->fifo, i);

        if (w->msg && !show(p, w->msg, i, 0, "waiting"))
            return false;
    }
    return true;
}

static bool show_delayed(struct peek *p, const struct queue *q)
{
    for (const struct list_node *n = list_first(&q->backlog->delayed); n;
         n = list_next(&q->backlog->delayed, n)) {
        const struct back *b = LIST_ITEM(n, const struct back, link);

        if (!show(p, b->msg, b->seq, b->attempts, "delayed"))
            return false;
    }
    return true;
}

static bool show_flights(struct peek *p, const struct tap *t)
{
    const struct flight *f;

    for (uint64_t i = 0; (f = flights_next(&t->custody->flights, &i, UINT64_MAX)) != NULL; i++)
        if (!show(p, f->msg, f->seq, f->attempts, "unacked"))
            return false;
    return true;
}

static bool show_unstored(struct peek *p, const struct queue *q)
{
    const struct deque *all = q->backlog->stored ? &q->backlog->stored->unstored : NULL;

    for (uint64_t i = all ? deque_first(all) : 0; all && i != deque_end(all); i++) {
        const struct unstored *u = deque_slot(all, i);

        if (u->msg && !show(p, u->msg, i, 0, "unstored"))
            return false;
    }
    return true;
}

static bool show_held(struct peek *p, const struct queue *q)
{
    for (uint64_t i = deque_first(&q->backlog->held); i != deque_end(&q->backlog->held); i++)
        if (!show(p, ((const struct held *)deque_slot(&q->backlog->held, i))->msg, 0, 0, "held"))
            return false;
    return true;
}

/* Is it in memory, and so told of already? */
static bool is_here(const struct queue *q, uint64_t seq)
{
    const struct waiting *w = deque_at(&q->backlog->fifo, seq);
    const struct heap *back = &q->backlog->back;
    const struct flight *f;

    if (!q->backlog->stored->shared)
        return seq < q->backlog->stored->w || seq >= deque_first(&q->backlog->stored->unstored);
    if (w && w->msg)
        return true;
    for (size_t i = 0; i < back->n; i++)
        if (HEAP_ITEM(back->nodes[i], struct back, timer.node)->seq == seq)
            return true;
    for (const struct tap *t = tap_first(q); t; t = tap_next(t))
        for (uint64_t i = 0; (f = flights_next(&t->custody->flights, &i, UINT64_MAX)) != NULL; i++)
            if (f->seq == seq)
                return true;
    return false;
}

static bool show_stored(struct peek *p, const struct queue *q, const struct stored_message *m)
{
    const struct inspect_message im = {
        .seq = m->seq,
        .id = m->id,
        .topic = m->topic,
        .data = m->data,
        .headers = m->headers,
        .type = m->type,
        .time_ms = m->time_ms,
        .attempts = m->attempts,
        .state = m->due_ms > q->core->wall_ms ? "delayed" : "waiting",
    };

    return is_here(q, m->seq) || tell(p, &im);
}

/* What its store said; nothing comes after it if there was more. */
static bool show_rest(struct peek *p, const struct queue *q, const struct question *rest)
{
    if (!rest || !q->backlog->stored)
        return true;
    for (struct list_node *l = list_first(&rest->peeked); l; l = list_next(&rest->peeked, l)) {
        const struct peeked *k = LIST_ITEM(l, const struct peeked, link);

        for (uint32_t i = 0; i < k->n; i++)
            if (!show_stored(p, q, &k->messages[i]))
                return false;
    }
    return !rest->cut;
}

int inspect_peek(const struct core *c, uint64_t queue, uint32_t n, const struct question *rest,
                 inspect_message_fn *fn, void *ctx)
{
    const struct queue *q = queue_of(c, queue);
    struct peek p = {n, fn, ctx};
    const struct tap *t;
    int r = q && n ? show_back(&p, q) : 0;

    if (r <= 0 || !show_fifo(&p, q) || !show_rest(&p, q, rest) || !show_delayed(&p, q))
        return r < 0 ? r : 0;
    for (t = tap_first(q); t; t = tap_next(t))
        if (q->is_named && !show_flights(&p, t))
            return 0;
    if (show_unstored(&p, q))
        (void)show_held(&p, q);
    return 0;
}

/* --------------------------------------------------------------------------- one message */

struct search {
    uint64_t id;
    uint32_t left; /* places yet to be looked at */
};

/* Look at one place; NULL stands for an empty one. */
static bool is_it(struct search *s, const struct msg *m)
{
    if (s->left)
        s->left--;
    return m && m->id == s->id;
}

static bool find_waiting(struct search *s, const struct queue *q, struct inspect_place *ret)
{
    const struct deque *fifo = &q->backlog->fifo;

    for (uint64_t i = deque_end(fifo); s->left && i-- != deque_first(fifo);) {
        const struct waiting *w = deque_slot(fifo, i);

        if (!is_it(s, w->msg))
            continue;
        *ret = (struct inspect_place){
            .state = "waiting", .seq = i, .ahead = q->backlog->back.n + (i - deque_first(fifo))};
        return true;
    }
    return false;
}

static void fill_back(const struct back *b, const char *state, struct inspect_place *ret)
{
    *ret = (struct inspect_place){.state = state, .seq = b->seq, .attempts = b->attempts};
}

static bool find_back(struct search *s, const struct queue *q, struct inspect_place *ret)
{
    const struct heap *back = &q->backlog->back;
    const struct list *delayed = &q->backlog->delayed;

    for (size_t i = 0; s->left && i < back->n; i++) {
        const struct back *b = HEAP_ITEM(back->nodes[i], struct back, timer.node);

        if (!is_it(s, b->msg))
            continue;
        fill_back(b, "waiting", ret);
        for (size_t k = 0; k < back->n; k++)
            ret->ahead += HEAP_ITEM(back->nodes[k], struct back, timer.node)->seq < b->seq;
        return true;
    }
    for (struct list_node *n = list_first(delayed); s->left && n; n = list_next(delayed, n)) {
        const struct back *b = LIST_ITEM(n, const struct back, link);

        if (!is_it(s, b->msg))
            continue;
        fill_back(b, "delayed", ret);
        return true;
    }
    return false;
}

static bool find_flight(struct search *s, const struct queue *q, struct inspect_place *ret)
{
    const struct flight *f;

    for (const struct tap *t = q->is_named ? tap_first(q) : NULL; t; t = tap_next(t))
        for (uint64_t i = 0;
             s->left && (f = flights_next(&t->custody->flights, &i, UINT64_MAX)) != NULL; i++) {
            if (!is_it(s, f->msg))
                continue;
            *ret = (struct inspect_place){.state = "unacked",
                                          .seq = f->seq,
                                          .consumer = t->consumer ? t->consumer->handle
                                                                  : t->custody->remote,
                                          .attempts = f->attempts};
            return true;
        }
    return false;
}

static bool find_held(struct search *s, const struct queue *q, struct inspect_place *ret)
{
    const struct deque *held = &q->backlog->held;

    for (uint64_t i = deque_end(held); s->left && i-- != deque_first(held);) {
        if (!is_it(s, ((const struct held *)deque_slot(held, i))->msg))
            continue;
        *ret = (struct inspect_place){.state = "held",
                                      .ahead = q->backlog->waiting + (i - deque_first(held))};
        return true;
    }
    return false;
}

static bool find_unstored(struct search *s, const struct queue *q, struct inspect_place *ret)
{
    const struct deque *all = q->backlog->stored ? &q->backlog->stored->unstored : NULL;

    for (uint64_t i = all ? deque_end(all) : 0; s->left && all && i-- != deque_first(all);) {
        if (!is_it(s, ((const struct unstored *)deque_slot(all, i))->msg))
            continue;
        *ret = (struct inspect_place){.state = "unstored", .seq = i};
        return true;
    }
    return false;
}

int inspect_find_message(const struct core *c, uint64_t queue, uint64_t id,
                         struct inspect_place *ret)
{
    const struct queue *q = queue_of(c, queue);
    struct search s = {id, INSPECT_FIND};

    if (q && (find_flight(&s, q, ret) || find_waiting(&s, q, ret) || find_back(&s, q, ret) ||
              find_held(&s, q, ret) || find_unstored(&s, q, ret)))
        return 1;
    return s.left && !(q && q->backlog->stored && q->backlog->stored->away_n) ? 0 : -E2BIG;
}

/* ----------------------------------------------------------------------------- parties */

void inspect_taps(const struct core *c, uint64_t queue, inspect_tap_fn *fn, void *ctx)
{
    const struct queue *q = queue_of(c, queue);

    for (const struct tap *t = q ? tap_first(q) : NULL; t; t = tap_next(t)) {
        struct inspect_tap it = {
            .consumer = t->consumer ? t->consumer->handle : t->custody->remote,
            .credit = t->credit,
            .unacked = q->is_named ? t->custody->unsettled : 0,
            .delivered = t->numbered,
            .manual_ack = t->manual_ack,
            .stopped = t->stopped,
            .inflight_full = q->is_named && t->custody->unsettled >= q->policy->max_inflight,
            .stalled_ms = t->hungry ? -1 : age(c, t->starved_ms),
        };

        if (!t->parted && !fn(ctx, &it))
            return;
    }
}

static void fill_consumer(const struct consumer *k, struct inspect_consumer *ret)
{
    const struct endpoint *ep = k->ep;
    /* Of a queue elsewhere the consumer's side knows what was granted, and is ahead of the tap. */
    uint64_t credit = k->tap ? k->tap->credit : k->errand->granted - k->delivered;

    *ret = (struct inspect_consumer){
        .id = k->handle,
        .client = endpoint_id(ep),
        .queue = k->tap ? k->tap->queue->handle : 0,
        .client_name = endpoint_name(ep),
        .door = ep->ops->door,
        .label = core_consumer_label(k),
        .is_named = k->errand != NULL,
        .credit = credit < CORE_UNLIMITED / 2 ? credit : CORE_UNLIMITED,
        .delivered = k->delivered,
        .manual_ack = k->manual_ack,
        .has_room = ep->writable && ep->roomy,
        .since_ms = age(ep->core, k->since_ms),
    };
}

bool inspect_consumer(const struct core *c, uint64_t id, struct inspect_consumer *ret)
{
    const struct consumer *k = slots_get(&c->slots, SLOT_CONSUMER, id);

    if (k)
        fill_consumer(k, ret);
    return k != NULL;
}

static void fill_publisher(const struct publisher *p, struct inspect_publisher *ret)
{
    const struct core *c = p->ep->core;

    *ret = (struct inspect_publisher){
        .id = p->handle,
        .client = endpoint_id(p->ep),
        .client_name = endpoint_name(p->ep),
        .door = p->ep->ops->door,
        .to_queue = p->queue != NULL,
        .open = p->ledger.open,
        .published = p->count,
        .waiting_ms = p->ledger.open && p->waiting_ms ? age(c, p->waiting_ms) : -1,
        .window = p->window,
        .allowance = p->allowance,
        .starved = list_linked(&p->starved),
    };
    if (p->queue)
        ret->to = topic_slice(p->queue->topic);
    else if (p->route)
        ret->to = topic_slice(p->route->topic);
}

bool inspect_publisher(const struct core *c, uint64_t id, struct inspect_publisher *ret)
{
    const struct publisher *p = slots_get(&c->slots, SLOT_PUBLISHER, id);

    if (p)
        fill_publisher(p, ret);
    return p != NULL;
}

void inspect_holders(const struct core *c, uint64_t queue, inspect_holder_fn *fn, void *ctx)
{
    const struct queue *q = queue_of(c, queue);
    struct inspect_holder now = {0};

    if (!q)
        return;
    for (uint64_t i = deque_first(&q->backlog->held); i != deque_end(&q->backlog->held); i++) {
        const struct held *h = deque_slot(&q->backlog->held, i);

        if (now.n && h->publisher == now.publisher) {
            now.n++;
            continue;
        }
        if (now.n && !fn(ctx, &now))
            return;
        now = (struct inspect_holder){h->publisher, 1, age(c, h->since_ms)};
    }
    if (now.n)
        fn(ctx, &now);
}

/* ------------------------------------------------------------------------- connections */

void inspect_endpoint(const struct endpoint *ep, struct inspect_endpoint *ret)
{
    *ret = (struct inspect_endpoint){
        .id = endpoint_id(ep),
        .name = endpoint_name(ep),
        .door = ep->ops->door,
        .is_broker = ep->is_broker,
        .since_ms = age(ep->core, ep->since_ms),
        .published = ep->publishing->published,
        .delivered = ep->delivered,
        .output_bytes = ep->position > ep->written ? ep->position - ep->written : 0,
        .has_room = ep->writable && ep->roomy,
        .ep = ep,
    };
}

void inspect_endpoints(const struct core *c, inspect_endpoint_fn *fn, void *ctx)
{
    const struct list_node *n;

    for (n = list_first(&c->endpoints); n; n = list_next(&c->endpoints, n)) {
        struct inspect_endpoint e;

        inspect_endpoint(LIST_ITEM(n, const struct endpoint, link), &e);
        if (!fn(ctx, &e))
            return;
    }
}

void inspect_servers_of(const struct endpoint *ep, inspect_server_fn *fn, void *ctx)
{
    const struct calling *calling = ep->seldom->calling;
    const struct list_node *n = calling ? list_first(&calling->servers) : NULL;

    for (; n; n = list_next(&calling->servers, n)) {
        const struct server *s = LIST_ITEM(n, const struct server, link);
        char name[NAME_MAX_BYTES + 1];

        snprintf(name, sizeof name, "%.*s", (int)s->name_n, s->name);
        if (!fn(ctx, name))
            return;
    }
}

void inspect_publishers_of(const struct endpoint *ep, inspect_publisher_fn *fn, void *ctx)
{
    const struct list *all = &ep->publishing->publishers;

    for (const struct list_node *n = list_first(all); n; n = list_next(all, n)) {
        struct inspect_publisher p;

        fill_publisher(LIST_ITEM(n, const struct publisher, link), &p);
        if (!fn(ctx, &p))
            return;
    }
}

void inspect_consumers_of(const struct endpoint *ep, inspect_consumer_fn *fn, void *ctx)
{
    const struct list_node *n;

    for (n = list_first(&ep->consumers); n; n = list_next(&ep->consumers, n)) {
        struct inspect_consumer k;

        fill_consumer(LIST_ITEM(n, const struct consumer, link), &k);
        if (!fn(ctx, &k))
            return;
    }
}
