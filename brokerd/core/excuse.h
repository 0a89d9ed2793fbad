/* excuse.h - what is to be said of refused messages beyond the reason: which queue, which number.
 *
 * Why      `full: a queue is at its limit` helps nobody who publishes to forty of them, and it
 *          may be its store that is full.
 * Shape    A publisher keeps a short chain of texts, each for a range of its messages, until these
 *          have been told; neighbours refused for the same cause share one. Where there are too
 *          many, or no memory for another, the reason's own text has to do.
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_EXCUSE_H
#define BROKERD_CORE_EXCUSE_H

#include "brokerd/core/slots.h"
#include "libbroker/base/policy.h"
#include "libbroker/base/slice.h"

struct excuse;
struct store;

/* What keeps a queue from taking more. */
enum blame {
    BLAME_LIMITS,   /* its own, */
    BLAME_SHARED,   /* which its store judges, as other brokers put there, too; */
    BLAME_FULL,     /* its store is full, */
    BLAME_UNOPENED, /* has yet to open it, */
    BLAME_BUSY,     /* has too much on its way, */
    BLAME_STORE,    /* or does not keep what it is given */
};

/* A queue that refuses. */
struct blamed {
    handle_t queue;          /* 0: none, and the rest is empty */
    uint64_t waiting, bytes; /* messages, and of them the payload */
    enum blame blame;
    enum durable level; /* of its store */
};

/* Messages first..first+n-1 were refused by the queue called `label`, whose store (NULL: it has
 * none) is that. `*e` is the chain, NULL at first; messages are noted in about the order they are
 * told. */
void excuse_queue(struct excuse **e, uint64_t first, uint32_t n, const struct blamed *by,
                  struct slice label, const struct store *store);

/* They were above the rate of their connection, in messages a second. */
void excuse_rate(struct excuse **e, uint64_t first, uint32_t n, uint32_t rate);

/* How many of the messages first..first+n-1 (n at least 1), from the first on, have the same
 * excuse: *ret_text, borrowed until the next call for this chain; NULL: none. */
uint32_t excuse_find(const struct excuse *e, uint64_t first, uint32_t n, const char **ret_text);

/* All up to `upto` have been told. UINT64_MAX: free the chain. */
void excuse_forget(struct excuse **e, uint64_t upto);

#endif
