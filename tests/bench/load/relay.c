/* relay raw | framed: what a broker is measured against. Says "ready PORT" and runs until it is
 * ended.
 *
 *      raw      copies bytes from publishers to subscribers and never looks at them: what the
 *               kernel's loopback allows
 *      framed   the least that a real broker must do, in one thread: read each message's header,
 *               look its topic up, write header and payload into that topic's batch, and send the
 *               batch to every subscriber. No limits, no queues, no credit
 *
 * A connection says with its first byte what it is, 'p' or 's', and gets it back. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libbroker/wire/rsocket.h"

enum {
    PARTIES = 1024,
    READ_SIZE = 256 << 10,
    BATCH = 64 << 10,
    TOPICS = 256 /* a power of two */
};

struct topic {
    uint32_t stream; /* what the header names; 0: a free place */
    size_t n;
    uint8_t *batch; /* BATCH bytes */
};

struct publisher {
    int fd;
    size_t kept; /* bytes of a message that was cut */
    uint8_t *p;  /* READ_SIZE */
};

struct relay {
    bool framed;
    int listener;
    unsigned pubs_n, subs_n;
    struct publisher pubs[PARTIES];
    int subs[PARTIES];
    struct topic topics[TOPICS];
};

static void send_to_all(struct relay *r, const uint8_t *p, size_t n)
{
    for (unsigned i = 0; i < r->subs_n; i++) {
        size_t at = 0;

        while (at < n) {
            ssize_t w = send(r->subs[i], p + at, n - at, MSG_NOSIGNAL);

            if (w <= 0)
                break;
            at += (size_t)w;
        }
        if (at < n) { /* gone */
            close(r->subs[i]);
            r->subs[i--] = r->subs[--r->subs_n];
        }
    }
}

static void flush(struct relay *r, struct topic *t)
{
    send_to_all(r, t->batch, t->n);
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
        if (n - at < one)
            break;
        t = find(r, stream);
        if (t->n + one > BATCH)
            flush(r, t);
        if (one > BATCH) {
            send_to_all(r, p + at, one);
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
static bool take_bytes(struct relay *r, struct publisher *p)
{
    ssize_t got = recv(p->fd, p->p + p->kept, READ_SIZE - p->kept, 0);
    size_t n, used;

    if (got <= 0)
        return false;
    n = p->kept + (size_t)got;
    if (!r->framed) {
        send_to_all(r, p->p, n);
        return true;
    }
    used = take_messages(r, p->p, n);
    p->kept = n - used;
    memmove(p->p, p->p + used, p->kept);
    return true;
}

static void take_party(struct relay *r)
{
    int fd = accept(r->listener, NULL, NULL);
    char who = 0;

    if (fd < 0)
        return;
    if (recv(fd, &who, 1, 0) != 1 || send(fd, &who, 1, MSG_NOSIGNAL) != 1) {
        close(fd);
    } else if (who == 's' && r->subs_n < PARTIES) {
        r->subs[r->subs_n++] = fd;
    } else if (who == 'p' && r->pubs_n < PARTIES) {
        r->pubs[r->pubs_n++] = (struct publisher){fd, 0, malloc(READ_SIZE)};
    } else {
        close(fd);
    }
}

static void turn(struct relay *r)
{
    static struct pollfd p[PARTIES + 1];
    unsigned n = r->pubs_n;

    p[n] = (struct pollfd){.fd = r->listener, .events = POLLIN};
    for (unsigned i = 0; i < n; i++)
        p[i] = (struct pollfd){.fd = r->pubs[i].fd, .events = POLLIN};
    if (poll(p, n + 1, -1) <= 0)
        return;
    for (unsigned i = n; i-- > 0;) {
        if (p[i].revents && !take_bytes(r, &r->pubs[i])) {
            close(r->pubs[i].fd);
            free(r->pubs[i].p);
            r->pubs[i] = r->pubs[--r->pubs_n];
        }
    }
    if (p[n].revents)
        take_party(r);
}

int main(int argc, char **argv)
{
    static struct relay r;
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t n = sizeof a;

    if (argc != 2 || (strcmp(argv[1], "raw") != 0 && strcmp(argv[1], "framed") != 0)) {
        fputs("usage: relay raw | framed\n", stderr);
        return 2;
    }
    r.framed = strcmp(argv[1], "framed") == 0;
    r.listener = socket(AF_INET, SOCK_STREAM, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (r.listener < 0 || bind(r.listener, (struct sockaddr *)&a, sizeof a) < 0 ||
        listen(r.listener, 64) < 0 || getsockname(r.listener, (struct sockaddr *)&a, &n) < 0) {
        perror("relay");
        return 1;
    }
    printf("ready %u\n", ntohs(a.sin_port));
    fflush(stdout);
    for (;;)
        turn(&r);
}
