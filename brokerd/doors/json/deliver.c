/* Deliveries: each message a line.
 *
 *      {"id":TOPIC,"data": | payload | ,"meta":{..} | }
 *
 * The topic is written once a run. A run that says nothing of one subscription only is encoded once
 * for all that get it (door_encoded): with 100 subscribers each payload is looked at once. */
#include "brokerd/doors/json/consume.h"

#include "brokerd/doors/options.h"
#include "libbroker/base/headers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    HEAD_MAX = 6 + 6 * 255 + 16, /* a name of 255 bytes, each of them escaped */
    OWN_MAX = 512,               /* what the broker adds to meta, in numbers and its own words */
    TIME_MAX = 48,
};

/* One delivery call: what holds for all its messages. */
struct job {
    const struct jsub *s;
    const struct delivery *d;
    bool is_json;  /* the run's type is */
    bool is_plain; /* application/json: not said where the value shows it */
    size_t head_n;
    uint8_t head[HEAD_MAX];
    char time[TIME_MAX];
};

/* A message, looked at. */
struct look {
    const struct msg_view *v;
    struct slice payload, headers;
    struct slice type; /* to be said; empty: not */
    enum jline_shape shape;
    bool has_meta;
};

static bool is_plain_json(struct ctype t)
{
    return slice_eq(ctype_name(t), SLICE("application/json"));
}

static struct look look_at(const struct job *j, uint32_t i)
{
    const struct delivery *d = j->d;
    const struct msg_view *v = &d->run.v[i];
    struct look l = {.v = v, .payload = slice_of(v->data, v->len)};
    bool is_json = j->is_json, is_plain = j->is_plain;
    struct ctype type = d->run.type;

    if (v->meta) {
        l.headers = v->meta->headers;
        if (!ctype_eq(v->meta->type, type) && v->meta->type.id != CTYPE_NONE) {
            type = v->meta->type;
            is_json = jline_is_json(ctype_name(type));
            is_plain = is_plain_json(type);
        }
    }
    l.shape = jline_shape(l.payload, is_json);
    /* A value that is no string can be of no other type; a string without a type is text. */
    if (!is_plain || l.shape != JLINE_VALUE || memchr("\" \t\r\n", l.payload.p[0], 5))
        l.type = ctype_name(type);
    l.has_meta = j->s->is_queue || j->s->facts || d->attempt > 1 || l.headers.n > 0 ||
                 l.type.n > 0 || l.shape == JLINE_BASE64;
    return l;
}

/* ---------------------------------------------------------------------------------- the meta */

/* Bytes that headers take as members, at most. */
static size_t headers_room(struct slice headers)
{
    size_t n = 32;
    struct header h;

    while (headers_next(&headers, &h) > 0)
        n += jtext_string_size(h.name) + jtext_string_size(h.value) + 4;
    return n;
}

static uint8_t *put_name(uint8_t *p, struct slice name)
{
    if (p[-1] != '{')
        *p++ = ',';
    p = jtext_put_string(p, name);
    *p++ = ':';
    return p;
}

static uint8_t *put_number(uint8_t *p, struct slice name, uint64_t n)
{
    return jput_number(put_name(p, name), n);
}

static uint8_t *put_text(uint8_t *p, struct slice name, struct slice text)
{
    return jtext_put_string(put_name(p, name), text);
}

/* All headers after the first of a name stand in its array. */
static bool is_first(struct slice all, const struct header *h)
{
    struct slice value;

    return headers_find(all, h->name, &value) && value.p == h->value.p;
}

static uint8_t *put_values(uint8_t *p, struct slice rest, const struct header *first)
{
    uint8_t *array = p;
    struct header h;

    p = jtext_put_string(p, first->value);
    while (headers_next(&rest, &h) > 0) {
        if (!slice_eq(h.name, first->name))
            continue;
        if (*array != '[') {
            memmove(array + 1, array, (size_t)(p - array));
            *array = '[';
            p++;
        }
        *p++ = ',';
        p = jtext_put_string(p, h.value);
    }
    if (*array == '[')
        *p++ = ']';
    return p;
}

/* Those of the broker's (`$`, said without it) or those of users. */
static uint8_t *put_headers(uint8_t *p, struct slice all, bool ours)
{
    struct slice rest = all;
    struct header h;

    while (headers_next(&rest, &h) > 0) {
        if ((h.name.p[0] == '$') != ours || !is_first(all, &h))
            continue;
        if (ours)
            p = put_text(p, slice_from(h.name, 1), h.value);
        else
            p = put_values(put_name(p, h.name), rest, &h);
    }
    return p;
}

static bool has_users(struct slice headers)
{
    struct header h;

    while (headers_next(&headers, &h) > 0) {
        if (h.name.p[0] != '$')
            return true;
    }
    return false;
}

static uint8_t *put_meta(const struct job *j, uint8_t *p, const struct look *l, uint32_t i)
{
    const struct delivery *d = j->d;

    p = jput(p, SLICE(",\"meta\":{"));
    if (j->s->is_queue) {
        p = put_number(p, SLICE("subscription"), j->s->number);
        p = put_number(p, SLICE("delivery"), d->first + i);
    }
    if (j->s->is_queue || d->attempt > 1)
        p = put_number(p, SLICE("attempt"), d->attempt);
    if (j->s->facts) {
        p = put_number(p, SLICE("seq"), d->seq + i);
        p = put_text(p, SLICE("time"), slice_str(j->time));
        p = put_number(p, SLICE("id"), d->id + i);
    }
    if (l->type.n)
        p = put_text(p, SLICE("type"), l->type);
    p = put_headers(p, l->headers, true);
    if (has_users(l->headers)) {
        p = put_name(p, SLICE("headers"));
        *p++ = '{';
        p = put_headers(p, l->headers, false);
        *p++ = '}';
    }
    if (l->shape == JLINE_BASE64)
        p = jline_put_payload(put_name(p, SLICE("base64")), l->shape, l->payload);
    *p++ = '}';
    return p;
}

/* Bytes of a line's end, at most. */
static size_t tail_room(const struct look *l)
{
    size_t n = 16;

    if (!l->has_meta)
        return n;
    n += OWN_MAX + jtext_string_size(l->type) + headers_room(l->headers);
    return l->shape == JLINE_BASE64 ? n + base64_size(l->payload.n) : n;
}

static uint8_t *put_tail(const struct job *j, uint8_t *p, const struct look *l, uint32_t i)
{
    if (l->has_meta)
        p = put_meta(j, p, l, i);
    return jput(p, SLICE("}\n"));
}

/* ---------------------------------------------------------------------------------- the lines */

static size_t payload_room(const struct look *l)
{
    return l->shape == JLINE_BASE64 ? 4 : jline_payload_size(l->shape, l->payload);
}

static uint8_t *put_payload(uint8_t *p, const struct look *l)
{
    if (l->shape == JLINE_BASE64)
        return jput(p, SLICE("null")); /* it stands in meta */
    return jline_put_payload(p, l->shape, l->payload);
}

/* A large value is not copied where it can stand as it is. */
static bool by_reference(const struct look *l)
{
    return l->shape == JLINE_VALUE && l->v->block && l->payload.n >= OUT_BY_REFERENCE &&
           !memchr(l->payload.p, '\n', l->payload.n) && !memchr(l->payload.p, '\r', l->payload.n);
}

static void deliver_one(const struct job *j, uint32_t i)
{
    struct look l = look_at(j, i);
    struct out *o = &j->s->peer->link->out;
    bool refer = by_reference(&l);
    uint8_t *start = out_reserve(o, j->head_n + (refer ? 0 : payload_room(&l) + tail_room(&l))), *p;

    if (!start)
        return; /* broken, net closes it */
    p = jput(start, slice_of(j->head, j->head_n));
    if (refer) {
        out_commit(o, (size_t)(p - start));
        (void)out_block(o, l.v->block, l.payload);
        p = start = out_reserve(o, tail_room(&l));
        if (!start)
            return;
    } else {
        p = put_payload(p, &l);
    }
    p = put_tail(j, p, &l, i);
    out_commit(o, (size_t)(p - start));
}

static void say_gaps(const struct jsub *s, const struct delivery *d)
{
    struct jsaying l;

    for (unsigned i = 0; i < d->gaps_n; i++) {
        jsay_begin(&l, s->peer, "$gap");
        jsay_number(&l, "subscription", s->number);
        jsay_number(&l, "lost", d->gaps[i].count);
        jsay_text(&l, "reason", slice_str(reason_name(d->gaps[i].reason)));
        jsay_end(&l);
    }
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

static void job_init(struct job *j, const struct jsub *s, const struct delivery *d)
{
    struct slice type = ctype_name(d->run.type);
    uint8_t *p = jput(j->head, SLICE("{\"id\":"));

    j->s = s;
    j->d = d;
    j->is_json = jline_is_json(type);
    j->is_plain = is_plain_json(d->run.type);
    p = jtext_put_string(p, topic_slice(d->topic));
    p = jput(p, SLICE(",\"data\":"));
    j->head_n = (size_t)(p - j->head);
    if (s->facts)
        format_time(d->time_ms, j->time, sizeof j->time);
}

/* ----------------------------------------------------------------------- for several at once */

/* Encode the run where others may find it. False: it does not fit there. */
static bool put_aside(const struct job *j, struct door_encoded *e)
{
    uint8_t *p = e->buf;

    for (uint32_t i = 0; i < j->d->run.n; i++) {
        struct look l;

        if (j->d->run.v[i].len > OUT_BY_REFERENCE)
            return false;
        l = look_at(j, i);
        if (j->head_n + payload_room(&l) + tail_room(&l) > (size_t)(e->buf + sizeof e->buf - p))
            return false;
        p = jput(p, slice_of(j->head, j->head_n));
        p = put_tail(j, put_payload(p, &l), &l, i);
    }
    e->bytes = slice_of(e->buf, (size_t)(p - e->buf));
    return true;
}

/* Write it as it was encoded for another subscription. No other door's has a frame_max of 0. */
static bool deliver_whole(const struct job *j)
{
    struct door_encoded *e = &j->s->peer->link->host->scratch->encoded;
    const struct delivery *d = j->d;

    if (!d->offer || j->s->is_queue || j->s->facts || d->attempt > 1 || j->head_n > DOOR_HEAD_MAX)
        return false;
    if (e->offer != d->offer || e->v != d->run.v || e->n != d->run.n || e->frame_max != 0) {
        e->offer = 0;
        if (!put_aside(j, e))
            return false;
        e->offer = d->offer;
        e->v = d->run.v;
        e->n = d->run.n;
        e->frame_max = 0;
        e->head_n = 0;
    }
    out_write(&j->s->peer->link->out, e->bytes);
    return true;
}

uint64_t jsub_deliver(void *ctx, const struct delivery *d)
{
    struct jsub *s = ctx;
    struct out *o = &s->peer->link->out;
    struct job j;

    if (s->is_queue)
        jsub_tell(s); /* it must know the number by then */
    say_gaps(s, d);
    job_init(&j, s, d);
    if (!deliver_whole(&j)) {
        for (uint32_t i = 0; i < d->run.n; i++)
            deliver_one(&j, i);
        out_end(o);
    }
    return o->end;
}
