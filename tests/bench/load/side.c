#include "tests/bench/load/first.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

_Noreturn void die(const char *format, ...)
{
    va_list ap;

    fputs("load: ", stderr);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

struct side side_open(unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct side s = {.fd = socket(AF_INET, SOCK_STREAM, 0), .p = malloc(LOAD_BUFFER)};
    int one = 1;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!s.p || s.fd < 0 || connect(s.fd, (struct sockaddr *)&a, sizeof a) < 0)
        die("port %u: %s", port, strerror(errno));
    setsockopt(s.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return s;
}

void side_send(struct side *s, const void *p, size_t n)
{
    const uint8_t *at = p;

    while (n) {
        ssize_t w = send(s->fd, at, n, MSG_NOSIGNAL);

        if (w <= 0)
            die("cannot write: %s", strerror(errno));
        at += w;
        n -= (size_t)w;
    }
}

bool side_fill(struct side *s)
{
    ssize_t r = read(s->fd, s->p + s->n, LOAD_BUFFER - s->n);

    if (r < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (r < 0)
        die("cannot read: %s", strerror(errno));
    if (r == 0)
        die("the broker closed the connection");
    s->n += (size_t)r;
    return true;
}

void side_use(struct side *s, size_t n)
{
    s->n -= n;
    if (n && s->n)
        memmove(s->p, s->p + n, s->n);
}
