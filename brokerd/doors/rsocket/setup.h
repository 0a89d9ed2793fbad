/* setup.h - the first frame: who are you, and what will we speak?
 *
 * Shape    There is no positive answer. A refusal is an ERROR on stream 0, then the end.
 *          With a token the connection only carries a session, which is what SETUP is about; with
 *          RESUME it carries one that is there (session.h).
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_RSOCKET_SETUP_H
#define BROKERD_DOORS_RSOCKET_SETUP_H

#include "brokerd/doors/rsocket/peer.h"

/* The connection's first frame. Afterwards c->established or c->over. */
void setup_first(struct peer *c, const struct rs_frame *f);

/* Do a connection's first bytes look like RSocket over TCP? */
enum door_match setup_recognise(struct slice first);

#endif
