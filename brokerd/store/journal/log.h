/* log.h - the journal's end: batches are made, written and synced there, and segments begun.
 *
 * Why      A batch counts whole or not at all, names the segment it is in and defines each queue
 *          that its segment does not know yet, and the first one of a segment tells which segments
 *          there are: one place for all who write, the store's rounds, clearing, and start.
 * Shape        log_begin()                       a segment, of a file that was prepared
 *              log_add(), log_put() ..           into the batch, in memory
 *              log_write(), log_sync()           or log_drop(): it never was
 *          log_sync() applies to the catalog what is on disk from then on. At most one batch is
 *          not synced: recovery rests on that.
 * Owner    The log owns the descriptor of the segment it writes to. Files, catalog: the caller's.
 * Errors   0 or -errno. -ENOSPC: of log_add() and log_put(), it does not fit into the segment any
 *          more, and nothing was added; of log_write(), the disk is full: the batch may be written
 *          again, or dropped. What log_sync() fails to sync is to be the end of the process.
 * Thread   One at a time; write, sync and begin block. */
#ifndef BROKERD_STORE_JOURNAL_LOG_H
#define BROKERD_STORE_JOURNAL_LOG_H

#include "brokerd/store/journal/catalog.h"
#include "brokerd/store/journal/files.h"

struct log {
    const struct files *files;
    struct catalog *catalog;
    uint64_t journal;
    uint64_t next_batch;
    uint32_t segment; /* written to; or the last one there was, if fd is -1; 0: none */
    int fd;
    uint64_t end;  /* of what is synced there */
    uint64_t size; /* of the file */
    bool sealed;   /* the last batch is a seal, or there is none */
    uint8_t *buf;  /* the batch: its head, then its records */
    size_t cap, used;
    uint32_t records;
    uint64_t serial; /* of the batch: never the same again, even if it is dropped */
    bool free_size;  /* clearing: the batch is made whether it fits or not */
    uint8_t *list;   /* RECORD_SEGMENTS for the segment's first batch */
    size_t list_n;   /* bytes of it, at the batch's end; 0: it is on disk */
};

/* Nothing is written to yet: the last segment was `segment`, where batches ended at `end`. -ENOMEM.
 */
int log_init(struct log *l, const struct files *files, struct catalog *catalog, uint64_t journal,
             uint64_t next_batch, uint32_t segment, uint64_t end);
void log_fini(struct log *l);

/* Begin the next segment in `fd`, a file prepared with `size` bytes, which becomes the log's. The
 * batch must be empty. *ret_old is the descriptor of the one before, -1: none; it is to be cut at
 * *ret_end and synced before anything else is begun, and to be closed, by the caller. -ENOSPC:
 * nothing happened, and `fd` is still the caller's. */
int log_begin(struct log *l, int fd, uint64_t size, int64_t wall_ms, int *ret_old,
              uint64_t *ret_end);

/* The same for who may wait: in a file made here, with room for `least` bytes of batches at least,
 * and the old one is cut and closed. */
int log_roll(struct log *l, uint64_t least, int64_t wall_ms);

/* The same for the first one of a start, which becomes a segment only with its first batch: when
 * that is written, the caller has files_publish() do it, before log_sync(). */
int log_begin_first(struct log *l, int fd, uint64_t size, int64_t wall_ms);

/* Bytes that the batch takes in the segment. */
static inline uint64_t log_size(const struct log *l)
{
    return l->used + l->list_n;
}

/* Bytes that a segment which is begun now takes for its list, at most. */
static inline uint64_t log_list_most(const struct log *l)
{
    return SEGMENTS_HEAD + RANGE_SIZE * (l->catalog->segments.n + 1);
}

/* Bytes of records for which the segment has room, besides what the batch has. */
static inline uint64_t log_room(const struct log *l)
{
    uint64_t taken = l->end + log_size(l);

    return l->fd >= 0 && taken < l->size ? l->size - taken : 0;
}

/* One record more, after the queue's definition if the segment has none. Of kind RECORD_RETURNED or
 * RECORD_RETAINED with segment 0: about the segment that is written to. -ENOSPC, -ENOMEM. */
int log_add(struct log *l, const struct record *r);

/* So that records of `n` bytes of that queue can be added. -ENOSPC, -ENOMEM. */
int log_reserve(struct log *l, const struct stored_queue *q, uint64_t n);

/* One log_add() for `n` puts of a queue that are encoded already. */
int log_put(struct log *l, const struct stored_queue *q, struct slice records, uint32_t n);

/* What the definition would take that log_put() would have to add. */
uint64_t log_definition_size(const struct log *l, const struct stored_queue *q);

/* Write the batch; one without records is a seal. */
int log_write(struct log *l);

/* Sync it, and apply it. -ENOMEM, -EPROTO of the catalog are as bad as a failed sync. */
int log_sync(struct log *l);

/* Forget the batch. */
void log_drop(struct log *l);

#endif
