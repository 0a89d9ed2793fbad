/* The driver for STOMP 1.2, of brokerd, RabbitMQ's plugin or ActiveMQ.
 *
 * Topics are /topic/NAME. A work queue is /queue/NAME: the consumer acknowledges with `client`,
 * where one ACK is for all before it too; each message of the producer asks for a receipt. Messages
 * are not persistent. How many may be unacknowledged has another name with ActiveMQ. */
#include "tests/bench/load/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECEIPTS = 100000 }; /* numbers of five digits */

/* state[]: the number of the last receipt asked for. */
enum { RECEIPT };

static void stomp_open(struct side *s)
{
    s->granted = LOAD_CREDIT_FREE;
    side_printf(s,
                "CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n"
                "heart-beat:0,0\n\n%c",
                0);
    for (unsigned i = 0; i < s->part.filters_n; i++)
        side_printf(s, "SUBSCRIBE\nid:%u\ndestination:/topic/%s\n%s\n%c", i, s->part.filters[i],
                    i + 1 == s->part.filters_n ? "receipt:ready\n" : "", 0);
    if (s->part.consume)
        side_printf(s,
                    "SUBSCRIBE\nid:q\ndestination:/queue/%s\nack:client\nprefetch-count:%u\n"
                    "activemq.prefetchSize:%u\nreceipt:ready\n\n%c",
                    s->part.consume, s->part.window, s->part.window, 0);
}

static size_t stomp_message(struct side *s, uint8_t *to, const char *topic, size_t size,
                            uint8_t **ret_payload)
{
    size_t n = (size_t)sprintf((char *)to, "SEND\ndestination:/%s/%s\ncontent-length:%zu\n",
                               s->part.produce ? "queue" : "topic", topic, size);

    if (s->part.produce)
        n += (size_t)sprintf((char *)to + n, "receipt:%05u\n",
                             (unsigned)(s->state[RECEIPT]++ % RECEIPTS));
    to[n++] = '\n';
    *ret_payload = to + n;
    memset(to + n, 'x', size);
    to[n + size] = 0;
    return n + size + 1;
}

/* What is wanted of a frame that arrived. Values end with their line. */
struct frame {
    size_t head;               /* bytes of command and headers, with the empty line */
    size_t body;               /* bytes of the body, without the zero behind it */
    const char *ack, *receipt; /* or NULL */
};

static bool names(const char *line, size_t len, const char *name, size_t n, const char **ret_value)
{
    if (len <= n || memcmp(line, name, n) != 0)
        return false;
    *ret_value = line + n;
    return true;
}

/* False if the head is not all there. */
static bool read_head(const uint8_t *p, size_t n, struct frame *f)
{
    const char *line = (const char *)p, *last = line + n, *end, *length = NULL;

    f->ack = f->receipt = NULL;
    for (; (end = memchr(line, '\n', (size_t)(last - line))) != NULL; line = end + 1) {
        size_t len = (size_t)(end - line);

        if (len == 0)
            break;
        if (!names(line, len, "content-length:", 15, &length) &&
            !names(line, len, "receipt-id:", 11, &f->receipt))
            (void)names(line, len, "ack:", 4, &f->ack);
    }
    if (!end)
        return false;
    f->head = (size_t)(end + 1 - (const char *)p);
    f->body = length ? strtoul(length, NULL, 10) : 0;
    return true;
}

static void take_receipt(struct side *s, const char *id)
{
    if (id && *id == 'r')
        s->ready = true;
    else
        s->confirmed++;
}

/* Of the messages of one take() only the last is acknowledged, and all before with it. */
static void acknowledge(struct side *s, const char *id)
{
    side_printf(s, "ACK\nid:%.*s\n\n%c", (int)strcspn(id, "\r\n"), id, 0);
}

static size_t stomp_take(struct side *s, const uint8_t *p, size_t n)
{
    const char *ack = NULL;
    struct frame f;
    size_t at = 0;

    while (at < n) {
        if (p[at] == '\n') { /* allowed between frames */
            at++;
            continue;
        }
        if (!read_head(p + at, n - at, &f) || n - at < f.head + f.body + 1)
            break;
        if (p[at] == 'M') {
            if (f.body != s->part.size || p[at + f.head + f.body] != 0)
                die("the subscriber got something that is not a message of %zu bytes",
                    s->part.size);
            ack = f.ack;
            s->got++;
            if (s->each)
                s->each(s, p + at + f.head, f.body);
        } else if (p[at] == 'R') {
            take_receipt(s, f.receipt);
        } else if (p[at] == 'C') {
            s->ready = s->part.filters_n == 0 && !s->part.consume;
        } else {
            die("the broker says: %.*s", (int)(f.head + f.body), (const char *)p + at);
        }
        at += f.head + f.body + 1;
    }
    if (ack)
        acknowledge(s, ack);
    return at;
}

const struct driver stomp_driver = {
    .name = "stomp",
    .does = LOAD_TOPICS | LOAD_DUPLEX | LOAD_QUEUES | LOAD_STALLS,
    .open = stomp_open,
    .take = stomp_take,
    .message = stomp_message,
};
