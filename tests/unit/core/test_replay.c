/* A durable queue's only consumer may have it go on at another message: `$from`. */
#include "brokerd/core/inspect.h"
#include "brokerd/core/manage.h"
#include "tests/unit/core/fake_store.h"

#include <check.h>
#include <errno.h>

static struct fake fake;
static struct world world;
static struct policy_set *policies;
static struct world_peer pub, a, b;
static struct refusal why;

static void begin(unsigned cores, enum durable level, const char *settings)
{
    char text[256];

    snprintf(text, sizeof text, "durable=%s %s", durable_name(level), settings);
    policies = world_policy(POLICY_QUEUE, "d.#", text);
    world_start(&world, cores, policies, INT64_C(1) << 30);
    world.now = fake.shelf ? world.now : 1000000;
    fake_start(&fake, &world, level);
    world_run(&world);
    world_connect(&world, &pub, 0);
    world_connect(&world, &a, 0);
    world_connect(&world, &b, cores - 1);
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

/* `from` NULL: where it left off. */
static int consume(struct world_peer *p, const char *queue, const char *from)
{
    uint8_t headers[64], *end = headers;
    struct consume_options o = {.queue = slice_str(queue), .manual_ack = true, .credit = 1000};

    if (from)
        end = headers_put(headers, SLICE("$from"), slice_str(from));
    o.headers = slice_of(headers, (size_t)(end - headers));
    p->got[0] = '\0';
    p->deliveries = 0;
    p->closed = false;
    return core_attach(p->ep, &o, p, &p->consumer, &why);
}

static void say(const char *messages)
{
    world_publish(&pub, PUBLISH_WINDOW, true, "d.q", messages);
    world_run(&world);
}

/* Five messages, a second apart, consumed and acknowledged. */
static void a_past(struct world_peer *p)
{
    static const char *const messages[] = {"1", "2", "3", "4", "5"};

    ck_assert_int_eq(consume(p, "d.q", NULL), 0);
    world_run(&world);
    for (unsigned i = 0; i < 5; i++) {
        say(messages[i]);
        world_advance(&world, 1000);
    }
    ck_assert_str_eq(p->got, "1 2 3 4 5 ");
    core_ack(p->consumer, 1, 5, ACK_DONE, 0);
    world_run(&world);
    core_detach(p->consumer);
    world_run(&world);
}

static struct inspect_queue look(void)
{
    uint64_t id = inspect_find_queue(world.core[0], SLICE("d.q"));
    struct inspect_queue q;

    ck_assert(inspect_queue(world.core[inspect_home(id)], id, &q));
    return q;
}

static const struct {
    const char *from, *gets;
} places[] = {
    {"first", "1 2 3 4 5 6 "}, {"last", "5 6 "}, {"new", "6 "},
    {"3", "3 4 5 6 "},         {"99", "6 "},     {"1970-01-01T01:16:43+01:00", "4 5 6 "},
};

START_TEST(goes_on_where_it_is_told) /* _i: cores, and where from */
{
    const char *from = places[_i / 3].from;

    begin((unsigned)_i % 3 + 1, DURABLE_JOURNAL, "retain=1h");
    a_past(&b);
    ck_assert_int_eq(consume(&a, "d.q", from), 0);
    world_run(&world);
    say("6");
    ck_assert_msg(strcmp(a.got, places[_i / 3].gets) == 0, "%s: %s", from, a.got);
    core_ack(a.consumer, 1, 1, ACK_DONE, 0);
    world_run(&world);
    stop();
    begin((unsigned)_i % 3 + 1, DURABLE_JOURNAL, "retain=1h");
    ck_assert_int_eq(consume(&a, "d.q", NULL), 0);
    world_run(&world);
    ck_assert_str_eq(a.got, places[_i / 3].gets + 2);
    teardown();
}
END_TEST

/* What waits before that place is settled, and can be had again. */
START_TEST(what_waits_is_passed_over_and_retained)
{
    begin(1, DURABLE_JOURNAL, "retain=1h");
    say("1 2 3 4");
    ck_assert_int_eq(consume(&a, "d.q", "last"), 0);
    world_run(&world);
    ck_assert_str_eq(a.got, "4 ");
    ck_assert_uint_eq(look().depth, 0);
    core_detach(a.consumer);
    ck_assert_int_eq(consume(&b, "d.q", "first"), 0);
    world_run(&world);
    ck_assert_str_eq(b.got, "1 2 3 4 ");
    teardown();
}
END_TEST

START_TEST(what_is_retained_too_long_is_gone)
{
    begin(1, DURABLE_JOURNAL, "retain=10s");
    a_past(&a);
    world_advance(&world, 8000);
    say("6");
    ck_assert_int_eq(consume(&a, "d.q", "first"), 0);
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 3 4 5 6 ");
    core_ack(a.consumer, 1, 6, ACK_DONE, 0);
    world_run(&world);
    core_detach(a.consumer);
    world_advance(&world, 10000);
    ck_assert_int_eq(consume(&a, "d.q", "first"), 0);
    world_run(&world);
    ck_assert_str_eq(a.got, "");
    teardown();
}
END_TEST

START_TEST(without_retain_there_is_what_waits)
{
    begin(1, DURABLE_JOURNAL, "");
    a_past(&a);
    say("6 7");
    ck_assert_int_eq(consume(&a, "d.q", "first"), 0);
    world_run(&world);
    ck_assert_str_eq(a.got, "6 7 ");
    teardown();
}
END_TEST

/* Messages that are on their way meanwhile, in both directions. */
START_TEST(publishing_goes_on_meanwhile)
{
    begin(1, DURABLE_JOURNAL, "retain=1h");
    a_past(&a);
    world_publish(&pub, PUBLISH_WINDOW, true, "d.q", "6 7");
    core_tick(world.core[0]);
    ck_assert_int_eq(consume(&a, "d.q", "2"), 0);
    world_publish(&pub, PUBLISH_WINDOW, true, "d.q", "8 9");
    world_run(&world);
    ck_assert_str_eq(a.got, "2 3 4 5 6 7 8 9 ");
    ck_assert_uint_eq(pub.accepted, 9);
    ck_assert_uint_eq(look().depth, 0);
    ck_assert_uint_eq(look().unacked, 8);
    core_ack(a.consumer, 1, 8, ACK_DONE, 0);
    world_run(&world);
    ck_assert_int_eq(world.core[0]->used, 0);
    teardown();
}
END_TEST

START_TEST(only_who_is_alone_may) /* _i: cores */
{
    begin((unsigned)_i, DURABLE_JOURNAL, "retain=1h");
    ck_assert_int_eq(consume(&a, "d.q", NULL), 0);
    world_run(&world);
    say("1");
    b.closed_reason = REASON_NONE;
    if (consume(&b, "d.q", "first") == 0) {
        world_run(&world);
        ck_assert(b.closed);
        why.reason = b.closed_reason;
    }
    ck_assert_int_eq(why.reason, REASON_INVALID);
    ck_assert_str_eq(a.got, "1 ");
    core_ack(a.consumer, 1, 1, ACK_DONE, 0);
    world_run(&world);
    ck_assert_uint_eq(look().unacked, 0);
    teardown();
}
END_TEST

START_TEST(another_may_come_meanwhile)
{
    begin(1, DURABLE_JOURNAL, "retain=1h");
    a_past(&a);
    say("6");
    ck_assert_int_eq(consume(&a, "d.q", "5"), 0);
    ck_assert_int_eq(consume(&b, "d.q", NULL), 0);
    core_tick(world.core[0]);
    ck_assert_uint_eq(a.deliveries + b.deliveries, 0);
    world_run(&world);
    ck_assert_uint_eq(a.deliveries + b.deliveries, 2);
    teardown();
}
END_TEST

START_TEST(who_asked_may_go_meanwhile)
{
    begin(1, DURABLE_JOURNAL, "retain=1h");
    a_past(&a);
    ck_assert_int_eq(consume(&a, "d.q", "4"), 0);
    core_detach(a.consumer);
    world_run(&world);
    ck_assert_uint_eq(look().depth, 2);
    ck_assert_int_eq(consume(&b, "d.q", NULL), 0);
    world_run(&world);
    ck_assert_str_eq(b.got, "4 5 ");
    teardown();
}
END_TEST

/* The purge is of what waited and of the past; what is on its way comes once. */
START_TEST(a_purge_meanwhile)
{
    struct question *asked;
    uint64_t n, id;

    begin(1, DURABLE_JOURNAL, "retain=1h");
    a_past(&a);
    world_publish(&pub, PUBLISH_WINDOW, true, "d.q", "6 7");
    core_tick(world.core[0]);
    ck_assert_int_eq(consume(&a, "d.q", "first"), 0);
    id = inspect_find_queue(world.core[0], SLICE("d.q"));
    ck_assert_int_eq(core_queue_purge(world.core[0], id, &n, &asked), 0);
    world_run(&world);
    core_question_close(asked);
    say("8");
    ck_assert_str_eq(a.got, "6 7 8 ");
    ck_assert_uint_eq(look().depth, 0);
    core_ack(a.consumer, 1, 3, ACK_DONE, 0);
    world_run(&world);
    ck_assert_uint_eq(look().bytes, 0);
    ck_assert_int_eq(world.core[0]->used, 0);
    teardown();
}
END_TEST

/* The one before went before the store had answered it: the last one counts. */
START_TEST(who_comes_next_may_ask_again)
{
    begin(1, DURABLE_JOURNAL, "retain=1h");
    a_past(&a);
    ck_assert_int_eq(consume(&a, "d.q", "first"), 0);
    core_detach(a.consumer);
    ck_assert_int_eq(consume(&b, "d.q", "4"), 0);
    world_run(&world);
    ck_assert_str_eq(b.got, "4 5 ");
    ck_assert_uint_eq(look().depth, 0);
    teardown();
}
END_TEST

/* For another reason: then the queue stays where it is. */
START_TEST(who_is_refused_moves_nothing) /* _i: cores */
{
    enum { TOO_MANY = 1025 };
    static char names[TOO_MANY][16];
    static struct slice filters[TOO_MANY];
    uint8_t headers[64], *end = headers_put(headers, SLICE("$from"), SLICE("last"));
    struct consume_options o = {.queue = SLICE("d.q"),
                                .filters = filters,
                                .filters_n = TOO_MANY,
                                .credit = 10,
                                .headers = slice_of(headers, (size_t)(end - headers))};

    for (unsigned i = 0; i < TOO_MANY; i++) {
        (void)snprintf(names[i], sizeof names[i], "f.%u", i);
        filters[i] = slice_str(names[i]);
    }
    begin((unsigned)_i, DURABLE_JOURNAL, "");
    ck_assert_int_eq(consume(&b, "d.q", NULL), 0);
    world_run(&world);
    core_detach(b.consumer);
    say("1 2 3");
    a.closed = false;
    if (core_attach(a.ep, &o, &a, &a.consumer, &why) == 0) {
        world_run(&world);
        ck_assert(a.closed);
        why.reason = a.closed_reason;
    }
    ck_assert_int_eq(why.reason, REASON_LIMIT);
    world_run(&world);
    ck_assert_uint_eq(look().depth, 3);
    teardown();
}
END_TEST

static void is_refused(const char *queue, const char *from)
{
    why.reason = REASON_NONE;
    if (consume(&a, queue, from) == 0) {
        world_run(&world);
        ck_assert(a.closed);
        why.reason = a.closed_reason;
    }
    ck_assert_int_eq(why.reason, REASON_INVALID);
}

START_TEST(what_keeps_no_past_says_so)
{
    begin(2, DURABLE_JOURNAL, "");
    is_refused("m", "first");
    is_refused("d.q", "yesterday");
    is_refused("d.q", "2026-02-30T00:00:00Z");
    is_refused("d.q", "-1");
    teardown();
    begin(2, DURABLE_REDIS, "");
    is_refused("d.q", "first");
    teardown();
}
END_TEST

static const struct {
    enum durable level;
    const char *settings, *text; /* text NULL: it may be asked for */
} wishes[] = {
    {DURABLE_JOURNAL, "retain=1h", NULL},
    {DURABLE_JOURNAL, "", "invalid: $retain: the settings say 0s for this queue"},
    {DURABLE_REDIS, "",
     "invalid: $retain: the settings must say durable = journal and retain for this queue, else "
     "nothing is retained"},
    {DURABLE_MEMORY, "",
     "invalid: $retain: the settings must say durable = journal and retain for this queue, else "
     "nothing is retained"},
};

START_TEST(retain_is_asked_for_where_something_is_retained)
{
    uint8_t headers[64], *end = headers_put(headers, SLICE("$retain"), SLICE("30m"));
    struct consume_options o = {.queue = SLICE("d.q"),
                                .headers = slice_of(headers, (size_t)(end - headers))};
    int r;

    begin(1, wishes[_i].level, wishes[_i].settings);
    r = core_attach(a.ep, &o, &a, &a.consumer, &why);
    world_run(&world);
    if (wishes[_i].text) {
        ck_assert_int_eq(r, -EINVAL);
        ck_assert_str_eq(why.text, wishes[_i].text);
        ck_assert_uint_eq(inspect_find_queue(world.core[0], SLICE("d.q")), 0);
    } else {
        ck_assert_int_eq(r, 0);
        ck_assert_int_eq(look().policy->retain_ms, 30 * 60 * 1000);
    }
    teardown();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("replay");
    TCase *t = tcase_create("replay");
    SRunner *r;
    int failed;

    tcase_add_loop_test(t, goes_on_where_it_is_told, 0, 3 * sizeof places / sizeof *places);
    tcase_add_test(t, what_waits_is_passed_over_and_retained);
    tcase_add_test(t, what_is_retained_too_long_is_gone);
    tcase_add_test(t, without_retain_there_is_what_waits);
    tcase_add_test(t, publishing_goes_on_meanwhile);
    tcase_add_loop_test(t, only_who_is_alone_may, 1, 4);
    tcase_add_test(t, another_may_come_meanwhile);
    tcase_add_test(t, who_asked_may_go_meanwhile);
    tcase_add_test(t, a_purge_meanwhile);
    tcase_add_test(t, who_comes_next_may_ask_again);
    tcase_add_loop_test(t, who_is_refused_moves_nothing, 1, 4);
    tcase_add_test(t, what_keeps_no_past_says_so);
    tcase_add_loop_test(t, retain_is_asked_for_where_something_is_retained, 0,
                        sizeof wishes / sizeof *wishes);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
