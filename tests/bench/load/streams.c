/* The driver for a work queue in redis-server: a stream with a consumer group, in memory.
 *
 * XADD with MAXLEN ~ 100000 publishes and is answered, XREADGROUP asks for up to a window of
 * messages, XACK acknowledges those of one read of the socket together. What is acknowledged stays
 * in a stream, hence MAXLEN: without it the memory would grow for ever, with it a consumer further
 * behind than that loses messages, unsaid. */
#include "tests/bench/load/load.h"
#include "tests/bench/load/resp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    COUNT_MAX = 1024, /* messages asked for at once */
    ID_MAX = 48       /* "$15\r\n1700000000000-0\r\n" and to spare */
};

/* state[]: the messages of a reply to XREADGROUP that are still to come. */
enum { LEFT };

/* The ids to be acknowledged, as they came. */
struct ids {
    unsigned count;
    size_t n;
    uint8_t p[COUNT_MAX * ID_MAX];
};

static void ask(struct side *s)
{
    unsigned count = s->part.window < COUNT_MAX ? s->part.window : COUNT_MAX;

    side_printf(s, "XREADGROUP GROUP g c COUNT %u BLOCK 0 STREAMS %s >\r\n", count,
                s->part.consume);
}

static void streams_open(struct side *s)
{
    s->granted = LOAD_CREDIT_FREE;
    if (s->part.consume) {
        s->own = calloc(1, sizeof(struct ids));
        if (!s->own)
            die("out of memory");
        side_printf(s, "DEL %s\r\nXGROUP CREATE %s g $ MKSTREAM\r\n", s->part.consume,
                    s->part.consume);
        ask(s);
    }
    if (s->part.produce)
        side_printf(s, "PING\r\n");
}

static size_t streams_message(struct side *s, uint8_t *to, const char *topic, size_t size,
                              uint8_t **ret_payload)
{
    size_t n = (size_t)sprintf((char *)to,
                               "*8\r\n$4\r\nXADD\r\n$%zu\r\n%s\r\n$6\r\nMAXLEN\r\n$1\r\n~\r\n"
                               "$6\r\n100000\r\n$1\r\n*\r\n$1\r\nd\r\n$%zu\r\n",
                               strlen(topic), topic, size);

    (void)s;
    *ret_payload = to + n;
    memset(to + n, 'x', size);
    memcpy(to + n + size, "\r\n", 2);
    return n + size + 2;
}

static void acknowledge(struct side *s)
{
    struct ids *ids = s->own;

    side_printf(s, "*%u\r\n$4\r\nXACK\r\n$%zu\r\n%s\r\n$1\r\ng\r\n", ids->count + 3,
                strlen(s->part.consume), s->part.consume);
    side_put(s, ids->p, ids->n);
    ids->count = 0;
    ids->n = 0;
}

/* The head of a reply to XREADGROUP, "*1 *2 $key *count", at p: its bytes, and the messages that
 * follow, which come to us one by one. 0 if it is not all there. */
static size_t read_head(const uint8_t *p, size_t n, uint64_t *ret_count)
{
    static const char nested[] = "*1\r\n*2\r\n";
    size_t at = sizeof nested - 1, key, used;
    int64_t count;

    if (n <= at)
        return 0;
    if (memcmp(p, nested, at) != 0)
        die("redis-server: not an answer to XREADGROUP");
    key = resp_size(p + at, n - at);
    if (key == 0 || n - at - key < 2)
        return 0;
    at += key + 1;
    used = resp_number(p + at, n - at, &count);
    *ret_count = (uint64_t)count;
    return used ? at + used : 0;
}

/* One message, "*2 $id *2 $field $payload". Its bytes; 0 if it is not all there. */
static size_t entry(struct side *s, const uint8_t *p, size_t n)
{
    static const char two[] = "*2\r\n", field[] = "*2\r\n$1\r\nd\r\n$";
    enum { TWO = sizeof two - 1, FIELD = sizeof field - 1 };
    struct ids *ids = s->own;
    size_t id, at, used;
    int64_t size;

    if (n < TWO)
        return 0;
    id = resp_size(p + TWO, n - TWO);
    at = TWO + id + FIELD;
    if (id == 0 || n <= at)
        return 0;
    used = resp_number(p + at, n - at, &size);
    if (used == 0 || n - at - used < s->part.size + 2)
        return 0;
    if (memcmp(p, two, TWO) != 0 || memcmp(p + TWO + id, field, FIELD) != 0 ||
        (size_t)size != s->part.size || id > ID_MAX)
        die("the consumer got something that is not a message of %zu bytes", s->part.size);
    memcpy(ids->p + ids->n, p + TWO, id);
    ids->n += id;
    ids->count++;
    s->got++;
    if (s->each)
        s->each(s, p + at + used, s->part.size);
    return at + used + s->part.size + 2;
}

/* Anything else: an id is the confirmation of a message. */
static size_t answer(struct side *s, const uint8_t *p, size_t n)
{
    size_t used = resp_size(p, n);

    if (used == 0)
        return 0;
    if (p[0] == '$')
        s->confirmed++;
    else if (p[0] == '+')
        s->ready = true;
    return used;
}

static size_t streams_take(struct side *s, const uint8_t *p, size_t n)
{
    struct ids *ids = s->own;
    size_t at = 0, used;

    while (at < n) {
        if (s->state[LEFT]) {
            used = entry(s, p + at, n - at);
            if (used && --s->state[LEFT] == 0) {
                acknowledge(s);
                ask(s);
            }
        } else if (p[at] == '*') {
            used = read_head(p + at, n - at, &s->state[LEFT]);
        } else {
            used = answer(s, p + at, n - at);
        }
        if (used == 0)
            break;
        at += used;
    }
    if (ids && ids->count)
        acknowledge(s);
    return at;
}

const struct driver streams_driver = {
    .name = "streams",
    .does = LOAD_QUEUES | LOAD_DUPLEX,
    .open = streams_open,
    .take = streams_take,
    .message = streams_message,
};
