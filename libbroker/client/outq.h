/* outq.h - frames that wait to be written, and those that may have to be written again.
 *
 * Why      A publisher keeps its messages until they have settled. They are encoded once, into
 *          the memory that is written to the socket and read again after a reconnect: no copy
 *          and no allocation per message.
 * Shape    A list of chunks, each full of whole frames, appended at the end. `at` is where
 *          writing goes on; what lies before it has been written. Bytes up to a chunk's
 *          `sendable` may be written; what follows waits for the broker's credit.
 *
 *              head            at                tail
 *              | written .. | written | to write | sendable .. | not yet |
 *
 *          A chunk never moves and is only ever appended to, so that it can be written without
 *          the handle's lock.
 * Owner    The queue owns its chunks.
 * Thread   Under the handle's lock; cl_outq_iov()'s memory stays valid without it until
 *          cl_outq_wrote(), provided that nobody releases meanwhile. */
#ifndef BROKER_CLIENT_OUTQ_H
#define BROKER_CLIENT_OUTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct cl_chunk {
    struct cl_chunk *next;
    size_t cap, len; /* bytes */
    size_t start;    /* what lies before has settled and is not written again */
    size_t sendable; /* of them, may be written; start to len */
    uint64_t first;  /* number of the message at offset 0; publishers only */
    uint64_t last;   /* number of the last message */
    uint8_t bytes[];
};

enum {
    CL_CHUNK_SIZE = 64 * 1024, /* usual capacity; a larger frame gets a chunk of its own */
    CL_SPARES_MAX = 16,        /* chunks kept for reuse */
};

struct cl_outq {
    struct cl_chunk *head, *tail, *at; /* all NULL when empty */
    struct cl_chunk *spare;            /* list of chunks of the usual size */
    size_t at_off;                     /* in `at` */
    size_t pending;                    /* bytes sendable and not written */
    size_t held;                       /* bytes in all chunks */
    unsigned spares;
};

/* Room for `n` contiguous bytes at the end, NULL without memory. Follow with cl_outq_commit(). A
 * new chunk is told by *ret_fresh (may be NULL): its `first` and `last` are the caller's to set. */
uint8_t *cl_outq_reserve(struct cl_outq *q, size_t n, bool *ret_fresh);

/* The first `n` bytes reserved are there; `sendable`: they may be written, and so may all before.
 */
void cl_outq_commit(struct cl_outq *q, size_t n, bool sendable);

/* Fill up to `max` iovecs with what may be written, oldest first, about `max_bytes` at most;
 * returns how many and their sum in *ret_bytes. */
int cl_outq_iov(const struct cl_outq *q, struct iovec *iov, int max, size_t max_bytes,
                size_t *ret_bytes);

/* The first `n` pending bytes have been written; they are kept. */
void cl_outq_wrote(struct cl_outq *q, size_t n);

/* Put a new chunk of at least `n` bytes in front of all others; NULL without memory. Its caller
 * fills it and sets all its fields. */
struct cl_chunk *cl_outq_push_front(struct cl_outq *q, size_t n);

/* Forget the head chunk, written or not. */
void cl_outq_drop_head(struct cl_outq *q);

/* Forget everything that has been written, whole chunks at a time. */
void cl_outq_drop_written(struct cl_outq *q);

/* Forget everything; `q` can be used again. */
void cl_outq_clear(struct cl_outq *q);

/* The same, and free what is kept for reuse. */
void cl_outq_fini(struct cl_outq *q);

#endif
