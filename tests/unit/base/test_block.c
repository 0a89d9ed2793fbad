/* Blocks are counted, pooled by size, and may grow while they have one holder. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "libbroker/base/block.h"

START_TEST(the_last_holder_frees)
{
    struct block *b = block_new(10);

    ck_assert_ptr_nonnull(b);
    ck_assert_uint_eq(b->size, 10);
    ck_assert(block_alone(b));
    ck_assert_ptr_eq(block_ref(b), b);
    ck_assert(!block_alone(b));
    block_unref(b);
    ck_assert(block_alone(b));
    block_unref(b);
    block_unref(NULL);
}
END_TEST

START_TEST(resizing_keeps_the_bytes)
{
    struct block *b = block_resize(NULL, 4);

    ck_assert_ptr_nonnull(b);
    ck_assert(block_alone(b));
    memcpy(b->bytes, "abcd", 4);
    b = block_resize(b, 100000);
    ck_assert_ptr_nonnull(b);
    ck_assert_uint_eq(b->size, 100000);
    ck_assert_int_eq(memcmp(b->bytes, "abcd", 4), 0);
    memset(b->bytes + 4, 'x', 100000 - 4);
    b = block_resize(b, 5);
    ck_assert_ptr_nonnull(b);
    ck_assert_uint_eq(b->size, 5);
    ck_assert_int_eq(memcmp(b->bytes, "abcdx", 5), 0);
    ck_assert(block_alone(b));
    block_unref(b);
}
END_TEST

START_TEST(the_pool_gives_back_what_it_got_last)
{
    struct block_pool pool = {0};
    struct block *small = block_pool_get(&pool, 1), *large = block_pool_get(&pool, BLOCK_LARGE);
    struct block *giant = block_pool_get(&pool, BLOCK_LARGE + 1);

    ck_assert_uint_eq(small->size, BLOCK_SMALL);
    ck_assert_uint_eq(large->size, BLOCK_LARGE);
    ck_assert_uint_eq(giant->size, BLOCK_LARGE + 1);
    block_ref(small); /* somebody still reads it: not for reuse */
    block_pool_put(&pool, small);
    ck_assert_uint_eq(pool.small_n, 0);
    block_pool_put(&pool, small);
    block_pool_put(&pool, large);
    block_pool_put(&pool, giant);
    ck_assert_ptr_eq(block_pool_get(&pool, BLOCK_SMALL), small);
    ck_assert_ptr_eq(block_pool_get(&pool, BLOCK_SMALL + 1), large);
    block_pool_put(&pool, small);
    block_pool_put(&pool, large);
    block_pool_fini(&pool);
    ck_assert_uint_eq(pool.small_n + pool.large_n, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("block");
    TCase *tc = tcase_create("block");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, the_last_holder_frees);
    tcase_add_test(tc, resizing_keeps_the_bytes);
    tcase_add_test(tc, the_pool_gives_back_what_it_got_last);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
