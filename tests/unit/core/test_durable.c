/* Durable queues: what is put, confirmed, in the window, fetched and settled. */
#include "tests/unit/core/scripted_store.h"

#include <check.h>
#include <errno.h>

static struct world world;
static struct policy_set *policies;
static struct world_peer pub, a, b;
static struct script script;

/* Publisher and consumers a, b on core 0; the queue `q` is kept by the script. */
static void start_with(const char *settings, bool manual, uint64_t credit)
{
    policies = world_policy(POLICY_QUEUE, "#", settings);
    world_start(&world, 1, policies, INT64_C(1) << 30);
    world.now = 100000;
    world_connect(&world, &pub, 0);
    world_connect(&world, &a, 0);
    world_connect(&world, &b, 0);
    world_consume(&a, "q", manual, credit);
    world_run(&world);
    script_adopt(&script, &world, "q", &script_exclusive);
    world_run(&world);
}

static void start(const char *settings)
{
    memset(&script, 0, sizeof script);
    start_with(settings, true, 100);
    ck_assert_str_eq(script_said(&script), "");
}

static void stop(void)
{
    world_stop(&world);
    policies = policy_set_unref(policies);
    ck_assert(!script.is_open);
}

static void publish(const char *texts)
{
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, true, "q", texts), 0);
    world_run(&world);
}

static void ack(uint64_t first, uint32_t n, enum ack_verb verb)
{
    ck_assert_int_eq(core_ack(a.consumer, first, n, verb, 0), 0);
    world_run(&world);
}

/* Messages of `bytes` bytes each. */
static void publish_large(unsigned n, uint32_t bytes)
{
    struct msg_view v = {.data = script_zeros, .len = bytes};
    struct target to = {true, SLICE("q")};
    struct refusal why;

    if (!pub.publisher) {
        ck_assert_int_eq(core_publisher_open(pub.ep, PUBLISH_WINDOW, &pub, &pub.publisher), 0);
        world_run(&world);
    }
    while (n--) {
        struct run run = {.v = &v, .n = 1, .bytes = bytes, .type = {.id = CTYPE_NONE}};

        ck_assert_int_eq(core_publish(pub.publisher, &to, &run, &why), 0);
        world_run(&world);
    }
}

/* ------------------------------------------------------------------------ put, confirm */

START_TEST(a_message_is_delivered_and_confirmed_when_it_is_stored)
{
    start("");
    publish("1 2 3");
    ck_assert_str_eq(script_said(&script), "put 1+3;");
    ck_assert_str_eq(a.got, "");
    ck_assert_uint_eq(pub.upto, 0);
    script_put_done(&script, 1, 2, REASON_NONE);
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 ");
    ck_assert_uint_eq(pub.upto, 2);
    script_put_done(&script, 3, 1, REASON_NONE);
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 3 ");
    ck_assert_uint_eq(pub.accepted, 3);
    ck_assert_str_eq(script_said(&script), "");
    stop();
}
END_TEST

START_TEST(what_is_refused_is_told_and_its_number_stays_unused)
{
    start("");
    publish("1 2 3 4");
    script_put_done(&script, 1, 1, REASON_NONE);
    script_put_done(&script, 2, 2, REASON_STORE);
    script_put_done(&script, 4, 1, REASON_NONE);
    publish("5");
    script_put_done(&script, 5, 1, REASON_NONE);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "put 1+4;put 5+1;");
    ck_assert_str_eq(a.got, "1 4 5 ");
    ck_assert_uint_eq(pub.accepted, 3);
    ck_assert_uint_eq(pub.refused, 2);
    ck_assert_uint_eq(script.queue->backlog->losses->total[REASON_STORE], 2);
    ck_assert_uint_eq(script.queue->backlog->waiting, 0);
    stop();
}
END_TEST

START_TEST(whoever_publishes_to_several_hears_when_all_have_it)
{
    start("");
    world_subscribe(&b, "q", 100);
    world_run(&world);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, false, "q", "1 2"), 0);
    world_run(&world);
    ck_assert_str_eq(b.got, "1 2 "); /* in memory, and at once */
    ck_assert_uint_eq(pub.upto, 0);
    script_put_done(&script, 1, 2, REASON_NONE);
    world_run(&world);
    ck_assert_uint_eq(pub.upto, 2);
    ck_assert_uint_eq(pub.last.matched, 2);
    ck_assert_uint_eq(pub.last.accepted, 2);
    stop();
}
END_TEST

/* put() says no: by policy. */
static const struct {
    const char *settings;
    int error;
    uint64_t refused, held;
    enum reason reason;
} cases[] = {
    {"overflow=reject", -EAGAIN, 0, 2, REASON_NONE}, /* it is merely busy */
    {"overflow=drop-oldest", -EAGAIN, 2, 0, REASON_STORE},
    {"overflow=reject", -ENOSPC, 2, 0, REASON_FULL},
    {"overflow=reject", -EIO, 2, 0, REASON_STORE},
    {"overflow=drop-oldest", -EIO, 2, 0, REASON_STORE},
    {"overflow=drop-newest", -ENOSPC, 2, 0, REASON_FULL},
    {"overflow=block", -ENOMEM, 2, 0, REASON_MEMORY},
    {"overflow=reject", -EMSGSIZE, 2, 0, REASON_TOO_LARGE},
    {"overflow=drop-newest", -EMSGSIZE, 2, 0, REASON_TOO_LARGE},
    {"overflow=block", -EMSGSIZE, 2, 0, REASON_TOO_LARGE},
    {"overflow=block", -EAGAIN, 0, 2, REASON_NONE},
    {"overflow=block", -ENOSPC, 0, 2, REASON_NONE},
};

START_TEST(put_that_fails)
{
    start(cases[_i].settings);
    script.refuse = cases[_i].error;
    publish("1 2");
    ck_assert_uint_eq(pub.refused, cases[_i].refused);
    if (cases[_i].refused)
        ck_assert_int_eq(pub.last.reason, cases[_i].reason);
    ck_assert_uint_eq(deque_len(&script.queue->backlog->held), cases[_i].held);
    ck_assert_uint_eq(script.queue->backlog->waiting, 0);
    ck_assert_uint_eq(script.queue->backlog->bytes, 0);
    script_said(&script);
    publish("3"); /* the store is not asked again in vain */
    if (cases[_i].error != -ENOMEM && cases[_i].error != -EMSGSIZE)
        ck_assert_str_eq(script_said(&script), "");
    else
        ck_assert_uint_eq(pub.refused, 3);
    script.refuse = 0;
    if (cases[_i].error != -EMSGSIZE) /* one is too large: that is nothing to the next */
        script_answer(&script, STORED_ROOM, 0, 0, REASON_NONE);
    world_run(&world);
    publish("4");
    if (cases[_i].held)
        script_put_done(&script, 1, 4, REASON_NONE);
    else
        script_put_done(&script, 1, 1, REASON_NONE);
    world_run(&world);
    ck_assert_str_eq(a.got, cases[_i].held ? "1 2 3 4 " : "4 ");
    ck_assert_uint_eq(pub.accepted, cases[_i].held ? 4 : 1);
    stop();
}
END_TEST

/* One of many is too large for its store: the others are nothing to it, wherever it is. */
START_TEST(one_that_is_too_large) /* _i: which */
{
    static const char *const texts[] = {"large 2 3 4 5 6 7", "1 2 3 large 5 6 7",
                                        "1 2 3 4 5 6 large", "1 2 large 4 large 6 7"};
    static const char *const got[] = {"2 3 4 5 6 7 ", "1 2 3 5 6 7 ", "1 2 3 4 5 6 ", "1 2 4 6 7 "};
    unsigned larges = _i == 3 ? 2 : 1;

    start("max-inflight=100");
    script.largest = 4;
    publish(texts[_i]);
    script_put_done(&script, 1, 7 - larges, REASON_NONE);
    world_run(&world);
    ck_assert_uint_eq(pub.refused, larges);
    ck_assert_uint_eq(pub.accepted, 7 - larges);
    ck_assert_str_eq(a.got, got[_i]);
    stop();
}
END_TEST

START_TEST(held_for_a_busy_store_and_no_longer)
{
    start("max-messages=2 overflow=reject");
    script.refuse = -EAGAIN;
    publish("1 2 3");
    ck_assert_uint_eq(deque_len(&script.queue->backlog->held), 3);
    script.refuse = 0;
    script_said(&script);
    publish("4"); /* not past them, though it would be taken now */
    ck_assert_str_eq(script_said(&script), "");
    script_answer(&script, STORED_ROOM, 0, 0, REASON_NONE);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "put 1+1;put 2+1;");
    ck_assert_uint_eq(deque_len(&script.queue->backlog->held), 0);
    script_put_done(&script, 1, 2, REASON_NONE);
    world_run(&world);
    ck_assert_uint_eq(pub.accepted, 2);
    ck_assert_uint_eq(pub.refused, 2);
    ck_assert_int_eq(pub.last.reason, REASON_FULL);
    ack(1, 2, ACK_DONE);
    ck_assert_int_eq(script.queue->backlog->charged, 0);
    stop();
}
END_TEST

/* There was room for some of those held: the others wait for more of it. */
START_TEST(held_on_when_room_is_used_up)
{
    static const struct {
        const char *settings;
        int error;
    } waits[] = {
        {"overflow=reject", -EAGAIN}, {"overflow=block", -EAGAIN}, {"overflow=block", -ENOSPC}};
    int64_t charged;

    start(waits[_i].settings);
    script.refuse = waits[_i].error;
    publish("1 2 3");
    charged = script.queue->backlog->charged;
    for (int i = 0; i < 3; i++) {
        script_answer(&script, STORED_ROOM, 0, 0, REASON_NONE);
        world_run(&world);
        ck_assert_uint_eq(pub.refused, 0);
        ck_assert_uint_eq(deque_len(&script.queue->backlog->held), 3);
        ck_assert_int_eq(script.queue->backlog->charged, charged);
    }
    script.refuse = 0;
    script_answer(&script, STORED_ROOM, 0, 0, REASON_NONE);
    world_run(&world);
    script_put_done(&script, 1, 3, REASON_NONE);
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 3 ");
    ck_assert_uint_eq(pub.accepted, 3);
    ack(1, 3, ACK_DONE);
    ck_assert_int_eq(script.queue->backlog->charged, 0);
    stop();
}
END_TEST

START_TEST(a_hold_that_the_store_does_not_end_is_refused_for_it)
{
    start("overflow=block block-timeout=5s");
    script.refuse = -EIO;
    publish("1 2");
    world_advance(&world, 4999);
    ck_assert_uint_eq(pub.refused, 0);
    world_advance(&world, 1);
    ck_assert_uint_eq(pub.refused, 2);
    ck_assert_int_eq(pub.last.reason, REASON_STORE);
    stop();
}
END_TEST

START_TEST(limits_count_what_is_not_stored_yet)
{
    start("max-messages=3 overflow=reject");
    publish("1 2");
    publish("3 4");
    ck_assert_str_eq(script_said(&script), "put 1+2;put 3+1;");
    ck_assert_uint_eq(pub.refused, 0); /* in order: 4 waits for what is before it */
    script_put_done(&script, 1, 3, REASON_NONE);
    world_run(&world);
    ck_assert_uint_eq(pub.accepted, 3);
    ck_assert_uint_eq(pub.refused, 1);
    ck_assert_int_eq(pub.last.reason, REASON_FULL);
    ck_assert_str_eq(a.got, "1 2 3 ");
    stop();
}
END_TEST

START_TEST(the_end_of_the_queue_is_told_to_who_waits)
{
    start("");
    publish("1 2");
    core_queue_remove(world.core[0], SLICE("q"));
    world_run(&world);
    ck_assert_uint_eq(pub.refused, 2);
    ck_assert_int_eq(pub.last.reason, REASON_NOT_FOUND);
    ck_assert_str_eq(script_said(&script), "put 1+2;remove;");
    stop();
}
END_TEST

/* ------------------------------------------------------------------------- settlements */

START_TEST(acks_in_any_order_become_ranges)
{
    start("");
    publish("1 2 3 4 5 6");
    script_put_done(&script, 1, 6, REASON_NONE);
    world_run(&world);
    script_said(&script);
    core_ack(a.consumer, 2, 1, ACK_DONE, 0);
    core_ack(a.consumer, 3, 1, ACK_DONE, 0);
    core_ack(a.consumer, 1, 1, ACK_DONE, 0);
    core_ack(a.consumer, 6, 1, ACK_DONE, 0);
    ck_assert_str_eq(script_said(&script), ""); /* at the end of the turn */
    core_tick(world.core[0]);
    ck_assert_str_eq(script_said(&script), "gone 1+3;gone 6+1;");
    ack(4, 2, ACK_DONE);
    ck_assert_str_eq(script_said(&script), "gone 4+2;");
    ck_assert_uint_eq(script.queue->backlog->inflight, 0);
    stop();
}
END_TEST

START_TEST(what_comes_back_is_told_with_attempts_and_time)
{
    start("");
    publish("1 2 3");
    script_put_done(&script, 1, 3, REASON_NONE);
    world_run(&world);
    script_said(&script);
    core_ack(a.consumer, 1, 1, ACK_NACK, 0);
    core_ack(a.consumer, 2, 1, ACK_NACK, 5000);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "back 1 x1 @0;back 2 x1 @105000;");
    ck_assert_str_eq(a.got, "1 2 3 *1 ");
    ck_assert_uint_eq(durable_delayed(script.queue), 1);
    world_advance(&world, 5000);
    ck_assert_str_eq(a.got, "1 2 3 *1 *2 ");
    ck_assert_uint_eq(script.queue->backlog->stored->delayed_bytes, 0);
    ack(3, 1, ACK_REJECT);
    ck_assert_str_eq(script_said(&script), "gone 3+1;");
    world_disconnect(&a); /* no attempts but those told */
    world_run(&world);
    world_consume(&b, "q", true, 10);
    world_run(&world);
    ck_assert_uint_eq(b.deliveries, 2);
    stop();
}
END_TEST

START_TEST(attempts_used_up)
{
    start("max-deliveries=2");
    publish("1");
    script_put_done(&script, 1, 1, REASON_NONE);
    world_run(&world);
    ack(1, 1, ACK_NACK);
    ack(2, 1, ACK_NACK);
    ck_assert_str_eq(script_said(&script), "put 1+1;back 1 x1 @0;gone 1+1;");
    ck_assert_uint_eq(script.queue->backlog->losses->total[REASON_ATTEMPTS], 1);
    stop();
}
END_TEST

START_TEST(without_acks_written_is_settled)
{
    memset(&script, 0, sizeof script);
    start_with("", false, 100);
    a.slow = true;
    publish("1 2");
    script_put_done(&script, 1, 2, REASON_NONE);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "put 1+2;");
    world_written(&a);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "gone 1+2;");
    stop();
}
END_TEST

/* --------------------------------------------------------------- a start with messages */

START_TEST(what_an_earlier_broker_kept_comes_by_fetch)
{
    memset(&script, 0, sizeof script);
    script_keep(&script, 3, "a", 0, 1);
    script_keep(&script, 4, "b", 2, 1);
    script_keep(&script, 7, "c", 0, 1);
    script_keep(&script, 9, "d", 1, 1);
    script.kept[9].due_ms = 200000;
    start_with("ack-timeout=never", true, 100);
    ck_assert_str_eq(script_said(&script), "fetch 3;");
    ck_assert_uint_eq(script.queue->backlog->waiting, 4);
    publish("e"); /* behind it all */
    script_put_done(&script, 10, 1, REASON_NONE);
    world_run(&world);
    ck_assert_uint_eq(pub.accepted, 1);
    ck_assert_str_eq(a.got, "");
    script_messages(&script, 3, 11, 99);
    world_run(&world);
    ck_assert_str_eq(a.got, "a *b c e ");
    ck_assert_str_eq(script_said(&script), "put 10+1;");
    ck_assert_uint_eq(script.queue->backlog->waiting, 1);
    world_advance(&world, 100000);
    ck_assert_str_eq(a.got, "a *b c e *d ");
    ck_assert_uint_eq(script.queue->backlog->waiting, 0);
    ck_assert_uint_eq(script.queue->backlog->bytes, 0);
    stop();
}
END_TEST

START_TEST(most_numbers_are_missing)
{
    memset(&script, 0, sizeof script);
    script_keep(&script, 1, "a", 0, 1);
    script_keep(&script, 2, "b", 0, 1);
    script_keep(&script, 1500, "c", 0, 1);
    script_keep(&script, 3000, "d", 0, 1);
    script_keep(&script, 4000, "e", 0, 1);
    start_with("", true, 1);
    script_messages(&script, 1, 1499, 99);
    world_run(&world);
    ck_assert_str_eq(a.got, "a ");
    script_said(&script);
    script_messages(&script, 1499, 4001, 99); /* too far from b, which is first in line */
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "");
    core_grant(a.consumer, 1);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "fetch 1500;");
    script_messages(&script, 1500, 4001, 99);
    core_grant(a.consumer, 100);
    world_run(&world);
    ck_assert_str_eq(a.got, "a b c d e ");
    publish("f");
    script_put_done(&script, 4001, 1, REASON_NONE);
    world_run(&world);
    ck_assert_str_eq(a.got, "a b c d e f ");
    ck_assert_uint_eq(script.queue->backlog->waiting, 0);
    stop();
}
END_TEST

/* ------------------------------------------------------------------------ the window */

START_TEST(beyond_the_window_messages_are_only_in_the_store)
{
    struct storage *d;

    memset(&script, 0, sizeof script);
    start_with("max-bytes=unlimited max-messages=unlimited", true, 0);
    d = script.queue->backlog->stored;
    d->window = 4000;
    publish_large(8, 1000);
    script_said(&script);
    script_put_done(&script, 1, 8, REASON_NONE);
    world_run(&world);
    ck_assert_uint_eq(pub.accepted, 8);
    ck_assert_uint_eq(deque_len(&script.queue->backlog->fifo), 3);
    ck_assert_uint_eq(d->away_n, 5);
    ck_assert_uint_eq(d->away_bytes, 5000);
    ck_assert_uint_eq(script.queue->backlog->waiting, 8);
    ck_assert_uint_eq(queue_ready(script.queue), 3);
    core_grant(a.consumer, 1);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), ""); /* more than half is there */
    core_grant(a.consumer, 1);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "fetch 4;");
    core_grant(a.consumer, 10);
    world_run(&world);
    ck_assert_uint_eq(a.deliveries, 3);
    script_messages(&script, 4, 9, 2);
    world_run(&world);
    ck_assert_uint_eq(a.deliveries, 5);
    ck_assert_str_eq(script_said(&script), "fetch 6;");
    script_messages(&script, 6, 9, 9);
    world_run(&world);
    ck_assert_uint_eq(a.deliveries, 8);
    ck_assert_uint_eq(d->away_n + d->away_bytes, 0);
    publish_large(1, 1000); /* it has caught up */
    script_put_done(&script, 9, 1, REASON_NONE);
    world_run(&world);
    ck_assert_uint_eq(a.deliveries, 9);
    ck_assert_str_eq(script_said(&script), "put 9+1;");
    stop();
}
END_TEST

START_TEST(a_short_budget_cuts_the_window_and_loses_nothing)
{
    memset(&script, 0, sizeof script);
    start_with("max-bytes=unlimited max-messages=unlimited", true, 0);
    publish_large(8, 100000);
    script_put_done(&script, 1, 8, REASON_NONE);
    world_run(&world);
    ck_assert_uint_eq(deque_len(&script.queue->backlog->fifo), 8);
    script_said(&script);
    world.memory -= INT64_C(2) << 30; /* others have it */
    world_run(&world);
    ck_assert_uint_eq(deque_len(&script.queue->backlog->fifo), 1);
    ck_assert_uint_eq(script.queue->backlog->waiting, 8);
    ck_assert_uint_eq(script.queue->backlog->bytes, 800000);
    ck_assert_int_lt(script.queue->backlog->charged, 110000);
    core_grant(a.consumer, 10);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "fetch 2;");
    world.memory += INT64_C(2) << 30;
    script_messages(&script, 2, 9, 99); /* the core has yet to hear of it: one is enough */
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "fetch 3;");
    script_messages(&script, 3, 9, 99);
    world_run(&world);
    ck_assert_uint_eq(a.deliveries, 8);
    ack(1, 8, ACK_DONE);
    ck_assert_str_eq(script_said(&script), "gone 1+8;");
    ck_assert_int_eq(script.queue->backlog->charged, 0);
    stop();
}
END_TEST

/* Else consumers that acknowledge late, or send all back for later, bring all of it into memory. */
START_TEST(a_short_budget_brings_no_more_than_a_window_into_consumers_hands)
{
    memset(&script, 0, sizeof script);
    start_with("max-bytes=unlimited max-messages=unlimited", true, 0);
    publish_large(12, 1 << 20);
    script_put_done(&script, 1, 12, REASON_NONE);
    world_run(&world);
    world.memory -= INT64_C(2) << 30; /* others have it */
    world_run(&world);
    core_grant(a.consumer, 100);
    world_run(&world);
    for (uint64_t i = 1; script.queue->backlog->stored->fetching; i++) {
        script_messages(&script, script.fetch_from, 13, 1);
        world_run(&world);
        ck_assert_uint_le(i, 8);
    }
    ck_assert_uint_eq(a.deliveries, 8);
    ck_assert_int_eq(core_ack(a.consumer, 2, 7, ACK_NACK, 60000), 0);
    world_run(&world);
    ck_assert(!script.queue->backlog->stored->fetching);
    script_said(&script);
    ack(1, 1, ACK_DONE); /* seven and their places are less than a window */
    ck_assert_str_eq(script_said(&script), "gone 1+1;fetch 9;");
    script_messages(&script, 9, 13, 1);
    world_run(&world);
    ck_assert_uint_eq(a.deliveries, 9);
    ck_assert_str_eq(script_said(&script), "");
    world.memory += INT64_C(2) << 30; /* nobody tells, so it looks */
    world_advance(&world, 50);
    ck_assert_str_eq(script_said(&script), "fetch 10;");
    stop();
}
END_TEST

START_TEST(windows_have_no_more_of_the_budget_than_they_leave)
{
    struct core *c;

    memset(&script, 0, sizeof script);
    start_with("max-bytes=unlimited max-messages=unlimited", true, 0);
    c = world.core[0];
    publish_large(8, 100000);
    script_put_done(&script, 1, 8, REASON_NONE);
    world_run(&world);
    world.memory = 300000 - (c->drawn - c->used); /* others have the rest */
    world_run(&world);
    ck_assert_uint_lt(deque_len(&script.queue->backlog->fifo), 8);
    ck_assert_uint_gt(deque_len(&script.queue->backlog->fifo), 3);
    ck_assert_int_le(c->windows, budget_left(c));
    ck_assert_int_eq(c->windows, script.queue->backlog->charged);
    ck_assert_uint_eq(script.queue->backlog->waiting, 8);
    stop();
}
END_TEST

/* Else many queues that fetch at once, as at a start, have more than there is. */
START_TEST(what_is_being_fetched_counts_for_the_budget)
{
    struct core *c;

    memset(&script, 0, sizeof script);
    script_keep(&script, 1, "a", 0, 1);
    start_with("", true, 0);
    c = world.core[0];
    ck_assert_str_eq(script_said(&script), "fetch 1;");
    ck_assert_int_eq(c->windows, 2 * STORE_FETCH_BYTES);
    script_messages(&script, 1, 2, 9);
    world_run(&world);
    ck_assert_int_eq(c->windows, script.queue->backlog->charged);
    stop();
}
END_TEST

START_TEST(a_fetch_that_a_purge_has_overtaken)
{
    memset(&script, 0, sizeof script);
    script_keep(&script, 1, "a", 0, 1);
    script_keep(&script, 2, "b", 0, 1);
    start_with("", true, 100);
    ck_assert_str_eq(script_said(&script), "fetch 1;");
    publish("c");
    ck_assert_uint_eq(queue_purge(script.queue, REASON_PURGED), 2);
    script_messages(&script, 1, 3, 99);
    script_put_done(&script, 3, 1, REASON_NONE);
    world_run(&world);
    ck_assert_str_eq(a.got, "");
    ck_assert_str_eq(script_said(&script), "put 3+1;fetch 3;");
    script_messages(&script, 3, 4, 99);
    world_run(&world);
    ck_assert_str_eq(a.got, "c ");
    ck_assert_uint_eq(script.queue->backlog->waiting, 0);
    stop();
}
END_TEST

START_TEST(what_the_store_has_lost_is_counted_and_told)
{
    memset(&script, 0, sizeof script);
    for (uint64_t i = 1; i <= 4; i++)
        script_keep(&script, i, "m", 0, 1);
    start_with("", true, 100);
    script.kept[2].there = script.kept[3].there = false;
    script_answer(&script, STORED_LOST, 0, 2, REASON_STORE);
    script_messages(&script, 1, 5, 99);
    world_run(&world);
    ck_assert_str_eq(a.got, "m m ");
    ck_assert_uint_eq(a.gaps, 2);
    ck_assert_int_eq(a.gap_reason, REASON_STORE);
    ck_assert_uint_eq(script.queue->backlog->waiting, 0);
    ck_assert_uint_eq(script.queue->backlog->bytes, 0);
    ck_assert_uint_eq(world.events[EVENT_DROPPED], 1);
    ck_assert_uint_eq(world.events[EVENT_REFUSED], 0); /* nobody's publish was */
    stop();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("durable");
    TCase *tc = tcase_create("put, confirm");

    tcase_add_test(tc, a_message_is_delivered_and_confirmed_when_it_is_stored);
    tcase_add_test(tc, what_is_refused_is_told_and_its_number_stays_unused);
    tcase_add_test(tc, whoever_publishes_to_several_hears_when_all_have_it);
    tcase_add_loop_test(tc, put_that_fails, 0, sizeof cases / sizeof *cases);
    tcase_add_loop_test(tc, one_that_is_too_large, 0, 4);
    tcase_add_test(tc, held_for_a_busy_store_and_no_longer);
    tcase_add_loop_test(tc, held_on_when_room_is_used_up, 0, 3);
    tcase_add_test(tc, a_hold_that_the_store_does_not_end_is_refused_for_it);
    tcase_add_test(tc, limits_count_what_is_not_stored_yet);
    tcase_add_test(tc, the_end_of_the_queue_is_told_to_who_waits);
    suite_add_tcase(s, tc);
    tc = tcase_create("settlements");
    tcase_add_test(tc, acks_in_any_order_become_ranges);
    tcase_add_test(tc, what_comes_back_is_told_with_attempts_and_time);
    tcase_add_test(tc, attempts_used_up);
    tcase_add_test(tc, without_acks_written_is_settled);
    suite_add_tcase(s, tc);
    tc = tcase_create("start, window");
    tcase_add_test(tc, what_an_earlier_broker_kept_comes_by_fetch);
    tcase_add_test(tc, most_numbers_are_missing);
    tcase_add_test(tc, beyond_the_window_messages_are_only_in_the_store);
    tcase_add_test(tc, a_short_budget_cuts_the_window_and_loses_nothing);
    tcase_add_test(tc, a_short_budget_brings_no_more_than_a_window_into_consumers_hands);
    tcase_add_test(tc, windows_have_no_more_of_the_budget_than_they_leave);
    tcase_add_test(tc, what_is_being_fetched_counts_for_the_budget);
    tcase_add_test(tc, a_fetch_that_a_purge_has_overtaken);
    tcase_add_test(tc, what_the_store_has_lost_is_counted_and_told);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(suite());
    int failed;

    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
