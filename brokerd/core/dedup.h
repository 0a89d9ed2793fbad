/* dedup.h - the ids (`$dedup`) of what a queue took lately: a repeat is accepted and not taken
 * again.
 *
 * Why      A publisher that lost its connection before it heard what became of a message sends it
 *          again. With an id that is harmless, whatever door it comes by, and whoever it matched
 *          the first time.
 * Shape    Each queue has its own memory, for the first time some may have taken a message and
 *          others refused it: the repeat goes to those that did not. An id is remembered if, and
 *          when, the queue takes its message: not while it is held (a repeat is then held behind
 *          it, and judged when its turn comes), and not if it is refused or dropped at the door.
 *          What becomes of the message later (acked, expired, purged) changes nothing.
 *          Kept are 128 bits of a keyed hash and the time, in the order they came, found again by
 *          an index; for `dedup-window`, and never more than `dedup-max` or than the budget lasts
 *          for: then the oldest are forgotten before their time, counted, and told of.
 *          A message without an id costs one look at a flag.
 * Owner    The queue's backlog. Ids are charged to the budget, DEDUP_CHARGE each.
 * Thread   The queue's worker. */
#ifndef BROKERD_CORE_DEDUP_H
#define BROKERD_CORE_DEDUP_H

#include "brokerd/core/index.h"
#include "brokerd/core/state.h"

enum {
    DEDUP_CHARGE = 48,      /* bytes an id costs: itself, and its place in the index */
    DEDUP_EVENT_MS = 60000, /* that a queue forgets too early is told so often */
};

/* What queues of one core know an id by. */
struct dedup_key {
    uint64_t hash, check;
};

struct dedup {
    struct index index; /* struct remembered, by hash */
    struct deque ids;   /* struct remembered, the oldest first */
    uint64_t repeats;   /* accepted, and not taken again */
    uint64_t forgotten; /* before their time */
    uint64_t untold;    /* of those */
    int64_t told_ms;    /* 0: never */
};

/* The key of a message by its headers, where their `$dedup` counts. */
struct dedup_key dedup_key(const struct core *c, struct slice headers);

/* A message with that id has come to the queue. It is remembered: 0; or the queue took one within
 * the window: 1, and it is counted. -ENOMEM. */
int dedup_add(struct queue *q, struct dedup_key key);

/* The queue did not take the message whose id was added last. */
void dedup_undo(struct queue *q);

/* The store of the queue has refused a message whose id was added before, perhaps not the last. */
void dedup_forget(struct queue *q, struct dedup_key key);

/* Has the queue taken one within the window? Then it is counted. */
bool dedup_repeats(struct queue *q, struct dedup_key key);

/* When the last of the ids will be of no more use; INT64_MAX: there are none, or they always are.
 */
int64_t dedup_due(const struct queue *q);

/* If that time has come, forget all. */
void dedup_expire(struct queue *q);

void dedup_free(struct queue *q);

#endif
