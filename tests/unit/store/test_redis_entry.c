/* Names, messages and what is held, as the Redis store writes and keeps them. */
#include "brokerd/store/redis/entry.h"
#include "brokerd/store/redis/held.h"
#include "brokerd/store/redis/keys.h"
#include "libbroker/base/name.h"
#include "tests/unit/support.h"

#include <errno.h>

START_TEST(keys_of_names)
{
    struct keys k;

    ck_assert_int_eq(keys_init(&k, SLICE("brokerd"), SLICE("a{b}%c")), 0);
    ck_assert(slice_eq(k.base, SLICE("brokerd:{a%7bb%7d%25c}")));
    ck_assert(slice_eq(k.key[KEY_FACTS], SLICE("brokerd:{a%7bb%7d%25c}:m")));
    ck_assert(slice_eq(k.key[KEY_STREAM], SLICE("brokerd:{a%7bb%7d%25c}:s")));
    ck_assert(slice_eq(k.key[KEY_BACK], SLICE("brokerd:{a%7bb%7d%25c}:b")));
    ck_assert(slice_eq(k.key[KEY_ATTEMPTS], SLICE("brokerd:{a%7bb%7d%25c}:a")));
    keys_fini(&k);
    ck_assert(keys_prefix_fits(SLICE("app:one")));
    ck_assert(!keys_prefix_fits(SLICE("")));
    ck_assert(!keys_prefix_fits(SLICE("a{b")));
    ck_assert(!keys_prefix_fits(SLICE("a b")));
}
END_TEST

START_TEST(entry_there_and_back)
{
    static const struct entry_facts rows[] = {
        {INT64_MAX,
         1700000000000,
         UINT64_MAX,
         {(const uint8_t *)"a.b", 3},
         {NULL, 0},
         {CTYPE_NONE, {NULL, 0}}},
        {1, 0, 0, {(const uint8_t *)"t", 1}, {(const uint8_t *)"\1a\0\1b", 5}, {39, {NULL, 0}}},
        {INT64_MAX - 1,
         5,
         7,
         {(const uint8_t *)"a..queue", 8}, /* published to the queue, not to a topic */
         {(const uint8_t *)"\1a\0\2\n\t", 6},
         {CTYPE_NAMED, {(const uint8_t *)"text/x", 6}}},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t buf[512];
        struct entry_facts got;
        size_t n = (size_t)(entry_write(buf, &rows[i]) - buf);

        ck_assert_uint_le(n, entry_size(&rows[i]));
        ck_assert_int_eq(entry_read(slice_of(buf, n), &got), 0);
        ck_assert_int_eq(got.expires_ms, rows[i].expires_ms);
        ck_assert_int_eq(got.time_ms, rows[i].time_ms);
        ck_assert_uint_eq(got.id, rows[i].id);
        ck_assert(slice_eq(got.topic, rows[i].topic));
        ck_assert(slice_eq(got.headers, rows[i].headers));
        ck_assert(ctype_eq(got.type, rows[i].type));
        for (size_t cut = 0; cut < n; cut++) /* never taken for whole, nor read beyond */
            ck_assert_int_eq(entry_read(slice_of(buf, cut), &got), -EPROTO);
    }
}
END_TEST

/* Well-formed, but nothing that brokerd would ever have written: the core is to be spared it. */
START_TEST(entry_of_somebody_else)
{
    static const struct slice rows[] = {
        SLICE("- 1 2 0 0 0 0 "),             /* no topic */
        SLICE("- 1 2 0 3 0 0 a*b"),          /* a pattern */
        SLICE("- 1 2 0 3 0 0 a b"),          /* a blank */
        SLICE("- 1 2 0 3 0 0 a\0b"),         /* a control character */
        SLICE("- 1 2 0 2 0 0 \303\50"),      /* not UTF-8 */
        SLICE("- 1 2 0 3 0 3 a/b\1\1\1"),    /* headers cut short */
        SLICE("- 1 2 0 1 0 4 a\0\0\1b"),     /* a header without a name */
        SLICE("- 1 2 0 1 0 5 a\1\377\0\1b"), /* .. whose name is not UTF-8 */
        SLICE("- 1 2 0 1 0 5 a\1a\0\1\377"), /* .. whose value is not */
        SLICE("- 1 2 0 1 0 5 a\1a\0\1\0"),   /* .. or has zeros */
        SLICE("- 1 2 129 1 0 0 a"),          /* a named type without a name */
        SLICE("- 1 2 0 1 1 0 ax"),           /* a name, but not a named type */
        SLICE("- 1 2 129 1 1 0 a\377"),      /* a name that is not ASCII */
        SLICE("- 1 2 130 1 0 0 a"),          /* no such type */
    };
    char buf[1024];
    struct entry_facts got;
    int n;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(entry_read(rows[i], &got) == -EPROTO, "row %zu is taken", i);
    n = snprintf(buf, sizeof buf, "- 1 2 0 %d 0 0 %0*d", NAME_MAX_BYTES, NAME_MAX_BYTES, 0);
    ck_assert_int_eq(entry_read(slice_of(buf, (size_t)n), &got), 0);
    n = snprintf(buf, sizeof buf, "- 1 2 0 %d 0 0 %0*d", NAME_MAX_BYTES + 1, NAME_MAX_BYTES + 1, 0);
    ck_assert_int_eq(entry_read(slice_of(buf, (size_t)n), &got), -EPROTO);
    n = snprintf(buf, sizeof buf, "- 1 2 129 1 129 0 a%0*d", 129, 0);
    ck_assert_int_eq(entry_read(slice_of(buf, (size_t)n), &got), -EPROTO);
}
END_TEST

START_TEST(ids)
{
    uint8_t buf[ENTRY_ID_MAX];
    uint64_t seq, cum;
    size_t n = (size_t)(entry_write_id(buf, 12, UINT64_MAX) - buf);

    ck_assert_int_eq(entry_read_id(slice_of(buf, n), &seq, &cum), 0);
    ck_assert_uint_eq(seq, 12);
    ck_assert_uint_eq(cum, UINT64_MAX);
    ck_assert_int_eq(entry_read_id(SLICE("12"), &seq, &cum), -EPROTO);
    ck_assert_int_eq(entry_read_id(SLICE("12-"), &seq, &cum), -EPROTO);
    ck_assert_int_eq(entry_read_id(SLICE("x-1"), &seq, &cum), -EPROTO);
    ck_assert_int_eq(entry_read_id(SLICE("1-1x"), &seq, &cum), -EPROTO);
    ck_assert_int_eq(entry_read_id(SLICE("99999999999999999999-1"), &seq, &cum), -EPROTO);
    ck_assert_int_eq(entry_read_id(SLICE("1-18446744073709551616"), &seq, &cum), -EPROTO);
}
END_TEST

/* Against an array of what must be there. */
START_TEST(held_at_random)
{
    enum { SEQS = 3000 };
    static bool there[SEQS + 1];
    struct seeded random = seeded_start();
    struct held_set h = {0};
    struct held_message m;
    size_t n = 0;

    for (int i = 0; i < 100000; i++) {
        uint64_t seq = 1 + seeded_below(&random, SEQS);

        ck_assert_int_eq(held_find(&h, seq) != NULL, there[seq]);
        if (!there[seq]) {
            ck_assert_int_eq(
                held_add(&h, &(struct held_message){seq, 2 * seq, (uint32_t)seq, false}), 0);
            n++;
        } else {
            ck_assert(held_take(&h, seq, &m));
            ck_assert_uint_eq(m.cum, 2 * seq);
            ck_assert_uint_eq(m.len, seq);
            n--;
        }
        there[seq] = !there[seq];
        ck_assert_uint_eq(h.n, n);
    }
    ck_assert(!held_take(&h, SEQS + 7, &m));
    held_fini(&h);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis_entry");
    TCase *tc = tcase_create("redis_entry");

    tcase_add_test(tc, keys_of_names);
    tcase_add_test(tc, entry_there_and_back);
    tcase_add_test(tc, entry_of_somebody_else);
    tcase_add_test(tc, ids);
    tcase_add_test(tc, held_at_random);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
