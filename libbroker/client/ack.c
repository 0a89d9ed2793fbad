/* What a consumer says of its deliveries. Verbs gather and travel together; consecutive ones that
 * say the same become one range. */
#include <stdlib.h>

#include "libbroker/client/subscription.h"

enum { VERBS_MAX = 64 * CONSUMER_VERB_SIZE * 16 }; /* bytes that gather before they are queued */

void cl_subscription_drop_verbs(broker_subscription *s)
{
    s->verbs.n = 0;
    s->last.count = 0;
    if (s->dirty)
        TAILQ_REMOVE(&s->b->dirty_subscriptions, s, dirty_link);
    s->dirty = false;
}

/* One payload with all that has gathered. */
static void send_verbs(broker_subscription *s)
{
    struct rs_frame f = {.stream = s->stream.id, .type = RS_PAYLOAD, .flags = RS_NEXT};
    uint32_t max_frame = (uint32_t)s->b->opt.o.max_frame;
    size_t size;
    uint8_t *p;

    f.data = slice_of(s->verbs.p, s->verbs.n);
    size = rs_fragmented_size(&f, max_frame);
    p = cl_ctl_reserve(s->b, size);
    if (p) {
        rs_put_fragmented(p, &f, max_frame);
        cl_subscription_drop_verbs(s); /* before the commit, which may write */
        cl_ctl_commit(s->b, size);
    }
}

void cl_subscriptions_flush(broker *b)
{
    broker_subscription *s;

    while (b->link.state == CL_LINK_OPEN && !b->link.lost &&
           (s = TAILQ_FIRST(&b->dirty_subscriptions)) != NULL)
        send_verbs(s);
}

/* Make the last verb longer if `v` just goes on where it ends. */
static bool merge(broker_subscription *s, const struct consumer_verb *v)
{
    struct consumer_verb *last = &s->last;

    if (last->count == 0 || last->kind != v->kind || last->argument != v->argument ||
        last->first + last->count != v->first || v->count > UINT32_MAX - last->count)
        return false;
    last->count += v->count;
    consumer_verb_put(s->verbs.p + s->verbs.n - CONSUMER_VERB_SIZE, last);
    return true;
}

static int add_verb(broker_subscription *s, const struct consumer_verb *v)
{
    uint8_t *p;

    if (merge(s, v))
        return BROKER_OK;
    p = cl_buf_reserve(&s->verbs, CONSUMER_VERB_SIZE);
    if (!p)
        return BROKER_NO_MEMORY;
    consumer_verb_put(p, v);
    s->verbs.n += CONSUMER_VERB_SIZE;
    s->last = *v;
    if (!s->dirty) {
        TAILQ_INSERT_TAIL(&s->b->dirty_subscriptions, s, dirty_link);
        s->dirty = true;
    }
    if (s->verbs.n >= VERBS_MAX)
        send_verbs(s);
    cl_poke(s->b);
    return BROKER_OK;
}

static int settle(broker_subscription *s, enum consumer_verb_kind kind, uint64_t first,
                  uint32_t count, uint32_t argument)
{
    broker *b = s->b;
    uint64_t number = s->number, end = first + count;
    struct consumer_verb v = {.kind = kind, .argument = argument};
    int r;

    if (!s->manual_ack)
        return cl_fail(b, BROKER_INVALID, "not a queue consumed with BROKER_ACK_MANUAL");
    if (first == 0 || count == 0 || end < first || end - 1 > number)
        return cl_fail(b, BROKER_INVALID, "%llu has not been delivered",
                       (unsigned long long)(end - 1));
    if (s->stream.id == 0 && s->ended)
        return BROKER_ENDED;
    if (s->stream.id == 0 || end - 1 <= s->base)
        return BROKER_STALE;
    if (first <= s->base)
        first = s->base + 1;
    v.first = first - s->base;
    v.count = (uint32_t)(end - first);
    r = add_verb(s, &v);
    if (r == BROKER_OK && kind != VERB_EXTEND)
        cl_subscription_taken(s, v.count);
    return r;
}

static int locked_settle(broker_subscription *s, enum consumer_verb_kind kind, uint64_t first,
                         uint32_t count, uint32_t argument)
{
    int r;

    cl_lock(s->b);
    r = settle(s, kind, first, count, argument);
    cl_unlock(s->b);
    return r;
}

int broker_ack(broker_subscription *s, uint64_t first, uint32_t count)
{
    return locked_settle(s, VERB_ACK, first, count, 0);
}

int broker_nack(broker_subscription *s, uint64_t first, uint32_t count, uint32_t delay_ms)
{
    return locked_settle(s, VERB_NACK, first, count, delay_ms);
}

int broker_reject(broker_subscription *s, uint64_t first, uint32_t count)
{
    return locked_settle(s, VERB_REJECT, first, count, 0);
}

int broker_extend(broker_subscription *s, uint64_t first, uint32_t count, uint32_t time_ms)
{
    return locked_settle(s, VERB_EXTEND, first, count, time_ms);
}
