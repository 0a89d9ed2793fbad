/* A link against a Redis that is ours: it answers, or does not, as each test says. The clock is the
 * test's, too, so nothing waits but for bytes of the loopback. */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "brokerd/store/redis/link.h"
#include "tests/unit/support.h"

enum { STEPS_MAX = 2000 };

/* What the server says to a command, given its words; NULL: nothing, "": it closes. */
typedef const char *script_fn(const redisReply *cmd);

static struct {
    struct event_base *base;
    int listener, fd; /* fd -1: nobody is connected */
    redisReader *reader;
    script_fn *script;
    char heard[4096]; /* what was said to it: the second words of SETs */
    unsigned connections;
    struct link *link;
    int64_t now;
    char answers[8192];
    uint64_t via;
    unsigned n, rooms, ups, downs, marks;
} t;

/* -------------------------------------------------------------------------------------- the server
 */

static void hang_up(void)
{
    if (t.fd < 0)
        return;
    close(t.fd);
    redisReaderFree(t.reader);
    t.fd = -1;
}

static bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

static void serve_command(const redisReply *cmd)
{
    const char *text = t.script(cmd);

    ck_assert_int_eq(cmd->type, REDIS_REPLY_ARRAY);
    if (strcmp(cmd->element[0]->str, "SET") == 0 && text && *text == '+') {
        strcat(t.heard, cmd->element[1]->str);
        strcat(t.heard, " ");
    }
    if (!text)
        return;
    if (!*text)
        hang_up();
    else
        ck_assert_int_eq(write(t.fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void serve(void)
{
    const int on = 1;
    char buf[65536];
    void *cmd = NULL;
    ssize_t n;

    if (t.fd < 0 && readable(t.listener)) {
        t.fd = accept(t.listener, NULL, NULL);
        ck_assert_int_eq(setsockopt(t.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
        t.reader = redisReaderCreate();
        t.connections++;
    }
    if (t.fd < 0 || !readable(t.fd))
        return;
    n = read(t.fd, buf, sizeof buf);
    if (n <= 0) {
        hang_up();
        return;
    }
    redisReaderFeed(t.reader, buf, (size_t)n);
    while (t.fd >= 0 && redisReaderGetReply(t.reader, &cmd) == REDIS_OK && cmd) {
        serve_command(cmd);
        freeReplyObject(cmd);
    }
}

/* ---------------------------------------------------------------------------------------- the link
 */

static void on_answer(void *ctx, const struct link_answer *a)
{
    char line[160];

    (void)snprintf(line, sizeof line, "%s %s;", (const char *)ctx,
                   a->outcome == LINK_REPLIED  ? a->reply->str
                   : a->outcome == LINK_UNSENT ? "unsent"
                                               : "unknown");
    strcat(t.answers, line);
    t.via = a->via;
    t.n++;
}

static void on_ready(void *ctx)
{
    (void)ctx;
    t.marks++;
}

static void on_state(void *ctx, bool up, const char *text)
{
    (void)ctx;
    (void)text;
    *(up ? &t.ups : &t.downs) += 1;
}

static void on_room(void *ctx)
{
    (void)ctx;
    t.rooms++;
}

static const char *on_prepared(void *ctx, unsigned i, const redisReply *reply)
{
    (void)ctx;
    (void)i;
    return reply->type == REDIS_REPLY_ERROR ? "no library" : NULL;
}

static void begin(script_fn *script, uint64_t commands_max)
{
    static const struct slice load[] = {SLICE("LOAD")};
    static const struct link_command prepare = {load, 1, 0};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    struct redis_url url;
    char text[64], err[256];
    struct link_options o = {.url = &url,
                             .prepare = &prepare,
                             .prepare_n = 1,
                             .prepared = on_prepared,
                             .commands_max = commands_max,
                             .ready = on_ready,
                             .state = on_state,
                             .room = on_room};

    memset(&t, 0, sizeof t);
    signal(SIGPIPE, SIG_IGN);
    t.fd = -1;
    t.now = 1000000;
    t.script = script;
    t.base = o.base = event_base_new();
    t.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(t.listener, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(t.listener, 8), 0);
    ck_assert_int_eq(getsockname(t.listener, (struct sockaddr *)&at, &n), 0);
    (void)snprintf(text, sizeof text, "redis://127.0.0.1:%u", ntohs(at.sin_port));
    ck_assert_int_eq(redis_url_parse(slice_str(text), &url, err, sizeof err), 0);
    ck_assert_int_eq(link_new(&o, &t.link, err, sizeof err), 0);
}

static void end(void)
{
    link_free(t.link);
    hang_up();
    close(t.listener);
    event_base_free(t.base);
}

static void step(void)
{
    link_run(t.link, t.now);
    link_flush(t.link);
    serve();
}

/* Nothing has come for some milliseconds: what was written has arrived, and led to nothing. */
static bool is_quiet(void)
{
    struct timeval wait = {0, 5000};

    t.marks = 0;
    event_base_loopexit(t.base, &wait);
    event_base_loop(t.base, EVLOOP_ONCE);
    return t.marks == 0 && !readable(t.listener) && (t.fd < 0 || !readable(t.fd));
}

/* Turns; when all is quiet, the clock goes on to when something is due. */
static void run_until(const unsigned *what, unsigned n)
{
    for (int i = 0; *what < n; i++) {
        ck_assert_msg(i < STEPS_MAX, "nothing comes of it; answers: %s", t.answers);
        step();
        if (*what < n && is_quiet() && link_due(t.link) > t.now && link_due(t.link) != INT64_MAX)
            t.now = link_due(t.link);
    }
}

static int send_set(const char *key)
{
    const struct slice args[] = {SLICE("SET"), slice_str(key), SLICE("1")};
    const struct link_command cmd = {args, 3, 7};

    return link_send(t.link, &cmd, on_answer, (void *)(uintptr_t)key);
}

static void send_three(void)
{
    ck_assert_int_eq(send_set("a"), 0);
    ck_assert_int_eq(send_set("b"), 0);
    ck_assert_int_eq(send_set("c"), 0);
}

static bool is(const redisReply *cmd, unsigned i, const char *word)
{
    return i < cmd->elements && strcmp(cmd->element[i]->str, word) == 0;
}

/* ------------------------------------------------------------------------------------------- tests
 */

static const char *well(const redisReply *cmd)
{
    (void)cmd;
    return "+OK\r\n";
}

START_TEST(in_order)
{
    begin(well, 0);
    send_three(); /* before the clock is known, and anybody connected */
    run_until(&t.n, 3);
    ck_assert_str_eq(t.answers, "a OK;b OK;c OK;");
    ck_assert_str_eq(t.heard, "a b c ");
    ck_assert_uint_eq(t.via, 1);
    ck_assert(link_is_up(t.link));
    ck_assert_uint_eq(link_counts(t.link).in_flight, 0);
    ck_assert_uint_eq(link_counts(t.link).bytes, 0);
    end();
}
END_TEST

static const char *const refusals[] = {
    "-LOADING Redis is loading\r\n", "-TRYAGAIN later\r\n",     "-CLUSTERDOWN it is\r\n",
    "-NOREPLICAS none\r\n",          "-BUSY with a script\r\n", "-READONLY You\r\n",
    "-MASTERDOWN link\r\n",
};
static const char *refusal;
static int refused;

static const char *refuses_at_first(const redisReply *cmd)
{
    return is(cmd, 0, "SET") && refused++ < 9 ? refusal : "+OK\r\n";
}

START_TEST(turned_away_keeps_order)
{
    int64_t from;

    refusal = refusals[_i];
    refused = 0;
    begin(refuses_at_first, 0);
    from = t.now;
    send_three();
    run_until(&t.n, 3);
    ck_assert_str_eq(t.answers, "a OK;b OK;c OK;");
    ck_assert_str_eq(t.heard, "a b c ");
    ck_assert_uint_eq(link_counts(t.link).retried, 9);
    ck_assert_int_ge(t.now - from, 7 * 10); /* three at once, then six times one, with waits */
    ck_assert_uint_eq(t.connections, 1);
    end();
}
END_TEST

static const char *refuses_always(const redisReply *cmd)
{
    return is(cmd, 0, "SET") ? "-LOADING\r\n" : "+OK\r\n";
}

START_TEST(turned_away_for_too_long)
{
    int64_t from;

    begin(refuses_always, 0);
    from = t.now;
    send_three();
    run_until(&t.n, 3);
    ck_assert_str_eq(t.answers, "a unsent;b unsent;c unsent;");
    ck_assert_str_eq(t.heard, "");
    ck_assert_int_ge(t.now - from, 9000);
    ck_assert_int_le(t.now - from, 11000);
    end();
}
END_TEST

static const char *closes_at_b(const redisReply *cmd)
{
    return is(cmd, 1, "b") && t.connections == 1 ? "" : "+OK\r\n";
}

START_TEST(lost_is_unknown)
{
    begin(closes_at_b, 0);
    send_three();
    run_until(&t.downs, 1);
    ck_assert_str_eq(t.answers, "a OK;b unknown;c unknown;");
    ck_assert_int_eq(send_set("d"),
                     0); /* it is for the next connection, which has another number */
    run_until(&t.n, 4);
    ck_assert_str_eq(t.heard, "a d ");
    ck_assert_uint_eq(t.via, 2);
    ck_assert_uint_eq(t.ups, 2);
    end();
}
END_TEST

static const char *silent_at_b(const redisReply *cmd)
{
    return is(cmd, 1, "b") && t.connections == 1 ? NULL : "+OK\r\n";
}

START_TEST(silent_is_unknown)
{
    int64_t from;

    begin(silent_at_b, 0);
    from = t.now;
    ck_assert_int_eq(send_set("b"), 0);
    run_until(&t.n, 1);
    ck_assert_str_eq(t.answers, "b unknown;");
    ck_assert_int_ge(t.now - from, 2000);
    ck_assert_int_le(t.now - from, 2100);
    ck_assert_uint_eq(link_counts(t.link).timeouts, 1);
    end();
}
END_TEST

static const char *says_nonsense(const redisReply *cmd)
{
    return is(cmd, 1, "b") && t.connections == 1 ? "*2147483647\r\n" : "+OK\r\n";
}

START_TEST(nonsense_is_unknown)
{
    begin(says_nonsense, 0);
    ck_assert_int_eq(send_set("b"), 0);
    run_until(&t.n, 1);
    ck_assert_str_eq(t.answers, "b unknown;");
    ck_assert_uint_eq(link_counts(t.link).malformed, 1);
    ck_assert_int_eq(send_set("c"), 0);
    run_until(&t.n, 2);
    ck_assert_str_eq(t.heard, "c ");
    end();
}
END_TEST

static const char *says_too_much(const redisReply *cmd)
{
    return is(cmd, 1, "b") && t.connections == 1 ? "+OK\r\n+OK\r\n" : "+OK\r\n";
}

START_TEST(unasked_ends_it)
{
    begin(says_too_much, 0);
    ck_assert_int_eq(send_set("b"), 0);
    run_until(&t.downs, 1);
    ck_assert_str_eq(t.answers, "b OK;");
    ck_assert_uint_eq(link_counts(t.link).malformed, 1);
    end();
}
END_TEST

static const char *has_no_library(const redisReply *cmd)
{
    return is(cmd, 0, "LOAD") && t.connections < 3 ? "-ERR no\r\n" : "+OK\r\n";
}

START_TEST(prepared_first)
{
    begin(has_no_library, 0);
    ck_assert_int_eq(send_set("a"), 0);
    run_until(&t.n, 1);
    ck_assert_str_eq(t.answers, "a OK;");
    ck_assert_uint_eq(t.connections, 3);
    ck_assert_uint_eq(t.ups, 1);
    ck_assert_uint_eq(t.downs, 0);
    end();
}
END_TEST

START_TEST(room_for_so_many)
{
    unsigned n = 0;

    begin(well, 16);
    while (send_set("a") == 0)
        n++;
    ck_assert_uint_eq(n, 4); /* of one slot */
    ck_assert_int_eq(send_set("a"), -EAGAIN);
    ck_assert_uint_eq(link_counts(t.link).refused, 2);
    run_until(&t.rooms, 1);
    ck_assert_int_eq(send_set("a"), 0);
    end();
}
END_TEST

START_TEST(bad_commands)
{
    const struct slice args[] = {SLICE("PING")};
    const struct link_command none = {args, 0, 0}, nowhere = {args, 1, LINK_SLOTS};

    begin(well, 0);
    ck_assert_int_eq(link_send(t.link, &none, on_answer, NULL), -EINVAL);
    ck_assert_int_eq(link_send(t.link, &nowhere, on_answer, NULL), -EINVAL);
    end();
}
END_TEST

/* A single Redis that is a Cluster's: it must be said, not tried for ever. */
static const char *moved(const redisReply *cmd)
{
    return is(cmd, 0, "SET") ? "-MOVED 7 127.0.0.1:1\r\n" : "+OK\r\n";
}

START_TEST(moved_without_cluster)
{
    begin(moved, 0);
    ck_assert_int_eq(send_set("a"), 0);
    run_until(&t.n, 1);
    ck_assert_str_eq(t.answers, "a MOVED 7 127.0.0.1:1;");
    end();
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("redis_link");
    Suite *s = suite_create("redis_link");

    tcase_add_test(tc, in_order);
    tcase_add_loop_test(tc, turned_away_keeps_order, 0, ARRAY_LEN(refusals));
    tcase_add_test(tc, turned_away_for_too_long);
    tcase_add_test(tc, lost_is_unknown);
    tcase_add_test(tc, silent_is_unknown);
    tcase_add_test(tc, nonsense_is_unknown);
    tcase_add_test(tc, unasked_ends_it);
    tcase_add_test(tc, prepared_first);
    tcase_add_test(tc, room_for_so_many);
    tcase_add_test(tc, bad_commands);
    tcase_add_test(tc, moved_without_cluster);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
