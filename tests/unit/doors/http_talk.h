/* http_talk.h - a conversation with the HTTP door, in bytes, with real cores behind it.
 *
 * Shape    A client says bytes (http_say), in one piece or cut into steps of t->step; what the door
 *          has written by then is t->heard. What the door leaves comes again, as net has it.
 *          Included by one test program, or fuzz target; t->step 0: all at once. */
#ifndef TESTS_UNIT_DOORS_HTTP_TALK_H
#define TESTS_UNIT_DOORS_HTTP_TALK_H

#include "brokerd/doors/http/http.h"
#include "tests/unit/core/world.h"

enum { HTTP_KEPT = 256 * 1024, HTTP_HEARD = 512 * 1024 };

struct http_talk {
    struct link link;
    struct link_host host;
    struct out_host outs;
    struct block_pool pool;
    struct door_scratch scratch;
    struct door_site site;
    struct door_conn *conn;
    struct world *w;
    size_t step;
    bool closed, clean, refused, paused, woken, upgraded;
    bool deaf; /* takes none of its answers */
    enum link_end end; /* when closed */
    char why[256];
    size_t kept_n, heard_n;
    uint8_t kept[HTTP_KEPT]; /* what was not used */
    char heard[HTTP_HEARD];  /* terminated */
};

static inline struct http_talk *http_talk_of(const struct link *l)
{
    return (struct http_talk *)(uintptr_t)l;
}

static inline void http_talk_close(struct link *l, const char *why, enum link_end end)
{
    struct http_talk *t = http_talk_of(l);

    if (t->closed)
        abort();
    t->closed = true;
    t->clean = end != LINK_WRONG;
    t->end = end;
    (void)snprintf(t->why, sizeof t->why, "%s", why);
}

static inline void http_talk_refuse(struct link *l, enum door_refusal what, const char *why)
{
    (void)what;
    http_talk_close(l, why, LINK_WRONG);
    http_talk_of(l)->refused = true;
}

static inline const char *http_talk_peer(const struct link *l)
{
    (void)l;
    return "test";
}

static inline void http_talk_pause(struct link *l, bool pause)
{
    http_talk_of(l)->paused = pause;
    http_talk_of(l)->woken |= !pause;
}

static inline void http_talk_wake(struct link *l)
{
    http_talk_of(l)->woken = true;
}

static inline const struct door_site *http_talk_site(const struct link *l)
{
    return &http_talk_of(l)->site;
}

static inline void http_talk_upgrade(struct link *l, const struct door_upgrade *u)
{
    (void)u;
    http_talk_of(l)->upgraded = true;
}

/* A connection on core `core` of `w`. */
static inline struct http_talk *http_open(struct world *w, unsigned core, size_t step)
{
    struct http_talk *t = calloc(1, sizeof *t);

    if (!t)
        abort();
    t->w = w;
    t->step = step;
    t->site =
        (struct door_site){.http = true, .websocket = true, .is_loopback = true, .manages = true};
    t->outs.pool = &t->pool;
    t->host = (struct link_host){.core = w->core[core],
                                 .scratch = &t->scratch,
                                 .limits = {.first_frame_max = 65536,
                                            .frame_max = 65536,
                                            .message_max = 100000,
                                            .reassembly_max = 1 << 20,
                                            .streams_max = 8,
                                            .first_frame_ms = 10000,
                                            .http_idle_ms = 75000},
                                 .close = http_talk_close,
                                 .peer = http_talk_peer,
                                 .pause = http_talk_pause,
                                 .site = http_talk_site,
                                 .refuse = http_talk_refuse,
                                 .upgrade = http_talk_upgrade,
                                 .wake = http_talk_wake};
    t->link = (struct link){.host = &t->host};
    out_init(&t->link.out, &t->outs);
    t->conn = http_door.open(&t->link);
    if (!t->conn)
        abort();
    return t;
}

/* The socket takes what was written. */
static inline void http_hear(struct http_talk *t)
{
    struct iovec iov;

    while (!t->deaf && out_peek(&t->link.out, &iov, 1) == 1) {
        if (t->heard_n + iov.iov_len < sizeof t->heard) {
            memcpy(t->heard + t->heard_n, iov.iov_base, iov.iov_len);
            t->heard_n += iov.iov_len;
        }
        out_consume(&t->link.out, iov.iov_len);
    }
    t->heard[t->heard_n] = '\0';
    if (t->link.endpoint) {
        core_written(t->link.endpoint, out_written(&t->link.out));
        core_writable(t->link.endpoint, t->link.out.pending < OUT_HIGH_WATER);
    }
}

/* Give the door what is kept, in memory of its own, so that a sanitizer sees a read past it. */
static inline void http_offer(struct http_talk *t)
{
    struct block *b = block_new(t->kept_n + 1);
    size_t used;

    t->woken = false;
    if (!b)
        abort();
    memcpy(b->bytes, t->kept, t->kept_n);
    used = http_door.on_bytes(t->conn, slice_of(b->bytes, t->kept_n), b);
    if (used > t->kept_n)
        abort();
    t->kept_n -= used;
    memmove(t->kept, t->kept + used, t->kept_n);
    block_unref(b);
}

/* Does net call the door again? Not while so much of its answers is not taken. */
static inline bool http_is_woken(const struct http_talk *t)
{
    return t->woken && !t->paused && !t->closed && !t->upgraded && t->link.out.pending <= 1 << 20;
}

/* What the door keeps apart from connections is looked after. Whether there was something due. */
static inline bool http_rooms(struct http_talk *t)
{
    bool any = false;

    for (struct door_room *r = t->scratch.rooms; r; r = r->next) {
        if (r->due_ms > t->w->now)
            continue;
        r->ops->on_time(r, t->w->now);
        any = true;
    }
    return any;
}

/* Turns until nothing more comes of it. */
static inline void http_settle(struct http_talk *t)
{
    do {
        world_run(t->w);
        http_hear(t);
        while (http_is_woken(t)) {
            http_offer(t);
            world_run(t->w);
            http_hear(t);
        }
    } while (http_rooms(t));
}

/* The broker is about to stop. */
static inline void http_drain(struct http_talk *t)
{
    http_door.on_drain(t->conn);
    for (struct door_room *r = t->scratch.rooms; r; r = r->next)
        r->ops->on_drain(r);
}

/* Say `n` bytes. They are not heard after the end, nor while it does not listen and is full. */
static inline void http_say_n(struct http_talk *t, const void *p, size_t n)
{
    size_t step = t->step ? t->step : n;

    for (size_t at = 0; at < n && !t->closed && !t->upgraded; at += step) {
        size_t now = n - at < step ? n - at : step;

        if (t->kept_n + now > sizeof t->kept)
            return;
        memcpy(t->kept + t->kept_n, (const uint8_t *)p + at, now);
        t->kept_n += now;
        if (!t->paused)
            http_offer(t);
        http_settle(t);
    }
}

static inline void http_say(struct http_talk *t, const char *text)
{
    http_say_n(t, text, strlen(text));
}

/* Time passes. */
static inline void http_wait(struct http_talk *t, int64_t ms)
{
    world_advance(t->w, ms);
    if (!t->closed)
        (void)http_door.on_time(t->conn, t->w->now);
    http_settle(t);
}

static inline void http_end(struct http_talk *t)
{
    http_door.free(t->conn);
    if (t->link.endpoint)
        abort();
    while (t->scratch.rooms) {
        struct door_room *r = t->scratch.rooms;

        t->scratch.rooms = r->next;
        r->ops->free(r);
    }
    out_fini(&t->link.out);
    out_host_fini(&t->outs);
    block_pool_fini(&t->pool);
    free(t);
}

#endif
