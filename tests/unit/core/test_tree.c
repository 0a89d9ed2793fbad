/* The tree says what matches a topic, as the plain comparison of each filter would, and keeps
 * nothing of what is gone. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/core/tree.h"
#include "libbroker/base/name.h"

static char queues[64]; /* addresses to bind */

static struct tree *t;
static struct tree_result found;

static void setup(void)
{
    t = tree_new(UINT64_C(0x5eed));
    ck_assert_ptr_nonnull(t);
    found = (struct tree_result){0};
}

static void teardown(void)
{
    tree_result_fini(&found);
    tree_free(t);
    tree_free(NULL);
}

static bool has(const struct tree_result *r, const void *queue)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->queues[i] == queue)
            return true;
    return false;
}

static void check_empty(void)
{
    struct tree_counts n = tree_counts(t);

    ck_assert_uint_eq(n.nodes, 0);
    ck_assert_uint_eq(n.bindings, 0);
}

/* Each row: a topic, and which of the filters match it, by their place. */
static const char *const filters[] = {
    "a", "a.b", "a.*", "a.#", "*", "#", "*.b", "*.#", "$SYS.#", "$SYS.*", "a.*.c", "a.b.#", "*.*",
};
enum { FILTERS = sizeof filters / sizeof filters[0] };

static const struct {
    const char *topic, *match;
} rows[] = {
    {"a", "a a.# * # *.#"},
    {"b", "* # *.#"},
    {"a.b", "a.b a.* a.# # *.b *.# a.b.# *.*"},
    {"a.b.c", "a.# # *.# a.*.c a.b.#"},
    {"a.x.c", "a.# # *.# a.*.c"},
    {"x.b", "# *.b *.# *.*"},
    {"$SYS", "$SYS.#"},
    {"$SYS.x", "$SYS.# $SYS.*"},
    {"$SYS.x.y", "$SYS.#"},
    {"$other.b", ""},
    {"a.$b", "a.* a.# # *.# *.*"},
    {"A", "* # *.#"},
    {"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", "a.# # *.# a.b.#"},
};

static bool listed(const char *words, const char *word)
{
    char padded[128], spaced[32];

    snprintf(padded, sizeof padded, " %s ", words);
    snprintf(spaced, sizeof spaced, " %s ", word);
    return strstr(padded, spaced) != NULL;
}

START_TEST(matches)
{
    const char *topic = rows[_i].topic;

    for (unsigned i = 0; i < FILTERS; i++) {
        ck_assert_int_eq(tree_bind(t, slice_str(filters[i]), &queues[i]), 1);
        ck_assert_int_eq(tree_interest(t, slice_str(filters[i]), i, true), 1);
    }
    ck_assert_int_eq(tree_match(t, slice_str(topic), &found), 0);
    for (unsigned i = 0; i < FILTERS; i++) {
        bool expected = listed(rows[_i].match, filters[i]);

        ck_assert_msg(has(&found, &queues[i]) == expected, "%s on %s", topic, filters[i]);
        ck_assert_msg((found.workers >> i & 1) == expected, "%s on %s", topic, filters[i]);
        ck_assert(name_filter_matches(slice_str(filters[i]), slice_str(topic)) == expected);
    }
    for (unsigned i = 0; i < FILTERS; i++) {
        ck_assert_int_eq(tree_unbind(t, slice_str(filters[i]), &queues[i]), 1);
        ck_assert_int_eq(tree_interest(t, slice_str(filters[i]), i, false), 1);
    }
    check_empty();
}
END_TEST

START_TEST(tells_first_and_last)
{
    struct slice f = SLICE("a.*");

    ck_assert_int_eq(tree_unbind(t, f, &queues[0]), -ENOENT);
    ck_assert_int_eq(tree_bind(t, f, &queues[0]), 1);
    ck_assert_int_eq(tree_bind(t, f, &queues[0]), -EEXIST);
    ck_assert_int_eq(tree_bind(t, f, &queues[1]), 0);
    ck_assert_int_eq(tree_bind(t, SLICE("a"), &queues[0]), 1);
    ck_assert_int_eq(tree_bind(t, SLICE("a.*.c"), &queues[0]), 1);
    ck_assert_int_eq(tree_unbind(t, f, &queues[2]), -ENOENT);
    ck_assert_int_eq(tree_unbind(t, SLICE("a.b"), &queues[0]), -ENOENT);
    ck_assert_int_eq(tree_unbind(t, f, &queues[0]), 0);
    ck_assert_int_eq(tree_unbind(t, f, &queues[0]), -ENOENT);
    ck_assert_int_eq(tree_unbind(t, f, &queues[1]), 1);
    ck_assert_int_eq(tree_unbind(t, SLICE("a"), &queues[0]), 1);
    ck_assert_int_eq(tree_unbind(t, SLICE("a.*.c"), &queues[0]), 1);
    check_empty();
}
END_TEST

START_TEST(interest_is_a_bit_per_worker)
{
    struct slice f = SLICE("x.y");

    ck_assert_int_eq(tree_interest(t, f, 63, false), 0);
    check_empty();
    ck_assert_int_eq(tree_interest(t, f, 63, true), 1);
    ck_assert_int_eq(tree_interest(t, f, 63, true), 0);
    ck_assert_int_eq(tree_interest(t, SLICE("#"), 0, true), 1);
    ck_assert_int_eq(tree_match(t, f, &found), 0);
    ck_assert_uint_eq(found.n, 0);
    ck_assert(found.workers == (UINT64_C(1) << 63 | 1));
    ck_assert_int_eq(tree_interest(t, f, 63, false), 1);
    ck_assert_int_eq(tree_match(t, f, &found), 0);
    ck_assert_uint_eq(found.workers, 1);
}
END_TEST

/* Queues that several matching filters share come once, in one order, be they few or many. */
START_TEST(each_queue_once)
{
    static char many[3000];
    struct tree_result again = {0};

    for (unsigned n = 1; n <= sizeof many; n = n * 3 + 1) {
        for (unsigned i = 0; i < n; i++) {
            ck_assert_int_ge(tree_bind(t, SLICE("a.b"), &many[i]), 0);
            ck_assert_int_ge(tree_bind(t, SLICE("a.*"), &many[i / 2]) + EEXIST, 0);
            ck_assert_int_ge(tree_bind(t, SLICE("#"), &many[n - 1 - i]), 0);
        }
        ck_assert_int_eq(tree_match(t, SLICE("a.b"), &found), 0);
        ck_assert_uint_eq(found.n, n);
        for (unsigned i = 0; i < n && n < 200; i++)
            ck_assert(has(&found, &many[i]));
        ck_assert_int_eq(tree_match(t, SLICE("a.b"), &again), 0);
        ck_assert_mem_eq(found.queues, again.queues, n * sizeof *again.queues);
        for (unsigned i = 0; i < n; i++) {
            ck_assert_int_eq(tree_unbind(t, SLICE("a.b"), &many[(i * 17 + 3) % n]), i == n - 1);
            (void)tree_unbind(t, SLICE("a.*"), &many[i]);
            ck_assert_int_eq(tree_unbind(t, SLICE("#"), &many[i]), i == n - 1);
        }
        check_empty();
    }
    tree_result_fini(&again);
}
END_TEST

/* ------------------------------------------------------- against the plain comparison */

static uint64_t random_state;

static unsigned pick(unsigned below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(random_state >> 33) % below;
}

/* A random filter or topic of few different levels, so that they meet. */
static struct slice random_name(char *buf, bool filter)
{
    static const char *const levels[] = {"a", "b", "cc", "$x", "a-very-long-level-name", "*", "#"};
    unsigned n = 1 + pick(pick(8) ? 4 : NAME_MAX_LEVELS);
    size_t at = 0;

    for (unsigned i = 0; i < n; i++) {
        unsigned what = pick(filter ? 7 : 5);
        const char *level = levels[what == 6 && i + 1 < n ? 5 : what];

        if (at + strlen(level) + 1 > NAME_MAX_BYTES)
            break;
        at += (size_t)sprintf(buf + at, "%s%s", i ? "." : "", level);
    }
    return slice_of(buf, at);
}

enum { BINDINGS = 400 };

static struct binding {
    char filter[NAME_MAX_BYTES + 1];
    struct slice name;
    bool on;
    int queue; /* or worker, from 64 */
} bindings[BINDINGS];

static bool same_is_on(const struct binding *b)
{
    for (int i = 0; i < BINDINGS; i++)
        if (&bindings[i] != b && bindings[i].on && bindings[i].queue == b->queue &&
            slice_eq(bindings[i].name, b->name))
            return true;
    return false;
}

static void toggle(struct binding *b)
{
    struct slice f;

    if (!b->on) {
        b->name = random_name(b->filter, true);
        b->queue = (int)pick(128);
        if (name_filter_error(b->name) || same_is_on(b))
            return;
    }
    f = b->name;
    if (b->queue >= 64)
        ck_assert_int_eq(tree_interest(t, f, (unsigned)b->queue - 64, !b->on), 1);
    else if (b->on)
        ck_assert_int_ge(tree_unbind(t, f, &queues[b->queue]), 0);
    else
        ck_assert_int_ge(tree_bind(t, f, &queues[b->queue]), 0);
    b->on = !b->on;
}

static void compare(struct slice topic, uint64_t seed)
{
    uint64_t expected = 0, workers = 0, got = 0;

    for (int i = 0; i < BINDINGS; i++) {
        const struct binding *b = &bindings[i];

        if (!b->on || !name_filter_matches(b->name, topic))
            continue;
        if (b->queue < 64)
            expected |= UINT64_C(1) << b->queue;
        else
            workers |= UINT64_C(1) << (b->queue - 64);
    }
    ck_assert_int_eq(tree_match(t, topic, &found), 0);
    for (size_t i = 0; i < found.n; i++)
        got |= UINT64_C(1) << ((char *)found.queues[i] - queues);
    ck_assert_msg(got == expected && workers == found.workers &&
                      (size_t)__builtin_popcountll(got) == found.n,
                  "topic %.*s; BROKER_SEED=%llu replays", (int)topic.n, (const char *)topic.p,
                  (unsigned long long)seed);
}

/* Several topics at once, and the same ones again, find what each finds alone. */
static void compare_together(uint64_t seed)
{
    static struct tree_result
        together[TREE_AHEAD]; /* what an earlier walk left in it is no matter */
    char buf[TREE_AHEAD][NAME_MAX_BYTES + 1];
    struct slice topics[TREE_AHEAD];
    unsigned n = 1 + pick(TREE_AHEAD);

    for (unsigned i = 0; i < n; i++)
        topics[i] = i && pick(4) == 0 ? topics[i - 1] : random_name(buf[i], false);
    ck_assert_int_eq(tree_match_all(t, topics, n, together), 0);
    for (unsigned i = 0; i < n; i++) {
        const struct tree_result *r = &together[i];

        compare(topics[i], seed);
        ck_assert_msg(
            r->n == found.n && r->workers == found.workers && r->first_level == found.first_level &&
                (r->n == 0 || memcmp(r->queues, found.queues, r->n * sizeof(void *)) == 0),
            "topic %.*s among others; BROKER_SEED=%llu replays", (int)topics[i].n,
            (const char *)topics[i].p, (unsigned long long)seed);
    }
    for (unsigned i = 0; i < TREE_AHEAD && pick(8) == 0; i++)
        tree_result_fini(&together[i]);
}

START_TEST(agrees_with_plain_comparison)
{
    const char *given = getenv("BROKER_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)_i + 1;
    char buf[NAME_MAX_BYTES + 1];

    random_state = seed;
    memset(bindings, 0, sizeof bindings);
    for (int step = 0; step < 4000; step++) {
        toggle(&bindings[pick(BINDINGS)]);
        compare(random_name(buf, false), seed);
        if (pick(32) == 0)
            compare_together(seed);
    }
    for (int i = 0; i < BINDINGS; i++)
        if (bindings[i].on)
            toggle(&bindings[i]);
    check_empty();
}
END_TEST

/* --------------------------------------------------------------------------------- size */

START_TEST(hundred_thousand_filters)
{
    enum { MANY = 100000 };
    char name[64];

    for (int i = 0; i < MANY; i++) {
        int n = sprintf(name, "tenant%d.device%d.%s", i % 100, i, i % 10 ? "temperature" : "*");

        ck_assert_int_eq(tree_bind(t, slice_of(name, (size_t)n), &queues[i % 64]), 1);
    }
    ck_assert_uint_eq(tree_counts(t).bindings, MANY);
    for (int i = 0; i < MANY; i += 7) {
        int n = sprintf(name, "tenant%d.device%d.temperature", i % 100, i);

        ck_assert_int_eq(tree_match(t, slice_of(name, (size_t)n), &found), 0);
        ck_assert_uint_eq(found.n, 1);
        ck_assert_ptr_eq(found.queues[0], &queues[i % 64]);
    }
    for (int i = 0; i < MANY; i++) {
        int n = sprintf(name, "tenant%d.device%d.%s", i % 100, i, i % 10 ? "temperature" : "*");

        ck_assert_int_eq(tree_unbind(t, slice_of(name, (size_t)n), &queues[i % 64]), 1);
    }
    check_empty();
}
END_TEST

/* Every filter of as many levels as there may be that a topic can match, with `#` below too: at
 * each node a walk may go all ways. */
START_TEST(goes_all_ways)
{
    enum { WAYS = 1 << NAME_MAX_LEVELS };
    char name[2 * NAME_MAX_LEVELS + 1], topic[2 * NAME_MAX_LEVELS + 3];
    unsigned n = 0;

    for (unsigned way = 0; way < WAYS; way++) {
        for (unsigned i = 0; i < NAME_MAX_LEVELS; i++) {
            name[2 * i] = way >> i & 1 ? '*' : 'a';
            name[2 * i + 1] = '.';
        }
        ck_assert_int_eq(tree_bind(t, slice_of(name, 2 * NAME_MAX_LEVELS - 1), &queues[0]), 1);
        name[2 * (NAME_MAX_LEVELS - 1)] = '#';
        n += tree_bind(t, slice_of(name, 2 * NAME_MAX_LEVELS - 1), &queues[1 + way % 63]) >= 0;
    }
    memset(topic, '.', sizeof topic);
    for (unsigned i = 0; i <= NAME_MAX_LEVELS; i++)
        topic[2 * i] = 'a';
    ck_assert_uint_ge(n, WAYS / 2);
    for (unsigned levels = NAME_MAX_LEVELS - 2; levels <= NAME_MAX_LEVELS + 1; levels++) {
        ck_assert_int_eq(tree_match(t, slice_of(topic, 2 * levels - 1), &found), 0);
        ck_assert_uint_eq(found.n, levels < NAME_MAX_LEVELS - 1 ? 0
                                   : levels == NAME_MAX_LEVELS  ? 64
                                                                : 63);
    }
}
END_TEST

/* Topics that come once and never again, for ever, leave nothing behind. */
START_TEST(churn_leaves_nothing)
{
    char name[64];

    ck_assert_int_eq(tree_bind(t, SLICE("stays.here"), &queues[0]), 1);
    for (int i = 0; i < 50000; i++) {
        struct slice f = slice_of(name, (size_t)sprintf(name, "reply.%d.x%d", i, i * 3));

        ck_assert_int_eq(tree_bind(t, f, &queues[1]), 1);
        ck_assert_int_eq(tree_interest(t, f, 5, true), 1);
        ck_assert_int_eq(tree_unbind(t, f, &queues[1]), 1);
        ck_assert_int_eq(tree_interest(t, f, 5, false), 1);
        ck_assert_uint_eq(tree_counts(t).nodes, 2);
        ck_assert_uint_eq(tree_counts(t).bindings, 1);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tree");
    TCase *tc = tcase_create("tree");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, matches, 0, (int)(sizeof rows / sizeof rows[0]));
    tcase_add_test(tc, tells_first_and_last);
    tcase_add_test(tc, interest_is_a_bit_per_worker);
    tcase_add_test(tc, each_queue_once);
    tcase_add_loop_test(tc, agrees_with_plain_comparison, 0, 8);
    tcase_add_test(tc, hundred_thousand_filters);
    tcase_add_test(tc, goes_all_ways);
    tcase_add_test(tc, churn_leaves_nothing);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
