/* http.h - the door for HTTP: where a WebSocket begins.
 *
 * Why      Browsers come by HTTP. For now it answers one thing well: the request for a WebSocket,
 *          which carries the other doors' protocols.
 * Shape    One request a connection. Path and subprotocol name the door: /rsocket, /json, /stomp,
 *          or / and /ws, where the subprotocol says it, else the first message. All else is
 *          answered with a status and a line of text that says what is here, and closed.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_HTTP_HTTP_H
#define BROKERD_DOORS_HTTP_HTTP_H

#include "brokerd/doors/door.h"

extern const struct door_ops http_door;

#endif
