/* A map finds what was put under a name, and shrinks with what it holds. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "libbroker/base/hash.h"
#include "libbroker/base/map.h"

static int values[5000];

static struct slice key_of(int i, char *buf, size_t size)
{
    return slice_of(buf, (size_t)snprintf(buf, size, "orders.%d.created", i));
}

START_TEST(finds_what_was_put)
{
    struct map m;
    char buf[32];

    map_init(&m, 42);
    for (int i = 0; i < 5000; i++)
        ck_assert_int_eq(map_put(&m, key_of(i, buf, sizeof buf), &values[i]), 0);
    ck_assert_uint_eq(map_len(&m), 5000);
    for (int i = 0; i < 5000; i++)
        ck_assert_ptr_eq(map_get(&m, key_of(i, buf, sizeof buf)), &values[i]);
    ck_assert_ptr_null(map_get(&m, SLICE("orders.5000.created")));
    ck_assert_ptr_null(map_get(&m, SLICE("orders.1.create")));

    ck_assert_int_eq(map_put(&m, SLICE("orders.7.created"), &values[8]), 0);
    ck_assert_uint_eq(map_len(&m), 5000);
    ck_assert_ptr_eq(map_get(&m, SLICE("orders.7.created")), &values[8]);

    ck_assert_ptr_eq(map_del(&m, SLICE("orders.7.created")), &values[8]);
    ck_assert_ptr_null(map_del(&m, SLICE("orders.7.created")));
    ck_assert_uint_eq(map_len(&m), 4999);

    for (int i = 0; i < 5000; i++)
        (void)map_del(&m, key_of(i, buf, sizeof buf));
    ck_assert_uint_eq(map_len(&m), 0);
    ck_assert_ptr_null(m.buckets); /* an empty map holds no memory */
    map_fini(&m);
}
END_TEST

START_TEST(shrinks)
{
    struct map m;
    char buf[32];

    map_init(&m, 42);
    for (int i = 0; i < 5000; i++)
        ck_assert_int_eq(map_put(&m, key_of(i, buf, sizeof buf), &values[i]), 0);
    for (int i = 1; i < 5000; i++)
        ck_assert_ptr_nonnull(map_del(&m, key_of(i, buf, sizeof buf)));
    ck_assert_uint_lt(m.mask, 16);
    ck_assert_ptr_eq(map_get(&m, SLICE("orders.0.created")), &values[0]);
    map_fini(&m);
    map_fini(&m);
}
END_TEST

START_TEST(walks_in_order_and_bears_removal)
{
    struct map m;
    struct map_entry *e, *next;
    char buf[32];
    int i = 0;

    map_init(&m, 1);
    ck_assert_ptr_null(map_next(&m, NULL));
    for (; i < 100; i++)
        ck_assert_int_eq(map_put(&m, key_of(i, buf, sizeof buf), &values[i]), 0);
    i = 0;
    for (e = map_next(&m, NULL); e; e = next) {
        next = map_next(&m, e);
        ck_assert_ptr_eq(e->value, &values[i]);
        ck_assert_str_eq(e->key, (const char *)key_of(i, buf, sizeof buf).p);
        if (i % 3)
            map_remove(&m, e);
        i++;
    }
    ck_assert_int_eq(i, 100);
    ck_assert_uint_eq(map_len(&m), 34);
    map_fini(&m);
}
END_TEST

START_TEST(keys_are_bytes)
{
    static const struct {
        const char *p;
        size_t n;
    } keys[] = {{"", 0}, {"\0", 1}, {"\0\0", 2}, {"a", 1}, {"a\0", 2}, {"a\0b", 3}};
    struct map m;
    int r;

    map_init(&m, 1);
    for (size_t i = 0; i < 6; i++) {
        r = map_put(&m, slice_of(keys[i].n ? keys[i].p : NULL, keys[i].n), &values[i]);
        ck_assert_int_eq(r, 0);
    }
    for (size_t i = 0; i < 6; i++) {
        struct map_entry *e = map_find(&m, slice_of(keys[i].p, keys[i].n));

        ck_assert(e && e->value == &values[i]);
        ck_assert(slice_eq(map_key(e), slice_of(keys[i].p, keys[i].n)));
    }
    map_fini(&m);
}
END_TEST

/* Every bit of key and length counts, and the seed decides. */
START_TEST(hash_depends_on_everything)
{
    uint8_t bytes[24] = {0};
    uint64_t all[24 * 8 + 25 + 2];
    size_t n = 0;

    for (size_t bit = 0; bit < 24 * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        all[n++] = hash_bytes(9, slice_of(bytes, 24));
        bytes[bit / 8] = 0;
    }
    for (size_t len = 0; len <= 24; len++)
        all[n++] = hash_bytes(9, slice_of(bytes, len));
    all[n++] = hash_bytes(8, slice_of(bytes, 24));
    all[n++] = hash_bytes(UINT64_C(9) << 32, slice_of(bytes, 24));
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_uint_ne(all[i], all[j]);
    ck_assert_uint_eq(all[0], (bytes[0] = 1, hash_bytes(9, slice_of(bytes, 24))));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("map");
    TCase *tc = tcase_create("map");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, finds_what_was_put);
    tcase_add_test(tc, shrinks);
    tcase_add_test(tc, walks_in_order_and_bears_removal);
    tcase_add_test(tc, keys_are_bytes);
    tcase_add_test(tc, hash_depends_on_everything);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
