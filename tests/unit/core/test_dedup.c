/* Messages with ids: what a queue took lately it accepts, and does not take again. */
#include "brokerd/core/dedup.h"
#include "brokerd/core/inspect.h"
#include "brokerd/core/manage.h"
#include "brokerd/core/names.h"
#include "tests/unit/core/world.h"

#include <check.h>
#include <errno.h>

static struct world world;
static struct policy_set *policies;
static struct world_peer pub, a, b;

/* Publisher on core 0; a on 0, b on 1 if there is one. */
static void start(unsigned cores, enum policy_kind kind, const char *settings)
{
    policies = world_policy(kind, "#", settings);
    world_start(&world, cores, policies, INT64_C(1) << 30);
    world_connect(&world, &pub, 0);
    world_connect(&world, &a, 0);
    world_connect(&world, &b, cores - 1);
}

static void stop(void)
{
    world_disconnect(&pub);
    world_disconnect(&a);
    world_disconnect(&b);
    world_stop(&world);
    policies = policy_set_unref(policies);
}

/* Publish words as one run: "ID=TEXT" has an id. */
static int say(struct world_peer *p, bool is_queue, const char *to, const char *words)
{
    struct target target = {is_queue, slice_str(to)};
    struct msg_view v[16];
    struct msg_meta meta[16];
    uint8_t headers[16][64];
    struct run run = {.v = v, .type = {.id = CTYPE_NONE}};
    struct refusal why;

    if (!p->publisher) {
        if (core_publisher_open(p->ep, PUBLISH_WINDOW, p, &p->publisher) < 0)
            return -1;
        core_tick(p->ep->core);
    }
    for (uint32_t i = 0; *words; i++) {
        size_t n = strcspn(words, " "), id = strcspn(words, "=");
        uint8_t *h = headers_put(headers[i], SLICE("x"), SLICE("y"));

        meta[i] = (struct msg_meta){.type = {.id = CTYPE_NONE}, .dedup = id < n};
        if (id < n)
            h = headers_put(h, SLICE("$dedup"), slice_of(words, id));
        meta[i].headers = slice_of(headers[i], (size_t)(h - headers[i]));
        id = id < n ? id + 1 : 0;
        v[i] = (struct msg_view){(const uint8_t *)words + id, (uint32_t)(n - id), &meta[i], NULL};
        run.bytes += n - id;
        run.n++;
        words += n + (words[n] == ' ');
    }
    return core_publish(p->publisher, &target, &run, &why);
}

static struct inspect_queue look(unsigned core, const char *name)
{
    struct inspect_queue q;

    ck_assert(
        inspect_queue(world.core[core], inspect_find_queue(world.core[core], slice_str(name)), &q));
    return q;
}

static uint64_t refused_or_lost(void)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < world.n; i++)
        for (unsigned r = 0; r < REASON_TABLE_SIZE; r++)
            n += world.core[i]->count.reason[r];
    return n;
}

/* To a queue of the same core and of another, made before or by the publish itself; in one run or
 * in several; consumers there or not. */
START_TEST(a_repeat_is_accepted_and_not_taken)
{
    unsigned cores = 1 + (_i & 1);
    struct world_peer *eater = &b;

    start(cores, POLICY_QUEUE, "");
    if (_i & 2) {
        world_consume(eater, "work", true, 100);
        world_run(&world);
    }
    ck_assert_int_eq(say(&pub, true, "work", "i=1 j=2 i=3 4"), 0);
    if (_i & 4)
        world_run(&world);
    ck_assert_int_eq(say(&pub, true, "work", "j=5 4 k=6 i=7"), 0);
    world_run(&world);
    if (!(_i & 2)) {
        world_consume(eater, "work", true, 100);
        world_run(&world);
    }
    ck_assert_str_eq(eater->got, "1 2 4 4 6 ");
    ck_assert_uint_eq(pub.upto, 8);
    ck_assert_uint_eq(pub.accepted, 8);
    ck_assert_uint_eq(pub.last.matched, 1);
    ck_assert_uint_eq(refused_or_lost(), 0);
    stop();
}
END_TEST

START_TEST(it_is_counted_and_consumers_see_the_id)
{
    struct inspect_totals totals;

    start(1, POLICY_QUEUE, "");
    world_consume(&a, "work", true, 100);
    world_run(&world);
    say(&pub, true, "work", "i=1 i=2 i=3");
    world_run(&world);
    ck_assert_str_eq(a.headers, "x=y;$dedup=i;");
    ck_assert_uint_eq(look(0, "work").count.published, 1);
    ck_assert_uint_eq(look(0, "work").count.duplicates, 2);
    ck_assert_uint_eq(look(0, "work").ids, 1);
    ck_assert_uint_eq(look(0, "work").ids_forgotten, 0);
    inspect_totals(world.core[0], &totals);
    ck_assert_uint_eq(totals.count.duplicates, 2);
    stop();
}
END_TEST

/* What is not marked is not looked at, whatever its headers say: a dead letter, a moved message. */
START_TEST(only_marked_ids_count)
{
    start(1, POLICY_QUEUE, "dead-letter=dead max-deliveries=1");
    world_consume(&a, "work", true, 100);
    world_consume(&b, "dead", true, 100);
    world_run(&world);
    say(&pub, true, "work", "i=1");
    say(&pub, true, "dead", "i=2");
    world_run(&world);
    core_ack(a.consumer, 1, 1, ACK_REJECT, 0);
    world_run(&world);
    ck_assert_str_eq(b.got, "2 1 ");
    stop();
}
END_TEST

START_TEST(ids_last_for_the_window)
{
    start(1, _i ? POLICY_SUBSCRIPTION : POLICY_QUEUE, "dedup-window=100ms");
    if (_i)
        world_subscribe(&a, "t", 100);
    else
        world_consume(&a, "t", true, 100);
    world_run(&world);
    say(&pub, false, "t", "i=1");
    world_advance(&world, 60);
    say(&pub, false, "t", "j=2");
    world_advance(&world, 39);
    say(&pub, false, "t", "i=3 j=4");
    world_advance(&world, 1);
    say(&pub, false, "t", "i=5 j=6"); /* i is not known any more, j is */
    world_advance(&world, 99);
    say(&pub, false, "t", "i=7");
    world_advance(&world, 1);
    say(&pub, false, "t", "i=8");
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 5 8 ");
    stop();
}
END_TEST

/* Nothing is kept of ids of no more use, though nobody comes with another. */
START_TEST(old_ids_cost_nothing)
{
    start(1, POLICY_QUEUE, "dedup-window=100ms");
    world_consume(&a, "work", false, 100);
    world_run(&world);
    for (int i = 0; i < 100; i++) {
        char word[16];

        snprintf(word, sizeof word, "%d=x", i);
        say(&pub, true, "work", word);
        world_advance(&world, 1);
    }
    ck_assert_uint_eq(look(0, "work").ids, 100);
    ck_assert_int_eq(world.core[0]->used, 100 * DEDUP_CHARGE);
    world_advance(&world, 100);
    ck_assert_uint_eq(look(0, "work").ids, 0);
    ck_assert_int_eq(world.core[0]->used, 0);
    stop();
}
END_TEST

START_TEST(of_too_many_the_oldest_are_forgotten)
{
    start(1, POLICY_QUEUE, "dedup-max=2");
    world_consume(&a, "work", false, 100);
    world_run(&world);
    say(&pub, true, "work", "i=1 j=2 k=3 j=4 k=5 i=6 k=7 j=8");
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 3 6 8 ");
    ck_assert_uint_eq(look(0, "work").ids, 2);
    ck_assert_uint_eq(look(0, "work").ids_forgotten, 3);
    ck_assert_uint_eq(world.events[EVENT_IDS_FORGOTTEN], 1); /* not each is told */
    world_advance(&world, DEDUP_EVENT_MS);
    say(&pub, true, "work", "l=9");
    world_run(&world);
    ck_assert_uint_eq(world.events[EVENT_IDS_FORGOTTEN], 2);
    stop();
}
END_TEST

/* Where the budget is short, ids make room for each other, and messages still pass. */
START_TEST(ids_do_not_eat_the_budget)
{
    start(1, POLICY_QUEUE, "dedup-max=unlimited dedup-window=never");
    world_consume(&a, "work", false, CORE_UNLIMITED);
    world_run(&world);
    world.memory = 3 << 19;
    world_run(&world);
    for (int i = 0; i < 30000; i++) {
        char word[16];

        snprintf(word, sizeof word, "%d=x", i);
        say(&pub, true, "work", word);
        if (i % 100 == 99)
            world_run(&world);
    }
    ck_assert_uint_eq(a.deliveries, 30000);
    ck_assert_uint_eq(refused_or_lost(), 0);
    ck_assert_uint_gt(look(0, "work").ids, 10000);
    ck_assert_uint_lt(look(0, "work").ids, 25000);
    ck_assert_int_ge(world.memory, 0);
    stop();
}
END_TEST

/* Who refused it gets the repeat, who took it does not. */
START_TEST(each_queue_remembers_for_itself)
{
    const char *kept[] = {"$overflow", "reject", "$max-messages", "1"};
    struct slice f = SLICE("t");
    uint8_t headers[64], *h = headers;
    struct consume_options o = {.filters = &f, .filters_n = 1, .credit = 0};
    struct refusal why;

    start(1, POLICY_SUBSCRIPTION, "overflow=reject max-messages=5");
    for (unsigned i = 0; i < 4; i += 2)
        h = headers_put(h, slice_str(kept[i]), slice_str(kept[i + 1]));
    o.headers = slice_of(headers, (size_t)(h - headers));
    ck_assert_int_eq(core_attach(a.ep, &o, &a, &a.consumer, &why), 0);
    world_subscribe(&b, "t", 0);
    world_run(&world);
    say(&pub, false, "t", "1 i=2");
    world_run(&world);
    ck_assert_uint_eq(pub.last.matched, 2);
    ck_assert_uint_eq(pub.last.accepted, 1);
    core_grant(a.consumer, 10);
    core_grant(b.consumer, 10);
    world_run(&world);
    say(&pub, false, "t", "i=2 i=2");
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 ");
    ck_assert_str_eq(b.got, "1 2 ");
    ck_assert_uint_eq(pub.upto, 4);
    ck_assert_uint_eq(pub.last.accepted, 2);
    stop();
}
END_TEST

static const struct {
    const char *settings;
    const char *got; /* once there is credit, and "i=again" */
} refusals[] = {
    {"max-messages=1 overflow=reject", "1 again "},
    {"max-messages=1 overflow=drop-newest", "1 again "},
    {"max-messages=1 overflow=drop-oldest", "first "}, /* it was taken, so the repeat is one */
};

START_TEST(what_was_not_taken_is_not_remembered)
{
    start(1, POLICY_QUEUE, refusals[_i].settings);
    world_consume(&a, "work", true, 0);
    world_run(&world);
    say(&pub, true, "work", "1 i=first");
    world_run(&world);
    core_grant(a.consumer, 10);
    world_run(&world);
    say(&pub, true, "work", "i=again");
    world_run(&world);
    ck_assert_str_eq(a.got, refusals[_i].got);
    stop();
}
END_TEST

/* A repeat of what is held is held behind it, and settles when its turn comes: without a place. */
START_TEST(a_repeat_of_a_held_message_waits_with_it)
{
    unsigned cores = 1 + (unsigned)_i;

    start(cores, POLICY_QUEUE, "max-messages=1 overflow=block block-timeout=never");
    world_consume(&b, "work", true, 0);
    world_run(&world);
    say(&pub, true, "work", "1 i=2 i=3 i=4 5");
    world_run(&world);
    ck_assert_uint_eq(pub.upto, 1);
    ck_assert_uint_eq(look(cores - 1, "work").held, 4);
    core_grant(b.consumer, 1); /* 1 goes, 2 gets its place: 3 and 4 are no messages any more */
    world_run(&world);
    ck_assert_uint_eq(pub.upto, 4);
    ck_assert_uint_eq(look(cores - 1, "work").held, 1);
    ck_assert_uint_eq(look(cores - 1, "work").count.duplicates, 2);
    core_grant(b.consumer, 10);
    world_run(&world);
    ck_assert_str_eq(b.got, "1 2 5 ");
    ck_assert_uint_eq(pub.upto, 5);
    ck_assert_uint_eq(pub.accepted, 5);
    stop();
}
END_TEST

/* A repeat of what was taken needs no room, so it does not wait behind those that do. */
START_TEST(a_repeat_passes_what_is_held)
{
    start(1, POLICY_QUEUE, "max-messages=1 overflow=block block-timeout=never");
    world_connect(&world, &a, 0);
    world_consume(&b, "work", true, 0);
    world_run(&world);
    say(&pub, true, "work", "i=1 2");
    say(&a, true, "work", "i=3");
    world_run(&world);
    ck_assert_uint_eq(pub.upto, 1);
    ck_assert_uint_eq(a.upto, 1);
    ck_assert_uint_eq(a.accepted, 1);
    stop();
}
END_TEST

static const struct {
    const char *fallback;
    uint64_t accepted, dropped, refused; /* of "1 i=2 3 i=4", when the holds are over */
    const char *got;                     /* after "i=5", too */
} ends[] = {
    {"reject", 1, 0, 3, "1 5 "},
    {"drop-newest", 1, 3, 0, "1 5 "},
    /* 2 takes the place of 1, 3 that of 2; 4 is its repeat, and so is 5 */
    {"drop-oldest", 4, 0, 0, "3 "},
};

START_TEST(when_a_hold_ends_the_first_that_is_taken_counts)
{
    char settings[128];

    snprintf(settings, sizeof settings,
             "max-messages=1 overflow=block block-timeout=50ms block-fallback=%s",
             ends[_i].fallback);
    start(1, POLICY_QUEUE, settings);
    world_consume(&a, "work", true, 0);
    world_run(&world);
    say(&pub, true, "work", "1 i=2 3 i=4");
    world_advance(&world, 50);
    ck_assert_uint_eq(pub.upto, 4);
    ck_assert_uint_eq(pub.accepted, ends[_i].accepted);
    ck_assert_uint_eq(pub.dropped, ends[_i].dropped);
    ck_assert_uint_eq(pub.refused, ends[_i].refused);
    core_grant(a.consumer, 10);
    world_run(&world);
    say(&pub, true, "work", "i=5");
    world_run(&world);
    ck_assert_str_eq(a.got, ends[_i].got);
    stop();
}
END_TEST

START_TEST(other_settings_hold_for_what_is_remembered)
{
    struct policy_set *shorter = world_policy(POLICY_QUEUE, "#", "dedup-window=10ms");
    struct policy_set *fewer = world_policy(POLICY_QUEUE, "#", "dedup-max=1");

    start(1, POLICY_QUEUE, "");
    world_consume(&a, "work", false, 100);
    world_run(&world);
    say(&pub, true, "work", "i=1 j=2 k=3");
    world_advance(&world, 10);
    core_configure(world.core[0], fewer);
    say(&pub, true, "work", "i=4 l=5 i=6"); /* still known until another comes */
    world_run(&world);
    ck_assert_uint_eq(look(0, "work").ids, 1);
    core_configure(world.core[0], shorter);
    world_advance(&world, 10);
    ck_assert_uint_eq(look(0, "work").ids, 0);
    say(&pub, true, "work", "i=7");
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 3 5 6 7 ");
    policy_set_unref(shorter);
    policy_set_unref(fewer);
    stop();
}
END_TEST

START_TEST(a_queue_that_is_purged_remembers_one_that_is_gone_does_not)
{
    struct question *rest;
    uint64_t n;

    start(1, POLICY_QUEUE, "");
    say(&pub, true, "work", "i=1");
    world_run(&world);
    ck_assert_int_eq(core_queue_purge(world.core[0], look(0, "work").id, &n, &rest), 0);
    say(&pub, true, "work", "i=2");
    world_run(&world);
    ck_assert_uint_eq(look(0, "work").depth, 0);
    ck_assert_int_eq(core_queue_delete(world.core[0], look(0, "work").id, &n), 0);
    world_run(&world);
    ck_assert_int_eq(world.core[0]->used, 0);
    say(&pub, true, "work", "i=3");
    world_run(&world);
    ck_assert_uint_eq(look(0, "work").depth, 1);
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dedup");
    TCase *tc = tcase_create("messages with ids");
    SRunner *r;
    int failed;

    tcase_add_loop_test(tc, a_repeat_is_accepted_and_not_taken, 0, 8);
    tcase_add_test(tc, it_is_counted_and_consumers_see_the_id);
    tcase_add_test(tc, only_marked_ids_count);
    tcase_add_loop_test(tc, ids_last_for_the_window, 0, 2);
    tcase_add_test(tc, old_ids_cost_nothing);
    tcase_add_test(tc, of_too_many_the_oldest_are_forgotten);
    tcase_add_test(tc, ids_do_not_eat_the_budget);
    tcase_add_test(tc, each_queue_remembers_for_itself);
    tcase_add_loop_test(tc, what_was_not_taken_is_not_remembered, 0, 3);
    tcase_add_loop_test(tc, a_repeat_of_a_held_message_waits_with_it, 0, 2);
    tcase_add_test(tc, a_repeat_passes_what_is_held);
    tcase_add_loop_test(tc, when_a_hold_ends_the_first_that_is_taken_counts, 0, 3);
    tcase_add_test(tc, other_settings_hold_for_what_is_remembered);
    tcase_add_test(tc, a_queue_that_is_purged_remembers_one_that_is_gone_does_not);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
