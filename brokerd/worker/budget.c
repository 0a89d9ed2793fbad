#include "brokerd/worker/budget.h"

/* Beyond that a budget is as good as none; and sums of it still fit. */
#define BUDGET_MAX (INT64_MAX / 4)

static int64_t clamp(uint64_t bytes)
{
    return bytes > (uint64_t)BUDGET_MAX ? BUDGET_MAX : (int64_t)bytes;
}

void budget_init(struct budget *b, uint64_t bytes)
{
    atomic_init(&b->left, clamp(bytes));
    atomic_init(&b->total, clamp(bytes));
}

void budget_resize(struct budget *b, uint64_t bytes)
{
    int64_t before = atomic_exchange(&b->total, clamp(bytes));

    atomic_fetch_add(&b->left, clamp(bytes) - before);
}

int64_t budget_use(struct budget_share *s, int64_t delta)
{
    s->unused -= delta;
    if (s->unused < 0 || s->unused > 2 * s->step) {
        /* Draw, or give back, so that one step is at hand. */
        int64_t draw = s->step - s->unused;

        s->unused += draw;
        return atomic_fetch_sub_explicit(&s->of->left, draw, memory_order_relaxed) - draw +
               s->unused;
    }
    return atomic_load_explicit(&s->of->left, memory_order_relaxed) + s->unused;
}
