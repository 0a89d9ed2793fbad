#include "tests/bench/load/one_to_one.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WINDOW_MESSAGES = 32768,
    WINDOW_BYTES = 8 << 20,
    TURNS = 16 /* between two looks at the clock */
};

static const double warm_up_s = 0.3, drain_s = 2.0;

struct load {
    const struct driver *d;
    size_t size;
    struct side pub, sub;
    uint64_t window;
    uint64_t greeted; /* messages sent with the greeting */
    uint64_t granted; /* the broker has allowed so many in all */
    uint64_t written; /* bytes of messages after the greeting */
    uint64_t got;     /* messages that came */
    uint8_t *batch;   /* whole messages, written again and again */
    size_t batch_n, one;
};

/* Messages begun: the last one may still be cut. */
static uint64_t sent(const struct load *l)
{
    return l->greeted + (l->written + l->one - 1) / l->one;
}

/* Bytes that may be written now: whole messages within window and credit, and the rest of one
 * that was cut. */
static size_t may_write(const struct load *l)
{
    uint64_t most = l->got + l->window, upto, left;

    if (most > l->granted)
        most = l->granted;
    upto = sent(l) > most ? sent(l) : most;
    left = (upto - l->greeted) * l->one - l->written;
    return left < l->batch_n ? (size_t)left : l->batch_n;
}

static void write_some(struct load *l)
{
    size_t at = l->written % l->batch_n, n = may_write(l);
    ssize_t w;

    if (n > l->batch_n - at)
        n = l->batch_n - at;
    if (n == 0)
        return;
    w = write(l->pub.fd, l->batch + at, n);
    if (w < 0 && errno != EAGAIN && errno != EINTR)
        die("the publisher cannot write: %s", strerror(errno));
    if (w > 0)
        l->written += (uint64_t)w;
}

static void turn(struct load *l, int timeout_ms)
{
    struct pollfd p[2] = {{.fd = l->sub.fd, .events = POLLIN}, {.fd = l->pub.fd, .events = POLLIN}};

    if (may_write(l))
        p[1].events |= POLLOUT;
    if (poll(p, 2, timeout_ms) <= 0)
        return;
    if (p[0].revents && side_fill(&l->sub))
        l->got += l->d->count(&l->sub, l->size);
    if ((p[1].revents & ~POLLOUT) && side_fill(&l->pub))
        l->granted += l->d->answers(&l->pub);
    if (p[1].revents & POLLOUT)
        write_some(l);
}

static void run_for(struct load *l, double seconds)
{
    double end = seconds_now() + seconds;

    do {
        for (int i = 0; i < TURNS; i++)
            turn(l, 10);
    } while (seconds_now() < end);
}

/* No more is sent: what is on its way must still arrive. */
static void drain(struct load *l)
{
    double end = seconds_now() + drain_s;

    l->window = 0;
    while (l->got < sent(l) && seconds_now() < end)
        turn(l, 100);
}

static void build_batch(struct load *l)
{
    l->batch = malloc(LOAD_BUFFER);
    if (!l->batch)
        die("out of memory");
    l->one = l->d->message(l->batch, l->size);
    for (l->batch_n = l->one; l->batch_n < LOAD_BUFFER / 2;)
        l->batch_n += l->d->message(l->batch + l->batch_n, l->size);
}

void one_to_one(const struct task *t, struct result *ret)
{
    struct load l = {.d = t->driver, .size = t->size, .window = WINDOW_BYTES / t->size};
    uint64_t got;

    if (l.window > WINDOW_MESSAGES)
        l.window = WINDOW_MESSAGES;
    build_batch(&l);
    l.sub = side_open(t->port);
    l.d->subscribe(&l.sub);
    l.pub = side_open(t->port);
    l.greeted = l.d->publish(&l.pub, l.size);
    l.granted = (uint64_t)l.d->credit;
    fcntl(l.sub.fd, F_SETFL, O_NONBLOCK);
    fcntl(l.pub.fd, F_SETFL, O_NONBLOCK);
    run_for(&l, warm_up_s);
    got = l.got;
    ret->before = usage_now(t->pid);
    run_for(&l, t->seconds);
    ret->after = usage_now(t->pid);
    ret->delivered = l.got - got;
    drain(&l);
    ret->lost = (int64_t)(sent(&l) - l.got);
    close(l.pub.fd);
    close(l.sub.fd);
    free(l.pub.p);
    free(l.sub.p);
    free(l.batch);
}
