/* arrears.h - acks that wait for their turn, so that one consumer's cannot hold up a worker.
 *
 * Why      A verb is 17 bytes and may concern all that is in flight: extending 10,000 deliveries
 *          again and again, 256 KiB of such verbs, kept a worker busy for 1.4 s.
 * Shape    Each verb counts as the deliveries it names in vain: that it does not settle or, where
 *          the queue is on another worker, perhaps does not. An endpoint has so many in a
 *          millisecond; the verb that finds them used up waits, and all after it, in order, for
 *          core_tick(). While some wait, the connection is not read (core_is_behind()). Who only
 *          settles what it gets does not come near that.
 * Owner    The endpoint's, made with its first verb that names many in vain. Verbs of a consumer
 *          that leaves are dropped: what it had returns to the queue.
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_ARREARS_H
#define BROKERD_CORE_ARREARS_H

#include "brokerd/core/state.h"

/* core_ack() of deliveries that have been made: at once if it may, else later. -ENOMEM. */
int arrears_ack(struct consumer *k, const struct ack *a);

/* Carry out what may be by now. */
void arrears_go_on(struct core *c);

/* `k` is leaving. */
void arrears_drop(const struct consumer *k);

/* The endpoint goes; fine if it has none. */
void arrears_free(struct endpoint *ep);

#endif
