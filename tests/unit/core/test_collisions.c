/* Tree and routes are right whatever hashes say: here nearly all are the same. */
#include "libbroker/base/hash.h"
#include "libbroker/base/slice.h"

static uint64_t poor_bytes(uint64_t seed, struct slice s)
{
    return seed ^ (s.n & 1);
}

static uint64_t poor_pair(uint64_t seed, uint64_t a, uint64_t b)
{
    return seed ^ ((a ^ b) & 1);
}

#define hash_bytes poor_bytes
#define hash_pair poor_pair
#include "brokerd/core/route.c"
#include "brokerd/core/tree.c"
#include "brokerd/core/tree_match.c"

#include <check.h>
#include <stdio.h>

enum { QUEUES = 40, FILTER_MAX = 16, ROUNDS = 5000 };

/* Each has one filter, or none. */
static struct {
    char filter[FILTER_MAX];
} queue[QUEUES];

static uint64_t state = 7;

static unsigned below(unsigned n)
{
    state = state * UINT64_C(6364136223846793005) + 1;
    return (unsigned)(state >> 33) % n;
}

static void random_name(char *to, const char *const *levels, unsigned n)
{
    unsigned depth = 1 + below(3);

    *to = '\0';
    for (unsigned i = 0; i < depth; i++) {
        const char *level = levels[below(n)];

        (void)snprintf(to + strlen(to), FILTER_MAX - strlen(to), "%s%s", i ? "." : "", level);
        if (*level == '#')
            return;
    }
}

static void change_one(struct tree *t)
{
    static const char *const levels[] = {"a", "b", "cc", "ddd", "ee", "*", "#"};
    unsigned i = below(QUEUES);

    if (*queue[i].filter) {
        ck_assert_int_ge(tree_unbind(t, slice_str(queue[i].filter), &queue[i]), 0);
        *queue[i].filter = '\0';
    } else {
        random_name(queue[i].filter, levels, 7);
        ck_assert_int_ge(tree_bind(t, slice_str(queue[i].filter), &queue[i]), 0);
    }
}

static bool is_right(const struct route *r, struct slice topic)
{
    unsigned n = 0;

    for (unsigned i = 0; i < QUEUES; i++) {
        bool is_there = false,
             matches = *queue[i].filter && name_filter_matches(slice_str(queue[i].filter), topic);

        for (uint32_t k = 0; k < r->n; k++)
            is_there |= r->queues[k] == &queue[i];
        if (is_there != matches)
            return false;
        n += is_there;
    }
    return r->n == n && slice_eq(topic_slice(r->topic), topic);
}

START_TEST(nothing_is_taken_for_another)
{
    static const char *const levels[] = {"a", "b", "cc", "ddd", "ee", "f"};
    struct tree *t = tree_new(1);
    struct routes *rs = routes_new(t, 1);
    unsigned wrong = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        char name[8][FILTER_MAX];
        struct slice topic[8];
        struct route *const *r;

        change_one(t);
        for (unsigned k = 0; k < 8; k++) {
            random_name(name[k], levels, 6);
            topic[k] = slice_str(name[k]);
        }
        r = routes_foresee(rs, topic, 8);
        for (unsigned k = 0; k < 8; k++)
            wrong += !is_right(r[k], topic[k]);
    }
    ck_assert_uint_eq(wrong, 0);
    for (unsigned i = 0; i < QUEUES; i++)
        if (*queue[i].filter)
            ck_assert_int_ge(tree_unbind(t, slice_str(queue[i].filter), &queue[i]), 0);
    ck_assert_uint_eq(tree_counts(t).nodes, 0);
    ck_assert_uint_eq(tree_counts(t).bindings, 0);
    routes_free(rs);
    tree_free(t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("collisions");
    TCase *tc = tcase_create("collisions");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, nothing_is_taken_for_another);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
