/* The window and the breaker, played through with a clock and a die of the test's own. */
#include "brokerd/webhooks/pace.h"

#include "brokerd/webhooks/outcome.h"
#include "tests/unit/webhooks/check_main.h"

static const struct pace_options options = {
    .window = 64, .break_after = 10, .break_min_ms = 1000, .break_max_ms = 300000};

enum { NO_JITTER = 200 }; /* of 1000 ms +- 200: the middle */

static struct pace fresh(void)
{
    struct pace p;

    pace_init(&p, &options);
    return p;
}

/* Send one and have it end at once. */
static enum pace_change one(struct pace *p, enum pace_outcome outcome, int64_t now)
{
    ck_assert_uint_gt(pace_room(p, now), 0);
    return pace_done(p, pace_start(p), outcome, -1, now, NO_JITTER);
}

START_TEST(begins_small_and_grows_by_windows)
{
    struct pace p = fresh();

    ck_assert_uint_eq(pace_room(&p, 0), 4);
    for (int i = 0; i < 4; i++)
        one(&p, PACE_OK, 0);
    ck_assert_uint_eq(p.limit, 5);
    for (int i = 0; i < 5; i++)
        one(&p, PACE_OK, 0);
    ck_assert_uint_eq(p.limit, 6);
    for (int i = 0; i < 5000; i++)
        one(&p, PACE_OK, 0);
    ck_assert_uint_eq(p.limit, 64);
}
END_TEST

START_TEST(never_more_than_the_window)
{
    struct pace_options small = options;
    struct pace p;

    small.window = 2;
    pace_init(&p, &small);
    pace_start(&p);
    ck_assert_uint_eq(pace_room(&p, 0), 1);
    pace_start(&p);
    ck_assert_uint_eq(pace_room(&p, 0), 0);
    for (int i = 0; i < 100; i++) {
        pace_done(&p, 0, PACE_OK, -1, 0, 0);
        pace_start(&p);
    }
    ck_assert_uint_eq(p.limit, 2);
}
END_TEST

START_TEST(trouble_halves_once_for_all_under_way)
{
    struct pace p = fresh();
    uint64_t t[32];

    p.limit = 32;
    for (int i = 0; i < 32; i++)
        t[i] = pace_start(&p);
    pace_done(&p, t[0], PACE_TROUBLE, -1, 0, 0);
    ck_assert_uint_eq(p.limit, 16);
    pace_done(&p, t[1], PACE_TROUBLE, -1, 0, 0);
    ck_assert_uint_eq(p.limit, 16);
    pace_done(&p, t[2], PACE_OK, -1, 0, 0);
    ck_assert_uint_eq(pace_room(&p, 0), 0); /* 29 are still under way */
    for (int i = 3; i < 32; i++)
        pace_done(&p, t[i], PACE_OK, -1, 0, 0);
    ck_assert_uint_eq(p.limit, 17);
    one(&p, PACE_TROUBLE, 0);
    ck_assert_uint_eq(p.limit, 8);
}
END_TEST

START_TEST(one_while_it_fails)
{
    struct pace p = fresh();

    p.limit = 40;
    for (int i = 0; i < 3; i++)
        one(&p, PACE_FAILED, 0);
    ck_assert_uint_eq(p.limit, 1);
    one(&p, PACE_OK, 0);
    ck_assert_uint_eq(p.limit, 2);
    ck_assert_uint_eq(p.failures, 0);
}
END_TEST

START_TEST(breaker_opens_probes_and_closes)
{
    struct pace p = fresh();
    int64_t now = 5000;

    for (int i = 0; i < 9; i++)
        ck_assert_int_eq(one(&p, PACE_TROUBLE, now), PACE_SAME);
    ck_assert_int_eq(one(&p, PACE_TROUBLE, now), PACE_OPENED);
    ck_assert_int_eq(p.state, PACE_OPEN);
    ck_assert_uint_eq(pace_room(&p, now + 999), 0);
    ck_assert_int_eq(pace_due(&p, now), now + 1000);
    ck_assert_uint_eq(pace_room(&p, now + 1000), 1);
    ck_assert_int_eq(p.state, PACE_PROBING);
    pace_start(&p);
    ck_assert_uint_eq(pace_room(&p, now + 1000), 0);
    ck_assert_int_eq(pace_done(&p, p.tickets - 1, PACE_OK, -1, now + 1100, 0), PACE_RECOVERED);
    ck_assert_int_eq(p.state, PACE_CLOSED);
    ck_assert_uint_eq(pace_room(&p, now + 1100), 1);
}
END_TEST

START_TEST(open_twice_as_long_each_time)
{
    struct pace p = fresh();
    int64_t now = 0, waits[12];

    for (int i = 0; i < 10; i++)
        one(&p, PACE_TROUBLE, now);
    for (int i = 0; i < 12; i++) {
        waits[i] = p.open_until_ms - now;
        now = p.open_until_ms;
        ck_assert_uint_eq(pace_room(&p, now), 1);
        /* the middle of the jitter, whatever the time */
        pace_done(&p, pace_start(&p), PACE_TROUBLE, -1, now,
                  (uint32_t)(p.open_ms * PACE_JITTER_PERCENT / 100));
    }
    for (int i = 0; i < 9; i++)
        ck_assert_int_eq(waits[i], INT64_C(1000) << i);
    ck_assert_int_eq(waits[9], 300000);
    ck_assert_int_eq(waits[11], 300000);
}
END_TEST

/* What was under way when it opened says nothing new, in whatever state it ends. */
START_TEST(late_failures_do_not_count)
{
    struct pace p = fresh();
    uint64_t late[4];
    int64_t until;

    for (int i = 0; i < 4; i++)
        late[i] = pace_start(&p);
    p.failures = 9;
    ck_assert_int_eq(pace_done(&p, late[0], PACE_TROUBLE, -1, 0, NO_JITTER), PACE_OPENED);
    until = p.open_until_ms;
    pace_done(&p, late[1], PACE_TROUBLE, -1, 10, NO_JITTER);
    ck_assert_int_eq(p.open_until_ms, until);
    ck_assert_uint_eq(pace_room(&p, until), 1); /* though two are still under way */
    pace_start(&p);
    pace_done(&p, late[2], PACE_TROUBLE, -1, until, NO_JITTER);
    ck_assert_int_eq(p.state, PACE_PROBING);
    ck_assert_uint_eq(pace_room(&p, until), 0);
    pace_forget(&p, p.tickets - 1);
    ck_assert_uint_eq(pace_room(&p, until), 1);
}
END_TEST

START_TEST(retry_after_pauses)
{
    struct pace p = fresh();

    pace_done(&p, pace_start(&p), PACE_TROUBLE, 3000, 100, 0);
    ck_assert_uint_eq(pace_room(&p, 3099), 0);
    ck_assert_int_eq(pace_due(&p, 200), 3100);
    ck_assert_uint_eq(pace_room(&p, 3100), 2); /* 4, halved */
    ck_assert_int_eq(pace_due(&p, 3100), INT64_MAX);
    pace_done(&p, pace_start(&p), PACE_OK, 9000, 3100, 0); /* of a success it means nothing */
    ck_assert_uint_gt(pace_room(&p, 3100), 0);
}
END_TEST

START_TEST(jitter_stays_within_a_fifth)
{
    static const int64_t of[] = {0, 1, 4, 5, 10, 999, 1000, 86400000};

    for (int i = 0; i < COUNT(of); i++) {
        int64_t span = of[i] * PACE_JITTER_PERCENT / 100, least = INT64_MAX, most = 0;

        for (uint32_t r = 0; r < 2000; r++) {
            int64_t ms = pace_jitter(of[i], r * 2654435761u);

            ck_assert(ms >= of[i] - span && ms <= of[i] + span);
            least = ms < least ? ms : least;
            most = ms > most ? ms : most;
        }
        if (of[i] >= 5)
            ck_assert_int_gt(most, least);
    }
}
END_TEST

/* -------------------------------------------------------------------------------------- outcomes
 */

START_TEST(judgements)
{
    static const struct {
        enum attempt_end end;
        unsigned status;
        enum verdict verdict;
        enum pace_outcome pace;
    } rows[] = {
        {ATTEMPT_ANSWERED, 200, VERDICT_DELIVERED, PACE_OK},
        {ATTEMPT_ANSWERED, 204, VERDICT_DELIVERED, PACE_OK},
        {ATTEMPT_ANSWERED, 299, VERDICT_DELIVERED, PACE_OK},
        {ATTEMPT_ANSWERED, 301, VERDICT_RETRY, PACE_FAILED},
        {ATTEMPT_ANSWERED, 307, VERDICT_RETRY, PACE_FAILED},
        {ATTEMPT_ANSWERED, 400, VERDICT_RETRY, PACE_FAILED},
        {ATTEMPT_ANSWERED, 401, VERDICT_RETRY, PACE_FAILED},
        {ATTEMPT_ANSWERED, 404, VERDICT_RETRY, PACE_FAILED},
        {ATTEMPT_ANSWERED, 408, VERDICT_RETRY, PACE_TROUBLE},
        {ATTEMPT_ANSWERED, 410, VERDICT_GONE, PACE_FAILED},
        {ATTEMPT_ANSWERED, 425, VERDICT_RETRY, PACE_TROUBLE},
        {ATTEMPT_ANSWERED, 429, VERDICT_RETRY, PACE_TROUBLE},
        {ATTEMPT_ANSWERED, 500, VERDICT_RETRY, PACE_TROUBLE},
        {ATTEMPT_ANSWERED, 503, VERDICT_RETRY, PACE_TROUBLE},
        {ATTEMPT_TIMED_OUT, 0, VERDICT_RETRY, PACE_TROUBLE},
        {ATTEMPT_TIMED_OUT, 200, VERDICT_RETRY, PACE_TROUBLE},
        {ATTEMPT_UNREACHED, 0, VERDICT_RETRY, PACE_TROUBLE},
        {ATTEMPT_FORBIDDEN, 0, VERDICT_RETRY, PACE_TROUBLE},
        {ATTEMPT_TLS, 0, VERDICT_RETRY, PACE_TROUBLE},
        {ATTEMPT_MALFORMED, 0, VERDICT_RETRY, PACE_TROUBLE},
    };

    for (int i = 0; i < COUNT(rows); i++) {
        struct outcome_judged j = outcome_judge(rows[i].end, rows[i].status);

        ck_assert_msg(j.verdict == rows[i].verdict && j.pace == rows[i].pace, "row %d", i);
    }
}
END_TEST

START_TEST(retry_after_values)
{
    const int64_t wall = INT64_C(1767323045) * 1000; /* Fri, 02 Jan 2026 03:04:05 GMT */
    static const struct {
        const char *value;
        int64_t ms;
    } rows[] = {
        {"0", 0},
        {"1", 1000},
        {"120", 120000},
        {"86400", 86400000},
        {"86401", 86400000},
        {"99999999999999999999999", 86400000},
        {"", -1},
        {"-1", -1},
        {"1.5", -1},
        {"soon", -1},
        {"5 s", -1},
        {"+3", -1},
        {"12 tomorrow", -1},
        {"Fri, 02 Jan 2026 03:04:15 GMT", 10000},
        {"Friday, 02-Jan-26 03:05:05 GMT", 60000},
        {"Fri Jan  2 03:04:06 2026", 1000},
        {"Fri, 02 Jan 2026 03:04:05 GMT", 0},
        {"Thu, 01 Jan 2026 00:00:00 GMT", 0},
        {"Mon, 02 Feb 2026 03:04:05 GMT", 86400000},
        {"Sun, 06 Nov 2147483647 08:49:37 GMT", 86400000},
        {"Fri, 99 Zzz 2026 03:04:05 GMT", -1},
        {"Fri, 02 Jan 2026 03:04:15 GMT and a very long tail that is no part of it", -1},
    };

    for (int i = 0; i < COUNT(rows); i++)
        ck_assert_msg(retry_after_ms(slice_str(rows[i].value), wall) == rows[i].ms, "%s: %lld",
                      rows[i].value, (long long)retry_after_ms(slice_str(rows[i].value), wall));
}
END_TEST

START_TEST(the_plan)
{
    struct webhook_spec s = {.retry_ms = {1000, 60000}, .retries = 2};

    ck_assert(retry_is_left(&s, 1));
    ck_assert(retry_is_left(&s, 2));
    ck_assert(!retry_is_left(&s, 3));
    ck_assert_uint_eq(retry_delay(&s, 1, -1, NO_JITTER), 1000);
    ck_assert_uint_eq(retry_delay(&s, 1, 500, NO_JITTER), 1000);
    ck_assert_uint_eq(retry_delay(&s, 1, 30000, NO_JITTER), 30000);
    ck_assert_uint_eq(retry_delay(&s, 2, -1, 0), 48000);
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_test(tc, begins_small_and_grows_by_windows);
    tcase_add_test(tc, never_more_than_the_window);
    tcase_add_test(tc, trouble_halves_once_for_all_under_way);
    tcase_add_test(tc, one_while_it_fails);
    tcase_add_test(tc, breaker_opens_probes_and_closes);
    tcase_add_test(tc, open_twice_as_long_each_time);
    tcase_add_test(tc, late_failures_do_not_count);
    tcase_add_test(tc, retry_after_pauses);
    tcase_add_test(tc, jitter_stays_within_a_fifth);
    tcase_add_test(tc, judgements);
    tcase_add_test(tc, retry_after_values);
    tcase_add_test(tc, the_plan);
}

int main(void)
{
    return check_run("pace", add);
}
