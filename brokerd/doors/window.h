/* window.h - publishing for doors whose protocol has no credit: JSON, STOMP, HTTP.
 *
 * Why      The core gives a publisher a window and expects it to be kept. A protocol without a
 *          word for that has one brake only: the broker does not read the connection. And who
 *          wants to know what became of a message gets its answer in the order of asking.
 * Shape    One stream of messages. Before it publishes the door asks window_room(); if there is
 *          none the connection is not to be read (`pause`), until there is again. After publishing
 *          it may leave a token for the messages just published, or for all before: it comes back
 *          (`settled`) when these and all before them have settled.
 *          Where the connection also consumes, what it sends next (acks above all) must be heard
 *          whatever a full queue waits for: window_consumes(). Then nothing it publishes is held;
 *          what was held before stays so and uses none of the new window: so there are two
 *          publishers, the one that may wait and the one that never does.
 * Owner    The door embeds the struct; tokens are its own.
 * Errors   As core_publish().
 * Thread   The connection's worker. `settled` and `pause` may be called from the core's callbacks:
 *          they write bytes and set marks. */
#ifndef BROKERD_DOORS_WINDOW_H
#define BROKERD_DOORS_WINDOW_H

#include "brokerd/core/core.h"
#include "libbroker/base/deque.h"

struct window_ops {
    /* What `token` was left for has settled. `o`: of these messages; with several, how many queues
     * in all and the worst reason; of none, count 0. */
    void (*settled)(void *ctx, uint64_t token, const struct outcome *o);
    /* The connection is not to be read, or may be again. */
    void (*pause)(void *ctx, bool paused);
    /* Queues made by sending to them are not bound to the topics of their own names. */
    bool makes_unbound;
};

/* One of its publishers. */
struct window_side {
    struct window *window;
    struct publisher *p; /* NULL: not needed yet */
    uint64_t sent, told; /* messages published; of them, settled */
    uint64_t cursor;     /* tokens before this one need nothing more of this side */
    uint32_t room;       /* messages that may be published */
};

enum { WINDOW_PATIENT, WINDOW_NEVER_HOLD, WINDOW_SIDES };

struct window {
    struct window_side side[WINDOW_SIDES];
    struct endpoint *ep;
    const struct window_ops *ops;
    void *ctx;
    struct deque tokens;
    uint64_t missed; /* messages not accepted by every queue they matched */
    uint8_t now;     /* the side that publishes */
    bool paused;
};

/* Make it ready in place, on an endpoint whose table has the two functions below. It must not be
 * moved. -ENOMEM, -EPIPE draining. */
int window_init(struct window *w, struct endpoint *ep, const struct window_ops *ops, void *ctx);

/* Nothing is told any more; what was published goes its way. Zeroed memory is fine. */
void window_fini(struct window *w);

/* The connection has a consumer (true), or has none any more. -ENOMEM, -EPIPE. */
int window_consumes(struct window *w, bool consumes);

/* How many messages may be published now. If none, the connection has been told to pause. */
uint32_t window_room(struct window *w);

/* Publish a run of at most window_room() messages; otherwise as core_publish(). -ENOMEM: the
 * window cannot go on, end the connection. */
int window_publish(struct window *w, const struct target *to, const struct run *run,
                   struct refusal *ret_why);

/* Tell `token` when the last `n` messages published (0: none of them is meant, but all before) have
 * settled; within this call, if all of them have. -ENOMEM. */
int window_await(struct window *w, uint32_t n, uint64_t token);
/* The same for one message of the run published last: that after which `after` came. In order. */
int window_await_one(struct window *w, uint32_t after, uint64_t token);

/* Has all that was published settled? */
bool window_idle(const struct window *w);

/* For the endpoint's table: settled and granted. */
void window_settled(void *publisher_ctx, uint64_t upto, const struct outcome *o, size_t n);
void window_granted(void *publisher_ctx, uint32_t n);

#endif
