/* One turn of a worker's loop, and what decides how long it sleeps. */
#include <sched.h>
#include <sys/timerfd.h>
#include <time.h>

#include "brokerd/core/store.h"
#include "brokerd/worker/internal.h"

/* So often the core ticks again because outputs were written; what is still to do then is done
 * in a turn that follows at once, after sockets had theirs. */
enum { OUTPUT_PASSES = 3, SLEEP_MAX_MS = 3600 * 1000, TIMER_SOON_MS = 20 };

int64_t worker_clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void worker_set_clock(struct worker *w)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    w->wall_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
    w->now_ms = w->turn_ns / 1000000;
    core_clock(w->core, w->now_ms, w->wall_ms);
}

static bool hooks_input(struct worker *w)
{
    bool more = false;

    for (unsigned i = 0; i < w->hooks_n; i++)
        if (w->hook[i].fn->input && w->hook[i].fn->input(w->hook[i].ctx))
            more = true;
    return more;
}

static bool hooks_output(struct worker *w)
{
    bool told = false;

    for (unsigned i = 0; i < w->hooks_n; i++)
        if (w->hook[i].fn->output && w->hook[i].fn->output(w->hook[i].ctx))
            told = true;
    return told;
}

static int64_t hooks_release(struct worker *w)
{
    int64_t due = INT64_MAX;

    for (unsigned i = 0; i < w->hooks_n; i++) {
        int64_t d = w->hook[i].fn->release ? w->hook[i].fn->release(w->hook[i].ctx) : INT64_MAX;

        if (d < due)
            due = d;
    }
    return due;
}

static void flush_stores(struct worker *w)
{
    for (unsigned i = 0; i < w->stores_n; i++)
        w->store[i]->ops->flush(w->store[i]);
}

static void hear_bye(void *arg, struct worker *w)
{
    (void)arg;
    w->byes_heard++;
}

/* Say goodbye to whom it was not said yet; those left for want of memory hear it next turn. */
static void say_byes(struct worker *w)
{
    uint64_t all = UINT64_MAX >> (64 - w->group->n);

    if (!w->is_stopping && atomic_load(&w->group->stop)) {
        w->is_stopping = true;
        w->byes_to_say = all & ~(UINT64_C(1) << w->id);
    }
    for (uint64_t left = w->byes_to_say; left; left &= left - 1) {
        unsigned to = (unsigned)__builtin_ctzll(left);

        if (worker_call(w, to, hear_bye, NULL) == 0)
            w->byes_to_say &= ~(UINT64_C(1) << to);
    }
}

/* Nobody has anything more to say to it, but for what is in its mailbox. */
static bool has_heard_all(const struct worker *w)
{
    if (atomic_load_explicit(&w->group->abort, memory_order_relaxed))
        return true;
    return w->is_stopping && w->byes_to_say == 0 && w->byes_heard == w->group->n - 1;
}

bool worker_may_end(struct worker *w)
{
    return has_heard_all(w) && mailbox_is_empty(&w->mailbox);
}

unsigned worker_load_after(unsigned load, unsigned busy, int64_t span_ms)
{
    int64_t n = span_ms < LOAD_SPAN_MS ? span_ms : LOAD_SPAN_MS;

    return (unsigned)((load * (LOAD_SPAN_MS - n) + busy * n) / LOAD_SPAN_MS);
}

/* Publish the share of time not slept, once in a span. */
static void publish_busy(struct worker *w, int64_t now_ns)
{
    int64_t span = now_ns - w->span_ns;
    unsigned busy, load = atomic_load_explicit(&w->load_permille, memory_order_relaxed);

    if (span < (int64_t)BUSY_SPAN_MS * 1000000)
        return;
    busy = (unsigned)(w->span_busy_ns * 1000 / span);
    atomic_store_explicit(&w->busy_permille, busy, memory_order_relaxed);
    atomic_store_explicit(&w->load_permille, worker_load_after(load, busy, span / 1000000),
                          memory_order_relaxed);
    atomic_store_explicit(&w->busy_at_ms, now_ns / 1000000, memory_order_relaxed);
    w->span_ns = now_ns;
    w->span_busy_ns = 0;
}

static void end_turn(struct worker *w, int64_t now_ns)
{
    int64_t took = now_ns - w->turn_ns;

    if (took / 1000 > w->stats.longest_turn_us)
        w->stats.longest_turn_us = took / 1000;
    w->span_busy_ns += took;
    publish_busy(w, now_ns);
}

/* The timer is set anew only if it would fire too late, or early and soon: an early one costs a
 * turn without work now and then, setting it each turn costs something in each. */
static void set_timer(struct worker *w, int64_t due_ms)
{
    int64_t wait = due_ms - w->now_ms;
    struct itimerspec at = {{0}, {0}};

    if (wait > SLEEP_MAX_MS || due_ms == INT64_MAX)
        wait = SLEEP_MAX_MS;
    due_ms = w->now_ms + wait;
    if (due_ms == w->timer_due_ms ||
        (due_ms > w->timer_due_ms && w->timer_due_ms - w->now_ms > TIMER_SOON_MS))
        return;
    at.it_value = (struct timespec){due_ms / 1000, due_ms % 1000 * 1000000};
    if (timerfd_settime(w->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) == 0)
        w->timer_due_ms = due_ms;
}

/* Where one message after the other is put, stored and confirmed: is the next thing that happens
 * there to be looked for, instead of being woken for it? */
static bool may_linger(struct worker *w, int64_t now_ns)
{
    bool soon = false;

    for (unsigned i = 0; i < w->stores_n && !soon; i++)
        soon = w->store[i]->ops->soon && w->store[i]->ops->soon(w->store[i]);
    if (soon != w->soon) {
        vigil_came(&w->vigil, now_ns);
        vigil_begin(&w->vigil, now_ns);
        w->soon = soon;
    }
    return vigil_on(&w->vigil, now_ns);
}

/* As sleep, but that others may have the CPU first, and then what is there is taken. */
static void linger(struct worker *w, int64_t now_ns)
{
    sched_yield();
    w->turn_ns = worker_clock_ns();
    vigil_yielded(&w->vigil, now_ns, w->turn_ns);
    event_base_loop(w->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void sleep_until(struct worker *w, int64_t due_ms, bool busy)
{
    int64_t now_ns = worker_clock_ns();

    end_turn(w, now_ns);
    busy = busy || due_ms <= w->now_ms;
    if (may_linger(w, now_ns) && !busy) {
        linger(w, now_ns);
        return;
    }
    if (!busy) {
        mailbox_sleep(&w->mailbox);
        /* Whoever has heard all would never be woken again: not asked whether it may end, for that
         * looks at the mailbox once more, and what comes home between the two looks would keep it
         * from ending, and wake nobody. */
        busy = !mailbox_is_empty(&w->mailbox) ||
               (!w->is_stopping && atomic_load(&w->group->stop)) || has_heard_all(w);
    }
    if (!busy) {
        set_timer(w, due_ms);
        w->stats.sleeps++;
    }
    /* Once in any case: without that it would go on as long as something is ready, and what is
     * ready stays so until we have read it. */
    event_base_loop(w->base, EVLOOP_ONCE | (busy ? EVLOOP_NONBLOCK : 0));
    mailbox_awake(&w->mailbox);
    w->turn_ns = busy ? now_ns : worker_clock_ns();
    publish_busy(w, w->turn_ns);
}

void worker_turn(struct worker *w)
{
    int64_t due, hook_due;
    bool more;

    w->stats.turns++;
    worker_set_clock(w);
    worker_read_mail(w);
    say_byes(w);
    more = hooks_input(w);
    due = core_tick(w->core);
    for (unsigned pass = 0; hooks_output(w); pass++) {
        due = core_tick(w->core);
        if (pass + 1 == OUTPUT_PASSES) {
            more = true;
            break;
        }
    }
    hook_due = hooks_release(w);
    flush_stores(w);
    worker_send_mail(w);
    if (hook_due < due)
        due = hook_due;
    sleep_until(w, due, more || w->byes_to_say);
}
