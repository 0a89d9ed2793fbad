/* The wheel fires what is due, not before and not a step too late. */
#include <check.h>
#include <stdlib.h>

#include "brokerd/net/wheel.h"

enum { NODES = 2000 };

START_TEST(fires_in_time)
{
    static struct wheel w;
    static struct wheel_node n[NODES];
    int64_t start = 1000003, fired_n = 0;
    unsigned seed = 7;

    wheel_init(&w, start);
    ck_assert_int_eq(wheel_next(&w), INT64_MAX);
    for (int i = 0; i < NODES; i++) {
        n[i] = (struct wheel_node){0};
        seed = seed * 1103515245 + 12345;
        /* up to three laps ahead, and some in the past */
        wheel_set(&w, &n[i], start - 100 + (seed >> 8) % (3 * WHEEL_SLOTS * WHEEL_STEP_MS));
    }
    for (int64_t now = start; fired_n < NODES;) {
        struct wheel_node *f;

        while ((f = wheel_pop(&w, now)) != NULL) {
            ck_assert(!list_linked(&f->link));
            ck_assert_int_le(f->due_ms, now);
            ck_assert(f->due_ms < start || f->due_ms + 2 * WHEEL_STEP_MS >= now);
            fired_n++;
        }
        if (fired_n == NODES)
            break;
        ck_assert_int_gt(wheel_next(&w), now);
        now = wheel_next(&w); /* as the worker sleeps */
    }
    ck_assert_int_eq(wheel_next(&w), INT64_MAX);
}
END_TEST

START_TEST(a_long_sleep_misses_nothing)
{
    static struct wheel w;
    struct wheel_node a = {0}, b = {0}, c = {0};
    int fired = 0;

    wheel_init(&w, 0);
    wheel_set(&w, &a, 100);
    wheel_set(&w, &b, 40000);
    wheel_set(&w, &c, 10000000);
    while (wheel_pop(&w, 1000000))
        fired++;
    ck_assert_int_eq(fired, 2);
    ck_assert(list_linked(&c.link));
    wheel_set(&w, &c, INT64_MAX);
    ck_assert(!list_linked(&c.link));
    ck_assert_ptr_null(wheel_pop(&w, 20000000));
}
END_TEST

START_TEST(set_again_moves)
{
    static struct wheel w;
    struct wheel_node a = {0};

    wheel_init(&w, 5000);
    wheel_set(&w, &a, 5100);
    wheel_set(&w, &a, 9000);
    ck_assert_ptr_null(wheel_pop(&w, 6000));
    ck_assert_int_gt(wheel_next(&w), 6000);
    ck_assert_ptr_eq(wheel_pop(&w, 9100), &a);
    ck_assert_ptr_null(wheel_pop(&w, 9100));
    /* what lies in the past fires at the next step */
    wheel_set(&w, &a, 100);
    ck_assert_ptr_null(wheel_pop(&w, 9100));
    ck_assert_ptr_eq(wheel_pop(&w, 9100 + 2 * WHEEL_STEP_MS), &a);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wheel");
    TCase *tc = tcase_create("wheel");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, fires_in_time);
    tcase_add_test(tc, a_long_sleep_misses_nothing);
    tcase_add_test(tc, set_again_moves);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
