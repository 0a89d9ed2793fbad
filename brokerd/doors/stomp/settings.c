#include "brokerd/doors/stomp/settings.h"

#include "libbroker/base/headers.h"
#include "libbroker/base/policy.h"

#include <stdio.h>

/* A queue of a subscription that is gone, should it not have been removed with it; one that is to
 * go with its last consumer. */
#define OWN_EXPIRES "10s"
#define AUTO_DELETE_EXPIRES "1s"

struct writer {
    struct stomp_peer *c;
    const struct stomp_frame *f;
    uint8_t *to, *end;
};

static bool put(struct writer *w, struct slice name, struct slice value)
{
    if (name.n > HEADERS_NAME_MAX || (size_t)(w->end - w->to) < headers_size(name.n, value.n)) {
        stomp_fail(w->c, w->f, "Invalid header", "the settings are too long\n");
        return false;
    }
    w->to = headers_put(w->to, name, value);
    return true;
}

/* ------------------------------------------------------------------------------- x-arguments */

/* A number, written with its unit. */
static bool put_number(struct writer *w, struct slice arg, struct slice key, const char *unit)
{
    struct slice text = stomp_get(w->f, arg);
    char value[32];
    uint64_t n;

    if (!text.n)
        return true;
    if (!stomp_number(text, &n)) {
        stomp_fail(w->c, w->f, "Invalid header", "%.*s must be a number\n", (int)arg.n,
                   (const char *)arg.p);
        return false;
    }
    (void)snprintf(value, sizeof value, "%llu%s", (unsigned long long)n, unit);
    return put(w, key, slice_str(value));
}

static bool put_overflow(struct writer *w, const char *otherwise)
{
    struct slice text = stomp_get(w->f, SLICE("x-overflow")), key = SLICE("$overflow");

    if (!text.n)
        return !otherwise || put(w, key, slice_str(otherwise));
    if (slice_eq(text, SLICE("drop-head")))
        return put(w, key, SLICE("drop-oldest"));
    if (slice_eq(text, SLICE("reject-publish")) || slice_eq(text, SLICE("reject-publish-dlx")))
        return put(w, key, SLICE("reject"));
    stomp_fail(w->c, w->f, "Invalid header",
               "x-overflow is drop-head, reject-publish or reject-publish-dlx\n");
    return false;
}

/* Dead letters go to the topic of the exchange and key, by the default exchange to a queue. */
static bool put_dead_letter(struct writer *w)
{
    struct slice ex = stomp_get(w->f, SLICE("x-dead-letter-exchange"));
    struct slice key = stomp_get(w->f, SLICE("x-dead-letter-routing-key"));
    struct stomp_destination d;
    struct stomp_complaint why;
    char text[1024];
    int n;

    if (!stomp_find(w->f, SLICE("x-dead-letter-exchange"), &ex) && !key.n)
        return true;
    if (!key.n && !slice_eq(ex, SLICE("amq.fanout"))) {
        stomp_fail(w->c, w->f, "Invalid header",
                   "x-dead-letter-exchange needs an x-dead-letter-routing-key here\n");
        return false;
    }
    if (!ex.n) { /* the default exchange: the queue of that name */
        n = snprintf(text, sizeof text, "queue:%.*s", key.n < 700 ? (int)key.n : 700,
                     (const char *)key.p);
        return put(w, SLICE("$dead-letter"), slice_of(text, (size_t)n));
    }
    n = snprintf(text, sizeof text, "/exchange/%.*s/%.*s", ex.n < 200 ? (int)ex.n : 200,
                 (const char *)ex.p, key.n < 700 ? (int)key.n : 700, (const char *)key.p);
    if (stomp_destination_read(slice_of(text, (size_t)n), &d, &why) < 0) {
        stomp_complain(w->c, w->f, &why);
        return false;
    }
    return put(w, SLICE("$dead-letter"), stomp_destination_name(&d));
}

static bool is_true(const struct stomp_frame *f, struct slice name)
{
    return stomp_is(f, name, SLICE("true"));
}

/* How long the queue outlives its consumers. */
static bool put_expires(struct writer *w, const struct stomp_sub *s, bool is_topic)
{
    struct slice key = SLICE("$expires");

    if (stomp_find(w->f, SLICE("x-expires"), &(struct slice){NULL, 0}))
        return put_number(w, SLICE("x-expires"), key, "ms");
    if (is_true(w->f, SLICE("auto-delete")) || is_true(w->f, SLICE("exclusive")))
        return put(w, key, SLICE(AUTO_DELETE_EXPIRES));
    return !is_topic || s->is_durable || put(w, key, SLICE(OWN_EXPIRES));
}

/* ------------------------------------------------------------------------------- broker-KEY */

static bool is_own_key(struct slice name, struct slice *ret_key)
{
    static const struct slice prefix = {(const uint8_t *)"broker-", 7};

    if (!slice_starts(name, prefix) || name.n == prefix.n)
        return false;
    *ret_key = slice_from(name, prefix.n);
    return true;
}

static bool put_own_keys(struct writer *w)
{
    for (unsigned i = 0; i < w->f->headers_n; i++) {
        const struct header *h = &w->f->header[i];
        char name[HEADERS_NAME_MAX + 1];
        struct slice key;
        int n;

        if (!is_own_key(h->name, &key) || slice_eq(key, SLICE("facts")))
            continue;
        n = snprintf(name, sizeof name, "$%.*s", key.n < 200 ? (int)key.n : 200,
                     (const char *)key.p);
        if (!put(w, slice_of(name, (size_t)n), h->value))
            return false;
    }
    return true;
}

bool stomp_settings_need_queue(const struct stomp_frame *f)
{
    for (unsigned i = 0; i < f->headers_n; i++) {
        struct slice name = f->header[i].name, key;

        if (slice_eq(name, SLICE("x-expires")) || slice_starts(name, SLICE("x-dead-letter-")))
            return true;
        if (is_own_key(name, &key) && policy_has_key(POLICY_QUEUE, key) &&
            !policy_has_key(POLICY_SUBSCRIPTION, key))
            return true;
    }
    return false;
}

bool stomp_settings_read(struct stomp_sub *s, const struct stomp_frame *f, uint8_t *room,
                         struct slice *ret)
{
    struct writer w = {s->peer, f, room, room + STOMP_SETTINGS_MAX};
    bool is_topic = slice_starts(stomp_get(f, SLICE("destination")), SLICE("/topic/")) ||
                    slice_starts(stomp_get(f, SLICE("destination")), SLICE("/exchange/"));
    bool is_queue = s->queue_n > 0;

    /* message-ids of automatic acks are the messages' */
    if (s->mode == STOMP_AUTO && !put(&w, SLICE("$facts"), SLICE("1")))
        return false;
    if (is_queue && (!put(&w, SLICE("$bind"), SLICE("none")) || !put_expires(&w, s, is_topic) ||
                     !put_dead_letter(&w)))
        return false;
    /* A subscriber to a topic who is slow loses something, and not the publisher. */
    if (!put_overflow(&w, is_queue && is_topic ? "drop-oldest" : NULL) ||
        !put_number(&w, SLICE("x-message-ttl"), SLICE("$message-ttl"), "ms") ||
        !put_number(&w, SLICE("x-max-length"), SLICE("$max-messages"), "") ||
        !put_number(&w, SLICE("x-max-length-bytes"), SLICE("$max-bytes"), "") || !put_own_keys(&w))
        return false;
    *ret = slice_of(room, (size_t)(w.to - room));
    return true;
}
