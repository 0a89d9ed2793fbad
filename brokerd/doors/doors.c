#include "brokerd/doors/door.h"

#include "brokerd/doors/rsocket/rsocket.h"

const struct door_ops *const doors[] = {
    &rsocket_door,
    NULL,
};
