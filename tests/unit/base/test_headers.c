/* Headers: read, checked, found and written. */
#include "tests/unit/support.h"

#include <errno.h>

#include "libbroker/base/headers.h"

static const struct headers_limits limits = {.max_count = 3, .max_bytes = 40};

static const struct {
    const char *name, *bytes;
    int answer; /* of headers_check */
} rows[] = {
    {"none at all", "", 0},
    {"one", "01 61 0002 6263", 0},
    {"an empty value", "01 61 0000", 0},
    {"an empty name", "00 0001 61", -EPROTO},
    {"a name cut short", "03 6162", -EPROTO},
    {"a value length cut short", "01 61 00", -EPROTO},
    {"a value cut short", "01 61 0002 62", -EPROTO},
    {"the second cut short", "01 61 0000 01", -EPROTO},
    {"text beyond ASCII", "02 c3a4 0003 e282ac", 0},
    {"a name that is not UTF-8", "02 c328 0000", -EPROTO},
    {"a value that is not UTF-8", "01 61 0001 ff", -EPROTO},
    {"a line feed in a name", "02 610a 0000", -EPROTO},
    {"a line feed in a value", "01 61 0001 0a", -EPROTO},
    {"as many as the limit", "01 61 0000 01 62 0000 01 63 0000", 0},
    {"one more", "01 61 0000 01 62 0000 01 63 0000 01 64 0000", -EMSGSIZE},
    {"as long as the limit",
     "01 61 0024 30303030303030303030 30303030303030303030 30303030303030303030 303030303030", 0},
    {"one longer",
     "01 61 0025 30303030303030303030 30303030303030303030 30303030303030303030 30303030303030",
     -EMSGSIZE},
};

START_TEST(check)
{
    struct slice in = hex(rows[_i].bytes);
    const char *why = NULL;
    int r = headers_check(in, &limits, &why);

    ck_assert_msg(r == rows[_i].answer, "%s: %d", rows[_i].name, r);
    ck_assert_msg((why != NULL) == (r < 0), "%s", rows[_i].name);
    free((void *)in.p);
}
END_TEST

START_TEST(first_of_a_name_counts)
{
    struct slice in = hex("01 61 0001 31  01 62 0001 32  01 61 0001 33"), value;

    ck_assert(headers_find(in, SLICE("a"), &value));
    ck_assert(slice_eq(value, SLICE("1")));
    ck_assert(headers_find(in, SLICE("b"), &value));
    ck_assert(slice_eq(value, SLICE("2")));
    ck_assert(!headers_find(in, SLICE("c"), &value));
    ck_assert(!headers_find(in, SLICE("A"), &value));
    ck_assert(slice_eq(value, SLICE("2")));
    free((void *)in.p);
}
END_TEST

START_TEST(largest_header)
{
    static uint8_t bytes[HEADERS_VALUE_MAX];
    size_t size = headers_size(HEADERS_NAME_MAX, HEADERS_VALUE_MAX);
    uint8_t *out = malloc(size);
    struct slice rest = slice_of(out, size);
    struct header h;

    memset(bytes, 'x', sizeof bytes);
    ck_assert_ptr_eq(
        headers_put(out, slice_of(bytes, HEADERS_NAME_MAX), slice_of(bytes, HEADERS_VALUE_MAX)),
        out + size);
    ck_assert_int_eq(headers_next(&rest, &h), 1);
    ck_assert_uint_eq(h.name.n, HEADERS_NAME_MAX);
    ck_assert_uint_eq(h.value.n, HEADERS_VALUE_MAX);
    ck_assert_int_eq(headers_next(&rest, &h), 0);
    free(out);
}
END_TEST

START_TEST(any_headers_there_and_back)
{
    static const uint8_t bytes[400] = "abcdefghijklmnopqrstuvwxyz";
    struct seeded s = seeded_start();

    for (int i = 0; i < 1000; i++) {
        struct header in[6], got;
        size_t n = seeded_below(&s, ARRAY_LEN(in) + 1), size = 0;
        struct slice rest;
        uint8_t *out, *p;

        for (size_t k = 0; k < n; k++) {
            in[k].name = slice_of(bytes + seeded_below(&s, 26), 1 + seeded_below(&s, 255));
            in[k].value = slice_of(bytes + seeded_below(&s, 26), seeded_below(&s, 300));
            size += headers_size(in[k].name.n, in[k].value.n);
        }
        out = p = malloc(size ? size : 1);
        for (size_t k = 0; k < n; k++)
            p = headers_put(p, in[k].name, in[k].value);
        expect(&s, p == out + size);
        rest = slice_of(out, size);
        for (size_t k = 0; k < n; k++) {
            expect(&s, headers_next(&rest, &got) == 1);
            expect(&s, slice_eq(got.name, in[k].name) && slice_eq(got.value, in[k].value));
        }
        expect(&s, headers_next(&rest, &got) == 0);
        free(out);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("headers");
    TCase *tc = tcase_create("headers");

    tcase_add_loop_test(tc, check, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(tc, first_of_a_name_counts);
    tcase_add_test(tc, largest_header);
    tcase_add_test(tc, any_headers_there_and_back);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
