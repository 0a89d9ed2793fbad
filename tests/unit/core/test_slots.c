/* Handles: they find what they were given for, as long as it is there, and nothing else. */
#include "brokerd/core/slots.h"
#include "tests/unit/support.h"

START_TEST(finds_what_it_names)
{
    struct slots s;
    int a, b;
    handle_t ha, hb;

    slots_init(&s, 3);
    ha = slots_put(&s, SLOT_QUEUE, &a);
    hb = slots_put(&s, SLOT_TAP, &b);
    ck_assert_uint_eq(handle_worker(ha), 3);
    ck_assert_ptr_eq(slots_get(&s, SLOT_QUEUE, ha), &a);
    ck_assert_ptr_eq(slots_get(&s, SLOT_TAP, hb), &b);
    ck_assert_ptr_null(slots_get(&s, SLOT_TAP, ha));
    ck_assert_ptr_null(slots_get(&s, SLOT_FREE, ha));
    ck_assert_ptr_null(slots_get(&s, SLOT_QUEUE, 0));
    ck_assert_ptr_null(slots_get(&s, SLOT_QUEUE, ha + (UINT64_C(1) << 56)));
    ck_assert_ptr_null(slots_get(&s, SLOT_QUEUE, ha + (UINT64_C(1) << 40)));
    slots_drop(&s, ha);
    slots_drop(&s, ha);
    slots_drop(&s, 0);
    ck_assert_ptr_null(slots_get(&s, SLOT_QUEUE, ha));
    ck_assert_ptr_eq(slots_get(&s, SLOT_TAP, hb), &b);
    slots_fini(&s);
}
END_TEST

START_TEST(an_old_handle_finds_nothing)
{
    struct slots s;
    int a, b;
    handle_t old, young;

    slots_init(&s, 0);
    old = slots_put(&s, SLOT_QUEUE, &a);
    for (int i = 0; i < 1000; i++) {
        slots_drop(&s, old);
        young = slots_put(&s, SLOT_QUEUE, &b);
        ck_assert_uint_eq(s.n, 1); /* the same slot again */
        ck_assert_uint_ne(young, old);
        ck_assert_ptr_null(slots_get(&s, SLOT_QUEUE, old));
        old = young;
    }
    /* The generation wraps round, past 0: no handle is ever 0. */
    s.page[0][0].generation = (1U << 28) - 1;
    slots_drop(&s, (old & ~(handle_t)UINT32_MAX) | ((1U << 28) - 1));
    young = slots_put(&s, SLOT_QUEUE, &a);
    ck_assert_uint_ne(young, 0);
    ck_assert_uint_eq((uint32_t)young, 1);
    slots_fini(&s);
}
END_TEST

START_TEST(all_of_a_kind)
{
    struct slots s;
    int a, b, c;
    handle_t hb;
    uint32_t at = 0;

    slots_init(&s, 0);
    ck_assert_ptr_null(slots_next(&s, SLOT_QUEUE, &at));
    slots_put(&s, SLOT_QUEUE, &a);
    hb = slots_put(&s, SLOT_TAP, &b);
    slots_put(&s, SLOT_QUEUE, &c);
    ck_assert_ptr_eq(slots_next(&s, SLOT_QUEUE, &at), &a);
    slots_drop(&s, hb);
    ck_assert_ptr_eq(slots_next(&s, SLOT_QUEUE, &at), &c);
    ck_assert_ptr_null(slots_next(&s, SLOT_QUEUE, &at));
    slots_fini(&s);
}
END_TEST

START_TEST(many)
{
    enum { MANY = 10000 };
    static handle_t handle[MANY];
    static char object[MANY];
    struct seeded random = seeded_start();
    struct slots s;

    slots_init(&s, 63);
    for (int i = 0; i < MANY; i++)
        handle[i] = slots_put(&s, SLOT_CONSUMER, &object[i]);
    for (int round = 0; round < 20000; round++) {
        size_t i = seeded_below(&random, MANY);

        slots_drop(&s, handle[i]);
        expect(&random, !slots_get(&s, SLOT_CONSUMER, handle[i]));
        if (seeded_below(&random, 2))
            handle[i] = slots_put(&s, SLOT_CONSUMER, &object[i]);
    }
    for (int i = 0; i < MANY; i++) {
        void *found = slots_get(&s, SLOT_CONSUMER, handle[i]);

        expect(&random, !found || found == &object[i]);
    }
    expect(&random, s.n == MANY);
    slots_fini(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slots");
    TCase *tc = tcase_create("handles");

    tcase_add_test(tc, finds_what_it_names);
    tcase_add_test(tc, an_old_handle_finds_nothing);
    tcase_add_test(tc, all_of_a_kind);
    tcase_add_test(tc, many);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
