/* stats.h - the figures of each second, on `$SYS.stats`.
 *
 * Thread   Worker 0's. */
#ifndef BROKERD_ADMIN_STATS_H
#define BROKERD_ADMIN_STATS_H

#include "brokerd/admin/internal.h"

/* Before the first turn. */
void stats_init(struct desk *d);

/* Begin what is due. Returns when it wants to be called again, INT64_MAX if not before somebody
 * listens. Once a turn: it costs a comparison. */
int64_t stats_turn(struct desk *d);

#endif
