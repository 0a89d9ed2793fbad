#include "brokerd/doors/rsocket/peer.h"

#include "brokerd/doors/rsocket/calls.h"
#include "brokerd/doors/rsocket/consume.h"
#include "brokerd/doors/rsocket/lease.h"
#include "brokerd/doors/rsocket/publish.h"
#include "brokerd/doors/rsocket/request.h"
#include "brokerd/doors/rsocket/rsocket.h"
#include "brokerd/doors/rsocket/send.h"
#include "brokerd/doors/rsocket/serve.h"
#include "brokerd/doors/rsocket/session.h"
#include "brokerd/doors/rsocket/setup.h"
#include "brokerd/doors/rsocket/units.h"
#include "libbroker/wire/rsocket.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* net knows a connection by the name that all doors share. */
static struct peer *peer_of(struct door_conn *d)
{
    return (struct peer *)(void *)d;
}

void peer_close(struct peer *c, const char *why, enum link_end end)
{
    if (c->over)
        return;
    c->over = true;
    link_close(c->link, why, end);
}

static void fail_as(struct peer *c, uint32_t code, const char *text, enum link_end end)
{
    if (c->over)
        return;
    send_error(c, 0, code, slice_str(text));
    peer_close(c, text, end);
}

void peer_fail(struct peer *c, uint32_t code, const char *text)
{
    fail_as(c, code, text, LINK_WRONG);
}

/* ------------------------------------------------------------------------ frames of a stream */

/* Close what the stream holds in the core; end it without a word. */
static void stream_close(struct stream *s)
{
    switch ((enum stream_kind)s->kind) {
    case STREAM_CONSUME:
        consume_detach((struct consume *)s);
        break;
    case STREAM_CALL:
        calls_close((struct call_stream *)s);
        break;
    case STREAM_SERVE: /* it serves on: only the answer is not wanted */
    case STREAM_ONCE:
    case STREAM_PUBLISH: /* its publisher, in peer_sweep(): it does no harm until then */
    case STREAM_JOINING:
    case STREAM_PING:
        break;
    }
    stream_end(s);
}

static void close_and_fail(struct stream *s, const struct refusal *why)
{
    if (s->kind == STREAM_CALL) {
        calls_violated((struct call_stream *)s, why);
        return;
    }
    if (!s->quiet)
        peer_refuse(s->peer, s->id, why, false);
    stream_close(s);
}

/* The first fragment of a request. */
static void on_request_part(struct peer *c, const struct rs_frame *f)
{
    bool quiet = f->type == RS_REQUEST_FNF;
    struct rs_frame whole;
    struct refusal why;
    struct stream *s;
    void *made;

    if (stream_try(c, f->stream, STREAM_JOINING, sizeof *s, &made, &why) < 0) {
        if (!quiet)
            peer_refuse(c, f->stream, &why, false);
        return;
    }
    s = made;
    s->quiet = quiet;
    if (stream_join(s, f, &whole, &why) < 0)
        stream_fail(s, &why, false);
}

/* A request on stream 0 or on one of ours: "ignore, or ERROR[CONNECTION_ERROR] if it repeats". */
static void on_stray(struct peer *c)
{
    if (c->strayed)
        peer_fail(c, RS_CONNECTION_ERROR, "the requests of a client have odd stream ids");
    c->strayed = true;
}

/* "A request beyond the lease: ERROR[REJECTED] on that stream (for fire and forget: drop)." */
static void on_unleased(struct peer *c, const struct rs_frame *f)
{
    struct refusal why;

    refuse(&why, REASON_LIMIT, "the request is beyond the lease");
    if (f->type != RS_REQUEST_FNF)
        peer_refuse(c, f->stream, &why, false);
    else
        peer_drop(c, &why);
}

static void on_request(struct peer *c, const struct rs_frame *f, struct block *block)
{
    if (!(f->stream & 1)) {
        on_stray(c);
        return;
    }
    if (c->streams.n > 0 && streams_find(&c->streams, f->stream))
        return; /* "request id in use: ignore" */
    if (c->leased && !lease_take(c)) {
        on_unleased(c, f);
        return;
    }
    if (rs_is_followed(f))
        on_request_part(c, f);
    else
        request_begin(c, f, block);
}

static bool takes_payloads(const struct stream *s)
{
    if (s->kind == STREAM_CALL)
        return calls_take_payloads((const struct call_stream *)s);
    return s->kind == STREAM_PUBLISH || s->kind == STREAM_JOINING ||
           (s->kind == STREAM_CONSUME && s->channel);
}

/* A payload or request whose fragments are all here. */
static void on_whole(struct stream *s, const struct rs_frame *f, struct block *block)
{
    struct refusal why;

    if (s->kind == STREAM_JOINING) {
        stream_end(s); /* its fragments stay until the sweep; the id is the request's now */
        request_begin(s->peer, f, block);
    } else if (!(f->flags & (RS_NEXT | RS_COMPLETE))) {
        refuse(&why, REASON_INVALID, "a payload with neither NEXT nor COMPLETE");
        close_and_fail(s, &why);
    } else if (s->kind == STREAM_PUBLISH) {
        publish_payload((struct publish *)s, f, block);
    } else if (s->kind == STREAM_CALL) {
        calls_payload((struct call_stream *)s, f, block);
    } else {
        consume_payload((struct consume *)s, f);
    }
}

static void on_payload(struct peer *c, const struct rs_frame *f, struct block *block)
{
    struct stream *s = streams_find(&c->streams, f->stream);
    struct rs_frame whole;
    struct refusal why;
    int r;

    if (!s || !takes_payloads(s))
        return;
    if (!s->join && !rs_is_followed(f)) {
        on_whole(s, f, block);
        return;
    }
    stream_cool(s); /* what looks like a plain payload may be a last fragment */
    r = stream_join(s, f, &whole, &why);
    if (r > 0) {
        on_whole(s, &whole, s->join->block);
        stream_join_end(s);
    } else if (r < 0) {
        close_and_fail(s, &why);
    }
}

static void on_request_n(struct peer *c, const struct rs_frame *f)
{
    struct stream *s = streams_find(&c->streams, f->stream);
    struct refusal why;

    if (!s)
        return;
    if (f->number == 0) {
        refuse(&why, REASON_INVALID, "request n is 0");
        close_and_fail(s, &why);
    } else if (s->kind == STREAM_CONSUME) {
        consume_credit((struct consume *)s, f->number);
    } else if (s->kind == STREAM_PUBLISH) {
        publish_credit((struct publish *)s, f->number);
    } else if (s->kind == STREAM_CALL) {
        calls_credit((struct call_stream *)s, f->number);
    }
}

/* CANCEL or ERROR. */
static void on_stop(struct stream *s, const struct rs_frame *f)
{
    stream_join_end(s); /* "in mid-sequence discards what was gathered" */
    if (s->kind != STREAM_CALL)
        stream_close(s);
    else if (f->type == RS_CANCEL)
        calls_cancel((struct call_stream *)s);
    else
        calls_error((struct call_stream *)s, f->number, f->data);
}

static void on_stream_frame(struct peer *c, const struct rs_frame *f, struct block *block)
{
    struct stream *s;

    switch (f->type) {
    case RS_REQUEST_RESPONSE:
    case RS_REQUEST_FNF:
    case RS_REQUEST_STREAM:
    case RS_REQUEST_CHANNEL:
        on_request(c, f, block);
        break;
    case RS_PAYLOAD:
        on_payload(c, f, block);
        break;
    case RS_REQUEST_N:
        on_request_n(c, f);
        break;
    case RS_CANCEL:
    case RS_ERROR:
        s = streams_find(&c->streams, f->stream);
        if (s)
            on_stop(s, f);
        break;
    default: /* "connection-level frames on stream > 0: ignore" */
        break;
    }
}

/* -------------------------------------------------------------------- frames of the connection */

static void on_peer_error(struct peer *c, const struct rs_frame *f)
{
    char text[128], why[192];

    switch (f->number) {
    case RS_CONNECTION_CLOSE: /* what runs may end, then we close */
        c->draining = c->leaving = true;
        serve_drain(c);
        break;
    case RS_CONNECTION_ERROR:
        (void)snprintf(why, sizeof why, "the peer ended it: %s", shown(f->data, text, sizeof text));
        peer_close(c, why, LINK_ASKED);
        break;
    default: /* setup codes, and those of streams, mean nothing here */
        break;
    }
}

static void on_keepalive(struct peer *c, const struct rs_frame *f)
{
    if (c->resumable && !session_acknowledged(c, f->position))
        peer_fail(c, RS_CONNECTION_ERROR, "a position that is not the end of a frame sent");
    else if (f->flags & RS_RESPOND)
        send_keepalive(c, 0, f->data);
}

static void on_connection_frame(struct peer *c, const struct rs_frame *f)
{
    switch (f->type) {
    case RS_KEEPALIVE:
        on_keepalive(c, f);
        break;
    case RS_LEASE:
        lease_received(c, f);
        break;
    case RS_ERROR:
        on_peer_error(c, f);
        break;
    case RS_RESUME:
        peer_fail(c, RS_CONNECTION_ERROR, "RESUME after SETUP");
        break;
    case RS_REQUEST_RESPONSE:
    case RS_REQUEST_FNF:
    case RS_REQUEST_STREAM:
    case RS_REQUEST_CHANNEL:
        on_stray(c);
        break;
    default: /* a second SETUP, METADATA_PUSH, RESUME_OK */
        break;
    }
}

static bool is_known(uint8_t type)
{
    return type >= RS_SETUP && type <= RS_RESUME_OK; /* of EXT we know no extended type */
}

static void on_frame(struct peer *c, const struct rs_frame *f, struct block *block)
{
    if (!c->established) {
        setup_first(c, f);
    } else if (!is_known(f->type)) {
        if (!(f->flags & RS_IGNORE))
            peer_fail(c, RS_CONNECTION_ERROR, "a frame of an unknown type");
    } else if (f->stream == 0) {
        on_connection_frame(c, f);
    } else {
        on_stream_frame(c, f, block);
    }
}

/* ------------------------------------------------------------------------------------ bytes in */

static uint32_t frame_max(const struct peer *c)
{
    return c->established ? send_frame_max(c) : c->link->host->limits.first_frame_max;
}

/* The frame is no good: the peer's last, unless it may be skipped. */
static void on_bad(struct peer *c, const struct rs_frame *f, size_t used, const char *text)
{
    if (!c->established)
        peer_fail(c, RS_INVALID_SETUP, text);
    else if (used == 0 || !(f->flags & RS_IGNORE))
        peer_fail(c, RS_CONNECTION_ERROR, text);
}

/* Bytes of the frame that begins at `in` and is not all there; 0 if its length is not. */
static size_t frame_need(struct slice in)
{
    return in.n >= RS_TCP_LENGTH ? RS_TCP_LENGTH + be_get_24(in.p) : 0;
}

/* Act on the frame at the front of `in`. Returns the bytes used, 0 if it is not all there. */
static size_t take_frame(struct peer *c, struct slice in, struct block *block)
{
    const char *text = "";
    struct rs_frame f;
    size_t used = 0;

    switch (rs_decode(frame_max(c), in.p, in.n, &f, &used, &text)) {
    case WIRE_FRAME:
        on_frame(c, &f, block);
        return used;
    case WIRE_BAD:
        on_bad(c, &f, used, text);
        return used;
    case WIRE_MORE:
        break;
    }
    c->link->need = frame_need(in);
    return 0;
}

/* Leave: what has ended is released, and so is a connection that is over. */
static void leave(struct peer *c)
{
    peer_sweep(c);
    if (c->draining && c->streams.n == 0)
        peer_close(c, "all its streams have ended", c->leaving ? LINK_ASKED : LINK_DRAINED);
    if (c->over)
        peer_release(c);
}

/* Act on the frames in `bytes`. Returns how many were used; short of all, the rest is either no
 * whole frame, or another peer's: this one carries a session since its SETUP. Inlined, for who
 * cannot resume: the rest of its turn costs a lone message a hundredth. */
static inline __attribute__((always_inline)) size_t take_frames(struct peer *c, struct slice bytes,
                                                                struct block *block, bool resumable)
{
    struct slice rest = bytes;

    c->heard_ms = core_now(c->link->host->core);
    c->link->need = 0;
    while (rest.n > 0 && !(c->over || c->carries)) {
        size_t used;

        if (c->ended)
            peer_sweep(c);
        used = publish_scan(c, rest, block);

        if (used == 0)
            used = take_frame(c, rest, block);
        if (used == 0)
            break;
        if (resumable)
            session_received(c, slice_of(rest.p, used));
        rest = slice_from(rest, used);
    }
    if (resumable)
        session_check(c);
    leave(c);
    if (c->leased && !c->over)
        (void)lease_look(c);
    /* After the end nothing is looked at any more: it counts as used. */
    return c->over ? bytes.n : bytes.n - rest.n;
}

/* The same where `c` carries a session, whose peer acts on them. */
static size_t carry_frames(struct peer *c, struct slice bytes, struct block *block)
{
    struct peer *own = session_peer(c);
    size_t used = take_frames(own, bytes, block, true);

    c->link->need = own->link->need;
    return c->over ? bytes.n : used;
}

static size_t on_bytes(struct door_conn *d, struct slice bytes, struct block *block)
{
    struct peer *c = peer_of(d);
    size_t used;

    if (c->carries)
        return carry_frames(c, bytes, block);
    used = take_frames(c, bytes, block, false);
    if (c->carries && !c->over)
        used += carry_frames(c, slice_from(bytes, used), block);
    return used;
}

/* ------------------------------------------------------------------------- the rest of a door */

static const struct rare rare_none;

struct rare *peer_rare(struct peer *c)
{
    struct rare *r;

    if (c->rare != &rare_none)
        return c->rare;
    r = calloc(1, sizeof *r);
    if (r)
        c->rare = r;
    return r;
}

void peer_init(struct peer *c, struct link *l)
{
    c->link = l;
    c->rare = (struct rare *)(uintptr_t)&rare_none;
    c->type_id = CTYPE_NONE;
}

void peer_fini(struct peer *c)
{
    peer_release(c);
    lease_end(c);
    free(c->rare->type_name);
    if (c->rare != &rare_none)
        free(c->rare);
}

static struct door_conn *peer_open(struct link *l)
{
    struct peer *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    peer_init(c, l);
    return (struct door_conn *)(void *)c;
}

/* It has been silent for its lifetime. */
static void on_silence(struct peer *c)
{
    char text[64];

    (void)snprintf(text, sizeof text, "No keep-alive acks for %" PRIu32 " ms", c->lifetime_ms);
    if (c->resumable)
        session_silent(c, text);
    else
        fail_as(c, RS_CONNECTION_ERROR, text, LINK_SILENT);
}

static int64_t on_time(struct door_conn *d, int64_t now_ms)
{
    struct peer *carrier = peer_of(d), *c = carrier->carries ? session_peer(carrier) : carrier;
    int64_t due, look;

    if (!c->established || c->over)
        return INT64_MAX; /* net waits for the first frame, and for the end */
    if (now_ms - c->heard_ms >= c->lifetime_ms)
        on_silence(c);
    leave(c);
    if (carrier->over || c->over)
        return INT64_MAX;
    due = c->heard_ms + c->lifetime_ms;
    look = c->leased ? lease_look(c) : INT64_MAX;
    return look < due ? look : due;
}

static void on_drain(struct door_conn *d)
{
    struct peer *c = peer_of(d);
    struct stream_table *t;
    uint32_t at = 0, n;
    struct stream *s;

    if (c->carries)
        c = session_peer(c);
    t = &c->streams;
    n = t->n;
    if (c->over)
        return;
    if (!c->established) {
        fail_as(c, RS_REJECTED_SETUP, "draining: the broker is about to stop", LINK_DRAINED);
        return;
    }
    c->draining = true;
    serve_drain(c);
    if (c->leased)
        (void)lease_look(c); /* none any more */
    send_error(c, 0, RS_CONNECTION_CLOSE, SLICE("draining: the broker is about to stop"));
    /* A channel that ends on the spot leaves the table, which may shrink or move: look again
     * from the start then. Those told once are passed over. */
    while ((s = streams_next(t, &at)) != NULL) {
        if (s->kind == STREAM_PUBLISH)
            publish_drain((struct publish *)s);
        if (t->n != n) {
            n = t->n;
            at = 0;
        }
    }
    leave(c);
}

static bool is_established(const struct door_conn *d)
{
    return ((const struct peer *)(const void *)d)->established;
}

static void peer_free(struct door_conn *d)
{
    struct peer *c = peer_of(d);

    if (!c)
        return;
    if (c->carries)
        session_lost(c);
    peer_fini(c);
    free(c);
}

static bool may_move(const struct door_conn *d)
{
    const struct peer *c = (const struct peer *)(const void *)d;
    const struct stream *s;
    uint32_t at = 0;

    if (!c->established || c->carries || c->over || c->draining || c->ended || c->rare->joining ||
        c->rare->servings)
        return false;
    while ((s = streams_next(&c->streams, &at)) != NULL) {
        if (s->kind != STREAM_PUBLISH || s->join)
            return false;
    }
    return true;
}

const struct door_ops rsocket_door = {
    .name = "rsocket",
    .recognise = setup_recognise,
    .open = peer_open,
    .on_bytes = on_bytes,
    .on_time = on_time,
    .on_drain = on_drain,
    .established = is_established,
    .free = peer_free,
    .may_move = may_move,
    .home = session_home,
    .units = &rsocket_units,
    .turn_away = units_turn_away,
};
