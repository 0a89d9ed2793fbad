/* Where messages come from, when they are due, how outcomes are summed up; and filters. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "libbroker/cli/match.h"
#include "libbroker/cli/publish.h"

/* A source that reads `text` from a pipe. */
static void open_source(struct cli_source *s, const char *text, size_t len, bool lines)
{
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(write(fds[1], text, len), (ssize_t)len);
    close(fds[1]);
    *s = (struct cli_source){.lines = lines, .read = true};
    cli_reader_init(&s->reader, fds[0], 1 << 20);
}

static void close_source(struct cli_source *s)
{
    close(s->reader.fd);
    cli_reader_fini(&s->reader);
}

/* All messages of a source, each followed by '|'. */
static void gather(struct cli_source *s, char *all)
{
    for (;;) {
        int r = cli_source_peek(s);

        if (r == -ENODATA)
            break;
        if (r == -EAGAIN) {
            ck_assert_int_eq(cli_reader_fill(&s->reader), 0);
            continue;
        }
        ck_assert_int_eq(r, 0);
        memcpy(all, s->data, s->len);
        all += s->len;
        *all++ = '|';
        cli_source_take(s);
    }
    *all = '\0';
}

static const struct {
    const char *text;
    bool lines;
    uint64_t count;
    const char *messages;
} rows[] = {
    {"", true, 0, ""},          {"a\nb\n", true, 0, "a|b|"},
    {"a\nb", true, 0, "a|b|"},  {"\n\nx\n\n", true, 0, "||x||"},
    {"a\r\n", true, 0, "a\r|"}, {"a\nb\nc\n", true, 2, "a|b|"},
    {"", false, 0, "|"},        {"a\nb\n", false, 0, "a\nb\n|"},
    {"a", false, 3, "a|a|a|"},
};

START_TEST(sources)
{
    struct cli_source s;
    char all[64];

    open_source(&s, rows[_i].text, strlen(rows[_i].text), rows[_i].lines);
    s.count = rows[_i].count;
    gather(&s, all);
    ck_assert_str_eq(all, rows[_i].messages);
    close_source(&s);
}
END_TEST

/* A line longer than a read is put together, one above the limit is refused. */
START_TEST(long_lines)
{
    size_t len = 700000, limit = 300000;
    char *text = malloc(len + 1);
    struct cli_source s;
    int fds[2], r;

    memset(text, 'y', len);
    text[len] = '\n';
    for (int small = 0; small < 2; small++) {
        pid_t child;

        ck_assert_int_eq(pipe(fds), 0);
        child = fork();
        if (child == 0) {
            ssize_t n;

            close(fds[0]);
            for (size_t at = 0; at <= len && (n = write(fds[1], text + at, len + 1 - at)) > 0;)
                at += (size_t)n;
            _exit(0);
        }
        close(fds[1]);
        s = (struct cli_source){.lines = true, .read = true};
        cli_reader_init(&s.reader, fds[0], small ? limit : len);
        while ((r = cli_source_peek(&s)) == -EAGAIN) {
            r = cli_reader_fill(&s.reader);
            if (r < 0)
                break;
        }
        ck_assert_int_eq(r, small ? -EFBIG : 0);
        if (!small) {
            ck_assert_uint_eq(s.len, len);
            ck_assert_mem_eq(s.data, text, len);
        }
        close_source(&s);
    }
    free(text);
}
END_TEST

START_TEST(paces)
{
    struct cli_source s = {.rate = 1000, .start_ns = 5000000000};

    ck_assert_int_eq(cli_source_wait_ns(&s, 5000000000), 0);
    s.given = 5;
    ck_assert_int_eq(cli_source_wait_ns(&s, 5000000000), 5000000);
    ck_assert_int_eq(cli_source_wait_ns(&s, 5004999999), 1);
    ck_assert_int_eq(cli_source_wait_ns(&s, 6000000000), 0);
    s.rate = 0;
    ck_assert_int_eq(cli_source_wait_ns(&s, 5000000000), 0);
}
END_TEST

START_TEST(tallies)
{
    struct cli_tally t = {0};
    char why[128];

    cli_tally_add(&t, 5, BROKER_REASON_NONE, 2, 2, false);
    cli_tally_add(&t, 3, BROKER_REASON_FULL, 2, 1, false);
    cli_tally_add(&t, 1, BROKER_REASON_MEMORY, 1, 0, false);
    cli_tally_add(&t, 4, BROKER_REASON_NO_MATCH, 0, 0, false);
    cli_tally_add(&t, 2, BROKER_REASON_NO_MATCH, 0, 0, true);
    cli_tally_add(&t, 7, BROKER_REASON_DROP_NEWEST, 1, 0, false);
    cli_tally_add(&t, 6, BROKER_REASON_NONE, 0, 0, false);
    ck_assert_uint_eq(t.accepted, 5);
    ck_assert_uint_eq(cli_tally_refused(&t), 6);
    ck_assert_uint_eq(cli_tally_dropped(&t), 7);
    ck_assert_uint_eq(t.unmatched, 4);
    ck_assert_uint_eq(t.unknown, 6);
    ck_assert_str_eq(cli_tally_reasons(&t, 0, 20, why, sizeof why), "2 no-match, 3 full, 1 memory");
    ck_assert_str_eq(cli_tally_reasons(&t, 20, 32, why, sizeof why), "7 drop-newest");
}
END_TEST

static const struct {
    const char *filter, *topic;
    bool matches;
} pairs[] = {
    {"a", "a", true},           {"a", "b", false},        {"a", "a.b", false},
    {"a.b", "a", false},        {"a.*", "a.b", true},     {"a.*", "a", false},
    {"a.*", "a.b.c", false},    {"*", "a", true},         {"*.*", "a.b", true},
    {"#", "a.b.c", true},       {"a.#", "a", true},       {"a.#", "a.b.c", true},
    {"a.#", "ab", false},       {"a.*.c", "a.b.c", true}, {"a.*.#", "a.b", true},
    {"a.*.#", "a", false},      {"#", "$SYS.x", false},   {"*.x", "$SYS.x", false},
    {"$SYS.#", "$SYS.x", true}, {"ab", "a", false},
};

START_TEST(filters)
{
    ck_assert_ptr_null(cli_filter_error(pairs[_i].filter));
    ck_assert_ptr_null(cli_topic_error(pairs[_i].topic));
    ck_assert_msg(cli_filter_matches(pairs[_i].filter, pairs[_i].topic) == pairs[_i].matches,
                  "%s, %s", pairs[_i].filter, pairs[_i].topic);
}
END_TEST

START_TEST(bad_names)
{
    static const char *const both[] = {"",     ".",    "a.",
                                       ".a",   "a..b", "a b",
                                       "a\tb", "\xff", "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17"};
    static const char *const filter[] = {"a*", "*a", "a.#.b", "#a", "##", "a.b#"};

    for (size_t i = 0; i < sizeof both / sizeof both[0]; i++) {
        ck_assert_msg(cli_topic_error(both[i]) != NULL, "topic '%s'", both[i]);
        ck_assert_msg(cli_filter_error(both[i]) != NULL, "filter '%s'", both[i]);
    }
    for (size_t i = 0; i < sizeof filter / sizeof filter[0]; i++)
        ck_assert_msg(cli_filter_error(filter[i]) != NULL, "filter '%s'", filter[i]);
    ck_assert_ptr_nonnull(cli_topic_error("a.*"));
    ck_assert_ptr_nonnull(cli_topic_error("#"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli/publish");
    TCase *tc = tcase_create("publish");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, sources, 0, (int)(sizeof rows / sizeof rows[0]));
    tcase_add_test(tc, long_lines);
    tcase_add_test(tc, paces);
    tcase_add_test(tc, tallies);
    tcase_add_loop_test(tc, filters, 0, (int)(sizeof pairs / sizeof pairs[0]));
    tcase_add_test(tc, bad_names);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
