/* POST /v1/services/SERVICE/METHOD: a call, whose one answer is the response's body. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/core/call.h"
#include "brokerd/doors/http/handlers.h"
#include "brokerd/doors/http/terms.h"
#include "brokerd/doors/options.h"
#include "brokerd/doors/refuse.h"

struct hcall {
    struct exchange *x;
    struct call *call; /* NULL: it is over, or not open yet */
};

/* ---- the answer */

static void on_next(void *ctx, const struct call_payload *p, bool complete)
{
    struct hcall *h = ctx;
    uint8_t buf[EXCHANGE_HEADERS_MAX];
    struct response r = {.status = 200, .type = ctype_name(p->type), .body = p->data};

    (void)complete; /* there is one */
    r.block = p->block;
    r.headers = exchange_fields(p->headers, buf, sizeof buf);
    exchange_answer(h->x, &r);
}

static void on_complete(void *ctx)
{
    exchange_answer(((struct hcall *)ctx)->x, &(struct response){.status = 204});
}

static int status_of_code(uint32_t code)
{
    return code == CALL_REJECTED   ? 503
           : code == CALL_INVALID  ? 400
           : code == CALL_CANCELED ? 502
                                   : 500;
}

/* What the server said, not the broker. */
static void answer_error(struct exchange *x, const struct call_error *e)
{
    exchange_fail(x, status_of_code(e->code), e->code, e->text);
}

static void on_error(void *ctx, const struct call_error *e)
{
    struct hcall *h = ctx;
    struct refusal why = {.reason = e->reason};
    size_t n = e->text.n < sizeof why.text ? e->text.n : sizeof why.text - 1;

    if (e->reason == REASON_NONE) {
        answer_error(h->x, e);
        return;
    }
    memcpy(why.text, e->text.p, n);
    why.text[n] = '\0';
    exchange_refuse(h->x, &why);
}

static void on_closed(void *ctx)
{
    struct hcall *h = ctx;
    struct refusal why;

    h->call = NULL;
    if (h->x->answered)
        return;
    refuse(&why, REASON_NO_SERVER, "the server has gone");
    exchange_refuse(h->x, &why);
}

static void on_request_n(void *ctx, uint32_t n)
{
    (void)ctx, (void)n; /* one payload is all that is sent */
}

static void on_cancel(void *ctx)
{
    (void)ctx;
}

static const struct call_ops ops = {.next = on_next,
                                    .request_n = on_request_n,
                                    .complete = on_complete,
                                    .cancel = on_cancel,
                                    .error = on_error,
                                    .closed = on_closed};

/* ---- the request */

static int read_headers(struct exchange *x, uint8_t *buf, uint8_t *left, struct call_request *r,
                        struct refusal *why)
{
    struct options options;
    int err;

    r->wait_ms = -1;
    r->first.type = ctype_of(x->terms->type);
    if (!x->terms->says_more)
        return 0;
    err = exchange_headers(x, buf, &r->first.headers, why);
    if (err == 0)
        err = options_read(r->first.headers, OPTION_WAIT, left, &options, why);
    if (err < 0)
        return err;
    r->first.headers = options.headers;
    r->wait_ms = options.wait_ms;
    return 0;
}

static int call(struct exchange *x, struct slice body, struct block *block, struct refusal *why)
{
    uint8_t buf[EXCHANGE_HEADERS_MAX], left[EXCHANGE_HEADERS_MAX];
    struct call_request r = {.model = CALL_RESPONSE,
                             .service = x->arg[0],
                             .method = x->arg[1],
                             .first = {.data = body, .block = block},
                             .complete = true,
                             .credit = 1};
    struct endpoint *ep;
    struct hcall *h;
    int err = read_headers(x, buf, left, &r, why);

    if (err == 0)
        err = exchange_endpoint(x, &ep, why);
    if (err < 0)
        return err;
    x->state = h = calloc(1, sizeof *h);
    if (!h) {
        refuse_memory(why);
        return -ENOMEM;
    }
    h->x = x;
    return core_call_open(ep, &r, &ops, h, &h->call, why);
}

static size_t on_body(struct exchange *x, struct slice body, struct block *block, bool last)
{
    struct refusal why;

    (void)last;
    if (body.n == 0)
        body = slice_of("", 0);
    if (call(x, body, body.n ? block : NULL, &why) < 0)
        exchange_refuse(x, &why);
    return body.n;
}

static void on_over(struct exchange *x)
{
    struct hcall *h = x->state;

    if (!h)
        return;
    core_call_close(h->call);
    free(h);
}

static const struct handler handler = {.kind = BODY_WHOLE, .body = on_body, .over = on_over};

const struct route service_routes[] = {
    {METHOD_POST, "/v1/services/*/*", &handler, NULL},
    {0, NULL, NULL, NULL},
};
