/* The hot path out: runs of deliveries into the connection's output.
 *
 *      | MESSAGE, subscription, destination, message-id, ack, content-type, redelivered |
 *      | headers of the message, gap | content-length | body | NUL |
 *
 * What all messages of a run have in common, the first line above, is made once: the *base*. Within
 * it only the number at the end of the message-id differs, which has always as many digits. A run
 * whose messages have nothing of the second line is written in one piece, and that piece again for
 * the next consumer to whom it looks the same. */
#include "brokerd/doors/stomp/subscribe.h"

#include "brokerd/doors/options.h"
#include "brokerd/doors/stomp/publish.h"
#include "brokerd/doors/stomp/stomp.h"
#include "libbroker/base/headers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    CTYPE_TEXT = 256,
    /* Everything may need escapes. */
    BASE_MAX = 256 + 2 * (STOMP_DESTINATION_TEXT + 3 * (STOMP_ID_MAX + 64) + CTYPE_TEXT),
    LENGTH_MAX = 15 + 20 + 2, /* "content-length:", digits, the empty line */
    GAPS_TEXT = 32 * REASON_TABLE_SIZE,
};

/* One delivery call: what holds for all its messages. */
struct job {
    struct stomp_sub *s;
    struct out *out;
    const struct delivery *d;
    enum stomp_version version;
    uint64_t number;     /* of the first message, in its message-id */
    size_t base_n;       /* bytes of `base` */
    size_t number_at[2]; /* where in it the number is */
    unsigned numbers;
    uint8_t base[BASE_MAX];
};

/* ------------------------------------------------------------------------------- base */

static void put_digits(uint8_t *p, uint64_t n)
{
    static const char digits[] = "0123456789abcdef";

    for (unsigned i = STOMP_NUMBER_TEXT; i--; n >>= 4)
        p[i] = (uint8_t)digits[n & 15];
}

/* "NAME:PREFIXnnnnnnnnnnnnnnnn\n". */
static uint8_t *put_id(struct job *j, uint8_t *p, struct slice name)
{
    p = stomp_put(p, name);
    p = stomp_put_text(p, j->version, stomp_sub_prefix(j->s));
    put_digits(p, j->number);
    j->number_at[j->numbers++] = (size_t)(p - j->base);
    p += STOMP_NUMBER_TEXT;
    *p++ = '\n';
    return p;
}

static uint8_t *put_destination(const struct job *j, uint8_t *p)
{
    const struct topic *t = j->d->topic;
    struct slice topic = topic_slice(t), queue = slice_of(j->s->queue, j->s->queue_n);
    char text[STOMP_DESTINATION_TEXT];
    size_t n;

    if (!j->s->entry) /* a reply queue */
        return stomp_put_text(stomp_put(p, SLICE("/reply-queue/")), j->version, queue);
    n = stomp_destination_put(text, topic, slice_eq(topic, queue));
    return stomp_put_text(p, j->version, slice_of(text, n));
}

static void make_base(struct job *j, struct ctype type)
{
    struct slice name = ctype_name(type);
    uint8_t *p = j->base;

    j->numbers = 0;
    p = stomp_put(p, SLICE("MESSAGE\n"));
    if (j->s->has_id)
        p = stomp_put_header(p, j->version, SLICE("subscription"), stomp_sub_id(j->s));
    p = put_destination(j, stomp_put(p, SLICE("destination:")));
    *p++ = '\n';
    p = put_id(j, p, SLICE("message-id:"));
    if (j->s->mode != STOMP_AUTO && j->version == STOMP_1_2)
        p = put_id(j, p, SLICE("ack:"));
    if (name.n && name.n <= CTYPE_TEXT)
        p = stomp_put_header(p, j->version, SLICE("content-type"), name);
    if (j->d->attempt > 1)
        p = stomp_put(p, SLICE("redelivered:true\n"));
    else
        p = stomp_put(p, SLICE("redelivered:false\n"));
    j->base_n = (size_t)(p - j->base);
}

static uint8_t *put_length(uint8_t *p, uint32_t n)
{
    p = stomp_put_number(stomp_put(p, SLICE("content-length:")), n);
    *p++ = '\n';
    *p++ = '\n';
    return p;
}

/* ------------------------------------------------------------------------------- one by one */

static uint8_t *put_header(uint8_t *p, enum stomp_version v, const struct header *h)
{
    struct slice name = h->name;

    if (slice_eq(name, SLICE("$reply-to"))) {
        name = SLICE("reply-to");
    } else if (name.p[0] == '$') {
        p = stomp_put(p, SLICE("broker-"));
        name = slice_from(name, 1);
    } else if (!stomp_is_carried(name)) {
        return p; /* one that MESSAGE has for itself */
    }
    p = stomp_put_text(p, v, name);
    *p++ = ':';
    p = stomp_put_text(p, v, h->value);
    *p++ = '\n';
    return p;
}

uint8_t *stomp_put_headers(uint8_t *p, enum stomp_version v, struct slice headers)
{
    struct header h;

    while (headers_next(&headers, &h) > 0)
        p = put_header(p, v, &h);
    return p;
}

/* "gap:3 drop-oldest, 1 expired\n". */
static uint8_t *put_gaps(const struct job *j, uint8_t *p)
{
    const struct delivery *d = j->d;

    p = stomp_put(p, SLICE("gap:"));
    for (unsigned i = 0; i < d->gaps_n; i++) {
        if (i)
            p = stomp_put(p, SLICE(", "));
        p = stomp_put_number(p, d->gaps[i].count);
        *p++ = ' ';
        p = stomp_put(p, slice_str(reason_name(d->gaps[i].reason)));
    }
    *p++ = '\n';
    return p;
}

/* The headers of message `i` that are not in the base. */
static uint8_t *put_more(const struct job *j, uint8_t *p, uint32_t i)
{
    const struct msg_meta *meta = j->d->run.v[i].meta;

    if (i == 0 && j->d->gaps_n)
        p = put_gaps(j, p);
    if (j->d->attempt > 1) {
        p = stomp_put_number(stomp_put(p, SLICE("broker-attempt:")), j->d->attempt);
        *p++ = '\n';
    }
    return meta ? stomp_put_headers(p, j->version, meta->headers) : p;
}

/* Large ones by reference. */
static void put_body(const struct job *j, const struct msg_view *v)
{
    if (v->block && v->len >= OUT_BY_REFERENCE)
        (void)out_block(j->out, v->block, slice_of(v->data, v->len));
    else
        (void)out_copy(j->out, v->data, v->len);
    (void)out_copy(j->out, "", 1);
}

static void deliver_one(struct job *j, uint32_t i)
{
    const struct msg_view *v = &j->d->run.v[i];
    const struct msg_meta *meta = v->meta;
    bool own_type = meta && meta->type.id != CTYPE_NONE;
    /* Each byte may be escaped, and each header (of four bytes at least) get a "broker-". */
    size_t most = BASE_MAX + LENGTH_MAX + GAPS_TEXT + (meta ? 4 * meta->headers.n : 0);
    uint8_t *to, *p;

    make_base(j, own_type ? meta->type : j->d->run.type);
    to = out_reserve(j->out, most);
    if (!to)
        return; /* broken, net closes it */
    for (unsigned k = 0; k < j->numbers; k++)
        put_digits(j->base + j->number_at[k], j->number + i);
    p = stomp_put(to, slice_of(j->base, j->base_n));
    p = put_length(put_more(j, p, i), v->len);
    out_commit(j->out, (size_t)(p - to));
    put_body(j, v);
}

/* ------------------------------------------------------------------------------- in one go */

/* Does the base say all, and is it copied? */
static bool is_plain(const struct job *j, uint32_t i)
{
    const struct msg_view *v = &j->d->run.v[i];

    return (!v->meta || (!v->meta->headers.n && v->meta->type.id == CTYPE_NONE)) &&
           v->len < OUT_BY_REFERENCE && j->d->attempt == 1 && (i > 0 || !j->d->gaps_n);
}

static size_t digits_of(uint32_t n)
{
    size_t d = 1;

    while (n >= 10) {
        n /= 10;
        d++;
    }
    return d;
}

/* Messages that are written in one go: which, and the bytes of their frames. */
struct stretch {
    uint32_t first, end;
    size_t size;
};

/* The messages from `first` on that are plain and fit together into `room` bytes; one fits. */
static struct stretch stretch(const struct job *j, uint32_t first, size_t room)
{
    const struct run *run = &j->d->run;
    struct stretch t = {.first = first, .end = first};
    uint32_t len = 0;
    size_t digits = 1;

    for (; t.end < run->n && is_plain(j, t.end); t.end++) {
        size_t one;

        if (run->v[t.end].len != len)
            digits = digits_of(len = run->v[t.end].len);
        one = j->base_n + LENGTH_MAX - 20 + digits + len + 1;
        if (t.end > first && t.size + one > room)
            break;
        t.size += one;
    }
    return t;
}

/* One after the other. Where lengths are equal the head is as the one before, but for the number.
 */
static void put_each(const struct job *j, uint8_t *p, const struct stretch *t)
{
    uint8_t head[BASE_MAX + LENGTH_MAX];
    size_t head_n = 0;
    uint32_t len = 0;

    memcpy(head, j->base, j->base_n);
    for (uint32_t i = t->first; i < t->end; i++) {
        const struct msg_view *v = &j->d->run.v[i];

        if (!head_n || v->len != len)
            head_n = (size_t)(put_length(head + j->base_n, len = v->len) - head);
        for (unsigned k = 0; k < j->numbers; k++)
            put_digits(head + j->number_at[k], j->number + i);
        memcpy(p, head, head_n);
        memcpy(p + head_n, v->data, len);
        p += head_n + len;
        *p++ = 0;
    }
}

static bool is_encoded(const struct job *j, const struct door_encoded *e)
{
    return e->offer && e->offer == j->d->offer && e->v == j->d->run.v && e->n == j->d->run.n &&
           e->door == &stomp_door && e->head_n == j->base_n &&
           memcmp(e->head, j->base, j->base_n) == 0;
}

/* Write the run as it was encoded for another consumer, or encode it so that the next may. */
static bool deliver_shared(const struct job *j)
{
    struct door_encoded *e = &j->s->peer->link->host->scratch->encoded;
    struct stretch t;

    if (!j->d->offer || j->s->mode != STOMP_AUTO || j->base_n > DOOR_HEAD_MAX)
        return false;
    if (!is_encoded(j, e)) {
        t = stretch(j, 0, DOOR_ENCODED);
        if (t.end < j->d->run.n)
            return false;
        put_each(j, e->buf, &t);
        e->offer = j->d->offer;
        e->v = j->d->run.v;
        e->n = j->d->run.n;
        e->door = &stomp_door;
        e->frame_max = 0;
        e->head_n = (uint32_t)j->base_n;
        memcpy(e->head, j->base, j->base_n);
        e->bytes = slice_of(e->buf, t.size);
    }
    out_write(j->out, e->bytes);
    return true;
}

static void deliver_parts(struct job *j)
{
    for (uint32_t i = 0; i < j->d->run.n;) {
        struct stretch t = stretch(j, i, BLOCK_LARGE);

        if (t.end > i) {
            uint8_t *p = out_reserve(j->out, t.size);

            if (!p)
                return; /* broken, net closes it */
            put_each(j, p, &t);
            out_commit(j->out, t.size);
            i = t.end;
        } else {
            deliver_one(j, i++);
            make_base(j, j->d->run.type);
        }
    }
    out_end(j->out);
}

uint64_t stomp_deliver(void *ctx, const struct delivery *d)
{
    struct stomp_sub *s = ctx;
    struct stomp_peer *c = s->peer;
    struct job j;

    s->delivered = d->first + d->run.n - 1;
    if (c->over)
        return c->link->out.end; /* ERROR was the last frame */
    j.s = s;
    j.out = &c->link->out;
    j.d = d;
    j.version = c->reader.version;
    /* Automatic acks: the message's own, which is the same for all that get it. */
    j.number = s->mode == STOMP_AUTO ? d->id : d->first;
    make_base(&j, d->run.type);
    if (!deliver_shared(&j))
        deliver_parts(&j);
    return c->link->out.end;
}
