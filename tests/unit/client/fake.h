/* fake.h - the broker's side of a conversation, spoken by the test.
 *
 * Shape    A listener on a free loopback port and one connection. want_*() wait, at most five
 *          seconds, until the client has sent the frame that the script expects next, driving
 *          the client meanwhile (unless a thread does); say_*() answer. KEEPALIVEs of the client
 *          are answered on the way.
 * Thread   The test's. */
#ifndef TESTS_UNIT_CLIENT_FAKE_H
#define TESTS_UNIT_CLIENT_FAKE_H

#include <arpa/inet.h>
#include <check.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "broker.h"
#include "libbroker/base/headers.h"
#include "libbroker/wire/broker_rs.h"
#include "libbroker/wire/composite.h"
#include "libbroker/wire/reassembly.h"
#include "libbroker/wire/rsocket.h"

struct fake {
    int listener, fd;
    char url[64];
    broker *client; /* to drive; NULL: somebody else does */
    uint8_t *in;
    size_t in_n, in_cap, used; /* `used` bytes of `in` were the frame before */
    struct rs_frame f;         /* the frame that came last */
    bool mute;                 /* leave KEEPALIVEs unanswered */
};

static inline int64_t fake_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static inline void fake_init(struct fake *k)
{
    struct sockaddr_in sa = {.sin_family = AF_INET};
    socklen_t len = sizeof sa;

    memset(k, 0, sizeof *k);
    k->fd = -1;
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    k->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(k->listener, 0);
    ck_assert_int_eq(bind(k->listener, (struct sockaddr *)&sa, sizeof sa), 0);
    ck_assert_int_eq(listen(k->listener, 16), 0);
    ck_assert_int_eq(getsockname(k->listener, (struct sockaddr *)&sa, &len), 0);
    snprintf(k->url, sizeof k->url, "tcp://127.0.0.1:%d", ntohs(sa.sin_port));
}

static inline void fake_hang_up(struct fake *k)
{
    if (k->fd >= 0)
        close(k->fd);
    k->fd = -1;
    k->in_n = k->used = 0;
}

static inline void fake_fini(struct fake *k)
{
    fake_hang_up(k);
    close(k->listener);
    free(k->in);
}

/* Let the client work for up to a few milliseconds, or until fd (-1: none) is readable. */
static inline void fake_turn(struct fake *k, int fd)
{
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    int wait = 20;

    if (k->client) {
        int due = broker_timeout_ms(k->client);

        p[1].fd = broker_fd(k->client);
        if (due >= 0 && due < wait)
            wait = due;
    }
    poll(p, 2, wait);
    if (k->client)
        (void)broker_process(k->client);
}

/* Wait until `condition` holds, driving the client. */
#define fake_until(k, condition)                                                                   \
    do {                                                                                           \
        int64_t end_ = fake_now() + 5000;                                                          \
                                                                                                   \
        while (!(condition)) {                                                                     \
            ck_assert_msg(fake_now() < end_, "waited in vain for: %s", #condition);                \
            fake_turn((k), -1);                                                                    \
        }                                                                                          \
    } while (0)

static inline void fake_send(struct fake *k, const uint8_t *p, size_t n)
{
    int64_t end = fake_now() + 20000;

    while (n > 0) {
        ssize_t w = send(k->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);

        ck_assert_msg(fake_now() < end, "the client does not read");
        if (w <= 0) {
            fake_turn(k, -1);
            continue;
        }
        p += w;
        n -= (size_t)w;
    }
}

static inline void say(struct fake *k, const struct rs_frame *f)
{
    size_t n = rs_size(f);
    uint8_t *p = malloc(n);

    ck_assert_uint_gt(n, 0);
    rs_put(p, f);
    fake_send(k, p, n);
    free(p);
}

/* The next frame of the client into k->f, whatever it is. */
static inline void fake_next(struct fake *k)
{
    int64_t end = fake_now() + 5000;
    const char *why = "";

    if (k->in_n > k->used)
        memmove(k->in, k->in + k->used, k->in_n - k->used);
    k->in_n -= k->used;
    k->used = 0;
    for (;;) {
        ssize_t n;
        enum wire_status st =
            k->in_n ? rs_decode(RS_FRAME_MAX, k->in, k->in_n, &k->f, &k->used, &why) : WIRE_MORE;

        ck_assert_msg(st != WIRE_BAD, "the client sent nonsense: %s", why);
        if (st == WIRE_FRAME)
            return;
        k->used = 0;
        ck_assert_msg(fake_now() < end, "the client sends nothing");
        if (k->in_cap - k->in_n < 65536) {
            k->in_cap += 1 << 20;
            k->in = realloc(k->in, k->in_cap);
        }
        n = recv(k->fd, k->in + k->in_n, k->in_cap - k->in_n, MSG_DONTWAIT);
        ck_assert_msg(n != 0, "the client has hung up");
        if (n > 0)
            k->in_n += (size_t)n;
        else
            fake_turn(k, k->fd);
    }
}

/* The next frame that is no KEEPALIVE, which must be of `type`. */
static inline const struct rs_frame *want(struct fake *k, enum rs_type type)
{
    for (;;) {
        fake_next(k);
        if (k->f.type != RS_KEEPALIVE || type == RS_KEEPALIVE)
            break;
        if ((k->f.flags & RS_RESPOND) && !k->mute)
            say(k, &(struct rs_frame){.type = RS_KEEPALIVE, .data = k->f.data});
    }
    ck_assert_msg(k->f.type == type, "frame of type 0x%02x where 0x%02x was expected (%.*s)",
                  k->f.type, type, (int)k->f.data.n, (const char *)k->f.data.p);
    return &k->f;
}

/* Accept a connection and take its SETUP; the first KEEPALIVE is answered by what comes next. */
static inline void fake_accept(struct fake *k)
{
    int64_t end = fake_now() + 5000;

    fake_hang_up(k);
    while ((k->fd = accept(k->listener, NULL, NULL)) < 0) {
        ck_assert_msg(fake_now() < end, "nobody connects");
        fake_turn(k, k->listener);
    }
    want(k, RS_SETUP);
    ck_assert_uint_eq(k->f.setup.major, 1);
    ck_assert(slice_eq(k->f.setup.metadata_mime, slice_str(mime_name(MIME_COMPOSITE))));
}

/* The same, and answer the KEEPALIVE: connected. */
static inline void fake_welcome(struct fake *k)
{
    fake_accept(k);
    fake_next(k);
    ck_assert_int_eq(k->f.type, RS_KEEPALIVE);
    say(k, &(struct rs_frame){.type = RS_KEEPALIVE});
}

/* The `n`-th routing tag (0: the route) of the frame that came last; empty if there is none. */
static inline struct slice tag_of(const struct rs_frame *f, int n)
{
    struct slice rest = f->metadata, tag = {NULL, 0};
    struct composite_item item;

    while (composite_next(&rest, &item) > 0)
        if (item.mime.id == MIME_ROUTING)
            for (int i = 0; i <= n; i++)
                if (routing_next(&item.value, &tag) <= 0)
                    return (struct slice){NULL, 0};
    return tag;
}

/* The value of a header of the frame that came last. */
static inline struct slice header_of(const struct rs_frame *f, const char *name)
{
    struct slice rest = f->metadata, value = {NULL, 0};
    struct composite_item item;

    while (composite_next(&rest, &item) > 0)
        if (slice_eq(item.mime.name, SLICE(HEADERS_MIME)))
            (void)headers_find(item.value, slice_str(name), &value);
    return value;
}

#define ck_slice(s, text)                                                                          \
    do {                                                                                           \
        struct slice s_ = (s);                                                                     \
                                                                                                   \
        ck_assert_msg(slice_eq(s_, slice_str(text)), "\"%.*s\" is not \"%s\"", (int)s_.n,          \
                      (const char *)s_.p, text);                                                   \
    } while (0)

static inline void say_data(struct fake *k, uint32_t stream, uint16_t flags, struct slice data)
{
    struct rs_frame f = {.stream = stream, .type = RS_PAYLOAD, .flags = flags};

    f.data = data;
    say(k, &f);
}

static inline void say_text(struct fake *k, uint32_t stream, const char *text)
{
    say_data(k, stream, RS_NEXT, slice_str(text));
}

static inline void say_error(struct fake *k, uint32_t stream, uint32_t code, const char *text)
{
    struct rs_frame f = {.stream = stream, .type = RS_ERROR, .number = code};

    f.data = slice_str(text);
    say(k, &f);
}

static inline void say_n(struct fake *k, uint32_t stream, uint32_t n)
{
    say(k, &(struct rs_frame){.stream = stream, .type = RS_REQUEST_N, .number = n});
}

/* A delivery with metadata: topic, one header, content type; NULL for none of it. */
static inline void say_delivery(struct fake *k, uint32_t stream, const char *topic,
                                const char *name, const char *value, const char *type,
                                const char *text)
{
    struct mime mime = {MIME_UNKNOWN, SLICE(HEADERS_MIME)};
    struct rs_frame f = {.stream = stream, .type = RS_PAYLOAD, .flags = RS_NEXT};
    uint8_t metadata[1024], header[512], *p = metadata;

    if (topic)
        p = composite_put_route(p, slice_str(topic));
    if (type)
        p = composite_put_data_type(p, slice_str(type));
    if (name) {
        uint8_t *end = headers_put(header, slice_str(name), slice_str(value));

        p = composite_put(p, &mime, slice_of(header, (size_t)(end - header)));
    }
    f.has_metadata = true;
    f.metadata = slice_of(metadata, (size_t)(p - metadata));
    f.data = slice_str(text);
    say(k, &f);
}

/* A confirm of a publish channel, with `n` exceptions. */
static inline void say_confirm(struct fake *k, uint32_t stream, uint64_t settled,
                               const struct confirm_entry *e, size_t n)
{
    uint8_t buf[1024], *p = confirm_put_head(buf, settled);

    for (size_t i = 0; i < n; i++)
        p = confirm_put_entry(p, &e[i]);
    say_data(k, stream, RS_NEXT, slice_of(buf, (size_t)(p - buf)));
}

/* A client of the fake; `o` may be NULL. */
static inline broker *fake_client(struct fake *k, const struct broker_options *o)
{
    struct broker_options options = o ? *o : (struct broker_options){0};
    char text[256];

    options.url = options.url ? options.url : k->url;
    ck_assert_msg(broker_new(&options, &k->client, text, sizeof text) == BROKER_OK, "%s", text);
    return k->client;
}

/* A client that is connected. */
static inline broker *fake_connected(struct fake *k, const struct broker_options *o)
{
    broker *b = fake_client(k, o);

    ck_assert_int_eq(broker_connect(b, 0), BROKER_OK);
    fake_welcome(k);
    fake_until(k, broker_state(b) == BROKER_STATE_CONNECTED);
    return b;
}

/* Run one suite of one case of the tests in `list`, which ends with NULL. */
static inline int run_tests(const char *name, const TTest *const *list)
{
    Suite *suite = suite_create(name);
    TCase *tc = tcase_create(name);
    SRunner *runner;
    int failed;

    for (; *list; list++)
        tcase_add_test(tc, *list);
    tcase_set_timeout(tc, 30);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
