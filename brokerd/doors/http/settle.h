/* settle.h - messages received by HTTP, settled by HTTP: by whichever connection.
 *
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_HTTP_SETTLE_H
#define BROKERD_DOORS_HTTP_SETTLE_H

#include "brokerd/doors/door.h"

/* For the endpoint's table, with its link: the answer to a core_settle(). */
void settle_resolved(const struct link *l, uint64_t token, bool settled);

#endif
