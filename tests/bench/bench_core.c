/* What the core itself costs per message, without a socket: publishers hand over runs of 64
 * messages of 128 bytes, consumers copy them into a buffer; a turn is 8 runs, half a block of
 * input, and then core_tick(). Nanoseconds of CPU per message published.
 *
 *   bench_core [NAME]      only the case whose name contains NAME */
#include "tests/unit/core/world.h"

#include <time.h>

enum { RUN = 64, SIZE = 128, RUNS_A_TURN = 8, BUFFER = 64 * 1024 };

static struct world world;
static struct policy_set *policies;
static uint8_t payload[RUN * SIZE], buffer[BUFFER];
static uint64_t delivered;

struct peer {
    struct endpoint *ep;
    struct consumer *k;
    struct publisher *p;
    uint64_t out, acked, got, allowance;
    size_t used; /* of the buffer */
};

static uint64_t bench_deliver(void *ctx, const struct delivery *d)
{
    struct peer *p = ctx;

    for (uint32_t i = 0; i < d->run.n; i++) {
        const struct msg_view *v = &d->run.v[i];

        if (p->used + v->len + 9 > BUFFER)
            p->used = 0;
        memset(buffer + p->used, 0, 9);
        memcpy(buffer + p->used + 9, v->data, v->len);
        p->used += v->len + 9;
    }
    p->out += d->run.bytes + d->run.n * 9;
    p->got += d->run.n;
    delivered += d->run.n;
    return p->out;
}

static void bench_ready(void *ctx)
{
    (void)ctx;
}

static void bench_closed(void *ctx, const struct refusal *why, uint64_t lost)
{
    (void)ctx, (void)lost;
    fprintf(stderr, "closed: %s\n", why->text);
    abort();
}

static void bench_settled(void *ctx, uint64_t upto, const struct outcome *o, size_t n)
{
    (void)ctx, (void)upto, (void)o, (void)n;
}

static void bench_granted(void *ctx, uint32_t n)
{
    ((struct peer *)ctx)->allowance += n;
}

static const struct endpoint_ops bench_ops = {.door = "bench",
                                              .deliver = bench_deliver,
                                              .ready = bench_ready,
                                              .closed = bench_closed,
                                              .settled = bench_settled,
                                              .granted = bench_granted};

static void connect_peer(struct peer *p, unsigned core)
{
    const struct endpoint_desc d = {.name = "peer"};

    memset(p, 0, sizeof *p);
    if (core_endpoint_open(world.core[core], &d, &bench_ops, p, &p->ep) < 0)
        abort();
}

static void attach(struct peer *p, const char *filter, const char *queue, bool manual,
                   uint64_t credit)
{
    struct slice f = slice_str(filter);
    struct consume_options o = {.queue = slice_str(queue),
                                .filters = &f,
                                .filters_n = 1,
                                .manual_ack = manual,
                                .credit = credit};
    struct refusal why;

    if (core_attach(p->ep, &o, p, &p->k, &why) < 0)
        abort();
}

static void publish_turn(struct peer *p)
{
    static struct msg_view v[RUN];
    struct target to = {false, SLICE("orders.eu.created")};
    struct run run = {.v = v, .n = RUN, .bytes = sizeof payload, .type = {.id = CTYPE_NONE}};
    struct refusal why;

    for (unsigned i = 0; i < RUN; i++)
        v[i] = (struct msg_view){.data = payload + i * SIZE, .len = SIZE};
    for (unsigned i = 0; i < RUNS_A_TURN && p->allowance >= RUN; i++, p->allowance -= RUN)
        if (core_publish(p->p, &to, &run, &why) < 0)
            abort();
}

/* One turn of each core, mail in between. */
static void turn(struct peer *peers, unsigned n, bool manual)
{
    for (unsigned i = 0; i < world.n; i++) {
        for (unsigned j = 0; j < world.n; j++)
            while (world_hand(&world, j, i))
                continue;
        core_clock(world.core[i], world.now, world.now);
        core_tick(world.core[i]);
    }
    world.now++;
    for (unsigned i = 0; i < n; i++) {
        core_written(peers[i].ep, peers[i].out);
        if (manual && peers[i].got > peers[i].acked) {
            core_ack(peers[i].k, peers[i].acked + 1, (uint32_t)(peers[i].got - peers[i].acked),
                     ACK_DONE, 0);
            peers[i].acked = peers[i].got;
        }
    }
}

static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static const struct bench {
    const char *name;
    unsigned cores, consumers;
    uint64_t messages;
    bool queue, manual;
    bool stalled; /* they have no credit: what is oldest is dropped */
} benches[] = {{"direct to 1 subscriber", 1, 1, 8000000, false, false, false},
               {"direct to 100 subscribers", 1, 100, 200000, false, false, false},
               {"to 1 subscriber that is stalled", 1, 1, 4000000, false, false, true},
               {"queue, automatic acks", 1, 1, 4000000, true, false, false},
               {"queue, 4 consumers, automatic acks", 1, 4, 4000000, true, false, false},
               {"queue, manual acks", 1, 1, 4000000, true, true, false},
               {"to 1 subscriber on another core", 2, 1, 4000000, false, false, false},
               {"queue on another core, manual acks", 2, 1, 4000000, true, true, false},
               {"to 100 subscribers on another core", 2, 100, 200000, false, false, false}};

static void run_bench(const struct bench *b)
{
    static struct peer pub, peers[100];
    uint64_t published;
    double start;

    world_start(&world, b->cores, policies, INT64_C(1) << 30);
    connect_peer(&pub, 0);
    for (unsigned i = 0; i < b->consumers; i++) {
        connect_peer(&peers[i], b->cores - 1);
        attach(&peers[i], "orders.#", b->queue ? "work" : "", b->manual,
               b->stalled ? 0 : CORE_UNLIMITED);
    }
    world_run(&world);
    if (core_publisher_open(pub.ep, PUBLISH_WINDOW, &pub, &pub.p) < 0)
        abort();
    core_tick(world.core[0]);
    delivered = 0;
    start = cpu_ns();
    for (published = 0; published < b->messages;) {
        uint64_t before = pub.allowance;

        publish_turn(&pub);
        published += before - pub.allowance;
        turn(peers, b->consumers, b->manual);
    }
    for (unsigned i = 0; i < 10; i++)
        turn(peers, b->consumers, b->manual);
    start = (cpu_ns() - start) / (double)published;
    printf("%-38s %8.1f ns a message", b->name, start);
    if (!b->stalled)
        printf(", %6.1f a delivery%s", start * (double)published / (double)delivered,
               delivered == published * (b->queue ? 1 : b->consumers) ? "" : "  (NOT ALL CAME)");
    printf("\n");
    world_stop(&world);
}

int main(int argc, char **argv)
{
    policies = world_policy(POLICY_QUEUE, "", "");
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++)
        if (argc < 2 || strstr(benches[i].name, argv[1]))
            run_bench(&benches[i]);
    policy_set_unref(policies);
    return 0;
}
