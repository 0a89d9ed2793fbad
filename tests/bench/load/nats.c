/* The driver for nats-server: its text protocol, "PUB subject length" up, "MSG subject id length"
 * down. */
#include "tests/bench/load/load.h"

#include <stdio.h>
#include <string.h>

static const char ping[] = "PING\r\n", pong[] = "PONG\r\n";

enum { LINE_LEN = sizeof ping - 1, LINE_MAX = 1024 };

/* Subjects are as ours; the wildcard for the rest is >. */
static void nats_subscribe(struct side *s, unsigned id, const char *filter)
{
    size_t n = strlen(filter);
    const char *end = "";

    if (n && filter[n - 1] == '#') {
        n--;
        end = ">";
    }
    side_printf(s, "SUB %.*s%s %u\r\n", (int)n, filter, end, id);
}

static void nats_unsubscribe(struct side *s, unsigned id, const char *filter)
{
    (void)filter;
    side_printf(s, "UNSUB %u\r\n", id);
}

static void nats_sync(struct side *s)
{
    s->ready = false;
    side_put(s, ping, LINE_LEN);
}

static void nats_open(struct side *s)
{
    side_printf(s, "CONNECT {\"verbose\":false}\r\n");
    for (unsigned i = 0; i < s->part.filters_n; i++)
        nats_subscribe(s, i, s->part.filters[i]);
    nats_sync(s);
}

static size_t nats_message(struct side *s, uint8_t *to, const char *topic, size_t size,
                           uint8_t **ret_payload)
{
    size_t n = (size_t)sprintf((char *)to, "PUB %s %zu\r\n", topic, size);

    (void)s;
    *ret_payload = to + n;
    memset(to + n, 'x', size);
    memcpy(to + n + size, "\r\n", 2);
    return n + size + 2;
}

/* The bytes of the head of a message, whose last word is the payload's length; 0 if it is not all
 * there yet. Goes from behind the fixed part: a head is short. */
static size_t message_head(struct side *s, const uint8_t *p, size_t n)
{
    const uint8_t *end = memchr(p, '\n', n < LINE_MAX ? n : LINE_MAX), *digits = end;
    size_t size = 0;

    if (!end)
        return 0;
    for (digits = end - 2; digits > p && *digits != ' '; digits--)
        ;
    for (digits++; digits < end - 1; digits++)
        size = 10 * size + (size_t)(*digits - '0');
    if (size != s->part.size)
        die("a message of %zu bytes came, wanted is one of %zu", size, s->part.size);
    return (size_t)(end - p) + 1;
}

/* The bytes of a control line at `p` that was understood; 0 if it is not all there yet. */
static size_t control_line(struct side *s, const uint8_t *p, size_t n)
{
    const uint8_t *end = memchr(p, '\n', n);
    size_t len;

    if (!end)
        return 0;
    len = (size_t)(end - p) + 1;
    if (len == LINE_LEN && memcmp(p, ping, LINE_LEN) == 0)
        side_put(s, pong, LINE_LEN);
    else if (len == LINE_LEN && memcmp(p, pong, LINE_LEN) == 0)
        s->ready = true;
    else if (*p == '-')
        die("nats-server says: %.*s", (int)len - 2, (const char *)p);
    return len;
}

static size_t nats_take(struct side *s, const uint8_t *p, size_t n)
{
    size_t at = 0, head, used;

    while (at < n) {
        if (p[at] != 'M') {
            used = control_line(s, p + at, n - at);
            if (!used)
                break;
        } else {
            head = message_head(s, p + at, n - at);
            used = head + s->part.size + 2;
            if (!head || used > n - at)
                break;
            s->got++;
            if (s->each)
                s->each(s, p + at + head, s->part.size);
        }
        at += used;
    }
    return at;
}

const struct driver nats_driver = {
    .name = "nats",
    .does = LOAD_TOPICS | LOAD_DUPLEX | LOAD_WILDCARDS | LOAD_STALLS,
    .open = nats_open,
    .take = nats_take,
    .message = nats_message,
    .subscribe = nats_subscribe,
    .unsubscribe = nats_unsubscribe,
    .sync = nats_sync,
};
