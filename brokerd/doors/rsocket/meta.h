/* meta.h - what the metadata of a request or message say: route, tags, headers, content type.
 *
 * Why      Two ways to write them (composite; routing alone), one answer.
 * Owner    Everything read points into the metadata.
 * Errors   0 or -EINVAL with a refusal fit for the peer; without metadata all is empty, 0.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_RSOCKET_META_H
#define BROKERD_DOORS_RSOCKET_META_H

#include "brokerd/doors/options.h"
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

#endif
