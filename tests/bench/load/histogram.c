#include "tests/bench/load/histogram.h"

/* Below 64 ns a bucket each; then 64 for each doubling: the highest bit says which, the six below
 * it where in it. */
static unsigned bucket_of(uint64_t ns)
{
    unsigned shift;

    if (ns < 64)
        return (unsigned)ns;
    shift = 57 - (unsigned)__builtin_clzll(ns);
    return shift * 64 + (unsigned)(ns >> shift);
}

static uint64_t highest_in(unsigned bucket)
{
    unsigned shift = bucket < 128 ? 0 : bucket / 64 - 1;

    return ((uint64_t)(bucket - shift * 64 + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t ns)
{
    h->bucket[bucket_of(ns)]++;
    h->n++;
    if (ns > h->max_ns)
        h->max_ns = ns;
}

double histogram_us(const struct histogram *h, double share)
{
    uint64_t seen = 0, wanted = (uint64_t)(share * (double)h->n);

    if (share >= 1 || h->n == 0)
        return (double)h->max_ns / 1e3;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen > wanted && highest_in(i) < h->max_ns)
            return (double)highest_in(i) / 1e3;
    }
    return (double)h->max_ns / 1e3;
}
