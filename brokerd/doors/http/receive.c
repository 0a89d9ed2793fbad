/* Long polling: some messages of a queue as JSON, each with an id by which it is settled
 * (settle.c).
 *
 * Each poll is a consumer of its own, with credit for what it asks for. As soon as something has
 * come it is answered with that, and what else comes in the same turn; then the consumer parts, and
 * what it got is in flight by itself, until it is settled or its time is over. Who goes away before
 * the answer has had nothing. */
#include "brokerd/doors/http/alarm.h"
#include "brokerd/doors/http/event.h"
#include "brokerd/doors/http/handlers.h"
#include "brokerd/doors/http/params.h"
#include "brokerd/doors/refuse.h"

#include <errno.h>
#include <stdlib.h>

enum {
    FILTERS_MAX = 64,
    MAX = 10, /* messages, if nothing is said */
    MAX_MOST = 1000,
    WAIT_MOST_MS = 600 * 1000,
    TEXT_MIN = 4096,
};

struct poll {
    struct hconsumer base;
    struct exchange *x;
    struct consumer *k; /* NULL: gone */
    struct alarms *alarms;
    struct alarm alarm;
    bool is_auto, facts;
    bool is_patient; /* it waits */
    bool is_ready;   /* what the queue had was delivered */
    bool failed;     /* there was no memory for the answer */
    bool answered;
    uint64_t got;  /* deliveries */
    uint64_t held; /* bytes of payload */
    uint8_t *text; /* the answer so far */
    size_t text_n, text_cap;
    struct gap gaps[REASON_TABLE_SIZE];
    unsigned gaps_n;
    uint8_t queue_n;
    char queue[];
};

/* Room for `n` bytes more; NULL without memory. */
static uint8_t *room_for(struct poll *p, size_t n)
{
    size_t cap = p->text_cap ? p->text_cap : TEXT_MIN;
    uint8_t *more;

    while (cap - p->text_n < n)
        cap *= 2;
    if (cap != p->text_cap) {
        more = realloc(p->text, cap);
        if (!more)
            return NULL;
        p->text = more;
        p->text_cap = cap;
    }
    return p->text + p->text_n;
}

/* --------------------------------------------------------------------------------- the answer */

static uint8_t *put_gaps(const struct poll *p, uint8_t *at)
{
    at = jput(at, SLICE(",\"gaps\":["));
    for (unsigned i = 0; i < p->gaps_n; i++) {
        at = jput(at, i ? SLICE(",{\"lost\":") : SLICE("{\"lost\":"));
        if (p->gaps[i].count)
            at = jput_number(at, p->gaps[i].count);
        else
            at = jput(at, SLICE("null"));
        at = jput(jput(at, SLICE(",\"reason\":\"")), slice_str(reason_name(p->gaps[i].reason)));
        at = jput(at, SLICE("\"}"));
    }
    *at++ = ']';
    return at;
}

/* The end of the answer. False: there is no memory for it. */
static bool complete(struct poll *p)
{
    uint8_t *at = p->failed ? NULL : room_for(p, 64 + p->gaps_n * 64);

    if (!at)
        return false;
    if (!p->text_n)
        at = jput(at, SLICE("{\"messages\":["));
    *at++ = ']';
    if (p->gaps_n)
        at = put_gaps(p, at);
    *at++ = '}';
    p->text_n = (size_t)(at - p->text);
    return true;
}

/* The consumer goes, and the first `got` deliveries are somebody's from now on. */
static void leave(struct poll *p, uint64_t got)
{
    struct consumer *k = p->k;

    p->k = NULL;
    if (!k)
        return;
    if (got && p->is_auto)
        (void)core_ack(k, 1, (uint32_t)got, ACK_DONE, 0);
    core_part(k, got);
}

/* Answer with all there is, or with nothing; it may be over then. */
static void ring(struct alarm *a, int64_t now_ms)
{
    struct poll *p = (struct poll *)((char *)a - offsetof(struct poll, alarm));
    struct refusal why;

    (void)now_ms;
    if (p->answered)
        return;
    p->answered = true;
    if (complete(p)) {
        leave(p, p->got);
        exchange_answer_json(p->x, 200, slice_of(p->text, p->text_n));
    } else {
        leave(p, 0);
        refuse_memory(&why);
        exchange_refuse(p->x, &why);
    }
}

/* Answer in the next turn: this one may bring more. */
static void answer_soon(struct poll *p)
{
    if (!p->answered)
        (void)alarm_set(p->alarms, &p->alarm, 0); /* it is in */
}

/* ----------------------------------------------------------------------------------- callbacks */

static void note_gap(struct poll *p, const struct gap *g)
{
    for (unsigned i = 0; i < p->gaps_n; i++) {
        if (p->gaps[i].reason == g->reason) {
            p->gaps[i].count += g->count;
            return;
        }
    }
    p->gaps[p->gaps_n++] = *g;
}

static bool put_one(struct poll *p, const struct event_run *r, uint32_t i)
{
    struct slice topic = topic_slice(r->d->topic);
    struct delivery_ref ref;
    struct event e;
    uint8_t *at;

    event_init(&e, r, i, NULL);
    at = room_for(p, event_room(&e) + 64);
    if (!at || (!p->is_auto && core_delivery_ref(p->k, r->d->first + i, &ref) < 0))
        return false;
    at = jput(at, p->text_n ? SLICE(",{") : SLICE("{\"messages\":[{"));
    if (!p->is_auto) {
        at = jput(at, SLICE("\"id\":\""));
        receipt_put(exchange_link(p->x)->host->seed, slice_of(p->queue, p->queue_n), &ref, at);
        at = jput(at + RECEIPT_SIZE, SLICE("\""));
    }
    at = jtext_put_string(jput_name(at, SLICE("topic")), topic);
    at = jbody_put_data(jput_name(at, SLICE("data")), &e.body);
    at = jbody_put_more(event_put_own(r, i, SLICE("message"), at), &e.body);
    *at++ = '}';
    p->text_n = (size_t)(at - p->text);
    return true;
}

/* The position is where the answer will end at the least: so the core sees what is held here. */
static uint64_t deliver(struct hconsumer *k, const struct delivery *d)
{
    struct poll *p = (struct poll *)k;
    struct event_run r;

    for (unsigned i = 0; i < d->gaps_n; i++)
        note_gap(p, &d->gaps[i]);
    event_run_init(&r, d, true, p->facts, true);
    for (uint32_t i = 0; i < d->run.n && !p->failed; i++)
        p->failed = !put_one(p, &r, i);
    p->got += d->run.n;
    p->held += d->run.bytes;
    answer_soon(p);
    return exchange_position(p->x) + p->held;
}

static void ready(struct hconsumer *k)
{
    struct poll *p = (struct poll *)k;

    p->is_ready = true;
    if (!p->is_patient)
        answer_soon(p);
}

/* As if it had not been told to wait. */
static void receive_hurry(struct exchange *x)
{
    struct poll *p = x->state;

    p->is_patient = false;
    if (p->is_ready)
        ring(&p->alarm, 0);
}

static void closed(struct hconsumer *k, const struct refusal *why, uint64_t lost)
{
    struct poll *p = (struct poll *)k;

    (void)lost;
    p->k = NULL;
    if (p->answered)
        return;
    p->answered = true;
    exchange_refuse(p->x, why);
}

/* ----------------------------------------------------------------------------------- the request
 */

struct wish {
    struct params params;
    struct slice filters[FILTERS_MAX];
    struct consume_options o;
    uint64_t max;
    int64_t wait_ms, visibility_ms;
    bool is_auto, facts;
};

static int read_wish(struct wish *w, struct slice query, struct slice body, struct refusal *why)
{
    struct params *p = &w->params;
    int r = params_read(p, query, body, why);

    if (r == 0)
        r = params_filters(p, w->filters, FILTERS_MAX, &w->o.filters_n, why);
    if (r == 0)
        r = params_count(p, "max", MAX_MOST, &w->max, why);
    if (r == 0)
        r = params_time(p, "wait", WAIT_MOST_MS, &w->wait_ms, why);
    if (r == 0)
        r = params_time(p, "visibility", UINT32_MAX, &w->visibility_ms, why);
    if (r == 0)
        r = params_word(p, "ack", "manual", "auto", &w->is_auto, why);
    if (r == 0)
        r = params_settings(p, POLICY_QUEUE, &w->o.headers, &w->facts, why);
    if (r == 0 && w->visibility_ms == 0) {
        refuse(why, REASON_INVALID, "visibility is at least 1ms");
        r = -EINVAL;
    }
    return r;
}

static struct poll *poll_new(struct exchange *x, const struct wish *w, struct refusal *why)
{
    struct alarms *all = alarms_of(exchange_link(x));
    int64_t now = core_now(exchange_link(x)->host->core);
    struct poll *p = all ? calloc(1, sizeof *p + w->o.queue.n) : NULL;

    if (p)
        p->alarm.ring = ring;
    if (!p || alarm_set(all, &p->alarm, w->wait_ms ? now + w->wait_ms : INT64_MAX) < 0) {
        free(p);
        refuse_memory(why);
        return NULL;
    }
    p->base = (struct hconsumer){deliver, ready, closed};
    p->x = x;
    p->alarms = all;
    p->is_auto = w->is_auto;
    p->facts = w->facts;
    p->is_patient = w->wait_ms > 0;
    p->queue_n = (uint8_t)w->o.queue.n;
    memcpy(p->queue, w->o.queue.p, w->o.queue.n);
    return p;
}

static int attach(struct poll *p, const struct consume_options *o, struct refusal *why)
{
    struct consumer *k = NULL;
    struct endpoint *ep;
    int r = exchange_endpoint(p->x, &ep, why);

    if (r < 0)
        return r;
    r = core_attach(ep, o, p, &k, why);
    if (r == -ENOMEM)
        refuse_memory(why);
    if (r == 0 && !p->answered)
        p->k = k;
    return r;
}

static void open(struct exchange *x, struct wish *w)
{
    struct refusal why;
    struct poll *p;

    w->o.queue = x->arg[0];
    w->o.manual_ack = true;
    w->o.ack_ms = w->visibility_ms < 0 ? 0 : (uint32_t)w->visibility_ms;
    w->o.credit = w->max;
    if (w->o.queue.n == 0 || w->o.queue.n > NAME_MAX_BYTES) {
        refuse(&why, REASON_INVALID, "a queue's name has 1 to %d bytes", NAME_MAX_BYTES);
        exchange_refuse(x, &why);
        return;
    }
    p = poll_new(x, w, &why);
    x->state = p;
    if (p && attach(p, &w->o, &why) == 0)
        return;
    if (p)
        p->answered = true;
    exchange_refuse(x, &why);
}

static size_t receive_body(struct exchange *x, struct slice part, struct block *block, bool last)
{
    struct wish w = {.o.filters = w.filters, .max = MAX, .visibility_ms = -1};
    struct refusal why;

    (void)block;
    (void)last;
    if (read_wish(&w, x->query, part, &why) < 0)
        exchange_refuse(x, &why);
    else
        open(x, &w);
    params_free(&w.params);
    return part.n;
}

static void receive_over(struct exchange *x)
{
    struct poll *p = x->state;

    if (!p)
        return;
    leave(p, 0);
    alarm_drop(p->alarms, &p->alarm);
    free(p->text);
    free(p);
}

static const struct handler handler = {
    .kind = BODY_WHOLE,
    .alone = true,
    .body_max = PARAMS_BODY_MAX,
    .body = receive_body,
    .hurry = receive_hurry,
    .over = receive_over,
};

const struct route receive_routes[] = {
    {METHOD_POST, "/v1/queues/*/messages:receive", &handler, NULL},
    {0, NULL, NULL, NULL},
};
