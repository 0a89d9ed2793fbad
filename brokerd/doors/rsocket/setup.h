/* setup.h - the first frame: who are you, and what will we speak?
 *
 * Shape    There is no positive answer. A refusal is an ERROR on stream 0, then the end.
 *          The places of what comes later: RESUME and RESUME-ENABLE (a session apart from the
 *          connection), LEASE, credentials and services in the metadata of SETUP.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_RSOCKET_SETUP_H
#define BROKERD_DOORS_RSOCKET_SETUP_H

#include "brokerd/doors/rsocket/peer.h"

/* The connection's first frame. Afterwards c->established or c->over. */
void setup_first(struct peer *c, const struct rs_frame *f);

/* Do a connection's first bytes look like RSocket over TCP? */
enum door_match setup_recognise(struct slice first);

#endif
