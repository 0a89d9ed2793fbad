/* Deliveries: each message a line.
 *
 *      {"id":TOPIC,"data": | payload | ,"meta":{..} | }
 *
 * The topic is written once a run. A run that says nothing of one subscription only is encoded once
 * for all that get it (door_encoded): with 100 subscribers each payload is looked at once. */
#include "brokerd/doors/body.h"
#include "brokerd/doors/facts.h"
#include "brokerd/doors/json/consume.h"
#include "brokerd/doors/json/json.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    HEAD_MAX = 6 + 6 * 255 + 16, /* a name of 255 bytes, each of them escaped */
    OWN_MAX = 256,               /* what we add to meta: six members, numbers mostly */
};

/* One delivery call: what holds for all its messages. */
struct job {
    const struct jsub *s;
    const struct delivery *d;
    struct jbody_type type; /* the run's */
    size_t head_n;
    uint8_t head[HEAD_MAX];
    char time[FACT_TIME_MAX];
};

static struct jbody look_at(const struct job *j, uint32_t i)
{
    const struct msg_view *v = &j->d->run.v[i];
    struct slice headers = v->meta ? v->meta->headers : slice_of(NULL, 0);
    struct jbody_type own;

    if (!v->meta || v->meta->type.id == CTYPE_NONE || ctype_eq(v->meta->type, j->d->run.type))
        return jbody_of(slice_of(v->data, v->len), headers, &j->type);
    own = jbody_type(v->meta->type);
    return jbody_of(slice_of(v->data, v->len), headers, &own);
}

/* ---------------------------------------------------------------------------------- the meta */

static bool has_meta(const struct job *j, const struct jbody *b)
{
    return j->s->is_queue || j->s->facts || j->d->attempt > 1 || jbody_says_more(b);
}

static uint8_t *put_number(uint8_t *p, struct slice name, uint64_t n)
{
    return jput_number(jput_name(p, name), n);
}

static uint8_t *put_own(const struct job *j, uint8_t *p, uint32_t i)
{
    const struct delivery *d = j->d;

    if (j->s->is_queue) {
        p = put_number(p, SLICE("subscription"), j->s->number);
        p = put_number(p, SLICE("delivery"), d->first + i);
    }
    if (j->s->is_queue || d->attempt > 1)
        p = put_number(p, SLICE("attempt"), d->attempt);
    if (j->s->facts) {
        p = put_number(p, SLICE("seq"), d->seq + i);
        p = jtext_put_string(jput_name(p, SLICE("time")), slice_str(j->time));
        p = put_number(p, SLICE("id"), d->id + i);
    }
    return p;
}

/* Bytes of a line's end, at most. */
static size_t tail_room(const struct job *j, const struct jbody *b)
{
    return 16 + (has_meta(j, b) ? OWN_MAX + jbody_more_room(b) : 0);
}

static uint8_t *put_tail(const struct job *j, uint8_t *p, const struct jbody *b, uint32_t i)
{
    if (has_meta(j, b)) {
        p = jput(p, SLICE(",\"meta\":{"));
        p = jbody_put_more(put_own(j, p, i), b);
        *p++ = '}';
    }
    return jput(p, SLICE("}\n"));
}

/* ---------------------------------------------------------------------------------- the lines */

/* A large value is not copied where it can stand as it is. */
static bool by_reference(const struct jbody *b, const struct block *block)
{
    return block && b->shape == JLINE_VALUE && b->payload.n >= OUT_BY_REFERENCE &&
           !memchr(b->payload.p, '\n', b->payload.n) && !memchr(b->payload.p, '\r', b->payload.n);
}

static void deliver_one(const struct job *j, uint32_t i)
{
    struct jbody b = look_at(j, i);
    struct block *block = j->d->run.v[i].block;
    struct out *o = &j->s->peer->link->out;
    bool refer = by_reference(&b, block);
    size_t room = j->head_n + (refer ? 0 : jbody_data_room(&b) + tail_room(j, &b));
    uint8_t *start = out_reserve(o, room), *p;

    if (!start)
        return; /* broken, net closes it */
    p = jput(start, slice_of(j->head, j->head_n));
    if (refer) {
        out_commit(o, (size_t)(p - start));
        (void)out_block(o, block, b.payload);
        p = start = out_reserve(o, tail_room(j, &b));
        if (!start)
            return;
    } else {
        p = jbody_put_data(p, &b);
    }
    p = put_tail(j, p, &b, i);
    out_commit(o, (size_t)(p - start));
}

static void say_gaps(const struct jsub *s, const struct delivery *d)
{
    struct jsaying l;

    for (unsigned i = 0; i < d->gaps_n; i++) {
        jsay_begin(&l, s->peer, "$gap");
        jsay_number(&l, "subscription", s->number);
        if (d->gaps[i].count)
            jsay_number(&l, "lost", d->gaps[i].count);
        else
            jsay_null(&l, "lost");
        jsay_text(&l, "reason", slice_str(reason_name(d->gaps[i].reason)));
        jsay_end(&l);
    }
}

static void job_init(struct job *j, const struct jsub *s, const struct delivery *d)
{
    uint8_t *p = jput(j->head, SLICE("{\"id\":"));

    j->s = s;
    j->d = d;
    j->type = jbody_type(d->run.type);
    p = jtext_put_string(p, topic_slice(d->topic));
    p = jput(p, SLICE(",\"data\":"));
    j->head_n = (size_t)(p - j->head);
    if (s->facts)
        fact_time(d->time_ms, j->time);
}

/* ----------------------------------------------------------------------- for several at once */

/* Encode the run where others may find it. False: it does not fit there. */
static bool put_aside(const struct job *j, struct door_encoded *e)
{
    uint8_t *p = e->buf;

    for (uint32_t i = 0; i < j->d->run.n; i++) {
        struct jbody b;
        size_t room;

        if (j->d->run.v[i].len > OUT_BY_REFERENCE)
            return false;
        b = look_at(j, i);
        room = j->head_n + jbody_data_room(&b) + tail_room(j, &b);
        if (room > (size_t)(e->buf + sizeof e->buf - p))
            return false;
        p = jput(p, slice_of(j->head, j->head_n));
        p = put_tail(j, jbody_put_data(p, &b), &b, i);
    }
    e->bytes = slice_of(e->buf, (size_t)(p - e->buf));
    return true;
}

/* Write it as it was encoded for another subscription. */
static bool deliver_whole(const struct job *j)
{
    struct door_encoded *e = &j->s->peer->link->host->scratch->encoded;
    const struct delivery *d = j->d;

    if (!d->offer || j->s->is_queue || j->s->facts || d->attempt > 1)
        return false;
    if (e->offer != d->offer || e->v != d->run.v || e->n != d->run.n || e->door != &json_door) {
        e->offer = 0;
        if (!put_aside(j, e))
            return false;
        e->offer = d->offer;
        e->v = d->run.v;
        e->n = d->run.n;
        e->door = &json_door;
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
