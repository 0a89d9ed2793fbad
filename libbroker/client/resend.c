/* A publisher's new stream: what has not settled is written again, from the memory that it was
 * written from before. */
#include <stdlib.h>
#include <string.h>

#include "libbroker/client/publisher.h"
#include "libbroker/wire/composite.h"

/* Read the message at `off`; its slices point into `c` or `re`. False if it cannot be had. */
static bool read_message(const struct cl_chunk *c, size_t off, struct reassembly *re,
                         struct rs_frame *ret, size_t *ret_end)
{
    struct rs_frame f;
    const char *why;
    size_t used;

    reassembly_init(re);
    do {
        if (rs_decode(RS_FRAME_MAX, c->bytes + off, c->len - off, &f, &used, &why) != WIRE_FRAME)
            return false;
        off += used;
        *ret_end = off;
    } while (reassembly_add(re, &f, SIZE_MAX / 2, ret) == REASSEMBLY_MORE);
    return true;
}

/* The topic that a message names, empty if it goes where the one before it went. */
static struct slice topic_in(const struct rs_frame *f)
{
    struct slice rest = f->metadata, topic = {NULL, 0};
    struct composite_item item;

    if (f->has_metadata && composite_next(&rest, &item) > 0 && item.mime.id == MIME_ROUTING)
        (void)routing_next(&item.value, &topic);
    return topic;
}

/* Encode `f` once more, with its topic, in a chunk of its own in front of the others. */
static bool say_topic(broker_publisher *p, uint64_t number, const char *topic,
                      const struct rs_frame *f)
{
    uint32_t max_frame = (uint32_t)p->b->opt.o.max_frame;
    struct rs_frame whole = *f;
    struct cl_chunk *c;
    uint8_t *at;
    size_t n;

    cl_meta_begin(p->b);
    if (cl_meta_topic(p->b, slice_str(topic)) != BROKER_OK)
        return false;
    at = cl_buf_reserve(&p->b->scratch, f->metadata.n);
    if (!at)
        return false;
    if (f->metadata.n > 0)
        memcpy(at, f->metadata.p, f->metadata.n);
    p->b->scratch.n += f->metadata.n;
    whole.has_metadata = true;
    whole.metadata = cl_meta(p->b);
    n = rs_fragmented_size(&whole, max_frame);
    c = cl_outq_push_front(&p->q, n);
    if (!c)
        return false;
    rs_put_fragmented(c->bytes, &whole, max_frame);
    c->len = n;
    c->first = c->last = number;
    p->q.held += n;
    return true;
}

/* Find the first unsettled message in the head chunk and have sending start there. */
static bool find_start(broker_publisher *p)
{
    struct cl_chunk *c = p->q.head;
    char topic[NAME_MAX_BYTES + 1] = "";
    size_t off = 0, end = 0;
    bool ok = true;

    for (uint64_t number = c->first; ok && number <= c->last; number++, off = end) {
        struct reassembly re;
        struct rs_frame f;
        struct slice named;

        ok = read_message(c, off, &re, &f, &end);
        named = ok ? topic_in(&f) : (struct slice){NULL, 0};
        if (ok && number > p->settled) {
            c->start = off;
            if (named.n == 0) {
                c->start = end;
                ok = say_topic(p, number, topic, &f);
            }
            reassembly_fini(&re);
            return ok;
        }
        if (named.n > 0 && named.n < sizeof topic) {
            memcpy(topic, named.p, named.n);
            topic[named.n] = '\0';
        }
        reassembly_fini(&re);
    }
    return false;
}

/* Every frame that is to be written again gets the new stream's id. */
static void rename_frames(struct cl_chunk *c, uint32_t id)
{
    for (size_t off = c->start; off < c->len; off += RS_TCP_LENGTH + be_get_24(c->bytes + off))
        be_put_32(c->bytes + off + RS_TCP_LENGTH, id);
}

/* Back to the first unsettled message; nothing may be written until the broker grants it. */
static bool rewind_queue(broker_publisher *p)
{
    struct cl_outq *q = &p->q;

    p->base = p->settled;
    p->stats.resent += p->sendable - p->settled;
    p->sendable = p->settled;
    if (p->published == p->settled) {
        cl_outq_clear(q);
        return true;
    }
    while (q->head->last <= p->settled)
        cl_outq_drop_head(q);
    /* a chunk of one message that was encoded once more stands before the one it came from */
    if (q->head->first <= p->settled && !find_start(p))
        return false;
    for (struct cl_chunk *c = q->head; c; c = c->next) {
        c->sendable = c->start;
        rename_frames(c, p->stream.id);
    }
    q->at = q->head;
    q->at_off = q->head->start;
    q->pending = 0;
    return true;
}

static int build_route(broker_publisher *p)
{
    cl_meta_begin(p->b);
    return cl_meta_route(p->b, "", slice_str(p->to_queue ? "send" : "publish"));
}

void cl_publisher_open(broker_publisher *p)
{
    broker *b = p->b;

    if (cl_stream_open(b, &p->stream) != BROKER_OK) {
        cl_publisher_reopen_later(p, 1000);
        return;
    }
    p->granted = p->stopped = p->completing = false;
    p->credit = 0;
    if (!rewind_queue(p) || build_route(p) != BROKER_OK ||
        cl_send_request(b, RS_REQUEST_CHANNEL, p->stream.id, RS_N_MAX, cl_meta(b),
                        (struct slice){NULL, 0}) != BROKER_OK) {
        cl_link_fail(b, BROKER_NO_MEMORY, "no memory to publish on a new stream");
        return;
    }
    cl_publishers_written(b);
    cl_publisher_refresh(p);
}
