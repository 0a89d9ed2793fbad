#include "brokerd/core/endpoint.h"

#include "brokerd/core/arrears.h"
#include "brokerd/core/consume.h"
#include "brokerd/core/deliver.h"
#include "brokerd/core/part.h"
#include "brokerd/core/publish.h"
#include "brokerd/core/service.h"
#include "libbroker/base/out.h"

#include <errno.h>
#include <stdlib.h>

/* Marks of one consumer are joined up to this many bytes, so that a slow socket's progress is
 * still seen in steps. */
enum { MARK_BYTES = 64 * 1024 };

/* ------------------------------------------------------------- what few endpoints need */

const struct publishing publishing_none = {
    .publishers.head = {(struct list_node *)(uintptr_t)&publishing_none.publishers.head,
                        (struct list_node *)(uintptr_t)&publishing_none.publishers.head},
};

const struct marks marks_none;

const struct seldom seldom_none;

struct publishing *endpoint_publishing(struct endpoint *ep)
{
    struct publishing *p;

    if (ep->publishing != &publishing_none)
        return ep->publishing;
    p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    list_init(&p->publishers);
    ep->publishing = p;
    return p;
}

struct seldom *endpoint_seldom(struct endpoint *ep)
{
    struct seldom *s;

    if (ep->seldom != &seldom_none)
        return ep->seldom;
    s = calloc(1, sizeof *s);
    if (s)
        ep->seldom = s;
    return s;
}

void endpoint_trim(struct endpoint *ep)
{
    struct seldom *s = ep->seldom;

    if (s == &seldom_none || s->barriers || s->calling || s->arrears || s->handle)
        return;
    ep->seldom = (struct seldom *)(uintptr_t)&seldom_none;
    free(s);
}

/* Likewise. */
static struct marks *own_marks(struct endpoint *ep)
{
    struct marks *m;

    if (ep->marks != &marks_none)
        return ep->marks;
    m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    deque_init(&m->older, sizeof(struct mark));
    ep->marks = m;
    return m;
}

static struct barriers *own_barriers(struct endpoint *ep)
{
    struct seldom *s = endpoint_seldom(ep);
    struct barriers *b = s ? s->barriers : NULL;

    if (!s || b)
        return b;
    b = calloc(1, sizeof *b);
    if (!b) {
        endpoint_trim(ep);
        return NULL;
    }
    b->ep = ep;
    list_init(&b->asked);
    s->barriers = b;
    return b;
}

static void free_barriers(struct endpoint *ep)
{
    struct barriers *b = ep->seldom->barriers;
    struct list_node *n;

    if (!b)
        return;
    while ((n = list_pop(&b->asked)) != NULL)
        free(LIST_ITEM(n, struct barrier, link));
    list_remove(&b->quiet);
    free(b);
    ep->seldom->barriers = NULL;
    endpoint_trim(ep);
}

static void free_own(struct endpoint *ep)
{
    if (ep->publishing != &publishing_none)
        free(ep->publishing);
    if (ep->marks != &marks_none) {
        deque_fini(&ep->marks->older);
        free(ep->marks);
    }
    free_barriers(ep);
    arrears_free(ep);
    part_forget(ep);
}

/* ------------------------------------------------------------------------------ life */

static void tell(const struct endpoint *ep, enum core_event_kind kind)
{
    struct core_event ev = {.kind = kind, .queue = "", .topic = "", .client = endpoint_name(ep)};

    if (!ep->is_broker)
        ep->core->ops->event(ep->core->ctx, &ev);
}

int core_endpoint_open(struct core *c, const struct endpoint_desc *d,
                       const struct endpoint_ops *ops, void *ctx, struct endpoint **ret)
{
    size_t n = d->name && *d->name ? strlen(d->name) + 1 : 0;
    struct endpoint *ep = calloc(1, offsetof(struct endpoint, name) + n);

    if (!ep)
        return -ENOMEM;
    ep->core = c;
    ep->ops = ops;
    ep->ctx = ctx;
    ep->is_broker = d->is_broker;
    ep->manages = d->manages || d->is_broker;
    ep->writable = ep->roomy = true;
    ep->since_ms = c->now_ms;
    ep->number = ++c->count.endpoints;
    ep->has_name = n > 0;
    if (n)
        memcpy(ep->name, d->name, n);
    list_init(&ep->consumers);
    list_init(&ep->cramped);
    ep->publishing = (struct publishing *)(uintptr_t)&publishing_none;
    ep->marks = (struct marks *)(uintptr_t)&marks_none;
    ep->seldom = (struct seldom *)(uintptr_t)&seldom_none;
    if (d->publish_rate) {
        if (!endpoint_publishing(ep)) {
            free(ep);
            return -ENOMEM;
        }
        ep->publishing->rate = rate_begin(d->publish_rate, c->now_ms);
    }
    list_push_back(&c->endpoints, &ep->link);
    tell(ep, EVENT_CONNECTED);
    *ret = ep;
    return 0;
}

void core_endpoint_set_manages(struct endpoint *ep, bool manages)
{
    ep->manages = manages;
}

void core_endpoint_close(struct endpoint *ep)
{
    if (!ep)
        return;
    tell(ep, EVENT_DISCONNECTED);
    endpoint_free(ep);
}

void endpoint_free(struct endpoint *ep)
{
    struct list_node *n;

    while ((n = list_first(&ep->publishing->publishers)) != NULL)
        publisher_free(LIST_ITEM(n, struct publisher, link));
    while ((n = list_first(&ep->consumers)) != NULL)
        consumer_leave(LIST_ITEM(n, struct consumer, link), true);
    calling_free(ep);
    free_own(ep);
    list_remove(&ep->link);
    list_remove(&ep->wakeful);
    free(ep);
}

/* ---------------------------------------------------------------------------- output */

static void wake(struct endpoint *ep)
{
    if (!list_linked(&ep->wakeful))
        list_push_back(&ep->core->wakeful, &ep->wakeful);
}

/* Both only note: they may be called while the core delivers. */
void core_writable(struct endpoint *ep, bool writable)
{
    if (ep->writable == writable)
        return;
    ep->writable = writable;
    wake(ep);
}

/* The mark is passed: so far its consumer has been written. */
static void pass(const struct mark *m)
{
    if (!m->consumer)
        return;
    m->consumer->marks--;
    consumer_written(m->consumer, m->number, m->bytes);
}

static void pass_newest(struct endpoint *ep)
{
    struct mark m = ep->marks->newest;

    ep->marks->newest.at = 0;
    pass(&m);
}

/* A subscription to a queue of its own here: a number is noted, and nothing comes of it. */
static bool only_notes(const struct mark *m)
{
    return !m->consumer || !m->consumer->errand;
}

bool core_written(struct endpoint *ep, uint64_t position)
{
    const struct marks *m = ep->marks;

    if (ep->written == position)
        return false;
    ep->written = position;
    if (ep->roomy && !deque_len(&m->older)) {
        if (!m->newest.at || m->newest.at > position)
            return false;
        /* A lone message: without a tick of its own for that it costs a tenth less. */
        if (only_notes(&m->newest)) {
            pass_newest(ep);
            return false;
        }
    }
    wake(ep);
    return true;
}

/* A new mark. */
static void begin_mark(struct consumer *k, uint64_t number, uint64_t bytes)
{
    struct endpoint *ep = k->ep;
    struct marks *m = own_marks(ep);
    struct mark *older;

    if (!m) { /* take it as written: at most once is what is left of the promise */
        consumer_written(k, number, bytes);
        return;
    }
    if (m->newest.at) {
        older = deque_push(&m->older);
        if (older)
            *older = m->newest;
        else /* likewise */
            pass_newest(ep);
    }
    m->newest = (struct mark){ep->position, k, number, bytes};
    k->marks++;
}

static void add_mark(struct consumer *k, uint64_t number, uint64_t bytes)
{
    struct mark *m = &k->ep->marks->newest;

    if (!m->at || m->consumer != k || m->bytes >= MARK_BYTES) {
        begin_mark(k, number, bytes);
        return;
    }
    m->at = k->ep->position;
    m->number = number;
    m->bytes += bytes;
}

void endpoint_deliver(struct consumer *k, const struct delivery *d)
{
    struct endpoint *ep = k->ep;

    ep->position = ep->ops->deliver(k->ctx, d);
    k->delivered = d->first + d->run.n - 1;
    ep->delivered += d->run.n;
    if (ep->position > ep->written)
        add_mark(k, k->delivered, d->run.bytes);
    else
        consumer_written(k, k->delivered, d->run.bytes);
    ep->roomy = ep->position - ep->written < OUT_HIGH_WATER;
    if (!ep->roomy)
        wake(ep);
}

void endpoint_unmark(struct consumer *k)
{
    struct marks *all = k->ep->marks;

    if (all->newest.consumer == k) {
        k->marks -= all->newest.at != 0;
        all->newest.consumer = NULL;
    }
    for (uint64_t i = deque_first(&all->older); k->marks && i != deque_end(&all->older); i++) {
        struct mark *m = deque_slot(&all->older, i);

        if (m->consumer == k) {
            m->consumer = NULL;
            k->marks--;
        }
    }
}

/* Consumers that are read from memory before their marks' turn comes: where each delivery is to
 * another of very many, waiting for them took 4 % of the CPU. */
enum { MARKS_AHEAD = 32 };

static void fetch_consumer(const struct deque *marks, uint64_t i)
{
    const struct mark *m = deque_at(marks, i);

    if (m && m->consumer) {
        __builtin_prefetch(&m->consumer->errand, 1);
        __builtin_prefetch(&m->consumer->marks, 1);
    }
}

/* Marks that the socket has passed. */
static void pass_marks(struct endpoint *ep)
{
    struct marks *all = ep->marks;

    for (uint64_t i = 0; i < MARKS_AHEAD && i < deque_len(&all->older); i++)
        fetch_consumer(&all->older, deque_first(&all->older) + i);
    while (deque_len(&all->older)) {
        struct mark m = *(struct mark *)deque_slot(&all->older, deque_first(&all->older));

        if (m.at > ep->written)
            return;
        fetch_consumer(&all->older, deque_first(&all->older) + MARKS_AHEAD);
        deque_pop(&all->older);
        pass(&m);
    }
    if (all->newest.at && all->newest.at <= ep->written)
        pass_newest(ep);
}

void endpoint_cramped(struct consumer *k)
{
    if (!list_linked(&k->waiter)) /* else it is looked at when it is ready */
        list_push_back(&k->ep->cramped, &k->waiter);
}

/* Only those that room was short for: a connection may have 10,000 consumers, and its output
 * moves every turn (looking at all of them took two thirds of the CPU with 5,000). */
static void let_go_on(struct endpoint *ep)
{
    struct list_node *n;

    while (endpoint_has_room(ep) && (n = list_pop(&ep->cramped)) != NULL)
        consumer_look(LIST_ITEM(n, struct consumer, waiter));
}

static void catch_up(struct endpoint *ep)
{
    uint64_t unwritten;

    pass_marks(ep);
    /* Written output may be more than deliveries: answers and confirms are in it too. */
    unwritten = ep->position > ep->written ? ep->position - ep->written : 0;
    if (ep->roomy ? unwritten >= OUT_HIGH_WATER : unwritten <= OUT_HIGH_WATER / 2)
        ep->roomy = !ep->roomy;
    let_go_on(ep);
    if (ep->seldom->calling)
        calling_go_on(ep);
}

void endpoint_catch_up(struct core *c)
{
    struct list_node *n;

    while ((n = list_pop(&c->wakeful)) != NULL)
        catch_up(LIST_ITEM(n, struct endpoint, wakeful));
}

/* -------------------------------------------------------------------------- barriers */

void endpoint_quiet(struct endpoint *ep)
{
    if (!ep->unready && endpoint_asks(ep) && !list_linked(&ep->seldom->barriers->quiet))
        list_push_back(&ep->core->barriers, &ep->seldom->barriers->quiet);
}

int core_barrier(struct endpoint *ep, uint64_t token)
{
    struct barriers *all = own_barriers(ep);
    struct barrier *b = all ? calloc(1, sizeof *b) : NULL;

    if (!b)
        return -ENOMEM;
    b->token = token;
    list_push_back(&all->asked, &b->link);
    endpoint_quiet(ep);
    return 0;
}

void endpoint_barriers(struct core *c)
{
    struct list_node *n, *l;

    while ((n = list_pop(&c->barriers)) != NULL) {
        struct barriers *all = LIST_ITEM(n, struct barriers, quiet);
        struct endpoint *ep = all->ep;

        while (!ep->unready && (l = list_pop(&all->asked)) != NULL) {
            struct barrier *b = LIST_ITEM(l, struct barrier, link);

            ep->ops->barrier(ep->ctx, b->token);
            free(b);
        }
        if (list_empty(&all->asked))
            free_barriers(ep);
    }
}
