/* A connection goes where its messages go: it stops being read, comes to rest, is taken apart
 * from this worker and put together on the other.
 *
 * Nothing that is under way has to be followed, and the order of its messages is kept without a
 * protocol: at rest every message that anybody waits for has settled; and those that nobody waits
 * for were sent to their workers in a turn before the one that sends the connection. What the
 * other worker sends on its behalf is behind them in every mailbox. Hence it must have been at
 * rest at the end of one turn to go at the end of a later one.
 *
 * The beginning of a frame goes along as a copy: a busy publisher's reads hardly ever end with a
 * frame.
 *
 * A connection whose first bytes say that it belongs elsewhere (a session's) goes the same way, but
 * at once: there is nothing of it yet but those bytes. */
#include <stdlib.h>
#include <string.h>

#include "brokerd/net/internal.h"
#include "brokerd/net/websocket.h"

enum {
    MOVE_REST_MS = 10,    /* so long a connection is not read to come to rest */
    MOVE_AGAIN_MS = 1000, /* and that not more often */
    MOVE_ASK_MS = 20      /* who may not come there yet asks again after so long */
};

static struct passage *passage_new(struct conn *c)
{
    struct passage *p = c->passage = calloc(1, sizeof *p);

    if (p)
        p->conn = c;
    return p;
}

void conn_send_home(struct conn *c, unsigned to)
{
    struct passage *p = passage_new(c);

    if (!p) {
        conn_kill(c, NET_END_MEMORY, NULL);
        return;
    }
    c->is_moving = p->fresh = true;
    p->to = (uint8_t)to;
    list_push_back(&conn_nw(c)->moving, &p->in_moving);
}

/* It has not been looked at: it goes home. */
static bool is_fresh(const struct conn *c)
{
    return c->passage->fresh;
}

void conn_follow(struct conn *c)
{
    struct net_worker *nw = conn_nw(c);
    struct passage *p = c->passage;
    int64_t now = worker_now(nw->w);
    unsigned to;

    if (!c->link.endpoint || c->link.apart || !core_endpoint_wants(c->link.endpoint, &to))
        return;
    if (c->state != CONN_OPEN || !c->established || c->is_moving || nw->is_draining ||
        !c->door->may_move)
        return;
    if (!p && !(p = passage_new(c)))
        return; /* it stays */
    if (now < p->until_ms)
        return;
    if (!workers_may_follow(nw->net->ws, to)) {
        p->until_ms = now + MOVE_ASK_MS;
        return;
    }
    c->is_moving = true;
    p->to = (uint8_t)to;
    p->until_ms = now + MOVE_REST_MS;
    p->rest_turn = 0;
    list_push_back(&nw->moving, &p->in_moving);
}

/* It stays for now: read on. */
static void stay(struct conn *c)
{
    list_remove(&c->passage->in_moving);
    c->is_moving = false;
    c->passage->until_ms = worker_now(conn_nw(c)->w) + MOVE_AGAIN_MS;
    conn_watch(c);
}

/* Whether it may have to end or to speak, rather than to go. */
static bool has_other_plans(const struct conn *c)
{
    return c->state != CONN_OPEN || c->is_evicted || c->is_eof || c->kept_whole ||
           conn_nw(c)->is_draining || c->is_paused || c->is_resumed;
}

static bool at_rest(const struct conn *c)
{
    return c->link.endpoint && c->link.out.pending == 0 && !c->link.out.broken && !c->told_full &&
           !c->reading_stopped && c->door->may_move(c->door_conn) &&
           core_endpoint_at_rest(c->link.endpoint);
}

/* ---- there */

/* It has come home; or it was to, and could not. */
static void arrive_fresh(struct conn *c)
{
    struct net_worker *nw = conn_nw(c);

    c->passage->fresh = false;
    if (c->is_websocket)
        websocket_settle(websocket_of(c));
    if (c->passage->to != worker_id(nw->w)) {
        conn_kill(c, NET_END_MEMORY, NULL);
    } else if (c->state >= CONN_CLOSING || nw->is_closing || nw->is_draining) {
        conn_close(c, NET_END_DRAINED, NULL);
    } else {
        conn_begin_here(c);
        conn_mark_dirty(c); /* a WebSocket has been answered, perhaps not all of it is written */
    }
}

/* The endpoint has joined; everything else as at the beginning. */
static void arrive(struct conn *c)
{
    struct net_worker *nw = conn_nw(c);
    int r = is_fresh(c) ? 0 : core_endpoint_join(worker_core(nw->w), c->link.endpoint);

    /* The limits it was accepted with, shared if they are still the same. */
    if (host_same(conn_host(c), nw->host)) {
        host_drop(conn_host(c));
        conn_set_host(c, nw->host);
        nw->host->refs++;
    }
    c->is_moving = false;
    c->passage->until_ms = worker_now(nw->w) + MOVE_AGAIN_MS;
    conn_settle(c);
    conn_charge(c);
    if (is_fresh(c))
        arrive_fresh(c);
    else if (r < 0)
        conn_kill(c, NET_END_MEMORY, NULL);
    else if (nw->is_closing)
        conn_close(c, NET_END_DRAINED, NULL);
    else if (nw->is_draining)
        c->door->on_drain(c->door_conn);
}

static void take_moved(void *arg, struct worker *w)
{
    struct conn *c = arg;

    conn_nw(c)->stats.moved++;
    log_debug("%s: %s worker %u", c->peer, is_fresh(c) ? "belongs on" : "follows its messages to",
              worker_id(w));
    arrive(c);
}

/* ---- here */

/* What belongs to this worker is replaced by what belongs to nobody, or to the other. False without
 * memory. */
static bool detach(struct conn *c, const struct net_worker *to)
{
    struct host *host = host_new(to, &conn_host(c)->o);
    struct block *kept = c->kept_n ? block_new(c->kept_n) : NULL;

    if (!host || (c->kept_n && !kept) ||
        (!is_fresh(c) && core_endpoint_leave(c->link.endpoint) < 0)) {
        host_drop(host);
        block_unref(kept);
        return false;
    }
    if (kept)
        memcpy(kept->bytes, c->kept->bytes, c->kept_n);
    block_pool_put(worker_pool(conn_nw(c)->w), c->kept);
    c->kept = kept;
    c->kept_whole = false;
    core_charge(c->link.host->core, -(int64_t)c->charged);
    c->charged = 0;
    host_drop(conn_host(c));
    conn_set_host(c, host);
    return true;
}

/* Out of everything that this worker looks at. */
static void unlink_all(struct conn *c)
{
    conn_unwatch(c);
    list_remove(&c->timer.link); /* due when it was, in the other's wheel */
    list_remove(&c->in_all);
    list_remove(&c->in_ready);
    list_remove(&c->in_dirty);
    list_remove(&c->passage->in_moving);
    c->link.out.is_dirty = false;
}

static void depart(struct conn *c)
{
    struct net_worker *from = conn_nw(c), *to = &from->net->nw[c->passage->to];

    if (!detach(c, to)) {
        from->stats.moves_given_up++;
        stay(c);
        if (is_fresh(c))
            conn_kill(c, NET_END_MEMORY, NULL);
        return;
    }
    unlink_all(c);
    c->link.out.host = &to->outs;
    if (worker_call(from->w, c->passage->to, take_moved, c) == 0) {
        worker_moved(from->w, to->w);
    } else { /* it may keep the host that was made for there */
        c->link.out.host = &from->outs;
        conn_host(c)->link.core = conn_host(c)->carried.core = worker_core(from->w);
        conn_host(c)->link.scratch = conn_host(c)->carried.scratch = from->scratch;
        from->stats.moves_given_up++;
        arrive(c);
    }
}

/* The next step of one that is to move. Returns when it wants to be looked at again. */
static int64_t step(struct conn *c)
{
    struct net_worker *nw = conn_nw(c);
    int64_t now = worker_now(nw->w);

    if (is_fresh(c) && c->state < CONN_CLOSING) {
        depart(c);
    } else if (has_other_plans(c)) {
        stay(c);
    } else if (!at_rest(c)) {
        c->passage->rest_turn = 0;
        if (now < c->passage->until_ms)
            return c->passage->until_ms;
        nw->stats.moves_given_up++;
        log_debug("%s: was not at rest to follow its messages", c->peer);
        stay(c);
    } else if (!c->passage->rest_turn) {
        c->passage->rest_turn = nw->turn;
        return now;
    } else if (c->passage->rest_turn < nw->turn) {
        depart(c);
    }
    return INT64_MAX;
}

int64_t conns_move(struct net_worker *nw)
{
    int64_t due = INT64_MAX;
    struct list_node *l, *next;

    for (l = list_first(&nw->moving); l; l = next) {
        int64_t d;

        next = list_next(&nw->moving, l);
        d = step(LIST_ITEM(l, struct passage, in_moving)->conn);
        due = d < due ? d : due;
    }
    return due;
}
