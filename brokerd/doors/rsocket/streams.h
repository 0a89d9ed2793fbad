/* streams.h - the open streams of one connection, found by id.
 *
 * Why      Ids are the client's choice, up to 31 bits, and arrive in any order.
 * Shape    An open-addressed table of pointers, a power of two of slots, at most three quarters
 *          full. It is made for the third stream and freed with the last: a subscriber has one
 *          stream and sometimes a call beside it, a connection with two has no slots.
 * Owner    The streams belong to whoever made them; the table only finds them.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_RSOCKET_STREAMS_H
#define BROKERD_DOORS_RSOCKET_STREAMS_H

#include "libbroker/wire/reassembly.h"

struct peer;

enum { STREAMS_FEW = 2 };

enum stream_kind {
    STREAM_JOINING, /* a request that came in fragments, of which some are missing */
    STREAM_ONCE,    /* publish, request-response: publish.h */
    STREAM_PUBLISH, /* publish, request-channel: publish.h */
    STREAM_CONSUME, /* subscribe and consume: consume.h */
    STREAM_CALL,    /* call and admin: calls.h */
    STREAM_PING,    /* admin/ping, until all before it is ready */
    STREAM_SERVE,   /* serve, until every worker knows: serve.h */
};

/* What all kinds have in common; the first member of each. */
struct stream {
    struct peer *peer;
    struct reassembly *join; /* fragments gathered so far; NULL: no sequence runs */
    struct stream *next;     /* among those that have ended */
    uint32_t id;
    uint8_t kind;   /* enum stream_kind */
    bool quiet : 1; /* fire-and-forget: never answered, not even with ERROR */
    bool gone : 1;  /* not in the table any more: nothing is written for it */
    /* Of STREAM_CONSUME, which is 40 bytes so: */
    bool channel : 1; /* the peer settles: verbs come up */
    bool facts : 1;   /* each delivery carries $seq, $time and $id */
    bool queue : 1;   /* it consumes one */
    bool topic : 1;   /* it consumes one topic, which so need not be said */
};

/* Zeroed memory is an empty table. Most connections have a stream or two, and no slots. */
struct stream_table {
    union {
        struct stream *few[STREAMS_FEW]; /* while cap is 0: n of them */
        struct stream **slot;            /* else: a stream or NULL each */
    };
    uint32_t cap; /* slots, a power of two, or 0 */
    uint32_t n;   /* streams */
};

/* The stream called `id`, or NULL. */
struct stream *streams_find(const struct stream_table *t, uint32_t id);

/* Add `s`, whose id is not there yet. 0 or -ENOMEM. */
int streams_add(struct stream_table *t, struct stream *s);

/* Take `s` out; it is there. */
void streams_remove(struct stream_table *t, const struct stream *s);

/* The next stream from place `*at` on, 0 at first, which moves behind it; NULL: that was all. The
 * table must not change meanwhile. */
struct stream *streams_next(const struct stream_table *t, uint32_t *at);

/* Forget all streams at once. */
void streams_fini(struct stream_table *t);

#endif
