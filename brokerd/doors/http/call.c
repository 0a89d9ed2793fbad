#include "brokerd/doors/http/call.h"

#include <errno.h>
#include <stdlib.h>

#include "brokerd/doors/http/terms.h"
#include "brokerd/doors/options.h"
#include "brokerd/doors/refuse.h"

struct hcall {
    struct exchange *x;
    struct call *call; /* NULL: it is over, or not open yet */
    const struct hcall_ops *ops;
};

static void refuse_call(struct hcall *h, const struct refusal *why)
{
    if (h->ops->refuse)
        h->ops->refuse(h->x, why);
    else
        exchange_refuse(h->x, why);
}

/* ---- the answer */

static void on_next(void *ctx, const struct call_payload *p, bool complete)
{
    struct hcall *h = ctx;
    uint8_t buf[EXCHANGE_HEADERS_MAX];
    struct response r = {.status = 200, .type = ctype_name(p->type), .body = p->data};

    (void)complete; /* there is one */
    if (h->ops->answer) {
        h->ops->answer(h->x, p);
        return;
    }
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
    refuse_call(h, &why);
}

static void on_closed(void *ctx)
{
    struct hcall *h = ctx;
    struct refusal why;

    h->call = NULL;
    if (h->x->answered)
        return;
    refuse(&why, REASON_NO_SERVER, "the server has gone");
    refuse_call(h, &why);
}

static void on_request_n(void *ctx, uint32_t n)
{
    (void)ctx, (void)n; /* one payload is all that is sent */
}

static void on_cancel(void *ctx)
{
    (void)ctx;
}

static const struct call_ops call_ops = {.next = on_next,
                                         .request_n = on_request_n,
                                         .complete = on_complete,
                                         .cancel = on_cancel,
                                         .error = on_error,
                                         .closed = on_closed};

/* ---- the request */

/* Pages that may come, but not manage the broker, may do no more than look: what they are answered
 * their browser keeps from them. */
static bool may_ask(const struct exchange *x, const struct call_request *r, struct refusal *why)
{
    if (!x->terms->is_guest || x->terms->method & (METHOD_GET | METHOD_HEAD) ||
        !slice_eq(r->service, SLICE("admin")))
        return true;
    refuse(why, REASON_DENIED,
           "a page of another origin does not manage the broker; the listener's `origins` may "
           "name it");
    return false;
}

void hcall_open(struct exchange *x, const struct call_request *r, const struct hcall_ops *ops)
{
    struct hcall *h = calloc(1, sizeof *h);
    struct endpoint *ep;
    struct refusal why;
    int err = h ? exchange_endpoint(x, &ep, &why) : -ENOMEM;

    if (!h) {
        refuse_memory(&why);
        exchange_refuse(x, &why);
        return;
    }
    x->state = h;
    h->x = x;
    h->ops = ops;
    if (err == 0 && !may_ask(x, r, &why))
        err = -EACCES;
    if (err == 0)
        err = core_call_open(ep, r, &call_ops, h, &h->call, &why);
    if (err < 0)
        refuse_call(h, &why);
}

void hcall_over(struct exchange *x)
{
    struct hcall *h = x->state;

    if (!h)
        return;
    core_call_close(h->call);
    free(h);
}
