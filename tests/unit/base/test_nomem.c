/* Without memory the containers change nothing. */
#include "tests/unit/failing_alloc.h"

#include "libbroker/base/deque.c"
#include "libbroker/base/heap.c"
#include "libbroker/base/map.c"

#include <check.h>
#include <stdio.h>

enum { MANY = 1000 };

/* Push so many, with the n-th request failing. False: there was no n-th. */
static bool run_deque(unsigned n)
{
    struct deque d;

    deque_init(&d, sizeof(int));
    failed = false;
    fail_at = n;
    for (int i = 0; i < MANY; i++) {
        int *e = deque_push(&d);

        if (!e) {
            ck_assert(failed);
            ck_assert_uint_eq(deque_len(&d), (uint64_t)i);
            ck_assert(i > 0 || !d.ring);
            e = deque_push(&d);
        }
        *e = i;
    }
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(*(int *)deque_at(&d, (uint64_t)i), i);
    while (deque_len(&d))
        deque_pop(&d);
    fail_at = 0;
    return failed;
}

static bool run_heap(unsigned n)
{
    static struct heap_node nodes[MANY];
    struct heap h = {0};

    failed = false;
    fail_at = n;
    for (int i = 0; i < MANY; i++) {
        nodes[i] = (struct heap_node){.key = MANY - i};
        if (heap_push(&h, &nodes[i]) < 0) {
            ck_assert(!heap_queued(&nodes[i]));
            ck_assert_uint_eq(h.n, (size_t)i);
            ck_assert_int_eq(heap_push(&h, &nodes[i]), 0);
        }
    }
    for (int i = MANY - 1; i >= 0; i--) {
        ck_assert_ptr_eq(heap_min(&h), &nodes[i]);
        heap_remove(&h, &nodes[i]);
    }
    fail_at = 0;
    return failed;
}

static bool run_map(unsigned n)
{
    static int value;
    struct map m;
    char key[16];

    map_init(&m, 1);
    failed = false;
    fail_at = n;
    for (int i = 0; i < MANY; i++) {
        struct slice k = slice_of(key, (size_t)sprintf(key, "%d", i));

        if (map_put(&m, k, &value) < 0) {
            ck_assert_ptr_null(map_get(&m, k));
            ck_assert_uint_eq(map_len(&m), (size_t)i);
            ck_assert_int_eq(map_put(&m, k, &value), 0);
        }
    }
    for (int i = 0; i < MANY; i++)
        ck_assert_ptr_eq(map_del(&m, slice_of(key, (size_t)sprintf(key, "%d", i))), &value);
    map_fini(&m);
    fail_at = 0;
    return failed;
}

START_TEST(every_request_fails_once)
{
    static bool (*const runs[])(unsigned) = {run_deque, run_heap, run_map};
    unsigned n = 1;

    while (runs[_i](n))
        n++;
    ck_assert_uint_gt(n, 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nomem");
    TCase *tc = tcase_create("nomem");
    SRunner *runner;
    int not_passed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, every_request_fails_once, 0, 3);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    not_passed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return not_passed ? EXIT_FAILURE : EXIT_SUCCESS;
}
