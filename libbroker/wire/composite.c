/* composite.c - RSocket's metadata extensions. */
#include "libbroker/wire/composite.h"

#include <assert.h>
#include <errno.h>

#include "libbroker/base/be.h"

enum { AUTH_ID_SIMPLE = 0, AUTH_ID_BEARER = 1 };

static uint8_t *put_slice(uint8_t *p, struct slice s)
{
    if (s.n)
        memcpy(p, s.p, s.n);
    return p + s.n;
}

static bool printable_ascii(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 0x20 || s.p[i] > 0x7e)
            return false;
    }
    return true;
}

/* ---- MIME types ---- */

/* Read a MIME whose name, if it comes by name, has `name_n` bytes; the rest to *rest. */
static bool mime_take(struct slice in, size_t name_n, struct mime *ret, struct slice *rest)
{
    if (in.p[0] & COMPOSITE_KNOWN) {
        const char *name = mime_name(in.p[0] & 0x7f);

        *ret = (struct mime){in.p[0] & 0x7f, name ? slice_str(name) : (struct slice){0}};
        *rest = slice_from(in, 1);
        return true;
    }
    if (name_n == 0 || in.n - 1 < name_n || !printable_ascii(slice_of(in.p + 1, name_n)))
        return false;
    *ret = mime_of(slice_of(in.p + 1, name_n));
    *rest = slice_from(in, 1 + name_n);
    return true;
}

/* An item with a name of `name_n` bytes off the front of `in`. */
static bool item_take(struct slice in, size_t name_n, struct composite_item *ret,
                      struct slice *rest)
{
    struct mime mime;
    uint32_t n;

    if (!mime_take(in, name_n, &mime, &in) || in.n < 3)
        return false;
    n = be_get_24(in.p);
    if (n > in.n - 3)
        return false;
    *ret = (struct composite_item){mime, slice_of(in.p + 3, n)};
    *rest = slice_from(in, 3 + (size_t)n);
    return true;
}

int composite_next(struct slice *rest, struct composite_item *ret)
{
    struct slice in = *rest;

    if (in.n == 0)
        return 0;
    /* What libraries write first; what the specification says only if that cannot be. */
    if (item_take(in, (size_t)in.p[0] + 1, ret, rest) || item_take(in, in.p[0], ret, rest))
        return 1;
    return -EPROTO;
}

int composite_check(struct slice metadata)
{
    struct composite_item item;
    int r;

    while ((r = composite_next(&metadata, &item)) > 0)
        ;
    return r;
}

static bool has_id(const struct mime *m)
{
    return m->id >= 0 && m->id < COMPOSITE_KNOWN;
}

size_t mime_size(const struct mime *m)
{
    if (has_id(m))
        return 1;
    if (m->name.n == 0 || m->name.n > COMPOSITE_NAME_MAX || !printable_ascii(m->name))
        return 0;
    return 1 + m->name.n;
}

uint8_t *mime_put(uint8_t *p, const struct mime *m)
{
    assert(mime_size(m) != 0);
    if (has_id(m)) {
        *p = (uint8_t)(COMPOSITE_KNOWN | m->id);
        return p + 1;
    }
    *p = (uint8_t)(m->name.n - 1);
    return put_slice(p + 1, m->name);
}

uint8_t *composite_put_head(uint8_t *p, const struct mime *m, size_t value_len)
{
    assert(value_len <= COMPOSITE_VALUE_MAX);
    return be_put_24(mime_put(p, m), (uint32_t)value_len);
}

size_t composite_size(const struct mime *m, size_t value_len)
{
    size_t n = mime_size(m);

    return n == 0 || value_len > COMPOSITE_VALUE_MAX ? 0 : n + 3 + value_len;
}

uint8_t *composite_put(uint8_t *p, const struct mime *m, struct slice value)
{
    return put_slice(composite_put_head(p, m, value.n), value);
}

/* ---- routing ---- */

int routing_next(struct slice *rest, struct slice *ret_tag)
{
    size_t n;

    if (rest->n == 0)
        return 0;
    n = rest->p[0];
    if (n > rest->n - 1)
        return -EPROTO;
    *ret_tag = slice_of(rest->p + 1, n);
    *rest = slice_from(*rest, 1 + n);
    return 1;
}

uint8_t *routing_put_tag(uint8_t *p, struct slice tag)
{
    assert(tag.n <= ROUTING_TAG_MAX);
    *p = (uint8_t)tag.n;
    return put_slice(p + 1, tag);
}

uint8_t *composite_put_route(uint8_t *p, struct slice tag)
{
    p = composite_put_head(p, &(struct mime){.id = MIME_ROUTING}, routing_tag_size(tag.n));
    return routing_put_tag(p, tag);
}

/* ---- the data type of one request ---- */

int data_type_decode(struct slice value, struct mime *ret)
{
    struct slice rest;
    struct mime m;

    if (value.n == 0)
        return -EPROTO;
    /* The name must fill the item, which tells the two ways to count apart for certain. */
    if ((mime_take(value, (size_t)value.p[0] + 1, &m, &rest) && rest.n == 0) ||
        (mime_take(value, value.p[0], &m, &rest) && rest.n == 0)) {
        *ret = m;
        return 0;
    }
    return -EPROTO;
}

size_t composite_data_type_size(struct slice type)
{
    struct mime m = mime_of(type);
    size_t n = mime_size(&m);

    return n == 0 ? 0 : 1 + 3 + n;
}

uint8_t *composite_put_data_type(uint8_t *p, struct slice type)
{
    struct mime m = mime_of(type);

    p = composite_put_head(p, &(struct mime){.id = MIME_DATA_TYPE}, mime_size(&m));
    return mime_put(p, &m);
}

/* ---- authentication ---- */

static int simple_decode(struct slice in, struct auth *ret)
{
    size_t n;

    if (in.n < 2)
        return -EPROTO;
    n = be_get_16(in.p);
    if (n > in.n - 2)
        return -EPROTO;
    *ret = (struct auth){AUTH_SIMPLE, slice_of(in.p + 2, n), slice_from(in, 2 + n)};
    return 0;
}

int auth_decode(struct slice value, struct auth *ret)
{
    struct slice rest;

    if (value.n == 0)
        return -EPROTO;
    rest = slice_from(value, 1);
    switch (value.p[0]) {
    case COMPOSITE_KNOWN | AUTH_ID_SIMPLE:
        return simple_decode(rest, ret);
    case COMPOSITE_KNOWN | AUTH_ID_BEARER:
        *ret = (struct auth){.kind = AUTH_BEARER, .secret = rest};
        return 0;
    default:
        *ret = (struct auth){.kind = AUTH_OTHER};
        return 0;
    }
}

static size_t auth_size(const struct auth *a)
{
    switch (a->kind) {
    case AUTH_SIMPLE:
        return a->username.n > UINT16_MAX ? 0 : 1 + 2 + a->username.n + a->secret.n;
    case AUTH_BEARER:
        return 1 + a->secret.n;
    case AUTH_OTHER:
        break;
    }
    return 0;
}

size_t composite_auth_size(const struct auth *a)
{
    size_t n = auth_size(a);

    return n == 0 || n > COMPOSITE_VALUE_MAX ? 0 : 1 + 3 + n;
}

uint8_t *composite_put_auth(uint8_t *p, const struct auth *a)
{
    p = composite_put_head(p, &(struct mime){.id = MIME_AUTH}, auth_size(a));
    if (a->kind == AUTH_SIMPLE) {
        *p = COMPOSITE_KNOWN | AUTH_ID_SIMPLE;
        p = put_slice(be_put_16(p + 1, (uint16_t)a->username.n), a->username);
    } else {
        *p++ = COMPOSITE_KNOWN | AUTH_ID_BEARER;
    }
    return put_slice(p, a->secret);
}
