/* Consuming by HTTP with real cores and a clock of our own: when what is settled, what comes again,
 * what a stalled reader is given. The queue lives on core 0; clients are on core 0 in the first run
 * of each test, on core 1 in the second. */
#include "tests/unit/support.h"

#include "brokerd/core/names.h"
#include "brokerd/doors/http/receipt.h"
#include "tests/unit/doors/http_talk.h"

#define H "Host: localhost\r\n"

static struct world w;
static struct policy_set *policies;
static struct world_peer pub;
static struct http_talk *a, *b;

static void start(int run)
{
    policies = world_policy(POLICY_QUEUE, "#", "ack-timeout=30s");
    world_start(&w, 2, policies, 64 << 20);
    world_connect(&w, &pub, 0);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, true, "work", "one two three"), 0);
    world_run(&w);
    a = http_open(&w, run ? 1 : 0, 0);
    b = http_open(&w, 1, 0);
}

static void teardown(void)
{
    http_end(a);
    http_end(b);
    world_stop(&w);
    policies = policy_set_unref(policies);
}

/* The client of `t` has gone; another comes. */
static struct http_talk *cut(struct http_talk *t)
{
    http_end(t);
    world_run(&w);
    return http_open(&w, 1, 0);
}

static const struct settled_counters *counted(void)
{
    const struct named *n = map_get(&w.core[0]->names, SLICE("work"));

    return &((struct queue *)slots_get(&w.core[0]->slots, SLOT_QUEUE, n->queue))->backlog->settled;
}

static uint64_t inflight(void)
{
    const struct named *n = map_get(&w.core[0]->names, SLICE("work"));

    return ((struct queue *)slots_get(&w.core[0]->slots, SLOT_QUEUE, n->queue))->backlog->inflight;
}

static void forget(struct http_talk *t)
{
    t->heard_n = 0;
    t->heard[0] = '\0';
}

static void ask(struct http_talk *t, const char *line, const char *fields)
{
    char text[512];

    forget(t);
    (void)snprintf(text, sizeof text, "%s HTTP/1.1\r\n" H "%s\r\n", line, fields);
    http_say(t, text);
}

/* Both see the time go by. */
static void wait(int64_t ms)
{
    http_wait(a, ms);
    http_wait(b, 0);
}

static bool hears(const struct http_talk *t, const char *what)
{
    return strstr(t->heard, what);
}

static unsigned times(const struct http_talk *t, const char *what)
{
    unsigned n = 0;

    for (const char *p = t->heard; (p = strstr(p, what)) != NULL; p++)
        n++;
    return n;
}

/* The n-th id heard, from 1, after `before`. */
static const char *id_of(const struct http_talk *t, const char *before, unsigned n)
{
    static char id[RECEIPT_SIZE + 1];
    const char *p = t->heard;

    for (unsigned i = 0; i < n; i++) {
        p = strstr(p, before);
        ck_assert_msg(p, "no id %u: %s", n, t->heard);
        p += strlen(before);
    }
    memcpy(id, p, sizeof id - 1);
    return id;
}

/* ------------------------------------------------------------------------------------- polling */

START_TEST(a_poll_is_answered_at_once)
{
    start(_i);
    ask(a, "POST /v1/queues/work/messages:receive?max=2", "");
    ck_assert(hears(a, "\"data\":\"one\"") && hears(a, "\"data\":\"two\""));
    ck_assert(!hears(a, "three"));
    ck_assert_uint_eq(inflight(), 2);
    ask(a, "POST /v1/queues/other/messages:receive", "");
    ck_assert(hears(a, "\r\n\r\n{\"messages\":[]}"));
    teardown();
}
END_TEST

START_TEST(a_poll_waits)
{
    start(_i);
    ask(a, "POST /v1/queues/other/messages:receive?wait=5s", "");
    wait(4999);
    ck_assert_str_eq(a->heard, "");
    wait(1);
    ck_assert(hears(a, "{\"messages\":[]}"));
    ask(a, "POST /v1/queues/other/messages:receive?wait=5s", "");
    wait(4000);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, true, "other", "now"), 0);
    http_settle(a);
    ck_assert(hears(a, "\"data\":\"now\""));
    teardown();
}
END_TEST

START_TEST(who_goes_has_had_nothing)
{
    start(_i);
    ask(a, "POST /v1/queues/other/messages:receive?wait=5s", "");
    a = cut(a);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, true, "other", "kept"), 0);
    world_run(&w);
    ask(b, "POST /v1/queues/other/messages:receive", "");
    ck_assert(hears(b, "\"data\":\"kept\",\"attempt\":1"));
    teardown();
}
END_TEST

/* The client has ended its direction: perhaps it waits for its answer, perhaps it has gone. */
START_TEST(an_end_cuts_the_wait_short)
{
    start(_i);
    ask(a, "POST /v1/queues/other/messages:receive?wait=5s", "");
    http_door.on_eof(a->conn);
    http_settle(a);
    ck_assert(hears(a, "{\"messages\":[]}"));
    ck_assert(a->closed);
    ck_assert_int_eq(world_publish(&pub, PUBLISH_WINDOW, true, "other", "kept"), 0);
    world_run(&w);
    ask(b, "POST /v1/queues/other/messages:receive", "");
    ck_assert(hears(b, "\"data\":\"kept\",\"attempt\":1"));
    teardown();
}
END_TEST

/* And who waits for no message gets those that are there. */
START_TEST(an_end_right_behind_a_poll)
{
    start(_i);
    ask(a, "POST /v1/queues/work/messages:receive?max=2&wait=5s", "");
    http_door.on_eof(a->conn);
    http_settle(a);
    ck_assert(hears(a, "\"data\":\"one\"") && hears(a, "\"data\":\"two\""));
    ck_assert(a->closed);
    teardown();
}
END_TEST

START_TEST(a_stream_ends_with_its_client)
{
    start(_i);
    ask(a, "GET /v1/queues/work/events?settle=10s", "");
    ck_assert(!a->closed);
    http_door.on_eof(a->conn);
    ck_assert(a->closed);
    teardown();
}
END_TEST

START_TEST(what_is_received_is_settled_elsewhere)
{
    char line[128];

    start(_i);
    ask(a, "POST /v1/queues/work/messages:receive?visibility=2s", "");
    (void)snprintf(line, sizeof line, "DELETE /v1/queues/work/messages/%s",
                   id_of(a, "\"id\":\"", 1));
    ask(b, line, "");
    ck_assert(hears(b, "HTTP/1.1 204 "));
    ask(b, line, "");
    ck_assert(hears(b, "HTTP/1.1 404 "));
    ck_assert_uint_eq(inflight(), 2);
    wait(1999);
    ck_assert_uint_eq(counted()->timeouts, 0);
    wait(1);
    ck_assert_uint_eq(counted()->timeouts, 2);
    ck_assert_uint_eq(counted()->acked, 1);
    teardown();
}
END_TEST

/* Who asked is gone when the queue's worker answers. */
START_TEST(nobody_hears_what_was_settled)
{
    char line[128];

    start(0);
    ask(a, "POST /v1/queues/work/messages:receive", "");
    (void)snprintf(line, sizeof line, "DELETE /v1/queues/work/messages/%s HTTP/1.1\r\n" H "\r\n",
                   id_of(a, "\"id\":\"", 1));
    memcpy(b->kept, line, strlen(line));
    b->kept_n = strlen(line);
    http_offer(b); /* and no turn after it */
    b = cut(b);
    ck_assert_uint_eq(counted()->acked, 1);
    teardown();
}
END_TEST

/* Ids that nobody gave out are told as gone, however much longer they are when they are escaped. */
START_TEST(odd_ids_are_told_whole)
{
    enum { IDS = 320 };
    char *text = malloc(IDS * 200 + 256), *p = text, odd[6 * RECEIPT_SIZE + 1];

    ck_assert_ptr_nonnull(text);
    start(_i);
    for (unsigned i = 0; i < RECEIPT_SIZE; i++)
        memcpy(odd + 6 * i, "\\u0001", 7);
    p +=
        sprintf(p, "POST /v1/queues/work/messages:ack HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n",
                9 + IDS * (sizeof odd + 2));
    p += sprintf(p, "{\"ids\":[\"%s\"", odd);
    for (unsigned i = 1; i < IDS; i++)
        p += sprintf(p, ",\"%s\"", odd);
    (void)sprintf(p, "]}");
    http_say(a, text);
    ck_assert_msg(hears(a, "{\"settled\":0,\"gone\":["), "%.300s", a->heard);
    ck_assert_uint_eq(times(a, odd), IDS);
    free(text);
    teardown();
}
END_TEST

START_TEST(who_waits_is_told_of_the_end)
{
    start(_i);
    ask(a, "POST /v1/queues/other/messages:receive?wait=5m", "");
    http_drain(a);
    http_settle(a);
    ck_assert(hears(a, "{\"messages\":[]}"));
    ck_assert(a->closed);
    teardown();
}
END_TEST

/* ------------------------------------------------------------------------------------- streams */

START_TEST(an_event_is_settled_in_time)
{
    start(_i);
    ask(a, "GET /v1/queues/work/events?settle=10s", "");
    ck_assert_uint_eq(times(a, "data: "), 3);
    wait(10000); /* the first mark */
    ck_assert_uint_eq(counted()->acked, 0);
    wait(9999);
    ck_assert_uint_eq(counted()->acked, 0);
    wait(1);
    ck_assert_uint_eq(counted()->acked, 3);
    ck_assert_uint_eq(counted()->timeouts, 0);
    teardown();
}
END_TEST

/* Longer than the queue waits for an ack: what was written is not taken back for that. */
START_TEST(it_may_take_longer_than_the_queue_has)
{
    start(_i);
    ask(a, "GET /v1/queues/work/events?settle=25s", "");
    for (unsigned i = 0; i < 11; i++)
        wait(5000);
    ck_assert_uint_eq(counted()->acked, 3);
    ck_assert_uint_eq(counted()->timeouts, 0);
    ck_assert_uint_eq(times(a, "data: "), 3);
    teardown();
}
END_TEST

START_TEST(who_comes_again_says_how_far)
{
    char fields[128];

    start(_i);
    ask(a, "GET /v1/queues/work/events", "");
    (void)snprintf(fields, sizeof fields, "Last-Event-ID: %s\r\n", id_of(a, "id: ", 2));
    if (_i < 2) /* else it is still there */
        a = cut(a);
    ask(b, "GET /v1/queues/work/events", fields);
    ck_assert_uint_eq(times(b, "data: "), 1);
    ck_assert(hears(b, "{\"attempt\":2}\ndata: three\n"));
    ck_assert_uint_eq(counted()->acked, 2);
    http_settle(a);
    ck_assert(hears(a, "{\"reason\":\"resumed\"") == (_i == 2));
    teardown();
}
END_TEST

START_TEST(who_does_not_come_again_has_seen_nothing)
{
    start(_i);
    ask(a, "GET /v1/queues/work/events?settle=10s", "");
    wait(5000);
    a = cut(a);
    ask(b, "GET /v1/queues/work/events", "");
    wait(19999);
    ck_assert_uint_eq(times(b, "data: "), 0);
    wait(1);
    ck_assert_uint_eq(times(b, "{\"attempt\":2}\ndata: "), 3);
    teardown();
}
END_TEST

/* What it was not sent has not been seen, and was no attempt. */
START_TEST(what_was_not_written_goes_back)
{
    start(_i);
    a->deaf = true;
    ask(a, "GET /v1/queues/work/events", "");
    ck_assert_uint_eq(inflight(), 3);
    a = cut(a);
    ask(b, "POST /v1/queues/work/messages:receive", "");
    ck_assert_uint_eq(times(b, "\"attempt\":1"), 3);
    teardown();
}
END_TEST

START_TEST(a_fast_stream_is_settled_earlier)
{
    enum { MANY = 20000 };

    start(_i);
    ask(a, "GET /v1/queues/work/events", "");
    for (unsigned i = 0; i < MANY; i++) {
        ck_assert_int_eq(world_publish(&pub, PUBLISH_FORGET, true, "work", "x"), 0);
        http_settle(a);
        forget(a);
    }
    ck_assert_uint_eq(counted()->acked + inflight(), MANY + 3);
    ck_assert_uint_ge(inflight(), 4096);
    ck_assert_uint_le(inflight(), 2 * 4096 + 1);
    teardown();
}
END_TEST

START_TEST(a_stream_is_kept_alive)
{
    start(_i);
    ask(a, "GET /v1/topics/a/events", "");
    ck_assert(hears(a, "retry: 2000\nid: -\n\n"));
    forget(a);
    for (unsigned i = 0; i < 60; i++)
        wait(1000);
    ck_assert_uint_eq(times(a, ":\n\n"), 4);
    a->deaf = true; /* nothing is said to who does not take what was said */
    for (unsigned i = 0; i < 60; i++)
        wait(1000);
    ck_assert_uint_lt(a->link.out.pending, 32);
    teardown();
}
END_TEST

/* It is given what its output takes; the rest waits in its queue, as far as that may. */
START_TEST(a_stalled_reader_costs_its_queue)
{
    static uint8_t payload[4096];
    struct msg_view v = {.data = payload, .len = sizeof payload};
    struct target to = {.name = SLICE("a")};
    struct run run = {.v = &v, .n = 1, .bytes = sizeof payload, .type = {.id = CTYPE_NONE}};
    struct refusal why;
    size_t heard;

    memset(payload, 'x', sizeof payload);
    start(_i);
    a->deaf = true;
    ask(a, "GET /v1/topics/a/events?max-bytes=1MiB", "");
    for (unsigned i = 0; i < 5000; i++) {
        ck_assert_int_eq(core_publish(pub.publisher, &to, &run, &why), 0);
        http_settle(a);
    }
    ck_assert_uint_ge(a->link.out.pending, OUT_HIGH_WATER);
    ck_assert_uint_le(a->link.out.pending, 2 * OUT_HIGH_WATER);
    ck_assert_int_ge(w.memory, (64 << 20) - (8 << 20));
    a->deaf = false;
    do { /* what it takes makes room for more */
        heard = a->heard_n;
        http_settle(a);
    } while (heard != a->heard_n);
    ck_assert(hears(a, "event: gap\ndata: {\"lost\":"));
    ck_assert(hears(a, "\"reason\":\"drop-oldest\"}"));
    teardown();
}
END_TEST

START_TEST(a_stream_is_told_of_the_end)
{
    start(_i);
    ask(a, "GET /v1/queues/work/events", "");
    http_drain(a);
    http_settle(a);
    ck_assert(hears(a, "event: end\ndata: {\"reason\":\"draining\""));
    ck_assert(hears(a, "0\r\n\r\n"));
    ck_assert(a->closed);
    teardown();
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    static const struct {
        const char *line, *status;
    } rows[] = {
        {"GET /v1/topics/a..b/events", "400"},
        {"GET /v1/topics/a/events?filter=", "400"},
        {"GET /v1/topics/a/events?credit=x", "400"},
        {"GET /v1/topics/a/events?credit=0", "400"},
        {"GET /v1/topics/a/events?ack-timeout=1s", "400"},
        {"GET /v1/topics/a/events?from=first", "400"},
        {"GET /v1/queues/$SYS.a/events", "403"},
        {"GET /v1/queues/a%20b/events", "400"},
        {"POST /v1/topics/a/events", "405"},
        {"POST /v1/queues/$SYS.a/messages:receive", "403"},
        {"POST /v1/queues/work/messages:receive?visibility=0", "400"},
        {"POST /v1/queues/work/messages:ack", "400"},
        {"DELETE /v1/queues/work/messages/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "404"},
        {"DELETE /v1/queues/work/messages/x", "400"},
        {"DELETE /v1/queues/a%20b/messages/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "400"},
    };

    start(0);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask(a, rows[i].line, "");
        ck_assert_msg(strncmp(a->heard + 9, rows[i].status, 3) == 0, "%s: %s", rows[i].line,
                      a->heard);
    }
    ck_assert(!a->closed);
    teardown();
}
END_TEST

/* A page that cannot read the answer could still use up what is in the queue. */
START_TEST(a_page_of_another_origin_takes_nothing)
{
    static const struct {
        const char *fields, *status;
    } rows[] = {
        {"Origin: http://evil.example\r\n", "403"},
        {"Origin: null\r\n", "403"},
        {"Sec-Fetch-Site: cross-site\r\n", "403"},
        {"Sec-Fetch-Site: same-site\r\n", "403"},
        {"Sec-Fetch-Site: none\r\n", "200"},
        {"Origin: http://localhost:8080\r\nSec-Fetch-Site: same-site\r\n", "200"},
    };

    start(0);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask(a, "GET /v1/queues/work/events?settle=0", rows[i].fields);
        ck_assert_msg(strncmp(a->heard + 9, rows[i].status, 3) == 0, "%s: %s", rows[i].fields,
                      a->heard);
        if (strcmp(rows[i].status, "200") == 0)
            a = cut(a);
    }
    ask(a, "GET /v1/topics/a/events", "Origin: http://evil.example\r\n");
    ck_assert(hears(a, "200 OK"));
    teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http receive");
    TCase *tc = tcase_create("receive");
    SRunner *runner;
    int not_passed;

    tcase_add_loop_test(tc, a_poll_is_answered_at_once, 0, 2);
    tcase_add_loop_test(tc, a_poll_waits, 0, 2);
    tcase_add_loop_test(tc, who_goes_has_had_nothing, 0, 2);
    tcase_add_loop_test(tc, an_end_cuts_the_wait_short, 0, 2);
    tcase_add_loop_test(tc, an_end_right_behind_a_poll, 0, 2);
    tcase_add_loop_test(tc, a_stream_ends_with_its_client, 0, 2);
    tcase_add_loop_test(tc, what_is_received_is_settled_elsewhere, 0, 2);
    tcase_add_test(tc, nobody_hears_what_was_settled);
    tcase_add_loop_test(tc, odd_ids_are_told_whole, 0, 2);
    tcase_add_loop_test(tc, who_waits_is_told_of_the_end, 0, 2);
    tcase_add_loop_test(tc, an_event_is_settled_in_time, 0, 2);
    tcase_add_loop_test(tc, it_may_take_longer_than_the_queue_has, 0, 2);
    tcase_add_loop_test(tc, who_comes_again_says_how_far, 0, 3);
    tcase_add_loop_test(tc, who_does_not_come_again_has_seen_nothing, 0, 2);
    tcase_add_loop_test(tc, what_was_not_written_goes_back, 0, 2);
    tcase_add_loop_test(tc, a_fast_stream_is_settled_earlier, 0, 2);
    tcase_add_loop_test(tc, a_stream_is_kept_alive, 0, 2);
    tcase_add_loop_test(tc, a_stalled_reader_costs_its_queue, 0, 2);
    tcase_add_loop_test(tc, a_stream_is_told_of_the_end, 0, 2);
    tcase_add_test(tc, what_cannot_be_is_refused);
    tcase_add_test(tc, a_page_of_another_origin_takes_nothing);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    not_passed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return not_passed ? EXIT_FAILURE : EXIT_SUCCESS;
}
