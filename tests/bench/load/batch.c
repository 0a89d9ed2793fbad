#include "tests/bench/load/batch.h"

#include <stdlib.h>

#include "tests/bench/load/loop.h"

void batch_build(struct batch *b, struct side *s, size_t bytes)
{
    const char *topic = s->part.topic ? s->part.topic : s->part.produce;
    uint8_t *payload;

    *b = (struct batch){.greeted = s->greeted, .p = malloc(bytes + LOAD_MESSAGE_MAX)};
    if (!b->p)
        die("out of memory");
    do {
        b->one = s->driver->message(s, b->p + b->n, topic, s->part.size, &payload);
        b->n += b->one;
    } while (b->n < bytes);
}

void batch_free(struct batch *b)
{
    free(b->p);
}

size_t batch_write(struct batch *b, struct side *s, uint64_t messages)
{
    size_t at = b->written % b->n, cut = b->written % b->one, n;

    if (!loop_writable(s))
        return 0;
    if (!cut)
        loop_flush(s);
    n = messages < b->n / b->one ? (size_t)messages * b->one : b->n;
    if (cut)
        n += b->one - cut;
    if (n > b->n - at)
        n = b->n - at;
    if (n == 0 || !loop_writable(s))
        return 0;
    n = loop_write(s, b->p + at, n);
    b->written += n;
    s->cut = b->written % b->one != 0;
    return n;
}
