/* Hooks, as the settings make them. */
#include "tests/unit/support.h"

#include <errno.h>

#include "brokerd/doors/inlet.h"
#include "libbroker/base/policy.h"

static const struct {
    const char *keys; /* key=value, blanks between them */
    const char *error;
} hooks[] = {
    {"topic=a.b secret=whsec_MDEyMzQ1Njc4OWFiY2RlZg==", NULL},
    {"topic=a.b scheme=github secret=x secret-old=y tolerance=never require=false", NULL},
    {"topic=a.b scheme=stripe secret-file=x\n\n headers=X-A headers=X-B", NULL},
    {"topic=a.b scheme=none headers=traceparent", NULL},
    {"secret=whsec_MDEyMzQ1Njc4OWFiY2RlZg==", "topic: expected one"},
    {"topic=a.b", "secret: expected one, or secret-file, or scheme = none"},
    {"topic=a.# scheme=none", "topic: topic contains a wildcard (* or #)"},
    {"topic=$SYS.x scheme=none", "topic: topic begins with $, which is reserved for the broker"},
    {"scheme=gitlab", "scheme: expected standard, github, stripe or none"},
    {"secret=x", "secret: a secret is base64, whsec_ or whsk_ before it"},
    {"scheme=none secret=x", "secret: with scheme = none nothing is signed"},
    {"secret-file=\n", "secret-file: the file is empty"},
    {"tolerance=5", "tolerance: expected a time of 1s or more with its unit (30s, 5m), or never"},
    {"tolerance=1ms", "tolerance: expected a time of 1s or more with its unit (30s, 5m), or never"},
    {"require=yes", "require: expected true or false"},
    {"headers=a:b", "headers: expected the name of a header field"},
    {"headers=$ttl", "headers: expected the name of a header field"},
};

static int set_all(struct inlet *h, const char *keys, char *err, size_t err_size)
{
    int r = 0;

    while (*keys && r == 0) {
        size_t name = strcspn(keys, "="), n = strcspn(keys, " ");
        char key[32];

        snprintf(key, sizeof key, "%.*s", (int)name, keys);
        r = inlet_set(h, key, slice_of(keys + name + 1, n - name - 1), err, err_size);
        if (!inlet_key_is_secret(key))
            ck_assert_int_eq(
                inlet_check(key, slice_of(keys + name + 1, n - name - 1), err, err_size), r);
        keys += n + (keys[n] == ' ');
    }
    return r == 0 ? inlet_finish(h, err, err_size) : r;
}

START_TEST(what_is_said_counts)
{
    struct inlet *h = inlet_new(SLICE("h"));
    char err[INLET_ERROR_MAX] = "";
    int r = set_all(h, hooks[_i].keys, err, sizeof err);

    ck_assert_str_eq(err, hooks[_i].error ? hooks[_i].error : "");
    ck_assert_int_eq(r, hooks[_i].error ? -EINVAL : 0);
    inlet_free(h);
}
END_TEST

START_TEST(what_it_means)
{
    struct inlet *h = inlet_new(SLICE("h")), *other = inlet_new(SLICE("h"));
    char err[INLET_ERROR_MAX], text[INLET_ERROR_MAX];

    ck_assert(h->require && h->tolerance_ms == 300000 && h->scheme == INLET_STANDARD);
    ck_assert_int_eq(set_all(h, hooks[1].keys, err, sizeof err), 0);
    ck_assert(!h->require && h->tolerance_ms == POLICY_NEVER && h->scheme == INLET_GITHUB);
    ck_assert_uint_eq(h->keys.n, 2);
    ck_assert_str_eq(inlet_text(h, "scheme", text, sizeof text), "github");
    ck_assert_str_eq(inlet_text(h, "tolerance", text, sizeof text), "never");
    ck_assert_str_eq(inlet_text(h, "secret", text, sizeof text), "(hidden)");
    ck_assert_str_eq(inlet_text(h, "headers", text, sizeof text), "{}");
    ck_assert_int_eq(set_all(other, hooks[1].keys, err, sizeof err), 0);
    for (unsigned i = 0; inlet_key_name(i); i++)
        ck_assert(inlet_key_same(h, other, inlet_key_name(i)));
    ck_assert_int_eq(inlet_set(other, "secret", SLICE("z"), err, sizeof err), 0);
    ck_assert(!inlet_key_same(h, other, "secret"));
    ck_assert_int_eq(inlet_set(other, "headers", SLICE("X-A"), err, sizeof err), 0);
    ck_assert_int_eq(inlet_set(other, "headers", SLICE("X-B"), err, sizeof err), 0);
    ck_assert(!inlet_key_same(h, other, "headers"));
    ck_assert_str_eq(inlet_text(other, "headers", text, sizeof text), "{ X-A, X-B }");
    inlet_free(h);
    inlet_free(other);
}
END_TEST

START_TEST(lists_have_limits)
{
    struct inlet *h = inlet_new(SLICE("h"));
    char err[INLET_ERROR_MAX], name[INLET_FIELD_MAX + 1];

    memset(name, 'x', sizeof name);
    ck_assert_int_eq(inlet_set(h, "headers", slice_of(name, INLET_FIELD_MAX + 1), err, sizeof err),
                     -EINVAL);
    for (unsigned i = 0; i < INLET_HEADERS_MAX; i++)
        ck_assert_int_eq(inlet_set(h, "headers", slice_of(name, INLET_FIELD_MAX), err, sizeof err),
                         0);
    ck_assert_int_eq(inlet_set(h, "headers", SLICE("x"), err, sizeof err), -EINVAL);
    ck_assert_str_eq(err, "headers: expected at most 16 of them");
    inlet_free(h);
}
END_TEST

START_TEST(names)
{
    char name[INLET_NAME_MAX + 1];

    memset(name, 'a', sizeof name);
    ck_assert_ptr_null(inlet_name_error(SLICE("Git-Hub_2")));
    ck_assert_ptr_null(inlet_name_error(slice_of(name, INLET_NAME_MAX)));
    ck_assert_ptr_nonnull(inlet_name_error(slice_of(name, INLET_NAME_MAX + 1)));
    ck_assert_ptr_nonnull(inlet_name_error(SLICE("")));
    ck_assert_ptr_nonnull(inlet_name_error(SLICE("a.b")));
    ck_assert_ptr_nonnull(inlet_name_error(SLICE("a:b")));
}
END_TEST

START_TEST(sets)
{
    struct inlets *s = inlets_new();

    ck_assert_ptr_null(inlets_at(s, 0));
    ck_assert_int_eq(inlets_add(s, inlet_new(SLICE("a"))), 0);
    ck_assert_int_eq(inlets_add(s, inlet_new(SLICE("b"))), 0);
    ck_assert_ptr_eq(inlets_ref(s), s);
    ck_assert_ptr_null(inlets_unref(s));
    ck_assert_ptr_eq(inlets_find(s, SLICE("b")), inlets_at(s, 1));
    ck_assert_ptr_null(inlets_find(s, SLICE("c")));
    ck_assert_ptr_null(inlets_find(NULL, SLICE("a")));
    ck_assert_ptr_null(inlets_unref(s));
    ck_assert_ptr_null(inlets_unref(NULL));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hook");
    TCase *tc = tcase_create("hook");

    tcase_add_loop_test(tc, what_is_said_counts, 0, (int)ARRAY_LEN(hooks));
    tcase_add_test(tc, what_it_means);
    tcase_add_test(tc, lists_have_limits);
    tcase_add_test(tc, names);
    tcase_add_test(tc, sets);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
