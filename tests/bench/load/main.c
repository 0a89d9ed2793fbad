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
 *      stalled     fan-out with size=1024 subscribers=10 stalled=1: the last one stops reading
 * after the warm-up; stalled=0: the reference, one subscriber less paced       size=128 rate=1000
 * (a second): one to one round-trip  size=128: ping-pong of one message between two connections
 *      queue       size=128 window=1024 (messages not confirmed)
 *      idle        connections=10000, each subscribed to a topic of its own
 *      wildcards   size=16 window=0 subscriptions=100000 connections=20 churn=0 (so many
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
 *                  broker_ns_per_published */
#include "tests/bench/load/one_to_one.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct driver *driver_of(const char *name)
{
    static const struct driver *const all[] = {&rsocket_driver, &nats_driver, &relay_driver};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    die("protocol is one of: rsocket nats relay; not '%s'", name);
}

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

    if (*end || v < least || v > most)
        die("%s=%s: wanted %g to %g", key, text, least, most);
    return v;
}

static void report(const struct task *t, const struct result *r, char **args)
{
    double seconds = r->after.at - r->before.at;
    double messages = r->delivered ? (double)r->delivered : 1;
    double broker_s = r->after.broker_s - r->before.broker_s;
    double own_s = r->after.own_s - r->before.own_s;
    double others = (r->after.busy_s - r->before.busy_s - broker_s - own_s) / seconds;

    printf("{\"peer\":\"%s\",\"round\":%s,\"workload\":\"one-to-one\",\"protocol\":\"%s\","
           "\"size\":%zu,\"seconds\":%.3f,\"delivered\":%llu,\"per_second\":%.0f,"
           "\"lost\":%lld,\"broker_ns\":%.1f,\"own_ns\":%.1f,\"cores\":%.2f,"
           "\"others_cores\":%.2f,\"peak_kib\":%ld}\n",
           option(args, "peer", t->driver->name), option(args, "round", "0"), t->driver->name,
           t->size, seconds, (unsigned long long)r->delivered, (double)r->delivered / seconds,
           (long long)r->lost, broker_s * 1e9 / messages, own_s * 1e9 / messages,
           broker_s / seconds, others, peak_kib(t->pid));
}

int main(int argc, char **argv)
{
    struct result r;
    struct task t;

    (void)argc;
    argv++;
    t.driver = driver_of(option(argv, "protocol", NULL));
    t.port = (unsigned)number(argv, "port", 1, 65535);
    t.pid = (int)number(argv, "pid", 1, 1 << 30);
    t.size = (size_t)number(argv, "size", 1, LOAD_PAYLOAD_MAX);
    t.seconds = number(argv, "seconds", 0.01, 3600);
    one_to_one(&t, &r);
    report(&t, &r, argv);
    return 0;
}
