/* publish.h - publishers' inner side, for files of this folder.
 *
 * Shape    publish.c   what clients publish: limits, targets, the ledger
 *          foreign.c   what other brokers published; internal.c: what the core itself does
 *          spread.h    to queues here and on other workers; parked.h: to those not known yet
 *          answer.h    answers that come late; tell.c: what the publisher hears of them
 *
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_PUBLISH_H
#define BROKERD_CORE_PUBLISH_H

#include "brokerd/core/ledger.h"
#include "brokerd/core/offer.h"
#include "brokerd/core/state.h"

/* The core's own publishing of one message (dead letters): never holds. `letter` is who hears of
 * answers that come later; 0 nobody. */
struct internal_outcome {
    uint32_t accepted, answers; /* queues that have it; answers that will come */
    enum reason reason;         /* of those that have it not */
    bool no_room;               /* REASON_FULL: the store of one of them is, not its own limits */
};
struct internal_outcome publish_internal(struct core *c, const struct target *to,
                                         const struct run *run, handle_t letter);

/* Publish a kept message, borrowed, straight to the queue called `name` (a handle, perhaps of
 * another worker): it keeps topic, id and time; a dead letter that died there has those it had
 * before, but for the time. It gets the publisher's next number and needs no credit. -ENOMEM: what
 * becomes of it will not be told. */
int publish_moved(struct publisher *p, handle_t queue, struct slice name, struct msg *m);

/* Enter in the ledger what became of the run so far; so many answers are `posted` for. -ENOMEM. */
int publisher_enter(struct publisher *p, struct offer *o, unsigned posted);

/* The run is settled at once. -ENOMEM. */
int publisher_refuse(struct publisher *p, const struct offer *o, enum reason reason);

/* A message larger than any may be: settled at once. */
int publisher_refuse_large(struct publisher *p, const struct msg_view *v);

/* The next messages are for that topic. -EINVAL, -EACCES (`why` is filled in), -ENOMEM. */
int publisher_aim_at_topic(struct publisher *p, struct slice name, struct refusal *why);

/* The publisher's route as the tree stands now. NULL without memory. */
static inline struct route *publisher_route(struct publisher *p)
{
    struct core *c = p->ep->core;
    struct route *r;

    if (route_is_fresh(c->routes, p->route))
        return p->route;
    r = route_get(c->routes, topic_slice(p->route->topic));
    if (!r)
        return NULL;
    route_unref(p->route);
    p->route = r;
    return r;
}

/* The window follows the size of messages lately seen. */
static inline void publisher_learn_size(struct publisher *p, const struct run *run)
{
    uint32_t size = (uint32_t)(run->bytes / run->n);

    p->average = p->count ? (uint32_t)(((uint64_t)p->average * 7 + size) / 8) : size;
    p->window = p->average ? CORE_WINDOW_BYTES / p->average : CORE_WINDOW_MAX;
    if (p->window < 1)
        p->window = 1;
    if (p->window > CORE_WINDOW_MAX)
        p->window = CORE_WINDOW_MAX;
}

/* There is something to tell `p`, or credit to grant it, at the end of the turn. */
static inline void publisher_has_news(struct publisher *p)
{
    if (!list_linked(&p->news) || p->patience.is_tried)
        list_move_to_back(&p->ep->core->news, &p->news);
}

/* Tell publishers what has settled and grant credit. */
void publish_tell(struct core *c);

/* Who would hear later (patience.h) hears in this turn. */
void publish_hasten(struct core *c);

/* Free what a publisher holds; it is out of all lists. */
void publisher_free(struct publisher *p);

#endif
