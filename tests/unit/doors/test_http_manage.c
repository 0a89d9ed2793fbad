/* Management over HTTP: what each request asks of admin, and how its answers are told. */
#include <errno.h>

#include "brokerd/core/call.h"
#include "libbroker/base/headers.h"
#include "tests/unit/doors/http_talk.h"
#include "tests/unit/support.h"

enum { ASKED_MAX = 20000 };

static struct world world;
static struct policy_set *policies;

/* An admin that writes down what it is asked, and answers when it is told to. */
static struct fake_admin {
    struct call *call; /* open; NULL: none */
    const char *at_once;
    enum reason refuses; /* at once, with "REASON: so" */
    unsigned closes;
    char asked[ASKED_MAX]; /* METHOD DATA of the last call; "": none */
} fake;

static void on_next(void *ctx, const struct call_payload *p, bool complete)
{
    (void)ctx, (void)p, (void)complete;
}

static void on_credit(void *ctx, uint32_t n)
{
    (void)ctx, (void)n;
}

static void on_word(void *ctx)
{
    (void)ctx;
}

static void on_error(void *ctx, const struct call_error *e)
{
    (void)ctx, (void)e;
}

static void on_closed(void *ctx)
{
    (void)ctx;
    fake.call = NULL;
    fake.closes++;
}

static const struct call_ops call_ops = {on_next, on_credit, on_word, on_word, on_error, on_closed};

/* Say this, as admin. */
static void answer(const char *data, struct ctype type, struct slice headers)
{
    const struct call_payload p = {.data = slice_str(data), .type = type, .headers = headers};

    ck_assert_ptr_nonnull(fake.call);
    ck_assert_int_eq(core_call_next(fake.call, &p, true), 0);
}

static int on_open(void *ctx, struct call *call, const struct call_request *r, struct refusal *why)
{
    (void)ctx;
    snprintf(fake.asked, sizeof fake.asked, "%.*s %.*s", (int)r->method.n,
             (const char *)r->method.p, (int)r->first.data.n, (const char *)r->first.data.p);
    if (fake.refuses != REASON_NONE) {
        why->reason = fake.refuses;
        snprintf(why->text, sizeof why->text, "%s: so", reason_name(fake.refuses));
        return -EACCES;
    }
    fake.call = call;
    core_call_accept(call, &call_ops, NULL, 0);
    if (fake.at_once)
        answer(fake.at_once, (struct ctype){.id = 5}, SLICE(""));
    return 0;
}

static struct http_talk *talk_open(void)
{
    static const struct server_ops ops = {.open = on_open};

    fake = (struct fake_admin){.call = NULL};
    policies = world_policy(POLICY_QUEUE, "", "");
    world_start(&world, 1, policies, 64 << 20);
    ck_assert_int_eq(core_serve_own(world.core[0], "admin", &ops, NULL), 0);
    return http_open(&world, 0, 0);
}

static void talk_end(struct http_talk *t)
{
    http_end(t);
    world_run(&world);
    world_stop(&world);
    policy_set_unref(policies);
}

static void request(struct http_talk *t, const char *line, const char *body)
{
    static char text[1 << 18];

    t->heard_n = 0;
    fake.asked[0] = '\0';
    snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
             line, strlen(body), body);
    http_say(t, text);
}

static const char *hear(struct http_talk *t)
{
    http_settle(t);
    return t->heard;
}

static const struct {
    const char *line, *body, *method, *data;
} good[] = {
    {"GET /v1/info", "", "info", "{}"},
    {"HEAD /v1/info", "", "info", "{}"},
    {"GET /v1/top?limit=5", "", "top", "{\"limit\":5}"},
    {"GET /v1/config", "", "config", "{}"},
    {"POST /v1/reload", "", "reload", "{}"},
    {"POST /v1/reload", " {\n} ", "reload", " {\n}"},
    {"POST /v1/drain", "{}", "drain", "{}"},
    {"GET /v1/why/a%2Fb%3Ac", "", "why", "{\"what\":\"a/b:c\"}"},
    {"GET /v1/route/a.b", "", "route", "{\"topic\":\"a.b\"}"},
    {"GET /v1/queues", "", "queue-ls", "{\"limit\":1000}"},
    {"GET /v1/queues?all&limit=7&after=%22\xc3\xa4+", "", "queue-ls",
     "{\"all\":true,\"limit\":7,\"after\":\"\\\"\xc3\xa4 \"}"},
    {"GET /v1/queues?all=false&filter=a.%23&", "", "queue-ls",
     "{\"filter\":\"a.#\",\"all\":false,\"limit\":1000}"},
    {"GET /v1/queues/q", "", "queue-info", "{\"queue\":\"q\"}"},
    {"GET /v1/queues/%22,%22x%22%3A%221", "", "queue-info",
     "{\"queue\":\"\\\",\\\"x\\\":\\\"1\"}"}, /* a name is a name */
    {"PUT /v1/queues/q", "", "queue-add", "{\"queue\":\"q\"}"},
    {"PUT /v1/queues/q", "{}", "queue-add", "{\"queue\":\"q\"}"},
    {"PUT /v1/queues/q", "{\"bind\":[\"a\"]}", "queue-add", "{\"bind\":[\"a\"],\"queue\":\"q\"}"},
    {"PUT /v1/queues/q", "{\"queue\":\"x\"}", "queue-add", "{\"queue\":\"x\",\"queue\":\"q\"}"},
    {"PUT /v1/queues/q", "{\"a\":{}},\"b\":{}", "queue-add", "{\"a\":{}},\"b\":{,\"queue\":\"q\"}"},
    {"DELETE /v1/queues/q?if_empty=1&if_unused=0", "", "queue-rm",
     "{\"queue\":\"q\",\"if_empty\":true,\"if_unused\":false}"},
    {"POST /v1/queues/q:move", "{\"to\":\"r\"}", "queue-move", "{\"to\":\"r\",\"queue\":\"q\"}"},
    {"GET /v1/queues/q/messages?count=2&bytes=0", "", "queue-peek",
     "{\"queue\":\"q\",\"count\":2,\"bytes\":0}"},
    {"DELETE /v1/queues/q/messages", "", "queue-purge", "{\"queue\":\"q\"}"},
    {"GET /v1/subscriptions?client=c&filter=f", "", "subscriptions",
     "{\"filter\":\"f\",\"client\":\"c\",\"limit\":1000}"},
    {"GET /v1/subscriptions/q0-1", "", "queue-info", "{\"queue\":\"q0-1\"}"},
    {"GET /v1/consumers?queue=q", "", "consumers", "{\"queue\":\"q\",\"limit\":1000}"},
    {"GET /v1/connections?after=n0-1", "", "connections", "{\"limit\":1000,\"after\":\"n0-1\"}"},
    {"GET /v1/connections/n0-1", "", "connection", "{\"connection\":\"n0-1\"}"},
    {"DELETE /v1/connections/n0-1", "", "kill", "{\"connection\":\"n0-1\"}"},
    {"GET /v1/stores", "", "stores", "{}"},
    {"GET /v1/services", "", "services", "{\"limit\":1000}"},
    {"GET /v1/webhooks", "", "webhook-ls", "{}"},
    {"PUT /v1/webhooks/w", "{\"settings\":{}}", "webhook-add",
     "{\"settings\":{},\"webhook\":\"w\"}"},
    {"PATCH /v1/webhooks/w", "{\"settings\":{}}", "webhook-add",
     "{\"settings\":{},\"webhook\":\"w\",\"replace\":true}"},
    {"POST /v1/webhooks/w:replay", "{\"count\":1}", "webhook-replay",
     "{\"count\":1,\"webhook\":\"w\"}"},
    {"GET /readyz", "", "ready", "{}"},
    {"GET /healthz", "", "ready", "{}"},
    {"GET /metrics", "", "metrics", "{}"},
    {"GET /v1/openapi.json", "", "page", "{\"path\":\"openapi.json\"}"},
    {"GET /", "", "page", "{}"},
    {"GET /page/app.js", "", "page", "{\"path\":\"app.js\"}"},
};

START_TEST(asks_admin)
{
    struct http_talk *t = talk_open();
    char wanted[512];

    fake.at_once = "{}";
    request(t, good[_i].line, good[_i].body);
    snprintf(wanted, sizeof wanted, "%s %s", good[_i].method, good[_i].data);
    ck_assert_str_eq(fake.asked, wanted);
    ck_assert_msg(strncmp(hear(t), "HTTP/1.1 20", 11) == 0, "%s: %s", good[_i].line, t->heard);
    ck_assert_ptr_nonnull(strstr(t->heard, "application/json"));
    ck_assert(!t->closed);
    talk_end(t);
}
END_TEST

static const struct {
    const char *line, *body, *status, *text;
} bad[] = {
    {"GET /v1/info?a=1", "", "400", "invalid: there is no parameter \\\"a\\\" here"},
    {"GET /v1/queues?limit=-1", "", "400", "invalid: limit=: expected a whole number"},
    {"GET /v1/queues?limit=", "", "400", "invalid: limit=: expected a whole number"},
    {"GET /v1/queues?limit=007", "", "400", "invalid: limit=: expected a whole number"},
    {"GET /v1/queues?limit=1234567890123456", "", "400", "expected a whole number"},
    {"GET /v1/queues?all=maybe", "", "400", "invalid: all=: expected true or false"},
    {"GET /v1/queues?filter=%2", "", "400", "invalid: filter=: expected a percent sign"},
    {"GET /v1/queues/%zz", "", "400", "invalid: "},
    {"PUT /v1/queues/q", "[1]", "400", "invalid: the body is to be a JSON object"},
    {"PUT /v1/queues/q", "{", "400", "invalid: the body is to be a JSON object"},
    {"PUT /v1/queues/q", "}", "400", "invalid: the body is to be a JSON object"},
    {"PUT /v1/queues/q", "null", "400", "invalid: the body is to be a JSON object"},
    {"DELETE /v1/info", "", "405", "GET, HEAD"},
    {"PUT /v1/queues", "{}", "405", "GET, HEAD"},
    {"POST /v1/queues/q", "{}", "405", "GET, HEAD, PUT, DELETE"},
    {"GET /v1/queues/q:move", "", "405", "POST"},
    {"POST /v1/queues/q:drop", "", "404", "not-found"},
    {"GET /v1/queues/", "", "404", "not-found"},
    {"GET /v1/nothing", "", "404", "not-found"},
    {"GET /v1", "", "404", "not-found"},
};

START_TEST(malformed_requests_ask_nothing)
{
    struct http_talk *t = talk_open();

    request(t, bad[_i].line, bad[_i].body);
    ck_assert_str_eq(fake.asked, "");
    ck_assert_msg(strncmp(hear(t) + 9, bad[_i].status, 3) == 0, "%s: %s", bad[_i].line, t->heard);
    ck_assert_msg(strstr(t->heard, bad[_i].text) != NULL, "%s: %s", bad[_i].line, t->heard);
    talk_end(t);
}
END_TEST

START_TEST(a_body_has_a_limit)
{
    struct http_talk *t = talk_open();
    char *body = malloc(60 * 1024 + 2);

    memset(body, ' ', 60 * 1024 + 1);
    body[60 * 1024 + 1] = '\0';
    request(t, "PUT /v1/queues/q", body);
    ck_assert_str_eq(fake.asked, "");
    ck_assert_msg(strncmp(hear(t), "HTTP/1.1 413", 12) == 0, "%s", t->heard);
    free(body);
    talk_end(t);
}
END_TEST

/* Everything that may grow does so to its most: six times its length. */
START_TEST(all_of_it_escaped)
{
    struct http_talk *t = talk_open();
    char line[8000] = "GET /v1/queues?after=", *end = line + strlen(line);

    fake.at_once = "{}";
    for (unsigned i = 0; i < 2000; i++)
        end += sprintf(end, "%%01");
    request(t, line, "");
    ck_assert_ptr_nonnull(strstr(fake.asked, "\\u0001\\u0001\"}"));
    ck_assert_msg(strncmp(hear(t), "HTTP/1.1 200", 12) == 0, "%s", t->heard);
    talk_end(t);
}
END_TEST

START_TEST(answers_have_their_status_and_fields)
{
    struct http_talk *t = talk_open();
    uint8_t buf[200], *end = buf;

    request(t, "PUT /v1/queues/q", "");
    answer("{\"made\":true}", (struct ctype){.id = 5}, SLICE(""));
    ck_assert_msg(strncmp(hear(t), "HTTP/1.1 201 Created", 20) == 0, "%s", t->heard);
    request(t, "PUT /v1/queues/q", "");
    answer("{\"x\":\"\\\"made\\\":true\"}", (struct ctype){.id = 5}, SLICE(""));
    ck_assert_msg(strncmp(hear(t), "HTTP/1.1 200", 12) == 0, "%s", t->heard);
    request(t, "POST /v1/drain", "");
    answer("{}", (struct ctype){.id = 5}, SLICE(""));
    ck_assert_msg(strncmp(hear(t), "HTTP/1.1 202", 12) == 0, "%s", t->heard);
    end = headers_put(end, SLICE("x-frame-options"), SLICE("deny"));
    request(t, "GET /metrics", "");
    answer("a 1\n", (struct ctype){.id = CTYPE_NAMED, .name = SLICE("text/plain; version=0.0.4")},
           slice_of(buf, (size_t)(end - buf)));
    ck_assert_ptr_nonnull(strstr(hear(t), "text/plain; version=0.0.4\r\n"));
    ck_assert_ptr_nonnull(strstr(t->heard, "x-frame-options: deny\r\n"));
    ck_assert_ptr_nonnull(strstr(t->heard, "\r\n\r\na 1\n"));
    talk_end(t);
}
END_TEST

static const struct {
    const char *line;
    enum reason reason;
    const char *status;
} refusals[] = {
    {"GET /v1/queues/q", REASON_NOT_FOUND, "404"}, {"GET /v1/info", REASON_DENIED, "403"},
    {"GET /v1/info", REASON_LIMIT, "429"},         {"GET /v1/info", REASON_DRAINING, "503"},
    {"GET /v1/info", REASON_INVALID, "400"},       {"GET /readyz", REASON_DRAINING, "503"},
    {"GET /readyz", REASON_MEMORY, "503"},         {"GET /healthz", REASON_LIMIT, "503"},
    {"GET /v1/queues/q", REASON_STORE, "503"},
};

/* At once, and later. */
START_TEST(refusals_have_their_status)
{
    struct http_talk *t = talk_open();
    struct refusal why = {.reason = refusals[_i].reason};
    const char *name = reason_name(why.reason);
    char wanted[320];

    snprintf(why.text, sizeof why.text, "%s: so", name);
    snprintf(wanted, sizeof wanted, "{\"error\":{\"reason\":\"%s\",\"text\":\"%s\"}}", name,
             why.text);
    request(t, refusals[_i].line, "");
    core_call_refuse(fake.call, &why, false);
    ck_assert_msg(strncmp(hear(t) + 9, refusals[_i].status, 3) == 0, "%s", t->heard);
    ck_assert_ptr_nonnull(strstr(t->heard, wanted));
    ck_assert(!strstr(t->heard, "Retry-After") == (atoi(refusals[_i].status) < 429));
    fake.refuses = why.reason;
    request(t, refusals[_i].line, "");
    ck_assert_msg(strncmp(hear(t) + 9, refusals[_i].status, 3) == 0, "%s", t->heard);
    ck_assert_ptr_nonnull(strstr(t->heard, wanted));
    talk_end(t);
}
END_TEST

START_TEST(not_by_any_listener)
{
    struct http_talk *t = talk_open();

    t->site.manages = false;
    request(t, "GET /v1/info", "");
    ck_assert_msg(strncmp(hear(t), "HTTP/1.1 403", 12) == 0, "%s", t->heard);
    ck_assert_ptr_nonnull(strstr(t->heard, "\"reason\":\"denied\""));
    ck_assert_str_eq(fake.asked, "");
    fake.at_once = "{}";
    request(t, "GET /readyz", ""); /* anybody may ask that */
    ck_assert_msg(strncmp(hear(t), "HTTP/1.1 200", 12) == 0, "%s", t->heard);
    request(t, "GET /livez", "");
    ck_assert_msg(strncmp(hear(t), "HTTP/1.1 200", 12) == 0, "%s", t->heard);
    talk_end(t);
}
END_TEST

START_TEST(a_client_that_goes_asks_no_more)
{
    struct http_talk *t = talk_open();

    request(t, "GET /v1/info", "");
    ck_assert_ptr_nonnull(fake.call);
    talk_end(t);
    ck_assert_ptr_null(fake.call);
    ck_assert_uint_eq(fake.closes, 1);
}
END_TEST

START_TEST(one_is_asked_at_a_time)
{
    struct http_talk *t = talk_open();

    request(t, "GET /v1/info", "");
    http_say(t, "GET /v1/top HTTP/1.1\r\nHost: localhost\r\n\r\n");
    ck_assert_str_eq(fake.asked, "info {}");
    answer("first", (struct ctype){.id = CTYPE_NONE}, SLICE(""));
    ck_assert_ptr_nonnull(strstr(hear(t), "first"));
    ck_assert_str_eq(fake.asked, "top {}");
    answer("second", (struct ctype){.id = CTYPE_NONE}, SLICE(""));
    ck_assert_ptr_nonnull(strstr(hear(t), "second"));
    talk_end(t);
}
END_TEST

START_TEST(alive_without_asking)
{
    struct http_talk *t = talk_open();

    request(t, "GET /livez", "");
    ck_assert_str_eq(fake.asked, "");
    ck_assert_msg(strncmp(hear(t), "HTTP/1.1 200", 12) == 0, "%s", t->heard);
    ck_assert_ptr_nonnull(strstr(t->heard, "\r\n\r\nalive\n"));
    talk_end(t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http management");
    TCase *tc = tcase_create("manage");
    SRunner *r;
    int failed;

    tcase_add_loop_test(tc, asks_admin, 0, sizeof good / sizeof good[0]);
    tcase_add_loop_test(tc, malformed_requests_ask_nothing, 0, sizeof bad / sizeof bad[0]);
    tcase_add_test(tc, a_body_has_a_limit);
    tcase_add_test(tc, all_of_it_escaped);
    tcase_add_test(tc, answers_have_their_status_and_fields);
    tcase_add_loop_test(tc, refusals_have_their_status, 0, sizeof refusals / sizeof refusals[0]);
    tcase_add_test(tc, not_by_any_listener);
    tcase_add_test(tc, a_client_that_goes_asks_no_more);
    tcase_add_test(tc, one_is_asked_at_a_time);
    tcase_add_test(tc, alive_without_asking);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
