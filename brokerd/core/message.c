#include "brokerd/core/message.h"

#include <assert.h>
#include <stdlib.h>

/* A payload of this size and more stays in its block instead of being copied, unless that would
 * hold more than four times its size. */
enum { REFER_FROM = 16384, REFER_SHARE = 4 };

struct topic *topic_new(struct slice name, uint32_t hash)
{
    struct topic *t = malloc(sizeof *t + name.n + 1);

    if (!t)
        return NULL;
    *t = (struct topic){.refs = 1, .hash = hash, .len = (uint16_t)name.n};
    if (name.n)
        memcpy(t->name, name.p, name.n);
    t->name[name.n] = '\0';
    return t;
}

void topic_free(struct topic *t)
{
    free(t);
}

static bool refers(const struct msg_view *v)
{
    return v->block && v->len >= REFER_FROM && (uint64_t)v->len * REFER_SHARE >= v->block->size;
}

static struct ctype type_of(const struct msg_view *v, struct ctype run_type)
{
    struct ctype type = run_type;

    if (v->meta && v->meta->type.id != CTYPE_NONE)
        type = v->meta->type;
    if (type.id != CTYPE_NAMED)
        type.name = slice_of(NULL, 0);
    return type;
}

/* What it costs the budget: `size` bytes in the pool, and the block it refers to. */
static uint32_t charge_for(size_t size, const struct block *block, uint32_t len)
{
    uint64_t bytes = pool_room(size);

    if (block)
        bytes += block->size > len ? block->size : len;
    return bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
}

static uint8_t *put(uint8_t *at, const void *p, size_t n)
{
    if (n)
        memcpy(at, p, n);
    return at + n;
}

static int64_t expiry(const struct msg_view *v, int64_t now_ms)
{
    int64_t at;

    if (!v->meta || v->meta->ttl_ms <= 0 || __builtin_add_overflow(now_ms, v->meta->ttl_ms, &at))
        return INT64_MAX;
    return at;
}

struct msg *msg_keep(struct pool *pool, const struct msg_view *v, const struct msg_origin *from)
{
    struct ctype type = type_of(v, from->type);
    struct slice headers = v->meta ? v->meta->headers : slice_of(NULL, 0);
    struct block *block = refers(v) ? v->block : NULL;
    size_t size = sizeof(struct msg) + type.name.n + headers.n + (block ? 0 : v->len);
    struct msg *m = pool_get(pool, size);
    uint8_t *at;

    if (!m)
        return NULL;
    assert(headers.n <= UINT16_MAX && type.name.n <= UINT8_MAX);
    *m = (struct msg){
        .refs = 1,
        .len = v->len,
        .data = v->data,
        .topic = topic_ref(from->topic),
        .block = block,
        .id = from->id,
        .time_ms = from->time_ms,
        .expires_ms = expiry(v, from->now_ms),
        .charge = charge_for(size, block, v->len),
        .headers_len = (uint16_t)headers.n,
        .type_id = type.id,
        .type_len = (uint8_t)type.name.n,
    };
    at = put(put(m->tail, type.name.p, type.name.n), headers.p, headers.n);
    if (block) {
        block_ref(block);
    } else {
        m->data = at;
        put(at, v->data, v->len);
    }
    return m;
}

void msg_free(struct pool *pool, struct msg *m)
{
    topic_unref(m->topic);
    if (m->block)
        block_unref(m->block);
    pool_put(pool, m, sizeof *m + m->type_len + m->headers_len + (m->block ? 0 : m->len));
}
