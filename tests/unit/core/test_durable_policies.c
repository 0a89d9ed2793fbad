/* Durable queues: what overflows, expires, dies or repeats; and stores that several nodes share. */
#include "brokerd/core/inspect.h"
#include "tests/unit/core/scripted_store.h"

#include <check.h>

static struct world world;
static struct policy_set *policies;
static struct world_peer pub, a, dead;
static struct script script;

static void start_with(const char *settings, uint64_t credit, const struct store_ops *ops)
{
    policies = world_policy(POLICY_QUEUE, "q", settings);
    world_start(&world, 1, policies, INT64_C(1) << 30);
    world.now = 100000;
    world_connect(&world, &pub, 0);
    world_connect(&world, &a, 0);
    world_connect(&world, &dead, 0);
    world_consume(&a, "q", true, credit);
    world_run(&world);
    script_adopt(&script, &world, "q", ops);
    world_run(&world);
}

static void start(const char *settings, uint64_t credit)
{
    memset(&script, 0, sizeof script);
    start_with(settings, credit, &script_exclusive);
}

static void stop(void)
{
    world_stop(&world);
    policies = policy_set_unref(policies);
}

static void publish(const char *texts)
{
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, true, "q", texts), 0);
    world_run(&world);
}

static void stored(uint64_t first, uint64_t n)
{
    script_put_done(&script, first, n, REASON_NONE);
    world_run(&world);
}

static void publish_with(const char *text, const char *id, int64_t ttl_ms)
{
    uint8_t bytes[64];
    struct msg_meta meta = {.type = {.id = CTYPE_NONE}, .ttl_ms = ttl_ms, .dedup = id};
    struct msg_view v = {(const uint8_t *)text, (uint32_t)strlen(text), &meta, NULL};
    struct run run = {.v = &v, .n = 1, .bytes = v.len, .type = {.id = CTYPE_NONE}};
    struct target to = {true, SLICE("q")};
    struct refusal why;

    if (id) {
        uint8_t *end = headers_put(bytes, SLICE("$dedup"), slice_str(id));

        meta.headers = slice_of(bytes, (size_t)(end - bytes));
    }
    if (!pub.publisher) {
        ck_assert_int_eq(core_publisher_open(pub.ep, PUBLISH_WINDOW, &pub, &pub.publisher), 0);
        world_run(&world);
    }
    ck_assert_int_eq(core_publish(pub.publisher, &to, &run, &why), 0);
    world_run(&world);
}

/* ----------------------------------------------------------------------------- overflow */

START_TEST(the_oldest_goes_when_a_newer_one_is_stored)
{
    start("max-messages=2 overflow=drop-oldest", 0);
    publish("1 2");
    stored(1, 2);
    publish("3 4");
    ck_assert_str_eq(script_said(&script), "put 1+2;put 3+2;");
    stored(3, 1);
    ck_assert_str_eq(script_said(&script), "gone 1+1;");
    script_put_done(&script, 4, 1, REASON_STORE);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), ""); /* it made no room for nothing */
    core_grant(a.consumer, 10);
    world_run(&world);
    ck_assert_str_eq(a.got, "2 3 ");
    ck_assert_uint_eq(a.gaps, 1);
    ck_assert_int_eq(a.gap_reason, REASON_DROP_OLDEST);
    ck_assert_uint_eq(pub.accepted, 3);
    stop();
}
END_TEST

START_TEST(the_oldest_is_fetched_to_be_dropped)
{
    memset(&script, 0, sizeof script);
    for (uint64_t i = 1; i <= 3; i++)
        script_keep(&script, i, "old", 0, 1);
    start_with("max-messages=3 overflow=drop-oldest", 0, &script_exclusive);
    ck_assert_str_eq(script_said(&script), "fetch 1;");
    publish("4 5");
    stored(4, 2);
    ck_assert_uint_eq(pub.accepted, 2);
    ck_assert_str_eq(script_said(&script), "put 4+2;");
    ck_assert_uint_eq(script.queue->backlog->waiting, 5);
    script_messages(&script, 1, 6, 99);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "gone 1+2;");
    core_grant(a.consumer, 10);
    world_run(&world);
    ck_assert_str_eq(a.got, "old 4 5 ");
    stop();
}
END_TEST

START_TEST(a_store_that_never_fetches_bounds_what_is_beyond)
{
    uint64_t n = 0;

    memset(&script, 0, sizeof script);
    script_keep(&script, 1, "old", 0, 1);
    start_with("max-messages=1 overflow=drop-oldest", 0, &script_exclusive);
    for (; !pub.refused && n < DURABLE_BEYOND + 100; n++) {
        publish("m");
        stored(n + 2, 1);
        script_said(&script);
    }
    ck_assert_uint_eq(pub.refused, 1);
    ck_assert_int_eq(pub.last.reason, REASON_STORE);
    ck_assert_uint_eq(n, DURABLE_BEYOND + 1);
    stop();
}
END_TEST

START_TEST(the_newest_is_dropped_before_it_is_put)
{
    start("max-messages=2 overflow=drop-newest", 0);
    publish("1 2 3");
    ck_assert_str_eq(script_said(&script), "put 1+2;");
    stored(1, 2);
    ck_assert_uint_eq(pub.accepted, 2);
    ck_assert_uint_eq(pub.dropped, 1);
    stop();
}
END_TEST

START_TEST(what_is_held_is_put_in_its_turn)
{
    start("max-messages=2 overflow=block", 0);
    publish("1 2 3 4");
    ck_assert_str_eq(script_said(&script), "put 1+2;");
    stored(1, 2);
    ck_assert_str_eq(script_said(&script), "");
    core_grant(a.consumer, 1);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "put 3+1;");
    core_grant(a.consumer, 10);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "put 4+1;");
    ck_assert_uint_eq(pub.upto, 2);
    script_put_done(&script, 3, 1, REASON_STORE);
    stored(4, 1);
    ck_assert_str_eq(a.got, "1 2 4 ");
    ck_assert_uint_eq(pub.accepted, 3);
    ck_assert_uint_eq(pub.refused, 1);
    stop();
}
END_TEST

/* -------------------------------------------------------------------------------- expiry */

START_TEST(a_start_does_not_renew_what_expires)
{
    memset(&script, 0, sizeof script);
    script_keep(&script, 1, "a", 0, 91000); /* published nine seconds ago */
    script_keep(&script, 2, "b", 1, 91000);
    script_keep(&script, 3, "c", 0, 99000);
    script_keep(&script, 4, "d", 0, 98000);
    script.kept[4].ttl_ms = 2500;
    start_with("message-ttl=10s", 0, &script_exclusive);
    script_messages(&script, 1, 5, 99);
    script_said(&script);
    world_advance(&world, 499);
    ck_assert_uint_eq(script.queue->backlog->waiting, 4);
    world_advance(&world, 1);
    ck_assert_str_eq(script_said(&script), "gone 4+1;");
    world_advance(&world, 501);
    ck_assert_str_eq(script_said(&script), "gone 1+2;");
    world_advance(&world, 8000);
    ck_assert_str_eq(script_said(&script), "gone 3+1;");
    ck_assert_uint_eq(script.queue->backlog->losses->total[REASON_EXPIRED], 4);
    ck_assert_uint_eq(script.queue->backlog->waiting, 0);
    stop();
}
END_TEST

START_TEST(a_hold_does_not_cost_time_to_live)
{
    start("max-messages=1 overflow=block block-timeout=never", 0);
    publish_with("1", NULL, 0);
    stored(1, 1);
    publish_with("2", NULL, 60000);
    world_advance(&world, 20000);
    script_said(&script);
    core_grant(a.consumer, 1);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "put 2+1;");
    ck_assert_int_eq(script.kept[2].time_ms + script.kept[2].ttl_ms, 160000);
    stop();
}
END_TEST

/* -------------------------------------------------------------------------- dead letters */

static void start_with_letters(const char *settings)
{
    start(settings, 10);
    world_consume(&dead, "d", true, 10);
    world_run(&world);
}

START_TEST(the_original_is_settled_with_its_letter)
{
    start_with_letters("dead-letter=queue:d");
    publish("1 2 3");
    stored(1, 3);
    script_said(&script);
    core_ack(a.consumer, 1, 1, ACK_REJECT, 0);
    core_ack(a.consumer, 3, 1, ACK_DONE, 0);
    world_run(&world);
    ck_assert_str_eq(dead.got, "1 ");
    ck_assert_str_eq(script_said(&script), "gone 3+1;gone 1+1;");
    ck_assert(list_empty(&world.core[0]->sent));
    stop();
}
END_TEST

/* The queue for letters is durable, and not so fast. */
START_TEST(the_letter_waits_for_its_store)
{
    static struct script other;

    memset(&other, 0, sizeof other);
    start_with_letters("dead-letter=queue:d");
    script_adopt(&other, &world, "d", &script_exclusive);
    publish("1 2 3");
    stored(1, 3);
    script_said(&script);
    core_ack(a.consumer, 1, 3, ACK_REJECT, 0);
    world_run(&world);
    ck_assert_str_eq(script_said(&other), "put 1+1;put 2+1;put 3+1;");
    ck_assert_str_eq(script_said(&script), "");
    ck_assert(durable_busy(world.core[0]));
    script_put_done(&other, 1, 1, REASON_NONE);
    script_put_done(&other, 2, 1, REASON_STORE); /* not for good */
    script_put_done(&other, 3, 1, REASON_TOO_LARGE);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "gone 1+1;gone 3+1;");
    ck_assert_str_eq(dead.got, "1 ");
    ck_assert(!durable_busy(world.core[0]));
    other.refuse = -EIO;
    world_advance(&world, LETTER_REST_MS);
    ck_assert_str_eq(script_said(&other), "put 4+1;");
    other.refuse = 0;
    script_answer(&other, STORED_ROOM, 0, 0, REASON_NONE);
    world_advance(&world, LETTER_REST_MS);
    ck_assert_str_eq(script_said(&other), "put 4+1;");
    ck_assert_str_eq(script_said(&script), "");
    script_put_done(&other, 4, 1, REASON_NONE);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "gone 2+1;");
    ck_assert_str_eq(dead.got, "1 2 ");
    ck_assert_uint_eq(script.queue->backlog->losses->dead_letters, 3);
    stop();
}
END_TEST

static struct inspect_queue look(void)
{
    struct inspect_queue q;

    ck_assert(inspect_queue(world.core[0], script.queue->handle, &q));
    return q;
}

/* The queue for letters has room, and its store has none: at once, or only when it writes (_i). */
START_TEST(the_letter_waits_for_room)
{
    static struct script other;

    memset(&other, 0, sizeof other);
    start_with_letters("dead-letter=queue:d");
    script_adopt(&other, &world, "d", &script_exclusive);
    publish("1 2");
    stored(1, 2);
    script_said(&script);
    ck_assert_int_eq(look().letters_ms, -1);
    other.refuse = _i ? 0 : -ENOSPC;
    core_ack(a.consumer, 1, 2, ACK_REJECT, 0);
    world_run(&world);
    if (_i)
        script_put_done(&other, 1, 2, REASON_FULL);
    other.refuse = -ENOSPC;
    world_advance(&world, 5 * LETTER_REST_MS);
    ck_assert_str_eq(script_said(&script), "");
    ck_assert_uint_eq(look().letters, 2);
    ck_assert_int_ge(look().letters_ms, 4 * LETTER_REST_MS);
    ck_assert_int_eq(look().letters_why, REASON_FULL);
    ck_assert(!look().letters_stop);
    ck_assert(!durable_busy(world.core[0])); /* a broker may stop: they wait in their store */
    script_said(&other);
    other.refuse = 0;
    script_answer(&other, STORED_ROOM, 0, 0, REASON_NONE);
    world_advance(&world, LETTER_REST_MS);
    script_put_done(&other, _i ? 3 : 1, 2, REASON_NONE);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "gone 1+2;");
    ck_assert_str_eq(dead.got, "1 2 ");
    ck_assert_uint_eq(look().letters, 0);
    ck_assert_int_eq(look().letters_ms, -1);
    stop();
}
END_TEST

/* Its own limits are what the queue for letters is for: what is beyond them is dropped. */
START_TEST(a_full_queue_for_letters_drops_them)
{
    static struct script other;
    const struct queue_policy *was;
    struct queue_policy small;

    memset(&other, 0, sizeof other);
    start_with_letters("dead-letter=queue:d");
    script_adopt(&other, &world, "d", &script_exclusive);
    was = other.queue->policy;
    small = *was;
    small.max_messages = 1;
    other.queue->policy = &small;
    publish("1 2");
    stored(1, 2);
    script_said(&script);
    core_ack(a.consumer, 1, 2, ACK_REJECT, 0);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "gone 2+1;");
    ck_assert_uint_eq(other.queue->backlog->losses->total[REASON_FULL], 1);
    other.queue->policy = was;
    stop();
}
END_TEST

/* Much is rejected while the queue for letters takes nothing. */
START_TEST(no_more_is_fetched_than_letters_may_rest)
{
    enum { PART = 1000, ALL = 100000 };
    const struct store_facts facts = {
        .next = ALL + 1, .first = 1, .messages = ALL, .bytes = 5 * ALL};
    static struct script other;
    struct storage *d;
    unsigned parts = 0, fetches = 0;

    memset(&other, 0, sizeof other);
    start_with_letters("dead-letter=queue:d");
    script_adopt(&other, &world, "d", &script_exclusive);
    other.refuse = -EIO;
    durable_close(script.queue, false);
    ck_assert_int_eq(durable_open(script.queue, &script.base, &(struct store_open){0}), 0);
    durable_begin(script.queue, &facts);
    core_grant(a.consumer, ALL);
    script_said(&script);
    d = script.queue->backlog->stored;
    for (; world_run(&world), strstr(script_said(&script), "fetch"); parts++) {
        uint64_t first = d->w;

        for (unsigned i = 0; i < PART; i++)
            script_keep(&script, first + i, "dead", 0, world.now);
        script_messages(&script, first, first + PART, PART);
        world_run(&world);
        core_ack(a.consumer, first, PART, ACK_REJECT, 0);
        ck_assert_uint_lt(parts, ALL / PART - 1);
    }
    ck_assert_uint_ge(d->letters, DURABLE_LETTERS);
    ck_assert(look().letters_stop);
    ck_assert_uint_eq(look().letters, d->letters);
    other.refuse = 0;
    script_answer(&other, STORED_ROOM, 0, 0, REASON_NONE);
    world_advance(&world, LETTER_REST_MS);
    for (uint64_t n = 1; d->letters; n++) {
        script_put_done(&other, n, 1, REASON_NONE);
        world_run(&world);
        fetches += strstr(script_said(&script), "fetch") != NULL;
    }
    ck_assert_uint_eq(fetches, 1);
    stop();
}
END_TEST

START_TEST(nobody_wants_the_letter)
{
    start("dead-letter=nowhere max-deliveries=1", 10);
    publish("1");
    stored(1, 1);
    script_said(&script);
    core_ack(a.consumer, 1, 1, ACK_NACK, 0);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "gone 1+1;");
    ck_assert_uint_eq(world.core[0]->count.unroutable, 1);
    stop();
}
END_TEST

/* ---------------------------------------------------------------------------------- dedup */

START_TEST(a_repeat_is_accepted_with_what_it_repeats)
{
    start("", 10);
    publish_with("1", "x", 0);
    publish_with("2", "y", 0);
    publish_with("1", "x", 0);
    ck_assert_str_eq(script_said(&script), "put 1+1;put 2+1;");
    ck_assert_uint_eq(pub.upto, 0);
    stored(1, 1);
    ck_assert_uint_eq(pub.accepted, 1); /* told in order: the repeat comes behind 2 */
    stored(2, 1);
    ck_assert_uint_eq(pub.accepted, 3);
    publish_with("1", "x", 0);
    ck_assert_uint_eq(pub.accepted, 4);
    ck_assert_str_eq(a.got, "1 2 ");
    stop();
}
END_TEST

/* They may come without end while the store does not answer. */
START_TEST(a_repeat_that_nobody_hears_of_is_not_remembered)
{
    start("", 10);
    ck_assert_int_eq(core_publisher_open(pub.ep, PUBLISH_FORGET, &pub, &pub.publisher), 0);
    for (unsigned i = 0; i < 100; i++)
        publish_with("1", "x", 0);
    ck_assert_str_eq(script_said(&script), "put 1+1;");
    ck_assert_uint_eq(deque_len(&script.queue->backlog->stored->ids), 1);
    stored(1, 1);
    ck_assert_str_eq(a.got, "1 ");
    stop();
}
END_TEST

START_TEST(a_refused_one_is_no_repeat)
{
    start("", 10);
    publish_with("1", "x", 0);
    publish_with("2", "y", 0);
    publish_with("1", "x", 0);
    script_put_done(&script, 1, 1, REASON_STORE);
    stored(2, 1);
    ck_assert_uint_eq(pub.refused, 2);
    ck_assert_uint_eq(pub.accepted, 1);
    publish_with("1", "x", 0);
    publish_with("2", "y", 0);
    ck_assert_str_eq(script_said(&script), "put 1+1;put 2+1;put 3+1;");
    stored(3, 1);
    ck_assert_str_eq(a.got, "2 1 ");
    ck_assert_uint_eq(pub.accepted, 3);
    stop();
}
END_TEST

/* Who sends all again while the store thinks hears the same of each and its repeats; in whichever
 * order they come. */
START_TEST(many_are_refused_with_their_repeats)
{
    enum { MANY = 16000 };
    char id[24];

    start("", 10);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(id, sizeof id, "%u", i);
        publish_with("x", id, 0);
    }
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(id, sizeof id, "%u", i);
        publish_with("x", id, 0);
    }
    for (unsigned i = 0; i < 3; i++)
        publish_with("x", (const char *const[]){"7", "3", "7"}[i], 0);
    ck_assert_uint_eq(deque_len(&script.queue->backlog->stored->unstored), MANY);
    script_put_done(&script, 1, MANY / 2, REASON_STORE);
    world_run(&world);
    ck_assert_uint_eq(pub.refused, MANY / 2);
    stored(MANY / 2 + 1, MANY / 2);
    ck_assert_uint_eq(pub.refused, MANY + 3);
    ck_assert_uint_eq(pub.accepted, MANY);
    stop();
}
END_TEST

/* ---------------------------------------------------------------------------------- shared */

static void start_shared(const char *settings, uint64_t credit)
{
    memset(&script, 0, sizeof script);
    start_with(settings, credit, &script_shared);
}

START_TEST(no_more_is_taken_than_consumers_take)
{
    start_shared("max-messages=1", 3);
    ck_assert_str_eq(script_said(&script), "fetch +3;");
    publish("1 2 3 4 5"); /* limits are the store's affair */
    stored(1, 5);
    ck_assert_uint_eq(pub.accepted, 5);
    ck_assert_str_eq(script_said(&script), "put 1+5;"); /* one fetch at a time */
    script_messages(&script, 1, 3, 99);
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 ");
    ck_assert_str_eq(script_said(&script), "fetch +1;");
    script_messages(&script, 3, 4, 1);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "");
    core_grant(a.consumer, 5);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "fetch +5;");
    script_messages(&script, 4, 6, 99);
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 3 4 5 ");
    ck_assert_str_eq(script_said(&script), ""); /* that was all: news will come */
    script_answer(&script, STORED_NEWS, 0, 0, REASON_NONE);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "fetch +3;");
    ck_assert_uint_eq(script.queue->backlog->waiting, 0);
    stop();
}
END_TEST

START_TEST(what_comes_back_is_everybodys)
{
    start_shared("ack-timeout=never", 10);
    publish("1 2 3");
    stored(1, 3);
    script_messages(&script, 1, 4, 99);
    world_run(&world);
    script_said(&script);
    core_ack(a.consumer, 2, 1, ACK_DONE, 0);
    core_ack(a.consumer, 3, 1, ACK_NACK, 1000);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "gone 2+1;back 3 x1 @101000;");
    ck_assert_uint_eq(script.queue->backlog->inflight, 1);
    ck_assert_uint_eq(script.queue->backlog->waiting, 0);
    world_disconnect(&a);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "back 1 x1 @0;");
    ck_assert_int_eq(script.queue->backlog->charged, 0);
    stop();
}
END_TEST

START_TEST(what_nobody_here_takes_goes_back)
{
    start_shared("", 10);
    publish("1 2 3");
    stored(1, 3);
    script_said(&script);
    world_disconnect(&a);
    world_run(&world);
    script_messages(&script, 1, 4, 99);
    world_run(&world);
    ck_assert_str_eq(script_said(&script), "back 1 x0 @0;back 2 x0 @0;back 3 x0 @0;");
    ck_assert_uint_eq(script.queue->backlog->waiting, 0);
    ck_assert_int_eq(script.queue->backlog->charged, 0);
    stop();
}
END_TEST

START_TEST(the_store_judges_limits)
{
    start_shared("max-messages=1", 0);
    publish("1 2 3");
    stored(1, 1);
    script_put_done(&script, 2, 1, REASON_FULL);
    world_run(&world);
    ck_assert_uint_eq(pub.accepted, 1);
    ck_assert_uint_eq(pub.refused, 1);
    ck_assert_int_eq(pub.last.reason, REASON_FULL);
    script_answer(&script, STORED_LOST, 0, 7, REASON_DROP_OLDEST);
    stored(3, 1);
    ck_assert_uint_eq(script.queue->backlog->losses->total[REASON_DROP_OLDEST], 7);
    stop();
}
END_TEST

/* What only the store has, and gives up. */
static void give_up(enum stored_kind kind, enum reason reason, uint64_t first, uint64_t count)
{
    struct stored_message m = {.seq = 7,
                               .id = 4711,
                               .time_ms = 1,
                               .expires_ms = 2,
                               .attempts = 3,
                               .topic = SLICE("t"),
                               .data = SLICE("x"),
                               .type = {.id = CTYPE_NONE}};
    struct stored said = {.kind = kind,
                          .queue = script.queue->handle,
                          .reason = reason,
                          .first = first,
                          .count = count,
                          .messages = &m,
                          .n = 1};

    durable_stored(script.queue, &said);
    world_run(&world);
}

static void start_shared_with_letters(const char *settings)
{
    memset(&script, 0, sizeof script);
    start_with(settings, 0, &script_shared);
    world_consume(&dead, "d", true, 10);
    world_run(&world);
    script_said(&script);
}

START_TEST(what_the_store_gives_up_has_a_letter)
{
    start_shared_with_letters("dead-letter=queue:d overflow=drop-oldest");
    give_up(STORED_DEAD, REASON_DROP_OLDEST, 0, 0);
    ck_assert_str_eq(dead.got, "x ");
    ck_assert_str_eq(script_said(&script), "gone 7+1;");
    give_up(STORED_DEAD, REASON_EXPIRED, 0, 0);
    ck_assert_str_eq(dead.got, "x x ");
    ck_assert_str_eq(script_said(&script), "gone 7+1;");
    ck_assert_uint_eq(script.queue->backlog->losses->total[REASON_DROP_OLDEST], 1);
    ck_assert_uint_eq(script.queue->backlog->losses->total[REASON_EXPIRED], 1);
    ck_assert_uint_eq(script.queue->backlog->losses->dead_letters, 2);
    world.core[0]->draining = true; /* others have more time */
    give_up(STORED_DEAD, REASON_EXPIRED, 0, 0);
    ck_assert_str_eq(script_said(&script), "back 7 x3 @0;");
    stop();
}
END_TEST

START_TEST(the_newest_has_a_letter)
{
    start_shared_with_letters("dead-letter=queue:d overflow=drop-newest");
    publish("x");
    give_up(STORED_PUT, REASON_DROP_NEWEST, 1, 1);
    ck_assert_str_eq(dead.got, "x ");
    ck_assert_uint_eq(pub.dropped, 1);
    ck_assert_str_eq(script_said(&script), "put 1+1;");
    ck_assert_uint_eq(script.queue->backlog->losses->total[REASON_DROP_NEWEST], 1);
    core_grant(a.consumer, 1);
    script_answer(&script, STORED_NEWS, 0, 0, REASON_NONE);
    world_run(&world);
    script_messages(&script, 1, 2, 9);
    world_run(&world);
    ck_assert_uint_eq(a.gaps, 1);
    ck_assert_int_eq(a.gap_reason, REASON_DROP_NEWEST);
    stop();
}
END_TEST

/* Consumers of a named queue are not told in band what expired: as in memory. */
START_TEST(what_expires_is_no_gap)
{
    start_shared("", 10);
    script_answer(&script, STORED_LOST, 0, 2, REASON_EXPIRED);
    publish("1");
    stored(1, 1);
    script_messages(&script, 1, 2, 9);
    world_run(&world);
    ck_assert_str_eq(a.got, "1 ");
    ck_assert_uint_eq(a.gaps, 0);
    ck_assert_uint_eq(script.queue->backlog->losses->total[REASON_EXPIRED], 2);
    stop();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("durable policies");
    TCase *tc = tcase_create("exclusive");

    tcase_add_test(tc, the_oldest_goes_when_a_newer_one_is_stored);
    tcase_add_test(tc, the_oldest_is_fetched_to_be_dropped);
    tcase_add_test(tc, a_store_that_never_fetches_bounds_what_is_beyond);
    tcase_add_test(tc, the_newest_is_dropped_before_it_is_put);
    tcase_add_test(tc, what_is_held_is_put_in_its_turn);
    tcase_add_test(tc, a_start_does_not_renew_what_expires);
    tcase_add_test(tc, a_hold_does_not_cost_time_to_live);
    tcase_add_test(tc, the_original_is_settled_with_its_letter);
    tcase_add_test(tc, the_letter_waits_for_its_store);
    tcase_add_loop_test(tc, the_letter_waits_for_room, 0, 2);
    tcase_add_test(tc, a_full_queue_for_letters_drops_them);
    tcase_add_test(tc, no_more_is_fetched_than_letters_may_rest);
    tcase_add_test(tc, nobody_wants_the_letter);
    tcase_add_test(tc, a_repeat_is_accepted_with_what_it_repeats);
    tcase_add_test(tc, a_repeat_that_nobody_hears_of_is_not_remembered);
    tcase_add_test(tc, a_refused_one_is_no_repeat);
    tcase_add_test(tc, many_are_refused_with_their_repeats);
    suite_add_tcase(s, tc);
    tc = tcase_create("shared");
    tcase_add_test(tc, no_more_is_taken_than_consumers_take);
    tcase_add_test(tc, what_comes_back_is_everybodys);
    tcase_add_test(tc, what_nobody_here_takes_goes_back);
    tcase_add_test(tc, the_store_judges_limits);
    tcase_add_test(tc, what_the_store_gives_up_has_a_letter);
    tcase_add_test(tc, the_newest_has_a_letter);
    tcase_add_test(tc, what_expires_is_no_gap);
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
