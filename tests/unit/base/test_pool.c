/* A pool's objects are distinct, aligned and as large as asked for; what is not used goes back. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "libbroker/base/pool.h"

#if defined(__SANITIZE_ADDRESS__)
enum { HAS_CHUNKS = 0 }; /* all objects are malloc's */
#else
enum { HAS_CHUNKS = 1 };
#endif

enum { SIZE = 192, MANY = 100000 }; /* some 300 chunks */

static struct pool pool;
static void *object[MANY];

static void setup(void)
{
    pool_init(&pool);
}

/* pool_fini() itself insists that all has come back. */
static void teardown(void)
{
    pool_fini(&pool);
    ck_assert_uint_eq(pool.chunks, 0);
}

START_TEST(rooms_are_close_fits)
{
    size_t last = 0;

    for (size_t n = 1; n <= POOL_MAX + 1; n++) {
        size_t room = pool_room(n);

        ck_assert(room >= n && room >= last && /* more is never less */
                  (room <= POOL_MIN || room * 4 <= n * 5 || room - n < 16) &&
                  (n > POOL_MAX || room % 16 == 0) && pool_room(room) == room);
        last = room;
    }
    ck_assert_uint_eq(pool_room(POOL_MAX), POOL_MAX);
    ck_assert_uint_eq(pool_room(1 << 20), 1 << 20);
}
END_TEST

START_TEST(objects_do_not_overlap)
{
    static unsigned char expected[100000];
    static const size_t sizes[] = {1, 64, 65, 100, 192, 500, 4096, 8191, 8192, 8193, 100000};
    enum { SIZES = sizeof sizes / sizeof sizes[0], EACH = 50 };

    for (int i = 0; i < SIZES * EACH; i++) {
        object[i] = pool_get(&pool, sizes[i % SIZES]);
        ck_assert_ptr_nonnull(object[i]);
        ck_assert_uint_eq((uintptr_t)object[i] % 16, 0);
        memset(object[i], i & 0xff, sizes[i % SIZES]);
    }
    for (int i = 0; i < SIZES * EACH; i++) {
        memset(expected, i & 0xff, sizes[i % SIZES]);
        ck_assert_mem_eq(object[i], expected, sizes[i % SIZES]);
        pool_put(&pool, object[i], sizes[i % SIZES]);
    }
    ck_assert_uint_eq(pool.used, 0);
}
END_TEST

START_TEST(what_came_back_is_used_again)
{
    unsigned chunks;

    for (int i = 0; i < 1000; i++)
        object[i] = pool_get(&pool, SIZE);
    chunks = pool.chunks;
    for (int round = 0; round < 100; round++)
        for (int i = 0; i < 1000; i++) { /* never more than 1000 at a time */
            pool_put(&pool, object[i], SIZE);
            object[i] = pool_get(&pool, SIZE);
        }
    ck_assert_uint_eq(pool.chunks, chunks);
    for (int i = 0; i < 1000; i++)
        pool_put(&pool, object[i], SIZE);
}
END_TEST

/* In any order: an order of their own, backwards, all odd ones first. */
static int nth(int order, int i)
{
    switch (order) {
    case 0:
        return i;
    case 1:
        return MANY - 1 - i;
    default:
        return i < MANY / 2 ? 2 * i + 1 : 2 * (i - MANY / 2);
    }
}

START_TEST(a_backlog_goes_back_to_the_system)
{
    for (int i = 0; i < MANY; i++)
        object[i] = pool_get(&pool, SIZE);
    ck_assert(!HAS_CHUNKS || pool.chunks > 250);
    for (int i = 0; i < MANY / 2; i++)
        pool_put(&pool, object[nth(_i, i)], SIZE);
    if (HAS_CHUNKS && _i < 2)
        ck_assert_uint_lt(pool.chunks, 250); /* half is gone already */
    for (int i = MANY / 2; i < MANY; i++)
        pool_put(&pool, object[nth(_i, i)], SIZE);
    ck_assert_uint_le(pool.chunks, 32); /* 2 MiB, for the next burst: */
    ck_assert_uint_eq(pool.chunks, pool.spare_n);
    object[0] = pool_get(&pool, 1000);
    ck_assert(!HAS_CHUNKS || pool.spare_n + 1 == pool.chunks);
    pool_put(&pool, object[0], 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");
    TCase *tc = tcase_create("pool");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, rooms_are_close_fits);
    tcase_add_test(tc, objects_do_not_overlap);
    tcase_add_test(tc, what_came_back_is_used_again);
    tcase_add_loop_test(tc, a_backlog_goes_back_to_the_system, 0, 3);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
