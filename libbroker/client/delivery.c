/* What arrives for a subscription: messages, gaps, the end; and the credit for more. */
#include <stdlib.h>
#include <string.h>

#include "libbroker/base/headers.h"
#include "libbroker/client/message.h"
#include "libbroker/client/subscription.h"

/* ---- Credit ---- */

void cl_subscription_taken(broker_subscription *s, uint64_t n)
{
    uint32_t half = s->window / 2 > 0 ? s->window / 2 : 1;

    if (s->manual_credit || s->window >= BROKER_UNLIMITED)
        return;
    s->taken = n > s->window - s->taken ? s->window : s->taken + (uint32_t)n;
    if (s->taken < half || s->stream.id == 0)
        return;
    if (cl_send_request_n(s->b, s->stream.id, s->taken) == BROKER_OK) {
        s->credit += s->taken;
        s->taken = 0;
    }
}

int broker_grant(broker_subscription *s, uint32_t n)
{
    broker *b = s->b;
    int r = BROKER_OK;
    uint64_t debt;

    cl_lock(b);
    if (n == 0 || n > BROKER_UNLIMITED) {
        r = cl_fail(b, BROKER_INVALID, "a grant is 1 to %u", BROKER_UNLIMITED);
    } else if (s->ended) {
        r = BROKER_ENDED;
    } else {
        debt = s->debt < n ? s->debt : n;
        s->debt -= debt;
        n -= (uint32_t)debt;
        s->credit += n;
        if (n > 0 && s->stream.id != 0)
            r = cl_send_request_n(b, s->stream.id, n);
    }
    cl_unlock(b);
    return r;
}

/* ---- Telling the program ---- */

static struct cl_item *add_item(broker_subscription *s)
{
    struct cl_item *item = calloc(1, sizeof *item);

    if (!item) {
        cl_link_fail(s->b, BROKER_NO_MEMORY, "no memory for a message");
        return NULL;
    }
    STAILQ_INSERT_TAIL(&s->items, item, link);
    s->n_items++;
    return item;
}

static void drop_first(broker_subscription *s)
{
    struct cl_item *item = STAILQ_FIRST(&s->items);

    STAILQ_REMOVE_HEAD(&s->items, link);
    s->n_items--;
    broker_message_unref(item->m);
    free(item);
}

void cl_subscription_drop_items(broker_subscription *s)
{
    while (!STAILQ_EMPTY(&s->items))
        drop_first(s);
}

void cl_subscription_gap(broker_subscription *s, uint64_t count, int reason)
{
    struct broker_gap gap = {count, reason};
    struct cl_item *item;

    if (s->gone)
        return;
    if (s->on_gap) {
        cl_callback_begin(s->b, s);
        s->on_gap(s, &gap, s->user);
        cl_callback_end(s->b);
    } else if (!s->on_message) {
        item = add_item(s);
        if (item)
            item->gap = gap;
    }
}

void cl_subscription_end(broker_subscription *s, int error, int reason, const char *text)
{
    if (s->ended)
        return;
    s->ended = true;
    s->end_error = error;
    s->end_reason = reason;
    memcpy(s->end_text, text, strlen(text) + 1);
    if (s->on_end && !s->gone) {
        cl_callback_begin(s->b, s);
        s->on_end(s, error, reason, s->end_text, s->user);
        cl_callback_end(s->b);
    }
}

/* `COUNT REASON`, once per reason. */
static void tell_gaps(broker_subscription *s, struct slice headers)
{
    struct header h;

    while (headers_next(&headers, &h) > 0) {
        uint64_t count = 0;
        char word[32];
        size_t i = 0, n;

        if (!slice_eq(h.name, SLICE("$gap")))
            continue;
        for (; i < h.value.n && h.value.p[i] >= '0' && h.value.p[i] <= '9' && i < 18; i++)
            count = count * 10 + (uint64_t)(h.value.p[i] - '0');
        if (i < h.value.n && h.value.p[i] == ' ')
            i++;
        n = h.value.n - i < sizeof word - 1 ? h.value.n - i : sizeof word - 1;
        memcpy(word, h.value.p + i, n);
        word[n] = '\0';
        cl_subscription_gap(s, count, broker_reason_of(word));
    }
}

/* Hand out the message that b->lent has been made. */
static void tell_message(broker_subscription *s)
{
    broker *b = s->b;
    struct cl_item *item;

    if (s->on_message) {
        cl_callback_begin(b, s);
        s->on_message(s, b->lent, s->user);
        cl_callback_end(b);
        if (!s->manual_ack && !s->gone)
            cl_subscription_taken(s, 1);
        return;
    }
    item = add_item(s);
    if (item && !(item->m = broker_message_ref(b->lent)))
        cl_link_fail(b, BROKER_NO_MEMORY, "no memory for a message");
}

/* The broker does not keep to the protocol in this stream: end it. */
static void break_off(broker_subscription *s, const char *text)
{
    (void)cl_send_cancel(s->b, s->stream.id);
    cl_stream_close(s->b, &s->stream);
    cl_subscription_end(s, BROKER_PROTOCOL, BROKER_REASON_NONE, text);
}

static void message(broker_subscription *s, const struct rs_frame *f)
{
    broker_message *m = s->b->lent;

    if (s->credit == 0) {
        break_off(s, "the broker sent more than it was granted");
        return;
    }
    s->credit--;
    cl_message_lend(m, s, s->topic, ++s->number, f->data);
    if (f->has_metadata) {
        if (!cl_message_parse(m, f->metadata)) {
            break_off(s, "broken metadata from the broker");
            return;
        }
        tell_gaps(s, cl_message_headers(m));
    }
    if (!s->gone)
        tell_message(s);
}

static void error_frame(broker_subscription *s, const struct rs_frame *f)
{
    char text[CL_TEXT_MAX];
    int reason, error = cl_error_of(f, &reason, text);

    cl_stream_close(s->b, &s->stream);
    cl_fail(s->b, error, "%s", text);
    if (reason == BROKER_REASON_DRAINING) /* it goes on at the next broker */
        return;
    cl_subscription_end(s, error, reason, text);
}

void cl_subscription_frame(broker *b, struct cl_stream *st, const struct rs_frame *f)
{
    broker_subscription *s = (broker_subscription *)st; /* its first member */

    if (f->type == RS_ERROR) {
        error_frame(s, f);
        return;
    }
    if (f->type != RS_PAYLOAD)
        return; /* REQUEST_N, CANCEL: verbs need no credit, and end with the stream */
    if (f->flags & RS_NEXT)
        message(s, f);
    if (!(f->flags & RS_COMPLETE) || s->gone || s->stream.id == 0)
        return;
    cl_stream_close(b, &s->stream);
    if (!b->link.draining)
        cl_subscription_end(s, BROKER_OK, BROKER_REASON_NONE, "completed");
}

/* The hot path: messages without metadata, as many as are there in one piece, with the lock open.
 * What other threads may do meanwhile: give the subscription back (seen at once), grant credit
 * (added to `credit`, from which the run is subtracted at its end). */
size_t cl_subscription_run(broker *b, struct cl_stream *st, const uint8_t *buf, size_t len)
{
    broker_subscription *s = (broker_subscription *)st;
    uint64_t room = s->credit, n = 0, number = s->number;
    uint32_t id = st->id, frame_n, frame_id;
    size_t off = 0;
    uint16_t word;

    if (!s->on_message || room == 0)
        return 0;
    cl_callback_begin(b, s);
    while (n < room && rs_peek(buf + off, len - off, &frame_n, &frame_id, &word) &&
           word == RS_PLAIN_PAYLOAD && frame_id == id && frame_n >= RS_HEADER &&
           frame_n <= len - off - RS_TCP_LENGTH &&
           !atomic_load_explicit(&s->gone, memory_order_relaxed)) {
        atomic_store_explicit(&s->number, ++number, memory_order_relaxed);
        cl_message_lend(b->lent, s, s->topic, number,
                        slice_of(buf + off + RS_HEAD_SIZE, frame_n - RS_HEADER));
        s->on_message(s, b->lent, s->user);
        off += RS_TCP_LENGTH + frame_n;
        n++;
    }
    cl_callback_end(b);
    if (s->gone)
        return off;
    s->credit -= n;
    if (!s->manual_ack)
        cl_subscription_taken(s, n);
    return off;
}

/* ---- Pulling ---- */

static bool has_next(void *arg)
{
    const broker_subscription *s = arg;

    return !STAILQ_EMPTY(&s->items) || s->ended;
}

static int take(broker_subscription *s, broker_message **ret_m)
{
    struct cl_item *item = STAILQ_FIRST(&s->items);

    if (!item) {
        cl_fail(s->b, s->end_error, "%s", s->end_text);
        return s->end_error == BROKER_OK ? BROKER_ENDED : s->end_error;
    }
    if (!item->m) {
        s->last_gap = item->gap;
        drop_first(s);
        return BROKER_GAP;
    }
    *ret_m = item->m;
    item->m = NULL;
    drop_first(s);
    if (!s->manual_ack)
        cl_subscription_taken(s, 1);
    return BROKER_OK;
}

int broker_next(broker_subscription *s, int timeout_ms, broker_message **ret_m)
{
    broker *b = s->b;
    int r;

    cl_lock(b);
    if (s->on_message)
        r = cl_fail(b, BROKER_INVALID, "the subscription has an on_message");
    else
        r = cl_wait_until(b, has_next, s, cl_deadline(timeout_ms));
    if (r == BROKER_OK)
        r = take(s, ret_m);
    cl_unlock(b);
    return r;
}

void broker_last_gap(const broker_subscription *s, struct broker_gap *ret)
{
    cl_lock(s->b);
    *ret = s->last_gap;
    cl_unlock(s->b);
}
