/* cmd_bench.c - how fast a broker is: starts the parties, shows progress, sums up. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker.h"
#include "libbroker/cli/bench.h"
#include "libbroker/cli/text.h"

static const char *const overflows[] = {"block",  "drop-oldest", "drop-newest",
                                        "reject", "disconnect",  NULL};

static const struct cli_option options[] = {
    {"count", 'n', CLI_COUNT, offsetof(struct bench_options, count), "COUNT",
     "messages of each publisher (as many as go into --seconds)", NULL},
    {"seconds", 0, CLI_TIME, offsetof(struct bench_options, seconds_ms), "TIME",
     "publish for so long, without -n (5)", NULL},
    {"size", 0, CLI_SIZE, offsetof(struct bench_options, size), "SIZE",
     "of a payload (128; below 24 without latency and order)", NULL},
    {"topics", 0, CLI_COUNT, offsetof(struct bench_options, topics), "N",
     "topics published to in turn (1)", NULL},
    {"topic", 0, CLI_TEXT, offsetof(struct bench_options, topic), "NAME",
     "what their names begin with (bench)", NULL},
    {"publishers", 'P', CLI_COUNT, offsetof(struct bench_options, publishers), "N",
     "connections that publish or ask, a thread each (1)", NULL},
    {"subscribers", 'S', CLI_COUNT, offsetof(struct bench_options, subscribers), "N",
     "connections that subscribe (1) or serve (0), a thread each", NULL},
    {"window", 'w', CLI_COUNT, offsetof(struct bench_options, window), "N",
     "messages under way (65536; subscribers 8192; request 1)", NULL},
    {"rate", 0, CLI_COUNT, offsetof(struct bench_options, rate), "N",
     "messages a second of each publisher (as many as go)", NULL},
    {"overflow", 0, CLI_WORD, offsetof(struct bench_options, overflow), "POLICY",
     "of the subscriptions (pubsub: block; sub: the broker's)", overflows},
    {"slow", 0, CLI_FLAG, offsetof(struct bench_options, slow), NULL,
     "one more subscriber, which takes 100 messages a second", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

struct totals {
    uint64_t published, received, asked, lost, slow_received, slow_lost;
    uint64_t refused, dropped, unmatched, disorder;
    double publish_s, receive_s, ask_s;
    int code;
    struct cli_hist hist;
};

/* ----------------------------------------------------------------------------- progress --- */

static uint64_t sum(struct bench_party *const *party, size_t n, enum bench_role role)
{
    uint64_t all = 0;

    for (size_t i = 0; i < n; i++) {
        if (party[i]->role == role && !party[i]->slow)
            all += atomic_load(&party[i]->done);
    }
    return all;
}

static bool finished(struct bench_party *const *party, size_t n, bool only_sources)
{
    for (size_t i = 0; i < n; i++) {
        if (only_sources && !bench_is_source(party[i]->role))
            continue;
        if (!atomic_load(&party[i]->finished))
            return false;
    }
    return true;
}

static void nap_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

struct progress {
    bool bar; /* stderr is a terminal */
    int64_t start_ns, last_ns;
    uint64_t last;   /* messages at last_ns */
    uint64_t wanted; /* in all; 0: it is a matter of time */
    int64_t end_ns;
};

static void show(const struct cli *cli, struct progress *g, uint64_t done)
{
    int64_t now_ns = cli_now_ns();
    double seconds = (double)(now_ns - g->last_ns) / 1e9, share;
    char rate[CLI_NUMBER_MAX], bar[41];
    size_t filled;

    if (cli->quiet || seconds < (g->bar ? 0.2 : 1.0))
        return;
    share = g->wanted ? (double)done / (double)g->wanted
                      : (double)(now_ns - g->start_ns) / (double)(g->end_ns - g->start_ns);
    share = share > 1 ? 1 : share;
    filled = (size_t)(share * (sizeof bar - 1));
    memset(bar, '.', sizeof bar - 1);
    memset(bar, '#', filled);
    bar[sizeof bar - 1] = '\0';
    cli_count_text((uint64_t)((double)(done - g->last) / seconds), rate);
    if (g->bar)
        fprintf(stderr, "\r[%s] %3.0f %%  %s msgs/s\033[K", bar, 100 * share, rate);
    else
        fprintf(stderr, "%.0f s: %3.0f %%, %s msgs/s\n", (double)(now_ns - g->start_ns) / 1e9,
                100 * share, rate);
    g->last = done;
    g->last_ns = now_ns;
}

/* Watch until all are finished; tell subscribers when all has been sent. */
static void watch(struct bench *b, struct bench_party *const *party, size_t n)
{
    enum bench_role role = party[0]->role; /* of the publishers, where there are any */
    struct progress g = {.bar = isatty(STDERR_FILENO), .start_ns = cli_now_ns()};

    g.last_ns = g.start_ns;
    g.end_ns = b->end_ns;
    g.wanted = b->o->count * (role == BENCH_SUBSCRIBE ? b->o->subscribers : b->o->publishers);
    while (!finished(party, n, false)) {
        if (!atomic_load(&b->sent) && finished(party, n, true)) {
            b->published = sum(party, n, BENCH_PUBLISH);
            atomic_store(&b->sent, true);
        }
        nap_ms(10);
        show(b->cli, &g, sum(party, n, role));
    }
    if (g.bar && !b->cli->quiet)
        fputs("\r\033[K", stderr);
}

/* ------------------------------------------------------------------------------ results --- */

static double span(const struct bench_party *p)
{
    return (double)(p->last_ns - p->first_ns) / 1e9;
}

static void longest(double *to, double s)
{
    if (s > *to)
        *to = s;
}

static void add(struct totals *t, const struct bench_party *p)
{
    uint64_t done = atomic_load(&p->done), lost = atomic_load(&p->lost);

    switch (p->role) {
    case BENCH_PUBLISH:
        t->published += done;
        longest(&t->publish_s, span(p));
        break;
    case BENCH_REQUEST:
        t->asked += done;
        longest(&t->ask_s, span(p));
        break;
    case BENCH_SERVE:
        break; /* it counts what the askers do */
    case BENCH_SUBSCRIBE:
        *(p->slow ? &t->slow_received : &t->received) += done;
        *(p->slow ? &t->slow_lost : &t->lost) += lost;
        if (!p->slow)
            longest(&t->receive_s, span(p));
        break;
    }
    t->refused += p->refused;
    t->dropped += p->dropped;
    t->unmatched += p->unmatched;
    t->disorder += p->disorder;
    if (!p->slow)
        cli_hist_merge(&t->hist, &p->hist);
    if (t->code == CLI_OK)
        t->code = p->code;
}

static void print_rate(const char *what, uint64_t n, double seconds, uint64_t size)
{
    char count[CLI_NUMBER_MAX], rate[CLI_NUMBER_MAX], bytes[CLI_NUMBER_MAX];
    double per_s = seconds > 0 ? (double)n / seconds : 0;

    if (n == 0)
        return;
    printf("%-10s %s in %.3f s: %s msgs/s, %.1f MiB/s (%s each)\n", what, cli_count_text(n, count),
           seconds, cli_count_text((uint64_t)per_s, rate), per_s * (double)size / (1 << 20),
           cli_size_text(size, bytes));
}

static const struct {
    const char *name, *key;
    double share;
} percentiles[] = {
    {"p50", "p50", 0.5},
    {"p90", "p90", 0.9},
    {"p99", "p99", 0.99},
    {"p99.9", "p999", 0.999},
};

static void print_text(const struct totals *t, uint64_t size)
{
    char text[CLI_NUMBER_MAX];

    print_rate("published", t->published, t->publish_s, size);
    print_rate("received", t->received, t->receive_s, size);
    print_rate("answered", t->asked, t->ask_s, size);
    if (t->hist.n) {
        printf("latency   ");
        for (size_t i = 0; i < sizeof percentiles / sizeof percentiles[0]; i++)
            printf(" %s %s,", percentiles[i].name,
                   cli_latency_text(cli_hist_at(&t->hist, percentiles[i].share), text));
        printf(" max %s\n", cli_latency_text(t->hist.max, text));
    }
    if (t->slow_received || t->slow_lost)
        printf("slow one   received %llu, lost %llu\n", (unsigned long long)t->slow_received,
               (unsigned long long)t->slow_lost);
    if (t->lost || t->refused || t->dropped || t->disorder)
        printf("not well   lost %llu, refused %llu, dropped %llu, out of order %llu\n",
               (unsigned long long)t->lost, (unsigned long long)t->refused,
               (unsigned long long)t->dropped, (unsigned long long)t->disorder);
}

static void json_rate(const char *what, uint64_t n, double seconds, uint64_t size)
{
    double per_s = seconds > 0 ? (double)n / seconds : 0;

    printf("\"%s\":{\"messages\":%llu,\"seconds\":%.6f,\"per_second\":%.1f,\"bytes_per_second\":%."
           "1f},",
           what, (unsigned long long)n, seconds, per_s, per_s * (double)size);
}

static void print_json(const struct totals *t, uint64_t size)
{
    printf("{\"size\":%llu,", (unsigned long long)size);
    json_rate("published", t->published, t->publish_s, size);
    json_rate("received", t->received, t->receive_s, size);
    json_rate("answered", t->asked, t->ask_s, size);
    printf("\"latency_ns\":{\"count\":%llu,\"mean\":%llu,", (unsigned long long)t->hist.n,
           (unsigned long long)cli_hist_mean(&t->hist));
    for (size_t i = 0; i < sizeof percentiles / sizeof percentiles[0]; i++)
        printf("\"%s\":%llu,", percentiles[i].key,
               (unsigned long long)cli_hist_at(&t->hist, percentiles[i].share));
    printf("\"max\":%llu},\"slow\":{\"received\":%llu,\"lost\":%llu},",
           (unsigned long long)t->hist.max, (unsigned long long)t->slow_received,
           (unsigned long long)t->slow_lost);
    printf("\"lost\":%llu,\"refused\":%llu,\"dropped\":%llu,\"unmatched\":%llu,"
           "\"out_of_order\":%llu}\n",
           (unsigned long long)t->lost, (unsigned long long)t->refused,
           (unsigned long long)t->dropped, (unsigned long long)t->unmatched,
           (unsigned long long)t->disorder);
}

/* ------------------------------------------------------------------------------ running --- */

static void free_party(struct bench_party *p)
{
    if (p)
        free(p->seen);
    free(p);
}

static struct bench_party *new_party(struct bench *b, enum bench_role role, unsigned id)
{
    struct bench_party *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->bench = b;
    p->role = role;
    p->id = id;
    p->seen = calloc(BENCH_MAX_PARTIES, sizeof *p->seen);
    if (p->seen)
        return p;
    free(p);
    return NULL;
}

/* Make and start the parties; their number. Fewer than wanted were made where give_up is set. */
static size_t start(struct bench *b, enum bench_role sources, struct bench_party **party)
{
    size_t slow = b->o->slow ? 1 : 0, all = b->o->publishers + b->o->subscribers + slow, n = 0;

    while (n < all && !atomic_load(&b->give_up)) {
        bool source = n < b->o->publishers;
        unsigned id = (unsigned)(source ? n : n - b->o->publishers);
        enum bench_role sink = b->target ? BENCH_SERVE : BENCH_SUBSCRIBE;
        struct bench_party *p = new_party(b, source ? sources : sink, id);

        if (p)
            p->slow = !source && id >= b->o->subscribers;
        if (!p || pthread_create(&p->thread, NULL, bench_party_run, p) != 0) {
            cli_error(b->cli, "cannot start a thread");
            atomic_store(&b->give_up, true);
            free_party(p);
            break;
        }
        party[n++] = p;
    }
    return n;
}

static int run_parties(struct bench *b, enum bench_role sources)
{
    static const struct totals none;
    struct bench_party *party[2 * BENCH_MAX_PARTIES + 1];
    struct totals *t = malloc(sizeof *t);
    size_t n;
    int code;

    if (!t)
        return cli_error(b->cli, "out of memory");
    *t = none;
    n = start(b, sources, party);
    while (atomic_load(&b->ready) < n && !atomic_load(&b->give_up) && !cli_interrupted(b->cli))
        nap_ms(1);
    if (b->o->count == 0)
        b->end_ns = cli_now_ns() + (int64_t)b->o->seconds_ms * 1000000;
    atomic_store(&b->go, true);
    if (n > 0)
        watch(b, party, n);
    for (size_t i = 0; i < n; i++) {
        pthread_join(party[i]->thread, NULL);
        add(t, party[i]);
        free_party(party[i]);
    }
    if (t->code == CLI_OK || t->published + t->received + t->asked > 0)
        (b->cli->json ? print_json : print_text)(t, b->o->size);
    code = t->code == CLI_OK && (t->refused || t->disorder) ? CLI_FAILED : t->code;
    if (code == CLI_OK && t->lost)
        code = CLI_LOST;
    free(t);
    return atomic_load(&b->give_up) && code == CLI_OK ? CLI_FAILED : code;
}

static void defaults(struct bench_options *o, bool publishes, bool subscribes)
{
    o->size = o->size ? o->size - 1 : 128;
    o->seconds_ms = o->seconds_ms ? o->seconds_ms : 5000;
    o->topics = o->topics ? o->topics : 1;
    o->topic = o->topic ? o->topic : "bench";
    o->publishers = !publishes ? 0 : o->publishers ? o->publishers : 1;
    o->subscribers = !subscribes ? 0 : o->subscribers ? o->subscribers : 1;
    o->slow = o->slow && subscribes;
    if (publishes && subscribes && !o->overflow)
        o->overflow = "block";
}

static int run(struct cli *cli, void *given)
{
    const char *name = cli->command->name;
    bool request = strcmp(name, "request") == 0;
    bool publishes = strcmp(name, "sub") != 0;
    bool subscribes = strcmp(name, "sub") == 0 || strcmp(name, "pubsub") == 0;
    struct bench_options *o = given;
    struct bench b = {.cli = cli, .o = o, .target = cli->args_n > 0 ? cli->args[0] : NULL};
    uint64_t servers = o->subscribers;

    defaults(o, publishes, subscribes);
    if (b.target)
        o->subscribers = servers;
    if (o->publishers > BENCH_MAX_PARTIES || o->subscribers > BENCH_MAX_PARTIES)
        return cli_usage(cli, "at most %d publishers and %d subscribers", BENCH_MAX_PARTIES,
                         BENCH_MAX_PARTIES);
    if (o->topics > 1000000 || o->window > BROKER_UNLIMITED || (request && o->window > 4000))
        return cli_usage(cli, "--topics or --window is too large");
    return run_parties(&b, request ? BENCH_REQUEST : BENCH_PUBLISH);
}

#define MODE(mode, text)                                                                           \
    {                                                                                              \
        .name = mode, .summary = text, .options = options,                                         \
        .options_size = sizeof(struct bench_options), .run = run                                   \
    }

static const struct cli_command modes[] = {
    MODE("pub", "Publish as fast as the broker's credit allows"),
    MODE("sub", "Receive what `broker bench pub` sends"),
    MODE("pubsub", "Both at once, every subscriber gets every message"),
    {.name = "request",
     .args = "[SERVICE/METHOD]",
     .summary = "Publish and wait for each receipt, or call a service: round trips",
     .more = "With SERVICE/METHOD each request is a call of it; -S N starts N servers here that "
             "answer\n"
             "with what they were sent, each on a connection and a thread of its own.\n\n"
             "  broker bench request                      receipts of published messages\n"
             "  broker bench request echo/x -S 1 -w 64    calls, 64 under way",
     .options = options,
     .options_size = sizeof(struct bench_options),
     .args_max = 1,
     .run = run},
    {.name = NULL},
};

#undef MODE

const struct cli_command cli_bench = {
    .name = "bench",
    .summary = "Measure how fast a broker is",
    .more =
        "Prints messages and MiB a second, and latency percentiles. Unless paced by --rate, the\n"
        "latency is that of a broker kept as busy as possible: mostly waiting in line.\n\n"
        "  broker bench pubsub -n 1000000            one to one, 128 bytes\n"
        "  broker bench pubsub -S 9 --slow           nine healthy subscribers and a slow one\n"
        "  broker bench pubsub --rate 10000          latency at a steady pace",
    .subs = modes,
};
