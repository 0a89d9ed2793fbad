/* How slow a client may be: with a head, a body, its answers; and how long silent.
 *
 * What takes its time is allowed it, as long as it gets on: so long as a first frame may take, and
 * what its bytes take at SLOWEST a second. So nobody holds a place here for the price of a byte now
 * and then. A stream of events is exempt: it is paced by who reads it, and costs its queue. */
#include <inttypes.h>
#include <stdio.h>

#include "brokerd/doors/http/peer.h"

enum { SLOWEST = 500, LOOK_MS = 5000, LOOK_MIN_MS = 20 };

static int64_t allowed(const struct hpeer *c, uint64_t bytes)
{
    uint64_t more = bytes / SLOWEST < INT32_MAX ? bytes * 1000 / SLOWEST : INT32_MAX;

    return c->link->host->limits.first_frame_ms + (int64_t)more;
}

/* Does the first in the queue take as long as its reader likes? */
static bool is_streaming(const struct hpeer *c)
{
    struct list_node *l = list_first(&c->queue);

    return l && LIST_ITEM(l, struct exchange, link)->streams;
}

/* When it must have taken more of its answers; INT64_MAX: it has all, or may take its time. */
static int64_t reads_until(struct hpeer *c, int64_t now_ms)
{
    const struct out *o = &c->link->out;

    if (o->pending == 0 || is_streaming(c)) {
        c->unread_ms = 0;
        return INT64_MAX;
    }
    if (!c->unread_ms) {
        c->unread_ms = now_ms;
        c->unread_at = out_written(o);
    }
    return c->unread_ms + allowed(c, out_written(o) - c->unread_at);
}

/* When more must have come; INT64_MAX: it is our turn. */
static int64_t speaks_until(const struct hpeer *c)
{
    if (c->pauses || c->link->out.pending || c->stuck)
        return INT64_MAX;
    if (c->asking)
        return c->since_ms + allowed(c, c->came);
    if (c->begun)
        return c->since_ms + c->link->host->limits.first_frame_ms;
    return c->queue_n ? INT64_MAX : c->since_ms + c->link->host->limits.http_idle_ms;
}

/* It has not got on. */
static void too_slow(struct hpeer *c)
{
    struct exchange *x = c->asking;

    if (!c->begun && !x) {
        hpeer_close(c, "no request for too long", LINK_IDLE);
        return;
    }
    if (!x)
        x = exchange_new(c);
    if (x && !x->answered)
        hsay_trouble(c, x, 408,
                     c->begun ? "the head of a request took too long"
                              : "the body of a request took too long");
    else
        hpeer_close(c, "a request took too long", LINK_WRONG);
}

int64_t hpatience(struct hpeer *c, int64_t now_ms)
{
    int64_t next = c->link->host->limits.first_frame_ms / 2, reads, speaks;

    if (c->over)
        return INT64_MAX; /* net waits for the end */
    reads = reads_until(c, now_ms);
    speaks = speaks_until(c);
    if (reads <= now_ms)
        hpeer_close(c, "it does not take its answers", LINK_WRONG);
    else if (speaks <= now_ms)
        too_slow(c);
    if (c->over)
        return INT64_MAX;
    next = now_ms + (next > LOOK_MS ? LOOK_MS : next < LOOK_MIN_MS ? LOOK_MIN_MS : next);
    next = reads < next && reads > now_ms ? reads : next;
    return speaks < next && speaks > now_ms ? speaks : next;
}
