/* calls.h - calls to services: the streams of callers and of servers; and the broker's barrier.
 *
 * Why      Who answers a call is the core's affair: a route is passed on by name, and what comes
 *          of it is frames of a stream again. A caller's stream is the peer's request, a server's
 *          is ours (serve.h); from then on both are the same.
 * Shape    Frame by frame, nothing added: PAYLOAD, REQUEST_N, CANCEL, ERROR (code and text) and
 *          COMPLETE of each half are those of the other side. Metadata go on unchanged to a
 *          connection with the same kind of metadata; for others they are built anew: the content
 *          type if it is not the connection's, headers, and the route of a request.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_RSOCKET_CALLS_H
#define BROKERD_DOORS_RSOCKET_CALLS_H

#include "brokerd/core/call.h"
#include "brokerd/doors/rsocket/meta.h"

struct call_stream {
    struct stream base;
    struct call *call; /* NULL once it has ended */
    uint8_t model;     /* enum call_model */
    bool serving;      /* the request is ours: the peer is the server */
};

/* A peer's request as request.c hands it over. */
struct call_route {
    uint32_t id;
    struct slice service, method;
    const struct rs_frame *frame;
    struct block *block; /* that holds its data, or NULL */
    const struct meta *meta;
};

void calls_open(struct peer *c, const struct call_route *r);

/* Does it take PAYLOADs? */
bool calls_take_payloads(const struct call_stream *s);

/* Frames on it. */
void calls_payload(struct call_stream *s, const struct rs_frame *f, struct block *block);
void calls_credit(struct call_stream *s, uint32_t n);
void calls_cancel(struct call_stream *s);
void calls_error(struct call_stream *s, uint32_t code, struct slice text);

/* What the peer sent on it cannot be: both sides are told, and it ends. */
void calls_violated(struct call_stream *s, const struct refusal *why);

/* Give the call up, if it still runs: the other side is told. Not from the core's callbacks. */
void calls_close(struct call_stream *s);

/* What the core tells of a call; ctx is the struct call_stream. */
extern const struct call_ops calls_ops;

/* A payload's metadata for this connection: unchanged if it speaks the sender's kind; else, with
 * `route` (empty: none) in front, written to *ret_made, which is the caller's to free. False: it
 * has none. Without memory the output is broken. */
bool calls_metadata(struct peer *c, const struct call_payload *p, struct slice route,
                    struct slice *ret, uint8_t **ret_made);

/* admin/ping: answered, empty, when all this connection asked for before is ready. */
void calls_ping(struct peer *c, uint32_t id);
/* The core's callback; ctx is the struct peer. */
void calls_barrier(void *ctx, uint64_t token);

#endif
