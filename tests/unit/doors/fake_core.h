/* fake_core.h - a core that does nothing but write down what a door asks of it.
 *
 * Why      A door's dialogue can then be tested to the letter: what it asked, and what it makes
 *          of any answer, also of those that the real core gives once in a blue moon.
 * Shape    Every function of core.h and call.h, so the compiler sees to it that they fit. Calls
 *          are traced as lines; publishers, consumers and calls have numbers, from 1.
 *          Included by one test program. */
#ifndef TESTS_UNIT_DOORS_FAKE_CORE_H
#define TESTS_UNIT_DOORS_FAKE_CORE_H

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/core/call.h"
#include "brokerd/doors/door.h"

#pragma GCC diagnostic ignored "-Wunused-function" /* a test uses what it needs */

enum { FAKE_MAX = 64, FAKE_TEXT = 1 << 16 };

struct endpoint {
    const struct endpoint_ops *ops;
    void *ctx;
};

struct publisher {
    int number;
    bool open;
    void *ctx;
};

struct consumer {
    int number;
    bool open;
    char label[256];
    void *ctx;
};

struct call {
    bool open;
    void *ctx;
    const struct call_ops *ops;
    uint8_t model;
    uint64_t position;
};

struct server {
    bool open;
    void *ctx;
    const struct server_ops *ops;
    char name[64];
};

/* All that the fake knows; reset by fake_reset(). */
static struct fake {
    struct endpoint endpoint;
    struct publisher publisher[FAKE_MAX];
    struct consumer consumer[FAKE_MAX];
    struct call call[FAKE_MAX];
    struct server server[FAKE_MAX];
    int publishers, consumers, calls, servers;
    int64_t now_ms, wall_ms, charged;
    uint64_t barrier;
    int fail;              /* what the next publish, attach, ack or call answers */
    const char *fail_text; /* and why */
    bool endpoint_open, short_of_memory, answer_at_once, behind;
    bool manages;
    bool full;        /* the last core_writable() said so */
    uint64_t written; /* the last core_written() */
    char endpoint_name[128];
    uint32_t grant_at_open; /* credit of a channel from the start */
    bool silent;            /* no trace */
    bool show_runs;         /* a line for a run, not for each of its messages */
    size_t trace_n;
    char trace[FAKE_TEXT];
} fake;

static void fake_reset(void)
{
    memset(&fake, 0, sizeof fake);
    fake.grant_at_open = 100;
}

__attribute__((format(printf, 1, 2))) static void trace(const char *fmt, ...)
{
    va_list ap;

    if (fake.silent)
        return;
    va_start(ap, fmt);
    fake.trace_n += (size_t)vsnprintf(fake.trace + fake.trace_n, FAKE_TEXT - fake.trace_n, fmt, ap);
    va_end(ap);
    if (fake.trace_n >= FAKE_TEXT)
        abort();
}

static void trace_slice(const char *what, struct slice s)
{
    if (s.n > 0)
        trace(" %s=%.*s", what, (int)s.n, (const char *)s.p);
}

static void trace_type(struct ctype t)
{
    if (t.id == CTYPE_NAMED)
        trace_slice("type", t.name);
    else if (t.id != CTYPE_NONE)
        trace(" type=0x%02x", t.id);
}

static int fake_failure(struct refusal *why)
{
    int r = fake.fail;

    fake.fail = 0;
    if (r < 0 && why && fake.fail_text) {
        why->reason = reason_from_text(slice_str(fake.fail_text));
        (void)snprintf(why->text, sizeof why->text, "%s", fake.fail_text);
    }
    return r;
}

/* -------------------------------------------------------------------------- core and endpoint */

int64_t core_now(const struct core *c)
{
    (void)c;
    return fake.now_ms;
}

int64_t core_wall(const struct core *c)
{
    (void)c;
    return fake.wall_ms;
}

void core_charge(struct core *c, int64_t delta)
{
    (void)c;
    fake.charged += delta;
}

bool core_short_of_memory(const struct core *c)
{
    (void)c;
    return fake.short_of_memory;
}

int core_endpoint_open(struct core *c, const struct endpoint_desc *d,
                       const struct endpoint_ops *ops, void *ctx, struct endpoint **ret)
{
    (void)c;
    (void)snprintf(fake.endpoint_name, sizeof fake.endpoint_name, "%s",
                   d->name ? d->name : ops->peer(ctx));
    fake.endpoint = (struct endpoint){ops, ctx};
    fake.endpoint_open = true;
    fake.manages = d->manages;
    *ret = &fake.endpoint;
    return 0;
}

void core_endpoint_set_manages(struct endpoint *ep, bool manages)
{
    (void)ep;
    fake.manages = manages;
}

void core_endpoint_close(struct endpoint *ep)
{
    if (!ep)
        return;
    trace("= endpoint closed\n");
    fake.endpoint_open = false;
    for (int i = 0; i < FAKE_MAX; i++)
        fake.publisher[i].open = fake.consumer[i].open = false;
}

void core_writable(struct endpoint *ep, bool writable)
{
    (void)ep;
    fake.full = !writable;
}

bool core_written(struct endpoint *ep, uint64_t position)
{
    (void)ep;
    fake.written = position;
    return true;
}

bool core_is_behind(const struct endpoint *ep)
{
    (void)ep;
    return fake.behind;
}

int core_barrier(struct endpoint *ep, uint64_t token)
{
    (void)ep;
    trace("= barrier %" PRIu64 "\n", token);
    fake.barrier = token;
    return fake_failure(NULL);
}

/* ------------------------------------------------------------------------------- publishing */

int core_publisher_open(struct endpoint *ep, enum publisher_kind kind, void *ctx,
                        struct publisher **ret)
{
    static const char *const names[] = {"forget", "once", "window"};
    struct publisher *p = &fake.publisher[fake.publishers % FAKE_MAX];

    p->number = ++fake.publishers;
    p->open = true;
    p->ctx = ctx;
    trace("= p%d opened %s\n", p->number, names[kind]);
    *ret = p;
    if (kind == PUBLISH_WINDOW && fake.grant_at_open)
        ep->ops->granted(ctx, fake.grant_at_open);
    return 0;
}

void core_publisher_close(struct publisher *p)
{
    if (!p || !p->open)
        return;
    p->open = false;
    trace("= p%d closed\n", p->number);
}

void core_publisher_makes_unbound(struct publisher *p)
{
    (void)p;
}

bool core_queue_known(const struct core *c, struct slice name)
{
    (void)c;
    return name.n && name.p[0] != '!';
}

void core_queue_remove(struct core *c, struct slice name)
{
    (void)c;
    trace("= remove %.*s\n", (int)name.n, (const char *)name.p);
}

void core_publisher_never_hold(struct publisher *p)
{
    trace("= p%d never-hold\n", p->number);
}

void core_publisher_last(struct publisher *p)
{
    (void)p; /* it hears at once in any case */
}

bool core_publisher_idle(const struct publisher *p)
{
    return !p->open;
}

static void trace_view(const struct msg_view *v)
{
    if (v->meta) {
        trace(" {");
        if (v->meta->ttl_ms)
            trace(" ttl=%" PRId64, v->meta->ttl_ms);
        if (v->meta->require)
            trace(" require");
        if (v->meta->dedup)
            trace(" dedup");
        if (v->meta->headers.n)
            trace(" headers=%zu", v->meta->headers.n);
        trace(" }");
    }
    if (v->len > 100)
        trace(" %" PRIu32 " bytes", v->len);
    else
        trace(" '%.*s'", (int)v->len, (const char *)v->data);
}

void core_foresee(struct core *c, const struct slice *topics, unsigned n)
{
    (void)c, (void)topics, (void)n; /* nothing may depend on it */
}

int core_may_publish(const struct endpoint *ep, const struct target *to, struct refusal *ret_why)
{
    (void)ep;
    (void)to;
    (void)ret_why;
    return 0;
}

int core_publish(struct publisher *p, const struct target *to, const struct run *run,
                 struct refusal *ret_why)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < run->n; i++)
        bytes += run->v[i].len;
    if (bytes != run->bytes || run->n == 0 || run->n > DOOR_VIEWS || !p->open)
        abort();
    for (uint32_t i = 0; i < run->n; i++) {
        if (i == 0 || !fake.show_runs) {
            trace("= p%d publish", p->number);
            if (to && i == 0)
                trace_slice(to->is_queue ? "queue" : "topic", to->name);
            trace_type(run->type);
        }
        trace_view(&run->v[i]);
        if (i + 1 == run->n || !fake.show_runs)
            trace("\n");
    }
    return fake_failure(ret_why);
}

/* -------------------------------------------------------------------------------- consuming */

int core_attach(struct endpoint *ep, const struct consume_options *o, void *ctx,
                struct consumer **ret, struct refusal *ret_why)
{
    struct consumer *k = &fake.consumer[fake.consumers % FAKE_MAX];

    (void)ep;
    k->number = ++fake.consumers;
    trace("= k%d attach", k->number);
    trace_slice("queue", o->queue);
    for (unsigned i = 0; i < o->filters_n; i++)
        trace_slice("filter", o->filters[i]);
    if (o->manual_ack)
        trace(" manual");
    if (o->headers.n)
        trace(" headers=%zu", o->headers.n);
    trace(" credit=%" PRIu64 "\n", o->credit);
    k->ctx = ctx;
    k->open = fake.fail == 0;
    (void)snprintf(k->label, sizeof k->label, "%.*s",
                   (int)(o->queue.n ? o->queue.n : o->filters[0].n),
                   (const char *)(o->queue.n ? o->queue.p : o->filters[0].p));
    *ret = k;
    return fake_failure(ret_why);
}

const char *core_consumer_label(const struct consumer *k)
{
    return k->label;
}

void core_detach(struct consumer *k)
{
    if (!k || !k->open)
        return;
    k->open = false;
    trace("= k%d detach\n", k->number);
}

void core_grant(struct consumer *k, uint64_t n)
{
    trace("= k%d grant %" PRIu64 "\n", k->number, n);
}

int core_ack(struct consumer *k, uint64_t first, uint32_t count, enum ack_verb verb,
             uint32_t arg_ms)
{
    trace("= k%d ack %d %" PRIu64 "+%" PRIu32 " arg=%" PRIu32 "\n", k->number, verb, first, count,
          arg_ms);
    return fake_failure(NULL);
}

/* ------------------------------------------------------------------------------------ calls */

static void fake_end_call(struct call *call)
{
    call->open = false;
    call->ops->closed(call->ctx);
}

int core_call_open(struct endpoint *ep, const struct call_request *r, const struct call_ops *ops,
                   void *ctx, struct call **ret, struct refusal *ret_why)
{
    static const char *const models[] = {" fnf", "", "", " channel"};
    struct call *call = &fake.call[fake.calls % FAKE_MAX];

    (void)ep;
    fake.calls++;
    trace("= call%s", models[r->model]);
    trace_slice("service", r->service);
    trace_slice("method", r->method);
    trace_slice("data", r->first.data);
    if (r->first.headers.n)
        trace(" headers=%zu", r->first.headers.n);
    if (r->wait_ms >= 0)
        trace(" wait=%" PRId64, r->wait_ms);
    trace(" credit=%" PRIu64 "%s\n", r->model == CALL_RESPONSE ? 1 : r->credit,
          r->complete ? " complete" : "");
    *ret = NULL;
    if (fake.fail < 0)
        return fake_failure(ret_why);
    if (r->model == CALL_FNF)
        return 0;
    *call = (struct call){true, ctx, ops, (uint8_t)r->model, 0};
    if (fake.answer_at_once) {
        const struct call_payload p = {.data = SLICE("{}"), .type = {.id = 5}};

        ops->next(ctx, &p, true);
        fake_end_call(call);
        return 0;
    }
    *ret = call;
    return 0;
}

int core_call_next(struct call *call, const struct call_payload *p, bool complete)
{
    trace("= call next");
    trace_slice("data", p->data);
    if (p->headers.n)
        trace(" headers=%zu", p->headers.n);
    trace("%s\n", complete ? " complete" : "");
    if (fake.fail < 0)
        return fake_failure(NULL);
    if (complete && call->model != CALL_CHANNEL)
        fake_end_call(call);
    return 0;
}

void core_call_complete(struct call *call)
{
    trace("= call complete\n");
    if (call->model != CALL_CHANNEL)
        fake_end_call(call);
}

void core_call_request_n(struct call *call, uint64_t n)
{
    (void)call;
    trace("= call grant %" PRIu64 "\n", n);
}

void core_call_cancel(struct call *call)
{
    trace("= call cancelled\n");
    fake_end_call(call);
}

void core_call_error(struct call *call, const struct call_error *e)
{
    trace("= call error 0x%" PRIx32, e->code);
    trace_slice("text", e->text);
    trace("\n");
    fake_end_call(call);
}

void core_call_refuse(struct call *call, const struct refusal *why, bool partly)
{
    trace("= call refused %d %s\n", partly, why->text);
    fake_end_call(call);
}

void core_call_close(struct call *call)
{
    if (!call || !call->open)
        return;
    call->open = false;
    trace("= call closed\n");
}

void core_call_accept(struct call *call, const struct call_ops *ops, void *ctx, uint64_t position)
{
    call->open = true;
    call->ops = ops;
    call->ctx = ctx;
    call->position = position;
}

int core_serve(struct endpoint *ep, struct slice service, const struct server_ops *ops,
               void *server_ctx, struct server **ret, struct refusal *ret_why)
{
    struct server *s = &fake.server[fake.servers++ % FAKE_MAX];

    (void)ep;
    trace("= serve");
    trace_slice("service", service);
    trace("\n");
    if (fake.fail < 0)
        return fake_failure(ret_why);
    *s = (struct server){.open = true, .ctx = server_ctx, .ops = ops};
    snprintf(s->name, sizeof s->name, "%.*s", (int)service.n, (const char *)service.p);
    *ret = s;
    return 0;
}

void core_unserve(struct server *s)
{
    if (!s || !s->open)
        return;
    s->open = false;
    trace("= unserve %s\n", s->name);
}

struct slice core_server_name(const struct server *s)
{
    return slice_str(s->name);
}

int core_serve_own(struct core *c, const char *service, const struct server_ops *ops,
                   void *server_ctx)
{
    (void)c, (void)service, (void)ops, (void)server_ctx;
    return 0;
}

#endif
