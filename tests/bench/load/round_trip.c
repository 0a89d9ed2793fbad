/* Ping-pong of one message between two connections, both through the broker: two messages a trip.
 */
#include "tests/bench/load/workload.h"

#include "tests/bench/load/loop.h"
#include "tests/bench/load/stamp.h"

struct player {
    struct side side;
    uint8_t message[LOAD_MESSAGE_MAX], *payload;
    size_t n;
};

struct game {
    struct player here, there;
    bool over;
    uint64_t served, trips;
    struct histogram times;
};

static void hit(struct player *p)
{
    stamp_put(p->payload, ns_now());
    side_put(&p->side, p->message, p->n);
}

/* Each may be the payload of a greeting, which has no time and is not answered. */
static void arrived_there(struct side *s, const uint8_t *payload, size_t n)
{
    struct game *g = s->each_ctx;

    (void)n;
    if (stamp_get(payload))
        hit(&g->there);
}

static void serve(struct game *g)
{
    g->served++;
    hit(&g->here);
}

static void arrived_here(struct side *s, const uint8_t *payload, size_t n)
{
    struct game *g = s->each_ctx;

    (void)n;
    if (!stamp_get(payload))
        return;
    g->trips++;
    histogram_add(&g->times, s->read_ns - stamp_get(g->here.payload));
    if (!g->over)
        serve(g);
}

static void run_for(struct game *g, double seconds)
{
    double end = seconds_now() + seconds;

    while (seconds_now() < end && !g->here.side.closed && !g->there.side.closed)
        loop_turn(10);
}

static void open_player(struct player *p, const struct task *t, const char *to,
                        const char *const *from)
{
    p->side.driver = t->driver;
    p->side.part.size = t->size;
    p->side.part.topic = to;
    p->side.part.filters = from;
    p->side.part.filters_n = 1;
    loop_open(&p->side, t->port);
    loop_ready(&p->side, ready_s);
    p->n = t->driver->message(&p->side, p->message, to, t->size, &p->payload);
}

void round_trip(const struct task *t, struct result *ret)
{
    static const char *const names[] = {"p50_us", "p99_us", "p999_us", "max_us"};
    static const char *const topics[] = {"bench.0", "bench.1"};
    static struct game g;
    double end;
    uint64_t trips;

    if (t->size < STAMP_SIZE)
        die("size=%zu: a time takes %d bytes", t->size, STAMP_SIZE);
    g.here.side.each = arrived_here;
    g.there.side.each = arrived_there;
    g.here.side.each_ctx = g.there.side.each_ctx = &g;
    open_player(&g.here, t, topics[0], &topics[1]);
    open_player(&g.there, t, topics[1], &topics[0]);
    serve(&g);
    loop_flush(&g.here.side);
    run_for(&g, warm_up_s);
    g.times = (struct histogram){0};
    trips = g.trips;
    ret->before = usage_now(t->pid);
    run_for(&g, t->seconds);
    ret->after = usage_now(t->pid);
    ret->published = ret->delivered = 2 * (g.trips - trips);
    result_add_times(ret, names, &g.times);
    g.over = true;
    end = seconds_now() + 2;
    while (g.trips < g.served && seconds_now() < end)
        loop_turn(100);
    ret->lost = (int64_t)(g.served - g.trips);
    ret->publishers = ret->subscribers = 2;
    loop_close(&g.here.side);
    loop_close(&g.there.side);
}
