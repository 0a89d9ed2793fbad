/* A deque gives back by index what was pushed, and holds no memory when it is empty. */
#include <check.h>
#include <stdlib.h>

#include "libbroker/base/deque.h"

struct item {
    uint64_t index;
    char padding[12]; /* an odd size */
};

static void push(struct deque *d)
{
    uint64_t index = deque_end(d);
    struct item *e = deque_push(d);

    ck_assert_ptr_nonnull(e);
    ck_assert_uint_eq(deque_end(d), index + 1);
    e->index = index;
    e->padding[11] = 'x';
}

static void check_all(const struct deque *d)
{
    for (uint64_t i = deque_first(d); i < deque_end(d); i++) {
        const struct item *e = deque_at(d, i);

        ck_assert_ptr_nonnull(e);
        ck_assert_uint_eq(e->index, i);
    }
    ck_assert_ptr_null(deque_at(d, deque_first(d) - 1));
    ck_assert_ptr_null(deque_at(d, deque_end(d)));
    ck_assert_ptr_null(deque_at(d, UINT64_MAX));
    ck_assert(deque_len(d) > 0 || (!d->ring && !d->spare));
}

START_TEST(starts_anywhere_and_empties)
{
    static const uint64_t starts[] = {0, 1, 62, 63, 64, 65, UINT64_C(1) << 40};
    struct deque d;

    deque_init(&d, sizeof(struct item));
    check_all(&d);
    for (size_t s = 0; s < sizeof starts / sizeof starts[0]; s++) {
        for (int len = 1; len <= 200; len++) {
            deque_start_at(&d, starts[s]);
            for (int i = 0; i < len; i++)
                push(&d);
            ck_assert_uint_eq(deque_len(&d), (uint64_t)len);
            check_all(&d);
            for (int i = 0; i < len; i++)
                deque_pop(&d);
            ck_assert_uint_eq(deque_first(&d), starts[s] + (uint64_t)len);
            check_all(&d);
        }
    }
    deque_fini(&d);
}
END_TEST

/* It breathes: in and out by hundreds, the window far beyond the first ring. */
START_TEST(moves_on)
{
    struct deque d;
    const struct item *kept = NULL;

    deque_init(&d, sizeof(struct item));
    for (int round = 1; round <= 60; round++) {
        for (int i = 0; i < 37 * round; i++)
            push(&d);
        kept = deque_at(&d, deque_end(&d) - 1);
        check_all(&d);
        while (deque_len(&d) > (uint64_t)(round % 7) * 150 + 1)
            deque_pop(&d);
        check_all(&d);
        ck_assert_ptr_eq(kept, deque_at(&d, deque_end(&d) - 1)); /* elements do not move */
    }
    deque_fini(&d);
    ck_assert_uint_eq(deque_len(&d), 0);
    push(&d);
    check_all(&d);
    deque_fini(&d);
}
END_TEST

/* What was pushed last is taken back, across the edges of chunks, down to nothing. */
START_TEST(takes_back)
{
    struct deque d;

    deque_init(&d, sizeof(struct item));
    for (uint64_t start = 0; start < 130; start += 13) {
        deque_start_at(&d, start);
        for (int len = 1; len <= 200; len += 7) {
            for (int i = 0; i < len; i++)
                push(&d);
            for (int i = 0; i < len - len / 3; i++)
                deque_unpush(&d);
            check_all(&d);
            ck_assert_uint_eq(deque_end(&d), start + (uint64_t)(len / 3));
            push(&d);
            check_all(&d);
            while (deque_len(&d))
                deque_unpush(&d);
            ck_assert_ptr_null(d.ring);
            check_all(&d);
        }
    }
    deque_fini(&d);
}
END_TEST

START_TEST(releases_what_has_passed)
{
    struct deque d;

    deque_init(&d, 8);
    for (int i = 0; i < 100000; i++) {
        ck_assert_ptr_nonnull(deque_push(&d));
        if (i >= 100)
            deque_pop(&d);
    }
    ck_assert_uint_eq(d.mask, 3); /* 101 elements never need more than four chunks */
    deque_fini(&d);
    deque_fini(&d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("deque");
    TCase *tc = tcase_create("deque");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, starts_anywhere_and_empties);
    tcase_add_test(tc, moves_on);
    tcase_add_test(tc, takes_back);
    tcase_add_test(tc, releases_what_has_passed);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
