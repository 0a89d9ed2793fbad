#include "brokerd/doors/stomp/publish.h"

#include "brokerd/doors/options.h"
#include "brokerd/doors/refuse.h"
#include "brokerd/doors/stomp/reply.h"
#include "brokerd/doors/stomp/transact.h"
#include "libbroker/base/headers.h"
#include "libbroker/base/log.h"
#include "libbroker/base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RECEIPTS_MAX = 512,  /* of a run: their places are on the stack */
    RECEIPT_SHORT = 250, /* longer ones are decoded one by one */
    OWN_ROOM = 512,      /* what a rewritten reply-to may add */
};

/* ------------------------------------------------------------------------------- headers */

/* Headers of a frame that are not the message's, and names that MESSAGE has for itself. */
static const char *const not_carried[] = {
    "destination", "content-length", "content-type", "receipt",
    "transaction", "message-id",     "subscription", "ack",
    "redelivered", "session",        "receipt-id",   "gap",
};

bool stomp_is_carried(struct slice name)
{
    for (size_t i = 0; i < sizeof not_carried / sizeof not_carried[0]; i++)
        if (slice_eq(name, slice_str(not_carried[i])))
            return false;
    return true;
}

/* UTF-8 whose only control characters are those that programs do send, escaped. */
static bool is_text(struct slice s)
{
    size_t from = 0;

    if (utf8_printable(s))
        return true;
    for (size_t i = 0; i <= s.n; i++) {
        if (i < s.n && s.p[i] != '\n' && s.p[i] != '\r' && s.p[i] != '\t')
            continue;
        if (!utf8_printable(slice_of(s.p + from, i - from)))
            return false;
        from = i + 1;
    }
    return true;
}

/* A header's name in neutral form, in `buf`: "broker-ttl" is "$ttl". Empty: too long. */
static struct slice neutral_name(struct slice name, uint8_t *buf)
{
    static const struct slice prefix = {(const uint8_t *)"broker-", 7};

    if (slice_eq(name, SLICE("reply-to")))
        return SLICE("$reply-to");
    if (!slice_starts(name, prefix) || name.n == prefix.n || name.n > HEADERS_NAME_MAX)
        return name.n > HEADERS_NAME_MAX ? slice_of(NULL, 0) : name;
    buf[0] = '$';
    memcpy(buf + 1, name.p + prefix.n, name.n - prefix.n);
    return slice_of(buf, name.n - prefix.n + 1);
}

/* What is being gathered for a memo. */
struct gathering {
    struct stomp_peer *c;
    const struct stomp_frame *f;
    uint8_t *to, *end; /* room */
    bool is_call;
    struct slice reply_to;
    char reply[NAME_MAX_BYTES + 32];
};

/* "reply-to:/temp-queue/x" becomes what the answerer can send to. False as stomp_memo_read(). */
static bool read_reply_to(struct gathering *g)
{
    struct slice queue, text = stomp_get(g->f, SLICE("reply-to"));
    struct stomp_destination d;
    struct stomp_complaint why;

    g->reply_to = text;
    if (g->is_call) /* its answers do not go by a queue */
        return true;
    if (!slice_starts(text, SLICE("/temp-queue/")))
        return true;
    if (stomp_destination_read(text, &d, &why) < 0) {
        stomp_complain(g->c, g->f, &why);
        return false;
    }
    if (!stomp_reply_queue(g->c, g->f, text, &queue))
        return false;
    g->reply_to =
        slice_of(g->reply, (size_t)snprintf(g->reply, sizeof g->reply, "/reply-queue/%.*s",
                                            (int)queue.n, (const char *)queue.p));
    return true;
}

static bool put_one(struct gathering *g, struct slice name, struct slice value)
{
    char shown_name[64];

    if (!name.n || !utf8_printable(name) || !is_text(value)) {
        stomp_fail(g->c, g->f, "Invalid header",
                   "the header \"%s\" is not UTF-8, or has control characters\n",
                   shown(name, shown_name, sizeof shown_name));
        return false;
    }
    if ((size_t)(g->end - g->to) < headers_size(name.n, value.n)) {
        stomp_fail(g->c, g->f, "Invalid header", "the headers of a message may have %d bytes\n",
                   STOMP_MESSAGE_HEADERS_MAX);
        return false;
    }
    g->to = headers_put(g->to, name, value);
    return true;
}

/* RabbitMQ's name for what is `$ttl` here; its value stays for who receives it, too. */
static bool put_expiration(struct gathering *g, struct slice value)
{
    uint64_t ms;

    if (!stomp_number(value, &ms)) {
        stomp_fail(g->c, g->f, "Invalid header", "expiration must be a number of milliseconds\n");
        return false;
    }
    return put_one(g, SLICE("$ttl"), ms ? value : SLICE("1"));
}

static bool is_first(const struct stomp_frame *f, unsigned i)
{
    struct slice value = {NULL, 0};

    (void)stomp_find(f, f->header[i].name, &value);
    return value.p == f->header[i].value.p;
}

/* The message's headers in neutral form, options and all. */
static bool put_headers(struct gathering *g)
{
    const struct stomp_frame *f = g->f;

    for (unsigned i = 0; i < f->headers_n; i++) {
        const struct header *h = &f->header[i];
        uint8_t buf[HEADERS_NAME_MAX];
        struct slice name, value = h->value;

        if (!stomp_is_carried(h->name) || !is_first(f, i))
            continue;
        if (g->is_call &&
            (slice_eq(h->name, SLICE("reply-to")) || slice_eq(h->name, SLICE("broker-model"))))
            continue;
        name = neutral_name(h->name, buf);
        if (slice_eq(h->name, SLICE("reply-to")))
            value = g->reply_to;
        if (!g->is_call && slice_eq(h->name, SLICE("expiration")) && !put_expiration(g, value))
            return false;
        if (!put_one(g, name, value))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------------------- memo */

static struct stomp_memo *memo_room(struct stomp_memo *m, size_t size)
{
    /* A lone giant does not hold on to its memory. */
    if (m && m->size >= size && m->size <= 8 * size)
        return m;
    free(m);
    m = malloc(sizeof *m + size);
    if (m)
        m->size = size;
    return m;
}

/* The head as it was read, so that the next like it is known. */
static void note_head(struct stomp_memo *m, const struct stomp_frame *f)
{
    struct slice id = {NULL, 0};
    const uint8_t *end = f->head.p + f->head.n;

    memcpy(m->room, f->head.p, f->head.n);
    m->has_length = f->has_length;
    m->length = f->body.n;
    m->has_receipt = stomp_find(f, SLICE("receipt"), &id);
    m->front_n = f->head.n;
    m->back_n = 0;
    m->repeats = true;
    if (!m->has_receipt)
        return;
    if (id.p < f->head.p || id.p > end) { /* it had escapes */
        m->repeats = false;
        return;
    }
    m->front_n = (size_t)(id.p - f->head.p);
    m->back_n = f->head.n - m->front_n - id.n;
    memmove(m->room + m->front_n, id.p + id.n, m->back_n);
}

/* Copy the type's name to `to`. */
static struct ctype keep_type(struct slice name, uint8_t *to)
{
    struct ctype t = ctype_of(name);

    if (t.id == CTYPE_NAMED) {
        memcpy(to, name.p, name.n);
        t.name.p = to;
    }
    return t;
}

static bool take_options(struct stomp_peer *c, const struct stomp_frame *f, struct stomp_memo *m,
                         struct slice headers, uint8_t *left)
{
    unsigned allowed = m->place == PLACE_SERVICE ? OPTION_WAIT : OPTIONS_MESSAGE;
    struct options options;
    struct refusal why;

    if (options_read(headers, allowed, left, &options, &why) < 0) {
        stomp_refuse(c, f, &why);
        return false;
    }
    m->meta = (struct msg_meta){.headers = options.headers,
                                .type = {.id = CTYPE_NONE},
                                .ttl_ms = options.ttl_ms,
                                .require = options.require,
                                .dedup = options.dedup};
    m->wait_ms = options.wait_ms;
    m->has_meta = options.headers.n || options.ttl_ms || options.require;
    return true;
}

bool stomp_memo_read(struct stomp_peer *c, const struct stomp_frame *f,
                     const struct stomp_destination *d, struct stomp_memo **ret)
{
    struct slice type = stomp_get(f, SLICE("content-type"));
    size_t most = f->head.n + 2 * (size_t)f->headers_n + OWN_ROOM;
    struct gathering g = {.c = c, .f = f, .is_call = d->place == PLACE_SERVICE};
    struct stomp_memo *m;
    uint8_t *headers;

    if (!read_reply_to(&g))
        return false;
    if (most > STOMP_MESSAGE_HEADERS_MAX)
        most = STOMP_MESSAGE_HEADERS_MAX;
    *ret = m = memo_room(*ret, f->head.n + type.n + 2 * most);
    if (!m) {
        stomp_fail_memory(c);
        return false;
    }
    m->repeats = false;
    m->place = d->place;
    m->type = keep_type(type, m->room + f->head.n);
    if (type.n && m->type.id == CTYPE_NONE) {
        stomp_fail(c, f, "Invalid header",
                   "content-type is 1 to 128 characters of ASCII, none of them a control\n");
        return false;
    }
    headers = g.to = m->room + f->head.n + type.n;
    g.end = headers + most;
    if (!put_headers(&g) ||
        !take_options(c, f, m, slice_of(headers, (size_t)(g.to - headers)), headers + most))
        return false;
    memcpy(m->name, d->name, d->name_n);
    m->target = (struct target){d->place != PLACE_TOPIC, slice_of(m->name, d->name_n)};
    note_head(m, f);
    return true;
}

/* ------------------------------------------------------------------------------- publishing */

struct msg_view stomp_view(const struct stomp_memo *m, struct slice body, struct block *block)
{
    return (struct msg_view){
        .data = body.n ? body.p : (const uint8_t *)"", /* who copies none may not copy from NULL */
        .len = (uint32_t)body.n,
        .meta = m->has_meta ? &m->meta : NULL,
        .block = block,
    };
}

static void publish_failed(struct stomp_peer *c, int error, struct refusal *why,
                           struct slice receipt)
{
    const char *message;

    stomp_explain(error, why);
    message = error == -EINVAL   ? "Invalid destination"
              : error == -EACCES ? "access_refused"
                                 : reason_name(why->reason);
    stomp_end(c, refusal_end(why), receipt, message, slice_str(why->text));
}

bool stomp_is_late(struct stomp_peer *c, const struct stomp_memo *m, uint32_t n)
{
    if (m->place != PLACE_REPLY_QUEUE || core_queue_known(c->link->host->core, m->target.name))
        return false;
    c->link->host->scratch->count[DOOR_COUNT_LATE_REPLIES] += n;
    log_debug("%s: %u messages to reply queue %.*s, which is gone", link_peer(c->link), n,
              (int)m->target.name.n, m->name);
    return true;
}

bool stomp_is_missing(struct stomp_peer *c, const struct stomp_memo *m, struct slice receipt)
{
    if (m->place != PLACE_KNOWN || core_queue_known(c->link->host->core, m->target.name))
        return false;
    stomp_fail_answer(c, receipt, "not_found", SLICE("there is no such queue\n"));
    return true;
}

bool stomp_may_publish(struct stomp_peer *c, const struct stomp_memo *m, struct slice receipt)
{
    struct refusal why = {REASON_NONE, ""};
    int r = core_may_publish(c->link->endpoint, &m->target, &why);

    if (r < 0)
        publish_failed(c, r, &why, receipt);
    return r == 0 && !stomp_is_missing(c, m, receipt);
}

bool stomp_publish(struct stomp_peer *c, const struct stomp_memo *m, const struct msg_view *v,
                   uint32_t n, struct slice receipt)
{
    struct run run = {.v = v, .n = n, .type = m->type};
    struct refusal why = {REASON_NONE, ""};
    int r;

    for (uint32_t i = 0; i < n; i++)
        run.bytes += v[i].len;
    r = window_publish(&c->window, &m->target, &run, &why);
    if (r < 0)
        publish_failed(c, r, &why, receipt);
    return r == 0;
}

/* A run, and what each asks for. */
struct batch {
    uint32_t n, max;
    struct slice receipt[RECEIPTS_MAX]; /* only where the memo has one */
};

static void answer_each(struct stomp_peer *c, const struct stomp_memo *m, const struct batch *b)
{
    for (uint32_t i = 0; i < b->n && !c->over; i++) {
        uint64_t a = stomp_answer_new(c, b->receipt[i], 1);

        if (a == STOMP_NO_ANSWER || !stomp_answer_await_one(c, a, b->n - 1 - i))
            return;
        if (m->meta.require)
            stomp_answer_requires(c, a);
        if (m->place == PLACE_REPLY_QUEUE)
            stomp_answer_is_reply(c, a);
    }
}

/* Who asked has gone, and with it its queue: nobody waits for the answer. */
static void drop_replies(struct stomp_peer *c, const struct stomp_memo *m, const struct batch *b)
{
    for (uint32_t i = 0; m->has_receipt && i < b->n && !c->over; i++) {
        uint64_t a = stomp_answer_new(c, b->receipt[i], 1);

        if (stomp_answer_await(c, a, 0))
            stomp_answer_done(c, a);
    }
}

static void publish_batch(struct stomp_peer *c, const struct stomp_memo *m,
                          const struct msg_view *v, const struct batch *b)
{
    struct slice first = m->has_receipt ? b->receipt[0] : slice_of(NULL, 0);

    if (stomp_is_late(c, m, b->n))
        drop_replies(c, m, b);
    else if (!stomp_is_missing(c, m, first) && stomp_publish(c, m, v, b->n, first) &&
             m->has_receipt)
        answer_each(c, m, b);
}

/* ------------------------------------------------------------------------------- the same again */

/* Does `in` begin with the head that `m` knows? Returns its bytes, and the id of its receipt. */
static size_t match_head(const struct stomp_memo *m, struct slice in, struct slice *ret_receipt)
{
    const uint8_t *id = in.p + m->front_n, *end;

    if (in.n < m->front_n + m->back_n || memcmp(in.p, m->room, m->front_n) != 0)
        return 0;
    if (!m->has_receipt)
        return m->front_n;
    for (end = id; end < in.p + in.n && end < id + RECEIPT_SHORT; end++)
        if (*end == '\n' || *end == '\r' || *end == '\\' || *end == 0)
            break;
    if ((size_t)(in.p + in.n - end) < m->back_n ||
        memcmp(end, m->room + m->front_n, m->back_n) != 0)
        return 0;
    *ret_receipt = slice_of(id, (size_t)(end - id));
    return (size_t)(end - in.p) + m->back_n;
}

/* The body at the front of `in`. */
static bool match_body(const struct stomp_peer *c, const struct stomp_memo *m, struct slice in,
                       struct slice *ret)
{
    const uint8_t *end;

    if (m->has_length) {
        *ret = slice_of(in.p, (size_t)m->length);
        return in.n > m->length && in.p[m->length] == 0;
    }
    end = in.n ? memchr(in.p, 0, in.n) : NULL;
    *ret = slice_of(in.p, end ? (size_t)(end - in.p) : 0);
    return end && ret->n <= c->reader.body_max;
}

/* Gather frames from the front of `in`; returns their bytes. */
static size_t gather(const struct stomp_peer *c, const struct stomp_memo *m, struct slice in,
                     struct block *block, struct batch *b)
{
    struct msg_view *v = c->link->host->scratch->views;
    size_t at = 0;

    for (b->n = 0; b->n < b->max; b->n++) {
        struct slice rest = slice_from(in, at), body;
        size_t skipped = stomp_skip(rest), head;

        rest = slice_from(rest, skipped);
        head = match_head(m, rest, m->has_receipt ? &b->receipt[b->n] : NULL);
        if (!head || !match_body(c, m, slice_from(rest, head), &body))
            break;
        v[b->n] = stomp_view(m, body, block);
        at += skipped + head + body.n + 1;
    }
    return at;
}

size_t stomp_send_scan(struct stomp_peer *c, struct slice in, struct block *block)
{
    const struct stomp_memo *m = c->memo;
    struct slice receipt;
    struct batch b;
    size_t used;

    /* What is known of an unfinished body is the decoder's. */
    if (!m || !m->repeats || c->reader.scanned || !match_head(m, in, &receipt))
        return 0;
    b.max = window_room(&c->window);
    if (b.max > DOOR_VIEWS)
        b.max = DOOR_VIEWS;
    if (m->has_receipt && b.max > RECEIPTS_MAX)
        b.max = RECEIPTS_MAX;
    used = gather(c, m, in, block, &b);
    if (b.n)
        publish_batch(c, m, c->link->host->scratch->views, &b);
    return used;
}

bool stomp_send(struct stomp_peer *c, const struct stomp_frame *f)
{
    struct stomp_destination d;
    struct msg_view v;
    struct batch b = {.n = 1};
    struct slice id;

    if (!stomp_destination_of(c, f, &d))
        return true;
    if (d.place == PLACE_TEMP_QUEUE) {
        stomp_fail(c, f, "Invalid destination",
                   "'/temp-queue/%.*s' is not a valid destination for 'SEND'\n",
                   d.name_n < 200 ? d.name_n : 200, d.name);
        return true;
    }
    if (d.place == PLACE_SERVICE)
        return stomp_call(c, f, &d);
    if (stomp_find(f, SLICE("transaction"), &id))
        return stomp_transaction_send(c, f, &d, id);
    if (!window_room(&c->window))
        return false;
    if (!stomp_memo_read(c, f, &d, &c->memo))
        return c->over;
    v = stomp_view(c->memo, f->body, c->block);
    b.receipt[0] = stomp_get(f, SLICE("receipt"));
    publish_batch(c, c->memo, &v, &b);
    return true;
}
