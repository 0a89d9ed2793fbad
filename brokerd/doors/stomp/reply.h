/* reply.h - questions and answers: `reply-to:/temp-queue/NAME`, and SEND to a service.
 *
 * Shape    A reply queue is a queue of the connection's own with a consumer; its messages say that
 *          they are of the subscription "/temp-queue/NAME", which nobody asked for.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_STOMP_REPLY_H
#define BROKERD_DOORS_STOMP_REPLY_H

#include "brokerd/doors/stomp/subscribe.h"

/* The queue behind `text`, "/temp-queue/NAME", made for the first that asks; borrowed. False: the
 * peer was told why not, or (c->waiting) it is being made. */
bool stomp_reply_queue(struct stomp_peer *c, const struct stomp_frame *f, struct slice text,
                       struct slice *ret);

/* A SEND to a service. False: not now. */
bool stomp_call(struct stomp_peer *c, const struct stomp_frame *f,
                const struct stomp_destination *d);
void stomp_calls_fini(struct stomp_peer *c);

#endif
