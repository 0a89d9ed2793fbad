/* batch.h - whole messages, built once and written again and again.
 *
 * Why      Building a message as it is sent would cost the generator more than the broker is
 *          supposed to spend on it.
 * Owner    The batch's memory is its own; the side it is written to is the caller's.
 * Thread   One. */
#ifndef TESTS_BENCH_LOAD_BATCH_H
#define TESTS_BENCH_LOAD_BATCH_H

#include "tests/bench/load/load.h"

struct batch {
    uint8_t *p;
    size_t n, one;    /* bytes of all, of each message: they are of one topic and size */
    uint64_t greeted; /* messages that left with the greeting */
    uint64_t written; /* bytes, since then */
};

/* Messages for what `s`, which is ready, publishes: at least `bytes` of them. */
void batch_build(struct batch *b, struct side *s, size_t bytes);

void batch_free(struct batch *b);

/* Messages begun: the last one may still be cut. */
static inline uint64_t batch_sent(const struct batch *b)
{
    return b->greeted + (b->written + b->one - 1) / b->one;
}

/* Write up to `messages` further ones to `s`, after the rest of one that was cut. Returns the bytes
 * written; 0 at once while the socket is full. */
size_t batch_write(struct batch *b, struct side *s, uint64_t messages);

#endif
