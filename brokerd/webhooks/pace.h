/* pace.h - how fast an endpoint is called: a window that grows with success, and a breaker.
 *
 * Why      A dead or overloaded endpoint must become ordinary depth of its queue, never a storm of
 *          requests; one that recovers must get all it can take again, without anybody's help.
 * Shape    A state machine without clock, sockets or memory:
 *
 *              CLOSED --break_after failures in a row--> OPEN --its time is over--> PROBING
 *                 ^                                       ^                           |
 *                 |                                       +----- it fails ------------+
 *                 +------------------------- it succeeds -----------------------------+
 *
 *          CLOSED sends up to `limit` at once: PACE_FIRST at first, one more after as many
 *          successes as it is, half on trouble (once for all that were under way together), 1 while
 *          it fails again and again. OPEN sends nothing, each time twice as long as the time
 *          before. PROBING sends one. Retry-After pauses it in whatever state.
 * Owner    A struct pace is its user's; zeroed but for what pace_init() sets.
 * Thread   One at a time. Time and chance are arguments. */
#ifndef BROKERD_WEBHOOKS_PACE_H
#define BROKERD_WEBHOOKS_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum { PACE_FIRST = 4, PACE_FAILING = 3, PACE_JITTER_PERCENT = 20 };

struct pace_options {
    uint32_t window;                    /* most at once, at least 1 */
    uint32_t break_after;               /* failures in a row, at least 1 */
    int64_t break_min_ms, break_max_ms; /* how long it is open at first, and at most */
};

enum pace_state { PACE_CLOSED, PACE_OPEN, PACE_PROBING };

enum pace_outcome {
    PACE_OK,
    PACE_FAILED,  /* of this message, for all we know */
    PACE_TROUBLE, /* of the endpoint: too fast for it, out of order or out of reach */
};

/* What an outcome changed; to be told to people. */
enum pace_change { PACE_SAME, PACE_OPENED, PACE_RECOVERED };

struct pace {
    struct pace_options o;
    enum pace_state state;
    uint32_t limit;
    uint32_t successes; /* since limit was last changed */
    uint32_t failures;  /* in a row */
    uint32_t in_flight;
    uint64_t tickets, cut;  /* handed out; those before `cut` have had their effect */
    uint64_t probe;         /* PROBING: the ticket under way, plus 1; 0: none */
    int64_t open_until_ms;  /* OPEN */
    int64_t open_ms;        /* how long next time, without jitter */
    int64_t pause_until_ms; /* by Retry-After */
};

void pace_init(struct pace *p, const struct pace_options *o);
/* Other options for what goes on. */
void pace_configure(struct pace *p, const struct pace_options *o);

/* How many more may be sent now. OPEN ends by this, when its time is over. */
uint32_t pace_room(struct pace *p, int64_t now_ms);

/* When there may be room without an outcome before; INT64_MAX: never. */
int64_t pace_due(const struct pace *p, int64_t now_ms);

/* One is sent. Returns its ticket. */
uint64_t pace_start(struct pace *p);

/* What became of it. `retry_after_ms`: as the endpoint asked for, below 0: it did not. `random`:
 * any number. */
enum pace_change pace_done(struct pace *p, uint64_t ticket, enum pace_outcome outcome,
                           int64_t retry_after_ms, int64_t now_ms, uint32_t random);

/* It was not sent after all, or given up: nothing is learnt from it. */
void pace_forget(struct pace *p, uint64_t ticket);

/* Begin anew, as if nothing had happened, but for what is in flight. */
void pace_reset(struct pace *p);

/* `ms`, up to PACE_JITTER_PERCENT more or less. */
int64_t pace_jitter(int64_t ms, uint32_t random);

#endif
