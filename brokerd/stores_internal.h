/* stores_internal.h - what the files of stores.h share: the struct, and each kind's part.
 *
 * Thread   Main's, but for what is told and asked by workers: their own. */
#ifndef BROKERD_STORES_INTERNAL_H
#define BROKERD_STORES_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "brokerd/stores.h"

struct journal;
struct nodes;
struct redis_store;

enum { STORES_TEXT_MAX = 1024 };

/* A worker's part of Redis. */
struct redis_part {
    struct stores *stores;
    struct redis_store *store; /* NULL: none */
    bool down;                 /* and was told so */
};

struct stores {
    struct stores_options o;
    struct workers *workers;
    struct journal *journal;                       /* NULL: none */
    struct redis_part redis[SETTINGS_WORKERS_MAX]; /* by worker */
    struct nodes *nodes;                           /* that share topics by it; NULL: none */
    atomic_uint redis_down;                        /* how many of them cannot reach it */
    char url[REDIS_URL_MAX];                       /* of Redis, for people */
    char node[SETTINGS_WORD_MAX];
    /* Rounds of questions to the workers: asked anew when all have answered. */
    unsigned asked;
    int64_t finding_ms; /* since when their queues are waited for; 0: they are not */
    bool told;          /* that it takes long */
    atomic_uint answered, yes;
    pthread_mutex_t lock;
    char why[STORES_TEXT_MAX]; /* what Redis said last, under the lock */
};

/* ---- stores_journal.c */

/* An exit status. */
int stores_open_journal(struct stores *s);
void stores_stop_journal(struct stores *s);
json_t *stores_tell_journal(const struct stores *s);

/* ---- stores_redis.c */

/* An exit status. Workers are made. */
int stores_open_redis(struct stores *s);
/* Why a worker's link is not up, if it is not. The worker's thread. */
void stores_note_redis(struct stores *s, unsigned worker);
/* What it holds goes back to all, and what was put goes out; not for ever. */
void stores_stop_redis(struct stores *s);
void stores_free_redis(struct stores *s);
/* What `worker` knows of it, added to what others have told. */
void stores_tell_redis(const struct stores *s, unsigned worker, json_t *to);

/* ---- stores.c: members of what admin is told */

struct store_number {
    const char *key;
    uint64_t n;
};

/* Add them to those of the same names. */
void stores_add_numbers(json_t *to, const struct store_number *rows, size_t n);
#define STORES_ADD_NUMBERS(to, rows) stores_add_numbers(to, rows, sizeof(rows) / sizeof *(rows))

/* Ask all workers, as often as all have answered; true once all said yes in the same round. */
bool stores_ask(struct stores *s, worker_fn *fn);
/* An answer to it. */
void stores_answer(struct stores *s, bool yes);

#endif
