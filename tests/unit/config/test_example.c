/* brokerd.conf.example is what the table makes, and says what is true: with its settings no longer
 * commented out it loads, and sets the defaults. With --print it writes the file instead. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/example.h"
#include "config/settings.h"
#include "config/table.h"

static char *made(void)
{
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);

    ck_assert_ptr_nonnull(to);
    ck_assert_int_eq(example_write(to), 0);
    ck_assert_int_eq(fclose(to), 0);
    return text;
}

START_TEST(file_is_up_to_date)
{
    static char file[65536];
    FILE *from = fopen("brokerd.conf.example", "r");
    char *text = made();

    ck_assert_msg(from != NULL, "tests run in the top folder");
    file[fread(file, 1, sizeof file - 1, from)] = '\0';
    (void)fclose(from);
    ck_assert_msg(strcmp(file, text) == 0, "stale: make brokerd.conf.example");
    free(text);
}
END_TEST

/* Has some section a key of that name that this version knows? */
static bool is_known(const char *key)
{
    const struct setting *row;

    for (size_t i = 0; (row = setting_at(i)) != NULL; i++)
        if (row->type != SETTING_LATER && strcmp(row->key, key) == 0)
            return true;
    return false;
}

START_TEST(every_key_is_there)
{
    char *text = made(), line[128];
    const struct setting *row;

    for (size_t i = 0; (row = setting_at(i)) != NULL; i++) {
        (void)snprintf(line, sizeof line, "\n#%s%s = ", *row->section ? "    " : "", row->key);
        ck_assert_msg((strstr(text, line) != NULL) == is_known(row->key), "%s", row->key);
    }
    free(text);
}
END_TEST

static void on_error(void *ctx, const char *text)
{
    (void)ctx;
    ck_abort_msg("%s", text);
}

static void on_change(void *ctx, const struct settings_change *c)
{
    (void)ctx;
    /* its sections for all queues and subscriptions, a webhook, a hook and two stores, are all it
     * may add */
    ck_assert_msg(strcmp(c->after, "{..}") == 0, "%s: %s, not %s", c->what, c->after, c->before);
}

START_TEST(its_values_are_the_defaults)
{
    struct settings *defaults = NULL, *said = NULL;
    char *text = made();
    struct queue_policy policy;

    for (char *at = text; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (at[0] == '#' && (at[1] != ' ' || at[2] == ' '))
            at[0] = ' ';
    }
    ck_assert_int_eq(settings_load_text("defaults", SLICE(""), NULL, on_error, NULL, &defaults), 0);
    ck_assert_int_eq(settings_load_text("example", slice_str(text), NULL, on_error, NULL, &said),
                     0);
    ck_assert_uint_eq(settings_diff(defaults, said, on_change, NULL), 6);
    policy = policy_default(POLICY_QUEUE);
    ck_assert(memcmp(&policy, &policy_set_rule(said->policies, POLICY_QUEUE, 0)->policy,
                     sizeof policy) == 0);
    policy = policy_default(POLICY_SUBSCRIPTION);
    ck_assert(memcmp(&policy, &policy_set_rule(said->policies, POLICY_SUBSCRIPTION, 0)->policy,
                     sizeof policy) == 0);
    settings_free(defaults);
    settings_free(said);
    free(text);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s;
    TCase *tc;
    SRunner *runner;
    int failed;

    if (argc == 2 && strcmp(argv[1], "--print") == 0)
        return example_write(stdout) < 0 || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    s = suite_create("example");
    tc = tcase_create("example");
    tcase_add_test(tc, file_is_up_to_date);
    tcase_add_test(tc, every_key_is_there);
    tcase_add_test(tc, its_values_are_the_defaults);
    suite_add_tcase(s, tc);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
