/* Management over HTTP: what each request asks of admin, and how its answers are told. */
#include "tests/unit/doors/fake_core.h"
#include "tests/unit/support.h"

#include "brokerd/doors/http/http.h"
#include "libbroker/base/headers.h"

enum { BYTES = 1 << 18 };

struct talk {
    struct link link;
    struct link_host host;
    struct out_host outs;
    struct door_scratch scratch;
    struct block_pool pool;
    struct door_conn *conn;
    struct block *block;
    size_t kept;
    bool closed, woken;
    char heard[FAKE_TEXT];
};

static void on_close(struct link *l, const char *why, enum link_end end)
{
    (void)why;
    (void)end;
    ((struct talk *)l)->closed = true;
}

static void on_refuse(struct link *l, enum door_refusal what, const char *why)
{
    (void)what;
    (void)why;
    ((struct talk *)l)->closed = true;
}

static const char *on_peer(const struct link *l)
{
    (void)l;
    return "test";
}

static void on_pause(struct link *l, bool pause)
{
    (void)l;
    (void)pause;
}

static void on_wake(struct link *l)
{
    ((struct talk *)l)->woken = true;
}

static const struct door_site *on_site(const struct link *l)
{
    static const struct door_site site = {.http = true, .manages = true};

    (void)l;
    return &site;
}

static struct talk *talk_open(void)
{
    struct talk *t = calloc(1, sizeof *t);

    ck_assert_ptr_nonnull(t);
    fake_reset();
    fake.now_ms = 1000;
    t->host = (struct link_host){.limits = {.first_frame_max = 65536,
                                            .frame_max = 1 << 20,
                                            .message_max = 1 << 20,
                                            .streams_max = 100,
                                            .idle_max_ms = 60000,
                                            .first_frame_ms = 10000,
                                            .http_idle_ms = 75000},
                                 .scratch = &t->scratch,
                                 .close = on_close,
                                 .refuse = on_refuse,
                                 .peer = on_peer,
                                 .site = on_site,
                                 .wake = on_wake,
                                 .pause = on_pause};
    t->outs.pool = &t->pool;
    t->link = (struct link){.host = &t->host};
    out_init(&t->link.out, &t->outs);
    t->block = block_new(BYTES);
    t->conn = http_door.open(&t->link);
    return t;
}

static void talk_end(struct talk *t)
{
    http_door.free(t->conn);
    ck_assert(!fake.endpoint_open);
    out_fini(&t->link.out);
    out_host_fini(&t->outs);
    block_pool_fini(&t->pool);
    block_unref(t->block);
    free(t);
}

static void say(struct talk *t, const char *text)
{
    size_t n = strlen(text), used;

    memcpy(t->block->bytes + t->kept, text, n);
    t->kept += n;
    do {
        t->woken = false;
        used = http_door.on_bytes(t->conn, slice_of(t->block->bytes, t->kept), t->block);
        t->kept -= used;
        memmove(t->block->bytes, t->block->bytes + used, t->kept);
    } while (t->woken);
}

/* All that was written since the last time. */
static const char *hear(struct talk *t)
{
    size_t n = 0;
    struct iovec iov;

    (void)http_door.on_time(t->conn, fake.now_ms);
    while (t->link.out.pending > 0) {
        ck_assert_int_eq(out_peek(&t->link.out, &iov, 1), 1);
        ck_assert_uint_lt(n + iov.iov_len, sizeof t->heard);
        memcpy(t->heard + n, iov.iov_base, iov.iov_len);
        n += iov.iov_len;
        out_consume(&t->link.out, iov.iov_len);
    }
    t->heard[n] = '\0';
    return t->heard;
}

static void request(struct talk *t, const char *line, const char *body)
{
    static char text[BYTES];

    snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%s", line,
             strlen(body), body);
    say(t, text);
}

/* What admin was asked since the last time; "": nothing. */
static const char *asked(void)
{
    static char text[FAKE_TEXT];
    const char *call;

    memcpy(text, fake.trace, fake.trace_n);
    text[fake.trace_n] = '\0';
    fake.trace_n = 0;
    call = strstr(text, "= call");
    return call ? call : "";
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
    {"GET /v1/services", "", "services", "{\"limit\":1000}"},
    {"GET /readyz", "", "ready", "{}"},
    {"GET /healthz", "", "ready", "{}"},
    {"GET /metrics", "", "metrics", "{}"},
    {"GET /v1/openapi.json", "", "page", "{\"path\":\"openapi.json\"}"},
    {"GET /", "", "page", "{}"},
    {"GET /app.js", "", "page", "{\"path\":\"app.js\"}"},
};

START_TEST(asks_admin)
{
    struct talk *t = talk_open();
    char wanted[512];

    fake.answer_at_once = true;
    request(t, good[_i].line, good[_i].body);
    snprintf(wanted, sizeof wanted,
             "= call service=admin method=%s data=%s wait=0 credit=1 complete\n", good[_i].method,
             good[_i].data);
    ck_assert_str_eq(asked(), wanted);
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
    struct talk *t = talk_open();

    request(t, bad[_i].line, bad[_i].body);
    ck_assert_str_eq(asked(), "");
    ck_assert_msg(strncmp(hear(t) + 9, bad[_i].status, 3) == 0, "%s: %s", bad[_i].line, t->heard);
    ck_assert_msg(strstr(t->heard, bad[_i].text) != NULL, "%s: %s", bad[_i].line, t->heard);
    talk_end(t);
}
END_TEST

START_TEST(a_body_has_a_limit)
{
    struct talk *t = talk_open();
    char *body = malloc(60 * 1024 + 2);

    memset(body, ' ', 60 * 1024 + 1);
    body[60 * 1024 + 1] = '\0';
    request(t, "PUT /v1/queues/q", body);
    ck_assert_str_eq(asked(), "");
    ck_assert_msg(strncmp(hear(t), "HTTP/1.1 413", 12) == 0, "%s", t->heard);
    free(body);
    talk_end(t);
}
END_TEST

/* Everything that may grow does so to its most: six times its length. */
START_TEST(all_of_it_escaped)
{
    struct talk *t = talk_open();
    char line[8000] = "GET /v1/queues?after=", *end = line + strlen(line);

    fake.answer_at_once = true;
    for (unsigned i = 0; i < 2000; i++)
        end += sprintf(end, "%%01");
    request(t, line, "");
    ck_assert_ptr_nonnull(strstr(asked(), "\\u0001\\u0001\"}"));
    ck_assert_msg(strncmp(hear(t), "HTTP/1.1 200", 12) == 0, "%s", t->heard);
    talk_end(t);
}
END_TEST

/* Say this, as admin. */
static void answer(const char *data, struct ctype type, struct slice headers)
{
    const struct call_payload p = {.data = slice_str(data), .type = type, .headers = headers};
    struct call *k = &fake.call[(fake.calls - 1) % FAKE_MAX];

    k->ops->next(k->ctx, &p, true);
    fake_end_call(k);
}

static void refuse(enum reason reason, const char *text)
{
    struct call *k = &fake.call[(fake.calls - 1) % FAKE_MAX];
    const struct call_error e = {CALL_REJECTED, reason, slice_str(text)};

    k->ops->error(k->ctx, &e);
    fake_end_call(k);
}

START_TEST(answers_have_their_status_and_fields)
{
    struct talk *t = talk_open();
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
};

/* From within core_call_open(), and later. */
START_TEST(refusals_have_their_status)
{
    struct talk *t = talk_open();
    const char *name = reason_name(refusals[_i].reason);
    char text[64], wanted[160];

    snprintf(text, sizeof text, "%s: so", name);
    snprintf(wanted, sizeof wanted, "{\"error\":{\"reason\":\"%s\",\"text\":\"%s\"}}", name, text);
    request(t, refusals[_i].line, "");
    refuse(refusals[_i].reason, text);
    ck_assert_msg(strncmp(hear(t) + 9, refusals[_i].status, 3) == 0, "%s", t->heard);
    ck_assert_ptr_nonnull(strstr(t->heard, wanted));
    ck_assert(!strstr(t->heard, "Retry-After") == (atoi(refusals[_i].status) < 429));
    fake.fail = -EACCES;
    fake.fail_text = text;
    request(t, refusals[_i].line, "");
    ck_assert_msg(strncmp(hear(t) + 9, refusals[_i].status, 3) == 0, "%s", t->heard);
    ck_assert_ptr_nonnull(strstr(t->heard, wanted));
    talk_end(t);
}
END_TEST

START_TEST(a_client_that_goes_asks_no_more)
{
    struct talk *t = talk_open();

    request(t, "GET /v1/info", "");
    (void)asked();
    http_door.free(t->conn);
    ck_assert(!fake.call[0].open);
    t->conn = http_door.open(&t->link);
    talk_end(t);
}
END_TEST

START_TEST(alive_without_asking)
{
    struct talk *t = talk_open();

    request(t, "GET /livez", "");
    ck_assert_str_eq(asked(), "");
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
    tcase_add_test(tc, a_client_that_goes_asks_no_more);
    tcase_add_test(tc, alive_without_asking);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
