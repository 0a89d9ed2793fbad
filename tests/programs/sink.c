/* sink: an HTTP server that takes webhooks as fast as they come, to measure who sends them.
 *
 *   sink
 *
 * Prints its port. A POST to /N (0 to 63) is answered 204 at once and counted there; one to /hang
 * is never answered. GET / tells, a line for each N that was called: N, requests, and when the
 * first and the last came (ns of the monotonic clock). Heads and bodies come whole or in parts;
 * requests are taken as they stand, for this is our own sender. */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PATHS = 64, BUFFER = 64 * 1024, EVENTS = 256 };

struct conn {
    int fd;
    size_t n;
    char buf[BUFFER];
};

static struct {
    uint64_t n, first_ns, last_ns;
} paths[PATHS];

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void say(int fd, const char *text)
{
    if (write(fd, text, strlen(text)) < 0) /* it will be closed */
        return;
}

static void tell(int fd)
{
    char body[PATHS * 80] = "", head[128];
    size_t n = 0;

    for (int i = 0; i < PATHS; i++)
        if (paths[i].n)
            n += (size_t)snprintf(
                body + n, sizeof body - n, "%d %llu %llu %llu\n", i, (unsigned long long)paths[i].n,
                (unsigned long long)paths[i].first_ns, (unsigned long long)paths[i].last_ns);
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
    say(fd, head);
    say(fd, body);
}

static void count(unsigned long path)
{
    if (path >= PATHS)
        return;
    paths[path].last_ns = now_ns();
    if (!paths[path].n++)
        paths[path].first_ns = paths[path].last_ns;
}

/* Take one request off the buffer's front. False: there is no whole one. */
static bool take(struct conn *c)
{
    const char *length, *end;
    size_t used;

    c->buf[c->n] = '\0';
    end = strstr(c->buf, "\r\n\r\n");
    if (!end)
        return false;
    used = (size_t)(end - c->buf) + 4;
    length = strcasestr(c->buf, "\r\ncontent-length:");
    if (length && length < end)
        used += strtoul(length + strlen("\r\ncontent-length:"), NULL, 10);
    if (used > c->n)
        return false;
    if (strncmp(c->buf, "GET ", 4) == 0) {
        tell(c->fd);
    } else if (strncmp(c->buf, "POST /hang", 10) != 0) {
        count(strtoul(c->buf + strlen("POST /"), NULL, 10));
        say(c->fd, "HTTP/1.1 204 No Content\r\n\r\n");
    }
    c->n -= used;
    memmove(c->buf, c->buf + used, c->n);
    return true;
}

static void serve(struct conn *c)
{
    ssize_t got = read(c->fd, c->buf + c->n, sizeof c->buf - 1 - c->n);

    if (got <= 0) {
        close(c->fd);
        free(c);
        return;
    }
    c->n += (size_t)got;
    while (take(c))
        ;
}

static void welcome(int epoll, int listener)
{
    struct conn *c = malloc(sizeof *c);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};

    if (!c)
        abort();
    c->n = 0;
    c->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (c->fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) < 0)
        free(c);
}

int main(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), epoll = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, ready[EVENTS];
    socklen_t n = sizeof at;

    if (bind(listener, (struct sockaddr *)&at, n) < 0 || listen(listener, 4096) < 0 ||
        getsockname(listener, (struct sockaddr *)&at, &n) < 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e) < 0) {
        perror("sink");
        return EXIT_FAILURE;
    }
    printf("%u\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        int k = epoll_wait(epoll, ready, EVENTS, -1);

        for (int i = 0; i < k; i++) {
            if (ready[i].data.ptr)
                serve(ready[i].data.ptr);
            else
                welcome(epoll, listener);
        }
    }
}
