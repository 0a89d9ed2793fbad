/* budget.h - kept messages and what they cost: each once, however many queues share it, and a
 * little for each place in a queue.
 *
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_BUDGET_H
#define BROKERD_CORE_BUDGET_H

#include "brokerd/core/state.h"

/* Bytes charged for a message's place in a queue, besides the message. */
enum { PLACE_CHARGE = 32 };

/* Bytes of the budget that are left for all, as far as this core knows. */
static inline int64_t budget_left(const struct core *c)
{
    return c->left + (c->drawn - c->used);
}

/* What is used has left what is drawn, or more than two steps of it idle: draw or give back. */
void budget_draw(struct core *c);

/* core_charge(), for use within the core: several times a message. */
static inline void budget_charge(struct core *c, int64_t delta)
{
    c->used += delta;
    if (c->used > c->drawn || c->drawn - c->used > 2 * BUDGET_STEP)
        budget_draw(c);
}

/* msg_keep(), charged to the budget. */
struct msg *budget_keep(struct core *c, const struct msg_view *v, const struct msg_origin *from);

/* msg_free(), given back to the budget. */
void budget_free(struct core *c, struct msg *m);

/* msg_unref(), given back to the budget with the last reference. NULL is fine. */
static inline void budget_unref(struct core *c, struct msg *m)
{
    if (m && --m->refs == 0)
        budget_free(c, m);
}

#endif
