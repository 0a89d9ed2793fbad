/* budget.h - the memory that all workers share for what waits.
 *
 * Why      One limit for the process, and no common counter touched for each message.
 * Shape    The shared number is drawn on in steps; each worker keeps what it drew and has not
 *          used, at most two steps.
 * Thread   struct budget: any. struct budget_share: its worker's. */
#ifndef BROKERD_WORKER_BUDGET_H
#define BROKERD_WORKER_BUDGET_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

struct budget {
    alignas(64) atomic_int_fast64_t left; /* not drawn by anyone; negative: overdrawn */
    alignas(64) atomic_int_fast64_t total;
};

struct budget_share {
    struct budget *of;
    int64_t step;   /* drawn at once */
    int64_t unused; /* drawn and not used */
};

/* A budget of `bytes`, in place. */
void budget_init(struct budget *b, uint64_t bytes);

/* Another size; what is drawn stays drawn. */
void budget_resize(struct budget *b, uint64_t bytes);

/* Use `delta` bytes more (negative: fewer), always granted. What is then left, as far as this
 * share can tell: others may have some unused. */
int64_t budget_use(struct budget_share *s, int64_t delta);

#endif
