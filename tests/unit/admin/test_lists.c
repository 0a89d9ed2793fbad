/* Who is there, a page at a time: whatever the pages' size, all rows come, once, in order. */
#include "tests/unit/admin/parties.h"

static size_t rows(const json_t *answer, const char *key)
{
    return json_array_size(json_object_get(answer, key));
}

static json_t *row(const json_t *answer, const char *key, size_t i)
{
    return json_array_get(json_object_get(answer, key), i);
}

/* All pages of a list as one array. `members`: of the request, besides. */
static json_t *all_pages(const char *method, const char *key, const char *members, unsigned limit)
{
    json_t *all = json_array(), *a;
    char request[512], after[300] = "";

    for (unsigned pages = 0; pages < 100; pages++) {
        snprintf(request, sizeof request, "{\"limit\":%u%s%s%s%s%s}", limit, *members ? "," : "",
                 members, *after ? ",\"after\":\"" : "", after, *after ? "\"" : "");
        a = must(pages % WORKERS, method, request);
        ck_assert_uint_le(rows(a, key), limit);
        json_array_extend(all, json_object_get(a, key));
        snprintf(after, sizeof after, "%s", text(a, "next"));
        if (!json_object_get(a, "next")) {
            json_decref(a);
            return all;
        }
        ck_assert_uint_eq(rows(a, key), limit);
        json_decref(a);
    }
    ck_abort_msg("%s: pages without end", method);
}

/* Pages of any size make the list that is told without. */
static void pages_make_the_whole(const char *method, const char *key, const char *members,
                                 size_t wanted)
{
    char request[256];
    json_t *whole, *paged;

    snprintf(request, sizeof request, "{%s}", members);
    whole = must(0, method, request);
    ck_assert_uint_eq(rows(whole, key), wanted);
    ck_assert_ptr_null(json_object_get(whole, "next"));
    for (unsigned limit = 1; limit <= wanted + 1; limit++) {
        paged = all_pages(method, key, members, limit);
        ck_assert_uint_eq(json_array_size(paged), wanted);
        for (size_t i = 0; i < wanted; i++)
            ck_assert_str_eq(text(json_array_get(paged, i), "id"), text(row(whole, key, i), "id"));
        json_decref(paged);
    }
    json_decref(whole);
}

static void subscribe(unsigned i, const char *filter)
{
    attach(i, "", filter, "1");
}

START_TEST(queues_come_in_pages)
{
    char request[64];
    json_t *a;

    start();
    for (unsigned i = 0; i < 9; i++) { /* on all workers, made in no order */
        snprintf(request, sizeof request, "{\"queue\":\"q.%u\"}", i * 7 % 9);
        json_decref(must(i % WORKERS, "queue-add", request));
    }
    for (unsigned i = 0; i < 5; i++)
        subscribe(i % WORKERS, "s.#");
    pages_make_the_whole("queue-ls", "queues", "", 9);
    pages_make_the_whole("queue-ls", "queues", "\"all\":true", 14);
    pages_make_the_whole("queue-ls", "queues", "\"filter\":\"q.*\"", 9);
    a = must(1, "queue-ls", "{\"limit\":2,\"after\":\"q.3\"}");
    ck_assert_str_eq(text(row(a, "queues", 0), "name"), "q.4");
    ck_assert_str_eq(text(a, "next"), "q.5");
    json_decref(a);
    a = must(1, "queue-ls", "{\"limit\":2,\"after\":\"q.35\"}"); /* one that is not there */
    ck_assert_str_eq(text(row(a, "queues", 0), "name"), "q.4");
    json_decref(a);
    a = must(1, "queue-ls", "{\"limit\":2,\"after\":\"z\"}");
    ck_assert_uint_eq(rows(a, "queues"), 0);
    json_decref(a);
    stop();
}
END_TEST

START_TEST(subscriptions_have_their_filters)
{
    json_t *a;

    start();
    json_decref(must(0, "queue-add", "{\"queue\":\"named\"}"));
    subscribe(0, "s.a");
    subscribe(1, "s.b");
    subscribe(2, "t");
    pages_make_the_whole("subscriptions", "subscriptions", "", 3);
    pages_make_the_whole("subscriptions", "subscriptions", "\"filter\":\"s.*\"", 2);
    a = must(2, "subscriptions", "{\"client\":\"party1\"}");
    ck_assert_uint_eq(rows(a, "subscriptions"), 1);
    ck_assert_str_eq(json_string_value(
                         json_array_get(json_object_get(row(a, "subscriptions", 0), "filters"), 0)),
                     "s.b");
    ck_assert_str_eq(text(row(a, "subscriptions", 0), "client"), "party1");
    json_decref(a);
    stop();
}
END_TEST

/* Those of named queues too, whose queues live on other workers. */
START_TEST(consumers_of_all_workers)
{
    char request[64];
    json_t *a, *k;

    start();
    json_decref(must(0, "queue-add", "{\"queue\":\"work\"}"));
    for (unsigned i = 0; i < WORKERS; i++)
        attach(i, "work", "", "2");
    for (unsigned i = 0; i < WORKERS; i++)
        subscribe(i, "s.#");
    pages_make_the_whole("consumers", "consumers", "", 6);
    pages_make_the_whole("consumers", "consumers", "\"queue\":\"work\"", 3);
    pages_make_the_whole("consumers", "consumers", "\"client\":\"party2\"", 2);
    on_worker(0, publish, (const char *const[]){"work", "1 2 3 4 5 6 7 8"});
    for (unsigned tries = 0;; tries++) { /* until each has as many as it takes */
        json_int_t unacked = 0;

        a = must(1, "consumers", "{\"queue\":\"work\"}");
        for (size_t i = 0; i < 3; i++)
            unacked += number(row(a, "consumers", i), "unacked");
        if (unacked == 6)
            break;
        ck_assert_msg(tries < 10000, "only %d are unacknowledged", (int)unacked);
        json_decref(a);
    }
    k = row(a, "consumers", 1);
    ck_assert_str_eq(text(k, "client"), "party1");
    ck_assert_str_eq(text(k, "queue"), "work");
    ck_assert_str_eq(text(k, "ack"), "manual");
    ck_assert_int_eq(number(k, "credit"), 0);
    ck_assert_str_eq(text(k, "stalled_by"), "credit");
    ck_assert_int_ge(number(k, "stalled_ms"), 0);
    json_decref(a);
    a = must(1, "consumers", "{\"client\":\"party0\"}");
    k = row(a, "consumers", 1);
    ck_assert_str_eq(text(k, "queue"), "s.#");
    ck_assert_str_eq(text(k, "ack"), "auto");
    ck_assert_ptr_null(json_object_get(k, "stalled_ms"));
    snprintf(request, sizeof request, "{\"queue\":\"%s\"}", text(k, "queue_id"));
    json_decref(must(1, "queue-info", request)); /* which the id leads to */
    json_decref(must(1, "consumers", request));
    json_decref(a);
    stop();
}
END_TEST

static void serve(struct party *p, const void *arg)
{
    static const struct server_ops ops = {.ready = NULL};
    struct refusal why;
    struct server *s;

    if (core_serve(p->ep, slice_str(arg), &ops, p, &s, &why) < 0)
        ck_abort_msg("%s", why.text);
}

START_TEST(one_connection_and_what_it_does)
{
    json_t *a;

    start();
    subscribe(1, "s.#");
    on_worker(1, publish, (const char *const[]){"t.a", "1 2"});
    on_worker(1, serve, "math");
    pages_make_the_whole("connections", "connections", "", WORKERS);
    pages_make_the_whole("connections", "connections", "\"client\":\"party1\"", 1);
    pages_make_the_whole("connections", "connections", "\"client\":\"nobody\"", 0);
    a = must(0, "connection", "{\"connection\":\"n1-8\"}");
    ck_assert_str_eq(text(a, "client"), "party1");
    ck_assert_int_eq(number(a, "published"), 2);
    ck_assert_str_eq(text(row(a, "publishers", 0), "topic"), "t.a");
    ck_assert_str_eq(text(row(a, "consumers", 0), "queue"), "s.#");
    ck_assert_str_eq(json_string_value(row(a, "services", 0)), "math");
    json_decref(a);
    ck_assert_ptr_null(ask(1, "connection", "{\"connection\":\"n1-9\"}"));
    ck_assert_int_eq(refusal.reason, REASON_NOT_FOUND);
    ck_assert_ptr_null(ask(1, "connection", "{\"connection\":\"n62-9\"}"));
    ck_assert_int_eq(refusal.reason, REASON_NOT_FOUND);
    stop();
}
END_TEST

START_TEST(services_by_name)
{
    json_t *a, *all;

    start();
    on_worker(0, serve, "math");
    on_worker(2, serve, "math");
    on_worker(1, serve, "art");
    on_worker(2, serve, "bread");
    for (unsigned limit = 1; limit < 5; limit++) {
        all = all_pages("services", "services", "", limit);
        ck_assert_uint_eq(json_array_size(all), 3);
        ck_assert_str_eq(text(json_array_get(all, 0), "name"), "art");
        ck_assert_str_eq(text(json_array_get(all, 2), "name"), "math");
        json_decref(all);
    }
    a = must(0, "services", "{\"filter\":\"math\"}");
    ck_assert_uint_eq(rows(a, "services"), 1);
    ck_assert_int_eq(number(row(a, "services", 0), "servers"), 2);
    json_decref(a);
    stop();
}
END_TEST

static const struct {
    const char *method, *data, *why;
} bad[] = {
    {"connections", "{\"limit\":0}", "invalid: \"limit\" must be at least 1"},
    {"connections", "{\"limit\":-1}", "invalid: \"limit\" must be a whole number"},
    {"connections", "{\"after\":\"x\"}", "invalid: \"after\" must be the `next`"},
    {"consumers", "{\"after\":\"n0-1\"}", "invalid: \"after\" must be the `next`"},
    {"queue-ls", "{\"after\":\" n0-1\"}", "invalid: \"after\" must be the `next`"},
    {"services", "{\"after\":\" s0-1\"}", "invalid: \"after\" must be the `next`"},
    {"services", "{\"filter\":\"a..b\"}", "invalid: filter: "},
    {"subscriptions", "{\"filter\":\"#.a\"}", "invalid: filter: "},
    {"connection", "", "invalid: connection needs the member \"connection\""},
};

START_TEST(bad_pages_are_refused)
{
    start();
    ck_assert_ptr_null(ask(_i % WORKERS, bad[_i].method, bad[_i].data));
    ck_assert_msg(strncmp(refusal.text, bad[_i].why, strlen(bad[_i].why)) == 0, "%s %s: %s",
                  bad[_i].method, bad[_i].data, refusal.text);
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("admin lists");
    TCase *tc = tcase_create("lists");
    SRunner *r;
    int failed;

    tcase_add_test(tc, queues_come_in_pages);
    tcase_add_test(tc, subscriptions_have_their_filters);
    tcase_add_test(tc, consumers_of_all_workers);
    tcase_add_test(tc, one_connection_and_what_it_does);
    tcase_add_test(tc, services_by_name);
    tcase_add_loop_test(tc, bad_pages_are_refused, 0, sizeof bad / sizeof bad[0]);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
