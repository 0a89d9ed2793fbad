/* load protocol=P port=N pid=N size=BYTES seconds=S [peer=LABEL] [round=N]
 *
 * Puts load on a broker that runs, and prints one line of JSON. The labels are printed as they are,
 * so that a script can tell its runs apart. */
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
