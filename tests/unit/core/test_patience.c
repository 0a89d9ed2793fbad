/* Who is told at once, and whose news can wait. */
#include <check.h>

#include "brokerd/core/patience.h"
#include "tests/unit/core/world.h"

/* ------------------------------------------------------------------------------ the judgement */

static struct patience p;
static uint64_t next;
static int64_t now;

static void fresh(void)
{
    patience_init(&p);
    next = 2;
    now = 1000;
}

/* One message is published and settles. */
static bool one_more(void)
{
    next++;
    return patience_put_off(&p, 1, next, now);
}

static unsigned told_at_once(void)
{
    unsigned n = 0;

    while (!one_more())
        n++;
    return n;
}

START_TEST(at_first_at_once)
{
    ck_assert_uint_eq(told_at_once(), PATIENCE_SPELL);
    ck_assert_int_eq(patience_due(&p), now + PATIENCE_LATE_MS);
}
END_TEST

START_TEST(who_goes_on_is_told_now_and_then)
{
    unsigned told = 0;

    told_at_once();
    for (unsigned i = 0; i < 300; i++, now++)
        told += !one_more();
    ck_assert_uint_eq(told, 300 / (PATIENCE_SOON_MS + 1));
}
END_TEST

START_TEST(many_are_not_put_off)
{
    told_at_once();
    ck_assert(patience_put_off(&p, PATIENCE_MESSAGES - 1, next += 30, now));
    ck_assert(!patience_put_off(&p, PATIENCE_MESSAGES, ++next, now));
    ck_assert(!patience_put_off(&p, PATIENCE_MESSAGES, ++next, now));
    ck_assert(one_more());
}
END_TEST

/* Answers from elsewhere are news, too, but no sign that it goes on. */
START_TEST(news_without_new_messages_prove_nothing)
{
    told_at_once();
    now += PATIENCE_LATE_MS - 1;
    ck_assert(patience_put_off(&p, 2, next, now));
    ck_assert(!one_more());
}
END_TEST

START_TEST(news_do_not_come_later_for_more_news)
{
    unsigned spell = told_at_once();

    now += PATIENCE_LATE_MS;
    ck_assert(!patience_put_off(&p, 2, next, now));
    ck_assert_uint_eq(told_at_once(), spell);
}
END_TEST

START_TEST(who_waits_is_told_at_once_ever_longer)
{
    unsigned spell = told_at_once();

    for (unsigned i = 0; i < 4; i++) {
        patience_over(&p);
        ck_assert_uint_eq(told_at_once(), spell);
        spell *= 8;
    }
}
END_TEST

START_TEST(going_on_is_believed_again)
{
    told_at_once();
    for (unsigned i = 0; i < 3; i++) {
        patience_over(&p);
        told_at_once();
    }
    for (unsigned i = 0; i < 1000; i++, now++)
        one_more();
    patience_over(&p);
    ck_assert_uint_le(told_at_once(), PATIENCE_SPELL);
}
END_TEST

START_TEST(none_is_none)
{
    p.at_once = PATIENCE_NONE;
    for (unsigned i = 0; i < 1000; i++)
        ck_assert(!one_more());
}
END_TEST

/* ----------------------------------------------------------------------------------- in a core */

static struct world w;
static struct world_peer pub, sub;
static struct policy_set *policies;
static uint64_t heard; /* messages it has heard of; it has published one more */

static void publish_one(void)
{
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, false, "a", "x"), 0);
    world_run(&w);
}

static void setup(void)
{
    policies = world_policy(POLICY_QUEUE, "", "");
    world_start(&w, 1, policies, 64 << 20);
    world_connect(&w, &pub, 0);
    world_connect(&w, &sub, 0);
    ck_assert_int_eq(world_subscribe(&sub, "a", 100000), 0);
    world_run(&w);
    do
        publish_one();
    while (pub.upto + 1 == pub.publisher->next);
    heard = pub.upto;
    ck_assert_uint_ge(heard, PATIENCE_SPELL);
    ck_assert_uint_eq(pub.publisher->next, heard + 2);
}

static void teardown(void)
{
    world_stop(&w);
    policy_set_unref(policies);
}

START_TEST(silence_ends_the_wait)
{
    ck_assert(!core_publisher_idle(pub.publisher));
    ck_assert_int_eq(core_tick(w.core[0]), w.now + PATIENCE_LATE_MS);
    world_advance(&w, PATIENCE_LATE_MS);
    ck_assert_uint_eq(pub.upto, heard + 1);
    ck_assert_int_eq(core_tick(w.core[0]), INT64_MAX);
    publish_one();
    ck_assert_uint_eq(pub.upto, heard + 2);
}
END_TEST

START_TEST(the_last_is_told_at_once)
{
    core_publisher_last(pub.publisher);
    world_run(&w);
    ck_assert_uint_eq(pub.upto, heard + 1);
}
END_TEST

/* Else its connection may be closed before it hears, for nothing is open any more. */
START_TEST(who_is_about_to_stop_tells_at_once)
{
    core_drain(w.core[0]);
    ck_assert(core_drained(w.core[0]));
    world_run(&w);
    ck_assert_uint_eq(pub.upto, heard + 1);
}
END_TEST

START_TEST(what_went_wrong_is_told_at_once)
{
    core_detach(sub.consumer);
    world_run(&w);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, false, "a", "x"), 0);
    world_run(&w);
    ck_assert_uint_eq(pub.upto, heard + 2);
    ck_assert_int_eq(pub.last.reason, REASON_NO_MATCH);
}
END_TEST

/* It is told what settled together with the credit that this makes. */
START_TEST(credit_does_not_wait)
{
    uint64_t granted = pub.granted;

    for (unsigned i = 0; i < 20000 && pub.granted == granted; i++) {
        ck_assert_uint_lt(pub.publisher->next - pub.upto, PATIENCE_MESSAGES + 2);
        publish_one();
    }
    ck_assert_uint_gt(pub.granted, granted);
    ck_assert_uint_eq(pub.upto + 1, pub.publisher->next);
}
END_TEST

START_TEST(may_leave_before_it_hears)
{
    core_endpoint_close(pub.ep);
    world_advance(&w, PATIENCE_LATE_MS);
    ck_assert_int_eq(core_tick(w.core[0]), INT64_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("patience");
    TCase *judged = tcase_create("judgement"), *core = tcase_create("core");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(judged, fresh, NULL);
    tcase_add_test(judged, at_first_at_once);
    tcase_add_test(judged, who_goes_on_is_told_now_and_then);
    tcase_add_test(judged, many_are_not_put_off);
    tcase_add_test(judged, news_without_new_messages_prove_nothing);
    tcase_add_test(judged, news_do_not_come_later_for_more_news);
    tcase_add_test(judged, who_waits_is_told_at_once_ever_longer);
    tcase_add_test(judged, going_on_is_believed_again);
    tcase_add_test(judged, none_is_none);
    suite_add_tcase(suite, judged);
    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, silence_ends_the_wait);
    tcase_add_test(core, the_last_is_told_at_once);
    tcase_add_test(core, who_is_about_to_stop_tells_at_once);
    tcase_add_test(core, what_went_wrong_is_told_at_once);
    tcase_add_test(core, credit_does_not_wait);
    tcase_add_test(core, may_leave_before_it_hears);
    suite_add_tcase(suite, core);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
