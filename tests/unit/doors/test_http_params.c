/* What a request asks for: by query, by body, by both. */
#include "brokerd/doors/http/params.h"
#include "libbroker/base/headers.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct params p;
static struct refusal why;

static int load(const char *query, const char *body)
{
    return params_read(&p, slice_str(query), slice_str(body), &why);
}

static void teardown(void)
{
    params_free(&p);
    p = (struct params){.n = 0};
}

static void takes(const char *name, const char *value)
{
    struct slice got;

    ck_assert_msg(params_take(&p, name, &got), "%s is not there", name);
    ck_assert_msg(slice_eq(got, slice_str(value)), "%s is %.*s", name, (int)got.n,
                  (const char *)got.p);
}

START_TEST(both_ways_are_one)
{
    ck_assert_int_eq(load("a=1&b=x%20y+z&&c&d=%c3%a4", "{\"e\":2,\"f\":true,\"g\":[\"h\",3]}"), 0);
    takes("a", "1");
    takes("b", "x y z");
    takes("c", "");
    takes("d", "\xc3\xa4");
    takes("e", "2");
    takes("f", "1");
    takes("g", "h");
    takes("g", "3");
    ck_assert_int_eq(params_done(&p, &why), 0);
    ck_assert(!params_take(&p, "a", &(struct slice){0}));
}
END_TEST

static const struct {
    const char *query, *body;
} wrong[] = {
    {"a=%", ""},          {"a=%f", ""},         {"%zz=1", ""},
    {"a=%ff", ""},        {"", "[]"},           {"", "{"},
    {"", "null"},         {"", "{\"a\":null}"}, {"", "{\"a\":{}}"},
    {"", "{\"a\":[[]]}"}, {"", "{\"a\":1.5}"},  {"", "{\"a\":1,\"a\":2}"},
    {"", "{\"a\":1} {}"},
};

START_TEST(what_is_wrong_is_said)
{
    ck_assert_int_eq(load(wrong[_i].query, wrong[_i].body), -EINVAL);
    ck_assert_int_eq(why.reason, REASON_INVALID);
    ck_assert(strncmp(why.text, "invalid: ", 9) == 0);
}
END_TEST

START_TEST(numbers_times_and_words)
{
    uint64_t n = 7;
    int64_t ms = 7;
    bool yes = true;

    ck_assert_int_eq(
        load("n=10&t=2s&w=no&n=11&t=500&big=1001&long=1h&odd=x&w=maybe&none=-1&zero=0", ""), 0);
    ck_assert_int_eq(params_count(&p, "absent", 1000, &n, &why), 0);
    ck_assert_uint_eq(n, 7);
    ck_assert_int_eq(params_count(&p, "n", 1000, &n, &why), 0);
    ck_assert_uint_eq(n, 10);
    ck_assert_int_eq(params_count(&p, "big", 1000, &n, &why), -EINVAL);
    ck_assert_str_eq(why.text, "invalid: big is 1001, not a number from 1 to 1000");
    ck_assert_int_eq(params_count(&p, "none", 1000, &n, &why), -EINVAL);
    ck_assert_int_eq(params_count(&p, "zero", 1000, &n, &why), -EINVAL);
    ck_assert_str_eq(why.text, "invalid: zero is 0, not a number from 1 to 1000");
    ck_assert_int_eq(params_time(&p, "t", 60000, &ms, &why), 0);
    ck_assert_int_eq(ms, 2000);
    ck_assert_int_eq(params_time(&p, "t", 60000, &ms, &why), 0);
    ck_assert_int_eq(ms, 500);
    ck_assert_int_eq(params_time(&p, "long", 60000, &ms, &why), -EINVAL);
    ck_assert_int_eq(params_time(&p, "odd", 60000, &ms, &why), -EINVAL);
    ck_assert_int_eq(params_word(&p, "w", "no", "yes", &yes, &why), 0);
    ck_assert(!yes);
    ck_assert_int_eq(params_word(&p, "w", "no", "yes", &yes, &why), -EINVAL);
    ck_assert_int_eq(params_done(&p, &why), -EINVAL); /* the second n */
    ck_assert_str_eq(why.text, "invalid: n is not known here, or is said twice");
}
END_TEST

START_TEST(settings_become_headers)
{
    struct slice headers, value;
    bool facts = false;

    ck_assert_int_eq(load("max-messages=10&facts=1", "{\"overflow\":\"drop-newest\"}"), 0);
    ck_assert_int_eq(params_settings(&p, POLICY_SUBSCRIPTION, &headers, &facts, &why), 0);
    ck_assert(facts);
    ck_assert(headers_find(headers, SLICE("$max-messages"), &value));
    ck_assert(slice_eq(value, SLICE("10")));
    ck_assert(headers_find(headers, SLICE("$overflow"), &value));
    ck_assert(slice_eq(value, SLICE("drop-newest")));
    ck_assert(headers_find(headers, SLICE("$facts"), &value));
}
END_TEST

static const char *const strange[] = {"colour=red", "ack-timeout=1s", "facts=2", "ttl=1"};

START_TEST(strange_settings_are_refused)
{
    struct slice headers;
    bool facts;

    ck_assert_int_eq(load(strange[_i], ""), 0);
    ck_assert_int_eq(params_settings(&p, POLICY_SUBSCRIPTION, &headers, &facts, &why), -EINVAL);
    ck_assert_int_eq(why.reason, REASON_INVALID);
}
END_TEST

START_TEST(filters_are_bounded)
{
    struct slice filters[2] = {SLICE("first")};
    unsigned n = 1;

    ck_assert_int_eq(load("filter=a.%23&filter=b", ""), 0);
    ck_assert_int_eq(params_filters(&p, filters, 2, &n, &why), -EINVAL);
    ck_assert_int_eq(why.reason, REASON_LIMIT);
    ck_assert_uint_eq(n, 2);
    ck_assert(slice_eq(filters[1], SLICE("a.#")));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http params");
    TCase *tc = tcase_create("params");
    SRunner *runner;
    int not_passed;

    tcase_add_checked_fixture(tc, NULL, teardown);
    tcase_add_test(tc, both_ways_are_one);
    tcase_add_loop_test(tc, what_is_wrong_is_said, 0, sizeof wrong / sizeof *wrong);
    tcase_add_test(tc, numbers_times_and_words);
    tcase_add_test(tc, settings_become_headers);
    tcase_add_loop_test(tc, strange_settings_are_refused, 0, sizeof strange / sizeof *strange);
    tcase_add_test(tc, filters_are_bounded);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    not_passed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return not_passed ? EXIT_FAILURE : EXIT_SUCCESS;
}
