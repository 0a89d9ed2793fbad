/* handshake.h - how a WebSocket begins (RFC 6455, section 4): an HTTP request and its answer.
 *
 * Thread   Any; pure. */
#ifndef BROKER_WIRE_HANDSHAKE_H
#define BROKER_WIRE_HANDSHAKE_H

#include "libbroker/wire/http.h"

enum { HANDSHAKE_ACCEPT_MAX = 29 }; /* with its end */

/* Does the request ask for a WebSocket, well or not? */
bool handshake_is_asked(const struct http_request *r);

/* Check what every WebSocket's beginning must have. 101, and the text of Sec-WebSocket-Accept;
 * else the status of the answer, 400 or 426, and *ret_why in a few words (static). */
int handshake_check(const struct http_request *r, char accept[HANDSHAKE_ACCEPT_MAX],
                    const char **ret_why);

/* Without its port, which is digits, if it names one. An IPv6 address stands in brackets. */
struct slice handshake_without_port(struct slice host);

/* Is the page that the request comes from of the same host that it goes to, whatever the ports?
 * `origin` is the field Origin, `host` the field Host. */
bool handshake_same_host(struct slice origin, struct slice host);

/* The same, and of the same port: is it a page of brokerd's own? */
bool handshake_same_origin(struct slice origin, struct slice host);

#endif
