/* wheel.h - deadlines of many connections, coarsely.
 *
 * Why      A timer of the loop for each connection costs more memory than the rest of it, and
 *          nobody needs a keep-alive to the millisecond.
 * Shape    256 slots of 64 ms: a lap is 16 s. What is due later stays in its slot for more laps.
 *          Fires at most one step late, never early.
 * Owner    Nodes lie in the items; an armed one must be cancelled before it is freed.
 * Thread   One worker's. */
#ifndef BROKERD_NET_WHEEL_H
#define BROKERD_NET_WHEEL_H

#include <stdint.h>

#include "libbroker/base/list.h"

enum { WHEEL_SLOTS = 256, WHEEL_STEP_MS = 64 };

struct wheel_node {
    struct list_node link;
    int64_t due_ms;
};

struct wheel {
    struct list slot[WHEEL_SLOTS];
    struct list firing; /* of the slot that is being looked through */
    int64_t step;       /* all steps up to and with this one have been looked at */
    int64_t next_due;   /* no node fires before; INT64_MAX: none */
};

/* An empty wheel, in place. */
void wheel_init(struct wheel *w, int64_t now_ms);

/* Have `n` fire at `due_ms` instead of whatever was set; INT64_MAX: never. */
void wheel_set(struct wheel *w, struct wheel_node *n, int64_t due_ms);

/* The next node that is due, taken out; NULL if there is none (any more) at `now_ms`. */
struct wheel_node *wheel_pop(struct wheel *w, int64_t now_ms);

/* When wheel_pop() may next have something; INT64_MAX: never. */
int64_t wheel_next(const struct wheel *w);

#endif
