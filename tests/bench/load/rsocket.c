/* The drivers of brokerd's native protocol, and of the relays, which carry its frames bare. */
#include "tests/bench/load/first.h"

#include <string.h>

#include "libbroker/wire/composite.h"
#include "libbroker/wire/rsocket.h"

enum { STREAM = 1, PING_STREAM = 3, GREETING_MAX = 1024 };

static size_t put_setup(uint8_t *to)
{
    struct rs_frame f = {.type = RS_SETUP};

    f.setup.major = 1;
    f.setup.keepalive_ms = 20000;
    f.setup.lifetime_ms = 600000; /* longer than any run: the generator sends no keep-alive */
    f.setup.metadata_mime = SLICE("message/x.rsocket.composite-metadata.v0");
    f.setup.data_mime = SLICE("application/octet-stream");
    return (size_t)(rs_put(to, &f) - to);
}

static size_t put_request(uint8_t *to, uint32_t stream, uint8_t type, const char *route,
                          struct slice data)
{
    uint8_t metadata[300];
    uint8_t *end = composite_put_route(metadata, slice_str(route));
    struct rs_frame f = {.stream = stream,
                         .type = type,
                         .number = RS_N_MAX,
                         .has_metadata = true,
                         .metadata = slice_of(metadata, (size_t)(end - metadata)),
                         .data = data};

    return (size_t)(rs_put(to, &f) - to);
}

/* The first whole frame, decoded; false if there is none yet. */
static bool frame(struct side *s, size_t at, struct rs_frame *ret, size_t *ret_used)
{
    const char *why;
    enum wire_status got = rs_decode(RS_FRAME_MAX, s->p + at, s->n - at, ret, ret_used, &why);

    if (got == WIRE_BAD)
        die("a bad frame: %s", why);
    if (got == WIRE_FRAME && ret->type == RS_ERROR)
        die("the broker says: %.*s", (int)ret->data.n, (const char *)ret->data.p);
    return got == WIRE_FRAME;
}

static void rsocket_subscribe(struct side *s)
{
    uint8_t buf[GREETING_MAX];
    struct rs_frame f;
    size_t used, n = put_setup(buf);

    n += put_request(buf + n, STREAM, RS_REQUEST_STREAM, "subscribe/bench", slice_of(NULL, 0));
    n += put_request(buf + n, PING_STREAM, RS_REQUEST_RESPONSE, "admin/ping", slice_of(NULL, 0));
    side_send(s, buf, n);
    while (!frame(s, 0, &f, &used))
        side_fill(s);
    if (f.stream != PING_STREAM)
        die("something came before the answer to the ping");
    side_use(s, used);
}

static unsigned rsocket_publish(struct side *s, size_t size)
{
    static uint8_t buf[GREETING_MAX + LOAD_PAYLOAD_MAX], payload[LOAD_PAYLOAD_MAX];
    size_t n = put_setup(buf);

    n += put_request(buf + n, STREAM, RS_REQUEST_CHANNEL, "publish/bench", slice_of(payload, size));
    side_send(s, buf, n);
    return 1;
}

static size_t rsocket_message(uint8_t *to, size_t size)
{
    uint8_t *p = rs_put_payload_head(to, STREAM, RS_NEXT, size);

    memset(p, 'x', size);
    return (size_t)(p - to) + size;
}

static uint64_t rsocket_count(struct side *s, size_t size)
{
    size_t at = 0, one = RS_PAYLOAD_HEAD_SIZE + size;
    uint64_t n = 0;

    /* Shape and length of each are looked at, the bytes of the payload are not. */
    for (; s->n - at >= one; at += one, n++)
        if (be_get_24(s->p + at) + (size_t)RS_TCP_LENGTH != one ||
            be_get_16(s->p + at + 7) != RS_PLAIN_PAYLOAD)
            die("the subscriber got something that is not a message of %zu bytes", size);
    side_use(s, at);
    return n;
}

static uint64_t rsocket_answers(struct side *s)
{
    uint64_t credit = 0;
    size_t at = 0, used;
    struct rs_frame f;

    for (; frame(s, at, &f, &used); at += used)
        if (f.type == RS_REQUEST_N)
            credit += f.number;
    side_use(s, at);
    return credit;
}

const struct driver rsocket_driver = {
    .name = "rsocket",
    .subscribe = rsocket_subscribe,
    .publish = rsocket_publish,
    .credit = 1, /* what comes with the request; the rest is granted */
    .message = rsocket_message,
    .count = rsocket_count,
    .answers = rsocket_answers,
};

/* A relay is told by one byte who we are, and sends it back. */
static void relay_greet(struct side *s, char who)
{
    side_send(s, &who, 1);
    side_fill(s);
    if (s->n != 1 || s->p[0] != (uint8_t)who)
        die("this is not a relay");
    side_use(s, 1);
}

static void relay_subscribe(struct side *s)
{
    relay_greet(s, 's');
}

static unsigned relay_publish(struct side *s, size_t size)
{
    (void)size;
    relay_greet(s, 'p');
    return 0;
}

const struct driver relay_driver = {
    .name = "relay",
    .subscribe = relay_subscribe,
    .publish = relay_publish,
    .credit = LOAD_CREDIT_FREE,
    .message = rsocket_message,
    .count = rsocket_count,
    .answers = rsocket_answers,
};
