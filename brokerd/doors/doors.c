#include "brokerd/doors/door.h"

#include "brokerd/doors/http/http.h"
#include "brokerd/doors/json/json.h"
#include "brokerd/doors/rsocket/rsocket.h"
#include "brokerd/doors/stomp/stomp.h"

const struct door_ops *const doors[] = {
    &rsocket_door, &json_door, &stomp_door, &http_door, NULL,
};
