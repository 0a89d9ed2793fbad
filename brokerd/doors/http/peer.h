/* peer.h - one connection of the HTTP door: its requests in order, and what is being read.
 *
 * Why      Requests may come faster than they are answered; their answers go out in their order,
 * and what waits is bounded: PIPELINE_MAX requests, HELD_MAX bytes of answers before their turn,
 *          OUTPUT_MAX of those that are written. Beyond that the connection is not read.
 * Shape    read.c takes requests apart and calls the handlers, say.c writes what they answer and
 *          keeps the order, ask.c is what else a handler may ask, patience.c how slow a client may
 *          be, http.c the connection's life.
 *              bytes --> read.c --> handler --> say.c --> the link's output
 *                         [queue of struct exchange]
 * Owner    The connection has its exchanges: in the queue; or ended, until over() was called.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_HTTP_PEER_H
#define BROKERD_DOORS_HTTP_PEER_H

#include "brokerd/doors/http/answer.h"
#include "brokerd/doors/http/terms.h"
#include "libbroker/wire/http_chunks.h"

enum {
    PIPELINE_MAX = 128,     /* requests under way */
    HELD_MAX = 1 << 20,     /* bytes of answers that wait for one before them */
    OUTPUT_MAX = 1 << 20,   /* of those that the client does not take */
    BEHIND_MAX = 16 * 1024, /* read ahead of a request that is alone */
    SPARE_MAX = 32,         /* exchanges kept to be used again */
    SKIP_MAX = 64 * 1024,   /* of a body that nobody wants; a longer one ends the connection */
};

/* Why it is not read. */
enum { PAUSE_WINDOW = 1, PAUSE_BEHIND = 2 };

/* What is done with the bytes that come. */
enum reading {
    READ_HEAD,   /* a head is awaited */
    READ_LENGTH, /* all of a request: what came of it is left with net, and read anew when whole */
    READ_PARTS,  /* a body by its length, in pieces */
    READ_CHUNKS, /* a body in chunks, in pieces or gathered */
    READ_SKIP,   /* a body by its length, that nobody wants */
};

struct hpeer {
    struct link *link;
    struct window window;
    struct list queue; /* struct exchange, as they came */
    struct list ended; /* whose over() is to be called, or which wait for what they published */
    struct list spare;
    struct exchange *alone;  /* nothing after it is looked at */
    struct exchange *asking; /* whose body is being read */
    struct http_chunks chunks;
    struct block *gathered; /* of a body in chunks, */
    size_t gathered_n;
    uint8_t *head;      /* whose head is here */
    size_t head_n;      /* or is the beginning of what net has kept */
    uint64_t left;      /* bytes of the body that are to come */
    size_t seen;        /* of a head: its end is not before */
    size_t held;        /* bytes of answers that wait for their turn */
    size_t charged;     /* counted into the budget */
    int64_t since_ms;   /* when what is awaited began to be awaited: a head, a body, a request */
    uint64_t came;      /* bytes of a body since then */
    int64_t unread_ms;  /* since when there has been output; 0: there is none */
    uint64_t unread_at; /* and what had been written then */
    uint32_t queue_n;
    uint8_t spare_n;
    uint8_t pauses; /* of PAUSE_* */
    uint8_t reading;
    bool opened : 1;  /* it has endpoint and window */
    bool stuck : 1;   /* bytes were left that can be looked at when the queue gets shorter */
    bool begun : 1;   /* some of a head has come */
    bool spoken : 1;  /* a head has come whole */
    bool closing : 1; /* nothing more is read: it ends when all is answered */
    bool over : 1;    /* net has been told */
    bool eof : 1;     /* the client has ended its direction */
    bool draining : 1;
    bool inside : 1;       /* a handler is being called */
    bool is_websocket : 1; /* it is another door's from now on */
    uint16_t trouble;      /* the status after which it ends; 0: none */
    const char *why;       /* and its text */
};

/* ---- http.c */

/* End it, when what was said is out. */
void hpeer_close(struct hpeer *c, const char *why, enum link_end end);

/* The same, counted as this. */
void hpeer_refuse(struct hpeer *c, enum door_refusal what, const char *why);

/* A refusal, for the log, now and then. */
void hpeer_note(struct hpeer *c, int status, const char *text);

/* The exchange is nobody's: it may be used again. */
void hpeer_spare(struct hpeer *c, struct exchange *x);

/* Endpoint and window, if they are not there. */
int hpeer_open(struct hpeer *c, struct refusal *ret_why);

void hpeer_pause(struct hpeer *c, unsigned why, bool on);

/* Have what was left looked at again. */
void hpeer_go_on(struct hpeer *c);

/* If its client has ended its direction: end it too, once all that can be answered has been. To be
 * called when nothing of what came can be looked at now. */
void hpeer_part(struct hpeer *c);

/* Count what is gathered and held into the budget, instead of what was counted before. */
void hpeer_charge(struct hpeer *c);

/* It becomes the WebSocket that `a` says; at once. */
void hpeer_upgrade(struct hpeer *c, struct exchange *x, const struct answer *a);

/* over() of those that have ended. Not from the core's callbacks. */
void hpeer_sweep(struct hpeer *c);

/* ---- read.c */

size_t hread(struct hpeer *c, struct slice bytes, struct block *block);

/* One more in the queue; NULL without memory. */
struct exchange *exchange_new(struct hpeer *c);

/* ---- say.c */

/* Something may have been answered wholly: what waits behind it goes on. Nothing happens while a
 * handler is being called. */
void hsay_next(struct hpeer *c);

/* What follows cannot be understood, or is not to be listened to: an answer of the engine's own,
 * after which the connection ends. `why` is static. */
void hsay_trouble(struct hpeer *c, struct exchange *x, int status, const char *why);

/* The same to who asked for a WebSocket. */
void hsay_no_websocket(struct hpeer *c, struct exchange *x, const struct answer *a);

/* Free what was to be said. */
void exchange_drop_held(struct exchange *x);

/* Is it the first in the queue? */
static inline bool exchange_is_first(const struct exchange *x)
{
    return x->peer->queue.head.next == &x->link;
}

/* ---- patience.c */

/* Is it too slow, or silent for too long? Then it is told, or closed. Returns when to look again.
 */
int64_t hpatience(struct hpeer *c, int64_t now_ms);

/* ---- ask.c */

extern const struct window_ops hwindow;
extern const struct endpoint_ops hendpoint;

#endif
