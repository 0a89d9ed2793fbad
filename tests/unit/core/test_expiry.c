/* What becomes of messages whose time is over, and of the places they leave. */
#include "brokerd/core/manage.h"
#include "tests/unit/core/world.h"

#include <check.h>

static struct world world;
static struct policy_set *policies;
static struct world_peer pub, a, b;

static void start(enum policy_kind kind, const char *settings)
{
    policies = world_policy(kind, "#", settings);
    world_start(&world, 1, policies, INT64_C(1) << 30);
    world_connect(&world, &pub, 0);
    world_connect(&world, &a, 0);
    world_connect(&world, &b, 0);
}

static void stop(void)
{
    world_stop(&world);
    policies = policy_set_unref(policies);
}

/* Publish `n` messages `text` to topic t, each with a time to live of its own (0: none). */
static void publish(const char *text, uint32_t n, int64_t ttl_ms)
{
    struct msg_meta meta = {.type = {.id = CTYPE_NONE}, .ttl_ms = ttl_ms};
    struct msg_view v[256];
    struct run run = {.v = v, .type = {.id = CTYPE_NONE}};
    struct target to = {false, SLICE("t")};
    struct refusal why;

    if (!pub.publisher)
        ck_assert_int_eq(core_publisher_open(pub.ep, PUBLISH_FORGET, &pub, &pub.publisher), 0);
    for (; n; n -= run.n) {
        run.n = n < 256 ? n : 256;
        run.bytes = run.n * strlen(text);
        for (uint32_t i = 0; i < run.n; i++)
            v[i] = (struct msg_view){(const uint8_t *)text, (uint32_t)strlen(text), &meta, NULL};
        ck_assert_int_eq(core_publish(pub.publisher, &to, &run, &why), 0);
    }
}

/* The one behind expires; then the one before is delivered, and a third goes straight through. */
START_TEST(a_hole_at_the_end_of_a_queue)
{
    start(POLICY_SUBSCRIPTION, "");
    world_subscribe(&a, "t", 0);
    world_run(&world);
    publish("1", 1, 0);
    publish("2", 1, 100);
    world_run(&world);
    world_advance(&world, 200);
    core_grant(a.consumer, 1);
    world_run(&world);
    ck_assert_str_eq(a.got, "1 ");
    core_grant(a.consumer, 10);
    publish("3", 1, 0);
    world_run(&world);
    ck_assert_str_eq(a.got, "1 3 ");
    ck_assert_uint_eq(a.gaps, 1);
    ck_assert_int_eq(a.gap_reason, REASON_EXPIRED);
    stop();
}
END_TEST

/* A long queue is looked through now and then only; what has expired is not delivered all the
 * same. */
START_TEST(nothing_expired_is_delivered)
{
    start(POLICY_SUBSCRIPTION, "");
    world_subscribe(&a, "t", 0);
    world_run(&world);
    publish("old", 1, 10);
    publish("x", 20000, 12);
    publish("new", 1, 10000);
    world_run(&world);
    world_advance(&world, 10); /* looks, and not again for a while */
    world_advance(&world, 3);
    core_grant(a.consumer, 3);
    world_run(&world);
    ck_assert_str_eq(a.got, "new ");
    ck_assert_uint_eq(a.gaps, 20001);
    stop();
}
END_TEST

/* Whoever empties a subscription's queue takes what was meant for one consumer: it hears of it. */
START_TEST(a_purge_is_a_gap)
{
    struct queue *q;
    uint32_t at = 0;
    struct question *rest;
    uint64_t n;

    start(POLICY_SUBSCRIPTION, "");
    world_subscribe(&a, "t", 0);
    world_run(&world);
    publish("1", 3, 0);
    q = slots_next(&world.core[0]->slots, SLOT_QUEUE, &at);
    ck_assert_int_eq(core_queue_purge(world.core[0], q->handle, &n, &rest), 0);
    ck_assert_uint_eq(n, 3);
    publish("2", 1, 0);
    core_grant(a.consumer, 10);
    world_run(&world);
    ck_assert_str_eq(a.got, "2 ");
    ck_assert_uint_eq(a.gaps, 3);
    ck_assert_int_eq(a.gap_reason, REASON_PURGED);
    stop();
}
END_TEST

START_TEST(expires_in_every_place_it_may_wait)
{
    start(POLICY_QUEUE, "message-ttl=1s dead-letter=dead");
    world_subscribe(&b, "dead", 100);
    world_consume(&a, "t", true, 3);
    world_run(&world);
    publish("1", 4, 0);
    world_run(&world);
    ck_assert_uint_eq(a.deliveries, 3);
    core_ack(a.consumer, 1, 1, ACK_NACK, 0);    /* waits at its old place */
    core_ack(a.consumer, 2, 1, ACK_NACK, 5000); /* waits for its delay */
    world_run(&world);
    world_advance(&world, 1000);
    ck_assert_uint_eq(b.deliveries, 3); /* the one in flight is its consumer's */
    core_grant(a.consumer, 100);
    world_run(&world);
    world_advance(&world, 10000);
    ck_assert_uint_eq(a.deliveries, 3);
    core_ack(a.consumer, 3, 1, ACK_DONE, 0);
    world_run(&world);
    ck_assert_uint_eq(b.deliveries, 3);
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("expiry");
    TCase *tc = tcase_create("messages");
    SRunner *r;
    int failed;

    tcase_add_test(tc, a_hole_at_the_end_of_a_queue);
    tcase_add_test(tc, nothing_expired_is_delivered);
    tcase_add_test(tc, a_purge_is_a_gap);
    tcase_add_test(tc, expires_in_every_place_it_may_wait);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
