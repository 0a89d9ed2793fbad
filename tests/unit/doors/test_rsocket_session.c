/* RESUME: a session and the connections that carry it one after the other; and LEASE. */
#include "tests/unit/doors/fake_core.h"
#include "tests/unit/doors/talk.h"

#include "brokerd/doors/rsocket/lease.h"
#include "libbroker/base/log.h"
#include "tests/unit/doors/deliver.h"

/* Positions: REQUEST_STREAM of `subscribe/a` has 29 bytes, a delivery of one byte 7. */
#define SETUP "> SETUP 0 RESUME-ENABLE token=secret\n"
#define SUBSCRIBE "> STREAM 1 n=99 route=subscribe/a\n"

enum { STREAM_BYTES = 29, ONE_BYTES = 7 };

/* Another connection on the worker of `first`. */
static struct talk *talk_beside(struct talk *first, bool chopped)
{
    struct talk *t = calloc(1, sizeof *t);

    ck_assert_ptr_nonnull(t);
    t->chopped = chopped;
    t->host = first->host;
    t->outs.pool = &first->pool;
    t->link = (struct link){.host = &t->host, .id = 2};
    out_init(&t->link.out, &t->outs);
    t->block = block_new(TALK_BYTES);
    t->conn = rsocket_door.open(&t->link);
    ck_assert_ptr_nonnull(t->conn);
    return t;
}

/* The connection is gone; what was written may be lost. Its worker lives on. */
static void cut(struct talk *t)
{
    rsocket_door.free(t->conn);
    t->conn = NULL;
    t->link.endpoint = NULL;
    out_fini(&t->link.out);
    out_host_fini(&t->outs);
    t->kept = 0;
}

static void forget(struct talk *t)
{
    cut(t);
    block_unref(t->block);
    free(t);
}

/* The worker ends: nothing is left of anything. */
static void end(struct talk *t)
{
    struct door_room *room = t->scratch.rooms;

    if (t->conn)
        cut(t);
    if (room) {
        t->scratch.rooms = NULL;
        room->ops->free(room);
    }
    ck_assert(!fake.endpoint_open);
    ck_assert_int_eq(fake.charged, 0);
    block_pool_fini(&t->pool);
    block_unref(t->block);
    free(t);
}

/* Time passes. */
static void pass(struct talk *t, int64_t ms)
{
    fake.now_ms += ms;
    if (t->scratch.rooms && t->scratch.rooms->due_ms <= fake.now_ms)
        t->scratch.rooms->ops->on_time(t->scratch.rooms, fake.now_ms);
}

/* With what the core wants to be heard of no interest. */
static void mute(void)
{
    fake.trace[fake.trace_n = 0] = '\0';
}

static void one(const char *data)
{
    deliver(1, (struct delivered){.topic = "a", .data = {data}});
    mute();
}

static struct talk *subscribed(bool chopped)
{
    struct talk *t = talk_open(chopped);

    talk(t, SETUP SUBSCRIBE "= k1 attach filter=a credit=99\n");
    ck_assert(rsocket_door.established(t->conn));
    ck_assert(t->link.apart);
    ck_assert_ptr_eq(t->link.endpoint, &fake.endpoint);
    return t;
}

static void resume(struct talk *t, uint64_t position, uint64_t first, const char *answer)
{
    char lines[1024];

    (void)snprintf(lines, sizeof lines,
                   "> RESUME 0 major=1 token=secret position=%" PRIu64 " first=%" PRIu64 "\n%s",
                   position, first, answer);
    talk(t, lines);
}

START_TEST(goes_on_where_it_was)
{
    struct talk *t = subscribed(_i), *u;

    one("1");
    one("2");
    hear(t);
    ck_assert_str_eq(t->heard, "< PAYLOAD 1 NEXT '1'\n< PAYLOAD 1 NEXT '2'\n");
    one("3"); /* on its way when the connection is cut */
    cut(t);
    ck_assert(fake.endpoint_open);
    one("4"); /* while nobody is there */
    u = talk_beside(t, _i);
    resume(u, 14, 0, "< RESUME_OK 0 position=29\n< PAYLOAD 1 NEXT '3'\n< PAYLOAD 1 NEXT '4'\n");
    ck_assert(rsocket_door.established(u->conn));
    one("5");
    hear(u);
    ck_assert_str_eq(u->heard, "< PAYLOAD 1 NEXT '5'\n");
    talk(u, "> N 1 n=7\n= k1 grant 7\n");
    talk(u, "> KEEPALIVE 0 RESPOND position=35\n< KEEPALIVE 0 position=39\n");
    forget(u);
    end(t);
}
END_TEST

static const struct door_site managed = {.manages = true}, unmanaged = {.manages = false};

static const struct door_site *managed_site(const struct link *l)
{
    (void)l;
    return &managed;
}

static const struct door_site *unmanaged_site(const struct link *l)
{
    (void)l;
    return &unmanaged;
}

/* What a session may is what the listener of its present connection allows. */
START_TEST(manages_as_its_connection_may)
{
    struct talk *t = talk_open(false), *u;

    t->host.site = managed_site;
    talk(t, SETUP);
    ck_assert(fake.manages);
    cut(t);
    u = talk_beside(t, false);
    u->host.site = unmanaged_site;
    resume(u, 0, 0, "< RESUME_OK 0 position=0\n");
    ck_assert(!fake.manages);
    forget(u);
    u = talk_beside(t, false);
    resume(u, 0, 0, "< RESUME_OK 0 position=0\n");
    ck_assert(fake.manages);
    forget(u);
    end(t);
}
END_TEST

START_TEST(each_connection_replays_what_the_client_lacks)
{
    struct talk *t = subscribed(_i), *u;
    char want[256] = "";

    cut(t);
    for (int round = 0; round < 8; round++) { /* of 8 sent the client has got one more each time */
        char digit[2] = {(char)('0' + round), '\0'};

        one(digit);
        u = talk_beside(t, _i);
        (void)sprintf(want, "< RESUME_OK 0 position=29\n");
        for (int i = round / 2; i <= round; i++)
            (void)sprintf(strchr(want, '\0'), "< PAYLOAD 1 NEXT '%d'\n", i);
        resume(u, (uint64_t)(round / 2 * ONE_BYTES), STREAM_BYTES, want);
        forget(u);
    }
    end(t);
}
END_TEST

static const struct {
    uint64_t position, first;
    const char *why;
} impossible[] = {{15, 0, "not the end of a frame"},
                  {28, 0, "more than was sent"},
                  {0, 0, "acknowledged before"},
                  {14, 30, "the client keeps less than we lack"}};

START_TEST(cannot_go_on)
{
    struct talk *t = subscribed(false), *u;

    one("1");
    one("2");
    one("3");
    talk(t, "> KEEPALIVE 0 position=7\n< PAYLOAD 1 NEXT '1'\n< PAYLOAD 1 NEXT '2'\n"
            "< PAYLOAD 1 NEXT '3'\n");
    cut(t);
    u = talk_beside(t, false);
    resume(u, impossible[_i].position, impossible[_i].first,
           "< ERROR 0 code=0x004 'what was missed is not there'\n");
    ck_assert_msg(u->closed, "%s", impossible[_i].why);
    ck_assert_uint_eq(t->scratch.count[DOOR_COUNT_RESUME_REJECTED], 1);
    forget(u);
    u = talk_beside(t, false); /* and it is forgotten */
    resume(u, 14, 29, "< ERROR 0 code=0x004 'no such session, or not any more'\n");
    forget(u);
    pass(t, 0);
    ck_assert(!fake.endpoint_open);
    end(t);
}
END_TEST

START_TEST(bad_position_in_keepalive)
{
    static const char *const bad[] = {"8", "21", "6"};
    struct talk *t = subscribed(false);
    char lines[256];

    one("1");
    one("2");
    hear(t);
    talk(t, "> KEEPALIVE 0 position=7\n");
    (void)sprintf(lines,
                  "> KEEPALIVE 0 RESPOND position=%s\n"
                  "= k1 detach\n= endpoint closed\n"
                  "< ERROR 0 code=0x101 'a position that is not the end of a frame sent'\n",
                  bad[_i]);
    talk(t, lines);
    ck_assert(t->closed);
    end(t);
}
END_TEST

START_TEST(taken_over_from_a_connection_that_seems_open)
{
    struct talk *t = subscribed(false), *u = talk_beside(t, false);

    one("1");
    resume(u, 0, 0, "< RESUME_OK 0 position=29\n< PAYLOAD 1 NEXT '1'\n");
    ck_assert(t->closed);
    ck_assert_int_eq(t->end, LINK_ASKED);
    ck_assert_ptr_null(t->link.endpoint);
    cut(t); /* which is no news to the session */
    one("2");
    hear(u);
    ck_assert_str_eq(u->heard, "< PAYLOAD 1 NEXT '2'\n");
    forget(u);
    end(t);
}
END_TEST

START_TEST(not_for_ever)
{
    struct talk *t = subscribed(false), *u;

    cut(t);
    pass(t, 59999);
    ck_assert(fake.endpoint_open);
    pass(t, 1);
    ck_assert(!fake.endpoint_open);
    ck_assert_uint_eq(t->scratch.count[DOOR_COUNT_SESSION_EXPIRED], 1);
    u = talk_beside(t, false);
    mute();
    resume(u, 0, 0, "< ERROR 0 code=0x004 'no such session, or not any more'\n");
    forget(u);
    u = talk_beside(t, false); /* the token is free again */
    talk(u, SETUP);
    ck_assert(!u->closed);
    forget(u);
    end(t);
}
END_TEST

static const struct {
    const char *says, *hears;
} clean[] = {
    {"> ERROR 0 code=0x101 'bye'\n= endpoint closed\n", ""},
    {"> ERROR 0 code=0x102 'bye'\n= endpoint closed\n", ""},
    {"> RESUME 0 token=secret\n= endpoint closed\n", "< ERROR 0 code=0x101 'RESUME after SETUP'\n"},
};

START_TEST(a_clean_end_is_the_end)
{
    struct talk *t = talk_open(false), *u;
    char lines[256];

    (void)sprintf(lines, "> SETUP 0 RESUME-ENABLE token=secret\n%s%s", clean[_i].says,
                  clean[_i].hears);
    talk(t, lines);
    ck_assert(t->closed);
    cut(t);
    u = talk_beside(t, false);
    resume(u, 0, 0, "< ERROR 0 code=0x004 'no such session, or not any more'\n");
    forget(u);
    end(t);
}
END_TEST

/* CONNECTION_CLOSE with streams open, then the connection goes. */
START_TEST(closing_is_not_cutting)
{
    struct talk *t = subscribed(false);

    talk(t, "> ERROR 0 code=0x102 'bye'\n");
    ck_assert(!t->closed);
    cut(t);
    ck_assert(!fake.endpoint_open);
    end(t);
}
END_TEST

START_TEST(silence_ends_the_connection_only)
{
    struct talk *t = subscribed(false);

    fake.now_ms += 5000;
    (void)rsocket_door.on_time(t->conn, fake.now_ms);
    ck_assert(t->closed);
    ck_assert_int_eq(t->end, LINK_SILENT);
    hear(t);
    ck_assert_str_eq(t->heard, "");
    cut(t);
    ck_assert(fake.endpoint_open);
    pass(t, 60000);
    ck_assert(!fake.endpoint_open);
    end(t);
}
END_TEST

START_TEST(drain_ends_who_is_away)
{
    struct talk *t = subscribed(false), *u = talk_beside(t, false);

    talk(u, "> SETUP 0 RESUME-ENABLE token=other\n");
    rsocket_door.on_drain(u->conn);
    hear(u);
    ck_assert_str_eq(u->heard, "< ERROR 0 code=0x102 'draining: the broker is about to stop'\n");
    ck_assert(u->closed && u->end == LINK_DRAINED);
    cut(t);
    t->scratch.rooms->ops->on_drain(t->scratch.rooms);
    ck_assert(!fake.endpoint_open);
    forget(u);
    end(t);
}
END_TEST

static const char *const refused_setup[][2] = {
    {"> SETUP 0 RESUME-ENABLE\n", "< ERROR 0 code=0x001 'the resume token is empty'\n"},
    {SETUP, "< ERROR 0 code=0x003 'the resume token is in use'\n"},
    {"> SETUP 0 RESUME-ENABLE token=x meta=fe0000ff00\n",
     "< ERROR 0 code=0x001 'invalid: composite metadata are cut short'\n"},
    {"> SETUP 0 RESUME-ENABLE major=2 token=x\n",
     "< ERROR 0 code=0x002 'only version 1.0 is spoken here'\n"},
    {"> RESUME 0 token=y\n", "< ERROR 0 code=0x004 'no such session, or not any more'\n"},
    {"> RESUME 0\n", "< ERROR 0 code=0x004 'no such session, or not any more'\n"},
    {"> RESUME 1 token=secret\n",
     "< ERROR 0 code=0x001 'the first frame must be SETUP or RESUME, on stream 0'\n"},
};

START_TEST(setup_refused)
{
    struct talk *t = talk_open(false), *u = talk_beside(t, _i % 2);
    char lines[512];

    talk(t, SETUP);
    (void)snprintf(lines, sizeof lines, "%s> STREAM 1 n=5 route=subscribe/a\n%s",
                   refused_setup[_i / 2][0], refused_setup[_i / 2][1]);
    talk(u, lines);
    ck_assert(u->closed);
    ck_assert(!rsocket_door.established(u->conn));
    forget(u);
    end(t);
}
END_TEST

START_TEST(limits_of_tokens_and_sessions)
{
    struct talk *t = talk_open(false), *u[4];
    char lines[2048], token[1026];

    for (int i = 0; i < 4; i++) {
        u[i] = talk_beside(t, false);
        memset(token, 'a' + i, sizeof token);
        token[i == 0 ? 1025 : 1024] = '\0';
        (void)snprintf(lines, sizeof lines, "> SETUP 0 RESUME-ENABLE token=%s\n%s", token,
                       i == 0 ? "< ERROR 0 code=0x003 'the resume token has more than 1024 "
                                "bytes'\n"
                              : "");
        talk(u[i], lines);
        ck_assert_int_eq(u[i]->closed, i == 0);
    }
    talk(t, SETUP "< ERROR 0 code=0x003 'limit: no more sessions; connect without a token'\n");
    ck_assert_uint_eq(t->scratch.count[DOOR_COUNT_SESSION_LIMIT], 1);
    for (int i = 0; i < 4; i++)
        forget(u[i]);
    end(t);
}
END_TEST

START_TEST(no_sessions_without_memory_or_where_there_are_none)
{
    struct talk *t = talk_open(false), *u = talk_beside(t, false);

    fake.short_of_memory = true;
    talk(t, SETUP "< ERROR 0 code=0x003 'limit: no more sessions; connect without a token'\n");
    u->host.limits.sessions_max = 0;
    talk(u,
         SETUP "< ERROR 0 code=0x003 'sessions are not resumed here: connect without a token'\n");
    forget(u);
    end(t);
}
END_TEST

/* 4096 bytes: the client is asked from 512 on, deliveries pause at 2048 and go on below 1024. */
START_TEST(deliveries_pause_and_the_client_is_asked)
{
    struct talk *t = subscribed(false);
    char text[] = "a text of ninety-four bytes, or so it says, that is delivered again and again, "
                  "until it is full";
    int sent = 0, asked = 0;
    char lines[128];

    while (!fake.full) {
        one(text);
        sent++;
        ck_assert_int_lt(sent, 100);
        hear(t);
        asked += strstr(t->heard, "< KEEPALIVE 0 RESPOND position=29\n") != NULL;
    }
    ck_assert_int_eq(sent, (int)(2048 / (strlen(text) + 9) + 1));
    ck_assert_int_eq(asked, 1); /* it has not answered yet */
    (void)snprintf(lines, sizeof lines,
                   "> KEEPALIVE 0 position=%zu\n< KEEPALIVE 0 RESPOND position=29\n",
                   strlen(text) + 6);
    talk(t, lines); /* now again */
    ck_assert(fake.full);
    end(t);
}
END_TEST

START_TEST(answers_make_room)
{
    struct talk *t = subscribed(false);
    char data[501], lines[64];

    memset(data, 'x', 500);
    data[500] = '\0';
    for (int i = 0; i < 5; i++)
        one(data);
    ck_assert(fake.full);
    hear(t);
    (void)sprintf(lines, "> KEEPALIVE 0 position=%d\n< KEEPALIVE 0 RESPOND position=29\n", 506 * 3);
    talk(t, lines); /* 1018 are left: it may go on, and is asked on */
    ck_assert(!fake.full);
    end(t);
}
END_TEST

START_TEST(too_far_behind)
{
    struct talk *t = subscribed(false);
    char data[4097];

    memset(data, 'x', 4096);
    data[4096] = '\0';
    if (_i)
        cut(t);
    one(data); /* the last one may be of any size */
    ck_assert(fake.full);
    ck_assert(!t->closed);
    closed(1, "gone: the queue", 0); /* this is on top of it */
    ck_assert_uint_eq(t->scratch.count[DOOR_COUNT_SESSION_BYTES], 1);
    if (_i)
        pass(t, 0);
    else
        ck_assert(t->closed);
    if (!_i)
        cut(t);
    ck_assert(!fake.endpoint_open);
    end(t);
}
END_TEST

/* What was handed to no connection is not written: the core has it back if the session ends. */
START_TEST(written_is_what_was_handed_on)
{
    struct talk *t = subscribed(false), *u;

    one("1");
    ck_assert_uint_eq(fake.written, 10);
    cut(t);
    one("2");
    ck_assert_uint_eq(fake.written, 10);
    u = talk_beside(t, false);
    resume(u, 7, 0, "< RESUME_OK 0 position=29\n< PAYLOAD 1 NEXT '2'\n");
    ck_assert_uint_eq(fake.written, 20);
    forget(u);
    end(t);
}
END_TEST

/* A message in pieces, cut between them, goes on with the next. */
START_TEST(half_a_message_goes_on)
{
    struct talk *t = talk_open(_i), *u;

    talk(t, SETUP "> RR 1 FOLLOWS route=publish/a 'one '\n");
    ck_assert_int_gt(fake.charged, 0);
    cut(t);
    u = talk_beside(t, _i);
    resume(u, 0, 0, "< RESUME_OK 0 position=27\n");
    talk(u, "> PAYLOAD 1 NEXT 'two'\n= p1 opened once\n= p1 publish topic=a type=0x06 'one two'\n");
    forget(u);
    end(t);
}
END_TEST

START_TEST(fire_and_forget_counts_too)
{
    struct talk *t = talk_open(_i), *u;

    talk(t, SETUP "> FNF 1 route=publish/a 'x'\n> FNF 3 route=publish/a 'y'\n"
                  "> FNF 5 route=publish/a 'z'\n> PUSH 0 meta=6d\n> KEEPALIVE 0 RESPOND\n"
                  "= p1 opened forget\n= p1 publish topic=a type=0x06 'x'\n"
                  "= p1 publish type=0x06 'y'\n= p1 publish type=0x06 'z'\n"
                  "< KEEPALIVE 0 position=72\n");
    cut(t);
    u = talk_beside(t, _i);
    resume(u, 0, 60, "< RESUME_OK 0 position=72\n");
    forget(u);
    end(t);
}
END_TEST

static enum door_match home(const uint8_t *p, size_t n, struct slice *ret)
{
    return rsocket_door.home(slice_of(p, n), ret);
}

START_TEST(belongs_to_its_token)
{
    static const struct {
        const char *line;
        bool yes;
    } rows[] = {{SETUP, true},
                {"> RESUME 0 token=secret\n", true},
                {"> SETUP 0\n", false},
                {"> RR 1 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'\n", false},
                {"> SETUP 0 RESUME-ENABLE\n", false},
                {"> RESUME 4 token=secret\n", false}};
    struct talk *t = talk_open(false);
    uint8_t in[256];

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *line = strndup(rows[i].line + 2, strlen(rows[i].line) - 3);
        size_t n = (size_t)(say(t, in, line) - in);
        enum door_match was = DOOR_MORE;
        struct slice token = {NULL, 0};

        for (size_t some = 1; some <= n; some++) {
            enum door_match is = home(in, some, &token);

            ck_assert(was == DOOR_MORE || is == was);
            was = is;
        }
        ck_assert_int_eq(was, rows[i].yes ? DOOR_YES : DOOR_NO);
        if (rows[i].yes)
            ck_assert(slice_eq(token, SLICE("secret")));
        free(line);
    }
    end(t);
}
END_TEST

/* A length of the token that its frame has no room for: no home, and an error. */
START_TEST(a_token_cut_short)
{
    static const char *const bad[] = {
        "00000a00000000340000010000",                         /* RESUME that ends before it */
        "00001a0000000034000001000000ff74310000000000000000", /* longer than the frame */
        "000015000000003400000100000001740000000000000010",   /* one position only: it would be home
                                                               */
        "0000140000000004800001000000000001000000010000",     /* SETUP with none */
        "0000170000000004800001000000000001000000010009616263", /* longer than the frame */
    };
    struct talk *t = talk_open(false);
    uint8_t bytes[64];
    struct slice token;
    size_t n = from_hex(bad[_i], bytes);

    ck_assert_int_eq(home(bytes, n, &token), _i == 2 ? DOOR_YES : DOOR_NO);
    bytes[n] = bytes[n + 1] = bytes[n + 2] = 0;
    feed(t, bytes, RS_TCP_LENGTH + be_get_24(bytes));
    hear(t);
    ck_assert_msg(strstr(t->heard, "< ERROR 0 code=0x001") == t->heard, "%s", t->heard);
    ck_assert(t->closed);
    end(t);
}
END_TEST

/* ---- leases: 4 requests for 10 s */

#define LEASED "> SETUP 0 LEASE\n"
#define FIRST "< LEASE 0 n=10000 count=4\n"
#define PING(id) "> RR " id " route=admin/ping\n= barrier " id "\n"
#define BEYOND(id) "< ERROR " id " code=0x202 'limit: the request is beyond the lease'\n"

START_TEST(each_request_uses_one)
{
    struct talk *t = talk_open(false);

    talk(
        t,
        LEASED PING("1") PING("3") "> RR 5 FOLLOWS route=admin/ping\n" PING(
            "7") "> RR 9 route=admin/ping\n> FNF 11 route=publish/a 'x'\n"
                 "> STREAM 13 n=1 route=subscribe/a\n> CHANNEL 15 n=1 route=publish/a\n> CANCEL 1\n"
                 "> CANCEL 3\n> CANCEL 5\n> CANCEL 7\n" FIRST BEYOND("9") BEYOND("13") BEYOND("15")
                     FIRST);
    ck_assert_uint_eq(t->scratch.count[DOOR_COUNT_LEASE], 4);
    talk(t, "> FNF 17 route=publish/a 'x'\n> FNF 19 route=publish/a 'y'\n"
            "= p1 opened forget\n= p1 publish topic=a type=0x06 'x'\n"
            "= p1 publish topic=a type=0x06 'y'\n" FIRST); /* half of it is gone */
    talk_end(t);
}
END_TEST

START_TEST(an_id_in_use_uses_none)
{
    struct talk *t = talk_open(false);

    talk(t, LEASED PING("1") "> RR 1 route=admin/ping\n> RR 1 route=admin/ping\n"
                             "> RR 1 route=admin/ping\n> RR 1 route=admin/ping\n" FIRST);
    talk_end(t);
}
END_TEST

START_TEST(renewed_in_time)
{
    struct talk *t = talk_open(false);
    int64_t due;

    talk(t, "> SETUP 0 LEASE lifetime=100000\n" FIRST);
    due = rsocket_door.on_time(t->conn, fake.now_ms);
    ck_assert_int_le(due, 5000);
    fake.now_ms = 4999;
    (void)rsocket_door.on_time(t->conn, fake.now_ms);
    hear(t);
    ck_assert_str_eq(t->heard, "");
    fake.now_ms = 5000;
    (void)rsocket_door.on_time(t->conn, fake.now_ms);
    hear(t);
    ck_assert_str_eq(t->heard, FIRST);
    /* what was left of the old one may be under way: 4 of each */
    talk(t, PING("1") PING("3") PING("5")
                PING("7") "> CANCEL 1\n> CANCEL 3\n> CANCEL 5\n"
                          "> CANCEL 7\n" PING("9") PING("11") PING("13")
                              PING("15") "> RR 17 route=admin/ping\n" BEYOND("17") FIRST);
    fake.now_ms = 15001; /* nobody renewed it */
    talk(t, "> RR 19 route=admin/ping\n" BEYOND("19") FIRST);
    talk_end(t);
}
END_TEST

static bool *const loads[] = {&fake.short_of_memory, &fake.behind};

START_TEST(load_takes_it_back)
{
    struct talk *t = talk_open(false);

    talk(t, LEASED FIRST);
    *loads[_i] = true;
    talk(t, PING("1") "< LEASE 0 n=10000 count=0\n");
    talk(t, "> RR 3 route=admin/ping\n" BEYOND("3"));
    ck_assert_int_le(rsocket_door.on_time(t->conn, fake.now_ms), fake.now_ms + 500);
    *loads[_i] = false;
    (void)rsocket_door.on_time(t->conn, fake.now_ms);
    hear(t);
    ck_assert_str_eq(t->heard, FIRST);
    talk(t, PING("5"));
    rsocket_door.on_drain(t->conn);
    hear(t);
    ck_assert_str_eq(t->heard, "< LEASE 0 n=10000 count=0\n"
                               "< ERROR 0 code=0x102 'draining: the broker is about to stop'\n");
    talk_end(t);
}
END_TEST

START_TEST(not_asked_for_not_sent)
{
    struct talk *t = talk_setup(false);

    fake.short_of_memory = true;
    talk(t, "> LEASE 0 n=1 count=0\n" PING("1"));
    talk_end(t);
}
END_TEST

START_TEST(a_new_connection_has_a_new_lease)
{
    struct talk *t = talk_open(false), *u;

    talk(t, "> SETUP 0 LEASE RESUME-ENABLE token=secret\n" FIRST);
    talk(t, PING("1"));
    cut(t);
    u = talk_beside(t, false);
    resume(u, 0, 0, "< RESUME_OK 0 position=24\n" FIRST);
    talk(u, PING("3"));
    forget(u);
    end(t);
}
END_TEST

START_TEST(the_clients_lease_binds_us)
{
    struct talk *t = talk_open(false), *u;
    struct peer *c = (struct peer *)(void *)t->conn;

    ck_assert(lease_may_request(c));
    talk(t, LEASED FIRST);
    ck_assert(!lease_may_request(c));
    talk(t, "> LEASE 0 n=100 count=2\n");
    ck_assert(lease_may_request(c));
    lease_used(c);
    ck_assert(lease_may_request(c));
    lease_used(c);
    ck_assert(!lease_may_request(c));
    lease_used(c);
    talk(t, "> LEASE 0 n=100 count=9\n> LEASE 0 n=100 count=1\n"); /* the newest counts */
    lease_used(c);
    ck_assert(!lease_may_request(c));
    talk(t, "> LEASE 0 n=100 count=9\n");
    fake.now_ms += 100;
    ck_assert(!lease_may_request(c));
    talk(t, "> LEASE 0 n=100 count=9\n> LEASE 0 n=0 count=9\n");
    ck_assert(!lease_may_request(c));
    talk_end(t);
    u = talk_setup(false);
    ck_assert(lease_may_request((struct peer *)(void *)u->conn));
    talk_end(u);
}
END_TEST

START_TEST(a_lease_cut_short)
{
    struct talk *t = talk_open(false);
    uint8_t bytes[16];

    talk(t, LEASED FIRST);
    feed(t, bytes, from_hex("00000a0000000008000000000a", bytes));
    hear(t);
    ck_assert_msg(strstr(t->heard, "< ERROR 0 code=0x101") == t->heard, "%s", t->heard);
    talk_end(t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rsocket: sessions and leases");
    TCase *tc = tcase_create("sessions"), *lease = tcase_create("leases");
    SRunner *runner;
    int failures;

    log_setup(LEVEL_ERROR, LOG_FORMAT_PLAIN);
    tcase_add_loop_test(tc, goes_on_where_it_was, 0, 2);
    tcase_add_test(tc, manages_as_its_connection_may);
    tcase_add_loop_test(tc, each_connection_replays_what_the_client_lacks, 0, 2);
    tcase_add_loop_test(tc, cannot_go_on, 0, 4);
    tcase_add_loop_test(tc, bad_position_in_keepalive, 0, 3);
    tcase_add_test(tc, taken_over_from_a_connection_that_seems_open);
    tcase_add_test(tc, not_for_ever);
    tcase_add_loop_test(tc, a_clean_end_is_the_end, 0, 3);
    tcase_add_test(tc, closing_is_not_cutting);
    tcase_add_test(tc, silence_ends_the_connection_only);
    tcase_add_test(tc, drain_ends_who_is_away);
    tcase_add_loop_test(tc, setup_refused, 0, 2 * sizeof refused_setup / sizeof refused_setup[0]);
    tcase_add_test(tc, limits_of_tokens_and_sessions);
    tcase_add_test(tc, no_sessions_without_memory_or_where_there_are_none);
    tcase_add_test(tc, deliveries_pause_and_the_client_is_asked);
    tcase_add_test(tc, answers_make_room);
    tcase_add_loop_test(tc, too_far_behind, 0, 2);
    tcase_add_test(tc, written_is_what_was_handed_on);
    tcase_add_loop_test(tc, half_a_message_goes_on, 0, 2);
    tcase_add_loop_test(tc, fire_and_forget_counts_too, 0, 2);
    tcase_add_test(tc, belongs_to_its_token);
    tcase_add_loop_test(tc, a_token_cut_short, 0, 5);
    suite_add_tcase(suite, tc);
    tcase_add_test(lease, each_request_uses_one);
    tcase_add_test(lease, an_id_in_use_uses_none);
    tcase_add_test(lease, renewed_in_time);
    tcase_add_loop_test(lease, load_takes_it_back, 0, 2);
    tcase_add_test(lease, not_asked_for_not_sent);
    tcase_add_test(lease, a_new_connection_has_a_new_lease);
    tcase_add_test(lease, the_clients_lease_binds_us);
    tcase_add_test(lease, a_lease_cut_short);
    suite_add_tcase(suite, lease);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
