/* calls.h - what a store's thread wants run on a worker's, where the worker is a test: kept until
 *           that has time for it.
 *
 * Thread   calls_push(): any; the others: the test's. */
#ifndef TESTS_SUITES_STORES_CALLS_H
#define TESTS_SUITES_STORES_CALLS_H

#include "brokerd/store/journal/journal.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

enum { CALLS_MAX = 16384 };

struct calls {
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct {
        journal_run_fn *run;
        void *arg;
    } call[CALLS_MAX];
    size_t n;
};

static inline void calls_init(struct calls *c)
{
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->came, NULL);
    c->n = 0;
}

static inline void calls_fini(struct calls *c)
{
    pthread_cond_destroy(&c->came);
    pthread_mutex_destroy(&c->lock);
}

/* -ENOMEM: too many wait. */
static inline int calls_push(struct calls *c, journal_run_fn *run, void *arg)
{
    int r = -ENOMEM;

    pthread_mutex_lock(&c->lock);
    if (c->n < CALLS_MAX) {
        c->call[c->n].run = run;
        c->call[c->n++].arg = arg;
        r = 0;
    }
    pthread_cond_signal(&c->came);
    pthread_mutex_unlock(&c->lock);
    return r;
}

/* Run those there are; how many. They may push more. */
static inline size_t calls_run(struct calls *c)
{
    size_t n = 0;

    pthread_mutex_lock(&c->lock);
    for (; n < c->n; n++) {
        journal_run_fn *run = c->call[n].run;
        void *arg = c->call[n].arg;

        pthread_mutex_unlock(&c->lock);
        run(arg, NULL);
        pthread_mutex_lock(&c->lock);
    }
    c->n = 0;
    pthread_mutex_unlock(&c->lock);
    return n;
}

/* Wait for the first a while; false: there is none. */
static inline bool calls_come(struct calls *c, unsigned ms)
{
    struct timespec end;
    bool any;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_nsec += (long)ms * 1000000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    pthread_mutex_lock(&c->lock);
    while (!c->n && pthread_cond_timedwait(&c->came, &c->lock, &end) == 0)
        continue;
    any = c->n > 0;
    pthread_mutex_unlock(&c->lock);
    return any;
}

/* Run them, but wait for the first a while; how many. */
static inline size_t calls_wait(struct calls *c, unsigned ms)
{
    return calls_come(c, ms) ? calls_run(c) : 0;
}

#endif
