/* What the broker says to a publisher: credit, confirms, the end. And what a lost connection means
 * to it. */
#include <stdlib.h>
#include <string.h>

#include "libbroker/client/publisher.h"
#include "libbroker/wire/broker_rs.h"

enum { REOPEN_MS = 1000 };

/* ---- For the link ---- */

struct cl_outq *cl_publisher_outq(broker_publisher *p)
{
    return &p->q;
}

broker_publisher *cl_publisher_next_dirty(broker_publisher *p)
{
    return TAILQ_NEXT(p, dirty_link);
}

void cl_publishers_written(broker *b)
{
    broker_publisher *p, *next;

    for (p = TAILQ_FIRST(&b->dirty_publishers); p; p = next) {
        next = TAILQ_NEXT(p, dirty_link);
        if (p->q.pending > 0)
            continue;
        TAILQ_REMOVE(&b->dirty_publishers, p, dirty_link);
        p->dirty = false;
    }
}

bool cl_publishers_settled(const broker *b, bool sent_only)
{
    const broker_publisher *p;

    TAILQ_FOREACH (p, &b->publishers, link)
        if (!p->ended && p->settled != (sent_only ? p->sendable : p->published))
            return false;
    return true;
}

/* ---- Credit ---- */

/* The end of the message that begins at `off`: of its last frame. */
static size_t message_end(const struct cl_chunk *c, size_t off)
{
    uint16_t word;

    do {
        word = be_get_16(c->bytes + off + 7);
        off += RS_TCP_LENGTH + be_get_24(c->bytes + off);
    } while (word & RS_FOLLOWS);
    return off;
}

void cl_publisher_release(broker_publisher *p)
{
    struct cl_chunk *c = p->q.at;

    while (p->sendable < p->published && p->credit > 0) {
        size_t end;

        while (c->sendable == c->len)
            c = c->next;
        end = message_end(c, c->sendable);
        p->q.pending += end - c->sendable;
        c->sendable = end;
        p->sendable++;
        p->credit--;
    }
    cl_publisher_mark(p);
}

void cl_publisher_complete(broker_publisher *p)
{
    uint8_t *at;

    if (!p->gone || p->completing || p->stream.id == 0 || !p->granted ||
        p->sendable != p->published || p->settled == p->published)
        return;
    at = cl_outq_reserve(&p->q, RS_PAYLOAD_HEAD_SIZE, NULL);
    if (!at)
        return; /* the broker settles what it has all the same */
    rs_put_payload_head(at, p->stream.id, RS_COMPLETE, 0);
    p->q.tail->last = p->published;
    cl_outq_commit(&p->q, RS_PAYLOAD_HEAD_SIZE, true);
    p->completing = true;
    cl_publisher_mark(p);
    cl_poke(p->b);
}

static void grant(broker_publisher *p, uint32_t n)
{
    if (p->stopped || p->b->link.draining)
        return;
    p->granted = true;
    p->credit = p->credit + n > RS_N_MAX ? RS_N_MAX : p->credit + n;
    cl_publisher_release(p);
    cl_publisher_complete(p);
    cl_publisher_refresh(p);
}

/* ---- Confirms ---- */

void cl_publisher_forget(broker_publisher *p)
{
    struct cl_outq *q = &p->q;

    cl_outq_wrote(q, 0); /* past chunks that are written whole */
    while (q->head && q->head != q->at && q->head->last <= p->settled)
        cl_outq_drop_head(q);
    if (!q->head || q->head != q->tail || p->settled != p->published || q->at_off < q->head->len)
        return;
    if (q->head->cap > CL_CHUNK_SIZE)
        cl_outq_clear(q);
    else if (q->head->len > CL_CHUNK_SIZE / 2) /* or else the next one could leave its topic out */
        cl_outq_drop_head(q);
}

static void count_outcome(broker_publisher *p, const struct broker_outcome *o)
{
    if (o->reason == BROKER_REASON_NONE)
        p->stats.unknown += o->count;
    else if (o->reason == BROKER_REASON_NO_MATCH)
        p->stats.unmatched += o->count;
    else if (o->reason >= BROKER_REASON_DROP_OLDEST)
        p->stats.dropped += o->count;
    else
        p->stats.refused += o->count;
}

static bool add_outcome(broker_publisher *p, const struct broker_outcome *o)
{
    uint8_t *at = cl_buf_reserve(&p->outcomes, sizeof *o);

    count_outcome(p, o);
    if (!at)
        return false;
    if (o->reason == BROKER_REASON_NO_MATCH && p->loss_only && !p->any_required)
        return true; /* the program does not want to hear of it */
    memcpy(at, o, sizeof *o);
    p->outcomes.n += sizeof *o;
    return true;
}

static void tell(broker_publisher *p)
{
    if (!p->on_confirm || p->gone)
        return;
    cl_callback_begin(p->b, p);
    p->on_confirm(p, p->settled, (const struct broker_outcome *)(const void *)p->outcomes.p,
                  p->outcomes.n / sizeof(struct broker_outcome), p->user);
    cl_callback_end(p->b);
}

static void protocol_error(broker_publisher *p, const char *text)
{
    (void)cl_send_cancel(p->b, p->stream.id);
    cl_publisher_end(p, BROKER_PROTOCOL, text);
}

static void confirm(broker_publisher *p, struct slice data)
{
    struct confirm_reader r;
    struct confirm_entry e;
    int got;

    if (confirm_decode(data, &r) < 0 || r.settled > p->sendable - p->base ||
        p->base + r.settled < p->settled) {
        protocol_error(p, "a confirm of what was not published");
        return;
    }
    p->outcomes.n = 0;
    while ((got = confirm_next(&r, &e)) > 0) {
        struct broker_outcome o = {p->base + e.first, e.count, e.reason, e.matched, e.accepted};

        if (!add_outcome(p, &o)) {
            cl_link_fail(p->b, BROKER_NO_MEMORY, "no memory for a confirm");
            return;
        }
    }
    if (got < 0) {
        protocol_error(p, "a broken confirm");
        return;
    }
    p->settled = p->base + r.settled;
    cl_publisher_forget(p);
    cl_publisher_refresh(p);
    if (p->gone)
        p->b->reap = true;
    tell(p);
}

/* ---- The end ---- */

/* One outcome for all that nobody will ever know. */
static void give_up(broker_publisher *p)
{
    uint64_t first = p->settled + 1, left = p->published - p->settled;

    p->outcomes.n = 0;
    while (left > 0) {
        uint32_t count = left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
        struct broker_outcome o = {first, count, BROKER_REASON_NONE, 0, 0};

        (void)add_outcome(p, &o);
        first += count;
        left -= count;
    }
    p->settled = p->sendable = p->published;
    if (p->b->link.cut == &p->q) /* the rest of a frame must still go out */
        return;
    cl_outq_clear(&p->q);
}

void cl_publisher_end(broker_publisher *p, int error, const char *text)
{
    bool unknown = p->published != p->settled;

    if (p->ended)
        return;
    p->ended = true;
    p->b->reap = true;
    p->reopen_at = CL_NEVER;
    cl_stream_close(p->b, &p->stream);
    give_up(p);
    cl_publishers_written(p->b);
    cl_publisher_refresh(p);
    if (unknown)
        tell(p);
    if (!p->on_end || p->gone)
        return;
    cl_callback_begin(p->b, p);
    p->on_end(p, error, text, p->user);
    cl_callback_end(p->b);
}

void cl_publisher_reopen_later(broker_publisher *p, int64_t delay_ms)
{
    p->granted = false;
    p->credit = 0;
    cl_publisher_refresh(p);
    p->reopen_at = cl_now_ms() + delay_ms;
    if (p->reopen_at < p->b->publishers_due)
        p->b->publishers_due = p->reopen_at;
}

/* The broker has ended the stream in good order. */
static void completed(broker_publisher *p)
{
    cl_stream_close(p->b, &p->stream);
    if (p->gone) {
        p->settled = p->sendable = p->published;
        p->b->reap = true;
    } else {
        cl_publisher_reopen_later(p, REOPEN_MS);
    }
}

static void error_frame(broker_publisher *p, const struct rs_frame *f)
{
    char text[CL_TEXT_MAX];
    int reason, error = cl_error_of(f, &reason, text);

    cl_fail(p->b, error, "%s", text);
    if (reason == BROKER_REASON_DRAINING && !p->gone) {
        cl_stream_close(p->b, &p->stream);
        cl_publisher_reopen_later(p, REOPEN_MS);
        return;
    }
    cl_publisher_end(p, error, text);
}

void cl_publisher_frame(broker *b, struct cl_stream *st, const struct rs_frame *f)
{
    broker_publisher *p = (broker_publisher *)st; /* its first member */

    (void)b;
    switch (f->type) {
    case RS_REQUEST_N:
        grant(p, f->number);
        break;
    case RS_CANCEL: /* it takes no more; what it has, it settles, and then closes */
        p->stopped = true;
        cl_publisher_reopen_later(p, CL_DRAIN_MS);
        break;
    case RS_ERROR:
        error_frame(p, f);
        break;
    case RS_PAYLOAD:
        if (f->flags & RS_NEXT)
            confirm(p, f->data);
        if ((f->flags & RS_COMPLETE) && p->stream.id != 0)
            completed(p);
        break;
    default:
        break;
    }
}

/* ---- The connection's ups and downs ---- */

void cl_publishers_opened(broker *b)
{
    broker_publisher *p;

    TAILQ_FOREACH (p, &b->publishers, link)
        if (!p->ended)
            cl_publisher_open(p);
}

void cl_publishers_lost(broker *b)
{
    broker_publisher *p;

    TAILQ_FOREACH (p, &b->publishers, link) {
        bool was_open = p->granted || p->stopped;

        cl_stream_close(b, &p->stream);
        p->granted = p->stopped = false;
        p->credit = 0;
        p->reopen_at = CL_NEVER;
        cl_publisher_refresh(p);
        p->q.pending = 0;          /* until it is opened again */
        if (p->gone && was_open) { /* it is not sent again, and nobody asks */
            p->ended = true;
            b->reap = true;
        }
    }
    cl_publishers_written(b);
}

void cl_publishers_end(broker *b, int error)
{
    broker_publisher *p;

    TAILQ_FOREACH (p, &b->publishers, link)
        cl_publisher_end(p, error, "the handle is closed");
}

void cl_publishers_tick(broker *b, int64_t now)
{
    broker_publisher *p;

    b->publishers_due = CL_NEVER;
    TAILQ_FOREACH (p, &b->publishers, link) {
        if (p->reopen_at <= now && b->link.state == CL_LINK_OPEN && !b->link.draining) {
            p->reopen_at = CL_NEVER;
            if (p->stream.id != 0)
                (void)cl_send_cancel(b, p->stream.id);
            cl_stream_close(b, &p->stream);
            if (b->link.cut == &p->q) /* its last frame must be whole first */
                cl_publisher_reopen_later(p, 100);
            else
                cl_publisher_open(p);
        }
        if (p->reopen_at < b->publishers_due)
            b->publishers_due = p->reopen_at;
    }
}
