/* vigil.h - whether it pays to stay awake for what comes next.
 *
 * Why      To wake a thread that sleeps takes 15 to 35 us on a virtual machine, if its CPU sleeps,
 *          too. Where one thing is done at a time and handed from thread to thread, that is most
 *          of the time it takes.
 * Shape    Who waits says when it begins to, and when what it waited for has come. Where that came
 *          within VIGIL_NS, time and again, the next wait may look again and again instead of
 *          sleeping, for so long. A wait in vain makes that rarer: at most one in VIGIL_STEP of
 *          those that were short costs VIGIL_NS. Nor is it for a CPU that others want: who gives
 *          it up between looks (sched_yield) and gets it back late is not to do so for some time.
 * Thread   One thread's. It reads no clock: times are the caller's, monotonic, never 0. */
#ifndef BROKER_BASE_VIGIL_H
#define BROKER_BASE_VIGIL_H

#include <stdbool.h>
#include <stdint.h>

enum {
    VIGIL_NS = 300 * 1000,          /* a wait that is short; a disk's flush is 100 us here */
    VIGIL_STEP = 4,                 /* so many short ones make up for one that was not */
    VIGIL_MOST = 2 * VIGIL_STEP,    /* of them are remembered */
    VIGIL_LOST_NS = 100 * 1000,     /* the CPU was away for so long: others want it */
    VIGIL_OFF_NS = 5 * 1000 * 1000, /* and may have it for so long; twice that if lost again soon */
    VIGIL_OFF_MOST_NS = 160 * 1000 * 1000,
    VIGIL_OFF_APART = 16 /* not soon: so many times as long as it was off */
};

struct vigil {
    int64_t since_ns; /* it has been waited since; 0: it is not */
    int64_t off_ns;   /* not before */
    int64_t lost_ns;  /* so long it was off the last time; 0: never */
    unsigned credit;  /* short waits less VIGIL_STEP for each that was not */
};

/* What comes next is waited for from now on. */
void vigil_begin(struct vigil *v, int64_t now_ns);

/* It has come; of no consequence if it was not waited for. */
void vigil_came(struct vigil *v, int64_t now_ns);

/* May one look again, instead of sleeping? */
bool vigil_on(struct vigil *v, int64_t now_ns);

/* The CPU was offered to others from `from_ns` to `to_ns`. */
void vigil_yielded(struct vigil *v, int64_t from_ns, int64_t to_ns);

#endif
