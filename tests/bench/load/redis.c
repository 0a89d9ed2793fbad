/* The driver for redis-server's publish and subscribe.
 *
 * RESP3, in which one connection may publish and subscribe. Whoever publishes has turned its
 * replies off (CLIENT REPLY OFF), as one does to publish much: with them redis-server spends a
 * sixth more.
 *
 * A filter without wildcards is a channel (SUBSCRIBE), one with them a pattern (PSUBSCRIBE), whose
 * `*` also stands for dots: the same as long as all topics have equally many levels. redis-server
 * tries every pattern for every message: with many wildcards it is slow for its own reasons. A
 * message that matches several of them comes several times. */
#include "tests/bench/load/load.h"
#include "tests/bench/load/resp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The message before, for one that begins with the same bytes up to its payload is as long, and
 * need not be read: that costs 3 ns instead of 30. */
struct last {
    size_t head_n; /* 0: none yet */
    size_t one;    /* bytes of all of it */
    uint8_t head[4 * LOAD_NAME_MAX];
};

/* "SUBSCRIBE" or "UNSUBSCRIBE", of a pattern with a P before it. */
static void say_filter(struct side *s, const char *verb, const char *filter)
{
    char name[LOAD_NAME_MAX];
    size_t n = strlen(filter);
    bool is_pattern;

    memcpy(name, filter, n + 1);
    if (name[n - 1] == '#')
        name[n - 1] = '*';
    is_pattern = memchr(name, '*', n) != NULL;
    side_printf(s, "*2\r\n$%zu\r\n%s%s\r\n$%zu\r\n%s\r\n", is_pattern + strlen(verb),
                is_pattern ? "P" : "", verb, n, name);
}

static void redis_subscribe(struct side *s, unsigned id, const char *filter)
{
    (void)id;
    say_filter(s, "SUBSCRIBE", filter);
}

static void redis_unsubscribe(struct side *s, unsigned id, const char *filter)
{
    (void)id;
    say_filter(s, "UNSUBSCRIBE", filter);
}

static bool publishes(const struct side *s)
{
    return s->part.topic || s->part.any_topic;
}

/* Its answer, +OK, comes whether or not replies were off. */
static void redis_sync(struct side *s)
{
    s->ready = false;
    side_printf(s, "CLIENT REPLY ON\r\n");
    if (publishes(s))
        side_printf(s, "CLIENT REPLY OFF\r\n");
}

static void redis_open(struct side *s)
{
    s->own = calloc(1, sizeof(struct last));
    if (!s->own)
        die("out of memory");
    s->granted = LOAD_CREDIT_FREE;
    side_printf(s, "HELLO 3\r\n");
    for (unsigned i = 0; i < s->part.filters_n; i++)
        redis_subscribe(s, i, s->part.filters[i]);
    redis_sync(s);
}

static size_t redis_message(struct side *s, uint8_t *to, const char *topic, size_t size,
                            uint8_t **ret_payload)
{
    size_t n = (size_t)sprintf((char *)to, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%zu\r\n",
                               strlen(topic), topic, size);

    (void)s;
    *ret_payload = to + n;
    memset(to + n, 'x', size);
    memcpy(to + n + size, "\r\n", 2);
    return n + size + 2;
}

/* A message, "message channel payload" or "pmessage pattern channel payload", of `n` bytes in all:
 * remember it. */
static void remember(struct side *s, const uint8_t *p, size_t n)
{
    struct last *last = s->own;
    size_t head = n - s->part.size - 2, digits;
    char line[32];

    digits = (size_t)sprintf(line, "\r\n$%zu\r\n", s->part.size);
    if (n < s->part.size + 2 + digits || memcmp(p + head - digits, line, digits) != 0)
        die("the subscriber got something that is not a message of %zu bytes", s->part.size);
    if (head > sizeof last->head)
        die("redis-server: a name that is too long");
    memcpy(last->head, p, head);
    last->head_n = head;
    last->one = n;
}

static bool is_message(const uint8_t *p, size_t n)
{
    static const char message[] = ">3\r\n$7\r\nmessage", pmessage[] = ">4\r\n$8\r\npmessage";

    return (n >= sizeof message && memcmp(p, message, sizeof message - 1) == 0) ||
           (n >= sizeof pmessage && memcmp(p, pmessage, sizeof pmessage - 1) == 0);
}

static size_t redis_take(struct side *s, const uint8_t *p, size_t n)
{
    const struct last *last = s->own;
    size_t at = 0;

    while (at < n) {
        if (last->head_n == 0 || n - at < last->one ||
            memcmp(p + at, last->head, last->head_n) != 0) {
            size_t one = resp_size(p + at, n - at);

            if (one == 0)
                break;
            if (!is_message(p + at, one)) {
                if (one == 5 && memcmp(p + at, "+OK\r\n", 5) == 0)
                    s->ready = true;
                at += one;
                continue;
            }
            remember(s, p + at, one);
        }
        at += last->one;
        s->got++;
        if (s->each)
            s->each(s, p + at - 2 - s->part.size, s->part.size);
    }
    return at;
}

const struct driver redis_driver = {
    .name = "redis",
    .does = LOAD_TOPICS | LOAD_DUPLEX | LOAD_WILDCARDS | LOAD_STALLS,
    .open = redis_open,
    .take = redis_take,
    .message = redis_message,
    .subscribe = redis_subscribe,
    .unsubscribe = redis_unsubscribe,
    .sync = redis_sync,
};
