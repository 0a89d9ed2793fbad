#include "libbroker/cli/hist.h"

enum { SUB = 1 << CLI_HIST_BITS };

static size_t bucket_of(uint64_t value)
{
    int shift;

    if (value < SUB)
        return (size_t)value;
    shift = 63 - __builtin_clzll(value) - CLI_HIST_BITS; /* brings it to SUB .. 2 * SUB - 1 */
    return ((size_t)shift << CLI_HIST_BITS) + (size_t)(value >> shift);
}

/* The largest value of a bucket. */
static uint64_t bucket_end(size_t i)
{
    unsigned shift;

    if (i < 2 * SUB)
        return i;
    shift = (unsigned)(i >> CLI_HIST_BITS) - 1;
    return ((((uint64_t)i & (SUB - 1)) + SUB + 1) << shift) - 1;
}

void cli_hist_add(struct cli_hist *h, uint64_t value)
{
    h->bucket[bucket_of(value)]++;
    h->n++;
    h->sum += value;
    if (value > h->max)
        h->max = value;
}

void cli_hist_merge(struct cli_hist *h, const struct cli_hist *from)
{
    for (size_t i = 0; i < CLI_HIST_BUCKETS; i++)
        h->bucket[i] += from->bucket[i];
    h->n += from->n;
    h->sum += from->sum;
    if (from->max > h->max)
        h->max = from->max;
}

uint64_t cli_hist_at(const struct cli_hist *h, double p)
{
    double wanted = p * (double)h->n;
    uint64_t seen = 0;

    for (size_t i = 0; i < CLI_HIST_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen > 0 && (double)seen >= wanted) {
            uint64_t end = bucket_end(i);

            return end < h->max ? end : h->max;
        }
    }
    return h->max;
}

uint64_t cli_hist_mean(const struct cli_hist *h)
{
    return h->n ? h->sum / h->n : 0;
}
