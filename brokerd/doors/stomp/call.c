/* SEND to /service/NAME/METHOD: what is answered comes as MESSAGE of the subscription that reply-to
 * names, with the question's correlation-id. The last one of a stream, and an error, have a header
 * that says so. */
#include "brokerd/doors/stomp/reply.h"

#include "brokerd/core/call.h"
#include "brokerd/doors/options.h"
#include "brokerd/doors/refuse.h"
#include "brokerd/doors/stomp/publish.h"
#include "libbroker/base/log.h"

#include <errno.h>
#include <stdlib.h>

#define MODEL SLICE("broker-model")

struct stomp_call {
    struct list_node link; /* in peer->calls */
    struct stomp_peer *peer;
    struct call *call; /* NULL: not opened yet */
    bool is_stream, answered;
    uint16_t to_n, correlation_n;
    uint8_t text[]; /* the reply-to, the correlation-id */
};

static void call_free(struct stomp_call *s)
{
    list_remove(&s->link);
    free(s);
}

/* ------------------------------------------------------------------------------- answers */

/* Headers that an answer has besides its own. */
struct mark {
    struct slice name, value; /* name empty: none */
};

static void answer(const struct stomp_call *s, const struct call_payload *p,
                   const struct mark *mark)
{
    struct stomp_peer *c = s->peer;
    struct slice to = slice_of(s->text, s->to_n), type = ctype_name(p->type);
    struct slice correlation = slice_of(s->text + s->to_n, s->correlation_n);
    enum stomp_version v = c->reader.version;
    size_t most = 256 + 2 * (3 * to.n + correlation.n + type.n + mark->value.n) + 4 * p->headers.n;
    uint8_t *start, *at;

    if (c->over)
        return;
    start = at = out_reserve(&c->link->out, most);
    if (!at)
        return; /* broken, net closes it */
    at = stomp_put(at, SLICE("MESSAGE\n"));
    at = stomp_put_header(at, v, SLICE("subscription"), to);
    at = stomp_put_header(at, v, SLICE("destination"), to);
    at = stomp_put_text(stomp_put(at, SLICE("message-id:T_")), v, to);
    at = stomp_put_number(stomp_put(at, SLICE("@@call-")), ++c->made);
    at = stomp_put(at, SLICE("\nredelivered:false\n"));
    if (type.n)
        at = stomp_put_header(at, v, SLICE("content-type"), type);
    if (correlation.n)
        at = stomp_put_header(at, v, SLICE("correlation-id"), correlation);
    if (mark->name.n)
        at = stomp_put_header(at, v, mark->name, mark->value);
    at = stomp_put_headers(at, v, p->headers);
    at = stomp_put_number(stomp_put(at, SLICE("content-length:")), p->data.n);
    at = stomp_put(at, SLICE("\n\n"));
    out_commit(&c->link->out, (size_t)(at - start));
    (void)out_copy(&c->link->out, p->data.p, p->data.n);
    (void)out_copy(&c->link->out, "", 1);
    out_end(&c->link->out);
}

static void on_next(void *ctx, const struct call_payload *p, bool complete)
{
    struct stomp_call *s = ctx;
    struct mark mark = {{NULL, 0}, SLICE("true")};

    if (s->is_stream && complete)
        mark.name = SLICE("broker-complete");
    s->answered = true;
    answer(s, p, &mark);
}

/* No more: of a stream, or of a question that has no answer. */
static void on_complete(void *ctx)
{
    struct stomp_call *s = ctx;
    struct mark mark = {SLICE("broker-complete"), SLICE("true")};

    if (s->is_stream || !s->answered)
        answer(s, &(struct call_payload){.type = {.id = CTYPE_NONE}}, &mark);
}

static void on_failed(const struct stomp_call *s, struct slice word, struct slice text)
{
    struct mark mark = {SLICE("broker-error"), word};

    answer(s, &(struct call_payload){.data = text, .type = ctype_of(SLICE("text/plain"))}, &mark);
}

static void on_error(void *ctx, const struct call_error *e)
{
    on_failed(ctx, e->reason == REASON_NONE ? SLICE("failed") : slice_str(reason_name(e->reason)),
              e->text);
}

static void on_request_n(void *ctx, uint32_t n)
{
    (void)ctx, (void)n; /* there is but the one payload up */
}

static void on_cancel(void *ctx)
{
    (void)ctx; /* nothing is sent up anyway */
}

static void on_closed(void *ctx)
{
    call_free(ctx);
}

static const struct call_ops call_ops = {on_next,   on_request_n, on_complete,
                                         on_cancel, on_error,     on_closed};

/* ------------------------------------------------------------------------------- opening */

static struct stomp_call *call_new(struct stomp_peer *c, const struct stomp_frame *f,
                                   struct slice to, bool is_stream)
{
    struct slice correlation = stomp_get(f, SLICE("correlation-id"));
    struct stomp_call *s = calloc(1, sizeof *s + to.n + correlation.n);

    if (!s) {
        stomp_fail_memory(c);
        return NULL;
    }
    s->peer = c;
    s->is_stream = is_stream;
    s->to_n = (uint16_t)to.n;
    s->correlation_n = (uint16_t)correlation.n;
    (void)stomp_put(stomp_put(s->text, to), correlation);
    list_push_back(&c->calls, &s->link);
    return s;
}

/* The model asked for. False: the peer was told. */
static bool read_model(struct stomp_peer *c, const struct stomp_frame *f, enum call_model *ret)
{
    struct slice to = stomp_get(f, SLICE("reply-to")), model = stomp_get(f, MODEL);

    *ret = to.n ? CALL_RESPONSE : CALL_FNF;
    if (to.n && !slice_starts(to, SLICE("/temp-queue/")))
        stomp_fail(c, f, "Invalid header", "the reply-to of a call must be a /temp-queue\n");
    else if (to.n > STOMP_ID_MAX)
        stomp_fail(c, f, "Invalid header", "a reply-to may have %d bytes\n", STOMP_ID_MAX);
    else if (model.n && !to.n)
        stomp_fail(c, f, "Invalid header", "broker-model needs a reply-to\n");
    else if (slice_eq(model, SLICE("stream")))
        *ret = CALL_STREAM;
    else if (model.n && !slice_eq(model, SLICE("response")))
        stomp_fail(c, f, "Invalid header", "broker-model is response or stream\n");
    return !c->over;
}

static void call_refused(struct stomp_peer *c, const struct stomp_frame *f, struct stomp_call *s,
                         int error, struct refusal *why)
{
    stomp_explain(error, why);
    if (s) {
        on_failed(s, slice_str(reason_name(why->reason)), slice_str(why->text));
        call_free(s);
    } else if (stomp_get(f, SLICE("receipt")).n) {
        stomp_refuse(c, f, why);
    } else {
        log_debug("%s: a call without reply-to came to nothing: %s", link_peer(c->link), why->text);
    }
}

static void open_call(struct stomp_peer *c, const struct stomp_frame *f, struct call_request *q)
{
    struct slice to = stomp_get(f, SLICE("reply-to"));
    struct refusal why = {REASON_NONE, ""};
    struct stomp_call *s = NULL;
    struct call *call = NULL;
    int r;

    if (q->model != CALL_FNF && !(s = call_new(c, f, to, q->model == CALL_STREAM)))
        return;
    r = core_call_open(c->link->endpoint, q, s ? &call_ops : NULL, s, &call, &why);
    if (r < 0)
        call_refused(c, f, s, r, &why);
    else if (call)
        s->call = call; /* else it was answered at once, and `s` is gone */
    if (!c->over)
        stomp_receipt(c, f);
}

bool stomp_call(struct stomp_peer *c, const struct stomp_frame *f,
                const struct stomp_destination *d)
{
    struct slice name = stomp_destination_name(d);
    size_t n = (size_t)((const uint8_t *)memchr(name.p, '/', name.n) - name.p);
    struct call_request q = {.service = slice_of(name.p, n), .method = slice_from(name, n + 1)};
    struct stomp_memo *m = NULL;

    if (stomp_find(f, SLICE("transaction"), &(struct slice){NULL, 0})) {
        stomp_fail(c, f, "Bad transaction", "a call cannot be part of a transaction\n");
        return true;
    }
    if (!read_model(c, f, &q.model))
        return true;
    if (stomp_memo_read(c, f, d, &m)) {
        q.first = (struct call_payload){
            .data = f->body, .block = c->block, .type = m->type, .headers = m->meta.headers};
        q.credit = q.model == CALL_STREAM ? CORE_UNLIMITED : q.model == CALL_RESPONSE;
        q.wait_ms = m->wait_ms;
        open_call(c, f, &q);
    }
    free(m);
    return true;
}

void stomp_calls_fini(struct stomp_peer *c)
{
    struct list_node *n;

    while ((n = list_first(&c->calls)) != NULL) {
        struct stomp_call *s = LIST_ITEM(n, struct stomp_call, link);

        core_call_close(s->call);
        call_free(s);
    }
}
