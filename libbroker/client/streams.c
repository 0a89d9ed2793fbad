/* Streams: their ids, and the way of a frame to the one that owns its stream. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libbroker/client/client.h"

enum { BUCKETS_MIN = 64 };

int cl_streams_init(struct cl_streams *s)
{
    memset(s, 0, sizeof *s);
    s->next_id = 1;
    s->n_buckets = BUCKETS_MIN;
    s->bucket = calloc(s->n_buckets, sizeof(struct cl_stream *));
    return s->bucket ? BROKER_OK : BROKER_NO_MEMORY;
}

void cl_streams_fini(struct cl_streams *s)
{
    free(s->bucket);
    memset(s, 0, sizeof *s);
}

static struct cl_stream **bucket_of(const struct cl_streams *s, uint32_t id)
{
    return &s->bucket[(id >> 1) & (s->n_buckets - 1)];
}

struct cl_stream *cl_stream_find(struct cl_streams *s, uint32_t id)
{
    struct cl_stream *st = s->last_used;

    if (st && st->id == id)
        return st;
    for (st = *bucket_of(s, id); st && st->id != id; st = st->next)
        ;
    if (st)
        s->last_used = st;
    return st;
}

/* Twice the buckets; without memory the chains just grow longer. */
static void grow(struct cl_streams *s)
{
    struct cl_stream **old = s->bucket,
                     **new = calloc(s->n_buckets * 2, sizeof(struct cl_stream *));
    size_t n = s->n_buckets;

    if (!new)
        return;
    s->bucket = new;
    s->n_buckets *= 2;
    for (size_t i = 0; i < n; i++) {
        for (struct cl_stream *st = old[i], *next; st; st = next) {
            struct cl_stream **b = bucket_of(s, st->id);

            next = st->next;
            st->next = *b;
            *b = st;
        }
    }
    free(old);
}

uint32_t cl_stream_id(broker *b)
{
    struct cl_streams *s = &b->streams;

    for (size_t tries = 0; tries <= s->count; tries++) { /* one of count + 1 ids is free */
        uint32_t id = s->next_id;

        s->next_id = id >= RS_STREAM_MAX - 1 ? 1 : id + 2;
        if (!cl_stream_find(s, id))
            return id;
    }
    return 0;
}

static void enter(struct cl_streams *s, struct cl_stream *st, uint32_t id)
{
    struct cl_stream **bucket;

    if (s->count >= s->n_buckets)
        grow(s);
    st->id = id;
    reassembly_init(&st->re);
    bucket = bucket_of(s, id);
    st->next = *bucket;
    *bucket = st;
    s->count++;
}

int cl_stream_open(broker *b, struct cl_stream *st)
{
    uint32_t id = cl_stream_id(b);

    if (id == 0)
        return BROKER_NO_CREDIT;
    enter(&b->streams, st, id);
    return BROKER_OK;
}

int cl_stream_accept(broker *b, struct cl_stream *st, uint32_t id)
{
    if (id % 2 != 0 || cl_stream_find(&b->streams, id))
        return BROKER_PROTOCOL;
    enter(&b->streams, st, id);
    return BROKER_OK;
}

void cl_stream_close(broker *b, struct cl_stream *st)
{
    struct cl_streams *s = &b->streams;
    struct cl_stream **at;

    if (st->id == 0)
        return;
    for (at = bucket_of(s, st->id); *at != st; at = &(*at)->next)
        ;
    *at = st->next;
    s->count--;
    if (s->last_used == st)
        s->last_used = NULL;
    reassembly_fini(&st->re);
    st->id = 0;
}

void cl_streams_reset(broker *b)
{
    b->streams.next_id = 1;
}

static void to_owner(broker *b, struct cl_stream *st, const struct rs_frame *f)
{
    switch (st->kind) {
    case CL_REQUEST:
        cl_request_frame(b, st, f);
        break;
    case CL_SUBSCRIPTION:
        cl_subscription_frame(b, st, f);
        break;
    case CL_PUBLISHER:
        cl_publisher_frame(b, st, f);
        break;
    case CL_CALL:
        cl_call_frame(b, st, f);
        break;
    case CL_SERVICE:
        cl_service_frame(b, st, f);
        break;
    }
}

/* The owner is told of what we cannot take as of an error that the broker sent. */
static void break_off(broker *b, struct cl_stream *st, const char *text)
{
    struct rs_frame f = {.stream = st->id, .type = RS_ERROR, .number = RS_INVALID};

    if (st->kind == CL_CALL) {
        cl_call_break(b, st, text);
        return;
    }
    (void)cl_send_cancel(b, st->id);
    f.data = slice_str(text);
    to_owner(b, st, &f);
}

static void payload(broker *b, struct cl_stream *st, const struct rs_frame *f)
{
    struct rs_frame whole;
    struct block *own;

    if (!reassembly_active(&st->re) && !rs_is_followed(f)) {
        to_owner(b, st, f);
        return;
    }
    switch (reassembly_add(&st->re, f, b->opt.o.max_message + CL_METADATA_MAX, &whole)) {
    case REASSEMBLY_MORE:
        break;
    case REASSEMBLY_DONE:
        own = reassembly_take(&st->re); /* the owner may close the stream meanwhile */
        to_owner(b, st, &whole);
        block_unref(own);
        break;
    case -EMSGSIZE:
        break_off(b, st, "too-large: a message is larger than this client's max_message");
        break;
    case -ENOMEM:
        break_off(b, st, "memory: this client has no memory for a message");
        break;
    default:
        break_off(b, st, "invalid: broken fragments from the broker");
        break;
    }
}

void cl_stream_frame(broker *b, const struct rs_frame *f)
{
    struct cl_stream *st = cl_stream_find(&b->streams, f->stream);

    if (!st) /* finished on our side: its last frames cross ours */
        return;
    if (f->type == RS_PAYLOAD || rs_is_request(f->type))
        payload(b, st, f);
    else if (f->type == RS_ERROR || f->type == RS_REQUEST_N || f->type == RS_CANCEL)
        to_owner(b, st, f);
}

int cl_send_cut(broker *b, const struct rs_frame *f)
{
    uint32_t max_frame = (uint32_t)b->opt.o.max_frame;
    size_t size = rs_fragmented_size(f, max_frame);
    uint8_t *p = cl_ctl_reserve(b, size);

    if (!p)
        return BROKER_NO_MEMORY;
    rs_put_fragmented(p, f, max_frame);
    cl_ctl_commit(b, size);
    return BROKER_OK;
}

int cl_send_request(broker *b, enum rs_type type, uint32_t id, uint32_t n, struct slice metadata,
                    struct slice data)
{
    struct rs_frame f = {.stream = id, .type = (uint8_t)type, .number = n, .has_metadata = true};

    f.metadata = metadata;
    f.data = data;
    return cl_send_cut(b, &f);
}

int cl_send_request_n(broker *b, uint32_t id, uint32_t n)
{
    uint8_t *p = cl_ctl_reserve(b, RS_REQUEST_N_SIZE);

    if (!p)
        return BROKER_NO_MEMORY;
    rs_put_request_n(p, id, n);
    cl_ctl_commit(b, RS_REQUEST_N_SIZE);
    return BROKER_OK;
}

int cl_send_cancel(broker *b, uint32_t id)
{
    uint8_t *p = cl_ctl_reserve(b, RS_CANCEL_SIZE);

    if (!p)
        return BROKER_NO_MEMORY;
    rs_put_cancel(p, id);
    cl_ctl_commit(b, RS_CANCEL_SIZE);
    return BROKER_OK;
}

int cl_send_cancel_if_open(broker *b, const struct cl_stream *st)
{
    return st->id != 0 ? cl_send_cancel(b, st->id) : BROKER_OK;
}

int cl_error_of(const struct rs_frame *f, int *ret_reason, char *buf)
{
    size_t n = f->data.n < CL_TEXT_MAX - 1 ? f->data.n : CL_TEXT_MAX - 1;

    if (n > 0)
        memcpy(buf, f->data.p, n);
    buf[n] = '\0';
    *ret_reason = broker_reason_of(buf);
    return f->number == RS_REJECTED || f->number == RS_INVALID ? BROKER_REFUSED : BROKER_FAILED;
}
