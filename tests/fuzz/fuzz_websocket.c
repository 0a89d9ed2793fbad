/* Any bytes behind the handshake of a WebSocket, on a real connection with a real core: what comes
 * back are whole frames without a mask, their lengths in the shortest form, text in UTF-8, and
 * nothing behind a close.
 *
 * The first byte says how: its lower three bits the path, bit 3 byte by byte, bit 4 that what
 * follows are no frames but what is to be put into some: {opcode and FIN, length, payload}.. */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "brokerd/net/websocket.h"
#include "libbroker/base/be.h"
#include "libbroker/base/policy.h"
#include "tests/fuzz/fuzz_support.h"

enum { BY_BYTES = 8, FRAMED = 16, HEARD_MAX = 1 << 20 };

static struct workers *workers;
static struct net *net;
static uint8_t heard[HEARD_MAX];
static size_t heard_n;

static void set_up(void)
{
    struct policy_globals globals = {.max_message_bytes = 1 << 20, .create_queues = true};
    struct net_options o = {.max_connections = 10,
                            .first_frame_ms = 1000,
                            .linger_ms = 1000,
                            .websocket_ping_ms = INT64_MAX,
                            .door = {.first_frame_max = 4096,
                                     .frame_max = 8192,
                                     .message_max = 16384,
                                     .reassembly_max = 32768,
                                     .streams_max = 16,
                                     .keepalive_min_ms = 100,
                                     .idle_max_ms = 60000,
                                     .first_frame_ms = 1000,
                                     .http_idle_ms = 60000}};
    struct net_listener_desc d = {.name = "fuzz", .host = "127.0.0.1", .echo = true};
    struct workers_options wo = {.n = 1, .memory = 64 << 20};
    char err[NET_TEXT_MAX];

    log_setup(LEVEL_ERROR, LOG_FORMAT_PLAIN);
    must(policy_set_new(&globals, &wo.policies) == 0);
    must(workers_new(&wo, &workers) == 0 && net_new(workers, &o, &net) == 0);
    must(net_listen(net, &d, err, sizeof err) == 0);
}

/* ---- the other end */

static void listen_to(int fd)
{
    ssize_t n;

    while ((n = recv(fd, heard + heard_n, sizeof heard - heard_n, MSG_DONTWAIT)) > 0)
        heard_n += (size_t)n;
}

static void check_heard(void)
{
    const uint8_t *p = memmem(heard, heard_n, "\r\n\r\n", 4), *end = heard + heard_n;
    bool is_closed = false;

    must(p && memcmp(heard, "HTTP/1.1 101 ", 13) == 0);
    for (p += 4; p < end;) {
        uint8_t opcode = p[0] & 15;
        uint64_t n = end - p > 1 ? p[1] : 0;

        must(!is_closed && end - p >= 2 && (p[0] & 0xf0) == 0x80);
        p += 2;
        if (n == 126) {
            must(end - p >= 2);
            n = be_get_16(p);
            must(n > 125);
            p += 2;
        } else if (n == 127) {
            must(end - p >= 8);
            n = be_get_64(p);
            must(n > UINT16_MAX);
            p += 8;
        }
        must(n <= (uint64_t)(end - p)); /* a mask would make it too long */
        must(opcode != WSLAY_TEXT_FRAME || utf8_valid(slice_of(p, n)));
        is_closed = opcode == WSLAY_CONNECTION_CLOSE;
        must(!is_closed || n == 0 || (n >= 2 && n <= 125 && be_get_16(p) >= 1000));
        p += n;
    }
}

/* ---- a connection */

static struct conn *begin(int fd)
{
    struct accepted a = {.net = net, .fd = fd, .addr = {.ss_family = AF_UNIX}};
    struct net_worker *nw = &net->nw[0];

    (void)workers_place(workers);
    atomic_fetch_add(&net->connections, 1);
    conn_start(nw, &a);
    must(!list_empty(&nw->all));
    return LIST_ITEM(list_first(&nw->all), struct conn, in_all);
}

/* Have it read what was sent; false: it is gone. */
static bool turn(struct conn *c, int peer)
{
    struct net_worker *nw = &net->nw[0];
    struct list_node *l;

    (void)conn_read(c);
    (void)core_tick(worker_core(nw->w));
    while ((l = list_pop(&nw->dirty)) != NULL)
        conn_output(LIST_ITEM(l, struct conn, in_dirty));
    conns_release(nw);
    listen_to(peer);
    return !list_empty(&nw->all);
}

static bool say(struct conn *c, int peer, const uint8_t *p, size_t n, size_t step)
{
    for (size_t at = 0; at < n; at += step) {
        size_t k = n - at < step ? n - at : step;

        if (send(peer, p + at, k, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)k)
            return true; /* it is closing, and does not read */
        if (!turn(c, peer))
            return false;
    }
    return true;
}

/* What is to be said, as frames of a client. */
static size_t put_frames(const uint8_t *p, size_t n, uint8_t *to)
{
    uint8_t *out = to;

    while (n >= 2) {
        size_t k = p[1] % 126 < n - 2 ? p[1] % 126 : n - 2;

        *out++ = p[0] & 0x8f;
        *out++ = (uint8_t)(0x80 | k);
        memset(out, 0, 4); /* a mask that changes nothing */
        memcpy(out + 4, p + 2, k);
        out += 4 + k;
        p += 2 + k;
        n -= 2 + k;
    }
    return (size_t)(out - to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[] = {"ws", "rsocket", "json", "stomp", "echo", "", "ws", "echo"};
    static uint8_t frames[1 << 16];
    char head[512];
    uint8_t how;
    size_t step;
    int fd[2], n;
    struct conn *c;

    if (size < 1 || size > sizeof frames / 4)
        return 0;
    if (!net)
        set_up();
    how = *data++;
    size--;
    heard_n = 0;
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) == 0);
    c = begin(fd[0]);
    n = snprintf(
        head, sizeof head,
        "GET /%s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        paths[how & 7]);
    must(say(c, fd[1], (const uint8_t *)head, (size_t)n, (size_t)n));
    if (how & FRAMED) {
        size = put_frames(data, size, frames);
        data = frames;
    }
    step = how & BY_BYTES ? 1 : size + 1;
    if (say(c, fd[1], data, size, step) && !list_empty(&net->nw[0].all)) {
        (void)turn(c, fd[1]);
        if (!list_empty(&net->nw[0].all)) {
            conn_close(c, NET_END_KILLED, NULL);
            for (int i = 0; i < 3 && turn(c, fd[1]); i++)
                ;
        }
    }
    if (!list_empty(&net->nw[0].all)) {
        conn_kill(c, NET_END_KILLED, NULL);
        conns_release(&net->nw[0]);
    }
    listen_to(fd[1]);
    close(fd[1]);
    check_heard();
    return 0;
}
