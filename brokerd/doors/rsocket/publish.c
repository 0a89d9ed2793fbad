#include "brokerd/doors/rsocket/publish.h"

#include "brokerd/doors/rsocket/send.h"
#include "libbroker/wire/rsocket.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* What core_publish() and core_publisher_open() answered, for the peer. */
static void explain(int r, struct refusal *why)
{
    switch (r) {
    case -ENOBUFS:
        refuse(why, REASON_INVALID, "a payload beyond the credit granted");
        break;
    case -ENOMEM:
        refuse_memory(why);
        break;
    case -EPIPE:
        refuse(why, REASON_DRAINING, "the broker is about to stop");
        break;
    default:
        break; /* the core has said why */
    }
}

static int publish_run(struct publisher *p, const struct target *to, const struct msg_view *v,
                       struct ctype type, struct refusal *why)
{
    struct run run = {.v = v, .n = 1, .bytes = v->len, .type = type};
    int r = core_publish(p, to, &run, why);

    if (r < 0)
        explain(r, why);
    return r;
}

static struct msg_view view_of(struct slice data, struct block *block, const struct memo *m)
{
    return (struct msg_view){
        .data = data.n ? data.p : (const uint8_t *)"", /* who copies none may not copy from NULL */
        .len = (uint32_t)data.n,
        .meta = m && m->has_meta ? &m->meta : NULL,
        .block = block,
    };
}

/* --------------------------------------------------------------------------- fire and forget */

static int forget_new(struct peer *c)
{
    struct rare *r = peer_rare(c);

    return r ? core_publisher_open(c->link->endpoint, PUBLISH_FORGET, NULL, &r->forget.p) : -ENOMEM;
}

void publish_forget_end(struct peer *c)
{
    struct forget *f = &c->rare->forget;

    if (!f->p)
        return;
    core_publisher_close(f->p);
    free(f->memo);
    *f = (struct forget){NULL, NULL};
}

void publish_forget(struct peer *c, const struct publish_request *r)
{
    const struct target to = {r->is_queue, r->target};
    struct refusal why = {REASON_NONE, ""};
    struct msg_view v;
    int err = 0;

    if (!c->rare->forget.p)
        err = forget_new(c);
    if (err == 0)
        err = memo_read(&c->rare->forget.memo, c, r->frame->metadata, OPTIONS_MESSAGE, &why);
    if (err == 0) {
        v = view_of(r->frame->data, r->block, c->rare->forget.memo);
        err = publish_run(c->rare->forget.p, &to, &v, c->rare->forget.memo->type, &why);
    }
    if (err < 0) { /* the next one must name its target anew */
        if (c->rare->forget.memo)
            c->rare->forget.memo->valid = false;
        peer_drop(c, &why);
    }
}

void publish_forget_run(struct peer *c, const struct run *run)
{
    struct refusal why = {REASON_NONE, ""};

    if (core_publish(c->rare->forget.p, NULL, run, &why) < 0)
        c->rare->forget.memo->valid = false; /* the next one says why, if it finds the same */
}

/* -------------------------------------------------------------------------- request-response */

void publish_once(struct peer *c, const struct publish_request *r)
{
    const struct target to = {r->is_queue, r->target};
    struct once *s = stream_new(c, r->id, STREAM_ONCE, sizeof *s);
    struct refusal why = {REASON_NONE, ""};
    struct memo *m = NULL;
    struct msg_view v;
    int err;

    if (!s)
        return;
    err = core_publisher_open(s->base.peer->link->endpoint, PUBLISH_ONCE, s, &s->p);
    if (err < 0)
        explain(err, &why);
    else
        err = memo_read(&m, c, r->frame->metadata, OPTIONS_MESSAGE, &why);
    if (err == 0) {
        s->require = m->meta.require;
        v = view_of(r->frame->data, r->block, m);
        err = publish_run(s->p, &to, &v, m->type, &why);
    }
    free(m);
    if (err < 0)
        stream_fail(&s->base, &why, false);
}

static void once_settled(struct once *s, const struct outcome *o)
{
    struct publish_answer answer = {o->matched, o->accepted};
    uint8_t data[PUBLISH_ANSWER_SIZE];
    struct refusal why;

    s->p = NULL; /* gone with this call */
    if (s->base.gone)
        return;
    if (reason_is_refusal(o->reason) && (s->require || o->reason != REASON_NO_MATCH)) {
        refuse_outcome(&why, o);
        peer_refuse(s->base.peer, s->base.id, &why, o->accepted > 0);
    } else {
        (void)publish_answer_put(data, answer);
        send_payload(
            s->base.peer, s->base.id,
            &(struct payload){.flags = RS_NEXT | RS_COMPLETE, .data = slice_of(data, sizeof data)});
        send_end(s->base.peer);
    }
    stream_end(&s->base);
}

/* ----------------------------------------------------------------------------------- channel */

static void channel_fail(struct publish *s, int err, struct refusal *why)
{
    explain(err, why);
    stream_fail(&s->base, why, false);
}

/* Publish a run; `to` is looked at if the target is due. -errno: the stream is over. */
static int channel_run(struct publish *s, struct slice target, const struct run *run)
{
    const struct target to = {s->is_queue, target};
    struct refusal why = {REASON_NONE, ""};
    int r = core_publish(s->p, s->target_due ? &to : NULL, run, &why);

    if (r < 0) {
        channel_fail(s, r, &why);
        return r;
    }
    s->target_due = false;
    s->sent += run->n;
    return 0;
}

/* A message of a channel to one name may repeat it, with the channel's route or without. */
static bool same_target(struct slice route, struct slice target)
{
    if (route.n > target.n + 1 && route.p[route.n - target.n - 1] == '/')
        route = slice_from(route, route.n - target.n);
    return slice_eq(route, target);
}

/* Understand the metadata of a message that differ from those before. */
static int channel_memo(struct publish *s, struct slice metadata, unsigned allowed)
{
    struct slice target = slice_of(s->target, s->target_n);
    struct refusal why = {REASON_NONE, ""};
    int r = memo_read(&s->memo, s->base.peer, metadata, allowed, &why);

    if (r == 0 && s->memo->has_route && s->target_n == 0) {
        s->target_due = true;
    } else if (r == 0 && s->memo->has_route && !same_target(s->memo->route, target)) {
        refuse(&why, REASON_INVALID, "this channel is for one name; one without can have many");
        r = -EINVAL;
    }
    if (r < 0)
        stream_fail(&s->base, &why, false);
    return r;
}

/* Where the next message goes if the target is due. */
static struct slice channel_target(const struct publish *s)
{
    if (s->target_n > 0 || !s->memo)
        return slice_of(s->target, s->target_n);
    return s->memo->route;
}

void publish_channel_run(struct publish *s, const struct run *run)
{
    (void)channel_run(s, channel_target(s), run);
}

void publish_channel_to(struct publish *s, struct slice topic, const struct run *run)
{
    if (s->memo)
        s->memo->valid = false; /* what it knows is not the last target any more */
    s->target_due = true;
    (void)channel_run(s, topic, run);
}

static void channel_message(struct publish *s, const struct rs_frame *f, struct block *block)
{
    struct memo *m = f->has_metadata ? s->memo : NULL;
    struct msg_view v = view_of(f->data, block, m);
    struct run run = {.v = &v, .n = 1, .bytes = v.len};

    run.type = m ? m->type : peer_type(s->base.peer);
    publish_channel_run(s, &run);
}

static struct publish *channel_new(struct peer *c, const struct publish_request *r)
{
    struct publish *s = stream_new(c, r->id, STREAM_PUBLISH, sizeof *s + r->target.n);

    if (!s)
        return NULL;
    s->is_queue = r->is_queue;
    s->target_n = (uint8_t)r->target.n;
    if (r->target.n)
        memcpy(s->target, r->target.p, r->target.n);
    s->target_due = r->target.n > 0;
    confirms_grant(&s->confirms, r->frame->number);
    return s;
}

/* Messages whose loss the peer has not been told. */
static uint64_t untold(const struct confirms *cs)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < cs->n; i++)
        n += cs->entries[i].count;
    return n;
}

/* COMPLETE up, and everything settled: the last words. */
static void channel_finish(struct publish *s)
{
    struct peer *c = s->base.peer;
    struct refusal why;

    if (!s->up_done || s->base.gone || s->confirms.settled < s->sent)
        return;
    if (s->confirms.n > 0) {
        refuse(&why, (enum reason)s->confirms.entries[0].reason,
               "%" PRIu64 " messages were not accepted by every queue; no credit to tell which",
               untold(&s->confirms));
        peer_refuse(c, s->base.id, &why, true);
    } else {
        send_complete(c, s->base.id);
    }
    stream_end(&s->base);
}

void publish_channel(struct peer *c, const struct publish_request *r)
{
    const unsigned allowed = r->target.n ? OPTIONS_MESSAGE | OPTION_CONFIRM : OPTION_CONFIRM;
    struct refusal why = {REASON_NONE, ""};
    struct publish *s = channel_new(c, r);
    int err;

    if (!s || channel_memo(s, r->frame->metadata, allowed) < 0)
        return;
    s->confirms.loss_only = s->memo->options.confirm_loss;
    s->up_done = r->frame->flags & RS_COMPLETE;
    err = core_publisher_open(c->link->endpoint, PUBLISH_WINDOW, s, &s->p);
    if (err < 0) {
        channel_fail(s, err, &why);
        return;
    }
    if (r->target.n)
        channel_message(s, r->frame, r->block);
    if (s->base.gone)
        return;
    /* Its route names the channel, not a message: the next metadata are read anew. */
    s->memo->valid = false;
    s->target_due = false;
    if (s->up_done) {
        core_publisher_last(s->p);
        channel_finish(s);
    } else {
        c->hot = &s->base;
    }
}

void publish_payload(struct publish *s, const struct rs_frame *f, struct block *block)
{
    if (s->up_done)
        return; /* sent before our CANCEL, or after its own COMPLETE */
    if (f->flags & RS_NEXT) {
        if (f->has_metadata && !memo_knows(s->memo, f->metadata) &&
            channel_memo(s, f->metadata, OPTIONS_MESSAGE) < 0)
            return;
        channel_message(s, f, block);
        if (s->base.gone)
            return;
    }
    if (f->flags & RS_COMPLETE) {
        s->up_done = true;
        core_publisher_last(s->p);
        stream_cool(&s->base);
        channel_finish(s);
    } else {
        s->base.peer->hot = &s->base;
    }
}

static void pass_on_credit(struct publish *s)
{
    uint32_t n = s->withheld < RS_N_MAX ? (uint32_t)s->withheld : RS_N_MAX;

    if (n == 0 || s->up_done || confirms_full(&s->confirms))
        return;
    s->withheld -= n;
    send_request_n(s->base.peer, s->base.id, n);
}

void publish_credit(struct publish *s, uint32_t n)
{
    confirms_grant(&s->confirms, n);
    confirms_send(&s->confirms, s->base.peer, s->base.id);
    pass_on_credit(s);
}

void publish_drain(struct publish *s)
{
    if (s->up_done)
        return;
    s->up_done = true;
    stream_cool(&s->base);
    send_cancel(s->base.peer, s->base.id);
    channel_finish(s);
}

/* --------------------------------------------------------------------------------- callbacks */

void publish_settled(void *ctx, uint64_t upto, const struct outcome *o, size_t n)
{
    struct stream *base = ctx;
    struct publish *s = ctx;

    if (base->kind == STREAM_ONCE) {
        once_settled(ctx, o);
        return;
    }
    if (base->gone)
        return;
    if (confirms_note(&s->confirms, upto, o, n) < 0) {
        base->peer->link->out.broken = true; /* outcomes would be missing: net closes it */
        return;
    }
    confirms_send(&s->confirms, base->peer, base->id);
    pass_on_credit(s);
    channel_finish(s);
}

void publish_granted(void *ctx, uint32_t n)
{
    struct publish *s = ctx;

    if (s->base.gone)
        return;
    s->withheld += n;
    pass_on_credit(s);
}
