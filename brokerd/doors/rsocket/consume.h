/* consume.h - deliveries down: subscribe and consume.
 *
 * Shape    One struct consume a stream: a consumer of the core, and what decides which metadata
 *          its deliveries need. deliver.c writes them.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_RSOCKET_CONSUME_H
#define BROKERD_DOORS_RSOCKET_CONSUME_H

#include "brokerd/doors/rsocket/meta.h"

struct consume {
    struct stream base;
    struct consumer *k; /* NULL until attached, and once it is gone */
};

/* A request as request.c hands it over: its route understood. */
struct consume_request {
    uint32_t id;
    bool is_queue;     /* consume/NAME, else subscribe/NAME */
    struct slice name; /* the queue, or the first filter */
    const struct rs_frame *frame;
    const struct meta *meta;
};

void consume_open(struct peer *c, const struct consume_request *r);

/* A whole PAYLOAD on a consume channel: verbs, or the end, or both. */
void consume_payload(struct consume *s, const struct rs_frame *f);

/* The peer takes `n` more deliveries. */
void consume_credit(struct consume *s, uint32_t n);

/* Take the consumer out of the core, if it is still there. Not from the core's callbacks. */
void consume_detach(struct consume *s);

/* The core's callbacks for consumers of this door; ctx is the struct consume. */
uint64_t consume_deliver(void *ctx, const struct delivery *d);
void consume_ready(void *ctx);
void consume_closed(void *ctx, const struct refusal *why, uint64_t lost);

#endif
