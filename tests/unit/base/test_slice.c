/* A slice compares and cuts bytes, also none at all. */
#include <check.h>
#include <stdlib.h>

#include "libbroker/base/slice.h"

static const struct {
    const char *a, *b;
    bool eq, starts; /* a equals b; a starts with b */
} rows[] = {
    {"", "", true, true},
    {"orders", "orders", true, true},
    {"orders", "order", false, true},
    {"order", "orders", false, false},
    {"orders", "", false, true},
    {"", "x", false, false},
    {"abc", "abd", false, false},
};

START_TEST(compares)
{
    struct slice a = slice_str(rows[_i].a), b = slice_str(rows[_i].b);

    ck_assert_msg(slice_eq(a, b) == rows[_i].eq, "'%s' eq '%s'", rows[_i].a, rows[_i].b);
    ck_assert_msg(slice_starts(a, b) == rows[_i].starts, "'%s' starts '%s'", rows[_i].a,
                  rows[_i].b);
}
END_TEST

START_TEST(empty_may_be_null)
{
    struct slice none = slice_of(NULL, 0);

    ck_assert(slice_eq(none, SLICE("")));
    ck_assert(slice_eq(SLICE(""), none));
    ck_assert(slice_starts(SLICE("x"), none));
    ck_assert(!slice_starts(none, SLICE("x")));
}
END_TEST

START_TEST(literal_keeps_zero_bytes)
{
    struct slice s = SLICE("a\0b");

    ck_assert_uint_eq(s.n, 3);
    ck_assert(slice_eq(slice_from(s, 2), SLICE("b")));
    ck_assert_uint_eq(slice_from(s, 3).n, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slice");
    TCase *tc = tcase_create("slice");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, compares, 0, (int)(sizeof rows / sizeof rows[0]));
    tcase_add_test(tc, empty_may_be_null);
    tcase_add_test(tc, literal_keeps_zero_bytes);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
