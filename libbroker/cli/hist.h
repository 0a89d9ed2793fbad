/* hist.h - a histogram of latencies, small and within 3 % of the truth.
 *
 * Shape    Each power of two is cut into 32 buckets; below 32 each number has its own.
 * Errors   None: it holds any number.
 * Thread   One at a time; cli_hist_merge() brings those of several threads together. */
#ifndef BROKER_CLI_HIST_H
#define BROKER_CLI_HIST_H

#include <stddef.h>
#include <stdint.h>

enum { CLI_HIST_BITS = 5, CLI_HIST_BUCKETS = (64 - CLI_HIST_BITS + 1) << CLI_HIST_BITS };

struct cli_hist { /* zero it to begin */
    uint64_t n, max, sum;
    uint64_t bucket[CLI_HIST_BUCKETS];
};

/* Count a value. */
void cli_hist_add(struct cli_hist *h, uint64_t value);

/* Add all of `from` to `h`. */
void cli_hist_merge(struct cli_hist *h, const struct cli_hist *from);

/* The value that a share `p` (0 to 1) of all values does not exceed, rounded up to the end of its
 * bucket but never above the largest; 0 where there are none. */
uint64_t cli_hist_at(const struct cli_hist *h, double p);

/* The mean; 0 where there are none. */
uint64_t cli_hist_mean(const struct cli_hist *h);

#endif
