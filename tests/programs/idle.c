/* idle: many connections that wait, as most of a broker's connections do.
 *
 *   idle COUNT PREFIX
 *
 * Opens COUNT connections, each subscribed to a topic of its own, PREFIX.NUMBER, and prints "ready"
 * when the broker has answered on all of them. Then it holds them until stdin ends, and fails if
 * the broker has said anything to one of them or closed it. */
#include "tests/programs/peer.h"

static void start(struct peer *p, unsigned i, const char *prefix)
{
    struct said s = {.n = 0};
    char route[64];

    *p = peer_open();
    say_setup(&s);
    (void)snprintf(route, sizeof route, "subscribe/%s.%u", prefix, i);
    say_request(&s, RS_REQUEST_STREAM, 1, 16, route, SLICE(""));
    say_request(&s, RS_REQUEST_RESPONSE, 3, 0, "admin/ping", SLICE(""));
    if (!peer_send(p, s.bytes, s.n))
        die("connection %u: closed at once", i);
}

static void expect_ready(struct peer *p, unsigned i)
{
    struct rs_frame f;

    if (peer_next(p, patience_ms(), &f) != HEARD_FRAME)
        die("connection %u: no answer", i);
    if (f.stream != 3 || f.type != RS_PAYLOAD)
        die("connection %u: %.*s", i, (int)f.data.n, (const char *)f.data.p);
    free(p->in);
    *p = (struct peer){.fd = p->fd};
}

int main(int argc, char **argv)
{
    unsigned count = argc == 3 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    struct peer *peers = calloc(count + 1, sizeof *peers);
    char byte;

    if (count == 0 || !peers)
        die("usage: idle COUNT PREFIX");
    for (unsigned i = 0; i < count; i++)
        start(&peers[i], i, argv[2]);
    for (unsigned i = 0; i < count; i++)
        expect_ready(&peers[i], i);
    (void)puts("ready");
    (void)fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    for (unsigned i = 0; i < count; i++) {
        if (recv(peers[i].fd, &byte, 1, MSG_DONTWAIT) >= 0 || errno != EAGAIN)
            die("connection %u was not left in peace", i);
        peer_close(&peers[i]);
    }
    free(peers);
    return 0;
}
