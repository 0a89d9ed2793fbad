/* The command line of brokerd. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/options.h"

enum { ARGS_MAX = 8 };

static int parse(const char *const *args, struct options *ret, char *err, size_t err_size)
{
    static char name[] = "brokerd";
    char *argv[ARGS_MAX + 2] = {name};
    int argc = 1, r;

    for (; argc <= ARGS_MAX && args[argc - 1]; argc++)
        argv[argc] = strdup(args[argc - 1]);
    r = options_parse(argc, argv, ret, err, err_size);
    /* what it says must not depend on argv, except the URLs and the file, checked before */
    for (int i = 1; i < argc; i++)
        free(argv[i]);
    return r;
}

static const struct {
    const char *args[ARGS_MAX];
    const char *told; /* part of it; NULL: fine */
} rows[] = {
    {{NULL}, NULL},
    {{"-t"}, NULL},
    {{"-c", "f", "-l", "tcp://127.0.0.1:0", "-w", "2", "-tvVh"}, NULL},
    {{"--config=f", "--listen", "unix:///x", "--workers=64", "--test"}, NULL},
    {{"--verbose", "--version", "--help"}, NULL},
    {{"-w", "auto"}, NULL},
    {{"-w", "0"}, "-w: workers: expected a number from 1 to 64"},
    {{"-w", "x"}, "found \"x\""},
    {{"-w"}, "-w: needs a value"},
    {{"--workers"}, "--workers: needs a value"},
    {{"-x"}, "-x: unknown option"},
    {{"--nope"}, "--nope: unknown option"},
    {{"--help=3"}, "--help=3: takes no value"},
    {{"-l", "nonsense"}, "-l: expected tcp://HOST:PORT or unix:///PATH, found \"nonsense\""},
    {{"-l", "tcp://0.0.0.0:1"}, "-l: expected an address of this host only"},
    {{"-l", "tls://127.0.0.1"}, "not supported by this version"},
    {{"-t", "word"}, "word: unexpected argument"},
};

START_TEST(lines)
{
    struct options o;
    char err[SETTINGS_ERROR_MAX] = "";
    int r = parse(rows[_i].args, &o, err, sizeof err);

    if (rows[_i].told)
        ck_assert_msg(r == -EINVAL && strstr(err, rows[_i].told), "%d %s", r, err);
    else
        ck_assert_msg(r == 0, "%s", err);
    options_fini(&o);
}
END_TEST

START_TEST(values)
{
    static char arg[][20] = {"brokerd", "-c",        "f",  "-l", "tcp://127.0.0.1:0",
                             "-l",      "unix:///x", "-w", "2",  "-vv"};
    char *argv[] = {arg[0], arg[1], arg[2], arg[3], arg[4], arg[5],
                    arg[6], arg[7], arg[8], arg[9], NULL};
    struct options o;
    char err[SETTINGS_ERROR_MAX];

    ck_assert_int_eq(options_parse(10, argv, &o, err, sizeof err), 0);
    ck_assert_str_eq(o.file, "f");
    ck_assert_uint_eq(o.overrides.n_listen_urls, 2);
    ck_assert_str_eq(o.overrides.listen_urls[1], "unix:///x");
    ck_assert_uint_eq(o.overrides.workers, 2);
    ck_assert_uint_eq(o.overrides.verbose, 2);
    ck_assert(!o.check && !o.version && !o.help);
    options_fini(&o);
}
END_TEST

START_TEST(usage_names_every_option)
{
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);

    options_usage(to);
    ck_assert_int_eq(fclose(to), 0);
    for (const char *option = "cwltvVh"; *option; option++) {
        char needle[] = {' ', ' ', '-', *option, ',', '\0'};

        ck_assert_msg(strstr(text, needle) != NULL, "-%c", *option);
    }
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("options");
    TCase *tc = tcase_create("options");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, lines, 0, (int)(sizeof rows / sizeof *rows));
    tcase_add_test(tc, values);
    tcase_add_test(tc, usage_names_every_option);
    suite_add_tcase(s, tc);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
