/* Bytes and numbers as people and programs read them; tables; histograms. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbroker/cli/hist.h"
#include "libbroker/cli/json.h"
#include "libbroker/cli/text.h"

#define BYTES(s) s, sizeof(s) - 1

static const struct {
    const char *in;
    size_t len;
    bool utf8;
    const char *plain, *json, *base64; /* json: only where it is UTF-8 */
} rows[] = {
    {BYTES(""), true, "", "\"\"", ""},
    {BYTES("a"), true, "a", "\"a\"", "YQ=="},
    {BYTES("ab"), true, "ab", "\"ab\"", "YWI="},
    {BYTES("abc"), true, "abc", "\"abc\"", "YWJj"},
    {BYTES("a\0b"), true, "a\\x00b", "\"a\\u0000b\"", "YQBi"},
    {BYTES("\n\t\r\\"), true, "\\n\\t\\r\\\\", "\"\\n\\t\\r\\\\\"", "CgkNXA=="},
    {BYTES("\"\b\f\x1b"), true, "\"\\x08\\x0c\\x1b", "\"\\\"\\b\\f\\u001b\"", "IggMGw=="},
    {BYTES("nt"), true, "nt", "\"nt\"", "bnQ="},
    {BYTES("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), true, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
     "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"", "w6Tigqzwn5iA"},
    {BYTES("\xc2\x9b"), true, "\\xc2\\x9b", "\"\\u009b\"", "wps="}, /* CSI of C1 */
    {BYTES("\xff\xfe"), false, "\\xff\\xfe", NULL, "//4="},
    {BYTES("\xc0\x80"), false, "\\xc0\\x80", NULL, "wIA="},          /* overlong */
    {BYTES("\xed\xa0\x80"), false, "\\xed\\xa0\\x80", NULL, "7aCA"}, /* surrogate */
    {BYTES("\xf4\x90\x80\x80"), false, "\\xf4\\x90\\x80\\x80", NULL, "9JCAgA=="},
    {BYTES("\xe2\x82"), false, "\\xe2\\x82", NULL, "4oI="}, /* cut short */
};

START_TEST(what_is_shown)
{
    const char bad[] = "a\x1b[2J\xc2\x9b\n\\\xff", fit[] = "\\ \xc3\xa4";
    char *plain = cli_plain(bad, sizeof bad - 1);
    json_t *o = json_pack("{s:s,s:s}", "fit", fit, "bad", "x\x1b]0;y\x07");

    ck_assert_str_eq(plain, "a\\x1b[2J\\xc2\\x9b\\n\\\\\\xff");
    free(plain);
    ck_assert_ptr_null(cli_plain(fit, sizeof fit - 1));
    ck_assert_str_eq(cli_json_text(o, "fit"), fit);
    ck_assert_str_eq(cli_json_text(o, "bad"), "x\\x1b]0;y\\x07");
    ck_assert_str_eq(cli_json_text(o, "bad"), "x\\x1b]0;y\\x07");
    ck_assert_str_eq(cli_json_text(o, "none"), "");
    json_decref(o);
}
END_TEST

static void expect(struct cli_out *o, const char *text)
{
    ck_assert_uint_eq(cli_out_waiting(o), strlen(text));
    if (*text)
        ck_assert_mem_eq(o->buf + o->begin, text, strlen(text));
    o->begin = o->end = 0;
}

START_TEST(writes_bytes)
{
    struct cli_out o;

    cli_out_init(&o, STDOUT_FILENO);
    ck_assert(cli_is_utf8(rows[_i].in, rows[_i].len) == rows[_i].utf8);
    ck_assert_int_eq(cli_put_plain(&o, rows[_i].in, rows[_i].len), 0);
    expect(&o, rows[_i].plain);
    ck_assert_int_eq(cli_put_base64(&o, rows[_i].in, rows[_i].len), 0);
    expect(&o, rows[_i].base64);
    if (rows[_i].utf8) {
        ck_assert_int_eq(cli_put_json(&o, rows[_i].in, rows[_i].len), 0);
        expect(&o, rows[_i].json);
    }
    cli_out_fini(&o);
}
END_TEST

START_TEST(reads_base64)
{
    static const char *const bad[] = {"YQ=",  "Y",    "Y===",    "YW=j",
                                      "YQ =", "====", "YWJ\xff", "YQ-_"};
    uint8_t back[64];
    size_t n;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert(cli_take_base64(rows[i].base64, strlen(rows[i].base64), back, &n));
        ck_assert_uint_eq(n, rows[i].len);
        ck_assert(n == 0 || memcmp(back, rows[i].in, n) == 0);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!cli_take_base64(bad[i], strlen(bad[i]), back, &n), "%s", bad[i]);
}
END_TEST

START_TEST(writes_hex)
{
    struct cli_out o;

    cli_out_init(&o, STDOUT_FILENO);
    ck_assert_int_eq(cli_put_hex(&o, "\x00\x7f\xff", 3), 0);
    expect(&o, "007fff");
    cli_out_fini(&o);
}
END_TEST

static void on_alarm(int number)
{
    (void)number;
}

START_TEST(output_grows_and_flushes)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct cli_out o;
    int fds[2];
    char *big = malloc(160 << 10), *back = malloc(160 << 10);
    size_t got = 0, put = 0;

    sigaction(SIGALRM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(pipe(fds), 0);
    memset(big, 'x', 160 << 10);
    cli_out_init(&o, fds[1]);
    ck_assert_int_eq(cli_out_put(&o, "head", 4), 0);
    ck_assert_int_eq(cli_out_flush(&o), 0);
    ck_assert_int_eq(read(fds[0], back, 160 << 10), 4);
    for (; put < 160 << 10; put += 1 << 15)
        ck_assert_int_eq(cli_out_put(&o, big + put, 1 << 15), 0);
    ck_assert_uint_eq(cli_out_waiting(&o), 160 << 10);
    /* A pipe nobody reads takes some of it; SIGALRM ends the wait. */
    ck_assert_int_eq(cli_out_flush(&o), -EAGAIN);
    while (got < 160 << 10) {
        ssize_t n = read(fds[0], back + got, (160 << 10) - got);

        ck_assert_int_gt(n, 0);
        got += (size_t)n;
        if (cli_out_waiting(&o) > 0)
            (void)cli_out_flush(&o);
    }
    ck_assert_mem_eq(big, back, 160 << 10);
    close(fds[0]);
    ck_assert_int_eq(cli_out_put(&o, "x", 1), 0);
    ck_assert_int_eq(cli_out_flush(&o), -EPIPE);
    cli_out_fini(&o);
    close(fds[1]);
    free(big);
    free(back);
}
END_TEST

START_TEST(numbers)
{
    char b[CLI_NUMBER_MAX];

    ck_assert_str_eq(cli_size_text(0, b), "0 B");
    ck_assert_str_eq(cli_size_text(1023, b), "1023 B");
    ck_assert_str_eq(cli_size_text(1536, b), "1.5 KiB");
    ck_assert_str_eq(cli_size_text(UINT64_MAX, b), "16384 PiB");
    ck_assert_str_eq(cli_count_text(0, b), "0");
    ck_assert_str_eq(cli_count_text(999, b), "999");
    ck_assert_str_eq(cli_count_text(1000, b), "1,000");
    ck_assert_str_eq(cli_count_text(UINT64_MAX, b), "18,446,744,073,709,551,615");
    ck_assert_str_eq(cli_time_text(999, b), "999 ms");
    ck_assert_str_eq(cli_time_text(12500, b), "12.5 s");
    ck_assert_str_eq(cli_time_text(61000, b), "1 min 1 s");
    ck_assert_str_eq(cli_time_text(12000000, b), "3 h 20 min");
    ck_assert_str_eq(cli_time_text(90000000, b), "1 d 1 h");
    ck_assert_str_eq(cli_latency_text(999, b), "999 ns");
    ck_assert_str_eq(cli_latency_text(12500, b), "12.5 us");
    ck_assert_str_eq(cli_latency_text(3420000, b), "3.42 ms");
    ck_assert_str_eq(cli_latency_text(1200000000, b), "1.20 s");
}
END_TEST

START_TEST(tables)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    struct cli_table *t = cli_table_new("name|>n|note");

    cli_table_add(t, "\xc3\xa4");
    cli_table_add(t, "%d", 5);
    cli_table_add(t, "x");
    cli_table_add(t, "longer");
    cli_table_add(t, "%d", 1234);
    cli_table_add(t, "%s", "");
    cli_table_print(t, f);
    fclose(f);
    ck_assert_str_eq(text, "name       n  note\n"
                           "\xc3\xa4          5  x\n"
                           "longer  1234  \n");
    free(text);
}
END_TEST

START_TEST(percentiles)
{
    struct cli_hist *h = calloc(1, sizeof *h), *other = calloc(1, sizeof *other);

    ck_assert_uint_eq(cli_hist_at(h, 0.5), 0);
    ck_assert_uint_eq(cli_hist_mean(h), 0);
    for (uint64_t i = 1; i <= 100000; i++)
        cli_hist_add(i % 2 ? h : other, i);
    cli_hist_merge(h, other);
    ck_assert_uint_eq(h->n, 100000);
    ck_assert_uint_eq(cli_hist_mean(h), 50000);
    for (int p = 1; p <= 99; p++) {
        double truth = p * 1000.0, got = (double)cli_hist_at(h, p / 100.0);

        ck_assert_msg(got >= truth && got <= truth * 1.0323, "p%d: %f", p, got);
    }
    ck_assert_uint_eq(cli_hist_at(h, 1.0), 100000);
    cli_hist_add(h, UINT64_MAX);
    ck_assert_uint_eq(cli_hist_at(h, 1.0), UINT64_MAX);
    free(h);
    free(other);
}
END_TEST

/* Each value lies in a bucket that ends at most 1/32 above it. */
START_TEST(buckets_are_narrow)
{
    for (int shift = 0; shift < 64; shift++) {
        for (int d = -1; d <= 1; d++) {
            uint64_t v = (UINT64_C(1) << shift) + (uint64_t)d, got;
            struct cli_hist *h = calloc(1, sizeof *h);

            cli_hist_add(h, v);
            h->max = UINT64_MAX; /* so that the bucket's end shows */
            got = cli_hist_at(h, 0.5);
            ck_assert_msg(got >= v && got - v <= v / 32, "%llu gives %llu", (unsigned long long)v,
                          (unsigned long long)got);
            free(h);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli/text");
    TCase *tc = tcase_create("text");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, what_is_shown);
    tcase_add_loop_test(tc, writes_bytes, 0, (int)(sizeof rows / sizeof rows[0]));
    tcase_add_test(tc, reads_base64);
    tcase_add_test(tc, writes_hex);
    tcase_add_test(tc, output_grows_and_flushes);
    tcase_add_test(tc, numbers);
    tcase_add_test(tc, tables);
    tcase_add_test(tc, percentiles);
    tcase_add_test(tc, buckets_are_narrow);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
