#include "brokerd/doors/server.h"

#include "brokerd/doors/refuse.h"

#include <errno.h>
#include <inttypes.h>

int server_check(const struct link *l, struct server_load load, struct refusal *ret_why)
{
    uint32_t most = l->host->limits.streams_max;

    if (load.leaves) {
        refuse(ret_why, REASON_DRAINING, "the server takes no new calls");
        return -EPIPE;
    }
    if (load.n >= most) {
        refuse(ret_why, REASON_LIMIT, "a server has at most %" PRIu32 " calls", most);
        return -EMFILE;
    }
    return 0;
}
