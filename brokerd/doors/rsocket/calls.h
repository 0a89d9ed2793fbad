/* calls.h - calls to services, the broker's own `admin` first of all; and its barrier.
 *
 * Why      Who answers a call is the core's affair: the route's name is passed on.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_RSOCKET_CALLS_H
#define BROKERD_DOORS_RSOCKET_CALLS_H

#include "brokerd/core/call.h"
#include "brokerd/doors/rsocket/peer.h"

struct call_stream {
    struct stream base;
    struct call *call; /* NULL once it has ended */
    bool once;         /* request-response: one reply, which is also the end */
    bool answered;     /* that reply has been sent */
};

struct call_request {
    uint32_t id;
    struct slice service, method;
    const struct rs_frame *frame;
};

void calls_open(struct peer *c, const struct call_request *r);
void calls_credit(struct call_stream *s, uint32_t n);
/* Cancel the call, if it still runs. Not from the core's callbacks. */
void calls_cancel(struct call_stream *s);

/* admin/ping: answered, empty, when all this connection asked for before is ready. */
void calls_ping(struct peer *c, uint32_t id);
/* The core's callback; ctx is the struct peer. */
void calls_barrier(void *ctx, uint64_t token);

#endif
