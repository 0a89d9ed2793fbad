/* websocket.h - WebSocket (RFC 6455) between a socket and a door that knows nothing of it.
 *
 * Why      Browsers, and whatever passes through proxies, come this way. Every door that says what
 *          a unit of its stream is (struct door_units) is served to them as it is to TCP.
 * Shape    To net it is a door itself: bytes of frames in, and out into the connection's output. To
 *          the door it carries it is net: a link, with an output of its own. At the end of a run,
 *          and when net looks at outputs, what waits there goes as messages into the connection's
 *          output, by reference where it is large (websocket_out.c). Bytes that arrive are taken
 *          apart by wslay and gathered as units, for the door (websocket_in.c).
 *
 *              door -> ws.link.out -> messages -> conn.link.out -> socket
 *              door <- ws.in <------- messages <- wslay <--------- socket
 *
 * Owner    The connection, as any door_conn. What parses is borrowed from the worker while a frame
 *          or message is unfinished: an idle WebSocket has none.
 * Thread   The connection's worker. */
#ifndef BROKERD_NET_WEBSOCKET_H
#define BROKERD_NET_WEBSOCKET_H

#include "brokerd/net/internal.h"
#include "libbroker/base/utf8.h"

struct wslay_event_context;
struct websocket;

enum {
    WEBSOCKET_ROOM = 4,            /* kept before a message while its door is not known */
    WEBSOCKET_FRAGMENTS = 1000,    /* of a message, and one more for each */
    WEBSOCKET_FRAGMENT_BYTES = 16, /* so many bytes of it */
    WEBSOCKET_CONTROLS = 100,      /* pings and such a second */
    WEBSOCKET_PINGS = 2,           /* unanswered: it is gone */
    WEBSOCKET_MARKS = 8,
    WEBSOCKET_WHY_MAX = 123, /* bytes of a close frame's text */
    WEBSOCKET_HEAD = 10      /* bytes of a frame's head, at most */
};

/* What takes frames apart, and what it is at. */
struct ws_parser {
    struct wslay_event_context *ctx;
    struct websocket *ws; /* that has it */
    struct slice from;    /* bytes not yet looked at */
    uint64_t taken, told; /* bytes it took, and those of frames whose heads it told */
    uint64_t message_n;   /* bytes that the fragments so far announced */
    uint32_t fragments;
    bool in_message;
    bool is_broken;  /* a frame was none */
    bool is_control; /* the frame it is at */
    bool is_text;    /* the message */
};

/* Where the door's output was when the connection's was there. */
struct ws_mark {
    uint64_t door, socket;
};

struct websocket {
    struct link link; /* the door's view */
    struct conn *conn;
    const struct door_ops *door; /* NULL: not known yet, or echo */
    struct door_conn *door_conn;

    /* In: units for the door from in_at to in_whole, then the message that comes. */
    struct block *in;  /* NULL: nothing waits */
    bool in_is_shared; /* the worker's, for this read */
    size_t in_at, in_whole, in_end;
    size_t message_at; /* its first byte */
    struct ws_parser *parser;

    /* Out: of the unit that is not whole yet, looked at so far. */
    size_t scanned;
    struct unit_scan scan;
    struct utf8 utf8;
    struct ws_mark mark[WEBSOCKET_MARKS];
    unsigned mark_first, marks_n;
    uint64_t written; /* of the door's output, by the socket */

    int64_t heard_ms, pinged_ms;
    int64_t second; /* in which so many control frames came: */
    unsigned controls;
    uint8_t pings; /* unanswered */
    bool is_home;  /* the door has had its first bytes: it stays on this worker */
    bool is_echo;
    bool is_text_out; /* its units are text where they can be */
    bool is_closed;   /* a close frame was sent: nothing more is */
};

/* As net has it: what a connection becomes. */
extern const struct door_ops websocket_door;

static inline struct websocket *websocket_of(const struct conn *c)
{
    return (struct websocket *)(void *)c->door_conn;
}

/* Make one for `c`, whose door it is to be. NULL without memory. */
struct websocket *websocket_new(struct conn *c, const struct door_upgrade *u);

/* It carries this door from now on. -ENOMEM. */
int websocket_open(struct websocket *ws, const struct door_ops *door);

/* Its connection has come to another worker, with its first message not looked at. */
void websocket_settle(struct websocket *ws);

/* Tell the connection's link what the door has set in its own. */
void websocket_mirror(struct websocket *ws);

/* The name of the door it carries, "websocket" while that is not known. */
const char *websocket_name(const struct websocket *ws);

/* Memory that messages wait in, coming and going, bytes. */
static inline size_t websocket_held(const struct websocket *ws)
{
    return ws->link.out.pending + ws->in_end;
}

/* The parsers that a worker keeps are freed. */
void websocket_parsers_free(struct net_worker *nw);

/* ---- websocket_in.c */

/* Take bytes from the peer; units are in ws->in then. Returns false if that was the end: the
 * connection is closing. */
bool websocket_take(struct websocket *ws, struct slice bytes);

/* Give the door what there is. */
void websocket_offer(struct websocket *ws);

/* After both: answer what asks for it, give back what is not needed until the next read. */
void websocket_finish(struct websocket *ws);

void websocket_in_free(struct websocket *ws);

/* ---- websocket_out.c */

/* For outputs of doors, as out_host has them. */
void websocket_flush(struct out *o);
void websocket_dirty(struct out *o);

/* Whole units that wait become messages in the connection's output. */
void websocket_pack(struct websocket *ws);

/* How much of the door's output has been written to the socket. */
uint64_t websocket_written(struct websocket *ws);

/* The head of a frame of `n` bytes into the connection's output. */
void websocket_put_head(struct websocket *ws, uint8_t opcode, size_t n);

/* A ping; a close frame, after which nothing more is sent. */
void websocket_put_ping(struct websocket *ws);
void websocket_put_close(struct websocket *ws, uint16_t code, const char *why);

/* The code that tells a peer why a connection ends. */
uint16_t websocket_code(enum net_end end);

#endif
