/* units.h - STOMP in messages of a transport: one frame of ours, or one heart-beat, in each; of the
 * client's any bytes, as clients cut frames over messages. */
#ifndef BROKERD_DOORS_STOMP_UNITS_H
#define BROKERD_DOORS_STOMP_UNITS_H

#include "brokerd/doors/door.h"

extern const struct door_units stomp_units;

/* An ERROR for who came to a listener that does not serve STOMP. */
void stomp_turn_away(struct out *o, const char *text);

#endif
