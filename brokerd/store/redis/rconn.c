#include "brokerd/store/redis/rconn.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "brokerd/store/redis/reply.h"
#include "brokerd/store/redis/resolve.h"
#include "brokerd/store/redis/tls.h"

enum {
    PIECES_MAX = 128,   /* handed to the system at once */
    SLOW_TIMES = 8,     /* a reply may come in pieces for so many timeouts */
    IDLE_MIN_MS = 1000, /* before an idle connection is asked */
    TEXT_MAX = LINK_TEXT_MAX,
};

enum rconn_state { CONN_RESOLVING, CONN_CONNECTING, CONN_SHAKING, CONN_OPEN };

struct rconn {
    struct rconn_options o;
    enum rconn_state state;
    struct resolve *resolve;
    struct resolved addresses;
    unsigned address; /* the one that is tried */
    int fd;           /* -1: none */
    struct tls_session *tls;
    struct event read, write; /* the first also of the pipe of `resolve` */
    bool is_readable, is_writable, wants_write;
    struct reply_reader reader;

    struct list sent, unsent;
    size_t written;   /* bytes of the first unsent, with what goes before it */
    int64_t begun_ms; /* connecting */
    int64_t heard_ms; /* bytes came; or went, while nothing was sent whole */
    int64_t whole_ms; /* a whole reply came */

    int error;
    char text[TEXT_MAX];
};

static const struct slice asking = {(const uint8_t *)"*1\r\n$6\r\nASKING\r\n", 16};

void rconn_fail(struct rconn *c, int error, const char *fmt, ...)
{
    va_list args;

    if (c->error)
        return;
    c->error = error;
    va_start(args, fmt);
    (void)vsnprintf(c->text, sizeof c->text, fmt, args);
    va_end(args);
    c->o.ops->mark(c->o.ctx);
}

static void fail_errno(struct rconn *c, int error)
{
    rconn_fail(c, -error, "%s", strerror(error));
}

/* -------------------------------------------------------------------------------------- the loop
 */

static void on_read(evutil_socket_t fd, short what, void *ctx)
{
    struct rconn *c = ctx;

    (void)fd;
    (void)what;
    c->is_readable = true;
    c->o.ops->mark(c->o.ctx);
}

static void on_write(evutil_socket_t fd, short what, void *ctx)
{
    struct rconn *c = ctx;

    (void)fd;
    (void)what;
    c->is_writable = true;
    c->o.ops->mark(c->o.ctx);
}

static void unwatch(struct rconn *c)
{
    if (event_initialized(&c->read))
        event_del(&c->read);
    if (event_initialized(&c->write))
        event_del(&c->write);
}

static void watch_read(struct rconn *c, int fd)
{
    event_assign(&c->read, c->o.base, fd, EV_READ | EV_PERSIST, on_read, c);
    if (event_add(&c->read, NULL) < 0)
        fail_errno(c, ENOMEM);
}

/* Once. */
static void watch_write(struct rconn *c)
{
    if (event_add(&c->write, NULL) < 0)
        fail_errno(c, ENOMEM);
}

/* ------------------------------------------------------------------------------------ connecting
 */

static void close_socket(struct rconn *c)
{
    unwatch(c);
    tls_session_free(c->tls);
    c->tls = NULL;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->is_readable = c->is_writable = false;
}

static int open_socket(const struct sockaddr_storage *to, socklen_t size)
{
    const int on = 1;
    int fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int e;

    if (fd < 0)
        return -errno;
    if (to->ss_family != AF_UNIX) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    if (connect(fd, (const struct sockaddr *)to, size) == 0 || errno == EINPROGRESS)
        return fd;
    e = -errno;
    close(fd);
    return e;
}

/* The address at hand, or one of those behind it. */
static void try_address(struct rconn *c)
{
    int e = -EADDRNOTAVAIL;

    for (; c->address < c->addresses.n; c->address++) {
        e = open_socket(&c->addresses.address[c->address], c->addresses.size[c->address]);
        if (e < 0)
            continue;
        c->fd = e;
        c->state = CONN_CONNECTING;
        event_assign(&c->write, c->o.base, c->fd, EV_WRITE, on_write, c);
        watch_write(c);
        return;
    }
    fail_errno(c, -e);
}

static void resolved(struct rconn *c)
{
    const char *why = resolve_take(c->resolve, &c->addresses);

    unwatch(c);
    resolve_free(c->resolve);
    c->resolve = NULL;
    if (why)
        rconn_fail(c, -EADDRNOTAVAIL, "%s", why);
    else
        try_address(c);
}

static void become_open(struct rconn *c, int64_t now_ms)
{
    c->state = CONN_OPEN;
    c->heard_ms = c->whole_ms = now_ms;
    c->o.ops->open(c->o.ctx);
}

static void shake(struct rconn *c, int64_t now_ms)
{
    char why[TEXT_MAX];
    int r = tls_shake(c->tls, why, sizeof why);

    if (r < 0)
        rconn_fail(c, r, "%s", why);
    else if (r > 0)
        become_open(c, now_ms);
    else if (tls_wants_write(c->tls))
        watch_write(c);
}

static void connected(struct rconn *c, int64_t now_ms)
{
    socklen_t n = sizeof(int);
    int e = 0;

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0)
        e = errno;
    if (e && c->address + 1 < c->addresses.n) {
        close_socket(c);
        c->address++;
        try_address(c);
        return;
    }
    if (e) {
        fail_errno(c, e);
        return;
    }
    watch_read(c, c->fd);
    if (!c->o.tls) {
        become_open(c, now_ms);
        return;
    }
    c->state = CONN_SHAKING;
    c->tls = tls_session_new(c->o.tls, c->fd, c->o.host);
    if (c->tls)
        shake(c, now_ms);
    else
        fail_errno(c, ENOMEM);
}

static void begin(struct rconn *c)
{
    if (resolve_at_once(c->o.host, c->o.port, &c->addresses)) {
        try_address(c);
        return;
    }
    if (resolve_new(c->o.host, c->o.port, &c->resolve) < 0) {
        rconn_fail(c, -EAGAIN, "no memory or thread to look up the name");
        return;
    }
    watch_read(c, resolve_fd(c->resolve));
}

struct rconn *rconn_new(const struct rconn_options *o, int64_t now_ms)
{
    struct rconn *c = calloc(1, sizeof *c);

    if (!c || reply_reader_init(&c->reader) < 0) {
        free(c);
        return NULL;
    }
    c->o = *o;
    c->fd = -1;
    c->begun_ms = now_ms;
    list_init(&c->sent);
    list_init(&c->unsent);
    begin(c);
    return c;
}

void rconn_free(struct rconn *c)
{
    struct command *cmd;
    bool sent;

    if (!c)
        return;
    close_socket(c);
    resolve_free(c->resolve);
    reply_reader_fini(&c->reader);
    while ((cmd = rconn_take(c, &sent)) != NULL)
        free(cmd);
    free(c);
}

struct command *rconn_take(struct rconn *c, bool *ret_sent)
{
    struct list_node *n = list_pop(&c->sent);
    struct command *cmd;

    *ret_sent = n != NULL;
    if (!n)
        n = list_pop(&c->unsent);
    if (!n)
        return NULL;
    cmd = LIST_ITEM(n, struct command, link);
    cmd->skip = 0; /* another may send it, without ASKING */
    return cmd;
}

bool rconn_is_idle(const struct rconn *c)
{
    return list_empty(&c->sent) && list_empty(&c->unsent);
}

/* --------------------------------------------------------------------------------------- writing
 */

void rconn_send(struct rconn *c, struct command *cmd, int64_t now_ms)
{
    if (rconn_is_idle(c))
        c->heard_ms = c->whole_ms = now_ms;
    if (cmd->asking)
        cmd->skip++;
    list_push_back(&c->unsent, &cmd->link);
}

static size_t size_of(const struct command *cmd)
{
    return cmd->size + (cmd->asking ? asking.n : 0);
}

/* What is left of a command from `at` on: one piece or two. */
static unsigned pieces_of(struct command *cmd, size_t at, struct iovec *iov)
{
    size_t before = cmd->asking ? asking.n : 0;
    unsigned n = 0;

    if (at < before) {
        iov[n++] = (struct iovec){(void *)(uintptr_t)(asking.p + at), before - at};
        at = before;
    }
    iov[n++] = (struct iovec){cmd->bytes + (at - before), cmd->size - (at - before)};
    return n;
}

static unsigned gather(struct rconn *c, struct iovec iov[PIECES_MAX])
{
    size_t at = c->written;
    unsigned n = 0;

    for (struct list_node *l = list_first(&c->unsent); l && n + 2 <= PIECES_MAX;
         l = list_next(&c->unsent, l)) {
        n += pieces_of(LIST_ITEM(l, struct command, link), at, iov + n);
        at = 0;
    }
    return n;
}

/* TLS: the pieces as one record. */
static ssize_t write_record(struct rconn *c, const struct iovec *iov, unsigned n)
{
    size_t size = 0;
    ssize_t r;

    for (unsigned i = 0; i < n && size < TLS_RECORD; i++) {
        size_t m = iov[i].iov_len < TLS_RECORD - size ? iov[i].iov_len : TLS_RECORD - size;

        memcpy(c->o.scratch + size, iov[i].iov_base, m);
        size += m;
    }
    r = tls_write(c->tls, c->o.scratch, size);
    return r == 0 ? -ECONNRESET : r;
}

static ssize_t write_pieces(struct rconn *c, struct iovec *iov, unsigned n)
{
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = n};
    ssize_t r = sendmsg(c->fd, &m, MSG_NOSIGNAL);

    return r < 0 ? -errno : r;
}

/* Those of which all bytes are gone are sent; Redis cannot execute the one that is not whole. */
static void note_written(struct rconn *c, size_t n, int64_t now_ms)
{
    struct list_node *l;

    if (list_empty(&c->sent))
        c->heard_ms = c->whole_ms = now_ms;
    c->written += n;
    while ((l = list_first(&c->unsent)) != NULL) {
        struct command *cmd = LIST_ITEM(l, struct command, link);

        if (c->written < size_of(cmd))
            break;
        c->written -= size_of(cmd);
        cmd->sent_ms = now_ms;
        list_remove(l);
        list_push_back(&c->sent, l);
    }
}

void rconn_flush(struct rconn *c, int64_t now_ms)
{
    struct iovec iov[PIECES_MAX];

    if (c->state != CONN_OPEN || c->error || c->wants_write)
        return;
    while (!list_empty(&c->unsent)) {
        unsigned n = gather(c, iov);
        ssize_t r = c->tls ? write_record(c, iov, n) : write_pieces(c, iov, n);

        if (r == -EINTR)
            continue;
        if (r == -EAGAIN) {
            c->wants_write = !c->tls || tls_wants_write(c->tls);
            if (c->wants_write)
                watch_write(c);
            return;
        }
        if (r == -EPROTO)
            rconn_fail(c, -EPROTO, "TLS: the connection was broken");
        else if (r < 0)
            fail_errno(c, (int)-r);
        if (r < 0)
            return;
        note_written(c, (size_t)r, now_ms);
    }
}

/* --------------------------------------------------------------------------------------- reading
 */

static bool is_for_next(struct rconn *c, const redisReply *reply, struct command **ret)
{
    struct list_node *l = list_first(&c->sent);
    struct command *cmd = l ? LIST_ITEM(l, struct command, link) : NULL;

    *ret = NULL;
    if (!cmd || c->o.ops->is_unasked(c->o.ctx, reply))
        return true;
    if (cmd->skip) {
        cmd->skip--;
        return false;
    }
    list_remove(l);
    *ret = cmd;
    return true;
}

static void take_replies(struct rconn *c, int64_t now_ms)
{
    redisReply *reply;
    int r = 0;

    while (!c->error && (r = reply_next(&c->reader, &reply)) > 0) {
        struct command *cmd;

        c->whole_ms = now_ms;
        if (is_for_next(c, reply, &cmd) && !c->o.ops->replied(c->o.ctx, cmd, reply) && !cmd)
            rconn_fail(c, -EPROTO, "it answered what was not asked");
        freeReplyObject(reply);
    }
    if (r < 0)
        rconn_fail(c, r, "what it sent is no reply, or one over %d MiB", REPLY_BYTES_MAX >> 20);
}

static ssize_t read_some(struct rconn *c)
{
    ssize_t r;

    if (c->tls)
        return tls_read(c->tls, c->o.scratch, CONN_SCRATCH);
    r = recv(c->fd, c->o.scratch, CONN_SCRATCH, 0);
    return r < 0 ? -errno : r;
}

/* TLS may have to read before it can write. */
static void was_read(struct rconn *c, ssize_t r)
{
    if (r == -EAGAIN)
        return;
    if (r == 0)
        rconn_fail(c, -ECONNRESET, "the connection was closed by Redis");
    else if (r == -EPROTO)
        rconn_fail(c, -EPROTO, "TLS: the connection was broken");
    else
        fail_errno(c, (int)-r);
}

static void read_all(struct rconn *c, int64_t now_ms)
{
    size_t total = 0;

    c->is_readable = false;
    while (!c->error) {
        ssize_t r = read_some(c);
        int e;

        if (r == -EINTR)
            continue;
        if (r <= 0) {
            was_read(c, r);
            break;
        }
        c->heard_ms = now_ms;
        e = reply_feed(&c->reader, c->o.scratch, (size_t)r);
        if (e < 0)
            rconn_fail(c, e, e == -ENOMEM ? "no memory for a reply" : "a reply over %d MiB",
                       REPLY_BYTES_MAX >> 20);
        take_replies(c, now_ms);
        total += (size_t)r;
        if (!c->tls && (size_t)r < CONN_SCRATCH)
            break;                    /* that was all: saves a call that says so */
        if (total >= CONN_READ_MAX) { /* others have their turn */
            c->is_readable = true;
            c->o.ops->mark(c->o.ctx);
            break;
        }
    }
}

/* ----------------------------------------------------------------------------------------- time */

static int64_t idle_ms(const struct rconn *c)
{
    return c->o.timeout_ms > IDLE_MIN_MS ? c->o.timeout_ms : IDLE_MIN_MS;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* When it is taken for dead; or, with nothing on its way, asked. */
static int64_t clock_due(const struct rconn *c)
{
    struct list_node *l = list_first(&c->sent);
    int64_t since;

    if (c->state != CONN_OPEN)
        return c->begun_ms + c->o.timeout_ms;
    if (rconn_is_idle(c))
        return c->heard_ms + idle_ms(c);
    since = l ? LIST_ITEM(l, struct command, link)->sent_ms : c->heard_ms;
    return sooner(later(since, c->heard_ms) + c->o.timeout_ms,
                  later(since, c->whole_ms) + SLOW_TIMES * c->o.timeout_ms);
}

int64_t rconn_due(const struct rconn *c)
{
    return c->error || c->is_readable || c->is_writable ? 0 : clock_due(c);
}

static void ask_idle(struct rconn *c, int64_t now_ms)
{
    static const char *const ping[] = {"PING"};
    struct command *cmd = command_of(COMMAND_PING, ping, 1);

    if (!cmd) {
        c->heard_ms = now_ms; /* later, then */
        return;
    }
    rconn_send(c, cmd, now_ms);
    rconn_flush(c, now_ms);
}

static void look_at_clock(struct rconn *c, int64_t now_ms)
{
    if (c->error || now_ms < clock_due(c))
        return;
    if (c->state == CONN_RESOLVING)
        rconn_fail(c, -ETIMEDOUT, "the name was not looked up within %lld ms",
                   (long long)c->o.timeout_ms);
    else if (c->state != CONN_OPEN)
        rconn_fail(c, -ETIMEDOUT, "not connected within %lld ms", (long long)c->o.timeout_ms);
    else if (rconn_is_idle(c))
        ask_idle(c, now_ms);
    else
        rconn_fail(c, -ETIMEDOUT, "no answer within %lld ms", (long long)c->o.timeout_ms);
}

/* -------------------------------------------------------------------------------------- its turn
 */

static void work(struct rconn *c, int64_t now_ms)
{
    bool readable = c->is_readable, writable = c->is_writable;

    c->is_writable = false;
    switch (c->state) {
    case CONN_RESOLVING:
        c->is_readable = false;
        if (readable)
            resolved(c);
        break;
    case CONN_CONNECTING:
        if (writable)
            connected(c, now_ms);
        break;
    case CONN_SHAKING:
        c->is_readable = false;
        if (readable || writable)
            shake(c, now_ms);
        break;
    case CONN_OPEN:
        break;
    }
    if (c->state != CONN_OPEN || c->error)
        return;
    if (writable)
        c->wants_write = false;
    if (readable || (c->tls && writable))
        read_all(c, now_ms);
    rconn_flush(c, now_ms);
}

void rconn_run(struct rconn *c, int64_t now_ms)
{
    if (!c->error)
        work(c, now_ms);
    look_at_clock(c, now_ms);
    if (!c->error)
        return;
    close_socket(c);
    c->o.ops->closed(c->o.ctx, c->error, c->text);
}
