/* Refusals as ERROR frames. */
#include "brokerd/doors/rsocket/peer.h"
#include "brokerd/doors/rsocket/send.h"

#include "libbroker/wire/broker_rs.h"

void peer_refuse(struct peer *c, uint32_t id, const struct refusal *why, bool partly)
{
    send_error(c, id, reason_rs_code(why->reason, partly), slice_str(why->text));
}
