/* Filters that are wanted: the first and the last of each are told, and nothing twice. */
#include "brokerd/nodes/interest.h"

#include "libbroker/base/name.h"
#include "tests/unit/support.h"

static struct interest all;
static char told[256];

static void begin(void)
{
    interest_init(&all, 1);
}

static void end(void)
{
    interest_fini(&all);
}

static const char *news(void)
{
    char buf[NAME_MAX_BYTES];
    struct slice filter;
    size_t n = 0;
    bool on;

    told[0] = '\0';
    while (interest_next(&all, buf, &filter, &on))
        n += (size_t)snprintf(told + n, sizeof told - n, "%c%.*s ", on ? '+' : '-', (int)filter.n,
                              (const char *)filter.p);
    ck_assert(!interest_has_news(&all));
    return told;
}

START_TEST(first_and_last)
{
    interest_add(&all, SLICE("a"), true);
    interest_add(&all, SLICE("a"), true);
    interest_add(&all, SLICE("b"), true);
    ck_assert_str_eq(news(), "+a +b ");
    interest_add(&all, SLICE("a"), false);
    interest_add(&all, SLICE("c"), false); /* never there */
    ck_assert_str_eq(news(), "");
    interest_add(&all, SLICE("a"), false);
    ck_assert_str_eq(news(), "-a ");
    ck_assert_uint_eq(interest_count(&all), 1);
}
END_TEST

START_TEST(what_came_and_went_is_not_told)
{
    interest_add(&all, SLICE("a"), true);
    interest_add(&all, SLICE("a"), false);
    ck_assert_str_eq(news(), "");
    ck_assert_uint_eq(interest_count(&all), 0);
    interest_add(&all, SLICE("b"), true);
    ck_assert_str_eq(news(), "+b ");
    interest_add(&all, SLICE("b"), false);
    interest_add(&all, SLICE("b"), true);
    ck_assert_str_eq(news(), "");
}
END_TEST

START_TEST(all_is_told_again)
{
    interest_add(&all, SLICE("a"), true);
    interest_add(&all, SLICE("b"), true);
    ck_assert_str_eq(news(), "+a +b ");
    interest_add(&all, SLICE("a"), false); /* not told yet, and need not be any more */
    interest_again(&all);
    ck_assert_str_eq(news(), "+b ");
    ck_assert_uint_eq(interest_count(&all), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("interest");
    TCase *tc = tcase_create("interest");

    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, first_and_last);
    tcase_add_test(tc, what_came_and_went_is_not_told);
    tcase_add_test(tc, all_is_told_again);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
