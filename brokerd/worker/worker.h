/* worker.h - N threads, each one event loop and one core; how they speak and share.
 *
 * Why      A connection, a queue, a core belong to one thread, so nothing in them needs a lock.
 *          What has to cross does so here: entries between cores, calls between workers, and
 *          one memory budget.
 * Shape    struct workers is the group, struct worker one of it. A turn of a worker's loop:
 *          set the core's clock; take the mailbox; hooks' input (ready sockets); core_tick;
 *          hooks' output, and core_tick again if that told the core anything; hooks' release;
 *          stores' flush; send what was posted; sleep until the next due time, an event or mail.
 *          Events of the loop only mark what is ready: work is done in the hooks, after the
 *          clock was set.
 * Owner    The group owns workers, cores and event bases, from workers_new() to workers_free().
 * Errors   0 or -errno.
 * Thread   Each function says which: "own" is the worker's thread, or any before
 *          workers_start() and after workers_join(). */
#ifndef BROKERD_WORKER_WORKER_H
#define BROKERD_WORKER_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brokerd/core/core.h"
#include "libbroker/base/block.h"

struct event_base;
struct store;
struct worker;
struct workers;

enum {
    WORKER_HOOKS = 6,            /* rooms that may hook into one worker's turn */
    WORKER_STORES = 2,           /* stores that one worker's queues may be kept in */
    WORKER_READ_MAX = 4 << 20,   /* bytes read from all sockets in one turn */
    WORKER_PAIR_MAX = 4 << 20,   /* bytes on their way from one worker to another, uncredited */
    WORKER_BUDGET_STEP = 1 << 20 /* bytes drawn from the shared budget at once */
};

/* Where a new connection goes. */
enum placement {
    PLACEMENT_PACK,  /* the lowest worker that has time; handing messages over is dear */
    PLACEMENT_SPREAD /* each in turn */
};

struct workers_options {
    unsigned n; /* 1 to CORE_MAX_WORKERS */
    enum placement placement;
    uint64_t memory;             /* bytes, the budget of all */
    struct policy_set *policies; /* each core takes a reference */
    uint64_t id_base;            /* message ids of worker i count up from id_base + (i << 56) */
    /* Something the core of `w` tells; on the thread of `w`, from within the core. May be NULL. */
    void (*event)(void *ctx, struct worker *w, const struct core_event *ev);
    void *ctx;
};

/* ---------------------------------------------------------------------------------- the group */

/* Make n workers in *ret, with bases and cores, no thread yet. -EINVAL, -ENOMEM, -EMFILE;
 * -EIO: the system has no random numbers. */
int workers_new(const struct workers_options *o, struct workers **ret);

/* Start the threads. On failure those that run are stopped and joined again. Caller's thread
 * only: the one that later joins. */
int workers_start(struct workers *ws);

/* Tell every worker to end: each says goodbye to all others and ends when it has heard it of
 * all and read what came before. Any thread; returns at once; a second time does nothing. */
void workers_stop(struct workers *ws);

/* Wait for the threads. */
void workers_join(struct workers *ws);

/* Free all, releasing entries that nobody took. Not while threads run. NULL is fine. */
void workers_free(struct workers *ws);

/* The first half of it: stores and what else lies in the loops may go then, as no core calls it any
 * more, and before the loops do. */
void workers_free_cores(struct workers *ws);

unsigned workers_count(const struct workers *ws);
struct worker *workers_get(struct workers *ws, unsigned i);

/* Another placement, or another size of the budget, from now on. Any thread. */
void workers_set_placement(struct workers *ws, enum placement placement);
void workers_set_memory(struct workers *ws, uint64_t bytes);

/* The budget, and what is left of it (negative: overdrawn); coarse. Any thread. */
uint64_t workers_memory(const struct workers *ws);
int64_t workers_memory_left(const struct workers *ws);

/* ------------------------------------------------------------------------------- one of them */

unsigned worker_id(const struct worker *w);
struct workers *worker_group(const struct worker *w);
struct core *worker_core(const struct worker *w);
/* Its loop. Callbacks only mark what is ready (see above). Own. */
struct event_base *worker_base(const struct worker *w);
/* Its pool of blocks. Own. */
struct block_pool *worker_pool(struct worker *w);
/* The time of this turn, ms: monotonic, and since 1970. Own. */
int64_t worker_now(const struct worker *w);
int64_t worker_wall(const struct worker *w);
/* The monotonic clock itself, ns, for what takes time within a turn. Any thread. */
int64_t worker_clock_ns(void);

/* Work of another room in each turn; any of them may be NULL. Own. */
struct worker_hook {
    /* Read what is ready, do what is due. True if something is left to do at once. */
    bool (*input)(void *ctx);
    /* Write what waits. True if the core was called, so that it must tick again. */
    bool (*output)(void *ctx);
    /* Free what was closed in this turn. Returns when input() wants to be called at the
     * latest (worker_now()), INT64_MAX if never. */
    int64_t (*release)(void *ctx);
};

/* Add a hook; they are called in the order they were added. Own. -ENOSPC. */
int worker_add_hook(struct worker *w, const struct worker_hook *hook, void *ctx);

/* Have `s` flushed at the end of each turn, before mail goes out. Its answers come in by
 * worker_call() or a hook's input(), so that the core's tick is still to come. Borrowed for the
 * worker's life. Own. -ENOSPC. */
int worker_add_store(struct worker *w, struct store *s);

/* Has one of its stores something put or settled that is not kept yet? Own. */
bool worker_stores_busy(const struct worker *w);

/* ------------------------------------------------------------------------------------- calls */

/* Runs on the thread of `w`, in its turn, before its sockets are read. */
typedef void worker_fn(void *arg, struct worker *w);

/* Run fn(arg, ..) on worker `to` (perhaps this one: at its next turn), in order with what this
 * worker's core posts there. What was posted in earlier turns, to whatever workers, is read there
 * before anything that fn causes. Own. -ENOMEM: it will not run. */
int worker_call(struct worker *w, unsigned to, worker_fn *fn, void *arg);

/* The same from any thread; calls of one thread keep their order. What comes after the worker
 * has ended does not run. */
int workers_call(struct workers *ws, unsigned to, worker_fn *fn, void *arg);

/* --------------------------------------------------------------------------------- placement */

/* The worker that shall have a new connection, which is counted there at once. Any thread. */
unsigned workers_place(struct workers *ws);

/* A connection counted by workers_place() is gone. Any thread. */
void worker_left(struct worker *w);

/* Whether a connection may come to worker `to` because its messages go there: placement is pack,
 * that worker has time, and no other came so lately that its load does not show yet. Who is told
 * yes has had the turn of the next 100 ms. Any thread. */
bool workers_may_follow(struct workers *ws, unsigned to);

/* A connection counted by workers_place() has gone from one to another. Any thread. */
void worker_moved(struct worker *from, struct worker *to);

/* ------------------------------------------------------------------------------------ numbers */

struct worker_stats {
    uint64_t turns;          /* of the loop */
    uint64_t sleeps;         /* turns that ended in a sleep */
    uint64_t calls;          /* worker_call() and workers_call() run here */
    uint64_t entries_in;     /* taken from other workers */
    uint64_t entries_out;    /* posted to them */
    uint64_t bytes_out;      /* of those */
    uint64_t batches_out;    /* they travelled in */
    uint64_t wakeups_sent;   /* sleepers woken */
    uint64_t refused_full;   /* posts refused above WORKER_PAIR_MAX */
    uint64_t refused_memory; /* posts refused without memory */
    int64_t longest_turn_us;
    unsigned busy_permille; /* share of the last 100 ms not spent sleeping */
    unsigned connections;
};

/* What it has done so far. Own (ask by worker_call()). */
struct worker_stats worker_stats(const struct worker *w);

/* Share of the last 100 ms not spent sleeping, 0 to 1000, and connections. Any thread. */
unsigned worker_busy(const struct worker *w);
unsigned worker_connections(const struct worker *w);

#endif
