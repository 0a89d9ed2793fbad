/* spread.h - a run goes to queues here and to other workers, and comes from them.
 *
 * Shape    out:  offered to the queues of this worker that it matches; one entry with all of it to
 *                each other worker that has such
 *          in:   offered to the queues here; what became of it goes back as answers (answer.h)
 *          What another broker published (outlet.h) goes neither to the outlet nor to queues that
 *          brokers share.
 * Owner    Entries are the receiving worker's.
 * Errors   A worker that takes no more counts as a queue that refused.
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_SPREAD_H
#define BROKERD_CORE_SPREAD_H

#include "brokerd/core/offer.h"
#include "brokerd/core/state.h"

struct mail_run;

/* Post a run to `worker`; `queue` 0: to whatever matches there. -1: it takes no more. */
int spread_post(const struct offer *o, unsigned worker, handle_t queue);
/* That was so: its queues count as one that refused. */
void spread_refused(struct offer *o);

/* Offer to this worker's queues and post to the others. Returns how many will answer. */
unsigned spread_out(struct offer *o, const struct route *r);
/* The same, of what another broker published. */
unsigned spread_foreign_out(struct offer *o, const struct route *r);

/* A run from another worker. */
void spread_take_run(struct core *c, struct mail_run *m);
void spread_take_foreign(struct core *c, struct mail_run *m);

/* Offer to one queue here, which may be gone, and answer. */
void spread_take_for_queue(struct offer *o, handle_t queue, struct topic *topic);

#endif
