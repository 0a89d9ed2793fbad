/* Where messages to a topic go, and where one of them is. */
#include "tests/unit/admin/parties.h"

/* The id of the first message of a queue that is in that state; the caller's. */
static char *id_of(const char *queue, const char *state)
{
    char data[64];
    json_t *a, *m;
    char *id = NULL;
    size_t i;

    snprintf(data, sizeof data, "{\"queue\":\"%s\"}", queue);
    a = must(0, "queue-peek", data);
    json_array_foreach(json_object_get(a, "messages"), i, m)
    {
        if (!id && strcmp(text(m, "state"), state) == 0)
            id = strdup(text(m, "id"));
    }
    ck_assert_msg(id != NULL, "nothing %s in %s", state, queue);
    json_decref(a);
    return id;
}

/* Where the message is in the first queue of the topic; the whole answer in *ret. */
static const json_t *place(unsigned worker, const char *topic, const char *id, json_t **ret)
{
    char data[128];

    snprintf(data, sizeof data, "{\"topic\":\"%s\",\"id\":\"%s\"}", topic, id);
    *ret = must(worker, "trace", data);
    return json_object_get(json_array_get(json_object_get(*ret, "queues"), 0), "message");
}

START_TEST(who_would_get_it)
{
    json_t *a, *q, *k;

    start();
    json_decref(must(1, "queue-add", "{\"queue\":\"work\",\"bind\":[\"w.#\"]}"));
    attach(2, "work", "", "7");
    attach(0, "", "w.*", "5");
    a = must(2, "trace", "{\"topic\":\"w.x\"}");
    ck_assert_uint_eq(json_array_size(json_object_get(a, "queues")), 2);
    q = json_array_get(json_object_get(a, "queues"), 0);
    ck_assert_str_eq(text(q, "filter"), "w.*");
    ck_assert_str_eq(text(q, "client"), "party0");
    q = json_array_get(json_object_get(a, "queues"), 1);
    ck_assert_str_eq(text(q, "name"), "work");
    ck_assert_ptr_null(json_object_get(q, "message"));
    k = json_array_get(json_object_get(q, "consumer_list"), 0);
    ck_assert_str_eq(text(k, "client"), "party2");
    ck_assert_int_eq(number(k, "credit"), 7);
    json_decref(a);
    stop();
}
END_TEST

START_TEST(where_a_message_is)
{
    const json_t *p;
    char *id;
    json_t *a;

    start();
    json_decref(must((unsigned)_i, "queue-add",
                     "{\"queue\":\"w\",\"settings\":{\"max-messages\":\"2\","
                     "\"overflow\":\"block\"}}"));
    send_from(0, "w", "1 2", 2);
    id = id_of("w", "waiting");
    p = place(1, "w", id, &a);
    ck_assert_str_eq(text(p, "state"), "waiting");
    ck_assert_int_eq(number(p, "ahead"), 0);
    json_decref(a);

    attach(2, "w", "", "1");
    p = place(0, "w", id, &a);
    ck_assert_str_eq(text(p, "state"), "unacked");
    ck_assert_int_eq(number(p, "attempt"), 1);
    ck_assert_str_eq(
        text(p, "consumer"),
        text(json_array_get(
                 json_object_get(json_array_get(json_object_get(a, "queues"), 0), "consumer_list"),
                 0),
             "id"));
    json_decref(a);
    free(id);

    send_from(0, "w", "3 4", 3); /* the fourth is held */
    id = id_of("w", "held");
    p = place(0, "w", id, &a);
    ck_assert_str_eq(text(p, "state"), "held");
    ck_assert_int_eq(number(p, "ahead"), 2);
    json_decref(a);
    free(id);

    p = place(0, "w", "12345", &a);
    ck_assert_str_eq(text(p, "state"), "gone");
    json_decref(a);
    stop();
}
END_TEST

static const char *const bad[][2] = {
    {"{}", "invalid: trace needs the member \"topic\", a text"},
    {"{\"topic\":\"a.*\"}", "invalid: \"topic\": "},
    {"{\"topic\":\"a\",\"id\":\"x\"}", "invalid: \"id\" must be the id of a message"},
    {"{\"topic\":\"a\",\"id\":\"-1\"}", "invalid: \"id\" must be the id of a message"},
    {"{\"topic\":\"a\",\"id\":\"99999999999999999999\"}", "invalid: \"id\" must be the id"},
};

START_TEST(bad_requests_are_refused)
{
    start();
    ck_assert_ptr_null(ask(0, "trace", bad[_i][0]));
    ck_assert_msg(strncmp(refusal.text, bad[_i][1], strlen(bad[_i][1])) == 0, "%s", refusal.text);
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("trace");
    TCase *t = tcase_create("trace");
    SRunner *r;
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_test(t, who_would_get_it);
    tcase_add_loop_test(t, where_a_message_is, 0, 3);
    tcase_add_loop_test(t, bad_requests_are_refused, 0, sizeof bad / sizeof bad[0]);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
