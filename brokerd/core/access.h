/* access.h - who may use which name: asked wherever a name enters the core.
 *
 * Why      One question in one place. Today the broker's own names are the only ones that are
 *          not everybody's; users and their rights will be answered for here, too.
 *          The broker's own services (`admin`) answer those who may manage it: who came by a
 *          listener that says so, whatever the door.
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_ACCESS_H
#define BROKERD_CORE_ACCESS_H

#include "brokerd/core/state.h"

enum access_verb { ACCESS_PUBLISH, ACCESS_SEND, ACCESS_SUBSCRIBE, ACCESS_CONSUME };

/* Whether `ep` may do this with `name`, a valid one. What begins with `$` belongs to the broker:
 * clients may listen to it and nothing else. */
static inline bool access_allowed(const struct endpoint *ep, enum access_verb verb,
                                  struct slice name)
{
    return verb == ACCESS_SUBSCRIBE || ep->is_broker || name.n == 0 || name.p[0] != '$';
}

/* Whether `ep` may call a service of the broker's own. How it is (`ready`) is no secret: who looks
 * after it from outside asks that, and must hear it. */
static inline bool access_manages(const struct endpoint *ep, struct slice method)
{
    return ep->manages || slice_eq(method, SLICE("ready"));
}

/* Say that it may not: `why` gets the text, -EACCES is returned. */
int access_not_managed(struct refusal *why);

/* Say that it may not: `why` gets the text, -EACCES is returned. */
int access_denied(struct slice name, struct refusal *why);

#endif
