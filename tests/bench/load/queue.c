/* A work queue: one producer, told by the broker that it has each message, and one consumer that
 * acknowledges each. How fast, and how long until a message is confirmed and until it is delivered.
 *
 * Never more than a window of messages is unconfirmed, nor BACKLOG_MAX undelivered: so a consumer
 * that is slower than the producer holds it up, and a rate is one that lasts. */
#include "tests/bench/load/workload.h"

#include <stdlib.h>
#include <string.h>

#include "tests/bench/load/loop.h"
#include "tests/bench/load/stamp.h"

enum {
    BACKLOG_MAX = 65536,
    RING_LEAST = 1024,
    TURNS = 16 /* between two looks at the clock */
};

static const double silence_s = 2, drain_s = 30;

struct queue {
    struct side pub, sub;
    unsigned window, ring; /* messages; those of the ring are built once, and sent in turn */
    uint8_t *messages;
    size_t one, payload_at; /* bytes of one, and where in it its payload is */
    uint64_t *written_ns;   /* when each of the ring was */
    uint64_t sent, confirmed;
    struct histogram confirms, deliveries;
};

static void arrived(struct side *s, const uint8_t *payload, size_t n)
{
    struct queue *q = s->each_ctx;
    uint64_t ns = stamp_get(payload);

    (void)n;
    if (ns)
        histogram_add(&q->deliveries, s->read_ns - ns);
}

/* Note how long what has been confirmed since took. */
static void look_at_confirms(struct queue *q)
{
    uint64_t now = ns_now();

    for (; q->confirmed < q->pub.confirmed; q->confirmed++)
        if (q->confirmed >= q->pub.greeted)
            histogram_add(&q->confirms, now - q->written_ns[q->confirmed % q->ring]);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void send_some(struct queue *q)
{
    uint64_t upto = least(q->pub.confirmed + q->window, q->pub.granted), now = ns_now();

    upto = least(upto, q->sub.got + q->pub.refused + BACKLOG_MAX);
    for (; q->sent < upto; q->sent++) {
        unsigned i = (unsigned)(q->sent % q->ring);
        uint8_t *message = q->messages + i * q->one;

        stamp_put(message + q->payload_at, now);
        q->written_ns[i] = now;
        side_put(&q->pub, message, q->one);
    }
    loop_flush(&q->pub);
}

static void run_for(struct queue *q, double seconds)
{
    double end = seconds_now() + seconds;

    do {
        for (int i = 0; i < TURNS; i++) {
            send_some(q);
            loop_turn(10);
            look_at_confirms(q);
        }
        if (q->pub.closed || q->sub.closed)
            die("the broker closed a connection");
    } while (seconds_now() < end);
}

static void drain(struct queue *q)
{
    double end = seconds_now() + drain_s, quiet = seconds_now() + silence_s;

    while (seconds_now() < end && seconds_now() < quiet &&
           (q->pub.confirmed < q->sent || q->sub.got + q->pub.refused < q->sent))
        if (loop_turn(100))
            quiet = seconds_now() + silence_s;
}

static void build_ring(struct queue *q, const struct task *t)
{
    uint8_t *payload;

    q->ring = q->window < RING_LEAST ? RING_LEAST : q->window;
    q->messages = malloc((size_t)q->ring * (t->size + LOAD_MESSAGE_MAX - LOAD_PAYLOAD_MAX));
    q->written_ns = calloc(q->ring, sizeof *q->written_ns);
    if (!q->messages || !q->written_ns)
        die("out of memory");
    for (unsigned i = 0; i < q->ring; i++) {
        q->one = t->driver->message(&q->pub, q->messages + i * q->one, q->pub.part.produce, t->size,
                                    &payload);
        q->payload_at = (size_t)(payload - q->messages) - i * q->one;
    }
}

static void open_both(struct queue *q, const struct task *t)
{
    q->window = t->window;
    q->pub.driver = q->sub.driver = t->driver;
    q->pub.part.size = q->sub.part.size = t->size;
    q->pub.part.window = q->sub.part.window = t->window;
    q->pub.part.durable = q->sub.part.durable = t->durable;
    q->sub.part.consume = q->pub.part.produce = "bench";
    q->sub.each = arrived;
    q->sub.each_ctx = q;
    loop_open(&q->sub, t->port);
    loop_ready(&q->sub, ready_s);
    loop_open(&q->pub, t->port);
    loop_ready(&q->pub, ready_s);
    q->sent = q->pub.greeted;
    build_ring(q, t);
}

void work_queue(const struct task *t, struct result *ret)
{
    static const char *const times[] = {"p50_us", "p99_us", "p999_us", "max_us"};
    static const char *const confirm_times[] = {"confirm_p50_us", "confirm_p99_us",
                                                "confirm_p999_us", "confirm_max_us"};
    static struct queue q;
    uint64_t got, sent, confirmed;

    if (t->size < STAMP_SIZE || t->window < 1 || t->window > UINT16_MAX)
        die("wanted: a size of %d bytes for a time, a window of 1 to 65535", STAMP_SIZE);
    open_both(&q, t);
    run_for(&q, warm_up_s);
    memset(&q.confirms, 0, sizeof q.confirms);
    memset(&q.deliveries, 0, sizeof q.deliveries);
    got = q.sub.got;
    sent = q.sent;
    confirmed = q.pub.confirmed;
    ret->before = usage_now(t->pid);
    run_for(&q, t->seconds);
    ret->after = usage_now(t->pid);
    ret->delivered = q.sub.got - got;
    ret->published = q.sent - sent;
    result_add(ret, "window", q.window);
    result_add(ret, "confirmed_per_second",
               (double)(q.pub.confirmed - confirmed) / (ret->after.at - ret->before.at));
    result_add_times(ret, times, &q.deliveries);
    result_add_times(ret, confirm_times, &q.confirms);
    drain(&q);
    result_add(ret, "refused", (double)q.pub.refused);
    ret->lost = (int64_t)(q.sent - q.pub.refused - q.sub.got);
    ret->told_lost = q.sub.told_lost;
    ret->publishers = ret->subscribers = 1;
    loop_close(&q.pub);
    loop_close(&q.sub);
    free(q.messages);
    free(q.written_ns);
}
