/* The driver for MQTT 3.1.1: topics with QoS 0, work queues with QoS 1.
 *
 * A work queue is a topic with one subscriber, both sides with QoS 1: the broker answers each
 * message of the producer, and wants an answer to each that it delivers.
 *
 * Mosquitto delivers a message once to a connection, however many of its filters match; the
 * protocol leaves that to the broker. */
#include "tests/bench/load/load.h"

#include <string.h>

enum { CONNECT = 0x10, CONNACK = 0x20, PUBLISH = 0x30, PUBACK = 0x40, SUBSCRIBE = 0x82 };
enum { SUBACK = 0x90, UNSUBSCRIBE = 0xa2, UNSUBACK = 0xb0, PINGREQ = 0xc0, PINGRESP = 0xd0 };
enum { QOS_1 = 0x02, DUP = 0x08, SUBACK_FAILED = 0x80 };

/* state[]: the number of the last message built, or 0. */
enum { PACKET };

static size_t put_length(uint8_t *to, size_t v)
{
    size_t n = 0;

    for (; v >= 0x80; v >>= 7)
        to[n++] = (uint8_t)(v | 0x80);
    to[n++] = (uint8_t)v;
    return n;
}

/* 0 if it is not all there. */
static size_t get_length(const uint8_t *p, size_t n, size_t *ret)
{
    size_t v = 0;

    for (size_t i = 0; i < n && i < 4; i++) {
        v |= (size_t)(p[i] & 0x7f) << (7 * i);
        if (p[i] < 0x80) {
            *ret = v;
            return i + 1;
        }
    }
    return 0;
}

static size_t put_16(uint8_t *to, size_t v)
{
    to[0] = (uint8_t)(v >> 8);
    to[1] = (uint8_t)v;
    return 2;
}

/* A topic or filter, as MQTT writes it: levels with slashes, `+` for one of them. */
static size_t put_name(uint8_t *to, const char *name)
{
    size_t n = strlen(name);

    put_16(to, n);
    for (size_t i = 0; i < n; i++)
        to[2 + i] = (uint8_t)(name[i] == '.' ? '/' : name[i] == '*' ? '+' : name[i]);
    return 2 + n;
}

/* SUBSCRIBE or UNSUBSCRIBE, with a number that nobody looks at in the answer. */
static void put_interest(struct side *s, uint8_t type, const char *filter, int qos)
{
    uint8_t buf[LOAD_NAME_MAX + 16];
    size_t n = put_16(buf + 2, 1);

    n += put_name(buf + 2 + n, filter);
    if (qos >= 0)
        buf[2 + n++] = (uint8_t)qos;
    buf[0] = type;
    buf[1] = (uint8_t)n; /* below 128: one byte of length */
    side_put(s, buf, 2 + n);
}

static void mqtt_subscribe(struct side *s, unsigned id, const char *filter)
{
    (void)id;
    put_interest(s, SUBSCRIBE, filter, 0);
}

static void mqtt_unsubscribe(struct side *s, unsigned id, const char *filter)
{
    (void)id;
    put_interest(s, UNSUBSCRIBE, filter, -1);
}

/* Answered after all that was asked before. */
static void mqtt_sync(struct side *s)
{
    s->ready = false;
    side_put(s, (const uint8_t[]){PINGREQ, 0}, 2);
}

static void mqtt_open(struct side *s)
{
    /* Version 4 of "MQTT", a clean session, no keep-alive, the broker finds a name for us. */
    static const uint8_t connect[] = {CONNECT, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 0};

    s->granted = LOAD_CREDIT_FREE;
    side_put(s, connect, sizeof connect);
    for (unsigned i = 0; i < s->part.filters_n; i++)
        mqtt_subscribe(s, i, s->part.filters[i]);
    if (s->part.consume)
        put_interest(s, SUBSCRIBE, s->part.consume, 1);
    mqtt_sync(s);
}

static size_t mqtt_message(struct side *s, uint8_t *to, const char *topic, size_t size,
                           uint8_t **ret_payload)
{
    size_t id = s->part.produce ? 2 : 0, n = 1;

    to[0] = s->part.produce ? PUBLISH | QOS_1 : PUBLISH;
    n += put_length(to + 1, 2 + strlen(topic) + id + size);
    n += put_name(to + n, topic);
    if (id) {
        s->state[PACKET] = s->state[PACKET] % 65535 + 1;
        n += put_16(to + n, s->state[PACKET]);
    }
    *ret_payload = to + n;
    memset(to + n, 'x', size);
    return n + size;
}

/* A message of `n` bytes after its head. */
static void take_message(struct side *s, uint8_t head, const uint8_t *p, size_t n)
{
    size_t topic = n < 2 ? n : 2 + ((size_t)p[0] << 8 | p[1]);
    size_t id = head & QOS_1 ? 2 : 0;

    if (n != topic + id + s->part.size)
        die("the subscriber got something that is not a message of %zu bytes", s->part.size);
    if (id)
        side_put(s, (const uint8_t[]){PUBACK, 2, p[topic], p[topic + 1]}, 4);
    s->got++;
    if (s->each)
        s->each(s, p + topic + id, s->part.size);
}

static void take_other(struct side *s, uint8_t head, const uint8_t *p, size_t n)
{
    switch (head) {
    case PUBACK:
        s->confirmed++;
        break;
    case PINGRESP:
        s->ready = true;
        break;
    case CONNACK:
        if (n != 2 || p[1] != 0)
            die("the broker refuses the connection: %d", n == 2 ? p[1] : -1);
        break;
    case SUBACK:
        if (p[n - 1] == SUBACK_FAILED)
            die("the broker refuses a subscription");
        break;
    case UNSUBACK:
        break;
    default:
        die("an MQTT packet that was not expected: 0x%02x", head);
    }
}

static size_t mqtt_take(struct side *s, const uint8_t *p, size_t n)
{
    size_t at = 0, len, used;

    while (n - at >= 2) {
        uint8_t head = p[at];

        used = get_length(p + at + 1, n - at - 1, &len);
        if (used == 0 || n - at - 1 - used < len)
            break;
        at += 1 + used;
        if ((head & 0xf0) == PUBLISH)
            take_message(s, head, p + at, len);
        else
            take_other(s, head, p + at, len);
        at += len;
    }
    return at;
}

const struct driver mqtt_driver = {
    .name = "mqtt",
    .does = LOAD_TOPICS | LOAD_DUPLEX | LOAD_WILDCARDS | LOAD_QUEUES | LOAD_STALLS | LOAD_MERGES,
    .open = mqtt_open,
    .take = mqtt_take,
    .message = mqtt_message,
    .subscribe = mqtt_subscribe,
    .unsubscribe = mqtt_unsubscribe,
    .sync = mqtt_sync,
};
