/* Without memory tree and routes change nothing, or what they must do is done all the same. */
#include "tests/unit/failing_alloc.h"

#include "brokerd/core/index.c"
#include "brokerd/core/message.c"
#include "brokerd/core/route.c"
#include "brokerd/core/tree.c"
#include "libbroker/base/pool.c"

#include <check.h>

static char queues[40];

static const char *const filters[] = {"a.b.c", "a.*.c", "a.#", "*", "x.y.z.u.v.w"};
enum { FILTERS = sizeof filters / sizeof filters[0], QUEUES = sizeof queues };

/* What there is must not change in a call that fails; the next one succeeds. */
static void bind_or_not(struct tree *t, struct slice filter, void *queue)
{
    struct tree_counts before = tree_counts(t), after;
    uint64_t version = *tree_version(t);
    int r = tree_bind(t, filter, queue);

    if (r == -ENOMEM) {
        ck_assert(failed);
        after = tree_counts(t);
        ck_assert_uint_eq(before.nodes, after.nodes);
        ck_assert_uint_eq(before.bindings, after.bindings);
        ck_assert_uint_eq(*tree_version(t), version);
        ck_assert_int_eq(tree_unbind(t, filter, queue), -ENOENT);
        r = tree_bind(t, filter, queue);
    }
    ck_assert_int_ge(r, 0);
}

static void fill(struct tree *t)
{
    for (int f = 0; f < FILTERS; f++) {
        for (int q = 0; q < (f == 0 ? QUEUES : 4); q++)
            bind_or_not(t, slice_str(filters[f]), &queues[q]);
        if (tree_interest(t, slice_str(filters[f]), 9, true) < 0)
            ck_assert_int_eq(tree_interest(t, slice_str(filters[f]), 9, true), 1);
    }
}

static void ask(struct routes *rs)
{
    struct route *r = route_get(rs, SLICE("a.b.c"));

    if (!r)
        r = route_get(rs, SLICE("a.b.c"));
    ck_assert_ptr_nonnull(r);
    ck_assert_uint_eq(r->n, QUEUES);
    ck_assert_uint_eq(r->workers, 1 << 9);
    route_unref(r);
}

/* Taking away succeeds whatever happens, and no route survives it that should not. */
static void empty(struct tree *t, struct routes *rs)
{
    struct route *held = route_get(rs, SLICE("a.b.c"));

    if (!held)
        held = route_get(rs, SLICE("a.b.c"));
    for (int f = 0; f < FILTERS; f++) {
        for (int q = 0; q < (f == 0 ? QUEUES : 4); q++)
            ck_assert_int_ge(tree_unbind(t, slice_str(filters[f]), &queues[q]), 0);
        ck_assert_int_eq(tree_interest(t, slice_str(filters[f]), 9, false), 1);
        ck_assert(!route_is_fresh(rs, held));
    }
    ck_assert_uint_eq(tree_counts(t).nodes, 0);
    ck_assert_uint_eq(tree_counts(t).bindings, 0);
    route_unref(held);
}

/* Everything once, with the n-th request for memory failing. False: there was no n-th. */
static bool run(unsigned n)
{
    struct tree *t;
    struct routes *rs;

    failed = false;
    fail_at = n;
    t = tree_new(1);
    if (!t)
        t = tree_new(1);
    rs = routes_new(t, 2);
    if (!rs)
        rs = routes_new(t, 2);
    fill(t);
    ask(rs);
    empty(t, rs);
    fail_at = 0;
    routes_free(rs);
    tree_free(t);
    return failed;
}

START_TEST(every_request_fails_once)
{
    unsigned n = 1;

    while (run(n))
        n++;
    ck_assert_uint_gt(n, 100);
}
END_TEST

START_TEST(message_without_memory)
{
    struct topic *topic = topic_new(SLICE("t"), 0);
    struct msg_view v = {.data = (const uint8_t *)"x", .len = 1};
    struct msg_origin from = {.topic = topic, .type = {.id = CTYPE_NONE}};
    struct pool pool;

    pool_init(&pool);
    fail_at = 1;
    ck_assert_ptr_null(msg_keep(&pool, &v, &from));
    ck_assert_uint_eq(topic->refs, 1);
    pool_fini(&pool);
    fail_at = 1;
    ck_assert_ptr_null(topic_new(SLICE("t"), 0));
    topic_unref(topic);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nomem");
    TCase *tc = tcase_create("nomem");
    SRunner *runner;
    int not_passed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, every_request_fails_once);
    tcase_add_test(tc, message_without_memory);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    not_passed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return not_passed ? EXIT_FAILURE : EXIT_SUCCESS;
}
