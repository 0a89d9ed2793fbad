/* The hot path in: consecutive messages straight from the bytes into a run.
 *
 * No frame is decoded here, only looked at; what is not exactly a plain message with the
 * metadata of the one before is left to the decoder. Views lie in the worker's scratch, and the
 * core is called once a run. */
#include "brokerd/doors/rsocket/publish.h"

#include "brokerd/doors/rsocket/send.h"
#include "libbroker/wire/composite.h"
#include "libbroker/wire/rsocket.h"

enum { PLAIN_METADATA = 3 }; /* bytes of the metadata's length */

struct scan {
    struct msg_view *v;
    const uint8_t *p, *end; /* what is left to look at */
    const struct msg_meta *meta;
    struct slice metadata; /* each frame's, if it has any */
    struct block *block;
    uint64_t bytes; /* payloads taken */
    uint32_t n;     /* messages taken */
    uint32_t frame_max;
    uint16_t word; /* type and flags each frame must have */
};

/* Take the frame at s->p if it is whole, has the right type and the right metadata. */
static inline bool take(struct scan *s, uint32_t len)
{
    const uint8_t *data = s->p + RS_HEAD_SIZE, *next = s->p + RS_TCP_LENGTH + len;

    if (len < RS_HEADER || len > s->frame_max || (size_t)(s->end - s->p) < RS_TCP_LENGTH + len)
        return false;
    if (s->word & RS_METADATA) {
        if ((size_t)(next - data) < PLAIN_METADATA + s->metadata.n ||
            be_get_24(data) != s->metadata.n ||
            (s->metadata.n && memcmp(data + PLAIN_METADATA, s->metadata.p, s->metadata.n) != 0))
            return false;
        data += PLAIN_METADATA + s->metadata.n;
    }
    s->v[s->n++] = (struct msg_view){data, (uint32_t)(next - data), s->meta, s->block};
    s->bytes += (uint64_t)(next - data);
    s->p = next;
    return true;
}

/* Take plain messages of stream `id`: nothing to be looked at but the head. */
static void take_plain(struct scan *s, uint32_t id)
{
    const struct scan in = *s; /* what is written below cannot change it: it stays in registers */
    const uint64_t head = rs_plain(id);
    const uint8_t *p = in.p;
    struct msg_view *v = in.v;
    uint32_t len;

    while (v < in.v + DOOR_VIEWS && in.end - p >= RS_HEAD_SIZE && rs_peek_plain(p, head, &len) &&
           len >= RS_HEADER && len <= in.frame_max &&
           in.end - p >= RS_TCP_LENGTH + (ptrdiff_t)len) {
        *v++ = (struct msg_view){p + RS_HEAD_SIZE, len - RS_HEADER, NULL, in.block};
        p += RS_TCP_LENGTH + len;
    }
    s->n = (uint32_t)(v - in.v);
    s->bytes = (uint64_t)(p - in.p) - (uint64_t)s->n * RS_HEAD_SIZE;
    s->p = p;
}

static struct scan scan_start(struct peer *c, struct slice in, struct block *block)
{
    return (struct scan){
        .v = c->link->host->scratch->views,
        .p = in.p,
        .end = in.p + in.n,
        .block = block,
        .frame_max = send_frame_max(c),
    };
}

static void expect(struct scan *s, uint16_t word, const struct memo *m)
{
    s->word = word;
    if (!(word & RS_METADATA))
        return;
    s->metadata = m->metadata;
    s->meta = m->has_meta ? &m->meta : NULL;
}

static size_t scan_channel(struct peer *c, struct publish *ch, uint16_t word, struct scan *s)
{
    const uint8_t *start = s->p;
    const struct memo *m = word & RS_METADATA ? ch->memo : NULL;
    uint32_t id = ch->base.id, len, of;
    uint16_t found;
    struct run run;

    if ((word & RS_METADATA) && (!m || !m->valid))
        return 0;
    expect(s, word, m);
    if (word == RS_PLAIN_PAYLOAD)
        take_plain(s, id);
    else
        while (s->n < DOOR_VIEWS && rs_peek(s->p, (size_t)(s->end - s->p), &len, &of, &found) &&
               of == id && found == word && take(s, len))
            ;
    if (s->n == 0)
        return 0;
    run = (struct run){.v = s->v, .n = s->n, .bytes = s->bytes, .type = m ? m->type : peer_type(c)};
    run.head_room = RS_PAYLOAD_HEAD_SIZE; /* no frame is looked at again */
    publish_channel_run(ch, &run);
    return (size_t)(s->p - start);
}

/* The topic of the frame at s->p, if it is whole and names one and nothing else. */
static inline bool routed(const struct scan *s, uint32_t len, struct slice *ret_topic)
{
    const uint8_t *metadata = s->p + RS_HEAD_SIZE + PLAIN_METADATA;
    uint32_t n;

    if (len < RS_HEADER + PLAIN_METADATA || len > s->frame_max ||
        (size_t)(s->end - s->p) < RS_TCP_LENGTH + len)
        return false;
    n = be_get_24(s->p + RS_HEAD_SIZE);
    return n <= len - RS_HEADER - PLAIN_METADATA &&
           composite_is_route(slice_of(metadata, n), ret_topic);
}

/* Messages that each name another topic and nothing else: runs of one, but the core hears of all
 * their topics first. */
static size_t scan_routed(struct peer *c, struct publish *ch, struct scan *s)
{
    const uint8_t *start = s->p;
    uint32_t id = ch->base.id, len, of;
    struct slice topic[CORE_FORESEE_MAX];
    uint16_t word;

    while (s->n < CORE_FORESEE_MAX && rs_peek(s->p, (size_t)(s->end - s->p), &len, &of, &word) &&
           of == id && word == RS_TYPE_FLAGS(RS_PAYLOAD, RS_NEXT | RS_METADATA) &&
           routed(s, len, &topic[s->n]) && (s->n == 0 || !slice_eq(topic[s->n - 1], topic[s->n]))) {
        const uint8_t *data = topic[s->n].p + topic[s->n].n;

        s->p += RS_TCP_LENGTH + len;
        s->v[s->n++] = (struct msg_view){data, (uint32_t)(s->p - data), NULL, s->block};
    }
    if (s->n < 2) /* one alone, or the first of several to one topic: the memo's work */
        return 0;
    core_foresee(c->link->host->core, topic, s->n);
    for (uint32_t i = 0; i < s->n && !ch->base.gone; i++) {
        struct run run = {.v = &s->v[i], .n = 1, .bytes = s->v[i].len, .type = peer_type(c)};

        publish_channel_to(ch, topic[i], &run);
    }
    return (size_t)(s->p - start);
}

static size_t scan_forget(struct peer *c, struct scan *s)
{
    const uint8_t *start = s->p;
    uint32_t len, id;
    uint16_t found;
    const struct memo *m;
    struct run run;

    m = c->rare->forget.memo;
    if (!m || !m->valid || c->leased)
        return 0;
    expect(s, RS_TYPE_FLAGS(RS_REQUEST_FNF, RS_METADATA), m);
    while (s->n < DOOR_VIEWS && rs_peek(s->p, (size_t)(s->end - s->p), &len, &id, &found) &&
           found == s->word && (id & 1) && (c->streams.n == 0 || !streams_find(&c->streams, id)) &&
           take(s, len))
        ;
    if (s->n == 0)
        return 0;
    run = (struct run){.v = s->v, .n = s->n, .bytes = s->bytes, .type = m->type};
    publish_forget_run(c, &run);
    return (size_t)(s->p - start);
}

size_t publish_scan(struct peer *c, struct slice in, struct block *block)
{
    uint32_t len, id;
    uint16_t word;
    struct scan s;

    if (!rs_peek(in.p, in.n, &len, &id, &word))
        return 0;
    if (c->hot && id == c->hot->id &&
        (word == RS_PLAIN_PAYLOAD || word == RS_TYPE_FLAGS(RS_PAYLOAD, RS_NEXT | RS_METADATA))) {
        struct publish *ch = (struct publish *)c->hot;
        size_t used;

        s = scan_start(c, in, block);
        used = scan_channel(c, ch, word, &s);
        if (used == 0 && ch->target_n == 0 && !ch->is_queue && c->metadata == METADATA_COMPOSITE)
            used = scan_routed(c, ch, &s);
        return used;
    }
    if (word == RS_TYPE_FLAGS(RS_REQUEST_FNF, RS_METADATA)) {
        s = scan_start(c, in, block);
        return scan_forget(c, &s);
    }
    return 0;
}
