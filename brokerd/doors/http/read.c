/* Requests, taken apart as they come.
 *
 * A request whose body's length is said, and which is wanted whole, is left with net until all of
 * it has come: head and body then lie in one piece, the body where it was read, and the head is
 * read once more. So a small publish is parsed once and copied never, and a large one is copied
 * never. */
#include <errno.h>
#include <stdlib.h>

#include "brokerd/doors/http/answer.h"
#include "brokerd/doors/http/peer.h"
#include "brokerd/doors/refuse.h"

/* A head, understood; on the stack. */
struct head {
    struct http_request r;
    struct terms t;
    struct routed to;
};

static int64_t now_of(const struct hpeer *c)
{
    return core_now(c->link->host->core);
}

struct exchange *exchange_new(struct hpeer *c)
{
    struct list_node *l = list_pop(&c->spare);
    struct exchange *x = l ? LIST_ITEM(l, struct exchange, link) : malloc(sizeof *x);

    if (!x)
        return NULL;
    c->spare_n -= l != NULL;
    *x = (struct exchange){.peer = c};
    list_push_back(&c->queue, &x->link);
    c->queue_n++;
    return x;
}

/* What the handler may read, while it is in it. */
static void lend_head(struct exchange *x, const struct head *h)
{
    x->request = h ? &h->r : NULL;
    x->terms = h ? &h->t : NULL;
    x->query = h ? h->to.query : slice_of(NULL, 0);
    for (unsigned i = 0; h && i < EXCHANGE_ARGS; i++)
        x->arg[i] = h->to.arg[i];
}

/* ---- the end of a body */

static void drop_head(struct hpeer *c)
{
    free(c->head);
    c->head = NULL;
    block_unref(c->gathered);
    c->gathered = NULL;
    c->gathered_n = 0;
    hpeer_charge(c);
}

/* All of the request has come: the next may begin. */
static void request_done(struct hpeer *c, struct exchange *x)
{
    drop_head(c);
    x->body_done = true;
    c->asking = NULL;
    c->reading = READ_HEAD;
    c->since_ms = now_of(c);
    if (x->closes)
        c->closing = true;
    hsay_next(c);
}

/* It was answered before its body had come. */
static void skip_body(struct hpeer *c, struct exchange *x)
{
    if (x->closes) {
        drop_head(c);
        c->asking = NULL;
        c->closing = true;
        hsay_next(c);
    } else if (c->left == 0) {
        request_done(c, x);
    } else {
        c->reading = READ_SKIP;
    }
}

/* ---- calling the handler */

static void call_begin(struct hpeer *c, struct exchange *x, const struct head *h)
{
    if (!x->handler->begin)
        return;
    c->inside = true;
    lend_head(x, h);
    x->handler->begin(x);
    lend_head(x, NULL);
    c->inside = false;
}

static size_t call_body(struct hpeer *c, struct exchange *x, const struct head *h,
                        struct slice part, struct block *block, bool last)
{
    size_t used;

    c->inside = true;
    lend_head(x, h);
    used = x->handler->body(x, part, block, last);
    lend_head(x, NULL);
    c->inside = false;
    return used;
}

/* ---- the head */

static bool understand(struct hpeer *c, struct exchange *x, struct slice head, struct head *h)
{
    const char *why;
    int err = http_parse(head, &h->r, &why), status;

    if (err < 0) {
        hsay_trouble(c, x, err == -EMSGSIZE ? 431 : 400, why);
        return false;
    }
    status = terms_read(&h->r, &h->t, &why);
    x->method = (uint8_t)h->t.method;
    x->is_old = h->t.is_old;
    x->closes = !h->t.keeps;
    if (status == 0)
        status = terms_judge(&h->t, link_site(c->link), &why);
    x->cors = h->t.cors;
    if (status)
        hsay_trouble(c, x, status, why);
    return status == 0;
}

/* Where there is nothing for it. */
static void refuse_path(struct exchange *x, const struct head *h)
{
    struct response r = {.status = h->to.methods ? 405 : 404};
    struct refusal why;
    char allow[64];

    if (h->to.methods) {
        r.allow = methods_text(h->to.methods, allow);
        refuse(&why, REASON_INVALID, "this path is for %s", r.allow);
    } else if (!link_site(x->peer->link)->http) {
        refuse(&why, REASON_NOT_FOUND, "this listener does not serve HTTP, but for WebSocket");
    } else {
        refuse(&why, REASON_NOT_FOUND,
               "nothing is here; a colon, slash or percent sign in a name is %%3A, %%2F, %%25");
    }
    exchange_refuse_with(x, &r, &why);
}

/* May a page of another origin, which is allowed to, send what it is going to? */
static bool is_preflight(const struct head *h)
{
    struct slice method;

    return h->t.method == METHOD_OPTIONS && h->t.cors &&
           http_field(&h->r, "access-control-request-method", &method);
}

/* Of a body that is wanted whole: it is one message, or less. */
static uint64_t body_max(const struct hpeer *c, const struct handler *handler)
{
    uint64_t max = c->link->host->limits.message_max;

    if (max > UINT32_MAX - HTTP_HEAD_MAX) /* head and body are one piece, to net (link.need) */
        max = UINT32_MAX - HTTP_HEAD_MAX;
    return handler->body_max && handler->body_max < max ? handler->body_max : max;
}

/* What can be said of a request before a handler sees it. False: it was said. */
static bool admit(struct hpeer *c, struct exchange *x, const struct head *h)
{
    const struct handler *handler = x->handler;
    uint64_t max;
    struct refusal why;

    if (is_preflight(h)) {
        exchange_answer(x, &(struct response){.status = 204, .is_preflight = true});
    } else if (!handler) {
        refuse_path(x, h);
    } else if (handler->kind == BODY_NONE && (h->t.length || h->t.is_chunked)) {
        refuse(&why, REASON_INVALID, "this request has no body");
        exchange_refuse(x, &why);
    } else if (c->draining) {
        refuse(&why, REASON_DRAINING, "the broker is about to stop");
        exchange_refuse(x, &why);
    } else {
        max = body_max(c, handler);
        if (handler->kind != BODY_WHOLE || h->t.is_chunked || h->t.length <= max)
            return true;
        refuse(&why, REASON_TOO_LARGE, "the body may have %llu bytes", (unsigned long long)max);
        exchange_refuse(x, &why);
    }
    return false;
}

/* A WebSocket is asked for at one of its paths. True: the answer has been given. */
static bool took_websocket(struct hpeer *c, struct exchange *x, const struct head *h)
{
    struct answer a;

    if (!answer_is_websocket(&h->r, link_site(c->link)))
        return false;
    answer_request(&h->r, link_site(c->link), doors, &a);
    a.upgrade.is_guest = h->t.is_guest;
    if (a.status == 101 && (h->t.length || h->t.is_chunked)) /* would be taken for its messages */
        hsay_trouble(c, x, 400, "a request for a WebSocket has no body");
    else if (a.status == 101)
        hpeer_upgrade(c, x, &a);
    else
        hsay_no_websocket(c, x, &a);
    return true;
}

static const struct handler *handler_of(const struct route *r, const struct terms *t)
{
    const struct handler *other = r->handler->choose ? r->handler->choose(t) : NULL;

    return other ? other : r->handler;
}

/* Must it wait until all before it are answered? */
static bool must_wait(const struct hpeer *c, const struct head *h)
{
    bool first = c->queue_n == 1;

    if (first)
        return false;
    return h->t.upgrades || (h->to.route && handler_of(h->to.route, &h->t)->alone);
}

/* Not now: it is read again when the queue is empty. */
static void put_back(struct hpeer *c, struct exchange *x)
{
    list_remove(&x->link);
    c->queue_n--;
    list_push_back(&c->spare, &x->link);
    c->spare_n++;
    c->stuck = true;
}

/* How the body is read: what follows the head. */
static void expect_body(struct hpeer *c, struct exchange *x, const struct head *h, size_t head_n)
{
    bool whole = x->handler && x->handler->kind == BODY_WHOLE;

    c->asking = x;
    c->left = h->t.length;
    c->head_n = head_n;
    c->came = 0;
    c->since_ms = now_of(c);
    c->chunks = (struct http_chunks){0};
    c->reading = h->t.is_chunked ? READ_CHUNKS : whole ? READ_LENGTH : READ_PARTS;
    x->cuts = h->t.is_chunked || h->t.continues || h->t.length > SKIP_MAX;
    x->continues = h->t.continues;
    x->body_done = !h->t.is_chunked && h->t.length == 0;
}

/* The head of a request whose body comes in chunks is kept, if that is wanted whole. */
static bool keep_head(struct hpeer *c, const struct exchange *x, struct slice head)
{
    if (c->reading != READ_CHUNKS || x->handler->kind != BODY_WHOLE)
        return true;
    c->head = malloc(head.n);
    if (!c->head)
        return false;
    memcpy(c->head, head.p, head.n);
    return true;
}

static void say_no_memory(struct exchange *x)
{
    struct refusal why;

    refuse_memory(&why);
    exchange_refuse(x, &why);
}

/* Act on a request, of which `rest` begins with the head. Returns the bytes used. */
static size_t begin(struct hpeer *c, struct exchange *x, struct slice rest, size_t head_n,
                    struct head *h, struct block *block)
{
    struct slice body = slice_from(rest, head_n);

    if (!admit(c, x, h)) {
        skip_body(c, x);
        return head_n;
    }
    if (x->handler->alone)
        c->alone = x;
    call_begin(c, x, h);
    if (!x->answered && !keep_head(c, x, slice_of(rest.p, head_n)))
        say_no_memory(x);
    if (x->answered) {
        skip_body(c, x);
        return head_n;
    }
    if (x->body_done || (c->reading == READ_LENGTH && body.n >= c->left)) {
        body.n = (size_t)c->left;
        x->body_done = true;
        (void)call_body(c, x, h, body, block, true);
        request_done(c, x);
        return head_n + body.n;
    }
    if (body.n == 0)
        hsay_next(c); /* 100 Continue, if it is asked for */
    if (c->reading != READ_LENGTH)
        return head_n;
    c->link->need = (uint32_t)(head_n + c->left);
    return 0;
}

/* `rest` begins with a whole head. */
static size_t on_head(struct hpeer *c, struct slice rest, size_t head_n, struct block *block)
{
    struct exchange *x = exchange_new(c);
    struct head h;
    const char *why;

    if (!x) {
        hpeer_close(c, "there was no memory", LINK_WRONG);
        return 0;
    }
    h.to = (struct routed){.route = NULL};
    if (!understand(c, x, slice_of(rest.p, head_n), &h))
        return head_n;
    if (route_find(h.t.method, h.r.target, &h.to, &why) < 0) {
        hsay_trouble(c, x, 400, why);
        return head_n;
    }
    if (must_wait(c, &h)) {
        put_back(c, x);
        return 0;
    }
    if (took_websocket(c, x, &h))
        return head_n;
    x->route = link_site(c->link)->http ? h.to.route : NULL;
    x->handler = x->route ? handler_of(x->route, &h.t) : NULL;
    expect_body(c, x, &h, head_n);
    return begin(c, x, rest, head_n, &h, block);
}

static size_t read_head(struct hpeer *c, struct slice rest, struct block *block)
{
    size_t n;

    if (!c->begun && rest.p[0] == '\r' && (rest.n == 1 || rest.p[1] == '\n'))
        return rest.n > 1 ? 2 : 0; /* an empty line before a request is borne */
    n = http_head_end(rest, &c->seen);
    if (n > HTTP_HEAD_MAX || (n == 0 && rest.n > HTTP_HEAD_MAX)) {
        struct exchange *x = exchange_new(c);

        if (x)
            hsay_trouble(c, x, 431, "the head of a request may have 16 KiB");
        else
            hpeer_close(c, "there was no memory", LINK_WRONG);
        return 0;
    }
    if (n == 0) {
        if (!c->begun)
            c->since_ms = now_of(c);
        c->begun = true;
        return 0;
    }
    c->begun = false;
    c->spoken = true;
    c->seen = 0;
    return on_head(c, rest, n, block);
}

/* ---- bodies */

/* The head once more, which has been understood before. */
static void read_again(struct exchange *x, const uint8_t *p, size_t n, struct head *h)
{
    const char *why;

    (void)http_parse(slice_of(p, n), &h->r, &why);
    (void)terms_read(&h->r, &h->t, &why);
    (void)route_find((enum method)x->method, h->r.target, &h->to, &why);
}

static size_t read_length(struct hpeer *c, struct slice rest, struct block *block)
{
    struct exchange *x = c->asking;
    size_t all = c->head_n + (size_t)c->left;
    struct head h;

    c->came = rest.n - c->head_n;
    if (rest.n < all) {
        c->link->need = (uint32_t)all;
        return 0;
    }
    read_again(x, rest.p, c->head_n, &h);
    x->body_done = true;
    (void)call_body(c, x, &h, slice_of(rest.p + c->head_n, (size_t)c->left), block, true);
    request_done(c, x);
    return all;
}

static size_t read_parts(struct hpeer *c, struct slice rest, struct block *block)
{
    struct exchange *x = c->asking;
    bool last = rest.n >= c->left;
    size_t used;

    if (last)
        rest.n = (size_t)c->left;
    used = call_body(c, x, NULL, rest, block, last);
    c->left -= used;
    c->came += used;
    if (c->left == 0)
        request_done(c, x);
    else if (x->answered)
        skip_body(c, x);
    return used;
}

static size_t read_skip(struct hpeer *c, struct slice rest)
{
    size_t n = rest.n < c->left ? rest.n : (size_t)c->left;

    c->left -= n;
    c->came += n;
    if (c->left == 0)
        request_done(c, c->asking);
    return n;
}

/* ---- in chunks */

/* Room for `n` more bytes, and as many again as there are. */
static bool make_room(struct hpeer *c, size_t n)
{
    size_t have = c->gathered ? c->gathered->size : 0, want = c->gathered_n + n;
    struct block *b;

    if (want <= have)
        return true;
    if (want < 2 * have)
        want = 2 * have;
    b = block_resize(c->gathered, want);
    if (!b)
        return false;
    c->gathered = b;
    hpeer_charge(c);
    return true;
}

static void gather(struct hpeer *c, struct slice piece)
{
    struct exchange *x = c->asking;
    uint64_t max = body_max(c, x->handler);
    struct refusal why;

    if (piece.n > max - c->gathered_n) {
        refuse(&why, REASON_TOO_LARGE, "the body may have %llu bytes", (unsigned long long)max);
        exchange_refuse(x, &why);
        return;
    }
    if (!make_room(c, piece.n)) {
        say_no_memory(x);
        return;
    }
    memcpy(c->gathered->bytes + c->gathered_n, piece.p, piece.n);
    c->gathered_n += piece.n;
}

static void last_chunk(struct hpeer *c)
{
    struct exchange *x = c->asking;
    struct slice all = {NULL, 0};
    struct head h;

    x->body_done = true;
    if (x->handler->kind == BODY_PARTS) {
        (void)call_body(c, x, NULL, all, NULL, true);
    } else {
        if (c->gathered)
            all = slice_of(c->gathered->bytes, c->gathered_n);
        read_again(x, c->head, c->head_n, &h);
        (void)call_body(c, x, &h, all, c->gathered, true);
    }
    request_done(c, x);
}

static size_t read_chunks(struct hpeer *c, struct slice rest, struct block *block)
{
    struct exchange *x = c->asking;
    struct slice piece;
    const char *why;
    size_t used;

    switch (http_chunks_next(&c->chunks, rest, &piece, &used, &why)) {
    case WIRE_MORE:
        return 0;
    case WIRE_BAD:
        hsay_trouble(c, x, 400, why);
        return rest.n;
    case WIRE_FRAME:
        break;
    }
    if (piece.n && x->handler->kind == BODY_PARTS) {
        used = call_body(c, x, NULL, piece, block, false);
        http_chunks_back(&c->chunks, piece.n - used);
    } else if (piece.n) {
        c->inside = true;
        gather(c, piece);
        c->inside = false;
    }
    c->came += used;
    if (x->answered)
        skip_body(c, x);
    else if (c->chunks.done)
        last_chunk(c);
    return used;
}

/* ---- all of it */

/* Is there nothing to be done with what comes until something else has happened? */
static bool is_stuck(struct hpeer *c)
{
    if (c->opened && window_room(&c->window) == 0)
        return true;
    if (c->alone && c->alone->body_done)
        return true;
    if (c->held >= HELD_MAX || (!c->asking && c->queue_n >= PIPELINE_MAX))
        return true;
    if (c->link->out.pending <= OUTPUT_MAX)
        return false;
    link_wake(c->link); /* net does so when the socket has taken some */
    return true;
}

static size_t step(struct hpeer *c, struct slice rest, struct block *block)
{
    switch ((enum reading)c->reading) {
    case READ_HEAD:
        return read_head(c, rest, block);
    case READ_LENGTH:
        return read_length(c, rest, block);
    case READ_PARTS:
        return read_parts(c, rest, block);
    case READ_CHUNKS:
        return read_chunks(c, rest, block);
    case READ_SKIP:
        break;
    }
    return read_skip(c, rest);
}

size_t hread(struct hpeer *c, struct slice bytes, struct block *block)
{
    struct slice rest = bytes;

    c->stuck = false;
    while (rest.n && !c->closing && !c->is_websocket && !c->stuck) {
        size_t used;

        if (is_stuck(c)) {
            c->stuck = true;
            break;
        }
        used = step(c, rest, block);
        if (used == 0)
            break;
        rest = slice_from(rest, used);
    }
    hpeer_part(c);
    if (c->closing)
        return bytes.n;
    if (c->stuck && rest.n > BEHIND_MAX && !(c->pauses & PAUSE_WINDOW))
        hpeer_pause(c, PAUSE_BEHIND, true);
    return bytes.n - rest.n;
}
