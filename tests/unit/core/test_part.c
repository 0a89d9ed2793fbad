/* Deliveries that outlive their consumer, settled from anywhere. */
#include "brokerd/core/inspect.h"
#include "brokerd/core/names.h"
#include "tests/unit/core/world.h"

#include <check.h>
#include <errno.h>

static struct world w;
static struct world_peer pub, a, b;
static struct policy_set *policies;

/* The queue lives on core 0; the consumer is there too in the first run of each test, on core 1 in
 * the second; whoever settles is on core 2. */
static void start(int run)
{
    policies = world_policy(POLICY_QUEUE, "#", "ack-timeout=30s max-deliveries=3");
    world_start(&w, 3, policies, 64 << 20);
    world_connect(&w, &pub, 0);
    world_connect(&w, &a, run ? 1 : 0);
    world_connect(&w, &b, 2);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, true, "work", "one two three"), 0);
    world_run(&w);
}

static void teardown(void)
{
    world_stop(&w);
    policies = policy_set_unref(policies);
}

static struct queue *work(void)
{
    const struct named *n = map_get(&w.core[0]->names, SLICE("work"));

    return slots_get(&w.core[0]->slots, SLOT_QUEUE, n->queue);
}

static struct delivery_ref ref_of(const struct world_peer *p, uint64_t number)
{
    struct delivery_ref ref;

    ck_assert_int_eq(core_delivery_ref(p->consumer, number, &ref), 0);
    return ref;
}

static bool settle(struct delivery_ref ref, enum ack_verb verb, uint32_t arg_ms)
{
    const struct settlement s = {SLICE("work"), ref, verb, arg_ms};
    unsigned yes = b.settled_there, said = b.resolved;
    struct refusal why;

    ck_assert_int_eq(core_settle(b.ep, &s, 7, &why), 0);
    world_run(&w);
    ck_assert_uint_eq(b.resolved, said + 1);
    ck_assert_uint_eq(b.resolved_token, 7);
    return b.settled_there > yes;
}

START_TEST(what_was_given_is_settled_from_elsewhere)
{
    struct delivery_ref one, two;

    start(_i);
    ck_assert_int_eq(world_consume(&a, "work", true, 2), 0);
    world_run(&w);
    ck_assert_str_eq(a.got, "one two ");
    one = ref_of(&a, 1);
    two = ref_of(&a, 2);
    core_part(a.consumer, 2);
    world_run(&w);
    ck_assert_uint_eq(work()->backlog->inflight, 2);
    ck_assert_uint_eq(work()->backlog->waiting, 1);
    world_disconnect(&a);
    world_run(&w);
    ck_assert_uint_eq(work()->backlog->inflight, 2);
    ck_assert(settle(one, ACK_DONE, 0));
    ck_assert(!settle(one, ACK_DONE, 0));
    ck_assert_uint_eq(work()->backlog->settled.late, 1);
    ck_assert(settle(two, ACK_NACK, 0));
    ck_assert(!settle(two, ACK_DONE, 0)); /* the tap is gone */
    ck_assert_uint_eq(work()->backlog->taps_n, 0);
    ck_assert_uint_eq(work()->backlog->parted_n, 0);
    ck_assert_int_eq(world_consume(&b, "work", true, 9), 0);
    world_run(&w);
    ck_assert_str_eq(b.got, "*two three ");
    teardown();
}
END_TEST

START_TEST(what_was_not_given_returns_uncounted)
{
    start(_i);
    ck_assert_int_eq(world_consume(&a, "work", true, 9), 0);
    world_run(&w);
    ck_assert_str_eq(a.got, "one two three ");
    core_part(a.consumer, 1);
    world_run(&w);
    ck_assert_int_eq(world_consume(&b, "work", true, 9), 0);
    world_run(&w);
    ck_assert_str_eq(b.got, "two three ");
    teardown();
}
END_TEST

/* More than it was told of may be on its way to another worker when it parts. */
START_TEST(what_is_on_its_way_returns_uncounted)
{
    start(1);
    ck_assert_int_eq(world_consume(&a, "work", true, 9), 0);
    while (world_hand(&w, 1, 0) || world_hand(&w, 0, 1))
        core_tick(w.core[1]);
    core_tick(w.core[0]);
    ck_assert_str_eq(a.got, "");
    ck_assert_uint_eq(work()->backlog->inflight, 3);
    core_part(a.consumer, 0);
    world_run(&w);
    ck_assert_str_eq(a.got, "");
    ck_assert_int_eq(world_consume(&b, "work", true, 9), 0);
    world_run(&w);
    ck_assert_str_eq(b.got, "one two three ");
    teardown();
}
END_TEST

START_TEST(time_runs_for_what_was_given)
{
    struct delivery_ref one;

    start(_i);
    ck_assert_int_eq(world_consume(&a, "work", true, 1), 0);
    world_run(&w);
    one = ref_of(&a, 1);
    core_part(a.consumer, 1);
    ck_assert(settle(one, ACK_EXTEND, 60000));
    world_advance(&w, 59999);
    ck_assert_uint_eq(work()->backlog->inflight, 1);
    world_advance(&w, 1);
    ck_assert_uint_eq(work()->backlog->inflight, 0);
    ck_assert_uint_eq(work()->backlog->settled.timeouts, 1);
    ck_assert_uint_eq(work()->backlog->taps_n, 0);
    ck_assert(!settle(one, ACK_DONE, 0));
    teardown();
}
END_TEST

/* A consumer may have a time-out of its own, with which its deliveries begin and may be extended.
 */
START_TEST(its_own_time)
{
    struct consume_options o = {
        .queue = SLICE("work"), .manual_ack = true, .ack_ms = 500, .credit = 2};
    struct refusal why;

    start(_i);
    ck_assert_int_eq(core_attach(a.ep, &o, &a, &a.consumer, &why), 0);
    world_run(&w);
    world_advance(&w, 400);
    ck_assert_int_eq(core_ack(a.consumer, 2, 1, ACK_EXTEND, 0), 0);
    world_run(&w);
    world_advance(&w, 99);
    ck_assert_uint_eq(work()->backlog->settled.timeouts, 0);
    world_advance(&w, 1);
    ck_assert_uint_eq(work()->backlog->settled.timeouts, 1);
    world_advance(&w, 400);
    ck_assert_uint_eq(work()->backlog->settled.timeouts, 2);
    teardown();
}
END_TEST

static bool count(void *ctx, const struct inspect_tap *t)
{
    (void)t;
    ++*(unsigned *)ctx;
    return true;
}

START_TEST(who_parted_is_no_consumer)
{
    struct inspect_queue q;
    unsigned n = 0;

    start(_i);
    ck_assert_int_eq(world_consume(&a, "work", true, 1), 0);
    world_run(&w);
    core_part(a.consumer, 1);
    world_run(&w);
    ck_assert(inspect_queue(w.core[0], work()->handle, &q));
    ck_assert_uint_eq(q.consumers, 0);
    ck_assert_uint_eq(q.unacked, 1);
    inspect_taps(w.core[0], work()->handle, count, &n);
    ck_assert_uint_eq(n, 0);
    names_delete(work(), REASON_DELETED, true); /* nobody is told, all is freed */
    world_run(&w);
    teardown();
}
END_TEST

/* Its consumer comes again elsewhere; it may not have left yet. */
START_TEST(who_comes_again_takes_over)
{
    struct settlement s = {.queue = SLICE("work")};
    bool parted = _i & 2;
    struct refusal why;

    start(_i & 1);
    ck_assert_int_eq(world_consume(&a, "work", true, 9), 0);
    world_run(&w);
    s.ref = ref_of(&a, 2);
    if (parted)
        core_part(a.consumer, 3);
    ck_assert_int_eq(core_take_over(b.ep, &s, &why), 0);
    ck_assert_int_eq(world_consume(&b, "work", true, 9), 0);
    world_run(&w);
    ck_assert_str_eq(b.got, "*three ");
    ck_assert(a.closed == !parted);
    ck_assert_int_eq(a.closed_reason, REASON_NONE);
    ck_assert_uint_eq(work()->backlog->settled.acked, 2);
    ck_assert_uint_eq(work()->backlog->inflight, 1);
    ck_assert_int_eq(core_take_over(b.ep, &s, &why), 0); /* once more is nothing */
    world_run(&w);
    ck_assert_uint_eq(work()->backlog->inflight, 1);
    teardown();
}
END_TEST

START_TEST(made_up_names_find_nothing)
{
    const struct {
        struct settlement s;
        int error;
    } made_up[] = {
        {{.queue = SLICE("work"), .ref = {UINT64_C(9) << 56 | 1, 1}, .verb = ACK_DONE}, -EINVAL},
        {{.queue = SLICE("work"), .ref = {1, 0}, .verb = ACK_DONE}, -EINVAL},
        {{.queue = SLICE("work"), .ref = {1, UINT64_MAX}, .verb = ACK_DONE}, -EINVAL},
        {{.queue = SLICE("$SYS.a"), .ref = {1, 1}, .verb = ACK_DONE}, -EACCES},
    };
    struct refusal why;

    start(0);
    for (unsigned i = 0; i < sizeof made_up / sizeof *made_up; i++)
        ck_assert_int_eq(core_settle(b.ep, &made_up[i].s, 7, &why), made_up[i].error);
    ck_assert_uint_eq(b.resolved, 0);
    ck_assert(!settle((struct delivery_ref){0x300000001, 1}, ACK_DONE, 0));
    ck_assert(!settle((struct delivery_ref){UINT64_C(2) << 56 | 0x300000001, 1}, ACK_DONE, 0));
    teardown();
}
END_TEST

/* Who asked may be gone when the answer comes. */
START_TEST(nobody_hears_the_answer)
{
    struct settlement s = {.queue = SLICE("work"), .verb = ACK_DONE};
    struct refusal why;

    start(0);
    ck_assert_int_eq(world_consume(&a, "work", true, 1), 0);
    world_run(&w);
    s.ref = ref_of(&a, 1);
    ck_assert_int_eq(core_settle(b.ep, &s, 7, &why), 0);
    world_disconnect(&b);
    world_run(&w);
    ck_assert_uint_eq(b.resolved, 0);
    ck_assert_uint_eq(work()->backlog->settled.acked, 1);
    teardown();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("part");
    TCase *tc = tcase_create("part");
    SRunner *sr;
    int failed;

    tcase_add_loop_test(tc, what_was_given_is_settled_from_elsewhere, 0, 2);
    tcase_add_loop_test(tc, what_was_not_given_returns_uncounted, 0, 2);
    tcase_add_test(tc, what_is_on_its_way_returns_uncounted);
    tcase_add_loop_test(tc, time_runs_for_what_was_given, 0, 2);
    tcase_add_loop_test(tc, its_own_time, 0, 2);
    tcase_add_loop_test(tc, who_parted_is_no_consumer, 0, 2);
    tcase_add_loop_test(tc, who_comes_again_takes_over, 0, 4);
    tcase_add_test(tc, made_up_names_find_nothing);
    tcase_add_test(tc, nobody_hears_the_answer);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
