/* Which worker gets a new connection. Handing a message from one worker to another doubles what
 * it costs, so `pack` fills the lowest worker that has time before it takes the next. Whether it
 * has is judged over about a second: 100,000 subscriptions keep it busy for 200 ms, which say
 * nothing of what is to come. For the same reason publishers may follow their messages, but only
 * to a worker that has time right now and one after the other: else all publishers of a popular
 * topic would end up on one worker that cannot bear them. */
#include "brokerd/worker/internal.h"

enum {
    PLACE_BUSY_PERMILLE = 700, /* a worker above this gets no more, while others have time */
    PLACE_LEAD = 1024          /* connections more than the emptiest: thousands that connect
                                  while all is quiet must not end up on one core. With 256 a
                                  message to 1,000 subscribers cost 15 to 25 % more */
};

unsigned worker_connections(const struct worker *w)
{
    return atomic_load_explicit(&((struct worker *)(uintptr_t)w)->connections,
                                memory_order_relaxed);
}

/* What was measured last is of no use if it is old: then the worker sleeps since, or is in one
 * long turn. */
unsigned worker_busy(const struct worker *w_)
{
    struct worker *w = (struct worker *)(uintptr_t)w_;
    int64_t now = worker_clock_ns() / 1000000;
    int64_t at = atomic_load_explicit(&w->busy_at_ms, memory_order_relaxed);

    if (now - at <= 2 * BUSY_SPAN_MS)
        return atomic_load_explicit(&w->busy_permille, memory_order_relaxed);
    return atomic_load_explicit(&w->mailbox.asleep, memory_order_relaxed) ? 0 : 1000;
}

/* Its load, with what came since it was measured. */
static unsigned load_of(const struct worker *w_)
{
    struct worker *w = (struct worker *)(uintptr_t)w_;
    int64_t since =
        worker_clock_ns() / 1000000 - atomic_load_explicit(&w->busy_at_ms, memory_order_relaxed);
    unsigned load = atomic_load_explicit(&w->load_permille, memory_order_relaxed);

    if (since <= 2 * BUSY_SPAN_MS)
        return load;
    return worker_load_after(
        load, atomic_load_explicit(&w->mailbox.asleep, memory_order_relaxed) ? 0 : 1000, since);
}

static unsigned pack(const struct workers *ws)
{
    unsigned fewest = UINT32_MAX, emptiest = 0;

    for (unsigned i = 0; i < ws->n; i++) {
        unsigned n = worker_connections(&ws->w[i]);

        if (n < fewest) {
            fewest = n;
            emptiest = i;
        }
    }
    for (unsigned i = 0; i < ws->n; i++)
        if (load_of(&ws->w[i]) < PLACE_BUSY_PERMILLE &&
            worker_connections(&ws->w[i]) <= fewest + PLACE_LEAD)
            return i;
    return emptiest;
}

unsigned workers_place(struct workers *ws)
{
    unsigned i;

    if (atomic_load(&ws->placement) == PLACEMENT_SPREAD)
        i = atomic_fetch_add(&ws->next_place, 1) % ws->n;
    else
        i = ws->n == 1 ? 0 : pack(ws);
    atomic_fetch_add_explicit(&ws->w[i].connections, 1, memory_order_relaxed);
    return i;
}

void worker_left(struct worker *w)
{
    atomic_fetch_sub_explicit(&w->connections, 1, memory_order_relaxed);
}

bool workers_may_follow(struct workers *ws, unsigned to)
{
    struct worker *w = &ws->w[to];
    int64_t now = worker_clock_ns() / 1000000;
    int64_t last = atomic_load_explicit(&w->followed_ms, memory_order_relaxed);

    if (atomic_load_explicit(&ws->placement, memory_order_relaxed) != PLACEMENT_PACK ||
        now - last < BUSY_SPAN_MS || worker_busy(w) >= PLACE_BUSY_PERMILLE)
        return false;
    return atomic_compare_exchange_strong_explicit(&w->followed_ms, &last, now,
                                                   memory_order_relaxed, memory_order_relaxed);
}

void worker_moved(struct worker *from, struct worker *to)
{
    atomic_fetch_add_explicit(&to->connections, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&from->connections, 1, memory_order_relaxed);
}

void workers_set_placement(struct workers *ws, enum placement placement)
{
    atomic_store(&ws->placement, placement);
}
