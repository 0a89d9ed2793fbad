/* The journal's bytes: what is written is read back; of what was spoilt, nothing is. */
#include "brokerd/store/journal/format.h"
#include "tests/unit/support.h"

static const struct record samples[] = {
    {.kind = RECORD_PUT,
     .queue = 7,
     .seq = 99,
     .id = 5,
     .time_ms = 1234567890123,
     .expires_ms = INT64_MAX,
     .type_id = 0x81,
     .topic = {(const uint8_t *)"orders.eu", 9},
     .type = {(const uint8_t *)"x/y", 3},
     .headers = {(const uint8_t *)"\1a\0\1b", 5},
     .data = {(const uint8_t *)"the data", 8}},
    {.kind = RECORD_PUT, .queue = 1, .seq = 1, .expires_ms = 5, .topic = {(const uint8_t *)"t", 1}},
    {.kind = RECORD_SETTLED, .queue = 7, .segment = 3, .seq = 90, .count = 11},
    {.kind = RECORD_RETAINED,
     .queue = 7,
     .segment = 3,
     .seq = 90,
     .count = 11,
     .time_ms = 0x0192837465a5},
    {.kind = RECORD_REWOUND,
     .queue = 7,
     .segment = 3,
     .seq = 90,
     .count = UINT32_MAX,
     .time_ms = FORMAT_TIME_MAX},
    {.kind = RECORD_RETURNED, .queue = 7, .segment = 3, .seq = 90, .attempts = 2, .due_ms = 77},
    {.kind = RECORD_QUEUE,
     .queue = 7,
     .segment = 2,
     .seq = 100,
     .name = {(const uint8_t *)"orders", 6},
     .filters = {(const uint8_t *)"\1#", 2},
     .wishes = {(const uint8_t *)"\1a\0\1b", 5}},
    {.kind = RECORD_GONE, .queue = 7, .segment = 2, .last = 9},
};

static void expect_equal(const struct record *a, const struct record *b)
{
    ck_assert(a->kind == b->kind && a->queue == b->queue && a->segment == b->segment);
    ck_assert(a->last == b->last && a->count == b->count && a->seq == b->seq && a->id == b->id);
    ck_assert(a->time_ms == b->time_ms && a->expires_ms == b->expires_ms);
    ck_assert(a->type_id == b->type_id && a->attempts == b->attempts && a->due_ms == b->due_ms);
    ck_assert(slice_eq(a->topic, b->topic) && slice_eq(a->type, b->type));
    ck_assert(slice_eq(a->headers, b->headers) && slice_eq(a->data, b->data));
    ck_assert(slice_eq(a->name, b->name) && slice_eq(a->filters, b->filters));
    ck_assert(slice_eq(a->wishes, b->wishes));
}

START_TEST(records_come_back)
{
    const struct record *r = &samples[_i];
    uint64_t size = record_size(r);
    uint8_t *bytes = malloc(size);
    struct record got;

    ck_assert_uint_eq(size % 8, 0);
    ck_assert_ptr_eq(record_encode(r, bytes), bytes + size);
    for (size_t n = 0; n < size; n++) { /* cut anywhere: none */
        struct slice part = exact(slice_of(bytes, n));

        ck_assert(!record_decode(part, &got));
        free((void *)(uintptr_t)part.p);
    }
    ck_assert(record_decode(slice_of(bytes, size), &got));
    ck_assert_uint_eq(got.size, size);
    expect_equal(r, &got);
    free(bytes);
}
END_TEST

START_TEST(too_long_for_the_format)
{
    struct record r = samples[0];

    r.topic.n = 256;
    ck_assert_uint_eq(record_size(&r), 0);
    r = samples[0];
    r.headers.n = 65536;
    ck_assert_uint_eq(record_size(&r), 0);
    r = samples[0];
    r.data.n = BATCH_RECORDS_MAX;
    ck_assert_uint_eq(record_size(&r), 0);
}
END_TEST

/* A put that is read alone: each bit counts. */
START_TEST(a_put_knows_that_it_was_spoilt)
{
    uint8_t bytes[256];
    size_t size = record_size(&samples[0]);
    struct record got;

    record_encode(&samples[0], bytes);
    ck_assert(record_decode_put(slice_of(bytes, size), &got));
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert(!record_decode_put(slice_of(bytes, size), &got));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
END_TEST

START_TEST(heads_of_segments)
{
    struct segment_head h = {.journal = 9,
                             .number = 4,
                             .previous = 2,
                             .previous_end = 4711,
                             .batch = 12,
                             .made_ms = 55},
                        got;
    uint8_t bytes[SEGMENT_HEAD] = {0};

    ck_assert_int_eq(segment_decode(slice_of(bytes, sizeof bytes), &got), SEGMENT_BLANK);
    ck_assert_int_eq(segment_decode(slice_of(NULL, 0), &got), SEGMENT_BLANK);
    segment_encode(&h, bytes);
    ck_assert_int_eq(segment_decode(slice_of(bytes, sizeof bytes), &got), SEGMENT_OK);
    ck_assert(got.journal == 9 && got.number == 4 && got.previous == 2);
    ck_assert(got.previous_end == 4711 && got.batch == 12 && got.made_ms == 55);
    for (size_t bit = 0; bit < 8 * SEGMENT_HEAD; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_int_eq(segment_decode(slice_of(bytes, sizeof bytes), &got), SEGMENT_BAD);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ck_assert_int_eq(segment_decode(slice_of(bytes, 63), &got), SEGMENT_BAD);
}
END_TEST

/* ------------------------------------------------------------------------------------- scan */

enum { BATCHES = 4 };

/* A segment of BATCHES batches, in each the samples up to its number; ends[] where they end. */
static struct slice make_segment(uint64_t *ends)
{
    uint8_t *bytes = calloc(1, 8192);
    uint64_t at = SEGMENT_HEAD;

    for (unsigned b = 0; b < BATCHES; b++) {
        struct batch_head h = {
            .journal = 9, .number = 100 + b, .segment = 4, .offset = (uint32_t)at, .records_n = b};
        uint8_t *p = bytes + at + BATCH_HEAD;

        for (unsigned i = 0; i < b; i++)
            p = record_encode(&samples[i], p);
        batch_encode(&h, slice_of(bytes + at + BATCH_HEAD, (size_t)(p - bytes) - at - BATCH_HEAD),
                     bytes + at);
        ends[b] = at = (uint64_t)(p - bytes);
    }
    return slice_of(realloc(bytes, at), at);
}

static struct scan scan_of(struct slice bytes)
{
    return (struct scan){
        .bytes = bytes, .journal = 9, .segment = 4, .offset = SEGMENT_HEAD, .next = 100};
}

/* Bit b is set if batch b was found; holes and the tail are where they must be. */
static unsigned found_in(struct slice bytes, enum scan_status *ret_end)
{
    struct scan s = scan_of(bytes);
    struct scanned x;
    uint64_t at = SEGMENT_HEAD;
    unsigned found = 0;

    for (;;) {
        enum scan_status is = scan_next(&s, &x);

        ck_assert_uint_eq(x.from, at);
        at = x.to;
        if (is == SCAN_BATCH) {
            ck_assert_uint_ge(x.head.number, 100);
            ck_assert_uint_eq(x.head.records_n, x.head.number - 100);
            found |= 1U << (x.head.number - 100);
        } else if (is != SCAN_HOLE) {
            ck_assert_uint_eq(at, bytes.n);
            *ret_end = is;
            return found;
        }
    }
}

START_TEST(batches_of_a_segment)
{
    uint64_t ends[BATCHES];
    struct slice bytes = make_segment(ends);
    enum scan_status end;

    ck_assert_uint_eq(found_in(bytes, &end), 15);
    ck_assert_int_eq(end, SCAN_END);
    free((void *)(uintptr_t)bytes.p);
}
END_TEST

START_TEST(cut_anywhere)
{
    uint64_t ends[BATCHES];
    struct slice bytes = make_segment(ends);

    for (size_t n = SEGMENT_HEAD; n < bytes.n; n++) {
        struct slice part = exact(slice_of(bytes.p, n));
        unsigned whole = 0;
        enum scan_status end;

        while (whole < BATCHES && ends[whole] <= n)
            whole++;
        ck_assert_uint_eq(found_in(part, &end), (1U << whole) - 1);
        ck_assert_int_eq(end, n == (whole ? ends[whole - 1] : SEGMENT_HEAD) ? SCAN_END : SCAN_TAIL);
        free((void *)(uintptr_t)part.p);
    }
    free((void *)(uintptr_t)bytes.p);
}
END_TEST

/* Each bit of each batch: that one is gone, all others are there. */
START_TEST(one_bit_costs_one_batch)
{
    uint64_t ends[BATCHES];
    struct slice bytes = make_segment(ends);
    uint8_t *p = (uint8_t *)(uintptr_t)bytes.p;

    for (size_t bit = 8 * SEGMENT_HEAD; bit < 8 * bytes.n; bit++) {
        enum scan_status end;
        unsigned hit = 0;

        while (ends[hit] <= bit / 8)
            hit++;
        p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_uint_eq(found_in(bytes, &end), 15 & ~(1U << hit));
        ck_assert_int_eq(end, hit == BATCHES - 1 ? SCAN_TAIL : SCAN_END);
        p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(p);
}
END_TEST

/* Batches that are intact and yet not there: another journal's, another segment's, of elsewhere
 * in this one, with a number that has been. */
START_TEST(what_is_no_batch_here)
{
    uint64_t ends[BATCHES];
    struct slice bytes = make_segment(ends);
    uint8_t *copy = malloc(bytes.n + 8);
    struct scanned x;
    struct scan s = scan_of(bytes);

    s.journal = 10;
    ck_assert_int_eq(scan_next(&s, &x), SCAN_TAIL);
    s = scan_of(bytes);
    s.segment = 5;
    ck_assert_int_eq(scan_next(&s, &x), SCAN_TAIL);
    s = scan_of(bytes);
    s.next = 104;
    ck_assert_int_eq(scan_next(&s, &x), SCAN_TAIL);
    memset(copy, 0, SEGMENT_HEAD + 8); /* moved by 8 */
    memcpy(copy + SEGMENT_HEAD + 8, bytes.p + SEGMENT_HEAD, bytes.n - SEGMENT_HEAD);
    s = scan_of(slice_of(copy, bytes.n + 8));
    ck_assert_int_eq(scan_next(&s, &x), SCAN_TAIL);
    free(copy);
    free((void *)(uintptr_t)bytes.p);
}
END_TEST

/* A message may have anything in it, even this very journal. */
START_TEST(a_batch_inside_of_a_message)
{
    uint64_t ends[BATCHES];
    struct slice inner = make_segment(ends);
    struct record r = samples[1];
    uint8_t *bytes = calloc(1, inner.n + 512);
    struct batch_head h = {
        .journal = 9, .number = 100, .segment = 4, .offset = SEGMENT_HEAD, .records_n = 1};
    size_t n;
    struct scan s;
    struct scanned x;

    r.data = inner;
    n = (size_t)(record_encode(&r, bytes + SEGMENT_HEAD + BATCH_HEAD) - bytes);
    batch_encode(&h, slice_of(bytes + SEGMENT_HEAD + BATCH_HEAD, n - SEGMENT_HEAD - BATCH_HEAD),
                 bytes + SEGMENT_HEAD);
    bytes[SEGMENT_HEAD + 60] ^= 1; /* damaged, in its records and in its head */
    for (int i = 0; i < 2; i++) {
        s = scan_of(slice_of(bytes, n));
        ck_assert_int_eq(scan_next(&s, &x), SCAN_TAIL);
        bytes[SEGMENT_HEAD + 9] ^= 1;
    }
    free(bytes);
    free((void *)(uintptr_t)inner.p);
}
END_TEST

/* Whatever the bytes are, nothing beyond them is read, and the end is reached. */
START_TEST(nonsense)
{
    struct seeded s = seeded_start();

    for (int i = 0; i < 20000; i++) {
        uint8_t raw[200];
        size_t n = seeded_below(&s, sizeof raw);
        struct slice bytes;
        struct record r;

        seeded_fill(&s, raw, n);
        if (n > 8) {
            raw[0] = (uint8_t)seeded_below(&s, 7);
            raw[4] = raw[5] = raw[6] = 0;
        }
        bytes = exact(slice_of(raw, n));
        if (record_decode(bytes, &r)) {
            expect(&s, r.size <= n && inside(r.topic, bytes) && inside(r.type, bytes) &&
                           inside(r.headers, bytes) && inside(r.data, bytes) &&
                           inside(r.name, bytes) && inside(r.filters, bytes) &&
                           inside(r.wishes, bytes));
        }
        free((void *)(uintptr_t)bytes.p);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal format");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, records_come_back, 0, ARRAY_LEN(samples));
    tcase_add_test(tc, too_long_for_the_format);
    tcase_add_test(tc, a_put_knows_that_it_was_spoilt);
    tcase_add_test(tc, heads_of_segments);
    tcase_add_test(tc, batches_of_a_segment);
    tcase_add_test(tc, cut_anywhere);
    tcase_add_test(tc, one_bit_costs_one_batch);
    tcase_add_test(tc, what_is_no_batch_here);
    tcase_add_test(tc, a_batch_inside_of_a_message);
    tcase_add_test(tc, nonsense);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
