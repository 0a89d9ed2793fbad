/* confirm.h - what a publish channel has not yet told its publisher.
 *
 * Why      Confirms need the publisher's credit. While there is none they are merged: one number
 *          says that all up to it have settled, and only what was not accepted by every queue
 *          needs an entry.
 * Shape    `settled` counts up; `entries` are the exceptions among 1..settled not yet reported, in
 *          order, neighbours of one outcome joined.
 * Owner    The entries are ours.
 * Thread   The connection's worker. Callable from the core's callbacks. */
#ifndef BROKERD_DOORS_RSOCKET_CONFIRM_H
#define BROKERD_DOORS_RSOCKET_CONFIRM_H

#include "brokerd/doors/rsocket/peer.h"
#include "libbroker/wire/broker_rs.h"

enum { CONFIRMS_WAITING_MAX = 1024 }; /* entries; then no more messages are granted */

/* Zeroed memory is a start: nothing settled, no credit. */
struct confirms {
    struct confirm_entry *entries;
    uint32_t n, cap;
    bool loss_only;    /* `$confirm: loss` */
    uint64_t settled;  /* messages 1..settled have settled */
    uint64_t reported; /* messages 1..reported have been confirmed to the peer */
    uint64_t credit;   /* PAYLOADs the peer takes; UINT64_MAX: any number */
};

/* The peer takes `n` more. */
void confirms_grant(struct confirms *cs, uint32_t n);

/* Messages up to `upto` have settled. -ENOMEM: the channel cannot go on. */
int confirms_note(struct confirms *cs, uint64_t upto, const struct outcome *o, size_t n);

/* Tell the peer what it has credit for, on stream `id`. */
void confirms_send(struct confirms *cs, struct peer *c, uint32_t id);

/* Too many exceptions wait. */
static inline bool confirms_full(const struct confirms *cs)
{
    return cs->n >= CONFIRMS_WAITING_MAX;
}

void confirms_fini(struct confirms *cs);

#endif
