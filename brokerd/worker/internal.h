/* internal.h - what the files of this room share: the two structs.
 *
 * Thread   A worker's fields are its thread's, but those in struct shared. */
#ifndef BROKERD_WORKER_INTERNAL_H
#define BROKERD_WORKER_INTERNAL_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>

#include "brokerd/worker/budget.h"
#include "brokerd/worker/mailbox.h"
#include "brokerd/worker/worker.h"
#include "libbroker/base/vigil.h"

enum {
    BATCH_SPARE = 4, /* what a storm needed besides goes back: 16 were 20 bytes a connection */
    BUSY_SPAN_MS = 100,
    LOAD_SPAN_MS = 1000 /* load is an average over about so long */
};

/* What goes to one worker at the end of this turn, and what has not come back yet. */
struct pair {
    struct batch *newest, *oldest; /* linked as mailbox_push() wants it */
    size_t in_flight;              /* bytes posted without credit, not yet known to be read */
};

struct hook {
    const struct worker_hook *fn;
    void *ctx;
};

struct worker {
    struct workers *group;
    unsigned id;
    struct event_base *base;
    struct core *core;
    struct block_pool pool;
    struct hook hook[WORKER_HOOKS];
    unsigned hooks_n;
    struct store *store[WORKER_STORES];
    unsigned stores_n;
    struct vigil vigil; /* for a store's answer, and then for the next put */
    bool soon;          /* it is the answer */

    int64_t now_ms, wall_ms;
    struct event mail; /* the mailbox's eventfd */
    struct event timer;
    int timer_fd;                  /* a timerfd, -1: none yet */
    int64_t timer_due_ms;          /* when it fires; INT64_MAX: not set */
    int64_t turn_ns;               /* when this turn began */
    int64_t span_ns, span_busy_ns; /* of the busy measure: its start, and what was not sleep */

    struct pair pair[CORE_MAX_WORKERS];
    uint64_t posted_to;  /* a bit for each pair with something to send */
    struct batch *spare; /* ordinary batches for reuse, linked by next */
    unsigned spare_n;
    struct budget_share memory;

    bool is_stopping;
    uint64_t byes_to_say; /* a bit for each worker not yet told */
    unsigned byes_heard;
    struct worker_stats stats;
    pthread_t thread;
    bool is_running;

    struct mailbox mailbox;
    /* Read by others now and then, written rarely. */
    alignas(CACHE_LINE) atomic_uint busy_permille;
    atomic_uint load_permille;
    atomic_int_fast64_t busy_at_ms; /* when these were measured */
    alignas(CACHE_LINE) atomic_uint connections;
    atomic_int_fast64_t followed_ms; /* when a connection last came after its messages */
};

struct workers {
    unsigned n;
    void (*event)(void *ctx, struct worker *w, const struct core_event *ev);
    void *event_ctx;
    uint64_t seed; /* of the cores' hashes: nobody outside can guess it */
    struct budget budget;
    atomic_uint placement; /* enum placement */
    atomic_uint next_place;
    alignas(CACHE_LINE) atomic_bool stop;
    atomic_bool abort; /* not all could be started: end without goodbyes */
    struct worker w[];
};

/* The load after `span_ms` more, of which `busy` permille were not sleep. */
unsigned worker_load_after(unsigned load, unsigned busy, int64_t span_ms);

/* Take the time of the turn, and tell it to the core. */
void worker_set_clock(struct worker *w);

/* core_ops.post and .memory; ctx is the worker. */
struct entry *worker_post(void *ctx, unsigned to, size_t size, bool credited, size_t refers);
int64_t worker_memory(void *ctx, int64_t delta);

/* Read all that is in the mailbox. True if something was. */
bool worker_read_mail(struct worker *w);

/* Send what was posted in this turn. */
void worker_send_mail(struct worker *w);

/* Release what is in the mailbox, posted but not sent, and kept for reuse. */
void worker_drop_mail(struct worker *w);

/* Do what a turn does, and sleep. */
void worker_turn(struct worker *w);

/* Whether all was heard and read that comes before the end. */
bool worker_may_end(struct worker *w);

#endif
