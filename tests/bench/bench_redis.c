/* What a durable queue in Redis costs: 128-byte messages put, fetched and settled through the make
 * (store/redis), beside the same work by bare hiredis, pipelined: XADD, XREADGROUP, XACK (and XDEL:
 * without it the stream grows for ever). In turns, on one Redis, so that both see the same machine;
 * medians, and their ratio.
 *
 *   bench_redis PORT [window=1024] [rounds=7] [round_ms=500] [make]      make: that alone
 *
 * The Redis is the caller's, is emptied, and says by its own settings what a write costs:
 *   redis-server --port PORT --save '' --appendonly yes --appendfsync always */
#include "brokerd/store/redis/redis.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SIZE = 128, RUN = 64, BATCH = 256, ROUNDS_MAX = 64, WINDOW_MAX = 65536 };

static struct {
    uint16_t port;
    uint64_t window;
    int rounds, round_ms;
    redisContext *redis;
    struct event_base *base;
    struct redis_store *store;
    struct store_queue *queue;
    uint32_t batch;
    bool open, fetching, wants;
    uint64_t put, stored, settled;
    uint64_t done; /* in the last round */
} bench;

static uint8_t body[SIZE];

static int64_t clock_us(clockid_t which)
{
    struct timespec t;

    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench_redis: %s\n", what);
    exit(1);
}

/* ------------------------------------------------------------------------------------- bare */

static redisReply *answer(void)
{
    void *reply = NULL;

    check(redisGetReply(bench.redis, &reply) == REDIS_OK && reply, "bare: no answer");
    check(((redisReply *)reply)->type != REDIS_REPLY_ERROR, "bare: an error");
    return reply;
}

static void skip(uint64_t n)
{
    while (n--)
        freeReplyObject(answer());
}

/* Ids as arguments behind `words`. */
static void say_ids(const char *const *words, int n, char (*ids)[32], uint64_t count)
{
    const char *argv[BATCH + 4];

    for (int i = 0; i < n; i++)
        argv[i] = words[i];
    for (uint64_t i = 0; i < count; i++)
        argv[n + (int)i] = ids[i];
    redisAppendCommandArgv(bench.redis, n + (int)count, argv, NULL);
}

/* One pipeline: `window` put, what the last one put read, what it read settled. Messages a second.
 */
static double bare(bool del)
{
    static char ids[WINDOW_MAX][32];
    static const char *const ack[] = {"XACK", "bare", "w"}, *const xdel[] = {"XDEL", "bare"};
    int64_t begin = clock_us(CLOCK_MONOTONIC), now;
    uint64_t held = 0, done = 0;

    freeReplyObject(redisCommand(bench.redis, "DEL bare"));
    freeReplyObject(redisCommand(bench.redis, "XGROUP CREATE bare w 0 MKSTREAM"));
    do {
        uint64_t reads = (bench.window + BATCH - 1) / BATCH, acks = 0;

        for (uint64_t i = 0; i < bench.window; i++)
            redisAppendCommand(bench.redis, "XADD bare * topic orders body %b", body, (size_t)SIZE);
        for (uint64_t i = 0; i < reads; i++)
            redisAppendCommand(bench.redis, "XREADGROUP GROUP w n COUNT %d STREAMS bare >", BATCH);
        for (uint64_t i = 0; i < held; i += BATCH) {
            uint64_t n = held - i < BATCH ? held - i : BATCH;

            say_ids(ack, 3, ids + i, n);
            if (del)
                say_ids(xdel, 2, ids + i, n);
            acks += del ? 2 : 1;
        }
        skip(bench.window);
        done += held;
        held = 0;
        for (uint64_t i = 0; i < reads; i++) {
            redisReply *r = answer();
            redisReply *list = r->type == REDIS_REPLY_ARRAY ? r->element[0]->element[1] : NULL;

            for (size_t k = 0; list && k < list->elements; k++)
                (void)snprintf(ids[held++], 32, "%s", list->element[k]->element[0]->str);
            freeReplyObject(r);
        }
        skip(acks);
        now = clock_us(CLOCK_MONOTONIC);
    } while (now - begin < bench.round_ms * 1000);
    bench.done = done;
    return (double)done * 1e6 / (double)(now - begin);
}

/* -------------------------------------------------------------------------------- the make */

static void on_answer(struct core *c, const struct stored *a)
{
    (void)c;
    switch (a->kind) {
    case STORED_OPEN:
        check(a->reason == REASON_NONE, "the queue cannot be opened");
        bench.open = bench.wants = true;
        return;
    case STORED_PUT:
        check(a->reason == REASON_NONE, "a put was refused");
        bench.stored += a->count;
        return;
    case STORED_MESSAGES:
        bench.fetching = false;
        bench.wants = a->n > 0;
        for (uint32_t i = 0; i < a->n; i++) {
            struct store_settlement s = {
                .verb = SETTLE_GONE, .seq = a->messages[i].seq, .count = 1};

            redis_store_table(bench.store)->ops->settle(bench.queue, &s, 1);
        }
        bench.settled += a->n;
        return;
    case STORED_NEWS:
        bench.wants = true;
        return;
    default:
        return;
    }
}

static void open_store(void)
{
    struct redis_url url;
    struct queue_policy policy = policy_default(POLICY_QUEUE);
    struct store_open open = {.def = {.name = SLICE("bench")}, .policy = &policy};
    struct redis_store_options o = {.answer = on_answer, .url = &url, .seed = 1};
    char text[64], err[REDIS_URL_ERROR_MAX];

    (void)snprintf(text, sizeof text, "redis://127.0.0.1:%u", bench.port);
    check(redis_url_parse(slice_str(text), &url, err, sizeof err) == 0, err);
    o.base = bench.base = event_base_new();
    check(redis_store_new(&o, &bench.store, err, sizeof err) == 0, err);
    bench.queue =
        redis_store_table(bench.store)->ops->open(redis_store_table(bench.store), &open, 1);
    check(bench.queue != NULL, "no memory");
}

static void say_run(void)
{
    static struct msg_view v[RUN];
    static struct topic *topic;
    struct run run = {.v = v, .n = RUN, .bytes = RUN * SIZE, .type = {.id = CTYPE_NONE}};
    struct msg_origin from = {.type = run.type, .id = bench.put, .time_ms = 1};
    int r;

    if (!topic)
        topic = topic_new(SLICE("orders"), 0);
    from.topic = topic;
    for (int i = 0; i < RUN; i++)
        v[i] = (struct msg_view){.data = body, .len = SIZE};
    if (bench.window < RUN)
        run.n = 1, run.bytes = SIZE;
    r = redis_store_table(bench.store)->ops->put(bench.queue, bench.put, &run, &from);
    check(r == 0, "put() refuses");
    bench.put += run.n;
}

static void turn(bool put)
{
    const struct store_ops *ops = redis_store_table(bench.store)->ops;
    struct timespec wall;

    clock_gettime(CLOCK_REALTIME, &wall);
    event_base_loop(bench.base, EVLOOP_ONCE);
    redis_store_run(bench.store, clock_us(CLOCK_MONOTONIC) / 1000,
                    (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000);
    while (put && bench.open &&
           bench.put - bench.stored + (bench.window < RUN ? 1 : RUN) <= bench.window)
        say_run();
    if (bench.open && bench.wants && !bench.fetching) {
        bench.fetching = true;
        ops->fetch(bench.queue, 0, bench.batch, STORE_FETCH_BYTES);
    }
    ops->flush(redis_store_table(bench.store));
}

static double made(void)
{
    int64_t begin = clock_us(CLOCK_MONOTONIC), now;
    uint64_t before = bench.settled;

    do {
        turn(true);
        now = clock_us(CLOCK_MONOTONIC);
    } while (now - begin < bench.round_ms * 1000);
    while (bench.settled < bench.put) /* to the end, so that rounds do not mix */
        turn(false);
    now = clock_us(CLOCK_MONOTONIC);
    bench.done = bench.settled - before;
    return (double)(bench.settled - before) * 1e6 / (double)(now - begin);
}

/* Microseconds of CPU that Redis has used. */
static double server_cpu(void)
{
    redisReply *r = redisCommand(bench.redis, "INFO cpu");
    double user = 0, sys = 0;

    check(r && r->type == REDIS_REPLY_STRING, "INFO");
    if (strstr(r->str, "used_cpu_user_main_thread:"))
        user = strtod(strstr(r->str, "used_cpu_user_main_thread:") + 26, NULL);
    if (strstr(r->str, "used_cpu_sys_main_thread:"))
        sys = strtod(strstr(r->str, "used_cpu_sys_main_thread:") + 25, NULL);
    freeReplyObject(r);
    return 1e6 * (user + sys);
}

/* The same, of each message of the last round; `*at` is when it began, and then now. */
static double cost_since(double *at)
{
    double now = server_cpu(), cost = (now - *at) / (double)bench.done;

    *at = now;
    return cost;
}

/* ------------------------------------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, compare);
    return v[n / 2];
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what, (void)ctx;
}

int main(int argc, char **argv)
{
    double plain[ROUNDS_MAX], del[ROUNDS_MAX], make[ROUNDS_MAX], cpu = 0, cost[3] = {0};
    const struct timeval often = {.tv_usec = 20000};
    struct event *tick;
    uint64_t n = 0;

    check(argc >= 2, "usage: bench_redis PORT [window [rounds [round_ms]]]");
    bench.port = (uint16_t)strtol(argv[1], NULL, 10);
    bench.window = argc > 2 ? (uint64_t)strtol(argv[2], NULL, 10) : 1024;
    bench.rounds = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 7;
    bench.round_ms = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 500;
    check(bench.window >= 1 && bench.window <= WINDOW_MAX, "window: 1 to 65536");
    check(bench.rounds >= 1 && bench.rounds <= ROUNDS_MAX, "rounds: 1 to 64");
    bench.batch = argc > 6 ? (uint32_t)strtol(argv[6], NULL, 10) : 512;
    bench.redis = redisConnect("127.0.0.1", bench.port);
    check(bench.redis && !bench.redis->err, "no Redis there");
    freeReplyObject(redisCommand(bench.redis, "FLUSHALL"));
    open_store();
    tick = event_new(bench.base, -1, EV_PERSIST, on_tick, NULL);
    event_add(tick, &often);
    while (!bench.open)
        turn(false);
    for (int i = 0; i < bench.rounds; i++) {
        uint64_t before = bench.settled;
        int64_t used = clock_us(CLOCK_PROCESS_CPUTIME_ID);

        double at = server_cpu();

        make[i] = made();
        cpu += (double)(clock_us(CLOCK_PROCESS_CPUTIME_ID) - used);
        n += bench.settled - before;
        cost[0] += cost_since(&at);
        if (argc > 5) { /* for a profiler */
            plain[i] = del[i] = 1;
            continue;
        }
        plain[i] = bare(false);
        cost[1] += cost_since(&at);
        del[i] = bare(true);
        cost[2] += cost_since(&at);
    }
    printf("window %llu: make %.0f /s (%.2f us of CPU here a message); bare %.0f /s, with XDEL "
           "%.0f /s; "
           "make is %.0f %% and %.0f %% of those\n",
           (unsigned long long)bench.window, median(make, bench.rounds), cpu / (double)n,
           median(plain, bench.rounds), median(del, bench.rounds),
           100 * median(make, bench.rounds) / median(plain, bench.rounds),
           100 * median(make, bench.rounds) / median(del, bench.rounds));
    printf("Redis's CPU a message: make %.2f us, bare %.2f us, with XDEL %.2f us\n",
           cost[0] / bench.rounds, cost[1] / bench.rounds, cost[2] / bench.rounds);
    event_free(tick);
    redis_store_free(bench.store);
    event_base_free(bench.base);
    redisFree(bench.redis);
    return 0;
}
