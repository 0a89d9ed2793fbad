/* Bodies in chunks: what is accepted, and that it does not matter how they are cut. */
#include "tests/unit/support.h"

#include "libbroker/wire/http_chunks.h"

static const struct {
    const char *in, *body; /* NULL: bad */
    size_t rest;           /* bytes behind the end */
} rows[] = {
    {"0\r\n\r\n", "", 0},
    {"3\r\nabc\r\n0\r\n\r\n", "abc", 0},
    {"3\r\nabc\r\n0\r\n\r\nGET /", "abc", 5},
    {"1\r\na\r\n1\r\nb\r\n00\r\n\r\n", "ab", 0},
    {"A\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0},
    {"a;name=value\r\n0123456789\r\n0;x\r\n\r\n", "0123456789", 0},
    {"1 \t;x\r\na\r\n0\r\n\r\n", "a", 0},
    {"2\r\n\r\n\r\n0\r\n\r\n", "\r\n", 0},
    {"1\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\n", "a", 0},
    {"\r\n", NULL, 0},
    {"g\r\n", NULL, 0},
    {"-1\r\n", NULL, 0},
    {"0x1\r\n", NULL, 0},
    {"1;\r\na", NULL, 0},
    {" 1\r\na", NULL, 0},
    {"1 1\r\na", NULL, 0},
    {"1\na", NULL, 0},
    {"1\r\nab\r\n", NULL, 0},
    {"1\r\na\n", NULL, 0},
    {"1;\1\r\na", NULL, 0},
    {"1;a\rb\r\na", NULL, 0},
    {"0\r\nno field\r\n\r\n", NULL, 0},
    {"0\r\nX: a\r\n b\r\n\r\n", NULL, 0},
    {"0\r\n\n", NULL, 0},
    {"fffffffffffffff\r\nabc", "abc", 0}, /* unfinished */
    {"ffffffffffffffff\r\nabc", NULL, 0},
};

/* Read it, `step` bytes more at a time, of each piece at most `most`. NULL: bad. */
static char *read_all(const char *in, size_t step, size_t most, size_t *ret_rest, bool *ret_done)
{
    struct http_chunks s = {0};
    size_t all = strlen(in), have = 0, at = 0, n = 0;
    char *body = calloc(1, all + 1);

    while (!s.done && (at < have || have < all)) {
        const char *why = NULL;
        struct slice piece, given;
        enum wire_status r;
        size_t used;

        given = exact(slice_of(in + at, have - at));
        r = http_chunks_next(&s, given, &piece, &used, &why);
        ck_assert_uint_le(used, given.n);
        if (r == WIRE_FRAME && piece.n > most) {
            http_chunks_back(&s, piece.n - most);
            used -= piece.n - most;
            piece.n = most;
        }
        if (r == WIRE_FRAME)
            memcpy(body + n, piece.p, piece.n);
        free((void *)(uintptr_t)given.p);
        if (r == WIRE_BAD) {
            ck_assert_ptr_nonnull(why);
            free(body);
            return NULL;
        }
        if (r == WIRE_FRAME) {
            ck_assert_uint_gt(used, 0);
            n += piece.n;
            at += used;
        } else if (have == all) {
            break;
        } else {
            have = all - have < step ? all : have + step;
        }
    }
    *ret_rest = all - at;
    *ret_done = s.done;
    return body;
}

START_TEST(chunks)
{
    for (size_t step = 1; step < 30; step += 4) {
        for (size_t most = 1; most < 10; most += 4) {
            size_t rest = 0;
            bool done = false;
            char *body = read_all(rows[_i].in, step, most, &rest, &done);

            ck_assert_msg((body != NULL) == (rows[_i].body != NULL), "%s", rows[_i].in);
            if (!body)
                continue;
            ck_assert_str_eq(body, rows[_i].body);
            if (done)
                ck_assert_uint_eq(rest, rows[_i].rest);
            free(body);
        }
    }
}
END_TEST

/* What stands between chunks has a bound. */
START_TEST(long_lines)
{
    static char line[20000];
    struct http_chunks s = {0};
    struct slice piece;
    const char *why;
    size_t used, n = 0;

    memset(line, 'x', sizeof line);
    memcpy(line, "1;", 2);
    ck_assert_int_eq(http_chunks_next(&s, slice_of(line, 1023), &piece, &used, &why), WIRE_MORE);
    ck_assert_int_eq(http_chunks_next(&s, slice_of(line, 1024), &piece, &used, &why), WIRE_BAD);
    s = (struct http_chunks){0};
    ck_assert_int_eq(http_chunks_next(&s, SLICE("0\r\n"), &piece, &used, &why), WIRE_FRAME);
    while (http_chunks_next(&s, SLICE("Name: value\r\n"), &piece, &used, &why) == WIRE_FRAME)
        n += used;
    ck_assert(n > 8000 && n <= 8192);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http chunks");
    TCase *tc = tcase_create("http chunks");

    tcase_add_loop_test(tc, chunks, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(tc, long_lines);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
