/* request.h - a whole request: its route found, its stream begun.
 *
 * Shape    A route is `WORD` or `WORD/NAME`; a table says which words there are, whether a name
 *          must follow, and what each of the four interactions does.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_RSOCKET_REQUEST_H
#define BROKERD_DOORS_RSOCKET_REQUEST_H

#include "brokerd/doors/rsocket/peer.h"

/* Begin what `f`, a whole request whose id is free, asks for. `block` holds its data; NULL: to
 * be copied. Refusals are answered, but for fire-and-forget. */
void request_begin(struct peer *c, const struct rs_frame *f, struct block *block);

#endif
