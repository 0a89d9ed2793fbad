/* opening.h - how a call finds its server: openings on their way, and the line of those that wait.
 *
 * Shape    An opening goes from the caller's worker to the service's home, which picks a server,
 *          and on to that one's worker. If the server has gone meanwhile, or has no room for it,
 *          it comes back to the home, which picks the next: as long as one server is there, no call
 *          finds none. If there is none it comes back to the caller's worker, where it waits as
 *          long as its caller said, with a copy of its request (or a reference on what holds it).
 * Owner    The request of a call that waits is the call's.
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_OPENING_H
#define BROKERD_CORE_OPENING_H

#include "brokerd/core/service.h"

/* Each call that waits for `s` now looks for a server once more. */
void openings_go_on(struct service *s);
/* The core drains: what waits for a server is refused. */
void openings_drain(struct core *c);
/* A call's wait for a server is over. */
void opening_due(struct call *k);
/* The caller does not wait any more. Fine if it did not. */
void opening_forget(struct call *k);
/* call_open .. call_ended */
void opening_take(struct core *c, struct entry *e);

#endif
