/* slot.h - deliveries that a webhook holds: kept, extended, given back.
 *
 * Thread   The worker's. */
#ifndef BROKERD_WEBHOOKS_SLOT_H
#define BROKERD_WEBHOOKS_SLOT_H

#include "brokerd/webhooks/internal.h"

/* There are none yet; each is made when a delivery first needs it. */
void slots_begin(struct hook *h);
/* Give up what is under way or waits, and their memory: there are none again. */
void slots_give_up(struct hook *h);

/* Keep the deliveries, as fresh. From within the core. */
void slots_take(struct hook *h, const struct delivery *d);

/* It is settled: free again. */
void slot_release(struct slot *s);

/* Is it still to be settled, by the consumer there is now? */
static inline bool slot_is_current(const struct slot *s)
{
    return s->hook->consumer && s->epoch == s->hook->epoch;
}

/* What is to be told of it. Borrowed from the slot. */
struct request_event slot_event(const struct slot *s);

#endif
