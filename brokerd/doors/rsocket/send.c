#include "brokerd/doors/rsocket/send.h"

#include "brokerd/doors/rsocket/session.h"
#include "libbroker/wire/rsocket.h"

uint32_t send_frame_max(const struct peer *c)
{
    uint32_t max = c->link->host->limits.frame_max;

    if (max < RS_FRAGMENT_MIN)
        return RS_FRAGMENT_MIN;
    return max < RS_FRAME_MAX ? max : RS_FRAME_MAX;
}

void send_end(struct peer *c)
{
    out_end(&c->link->out);
}

static void commit(struct peer *c, const uint8_t *from, const uint8_t *to)
{
    out_commit(&c->link->out, (size_t)(to - from));
}

static uint8_t *put(uint8_t *p, struct slice s)
{
    if (s.n)
        memcpy(p, s.p, s.n);
    return p + s.n;
}

/* One fragment, or a whole frame: its head and metadata, then the data by copy or reference. */
static void send_fragment(struct peer *c, const struct rs_fragment *f, struct block *block)
{
    struct out *o = &c->link->out;
    bool refer = block && f->data.n >= OUT_BY_REFERENCE;
    uint8_t *start = out_reserve(o, f->head_n + f->metadata.n + (refer ? 0 : f->data.n)), *p;

    if (!start)
        return;
    p = put(start, slice_of(f->head, f->head_n));
    p = put(p, f->metadata);
    if (!refer)
        p = put(p, f->data);
    commit(c, start, p);
    if (refer)
        (void)out_block(o, block, f->data); /* the output knows when it is broken */
}

void send_payload(struct peer *c, uint32_t id, const struct payload *p)
{
    struct rs_frame frame = {
        .stream = id,
        .type = RS_PAYLOAD,
        .flags = p->flags,
        .has_metadata = p->has_metadata,
        .metadata = p->metadata,
        .data = p->data,
    };
    struct rs_fragmenter cut;
    struct rs_fragment fragment;

    rs_fragmenter_init(&cut, &frame, send_frame_max(c));
    while (rs_fragmenter_next(&cut, &fragment))
        send_fragment(c, &fragment, p->block);
}

void send_request(struct peer *c, const struct rs_frame *f, struct block *block)
{
    struct rs_fragmenter cut;
    struct rs_fragment fragment;

    rs_fragmenter_init(&cut, f, send_frame_max(c));
    while (rs_fragmenter_next(&cut, &fragment))
        send_fragment(c, &fragment, block);
    send_end(c);
}

void send_complete(struct peer *c, uint32_t id)
{
    uint8_t *start = out_reserve(&c->link->out, RS_PAYLOAD_HEAD_SIZE);

    if (start)
        commit(c, start, rs_put_payload_head(start, id, RS_COMPLETE, 0));
    send_end(c);
}

/* Where frames of stream 0 go; NULL: nowhere. */
static struct out *past(struct peer *c)
{
    return c->resumable ? session_past(c) : &c->link->out;
}

/* Write a whole frame, which can be encoded. */
static void send_past(struct peer *c, const struct rs_frame *f)
{
    struct out *o = past(c);
    uint8_t *start = o ? out_reserve(o, rs_size(f)) : NULL;

    if (start)
        out_commit(o, (size_t)(rs_put(start, f) - start));
    if (o)
        out_end(o);
}

void send_error(struct peer *c, uint32_t id, uint32_t code, struct slice text)
{
    struct out *o = id ? &c->link->out : past(c);
    uint8_t *start = o ? out_reserve(o, rs_error_size(text.n)) : NULL;

    if (start)
        out_commit(o, (size_t)(rs_put_error(start, id, code, text) - start));
    if (o)
        out_end(o);
}

void send_request_n(struct peer *c, uint32_t id, uint32_t n)
{
    uint8_t *start = out_reserve(&c->link->out, RS_REQUEST_N_SIZE);

    if (start)
        commit(c, start, rs_put_request_n(start, id, n));
    send_end(c);
}

void send_cancel(struct peer *c, uint32_t id)
{
    uint8_t *start = out_reserve(&c->link->out, RS_CANCEL_SIZE);

    if (start)
        commit(c, start, rs_put_cancel(start, id));
    send_end(c);
}

void send_keepalive(struct peer *c, uint16_t flags, struct slice data)
{
    uint64_t position = c->resumable ? session_position(c) : 0;

    send_past(c, &(struct rs_frame){
                     .type = RS_KEEPALIVE, .flags = flags, .position = position, .data = data});
}

void send_lease(struct peer *c, uint32_t ttl_ms, uint32_t requests)
{
    send_past(c, &(struct rs_frame){.type = RS_LEASE, .number = ttl_ms, .count = requests});
}

void send_resume_ok(struct peer *c, uint64_t position)
{
    send_past(c, &(struct rs_frame){.type = RS_RESUME_OK, .position = position});
}
