/* load.h - what the parts of the load generator know of each other: connections, the drivers that
 * speak on them, the workloads that use both.
 *
 * Why      The generator shares the machine with the broker it measures: what it does per message
 *          must be next to nothing. So no client library: messages are built once into a large
 *          buffer that is written again and again, and what comes back is counted by its lengths.
 * Shape    A *driver* knows one protocol, and is one table in one file: how to greet, how a message
 *          looks, what arriving bytes mean. It never reads or writes a socket: it appends to the
 *          connection's output (side_put) and is given what has arrived (take), cut anywhere.
 *          A *side* is one connection, with totals that take() counts up.
 *          A *workload* is one file: it opens sides, keeps windows and time, reports.
 *          loop.h moves the bytes; measure.h knows the broker's CPU and memory.
 *          Another peer is another driver (drivers.c), another workload another file (main.c).
 *
 *              workload --- part, message() ---> driver --- side_put() ---> output --+
 *                  ^                                                                 | loop
 *                  '-- got, confirmed, granted, ready, each() --- take() <-- input --+
 *
 * Names    Topics and filters are given with dots, `*` for one level and `#` for the rest, at the
 *          end: bench.7, a3.*.c17, a3.#. A driver whose protocol writes them in another way
 *          translates (a3/+/c17, a3.>).
 * Errors   What goes wrong ends the program: die() says it on stderr, exit status 1. So a driver
 *          dies of an error reply, and of a message of a size that nobody sent.
 * Thread   One; no socket blocks. */
#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOAD_BUFFER = 1 << 20,                      /* bytes read or written at once, at most */
    LOAD_PAYLOAD_MAX = 64 << 10,                /* largest payload, bytes */
    LOAD_MESSAGE_MAX = LOAD_PAYLOAD_MAX + 1024, /* most that message() writes, payload included */
    LOAD_NAME_MAX = 64                          /* bytes of a topic, filter or queue, with the 0 */
};

/* `granted` where the broker does not count. */
#define LOAD_CREDIT_FREE ((uint64_t)INT64_MAX)

struct side;

/* What a connection is for: any of the three together, if the driver `does` LOAD_DUPLEX. */
struct part {
    /* Subscribe to these: one subscription for each filter, numbered from 0 in this order. */
    const char *const *filters;
    unsigned filters_n;
    /* Never have more than this many messages granted and not taken, where the protocol knows
     * credit: then a side that is not read any more grants none. 0: without limit. */
    unsigned credit;

    /* Publish: to this topic only; or, with `any_topic`, to one that message() is given. */
    const char *topic;
    bool any_topic;

    /* Consume a work queue, or produce for it, with acks and confirms. The consumer opens first,
     * once, and makes the queue, empty and in memory; the producer finds it. */
    const char *consume, *produce;
    bool durable; /* and on disk, where it is the client who says so */
    /* Consume: so many messages may be unacknowledged, or asked for, at least. Produce: so many
     * will be unconfirmed, at most. */
    unsigned window;

    size_t size; /* bytes of every payload, both ways */
};

/* One connection. The first block is the workload's to set, before open(). */
struct side {
    const struct driver *driver;
    struct part part;
    /* Called by take() with the payload of each message, if it is not NULL. It is NULL where speed
     * is measured: then take() need not look at payloads. It may side_put(). */
    void (*each)(struct side *s, const uint8_t *payload, size_t n);
    void *each_ctx; /* the workload's */

    /* The driver's, totals since open(); take() counts them up, the workload reads them. */
    bool ready;         /* all of `part` is in force; open() and sync() make it false */
    uint64_t greeted;   /* messages published as part of the greeting, payload all zero: where the
                         * protocol has it so. They count as sent, and as granted */
    uint64_t granted;   /* messages the broker allows in all; LOAD_CREDIT_FREE without credit */
    uint64_t confirmed; /* published messages the broker has answered for, accepted or not; counted
                         * in order, though some brokers confirm out of order */
    uint64_t refused;   /* of those, the ones that it did not take */
    uint64_t got;       /* messages that arrived */
    uint64_t told_lost; /* messages the broker said to this subscriber were lost */

    /* Any use by the driver; zero at first. What `own` points to is freed (free) with the side. */
    uint64_t state[6];
    void *own;

    uint64_t read_ns; /* ns_now() when the bytes that take() is given were read */

    /* Of loop.c and side.c. */
    int fd;
    bool closed;   /* the broker closed the connection, or it broke */
    bool want_out; /* a write did not take all: waiting until there is room */
    bool cut;      /* a published message has been written in part: no output between */
    bool paused;   /* not read */
    uint8_t *kept; /* bytes that take() did not use yet */
    size_t kept_n, kept_room;
    uint8_t *out; /* bytes to be written: out_n from out_at on */
    size_t out_at, out_n, out_room;
};

/* What a protocol can carry, in `does`. */
enum {
    LOAD_TOPICS = 1,    /* publish and subscribe, literal topics */
    LOAD_DUPLEX = 2,    /* one connection can publish and subscribe */
    LOAD_WILDCARDS = 4, /* filters; also any_topic, subscribe, unsubscribe and sync */
    LOAD_QUEUES = 8,    /* work queues with acks and confirms */
    LOAD_STALLS = 16,   /* may be given a subscriber that does not read (a relay would just stop) */
    LOAD_MERGES = 32    /* a message matching several filters of one connection arrives once */
};

struct driver {
    const char *name; /* protocol=NAME */
    unsigned does;    /* LOAD_TOPICS and so on; a workload that needs more is refused by main.c */

    /* The connection stands: put what begins the conversation, for all that s->part says. Where a
     * step needs the answer to the one before (AMQP), take() puts it when that has come. Set
     * s->granted if the broker counts (it is LOAD_CREDIT_FREE), and s->greeted.
     * s->ready is to become true, here or in take(), once publishing may begin and, for
     * subscribers, once every message published from then on is sure to come: so wait for the
     * broker's answer to the last subscription, or to a ping after it. */
    void (*open)(struct side *s);

    /* `n` bytes have arrived and not been used. Use the whole frames among them, return the bytes
     * used: the rest comes again, with more behind it. Count (got, confirmed, granted, told_lost,
     * ready), call s->each, and put what has to be answered: pongs, credit, the next request of a
     * protocol in which one asks for messages, and acks: a consumer acknowledges all it took,
     * with as few words as the protocol has (one range, one command with many ids) for each call.
     * `n` is at most LOAD_BUFFER, so a frame must not be larger.
     * The fast path: where s->each is NULL, look at shape and length of a message, not at its
     * bytes, and skip it. */
    size_t (*take)(struct side *s, const uint8_t *p, size_t n);

    /* Write one message to be published on `s` at `to`, with a payload of `size` bytes, any
     * printable ones ('x'); returns its length, and in *ret_payload where the payload lies: a
     * workload may write a time into it later. `topic` is s->part.topic or .produce, or with
     * any_topic the one meant. Equal topics and sizes give equal lengths. The messages of a batch
     * are built one after the other, once, and the batch is sent again and again; it has at least
     * `part.window` and at most 65,535 messages for a producer, so numbers (MQTT's packet ids) that
     * are unique within a batch will do. */
    size_t (*message)(struct side *s, uint8_t *to, const char *topic, size_t size,
                      uint8_t **ret_payload);

    /* LOAD_WILDCARDS. On a side that is ready: put one more subscription, `id` being a number that
     * is not in use here (part.filters has 0 to filters_n - 1), or end one. Nobody waits for the
     * answers; take() must cope with them, whenever they come. */
    void (*subscribe)(struct side *s, unsigned id, const char *filter);
    void (*unsubscribe)(struct side *s, unsigned id, const char *filter);

    /* LOAD_WILDCARDS. Set s->ready to false and put a question; its answer, in take(), sets it to
     * true again, and says that all put before is done. */
    void (*sync)(struct side *s);
};

/* The driver called `name`; drivers.c lists them. */
const struct driver *driver_of(const char *name);

/* Print "load: " and the text, and exit with 1. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Append to the output of `s`. It is written at the next turn, between two whole messages of what
 * is published on `s`. */
void side_put(struct side *s, const void *p, size_t n);

/* Room for `n` bytes at the end of the output: write at most that many there, then side_add() how
 * many they were. Saves a copy. */
uint8_t *side_room(struct side *s, size_t n);
void side_add(struct side *s, size_t n);

/* The same with a format, for protocols of text. */
void side_printf(struct side *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
