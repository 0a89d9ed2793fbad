/* Publishers: made, published by, given back. Their hot path is take_fast(). */
#include "libbroker/client/publisher.h"

#include <stdlib.h>
#include <string.h>

#include "libbroker/wire/composite.h"

/* ---- Publishing ---- */

void cl_publisher_mark(broker_publisher *p)
{
    if (!p->dirty && p->q.pending > 0) {
        TAILQ_INSERT_TAIL(&p->b->dirty_publishers, p, dirty_link);
        p->dirty = true;
    }
}

void cl_publisher_refresh(broker_publisher *p)
{
    uint64_t unsettled = p->published - p->settled, room;

    p->fast = 0;
    if (p->ended || p->gone || p->b->closing || p->b->link.draining || !p->granted ||
        p->sendable != p->published || unsettled >= p->max_messages)
        return;
    room = p->max_messages - unsettled;
    p->fast = p->credit < room ? p->credit : room;
}

/* Written bytes are on their way: have the driver, or at last this call, send them. */
static inline void added(broker_publisher *p)
{
    broker *b = p->b;

    if (!p->dirty)
        cl_publisher_mark(p);
    cl_maybe_flush(b, p->q.pending);
    cl_poke(b);
}

static bool same_topic(const broker_publisher *p, const char *topic)
{
    return !topic || (strncmp(topic, p->topic, sizeof p->topic) == 0 && p->topic_n > 0);
}

/* A plain message to the topic of the one before, into a chunk that has room: its number, or 0 if
 * it has to go the other way. */
static inline int64_t take_fast(broker_publisher *p, const char *topic, const void *data,
                                size_t len)
{
    struct cl_chunk *c = p->q.tail;
    uint8_t *at;

    if (p->fast == 0 || !c || c->len == 0 || len > CL_CHUNK_SIZE ||
        c->cap - c->len < RS_PAYLOAD_HEAD_SIZE + len || RS_HEADER + len > p->b->opt.o.max_frame ||
        len > p->b->opt.o.max_message || p->topic_n == 0 || !same_topic(p, topic))
        return 0;
    at = rs_put_payload_head(c->bytes + c->len, p->stream.id, RS_NEXT, len);
    if (len > 0)
        memcpy(at, data, len);
    c->last = ++p->published;
    p->sendable++;
    p->credit--;
    p->fast--;
    cl_outq_commit(&p->q, RS_PAYLOAD_HEAD_SIZE + len, true);
    added(p);
    return (int64_t)p->published;
}

/* BROKER_OK if one more message is taken now. */
static int admit(const broker_publisher *p)
{
    uint64_t unsettled = p->published - p->settled;

    if (p->ended)
        return BROKER_ENDED;
    if (p->b->closing)
        return BROKER_CLOSED;
    if (unsettled >= p->max_messages || (unsettled > 0 && p->q.held >= p->max_bytes))
        return BROKER_NO_CREDIT;
    return p->granted && p->credit == 0 ? BROKER_NO_CREDIT : BROKER_OK;
}

/* The topic a message goes to; *ret_same: the message need not say it. */
static int choose_topic(broker_publisher *p, const char *topic, struct slice *ret, bool *ret_same)
{
    struct slice before = slice_of(p->topic, p->topic_n);

    if (!topic)
        *ret = p->topic_n > 0 ? before : slice_str(p->default_topic);
    else
        *ret = slice_str(topic);
    if (ret->n == 0)
        return cl_fail(p->b, BROKER_INVALID, "no topic given, and the publisher has none");
    *ret_same = slice_eq(*ret, before);
    return *ret_same ? BROKER_OK : cl_check_topic(p->b, *ret, p->to_queue);
}

static int build_metadata(broker_publisher *p, struct slice topic, bool say_topic,
                          const struct broker_publish_options *o)
{
    int r = BROKER_OK;

    cl_meta_begin(p->b);
    if (say_topic)
        r = cl_meta_topic(p->b, topic);
    return r == BROKER_OK ? cl_meta_publish(p->b, o) : r;
}

static bool fits_tail(const broker_publisher *p, size_t n)
{
    const struct cl_chunk *c = p->q.tail;

    return c && c->len > 0 && c->cap - c->len >= n;
}

static struct rs_frame frame_of(const broker_publisher *p, struct slice data)
{
    struct rs_frame f = {.stream = p->stream.id, .type = RS_PAYLOAD, .flags = RS_NEXT};

    f.metadata = cl_meta(p->b);
    f.has_metadata = f.metadata.n > 0;
    f.data = data;
    return f;
}

/* Encode one message behind the others. */
static int append(broker_publisher *p, struct slice topic, bool same, struct slice data,
                  const struct broker_publish_options *o)
{
    uint32_t max_frame = (uint32_t)p->b->opt.o.max_frame;
    bool fresh, sendable = p->granted && p->credit > 0 && p->sendable == p->published;
    struct rs_frame f;
    size_t n;
    uint8_t *at;
    int r = build_metadata(p, topic, !same, o);

    if (r != BROKER_OK)
        return r;
    f = frame_of(p, data);
    n = rs_fragmented_size(&f, max_frame);
    if (same && !fits_tail(p, n)) { /* the first of a chunk says its topic */
        r = build_metadata(p, topic, true, o);
        if (r != BROKER_OK)
            return r;
        f = frame_of(p, data);
        n = rs_fragmented_size(&f, max_frame);
    }
    at = cl_outq_reserve(&p->q, n, &fresh);
    if (!at)
        return BROKER_NO_MEMORY;
    if (p->q.tail->len == 0)
        p->q.tail->first = p->published + 1;
    rs_put_fragmented(at, &f, max_frame);
    p->q.tail->last = ++p->published;
    cl_outq_commit(&p->q, n, sendable);
    if (sendable) {
        p->sendable++;
        p->credit--;
    }
    return BROKER_OK;
}

static int64_t take(broker_publisher *p, const char *topic, struct slice data,
                    const struct broker_publish_options *o)
{
    struct slice name;
    bool same;
    int r = admit(p);

    if (r == BROKER_NO_CREDIT) { /* what the broker has not seen yet, it cannot settle */
        if (!p->b->threaded && !p->b->link.want_write)
            cl_link_flush(p->b);
        cl_poke(p->b);
    }
    if (r != BROKER_OK)
        return r;
    if (data.n > p->b->opt.o.max_message)
        return cl_fail(p->b, BROKER_TOO_LARGE, "%zu bytes are more than max_message", data.n);
    r = choose_topic(p, topic, &name, &same);
    if (r == BROKER_OK)
        r = append(p, name, same, data, o);
    if (r != BROKER_OK)
        return r;
    if (!same) {
        memmove(p->topic, name.p, name.n);
        p->topic[name.n] = '\0';
        p->topic_n = name.n;
    }
    p->any_required = p->any_required || (o && o->require);
    cl_publisher_refresh(p);
    if (p->q.pending > 0)
        added(p);
    return (int64_t)p->published;
}

int64_t broker_publisher_publish(broker_publisher *p, const char *topic, const void *data,
                                 size_t len, const struct broker_publish_options *o)
{
    int64_t r = 0;

    cl_lock(p->b);
    if (!o)
        r = take_fast(p, topic, data, len);
    if (r == 0)
        r = take(p, topic, slice_of(data, len), o);
    cl_unlock(p->b);
    return r;
}

static bool admits(void *arg)
{
    return admit(arg) != BROKER_NO_CREDIT;
}

int64_t broker_publisher_publish_wait(broker_publisher *p, const char *topic, const void *data,
                                      size_t len, const struct broker_publish_options *o,
                                      int timeout_ms)
{
    int64_t deadline, r = 0;
    int w;

    cl_lock(p->b);
    if (!o)
        r = take_fast(p, topic, data, len);
    if (r != 0)
        goto out;
    deadline = cl_deadline(timeout_ms);
    while ((r = take(p, topic, slice_of(data, len), o)) == BROKER_NO_CREDIT) {
        w = cl_wait_until(p->b, admits, p, deadline);
        if (w != BROKER_OK) {
            r = w == BROKER_TIMED_OUT ? BROKER_NO_CREDIT : w;
            break;
        }
    }
out:
    cl_unlock(p->b);
    return r;
}

size_t broker_publisher_credit(const broker_publisher *p)
{
    uint64_t room;

    cl_lock(p->b);
    room = p->max_messages - (p->published - p->settled);
    if (admit(p) != BROKER_OK)
        room = 0;
    else if (p->granted && p->credit < room)
        room = p->credit;
    cl_unlock(p->b);
    return (size_t)room;
}

int broker_publisher_flush(broker_publisher *p)
{
    return broker_flush(p->b);
}

static bool all_settled(void *arg)
{
    const broker_publisher *p = arg;

    return p->settled == p->published || p->ended;
}

int broker_publisher_drain(broker_publisher *p, int timeout_ms)
{
    int r;

    cl_lock(p->b);
    cl_poke(p->b);
    r = cl_wait_until(p->b, all_settled, p, cl_deadline(timeout_ms));
    if (p->b->threaded && !cl_in_callback(p->b))
        cl_wait_callback(p->b, p); /* on_confirm may just be hearing of the last ones */
    if (p->ended)
        r = BROKER_ENDED;
    cl_unlock(p->b);
    return r;
}

void broker_publisher_stats(const broker_publisher *p, struct broker_publisher_stats *ret)
{
    cl_lock(p->b);
    *ret = p->stats;
    ret->published = p->published;
    ret->settled = p->settled;
    ret->credit = p->credit > BROKER_UNLIMITED ? BROKER_UNLIMITED : (uint32_t)p->credit;
    cl_unlock(p->b);
}

/* ---- Making and giving back ---- */

static int set_fields(broker_publisher *p, const struct broker_publisher_options *o)
{
    broker *b = p->b;

    for (size_t i = 0; i < sizeof o->reserved / sizeof o->reserved[0]; i++)
        if (o->reserved[i])
            return cl_fail(b, BROKER_INVALID, "reserved options are set");
    p->to_queue = o->to_queue;
    p->loss_only = o->loss_only;
    p->max_messages = o->max_messages ? o->max_messages : b->opt.o.outbox_messages;
    p->max_bytes = o->max_bytes ? o->max_bytes : b->opt.o.outbox_bytes;
    p->on_confirm = o->on_confirm;
    p->on_end = o->on_end;
    p->user = o->user;
    p->reopen_at = CL_NEVER;
    p->stream.kind = CL_PUBLISHER;
    if (!o->topic)
        return BROKER_OK;
    memcpy(p->default_topic, o->topic, strlen(o->topic) + 1);
    return BROKER_OK;
}

static int make(broker *b, const struct broker_publisher_options *o, broker_publisher **ret_p)
{
    broker_publisher *p;
    int r = cl_check_open(b);

    if (r == BROKER_OK && o->topic) /* which bounds its length, too */
        r = cl_check_topic(b, slice_str(o->topic), o->to_queue);
    if (r != BROKER_OK)
        return r;
    p = calloc(1, sizeof *p);
    if (!p)
        return BROKER_NO_MEMORY;
    p->b = b;
    r = set_fields(p, o);
    if (r != BROKER_OK) {
        free(p);
        return r;
    }
    TAILQ_INSERT_TAIL(&b->publishers, p, link);
    if (b->link.state == CL_LINK_OPEN && !b->link.draining && !b->link.lost)
        cl_publisher_open(p);
    *ret_p = p;
    return BROKER_OK;
}

int broker_publisher_new(broker *b, const struct broker_publisher_options *o,
                         broker_publisher **ret_p)
{
    static const struct broker_publisher_options defaults;
    int r;

    cl_lock(b);
    r = make(b, o ? o : &defaults, ret_p);
    cl_unlock(b);
    return r;
}

static void destroy(broker_publisher *p)
{
    broker *b = p->b;

    cl_stream_close(b, &p->stream);
    if (b->link.cut == &p->q)
        b->link.cut = NULL;
    if (p->dirty)
        TAILQ_REMOVE(&b->dirty_publishers, p, dirty_link);
    TAILQ_REMOVE(&b->publishers, p, link);
    cl_outq_fini(&p->q);
    free(p->outcomes.p);
    free(p);
}

/* Nobody holds it, and there is nothing left to be written or heard. */
static bool is_over(const broker_publisher *p)
{
    if (!p->gone || p->q.pending > 0)
        return false;
    return p->ended || p->b->closed || p->settled == p->published;
}

void cl_publishers_reap(broker *b)
{
    broker_publisher *p, *next;

    if (b->reap)
        for (p = TAILQ_FIRST(&b->publishers); p; p = next) {
            next = TAILQ_NEXT(p, link);
            if (is_over(p))
                destroy(p);
        }
    b->reap = false;
}

void broker_publisher_free(broker_publisher *p)
{
    broker *b;

    if (!p)
        return;
    b = p->b;
    cl_lock(b);
    cl_wait_callback(b, p);
    p->gone = true;
    cl_publisher_refresh(p);
    if (p->settled == p->published && p->stream.id != 0 && !p->ended && p->q.pending == 0) {
        (void)cl_send_cancel(b, p->stream.id); /* nothing to wait for */
        cl_stream_close(b, &p->stream);
    }
    cl_publisher_complete(p);
    if (b->in_turn)
        b->reap = true;
    else if (is_over(p))
        destroy(p);
    cl_unlock(b);
}
