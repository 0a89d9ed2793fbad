/* An index finds each thing under its hash, also where many hashes want the same place. */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>

#include "brokerd/core/index.h"

enum { THINGS = 600 };

static char things[THINGS];
static uint64_t hashes[THINGS];

static bool has(const struct index *x, int i)
{
    size_t at = hashes[i];
    const void *found;

    do {
        found = index_next(x, hashes[i], &at);
    } while (found && found != &things[i]);
    return found != NULL;
}

static unsigned next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(*state >> 33);
}

/* Row: hashes are spread over so many values; few of them is the hard case. */
static const uint64_t spread[] = {1, 2, 7, 64, 1000, UINT64_MAX};

START_TEST(random_adds_and_removals)
{
    struct index x = {0};
    bool in[THINGS] = {false};
    uint64_t random = 1;
    size_t n = 0;

    for (int i = 0; i < THINGS; i++) /* some at the end of the table, to wrap around */
        hashes[i] = next(&random) % spread[_i] - (i % 2 ? 3 : 0);
    for (int step = 0; step < 8000; step++) {
        int i = (int)(next(&random) % THINGS);

        if (in[i]) {
            index_del(&x, hashes[i], &things[i]);
            n--;
        } else if (step < 6000) {
            ck_assert_int_eq(index_add(&x, hashes[i], &things[i]), 0);
            n++;
        } else {
            continue;
        }
        in[i] = !in[i];
        ck_assert_uint_eq(x.n, n);
        for (int j = step % 20; j < THINGS; j += 20)
            ck_assert(has(&x, j) == in[j]);
    }
    for (int i = 0; i < THINGS; i++)
        if (in[i])
            index_del(&x, hashes[i], &things[i]);
    ck_assert_ptr_null(x.slots); /* an empty index holds no memory */
    ck_assert(!has(&x, 0));
}
END_TEST

START_TEST(shrinks)
{
    struct index x = {0};

    for (int i = 0; i < THINGS; i++) {
        hashes[i] = (uint64_t)i * 977;
        ck_assert_int_eq(index_add(&x, hashes[i], &things[i]), 0);
    }
    for (int i = 1; i < THINGS; i++)
        index_del(&x, hashes[i], &things[i]);
    ck_assert_uint_lt(x.mask, 16);
    ck_assert(has(&x, 0) && !has(&x, 1));
    index_fini(&x);
    index_fini(&x);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("index");
    TCase *tc = tcase_create("index");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, random_adds_and_removals, 0, (int)(sizeof spread / sizeof spread[0]));
    tcase_add_test(tc, shrinks);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
