/* say.h - lines into a connection's output.
 *
 * Shape    struct jsaying is a line being written: it has memory of its own for what the broker
 * says by itself, all of which is short; what a peer brought is measured first. Errors   None: an
 * output that finds no memory is broken, and net closes the connection. Thread   The connection's
 * worker. Callable from the core's callbacks. */
#ifndef BROKERD_DOORS_JSON_SAY_H
#define BROKERD_DOORS_JSON_SAY_H

#include "brokerd/doors/json/peer.h"

enum { JSAY_TEXT_MAX = 255, JSAY_ROOM = 3 * 6 * JSAY_TEXT_MAX + 512 }; /* three such, escaped */

struct jsaying {
    struct jpeer *c;
    uint8_t *p;
    bool first; /* no member yet */
    uint8_t buf[JSAY_ROOM];
};

/* Begin {"id":ID,"data":{ */
void jsay_begin(struct jsaying *l, struct jpeer *c, const char *id);

/* A member. A text is of at most JSAY_TEXT_MAX bytes, or left out. */
void jsay_number(struct jsaying *l, const char *name, uint64_t n);
void jsay_text(struct jsaying *l, const char *name, struct slice text);

void jsay_true(struct jsaying *l, const char *name);
void jsay_null(struct jsaying *l, const char *name);

/* A payload and what is said beside it; it ends the line. */
struct jbody;
void jsay_end_with_body(struct jsaying *l, const struct jbody *b, bool complete);

/* A member whose value is written already, of any length; the last one of its line, which it ends.
 */
void jsay_end_with(struct jsaying *l, const char *name, struct slice value);

/* End the line; it may go to the socket. */
void jsay_end(struct jsaying *l);

/* What an error is about, as far as it is known. */
struct jabout {
    struct slice topic, queue;
    uint64_t subscription, line, column;
    uint64_t confirm, request; /* or call */
    bool has_confirm, has_request, has_call;
};

void jsay_error(struct jpeer *c, const struct refusal *why, const struct jabout *about);

void jsay_keepalive(struct jpeer *c);

/* One error line, into any output. */
void jsay_turn_away(struct out *o, const char *text);

#endif
