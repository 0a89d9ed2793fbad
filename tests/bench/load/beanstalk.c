/* The driver for a work queue in beanstalkd.
 *
 * One connection is served one command after the other, and a `reserve` that finds nothing holds up
 * what comes behind it. So a consumer asks for a window of messages at once (`reserve`, so many
 * times), and for each that comes deletes it and asks for another: with a full pipeline a delete is
 * carried out when the reserves before it have been served. A message has ten minutes for that, so
 * that none comes twice. Those of a consumer that leaves are not carried out any more.
 *
 * At least two reserves: with one, a consumer that has fallen behind a producer of one message at a
 * time never catches up, for each message costs it two commands and the producer one. */
#include "tests/bench/load/load.h"

#include <stdio.h>
#include <string.h>

static const char inserted[] = "INSERTED ", reserved[] = "RESERVED ", deleted[] = "DELETED\r\n";
static const char reserve[] = "reserve\r\n";

enum {
    INSERTED = sizeof inserted - 1,
    RESERVED = sizeof reserved - 1,
    RESERVE = sizeof reserve - 1,
    RESERVES_LEAST = 2
};

static void beanstalk_open(struct side *s)
{
    s->granted = LOAD_CREDIT_FREE;
    if (s->part.consume) {
        side_printf(s, "watch %s\r\nignore default\r\n", s->part.consume);
        for (unsigned i = 0; i < s->part.window || i < RESERVES_LEAST; i++)
            side_put(s, reserve, RESERVE);
    }
    if (s->part.produce)
        side_printf(s, "use %s\r\n", s->part.produce);
}

static size_t beanstalk_message(struct side *s, uint8_t *to, const char *topic, size_t size,
                                uint8_t **ret_payload)
{
    /* Priority, delay, seconds for whoever gets it, bytes. */
    size_t n = (size_t)sprintf((char *)to, "put 0 0 600 %zu\r\n", size);

    (void)s, (void)topic;
    *ret_payload = to + n;
    memset(to + n, 'x', size);
    memcpy(to + n + size, "\r\n", 2);
    return n + size + 2;
}

static bool begins(const uint8_t *p, size_t n, const char *word, size_t word_n)
{
    return n >= word_n && memcmp(p, word, word_n) == 0;
}

/* "RESERVED <id> <bytes>\r\n<payload>\r\n", the line being `line` bytes long. Its bytes; 0 if they
 * are not all there. */
static size_t take_message(struct side *s, const uint8_t *p, size_t n, size_t line)
{
    const uint8_t *id = p + RESERVED, *end = memchr(id, ' ', line - RESERVED);
    unsigned long size = 0;

    if (!end || sscanf((const char *)end, "%lu", &size) != 1 || size != s->part.size)
        die("the consumer got something that is not a message of %zu bytes", s->part.size);
    if (n < line + s->part.size + 2)
        return 0;
    side_put(s, "delete ", 7);
    side_put(s, id, (size_t)(end - id));
    side_put(s, "\r\n", 2);
    side_put(s, reserve, RESERVE);
    s->got++;
    if (s->each)
        s->each(s, p + line, s->part.size);
    return line + s->part.size + 2;
}

static size_t beanstalk_take(struct side *s, const uint8_t *p, size_t n)
{
    size_t at = 0;

    while (at < n) {
        const uint8_t *line = p + at, *end = memchr(line, '\n', n - at);
        size_t used = end ? (size_t)(end - line) + 1 : 0;

        if (used == 0)
            break;
        if (begins(line, used, inserted, INSERTED)) {
            s->confirmed++;
        } else if (begins(line, used, reserved, RESERVED)) {
            used = take_message(s, line, n - at, used);
            if (used == 0)
                break;
        } else if (begins(line, used, "USING ", 6)) {
            s->ready = true;
        } else if (begins(line, used, "WATCHING ", 9)) {
            s->ready = line[9] == '1'; /* 2 while the tube `default` is not ignored yet */
        } else if (used != sizeof deleted - 1 || memcmp(line, deleted, used) != 0) {
            die("beanstalkd says: %.*s", (int)used - 2, (const char *)line);
        }
        at += used;
    }
    return at;
}

const struct driver beanstalk_driver = {
    .name = "beanstalk",
    .does = LOAD_QUEUES,
    .open = beanstalk_open,
    .take = beanstalk_take,
    .message = beanstalk_message,
};
