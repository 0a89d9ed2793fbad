/* Slots of keys, what Redis says of where they are, and how it turns commands away. */
#include <errno.h>
#include <hiredis/hiredis.h>

#include "brokerd/store/redis/reply.h"
#include "brokerd/store/redis/slots.h"
#include "tests/unit/support.h"

/* The reply that these bytes are. */
static redisReply *reply_of(const char *bytes)
{
    struct reply_reader r;
    redisReply *reply = NULL;

    ck_assert_int_eq(reply_reader_init(&r), 0);
    ck_assert_int_eq(reply_feed(&r, bytes, strlen(bytes)), 0);
    ck_assert_int_eq(reply_next(&r, &reply), 1);
    reply_reader_fini(&r);
    return reply;
}

/* Slots as a Redis 7.0 says (CLUSTER KEYSLOT). */
static const struct {
    const char *key;
    unsigned slot;
} keys[] = {
    {"123456789", 12739},
    {"foo", 12182},
    {"", 0},
    {"{user1000}.following", 3443},
    {"{user1000}.followers", 3443},
    {"user1000", 3443},
    {"foo{}{bar}", 8363},
    {"foo{{bar}}zap", 4015},
    {"foo{bar}{zap}", 5061},
    {"bar", 5061},
    {"a{b", 13340},
    {"a}b{c", 13587},
};

START_TEST(slot_of_key)
{
    ck_assert_uint_eq(link_slot(slice_str(keys[_i].key)), keys[_i].slot);
}
END_TEST

START_TEST(crc16)
{
    ck_assert_uint_eq(slots_crc16(SLICE("123456789")), 0x31c3); /* the check value of XMODEM */
    ck_assert_uint_eq(slots_crc16(SLICE("")), 0);
}
END_TEST

static const struct {
    const char *reply;
    enum turn turn;
    unsigned slot;
    const char *host;
    unsigned port;
} errors[] = {
    {"-MOVED 3999 127.0.0.1:6381\r\n", TURN_MOVED, 3999, "127.0.0.1", 6381},
    {"-MOVED 16383 redis.example.org:7\r\n", TURN_MOVED, 16383, "redis.example.org", 7},
    {"-MOVED 1 ::1:6381\r\n", TURN_MOVED, 1, "::1", 6381},
    {"-MOVED 1 :6381\r\n", TURN_MOVED, 1, "", 6381},
    {"-MOVED 1 ?:6381\r\n", TURN_MOVED, 1, "", 6381},
    {"-ASK 3999 127.0.0.1:6381\r\n", TURN_ASK, 3999, "127.0.0.1", 6381},
    {"-MOVED 16384 127.0.0.1:6381\r\n", TURN_NOT, 0, "", 0},
    {"-MOVED -1 127.0.0.1:6381\r\n", TURN_NOT, 0, "", 0},
    {"-MOVED 1 127.0.0.1:0\r\n", TURN_NOT, 0, "", 0},
    {"-MOVED 1 127.0.0.1:65536\r\n", TURN_NOT, 0, "", 0},
    {"-MOVED 1 127.0.0.1\r\n", TURN_NOT, 0, "", 0},
    {"-MOVED 1 /tmp/socket:1\r\n", TURN_NOT, 0, "", 0},
    {"-MOVED 1\r\n", TURN_NOT, 0, "", 0},
    {"-MOVED\r\n", TURN_NOT, 0, "", 0},
    {"-ASK\r\n", TURN_NOT, 0, "", 0},
    {"-TRYAGAIN Multiple keys request during rehashing of slot\r\n", TURN_LATER, 0, "", 0},
    {"-CLUSTERDOWN The cluster is down\r\n", TURN_LATER, 0, "", 0},
    {"-LOADING Redis is loading the dataset in memory\r\n", TURN_LATER, 0, "", 0},
    {"-NOREPLICAS Not enough good replicas to write.\r\n", TURN_LATER, 0, "", 0},
    {"-BUSY Redis is busy running a script.\r\n", TURN_LATER, 0, "", 0},
    {"-READONLY You can't write against a read only replica.\r\n", TURN_REPLICA, 0, "", 0},
    {"-MASTERDOWN Link with MASTER is down\r\n", TURN_REPLICA, 0, "", 0},
    {"-BUSYGROUP Consumer Group name already exists\r\n", TURN_NOT, 0, "", 0},
    {"-OOM command not allowed\r\n", TURN_NOT, 0, "", 0},
    {"-\r\n", TURN_NOT, 0, "", 0},
    {"+MOVED 3999 127.0.0.1:6381\r\n", TURN_NOT, 0, "", 0},
    {"$7\r\nLOADING\r\n", TURN_NOT, 0, "", 0},
};

START_TEST(turned_away)
{
    redisReply *reply = reply_of(errors[_i].reply);
    struct turned t = slots_turned(reply);

    ck_assert_int_eq(t.turn, errors[_i].turn);
    if (*errors[_i].host || errors[_i].port) {
        ck_assert_uint_eq(t.slot, errors[_i].slot);
        ck_assert_str_eq(t.at.name, errors[_i].host);
        ck_assert_uint_eq(t.at.port, errors[_i].port);
    }
    freeReplyObject(reply);
}
END_TEST

#define ID "$2\r\nid\r\n"

static const struct {
    const char *reply;
    const char *means; /* FIRST LAST HOST PORT of the first line; NULL: it is none */
} maps[] = {
    {"*1\r\n*3\r\n:0\r\n:5460\r\n*3\r\n$9\r\n127.0.0.1\r\n:7000\r\n" ID, "0 5460 127.0.0.1 7000"},
    {"*1\r\n*4\r\n:1\r\n:1\r\n*4\r\n$1\r\na\r\n:7\r\n" ID "*0\r\n*3\r\n$1\r\nb\r\n:8\r\n" ID,
     "1 1 a 7"},
    {"*1\r\n*3\r\n:0\r\n:1\r\n*3\r\n$-1\r\n:7000\r\n" ID, "0 1  7000"},
    {"*1\r\n*3\r\n:0\r\n:1\r\n*3\r\n$1\r\n?\r\n:7000\r\n" ID, "0 1  7000"},
    {"*0\r\n", NULL},
    {":1\r\n", NULL},
    {"*1\r\n:1\r\n", NULL},
    {"*1\r\n*2\r\n:0\r\n:1\r\n", NULL},
    {"*1\r\n*3\r\n:0\r\n:16384\r\n*3\r\n$1\r\na\r\n:7\r\n" ID, NULL},
    {"*1\r\n*3\r\n:-1\r\n:1\r\n*3\r\n$1\r\na\r\n:7\r\n" ID, NULL},
    {"*1\r\n*3\r\n:2\r\n:1\r\n*3\r\n$1\r\na\r\n:7\r\n" ID, NULL},
    {"*1\r\n*3\r\n:0\r\n:1\r\n*3\r\n$1\r\na\r\n:0\r\n" ID, NULL},
    {"*1\r\n*3\r\n:0\r\n:1\r\n*3\r\n$1\r\na\r\n:65536\r\n" ID, NULL},
    {"*1\r\n*3\r\n:0\r\n:1\r\n*3\r\n$2\r\n/a\r\n:7\r\n" ID, NULL},
    {"*1\r\n*3\r\n:0\r\n:1\r\n*3\r\n:1\r\n:7\r\n" ID, NULL},
    {"*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n$1\r\na\r\n", NULL},
    {"*1\r\n*3\r\n:0\r\n:1\r\n:1\r\n", NULL},
    {"*1\r\n*3\r\n$1\r\n0\r\n:1\r\n*3\r\n$1\r\na\r\n:7\r\n" ID, NULL},
};

START_TEST(map_of_slots)
{
    redisReply *reply = reply_of(maps[_i].reply);
    struct slots_range r;
    char text[512];
    int e = slots_range(reply, 0, &r);

    ck_assert_int_eq(e, maps[_i].means ? 0 : -EPROTO);
    if (e == 0) {
        (void)snprintf(text, sizeof text, "%u %u %s %u", r.first, r.last, r.master.name,
                       r.master.port);
        ck_assert_str_eq(text, maps[_i].means);
    }
    freeReplyObject(reply);
}
END_TEST

static const struct {
    const char *reply;
    int answer;
} addresses[] = {
    {"*2\r\n$1\r\na\r\n$4\r\n6379\r\n", 0},        {"*-1\r\n", -EPROTO},
    {"*2\r\n$1\r\na\r\n:6379\r\n", -EPROTO},       {"*2\r\n$0\r\n\r\n$4\r\n6379\r\n", -EPROTO},
    {"*2\r\n$1\r\na\r\n$1\r\n0\r\n", -EPROTO},     {"*1\r\n$1\r\na\r\n", -EPROTO},
    {"*2\r\n$2\r\n/a\r\n$4\r\n6379\r\n", -EPROTO},
};

START_TEST(address_of_master)
{
    redisReply *reply = reply_of(addresses[_i].reply);
    struct redis_host at;

    ck_assert_int_eq(slots_address(reply, &at), addresses[_i].answer);
    freeReplyObject(reply);
}
END_TEST

START_TEST(epoch_of_master)
{
    redisReply *some =
        reply_of("*4\r\n$4\r\nname\r\n$1\r\nm\r\n$12\r\nconfig-epoch\r\n$2\r\n17\r\n");
    redisReply *none = reply_of("*3\r\n$4\r\nname\r\n$1\r\nm\r\n$12\r\nconfig-epoch\r\n");
    uint64_t epoch = 0;

    ck_assert_int_eq(slots_epoch(some, &epoch), 0);
    ck_assert_uint_eq(epoch, 17);
    ck_assert_int_eq(slots_epoch(none, &epoch), -EPROTO);
    freeReplyObject(some);
    freeReplyObject(none);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("redis_slots");
    Suite *s = suite_create("redis_slots");

    tcase_add_loop_test(tc, slot_of_key, 0, ARRAY_LEN(keys));
    tcase_add_test(tc, crc16);
    tcase_add_loop_test(tc, turned_away, 0, ARRAY_LEN(errors));
    tcase_add_loop_test(tc, map_of_slots, 0, ARRAY_LEN(maps));
    tcase_add_loop_test(tc, address_of_master, 0, ARRAY_LEN(addresses));
    tcase_add_test(tc, epoch_of_master);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
