#include "brokerd/doors/json/consume.h"

#include "brokerd/doors/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static struct slice key_of(const uint64_t *number)
{
    return slice_of(number, sizeof *number);
}

static void bury(struct jsub *s)
{
    if (s->gone)
        return;
    s->gone = true;
    (void)map_del(&s->peer->subs, key_of(&s->number));
    s->next = s->peer->ended;
    s->peer->ended = s;
}

void jsub_free(struct jsub *s)
{
    core_detach(s->k);
    free(s->asked);
    free(s);
}

/* ----------------------------------------------------------------------------------- opening */

static int no_memory(struct refusal *why)
{
    refuse_memory(why);
    return -ENOMEM;
}

static struct jsub *sub_new(struct jpeer *c, const struct jask *a, struct slice queue)
{
    struct jsub *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->asked = malloc(queue.n + a->topic.n + 1);
    s->number = c->numbered + 1;
    if (!s->asked || !map_add(&c->subs, key_of(&s->number), s)) {
        free(s->asked);
        free(s);
        return NULL;
    }
    c->numbered++;
    s->peer = c;
    s->queue_n = (uint8_t)queue.n;
    s->topic_n = (uint32_t)a->topic.n;
    if (queue.n)
        memcpy(s->asked, queue.p, queue.n);
    if (a->topic.n)
        (void)jtext_put_value(s->asked + queue.n, a->topic);
    return s;
}

static bool is_setting(struct slice name)
{
    return slice_eq(name, SLICE("facts")) || slice_eq(name, SLICE("from")) ||
           policy_has_key(POLICY_QUEUE, name) || policy_has_key(POLICY_SUBSCRIPTION, name);
}

/* What both kinds may ask for: credit and settings. */
static int read_wish(struct jask *a, struct consume_options *o, bool *ret_facts,
                     struct refusal *why)
{
    struct options options;
    uint8_t *left;
    bool has;
    int r = jask_number(a, "credit", INT64_MAX, &has, &o->credit, why);

    if (r == 0 && !has)
        o->credit = CORE_UNLIMITED;
    if (r == 0)
        r = jask_headers(a, is_setting, &o->headers, why);
    if (r < 0)
        return r;
    left = malloc(o->headers.n + 1);
    if (!left)
        return no_memory(why);
    r = options_read(o->headers, OPTION_FACTS | OPTION_OTHERS, left, &options, why);
    *ret_facts = options.facts; /* the headers stay: the core must keep it, too */
    free(left);
    return r;
}

static int attach(struct jpeer *c, struct jask *a, const struct consume_options *o, bool facts,
                  struct refusal *why)
{
    struct jsub *s = NULL;
    struct consumer *k = NULL;
    int r = 0;

    if (map_len(&c->subs) >= c->link->host->limits.streams_max) {
        refuse(why, REASON_LIMIT, "a connection has at most %" PRIu32 " subscriptions",
               c->link->host->limits.streams_max);
        return -EMFILE;
    }
    if (!c->consumes && (r = window_consumes(&c->window, true)) < 0) {
        if (r == -EPIPE)
            refuse(why, REASON_DRAINING, "the broker is about to stop");
        return r == -EPIPE ? r : no_memory(why);
    }
    c->consumes = true;
    s = sub_new(c, a, o->queue);
    if (!s)
        return no_memory(why);
    s->is_queue = o->queue.n > 0;
    s->facts = facts;
    r = core_attach(c->link->endpoint, o, s, &k, why);
    if (r < 0) {
        if (r == -ENOMEM)
            refuse_memory(why);
        c->numbered--;
        bury(s);
    } else if (!s->gone) {
        s->k = k;
    }
    return r;
}

int jsub_subscribe(struct jpeer *c, struct jask *a, struct refusal *ret_why)
{
    struct slice filters[JPEER_FILTERS_MAX];
    struct consume_options o = {.filters = filters};
    bool facts = false;
    int r = jask_topics(a, filters, JPEER_FILTERS_MAX, &o.filters_n, ret_why);

    if (r == 0 && o.filters_n == 0) {
        refuse(ret_why, REASON_INVALID, "topic is missing: what to subscribe to");
        r = -EINVAL;
    }
    if (r < 0)
        return r;
    a->about.topic = filters[0];
    r = read_wish(a, &o, &facts, ret_why);
    return r < 0 ? r : attach(c, a, &o, facts, ret_why);
}

int jsub_consume(struct jpeer *c, struct jask *a, struct refusal *ret_why)
{
    struct slice filters[JPEER_FILTERS_MAX], ack = SLICE("auto");
    struct consume_options o = {.filters = filters};
    bool facts = false;
    int r = jask_text(a, "queue", true, &o.queue, ret_why);

    if (r == 0) {
        a->about.queue = o.queue;
        r = jask_text(a, "ack", false, &ack, ret_why);
    }
    if (r == 0)
        r = jask_topics(a, filters, JPEER_FILTERS_MAX, &o.filters_n, ret_why);
    if (r < 0)
        return r;
    o.manual_ack = slice_eq(ack, SLICE("manual"));
    if (!o.manual_ack && !slice_eq(ack, SLICE("auto"))) {
        refuse(ret_why, REASON_INVALID, "ack is auto or manual");
        return -EINVAL;
    }
    if (o.queue.n == 0 || o.queue.n > NAME_MAX_BYTES) {
        refuse(ret_why, REASON_INVALID, "a queue's name has 1 to %d bytes", NAME_MAX_BYTES);
        return -EINVAL;
    }
    r = read_wish(a, &o, &facts, ret_why);
    return r < 0 ? r : attach(c, a, &o, facts, ret_why);
}

/* ------------------------------------------------------------------------- what is done with it */

static int find(struct jpeer *c, struct jask *a, struct jsub **ret, struct refusal *why)
{
    uint64_t number = 0;
    bool has;
    int r = jask_number(a, "subscription", INT64_MAX, &has, &number, why);

    if (r < 0)
        return r;
    if (!has) {
        refuse(why, REASON_INVALID, "subscription is missing: its number");
        return -EINVAL;
    }
    a->about.subscription = number;
    *ret = map_get(&c->subs, key_of(&number));
    if (*ret)
        return 0;
    refuse(why, REASON_INVALID, "there is no subscription %" PRIu64, number);
    return -EINVAL;
}

int jsub_unsubscribe(struct jpeer *c, struct jask *a, struct refusal *ret_why)
{
    struct jsub *s;
    int r = find(c, a, &s, ret_why);

    if (r == 0)
        r = jask_done(a, ret_why);
    if (r == 0)
        bury(s);
    return r;
}

int jsub_credit(struct jpeer *c, struct jask *a, struct refusal *ret_why)
{
    struct jsub *s;
    uint64_t n = 0;
    bool has;
    int r = find(c, a, &s, ret_why);

    if (r == 0)
        r = jask_number(a, "n", INT64_MAX, &has, &n, ret_why);
    if (r == 0)
        r = jask_done(a, ret_why);
    if (r == 0 && n == 0) {
        refuse(ret_why, REASON_INVALID, "n is missing or 0: how many more");
        r = -EINVAL;
    }
    if (r == 0 && s->k)
        core_grant(s->k, n);
    return r;
}

/* How long: `delay` of a nack, `time` of an extension. */
static int read_time(struct jask *a, enum ack_verb verb, uint64_t *ret, struct refusal *why)
{
    bool has;

    if (verb == ACK_NACK)
        return jask_number(a, "delay", UINT32_MAX, &has, ret, why);
    if (verb == ACK_EXTEND)
        return jask_number(a, "time", UINT32_MAX, &has, ret, why);
    return 0;
}

static int settle(const struct jsub *s, uint64_t first, uint64_t count, enum ack_verb verb,
                  uint64_t time, struct refusal *why)
{
    int r = s->k ? core_ack(s->k, first, (uint32_t)count, verb, (uint32_t)time) : 0;

    if (r == -ENOMEM)
        return no_memory(why);
    if (r < 0)
        refuse(why, REASON_INVALID,
               "deliveries %" PRIu64 " to %" PRIu64
               " have not all been made, or are not to be acknowledged (\"ack\":\"manual\")",
               first, first + count - 1);
    return r;
}

int jsub_settle(struct jpeer *c, struct jask *a, enum ack_verb verb, struct refusal *ret_why)
{
    uint64_t first = 0, count = 1, time = 0;
    struct jsub *s;
    bool has;
    int r = find(c, a, &s, ret_why);

    if (r == 0)
        r = jask_number(a, "first", INT64_MAX, &has, &first, ret_why);
    if (r == 0)
        r = jask_number(a, "count", UINT32_MAX, &has, &count, ret_why);
    if (r == 0)
        r = read_time(a, verb, &time, ret_why);
    if (r == 0)
        r = jask_done(a, ret_why);
    if (r == 0 && (first == 0 || count == 0)) {
        refuse(ret_why, REASON_INVALID, "first is the number of a delivery, count at least 1");
        r = -EINVAL;
    }
    return r < 0 ? r : settle(s, first, count, verb, time, ret_why);
}

/* --------------------------------------------------------------------------------- callbacks */

/* Of what was asked for only a lone topic is said again. Several may be 64 KiB, for as long as the
 * subscription lives. */
static void forget_topics(struct jsub *s)
{
    uint8_t *less;

    if (s->topic_n == 0 || s->asked[s->queue_n] == '"')
        return;
    s->topic_n = 0;
    less = realloc(s->asked, s->queue_n + 1);
    if (less)
        s->asked = less;
}

void jsub_tell(struct jsub *s)
{
    struct slice queue = slice_of(s->asked, s->queue_n);
    struct slice topic = slice_of(s->asked + s->queue_n, s->topic_n);
    struct jsaying l;

    if (s->told)
        return;
    s->told = true;
    jsay_begin(&l, s->peer, s->is_queue ? "$consumed" : "$subscribed");
    jsay_number(&l, "subscription", s->number);
    if (s->is_queue)
        jsay_text(&l, "queue", queue);
    if (topic.n)
        jsay_end_with(&l, "topic", topic);
    else
        jsay_end(&l);
    forget_topics(s);
}

void jsub_ready(void *ctx)
{
    struct jsub *s = ctx;

    if (!s->gone)
        jsub_tell(s);
}

/* The one topic it was for, as far as it is one text without escapes. */
static struct slice plain_topic(const struct jsub *s)
{
    struct slice t = slice_of(s->asked + s->queue_n, s->topic_n);

    if (!jtext_is_string(t) || memchr(t.p, '\\', t.n))
        return slice_of(NULL, 0);
    return slice_of(t.p + 1, t.n - 2);
}

void jsub_closed(void *ctx, const struct refusal *why, uint64_t lost)
{
    struct jsub *s = ctx;
    struct refusal more = *why;
    size_t n = strlen(more.text);
    struct jabout about = {.subscription = s->number,
                           .queue = slice_of(s->asked, s->queue_n),
                           .topic = plain_topic(s)};

    s->k = NULL;
    if (s->gone)
        return;
    if (why->reason != REASON_NONE) {
        if (lost > 0)
            (void)snprintf(more.text + n, sizeof more.text - n, "; %" PRIu64 " messages were lost",
                           lost);
        jsay_error(s->peer, &more, &about);
    }
    bury(s);
}
