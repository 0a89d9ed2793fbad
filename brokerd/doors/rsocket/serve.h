/* serve.h - a peer that answers calls: what it serves, and requests to it.
 *
 * Shape    Each service it serves is a server of the core. A call for it becomes a request of ours
 *          on the next even stream id: `call/SERVICE/METHOD`, the caller's metadata and data
 *          unchanged (calls.h). It serves until the client says `unserve/SERVICE`, or the
 *          connection ends or is told to drain.
 * Owner    The connection has the servings.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_RSOCKET_SERVE_H
#define BROKERD_DOORS_RSOCKET_SERVE_H

#include "brokerd/doors/rsocket/calls.h"

/* What the connection serves: there while it serves something. */
struct servings {
    struct list all;  /* struct serving */
    uint32_t last_id; /* of our last request */
    uint32_t calls;   /* streams of calls, with those that wait for the sweep */
};

struct serving {
    struct list_node link;
    struct peer *peer;
    struct server *server;
    bool ready; /* every worker knows */
};

/* serve/SERVICE by request-response, until every worker knows. */
struct serve_stream {
    struct stream base;
    const struct serving *serving;
};

/* Serve `service`. 0, also if it is served already; -errno with *ret_why. */
int serve_begin(struct peer *c, struct slice service, struct refusal *ret_why);

/* The same as stream `id` asks for it: answered, empty, once every worker knows. */
void serve_open(struct peer *c, uint32_t id, struct slice service);

/* Serve `service` no more: calls that are open go on. -ENOENT with *ret_why: it is not served. */
int serve_stop(struct peer *c, struct slice service, struct refusal *ret_why);

/* Take no new calls: the connection drains. */
void serve_drain(struct peer *c);

/* Serve nothing any more; fine if there is nothing. */
void serve_end(struct peer *c);

#endif
