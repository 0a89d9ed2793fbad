/* brokerd's own layouts: answers, confirms, verbs, codes. */
#include "tests/unit/support.h"

#include <errno.h>

#include "libbroker/wire/broker_rs.h"
#include "libbroker/wire/rsocket.h"

START_TEST(answer)
{
    struct slice want = hex("00000003 00000001"), bad = hex("00000001 00000002");
    struct publish_answer a = {0};
    uint8_t out[PUBLISH_ANSWER_SIZE];

    ck_assert_ptr_eq(publish_answer_put(out, (struct publish_answer){3, 1}), out + sizeof out);
    ck_assert_mem_eq(out, want.p, want.n);
    ck_assert_int_eq(publish_answer_decode(want, &a), 0);
    ck_assert_uint_eq(a.matched, 3);
    ck_assert_uint_eq(a.accepted, 1);
    ck_assert_int_eq(publish_answer_decode(slice_of(want.p, 7), &a), -EPROTO);
    ck_assert_int_eq(publish_answer_decode(bad, &a), -EPROTO);
    ck_assert_uint_eq(a.matched, 3);
    free((void *)want.p);
    free((void *)bad.p);
}
END_TEST

START_TEST(confirm_as_documented)
{
    struct slice want = hex("000000000000000a"
                            "0000000000000002 00000003 0002 00000002 00000001"
                            "000000000000000a 00000001 0001 00000000 00000000");
    struct confirm_entry first = {2, 3, REASON_FULL, 2, 1}, second = {10, 1, REASON_NO_MATCH, 0, 0};
    struct confirm_entry got;
    struct confirm_reader r;
    uint8_t out[CONFIRM_HEAD_SIZE + 2 * CONFIRM_ENTRY_SIZE], *p;

    p = confirm_put_entry(confirm_put_entry(confirm_put_head(out, 10), &first), &second);
    ck_assert_ptr_eq(p, out + want.n);
    ck_assert_mem_eq(out, want.p, want.n);

    ck_assert_int_eq(confirm_decode(want, &r), 0);
    ck_assert_uint_eq(r.settled, 10);
    ck_assert_int_eq(confirm_next(&r, &got), 1);
    ck_assert_uint_eq(got.first, 2);
    ck_assert_uint_eq(got.count, 3);
    ck_assert_uint_eq(got.reason, REASON_FULL);
    ck_assert_uint_eq(got.matched, 2);
    ck_assert_uint_eq(got.accepted, 1);
    ck_assert_int_eq(confirm_next(&r, &got), 1);
    ck_assert_uint_eq(got.first, 10);
    ck_assert_uint_eq(got.reason, REASON_NO_MATCH);
    ck_assert_int_eq(confirm_next(&r, &got), 0);
    free((void *)want.p);
}
END_TEST

static const struct {
    const char *name;
    uint64_t settled;
    struct confirm_entry entry[2];
    int answer[2];
} confirms[] = {
    {"message 0", 10, {{0, 1, 1, 0, 0}}, {-EPROTO}},
    {"an empty range", 10, {{1, 0, 1, 0, 0}}, {-EPROTO}},
    {"up to the last settled", 10, {{1, 10, 1, 0, 0}}, {1}},
    {"one beyond it", 10, {{1, 11, 1, 0, 0}}, {-EPROTO}},
    {"a range that would wrap", 10, {{9, UINT32_MAX, 1, 0, 0}}, {-EPROTO}},
    {"more accepted than matched", 10, {{1, 1, 2, 1, 2}}, {-EPROTO}},
    {"neighbours", 10, {{1, 2, 2, 1, 0}, {3, 1, 1, 0, 0}}, {1, 1}},
    {"overlapping ranges", 10, {{1, 2, 2, 1, 0}, {2, 1, 1, 0, 0}}, {1, -EPROTO}},
    {"the end of 64 bits", UINT64_MAX, {{UINT64_MAX, 1, 1, 0, 0}}, {1}},
    {"a reason of a later version", 10, {{1, 1, 999, 1, 0}}, {1}},
};

START_TEST(confirm_entries)
{
    uint8_t out[CONFIRM_HEAD_SIZE + 2 * CONFIRM_ENTRY_SIZE], *p;
    struct confirm_reader r;
    struct confirm_entry got;

    p = confirm_put_head(out, confirms[_i].settled);
    for (int i = 0; i < 2 && confirms[_i].answer[i]; i++)
        p = confirm_put_entry(p, &confirms[_i].entry[i]);
    ck_assert_int_eq(confirm_decode(slice_of(out, (size_t)(p - out)), &r), 0);
    for (int i = 0; i < 2 && confirms[_i].answer[i]; i++)
        ck_assert_msg(confirm_next(&r, &got) == confirms[_i].answer[i], "%s", confirms[_i].name);
}
END_TEST

START_TEST(confirm_of_a_wrong_size)
{
    static const uint8_t bytes[CONFIRM_HEAD_SIZE + CONFIRM_ENTRY_SIZE];
    struct confirm_reader r;

    for (size_t n = 0; n <= sizeof bytes; n++)
        ck_assert_int_eq(confirm_decode(slice_of(bytes, n), &r),
                         n == CONFIRM_HEAD_SIZE || n == sizeof bytes ? 0 : -EPROTO);
}
END_TEST

START_TEST(verbs_as_documented)
{
    struct slice want = hex("01 0000000000000001 00000005 00000000"
                            "02 0000000000000007 00000001 000003e8");
    struct consumer_verb ack = {VERB_ACK, 1, 5, 0}, nack = {VERB_NACK, 7, 1, 1000}, got;
    struct slice rest = want;
    uint8_t out[2 * CONSUMER_VERB_SIZE];
    const char *why = NULL;

    ck_assert_ptr_eq(consumer_verb_put(consumer_verb_put(out, &ack), &nack), out + want.n);
    ck_assert_mem_eq(out, want.p, want.n);
    ck_assert_int_eq(consumer_verb_next(&rest, &got, &why), 1);
    ck_assert_int_eq(got.kind, VERB_ACK);
    ck_assert_uint_eq(got.first, 1);
    ck_assert_uint_eq(got.count, 5);
    ck_assert_int_eq(consumer_verb_next(&rest, &got, &why), 1);
    ck_assert_int_eq(got.kind, VERB_NACK);
    ck_assert_uint_eq(got.argument, 1000);
    ck_assert_int_eq(consumer_verb_next(&rest, &got, &why), 0);
    ck_assert_ptr_null(why);
    free((void *)want.p);
}
END_TEST

static const struct {
    const char *name, *bytes;
    int answer;
} verbs[] = {
    {"verb 0", "00 0000000000000001 00000001 00000000", -EPROTO},
    {"extend, the last verb", "04 0000000000000001 00000001 00000000", 1},
    {"one beyond it", "05 0000000000000001 00000001 00000000", -EPROTO},
    {"delivery 0", "01 0000000000000000 00000001 00000000", -EPROTO},
    {"no deliveries", "01 0000000000000001 00000000 00000000", -EPROTO},
    {"the last number there is", "01 fffffffffffffffe 00000002 00000000", 1},
    {"one beyond it", "01 fffffffffffffffe 00000003 00000000", -EPROTO},
    {"cut short", "01 0000000000000001 00000001 000000", -EPROTO},
};

START_TEST(verb)
{
    struct slice in = hex(verbs[_i].bytes), rest = in;
    struct consumer_verb got;
    const char *why = NULL;

    ck_assert_msg(consumer_verb_next(&rest, &got, &why) == verbs[_i].answer, "%s", verbs[_i].name);
    ck_assert_msg((why != NULL) == (verbs[_i].answer < 0), "%s", verbs[_i].name);
    ck_assert_uint_eq(rest.n, verbs[_i].answer == 1 ? 0 : in.n);
    free((void *)in.p);
}
END_TEST

START_TEST(codes)
{
    static const struct {
        enum reason r;
        uint32_t code, partly;
    } want[] = {
        {REASON_NO_MATCH, RS_REJECTED, RS_CANCELED},
        {REASON_FULL, RS_REJECTED, RS_CANCELED},
        {REASON_DENIED, RS_REJECTED, RS_CANCELED},
        {REASON_NOT_FOUND, RS_INVALID, RS_CANCELED},
        {REASON_INVALID, RS_INVALID, RS_CANCELED},
        {REASON_TOO_LARGE, RS_INVALID, RS_CANCELED},
        {REASON_DELETED, RS_CANCELED, RS_CANCELED},
        {REASON_NONE, RS_APPLICATION_ERROR, RS_APPLICATION_ERROR},
    };

    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        ck_assert_uint_eq(reason_rs_code(want[i].r, false), want[i].code);
        ck_assert_uint_eq(reason_rs_code(want[i].r, true), want[i].partly);
    }
    for (int r = 0; r < REASON_TABLE_SIZE; r++) /* none was forgotten */
        ck_assert_uint_ge(reason_rs_code((enum reason)r, false), RS_APPLICATION_ERROR);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("broker_rs");
    TCase *tc = tcase_create("broker_rs");

    tcase_add_test(tc, answer);
    tcase_add_test(tc, confirm_as_documented);
    tcase_add_loop_test(tc, confirm_entries, 0, (int)ARRAY_LEN(confirms));
    tcase_add_test(tc, confirm_of_a_wrong_size);
    tcase_add_test(tc, verbs_as_documented);
    tcase_add_loop_test(tc, verb, 0, (int)ARRAY_LEN(verbs));
    tcase_add_test(tc, codes);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
