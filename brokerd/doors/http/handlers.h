/* handlers.h - the tables of routes, one of each file of handlers; each ends with a NULL pattern.
 *
 * Thread   Constant. */
#ifndef BROKERD_DOORS_HTTP_HANDLERS_H
#define BROKERD_DOORS_HTTP_HANDLERS_H

#include "brokerd/doors/http/route.h"

extern const struct route publish_routes[]; /* messages, one at a time (publish.c) */
/* Many messages, a line each (batch.c), to what the route says; if the content type says so. */
extern const struct handler batch;
bool batch_is_asked(struct slice type);

extern const struct route service_routes[]; /* calls to services (service.c) */
extern const struct route events_routes[];  /* server-sent events (events.c) */
extern const struct route receive_routes[]; /* long polling (receive.c) */
extern const struct route settle_routes[];  /* what becomes of what came by it (settle.c) */
extern const struct route hook_routes[];    /* webhooks in (hooks.c) */
extern const struct route manage_routes[];  /* looking after the broker (manage.c) */

#endif
