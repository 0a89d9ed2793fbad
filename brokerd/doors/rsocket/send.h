/* send.h - frames into a connection's output.
 *
 * Why      One place that knows the frame limit, copies what is small and refers to what is large.
 * Errors   None: an output that finds no memory is broken, and net closes the connection.
 * Thread   The connection's worker. Callable from the core's callbacks. */
#ifndef BROKERD_DOORS_RSOCKET_SEND_H
#define BROKERD_DOORS_RSOCKET_SEND_H

#include "brokerd/doors/rsocket/peer.h"

/* What a PAYLOAD says. */
struct payload {
    uint16_t flags; /* of RS_NEXT, RS_COMPLETE */
    bool has_metadata;
    struct slice metadata;
    struct slice data;
    struct block *block; /* holds data, which may be referred to; NULL: copy */
};

/* A PAYLOAD on stream `id`, in fragments if it is larger than the frame limit. Does not end the
 * run: send_end(). */
void send_payload(struct peer *c, uint32_t id, const struct payload *p);

/* One of the four requests, on stream f->stream, likewise in fragments; complete in itself. */
void send_request(struct peer *c, const struct rs_frame *f, struct block *block);

/* The largest frame we send, without its TCP length. */
uint32_t send_frame_max(const struct peer *c);

/* What was sent is complete: it may go to the socket. */
void send_end(struct peer *c);

/* These are complete in themselves. What is of stream 0 is not kept for who resumes, and lost while
 * there is no connection. */
void send_complete(struct peer *c, uint32_t id);
void send_error(struct peer *c, uint32_t id, uint32_t code, struct slice text);
void send_request_n(struct peer *c, uint32_t id, uint32_t n);
void send_cancel(struct peer *c, uint32_t id);
void send_keepalive(struct peer *c, uint16_t flags, struct slice data); /* RS_RESPOND or 0 */
void send_lease(struct peer *c, uint32_t ttl_ms, uint32_t requests);
void send_resume_ok(struct peer *c, uint64_t position);

#endif
