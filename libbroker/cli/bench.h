/* bench.h - the parties of a benchmark: publishers, subscribers and askers, a thread each.
 *
 * Why      One connection does not load a broker, and one thread does not drive eight.
 * Shape    Each party has its own connection, counts into its own struct, and says when it is
 *          ready and when it is done; all begin when `go` is set. Payloads of BENCH_HEAD bytes and
 *          more carry who sent them, their number and sometimes the time, so that subscribers can
 *          check order and measure latency (on one machine: the clock is its monotonic one).
 * Owner    struct bench belongs to the main thread, each party to its thread until it is joined;
 *          what others read meanwhile is atomic.
 * Errors   A party's exit code is in `code` when it is done.
 * Thread   As said. */
#ifndef BROKER_CLI_BENCH_H
#define BROKER_CLI_BENCH_H

#include <pthread.h>
#include <stdatomic.h>

#include "libbroker/cli/cli.h"
#include "libbroker/cli/hist.h"

enum { BENCH_HEAD = 24, BENCH_MAX_PARTIES = 256 };

struct bench_options {
    uint64_t count, seconds_ms, size, topics, publishers, subscribers, window, rate;
    bool slow;
    const char *topic, *overflow;
};

struct bench {
    const struct cli *cli;
    const struct bench_options *o;
    const char *target;  /* SERVICE/METHOD that is asked; NULL: receipts are asked for */
    atomic_bool go;      /* begin */
    atomic_bool give_up; /* a party failed, or the person wants an end */
    atomic_bool sent;    /* all publishers or askers are done: `published` is the sum */
    atomic_uint ready;   /* parties that are; those that failed, too */
    int64_t end_ns;      /* set before `go`: publishers stop then; 0: never */
    uint64_t published;  /* set before `sent` */
};

enum bench_role { BENCH_PUBLISH, BENCH_SUBSCRIBE, BENCH_REQUEST, BENCH_SERVE };

/* Does a party of this role have an end of its own, which the others wait for? */
static inline bool bench_is_source(enum bench_role role)
{
    return role == BENCH_PUBLISH || role == BENCH_REQUEST;
}

struct bench_party {
    struct bench *bench;
    pthread_t thread;
    enum bench_role role;
    unsigned id;               /* among those of its role */
    bool slow;                 /* a subscriber that grants little */
    int code;                  /* its exit code */
    int64_t first_ns, last_ns; /* of its messages */
    atomic_ullong done;        /* messages published and settled, received, or answered */
    atomic_ullong lost;        /* told by gaps */
    atomic_bool finished;
    uint64_t refused, dropped, unmatched; /* publishers */
    uint64_t disorder;                    /* received after a later one of the same publisher */
    uint64_t *seen;                       /* by publisher: the number that came last; subscribers */
    struct cli_hist hist;                 /* latencies, ns */
};

/* A thread's function: `arg` is its struct bench_party. */
void *bench_party_run(void *arg);

#endif
