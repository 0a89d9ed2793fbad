/* interest.h - filters that are wanted, each counted, and which of them are to be told of.
 *
 * Why      A filter comes and goes with thousands of subscriptions; others need to hear of the
 *          first and of the last of them only, and not of one that came and went meanwhile.
 * Shape    Each worker counts its queues; worker 0 counts workers.
 * Owner    The caller's; interest_init() to interest_fini().
 * Errors   -ENOMEM.
 * Thread   One at a time. */
#ifndef BROKERD_NODES_INTEREST_H
#define BROKERD_NODES_INTEREST_H

#include "libbroker/base/map.h"

struct interest {
    struct map filters;  /* struct wish (interest.c) */
    struct list changed; /* of those: what was told of them is not so any more */
    uint64_t lost;       /* wishes there was no memory for */
};

void interest_init(struct interest *i, uint64_t seed);
void interest_fini(struct interest *i);

/* One more wants that filter, or one fewer. Without memory it is counted as lost. */
void interest_add(struct interest *i, struct slice filter, bool on);

/* Take a filter that has become wanted (*on) or is no longer: false if there is none to be told.
 * It is copied to `buf`, of NAME_MAX_BYTES; and told now. */
bool interest_next(struct interest *i, char *buf, struct slice *ret, bool *on);
bool interest_has_news(const struct interest *i);

/* All are to be told anew. */
void interest_again(struct interest *i);

/* Filters that are wanted, or were when that was told last. */
size_t interest_count(const struct interest *i);

#endif
