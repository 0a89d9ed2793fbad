/* Publishing without credit, on the real core. */
#include "brokerd/doors/window.h"
#include "tests/unit/core/world.h"

#include <check.h>
#include <errno.h>

static struct world world;
static struct policy_set *policies;
static struct world_peer consumer;

/* A connection with a window. */
static struct party {
    struct endpoint *ep;
    struct window w;
    char told[1024]; /* "TOKEN:REASON:MATCHED/ACCEPTED " each */
    char text[256];  /* of the last */
    bool paused;
    unsigned pauses;
} party;

static void on_settled(void *ctx, uint64_t token, const struct outcome *o)
{
    struct party *p = ctx;
    size_t n = strlen(p->told);

    (void)snprintf(p->told + n, sizeof p->told - n, "%u:%s:%u/%u ", (unsigned)token,
                   o->count ? reason_name(o->reason) : "-", o->matched, o->accepted);
    (void)snprintf(p->text, sizeof p->text, "%s", o->text ? o->text : "");
}

static void on_pause(void *ctx, bool paused)
{
    struct party *p = ctx;

    ck_assert_int_ne(p->paused, paused);
    p->paused = paused;
    p->pauses += paused;
}

static const struct window_ops window_ops = {on_settled, on_pause, false};
static const struct endpoint_ops party_ops = {
    .door = "test",
    .deliver = world_deliver,
    .ready = world_ready,
    .closed = world_closed,
    .settled = window_settled,
    .granted = window_granted,
    .barrier = world_barrier,
};

static void start(unsigned cores, const char *settings)
{
    struct endpoint_desc d = {.name = "party"};

    policies = world_policy(POLICY_QUEUE, "#", settings);
    world_start(&world, cores, policies, INT64_C(1) << 30);
    world_connect(&world, &consumer, cores - 1);
    memset(&party, 0, sizeof party);
    ck_assert_int_eq(core_endpoint_open(world.core[0], &d, &party_ops, &party, &party.ep), 0);
    ck_assert_int_eq(window_init(&party.w, party.ep, &window_ops, &party), 0);
    world_run(&world);
    ck_assert_uint_gt(window_room(&party.w), 100);
}

static void stop(void)
{
    window_fini(&party.w);
    core_endpoint_close(party.ep);
    world_stop(&world);
    policies = policy_set_unref(policies);
}

/* Publish `n` messages of one byte as one run. */
static int publish(bool is_queue, const char *to, uint32_t n)
{
    static struct msg_view v[2048];
    struct target target = {is_queue, slice_str(to)};
    struct run run = {.v = v, .n = n, .bytes = n, .type = {.id = CTYPE_NONE}};
    struct refusal why;

    for (uint32_t i = 0; i < n; i++)
        v[i] = (struct msg_view){.data = (const uint8_t *)"x", .len = 1};
    return window_publish(&party.w, &target, &run, &why);
}

static void await(uint32_t n, uint64_t token)
{
    ck_assert_int_eq(window_await(&party.w, n, token), 0);
}

START_TEST(tokens_come_back_in_order_with_their_outcomes)
{
    start(_i ? 2 : 1, "max-messages=2");
    ck_assert_int_eq(publish(true, "work", 1), 0);
    await(1, 1);
    ck_assert_int_eq(publish(false, "nobody", 1), 0);
    await(1, 2);
    ck_assert_int_eq(publish(true, "work", 1), 0); /* nobody asks */
    await(0, 3);
    ck_assert_int_eq(publish(true, "work", 2), 0);
    await(2, 4);
    ck_assert_str_eq(party.told, ""); /* never within the call */
    ck_assert(!window_idle(&party.w));
    world_run(&world);
    ck_assert_str_eq(party.told, "1:none:1/1 2:no-match:0/0 3:-:0/0 4:full:2/0 ");
    ck_assert(window_idle(&party.w));
    ck_assert_uint_eq(party.w.missed, 2);
    await(0, 5); /* with nothing before it that has not settled */
    ck_assert_ptr_nonnull(strstr(party.told, "5:"));
    ck_assert_int_eq(publish(false, "nobody", 1), 0);
    world_run(&world);
    ck_assert_str_eq(strstr(party.told, "5:"), "5:-:0/0 ");
    stop();
}
END_TEST

/* The text of a refusal comes along, for each token its own, and outlives the core's. */
START_TEST(a_token_keeps_the_text)
{
    start(_i ? 2 : 1, "max-messages=1 overflow=block block-timeout=50ms block-fallback=reject");
    ck_assert_int_eq(publish(true, "one", 1), 0);
    ck_assert_int_eq(publish(true, "two", 1), 0);
    world_run(&world);
    ck_assert_int_eq(publish(true, "one", 1), 0); /* is held */
    await(1, 1);
    ck_assert_int_eq(window_consumes(&party.w, true), 0);
    ck_assert_int_eq(publish(true, "two", 1), 0); /* refused at once, but told behind it */
    await(1, 2);
    world_run(&world);
    ck_assert_str_eq(party.told, "");
    world_advance(&world, 60);
    world_run(&world);
    ck_assert_str_eq(party.told, "1:full:1/0 2:full:1/0 ");
    ck_assert_str_eq(party.text, "queue \"two\" is full (1 messages, 1 bytes)");
    ck_assert_int_eq(publish(true, "one", 1), 0);
    await(1, 3);
    world_run(&world);
    ck_assert_str_eq(party.text, "queue \"one\" is full (1 messages, 1 bytes)");
    stop();
}
END_TEST

/* The first of several that did worse decides, whatever ranges the core tells them in. */
START_TEST(a_token_for_several_has_the_worst)
{
    start(1, "max-messages=2");
    ck_assert_int_eq(publish(true, "work", 5), 0);
    await(3, 1);
    ck_assert_int_eq(publish(true, "other", 3), 0);
    await(3, 2);
    world_run(&world);
    ck_assert_str_eq(party.told, "1:full:3/0 2:full:3/2 ");
    stop();
}
END_TEST

START_TEST(a_used_up_window_pauses_until_it_settles)
{
    uint32_t room, sent = 0;

    start(1, "max-messages=10 overflow=block block-timeout=never");
    world_consume(&consumer, "work", false, 0);
    world_run(&world);
    for (int i = 0; i < 100 && (room = window_room(&party.w)) > 0; i++) {
        room = room > 2000 ? 2000 : room;
        ck_assert_int_eq(publish(true, "work", room), 0);
        sent += room;
        world_run(&world);
    }
    ck_assert(party.paused);
    ck_assert_uint_le(sent, CORE_WINDOW_MAX + 10); /* what is held uses it up */
    await(0, 7);
    world_run(&world);
    ck_assert(party.paused);
    ck_assert_str_eq(party.told, "");
    core_grant(consumer.consumer, CORE_UNLIMITED);
    world_run(&world);
    ck_assert(!party.paused);
    ck_assert_str_eq(party.told, "7:-:0/0 ");
    ck_assert_uint_eq(consumer.deliveries, sent);
    ck_assert_uint_gt(window_room(&party.w), 0);
    ck_assert_uint_eq(party.pauses, 1);
    stop();
}
END_TEST

/* Its own acks must come through: nothing more waits, and what waits already is in nobody's way. */
START_TEST(who_consumes_is_never_held)
{
    start(_i ? 2 : 1, "max-messages=2 overflow=block block-timeout=never block-fallback=reject");
    world_consume(&consumer, "work", true, 0);
    world_run(&world);
    ck_assert_int_eq(publish(true, "work", 4), 0); /* two are held */
    await(4, 1);
    world_run(&world);
    ck_assert_int_eq(window_consumes(&party.w, true), 0);
    world_run(&world);
    for (uint64_t i = 2; i < 10; i++) {
        ck_assert_uint_gt(window_room(&party.w), 0);
        ck_assert_int_eq(publish(true, "work", 1), 0);
        await(1, i);
        world_run(&world);
    }
    ck_assert_str_eq(party.told, ""); /* in order: behind those held */
    core_grant(consumer.consumer, 2);
    world_run(&world);
    ck_assert_str_eq(party.told, "1:none:4/4 2:full:1/0 3:full:1/0 4:full:1/0 5:full:1/0 "
                                 "6:full:1/0 7:full:1/0 8:full:1/0 9:full:1/0 ");
    ck_assert_int_eq(window_consumes(&party.w, false), 0); /* it may wait again */
    ck_assert_int_eq(publish(true, "work", 1), 0);
    world_run(&world);
    ck_assert(!window_idle(&party.w));
    stop();
}
END_TEST

START_TEST(refusals_are_the_cores)
{
    struct msg_view v = {.data = (const uint8_t *)"x", .len = 1};
    struct run run = {.v = &v, .n = 1, .bytes = 1, .type = {.id = CTYPE_NONE}};
    struct target to = {false, SLICE("a..b")};
    struct refusal why;

    start(1, "max-messages=2");
    ck_assert_int_eq(window_publish(&party.w, &to, &run, &why), -EINVAL);
    ck_assert_int_eq(why.reason, REASON_INVALID);
    ck_assert(window_idle(&party.w));
    core_drain(world.core[0]);
    to.name = SLICE("a");
    ck_assert_int_eq(window_publish(&party.w, &to, &run, &why), -EPIPE);
    ck_assert_int_eq(window_consumes(&party.w, true), -EPIPE);
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("window");
    TCase *tc = tcase_create("window");
    SRunner *r;
    int failed;

    tcase_add_loop_test(tc, tokens_come_back_in_order_with_their_outcomes, 0, 2);
    tcase_add_loop_test(tc, a_token_keeps_the_text, 0, 2);
    tcase_add_test(tc, a_token_for_several_has_the_worst);
    tcase_add_test(tc, a_used_up_window_pauses_until_it_settles);
    tcase_add_loop_test(tc, who_consumes_is_never_held, 0, 2);
    tcase_add_test(tc, refusals_are_the_cores);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
