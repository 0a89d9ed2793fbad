/* part.h - deliveries that outlive their consumer, and settling them from anywhere.
 *
 * Why      HTTP has no connection to speak of: who got a message may settle it by another one,
 * which another worker reads. And a browser whose stream was cut comes again and says how far it
 *          got.
 * Shape    A consumer that parts leaves its tap behind, with what is in flight and nobody to have
 *          more; it goes when the last of that has settled or timed out. A delivery is named by its
 *          tap's handle and its number, so who knows the two says them to the queue's worker:
 *              any worker --settle--> the queue's --resolved--> the asker's endpoint
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_PART_H
#define BROKERD_CORE_PART_H

#include "brokerd/core/state.h"

struct mail_settle;
struct mail_tap;

/* The endpoint goes: answers to it find nothing. */
void part_forget(struct endpoint *ep);

/* From other workers. */
void part_take_part(struct core *c, const struct mail_tap *m);
void part_take_settle(struct core *c, const struct mail_settle *m);
void part_take_resolved(struct core *c, const struct mail_settle *m);

#endif
