/* Deliveries down, verbs up: subscribe and consume. */
#include "tests/unit/doors/fake_core.h"
#include "tests/unit/doors/talk.h"

#include "tests/unit/doors/deliver.h"

/* --------------------------------------------------------------------------------- attaching */

START_TEST(subscribe_names_filters)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> STREAM 1 n=5 route=subscribe/a.*\n"
            "> STREAM 3 n=2147483647 route=subscribe/a tag=b.# tag=c h=$overflow:block\n"
            "> STREAM 5 n=1 route=subscribe/a h=$facts:1 h=mine:1\n"
            "= k1 attach filter=a.* credit=5\n"
            "= k2 attach filter=a filter=b.# filter=c headers=17 credit=2147483647\n"
            "= k3 attach filter=a headers=18 credit=1\n");
    talk(t, "> N 1 n=7\n"
            "> CANCEL 3\n"
            "> N 3 n=7\n"
            "= k1 grant 7\n"
            "= k2 detach\n");
    talk_end(t);
}
END_TEST

START_TEST(consume_names_a_queue)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> STREAM 1 n=5 route=consume/jobs\n"
            "> CHANNEL 3 n=5 route=consume/jobs tag=jobs.# h=$max-messages:10\n"
            "= k1 attach queue=jobs credit=5\n"
            "= k2 attach queue=jobs filter=jobs.# manual headers=18 credit=5\n"
            "< N 3 n=2147483647\n");
    talk(t, "> PAYLOAD 1 NEXT 'a request-stream takes no payloads'\n");
    talk_end(t);
}
END_TEST

START_TEST(attaching_is_refused)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> STREAM 1 n=0 route=subscribe/a\n"
            "> STREAM 3 n=1 route=subscribe/a h=$facts:maybe\n"
            "< ERROR 1 code=0x204 'invalid: request n is 0'\n"
            "< ERROR 3 code=0x204 'invalid: header $facts is 1 or 0, not \"maybe\"'\n");
    fake.fail = -EINVAL;
    fake.fail_text = "invalid: filter has an empty level";
    talk(t, "> STREAM 5 n=1 route=subscribe/a..b\n"
            "= k1 attach filter=a..b credit=1\n"
            "< ERROR 5 code=0x204 'invalid: filter has an empty level'\n");
    fake.fail = -ENOENT;
    fake.fail_text = "not-found: no such queue";
    talk(t, "> CHANNEL 7 n=1 route=consume/q\n"
            "= k2 attach queue=q manual credit=1\n"
            "< ERROR 7 code=0x204 'not-found: no such queue'\n");
    fake.fail = -ENOMEM;
    talk(t, "> STREAM 9 n=1 route=consume/q\n"
            "= k3 attach queue=q credit=1\n"
            "< ERROR 9 code=0x202 'memory: the broker has no memory for this'\n");
    talk_end(t);
}
END_TEST

START_TEST(too_many_filters)
{
    struct talk *t = talk_setup(_i);
    char line[2048] = "> STREAM 1 n=1 route=subscribe/a";

    for (int i = 0; i < 64; i++)
        (void)sprintf(strchr(line, '\0'), " tag=t%d", i);
    (void)strcat(line, "\n< ERROR 1 code=0x202 'limit: more than 64 filters on one stream'\n");
    talk(t, line);
    talk_end(t);
}
END_TEST

/* -------------------------------------------------------------------------------- deliveries */

START_TEST(plain_messages_are_plain)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> STREAM 1 n=5 route=subscribe/a.b\n"
            "> STREAM 3 n=5 route=subscribe/a.*\n"
            "> STREAM 5 n=5 route=consume/q\n"
            "= k1 attach filter=a.b credit=5\n"
            "= k2 attach filter=a.* credit=5\n"
            "= k3 attach queue=q credit=5\n");
    deliver(1, (struct delivered){.topic = "a.b", .data = {"x", "", "zz"}});
    ck_assert_uint_eq(t->link.out.pending, 3 * 9 + 3); /* nine bytes of framing each */
    talk(t, "< PAYLOAD 1 NEXT 'x'\n"
            "< PAYLOAD 1 NEXT\n"
            "< PAYLOAD 1 NEXT 'zz'\n");
    deliver(2, (struct delivered){.topic = "a.b", .data = {"x", "y"}});
    talk(t, "< PAYLOAD 3 NEXT tag=a.b 'x'\n"
            "< PAYLOAD 3 NEXT tag=a.b 'y'\n");
    deliver(3, (struct delivered){.topic = "q", .data = {"x"}});
    deliver(3, (struct delivered){.topic = "else", .data = {"y"}});
    talk(t, "< PAYLOAD 5 NEXT 'x'\n"
            "< PAYLOAD 5 NEXT tag=else 'y'\n");
    talk_end(t);
}
END_TEST

START_TEST(types_are_said_when_they_differ)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> STREAM 1 n=5 route=consume/a\n"
            "= k1 attach queue=a credit=5\n");
    deliver(1, (struct delivered){.topic = "a", .data = {"x"}, .type = "application/json"});
    deliver(1, (struct delivered){.topic = "a", .data = {"y"}, .type = "text/x-log"});
    deliver(1, (struct delivered){.topic = "b", .data = {"z"}, .type = "text/plain"});
    deliver(1, (struct delivered){.topic = "a", .data = {"?"}, .type = ""}); /* unknown */
    talk(t, "< PAYLOAD 1 NEXT type=application/json 'x'\n"
            "< PAYLOAD 1 NEXT type=text/x-log 'y'\n"
            "< PAYLOAD 1 NEXT tag=b type=text/plain 'z'\n"
            "< PAYLOAD 1 NEXT '?'\n");
    talk_end(t);
}
END_TEST

START_TEST(headers_gaps_and_attempts)
{
    struct talk *t = talk_setup(_i);
    const struct gap gaps[] = {{REASON_DROP_OLDEST, 7}, {REASON_EXPIRED, 2}};

    talk(t, "> STREAM 1 n=5 route=consume/a\n"
            "= k1 attach queue=a credit=5\n");
    deliver(1, (struct delivered){.topic = "a", .data = {"x", "y"}, .gaps = gaps, .gaps_n = 2});
    talk(t, "< PAYLOAD 1 NEXT h=$gap:7 drop-oldest h=$gap:2 expired 'x'\n"
            "< PAYLOAD 1 NEXT 'y'\n");
    deliver(1, (struct delivered){.topic = "a", .data = {"x"}, .attempt = 3});
    deliver(1, (struct delivered){.topic = "b", .data = {"x", "y"}, .header = "colour:red"});
    talk(t, "< PAYLOAD 1 NEXT h=$attempt:3 'x'\n"
            "< PAYLOAD 1 NEXT tag=b h=colour:red 'x'\n"
            "< PAYLOAD 1 NEXT tag=b 'y'\n");
    deliver(1, (struct delivered){.topic = "a",
                                  .data = {"x"},
                                  .attempt = 2,
                                  .header = "colour:red",
                                  .type = "text/plain",
                                  .gaps = gaps,
                                  .gaps_n = 1});
    talk(t,
         "< PAYLOAD 1 NEXT type=text/plain h=$gap:7 drop-oldest h=$attempt:2 h=colour:red 'x'\n");
    talk_end(t);
}
END_TEST

START_TEST(facts_where_they_are_wanted)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> STREAM 1 n=5 route=subscribe/a h=$facts:1\n"
            "= k1 attach filter=a headers=10 credit=5\n");
    deliver(1, (struct delivered){.topic = "a", .data = {"x", "y"}});
    talk(t, "< PAYLOAD 1 NEXT h=$seq:41 h=$time:2026-11-22T22:37:14.007Z h=$id:900 'x'\n"
            "< PAYLOAD 1 NEXT h=$seq:42 h=$time:2026-11-22T22:37:14.007Z h=$id:901 'y'\n");
    talk_end(t);
}
END_TEST

START_TEST(routing_alone_has_tags)
{
    struct talk *t = talk_open(_i);
    const struct gap gap = {REASON_DROP_OLDEST, 7};

    t->routing = true;
    talk(t, "> SETUP 0 metadata-mime=" ROUTING "\n"
            "> STREAM 1 n=5 route=subscribe/a tag=b\n"
            "> STREAM 3 n=5 route=subscribe/a\n"
            "= k1 attach filter=a filter=b credit=5\n"
            "= k2 attach filter=a credit=5\n");
    deliver(1, (struct delivered){.topic = "b", .data = {"x"}, .type = "text/plain"});
    deliver(1, (struct delivered){.topic = "a", .data = {"y"}, .gaps = &gap, .gaps_n = 1});
    deliver(2, (struct delivered){.topic = "a", .data = {"z"}, .attempt = 2, .header = "k:v"});
    deliver(2, (struct delivered){.topic = "a", .data = {"u"}, .gaps = &gap, .gaps_n = 1});
    talk(t, "< PAYLOAD 1 NEXT tag=b 'x'\n"
            "< PAYLOAD 1 NEXT tag=a tag=$gap=7 drop-oldest 'y'\n"
            "< PAYLOAD 3 NEXT 'z'\n"
            "< PAYLOAD 3 NEXT tag=$gap=7 drop-oldest 'u'\n");
    talk_end(t);
}
END_TEST

/* Sizes around every limit: copied, referred to, one frame, many. */
static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 65529, 65530, 65531, 200000, 1000000};

START_TEST(large_messages_arrive_whole)
{
    size_t n = sizes[_i / 2];
    struct talk *t = talk_setup(false);
    struct block *b = block_new(n + 1);

    ck_assert_ptr_nonnull(b);
    for (size_t i = 0; i < n; i++)
        b->bytes[i] = (uint8_t)(i * 7 + i / 256);
    talk(t, "> STREAM 1 n=5 route=subscribe/#\n"
            "= k1 attach filter=# credit=5\n");
    deliver_block(1, "a", b, n, _i % 2);
    expect_whole(t, 1, "a", b->bytes, n);
    ck_assert(block_alone(b)); /* written: nobody refers to it any more */
    block_unref(b);
    talk_end(t);
}
END_TEST

/* Many messages at once: all arrive, in order, whatever mixture of sizes. */
START_TEST(a_long_run_arrives_in_order)
{
    enum { N = 256 };
    static char text[N][2000];
    struct talk *t = talk_setup(false);
    struct msg_view v[N];

    talk(t, "> STREAM 1 n=1000 route=subscribe/a\n"
            "= k1 attach filter=a credit=1000\n");
    for (int i = 0; i < N; i++) {
        int n = snprintf(text[i], sizeof text[i], "%d:%*s", i, 1 + i * 5, "");

        v[i] = (struct msg_view){.data = (const uint8_t *)text[i], .len = (uint32_t)n};
    }
    deliver_views(1, "a", v, N);
    expect_views(t, 1, NULL, v, N);
    talk_end(t);
}
END_TEST

/* Several consumers of one run, some to whom it looks the same, some not; in place and aside, and
 * with messages so large that it is neither. None may see what was written for another. */
START_TEST(a_run_for_several_is_right_for_each)
{
    enum { N = 100 };
    static const struct {
        uint32_t stream;
        const char *topic; /* NULL: known */
    } to[] = {{1, NULL}, {3, NULL}, {5, "a"}, {7, "a"}, {1, NULL}, {1, NULL}, {5, "a"}};
    struct talk *t = talk_setup(false);
    struct block *b = block_new(N * 20000);
    struct msg_view v[N];

    talk(t, "> STREAM 1 n=1000 route=subscribe/a\n"
            "> STREAM 3 n=1000 route=subscribe/a\n"
            "> STREAM 5 n=1000 route=subscribe/#\n"
            "> STREAM 7 n=1000 route=subscribe/#\n"
            "= k1 attach filter=a credit=1000\n"
            "= k2 attach filter=a credit=1000\n"
            "= k3 attach filter=# credit=1000\n"
            "= k4 attach filter=# credit=1000\n");
    for (uint64_t offer = 1; offer < 4; offer++) {
        uint8_t *p = b->bytes;

        for (size_t i = 0; i < N; i++) {
            uint32_t len = (uint32_t)(offer * 100 + i) % 300;

            if (_i == 2 && i == 50)
                len = OUT_BY_REFERENCE;
            p += RS_PAYLOAD_HEAD_SIZE;
            memset(p, (int)(offer * N + i), len);
            v[i] = (struct msg_view){.data = p, .len = len, .block = b};
            p += len;
        }
        for (size_t i = 0; i < sizeof to / sizeof *to; i++) {
            deliver_run(1 + (int)(to[i].stream / 2), "a", v, N, offer,
                        _i ? RS_PAYLOAD_HEAD_SIZE : 0);
            expect_views(t, to[i].stream, to[i].topic, v, N);
        }
    }
    ck_assert(block_alone(b));
    block_unref(b);
    talk_end(t);
}
END_TEST

/* ------------------------------------------------------------------------------------- ends */

START_TEST(the_core_ends_a_stream)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> STREAM 1 n=5 route=subscribe/a\n"
            "> STREAM 3 n=5 route=consume/q\n"
            "> STREAM 5 n=5 route=consume/r\n"
            "= k1 attach filter=a credit=5\n"
            "= k2 attach queue=q credit=5\n"
            "= k3 attach queue=r credit=5\n");
    closed(1, "full: too slow", 12);
    closed(2, "deleted: the queue was deleted", 0);
    closed(3, "not-found: no such queue", 0);
    talk(t, "< ERROR 1 code=0x202 'full: too slow; 12 messages were lost'\n"
            "< ERROR 3 code=0x203 'deleted: the queue was deleted'\n"
            "< ERROR 5 code=0x204 'not-found: no such queue'\n");
    talk(t, "> N 1 n=1\n"
            "> CANCEL 3\n");
    talk_end(t);
}
END_TEST

START_TEST(verbs_settle)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> CHANNEL 1 n=5 route=consume/q\n"
            "= k1 attach queue=q manual credit=5\n"
            "< N 1 n=2147483647\n");
    deliver(1, (struct delivered){.topic = "q", .data = {"x", "y", "z"}});
    talk(t, "> PAYLOAD 1 NEXT verb=1:1:2:0 verb=2:3:1:500\n"
            "> PAYLOAD 1 NEXT verb=3:1:1:0\n"
            "> PAYLOAD 1 NEXT verb=4:2:1:9000\n"
            "> PAYLOAD 1 NEXT\n"
            "= k1 ack 1 1+2 arg=0\n"
            "= k1 ack 2 3+1 arg=500\n"
            "= k1 ack 3 1+1 arg=0\n"
            "= k1 ack 4 2+1 arg=9000\n"
            "< PAYLOAD 1 NEXT 'x'\n"
            "< PAYLOAD 1 NEXT 'y'\n"
            "< PAYLOAD 1 NEXT 'z'\n");
    talk(t, "> PAYLOAD 1 NEXT COMPLETE verb=1:3:1:0\n"
            "= k1 ack 1 3+1 arg=0\n"
            "= k1 detach\n"
            "< PAYLOAD 1 COMPLETE\n");
    talk_end(t);
}
END_TEST

START_TEST(verbs_of_the_first_payload_and_its_end)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> CHANNEL 1 n=5 route=consume/q verb=1:1:1:0\n"
            "> CHANNEL 3 COMPLETE n=5 route=consume/q\n"
            "> CHANNEL 5 FOLLOWS n=5 route=consume/q\n"
            "> PAYLOAD 5 NEXT verb=1:7:1:0\n"
            "= k1 attach queue=q manual credit=5\n"
            "= k1 ack 1 1+1 arg=0\n"
            "= k2 attach queue=q manual credit=5\n"
            "= k2 detach\n"
            "= k3 attach queue=q manual credit=5\n"
            "= k3 ack 1 7+1 arg=0\n"
            "< N 1 n=2147483647\n"
            "< N 3 n=2147483647\n"
            "< PAYLOAD 3 COMPLETE\n"
            "< N 5 n=2147483647\n");
    talk_end(t);
}
END_TEST

static const char *const bad_verbs[] = {
    "hex=01",                                 /* cut short */
    "hex=0000000000000000010000000100000000", /* no such verb */
    "hex=0500000000000000010000000100000000",
    "hex=0100000000000000000000000100000000", /* deliveries count from 1 */
    "hex=0100000000000000010000000000000000", /* an empty range */
    "hex=01ffffffffffffffff0000000200000000", /* beyond 64 bits */
};

START_TEST(bad_verbs_end_the_stream)
{
    struct talk *t = talk_setup(_i % 2);
    uint8_t bytes[128];
    char line[128];

    talk(t, "> CHANNEL 1 n=5 route=consume/q\n"
            "= k1 attach queue=q manual credit=5\n"
            "< N 1 n=2147483647\n");
    (void)snprintf(line, sizeof line, "PAYLOAD 1 NEXT %s", bad_verbs[_i / 2]);
    feed(t, bytes, (size_t)(say(t, bytes, line) - bytes));
    hear(t);
    ck_assert_msg(strstr(t->heard, "< ERROR 1 code=0x204 'invalid: ") == t->heard, "%s", t->heard);
    ck_assert_str_eq(fake.trace, "= k1 detach\n");
    ck_assert(!t->closed);
    talk_end(t);
}
END_TEST

START_TEST(what_was_not_delivered_cannot_be_settled)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> CHANNEL 1 n=5 route=consume/q\n"
            "= k1 attach queue=q manual credit=5\n"
            "< N 1 n=2147483647\n");
    fake.fail = -EINVAL;
    talk(t, "> PAYLOAD 1 NEXT verb=1:5:2:0 verb=1:1:1:0\n"
            "= k1 ack 1 5+2 arg=0\n"
            "= k1 detach\n"
            "< ERROR 1 code=0x204 'invalid: deliveries 5 to 6 have not all been made'\n");
    talk_end(t);
}
END_TEST

START_TEST(verbs_without_memory)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> CHANNEL 1 n=5 route=consume/q\n"
            "= k1 attach queue=q manual credit=5\n"
            "< N 1 n=2147483647\n");
    fake.fail = -ENOMEM;
    talk(t, "> PAYLOAD 1 NEXT verb=1:5:2:0\n"
            "= k1 ack 1 5+2 arg=0\n"
            "= k1 detach\n"
            "< ERROR 1 code=0x202 'memory: the broker has no memory for this'\n");
    talk_end(t);
}
END_TEST

/* ------------------------------------------------------------------------------ calls, routes */

static const char json[] = "application/json";

START_TEST(admin_is_a_service)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> RR 1 route=admin/queue/ls '{}'\n"
            "> STREAM 3 n=2 route=admin/events\n"
            "> RR 5 route=call/admin/info\n"
            "= call service=admin method=queue/ls data={} credit=1\n"
            "= call service=admin method=events credit=2\n"
            "= call service=admin method=info credit=1\n");
    reply(1, "[1]", json);
    reply(2, "e1", json);
    reply(2, "e2", NULL);
    end_call(3);
    talk(t, "> N 3 n=4\n"
            "= call grant 4\n"
            "< PAYLOAD 1 NEXT COMPLETE type=application/json '[1]'\n"
            "< PAYLOAD 3 NEXT type=application/json 'e1'\n"
            "< PAYLOAD 3 NEXT 'e2'\n"
            "< PAYLOAD 5 COMPLETE\n");
    talk(t, "> CANCEL 3\n"
            "= call cancelled\n");
    talk(t, "> RR 7 route=admin/x\n"
            "> STREAM 9 n=1 route=admin/y\n"
            "= call service=admin method=x credit=1\n"
            "= call service=admin method=y credit=1\n");
    refuse_call(4, 0x204, "not-found: no such command");
    end_call(5);
    talk(t, "< ERROR 7 code=0x204 'not-found: no such command'\n"
            "< PAYLOAD 9 COMPLETE\n");
    fake.answer_at_once = true;
    talk(t, "> RR 11 route=admin/info\n"
            "> STREAM 13 n=3 route=admin/info\n"
            "= call service=admin method=info credit=1\n"
            "= call service=admin method=info credit=3\n"
            "< PAYLOAD 11 NEXT COMPLETE type=application/json '{}'\n"
            "< PAYLOAD 13 NEXT COMPLETE type=application/json '{}'\n");
    talk_end(t);
}
END_TEST

START_TEST(ping_is_a_barrier)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> STREAM 1 n=1 route=subscribe/a\n"
            "> RR 3 route=admin/ping\n"
            "= k1 attach filter=a credit=1\n"
            "= barrier 3\n");
    fake.endpoint.ops->ready(fake.consumer[0].ctx);
    fake.endpoint.ops->barrier(fake.endpoint.ctx, 3);
    talk(t, "< PAYLOAD 3 NEXT COMPLETE\n");
    talk(t, "> RR 5 route=admin/ping\n"
            "> CANCEL 5\n"
            "= barrier 5\n");
    fake.endpoint.ops->barrier(fake.endpoint.ctx, 5);
    fake.endpoint.ops->barrier(fake.endpoint.ctx, 1); /* that is another stream */
    talk(t, "");
    fake.fail = -ENOMEM;
    talk(t, "> RR 7 route=admin/ping\n"
            "= barrier 7\n"
            "< ERROR 7 code=0x202 'memory: the broker has no memory for this'\n");
    talk_end(t);
}
END_TEST

#define THERE_ARE                                                                                  \
    "; there are publish/TOPIC, publish, send/QUEUE, send, subscribe/FILTER, consume/QUEUE, "      \
    "serve/SERVICE, unserve/SERVICE, call/SERVICE/METHOD, admin/COMMAND"

static const struct {
    const char *said, *heard;
} bad_routes[] = {
    {"RR 1 route=nowhere", "0x204 'not-found: no route nowhere" THERE_ARE "'"},
    {"STREAM 1 n=1 route=publishing/a", "0x204 'not-found: no route publishing/a" THERE_ARE "'"},
    {"RR 1", "0x204 'invalid: the request has no route (routing metadata, item 0x7E)'"},
    {"RR 1 type=text/plain 'x'",
     "0x204 'invalid: the request has no route (routing metadata, item 0x7E)'"},
    {"RR 1 meta=fe00000100", "0x204 'invalid: the request has no route (routing metadata, item "
                             "0x7E)'"}, /* an empty tag */
    {"RR 1 meta=fe0000ff00", "0x204 'invalid: composite metadata are cut short'"},
    {"RR 1 meta=fe000002056e", "0x204 'invalid: a routing tag is cut short'"},
    {"RR 1 route=publish/", "0x204 'invalid: the name after publish/ is empty'"},
    {"RR 1 route=publish", "0x204 'invalid: route publish needs a name: publish/NAME'"},
    {"STREAM 1 n=1 route=publish/a",
     "0x204 'invalid: route publish does not take this interaction'"},
    {"RR 1 route=subscribe/a", "0x204 'invalid: route subscribe does not take this interaction'"},
    {"STREAM 1 n=1 route=subscribe", "0x204 'invalid: route subscribe needs a name: "
                                     "subscribe/NAME'"},
    {"CHANNEL 1 n=1 route=subscribe/a",
     "0x204 'invalid: route subscribe does not take this interaction'"},
    {"RR 1 route=consume/a", "0x204 'invalid: route consume does not take this interaction'"},
    {"RR 1 route=call/math", "0x204 'invalid: a call's route is call/SERVICE/METHOD'"},
    {"CHANNEL 1 n=1 route=admin/info", "0x204 'invalid: route admin does not take this "
                                       "interaction'"},
    {"STREAM 1 n=1 route=serve/math",
     "0x204 'invalid: route serve does not take this interaction'"},
};

START_TEST(bad_routes_are_named)
{
    struct talk *t = talk_setup(_i % 2);
    char lines[512];

    (void)snprintf(lines, sizeof lines, "> %s\n< ERROR 1 code=%s\n", bad_routes[_i / 2].said,
                   bad_routes[_i / 2].heard);
    talk(t, lines);
    ck_assert(!t->closed);
    talk_end(t);
}
END_TEST

START_TEST(without_routing_there_are_no_routes)
{
    struct talk *t = talk_open(_i);

    talk(t,
         "> SETUP 0 metadata-mime=application/json\n"
         "> RR 1 route=publish/a 'x'\n"
         "> FNF 3 route=publish/a 'x'\n"
         "< ERROR 1 code=0x204 'invalid: a request needs a route, and metadata of the type given "
         "in SETUP have none; use message/x.rsocket.composite-metadata.v0 or "
         "message/x.rsocket.routing.v0'\n");
    ck_assert(!t->closed);
    talk_end(t);
}
END_TEST

#define ROWS(a) (int)(sizeof(a) / sizeof(a)[0])

int main(void)
{
    Suite *suite = suite_create("rsocket: consume and call");
    TCase *tc = tcase_create("consume");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, subscribe_names_filters, 0, 2);
    tcase_add_loop_test(tc, consume_names_a_queue, 0, 2);
    tcase_add_loop_test(tc, attaching_is_refused, 0, 2);
    tcase_add_loop_test(tc, too_many_filters, 0, 2);
    tcase_add_loop_test(tc, plain_messages_are_plain, 0, 2);
    tcase_add_loop_test(tc, types_are_said_when_they_differ, 0, 2);
    tcase_add_loop_test(tc, headers_gaps_and_attempts, 0, 2);
    tcase_add_loop_test(tc, facts_where_they_are_wanted, 0, 2);
    tcase_add_loop_test(tc, routing_alone_has_tags, 0, 2);
    tcase_add_loop_test(tc, large_messages_arrive_whole, 0, 2 * ROWS(sizes));
    tcase_add_test(tc, a_long_run_arrives_in_order);
    tcase_add_loop_test(tc, a_run_for_several_is_right_for_each, 0, 3);
    tcase_add_loop_test(tc, the_core_ends_a_stream, 0, 2);
    tcase_add_loop_test(tc, verbs_settle, 0, 2);
    tcase_add_loop_test(tc, verbs_of_the_first_payload_and_its_end, 0, 2);
    tcase_add_loop_test(tc, bad_verbs_end_the_stream, 0, 2 * ROWS(bad_verbs));
    tcase_add_loop_test(tc, what_was_not_delivered_cannot_be_settled, 0, 2);
    tcase_add_loop_test(tc, verbs_without_memory, 0, 2);
    tcase_add_loop_test(tc, admin_is_a_service, 0, 2);
    tcase_add_loop_test(tc, ping_is_a_barrier, 0, 2);
    tcase_add_loop_test(tc, bad_routes_are_named, 0, 2 * ROWS(bad_routes));
    tcase_add_loop_test(tc, without_routing_there_are_no_routes, 0, 2);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
