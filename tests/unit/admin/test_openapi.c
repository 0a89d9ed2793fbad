/* What others are told of a queue's settings, by /v1/openapi.json and by completion, is what the
 * table of policies takes. */
#include "libbroker/base/policy.h"
#include "libbroker/cli/cli.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static bool takes(const char *key, const char *value)
{
    struct queue_policy p = policy_default(POLICY_QUEUE);
    char err[POLICY_ERROR_MAX];

    return policy_set_key(&p, POLICY_QUEUE, slice_str(key), slice_str(value), err, sizeof err) == 0;
}

/* Of a fixed set of words all that are taken are named. */
static void check_enum(const char *key, const json_t *words)
{
    unsigned taken = 0;

    for (enum overflow o = OVERFLOW_BLOCK; o <= OVERFLOW_DISCONNECT; o++)
        taken += takes(key, overflow_name(o));
    for (size_t i = 0; i < json_array_size(words); i++)
        ck_assert_msg(takes(key, json_string_value(json_array_get(words, i))), "%s", key);
    ck_assert_uint_eq(json_array_size(words), taken);
}

START_TEST(description)
{
    json_error_t error;
    json_t *all = json_load_file("brokerd/admin/page/openapi.json", 0, &error), *properties, *one;
    json_t *settings;
    const char *key;
    size_t n = 0;

    ck_assert_msg(all != NULL, "%s", error.text);
    settings = json_object_get(
        json_object_get(json_object_get(json_object_get(all, "components"), "schemas"),
                        "QueueSettings"),
        "properties");
    settings = json_object_get(settings, "settings");
    properties = json_object_get(settings, "properties");
    ck_assert(json_is_false(json_object_get(settings, "additionalProperties")));
    while ((key = policy_key_name(POLICY_QUEUE, n)) != NULL) {
        const json_t *examples;

        one = json_object_get(properties, key);
        ck_assert_msg(one != NULL, "%s is not described", key);
        examples = json_object_get(one, "examples");
        for (size_t i = 0; i < json_array_size(examples); i++)
            ck_assert_msg(takes(key, json_string_value(json_array_get(examples, i))), "%s: %s", key,
                          json_string_value(json_array_get(examples, i)));
        if (json_object_get(one, "enum"))
            check_enum(key, json_object_get(one, "enum"));
        else
            ck_assert_msg(json_array_size(examples) > 1, "%s: no examples", key);
        n++;
    }
    ck_assert_uint_eq(json_object_size(properties), n);
    json_decref(all);
}
END_TEST

START_TEST(completion)
{
    size_t n = 0;

    for (; cli_queue_settings[n]; n++) {
        size_t size = strlen(cli_queue_settings[n]) - 1;

        ck_assert_int_eq(cli_queue_settings[n][size], '=');
        ck_assert_msg(policy_has_key(POLICY_QUEUE, slice_of(cli_queue_settings[n], size)), "%s",
                      cli_queue_settings[n]);
    }
    ck_assert_ptr_nonnull(policy_key_name(POLICY_QUEUE, n - 1));
    ck_assert_ptr_null(policy_key_name(POLICY_QUEUE, n));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("openapi");
    TCase *tc = tcase_create("settings");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, description);
    tcase_add_test(tc, completion);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
