/* The directory of queues: who makes them, who hears of it, what a name that leads nowhere
 * answers. */
#include "brokerd/core/names.h"
#include "tests/unit/core/world.h"

#include <check.h>
#include <errno.h>

static struct world world;
static struct policy_set *policies;
static struct world_peer pub, a, b, c;

/* pub and a on core 0, b on the last, c on the second. */
static void start(unsigned cores, const char *settings)
{
    policies = world_policy(POLICY_QUEUE, "#", settings);
    world_start(&world, cores, policies, INT64_C(1) << 30);
    world_connect(&world, &pub, 0);
    world_connect(&world, &a, 0);
    world_connect(&world, &b, cores - 1);
    world_connect(&world, &c, cores > 1);
}

static void stop(void)
{
    world_stop(&world);
    policies = policy_set_unref(policies);
}

static struct queue *find(const char *name)
{
    for (unsigned i = 0; i < world.n; i++) {
        const struct slots *s = &world.core[i]->slots;
        struct queue *q;

        for (uint32_t at = 0; (q = slots_next(s, SLOT_QUEUE, &at)) != NULL;)
            if (q->is_named && strcmp(q->label, name) == 0)
                return q;
    }
    return NULL;
}

/* Let the mail between two cores flow, and no clock. */
static void hand_all(unsigned from, unsigned to)
{
    while (world_hand(&world, from, to))
        continue;
}

START_TEST(two_makers_get_one_queue)
{
    start(3, "");
    world_consume(&b, "work", true, 1);
    world_consume(&c, "work", true, 1);
    world_publish(&pub, PUBLISH_WINDOW, true, "work", "1 2");
    world_run(&world);
    ck_assert_uint_eq(b.deliveries, 1);
    ck_assert_uint_eq(c.deliveries, 1);
    ck_assert_uint_eq(pub.accepted, 2);
    ck_assert_uint_eq(world.events[EVENT_QUEUE_MADE], 1);
    stop();
}
END_TEST

/* While the others are slow to learn of it, the clock passes the time it may be unused. */
START_TEST(does_not_expire_while_it_is_made)
{
    start(2, "expires=1s message-ttl=1m");
    world_consume(&b, "work", true, 10);
    hand_all(1, 0);
    hand_all(0, 1);
    ck_assert_ptr_nonnull(find("work"));
    world_connect(&world, &a, 1);
    world_publish(&a, PUBLISH_FORGET, false, "work", "1");
    world.now += 5000;
    core_clock(world.core[1], world.now, world.now);
    core_tick(world.core[1]);
    ck_assert_ptr_nonnull(find("work"));
    world_run(&world);
    ck_assert(b.ready && !b.closed);
    world_disconnect(&b);
    world_run(&world);
    world_advance(&world, 999);
    ck_assert_ptr_nonnull(find("work"));
    world_advance(&world, 1);
    ck_assert_ptr_null(find("work"));
    stop();
}
END_TEST

START_TEST(expires_without_ever_having_a_consumer)
{
    start(2, "expires=1s");
    world_publish(&pub, PUBLISH_WINDOW, true, "work", "1");
    world_run(&world);
    ck_assert_ptr_nonnull(find("work"));
    world_advance(&world, 1000);
    ck_assert_ptr_null(find("work"));
    ck_assert_uint_eq(world.core[0]->count.reason[REASON_DELETED], 1);
    stop();
}
END_TEST

/* What keeps a queue only the settings say: who asks for more is told, and not left to believe. */
START_TEST(a_client_chooses_no_level)
{
    static const char *const asked[] = {"journal", "redis", "redis+2", "memory", "disk"};
    uint8_t headers[64];
    struct consume_options o = {.queue = SLICE("work"), .credit = 1};
    struct consumer *k = NULL;
    struct refusal why;

    start(1, "");
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        bool same = strcmp(asked[i], "memory") == 0;
        int r;

        o.headers.p = headers;
        o.headers.n =
            (size_t)(headers_put(headers, SLICE("$durable"), slice_str(asked[i])) - headers);
        r = core_attach(a.ep, &o, &a, &k, &why);
        ck_assert_int_eq(r, same ? 0 : -EINVAL);
        if (r < 0) {
            ck_assert_int_eq(why.reason, REASON_INVALID);
            ck_assert_ptr_nonnull(strstr(why.text, i < 3 ? "the settings say memory" : "expected"));
        }
    }
    stop();
}
END_TEST

/* Refused within the call, by its answer and not by a callback. */
START_TEST(no_such_queue)
{
    struct policy_globals globals = policy_globals_default();

    globals.create_queues = false;
    ck_assert_int_eq(policy_set_new(&globals, &policies), 0);
    world_start(&world, _i ? 2 : 1, policies, INT64_C(1) << 30);
    world_connect(&world, &a, 0);
    world_connect(&world, &b, _i);
    ck_assert_int_eq(world_consume(&a, "nowhere", true, 1), -ENOENT);
    ck_assert(!a.closed);
    ck_assert_int_eq(world_consume(&b, "nowhere", true, 1), _i ? 0 : -ENOENT);
    world_run(&world);
    ck_assert_int_eq(b.closed, _i);
    ck_assert_int_eq(b.closed_reason, _i ? REASON_NOT_FOUND : REASON_NONE);
    ck_assert_uint_eq(map_len(&world.core[0]->names), 0);
    stop();
}
END_TEST

START_TEST(deleted_and_made_again)
{
    start(_i ? 3 : 1, "");
    world_consume(&b, "work", true, 1);
    world_run(&world);
    world_publish(&pub, PUBLISH_WINDOW, true, "work", "1 2 3");
    world_run(&world);
    ck_assert_str_eq(b.got, "1 ");
    names_delete(find("work"), REASON_DELETED, true);
    world_run(&world);
    ck_assert(b.closed);
    ck_assert_int_eq(b.closed_reason, REASON_DELETED);
    ck_assert_uint_eq(b.lost, 2);
    world_publish(&pub, PUBLISH_WINDOW, true, "work", "4");
    world_run(&world);
    ck_assert_uint_eq(pub.accepted, 4);
    world_consume(&c, "work", true, 10);
    world_run(&world);
    ck_assert_str_eq(c.got, "4 ");
    stop();
}
END_TEST

/* Deleted before all have learned of it: whoever wanted it is told, and the name is free. */
START_TEST(deleted_while_it_is_made)
{
    start(2, "");
    world_consume(&b, "work", true, 1);
    hand_all(1, 0);
    hand_all(0, 1);
    ck_assert_ptr_nonnull(find("work"));
    names_delete(find("work"), REASON_DELETED, true);
    world_run(&world);
    ck_assert(b.closed);
    world_consume(&c, "work", true, 1);
    world_run(&world);
    ck_assert(c.ready && !c.closed);
    stop();
}
END_TEST

/* Sending to it made it, or consuming: what is published to the topic of its name is not its own.
 */
START_TEST(may_be_made_without_bindings)
{
    static const uint8_t none[] = "\5$bind\0\4none", other[] = "\5$bind\0\3own";
    struct consume_options o = {.queue = SLICE("two"), .credit = 10};
    struct refusal why;

    start(_i ? 3 : 1, "");
    ck_assert_int_eq(core_publisher_open(b.ep, PUBLISH_WINDOW, &b, &b.publisher), 0);
    core_publisher_makes_unbound(b.publisher);
    world_run(&world);
    ck_assert_int_eq(world_publish(&b, PUBLISH_WINDOW, true, "one", "1"), 0);
    o.headers = slice_of(none, sizeof none - 1);
    ck_assert_int_eq(core_attach(c.ep, &o, &c, &c.consumer, &why), 0);
    world_run(&world);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, false, "one", "2"), 0);
    world_publish(&pub, PUBLISH_WINDOW, false, "two", "3");
    world_publish(&pub, PUBLISH_WINDOW, true, "two", "4");
    world_consume(&a, "one", false, 10);
    world_run(&world);
    ck_assert_str_eq(a.got, "1 ");
    ck_assert_str_eq(c.got, "4 ");
    o.headers = slice_of(other, sizeof other - 1);
    ck_assert_int_eq(core_attach(c.ep, &o, &c, &c.consumer, &why), -EINVAL);
    stop();
}
END_TEST

START_TEST(removed_from_anywhere)
{
    start(_i ? 3 : 1, "");
    ck_assert(!core_queue_known(a.ep->core, SLICE("work")));
    core_queue_remove(a.ep->core, SLICE("work"));
    world_consume(&b, "work", true, 10);
    world_run(&world);
    for (unsigned i = 0; i < world.n; i++)
        ck_assert(core_queue_known(world.core[i], SLICE("work")));
    core_queue_remove(a.ep->core, SLICE("work"));
    world_run(&world);
    ck_assert(b.closed);
    ck_assert_int_eq(b.closed_reason, REASON_DELETED);
    for (unsigned i = 0; i < world.n; i++)
        ck_assert(!core_queue_known(world.core[i], SLICE("work")));
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("names");
    TCase *tc = tcase_create("queues");
    SRunner *r;
    int failed;

    tcase_add_test(tc, two_makers_get_one_queue);
    tcase_add_test(tc, does_not_expire_while_it_is_made);
    tcase_add_test(tc, expires_without_ever_having_a_consumer);
    tcase_add_test(tc, a_client_chooses_no_level);
    tcase_add_loop_test(tc, no_such_queue, 0, 2);
    tcase_add_loop_test(tc, deleted_and_made_again, 0, 2);
    tcase_add_test(tc, deleted_while_it_is_made);
    tcase_add_loop_test(tc, may_be_made_without_bindings, 0, 2);
    tcase_add_loop_test(tc, removed_from_anywhere, 0, 2);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
