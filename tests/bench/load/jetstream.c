/* Work queues of nats-server: a stream in memory (or a file), from which a message goes when it has
 * been acknowledged, and a consumer to which the server pushes. */
#include "tests/bench/load/nats.h"

#include <stdio.h>
#include <string.h>

enum {
    ANSWERS = 1, /* subscriptions: to answers of the API, deliveries, confirms */
    DELIVERIES = 2,
    CONFIRMS = 3,
    UNACKED_LEAST = 1024
};

/* state[0]: answers of the API that have come. */
enum { ANSWERED, ANSWERS_WANTED = 2 };

static void ask(struct side *s, const char *subject, const char *body)
{
    side_printf(s, "PUB $JS.API.%s answers.bench %zu\r\n%s\r\n", subject, strlen(body), body);
}

static void make_stream(struct side *s)
{
    char body[256];

    snprintf(body, sizeof body,
             "{\"name\":\"bench\",\"subjects\":[\"%s\"],\"retention\":\"workqueue\","
             "\"storage\":\"%s\"}",
             s->part.consume, s->part.durable ? "file" : "memory");
    ask(s, "STREAM.CREATE.bench", body);
}

static void make_consumer(struct side *s)
{
    unsigned unacked = s->part.window < UNACKED_LEAST ? UNACKED_LEAST : s->part.window;
    char body[256];

    snprintf(
        body, sizeof body,
        "{\"stream_name\":\"bench\",\"config\":{\"durable_name\":\"bench\",\"deliver_subject\":"
        "\"deliveries.bench\",\"ack_policy\":\"explicit\",\"max_ack_pending\":%u}}",
        unacked);
    ask(s, "CONSUMER.DURABLE.CREATE.bench.bench", body);
}

void jetstream_open(struct side *s)
{
    if (s->part.produce) {
        side_printf(s, "SUB " JETSTREAM_CONFIRMS " %d\r\n", CONFIRMS);
        s->driver->sync(s);
        return;
    }
    side_printf(s, "SUB answers.bench %d\r\nSUB deliveries.bench %d\r\n", ANSWERS, DELIVERIES);
    make_stream(s);
}

static void answer(struct side *s, const struct nats_message *m)
{
    if (memmem(m->payload, m->n, "\"error\"", 7))
        die("JetStream says: %.*s", (int)m->n, (const char *)m->payload);
    s->state[ANSWERED]++;
    if (s->state[ANSWERED] == ANSWERS_WANTED)
        s->ready = true;
    else
        make_consumer(s);
}

static void confirm(struct side *s, const struct nats_message *m)
{
    s->confirmed++;
    if (memmem(m->payload, m->n, "\"error\"", 7))
        s->refused++;
}

/* An empty answer is an ack. */
static void delivery(struct side *s, const struct nats_message *m)
{
    static const char end[] = " 0\r\n\r\n";
    char *p = (char *)side_room(s, m->reply_n + 16), *at = p;

    if (m->n != s->part.size || !m->reply_n)
        die("something came that is not a message of %zu bytes", s->part.size);
    s->got++;
    if (s->each)
        s->each(s, m->payload, m->n);
    at = mempcpy(at, "PUB ", 4);
    at = mempcpy(at, m->reply, m->reply_n);
    at = mempcpy(at, end, sizeof end - 1);
    side_add(s, (size_t)(at - p));
}

void jetstream_take(struct side *s, const struct nats_message *m)
{
    if (m->id == DELIVERIES)
        delivery(s, m);
    else if (m->id == CONFIRMS)
        confirm(s, m);
    else
        answer(s, m);
}
