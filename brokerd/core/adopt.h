/* adopt.h - which settings apply to a queue: those of the file, what its maker wished, and the
 * store it lies in; and what its store is told of that.
 *
 * Shape    A queue keeps the level (policy->durable) it was made with. What the settings say of it
 *          later counts when it is made anew.
 * Thread   The queue's worker. */
#ifndef BROKERD_CORE_ADOPT_H
#define BROKERD_CORE_ADOPT_H

#include "brokerd/core/state.h"

/* The policy of a queue `name` that is to be made at that level. `found`: a store has it, so that
 * what its maker wished was granted once, and is not refused now. -EINVAL, *why. */
struct adopt {
    struct slice name, headers;
    enum durable level;
    bool found;
};
int adopt_policy(struct core *c, const struct adopt *a, struct queue_policy *ret,
                 struct refusal *why);

/* The settings are others now, and its store is to know of it; or its wishes are, by what its store
 * says. */
void adopt_again(struct queue *q);
void adopt_learned(struct queue *q);

/* What its store is to know of a queue. `ret` borrows from the queue and *ret_bytes, which is the
 * caller's to free. -ENOMEM. */
struct store_open;
int adopt_definition(const struct queue *q, struct store_open *ret, uint8_t **ret_bytes);

/* It has other bindings or settings: tell its store, if it has one. */
void adopt_define(struct queue *q);

#endif
