/* Credit of consumers: what is unlimited stays so, what has ended stays silent. */
#include "tests/unit/core/world.h"

#include <check.h>

static struct world world;
static struct policy_set *policies;
static struct world_peer pub, a;

/* Publisher on core 0, a on the last. */
static void start(unsigned cores, enum policy_kind kind, const char *settings)
{
    policies = world_policy(kind, "#", settings);
    world_start(&world, cores, policies, INT64_C(1) << 30);
    world_connect(&world, &pub, 0);
    world_connect(&world, &a, cores - 1);
}

static void stop(void)
{
    world_stop(&world);
    policies = policy_set_unref(policies);
}

/* The queue lives on core 0, its consumer on another that lends it credit. */
START_TEST(unlimited_is_not_a_sum)
{
    start(_i ? 2 : 1, POLICY_QUEUE, "");
    world_publish(&pub, PUBLISH_WINDOW, true, "work", "1 2 3");
    world_run(&world);
    world_consume(&a, "work", false, CORE_UNLIMITED - 1);
    core_grant(a.consumer, 1);
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 3 ");
    /* As if it had taken so many since. */
    a.consumer->delivered = a.consumer->written = a.consumer->errand->lent =
        UINT64_C(0x7fffffff) + 5;
    core_grant(a.consumer, 1);
    world_run(&world);
    if (_i)
        ck_assert_uint_gt(a.consumer->errand->lent, a.consumer->delivered);
    else
        ck_assert_uint_ge(a.consumer->tap->credit, CORE_UNLIMITED);
    stop();
}
END_TEST

/* A subscription that is to end for its overflow gets nothing more: what came would have a hole
 * before it, and be counted as lost besides. */
START_TEST(nothing_after_a_fatal_overflow)
{
    start(_i ? 2 : 1, POLICY_SUBSCRIPTION, "max-messages=2 overflow=disconnect");
    world_subscribe(&a, "t", 0);
    world_run(&world);
    world_publish(&pub, PUBLISH_WINDOW, false, "t", "1 2 3");
    while (world_hand(&world, 0, world.n - 1))
        continue;
    core_grant(a.consumer, 10);
    world_publish(&pub, PUBLISH_WINDOW, false, "t", "4");
    world_run(&world);
    ck_assert_str_eq(a.got, "");
    ck_assert(a.closed);
    ck_assert_uint_eq(a.lost, 4);
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("credit");
    TCase *tc = tcase_create("consumers");
    SRunner *r;
    int failed;

    tcase_add_loop_test(tc, unlimited_is_not_a_sum, 0, 2);
    tcase_add_loop_test(tc, nothing_after_a_fatal_overflow, 0, 2);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
