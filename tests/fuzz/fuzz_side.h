/* fuzz_side.h - what net would be for one connection, for fuzz targets of doors.
 *
 * A side is the target's; side_open() opens the door's connection, side_end() frees it, or
 * side_cut() and then, once nothing of the door is left, side_fini(). What the broker wrote the
 * target takes with side_take(), and judges. */
#ifndef BROKER_TESTS_FUZZ_SIDE_H
#define BROKER_TESTS_FUZZ_SIDE_H

#include <string.h>

#include "brokerd/doors/door.h"
#include "tests/fuzz/fuzz_support.h"
#include "tests/unit/core/world.h"

enum { SIDE_KEPT = 16384 };

struct side {
    struct link link;
    struct link_host host;
    struct out_host outs;
    struct block_pool pool;
    const struct door_ops *door;
    struct door_conn *conn;
    struct world *w;
    bool closed, paused;
    uint8_t kept[SIDE_KEPT]; /* what was not used */
    size_t kept_n, kept_max; /* the target says how much a door may leave */
};

static void side_close(struct link *l, const char *why, enum link_end end)
{
    struct side *s = (struct side *)l;

    (void)end;
    must(!s->closed && *why);
    s->closed = true;
}

static const char *side_peer(const struct link *l)
{
    (void)l;
    return "fuzz";
}

static void side_pause(struct link *l, bool pause)
{
    ((struct side *)l)->paused = pause;
}

/* A connection, the first or after a cut. */
static inline void side_connect(struct side *s)
{
    s->closed = s->paused = false;
    s->kept_n = 0;
    s->link = (struct link){.host = &s->host};
    out_init(&s->link.out, &s->outs);
    s->conn = s->door->open(&s->link);
    must(s->conn);
}

static inline void side_open(struct side *s, const struct door_ops *door,
                             const struct door_limits *limits, struct door_scratch *scratch,
                             struct world *w, unsigned core)
{
    memset(s, 0, sizeof *s);
    s->w = w;
    s->door = door;
    s->kept_max = sizeof s->kept;
    s->outs.pool = &s->pool;
    s->host = (struct link_host){.core = w->core[core],
                                 .limits = *limits,
                                 .scratch = scratch,
                                 .close = side_close,
                                 .peer = side_peer,
                                 .pause = side_pause};
    side_connect(s);
}

/* Bytes in memory of their own, so that a sanitizer sees a read past them. */
static inline void side_feed(struct side *s, const uint8_t *p, size_t n)
{
    size_t have = s->kept_n + n, used;
    struct block *b = block_new(have ? have : 1);

    must(b);
    memcpy(b->bytes, s->kept, s->kept_n);
    if (n)
        memcpy(b->bytes + s->kept_n, p, n);
    used = s->door->on_bytes(s->conn, slice_of(b->bytes, have), b);
    must(used <= have);
    s->kept_n = s->closed ? 0 : have - used;
    must(s->kept_n <= sizeof s->kept && (s->paused || s->kept_n <= s->kept_max));
    memcpy(s->kept, b->bytes + used, s->kept_n);
    block_unref(b);
}

/* Returns all that was written to it, to be freed with side_took(); `*n` bytes. */
static inline uint8_t *side_take(struct side *s, size_t *n)
{
    size_t at = 0;
    uint8_t *all = malloc(s->link.out.pending + 1);
    struct iovec iov;

    *n = s->link.out.pending;
    must(all && !s->link.out.broken);
    while (s->link.out.pending > 0) {
        must(out_peek(&s->link.out, &iov, 1) == 1);
        memcpy(all + at, iov.iov_base, iov.iov_len);
        at += iov.iov_len;
        out_consume(&s->link.out, iov.iov_len);
    }
    return all;
}

static inline void side_took(struct side *s, uint8_t *all)
{
    free(all);
    if (s->link.endpoint && !s->link.apart)
        core_written(s->link.endpoint, s->link.out.end);
}

/* Time passes, on all workers and for this client. */
static inline void side_wait(struct side *s, unsigned ms)
{
    s->w->now += ms;
    for (unsigned i = 0; i < s->w->n; i++)
        core_clock(s->w->core[i], s->w->now, s->w->now);
    if (!s->closed)
        (void)s->door->on_time(s->conn, s->w->now);
}

static inline void side_cut(struct side *s)
{
    s->door->free(s->conn);
    must(!s->link.endpoint);
    out_fini(&s->link.out);
}

static inline void side_fini(struct side *s)
{
    out_host_fini(&s->outs);
    block_pool_fini(&s->pool);
}

static inline void side_end(struct side *s)
{
    side_cut(s);
    side_fini(s);
}

#endif
