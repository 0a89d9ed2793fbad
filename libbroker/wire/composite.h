/* composite.h - RSocket's metadata extensions: composite items, routing tags, the data type of
 * one request, credentials.
 *
 * Shape    Composite metadata are items, one after the other:
 *              u8 MIME (0x80 | id, or name length - 1), [name], u24 length, value
 *          Routing is `u8 length, tag` repeated; the first tag is the route.
 *          The specification says "name length" where every library writes the length less one:
 *          we write length - 1, and read that first; if the item then overruns, or the name is
 *          not printable ASCII, we read the literal length.
 * Owner    Everything read points into the input.
 * Errors   Iterators: 1 there is one, 0 the end, -EPROTO broken (the request's fault:
 *          ERROR[INVALID], never the connection's); on error nothing is written.
 * Thread   Any; pure. */
#ifndef BROKER_WIRE_COMPOSITE_H
#define BROKER_WIRE_COMPOSITE_H

#include "libbroker/base/be.h"
#include "libbroker/wire/mime.h"

enum {
    COMPOSITE_NAME_MAX = 128,       /* bytes of a MIME name in an item */
    COMPOSITE_VALUE_MAX = 0xffffff, /* bytes of an item's value */
    ROUTING_TAG_MAX = 255,          /* bytes of a tag */
    COMPOSITE_KNOWN = 0x80,         /* top bit of a MIME or authentication type that is an id */
};

struct composite_item {
    struct mime mime; /* id is set too for a well-known type that came by name */
    struct slice value;
};

/* Take the next item off the front of `*rest`. */
int composite_next(struct slice *rest, struct composite_item *ret);

/* Is every item whole? 0 or -EPROTO. */
int composite_check(struct slice metadata);

/* Bytes of one MIME in the extensions' encoding: 1 if it is well known, else 1 + name; 0 if it
 * cannot be encoded (name empty, over COMPOSITE_NAME_MAX or not printable ASCII). */
size_t mime_size(const struct mime *m);

/* Write it: mime_size() bytes, which must not be 0. */
uint8_t *mime_put(uint8_t *p, const struct mime *m);

/* Write the head of an item whose `value_len` bytes follow: mime_size() + 3 bytes. */
uint8_t *composite_put_head(uint8_t *p, const struct mime *m, size_t value_len);

/* Bytes of a whole item; 0 if its type cannot be encoded or the value is too long. */
size_t composite_size(const struct mime *m, size_t value_len);

/* Write a whole item: composite_size() bytes. */
uint8_t *composite_put(uint8_t *p, const struct mime *m, struct slice value);

/* Take the next routing tag off the front of `*rest`; it may be empty. */
int routing_next(struct slice *rest, struct slice *ret_tag);

static inline size_t routing_tag_size(size_t tag_len)
{
    return 1 + tag_len;
}

/* Write one tag of at most ROUTING_TAG_MAX bytes: routing_tag_size() bytes. */
uint8_t *routing_put_tag(uint8_t *p, struct slice tag);

/* Bytes of a composite item with one routing tag. */
static inline size_t composite_route_size(size_t tag_len)
{
    return 1 + 3 + 1 + tag_len;
}

/* Write that item: the route of a request, the topic of a delivery. */
uint8_t *composite_put_route(uint8_t *p, struct slice tag);

/* If `metadata` are what that writes and no more: true, and the tag, which is not empty. A
 * publisher that names a topic with each message sends mostly these. */
static inline bool composite_is_route(struct slice metadata, struct slice *ret_tag)
{
    enum { HEAD = 1 + 3 + 1 };
    const uint8_t *p = metadata.p;

    if (metadata.n <= HEAD || metadata.n > HEAD + ROUTING_TAG_MAX ||
        p[0] != (COMPOSITE_KNOWN | MIME_ROUTING) || be_get_24(p + 1) != metadata.n - HEAD + 1 ||
        p[HEAD - 1] != metadata.n - HEAD)
        return false;
    *ret_tag = slice_from(metadata, HEAD);
    return true;
}

/* Read the value of a MIME_DATA_TYPE item. 0 or -EPROTO. */
int data_type_decode(struct slice value, struct mime *ret);

/* Bytes of a MIME_DATA_TYPE item that names `type`; 0 if it cannot be encoded. */
size_t composite_data_type_size(struct slice type);

/* Write that item. */
uint8_t *composite_put_data_type(uint8_t *p, struct slice type);

enum auth_kind {
    AUTH_SIMPLE, /* user name and password */
    AUTH_BEARER, /* token */
    AUTH_OTHER,  /* a type we do not know */
};

struct auth {
    enum auth_kind kind;
    struct slice username; /* simple */
    struct slice secret;   /* password or token: never to be logged */
};

/* Read the value of a MIME_AUTH item. 0 or -EPROTO. */
int auth_decode(struct slice value, struct auth *ret);

/* Bytes of a MIME_AUTH item; 0 for AUTH_OTHER and for a user name over 65,535 bytes. */
size_t composite_auth_size(const struct auth *a);

/* Write that item. */
uint8_t *composite_put_auth(uint8_t *p, const struct auth *a);

#endif
