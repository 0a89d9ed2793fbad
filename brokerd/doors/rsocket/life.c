/* A stream's beginning, its fragments and its end. */
#include "brokerd/doors/rsocket/calls.h"
#include "brokerd/doors/rsocket/consume.h"
#include "brokerd/doors/rsocket/publish.h"
#include "brokerd/doors/rsocket/send.h"
#include "brokerd/doors/rsocket/serve.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

int stream_try(struct peer *c, uint32_t id, enum stream_kind kind, size_t size, void **ret_s,
               struct refusal *ret_why)
{
    struct stream *s;

    if (c->streams.n >= c->link->host->limits.streams_max) {
        refuse(ret_why, REASON_LIMIT, "a connection has at most %" PRIu32 " streams",
               c->link->host->limits.streams_max);
        return -EMFILE;
    }
    s = calloc(1, size);
    if (!s)
        goto no_memory;
    s->peer = c;
    s->id = id;
    s->kind = (uint8_t)kind;
    if (streams_add(&c->streams, s) < 0)
        goto no_memory;
    *ret_s = s;
    return 0;

no_memory:
    free(s);
    refuse_memory(ret_why);
    return -ENOMEM;
}

void *stream_new(struct peer *c, uint32_t id, enum stream_kind kind, size_t size)
{
    struct refusal why;
    void *s = NULL;

    if (stream_try(c, id, kind, size, &s, &why) < 0)
        peer_refuse(c, id, &why, false);
    return s;
}

/* Out of the connection's sight, not yet out of memory. */
static void bury(struct stream *s)
{
    stream_cool(s);
    s->gone = true;
    s->next = s->peer->ended;
    s->peer->ended = s;
}

void stream_end(struct stream *s)
{
    if (s->gone)
        return;
    streams_remove(&s->peer->streams, s);
    bury(s);
}

void stream_fail(struct stream *s, const struct refusal *why, bool partly)
{
    if (s->gone)
        return;
    if (!s->quiet)
        peer_refuse(s->peer, s->id, why, partly);
    stream_end(s);
}

void stream_drop(struct stream *s)
{
    streams_remove(&s->peer->streams, s);
    free(s);
}

/* --------------------------------------------------------------------------------- fragments */

void peer_joining(struct peer *c, int64_t delta)
{
    if (delta == 0)
        return;
    c->rare->joining += (uint64_t)delta;
    core_charge(c->link->host->core, delta);
}

void stream_join_end(struct stream *s)
{
    if (!s->join)
        return;
    peer_joining(s->peer, -(int64_t)reassembly_bytes(s->join));
    reassembly_fini(s->join);
    free(s->join);
    s->join = NULL;
}

/* What reassembly_add() did not like, for the peer. */
static void explain_join(int err, bool by_message, const struct door_limits *l, struct refusal *why)
{
    switch (err) {
    case -EPROTO:
        refuse(why, REASON_INVALID, "a fragment with metadata after one with data");
        break;
    case -EMSGSIZE:
        if (by_message)
            refuse(why, REASON_TOO_LARGE, "a message may have %" PRIu64 " bytes", l->message_max);
        else
            refuse(why, REASON_LIMIT, "unfinished messages may have %" PRIu64 " bytes",
                   l->reassembly_max);
        break;
    default:
        refuse_memory(why);
        break;
    }
}

/* Bytes that a message of this stream may grow to: what all messages may, and what the others
 * of this connection leave. */
static uint64_t join_max(const struct stream *s, bool *ret_by_message)
{
    const struct door_limits *l = &s->peer->link->host->limits;
    uint64_t others = s->peer->rare->joining - reassembly_bytes(s->join);
    uint64_t room = l->reassembly_max > others ? l->reassembly_max - others : 0;
    uint64_t message =
        l->message_max < UINT32_MAX - META_MAX ? l->message_max + META_MAX : UINT32_MAX;

    *ret_by_message = message <= room;
    return message <= room ? message : room;
}

int stream_join(struct stream *s, const struct rs_frame *f, struct rs_frame *ret_whole,
                struct refusal *ret_why)
{
    struct peer *c = s->peer;
    bool by_message = false;
    size_t before;
    uint64_t max;
    int r;

    if (!s->join) {
        s->join = peer_rare(c) ? malloc(sizeof *s->join) : NULL;
        if (!s->join) {
            refuse_memory(ret_why);
            return -ENOMEM;
        }
        reassembly_init(s->join);
    }
    before = reassembly_bytes(s->join);
    max = join_max(s, &by_message);
    r = core_short_of_memory(c->link->host->core) ? -ENOMEM
                                                  : reassembly_add(s->join, f, max, ret_whole);
    peer_joining(c, (int64_t)reassembly_bytes(s->join) - (int64_t)before);
    if (r >= 0 || r == -EINVAL)
        return r > 0;
    explain_join(r, by_message, &c->link->host->limits, ret_why);
    stream_join_end(s);
    return r;
}

/* --------------------------------------------------------------------------------- the end */

static void stream_free(struct stream *s)
{
    switch ((enum stream_kind)s->kind) {
    case STREAM_ONCE:
        core_publisher_close(((struct once *)s)->p);
        break;
    case STREAM_PUBLISH:
        core_publisher_close(((struct publish *)s)->p);
        confirms_fini(&((struct publish *)s)->confirms);
        free(((struct publish *)s)->memo);
        break;
    case STREAM_CONSUME:
        core_detach(((struct consume *)s)->k);
        break;
    case STREAM_CALL:
        core_call_close(((struct call_stream *)s)->call);
        if (((struct call_stream *)s)->serving)
            s->peer->rare->servings->calls--;
        break;
    case STREAM_JOINING:
    case STREAM_SERVE:
    case STREAM_PING:
        break;
    }
    stream_join_end(s);
    free(s);
}

void peer_sweep(struct peer *c)
{
    struct stream *s;

    while ((s = c->ended) != NULL) { /* the core may end others meanwhile */
        c->ended = s->next;
        stream_free(s);
    }
}

void peer_release(struct peer *c)
{
    struct stream *s;
    uint32_t at = 0;

    while ((s = streams_next(&c->streams, &at)) != NULL)
        bury(s);
    streams_fini(&c->streams);
    peer_sweep(c);
    publish_forget_end(c);
    serve_end(c);
    core_endpoint_close(c->link->endpoint);
    c->link->endpoint = NULL;
}
