#include "brokerd/doors/rsocket/session.h"

#include "brokerd/doors/rsocket/lease.h"
#include "brokerd/doors/rsocket/send.h"
#include "libbroker/base/hash.h"
#include "libbroker/base/log.h"
#include "libbroker/base/map.h"
#include "libbroker/wire/rsocket.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_BYTES = 80, KEY_BYTES = 16 };

/* The sessions of one worker. */
struct sessions {
    struct door_room room;
    struct map table;   /* by a keyed hash of the token, 16 bytes */
    struct list away;   /* without a connection, longest first */
    struct list ending; /* over, and without a connection: freed next */
    struct log_limit log;
    uint64_t seed;
};

struct session {
    struct peer peer; /* whose link is: */
    struct link link; /* its out is the replay buffer */
    struct link_host host;
    struct out_host outs;
    const struct door_site *site; /* of the listener its connection came by; NULL: none */
    struct sessions *all;
    struct peer *carrier;   /* its connection; NULL: it is away */
    struct list_node place; /* away, ending, or in no list */
    int64_t until_ms;       /* while away: then it has expired */
    uint64_t received;      /* position: the client's frames */
    uint64_t acked;         /* position: the first that is kept */
    uint64_t next;          /* of the output: handed to the present connection */
    uint64_t handed;        /* of the output: handed to any so far */
    uint64_t seen;          /* of the output: its end when it was last looked at */
    size_t charged;
    bool full;  /* the core was told so */
    bool asked; /* the client was, how far it is */
    char name[NAME_BYTES];
    uint8_t key[KEY_BYTES];
    size_t token_n;
    uint8_t token[];
};

static struct session *session_of(const struct peer *c)
{
    return (struct session *)((char *)(uintptr_t)c - offsetof(struct session, peer));
}

struct peer *session_peer(const struct peer *carrier)
{
    return &carrier->rare->session->peer;
}

static struct session *of_room(struct list_node *n)
{
    return LIST_ITEM(n, struct session, place);
}

static void session_count(const struct peer *c, enum door_count what)
{
    c->link->host->scratch->count[what]++;
}

static int64_t session_now(const struct session *s)
{
    return core_now(s->host.core);
}

/* ------------------------------------------------------------------------------ its connection */

static const struct door_site *site_of(const struct link *l)
{
    return ((const struct session *)(const void *)((const char *)l -
                                                   offsetof(struct session, link)))
        ->site;
}

/* What the listener allows: the next connection may come by another one. */
static void come_by(struct session *s, const struct link *l)
{
    s->site = l->host->site ? link_site(l) : NULL;
    s->host.site = s->site ? site_of : NULL;
    if (s->link.endpoint)
        core_endpoint_set_manages(s->link.endpoint, link_manages(l));
}

/* `carrier` has struct rare of its own. */
static void take_over(struct session *s, struct peer *carrier)
{
    s->carrier = carrier;
    carrier->rare->session = s;
    carrier->carries = true;
    carrier->link->apart = true;
    carrier->link->endpoint = s->link.endpoint;
    come_by(s, carrier->link);
    s->link.id = carrier->link->id;
    s->peer.heard_ms = session_now(s);
    s->asked = false;
    list_remove(&s->place);
    (void)snprintf(s->name, sizeof s->name, "%s", link_peer(carrier->link));
}

/* It has none any more; `carrier` is good for nothing but its end. */
static void detach(struct session *s)
{
    struct peer *carrier = s->carrier;

    carrier->over = true;
    carrier->carries = false;
    carrier->rare->session = NULL;
    carrier->link->endpoint = NULL;
    s->carrier = NULL;
}

static void look_at(struct sessions *all, int64_t when_ms)
{
    if (when_ms < all->room.due_ms)
        all->room.due_ms = when_ms;
}

/* Without a connection: until the next, or the end. */
static void go_away(struct session *s)
{
    list_remove(&s->place);
    if (s->peer.over || s->peer.draining) {
        s->peer.over = true;
        list_push_back(&s->all->ending, &s->place);
        look_at(s->all, session_now(s));
        return;
    }
    s->until_ms = session_now(s) + s->host.limits.session_ms;
    list_push_back(&s->all->away, &s->place);
    look_at(s->all, s->until_ms);
    log_debug("%s: its session waits for another connection, %zu bytes kept", s->name,
              s->link.out.pending);
}

/* As a link's host does: the session's peer wants to end. */
static void close_link(struct link *l, const char *why, enum link_end end)
{
    struct session *s = (struct session *)((char *)l - offsetof(struct session, link));
    struct peer *carrier = s->carrier;

    s->peer.over = true;
    if (!carrier) {
        go_away(s);
        return;
    }
    carrier->over = true;
    carrier->link->endpoint = NULL;
    link_close(carrier->link, why, end);
}

static const char *peer_name(const struct link *l)
{
    return ((const struct session *)(const void *)((const char *)l -
                                                   offsetof(struct session, link)))
        ->name;
}

/* The end, not of the client's making. */
static void give_up(struct session *s, enum door_count what, const char *why)
{
    uint64_t more;

    if (s->peer.over)
        return;
    session_count(&s->peer, what);
    if (log_limit_pass(&s->all->log, session_now(s), &more))
        log_event(LEVEL_WARNING, "session_dropped",
                  LOG_FACTS({"client", s->name, 0}, {"door", "rsocket", 0},
                            {"bytes", NULL, s->link.out.pending}, {"left_out", NULL, more}),
                  "session dropped: %s", why);
    peer_fail(&s->peer, RS_CONNECTION_ERROR, why);
}

/* -------------------------------------------------------------------------- the replay buffer */

static void charge(struct session *s)
{
    size_t bytes = sizeof *s + s->token_n + s->link.out.pending;

    core_charge(s->host.core, (int64_t)bytes - (int64_t)s->charged);
    s->charged = bytes;
}

/* Deliveries pause where half is used, and go on at a quarter; while nobody is there to take them,
 * also where memory is short. */
static void tell_room(struct session *s)
{
    uint64_t half = s->host.limits.session_bytes / 2;
    size_t kept = s->link.out.pending;
    bool full =
        kept >= (s->full ? half / 2 : half) || (!s->carrier && core_short_of_memory(s->host.core));

    if (full == s->full || !s->link.endpoint)
        return;
    s->full = full;
    core_writable(s->link.endpoint, !full);
}

/* Much is kept: how far is the client? One question at a time. */
static void ask(struct session *s)
{
    if (s->asked || !s->carrier || s->link.out.pending < s->host.limits.session_bytes / 8)
        return;
    s->asked = true;
    send_keepalive(&s->peer, RS_RESPOND, SLICE(""));
}

/* What is new goes to the connection too, and is the core's no more. */
static void hand_on(struct session *s)
{
    struct out *o = &s->link.out, *to = session_past(&s->peer);

    if (!to)
        return;
    out_append_from(to, o, s->next);
    s->next = o->end;
    if (s->handed < s->next)
        s->handed = s->next;
    out_end(to);
    if (s->link.endpoint)
        (void)core_written(s->link.endpoint, o->end);
}

/* Something was written. From within the core, perhaps. The newest may be too much: it has to be
 * delivered some time. What comes on top of that may not. */
static void on_output(struct out *o)
{
    struct session *s = (struct session *)((char *)o - offsetof(struct session, link.out));
    uint64_t before = o->pending - (o->end - s->seen);

    o->is_dirty = false;
    s->seen = o->end;
    if (s->peer.over)
        return;
    if (before >= s->host.limits.session_bytes) {
        give_up(s, DOOR_COUNT_SESSION_BYTES, "its client has acknowledged too little");
        return;
    }
    hand_on(s);
    tell_room(s);
    ask(s);
    charge(s);
}

/* Bytes of the first frame that is kept, without its length. */
static uint32_t first_frame(const struct out *o)
{
    uint8_t head[RS_TCP_LENGTH];
    struct iovec iov[RS_TCP_LENGTH];
    int n = out_peek(o, iov, RS_TCP_LENGTH);
    size_t got = 0;

    for (int i = 0; i < n && got < sizeof head; i++) {
        size_t some = iov[i].iov_len < sizeof head - got ? iov[i].iov_len : sizeof head - got;

        memcpy(head + got, iov[i].iov_base, some);
        got += some;
    }
    return be_get_24(head);
}

/* Drop what comes before `position`, which must be the end of a frame that was handed on. */
static bool drop_to(struct session *s, uint64_t position)
{
    struct out *o = &s->link.out;

    while (s->acked < position && out_written(o) < s->handed) {
        uint32_t n = first_frame(o);

        s->acked += n;
        out_consume(o, RS_TCP_LENGTH + n);
    }
    if (s->next < out_written(o))
        s->next = out_written(o);
    return s->acked == position;
}

bool session_acknowledged(struct peer *c, uint64_t position)
{
    struct session *s = session_of(c);

    s->asked = false;
    if (!drop_to(s, position))
        return false;
    tell_room(s);
    ask(s);
    charge(s);
    return true;
}

void session_received(struct peer *c, struct slice frames)
{
    struct session *s = session_of(c);

    while (frames.n >= RS_HEAD_SIZE) {
        uint32_t n = be_get_24(frames.p);

        if (be_get_32(frames.p + RS_TCP_LENGTH) & RS_STREAM_MAX)
            s->received += n;
        frames = slice_from(frames, RS_TCP_LENGTH + n);
    }
}

uint64_t session_position(const struct peer *c)
{
    return session_of(c)->received;
}

struct out *session_past(struct peer *c)
{
    const struct peer *carrier = session_of(c)->carrier;

    return carrier ? &carrier->link->out : NULL;
}

void session_check(struct peer *c)
{
    if (c->link->out.broken && !c->over)
        give_up(session_of(c), DOOR_COUNT_SESSION_LIMIT, "no memory for what it keeps");
}

void session_silent(struct peer *c, const char *why)
{
    struct session *s = session_of(c);
    struct peer *carrier = s->carrier;

    detach(s);
    go_away(s);
    link_close(carrier->link, why, LINK_SILENT);
}

/* ----------------------------------------------------------------------------- made and freed */

static void make_key(const struct sessions *all, struct slice token, uint8_t key[KEY_BYTES])
{
    uint64_t a = hash_bytes(all->seed, token), b = hash_bytes(~all->seed, token);

    (void)be_put_64(be_put_64(key, a), b);
}

/* In a time that does not tell where they differ. */
static bool same_token(const struct session *s, struct slice token)
{
    uint8_t differ = 0;

    if (s->token_n != token.n)
        return false;
    for (size_t i = 0; i < token.n; i++)
        differ |= s->token[i] ^ token.p[i];
    return differ == 0;
}

/* The session of a token, perhaps one that is over. */
static struct session *session_find(const struct sessions *all, struct slice token)
{
    uint8_t key[KEY_BYTES];
    struct session *s;

    if (!all)
        return NULL;
    make_key(all, token, key);
    s = map_get(&all->table, slice_of(key, sizeof key));
    return s && same_token(s, token) ? s : NULL;
}

static void session_free(struct session *s)
{
    list_remove(&s->place);
    (void)map_del(&s->all->table, slice_of(s->key, sizeof s->key));
    s->peer.over = true;
    peer_fini(&s->peer);
    core_charge(s->host.core, -(int64_t)s->charged);
    out_fini(&s->link.out);
    out_host_fini(&s->outs);
    explicit_bzero(s->token, s->token_n);
    free(s);
}

void session_lost(struct peer *carrier)
{
    struct session *s = carrier->rare->session;

    detach(s);
    if (s->peer.over || s->peer.draining)
        session_free(s);
    else
        go_away(s);
}

static struct session *session_new(struct sessions *all, struct peer *carrier, struct slice token)
{
    struct session *s = calloc(1, sizeof *s + token.n);

    if (!s)
        return NULL;
    s->all = all;
    s->host = (struct link_host){.core = carrier->link->host->core,
                                 .scratch = carrier->link->host->scratch,
                                 .limits = carrier->link->host->limits,
                                 .seed = carrier->link->host->seed,
                                 .close = close_link,
                                 .peer = peer_name};
    s->outs = (struct out_host){
        .flush = on_output, .dirty = on_output, .pool = carrier->link->out.host->pool};
    s->link.host = &s->host;
    out_init(&s->link.out, &s->outs);
    s->link.out.blocked = true; /* nothing is ever written from it: all is kept */
    peer_init(&s->peer, &s->link);
    s->peer.resumable = true;
    s->token_n = token.n;
    memcpy(s->token, token.p, token.n);
    make_key(all, token, s->key);
    if (map_put(&all->table, slice_of(s->key, sizeof s->key), s) < 0) {
        free(s);
        return NULL;
    }
    charge(s);
    return s;
}

/* ------------------------------------------------------------------------------ the room of all */

static void free_ended(struct sessions *all)
{
    struct list_node *n;

    while ((n = list_first(&all->ending)) != NULL)
        session_free(of_room(n));
}

static void room_on_time(struct door_room *room, int64_t now_ms)
{
    struct sessions *all = (struct sessions *)room;
    struct list_node *n;

    while ((n = list_first(&all->away)) != NULL && of_room(n)->until_ms <= now_ms)
        give_up(of_room(n), DOOR_COUNT_SESSION_EXPIRED, "not resumed in time");
    free_ended(all);
    n = list_first(&all->away);
    room->due_ms = n ? of_room(n)->until_ms : INT64_MAX;
}

/* Nobody can come back any more. */
static void room_on_drain(struct door_room *room)
{
    struct sessions *all = (struct sessions *)room;
    struct list_node *n;

    while ((n = list_first(&all->away)) != NULL)
        session_free(of_room(n));
    free_ended(all);
}

static void room_free(struct door_room *room)
{
    struct sessions *all = (struct sessions *)room;

    room_on_drain(room);
    map_fini(&all->table);
    free(all);
}

static const struct door_room_ops room_ops = {room_on_time, room_on_drain, room_free};

/* Those of the worker of `c`; NULL: there never were any. */
static struct sessions *sessions_of(const struct peer *c)
{
    struct door_room *r = c->link->host->scratch->rooms;

    while (r && r->ops != &room_ops)
        r = r->next;
    return (struct sessions *)r;
}

static struct sessions *sessions_new(struct peer *c)
{
    struct door_scratch *scratch = c->link->host->scratch;
    struct sessions *all = calloc(1, sizeof *all);

    if (!all)
        return NULL;
    all->seed = c->link->host->seed;
    map_init(&all->table, all->seed);
    list_init(&all->away);
    list_init(&all->ending);
    all->log = (struct log_limit){.burst = 5, .per_ms = 1000};
    all->room = (struct door_room){&room_ops, scratch->rooms, INT64_MAX};
    scratch->rooms = &all->room;
    return all;
}

/* --------------------------------------------------------------------------- begin and go on */

/* Why there can be no session of this token; 0: there can. */
static uint32_t session_refusal(const struct peer *c, const struct sessions *all,
                                struct slice token, const char **ret_text)
{
    const struct door_limits *l = &c->link->host->limits;

    *ret_text = l->sessions_max == 0 ? "sessions are not resumed here: connect without a token"
                : token.n > SESSION_TOKEN_MAX ? "the resume token has more than 1024 bytes"
                : session_find(all, token)    ? "the resume token is in use"
                                              : NULL;
    if (*ret_text)
        return RS_REJECTED_SETUP;
    if (token.n == 0) {
        *ret_text = "the resume token is empty";
        return RS_INVALID_SETUP;
    }
    if (core_short_of_memory(c->link->host->core) ||
        (all && map_len(&all->table) >= l->sessions_max)) {
        session_count(c, DOOR_COUNT_SESSION_LIMIT);
        *ret_text = "limit: no more sessions; connect without a token";
        return RS_REJECTED_SETUP;
    }
    return 0;
}

struct peer *session_begin(struct peer *carrier, const struct rs_frame *setup)
{
    struct slice token = setup->setup.token;
    struct sessions *all = sessions_of(carrier);
    struct session *s;
    const char *text;
    uint32_t code;

    if (all)
        free_ended(all); /* among them perhaps one of this token */
    code = session_refusal(carrier, all, token, &text);
    if (code) {
        peer_fail(carrier, code, text);
        return NULL;
    }
    if (!all)
        all = sessions_new(carrier);
    s = all && peer_rare(carrier) ? session_new(all, carrier, token) : NULL;
    if (!s) {
        peer_fail(carrier, RS_REJECTED_SETUP, "the broker has no memory for this");
        return NULL;
    }
    take_over(s, carrier);
    session_count(carrier, DOOR_COUNT_SESSIONS);
    return &s->peer;
}

void session_begun(struct peer *carrier)
{
    const struct peer *c = session_peer(carrier);

    carrier->established = c->established;
    carrier->link->endpoint = c->over ? NULL : c->link->endpoint;
}

static void reject_resume(struct peer *carrier, const char *why)
{
    session_count(carrier, DOOR_COUNT_RESUME_REJECTED);
    peer_fail(carrier, RS_REJECTED_RESUME, why);
}

/* Has each side what the other lacks? What the client has is dropped. */
static bool can_go_on(struct session *s, const struct rs_frame *f)
{
    return f->position >= s->acked && f->first_position <= s->received && drop_to(s, f->position);
}

static void go_on(struct session *s, struct peer *carrier)
{
    take_over(s, carrier);
    carrier->established = true;
    session_count(carrier, DOOR_COUNT_RESUMED);
    log_debug("%s: goes on with its session, %zu bytes to be sent again", s->name,
              s->link.out.pending);
    send_resume_ok(&s->peer, s->received);
    lease_again(&s->peer);
    s->next = out_written(&s->link.out);
    hand_on(s);
    tell_room(s);
    ask(s);
    charge(s);
}

void session_resume(struct peer *carrier, const struct rs_frame *f)
{
    struct session *s = session_find(sessions_of(carrier), f->setup.token);
    struct peer *old;

    if (!s || s->peer.over) {
        reject_resume(carrier, "no such session, or not any more");
        return;
    }
    if (!peer_rare(carrier)) {
        reject_resume(carrier, "the broker has no memory for this");
        return;
    }
    old = s->carrier;
    if (old) { /* "the server has not noticed the drop yet: take over" */
        detach(s);
        link_close(old->link, "its session goes on over another connection", LINK_ASKED);
    }
    if (!can_go_on(s, f)) {
        peer_close(&s->peer, "what it missed is not there", LINK_WRONG);
        reject_resume(carrier, "what was missed is not there");
        return;
    }
    go_on(s, carrier);
}

/* --------------------------------------------------------------------------- the first bytes */

/*  SETUP   | u24 | u32 0 | u16 type | u16 u16 version | u32 u32 times | u16 n, token
 *  RESUME  | u24 | u32 0 | u16 type | u16 u16 version |                 u16 n, token */
enum { SETUP_TOKEN_AT = RS_HEAD_SIZE + 12, RESUME_TOKEN_AT = RS_HEAD_SIZE + 4 };

enum door_match session_home(struct slice first, struct slice *ret_token)
{
    uint32_t len, stream;
    uint16_t word;
    size_t at, n;

    if (!rs_peek(first.p, first.n, &len, &stream, &word)) /* a frame shorter than that is broken */
        return first.n >= RS_TCP_LENGTH && be_get_24(first.p) < RS_HEADER ? DOOR_NO : DOOR_MORE;
    at = word >> 10 == RS_RESUME ? RESUME_TOKEN_AT : SETUP_TOKEN_AT;
    if (stream != 0 ||
        (word >> 10 != RS_RESUME && (word >> 10 != RS_SETUP || !(word & RS_RESUME_ENABLE))))
        return DOOR_NO;
    if (len + RS_TCP_LENGTH < at + 2)
        return DOOR_NO; /* it is broken, wherever that is said */
    if (first.n < at + 2)
        return DOOR_MORE;
    n = be_get_16(first.p + at);
    if (n == 0 || n > SESSION_TOKEN_MAX || len + RS_TCP_LENGTH < at + 2 + n)
        return DOOR_NO;
    if (first.n < at + 2 + n)
        return DOOR_MORE;
    *ret_token = slice_of(first.p + at + 2, n);
    return DOOR_YES;
}
