/* load protocol=P port=N pid=N [workload=W] [size=BYTES] [seconds=S] [peer=LABEL] [round=N] ...
 *
 * Puts load on a broker that runs, and prints one line of JSON. The labels are printed as they are,
 * so that a script can tell its runs apart. Exit status: 0; 1 if the run failed; 3 if the protocol
 * has no such thing (a relay has no work queue).
 *
 *      workload    options, and what they are without
 *      one-to-one  size=128 window=0 (0: min(32768, 8 MiB / size, 32 MiB / (size * subscribers)))
 *      fan-out     the same, and subscribers=100
 *      fan-in      the same, and publishers=16, each on a topic of its own; one subscriber to all
 *      stalled     fan-out to 10: size=1024 subscribers=10 stalled=1
 *                  the last one stops reading after the warm-up; with stalled=0, the reference, it
 *                  is not there at all
 *      paced       one to one: size=128 rate=1000 (a second)
 *      round-trip  size=128: ping-pong of one message between two connections
 *      queue       size=128 window=1024 (messages not confirmed; and at most 65,536 not delivered)
 *                  durable=0 (1: on disk, where clients choose; else the broker's settings do)
 *      idle        connections=10000, each subscribed to a topic of its own
 *      wildcards   size=16 window=32768 subscriptions=100000 connections=20 churn=0 (so many
 *                  subscriptions come and go each second, on one more connection)
 *
 * Fields of the line. In every one:
 *
 *      peer round workload protocol size         as asked for
 *      subscribers publishers                    connections of each kind
 *      seconds                                   measured, after the warm-up
 *      published delivered                       messages in that time, all subscribers together
 *      published_per_second per_second           the same by the second; per_second: deliveries
 *      lost                                      deliveries that never came, of the whole run
 *      told_lost                                 of those, the ones the broker told the subscriber
 *      broker_ns own_ns                          CPU per delivered message: the broker's, the
 *                                                generator's (user and system)
 *      cores others_cores                        the broker's CPU by the second; what else ran
 *      peak_kib rss_kib                          the broker's memory: most ever, at the end
 *
 * Where there is one, window. Then by workload:
 *
 *      paced       rate, p50_us p99_us p999_us max_us: from before the write to after the read
 *      round-trip  the same of a trip: there and back, two messages; both count as delivered
 *      queue       the same of a delivery; confirm_p50_us confirm_p99_us confirm_p999_us
 *                  confirm_max_us; confirmed_per_second; refused
 *      idle        connections connects_per_second broker_us_per_connection
 *                  rss_kib_per_connection idle_cores (broker's, while nothing happens); seconds is
 *                  that of the quiet time, delivered is 0
 *      stalled     stalled (1, or 0 in the reference), longest_gap_ms (the longest time without any
 *                  delivery to the others), rss_before_kib (before the stall); of the stalled one:
 *                  stalled_cut_off (1 or 0), stalled_got, stalled_told (losses it was told of),
 *                  stalled_unsaid (published, not got, not told). delivered and lost: the others'
 *      wildcards   subscriptions connections churn churned_per_second matches_per_message
 *                  broker_ns_per_published subscribes_per_second rss_kib_per_subscription */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/bench/load/loop.h"
#include "tests/bench/load/workload.h"

enum { EXIT_NOT_THERE = 3, PATIENCE_S = 180 /* what a run may take besides the time measured */ };

static const struct workload {
    const char *name;
    unsigned needs; /* LOAD_ bits of the driver */
    void (*run)(const struct task *t, struct result *ret);
    struct task usual; /* options that were not given */
} workloads[] = {
    {"one-to-one", LOAD_TOPICS, one_to_one, {.size = 128}},
    {"fan-out", LOAD_TOPICS, fan_out, {.size = 128, .subscribers = 100}},
    {"stalled",
     LOAD_TOPICS | LOAD_STALLS,
     stalled,
     {.size = 1024, .subscribers = 10, .stalled = 1}},
    {"fan-in", LOAD_TOPICS, fan_in, {.size = 128, .publishers = 16}},
    {"paced", LOAD_TOPICS, paced, {.size = 128, .rate = 1000}},
    {"round-trip", LOAD_TOPICS | LOAD_DUPLEX, round_trip, {.size = 128}},
    {"queue", LOAD_QUEUES, work_queue, {.size = 128, .window = 1024}},
    {"wildcards",
     LOAD_WILDCARDS,
     wildcards,
     {.size = 16, .subscriptions = 100000, .connections = 20}},
    {"idle", LOAD_TOPICS, idle, {.size = 128, .connections = 10000}},
};

/* The value of `key`=value among the arguments, or `otherwise`; NULL there: it must be given. */
static const char *option(char **args, const char *key, const char *otherwise)
{
    size_t n = strlen(key);

    for (; *args; args++)
        if (strncmp(*args, key, n) == 0 && (*args)[n] == '=')
            return *args + n + 1;
    if (!otherwise)
        die("%s=... is missing", key);
    return otherwise;
}

static double number(char **args, const char *key, double least, double most)
{
    const char *text = option(args, key, NULL);
    char *end;
    double v = strtod(text, &end);

    if (*end || !(v >= least) || !(v <= most))
        die("%s=%s: wanted %g to %g", key, text, least, most);
    return v;
}

/* The same of a whole number that may be left out. */
static unsigned count(char **args, const char *key, unsigned otherwise, unsigned least,
                      unsigned most)
{
    return *option(args, key, "") ? (unsigned)number(args, key, least, most) : otherwise;
}

static const struct workload *workload_of(const char *name)
{
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++)
        if (strcmp(workloads[i].name, name) == 0)
            return &workloads[i];
    die("no workload '%s'", name);
}

void result_add(struct result *r, const char *name, double value)
{
    if (r->more_n == RESULT_MORE)
        die("too many fields in a result");
    r->more[r->more_n].name = name;
    r->more[r->more_n++].value = value;
}

void result_add_times(struct result *r, const char *const names[4], const struct histogram *h)
{
    static const double shares[4] = {0.5, 0.99, 0.999, 1};

    for (int i = 0; i < 4; i++)
        result_add(r, names[i], histogram_us(h, shares[i]));
}

/* Whole numbers as such, others with three digits. */
static void print_number(const char *name, double value)
{
    bool whole = value == (double)(int64_t)value;

    printf(",\"%s\":%.*f", name, whole || value >= 1e6 ? 0 : 3, value);
}

static void report(const struct task *t, const char *workload, const struct result *r, char **args)
{
    double seconds = r->after.at - r->before.at;
    double messages = r->delivered ? (double)r->delivered : 1;
    double broker_s = r->after.broker_s - r->before.broker_s;
    double own_s = r->after.own_s - r->before.own_s;
    double others = (r->after.busy_s - r->before.busy_s - broker_s - own_s) / seconds;

    printf("{\"peer\":\"%s\",\"round\":%s,\"workload\":\"%s\",\"protocol\":\"%s\",\"size\":%zu,"
           "\"subscribers\":%u,\"publishers\":%u",
           option(args, "peer", t->driver->name), option(args, "round", "0"), workload,
           t->driver->name, t->size, r->subscribers, r->publishers);
    print_number("seconds", seconds);
    print_number("published", (double)r->published);
    print_number("delivered", (double)r->delivered);
    print_number("published_per_second", (double)r->published / seconds);
    print_number("per_second", (double)r->delivered / seconds);
    print_number("lost", (double)r->lost);
    print_number("told_lost", (double)r->told_lost);
    print_number("broker_ns", broker_s * 1e9 / messages);
    print_number("own_ns", own_s * 1e9 / messages);
    print_number("cores", broker_s / seconds);
    print_number("others_cores", others);
    print_number("peak_kib", (double)peak_kib(t->pid));
    print_number("rss_kib", (double)r->after.rss_kib);
    for (unsigned i = 0; i < r->more_n; i++)
        print_number(r->more[i].name, r->more[i].value);
    puts("}");
}

/* Whatever a broker does: the run ends. */
static void too_long(int signal)
{
    static const char text[] = "load: the run does not end\n";

    (void)signal;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(1);
}

/* A descriptor for each of many connections. */
static void raise_limit(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
        l.rlim_cur = l.rlim_max;
        setrlimit(RLIMIT_NOFILE, &l);
    }
}

static struct task task_of(char **args, const struct task *usual)
{
    return (struct task){
        .driver = driver_of(option(args, "protocol", NULL)),
        .port = (unsigned)number(args, "port", 1, 65535),
        .pid = (int)number(args, "pid", 1, 1 << 30),
        .size = count(args, "size", (unsigned)usual->size, 1, LOAD_PAYLOAD_MAX),
        .seconds = *option(args, "seconds", "") ? number(args, "seconds", 0.01, 3600) : 3,
        .subscribers = count(args, "subscribers", usual->subscribers, 1, 10000),
        .publishers = count(args, "publishers", usual->publishers, 1, 1000),
        .connections = count(args, "connections", usual->connections, 1, 60000),
        .subscriptions = count(args, "subscriptions", usual->subscriptions, 1, 1000000),
        .window = count(args, "window", usual->window, 0, 1 << 20),
        .rate = count(args, "rate", usual->rate, 1, 1000000),
        .churn = count(args, "churn", usual->churn, 0, 100000),
        .durable = count(args, "durable", 0, 0, 1),
        .stalled = count(args, "stalled", usual->stalled, 0, 1),
    };
}

int main(int argc, char **argv)
{
    const struct workload *w;
    struct result r = {0};
    struct task t;

    (void)argc;
    argv++;
    w = workload_of(option(argv, "workload", "one-to-one"));
    t = task_of(argv, &w->usual);
    if ((t.driver->does & w->needs) != w->needs) {
        fprintf(stderr, "load: %s has no such thing as %s\n", t.driver->name, w->name);
        return EXIT_NOT_THERE;
    }
    signal(SIGALRM, too_long);
    alarm(PATIENCE_S + (unsigned)t.seconds);
    raise_limit();
    loop_init();
    w->run(&t, &r);
    report(&t, w->name, &r, argv);
    return 0;
}
