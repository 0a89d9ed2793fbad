/* Reasons: the words and numbers that users and wires rely on. */
#include "tests/unit/support.h"

#include "libbroker/base/reason.h"

static const struct {
    int number;
    const char *word;
    bool refusal;
} rows[] = {
    {1, "no-match", true},      {2, "full", true},           {3, "memory", true},
    {4, "no-credit", true},     {5, "limit", true},          {6, "store", true},
    {7, "draining", true},      {8, "no-server", true},      {9, "denied", true},
    {10, "not-found", true},    {11, "invalid", true},       {12, "too-large", true},
    {20, "drop-oldest", false}, {21, "drop-newest", false},  {22, "expired", false},
    {23, "attempts", false},    {24, "rejected", false},     {25, "purged", false},
    {26, "deleted", false},     {27, "disconnected", false}, {28, "node", false},
};

START_TEST(number_and_word)
{
    enum reason r = (enum reason)rows[_i].number;

    ck_assert(reason_known((unsigned int)rows[_i].number));
    ck_assert_str_eq(reason_name(r), rows[_i].word);
    ck_assert_int_eq((int)reason_from_name(slice_str(rows[_i].word)), rows[_i].number);
    ck_assert_int_eq(reason_is_refusal(r), rows[_i].refusal);
    ck_assert_uint_gt(strlen(reason_text(r)), 0);
}
END_TEST

START_TEST(no_others)
{
    size_t known = 0;

    for (unsigned int i = 0; i < 70000; i++)
        known += reason_known(i);
    ck_assert_uint_eq(known, ARRAY_LEN(rows));
    ck_assert_str_eq(reason_name(REASON_NONE), "none");
    ck_assert_str_eq(reason_text(REASON_NONE), "none");
    ck_assert_str_eq(reason_name((enum reason)13), "unknown");
    ck_assert_str_eq(reason_text((enum reason)999), "unknown");
    ck_assert(!reason_is_refusal(REASON_NONE));
    ck_assert_int_eq(reason_from_name(SLICE("none")), REASON_NONE);
    ck_assert_int_eq(reason_from_name(SLICE("ful")), REASON_NONE);
    ck_assert_int_eq(reason_from_name(SLICE("")), REASON_NONE);
}
END_TEST

START_TEST(error_texts_begin_with_one)
{
    ck_assert_int_eq(reason_from_text(SLICE("full: queue \"orders\" is full")), REASON_FULL);
    ck_assert_int_eq(reason_from_text(SLICE("draining")), REASON_DRAINING);
    ck_assert_int_eq(reason_from_text(SLICE("fully: no")), REASON_NONE);
    ck_assert_int_eq(reason_from_text(SLICE("something: full")), REASON_NONE);
    ck_assert_int_eq(reason_from_text(SLICE("")), REASON_NONE);
    ck_assert_int_eq(reason_from_text(slice_of(NULL, 0)), REASON_NONE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reason");
    TCase *tc = tcase_create("reason");

    tcase_add_loop_test(tc, number_and_word, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(tc, no_others);
    tcase_add_test(tc, error_texts_begin_with_one);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
