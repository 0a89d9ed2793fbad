/* one_to_one.h - the workload of one publisher to one subscriber, as fast as both can.
 *
 * Shape    Never more than a window of messages is on its way: min(32768, 8 MiB / size), the same
 *          for every broker. So one without credit cannot pile messages up, and a rate is one
 *          that lasts. */
#ifndef TESTS_BENCH_LOAD_ONE_TO_ONE_H
#define TESTS_BENCH_LOAD_ONE_TO_ONE_H

#include "tests/bench/load/first.h"
#include "tests/bench/load/measure.h"

struct task {
    const struct driver *driver;
    unsigned port;
    int pid;        /* the broker's */
    size_t size;    /* of a payload, bytes */
    double seconds; /* to measure, after warming up */
};

struct result {
    struct usage before, after; /* the measured time */
    uint64_t delivered;         /* in it */
    int64_t lost;               /* of all that were sent, whenever; above 0: never came */
};

/* Run it and say what happened in *ret. */
void one_to_one(const struct task *t, struct result *ret);

#endif
