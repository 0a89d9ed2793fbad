/* The memory budget as one core sees it: what it has charged, what it has drawn for that from
 * the worker in steps, and what was left for all when it last asked. */
#include "brokerd/core/budget.h"

void budget_draw(struct core *c)
{
    int64_t want = 0;

    if (c->used > c->drawn)
        want = (c->used - c->drawn + BUDGET_STEP - 1) / BUDGET_STEP * BUDGET_STEP;
    else if (c->drawn - c->used > 2 * BUDGET_STEP)
        want = -((c->drawn - c->used - BUDGET_STEP) / BUDGET_STEP * BUDGET_STEP);
    if (!want)
        return;
    c->drawn += want;
    c->left = c->ops->memory(c->ctx, want);
}

void core_charge(struct core *c, int64_t delta)
{
    budget_charge(c, delta);
}

bool core_short_of_memory(const struct core *c)
{
    return c->left + (c->drawn - c->used) <= 0;
}

struct msg *budget_keep(struct core *c, const struct msg_view *v, const struct msg_origin *from)
{
    struct msg *m = msg_keep(&c->pool, v, from);

    if (m)
        budget_charge(c, m->charge);
    return m;
}

void budget_free(struct core *c, struct msg *m)
{
    budget_charge(c, -(int64_t)m->charge);
    msg_free(&c->pool, m);
}
