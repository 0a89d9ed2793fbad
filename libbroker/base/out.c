#include "libbroker/base/out.h"

#include <errno.h>
#include <stdlib.h>

void out_init(struct out *o, const struct out_ops *ops, struct block_pool *pool)
{
    *o = (struct out){.ops = ops, .pool = pool};
}

static struct out_seg *seg_at(const struct out *o, uint32_t i)
{
    return &o->seg[(o->seg_head + i) & (o->seg_cap - 1)];
}

static void seg_release(struct out *o, struct out_seg *s)
{
    if (s->block == o->tail) {
        o->tail = NULL;
        o->tail_used = 0;
    }
    block_pool_put(o->pool, s->block);
}

void out_fini(struct out *o)
{
    for (uint32_t i = 0; i < o->seg_n; i++)
        seg_release(o, seg_at(o, i));
    free(o->seg);
    out_init(o, o->ops, o->pool);
}

/* Make the ring larger; the first time it is small, since most connections have one segment. */
static int seg_grow(struct out *o)
{
    uint32_t cap = o->seg_cap ? o->seg_cap * 2 : 4;
    struct out_seg *seg = malloc(cap * sizeof *seg);

    if (!seg)
        return -ENOMEM;
    for (uint32_t i = 0; i < o->seg_n; i++)
        seg[i] = *seg_at(o, i);
    free(o->seg);
    o->seg = seg;
    o->seg_cap = cap;
    o->seg_head = 0;
    return 0;
}

/* Append a segment; the reference on `block` passes to the output, also on failure. */
static int seg_push(struct out *o, struct block *block, const uint8_t *p, size_t n)
{
    if (o->seg_n == o->seg_cap && seg_grow(o) < 0) {
        block_pool_put(o->pool, block);
        o->broken = true;
        return -ENOMEM;
    }
    o->seg_n++;
    *seg_at(o, o->seg_n - 1) = (struct out_seg){p, n, block};
    return 0;
}

/* A block of its own for the next bytes. A run that fills a page gets a large one, a lone
 * message on one of a thousand connections only a page. */
static uint8_t *tail_new(struct out *o, size_t n)
{
    struct block *b;

    if (o->broken)
        return NULL;
    b = block_pool_get(o->pool, o->pending && n <= BLOCK_LARGE ? BLOCK_LARGE : n);
    if (!b) {
        o->broken = true;
        return NULL;
    }
    if (seg_push(o, b, b->bytes, 0) < 0)
        return NULL;
    o->tail = b;
    o->tail_used = 0;
    return b->bytes;
}

uint8_t *out_reserve(struct out *o, size_t n)
{
    if (o->tail && o->tail->size - o->tail_used >= n && !o->broken)
        return o->tail->bytes + o->tail_used;
    return tail_new(o, n);
}

void out_commit(struct out *o, size_t n)
{
    seg_at(o, o->seg_n - 1)->n += n;
    o->tail_used += n;
    o->pending += n;
    o->end += n;
}

int out_copy(struct out *o, const void *p, size_t n)
{
    uint8_t *to = out_reserve(o, n);

    if (!to)
        return -ENOMEM;
    if (n)
        memcpy(to, p, n);
    out_commit(o, n);
    return 0;
}

int out_block(struct out *o, struct block *block, struct slice s)
{
    if (o->broken)
        return -ENOMEM;
    o->tail = NULL; /* bytes may not be added before the reference; a later one opens anew */
    if (seg_push(o, block_ref(block), s.p, s.n) < 0)
        return -ENOMEM;
    o->pending += s.n;
    o->end += s.n;
    return 0;
}

void out_end(struct out *o)
{
    if (!o->ops)
        return;
    if (o->pending >= (o->blocked ? OUT_HIGH_WATER : OUT_FLUSH_NOW)) {
        o->ops->flush(o);
    } else if (!o->is_dirty) {
        o->is_dirty = true;
        o->ops->dirty(o);
    }
}

/* Copies into blocks of the pool's larger size: what is left of a long run must not need one piece
 * of memory of its own length. */
static void copy_in_pieces(struct out *o, struct slice s)
{
    while (s.n) {
        size_t n = s.n < BLOCK_LARGE ? s.n : BLOCK_LARGE;

        if (out_copy(o, s.p, n) < 0)
            return; /* broken */
        s = slice_from(s, n);
    }
}

/* What was lent to the output and could not be written leaves it again. */
static struct slice take_back(struct out *o)
{
    struct out_seg *s = o->seg_n ? seg_at(o, o->seg_n - 1) : NULL;

    if (!s || s->block)
        return slice_of(NULL, 0);
    o->seg_n--;
    o->pending -= s->n;
    o->end -= s->n;
    return slice_of(s->p, s->n);
}

void out_write(struct out *o, struct slice s)
{
    if (!o->ops || o->blocked || o->broken || o->pending + s.n < OUT_FLUSH_NOW) {
        copy_in_pieces(o, s);
        out_end(o);
        return;
    }
    o->tail = NULL;
    if (seg_push(o, NULL, s.p, s.n) < 0)
        return;
    o->pending += s.n;
    o->end += s.n;
    o->ops->flush(o);
    copy_in_pieces(o, take_back(o));
}

int out_peek(const struct out *o, struct iovec *iov, int max)
{
    int n = 0;

    for (uint32_t i = 0; i < o->seg_n && n < max; i++) {
        const struct out_seg *s = seg_at(o, i);

        if (s->n)
            iov[n++] = (struct iovec){(void *)(uintptr_t)s->p, s->n};
    }
    return n;
}

void out_consume(struct out *o, size_t n)
{
    o->pending -= n;
    while (o->seg_n) {
        struct out_seg *s = seg_at(o, 0);

        if (n < s->n) {
            s->p += n;
            s->n -= n;
            return;
        }
        n -= s->n;
        seg_release(o, s);
        o->seg_head = (o->seg_head + 1) & (o->seg_cap - 1);
        o->seg_n--;
    }
    if (o->seg_cap > 4) { /* a burst is over; the smallest ring stays */
        free(o->seg);
        o->seg = NULL;
        o->seg_cap = o->seg_head = 0;
    }
}

void out_compact(struct out *o)
{
    struct out_seg *s;
    struct block *b;

    if (o->seg_n != 1)
        return;
    s = seg_at(o, 0);
    if (s->block->size < 2 * s->n + BLOCK_SMALL / 4 || s->n > BLOCK_LARGE)
        return;
    b = block_new(s->n);
    if (!b)
        return; /* nothing lost: the larger block stays */
    memcpy(b->bytes, s->p, s->n);
    seg_release(o, s);
    *s = (struct out_seg){b->bytes, b->size, b};
}
