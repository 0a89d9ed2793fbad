#include "brokerd/core/mail.h"

/* A packed message: this, then headers, type name and, unless it lies in a block, the data;
 * padded to eight bytes. */
struct packed_msg {
    struct block *block;
    const uint8_t *data; /* in the block */
    int64_t ttl_ms;
    uint32_t len;
    uint16_t headers_n;
    uint8_t type_id, type_n;
    bool has_meta;
};

static size_t pad8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

void *mail_post(struct core *c, unsigned to, enum mail_kind kind, size_t size, bool credited)
{
    struct entry *e = c->ops->post(c->ctx, to, pad8(size), credited, 0);

    if (e)
        e->kind = (uint16_t)kind;
    return e;
}

/* A small payload is copied, so that it does not pin the block it was read into. */
static bool by_reference(const struct msg_view *v)
{
    return v->block && v->len >= 16 * 1024;
}

static size_t packed_size(const struct msg_view *v)
{
    size_t n = by_reference(v) ? 0 : v->len;

    if (v->meta)
        n += v->meta->headers.n + (v->meta->type.id == CTYPE_NAMED ? v->meta->type.name.n : 0);
    return sizeof(struct packed_msg) + pad8(n);
}

static size_t type_name_n(struct ctype t)
{
    return t.id == CTYPE_NAMED ? t.name.n : 0;
}

size_t mail_pack_size(struct slice topic, const struct run *run)
{
    size_t n = pad8(topic.n + type_name_n(run->type));

    for (uint32_t i = 0; i < run->n; i++)
        n += packed_size(&run->v[i]);
    return n;
}

struct mail_run *mail_post_run(struct core *c, unsigned to, struct slice topic,
                               const struct run *run, bool credited)
{
    size_t size = sizeof(struct mail_run) + mail_pack_size(topic, run), refers = 0;
    struct entry *e;

    for (uint32_t i = 0; i < run->n; i++)
        refers += by_reference(&run->v[i]) ? run->v[i].len : 0;
    e = c->ops->post(c->ctx, to, pad8(size), credited, refers);
    if (e)
        e->kind = MAIL_RUN;
    return (struct mail_run *)e;
}

static uint8_t *put(uint8_t *to, struct slice s)
{
    if (s.n)
        memcpy(to, s.p, s.n);
    return to + s.n;
}

static uint8_t *pack_one(uint8_t *to, const struct msg_view *v)
{
    struct packed_msg *p = (struct packed_msg *)to;
    uint8_t *at = to + sizeof *p;

    *p = (struct packed_msg){.len = v->len, .type_id = CTYPE_NONE};
    if (v->meta) {
        p->has_meta = true;
        p->ttl_ms = v->meta->ttl_ms;
        p->headers_n = (uint16_t)v->meta->headers.n;
        p->type_id = v->meta->type.id;
        p->type_n = (uint8_t)type_name_n(v->meta->type);
        at = put(at, v->meta->headers);
        at = put(at, slice_of(v->meta->type.name.p, p->type_n));
    }
    if (by_reference(v)) {
        p->block = block_ref(v->block);
        p->data = v->data;
    } else {
        put(at, slice_of(v->data, v->len));
    }
    return to + packed_size(v);
}

void mail_pack(uint8_t *to, struct slice topic, const struct run *run)
{
    put(put(to, topic), slice_of(run->type.name.p, type_name_n(run->type)));
    to += pad8(topic.n + type_name_n(run->type));
    for (uint32_t i = 0; i < run->n; i++)
        to = pack_one(to, &run->v[i]);
}

/* The message after `p`. */
static const struct packed_msg *after(const struct packed_msg *p)
{
    size_t n = (size_t)p->headers_n + p->type_n + (p->block ? 0 : p->len);

    return (const struct packed_msg *)((const uint8_t *)(p + 1) + pad8(n));
}

static const struct packed_msg *first_of(const struct packed *p)
{
    return (const struct packed_msg *)(p->bytes + pad8((size_t)p->topic_n + p->type_n));
}

void mail_unpack(const struct packed *p, struct msg_view *v, struct msg_meta *metas)
{
    const struct packed_msg *m = first_of(p);

    for (uint32_t i = 0; i < p->n; i++, m = after(m)) {
        const uint8_t *at = (const uint8_t *)(m + 1);

        v[i] = (struct msg_view){.len = m->len, .block = m->block};
        if (m->has_meta) {
            metas[i] = (struct msg_meta){
                .headers = slice_of(at, m->headers_n),
                .type = {m->type_id, slice_of(at + m->headers_n, m->type_n)},
                .ttl_ms = m->ttl_ms,
            };
            v[i].meta = &metas[i];
        }
        v[i].data = m->block ? m->data : at + m->headers_n + m->type_n;
    }
}

void mail_unref(const struct packed *p)
{
    const struct packed_msg *m = first_of(p);

    for (uint32_t i = 0; i < p->n; i++, m = after(m))
        block_unref(m->block);
}

static struct packed packed_of(const struct entry *e)
{
    if (e->kind == MAIL_RUN) {
        const struct mail_run *r = (const struct mail_run *)e;

        return (struct packed){r->bytes, r->topic_n, r->type_n, r->n};
    } else {
        const struct mail_deliver *d = (const struct mail_deliver *)e;

        return (struct packed){d->bytes + d->gaps_n * sizeof(struct gap), d->topic_n, d->type_n,
                               d->n};
    }
}

void entry_release(struct entry *e)
{
    struct packed p;

    if (e->kind != MAIL_RUN && e->kind != MAIL_DELIVER)
        return;
    p = packed_of(e);
    mail_unref(&p);
}
