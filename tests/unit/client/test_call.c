/* Calling and serving: what is sent in each model, credit both ways, and every way to an end. */
#include "tests/unit/client/fake.h"

static char log_text[8192]; /* what the callbacks said */

static void add_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void add_log(const char *format, ...)
{
    size_t n = strlen(log_text);
    va_list args;

    va_start(args, format);
    vsnprintf(log_text + n, sizeof log_text - n, format, args);
    va_end(args);
}

static void clear_log(void)
{
    log_text[0] = '\0';
}

/* ---- Callbacks ---- */

static void on_message(broker_call *c, broker_message *m, void *user)
{
    (void)user;
    ck_assert_ptr_nonnull(c);
    ck_assert_str_eq(broker_message_topic(m), "");
    add_log("%.*s ", (int)broker_message_size(m), (const char *)broker_message_data(m, NULL));
}

static void on_complete(broker_call *c, void *user)
{
    (void)user;
    ck_assert(!broker_call_ended(c, NULL));
    add_log("complete ");
}

static void on_credit(broker_call *c, size_t credit, void *user)
{
    (void)user;
    ck_assert_uint_eq(broker_call_credit(c), credit);
    add_log("credit:%zu ", credit);
}

static void on_end(broker_call *c, const struct broker_call_end *end, void *user)
{
    (void)user;
    ck_assert(broker_call_ended(c, NULL));
    add_log("end:%s,%s,%x,%s ", broker_errname(end->error), broker_reason_word(end->reason),
            end->code, end->text);
}

static broker_call *served; /* the last call */

static void on_call(broker_service *s, broker_call *c, void *user)
{
    broker_message *m = broker_call_request(c);

    (void)s;
    (void)user;
    served = c;
    add_log("call:%d,%s,%s,%.*s ", (int)broker_call_model(c), broker_call_service(c),
            broker_call_method(c), (int)broker_message_size(m),
            (const char *)broker_message_data(m, NULL));
}

static void on_serving(broker_service *s, int error, int reason, const char *text, void *user)
{
    (void)s;
    (void)user;
    add_log("serving:%s,%s,%s ", broker_errname(error), broker_reason_word(reason), text);
}

static const struct broker_options quick = {.reconnect_min_ms = 1, .reconnect_max_ms = 4};

static const struct broker_call_options noting = {
    .on_message = on_message, .on_complete = on_complete, .on_credit = on_credit, .on_end = on_end};

static struct broker_serve_options serving(void)
{
    return (struct broker_serve_options){.on_call = on_call,
                                         .on_message = on_message,
                                         .on_complete = on_complete,
                                         .on_credit = on_credit,
                                         .on_end = on_end,
                                         .on_serving = on_serving};
}

#define ck_log(text) ck_assert_str_eq(log_text, text)
#define wait_log(k, text) fake_until(k, strcmp(log_text, text) == 0)

static void start(struct fake *k, const struct broker_options *o)
{
    clear_log();
    served = NULL;
    fake_init(k);
    fake_connected(k, o ? o : &quick);
}

static void stop(struct fake *k)
{
    broker_free(k->client);
    fake_fini(k);
}

/* All that the client had to say so far has been read: what comes next is what the test asked
 * for. */
static void barrier(struct fake *k)
{
    say(k, &(struct rs_frame){.type = RS_KEEPALIVE, .flags = RS_RESPOND});
    want(k, RS_KEEPALIVE);
}

static broker_call *open_call(struct fake *k, enum broker_call_model model,
                              const struct broker_call_options *o)
{
    broker_call *c = NULL;

    ck_assert_int_eq(broker_call_open(k->client, model, "sums/add", "1+1", 3, o, &c), BROKER_OK);
    return c;
}

/* ---- The caller ---- */

START_TEST(asks_and_is_answered)
{
    struct broker_header header = {"k", "v"};
    struct broker_call_options o = noting;
    struct fake k;
    broker_call *c;
    uint32_t id;

    start(&k, NULL);
    o.content_type = "text/plain";
    o.headers = &header;
    o.header_count = 1;
    o.wait_ms = 1500;
    c = open_call(&k, BROKER_CALL_RESPONSE, &o);
    want(&k, RS_REQUEST_RESPONSE);
    id = k.f.stream;
    ck_assert_uint_eq(id % 2, 1);
    ck_slice(tag_of(&k.f, 0), "call/sums/add");
    ck_slice(k.f.data, "1+1");
    ck_slice(header_of(&k.f, "k"), "v");
    ck_slice(header_of(&k.f, "$wait"), "1500");
    ck_assert_str_eq(broker_call_service(c), "sums");
    ck_assert_str_eq(broker_call_method(c), "add");
    ck_assert_ptr_null(broker_call_request(c));
    ck_assert_int_eq(broker_call_send(c, "x", 1, NULL), BROKER_INVALID);
    ck_assert_int_eq(broker_call_fail(c, BROKER_CODE_APPLICATION, "x"), BROKER_INVALID);
    say_data(&k, id, RS_NEXT | RS_COMPLETE, SLICE("2"));
    wait_log(&k, "2 end:OK,none,0, ");
    ck_assert_int_eq(broker_call_cancel(c), BROKER_ENDED);
    broker_call_free(c);
    stop(&k);
}
END_TEST

/* NEXT without COMPLETE is the answer, and so is COMPLETE without NEXT: an empty one. */
START_TEST(takes_every_kind_of_answer)
{
    static const uint16_t flags[] = {RS_NEXT, RS_COMPLETE, RS_NEXT | RS_COMPLETE};
    struct fake k;

    start(&k, NULL);
    for (size_t i = 0; i < 3; i++) {
        broker_call *c = open_call(&k, BROKER_CALL_RESPONSE, NULL);
        broker_message *m = NULL;

        want(&k, RS_REQUEST_RESPONSE);
        say_data(&k, k.f.stream, flags[i], flags[i] & RS_NEXT ? SLICE("2") : SLICE(""));
        ck_assert_int_eq(broker_call_next(c, 5000, &m), BROKER_OK);
        ck_assert_uint_eq(broker_message_size(m), flags[i] & RS_NEXT ? 1 : 0);
        ck_assert_int_eq(broker_call_next(c, 5000, &m), BROKER_ENDED);
        broker_message_unref(m);
        broker_call_free(c);
    }
    stop(&k);
}
END_TEST

static const struct {
    uint32_t code;
    const char *text, *log;
} errors[] = {
    {RS_REJECTED, "no-server: nobody", "end:REFUSED,no-server,202,no-server: nobody "},
    {RS_INVALID, "what?", "end:REFUSED,none,204,what? "},
    {RS_CANCELED, "gone", "end:FAILED,none,203,gone "},
    {0x301, "mine", "end:FAILED,none,301,mine "},
};

START_TEST(hears_of_errors)
{
    struct fake k;
    broker_call *c;

    start(&k, NULL);
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        clear_log();
        c = open_call(&k, BROKER_CALL_STREAM, &noting);
        want(&k, RS_REQUEST_STREAM);
        say_error(&k, k.f.stream, errors[i].code, errors[i].text);
        wait_log(&k, errors[i].log);
        broker_call_free(c);
    }
    stop(&k);
}
END_TEST

START_TEST(renews_credit_at_half)
{
    struct broker_call_options o = noting;
    struct fake k;
    broker_call *c;
    uint32_t id;

    start(&k, NULL);
    o.credit = 4;
    c = open_call(&k, BROKER_CALL_STREAM, &o);
    want(&k, RS_REQUEST_STREAM);
    id = k.f.stream;
    ck_assert_uint_eq(k.f.number, 4);
    say_text(&k, id, "a");
    say_text(&k, id, "b");
    want(&k, RS_REQUEST_N);
    ck_assert_uint_eq(k.f.number, 2);
    say_data(&k, id, RS_NEXT | RS_COMPLETE, SLICE("c"));
    wait_log(&k, "a b c end:OK,none,0, ");
    broker_call_free(c);
    stop(&k);
}
END_TEST

START_TEST(grants_by_hand)
{
    struct broker_call_options o = {.credit = 1, .manual_credit = true};
    broker_message *m = NULL;
    struct fake k;
    broker_call *c;
    uint32_t id;

    start(&k, NULL);
    c = open_call(&k, BROKER_CALL_STREAM, &o);
    want(&k, RS_REQUEST_STREAM);
    id = k.f.stream;
    ck_assert_uint_eq(k.f.number, 1);
    say_text(&k, id, "a");
    ck_assert_int_eq(broker_call_next(c, 5000, &m), BROKER_OK);
    broker_message_unref(m);
    barrier(&k);
    ck_assert_int_eq(broker_call_grant(c, 0), BROKER_INVALID);
    ck_assert_int_eq(broker_call_grant(c, 2), BROKER_OK);
    want(&k, RS_REQUEST_N);
    ck_assert_uint_eq(k.f.number, 2);
    for (int i = 0; i < 3; i++) /* one more than that */
        say_text(&k, id, "b");
    want(&k, RS_CANCEL);
    ck_assert_int_eq(broker_call_next(c, 0, &m), BROKER_OK);
    broker_message_unref(m);
    ck_assert_int_eq(broker_call_next(c, 0, &m), BROKER_OK);
    broker_message_unref(m);
    ck_assert_int_eq(broker_call_next(c, 0, &m), BROKER_PROTOCOL);
    ck_assert_int_eq(broker_call_grant(c, 2), BROKER_ENDED);
    broker_call_free(c);
    stop(&k);
}
END_TEST

START_TEST(sends_on_a_channel_by_credit)
{
    struct fake k;
    broker_call *c;
    uint32_t id;

    start(&k, NULL);
    c = open_call(&k, BROKER_CALL_CHANNEL, &noting);
    want(&k, RS_REQUEST_CHANNEL);
    id = k.f.stream;
    ck_assert(!(k.f.flags & RS_COMPLETE));
    ck_assert_int_eq(broker_call_send(c, "x", 1, NULL), BROKER_NO_CREDIT);
    ck_assert_int_eq(broker_call_send_wait(c, "x", 1, NULL, 1), BROKER_NO_CREDIT);
    say_n(&k, id, 2);
    wait_log(&k, "credit:2 ");
    ck_assert_int_eq(broker_call_send(c, "x", 1, NULL), BROKER_OK);
    ck_assert_int_eq(broker_call_send_wait(c, "y", 1, NULL, 0), BROKER_OK);
    ck_assert_int_eq(broker_call_send(c, "z", 1, NULL), BROKER_NO_CREDIT);
    ck_slice(want(&k, RS_PAYLOAD)->data, "x");
    ck_slice(want(&k, RS_PAYLOAD)->data, "y");
    clear_log();
    say_data(&k, id, RS_NEXT | RS_COMPLETE, SLICE("down")); /* and we may still send */
    wait_log(&k, "down complete ");
    ck_assert_int_eq(broker_call_complete(c), BROKER_OK);
    want(&k, RS_PAYLOAD);
    ck_assert_uint_eq(k.f.flags, RS_COMPLETE);
    wait_log(&k, "down complete end:OK,none,0, ");
    ck_assert_int_eq(broker_call_complete(c), BROKER_ENDED);
    ck_assert_int_eq(broker_call_send(c, "z", 1, NULL), BROKER_ENDED);
    broker_call_free(c);
    stop(&k);
}
END_TEST

START_TEST(completes_with_the_last_message)
{
    struct broker_send_options last = {.content_type = "text/plain", .complete = true};
    struct broker_call_options o = noting;
    struct fake k;
    broker_call *c;

    start(&k, NULL);
    o.complete = true; /* with the request already */
    c = open_call(&k, BROKER_CALL_CHANNEL, &o);
    want(&k, RS_REQUEST_CHANNEL);
    ck_assert_uint_eq(k.f.flags & RS_COMPLETE, RS_COMPLETE);
    ck_assert_int_eq(broker_call_complete(c), BROKER_ENDED);
    broker_call_free(c);
    want(&k, RS_CANCEL);

    c = open_call(&k, BROKER_CALL_CHANNEL, NULL);
    want(&k, RS_REQUEST_CHANNEL);
    say_n(&k, k.f.stream, RS_N_MAX); /* without limit */
    fake_until(&k, broker_call_credit(c) == BROKER_UNLIMITED);
    ck_assert_int_eq(broker_call_send(c, "x", 1, &last), BROKER_OK);
    want(&k, RS_PAYLOAD);
    ck_assert_uint_eq(k.f.flags & (RS_NEXT | RS_COMPLETE), RS_NEXT | RS_COMPLETE);
    ck_assert(k.f.has_metadata);
    ck_assert_int_eq(broker_call_send(c, "y", 1, NULL), BROKER_ENDED);
    broker_call_free(c);
    want(&k, RS_CANCEL);
    stop(&k);
}
END_TEST

/* The server of a channel may want no more, and go on answering. */
START_TEST(is_told_to_send_no_more)
{
    struct fake k;
    broker_call *c;
    uint32_t id;

    start(&k, NULL);
    c = open_call(&k, BROKER_CALL_CHANNEL, &noting);
    want(&k, RS_REQUEST_CHANNEL);
    id = k.f.stream;
    say(&k, &(struct rs_frame){.stream = id, .type = RS_CANCEL});
    wait_log(&k, "credit:0 ");
    ck_assert_int_eq(broker_call_send(c, "x", 1, NULL), BROKER_CANCELED);
    say_data(&k, id, RS_NEXT | RS_COMPLETE, SLICE("all the same"));
    wait_log(&k, "credit:0 all the same end:OK,none,0, ");
    broker_call_free(c);
    stop(&k);
}
END_TEST

START_TEST(cancels)
{
    struct fake k;
    broker_call *c;

    start(&k, NULL);
    c = open_call(&k, BROKER_CALL_STREAM, &noting);
    want(&k, RS_REQUEST_STREAM);
    ck_assert_int_eq(broker_call_cancel(c), BROKER_OK);
    want(&k, RS_CANCEL);
    wait_log(&k, "end:CANCELED,none,0,canceled by this side ");
    broker_call_free(c);
    c = open_call(&k, BROKER_CALL_CHANNEL, NULL);
    want(&k, RS_REQUEST_CHANNEL);
    ck_assert_int_eq(broker_call_fail(c, 0x303, "sorry"), BROKER_OK);
    want(&k, RS_ERROR);
    ck_assert_uint_eq(k.f.number, 0x303);
    broker_call_free(c);
    stop(&k);
}
END_TEST

START_TEST(runs_out_of_time)
{
    struct broker_call_options o = noting;
    broker_message *m = NULL;
    struct broker_call_end end;
    struct fake k;
    broker_call *c;

    start(&k, NULL);
    o.timeout_ms = 20;
    c = open_call(&k, BROKER_CALL_STREAM, &o);
    want(&k, RS_REQUEST_STREAM);
    want(&k, RS_CANCEL);
    wait_log(&k, "end:TIMED_OUT,none,0,the call was not over in time ");
    broker_call_free(c);
    ck_assert_int_eq(broker_call_wait(k.client, "s/m", NULL, 0, NULL, 20, &m, &end),
                     BROKER_TIMED_OUT);
    ck_assert_int_eq(end.error, BROKER_TIMED_OUT);
    ck_assert_str_eq(end.text, "no answer in time");
    want(&k, RS_REQUEST_RESPONSE);
    want(&k, RS_CANCEL);
    stop(&k);
}
END_TEST

START_TEST(forgets)
{
    struct broker_options o = quick;
    broker *b;
    struct fake k;

    start(&k, NULL);
    ck_assert_int_eq(broker_call_forget(k.client, "s/m", "x", 1, NULL), BROKER_OK);
    want(&k, RS_REQUEST_FNF);
    ck_slice(tag_of(&k.f, 0), "call/s/m");
    stop(&k);
    o.url = "tcp://127.0.0.1:1";
    ck_assert_int_eq(broker_new(&o, &b, NULL, 0), BROKER_OK);
    ck_assert_int_eq(broker_call_forget(b, "s/m", "x", 1, NULL), BROKER_DISCONNECTED);
    broker_free(b);
}
END_TEST

START_TEST(refuses_nonsense)
{
    static const char *const targets[] = {NULL, "", "s", "s/", "/m", "a b/m"};
    struct broker_header own = {"$x", "y"};
    struct broker_call_options o = {.headers = &own, .header_count = 1};
    broker_call *c = NULL;
    broker_service *s = NULL;
    struct fake k;
    broker *b;

    start(&k, NULL);
    b = k.client;
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
        ck_assert_int_eq(broker_call_open(b, BROKER_CALL_STREAM, targets[i], NULL, 0, NULL, &c),
                         BROKER_INVALID);
    ck_assert_int_eq(broker_call_open(b, BROKER_CALL_FORGET, "s/m", NULL, 0, NULL, &c),
                     BROKER_INVALID);
    ck_assert_int_eq(broker_call_open(b, BROKER_CALL_STREAM, "s/m", NULL, 0, &o, &c),
                     BROKER_INVALID);
    ck_assert_int_eq(broker_serve(b, "a/b", NULL, &s), BROKER_INVALID);
    ck_assert_int_eq(broker_serve(b, "$a", NULL, &s), BROKER_INVALID);
    ck_assert_int_eq(broker_serve(b, "a", NULL, &s), BROKER_OK);
    ck_assert_int_eq(broker_serve(b, "a", NULL, &s), BROKER_INVALID);
    stop(&k);
}
END_TEST

/* What had been written is lost, what had not waits for the next connection. */
START_TEST(loses_its_connection)
{
    struct fake k;
    broker_call *sent, *waiting;

    start(&k, NULL);
    sent = open_call(&k, BROKER_CALL_STREAM, &noting);
    want(&k, RS_REQUEST_STREAM);
    fake_hang_up(&k);
    wait_log(&k, "end:DISCONNECTED,none,0,the connection was lost: nobody knows how far the call "
                 "got ");
    waiting = open_call(&k, BROKER_CALL_RESPONSE, NULL); /* while there is none */
    fake_accept(&k);
    want(&k, RS_KEEPALIVE);
    ck_slice(want(&k, RS_REQUEST_RESPONSE)->data, "1+1");
    broker_call_free(sent);
    broker_call_free(waiting);
    want(&k, RS_CANCEL);
    stop(&k);
}
END_TEST

/* Queued on a connection that breaks before anything of it was written. */
START_TEST(asks_again_where_nothing_was_written)
{
    static char large[4 << 20];
    struct fake k;
    broker_call *c;
    int writes = 0;

    start(&k, NULL);
    while (broker_call_forget(k.client, "s/m", large, sizeof large, NULL) == BROKER_OK)
        writes++; /* until the socket is full */
    ck_assert_int_ge(writes, 4);
    c = open_call(&k, BROKER_CALL_RESPONSE, &noting);
    fake_hang_up(&k);
    fake_accept(&k);
    want(&k, RS_KEEPALIVE);
    want(&k, RS_REQUEST_RESPONSE);
    ck_slice(k.f.data, "1+1");
    say_data(&k, k.f.stream, RS_NEXT | RS_COMPLETE, SLICE("2"));
    wait_log(&k, "2 end:OK,none,0, ");
    broker_call_free(c);
    stop(&k);
}
END_TEST

START_TEST(ends_with_its_handle)
{
    struct broker_options o = quick;
    broker_call *c;
    broker *b;

    clear_log();
    o.url = "tcp://127.0.0.1:1";
    ck_assert_int_eq(broker_new(&o, &b, NULL, 0), BROKER_OK);
    ck_assert_int_eq(broker_call_open(b, BROKER_CALL_RESPONSE, "s/m", NULL, 0, &noting, &c),
                     BROKER_OK);
    broker_free(b); /* frees the call, too */
    ck_log("end:CLOSED,none,0,the handle is closed; the call was never sent ");
}
END_TEST

/* ---- The server ---- */

static void say_call(struct fake *k, uint8_t type, uint32_t id, uint32_t n, const char *route,
                     const char *text)
{
    struct rs_frame f = {.stream = id, .type = type, .number = n, .has_metadata = true};
    uint8_t metadata[300];

    f.metadata =
        slice_of(metadata, (size_t)(composite_put_route(metadata, slice_str(route)) - metadata));
    f.data = slice_str(text);
    say(k, &f);
}

/* A client that serves "sums". */
static broker_service *start_serving(struct fake *k, const struct broker_serve_options *o)
{
    broker_service *s = NULL;

    start(k, NULL);
    ck_assert_int_eq(broker_serve(k->client, "sums", o, &s), BROKER_OK);
    want(k, RS_REQUEST_RESPONSE);
    ck_slice(tag_of(&k->f, 0), "serve/sums");
    say_data(k, k->f.stream, RS_COMPLETE, SLICE(""));
    ck_assert_int_eq(broker_service_ready(s, 5000), BROKER_OK);
    if (o && o->on_serving)
        ck_log("serving:OK,none, ");
    clear_log();
    return s;
}

START_TEST(answers)
{
    struct broker_serve_options o = serving();
    struct broker_header header = {"k", "v"};
    struct broker_send_options with = {.headers = &header, .header_count = 1};
    struct broker_service_stats stats;
    broker_service *s;
    struct fake k;

    s = start_serving(&k, &o);
    say_call(&k, RS_REQUEST_RESPONSE, 2, 0, "call/sums/add/up", "1+1");
    wait_log(&k, "call:2,sums,add/up,1+1 ");
    ck_assert_uint_eq(broker_call_credit(served), 1);
    ck_assert_int_eq(broker_call_send(served, "2", 1, &with), BROKER_OK);
    want(&k, RS_PAYLOAD);
    ck_assert_uint_eq(k.f.stream, 2);
    ck_assert_uint_eq(k.f.flags & (RS_NEXT | RS_COMPLETE), RS_NEXT | RS_COMPLETE);
    ck_slice(k.f.data, "2");
    ck_slice(header_of(&k.f, "k"), "v");
    ck_assert_int_eq(broker_call_send(served, "3", 1, NULL), BROKER_ENDED);
    wait_log(&k, "call:2,sums,add/up,1+1 end:OK,none,0, ");
    broker_service_stats(s, &stats);
    ck_assert_uint_eq(stats.open, 1);
    broker_call_free(served);
    broker_service_stats(s, &stats);
    ck_assert_uint_eq(stats.open, 0);
    ck_assert_uint_eq(stats.taken, 1);
    stop(&k);
}
END_TEST

START_TEST(streams_by_credit)
{
    struct broker_serve_options o = serving();
    struct fake k;

    start_serving(&k, &o);
    say_call(&k, RS_REQUEST_STREAM, 2, 2, "call/sums/all", "");
    wait_log(&k, "call:3,sums,all, ");
    ck_assert_int_eq(broker_call_send(served, "1", 1, NULL), BROKER_OK);
    ck_assert_int_eq(broker_call_send(served, "2", 1, NULL), BROKER_OK);
    ck_assert_int_eq(broker_call_send(served, "3", 1, NULL), BROKER_NO_CREDIT);
    ck_slice(want(&k, RS_PAYLOAD)->data, "1");
    ck_slice(want(&k, RS_PAYLOAD)->data, "2");
    barrier(&k); /* and nothing beyond credit */
    clear_log();
    say_n(&k, 2, 1);
    wait_log(&k, "credit:1 ");
    ck_assert_int_eq(broker_call_send(served, "3", 1, NULL), BROKER_OK);
    ck_slice(want(&k, RS_PAYLOAD)->data, "3");
    ck_assert_int_eq(broker_call_cancel(served), BROKER_INVALID);
    ck_assert_int_eq(broker_call_complete(served), BROKER_OK); /* needs no credit */
    want(&k, RS_PAYLOAD);
    ck_assert_uint_eq(k.f.flags, RS_COMPLETE);
    wait_log(&k, "credit:1 end:OK,none,0, ");
    broker_call_free(served);
    stop(&k);
}
END_TEST

START_TEST(serves_a_channel)
{
    struct broker_serve_options o = serving();
    struct fake k;

    o.credit = 4;
    start_serving(&k, &o);
    say_call(&k, RS_REQUEST_CHANNEL, 2, 8, "call/sums/each", "1");
    want(&k, RS_REQUEST_N);
    ck_assert_uint_eq(k.f.number, 4); /* the first message needed none */
    wait_log(&k, "call:4,sums,each,1 ");
    say_text(&k, 2, "2");
    say_text(&k, 2, "3");
    want(&k, RS_REQUEST_N);
    ck_assert_uint_eq(k.f.number, 2);
    ck_assert_int_eq(broker_call_send(served, "=6", 2, NULL), BROKER_OK);
    ck_slice(want(&k, RS_PAYLOAD)->data, "=6");
    say_data(&k, 2, RS_COMPLETE, SLICE(""));
    wait_log(&k, "call:4,sums,each,1 2 3 complete ");
    broker_call_complete(served);
    wait_log(&k, "call:4,sums,each,1 2 3 complete end:OK,none,0, ");
    broker_call_free(served);
    stop(&k);
}
END_TEST

START_TEST(stops_the_callers_half_of_a_channel)
{
    struct broker_serve_options o = serving();
    struct fake k;

    start_serving(&k, &o);
    say_call(&k, RS_REQUEST_CHANNEL, 2, 8, "call/sums/each", "1");
    want(&k, RS_REQUEST_N);
    ck_assert_int_eq(broker_call_cancel(served), BROKER_OK);
    want(&k, RS_CANCEL);
    say_text(&k, 2, "crossed it");
    ck_assert_int_eq(broker_call_send(served, "x", 1, NULL), BROKER_OK);
    want(&k, RS_PAYLOAD);
    broker_call_complete(served);
    wait_log(&k, "call:4,sums,each,1 end:OK,none,0, ");
    broker_call_free(served);
    stop(&k);
}
END_TEST

START_TEST(fails_a_call)
{
    struct broker_serve_options o = serving();
    struct fake k;

    start_serving(&k, &o);
    say_call(&k, RS_REQUEST_RESPONSE, 2, 0, "call/sums/x", "");
    wait_log(&k, "call:2,sums,x, ");
    ck_assert_int_eq(broker_call_fail(served, 7, "x"), BROKER_INVALID);
    ck_assert_int_eq(broker_call_fail(served, 0x305, "not today"), BROKER_OK);
    want(&k, RS_ERROR);
    ck_assert_uint_eq(k.f.number, 0x305);
    ck_slice(k.f.data, "not today");
    broker_call_free(served);
    say_call(&k, RS_REQUEST_RESPONSE, 4, 0, "call/sums/y", ""); /* one given up */
    fake_until(&k, strstr(log_text, "sums,y"));
    broker_call_free(served);
    want(&k, RS_ERROR);
    ck_assert_uint_eq(k.f.number, RS_CANCELED);
    stop(&k);
}
END_TEST

START_TEST(hears_that_it_was_canceled)
{
    struct broker_serve_options o = serving();
    struct fake k;

    start_serving(&k, &o);
    say_call(&k, RS_REQUEST_STREAM, 2, 1, "call/sums/x", "");
    wait_log(&k, "call:3,sums,x, ");
    clear_log();
    say(&k, &(struct rs_frame){.stream = 2, .type = RS_CANCEL});
    wait_log(&k, "end:CANCELED,none,0,the caller has canceled the call ");
    ck_assert_int_eq(broker_call_send(served, "x", 1, NULL), BROKER_CANCELED);
    broker_call_free(served);
    barrier(&k); /* nothing was said of it */
    stop(&k);
}
END_TEST

START_TEST(turns_away_what_it_cannot_serve)
{
    struct broker_serve_options o = serving();
    struct broker_service_stats stats;
    broker_service *s;
    struct fake k;

    o.max_calls = 1;
    s = start_serving(&k, &o);
    say_call(&k, RS_REQUEST_RESPONSE, 2, 0, "call/other/x", "");
    ck_assert_uint_eq(want(&k, RS_ERROR)->number, RS_REJECTED);
    say_call(&k, RS_REQUEST_RESPONSE, 4, 0, "call/sums", "");
    ck_assert_uint_eq(want(&k, RS_ERROR)->number, RS_INVALID);
    say_call(&k, RS_REQUEST_STREAM, 6, 0, "call/sums/x", "");
    ck_assert_uint_eq(want(&k, RS_ERROR)->number, RS_INVALID);
    say_call(&k, RS_REQUEST_RESPONSE, 8, 0, "call/sums/x", "");
    wait_log(&k, "call:2,sums,x, ");
    say_call(&k, RS_REQUEST_RESPONSE, 10, 0, "call/sums/x", ""); /* one too many */
    want(&k, RS_ERROR);
    ck_assert_uint_eq(k.f.stream, 10);
    ck_assert_uint_eq(k.f.number, RS_REJECTED);
    ck_assert_int_eq(strncmp((const char *)k.f.data.p, "limit: ", 7), 0);
    say_call(&k, RS_REQUEST_FNF, 12, 0, "call/sums/x", ""); /* this one is only counted */
    barrier(&k);
    broker_service_stats(s, &stats);
    ck_assert_uint_eq(stats.refused, 3);
    ck_assert_uint_eq(stats.taken, 1);
    broker_call_free(served);
    want(&k, RS_ERROR);
    say_call(&k, RS_REQUEST_FNF, 14, 0, "call/sums/x", "");
    wait_log(&k, "call:2,sums,x, call:1,sums,x, ");
    ck_assert_int_eq(broker_call_send(served, "x", 1, NULL), BROKER_INVALID);
    broker_call_free(served);
    broker_unserve(s);
    want(&k, RS_REQUEST_FNF);
    ck_slice(tag_of(&k.f, 0), "unserve/sums");
    say_call(&k, RS_REQUEST_RESPONSE, 16, 0, "call/sums/x", ""); /* it was on its way */
    ck_assert_uint_eq(want(&k, RS_ERROR)->number, RS_REJECTED);
    stop(&k);
}
END_TEST

START_TEST(takes_fragments_both_ways)
{
    static char large[200000];
    struct broker_options small = {.max_frame = 4096, .max_message = sizeof large};
    struct broker_serve_options o = serving();
    struct rs_frame f = {.stream = 2, .type = RS_REQUEST_RESPONSE, .has_metadata = true};
    broker_service *s = NULL;
    size_t n, got = 0;
    uint8_t metadata[64], *p;
    struct fake k;

    memset(large, 'x', sizeof large);
    start(&k, &small);
    ck_assert_int_eq(broker_serve(k.client, "sums", &o, &s), BROKER_OK);
    want(&k, RS_REQUEST_RESPONSE);
    f.metadata = slice_of(metadata,
                          (size_t)(composite_put_route(metadata, SLICE("call/sums/x")) - metadata));
    f.data = slice_of(large, sizeof large);
    n = rs_fragmented_size(&f, 1000);
    p = malloc(n);
    rs_put_fragmented(p, &f, 1000);
    fake_send(&k, p, n);
    fake_until(&k, served);
    ck_assert_uint_eq(broker_message_size(broker_call_request(served)), sizeof large);
    ck_assert_int_eq(broker_call_send(served, large, sizeof large, NULL), BROKER_OK);
    do {
        got += want(&k, RS_PAYLOAD)->data.n;
    } while (rs_is_followed(&k.f));
    ck_assert_uint_eq(k.f.flags & RS_COMPLETE, RS_COMPLETE);
    ck_assert_uint_eq(got, sizeof large);
    broker_call_free(served);

    /* canceled half-way, lost half-way, too large */
    fake_send(&k, p, 4 * 1003);
    say(&k, &(struct rs_frame){.stream = 2, .type = RS_CANCEL});
    barrier(&k);
    free(p);
    f.stream = 4;
    n = rs_fragmented_size(&f, 1000);
    p = malloc(n);
    rs_put_fragmented(p, &f, 1000);
    fake_send(&k, p, 4 * 1003);
    fake_hang_up(&k);
    fake_welcome(&k);
    free(p);
    stop(&k);
}
END_TEST

START_TEST(refuses_a_request_that_is_too_large)
{
    static char large[300000];
    struct broker_options small = {.max_message = 1000};
    struct rs_frame f = {.stream = 2, .type = RS_REQUEST_RESPONSE, .has_metadata = true};
    broker_service *s = NULL;
    struct fake k;
    uint8_t *p;
    size_t n;

    start(&k, &small);
    ck_assert_int_eq(broker_serve(k.client, "sums", NULL, &s), BROKER_OK);
    want(&k, RS_REQUEST_RESPONSE);
    f.data = slice_of(large, sizeof large);
    n = rs_fragmented_size(&f, 1000);
    p = malloc(n);
    rs_put_fragmented(p, &f, 1000);
    fake_send(&k, p, n);
    want(&k, RS_ERROR);
    ck_assert_uint_eq(k.f.stream, 2);
    ck_assert_uint_eq(k.f.number, RS_INVALID);
    free(p);
    stop(&k);
}
END_TEST

START_TEST(serves_again_after_a_reconnect)
{
    struct broker_serve_options o = serving();
    struct fake k;

    start_serving(&k, &o);
    say_call(&k, RS_REQUEST_RESPONSE, 2, 0, "call/sums/x", "");
    wait_log(&k, "call:2,sums,x, ");
    clear_log();
    fake_hang_up(&k);
    fake_accept(&k);
    want(&k, RS_KEEPALIVE);
    ck_assert_int_eq(strncmp(log_text, "end:DISCONNECTED", 16), 0);
    ck_slice(tag_of(want(&k, RS_REQUEST_RESPONSE), 0), "serve/sums");
    clear_log();
    say_error(&k, k.f.stream, RS_REJECTED, "limit: too many services");
    wait_log(&k, "serving:REFUSED,limit,limit: too many services ");
    ck_assert_int_eq(broker_call_send(served, "x", 1, NULL), BROKER_DISCONNECTED);
    broker_call_free(served);
    stop(&k);
}
END_TEST

START_TEST(drains)
{
    struct broker_serve_options o = serving();
    broker_call *c = NULL;
    struct fake k;

    start_serving(&k, &o);
    say_call(&k, RS_REQUEST_RESPONSE, 2, 0, "call/sums/x", "");
    wait_log(&k, "call:2,sums,x, ");
    ck_assert_int_eq(broker_drain(k.client), BROKER_OK);
    want(&k, RS_ERROR);
    ck_assert_uint_eq(k.f.stream, 0);
    ck_assert_uint_eq(k.f.number, RS_CONNECTION_CLOSE);
    ck_assert_int_eq(broker_drain(k.client), BROKER_CLOSED);
    ck_assert_int_eq(broker_call_open(k.client, BROKER_CALL_STREAM, "s/m", NULL, 0, NULL, &c),
                     BROKER_CLOSED);
    ck_assert_int_eq(broker_call_send(served, "x", 1, NULL), BROKER_OK); /* what runs may end */
    want(&k, RS_PAYLOAD);
    broker_call_free(served);
    fake_hang_up(&k);
    fake_until(&k, broker_state(k.client) == BROKER_STATE_CLOSED); /* and nobody comes again */
    stop(&k);
}
END_TEST

START_TEST(hands_out_calls_by_pulling)
{
    struct broker_serve_options o = {
        .manual_credit = true, .on_complete = on_complete, .on_credit = on_credit};
    broker_message *m = NULL;
    broker_service *s;
    broker_call *c;
    struct fake k;

    s = start_serving(&k, &o);
    ck_assert_int_eq(broker_service_next(s, 1, &c), BROKER_TIMED_OUT);
    say_call(&k, RS_REQUEST_RESPONSE, 2, 0, "call/sums/x", "given up");
    say(&k, &(struct rs_frame){.stream = 2, .type = RS_CANCEL});
    say_call(&k, RS_REQUEST_CHANNEL, 4, 1, "call/sums/x", "first");
    ck_assert_int_eq(broker_service_next(s, 5000, &c), BROKER_OK);
    ck_assert_int_eq(broker_call_model(c), BROKER_CALL_CHANNEL);
    ck_assert_int_eq(broker_call_grant(c, 1), BROKER_OK);
    want(&k, RS_REQUEST_N);
    ck_assert_uint_eq(k.f.number, 1);
    say_data(&k, 4, RS_NEXT | RS_COMPLETE, SLICE("second"));
    ck_assert_int_eq(broker_call_next(c, 5000, &m), BROKER_OK);
    ck_assert_uint_eq(broker_message_size(m), 6);
    broker_message_unref(m);
    ck_assert_int_eq(broker_call_next(c, 5000, &m), BROKER_ENDED);
    clear_log();
    say_call(&k, RS_REQUEST_CHANNEL, 8, 1, "call/sums/x", "");
    say_n(&k, 8, 1);
    say_data(&k, 8, RS_COMPLETE, SLICE("")); /* before anybody has taken it */
    barrier(&k);
    ck_log("");
    broker_call_free(c);
    want(&k, RS_ERROR);
    ck_assert_int_eq(broker_service_next(s, 0, &c), BROKER_OK);
    ck_assert(broker_call_completed(c));
    ck_assert_uint_eq(broker_call_credit(c), 2);
    say_call(&k, RS_REQUEST_RESPONSE, 6, 0, "call/sums/x", "waits");
    barrier(&k);
    broker_unserve(s); /* which refuses it */
    want(&k, RS_REQUEST_FNF);
    want(&k, RS_ERROR);
    ck_assert_uint_eq(k.f.stream, 6);
    ck_assert_uint_eq(k.f.number, RS_REJECTED);
    broker_call_free(c);
    want(&k, RS_ERROR);
    ck_assert_uint_eq(k.f.stream, 8);
    stop(&k);
}
END_TEST

/* A stream with room for nothing more in what waits to be written goes on when there is. */
static void fill(broker_call *c, size_t credit, void *user)
{
    static char part[1 << 20];
    int *sent = user;

    (void)credit;
    while (*sent < 20 && broker_call_send(c, part, sizeof part, NULL) == BROKER_OK)
        ++*sent;
}

START_TEST(goes_on_when_there_is_room)
{
    struct broker_options o = quick;
    struct broker_serve_options so = serving();
    broker_service *s = NULL;
    struct fake k;
    int sent = 0, got = 0;

    o.outbox_bytes = 3 << 20;
    start(&k, &o);
    so.on_credit = fill;
    ck_assert_int_eq(broker_serve(k.client, "sums", &so, &s), BROKER_OK);
    want(&k, RS_REQUEST_RESPONSE);
    say_call(&k, RS_REQUEST_STREAM, 2, RS_N_MAX, "call/sums/x", "");
    fake_until(&k, served);
    broker_call_set_user(served, &sent);
    fill(served, 0, &sent);
    ck_assert_int_lt(sent, 20);
    while (got < 20) {
        want(&k, RS_PAYLOAD);
        got += !rs_is_followed(&k.f);
    }
    broker_call_free(served);
    stop(&k);
}
END_TEST

START_TEST(a_request_on_a_stream_in_use_ends_the_connection)
{
    struct broker_serve_options o = serving();
    struct fake k;

    start_serving(&k, &o);
    say_call(&k, RS_REQUEST_RESPONSE, 2, 0, "call/sums/x", "");
    say_call(&k, RS_REQUEST_RESPONSE, 2, 0, "call/sums/x", "");
    fake_until(&k, strstr(log_text, "end:DISCONNECTED"));
    broker_call_free(served);
    stop(&k);
}
END_TEST

/* ---- Freed in its own callbacks ---- */

static void free_it(broker_call *c, const struct broker_call_end *end, void *user)
{
    (void)end;
    ++*(int *)user;
    broker_call_free(c);
}

static void free_on_message(broker_call *c, broker_message *m, void *user)
{
    (void)m;
    ++*(int *)user;
    broker_call_free(c);
}

START_TEST(is_freed_in_its_own_callbacks)
{
    int freed = 0;
    struct broker_call_options on_end_o = {.on_end = free_it, .user = &freed};
    struct broker_call_options on_message_o = {.on_message = free_on_message, .user = &freed};
    struct fake k;
    uint32_t id;

    start(&k, NULL);
    open_call(&k, BROKER_CALL_STREAM, &on_end_o);
    id = want(&k, RS_REQUEST_STREAM)->stream;
    say_text(&k, id, "left behind");
    say_data(&k, id, RS_COMPLETE, SLICE(""));
    fake_until(&k, freed == 1);
    open_call(&k, BROKER_CALL_STREAM, &on_message_o);
    id = want(&k, RS_REQUEST_STREAM)->stream;
    say_text(&k, id, "a");
    say_text(&k, id, "b");
    want(&k, RS_CANCEL);
    ck_assert_int_eq(freed, 2);
    stop(&k);
}
END_TEST

/* ---- A thread of the library's own ---- */

static void echo(broker_service *s, broker_call *c, void *user)
{
    broker_message *m = broker_call_request(c);
    size_t n;
    const void *data = broker_message_data(m, &n);

    (void)s;
    (void)user;
    ck_assert_int_eq(broker_call_wait(user, "s/m", NULL, 0, NULL, 0, NULL, NULL),
                     BROKER_IN_CALLBACK);
    (void)broker_call_send(c, data, n, NULL);
    broker_call_free(c);
}

START_TEST(works_with_a_thread)
{
    struct broker_serve_options o = {.on_call = echo};
    struct broker_options options = {0};
    broker_service *s = NULL;
    broker_call *c;
    broker *b;
    struct fake k;

    fake_init(&k);
    b = fake_client(&k, &options);
    k.client = NULL; /* it drives itself */
    ck_assert_int_eq(broker_start(b), BROKER_OK);
    o.user = b;
    ck_assert_int_eq(broker_serve(b, "sums", &o, &s), BROKER_OK);
    ck_assert_int_eq(broker_connect(b, 0), BROKER_OK);
    fake_accept(&k);
    want(&k, RS_KEEPALIVE);
    want(&k, RS_REQUEST_RESPONSE);
    say_data(&k, k.f.stream, RS_COMPLETE, SLICE(""));
    ck_assert_int_eq(broker_service_ready(s, 5000), BROKER_OK);
    for (uint32_t id = 2; id < 200; id += 2) {
        say_call(&k, RS_REQUEST_RESPONSE, id, 0, "call/sums/x", "echo");
        ck_slice(want(&k, RS_PAYLOAD)->data, "echo");
    }
    for (int i = 0; i < 100; i++) { /* given back while its callbacks may run */
        ck_assert_int_eq(broker_call_open(b, BROKER_CALL_STREAM, "s/m", NULL, 0, &noting, &c),
                         BROKER_OK);
        want(&k, RS_REQUEST_STREAM);
        say_data(&k, k.f.stream, RS_NEXT, SLICE(""));
        broker_call_free(c);
        want(&k, RS_CANCEL);
    }
    broker_free(b);
    fake_fini(&k);
}
END_TEST

int main(void)
{
    const TTest *tests[] = {asks_and_is_answered,
                            takes_every_kind_of_answer,
                            hears_of_errors,
                            renews_credit_at_half,
                            grants_by_hand,
                            sends_on_a_channel_by_credit,
                            completes_with_the_last_message,
                            is_told_to_send_no_more,
                            cancels,
                            runs_out_of_time,
                            forgets,
                            refuses_nonsense,
                            loses_its_connection,
                            asks_again_where_nothing_was_written,
                            ends_with_its_handle,
                            answers,
                            streams_by_credit,
                            serves_a_channel,
                            stops_the_callers_half_of_a_channel,
                            fails_a_call,
                            hears_that_it_was_canceled,
                            turns_away_what_it_cannot_serve,
                            takes_fragments_both_ways,
                            refuses_a_request_that_is_too_large,
                            serves_again_after_a_reconnect,
                            drains,
                            hands_out_calls_by_pulling,
                            goes_on_when_there_is_room,
                            a_request_on_a_stream_in_use_ends_the_connection,
                            is_freed_in_its_own_callbacks,
                            works_with_a_thread,
                            NULL};

    return run_tests("client/call", tests);
}
