/* message.h - messages, borrowed and kept.
 *
 * Why      Most messages pass through in one call: a publisher's bytes go straight into the
 *          consumers' outputs. Those are *views* into the block they were read into, gathered
 *          in a *run*. Only a queue that must keep one makes an object of it.
 * Shape    A kept message is one object of the core's pool: struct msg, then type name, headers
 *          and payload (unless that lies in a block it refers to). Immutable once made.
 * Owner    msg: counted references, not atomic: a message never leaves its core, and so goes back
 *          to the pool it is from. Between workers its bytes are copied (mail.h).
 * Thread   The worker the core lives on. */
#ifndef BROKERD_CORE_MESSAGE_H
#define BROKERD_CORE_MESSAGE_H

#include "libbroker/base/block.h"
#include "libbroker/base/pool.h"
#include "libbroker/base/slice.h"

#include <stdint.h>

/* A topic's name, shared by the route that leads there and the messages kept under it.
 * Counted, not atomic; interned as far as routes are cached: two may bear the same name. */
struct topic {
    uint32_t refs;
    uint32_t hash;
    uint16_t len;
    char name[]; /* terminated, for logs */
};

struct topic *topic_new(struct slice name, uint32_t hash); /* NULL without memory */
void topic_free(struct topic *t);                          /* the last reference is gone */

static inline struct topic *topic_ref(struct topic *t)
{
    t->refs++;
    return t;
}

/* NULL is fine. */
static inline void topic_unref(struct topic *t)
{
    if (t && --t->refs == 0)
        topic_free(t);
}

static inline struct slice topic_slice(const struct topic *t)
{
    return slice_of(t->name, t->len);
}

/* A content type: a well-known MIME id (RSocket metadata extensions), or a name. Equal types
 * compare equal: a door writes the id where there is one. */
enum { CTYPE_NONE = 0x80, CTYPE_NAMED = 0x81 };

struct ctype {
    uint8_t id;        /* 0..0x7f well-known, CTYPE_NONE unknown, CTYPE_NAMED: see name */
    struct slice name; /* CTYPE_NAMED only: 1 to 128 bytes */
};

static inline bool ctype_eq(struct ctype a, struct ctype b)
{
    return a.id == b.id && (a.id != CTYPE_NAMED || slice_eq(a.name, b.name));
}

/* What a message may have besides topic and payload; most have none of it. */
struct msg_meta {
    struct slice headers; /* neutral form (base/headers.h), options of the broker taken out;
                           * at most 65,535 bytes */
    struct ctype type;    /* in place of the run's; CTYPE_NONE: as the run says */
    int64_t ttl_ms;       /* 0: lives on */
    bool require;         /* refuse `no-match` where no queue matches */
    bool dedup;           /* `$dedup` is among the headers, and counts (dedup.h) */
};

/* One message, borrowed for the length of a call. */
struct msg_view {
    const uint8_t *data;
    uint32_t len;
    const struct msg_meta *meta; /* NULL: none */
    struct block *block;         /* holds data, so that it may be referred to; NULL: copy */
};

/* Consecutive messages of one publisher to one target. */
struct run {
    const struct msg_view *v;
    uint32_t n;        /* at least 1 */
    uint64_t bytes;    /* payload bytes in all */
    struct ctype type; /* of every message without a type of its own */
    uint8_t head_room; /* so many bytes before each payload, all in one piece, are of no more use:
                        * a door may write its heads over them. Most often 0 */
};

/* Up to `most` of the run's messages from `i` on. */
static inline struct run run_part(const struct run *run, uint32_t i, uint32_t most)
{
    struct run part = *run;

    if (i == 0 && run->n <= most)
        return part;
    part.v += i;
    part.n = run->n - i < most ? run->n - i : most;
    part.bytes = 0;
    for (uint32_t k = 0; k < part.n; k++)
        part.bytes += part.v[k].len;
    return part;
}

struct msg {
    uint32_t refs;
    uint32_t len;
    const uint8_t *data;
    struct topic *topic;  /* one reference */
    struct block *block;  /* one reference if data lies there, else NULL */
    uint64_t id;          /* unique in this broker's life; set where it was published */
    int64_t time_ms;      /* wall clock, when it was published */
    int64_t expires_ms;   /* the core's clock; INT64_MAX never */
    uint32_t charge;      /* bytes it costs the memory budget */
    uint16_t headers_len; /* at msg_headers() */
    uint8_t type_id;      /* as ctype.id */
    uint8_t type_len;     /* bytes of the name, CTYPE_NAMED only */
    uint8_t tail[];       /* type name, headers, data */
};

/* What a kept message takes over from its run. */
struct msg_origin {
    struct topic *topic; /* borrowed */
    struct ctype type;
    uint64_t id;
    int64_t time_ms, now_ms;
};

/* Make a kept message of a view: one reference, the caller's. NULL without memory. */
struct msg *msg_keep(struct pool *pool, const struct msg_view *v, const struct msg_origin *from);

/* The last reference is gone: free it. */
void msg_free(struct pool *pool, struct msg *m);

static inline struct msg *msg_ref(struct msg *m)
{
    m->refs++;
    return m;
}

/* NULL is fine. */
static inline void msg_unref(struct pool *pool, struct msg *m)
{
    if (m && --m->refs == 0)
        msg_free(pool, m);
}

static inline struct slice msg_headers(const struct msg *m)
{
    return slice_of(m->tail + m->type_len, m->headers_len);
}

static inline struct ctype msg_type(const struct msg *m)
{
    return (struct ctype){m->type_id, slice_of(m->tail, m->type_len)};
}

#endif
