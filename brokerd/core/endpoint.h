/* endpoint.h - endpoints' inner side: where in the output deliveries end, and barriers.
 *
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_ENDPOINT_H
#define BROKERD_CORE_ENDPOINT_H

#include "brokerd/core/state.h"

/* core_endpoint_close() without telling anybody: the core itself goes. */
void endpoint_free(struct endpoint *ep);

/* What an endpoint shares with the others that have never published, or have nothing on its way
 * to the socket. */
extern const struct publishing publishing_none;
extern const struct marks marks_none;
extern const struct seldom seldom_none;

/* The endpoint's own, made if need be. NULL without memory. */
struct publishing *endpoint_publishing(struct endpoint *ep);
struct seldom *endpoint_seldom(struct endpoint *ep);

/* Free that again if there is nothing in it any more. */
void endpoint_trim(struct endpoint *ep);

/* What it called itself, or "". */
static inline const char *endpoint_own_name(const struct endpoint *ep)
{
    return ep->has_name ? ep->name : "";
}

/* For people. */
static inline const char *endpoint_name(const struct endpoint *ep)
{
    return ep->has_name || !ep->ops->peer ? endpoint_own_name(ep) : ep->ops->peer(ep->ctx);
}

/* For people too: worker (8 bits), number. */
static inline uint64_t endpoint_id(const struct endpoint *ep)
{
    return (uint64_t)ep->core->id << 56 | ep->number;
}

/* Whether it has a barrier that is not answered. */
static inline bool endpoint_asks(const struct endpoint *ep)
{
    return ep->seldom->barriers && !list_empty(&ep->seldom->barriers->asked);
}

/* Hand a delivery to the consumer's door; note where in the output it ends. */
void endpoint_deliver(struct consumer *k, const struct delivery *d);

/* `k` is leaving: no mark names it any more. */
void endpoint_unmark(struct consumer *k);

/* Whether the output of `ep` takes more deliveries. */
static inline bool endpoint_has_room(const struct endpoint *ep)
{
    return ep->writable && ep->roomy;
}

/* `k` would go on if the output had room: it is looked at again when that is so. */
void endpoint_cramped(struct consumer *k);

/* Outputs have moved since the last turn: settle what was written, wake what found room. */
void endpoint_catch_up(struct core *c);

/* If nothing on `ep` is unready any more, its barriers are answered at the end of the turn. */
void endpoint_quiet(struct endpoint *ep);

/* Answer the barriers of endpoints where everything is ready. */
void endpoint_barriers(struct core *c);

#endif
