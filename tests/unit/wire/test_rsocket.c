/* RSocket frames: the vectors of an independent decoder, malformed input, any frame there and
 * back, byte by byte as well as whole. */
#include "tests/unit/support.h"

#include "libbroker/wire/rsocket.h"

#define COMPOSITE "message/x.rsocket.composite-metadata.v0"
#define ROUTE_ORDERS "\xfe\0\0\x0b\x0aorders.new"

/* Frames without their TCP length, as other implementations write and read them. */
static const struct {
    const char *name, *bytes;
    struct rs_frame frame;
} vectors[] = {
    {"setup",
     "00000000 0400 0001 0000 00004e20 00015f90 27"
     "6d6573736167652f782e72736f636b65742e636f6d706f736974652d6d657461646174612e7630 10"
     "6170706c69636174696f6e2f6a736f6e",
     {.type = RS_SETUP,
      .setup = {.major = 1,
                .keepalive_ms = 20000,
                .lifetime_ms = 90000,
                .metadata_mime = SLICE(COMPOSITE),
                .data_mime = SLICE("application/json")}}},
    {"request-response with a route",
     "00000001 1100 00000f fe 00000b 0a 6f72646572732e6e6577 6869",
     {.stream = 1,
      .type = RS_REQUEST_RESPONSE,
      .flags = RS_METADATA,
      .has_metadata = true,
      .metadata = SLICE(ROUTE_ORDERS),
      .data = SLICE("hi")}},
    {"payload, next and complete",
     "00000001 2860 6f6b",
     {.stream = 1, .type = RS_PAYLOAD, .flags = RS_NEXT | RS_COMPLETE, .data = SLICE("ok")}},
    {"request-stream",
     "00000003 1900 00000002 00000f fe00000b0a6f72646572732e6e6577",
     {.stream = 3,
      .type = RS_REQUEST_STREAM,
      .flags = RS_METADATA,
      .number = 2,
      .has_metadata = true,
      .metadata = SLICE(ROUTE_ORDERS)}},
    {"request-n", "00000003 2000 0000000a", {.stream = 3, .type = RS_REQUEST_N, .number = 10}},
    {"cancel", "00000003 2400", {.stream = 3, .type = RS_CANCEL}},
    {"error of the application",
     "00000003 2c00 00000201 626f6f6d",
     {.stream = 3, .type = RS_ERROR, .number = RS_APPLICATION_ERROR, .data = SLICE("boom")}},
    {"setup rejected",
     "00000000 2c00 00000003 6e6f",
     {.type = RS_ERROR, .number = RS_REJECTED_SETUP, .data = SLICE("no")}},
    {"keepalive that asks",
     "00000000 0c80 0000000000000000",
     {.type = RS_KEEPALIVE, .flags = RS_RESPOND}},
    {"keepalive that answers", "00000000 0c00 0000000000000000", {.type = RS_KEEPALIVE}},
    {"lease", "00000000 0800 00001388 0000000a", {.type = RS_LEASE, .number = 5000, .count = 10}},
    {"metadata-push",
     "00000000 3100 6d",
     {.type = RS_METADATA_PUSH,
      .flags = RS_METADATA,
      .has_metadata = true,
      .metadata = SLICE("m")}},
    {"resume",
     "00000000 3400 0001 0000 0002 7431 0000000000000010 0000000000000000",
     {.type = RS_RESUME, .position = 16, .setup = {.major = 1, .token = SLICE("t1")}}},
    {"resume-ok", "00000000 3800 000000000000002a", {.type = RS_RESUME_OK, .position = 42}},
    {"empty metadata are not none",
     "00000005 2920 000000",
     {.stream = 5, .type = RS_PAYLOAD, .flags = RS_METADATA | RS_NEXT, .has_metadata = true}},
    {"an empty message", "00000005 2820", {.stream = 5, .type = RS_PAYLOAD, .flags = RS_NEXT}},
    {"extension",
     "00000007 fe00 00000009 7879",
     {.stream = 7, .type = RS_EXT, .flags = RS_IGNORE, .number = 9, .data = SLICE("xy")}},
};

static bool setup_eq(const struct rs_frame *a, const struct rs_frame *b)
{
    const struct rs_setup *x = &a->setup, *y = &b->setup;

    if (a->type != RS_SETUP && a->type != RS_RESUME)
        return true;
    return x->major == y->major && x->minor == y->minor && x->keepalive_ms == y->keepalive_ms &&
           x->lifetime_ms == y->lifetime_ms && slice_eq(x->token, y->token) &&
           slice_eq(x->metadata_mime, y->metadata_mime) && slice_eq(x->data_mime, y->data_mime);
}

static bool frame_eq(const struct rs_frame *a, const struct rs_frame *b)
{
    return a->stream == b->stream && a->type == b->type && a->flags == b->flags &&
           a->number == b->number && a->count == b->count && a->position == b->position &&
           a->first_position == b->first_position && a->has_metadata == b->has_metadata &&
           slice_eq(a->metadata, b->metadata) && slice_eq(a->data, b->data) && setup_eq(a, b);
}

/* `f` on TCP, in a block of its exact size. */
static struct slice encode(const struct rs_frame *f)
{
    size_t n = rs_size(f);
    uint8_t *p;

    ck_assert_uint_ne(n, 0);
    p = malloc(n);
    ck_assert_ptr_eq(rs_put(p, f), p + n);
    return slice_of(p, n);
}

START_TEST(vector_is_read)
{
    struct slice in = hex(vectors[_i].bytes);
    struct rs_frame f;
    const char *why = NULL;

    ck_assert_msg(rs_decode_body(in.p, in.n, &f, &why) == WIRE_FRAME, "%s: %s", vectors[_i].name,
                  why);
    ck_assert_msg(frame_eq(&f, &vectors[_i].frame), "%s", vectors[_i].name);
    free((void *)in.p);
}
END_TEST

START_TEST(vector_is_written)
{
    struct slice want = hex(vectors[_i].bytes), got = encode(&vectors[_i].frame);

    ck_assert_uint_eq(be_get_24(got.p), want.n);
    ck_assert_msg(slice_eq(slice_from(got, RS_TCP_LENGTH), want), "%s", vectors[_i].name);
    free((void *)want.p);
    free((void *)got.p);
}
END_TEST

/* Each row is one sentence: this input is bad, skippable as a whole or not, answered with. */
static const struct {
    const char *name, *bytes; /* with TCP length */
    size_t used;              /* 0: nothing after it can be trusted */
    uint32_t code;
    bool ignore; /* the I flag was seen */
} malformed[] = {
    {"no room for a header", "000005 0000000128", 0, RS_CONNECTION_ERROR, false},
    {"a length of 0", "000000", 0, RS_CONNECTION_ERROR, false},
    {"a length over the limit, before the frame is there", "000101", 0, RS_CONNECTION_ERROR, false},
    {"request-n cut short", "000009 00000001 2000 00000a", 12, RS_CONNECTION_ERROR, false},
    {"request-stream cut short", "000006 00000001 1800", 9, RS_CONNECTION_ERROR, false},
    {"error without a code", "000007 00000001 2c00 00", 10, RS_CONNECTION_ERROR, false},
    {"lease cut short", "00000a 00000000 0800 00000001", 13, RS_CONNECTION_ERROR, false},
    {"keepalive cut short", "00000d 00000000 0c80 00000000000000", 16, RS_CONNECTION_ERROR, false},
    {"extension cut short", "000008 00000001 fc00 0000", 11, RS_CONNECTION_ERROR, false},
    {"metadata length cut short", "000008 00000001 2920 0000", 11, RS_CONNECTION_ERROR, false},
    {"metadata one longer than the frame", "00000b 00000001 2920 000003 6161", 14,
     RS_CONNECTION_ERROR, false},
    {"the same, but it may be ignored", "00000b 00000001 2b20 000003 6161", 14, RS_CONNECTION_ERROR,
     true},
    {"setup without fields", "000006 00000000 0400", 9, RS_INVALID_SETUP, false},
    {"setup with keepalive 0", "000014 00000000 0400 0001 0000 00000000 00000001 0000", 23,
     RS_INVALID_SETUP, false},
    {"setup with lifetime 0", "000014 00000000 0400 0001 0000 00000001 80000000 0000", 23,
     RS_INVALID_SETUP, false},
    {"setup with a token cut short", "000015 00000000 0480 0001 0000 00000001 00000001 0002 61", 24,
     RS_INVALID_SETUP, false},
    {"setup with a MIME type cut short", "000014 00000000 0400 0001 0000 00000001 00000001 0261",
     23, RS_INVALID_SETUP, false},
    {"setup without a data MIME type", "000013 00000000 0400 0001 0000 00000001 00000001 00", 22,
     RS_INVALID_SETUP, false},
    {"resume cut short", "000010 00000000 3400 0001 0000 0002 7431 0000", 19, RS_CONNECTION_ERROR,
     false},
};

START_TEST(malformed_is_refused)
{
    struct slice in = hex(malformed[_i].bytes);
    size_t used = 999;
    struct rs_frame f;
    const char *why = NULL;

    ck_assert_msg(rs_decode(256, in.p, in.n, &f, &used, &why) == WIRE_BAD, "%s",
                  malformed[_i].name);
    ck_assert_ptr_nonnull(why);
    ck_assert_msg(used == malformed[_i].used, "%s: used %zu", malformed[_i].name, used);
    ck_assert_msg(rs_bad_code(&f) == malformed[_i].code, "%s", malformed[_i].name);
    ck_assert_msg(!!(f.flags & RS_IGNORE) == malformed[_i].ignore, "%s", malformed[_i].name);
    free((void *)in.p);
}
END_TEST

START_TEST(unknown_type_is_a_frame)
{
    struct slice in = hex("000008 80000001 7e40 abcd");
    struct rs_frame f;
    const char *why = NULL;
    size_t used = 0;

    ck_assert_int_eq(rs_decode(256, in.p, in.n, &f, &used, &why), WIRE_FRAME);
    ck_assert_uint_eq(used, in.n);
    ck_assert_uint_eq(f.type, 0x1f);
    ck_assert_uint_eq(f.stream, 1); /* the top bit is not part of it */
    ck_assert_uint_eq(f.flags, RS_IGNORE | RS_COMPLETE);
    ck_assert(slice_eq(f.data, SLICE("\xab\xcd")));
    ck_assert_uint_eq(rs_size(&f), 0); /* and none that we write */
    free((void *)in.p);
}
END_TEST

START_TEST(frame_at_the_limit_passes)
{
    struct rs_frame f = {.stream = 1, .type = RS_PAYLOAD, .flags = RS_NEXT, .data = SLICE("abcd")};
    struct slice in = encode(&f);
    const char *why = NULL;
    size_t used = 0;

    ck_assert_int_eq(rs_decode(10, in.p, in.n, &f, &used, &why), WIRE_FRAME);
    ck_assert_int_eq(rs_decode(9, in.p, in.n, &f, &used, &why), WIRE_BAD);
    free((void *)in.p);
}
END_TEST

START_TEST(what_does_not_fit_has_no_size)
{
    static const uint8_t bytes[1];
    struct rs_frame f = {.type = RS_SETUP};

    f.setup.metadata_mime = slice_of(bytes, RS_MIME_MAX + 1);
    ck_assert_uint_eq(rs_size(&f), 0);
    f.setup.metadata_mime.n = RS_MIME_MAX;
    ck_assert_uint_ne(rs_size(&f), 0);
    f = (struct rs_frame){.type = RS_RESUME};
    f.setup.token = slice_of(bytes, RS_TOKEN_MAX + 1);
    ck_assert_uint_eq(rs_size(&f), 0);
    f = (struct rs_frame){.type = RS_PAYLOAD, .data = slice_of(bytes, RS_FRAME_MAX - RS_HEADER)};
    ck_assert_uint_eq(rs_size(&f), RS_FRAME_MAX + RS_TCP_LENGTH);
    f.data.n++;
    ck_assert_uint_eq(rs_size(&f), 0);
    f.data.n = SIZE_MAX;
    ck_assert_uint_eq(rs_size(&f), 0);
}
END_TEST

/* The writers of the hot path write what rs_put() does. */
START_TEST(short_cuts_agree)
{
    uint8_t out[128], *end = out;
    struct rs_frame f = {.stream = 9, .type = RS_PAYLOAD, .flags = RS_NEXT, .data = SLICE("data")};
    struct rs_request r = {RS_REQUEST_CHANNEL, 9, RS_COMPLETE, 77, true, SLICE("meta")};
    struct slice want = encode(&f);

    end = rs_put_payload_head(out, 9, RS_NEXT, 4);
    ck_assert_uint_eq((size_t)(end - out), RS_PAYLOAD_HEAD_SIZE);
    ck_assert_mem_eq(out, want.p, RS_PAYLOAD_HEAD_SIZE);
    free((void *)want.p);

    f.has_metadata = true;
    f.metadata = SLICE("meta");
    want = encode(&f);
    end = rs_put_payload_metadata_head(out, 9, RS_NEXT, f.metadata, 4);
    ck_assert_uint_eq((size_t)(end - out), rs_payload_metadata_head_size(4));
    ck_assert_mem_eq(out, want.p, want.n - 4);
    free((void *)want.p);

    f.type = RS_REQUEST_CHANNEL;
    f.flags = RS_COMPLETE;
    f.number = 77;
    want = encode(&f);
    end = rs_put_request_head(out, &r, 4);
    ck_assert_uint_eq((size_t)(end - out), rs_request_head_size(&r));
    ck_assert_mem_eq(out, want.p, want.n - 4);
    free((void *)want.p);

    f = (struct rs_frame){.stream = 9, .type = RS_ERROR, .number = RS_INVALID, .data = SLICE("no")};
    want = encode(&f);
    end = rs_put_error(out, 9, RS_INVALID, f.data);
    ck_assert_uint_eq((size_t)(end - out), rs_error_size(2));
    ck_assert_mem_eq(out, want.p, want.n);
    free((void *)want.p);

    f = (struct rs_frame){
        .type = RS_KEEPALIVE, .flags = RS_RESPOND, .position = 5, .data = SLICE("k")};
    want = encode(&f);
    end = rs_put_keepalive(out, RS_RESPOND, 5, f.data);
    ck_assert_uint_eq((size_t)(end - out), rs_keepalive_size(1));
    ck_assert_mem_eq(out, want.p, want.n);
    free((void *)want.p);

    f = (struct rs_frame){.stream = 9, .type = RS_REQUEST_N, .number = 8};
    want = encode(&f);
    ck_assert_ptr_eq(rs_put_request_n(out, 9, 8), out + RS_REQUEST_N_SIZE);
    ck_assert_mem_eq(out, want.p, want.n);
    free((void *)want.p);

    f = (struct rs_frame){.stream = 9, .type = RS_CANCEL};
    want = encode(&f);
    ck_assert_ptr_eq(rs_put_cancel(out, 9), out + RS_CANCEL_SIZE);
    ck_assert_mem_eq(out, want.p, want.n);
    free((void *)want.p);
}
END_TEST

START_TEST(peek_sees_the_head)
{
    uint8_t out[RS_PAYLOAD_HEAD_SIZE];
    uint32_t n = 0, stream = 0;
    uint16_t word = 0;

    rs_put_payload_head(out, RS_STREAM_MAX, RS_NEXT, 100);
    ck_assert(!rs_peek(out, RS_PAYLOAD_HEAD_SIZE - 1, &n, &stream, &word));
    ck_assert_uint_eq(n, 0);
    ck_assert(rs_peek(out, RS_PAYLOAD_HEAD_SIZE, &n, &stream, &word));
    ck_assert_uint_eq(n, 106);
    ck_assert_uint_eq(stream, RS_STREAM_MAX);
    ck_assert_uint_eq(word, RS_PLAIN_PAYLOAD);
}
END_TEST

START_TEST(plain_heads_in_two_pieces)
{
    static const uint32_t lens[] = {0, 1, 249, 250, 65529, 65530, RS_FRAME_MAX - RS_HEADER};
    uint8_t want[RS_HEAD_SIZE], got[RS_HEAD_SIZE];
    uint32_t n;

    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        rs_put_payload_head(want, RS_STREAM_MAX - 1, RS_NEXT, lens[i]);
        ck_assert_ptr_eq(rs_put_plain_head(got, rs_plain(RS_STREAM_MAX - 1), lens[i]),
                         got + RS_HEAD_SIZE);
        ck_assert_mem_eq(got, want, RS_HEAD_SIZE);
        ck_assert(rs_peek_plain(got, rs_plain(RS_STREAM_MAX - 1), &n));
        ck_assert_uint_eq(n, RS_HEADER + lens[i]);
        for (size_t bit = 24; bit < 8 * RS_HEAD_SIZE; bit++) { /* any other stream, type or flag */
            got[bit / 8] ^= (uint8_t)(1 << bit % 8);
            ck_assert(!rs_peek_plain(got, rs_plain(RS_STREAM_MAX - 1), &n));
            got[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}
END_TEST

/* ---- any frame ---- */

static const uint8_t pool[600] = "some bytes for metadata and data";

static struct slice any_slice(struct seeded *s, size_t max)
{
    return slice_of(pool + seeded_below(s, 20), seeded_below(s, max + 1));
}

/* Any frame we can write, as the decoder will give it back. */
static struct rs_frame any_frame(struct seeded *s)
{
    static const uint8_t types[] = {
        RS_SETUP,           RS_LEASE,     RS_KEEPALIVE, RS_REQUEST_FNF, RS_REQUEST_STREAM,
        RS_REQUEST_CHANNEL, RS_REQUEST_N, RS_CANCEL,    RS_PAYLOAD,     RS_ERROR,
        RS_METADATA_PUSH,   RS_RESUME,    RS_RESUME_OK, RS_EXT,         RS_REQUEST_RESPONSE};
    struct rs_frame f = {
        .stream = (uint32_t)seeded_below(s, 1ULL << 31),
        .type = types[seeded_below(s, ARRAY_LEN(types))],
        .flags = (uint16_t)(seeded_below(s, 1024) & ~RS_METADATA),
    };
    bool number = f.type == RS_LEASE || f.type == RS_REQUEST_STREAM ||
                  f.type == RS_REQUEST_CHANNEL || f.type == RS_REQUEST_N || f.type == RS_EXT;
    bool metadata =
        rs_is_request(f.type) || f.type == RS_PAYLOAD || f.type == RS_SETUP || f.type == RS_LEASE;

    if (number || f.type == RS_ERROR)
        f.number = (uint32_t)seeded_below(s, number ? 1ULL << 31 : 1ULL << 32);
    if (f.type == RS_LEASE)
        f.count = (uint32_t)seeded_below(s, 1ULL << 31);
    if (f.type == RS_KEEPALIVE || f.type == RS_RESUME_OK || f.type == RS_RESUME)
        f.position = seeded_below(s, 1ULL << 63);
    f.has_metadata = f.type == RS_METADATA_PUSH || (metadata && seeded_below(s, 2));
    if (f.has_metadata) {
        f.flags |= RS_METADATA;
        f.metadata = any_slice(s, 300);
    }
    if ((metadata && f.type != RS_LEASE) || f.type == RS_KEEPALIVE || f.type == RS_ERROR ||
        f.type == RS_EXT)
        f.data = any_slice(s, 300);
    if (f.type == RS_RESUME)
        f.first_position = seeded_below(s, 1ULL << 63);
    if (f.type == RS_RESUME || (f.type == RS_SETUP && (f.flags & RS_RESUME_ENABLE)))
        f.setup.token = any_slice(s, 100);
    if (f.type == RS_SETUP || f.type == RS_RESUME)
        f.setup.major = (uint16_t)seeded_below(s, 65536);
    if (f.type == RS_SETUP) {
        f.setup.keepalive_ms = 1 + (uint32_t)seeded_below(s, RS_N_MAX);
        f.setup.lifetime_ms = 1 + (uint32_t)seeded_below(s, RS_N_MAX);
        f.setup.metadata_mime = any_slice(s, RS_MIME_MAX);
        f.setup.data_mime = any_slice(s, RS_MIME_MAX);
    }
    return f;
}

START_TEST(there_and_back)
{
    struct seeded s = seeded_start();

    for (int i = 0; i < 3000; i++) {
        struct rs_frame f = any_frame(&s), g = {0};
        struct slice bytes = encode(&f);
        const char *why = NULL;
        size_t used = 0;

        expect(&s, rs_decode(RS_FRAME_MAX, bytes.p, bytes.n, &g, &used, &why) == WIRE_FRAME);
        expect(&s, used == bytes.n);
        expect(&s, frame_eq(&f, &g));
        expect(&s, inside(g.metadata, bytes) && inside(g.data, bytes));
        free((void *)bytes.p);
    }
}
END_TEST

/* Whatever comes, a prefix is never a frame, and the whole is what it is in one piece. */
START_TEST(byte_by_byte)
{
    struct seeded s = seeded_start();

    for (int i = 0; i < 200; i++) {
        struct rs_frame f = any_frame(&s), g;
        struct slice bytes = encode(&f);
        const char *why = NULL;
        size_t used = 999;

        for (size_t n = 0; n < bytes.n; n++) {
            struct slice prefix = exact(slice_of(bytes.p, n));

            expect(&s, rs_decode(RS_FRAME_MAX, prefix.p, n, &g, &used, &why) == WIRE_MORE);
            expect(&s, used == 999 && !why);
            free((void *)prefix.p);
        }
        free((void *)bytes.p);
    }
}
END_TEST

/* Frames with a few bytes changed: refused or read, but never out of bounds. */
START_TEST(damaged_frames_stay_in_bounds)
{
    struct seeded s = seeded_start();
    int bad = 0;

    for (int i = 0; i < 5000; i++) {
        struct rs_frame f = any_frame(&s), g;
        struct slice bytes = encode(&f);
        uint8_t *p = (uint8_t *)bytes.p;
        const char *why = NULL;

        for (uint64_t n = seeded_below(&s, 4); n > 0; n--)
            p[RS_TCP_LENGTH + seeded_below(&s, bytes.n - RS_TCP_LENGTH)] =
                (uint8_t)seeded_below(&s, 256);
        if (rs_decode_body(p + RS_TCP_LENGTH, bytes.n - RS_TCP_LENGTH, &g, &why) == WIRE_BAD) {
            expect(&s, why != NULL);
            bad++;
        } else {
            expect(&s, inside(g.metadata, bytes) && inside(g.data, bytes));
        }
        free(p);
    }
    expect(&s, bad > 0); /* or this test damages nothing */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rsocket");
    TCase *tc = tcase_create("rsocket");

    tcase_add_loop_test(tc, vector_is_read, 0, (int)ARRAY_LEN(vectors));
    tcase_add_loop_test(tc, vector_is_written, 0, (int)ARRAY_LEN(vectors));
    tcase_add_loop_test(tc, malformed_is_refused, 0, (int)ARRAY_LEN(malformed));
    tcase_add_test(tc, unknown_type_is_a_frame);
    tcase_add_test(tc, frame_at_the_limit_passes);
    tcase_add_test(tc, what_does_not_fit_has_no_size);
    tcase_add_test(tc, short_cuts_agree);
    tcase_add_test(tc, peek_sees_the_head);
    tcase_add_test(tc, plain_heads_in_two_pieces);
    tcase_add_test(tc, there_and_back);
    tcase_add_test(tc, byte_by_byte);
    tcase_add_test(tc, damaged_frames_stay_in_bounds);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
