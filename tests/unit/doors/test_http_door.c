/* The HTTP door's connections: requests in, answers out, byte by byte as in one piece. */
#include "tests/unit/support.h"

#include "brokerd/core/call.h"
#include "tests/unit/doors/http_talk.h"

#define OK(n)                                                                                      \
    "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: " #n "\r\n"
#define ONE OK(27) "\r\n{\"matched\":1,\"accepted\":1}\n"
#define NOBODY OK(27) "\r\n{\"matched\":0,\"accepted\":0}\n"
#define H "Host: localhost\r\n"
#define POST(path, fields, body) "POST " path " HTTP/1.1\r\n" H fields "\r\n" body
#define A POST("/v1/topics/a", "Content-Length: 3\r\n", "abc")
#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
#define ERROR(status, n, extra, reason, text)                                                      \
    "HTTP/1.1 " status "\r\nContent-Type: application/json\r\nContent-Length: " #n "\r\n" extra    \
    "\r\n{\"error\":{\"reason\":\"" reason "\",\"text\":\"" reason ": " text "\"}}\n"
#define LINES "Content-Type: application/x-ndjson\r\n"
#define DONE(n, lines, matched, accepted, refused, errors)                                         \
    OK(n)                                                                                          \
    "\r\n{\"lines\":" lines ",\"matched\":" matched ",\"accepted\":" accepted                      \
    ",\"refused\":" refused ",\"errors\":[" errors "]}\n"
#define CLOSE "Connection: close\r\n"

static const struct {
    const char *name, *said, *heard; /* heard that begins with ~: the beginning is enough */
    bool closed;
} rows[] = {
    {"a message", A, ONE, false},
    {"two", A A, ONE ONE, false},
    {"empty lines before it", "\r\n\r\n" A "\r\n" A, ONE ONE, false},
    {"no body at all", POST("/v1/topics/a", "", ""), ONE, false},
    {"for nobody", POST("/v1/topics/b", "Content-Length: 1\r\n", "x"), NOBODY, false},
    {"to a queue", POST("/v1/queues/q/messages", "Content-Length: 1\r\n", "x"), ONE, false},
    {"a name in percents", POST("/v1/topics/%61", "", ""), ONE, false},
    {"a query is not the path", POST("/v1/topics/a?x=/y", "", ""), ONE, false},
    {"chunks", POST("/v1/topics/a", CHUNKED, "1\r\na\r\n02;x=y\r\nbc\r\n0\r\n\r\n") A, ONE ONE,
     false},
    {"chunks and fields behind them",
     POST("/v1/topics/a", CHUNKED, "3\r\nabc\r\n0\r\nX: y\r\n\r\n") A, ONE ONE, false},
    {"no chunk at all", POST("/v1/topics/a", CHUNKED, "0\r\n\r\n"), ONE, false},
    {"told to go on", POST("/v1/topics/a", "Expect: 100-continue\r\nContent-Length: 3\r\n", ""),
     CONTINUE, false},
    {"close", POST("/v1/topics/a", "Connection: close\r\n", "") A,
     OK(27) CLOSE "\r\n{\"matched\":1,\"accepted\":1}\n", true},
    {"HTTP/1.0", "POST /v1/topics/a HTTP/1.0\r\n\r\n" A,
     OK(27) CLOSE "\r\n{\"matched\":1,\"accepted\":1}\n", true},
    {"HTTP/1.0, kept", "POST /v1/topics/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" A,
     OK(27) "Connection: keep-alive\r\n\r\n{\"matched\":1,\"accepted\":1}\n" ONE, false},
    {"a message that must be for somebody",
     POST("/v1/topics/b", "Broker-Require: 1\r\nContent-Length: 1\r\n", "x") A,
     ERROR("404 Not Found", 68, "", "no-match", "no queue matched") ONE, false},
    {"a bad name", POST("/v1/topics/a..b", "Content-Length: 1\r\n", "x") A, "~HTTP/1.1 400 Bad",
     false},
    {"an option nobody knows", POST("/v1/topics/a", "Broker-What: 1\r\n", ""),
     ERROR("400 Bad Request", 80, "", "invalid", "header $what is not known here"), false},
    {"a broker's name", POST("/v1/topics/$SYS.x", "", ""), "~HTTP/1.1 403 Forbidden\r\n", false},
    {"nothing there", POST("/v1/nothing", "Content-Length: 3\r\n", "abc") A,
     "~HTTP/1.1 404 Not Found\r\n", false},
    {"a colon is an action", POST("/v1/topics/a:b", "", ""), "~HTTP/1.1 404 Not Found\r\n", false},
    {"a colon in percents is none", POST("/v1/topics/a%3Ab", "", ""), NOBODY, false},
    {"a wrong method", "GET /v1/topics/a HTTP/1.1\r\n" H "\r\n",
     ERROR("405 Method Not Allowed", 71, "Allow: POST\r\n", "invalid", "this path is for POST"),
     false},
    {"HEAD says no body", "HEAD /v1/nothing HTTP/1.1\r\n" H "\r\n" A,
     "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 128\r\n\r\n" ONE,
     false},
    {"nobody serves", POST("/v1/services/s/m", "Content-Length: 1\r\n", "x") A,
     ERROR("503 Service Unavailable", 73, "Retry-After: 1\r\n", "no-server",
           "nobody serves \\\"s\\\"") ONE,
     false},
    /* a message a line */
    {"lines",
     POST("/v1/topics/a", LINES "Content-Length: 22\r\n", "{\"data\":1}\n{\"data\":2}\n") A,
     DONE(61, "2", "2", "2", "0", "") ONE, false},
    {"lines in chunks, the last without an end",
     POST("/v1/topics/a", LINES CHUNKED,
          "5\r\n{\"dat\r\n7\r\na\":1}\n{\r\n9\r\n\"data\":2}\r\n0\r\n\r\n"),
     DONE(61, "2", "2", "2", "0", ""), false},
    {"no lines", POST("/v1/topics/a", LINES, ""), DONE(61, "0", "0", "0", "0", ""), false},
    {"lines that are wrong",
     POST("/v1/topics/a", LINES "Content-Length: 44\r\n",
          "\n{}\n[]\nx\n{\"data\":1,\"what\":2}\n{\"topic\":\"a..\"}"),
     "~HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n", false},
    {"lines of which some are wrong",
     POST("/v1/topics/a", LINES "Content-Length: 13\r\n", "x\n{\"data\":1}\n"),
     "~HTTP/1.1 207 Multi-Status\r\nContent-Type: application/json\r\n", false},
    {"the first of two refusals, though it is known last",
     POST("/v1/topics/b", LINES "Content-Length: 27\r\n", "{\"data\":1,\"require\":true}\nx"),
     "~HTTP/1.1 404 Not Found\r\n", false},
    {"a blank line is no message", POST("/v1/topics/a", LINES "Content-Length: 3\r\n", "\nx\n"),
     "~HTTP/1.1 400 Bad Request\r\n", false},
    {"nothing but blank lines", POST("/v1/topics/a", LINES "Content-Length: 3\r\n", "\n \n"),
     DONE(61, "2", "0", "0", "0", ""), false},
    {"lines that say where, and more",
     POST("/v1/queues/q/messages", LINES "Content-Length: 88\r\n",
          "{\"topic\":\"a\",\"data\":\"x\",\"ttl\":5000}\r\n{\"queue\":\"r\",\"base64\":\"AA==\","
          "\"headers\":{\"b\":\"c\"}}\n "),
     DONE(61, "3", "2", "2", "0", ""), false},
    {"a line for nobody that must be for somebody",
     POST("/v1/topics/b", LINES "Content-Length: 25\r\n", "{\"data\":1,\"require\":true}"),
     "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 127\r\n\r\n"
     "{\"lines\":1,\"matched\":0,\"accepted\":0,\"refused\":1,\"errors\":[{\"line\":1,"
     "\"reason\":\"no-match\",\"text\":\"no-match: no queue matched\"}]}\n",
     false},
    /* too much */
    {"too long a body", POST("/v1/topics/a", "Content-Length: 100001\r\n", "x"),
     ERROR("413 Content Too Large", 84, CLOSE, "too-large", "the body may have 100000 bytes"),
     true},
    {"too long, and asked before",
     POST("/v1/topics/a", "Expect: 100-continue\r\nContent-Length: 100001\r\n", ""),
     ERROR("413 Content Too Large", 84, CLOSE, "too-large", "the body may have 100000 bytes"),
     true},
    {"a chunk too large", POST("/v1/topics/a", CHUNKED, "fffffff\r\nabc"), "", false},
    /* what two readers may read in two ways */
    {"two lengths", POST("/v1/topics/a", "Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"),
     "~HTTP/1.1 400 Bad Request\r\n", true},
    {"the same length twice",
     POST("/v1/topics/a", "Content-Length: 3\r\nContent-Length: 3\r\n", ""),
     "~HTTP/1.1 400 Bad Request\r\n", true},
    {"a length and chunks", POST("/v1/topics/a", CHUNKED "Content-Length: 3\r\n", "0\r\n\r\n"),
     "~HTTP/1.1 400 Bad Request\r\n", true},
    {"another coding", POST("/v1/topics/a", "Transfer-Encoding: gzip, chunked\r\n", ""),
     "~HTTP/1.1 ", true},
    {"chunked twice", POST("/v1/topics/a", CHUNKED CHUNKED, "0\r\n\r\n"), "~HTTP/1.1 400", true},
    {"chunks in HTTP/1.0", "POST /v1/topics/a HTTP/1.0\r\n" CHUNKED "\r\n0\r\n\r\n",
     "~HTTP/1.1 400 Bad Request\r\n", true},
    {"a length that is none", POST("/v1/topics/a", "Content-Length: 3x\r\n", "abc"),
     "~HTTP/1.1 400 Bad Request\r\n", true},
    {"a negative length", POST("/v1/topics/a", "Content-Length: -3\r\n", "abc"),
     "~HTTP/1.1 400 Bad Request\r\n", true},
    {"a length with a sign", POST("/v1/topics/a", "Content-Length: +3\r\n", "abc"),
     "~HTTP/1.1 400 Bad Request\r\n", true},
    {"an enormous length", POST("/v1/topics/a", "Content-Length: 99999999999999999999\r\n", ""),
     "~HTTP/1.1 ", true},
    {"a line that goes on", POST("/v1/topics/a", "X: a\r\n b\r\n", ""), "~HTTP/1.1 400", true},
    {"a blank before the colon", POST("/v1/topics/a", "Content-Length : 3\r\n", "abc"),
     "~HTTP/1.1 400 Bad Request\r\n", true},
    {"lines without CR", "POST /v1/topics/a HTTP/1.1\nHost: localhost\n\n",
     "~HTTP/1.1 400 Bad Request\r\n", true},
    {"one line without CR", "POST /v1/topics/a HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
     "~HTTP/1.1 400 Bad Request\r\n", true},
    {"a CR in a field", POST("/v1/topics/a", "X: a\rb\r\n", ""), "~HTTP/1.1 400", true},
    {"a NUL in a field", POST("/v1/topics/a", "X: a\001b\r\n", ""), "~HTTP/1.1 400", true},
    {"chunks without CR", POST("/v1/topics/a", CHUNKED, "1\na\n0\n\n"), "~HTTP/1.1 400", true},
    {"a chunk longer than its size", POST("/v1/topics/a", CHUNKED, "1\r\nab\r\n0\r\n\r\n"),
     "~HTTP/1.1 400 Bad Request\r\n", true},
    {"a size with a sign", POST("/v1/topics/a", CHUNKED, "+1\r\na\r\n0\r\n\r\n"),
     "~HTTP/1.1 400 Bad Request\r\n", true},
    {"a size with 0x", POST("/v1/topics/a", CHUNKED, "0x1\r\na\r\n0\r\n\r\n"),
     "~HTTP/1.1 400 Bad Request\r\n", true},
    {"an enormous chunk", POST("/v1/topics/a", CHUNKED, "ffffffffffffffff1\r\n"),
     "~HTTP/1.1 400 Bad Request\r\n", true},
    /* the head */
    {"no Host", "POST /v1/topics/a HTTP/1.1\r\n\r\n", "~HTTP/1.1 400 Bad Request\r\n", true},
    {"two Hosts", POST("/v1/topics/a", H, ""), "~HTTP/1.1 400 Bad Request\r\n", true},
    {"a method of another world", "TRACE / HTTP/1.1\r\n" H "\r\n", "~HTTP/1.1 501", true},
    {"a proxy's request", "GET http://localhost/ HTTP/1.1\r\n" H "\r\n", "~HTTP/1.1 400", true},
    {"no path", "OPTIONS * HTTP/1.1\r\n" H "\r\n", "~HTTP/1.1 404", false},
    {"another version", "POST /v1/topics/a HTTP/1.2\r\n" H "\r\n", "~HTTP/1.1 505", true},
    {"an expectation", POST("/v1/topics/a", "Expect: a miracle\r\n", ""), "~HTTP/1.1 417", true},
    {"a wrong percent", POST("/v1/topics/a%4", "", ""), "~HTTP/1.1 400", true},
    /* who comes */
    {"a page of another host", POST("/v1/topics/a", "Origin: http://evil.example\r\n", ""),
     "~HTTP/1.1 403 Forbidden\r\n", true},
    {"a page without a host", POST("/v1/topics/a", "Origin: null\r\n", ""), "~HTTP/1.1 403", true},
    {"a page of this host", POST("/v1/topics/a", "Origin: http://localhost:80\r\n", ""), ONE,
     false},
    {"another's page may only look",
     "GET /v1/nothing HTTP/1.1\r\n" H "Origin: http://evil.example\r\n\r\n", "~HTTP/1.1 404",
     false},
    {"a port that is none", "POST /v1/topics/a HTTP/1.1\r\nHost: localhost:evil.example\r\n\r\n",
     "~HTTP/1.1 403 Forbidden\r\n", true},
    {"a WebSocket with a body",
     "GET /json HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\n"
     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
     "Content-Length: 5\r\n\r\nabcde",
     "~HTTP/1.1 400 Bad Request\r\n", true},
    {"a name that is not ours", "POST /v1/topics/a HTTP/1.1\r\nHost: evil.example\r\n\r\n",
     "~HTTP/1.1 403 Forbidden\r\n", true},
    {"our address", "POST /v1/topics/a HTTP/1.1\r\nHost: 127.0.0.1:7070\r\n\r\n", ONE, false},
    {"our longer address", "POST /v1/topics/a HTTP/1.1\r\nHost: [::1]:7070\r\n\r\n", ONE, false},
    {"our friend's name", "POST /v1/topics/a HTTP/1.1\r\nHost: friend.example\r\n\r\n", ONE, false},
    {"our friend's page", POST("/v1/topics/a", "Origin: https://friend.example\r\n", ""),
     OK(27) "Access-Control-Allow-Origin: https://friend.example\r\nVary: Origin\r\n"
            "Access-Control-Expose-Headers: *\r\n\r\n{\"matched\":1,\"accepted\":1}\n",
     false},
    {"our friend's page asks first",
     "OPTIONS /v1/topics/a HTTP/1.1\r\n" H "Origin: https://friend.example\r\n"
     "Access-Control-Request-Method: POST\r\n\r\n",
     "HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: https://friend.example\r\n"
     "Vary: Origin\r\nAccess-Control-Allow-Methods: GET, HEAD, POST, PUT, DELETE, PATCH\r\n"
     "Access-Control-Allow-Headers: *\r\nAccess-Control-Max-Age: 600\r\n\r\n",
     false},
    {"nobody else need ask", "OPTIONS /v1/topics/a HTTP/1.1\r\n" H "\r\n", "~HTTP/1.1 405", false},
};

enum { PIPELINE = 1000 };

static const char *const friends[] = {"https://friend.example"};
static const size_t steps[] = {0, 1, 2, 3, 7, 100};

/* A world with one core, a subscriber to `a`, and a client. */
struct scene {
    struct world w;
    struct policy_set *policies;
    struct world_peer listener;
    struct http_talk *t;
};

static void scene_begin(struct scene *s, size_t step)
{
    memset(s, 0, sizeof *s);
    s->policies = world_policy(POLICY_QUEUE, "", "");
    world_start(&s->w, 1, s->policies, 64 << 20);
    world_connect(&s->w, &s->listener, 0);
    world_subscribe(&s->listener, "a", CORE_UNLIMITED);
    world_run(&s->w);
    s->t = http_open(&s->w, 0, step);
    s->t->site.origins = friends;
    s->t->site.origins_n = ARRAY_LEN(friends);
    s->t->site.carried = UINT16_MAX;
}

static void scene_end(struct scene *s)
{
    http_end(s->t);
    world_disconnect(&s->listener);
    world_run(&s->w);
    world_stop(&s->w);
    policy_set_unref(s->policies);
}

START_TEST(conversations)
{
    bool begins = rows[_i].heard[0] == '~';
    const char *wanted = rows[_i].heard + begins;
    struct scene s;
    char *whole = NULL;

    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        scene_begin(&s, steps[i]);
        http_say(s.t, rows[_i].said);
        ck_assert_msg(begins ? strncmp(s.t->heard, wanted, strlen(wanted)) == 0
                             : strcmp(s.t->heard, wanted) == 0,
                      "%s, by %zu: heard\n%s\nnot\n%s", rows[_i].name, steps[i], s.t->heard,
                      wanted);
        ck_assert_msg(s.t->closed == rows[_i].closed, "%s, by %zu: closed %d (%s)", rows[_i].name,
                      steps[i], s.t->closed, s.t->why);
        if (!whole)
            whole = strdup(s.t->heard);
        ck_assert_str_eq(s.t->heard, whole);
        scene_end(&s);
    }
    free(whole);
}
END_TEST

/* ---- order, bounds, time */

/* A service that answers when it is told to. */
struct late {
    struct call *call[PIPELINE];
    unsigned n, closed;
};

static void late_closed(void *ctx)
{
    ((struct late *)ctx)->closed++;
}

static void late_request_n(void *ctx, uint32_t n)
{
    (void)ctx, (void)n;
}

static void late_cancel(void *ctx)
{
    (void)ctx;
}

static const struct call_ops late_ops = {
    .request_n = late_request_n, .cancel = late_cancel, .closed = late_closed};

static int late_open(void *ctx, struct call *call, const struct call_request *r,
                     struct refusal *why)
{
    struct late *l = ctx;

    (void)why;
    ck_assert_int_eq(r->model, CALL_RESPONSE);
    ck_assert_uint_lt(l->n, PIPELINE);
    l->call[l->n++] = call;
    core_call_accept(call, &late_ops, l, 0);
    return 0;
}

static const struct server_ops late_server = {.open = late_open};

static void answer_late(struct scene *s, struct call *call, const char *text)
{
    const struct call_payload p = {.data = slice_str(text), .type = {.id = CTYPE_NONE}};

    ck_assert_int_eq(core_call_next(call, &p, true), 0);
    http_settle(s->t);
}

#define LATE POST("/v1/services/late/m", "", "")
#define SAID(n, text) "HTTP/1.1 200 OK\r\nContent-Length: " #n "\r\n\r\n" text

START_TEST(answers_keep_their_order)
{
    struct late l = {.n = 0};
    struct scene s;

    scene_begin(&s, steps[_i]);
    ck_assert_int_eq(core_serve_own(s.w.core[0], "late", &late_server, &l), 0);
    http_say(s.t, LATE LATE A LATE);
    ck_assert_msg(l.n == 3, "%s", s.t->heard);
    ck_assert_str_eq(s.t->heard, "");
    answer_late(&s, l.call[1], "two");
    ck_assert_str_eq(s.t->heard, "");
    answer_late(&s, l.call[0], "one");
    ck_assert_str_eq(s.t->heard, SAID(3, "one") SAID(3, "two") ONE);
    answer_late(&s, l.call[2], "");
    ck_assert_str_eq(s.t->heard, SAID(3, "one") SAID(3, "two") ONE SAID(0, ""));
    ck_assert(!s.t->closed);
    scene_end(&s);
    ck_assert_uint_eq(l.closed, 3);
}
END_TEST

START_TEST(a_client_that_goes_gives_its_calls_up)
{
    struct late l = {.n = 0};
    struct scene s;

    scene_begin(&s, 0);
    ck_assert_int_eq(core_serve_own(s.w.core[0], "late", &late_server, &l), 0);
    http_say(s.t, LATE LATE);
    answer_late(&s, l.call[1], "held");
    scene_end(&s);
    ck_assert_uint_eq(l.closed, 2);
}
END_TEST

/* Its client says nothing more, and waits. */
START_TEST(the_last_answers_are_given)
{
    struct late l = {.n = 0};
    struct scene s;

    scene_begin(&s, steps[_i]);
    ck_assert_int_eq(core_serve_own(s.w.core[0], "late", &late_server, &l), 0);
    http_say(s.t, LATE A LATE);
    http_door.on_eof(s.t->conn);
    http_settle(s.t);
    ck_assert(!s.t->closed);
    answer_late(&s, l.call[0], "one");
    ck_assert(!s.t->closed);
    answer_late(&s, l.call[1], "two");
    ck_assert_str_eq(s.t->heard, SAID(3, "one") ONE SAID(3, "two"));
    ck_assert(s.t->closed && s.t->end == LINK_ENDED);
    scene_end(&s);
}
END_TEST

/* And what it said last was not whole. */
static const char *const cut_off[] = {
    "POST /v1/topics/a HT", POST("/v1/topics/a", "Content-Length: 9\r\n", "x"),
    POST("/v1/topics/a", CHUNKED, "5\r\nx"), POST("/v1/topics/a", LINES CHUNKED, "5\r\nx")};

START_TEST(a_request_cut_off)
{
    struct late l = {.n = 0};
    struct scene s;

    scene_begin(&s, 0);
    ck_assert_int_eq(core_serve_own(s.w.core[0], "late", &late_server, &l), 0);
    http_say(s.t, LATE);
    http_say(s.t, cut_off[_i]);
    http_door.on_eof(s.t->conn);
    http_settle(s.t);
    ck_assert(!s.t->closed);
    answer_late(&s, l.call[0], "one");
    ck_assert_str_eq(s.t->heard, SAID(3, "one"));
    ck_assert(s.t->closed && s.t->end == LINK_CUT);
    scene_end(&s);
}
END_TEST

/* More requests than are looked at together: those that were left are looked at, too. */
START_TEST(the_end_behind_many)
{
    struct late l = {.n = 0};
    struct scene s;

    scene_begin(&s, 0);
    ck_assert_int_eq(core_serve_own(s.w.core[0], "late", &late_server, &l), 0);
    for (unsigned i = 0; i < 200; i++)
        http_say(s.t, LATE);
    http_door.on_eof(s.t->conn);
    for (unsigned i = 0; i < 200; i++) {
        ck_assert(!s.t->closed);
        answer_late(&s, l.call[i], "");
    }
    ck_assert(s.t->closed && s.t->end == LINK_ENDED);
    scene_end(&s);
    ck_assert_uint_eq(l.closed, 200);
}
END_TEST

START_TEST(so_many_requests_and_no_more)
{
    struct late l = {.n = 0};
    struct scene s;

    scene_begin(&s, 0);
    ck_assert_int_eq(core_serve_own(s.w.core[0], "late", &late_server, &l), 0);
    for (unsigned i = 0; i < 1000; i++)
        http_say(s.t, LATE);
    ck_assert_uint_eq(l.n, 128);
    ck_assert(s.t->paused);
    for (unsigned i = 0; i < 1000; i++)
        answer_late(&s, l.call[i], "");
    ck_assert_uint_eq(l.n, 1000);
    ck_assert(!s.t->paused);
    scene_end(&s);
    ck_assert_uint_eq(l.closed, 1000);
}
END_TEST

START_TEST(answers_held_have_a_bound)
{
    static char big[300000];
    struct late l = {.n = 0};
    struct scene s;

    memset(big, 'x', sizeof big - 1);
    scene_begin(&s, 0);
    ck_assert_int_eq(core_serve_own(s.w.core[0], "late", &late_server, &l), 0);
    http_say(s.t, LATE);
    for (unsigned i = 1; i < 10; i++) {
        http_say(s.t, LATE);
        if (i < l.n)
            answer_late(&s, l.call[i], big);
    }
    ck_assert_uint_eq(l.n, 5); /* the first, and what makes 1 MiB */
    answer_late(&s, l.call[0], "");
    ck_assert_uint_eq(l.n, 10);
    scene_end(&s);
}
END_TEST

START_TEST(who_does_not_read_is_not_read)
{
    struct late l = {.n = 0};
    static char big[300000];
    struct scene s;

    memset(big, 'x', sizeof big - 1);
    scene_begin(&s, 0);
    ck_assert_int_eq(core_serve_own(s.w.core[0], "late", &late_server, &l), 0);
    http_say(s.t, "");
    s.t->deaf = true;
    for (unsigned i = 0; i < 5; i++) {
        http_say_n(s.t, LATE, strlen(LATE));
        ck_assert_uint_eq(l.n, i < 4 ? i + 1 : 4);
        if (i < l.n)
            answer_late(&s, l.call[i], big);
    }
    http_wait(s.t, 1);
    http_wait(s.t, 9000);
    ck_assert(!s.t->closed);
    http_wait(s.t, 1000);
    ck_assert(s.t->closed && !s.t->clean);
    ck_assert_str_eq(s.t->why, "it does not take its answers");
    scene_end(&s);
}
END_TEST

START_TEST(a_head_takes_its_time)
{
    struct scene s;

    scene_begin(&s, 0);
    http_say(s.t, A "POST /v1");
    for (unsigned i = 0; i < 9; i++) {
        http_wait(s.t, 1000);
        http_say(s.t, "/x");
    }
    ck_assert(!s.t->closed);
    http_wait(s.t, 1000);
    ck_assert(s.t->closed);
    ck_assert_ptr_nonnull(strstr(s.t->heard, ONE "HTTP/1.1 408 Request Timeout\r\n"));
    scene_end(&s);
}
END_TEST

/* At 600 bytes a second it gets on, at 100 it does not. */
START_TEST(a_body_gets_on)
{
    char piece[700];
    struct scene s;

    for (unsigned i = 0; i < 4; i++) {
        unsigned n = i & 1 ? 100 : 600, seconds = 0;

        scene_begin(&s, 0);
        http_say(s.t, i & 2 ? POST("/v1/topics/a", CHUNKED, "")
                            : POST("/v1/topics/a", "Content-Length: 60000\r\n", ""));
        memset(piece, 'x', sizeof piece);
        for (; seconds < 90 && !s.t->closed; seconds++) {
            if (i & 2) {
                int at = snprintf(piece, sizeof piece, "%x\r\n", n);

                memset(piece + at, 'x', n);
                memcpy(piece + at + n, "\r\n", 2);
                http_say_n(s.t, piece, (size_t)at + n + 2);
            } else {
                http_say_n(s.t, piece, n);
            }
            http_wait(s.t, 1000);
        }
        ck_assert_msg(s.t->closed == (n == 100), "%u: closed %d after %u s", i, s.t->closed,
                      seconds);
        ck_assert(!s.t->closed || strncmp(s.t->heard, "HTTP/1.1 408", 12) == 0);
        scene_end(&s);
    }
}
END_TEST

START_TEST(silence_has_an_end)
{
    struct scene s;

    scene_begin(&s, 0);
    http_say(s.t, A);
    for (unsigned i = 0; i < 74; i++)
        http_wait(s.t, 1000);
    http_say(s.t, A);
    ck_assert_str_eq(s.t->heard, ONE ONE);
    for (unsigned i = 0; i < 74; i++)
        http_wait(s.t, 1000);
    ck_assert(!s.t->closed);
    http_wait(s.t, 1000);
    ck_assert(s.t->closed && s.t->clean);
    scene_end(&s);
}
END_TEST

START_TEST(a_drain_ends_it_in_order)
{
    struct late l = {.n = 0};
    struct scene s;

    scene_begin(&s, 0);
    ck_assert_int_eq(core_serve_own(s.w.core[0], "late", &late_server, &l), 0);
    http_say(s.t, LATE);
    http_door.on_drain(s.t->conn);
    ck_assert(!s.t->closed);
    answer_late(&s, l.call[0], "x");
    ck_assert_str_eq(s.t->heard, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" CLOSE "\r\nx");
    ck_assert(s.t->closed && s.t->clean);
    scene_end(&s);
}
END_TEST

/* More lines than a window has: what is not read waits, and nothing is lost. */
START_TEST(lines_beyond_the_window)
{
    enum { MANY = 20000 };
    char *lines = malloc(MANY * 16), head[200];
    size_t n = 0;
    struct scene s;

    for (unsigned i = 0; i < MANY; i++)
        n += (size_t)sprintf(lines + n, "{\"data\":%u}\n", i % 10);
    for (size_t step = 999; step < HTTP_KEPT; step *= 20) {
        scene_begin(&s, step);
        snprintf(head, sizeof head, POST("/v1/topics/a", LINES "Content-Length: %zu\r\n", ""), n);
        http_say(s.t, head);
        http_say_n(s.t, lines, n);
        ck_assert_uint_eq(s.listener.deliveries, MANY);
        ck_assert_ptr_nonnull(strstr(s.t->heard, "\"accepted\":20000,"));
        ck_assert(!s.t->closed && !s.t->paused);
        scene_end(&s);
    }
    free(lines);
}
END_TEST

START_TEST(a_line_too_long)
{
    static char line[70000];
    struct scene s;

    memset(line, 'x', sizeof line);
    scene_begin(&s, 5000);
    http_say(s.t, POST("/v1/topics/a", LINES "Content-Length: 1000000\r\n", ""));
    http_say_n(s.t, line, sizeof line);
    ck_assert_int_eq(strncmp(s.t->heard, "HTTP/1.1 413", 12), 0);
    ck_assert(s.t->closed);
    scene_end(&s);
}
END_TEST

/* What a message is besides its body. */
START_TEST(headers_come_along)
{
    struct scene s;

    scene_begin(&s, 0);
    http_say(s.t, POST("/v1/topics/a",
                       "Broker-Meta-Colour: red\r\nTraceparent: 00-1\r\nCE-Id: 7\r\n"
                       "Broker-Reply-To: back\r\nBroker-TTL: 5000\r\nX-Other: no\r\n",
                       ""));
    ck_assert_str_eq(s.t->heard, ONE);
    ck_assert_str_eq(s.listener.headers, "Colour=red;traceparent=00-1;ce-id=7;$reply-to=back;");
    scene_end(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http connections");
    TCase *tc = tcase_create("http connections");

    tcase_add_loop_test(tc, conversations, 0, (int)ARRAY_LEN(rows));
    tcase_add_loop_test(tc, answers_keep_their_order, 0, (int)ARRAY_LEN(steps));
    tcase_add_test(tc, a_client_that_goes_gives_its_calls_up);
    tcase_add_loop_test(tc, the_last_answers_are_given, 0, (int)ARRAY_LEN(steps));
    tcase_add_loop_test(tc, a_request_cut_off, 0, (int)ARRAY_LEN(cut_off));
    tcase_add_test(tc, the_end_behind_many);
    tcase_add_test(tc, so_many_requests_and_no_more);
    tcase_add_test(tc, answers_held_have_a_bound);
    tcase_add_test(tc, who_does_not_read_is_not_read);
    tcase_add_test(tc, a_head_takes_its_time);
    tcase_add_test(tc, a_body_gets_on);
    tcase_add_test(tc, silence_has_an_end);
    tcase_add_test(tc, a_drain_ends_it_in_order);
    tcase_add_test(tc, headers_come_along);
    tcase_add_test(tc, lines_beyond_the_window);
    tcase_add_test(tc, a_line_too_long);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
