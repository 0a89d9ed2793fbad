/* Between brokers: what is wanted here is told, what others want goes out once, and what they
 * published goes to whom it is for, and nowhere else. */
#include "brokerd/core/inspect.h"
#include "brokerd/core/outlet.h"
#include "tests/unit/core/fake_store.h"

#include <check.h>
#include <errno.h>

static struct fake fake;
static struct world world;
static struct policy_set *policies;
static struct world_peer out, in, pub, a, b;
static char told[512];
static int64_t ttl;
static uint64_t id;

static void on_wanted(void *ctx, struct slice filter, bool on)
{
    size_t n = strlen(told);

    snprintf(told + n, sizeof told - n, "%s%c%.*s ", (const char *)ctx, on ? '+' : '-',
             (int)filter.n, (const char *)filter.p);
}

static uint64_t on_deliver(void *ctx, const struct delivery *d)
{
    ttl = core_outlet_ttl(out.consumer, d, 0);
    id = d->id;
    return world_deliver(ctx, d);
}

/* Two workers: the outlet, `in` and a on the first, b on the second. Queues d.# are in a store that
 * brokers share. */
static void start(void)
{
    static struct endpoint_ops ops;
    static char names[] = "0\0"
                          "1";
    struct refusal why;

    ops = world_peer_ops;
    ops.deliver = on_deliver;
    memset(&fake, 0, sizeof fake);
    told[0] = '\0';
    policies = world_policy(POLICY_QUEUE, "d.#", "durable=redis");
    world_start(&world, 2, policies, INT64_C(1) << 30);
    fake_start(&fake, &world, DURABLE_REDIS);
    for (unsigned i = 0; i < 2; i++)
        core_set_wanted(world.core[i], on_wanted, names + 2 * i);
    world_run(&world);
    world_connect_as(&world, &in, 0, &(struct endpoint_desc){.name = "in", .is_broker = true});
    memset(&out, 0, sizeof out);
    out.w = &world;
    ck_assert_int_eq(core_endpoint_open(world.core[0],
                                        &(struct endpoint_desc){.name = "out", .is_broker = true},
                                        &ops, &out, &out.ep),
                     0);
    ck_assert_int_eq(core_outlet_open(out.ep, &out, &out.consumer, &why), 0);
    ck_assert_int_eq(core_publisher_open(in.ep, PUBLISH_WINDOW, &in, &in.publisher), 0);
    core_publisher_never_hold(in.publisher);
    world_connect(&world, &pub, 1);
    world_connect(&world, &a, 0);
    world_connect(&world, &b, 1);
    world_run(&world);
}

static void stop(void)
{
    world_stop(&world);
    fake_stop(&fake);
    fake_end(&fake);
    policies = policy_set_unref(policies);
}

static int foreign(const char *topic, const char *text, int64_t ttl_ms)
{
    struct msg_meta meta = {.type = {.id = CTYPE_NONE}, .ttl_ms = ttl_ms};
    struct msg_view v = {
        .data = (const uint8_t *)text, .len = (uint32_t)strlen(text), .meta = &meta};
    struct run run = {.v = &v, .n = 1, .bytes = v.len, .type = {.id = CTYPE_NONE}};
    struct origin from = {.id = 4711, .time_ms = 99};
    struct refusal why;
    int r = core_publish_foreign(in.publisher, slice_str(topic), &run, &from, &why);

    world_run(&world);
    return r;
}

START_TEST(tells_what_is_wanted)
{
    ck_assert_int_eq(world_subscribe(&a, "x.*", CORE_UNLIMITED), 0);
    world_run(&world);
    ck_assert_str_eq(told, "0+x.* ");
    ck_assert_int_eq(world_subscribe(&b, "$SYS.#", CORE_UNLIMITED), 0);
    ck_assert_int_eq(core_outlet_bind(out.consumer, SLICE("y.#")), 0);
    world_run(&world);
    ck_assert_str_eq(told, "0+x.* "); /* neither what is the broker's own nor what others want */
    world_disconnect(&a);
    world_run(&world);
    ck_assert_str_eq(told, "0+x.* 0-x.* ");
    core_outlet_unbind(out.consumer, SLICE("y.#"));
}
END_TEST

START_TEST(shared_queues_want_nothing)
{
    ck_assert_int_eq(world_consume(&a, "d.q", true, 10), 0);
    ck_assert_int_eq(world_consume(&b, "mine", true, 10), 0);
    world_run(&world);
    ck_assert_ptr_nonnull(strstr(told, "+mine "));
    ck_assert_ptr_null(strstr(told, "d.q"));
    core_queue_remove(world.core[0], SLICE("d.q"));
    core_queue_remove(world.core[0], SLICE("mine"));
    world_run(&world);
    ck_assert_ptr_nonnull(strstr(told, "-mine "));
    ck_assert_ptr_null(strstr(told, "d.q"));
}
END_TEST

START_TEST(what_others_want_goes_out_once)
{
    struct msg_meta meta = {.type = {.id = CTYPE_NONE}, .ttl_ms = 5000};
    struct msg_view v = {.data = (const uint8_t *)"four", .len = 4, .meta = &meta};
    struct run run = {.v = &v, .n = 1, .bytes = 4, .type = {.id = CTYPE_NONE}};
    struct target to = {.name = SLICE("x.y")};
    struct refusal why;

    ck_assert_int_eq(core_outlet_bind(out.consumer, SLICE("x.#")), 0);
    ck_assert_int_eq(core_outlet_bind(out.consumer, SLICE("*.y")), 0);
    ck_assert_int_lt(core_outlet_bind(out.consumer, SLICE("*.y")), 0);
    world_run(&world);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, false, "x.y", "one two"), 0);
    world_run(&world);
    ck_assert_str_eq(out.got, "one two ");
    ck_assert_uint_ne(id, 0);
    core_outlet_unbind(out.consumer, SLICE("x.#"));
    world_run(&world);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, false, "x.y", "three"), 0);
    ck_assert_int_eq(core_publish(pub.publisher, &to, &run, &why), 0);
    world_run(&world);
    ck_assert_str_eq(out.got, "one two three four ");
    ck_assert_int_eq(ttl, 5000);
    core_outlet_unbind(out.consumer, SLICE("*.y"));
    world_run(&world);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, false, "x.y", "five"), 0);
    world_run(&world);
    ck_assert_str_eq(out.got, "one two three four ");
}
END_TEST

/* What waited has what is left of its time. */
START_TEST(what_waited_has_less_time)
{
    struct msg_meta meta = {.type = {.id = CTYPE_NONE}, .ttl_ms = 5000};
    struct msg_view v = {.data = (const uint8_t *)"m", .len = 1, .meta = &meta};
    struct run run = {.v = &v, .n = 1, .bytes = 1, .type = {.id = CTYPE_NONE}};
    struct target to = {.name = SLICE("x")};
    struct refusal why;

    out.slow = true;
    core_writable(out.ep, false);
    ck_assert_int_eq(core_outlet_bind(out.consumer, SLICE("x")), 0);
    world_run(&world);
    ck_assert_int_eq(core_publisher_open(pub.ep, PUBLISH_FORGET, &pub, &pub.publisher), 0);
    ck_assert_int_eq(core_publish(pub.publisher, &to, &run, &why), 0);
    world_run(&world);
    ck_assert_uint_eq(core_outlet_waiting(out.consumer), 1);
    world_advance(&world, 2000);
    core_writable(out.ep, true);
    world_run(&world);
    ck_assert_str_eq(out.got, "m ");
    ck_assert_int_eq(ttl, 3000);
}
END_TEST

START_TEST(foreign_ones_go_to_all_but_shared_ones)
{
    struct inspect_queue q;
    uint64_t shared;

    ck_assert_int_eq(world_subscribe(&a, "d.*", CORE_UNLIMITED), 0);
    ck_assert_int_eq(world_subscribe(&b, "#", CORE_UNLIMITED), 0);
    ck_assert_int_eq(core_outlet_bind(out.consumer, SLICE("#")), 0);
    ck_assert_int_eq(world_consume(&pub, "d.q", true, 0), 0);
    world_run(&world);
    ck_assert_int_eq(foreign("d.q", "one", 0), 0);
    ck_assert_str_eq(a.got, "one ");
    ck_assert_str_eq(b.got, "one ");
    ck_assert_str_eq(out.got, "");
    for (unsigned i = 0; i < 2; i++) {
        shared = inspect_find_queue(world.core[i], SLICE("d.q"));
        if (shared && shared >> 56 == i && inspect_queue(world.core[i], shared, &q))
            ck_assert_uint_eq(q.depth, 0);
    }
    /* its own ones go everywhere */
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, false, "d.q", "two"), 0);
    world_run(&world);
    ck_assert_str_eq(a.got, "one two ");
    ck_assert_str_eq(out.got, "two ");
    core_outlet_unbind(out.consumer, SLICE("#"));
}
END_TEST

START_TEST(foreign_ones_are_looked_at)
{
    struct run none = {.n = 100000, .type = {.id = CTYPE_NONE}};
    struct origin from = {1, 1};
    struct refusal why;

    ck_assert_int_eq(foreign("not..a.topic", "x", 0), -EINVAL);
    ck_assert_int_eq(foreign("nobody", "x", 0), 0);
    ck_assert_int_eq(core_publish_foreign(in.publisher, SLICE("t"), &none, &from, &why), -ENOBUFS);
    core_drain(world.core[0]);
    ck_assert_int_eq(foreign("t", "x", 0), -EPIPE);
}
END_TEST

static unsigned gaps_told(struct world_peer *p)
{
    unsigned n = p->gaps_n;

    p->gaps_n = 0;
    return n;
}

/* Who might have had some of what did not come hears so, once, and in its place; who could not,
 * does not. */
START_TEST(what_was_missed_is_told)
{
    struct world_peer own, queue, shared;

    world_connect(&world, &own, 0);
    world_connect(&world, &queue, 1);
    world_connect(&world, &shared, 1);
    ck_assert_int_eq(world_subscribe(&a, "x", CORE_UNLIMITED), 0);
    ck_assert_int_eq(world_subscribe(&b, "#", CORE_UNLIMITED), 0);
    ck_assert_int_eq(world_subscribe(&own, "$SYS.#", CORE_UNLIMITED), 0);
    ck_assert_int_eq(world_consume(&queue, "x", true, 10), 0);
    ck_assert_int_eq(world_consume(&shared, "d.q", true, 10), 0);
    world_run(&world);
    ck_assert_int_eq(foreign("x", "one", 0), 0);
    for (unsigned i = 0; i < 2; i++) {
        core_foreign_missed(world.core[i]);
        core_foreign_missed(world.core[i]);
    }
    world_run(&world);
    ck_assert_uint_eq(gaps_told(&a) + gaps_told(&b) + gaps_told(&queue), 0);
    ck_assert_int_eq(foreign("x", "two", 0), 0);
    ck_assert_str_eq(a.got, "one two ");
    ck_assert_uint_eq(gaps_told(&a), 1);
    ck_assert_int_eq(a.gap_reason, REASON_NODE);
    ck_assert_uint_eq(a.gaps, 0); /* nobody knows how many */
    ck_assert_uint_eq(gaps_told(&b), 1);
    ck_assert_uint_eq(gaps_told(&queue), 1);
    ck_assert_int_eq(queue.gap_reason, REASON_NODE);
    ck_assert_int_eq(foreign("x", "three", 0), 0);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, false, "d.q", "four"), 0);
    ck_assert_int_eq(world_publish(&in, PUBLISH_WINDOW, false, "$SYS.x", "five"), 0);
    world_run(&world);
    ck_assert_str_eq(own.got, "five ");
    ck_assert_str_eq(shared.got, "four ");
    ck_assert_uint_eq(gaps_told(&a) + gaps_told(&b) + gaps_told(&queue), 0);
    ck_assert_uint_eq(gaps_told(&own) + gaps_told(&shared), 0);
    core_foreign_missed(world.core[0]);
    world_disconnect(&a); /* that was not told yet */
    world_run(&world);
}
END_TEST

/* A subscription that has a backlog, or gets one afterwards, tells of it beside what it lost. */
START_TEST(what_was_missed_is_told_with_own_losses)
{
    ck_assert_int_eq(world_subscribe(&a, "x", 0), 0);
    world_run(&world);
    core_foreign_missed(world.core[0]); /* it has none yet */
    ck_assert_int_eq(foreign("x", "one", 0), 0);
    core_grant(a.consumer, 1);
    world_run(&world);
    ck_assert_str_eq(a.got, "one ");
    ck_assert_uint_eq(gaps_told(&a), 1);
    ck_assert_int_eq(foreign("x", "two", 1), 0); /* it expires */
    world_advance(&world, 1000);
    core_foreign_missed(world.core[0]);
    core_grant(a.consumer, 1);
    ck_assert_int_eq(foreign("x", "three", 0), 0);
    ck_assert_str_eq(a.got, "one three ");
    ck_assert_uint_eq(gaps_told(&a), 2);
    ck_assert_uint_eq(a.gaps, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("outlet");
    TCase *tc = tcase_create("outlet");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, start, stop);
    tcase_add_test(tc, tells_what_is_wanted);
    tcase_add_test(tc, shared_queues_want_nothing);
    tcase_add_test(tc, what_others_want_goes_out_once);
    tcase_add_test(tc, what_waited_has_less_time);
    tcase_add_test(tc, foreign_ones_go_to_all_but_shared_ones);
    tcase_add_test(tc, foreign_ones_are_looked_at);
    tcase_add_test(tc, what_was_missed_is_told);
    tcase_add_test(tc, what_was_missed_is_told_with_own_losses);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
