/* What a peer may cause ends somewhere: numbers, sizes and repetition are bounded, and what goes
 * beyond is refused or counted. */
#include "brokerd/core/inspect.h"
#include "tests/unit/core/world.h"

#include <check.h>
#include <errno.h>

static struct world world;
static struct policy_set *policies;
static struct world_peer pub, a, b;

static void start(unsigned cores, const char *settings)
{
    policies = world_policy(POLICY_QUEUE, "#", settings);
    world_start(&world, cores, policies, INT64_C(1) << 30);
    world_connect(&world, &pub, 0);
    world_connect(&world, &a, 0);
    world_connect(&world, &b, cores - 1);
}

static void teardown(void)
{
    world_stop(&world);
    policies = policy_set_unref(policies);
}

static int consume_with(struct world_peer *p, const char *queue, const char *key, const char *value,
                        struct refusal *why)
{
    uint8_t headers[512];
    uint8_t *end = headers_put(headers, slice_str(key), slice_str(value));
    struct consume_options o = {.queue = slice_str(queue),
                                .manual_ack = true,
                                .credit = 100,
                                .headers = slice_of(headers, (size_t)(end - headers))};

    return core_attach(p->ep, &o, p, &p->consumer, why);
}

/* ----------------------------------------------------------------------- dead letters */

enum { CHAIN = 12, NAME_LONG = 220 };

/* A name of many bytes that ends in a number. */
static const char *long_name(unsigned i)
{
    static char name[CHAIN + 1][NAME_LONG + 8];
    char *buf = name[i];

    memset(buf, 'q', NAME_LONG);
    snprintf(buf + NAME_LONG, 8, "%u", i);
    return buf;
}

/* Each death adds headers, and a message may die in one queue after the other. */
START_TEST(a_letter_may_die_until_its_headers_are_full)
{
    static uint8_t headers[60 * 1024];
    struct world_peer eater[CHAIN];
    struct target to = {true, slice_str(long_name(0))};
    struct msg_meta meta = {.type = {.id = CTYPE_NONE}};
    struct msg_view v = {.data = (const uint8_t *)"x", .len = 1, .meta = &meta};
    struct run run = {.v = &v, .n = 1, .bytes = 1, .type = {.id = CTYPE_NONE}};
    struct refusal why;
    unsigned deaths = 0;

    start(1, "");
    for (unsigned i = 0; i < CHAIN; i++) {
        world_connect(&world, &eater[i], 0);
        ck_assert_int_eq(
            consume_with(&eater[i], long_name(i), "$dead-letter", long_name(i + 1), &why), 0);
    }
    world_run(&world);
    memset(headers, 'v', sizeof headers);
    meta.headers = slice_of(headers, sizeof headers);
    headers[0] = 1; /* one header that takes all the room there is */
    headers[2] = (sizeof headers - 4) >> 8;
    headers[3] = (sizeof headers - 4) & 0xff;
    ck_assert_int_eq(core_publisher_open(pub.ep, PUBLISH_FORGET, &pub, &pub.publisher), 0);
    ck_assert_int_eq(core_publish(pub.publisher, &to, &run, &why), 0);
    world_run(&world);
    while (deaths < CHAIN && eater[deaths].deliveries) {
        ck_assert_int_eq(core_ack(eater[deaths].consumer, 1, 1, ACK_REJECT, 0), 0);
        world_run(&world);
        deaths++;
    }
    ck_assert_uint_ge(deaths, 5);
    ck_assert_uint_lt(deaths, CHAIN);
    ck_assert_uint_eq(world.core[0]->count.reason[REASON_REJECTED], deaths);
    ck_assert_uint_eq(world.core[0]->count.reason[REASON_TOO_LARGE], 1);
    teardown();
}
END_TEST

/* ------------------------------------------------------------------------------ times */

static const char *const times[] = {"$message-ttl", "$ack-timeout", "$expires", "$block-timeout"};

/* No sum with the clock may overflow: such a time is refused, or as long as it says. */
START_TEST(a_very_long_time_is_long)
{
    struct refusal why;

    start(1, "");
    ck_assert_int_eq(consume_with(&a, "work", times[_i], "9223372036854775806ms", &why), -EINVAL);
    ck_assert_int_eq(why.reason, REASON_INVALID);
    ck_assert_int_eq(consume_with(&a, "work", times[_i], "365000d", &why), 0);
    world_run(&world);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, true, "work", "x"), 0);
    world_advance(&world, 1000);
    ck_assert_str_eq(a.got, "x ");
    teardown();
}
END_TEST

/* ---------------------------------------------------------------------------- flights */

enum { HELD_UP = 3, MANY = 30000, SPAN = 2048 };

static void flow(uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i <= to; i++) {
        ck_assert_int_eq(world_publish(&pub, PUBLISH_FORGET, true, "work", "x"), 0);
        core_grant(a.consumer, 1);
        world_run(&world);
        ck_assert_uint_eq(a.deliveries, i);
        if (i > HELD_UP && i % 10000)
            ck_assert_int_eq(core_ack(a.consumer, i, 1, ACK_DONE, 0), 0);
    }
}

/* A consumer that keeps a few messages for long, and settles all that come after them. */
START_TEST(what_was_settled_takes_no_memory)
{
    struct tap *tap;
    struct queue *q;

    start(1, "ack-timeout=never");
    world_consume(&a, "work", true, 0);
    world_run(&world);
    flow(1, MANY);
    tap = a.consumer->tap;
    q = tap->queue;
    ck_assert_uint_eq(tap->custody->unsettled, HELD_UP + MANY / 10000);
    ck_assert_uint_le(deque_len(&tap->custody->flights.recent), SPAN);
    ck_assert_uint_le(tap->custody->flights.old_cap, 64);
    /* All at once: three stragglers and one of the recent; the rest was settled before. */
    ck_assert_int_eq(core_ack(a.consumer, 2, MANY - 1, ACK_DONE, 0), 0);
    ck_assert_uint_eq(tap->custody->unsettled, 1);
    ck_assert_uint_eq(q->backlog->settled.late, MANY - 1 - HELD_UP - MANY / 10000 + 1);
    ck_assert_int_eq(core_ack(a.consumer, 1, 1, ACK_NACK, 0), 0);
    ck_assert_uint_eq(tap->custody->unsettled, 0);
    ck_assert_uint_eq(tap->custody->flights.old_cap, 0);
    core_grant(a.consumer, 1);
    world_run(&world);
    ck_assert_uint_eq(q->backlog->settled.redelivered, 1);
    teardown();
}
END_TEST

/* Those that moved out of the way time out and go back like any other. */
START_TEST(stragglers_go_back_in_order)
{
    start(1, "ack-timeout=1h");
    world_consume(&a, "work", true, 0);
    world_run(&world);
    flow(1, 5000);
    ck_assert_uint_eq(a.consumer->tap->custody->flights.old_n, HELD_UP);
    world_advance(&world, 3600 * 1000);
    ck_assert_uint_eq(a.consumer->tap->custody->unsettled, 0);
    ck_assert_uint_eq(a.consumer->tap->queue->backlog->settled.timeouts, HELD_UP);
    a.got[0] = 0;
    core_grant(a.consumer, 10);
    world_run(&world);
    ck_assert_str_eq(a.got, "*x *x *x ");
    teardown();
}
END_TEST

/* ---------------------------------------------------------------------------- bindings */

enum { BINDINGS = 1024 };

/* Whoever attaches may add bindings, and they outlive him. */
START_TEST(bindings_of_a_queue_are_bounded)
{
    char text[16] = "";
    struct slice filter = slice_str(text);
    struct consume_options o = {.queue = SLICE("work"), .filters = &filter, .filters_n = 1};
    struct refusal why;
    int r = 0;

    start((unsigned)_i + 1, "");
    world_consume(&pub, "work", true, 0);
    world_run(&world);
    b.closed = false;
    for (unsigned i = 0; i < BINDINGS && r == 0 && !b.closed; i++) {
        filter.n = (size_t)snprintf(text, sizeof text, "t.%u", i);
        r = core_attach(b.ep, &o, &b, &b.consumer, &why);
        world_run(&world);
        ck_assert_msg(i == BINDINGS - 1 || (r == 0 && b.ready && !b.closed), "%u", i);
        if (r == 0 && !b.closed)
            core_detach(b.consumer);
    }
    if (r == 0) { /* the queue lives on another core */
        ck_assert(b.closed);
        why.reason = b.closed_reason;
    } else {
        ck_assert_int_eq(r, -ENOSPC);
    }
    ck_assert_int_eq(why.reason, REASON_LIMIT);
    filter.n = (size_t)snprintf(text, sizeof text, "t.%u", 7); /* it has that one already */
    b.closed = false;
    ck_assert_int_eq(core_attach(b.ep, &o, &b, &b.consumer, &why), 0);
    world_run(&world);
    ck_assert(!b.closed);
    teardown();
}
END_TEST

/* ----------------------------------------------------------------------------- reload */

static void reload(const char *settings)
{
    policies = policy_set_unref(policies);
    policies = world_policy(POLICY_QUEUE, "#", settings);
    for (unsigned i = 0; i < world.n; i++)
        core_configure(world.core[i], policies);
    world_run(&world);
}

START_TEST(more_in_flight_from_now_on)
{
    start(1, "max-inflight=2");
    world_consume(&a, "work", true, 10);
    world_run(&world);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, true, "work", "a b c d e"), 0);
    world_run(&world);
    ck_assert_str_eq(a.got, "a b ");
    reload("max-inflight=4");
    ck_assert_str_eq(a.got, "a b c d ");
    reload("max-inflight=3"); /* those delivered stay so */
    ck_assert_int_eq(core_ack(a.consumer, 1, 1, ACK_DONE, 0), 0);
    world_run(&world);
    ck_assert_str_eq(a.got, "a b c d ");
    teardown();
}
END_TEST

/* What a client asked for holds within what the settings allow, also those that come later. */
START_TEST(own_settings_stay_within_the_new_ones)
{
    struct refusal why;
    struct queue *q;

    start(1, "max-messages=100");
    ck_assert_int_eq(consume_with(&a, "work", "$max-messages", "50", &why), 0);
    world_run(&world);
    q = a.consumer->tap->queue;
    ck_assert_uint_eq(q->policy->max_messages, 50);
    reload("max-messages=20");
    ck_assert_uint_eq(q->policy->max_messages, 20);
    reload("max-messages=70 message-ttl=1h");
    ck_assert_uint_eq(q->policy->max_messages, 50);
    ck_assert_int_eq(q->policy->message_ttl_ms, 3600 * 1000);
    teardown();
}
END_TEST

/* ------------------------------------------------------------------- on its way */

/* A payload that goes to another worker by reference weighs what it is, not what points to it. */
START_TEST(what_is_referred_to_is_on_its_way)
{
    enum { LARGE = 64 * 1024 };
    struct block *block = block_new(LARGE);
    struct msg_view v = {.data = block->bytes, .len = LARGE, .block = block};
    struct run run = {.v = &v, .n = 1, .bytes = LARGE, .type = {.id = CTYPE_NONE}};
    struct target to = {.name = SLICE("t")};
    struct refusal why;

    memset(block->bytes, 0, LARGE);
    start(2, "");
    world_subscribe(&b, "t", 10);
    world_run(&world);
    ck_assert_int_eq(core_publisher_open(pub.ep, PUBLISH_FORGET, &pub, &pub.publisher), 0);
    ck_assert_int_eq(core_publish(pub.publisher, &to, &run, &why), 0);
    ck_assert_uint_ge(world.uncredited, LARGE);
    world_run(&world);
    ck_assert_uint_eq(b.deliveries, 1);
    block_unref(block);
    teardown();
}
END_TEST

/* -------------------------------------------------------------------------------- acks */

enum { IN_FLIGHT = 10000, VERBS = 500 };

/* `a` has so many in flight, "work" lives on core 0. */
static void fly(unsigned cores)
{
    static struct msg_view v[1000];
    struct target to = {true, SLICE("work")};
    struct run run = {.v = v, .n = 1000, .bytes = 1000, .type = {.id = CTYPE_NONE}};
    struct refusal why;

    start(cores, "max-inflight=20000");
    for (unsigned i = 0; i < run.n; i++)
        v[i] = (struct msg_view){.data = (const uint8_t *)"x", .len = 1};
    ck_assert_int_eq(world_consume(&a, "work", true, 0), 0); /* its home is core 0 */
    ck_assert_int_eq(world_consume(&b, "work", true, IN_FLIGHT), 0);
    world_run(&world);
    ck_assert_int_eq(core_publisher_open(pub.ep, PUBLISH_FORGET, &pub, &pub.publisher), 0);
    for (unsigned i = 0; i < IN_FLIGHT / run.n; i++) {
        ck_assert_int_eq(core_publish(pub.publisher, &to, &run, &why), 0);
        world_run(&world);
    }
    ck_assert_uint_eq(b.deliveries, IN_FLIGHT);
}

/* Verbs that name all that is in flight, one after the other, are carried out a few in each
 * millisecond, in order, wherever the queue is. */
START_TEST(much_to_ack_is_acked_later)
{
    struct queue *q;
    uint32_t at = 0;
    unsigned ms = 0;

    fly(_i ? 2 : 1);
    q = slots_next(&world.core[0]->slots, SLOT_QUEUE, &at);
    for (unsigned i = 0; i < VERBS; i++)
        ck_assert_int_eq(core_ack(b.consumer, 1, IN_FLIGHT, ACK_EXTEND, 1 + i), 0);
    ck_assert_int_eq(core_ack(b.consumer, 1, IN_FLIGHT, ACK_DONE, 0), 0);
    ck_assert_int_eq(core_ack(b.consumer, 7, 1, ACK_DONE, 0), 0);
    ck_assert(core_is_behind(b.ep));
    ck_assert_int_eq(core_ack(b.consumer, 1, IN_FLIGHT + 1, ACK_DONE, 0), -EINVAL);
    for (; core_is_behind(b.ep); ms++) {
        world_run(&world); /* a second turn in the same millisecond does no more */
        ck_assert(ms > VERBS / 8 || q->backlog->settled.acked == 0);
        world_advance(&world, 1);
    }
    ck_assert_uint_ge(ms, VERBS / 8);
    ck_assert_uint_le(ms, VERBS / 2);
    ck_assert_uint_eq(q->backlog->settled.acked, IN_FLIGHT);
    ck_assert_uint_eq(q->backlog->settled.late, 1); /* delivery 7, settled before it */
    ck_assert_int_eq(world.core[0]->used, 0);
    ck_assert_int_eq(b.ep->core->used, 0);
    teardown();
}
END_TEST

/* Who settles what it gets, however much at once, never waits. */
START_TEST(plain_acks_do_not_wait)
{
    unsigned at_once = _i ? 1 : IN_FLIGHT / 2;

    fly(_i ? 2 : 1);
    for (unsigned i = 0; i < IN_FLIGHT; i += at_once)
        ck_assert_int_eq(core_ack(b.consumer, i + 1, at_once, ACK_DONE, 0), 0);
    ck_assert_ptr_null(b.ep->seldom->arrears);
    ck_assert(!core_is_behind(b.ep));
    world_run(&world);
    ck_assert_int_eq(world.core[0]->used, 0);
    teardown();
}
END_TEST

START_TEST(who_leaves_behind_its_acks_gives_all_back)
{
    fly(_i ? 2 : 1);
    for (unsigned i = 0; i < VERBS; i++)
        ck_assert_int_eq(core_ack(b.consumer, 1, IN_FLIGHT, ACK_EXTEND, 5), 0);
    ck_assert_int_eq(core_ack(b.consumer, 1, IN_FLIGHT, ACK_DONE, 0), 0);
    core_detach(b.consumer);
    world_advance(&world, 1);
    ck_assert(!core_is_behind(b.ep));
    ck_assert_int_eq(b.ep->core->used, _i ? 0 : world.core[0]->used);
    core_grant(a.consumer, IN_FLIGHT);
    world_run(&world);
    ck_assert_uint_eq(a.deliveries, IN_FLIGHT);
    teardown();
}
END_TEST

/* ------------------------------------------------------------------------------- rate */

/* One second's worth may be saved up, by all publishers of a connection together; one more is
 * refused, and a second later there is as much again. */
START_TEST(a_connection_publishes_at_its_rate)
{
    struct endpoint_desc d = {.name = "fast", .publish_rate = 10};
    struct world_peer fast;

    start(_i ? 2 : 1, "");
    world_connect_as(&world, &fast, 0, &d);
    ck_assert_int_eq(world_subscribe(&b, "#", CORE_UNLIMITED), 0);
    world_run(&world);
    ck_assert_int_eq(world_publish(&fast, PUBLISH_WINDOW, false, "x", "0 1 2 3 4 5 6 7"), 0);
    ck_assert_int_eq(world_publish(&fast, PUBLISH_WINDOW, false, "x", "8 9"), 0);
    world_run(&world);
    ck_assert_uint_eq(fast.accepted, 10);
    ck_assert_uint_eq(world.events[EVENT_REFUSED], 0);
    ck_assert_int_eq(world_publish(&fast, PUBLISH_WINDOW, false, "x", "10"), 0); /* one above */
    world_run(&world);
    ck_assert_uint_eq(fast.refused, 1);
    ck_assert_uint_eq(fast.upto, 11);
    ck_assert_int_eq(fast.last.reason, REASON_LIMIT);
    ck_assert_uint_eq(fast.last.matched, 0);
    ck_assert_str_eq(fast.text, "a connection may publish 10 messages a second (publish-rate)");
    ck_assert_uint_eq(world.events[EVENT_REFUSED], 1);
    world_advance(&world, 99);
    ck_assert_int_eq(world_publish(&fast, PUBLISH_WINDOW, false, "x", "11"), 0);
    world_advance(&world, 1);
    ck_assert_int_eq(world_publish(&fast, PUBLISH_WINDOW, false, "x", "12 13"), 0);
    world_run(&world);
    ck_assert_uint_eq(fast.accepted, 11); /* 12 */
    ck_assert_uint_eq(fast.refused, 3);
    ck_assert_uint_eq(world.events[EVENT_REFUSED], 1); /* not so soon */
    world_advance(&world, 5000);
    ck_assert_int_eq(world_publish(&fast, PUBLISH_WINDOW, false, "x", "a b c d e f g h i j k"), 0);
    world_run(&world);
    ck_assert_uint_eq(fast.accepted, 21);
    ck_assert_uint_eq(fast.refused, 4);
    ck_assert_uint_eq(b.deliveries, 21);
    ck_assert_uint_eq(world.events[EVENT_REFUSED], 2);
    ck_assert_uint_eq(world.core[0]->count.reason[REASON_LIMIT], 4);
    ck_assert_uint_eq(world.core[0]->count.published, 21);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, false, "x", "others have no such limit"),
                     0);
    world_disconnect(&fast);
    teardown();
}
END_TEST

/* A consumer that is too slow is told of with the cause, at most once a second, and once when it
 * keeps up again: no more is lost, and its queue is at most half full. */
START_TEST(slowness_is_told_and_its_end)
{
    start(1, "max-messages=4 overflow=drop-oldest");
    ck_assert_int_eq(world_consume(&b, "x", false, 1), 0);
    world_run(&world);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, false, "x", "1 2 3 4 5 6 7"), 0);
    world_run(&world);
    ck_assert_uint_eq(world.events[EVENT_SLOW_CONSUMER], 1);
    ck_assert_uint_eq(world.event.count, 2);
    ck_assert_str_eq(world.event.why, "credit");
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, false, "x", "8 9"), 0);
    world_advance(&world, 400);
    ck_assert_uint_eq(world.events[EVENT_SLOW_CONSUMER], 1); /* not so soon */
    world_advance(&world, 600);
    ck_assert_uint_eq(world.events[EVENT_SLOW_CONSUMER], 2);
    ck_assert_uint_eq(world.events[EVENT_SLOW_ENDED], 0);
    core_grant(b.consumer, 1); /* three of four still wait */
    world_advance(&world, 5000);
    ck_assert_uint_eq(world.events[EVENT_SLOW_ENDED], 0);
    core_grant(b.consumer, 1);
    world_advance(&world, 2000);
    ck_assert_uint_eq(world.events[EVENT_SLOW_ENDED], 1);
    ck_assert_uint_eq(world.event.count, 4);
    ck_assert_int_ge(world.event.for_ms, 6000);
    world_advance(&world, 5000);
    ck_assert_uint_eq(world.events[EVENT_SLOW_ENDED], 1);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, false, "x", "a b c d e f"), 0);
    world_run(&world);
    ck_assert_uint_eq(world.events[EVENT_SLOW_CONSUMER], 3);
    core_queue_remove(world.core[0], SLICE("x")); /* nothing is told of what has gone */
    world_advance(&world, 5000);
    ck_assert_uint_eq(world.events[EVENT_QUEUE_GONE], 1);
    ck_assert_uint_eq(world.events[EVENT_SLOW_ENDED], 1);
    teardown();
}
END_TEST

/* Who is told nothing loses, and that is counted. */
START_TEST(a_rate_for_who_is_told_nothing)
{
    struct endpoint_desc d = {.name = "fast", .publish_rate = 2};
    struct world_peer fast;

    start(1, "");
    world_connect_as(&world, &fast, 0, &d);
    ck_assert_int_eq(world_publish(&fast, PUBLISH_FORGET, false, "x", "1 2 3 4 5"), 0);
    world_run(&world);
    ck_assert_uint_eq(world.core[0]->count.published, 2);
    ck_assert_uint_eq(world.core[0]->count.reason[REASON_LIMIT], 3);
    ck_assert_uint_eq(world.events[EVENT_REFUSED], 1);
    world_disconnect(&fast);
    teardown();
}
END_TEST

/* ----------------------------------------------------------------------------- full queues */

/* What is told of a full queue names it and its numbers, wherever it lives. */
START_TEST(who_was_refused_hears_by_which_queue)
{
    start(_i ? 2 : 1, "max-messages=2 overflow=reject");
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, true, "one", "aa b c"), 0);
    world_run(&world);
    ck_assert_str_eq(pub.text, "queue \"one\" is full (2 messages, 3 bytes)");
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, true, "two", "a b"), 0);
    world_run(&world);
    ck_assert_str_eq(pub.text, "");
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, true, "one", "d"), 0);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, true, "two", "d"), 0);
    world_run(&world);
    ck_assert_str_eq(pub.text, "queue \"two\" is full (2 messages, 2 bytes)");
    ck_assert_uint_eq(pub.refused, 3);
    ck_assert_ptr_null(pub.publisher->excuses);
    for (unsigned i = 0; i < 200; i++) /* more than are kept in mind */
        ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, true, i % 2 ? "one" : "two", "d"), 0);
    world_run(&world);
    ck_assert_uint_eq(pub.refused, 203);
    ck_assert_ptr_null(pub.publisher->excuses);
    teardown();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("limits");
    TCase *t = tcase_create("limits");
    SRunner *r;
    int failed;

    tcase_add_test(t, a_letter_may_die_until_its_headers_are_full);
    tcase_add_loop_test(t, a_very_long_time_is_long, 0, 4);
    tcase_add_test(t, what_was_settled_takes_no_memory);
    tcase_add_test(t, stragglers_go_back_in_order);
    tcase_add_loop_test(t, bindings_of_a_queue_are_bounded, 0, 2);
    tcase_add_test(t, more_in_flight_from_now_on);
    tcase_add_test(t, own_settings_stay_within_the_new_ones);
    tcase_add_test(t, what_is_referred_to_is_on_its_way);
    tcase_add_loop_test(t, much_to_ack_is_acked_later, 0, 2);
    tcase_add_loop_test(t, plain_acks_do_not_wait, 0, 2);
    tcase_add_loop_test(t, who_leaves_behind_its_acks_gives_all_back, 0, 2);
    tcase_add_loop_test(t, a_connection_publishes_at_its_rate, 0, 2);
    tcase_add_test(t, a_rate_for_who_is_told_nothing);
    tcase_add_test(t, slowness_is_told_and_its_end);
    tcase_add_loop_test(t, who_was_refused_hears_by_which_queue, 0, 2);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
