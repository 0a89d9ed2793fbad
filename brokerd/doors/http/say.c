/* Answers, in the order of their requests. */
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/doors/http/peer.h"
#include "brokerd/doors/http/put.h"
#include "brokerd/doors/http/status.h"
#include "brokerd/doors/refuse.h"
#include "libbroker/base/headers.h"
#include "libbroker/base/utf8.h"

enum { HEAD_ROOM = 640, ERROR_TEXT_MAX = 300, ERROR_ROOM = 6 * ERROR_TEXT_MAX + 128 };

/* An answer that waits for those before it. */
struct held {
    size_t n;            /* bytes here: the head, and the body unless */
    struct slice body;   /* it lies */
    struct block *block; /* in this, one reference of which is ours */
    uint8_t bytes[];
};

/* How the end of a body is known. */
enum framing { BY_LENGTH, IN_CHUNKS, BY_CLOSE, NO_BODY };

/* ---- writing a head */

/* What may stand in a field: no controls. */
static bool is_clean(struct slice value)
{
    for (size_t i = 0; i < value.n; i++) {
        if ((value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 0x7f)
            return false;
    }
    return true;
}

static uint8_t *put_fields(uint8_t *p, struct slice headers)
{
    struct header h;

    while (headers_next(&headers, &h) > 0) {
        if (!is_clean(h.value))
            continue;
        p = put(put_slice(p, h.name), ": ");
        p = put(put_slice(p, h.value), "\r\n");
    }
    return p;
}

/* Each header is framed by 3 bytes there, and by 4 here. */
static size_t fields_room(struct slice headers)
{
    return headers.n + headers.n / 4 + 4;
}

static uint8_t *put_cors(uint8_t *p, const struct exchange *x, bool is_preflight)
{
    p = put(put(put(p, "Access-Control-Allow-Origin: "), x->cors), "\r\nVary: Origin\r\n");
    if (!is_preflight)
        return put(p, "Access-Control-Expose-Headers: *\r\n");
    return put(p, "Access-Control-Allow-Methods: GET, HEAD, POST, PUT, DELETE, PATCH\r\n"
                  "Access-Control-Allow-Headers: *\r\nAccess-Control-Max-Age: 600\r\n");
}

static size_t head_room(const struct exchange *x, const struct response *r)
{
    return HEAD_ROOM + r->type.n + (x->cors ? strlen(x->cors) : 0) + fields_room(r->headers);
}

static uint8_t *put_line(uint8_t *p, int status)
{
    p = put(p, "HTTP/1.1 ");
    p = put_number(p, (uint64_t)status);
    *p++ = ' ';
    return put(put(p, status_phrase(status)), "\r\n");
}

static uint8_t *put_head(uint8_t *p, const struct exchange *x, const struct response *r,
                         enum framing framing)
{
    p = r->status == 202 ? put(p, "HTTP/1.1 202 Accepted\r\n") : put_line(p, r->status);
    if (r->type.n)
        p = put(put_slice(put(p, "Content-Type: "), r->type), "\r\n");
    if (framing == BY_LENGTH)
        p = put(put_number(put(p, "Content-Length: "), r->body.n), "\r\n");
    else if (framing == IN_CHUNKS)
        p = put(p, "Transfer-Encoding: chunked\r\n");
    if (r->retry_after)
        p = put(put_number(put(p, "Retry-After: "), (uint64_t)r->retry_after), "\r\n");
    if (r->allow)
        p = put(put(put(p, "Allow: "), r->allow), "\r\n");
    p = put_fields(p, r->headers);
    if (x->cors)
        p = put_cors(p, x, r->is_preflight);
    if (r->status == 426)
        p = put(p, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    if (x->closes || framing == BY_CLOSE)
        p = put(p, r->status == 426 ? "Connection: Upgrade, close\r\n" : "Connection: close\r\n");
    else if (x->is_old)
        p = put(p, "Connection: keep-alive\r\n");
    return put(p, "\r\n");
}

/* ---- where it goes */

static bool has_body(const struct exchange *x, const struct response *r)
{
    return x->method != METHOD_HEAD && r->status != 204 && r->status != 304;
}

/* Small bodies are copied behind their heads. */
static bool is_apart(const struct response *r)
{
    return r->body.n >= OUT_BY_REFERENCE;
}

static void write_now(struct exchange *x, const struct response *r, enum framing framing)
{
    struct out *o = &x->peer->link->out;
    bool whole = has_body(x, r), apart = whole && is_apart(r);
    uint8_t *p = out_reserve(o, head_room(x, r) + (whole && !apart ? r->body.n : 0)), *end;

    if (!p)
        return;
    end = put_head(p, x, r, framing);
    if (whole && !apart)
        end = put_slice(end, r->body);
    out_commit(o, (size_t)(end - p));
    if (apart && r->block)
        (void)out_block(o, r->block, r->body);
    else if (apart)
        (void)out_copy(o, r->body.p, r->body.n);
    out_end(o);
}

static void hold(struct exchange *x, const struct response *r, enum framing framing)
{
    bool whole = has_body(x, r), apart = whole && is_apart(r) && r->block;
    struct held *h = malloc(sizeof *h + head_room(x, r) + (whole && !apart ? r->body.n : 0));
    uint8_t *end;

    if (!h) {
        hpeer_close(x->peer, "there was no memory", LINK_WRONG);
        return;
    }
    end = put_head(h->bytes, x, r, framing);
    if (whole && !apart)
        end = put_slice(end, r->body);
    h->n = (size_t)(end - h->bytes);
    h->block = apart ? block_ref(r->block) : NULL;
    h->body = apart ? r->body : slice_of(NULL, 0);
    x->held = h;
    x->peer->held += h->n + h->body.n;
    hpeer_charge(x->peer);
}

static void write_held(struct exchange *x)
{
    struct out *o = &x->peer->link->out;
    struct held *h = x->held;

    x->peer->held -= h->n + h->body.n;
    hpeer_charge(x->peer);
    (void)out_copy(o, h->bytes, h->n);
    if (h->block)
        (void)out_block(o, h->block, h->body);
    out_end(o);
    exchange_drop_held(x);
}

void exchange_drop_held(struct exchange *x)
{
    if (!x->held)
        return;
    block_unref(x->held->block);
    free(x->held);
    x->held = NULL;
}

/* ---- the order */

static void retire(struct hpeer *c, struct exchange *x)
{
    list_remove(&x->link);
    if (c->eof)
        link_wake(c->link); /* it was perhaps the last */
    if (--c->queue_n == 0)
        c->since_ms = core_now(c->link->host->core);
    if (c->alone == x)
        c->alone = NULL;
    if (c->asking == x)
        c->asking = NULL;
    if (x->unsettled || (x->handler && x->handler->over)) {
        x->is_over = true;
        list_push_back(&c->ended, &x->link);
        if (!x->unsettled)
            link_wake(c->link);
    } else {
        hpeer_spare(c, x);
    }
}

static void say_continue(struct exchange *x)
{
    struct out *o = &x->peer->link->out;

    x->continues = false;
    (void)out_copy(o, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    out_end(o);
}

/* All that will be said has been. */
static void end(struct hpeer *c)
{
    char why[200];

    if (!c->trouble) {
        hpeer_close(c, c->draining ? "all is answered" : "asked for",
                    c->draining ? LINK_DRAINED : LINK_ASKED);
        return;
    }
    (void)snprintf(why, sizeof why, "%d, %s", c->trouble, c->why);
    hpeer_refuse(c, c->trouble == 403 ? DOOR_REFUSED_ORIGIN : DOOR_REFUSED_HTTP, why);
}

void hsay_next(struct hpeer *c)
{
    struct list_node *l;

    if (c->inside)
        return;
    while ((l = list_first(&c->queue)) != NULL && !c->over) {
        struct exchange *x = LIST_ITEM(l, struct exchange, link);
        bool closes = x->closes;

        if (x->held)
            write_held(x);
        if (!x->answered || !(x->body_done || closes)) {
            if (x->continues && !x->answered)
                say_continue(x);
            break;
        }
        retire(c, x);
        if (closes)
            end(c);
    }
    if (!l && c->draining)
        end(c);
    hpeer_go_on(c);
}

/* ---- answers */

static void count(struct hpeer *c, int status)
{
    if (status >= 400)
        c->link->host->scratch->count[DOOR_COUNT_ERRORS]++;
}

void exchange_answer(struct exchange *x, const struct response *r)
{
    enum framing framing = r->status == 204 || r->status == 304 ? NO_BODY : BY_LENGTH;
    struct hpeer *c = x->peer;

    if (x->answered || x->streams)
        return;
    x->answered = true;
    x->continues = false;
    x->closes = x->closes || (!x->body_done && x->cuts) || c->draining;
    count(c, r->status);
    if (exchange_is_first(x))
        write_now(x, r, framing);
    else
        hold(x, r, framing);
    hsay_next(c);
}

void exchange_answer_json(struct exchange *x, int status, struct slice json)
{
    exchange_answer(
        x, &(struct response){.status = status, .type = SLICE("application/json"), .body = json});
}

/* A text within a string of JSON; a character that was cut at its end is left out. */
static uint8_t *put_escaped(uint8_t *p, const char *text)
{
    size_t n = strlen(text);

    while (n && !utf8_valid(slice_of(text, n)))
        n--;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)text[i];

        if (c < ' ' || c == 0x7f) {
            p += sprintf((char *)p, "\\u%04x", c);
            continue;
        }
        if (c == '"' || c == '\\')
            *p++ = '\\';
        *p++ = c;
    }
    return p;
}

void exchange_refuse_with(struct exchange *x, const struct response *r, const struct refusal *why)
{
    uint8_t body[ERROR_ROOM], *p = body;
    struct response full = *r;

    p = put(put(p, "{\"error\":{\"reason\":\""), reason_name(why->reason));
    p = put_escaped(put(p, "\",\"text\":\""), why->text);
    p = put(p, "\"}}\n");
    full.type = SLICE("application/json");
    full.body = slice_of(body, (size_t)(p - body));
    if (!x->peer->trouble) /* else the end will be told */
        hpeer_note(x->peer, full.status, why->text);
    exchange_answer(x, &full);
}

void exchange_refuse(struct exchange *x, const struct refusal *why)
{
    const struct response r = {.status = status_of(why->reason),
                               .retry_after = status_retry_after(why->reason)};

    exchange_refuse_with(x, &r, why);
}

void exchange_fail(struct exchange *x, int status, uint32_t code, struct slice text)
{
    uint8_t body[ERROR_ROOM], *p = put(body, "{\"error\":{\"reason\":\"failed\",\"code\":");
    char shown[ERROR_TEXT_MAX + 1];
    size_t n = text.n < ERROR_TEXT_MAX ? text.n : ERROR_TEXT_MAX;

    if (n)
        memcpy(shown, text.p, n);
    shown[n] = '\0';
    p = put_escaped(put(put_number(p, code), ",\"text\":\""), shown);
    p = put(p, "\"}}\n");
    exchange_answer_json(x, status, slice_of(body, (size_t)(p - body)));
}

/* ---- the engine's own */

void hsay_trouble(struct hpeer *c, struct exchange *x, int status, const char *why)
{
    struct refusal refusal;

    c->trouble = (uint16_t)status;
    c->why = why;
    c->closing = true;
    c->asking = NULL;
    x->closes = x->body_done = true;
    refuse(&refusal, status_reason(status), "%s", why);
    exchange_refuse_with(x, &(struct response){.status = status}, &refusal);
}

void hsay_no_websocket(struct hpeer *c, struct exchange *x, const struct answer *a)
{
    struct response r = {.status = a->status, .allow = a->status == 405 ? "GET" : NULL};
    struct refusal refusal;

    c->trouble = (uint16_t)a->status;
    c->why = "no WebSocket"; /* the text goes with the answer, and is gone after it */
    c->closing = true;
    x->closes = x->body_done = true;
    refuse(&refusal, status_reason(a->status), "%s", a->text);
    exchange_refuse_with(x, &r, &refusal);
}

/* ---- answers that go on */

static void write_chunk(struct exchange *x, const struct slice *piece, unsigned n)
{
    struct out *o = &x->peer->link->out;
    size_t all = 0;
    char size[24];
    int digits;

    for (unsigned i = 0; i < n; i++)
        all += piece[i].n;
    if (all == 0 || x->method == METHOD_HEAD)
        return;
    digits = snprintf(size, sizeof size, "%zx\r\n", all);
    if (x->is_chunked)
        (void)out_copy(o, size, (size_t)digits);
    for (unsigned i = 0; i < n; i++)
        (void)out_copy(o, piece[i].p, piece[i].n);
    if (x->is_chunked)
        (void)out_copy(o, "\r\n", 2);
}

void exchange_stream(struct exchange *x, const struct response *r)
{
    struct response head = *r;

    if (x->answered || x->streams)
        return;
    x->streams = true;
    x->continues = false;
    x->is_chunked = !x->is_old;
    x->closes = x->closes || x->is_old || x->peer->draining || (!x->body_done && x->cuts);
    count(x->peer, r->status);
    head.body = slice_of(NULL, 0);
    write_now(x, &head, x->is_old ? BY_CLOSE : IN_CHUNKS);
    exchange_write(x, &r->body, 1);
}

void exchange_write(struct exchange *x, const struct slice *piece, unsigned n)
{
    if (x->answered)
        return;
    write_chunk(x, piece, n);
    out_end(&x->peer->link->out);
}

void exchange_finish(struct exchange *x, bool cut)
{
    struct out *o = &x->peer->link->out;

    if (x->answered)
        return;
    x->answered = true;
    x->closes = x->closes || cut;
    if (x->is_chunked && !cut && x->method != METHOD_HEAD)
        (void)out_copy(o, "0\r\n\r\n", 5);
    out_end(o);
    hsay_next(x->peer);
}

uint64_t exchange_position(const struct exchange *x)
{
    return x->peer->link->out.end;
}
