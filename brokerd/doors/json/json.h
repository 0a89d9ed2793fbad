/* json.h - the JSON door: one object a line, for programs and for people with nc. */
#ifndef BROKERD_DOORS_JSON_JSON_H
#define BROKERD_DOORS_JSON_JSON_H

#include "brokerd/doors/door.h"

extern const struct door_ops json_door;

#endif
