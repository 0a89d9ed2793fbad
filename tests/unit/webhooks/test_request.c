/* Requests as they are made: fields, signatures, CloudEvents; and what settings mean. */
#include "brokerd/webhooks/request.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "brokerd/webhooks/envelope.h"
#include "brokerd/webhooks/field.h"
#include "libbroker/base/headers.h"
#include "libbroker/wire/mime.h"
#include "tests/unit/webhooks/check_main.h"

#define SECRET "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
#define OTHER_SECRET "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="

enum { WALL_S = 1767323045 };

static char err[SPEC_ERROR_MAX];

/* A spec of `key`, `value` pairs ended by NULL, besides url and topic. */
static struct webhook_spec *spec_of(const char *const *pairs)
{
    struct webhook_spec *s = spec_new("test");

    ck_assert_int_eq(spec_add(s, "url", SLICE("https://a.example/"), err, sizeof err), 0);
    ck_assert_int_eq(spec_add(s, "topic", SLICE("a.#"), err, sizeof err), 0);
    for (; pairs && *pairs; pairs += 2)
        ck_assert_msg(spec_add(s, pairs[0], slice_str(pairs[1]), err, sizeof err) == 0, "%s", err);
    ck_assert_msg(spec_finish(s, err, sizeof err) == 0, "%s", err);
    return s;
}

/* The value of a field; NULL: there is none. */
static const char *field(const struct request *r, const char *name)
{
    const char *at = r->fields;

    for (unsigned i = 0; i < r->fields_count; i++, at += strlen(at) + 1)
        if (strncmp(at, name, strlen(name)) == 0 && strncmp(at + strlen(name), ": ", 2) == 0)
            return at + strlen(name) + 2;
    return NULL;
}

static size_t put_header(uint8_t *to, size_t at, const char *name, const char *value)
{
    return (size_t)(headers_put(to + at, slice_str(name), slice_str(value)) - to);
}

static struct request_event event_of(const char *data, int type)
{
    return (struct request_event){.topic = SLICE("orders.new"),
                                  .data = slice_str(data),
                                  .type = {.id = type < 0 ? CTYPE_NONE : (uint8_t)type},
                                  .id = 0x1234,
                                  .time_ms = (int64_t)WALL_S * 1000 - 4321,
                                  .attempt = 1};
}

START_TEST(plain)
{
    struct webhook_spec *s = spec_of((const char *const[]){"secret", SECRET, NULL});
    struct request_event e = event_of("{\"a\":1}", MIME_JSON);
    struct request r = {0};

    ck_assert_int_eq(request_build(&r, s, &e, (int64_t)WALL_S * 1000 + 999), 0);
    ck_assert_str_eq(field(&r, "content-type"), "application/json");
    ck_assert_str_eq(field(&r, "webhook-id"), "msg_0000000000001234");
    ck_assert_str_eq(field(&r, "webhook-timestamp"), "1767323045");
    ck_assert_str_eq(field(&r, "broker-topic"), "orders.new");
    ck_assert_ptr_null(field(&r, "broker-attempt"));
    ck_assert_ptr_null(field(&r, "broker-gap"));
    ck_assert(r.body.p == e.data.p && r.body.n == e.data.n); /* not copied */
    request_fini(&r);
    spec_unref(s);
}
END_TEST

/* What is sent verifies, with each of two secrets; also a body of any bytes, and an empty one. */
START_TEST(signatures)
{
    static const char *const bodies[] = {"{}", "", "a\0b\xff\xfe\x80"};
    static const size_t sizes[] = {2, 0, 6};
    static const char *const secrets[] = {SECRET, OTHER_SECRET};
    struct webhook_spec *s =
        spec_of((const char *const[]){"secret", SECRET, "secret-old", OTHER_SECRET, NULL});
    struct request r = {0};

    for (int i = 0; i < COUNT(bodies); i++) {
        struct request_event e = event_of("", -1);

        e.data = slice_of(bodies[i], sizes[i]);
        ck_assert_int_eq(request_build(&r, s, &e, (int64_t)WALL_S * 1000), 0);
        for (int k = 0; k < COUNT(secrets); k++) {
            struct webhook_keys keys = {.n = 0};
            struct webhook_received got = {.signature = slice_str(field(&r, "webhook-signature")),
                                           .id = slice_str(field(&r, "webhook-id")),
                                           .time = slice_str(field(&r, "webhook-timestamp")),
                                           .body = &r.body,
                                           .body_n = 1};
            const char *why = "";

            ck_assert_int_eq(webhook_keys_add(&keys, WEBHOOK_STANDARD, slice_str(secrets[k]), &why),
                             0);
            ck_assert_msg(webhook_verify(&keys, WEBHOOK_STANDARD, &got, WALL_S + 10, 300, &why) ==
                              0,
                          "body %d, secret %d: %s", i, k, why);
            webhook_keys_fini(&keys);
        }
    }
    request_fini(&r);
    spec_unref(s);
}
END_TEST

START_TEST(id_and_body_stay_over_attempts)
{
    struct webhook_spec *s =
        spec_of((const char *const[]){"secret", SECRET, "format", "cloudevents-json", NULL});
    struct request_event e = event_of("{\"a\":1}", MIME_JSON);
    struct request one = {0}, two = {0};

    ck_assert_int_eq(request_build(&one, s, &e, (int64_t)WALL_S * 1000), 0);
    e.attempt = 2;
    ck_assert_int_eq(request_build(&two, s, &e, (int64_t)WALL_S * 1000 + 90000), 0);
    ck_assert_str_eq(field(&one, "webhook-id"), field(&two, "webhook-id"));
    ck_assert(slice_eq(one.body, two.body));
    ck_assert_str_ne(field(&one, "webhook-timestamp"), field(&two, "webhook-timestamp"));
    ck_assert_str_ne(field(&one, "webhook-signature"), field(&two, "webhook-signature"));
    ck_assert_str_eq(field(&two, "broker-attempt"), "2");
    request_fini(&one);
    request_fini(&two);
    spec_unref(s);
}
END_TEST

START_TEST(a_messages_headers)
{
    struct webhook_spec *s =
        spec_of((const char *const[]){"headers", "Authorization: Bearer x", NULL});
    struct request_event e = event_of("x", MIME_TEXT_PLAIN);
    struct request r = {0};
    uint8_t h[512];
    size_t n = 0;

    n = put_header(h, n, "colour", "red");
    n = put_header(h, n, "traceparent", "00-1-2-01");
    n = put_header(h, n, "ce-subject", "s");
    n = put_header(h, n, "$dead-reason", "rejected");
    n = put_header(h, n, "no name", "x");
    n = put_header(h, n, "value", "a\r\nEvil: 1");
    n = put_header(h, n, "Host", "evil");
    e.headers = slice_of(h, n);
    e.gaps = SLICE("3 drop-oldest");
    ck_assert_int_eq(request_build(&r, s, &e, 0), 0);
    ck_assert_str_eq(field(&r, "broker-meta-colour"), "red");
    ck_assert_str_eq(field(&r, "traceparent"), "00-1-2-01");
    ck_assert_str_eq(field(&r, "ce-subject"), "s");
    ck_assert_str_eq(field(&r, "broker-meta-Host"), "evil");
    ck_assert_str_eq(field(&r, "broker-gap"), "3 drop-oldest");
    ck_assert_str_eq(field(&r, "Authorization"), "Bearer x");
    ck_assert_ptr_null(field(&r, "webhook-signature")); /* no secret */
    ck_assert_ptr_null(field(&r, "Host"));
    ck_assert_uint_eq(r.left_out, 2);
    request_fini(&r);
    spec_unref(s);
}
END_TEST

START_TEST(a_head_has_its_limit)
{
    static char value[4000];
    struct webhook_spec *s = spec_of(NULL);
    struct request_event e = event_of("x", -1);
    struct request r = {0};
    static uint8_t h[8 * 4100];
    size_t n = 0;

    memset(value, 'v', sizeof value - 1);
    for (int i = 0; i < 8; i++)
        n = put_header(h, n, "large", value);
    e.headers = slice_of(h, n);
    ck_assert_int_eq(request_build(&r, s, &e, 0), 0);
    ck_assert_uint_le(r.fields_n, REQUEST_HEAD_MAX + 512);
    ck_assert_uint_eq(r.left_out, 4);
    request_fini(&r);
    spec_unref(s);
}
END_TEST

START_TEST(cloudevents_binary)
{
    struct webhook_spec *s =
        spec_of((const char *const[]){"format", "cloudevents", "source", "/shop", NULL});
    struct request_event e = event_of("x", MIME_TEXT_PLAIN);
    struct request r = {0};
    uint8_t h[64];

    e.topic = SLICE("orders.gr\xc3\xbc\xc3\x9f\x65%");
    ck_assert_int_eq(request_build(&r, s, &e, 0), 0);
    ck_assert_str_eq(field(&r, "ce-specversion"), "1.0");
    ck_assert_str_eq(field(&r, "ce-id"), "msg_0000000000001234");
    ck_assert_str_eq(field(&r, "ce-source"), "/shop");
    ck_assert_str_eq(field(&r, "ce-type"), "orders.gr%C3%BC%C3%9Fe%25");
    ck_assert_str_eq(field(&r, "ce-time"), "2026-01-02T03:04:00.679Z");
    ck_assert_ptr_null(field(&r, "ce-datacontenttype"));
    ck_assert_str_eq(field(&r, "content-type"), "text/plain");
    e.headers = slice_of(h, put_header(h, 0, "ce-type", "given")); /* as it came in */
    ck_assert_int_eq(request_build(&r, s, &e, 0), 0);
    ck_assert_str_eq(field(&r, "ce-type"), "given");
    request_fini(&r);
    spec_unref(s);
}
END_TEST

static json_t *structured(const char *data, size_t n, int type, const uint8_t *h, size_t h_n)
{
    struct webhook_spec *s = spec_of((const char *const[]){"format", "cloudevents-json", NULL});
    struct request_event e = event_of("", type);
    struct request r = {0};
    json_error_t error;
    json_t *o;

    e.data = slice_of(data, n);
    e.headers = slice_of(h, h_n);
    ck_assert_int_eq(request_build(&r, s, &e, 0), 0);
    ck_assert_str_eq(field(&r, "content-type"), "application/cloudevents+json; charset=utf-8");
    ck_assert_ptr_null(field(&r, "ce-id"));
    o = json_loadb((const char *)r.body.p, r.body.n, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(o != NULL, "%s", error.text);
    request_fini(&r);
    spec_unref(s);
    return o;
}

static const char *text(const json_t *o, const char *key)
{
    const char *t = json_string_value(json_object_get(o, key));

    return t ? t : "";
}

START_TEST(cloudevents_structured)
{
    uint8_t h[128];
    size_t n = put_header(h, 0, "ce-subject", "gr%C3%BC%C3%9Fe");
    json_t *o, *a;

    n = put_header(h, n, "ce-source", "/elsewhere");
    o = structured("{\"a\":[1,2]}", 11, MIME_JSON, h, n);
    ck_assert_str_eq(text(o, "specversion"), "1.0");
    ck_assert_str_eq(text(o, "id"), "msg_0000000000001234");
    ck_assert_str_eq(text(o, "source"), "/elsewhere");
    ck_assert_str_eq(text(o, "type"), "orders.new");
    ck_assert_str_eq(text(o, "subject"), "gr\xc3\xbc\xc3\x9f\x65");
    ck_assert_str_eq(text(o, "datacontenttype"), "application/json");
    a = json_object_get(json_object_get(o, "data"), "a");
    ck_assert_int_eq(json_integer_value(json_array_get(a, 1)), 2);
    json_decref(o);
    o = structured("say \"x\"\n", 8, MIME_TEXT_PLAIN, NULL, 0);
    ck_assert_str_eq(text(o, "data"), "say \"x\"\n");
    json_decref(o);
    o = structured("a\0\xff", 3, MIME_OCTET_STREAM, NULL, 0);
    ck_assert_str_eq(text(o, "data_base64"), "YQD/");
    json_decref(o);
    o = structured("a\0b", 3, MIME_TEXT_PLAIN, NULL, 0);
    ck_assert_str_eq(text(o, "data_base64"), "YQBi");
    json_decref(o);
    o = structured("{broken", 7, MIME_JSON, NULL, 0); /* says it is JSON and is none */
    ck_assert_str_eq(text(o, "data_base64"), "e2Jyb2tlbg==");
    json_decref(o);
}
END_TEST

/* --------------------------------------------------------------------------------- extra fields */

START_TEST(extra_fields)
{
    static const char *const good[] = {"Authorization: Bearer x", "X-Api-Key:abc",
                                       "user-agent: me"};
    static const char *const bad[] = {
        "",
        "x",
        ": y",
        "x:",
        "x: ",
        "Host: evil",
        "host:evil",
        "Content-Length: 3",
        "Content-Type: a/b",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "Webhook-Id: 1",
        "webhook-signature: v1,x",
        "Broker-Topic: x",
        "Proxy-Authorization: x",
        "Expect: x",
        "X-A: b\r\nEvil: 1",
        "X-A: b\nEvil",
        "X A: b",
        "X-A\t: b",
        "X-\xc3\xa4: b",
        "X-A: \x01",
        "TE: x",
        "Upgrade: h2c",
        "Trailer: x",
    };

    for (int i = 0; i < COUNT(good); i++)
        ck_assert_msg(!field_extra_error(slice_str(good[i])), "%s", good[i]);
    for (int i = 0; i < COUNT(bad); i++)
        ck_assert_msg(field_extra_error(slice_str(bad[i])) != NULL, "%s", bad[i]);
    ck_assert(field_extra_error(slice_of("X: a\0b", 6)) != NULL);
}
END_TEST

/* ------------------------------------------------------------------------------------- settings */

START_TEST(defaults_mean_what_is_written)
{
    struct webhook_spec *s = spec_of(NULL);

    ck_assert_uint_eq(s->window, 64);
    ck_assert_int_eq(s->timeout_ms, 20000);
    ck_assert_int_eq(s->connect_ms, 5000);
    ck_assert_uint_eq(s->break_after, 10);
    ck_assert_int_eq(s->break_min_ms, 1000);
    ck_assert_int_eq(s->break_max_ms, 300000);
    ck_assert_uint_eq(s->retries, 9);
    ck_assert_uint_eq(s->retry_ms[0], 5000);
    ck_assert_uint_eq(s->retry_ms[8], 86400000);
    ck_assert(s->enabled && !s->insecure && s->is_https && !s->ca && s->format == SPEC_PLAIN);
    ck_assert_uint_eq(s->keys.n, 0);
    spec_unref(s);
}
END_TEST

START_TEST(lists_and_copies)
{
    struct webhook_spec *s = spec_of((const char *const[]){"retry", "10ms", "retry", "1s", "allow",
                                                           "127.0.0.0/8", "topic", "b", NULL});
    struct webhook_spec *copy = spec_copy(s);
    char buf[256];

    ck_assert_uint_eq(s->retries, 2);
    ck_assert_uint_eq(s->retry_ms[0], 10);
    ck_assert_uint_eq(s->allow_n, 1);
    ck_assert_int_eq(spec_finish(copy, err, sizeof err), 0);
    ck_assert(spec_equal(s, copy));
    ck_assert_uint_eq(copy->retries, 2);
    ck_assert_str_eq(spec_text(s, "topic", buf, sizeof buf), "{ a.#, b }");
    spec_clear(copy, "retry");
    ck_assert(!spec_equal(s, copy));
    ck_assert_int_eq(spec_finish(copy, err, sizeof err), 0);
    ck_assert_uint_eq(copy->retries, 9);
    spec_clear(copy, "retry");
    ck_assert_int_eq(spec_add(copy, "retry", SLICE("never"), err, sizeof err), 0);
    ck_assert_int_eq(spec_finish(copy, err, sizeof err), 0);
    ck_assert_uint_eq(copy->retries, 0);
    spec_unref(s);
    spec_unref(copy);
}
END_TEST

START_TEST(no_secret_is_told)
{
    struct webhook_spec *s = spec_of((const char *const[]){"secret", SECRET, NULL});
    char buf[256];

    ck_assert_str_eq(spec_text(s, "secret", buf, sizeof buf), "(hidden)");
    ck_assert_str_eq(spec_text(s, "secret-old", buf, sizeof buf), "");
    ck_assert_int_eq(spec_add(s, "secret", SLICE("whsec_bad!"), err, sizeof err), -EINVAL);
    ck_assert_ptr_null(strstr(err, "bad!"));
    spec_unref(s);
}
END_TEST

START_TEST(mistakes)
{
    static const struct {
        const char *key, *value;
        int error;
    } rows[] = {
        {"windows", "3", -ENOENT},
        {"window", "0", -EINVAL},
        {"window", "1025", -EINVAL},
        {"timeout", "20", -EINVAL},
        {"timeout", "0s", -EINVAL},
        {"timeout", "11m", -EINVAL},
        {"retry", "31d", -EINVAL},
        {"allow", "10.0.0.1/8", -EINVAL},
        {"enabled", "maybe", -EINVAL},
        {"format", "xml", -EINVAL},
        {"url", "ftp://x/", -EINVAL},
        {"topic", "", -EINVAL},
        {"headers", "Host: x", -EINVAL},
        {"source", "a b", -EINVAL},
        {"ca", "file", -EINVAL},
        {"secret", "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", -EINVAL},
    };
    struct webhook_spec *s = spec_new("x");

    for (int i = 0; i < COUNT(rows); i++) {
        err[0] = '\0';
        ck_assert_msg(spec_add(s, rows[i].key, slice_str(rows[i].value), err, sizeof err) ==
                          rows[i].error,
                      "%s = %s", rows[i].key, rows[i].value);
        ck_assert_msg(strncmp(err, rows[i].key, strlen(rows[i].key)) == 0, "%s", err);
    }
    ck_assert_int_eq(spec_finish(s, err, sizeof err), -EINVAL);
    spec_unref(s);
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_test(tc, plain);
    tcase_add_test(tc, signatures);
    tcase_add_test(tc, id_and_body_stay_over_attempts);
    tcase_add_test(tc, a_messages_headers);
    tcase_add_test(tc, a_head_has_its_limit);
    tcase_add_test(tc, cloudevents_binary);
    tcase_add_test(tc, cloudevents_structured);
    tcase_add_test(tc, extra_fields);
    tcase_add_test(tc, defaults_mean_what_is_written);
    tcase_add_test(tc, lists_and_copies);
    tcase_add_test(tc, no_secret_is_told);
    tcase_add_test(tc, mistakes);
}

int main(void)
{
    return check_run("request", add);
}
