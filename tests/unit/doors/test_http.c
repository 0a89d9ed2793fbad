/* What the HTTP door answers, and which door a WebSocket leads to. */
#include "brokerd/doors/http/answer.h"
#include "brokerd/doors/http/http.h"
#include "brokerd/doors/http/terms.h"
#include "tests/unit/support.h"

#define WS                                                                                         \
    " HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                        \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
#define OFFER(names) "Sec-WebSocket-Protocol: " names "\r\n"

static const struct door_units units;
static const struct door_ops rsocket = {.name = "rsocket", .units = &units},
                             json = {.name = "json", .units = &units},
                             stomp = {.name = "stomp", .units = &units}, http = {.name = "http"};
static const struct door_ops *const all[] = {&rsocket, &json, &stomp, &http, NULL};

enum { RSOCKET = 1, JSON = 2, STOMP = 4, EVERY = 15 };

static const struct {
    const char *head;
    uint16_t carried;
    int status;
    const char *door, *chosen; /* "": none */
} rows[] = {
    {"GET /ws" WS, EVERY, 101, "", ""},
    {"GET /" WS, EVERY, 101, "", ""},
    {"GET /rsocket" WS, EVERY, 101, "rsocket", ""},
    {"GET /json?a" WS, EVERY, 101, "json", ""},
    {"GET /stomp" WS, EVERY, 101, "stomp", ""},
    {"GET /stomp" WS, RSOCKET, 404, "", ""},
    {"GET /ws" WS OFFER("rsocket"), EVERY, 101, "rsocket", "rsocket"},
    {"GET /ws" WS OFFER("v11.stomp, v12.stomp"), EVERY, 101, "stomp", "v12.stomp"},
    {"GET /stomp" WS OFFER("v10.stomp") OFFER("json, v11.stomp"), EVERY, 101, "stomp", "v11.stomp"},
    {"GET /ws" WS OFFER("json, v12.stomp"), EVERY, 101, "json", "json"},
    {"GET /ws" WS OFFER("x, json, rsocket"), EVERY, 101, "json", "json"},
    {"GET /ws" WS OFFER("json") OFFER("rsocket"), RSOCKET, 101, "rsocket", "rsocket"},
    {"GET /ws" WS OFFER("x"), EVERY, 101, "", ""},
    {"GET /ws" WS OFFER("JSON"), EVERY, 101, "", ""},
    {"GET /json" WS OFFER("rsocket"), EVERY, 101, "json", ""},
    {"GET /json" WS OFFER("rsocket, json"), EVERY, 101, "json", "json"},
    {"GET /echo" WS, EVERY, 404, "", ""}, /* until it is switched on */
    {"GET /other" WS, EVERY, 404, "", ""},
    {"POST /ws" WS, EVERY, 405, "", ""},
    {"GET /ws HTTP/1.1\r\nHost: h\r\n", EVERY, 426, "", ""},
};

static void ask(const char *head, const struct door_site *site, struct answer *ret)
{
    static struct http_request r;
    static char text[1024];
    const char *why;

    snprintf(text, sizeof text, "%s\r\n", head);
    ck_assert_int_eq(http_parse(slice_str(text), &r, &why), 0);
    answer_request(&r, site, all, ret);
}

START_TEST(answers)
{
    struct door_site site = {.carried = rows[_i].carried, .websocket = true};
    const char *head = rows[_i].head;
    struct answer a;

    ask(head, &site, &a);
    ck_assert_msg(a.status == rows[_i].status, "%d: %s", a.status, head);
    if (a.status != 101) {
        ck_assert_str_ne(a.text, "");
        return;
    }
    ck_assert_msg(slice_eq(a.subprotocol, slice_str(rows[_i].chosen)), "%s", head);
    ck_assert_msg(strcmp(a.upgrade.door ? a.upgrade.door->name : "", rows[_i].door) == 0, "%s",
                  head);
}
END_TEST

START_TEST(what_a_listener_is_told)
{
    struct door_site site = {.carried = EVERY, .echo = true, .websocket = true};
    struct answer a;

    ask("GET /echo" WS OFFER("json"), &site, &a);
    ck_assert(a.status == 101 && a.upgrade.is_echo && !a.upgrade.door && a.subprotocol.n == 0);
    site.websocket = false;
    ask("GET /ws" WS, &site, &a);
    ck_assert_int_eq(a.status, 404);
}
END_TEST

/* Whose page may come, and whether it manages the broker. */
static const struct {
    const char *fields;
    bool any; /* `origins` has "*", too */
    int status;
    bool is_guest;
} pages[] = {
    {"", false, 0, false}, /* no browser */
    {"Origin: http://h\r\n", false, 0, false},
    {"Origin: http://h:3000\r\n", false, 0, true},
    {"Origin: https://friend\r\n", false, 0, false},
    {"Origin: https://enemy\r\n", false, 403, true},
    {"Origin: null\r\n", false, 403, true},
    {"Origin: null\r\n", true, 0, true},
    {"Origin: https://friend\r\n", true, 0, false},
    {"Origin: http://h\r\n", true, 0, false},
};

START_TEST(pages_that_come)
{
    const char *origins[] = {"*", "https://friend"};
    struct door_site site = {.origins = origins + !pages[_i].any, .origins_n = 1 + pages[_i].any};
    struct http_request r;
    struct terms t;
    char head[512];
    const char *why;

    snprintf(head, sizeof head, "GET /ws" WS "%s\r\n", pages[_i].fields);
    ck_assert_int_eq(http_parse(slice_str(head), &r, &why), 0);
    ck_assert_int_eq(terms_read(&r, &t, &why), 0);
    ck_assert_msg(terms_judge(&t, &site, &why) == pages[_i].status, "%s", head);
    ck_assert_msg(t.is_guest == pages[_i].is_guest, "%s", head);
}
END_TEST

START_TEST(first_bytes)
{
    static const struct {
        const char *bytes;
        enum door_match match;
    } firsts[] = {
        {"G", DOOR_MORE},       {"GET", DOOR_MORE},  {"GET /", DOOR_YES},
        {"GETS", DOOR_NO},      {"CONN", DOOR_MORE}, {"CONNECT ", DOOR_YES},
        {"CONNECT\n", DOOR_NO}, {"get /", DOOR_NO},  {"OPTIONS * ", DOOR_YES},
        {"{", DOOR_NO},         {"P", DOOR_MORE},
    };

    for (size_t i = 0; i < ARRAY_LEN(firsts); i++)
        ck_assert_msg(http_door.recognise(slice_str(firsts[i].bytes)) == firsts[i].match, "%s",
                      firsts[i].bytes);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http door");
    TCase *tc = tcase_create("http");

    tcase_add_loop_test(tc, answers, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(tc, what_a_listener_is_told);
    tcase_add_loop_test(tc, pages_that_come, 0, (int)ARRAY_LEN(pages));
    tcase_add_test(tc, first_bytes);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
