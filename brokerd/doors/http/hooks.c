/* POST /v1/hooks/NAME: a webhook of somebody else's. It is verified as inlet.h says, published to
 * the hook's topic, and answered when that has settled; its sender's id is the message's. */
#include <errno.h>
#include <stdio.h>

#include "brokerd/doors/http/handlers.h"
#include "brokerd/doors/http/terms.h"
#include "brokerd/doors/inlet.h"
#include "brokerd/doors/options.h"
#include "brokerd/doors/refuse.h"
#include "libbroker/base/headers.h"
#include "libbroker/base/policy.h"
#include "libbroker/wire/json_text.h"

enum { STRIPE_MEMBERS_MAX = 64 }; /* of an event */

/* What each scheme's fields are called; NULL: it has no such thing. */
static const struct {
    const char *signature, *id, *time;
} fields[] = {
    [INLET_STANDARD] = {"webhook-signature", "webhook-id", "webhook-timestamp"},
    [INLET_GITHUB] = {"x-hub-signature-256", "x-github-delivery", NULL},
    [INLET_STRIPE] = {"stripe-signature", NULL,
                      NULL}, /* the time is part of it, the id of the body */
    [INLET_NONE] = {NULL, "idempotency-key", NULL},
};

static const struct inlet *hook_of(const struct exchange *x, struct refusal *why)
{
    const struct inlet *h = inlets_find(exchange_link(x)->host->scratch->inlets, x->arg[0]);
    char name[64];

    if (!h)
        refuse(why, REASON_NOT_FOUND, "no hook \"%s\"", shown(x->arg[0], name, sizeof name));
    return h;
}

static struct slice field(const struct exchange *x, const char *name)
{
    struct slice value = slice_of(NULL, 0);

    if (name)
        (void)http_field(x->request, name, &value);
    return value;
}

/* ---- is it genuine? */

static void turn_away(struct exchange *x, const struct inlet *h, const char *text)
{
    struct refusal why;

    exchange_link(x)->host->scratch->count[DOOR_COUNT_HOOKS_DENIED]++;
    refuse(&why, REASON_DENIED, "hook %s: %s", h->name, text);
    exchange_refuse_with(x, &(struct response){.status = 401}, &why);
}

static int verify(const struct exchange *x, const struct inlet *h, struct slice body,
                  const char **ret_why)
{
    const struct webhook_received r = {.signature = field(x, fields[h->scheme].signature),
                                       .id = field(x, fields[h->scheme].id),
                                       .time = field(x, fields[h->scheme].time),
                                       .body = &body,
                                       .body_n = 1};
    int64_t tolerance_s = h->tolerance_ms == POLICY_NEVER ? -1 : h->tolerance_ms / 1000;
    int64_t now_s = core_wall(exchange_link(x)->host->core) / 1000;

    return h->scheme == INLET_NONE ? 0
                                   : webhook_verify(&h->keys, (enum webhook_scheme)h->scheme, &r,
                                                    now_s, tolerance_s, ret_why);
}

/* ---- what it says */

/* The member `id` of an event, a string: between its quotes. Empty: it has none. */
static struct slice event_id(struct slice body)
{
    struct json_member m[STRIPE_MEMBERS_MAX];
    struct json_fault fault;
    unsigned n;

    if (jtext_members(body, m, STRIPE_MEMBERS_MAX, &n, &fault) < 0)
        return slice_of(NULL, 0);
    for (unsigned i = 0; i < n; i++) {
        if (slice_eq(m[i].name, SLICE("id")) && jtext_is_string(m[i].value))
            return slice_of(m[i].value.p + 1, m[i].value.n - 2);
    }
    return slice_of(NULL, 0);
}

/* Visible ASCII, without escapes: what such ids are. */
static bool is_id(struct slice id)
{
    for (size_t i = 0; i < id.n; i++) {
        if (id.p[i] <= ' ' || id.p[i] >= 0x7f || id.p[i] == '\\')
            return false;
    }
    return id.n <= WEBHOOK_ID_MAX;
}

enum { OWN_ROOM = INLET_NAME_MAX + 1 + WEBHOOK_ID_MAX + 16 };

/* The message's headers: its id, which two hooks of one topic must not share by chance, and the
 * fields that are to be passed on. What else a sender says is not signed, and not obeyed. */
static int make_headers(const struct exchange *x, const struct inlet *h, struct slice id,
                        uint8_t *buf, struct msg_meta *meta, struct refusal *why)
{
    const struct headers_limits limits = {.max_count = INLET_HEADERS_MAX + 1,
                                          .max_bytes = UINT16_MAX};
    char text[INLET_NAME_MAX + 1 + WEBHOOK_ID_MAX + 1];
    const char *error;
    uint8_t *end = buf;

    if (!is_id(id)) {
        refuse(why, REASON_INVALID, "hook %s: the id is not 1 to %d visible characters of ASCII",
               h->name, WEBHOOK_ID_MAX);
        return -EINVAL;
    }
    meta->dedup = id.n > 0;
    if (id.n) {
        int n = snprintf(text, sizeof text, "%s:%.*s", h->name, (int)id.n, (const char *)id.p);

        end = headers_put(end, SLICE("$dedup"), slice_of(text, (size_t)n));
    }
    for (unsigned i = 0; i < h->headers_n; i++) {
        struct slice value = field(x, h->headers[i]);

        if (value.p)
            end = headers_put(end, slice_str(h->headers[i]), value);
    }
    meta->headers = slice_of(buf, (size_t)(end - buf));
    if (meta->headers.n && headers_check(meta->headers, &limits, &error) < 0) {
        refuse(why, REASON_INVALID, "%s", error);
        return -EINVAL;
    }
    return 0;
}

/* ---- publishing it */

static void settled(struct exchange *x, const struct outcome *o)
{
    struct refusal why;
    char body[64];
    int n;

    if (reason_is_refusal(o->reason) && (o->reason != REASON_NO_MATCH || x->note)) {
        refuse_outcome(&why, o);
        exchange_refuse(x, &why);
        return;
    }
    n = snprintf(body, sizeof body, "{\"matched\":%u,\"accepted\":%u}\n", o->matched, o->accepted);
    exchange_answer_json(x, 202, slice_of(body, (size_t)n));
}

static int publish(struct exchange *x, const struct inlet *h, struct slice body,
                   struct block *block, struct refusal *why)
{
    const struct target to = {false, slice_str(h->topic)};
    struct msg_meta meta = {.type = {.id = CTYPE_NONE}, .require = h->require};
    struct msg_view v = {.data = body.n ? body.p : (const uint8_t *)"",
                         .len = (uint32_t)body.n,
                         .meta = &meta,
                         .block = body.n ? block : NULL};
    struct run run = {.v = &v, .n = 1, .bytes = body.n, .type = ctype_of(x->terms->type)};
    uint8_t buf[EXCHANGE_HEADERS_MAX + OWN_ROOM];
    struct slice id = h->scheme == INLET_STRIPE ? event_id(body) : field(x, fields[h->scheme].id);
    int r = make_headers(x, h, id, buf, &meta, why);

    x->note = h->require;
    return r < 0 ? r : exchange_publish(x, &to, &run, settled, why);
}

/* Nobody need send a body to a hook that is not there, or without a signature. */
static void on_begin(struct exchange *x)
{
    struct refusal why;
    const struct inlet *h = hook_of(x, &why);

    if (!h)
        exchange_refuse(x, &why);
    else if (h->scheme != INLET_NONE && field(x, fields[h->scheme].signature).n == 0)
        turn_away(x, h, "the signature is missing");
}

static size_t on_body(struct exchange *x, struct slice body, struct block *block, bool last)
{
    struct refusal why;
    const struct inlet *h = hook_of(x, &why); /* which another reload may have taken away */
    const char *text;

    (void)last;
    if (!h)
        exchange_refuse(x, &why);
    else if (verify(x, h, body, &text) < 0)
        turn_away(x, h, text);
    else if (publish(x, h, body, block, &why) < 0)
        exchange_refuse(x, &why);
    return body.n;
}

static const struct handler handler = {.kind = BODY_WHOLE, .begin = on_begin, .body = on_body};

const struct route hook_routes[] = {
    {METHOD_POST, "/v1/hooks/*", &handler, NULL},
    {0, NULL, NULL, NULL},
};
