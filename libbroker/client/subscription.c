/* Subscriptions: made, opened on each connection, given back. What arrives is in delivery.c, what
 * is settled in ack.c. */
#include "libbroker/client/subscription.h"

#include <stdlib.h>
#include <string.h>

#include "libbroker/base/name.h"

enum { CREDIT_SUBSCRIBE = 8192, CREDIT_CONSUME = 256, FILTERS_MAX = 64 };

#define NO_LIMIT (UINT64_MAX / 2)

/* ---- Opening ---- */

/* How much to ask for at first: what is still granted, or the window less what waits here. */
static uint64_t first_credit(broker_subscription *s)
{
    if (s->manual_credit) {
        if (s->credit == 0) { /* a stream cannot be asked for without any */
            s->debt++;
            return 1;
        }
        return s->credit;
    }
    if (s->window >= BROKER_UNLIMITED)
        return NO_LIMIT;
    return s->n_items < s->window ? s->window - s->n_items : 1;
}

static void open_stream(broker_subscription *s)
{
    broker *b = s->b;
    uint32_t n;

    if (cl_stream_open(b, &s->stream) != BROKER_OK)
        return;
    s->credit = first_credit(s);
    s->taken = 0;
    s->base = s->number;
    n = s->credit > RS_N_MAX ? RS_N_MAX : (uint32_t)s->credit;
    (void)cl_send_request(b, s->manual_ack ? RS_REQUEST_CHANNEL : RS_REQUEST_STREAM, s->stream.id,
                          n, slice_of(s->request, s->metadata_n),
                          slice_of(s->request + s->metadata_n, s->data_n));
    s->missed = s->was_open && s->kind == CL_FILTERS;
    s->was_open = true;
}

static bool may_open(const broker *b)
{
    return b->link.state == CL_LINK_OPEN && !b->link.draining && !b->link.lost;
}

void cl_subscriptions_opened(broker *b)
{
    broker_subscription *s;

    TAILQ_FOREACH (s, &b->subscriptions, link)
        if (!s->gone && !s->ended)
            open_stream(s);
    TAILQ_FOREACH (s, &b->subscriptions, link)
        if (s->missed) {
            s->missed = false;
            cl_subscription_gap(s, 0, BROKER_REASON_DISCONNECTED);
        }
}

void cl_subscriptions_lost(broker *b)
{
    broker_subscription *s;

    TAILQ_FOREACH (s, &b->subscriptions, link) {
        bool was_open = s->stream.id != 0;

        cl_stream_close(b, &s->stream);
        cl_subscription_drop_verbs(s);
        if (s->manual_ack) /* these come again, with other numbers */
            cl_subscription_drop_items(s);
        if (s->kind == CL_REPORT && was_open)
            cl_subscription_end(s, BROKER_DISCONNECTED, BROKER_REASON_NONE,
                                "the connection was lost");
    }
}

void cl_subscriptions_end(broker *b, int error)
{
    broker_subscription *s;

    TAILQ_FOREACH (s, &b->subscriptions, link) {
        cl_stream_close(b, &s->stream);
        cl_subscription_drop_verbs(s);
        cl_subscription_end(s, error, BROKER_REASON_NONE, "the handle is closed");
    }
}

/* ---- Making ---- */

static int check_options(broker *b, const struct broker_subscribe_options *o)
{
    if (o->credit > BROKER_UNLIMITED)
        return cl_fail(b, BROKER_INVALID, "credit is at most %u", BROKER_UNLIMITED);
    for (size_t i = 0; i < sizeof o->reserved / sizeof o->reserved[0]; i++)
        if (o->reserved[i])
            return cl_fail(b, BROKER_INVALID, "reserved options are set");
    return BROKER_OK;
}

/* The request's metadata are in b->scratch. Enter the subscription and open it if there is a
 * connection. */
static int make(broker *b, enum cl_subscription_kind kind, const char *topic, struct slice data,
                const struct broker_subscribe_options *o, broker_subscription **ret_s)
{
    struct slice metadata = cl_meta(b);
    broker_subscription *s = calloc(1, sizeof *s + metadata.n + data.n);

    if (!s)
        return BROKER_NO_MEMORY;
    s->topic = topic ? strdup(topic) : NULL;
    if (topic && !s->topic) {
        free(s);
        return BROKER_NO_MEMORY;
    }
    s->b = b;
    s->kind = kind;
    s->stream.kind = CL_SUBSCRIPTION;
    s->manual_ack = kind == CL_QUEUE && o->ack == BROKER_ACK_MANUAL;
    s->manual_credit = o->manual_credit;
    s->window = o->credit;
    if (s->window == 0)
        s->window = s->manual_ack ? CREDIT_CONSUME : CREDIT_SUBSCRIBE;
    s->credit = s->window >= BROKER_UNLIMITED ? NO_LIMIT : s->window;
    s->on_message = o->on_message;
    s->on_gap = o->on_gap;
    s->on_end = o->on_end;
    s->user = o->user;
    STAILQ_INIT(&s->items);
    s->metadata_n = metadata.n;
    s->data_n = data.n;
    memcpy(s->request, metadata.p, metadata.n);
    if (data.n > 0)
        memcpy(s->request + metadata.n, data.p, data.n);
    TAILQ_INSERT_TAIL(&b->subscriptions, s, link);
    *ret_s = s;
    if (may_open(b))
        open_stream(s);
    return BROKER_OK;
}

static const struct broker_subscribe_options defaults;

static int subscribe(broker *b, const char *const *filters, size_t count,
                     const struct broker_subscribe_options *o, broker_subscription **ret_s)
{
    bool literal;
    int r = check_options(b, o);

    if (r == BROKER_OK && (count < 1 || count > FILTERS_MAX))
        r = cl_fail(b, BROKER_INVALID, "a subscription has 1 to %d filters", FILTERS_MAX);
    for (size_t i = 0; r == BROKER_OK && i < count; i++)
        r = cl_check_filter(b, filters[i]);
    if (r != BROKER_OK)
        return r;
    cl_meta_begin(b);
    r = cl_meta_tags(b, "subscribe/", slice_str(filters[0]), filters + 1, count - 1);
    if (r == BROKER_OK)
        r = cl_meta_settings(b, o->settings, o->setting_count, NULL);
    if (r != BROKER_OK)
        return r;
    literal = count == 1 && name_is_literal(slice_str(filters[0]));
    return make(b, CL_FILTERS, literal ? filters[0] : NULL, (struct slice){NULL, 0}, o, ret_s);
}

int broker_subscribe(broker *b, const char *const *filters, size_t count,
                     const struct broker_subscribe_options *o, broker_subscription **ret_s)
{
    int r;

    cl_lock(b);
    r = cl_check_open(b);
    if (r == BROKER_OK)
        r = subscribe(b, filters, count, o ? o : &defaults, ret_s);
    cl_unlock(b);
    return r;
}

static int consume(broker *b, const char *queue, const struct broker_subscribe_options *o,
                   broker_subscription **ret_s)
{
    int r = check_options(b, o);

    if (r == BROKER_OK && (!queue || o->binding_count > FILTERS_MAX))
        r = cl_fail(b, BROKER_INVALID, "a queue's name, and at most %d bindings", FILTERS_MAX);
    if (r == BROKER_OK)
        r = cl_check_topic(b, slice_str(queue), true);
    for (size_t i = 0; r == BROKER_OK && i < o->binding_count; i++)
        r = cl_check_filter(b, o->bindings[i]);
    if (r != BROKER_OK)
        return r;
    cl_meta_begin(b);
    r = cl_meta_tags(b, "consume/", slice_str(queue), o->bindings, o->binding_count);
    if (r == BROKER_OK)
        r = cl_meta_settings(b, o->settings, o->setting_count, NULL);
    if (r != BROKER_OK)
        return r;
    return make(b, CL_QUEUE, queue, (struct slice){NULL, 0}, o, ret_s);
}

int broker_consume(broker *b, const char *queue, const struct broker_subscribe_options *o,
                   broker_subscription **ret_s)
{
    int r;

    cl_lock(b);
    r = cl_check_open(b);
    if (r == BROKER_OK)
        r = consume(b, queue, o ? o : &defaults, ret_s);
    cl_unlock(b);
    return r;
}

static int report(broker *b, const char *route, struct slice data,
                  const struct broker_subscribe_options *o, broker_subscription **ret_s)
{
    int r = check_options(b, o);

    if (r == BROKER_OK && !route)
        r = cl_fail(b, BROKER_INVALID, "no route given");
    if (r == BROKER_OK && data.n > b->opt.o.max_message)
        r = cl_fail(b, BROKER_TOO_LARGE, "%zu bytes are more than max_message", data.n);
    if (r != BROKER_OK)
        return r;
    cl_meta_begin(b);
    r = cl_meta_route(b, "", slice_str(route));
    if (r == BROKER_OK)
        r = cl_meta_settings(b, o->settings, o->setting_count, NULL);
    return r == BROKER_OK ? make(b, CL_REPORT, NULL, data, o, ret_s) : r;
}

int broker_request_stream(broker *b, const char *route, const void *data, size_t len,
                          const struct broker_subscribe_options *o, broker_subscription **ret_s)
{
    int r;

    cl_lock(b);
    r = cl_check_open(b);
    if (r == BROKER_OK)
        r = report(b, route, slice_of(data, len), o ? o : &defaults, ret_s);
    cl_unlock(b);
    return r;
}

/* ---- Giving back ---- */

static void destroy(broker_subscription *s)
{
    cl_subscription_drop_items(s);
    cl_subscription_drop_verbs(s);
    TAILQ_REMOVE(&s->b->subscriptions, s, link);
    free(s->verbs.p);
    free(s->topic);
    free(s);
}

void cl_subscriptions_reap(broker *b)
{
    broker_subscription *s, *next;

    if (!b->reap)
        return;
    for (s = TAILQ_FIRST(&b->subscriptions); s; s = next) {
        next = TAILQ_NEXT(s, link);
        if (s->gone)
            destroy(s);
    }
}

void broker_unsubscribe(broker_subscription *s)
{
    broker *b;

    if (!s)
        return;
    b = s->b;
    cl_lock(b);
    if (s->stream.id != 0) {
        cl_subscriptions_flush(b); /* the acks so far still count */
        (void)cl_send_cancel(b, s->stream.id);
        cl_stream_close(b, &s->stream);
    }
    cl_subscription_drop_verbs(s);
    cl_wait_callback(b, s);
    s->ended = true;
    s->gone = true;
    if (b->in_turn)
        b->reap = true;
    else
        destroy(s);
    cl_unlock(b);
}

void *broker_subscription_user(const broker_subscription *s)
{
    return s->user;
}
