/* Sizes, times and counts, from text and back. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "libbroker/base/units.h"

enum kind { SIZE, TIME, COUNT };

static const struct {
    enum kind kind;
    const char *text;
    unsigned flags;
    int answer;
    uint64_t value;
    const char *back; /* as formatted; NULL: as `text` */
} rows[] = {
    {SIZE, "1", 0, 0, 1, "1B"},
    {SIZE, "1B", 0, 0, 1, NULL},
    {SIZE, "64MiB", 0, 0, 64ULL << 20, NULL},
    {SIZE, "1024KiB", 0, 0, 1 << 20, "1MiB"},
    {SIZE, "3GiB", 0, 0, 3ULL << 30, NULL},
    {SIZE, "1025", 0, 0, 1025, "1025B"},
    {SIZE, "unlimited", UNITS_NO_LIMIT, 0, UNITS_UNLIMITED, NULL},
    {SIZE, "unlimited", 0, -EINVAL, 0, NULL},
    {SIZE, "0", 0, -EINVAL, 0, NULL},
    {SIZE, "0", UNITS_ZERO, 0, 0, "0B"},
    {SIZE, "0MiB", UNITS_ZERO, 0, 0, "0B"},
    {SIZE, "64 MiB", 0, -EINVAL, 0, NULL},
    {SIZE, "64MB", 0, -EINVAL, 0, NULL},
    {SIZE, "64mib", 0, -EINVAL, 0, NULL},
    {SIZE, "MiB", 0, -EINVAL, 0, NULL},
    {SIZE, "", 0, -EINVAL, 0, NULL},
    {SIZE, "-1", 0, -EINVAL, 0, NULL},
    {SIZE, "+1", 0, -EINVAL, 0, NULL},
    {SIZE, "1.5GiB", 0, -EINVAL, 0, NULL},
    {SIZE, "0x10", 0, -EINVAL, 0, NULL},
    {SIZE, "18446744073709551614", 0, 0, UINT64_MAX - 1, "18446744073709551614B"},
    {SIZE, "18446744073709551615", 0, -ERANGE, 0, NULL}, /* would read as unlimited */
    {SIZE, "18446744073709551616", 0, -ERANGE, 0, NULL},
    {SIZE, "17179869184GiB", 0, -ERANGE, 0, NULL},
    {TIME, "500ms", 0, 0, 500, NULL},
    {TIME, "1500ms", 0, 0, 1500, NULL},
    {TIME, "30s", 0, 0, 30000, NULL},
    {TIME, "60s", 0, 0, 60000, "1m"},
    {TIME, "90m", 0, 0, 5400000, NULL},
    {TIME, "24h", 0, 0, 86400000, "1d"},
    {TIME, "7d", 0, 0, 604800000, NULL},
    {TIME, "never", UNITS_NO_LIMIT, 0, INT64_MAX, NULL},
    {TIME, "unlimited", UNITS_NO_LIMIT, 0, INT64_MAX, "never"},
    {TIME, "never", 0, -EINVAL, 0, NULL},
    {TIME, "30", 0, -EINVAL, 0, NULL},
    {TIME, "30", UNITS_PLAIN_MS, 0, 30, "30ms"},
    {TIME, "0", UNITS_ZERO, 0, 0, "0ms"},
    {TIME, "0s", 0, -EINVAL, 0, NULL},
    {TIME, "1M", 0, -EINVAL, 0, NULL},
    {TIME, "365000d", 0, 0, 365000ULL * 86400000, NULL},
    {TIME, "31536000000001ms", 0, -ERANGE, 0, NULL}, /* a sum with a clock might overflow */
    {TIME, "106751991168d", 0, -ERANGE, 0, NULL},
    {TIME, "9223372036854775807ms", 0, -ERANGE, 0, NULL}, /* would read as never */
    {COUNT, "1", 0, 0, 1, NULL},
    {COUNT, "100000", 0, 0, 100000, NULL},
    {COUNT, "007", 0, 0, 7, "7"},
    {COUNT, "unlimited", UNITS_NO_LIMIT, 0, UNITS_UNLIMITED, NULL},
    {COUNT, "10k", 0, -EINVAL, 0, NULL},
    {COUNT, "0", 0, -EINVAL, 0, NULL},
    {COUNT, "99999999999999999999", 0, -ERANGE, 0, NULL},
};

START_TEST(from_text_and_back)
{
    struct slice text = slice_str(rows[_i].text);
    const char *back = rows[_i].back ? rows[_i].back : rows[_i].text;
    char buf[UNITS_TEXT_MAX];
    uint64_t value = 77;
    int64_t ms = 77;
    int r = 0;

    switch (rows[_i].kind) {
    case SIZE:
        r = units_parse_size(text, rows[_i].flags, &value);
        (void)units_format_size(value, buf, sizeof buf);
        break;
    case TIME:
        r = units_parse_time(text, rows[_i].flags, &ms);
        value = (uint64_t)ms;
        (void)units_format_time(ms, buf, sizeof buf);
        break;
    case COUNT:
        r = units_parse_count(text, rows[_i].flags, &value);
        (void)units_format_count(value, buf, sizeof buf);
        break;
    }
    ck_assert_msg(r == rows[_i].answer, "'%s': %d", rows[_i].text, r);
    ck_assert_msg(value == (r == 0 ? rows[_i].value : 77), "'%s'", rows[_i].text);
    if (r == 0)
        ck_assert_str_eq(buf, back);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("units");
    TCase *tc = tcase_create("units");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, from_text_and_back, 0, (int)(sizeof rows / sizeof *rows));
    suite_add_tcase(s, tc);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
