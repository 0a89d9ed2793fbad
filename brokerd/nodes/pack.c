#include "brokerd/nodes/pack.h"

#include <errno.h>
#include <stdlib.h>

#include "libbroker/base/be.h"
#include "libbroker/base/headers.h"
#include "libbroker/base/name.h"
#include "libbroker/base/utf8.h"

/* What a message has besides data. */
enum { HAS_HEADERS = 1, HAS_TYPE = 2, HAS_TTL = 4, HAS_ALL = 7 };

enum { TYPE_NAME_MAX = 128, HEADERS_COUNT_MAX = 65535 };

/* ------------------------------------------------------------------------------------- to pack */

void pack_fini(struct pack *p)
{
    free(p->bytes);
    *p = (struct pack){0};
}

/* Room for `n` bytes more; where they go. NULL without memory. */
static uint8_t *room(struct pack *p, size_t n)
{
    size_t cap = p->cap ? p->cap : 1024;
    uint8_t *bytes;

    while (cap - p->n < n)
        cap *= 2;
    if (cap != p->cap) {
        bytes = realloc(p->bytes, cap);
        if (!bytes)
            return NULL;
        p->bytes = bytes;
        p->cap = cap;
    }
    return p->bytes + p->n;
}

static uint8_t *put(uint8_t *to, struct slice s)
{
    if (s.n)
        memcpy(to, s.p, s.n);
    return to + s.n;
}

/* A slice with its length, which fits a byte. */
static uint8_t *put_short(uint8_t *to, struct slice s)
{
    *to++ = (uint8_t)s.n;
    return put(to, s);
}

static size_t type_size(struct ctype t)
{
    return t.id == CTYPE_NAMED ? 2 + t.name.n : 1;
}

static uint8_t *put_type(uint8_t *to, struct ctype t)
{
    *to++ = t.id;
    return t.id == CTYPE_NAMED ? put_short(to, t.name) : to;
}

int pack_begin(struct pack *p, const struct pack_head *head)
{
    uint8_t *at = room(p, 1 + 8 + 8 + 1 + head->from.n);

    if (!at)
        return -ENOMEM;
    *at++ = PACK_VERSION;
    at = be_put_64(at, head->session);
    at = be_put_64(at, head->first);
    at = put_short(at, head->from);
    p->n = (size_t)(at - p->bytes);
    p->run = 0;
    return 0;
}

int pack_run(struct pack *p, struct slice topic, struct ctype type, const struct origin *from)
{
    uint8_t *at = room(p, 1 + topic.n + type_size(type) + 8 + 8 + 4);

    p->run = 0;
    if (!at)
        return -ENOMEM;
    p->begun = p->n;
    at = put_type(put_short(at, topic), type);
    at = be_put_64(at, from->id);
    at = be_put_64(at, (uint64_t)from->time_ms);
    p->run = (size_t)(at - p->bytes);
    p->runs = 0;
    at = be_put_32(at, 0);
    p->n = (size_t)(at - p->bytes);
    return 0;
}

int pack_message(struct pack *p, const struct msg_view *v, int64_t ttl_ms)
{
    struct slice headers = v->meta ? v->meta->headers : slice_of(NULL, 0);
    struct ctype type = v->meta ? v->meta->type : (struct ctype){.id = CTYPE_NONE};
    bool typed = type.id != CTYPE_NONE;
    uint8_t *at = room(p, 1 + 4 + 2 + headers.n + type_size(type) + 8 + v->len);

    if (!at) {
        p->n = p->runs ? p->n : p->begun;
        return -ENOMEM;
    }
    *at++ = (uint8_t)((headers.n ? HAS_HEADERS : 0) | (typed ? HAS_TYPE : 0) |
                      (ttl_ms > 0 ? HAS_TTL : 0));
    at = be_put_32(at, v->len);
    if (headers.n)
        at = put(be_put_16(at, (uint16_t)headers.n), headers);
    if (typed)
        at = put_type(at, type);
    if (ttl_ms > 0)
        at = be_put_64(at, (uint64_t)ttl_ms);
    at = put(at, slice_of(v->data, v->len));
    p->n = (size_t)(at - p->bytes);
    be_put_32(p->bytes + p->run, ++p->runs);
    return 0;
}

/* ----------------------------------------------------------------------------------- to unpack */

/* The next `n` bytes; false: there are not so many. */
static bool take(struct slice *rest, size_t n, const uint8_t **ret)
{
    if (rest->n < n)
        return false;
    *ret = rest->p;
    *rest = slice_from(*rest, n);
    return true;
}

static bool take_short(struct slice *rest, struct slice *ret)
{
    const uint8_t *p, *bytes;

    if (!take(rest, 1, &p) || !take(rest, *p, &bytes))
        return false;
    *ret = slice_of(bytes, *p);
    return true;
}

static bool take_type(struct slice *rest, struct ctype *ret)
{
    const uint8_t *p;

    if (!take(rest, 1, &p))
        return false;
    *ret = (struct ctype){.id = *p};
    if (*p <= CTYPE_NONE)
        return true;
    return *p == CTYPE_NAMED && take_short(rest, &ret->name) && ret->name.n &&
           ret->name.n <= TYPE_NAME_MAX && utf8_printable(ret->name);
}

static bool take_head(struct slice *rest, struct pack_head *ret)
{
    const uint8_t *p;

    if (!take(rest, 1 + 8 + 8, &p) || *p != PACK_VERSION || !take_short(rest, &ret->from))
        return false;
    ret->session = be_get_64(p + 1);
    ret->first = be_get_64(p + 9);
    return ret->from.n && ret->from.n <= PACK_SENDER_MAX;
}

static bool take_run(struct unpack *u)
{
    const uint8_t *p;

    if (!take_short(&u->rest, &u->topic) || !take_type(&u->rest, &u->type) ||
        !take(&u->rest, 8 + 8 + 4, &p))
        return false;
    u->at = (struct origin){be_get_64(p), (int64_t)be_get_64(p + 8)};
    u->left = be_get_32(p + 16);
    return u->left && u->at.time_ms >= 0;
}

static bool take_headers(struct slice *rest, struct slice *ret)
{
    const uint8_t *p, *bytes;

    if (!take(rest, 2, &p) || !take(rest, be_get_16(p), &bytes))
        return false;
    *ret = slice_of(bytes, be_get_16(p));
    return true;
}

/* *meta is used where the message has any of it. */
static bool take_message(struct slice *rest, struct msg_view *v, struct msg_meta *meta)
{
    const uint8_t *p;
    uint8_t has;

    if (!take(rest, 1 + 4, &p))
        return false;
    has = *p;
    *v = (struct msg_view){.len = be_get_32(p + 1), .meta = has ? meta : NULL};
    *meta = (struct msg_meta){.type = {.id = CTYPE_NONE}};
    if (has & ~HAS_ALL || (has & HAS_HEADERS && !take_headers(rest, &meta->headers)) ||
        (has & HAS_TYPE && !take_type(rest, &meta->type)))
        return false;
    if (has & HAS_TTL) {
        if (!take(rest, 8, &p))
            return false;
        meta->ttl_ms = (int64_t)be_get_64(p);
    }
    return take(rest, v->len, &v->data);
}

static bool is_good(const struct msg_meta *meta)
{
    static const struct headers_limits limits = {HEADERS_COUNT_MAX, PACK_HEADERS_MAX};
    const char *why;

    return meta->ttl_ms >= 0 &&
           (!meta->headers.n || headers_check(meta->headers, &limits, &why) == 0);
}

int unpack_check(struct slice entry, struct pack_head *ret, uint64_t *ret_messages)
{
    struct unpack u = {.rest = entry};
    struct msg_meta meta;
    struct msg_view v;

    *ret_messages = 0;
    if (!take_head(&u.rest, ret) || !ret->first)
        return -EPROTO;
    while (u.rest.n) {
        if (!take_run(&u) || name_topic_error(u.topic, NAME_OF_CLIENT))
            return -EPROTO;
        for (; u.left; u.left--, ++*ret_messages)
            if (!take_message(&u.rest, &v, &meta) || !is_good(&meta))
                return -EPROTO;
    }
    return !__builtin_add_overflow(ret->first, *ret_messages, &(uint64_t){0}) ? 0 : -EPROTO;
}

void unpack_begin(struct unpack *u, struct slice entry)
{
    struct pack_head head;

    *u = (struct unpack){.rest = entry};
    (void)take_head(&u->rest, &head);
}

uint32_t unpack_next(struct unpack *u, struct msg_view *v, struct msg_meta *metas, uint32_t max,
                     struct origin *from)
{
    struct slice id;
    uint32_t n = 0;

    if (!u->left && (!u->rest.n || !take_run(u)))
        return 0;
    *from = u->at;
    for (; n < max && u->left; n++, u->left--) {
        if (!take_message(&u->rest, &v[n], &metas[n]))
            break;
        metas[n].dedup = v[n].meta && headers_find(metas[n].headers, SLICE("$dedup"), &id);
    }
    u->at.id += n;
    return n;
}
