/* Lines of the log: formats, escapes, levels, traces, the rate limit. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbroker/base/log.h"

static int ends[2]; /* of the pipe the log is read from */

static void open_pipe(void)
{
    unsetenv("BROKERD_TRACE");
    unsetenv("JOURNAL_STREAM");
    unsetenv("INVOCATION_ID");
    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    log_set_fd(ends[1]);
}

static void close_pipe(void)
{
    close(ends[0]);
    close(ends[1]);
}

/* What was written since the last call. */
static const char *written(void)
{
    static char buf[65536];
    ssize_t n = read(ends[0], buf, sizeof buf - 1);

    buf[n > 0 ? n : 0] = '\0';
    return buf;
}

START_TEST(levels)
{
    log_setup(LEVEL_NOTICE, LOG_FORMAT_PRIORITY);
    log_error("one %d", 1);
    ck_assert_str_eq(written(), "<3>one 1\n");
    log_warning("two");
    log_notice("three");
    log_info("four");
    log_debug("five");
    ck_assert_str_eq(written(), "<4>two\n<5>three\n");
    log_setup(LEVEL_DEBUG, LOG_FORMAT_PRIORITY);
    log_info("four");
    log_debug("five");
    ck_assert_str_eq(written(), "<6>four\n<7>five\n");
    ck_assert(log_enabled(LEVEL_DEBUG));
}
END_TEST

START_TEST(formats)
{
    const char *line;

    log_setup(LEVEL_NOTICE, LOG_FORMAT_AUTO);
    log_notice("hello");
    line = written(); /* 2026-01-01 00:00:00.000 notice: hello */
    ck_assert_uint_eq(strspn(line, "0123456789-: ."), 24);
    ck_assert_str_eq(line + 24, "notice: hello\n");
    ck_assert_int_eq(setenv("INVOCATION_ID", "x", 1), 0);
    log_setup(LEVEL_NOTICE, LOG_FORMAT_AUTO);
    log_notice("hello");
    ck_assert_str_eq(written(), "<5>hello\n");
    log_setup(LEVEL_NOTICE, LOG_FORMAT_JSON);
    log_notice("hello");
    line = written(); /* {"time":"2026-01-01T00:00:00.000Z","level":... */
    ck_assert_msg(strncmp(line, "{\"time\":\"", 9) == 0, "%s", line);
    ck_assert_str_eq(line + 9 + 24, "\",\"level\":\"notice\",\"text\":\"hello\"}\n");
}
END_TEST

static const struct {
    const char *text, *priority, *json;
} escapes[] = {
    {"a\nb", "a\\x0ab", "a\\u000ab"},
    {"a\x1b[31m", "a\\x1b[31m", "a\\u001b[31m"},
    {"a\x7f", "a\\x7f", "a\\u007f"},
    {"a\xc2\x85", "a\\xc2\\x85", "a\\u0085"},
    {"a\xff", "a\\xff", "a\\\\xff"},
    {"say \"\\\"", "say \"\\\"", "say \\\"\\\\\\\""},
    {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
};

START_TEST(foreign_text_cannot_forge)
{
    char want[128];

    log_setup(LEVEL_NOTICE, LOG_FORMAT_PRIORITY);
    log_notice("%s", escapes[_i].text);
    snprintf(want, sizeof want, "<5>%s\n", escapes[_i].priority);
    ck_assert_str_eq(written(), want);
    log_setup(LEVEL_NOTICE, LOG_FORMAT_JSON);
    log_notice("%s", escapes[_i].text);
    snprintf(want, sizeof want, "\"text\":\"%s\"}\n", escapes[_i].json);
    ck_assert_ptr_nonnull(strstr(written(), want));
}
END_TEST

/* Around the longest line: whole, or cut with a mark, never half a character. */
START_TEST(long_lines_are_cut)
{
    static char text[LOG_LINE_MAX + 8];
    const char *line;
    size_t n = LOG_LINE_MAX - 24 + (size_t)_i;

    log_setup(LEVEL_NOTICE, LOG_FORMAT_PRIORITY);
    memset(text, 'x', n);
    text[n] = '\0';
    log_notice("%s", text);
    line = written();
    ck_assert_uint_le(strlen(line), LOG_LINE_MAX);
    ck_assert_int_eq(line[strlen(line) - 1], '\n');
    ck_assert(strlen(line) == n + 4 || strstr(line, "x...\n") != NULL);
    memcpy(text + n - 2, "\xc3\xbc", 2);
    log_notice("%s", text);
    line = written();
    ck_assert_ptr_null(strstr(line, "\\x"));
    ck_assert_int_eq(line[strlen(line) - 1], '\n');
}
END_TEST

START_TEST(errno_is_kept)
{
    log_setup(LEVEL_NOTICE, LOG_FORMAT_PRIORITY);
    errno = ENOENT;
    log_notice("%m");
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_str_eq(written(), "<5>No such file or directory\n");
    log_set_fd(-1); /* nowhere to write: no crash, errno still the caller's */
    log_notice("lost");
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(traces_by_area)
{
    ck_assert_int_eq(setenv("BROKERD_TRACE", _i ? "all" : "doors,store", 1), 0);
    ck_assert(!log_traces("doors"));
    log_setup(LEVEL_NOTICE, LOG_FORMAT_PRIORITY);
    ck_assert(log_traces("doors"));
    ck_assert(log_traces("store"));
    ck_assert(log_traces("core") == (_i == 1));
    ck_assert(log_traces("door") == (_i == 1));
    log_trace("doors", "frame %d", 7);
    ck_assert_str_eq(written(), "<7>doors: frame 7\n");
}
END_TEST

START_TEST(words)
{
    enum log_level level = LEVEL_ERROR;
    enum log_format format = LOG_FORMAT_PLAIN;

    for (int i = LEVEL_ERROR; i <= LEVEL_DEBUG; i++) {
        ck_assert_int_eq(log_level_parse(slice_str(log_level_name((enum log_level)i)), &level), 0);
        ck_assert_int_eq(level, i);
    }
    for (int i = LOG_FORMAT_AUTO; i <= LOG_FORMAT_JSON; i++) {
        ck_assert_int_eq(log_format_parse(slice_str(log_format_name((enum log_format)i)), &format),
                         0);
        ck_assert_int_eq(format, i);
    }
    ck_assert_int_eq(log_level_parse(SLICE("loud"), &level), -EINVAL);
    ck_assert_int_eq(log_format_parse(SLICE("xml"), &format), -EINVAL);
}
END_TEST

START_TEST(limit_says_what_it_kept_back)
{
    struct log_limit limit = {.burst = 2, .per_ms = 1000};
    uint64_t suppressed = 99;

    ck_assert(log_limit_pass(&limit, 5000, &suppressed));
    ck_assert_uint_eq(suppressed, 0);
    ck_assert(log_limit_pass(&limit, 5001, &suppressed));
    ck_assert(!log_limit_pass(&limit, 5002, &suppressed));
    ck_assert(!log_limit_pass(&limit, 5999, &suppressed));
    ck_assert_uint_eq(suppressed, 0);
    ck_assert(log_limit_pass(&limit, 6000, &suppressed));
    ck_assert_uint_eq(suppressed, 2);
    ck_assert(log_limit_pass(&limit, 6001, &suppressed));
    ck_assert_uint_eq(suppressed, 0);
}
END_TEST

static const struct {
    const char *text;      /* of the fact `queue` */
    const char *line;      /* as it is written, */
    const char *json_line; /* and as JSON has it */
} facts[] = {
    {"orders", "queue=orders", "\"queue\":\"orders\""},
    {"a b", "queue=\"a b\"", "\"queue\":\"a b\""},
    {"a\"b", "queue=\"a\\\"b\"", "\"queue\":\"a\\\"b\""},
    {"a\\", "queue=\"a\\\\\"", "\"queue\":\"a\\\\\""},
    {"a=b", "queue=\"a=b\"", "\"queue\":\"a=b\""},
    {"a\nevent=x", "queue=\"a\\u000aevent=x\"", "\"queue\":\"a\\u000aevent=x\""},
    {"\xc3\xbc", "queue=\"\xc3\xbc\"", "\"queue\":\"\xc3\xbc\""},
    {"\xff", "queue=\"\\\\xff\"", "\"queue\":\"\\\\xff\""},
};

START_TEST(facts_are_keys_and_values)
{
    const struct log_fact *f = LOG_FACTS({"queue", facts[_i].text, 0}, {"client", "", 0},
                                         {"count", NULL, 7}, {"more", NULL, 0});
    char want[256];

    log_setup(LEVEL_NOTICE, LOG_FORMAT_PRIORITY);
    log_event(LEVEL_NOTICE, "lost", f, "%d were lost", 7);
    snprintf(want, sizeof want, "<5>7 were lost | event=lost %s count=7\n", facts[_i].line);
    ck_assert_str_eq(written(), want);
    log_setup(LEVEL_NOTICE, LOG_FORMAT_JSON);
    log_event(LEVEL_NOTICE, "lost", f, "%d were lost", 7);
    snprintf(want, sizeof want, "\"text\":\"7 were lost\",\"event\":\"lost\",%s,\"count\":7}\n",
             facts[_i].json_line);
    ck_assert_ptr_nonnull(strstr(written(), want));
    log_event(LEVEL_INFO, "lost", f, "not so loud");
    ck_assert_str_eq(written(), "");
}
END_TEST

/* A long text leaves room for the facts; facts that are too long are cut, within their quotes. */
START_TEST(facts_find_room)
{
    static char text[2 * LOG_LINE_MAX];
    size_t n;
    const char *line;

    log_setup(LEVEL_NOTICE, LOG_FORMAT_JSON);
    memset(text, 'x', sizeof text - 1);
    memcpy(text + LOG_LINE_MAX / 2 - 2, "\xc3\xbc", 2);
    log_event(LEVEL_NOTICE, "e", LOG_FACTS({"queue", "q", 0}), "%s", text);
    line = written();
    ck_assert_ptr_nonnull(strstr(line, "x...\",\"event\":\"e\",\"queue\":\"q\"}\n"));
    for (n = LOG_LINE_MAX - 160; n < LOG_LINE_MAX; n++) {
        memset(text, 'y', n);
        text[n] = '\0';
        log_event(LEVEL_NOTICE, "e",
                  LOG_FACTS({"queue", text, 0}, {"client", "abc", 0}, {"n", NULL, 12345}), "t");
        line = written();
        ck_assert_uint_le(strlen(line), LOG_LINE_MAX);
        ck_assert_msg(strstr(line, "\"}\n") || strstr(line, ":12345}\n"), "%s", line);
    }
    log_setup(LEVEL_NOTICE, LOG_FORMAT_PRIORITY);
    log_event(LEVEL_NOTICE, "e", LOG_FACTS({"queue", text, 0}), "t");
    line = written();
    ck_assert_int_eq(line[strlen(line) - 1], '\n');
    ck_assert_uint_le(strlen(line), LOG_LINE_MAX);
}
END_TEST

static void *write_lines(void *arg)
{
    for (int i = 0; i < 200; i++) {
        log_notice("%s", (const char *)arg);
        log_setup(LEVEL_NOTICE, LOG_FORMAT_PRIORITY);
    }
    return NULL;
}

START_TEST(lines_of_threads_do_not_mix)
{
    pthread_t threads[2];
    static char names[2][32] = {"aaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbb"};
    int lines = 0;

    log_setup(LEVEL_NOTICE, LOG_FORMAT_PRIORITY);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    for (const char *at = written(); *at; at += 28, lines++)
        ck_assert(strncmp(at, "<5>", 3) == 0 && at[27] == '\n' &&
                  strspn(at + 3, at[3] == 'a' ? "a" : "b") == 24);
    ck_assert_int_eq(lines, 400);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log");
    TCase *tc = tcase_create("log");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, open_pipe, close_pipe);
    tcase_add_test(tc, levels);
    tcase_add_test(tc, formats);
    tcase_add_loop_test(tc, foreign_text_cannot_forge, 0, (int)(sizeof escapes / sizeof *escapes));
    tcase_add_loop_test(tc, long_lines_are_cut, 0, 30);
    tcase_add_test(tc, errno_is_kept);
    tcase_add_loop_test(tc, traces_by_area, 0, 2);
    tcase_add_test(tc, words);
    tcase_add_test(tc, limit_says_what_it_kept_back);
    tcase_add_loop_test(tc, facts_are_keys_and_values, 0, (int)(sizeof facts / sizeof *facts));
    tcase_add_test(tc, facts_find_room);
    tcase_add_test(tc, lines_of_threads_do_not_mix);
    suite_add_tcase(s, tc);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
