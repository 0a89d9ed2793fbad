#include "brokerd/doors/rsocket/serve.h"

#include "brokerd/doors/rsocket/lease.h"
#include "brokerd/doors/rsocket/send.h"
#include "brokerd/doors/server.h"
#include "libbroker/base/name.h"
#include "libbroker/wire/composite.h"
#include "libbroker/wire/rsocket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* -------------------------------------------------------------------------------- our requests */

static int serve_room(void *ctx, struct refusal *why)
{
    const struct peer *c = ((struct serving *)ctx)->peer;
    const struct server_load load = {c->over || c->draining, c->rare->servings->calls};
    int err = server_check(c->link, load, why);

    if (err < 0)
        return err;
    if (!lease_may_request(c)) {
        refuse(why, REASON_LIMIT, "the server's lease is used up");
        return -EAGAIN;
    }
    return 0;
}

/* 2, 4, 6 ..; after the last it begins anew, past those in use. */
static uint32_t next_id(struct peer *c)
{
    uint32_t *id = &c->rare->servings->last_id;

    do
        *id = *id >= RS_STREAM_MAX - 1 ? 2 : *id + 2;
    while (streams_find(&c->streams, *id));
    return *id;
}

static uint8_t frame_type(enum call_model model)
{
    switch (model) {
    case CALL_FNF:
        return RS_REQUEST_FNF;
    case CALL_RESPONSE:
        return RS_REQUEST_RESPONSE;
    case CALL_STREAM:
        return RS_REQUEST_STREAM;
    case CALL_CHANNEL:
        break;
    }
    return RS_REQUEST_CHANNEL;
}

static void write_request(struct peer *c, uint32_t id, const struct call_request *r)
{
    char route[ROUTING_TAG_MAX + 1];
    int n = snprintf(route, sizeof route, "call/%.*s/%.*s", (int)r->service.n,
                     (const char *)r->service.p, (int)r->method.n, (const char *)r->method.p);
    struct rs_frame f = {
        .stream = id,
        .type = frame_type(r->model),
        .flags = r->complete ? RS_COMPLETE : 0,
        .number = r->credit < RS_N_MAX ? (uint32_t)r->credit : RS_N_MAX,
        .data = r->first.data,
    };
    uint8_t *made;

    f.has_metadata = calls_metadata(c, &r->first, slice_of(route, (size_t)n), &f.metadata, &made);
    send_request(c, &f, r->first.block);
    lease_used(c);
    free(made);
}

static int serve_call(void *ctx, struct call *call, const struct call_request *r,
                      struct refusal *why)
{
    struct peer *c = ((struct serving *)ctx)->peer;
    struct call_stream *s;
    void *made;
    uint32_t id = next_id(c);
    int err;

    if (r->model == CALL_FNF) {
        write_request(c, id, r);
        return 0;
    }
    err = stream_try(c, id, STREAM_CALL, sizeof *s, &made, why);
    if (err < 0)
        return err;
    s = made;
    s->serving = true;
    s->model = (uint8_t)r->model;
    s->call = call;
    c->rare->servings->calls++;
    write_request(c, id, r);
    core_call_accept(call, &calls_ops, s, c->link->out.end);
    return 0;
}

/* --------------------------------------------------------------------------------- its services */

static void answer_serve(struct peer *c, uint32_t id)
{
    send_payload(c, id, &(struct payload){.flags = RS_NEXT | RS_COMPLETE});
    send_end(c);
}

/* The streams that asked for it are answered. */
static void serve_ready(void *ctx)
{
    struct serving *v = ctx;
    struct peer *c = v->peer;
    struct stream *s;
    uint32_t at = 0, n = c->streams.n;

    v->ready = true;
    while ((s = streams_next(&c->streams, &at)) != NULL) {
        if (s->kind != STREAM_SERVE || ((struct serve_stream *)s)->serving != v)
            continue;
        answer_serve(c, s->id);
        stream_end(s);
        if (c->streams.n != n) { /* the table may have shrunk: look again from the start */
            n = c->streams.n;
            at = 0;
        }
    }
}

static const struct server_ops server_ops = {
    .open = serve_call, .ready = serve_ready, .room = serve_room};

static struct serving *serving_find(const struct peer *c, struct slice service)
{
    const struct servings *all = c->rare->servings;

    for (struct list_node *n = all ? list_first(&all->all) : NULL; n; n = list_next(&all->all, n)) {
        struct serving *v = LIST_ITEM(n, struct serving, link);

        if (v->server && slice_eq(core_server_name(v->server), service))
            return v;
    }
    return NULL;
}

static struct serving *serving_new(struct peer *c)
{
    struct serving *v = calloc(1, sizeof *v);

    if (!v)
        return NULL;
    if (!c->rare->servings) {
        if (peer_rare(c))
            c->rare->servings = calloc(1, sizeof *c->rare->servings);
        if (!c->rare->servings) {
            free(v);
            return NULL;
        }
        list_init(&c->rare->servings->all);
    }
    v->peer = c;
    list_push_back(&c->rare->servings->all, &v->link);
    return v;
}

static void serving_free(struct serving *v)
{
    list_remove(&v->link);
    core_unserve(v->server);
    free(v);
}

static int serve(struct peer *c, struct slice service, struct serving **ret, struct refusal *why)
{
    struct serving *v = serving_find(c, service);
    int err;

    *ret = v;
    if (v)
        return 0;
    v = serving_new(c);
    if (!v) {
        refuse_memory(why);
        return -ENOMEM;
    }
    err = core_serve(c->link->endpoint, service, &server_ops, v, &v->server, why);
    if (err < 0) {
        serving_free(v);
        return err;
    }
    *ret = v;
    return 0;
}

int serve_begin(struct peer *c, struct slice service, struct refusal *ret_why)
{
    struct serving *v;

    return serve(c, service, &v, ret_why);
}

void serve_open(struct peer *c, uint32_t id, struct slice service)
{
    struct serve_stream *s = stream_new(c, id, STREAM_SERVE, sizeof *s);
    struct serving *v;
    struct refusal why;

    if (!s)
        return;
    if (serve(c, service, &v, &why) < 0) {
        stream_fail(&s->base, &why, false);
    } else if (v->ready) {
        answer_serve(c, id);
        stream_end(&s->base);
    } else {
        s->serving = v;
    }
}

/* Who still waits to hear that all know of `v` hears that it is over. */
static void fail_waiting(struct peer *c, const struct serving *v)
{
    struct refusal why;
    struct stream *s;
    uint32_t at = 0;

    refuse(&why, REASON_NOT_FOUND, "the service is served no more");
    while ((s = streams_next(&c->streams, &at)) != NULL) {
        if (s->kind != STREAM_SERVE || ((struct serve_stream *)s)->serving != v)
            continue;
        stream_fail(s, &why, false);
        at = 0; /* it has left the table, which may have shrunk */
    }
}

int serve_stop(struct peer *c, struct slice service, struct refusal *ret_why)
{
    struct serving *v = serving_find(c, service);

    if (!v) {
        refuse(ret_why, REASON_NOT_FOUND, "this connection does not serve that");
        return -ENOENT;
    }
    fail_waiting(c, v);
    serving_free(v);
    return 0;
}

void serve_drain(struct peer *c)
{
    struct list_node *n = c->rare->servings ? list_first(&c->rare->servings->all) : NULL;

    for (; n; n = list_next(&c->rare->servings->all, n)) {
        struct serving *v = LIST_ITEM(n, struct serving, link);

        core_unserve(v->server);
        v->server = NULL;
    }
}

void serve_end(struct peer *c)
{
    struct list_node *n;

    if (!c->rare->servings)
        return;
    while ((n = list_first(&c->rare->servings->all)) != NULL)
        serving_free(LIST_ITEM(n, struct serving, link));
    free(c->rare->servings);
    c->rare->servings = NULL;
}
