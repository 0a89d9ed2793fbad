/* Messages as server-sent events, and the receipts that name them. */
#include "brokerd/doors/http/event.h"
#include "libbroker/base/headers.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { SEED = 42 };

/* ------------------------------------------------------------------------------------ receipts */

START_TEST(a_receipt_is_read_again)
{
    const struct delivery_ref ref = {UINT64_C(0x0300000112345678), UINT64_C(0xfffffffffe)};
    uint8_t text[RECEIPT_SIZE];
    struct delivery_ref got;

    receipt_put(SEED, SLICE("work"), &ref, text);
    for (unsigned i = 0; i < RECEIPT_SIZE; i++)
        ck_assert(
            strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", text[i]));
    ck_assert_int_eq(receipt_read(SEED, SLICE("work"), slice_of(text, sizeof text), &got), 0);
    ck_assert_uint_eq(got.tap, ref.tap);
    ck_assert_uint_eq(got.number, ref.number);
    ck_assert_int_eq(receipt_read(SEED, SLICE("worn"), slice_of(text, sizeof text), &got), -EPROTO);
    ck_assert_int_eq(receipt_read(SEED + 1, SLICE("work"), slice_of(text, sizeof text), &got),
                     -EPROTO);
    ck_assert_int_eq(receipt_read(SEED, SLICE("work"), slice_of(text, sizeof text - 1), &got),
                     -EPROTO);
    for (unsigned i = 0; i < RECEIPT_SIZE * 8; i++) { /* no bit of it may be another */
        text[i / 8] ^= (uint8_t)(1u << i % 8);
        ck_assert_int_eq(receipt_read(SEED, SLICE("work"), slice_of(text, sizeof text), &got),
                         -EPROTO);
        text[i / 8] ^= (uint8_t)(1u << i % 8);
    }
}
END_TEST

/* -------------------------------------------------------------------------------------- events */

static const uint8_t id[] = "0123456789abcdefghijklmnopqrstuv";

static const struct row {
    const char *what;
    struct slice payload, type;
    const char *header; /* its name; its value is `v"` */
    bool as_json, is_queue, facts;
    uint32_t attempt;
    struct slice topic; /* none: a.b */
    const char *text;
} rows[] = {
    {.what = "text", .payload = SLICE("hello"), .text = "event: a.b\ndata: hello\n\n"},
    {.what = "nothing", .text = "event: a.b\ndata: \n\n"},
    {.what = "lines",
     .payload = SLICE("one\n\nthree\n"),
     .text = "event: a.b\ndata: one\ndata: \ndata: three\ndata: \n\n"},
    {.what = "a carriage return",
     .payload = SLICE("a\r\nb"),
     .text = "event: a.b base64\ndata: YQ0KYg==\n\n"},
    {.what = "bytes", .payload = SLICE("\xff\xfe"), .text = "event: a.b base64\ndata: //4=\n\n"},
    {.what = "a NUL", .payload = SLICE("\0"), .text = "event: a.b base64\ndata: AA==\n\n"},
    {.what = "a topic called as an event of the door's own",
     .payload = SLICE("hello"),
     .topic = SLICE("gap"),
     .text = "event: gap base64\ndata: aGVsbG8=\n\n"},
    {.what = "a topic called as an event of browsers",
     .payload = SLICE("x"),
     .topic = SLICE("error"),
     .text = "event: error base64\ndata: eA==\n\n"},
    {.what = "a topic called so, as JSON, where events have no names",
     .payload = SLICE("x"),
     .topic = SLICE("gap"),
     .as_json = true,
     .text = "data: {\"id\":\"gap\",\"data\":\"x\"}\n\n"},
    {.what = "a type",
     .payload = SLICE("{\"a\":1}"),
     .type = SLICE("application/json"),
     .text = "event: a.b\nmeta: {\"type\":\"application/json\"}\ndata: {\"a\":1}\n\n"},
    {.what = "bytes with a type",
     .payload = SLICE("\xff"),
     .type = SLICE("image/png"),
     .text = "event: a.b base64\nmeta: {\"type\":\"image/png\"}\ndata: /w==\n\n"},
    {.what = "a header",
     .payload = SLICE("x"),
     .header = "color",
     .text = "event: a.b\nmeta: {\"headers\":{\"color\":\"v\\\"\"}}\ndata: x\n\n"},
    {.what = "of a queue",
     .payload = SLICE("x"),
     .is_queue = true,
     .text = "id: 0123456789abcdefghijklmnopqrstuv\nevent: a.b\ndata: x\n\n"},
    {.what = "again",
     .payload = SLICE("x"),
     .is_queue = true,
     .attempt = 3,
     .text =
         "id: 0123456789abcdefghijklmnopqrstuv\nevent: a.b\nmeta: {\"attempt\":3}\ndata: x\n\n"},
    {.what = "facts",
     .payload = SLICE("x"),
     .facts = true,
     .text = "event: a.b\nmeta: {\"seq\":7,\"time\":\"1970-01-01T00:00:01.500Z\",\"id\":9}\n"
             "data: x\n\n"},
    {.what = "JSON: text",
     .payload = SLICE("a\r\nb"),
     .as_json = true,
     .text = "data: {\"id\":\"a.b\",\"data\":\"a\\r\\nb\"}\n\n"},
    {.what = "JSON: a value",
     .payload = SLICE("{\"a\":\n1}"),
     .type = SLICE("application/json"),
     .as_json = true,
     .text = "data: {\"id\":\"a.b\",\"data\":{\"a\": 1}}\n\n"},
    {.what = "JSON: bytes",
     .payload = SLICE("\xff"),
     .type = SLICE("image/png"),
     .as_json = true,
     .text = "data: {\"id\":\"a.b\",\"data\":null,"
             "\"meta\":{\"type\":\"image/png\",\"base64\":\"/w==\"}}\n\n"},
    {.what = "JSON: of a queue",
     .payload = SLICE("x"),
     .as_json = true,
     .is_queue = true,
     .text = "id: 0123456789abcdefghijklmnopqrstuv\n"
             "data: {\"id\":\"a.b\",\"data\":\"x\",\"meta\":{\"attempt\":1}}\n\n"},
};

static struct ctype type_of(struct slice name)
{
    if (!name.n)
        return (struct ctype){.id = CTYPE_NONE};
    return (struct ctype){.id = CTYPE_NAMED, .name = name};
}

START_TEST(a_message_is_an_event)
{
    const struct row *row = &rows[_i];
    struct topic *topic = topic_new(row->topic.n ? row->topic : SLICE("a.b"), 0);
    struct msg_meta meta = {.type = type_of(_i % 2 ? row->type : slice_of(NULL, 0))};
    struct msg_view v = {.data = row->payload.p, .len = (uint32_t)row->payload.n, .meta = &meta};
    struct delivery d = {.topic = topic,
                         .run = {.v = &v, .n = 1, .type = type_of(row->type)},
                         .attempt = row->attempt ? row->attempt : 1,
                         .seq = 7,
                         .id = 9,
                         .time_ms = 1500};
    uint8_t headers[64], text[512];
    struct event_run run;
    struct event e;
    size_t n;

    if (row->header)
        meta.headers =
            slice_of(headers, (size_t)(headers_put(headers, slice_str(row->header), SLICE("v\"")) -
                                       headers));
    event_run_init(&run, &d, row->is_queue, row->facts, row->as_json);
    event_init(&e, &run, 0, row->is_queue ? id : NULL);
    ck_assert_uint_le(event_room(&e), sizeof text);
    n = (size_t)(event_put(&e, text) - text);
    ck_assert_uint_le(n, event_room(&e));
    text[n] = '\0';
    ck_assert_msg(strcmp((char *)text, row->text) == 0, "%s: %s", row->what, text);
    topic_unref(topic);
}
END_TEST

/* However many lines there are, there is room for them. */
START_TEST(lines_have_room)
{
    enum { LINES = 5000 };
    struct topic *topic = topic_new(SLICE("a"), 0);
    struct msg_view v = {.len = LINES};
    struct delivery d = {.topic = topic, .run = {.v = &v, .n = 1, .type = {.id = CTYPE_NONE}}};
    uint8_t *payload = malloc(LINES), *text;
    struct event_run run;
    struct event e;

    memset(payload, '\n', LINES);
    v.data = payload;
    event_run_init(&run, &d, false, false, false);
    event_init(&e, &run, 0, NULL);
    text = malloc(event_room(&e)); /* a byte too many is the sanitizer's to see */
    ck_assert_uint_eq((size_t)(event_put(&e, text) - text), 9 + 7 * (LINES + 1) + 1);
    free(text);
    free(payload);
    topic_unref(topic);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http events");
    TCase *tc = tcase_create("events");
    SRunner *runner;
    int not_passed;

    tcase_add_test(tc, a_receipt_is_read_again);
    tcase_add_loop_test(tc, a_message_is_an_event, 0, sizeof rows / sizeof *rows);
    tcase_add_test(tc, lines_have_room);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    not_passed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return not_passed ? EXIT_FAILURE : EXIT_SUCCESS;
}
