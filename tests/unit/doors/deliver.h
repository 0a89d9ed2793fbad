/* deliver.h - what the core tells a door's consumers and callers, for tests; after talk.h. */
#ifndef TESTS_UNIT_DOORS_DELIVER_H
#define TESTS_UNIT_DOORS_DELIVER_H

#include "libbroker/wire/reassembly.h"

/* What the core hands a consumer; fields left out have their usual values. */
struct delivered {
    const char *topic;
    const char *data[4];
    const char *type;   /* NULL: octet-stream; "": unknown */
    const char *header; /* NAME:VALUE of the first message, or NULL */
    uint32_t attempt;   /* 0: 1 */
    const struct gap *gaps;
    unsigned gaps_n;
};

static struct topic *topic_of(const char *name)
{
    struct topic *t = calloc(1, sizeof *t + strlen(name) + 1);

    ck_assert_ptr_nonnull(t);
    t->len = (uint16_t)strlen(name);
    memcpy(t->name, name, strlen(name));
    return t;
}

static struct ctype type_of(const char *name)
{
    int id;

    if (!name)
        return (struct ctype){.id = MIME_OCTET_STREAM};
    if (!*name)
        return (struct ctype){.id = CTYPE_NONE};
    id = mime_id(slice_str(name));
    return id >= 0 ? (struct ctype){.id = (uint8_t)id}
                   : (struct ctype){.id = CTYPE_NAMED, .name = slice_str(name)};
}

static void hand_over(int consumer, struct delivery *d)
{
    uint64_t end = fake.endpoint.ops->deliver(fake.consumer[consumer - 1].ctx, d);

    ck_assert_uint_gt(end, 0);
}

static void deliver(int consumer, struct delivered d)
{
    struct topic *topic = topic_of(d.topic);
    struct msg_view v[4] = {0};
    struct msg_meta meta = {.type = type_of(d.type)};
    uint8_t headers[256];
    struct delivery out = {.topic = topic,
                           .run = {.v = v, .type = meta.type},
                           .attempt = d.attempt ? d.attempt : 1,
                           .gaps = d.gaps,
                           .gaps_n = d.gaps_n,
                           .first = 1,
                           .seq = 41,
                           .id = 900,
                           .time_ms = INT64_C(1795387034007)};

    for (; out.run.n < 4 && d.data[out.run.n]; out.run.n++) {
        v[out.run.n].data = (const uint8_t *)d.data[out.run.n];
        v[out.run.n].len = (uint32_t)strlen(d.data[out.run.n]);
        out.run.bytes += v[out.run.n].len;
    }
    if (d.header) {
        const char *colon = strchr(d.header, ':');
        uint8_t *end = headers_put(headers, slice_of(d.header, (size_t)(colon - d.header)),
                                   slice_str(colon + 1));

        meta.headers = slice_of(headers, (size_t)(end - headers));
        v[0].meta = &meta;
    }
    hand_over(consumer, &out);
    free(topic);
}

static void deliver_run(int consumer, const char *topic, const struct msg_view *v, uint32_t n,
                        uint64_t offer, uint8_t head_room)
{
    struct topic *t = topic_of(topic);
    struct delivery d = {.topic = t,
                         .run = {.v = v, .n = n, .type = type_of(NULL), .head_room = head_room},
                         .offer = offer,
                         .attempt = 1,
                         .first = 1};

    for (uint32_t i = 0; i < n; i++)
        d.run.bytes += v[i].len;
    hand_over(consumer, &d);
    free(t);
}

static void deliver_views(int consumer, const char *topic, const struct msg_view *v, uint32_t n)
{
    deliver_run(consumer, topic, v, n, 0, 0);
}

/* One message of `n` bytes that lie in `b`; `by_reference`: the door may refer to it. */
static void deliver_block(int consumer, const char *topic, struct block *b, size_t n,
                          bool by_reference)
{
    struct msg_view v = {.data = b->bytes, .len = (uint32_t)n, .block = by_reference ? b : NULL};

    deliver_views(consumer, topic, &v, 1);
}

/* All output, in one piece of *ret_n bytes; the caller frees it. */
static uint8_t *drink(struct talk *t, size_t *ret_n)
{
    uint8_t *all = malloc(t->link.out.pending + 1);
    struct iovec iov;
    size_t n = 0;

    ck_assert_ptr_nonnull(all);
    while (t->link.out.pending > 0) {
        ck_assert_int_eq(out_peek(&t->link.out, &iov, 1), 1);
        memcpy(all + n, iov.iov_base, iov.iov_len);
        n += iov.iov_len;
        out_consume(&t->link.out, iov.iov_len);
    }
    *ret_n = n;
    return all;
}

/* Exactly one message was written on `stream`, in as many frames as it needs. */
static void expect_whole(struct talk *t, uint32_t stream, const char *topic, const uint8_t *data,
                         size_t n)
{
    struct reassembly r;
    struct rs_frame f, whole;
    const char *why = "";
    size_t all_n, used, at = 0;
    uint8_t *all = drink(t, &all_n), want[300];
    int answer = REASSEMBLY_MORE;

    reassembly_init(&r);
    while (answer == REASSEMBLY_MORE) {
        ck_assert_int_eq(rs_decode(t->host.limits.frame_max, all + at, all_n - at, &f, &used, &why),
                         WIRE_FRAME);
        ck_assert_uint_eq(f.stream, stream);
        at += used;
        answer = reassembly_add(&r, &f, 64 << 20, &whole);
    }
    ck_assert_int_eq(answer, REASSEMBLY_DONE);
    ck_assert_uint_eq(at, all_n);
    ck_assert_int_eq(whole.flags & (RS_NEXT | RS_COMPLETE), RS_NEXT);
    ck_assert(
        slice_eq(whole.metadata,
                 slice_of(want, (size_t)(composite_put_route(want, slice_str(topic)) - want))));
    ck_assert(slice_eq(whole.data, slice_of(data, n)));
    reassembly_fini(&r);
    free(all);
}

/* Exactly these messages were written on `stream`, with no metadata but the topic. */
static void expect_views(struct talk *t, uint32_t stream, const char *topic,
                         const struct msg_view *v, uint32_t n)
{
    size_t all_n, used, at = 0;
    uint8_t *all = drink(t, &all_n), route[300];
    struct slice metadata = slice_of(route, 0);
    struct rs_frame f;
    const char *why = "";

    if (topic)
        metadata.n = (size_t)(composite_put_route(route, slice_str(topic)) - route);

    for (uint32_t i = 0; i < n; i++) {
        ck_assert_int_eq(rs_decode(t->host.limits.frame_max, all + at, all_n - at, &f, &used, &why),
                         WIRE_FRAME);
        at += used;
        ck_assert_uint_eq(f.stream, stream);
        ck_assert(slice_eq(f.metadata, metadata));
        ck_assert(slice_eq(f.data, slice_of(v[i].data, v[i].len)));
    }
    ck_assert_uint_eq(at, all_n);
    free(all);
}

/* ------------------------------------------------------------------------------------ calls */

static void reply(int call, const char *data, const char *type)
{
    struct call *k = &fake.call[call - 1];
    const struct call_payload p = {.data = slice_str(data), .type = type_of(type)};

    k->ops->next(k->ctx, &p, k->model == CALL_RESPONSE);
    if (k->model == CALL_RESPONSE)
        fake_end_call(k);
}

static void end_call(int call)
{
    fake.call[call - 1].ops->complete(fake.call[call - 1].ctx);
    fake_end_call(&fake.call[call - 1]);
}

static void refuse_call(int call, uint32_t code, const char *text)
{
    const struct call_error e = {code, reason_from_text(slice_str(text)), slice_str(text)};

    fake.call[call - 1].ops->error(fake.call[call - 1].ctx, &e);
    fake_end_call(&fake.call[call - 1]);
}

#endif
