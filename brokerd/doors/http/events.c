/* Server-sent events: a subscription, or a queue, as an answer that does not end.
 *
 * The answer begins when the consumer is ready, so that whoever sees it open misses nothing; what
 * is wrong before that is an ordinary error. Events are written as they are delivered and paced by
 * the connection's output: a reader that stalls costs that, and what its queue may hold.
 *
 * A browser acknowledges nothing. It comes again when its stream was cut, and says the last event
 * it saw. So of a named queue each event stays in flight for `settle` after it was written, and is
 * settled if the connection is still there by then, or AHEAD_MAX more have been written. What a cut
 * stream leaves stays in flight for about as long: if the reader comes again meanwhile and names an
 * event, that and those before it are settled and those after it come again at once; else all of
 * them come again, to whoever consumes the queue.
 *
 *      written 1..40 | 41..60 | 61..75     a mark is made every `settle`, and says how far was
 *          settled   ^ older  ^ newer      written: what the older one says is settled at the next
 */
#include "brokerd/doors/http/alarm.h"
#include "brokerd/doors/http/event.h"
#include "brokerd/doors/http/handlers.h"
#include "brokerd/doors/http/http.h"
#include "brokerd/doors/http/params.h"
#include "brokerd/doors/http/terms.h"
#include "brokerd/doors/refuse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    FILTERS_MAX = 64,
    KEEPALIVE_MS = 15000, /* a comment, so that who stands between does not think it dead */
    RETRY_MS = 2000,      /* when a browser whose stream ended comes again */
    SETTLE_MS = 10000,
    AHEAD_MAX =
        4096, /* and there are more than that, before it passes: max-inflight would be the pace */
    WRITTEN_MS = 20, /* between looks at how far the last events are */
    SETTLE_MOST_MS = 3600 * 1000,
};

struct stream {
    struct hconsumer base;
    struct exchange *x;
    struct consumer *k; /* NULL: gone */
    struct alarms *alarms;
    struct alarm alarm;
    bool is_queue, facts, as_json;
    bool begun;        /* the answer has */
    bool ended;        /* nothing more may be written */
    bool is_reminder;  /* it subscribes again: what was published meanwhile is lost */
    int64_t settle_ms; /* of a queue; 0: an event is settled when it is written */
    uint64_t left;     /* events until it ends; UINT64_MAX: no limit */
    uint64_t got;      /* deliveries */
    uint64_t marked;   /* deliveries whose time runs */
    uint64_t settled;
    int64_t mark_ms, said_ms; /* when the next mark is due; when the last comment was */
    uint8_t queue_n;
    char queue[];
};

static void stream_free(struct stream *s)
{
    alarm_drop(s->alarms, &s->alarm);
    free(s);
}

/* ----------------------------------------------------------------------------------- writing */

static void put(struct stream *s, struct slice piece)
{
    exchange_write(s->x, &piece, 1);
}

static void say_gap(struct stream *s, const struct gap *g)
{
    char text[160], lost[32] = "null";

    if (g->count)
        (void)snprintf(lost, sizeof lost, "%" PRIu64, g->count);
    (void)snprintf(text, sizeof text, "event: gap\ndata: {\"lost\":%s,\"reason\":\"%s\"}\n\n", lost,
                   reason_name(g->reason));
    put(s, slice_str(text));
}

static void begin(struct stream *s)
{
    static const char no_store[] = "\x0d"
                                   "Cache-Control\0\x08"
                                   "no-store\x11"
                                   "X-Accel-Buffering\0\x02"
                                   "no";
    char first[96];
    struct response r = {.status = 200,
                         .type = SLICE("text/event-stream"),
                         .headers = slice_of(no_store, sizeof no_store - 1)};

    if (s->begun)
        return;
    s->begun = true;
    (void)snprintf(first, sizeof first, "retry: %d\n%s\n", RETRY_MS, s->is_queue ? "" : "id: -\n");
    r.body = slice_str(first);
    exchange_stream(s->x, &r);
    if (s->is_reminder)
        say_gap(s, &(struct gap){.reason = REASON_DISCONNECTED});
}

static void finish(struct stream *s, const char *reason, const char *why, uint64_t lost)
{
    uint8_t text[6 * sizeof(struct refusal) + 128], *p = text;

    if (s->ended)
        return;
    s->ended = true;
    p = jput(p, SLICE("event: end\ndata: {\"reason\":\""));
    p = jput(jput(p, slice_str(reason)), SLICE("\",\"text\":"));
    p = jtext_put_string(p, slice_str(why));
    if (lost)
        p = jput_number(jput_name(p, SLICE("lost")), lost);
    p = jput(p, SLICE("}\n\n"));
    put(s, slice_of(text, (size_t)(p - text)));
    exchange_finish(s->x, false);
}

static void finish_credit(struct stream *s)
{
    finish(s, "credit", "all the events that were asked for", 0);
}

/* ------------------------------------------------------------------------------- delivering */

/* Events are gathered in the worker's scratch, and so written in few chunks. */
struct gather {
    struct stream *s;
    struct door_encoded *e;
    uint8_t *p;
    bool in_one; /* nothing was written before the end */
};

static void flush(struct gather *g)
{
    put(g->s, slice_of(g->e->buf, (size_t)(g->p - g->e->buf)));
    g->p = g->e->buf;
    g->in_one = false;
}

/* One that has no room there. False: no memory for it. */
static bool write_large(const struct gather *g, const struct event *e, size_t room)
{
    uint8_t *own = malloc(room);

    if (!own)
        return false;
    put(g->s, slice_of(own, (size_t)(event_put(e, own) - own)));
    free(own);
    return true;
}

static bool gather_one(struct gather *g, const struct event_run *r, uint32_t i)
{
    struct stream *s = g->s;
    uint8_t id[RECEIPT_SIZE];
    struct delivery_ref ref;
    struct event e;
    bool named =
        s->is_queue && s->settle_ms && s->k && core_delivery_ref(s->k, r->d->first + i, &ref) == 0;
    size_t room;

    if (named)
        receipt_put(exchange_link(s->x)->host->seed, slice_of(s->queue, s->queue_n), &ref, id);
    event_init(&e, r, i, named ? id : NULL);
    room = event_room(&e);
    if (room > (size_t)(g->e->buf + sizeof g->e->buf - g->p))
        flush(g);
    if (room > sizeof g->e->buf)
        return write_large(g, &e, room);
    g->p = event_put(&e, g->p);
    return true;
}

/* As it was written for another subscription? */
static bool is_encoded(const struct stream *s, const struct delivery *d)
{
    const struct door_encoded *e = &exchange_link(s->x)->host->scratch->encoded;

    return d->offer && !s->is_queue && !s->facts && d->attempt == 1 && e->offer == d->offer &&
           e->v == d->run.v && e->n == d->run.n && e->door == &http_door &&
           e->frame_max == s->as_json;
}

/* What was written stands there for the next. */
static void put_aside(const struct gather *g, const struct delivery *d)
{
    const struct stream *s = g->s;

    if (!d->offer || s->is_queue || s->facts || d->attempt > 1 || !g->in_one)
        return;
    g->e->offer = d->offer;
    g->e->v = d->run.v;
    g->e->n = d->run.n;
    g->e->door = &http_door;
    g->e->frame_max = s->as_json;
    g->e->head_n = 0;
    g->e->bytes = slice_of(g->e->buf, (size_t)(g->p - g->e->buf));
}

static void write_run(struct stream *s, const struct delivery *d)
{
    struct door_encoded *e = &exchange_link(s->x)->host->scratch->encoded;
    struct gather g = {s, e, e->buf, true};
    struct event_run r;

    if (is_encoded(s, d)) {
        put(s, e->bytes);
        return;
    }
    e->offer = 0;
    event_run_init(&r, d, s->is_queue, s->facts, s->as_json);
    for (uint32_t i = 0; i < d->run.n; i++) {
        if (!gather_one(&g, &r, i)) {
            s->ended = true;
            exchange_finish(s->x, true);
            return;
        }
    }
    put_aside(&g, d);
    if (g.p > e->buf)
        put(s, slice_of(e->buf, (size_t)(g.p - e->buf)));
}

static uint64_t deliver(struct hconsumer *k, const struct delivery *d)
{
    struct stream *s = (struct stream *)k;

    begin(s);
    if (s->ended)
        return exchange_position(s->x);
    for (unsigned i = 0; i < d->gaps_n; i++)
        say_gap(s, &d->gaps[i]);
    write_run(s, d);
    if (s->left != UINT64_MAX)
        s->left -= d->run.n;
    s->got += d->run.n;
    if (s->is_queue && (s->left == 0 || s->got - s->settled > 2 * AHEAD_MAX))
        (void)alarm_set(s->alarms, &s->alarm, 0);
    else if (s->left == 0)
        finish_credit(s);
    return exchange_position(s->x);
}

static void ready(struct hconsumer *k)
{
    begin((struct stream *)k);
}

static void closed(struct hconsumer *k, const struct refusal *why, uint64_t lost)
{
    struct stream *s = (struct stream *)k;

    s->k = NULL;
    if (!s->begun && !s->ended) {
        s->ended = true;
        exchange_refuse(s->x, why);
    } else if (why->reason == REASON_NONE) {
        finish(s, "resumed", why->text, 0);
    } else {
        finish(s, reason_name(why->reason), why->text, lost);
    }
}

/* ------------------------------------------------------------------------------------ in time */

static void settle_upto(struct stream *s, uint64_t number)
{
    if (number > s->settled)
        (void)core_ack(s->k, s->settled + 1, (uint32_t)(number - s->settled), ACK_DONE, 0);
    s->settled = number > s->settled ? number : s->settled;
}

/* When a mark is due, what was written since the last has `settle` to be settled; what was marked
 * then, is. What was written long before the last is in any case. */
static void settle(struct stream *s, int64_t now_ms)
{
    uint64_t written = core_consumer_written(s->k);

    if (written > AHEAD_MAX)
        settle_upto(s, written - AHEAD_MAX);
    if (now_ms < s->mark_ms)
        return;
    settle_upto(s, s->marked);
    s->marked = s->settled > s->marked ? s->settled : s->marked;
    if (written > s->marked)
        (void)core_ack(s->k, s->marked + 1, (uint32_t)(written - s->marked), ACK_EXTEND,
                       (uint32_t)(2 * s->settle_ms));
    s->marked = written;
    s->mark_ms = now_ms + s->settle_ms;
}

/* All that were asked for have been delivered: settled as soon as they are written, and the end. */
static void end_with_credit(struct stream *s, int64_t now_ms)
{
    if (s->k && core_consumer_written(s->k) < s->got) {
        (void)alarm_set(s->alarms, &s->alarm, now_ms + WRITTEN_MS);
        return;
    }
    if (s->k && s->settle_ms)
        settle_upto(s, s->got);
    core_detach(s->k);
    s->k = NULL;
    finish_credit(s);
}

static void keep_alive(struct stream *s, int64_t now_ms)
{
    s->said_ms = now_ms;
    if (s->begun && exchange_link(s->x)->out.pending == 0)
        put(s, SLICE(":\n\n"));
}

/* It is cut, or ends. What was written stays in flight for a while. */
static void leave(struct stream *s)
{
    uint64_t written;

    if (!s->k)
        return;
    written = core_consumer_written(s->k);
    if (s->settle_ms && written > s->marked)
        (void)core_ack(s->k, s->marked + 1, (uint32_t)(written - s->marked), ACK_EXTEND,
                       (uint32_t)(2 * s->settle_ms));
    core_part(s->k, written);
    s->k = NULL;
}

static void ring(struct alarm *a, int64_t now_ms)
{
    struct stream *s = (struct stream *)((char *)a - offsetof(struct stream, alarm));
    int64_t next;

    if (s->ended)
        return;
    if (s->alarms->draining) {
        begin(s);
        leave(s);
        finish(s, reason_name(REASON_DRAINING), "draining: the broker is about to stop", 0);
        return;
    }
    if (s->left == 0) {
        end_with_credit(s, now_ms);
        return;
    }
    if (s->settle_ms && s->k)
        settle(s, now_ms);
    if (now_ms - s->said_ms >= KEEPALIVE_MS)
        keep_alive(s, now_ms);
    next = s->said_ms + KEEPALIVE_MS;
    if (s->settle_ms && s->mark_ms < next)
        next = s->mark_ms;
    (void)alarm_set(s->alarms, a, next); /* it has just been in */
}

/* ----------------------------------------------------------------------------------- opening */

/* What is asked for, as it is read. */
struct wish {
    struct params params;
    struct slice filters[FILTERS_MAX];
    struct consume_options o;
    bool as_json, facts;
    uint64_t credit;
    int64_t settle_ms;
};

static int read_wish(struct wish *w, const struct exchange *x, bool is_queue, struct refusal *why)
{
    int r = params_read(&w->params, x->query, slice_of(NULL, 0), why);

    if (r == 0)
        r = params_filters(&w->params, w->filters, FILTERS_MAX, &w->o.filters_n, why);
    if (r == 0)
        r = params_word(&w->params, "as", "data", "json", &w->as_json, why);
    if (r == 0)
        r = params_count(&w->params, "credit", INT64_MAX, &w->credit, why);
    if (r == 0 && is_queue)
        r = params_time(&w->params, "settle", SETTLE_MOST_MS, &w->settle_ms, why);
    if (r == 0)
        r = params_settings(&w->params, is_queue ? POLICY_QUEUE : POLICY_SUBSCRIPTION,
                            &w->o.headers, &w->facts, why);
    return r;
}

static struct stream *stream_new(struct exchange *x, const struct wish *w, struct refusal *why)
{
    struct alarms *all = alarms_of(exchange_link(x));
    struct slice queue = w->o.queue;
    int64_t now = core_now(exchange_link(x)->host->core);
    struct stream *s = all ? calloc(1, sizeof *s + queue.n) : NULL;

    if (!s || (s->alarm.ring = ring, alarm_set(all, &s->alarm, now)) < 0) {
        free(s);
        refuse_memory(why);
        return NULL;
    }
    s->base = (struct hconsumer){deliver, ready, closed};
    s->x = x;
    s->alarms = all;
    s->is_queue = queue.n > 0;
    s->facts = w->facts;
    s->as_json = w->as_json;
    s->settle_ms = s->is_queue ? w->settle_ms : 0;
    s->left = w->credit ? w->credit : UINT64_MAX;
    s->said_ms = now;
    s->mark_ms = now + s->settle_ms;
    s->queue_n = (uint8_t)queue.n;
    if (queue.n)
        memcpy(s->queue, queue.p, queue.n);
    return s;
}

/* The event that a browser saw last; what it names may have been of an earlier start: then all of
 * it has come back already. */
static int resume(struct stream *s, struct endpoint *ep, struct refusal *why)
{
    struct settlement been = {.queue = slice_of(s->queue, s->queue_n)};
    struct slice last;
    int r;

    if (!http_field(s->x->request, "last-event-id", &last) || last.n == 0)
        return 0;
    if (!s->is_queue) {
        s->is_reminder = true;
        return 0;
    }
    if (receipt_read(exchange_link(s->x)->host->seed, been.queue, last, &been.ref) < 0)
        return 0;
    r = core_take_over(ep, &been, why);
    if (r == -ENOMEM)
        refuse_memory(why);
    return r == -EINVAL ? 0 : r;
}

static int attach(struct stream *s, const struct wish *w, struct refusal *why)
{
    struct consumer *k = NULL;
    struct endpoint *ep;
    int r = exchange_endpoint(s->x, &ep, why);

    if (r == 0)
        r = resume(s, ep, why);
    if (r < 0)
        return r;
    r = core_attach(ep, &w->o, s, &k, why);
    if (r == -ENOMEM)
        refuse_memory(why);
    if (r == 0 && !s->ended)
        s->k = k;
    return r;
}

static void open(struct exchange *x, struct wish *w)
{
    struct refusal why;
    struct stream *s;

    w->o.credit = w->credit ? w->credit : CORE_UNLIMITED;
    w->o.manual_ack = w->o.queue.n && w->settle_ms;
    s = stream_new(x, w, &why);
    if (s) {
        x->state = s;
        if (attach(s, w, &why) == 0)
            return;
        s->ended = true;
    }
    exchange_refuse(x, &why);
}

/* What a page cannot read it could still take away: of a queue, an event that was sent is gone. */
static bool may_take(const struct exchange *x, struct refusal *why)
{
    if (!x->terms->is_foreign)
        return true;
    refuse(why, REASON_DENIED,
           "pages of this origin may not consume a queue; the listener's `origins` may say so");
    return false;
}

static size_t stream_body(struct exchange *x, struct slice part, struct block *block, bool last)
{
    bool is_queue = x->route->what != NULL;
    struct wish w = {.o.filters = w.filters, .settle_ms = SETTLE_MS};
    struct refusal why;

    (void)block;
    (void)last;
    if (is_queue)
        w.o.queue = x->arg[0];
    else
        w.filters[w.o.filters_n++] = x->arg[0];
    if ((is_queue && !may_take(x, &why)) || read_wish(&w, x, is_queue, &why) < 0)
        exchange_refuse(x, &why);
    else if (x->method == METHOD_HEAD)
        exchange_answer(x, &(struct response){.status = 200, .type = SLICE("text/event-stream")});
    else
        open(x, &w);
    params_free(&w.params);
    return part.n;
}

static void stream_over(struct exchange *x)
{
    struct stream *s = x->state;

    if (!s)
        return;
    leave(s);
    stream_free(s);
}

static const struct handler handler = {
    .kind = BODY_NONE,
    .alone = true,
    .body = stream_body,
    .over = stream_over,
};

const struct route events_routes[] = {
    {METHOD_GET, "/v1/topics/*/events", &handler, NULL},
    {METHOD_GET, "/v1/queues/*/events", &handler, "queue"},
    {0, NULL, NULL, NULL},
};
