/* Requests: sent, answered, timed out. */
#include "libbroker/client/request.h"

#include <stdlib.h>
#include <string.h>

#include "libbroker/client/message.h"
#include "libbroker/wire/broker_rs.h"

struct cl_request {
    struct cl_stream stream;
    TAILQ_ENTRY(cl_request) link;
    bool publish;
    int64_t deadline;
    struct cl_teller teller;
    size_t metadata_n, data_n;
    uint8_t bytes[]; /* metadata, then data */
};

/* Take it out of the list; the caller frees it. */
static void take_out(broker *b, struct cl_request *r)
{
    cl_stream_close(b, &r->stream);
    TAILQ_REMOVE(&b->requests, r, link);
    b->n_requests--;
}

static void tell_waiter(struct cl_waiter *w, const struct broker_receipt *receipt,
                        broker_message *answer)
{
    w->receipt = *receipt;
    strncpy(w->text, receipt->text, sizeof w->text - 1);
    w->text[sizeof w->text - 1] = '\0';
    w->receipt.text = w->text;
    if (answer) {
        w->answer = broker_message_ref(answer);
        if (!w->answer)
            w->receipt.status = BROKER_NO_MEMORY;
    }
    w->done = true;
}

/* It is over: tell whoever wants to know, and free it. */
static void finish(broker *b, struct cl_request *r, const struct broker_receipt *receipt,
                   broker_message *answer)
{
    struct cl_teller t = r->teller;

    take_out(b, r);
    free(r);
    if (t.waiter) {
        tell_waiter(t.waiter, receipt, answer);
        return;
    }
    if (!t.answer && !t.receipt)
        return;
    cl_callback_begin(b, NULL);
    if (t.answer)
        t.answer(b, receipt, answer, t.user);
    else
        t.receipt(b, receipt, t.user);
    cl_callback_end(b);
}

static void fail(broker *b, struct cl_request *r, int status, int reason, const char *text)
{
    struct broker_receipt receipt = {.status = status, .reason = reason, .text = text};

    finish(b, r, &receipt, NULL);
}

/* ---- Sending ---- */

static bool may_send(const broker *b)
{
    return b->link.state == CL_LINK_OPEN && !b->link.draining && !b->link.lost;
}

static void send_request(broker *b, struct cl_request *r)
{
    if (cl_stream_open(b, &r->stream) != BROKER_OK)
        return;
    (void)cl_send_request(b, RS_REQUEST_RESPONSE, r->stream.id, 0,
                          slice_of(r->bytes, r->metadata_n),
                          slice_of(r->bytes + r->metadata_n, r->data_n));
}

int cl_request_new(broker *b, bool publish, struct slice data, int timeout_ms,
                   const struct cl_teller *teller)
{
    struct slice metadata = cl_meta(b);
    struct cl_request *r;

    if (data.n > b->opt.o.max_message)
        return cl_fail(b, BROKER_TOO_LARGE, "%zu bytes are more than max_message", data.n);
    if (b->n_requests >= CL_REQUESTS_MAX)
        return cl_fail(b, BROKER_NO_CREDIT, "%d requests are under way", CL_REQUESTS_MAX);
    r = malloc(sizeof *r + metadata.n + data.n);
    if (!r)
        return BROKER_NO_MEMORY;
    memset(r, 0, sizeof *r);
    r->stream.kind = CL_REQUEST;
    r->publish = publish;
    r->teller = *teller;
    r->deadline = cl_deadline(timeout_ms);
    r->metadata_n = metadata.n;
    r->data_n = data.n;
    if (metadata.n > 0)
        memcpy(r->bytes, metadata.p, metadata.n);
    if (data.n > 0)
        memcpy(r->bytes + metadata.n, data.p, data.n);
    TAILQ_INSERT_TAIL(&b->requests, r, link);
    b->n_requests++;
    if (r->deadline < b->requests_due)
        b->requests_due = r->deadline;
    if (may_send(b))
        send_request(b, r);
    cl_poke(b); /* its deadline may be sooner than any other */
    return BROKER_OK;
}

static bool is_done(void *arg)
{
    return ((const struct cl_waiter *)arg)->done;
}

/* The waiter leaves: its request goes with it. */
static void abandon(broker *b, const struct cl_waiter *w)
{
    struct cl_request *r;

    TAILQ_FOREACH (r, &b->requests, link)
        if (r->teller.waiter == w)
            break;
    if (!r)
        return;
    if (r->stream.id != 0)
        (void)cl_send_cancel(b, r->stream.id);
    take_out(b, r);
    free(r);
}

int cl_request_wait(broker *b, bool publish, struct slice data, int timeout_ms, struct cl_waiter *w)
{
    struct cl_teller teller = {.waiter = w};
    int r;

    w->receipt.text = "";
    if (cl_in_callback(b))
        return cl_fail(b, BROKER_IN_CALLBACK, "this would wait, in a callback");
    r = cl_request_new(b, publish, data, BROKER_FOREVER, &teller);
    if (r != BROKER_OK)
        return r;
    r = cl_wait_until(b, is_done, w, cl_deadline(timeout_ms));
    if (r != BROKER_OK) {
        abandon(b, w);
        w->receipt = (struct broker_receipt){.status = r, .text = ""};
        return r;
    }
    if (w->text[0])
        cl_fail(b, w->receipt.status, "%s", w->text);
    return w->receipt.status;
}

/* ---- What the engine tells ---- */

void cl_requests_opened(broker *b)
{
    struct cl_request *r;

    TAILQ_FOREACH (r, &b->requests, link)
        send_request(b, r);
}

bool cl_requests_sent(const broker *b)
{
    const struct cl_request *r;

    TAILQ_FOREACH (r, &b->requests, link)
        if (r->stream.id != 0)
            return true;
    return false;
}

void cl_requests_lost(broker *b)
{
    struct cl_request *r, *next;

    TAILQ_FOREACH (r, &b->requests, link)
        if (r->publish)
            cl_stream_close(b, &r->stream); /* waits for the next connection */
    for (r = TAILQ_FIRST(&b->requests); r; r = next) {
        next = TAILQ_NEXT(r, link);
        if (r->stream.id == 0)
            continue;
        fail(b, r, BROKER_DISCONNECTED, BROKER_REASON_NONE, "the connection was lost");
        next = TAILQ_FIRST(&b->requests); /* the callback may have changed the list */
    }
}

void cl_requests_end(broker *b, int error)
{
    while (!TAILQ_EMPTY(&b->requests))
        fail(b, TAILQ_FIRST(&b->requests), error, BROKER_REASON_NONE, "the handle is closed");
}

void cl_requests_tick(broker *b, int64_t now)
{
    struct cl_request *r, *next;

    b->requests_due = CL_NEVER;
    for (r = TAILQ_FIRST(&b->requests); r; r = next) {
        next = TAILQ_NEXT(r, link);
        if (r->deadline > now) {
            if (r->deadline < b->requests_due)
                b->requests_due = r->deadline;
            continue;
        }
        if (r->stream.id != 0)
            (void)cl_send_cancel(b, r->stream.id);
        fail(b, r, BROKER_TIMED_OUT, BROKER_REASON_NONE, "no answer in time");
        next = TAILQ_FIRST(&b->requests);
    }
}

/* ---- The answer ---- */

static void published(broker *b, struct cl_request *r, const struct rs_frame *f)
{
    struct publish_answer a;
    struct broker_receipt receipt = {.status = BROKER_OK, .text = ""};

    if (publish_answer_decode(f->data, &a) < 0) {
        fail(b, r, BROKER_PROTOCOL, BROKER_REASON_NONE, "not an answer to a publish");
        return;
    }
    receipt.matched = a.matched;
    receipt.accepted = a.accepted;
    finish(b, r, &receipt, NULL);
}

static void answered(broker *b, struct cl_request *r, const struct rs_frame *f)
{
    struct broker_receipt receipt = {.status = BROKER_OK, .text = ""};

    cl_message_lend(b->lent, NULL, NULL, 0, f->flags & RS_NEXT ? f->data : (struct slice){NULL, 0});
    if (f->has_metadata && !cl_message_parse(b->lent, f->metadata)) {
        fail(b, r, BROKER_PROTOCOL, BROKER_REASON_NONE, "broken metadata in an answer");
        return;
    }
    finish(b, r, &receipt, b->lent);
}

void cl_request_frame(broker *b, struct cl_stream *st, const struct rs_frame *f)
{
    struct cl_request *r = (struct cl_request *)st; /* its first member */
    char text[CL_TEXT_MAX];
    int reason, status;

    if (f->type == RS_ERROR) {
        status = cl_error_of(f, &reason, text);
        fail(b, r, status, reason, text);
    } else if (f->type == RS_PAYLOAD) {
        if (r->publish)
            published(b, r, f);
        else
            answered(b, r, f);
    }
}

/* ---- Public ---- */

/* The route into b->scratch. */
static int begin(broker *b, const char *route)
{
    int r = cl_check_open(b);

    if (r != BROKER_OK)
        return r;
    if (!route)
        return cl_fail(b, BROKER_INVALID, "no route given");
    cl_meta_begin(b);
    return cl_meta_route(b, "", slice_str(route));
}

int broker_request(broker *b, const char *route, const void *data, size_t len, int timeout_ms,
                   broker_message **ret_m, struct broker_receipt *ret_receipt)
{
    struct cl_waiter w = {.done = false};
    int r;

    cl_lock(b);
    r = begin(b, route);
    if (r == BROKER_OK) {
        r = cl_request_wait(b, false, slice_of(data, len), timeout_ms, &w);
        if (r == BROKER_OK && ret_m)
            *ret_m = w.answer;
        else
            broker_message_unref(w.answer);
    }
    cl_unlock(b);
    if (ret_receipt) {
        *ret_receipt = w.receipt;
        ret_receipt->status = r;
        ret_receipt->text = broker_errmsg(b);
    }
    return r;
}

int broker_request_async(broker *b, const char *route, const void *data, size_t len, int timeout_ms,
                         broker_answer_fn *fn, void *user)
{
    struct cl_teller teller = {.answer = fn, .user = user};
    int r;

    cl_lock(b);
    r = fn ? begin(b, route) : cl_fail(b, BROKER_INVALID, "no callback given");
    if (r == BROKER_OK)
        r = cl_request_new(b, false, slice_of(data, len), timeout_ms, &teller);
    cl_unlock(b);
    return r;
}

int broker_ping(broker *b, int timeout_ms)
{
    return broker_request(b, "admin/ping", NULL, 0, timeout_ms, NULL, NULL);
}
