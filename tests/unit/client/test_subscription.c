/* Subscribing, consuming, asking: what is sent, what is handed out, how credit and acks go back. */
#include "tests/unit/client/fake.h"

static char log_text[4096]; /* what the callbacks said */

static void add_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void add_log(const char *format, ...)
{
    size_t n = strlen(log_text);
    va_list args;

    va_start(args, format);
    vsnprintf(log_text + n, sizeof log_text - n, format, args);
    va_end(args);
}

static void on_message(broker_subscription *s, broker_message *m, void *user)
{
    (void)user;
    ck_assert_ptr_eq(broker_message_subscription(m), s);
    add_log("%llu:%s=%.*s ", (unsigned long long)broker_message_number(m), broker_message_topic(m),
            (int)broker_message_size(m), (const char *)broker_message_data(m, NULL));
}

static void on_gap(broker_subscription *s, const struct broker_gap *g, void *user)
{
    (void)s;
    (void)user;
    add_log("gap:%llu,%s ", (unsigned long long)g->count, broker_reason_word(g->reason));
}

static void on_end(broker_subscription *s, int error, int reason, const char *text, void *user)
{
    (void)s;
    (void)user;
    add_log("end:%s,%s,%s ", broker_errname(error), broker_reason_word(reason), text);
}

static const struct broker_options quick = {.reconnect_min_ms = 1, .reconnect_max_ms = 4};

static struct broker_subscribe_options noting(struct broker_subscribe_options o)
{
    o.on_message = on_message;
    o.on_gap = on_gap;
    o.on_end = on_end;
    return o;
}

static void start(struct fake *k, const struct broker_options *o)
{
    log_text[0] = '\0';
    fake_init(k);
    fake_connected(k, o ? o : &quick);
}

static void stop(struct fake *k)
{
    broker_free(k->client);
    fake_fini(k);
}

static broker_subscription *subscribe(struct fake *k, const char *filter,
                                      struct broker_subscribe_options o)
{
    broker_subscription *s;

    ck_assert_int_eq(broker_subscribe(k->client, &filter, 1, &o, &s), BROKER_OK);
    return s;
}

START_TEST(asks_for_filters)
{
    static const char *const filters[] = {"a.*", "b.#"};
    static const struct broker_header settings[] = {{"overflow", "drop-newest"}, {"facts", "1"}};
    struct broker_subscribe_options o = {.credit = 10, .settings = settings, .setting_count = 2};
    broker_subscription *s;
    struct fake k;

    start(&k, NULL);
    ck_assert_int_eq(broker_subscribe(k.client, filters, 2, &o, &s), BROKER_OK);
    want(&k, RS_REQUEST_STREAM);
    ck_assert_uint_eq(k.f.stream, 1);
    ck_assert_uint_eq(k.f.number, 10);
    ck_slice(tag_of(&k.f, 0), "subscribe/a.*");
    ck_slice(tag_of(&k.f, 1), "b.#");
    ck_slice(header_of(&k.f, "$overflow"), "drop-newest");
    ck_slice(header_of(&k.f, "$facts"), "1");
    broker_unsubscribe(s);
    want(&k, RS_CANCEL);
    ck_assert_uint_eq(k.f.stream, 1);
    s = subscribe(&k, "c", (struct broker_subscribe_options){0});
    want(&k, RS_REQUEST_STREAM);
    ck_assert_uint_eq(k.f.stream, 3);
    ck_assert_int_eq(broker_subscribe(k.client, filters, 0, NULL, &s), BROKER_INVALID);
    ck_assert_int_eq(broker_subscribe(k.client, &(const char *){"a..b"}, 1, NULL, &s),
                     BROKER_INVALID);
    ck_assert_ptr_nonnull(strstr(broker_errmsg(k.client), "a..b"));
    stop(&k);
}
END_TEST

START_TEST(hands_out_messages)
{
    struct fake k;

    start(&k, NULL);
    (void)subscribe(&k, "a.b", noting((struct broker_subscribe_options){0}));
    (void)subscribe(&k, "c.*", noting((struct broker_subscribe_options){0}));
    want(&k, RS_REQUEST_STREAM);
    want(&k, RS_REQUEST_STREAM);
    say_text(&k, 1, "one"); /* the literal filter's topic goes without saying */
    say_text(&k, 1, "");
    say_delivery(&k, 3, "c.x", NULL, NULL, NULL, "three");
    say_delivery(&k, 3, "c.y", "$gap", "12 drop-oldest", NULL, "four");
    fake_until(&k, strstr(log_text, "four"));
    ck_assert_str_eq(log_text, "1:a.b=one 2:a.b= 1:c.x=three gap:12,drop-oldest 2:c.y=four ");
    stop(&k);
}
END_TEST

START_TEST(renews_credit_at_half)
{
    struct fake k;

    start(&k, NULL);
    (void)subscribe(&k, "a", noting((struct broker_subscribe_options){.credit = 4}));
    want(&k, RS_REQUEST_STREAM);
    ck_assert_uint_eq(k.f.number, 4);
    say_text(&k, 1, "1");
    say_text(&k, 1, "2");
    want(&k, RS_REQUEST_N);
    ck_assert_uint_eq(k.f.number, 2);
    say_delivery(&k, 1, "a", NULL, NULL, NULL, "3");
    say_delivery(&k, 1, "a", NULL, NULL, NULL, "4");
    want(&k, RS_REQUEST_N);
    ck_assert_uint_eq(k.f.number, 2);
    stop(&k);
}
END_TEST

START_TEST(never_takes_more_than_granted)
{
    struct fake k;
    broker_subscription *s;

    start(&k, NULL);
    s = subscribe(&k, "a",
                  noting((struct broker_subscribe_options){.credit = 2, .manual_credit = true}));
    want(&k, RS_REQUEST_STREAM);
    say_text(&k, 1, "1");
    say_text(&k, 1, "2");
    fake_until(&k, strstr(log_text, "2:a"));
    ck_assert_int_eq(broker_grant(s, 1), BROKER_OK);
    want(&k, RS_REQUEST_N);
    ck_assert_uint_eq(k.f.number, 1);
    say_text(&k, 1, "3");
    say_text(&k, 1, "4");
    want(&k, RS_CANCEL);
    fake_until(&k, strstr(log_text, "end:PROTOCOL"));
    ck_assert_ptr_null(strstr(log_text, "4:a"));
    ck_assert_int_eq(broker_grant(s, 1), BROKER_ENDED);
    stop(&k);
}
END_TEST

START_TEST(comes_back_with_a_gap)
{
    struct fake k;

    start(&k, NULL);
    (void)subscribe(&k, "a", noting((struct broker_subscribe_options){0}));
    want(&k, RS_REQUEST_STREAM);
    say_text(&k, 1, "1");
    fake_until(&k, strstr(log_text, "1:a=1"));
    fake_hang_up(&k);
    fake_welcome(&k);
    want(&k, RS_REQUEST_STREAM);
    ck_assert_uint_eq(k.f.stream, 1);
    say_text(&k, 1, "2");
    fake_until(&k, strstr(log_text, "2:a=2"));
    ck_assert_str_eq(log_text, "1:a=1 gap:0,disconnected 2:a=2 ");
    stop(&k);
}
END_TEST

/* The client writes no more: its side of the connection has ended. */
static bool has_left(struct fake *k)
{
    char c;

    return recv(k->fd, &c, 1, MSG_DONTWAIT) == 0;
}

START_TEST(reads_on_when_the_broker_stops)
{
    struct fake k;

    start(&k, NULL);
    (void)subscribe(&k, "a", noting((struct broker_subscribe_options){0}));
    want(&k, RS_REQUEST_STREAM);
    say_text(&k, 1, "1");
    say_error(&k, 0, RS_CONNECTION_CLOSE, "draining: about to stop");
    fake_until(&k, has_left(&k));
    say_text(&k, 1, "2"); /* to the broker this was settled when it wrote it */
    fake_until(&k, strstr(log_text, "2:a=2"));
    ck_assert_int_eq(broker_state(k.client), BROKER_STATE_CONNECTED);
    fake_hang_up(&k);
    fake_welcome(&k);
    want(&k, RS_REQUEST_STREAM);
    ck_assert_str_eq(log_text, "1:a=1 2:a=2 gap:0,disconnected ");
    stop(&k);
}
END_TEST

START_TEST(ends)
{
    struct fake k;

    start(&k, NULL);
    (void)subscribe(&k, "a", noting((struct broker_subscribe_options){0}));
    (void)subscribe(&k, "b", noting((struct broker_subscribe_options){0}));
    want(&k, RS_REQUEST_STREAM);
    want(&k, RS_REQUEST_STREAM);
    say_error(&k, 1, RS_REJECTED, "denied: not for you");
    say_data(&k, 3, RS_COMPLETE, (struct slice){NULL, 0});
    fake_until(&k, strstr(log_text, "completed"));
    ck_assert_str_eq(log_text, "end:REFUSED,denied,denied: not for you end:OK,none,completed ");
    fake_hang_up(&k);
    fake_welcome(&k);
    broker_ping(k.client, 0);
    want(&k, RS_REQUEST_RESPONSE); /* and no subscription before it */
    stop(&k);
}
END_TEST

START_TEST(pulls)
{
    struct fake k;
    broker_subscription *s;
    broker_message *m;
    struct broker_gap gap;
    struct broker_header h;
    size_t n;

    start(&k, NULL);
    s = subscribe(&k, "a.*", (struct broker_subscribe_options){.credit = 2});
    want(&k, RS_REQUEST_STREAM);
    ck_assert_int_eq(broker_next(s, 1, &m), BROKER_TIMED_OUT);
    say_delivery(&k, 1, "a.b", "$gap", "3 full", "application/json", "{}");
    ck_assert_int_eq(broker_next(s, 5000, &m), BROKER_GAP);
    broker_last_gap(s, &gap);
    ck_assert_uint_eq(gap.count, 3);
    ck_assert_int_eq(gap.reason, BROKER_REASON_FULL);
    ck_assert_int_eq(broker_next(s, 5000, &m), BROKER_OK);
    want(&k, RS_REQUEST_N);
    ck_assert_str_eq(broker_message_topic(m), "a.b");
    ck_assert_str_eq(broker_message_content_type(m), "application/json");
    ck_assert_str_eq(broker_message_header(m, "$gap", &n), "3 full");
    ck_assert_uint_eq(n, 6);
    ck_assert_ptr_null(broker_message_header(m, "other", NULL));
    ck_assert(broker_message_header_at(m, 0, &h));
    ck_assert_str_eq(h.name, "$gap");
    ck_assert(!broker_message_header_at(m, 1, &h));
    ck_assert_mem_eq(broker_message_data(m, &n), "{}", 2);
    ck_assert_uint_eq(n, 2);
    ck_assert_ptr_eq(broker_message_ref(m), m);
    broker_message_unref(m);
    say_error(&k, 1, RS_INVALID, "not-found: no such thing");
    {
        broker_message *none = NULL;

        ck_assert_int_eq(broker_next(s, 5000, &none), BROKER_REFUSED);
        ck_assert_ptr_null(none);
    }
    ck_assert_str_eq(broker_errmsg(k.client), "not-found: no such thing");
    stop(&k);
    ck_assert_str_eq(broker_message_topic(m), "a.b"); /* it outlives the handle */
    broker_message_unref(m);
}
END_TEST

static broker_message *kept;

static void keep(broker_subscription *s, broker_message *m, void *user)
{
    (void)s;
    (void)user;
    kept = broker_message_ref(m);
    broker_message_unref(m); /* lent: nothing happens */
}

START_TEST(keeps_a_lent_message)
{
    struct fake k;

    start(&k, NULL);
    kept = NULL;
    (void)subscribe(&k, "a.*", (struct broker_subscribe_options){.on_message = keep});
    want(&k, RS_REQUEST_STREAM);
    say_delivery(&k, 1, "a.long", "color", "red", NULL, "payload");
    fake_until(&k, kept);
    stop(&k);
    ck_assert_str_eq(broker_message_topic(kept), "a.long");
    ck_assert_str_eq(broker_message_content_type(kept), "application/octet-stream");
    ck_assert_str_eq(broker_message_header(kept, "color", NULL), "red");
    ck_assert_mem_eq(broker_message_data(kept, NULL), "payload", 7);
    broker_message_unref(kept);
}
END_TEST

START_TEST(puts_fragments_together)
{
    struct broker_options o = quick;
    struct rs_frame f = {.stream = 1, .type = RS_PAYLOAD, .flags = RS_NEXT, .has_metadata = true};
    static uint8_t big[300000], wire[400000];
    uint8_t metadata[300];
    broker_subscription *s;
    broker_message *m;
    struct fake k;
    size_t n;

    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 7);
    o.max_message = sizeof big;
    start(&k, &o);
    s = subscribe(&k, "a.*", (struct broker_subscribe_options){0});
    want(&k, RS_REQUEST_STREAM);
    f.metadata =
        slice_of(metadata, (size_t)(composite_put_route(metadata, SLICE("a.big")) - metadata));
    f.data = slice_of(big, sizeof big);
    fake_send(&k, wire, (size_t)(rs_put_fragmented(wire, &f, 1000) - wire));
    ck_assert_int_eq(broker_next(s, 5000, &m), BROKER_OK);
    ck_assert_str_eq(broker_message_topic(m), "a.big");
    ck_assert_mem_eq(broker_message_data(m, &n), big, sizeof big);
    ck_assert_uint_eq(n, sizeof big);
    broker_message_unref(m);

    f.data.n = sizeof wire - 1000; /* more than the client takes, metadata allowance included */
    f.data.p = wire;
    for (int i = 0; i < 2; i++) { /* one endless message */
        f.flags |= RS_FOLLOWS;
        f.has_metadata = false;
        f.metadata.n = 0;
        say(&k, &f);
    }
    want(&k, RS_CANCEL);
    ck_assert_int_eq(broker_next(s, 5000, &m), BROKER_REFUSED);
    ck_assert_int_eq(broker_reason_of(broker_errmsg(k.client)), BROKER_REASON_TOO_LARGE);
    stop(&k);
}
END_TEST

static broker_subscription *consume(struct fake *k, struct broker_subscribe_options o)
{
    broker_subscription *s;

    o.ack = BROKER_ACK_MANUAL;
    ck_assert_int_eq(broker_consume(k->client, "q", &o, &s), BROKER_OK);
    return s;
}

/* The next payload up must be exactly these verbs. */
static void want_verbs(struct fake *k, const struct consumer_verb *v, size_t n)
{
    struct consumer_verb got;
    struct slice rest;
    const char *why;

    want(k, RS_PAYLOAD);
    rest = k->f.data;
    for (size_t i = 0; i < n; i++, v++) {
        ck_assert_int_eq(consumer_verb_next(&rest, &got, &why), 1);
        ck_assert_int_eq(got.kind, v->kind);
        ck_assert_uint_eq(got.first, v->first);
        ck_assert_uint_eq(got.count, v->count);
        ck_assert_uint_eq(got.argument, v->argument);
    }
    ck_assert_uint_eq(rest.n, 0);
}

START_TEST(settles_deliveries)
{
    static const char *const bindings[] = {"orders.#"};
    static const struct consumer_verb first[] = {{VERB_ACK, 1, 3, 0},
                                                 {VERB_NACK, 4, 1, 500},
                                                 {VERB_REJECT, 5, 1, 0},
                                                 {VERB_EXTEND, 6, 1, 9}};
    static const struct consumer_verb second[] = {{VERB_ACK, 6, 1, 0}};
    broker_subscription *s;
    struct fake k;

    start(&k, NULL);
    s = consume(&k, noting((struct broker_subscribe_options){
                        .credit = 8, .bindings = bindings, .binding_count = 1}));
    want(&k, RS_REQUEST_CHANNEL);
    ck_slice(tag_of(&k.f, 0), "consume/q");
    ck_slice(tag_of(&k.f, 1), "orders.#");
    ck_assert_uint_eq(k.f.number, 8);
    ck_assert_int_eq(broker_ack(s, 1, 1), BROKER_INVALID);
    for (int i = 0; i < 6; i++)
        say_text(&k, 1, "x");
    fake_until(&k, strstr(log_text, "6:q=x"));
    ck_assert_int_eq(broker_ack(s, 1, 1), BROKER_OK);
    ck_assert_int_eq(broker_ack(s, 2, 2), BROKER_OK); /* joins the one before */
    ck_assert_int_eq(broker_nack(s, 4, 1, 500), BROKER_OK);
    ck_assert_int_eq(broker_reject(s, 5, 1), BROKER_OK);
    ck_assert_int_eq(broker_extend(s, 6, 1, 9), BROKER_OK);
    want(&k, RS_REQUEST_N); /* what is settled is given back */
    ck_assert_uint_eq(k.f.number, 4);
    want_verbs(&k, first, 4);
    ck_assert_int_eq(broker_ack(s, 6, 1), BROKER_OK);
    want_verbs(&k, second, 1);
    ck_assert_int_eq(broker_ack(s, 6, 2), BROKER_INVALID);
    ck_assert_int_eq(broker_ack(s, 0, 1), BROKER_INVALID);
    ck_assert_int_eq(broker_ack(s, 1, 0), BROKER_INVALID);
    stop(&k);
}
END_TEST

START_TEST(cannot_settle_after_a_reconnect)
{
    static const struct consumer_verb renumbered[] = {{VERB_ACK, 1, 1, 0}};
    broker_subscription *s;
    struct fake k;

    start(&k, NULL);
    s = consume(&k, noting((struct broker_subscribe_options){0}));
    want(&k, RS_REQUEST_CHANNEL);
    say_text(&k, 1, "1");
    say_text(&k, 1, "2");
    fake_until(&k, strstr(log_text, "2:q=2"));
    ck_assert_int_eq(broker_ack(s, 1, 1), BROKER_OK);
    fake_hang_up(&k);
    fake_until(&k, broker_state(k.client) != BROKER_STATE_CONNECTED);
    ck_assert_int_eq(broker_ack(s, 2, 1), BROKER_STALE);
    fake_welcome(&k);
    want(&k, RS_REQUEST_CHANNEL);
    say_delivery(&k, 1, NULL, "$attempt", "2", NULL, "2");
    fake_until(&k, strstr(log_text, "3:q=2"));
    ck_assert_ptr_null(strstr(log_text, "gap")); /* the queue kept what we missed */
    ck_assert_int_eq(broker_ack(s, 1, 2), BROKER_STALE);
    ck_assert_int_eq(broker_ack(s, 2, 2), BROKER_OK); /* 2 is stale, 3 is the first of now */
    want_verbs(&k, renumbered, 1);
    stop(&k);
}
END_TEST

static void unsubscribe_at_once(broker_subscription *s, broker_message *m, void *user)
{
    add_log("%.*s", (int)broker_message_size(m), (const char *)broker_message_data(m, NULL));
    ck_assert_int_eq(broker_ping(user, 100), BROKER_IN_CALLBACK);
    ck_assert_int_eq(broker_process(user), BROKER_IN_CALLBACK);
    broker_unsubscribe(s);
}

START_TEST(gives_back_in_its_own_callback)
{
    struct fake k;

    start(&k, NULL);
    (void)subscribe(
        &k, "a",
        (struct broker_subscribe_options){.on_message = unsubscribe_at_once, .user = k.client});
    want(&k, RS_REQUEST_STREAM);
    say_text(&k, 1, "1");
    say_text(&k, 1, "2");
    want(&k, RS_CANCEL);
    ck_assert_str_eq(log_text, "1");
    stop(&k);
}
END_TEST

static void on_answer(broker *b, const struct broker_receipt *r, broker_message *answer, void *user)
{
    (void)b;
    (void)user;
    add_log("{%s %s}", broker_errname(r->status),
            answer ? (const char *)broker_message_data(answer, NULL) : r->text);
}

START_TEST(asks)
{
    struct fake k;

    start(&k, NULL);
    ck_assert_int_eq(broker_request_async(k.client, "admin/info", "{}", 2, 5000, on_answer, NULL),
                     0);
    ck_assert_int_eq(broker_request_async(k.client, "admin/x", NULL, 0, 5000, on_answer, NULL), 0);
    ck_assert_int_eq(broker_request_async(k.client, "admin/y", NULL, 0, 5000, on_answer, NULL), 0);
    want(&k, RS_REQUEST_RESPONSE);
    ck_slice(tag_of(&k.f, 0), "admin/info");
    ck_slice(k.f.data, "{}");
    say_data(&k, 1, RS_NEXT | RS_COMPLETE, slice_of("[1]", 4)); /* with the NUL for on_answer */
    want(&k, RS_REQUEST_RESPONSE);
    say_error(&k, 3, RS_INVALID, "not-found: no such command");
    want(&k, RS_REQUEST_RESPONSE);
    fake_until(&k, strstr(log_text, "command"));
    ck_assert_str_eq(log_text, "{OK [1]}{REFUSED not-found: no such command}");
    fake_hang_up(&k);
    fake_until(&k, strstr(log_text, "DISCONNECTED"));
    ck_assert_int_eq(broker_request_async(k.client, "admin/z", NULL, 0, 5000, NULL, NULL),
                     BROKER_INVALID);
    stop(&k);
}
END_TEST

START_TEST(reports_are_not_restored)
{
    struct broker_subscribe_options o = noting((struct broker_subscribe_options){.credit = 1});
    broker_subscription *s;
    struct fake k;

    start(&k, NULL);
    ck_assert_int_eq(broker_request_stream(k.client, "admin/events", "{}", 2, &o, &s), BROKER_OK);
    want(&k, RS_REQUEST_STREAM);
    ck_slice(tag_of(&k.f, 0), "admin/events");
    say_text(&k, 1, "event");
    want(&k, RS_REQUEST_N);
    fake_hang_up(&k);
    fake_until(&k, strstr(log_text, "end:"));
    ck_assert_str_eq(log_text, "1:=event end:DISCONNECTED,none,the connection was lost ");
    stop(&k);
}
END_TEST

START_TEST(serves_nothing)
{
    struct fake k;

    start(&k, NULL);
    say(&k, &(struct rs_frame){.stream = 2, .type = RS_REQUEST_RESPONSE});
    want(&k, RS_ERROR);
    ck_assert_uint_eq(k.f.stream, 2);
    ck_assert_uint_eq(k.f.number, RS_REJECTED);
    say(&k,
        &(struct rs_frame){.stream = 9, .type = RS_PAYLOAD, .flags = RS_NEXT}); /* unknown: fine */
    say(&k, &(struct rs_frame){.type = RS_KEEPALIVE, .flags = RS_RESPOND});
    want(&k, RS_KEEPALIVE);
    stop(&k);
}
END_TEST

int main(void)
{
    const TTest *tests[] = {asks_for_filters,
                            hands_out_messages,
                            renews_credit_at_half,
                            never_takes_more_than_granted,
                            comes_back_with_a_gap,
                            reads_on_when_the_broker_stops,
                            ends,
                            pulls,
                            keeps_a_lent_message,
                            puts_fragments_together,
                            settles_deliveries,
                            cannot_settle_after_a_reconnect,
                            gives_back_in_its_own_callback,
                            asks,
                            reports_are_not_restored,
                            serves_nothing,
                            NULL};

    return run_tests("client/subscription", tests);
}
