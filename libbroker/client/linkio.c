/* Reading, writing, and the frames of stream 0. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "libbroker/client/client.h"

enum {
    READS_MAX = 16, /* in one turn, so that timers and writing have theirs */
    IOV_MAX_USED = 64,
    SOURCES_MAX = 16, /* queues in one write; others come next */
    IN_KEEP = 256 * 1024,
    IN_LARGE = 4 << 20, /* larger buffers shrink to IN_KEEP when they are empty */
};

/* ---- Writing ---- */

/* The queues that take part in one write, in order, and how many bytes of each. */
struct gather {
    struct cl_outq *q[SOURCES_MAX];
    size_t bytes[SOURCES_MAX];
    int n;
    struct iovec iov[IOV_MAX_USED];
    int n_iov;
    size_t sum;
};

static void add_source(struct gather *g, struct cl_outq *q)
{
    size_t bytes;
    int n;

    if (!q || q->pending == 0 || g->n == SOURCES_MAX || g->n_iov == IOV_MAX_USED ||
        g->sum >= CL_WRITE_MAX)
        return;
    n = cl_outq_iov(q, g->iov + g->n_iov, IOV_MAX_USED - g->n_iov, CL_WRITE_MAX - g->sum, &bytes);
    if (n == 0)
        return;
    g->q[g->n] = q;
    g->bytes[g->n++] = bytes;
    g->n_iov += n;
    g->sum += bytes;
}

/* What was cut in the middle of a frame goes on first; then what keeps streams alive; then
 * publishers. Each queue holds whole frames, so they may follow each other in any order. */
static void gather(broker *b, struct gather *g)
{
    struct cl_link *l = &b->link;

    g->n = g->n_iov = 0;
    g->sum = 0;
    add_source(g, l->cut);
    if (l->cut != &l->ctl)
        add_source(g, &l->ctl);
    for (broker_publisher *p = TAILQ_FIRST(&b->dirty_publishers); p; p = cl_publisher_next_dirty(p))
        if (cl_publisher_outq(p) != l->cut)
            add_source(g, cl_publisher_outq(p));
}

static void account(broker *b, const struct gather *g, size_t written)
{
    struct cl_link *l = &b->link;

    l->cut = NULL;
    for (int i = 0; i < g->n && written > 0; i++) {
        size_t n = written < g->bytes[i] ? written : g->bytes[i];

        cl_outq_wrote(g->q[i], n);
        written -= n;
        l->cut = g->q[i]->pending > 0 ? g->q[i] : NULL;
    }
    cl_outq_drop_written(&l->ctl);
    cl_publishers_written(b);
}

void cl_link_flush(broker *b)
{
    struct cl_link *l = &b->link;
    struct gather g;
    ssize_t n;
    int e;

    while (l->state == CL_LINK_OPEN && !l->lost && !l->leaving) {
        struct msghdr msg = {.msg_iov = g.iov};

        gather(b, &g);
        if (g.n == 0) {
            cl_link_want_write(b, false);
            return;
        }
        msg.msg_iovlen = (size_t)g.n_iov;
        cl_unlock(b); /* chunks stay where they are, and only the engine writes */
        n = sendmsg(l->fd, &msg, MSG_NOSIGNAL);
        e = errno;
        cl_lock(b);
        if (n >= 0) {
            account(b, &g, (size_t)n);
            if ((size_t)n == g.sum)
                continue;
        } else if (e == EINTR) {
            continue;
        } else if (e != EAGAIN && e != EWOULDBLOCK) {
            cl_link_leave(b, BROKER_DISCONNECTED, strerror(e));
            return;
        }
        cl_link_want_write(b, true);
        return;
    }
}

void cl_maybe_flush(broker *b, size_t pending)
{
    if (pending >= CL_FLUSH_AT && !b->threaded && !b->link.want_write)
        cl_link_flush(b);
}

/* ---- Stream 0 ---- */

static void answer_keepalive(broker *b, const struct rs_frame *f)
{
    size_t n = rs_keepalive_size(f->data.n);
    uint8_t *p;

    if (!(f->flags & RS_RESPOND))
        return;
    p = cl_ctl_reserve(b, n);
    if (!p)
        return;
    rs_put_keepalive(p, 0, 0, f->data);
    cl_ctl_commit(b, n);
}

static void drain(broker *b)
{
    if (b->link.draining)
        return;
    b->link.draining = true;
    b->link.deadline = cl_now_ms() + CL_DRAIN_MS;
}

static void connection_error(broker *b, const struct rs_frame *f)
{
    char text[CL_TEXT_MAX];
    int reason;

    (void)cl_error_of(f, &reason, text);
    switch (f->number) {
    case RS_INVALID_SETUP:
    case RS_UNSUPPORTED_SETUP:
        b->link.lost_for_good = true; /* it would say the same the next time */
        cl_link_fail(b, BROKER_SETUP_REFUSED, "%s", text);
        break;
    case RS_REJECTED_SETUP:
        b->link.lost_for_good = reason == BROKER_REASON_DENIED;
        cl_link_fail(b, BROKER_SETUP_REFUSED, "%s", text);
        break;
    case RS_CONNECTION_CLOSE:
        drain(b);
        break;
    default:
        cl_link_fail(b, BROKER_DISCONNECTED, "%s", text);
        break;
    }
}

static void stream_0(broker *b, const struct rs_frame *f)
{
    switch (f->type) {
    case RS_KEEPALIVE:
        answer_keepalive(b, f);
        break;
    case RS_ERROR:
        connection_error(b, f);
        break;
    case RS_METADATA_PUSH:
    case RS_LEASE:
    case RS_SETUP:
        break; /* nothing to us */
    default:
        if (!(f->flags & RS_IGNORE))
            cl_link_fail(b, BROKER_PROTOCOL, "an unexpected frame of type 0x%02x", f->type);
        break;
    }
}

static void take_frame(broker *b, const struct rs_frame *f)
{
    if (!b->link.established &&
        !(f->type == RS_ERROR && f->stream == 0 && f->number <= RS_CONNECTION_ERROR))
        cl_engine_established(b);
    if (f->stream == 0)
        stream_0(b, f);
    else if (rs_is_request(f->type))
        cl_call_request(b, f);
    else
        cl_stream_frame(b, f);
}

int cl_send_error(broker *b, uint32_t id, uint32_t code, const char *text)
{
    struct slice s = slice_str(text);
    uint8_t *p = cl_ctl_reserve(b, rs_error_size(s.n));

    if (!p)
        return BROKER_NO_MEMORY;
    rs_put_error(p, id, code, s);
    cl_ctl_commit(b, rs_error_size(s.n));
    return BROKER_OK;
}

void cl_link_goodbye(broker *b, const char *text)
{
    (void)cl_send_error(b, 0, RS_CONNECTION_ERROR, text);
    cl_link_flush(b);
}

/* ---- Reading ---- */

static bool is_open(const broker *b)
{
    return b->link.state == CL_LINK_OPEN || b->link.state == CL_LINK_ENDING;
}

/* The front of the buffer as a run of plain messages for one subscription; 0: it is not. */
static size_t take_run(broker *b, const uint8_t *buf, size_t len)
{
    struct cl_stream *st;
    uint32_t n, id;
    uint16_t word;

    if (!rs_peek(buf, len, &n, &id, &word) || word != RS_PLAIN_PAYLOAD || id == 0 ||
        n < RS_HEADER || n > len - RS_TCP_LENGTH)
        return 0;
    st = cl_stream_find(&b->streams, id);
    if (!st || st->kind != CL_SUBSCRIPTION || reassembly_active(&st->re))
        return 0;
    return cl_subscription_run(b, st, buf, len);
}

/* One frame; returns the bytes used, 0: more must come, or the link is lost. */
static size_t take_one(broker *b, const uint8_t *buf, size_t len)
{
    struct rs_frame f;
    const char *why = "";
    size_t used = 0;

    switch (rs_decode(RS_FRAME_MAX, buf, len, &f, &used, &why)) {
    case WIRE_MORE:
        return 0;
    case WIRE_FRAME:
        take_frame(b, &f);
        return used;
    case WIRE_BAD:
        break;
    }
    if (used > 0 && (f.flags & RS_IGNORE))
        return used;
    cl_link_goodbye(b, why);
    cl_link_fail(b, BROKER_PROTOCOL, "%s", why);
    return 0;
}

static void parse(broker *b)
{
    struct cl_link *l = &b->link;
    size_t off = 0, used;

    while (off < l->in_n && is_open(b) && !l->lost) {
        used = take_run(b, l->in + off, l->in_n - off);
        if (used == 0)
            used = take_one(b, l->in + off, l->in_n - off);
        if (used == 0)
            break;
        off += used;
    }
    if (off > 0 && off < l->in_n)
        memmove(l->in, l->in + off, l->in_n - off);
    l->in_n -= off;
}

/* Room to read into. A frame that does not fit grows the buffer as its bytes come. */
static bool make_room(broker *b)
{
    struct cl_link *l = &b->link;
    size_t cap = l->in_cap * 2;
    uint8_t *p;

    if (l->in_n < l->in_cap) {
        if (l->in_n > 0 || l->in_cap <= IN_LARGE)
            return true;
        cap = IN_KEEP; /* the large frame is through */
    }
    p = realloc(l->in, cap);
    if (!p) {
        cl_link_fail(b, BROKER_NO_MEMORY, "no memory for a frame of more than %zu bytes", cap / 2);
        return false;
    }
    l->in = p;
    l->in_cap = cap;
    return true;
}

void cl_link_read(broker *b)
{
    struct cl_link *l = &b->link;

    for (int i = 0; i < READS_MAX && is_open(b) && !l->lost; i++) {
        size_t room;
        ssize_t n;

        if (!make_room(b))
            return;
        room = l->in_cap - l->in_n;
        n = recv(l->fd, l->in + l->in_n, room, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n <= 0) {
            if (l->leaving)
                cl_link_fail(b, l->left_for, "%s", l->left_text);
            else
                cl_link_fail(b, l->draining ? BROKER_DRAINING : BROKER_DISCONNECTED, "%s",
                             n < 0 ? strerror(errno) : "the broker closed the connection");
            return;
        }
        l->last_rx = cl_now_ms();
        l->in_n += (size_t)n;
        parse(b);
        if ((size_t)n < room)
            return;
    }
}
