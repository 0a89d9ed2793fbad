/* recover.h - from the files of a journal to its catalog.
 *
 * Why      What a start, `broker store check` and the crash tests have to do alike.
 * Shape    Segments by rising number, batches in order, each whole or not at all. What is not a
 *          batch is either torn or damaged:
 *              torn      nothing that was confirmed: the journal ends there. The one batch that was
 *                        being written when the broker or the machine died; the segment after it,
 *                        if there is one, says in its head where this one ends
 *              damaged   a later batch is there, so this one was confirmed: the disk has lost it.
 *                        Its segment is marked (segments.h)
 *          Which files there should be is told by the first batch of each segment (format.h,
 *          RECORD_SEGMENTS): what the newest list names, and all begun since, is there, or was
 * cleared, or is missing, which is damage, too. Without a list (of an earlier version, or its batch
 * is damaged) nobody can say. Nothing is changed: a journal may be recovered again and again.
 * Whoever starts on it then cuts each segment at its end (segments.h), begins a new one, and writes
 * the last batch again, for a disk that failed to sync it may have told us from its cache what is
 *          not there.
 * Owner    The catalog is the caller's, initialised; good for nothing after an error.
 * Errors   -ENOMEM; what load() says; -EPROTO: an intact batch makes no sense; -ENOTSUP: of a
 *          later version; -EXDEV: segments of different journals; -EUCLEAN: damage that costs
 *          messages, and `accept_damage` is false (the report tells all of it, the catalog has
 *          what is left).
 * Thread   The caller's. */
#ifndef BROKERD_STORE_JOURNAL_RECOVER_H
#define BROKERD_STORE_JOURNAL_RECOVER_H

#include "brokerd/store/journal/catalog.h"

/* Where the bytes come from. */
struct journal_file {
    uint32_t number; /* as its name says */
    uint64_t size;
};

struct journal_source {
    void *ctx;
    const struct journal_file *files; /* by rising number */
    size_t files_n;
    const struct journal_file
        *cleared; /* that are gone, and may still be named: by rising number */
    size_t cleared_n;
    uint32_t newest; /* the segment that was begun last, as far as is known; 0: it is not */
    /* The bytes of a file, all or the first `most`; until unload(). -errno. One file at a time. */
    int (*load)(void *ctx, uint32_t number, uint64_t most, struct slice *ret);
    void (*unload)(void *ctx, uint32_t number, struct slice bytes);
};

struct damage {
    uint32_t segment;
    uint64_t from, to;
    uint64_t batches; /* lost; 0: none, only a segment's head */
    bool missing;     /* there is no such file: nobody knows how many */
};

enum { DAMAGE_TOLD = 64 };

struct recovery {
    uint64_t journal; /* 0: there is none yet */
    uint64_t batches, records;
    uint64_t next_batch;   /* the number of the next one */
    uint32_t last_segment; /* the last one with a batch or an intact head; 0: none */
    uint64_t last_end;     /* where it ends */
    uint64_t last_batch;   /* where its last batch is; 0: it has none */
    uint64_t torn_bytes;   /* behind that */
    uint32_t blank;        /* segments behind it, never used: to be removed */
    uint32_t at;           /* segment that was looked at last: where it failed */
    uint32_t version;      /* -ENOTSUP: of that one */
    unsigned newer_kind;   /* -ENOTSUP: of a record there; 0: it is the version */
    uint64_t damaged;      /* places, of which the first DAMAGE_TOLD are told */
    uint64_t lost_batches;
    uint64_t missing; /* files; places, too */
    struct damage damage[DAMAGE_TOLD];
};

/* Read it all into `c`, which then has its segments too. */
int journal_recover(const struct journal_source *src, bool accept_damage, struct catalog *c,
                    struct recovery *ret);

#endif
