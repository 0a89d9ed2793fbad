/* journal.h - durable queues in files of our own: the make of store (core/store.h) that needs
 *             nothing but a directory.
 *
 * Why      A confirmed message is on disk. The disk is slow to say so, and does no better for one
 *          message than for a thousand: so one thread writes for all workers, and while it waits
 *          for one fdatasync the next batch gathers by itself (docs/stores.md).
 * Shape        worker: put, settle .. --parcel--> thread: batch, pwrite, fdatasync, catalog
 *              worker: core_stored() <--answers---- |  ^
 *                                           helper: prepares, cuts and removes files
 *          A struct store for each worker, of one table. What a worker says in a turn is encoded on
 *          its thread into parcels, which go to the journal's thread with flush(): one exchange of
 *          a pointer, and a wake-up if that thread sleeps and there is something that cannot wait.
 * Owner    journal_open() to journal_free(). The path is copied.
 * Errors   0 or -errno, and a text for people. What the disk fails to write or sync while it runs
 *          ends the process, at once, with JOURNAL_EXIT and one line on stderr: nobody may go on
 *          from there. A full disk does not: puts are refused (REASON_STORE, or -ENOSPC for a
 *          limit) until there is room again.
 * Thread   open, start, stop, free: one, the caller's. The struct store of a worker: that worker's.
 *          Facts: any. */
#ifndef BROKERD_STORE_JOURNAL_JOURNAL_H
#define BROKERD_STORE_JOURNAL_JOURNAL_H

#include "brokerd/core/store.h"
#include "brokerd/store/journal/recover.h"

#include <limits.h>

struct journal;
struct worker;

enum {
    JOURNAL_EXIT = 75,
    JOURNAL_SEGMENT = 32 << 20, /* bytes of an ordinary segment, unless told otherwise */
    JOURNAL_SEGMENT_MIN = 4096,
    JOURNAL_SYNC_BUCKETS = 24 /* of sync times: bucket i is below 2^i * 8 us */
};

/* As worker_fn. */
typedef void journal_run_fn(void *arg, struct worker *w);

enum journal_event_kind {
    JOURNAL_FULL,       /* puts are refused: the limit, or the disk's end */
    JOURNAL_ROOM,       /* no more */
    JOURNAL_DAMAGED,    /* a message, or a place in a segment, cannot be read */
    JOURNAL_UNRECORDED, /* settlements find no room: after a restart they are as if never said */
};

struct journal_event {
    enum journal_event_kind kind;
    const char *text; /* borrowed for the call */
};

struct journal_options {
    const char *path;
    uint64_t segment_bytes; /* 0: JOURNAL_SEGMENT */
    uint64_t disk_max;      /* 0 or UINT64_MAX: no limit */
    bool accept_damage;
    unsigned workers;
    void *ctx; /* of the three below */
    /* Have run(arg, w) run on the thread of worker `to`, soon, in order (workers_call()). -ENOMEM:
     * it is tried again. From the journal's thread. */
    int (*call)(void *ctx, unsigned to, journal_run_fn *run, void *arg);
    /* An answer, on the thread of worker `to` (core_stored()). */
    void (*stored)(void *ctx, unsigned to, const struct stored *a);
    /* Something to be logged; from any of the journal's threads. May be NULL. */
    void (*event)(void *ctx, const struct journal_event *ev);
};

/* Open the journal, and make one if there is none: locks the directory, reads all of it, puts what
 * is left of the last crash in order. Blocks as long as that takes. On failure `text` (of text_n
 * bytes) tells people why: -EBUSY another broker has it, -EUCLEAN damage, -ENOTSUP a later version,
 * others as the system says. */
int journal_open(const struct journal_options *o, struct journal **ret, char *text, size_t text_n);

/* What reading it found. */
const struct recovery *journal_recovery(const struct journal *j);

/* The store of a worker; lives as long as the journal. */
struct store *journal_store(struct journal *j, unsigned worker);

/* Start its threads. Worker 0 is told of all queues there are (STORED_FOUND, STORED_ALL_FOUND). */
int journal_start(struct journal *j);

/* Write what was flushed, seal, join the threads. No worker calls its store after this, but for
 * close(); answers still on their way may come. Twice is fine. */
void journal_stop(struct journal *j);

/* Free all; the workers must have ended or not use it any more. NULL is fine. */
void journal_free(struct journal *j);

/* Put aside all that is on disk now, as hard links in the journal's folder snapshot/, which a start
 * removes. Waits for the journal's thread, up to about `timeout_ms`. -ENOSPC: there is no room for
 * another segment; -ETIMEDOUT: the disk does not answer; -ESRCH: it is not running. */
int journal_snapshot(struct journal *j, int timeout_ms);

/* Not any more. */
int journal_release(struct journal *j);

/* How it does; as of the thread's last round. */
struct journal_facts {
    uint64_t batches, syncs, puts, settlements, records, bytes; /* written since the start */
    uint64_t put_bytes;                                         /* of those, of puts */
    uint64_t moved_bytes, cleared; /* written again by clearing; segments cleared */
    uint64_t fetches, fetched, read_bytes;
    uint64_t damaged; /* messages found unreadable since the start, batches and files lost at it */
    uint64_t unrecorded; /* settlements that found no room on a full disk, nor to wait for it */
    uint64_t refused_full, refused_space, refused_memory; /* puts: limit, disk's end, memory */
    uint64_t sync_ns, sync_ns_max;                        /* sum, longest */
    uint64_t sync_times[JOURNAL_SYNC_BUCKETS];
    uint64_t disk, disk_max; /* bytes of files; UINT64_MAX: no limit */
    uint64_t data, notes;    /* of those, of use */
    uint64_t segments, messages, queues;
    uint64_t retained;        /* messages that are settled, besides */
    uint64_t rolled_late;     /* segments begun that had to wait for their file */
    int64_t full_since_ms;    /* wall clock: puts are refused since; 0: they are not */
    int64_t syncing_since_ms; /* wall clock: a sync that has not returned; 0: there is none */
};

struct journal_facts journal_facts(struct journal *j);

#endif
