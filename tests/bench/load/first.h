/* first.h - what the parts of the load generator know of each other: drivers and the sockets they
 * speak on.
 *
 * Why      The generator shares the machine with the broker it measures: what it does per message
 *          must be next to nothing. So no client library: messages are built once into a large
 *          buffer that is written again and again, and what comes back is counted by its lengths.
 * Shape    A driver knows one protocol: how to greet, how a message looks, how to count what
 *          arrives. one_to_one.c knows windows and time, measure.c the broker's CPU and memory.
 *          Another peer is another driver, another workload another file beside one_to_one.c.
 * Errors   What goes wrong ends the program: die() says it on stderr, exit status 1.
 * Thread   One. */
#ifndef TESTS_BENCH_LOAD_FIRST_H
#define TESTS_BENCH_LOAD_FIRST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOAD_BUFFER = 1 << 20,      /* bytes read or written at once, at most */
    LOAD_PAYLOAD_MAX = 64 << 10 /* largest payload, bytes */
};

/* The credit of a broker that does not count. */
#define LOAD_CREDIT_FREE INT64_MAX

/* One connection, and the bytes that have arrived on it and not been used. */
struct side {
    int fd;
    size_t n;
    uint8_t *p; /* LOAD_BUFFER bytes */
};

struct driver {
    const char *name;
    /* Greet as a subscriber to topic `bench`, on a socket that still blocks, and wait until the
     * broker has the subscription. */
    void (*subscribe)(struct side *s);
    /* Greet as its publisher, on a socket that still blocks. Returns the messages with a payload of
     * `size` bytes that were part of the greeting. */
    unsigned (*publish)(struct side *s, size_t size);
    /* The messages that may be sent before the broker has said anything, those of the greeting
     * included: its first credit, or LOAD_CREDIT_FREE. */
    int64_t credit;
    /* Write one message with a payload of `size` bytes at `to`; returns its length. */
    size_t (*message)(uint8_t *to, size_t size);
    /* Use the whole messages that have arrived, answer what asks for an answer; returns how many
     * messages there were. */
    uint64_t (*count)(struct side *s, size_t size);
    /* Use what the broker says to the publisher; returns the credit in it. */
    uint64_t (*answers)(struct side *s);
};

extern const struct driver rsocket_driver, nats_driver, relay_driver;

/* Print "load: " and the text, and exit with 1. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Connect to 127.0.0.1:`port`, blocking, without Nagle's delay. */
struct side side_open(unsigned port);

/* Write all `n` bytes; for a socket that blocks, or for a few bytes where there is room. */
void side_send(struct side *s, const void *p, size_t n);

/* Read once. False if nothing was there. The end of the connection ends the program. */
bool side_fill(struct side *s);

/* Drop the first `n` bytes. */
void side_use(struct side *s, size_t n);

#endif
