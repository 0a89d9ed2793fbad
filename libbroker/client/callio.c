/* What goes to and fro in a call: messages, credit, the end of each direction. */
#include <stdlib.h>
#include <string.h>

#include "libbroker/client/call.h"
#include "libbroker/client/message.h"

#define NO_LIMIT (UINT64_MAX / 2)

/* ---- Credit for the other side ---- */

/* The program has dealt with a message: let the other side send as many more, in due course. */
static void dealt_with(broker_call *c)
{
    uint32_t half = c->m.window / 2 > 0 ? c->m.window / 2 : 1;

    if (c->m.manual_credit || c->m.window >= BROKER_UNLIMITED || c->in_done)
        return;
    if (++c->taken < half || c->stream.id == 0)
        return;
    if (cl_send_request_n(c->b, c->stream.id, c->taken) == BROKER_OK) {
        c->in_credit += c->taken;
        c->taken = 0;
    }
}

void cl_call_grant_first(broker_call *c)
{
    uint32_t n = c->m.window > RS_N_MAX ? RS_N_MAX : c->m.window;

    if (n == 0 || c->in_done || c->over || c->stream.id == 0)
        return;
    if (cl_send_request_n(c->b, c->stream.id, n) == BROKER_OK)
        c->in_credit = n >= BROKER_UNLIMITED ? NO_LIMIT : n;
}

static int grant(broker_call *c, uint32_t n)
{
    if (n == 0 || n > BROKER_UNLIMITED)
        return cl_fail(c->b, BROKER_INVALID, "a grant is 1 to %u", BROKER_UNLIMITED);
    if (c->over || c->in_done)
        return BROKER_ENDED;
    c->in_credit = n >= BROKER_UNLIMITED || c->in_credit >= NO_LIMIT ? NO_LIMIT : c->in_credit + n;
    return c->stream.id != 0 ? cl_send_request_n(c->b, c->stream.id, n) : BROKER_OK;
}

int broker_call_grant(broker_call *c, uint32_t n)
{
    int r;

    cl_lock(c->b);
    r = grant(c, n);
    cl_unlock(c->b);
    return r;
}

/* ---- What comes ---- */

void cl_call_deliver(broker_call *c)
{
    broker *b = c->b;
    struct cl_call_item *item;

    if (c->m.on_message) {
        cl_callback_begin(b, c);
        c->m.on_message(c, b->lent, c->user);
        cl_callback_end(b);
        if (!c->gone)
            dealt_with(c);
        return;
    }
    item = calloc(1, sizeof *item);
    if (!item || !(item->m = broker_message_ref(b->lent))) {
        free(item);
        cl_link_fail(b, BROKER_NO_MEMORY, "no memory for a message");
        return;
    }
    STAILQ_INSERT_TAIL(&c->items, item, link);
}

/* The other side does not keep to the protocol in this call. */
static void break_off(broker_call *c, int error, const char *text)
{
    if (c->server && c->model != BROKER_CALL_FORGET)
        (void)cl_send_error(c->b, c->stream.id, RS_INVALID, text);
    else if (!c->server)
        (void)cl_send_cancel(c->b, c->stream.id);
    cl_call_over(c, error, broker_reason_of(text), BROKER_CODE_NONE, text);
    if (c->server && !c->asked)
        cl_call_drop(c);
}

void cl_call_break(broker *b, struct cl_stream *st, const char *text)
{
    bool large = broker_reason_of(text) == BROKER_REASON_TOO_LARGE;

    (void)b;
    break_off((broker_call *)st, large ? BROKER_TOO_LARGE : BROKER_PROTOCOL, text);
}

static void message(broker_call *c, const struct rs_frame *f)
{
    broker_message *m = c->b->lent;

    if (c->in_done)
        return; /* crossed our CANCEL */
    if (c->in_credit == 0) {
        break_off(c, BROKER_PROTOCOL, "invalid: a message beyond the credit given");
        return;
    }
    if (c->in_credit < NO_LIMIT)
        c->in_credit--;
    cl_message_lend(m, NULL, NULL, 0, f->flags & RS_NEXT ? f->data : (struct slice){NULL, 0});
    if (f->has_metadata && !cl_message_parse(m, f->metadata)) {
        break_off(c, BROKER_PROTOCOL, "invalid: broken metadata");
        return;
    }
    (void)cl_message_take_route(m);
    cl_call_deliver(c);
}

/* The other side has completed. */
static void completed(broker_call *c)
{
    broker *b = c->b;

    if (c->in_done)
        return;
    c->in_done = true;
    cl_call_check_over(c);
    if (c->over || c->gone || c->waiting || !c->m.on_complete)
        return;
    cl_callback_begin(b, c);
    c->m.on_complete(c, c->user);
    cl_callback_end(b);
}

static void payload(broker_call *c, const struct rs_frame *f)
{
    bool one = c->model == BROKER_CALL_RESPONSE; /* NEXT alone is the answer, too; so is neither */

    if (c->server && c->model != BROKER_CALL_CHANNEL)
        return;
    if (f->flags & RS_NEXT || one)
        message(c, f);
    if ((f->flags & RS_COMPLETE || one) && !c->gone && !c->over)
        completed(c);
}

static void tell_credit(broker_call *c)
{
    broker *b = c->b;

    if (!c->m.on_credit || c->over || c->gone || c->waiting)
        return;
    cl_callback_begin(b, c);
    c->m.on_credit(c, cl_call_room(c), c->user);
    cl_callback_end(b);
}

static void more_credit(broker_call *c, uint32_t n)
{
    if (c->server && !c->asked)
        return;
    if (n == 0) {
        break_off(c, BROKER_PROTOCOL, "invalid: a request for no messages");
        return;
    }
    if (c->out_done || c->model == BROKER_CALL_RESPONSE)
        return;
    c->out_credit = n >= RS_N_MAX || c->out_credit >= NO_LIMIT ? NO_LIMIT : c->out_credit + n;
    tell_credit(c);
}

static void canceled(broker_call *c)
{
    if (c->server) {
        cl_call_over(c, BROKER_CANCELED, BROKER_REASON_NONE, BROKER_CODE_NONE,
                     "the caller has canceled the call");
        if (!c->asked)
            cl_call_drop(c);
        return;
    }
    if (c->model != BROKER_CALL_CHANNEL || c->out_done)
        return;
    c->stopped = c->out_done = true;
    cl_call_check_over(c);
    tell_credit(c);
}

static void error_frame(broker_call *c, const struct rs_frame *f)
{
    char text[CL_TEXT_MAX];
    int reason, error = cl_error_of(f, &reason, text);

    cl_call_over(c, error, reason, f->number, text);
    if (c->server && !c->asked)
        cl_call_drop(c);
}

void cl_call_frame(broker *b, struct cl_stream *st, const struct rs_frame *f)
{
    broker_call *c = (broker_call *)st; /* its first member */

    (void)b;
    if (!c->server && c->kept) { /* it has got there */
        free(c->kept);
        c->kept = NULL;
    }
    if (rs_is_request(f->type)) {
        if (c->server && !c->asked)
            cl_call_asked(c, f);
        return;
    }
    switch (f->type) {
    case RS_PAYLOAD:
        payload(c, f);
        break;
    case RS_REQUEST_N:
        more_credit(c, f->number);
        break;
    case RS_CANCEL:
        canceled(c);
        break;
    case RS_ERROR:
        error_frame(c, f);
        break;
    default:
        break;
    }
}

/* ---- Pulling ---- */

static bool has_next(void *arg)
{
    const broker_call *c = arg;

    return !STAILQ_EMPTY(&c->items) || c->in_done;
}

static int take(broker_call *c, broker_message **ret_m)
{
    struct cl_call_item *item = STAILQ_FIRST(&c->items);

    if (!item) {
        if (c->end.error != BROKER_OK)
            cl_fail(c->b, c->end.error, "%s", c->end.text);
        return c->end.error == BROKER_OK ? BROKER_ENDED : c->end.error;
    }
    *ret_m = item->m;
    STAILQ_REMOVE_HEAD(&c->items, link);
    free(item);
    dealt_with(c);
    return BROKER_OK;
}

int broker_call_next(broker_call *c, int timeout_ms, broker_message **ret_m)
{
    broker *b = c->b;
    int r;

    cl_lock(b);
    if (c->m.on_message)
        r = cl_fail(b, BROKER_INVALID, "the call has an on_message");
    else
        r = cl_wait_until(b, has_next, c, cl_deadline(timeout_ms));
    if (r == BROKER_OK)
        r = take(c, ret_m);
    cl_unlock(b);
    return r;
}

/* ---- What goes ---- */

size_t cl_call_room(const broker_call *c)
{
    if (c->over || c->out_done)
        return 0;
    return c->out_credit > BROKER_UNLIMITED ? BROKER_UNLIMITED : (size_t)c->out_credit;
}

/* May this side send at all? */
static int may_send(broker_call *c)
{
    bool sender = c->server ? c->model != BROKER_CALL_FORGET : c->model == BROKER_CALL_CHANNEL;

    if (!sender)
        return cl_fail(c->b, BROKER_INVALID, "this side of the call has nothing to send");
    if (c->over && c->end.error != BROKER_OK)
        return cl_fail(c->b, c->end.error, "%s", c->end.text);
    if (c->stopped)
        return cl_fail(c->b, BROKER_CANCELED, "the other side wants no more");
    return c->out_done ? BROKER_ENDED : BROKER_OK;
}

/* BROKER_OK if a message of `len` bytes is taken now. */
static int admit(broker_call *c, size_t len)
{
    int r = may_send(c);

    if (r != BROKER_OK)
        return r;
    if (c->out_credit == 0)
        return BROKER_NO_CREDIT;
    if (cl_ctl_has_room(c->b, len))
        return BROKER_OK;
    c->starved = c->b->starved_calls = true;
    return BROKER_NO_CREDIT;
}

static int send_message(broker_call *c, struct slice data, const struct broker_send_options *o)
{
    static const struct broker_send_options none;
    broker *b = c->b;
    struct rs_frame f = {.stream = c->stream.id, .type = RS_PAYLOAD, .flags = RS_NEXT};
    bool last = c->model == BROKER_CALL_RESPONSE || (o && o->complete);
    int r = admit(c, data.n);

    if (r == BROKER_OK && data.n > b->opt.o.max_message)
        r = cl_fail(b, BROKER_TOO_LARGE, "%zu bytes are more than max_message", data.n);
    if (r != BROKER_OK)
        return r;
    o = o ? o : &none;
    cl_meta_begin(b);
    r = cl_meta_call(b, o->content_type, o->headers, o->header_count, 0);
    if (r != BROKER_OK)
        return r;
    f.metadata = cl_meta(b);
    f.has_metadata = f.metadata.n > 0;
    f.data = data;
    f.flags |= last ? RS_COMPLETE : 0;
    r = cl_send_cut(b, &f);
    if (r != BROKER_OK)
        return r;
    if (c->out_credit < NO_LIMIT)
        c->out_credit--;
    c->out_done = last;
    cl_call_check_over(c);
    return BROKER_OK;
}

int broker_call_send(broker_call *c, const void *data, size_t len,
                     const struct broker_send_options *o)
{
    int r;

    cl_lock(c->b);
    r = send_message(c, slice_of(data, len), o);
    cl_unlock(c->b);
    return r;
}

/* Somebody waits to send `len` bytes. */
struct sender {
    broker_call *c;
    size_t len;
};

static bool admits(void *arg)
{
    const struct sender *s = arg;

    return admit(s->c, s->len) != BROKER_NO_CREDIT;
}

int broker_call_send_wait(broker_call *c, const void *data, size_t len,
                          const struct broker_send_options *o, int timeout_ms)
{
    broker *b = c->b;
    struct sender s = {c, len};
    int64_t deadline = cl_deadline(timeout_ms);
    int r, w;

    cl_lock(b);
    while ((r = send_message(c, slice_of(data, len), o)) == BROKER_NO_CREDIT) {
        w = cl_wait_until(b, admits, &s, deadline);
        if (w != BROKER_OK) {
            r = w == BROKER_TIMED_OUT ? BROKER_NO_CREDIT : w;
            break;
        }
    }
    cl_unlock(b);
    return r;
}

size_t broker_call_credit(const broker_call *c)
{
    size_t n;

    cl_lock(c->b);
    n = cl_call_room(c);
    cl_unlock(c->b);
    return n;
}

/* A caller's channel that has not been sent says so with its request. */
static int complete(broker_call *c)
{
    struct rs_frame f = {.stream = c->stream.id, .type = RS_PAYLOAD, .flags = RS_COMPLETE};
    int r = c->over ? BROKER_ENDED : may_send(c);

    if (r == BROKER_CANCELED) /* which is just as well */
        r = BROKER_ENDED;
    if (r == BROKER_OK && c->stream.id != 0)
        r = cl_send_cut(c->b, &f);
    if (r != BROKER_OK)
        return r;
    c->out_done = true;
    cl_call_check_over(c);
    return BROKER_OK;
}

int broker_call_complete(broker_call *c)
{
    int r;

    cl_lock(c->b);
    r = complete(c);
    cl_unlock(c->b);
    return r;
}
