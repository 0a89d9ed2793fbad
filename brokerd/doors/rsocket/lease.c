#include "brokerd/doors/rsocket/lease.h"

#include "brokerd/doors/rsocket/send.h"

#include <errno.h>
#include <stdlib.h>

enum { LOOK_MS = 500 }; /* load that comes and goes without a frame is seen after so long */

struct lease {
    /* Ours: */
    int64_t until_ms, renew_ms;
    uint64_t left; /* requests that may yet come */
    bool stopped;  /* the last one said: none */
    /* The client's: */
    uint32_t theirs;
    int64_t theirs_until_ms;
};

static int64_t lease_now(const struct peer *c)
{
    return core_now(c->link->host->core);
}

/* Is there a reason to take no requests? */
static bool is_busy(const struct peer *c)
{
    return c->draining || core_short_of_memory(c->link->host->core) ||
           (c->link->endpoint && core_is_behind(c->link->endpoint));
}

static void lease_give(struct peer *c, bool stop)
{
    const struct door_limits *limits = &c->link->host->limits;
    uint32_t n = stop ? 0 : limits->lease_requests;
    struct lease *l = c->rare->lease;
    uint64_t under_way = 0;

    if (!stop && !l->stopped && lease_now(c) < l->until_ms)
        under_way = l->left < n ? l->left : n;
    l->left = n + under_way;
    l->stopped = stop;
    l->until_ms = lease_now(c) + limits->lease_ms;
    l->renew_ms = lease_now(c) + limits->lease_ms / 2;
    send_lease(c, (uint32_t)limits->lease_ms, n);
}

int lease_begin(struct peer *c)
{
    struct rare *rare = peer_rare(c);
    struct lease *l = rare ? calloc(1, sizeof *l) : NULL;

    if (!l)
        return -ENOMEM;
    rare->lease = l;
    c->leased = true;
    lease_give(c, is_busy(c));
    return 0;
}

void lease_end(struct peer *c)
{
    if (!c->leased)
        return;
    c->leased = false;
    free(c->rare->lease);
    c->rare->lease = NULL;
}

void lease_again(struct peer *c)
{
    if (!c->leased)
        return;
    *c->rare->lease = (struct lease){0};
    lease_give(c, is_busy(c));
}

bool lease_take(struct peer *c)
{
    struct lease *l = c->rare->lease;

    if (l->left == 0 || lease_now(c) >= l->until_ms) {
        c->link->host->scratch->count[DOOR_COUNT_LEASE]++;
        return false;
    }
    l->left--;
    return true;
}

int64_t lease_look(struct peer *c)
{
    struct lease *l = c->rare->lease;
    bool busy = is_busy(c);

    if (busy != l->stopped || lease_now(c) >= l->renew_ms ||
        (!busy && l->left <= c->link->host->limits.lease_requests / 2))
        lease_give(c, busy);
    return l->renew_ms < lease_now(c) + LOOK_MS ? l->renew_ms : lease_now(c) + LOOK_MS;
}

void lease_received(struct peer *c, const struct rs_frame *f)
{
    if (!c->leased)
        return;
    c->rare->lease->theirs = f->count;
    c->rare->lease->theirs_until_ms = lease_now(c) + f->number;
}

bool lease_may_request(const struct peer *c)
{
    return !c->leased ||
           (c->rare->lease->theirs > 0 && lease_now(c) < c->rare->lease->theirs_until_ms);
}

void lease_used(struct peer *c)
{
    if (c->leased && c->rare->lease->theirs > 0)
        c->rare->lease->theirs--;
}
