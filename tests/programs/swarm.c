/* swarm: many publishers and many subscribers at once, each with a connection of its own.
 *
 *   swarm PUBLISHERS SUBSCRIBERS MESSAGES
 *
 * Every publisher sends MESSAGES messages of many sizes, each with its publisher, its number and a
 * checksum. Every subscriber must get all of them: whole, none twice, none missing, those of one
 * publisher in the order they were sent. Subscribers hold publishers back (overflow block): so
 * nothing may be lost, however slow the machine. Prints how many deliveries were checked. */
#include <broker.h>

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARTIES = 64, MAX_PAYLOAD = 70000, WAIT_MS = 60000 };

struct head {
    uint32_t publisher;
    uint32_t number; /* from 1 */
    uint32_t size;   /* of the whole payload */
    uint32_t sum;    /* of the bytes behind the head */
};

struct subscriber {
    pthread_t thread;
    broker *b;
    broker_subscription *s;
    unsigned publishers, messages;
    uint32_t last[MAX_PARTIES]; /* number of the last message of each publisher */
    uint64_t got;
};

struct publisher {
    pthread_t thread;
    unsigned index, messages;
};

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    exit(1);
}

static void must(int code, const broker *b, const char *what)
{
    if (code < 0)
        die("%s: %s: %s", what, broker_strerror(code), broker_errmsg(b));
}

static uint32_t sum_of(const uint8_t *p, size_t n)
{
    uint32_t sum = 2166136261u;

    for (size_t i = 0; i < n; i++)
        sum = (sum ^ p[i]) * 16777619u;
    return sum;
}

/* Mostly small, some of a few KiB, a few large enough to go by reference and to be cut. */
static size_t size_of(uint32_t number)
{
    size_t extra = number * 2654435761u >> 16;

    if (number % 997 == 0)
        return sizeof(struct head) + MAX_PAYLOAD - extra % 5000;
    if (number % 31 == 0)
        return sizeof(struct head) + extra % 9000;
    return sizeof(struct head) + extra % 200;
}

static broker *connect_one(void)
{
    broker *b;
    char text[256];
    int r = broker_new(NULL, &b, text, sizeof text);

    if (r < 0)
        die("broker_new: %s", text);
    must(broker_connect(b, WAIT_MS), b, "connect");
    return b;
}

static void *publish(void *arg)
{
    struct publisher *me = arg;
    uint8_t *payload = malloc(sizeof(struct head) + MAX_PAYLOAD);
    broker *b = connect_one();
    struct broker_publisher_stats stats;
    broker_publisher *p;
    char topic[64];

    if (!payload)
        die("no memory");
    for (size_t i = 0; i < MAX_PAYLOAD; i++)
        payload[sizeof(struct head) + i] = (uint8_t)(i * 31 + me->index);
    (void)snprintf(topic, sizeof topic, "swarm.p%u.data", me->index);
    must(broker_publisher_new(b, &(struct broker_publisher_options){.topic = topic}, &p), b,
         "publisher");
    for (uint32_t number = 1; number <= me->messages; number++) {
        size_t n = size_of(number);
        struct head h = {me->index, number, (uint32_t)n, 0};
        int64_t r;

        h.sum = sum_of(payload + sizeof h, n - sizeof h);
        memcpy(payload, &h, sizeof h);
        r = broker_publisher_publish_wait(p, NULL, payload, n, NULL, WAIT_MS);
        if (r != (int64_t)number)
            die("publisher %u, message %u: %s", me->index, number, broker_strerror((int)r));
    }
    must(broker_publisher_drain(p, WAIT_MS), b, "drain");
    broker_publisher_stats(p, &stats);
    if (stats.settled != me->messages || stats.refused || stats.dropped || stats.unmatched)
        die("publisher %u: not everything was accepted", me->index);
    broker_publisher_free(p);
    must(broker_close(b, WAIT_MS), b, "close");
    broker_free(b);
    free(payload);
    return NULL;
}

static void check(struct subscriber *me, broker_message *m)
{
    size_t n;
    const uint8_t *data = broker_message_data(m, &n);
    struct head h;
    char topic[64];

    if (n < sizeof h)
        die("a message of %zu bytes", n);
    memcpy(&h, data, sizeof h);
    if (h.publisher >= me->publishers || h.size != n ||
        h.sum != sum_of(data + sizeof h, n - sizeof h))
        die("a message is not what was sent");
    (void)snprintf(topic, sizeof topic, "swarm.p%u.data", h.publisher);
    if (strcmp(broker_message_topic(m), topic) != 0)
        die("a message of %s came as %s", topic, broker_message_topic(m));
    if (h.number != me->last[h.publisher] + 1)
        die("publisher %u: message %u came after %u", h.publisher, h.number, me->last[h.publisher]);
    me->last[h.publisher]++;
    me->got++;
}

static void *receive(void *arg)
{
    struct subscriber *me = arg;
    uint64_t wanted = (uint64_t)me->publishers * me->messages;

    while (me->got < wanted) {
        broker_message *m;

        must(broker_next(me->s, WAIT_MS, &m), me->b, "next");
        check(me, m);
        broker_message_unref(m);
    }
    return NULL;
}

static void subscribe(struct subscriber *me)
{
    static const char *const filters[] = {"swarm.*.data"};
    static const struct broker_header settings[] = {{"overflow", "block"},
                                                    {"block-timeout", "60s"}};
    const struct broker_subscribe_options o = {.settings = settings, .setting_count = 2};

    me->b = connect_one();
    must(broker_subscribe(me->b, filters, 1, &o, &me->s), me->b, "subscribe");
    must(broker_ping(me->b, WAIT_MS), me->b, "ping");
}

int main(int argc, char **argv)
{
    static struct publisher pubs[MAX_PARTIES];
    static struct subscriber subs[MAX_PARTIES];
    unsigned p = argc == 4 ? (unsigned)atoi(argv[1]) : 0,
             s = argc == 4 ? (unsigned)atoi(argv[2]) : 0;
    unsigned messages = argc == 4 ? (unsigned)atoi(argv[3]) : 0;
    uint64_t got = 0;

    if (!p || !s || !messages || p > MAX_PARTIES || s > MAX_PARTIES)
        die("usage: swarm PUBLISHERS SUBSCRIBERS MESSAGES");
    for (unsigned i = 0; i < s; i++) {
        subs[i].publishers = p;
        subs[i].messages = messages;
        subscribe(&subs[i]);
    }
    for (unsigned i = 0; i < s; i++)
        (void)pthread_create(&subs[i].thread, NULL, receive, &subs[i]);
    for (unsigned i = 0; i < p; i++) {
        pubs[i] = (struct publisher){.index = i, .messages = messages};
        (void)pthread_create(&pubs[i].thread, NULL, publish, &pubs[i]);
    }
    for (unsigned i = 0; i < p; i++)
        (void)pthread_join(pubs[i].thread, NULL);
    for (unsigned i = 0; i < s; i++) {
        (void)pthread_join(subs[i].thread, NULL);
        got += subs[i].got;
        broker_unsubscribe(subs[i].s);
        broker_free(subs[i].b);
    }
    (void)printf("%llu deliveries\n", (unsigned long long)got);
    return 0;
}
