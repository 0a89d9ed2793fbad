/* Text is told from bytes at each edge of UTF-8, and big-endian integers keep their value. */
#include "tests/unit/support.h"

#include "libbroker/base/be.h"
#include "libbroker/base/utf8.h"

static const struct {
    const char *name, *bytes;
    bool valid, printable;
} rows[] = {
    {"nothing", "", true, true},
    {"ASCII", "20 41 7e", true, true},
    {"a zero byte", "00", true, false},
    {"the last C0 control", "1f", true, false},
    {"DEL", "7f", true, false},
    {"the first of two bytes, a C1 control", "c280", true, false},
    {"the last C1 control", "c29f", true, false},
    {"the first after it", "c2a0", true, true},
    {"the last of two bytes", "dfbf", true, true},
    {"two bytes, overlong", "c1bf", false, false},
    {"the first of three bytes", "e0a080", true, true},
    {"three bytes, overlong", "e09fbf", false, false},
    {"the last before the surrogates", "ed9fbf", true, true},
    {"the first surrogate", "eda080", false, false},
    {"the last surrogate", "edbfbf", false, false},
    {"the first after them", "ee8080", true, true},
    {"the first of four bytes", "f0908080", true, true},
    {"four bytes, overlong", "f08fbfbf", false, false},
    {"the last character", "f48fbfbf", true, true},
    {"one beyond it", "f4908080", false, false},
    {"a lead byte of no character", "f5808080", false, false},
    {"five bytes, of which four look good", "f890808080", false, false},
    {"a lead byte of all ones", "ff", false, false},
    {"a stray continuation", "80", false, false},
    {"two bytes cut short", "c3", false, false},
    {"three bytes cut short", "e282", false, false},
    {"four bytes cut short", "f09f98", false, false},
    {"a character broken off by another", "e28241", false, false},
    {"good, then bad", "41 c3", false, false},
};

START_TEST(text)
{
    struct slice in = hex(rows[_i].bytes);

    ck_assert_msg(utf8_valid(in) == rows[_i].valid, "%s", rows[_i].name);
    ck_assert_msg(utf8_printable(in) == rows[_i].printable, "%s", rows[_i].name);
    free((void *)in.p);
}
END_TEST

/* In pieces it is what it is whole, and what cannot become text is told at the first such byte. */
START_TEST(text_in_pieces)
{
    struct slice in = hex(rows[_i].bytes);

    for (size_t step = 1; step <= in.n; step++) {
        struct utf8 u = {0};

        for (size_t at = 0; at < in.n; at += step)
            (void)utf8_more(&u, slice_of(in.p + at, in.n - at < step ? in.n - at : step));
        ck_assert_msg(utf8_whole(&u) == rows[_i].valid, "%s, by %zu", rows[_i].name, step);
    }
    free((void *)in.p);
}
END_TEST

START_TEST(what_cannot_become_text_is_told_early)
{
    static const struct {
        const char *bytes;
        unsigned bad_at; /* the byte that makes it hopeless */
    } early[] = {{"41eda0", 2}, {"f490", 1}, {"f08f", 1}, {"e09f", 1}, {"c0", 0}, {"41e241", 2}};

    for (size_t i = 0; i < ARRAY_LEN(early); i++) {
        struct slice in = hex(early[i].bytes);
        struct utf8 u = {0};

        for (unsigned at = 0; at < in.n; at++)
            ck_assert_msg(utf8_more(&u, slice_of(in.p + at, 1)) == (at < early[i].bad_at), "%s %u",
                          early[i].bytes, at);
        free((void *)in.p);
    }
}
END_TEST

START_TEST(integers)
{
    uint8_t out[17];
    uint8_t *p = be_put_64(be_put_32(be_put_24(be_put_16(out, 0x0102), 0x030405), 0x86070809),
                           0x8a0b0c0d0e0f1011);
    struct slice want = hex("0102030405860708098a0b0c0d0e0f1011");

    ck_assert_ptr_eq(p, out + sizeof out);
    ck_assert_mem_eq(out, want.p, want.n);
    ck_assert_uint_eq(be_get_16(out), 0x0102);
    ck_assert_uint_eq(be_get_24(out + 2), 0x030405);
    ck_assert_uint_eq(be_get_32(out + 5), 0x86070809);
    ck_assert_uint_eq(be_get_64(out + 9), 0x8a0b0c0d0e0f1011);
    free((void *)want.p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("utf8");
    TCase *tc = tcase_create("utf8");

    tcase_add_loop_test(tc, text, 0, (int)ARRAY_LEN(rows));
    tcase_add_loop_test(tc, text_in_pieces, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(tc, what_cannot_become_text_is_told_early);
    tcase_add_test(tc, integers);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
