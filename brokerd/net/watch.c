/* What the loop watches of a connection.
 *
 * Most connections say something now and then, or nothing. They are watched together, in an epoll
 * set of the worker's that is one event to libevent: an event of its own, and what libevent keeps
 * for a descriptor, would cost an idle connection 170 bytes, a sixth of what it has. One in which
 * something happens often gets an event of its own, since the set costs one more system call in
 * each turn in which anything in it is ready. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "brokerd/net/internal.h"

enum {
    CROWD_EVENTS = 256, /* of the set a turn; those left over, the loop sees again */
    BUSY_TIMES = 16,    /* who is ready so often */
    BUSY_SPAN_MS = 1000 /* within so long, is watched alone */
};

static void note_ready(struct conn *c, short what)
{
    c->ready = (uint8_t)(c->ready | what);
    if (!list_linked(&c->in_ready))
        list_push_back(&conn_nw(c)->ready, &c->in_ready);
}

/* ---- alone */

static void on_socket(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    note_ready(ctx, what);
}

static int watch_alone(struct conn *c, struct event *ev, short want)
{
    event_assign(ev, worker_base(conn_nw(c)->w), c->fd, want | EV_PERSIST, on_socket, c);
    return event_add(ev, NULL);
}

/* ---- in the crowd */

/* Change what the set watches; 0: nothing. */
static int watch_in_crowd(struct conn *c, short want)
{
    struct epoll_event e = {.data.ptr = c};
    int op = !c->watched ? EPOLL_CTL_ADD : want ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;

    e.events = (want & EV_READ ? EPOLLIN : 0) | (want & EV_WRITE ? EPOLLOUT : 0);
    return epoll_ctl(conn_nw(c)->crowd_fd, op, c->fd, &e);
}

static short what_of(const struct conn *c, uint32_t events)
{
    int what = (events & EPOLLIN ? EV_READ : 0) | (events & EPOLLOUT ? EV_WRITE : 0);

    if (events & (EPOLLERR | EPOLLHUP)) /* the call that is tried next says what is wrong */
        what |= c->watched;
    return (short)what;
}

/* Out of the crowd, if there is memory for that. */
static void leave_crowd(struct conn *c)
{
    struct event *own = malloc(sizeof *own);

    if (!own)
        return;
    if (watch_alone(c, own, c->watched) < 0) {
        free(own);
        return;
    }
    (void)watch_in_crowd(c, 0);
    c->own = own;
}

static void note_busy(struct conn *c)
{
    uint16_t span = (uint16_t)(worker_now(conn_nw(c)->w) / BUSY_SPAN_MS);

    if (c->busy_span != span) {
        c->busy_span = span;
        c->busy = 0;
    }
    if (++c->busy == BUSY_TIMES)
        leave_crowd(c);
}

static void on_crowd(evutil_socket_t fd, short what, void *ctx)
{
    struct epoll_event seen[CROWD_EVENTS];
    int n = epoll_wait((int)fd, seen, CROWD_EVENTS, 0);

    (void)what;
    (void)ctx;
    for (int i = 0; i < n; i++) {
        struct conn *c = seen[i].data.ptr;

        note_ready(c, what_of(c, seen[i].events));
        note_busy(c);
    }
}

int crowd_open(struct net_worker *nw)
{
    nw->crowd_fd = epoll_create1(EPOLL_CLOEXEC);
    if (nw->crowd_fd < 0)
        return -errno;
    event_assign(&nw->crowd, worker_base(nw->w), nw->crowd_fd, EV_READ | EV_PERSIST, on_crowd, nw);
    if (event_add(&nw->crowd, NULL) == 0)
        return 0;
    close(nw->crowd_fd);
    nw->crowd_fd = -1;
    return -ENOMEM;
}

void crowd_close(struct net_worker *nw)
{
    if (nw->crowd_fd < 0)
        return;
    event_del(&nw->crowd);
    close(nw->crowd_fd);
    nw->crowd_fd = -1;
}

/* ---- either way */

static int change(struct conn *c, short want)
{
    if (!c->own)
        return watch_in_crowd(c, want);
    if (c->watched)
        event_del(c->own);
    return want ? watch_alone(c, c->own, want) : 0;
}

void conn_unwatch(struct conn *c)
{
    if (c->watched)
        (void)change(c, 0);
    c->watched = c->ready = 0;
    free(c->own);
    c->own = NULL;
}

void conn_watch(struct conn *c)
{
    bool reads =
        (c->state < CONN_CLOSING && !c->reading_stopped && !c->is_moving && !c->is_paused) ||
        c->state == CONN_LINGERING;
    short want = reads && !c->is_eof ? EV_READ : 0;

    if (c->link.out.pending && c->link.out.blocked)
        want |= EV_WRITE;
    if (c->state == CONN_DEAD)
        want = 0;
    if (want == c->watched)
        return;
    if (change(c, want) == 0) {
        c->watched = (uint8_t)want;
        return;
    }
    conn_unwatch(c);
    conn_kill(c, NET_END_MEMORY, "cannot be watched");
}
