/* stomp.h - STOMP 1.0, 1.1 and 1.2, with the destinations and headers of RabbitMQ's plugin. */
#ifndef BROKERD_DOORS_STOMP_STOMP_H
#define BROKERD_DOORS_STOMP_STOMP_H

#include "brokerd/doors/door.h"

extern const struct door_ops stomp_door;

#endif
