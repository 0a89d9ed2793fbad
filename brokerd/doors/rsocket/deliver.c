/* The hot path out: runs of deliveries into the connection's output.
 *
 *      plain      | 9 bytes of head | payload |
 *      otherwise  | 9 bytes of head | u24 | topic item, type item, headers item | payload |
 *
 * Metadata that all messages of a run share (topic, type) are made once, as the *prefix*. A
 * stretch of messages that need no more is written in one go: room for all of it is reserved at
 * once. Others (headers, gaps, facts) and large ones go one by one. */
#include "brokerd/doors/rsocket/consume.h"

#include "brokerd/doors/rsocket/send.h"
#include "libbroker/base/headers.h"
#include "libbroker/base/name.h"
#include "libbroker/wire/composite.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    TOPIC_ITEM_MAX = 5 + NAME_MAX_BYTES,
    TYPE_ITEM_MAX = 4 + 1 + COMPOSITE_NAME_MAX,
    PREFIX_MAX = TOPIC_ITEM_MAX + TYPE_ITEM_MAX,
    OWN_HEADER_MAX = 64, /* bytes of one header we add: `$time` with an RFC 3339 time is 35 */
    TEXT_MAX = 48,
};

/* One delivery call: what holds for all its messages. */
struct job {
    struct consume *s;
    struct peer *c;
    const struct delivery *d;
    uint32_t frame_max;
    size_t head_n;                               /* bytes of `head` */
    uint8_t head[RS_HEAD_SIZE + 3 + PREFIX_MAX]; /* before the payload, where the prefix says all */
    char time[TEXT_MAX];                         /* with facts */
};

static bool topic_is_known(const struct job *j)
{
    const struct topic *t = j->d->topic;

    return t->len == j->s->topic_n && memcmp(t->name, j->s->topic, t->len) == 0;
}

static uint8_t *put_topic(const struct job *j, uint8_t *p)
{
    if (topic_is_known(j))
        return p;
    if (j->c->metadata == METADATA_ROUTING)
        return routing_put_tag(p, topic_slice(j->d->topic));
    return composite_put_route(p, topic_slice(j->d->topic));
}

/* The item that says a type other than the connection's; nothing for one without a name. */
static uint8_t *put_type(const struct job *j, uint8_t *p, struct ctype type)
{
    struct slice name;

    if (j->c->metadata != METADATA_COMPOSITE || ctype_eq(type, j->c->type))
        return p;
    name = ctype_name(type);
    return composite_data_type_size(name) ? composite_put_data_type(p, name) : p;
}

/* ------------------------------------------------------------------------ one after the other */

static uint8_t *put_text(uint8_t *p, struct slice name, const char *text)
{
    return headers_put(p, name, slice_str(text));
}

static uint8_t *put_number(uint8_t *p, struct slice name, uint64_t n)
{
    char text[TEXT_MAX];

    (void)snprintf(text, sizeof text, "%" PRIu64, n);
    return put_text(p, name, text);
}

/* The headers the broker adds to message `i` of the run. */
static uint8_t *put_own_headers(const struct job *j, uint8_t *p, uint32_t i)
{
    const struct delivery *d = j->d;
    char text[TEXT_MAX];

    for (unsigned g = 0; i == 0 && g < d->gaps_n; g++) {
        (void)snprintf(text, sizeof text, "%" PRIu64 " %s", d->gaps[g].count,
                       reason_name(d->gaps[g].reason));
        p = put_text(p, SLICE("$gap"), text);
    }
    if (d->attempt > 1)
        p = put_number(p, SLICE("$attempt"), d->attempt);
    if (j->s->facts) {
        p = put_number(p, SLICE("$seq"), d->seq + i);
        p = put_text(p, SLICE("$time"), j->time);
        p = put_number(p, SLICE("$id"), d->id + i);
    }
    return p;
}

/* The metadata of message `i` on a connection that knows routing tags only. */
static uint8_t *put_tags(const struct job *j, uint8_t *p, uint32_t i)
{
    char text[TEXT_MAX];

    p = put_topic(j, p);
    for (unsigned g = 0; i == 0 && g < j->d->gaps_n; g++) {
        (void)snprintf(text, sizeof text, "$gap=%" PRIu64 " %s", j->d->gaps[g].count,
                       reason_name(j->d->gaps[g].reason));
        p = routing_put_tag(p, slice_str(text));
    }
    return p;
}

/* The metadata of message `i`, headers and all. */
static uint8_t *put_items(const struct job *j, uint8_t *p, uint32_t i)
{
    static const struct mime mime = {MIME_UNKNOWN,
                                     {(const uint8_t *)HEADERS_MIME, sizeof HEADERS_MIME - 1}};
    const struct msg_meta *meta = j->d->run.v[i].meta;
    struct slice headers = meta ? meta->headers : slice_of(NULL, 0);
    size_t head_n = composite_size(&mime, 0), n;
    uint8_t *start;

    p = put_topic(j, p);
    p = put_type(j, p, meta ? meta->type : j->d->run.type);
    start = p + head_n; /* the head says how many bytes follow: written after them */
    n = (size_t)(put_own_headers(j, start, i) - start);
    if (headers.n)
        memcpy(start + n, headers.p, headers.n);
    n += headers.n;
    return n == 0 ? p : composite_put_head(p, &mime, n) + n;
}

static void deliver_one(const struct job *j, uint32_t i)
{
    const struct msg_view *v = &j->d->run.v[i];
    uint8_t small[2048], *buf = small, *end;
    size_t most = PREFIX_MAX + OWN_HEADER_MAX * (size_t)(6 + j->d->gaps_n) +
                  (v->meta ? v->meta->headers.n : 0);

    if (most > sizeof small)
        buf = malloc(most);
    if (!buf) {
        j->c->link->out->broken = true; /* a stream with a hole must not go on */
        return;
    }
    end = j->c->metadata == METADATA_ROUTING ? put_tags(j, buf, i) : put_items(j, buf, i);
    send_payload(j->c, j->s->base.id,
                 &(struct payload){
                     .flags = RS_NEXT,
                     .has_metadata = end > buf,
                     .metadata = slice_of(buf, (size_t)(end - buf)),
                     .data = slice_of(v->data, v->len),
                     .block = v->block,
                 });
    if (buf != small)
        free(buf);
}

/* --------------------------------------------------------------------------------- in one go */

/* Does the message have something to say that the prefix does not? */
static bool has_more_to_say(const struct run *run, const struct msg_meta *meta)
{
    return meta && (meta->headers.n > 0 || !ctype_eq(meta->type, run->type));
}

/* Messages that are written in one go. */
struct stretch {
    uint32_t first, end; /* which: first..end-1 */
    size_t size;         /* bytes they take with their heads */
    bool in_line;        /* they lie in one block as they are to be written, but for their heads */
};

/* The messages from `first` on that need no more than the prefix and fit together into one large
 * block. */
static struct stretch stretch(const struct job *j, uint32_t first)
{
    const struct run *run = &j->d->run;
    const struct msg_view *v = &run->v[first], *end = run->v + run->n, *at;
    const struct block *block = j->head_n == RS_PAYLOAD_HEAD_SIZE ? v->block : NULL;
    const uint8_t *next = v->data; /* where the payload lies if all are in line */
    bool in_line = block;
    size_t size = 0;

    for (at = v; at < end; at++) {
        size_t one = j->head_n + at->len;

        if (has_more_to_say(run, at->meta) || at->len >= OUT_BY_REFERENCE ||
            one - RS_TCP_LENGTH > j->frame_max || (at > v && size + one > BLOCK_LARGE))
            break;
        in_line &= at->block == block && at->data == next;
        next = at->data + one;
        size += one;
    }
    return (struct stretch){first, first + (uint32_t)(at - v), size, in_line};
}

/* One after the other. Their heads differ in the length only, so `head` is copied and its first
 * three bytes set. */
static void put_each(const struct job *j, uint8_t *p, const struct msg_view *v, uint32_t n)
{
    uint32_t fixed = (uint32_t)(j->head_n - RS_TCP_LENGTH);

    for (uint32_t i = 0; i < n; i++) {
        memcpy(p, j->head, j->head_n);
        (void)be_put_24(p, fixed + v[i].len);
        memcpy(p + j->head_n, v[i].data, v[i].len);
        p += j->head_n + v[i].len;
    }
}

/* All in one copy, then the heads over what came between. */
static void put_in_line(const struct job *j, uint8_t *p, const struct msg_view *v, uint32_t n,
                        size_t size)
{
    uint32_t id = j->s->base.id;

    memcpy(p + RS_PAYLOAD_HEAD_SIZE, v->data, size - RS_PAYLOAD_HEAD_SIZE);
    for (uint32_t i = 0; i < n; i++)
        p = rs_put_payload_head(p, id, RS_NEXT, v[i].len) + v[i].len;
}

static void deliver_stretch(const struct job *j, const struct stretch *t)
{
    const struct msg_view *v = j->d->run.v + t->first;
    uint32_t n = t->end - t->first;
    uint8_t *p = out_reserve(j->c->link->out, t->size);

    if (!p)
        return; /* broken, net closes it */
    if (t->in_line)
        put_in_line(j, p, v, n, t->size);
    else
        put_each(j, p, v, n);
    out_commit(j->c->link->out, t->size);
}

/* Does message `i` carry headers of ours? */
static bool has_own_headers(const struct job *j, uint32_t i)
{
    return (i == 0 && j->d->gaps_n > 0) ||
           (j->c->metadata == METADATA_COMPOSITE && (j->d->attempt > 1 || j->s->facts));
}

static void format_time(int64_t wall_ms, char *buf, size_t size)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    size_t n;

    if (!gmtime_r(&seconds, &tm) || (n = strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm)) == 0)
        buf[n = 0] = '\0';
    (void)snprintf(buf + n, size - n, ".%03dZ", (int)(wall_ms % 1000));
}

/* What all messages of the run have before their payload. */
static void make_head(struct job *j)
{
    uint8_t prefix[PREFIX_MAX], *p = put_topic(j, prefix);
    uint32_t id = j->s->base.id;

    p = put_type(j, p, j->d->run.type);
    if (p == prefix)
        p = rs_put_payload_head(j->head, id, RS_NEXT, 0);
    else
        p = rs_put_payload_metadata_head(j->head, id, RS_NEXT,
                                         slice_of(prefix, (size_t)(p - prefix)), 0);
    j->head_n = (size_t)(p - j->head);
}

uint64_t consume_deliver(void *ctx, const struct delivery *d)
{
    struct consume *s = ctx;
    struct job j;

    j.s = s;
    j.c = s->base.peer;
    j.d = d;
    j.frame_max = send_frame_max(j.c);
    make_head(&j);
    if (s->facts)
        format_time(d->time_ms, j.time, sizeof j.time);
    for (uint32_t i = 0; i < d->run.n;) {
        struct stretch t = {.end = i};

        if (!has_own_headers(&j, i))
            t = stretch(&j, i);
        if (t.end > i) {
            deliver_stretch(&j, &t);
            i = t.end;
        } else {
            deliver_one(&j, i++);
        }
    }
    send_end(j.c);
    return j.c->link->out->end;
}
