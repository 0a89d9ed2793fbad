/* The JSON door: what each line asks of the core and what is answered, whole and byte by byte; what
 * the core says to it; time, drain, a window that is used up; and all of it without memory. */
#include "tests/unit/doors/fake_core.h"
#include "tests/unit/support.h"

#include <jansson.h>
#include <malloc.h>

#include "brokerd/doors/json/consume.h"
#include "brokerd/doors/json/json.h"
#include "libbroker/base/headers.h"
#include "libbroker/wire/json_line.h"
#include "libbroker/wire/mime.h"

enum { BYTES = 1 << 17 };

struct talk {
    struct link link;
    struct link_host host;
    struct out_host outs;
    struct door_scratch scratch;
    struct block_pool pool;
    struct door_conn *conn;
    struct block *block;
    size_t kept;
    bool closed, paused;
    enum link_end end; /* once it is closed */
    char heard[FAKE_TEXT];
};

/* Where Check must not be asked: it needs memory. */
static void must(bool so)
{
    if (!so)
        abort();
}

static void on_close(struct link *l, const char *why, enum link_end end)
{
    struct talk *t = (struct talk *)l;

    must(*why);
    t->closed = true;
    t->end = end;
}

static const char *on_peer(const struct link *l)
{
    (void)l;
    return "test";
}

static void on_pause(struct link *l, bool pause)
{
    ((struct talk *)l)->paused = pause;
}

static struct talk *talk_open(void)
{
    struct talk *t = calloc(1, sizeof *t);

    ck_assert_ptr_nonnull(t);
    fake_reset();
    fake.now_ms = 1000;
    t->host = (struct link_host){.limits = {.first_frame_max = 100,
                                            .frame_max = 2048,
                                            .message_max = 1 << 20,
                                            .streams_max = 3,
                                            .idle_max_ms = 60000,
                                            .json_keepalive_ms = 1000},
                                 .scratch = &t->scratch,
                                 .close = on_close,
                                 .peer = on_peer,
                                 .pause = on_pause};
    t->outs.pool = &t->pool;
    t->link = (struct link){.host = &t->host};
    out_init(&t->link.out, &t->outs);
    t->block = block_new(BYTES);
    t->conn = json_door.open(&t->link);
    return t;
}

static void talk_end(struct talk *t)
{
    json_door.free(t->conn);
    ck_assert(!fake.endpoint_open);
    out_fini(&t->link.out);
    out_host_fini(&t->outs);
    block_pool_fini(&t->pool);
    block_unref(t->block);
    free(t);
}

/* Give the door what is kept and `n` bytes more, as net does. */
static void feed(struct talk *t, const void *p, size_t n)
{
    size_t used;

    must(t->kept + n <= BYTES);
    memcpy(t->block->bytes + t->kept, p, n);
    t->kept += n;
    used = json_door.on_bytes(t->conn, slice_of(t->block->bytes, t->kept), t->block);
    must(used <= t->kept);
    t->kept -= used;
    memmove(t->block->bytes, t->block->bytes + used, t->kept);
}

static void say(struct talk *t, const char *lines, size_t step)
{
    size_t n = strlen(lines);

    for (size_t at = 0; at < n && !t->closed; at += step)
        feed(t, lines + at, n - at < step ? n - at : step);
}

/* All that was written since the last time. */
static const char *hear(struct talk *t)
{
    size_t n = 0;
    struct iovec iov;

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

/* What the core was asked since the last time. */
static const char *asked(void)
{
    static char text[FAKE_TEXT];

    memcpy(text, fake.trace, fake.trace_n);
    text[fake.trace_n] = '\0';
    fake.trace_n = 0;
    return text;
}

#define ERR(text, more)                                                                            \
    "{\"id\":\"$error\",\"data\":{\"reason\":\"invalid\",\"text\":\"invalid: " text "\"," more     \
    "}}\n"
#define PUB(members) "{\"id\":\"$publish\",\"data\":{" members "}}"
#define SUB(members) "{\"id\":\"$subscribe\",\"data\":{" members "}}"

static const struct {
    const char *name, *line, *asks, *hears;
} rows[] = {
    {"an event is JSON as it stands", "{\"id\":\"a\",\"data\":{\"b\" : 1.0}}",
     "= p1 publish topic=a type=0x05 '{\"b\" : 1.0}'\n", ""},
    {"text is text", "{\"id\":\"a\",\"data\":\"h\\u00e4 \\\"\"}",
     "= p1 publish topic=a 'h\xc3\xa4 \"'\n", ""},
    {"an id with escapes", "{\"id\":\"\\u0061.b\",\"data\":null}",
     "= p1 publish topic=a.b type=0x05 'null'\n", ""},
    {"a type of its own", "{\"id\":\"a\",\"data\":\"x\",\"meta\":{\"type\":\"text/x-own\"}}",
     "= p1 publish topic=a type=text/x-own 'x'\n", ""},
    {"JSON of its own type", "{\"id\":\"a\",\"data\":\"x\",\"meta\":{\"type\":\"a/b+json\"}}",
     "= p1 publish topic=a type=a/b+json '\"x\"'\n", ""},
    {"base64", "{\"id\":\"a\",\"data\":null,\"meta\":{\"base64\":\"eHk=\"}}",
     "= p1 publish topic=a 'xy'\n", ""},
    {"options and headers",
     "{\"id\":\"a\",\"data\":1,\"meta\":{\"ttl\":50,\"require\":true,\"headers\":{\"k\":\"v\","
     "\"m\":[\"1\",\"2\"]}}}",
     "= p1 publish topic=a type=0x05 { ttl=50 require headers=15 } '1'\n", ""},
    {"an id", "{\"id\":\"a\",\"data\":1,\"meta\":{\"dedup\":\"7\"}}",
     "= p1 publish topic=a type=0x05 { dedup headers=10 } '1'\n", ""},
    {"into a queue", PUB("\"queue\":\"q\",\"data\":[],\"confirm\":7"),
     "= p1 publish queue=q type=0x05 '[]'\n", ""},
    {"to nowhere", PUB("\"data\":1"), "", ERR("topic is missing", "\"line\":1")},
    {"nothing", PUB("\"topic\":\"a\""), "",
     ERR("data is missing; it may be null", "\"topic\":\"a\",\"line\":1")},
    {"twice something", PUB("\"topic\":\"a\",\"data\":1,\"base64\":\"\",\"confirm\":3"), "",
     ERR("with base64, data is null or not there", "\"confirm\":3,\"topic\":\"a\",\"line\":1")},
    {"no base64", PUB("\"topic\":\"a\",\"base64\":\"x\""), "",
     ERR("base64 is not base64 with padding (RFC 4648)", "\"topic\":\"a\",\"line\":1")},
    {"a number that is none", PUB("\"topic\":\"a\",\"data\":1,\"confirm\":\"x\""), "",
     ERR("confirm must be a number from 0 to 9223372036854775807", "\"line\":1")},
    {"an option that is none", "{\"id\":\"a\",\"data\":1,\"meta\":{\"tll\":5}}", "",
     ERR("member tll is not known here", "\"topic\":\"a\",\"line\":1")},
    {"a header of the broker's",
     "{\"id\":\"a\",\"data\":1,\"meta\":{\"headers\":{\"$ttl\":\"1\"}}}", "",
     ERR("header $ttl: what the broker is asked for stands beside the headers, without the $",
         "\"topic\":\"a\",\"line\":1")},
    {"a header with a line break",
     "{\"id\":\"a\",\"data\":1,\"meta\":{\"headers\":{\"k\":\"\\n\"}}}", "", NULL},
    {"a type that not every door can say",
     "{\"id\":\"a\",\"data\":\"x\",\"meta\":{\"type\":\"te\\nxt\"}}", "",
     ERR("a type is 1 to 128 characters of ASCII, none of them a control",
         "\"topic\":\"a\",\"line\":1")},
    {"data of a type that is not JSON's",
     "{\"id\":\"a\",\"data\":1,\"meta\":{\"type\":\"text/plain\"}}", "",
     ERR("data of a type that is not JSON must be a string, or base64",
         "\"topic\":\"a\",\"line\":1")},
    {"subscribe", SUB("\"topic\":\"a.*\",\"credit\":5"),
     "= p2 opened window\n= p2 never-hold\n= k1 attach filter=a.* credit=5\n", ""},
    {"with settings", SUB("\"topic\":[\"a\",\"b\"],\"max-messages\":5,\"facts\":true"),
     "= p2 opened window\n= p2 never-hold\n= k1 attach filter=a filter=b headers=27 "
     "credit=2147483647\n",
     ""},
    {"to nothing", SUB("\"credit\":5"), "",
     ERR("topic is missing: what to subscribe to", "\"line\":1")},
    {"to a number", SUB("\"topic\":[1]"), "",
     ERR("topic must be a string or an array of strings", "\"line\":1")},
    {"with a misspelled setting", SUB("\"topic\":\"a\",\"max-mesages\":5"), "",
     ERR("member max-mesages is not known here", "\"topic\":\"a\",\"line\":1")},
    {"consume",
     "{\"id\":\"$consume\",\"data\":{\"queue\":\"q\",\"ack\":\"manual\",\"topic\":\"b\"}}",
     "= p2 opened window\n= p2 never-hold\n= k1 attach queue=q filter=b manual "
     "credit=2147483647\n",
     ""},
    {"consume with an ack that is none",
     "{\"id\":\"$consume\",\"data\":{\"queue\":\"q\",\"ack\":\"x\"}}", "",
     ERR("ack is auto or manual", "\"queue\":\"q\",\"line\":1")},
    {"no data", "{\"id\":\"$subscribe\",\"data\":null}", "",
     ERR("data must be an object", "\"line\":1")},
    {"credit for nothing", "{\"id\":\"$credit\",\"data\":{\"n\":1}}", "",
     ERR("subscription is missing: its number", "\"line\":1")},
    {"a keep-alive", "{\"id\":\"$keepalive\",\"data\":null}", "", ""},
    {"one service asked",
     "{\"id\":\"$request\",\"data\":{\"service\":\"s\",\"method\":\"m\",\"data\":1,\"request\":4}}",
     "= call service=s method=m data=1 credit=1\n", ""},
    {"a stream",
     "{\"id\":\"$request\",\"data\":{\"service\":\"s\",\"method\":\"m\",\"request\":4,"
     "\"credit\":3,\"wait\":9}}",
     "= call service=s method=m wait=9 credit=3\n", ""},
    {"forget", "{\"id\":\"$request\",\"data\":{\"service\":\"s\",\"method\":\"m\"}}",
     "= call fnf service=s method=m credit=0\n", ""},
    {"serve", "{\"id\":\"$serve\",\"data\":{\"service\":\"s\"}}", "= serve service=s\n", ""},
    {"no message", "{\"id\":\"a\"}", "",
     ERR("line 1, column 11: data is missing; it may be null", "\"line\":1,\"column\":11")},
};

START_TEST(a_line)
{
    char line[2048];

    (void)snprintf(line, sizeof line, "%s\n", rows[_i].line);
    for (int chopped = 0; chopped < 2; chopped++) {
        struct talk *t = talk_open();
        const char *got, *prefix = "= p1 opened window\n";

        say(t, line, chopped ? 1 : sizeof line);
        got = asked();
        ck_assert_msg(strncmp(got, prefix, strlen(prefix)) == 0, "%s", got);
        ck_assert_msg(strcmp(got + strlen(prefix), rows[_i].asks) == 0, "%s: %s", rows[_i].name,
                      got);
        got = hear(t);
        if (rows[_i].hears)
            ck_assert_msg(strcmp(got, rows[_i].hears) == 0, "%s: %s", rows[_i].name, got);
        else
            ck_assert(strstr(got, "\"$error\""));
        ck_assert(!t->closed);
        talk_end(t);
    }
}
END_TEST

/* ------------------------------------------------------------------------ what the core says */

static void settled(int publisher, uint64_t upto, struct outcome o)
{
    fake.endpoint.ops->settled(fake.publisher[publisher - 1].ctx, upto, &o, 1);
}

START_TEST(what_becomes_of_a_message)
{
    struct talk *t = talk_open();

    say(t,
        "{\"id\":\"a\",\"data\":1}\n" PUB("\"topic\":\"b\",\"data\":1,\"confirm\":7") "\n" PUB(
            "\"t"
            "opi"
            "c\""
            ":\""
            "c\""
            ",\""
            "dat"
            "a\""
            ":1,"
            "\"c"
            "onf"
            "irm"
            "\":"
            "8,"
            "\"r"
            "equ"
            "ire"
            "\":"
            "tru"
            "e") "\n" PUB("\"queue\":\"q\",\"data\":1") "\n" PUB("\"queue\":\"q\",\"data\":2") "\n",
        BYTES);
    settled(1, 1, (struct outcome){1, 1, REASON_NO_MATCH, 0, 0, NULL});
    ck_assert_str_eq(hear(t), "");
    settled(1, 2, (struct outcome){2, 1, REASON_NONE, 2, 2, NULL});
    ck_assert_str_eq(hear(t), "{\"id\":\"$confirmed\",\"data\":{\"confirm\":7,\"matched\":2,"
                              "\"accepted\":2}}\n");
    settled(1, 3, (struct outcome){3, 1, REASON_NO_MATCH, 0, 0, NULL});
    ck_assert_str_eq(hear(t), "{\"id\":\"$error\",\"data\":{\"reason\":\"no-match\",\"text\":"
                              "\"no-match: no queue matched\",\"confirm\":8}}\n");
    settled(1, 4, (struct outcome){4, 1, REASON_FULL, 3, 1, NULL});
    ck_assert_str_eq(hear(t),
                     "{\"id\":\"$error\",\"data\":{\"reason\":\"full\",\"text\":\"full: a queue is "
                     "at its limit; 1 of 3 queues accepted\",\"queue\":\"q\"}}\n");
    settled(1, 5, (struct outcome){5, 1, REASON_STORE, 1, 0, NULL});
    ck_assert_str_eq(
        hear(t), "{\"id\":\"$error\",\"data\":{\"reason\":\"store\",\"text\":\"store: the store "
                 "fails or does not answer; 0 of 1 queues accepted\",\"queue\":\"q\"}}\n");
    talk_end(t);
}
END_TEST

START_TEST(a_window_that_is_used_up)
{
    struct talk *t;
    const char *two = "{\"id\":\"a\",\"data\":1}\n{\"id\":\"a\",\"data\":2}\n";

    fake_reset();
    t = talk_open();
    fake.grant_at_open = 0;
    say(t, two, BYTES);
    ck_assert_str_eq(asked(), "= p1 opened window\n= p1 publish topic=a type=0x05 '1'\n");
    ck_assert(t->paused);
    ck_assert_uint_eq(t->kept, strlen(two) / 2);
    ck_assert_int_gt(json_door.on_time(t->conn, 90000), 0); /* it is not silent: it is not read */
    ck_assert(!t->closed);
    fake.now_ms = 90000;
    settled(1, 1, (struct outcome){1, 1, REASON_NONE, 1, 1, NULL});
    fake.endpoint.ops->granted(fake.publisher[0].ctx, 1);
    ck_assert(!t->paused);
    feed(t, "", 0);
    ck_assert_str_eq(asked(), "= p1 publish topic=a type=0x05 '2'\n");
    ck_assert_uint_eq(t->kept, 0);
    talk_end(t);
}
END_TEST

struct given {
    const char *data;
    size_t n;
    struct ctype type;
    struct slice headers;
    uint32_t attempt;
    const struct gap *gaps;
    unsigned gaps_n;
};

static void deliver(int consumer, const char *topic, struct given g)
{
    struct topic *name = calloc(1, sizeof *name + strlen(topic) + 1);
    struct msg_meta meta = {.headers = g.headers, .type = g.type};
    struct msg_view v = {.data = (const uint8_t *)g.data, .len = (uint32_t)g.n, .meta = &meta};
    struct delivery d = {.topic = name,
                         .run = {.v = &v, .n = 1, .bytes = g.n, .type = g.type},
                         .attempt = g.attempt ? g.attempt : 1,
                         .gaps = g.gaps,
                         .gaps_n = g.gaps_n,
                         .first = 3,
                         .seq = 41,
                         .id = 900,
                         .time_ms = INT64_C(1795387034007)};

    name->len = (uint16_t)strlen(topic);
    memcpy(name->name, topic, strlen(topic));
    (void)fake.endpoint.ops->deliver(fake.consumer[consumer - 1].ctx, &d);
    free(name);
}

#define JSON_TYPE                                                                                  \
    {                                                                                              \
        .id = MIME_JSON                                                                            \
    }
#define NAMED(text)                                                                                \
    {                                                                                              \
        .id = CTYPE_NAMED, .name = SLICE(text)                                                     \
    }
#define NO_TYPE                                                                                    \
    {                                                                                              \
        .id = CTYPE_NONE                                                                           \
    }

static const struct {
    struct slice data;
    struct ctype type;
    struct slice headers;
    const char *rest; /* after {"id":"a.\"b", */
} shapes[] = {
    {SLICE("{\"x\":\n1}"), JSON_TYPE, SLICE(""), "\"data\":{\"x\": 1}}\n"},
    {SLICE("\"s\""), JSON_TYPE, SLICE(""),
     "\"data\":\"s\",\"meta\":{\"type\":\"application/json\"}}\n"},
    {SLICE("s"), NO_TYPE, SLICE(""), "\"data\":\"s\"}\n"},
    {SLICE(""), NO_TYPE, SLICE(""), "\"data\":\"\"}\n"},
    {SLICE("\xff"), NO_TYPE, SLICE(""), "\"data\":null,\"meta\":{\"base64\":\"/w==\"}}\n"},
    {SLICE("{"), JSON_TYPE, SLICE(""),
     "\"data\":null,\"meta\":{\"type\":\"application/json\",\"base64\":\"ew==\"}}\n"},
    {SLICE("[1]"), NAMED("a/b+json"), SLICE(""),
     "\"data\":[1],\"meta\":{\"type\":\"a/b+json\"}}\n"},
    {SLICE("1"), JSON_TYPE,
     SLICE("\x01k\0\x01v\x01m\0\x01"
           "1\x01m\0\x02\"2\x01m\0\0"),
     "\"data\":1,\"meta\":{\"headers\":{\"k\":\"v\",\"m\":[\"1\",\"\\\"2\",\"\"]}}}\n"},
    {SLICE("1"), JSON_TYPE, SLICE("\x09$reply-to\0\x01r\x0c$dead-reason\0\x08rejected"),
     "\"data\":1,\"meta\":{\"reply-to\":\"r\",\"dead-reason\":\"rejected\"}}\n"},
};

START_TEST(a_delivery)
{
    struct talk *t = talk_open();
    const char *got, *head = "{\"id\":\"a.\\\"b\",";

    say(t, SUB("\"topic\":\"#\"") "\n", BYTES);
    (void)hear(t);
    deliver(1, "a.\"b",
            (struct given){.data = (const char *)shapes[_i].data.p,
                           .n = shapes[_i].data.n,
                           .type = shapes[_i].type,
                           .headers = shapes[_i].headers});
    got = hear(t);
    ck_assert_msg(strncmp(got, head, strlen(head)) == 0, "%s", got);
    ck_assert_str_eq(got + strlen(head), shapes[_i].rest);
    talk_end(t);
}
END_TEST

START_TEST(gaps_attempts_and_facts)
{
    const struct gap gaps[] = {{REASON_DROP_OLDEST, 14}, {REASON_EXPIRED, 1}, {REASON_NODE, 0}};
    struct talk *t = talk_open();

    say(t, "{\"id\":\"$consume\",\"data\":{\"queue\":\"q\",\"facts\":true}}\n", BYTES);
    deliver(1, "q",
            (struct given){
                .data = "1", .n = 1, .type = JSON_TYPE, .attempt = 2, .gaps = gaps, .gaps_n = 3});
    fake.endpoint.ops->ready(fake.consumer[0].ctx); /* it has been said already */
    ck_assert_str_eq(
        hear(t),
        "{\"id\":\"$consumed\",\"data\":{\"subscription\":1,\"queue\":\"q\"}}\n"
        "{\"id\":\"$gap\",\"data\":{\"subscription\":1,\"lost\":14,\"reason\":"
        "\"drop-oldest\"}}\n"
        "{\"id\":\"$gap\",\"data\":{\"subscription\":1,\"lost\":1,\"reason\":\"expired\"}}\n"
        "{\"id\":\"$gap\",\"data\":{\"subscription\":1,\"lost\":null,\"reason\":\"node\"}}\n"
        "{\"id\":\"q\",\"data\":1,\"meta\":{\"subscription\":1,\"delivery\":3,\"attempt\":2,"
        "\"seq\":41,\"time\":\"2026-11-22T22:37:14.007Z\",\"id\":900}}\n");
    talk_end(t);
}
END_TEST

START_TEST(a_subscription_by_its_number)
{
    struct talk *t = talk_open();

    say(t, "{\"id\":\"$consume\",\"data\":{\"queue\":\"q\",\"ack\":\"manual\"}}\n", BYTES);
    fake.endpoint.ops->ready(fake.consumer[0].ctx);
    (void)asked();
    (void)hear(t);
    say(t,
        "{\"id\":\"$credit\",\"data\":{\"subscription\":1,\"n\":5}}\n"
        "{\"id\":\"$ack\",\"data\":{\"subscription\":1,\"first\":1,\"count\":2}}\n"
        "{\"id\":\"$nack\",\"data\":{\"subscription\":1,\"first\":3,\"delay\":70}}\n"
        "{\"id\":\"$reject\",\"data\":{\"subscription\":1,\"first\":4}}\n"
        "{\"id\":\"$extend\",\"data\":{\"subscription\":1,\"first\":5,\"time\":80}}\n"
        "{\"id\":\"$unsubscribe\",\"data\":{\"subscription\":1}}\n",
        BYTES);
    ck_assert_str_eq(asked(), "= k1 grant 5\n= k1 ack 1 1+2 arg=0\n= k1 ack 2 3+1 arg=70\n"
                              "= k1 ack 3 4+1 arg=0\n= k1 ack 4 5+1 arg=80\n= k1 detach\n");
    ck_assert_str_eq(hear(t), "");
    say(t, "{\"id\":\"$ack\",\"data\":{\"subscription\":1,\"first\":1}}\n", BYTES);
    ck_assert_str_eq(hear(t), ERR("there is no subscription 1", "\"subscription\":1,\"line\":8"));
    talk_end(t);
}
END_TEST

START_TEST(a_subscription_that_the_broker_ends)
{
    const struct refusal why = {REASON_FULL, "full: queue \"a\" is full"};
    struct talk *t = talk_open();

    say(t, SUB("\"topic\":\"a\"") "\n", BYTES);
    fake.endpoint.ops->ready(fake.consumer[0].ctx);
    (void)hear(t);
    fake.endpoint.ops->closed(fake.consumer[0].ctx, &why, 3);
    ck_assert_str_eq(hear(t), "{\"id\":\"$error\",\"data\":{\"reason\":\"full\",\"text\":\"full: "
                              "queue \\\"a\\\" is full; 3 messages were lost\",\"subscription\":1,"
                              "\"topic\":\"a\"}}\n");
    talk_end(t);
}
END_TEST

/* As long as it lives it keeps what is said of it again, and that is a lone topic. */
START_TEST(topics_are_kept_until_it_is_told)
{
    struct talk *t = talk_open();
    char line[1200];
    const struct jsub *s;

    ck_assert_int_lt(snprintf(line, sizeof line, SUB("\"topic\":[\"a\",%1000s\"b\"]") "\n", ""),
                     (int)sizeof line);
    say(t, "{\"id\":\"$subscribe\",\"data\":{\"topic\":\"a\"}}\n", BYTES);
    say(t, line, BYTES);
    fake.endpoint.ops->ready(fake.consumer[0].ctx);
    fake.endpoint.ops->ready(fake.consumer[1].ctx);
    ck_assert(strstr(hear(t), "\"subscription\":2,\"topic\":[\"a\","));
    s = fake.consumer[1].ctx;
    ck_assert_uint_lt(malloc_usable_size(s->asked), 100);
    fake.endpoint.ops->closed(fake.consumer[1].ctx, &(struct refusal){REASON_FULL, "full"}, 0);
    ck_assert_str_eq(hear(t), "{\"id\":\"$error\",\"data\":{\"reason\":\"full\",\"text\":"
                              "\"full\",\"subscription\":2}}\n");
    talk_end(t);
}
END_TEST

START_TEST(one_subscription_too_many)
{
    struct talk *t = talk_open();

    for (int i = 0; i < 4; i++)
        say(t, SUB("\"topic\":\"a\"") "\n", BYTES);
    ck_assert(strstr(hear(t), "limit: a connection has at most 3 subscriptions"));
    ck_assert_int_eq(fake.consumers, 3);
    talk_end(t);
}
END_TEST

/* ------------------------------------------------------------------------------------- serving */

static int come(const struct call_request *r, struct refusal *why)
{
    const struct server *s = &fake.server[0];
    int err = s->ops->room(s->ctx, why);

    return err < 0 ? err : s->ops->open(s->ctx, &fake.call[fake.calls++], r, why);
}

START_TEST(calls_have_a_limit)
{
    const struct call_request r = {
        .model = CALL_RESPONSE, .service = SLICE("s"), .method = SLICE("m")};
    struct talk *t = talk_open();
    struct refusal why;

    say(t, "{\"id\":\"$serve\",\"data\":{\"service\":\"s\"}}\n", BYTES);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(come(&r, &why), 0);
    ck_assert_int_eq(come(&r, &why), -EMFILE);
    ck_assert_int_eq(why.reason, REASON_LIMIT);
    (void)hear(t);
    talk_end(t);
}
END_TEST

/* ------------------------------------------------------------------------------- the connection */

START_TEST(a_line_of_the_longest_length_and_one_longer)
{
    for (size_t step = 1; step <= BYTES; step *= 64) {
        struct talk *t = talk_open();
        char line[2100];
        int head = snprintf(line, sizeof line, "{\"id\":\"a\",\"data\":\"");

        memset(line + head, 'x', sizeof line - (size_t)head);
        memcpy(line + 2046, "\"}\r\n", 5);
        say(t, line, step);
        ck_assert(!t->closed && strstr(asked(), "publish"));
        memcpy(line + 2046, "x\"}\n", 5);
        say(t, line, step);
        ck_assert(t->closed && t->end == LINK_WRONG);
        ck_assert_str_eq(hear(t), "{\"id\":\"$error\",\"data\":{\"reason\":\"too-large\",\"text\":"
                                  "\"too-large: a line may have 2048 bytes\",\"line\":2}}\n");
        talk_end(t);
    }
}
END_TEST

START_TEST(sixteen_mistakes_in_a_row)
{
    struct talk *t = talk_open();

    for (int i = 0; i < 15; i++)
        say(t, "{\n", BYTES);
    say(t, "{\"id\":\"a\",\"data\":1}\n", BYTES);
    for (int i = 0; i < 15; i++)
        say(t, "{\n", BYTES);
    ck_assert(!t->closed);
    say(t, "{\n", BYTES);
    ck_assert(t->closed);
    ck_assert(strstr(hear(t), "limit: 16 wrong lines in a row"));
    ck_assert_uint_eq(t->scratch.count[DOOR_COUNT_ERRORS], 32); /* the last with its close */
    talk_end(t);
}
END_TEST

START_TEST(keep_alives)
{
    struct talk *t = talk_open();
    const char *line = "{\"id\":\"$keepalive\",\"data\":null}\n";

    ck_assert_int_eq(json_door.on_time(t->conn, 1000), 2000);
    say(t, "{\"id\":\"a\",\"data\":1}\n", BYTES); /* at 1000 */
    ck_assert_int_eq(json_door.on_time(t->conn, 1500), 2000);
    ck_assert_str_eq(hear(t), "");
    ck_assert_int_eq(json_door.on_time(t->conn, 2000), 3000);
    ck_assert_int_eq(json_door.on_time(t->conn, 3000), 4000); /* the first is not yet read */
    ck_assert_str_eq(hear(t), line);
    ck_assert_int_eq(json_door.on_time(t->conn, 60900), 61000); /* a person thinks */
    ck_assert(!t->closed);
    fake.now_ms = 60900;
    say(t, line, BYTES);
    ck_assert_int_eq(json_door.on_time(t->conn, 63800), 63900);
    ck_assert(!t->closed);
    ck_assert_int_eq(json_door.on_time(t->conn, 63900), INT64_MAX);
    ck_assert(t->closed && t->end == LINK_SILENT);
    ck_assert(strstr(hear(t), "nothing came for 3000 ms"));
    talk_end(t);
}
END_TEST

START_TEST(idle)
{
    struct talk *t = talk_open();

    say(t, "{", BYTES);
    ck_assert_int_lt(json_door.on_time(t->conn, 60999), 63000);
    ck_assert(!t->closed);
    (void)json_door.on_time(t->conn, 61000);
    ck_assert(t->closed);
    talk_end(t);
}
END_TEST

START_TEST(drain)
{
    struct talk *t = talk_open();
    const char *word =
        "{\"id\":\"$error\",\"data\":{\"reason\":\"draining\",\"text\":\"draining: the "
        "broker is about to stop\"";

    say(t, SUB("\"topic\":\"a\"") "\n", BYTES);
    json_door.on_drain(t->conn);
    json_door.on_drain(t->conn);
    ck_assert(!t->closed);
    ck_assert(strncmp(hear(t), word, strlen(word)) == 0);
    say(t, "{\"id\":\"a\",\"data\":1}\n", BYTES);
    ck_assert(strncmp(hear(t), word, strlen(word)) == 0);
    say(t, "{\"id\":\"$unsubscribe\",\"data\":{\"subscription\":1}}\n", BYTES);
    ck_assert(t->closed && t->end == LINK_DRAINED);
    talk_end(t);
}
END_TEST

START_TEST(recognised)
{
    ck_assert_int_eq(json_door.recognise(SLICE("{")), DOOR_YES);
    ck_assert_int_eq(json_door.recognise(SLICE("\r\n \t{\"")), DOOR_YES);
    ck_assert_int_eq(json_door.recognise(SLICE("\r\n ")), DOOR_MORE);
    ck_assert_int_eq(json_door.recognise(SLICE("\n[")), DOOR_NO);
    ck_assert_int_eq(json_door.recognise(SLICE("CONNECT\n")), DOOR_NO);
    ck_assert_int_eq(json_door.recognise(SLICE("\0\0{")), DOOR_NO);
}
END_TEST

START_TEST(units)
{
    struct unit_scan s = {0};
    uint8_t message[] = "{\n\"a\":\n1}.";
    bool end = true;

    ck_assert_uint_eq(json_door.units->scan(&s, SLICE("{}"), &end), 2);
    ck_assert(!end);
    ck_assert_uint_eq(json_door.units->scan(&s, SLICE("{}\n{"), &end), 3);
    ck_assert(end);
    ck_assert_int_eq(json_door.units->make(message, sizeof message - 2), 0);
    ck_assert_str_eq((char *)message, "{ \"a\": 1}\n");
}
END_TEST

/* --------------------------------------------------------------------------------- no memory */

static unsigned fail_at; /* the request that fails, counting down from here; 0: none */
static bool failed;      /* one has */

static bool fails(void)
{
    if (fail_at == 0 || --fail_at > 0)
        return false;
    failed = true;
    return true;
}

/* The linker has these called in place of malloc() and its kin (Makefile). */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

/* Control messages with the n-th request for memory failing, jansson's too. */
static bool run(unsigned n)
{
    struct talk *t = talk_open();

    failed = false;
    fail_at = n;
    for (size_t i = 0; i < ARRAY_LEN(rows) && !t->closed && !t->link.out.broken; i++) {
        char line[2048];

        (void)snprintf(line, sizeof line, "%s\n", rows[i].line);
        say(t, line, sizeof line);
        if (i % 8 == 7)
            say(t, "{\"id\":\"$keepalive\",\"data\":null}\n", BYTES);
    }
    fail_at = 0;
    (void)hear(t);
    talk_end(t);
    return failed;
}

START_TEST(any_request_for_memory_may_fail)
{
    unsigned n = 1;

    json_set_alloc_funcs(__wrap_malloc, free);
    while (run(n))
        n++;
    json_set_alloc_funcs(__real_malloc, free);
    ck_assert_uint_gt(n, 100);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("json door");
    TCase *tc = tcase_create("json door");

    tcase_add_loop_test(tc, a_line, 0, ARRAY_LEN(rows));
    tcase_add_test(tc, what_becomes_of_a_message);
    tcase_add_test(tc, a_window_that_is_used_up);
    tcase_add_loop_test(tc, a_delivery, 0, ARRAY_LEN(shapes));
    tcase_add_test(tc, gaps_attempts_and_facts);
    tcase_add_test(tc, a_subscription_by_its_number);
    tcase_add_test(tc, a_subscription_that_the_broker_ends);
    tcase_add_test(tc, topics_are_kept_until_it_is_told);
    tcase_add_test(tc, one_subscription_too_many);
    tcase_add_test(tc, calls_have_a_limit);
    tcase_add_test(tc, a_line_of_the_longest_length_and_one_longer);
    tcase_add_test(tc, sixteen_mistakes_in_a_row);
    tcase_add_test(tc, keep_alives);
    tcase_add_test(tc, idle);
    tcase_add_test(tc, drain);
    tcase_add_test(tc, recognised);
    tcase_add_test(tc, units);
    tcase_add_test(tc, any_request_for_memory_may_fail);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
