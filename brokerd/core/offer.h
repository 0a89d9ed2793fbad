/* offer.h - a run is offered to queues, each of which takes, drops, refuses or holds it.
 *
 * Why      Overflow policies in one place, and one summary of what became of each message.
 * Shape    One offer stands for one run and all the queues on this core that it matched. Most
 *          are uniform: every queue accepts every message, and nothing is written per message.
 *          The first exception makes the verdicts (core scratch) count.
 *          Only a queue that must keep a message has an object made of it, shared by all.
 * Owner    offer_end() drops what was kept for the offer; queues have references of their own.
 * Thread   The core's worker. Not re-entered: one offer at a time. */
#ifndef BROKERD_CORE_OFFER_H
#define BROKERD_CORE_OFFER_H

#include "brokerd/core/dedup.h"

struct offer {
    struct core *core;
    const struct run *run; /* at most RUN_MAX messages */
    struct topic *topic;
    uint64_t id; /* of the first message; the others follow */
    int64_t time_ms;
    uint64_t number;    /* where it is for several queues: its own, else 0 */
    handle_t publisher; /* who is told what became of held ones; 0 nobody */
    uint64_t first;     /* number of the first message */
    bool may_hold;      /* somebody waits for an answer */
    bool unpaid;        /* it has cost nobody credit, though `publisher` hears of it */
    bool dedup;         /* it is one message, and has an id: */
    struct dedup_key id_key;
    uint32_t matched;            /* queues it was offered to */
    bool exceptional;            /* the core's verdicts count */
    bool keeps;                  /* the core's kept messages count */
    uint8_t refused_for;         /* why the refuser did */
    struct msg_origin from;      /* theirs, while keeps */
    const struct queue *refuser; /* one that refused a message, or NULL */
};

/* If the run is one message with an id that counts: note it. */
static inline void offer_note_id(struct offer *o)
{
    const struct msg_meta *meta = o->run->n == 1 ? o->run->v->meta : NULL;

    if (!meta || !meta->dedup)
        return;
    o->dedup = true;
    o->id_key = dedup_key(o->core, meta->headers);
}

/* Offer the run to one queue, and deliver what can be. */
void offer_to(struct offer *o, struct queue *q);

/* The kept form of message i, made for the first queue that needs one. Borrowed; NULL without
 * memory. */
struct msg *offer_keep(struct offer *o, uint32_t i);

/* Call `fn` for each range of messages with one verdict, in order. `reason` is REASON_NONE
 * where all that matched accepted. */
struct offer_range {
    uint32_t first, n; /* index in the run */
    uint32_t matched, accepted, held;
    enum reason reason;
};
void offer_ranges(const struct offer *o, void (*fn)(void *ctx, const struct offer_range *r),
                  void *ctx);

void offer_end(struct offer *o);

/* One queue, on a worker that could not be asked, has refused every message. */
void offer_note_all(struct offer *o, enum reason reason);

/* The oldest of `q` makes room for a newer one. */
struct head;
void offer_drop_head(struct queue *q, const struct head *h);

/* Something left `q`: take in what is held in front of it as far as there is room. */
void offer_admit(struct queue *q);

/* A hold's deadline has come. */
void offer_hold_due(struct queue *q);

/* End all holds of `q` by its fallback (drain) or, if it is going, by `reason`. */
void offer_end_holds(struct queue *q, enum reason reason);

#endif
