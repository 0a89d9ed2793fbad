/* Dates and times as text. */
#include "libbroker/base/rfc3339.h"

#include <check.h>
#include <errno.h>

static const struct {
    const char *text;
    int64_t ms; /* -1: it is none */
} rows[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"1970-01-01t00:00:01z", 1000},
    {"2000-02-29T23:59:59.999Z", 951868799999},
    {"2026-11-23T11:20:32.8131Z", 1795432832813},
    {"2026-11-23T12:20:32.81+01:00", 1795432832810},
    {"2026-11-22T23:50:00-11:30", 1795432800000},
    {"2016-12-31T23:59:60Z", 1483228800000},
    {"1969-12-31T23:59:59Z", -1000},
    {"2026-11-23", -1},
    {"2026-11-23T11:20:32", -1},
    {"2026-11-23 11:20:32Z", -1},
    {"2026-02-29T00:00:00Z", -1},
    {"1900-02-29T00:00:00Z", -1},
    {"2026-13-01T00:00:00Z", -1},
    {"2026-00-01T00:00:00Z", -1},
    {"2026-01-00T00:00:00Z", -1},
    {"2026-01-01T24:00:00Z", -1},
    {"2026-01-01T00:60:00Z", -1},
    {"2026-01-01T00:00:61Z", -1},
    {"2026-01-01T00:00:00.Z", -1},
    {"2026-01-01T00:00:00+24:00", -1},
    {"2026-01-01T00:00:00+01:0", -1},
    {"2026-01-01T00:00:00ZZ", -1},
    {"2026-01-0aT00:00:00Z", -1},
    {"", -1},
};

START_TEST(reads_times)
{
    int64_t ms = -1;
    int r = rfc3339_parse(slice_str(rows[_i].text), &ms);

    ck_assert_msg(ms == rows[_i].ms, "%s: %lld", rows[_i].text, (long long)ms);
    ck_assert_int_eq(r, rows[_i].ms == -1 ? -EINVAL : 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rfc3339");
    TCase *t = tcase_create("rfc3339");
    SRunner *r;
    int failed;

    tcase_add_loop_test(t, reads_times, 0, sizeof rows / sizeof *rows);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
