#include "brokerd/net/wheel.h"

/* A node lies in the slot of the first step at whose end it is due. `next_due` is a lower bound:
 * it is looked for anew only when it has passed. */

static int64_t step_of(int64_t due_ms)
{
    return (due_ms + WHEEL_STEP_MS - 1) / WHEEL_STEP_MS;
}

static struct list *slot_of(struct wheel *w, int64_t step)
{
    return &w->slot[(uint64_t)step % WHEEL_SLOTS];
}

void wheel_init(struct wheel *w, int64_t now_ms)
{
    for (unsigned i = 0; i < WHEEL_SLOTS; i++)
        list_init(&w->slot[i]);
    list_init(&w->firing);
    w->step = now_ms / WHEEL_STEP_MS;
    w->next_due = INT64_MAX;
}

void wheel_set(struct wheel *w, struct wheel_node *n, int64_t due_ms)
{
    int64_t step;

    list_remove(&n->link);
    n->due_ms = due_ms;
    if (due_ms == INT64_MAX)
        return;
    step = step_of(due_ms);
    if (step <= w->step)
        step = w->step + 1; /* the past fires at the next step */
    list_push_back(slot_of(w, step), &n->link);
    if (step * WHEEL_STEP_MS < w->next_due)
        w->next_due = step * WHEEL_STEP_MS;
}

/* The first step within a lap whose slot is not empty. */
static void look_ahead(struct wheel *w)
{
    for (int64_t s = w->step + 1; s <= w->step + WHEEL_SLOTS; s++)
        if (!list_empty(slot_of(w, s))) {
            w->next_due = s * WHEEL_STEP_MS;
            return;
        }
    w->next_due = INT64_MAX;
}

/* The next due one of those being looked through; others go back, for a later lap. */
static struct wheel_node *pop_firing(struct wheel *w, int64_t now_ms)
{
    struct list_node *l;

    while ((l = list_pop(&w->firing)) != NULL) {
        struct wheel_node *n = LIST_ITEM(l, struct wheel_node, link);

        if (n->due_ms <= now_ms)
            return n;
        list_push_back(slot_of(w, step_of(n->due_ms)), l);
    }
    return NULL;
}

struct wheel_node *wheel_pop(struct wheel *w, int64_t now_ms)
{
    int64_t last = now_ms / WHEEL_STEP_MS;
    struct wheel_node *n;

    if (now_ms < w->next_due)
        return NULL;
    if (last - w->step > WHEEL_SLOTS) /* a long sleep: each slot needs one look only */
        w->step = last - WHEEL_SLOTS;
    while ((n = pop_firing(w, now_ms)) == NULL && w->step < last) {
        struct list_node *l;

        w->step++;
        while ((l = list_pop(slot_of(w, w->step))) != NULL)
            list_push_back(&w->firing, l);
    }
    if (!n)
        look_ahead(w);
    return n;
}

int64_t wheel_next(const struct wheel *w)
{
    return w->next_due;
}
