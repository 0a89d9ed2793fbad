/* relay raw | framed: what a broker is measured against. Says "ready PORT" and runs until it is
 * ended.
 *
 *      raw      copies bytes from publishers to subscribers and never looks at them: what the
 *               kernel's loopback allows
 *      framed   the least that a real broker must do, in one thread: read each message's header,
 *               look its topic up, write header and payload into that topic's batch, and send the
 *               batch to every subscriber. No limits, no queues, no credit
 *
 * relay.h says how a connection is greeted. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libbroker/wire/rsocket.h"
#include "tests/bench/load/relay.h"

enum {
    SUBSCRIBERS = 4096, /* of one topic */
    READ_SIZE = 256 << 10,
    BATCH = 64 << 10,
    TOPICS = 256, /* places for them, a power of two */
    EVENTS = 64
};

struct topic {
    uint32_t stream; /* what the header names, the topic's number + 1; 0: a free place */
    size_t n;
    uint8_t *batch; /* BATCH bytes */
};

struct party {
    int fd;
    uint64_t wants; /* topics, a bit each */
    uint8_t topic;  /* that it publishes to, or RELAY_NONE */
    size_t kept;    /* bytes of a message that was cut */
    uint8_t *p;     /* READ_SIZE */
};

struct relay {
    bool framed;
    int listener, set;
    unsigned subs_n[RELAY_TOPICS];
    int subs[RELAY_TOPICS][SUBSCRIBERS];
    struct topic topics[TOPICS];
};

/* To all that want the topic. Who is gone is found when it is read from. */
static void send_to_all(struct relay *r, unsigned topic, const uint8_t *p, size_t n)
{
    for (unsigned i = 0; i < r->subs_n[topic]; i++)
        for (size_t at = 0; at < n;) {
            ssize_t w = send(r->subs[topic][i], p + at, n - at, MSG_NOSIGNAL);

            if (w <= 0)
                break;
            at += (size_t)w;
        }
}

static void flush(struct relay *r, struct topic *t)
{
    send_to_all(r, t->stream - 1, t->batch, t->n);
    t->n = 0;
}

static struct topic *find(struct relay *r, uint32_t stream)
{
    for (uint32_t at = stream * UINT32_C(2654435769);; at++) {
        struct topic *t = &r->topics[at & (TOPICS - 1)];

        if (t->stream == stream)
            return t;
        if (t->stream == 0) {
            t->stream = stream;
            t->batch = malloc(BATCH);
            return t;
        }
    }
}

/* Whole messages into the batches of their topics; returns the bytes of them. */
static size_t take_messages(struct relay *r, const uint8_t *p, size_t n)
{
    size_t at = 0, one;
    uint32_t len, stream;
    uint16_t word;

    while (rs_peek(p + at, n - at, &len, &stream, &word)) {
        struct topic *t;

        one = RS_TCP_LENGTH + len;
        if (stream - 1 >= RELAY_TOPICS)
            return n;
        if (n - at < one)
            break;
        t = find(r, stream);
        if (t->n + one > BATCH)
            flush(r, t);
        if (one > BATCH) {
            send_to_all(r, stream - 1, p + at, one);
        } else {
            uint8_t *to = t->batch + t->n;

            to = rs_put_payload_head(to, stream, RS_NEXT, len - RS_HEADER);
            memcpy(to, p + at + RS_PAYLOAD_HEAD_SIZE, len - RS_HEADER);
            t->n += one;
        }
        at += one;
    }
    for (unsigned i = 0; i < TOPICS; i++)
        if (r->topics[i].n)
            flush(r, &r->topics[i]);
    return at;
}

/* False if it is gone. */
static bool take_bytes(struct relay *r, struct party *p)
{
    ssize_t got = recv(p->fd, p->p + p->kept, READ_SIZE - p->kept, 0);
    size_t n, used;

    if (got <= 0 || p->topic == RELAY_NONE)
        return false;
    n = p->kept + (size_t)got;
    if (!r->framed) {
        send_to_all(r, p->topic, p->p, n);
        return true;
    }
    used = take_messages(r, p->p, n);
    p->kept = n - used;
    memmove(p->p, p->p + used, p->kept);
    return true;
}

static bool greet(struct party *p)
{
    uint8_t greeting[RELAY_GREETING];

    if (recv(p->fd, greeting, sizeof greeting, MSG_WAITALL) != sizeof greeting)
        return false;
    p->wants = be_get_64(greeting);
    p->topic = greeting[sizeof greeting - 1];
    return p->topic < RELAY_TOPICS || p->topic == RELAY_NONE;
}

static void add_party(struct relay *r)
{
    struct party *p = calloc(1, sizeof *p);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
    int one = 1;

    p->fd = accept(r->listener, NULL, NULL);
    p->p = malloc(READ_SIZE);
    if (!greet(p)) {
        close(p->fd);
        free(p->p);
        free(p);
        return;
    }
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_ctl(r->set, EPOLL_CTL_ADD, p->fd, &e);
    for (unsigned t = 0; t < RELAY_TOPICS; t++)
        if (p->wants >> t & 1 && r->subs_n[t] < SUBSCRIBERS)
            r->subs[t][r->subs_n[t]++] = p->fd;
    send(p->fd, "r", 1, MSG_NOSIGNAL);
}

static void drop_party(struct relay *r, struct party *p)
{
    for (unsigned t = 0; t < RELAY_TOPICS; t++)
        for (unsigned i = 0; i < r->subs_n[t]; i++)
            if (r->subs[t][i] == p->fd)
                r->subs[t][i--] = r->subs[t][--r->subs_n[t]];
    close(p->fd);
    free(p->p);
    free(p);
}

static void turn(struct relay *r)
{
    struct epoll_event e[EVENTS];
    int n = epoll_wait(r->set, e, EVENTS, -1);

    for (int i = 0; i < n; i++) {
        struct party *p = e[i].data.ptr;

        if (!p)
            add_party(r);
        else if (!take_bytes(r, p))
            drop_party(r, p);
    }
}

int main(int argc, char **argv)
{
    static struct relay r;
    struct sockaddr_in a = {.sin_family = AF_INET};
    struct epoll_event e = {.events = EPOLLIN}; /* of the listener: no party */
    socklen_t n = sizeof a;

    if (argc != 2 || (strcmp(argv[1], "raw") != 0 && strcmp(argv[1], "framed") != 0)) {
        fputs("usage: relay raw | framed\n", stderr);
        return 2;
    }
    r.framed = strcmp(argv[1], "framed") == 0;
    r.listener = socket(AF_INET, SOCK_STREAM, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (r.listener < 0 || bind(r.listener, (struct sockaddr *)&a, sizeof a) < 0 ||
        listen(r.listener, 1024) < 0 || getsockname(r.listener, (struct sockaddr *)&a, &n) < 0 ||
        (r.set = epoll_create1(0)) < 0 || epoll_ctl(r.set, EPOLL_CTL_ADD, r.listener, &e) < 0) {
        perror("relay");
        return 1;
    }
    printf("ready %u\n", ntohs(a.sin_port));
    fflush(stdout);
    for (;;)
        turn(&r);
}
