/* server.h - when a connection that answers calls gets no more of them.
 *
 * Why      An opening needs no credit, and a door frees what it kept of a call that has ended when
 *          it hears from the server: one that reads and says nothing would have it kept all.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_SERVER_H
#define BROKERD_DOORS_SERVER_H

#include "brokerd/doors/door.h"

struct server_load {
    bool leaves; /* it ends, or drains */
    uint64_t n;  /* its calls, with those that have ended and are yet to be freed */
};

/* May the server at `l` have one more? 0; -EPIPE, -EMFILE with *ret_why. */
int server_check(const struct link *l, struct server_load load, struct refusal *ret_why);

#endif
