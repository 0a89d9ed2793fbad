/* flights.h - what a tap has delivered and its consumer has not settled, by delivery number.
 *
 * Why      An ack is an index and not a search; but a consumer may keep one message for hours
 *          while it settles millions after it, and that must not cost memory for each of them.
 * Shape    Recent ones lie in a deque, where what has settled leaves a hole until all before it
 *          have settled, too. When most of the deque is holes, those at its front move to an
 *          array of stragglers, sorted by number and searched by halves. So memory, and the time
 *          to look through all, follow what is unsettled, not what was delivered.
 *              stragglers   3 - - 17 - 4711 |  deque   80001 - - 80004 - - ... 84096
 * Owner    The messages are the user's, one reference each; a settled flight has none.
 * Thread   The queue's worker. */
#ifndef BROKERD_CORE_FLIGHTS_H
#define BROKERD_CORE_FLIGHTS_H

#include "libbroker/base/deque.h"

struct msg;

/* Delivered and not yet settled. msg NULL: settled. */
struct flight {
    struct msg *msg;
    uint64_t seq;
    int64_t since_ms;    /* as of the message's arrival in the queue */
    int64_t deadline_ms; /* of the ack; INT64_MAX none */
    uint32_t attempts;   /* with this delivery */
};

struct straggler {
    uint64_t number;
    struct flight flight;
};

struct flights {
    struct deque recent;   /* struct flight, by delivery number from 1 */
    struct straggler *old; /* before all of those, by rising number */
    size_t old_n, old_cap;
};

void flights_init(struct flights *fs);
/* Release all memory; what is unsettled is the user's to drop before. */
void flights_fini(struct flights *fs);

/* Append a flight, its bytes undefined, with the next number. NULL without memory. It stays where
 * it is until flights_trim(). */
struct flight *flights_push(struct flights *fs);

/* The number that the next one will have. */
static inline uint64_t flights_end(const struct flights *fs)
{
    return deque_end(&fs->recent);
}

/* The first unsettled one from `*number` to below `end`; `*number` becomes its number. NULL: there
 * is none. */
struct flight *flights_search(const struct flights *fs, uint64_t *number, uint64_t end);

/* The same, at once where it is the one of that very number. */
static inline struct flight *flights_next(const struct flights *fs, uint64_t *number, uint64_t end)
{
    struct flight *f = *number < end ? deque_at(&fs->recent, *number) : NULL;

    return f && f->msg ? f : flights_search(fs, number, end);
}

/* Some have settled; `unsettled` have not. Give back the memory of those that did. */
void flights_trim(struct flights *fs, uint64_t unsettled);

#endif
