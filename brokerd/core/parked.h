/* parked.h - messages that wait for their queue to be known.
 *
 * Why      A publisher may name a queue that is being made, or that this worker has yet to hear of.
 * Owner    The name (struct named) has them. They are charged to the memory budget.
 * Errors   Without memory, and where the queue cannot be made, the publisher gets an answer.
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_PARKED_H
#define BROKERD_CORE_PARKED_H

#include "brokerd/core/offer.h"
#include "brokerd/core/state.h"

struct named;

/* The queue is not known yet: keep the messages until it is. `unbound`: where it has to be made, it
 * has nothing but what is sent to it. */
void parked_add(struct offer *o, struct named *n, bool unbound);

/* It is known, or cannot be: let them go there, or answer. */
void parked_go(struct core *c, struct named *n);

#endif
