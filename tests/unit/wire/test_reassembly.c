/* Fragments: what is cut comes together again, whatever the sizes; what breaks the rules or the
 * limit leaves nothing behind. */
#include "tests/unit/support.h"

#include <errno.h>

#include "libbroker/wire/reassembly.h"

enum { NO_LIMIT = 1 << 30 };

/* Cut `f`, check each fragment as it would travel, and join them: the last answer of
 * reassembly_add. */
static int travel(struct seeded *s, const struct rs_frame *f, uint32_t max_frame,
                  struct reassembly *r, struct rs_frame *ret_whole, int *ret_fragments)
{
    size_t size = rs_fragmented_size(f, max_frame);
    struct slice wire = slice_of(malloc(size), size);
    const uint8_t *p = wire.p, *end = wire.p + size;
    int got = REASSEMBLY_MORE;

    expect(s, rs_put_fragmented((uint8_t *)wire.p, f, max_frame) == end);
    *ret_fragments = 0;
    while (p < end) {
        struct rs_frame part;
        const char *why = NULL;
        size_t used = 0;
        bool last;

        expect(s, rs_decode(max_frame, p, (size_t)(end - p), &part, &used, &why) == WIRE_FRAME);
        p += used;
        last = p == end;
        expect(s, got == REASSEMBLY_MORE);
        expect(s, part.stream == f->stream);
        expect(s, part.type == (*ret_fragments == 0 ? f->type : RS_PAYLOAD));
        expect(s, rs_is_followed(&part) == !last);
        expect(s, last || used >= RS_FRAGMENT_MIN);
        if (!last || *ret_fragments > 0) {
            expect(s, !(part.flags & RS_COMPLETE) || last);
            expect(s, part.type != RS_PAYLOAD || (part.flags & RS_NEXT));
        }
        got = reassembly_add(r, &part, NO_LIMIT, ret_whole);
        (*ret_fragments)++;
    }
    if (*ret_fragments == 1) { /* never cut: it points into `wire`, which goes */
        expect(s, reassembly_bytes(r) == 0);
        expect(s, slice_eq(ret_whole->metadata, f->metadata) && slice_eq(ret_whole->data, f->data));
        ret_whole->metadata = f->metadata;
        ret_whole->data = f->data;
    }
    free((void *)wire.p);
    return got;
}

START_TEST(any_message_any_limit)
{
    static const uint8_t types[] = {RS_REQUEST_RESPONSE, RS_REQUEST_FNF, RS_REQUEST_STREAM,
                                    RS_REQUEST_CHANNEL, RS_PAYLOAD};
    static uint8_t bytes[6000];
    struct seeded s = seeded_start();
    struct reassembly r;
    int cut = 0;

    seeded_fill(&s, bytes, sizeof bytes);
    reassembly_init(&r);
    for (int i = 0; i < 2000; i++) {
        uint64_t most = seeded_below(&s, 4) ? 3000 : 150;
        uint8_t type = types[seeded_below(&s, ARRAY_LEN(types))];
        uint32_t max_frame = RS_FRAGMENT_MIN + (uint32_t)seeded_below(&s, 400);
        struct rs_frame f = {.stream = 1 + (uint32_t)seeded_below(&s, 100), .type = type};
        struct rs_frame whole;
        int fragments;

        if (type == RS_REQUEST_STREAM || type == RS_REQUEST_CHANNEL)
            f.number = 1 + (uint32_t)seeded_below(&s, RS_N_MAX);
        if (type == RS_PAYLOAD)
            f.flags |= RS_NEXT;
        if ((type == RS_PAYLOAD || type == RS_REQUEST_CHANNEL) && seeded_below(&s, 2))
            f.flags |= RS_COMPLETE;
        f.has_metadata = seeded_below(&s, 2);
        if (f.has_metadata) {
            f.flags |= RS_METADATA;
            f.metadata = slice_of(bytes, seeded_below(&s, most));
        }
        f.data = slice_of(bytes + 3000, seeded_below(&s, most));

        expect(&s, travel(&s, &f, max_frame, &r, &whole, &fragments) == REASSEMBLY_DONE);
        expect(&s, !reassembly_active(&r));
        expect(&s, (fragments == 1) == (rs_size(&f) <= RS_TCP_LENGTH + max_frame));
        expect(&s, whole.stream == f.stream && whole.type == f.type && whole.flags == f.flags);
        expect(&s, whole.number == f.number && whole.has_metadata == f.has_metadata);
        expect(&s, slice_eq(whole.metadata, f.metadata) && slice_eq(whole.data, f.data));
        cut += fragments > 1;
    }
    expect(&s, cut > 100);
    reassembly_fini(&r);
}
END_TEST

START_TEST(exactly_one_frame_is_not_cut)
{
    static const uint8_t bytes[64];
    struct rs_frame f = {.stream = 1, .type = RS_PAYLOAD, .flags = RS_NEXT};
    struct rs_fragmenter c;
    struct rs_fragment part;

    f.data = slice_of(bytes, RS_FRAGMENT_MIN - RS_HEADER);
    rs_fragmenter_init(&c, &f, RS_FRAGMENT_MIN);
    ck_assert(rs_fragmenter_next(&c, &part));
    ck_assert_uint_eq(part.data.n, f.data.n);
    ck_assert_ptr_eq(part.data.p, bytes); /* by reference */
    ck_assert(!rs_fragmenter_next(&c, &part));

    f.data.n++;
    rs_fragmenter_init(&c, &f, RS_FRAGMENT_MIN);
    ck_assert(rs_fragmenter_next(&c, &part));
    ck_assert(rs_fragmenter_next(&c, &part));
    ck_assert_uint_eq(part.data.n, 1);
    ck_assert(!rs_fragmenter_next(&c, &part));
}
END_TEST

#define MORE(type_, flags_, data_)                                                                 \
    {                                                                                              \
        .stream = 1, .type = type_, .flags = flags_, .data = SLICE(data_)                          \
    }
#define MORE_META(type_, flags_, metadata_, data_)                                                 \
    {                                                                                              \
        .stream = 1, .type = type_, .flags = (flags_) | RS_METADATA, .has_metadata = true,         \
        .metadata = SLICE(metadata_), .data = SLICE(data_)                                         \
    }

/* Sequences as other writers make them; limit 8 bytes. */
static const struct {
    const char *name;
    struct rs_frame part[4];
    int answer[4];
    const char *metadata, *data; /* of the whole, if it comes to that */
    uint16_t flags;
} rows[] = {
    {"next on the first fragment only counts",
     {MORE(RS_PAYLOAD, RS_FOLLOWS | RS_NEXT, "ab"), MORE(RS_PAYLOAD, 0, "c")},
     {REASSEMBLY_MORE, REASSEMBLY_DONE},
     "",
     "abc",
     RS_NEXT},
    {"next and complete on the last only count",
     {MORE(RS_PAYLOAD, RS_FOLLOWS, "ab"), MORE(RS_PAYLOAD, RS_NEXT | RS_COMPLETE, "c")},
     {REASSEMBLY_MORE, REASSEMBLY_DONE},
     "",
     "abc",
     RS_NEXT | RS_COMPLETE},
    {"complete wins over follows on a payload",
     {MORE(RS_PAYLOAD, RS_FOLLOWS | RS_NEXT, "ab"),
      MORE(RS_PAYLOAD, RS_FOLLOWS | RS_NEXT | RS_COMPLETE, "c")},
     {REASSEMBLY_MORE, REASSEMBLY_DONE},
     "",
     "abc",
     RS_NEXT | RS_COMPLETE},
    {"and at once on the first",
     {MORE(RS_PAYLOAD, RS_FOLLOWS | RS_NEXT | RS_COMPLETE, "ab")},
     {REASSEMBLY_DONE},
     "",
     "ab",
     RS_NEXT | RS_COMPLETE},
    {"but not on a channel's request",
     {MORE(RS_REQUEST_CHANNEL, RS_FOLLOWS | RS_COMPLETE, "ab"), MORE(RS_PAYLOAD, RS_NEXT, "c")},
     {REASSEMBLY_MORE, REASSEMBLY_DONE},
     "",
     "abc",
     RS_COMPLETE},
    {"a channel's complete may stand on the last fragment",
     {MORE(RS_REQUEST_CHANNEL, RS_FOLLOWS, "ab"), MORE(RS_PAYLOAD, RS_NEXT | RS_COMPLETE, "c")},
     {REASSEMBLY_MORE, REASSEMBLY_DONE},
     "",
     "abc",
     RS_COMPLETE},
    {"metadata and data are joined apart",
     {MORE_META(RS_REQUEST_FNF, RS_FOLLOWS, "ab", ""),
      MORE_META(RS_PAYLOAD, RS_FOLLOWS | RS_NEXT, "cd", "ef"), MORE(RS_PAYLOAD, RS_NEXT, "gh")},
     {REASSEMBLY_MORE, REASSEMBLY_MORE, REASSEMBLY_DONE},
     "abcd",
     "efgh",
     RS_METADATA},
    {"metadata after data are refused, even empty ones",
     {MORE_META(RS_PAYLOAD, RS_FOLLOWS | RS_NEXT, "ab", "c"),
      MORE_META(RS_PAYLOAD, RS_FOLLOWS, "", "d")},
     {REASSEMBLY_MORE, -EPROTO},
     NULL,
     NULL,
     0},
    {"the limit itself fits",
     {MORE(RS_PAYLOAD, RS_FOLLOWS | RS_NEXT, "abcdef"), MORE(RS_PAYLOAD, RS_NEXT, "gh")},
     {REASSEMBLY_MORE, REASSEMBLY_DONE},
     "",
     "abcdefgh",
     RS_NEXT},
    {"one more does not",
     {MORE(RS_PAYLOAD, RS_FOLLOWS | RS_NEXT, "abcdef"), MORE(RS_PAYLOAD, RS_NEXT, "ghi")},
     {REASSEMBLY_MORE, -EMSGSIZE},
     NULL,
     NULL,
     0},
    {"nor as a first fragment",
     {MORE(RS_PAYLOAD, RS_FOLLOWS | RS_NEXT, "abcdefghi")},
     {-EMSGSIZE},
     NULL,
     NULL,
     0},
    {"a request in mid-sequence is not part of it",
     {MORE(RS_PAYLOAD, RS_FOLLOWS | RS_NEXT, "ab"), MORE(RS_REQUEST_FNF, 0, "x"),
      MORE(RS_PAYLOAD, 0, "c")},
     {REASSEMBLY_MORE, -EINVAL, REASSEMBLY_DONE},
     "",
     "abc",
     RS_NEXT},
    {"other types never are", {MORE(RS_ERROR, 0, "x")}, {-EINVAL}, NULL, NULL, 0},
};

START_TEST(sequence)
{
    struct rs_frame whole = {0};
    struct reassembly r;
    int last = 0;

    reassembly_init(&r);
    for (int i = 0; i < 4 && rows[_i].part[i].type; i++) {
        last = reassembly_add(&r, &rows[_i].part[i], 8, &whole);
        ck_assert_msg(last == rows[_i].answer[i], "%s, part %d: %d", rows[_i].name, i, last);
        ck_assert_msg(reassembly_active(&r) ==
                          (last == REASSEMBLY_MORE || (i == 1 && last == -EINVAL)),
                      "%s, part %d", rows[_i].name, i);
        ck_assert_uint_le(reassembly_bytes(&r), 8);
    }
    if (last == REASSEMBLY_DONE) {
        ck_assert_msg(slice_eq(whole.metadata, slice_str(rows[_i].metadata)), "%s", rows[_i].name);
        ck_assert_msg(slice_eq(whole.data, slice_str(rows[_i].data)), "%s", rows[_i].name);
        ck_assert_msg(whole.flags == rows[_i].flags, "%s: %x", rows[_i].name, whole.flags);
    } else {
        ck_assert_uint_eq(reassembly_bytes(&r), 0);
    }
    reassembly_fini(&r);
}
END_TEST

START_TEST(taken_memory_is_the_callers)
{
    struct rs_frame a = MORE(RS_PAYLOAD, RS_FOLLOWS | RS_NEXT, "ab");
    struct rs_frame b = MORE(RS_PAYLOAD, RS_NEXT, "cd");
    struct rs_frame whole, other;
    struct reassembly r;
    struct block *mine;

    reassembly_init(&r);
    ck_assert_int_eq(reassembly_add(&r, &a, 100, &whole), REASSEMBLY_MORE);
    ck_assert_int_eq(reassembly_add(&r, &b, 100, &whole), REASSEMBLY_DONE);
    mine = reassembly_take(&r);
    ck_assert_ptr_eq(mine->bytes, whole.data.p);
    ck_assert_uint_eq(reassembly_bytes(&r), 0);
    ck_assert_int_eq(reassembly_add(&r, &a, 100, &other), REASSEMBLY_MORE);
    reassembly_fini(&r);
    ck_assert(slice_eq(whole.data, SLICE("abcd")));
    ck_assert_int_eq(reassembly_add(&r, &b, 1, &other), REASSEMBLY_DONE); /* never cut */
    ck_assert_ptr_null(reassembly_take(&r));
    block_unref(mine);
}
END_TEST

/* Memory follows what has come: 64 KiB in small pieces never hold more than twice that. */
START_TEST(grows_with_what_arrives)
{
    static const uint8_t bytes[100];
    struct rs_frame part = {.stream = 1, .type = RS_PAYLOAD, .flags = RS_FOLLOWS | RS_NEXT};
    struct rs_frame whole;
    struct reassembly r;
    size_t n = 0;

    part.data = slice_of(bytes, sizeof bytes);
    reassembly_init(&r);
    while (n < 65536) {
        ck_assert_int_eq(reassembly_add(&r, &part, NO_LIMIT, &whole), REASSEMBLY_MORE);
        n += sizeof bytes;
        ck_assert_uint_ge(reassembly_bytes(&r), n);
        ck_assert_uint_le(reassembly_bytes(&r), 2 * n + 4096);
    }
    reassembly_fini(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reassembly");
    TCase *tc = tcase_create("reassembly");

    tcase_add_test(tc, any_message_any_limit);
    tcase_add_test(tc, exactly_one_frame_is_not_cut);
    tcase_add_loop_test(tc, sequence, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(tc, taken_memory_is_the_callers);
    tcase_add_test(tc, grows_with_what_arrives);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
