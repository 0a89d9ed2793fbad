/* options.h - what a message or request asks of the broker: headers that begin with `$`, and the
 * content type.
 *
 * Why      Each door writes them its own way; they mean the same behind all.
 * Owner    Everything read points into the headers, or into `left`.
 * Thread   Any; pure. */
#ifndef BROKERD_DOORS_OPTIONS_H
#define BROKERD_DOORS_OPTIONS_H

#include "brokerd/core/core.h"

/* The `$` headers a door takes for itself. */
enum option {
    OPTION_TTL = 1,
    OPTION_REQUIRE = 2,
    OPTION_REPLY_TO = 4, /* stays among the headers */
    OPTION_CONFIRM = 8,
    OPTION_FACTS = 16, /* stays too: the core must keep them */
    OPTION_WAIT = 64,
    OPTION_DEDUP = 128, /* stays: the queues look it up, and consumers may do the same */
    OPTION_OTHERS = 32, /* names we do not know stay among the headers: the core's to judge */

    OPTIONS_MESSAGE = OPTION_TTL | OPTION_REQUIRE | OPTION_REPLY_TO | OPTION_DEDUP,
    OPTION_DEDUP_MAX = 512, /* bytes of its value */
};

struct options {
    int64_t ttl_ms;  /* 0: none */
    int64_t wait_ms; /* -1: not said */
    bool require, facts, dedup;
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
