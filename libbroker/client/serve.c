/* Services: offered on each connection; and the calls that come for them. */
#include <stdlib.h>
#include <string.h>

#include "libbroker/base/name.h"
#include "libbroker/client/call.h"
#include "libbroker/client/message.h"

enum { CALLS_DEFAULT = 256 };

#define NO_LIMIT (UINT64_MAX / 2)

/* ---- The offer ---- */

static bool may_offer(const broker *b)
{
    return b->link.state == CL_LINK_OPEN && !b->link.draining && !b->link.lost;
}

static void offer(broker_service *s)
{
    broker *b = s->b;

    s->serving = false;
    s->error = BROKER_OK;
    cl_meta_begin(b);
    if (cl_meta_route(b, "serve/", slice_str(s->name)) != BROKER_OK ||
        cl_stream_open(b, &s->stream) != BROKER_OK)
        return;
    (void)cl_send_request(b, RS_REQUEST_RESPONSE, s->stream.id, 0, cl_meta(b),
                          (struct slice){NULL, 0});
}

/* The broker keeps calls from us; those that are on their way are refused. Without room for the
 * frame all are. */
static void withdraw(const broker_service *s)
{
    broker *b = s->b;
    uint32_t id;

    if (!may_offer(b) || !cl_ctl_has_room(b, 0))
        return;
    cl_meta_begin(b);
    if (cl_meta_route(b, "unserve/", slice_str(s->name)) != BROKER_OK)
        return;
    id = cl_stream_id(b);
    if (id != 0)
        (void)cl_send_request(b, RS_REQUEST_FNF, id, 0, cl_meta(b), (struct slice){NULL, 0});
}

void cl_services_opened(broker *b)
{
    broker_service *s;

    TAILQ_FOREACH (s, &b->services, link)
        offer(s);
}

void cl_services_lost(broker *b)
{
    broker_service *s;

    TAILQ_FOREACH (s, &b->services, link) {
        cl_stream_close(b, &s->stream);
        s->serving = false;
    }
}

void cl_service_frame(broker *b, struct cl_stream *st, const struct rs_frame *f)
{
    broker_service *s = (broker_service *)st; /* its first member */
    int reason = BROKER_REASON_NONE;

    if (f->type != RS_ERROR && f->type != RS_PAYLOAD)
        return;
    s->text[0] = '\0';
    s->error = f->type == RS_ERROR ? cl_error_of(f, &reason, s->text) : BROKER_OK;
    s->serving = s->error == BROKER_OK;
    cl_stream_close(b, &s->stream);
    if (!s->on_serving || reason == BROKER_REASON_DRAINING) /* then the next broker is asked */
        return;
    cl_callback_begin(b, s);
    s->on_serving(s, s->error, reason, s->text, s->user);
    cl_callback_end(b);
}

/* ---- Calls that come ---- */

static void refuse(broker *b, const struct rs_frame *f, uint32_t code, const char *text)
{
    if (f->type != RS_REQUEST_FNF)
        (void)cl_send_error(b, f->stream, code, text);
}

void cl_call_request(broker *b, const struct rs_frame *f)
{
    broker_call *c;

    if (TAILQ_EMPTY(&b->services) || b->closing || b->n_asked >= CL_ASKED_MAX) {
        refuse(b, f, RS_REJECTED,
               b->closing                  ? "draining: this server is about to stop"
               : TAILQ_EMPTY(&b->services) ? "no-server: this client serves nothing"
                                           : "limit: too many requests are under way");
        return;
    }
    c = calloc(1, sizeof *c);
    if (!c) {
        refuse(b, f, RS_REJECTED, "memory: this server has none for a call");
        return;
    }
    c->b = b;
    c->server = true;
    if (cl_stream_accept(b, &c->stream, f->stream) != BROKER_OK) {
        free(c);
        cl_link_fail(b, BROKER_PROTOCOL, "a request on stream %u, which is in use or not its own",
                     f->stream);
        return;
    }
    cl_call_enter(c);
    b->n_asked++;
    cl_stream_frame(b, f); /* which comes back, once it is complete, as cl_call_asked() */
}

static enum broker_call_model model_of(uint8_t type)
{
    switch (type) {
    case RS_REQUEST_FNF:
        return BROKER_CALL_FORGET;
    case RS_REQUEST_RESPONSE:
        return BROKER_CALL_RESPONSE;
    case RS_REQUEST_STREAM:
        return BROKER_CALL_STREAM;
    default:
        return BROKER_CALL_CHANNEL;
    }
}

/* The route, call/SERVICE/METHOD, into c->target; false: it is none, or there is no memory. */
static bool take_target(broker_call *c, struct slice route)
{
    static const struct slice prefix = {(const uint8_t *)"call/", 5};
    char *slash;

    if (route.n <= prefix.n || memcmp(route.p, prefix.p, prefix.n) != 0 ||
        memchr(route.p, '\0', route.n))
        return false;
    c->target = strndup((const char *)route.p + prefix.n, route.n - prefix.n);
    slash = c->target ? strchr(c->target, '/') : NULL;
    if (!slash)
        return false;
    *slash = '\0';
    c->method = slash + 1;
    return true;
}

static broker_service *service_of(const broker *b, const char *name)
{
    broker_service *s;

    TAILQ_FOREACH (s, &b->services, link)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

/* Make `c` what its request asks for; a refusal's text, or NULL. */
static const char *understand(broker_call *c, const struct rs_frame *f)
{
    broker *b = c->b;

    cl_message_lend(b->lent, NULL, NULL, 0, f->data);
    if (f->has_metadata && !cl_message_parse(b->lent, f->metadata))
        return "invalid: broken metadata";
    if (!take_target(c, cl_message_take_route(b->lent)))
        return "invalid: a call's route is call/SERVICE/METHOD";
    c->service = service_of(b, c->target);
    if (!c->service)
        return "no-server: this client does not serve that";
    if (c->service->open_calls >= c->service->max_calls)
        return "limit: this server takes no more calls at once";
    c->request = broker_message_ref(b->lent);
    return c->request ? NULL : "memory: this server has none for a call";
}

static void set_directions(broker_call *c, const struct rs_frame *f)
{
    uint32_t n = f->number;

    c->model = model_of(f->type);
    c->in_done = c->model != BROKER_CALL_CHANNEL || (f->flags & RS_COMPLETE);
    c->out_done = c->model == BROKER_CALL_FORGET;
    if (c->model == BROKER_CALL_RESPONSE)
        c->out_credit = 1;
    else if (c->model != BROKER_CALL_FORGET)
        c->out_credit = n >= RS_N_MAX ? NO_LIMIT : n;
}

static void hand_out(broker_service *s, broker_call *c)
{
    broker *b = s->b;

    if (!s->on_call) {
        TAILQ_INSERT_TAIL(&s->waiting, c, waiting_link);
        c->waiting = true;
        return;
    }
    cl_callback_begin(b, s);
    s->on_call(s, c, s->user);
    cl_callback_end(b);
}

/* Nobody sees `c` ever: refuse it, and forget it. */
static void turn_away(broker_call *c, const struct rs_frame *f, const char *why)
{
    broker *b = c->b;
    bool invalid = broker_reason_of(why) == BROKER_REASON_INVALID;

    if (c->service)
        c->service->refused++;
    c->service = NULL;
    refuse(b, f, invalid ? RS_INVALID : RS_REJECTED, why);
    cl_call_over(c, BROKER_REFUSED, BROKER_REASON_NONE, BROKER_CODE_NONE, "");
    cl_call_drop(c);
}

void cl_call_asked(broker_call *c, const struct rs_frame *f)
{
    const char *why = understand(c, f);
    broker_service *s = c->service;
    bool no_credit =
        f->number == 0 && (f->type == RS_REQUEST_STREAM || f->type == RS_REQUEST_CHANNEL);

    if (!why && no_credit)
        why = "invalid: a request for no messages";
    if (why) {
        turn_away(c, f, why);
        return;
    }
    set_directions(c, f);
    c->m = s->m;
    c->user = s->user;
    c->asked = true;
    c->b->n_asked--;
    s->taken++;
    s->open_calls++;
    if (s->on_call)
        cl_call_grant_first(c);
    if (c->model == BROKER_CALL_FORGET) { /* over before it begins, and nobody need be told */
        c->m.on_end = NULL;
        cl_call_check_over(c);
    }
    hand_out(s, c);
}

/* ---- Public ---- */

static int check(broker *b, const char *name, const struct broker_serve_options *o)
{
    const char *why;
    int r = cl_check_open(b);

    if (r != BROKER_OK)
        return r;
    for (size_t i = 0; i < sizeof o->reserved / sizeof o->reserved[0]; i++)
        if (o->reserved[i])
            return cl_fail(b, BROKER_INVALID, "reserved options are set");
    if (!name)
        return cl_fail(b, BROKER_INVALID, "no service given");
    why = name_service_error(slice_str(name), NAME_OF_CLIENT);
    if (why)
        return cl_fail(b, BROKER_INVALID, "%s: \"%.80s\"", why, name);
    if (service_of(b, name))
        return cl_fail(b, BROKER_INVALID, "\"%s\" is served on this handle already", name);
    return cl_call_check_credit(b, o->credit);
}

static int make(broker *b, const char *name, const struct broker_serve_options *o,
                broker_service **ret_s)
{
    broker_service *s = calloc(1, sizeof *s);

    if (!s)
        return BROKER_NO_MEMORY;
    s->name = strdup(name);
    if (!s->name) {
        free(s);
        return BROKER_NO_MEMORY;
    }
    s->b = b;
    s->stream.kind = CL_SERVICE;
    s->m = (struct cl_call_manner){
        .window = o->credit || o->manual_credit ? o->credit : CL_CALL_CREDIT,
        .manual_credit = o->manual_credit,
        .on_message = o->on_message,
        .on_complete = o->on_complete,
        .on_credit = o->on_credit,
        .on_end = o->on_end,
    };
    s->on_call = o->on_call;
    s->on_serving = o->on_serving;
    s->user = o->user;
    s->max_calls = o->max_calls ? o->max_calls : CALLS_DEFAULT;
    TAILQ_INIT(&s->waiting);
    TAILQ_INSERT_TAIL(&b->services, s, link);
    *ret_s = s;
    if (may_offer(b))
        offer(s);
    return BROKER_OK;
}

int broker_serve(broker *b, const char *service, const struct broker_serve_options *o,
                 broker_service **ret_s)
{
    static const struct broker_serve_options defaults;
    int r;

    o = o ? o : &defaults;
    cl_lock(b);
    r = check(b, service, o);
    if (r == BROKER_OK)
        r = make(b, service, o, ret_s);
    cl_unlock(b);
    return r;
}

static bool is_answered(void *arg)
{
    const broker_service *s = arg;

    return s->serving || s->error != BROKER_OK;
}

int broker_service_ready(broker_service *s, int timeout_ms)
{
    broker *b = s->b;
    int r;

    cl_lock(b);
    r = cl_wait_until(b, is_answered, s, cl_deadline(timeout_ms));
    if (r == BROKER_OK && s->error != BROKER_OK)
        r = cl_fail(b, s->error, "%s", s->text);
    cl_unlock(b);
    return r;
}

/* Those that are over before anybody has taken them go the way they came. */
static bool has_call(void *arg)
{
    broker_service *s = arg;
    broker_call *c;

    while ((c = TAILQ_FIRST(&s->waiting)) != NULL && c->over && c->model != BROKER_CALL_FORGET)
        cl_call_drop(c);
    return c != NULL;
}

int broker_service_next(broker_service *s, int timeout_ms, broker_call **ret_call)
{
    broker *b = s->b;
    broker_call *c;
    int r;

    cl_lock(b);
    if (s->on_call)
        r = cl_fail(b, BROKER_INVALID, "the service has an on_call");
    else
        r = cl_wait_until(b, has_call, s, cl_deadline(timeout_ms));
    if (r == BROKER_OK) {
        c = TAILQ_FIRST(&s->waiting);
        TAILQ_REMOVE(&s->waiting, c, waiting_link);
        c->waiting = false;
        cl_call_grant_first(c);
        *ret_call = c;
    }
    cl_unlock(b);
    return r;
}

void broker_service_stats(const broker_service *s, struct broker_service_stats *ret)
{
    cl_lock(s->b);
    *ret = (struct broker_service_stats){s->taken, s->refused, s->open_calls};
    cl_unlock(s->b);
}

/* Calls that nobody has taken yet are refused; the others have no service any more. */
static void let_go_of_calls(broker_service *s)
{
    broker *b = s->b;
    broker_call *c, *next;

    for (c = TAILQ_FIRST(&b->calls); c; c = next) {
        next = TAILQ_NEXT(c, link);
        if (c->service != s)
            continue;
        if (c->waiting) {
            if (c->stream.id != 0)
                (void)cl_send_error(b, c->stream.id, RS_REJECTED,
                                    "no-server: this client serves that no more");
            cl_call_over(c, BROKER_REFUSED, BROKER_REASON_NO_SERVER, BROKER_CODE_REJECTED, "");
            cl_call_drop(c);
        } else {
            c->service = NULL;
        }
    }
}

void broker_unserve(broker_service *s)
{
    broker *b;

    if (!s)
        return;
    b = s->b;
    cl_lock(b);
    TAILQ_REMOVE(&b->services, s, link); /* no callback begins from here on */
    cl_stream_close(b, &s->stream);
    withdraw(s);
    let_go_of_calls(s);
    cl_wait_callback(b, s);
    if (b->in_turn) {
        TAILQ_INSERT_TAIL(&b->gone_services, s, link);
    } else {
        free(s->name);
        free(s);
    }
    cl_unlock(b);
}
