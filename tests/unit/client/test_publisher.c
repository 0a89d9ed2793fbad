/* Publishing by a stream: what is sent, when it must wait, what is confirmed, what is sent again.
 */
#include "tests/unit/client/fake.h"

static char log_text[4096]; /* what on_confirm and on_end said */

static void add_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void add_log(const char *format, ...)
{
    size_t n = strlen(log_text);
    va_list args;

    va_start(args, format);
    vsnprintf(log_text + n, sizeof log_text - n, format, args);
    va_end(args);
}

static void on_confirm(broker_publisher *p, uint64_t settled, const struct broker_outcome *o,
                       size_t count, void *user)
{
    (void)p;
    (void)user;
    add_log("[%llu", (unsigned long long)settled);
    for (size_t i = 0; i < count; i++)
        add_log(" %llu+%u %s %u/%u", (unsigned long long)o[i].first, o[i].count,
                broker_reason_word(o[i].reason), o[i].accepted, o[i].matched);
    add_log("]");
}

static void on_end(broker_publisher *p, int error, const char *text, void *user)
{
    (void)p;
    (void)user;
    add_log("end %s: %s", broker_errname(error), text);
}

static const struct broker_options quick = {.reconnect_min_ms = 1, .reconnect_max_ms = 4};

/* A connected client with a publisher whose stream the fake has seen. */
static broker_publisher *start(struct fake *k, const struct broker_options *o,
                               struct broker_publisher_options po)
{
    broker_publisher *p;

    log_text[0] = '\0';
    fake_init(k);
    fake_connected(k, o ? o : &quick);
    po.on_confirm = on_confirm;
    po.on_end = on_end;
    ck_assert_int_eq(broker_publisher_new(k->client, &po, &p), BROKER_OK);
    want(k, RS_REQUEST_CHANNEL);
    ck_assert_uint_eq(k->f.number, RS_N_MAX);
    ck_slice(tag_of(&k->f, 0), po.to_queue ? "send" : "publish");
    return p;
}

/* The next message must be `text`, to `topic` ("" where it goes where the one before it went). */
static void want_message(struct fake *k, uint32_t stream, const char *topic, const char *text)
{
    want(k, RS_PAYLOAD);
    ck_assert_uint_eq(k->f.stream, stream);
    ck_slice(k->f.data, text);
    ck_slice(tag_of(&k->f, 0), topic);
}

static int64_t put(broker_publisher *p, const char *topic, const char *text)
{
    return broker_publisher_publish(p, topic, text, strlen(text), NULL);
}

START_TEST(says_a_topic_only_when_it_changes)
{
    struct fake k;
    broker_publisher *p = start(&k, NULL, (struct broker_publisher_options){.topic = "home"});

    say_n(&k, 1, 100);
    fake_until(&k, broker_publisher_credit(p) == 100);
    ck_assert_int_eq(put(p, NULL, "1"), 1);
    ck_assert_int_eq(put(p, NULL, "2"), 2);
    ck_assert_int_eq(put(p, "a.b", "3"), 3);
    ck_assert_int_eq(put(p, "a.b", ""), 4);
    ck_assert_int_eq(put(p, NULL, "5"), 5);
    ck_assert_int_eq(put(p, "home", "6"), 6);
    want_message(&k, 1, "home", "1");
    want_message(&k, 1, "", "2");
    ck_assert_uint_eq(k.used, 10); /* nine bytes and one */
    want_message(&k, 1, "a.b", "3");
    want_message(&k, 1, "", "");
    want_message(&k, 1, "", "5");
    want_message(&k, 1, "home", "6");
    ck_assert_int_eq(put(p, "bad topic", "x"), BROKER_INVALID);
    ck_assert_int_eq(put(p, "a.*", "x"), BROKER_INVALID);
    ck_assert_int_eq(put(p, "$SYS.x", "x"), BROKER_INVALID);
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

START_TEST(says_what_goes_with_a_message)
{
    static const struct broker_header headers[] = {{"color", "red"}, {"size", ""}};
    struct fake k;
    broker_publisher *p = start(&k, NULL, (struct broker_publisher_options){.to_queue = true});
    struct broker_publish_options o = {.content_type = "application/json",
                                       .dedup = "id-1",
                                       .reply_to = "back.here",
                                       .ttl_ms = 1500,
                                       .headers = headers,
                                       .header_count = 2,
                                       .require = true};
    struct broker_header dollar = {"$ttl", "1"};
    struct slice rest;
    struct composite_item item;
    struct mime type = {MIME_UNKNOWN, {NULL, 0}};

    say_n(&k, 1, 100);
    ck_assert_int_eq(broker_publisher_publish(p, "q", "{}", 2, &o), 1);
    want_message(&k, 1, "q", "{}");
    ck_slice(header_of(&k.f, "$dedup"), "id-1");
    ck_slice(header_of(&k.f, "$reply-to"), "back.here");
    ck_slice(header_of(&k.f, "$ttl"), "1500");
    ck_slice(header_of(&k.f, "$require"), "1");
    ck_slice(header_of(&k.f, "color"), "red");
    for (rest = k.f.metadata; composite_next(&rest, &item) > 0;)
        if (item.mime.id == MIME_DATA_TYPE)
            ck_assert_int_eq(data_type_decode(item.value, &type), 0);
    ck_assert_int_eq(type.id, MIME_JSON);
    o.headers = &dollar;
    o.header_count = 1;
    ck_assert_int_eq(broker_publisher_publish(p, "q", "", 0, &o), BROKER_INVALID);
    ck_assert_ptr_nonnull(strstr(broker_errmsg(k.client), "$ttl"));
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

START_TEST(waits_for_credit)
{
    struct fake k;
    broker_publisher *p = start(&k, NULL, (struct broker_publisher_options){.topic = "t"});
    struct broker_publisher_stats st;

    say_n(&k, 1, 2);
    fake_until(&k, broker_publisher_credit(p) == 2);
    ck_assert_int_eq(put(p, NULL, "1"), 1);
    ck_assert_int_eq(put(p, NULL, "2"), 2);
    ck_assert_int_eq(put(p, NULL, "3"), BROKER_NO_CREDIT);
    ck_assert_int_eq(broker_publisher_publish_wait(p, NULL, "3", 1, NULL, 30), BROKER_NO_CREDIT);
    want_message(&k, 1, "t", "1");
    want_message(&k, 1, "", "2");
    say_n(&k, 1, 1);
    ck_assert_int_eq(broker_publisher_publish_wait(p, NULL, "3", 1, NULL, 5000), 3);
    want_message(&k, 1, "", "3");
    ck_assert_int_eq(broker_publisher_drain(p, 20), BROKER_TIMED_OUT);
    say_confirm(&k, 1, 3, NULL, 0);
    ck_assert_int_eq(broker_publisher_drain(p, 5000), BROKER_OK);
    broker_publisher_stats(p, &st);
    ck_assert_uint_eq(st.published, 3);
    ck_assert_uint_eq(st.settled, 3);
    ck_assert_uint_eq(st.credit, 0);
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

START_TEST(gathers_before_the_first_grant)
{
    struct fake k;
    broker_publisher *p =
        start(&k, NULL, (struct broker_publisher_options){.topic = "t", .max_messages = 3});

    ck_assert_int_eq(put(p, NULL, "1"), 1);
    ck_assert_int_eq(put(p, NULL, "2"), 2);
    ck_assert_int_eq(put(p, NULL, "3"), 3);
    ck_assert_int_eq(put(p, NULL, "4"), BROKER_NO_CREDIT); /* the outbox is full */
    say_n(&k, 1, 2);
    want_message(&k, 1, "t", "1");
    want_message(&k, 1, "", "2");
    say_confirm(&k, 1, 2, NULL, 0);
    fake_until(&k, strcmp(log_text, "[2]") == 0);
    ck_assert_int_eq(put(p, NULL, "4"), BROKER_NO_CREDIT); /* 3 still waits for credit */
    say_n(&k, 1, 10);
    want_message(&k, 1, "", "3");
    ck_assert_int_eq(put(p, NULL, "4"), 4);
    want_message(&k, 1, "", "4");
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

START_TEST(tells_outcomes)
{
    static const struct confirm_entry first[] = {{2, 1, BROKER_REASON_FULL, 3, 1},
                                                 {3, 2, BROKER_REASON_NO_MATCH, 0, 0}};
    static const struct confirm_entry second[] = {{6, 1, BROKER_REASON_DROP_NEWEST, 1, 0}};
    struct fake k;
    broker_publisher *p = start(&k, NULL, (struct broker_publisher_options){.topic = "t"});
    struct broker_publisher_stats st;

    say_n(&k, 1, 100);
    for (int i = 1; i <= 6; i++)
        ck_assert_int_eq(put(p, NULL, "x"), i);
    for (int i = 1; i <= 6; i++)
        want(&k, RS_PAYLOAD);
    say_confirm(&k, 1, 5, first, 2);
    say_confirm(&k, 1, 6, second, 1);
    fake_until(&k,
               strcmp(log_text, "[5 2+1 full 1/3 3+2 no-match 0/0][6 6+1 drop-newest 0/1]") == 0);
    broker_publisher_stats(p, &st);
    ck_assert_uint_eq(st.refused, 1);
    ck_assert_uint_eq(st.unmatched, 2);
    ck_assert_uint_eq(st.dropped, 1);
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

START_TEST(refuses_impossible_confirms)
{
    struct fake k;
    broker_publisher *p = start(&k, NULL, (struct broker_publisher_options){.topic = "t"});

    say_n(&k, 1, 100);
    ck_assert_int_eq(put(p, NULL, "x"), 1);
    want(&k, RS_PAYLOAD);
    say_confirm(&k, 1, 2, NULL, 0);
    want(&k, RS_CANCEL);
    fake_until(&k, strstr(log_text, "end PROTOCOL"));
    ck_assert_str_eq(log_text, "[1 1+1 none 0/0]end PROTOCOL: a confirm of what was not published");
    ck_assert_int_eq(put(p, NULL, "x"), BROKER_ENDED);
    ck_assert_int_eq(broker_publisher_drain(p, 1000), BROKER_ENDED);
    broker_publisher_free(p);
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

START_TEST(ends_with_the_broker_s_words)
{
    struct fake k;
    broker_publisher *p = start(&k, NULL, (struct broker_publisher_options){.topic = "t"});

    say_error(&k, 1, RS_REJECTED, "denied: no permission");
    fake_until(&k, log_text[0]);
    ck_assert_str_eq(log_text, "end REFUSED: denied: no permission");
    ck_assert_int_eq(put(p, NULL, "x"), BROKER_ENDED);
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

START_TEST(sends_again_what_has_not_settled)
{
    struct fake k;
    broker_publisher *p = start(&k, NULL, (struct broker_publisher_options){.topic = "t"});
    struct broker_publish_options dedup = {.dedup = "five"};
    struct broker_publisher_stats st;

    say_n(&k, 1, 100);
    ck_assert_int_eq(put(p, NULL, "1"), 1);
    ck_assert_int_eq(put(p, NULL, "2"), 2);
    ck_assert_int_eq(put(p, NULL, "3"), 3);
    ck_assert_int_eq(put(p, "u", "4"), 4);
    ck_assert_int_eq(broker_publisher_publish(p, "u", "5", 1, &dedup), 5);
    for (int i = 1; i <= 5; i++)
        want(&k, RS_PAYLOAD);
    say_confirm(&k, 1, 2, NULL, 0);
    fake_until(&k, strcmp(log_text, "[2]") == 0);
    fake_hang_up(&k);
    fake_until(&k, broker_state(k.client) != BROKER_STATE_CONNECTED);
    ck_assert_int_eq(put(p, "u", "6"), 6); /* taken while there is no connection */
    fake_accept(&k);
    want(&k, RS_REQUEST_CHANNEL);
    ck_assert_uint_eq(k.f.stream, 1);
    say_n(&k, 1, 2);
    want_message(&k, 1, "t", "3"); /* it had not said its topic before */
    want_message(&k, 1, "u", "4");
    say_confirm(&k, 1, 1, NULL, 0); /* the broker counts from 1 again: our 3 */
    fake_until(&k, strcmp(log_text, "[2][3]") == 0);
    fake_hang_up(&k);
    fake_accept(&k);
    want(&k, RS_REQUEST_CHANNEL);
    say_n(&k, 1, 10);
    want_message(&k, 1, "u", "4");
    want_message(&k, 1, "", "5");
    ck_slice(header_of(&k.f, "$dedup"), "five");
    want_message(&k, 1, "", "6");
    ck_assert_int_eq(put(p, NULL, "7"), 7);
    want_message(&k, 1, "", "7");
    say_confirm(&k, 1, 4, NULL, 0);
    fake_until(&k, strcmp(log_text, "[2][3][7]") == 0);
    broker_publisher_stats(p, &st);
    ck_assert_uint_eq(st.resent, 3 + 1);
    ck_assert_uint_eq(st.settled, 7);
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

/* The next message if one has begun to arrive, put together; false if none has. */
static bool hear_message(struct fake *k, struct reassembly *re, struct rs_frame *ret)
{
    struct pollfd in = {.fd = k->fd, .events = POLLIN};

    if (k->in_n == k->used && poll(&in, 1, 0) == 0)
        return false;
    do
        want(k, RS_PAYLOAD);
    while (reassembly_add(re, &k->f, SIZE_MAX / 2, ret) == REASSEMBLY_MORE);
    return true;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

enum { MESSAGES = 600 };

/* Four messages in a row go to one topic, so that the other side can check both. */
static void topic_of_number(uint64_t number, char *buf, size_t size)
{
    snprintf(buf, size, "topic.with.a.rather.long.name.%llu", (unsigned long long)number / 4);
}

static void publish_random(broker_publisher *p, uint64_t number, uint64_t random)
{
    static char big[70000];
    char name[64];
    size_t n = random % 50 == 0 ? sizeof big : random % 200;
    int64_t r;

    topic_of_number(number, name, sizeof name);
    memset(big, (int)(number % 251), n);
    r = broker_publisher_publish(p, name, big, n, NULL);
    ck_assert(r == (int64_t)number || r == BROKER_NO_CREDIT);
}

/* Messages of any size over connections that break at any moment: the broker hears of each at least
 * once, in order, unharmed and at the right topic. */
START_TEST(sends_again_property)
{
    struct broker_options o = quick;
    struct fake k;
    struct reassembly re;
    struct rs_frame f;
    struct broker_publisher_stats st;
    broker_publisher *p;
    char topic[256] = "", expected[256];
    uint64_t heard = 0, settled = 0, base = 0, random = 88172645463325252u;

    o.max_frame = 64; /* so that topics and messages are cut */
    p = start(&k, &o, (struct broker_publisher_options){.topic = "t"});
    reassembly_init(&re);
    while (settled < MESSAGES) {
        uint64_t r = next_random(&random);

        broker_publisher_stats(p, &st);
        if (r % 3 == 0 && st.published < MESSAGES) {
            publish_random(p, st.published + 1, r / 3);
        } else if (r % 97 == 1) {
            fake_hang_up(&k);
            reassembly_fini(&re);
            fake_accept(&k);
            want(&k, RS_REQUEST_CHANNEL);
            base = heard = settled;
            topic[0] = '\0';
        } else if (r % 5 == 1 && settled < heard) {
            settled += 1 + r / 5 % (heard - settled);
            say_confirm(&k, 1, settled - base, NULL, 0);
        } else if (hear_message(&k, &re, &f)) {
            struct slice tag = tag_of(&f, 0);

            heard++;
            if (tag.n > 0)
                snprintf(topic, sizeof topic, "%.*s", (int)tag.n, (const char *)tag.p);
            topic_of_number(heard, expected, sizeof expected);
            ck_assert_str_eq(topic, expected);
            for (size_t i = 0; i < f.data.n; i++)
                ck_assert_uint_eq(f.data.p[i], heard % 251);
        } else {
            say_n(&k, 1, 1 + (uint32_t)(r / 5 % 9));
            fake_turn(&k, -1);
        }
    }
    reassembly_fini(&re);
    ck_assert_int_eq(broker_publisher_drain(p, 5000), BROKER_OK);
    broker_publisher_stats(p, &st);
    ck_assert_uint_gt(st.resent, 0);
    ck_assert_uint_eq(st.settled, MESSAGES);
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

START_TEST(outlives_a_broker_that_stops)
{
    struct fake k;
    broker_publisher *p = start(&k, NULL, (struct broker_publisher_options){.topic = "t"});

    say_n(&k, 1, 100);
    ck_assert_int_eq(put(p, NULL, "1"), 1);
    want_message(&k, 1, "t", "1");
    say_error(&k, 0, RS_CONNECTION_CLOSE, "draining");
    say(&k, &(struct rs_frame){.stream = 1, .type = RS_CANCEL});
    fake_until(&k, broker_publisher_credit(p) > 100); /* the outbox only */
    ck_assert_int_eq(put(p, NULL, "2"), 2);
    say_confirm(&k, 1, 1, NULL, 0); /* nothing of ours is under way any more: it leaves */
    fake_accept(&k);
    want(&k, RS_REQUEST_CHANNEL);
    say_n(&k, 1, 100);
    want_message(&k, 1, "t", "2");
    ck_assert_str_eq(log_text, "[1]");
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

START_TEST(frees_after_the_last_word)
{
    struct fake k;
    broker_publisher *p = start(&k, NULL, (struct broker_publisher_options){.topic = "t"});

    say_n(&k, 1, 100);
    ck_assert_int_eq(put(p, NULL, "1"), 1);
    broker_publisher_free(p); /* before the grant: still sent */
    want_message(&k, 1, "t", "1");
    want(&k, RS_PAYLOAD);
    ck_assert_uint_eq(k.f.flags, RS_COMPLETE);
    say_confirm(&k, 1, 1, NULL, 0);
    say_data(&k, 1, RS_COMPLETE, (struct slice){NULL, 0});
    ck_assert_int_eq(broker_close(k.client, 0), BROKER_OK);
    ck_assert_str_eq(log_text, "");
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

START_TEST(tells_of_losses_only)
{
    static const struct confirm_entry none[] = {{1, 1, BROKER_REASON_NO_MATCH, 0, 0},
                                                {2, 1, BROKER_REASON_FULL, 1, 0}};
    static const struct confirm_entry required[] = {{3, 1, BROKER_REASON_NO_MATCH, 0, 0}};
    struct broker_publish_options require = {.require = true};
    struct fake k;
    broker_publisher *p =
        start(&k, NULL, (struct broker_publisher_options){.topic = "t", .loss_only = true});

    ck_assert_uint_eq(header_of(&k.f, "$confirm").n, 0); /* we need to know what has settled */
    say_n(&k, 1, 100);
    ck_assert_int_eq(put(p, NULL, "1"), 1);
    ck_assert_int_eq(put(p, NULL, "2"), 2);
    want(&k, RS_PAYLOAD);
    want(&k, RS_PAYLOAD);
    say_confirm(&k, 1, 2, none, 2);
    fake_until(&k, strcmp(log_text, "[2 2+1 full 0/1]") == 0);
    ck_assert_int_eq(broker_publisher_publish(p, NULL, "3", 1, &require), 3);
    want(&k, RS_PAYLOAD);
    say_confirm(&k, 1, 3, required, 1);
    fake_until(&k, strcmp(log_text, "[2 2+1 full 0/1][3 3+1 no-match 0/0]") == 0);
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

static void on_receipt(broker *b, const struct broker_receipt *r, void *user)
{
    (void)b;
    (void)user;
    add_log("{%s %s %u/%u}", broker_errname(r->status), broker_reason_word(r->reason), r->accepted,
            r->matched);
}

START_TEST(one_by_one)
{
    struct broker_publish_options to_queue = {.to_queue = true};
    uint8_t answer[PUBLISH_ANSWER_SIZE];
    struct fake k;
    broker *b;

    log_text[0] = '\0';
    fake_init(&k);
    b = fake_client(&k, &quick);
    ck_assert_int_eq(broker_publish(b, "a", "x", 1, NULL), BROKER_DISCONNECTED);
    ck_assert_int_eq(broker_connect(b, 0), BROKER_OK);
    fake_welcome(&k);
    ck_assert_int_eq(broker_publish(b, "a", "x", 1, NULL), BROKER_OK);
    want(&k, RS_REQUEST_FNF);
    ck_slice(tag_of(&k.f, 0), "publish/a");
    ck_slice(k.f.data, "x");
    ck_assert_int_eq(broker_publish_async(b, "q", "y", 1, &to_queue, 5000, on_receipt, NULL), 0);
    ck_assert_int_eq(broker_publish_async(b, "b", "z", 1, NULL, 5000, on_receipt, NULL), 0);
    want(&k, RS_REQUEST_RESPONSE);
    ck_slice(tag_of(&k.f, 0), "send/q");
    publish_answer_put(answer, (struct publish_answer){2, 1});
    say_data(&k, k.f.stream, RS_NEXT | RS_COMPLETE, slice_of(answer, sizeof answer));
    want(&k, RS_REQUEST_RESPONSE);
    say_error(&k, k.f.stream, RS_CANCELED, "full: queue \"b\" is full; 1 of 2 queues accepted");
    fake_until(&k, strcmp(log_text, "{OK none 1/2}{FAILED full 0/0}") == 0);
    ck_assert_int_eq(broker_publish_async(b, "c", "z", 1, NULL, 1, on_receipt, NULL), 0);
    fake_until(&k, strstr(log_text, "{TIMED_OUT none 0/0}"));
    log_text[0] = '\0';
    ck_assert_int_eq(broker_publish_async(b, "d", "z", 1, NULL, -1, on_receipt, NULL), 0);
    fake_hang_up(&k);
    fake_accept(&k); /* it is sent again */
    want(&k, RS_REQUEST_RESPONSE);
    ck_slice(tag_of(&k.f, 0), "publish/d");
    broker_free(b);
    ck_assert_str_eq(log_text, "{CLOSED none 0/0}");
    fake_fini(&k);
}
END_TEST

int main(void)
{
    const TTest *tests[] = {says_a_topic_only_when_it_changes,
                            says_what_goes_with_a_message,
                            waits_for_credit,
                            gathers_before_the_first_grant,
                            tells_outcomes,
                            refuses_impossible_confirms,
                            ends_with_the_broker_s_words,
                            sends_again_what_has_not_settled,
                            sends_again_property,
                            outlives_a_broker_that_stops,
                            frees_after_the_last_word,
                            tells_of_losses_only,
                            one_by_one,
                            NULL};

    return run_tests("client/publisher", tests);
}
