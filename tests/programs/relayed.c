/* relayed: calls between raw RSocket connections through the broker at BROKER_URL: what passes,
 * what neither side may send, a server that reads nothing and goes. Prints a line for each. */
#include "tests/programs/peer.h"

enum { PART = 3000 };

static struct peer open_peer(const char *serve)
{
    struct peer p = peer_open();
    struct said s = {.n = 0};
    struct rs_frame f;

    say_setup(&s);
    if (serve)
        say_request(&s, RS_REQUEST_RESPONSE, 1, 0, serve, SLICE(""));
    if (!peer_send(&p, s.bytes, s.n))
        die("the broker has gone");
    if (serve && (peer_next(&p, patience_ms(), &f) != HEARD_FRAME || f.type != RS_PAYLOAD ||
                  f.stream != 1 || f.data.n != 0))
        die("serve was not answered");
    return p;
}

static void send_frame(struct peer *p, const struct rs_frame *f)
{
    struct said s = {.n = 0};

    say(&s, f);
    if (!peer_send(p, s.bytes, s.n))
        die("the broker has gone");
}

static void request(struct peer *p, uint8_t type, uint32_t id, uint32_t n, const char *route,
                    const char *data)
{
    struct said s = {.n = 0};

    say_request(&s, type, id, n, route, slice_str(data));
    if (!peer_send(p, s.bytes, s.n))
        die("the broker has gone");
}

static void payload(struct peer *p, uint32_t id, uint16_t flags, const char *data)
{
    send_frame(p, &(struct rs_frame){
                      .type = RS_PAYLOAD, .stream = id, .flags = flags, .data = slice_str(data)});
}

static void ask_for(struct peer *p, uint32_t id, uint32_t n)
{
    send_frame(p, &(struct rs_frame){.type = RS_REQUEST_N, .stream = id, .number = n});
}

/* The next frame must be this; `number`: of REQUEST_N, ERROR, requests. */
static struct rs_frame expect(struct peer *p, uint8_t type, uint32_t id, uint32_t number,
                              const char *data)
{
    struct rs_frame f;

    if (peer_next(p, patience_ms(), &f) != HEARD_FRAME)
        die("no frame of type %d on stream %u", type, id);
    if (f.type != type || f.stream != id || f.number != number)
        die("type %d on %u (%u), not %d on %u (%u): %.*s", f.type, f.stream, f.number, type, id,
            number, (int)f.data.n, (const char *)f.data.p);
    if (!slice_starts(f.data, slice_str(data)))
        die("'%.*s', not '%s'", (int)f.data.n, (const char *)f.data.p, data);
    return f;
}

/* A barrier: all sent before has been looked at. */
static void ping(struct peer *p, uint32_t id)
{
    request(p, RS_REQUEST_RESPONSE, id, 0, "admin/ping", "");
    (void)expect(p, RS_PAYLOAD, id, 0, "");
}

static void channel(void)
{
    struct peer server = open_peer("serve/raw"), caller = open_peer(NULL);
    struct rs_frame f;
    uint8_t route[64];
    size_t n = (size_t)(composite_put_route(route, SLICE("call/raw/m/n")) - route);

    request(&caller, RS_REQUEST_CHANNEL, 1, 2, "call/raw/m/n", "first");
    f = expect(&server, RS_REQUEST_CHANNEL, 2, 2, "first");
    if (f.metadata.n != n || memcmp(f.metadata.p, route, n) != 0)
        die("other metadata than the caller's");
    ask_for(&server, 2, 2);
    (void)expect(&caller, RS_REQUEST_N, 1, 2, "");
    payload(&caller, 1, RS_NEXT | RS_FOLLOWS, "on");
    payload(&caller, 1, RS_NEXT, "e");
    payload(&caller, 1, RS_NEXT, "two");
    (void)expect(&server, RS_PAYLOAD, 2, 0, "one");
    (void)expect(&server, RS_PAYLOAD, 2, 0, "two");
    payload(&server, 2, RS_NEXT, "down");
    payload(&server, 2, RS_COMPLETE, "");
    f = expect(&caller, RS_PAYLOAD, 1, 0, "down");
    f = expect(&caller, RS_PAYLOAD, 1, 0, "");
    if (!(f.flags & RS_COMPLETE))
        die("not completed");
    payload(&caller, 1, RS_NEXT, "three"); /* beyond the server's credit */
    (void)expect(&caller, RS_ERROR, 1, RS_INVALID, "invalid: a payload beyond the credit");
    (void)expect(&server, RS_CANCEL, 2, 0, "");
    ping(&caller, 3);
    ping(&server, 3);
    peer_close(&caller);
    peer_close(&server);
    puts("channel");
}

static void beyond_credit(void)
{
    struct peer server = open_peer("serve/raw"), caller = open_peer(NULL);

    request(&caller, RS_REQUEST_STREAM, 1, 1, "call/raw/s", "");
    (void)expect(&server, RS_REQUEST_STREAM, 2, 1, "");
    payload(&server, 2, RS_NEXT, "one");
    payload(&server, 2, RS_NEXT, "two");
    (void)expect(&caller, RS_PAYLOAD, 1, 0, "one");
    (void)expect(&caller, RS_ERROR, 1, RS_CANCELED, "invalid: a payload beyond the credit");
    (void)expect(&server, RS_CANCEL, 2, 0, "");
    /* Errors are the server's own, whatever their number. */
    request(&caller, RS_REQUEST_RESPONSE, 3, 0, "call/raw/s", "");
    (void)expect(&server, RS_REQUEST_RESPONSE, 4, 0, "");
    send_frame(&server, &(struct rs_frame){
                            .type = RS_ERROR, .stream = 4, .number = 0x31415, .data = SLICE("pi")});
    (void)expect(&caller, RS_ERROR, 3, 0x31415, "pi");
    peer_close(&caller);
    peer_close(&server);
    puts("beyond credit");
}

static void nonsense(void)
{
    struct peer server = open_peer("serve/raw");

    for (uint32_t id = 2; id < 12; id += 2) { /* streams that nobody opened */
        payload(&server, id, RS_NEXT, "x");
        payload(&server, id, RS_NEXT | RS_FOLLOWS, "x");
        ask_for(&server, id, 7);
        send_frame(&server, &(struct rs_frame){.type = RS_CANCEL, .stream = id});
        send_frame(&server, &(struct rs_frame){.type = RS_ERROR, .stream = id, .number = 0x201});
    }
    ping(&server, 3);
    request(&server, RS_REQUEST_RESPONSE, 2, 0, "call/raw/x", ""); /* an id of ours: once */
    ping(&server, 5);
    request(&server, RS_REQUEST_RESPONSE, 4, 0, "call/raw/x", "");
    (void)expect(&server, RS_ERROR, 0, RS_CONNECTION_ERROR, "the requests of a client have odd");
    peer_close(&server);
    puts("nonsense");
}

static bool refused(const struct rs_frame *f, const char *word)
{
    return f->type == RS_ERROR && f->number == RS_REJECTED && f->data.n >= strlen(word) &&
           slice_starts(f->data, slice_str(word));
}

/* A server that reads nothing is not sent more and more; and when it goes, each call is told
 * whether it may have been seen. */
static void deaf_server(void)
{
    struct peer server = open_peer("serve/deaf"), caller = open_peer(NULL);
    static char part[PART + 1];
    unsigned opened = 0, gone = 0, unseen = 0, seen = 0;
    struct rs_frame f;
    bool full = false;

    memset(part, 'x', PART);
    while (!full && opened < 9000) {
        for (unsigned i = 0; i < 50; i++)
            request(&caller, RS_REQUEST_RESPONSE, 2 * opened++ + 1, 0, "call/deaf/x", part);
        while (peer_next(&caller, 0, &f) == HEARD_FRAME) {
            full |= refused(&f, "full:");
            if (!refused(&f, "full:") && !refused(&f, "limit: too many calls are on their way"))
                die("type %d, code %u: %.*s", f.type, f.number, (int)f.data.n,
                    (const char *)f.data.p);
            gone++;
        }
    }
    if (!full)
        die("%u calls of %d bytes wait for a server that does not read", opened, PART);
    (void)shutdown(server.fd, SHUT_RDWR);
    peer_close(&server);
    while (unseen + seen + gone < opened) {
        if (peer_next(&caller, patience_ms(), &f) != HEARD_FRAME)
            die("%u of %u calls were not told", opened - unseen - seen - gone, opened);
        gone += refused(&f, "full:") || refused(&f, "limit:");
        unseen += refused(&f, "no-server:");
        seen += f.type == RS_ERROR && f.number == RS_CANCELED;
    }
    if (!unseen || !seen)
        die("%u calls unseen, %u seen", unseen, seen);
    peer_close(&caller);
    puts("deaf server");
}

int main(void)
{
    channel();
    beyond_credit();
    nonsense();
    deaf_server();
    return 0;
}
