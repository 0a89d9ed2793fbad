/* lease.h - how many requests each side may send, and until when.
 *
 * Why      A client that asks for leases in SETUP sends no request without one: so the broker can
 *          slow all of its requests down, as credit does for what is in a stream.
 * Shape    Ours to the client follow the broker's load: none while memory is short, while it is
 *          behind with what this client asked for, and when it drains; else the number of the
 *          settings, renewed when half of the time or of the requests is over. A request that
 *          left the client before it saw the new lease was counted by it in the old one: so what
 *          is left of that may still come, too. One that says stop takes all back.
 *          The client's to us is counted for whoever sends requests to it.
 * Owner    struct lease is the peer's; NULL: the client did not ask, there is no limit.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_RSOCKET_LEASE_H
#define BROKERD_DOORS_RSOCKET_LEASE_H

#include "brokerd/doors/rsocket/peer.h"

/* SETUP asked for leases: the first is sent. -ENOMEM. */
int lease_begin(struct peer *c);

/* Free what lease_begin() made; fine if that is nothing. */
void lease_end(struct peer *c);

/* The session has another connection: leases of the old do not count. Fine without leases. */
void lease_again(struct peer *c);

/* A request of the client's: it uses one up. False: there is none left, and that is counted. */
bool lease_take(struct peer *c);

/* Renew the lease if it is time to, or the load says so. Returns when to be called again. Only with
 * leases. */
int64_t lease_look(struct peer *c);

/* LEASE of the client; ignored if it did not ask for leases. */
void lease_received(struct peer *c, const struct rs_frame *f);

/* Whether we may send a request to the client now. */
bool lease_may_request(const struct peer *c);

/* We did. */
void lease_used(struct peer *c);

#endif
