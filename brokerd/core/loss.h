/* loss.h - nothing is lost in silence: counters, gaps, events, dead letters.
 *
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_LOSS_H
#define BROKERD_CORE_LOSS_H

#include "brokerd/core/state.h"

/* `n` messages were refused or lost for `reason`: count, and announce at the end of the turn. */
void loss_count(struct queue *q, enum reason reason, uint64_t n);

/* The same, and tell the queue's consumer with its next delivery. */
void loss_gap(struct queue *q, enum reason reason, uint64_t n);

/* The same: its store had them, and has not. (REASON_STORE of the others is a refused publish.) */
void loss_damaged(struct queue *q, uint64_t n);

/* Tell the queue's consumer with its next delivery that messages were lost before they came here,
 * so many as nobody knows. A subscription that has no backlog needs none for that. */
void loss_elsewhere(struct queue *q);

/* Whichever of the two is right for that reason: n messages that nobody has at hand. */
void loss_unseen(struct queue *q, enum reason reason, uint64_t n);

/* `m`, number `seq` of `q` (0: it never was in it), is lost after `attempts` deliveries: count, gap
 * where the consumer should know, and send it to the queue's dead-letter topic or queue if there is
 * one. A durable queue's store is told that it is gone: at once, or when what became of the letter
 * is known. Borrowed. */
void loss_message(struct queue *q, struct msg *m, uint64_t seq, uint32_t attempts,
                  enum reason reason);

/* What a message is besides its payload. */
struct loss_life {
    struct slice topic, headers;
    uint64_t id;
};

/* Is a message with those headers one that died in `queue`, and not since anywhere else? Then what
 * it was before, borrowed from the headers: brought back there it may die again, as it is no letter
 * any more. False: *l is unchanged. */
bool loss_undo(struct slice queue, struct loss_life *l);

/* Publish the dead letters gathered in this turn. */
void loss_send_letters(struct core *c);

/* An answer for a letter on its way; `by`: who is to blame, as in answer_add(). False: it is none.
 */
struct blamed;
bool loss_answer(struct core *c, handle_t letter, const struct answer *a, const struct blamed *by);

/* A letter that rested is to be sent again. */
void loss_letter_due(struct core *c, struct letter *l);

/* Drop a letter that will not be sent. */
void loss_free_letter(struct core *c, struct letter *l);

/* What keeps a queue from taking more, for people: "store" (it takes nothing now); or its first
 * consumer from doing so: "credit", "output" (its
 * connection takes no more), "inflight" (it has as much unacknowledged as it may), "rate" (nothing,
 * but more comes than it takes), "no-consumer". Static. */
const char *loss_why(const struct queue *q);

/* Tell the worker of losses, each queue at most once in LOSS_EVENT_MS, and of overflowing that is
 * over. Returns when the next may be told, INT64_MAX if none waits. */
int64_t loss_announce(struct core *c);

#endif
