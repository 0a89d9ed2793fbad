/* Calls: opened, sent on a connection, over, given back. What goes to and fro is in callio.c, who
 * serves in serve.c. */
#include "libbroker/client/call.h"

#include <stdlib.h>
#include <string.h>

#include "libbroker/base/name.h"

#define NO_LIMIT (UINT64_MAX / 2)

/* ---- Life ---- */

void cl_call_enter(broker_call *c)
{
    c->stream.kind = CL_CALL;
    c->deadline = CL_NEVER;
    c->end.text = "";
    STAILQ_INIT(&c->items);
    TAILQ_INSERT_TAIL(&c->b->calls, c, link);
}

static void destroy(broker_call *c)
{
    struct cl_call_item *item;

    while ((item = STAILQ_FIRST(&c->items)) != NULL) {
        STAILQ_REMOVE_HEAD(&c->items, link);
        broker_message_unref(item->m);
        free(item);
    }
    broker_message_unref(c->request);
    free(c->target);
    free(c->kept);
    free(c->end_text);
    free(c);
}

void cl_call_drop(broker_call *c)
{
    broker *b = c->b;

    c->gone = true;
    if (c->telling)
        TAILQ_REMOVE(&b->over_calls, c, over_link);
    c->telling = false;
    if (c->service && c->waiting)
        TAILQ_REMOVE(&c->service->waiting, c, waiting_link);
    if (c->service && c->asked)
        c->service->open_calls--;
    c->service = NULL;
    TAILQ_REMOVE(&b->calls, c, link);
    if (!b->in_turn) {
        destroy(c);
        return;
    }
    TAILQ_INSERT_TAIL(&b->gone_calls, c, link);
}

void cl_calls_reap(broker *b)
{
    broker_call *c;
    broker_service *s;

    while ((c = TAILQ_FIRST(&b->gone_calls)) != NULL) {
        TAILQ_REMOVE(&b->gone_calls, c, link);
        destroy(c);
    }
    while ((s = TAILQ_FIRST(&b->gone_services)) != NULL) {
        TAILQ_REMOVE(&b->gone_services, s, link);
        free(s->name);
        free(s);
    }
}

void cl_call_over(broker_call *c, int error, int reason, uint32_t code, const char *text)
{
    broker *b = c->b;

    if (c->over)
        return;
    if (c->server && !c->asked)
        b->n_asked--;
    if (!c->server)
        b->n_calls--;
    cl_stream_close(b, &c->stream);
    c->over = c->in_done = c->out_done = true;
    c->end_text = *text ? strdup(text) : NULL;
    c->end = (struct broker_call_end){error, reason, code, c->end_text ? c->end_text : ""};
    free(c->kept);
    c->kept = NULL;
    if (c->gone || c->waiting || !c->m.on_end) /* who waits is not known to the program */
        return;
    TAILQ_INSERT_TAIL(&b->over_calls, c, over_link);
    c->telling = true;
    cl_poke(b);
}

void cl_call_check_over(broker_call *c)
{
    if (c->in_done && c->out_done)
        cl_call_over(c, BROKER_OK, BROKER_REASON_NONE, BROKER_CODE_NONE, "");
}

/* ---- Opening ---- */

int cl_call_check_credit(broker *b, uint32_t credit)
{
    return credit <= BROKER_UNLIMITED
               ? BROKER_OK
               : cl_fail(b, BROKER_INVALID, "credit is at most %u", BROKER_UNLIMITED);
}

static bool may_send(const broker *b)
{
    return b->link.state == CL_LINK_OPEN && !b->link.draining && !b->link.lost;
}

static const uint8_t request_types[] = {
    [BROKER_CALL_FORGET] = RS_REQUEST_FNF,
    [BROKER_CALL_RESPONSE] = RS_REQUEST_RESPONSE,
    [BROKER_CALL_STREAM] = RS_REQUEST_STREAM,
    [BROKER_CALL_CHANNEL] = RS_REQUEST_CHANNEL,
};

static void send_call(broker_call *c)
{
    broker *b = c->b;
    struct rs_frame f = {.type = request_types[c->model], .has_metadata = true};

    if (cl_stream_open(b, &c->stream) != BROKER_OK)
        return; /* on the next connection */
    f.stream = c->stream.id;
    f.number = c->in_credit >= RS_N_MAX ? RS_N_MAX : (uint32_t)c->in_credit;
    if (c->model == BROKER_CALL_CHANNEL && c->out_done)
        f.flags = RS_COMPLETE;
    f.metadata = slice_of(c->kept, c->metadata_n);
    f.data = slice_of(c->kept + c->metadata_n, c->data_n);
    c->sent_at = b->link.queued;
    (void)cl_send_cut(b, &f);
}

/* Check `target` and have the metadata of a request in b->scratch. */
static int begin(broker *b, const char *target, size_t len, const struct broker_call_options *o)
{
    const char *slash = target ? strchr(target, '/') : NULL, *why;
    int r = cl_check_open(b);

    if (r != BROKER_OK)
        return r;
    if (!slash || !slash[1])
        return cl_fail(b, BROKER_INVALID, "what is called is SERVICE/METHOD");
    why = name_service_error(slice_of(target, (size_t)(slash - target)), NAME_OF_BROKER);
    if (why)
        return cl_fail(b, BROKER_INVALID, "%s: \"%.80s\"", why, target);
    if (len > b->opt.o.max_message)
        return cl_fail(b, BROKER_TOO_LARGE, "%zu bytes are more than max_message", len);
    for (size_t i = 0; i < sizeof o->reserved / sizeof o->reserved[0]; i++)
        if (o->reserved[i])
            return cl_fail(b, BROKER_INVALID, "reserved options are set");
    r = cl_call_check_credit(b, o->credit);
    cl_meta_begin(b);
    if (r == BROKER_OK)
        r = cl_meta_route(b, "call/", slice_str(target));
    return r == BROKER_OK
               ? cl_meta_call(b, o->content_type, o->headers, o->header_count, o->wait_ms)
               : r;
}

static int keep(broker_call *c, const char *target, struct slice data)
{
    struct slice metadata = cl_meta(c->b);

    c->target = strdup(target);
    c->kept = malloc(metadata.n + data.n);
    if (!c->target || !c->kept)
        return BROKER_NO_MEMORY;
    c->metadata_n = metadata.n;
    c->data_n = data.n;
    memcpy(c->kept, metadata.p, metadata.n);
    if (data.n > 0)
        memcpy(c->kept + metadata.n, data.p, data.n);
    *strchr(c->target, '/') = '\0';
    c->method = c->target + strlen(c->target) + 1;
    return BROKER_OK;
}

static void set_manner(broker_call *c, const struct broker_call_options *o)
{
    c->m = (struct cl_call_manner){
        .window = o->credit ? o->credit : CL_CALL_CREDIT,
        .manual_credit = o->manual_credit,
        .on_message = o->on_message,
        .on_complete = o->on_complete,
        .on_credit = o->on_credit,
        .on_end = o->on_end,
    };
    c->user = o->user;
    c->in_credit = c->m.window >= BROKER_UNLIMITED ? NO_LIMIT : c->m.window;
}

static int make(broker *b, enum broker_call_model model, const char *target, struct slice data,
                const struct broker_call_options *o, broker_call **ret_call)
{
    broker_call *c;
    int r;

    if (b->n_calls >= CL_CALLS_MAX)
        return cl_fail(b, BROKER_NO_CREDIT, "%d calls are open", CL_CALLS_MAX);
    c = calloc(1, sizeof *c);
    if (!c)
        return BROKER_NO_MEMORY;
    c->b = b;
    r = keep(c, target, data);
    if (r != BROKER_OK) {
        free(c->target);
        free(c->kept);
        free(c);
        return r;
    }
    c->model = model;
    c->out_done = model != BROKER_CALL_CHANNEL || o->complete;
    set_manner(c, o);
    cl_call_enter(c);
    b->n_calls++;
    if (o->timeout_ms > 0)
        c->deadline = cl_now_ms() + o->timeout_ms;
    if (c->deadline < b->calls_due)
        b->calls_due = c->deadline;
    *ret_call = c;
    if (may_send(b))
        send_call(c);
    cl_poke(b); /* its deadline may be sooner than any other */
    return BROKER_OK;
}

static const struct broker_call_options defaults;

int broker_call_open(broker *b, enum broker_call_model model, const char *target, const void *data,
                     size_t len, const struct broker_call_options *o, broker_call **ret_call)
{
    int r;

    o = o ? o : &defaults;
    cl_lock(b);
    if (model <= BROKER_CALL_FORGET || model > BROKER_CALL_CHANNEL)
        r = cl_fail(b, BROKER_INVALID, "not a model of calls that are answered");
    else
        r = begin(b, target, len, o);
    if (r == BROKER_OK)
        r = make(b, model, target, slice_of(data, len), o, ret_call);
    cl_unlock(b);
    return r;
}

static int forget(broker *b, struct slice data)
{
    const struct cl_link *l = &b->link;
    uint32_t id;

    if (!may_send(b))
        return cl_fail(b, BROKER_DISCONNECTED, "there is no connection");
    if (!cl_ctl_has_room(b, data.n))
        return cl_fail(b, BROKER_NO_CREDIT, "%zu bytes wait to be written", l->ctl.pending);
    id = cl_stream_id(b);
    if (id == 0)
        return cl_fail(b, BROKER_NO_CREDIT, "no stream is free");
    return cl_send_request(b, RS_REQUEST_FNF, id, 0, cl_meta(b), data);
}

int broker_call_forget(broker *b, const char *target, const void *data, size_t len,
                       const struct broker_call_options *o)
{
    int r;

    cl_lock(b);
    r = begin(b, target, len, o ? o : &defaults);
    if (r == BROKER_OK)
        r = forget(b, slice_of(data, len));
    cl_unlock(b);
    return r;
}

static bool is_over(void *arg)
{
    return ((const broker_call *)arg)->over;
}

/* Wait for the one answer of `c`, then free it. */
static int wait_answer(broker_call *c, int timeout_ms, broker_message **ret_m,
                       struct broker_call_end *ret_end)
{
    broker *b = c->b;
    struct cl_call_item *item;
    int r = cl_wait_until(b, is_over, c, cl_deadline(timeout_ms));

    *ret_end = (struct broker_call_end){.error = r, .text = ""};
    if (r == BROKER_OK)
        *ret_end = c->end;
    r = ret_end->error;
    item = STAILQ_FIRST(&c->items);
    if (r == BROKER_OK && ret_m && item) {
        *ret_m = item->m;
        item->m = NULL;
    }
    if (c->over && c->end.text[0])
        cl_fail(b, r, "%s", c->end.text);
    if (r == BROKER_TIMED_OUT)
        cl_fail(b, r, "no answer in time");
    if (!c->over)
        (void)cl_send_cancel_if_open(b, &c->stream);
    cl_call_over(c, BROKER_TIMED_OUT, BROKER_REASON_NONE, BROKER_CODE_NONE, "");
    cl_call_drop(c);
    return r;
}

int broker_call_wait(broker *b, const char *target, const void *data, size_t len,
                     const struct broker_call_options *o, int timeout_ms, broker_message **ret_m,
                     struct broker_call_end *ret_end)
{
    struct broker_call_options own = defaults;
    struct broker_call_end end = {.text = ""};
    broker_call *c;
    int r;

    if (o) {
        own.content_type = o->content_type;
        own.headers = o->headers;
        own.header_count = o->header_count;
        own.wait_ms = o->wait_ms;
    }
    cl_lock(b);
    r = cl_in_callback(b) ? cl_fail(b, BROKER_IN_CALLBACK, "this would wait, in a callback")
                          : begin(b, target, len, &own);
    if (r == BROKER_OK)
        r = make(b, BROKER_CALL_RESPONSE, target, slice_of(data, len), &own, &c);
    if (r == BROKER_OK)
        r = wait_answer(c, timeout_ms, ret_m, &end);
    cl_unlock(b);
    if (ret_end) {
        *ret_end = end;
        ret_end->error = r;
        ret_end->text = broker_errmsg(b);
    }
    return r;
}

/* ---- What the engine tells ---- */

void cl_calls_opened(broker *b)
{
    broker_call *c;

    TAILQ_FOREACH (c, &b->calls, link)
        if (!c->server && !c->over)
            send_call(c);
}

bool cl_calls_sent(const broker *b, bool responses_only)
{
    const broker_call *c;

    TAILQ_FOREACH (c, &b->calls, link)
        if (c->stream.id != 0 && (!responses_only || c->model == BROKER_CALL_RESPONSE))
            return true;
    return false;
}

/* Only a request that has not been written at all waits for the next connection. */
void cl_calls_lost(broker *b)
{
    broker_call *c, *next;

    for (c = TAILQ_FIRST(&b->calls); c; c = next) {
        next = TAILQ_NEXT(c, link);
        if (c->stream.id == 0)
            continue;
        if (!c->server && c->kept && c->sent_at >= b->link.written) {
            cl_stream_close(b, &c->stream);
            continue;
        }
        cl_call_over(c, BROKER_DISCONNECTED, BROKER_REASON_NONE, BROKER_CODE_NONE,
                     "the connection was lost: nobody knows how far the call got");
        if (c->server && !c->asked)
            cl_call_drop(c);
    }
    cl_calls_tell(b);
}

void cl_calls_end(broker *b, int error)
{
    broker_call *c, *next;

    for (c = TAILQ_FIRST(&b->calls); c; c = next) {
        next = TAILQ_NEXT(c, link);
        cl_call_over(c, error, BROKER_REASON_NONE, BROKER_CODE_NONE,
                     c->kept && c->stream.id == 0 ? "the handle is closed; the call was never sent"
                                                  : "the handle is closed");
        if (c->server && !c->asked)
            cl_call_drop(c);
    }
    cl_calls_tell(b);
}

void cl_calls_tick(broker *b, int64_t now)
{
    broker_call *c;

    b->calls_due = CL_NEVER;
    TAILQ_FOREACH (c, &b->calls, link) {
        if (c->over)
            continue;
        if (c->deadline > now) {
            if (c->deadline < b->calls_due)
                b->calls_due = c->deadline;
            continue;
        }
        (void)cl_send_cancel_if_open(b, &c->stream);
        cl_call_over(c, BROKER_TIMED_OUT, BROKER_REASON_NONE, BROKER_CODE_NONE,
                     "the call was not over in time");
    }
}

/* One that found no room in what waits to be written, now that nothing waits: only then is it
 * certain that the next message is taken, whatever its size. */
static broker_call *starved(broker *b)
{
    broker_call *c;

    if (!b->starved_calls || b->link.ctl.pending > 0)
        return NULL;
    TAILQ_FOREACH (c, &b->calls, link)
        if (c->starved)
            return c;
    b->starved_calls = false;
    return NULL;
}

void cl_calls_tell(broker *b)
{
    broker_call *c;

    while ((c = TAILQ_FIRST(&b->over_calls)) != NULL) {
        TAILQ_REMOVE(&b->over_calls, c, over_link);
        c->telling = false;
        if (c->gone)
            continue;
        cl_callback_begin(b, c);
        c->m.on_end(c, &c->end, c->user);
        cl_callback_end(b);
    }
    while ((c = starved(b)) != NULL) {
        c->starved = false;
        if (c->over || c->gone || !c->m.on_credit || c->out_credit == 0)
            continue;
        cl_callback_begin(b, c);
        c->m.on_credit(c, cl_call_room(c), c->user);
        cl_callback_end(b);
    }
}

/* ---- Public: about a call ---- */

bool broker_call_ended(const broker_call *c, struct broker_call_end *ret_end)
{
    bool over;

    cl_lock(c->b);
    over = c->over;
    if (over && ret_end)
        *ret_end = c->end;
    cl_unlock(c->b);
    return over;
}

bool broker_call_completed(const broker_call *c)
{
    bool done;

    cl_lock(c->b);
    done = c->in_done;
    cl_unlock(c->b);
    return done;
}

enum broker_call_model broker_call_model(const broker_call *c)
{
    return c->model;
}

const char *broker_call_service(const broker_call *c)
{
    return c->target;
}

const char *broker_call_method(const broker_call *c)
{
    return c->method;
}

broker_message *broker_call_request(const broker_call *c)
{
    return c->request;
}

void *broker_call_user(const broker_call *c)
{
    void *user;

    cl_lock(c->b);
    user = c->user;
    cl_unlock(c->b);
    return user;
}

void broker_call_set_user(broker_call *c, void *user)
{
    cl_lock(c->b);
    c->user = user;
    cl_unlock(c->b);
}

/* ---- Public: its end ---- */

static int cancel(broker_call *c)
{
    broker *b = c->b;

    if (c->over)
        return BROKER_ENDED;
    if (c->server && c->model != BROKER_CALL_CHANNEL)
        return cl_fail(b, BROKER_INVALID, "a server cancels channels only");
    if (c->server && c->in_done)
        return BROKER_ENDED;
    if (c->server) {
        int r = cl_send_cancel(b, c->stream.id);

        c->in_done = true;
        cl_call_check_over(c);
        return r;
    }
    (void)cl_send_cancel_if_open(b, &c->stream);
    cl_call_over(c, BROKER_CANCELED, BROKER_REASON_NONE, BROKER_CODE_NONE, "canceled by this side");
    return BROKER_OK;
}

int broker_call_cancel(broker_call *c)
{
    int r;

    cl_lock(c->b);
    r = cancel(c);
    cl_unlock(c->b);
    return r;
}

static int fail(broker_call *c, uint32_t code, const char *text)
{
    broker *b = c->b;
    char cut[CL_FAIL_TEXT_MAX + 1];
    int r;

    if (c->over)
        return BROKER_ENDED;
    if (c->model == BROKER_CALL_FORGET || (!c->server && c->model != BROKER_CALL_CHANNEL))
        return cl_fail(b, BROKER_INVALID, "this side cannot fail a call of this model");
    if (code < BROKER_CODE_APPLICATION || (code > BROKER_CODE_INVALID && code < BROKER_CODE_OWN) ||
        code == UINT32_MAX)
        return cl_fail(b, BROKER_INVALID, "0x%x is no code for an error of a call", code);
    strncpy(cut, text ? text : "", sizeof cut - 1);
    cut[sizeof cut - 1] = '\0';
    r = c->stream.id != 0 ? cl_send_error(b, c->stream.id, code, cut) : BROKER_OK;
    cl_call_over(c, code == BROKER_CODE_CANCELED ? BROKER_CANCELED : BROKER_FAILED,
                 BROKER_REASON_NONE, code, cut);
    return r;
}

int broker_call_fail(broker_call *c, uint32_t code, const char *text)
{
    int r;

    cl_lock(c->b);
    r = fail(c, code, text);
    cl_unlock(c->b);
    return r;
}

/* What the other side has to hear of a call that is given up. */
static void give_up(broker_call *c)
{
    if (!c->server)
        (void)cancel(c);
    else if (c->out_done)
        (void)cl_send_cancel(c->b, c->stream.id);
    else
        (void)fail(c, BROKER_CODE_CANCELED, "the server gave the call up");
    cl_call_over(c, BROKER_CANCELED, BROKER_REASON_NONE, BROKER_CODE_NONE, "");
}

void broker_call_free(broker_call *c)
{
    broker *b;

    if (!c)
        return;
    b = c->b;
    cl_lock(b);
    c->gone = true; /* no callback begins from here on */
    if (!c->over)
        give_up(c);
    cl_wait_callback(b, c);
    cl_call_drop(c);
    cl_unlock(b);
}
