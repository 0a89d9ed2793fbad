/* answer.h - what became of messages, on its way to who published them.
 *
 * Why      Queues on other workers, those that hold messages and those in stores answer late, and
 *          often one message at a time.
 * Shape    queue -> answer_add() -> a batch of neighbours that fared the same -> the publisher's
 *          ledger, here or by an entry to its worker
 * Errors   A worker that takes no more: the answers are lost, and counted.
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_ANSWER_H
#define BROKERD_CORE_ANSWER_H

#include "brokerd/core/state.h"

struct mail_settled;

/* An answer for messages of a publisher, on this worker or another, that came by itself;
 * neighbours are gathered until answer_flush(). 0: nobody waits. `by`: the queue that refused
 * them, if there is more to be said of it, or NULL. */
void answer_add(struct core *c, handle_t publisher, uint64_t first, uint32_t count,
                const struct answer *a, const struct blamed *by);
void answer_flush(struct core *c);

/* What is to be said of a queue that has refused something for `reason`, in *ret; NULL: nothing. */
const struct blamed *answer_blame(const struct queue *q, enum reason reason, struct blamed *ret);

/* The answers to a run of ours. */
void answer_take(struct core *c, const struct mail_settled *m);

#endif
