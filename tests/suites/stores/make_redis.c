/* make_redis.c - the shared make on a Redis of the test's own, two nodes, two event bases. They
 * have the rights that docs/stores-redis.md says are enough, and no others. */
#include "brokerd/store/redis/redis.h"
#include "tests/suites/stores/suite.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEAD_MS = 1500, TURN_US = 2000, START_TRIES = 1000 };

struct own {
    struct event_base *base[NODES];
    struct redis_store *store[NODES];
    struct redis_url url;
    pid_t pid;
    uint16_t port;
    uint64_t lives;
};

/* As in docs/stores-redis.md. */
static const char *const rights[] = {
    "--user",
    "brokerd",
    "on",
    ">secret",
    "resetchannels",
    "~brokerd:*",
    "&brokerd:*",
    "-@all",
    "+auth",
    "+select",
    "+ping",
    "+role",
    "+wait",
    "+asking",
    "+readonly",
    "+client|setname",
    "+cluster|slots",
    "+cluster|shards",
    "+function|load",
    "+fcall",
    "+fcall_ro",
    "+subscribe",
    "+unsubscribe",
    "+publish",
    "+time",
    "+exists",
    "+unlink",
    "+memory|usage",
    "+info",
    "+hget",
    "+hset",
    "+hmget",
    "+hdel",
    "+hscan",
    "+hincrby",
    "+zadd",
    "+zrem",
    "+zrange",
    "+zrangebyscore",
    "+zremrangebyscore",
    "+zscore",
    "+xadd",
    "+xack",
    "+xdel",
    "+xtrim",
    "+xrange",
    "+xclaim",
    "+xpending",
    "+xreadgroup",
    "+xgroup",
    "+xsetid",
    "+xinfo|groups",
    "+xinfo|consumers",
};

static int64_t steady_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, n), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static pid_t spawn(uint16_t port)
{
    pid_t pid = fork();
    char text[16];
    const char *argv[ARRAY_LEN(rights) + 16] = {
        "redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", text,
    };
    size_t n = 9;

    if (pid)
        return pid;
    (void)snprintf(text, sizeof text, "%u", port);
    for (size_t i = 0; i < ARRAY_LEN(rights); i++)
        argv[n++] = rights[i];
    if (freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr))
        execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static void wait_for(uint16_t port)
{
    for (int i = 0; i < START_TRIES; i++) {
        redisContext *c = redisConnect("127.0.0.1", port);
        bool is_there = c && !c->err;

        redisFree(c);
        if (is_there)
            return;
        usleep(10000);
    }
    ck_abort_msg("redis-server does not answer");
}

static void begin(struct world *w)
{
    struct own *p = calloc(1, sizeof *p);
    uint16_t port = free_port();
    char text[64], err[REDIS_URL_ERROR_MAX];

    w->own = p;
    p->port = port;
    p->pid = spawn(port);
    ck_assert_int_gt(p->pid, 0);
    wait_for(port);
    (void)snprintf(text, sizeof text, "redis://brokerd:secret@127.0.0.1:%u", port);
    ck_assert_int_eq(redis_url_parse(slice_str(text), &p->url, err, sizeof err), 0);
}

static void start(struct world *w)
{
    struct own *p = w->own;

    for (unsigned i = 0; i < NODES; i++) {
        struct redis_store_options o = {
            .core = (struct core *)&w->node[i],
            .answer = suite_answer,
            .url = &p->url,
            .node = i ? "b" : "a",
            .dead_ms = DEAD_MS,
            .seed = w->random.seed + ++p->lives,
        };
        char err[REDIS_ERROR_MAX];
        int r;

        p->base[i] = o.base = event_base_new();
        r = redis_store_new(&o, &p->store[i], err, sizeof err);
        ck_assert_msg(r == 0, "redis_store_new: %s", err);
        w->node[i].store = redis_store_table(p->store[i]);
    }
}

static void turn(struct world *w)
{
    struct own *p = w->own;
    const struct timeval most = {.tv_usec = TURN_US};

    for (unsigned i = 0; i < NODES; i++) {
        if (!w->node[i].store)
            continue;
        redis_store_run(p->store[i], steady_ms(), wall_ms());
        w->node[i].store->ops->flush(w->node[i].store);
        event_base_loopexit(p->base[i], &most);
        event_base_loop(p->base[i], EVLOOP_ONCE);
    }
}

static void drop(struct world *w, unsigned i)
{
    struct own *p = w->own;

    redis_store_free(p->store[i]);
    event_base_free(p->base[i]);
    p->store[i] = NULL;
    p->base[i] = NULL;
    w->node[i].store = NULL;
}

static void stop(struct world *w)
{
    struct own *p = w->own;
    bool all = false;

    for (unsigned i = 0; i < NODES; i++)
        if (w->node[i].store)
            redis_store_stop(p->store[i]);
    while (!all) {
        turn(w);
        all = true;
        for (unsigned i = 0; i < NODES; i++)
            all = all && (!w->node[i].store || redis_store_stopped(p->store[i]));
    }
    for (unsigned i = 0; i < NODES; i++)
        if (w->node[i].store)
            drop(w, i);
}

static void end(struct world *w)
{
    struct own *p = w->own;

    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    free(p);
}

static void say(redisContext *c, redisReply *r)
{
    ck_assert_msg(r && r->type != REDIS_REPLY_ERROR, "%s", r ? r->str : c->errstr);
    freeReplyObject(r);
}

static unsigned spoil(struct world *w, const char *queue)
{
    static const struct slice fields[] = {
        SLICE("foo"),
        SLICE("- 9999999999999 2 0 0 0 0 "),          /* without a topic */
        SLICE("- 9999999999999 2 0 3 0 3 a/b\1\1\1"), /* with broken headers */
        SLICE("- 9999999999999 2 0 60000 0 0 a"),     /* shorter than it says */
        SLICE("99999999999999999999 1 2 0 3 0 0 a/b"),
        SLICE("- 9999999999999 2 0 3 0 0 a b"), /* nobody's topic */
        SLICE("- 9999999999999 2 0 2 0 0 \377\376"),
        SLICE("- 9999999999999 2 129 1 0 0 a"), /* nobody's type */
        SLICE("- 9999999999999 2 0 1 0 4 a\0\0\0\0"),
    };
    static const char *const back[] = {"junk", "00000000000000000001-x", "1-1",
                                       "99999999999999999999-1"};
    const struct own *p = w->own;
    redisContext *c = redisConnect("127.0.0.1", p->port);

    ck_assert(c && !c->err);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        say(c, redisCommand(c, "XADD brokerd:{%s}:s * %b x", queue, fields[i].p, fields[i].n));
    for (size_t i = 0; i < ARRAY_LEN(back); i++)
        say(c, redisCommand(c, "ZADD brokerd:{%s}:b 0 %s", queue, back[i]));
    say(c, redisCommand(c, "HSET brokerd:{%s}:a %s junk", queue, back[0]));
    /* As ours, but for its number; and the highest there is. */
    say(c, redisCommand(c, "XADD brokerd:{%s}:s 18446744073709551615-%u %s x", queue, 1,
                        "- 9999999999999 2 0 1 0 0 a"));
    redisFree(c);
    return ARRAY_LEN(fields) + 1;
}

const struct make make_redis = {
    .name = "redis",
    .shared = true,
    .nodes = NODES,
    .begin = begin,
    .start = start,
    .turn = turn,
    .stop = stop,
    .die = drop,
    .spoil = spoil,
    .end = end,
};
