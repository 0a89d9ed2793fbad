/* publish.h - publishers' inner side: routing a run, and answers that come late.
 *
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_PUBLISH_H
#define BROKERD_CORE_PUBLISH_H

#include "brokerd/core/ledger.h"
#include "brokerd/core/offer.h"
#include "brokerd/core/state.h"

struct mail_run;
struct mail_settled;
struct parked;

/* The core's own publishing of one message (dead letters): never holds. `letter` is who hears of
 * answers that come later; 0 nobody. */
struct internal_outcome {
    uint32_t accepted, answers; /* queues that have it; answers that will come */
    enum reason reason;         /* of those that have it not */
};
struct internal_outcome publish_internal(struct core *c, const struct target *to,
                                         const struct run *run, handle_t letter);

/* Publish a kept message, borrowed, straight to the queue called `name` (a handle, perhaps of
 * another worker): it keeps topic, id and time; a dead letter that died there has those it had
 * before, but for the time. It gets the publisher's next number and needs no credit. -ENOMEM: what
 * becomes of it will not be told. */
int publish_moved(struct publisher *p, handle_t queue, struct slice name, struct msg *m);

/* An answer for messages of a publisher, on this worker or another, that came by itself;
 * neighbours are gathered until publish_flush(). 0: nobody waits. `full`: the queue that refused
 * them for being so, or NULL. */
void publish_answer(struct core *c, handle_t publisher, uint64_t first, uint32_t count,
                    const struct answer *a, const struct queue *full);
void publish_flush(struct core *c);

/* A run from another worker, and the answers to one of ours. */
void publish_take_run(struct core *c, struct mail_run *m);
void publish_take_foreign(struct core *c, struct mail_run *m);
void publish_take_settled(struct core *c, const struct mail_settled *m);

/* Messages that waited for their queue to be known. */
void publish_unpark(struct core *c, struct named *n);

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
