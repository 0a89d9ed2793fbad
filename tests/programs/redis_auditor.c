/* redis_auditor: two nodes put, fetch and settle on one durable queue in a Redis of its own (AOF,
 * fsync always), which is killed (SIGKILL) and started again again and again; so are the nodes, in
 * turn. At the end everything is fetched, and it is judged:
 *
 *   lost       a message that was confirmed and that nobody ever got
 *   corrupt    one whose bytes are not those that were put
 *   leaked     what Redis has down as there, waiting or held, when nothing is left
 *
 *   redis_auditor DIRECTORY [kills=5] [window=512] [seed=1] [hangs=0]
 *
 * A hang: Redis is stopped for longer than nodes wait for it, and goes on, with what they had said.
 *
 * Prints one line; exit status 1 if there is any of these. Duplicates are counted: they are
 * allowed. It is over when nothing is left, or nothing has moved for a minute, however slow the
 * machine is. */
#include "brokerd/store/redis/redis.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    NODES = 2,
    KEYS_MAX = 1 << 22,
    SIZE = 64,
    RUN = 16,
    BATCH = 512,
    DEAD_MS = 1500,
    UP_MS = 600,    /* between two kills, more or less */
    HANG_MS = 2200, /* nodes wait for an answer for 2 s */
    STILL_MS = 60000,
    TURN_US = 2000,
};

struct node {
    struct event_base *base;
    struct redis_store *store;
    struct store_queue *queue;
    bool open, fetching, wants;
    uint64_t out; /* put and not answered */
};

static struct {
    struct node node[NODES];
    const char *directory;
    uint16_t port;
    struct redis_url url;
    pid_t redis;
    uint64_t window, seed, lives, keys;
    uint64_t confirmed, refused, got, doubled, corrupt, claimed;
    bool putting;
    uint8_t is_confirmed[KEYS_MAX], times_got[KEYS_MAX];
} audit;

static void fail(const char *what)
{
    fprintf(stderr, "redis_auditor: %s\n", what);
    if (audit.redis > 0)
        kill(-audit.redis, SIGKILL);
    exit(2);
}

static int64_t clock_ms(clockid_t which)
{
    struct timespec t;

    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t draw(uint64_t below)
{
    audit.seed = audit.seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (audit.seed >> 33) % below;
}

/* ------------------------------------------------------------------------------------ Redis */

static uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, n) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &n) < 0)
        fail("no port");
    close(fd);
    return ntohs(at.sin_port);
}

/* A kill may cut what Redis was writing to its file. It cuts off the last command then, but leaves
 * a transaction that was begun before it: what is done afterwards becomes part of that, and when it
 * reads the file once more it does what nobody was told was done, and drops what takes its place.
 * So it is told to take no such file, and that is mended before. */
static const char redis_script[] =
    "m=$1/appendonlydir/appendonly.aof.manifest\n"
    "[ ! -e \"$m\" ] || echo y | redis-check-aof --fix \"$m\" || exit\n"
    "exec redis-server --port $2 --bind 127.0.0.1 --save '' --appendonly yes --appendfsync always "
    "--aof-load-truncated no --dir \"$1\"";

static void start_redis(void)
{
    char port[16];

    audit.redis = fork();
    if (audit.redis < 0)
        fail("fork");
    if (audit.redis > 0) {
        (void)setpgid(audit.redis, audit.redis);
        return;
    }
    (void)setpgid(0, 0);
    (void)snprintf(port, sizeof port, "%u", audit.port);
    if (freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr))
        execlp("sh", "sh", "-c", redis_script, "sh", audit.directory, port, (char *)NULL);
    _exit(127);
}

static void kill_redis(void)
{
    kill(-audit.redis, SIGKILL);
    waitpid(audit.redis, NULL, 0);
    audit.redis = 0;
}

/* ------------------------------------------------------------------------------------ nodes */

static void body_of(uint64_t key, uint8_t *to)
{
    for (int i = 0; i < SIZE; i += 8)
        memcpy(to + i, &(uint64_t){(key + 1) * (uint64_t)(i + 1)}, 8);
}

static void take(struct node *n, const struct stored_message *m)
{
    struct store_settlement s = {.verb = SETTLE_GONE, .seq = m->seq, .count = 1};
    uint8_t want[SIZE];
    uint64_t key;

    if (m->data.n != SIZE) {
        audit.corrupt++;
        return;
    }
    memcpy(&key, m->data.p, 8);
    key--;
    if (key >= audit.keys) {
        audit.corrupt++;
        return;
    }
    body_of(key, want);
    if (memcmp(want, m->data.p, SIZE) != 0)
        audit.corrupt++;
    if (m->attempts == 0 && key % 16 == 0) { /* one of so many comes back once, half of them late */
        s.verb = SETTLE_RETURNED;
        s.attempts = 1;
        s.due_ms = key % 32 ? clock_ms(CLOCK_REALTIME) + 50 : 0;
    } else {
        audit.doubled += audit.times_got[key] > 0;
        audit.times_got[key] = 1;
        audit.got++;
    }
    redis_store_table(n->store)->ops->settle(n->queue, &s, 1);
}

static void on_answer(struct core *c, const struct stored *a)
{
    struct node *n = (struct node *)c;

    switch (a->kind) {
    case STORED_OPEN:
        n->open = n->wants = a->reason == REASON_NONE;
        if (!n->open)
            n->queue = NULL;
        break;
    case STORED_PUT:
        n->out -= a->count;
        for (uint64_t i = 0; i < a->count; i++)
            audit.is_confirmed[a->first + i] = a->reason == REASON_NONE;
        if (a->reason == REASON_NONE)
            audit.confirmed += a->count;
        else
            audit.refused += a->count;
        break;
    case STORED_MESSAGES:
        n->fetching = false;
        n->wants = a->n == BATCH;
        for (uint32_t i = 0; i < a->n; i++)
            take(n, &a->messages[i]);
        break;
    case STORED_NEWS:
        n->wants = true;
        break;
    default:
        break;
    }
}

static void begin_node(struct node *n)
{
    char err[REDIS_ERROR_MAX];
    struct redis_store_options o = {
        .core = (struct core *)n,
        .answer = on_answer,
        .url = &audit.url,
        .node = n == audit.node ? "a" : "b",
        .patience_ms = 3000,
        .dead_ms = DEAD_MS,
        .seed = ++audit.lives,
    };

    *n = (struct node){.base = event_base_new()};
    o.base = n->base;
    if (redis_store_new(&o, &n->store, err, sizeof err) < 0)
        fail(err);
}

/* It dies: nothing more is said to Redis. What it had put and not heard of may be there or not. */
static void end_node(struct node *n)
{
    audit.claimed += redis_store_facts(n->store).claimed;
    redis_store_free(n->store);
    event_base_free(n->base);
}

static void open_queue(struct node *n)
{
    struct queue_policy policy = policy_default(POLICY_QUEUE);
    struct store_open open = {.def = {.name = SLICE("audit")}, .policy = &policy};
    struct store *s = redis_store_table(n->store);

    policy.max_messages = KEYS_MAX;
    policy.max_bytes = UINT64_C(1) << 32;
    n->queue = s->ops->open(s, &open, 1);
}

static void say_run(struct node *n)
{
    static uint8_t body[RUN][SIZE];
    static struct topic *topic;
    struct msg_view v[RUN];
    struct run run = {.v = v, .n = RUN, .bytes = RUN * SIZE, .type = {.id = CTYPE_NONE}};
    struct msg_origin from = {.type = run.type, .id = audit.keys, .time_ms = 1};

    if (!topic)
        topic = topic_new(SLICE("audit"), 0);
    from.topic = topic;
    for (int i = 0; i < RUN; i++) {
        body_of(audit.keys + (uint64_t)i, body[i]);
        v[i] = (struct msg_view){.data = body[i], .len = SIZE};
    }
    if (redis_store_table(n->store)->ops->put(n->queue, audit.keys, &run, &from) < 0)
        return;
    n->out += RUN;
    audit.keys += RUN;
}

static void turn_node(struct node *n)
{
    const struct timeval most = {.tv_usec = TURN_US};
    const struct store_ops *ops = redis_store_table(n->store)->ops;

    redis_store_run(n->store, clock_ms(CLOCK_MONOTONIC), clock_ms(CLOCK_REALTIME));
    if (!n->queue)
        open_queue(n);
    for (int i = 0; i < 32 && n->open && audit.putting && n->out + RUN <= audit.window &&
                    audit.keys + RUN <= KEYS_MAX;
         i++)
        say_run(n);
    if (n->open && n->wants && !n->fetching) {
        n->fetching = true;
        ops->fetch(n->queue, 0, BATCH, STORE_FETCH_BYTES);
    }
    ops->flush(redis_store_table(n->store));
    event_base_loopexit(n->base, &most);
    event_base_loop(n->base, EVLOOP_ONCE);
}

static void turns(int64_t ms)
{
    int64_t end = clock_ms(CLOCK_MONOTONIC) + ms;

    do {
        for (int i = 0; i < NODES; i++)
            turn_node(&audit.node[i]);
    } while (clock_ms(CLOCK_MONOTONIC) < end);
}

/* ------------------------------------------------------------------------------------ judge */

/* What Redis counts as put but for what is no more, and the stream's length; -1: it cannot be
 * asked, -2: it reads its file. */
static long long left(const char *what)
{
    redisContext *c = redisConnect("127.0.0.1", audit.port);
    redisReply *r = c && !c->err ? redisCommand(c, what) : NULL;
    long long n = -1;

    if (r && r->type == REDIS_REPLY_INTEGER)
        n = r->integer;
    else if (r && r->type == REDIS_REPLY_ERROR && strncmp(r->str, "LOADING", 7) == 0)
        n = -2;
    else if (r && r->type == REDIS_REPLY_ARRAY && r->elements == 2 && r->element[0]->str &&
             r->element[1]->str)
        n = strtoll(r->element[0]->str, NULL, 10) - strtoll(r->element[1]->str, NULL, 10);
    freeReplyObject(r);
    redisFree(c);
    return n;
}

static bool is_over(long long there)
{
    for (int i = 0; i < NODES; i++)
        if (audit.node[i].out || !audit.node[i].open ||
            redis_store_table(audit.node[i].store)
                ->ops->busy(redis_store_table(audit.node[i].store)))
            return false;
    return there == 0;
}

/* Rises with all that is done. */
static uint64_t moves(void)
{
    uint64_t n = audit.confirmed + audit.refused + audit.got;

    for (int i = 0; i < NODES; i++) {
        struct redis_facts f = redis_store_facts(audit.node[i].store);

        n += f.fetched + f.settled + f.returned + f.claimed + audit.node[i].open;
    }
    return n;
}

/* Until nothing is left, or nothing moves. */
static void finish(void)
{
    int64_t moved_ms = clock_ms(CLOCK_MONOTONIC);
    uint64_t before = 0;
    long long there, was = -1;

    do {
        turns(200);
        there = left("XLEN brokerd:{audit}:s");
        if (there == -2 || there != was || moves() != before)
            moved_ms = clock_ms(CLOCK_MONOTONIC);
        was = there;
        before = moves();
    } while (!is_over(there) && clock_ms(CLOCK_MONOTONIC) - moved_ms < STILL_MS);
}

static int judge(void)
{
    uint64_t lost = 0;
    long long leaked = left("XLEN brokerd:{audit}:s") + left("ZCARD brokerd:{audit}:b") +
                       left("HLEN brokerd:{audit}:a") + left("HMGET brokerd:{audit}:m cum gone");

    for (uint64_t i = 0; i < audit.keys; i++)
        lost += audit.is_confirmed[i] && !audit.times_got[i];
    printf("put %llu, confirmed %llu, refused %llu, got %llu, doubled %llu, claimed %llu; "
           "lost %llu, corrupt %llu, leaked %lld\n",
           (unsigned long long)audit.keys, (unsigned long long)audit.confirmed,
           (unsigned long long)audit.refused, (unsigned long long)audit.got,
           (unsigned long long)audit.doubled, (unsigned long long)audit.claimed,
           (unsigned long long)lost, (unsigned long long)audit.corrupt, leaked);
    return lost || audit.corrupt || leaked || audit.confirmed == 0;
}

/* ----------------------------------------------------------------------------------- faults */

/* Until Redis answers; one in four times that is not waited for. */
static void come_up(void)
{
    int64_t end = clock_ms(CLOCK_MONOTONIC) + STILL_MS;

    while (draw(4) && left("XLEN brokerd:{audit}:s") < 0 && clock_ms(CLOCK_MONOTONIC) < end)
        turns(50);
}

static void kills(int n)
{
    for (int i = 0; i < n; i++) {
        kill_redis();
        turns((int64_t)draw(300));
        start_redis();
        come_up();
        turns(UP_MS + (int64_t)draw(UP_MS));
        if (i % 3 == 1) {
            struct node *node = &audit.node[i / 3 % NODES];

            end_node(node);
            begin_node(node);
        }
    }
}

static void hangs(int n)
{
    for (int i = 0; i < n; i++) {
        kill(-audit.redis, SIGSTOP);
        turns(HANG_MS + (int64_t)draw(UP_MS));
        kill(-audit.redis, SIGCONT);
        turns(UP_MS + (int64_t)draw(UP_MS));
    }
}

static int64_t argument(int argc, char **argv, int i, int64_t otherwise)
{
    return argc > i ? (int64_t)strtoll(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    char text[64], err[REDIS_URL_ERROR_MAX];
    int status;

    if (argc < 2)
        fail("usage: redis_auditor DIRECTORY [kills [window [seed [hangs]]]]");
    audit.directory = argv[1];
    audit.window = (uint64_t)argument(argc, argv, 3, 512);
    audit.seed = (uint64_t)argument(argc, argv, 4, 1);
    audit.port = free_port();
    (void)snprintf(text, sizeof text, "redis://127.0.0.1:%u", audit.port);
    if (redis_url_parse(slice_str(text), &audit.url, err, sizeof err) < 0)
        fail(err);
    start_redis();
    for (int i = 0; i < NODES; i++)
        begin_node(&audit.node[i]);
    audit.putting = true;
    turns(UP_MS);
    kills((int)argument(argc, argv, 2, 5));
    hangs((int)argument(argc, argv, 5, 0));
    audit.putting = false;
    finish();
    status = judge();
    for (int i = 0; i < NODES; i++)
        end_node(&audit.node[i]);
    kill_redis();
    return status;
}
