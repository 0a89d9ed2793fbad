/* headers.h - a message's headers in their one neutral form, which the core carries untouched.
 *
 * Why      Doors translate their protocol's headers into this form and back, so that no door
 *          needs to know another, and the core needs to know none.
 * Shape    Exactly the bytes of `message/x.broker.headers.v0`, one header after the other:
 *              u8 name length (1..255), name, u16 value length (big-endian), value
 *          Names may repeat; the first counts. Names with '$' are the broker's own.
 * Owner    Everything borrows: a struct header points into the bytes it was read from.
 * Errors   1 there is one, 0 the end, -EPROTO the bytes are cut short or a name is empty.
 * Thread   Any; pure. */
#ifndef BROKER_BASE_HEADERS_H
#define BROKER_BASE_HEADERS_H

#include "libbroker/base/slice.h"

#define HEADERS_MIME "message/x.broker.headers.v0"

enum {
    HEADERS_NAME_MAX = 255,    /* bytes of one name */
    HEADERS_VALUE_MAX = 65535, /* bytes of one value */
};

struct header {
    struct slice name;
    struct slice value;
};

struct headers_limits {
    size_t max_count; /* headers */
    size_t max_bytes; /* encoded bytes of all together */
};

/* Take the next header off the front of `*rest`. 1: *ret is it and *rest what follows.
 * 0: *rest is empty. -EPROTO: broken; *rest and *ret are unchanged. */
int headers_next(struct slice *rest, struct header *ret);

/* Check headers that came from outside: whole, UTF-8 without control characters, no empty
 * name, within `limits`. 0; -EMSGSIZE over a limit; -EPROTO otherwise broken. On failure
 * *reterr_why is a static text for the peer. */
int headers_check(struct slice headers, const struct headers_limits *limits,
                  const char **reterr_why);

/* The value of the first header called `name` (exact bytes). False, *ret_value unchanged, if
 * there is none before the end or the first broken byte. */
bool headers_find(struct slice headers, struct slice name, struct slice *ret_value);

/* Bytes of one header, for reserving. */
static inline size_t headers_size(size_t name_n, size_t value_n)
{
    return 1 + name_n + 2 + value_n;
}

/* Write one header at `p`, which has room for headers_size() bytes; returns the byte after.
 * Name 1..HEADERS_NAME_MAX bytes, value up to HEADERS_VALUE_MAX: the caller checks. */
uint8_t *headers_put(uint8_t *p, struct slice name, struct slice value);

#endif
