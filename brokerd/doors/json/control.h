/* control.h - lines whose id begins with `$`.
 *
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_JSON_CONTROL_H
#define BROKERD_DOORS_JSON_CONTROL_H

#include "brokerd/doors/json/peer.h"

/* Do what the message asks for. `id`: understood. False: it was wrong, and that was answered. */
bool jcontrol(struct jpeer *c, struct slice id, const struct json_message *m, struct block *block);

#endif
