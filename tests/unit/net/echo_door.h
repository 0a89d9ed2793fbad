/* echo_door.h - a protocol for tests of net: frames of 'E', a length of 24 bits, and so many
 * bytes, that come back as they are. Some contents are commands; "websocket" makes it a WebSocket
 * that carries the same. And a second protocol, "slow",
 * whose first bytes must be "SLOWLY" to be known, and which answers "ok". */
#ifndef TESTS_UNIT_NET_ECHO_DOOR_H
#define TESTS_UNIT_NET_ECHO_DOOR_H

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "brokerd/doors/door.h"

enum { ECHO_HEAD = 4, ECHO_SLOW_MS = 40, ECHO_FEW = 6 };

/* How often a slow connection was given something; the most at once, bytes, but for its first few
 * times. */
static _Atomic unsigned echo_given;
static _Atomic size_t echo_most_given;

/* How often a paused one was. */
static _Atomic unsigned echo_given_paused;

struct door_conn {
    struct link *link;
    bool established;
    bool asked_much;               /* the core has yet to do it, perhaps */
    bool is_upgraded;              /* the rest is another's */
    bool is_paused;                /* until on_time() */
    bool is_slow;                  /* takes its time with all that it is given */
    int64_t lifetime_ms, heard_ms; /* ended when nothing was heard for so long; 0: never */
};

static const struct door_ops echo_door;

static enum door_match echo_recognise(struct slice first)
{
    return first.p[0] == 'E' ? DOOR_YES : DOOR_NO;
}

static struct door_conn *echo_open(struct link *l)
{
    struct door_conn *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->link = l;
    l->endpoint = (struct endpoint *)c; /* for the fake core */
    return c;
}

static void echo_frame(struct door_conn *c, struct slice frame, struct block *block)
{
    struct slice body = slice_from(frame, ECHO_HEAD);

    c->established = true;
    if (slice_eq(body, SLICE("quit"))) {
        out_copy(&c->link->out, "bye!", 4);
        link_close(c->link, "asked to", LINK_ASKED);
    } else if (slice_eq(body, SLICE("short life"))) {
        c->lifetime_ms = 300;
    } else if (slice_eq(body, SLICE("much"))) {
        c->asked_much = true;
        out_copy(&c->link->out, "ok", 2);
    } else if (slice_eq(body, SLICE("slow"))) {
        c->is_slow = true;
        out_copy(&c->link->out, "ok", 2);
    } else if (slice_eq(body, SLICE("pause"))) {
        c->is_paused = true;
        link_pause(c->link, true);
    } else if (slice_starts(body, SLICE("at a WebSocket's "))) {
        uint8_t where[] = {'E', 0, 0, 1, (uint8_t)('0' + c->link->id % CORE_MAX_WORKERS)};

        out_copy(&c->link->out, where, sizeof where);
    } else if (slice_starts(body, SLICE("at "))) {
        char where[] = {'@', (char)('0' + c->link->id % CORE_MAX_WORKERS)};

        out_copy(&c->link->out, where, sizeof where);
    } else if (slice_eq(body, SLICE("websocket"))) {
        c->is_upgraded = true;
        link_upgrade(c->link, &(struct door_upgrade){.door = &echo_door});
    } else if (slice_eq(body, SLICE("bad"))) {
        link_close(c->link, "bad frame", LINK_WRONG);
    } else if (frame.n >= OUT_BY_REFERENCE) {
        out_block(&c->link->out, block, frame);
    } else {
        out_copy(&c->link->out, frame.p, frame.n);
    }
    out_end(&c->link->out);
}

static size_t echo_on_bytes(struct door_conn *c, struct slice bytes, struct block *block)
{
    size_t used = 0;

    c->heard_ms = 0; /* from the next on_time() on */
    if (c->is_slow) {
        poll(NULL, 0, ECHO_SLOW_MS);
        if (atomic_fetch_add(&echo_given, 1) >= ECHO_FEW && bytes.n > atomic_load(&echo_most_given))
            atomic_store(&echo_most_given, bytes.n);
    }
    if (c->is_paused)
        atomic_fetch_add(&echo_given_paused, 1);
    while (bytes.n - used >= ECHO_HEAD && !c->is_paused && !c->is_upgraded) {
        const uint8_t *p = bytes.p + used;
        size_t n = ECHO_HEAD + ((size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]);

        if (p[0] != 'E') {
            link_close(c->link, "no frame", LINK_WRONG);
            return used;
        }
        if (n > bytes.n - used) {
            c->link->need = n;
            break;
        }
        echo_frame(c, slice_of(p, n), block);
        used += n;
    }
    return used;
}

static int64_t echo_on_time(struct door_conn *c, int64_t now_ms)
{
    if (c->is_paused) {
        c->is_paused = false;
        link_pause(c->link, false);
    }
    if (!c->lifetime_ms)
        return now_ms + 100;
    if (c->heard_ms && now_ms - c->heard_ms >= c->lifetime_ms)
        link_close(c->link, "nothing heard", LINK_SILENT);
    if (!c->heard_ms)
        c->heard_ms = now_ms;
    return c->heard_ms + c->lifetime_ms;
}

static void echo_on_drain(struct door_conn *c)
{
    out_copy(&c->link->out, "drain", 5);
    out_end(&c->link->out);
}

static bool echo_established(const struct door_conn *c)
{
    return c->established;
}

static bool echo_may_move(const struct door_conn *c)
{
    return c->established;
}

static void echo_free(struct door_conn *c)
{
    free(c);
}

/* A first frame "at NAME" belongs where the others of that name are. */
static enum door_match echo_home(struct slice first, struct slice *ret_name)
{
    size_t n;

    if (first.n < ECHO_HEAD)
        return DOOR_MORE;
    n = ECHO_HEAD + ((size_t)first.p[1] << 16 | (size_t)first.p[2] << 8 | first.p[3]);
    if (first.n < n && first.n < 64)
        return DOOR_MORE;
    if (n > first.n || !slice_starts(slice_from(first, ECHO_HEAD), SLICE("at ")))
        return DOOR_NO;
    *ret_name = slice_of(first.p + ECHO_HEAD + 3, n - ECHO_HEAD - 3);
    return DOOR_YES;
}

static enum door_match slow_recognise(struct slice first)
{
    struct slice all = SLICE("SLOWLY");

    if (first.n >= all.n)
        return slice_starts(first, all) ? DOOR_YES : DOOR_NO;
    return memcmp(first.p, all.p, first.n) == 0 ? DOOR_MORE : DOOR_NO;
}

static size_t slow_on_bytes(struct door_conn *c, struct slice bytes, struct block *block)
{
    (void)block;
    c->established = true;
    out_copy(&c->link->out, "ok", 2);
    out_end(&c->link->out);
    return bytes.n;
}

static size_t echo_scan(struct unit_scan *s, struct slice bytes, bool *ret_end)
{
    size_t used = 0, n;

    while (s->at < ECHO_HEAD && used < bytes.n) {
        s->left = (s->left << 8 | bytes.p[used++]) & 0xffffff;
        s->at++;
    }
    n = s->at < ECHO_HEAD ? 0 : bytes.n - used < s->left ? bytes.n - used : (size_t)s->left;
    s->left -= n;
    *ret_end = s->at == ECHO_HEAD && s->left == 0;
    return used + n;
}

static int echo_make(uint8_t *p, size_t n)
{
    const uint8_t head[ECHO_HEAD] = {'E', (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

    memcpy(p - ECHO_HEAD, head, ECHO_HEAD);
    return 0;
}

static const struct door_units echo_units = {
    .front = ECHO_HEAD, .text = true, .scan = echo_scan, .make = echo_make};

static const struct door_ops echo_door = {.name = "echo",
                                          .recognise = echo_recognise,
                                          .open = echo_open,
                                          .on_bytes = echo_on_bytes,
                                          .on_time = echo_on_time,
                                          .on_drain = echo_on_drain,
                                          .established = echo_established,
                                          .free = echo_free,
                                          .may_move = echo_may_move,
                                          .home = echo_home,
                                          .units = &echo_units};
static const struct door_ops slow_door = {.name = "slow",
                                          .recognise = slow_recognise,
                                          .open = echo_open,
                                          .on_bytes = slow_on_bytes,
                                          .on_time = echo_on_time,
                                          .on_drain = echo_on_drain,
                                          .established = echo_established,
                                          .free = echo_free};

const struct door_ops *const doors[] = {&echo_door, &slow_door, NULL};

#endif
