/* workload.h - what a run is asked to do, and what it has to say.
 *
 * Shape    A workload is one function in one file: it opens its sides, warms up, takes usage_now()
 *          before and after the time it measures, fills in the result. main.c prints it; the
 *          fields are described there.
 * Errors   What goes wrong ends the program. Every wait has an end. */
#ifndef TESTS_BENCH_LOAD_WORKLOAD_H
#define TESTS_BENCH_LOAD_WORKLOAD_H

#include "tests/bench/load/histogram.h"
#include "tests/bench/load/load.h"
#include "tests/bench/load/measure.h"

/* Options; main.c has their meaning and defaults. */
struct task {
    const struct driver *driver;
    unsigned port;
    int pid; /* the broker's */
    size_t size;
    double seconds;
    unsigned subscribers, publishers, connections, subscriptions;
    unsigned window, rate, churn, stalled, durable;
};

enum { RESULT_MORE = 24 };

struct result {
    struct usage before, after; /* of the measured time */
    uint64_t published, delivered;
    int64_t lost;
    uint64_t told_lost;
    unsigned subscribers, publishers;
    struct {
        const char *name;
        double value;
    } more[RESULT_MORE]; /* fields of this workload only */
    unsigned more_n;
};

/* One more field. */
void result_add(struct result *r, const char *name, double value);

/* Four more: the median, 99 %, 99.9 % and the longest of `h`, under these names. */
void result_add_times(struct result *r, const char *const names[4], const struct histogram *h);

void one_to_one(const struct task *t, struct result *ret);
void fan_out(const struct task *t, struct result *ret);
void fan_in(const struct task *t, struct result *ret);
void stalled(const struct task *t, struct result *ret);
void paced(const struct task *t, struct result *ret);
void round_trip(const struct task *t, struct result *ret);
void work_queue(const struct task *t, struct result *ret);
void idle(const struct task *t, struct result *ret);
void wildcards(const struct task *t, struct result *ret);

/* Seconds before anything is measured. */
static const double warm_up_s = 0.3;

/* How long a connection may take to be ready, seconds. */
static const double ready_s = 20;

#endif
