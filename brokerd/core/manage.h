/* manage.h - what admin may do to the queues of a core: empty, delete, move.
 *
 * Shape    A queue is named by its id (inspect.h) and lives on this core.
 *          A move takes messages off a queue batch by batch and publishes them to another one as
 *          any publisher would: on whatever worker that is, held in front of it if need be. What
 *          is accepted there has left here; what is not goes back to its place.
 * Owner    A struct move is the caller's, from core_move_open() to core_move_close().
 * Errors   -ENOENT: no such queue here, or one without a name where it needs one; -EAGAIN: its
 *          store has not opened it, so that nothing can be purged, moved or deleted.
 * Thread   The core's worker; not from within the core's callbacks. */
#ifndef BROKERD_CORE_MANAGE_H
#define BROKERD_CORE_MANAGE_H

#include "brokerd/core/core.h"
#include "brokerd/core/store.h"

/* Something that a queue's store was asked. */
struct question;

/* Is it answered, or will never be? *ret_reason: REASON_NONE, or why it was not done. */
bool core_question_over(struct question *q, uint64_t *ret_count, enum reason *ret_reason);
/* What core_queue_ask() was answered; NULL: nothing (yet). */
const struct store_facts *core_question_facts(const struct question *q);
/* Forget it, answered or not. NULL is fine. */
void core_question_close(struct question *q);

/* Drop all that waits or is delayed, what is on its way to a store excepted; *ret says how many. If
 * some of it is in a store, *ret_rest is the question when that will be done, and how many more
 * messages of other nodes that was; else NULL. -ENOMEM: nothing was done. */
int core_queue_purge(struct core *c, uint64_t queue, uint64_t *ret, struct question **ret_rest);

/* Have the first `n` messages of a queue looked up in its store, as far as they are not in memory,
 * for inspect_peek() to tell of: *ret is NULL if there are none. -ENOMEM. */
int core_queue_look(struct core *c, uint64_t queue, uint32_t n, struct question **ret);

/* Ask the store that a queue shares with other brokers how it stands, for this core knows only of
 * what it has in hand; for `patience_ms` at most. *ret is NULL if the queue has no such store.
 * -ENOMEM. */
int core_queue_ask(struct core *c, uint64_t queue, int64_t patience_ms, struct question **ret);

/* Delete a queue with a name; *ret_lost: messages that waited or were unacknowledged. */
int core_queue_delete(struct core *c, uint64_t queue, uint64_t *ret_lost);

struct move;

/* Move up to `n` of the messages that wait now to the queue called `to`. -ENOENT: there is none
 * of either; -EAGAIN; -EPIPE draining; -ENOMEM. */
int core_move_open(struct core *c, uint64_t queue, struct slice to, uint64_t n, struct move **ret);

enum move_state {
    MOVE_WAITS, /* for what is on its way; nothing was done */
    MOVE_SENT,  /* some more are on their way: the core must tick */
    MOVE_OVER,
};

/* Go on as far as it can. To be called in each turn, after core_tick(). */
enum move_state core_move_step(struct move *m);

/* Take no more: it is over when what is on its way has arrived. */
void core_move_stop(struct move *m);

/* How many have arrived, and why it ended early: REASON_NONE if it did not. */
uint64_t core_move_done(const struct move *m, enum reason *ret_reason);

/* Forget it. What is on its way and not answered yet goes back to its place, so that it may be
 * in both queues. NULL is fine. */
void core_move_close(struct move *m);

#endif
