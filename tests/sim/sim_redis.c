/* sim_redis.c - the shared model of a store and the one in Redis, side by side, two nodes each:
 *               pair.h.
 *
 * What     A redis-server of the test's own, by the real link, on real event loops. Its clock is
 *          where the test puts it (tests/fault/clock.c), and so are the nodes'. One node has a
 *          turn after the other: all it said is answered before the next does anything, and what
 *          Redis tells others meanwhile is there when they begin (a PING of the test's own came
 *          back behind it). So a seed replays.
 *          By contract different from an exclusive store, and so the model's shared variant is:
 *          - the store numbers, limits and judges expiry: by the policy of whoever puts;
 *          - what was put in one turn is refused from the first on that finds no room;
 *          - those that came back are fetched apart from new ones, and before them; when there is
 *            no room they go first, by when they are due;
 *          - what was retained is no more; nothing is replayed.
 *          Not compared, for nothing says how it must be:
 *          - what falls into one second: clocks move in whole ones, what is due has 1 ms more;
 *          - which of several nodes finds room, or a message, first: one publisher's node for a
 *            queue that blocks, one consumer; which counts what has expired: counters are summed;
 *            which makes a letter of that, and when: a queue with letters has no time to live;
 *          - what becomes of puts that wait for room when the policy changes or a broker stops:
 *            then it does not;
 *          - the ten seconds in which a dead node may be alive: nobody does anything.
 * Usage    run.h; SIM_TALK=1 tells what was told. */
#include "brokerd/store/memory/memory.h"
#include "brokerd/store/redis/internal.h"
#define verdict redis_verdict /* the core has another */
#include "brokerd/store/redis/parts.h"
#undef verdict
#include "tests/sim/pair.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_US = 50000, START_TRIES = 1000, UNIT_MS = 1000 };

static struct memory_shelf *shelf;

/* One for all runs. */
static struct server {
    pid_t pid;
    uint16_t port;
    volatile int64_t *clock;
    redisContext *own;
    struct redis_url url;
    uint64_t lives;
} server;

static unsigned index_of(const struct broker *b)
{
    const struct side *s = b->test;

    return (unsigned)(b - s->node);
}

/* --------------------------------------------------------------------------------- the model */

static void memory_start(struct broker *b)
{
    struct memory_options o = {
        .shelf = shelf, .core = b->w.core[0], .answer = core_stored, .node = index_of(b)};

    b->store[0] = memory_store_new(&o);
}

static bool memory_answer(struct broker *b, unsigned core)
{
    memory_shelf_clock(shelf, b->w.now);
    return memory_store_answer(b->store[core]) > 0;
}

static bool memory_idle(struct broker *b)
{
    return memory_store_idle(b->store[0]);
}

static void memory_stop(struct broker *b)
{
    (void)b;
}

static void memory_dies(struct broker *b)
{
    memory_store_kill(b->store[0]);
}

static void memory_end(struct broker *b)
{
    memory_store_free(b->store[0]);
}

static const struct bench bench_memory = {
    .name = "memory",
    .level = DURABLE_REDIS,
    .start = memory_start,
    .answer = memory_answer,
    .idle = memory_idle,
    .stop = memory_stop,
    .kill = memory_dies,
    .end = memory_end,
};

/* --------------------------------------------------------------------------------- the server */

static uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    must(fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0 &&
             getsockname(fd, (struct sockaddr *)&at, &n) == 0,
         "no free port");
    close(fd);
    return ntohs(at.sin_port);
}

/* Of the clock, built beside this program's folder. */
static void preload_path(char *ret, size_t size)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    must(n > 0, "where this program is");
    self[n] = '\0';
    (void)snprintf(ret, size, "%s/../fault/clock.so", dirname(self));
    must(access(ret, R_OK) == 0, "%s is not built", ret);
}

static void become_server(int clock_fd)
{
    char path[PATH_MAX + 32], file[64], port[16];

    preload_path(path, sizeof path);
    (void)snprintf(file, sizeof file, "/proc/self/fd/%d", clock_fd);
    (void)snprintf(port, sizeof port, "%u", server.port);
    (void)setenv("LD_PRELOAD", path, 1);
    (void)setenv("CLOCK_FILE", file, 1);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr))
        execlp("redis-server", "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "",
               "--appendonly", "no", "--jemalloc-bg-thread", "no",
               (char *)NULL); /* it would spin */
    _exit(127);
}

static void connect_server(void)
{
    for (int i = 0; i < START_TRIES; i++) {
        redisFree(server.own);
        server.own = redisConnect("127.0.0.1", server.port);
        if (server.own && !server.own->err)
            return;
        must(waitpid(server.pid, NULL, WNOHANG) == 0, "redis-server does not start");
        usleep(10000);
    }
    fail("redis-server does not answer");
}

/* Send it a command and wait for the answer. */
static void tell_server(const char *command)
{
    redisReply *r = redisCommand(server.own, command);

    must(r && r->type == REDIS_REPLY_STATUS, "%s: %s", command, r ? r->str : server.own->errstr);
    freeReplyObject(r);
}

static void start_server(void)
{
    char text[64], err[REDIS_URL_ERROR_MAX];
    int fd = memfd_create("clock", 0);

    must(fd >= 0 && ftruncate(fd, sizeof *server.clock) == 0, "no place for the clock");
    server.clock = mmap(NULL, sizeof *server.clock, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(server.clock != MAP_FAILED, "no memory for the clock");
    server.port = free_port();
    server.pid = fork();
    if (server.pid == 0)
        become_server(fd);
    must(server.pid > 0, "fork");
    close(fd);
    connect_server();
    (void)snprintf(text, sizeof text, "redis://127.0.0.1:%u", server.port);
    must(redis_url_parse(slice_str(text), &server.url, err, sizeof err) == 0, "url: %s", err);
}

static void stop_server(void)
{
    if (server.pid <= 0)
        return;
    kill(server.pid, SIGKILL);
    waitpid(server.pid, NULL, 0);
}

/* ------------------------------------------------------------------------------------ a node */

struct node {
    struct redis_store *r;
    struct event_base *base;
    struct event *late; /* ends a wait */
    uint64_t answers, seen;
};

static void on_stored(struct core *c, const struct stored *a)
{
    for (unsigned i = 0; i < NODES_MAX; i++) {
        struct broker *b = &sim.side[1].node[i];

        if (b->own && b->w.core[0] == c)
            ((struct node *)b->own)->answers++;
    }
    core_stored(c, a);
}

static void on_event(void *ctx, enum redis_event what, const char *text)
{
    (void)ctx;
    must(what != REDIS_DOWN && what != REDIS_TROUBLE, "Redis: %s", text);
}

static void on_late(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    (void)ctx;
}

static void redis_start(struct broker *b)
{
    struct node *own = calloc(1, sizeof *own);
    struct redis_store_options o = {
        .core = b->w.core[0],
        .answer = on_stored,
        .url = &server.url,
        .node = index_of(b) ? "b" : "a",
        .seed = ++server.lives,
        .event = on_event,
    };
    char err[REDIS_ERROR_MAX];
    int r;

    b->own = own;
    own->base = o.base = event_base_new();
    own->late = event_new(own->base, -1, 0, on_late, NULL);
    r = redis_store_new(&o, &own->r, err, sizeof err);
    must(r == 0, "redis_store_new: %s", err);
    b->store[0] = redis_store_table(own->r);
}

/* Is an answer still to come? */
static bool is_waiting(const struct redis_store *r)
{
    if (!list_empty(&r->requests) || !r->found_all || !link_is_up(r->link))
        return true;
    for (struct list_node *n = list_first(&r->link->peers); n; n = list_next(&r->link->peers, n))
        if (!rpeer_is_idle(LIST_ITEM(n, struct rpeer, node)))
            return true;
    return false;
}

static void run_node(struct broker *b)
{
    struct node *own = b->own;

    *server.clock = b->w.now;
    redis_store_run(own->r, b->w.now, b->w.now);
    link_flush(own->r->link);
}

/* Until all is answered that was asked. */
static void redis_wait(struct broker *b)
{
    const struct timeval most = {.tv_usec = WAIT_US};
    double end = sim_seconds() + 20;
    struct node *own = b->own;

    for (run_node(b); is_waiting(own->r); run_node(b)) {
        event_add(own->late, &most);
        event_base_loop(own->base, EVLOOP_ONCE);
        must(sim_seconds() < end, "Redis does not answer: %s", link_text(own->r->link));
    }
}

/* And what others' doing had Redis tell this node is heard. */
static bool redis_answer(struct broker *b, unsigned core)
{
    struct node *own = b->own;
    uint64_t before = own->seen;

    (void)core;
    redis_wait(b);
    tell_server("PING");
    event_base_loop(own->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    redis_wait(b);
    own->seen = own->answers;
    return own->seen != before;
}

static bool redis_idle(struct broker *b)
{
    const struct node *own = b->own;

    return !is_waiting(own->r) && list_empty(&own->r->touched) && own->seen == own->answers;
}

static void redis_stop(struct broker *b)
{
    struct node *own = b->own;

    redis_store_stop(own->r);
    while (!redis_store_stopped(own->r)) {
        redis_wait(b);
        b->store[0]->ops->flush(b->store[0]);
    }
}

static void redis_dies(struct broker *b)
{
    (void)b; /* what its core says while it is freed never goes out */
}

static void redis_end(struct broker *b)
{
    struct node *own = b->own;

    redis_store_free(own->r);
    event_free(own->late);
    event_base_free(own->base);
    free(own);
    b->own = NULL;
}

static const struct bench bench_redis = {
    .name = "redis",
    .level = DURABLE_REDIS,
    .start = redis_start,
    .answer = redis_answer,
    .idle = redis_idle,
    .stop = redis_stop,
    .kill = redis_dies,
    .end = redis_end,
    .wait = redis_wait,
};

/* ------------------------------------------------------------------------------------- a run */

static void redis_begin(uint64_t seed)
{
    if (!server.pid)
        start_server();
    tell_server("FLUSHALL");
    server.lives = seed << 32;
    *server.clock = 1000;
    shelf = memory_shelf_new(true, seed);
}

static void redis_over(void)
{
    memory_shelf_free(shelf);
}

static void run(uint64_t seed, uint64_t steps, unsigned cores, bool talk)
{
    static const struct pairing pairing = {
        .program = "sim_redis",
        .bench = {&bench_memory, &bench_redis},
        .shared = true,
        .nodes = NODES_MAX,
        .rest_ms = UNIT_MS,
        .unit_ms = UNIT_MS,
        .most = 4, /* who stands still for 5 s thinks that Redis did */
        .begin = redis_begin,
        .end = redis_over,
        .clean = stop_server,
    };

    (void)cores;
    pair_run(&pairing, seed, steps, talk);
}

int main(int argc, char **argv)
{
    static const struct sim_runs runs = {
        .name = "sim_redis",
        .steps = 300,
        .seconds = 8,
        .least = 2,
        .run = run,
    };
    int r = sim_main(argc, argv, &runs);

    redisFree(server.own);
    stop_server();
    return r;
}
