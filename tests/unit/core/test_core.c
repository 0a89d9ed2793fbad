/* What a core does for its peers, seen from outside: publish, deliver, credit, settle; on one
 * core and across several. */
#include "tests/unit/core/world.h"

#include <check.h>
#include <errno.h>

static struct world world;
static struct policy_set *policies;
static struct world_peer pub, a, b, c;

static void with_policy(enum policy_kind kind, const char *filter, const char *settings)
{
    struct queue_policy policy = policy_default(kind);
    struct policy_globals globals = policy_globals_default();
    char err[POLICY_ERROR_MAX], copy[512];

    snprintf(copy, sizeof copy, "%s", settings);
    ck_assert_int_eq(policy_set_new(&globals, &policies), 0);
    for (char *key = strtok(copy, " "); key; key = strtok(NULL, " ")) {
        char *value = strchr(key, '=');

        ck_assert_int_eq(policy_set_key(&policy, kind, slice_of(key, (size_t)(value - key)),
                                        slice_str(value + 1), err, sizeof err),
                         0);
    }
    if (*filter)
        ck_assert_int_eq(policy_set_add(policies, kind, slice_str(filter), &policy, NULL, 0), 0);
}

static void start(unsigned cores)
{
    if (!policies)
        with_policy(POLICY_QUEUE, "", "");
    world_start(&world, cores, policies, INT64_C(1) << 30);
    world_connect(&world, &pub, 0);
    world_connect(&world, &a, cores > 1 ? 1 : 0);
    world_connect(&world, &b, 0);
    world_connect(&world, &c, cores > 2 ? 2 : 0);
}

static void teardown(void)
{
    world_stop(&world);
    policies = policy_set_unref(policies);
}

/* Each test runs on one core and on three: _i is 0 or 1. */
static unsigned cores_of(int i)
{
    return i ? 3 : 1;
}

START_TEST(publishes_to_subscribers)
{
    start(cores_of(_i));
    ck_assert_int_eq(world_subscribe(&a, "orders.#", 100), 0);
    ck_assert_int_eq(world_subscribe(&b, "orders.eu", 100), 0);
    world_run(&world);
    ck_assert(a.ready && b.ready);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, false, "orders.eu", "x"), 0);
    world_run(&world);
    ck_assert_str_eq(a.got, "x ");
    ck_assert_str_eq(b.got, "x ");
    ck_assert_uint_eq(pub.upto, 1);
    ck_assert_uint_eq(pub.last.matched, 2);
    ck_assert_uint_eq(pub.last.accepted, 2);
    ck_assert_uint_ge(pub.granted, 1024);
    teardown();
}
END_TEST

START_TEST(never_beyond_credit)
{
    start(cores_of(_i));
    world_subscribe(&a, "t", 2);
    world_run(&world);
    world_publish(&pub, PUBLISH_FORGET, false, "t", "1 2 3 4 5");
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 ");
    core_grant(a.consumer, 2);
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 3 4 ");
    core_grant(a.consumer, CORE_UNLIMITED);
    world_publish(&pub, PUBLISH_FORGET, false, "t", "6 7");
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 3 4 5 6 7 ");
    teardown();
}
END_TEST

START_TEST(nothing_matches)
{
    start(cores_of(_i));
    world_publish(&pub, PUBLISH_WINDOW, false, "nobody.here", "x");
    world_run(&world);
    ck_assert_uint_eq(pub.upto, 1);
    ck_assert_uint_eq(pub.last.matched, 0);
    ck_assert_int_eq(pub.last.reason, REASON_NO_MATCH);
    teardown();
}
END_TEST

START_TEST(queue_serves_in_turn_and_redelivers)
{
    start(cores_of(_i));
    ck_assert_int_eq(world_consume(&a, "work", true, 100), 0);
    ck_assert_int_eq(world_consume(&b, "work", true, 100), 0);
    world_run(&world);
    ck_assert(a.ready && b.ready);
    world_publish(&pub, PUBLISH_WINDOW, true, "work", "1 2 3 4");
    world_run(&world);
    ck_assert_uint_eq(a.deliveries, 2);
    ck_assert_uint_eq(b.deliveries, 2);
    ck_assert_uint_eq(pub.accepted, 4);
    ck_assert_int_eq(core_ack(b.consumer, 1, 2, ACK_DONE, 0), 0);
    ck_assert_int_eq(core_ack(b.consumer, 3, 1, ACK_DONE, 0), -EINVAL);
    b.got[0] = '\0';
    world_disconnect(&a);
    world_run(&world);
    ck_assert_msg(strcmp(b.got, "*1 *2 ") == 0 || strcmp(b.got, "*3 *4 ") == 0, "%s", b.got);
    teardown();
}
END_TEST

/* What a consumer takes at once never waits: limits of what waits do not concern it, and what none
 * has credit for is the queue's again. */
START_TEST(a_queue_with_hungry_consumers_keeps_nothing_waiting)
{
    struct world_peer *both[] = {&a, &b};
    struct core *home;

    with_policy(POLICY_QUEUE, "work", "max-messages=1 overflow=reject");
    start(cores_of(_i));
    world_consume(&b, "work", true, 3);
    world_run(&world); /* the queue's home is b's core */
    world_consume(&a, "work", true, 3);
    world_run(&world);
    home = world.core[0];
    world_publish(&pub, PUBLISH_WINDOW, true, "work", "1 2 3 4 5 6 7 8");
    world_run(&world);
    ck_assert_uint_eq(a.deliveries, 3);
    ck_assert_uint_eq(b.deliveries, 3);
    ck_assert_uint_eq(pub.accepted, 7);
    ck_assert_uint_eq(pub.refused, 1); /* "7" waits, and there is no room for another */
    ck_assert_uint_gt(home->used, 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(core_ack(both[i]->consumer, 1, 3, ACK_DONE, 0), 0);
        core_grant(both[i]->consumer, 1);
    }
    world_run(&world);
    ck_assert_uint_eq(a.deliveries + b.deliveries, 7);
    for (int i = 0; i < 2; i++)
        if (both[i]->deliveries == 4)
            ck_assert_int_eq(core_ack(both[i]->consumer, 4, 1, ACK_DONE, 0), 0);
    world_run(&world);
    ck_assert_int_eq(home->used, 0); /* each was charged once */
    ck_assert_uint_eq(home->pool.used, 0);
    teardown();
}
END_TEST

/* In flight without ever having waited, they come back to their old places. */
START_TEST(what_never_waited_comes_back_in_order)
{
    start(cores_of(_i));
    world_consume(&a, "work", true, 100);
    world_run(&world);
    world_publish(&pub, PUBLISH_WINDOW, true, "work", "1 2 3");
    world_run(&world);
    world_publish(&pub, PUBLISH_WINDOW, true, "work", "4 5");
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 3 4 5 ");
    core_ack(a.consumer, 2, 1, ACK_DONE, 0);
    core_ack(a.consumer, 5, 1, ACK_NACK, 0);
    world_disconnect(&a);
    world_run(&world);
    world_consume(&b, "work", true, 100);
    world_publish(&pub, PUBLISH_WINDOW, true, "work", "6");
    world_run(&world);
    ck_assert_str_eq(b.got, "*1 *3 *4 *5 6 ");
    teardown();
}
END_TEST

START_TEST(nack_comes_back_in_place_after_its_delay)
{
    start(cores_of(_i));
    world_consume(&a, "work", true, 2);
    world_run(&world);
    world_publish(&pub, PUBLISH_WINDOW, true, "work", "1 2 3");
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 ");
    ck_assert_int_eq(core_ack(a.consumer, 1, 1, ACK_NACK, 50), 0);
    ck_assert_int_eq(core_ack(a.consumer, 2, 1, ACK_NACK, 0), 0);
    core_grant(a.consumer, 2);
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 *2 3 ");
    core_grant(a.consumer, 2);
    world_advance(&world, 49);
    ck_assert_str_eq(a.got, "1 2 *2 3 ");
    world_advance(&world, 1);
    ck_assert_str_eq(a.got, "1 2 *2 3 *1 ");
    teardown();
}
END_TEST

START_TEST(ack_times_out)
{
    with_policy(POLICY_QUEUE, "#", "ack-timeout=1s max-deliveries=2 dead-letter=dead");
    start(cores_of(_i));
    world_consume(&a, "work", true, 100);
    world_subscribe(&b, "dead", 100);
    world_run(&world);
    world_publish(&pub, PUBLISH_WINDOW, true, "work", "x");
    world_run(&world);
    world_advance(&world, 500);
    core_ack(a.consumer, 1, 1, ACK_EXTEND, 1000);
    world_run(&world);
    world_advance(&world, 999);
    ck_assert_str_eq(a.got, "x ");
    world_advance(&world, 1);
    ck_assert_str_eq(a.got, "x *x ");
    world_advance(&world, 1000);
    ck_assert_str_eq(b.got, "x ");
    ck_assert_int_eq(strncmp(b.headers,
                             "$dead-reason=attempts;$dead-queue=work;$dead-topic=work;"
                             "$dead-attempts=2;$dead-id=",
                             strlen("$dead-reason=attempts;$dead-queue=work;$dead-topic=work;"
                                    "$dead-attempts=2;$dead-id=")),
                     0);
    teardown();
}
END_TEST

START_TEST(stalled_subscriber_loses_the_oldest_and_hears_of_it)
{
    with_policy(POLICY_SUBSCRIPTION, "#", "max-messages=3");
    start(cores_of(_i));
    world_subscribe(&a, "t", 0);
    world_subscribe(&b, "t", 100);
    world_run(&world);
    world_publish(&pub, PUBLISH_WINDOW, false, "t", "1 2 3 4 5");
    world_run(&world);
    ck_assert_str_eq(b.got, "1 2 3 4 5 ");
    ck_assert_uint_eq(pub.accepted, 5);
    core_grant(a.consumer, 100);
    world_run(&world);
    ck_assert_str_eq(a.got, "3 4 5 ");
    ck_assert_uint_eq(a.gaps, 2);
    ck_assert_int_eq(a.gap_reason, REASON_DROP_OLDEST);
    teardown();
}
END_TEST

START_TEST(full_queue_rejects)
{
    with_policy(POLICY_QUEUE, "#", "max-messages=2");
    start(cores_of(_i));
    world_consume(&a, "work", true, 0);
    world_subscribe(&b, "work", 100);
    world_run(&world);
    world_publish(&pub, PUBLISH_WINDOW, false, "work", "1 2 3 4");
    world_run(&world);
    ck_assert_uint_eq(pub.upto, 4);
    ck_assert_uint_eq(pub.accepted, 2);
    ck_assert_uint_eq(pub.refused, 2);
    ck_assert_int_eq(pub.last.reason, REASON_FULL);
    ck_assert_uint_eq(pub.last.matched, 2);
    ck_assert_uint_eq(pub.last.accepted, 1);
    ck_assert_str_eq(b.got, "1 2 3 4 ");
    teardown();
}
END_TEST

START_TEST(block_holds_the_publisher)
{
    with_policy(POLICY_QUEUE, "#", "max-messages=2 overflow=block block-timeout=10s");
    start(cores_of(_i));
    world_consume(&a, "work", true, 0);
    world_run(&world);
    world_publish(&pub, PUBLISH_WINDOW, false, "work", "1 2 3 4");
    world_run(&world);
    ck_assert_uint_eq(pub.upto, 2);
    world_advance(&world, 9000);
    core_grant(a.consumer, 1);
    world_run(&world);
    ck_assert_uint_eq(pub.upto, 3);
    core_grant(a.consumer, 10);
    world_run(&world);
    ck_assert_uint_eq(pub.upto, 4);
    ck_assert_uint_eq(pub.accepted, 4);
    ck_assert_str_eq(a.got, "1 2 3 4 ");
    teardown();
}
END_TEST

START_TEST(a_hold_ends_by_its_fallback)
{
    with_policy(POLICY_QUEUE, "#", "max-messages=2 overflow=block block-timeout=10s");
    start(cores_of(_i));
    world_consume(&a, "work", true, 0);
    world_run(&world);
    world_publish(&pub, PUBLISH_WINDOW, false, "work", "1 2 3 4");
    world_run(&world);
    world_advance(&world, 9999);
    ck_assert_uint_eq(pub.upto, 2);
    world_advance(&world, 1);
    ck_assert_uint_eq(pub.upto, 4);
    ck_assert_uint_eq(pub.refused, 2);
    /* Stuck: nobody is held any more until it has drained to half. */
    world_publish(&pub, PUBLISH_WINDOW, false, "work", "5");
    world_run(&world);
    ck_assert_uint_eq(pub.upto, 5);
    ck_assert_uint_eq(pub.refused, 3);
    core_grant(a.consumer, 1);
    world_run(&world);
    world_publish(&pub, PUBLISH_WINDOW, false, "work", "6");
    world_run(&world);
    ck_assert_uint_eq(pub.accepted, 3);
    teardown();
}
END_TEST

START_TEST(messages_expire)
{
    with_policy(POLICY_QUEUE, "#", "message-ttl=1s dead-letter=dead");
    start(cores_of(_i));
    world_consume(&a, "work", true, 0);
    world_subscribe(&b, "dead", 100);
    world_run(&world);
    world_publish(&pub, PUBLISH_WINDOW, false, "work", "1");
    world_run(&world);
    world_advance(&world, 500);
    world_publish(&pub, PUBLISH_WINDOW, false, "work", "2");
    world_run(&world);
    world_advance(&world, 501);
    core_grant(a.consumer, 10);
    world_run(&world);
    ck_assert_str_eq(a.got, "2 ");
    ck_assert_str_eq(b.got, "1 ");
    teardown();
}
END_TEST

/* Straight to a queue, which is made if need be, and has nothing else. */
START_TEST(dead_letters_go_to_a_queue)
{
    bool early = _i >= 2;

    with_policy(POLICY_QUEUE, "work", "message-ttl=1s dead-letter=queue:dead");
    start(cores_of(_i % 2));
    world_consume(&a, "work", true, 0);
    if (early) /* its home is another's */
        world_consume(&b, "dead", true, 100);
    world_run(&world);
    world_publish(&pub, PUBLISH_WINDOW, true, "work", "1 2");
    world_run(&world);
    world_advance(&world, 1001);
    if (!early) {
        world_publish(&pub, PUBLISH_WINDOW, false, "dead", "stray");
        world_run(&world);
        world_consume(&b, "dead", true, 100);
    }
    world_run(&world);
    ck_assert_str_eq(b.got, "1 2 ");
    ck_assert_str_eq(b.topic, "dead");
    ck_assert_str_eq(b.headers, "$dead-reason=expired;$dead-queue=work;$dead-topic=work;"
                                "$dead-attempts=0;$dead-id=1;");
    world_publish(&pub, PUBLISH_WINDOW, true, "work", "3");
    world_run(&world);
    world_advance(&world, 1001);
    ck_assert_str_eq(b.got, "1 2 3 ");
    ck_assert_uint_eq(world.events[EVENT_DEAD_LETTER], 2);
    teardown();
}
END_TEST

/* Two queues that are each other's, one that is its own: a letter goes once around. */
START_TEST(dead_letters_do_not_go_round)
{
    with_policy(POLICY_QUEUE, "work", "message-ttl=1s dead-letter=queue:work");
    start(cores_of(_i));
    world_consume(&a, "work", true, 0);
    world_run(&world);
    world_publish(&pub, PUBLISH_WINDOW, true, "work", "1");
    world_run(&world);
    for (int i = 0; i < 5; i++)
        world_advance(&world, 1001);
    core_grant(a.consumer, 10);
    world_run(&world);
    ck_assert_str_eq(a.got, "");
    ck_assert_uint_eq(world.events[EVENT_DEAD_LETTER], 1);
    teardown();
}
END_TEST

START_TEST(overflowing_subscription_is_disconnected)
{
    with_policy(POLICY_SUBSCRIPTION, "#", "max-messages=2 overflow=disconnect");
    start(cores_of(_i));
    world_subscribe(&a, "t", 0);
    world_run(&world);
    world_publish(&pub, PUBLISH_WINDOW, false, "t", "1 2 3");
    world_run(&world);
    ck_assert(a.closed);
    ck_assert_int_eq(a.closed_reason, REASON_FULL);
    ck_assert_uint_eq(a.lost, 3);
    ck_assert_uint_eq(pub.dropped, 1);
    ck_assert_uint_eq(pub.refused, 0);
    ck_assert_int_eq(pub.last.reason, REASON_DROP_NEWEST);
    world_publish(&pub, PUBLISH_WINDOW, false, "t", "4");
    world_run(&world);
    ck_assert_uint_eq(pub.last.matched, 0);
    teardown();
}
END_TEST

/* The limit holds for each message of a run, and the others go their way. */
START_TEST(larger_than_any_may_be)
{
    struct policy_globals globals = policy_globals_default();

    globals.max_message_bytes = 3;
    ck_assert_int_eq(policy_set_new(&globals, &policies), 0);
    start(cores_of(_i));
    world_subscribe(&a, "t", 100);
    world_run(&world);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, false, "t", "1 three no:4 tri end no"), 0);
    world_run(&world);
    ck_assert_str_eq(a.got, "1 tri end no ");
    ck_assert_uint_eq(pub.upto, 6);
    ck_assert_uint_eq(pub.accepted, 4);
    ck_assert_uint_eq(pub.refused, 2);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, false, "t", "four"), 0);
    world_run(&world);
    ck_assert_int_eq(pub.last.reason, REASON_TOO_LARGE);
    ck_assert_uint_eq(pub.last.matched, 0);
    teardown();
}
END_TEST

START_TEST(unwritten_deliveries_go_back_uncounted)
{
    start(cores_of(_i));
    world_consume(&a, "work", false, 100);
    world_run(&world);
    a.slow = true;
    world_publish(&pub, PUBLISH_WINDOW, true, "work", "1 2");
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 ");
    world_disconnect(&a);
    world_consume(&b, "work", false, 100);
    world_run(&world);
    ck_assert_str_eq(b.got, "1 2 ");
    teardown();
}
END_TEST

START_TEST(barrier_waits_for_readiness)
{
    start(cores_of(_i));
    world_subscribe(&a, "t", 1);
    core_barrier(a.ep, 7);
    ck_assert_uint_eq(a.barrier, 0);
    world_run(&world);
    ck_assert(a.ready);
    ck_assert_uint_eq(a.barrier, 7);
    teardown();
}
END_TEST

START_TEST(short_budget_bounds_a_stalled_queue)
{
    start(cores_of(_i));
    world.memory = 4 << 20;
    world_subscribe(&a, "t", 0);
    world_subscribe(&b, "t", CORE_UNLIMITED);
    world_run(&world);
    for (int i = 0; i < 400; i++) {
        static uint8_t block[100000];
        struct msg_view v = {.data = block, .len = sizeof block};
        struct run run = {.v = &v, .n = 1, .bytes = sizeof block, .type = {.id = CTYPE_NONE}};
        struct target to = {false, SLICE("t")};
        struct refusal why;

        if (!pub.publisher)
            core_publisher_open(pub.ep, PUBLISH_FORGET, &pub, &pub.publisher);
        ck_assert_int_eq(core_publish(pub.publisher, &to, &run, &why), 0);
        world_run(&world);
        ck_assert_int_ge(world.memory, 0);
    }
    ck_assert_uint_eq(b.deliveries, 400);
    core_grant(a.consumer, CORE_UNLIMITED);
    world_run(&world);
    ck_assert_uint_eq(a.deliveries + a.gaps, 400);
    ck_assert_uint_ge(a.deliveries, 10);
    teardown();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core");
    TCase *tc = tcase_create("peers");
    SRunner *r;
    int failed;

    tcase_add_loop_test(tc, publishes_to_subscribers, 0, 2);
    tcase_add_loop_test(tc, never_beyond_credit, 0, 2);
    tcase_add_loop_test(tc, nothing_matches, 0, 2);
    tcase_add_loop_test(tc, queue_serves_in_turn_and_redelivers, 0, 2);
    tcase_add_loop_test(tc, a_queue_with_hungry_consumers_keeps_nothing_waiting, 0, 2);
    tcase_add_loop_test(tc, what_never_waited_comes_back_in_order, 0, 2);
    tcase_add_loop_test(tc, nack_comes_back_in_place_after_its_delay, 0, 2);
    tcase_add_loop_test(tc, ack_times_out, 0, 2);
    tcase_add_loop_test(tc, dead_letters_go_to_a_queue, 0, 4);
    tcase_add_loop_test(tc, dead_letters_do_not_go_round, 0, 2);
    tcase_add_loop_test(tc, stalled_subscriber_loses_the_oldest_and_hears_of_it, 0, 2);
    tcase_add_loop_test(tc, full_queue_rejects, 0, 2);
    tcase_add_loop_test(tc, block_holds_the_publisher, 0, 2);
    tcase_add_loop_test(tc, a_hold_ends_by_its_fallback, 0, 2);
    tcase_add_loop_test(tc, messages_expire, 0, 2);
    tcase_add_loop_test(tc, overflowing_subscription_is_disconnected, 0, 2);
    tcase_add_loop_test(tc, larger_than_any_may_be, 0, 2);
    tcase_add_loop_test(tc, unwritten_deliveries_go_back_uncounted, 0, 2);
    tcase_add_loop_test(tc, barrier_waits_for_readiness, 0, 2);
    tcase_add_loop_test(tc, short_budget_bounds_a_stalled_queue, 0, 2);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
