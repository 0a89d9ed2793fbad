/* internal.h - what the files of the running journal share.
 *
 * Shape    journal.c   open, start, stop, facts
 *          client.c    the table, a worker's side: encodes what is wanted into parcels, takes
 *                      answers
 *          writer.c    the thread: its rounds, its sleep, group commit
 *          compose.c   what workers want, made records of a batch
 *          reply.c     answers on their way to a worker
 *          read.c      fetch, peek, facts
 *          past.c      what is settled and retained: until when, and having it again
 *          sweep.c     clearing, step by step
 *          snapshot.c  all there is at one moment, for a backup
 *          helper.c    a second thread, for files: prepares, cuts, removes
 * Thread   As each field says: the worker's, the thread's, or atomic. */
#ifndef BROKERD_STORE_JOURNAL_INTERNAL_H
#define BROKERD_STORE_JOURNAL_INTERNAL_H

#include "brokerd/store/journal/clear.h"
#include "brokerd/store/journal/journal.h"
#include "brokerd/store/journal/log.h"
#include "libbroker/base/list.h"
#include "libbroker/base/vigil.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

enum {
    PARCEL_BYTES = 64 << 10, /* of an ordinary one */
    PARCELS_KEPT = 8,        /* of those, idle, by a worker */
    SOON_MAX = 64,           /* puts that are few: with more, threads have something to do */
    BATCH_MAX = 1 << 20,     /* bytes, but for a message that has more */
    LATER_MAX = 256,         /* ops of a batch with something to do after it */
    READ_BYTES = 1 << 20,    /* fetched in a round, about */
    SETTLE_WAIT_MS = 100,    /* settlements alone wait so long for company */
    SEAL_MS = 1000,          /* of quiet */
    RETRY_MS = 100,          /* with a full disk */
    SWEEP_BYTES = 256 << 10, /* a step of clearing */
    HELD_BYTES = 1 << 20, /* of what waits for a full disk; settlements beyond are not recorded */
    REMOVAL_BYTES =
        1024,       /* of the last segment, for removals when there is room for nothing else */
    PUT_SLACK = 256 /* bytes of heads, definitions .. that a put may cost besides */
};

/* ------------------------------------------------------------------- from a worker to the thread
 */

enum op_kind {
    OP_PUT,    /* data: n records */
    OP_SETTLE, /* data: n struct store_settlement */
    OP_OPEN,   /* data: a record of kind queue, its number 0 */
    OP_DEFINE, /* the same */
    OP_FETCH,
    OP_PEEK,
    OP_REWIND,
    OP_PURGE, /* data: n struct store_settlement that stay */
    OP_ASK,
    OP_CLOSE,
    OP_REMOVE,
};

struct op {
    uint32_t size; /* with its data; a multiple of 8 */
    enum op_kind kind;
    uint32_t n;
    struct store_queue *q;
    uint64_t first; /* put: number of the first. fetch, peek: from. purge: upto. open, define: how
                     * long to retain. rewind: to which number or time; `n` is enum rewind_to.
                     * settle: the number to go on at, or 0 */
    uint64_t bytes; /* put: of payload. fetch: about so many. settle: so many of `n` are on disk */
    uint64_t token; /* settle: 1, not to be retained */
    uint8_t data[];
};

struct parcel {
    struct parcel *next;
    unsigned worker;
    bool urgent; /* there is something besides settlements */
    size_t used, cap;
    uint8_t bytes[];
};

/* An op that waits for a disk that is full. */
struct held {
    struct held *next;
    unsigned worker;
    bool done; /* it is in the batch */
    struct op op;
};

/* ------------------------------------------------------------------- from the thread to a worker
 */

enum { ANSWER_CLOSED = 100 }; /* besides enum stored_kind: the queue can be freed */

struct answer {
    struct store_queue *q; /* NULL: of the store */
    unsigned kind;
    enum reason reason;
    uint64_t first, count, bytes;
    struct stored *more; /* if that is not all: the whole answer, in one allocation */
};

struct reply {
    struct reply *next;
    struct parcel *done; /* they go home */
    size_t n, cap;
    struct answer *a;
};

/* ---------------------------------------------------------------------------------- the worker's
 */

struct journal_store {
    struct store head;
    struct journal *journal;
    unsigned worker;
    struct parcel *first, *last; /* gathered in this turn */
    struct op *op;               /* the last one in `last`; NULL: none that may grow */
    struct parcel *idle;
    unsigned idle_n;
    uint64_t out;                                /* parcels that have not come home */
    uint64_t away_n;                             /* puts not answered, of all queues */
    struct list wanting;                         /* struct store_queue.want: told no room */
    bool ask_room;                               /* the thread is to be woken for them */
    alignas(64) _Atomic(struct reply *) replies; /* newest first */
    atomic_uint_fast64_t wants;                  /* bytes that a refused put would need; 0: none */
};

struct store_queue {
    struct journal_store *of;
    handle_t handle;
    uint32_t number; /* 0: STORED_OPEN has not come yet */
    bool closed;
    uint64_t away_n, away_bytes; /* put, not answered */
    struct list_node want;       /* in journal_store.wanting */
    bool wants_room;
    /* The thread's. */
    alignas(64) struct stored_queue *kept;
    bool closing;                /* nothing is to be held for it any more */
    uint32_t opening;            /* number that it gets with this batch */
    uint64_t put_in, settled_in; /* log.serial of the last batch with puts, settlements of it */
    uint64_t put_next;           /* put_in: the number after those */
};

/* ---------------------------------------------------------------------------------- the helper */

enum spare_state { SPARE_NONE, SPARE_BUSY, SPARE_READY, SPARE_FAILED };

/* A segment that was cleared; lists up to that of segment `at` may name it: it is forgotten when
 * there is one of a segment after the next. */
struct cleared {
    uint32_t number, at;
};

struct helper {
    struct journal *journal;
    pthread_t thread;
    bool is_running;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    bool stop;
    enum spare_state spare;
    int spare_fd, spare_error;
    int cut_fd; /* -1: none to be cut */
    uint64_t cut_at;
    uint32_t remove, removed; /* segments: to be removed, removed and not yet told; 0: none */
    struct cleared *cleared;  /* that are not forgotten, of which there are .. */
    size_t cleared_n, cleared_cap;
    uint32_t listed; /* the newest segment whose list is on disk */
};

void helper_init(struct helper *h, struct journal *j);
int helper_start(struct helper *h);
void helper_stop(struct helper *h);
/* A file for the next segment is wanted, if there is none. */
void helper_prepare(struct helper *h);
enum spare_state helper_spare(struct helper *h, int *ret_error);
/* Wait until it is not BUSY any more. */
enum spare_state helper_wait(struct helper *h);
/* SPARE_READY: its descriptor, the caller's from now on. */
int helper_take(struct helper *h);
/* The caller did not need it. */
void helper_put_back(struct helper *h, int fd);
/* Cut and sync and close that segment, before anything else is prepared. */
void helper_cut(struct helper *h, int fd, uint64_t at);
void helper_remove(struct helper *h, uint32_t number);
/* A segment that was removed, with the directory synced; 0: none. Lists up to that of segment `at`
 * may name it. */
uint32_t helper_removed(struct helper *h, uint32_t at);
/* The list of that segment is on disk. */
void helper_listed(struct helper *h, uint32_t segment);

/* -------------------------------------------------------------------------------- the snapshot */

enum snapshot_state { SNAPSHOT_NONE, SNAPSHOT_WANTED, SNAPSHOT_TAKEN };

struct snapshot {
    atomic_bool wanted; /* looked at by the thread */
    pthread_mutex_t lock;
    pthread_cond_t done;
    enum snapshot_state state;
    int result;
};

void snapshot_init(struct snapshot *s);
void snapshot_fini(struct snapshot *s);

/* ---------------------------------------------------------------------------------- the thread's
 */

/* An op with something to be done when the batch is applied, and where its answer is. */
struct later {
    struct op *op;
    unsigned worker;
    size_t answer; /* in that worker's reply */
    uint64_t hash; /* close: of the name */
    uint64_t next; /* fetch, peek: nothing from this number on */
};

/* How much of an op of puts is done. */
struct part {
    uint64_t bytes, n, payload;
};

/* Where a batch began. */
struct mark {
    struct parcel *at;
    size_t at_op;
    struct part part;
    uint64_t done_bytes;
    uint32_t next_queue;
};

struct batch_counts {
    uint64_t puts, put_bytes, settlements;
    uint64_t refused[2]; /* without room, without memory */
};

enum compose_mode {
    COMPOSE_ALL,
    COMPOSE_NO_PUTS, /* the disk is full: they are refused */
    COMPOSE_HOLD     /* not even settlements find room: they wait */
};

struct sweep {
    uint32_t victim;    /* 0: none */
    uint32_t leaving;   /* being removed; 0: none */
    uint8_t *bytes;     /* of the victim */
    uint64_t n, loaded; /* of those, read so far */
    struct clear clear;
    bool walked;          /* what is left is in damaged batches */
    bool look, look_idle; /* there may be a victim; look_idle: when there is time */
    uint32_t kept;        /* the last one that was kept in damaged/ */
    int64_t again_ms;     /* not before: there was no room */
};

struct open_file {
    uint32_t segment; /* 0: free */
    int fd;
    uint64_t used;
};

enum { OPEN_FILES = 64 };

enum sleep_state { AWAKE, DOZING, ASLEEP };

struct journal {
    struct journal_options options;
    struct files files;
    struct catalog catalog;
    struct log log;
    struct recovery recovery;
    struct helper helper;
    struct snapshot snapshot;
    pthread_t thread;
    bool is_running;

    /* Atomic: between all. */
    alignas(64) _Atomic(struct parcel *) parcels; /* newest first */
    alignas(64) _Atomic uint32_t sleep;           /* enum sleep_state; a futex */
    atomic_bool stop;
    alignas(64) atomic_uint_fast64_t taken; /* bytes of puts that were let in */
    atomic_uint_fast64_t let;               /* so many may be */
    _Atomic int refuse;                     /* -errno that put() says now; 0: none */
    atomic_uint_fast64_t refused[2];        /* messages, by put(): the limit, the disk's end */
    atomic_int_fast64_t syncing_since_ms;

    /* The thread's. */
    alignas(64) struct parcel *head, *tail; /* taken, oldest first */
    struct parcel *at;                      /* read so far: this one, */
    size_t at_op;                           /* up to there */
    struct part part;                       /* and of that op, so much */
    struct mark mark;
    struct held *held, **held_end;
    uint64_t held_bytes;  /* of those */
    bool unrecorded;      /* it was told that settlements are not, since the disk is full */
    struct parcel *done;  /* read in this round */
    struct reply **reply; /* of each worker, being filled; NULL */
    bool *retry_call;     /* of each worker: options.call() is due */
    struct later later[LATER_MAX];
    unsigned later_n;
    uint64_t reading_bytes;
    struct op *purging; /* of this batch, of which so many: */
    uint64_t purged;
    struct op *settling; /* it ends with a part of that, which goes on at: */
    uint64_t settling_at, settling_seq;
    struct batch_counts batch;
    uint64_t need;    /* COMPOSED_ROLL: bytes of records that the next segment needs */
    bool spare_ready; /* there is a next segment's file */
    bool urgent;      /* something besides settlements is pending */
    int64_t since_ms; /* it is pending, if that is all; 0: nothing is */
    enum compose_mode mode;
    bool write_full, spare_full; /* why there is no room; both false: there is */
    int64_t retry_ms;            /* when to try again, monotonic */
    uint64_t rounds;
    struct vigil vigil;  /* for the next put, */
    bool few;            /* after a round of few records */
    int64_t last_ms;     /* the last batch, monotonic */
    int64_t expire_ms;   /* when to look for what is retained no more, monotonic */
    uint64_t done_bytes; /* of `taken`: written or refused */
    struct index names;  /* struct stored_queue, by name */
    uint32_t next_queue;
    struct sweep sweep;
    struct open_file open[OPEN_FILES];
    uint64_t open_used;

    pthread_mutex_t facts_lock;
    struct journal_facts facts, told; /* the thread's; as told to others */
    struct journal_store *store[];
};

/* The disk has failed to keep what it was told to: one line, and the end. */
_Noreturn void journal_die(const struct journal *j, const char *what, int error);

void journal_tell(struct journal *j, enum journal_event_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

int64_t journal_clock_ms(void);
int64_t journal_wall_ms(void);

/* Memory that cannot be gone without: waits for it. */
void *journal_alloc(size_t n);

/* Wake the thread, if it sleeps too long for this. Any thread. */
void journal_wake(struct journal *j, bool urgent);

void *journal_thread(void *arg);
/* Tell how it does, to journal_facts(). */
void journal_publish(struct journal *j);

extern const struct store_ops journal_ops;
void journal_take_replies(void *store, struct worker *w); /* journal_run_fn */

/* A new segment, for a batch of `need` bytes. -ENOSPC. */
int journal_roll(struct journal *j, uint64_t need);

/* Have the next segment's file made, if there is none and the limit allows it. */
void journal_prepare(struct journal *j);

/* Write, sync and apply the batch. -ENOSPC: nothing happened. */
int journal_commit(struct journal *j);

/* How a round goes on. */
enum composed {
    COMPOSED,      /* what there was, or as much as a batch takes */
    COMPOSED_ROLL, /* the next op does not fit into this segment; the batch may have something */
};

/* Make a batch of what workers want. */
enum composed compose(struct journal *j);
/* An op that waits until the others that wait are written. */
void compose_hold(struct journal *j, unsigned worker, const struct op *op);
/* It is to be done again: as if nothing had been read since. */
void compose_rewind(struct journal *j);
/* It is on disk. */
void compose_done(struct journal *j);
/* Queues that are removed and wait go before all else that waits, one by one, as far as there is
 * room: that makes some. */
void compose_removals(struct journal *j);
/* Those that are still waiting will be there again at the next start: tell so. */
void compose_tell_unremoved(struct journal *j);
bool compose_pending(const struct journal *j);

/* The queue of that name; NULL. */
struct stored_queue *names_find(const struct journal *j, struct slice name);
void names_add(struct journal *j, struct stored_queue *q);

/* A place for an answer to worker `w`; its index. */
size_t reply_add(struct journal *j, unsigned w, const struct answer *a);
void reply_put(struct journal *j, unsigned w, struct store_queue *q, uint64_t first, uint64_t n,
               uint64_t bytes, enum reason reason);
/* Forget what was added in this round. */
void reply_rewind(struct journal *j);
/* Send all. */
void reply_send(struct journal *j);
void reply_free(struct reply *r);

/* Do what was put off until the batch was applied. */
void read_all(struct journal *j);
int read_file(struct journal *j, uint32_t segment, int *ret_fd);
void read_forget_file(struct journal *j, uint32_t segment);
void read_fini(struct journal *j);
/* When the message at that place was published; `otherwise` if that cannot be read. */
int64_t read_time(struct journal *j, const struct place *p, int64_t otherwise);
/* That there is such a queue, with its definition, in one allocation. */
struct stored *read_found(const struct stored_queue *q);
void read_tell_lost(struct journal *j, struct store_queue *q, uint64_t n);

/* Is what is settled now retained by the queue? */
bool past_retains(const struct stored_queue *q);
/* What was settled before that, wall clock, is retained no more. */
int64_t past_over_ms(const struct stored_queue *q);
/* Forget what is retained no more: all of a queue; a part of what is due of all of them. True:
 * there was some. */
void past_expire(struct journal *j, struct stored_queue *q);
bool past_expire_all(struct journal *j, int64_t now_ms);
/* When that is to be looked for next, monotonic; INT64_MAX: nothing is retained. */
int64_t past_nap_ms(const struct journal *j);
/* The records of a batch that make a queue go on there, for which there is room or is not. -ENOSPC:
 * *ret_need bytes; -ENOMEM. Nothing was added then. */
int past_rewind(struct journal *j, struct stored_queue *q, const struct op *op, uint64_t *ret_need);

/* Is there something to clear, or to be told about what was? */
bool sweep_wanted(struct journal *j);
void sweep_step(struct journal *j);
void sweep_fini(struct sweep *s);

/* Take a snapshot if one is wanted; false: none is. */
bool snapshot_step(struct journal *j);

/* What may be put from now on. */
void journal_set_room(struct journal *j);

#endif
