/* hostile: peers that send what they must not, and what the broker says to that.
 *
 *   hostile                  every case below, one connection each; fails at the first whose answer
 *                            is not as it should be
 *   hostile noise COUNT      COUNT connections with random bytes, some of them behind a good SETUP
 *   hostile setups COUNT     COUNT connections that come, send SETUP and go at once
 *   hostile deaf TOPIC       subscribes with endless credit and never reads; ends with stdin
 *   hostile endless          a first frame that comes byte by byte and has no end; prints "closed"
 *                            when the broker has had enough
 *
 * A case is bytes to be sent and the answer: an ERROR on stream 0 and the end of the connection, an
 * ERROR on one stream and a connection that lives on, or nothing at all. */
#include "tests/programs/peer.h"

#include "libbroker/base/be.h"

enum answer {
    ENDS,      /* ERROR on stream 0 with this code, or none where code is 0; then the end */
    ENDS_ONE,  /* ERROR with this code on stream 1; the connection lives */
    IS_IGNORED /* nothing; the connection lives */
};

struct hostile {
    const char *name;
    void (*say)(struct said *s);
    enum answer answer;
    uint32_t code;
    bool leaves; /* closes its side after it: half a frame is all there will ever be */
};

static void raw(struct said *s, const void *bytes, size_t n)
{
    memcpy(s->bytes + s->n, bytes, n);
    s->n += n;
}

#define RAW(s, ...) raw((s), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* ------------------------------------------------------------------------ before the handshake */

static void say_other_first(struct said *s)
{
    say_request(s, RS_REQUEST_STREAM, 1, 1, "subscribe/a", SLICE(""));
}

static void say_setup_on_stream(struct said *s)
{
    say_setup(s);
    s->bytes[6] = 1; /* the last byte of the stream id */
}

static void say_setup_of_another_version(struct said *s)
{
    say_setup(s);
    s->bytes[10] = 2; /* major version */
}

static void say_setup_without_keepalive(struct said *s)
{
    say_setup(s);
    memset(s->bytes + 13, 0, 4);
}

static void say_setup_cut_short(struct said *s)
{
    RAW(s, 0, 0, 10, 0, 0, 0, 0, 0x04, 0, 0, 1, 0, 0);
}

static void say_setup_with_a_long_type(struct said *s)
{
    say_setup(s);
    s->bytes[21] = 255; /* length of the metadata's type: beyond the frame */
}

static void say_setup_that_is_huge(struct said *s)
{
    say_setup(s);
    (void)be_put_24(s->bytes, 0xffffff);
}

static void say_resume(struct said *s)
{
    say(s,
        &(struct rs_frame){.type = RS_RESUME, .setup = {.major = 1, .token = SLICE("somewhere")}});
}

/* -------------------------------------------------------------------------------- after it */

static void say_length_zero(struct said *s)
{
    say_setup(s);
    RAW(s, 0, 0, 0);
}

static void say_length_too_short(struct said *s)
{
    say_setup(s);
    RAW(s, 0, 0, 5, 0, 0, 0, 1, 0x10);
}

static void say_length_too_large(struct said *s)
{
    say_setup(s);
    RAW(s, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0x10, 0);
}

static void say_metadata_too_long(struct said *s)
{
    say_setup(s);
    RAW(s, 0, 0, 12, 0, 0, 0, 1, 0x11, 0, 0, 1, 0, 'a', 'b', 'c');
}

static void say_unknown_type(struct said *s)
{
    say_setup(s);
    RAW(s, 0, 0, 6, 0, 0, 0, 1, 0x78, 0);
}

static void say_unknown_type_to_ignore(struct said *s)
{
    say_setup(s);
    RAW(s, 0, 0, 6, 0, 0, 0, 1, 0x7a, 0);
}

static void say_even_stream(struct said *s)
{
    say_setup(s);
    say_request(s, RS_REQUEST_STREAM, 2, 1, "subscribe/a", SLICE("")); /* once is forgiven */
    say_request(s, RS_REQUEST_STREAM, 4, 1, "subscribe/a", SLICE(""));
}

static void say_request_on_stream_zero(struct said *s)
{
    say_setup(s);
    say_request(s, RS_REQUEST_STREAM, 0, 1, "subscribe/a", SLICE(""));
    say_request(s, RS_REQUEST_STREAM, 0, 1, "subscribe/a", SLICE(""));
}

static void say_payload_of_no_stream(struct said *s)
{
    say_setup(s);
    say(s,
        &(struct rs_frame){.type = RS_PAYLOAD, .stream = 77, .flags = RS_NEXT, .data = SLICE("x")});
    say(s, &(struct rs_frame){.type = RS_CANCEL, .stream = 99});
    say(s, &(struct rs_frame){.type = RS_REQUEST_N, .stream = 101, .number = 3});
}

static void say_setup_twice(struct said *s)
{
    say_setup(s);
    say_setup(s);
}

static void say_half_a_frame(struct said *s)
{
    say_setup(s);
    RAW(s, 0, 1, 0, 0, 0, 0, 1, 0x10, 0, 'a', 'b');
}

static void say_no_route(struct said *s)
{
    say_setup(s);
    say(s, &(struct rs_frame){.type = RS_REQUEST_RESPONSE, .stream = 1, .data = SLICE("x")});
}

static void say_wrong_route(struct said *s)
{
    say_setup(s);
    say_request(s, RS_REQUEST_RESPONSE, 1, 0, "publsh/a", SLICE(""));
}

static void say_wrong_filter(struct said *s)
{
    say_setup(s);
    say_request(s, RS_REQUEST_STREAM, 1, 1, "subscribe/a.#.b", SLICE(""));
}

static void say_reserved_topic(struct said *s)
{
    say_setup(s);
    say_request(s, RS_REQUEST_RESPONSE, 1, 0, "publish/$SYS.mine", SLICE(""));
}

static void say_wrong_metadata(struct said *s)
{
    say_setup(s);
    say(s, &(struct rs_frame){.type = RS_REQUEST_RESPONSE,
                              .stream = 1,
                              .has_metadata = true,
                              .metadata = SLICE("\xfe\xff\xff\xff")});
}

static void say_credit_of_zero(struct said *s)
{
    size_t at;

    say_setup(s);
    at = s->n + RS_HEAD_SIZE;
    say_request(s, RS_REQUEST_STREAM, 1, 1, "subscribe/a", SLICE(""));
    (void)be_put_32(s->bytes + at, 0);
}

static void say_verb_for_nothing(struct said *s)
{
    static const uint8_t ack[] = {1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0};

    say_setup(s);
    say_request(s, RS_REQUEST_CHANNEL, 1, 1, "consume/work", slice_of(ack, sizeof ack));
}

/* ------------------------------------------------------------------------------------ cases */

static const struct hostile cases[] = {
    {"a request before SETUP", say_other_first, ENDS, RS_INVALID_SETUP, false},
    {"SETUP on a stream", say_setup_on_stream, ENDS, RS_INVALID_SETUP, false},
    {"SETUP of version 2.0", say_setup_of_another_version, ENDS, RS_UNSUPPORTED_SETUP, false},
    {"SETUP with keep-alive 0", say_setup_without_keepalive, ENDS, RS_INVALID_SETUP, false},
    {"SETUP cut short", say_setup_cut_short, ENDS, RS_INVALID_SETUP, false},
    {"SETUP with a type too long", say_setup_with_a_long_type, ENDS, RS_INVALID_SETUP, false},
    {"SETUP of 16 MiB", say_setup_that_is_huge, ENDS, RS_INVALID_SETUP, false},
    {"RESUME", say_resume, ENDS, RS_REJECTED_RESUME, false},
    {"a frame of 0 bytes", say_length_zero, ENDS, RS_CONNECTION_ERROR, false},
    {"a frame of 5 bytes", say_length_too_short, ENDS, RS_CONNECTION_ERROR, false},
    {"a frame beyond the limit", say_length_too_large, ENDS, RS_CONNECTION_ERROR, false},
    {"metadata beyond the frame", say_metadata_too_long, ENDS, RS_CONNECTION_ERROR, false},
    {"a frame of unknown type", say_unknown_type, ENDS, RS_CONNECTION_ERROR, false},
    {"one that may be ignored", say_unknown_type_to_ignore, IS_IGNORED, 0, false},
    {"a stream of the broker's", say_even_stream, ENDS, RS_CONNECTION_ERROR, false},
    {"a request on stream 0", say_request_on_stream_zero, ENDS, RS_CONNECTION_ERROR, false},
    {"frames of streams that are not", say_payload_of_no_stream, IS_IGNORED, 0, false},
    {"SETUP again", say_setup_twice, IS_IGNORED, 0, false},
    {"half a frame", say_half_a_frame, ENDS, 0, true},
    {"no route", say_no_route, ENDS_ONE, RS_INVALID, false},
    {"a wrong route", say_wrong_route, ENDS_ONE, RS_INVALID, false},
    {"a wrong filter", say_wrong_filter, ENDS_ONE, RS_INVALID, false},
    {"a topic of the broker's", say_reserved_topic, ENDS_ONE, RS_REJECTED, false},
    {"metadata that are broken", say_wrong_metadata, ENDS_ONE, RS_INVALID, false},
    {"credit of 0", say_credit_of_zero, ENDS_ONE, RS_INVALID, false},
    {"an ack of nothing", say_verb_for_nothing, ENDS_ONE, RS_INVALID, false},
};

/* Frames until one is not what a broker says by itself. */
static enum heard answer_of(struct peer *p, struct rs_frame *f)
{
    enum heard h;

    do
        h = peer_next(p, patience_ms(), f);
    while (h == HEARD_FRAME && f->type == RS_REQUEST_N);
    if (h == HEARD_NOTHING)
        die("no answer at all");
    return h;
}

static void expect_error(struct peer *p, uint32_t stream, uint32_t code)
{
    struct rs_frame f;

    if (answer_of(p, &f) != HEARD_FRAME)
        die("closed without an ERROR");
    if (f.type != RS_ERROR || f.stream != stream)
        die("not an ERROR on stream %u: type %u on stream %u", stream, f.type, f.stream);
    (void)printf("  %03x %.*s\n", f.number, (int)f.data.n, (const char *)f.data.p);
    if (f.number != code)
        die("ERROR %x in place of %x", f.number, code);
    if (f.data.n == 0)
        die("an ERROR that does not say what is wrong");
}

/* The connection lives: a ping is answered on it. */
static void expect_alive(struct peer *p)
{
    struct said s = {.n = 0};
    struct rs_frame f;

    say_request(&s, RS_REQUEST_RESPONSE, 7, 0, "admin/ping", SLICE(""));
    if (!peer_send(p, s.bytes, s.n) || answer_of(p, &f) != HEARD_FRAME)
        die("the connection is gone");
    if (f.type != RS_PAYLOAD || f.stream != 7)
        die("not an answer to a ping: type %u on stream %u", f.type, f.stream);
}

static void try(const struct hostile *h)
{
    struct peer p = peer_open();
    struct said s = {.n = 0};
    struct rs_frame f;

    (void)printf("%s\n", h->name);
    (void)fflush(stdout);
    h->say(&s);
    (void)peer_send(&p, s.bytes, s.n);
    if (h->leaves)
        (void)shutdown(p.fd, SHUT_WR);
    switch (h->answer) {
    case ENDS:
        if (h->code)
            expect_error(&p, 0, h->code);
        if (answer_of(&p, &f) != HEARD_END)
            die("the connection goes on");
        break;
    case ENDS_ONE:
        expect_error(&p, 1, h->code);
        expect_alive(&p);
        break;
    case IS_IGNORED:
        expect_alive(&p);
        break;
    }
    peer_close(&p);
}

/* ------------------------------------------------------------------------------------ crowds */

static uint32_t random_next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Whatever is said, a line for a person perhaps, until the end. */
static void hear_out(struct peer *p)
{
    struct pollfd ready = {.fd = p->fd, .events = POLLIN};
    char buf[1024];

    while (poll(&ready, 1, patience_ms()) == 1)
        if (recv(p->fd, buf, sizeof buf, 0) <= 0)
            return;
    die("random bytes, and silence");
}

/* Random bytes: as they are, or behind a good SETUP, in frames whose lengths are right. The answer
 * must be the end of the connection, or one more chance: never silence for ever. */
static void noise(unsigned count)
{
    uint32_t state = 20240607;

    for (unsigned i = 0; i < count; i++) {
        struct peer p = peer_open();
        struct said s = {.n = 0};
        struct rs_frame f;

        if (i % 2)
            say_setup(&s);
        for (unsigned j = 0; j < 20; j++) {
            uint32_t n = RS_HEADER + random_next(&state) % 150;

            if (i % 2)
                RAW(&s, 0, 0, (uint8_t)n, 0, 0, 0, (uint8_t)(random_next(&state) % 4));
            for (uint32_t k = i % 2 ? 4 : 0; k < n; k++)
                RAW(&s, (uint8_t)random_next(&state));
        }
        (void)peer_send(&p, s.bytes, s.n);
        (void)shutdown(p.fd, SHUT_WR);
        if (i % 2)
            while (peer_next(&p, patience_ms(), &f) == HEARD_FRAME)
                ;
        else
            hear_out(&p);
        peer_close(&p);
    }
}

static void setups(unsigned count)
{
    struct said s = {.n = 0};

    say_setup(&s);
    for (unsigned i = 0; i < count; i++) {
        struct peer p = peer_open();

        (void)peer_send(&p, s.bytes, s.n);
        peer_close(&p);
    }
}

static void deaf(const char *topic)
{
    struct peer p = peer_open();
    struct said s = {.n = 0};
    char route[300];

    (void)snprintf(route, sizeof route, "subscribe/%s", topic);
    say_setup(&s);
    say_request(&s, RS_REQUEST_STREAM, 1, RS_N_MAX, route, SLICE(""));
    if (!peer_send(&p, s.bytes, s.n))
        die("closed at once");
    expect_alive(&p);
    (void)puts("subscribed");
    (void)fflush(stdout);
    while (getchar() != EOF)
        ;
    peer_close(&p);
}

/* A SETUP of 60,000 bytes, one every millisecond: it is never whole. */
static void endless(void)
{
    struct peer p = peer_open();
    struct said s = {.n = 0};
    struct rs_frame f;

    say_setup(&s);
    (void)be_put_24(s.bytes, 60000);
    for (size_t i = 0;; i++) {
        if (!peer_send(&p, i < s.n ? s.bytes + i : (const uint8_t *)"x", 1))
            break;
        if (peer_next(&p, 1, &f) == HEARD_END)
            break;
    }
    (void)puts("closed");
    peer_close(&p);
}

int main(int argc, char **argv)
{
    unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;

    if (argc == 1) {
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
            try(&cases[i]);
    } else if (strcmp(argv[1], "noise") == 0) {
        noise(count);
    } else if (strcmp(argv[1], "setups") == 0) {
        setups(count);
    } else if (strcmp(argv[1], "deaf") == 0 && argc == 3) {
        deaf(argv[2]);
    } else if (strcmp(argv[1], "endless") == 0) {
        endless();
    } else {
        die("usage: hostile [noise COUNT | setups COUNT | deaf TOPIC | endless]");
    }
    return 0;
}
