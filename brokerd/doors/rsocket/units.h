/* units.h - RSocket where messages carry it, and what is said where it is not served.
 *
 * Why      Over WebSocket a message is a frame, without the length that it has on TCP.
 * Thread   Any; pure but for the output. */
#ifndef BROKERD_DOORS_RSOCKET_UNITS_H
#define BROKERD_DOORS_RSOCKET_UNITS_H

#include "brokerd/doors/door.h"

extern const struct door_units rsocket_units;

/* As door_ops has it: an ERROR[REJECTED_SETUP] that says `text`. */
void units_turn_away(struct out *o, const char *text);

#endif
