/* The driver for nats-server: its text protocol, "PUB subject length" up, "MSG subject id length"
 * down. */
#include "tests/bench/load/first.h"

#include <stdio.h>
#include <string.h>

static const char ping[] = "PING\r\n", pong[] = "PONG\r\n";

enum { PING_LEN = sizeof ping - 1, HEAD_MAX = 64 };

/* Say `text`, which ends with a PING, and wait for its answer. INFO comes before it. */
static void greet(struct side *s, const char *text)
{
    side_send(s, text, strlen(text));
    while (!memmem(s->p, s->n, pong, PING_LEN))
        side_fill(s);
    if (memmem(s->p, s->n, "-ERR", 4))
        die("nats-server says: %.*s", (int)s->n, (const char *)s->p);
    side_use(s, s->n);
}

static void nats_subscribe(struct side *s)
{
    greet(s, "CONNECT {\"verbose\":false}\r\nSUB bench 1\r\nPING\r\n");
}

static unsigned nats_publish(struct side *s, size_t size)
{
    (void)size;
    greet(s, "CONNECT {\"verbose\":false}\r\nPING\r\n");
    return 0;
}

static size_t nats_message(uint8_t *to, size_t size)
{
    size_t n = (size_t)sprintf((char *)to, "PUB bench %zu\r\n", size);

    memset(to + n, 'x', size);
    memcpy(to + n + size, "\r\n", 2);
    return n + size + 2;
}

/* The bytes of a control line at `at` that was understood; 0 if it is not all there yet. */
static size_t control_line(struct side *s, size_t at)
{
    const uint8_t *line = s->p + at, *end = memchr(line, '\n', s->n - at);

    if (!end)
        return 0;
    if (end - line + 1 == PING_LEN && memcmp(line, ping, PING_LEN) == 0)
        side_send(s, pong, PING_LEN);
    else if (*line == '-' || *line == 'M')
        die("nats-server says: %.*s", (int)(end - line), (const char *)line);
    return (size_t)(end - line) + 1;
}

static uint64_t nats_count(struct side *s, size_t size)
{
    char head[HEAD_MAX];
    size_t n = (size_t)snprintf(head, sizeof head, "MSG bench 1 %zu\r\n", size);
    size_t one = n + size + 2, at = 0, used;
    uint64_t count = 0;

    while (at < s->n) {
        if (s->p[at] == 'M') {
            if (s->n - at < one)
                break;
            if (memcmp(s->p + at, head, n) != 0)
                die("the subscriber got something that is not a message of %zu bytes", size);
            at += one;
            count++;
        } else {
            used = control_line(s, at);
            if (!used)
                break;
            at += used;
        }
    }
    side_use(s, at);
    return count;
}

static uint64_t nats_answers(struct side *s)
{
    size_t at = 0, used;

    while (at < s->n && (used = control_line(s, at)) != 0)
        at += used;
    side_use(s, at);
    return 0;
}

const struct driver nats_driver = {
    .name = "nats",
    .subscribe = nats_subscribe,
    .publish = nats_publish,
    .credit = LOAD_CREDIT_FREE,
    .message = nats_message,
    .count = nats_count,
    .answers = nats_answers,
};
