/* Writing: what doors have put into a connection's output goes to its socket, and the core hears
 * how far that has come. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "brokerd/net/websocket.h"

enum { IOVECS = 64 };

static struct conn *conn_of(struct out *o)
{
    return (struct conn *)((char *)o - offsetof(struct conn, link.out));
}

/* Write until all is written or the socket takes no more. */
static void write_pending(struct conn *c)
{
    struct out *o = &c->link.out;

    while (o->pending && !o->blocked) {
        struct iovec iov[IOVECS];
        struct msghdr m = {.msg_iov = iov};
        size_t want = 0;
        ssize_t n;

        m.msg_iovlen = (size_t)out_peek(o, iov, IOVECS);
        for (size_t i = 0; i < m.msg_iovlen; i++)
            want += iov[i].iov_len;
        n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        conn_nw(c)->stats.writes++;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            o->broken = true; /* takes nothing more */
            conn_kill(c, NET_END_RESET, strerror(errno));
            return;
        }
        if (n > 0) {
            out_consume(o, (size_t)n);
            conn_nw(c)->stats.bytes_out += (size_t)n;
        }
        o->blocked = n < 0 || (size_t)n < want; /* no second try after a short one */
    }
    if (o->blocked)
        conn_nw(c)->stats.output_blocked++;
}

static bool may_write(const struct conn *c)
{
    return c->state < CONN_LINGERING && !c->link.out.broken;
}

static void tell_core(struct conn *c)
{
    struct endpoint *ep = c->link.endpoint;
    size_t pending = c->link.out.pending;
    uint64_t written = out_written(&c->link.out);

    if (!ep || c->link.apart)
        return;
    if (c->is_websocket) { /* the door's positions are others */
        written = websocket_written(websocket_of(c));
        pending += websocket_of(c)->link.out.pending;
    }
    if (core_written(ep, written))
        conn_nw(c)->core_told = true;
    if (pending >= OUT_HIGH_WATER && !c->told_full) {
        c->told_full = true;
        core_writable(ep, false);
    } else if (pending < OUT_LOW_WATER && c->told_full) {
        c->told_full = false;
        core_writable(ep, true);
        conn_nw(c)->core_told = true;
    }
}

/* Perhaps from within the core, which bears to be told what was written and whether there is
 * room: so a long backlog goes on as fast as the socket takes it. */
void conn_flush(struct out *o)
{
    struct conn *c = conn_of(o);

    if (may_write(c) && !o->blocked)
        write_pending(c);
    tell_core(c);
    conn_mark_dirty(c);
}

void conn_dirty(struct out *o)
{
    conn_mark_dirty(conn_of(o));
}

/* A peer that does not take its answers is not read until it does, nor one that asked for more work
 * than the core does at once. */
static void brake_reading(struct conn *c)
{
    bool behind = c->link.endpoint && core_is_behind(c->link.endpoint);

    if (behind && !list_linked(&c->in_dirty))
        list_push_back(&conn_nw(c)->behind, &c->in_dirty);
    if (!c->reading_stopped && (behind || c->link.out.pending > OUT_STOP_READING)) {
        c->reading_stopped = true;
        conn_nw(c)->stats.reads_paused++;
    } else if (c->reading_stopped && !behind && c->link.out.pending < OUT_READ_AGAIN) {
        int64_t grace_ms = worker_now(conn_nw(c)->w) + UNREAD_GRACE_MS;

        c->reading_stopped = false;
        conn_set_timer(c, c->timer.due_ms < grace_ms ? grace_ms : c->timer.due_ms);
    }
}

/* It is read again: at the next turn, as if its socket were ready. */
static void look_again(struct conn *c)
{
    c->ready |= EV_READ;
    if (!list_linked(&c->in_ready) && !c->is_closed)
        list_push_back(&conn_nw(c)->ready, &c->in_ready);
    conn_nw(c)->any_resumed = true;
}

/* All is written that will be: tell the peer, and wait until it has read it. */
static void shut_down(struct conn *c)
{
    if (c->is_eof || shutdown(c->fd, SHUT_WR) < 0)
        conn_kill(c, c->end, NULL);
    else
        c->state = CONN_LINGERING;
}

void conn_output(struct conn *c)
{
    struct out *o = &c->link.out;

    o->is_dirty = false;
    if (c->state == CONN_DEAD)
        return;
    if (c->is_websocket) {
        websocket_pack(websocket_of(c));
        websocket_of(c)->link.out.blocked = o->blocked;
    }
    if (may_write(c) && o->pending && !o->blocked)
        write_pending(c);
    if (o->broken)
        conn_kill(c, NET_END_MEMORY, "its output could not be kept");
    if (c->state == CONN_DEAD)
        return;
    if (o->blocked)
        out_compact(o);
    tell_core(c);
    brake_reading(c);
    if (c->is_resumed && !c->reading_stopped)
        look_again(c);
    if (c->state == CONN_CLOSING && !c->door_conn && o->pending == 0)
        shut_down(c);
    conn_charge(c);
    conn_watch(c);
}
