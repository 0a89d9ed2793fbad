/* Paths, and what they lead to. */
#include "tests/unit/support.h"

#include <errno.h>

#include "brokerd/doors/http/route.h"

static const struct handler handler;
static const struct route one[] = {
    {METHOD_POST, "/v1/topics/*", &handler, "topic"},
    {METHOD_GET, "/", &handler, "root"},
    {METHOD_GET | METHOD_PUT, "/v1/queues/*", &handler, "queue"},
    {0, NULL, NULL, NULL},
};
static const struct route two[] = {
    {METHOD_DELETE, "/v1/queues/*", &handler, "delete"},
    {METHOD_POST, "/v1/queues/*/messages:receive", &handler, "receive"},
    {METHOD_POST, "/v1/queues/*/messages/*:release", &handler, "release"},
    {METHOD_POST, "/v1/queues/*:purge", &handler, "purge"},
    {0, NULL, NULL, NULL},
};
static const struct route *const tables[] = {one, two, NULL};

static const struct {
    enum method method;
    const char *target, *what, *args; /* args: each followed by | */
    const char *query;
    unsigned methods;
} rows[] = {
    {METHOD_POST, "/v1/topics/a", "topic", "a|", "", METHOD_POST},
    {METHOD_POST, "/v1/topics/a.b%2Fc%25%3a?x=1&y", "topic", "a.b/c%:|", "x=1&y", METHOD_POST},
    {METHOD_POST, "/v1/topics/", NULL, "", "", 0},
    {METHOD_POST, "/v1/topics", NULL, "", "", 0},
    {METHOD_POST, "/v1/topics/a/", NULL, "", "", 0},
    {METHOD_POST, "/v1/topics/a/b", NULL, "", "", 0},
    {METHOD_POST, "/v1//topics/a", NULL, "", "", 0},
    {METHOD_POST, "/V1/topics/a", NULL, "", "", 0},
    {METHOD_POST, "/v1/topics/a:b", NULL, "", "", 0},
    {METHOD_GET, "/", "root", "", "", METHOD_GET},
    {METHOD_HEAD, "/?q", "root", "", "q", METHOD_GET},
    {METHOD_GET, "//", NULL, "", "", 0},
    {METHOD_GET, "*", NULL, "", "", 0},
    {METHOD_PUT, "/v1/queues/q", "queue", "q|", "", 0},
    {METHOD_DELETE, "/v1/queues/q", "delete", "q|", "", 0},
    {METHOD_PATCH, "/v1/queues/q", NULL, "", "", METHOD_GET | METHOD_PUT | METHOD_DELETE},
    {METHOD_POST, "/v1/queues/q/messages:receive", "receive", "q|", "", METHOD_POST},
    {METHOD_POST, "/v1/queues/q/messages:other", NULL, "", "", 0},
    {METHOD_POST, "/v1/queues/q/messages/17.2:release", "release", "q|17.2|", "", METHOD_POST},
    {METHOD_POST, "/v1/queues/q/messages/:release", NULL, "", "", 0},
    {METHOD_POST, "/v1/queues/a%3Apurge:purge", "purge", "a:purge|", "", METHOD_POST},
    {METHOD_GET, "/a/b/c/d/e/f/g/h/i/j", NULL, "", "", 0},
};

START_TEST(routes)
{
    struct routed r;
    char args[256] = "";
    const char *why;

    ck_assert_int_eq(route_find_in(tables, rows[_i].method, slice_str(rows[_i].target), &r, &why),
                     0);
    ck_assert_msg((r.route != NULL) == (rows[_i].what != NULL), "%s", rows[_i].target);
    if (rows[_i].methods)
        ck_assert_uint_eq(r.methods, rows[_i].methods);
    if (!r.route) {
        ck_assert_msg(rows[_i].methods || !r.methods, "%s", rows[_i].target);
        return;
    }
    ck_assert_str_eq(r.route->what, rows[_i].what);
    ck_assert(slice_eq(r.query, slice_str(rows[_i].query)));
    for (const char *p = strchr(r.route->pattern, '*'); p; p = strchr(p + 1, '*')) {
        const struct slice *a = &r.arg[strlen(args) ? strchr(args, '|') != NULL : 0];

        snprintf(args + strlen(args), sizeof args - strlen(args), "%.*s|", (int)a->n,
                 (const char *)a->p);
    }
    ck_assert_str_eq(args, rows[_i].args);
}
END_TEST

START_TEST(wrong_percents)
{
    static const char *const targets[] = {"/v1/topics/%", "/v1/topics/%4", "/v1/topics/a%4g",
                                          "/v1/topics/%%"};
    char path[700] = "/v1/topics/%41";
    struct routed r;
    const char *why;

    for (size_t i = 0; i < ARRAY_LEN(targets); i++)
        ck_assert_int_eq(route_find_in(tables, METHOD_POST, slice_str(targets[i]), &r, &why),
                         -EINVAL);
    memset(path + 14, 'a', 600);
    ck_assert_int_eq(route_find_in(tables, METHOD_POST, slice_str(path), &r, &why), -EINVAL);
}
END_TEST

START_TEST(methods)
{
    char text[64];

    ck_assert_str_eq(methods_text(METHOD_GET | METHOD_DELETE, text), "GET, HEAD, DELETE");
    ck_assert_str_eq(methods_text(~0U, text), "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS");
    ck_assert_int_eq(method_of(SLICE("POST")), METHOD_POST);
    ck_assert_int_eq(method_of(SLICE("post")), 0);
    ck_assert_int_eq(method_of(SLICE("")), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http routes");
    TCase *tc = tcase_create("http routes");

    tcase_add_loop_test(tc, routes, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(tc, wrong_percents);
    tcase_add_test(tc, methods);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
