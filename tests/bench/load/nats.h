/* nats.h - the part of the driver for nats-server that knows JetStream, its work queues.
 *
 * Shape    JetStream is spoken to by messages to its subjects, and answers by messages: so nats.c
 *          knows the lines, jetstream.c what is said. */
#ifndef TESTS_BENCH_LOAD_NATS_H
#define TESTS_BENCH_LOAD_NATS_H

#include "tests/bench/load/load.h"

/* Where confirms of what is published are sent. */
#define JETSTREAM_CONFIRMS "confirms.bench"

/* A message that arrived on a side that consumes or produces. */
struct nats_message {
    unsigned id;       /* of the subscription */
    const char *reply; /* where to answer, reply_n bytes; 0: nowhere */
    size_t reply_n;
    const uint8_t *payload;
    size_t n;
};

/* Put what begins to consume or to produce; s->ready becomes true when that is done. */
void jetstream_open(struct side *s);

/* Take a message: a delivery, a confirm or the answer to what jetstream_open() asked. */
void jetstream_take(struct side *s, const struct nats_message *m);

#endif
