/* Refusals: counted, and as ERROR frames where they can be said. */
#include "brokerd/doors/rsocket/peer.h"
#include "brokerd/doors/rsocket/send.h"

#include "libbroker/base/log.h"
#include "libbroker/wire/broker_rs.h"

#include <inttypes.h>

void peer_refuse(struct peer *c, uint32_t id, const struct refusal *why, bool partly)
{
    c->link->host->scratch->count[DOOR_COUNT_ERRORS]++;
    log_debug("%s: stream %" PRIu32 " refused: %s", link_peer(c->link), id, why->text);
    send_error(c, id, reason_rs_code(why->reason, partly), slice_str(why->text));
}

void peer_drop(struct peer *c, const struct refusal *why)
{
    c->link->host->scratch->count[DOOR_COUNT_ERRORS]++;
    log_debug("%s: fire-and-forget dropped: %s", link_peer(c->link), why->text);
}
