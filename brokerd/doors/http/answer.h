/* answer.h - what an HTTP request is answered with.
 *
 * Why      Which door a WebSocket leads to, and why it may not be opened, is decided from the
 *          request and the listener alone: a function that tests can ask.
 * Thread   Any; pure. */
#ifndef BROKERD_DOORS_HTTP_ANSWER_H
#define BROKERD_DOORS_HTTP_ANSWER_H

#include "brokerd/doors/door.h"
#include "libbroker/wire/handshake.h"

struct answer {
    int status;                        /* 101: a WebSocket */
    char accept[HANDSHAKE_ACCEPT_MAX]; /* with 101 */
    struct slice subprotocol;          /* with 101; of the request; empty: none */
    struct door_upgrade upgrade;       /* with 101 */
    char text[256];                    /* else: for a person, a line without its end */
};

/* Answer `r`, which may come (terms_judge()), as a listener that was told `site`; `all` are the
 * doors it may name. */
void answer_request(const struct http_request *r, const struct door_site *site,
                    const struct door_ops *const *all, struct answer *ret);

/* Is that for answer_request()? A WebSocket is asked for at one of its paths; or nothing is at one
 * that has nothing else. */
bool answer_is_websocket(const struct http_request *r, const struct door_site *site);

#endif
