#include "brokerd/doors/door.h"

#include "brokerd/doors/http/http.h"
#include "brokerd/doors/json/json.h"
#include "brokerd/doors/rsocket/rsocket.h"

const struct door_ops *const doors[] = {
    &rsocket_door,
    &json_door,
    &http_door,
    NULL,
};
