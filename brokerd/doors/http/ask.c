/* What a handler may ask of the engine. */
#include <errno.h>

#include "brokerd/doors/http/peer.h"
#include "brokerd/doors/http/settle.h"
#include "brokerd/doors/refuse.h"
#include "libbroker/base/headers.h"

struct link *exchange_link(const struct exchange *x)
{
    return x->peer->link;
}

int exchange_endpoint(struct exchange *x, struct endpoint **ret, struct refusal *ret_why)
{
    int r = hpeer_open(x->peer, ret_why);

    if (r == 0)
        *ret = x->peer->link->endpoint;
    return r;
}

/* ---- the endpoint */

static uint64_t deliver(void *consumer_ctx, const struct delivery *d)
{
    struct hconsumer *k = consumer_ctx;

    return k->deliver(k, d);
}

static void ready(void *consumer_ctx)
{
    struct hconsumer *k = consumer_ctx;

    if (k->ready)
        k->ready(k);
}

static void closed(void *consumer_ctx, const struct refusal *why, uint64_t lost)
{
    struct hconsumer *k = consumer_ctx;

    if (k->closed)
        k->closed(k, why, lost);
}

static void resolved(void *ctx, uint64_t token, bool settled)
{
    settle_resolved(((const struct hpeer *)ctx)->link, token, settled);
}

static const char *peer_text(const void *ctx)
{
    return link_peer(((const struct hpeer *)ctx)->link);
}

const struct endpoint_ops hendpoint = {
    .door = "http",
    .deliver = deliver,
    .ready = ready,
    .closed = closed,
    .settled = window_settled,
    .granted = window_granted,
    .resolved = resolved,
    .peer = peer_text,
};

/* ---- publishing */

uint32_t exchange_room(struct exchange *x)
{
    return x->peer->opened ? window_room(&x->peer->window) : 1;
}

int exchange_publish(struct exchange *x, const struct target *to, const struct run *run,
                     exchange_settled_fn *settled, struct refusal *ret_why)
{
    struct hpeer *c = x->peer;
    int r = hpeer_open(c, ret_why);

    if (r < 0)
        return r;
    r = window_publish(&c->window, to, run, ret_why);
    if (r == -EPIPE)
        refuse(ret_why, REASON_DRAINING, "the broker is about to stop");
    if (r == -ENOBUFS)
        refuse(ret_why, REASON_NO_CREDIT, "more than there is room for");
    if (r < 0 && r != -ENOMEM)
        return r;
    x->settled = settled;
    x->unsettled += r == 0 ? run->n : 0;
    for (uint32_t i = run->n; r == 0 && i > 0; i--)
        r = window_await_one(&c->window, i - 1, (uint64_t)(uintptr_t)x);
    if (r < 0) {
        refuse_memory(ret_why);
        hpeer_close(c, ret_why->text, LINK_WRONG); /* the window cannot go on */
    }
    return r;
}

static void settled(void *ctx, uint64_t token, const struct outcome *o)
{
    struct exchange *x = (struct exchange *)(uintptr_t)token;

    (void)ctx;
    x->unsettled--;
    if (!x->is_over)
        x->settled(x, o);
}

static void pause(void *ctx, bool paused)
{
    hpeer_pause(ctx, PAUSE_WINDOW, paused);
}

const struct window_ops hwindow = {.settled = settled, .pause = pause};

/* ---- the query */

int exchange_query(const struct exchange *x, const char *name, uint8_t *buf, size_t size,
                   struct slice *ret)
{
    struct slice rest = x->query, wanted = slice_str(name);

    while (rest.n) {
        const uint8_t *and = memchr(rest.p, '&', rest.n);
        size_t n = and? (size_t)(and-rest.p) : rest.n;
        struct slice pair = slice_of(rest.p, n);
        const uint8_t *is = n ? memchr(pair.p, '=', n) : NULL;
        long made;

        rest = slice_from(rest, n + (and != NULL));
        if (!slice_eq(slice_of(pair.p, is ? (size_t)(is - pair.p) : n), wanted))
            continue;
        made = percent_decode(is ? slice_from(pair, wanted.n + 1) : slice_of(pair.p, 0), true, buf,
                              size);
        if (made < 0)
            return -EINVAL;
        *ret = slice_of(buf, (size_t)made);
        return 1;
    }
    return 0;
}

/* ---- headers of messages */

struct name {
    uint8_t bytes[HEADERS_NAME_MAX];
    size_t n;
};

static bool strip(struct slice *name, struct slice prefix)
{
    if (name->n <= prefix.n || !http_same(slice_of(name->p, prefix.n), prefix))
        return false;
    *name = slice_from(*name, prefix.n);
    return true;
}

static void set_name(struct name *out, const char *front, struct slice name, bool lower)
{
    out->n = strlen(front);
    memcpy(out->bytes, front, out->n);
    for (size_t i = 0; i < name.n && out->n < sizeof out->bytes; i++) {
        uint8_t c = name.p[i];

        out->bytes[out->n++] = lower && c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
    }
}

/* The header's name that a field's makes. */
static bool header_name(struct slice field, struct name *out)
{
    if (!terms_is_header(field))
        return false;
    if (strip(&field, SLICE("broker-meta-")))
        set_name(out, "", field, false);
    else if (strip(&field, SLICE("broker-")))
        set_name(out, "$", field, true);
    else if (http_same(field, SLICE("idempotency-key")))
        set_name(out, "$dedup", slice_of(field.p, 0), true);
    else
        set_name(out, "", field, true);
    return true;
}

int exchange_headers(const struct exchange *x, uint8_t *buf, struct slice *ret,
                     struct refusal *ret_why)
{
    const struct headers_limits limits = {.max_count = HTTP_FIELDS_MAX, .max_bytes = UINT16_MAX};
    const struct http_request *r = x->request;
    uint8_t *end = buf;
    const char *why;
    struct name name;

    for (unsigned i = 0; x->terms->says_more && i < r->fields_n; i++) {
        if (header_name(r->field[i].name, &name))
            end = headers_put(end, slice_of(name.bytes, name.n), r->field[i].value);
    }
    *ret = slice_of(buf, (size_t)(end - buf));
    if (ret->n && headers_check(*ret, &limits, &why) < 0) {
        refuse(ret_why, REASON_INVALID, "%s", why);
        return -EINVAL;
    }
    return 0;
}

/* A token: what the name of a field may be. */
static bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];

        if (c <= ' ' || c >= 0x7f || memchr("\"(),/:;<=>?@[\\]{}", c, 17))
            return false;
    }
    return s.n > 0;
}

/* The field's name that a header's makes: the other way round. */
static void field_name(struct slice name, struct name *out)
{
    if (name.p[0] == '$')
        set_name(out, "Broker-", slice_from(name, 1), false);
    else if (terms_is_header(name) && !strip(&name, SLICE("broker-")))
        set_name(out, "", name, true);
    else
        set_name(out, "Broker-Meta-", name, false);
}

struct slice exchange_fields(struct slice headers, uint8_t *buf, size_t size)
{
    uint8_t *end = buf;
    struct header h;
    struct name name;

    while (headers_next(&headers, &h) > 0) {
        field_name(h.name, &name);
        if (is_token(slice_of(name.bytes, name.n)) &&
            headers_size(name.n, h.value.n) <= size - (size_t)(end - buf))
            end = headers_put(end, slice_of(name.bytes, name.n), h.value);
    }
    return slice_of(buf, (size_t)(end - buf));
}
