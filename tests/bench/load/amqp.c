/* The driver for AMQP 0-9-1, of RabbitMQ.
 *
 * A subscriber has an exclusive queue, bound to amq.direct by its topics, and consumes it without
 * acks. A work queue is a queue in memory (or durable, and its messages persistent), published to
 * by the default exchange: the producer's channel confirms, the consumer's is acknowledged, both
 * many at a time (`multiple`). Wildcards would need amq.topic, and minutes to set up: RabbitMQ
 * binds 2,300 of them a second at first and 1,400 when it has 20,000. So they are left out. */
#include "tests/bench/load/load.h"

#include <stdlib.h>
#include <string.h>

enum { METHOD = 1, HEADER = 2, BODY = 3, HEARTBEAT = 8, END = 0xce };
enum { FRAME_HEAD = 7, FRAME_EDGES = FRAME_HEAD + 1, FRAME_MAX = 131072, METHOD_MAX = 512 };

#define AMQP(class, method) ((uint32_t)(class) << 16 | (method))
enum { CHANNEL = 1, DURABLE = 2, EXCLUSIVE = 4, NO_ACK = 2, MULTIPLE = 1 };
enum { DELIVERY_MODE = 1 << 12, PERSISTENT = 2 }; /* a property of a message, and its value */

/* state[]: */
enum {
    WANTED,   /* answers still to come until this side is ready */
    TAG,      /* the last delivery's */
    SIZE,     /* of the message whose body comes next */
    CONFIRMED /* all published messages up to this one are confirmed */
};

/* A method frame in the making. */
struct method {
    size_t n;
    uint8_t p[METHOD_MAX];
};

static uint8_t *put_be(uint8_t *to, uint64_t v, unsigned bytes)
{
    while (bytes--)
        *to++ = (uint8_t)(v >> (8 * bytes));
    return to;
}

static uint64_t get_be(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;

    while (bytes--)
        v = v << 8 | *p++;
    return v;
}

static void add(struct method *m, uint64_t v, unsigned bytes)
{
    m->n = (size_t)(put_be(m->p + m->n, v, bytes) - m->p);
}

static void add_text(struct method *m, const char *text)
{
    size_t n = strlen(text);

    add(m, n, 1);
    memcpy(m->p + m->n, text, n);
    m->n += n;
}

static struct method method(unsigned channel, uint32_t name)
{
    struct method m = {.n = 0};

    add(&m, METHOD, 1);
    add(&m, channel, 2);
    add(&m, 0, 4); /* the length, at the end */
    add(&m, name, 4);
    return m;
}

static size_t finish(struct method *m)
{
    put_be(m->p + 3, m->n - FRAME_HEAD, 4);
    add(m, END, 1);
    return m->n;
}

static void put(struct side *s, struct method *m)
{
    finish(m);
    side_put(s, m->p, m->n);
}

/* One that is answered before this side is ready. */
static void ask(struct side *s, struct method *m)
{
    put(s, m);
    s->state[WANTED]++;
}

static void put_start_ok(struct side *s)
{
    static const char plain[] = "\0guest\0guest";
    struct method m = method(0, AMQP(10, 11));

    add(&m, 0, 4); /* no properties */
    add_text(&m, "PLAIN");
    add(&m, sizeof plain - 1, 4);
    memcpy(m.p + m.n, plain, sizeof plain - 1);
    m.n += sizeof plain - 1;
    add_text(&m, "en_US");
    put(s, &m);
}

static void put_tune_ok_and_open(struct side *s)
{
    struct method m = method(0, AMQP(10, 31));

    add(&m, CHANNEL, 2);
    add(&m, FRAME_MAX, 4);
    add(&m, 0, 2); /* no heartbeat */
    put(s, &m);
    m = method(0, AMQP(10, 40));
    add_text(&m, "/");
    add(&m, 0, 2);
    put(s, &m);
}

/* A queue of ours without a name means the one declared last on this channel. */
static void declare(struct side *s, const char *queue, unsigned flags)
{
    struct method m = method(CHANNEL, AMQP(50, 10));

    add(&m, 0, 2);
    add_text(&m, queue);
    add(&m, flags, 1);
    add(&m, 0, 4);
    ask(s, &m);
}

static void bind(struct side *s, const char *topic)
{
    struct method m = method(CHANNEL, AMQP(50, 20));

    add(&m, 0, 2);
    add_text(&m, "");
    add_text(&m, "amq.direct");
    add_text(&m, topic);
    add(&m, 0, 1);
    add(&m, 0, 4);
    ask(s, &m);
}

static void purge(struct side *s)
{
    struct method m = method(CHANNEL, AMQP(50, 30));

    add(&m, 0, 2);
    add_text(&m, "");
    add(&m, 0, 1);
    ask(s, &m);
}

static void prefetch(struct side *s)
{
    unsigned n = s->part.window < 65535 ? s->part.window : 65535;
    struct method m = method(CHANNEL, AMQP(60, 10));

    add(&m, 0, 4);
    add(&m, n, 2);
    add(&m, 0, 1);
    ask(s, &m);
}

static void consume(struct side *s, unsigned flags)
{
    struct method m = method(CHANNEL, AMQP(60, 20));

    add(&m, 0, 2);
    add_text(&m, "");
    add_text(&m, "c");
    add(&m, flags, 1);
    add(&m, 0, 4);
    ask(s, &m);
}

/* The connection is open: all that this side is for, without waiting in between. */
static void begin(struct side *s)
{
    struct method m = method(CHANNEL, AMQP(20, 10));

    add_text(&m, "");
    ask(s, &m);
    if (s->part.filters_n) {
        declare(s, "", EXCLUSIVE);
        for (unsigned i = 0; i < s->part.filters_n; i++)
            bind(s, s->part.filters[i]);
        consume(s, NO_ACK);
    }
    if (s->part.consume) {
        declare(s, s->part.consume, s->part.durable ? DURABLE : 0);
        purge(s);
        prefetch(s);
        consume(s, 0);
    }
    if (s->part.produce) {
        m = method(CHANNEL, AMQP(85, 10));
        add(&m, 0, 1);
        ask(s, &m);
    }
}

static void amqp_open(struct side *s)
{
    s->granted = LOAD_CREDIT_FREE;
    if (s->part.produce && !(s->own = calloc(1, 65536)))
        die("out of memory");
    side_put(s, "AMQP\0\0\x09\x01", 8);
}

static size_t amqp_message(struct side *s, uint8_t *to, const char *topic, size_t size,
                           uint8_t **ret_payload)
{
    struct method m = method(CHANNEL, AMQP(60, 40));
    uint8_t *p;

    add(&m, 0, 2);
    add_text(&m, s->part.produce ? "" : "amq.direct");
    add_text(&m, topic);
    add(&m, 0, 1);
    finish(&m);
    memcpy(to, m.p, m.n);
    p = put_be(to + m.n, HEADER, 1);
    p = put_be(p, CHANNEL, 2);
    p = put_be(p, s->part.durable ? 15 : 14, 4);
    p = put_be(p, AMQP(60, 0), 4);
    p = put_be(p, size, 8);
    p = put_be(p, s->part.durable ? DELIVERY_MODE : 0, 2);
    if (s->part.durable)
        p = put_be(p, PERSISTENT, 1);
    p = put_be(p, END, 1);
    p = put_be(p, BODY, 1);
    p = put_be(p, CHANNEL, 2);
    p = put_be(p, size, 4);
    *ret_payload = p;
    memset(p, 'x', size);
    p = put_be(p + size, END, 1);
    return (size_t)(p - to);
}

/* Confirms may come in any order, and one may be for all before it. own[] has a 1 for those beyond
 * CONFIRMED that came early, by the low 16 bits of their numbers. */
static void confirm(struct side *s, uint64_t tag, bool multiple, bool taken)
{
    uint8_t *early = s->own;
    uint64_t from = multiple ? s->state[CONFIRMED] + 1 : tag;

    for (uint64_t i = from; i <= tag; i++) {
        if (early[i & 0xffff])
            continue;
        early[i & 0xffff] = 1;
        s->confirmed++;
        s->refused += !taken;
    }
    while (early[(s->state[CONFIRMED] + 1) & 0xffff])
        early[++s->state[CONFIRMED] & 0xffff] = 0;
}

static void take_method(struct side *s, const uint8_t *p, size_t n)
{
    uint32_t name = n < 4 ? 0 : (uint32_t)get_be(p, 4);

    switch (name) {
    case AMQP(60, 60): /* deliver: our tag is one letter */
        s->state[TAG] = get_be(p + 6, 8);
        break;
    case AMQP(60, 80):  /* ack */
    case AMQP(60, 120): /* nack */
        confirm(s, get_be(p + 4, 8), p[12] & MULTIPLE, name == AMQP(60, 80));
        break;
    case AMQP(10, 10):
        put_start_ok(s);
        break;
    case AMQP(10, 30):
        put_tune_ok_and_open(s);
        break;
    case AMQP(10, 41):
        begin(s);
        break;
    case AMQP(20, 11):
    case AMQP(50, 11):
    case AMQP(50, 21):
    case AMQP(50, 31):
    case AMQP(60, 11):
    case AMQP(60, 21):
    case AMQP(85, 11):
        s->ready = --s->state[WANTED] == 0;
        break;
    case AMQP(10, 50): /* close: a code and a text */
    case AMQP(20, 40):
        die("RabbitMQ says: %.*s", p[6], (const char *)p + 7);
    default:
        die("RabbitMQ says something that was not expected: %u.%u", name >> 16, name & 0xffff);
    }
}

static void take_body(struct side *s, const uint8_t *p, size_t n)
{
    if (n != s->part.size || s->state[SIZE] != n)
        die("the subscriber got something that is not a message of %zu bytes", s->part.size);
    s->got++;
    if (s->each)
        s->each(s, p, n);
}

static void acknowledge(struct side *s)
{
    struct method m = method(CHANNEL, AMQP(60, 80));

    add(&m, s->state[TAG], 8);
    add(&m, MULTIPLE, 1);
    put(s, &m);
}

static size_t amqp_take(struct side *s, const uint8_t *p, size_t n)
{
    uint64_t before = s->got;
    size_t at = 0;

    while (n - at >= FRAME_EDGES) {
        const uint8_t *frame = p + at, *in = frame + FRAME_HEAD;
        size_t len = (size_t)get_be(frame + 3, 4);

        if (n - at < FRAME_EDGES + len)
            break;
        if (in[len] != END)
            die("an AMQP frame without an end");
        if (frame[0] == METHOD)
            take_method(s, in, len);
        else if (frame[0] == HEADER)
            s->state[SIZE] = get_be(in + 4, 8);
        else if (frame[0] == BODY)
            take_body(s, in, len);
        else if (frame[0] != HEARTBEAT)
            die("not an AMQP frame: %.*s", n < 8 ? (int)n : 8, (const char *)frame);
        at += FRAME_EDGES + len;
    }
    if (s->part.consume && s->got != before)
        acknowledge(s);
    return at;
}

const struct driver amqp_driver = {
    .name = "amqp",
    .does = LOAD_TOPICS | LOAD_DUPLEX | LOAD_QUEUES | LOAD_STALLS,
    .open = amqp_open,
    .take = amqp_take,
    .message = amqp_message,
};
