/* A store that is late with opening a queue, or cannot: what the settings name or a store has is
 * bound all the same, and loses nothing in silence. */
#include "brokerd/core/inspect.h"
#include "brokerd/core/manage.h"
#include "tests/unit/core/fake_store.h"
#include "tests/unit/core/scripted_store.h"

#include <check.h>

static struct fake fake;
static struct world world;
static struct policy_set *policies;
static struct world_peer pub, a;

static const struct memory_trouble shut = {.shut = 1000}, none;

/* The settings name "d.q", which is bound to the topic of that name. */
static void start(unsigned cores, const char *settings, const struct memory_trouble *t)
{
    char text[256];

    snprintf(text, sizeof text, "durable=journal %s", settings);
    policies = world_policy(POLICY_QUEUE, "d.q", text);
    world_start(&world, cores, policies, INT64_C(1) << 30);
    fake_start(&fake, &world, DURABLE_JOURNAL);
    fake_trouble(&fake, t);
    world_run(&world);
    world_connect(&world, &pub, 0);
    world_connect(&world, &a, cores - 1);
}

static void stop(void)
{
    world_stop(&world);
    fake_stop(&fake);
    policies = policy_set_unref(policies);
}

static void teardown(void)
{
    stop();
    fake_end(&fake);
}

static uint64_t find(void)
{
    return inspect_find_queue(world.core[0], SLICE("d.q"));
}

static struct inspect_queue look(void)
{
    struct inspect_queue q;

    ck_assert(inspect_queue(world.core[inspect_home(find())], find(), &q));
    return q;
}

static void publish(const char *texts)
{
    world_publish(&pub, PUBLISH_WINDOW, false, "d.q", texts);
    world_run(&world);
}

START_TEST(what_cannot_be_opened_refuses_by_name) /* _i: cores */
{
    struct question *rest;
    struct move *move;
    uint64_t n;

    start((unsigned)_i, "overflow=reject", &shut);
    ck_assert(core_has_found(world.core[0]));
    publish("1 2");
    ck_assert_uint_eq(pub.refused, 2);
    ck_assert_int_eq(pub.last.reason, REASON_STORE);
    ck_assert_str_eq(pub.text,
                     "store \"memory\" has not opened queue \"d.q\" yet: it takes nothing");
    ck_assert_int_gt(look().unopened_ms, -1);
    ck_assert_str_eq(look().store_trouble, "the store will not have it");
    ck_assert_int_eq(look().store_refuses, REASON_STORE);
    ck_assert(world.events[EVENT_STORE] > 0);
    ck_assert_int_eq(core_queue_purge(world.core[inspect_home(find())], find(), &n, &rest),
                     -EAGAIN);
    ck_assert_int_eq(core_queue_delete(world.core[inspect_home(find())], find(), &n), -EAGAIN);
    ck_assert_int_eq(
        core_move_open(world.core[inspect_home(find())], find(), SLICE("d.q"), 1, &move), -EAGAIN);
    core_queue_remove(world.core[0], SLICE("d.q"));
    world_advance(&world, 1000);
    ck_assert(find());
    fake_trouble(&fake, &none);
    publish("3");
    ck_assert_uint_eq(pub.refused, 3);
    world_advance(&world, 1000);
    publish("4");
    ck_assert_uint_eq(pub.accepted, 1);
    ck_assert_int_eq(look().unopened_ms, -1);
    ck_assert_uint_eq(look().depth, 1);
    teardown();
}
END_TEST

START_TEST(what_blocks_holds_until_it_is_opened) /* _i: cores */
{
    start((unsigned)_i, "overflow=block block-timeout=10s", &shut);
    publish("1 2");
    ck_assert_int_eq(world_consume(&a, "d.q", true, 9), 0);
    world_advance(&world, 3000);
    ck_assert_uint_eq(pub.refused + pub.accepted, 0);
    ck_assert(!a.closed);
    ck_assert_uint_eq(look().held, 2);
    fake_trouble(&fake, &none);
    world_advance(&world, 1000);
    ck_assert_uint_eq(pub.accepted, 2);
    ck_assert_str_eq(a.got, "1 2 ");
    teardown();
}
END_TEST

START_TEST(what_is_held_too_long_is_refused)
{
    start(1, "overflow=block block-timeout=2s", &shut);
    publish("1 2");
    world_advance(&world, 2000);
    ck_assert_uint_eq(pub.refused, 2);
    ck_assert_int_eq(pub.last.reason, REASON_STORE);
    teardown();
}
END_TEST

START_TEST(what_a_store_has_is_bound_though_it_cannot_be_opened) /* _i: cores */
{
    start((unsigned)_i, "overflow=reject", &none);
    publish("1 2");
    ck_assert_uint_eq(pub.accepted, 2);
    stop();
    policies = world_policy(POLICY_QUEUE, "#", "durable=journal");
    world_start(&world, (unsigned)_i, policies, INT64_C(1) << 30);
    fake_start(&fake, &world, DURABLE_JOURNAL);
    fake_trouble(&fake, &shut);
    world_run(&world);
    ck_assert(core_has_found(world.core[0]));
    world_connect(&world, &pub, 0);
    world_connect(&world, &a, (unsigned)_i - 1);
    publish("3");
    ck_assert_uint_eq(pub.accepted, 0);
    ck_assert_uint_eq(look().held + pub.refused, 1);
    fake_trouble(&fake, &none);
    world_advance(&world, 1000);
    publish("4");
    ck_assert_int_eq(world_consume(&a, "d.q", true, 9), 0);
    world_run(&world);
    ck_assert(strncmp(a.got, "1 2 ", 4) == 0);
    ck_assert_uint_eq(a.deliveries, 2 + pub.accepted);
    teardown();
}
END_TEST

START_TEST(without_a_past_nobody_goes_back)
{
    struct consume_options o = {.queue = SLICE("d.q"), .credit = 9};
    uint8_t headers[64], *end = headers_put(headers, SLICE("$from"), SLICE("first"));
    struct refusal why;

    o.headers = slice_of(headers, (size_t)(end - headers));
    start(1, "", &shut);
    ck_assert_int_lt(core_attach(a.ep, &o, &a, &a.consumer, &why), 0);
    ck_assert_int_eq(why.reason, REASON_STORE);
    teardown();
}
END_TEST

START_TEST(what_cannot_be_opened_does_not_expire)
{
    start(1, "expires=1s", &shut);
    world_advance(&world, 5000);
    ck_assert(find());
    fake_trouble(&fake, &none);
    world_advance(&world, 1000);
    world_advance(&world, 1000);
    ck_assert(!find());
    teardown();
}
END_TEST

/* The store says nothing at all, and then yes. */
START_TEST(a_store_that_does_not_answer_is_not_waited_for)
{
    static struct script script;
    struct stored open = {.kind = STORED_OPEN, .facts = {.next = 1, .first = 1}};

    memset(&script, 0, sizeof script);
    script.base.ops = &script_exclusive;
    policies =
        world_policy(POLICY_QUEUE, "d.q", "durable=journal overflow=reject block-timeout=9s");
    world_start(&world, 1, policies, INT64_C(1) << 30);
    core_set_store(world.core[0], DURABLE_JOURNAL, &script.base);
    core_stored(world.core[0], &(struct stored){.kind = STORED_ALL_FOUND, .store = &script.base});
    world_run(&world);
    world_connect(&world, &pub, 0);
    world_connect(&world, &a, 0);
    publish("1");
    ck_assert_uint_eq(pub.refused + pub.accepted, 0); /* it is held: that may take a moment */
    ck_assert_int_eq(world_consume(&a, "d.q", true, 9), 0);
    ck_assert_uint_eq(world.events[EVENT_STORE], 0);
    world_advance(&world, 2000);
    ck_assert_uint_eq(world.events[EVENT_STORE], 1);
    ck_assert(a.ready);
    ck_assert_int_ge(look().unopened_ms, 2000);
    ck_assert_str_eq(script_said(&script), "");
    open.queue = find();
    core_stored(world.core[0], &open);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "put 1+1;");
    ck_assert_uint_eq(world.events[EVENT_STORE], 2);
    world_stop(&world);
    policies = policy_set_unref(policies);
}
END_TEST

static void say_full(const struct store *s, char *buf, size_t size)
{
    (void)s;
    snprintf(buf, size, "max-disk 1GiB");
}

static const struct {
    int error; /* put() answers so; 0: it takes it, and refuses it later, for: */
    enum reason later;
    bool shared;
    const char *text;
} refusals[] = {
    {-ENOSPC, REASON_NONE, false,
     "store \"script\" is full (max-disk 1GiB): queue \"d.q\" takes nothing"},
    {0, REASON_FULL, false,
     "store \"script\" is full (max-disk 1GiB): queue \"d.q\" takes nothing"},
    {0, REASON_FULL, true, "queue \"d.q\" in store \"script\" is full (max-messages, max-bytes)"},
    {-EIO, REASON_NONE, false, "store \"script\" of queue \"d.q\" fails or does not answer"},
    {0, REASON_STORE, true, "store \"script\" of queue \"d.q\" fails or does not answer"},
    {-EAGAIN, REASON_NONE, false,
     "store \"script\" of queue \"d.q\" is behind with what it was given"},
};

/* A queue of the settings, on the first of so many cores, which the script has opened. */
static void start_script(struct script *script, const struct store_ops *ops, const char *settings,
                         unsigned cores)
{
    struct stored all = {.kind = STORED_ALL_FOUND, .store = &script->base};
    struct stored open = {.kind = STORED_OPEN, .facts = {.next = 1, .first = 1}};

    script->base.ops = ops;
    policies = world_policy(POLICY_QUEUE, "d.q", settings);
    world_start(&world, cores, policies, INT64_C(1) << 30);
    core_set_store(world.core[0], DURABLE_JOURNAL, &script->base);
    for (unsigned i = 1; i < cores; i++)
        core_set_store(world.core[i], DURABLE_JOURNAL, &script->base);
    core_stored(world.core[0], &all);
    world_run(&world);
    for (uint32_t at = 0; !open.queue;) {
        script->queue = slots_next(&world.core[0]->slots, SLOT_QUEUE, &at);
        open.queue = script->queue->handle;
    }
    core_stored(world.core[0], &open);
    world_run(&world);
}

START_TEST(a_refusal_says_who_is_full) /* _i / 2: refusals; _i & 1: to another core */
{
    static struct script script;
    struct store_ops ops = script_exclusive;
    const unsigned k = (unsigned)_i / 2;

    memset(&script, 0, sizeof script);
    ops.shared = refusals[k].shared;
    ops.say_full = say_full;
    start_script(&script, &ops, "durable=journal overflow=drop-newest", 2);
    world_connect(&world, &pub, (unsigned)_i & 1);
    script.refuse = refusals[k].error;
    publish("1");
    if (!refusals[k].error)
        script_put_done(&script, 1, 1, refusals[k].later);
    world_run(&world);
    ck_assert_uint_eq(pub.refused, 1);
    ck_assert_str_eq(pub.text, refusals[k].text);
    world_advance(&world, 1000);
    ck_assert_uint_eq(world.events[EVENT_REFUSED], 1);
    world_stop(&world);
    policies = policy_set_unref(policies);
}
END_TEST

START_TEST(who_is_stuck_by_its_store_is_told_so)
{
    static struct script script;

    memset(&script, 0, sizeof script);
    start_script(&script, &script_exclusive, "durable=journal overflow=block block-timeout=1s", 1);
    world_connect(&world, &pub, 0);
    script.refuse = -ENOSPC;
    publish("1");
    world_advance(&world, 1000);
    ck_assert_uint_eq(world.events[EVENT_QUEUE_STUCK], 1);
    ck_assert_str_eq(world.event.why, "store");
    world_stop(&world);
    policies = policy_set_unref(policies);
}
END_TEST

/* One that nobody relies on is refused to whoever wants it made. */
START_TEST(what_nobody_knows_is_not_made)
{
    start(1, "", &shut);
    policies = policy_set_unref(policies);
    policies = world_policy(POLICY_QUEUE, "e.#", "durable=journal");
    core_configure(world.core[0], policies);
    ck_assert_int_eq(world_consume(&a, "e.q", true, 9), 0);
    world_run(&world);
    ck_assert(a.closed);
    ck_assert_int_eq(a.closed_reason, REASON_STORE);
    teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core unopened");
    TCase *tc = tcase_create("unopened");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, what_cannot_be_opened_refuses_by_name, 1, 3);
    tcase_add_loop_test(tc, what_blocks_holds_until_it_is_opened, 1, 4);
    tcase_add_test(tc, what_is_held_too_long_is_refused);
    tcase_add_loop_test(tc, what_a_store_has_is_bound_though_it_cannot_be_opened, 1, 4);
    tcase_add_test(tc, without_a_past_nobody_goes_back);
    tcase_add_test(tc, what_cannot_be_opened_does_not_expire);
    tcase_add_test(tc, a_store_that_does_not_answer_is_not_waited_for);
    tcase_add_test(tc, what_nobody_knows_is_not_made);
    tcase_add_loop_test(tc, a_refusal_says_who_is_full, 0, 2 * sizeof refusals / sizeof *refusals);
    tcase_add_test(tc, who_is_stuck_by_its_store_is_told_so);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
