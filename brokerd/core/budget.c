/* The memory budget as one core sees it: what it has charged, what it has drawn for that from
 * the worker in steps, and what was left for all when it last asked. */
#include "brokerd/core/state.h"

void core_charge(struct core *c, int64_t delta)
{
    int64_t want = 0;

    c->used += delta;
    if (c->used > c->drawn)
        want = (c->used - c->drawn + BUDGET_STEP - 1) / BUDGET_STEP * BUDGET_STEP;
    else if (c->drawn - c->used > 2 * BUDGET_STEP)
        want = -((c->drawn - c->used - BUDGET_STEP) / BUDGET_STEP * BUDGET_STEP);
    if (!want)
        return;
    c->drawn += want;
    c->left = c->ops->memory(c->ctx, want);
}

bool core_short_of_memory(const struct core *c)
{
    return c->left + (c->drawn - c->used) <= 0;
}
