/* The driver of the relays (relay.c): brokerd's frames, bare. Topics are numbers, the digits that a
 * topic's name ends with; a connection says at first which it wants and which it publishes to. */
#include "tests/bench/load/load.h"

#include <stdlib.h>
#include <string.h>

#include "libbroker/wire/rsocket.h"
#include "tests/bench/load/relay.h"

static unsigned number_of(const char *topic)
{
    const char *dot = strrchr(topic, '.');
    unsigned long n = dot ? strtoul(dot + 1, NULL, 10) : RELAY_TOPICS;

    if (n >= RELAY_TOPICS)
        die("a relay cannot carry the topic %s", topic);
    return (unsigned)n;
}

static void bare_open(struct side *s)
{
    uint8_t greeting[RELAY_GREETING];
    uint64_t wanted = 0;

    for (unsigned i = 0; i < s->part.filters_n; i++)
        wanted |= UINT64_C(1) << number_of(s->part.filters[i]);
    *be_put_64(greeting, wanted) = s->part.topic ? (uint8_t)number_of(s->part.topic) : RELAY_NONE;
    side_put(s, greeting, sizeof greeting);
}

static size_t bare_message(struct side *s, uint8_t *to, const char *topic, size_t size,
                           uint8_t **ret_payload)
{
    (void)s;
    *ret_payload = rs_put_payload_head(to, number_of(topic) + 1, RS_NEXT, size);
    memset(*ret_payload, 'x', size);
    return RS_PAYLOAD_HEAD_SIZE + size;
}

static size_t bare_take(struct side *s, const uint8_t *p, size_t n)
{
    size_t at = 0, one = RS_PAYLOAD_HEAD_SIZE + s->part.size;

    if (!s->ready) { /* it answers with one byte */
        s->ready = true;
        at = 1;
    }
    /* With several topics the raw relay mixes pieces of messages, so only lengths count. */
    for (; n - at >= one; at += one) {
        if (s->part.filters_n == 1 && be_get_24(p + at) + (size_t)RS_TCP_LENGTH != one)
            die("something came that is not a message of %zu bytes", s->part.size);
        s->got++;
        if (s->each)
            s->each(s, p + at + RS_PAYLOAD_HEAD_SIZE, s->part.size);
    }
    return at;
}

const struct driver relay_driver = {
    .name = "relay",
    .does = LOAD_TOPICS | LOAD_DUPLEX,
    .open = bare_open,
    .take = bare_take,
    .message = bare_message,
};
