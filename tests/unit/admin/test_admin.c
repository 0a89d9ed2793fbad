/* What people ask of a running broker and what it answers. */
#include "tests/unit/admin/parties.h"

static uint64_t turns; /* of a worker, when it was asked */

static const struct {
    const char *method, *data, *why;
} bad[] = {
    {"nonsense", "", "not-found: no command \"nonsense\"; there are info, top"},
    {"info", "[1]", "invalid: info wants a JSON object"},
    {"info", "{\"a\":", "invalid: info wants a JSON object, and byte "},
    {"info", "{\"a\":1}", "invalid: unknown member \"a\"; info takes no members"},
    {"queue-ls", "{\"name\":1}", "invalid: unknown member \"name\"; queue-ls takes filter, all"},
    {"queue-ls", "{\"all\":1}", "invalid: \"all\" must be true or false"},
    {"queue-ls", "{\"filter\":\"a..b\"}", "invalid: filter: "},
    {"queue-info", "", "invalid: queue-info needs the member \"queue\", a text"},
    {"queue-info", "{\"queue\":\"\"}", "invalid: \"queue\" must be a text"},
    {"queue-info", "{\"queue\":\"no\"}", "not-found: no queue \"no\""},
    {"queue-info", "{\"queue\":\"q0-100000000\"}", "not-found: no queue \"q0-100000000\""},
    {"queue-info", "{\"queue\":\"q63-1\"}", "not-found: no queue \"q63-1\""},
    {"queue-peek", "{\"queue\":\"no\",\"count\":-1}", "invalid: \"count\" must be a whole number"},
    {"queue-purge", "{\"queue\":\"no\"}", "not-found: "},
    {"queue-rm", "{\"queue\":\"no\"}", "not-found: "},
    {"queue-move", "{\"queue\":\"no\",\"to\":\"no\"}", "not-found: "},
    {"queue-add", "{\"queue\":\"$SYS\"}", "invalid: \"queue\": "},
    {"queue-add", "{\"queue\":\"a b\"}", "invalid: \"queue\": "},
    {"queue-add", "{\"queue\":\"a\",\"bind\":[1]}", "invalid: \"bind\" must be an array of texts"},
    {"queue-add", "{\"queue\":\"a\",\"bind\":[\"#.a\"]}", "invalid: \"bind\": "},
    {"queue-add", "{\"queue\":\"a\",\"settings\":{\"foo\":\"1\"}}",
     "invalid: a queue has no setting \"foo\""},
    {"queue-add", "{\"queue\":\"a\",\"settings\":{\"max-messages\":\"0\"}}",
     "invalid: max-messages: "},
    {"route", "{\"topic\":\"a.*\"}", "invalid: \"topic\": "},
    {"kill", "{\"connection\":\"x\"}", "not-found: no connection \"x\""},
};

START_TEST(bad_requests_are_refused)
{
    start();
    ck_assert_ptr_null(ask(_i % WORKERS, bad[_i].method, bad[_i].data));
    ck_assert_msg(strncmp(refusal.text, bad[_i].why, strlen(bad[_i].why)) == 0, "%s %s: %s",
                  bad[_i].method, bad[_i].data, refusal.text);
    stop();
}
END_TEST

START_TEST(a_request_has_a_limit)
{
    char *data = calloc(1, 70000);

    memset(data, ' ', 69999);
    start();
    ck_assert_ptr_null(ask(0, "info", data));
    ck_assert_int_eq(refusal.reason, REASON_TOO_LARGE);
    stop();
    free(data);
}
END_TEST

START_TEST(tells_of_the_whole_broker)
{
    json_t *info, *top, *client;

    start();
    attach(1, "jobs", "", "0");
    attach(2, "", "a.*", "10");
    send_from(0, "a.b", "1 2 3", 3);
    info = must(0, "info", "");
    ck_assert_str_eq(text(info, "version"), "1.2.3");
    ck_assert_int_eq(number(info, "connections"), 3);
    ck_assert_int_eq(number(info, "queues"), 1);
    ck_assert_int_eq(number(info, "subscriptions"), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(info, "workers")), WORKERS);
    ck_assert_int_eq(number(json_object_get(info, "totals"), "published"), 3);
    ck_assert_int_eq(number(json_object_get(info, "totals"), "delivered"), 3);
    ck_assert_int_eq(number(json_object_get(info, "memory"), "limit_bytes"), 64 << 20);
    ck_assert_int_eq(number(json_object_get(info, "disconnects"), "peer"), 2 * WORKERS);
    ck_assert_uint_eq(json_array_size(json_object_get(info, "listen")), 1);
    json_decref(info);

    top = must(2, "top", "{\"limit\":1}");
    ck_assert_uint_eq(json_array_size(json_object_get(top, "queues")), 1);
    client = json_array_get(json_object_get(top, "clients"), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(top, "clients")), 1);
    ck_assert_msg(strcmp(text(client, "client"), "party1") != 0, "party1 did nothing");
    json_decref(top);
    stop();
}
END_TEST

START_TEST(closes_a_connection)
{
    json_t *a, *c;

    start();
    a = must(0, "connections", "");
    ck_assert_uint_eq(json_array_size(json_object_get(a, "connections")), WORKERS);
    c = json_array_get(json_object_get(a, "connections"), 2);
    ck_assert_str_eq(text(c, "id"), "n2-9");
    ck_assert_int_eq(number(c, "in_bytes"), 5);
    json_decref(a);
    json_decref(must(1, "kill", "{\"connection\":\"n2-9\"}"));
    a = must(1, "connections", "");
    ck_assert_uint_eq(json_array_size(json_object_get(a, "connections")), WORKERS - 1);
    json_decref(a);
    ck_assert_ptr_null(ask(1, "kill", "{\"connection\":\"n2-8\"}"));
    ck_assert_int_eq(refusal.reason, REASON_NOT_FOUND);
    stop();
}
END_TEST

START_TEST(a_queue_and_its_life)
{
    json_t *a, *m;

    start();
    a = must(2, "queue-add",
             "{\"queue\":\"work\",\"bind\":[\"w.#\"],"
             "\"settings\":{\"max-messages\":\"5\",\"overflow\":\"block\"}}");
    ck_assert(json_is_true(json_object_get(a, "made")));
    ck_assert_str_eq(text(json_object_get(a, "policy"), "max-messages"), "5");
    ck_assert_str_eq(text(json_object_get(a, "policy"), "overflow"), "block");
    ck_assert_int_eq(number(a, "worker"), 2);
    ck_assert_int_eq(number(a, "consumers"), 0);
    json_decref(a);
    a = must(1, "queue-add", "{\"queue\":\"work\",\"bind\":[\"v\"]}");
    ck_assert(json_is_false(json_object_get(a, "made")));
    ck_assert_uint_eq(json_array_size(json_object_get(a, "bindings")), 2);
    json_decref(a);

    send_from(0, "w.x", "one two {\"a\":1}", 3);
    a = must(1, "queue-peek", "{\"queue\":\"work\",\"count\":2,\"bytes\":2}");
    ck_assert_uint_eq(json_array_size(json_object_get(a, "messages")), 2);
    m = json_array_get(json_object_get(a, "messages"), 1);
    ck_assert_str_eq(text(m, "data"), "tw");
    ck_assert_str_eq(text(m, "topic"), "w.x");
    ck_assert_str_eq(text(m, "state"), "waiting");
    ck_assert_int_eq(number(m, "size"), 3);
    ck_assert_int_eq(number(m, "seq"), 2);
    json_decref(a);

    json_decref(must(0, "queue-add", "{\"queue\":\"other\"}"));
    a = must(1, "queue-move", "{\"queue\":\"work\",\"to\":\"other\",\"count\":2}");
    ck_assert_int_eq(number(a, "moved"), 2);
    ck_assert_ptr_null(json_object_get(a, "reason"));
    json_decref(a);
    ck_assert_int_eq(asked_number(0, "queue-info", "{\"queue\":\"other\"}", "depth"), 2);
    ck_assert_int_eq(asked_number(0, "queue-purge", "{\"queue\":\"work\"}", "purged"), 1);
    ck_assert_ptr_null(ask(0, "queue-rm", "{\"queue\":\"other\",\"if_empty\":true}"));
    ck_assert_str_eq(refusal.text, "invalid: it is not empty: 2 messages wait, 0 are held, 0 "
                                   "unacknowledged");
    ck_assert_int_eq(asked_number(2, "queue-rm", "{\"queue\":\"other\"}", "lost"), 2);
    ck_assert_ptr_null(ask(0, "queue-info", "{\"queue\":\"other\"}"));
    ck_assert_ptr_null(ask(0, "queue-move", "{\"queue\":\"work\",\"to\":\"work\"}"));
    ck_assert_int_eq(refusal.reason, REASON_INVALID);
    stop();
}
END_TEST

static void note_turns(struct party *p, const void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    turns = worker_stats(workers_get(workers, p->worker)).turns;
    pthread_mutex_unlock(&lock);
}

/* A move that is held in front of a full queue: its worker sleeps, but for a look now and then. */
START_TEST(a_move_waits_without_turning)
{
    uint64_t before;
    json_t *a;

    start();
    json_decref(must(0, "queue-add", "{\"queue\":\"from\"}"));
    json_decref(must((unsigned)_i, "queue-add",
                     "{\"queue\":\"to\",\"settings\":{\"max-messages\":\"1\","
                     "\"overflow\":\"block\",\"block-timeout\":\"400ms\"}}"));
    send_from(0, "from", "one two", 2);
    on_worker(0, note_turns, NULL);
    before = turns;
    a = must(1, "queue-move", "{\"queue\":\"from\",\"to\":\"to\"}");
    on_worker(0, note_turns, NULL);
    ck_assert_int_eq(number(a, "moved"), 1);
    ck_assert_str_eq(text(a, "reason"), "full");
    ck_assert_uint_lt(turns - before, 1000);
    json_decref(a);
    stop();
}
END_TEST

START_TEST(binary_payloads_come_as_base64)
{
    json_t *a, *m;

    start();
    json_decref(must(0, "queue-add", "{\"queue\":\"q\"}"));
    send_from(1, "q", "\xff\xfe\x01", 1);
    a = must(2, "queue-peek", "{\"queue\":\"q\"}");
    m = json_array_get(json_object_get(a, "messages"), 0);
    ck_assert_str_eq(text(m, "base64"), "//4B");
    ck_assert_ptr_null(json_object_get(m, "data"));
    json_decref(a);
    stop();
}
END_TEST

START_TEST(lists_and_routes)
{
    json_t *a, *q;

    start();
    json_decref(must(2, "queue-add", "{\"queue\":\"b\"}"));
    json_decref(must(1, "queue-add", "{\"queue\":\"a\",\"bind\":[\"x.#\"]}"));
    attach(0, "", "x.*", "1");
    a = must(0, "queue-ls", "");
    ck_assert_uint_eq(json_array_size(json_object_get(a, "queues")), 2);
    ck_assert_str_eq(text(json_array_get(json_object_get(a, "queues"), 0), "name"), "a");
    json_decref(a);
    a = must(0, "queue-ls", "{\"filter\":\"b\"}");
    ck_assert_uint_eq(json_array_size(json_object_get(a, "queues")), 1);
    json_decref(a);
    a = must(1, "queue-ls", "{\"all\":true}");
    ck_assert_uint_eq(json_array_size(json_object_get(a, "queues")), 3);
    q = json_array_get(json_object_get(a, "queues"), 2);
    ck_assert(json_is_null(json_object_get(q, "name")));
    ck_assert_str_eq(text(q, "client"), "party0");
    json_decref(a);
    a = must(2, "route", "{\"topic\":\"x.y\"}");
    ck_assert_uint_eq(json_array_size(json_object_get(a, "queues")), 2);
    ck_assert_str_eq(text(json_array_get(json_object_get(a, "queues"), 0), "filter"), "x.*");
    ck_assert_str_eq(text(json_array_get(json_object_get(a, "queues"), 1), "filter"), "x.#");
    json_decref(a);
    stop();
}
END_TEST

/* The last link of the chain. */
static const char *last_text(const json_t *why)
{
    const json_t *chain = json_object_get(why, "chain");

    return text(json_array_get(chain, json_array_size(chain) - 1), "text");
}

START_TEST(why_names_the_bottleneck)
{
    static const char *const asked[] = {"{\"what\":\"work\"}", "{\"what\":\"w\"}",
                                        "{\"what\":\"party0\"}"};
    static const char *const kinds[] = {"queue", "topic", "client"};
    json_t *a, *k;

    start();
    json_decref(must(1, "queue-add",
                     "{\"queue\":\"work\",\"bind\":[\"w\"],"
                     "\"settings\":{\"max-messages\":\"2\","
                     "\"overflow\":\"block\"}}"));
    attach(2, "work", "", "1");
    a = must(0, "why", "{\"what\":\"work\"}");
    ck_assert(json_is_null(json_object_get(a, "bottleneck")));
    ck_assert_str_eq(last_text(a), "queue \"work\" is empty");
    json_decref(a);

    send_from(0, "w", "1 2 3 4 5", 3); /* one is delivered, two wait, two are held */
    for (unsigned i = 0; i < 3; i++) {
        a = must(i, "why", asked[i]);
        ck_assert_str_eq(text(a, "kind"), kinds[i]);
        ck_assert_str_eq(text(a, "bottleneck"), "party2");
        ck_assert_str_eq(last_text(a),
                         "\"work\" waits for consumer \"party2\": credit 0, 1 unacknowledged");
        ck_assert_uint_eq(json_array_size(json_object_get(a, "chain")), i ? 4 : 3);
        json_decref(a);
    }
    a = must(1, "queue-info", "{\"queue\":\"work\"}");
    ck_assert_int_eq(number(a, "held"), 2);
    k = json_array_get(json_object_get(a, "consumer_list"), 0);
    ck_assert_str_eq(text(k, "client"), "party2");
    ck_assert_str_eq(text(k, "stalled_by"), "credit");
    ck_assert_int_eq(number(k, "credit"), 0);
    ck_assert_int_eq(number(k, "unacked"), 1);
    json_decref(a);

    on_worker(2, grant, "100");
    send_from(0, "w", "6", 6);
    a = must(0, "why", "{\"what\":\"party0\"}");
    ck_assert(json_is_null(json_object_get(a, "bottleneck")));
    json_decref(a);
    a = must(0, "why", "{\"what\":\"nobody\"}");
    ck_assert(json_is_null(json_object_get(a, "kind")));
    json_decref(a);
    stop();
}
END_TEST

START_TEST(what_is_not_consumed)
{
    json_t *a;

    start();
    json_decref(must(1, "queue-add", "{\"queue\":\"work\"}"));
    send_from(0, "work", "1 2", 2);
    a = must(0, "why", "{\"what\":\"work\"}");
    ck_assert_str_eq(text(a, "bottleneck"), "work");
    ck_assert_str_eq(last_text(a), "queue \"work\": 2 messages wait; it has no consumer");
    json_decref(a);
    stop();
}
END_TEST

START_TEST(the_page_is_part_of_the_program)
{
    static const struct {
        const char *request, *type, *begins;
    } files[] = {
        {"{}", "text/html; charset=utf-8", "<!doctype html>"},
        {"{\"path\":\"index.html\"}", "text/html; charset=utf-8", "<!doctype html>"},
        {"{\"path\":\"style.css\"}", "text/css; charset=utf-8", "/*"},
        {"{\"path\":\"app.js\"}", "text/javascript; charset=utf-8", "//"},
        {"{\"path\":\"icon.svg\"}", "image/svg+xml", "<svg"},
    };
    static const char *const no_files[] = {"../page.c", "brokerd/admin/page/app.js", "/",
                                           "app.jsx"};

    start();
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        json_t *a = must(i % WORKERS, "page", files[i].request);

        ck_assert_str_eq(text(a, "type"), files[i].type);
        ck_assert_msg(strncmp(text(a, "data"), files[i].begins, strlen(files[i].begins)) == 0,
                      "%s: %.40s", files[i].request, text(a, "data"));
        ck_assert(strncmp(text(a, "content-security-policy"), "default-src 'none'; ", 20) == 0);
        ck_assert(!strstr(text(a, "content-security-policy"), "unsafe"));
        ck_assert_str_eq(text(a, "x-content-type-options"), "nosniff");
        ck_assert_str_eq(text(a, "referrer-policy"), "no-referrer");
        ck_assert_str_eq(text(a, "cache-control"), "no-store");
        json_decref(a);
    }
    for (size_t i = 0; i < sizeof no_files / sizeof no_files[0]; i++) {
        char request[80];

        snprintf(request, sizeof request, "{\"path\":\"%s\"}", no_files[i]);
        ck_assert_ptr_null(ask(0, "page", request));
        ck_assert_int_eq(refusal.reason, REASON_NOT_FOUND);
    }
    stop();
}
END_TEST

/* ---- callers that ask too much, or go */

enum { MANY = 65 };

static struct question many[MANY];

static void open_many(struct party *p, const void *arg)
{
    for (unsigned i = 0; i < MANY; i++) {
        const struct question *q = &many[i];

        open_call(p, &q);
    }
    (void)arg;
}

START_TEST(calls_under_way_have_a_limit)
{
    unsigned refused = 0;

    start();
    for (unsigned i = 0; i < MANY; i++)
        many[i] = (struct question){.method = "info", .data = ""};
    on_worker(1, open_many, NULL);
    for (unsigned i = 0; i < MANY; i++) {
        pthread_mutex_lock(&lock);
        wait_for(&many[i].done, 1, "answer");
        pthread_mutex_unlock(&lock);
        refused += many[i].why.reason == REASON_LIMIT;
        json_decref(many[i].answer);
    }
    ck_assert_uint_eq(refused, 1);
    json_decref(must(1, "info", ""));
    stop();
}
END_TEST

static void open_and_cancel(struct party *p, const void *arg)
{
    open_call(p, arg);
    core_call_close((*(struct question *const *)arg)->call);
}

START_TEST(a_caller_that_goes_hears_nothing)
{
    static const char *const methods[] = {"info", "queue-add", "why"};
    static const char *const data[] = {"", "{\"queue\":\"left\"}", "{\"what\":\"left\"}"};
    struct question q = {.method = methods[_i], .data = data[_i]};
    struct question *arg = &q;

    start();
    on_worker(2, open_and_cancel, &arg);
    for (unsigned i = 0; i < WORKERS; i++)
        json_decref(must(i, "info", ""));
    ck_assert_uint_eq(q.done, 0);
    ck_assert_ptr_null(q.answer);
    stop();
}
END_TEST

START_TEST(stopping_with_calls_under_way)
{
    start();
    for (unsigned i = 0; i < MANY; i++)
        many[i] = (struct question){.method = i % 2 ? "top" : "queue-add",
                                    .data = i % 2 ? "" : "{\"queue\":\"left\"}"};
    on_worker(1, open_many, NULL);
    workers_stop(workers);
    workers_join(workers);
    for (unsigned i = 0; i < MANY; i++) /* as closing the connection does */
        if (!many[i].done)
            core_call_close(many[i].call);
    for (unsigned i = 0; i < MANY; i++)
        json_decref(many[i].answer);
    stop();
}
END_TEST

/* ---- events */

static bool has_line(const struct party *p, const char *a, const char *b)
{
    const char *at = strstr(p->got, a);
    const char *end = at ? strchr(at, '\n') : NULL;
    const char *found = at ? strstr(at, b) : NULL;

    return found && found < end;
}

static void wait_line(struct party *p, const char *a, const char *b)
{
    pthread_mutex_lock(&lock);
    while (!has_line(p, a, b))
        wait_for(&p->deliveries, p->deliveries + 1, a);
    pthread_mutex_unlock(&lock);
}

START_TEST(events_are_published)
{
    start();
    attach(0, "", "$SYS.*", "1000000");
    json_decref(must(2, "queue-add",
                     "{\"queue\":\"small\",\"settings\":{\"max-messages\":\"1\","
                     "\"dead-letter\":\"dead\",\"overflow\":\"drop-oldest\"}}"));
    wait_line(&party[0], "\"event\":\"queue_made\"", "\"queue\":\"small\"");
    send_from(1, "small", "1 2 3", 3);
    wait_line(&party[0], "\"event\":\"slow_consumer\",\"reason\":\"drop-oldest\",\"count\":2",
              "\"queue\":\"small\"");
    wait_line(&party[0], "\"event\":\"dead_letter\",\"count\":2", "\"topic\":\"dead\"");
    json_decref(must(0, "queue-rm", "{\"queue\":\"small\"}"));
    wait_line(&party[0], "\"event\":\"queue_gone\"", "\"queue\":\"small\"");
    stop();
}
END_TEST

START_TEST(events_do_not_feed_themselves)
{
    static const char *const data[] = {"{\"queue\":\"x1\"}", "{\"queue\":\"x2\"}",
                                       "{\"queue\":\"x3\"}"};
    json_t *a;

    start();
    attach(0, "", "$SYS.*", "1000000");
    json_decref(must(0, "queue-add",
                     "{\"queue\":\"sys\",\"bind\":[\"$SYS.#\"],"
                     "\"settings\":{\"max-messages\":\"1\"}}"));
    for (int i = 0; i < 3; i++) {
        json_decref(must(1, "queue-add", data[i]));
        wait_line(&party[0], "\"event\":\"queue_made\"", "\"queue\":");
        json_decref(must(2, "queue-rm", data[i]));
    }
    wait_line(&party[0], "\"queue\":\"x3\"", "\"queue\":\"x3\"");
    /* It has refused some of them, which the log tells, and nobody else. */
    a = must(0, "queue-info", "{\"queue\":\"sys\"}");
    ck_assert_int_ge(number(json_object_get(json_object_get(a, "counters"), "refused"), "full"), 3);
    json_decref(a);
    pthread_mutex_lock(&lock);
    ck_assert_ptr_null(strstr(party[0].got, "\"event\":\"refused\""));
    pthread_mutex_unlock(&lock);
    stop();
}
END_TEST

/* ---- statistics */

/* The first line that has `a`, parsed; the caller's. */
static json_t *line_with(struct party *p, const char *a)
{
    json_t *o;

    wait_line(p, a, "}");
    pthread_mutex_lock(&lock);
    o = json_loads(strstr(p->got, a), JSON_DISABLE_EOF_CHECK, NULL);
    pthread_mutex_unlock(&lock);
    ck_assert_msg(o != NULL, "%s is no JSON", a);
    return o;
}

START_TEST(statistics_are_published_while_somebody_listens)
{
    json_t *o, *one;

    start();
    json_decref(must(1, "queue-add", "{\"queue\":\"work\",\"settings\":{\"max-messages\":\"5\"}}"));
    attach(2, "work", "", "1");
    send_from(0, "work", "1 2 3", 3);
    attach((unsigned)_i, "", "$SYS.stats.#", "1000000");
    o = line_with(&party[_i], "{\"workers\":");
    ck_assert_int_eq(number(json_object_get(o, "totals"), "published"), 3);
    ck_assert_int_gt(number(o, "now_ms"), 0);
    ck_assert_ptr_null(json_object_get(o, "services"));
    json_decref(o);

    o = line_with(&party[_i], "{\"queues\":");
    one = json_array_get(json_object_get(o, "queues"), 0);
    ck_assert_str_eq(text(one, "name"), "work");
    ck_assert_int_eq(number(one, "depth"), 2);
    ck_assert_int_eq(number(one, "max_messages"), 5);
    ck_assert_str_eq(text(one, "overflow"), "reject");
    json_decref(o);

    o = line_with(&party[_i], "{\"consumers\":");
    one = json_array_get(json_object_get(o, "consumers"), 0);
    ck_assert_str_eq(text(one, "client"), "party2");
    ck_assert_str_eq(text(one, "queue"), "work");
    ck_assert_str_eq(text(one, "stalled_by"), "credit");
    ck_assert_int_eq(number(one, "unacked"), 1);
    json_decref(o);
    json_decref(line_with(&party[_i], "{\"clients\":"));

    pthread_mutex_lock(&lock); /* and another second */
    wait_for(&party[_i].deliveries, 8, "more statistics");
    pthread_mutex_unlock(&lock);
    stop();
}
END_TEST

/* One topic is heard: of that alone there are figures. */
START_TEST(only_what_is_heard_is_published)
{
    start();
    attach(1, "", "$SYS.stats.clients", "1000000");
    pthread_mutex_lock(&lock);
    wait_for(&party[1].deliveries, 2, "statistics");
    ck_assert_ptr_null(strstr(party[1].got, "{\"queues\""));
    ck_assert_ptr_nonnull(strstr(party[1].got, "\"client\":\"party1\""));
    pthread_mutex_unlock(&lock);
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("admin");
    TCase *t = tcase_create("admin");
    SRunner *r;
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, bad_requests_are_refused, 0, sizeof bad / sizeof bad[0]);
    tcase_add_test(t, a_request_has_a_limit);
    tcase_add_test(t, tells_of_the_whole_broker);
    tcase_add_test(t, closes_a_connection);
    tcase_add_test(t, a_queue_and_its_life);
    tcase_add_loop_test(t, a_move_waits_without_turning, 0, 2);
    tcase_add_test(t, binary_payloads_come_as_base64);
    tcase_add_test(t, lists_and_routes);
    tcase_add_test(t, why_names_the_bottleneck);
    tcase_add_test(t, what_is_not_consumed);
    tcase_add_test(t, the_page_is_part_of_the_program);
    tcase_add_test(t, calls_under_way_have_a_limit);
    tcase_add_loop_test(t, a_caller_that_goes_hears_nothing, 0, 3);
    tcase_add_test(t, stopping_with_calls_under_way);
    tcase_add_test(t, events_are_published);
    tcase_add_test(t, events_do_not_feed_themselves);
    tcase_add_loop_test(t, statistics_are_published_while_somebody_listens, 0, 2);
    tcase_add_test(t, only_what_is_heard_is_published);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
