#include "brokerd/core/mail.h"

#include "brokerd/core/call_mail.h"

/* What is packed begins with the topic, the type's name and this. */
struct packed_form {
    uint32_t head_room; /* not 0: what follows are n lengths (uint32_t), padded, and then the
                         * messages as they lay, each behind so many bytes of no more use;
                         * 0: what follows are messages one by one (packed_msg) */
    uint32_t unused;
};

/* A message packed by itself: this, then headers, type name and, unless it lies in a block, the
 * data; padded to eight bytes. */
struct packed_msg {
    struct block *block;
    const uint8_t *data; /* in the block */
    int64_t ttl_ms;
    uint32_t len;
    uint16_t headers_n;
    uint8_t type_id, type_n;
    bool has_meta, dedup;
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

void mail_lost(struct core *c)
{
    c->count.reason[REASON_MEMORY]++;
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

/* Do the messages lie one behind the other, with nothing but head room between? As they mostly do,
 * plain ones of one stream. Then they are copied as one piece, and the other worker's door may
 * write its heads between them and send that piece: 128 bytes handed over took 266 instructions
 * when each was packed by itself, 133 so. */
static bool lies_in_one(const struct run *run)
{
    const struct msg_view *v = run->v, *end = v + run->n;
    const uint8_t *p = v->data - run->head_room;

    if (!run->head_room)
        return false;
    for (; v < end; v++) {
        if (v->data != p + run->head_room || v->meta || by_reference(v))
            return false;
        p = v->data + v->len;
    }
    return true;
}

static size_t lengths_size(uint32_t n)
{
    return pad8(n * sizeof(uint32_t));
}

struct packing mail_measure(struct slice topic, const struct run *run)
{
    struct packing k = {.size = pad8(topic.n + type_name_n(run->type)) + sizeof(struct packed_form),
                        .in_one = lies_in_one(run)};

    if (k.in_one) {
        k.size += lengths_size(run->n) + run->n * (size_t)run->head_room + run->bytes;
        return k;
    }
    for (uint32_t i = 0; i < run->n; i++) {
        k.size += packed_size(&run->v[i]);
        k.refers += by_reference(&run->v[i]) ? run->v[i].len : 0;
    }
    return k;
}

struct mail_run *mail_post_run(struct core *c, unsigned to, const struct packing *k, bool credited)
{
    struct entry *e =
        c->ops->post(c->ctx, to, pad8(sizeof(struct mail_run) + k->size), credited, k->refers);

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
        p->dedup = v->meta->dedup;
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

static void pack_in_one(uint8_t *to, const struct run *run)
{
    uint32_t *len = (uint32_t *)to;
    const uint8_t *first = run->v->data - run->head_room;
    const struct msg_view *last = &run->v[run->n - 1];

    for (uint32_t i = 0; i < run->n; i++)
        len[i] = run->v[i].len;
    memcpy(to + lengths_size(run->n), first, (size_t)(last->data + last->len - first));
}

void mail_pack(uint8_t *to, struct slice topic, const struct run *run, const struct packing *k)
{
    struct packed_form form = {.head_room = k->in_one ? run->head_room : 0};

    put(put(to, topic), slice_of(run->type.name.p, type_name_n(run->type)));
    to += pad8(topic.n + type_name_n(run->type));
    memcpy(to, &form, sizeof form);
    to += sizeof form;
    if (k->in_one) {
        pack_in_one(to, run);
        return;
    }
    for (uint32_t i = 0; i < run->n; i++)
        to = pack_one(to, &run->v[i]);
}

/* The message after `p`. */
static const struct packed_msg *after(const struct packed_msg *p)
{
    size_t n = (size_t)p->headers_n + p->type_n + (p->block ? 0 : p->len);

    return (const struct packed_msg *)((const uint8_t *)(p + 1) + pad8(n));
}

static const struct packed_form *form_of(const struct packed *p)
{
    return (const struct packed_form *)(p->bytes + pad8((size_t)p->topic_n + p->type_n));
}

static void unpack_in_one(const struct packed_form *form, uint32_t n, struct msg_view *v)
{
    const uint32_t *len = (const uint32_t *)(form + 1);
    const uint8_t *at = (const uint8_t *)len + lengths_size(n);

    for (uint32_t i = 0; i < n; i++) {
        at += form->head_room;
        v[i] = (struct msg_view){.data = at, .len = len[i]};
        at += len[i];
    }
}

static void unpack_one(const struct packed_msg *m, struct msg_view *v, struct msg_meta *meta)
{
    const uint8_t *at = (const uint8_t *)(m + 1);

    *v = (struct msg_view){.len = m->len, .block = m->block};
    if (m->has_meta) {
        *meta = (struct msg_meta){
            .headers = slice_of(at, m->headers_n),
            .type = {m->type_id, slice_of(at + m->headers_n, m->type_n)},
            .ttl_ms = m->ttl_ms,
            .dedup = m->dedup,
        };
        v->meta = meta;
    }
    v->data = m->block ? m->data : at + m->headers_n + m->type_n;
}

uint8_t mail_unpack(const struct packed *p, struct msg_view *v, struct msg_meta *metas)
{
    const struct packed_form *form = form_of(p);
    const struct packed_msg *m = (const struct packed_msg *)(form + 1);

    if (form->head_room)
        unpack_in_one(form, p->n, v);
    else
        for (uint32_t i = 0; i < p->n; i++, m = after(m))
            unpack_one(m, &v[i], &metas[i]);
    return (uint8_t)form->head_room;
}

void mail_unref(const struct packed *p)
{
    const struct packed_form *form = form_of(p);
    const struct packed_msg *m = (const struct packed_msg *)(form + 1);

    for (uint32_t i = 0; i < p->n && !form->head_room; i++, m = after(m))
        block_unref(m->block);
}

static struct packed packed_of(const struct entry *e)
{
    if (e->kind == MAIL_RUN || e->kind == MAIL_FOREIGN) {
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

    call_mail_release(e);
    if (e->kind != MAIL_RUN && e->kind != MAIL_FOREIGN && e->kind != MAIL_DELIVER)
        return;
    p = packed_of(e);
    mail_unref(&p);
}
