/* A heap always has its smallest key in front, whatever is taken out of its middle. */
#include <check.h>
#include <stdlib.h>

#include "libbroker/base/heap.h"

enum { ITEMS = 300 };

struct item {
    char before;
    struct heap_node node;
};

static void check_order(const struct heap *h, const struct item *items)
{
    size_t queued = 0;
    int64_t least = INT64_MAX;

    for (int i = 0; i < ITEMS; i++) {
        if (!heap_queued(&items[i].node))
            continue;
        queued++;
        if (items[i].node.key < least)
            least = items[i].node.key;
    }
    ck_assert_uint_eq(h->n, queued);
    if (queued)
        ck_assert_int_eq(heap_min(h)->key, least);
    else
        ck_assert(!heap_min(h) && !h->nodes);
}

/* The pseudo-random numbers of this test, the same in each run. */
static unsigned next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(*state >> 33);
}

START_TEST(random_pushes_updates_removals)
{
    struct item items[ITEMS] = {0};
    struct heap h = {0};
    uint64_t random = 1;

    for (int step = 0; step < 20000; step++) {
        struct heap_node *n = &items[next(&random) % ITEMS].node;
        int64_t key = (int64_t)(next(&random) % 1000) - 500; /* equal ones too */

        if (!heap_queued(n)) {
            n->key = key;
            ck_assert_int_eq(heap_push(&h, n), 0);
        } else if (next(&random) % 3 == 0) {
            heap_update(&h, n, key);
        } else if (next(&random) % 2 == 0 || step > 15000) {
            heap_remove(&h, n);
            ck_assert(!heap_queued(n));
        }
        if (step % 7 == 0)
            check_order(&h, items);
    }
    while (h.n)
        heap_remove(&h, heap_min(&h));
    check_order(&h, items);
    heap_fini(&h);
}
END_TEST

START_TEST(drains_in_order)
{
    struct item items[ITEMS] = {0};
    struct heap h = {0};
    uint64_t random = 7;
    int64_t last = INT64_MIN;

    for (int i = 0; i < ITEMS; i++) {
        items[i].node.key = i == 5 ? INT64_MAX : i == 9 ? INT64_MIN : (int64_t)next(&random);
        ck_assert_int_eq(heap_push(&h, &items[i].node), 0);
    }
    for (int i = 0; i < ITEMS; i++) {
        struct item *least = HEAP_ITEM(heap_min(&h), struct item, node);

        ck_assert_int_ge(least->node.key, last);
        last = least->node.key;
        heap_remove(&h, &least->node);
        heap_remove(&h, &least->node); /* once more does nothing */
        check_order(&h, items);
    }
    ck_assert_int_eq(last, INT64_MAX);
}
END_TEST

START_TEST(fini_lets_go_of_nodes)
{
    struct item items[ITEMS] = {0};
    struct heap h = {0};

    for (int i = 0; i < ITEMS; i++)
        ck_assert_int_eq(heap_push(&h, &items[i].node), 0);
    heap_fini(&h);
    check_order(&h, items);
    ck_assert(!heap_queued(&items[0].node));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heap");
    TCase *tc = tcase_create("heap");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, random_pushes_updates_removals);
    tcase_add_test(tc, drains_in_order);
    tcase_add_test(tc, fini_lets_go_of_nodes);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
