/* POST /v1/services/SERVICE/METHOD: a call, whose one answer is the response's body. */
#include "brokerd/doors/http/call.h"
#include "brokerd/doors/http/handlers.h"
#include "brokerd/doors/http/terms.h"
#include "brokerd/doors/options.h"

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

static size_t on_body(struct exchange *x, struct slice body, struct block *block, bool last)
{
    static const struct hcall_ops ops = {.answer = NULL};
    uint8_t buf[EXCHANGE_HEADERS_MAX], left[EXCHANGE_HEADERS_MAX];
    struct call_request r = {
        .model = CALL_RESPONSE,
        .service = x->arg[0],
        .method = x->arg[1],
        .first = {.data = body.n ? body : slice_of("", 0), .block = body.n ? block : NULL},
        .complete = true,
        .credit = 1};
    struct refusal why;

    (void)last;
    if (read_headers(x, buf, left, &r, &why) < 0)
        exchange_refuse(x, &why);
    else
        hcall_open(x, &r, &ops);
    return body.n;
}

static const struct handler handler = {.kind = BODY_WHOLE, .body = on_body, .over = hcall_over};

const struct route service_routes[] = {
    {METHOD_POST, "/v1/services/*/*", &handler, NULL},
    {0, NULL, NULL, NULL},
};
