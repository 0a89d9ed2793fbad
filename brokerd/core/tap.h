/* tap.h - the queue's side of a consumer: what is in flight, and what becomes of it.
 *
 * Why      Acks, time-outs and redelivery, apart from the choice of who gets what (deliver.h,
 *          which also declares the taps' public face).
 * Thread   The queue's worker. */
#ifndef BROKERD_CORE_TAP_H
#define BROKERD_CORE_TAP_H

#include "brokerd/core/deliver.h"

/* See to it that the tap's timer fires at `due_ms` at the latest. */
void tap_arm(struct tap *t, int64_t due_ms);

/* A hungry one of a named queue has got its share: the others have their turn. */
void tap_yield(struct tap *t);

#endif
