/* The driver for nats-server: its text protocol, "PUB subject length" up, "MSG subject id length"
 * down. */
#include "tests/bench/load/nats.h"

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
    if (s->part.consume || s->part.produce)
        jetstream_open(s);
    else
        nats_sync(s);
}

static size_t nats_message(struct side *s, uint8_t *to, const char *topic, size_t size,
                           uint8_t **ret_payload)
{
    size_t n = (size_t)sprintf((char *)to, "PUB %s %s%zu\r\n", topic,
                               s->part.produce ? JETSTREAM_CONFIRMS " " : "", size);

    *ret_payload = to + n;
    memset(to + n, 'x', size);
    memcpy(to + n + size, "\r\n", 2);
    return n + size + 2;
}

static size_t number(const uint8_t *p, const uint8_t *end)
{
    size_t n = 0;

    for (; p < end && *p >= '0' && *p <= '9'; p++)
        n = 10 * n + (size_t)(*p - '0');
    return n;
}

/* The bytes of a message's line, 0 if it is not all there yet; and of its payload, which is the
 * last word of the line. */
static size_t message_line(const uint8_t *p, size_t n, size_t *ret_size)
{
    const uint8_t *end = memchr(p, '\n', n < LINE_MAX ? n : LINE_MAX), *word = end;

    if (!end)
        return 0;
    while (word > p && word[-1] != ' ')
        word--;
    *ret_size = number(word, end);
    return (size_t)(end - p) + 1;
}

/* A message on a side of JetStream: "MSG subject id [reply] length". */
static void queue_message(struct side *s, const uint8_t *p, size_t line, size_t size)
{
    struct nats_message m = {.payload = p + line, .n = size};
    const uint8_t *end = p + line, *id, *reply, *last;

    id = memchr(p + 4, ' ', line - 4);
    reply = id ? memchr(id + 1, ' ', (size_t)(end - id) - 1) : NULL;
    if (!reply)
        die("nats-server says: %.*s", (int)line, (const char *)p);
    m.id = (unsigned)number(id + 1, end);
    last = memchr(reply + 1, ' ', (size_t)(end - reply) - 1);
    if (last) {
        m.reply = (const char *)reply + 1;
        m.reply_n = (size_t)(last - reply) - 1;
    }
    jetstream_take(s, &m);
}

static void message(struct side *s, const uint8_t *p, size_t line, size_t size)
{
    if (s->part.consume || s->part.produce) {
        queue_message(s, p, line, size);
        return;
    }
    if (size != s->part.size)
        die("a message of %zu bytes came, wanted is one of %zu", size, s->part.size);
    s->got++;
    if (s->each)
        s->each(s, p + line, size);
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
    size_t at = 0, size = 0, line, used;

    for (; at < n; at += used) {
        if (p[at] != 'M') {
            used = control_line(s, p + at, n - at);
            if (!used)
                break;
            continue;
        }
        line = message_line(p + at, n - at, &size);
        used = line + size + 2;
        if (!line || used > n - at)
            break;
        message(s, p + at, line, size);
    }
    return at;
}

const struct driver nats_driver = {
    .name = "nats",
    .does = LOAD_TOPICS | LOAD_DUPLEX | LOAD_WILDCARDS | LOAD_QUEUES | LOAD_STALLS,
    .open = nats_open,
    .take = nats_take,
    .message = nats_message,
    .subscribe = nats_subscribe,
    .unsubscribe = nats_unsubscribe,
    .sync = nats_sync,
};
