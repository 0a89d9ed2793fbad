/* measure.h - time, and the CPU and memory of the broker and of the generator itself.
 *
 * Shape    Take one `struct usage` before and one after: the difference is what happened between.
 * Errors   A process that cannot be asked ends the program. */
#ifndef TESTS_BENCH_LOAD_MEASURE_H
#define TESTS_BENCH_LOAD_MEASURE_H

#include <stdint.h>

struct usage {
    double at;       /* seconds, monotonic */
    double broker_s; /* CPU of all its threads, user and system, those that ended included */
    double own_s;    /* the same, ours */
    double busy_s;   /* the whole machine's, to the 10 ms */
    long rss_kib;    /* the broker's resident memory */
};

/* Now, of process `pid`. */
struct usage usage_now(int pid);

/* Seconds, monotonic. */
double seconds_now(void);

/* The same in nanoseconds. */
uint64_t ns_now(void);

/* The most memory that process `pid` ever had resident, KiB. */
long peak_kib(int pid);

#endif
