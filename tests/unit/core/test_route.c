/* A route that says it is fresh is what the tree would say; the cache keeps within its bounds. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/core/route.h"
#include "libbroker/base/name.h"

static char queues[64]; /* addresses to bind */

static struct tree *t;
static struct routes *rs;

static void setup(void)
{
    t = tree_new(1);
    rs = t ? routes_new(t, 2) : NULL;
    ck_assert_ptr_nonnull(rs);
}

static void teardown(void)
{
    routes_free(rs);
    routes_free(NULL);
    tree_free(t);
}

static struct route *get(struct slice topic)
{
    struct route *r = route_get(rs, topic);

    ck_assert_ptr_nonnull(r);
    ck_assert(slice_eq(topic_slice(r->topic), topic));
    ck_assert(route_is_fresh(rs, r));
    return r;
}

static void bind(const char *filter, void *queue)
{
    ck_assert_int_ge(tree_bind(t, slice_str(filter), queue), 0);
}

static void unbind(const char *filter, void *queue)
{
    ck_assert_int_ge(tree_unbind(t, slice_str(filter), queue), 0);
}

START_TEST(remembers)
{
    struct route *r, *again;

    bind("a.*", &queues[0]);
    ck_assert_int_eq(tree_interest(t, SLICE("#"), 7, true), 1);
    r = get(SLICE("a.b"));
    ck_assert_uint_eq(r->n, 1);
    ck_assert_ptr_eq(r->queues[0], &queues[0]);
    ck_assert_uint_eq(r->workers, 1 << 7);
    again = get(SLICE("a.b"));
    ck_assert_ptr_eq(r, again);
    route_unref(again);
    route_unref(r);
    route_unref(NULL);
}
END_TEST

/* A change spoils exactly the routes it concerns; the others catch up. */
static const struct {
    const char *filter;
    bool spoils; /* the route of a.b */
} changes[] = {
    {"a.b", true},   {"a.*", true},  {"#", true},       {"*.b", true},
    {"a.b.#", true}, {"a.c", false}, {"a", false},      {"a.b.c", false},
    {"*", false},    {"b.b", false}, {"$SYS.#", false},
};

START_TEST(stale_only_if_a_change_matches)
{
    const char *filter = changes[_i].filter;
    struct route *r = get(SLICE("a.b"));
    uint64_t before = *rs->version;

    bind(filter, &queues[1]);
    ck_assert_uint_eq(*rs->version, before + 1);
    ck_assert_msg(route_is_fresh(rs, r) == !changes[_i].spoils, "%s", filter);
    ck_assert_uint_eq(r->version, changes[_i].spoils ? before : before + 1);
    ck_assert(route_is_fresh(rs, r) == !changes[_i].spoils); /* and it stays so */
    route_unref(r);

    r = get(SLICE("a.b"));
    ck_assert_uint_eq(r->n, changes[_i].spoils);
    ck_assert_int_eq(tree_interest(t, slice_str(filter), 1, true), 1);
    ck_assert(route_is_fresh(rs, r) == !changes[_i].spoils);
    route_unref(r);
    r = get(SLICE("a.b"));
    unbind(filter, &queues[1]);
    ck_assert(route_is_fresh(rs, r) == !changes[_i].spoils);
    route_unref(r);
}
END_TEST

START_TEST(what_changes_nothing_spoils_nothing)
{
    struct route *r;

    bind("a.b", &queues[0]);
    r = get(SLICE("a.b"));
    ck_assert_int_lt(tree_bind(t, SLICE("a.b"), &queues[0]), 0);
    ck_assert_int_lt(tree_unbind(t, SLICE("a.b"), &queues[1]), 0);
    ck_assert_int_eq(tree_interest(t, SLICE("a.b"), 0, false), 0);
    ck_assert_uint_eq(r->version, *rs->version);
    route_unref(r);
}
END_TEST

START_TEST(older_than_the_log_is_stale)
{
    struct route *r = get(SLICE("a.b"));

    for (int i = 0; i < TREE_LOG / 2; i++) { /* two changes each */
        bind("x.y", &queues[0]);
        unbind("x.y", &queues[0]);
    }
    ck_assert_uint_eq(*rs->version - r->version, TREE_LOG);
    ck_assert(route_is_fresh(rs, r));
    for (int i = 0; i < TREE_LOG / 2; i++) {
        bind("x.y", &queues[0]);
        unbind("x.y", &queues[0]);
    }
    bind("x.y", &queues[0]);
    ck_assert(!route_is_fresh(rs, r));
    route_unref(r);
}
END_TEST

/* The queue is gone and its memory used again: no route may lead to it, however the publisher
 * came by it, and whether the log still reaches back or not. */
START_TEST(never_leads_to_a_queue_that_is_gone)
{
    static const char *const bound[] = {"a.b", "a.*", "*.b", "#", "a.#"};
    struct route *held, *r;

    for (size_t f = 0; f < sizeof bound / sizeof bound[0]; f++) {
        for (int later = 0; later <= 2 * TREE_LOG; later += later < 4 ? 1 : TREE_LOG / 2) {
            void *queue = malloc(1);

            bind(bound[f], queue);
            held = get(SLICE("a.b"));
            ck_assert_ptr_eq(held->queues[0], queue);
            unbind(bound[f], queue);
            free(queue);
            for (int i = 0; i < later; i++) {
                if (i % 2)
                    unbind("other", &queues[i / 2 % 2]);
                else
                    bind("other", &queues[i / 2 % 2]);
            }
            ck_assert(!route_is_fresh(rs, held));
            r = get(SLICE("a.b"));
            ck_assert_ptr_ne(r, held);
            ck_assert_uint_eq(r->n, 0);
            ck_assert(!route_is_fresh(rs, held));
            route_unref(r);
            route_unref(held);
            if (later % 2)
                unbind("other", &queues[(later - 1) / 2 % 2]);
        }
    }
}
END_TEST

START_TEST(held_routes_outlive_the_cache)
{
    struct route *held = get(SLICE("kept.by.me"));
    char name[32];

    for (int i = 0; i < 8 * ROUTES_MAX; i++)
        route_unref(get(slice_of(name, (size_t)sprintf(name, "t.%d", i))));
    ck_assert_uint_eq(held->refs, 1); /* the cache has let it go */
    ck_assert(route_is_fresh(rs, held));
    bind("kept.#", &queues[0]);
    ck_assert(!route_is_fresh(rs, held));
    route_unref(held);
}
END_TEST

static size_t cached(void)
{
    size_t n = 0, in_all = 0;

    for (unsigned b = 0; b < ROUTES_BUCKETS; b++) {
        for (unsigned i = 0; i < ROUTES_WAYS; i++) {
            const struct route *r = rs->bucket[b][i].route;

            ck_assert(i == 0 || !r || rs->bucket[b][i - 1].route); /* no holes */
            n += r != NULL;
            in_all += r ? r->n : 0;
        }
    }
    ck_assert_uint_eq(in_all, rs->queues);
    ck_assert_uint_le(in_all, ROUTES_MAX_QUEUES);
    return n;
}

START_TEST(keeps_what_is_used)
{
    struct route *often = get(SLICE("often"));
    char name[32];

    for (int i = 0; i < 4 * ROUTES_MAX; i++) {
        route_unref(get(slice_of(name, (size_t)sprintf(name, "t.%d", i))));
        route_unref(get(SLICE("often")));
    }
    ck_assert_uint_eq(often->refs, 2);
    ck_assert_uint_eq(cached(), ROUTES_MAX);
    route_unref(often);
}
END_TEST

/* Few routes with many queues each: the cache counts queues too. */
START_TEST(bounds_queues_in_all)
{
    static char many[ROUTES_MAX_ONE + 1];
    char name[32];

    for (int i = 0; i < ROUTES_MAX_ONE; i++)
        bind("fan.*", &many[i]);
    for (int i = 0; i < 40; i++) {
        struct route *r = get(slice_of(name, (size_t)sprintf(name, "fan.%d", i)));

        ck_assert_uint_eq(r->n, ROUTES_MAX_ONE);
        ck_assert_uint_eq(r->refs, 2);
        route_unref(r);
        ck_assert_uint_ge(cached(), 1);
    }
    bind("fan.*", &many[ROUTES_MAX_ONE]);
    for (int i = 0; i < 40; i++) {
        struct route *r = get(slice_of(name, (size_t)sprintf(name, "fan.%d", i)));

        ck_assert_uint_eq(r->n, ROUTES_MAX_ONE + 1);
        ck_assert_uint_eq(r->refs, 1); /* too large to keep */
        route_unref(r);
        (void)cached();
    }
}
END_TEST

/* ----------------------------------------------------------- random changes and questions */

static uint64_t random_state;

static unsigned pick(unsigned below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(random_state >> 33) % below;
}

static struct slice random_name(char *buf, bool filter)
{
    static const char *const levels[] = {"a", "b", "c", "$x", "*", "#"};
    unsigned n = 1 + pick(3);
    size_t at = 0;

    for (unsigned i = 0; i < n; i++) {
        unsigned what = pick(filter ? 6 : 4);

        at += (size_t)sprintf(buf + at, "%s%s", i ? "." : "",
                              levels[what == 5 && i + 1 < n ? 4 : what]);
    }
    return slice_of(buf, at);
}

static void check_fresh_is_right(struct route *r, struct tree_result *now, uint64_t seed)
{
    if (!route_is_fresh(rs, r))
        return;
    ck_assert_int_eq(tree_match(t, topic_slice(r->topic), now), 0);
    ck_assert_msg(r->n == now->n && r->workers == now->workers &&
                      (r->n == 0 || memcmp(r->queues, now->queues, r->n * sizeof(void *)) == 0),
                  "%s; BROKER_SEED=%llu replays", r->topic->name, (unsigned long long)seed);
}

/* Bind a queue or take it away; or the same with a worker's interest. */
static void change(void)
{
    char buf[64];
    struct slice f = random_name(buf, true);
    void *queue = &queues[pick(4)];

    if (pick(4) == 0)
        ck_assert_int_ge(tree_interest(t, f, pick(3), pick(2)), 0);
    else if (tree_unbind(t, f, queue) < 0)
        ck_assert_int_ge(tree_bind(t, f, queue), 0);
}

/* Routes for several topics at once are those that one would get one by one; and so are those
 * that one then gets, be it in that order or not, whatever changes meanwhile. */
static void foresee(uint64_t seed)
{
    struct tree_result now = {0};
    struct slice topics[ROUTES_AHEAD] = {{0}};
    struct route *const *r;
    char buf[ROUTES_AHEAD][64];
    unsigned n = pick(ROUTES_AHEAD + 1);

    for (unsigned i = 0; i < n; i++)
        topics[i] = random_name(buf[i], false);
    r = routes_foresee(rs, topics, n);
    for (unsigned i = 0; i < n; i++) {
        ck_assert(slice_eq(topic_slice(r[i]->topic), topics[i]));
        ck_assert(route_is_fresh(rs, r[i]));
        check_fresh_is_right(r[i], &now, seed);
    }
    for (unsigned i = 0; i < n; i += pick(8) ? 1 : pick(ROUTES_AHEAD)) {
        struct slice topic = pick(16) ? topics[i] : topics[pick(n)];
        struct route *got;

        if (pick(16) == 0)
            change();
        got = get(topic);
        ck_assert(slice_eq(topic_slice(got->topic), topic));
        ck_assert(route_is_fresh(rs, got));
        check_fresh_is_right(got, &now, seed);
        route_unref(got);
    }
    tree_result_fini(&now);
}

/* A message that was foreseen and never came holds no long route. */
START_TEST(long_ones_are_not_held_ahead)
{
    enum { MANY = ROUTES_MAX_ONE / ROUTES_AHEAD + 1 };
    static char many[MANY];
    const struct slice topics[] = {SLICE("fan.1"), SLICE("b")};
    struct route *const *ahead, *r;

    for (int i = 0; i < MANY; i++)
        bind("fan.*", &many[i]);
    ahead = routes_foresee(rs, topics, 2);
    ck_assert_ptr_null(ahead[0]);
    ck_assert_uint_eq(ahead[1]->refs, 2); /* the cache's, and that */
    r = get(topics[0]);
    ck_assert_uint_eq(r->n, MANY);
    route_unref(r);
}
END_TEST

START_TEST(fresh_means_right)
{
    const char *given = getenv("BROKER_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)_i + 1;
    struct tree_result now = {0};
    struct route *held[16] = {0};
    char buf[64];

    random_state = seed;
    for (int step = 0; step < 30000; step++) {
        unsigned i = pick(16);

        if (pick(2) == 0)
            change();
        if (pick(8) == 0)
            foresee(seed);
        if (held[i] && pick(20)) {
            check_fresh_is_right(held[i], &now, seed);
            continue;
        }
        route_unref(held[i]);
        held[i] = get(random_name(buf, false));
        check_fresh_is_right(held[i], &now, seed);
    }
    for (int i = 0; i < 16; i++)
        route_unref(held[i]);
    tree_result_fini(&now);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("route");
    TCase *tc = tcase_create("route");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, remembers);
    tcase_add_loop_test(tc, stale_only_if_a_change_matches, 0,
                        (int)(sizeof changes / sizeof changes[0]));
    tcase_add_test(tc, what_changes_nothing_spoils_nothing);
    tcase_add_test(tc, older_than_the_log_is_stale);
    tcase_add_test(tc, never_leads_to_a_queue_that_is_gone);
    tcase_add_test(tc, held_routes_outlive_the_cache);
    tcase_add_test(tc, keeps_what_is_used);
    tcase_add_test(tc, bounds_queues_in_all);
    tcase_add_test(tc, long_ones_are_not_held_ahead);
    tcase_add_loop_test(tc, fresh_means_right, 0, 4);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
