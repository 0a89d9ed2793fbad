/* service.h - who serves calls on this core; inner side of call.h.
 *
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_SERVICE_H
#define BROKERD_CORE_SERVICE_H

#include "brokerd/core/state.h"

/* Forget all services. */
void services_free(struct core *c);

#endif
