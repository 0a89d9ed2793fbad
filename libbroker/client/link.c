/* The link: making one connection, and its two buffers. What connecting needs is here, what is read
 * and written in linkio.c. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

#include "libbroker/base/headers.h"
#include "libbroker/client/client.h"
#include "libbroker/wire/composite.h"

enum {
    IN_SIZE = 256 * 1024, /* bytes read at once; grows for larger frames */
    LEAVE_MS = 2000,      /* to read what is on its way */
};

void cl_link_init(struct cl_link *l)
{
    memset(l, 0, sizeof *l);
    l->fd = -1;
    l->deadline = l->keepalive_at = CL_NEVER;
}

void cl_link_fail(broker *b, int error, const char *format, ...)
{
    va_list args;

    if (b->link.lost)
        return;
    b->link.lost = error;
    va_start(args, format);
    vsnprintf(b->link.lost_text, sizeof b->link.lost_text, format, args);
    va_end(args);
}

void cl_link_want_write(broker *b, bool want)
{
    struct epoll_event ev = {.events = EPOLLIN | (want ? (uint32_t)EPOLLOUT : 0u)};

    if (b->link.want_write == want)
        return;
    ev.data.fd = b->link.fd;
    if (epoll_ctl(b->epoll_fd, EPOLL_CTL_MOD, b->link.fd, &ev) == 0)
        b->link.want_write = want;
}

void cl_link_close(broker *b)
{
    struct cl_link *l = &b->link;

    cl_resolve_free(l->resolve);
    l->resolve = NULL;
    if (l->fd >= 0)
        close(l->fd); /* which takes it out of the epoll set */
    l->fd = -1;
    l->state = CL_LINK_NONE;
    l->established = l->want_write = l->draining = l->leaving = l->lost_for_good = false;
    l->lost = 0;
    l->deadline = l->keepalive_at = CL_NEVER;
    l->n_addrs = l->next_addr = 0;
    l->in_n = 0;
    l->cut = NULL;
    l->written = l->queued - l->ctl.pending;
    cl_outq_clear(&l->ctl);
    free(l->in); /* a handle that waits to reconnect needs no buffer */
    l->in = NULL;
    l->in_cap = 0;
}

void cl_link_fini(broker *b)
{
    cl_link_close(b);
    cl_outq_fini(&b->link.ctl);
}

/* The SETUP frame's metadata: what the client calls itself. */
static int setup_metadata(broker *b)
{
    struct broker_header name = {"name", b->opt.name};

    cl_meta_begin(b);
    return b->opt.name ? cl_meta_settings(b, NULL, 0, &name) : BROKER_OK;
}

static void queue_setup(broker *b)
{
    struct rs_frame f = {.type = RS_SETUP};
    struct mime composite = {MIME_COMPOSITE, {NULL, 0}};
    size_t size, ping = rs_keepalive_size(0);
    uint8_t *p;

    (void)setup_metadata(b); /* without memory the broker just does not learn our name */
    f.setup.major = 1;
    f.setup.keepalive_ms = b->opt.o.keepalive_ms;
    f.setup.lifetime_ms = b->opt.o.lifetime_ms;
    f.setup.metadata_mime = slice_str(mime_name(composite.id));
    f.setup.data_mime = slice_str(b->opt.data_type);
    f.has_metadata = b->scratch.n > 0;
    f.metadata = cl_meta(b);
    size = rs_size(&f);
    p = cl_ctl_reserve(b, size + ping);
    if (!p)
        return;
    p = rs_put(p, &f);
    /* SETUP has no answer, a KEEPALIVE has: that is how we know that we are taken. */
    rs_put_keepalive(p, RS_RESPOND, 0, (struct slice){NULL, 0});
    cl_ctl_commit(b, size + ping);
}

static void opened(broker *b)
{
    struct cl_link *l = &b->link;
    int64_t now = cl_now_ms();
    int on = 1;

    if (!b->opt.urls[b->url].path)
        (void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    cl_link_want_write(b, false);
    l->state = CL_LINK_OPEN;
    l->last_rx = now;
    l->keepalive_at = now + b->opt.o.keepalive_ms;
    if (!l->in) {
        l->in = malloc(IN_SIZE);
        l->in_cap = IN_SIZE;
        if (!l->in) {
            cl_link_fail(b, BROKER_NO_MEMORY, "no memory for a connection");
            return;
        }
    }
    queue_setup(b);
    cl_engine_opened(b);
}

/* Start connect() to one address. 0 under way or done, -errno. */
static int try_addr(broker *b, const struct cl_addr *a)
{
    struct cl_link *l = &b->link;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT};

    l->fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        return -errno;
    if (connect(l->fd, (const struct sockaddr *)&a->sa, a->len) < 0 && errno != EINPROGRESS)
        goto fail;
    ev.data.fd = l->fd;
    if (epoll_ctl(b->epoll_fd, EPOLL_CTL_ADD, l->fd, &ev) < 0)
        goto fail;
    l->want_write = true;
    l->state = CL_LINK_CONNECTING;
    return 0;

fail:;
    int e = errno;

    close(l->fd);
    l->fd = -1;
    return -e;
}

/* Go through the addresses that are left; the last failure is the one told of. */
static void try_next(broker *b, int e)
{
    struct cl_link *l = &b->link;

    while (l->next_addr < l->n_addrs) {
        e = try_addr(b, &l->addr[l->next_addr++]);
        if (e == 0)
            return;
    }
    cl_link_fail(b, BROKER_UNREACHABLE, "%s: %s", b->opt.urls[b->url].text, strerror(-e));
}

static void start_unix(broker *b, const char *path)
{
    struct cl_link *l = &b->link;
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    memcpy(un.sun_path, path, strlen(path) + 1); /* its length was checked with the options */
    memcpy(&l->addr[0].sa, &un, sizeof un);
    l->addr[0].len = sizeof un;
    l->n_addrs = 1;
    try_next(b, -EINVAL);
}

void cl_link_start(broker *b)
{
    struct cl_link *l = &b->link;
    const struct cl_url *u = &b->opt.urls[b->url];
    int r;

    l->deadline = cl_now_ms() + b->opt.o.connect_ms;
    if (u->path) {
        start_unix(b, u->path);
        return;
    }
    r = cl_resolve_start(u->host, u->port, b->event_fd, &l->resolve);
    if (r != BROKER_OK) {
        cl_link_fail(b, r, "%s: cannot look up the name", u->text);
        return;
    }
    l->state = CL_LINK_RESOLVING;
    cl_link_step(b, 0);
}

static void resolving_step(broker *b)
{
    struct cl_link *l = &b->link;
    const char *why = "";
    int r = cl_resolve_take(l->resolve, l->addr, &l->n_addrs, &why);

    if (r == 0)
        return;
    cl_resolve_free(l->resolve);
    l->resolve = NULL;
    if (r < 0)
        cl_link_fail(b, r, "%s: %s", b->opt.urls[b->url].text, why);
    else
        try_next(b, -EINVAL);
}

static void connecting_step(broker *b)
{
    struct cl_link *l = &b->link;
    socklen_t len = sizeof(int);
    int e = 0;

    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
        e = errno;
    if (e == 0) {
        opened(b);
        return;
    }
    close(l->fd);
    l->fd = -1;
    l->want_write = false;
    try_next(b, -e);
}

void cl_link_step(broker *b, unsigned ready)
{
    if (b->link.state == CL_LINK_RESOLVING)
        resolving_step(b);
    else if (b->link.state == CL_LINK_CONNECTING && ready != 0)
        connecting_step(b);
}

bool cl_link_pending(const broker *b)
{
    if (b->link.state != CL_LINK_OPEN || b->link.leaving)
        return false;
    return b->link.ctl.pending > 0 || !TAILQ_EMPTY(&b->dirty_publishers);
}

void cl_link_end(broker *b)
{
    struct cl_link *l = &b->link;

    l->state = CL_LINK_ENDING;
    l->deadline = cl_now_ms() + 1000;
    l->keepalive_at = CL_NEVER;
    if (shutdown(l->fd, SHUT_WR) < 0)
        cl_link_fail(b, BROKER_CLOSED, "%s", strerror(errno));
}

void cl_link_leave(broker *b, int error, const char *text)
{
    struct cl_link *l = &b->link;

    if (l->leaving)
        return;
    l->leaving = true;
    l->left_for = error;
    snprintf(l->left_text, sizeof l->left_text, "%s", text);
    l->deadline = cl_now_ms() + LEAVE_MS;
    l->keepalive_at = CL_NEVER;
    cl_link_want_write(b, false);
    shutdown(l->fd, SHUT_WR); /* fails where there is nobody to hear of it: reading says so, too */
}

uint8_t *cl_ctl_reserve(broker *b, size_t n)
{
    uint8_t *p = cl_outq_reserve(&b->link.ctl, n, NULL);

    if (!p) /* a frame left out would leave both sides with different ideas of the streams */
        cl_link_fail(b, BROKER_NO_MEMORY, "no memory for what is to be written");
    return p;
}

void cl_ctl_commit(broker *b, size_t n)
{
    b->link.queued += n;
    cl_outq_commit(&b->link.ctl, n, true);
    cl_maybe_flush(b, b->link.ctl.pending);
    cl_poke(b);
}

bool cl_ctl_has_room(broker *b, size_t n)
{
    const struct cl_outq *q = &b->link.ctl;

    if (q->pending > 0 && q->pending + n > b->opt.o.outbox_bytes && !b->threaded)
        cl_link_flush(b);
    return q->pending == 0 || q->pending + n <= b->opt.o.outbox_bytes;
}
