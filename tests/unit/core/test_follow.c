/* Endpoints that only publish, on their way to the core their messages go to. */
#include <check.h>

#include "brokerd/core/endpoint.h"
#include "tests/unit/core/world.h"

static struct world w;
static struct world_peer pub, near, far;
static struct policy_set *policies;

static void setup(void)
{
    policies = world_policy(POLICY_QUEUE, "", "");
    world_start(&w, 3, policies, 64 << 20);
    world_connect(&w, &pub, 0);
    world_connect(&w, &near, 0);
    world_connect(&w, &far, 1);
}

static void teardown(void)
{
    world_stop(&w);
    policy_set_unref(policies);
}

static void publish(enum publisher_kind kind, const char *topic, const char *texts)
{
    ck_assert_int_eq(world_publish(&pub, kind, false, topic, texts), 0);
    world_run(&w);
}

/* Two spans with `here` messages to the near subscriber and `there` to the far one. */
static void two_spans(unsigned here, unsigned there)
{
    for (int span = 0; span < 2; span++) {
        world_advance(&w, FOLLOW_SPAN_MS);
        for (unsigned i = 0; i < here; i++)
            publish(PUBLISH_WINDOW, "near", "x");
        for (unsigned i = 0; i < there; i++)
            publish(PUBLISH_WINDOW, "far", "x");
    }
}

static void subscribe_both(void)
{
    ck_assert_int_eq(world_subscribe(&near, "near", 1000), 0);
    ck_assert_int_eq(world_subscribe(&far, "far", 1000), 0);
    world_run(&w);
}

static const struct {
    unsigned here, there;
    bool wants;
} ways[] = {{0, 8, true},   {4, 12, true}, {5, 12, false}, {10, 0, false},
            {10, 8, false}, {0, 3, false}, {1, 7, true}};

START_TEST(three_quarters_decide)
{
    unsigned to = 99;

    subscribe_both();
    ck_assert(!core_endpoint_wants(pub.ep, &to));
    two_spans(ways[_i].here, ways[_i].there);
    ck_assert_int_eq(core_endpoint_wants(pub.ep, &to), ways[_i].wants);
    ck_assert_uint_eq(to, ways[_i].wants ? 1 : 99);
}
END_TEST

START_TEST(not_before_100_ms)
{
    unsigned to;

    subscribe_both();
    world_advance(&w, 1000);
    publish(PUBLISH_WINDOW, "far", "a b c d e f g h i j k l");
    world_advance(&w, FOLLOW_SPAN_MS - 1);
    publish(PUBLISH_WINDOW, "far", "m");
    ck_assert(!core_endpoint_wants(pub.ep, &to));
    world_advance(&w, 1);
    publish(PUBLISH_WINDOW, "far", "n");
    ck_assert(core_endpoint_wants(pub.ep, &to));
}
END_TEST

START_TEST(messages_to_both_stay)
{
    unsigned to;

    ck_assert_int_eq(world_subscribe(&near, "far", 1000), 0);
    subscribe_both();
    two_spans(0, 20);
    ck_assert(!core_endpoint_wants(pub.ep, &to));
}
END_TEST

START_TEST(who_has_consumed_stays)
{
    unsigned to;

    subscribe_both();
    two_spans(0, 20);
    ck_assert(core_endpoint_wants(pub.ep, &to));
    ck_assert(core_endpoint_at_rest(pub.ep));
    ck_assert_int_eq(world_subscribe(&pub, "other", 1), 0);
    world_run(&w);
    core_detach(pub.consumer);
    ck_assert(!core_endpoint_wants(pub.ep, &to));
    ck_assert(!core_endpoint_at_rest(pub.ep));
}
END_TEST

START_TEST(a_queue_is_followed_too)
{
    unsigned to;

    ck_assert_int_eq(world_consume(&far, "q", false, 1000), 0);
    world_run(&w);
    for (int i = 0; i < 20; i++) {
        world_advance(&w, 20);
        ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, true, "q", "x"), 0);
        world_run(&w);
    }
    ck_assert(core_endpoint_wants(pub.ep, &to));
    ck_assert_uint_eq(to, 1);
    ck_assert_int_eq(core_endpoint_leave(pub.ep), 0);
    ck_assert_int_eq(core_endpoint_join(w.core[1], pub.ep), 0);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, true, "q", "y"), 0);
    world_run(&w);
    ck_assert_uint_eq(far.deliveries, 21);
    ck_assert_uint_eq(pub.accepted, 21);
}
END_TEST

/* Not before all has settled; then numbers, credit and target go on. */
START_TEST(a_stream_goes_on)
{
    struct msg_view v = {.data = (const uint8_t *)"z", .len = 1};
    struct run run = {.v = &v, .n = 1, .bytes = 1, .type = {.id = CTYPE_NONE}};
    struct refusal why;
    uint64_t allowance, id = endpoint_id(pub.ep);
    unsigned to;

    subscribe_both();
    two_spans(0, 20);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, false, "far", "a b c"), 0);
    ck_assert(!core_endpoint_at_rest(pub.ep));
    core_tick(w.core[0]);
    ck_assert(!core_endpoint_at_rest(pub.ep));
    world_run(&w);
    ck_assert(core_endpoint_at_rest(pub.ep));
    ck_assert_uint_eq(pub.upto, 43);
    allowance = pub.publisher->allowance;

    ck_assert_int_eq(core_endpoint_leave(pub.ep), 0);
    ck_assert_ptr_null(pub.publisher->route);
    ck_assert_int_eq(core_endpoint_join(w.core[1], pub.ep), 0);
    ck_assert_uint_eq(endpoint_id(pub.ep) >> 56, 1);
    ck_assert_uint_ne(endpoint_id(pub.ep), id);
    ck_assert_uint_eq(handle_worker(pub.publisher->handle), 1);
    ck_assert(!core_endpoint_wants(pub.ep, &to));
    world_run(&w);
    ck_assert_uint_eq(pub.publisher->allowance, allowance);
    ck_assert_int_eq(core_publish(pub.publisher, NULL, &run, &why), 0);
    world_run(&w);
    ck_assert_uint_eq(pub.upto, 44);
    ck_assert_uint_eq(far.deliveries, 44);
    ck_assert_uint_eq(pub.accepted, 44);
    ck_assert(core_endpoint_at_rest(pub.ep));
    ck_assert_uint_eq(w.events[EVENT_CONNECTED], 3);
    ck_assert_uint_eq(w.events[EVENT_DISCONNECTED], 0);
}
END_TEST

/* A message that waits for its queue to be made might come behind those sent from elsewhere. */
START_TEST(parked_messages_come_first)
{
    ck_assert_int_eq(world_publish(&far, PUBLISH_FORGET, true, "new", "a"), 0);
    ck_assert(!core_endpoint_at_rest(far.ep));
    world_run(&w);
    ck_assert(core_endpoint_at_rest(far.ep));
}
END_TEST

START_TEST(not_while_draining)
{
    ck_assert(core_endpoint_at_rest(pub.ep));
    core_drain(w.core[0]);
    ck_assert(!core_endpoint_at_rest(pub.ep));
}
END_TEST

/* What withheld credit on the one core does not on the other. */
START_TEST(a_starved_publisher_moves)
{
    ck_assert_int_eq(world_subscribe(&far, "far", 1000), 0);
    world_run(&w);
    w.memory = -1;
    publish(PUBLISH_WINDOW, "far", "a");
    ck_assert(list_linked(&pub.publisher->starved));
    ck_assert(core_endpoint_at_rest(pub.ep));
    ck_assert_int_eq(core_endpoint_leave(pub.ep), 0);
    ck_assert(list_empty(&w.core[0]->starved));
    w.memory = 64 << 20;
    ck_assert_int_eq(core_endpoint_join(w.core[1], pub.ep), 0);
    pub.granted = 0;
    world_run(&w);
    ck_assert_uint_gt(pub.granted, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("follow");
    TCase *tc = tcase_create("follow");
    SRunner *runner;
    int not_passed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, three_quarters_decide, 0, sizeof ways / sizeof *ways);
    tcase_add_test(tc, not_before_100_ms);
    tcase_add_test(tc, messages_to_both_stay);
    tcase_add_test(tc, who_has_consumed_stays);
    tcase_add_test(tc, a_queue_is_followed_too);
    tcase_add_test(tc, a_stream_goes_on);
    tcase_add_test(tc, parked_messages_come_first);
    tcase_add_test(tc, not_while_draining);
    tcase_add_test(tc, a_starved_publisher_moves);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    not_passed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return not_passed ? EXIT_FAILURE : EXIT_SUCCESS;
}
