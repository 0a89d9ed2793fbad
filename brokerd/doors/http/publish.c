/* POST /v1/topics/TOPIC and /v1/queues/Q/messages: the body is a message, and the answer says what
 * became of it. */
#include "brokerd/doors/http/handlers.h"
#include "brokerd/doors/http/put.h"
#include "brokerd/doors/http/terms.h"
#include "brokerd/doors/options.h"
#include "brokerd/doors/refuse.h"

enum { REQUIRE = 1 };

static void settled(struct exchange *x, const struct outcome *o)
{
    struct refusal why;
    uint8_t body[64], *p = body;

    if (reason_is_refusal(o->reason) && (o->reason != REASON_NO_MATCH || x->note == REQUIRE)) {
        refuse_outcome(&why, o);
        exchange_refuse(x, &why);
        return;
    }
    p = put_number(put(p, "{\"matched\":"), o->matched);
    p = put_number(put(p, ",\"accepted\":"), o->accepted);
    p = put(p, "}\n");
    exchange_answer_json(x, 202, slice_of(body, (size_t)(p - body)));
}

static int publish(struct exchange *x, struct slice data, struct block *block, struct refusal *why)
{
    const struct target to = {x->route->what != NULL, x->arg[0]};
    struct msg_meta meta = {.type = {.id = CTYPE_NONE}};
    struct msg_view v = {.data = data.n ? data.p : (const uint8_t *)"",
                         .len = (uint32_t)data.n,
                         .block = data.n ? block : NULL};
    struct run run = {.v = &v, .n = 1, .bytes = data.n, .type = ctype_of(x->terms->type)};
    uint8_t buf[EXCHANGE_HEADERS_MAX], left[EXCHANGE_HEADERS_MAX];
    struct options options;
    int r = 0;

    if (x->terms->type.n && run.type.id == CTYPE_NONE) {
        refuse(why, REASON_INVALID, "Content-Type has at most 128 characters of ASCII");
        return -1;
    }
    if (x->terms->says_more) {
        r = exchange_headers(x, buf, &meta.headers, why);
        if (r == 0)
            r = options_read(meta.headers, OPTIONS_MESSAGE, left, &options, why);
        if (r < 0)
            return r;
        meta.headers = options.headers;
        meta.ttl_ms = options.ttl_ms;
        meta.require = options.require;
        meta.dedup = options.dedup;
        v.meta = &meta;
    }
    x->note = meta.require ? REQUIRE : 0;
    return exchange_publish(x, &to, &run, settled, why);
}

static size_t on_body(struct exchange *x, struct slice body, struct block *block, bool last)
{
    struct refusal why;

    (void)last;
    if (publish(x, body, block, &why) < 0)
        exchange_refuse(x, &why);
    return body.n;
}

static const struct handler *choose(const struct terms *t)
{
    return batch_is_asked(t->type) ? &batch : NULL;
}

static const struct handler one = {.kind = BODY_WHOLE, .choose = choose, .body = on_body};
static const char to_queue[] = "queue";

const struct route publish_routes[] = {
    {METHOD_POST, "/v1/topics/*", &one, NULL},
    {METHOD_POST, "/v1/queues/*/messages", &one, to_queue},
    {0, NULL, NULL, NULL},
};
