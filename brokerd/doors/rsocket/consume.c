#include "brokerd/doors/rsocket/consume.h"

#include "brokerd/doors/rsocket/send.h"
#include "libbroker/base/headers.h"
#include "libbroker/base/name.h"
#include "libbroker/wire/broker_rs.h"
#include "libbroker/wire/composite.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* What the stream asked for, gathered for core_attach(). */
struct wish {
    struct slice filters[META_FILTERS_MAX];
    struct consume_options o;
};

static int add_filter(struct wish *w, struct slice filter, struct refusal *why)
{
    if (w->o.filters_n == META_FILTERS_MAX) {
        refuse(why, REASON_LIMIT, "more than %d filters on one stream", META_FILTERS_MAX);
        return -EINVAL;
    }
    w->filters[w->o.filters_n++] = filter;
    return 0;
}

static int wish_of(const struct consume_request *r, struct wish *w, struct refusal *why)
{
    struct slice tags = r->meta->tags, tag;
    int err = 0;

    w->o = (struct consume_options){.filters = w->filters, .credit = r->frame->number};
    if (r->is_queue) {
        w->o.queue = r->name;
        w->o.manual_ack = r->frame->type == RS_REQUEST_CHANNEL;
    } else {
        err = add_filter(w, r->name, why);
    }
    while (err == 0 && routing_next(&tags, &tag) > 0)
        err = add_filter(w, tag, why);
    return err;
}

static struct consume *consume_new(struct peer *c, const struct consume_request *r,
                                   const struct wish *w)
{
    struct consume *s = stream_new(c, r->id, STREAM_CONSUME, sizeof *s);

    if (!s)
        return NULL;
    s->base.channel = r->frame->type == RS_REQUEST_CHANNEL;
    s->base.queue = r->is_queue;
    s->base.topic = !r->is_queue && w->o.filters_n == 1 && name_is_literal(r->name);
    return s;
}

/* Attach to the core; `left` is room for the headers left over. */
static int attach(struct consume *s, const struct consume_request *r, struct wish *w, uint8_t *left,
                  struct refusal *why)
{
    struct options options;
    struct consumer *k = NULL;
    int err = options_read(r->meta->headers, OPTION_FACTS | OPTION_OTHERS, left, &options, why);

    if (err < 0)
        return err;
    s->base.facts = options.facts;
    w->o.headers = options.headers;
    err = core_attach(s->base.peer->link->endpoint, &w->o, s, &k, why);
    if (err == -ENOMEM)
        refuse_memory(why);
    if (err == 0 && !s->base.gone)
        s->k = k;
    return err;
}

void consume_open(struct peer *c, const struct consume_request *r)
{
    struct refusal why = {REASON_NONE, ""};
    struct consume *s;
    struct wish w;
    uint8_t *left;
    int err;

    err = wish_of(r, &w, &why);
    if (err < 0) {
        peer_refuse(c, r->id, &why, false);
        return;
    }
    s = consume_new(c, r, &w);
    if (!s)
        return;
    left = malloc(r->meta->headers.n + 1);
    if (left) {
        err = attach(s, r, &w, left, &why);
    } else {
        refuse_memory(&why);
        err = -ENOMEM;
    }
    free(left);
    if (err < 0) {
        stream_fail(&s->base, &why, false);
        return;
    }
    if (!s->base.channel || s->base.gone)
        return;
    send_request_n(c, r->id, RS_N_MAX); /* verbs have no limit */
    consume_payload(s, &(struct rs_frame){.flags = (r->frame->flags & RS_COMPLETE) | RS_NEXT,
                                          .data = r->frame->data});
}

static void consume_fail(struct consume *s, const struct refusal *why)
{
    consume_detach(s);
    stream_fail(&s->base, why, false);
}

/* Why the core did not carry out a verb. */
static void refuse_verb(struct refusal *why, const struct consumer_verb *v, int error)
{
    if (error == -ENOMEM)
        refuse_memory(why);
    else
        refuse(why, REASON_INVALID, "deliveries %" PRIu64 " to %" PRIu64 " have not all been made",
               v->first, v->first + v->count - 1);
}

/* Carry out the verbs of one payload. False if the stream is over. */
static bool settle(struct consume *s, struct slice data)
{
    struct consumer_verb v;
    const char *text = "";
    struct refusal why;
    int r;

    while (data.n > 0 && !s->base.gone) {
        if (consumer_verb_next(&data, &v, &text) < 0) {
            refuse(&why, REASON_INVALID, "%s", text);
            consume_fail(s, &why);
            break;
        }
        r = core_ack(s->k, v.first, v.count, (enum ack_verb)v.kind, v.argument);
        if (r < 0) {
            refuse_verb(&why, &v, r);
            consume_fail(s, &why);
        }
    }
    return !s->base.gone;
}

void consume_payload(struct consume *s, const struct rs_frame *f)
{
    if ((f->flags & RS_NEXT) && !settle(s, f->data))
        return;
    if (f->flags & RS_COMPLETE) { /* what is unacknowledged returns to the queue */
        consume_detach(s);
        send_complete(s->base.peer, s->base.id);
        stream_end(&s->base);
    }
}

void consume_credit(struct consume *s, uint32_t n)
{
    core_grant(s->k, n);
}

void consume_detach(struct consume *s)
{
    core_detach(s->k);
    s->k = NULL;
}

/* --------------------------------------------------------------------------------- callbacks */

void consume_ready(void *ctx)
{
    (void)ctx; /* RSocket has no word for it; admin/ping is answered after it */
}

void consume_closed(void *ctx, const struct refusal *why, uint64_t lost)
{
    struct consume *s = ctx;
    struct refusal more;

    s->k = NULL;
    if (s->base.gone)
        return;
    if (why->reason == REASON_NONE) {
        send_complete(s->base.peer, s->base.id);
        stream_end(&s->base);
        return;
    }
    more = *why;
    if (lost > 0) {
        size_t n = strlen(more.text);

        (void)snprintf(more.text + n, sizeof more.text - n, "; %" PRIu64 " messages were lost",
                       lost);
    }
    stream_fail(&s->base, &more, false);
}
