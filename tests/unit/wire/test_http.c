/* Heads of HTTP requests, and how a WebSocket begins. */
#include <errno.h>

#include "libbroker/wire/handshake.h"
#include "tests/unit/support.h"

#define WS                                                                                         \
    "Host: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                                     \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

static struct http_request parsed;

/* Parse what must be a head, in memory of its very size. */
static int parse(const char *text, const char **ret_why)
{
    static uint8_t *bytes;
    size_t n = strlen(text), seen = 0;

    free(bytes);
    bytes = malloc(n);
    memcpy(bytes, text, n);
    ck_assert_uint_eq(http_head_end(slice_of(bytes, n), &seen), n);
    return http_parse(slice_of(bytes, n), &parsed, ret_why);
}

/* ---- the end of a head */

START_TEST(the_end_is_found_however_it_comes)
{
    static const char *const heads[] = {"GET / HTTP/1.1\r\nA: b\r\n\r\n", "GET / HTTP/1.1\n\n",
                                        "GET / HTTP/1.1\r\nA: b\n\r\n"};

    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        size_t n = strlen(heads[i]), seen = 0;
        char more[64];

        for (size_t have = 1; have < n; have++)
            ck_assert_uint_eq(http_head_end(slice_of(heads[i], have), &seen), 0);
        ck_assert_uint_eq(http_head_end(slice_of(heads[i], n), &seen), n);
        seen = 0;
        snprintf(more, sizeof more, "%sand more\r\n\r\n", heads[i]);
        ck_assert_uint_eq(http_head_end(slice_str(more), &seen), n);
    }
}
END_TEST

/* ---- what is in it */

START_TEST(fields_are_found)
{
    struct http_list at = {0};
    struct slice s;
    const char *why;

    ck_assert_int_eq(parse("GET /ws?x=1 HTTP/1.1\r\nhOST:  a.example:80 \t\r\nEmpty:\r\n"
                           "List: a, ,b\r\nOther: z\r\nLIST:\tC\r\nlist: , \r\n\r\n",
                           &why),
                     0);
    ck_assert(slice_eq(parsed.method, SLICE("GET")) && slice_eq(parsed.target, SLICE("/ws?x=1")));
    ck_assert_uint_eq(parsed.major * 10 + parsed.minor, 11);
    ck_assert(http_field(&parsed, "Host", &s) && slice_eq(s, SLICE("a.example:80")));
    ck_assert(http_field(&parsed, "empty", &s) && s.n == 0);
    ck_assert(!http_field(&parsed, "Hos", &s));
    for (const char *const *want = (const char *const[]){"a", "b", "C", NULL}; *want; want++)
        ck_assert(http_next(&parsed, "list", &at, &s) && slice_eq(s, slice_str(*want)));
    ck_assert(!http_next(&parsed, "list", &at, &s));
    ck_assert(http_has_token(&parsed, "list", "c") && !http_has_token(&parsed, "list", "d"));
}
END_TEST

static const struct {
    const char *name, *head;
    int err;
} bad[] = {
    {"a folded field", "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", -EPROTO},
    {"no version", "GET / \r\n\r\n", -EPROTO},
    {"no method", "G E T / HTTP/1.1\r\n\r\n", -EPROTO},
    {"a blank in a name", "GET / HTTP/1.1\r\nA b: c\r\n\r\n", -EPROTO},
    {"a zero byte", "GET / HTTP/1.1\r\nA: \001\r\n\r\n", -EPROTO},
    {"two lengths", "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", -EPROTO},
};

START_TEST(what_is_none_is_refused)
{
    const char *why = NULL;

    ck_assert_msg(parse(bad[_i].head, &why) == bad[_i].err, "%s", bad[_i].name);
    ck_assert_msg(why && *why, "%s", bad[_i].name);
}
END_TEST

START_TEST(fields_have_a_limit)
{
    char head[HTTP_FIELDS_MAX * 8 + 64];
    const char *why = "";

    for (unsigned extra = 0; extra < 2; extra++) {
        size_t n = (size_t)snprintf(head, sizeof head, "GET / HTTP/1.1\r\n");

        for (unsigned i = 0; i < HTTP_FIELDS_MAX + extra; i++)
            n += (size_t)snprintf(head + n, sizeof head - n, "A: b\r\n");
        snprintf(head + n, sizeof head - n, "\r\n");
        ck_assert_int_eq(parse(head, &why), extra ? -EMSGSIZE : 0);
    }
    ck_assert_str_eq(why, "too many header fields");
}
END_TEST

/* ---- a WebSocket's beginning */

static const struct {
    const char *name, *head;
    int status;
} begins[] = {
    {"as in the RFC", "GET / HTTP/1.1\r\n" WS "\r\n", 101},
    {"HTTP/1.0", "GET / HTTP/1.0\r\n" WS "\r\n", 400},
    {"no Host", "GET / HTTP/1.1\r\nX-" WS "\r\n", 400},
    {"no key",
     "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Version: 13\r\n\r\n",
     400},
    {"a key of 15 bytes",
     "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1\r\nSec-WebSocket-Version: 13\r\n\r\n",
     400},
    {"a key of 17 bytes",
     "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Njc=\r\nSec-WebSocket-Version: 13\r\n\r\n",
     400},
    {"version 12",
     "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c, WebSocket\r\nConnection: a\r\nConnection: "
     "upgrade\r\n"
     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 12\r\n\r\n",
     426},
    {"another upgrade",
     "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
     400},
};

START_TEST(a_websocket_begins)
{
    char accept[HANDSHAKE_ACCEPT_MAX] = "";
    const char *why;

    ck_assert_int_eq(parse(begins[_i].head, &why), 0);
    ck_assert_msg(handshake_check(&parsed, accept, &why) == begins[_i].status, "%s: %s",
                  begins[_i].name, why ? why : "");
    if (begins[_i].status == 101)
        ck_assert_str_eq(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    else
        ck_assert_msg(why && *why, "%s", begins[_i].name);
}
END_TEST

static const struct {
    const char *origin, *host;
    bool same, same_port;
} pages[] = {
    {"http://a.example", "a.example", true, true},
    {"http://A.example", "a.EXAMPLE:80", true, false},
    {"http://a.example:80", "a.example", true, false},
    {"https://a.example", "a.example:443", true, false},
    {"http://A.example:8080", "a.example:8080", true, true},
    {"http://[::1]:7070", "[::1]:7070", true, true},
    {"https://a.example", "a.example:80", true, false}, /* another port is the same host */
    {"http://a.example", "b.example", false, false},
    {"http://a.example.evil", "a.example", false, false},
    {"http://a.example:81", "a.example", true, false},
    {"http://[::1]:81", "[::1]", true, false},
    {"http://[::1]", "[::2]", false, false},
    {"ftp://a.example", "a.example", false, false},
    {"null", "null", false, false},
    {"http://", "", false, false},
    {"", "", false, false},
};

START_TEST(pages_of_the_same_host)
{
    ck_assert_msg(handshake_same_host(slice_str(pages[_i].origin), slice_str(pages[_i].host)) ==
                      pages[_i].same,
                  "%s at %s", pages[_i].origin, pages[_i].host);
    ck_assert_msg(handshake_same_origin(slice_str(pages[_i].origin), slice_str(pages[_i].host)) ==
                      pages[_i].same_port,
                  "%s at %s, ports too", pages[_i].origin, pages[_i].host);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http");
    TCase *tc = tcase_create("http");

    tcase_add_test(tc, the_end_is_found_however_it_comes);
    tcase_add_test(tc, fields_are_found);
    tcase_add_loop_test(tc, what_is_none_is_refused, 0, (int)ARRAY_LEN(bad));
    tcase_add_test(tc, fields_have_a_limit);
    tcase_add_loop_test(tc, a_websocket_begins, 0, (int)ARRAY_LEN(begins));
    tcase_add_loop_test(tc, pages_of_the_same_host, 0, (int)ARRAY_LEN(pages));
    suite_add_tcase(s, tc);
    return run_suite(s);
}
