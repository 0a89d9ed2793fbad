/* The group: made, started, stopped, freed; and what may be asked of one worker. */
#include "brokerd/worker/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "brokerd/core/store.h"
#include "brokerd/worker/internal.h"

/* Small budgets are drawn in smaller steps, or a few workers would keep it all unused. */
static int64_t budget_step(uint64_t bytes, unsigned n)
{
    uint64_t step = bytes / (n * UINT64_C(16));

    if (step > WORKER_BUDGET_STEP)
        return WORKER_BUDGET_STEP;
    return step < 4096 ? 4096 : (int64_t)step;
}

int64_t worker_memory(void *ctx, int64_t delta)
{
    struct worker *w = ctx;

    return budget_use(&w->memory, delta);
}

static void core_tells(void *ctx, const struct core_event *ev)
{
    struct worker *w = ctx;

    if (w->group->event)
        w->group->event(w->group->event_ctx, w, ev);
}

static const struct core_ops core_ops = {worker_post, worker_memory, core_tells};

static void on_mail(evutil_socket_t fd, short what, void *ctx)
{
    /* Only meant to end the sleep: the mail is read in every turn. */
    (void)fd;
    (void)what;
    (void)ctx;
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct worker *w = ctx;

    (void)fd;
    (void)what;
    w->timer_due_ms = INT64_MAX;
}

/* A descriptor and not a time-out of the base: with that each sleep would set a timer in the kernel
 * and take it back, a tenth of the CPU of a message that comes alone. */
static int timer_init(struct worker *w)
{
    w->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (w->timer_fd < 0)
        return -errno;
    event_assign(&w->timer, w->base, w->timer_fd, EV_READ | EV_PERSIST | EV_ET, on_timer, w);
    return event_add(&w->timer, NULL) == 0 ? 0 : -ENOMEM;
}

/* A base for one thread only: nobody else may touch it, so it has no lock. */
static struct event_base *base_new(void)
{
    struct event_config *cfg = event_config_new();
    struct event_base *base = NULL;

    if (!cfg)
        return NULL;
    if (event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK) == 0)
        base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    return base;
}

static int worker_init(struct worker *w, struct workers *ws, unsigned id,
                       const struct workers_options *o)
{
    struct core_options co = {.id = id,
                              .workers = o->n,
                              .ops = &core_ops,
                              .ctx = w,
                              .policies = o->policies,
                              .id_base = o->id_base + ((uint64_t)id << 56),
                              .seed = ws->seed};
    int r;

    w->group = ws;
    w->id = id;
    w->timer_fd = -1;
    w->timer_due_ms = INT64_MAX;
    w->memory = (struct budget_share){.of = &ws->budget, .step = budget_step(o->memory, o->n)};
    w->turn_ns = w->span_ns = worker_clock_ns();
    r = mailbox_init(&w->mailbox);
    if (r < 0)
        return r;
    w->base = base_new();
    if (!w->base)
        return -ENOMEM;
    r = core_new(&co, &w->core);
    if (r < 0)
        return r;
    worker_set_clock(w);
    mailbox_sleep(&w->mailbox); /* until it is started */
    event_assign(&w->mail, w->base, w->mailbox.fd, EV_READ | EV_PERSIST | EV_ET, on_mail, w);
    if (event_add(&w->mail, NULL) < 0)
        return -ENOMEM;
    return timer_init(w);
}

int workers_new(const struct workers_options *o, struct workers **ret)
{
    struct workers *ws;
    size_t size = sizeof *ws + o->n * sizeof ws->w[0];
    int r;

    if (o->n < 1 || o->n > CORE_MAX_WORKERS)
        return -EINVAL;
    ws = aligned_alloc(CACHE_LINE, (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    if (!ws)
        return -ENOMEM;
    memset(ws, 0, size);
    ws->event = o->event;
    ws->event_ctx = o->ctx;
    if (getrandom(&ws->seed, sizeof ws->seed, 0) != sizeof ws->seed) {
        free(ws);
        return -EIO;
    }
    budget_init(&ws->budget, o->memory);
    atomic_init(&ws->placement, o->placement);
    for (unsigned i = 0; i < o->n; i++)
        ws->w[i].mailbox.fd = ws->w[i].timer_fd = -1;
    for (; ws->n < o->n; ws->n++) {
        r = worker_init(&ws->w[ws->n], ws, ws->n, o);
        if (r < 0) {
            ws->n++; /* half made, and freed as such */
            workers_free(ws);
            return r;
        }
    }
    *ret = ws;
    return 0;
}

void workers_free_cores(struct workers *ws)
{
    if (!ws)
        return;
    /* Entries first: what they hold may belong to any of the cores. */
    for (unsigned i = 0; i < ws->n; i++)
        if (ws->w[i].mailbox.fd >= 0)
            worker_drop_mail(&ws->w[i]);
    for (unsigned i = 0; i < ws->n; i++) {
        struct worker *w = &ws->w[i];

        core_free(w->core);
        w->core = NULL;
        /* A core that goes may have posted. */
        worker_drop_mail(w);
    }
}

void workers_free(struct workers *ws)
{
    workers_free_cores(ws);
    for (unsigned i = 0; ws && i < ws->n; i++) {
        if (ws->w[i].base)
            event_base_free(ws->w[i].base);
        block_pool_fini(&ws->w[i].pool);
        mailbox_fini(&ws->w[i].mailbox);
        if (ws->w[i].timer_fd >= 0)
            close(ws->w[i].timer_fd);
    }
    free(ws);
}

static void *run(void *arg)
{
    struct worker *w = arg;

    w->turn_ns = w->span_ns = worker_clock_ns();
    atomic_store_explicit(&w->busy_at_ms, w->turn_ns / 1000000, memory_order_relaxed);
    mailbox_awake(&w->mailbox);
    while (!worker_may_end(w))
        worker_turn(w);
    return NULL;
}

int workers_start(struct workers *ws)
{
    sigset_t all, before;
    int r = 0;

    sigfillset(&all); /* signals are the caller's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < ws->n && r == 0; i++) {
        struct worker *w = &ws->w[i];
        char name[16];

        r = -pthread_create(&w->thread, NULL, run, w);
        w->is_running = r == 0;
        snprintf(name, sizeof name, "worker-%u", i & 0xff);
        if (w->is_running)
            pthread_setname_np(w->thread, name);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r < 0) { /* those that never ran cannot say goodbye */
        atomic_store(&ws->abort, true);
        workers_stop(ws);
        workers_join(ws);
    }
    return r;
}

void workers_stop(struct workers *ws)
{
    atomic_store(&ws->stop, true);
    for (unsigned i = 0; i < ws->n; i++)
        mailbox_wake(&ws->w[i].mailbox);
}

void workers_join(struct workers *ws)
{
    for (unsigned i = 0; i < ws->n; i++) {
        if (ws->w[i].is_running)
            pthread_join(ws->w[i].thread, NULL);
        ws->w[i].is_running = false;
    }
}

unsigned workers_count(const struct workers *ws)
{
    return ws->n;
}

struct worker *workers_get(struct workers *ws, unsigned i)
{
    return &ws->w[i];
}

void workers_set_memory(struct workers *ws, uint64_t bytes)
{
    budget_resize(&ws->budget, bytes);
}

uint64_t workers_memory(const struct workers *ws)
{
    return (uint64_t)atomic_load(&((struct workers *)(uintptr_t)ws)->budget.total);
}

int64_t workers_memory_left(const struct workers *ws)
{
    return atomic_load(&((struct workers *)(uintptr_t)ws)->budget.left);
}

unsigned worker_id(const struct worker *w)
{
    return w->id;
}

struct workers *worker_group(const struct worker *w)
{
    return w->group;
}

struct core *worker_core(const struct worker *w)
{
    return w->core;
}

struct event_base *worker_base(const struct worker *w)
{
    return w->base;
}

struct block_pool *worker_pool(struct worker *w)
{
    return &w->pool;
}

int64_t worker_now(const struct worker *w)
{
    return w->now_ms;
}

int64_t worker_wall(const struct worker *w)
{
    return w->wall_ms;
}

int worker_add_hook(struct worker *w, const struct worker_hook *hook, void *ctx)
{
    if (w->hooks_n == WORKER_HOOKS)
        return -ENOSPC;
    w->hook[w->hooks_n++] = (struct hook){hook, ctx};
    return 0;
}

int worker_add_store(struct worker *w, struct store *s)
{
    if (w->stores_n == WORKER_STORES)
        return -ENOSPC;
    w->store[w->stores_n++] = s;
    return 0;
}

bool worker_stores_busy(const struct worker *w)
{
    for (unsigned i = 0; i < w->stores_n; i++)
        if (w->store[i]->ops->busy(w->store[i]))
            return true;
    return false;
}

struct worker_stats worker_stats(const struct worker *w)
{
    struct worker_stats s = w->stats;

    s.busy_permille = worker_busy(w);
    s.connections = worker_connections(w);
    return s;
}
