/* excuse.h - what is to be said of refused messages beyond the reason: which queue, which number.
 *
 * Why      `full: a queue is at its limit` helps nobody who publishes to forty of them.
 * Shape    A publisher keeps a short chain of texts, each for a range of its messages, until these
 *          have been told; neighbours refused for the same cause share one. Where there are too
 *          many, or no memory for another, the reason's own text has to do.
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_EXCUSE_H
#define BROKERD_CORE_EXCUSE_H

#include "brokerd/core/slots.h"
#include "libbroker/base/slice.h"

struct excuse;

/* A queue at its limit. */
struct full {
    handle_t queue;
    uint64_t waiting, bytes; /* messages, and of them the payload */
};

/* Messages first..first+n-1 were refused by the queue called `label`. `*e` is the chain, NULL at
 * first; messages are noted in about the order they are told. */
void excuse_full(struct excuse **e, uint64_t first, uint32_t n, const struct full *full,
                 struct slice label);

/* They were above the rate of their connection, in messages a second. */
void excuse_rate(struct excuse **e, uint64_t first, uint32_t n, uint32_t rate);

/* How many of the messages first..first+n-1 (n at least 1), from the first on, have the same
 * excuse: *ret_text, borrowed until the next call for this chain; NULL: none. */
uint32_t excuse_find(const struct excuse *e, uint64_t first, uint32_t n, const char **ret_text);

/* All up to `upto` have been told. UINT64_MAX: free the chain. */
void excuse_forget(struct excuse **e, uint64_t upto);

#endif
