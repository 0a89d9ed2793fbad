/* Replies of Redis: whole ones in any pieces, and what a hostile peer says instead. */
#include <errno.h>
#include <hiredis/hiredis.h>

#include "brokerd/store/redis/reply.h"
#include "tests/unit/support.h"

static struct reply_reader r;

static void begin(void)
{
    ck_assert_int_eq(reply_reader_init(&r), 0);
}

static void end(void)
{
    reply_reader_fini(&r);
}

/* Feed bytes in pieces; how many replies came, or -errno. */
static int feed(const char *bytes, size_t n, size_t piece)
{
    int replies = 0;

    for (size_t at = 0; at < n; at += piece) {
        redisReply *reply;
        int e = reply_feed(&r, bytes + at, n - at < piece ? n - at : piece);

        if (e < 0)
            return e;
        while ((e = reply_next(&r, &reply)) > 0) {
            replies++;
            freeReplyObject(reply);
        }
        if (e < 0)
            return e;
    }
    return replies;
}

static const char many[] =
    "+OK\r\n:-12\r\n$5\r\nhello\r\n$-1\r\n$0\r\n\r\n*-1\r\n*0\r\n-ERR no\r\n"
    "*3\r\n:1\r\n*2\r\n$1\r\na\r\n*0\r\n+x\r\n*1\r\n*1\r\n*1\r\n*1\r\n:7\r\n";

START_TEST(pieces)
{
    for (size_t piece = 1; piece < sizeof many; piece++) {
        begin();
        ck_assert_int_eq(feed(many, sizeof many - 1, piece), 10);
        ck_assert_uint_eq(r.bytes, 0);
        end();
    }
}
END_TEST

static const struct {
    const char *bytes;
    int answer;
} hostile[] = {
    /* no reply */
    {"HTTP/1.1 400 Bad Request\r\n", -EPROTO},
    {"%1\r\n", -EPROTO}, /* RESP3 */
    {">1\r\n", -EPROTO},
    {":12a\r\n", -EPROTO},
    {":99999999999999999999\r\n", -EPROTO},
    {"$a\r\n", -EPROTO},
    {"$-2\r\n", -EPROTO},
    {"*-2\r\n", -EPROTO},
    {"*x\r\n", -EPROTO},
    {"*1 \r\n", -EPROTO},
    /* depth: seven arrays in one another are read, more are not */
    {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", 1},
    {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", -EPROTO},
    /* lengths */
    {"*1048575\r\n", 0},
    {"*1048577\r\n", -EPROTO},
    {"*2147483647\r\n", -EPROTO},
    {"*4294967296\r\n:1\r\n", -EPROTO}, /* 0 as an int */
    {"*4294967297\r\n:1\r\n", -EPROTO}, /* 1 */
    {"*4294967295\r\n:1\r\n", -EPROTO}, /* -1 */
    {"*42949672960\r\n:1\r\n", -EPROTO},
    {"*1\r\n*4294967296\r\n:1\r\n", -EPROTO},
    {"*9223372036854775807\r\n", -EPROTO},
    {"*000000001\r\n", -EPROTO},
    {"$67108865\r\n", 0}, /* nothing is allocated for it before it comes */
    {"$999999999\r\nx", -EPROTO},
    {"$9223372036854775807\r\nx", -EPROTO},
    {"$11111111111111111111111111", -EPROTO},
};

START_TEST(hostile_bytes)
{
    size_t n = strlen(hostile[_i].bytes);

    for (size_t piece = 1; piece <= n; piece++) {
        begin();
        ck_assert_int_eq(feed(hostile[_i].bytes, n, piece), hostile[_i].answer);
        end();
    }
}
END_TEST

/* A line without an end. */
START_TEST(endless_line)
{
    static const char types[] = "+-:*$";
    static char line[REPLY_LINE_MAX + 2];

    for (const char *type = types; *type; type++) {
        memset(line, *type == '+' || *type == '-' ? 'a' : '1', sizeof line);
        line[0] = *type;
        begin();
        ck_assert_int_eq(feed(line, sizeof line, 4096), -EPROTO);
        end();
    }
}
END_TEST

/* More objects than a reply may have, each array within its limit. */
START_TEST(too_many_objects)
{
    enum { ARRAYS = 16, EACH = REPLY_OBJECTS_MAX / ARRAYS };
    char head[32];
    int e = 0;

    begin();
    ck_assert_int_eq(feed("*16\r\n", 5, 5), 0);
    for (int i = 0; i < ARRAYS && e == 0; i++) {
        int n = snprintf(head, sizeof head, "*%d\r\n", EACH);

        e = feed(head, (size_t)n, (size_t)n);
        for (int k = 0; k < EACH && e == 0; k++)
            e = feed(":1\r\n", 4, 4);
    }
    ck_assert_int_eq(e, -EPROTO);
    end();
}
END_TEST

/* One reply over the limit, and one just below it. */
START_TEST(too_many_bytes)
{
    static char piece[1 << 20];
    char head[32];
    int n = snprintf(head, sizeof head, "$%d\r\n", REPLY_BYTES_MAX - 64), e = 0;

    begin();
    ck_assert_int_eq(feed(head, (size_t)n, (size_t)n), 0);
    for (int i = 0; i < 63; i++)
        ck_assert_int_eq(feed(piece, sizeof piece, sizeof piece), 0);
    ck_assert_int_eq(feed(piece, sizeof piece - 64, sizeof piece), 0);
    ck_assert_int_eq(feed("\r\n", 2, 2), 1);
    n = snprintf(head, sizeof head, "$%d\r\n", REPLY_BYTES_MAX + 1);
    ck_assert_int_eq(feed(head, (size_t)n, (size_t)n), 0);
    for (int i = 0; i < 65 && e == 0; i++)
        e = feed(piece, sizeof piece, sizeof piece);
    ck_assert_int_eq(e, -EPROTO);
    end();
}
END_TEST

/* Any bytes at all, most of them nearly replies. */
START_TEST(random_bytes)
{
    static const char letters[] = "+-:*$\r\n\r\n\r\n0123456789aOK";
    struct seeded seed = seeded_start();

    for (int i = 0; i < 20000; i++) {
        char bytes[64];
        size_t n = 1 + seeded_below(&seed, sizeof bytes);

        for (size_t k = 0; k < n; k++)
            bytes[k] = letters[seeded_below(&seed, sizeof letters - 1)];
        begin();
        (void)feed(bytes, n, 1 + seeded_below(&seed, n));
        end();
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("redis_reply");
    Suite *s = suite_create("redis_reply");

    tcase_add_test(tc, pieces);
    tcase_add_loop_test(tc, hostile_bytes, 0, ARRAY_LEN(hostile));
    tcase_add_test(tc, endless_line);
    tcase_add_test(tc, too_many_objects);
    tcase_add_test(tc, too_many_bytes);
    tcase_add_test(tc, random_bytes);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
