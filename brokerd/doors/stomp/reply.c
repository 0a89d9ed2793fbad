#include "brokerd/doors/stomp/reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Bound to nothing; gone with the connection, by itself if need be. */
static const uint8_t own_settings[] = "\6$facts\0\1"
                                      "1"
                                      "\5$bind\0\4none"
                                      "\10$expires\0\003"
                                      "10s";

static struct stomp_sub *find(const struct stomp_peer *c, struct slice text)
{
    for (struct list_node *n = list_first(&c->replies); n; n = list_next(&c->replies, n)) {
        struct stomp_sub *s = LIST_ITEM(n, struct stomp_sub, link);

        if (slice_eq(stomp_sub_id(s), text))
            return s;
    }
    return NULL;
}

/* A consumer of a queue of its own. NULL: the peer was told. */
static struct stomp_sub *make(struct stomp_peer *c, const struct stomp_frame *f, struct slice text)
{
    struct consume_options o = {.credit = CORE_UNLIMITED,
                                .headers = slice_of(own_settings, sizeof own_settings - 1)};
    struct refusal why = {REASON_NONE, ""};
    struct stomp_sub *s;
    int r;

    if (c->consumers >= c->link->host->limits.streams_max || text.n > STOMP_ID_MAX) {
        stomp_fail(c, f, reason_name(REASON_LIMIT), "too many reply queues, or too long a name\n");
        return NULL;
    }
    s = stomp_sub_new(c, text, text, STOMP_AUTO);
    if (!s) {
        stomp_fail_memory(c);
        return NULL;
    }
    s->has_id = s->goes = true;
    s->queue_n = (uint8_t)snprintf(s->queue, sizeof s->queue, "stomp-reply-%s-%" PRIu64, c->session,
                                   ++c->made);
    list_push_back(&c->replies, &s->link);
    o.queue = slice_of(s->queue, s->queue_n);
    if (!stomp_consumes(c, 1))
        return NULL;
    r = core_attach(c->link->endpoint, &o, s, &s->k, &why);
    if (r == 0)
        return s;
    s->k = NULL;
    stomp_explain(r, &why);
    stomp_refuse(c, f, &why);
    return NULL;
}

bool stomp_reply_queue(struct stomp_peer *c, const struct stomp_frame *f, struct slice text,
                       struct slice *ret)
{
    struct stomp_sub *s = find(c, text);

    if (!s)
        s = make(c, f, text);
    if (!s)
        return false;
    if (!s->is_ready) { /* an answer might come before the queue is known everywhere */
        stomp_wait(c, true);
        return false;
    }
    *ret = slice_of(s->queue, s->queue_n);
    return true;
}
