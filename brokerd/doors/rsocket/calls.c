#include "brokerd/doors/rsocket/calls.h"

#include "brokerd/doors/rsocket/send.h"
#include "libbroker/base/headers.h"
#include "libbroker/wire/composite.h"
#include "libbroker/wire/rsocket.h"

#include <errno.h>
#include <stdlib.h>

/* ---------------------------------------------------------------------------------- metadata */

/* What kind of metadata a payload has: their addresses are what counts (call.h: form). */
static const char form_composite[] = "composite", form_routing[] = "routing";

static const void *form_of(const struct peer *c)
{
    switch ((enum peer_metadata)c->metadata) {
    case METADATA_COMPOSITE:
        return form_composite;
    case METADATA_ROUTING:
        return form_routing;
    case METADATA_OPAQUE:
        break;
    }
    return NULL;
}

static size_t made_size(const struct peer *c, const struct call_payload *p, struct slice route,
                        struct slice type)
{
    const struct mime headers = {.id = MIME_UNKNOWN, .name = SLICE(HEADERS_MIME)};
    size_t n = 0;

    if (c->metadata == METADATA_ROUTING)
        return route.n ? routing_tag_size(route.n) : 0;
    if (c->metadata == METADATA_OPAQUE)
        return 0;
    n += route.n ? composite_route_size(route.n) : 0;
    n += type.n ? composite_data_type_size(type) : 0;
    n += p->headers.n ? composite_size(&headers, p->headers.n) : 0;
    return n;
}

static void make_metadata(const struct peer *c, uint8_t *to, const struct call_payload *p,
                          struct slice route, struct slice type)
{
    const struct mime headers = {.id = MIME_UNKNOWN, .name = SLICE(HEADERS_MIME)};

    if (c->metadata == METADATA_ROUTING) {
        (void)routing_put_tag(to, route);
        return;
    }
    if (route.n)
        to = composite_put_route(to, route);
    if (type.n)
        to = composite_put_data_type(to, type);
    if (p->headers.n)
        (void)composite_put(to, &headers, p->headers);
}

bool calls_metadata(struct peer *c, const struct call_payload *p, struct slice route,
                    struct slice *ret, uint8_t **ret_made)
{
    struct slice type = ctype_eq(p->type, peer_type(c)) ? slice_of(NULL, 0) : ctype_name(p->type);
    size_t n;

    *ret_made = NULL;
    *ret = p->native;
    if (p->form && p->form == form_of(c))
        return p->native.p != NULL;
    if (composite_data_type_size(type) == 0)
        type.n = 0;
    n = made_size(c, p, route, type);
    if (n == 0)
        return false;
    *ret_made = malloc(n);
    if (!*ret_made) { /* what would be missing cannot be told: net closes it */
        c->link->out.broken = true;
        return false;
    }
    make_metadata(c, *ret_made, p, route, type);
    *ret = slice_of(*ret_made, n);
    return true;
}

/* What a frame of the peer carries. `m`: its metadata as they were understood. */
static struct call_payload payload_of(const struct peer *c, const struct rs_frame *f,
                                      struct block *block, const struct meta *m)
{
    struct slice native = f->metadata;

    if (!f->has_metadata)
        native.p = NULL;
    else if (!native.p)
        native.p = (const uint8_t *)"";
    return (struct call_payload){
        .data = f->data,
        .block = block,
        .type = m->type,
        .headers = m->headers,
        .form = form_of(c),
        .native = native,
    };
}

/* ------------------------------------------------------------------------ what the core tells */

static void pass_next(void *ctx, const struct call_payload *p, bool complete)
{
    struct call_stream *s = ctx;
    struct peer *c = s->base.peer;
    struct payload out = {.flags = RS_NEXT, .data = p->data, .block = p->block};
    uint8_t *made;

    if (s->base.gone)
        return;
    if (complete)
        out.flags |= RS_COMPLETE;
    out.has_metadata = calls_metadata(c, p, slice_of(NULL, 0), &out.metadata, &made);
    send_payload(c, s->base.id, &out);
    send_end(c);
    free(made);
}

static void pass_request_n(void *ctx, uint32_t n)
{
    struct call_stream *s = ctx;

    if (!s->base.gone && (s->serving || s->model == CALL_CHANNEL) && s->model != CALL_RESPONSE)
        send_request_n(s->base.peer, s->base.id, n);
}

static void pass_complete(void *ctx)
{
    struct call_stream *s = ctx;

    if (!s->base.gone)
        send_complete(s->base.peer, s->base.id);
}

static void pass_cancel(void *ctx)
{
    struct call_stream *s = ctx;

    if (!s->base.gone)
        send_cancel(s->base.peer, s->base.id);
}

static void pass_error(void *ctx, const struct call_error *e)
{
    struct call_stream *s = ctx;

    if (s->base.gone)
        return;
    if (s->serving && s->model != CALL_CHANNEL) /* only who may send may fail */
        send_cancel(s->base.peer, s->base.id);
    else
        send_error(s->base.peer, s->base.id, e->code, e->text);
}

static void pass_closed(void *ctx)
{
    struct call_stream *s = ctx;

    s->call = NULL;
    stream_end(&s->base);
}

const struct call_ops calls_ops = {pass_next,   pass_request_n, pass_complete,
                                   pass_cancel, pass_error,     pass_closed};

/* ----------------------------------------------------------------------------------- opening */

static enum call_model model_of(const struct rs_frame *f)
{
    switch (f->type) {
    case RS_REQUEST_FNF:
        return CALL_FNF;
    case RS_REQUEST_RESPONSE:
        return CALL_RESPONSE;
    case RS_REQUEST_STREAM:
        return CALL_STREAM;
    default:
        return CALL_CHANNEL;
    }
}

static void call_forget(struct peer *c, const struct call_request *r)
{
    struct refusal why;
    struct call *none;

    if (core_call_open(c->link->endpoint, r, NULL, NULL, &none, &why) < 0)
        peer_drop(c, &why);
}

static void open_stream(struct peer *c, uint32_t id, const struct call_request *r)
{
    struct call_stream *s = stream_new(c, id, STREAM_CALL, sizeof *s);
    struct refusal why = {REASON_NONE, ""};
    struct call *call = NULL;

    if (!s)
        return;
    s->model = (uint8_t)r->model;
    if (core_call_open(c->link->endpoint, r, &calls_ops, s, &call, &why) < 0)
        stream_fail(&s->base, &why, false);
    else
        s->call = call; /* NULL if it was answered at once: then the stream has ended */
}

void calls_open(struct peer *c, const struct call_route *r)
{
    struct call_request q = {
        .model = model_of(r->frame),
        .service = r->service,
        .method = r->method,
        .first = payload_of(c, r->frame, r->block, r->meta),
        .complete = r->frame->type == RS_REQUEST_CHANNEL && (r->frame->flags & RS_COMPLETE),
        .credit = r->frame->number,
    };
    struct refusal why = {REASON_NONE, ""};
    uint8_t *left = malloc(r->meta->headers.n + 1);
    struct options o;
    int err = -ENOMEM;

    if (left)
        err = options_read(r->meta->headers, OPTION_WAIT, left, &o, &why);
    else
        refuse_memory(&why);
    if (err < 0) {
        if (q.model != CALL_FNF)
            peer_refuse(c, r->id, &why, false);
        free(left);
        return;
    }
    q.first.headers = o.headers;
    q.wait_ms = o.wait_ms;
    if (q.model == CALL_FNF)
        call_forget(c, &q);
    else
        open_stream(c, r->id, &q);
    free(left);
}

/* ----------------------------------------------------------------------------- the peer's frames
 */

bool calls_take_payloads(const struct call_stream *s)
{
    return s->serving || s->model == CALL_CHANNEL;
}

void calls_violated(struct call_stream *s, const struct refusal *why)
{
    struct peer *c = s->base.peer;
    const struct call_error e = {CALL_CANCELED, why->reason, slice_str(why->text)};

    if (s->base.gone || !s->call)
        return;
    if (s->serving && s->model != CALL_CHANNEL)
        send_cancel(c, s->base.id);
    else
        peer_refuse(c, s->base.id, why, false);
    s->base.quiet = true;
    if (s->serving)
        core_call_error(s->call, &e);
    else
        core_call_cancel(s->call);
}

void calls_payload(struct call_stream *s, const struct rs_frame *f, struct block *block)
{
    struct call_payload p;
    struct refusal why;
    struct meta m;

    if (!s->call)
        return;
    if (!(f->flags & RS_NEXT)) {
        core_call_complete(s->call);
        return;
    }
    if (meta_read(s->base.peer, f->has_metadata, f->metadata, &m, &why) < 0)
        m = (struct meta){.type =
                              peer_type(s->base.peer)}; /* its own affair: they go on as they are */
    p = payload_of(s->base.peer, f, block, &m);
    if (core_call_next(s->call, &p, f->flags & RS_COMPLETE) == -ENOBUFS) {
        refuse(&why, REASON_INVALID, "a payload beyond the credit granted");
        calls_violated(s, &why);
    }
}

void calls_credit(struct call_stream *s, uint32_t n)
{
    if (s->call)
        core_call_request_n(s->call, n);
}

void calls_cancel(struct call_stream *s)
{
    if (s->call)
        core_call_cancel(s->call);
}

void calls_error(struct call_stream *s, uint32_t code, struct slice text)
{
    if (!s->call)
        return;
    if (s->serving || s->model == CALL_CHANNEL)
        core_call_error(s->call, &(struct call_error){code, REASON_NONE, text});
    else
        core_call_cancel(s->call);
}

void calls_close(struct call_stream *s)
{
    core_call_close(s->call);
    s->call = NULL;
}
/* ----------------------------------------------------------------------------------- barrier */

void calls_ping(struct peer *c, uint32_t id)
{
    struct stream *s = stream_new(c, id, STREAM_PING, sizeof *s);
    struct refusal why;

    if (s && core_barrier(c->link->endpoint, id) < 0) {
        refuse_memory(&why);
        stream_fail(s, &why, false);
    }
}

void calls_barrier(void *ctx, uint64_t token)
{
    struct peer *c = ctx;
    struct stream *s = streams_find(&c->streams, (uint32_t)token);

    if (!s || s->kind != STREAM_PING)
        return; /* cancelled meanwhile */
    send_payload(c, s->id, &(struct payload){.flags = RS_NEXT | RS_COMPLETE});
    send_end(c);
    stream_drop(s);
}
