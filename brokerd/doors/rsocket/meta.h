/* meta.h - what the metadata of a request or message say: route, tags, headers, content type.
 *
 * Why      Two ways to write them (composite; routing alone), one answer.
 * Owner    Everything read points into the metadata.
 * Errors   0 or -EINVAL with a refusal fit for the peer; without metadata all is empty, 0.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_RSOCKET_META_H
#define BROKERD_DOORS_RSOCKET_META_H

#include "brokerd/doors/rsocket/peer.h"

enum {
    META_MAX = 65536,         /* bytes of one request's metadata that we look at */
    META_HEADERS_MAX = 32768, /* bytes of one message's headers */
    META_HEADERS_COUNT = 256, /* headers of one message */
    META_FILTERS_MAX = 64,    /* filters of one subscription */
};

struct meta {
    bool has_route;
    struct slice route;   /* the first tag, may be empty */
    struct slice tags;    /* the tags after it, encoded: routing_next() */
    struct slice headers; /* neutral form, checked */
    bool has_type;
    struct ctype type; /* of item 0x7A, else the connection's */
};

int meta_read(const struct peer *c, bool has_metadata, struct slice metadata, struct meta *ret,
              struct refusal *ret_why);

/* The `$` headers a door takes for itself. */
enum option {
    OPTION_TTL = 1,
    OPTION_REQUIRE = 2,
    OPTION_REPLY_TO = 4, /* stays among the headers */
    OPTION_CONFIRM = 8,
    OPTION_FACTS = 16,  /* stays too: the core must keep them */
    OPTION_OTHERS = 32, /* names we do not know stay among the headers: the core's to judge */

    OPTIONS_MESSAGE = OPTION_TTL | OPTION_REQUIRE | OPTION_REPLY_TO,
};

struct options {
    int64_t ttl_ms; /* 0: none */
    bool require, facts;
    bool confirm_loss;    /* `$confirm: loss` */
    struct slice headers; /* what is left */
};

/* Take the options `allowed` (of enum option) out of `headers`, refusing the others. What is left
 * is written to `left`, which has room for headers.n bytes, unless nothing was taken. */
int options_read(struct slice headers, unsigned allowed, uint8_t *left, struct options *ret,
                 struct refusal *ret_why);

/* A MIME type by name as the core's content type: by id if it has one. The name is borrowed. */
struct ctype ctype_of(struct slice name);

/* The name of a content type; empty for CTYPE_NONE and for ids nobody has assigned. */
struct slice ctype_name(struct ctype t);

#endif
