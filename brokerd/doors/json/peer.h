/* peer.h - one JSON connection: what its parts share.
 *
 * Why      Publishing, consuming, delivering are a file each; here is what they have in common.
 * Shape    The connection takes line after line (peer.c); one whose id begins with `$` is looked up
 *          in a table (control.c), any other is an event. What is wrong with a line is answered,
 *          and the next one is read.
 * Owner    net owns the connection; the connection its subscriptions, which live until
 *          jpeer_sweep(): the core's callbacks may end one while the door works on it.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_JSON_PEER_H
#define BROKERD_DOORS_JSON_PEER_H

#include "brokerd/doors/door.h"
#include "brokerd/doors/refuse.h"
#include "brokerd/doors/window.h"
#include "libbroker/base/map.h"
#include "libbroker/wire/json_line.h"

enum {
    JPEER_ERRORS_MAX = 16,      /* wrong lines in a row, then it is no typing error */
    JPEER_CONTROL_MAX = 65536,  /* bytes of a message beside its payload */
    JPEER_HEADERS_MAX = 32768,  /* bytes of a message's headers */
    JPEER_HEADERS_COUNT = 256,  /* headers of a message */
    JPEER_FILTERS_MAX = 64,     /* filters of a subscription */
    JPEER_SILENT_INTERVALS = 3, /* then a peer that sends keep-alives is gone */
};

struct jcall;
struct jsub;
struct jabout;

/* The topic of several events in a row, for what may have to be said about them. */
struct jtopic {
    uint32_t refs;
    uint8_t n;
    uint8_t name[];
};

struct jpeer {
    struct link *link; /* with the endpoint, from the first line on */
    struct json_framer framer;
    struct window window;
    struct deque asked;  /* of what was published and has not settled: struct jasked */
    struct map subs;     /* by number */
    struct jsub *ended;  /* out of the map, until jpeer_sweep() */
    struct map requests; /* of the client, by its number: struct jcall */
    struct map calls;    /* to it, by ours */
    struct map services; /* it serves, by name */
    struct jcall *calls_ended;
    uint64_t calls_numbered;
    uint64_t serving;     /* of those to it, with the ended ones */
    struct jtopic *topic; /* of the last event; or NULL */
    uint64_t numbered;    /* subscriptions */
    int64_t heard_ms;     /* when the last bytes came */
    int64_t said_ms;      /* when the last keep-alive went */
    const uint8_t *line;  /* the one being read */
    uint32_t errors;      /* wrong lines in a row */
    bool opened : 1;      /* a line has come: it has endpoint and window */
    bool has_window : 1;
    bool lives : 1;    /* it has sent a keep-alive */
    bool paused : 1;   /* it is not read: its window is used up */
    bool stuck : 1;    /* so lines were left */
    bool consumes : 1; /* the window knows that it does */
    bool over : 1;     /* net has been told to close */
    bool eof : 1;      /* the client has ended its direction: closed when all is answered */
    bool draining : 1; /* takes nothing new; closed when nothing is open */
};

/* Say `why` and close: what follows cannot be understood. */
void jpeer_fail(struct jpeer *c, const struct refusal *why);

/* The line was wrong in `about`: say so. Too many in a row, and it is closed. */
void jpeer_wrong(struct jpeer *c, const struct refusal *why, struct jabout *about);

/* Something was answered, perhaps from the core's callbacks: it may have been the last. */
static inline void jpeer_answered(struct jpeer *c)
{
    if (c->eof)
        link_wake(c->link);
}

/* Free the subscriptions that have ended. Not from the core's callbacks. */
void jpeer_sweep(struct jpeer *c);

#endif
