/* Help shows every command and option; the completions that are installed are those of today. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "libbroker/cli/help.h"

/* What `print` writes, to be freed. */
static char *text_of(void (*print)(FILE *))
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    print(f);
    fclose(f);
    return text;
}

static char *help_of(const struct cli_command *c)
{
    struct cli cli = {.command = c, .title = "broker"};
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    cli_help(f, &cli);
    fclose(f);
    return text;
}

static char *read_file(const char *path)
{
    char *text = calloc(1, 1 << 20);
    FILE *f = fopen(path, "r");

    ck_assert_msg(f != NULL, "%s is missing", path);
    ck_assert_uint_lt(fread(text, 1, (1 << 20) - 1, f), (1 << 20) - 1);
    fclose(f);
    return text;
}

static void same(const char *path, void (*print)(FILE *))
{
    char *installed = read_file(path), *made = text_of(print);

    ck_assert_msg(strcmp(installed, made) == 0, "%s is not what `broker completion` prints", path);
    free(installed);
    free(made);
}

START_TEST(completions_are_fresh)
{
    same("config/dist/broker.bash", cli_complete_bash);
    same("config/dist/_broker", cli_complete_zsh);
}
END_TEST

/* "--name" as the manual writes it: \-\-name, dashes within included. */
static void manual_flag(const char *name, char *to)
{
    to = stpcpy(to, "\\-\\-");
    for (; *name; name++) {
        if (*name == '-')
            *to++ = '\\';
        *to++ = *name;
    }
    *to = '\0';
}

/* Everything that `c` has is in its help, and in the manual. */
static void check_command(const struct cli_command *c, const char *manual)
{
    char *help = help_of(c);

    ck_assert_msg(strstr(help, c->summary) != NULL, "%s", c->name);
    for (const struct cli_option *o = c->options; o && o->name; o++) {
        char flag[64];

        snprintf(flag, sizeof flag, "--%s", o->name);
        ck_assert_msg(strstr(help, flag) != NULL, "%s %s", c->name, flag);
        manual_flag(o->name, flag);
        ck_assert_msg(strstr(manual, flag) != NULL, "docs/man/broker.1 lacks %s of %s", flag,
                      c->name);
    }
    for (size_t i = 0; c->subs && c->subs[i].name; i++) {
        ck_assert_msg(strstr(help, c->subs[i].name) != NULL, "%s %s", c->name, c->subs[i].name);
        check_command(&c->subs[i], manual);
    }
    free(help);
}

START_TEST(help_and_manual_are_complete)
{
    char *all = help_of(NULL), *manual = read_file("docs/man/broker.1");
    const struct cli_command *c;
    size_t i;

    for (i = 0; (c = cli_command_at(NULL, i)); i++) {
        ck_assert_msg(strstr(all, c->summary) != NULL, "%s", c->name);
        check_command(c, manual);
        ck_assert_msg(c->run != NULL || c->subs != NULL, "%s does nothing", c->name);
    }
    ck_assert_uint_ge(i, 11);
    free(all);
    free(manual);
}
END_TEST

/* No name or letter stands twice: the second could never be reached. */
START_TEST(options_are_unique)
{
    const struct cli_command *c;

    for (size_t i = 0; (c = cli_command_at(NULL, i)); i++) {
        for (const struct cli_option *o = c->options; o && o->name; o++) {
            for (const struct cli_option *k = cli_common_options(); k->name; k++)
                ck_assert_msg(strcmp(o->name, k->name) != 0 &&
                                  (!o->letter || o->letter != k->letter),
                              "%s --%s", c->name, o->name);
            for (const struct cli_option *k = c->options; k != o; k++)
                ck_assert_msg(strcmp(o->name, k->name) != 0 &&
                                  (!o->letter || o->letter != k->letter),
                              "%s --%s", c->name, o->name);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli/help");
    TCase *tc = tcase_create("help");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, completions_are_fresh);
    tcase_add_test(tc, help_and_manual_are_complete);
    tcase_add_test(tc, options_are_unique);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
