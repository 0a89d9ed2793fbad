/* journal.h - the journal driven through its table by one thread, for benchmarks: puts of SIZE
 * bytes in runs, answers taken as they come.
 *
 * Errors   What should not be ends the program, with a line.
 * Thread   One, besides the journal's own. */
#ifndef BROKER_TESTS_BENCH_JOURNAL_H
#define BROKER_TESTS_BENCH_JOURNAL_H

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "brokerd/store/journal/journal.h"

enum { SIZE = 128, WINDOW_MAX = 65536 };

struct bench {
    struct journal *journal;
    struct journal_options options;
    struct store *store;
    struct store_queue *queue;
    struct topic *topic;
    int wake;
    pthread_mutex_t lock;
    journal_run_fn *run[16];
    void *arg[16];
    unsigned runs;
    uint64_t next, stored, settled; /* numbers: put, stored, settled so far */
    unsigned opened, open;          /* queues: asked for, answered */
    bool purged;
};

static inline double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static inline int call(void *ctx, unsigned to, journal_run_fn *run, void *arg)
{
    struct bench *b = ctx;
    uint64_t one = 1;

    (void)to;
    pthread_mutex_lock(&b->lock);
    b->run[b->runs] = run;
    b->arg[b->runs++] = arg;
    pthread_mutex_unlock(&b->lock);
    return write(b->wake, &one, sizeof one) == sizeof one ? 0 : -ENOMEM;
}

static inline void stored(void *ctx, unsigned w, const struct stored *a)
{
    struct bench *b = ctx;

    (void)w;
    if (a->kind == STORED_OPEN)
        b->open++;
    if (a->kind == STORED_PURGED)
        b->purged = true;
    if (a->kind != STORED_PUT)
        return;
    if (a->reason != REASON_NONE || a->first != b->stored + 1) {
        fprintf(stderr, "refused, or out of order\n");
        exit(1);
    }
    b->stored += a->count;
}

/* Wait for answers, and take them. */
static inline void take(struct bench *b)
{
    journal_run_fn *run[16];
    void *arg[16];
    uint64_t count;
    unsigned n;

    if (read(b->wake, &count, sizeof count) != sizeof count)
        exit(1);
    pthread_mutex_lock(&b->lock);
    n = b->runs;
    memcpy(run, b->run, sizeof run);
    memcpy(arg, b->arg, sizeof arg);
    b->runs = 0;
    pthread_mutex_unlock(&b->lock);
    for (unsigned i = 0; i < n; i++)
        run[i](arg[i], NULL);
}

static inline void put(struct bench *b, uint32_t n)
{
    static const uint8_t data[SIZE];
    static struct msg_view v[WINDOW_MAX];
    struct run run = {v, n, (uint64_t)n * SIZE, {CTYPE_NONE, {0}}, 0};
    struct msg_origin from = {b->topic, {CTYPE_NONE, {0}}, b->next + 1, 1000, 1000};

    for (uint32_t i = 0; i < n; i++)
        v[i] = (struct msg_view){data, SIZE, NULL, NULL};
    if (b->store->ops->put(b->queue, b->next + 1, &run, &from) < 0) {
        fprintf(stderr, "put is refused\n");
        exit(1);
    }
    b->next += n;
}

/* Open it at b->options.path, which must be set, and start it; no queue is open. */
static inline void begin(struct bench *b)
{
    char text[1024];

    b->options.workers = 1;
    b->options.ctx = b;
    b->options.call = call;
    b->options.stored = stored;
    if (journal_open(&b->options, &b->journal, text, sizeof text) < 0) {
        fprintf(stderr, "%s\n", text);
        exit(1);
    }
    b->store = journal_store(b->journal, 0);
    if (journal_start(b->journal) < 0)
        exit(1);
}

static inline struct store_queue *open_queue(struct bench *b, const char *name)
{
    static const struct queue_policy policy;
    struct store_open o = {.def = {.name = slice_str(name)}, .policy = &policy};
    struct store_queue *q = b->store->ops->open(b->store, &o, ++b->opened);

    if (!q)
        exit(1);
    b->store->ops->flush(b->store);
    while (b->open < b->opened)
        take(b);
    return q;
}

#endif
