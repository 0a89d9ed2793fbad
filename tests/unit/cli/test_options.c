/* A command line is read by its table: letters, names, values, what is wrong; numbers with units.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libbroker/cli/options.h"

struct opts {
    bool flag, other;
    const char *text, *word;
    uint64_t count, size, time_ms;
    struct cli_list list;
};

static const char *const words[] = {"red", "green", NULL};

static const struct cli_option table[] = {
    {"flag", 'f', CLI_FLAG, offsetof(struct opts, flag), NULL, "a flag", NULL},
    {"other", 'o', CLI_FLAG, offsetof(struct opts, other), NULL, "another", NULL},
    {"text", 't', CLI_TEXT, offsetof(struct opts, text), "TEXT", "a text", NULL},
    {"word", 0, CLI_WORD, offsetof(struct opts, word), "WORD", "a word", words},
    {"count", 'n', CLI_COUNT, offsetof(struct opts, count), "N", "a count", NULL},
    {"size", 0, CLI_SIZE, offsetof(struct opts, size), "SIZE", "a size", NULL},
    {"time", 0, CLI_TIME, offsetof(struct opts, time_ms), "TIME", "a time", NULL},
    {"list", 'l', CLI_LIST, offsetof(struct opts, list), "TEXT", "texts", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

enum { MOST = 12 };

/* Split `line` at blanks and read it; the arguments joined by blanks in `args`. */
static int parse(char *line, struct opts *o, char *args, char *err, size_t err_size)
{
    struct cli_target target = {table, o};
    char *argv[MOST], *save = NULL;
    size_t argc = 0, n = 0;
    int r;

    for (char *w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    memset(o, 0, sizeof *o);
    err[0] = args[0] = '\0';
    r = cli_options_parse(&target, 1, argv, argc, &n, err, err_size);
    for (size_t i = 0; r == 0 && i < n; i++) {
        strcat(args, i ? " " : "");
        strcat(args, argv[i]);
    }
    return r;
}

static const struct {
    const char *line, *args;
    bool flag, other;
    const char *text;
    uint64_t count;
} good[] = {
    {"", "", false, false, NULL, 0},
    {"a b", "a b", false, false, NULL, 0},
    {"-f a", "a", true, false, NULL, 0},
    {"a -fo b", "a b", true, true, NULL, 0},
    {"-fn3 a", "a", true, false, NULL, 3},
    {"-n 3 -t x", "", false, false, "x", 3},
    {"--count=7 --text=", "", false, false, "", 7},
    {"--text --flag", "", false, false, "--flag", 0},
    {"--flag -- -o --count", "-o --count", true, false, NULL, 0},
    {"a - b", "a - b", false, false, NULL, 0},
    {"-n 3 -n 4", "", false, false, NULL, 4},
};

START_TEST(reads)
{
    char line[128], args[128], err[256];
    struct opts o;

    strcpy(line, good[_i].line);
    ck_assert_int_eq(parse(line, &o, args, err, sizeof err), 0);
    ck_assert_str_eq(args, good[_i].args);
    ck_assert(o.flag == good[_i].flag && o.other == good[_i].other);
    ck_assert_pstr_eq(o.text, good[_i].text);
    ck_assert_uint_eq(o.count, good[_i].count);
}
END_TEST

static const struct {
    const char *line, *err; /* the text begins so */
} bad[] = {
    {"--nothing", "there is no option --nothing"},
    {"--fla", "there is no option --fla"},
    {"-x", "there is no option -x"},
    {"-fx", "there is no option -x"},
    {"--flag=1", "--flag takes no value"},
    {"--text", "--text wants a value: TEXT"},
    {"-n", "--count wants a value: N"},
    {"-n 0", "--count wants a whole number"},
    {"-n 1x", "--count wants a whole number"},
    {"-n -1", "--count wants a whole number"},
    {"--word blue", "--word wants one of red, green, not \"blue\""},
    {"--time 0", "--time wants a time"},
    {"--size 1KB", "--size wants a size"},
    {"--size", "--size wants a value"},
};

START_TEST(refuses)
{
    char line[128], args[128], err[256];
    struct opts o;

    strcpy(line, bad[_i].line);
    ck_assert_int_eq(parse(line, &o, args, err, sizeof err), -EINVAL);
    ck_assert_msg(strncmp(err, bad[_i].err, strlen(bad[_i].err)) == 0, "'%s': %s", bad[_i].line,
                  err);
}
END_TEST

START_TEST(collects)
{
    char line[] = "-l a --list=b -lc --word green --time 2m --size 0", args[128], err[256];
    struct opts o;

    ck_assert_int_eq(parse(line, &o, args, err, sizeof err), 0);
    ck_assert_uint_eq(o.list.n, 3);
    ck_assert_str_eq(o.list.item[0], "a");
    ck_assert_str_eq(o.list.item[1], "b");
    ck_assert_str_eq(o.list.item[2], "c");
    ck_assert_str_eq(o.word, "green");
    ck_assert_uint_eq(o.time_ms, 120000);
    ck_assert_uint_eq(o.size, 1); /* one more than the number */
    free(o.list.item);
}
END_TEST

START_TEST(numbers)
{
    uint64_t n = 0;

    ck_assert_int_eq(cli_parse_count("18446744073709551616", &n), -ERANGE);
    ck_assert_int_eq(cli_parse_count("9223372036854775807", &n), 0);
    ck_assert_uint_eq(n, INT64_MAX);
    ck_assert_int_eq(cli_parse_count("", &n), -EINVAL);
    ck_assert_int_eq(cli_parse_count(" 1", &n), -EINVAL);
    ck_assert_int_eq(cli_parse_size("16MiB", &n), 0);
    ck_assert_uint_eq(n, 16 << 20);
    ck_assert_int_eq(cli_parse_size("8589934592GiB", &n), -ERANGE);
    ck_assert_int_eq(cli_parse_time("500ms", &n), 0);
    ck_assert_uint_eq(n, 500);
    ck_assert_int_eq(cli_parse_time("5", &n), 0);
    ck_assert_uint_eq(n, 5000);
    ck_assert_int_eq(cli_parse_time("5 s", &n), -EINVAL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli/options");
    TCase *tc = tcase_create("options");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, reads, 0, (int)(sizeof good / sizeof good[0]));
    tcase_add_loop_test(tc, refuses, 0, (int)(sizeof bad / sizeof bad[0]));
    tcase_add_test(tc, collects);
    tcase_add_test(tc, numbers);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
