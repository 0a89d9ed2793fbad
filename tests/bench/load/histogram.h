/* histogram.h - percentiles of times, in fixed memory.
 *
 * Shape    Buckets a 64th of their value wide: what comes out is at most 1.6 % too high.
 * Thread   One. */
#ifndef TESTS_BENCH_LOAD_HISTOGRAM_H
#define TESTS_BENCH_LOAD_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 60 * 64 };

struct histogram {
    uint64_t n, max_ns;
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t ns);

/* The time, in us, that a share of 0 to 1 of all was not above; 0 if there are none. */
double histogram_us(const struct histogram *h, double share);

#endif
