/* peer.h - one raw RSocket connection, for programs that must say exactly what they say.
 *
 * Why      libbroker never lies, never stalls and never sends half a frame; these tests do.
 * Shape    A blocking socket. say() gathers frames, peer_send() writes them, peer_next() reads the
 *          next frame with a deadline. Everything that should not happen ends the program with a
 *          line on stderr and 1.
 * Owner    struct peer holds its socket and its buffer; a frame read lives until the next call.
 * Thread   One. */
#ifndef TESTS_PROGRAMS_PEER_H
#define TESTS_PROGRAMS_PEER_H

#include "libbroker/wire/composite.h"
#include "libbroker/wire/rsocket.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PEER_BUFFER = 1 << 20 };

struct peer {
    int fd;
    uint8_t *in; /* NULL until something is read: thousands of peers may be open */
    size_t n, used;
};

/* A frame to be sent: bytes that grow. */
struct said {
    uint8_t bytes[4096];
    size_t n;
};

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    exit(1);
}

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* How long anything may take: sanitizers make everything slower. */
static int patience_ms(void)
{
    const char *san = getenv("SANITIZE");

    return san && *san ? 60000 : 15000;
}

/* Connect to BROKER_URL, tcp://HOST:PORT. */
static struct peer peer_open(void)
{
    const char *url = getenv("BROKER_URL");
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *at;
    struct peer p = {.fd = -1};
    char host[64], port[8];

    if (!url || sscanf(url, "tcp://%63[^:]:%7[0-9]", host, port) != 2)
        die("BROKER_URL is not tcp://HOST:PORT");
    if (getaddrinfo(host, port, &hints, &at) != 0)
        die("no such address: %s", url);
    p.fd = socket(at->ai_family, SOCK_STREAM, 0);
    if (p.fd < 0 || connect(p.fd, at->ai_addr, at->ai_addrlen) < 0)
        die("%s: %s", url, strerror(errno));
    freeaddrinfo(at);
    return p;
}

static void peer_close(struct peer *p)
{
    (void)close(p->fd);
    free(p->in);
    *p = (struct peer){.fd = -1};
}

/* Send `n` bytes; false if the other side has gone. */
static bool peer_send(struct peer *p, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;

    while (n > 0) {
        ssize_t r = send(p->fd, at, n, MSG_NOSIGNAL);

        if (r < 0 && (errno == EPIPE || errno == ECONNRESET))
            return false;
        if (r < 0)
            die("send: %s", strerror(errno));
        at += r;
        n -= (size_t)r;
    }
    return true;
}

/* Add any frame. */
static void say(struct said *s, const struct rs_frame *f)
{
    size_t n = rs_size(f);

    if (n == 0 || n > sizeof s->bytes - s->n)
        die("a frame that cannot be said");
    (void)rs_put(s->bytes + s->n, f);
    s->n += n;
}

/* SETUP with composite metadata and keep-alives so rare that none comes in a test. */
static void say_setup(struct said *s)
{
    say(s, &(struct rs_frame){
               .type = RS_SETUP,
               .setup = {.major = 1,
                         .keepalive_ms = 600000,
                         .lifetime_ms = 600000,
                         .metadata_mime = SLICE("message/x.rsocket.composite-metadata.v0"),
                         .data_mime = SLICE("application/octet-stream")},
           });
}

/* A request with a route; `n` is looked at for streams and channels. */
static void say_request(struct said *s, uint8_t type, uint32_t stream, uint32_t n,
                        const char *route, struct slice data)
{
    uint8_t metadata[300];
    struct slice tag = slice_str(route);

    if (composite_route_size(tag.n) > sizeof metadata)
        die("a route too long: %s", route);
    (void)composite_put_route(metadata, tag);
    say(s, &(struct rs_frame){.type = type,
                              .stream = stream,
                              .number = n,
                              .has_metadata = true,
                              .metadata = slice_of(metadata, composite_route_size(tag.n)),
                              .data = data});
}

enum heard { HEARD_FRAME, HEARD_END, HEARD_NOTHING };

/* The next frame in *ret, waiting up to `timeout_ms`: HEARD_END the broker has closed (or reset),
 * HEARD_NOTHING the time is over. */
static enum heard peer_next(struct peer *p, int timeout_ms, struct rs_frame *ret)
{
    int64_t deadline = now_ms() + timeout_ms;
    const char *why;
    size_t used;

    if (!p->in)
        p->in = malloc(PEER_BUFFER);
    if (!p->in)
        die("no memory");
    memmove(p->in, p->in + p->used, p->n - p->used);
    p->n -= p->used;
    p->used = 0;
    for (;;) {
        struct pollfd ready = {.fd = p->fd, .events = POLLIN};
        int64_t left = deadline - now_ms();
        ssize_t r;

        switch (rs_decode(PEER_BUFFER - RS_TCP_LENGTH, p->in, p->n, ret, &used, &why)) {
        case WIRE_FRAME:
            p->used = used;
            return HEARD_FRAME;
        case WIRE_BAD:
            die("the broker sent a broken frame: %s", why);
        case WIRE_MORE:
            break;
        }
        if (left < 0 || poll(&ready, 1, (int)left) == 0)
            return HEARD_NOTHING;
        r = recv(p->fd, p->in + p->n, PEER_BUFFER - p->n, 0);
        if (r == 0 || (r < 0 && errno == ECONNRESET))
            return HEARD_END;
        if (r < 0)
            die("recv: %s", strerror(errno));
        p->n += (size_t)r;
    }
}

#endif
