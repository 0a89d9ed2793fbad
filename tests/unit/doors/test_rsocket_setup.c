/* How an RSocket connection begins, lives and ends. Each dialogue is held twice: bytes fed in one
 * piece, and one by one. */
#include "tests/unit/doors/fake_core.h"
#include "tests/unit/doors/talk.h"

START_TEST(silence_is_acceptance)
{
    struct talk *t = talk_open(_i);

    ck_assert(!rsocket_door.established(t->conn));
    talk(t, "> SETUP 0 'hello'\n");
    ck_assert(rsocket_door.established(t->conn));
    ck_assert_ptr_eq(t->link.endpoint, &fake.endpoint);
    talk(t, "> SETUP 0\n"); /* a second one is ignored */
    ck_assert(!t->closed);
    talk_end(t);
}
END_TEST

START_TEST(a_client_may_name_itself)
{
    static const struct {
        const char *said, *name;
    } rows[] = {
        {"> SETUP 0\n", "test"},
        {"> SETUP 0 h=name:billing-7\n", "billing-7"},
        {"> SETUP 0 h=name:\n", "test"},
        {"> SETUP 0 h=name:a-name-that-is-longer-than-sixty-four-bytes-is-not-taken-but-ignored"
         "\n",
         "test"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct talk *t = talk_open(_i);

        talk(t, rows[i].said);
        ck_assert_str_eq(fake.endpoint_name, rows[i].name);
        talk_end(t);
    }
}
END_TEST

static const struct {
    const char *said, *heard;
} refused[] = {
    {"> SETUP 0 major=2\n", "< ERROR 0 code=0x002 'only version 1.0 is spoken here'\n"},
    {"> SETUP 3\n",
     "< ERROR 0 code=0x001 'the first frame must be SETUP or RESUME, on stream 0'\n"},
    {"> RR 1 route=publish/a 'x'\n",
     "< ERROR 0 code=0x001 'the first frame must be SETUP or RESUME, on stream 0'\n"},
    {"> KEEPALIVE 0 RESPOND\n",
     "< ERROR 0 code=0x001 'the first frame must be SETUP or RESUME, on stream 0'\n"},
    {"> RESUME 0\n", "< ERROR 0 code=0x004 'no such session, or not any more'\n"},
    {"> SETUP 0 meta=fe0000ff00\n",
     "< ERROR 0 code=0x001 'invalid: composite metadata are cut short'\n"},
};

START_TEST(setup_is_refused)
{
    int row = _i / 2;
    struct talk *t = talk_open(_i % 2);
    char lines[512];

    /* what was pipelined behind it is dropped */
    (void)snprintf(lines, sizeof lines, "%s> STREAM 1 n=5 route=subscribe/a\n%s", refused[row].said,
                   refused[row].heard);
    talk(t, lines);
    ck_assert(t->closed);
    ck_assert_int_eq(t->end, LINK_WRONG);
    ck_assert(!rsocket_door.established(t->conn));
    talk_end(t);
}
END_TEST

static const char *const bad_first[] = {
    "0000050000000004",                               /* below 6 bytes */
    "001001000000000400",                             /* over the first limit */
    "00000a00000000040000010000",                     /* cut short */
    "0000140000000004000001000000000000000000010000", /* keepalive 0 */
    "0000140000000004000001000000000001000000000000", /* lifetime 0 */
};

START_TEST(a_malformed_setup)
{
    struct talk *t = talk_open(_i % 2);
    uint8_t bytes[64];
    size_t n = from_hex(bad_first[_i / 2], bytes);

    feed(t, bytes, n);
    hear(t);
    ck_assert_msg(strstr(t->heard, "< ERROR 0 code=0x001") == t->heard, "%s", t->heard);
    ck_assert(t->closed);
    talk_end(t);
}
END_TEST

START_TEST(keepalive_is_answered)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> KEEPALIVE 0 RESPOND 'are you there'\n"
            "< KEEPALIVE 0 'are you there'\n");
    talk(t, "> KEEPALIVE 0 'no answer wanted'\n");
    talk(t, "> KEEPALIVE 5 RESPOND\n"); /* not on a stream */
    talk_end(t);
}
END_TEST

static const char *const ignored[] = {
    "> PUSH 0 meta=6d\n",
    "> PUSH 3 meta=6d\n",
    "> LEASE 0 n=1000\n",
    "> RESUME_OK 0\n",
    "> EXT 0 IGNORE n=7\n",
    "> EXT 9 IGNORE n=7 'x'\n",
    "> RAW hex=0000060000000182ff\n", /* an unknown type that may be ignored */
    "> RAW hex=000006000000008200\n",
    "> RAW hex=000009000000011100\n", /* only that much of a frame */
    "> PAYLOAD 1 NEXT 'late'\n",
    "> N 1 n=5\n",
    "> CANCEL 1\n",
    "> ERROR 1 code=0x201 'late'\n",
    "> ERROR 0 code=0x003 'only in setup'\n",
    "> RR 2 route=publish/a\n",  /* wrong parity */
    "> FNF 0 route=publish/a\n", /* stream 0 */
    "> STREAM 0 n=1 route=subscribe/a\n",
}; /* the last three once only: see fatal */

START_TEST(is_ignored)
{
    struct talk *t = talk_setup(_i % 2);

    talk(t, ignored[_i / 2]);
    ck_assert(!t->closed);
    talk_end(t);
}
END_TEST

static const struct {
    const char *said, *heard;
} fatal[] = {
    {"> EXT 0 n=7\n", "< ERROR 0 code=0x101 'a frame of an unknown type'\n"},
    {"> RAW hex=000006000000018000\n", "< ERROR 0 code=0x101 'a frame of an unknown type'\n"},
    {"> RESUME 0\n", "< ERROR 0 code=0x101 'RESUME after SETUP'\n"},
    {"> RR 2 route=publish/a\n> FNF 0 route=publish/a\n",
     "< ERROR 0 code=0x101 'the requests of a client have odd stream ids'\n"},
};

START_TEST(ends_the_connection)
{
    struct talk *t = talk_setup(_i % 2);
    char lines[256];

    (void)snprintf(lines, sizeof lines, "%s> KEEPALIVE 0 RESPOND\n= endpoint closed\n%s",
                   fatal[_i / 2].said, fatal[_i / 2].heard);
    talk(t, lines);
    ck_assert(t->closed);
    ck_assert_int_eq(t->end, LINK_WRONG);
    ck_assert_ptr_null(t->link.endpoint);
    talk_end(t);
}
END_TEST

static const char *const malformed[] = {
    "00000500000001280000",       /* length below 6 */
    "ffffff000000012820",         /* over the frame limit: not waited for */
    "010001000000012820",         /* one above it */
    "00000800000001200000ff",     /* REQUEST_N cut short */
    "0000080000000113000000",     /* metadata length cut short */
    "00000a0000000111000000ff00", /* metadata beyond the frame */
    "00000700000001290000",       /* the same in a PAYLOAD */
    "000008000000002c000000",     /* ERROR without a code */
    "00000a000000000c8000000000", /* KEEPALIVE cut short */
};

START_TEST(malformed_frames_are_connection_errors)
{
    struct talk *t = talk_setup(_i % 2);
    uint8_t bytes[64];
    size_t n = from_hex(malformed[_i / 2], bytes);

    memset(bytes + n, 0, 16); /* more comes behind it */
    feed(t, bytes, n + 16);
    hear(t);
    ck_assert_msg(strstr(t->heard, "< ERROR 0 code=0x101") == t->heard, "%s", t->heard);
    ck_assert(t->closed);
    talk_end(t);
}
END_TEST

START_TEST(a_silent_peer_is_dead)
{
    struct talk *t = talk_open(false);

    ck_assert_int_eq(rsocket_door.on_time(t->conn, 0), INT64_MAX); /* net waits for SETUP */
    fake.now_ms = 1000;
    talk(t, "> SETUP 0 keepalive=500 lifetime=2000\n");
    ck_assert_int_eq(rsocket_door.on_time(t->conn, 1000), 3000);
    fake.now_ms = 2500;
    talk(t, "> KEEPALIVE 0\n");
    ck_assert_int_eq(rsocket_door.on_time(t->conn, 3000), 4500);
    ck_assert_int_eq(rsocket_door.on_time(t->conn, 4499), 4500);
    ck_assert(!t->closed);
    ck_assert_int_eq(rsocket_door.on_time(t->conn, 4500), INT64_MAX);
    talk(t, "= endpoint closed\n"
            "< ERROR 0 code=0x101 'No keep-alive acks for 2000 ms'\n");
    ck_assert(t->closed);
    ck_assert_int_eq(t->end, LINK_SILENT);
    talk_end(t);
}
END_TEST

static const struct {
    const char *setup;
    int64_t lifetime_ms;
} lifetimes[] = {
    {"> SETUP 0 keepalive=1 lifetime=1\n", 100},               /* keepalive_min_ms */
    {"> SETUP 0 keepalive=5000 lifetime=10\n", 5000},          /* not below its own interval */
    {"> SETUP 0 keepalive=1000 lifetime=2147483647\n", 60000}, /* idle_max_ms */
};

START_TEST(lifetimes_are_clamped)
{
    struct talk *t = talk_open(false);

    talk(t, lifetimes[_i].setup);
    ck_assert_int_eq(rsocket_door.on_time(t->conn, 0), lifetimes[_i].lifetime_ms);
    talk_end(t);
}
END_TEST

START_TEST(the_peer_says_goodbye)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> ERROR 0 code=0x101 'had enough'\n"
            "= endpoint closed\n");
    ck_assert(t->closed);
    ck_assert_int_eq(t->end, LINK_ASKED);
    ck_assert_str_eq(t->why, "the peer ended it: had enough");
    talk_end(t);
}
END_TEST

START_TEST(the_peer_closes_when_its_streams_have_ended)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> STREAM 1 n=1 route=subscribe/a\n"
            "> ERROR 0 code=0x102 'closing'\n"
            "= k1 attach filter=a credit=1\n");
    ck_assert(!t->closed);
    talk(t, "> STREAM 3 n=1 route=subscribe/a\n"
            "< ERROR 3 code=0x202 'draining: the connection takes no new requests'\n");
    talk(t, "> CANCEL 1\n"
            "= k1 detach\n"
            "= endpoint closed\n");
    ck_assert(t->closed);
    ck_assert_int_eq(t->end, LINK_ASKED);
    talk_end(t);
}
END_TEST

START_TEST(drain_tells_the_client)
{
    struct talk *t = talk_setup(_i);
    const struct outcome fine = {.first = 1, .count = 1, .matched = 1, .accepted = 1};

    talk(t, "> CHANNEL 1 n=5 route=publish/a 'x'\n"
            "> STREAM 3 n=5 route=subscribe/a\n"
            "= p1 opened window\n"
            "= p1 publish topic=a type=0x06 'x'\n"
            "= k1 attach filter=a credit=5\n"
            "< N 1 n=100\n");
    rsocket_door.on_drain(t->conn);
    talk(t, "> PAYLOAD 1 NEXT 'too late'\n"
            "< ERROR 0 code=0x102 'draining: the broker is about to stop'\n"
            "< CANCEL 1\n");
    settled(1, 1, &fine, 1);
    talk(t, "< PAYLOAD 1 NEXT hex=0000000000000001\n"
            "< PAYLOAD 1 COMPLETE\n");
    ck_assert(!t->closed); /* the subscription goes on until it is evicted */
    talk(t, "> CANCEL 3\n"
            "= p1 closed\n"
            "= k1 detach\n"
            "= endpoint closed\n");
    ck_assert(t->closed);
    ck_assert_int_eq(t->end, LINK_DRAINED);
    talk_end(t);
}
END_TEST

START_TEST(drain_ends_the_only_stream)
{
    struct talk *t = talk_setup(_i);
    const struct outcome fine = {.first = 1, .count = 1, .matched = 1, .accepted = 1};

    talk(t, "> CHANNEL 1 n=5 route=publish/a 'x'\n"
            "= p1 opened window\n"
            "= p1 publish topic=a type=0x06 'x'\n"
            "< N 1 n=100\n");
    rsocket_door.on_drain(t->conn);
    talk(t, "> PAYLOAD 1 NEXT 'too late'\n"
            "< ERROR 0 code=0x102 'draining: the broker is about to stop'\n"
            "< CANCEL 1\n");
    settled(1, 1, &fine, 1);
    talk(t, "> KEEPALIVE 0\n"
            "< PAYLOAD 1 NEXT hex=0000000000000001\n"
            "< PAYLOAD 1 COMPLETE\n"
            "= p1 closed\n"
            "= endpoint closed\n");
    ck_assert(t->closed);
    talk_end(t);
}
END_TEST

START_TEST(drain_closes_the_idle)
{
    struct talk *t = talk_setup(_i);

    rsocket_door.on_drain(t->conn);
    ck_assert(t->closed);
    ck_assert_int_eq(rsocket_door.on_time(t->conn, 0), INT64_MAX);
    talk(t, "= endpoint closed\n"
            "< ERROR 0 code=0x102 'draining: the broker is about to stop'\n");
    talk_end(t);

    t = talk_open(_i);
    rsocket_door.on_drain(t->conn);
    talk(t, "< ERROR 0 code=0x003 'draining: the broker is about to stop'\n");
    ck_assert(t->closed);
    ck_assert_int_eq(t->end, LINK_DRAINED);
    talk_end(t);
}
END_TEST

static const struct {
    const char *hex;
    enum door_match match;
} firsts[] = {
    {"00", DOOR_MORE},
    {"000030", DOOR_MORE},
    {"00003000000000", DOOR_MORE},
    {"0000300000000004", DOOR_YES},
    {"0000300000000005", DOOR_YES},
    {"0000300000000034", DOOR_YES},
    {"000030000000000c", DOOR_YES}, /* KEEPALIVE first: ours, to be told so */
    {"0000300000000111", DOOR_YES}, /* a request without SETUP */
    {"00003000000000fc", DOOR_NO},
    {"474554202f", DOOR_NO},     /* GET / */
    {"434f4e4e454354", DOOR_NO}, /* CONNECT */
    {"7b226964223a", DOOR_NO},   /* {"id": */
    {"16030100f1010000ed", DOOR_NO},
};

START_TEST(first_bytes_are_recognised)
{
    uint8_t bytes[16];
    size_t n = from_hex(firsts[_i].hex, bytes);

    ck_assert_int_eq(rsocket_door.recognise(slice_of(bytes, n)), firsts[_i].match);
}
END_TEST

#define ROWS(a) (int)(sizeof(a) / sizeof(a)[0])

int main(void)
{
    Suite *suite = suite_create("rsocket: setup");
    TCase *tc = tcase_create("setup");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, silence_is_acceptance, 0, 2);
    tcase_add_loop_test(tc, a_client_may_name_itself, 0, 2);
    tcase_add_loop_test(tc, setup_is_refused, 0, 2 * ROWS(refused));
    tcase_add_loop_test(tc, a_malformed_setup, 0, 2 * ROWS(bad_first));
    tcase_add_loop_test(tc, keepalive_is_answered, 0, 2);
    tcase_add_loop_test(tc, is_ignored, 0, 2 * ROWS(ignored));
    tcase_add_loop_test(tc, ends_the_connection, 0, 2 * ROWS(fatal));
    tcase_add_loop_test(tc, malformed_frames_are_connection_errors, 0, 2 * ROWS(malformed));
    tcase_add_test(tc, a_silent_peer_is_dead);
    tcase_add_loop_test(tc, lifetimes_are_clamped, 0, ROWS(lifetimes));
    tcase_add_loop_test(tc, the_peer_says_goodbye, 0, 2);
    tcase_add_loop_test(tc, the_peer_closes_when_its_streams_have_ended, 0, 2);
    tcase_add_loop_test(tc, drain_tells_the_client, 0, 2);
    tcase_add_loop_test(tc, drain_ends_the_only_stream, 0, 2);
    tcase_add_loop_test(tc, drain_closes_the_idle, 0, 2);
    tcase_add_loop_test(tc, first_bytes_are_recognised, 0, ROWS(firsts));
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
