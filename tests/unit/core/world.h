/* world.h - cores without threads: their mail, their memory, and doors that note what they hear.
 *
 * A world has N cores. What they post lies in one mailbox per pair, in order, until
 * world_run() hands it on; so a test decides what overtakes what. Endpoints write into a
 * counter instead of a socket; world_written() says how far it was taken. */
#ifndef TESTS_UNIT_CORE_WORLD_H
#define TESTS_UNIT_CORE_WORLD_H

#include "brokerd/core/core.h"
#include "brokerd/core/entry.h"
#include "brokerd/core/state.h"
#include "libbroker/base/headers.h"

#include <stdio.h>
#include <stdlib.h>

enum { WORLD_CORES = 4 };

struct world_mail {
    struct world_mail *next;
    struct entry entry;
};

struct world_box {
    struct world_mail *first, **last;
};

/* What keeps durable queues (fake_store.h): it answers before a core's turn, and sends out after it
 * what that said; both tell whether something moved. */
struct world_stores {
    void *ctx;
    bool (*answer)(void *ctx, unsigned core);
    bool (*flush)(void *ctx, unsigned core);
};

struct world {
    unsigned n;
    struct world_stores stores;
    struct core *core[WORLD_CORES];
    struct world_port {
        struct world *w;
        unsigned id;
    } port[WORLD_CORES];
    struct world_box box[WORLD_CORES][WORLD_CORES]; /* from, to */
    int64_t now, memory;
    uint64_t uncredited; /* bytes posted that nobody has given credit for */
    bool cannot_post;    /* no memory for mail */
    uint64_t events[EVENT_STORE + 1];
    char event_service[256]; /* of the last one */
    struct core_event event; /* the last one */
};

/* A connection: its endpoint, and what its one consumer and publisher were told. */
struct world_peer {
    struct world *w;
    struct endpoint *ep;
    struct consumer *consumer;
    struct publisher *publisher;
    uint64_t out;   /* position of its output */
    bool slow;      /* the socket takes nothing: world_written() by hand */
    char got[4096]; /* payloads, each followed by a space; `*` before a redelivery */
    uint64_t deliveries, gaps;
    unsigned gaps_n; /* how often */
    enum reason gap_reason;
    char headers[512]; /* of the last delivery, name=value; */
    char topic[256];
    bool ready, closed;
    enum reason closed_reason;
    uint64_t lost;
    uint64_t granted, upto;
    struct outcome last; /* the last of settled() */
    char text[256];      /* its */
    uint64_t refused, dropped, accepted;
    uint64_t barrier;
    unsigned resolved, settled_there; /* of core_settle(): answers; those that say yes */
    uint64_t resolved_token;
};

static inline struct entry *world_post(void *ctx, unsigned to, size_t size, bool credited,
                                       size_t refers)
{
    struct world_port *p = ctx;
    struct world_box *b = &p->w->box[p->id][to];
    struct world_mail *m;

    if (p->w->cannot_post)
        return NULL;
    m = calloc(1, sizeof *m - sizeof m->entry + size);
    if (!m) /* a test lets one request fail: not this one, or what it is to be told would be lost */
        m = calloc(1, sizeof *m - sizeof m->entry + size);
    if (!m)
        return NULL;
    if (!credited)
        p->w->uncredited += size + refers;
    m->entry.size = (uint32_t)size;
    m->entry.from = (uint16_t)p->id;
    *b->last = m;
    b->last = &m->next;
    return &m->entry;
}

static inline int64_t world_memory(void *ctx, int64_t delta)
{
    struct world_port *p = ctx;

    p->w->memory -= delta;
    return p->w->memory;
}

static inline void world_event(void *ctx, const struct core_event *ev)
{
    struct world_port *p = ctx;

    p->w->events[ev->kind]++;
    (void)snprintf(p->w->event_service, sizeof p->w->event_service, "%s",
                   ev->service ? ev->service : "");
    p->w->event = *ev; /* its texts are not to be used but for static ones */
}

static const struct core_ops world_ops = {world_post, world_memory, world_event};

static inline void world_start_with(struct world *w, unsigned n, struct policy_set *policies,
                                    int64_t memory, const struct core_ops *ops)
{
    memset(w, 0, sizeof *w);
    w->n = n;
    w->now = 1000;
    w->memory = memory;
    for (unsigned i = 0; i < n; i++) {
        struct core_options o = {i, n, ops, &w->port[i], policies, (uint64_t)i << 56, 42};

        w->port[i] = (struct world_port){w, i};
        for (unsigned j = 0; j < n; j++)
            w->box[i][j].last = &w->box[i][j].first;
        if (core_new(&o, &w->core[i]) < 0)
            abort();
        core_clock(w->core[i], w->now, w->now);
    }
}

static inline void world_start(struct world *w, unsigned n, struct policy_set *policies,
                               int64_t memory)
{
    world_start_with(w, n, policies, memory, &world_ops);
}

static inline struct entry *world_take(struct world *w, unsigned from, unsigned to,
                                       struct world_mail **ret)
{
    struct world_box *b = &w->box[from][to];
    struct world_mail *m = b->first;

    if (!m)
        return NULL;
    b->first = m->next;
    if (!b->first)
        b->last = &b->first;
    *ret = m;
    return &m->entry;
}

/* Hand on the oldest entry from one core to another; false if there is none. */
static inline bool world_hand(struct world *w, unsigned from, unsigned to)
{
    struct world_mail *m;
    struct entry *e = world_take(w, from, to, &m);

    if (!e)
        return false;
    core_take(w->core[to], e);
    free(m);
    return true;
}

/* A core hears of what it is handed next by another. */
static inline void world_foresee(struct world *w, unsigned from, unsigned to)
{
    struct entry *ahead[CORE_FORESEE_MAX];
    struct world_mail *m = w->box[from][to].first;
    unsigned n = 0;

    for (; m && n < CORE_FORESEE_MAX; m = m->next)
        ahead[n++] = &m->entry;
    core_foresee_mail(w->core[to], ahead, n);
}

/* Turns of all cores until nothing moves any more. */
static inline void world_run(struct world *w)
{
    bool moved = true;

    for (int turns = 0; moved && turns < 10000; turns++) {
        moved = false;
        for (unsigned i = 0; i < w->n; i++) {
            core_clock(w->core[i], w->now, w->now);
            for (unsigned j = 0; j < w->n; j++)
                while (world_hand(w, j, i))
                    moved = true;
            if (w->stores.answer && w->stores.answer(w->stores.ctx, i))
                moved = true;
            if (core_tick(w->core[i]) <= w->now)
                moved = true;
            if (w->stores.flush && w->stores.flush(w->stores.ctx, i))
                moved = true;
        }
        for (unsigned i = 0; i < w->n; i++)
            for (unsigned j = 0; j < w->n; j++)
                moved |= w->box[i][j].first != NULL;
    }
}

static inline void world_advance(struct world *w, int64_t ms)
{
    w->now += ms;
    world_run(w);
}

static inline void world_stop(struct world *w)
{
    struct world_mail *m;

    for (unsigned i = 0; i < w->n; i++)
        core_free(w->core[i]);
    for (unsigned i = 0; i < w->n; i++)
        for (unsigned j = 0; j < w->n; j++)
            for (struct entry *e; (e = world_take(w, i, j, &m)) != NULL; free(m))
                entry_release(e);
}

/* A set with one rule: `filter` ("": none) has the default policy with `settings` ("key=value
 * key=value") applied. */
static inline struct policy_set *world_policy(enum policy_kind kind, const char *filter,
                                              const char *settings)
{
    struct queue_policy policy = policy_default(kind);
    struct policy_globals globals = policy_globals_default();
    struct policy_set *set;
    char err[POLICY_ERROR_MAX], copy[512];

    snprintf(copy, sizeof copy, "%s", settings);
    if (policy_set_new(&globals, &set) < 0)
        abort();
    for (char *key = strtok(copy, " "); key; key = strtok(NULL, " ")) {
        char *value = strchr(key, '=');

        if (policy_set_key(&policy, kind, slice_of(key, (size_t)(value - key)),
                           slice_str(value + 1), err, sizeof err) < 0)
            abort();
    }
    if (*filter && policy_set_add(set, kind, slice_str(filter), &policy, NULL, 0) < 0)
        abort();
    return set;
}

/* ----------------------------------------------------------------------------- peers */

static inline void world_note_headers(struct world_peer *p, struct slice rest)
{
    struct header h;
    size_t n = strlen(p->headers);

    while (headers_next(&rest, &h) > 0 && n < sizeof p->headers)
        n += (size_t)snprintf(p->headers + n, sizeof p->headers - n, "%.*s=%.*s;", (int)h.name.n,
                              (const char *)h.name.p, (int)h.value.n, (const char *)h.value.p);
}

static inline uint64_t world_deliver(void *ctx, const struct delivery *d)
{
    struct world_peer *p = ctx;
    size_t n = strlen(p->got);

    for (unsigned i = 0; i < d->gaps_n; i++) {
        p->gaps += d->gaps[i].count;
        p->gaps_n++;
        p->gap_reason = d->gaps[i].reason;
    }
    snprintf(p->topic, sizeof p->topic, "%s", d->topic->name);
    for (uint32_t i = 0; i < d->run.n; i++) {
        const struct msg_view *v = &d->run.v[i];

        p->headers[0] = '\0';
        if (v->meta)
            world_note_headers(p, v->meta->headers);
        p->deliveries++;
        p->out += v->len + 9;
        if (n + v->len + 3 < sizeof p->got)
            n += (size_t)snprintf(p->got + n, sizeof p->got - n, "%s%.*s ",
                                  d->attempt > 1 ? "*" : "", (int)v->len, (const char *)v->data);
    }
    if (!p->slow)
        core_written(p->ep, p->out);
    return p->out;
}

static inline void world_ready(void *ctx)
{
    ((struct world_peer *)ctx)->ready = true;
}

static inline void world_closed(void *ctx, const struct refusal *why, uint64_t lost)
{
    struct world_peer *p = ctx;

    p->closed = true;
    p->closed_reason = why->reason;
    p->lost = lost;
    p->consumer = NULL;
}

static inline void world_settled(void *ctx, uint64_t upto, const struct outcome *o, size_t n)
{
    struct world_peer *p = ctx;

    p->upto = upto;
    for (size_t i = 0; i < n; i++) {
        p->last = o[i];
        p->last.text = NULL;
        (void)snprintf(p->text, sizeof p->text, "%s", o[i].text ? o[i].text : "");
        if (o[i].reason == REASON_NONE)
            p->accepted += o[i].count;
        else if (reason_is_refusal(o[i].reason))
            p->refused += o[i].count;
        else
            p->dropped += o[i].count;
    }
}

static inline void world_granted(void *ctx, uint32_t n)
{
    ((struct world_peer *)ctx)->granted += n;
}

static inline void world_barrier(void *ctx, uint64_t token)
{
    ((struct world_peer *)ctx)->barrier = token;
}

static inline void world_resolved(void *ctx, uint64_t token, bool settled)
{
    struct world_peer *p = ctx;

    p->resolved++;
    p->settled_there += settled;
    p->resolved_token = token;
}

static const struct endpoint_ops world_peer_ops = {
    .door = "test",
    .deliver = world_deliver,
    .ready = world_ready,
    .closed = world_closed,
    .settled = world_settled,
    .granted = world_granted,
    .barrier = world_barrier,
    .resolved = world_resolved,
};

static inline void world_connect_as(struct world *w, struct world_peer *p, unsigned core,
                                    const struct endpoint_desc *d)
{
    memset(p, 0, sizeof *p);
    p->w = w;
    if (core_endpoint_open(w->core[core], d, &world_peer_ops, p, &p->ep) < 0)
        abort();
}

static inline void world_connect(struct world *w, struct world_peer *p, unsigned core)
{
    world_connect_as(w, p, core, &(struct endpoint_desc){.name = "peer"});
}

static inline void world_disconnect(struct world_peer *p)
{
    core_endpoint_close(p->ep);
    p->ep = NULL;
    p->consumer = NULL;
    p->publisher = NULL;
}

/* Everything written so far has reached the socket. */
static inline void world_written(struct world_peer *p)
{
    core_written(p->ep, p->out);
}

static inline int world_subscribe(struct world_peer *p, const char *filter, uint64_t credit)
{
    struct slice f = slice_str(filter);
    struct consume_options o = {.filters = &f, .filters_n = 1, .credit = credit};
    struct refusal why;

    return core_attach(p->ep, &o, p, &p->consumer, &why);
}

static inline int world_consume(struct world_peer *p, const char *queue, bool manual,
                                uint64_t credit)
{
    struct consume_options o = {.queue = slice_str(queue), .manual_ack = manual, .credit = credit};
    struct refusal why;

    return core_attach(p->ep, &o, p, &p->consumer, &why);
}

/* Publish texts separated by spaces, as one run. */
static inline int world_publish(struct world_peer *p, enum publisher_kind kind, bool is_queue,
                                const char *to, const char *texts)
{
    struct target target = {is_queue, slice_str(to)};
    struct msg_view v[64];
    struct run run = {.v = v, .type = {.id = CTYPE_NONE}};
    struct refusal why;

    if (!p->publisher) {
        if (core_publisher_open(p->ep, kind, p, &p->publisher) < 0)
            return -1;
        core_tick(p->ep->core); /* its first credit */
    }
    while (*texts) {
        size_t n = strcspn(texts, " ");

        v[run.n++] = (struct msg_view){.data = (const uint8_t *)texts, .len = (uint32_t)n};
        run.bytes += n;
        texts += n + (texts[n] == ' ');
    }
    return core_publish(p->publisher, &target, &run, &why);
}

#endif
