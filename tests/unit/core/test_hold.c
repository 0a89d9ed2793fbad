/* Publishers that wait: in front of a full queue, of a queue that is being made, of memory. */
#include "brokerd/core/names.h"
#include "tests/unit/core/world.h"

#include <check.h>
#include <errno.h>

static struct world world;
static struct policy_set *policies;
static struct world_peer pub, a, b;

/* Publisher on core 0; a on 0, b on 1 if there is one. */
static void start(unsigned cores, enum policy_kind kind, const char *settings)
{
    policies = world_policy(kind, "#", settings);
    world_start(&world, cores, policies, INT64_C(1) << 30);
    world_connect(&world, &pub, 0);
    world_connect(&world, &a, 0);
    world_connect(&world, &b, cores - 1);
}

static void stop(void)
{
    world_stop(&world);
    policies = policy_set_unref(policies);
}

/* The queues hold some of a run and admit them within the same call, each at its own moment. */
START_TEST(holds_that_end_within_the_publish_are_told)
{
    struct queue *q;

    start(1, POLICY_QUEUE, "max-messages=2 overflow=block");
    world_consume(&a, "one", true, 100);
    world_consume(&b, "two", true, 100);
    a.consumer = b.consumer = NULL;
    world_run(&world);
    world_subscribe(&a, "none", 0);
    for (uint32_t at = 0; (q = slots_next(&world.core[0]->slots, SLOT_QUEUE, &at)) != NULL;)
        if (q->is_named)
            ck_assert_int_ge(names_bind(q, SLICE("t"), 0), 0);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, false, "t", "1 2 3 4"), 0);
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 3 4 ");
    ck_assert_str_eq(b.got, "1 2 3 4 ");
    ck_assert_uint_eq(pub.upto, 4);
    ck_assert_uint_eq(pub.accepted, 4);
    ck_assert_uint_eq(pub.last.matched, 2);
    ck_assert_uint_eq(pub.last.accepted, 2);
    stop();
}
END_TEST

/* From another core: "held" must not be overtaken by what became of it. */
START_TEST(a_hold_is_told_before_its_end)
{
    start(2, POLICY_QUEUE, "max-messages=1 overflow=block");
    world_consume(&b, "one", true, 100);
    world_run(&world);
    world_publish(&pub, PUBLISH_WINDOW, true, "one", "1 2 3");
    world_run(&world);
    ck_assert_str_eq(b.got, "1 2 3 ");
    ck_assert_uint_eq(pub.upto, 3);
    ck_assert_uint_eq(pub.accepted, 3);
    ck_assert_uint_eq(pub.last.matched, 1);
    ck_assert_uint_eq(pub.last.accepted, 1);
    stop();
}
END_TEST

/* The queue is made by the very publish, takes some and refuses others. */
START_TEST(parked_messages_have_outcomes_of_their_own)
{
    start(_i ? 2 : 1, POLICY_QUEUE, "max-messages=2");
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, true, "work", "1 2 3 4"), 0);
    world_run(&world);
    ck_assert_uint_eq(pub.upto, 4);
    ck_assert_uint_eq(pub.accepted, 2);
    ck_assert_uint_eq(pub.refused, 2);
    stop();
}
END_TEST

static void publish_big(struct world_peer *p, size_t size, const char *topic)
{
    uint8_t *bytes = calloc(1, size);
    struct msg_view v = {.data = bytes, .len = (uint32_t)size};
    struct run run = {.v = &v, .n = 1, .bytes = size, .type = {.id = CTYPE_NONE}};
    struct target to = {true, slice_str(topic)};
    struct refusal why;

    if (!p->publisher) {
        ck_assert_int_eq(core_publisher_open(p->ep, PUBLISH_WINDOW, p, &p->publisher), 0);
        core_tick(p->ep->core);
    }
    ck_assert_int_eq(core_publish(p->publisher, &to, &run, &why), 0);
    free(bytes);
}

/* Held messages fill the budget: they must still find their way in, or nothing moves again. */
START_TEST(holds_do_not_starve_on_what_they_cost)
{
    start(1, POLICY_QUEUE, "max-messages=1 overflow=block block-timeout=never");
    world_consume(&a, "work", false, 0);
    world_run(&world);
    for (int i = 0; i < 6; i++)
        publish_big(&pub, 600000, "work");
    world_run(&world);
    world.memory = -1000000; /* the others have used it all meanwhile */
    core_grant(a.consumer, 100);
    world_run(&world);
    world_advance(&world, 100);
    ck_assert_uint_eq(a.deliveries, 6);
    ck_assert_uint_eq(pub.upto, 6);
    stop();
}
END_TEST

/* What would not fit the budget is refused, not held. */
START_TEST(no_hold_beyond_the_budget)
{
    start(1, POLICY_QUEUE, "max-messages=1 overflow=block block-timeout=never");
    world.memory = 4 << 20;
    world_consume(&a, "work", false, 0);
    world_run(&world);
    for (int i = 0; i < 40; i++) {
        if (pub.publisher)
            core_publisher_close(pub.publisher);
        pub.publisher = NULL;
        publish_big(&pub, 600000, "work");
        world_run(&world);
        ck_assert_int_ge(world.memory, -(1 << 20));
    }
    ck_assert_uint_gt(pub.refused, 20);
    stop();
}
END_TEST

/* A queue without limits of its own holds its publisher when it has as much of the budget as it
 * leaves to others. Were what it holds admitted nevertheless, the publisher would go on until the
 * budget is used up, and be refused. */
START_TEST(half_the_budget_holds_the_publisher)
{
    const struct queue *q;
    uint32_t at = 0;
    uint64_t told;

    start(1, POLICY_QUEUE,
          "max-messages=unlimited max-bytes=unlimited overflow=block block-timeout=never");
    world.memory = 8 << 20;
    world_consume(&a, "work", false, 0);
    world_run(&world);
    q = slots_next(&world.core[0]->slots, SLOT_QUEUE, &at);
    while (pub.upto + 1 >= (pub.publisher ? pub.publisher->next : 1)) { /* each is answered */
        publish_big(&pub, 100000, "work");
        world_run(&world);
        ck_assert_uint_eq(pub.refused, 0);
    }
    told = pub.upto;
    ck_assert_uint_ge(told, 30);
    ck_assert_uint_le(told, 50);
    world_advance(&world, 1000);
    ck_assert_uint_eq(pub.upto, told);
    ck_assert_uint_eq(deque_len(&q->backlog->held), 1);
    core_grant(a.consumer, 4);
    world_run(&world);
    world_advance(&world, 100);
    ck_assert_uint_eq(pub.upto, told + 1);
    ck_assert_uint_eq(pub.refused, 0);
    stop();
}
END_TEST

/* Settings that hold no more: what is held goes in before what comes next. */
START_TEST(another_policy_ends_the_holds)
{
    struct policy_set *other = world_policy(POLICY_QUEUE, "#",
                                            "max-messages=3 "
                                            "overflow=drop-oldest "
                                            "block-fallback=drop-oldest");

    start(1, POLICY_QUEUE, "max-messages=2 overflow=block block-timeout=never");
    world_consume(&a, "work", false, 0);
    world_run(&world);
    world_publish(&pub, PUBLISH_WINDOW, true, "work", "1 2 3 4");
    world_run(&world);
    ck_assert_uint_eq(pub.upto, 2);
    core_configure(world.core[0], other);
    world_publish(&pub, PUBLISH_WINDOW, true, "work", "5");
    world_run(&world);
    ck_assert_uint_eq(pub.upto, 5);
    ck_assert_uint_eq(pub.accepted, 5);
    core_grant(a.consumer, 10);
    world_run(&world);
    ck_assert_str_eq(a.got, "3 4 5 ");
    ck_assert_uint_eq(a.gaps, 2);
    policy_set_unref(other);
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hold");
    TCase *tc = tcase_create("publishers that wait");
    SRunner *r;
    int failed;

    tcase_add_test(tc, holds_that_end_within_the_publish_are_told);
    tcase_add_test(tc, a_hold_is_told_before_its_end);
    tcase_add_loop_test(tc, parked_messages_have_outcomes_of_their_own, 0, 2);
    tcase_add_test(tc, holds_do_not_starve_on_what_they_cost);
    tcase_add_test(tc, no_hold_beyond_the_budget);
    tcase_add_test(tc, half_the_budget_holds_the_publisher);
    tcase_add_test(tc, another_policy_ends_the_holds);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
