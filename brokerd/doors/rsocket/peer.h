/* peer.h - one RSocket connection: what its parts share.
 *
 * Why      A request, a delivery, a confirm are each a file of their own; here is what they have
 *          in common: the connection, its streams' beginning and end, refusals.
 * Shape    States: opened, established (SETUP accepted), ended (nothing more is read or
 *          written). A stream that has ended leaves the table at once, but its memory and what
 *          it holds in the core live until peer_sweep(): the core's callbacks may end a stream
 *          while the door works on it, and may not call the core to close what it held.
 *          Where the client can resume, there are two of them (session.h).
 * Owner    net owns the connection; the connection its streams.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_RSOCKET_PEER_H
#define BROKERD_DOORS_RSOCKET_PEER_H

#include "brokerd/doors/door.h"
#include "brokerd/doors/refuse.h"
#include "brokerd/doors/rsocket/streams.h"

/* What SETUP said of metadata. */
enum peer_metadata {
    METADATA_OPAQUE,    /* something else: no routes */
    METADATA_COMPOSITE, /* message/x.rsocket.composite-metadata.v0 */
    METADATA_ROUTING,   /* message/x.rsocket.routing.v0 alone: routes and topics, no headers */
};

struct memo;
struct servings;
struct lease;
struct session;

/* What fire-and-forget needs. */
struct forget {
    struct publisher *p; /* for all of it, made for the first */
    struct memo *memo;   /* metadata of the last one; or NULL */
};

/* What few peers need: made for the first of it. The others share rare_none. */
struct rare {
    struct forget forget;
    struct servings *servings; /* serve.h; NULL: it serves nothing */
    union {
        struct lease *lease;     /* leased: its requests need one (lease.h) */
        struct session *session; /* carries: this is a session's connection, no more (session.h) */
    };
    uint8_t *type_name; /* of the data type, if it is a named one; ours */
    uint64_t joining;   /* bytes of unfinished messages, all streams */
};

struct peer {
    struct link *link; /* with the endpoint, from SETUP on */
    struct stream_table streams;
    struct stream *hot;   /* publish channel of the last plain payload, or NULL */
    struct stream *ended; /* streams out of the table, until peer_sweep() */
    struct rare *rare;    /* never NULL; to be written only where peer_rare() gave it */
    int64_t heard_ms;     /* when the last bytes came */
    uint32_t lifetime_ms; /* of silence, then the peer is dead */
    uint8_t metadata;     /* enum peer_metadata */
    uint8_t type_id;      /* data type of SETUP */
    uint8_t type_len;     /* of its name */
    bool established : 1;
    bool over : 1;     /* net has been told to close */
    bool draining : 1; /* takes no new requests; closed with its last stream */
    bool leaving : 1;  /* and that is what the peer asked for */
    bool leased : 1;
    bool carries : 1;
    bool resumable : 1; /* this is a session's: its connection is another peer */
    bool strayed : 1;   /* has sent a request with an id that a client must not use */
};

/* ------------------------------------------------------------------------------- connection */

/* Make one in place, of a connection or a session; and undo it. */
void peer_init(struct peer *c, struct link *l);
void peer_fini(struct peer *c);

/* Send ERROR `code` on stream 0 and close. `text`: for the peer and the log. */
void peer_fail(struct peer *c, uint32_t code, const char *text);

/* Close without a word: what is in the output is still written. */
void peer_close(struct peer *c, const char *why, enum link_end end);

/* Free the streams that have ended and close what they held in the core. Not from the core's
 * callbacks. */
void peer_sweep(struct peer *c);

/* The data type of SETUP. */
static inline struct ctype peer_type(const struct peer *c)
{
    return (struct ctype){c->type_id, slice_of(c->rare->type_name, c->type_len)};
}

/* Give up all streams and the endpoint: the core knows nothing of the connection any more. */
void peer_release(struct peer *c);

/* Its own, made if need be; NULL without memory. */
struct rare *peer_rare(struct peer *c);

/* Bytes of unfinished messages changed by `delta`, of a peer with struct rare of its own. */
void peer_joining(struct peer *c, int64_t delta);

/* ---------------------------------------------------------------------------------- streams */

/* A stream in the table, `size` bytes that begin with struct stream, the rest zero. NULL if there
 * is no memory or no room, then the request has been refused. */
void *stream_new(struct peer *c, uint32_t id, enum stream_kind kind, size_t size);

/* The same, with the refusal in *ret_why: nothing is sent. 0, -EMFILE, -ENOMEM. */
int stream_try(struct peer *c, uint32_t id, enum stream_kind kind, size_t size, void **ret_s,
               struct refusal *ret_why);

/* `s` has ended: out of the table. What it holds is released by peer_sweep(). Twice is fine. */
void stream_end(struct stream *s);

/* The next PAYLOAD of `s` is not a plain message: publish_scan() keeps off. */
static inline void stream_cool(const struct stream *s)
{
    if (s->peer->hot == s)
        s->peer->hot = NULL;
}

/* `s`, which is in the table, is gone with its memory: only for one that holds nothing, where the
 * door works on none. What would wait for the sweep stays for good if nothing more comes. */
void stream_drop(struct stream *s);

/* End it with an ERROR, unless it is quiet. Nothing happens if it has ended. */
void stream_fail(struct stream *s, const struct refusal *why, bool partly);

/* The frame `f` is a fragment, or ends a sequence on `s`. 1: the whole is in *ret_whole, until
 * stream_join_end(). 0: more must come. -EPROTO, -EMSGSIZE, -ENOMEM: *ret_why, what was gathered
 * is gone. */
int stream_join(struct stream *s, const struct rs_frame *f, struct rs_frame *ret_whole,
                struct refusal *ret_why);

/* Drop the fragments gathered; fine if there are none. */
void stream_join_end(struct stream *s);

/* ---------------------------------------------------------------------------------- refusals */

/* `why` as an ERROR on stream `id`. `partly`: some queues have the message. */
void peer_refuse(struct peer *c, uint32_t id, const struct refusal *why, bool partly);

/* A fire-and-forget comes to nothing, and nobody can be told. */
void peer_drop(struct peer *c, const struct refusal *why);

#endif
