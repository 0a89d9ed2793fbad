#include "brokerd/doors/rsocket/calls.h"

#include "brokerd/doors/rsocket/meta.h"
#include "brokerd/doors/rsocket/send.h"
#include "libbroker/wire/composite.h"

#include <errno.h>

static void on_next(void *ctx, struct slice data, struct ctype type)
{
    struct call_stream *s = ctx;
    struct peer *c = s->base.peer;
    uint8_t item[4 + 1 + COMPOSITE_NAME_MAX];
    struct payload p = {.flags = RS_NEXT, .data = data};
    struct slice name = ctype_name(type);

    if (s->base.gone || s->answered)
        return;
    if (c->metadata == METADATA_COMPOSITE && !ctype_eq(type, peer_type(c)) &&
        composite_data_type_size(name) > 0) {
        p.has_metadata = true;
        p.metadata = slice_of(item, (size_t)(composite_put_data_type(item, name) - item));
    }
    if (s->once) {
        s->answered = true;
        p.flags |= RS_COMPLETE;
    }
    send_payload(c, s->base.id, &p);
    send_end(c);
}

static void on_complete(void *ctx)
{
    struct call_stream *s = ctx;

    s->call = NULL;
    if (s->base.gone)
        return;
    if (!s->answered)
        send_complete(s->base.peer, s->base.id);
    stream_end(&s->base);
}

static void on_refused(void *ctx, const struct refusal *why)
{
    struct call_stream *s = ctx;

    s->call = NULL;
    if (s->answered)
        stream_end(&s->base);
    else
        stream_fail(&s->base, why, false);
}

void calls_open(struct peer *c, const struct call_request *r)
{
    static const struct call_ops ops = {on_next, on_complete, on_refused};
    struct call_stream *s = stream_new(c, r->id, STREAM_CALL, sizeof *s);
    struct refusal why = {REASON_NONE, ""};
    struct call *call = NULL;
    int err;

    if (!s)
        return;
    s->once = r->frame->type == RS_REQUEST_RESPONSE;
    err = core_call_open(c->link->endpoint, r->service, r->method, r->frame->data,
                         s->once ? 1 : r->frame->number, &ops, s, &call, &why);
    if (err == -ENOMEM)
        refuse_memory(&why);
    if (err < 0)
        stream_fail(&s->base, &why, false);
    else
        s->call = call; /* NULL if it was answered at once: then the stream has ended */
}

void calls_credit(struct call_stream *s, uint32_t n)
{
    if (s->call && !s->once)
        core_call_grant(s->call, n);
}

void calls_cancel(struct call_stream *s)
{
    core_call_cancel(s->call);
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
