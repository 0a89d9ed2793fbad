/* out.h - what waits to be written to one connection.
 *
 * Why      A door encodes into memory and never sees a socket; net writes. Between them lies
 *          this: bytes copied in, large payloads by reference, and two callbacks.
 * Shape    A line of segments {start, length, block}. Copied bytes lie in blocks from the
 *          worker's pool. Line and blocks are there from the first byte until all is written: a
 *          connection with nothing to say has neither, and under load the same stay in cache.
 * Owner    The segments hold one reference on their block each.
 * Errors   Without memory an append fails with -ENOMEM, the output is marked broken and takes
 *          nothing more: a stream with a hole in it must not go on. Its owner closes it.
 * Thread   The one worker that owns the connection. */
#ifndef BROKER_BASE_OUT_H
#define BROKER_BASE_OUT_H

#include "libbroker/base/block.h"
#include "libbroker/base/slice.h"

#include <sys/uio.h>

struct out;

enum { OUT_LINES_KEPT = 64 };

/* What the outputs of one worker have in common; zero but for the first three at the beginning. */
struct out_host {
    /* Write what can be written now. Called from out_end() when much is pending; while blocked,
     * when that is above OUT_HIGH_WATER: not to write, but to tell the writer so. NULL: nobody
     * writes, these are plain buffers, as in tests. */
    void (*flush)(struct out *o);
    /* Something waits since it was last looked at (who does, clears is_dirty): write it at the end
     * of the turn, or count it if blocked. */
    void (*dirty)(struct out *o);
    struct block_pool *pool; /* where copied bytes live; not owned */
    /* Empty ones, for the next that has something to say. With malloc() and free() for each, a
     * lone message from one connection to another cost 100 of 2,600 instructions more. */
    struct out_line *line[OUT_LINES_KEPT];
    unsigned lines_n;
};

struct out_seg {
    const uint8_t *p;
    size_t n;
    struct block *block; /* holds p; one reference is ours. NULL: out_write() is at it */
};

enum {
    OUT_FLUSH_NOW = 8 * 1024,    /* a run this large is written while its bytes are in cache */
    OUT_HIGH_WATER = 256 * 1024, /* nothing more is delivered to a connection above this */
    OUT_BY_REFERENCE = 16 * 1024 /* payloads from this size on are not copied */
};

enum { OUT_SEGS = 4 }; /* of a line at first, a power of two */

/* Segments that wait, oldest first. */
struct out_line {
    struct out_seg *seg; /* ring of seg_cap (a power of two), seg_n used from seg_head */
    uint32_t seg_cap, seg_head, seg_n;
    struct block *tail; /* block of the last segment if bytes may be added, else NULL */
    size_t tail_used;   /* bytes of `tail` in use */
    struct out_seg few[OUT_SEGS];
};

struct out {
    struct out_host *host;
    struct out_line *line; /* NULL: nothing waits */
    size_t pending;        /* bytes that wait */
    uint64_t end;          /* bytes ever appended: the position after the last one */
    bool is_dirty;         /* host->dirty was called; net clears it */
    bool blocked;          /* the kernel takes no more for now: net waits for it */
    bool broken;           /* an append failed */
};

/* Make an empty output in place. `host` must outlive it. */
void out_init(struct out *o, struct out_host *host);

/* Drop all that waits and release every block. */
void out_fini(struct out *o);

/* Free what is kept for outputs, of which there are none any more. */
void out_host_fini(struct out_host *h);

/* Room for `n` contiguous bytes at the end, NULL if there is no memory (the output is then
 * broken). Follow with out_commit(); nothing is appended before. */
uint8_t *out_reserve(struct out *o, size_t n);

/* Append the first `n` of the bytes reserved last. */
void out_commit(struct out *o, size_t n);

/* Append a copy of `n` bytes. 0 or -ENOMEM. */
int out_copy(struct out *o, const void *p, size_t n);

/* Append `s`, which lies within `block`, by reference (takes its own). 0 or -ENOMEM. */
int out_block(struct out *o, struct block *block, struct slice s);

/* Append `s` and end, like out_copy() and out_end(); but where that makes enough for a write, it is
 * written from where it lies, and only what the socket does not take is copied. */
void out_write(struct out *o, struct slice s);

/* Append what `from`, another output, holds from position `at` on (not before out_written(from)):
 * large segments by reference, small ones as copies. They stay in `from` too. */
void out_append_from(struct out *o, const struct out *from, uint64_t at);

/* A run or an answer is complete: flush now if OUT_FLUSH_NOW is reached, else mark dirty. */
void out_end(struct out *o);

/* Fill up to `max` iovecs with what waits, oldest first; returns how many. For net. */
int out_peek(const struct out *o, struct iovec *iov, int max);

/* What waits from byte `at` (below `pending`) on, as far as it lies in one piece. */
struct slice out_at(const struct out *o, size_t at);

/* The first `n` pending bytes of `from` leave it for the end of `to`: what lies together for
 * OUT_BY_REFERENCE bytes or more by reference, the rest as a copy. 0; -ENOMEM: `to` is broken, and
 * how far it came is unsaid. For who stands between a door and a socket. */
int out_move(struct out *from, struct out *to, size_t n);

/* The first `n` pending bytes have been written: release them. For net. */
void out_consume(struct out *o, size_t n);

/* Move what waits into memory of its own size, giving pooled blocks back: called when the
 * kernel would not take the rest, so a stalled connection holds no more than it must. */
void out_compact(struct out *o);

/* The position up to which everything has been written. */
static inline uint64_t out_written(const struct out *o)
{
    return o->end - o->pending;
}

#endif
