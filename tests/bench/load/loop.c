#include "tests/bench/load/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/load/measure.h"

enum { EVENTS = 256 };

static int set = -1;
static uint8_t input[LOAD_BUFFER];

void loop_init(void)
{
    set = epoll_create1(EPOLL_CLOEXEC);
    if (set < 0)
        die("no epoll: %s", strerror(errno));
    prctl(PR_SET_TIMERSLACK,
          1000UL); /* ns; usual are 50 us, half the time between paced messages */
}

static void control(struct side *s, int what)
{
    struct epoll_event e = {.events = EPOLLIN | (s->want_out ? EPOLLOUT : 0), .data.ptr = s};

    if (epoll_ctl(set, what, s->fd, &e) < 0)
        die("epoll: %s", strerror(errno));
}

static void ended(struct side *s)
{
    if (!s->closed && !s->paused)
        control(s, EPOLL_CTL_DEL);
    s->closed = true;
}

void loop_open(struct side *s, unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&a, sizeof a) < 0)
        die("port %u: %s", port, strerror(errno));
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(s->fd, F_SETFL, O_NONBLOCK);
    control(s, EPOLL_CTL_ADD);
    s->granted = LOAD_CREDIT_FREE;
    s->driver->open(s);
    loop_flush(s);
}

void loop_close(struct side *s)
{
    close(s->fd);
    free(s->kept);
    free(s->out);
    free(s->own);
}

static void want_out(struct side *s, bool want)
{
    if (s->want_out == want || s->closed)
        return;
    s->want_out = want;
    if (!s->paused)
        control(s, EPOLL_CTL_MOD);
}

size_t loop_write(struct side *s, const uint8_t *p, size_t n)
{
    ssize_t w = send(s->fd, p, n, MSG_NOSIGNAL);

    if (w < 0 && errno != EAGAIN && errno != EINTR) {
        ended(s);
        return 0;
    }
    if (w < 0)
        w = 0;
    if ((size_t)w < n)
        want_out(s, true);
    return (size_t)w;
}

void loop_flush(struct side *s)
{
    size_t w;

    if (s->out_n == 0 || s->cut || s->want_out || s->closed)
        return;
    w = loop_write(s, s->out + s->out_at, s->out_n);
    s->out_n -= w;
    s->out_at = s->out_n ? s->out_at + w : 0;
}

static void keep(struct side *s, const uint8_t *p, size_t n)
{
    if (n > s->kept_room) {
        free(s->kept);
        s->kept_room = 2 * n;
        s->kept = malloc(s->kept_room);
        if (!s->kept)
            die("out of memory");
    }
    if (n)
        memcpy(s->kept, p, n);
    s->kept_n = n;
}

static void fill(struct side *s)
{
    size_t n = s->kept_n, used;
    ssize_t r = recv(s->fd, input + n, sizeof input - n, 0);

    if (r < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (r <= 0) {
        ended(s);
        return;
    }
    if (n)
        memcpy(input, s->kept, n);
    n += (size_t)r;
    s->read_ns = ns_now();
    used = s->driver->take(s, input, n);
    if (n - used == sizeof input)
        die("a frame is larger than %zu bytes", sizeof input);
    keep(s, input + used, n - used);
    loop_flush(s);
}

static bool turn(const struct timespec *timeout)
{
    struct epoll_event e[EVENTS];
    int n = epoll_pwait2(set, e, EVENTS, timeout, NULL);

    for (int i = 0; i < n; i++) {
        struct side *s = e[i].data.ptr;

        if (e[i].events & ~(unsigned)EPOLLOUT)
            fill(s);
        if (e[i].events & EPOLLOUT) {
            want_out(s, false);
            loop_flush(s);
        }
    }
    return n > 0;
}

bool loop_turn(int timeout_ms)
{
    struct timespec t = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L};

    return turn(&t);
}

bool loop_turn_until(uint64_t ns)
{
    uint64_t now = ns_now(), left = ns > now ? ns - now : 0;
    struct timespec t = {.tv_sec = (time_t)(left / 1000000000),
                         .tv_nsec = (long)(left % 1000000000)};

    return turn(&t);
}

void loop_ready(struct side *s, double seconds)
{
    double end = seconds_now() + seconds;

    while (!s->ready) {
        if (s->closed)
            die("the broker closed a connection instead of greeting");
        if (seconds_now() > end)
            die("a connection is not ready after %g s", seconds);
        loop_turn(100);
    }
}

void loop_pause(struct side *s)
{
    control(s, EPOLL_CTL_DEL);
    s->paused = true;
}

void loop_resume(struct side *s)
{
    s->paused = false;
    control(s, EPOLL_CTL_ADD);
}
