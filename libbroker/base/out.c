#include "libbroker/base/out.h"

#include <errno.h>
#include <stdlib.h>

void out_init(struct out *o, struct out_host *host)
{
    *o = (struct out){.host = host};
}

/* ---- the line */

static struct out_seg *seg_at(const struct out_line *l, uint32_t i)
{
    return &l->seg[(l->seg_head + i) & (l->seg_cap - 1)];
}

static void seg_release(struct out *o, struct out_seg *s)
{
    if (!s->block)
        return; /* lent */
    if (s->block == o->line->tail) {
        o->line->tail = NULL;
        o->line->tail_used = 0;
    }
    block_pool_put(o->host->pool, s->block);
}

/* Take the first out. */
static void seg_drop(struct out *o)
{
    struct out_line *l = o->line;

    seg_release(o, seg_at(l, 0));
    l->seg_head = (l->seg_head + 1) & (l->seg_cap - 1);
    l->seg_n--;
}

static struct out_line *line_new(struct out_host *h)
{
    struct out_line *l;

    if (h->lines_n)
        return h->line[--h->lines_n];
    l = malloc(sizeof *l);
    if (l)
        *l = (struct out_line){.seg = l->few, .seg_cap = OUT_SEGS};
    return l;
}

/* Without segments it is not needed any more; the larger ring of a burst is over with it. */
static void line_drop(struct out *o)
{
    struct out_line *l = o->line;

    if (!l)
        return;
    o->line = NULL;
    if (l->seg != l->few) {
        free(l->seg);
        l->seg = l->few;
        l->seg_cap = OUT_SEGS;
    }
    if (o->host->lines_n < OUT_LINES_KEPT)
        o->host->line[o->host->lines_n++] = l;
    else
        free(l);
}

void out_host_fini(struct out_host *h)
{
    while (h->lines_n)
        free(h->line[--h->lines_n]);
}

void out_fini(struct out *o)
{
    while (o->line && o->line->seg_n)
        seg_drop(o);
    line_drop(o);
    out_init(o, o->host);
}

static int seg_grow(struct out_line *l)
{
    uint32_t cap = l->seg_cap * 2;
    struct out_seg *seg = malloc(cap * sizeof *seg);

    if (!seg)
        return -ENOMEM;
    for (uint32_t i = 0; i < l->seg_n; i++)
        seg[i] = *seg_at(l, i);
    if (l->seg != l->few)
        free(l->seg);
    l->seg = seg;
    l->seg_cap = cap;
    l->seg_head = 0;
    return 0;
}

/* Append a segment; the reference on `block` passes to the output, also on failure. */
static int seg_push(struct out *o, struct block *block, const uint8_t *p, size_t n)
{
    struct out_line *l = o->line ? o->line : line_new(o->host);

    o->line = l;
    if (!l || (l->seg_n == l->seg_cap && seg_grow(l) < 0)) {
        block_pool_put(o->host->pool, block);
        o->broken = true;
        return -ENOMEM;
    }
    l->seg_n++;
    *seg_at(l, l->seg_n - 1) = (struct out_seg){p, n, block};
    return 0;
}

/* Bytes may not be added before what is appended next. */
static void end_tail(struct out *o)
{
    if (o->line)
        o->line->tail = NULL;
}

/* A block of its own for the next bytes. A run that fills a page gets a large one, a lone
 * message on one of a thousand connections only a page. */
static uint8_t *tail_new(struct out *o, size_t n)
{
    struct block *b;

    if (o->broken)
        return NULL;
    b = block_pool_get(o->host->pool, o->pending && n <= BLOCK_LARGE ? BLOCK_LARGE : n);
    if (!b) {
        o->broken = true;
        return NULL;
    }
    if (seg_push(o, b, b->bytes, 0) < 0)
        return NULL;
    o->line->tail = b;
    o->line->tail_used = 0;
    return b->bytes;
}

uint8_t *out_reserve(struct out *o, size_t n)
{
    const struct out_line *l = o->line;

    if (l && l->tail && l->tail->size - l->tail_used >= n && !o->broken)
        return l->tail->bytes + l->tail_used;
    return tail_new(o, n);
}

void out_commit(struct out *o, size_t n)
{
    struct out_line *l = o->line;

    seg_at(l, l->seg_n - 1)->n += n;
    l->tail_used += n;
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
    end_tail(o);
    if (seg_push(o, block_ref(block), s.p, s.n) < 0)
        return -ENOMEM;
    o->pending += s.n;
    o->end += s.n;
    return 0;
}

void out_end(struct out *o)
{
    if (!o->host->flush)
        return;
    if (o->pending >= (o->blocked ? OUT_HIGH_WATER : OUT_FLUSH_NOW)) {
        o->host->flush(o);
    } else if (!o->is_dirty) {
        o->is_dirty = true;
        o->host->dirty(o);
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

/* The segment of `o` that holds position `at`, and in *ret_skip how far into it that is. Found from
 * the end: what is new lies there. */
static uint32_t seg_of(const struct out *o, uint64_t at, size_t *ret_skip)
{
    const struct out_line *l = o->line;
    uint64_t left = o->end - at;
    uint32_t i = l->seg_n;

    while (left > seg_at(l, i - 1)->n)
        left -= seg_at(l, --i)->n;
    *ret_skip = seg_at(l, i - 1)->n - (size_t)left;
    return i - 1;
}

void out_append_from(struct out *o, const struct out *from, uint64_t at)
{
    const struct out_line *l = from->line;
    size_t skip;

    if (at == from->end)
        return;
    for (uint32_t i = seg_of(from, at, &skip); i < l->seg_n; i++, skip = 0) {
        const struct out_seg *s = seg_at(l, i);
        struct slice piece = slice_of(s->p + skip, s->n - skip);

        if (s->block && piece.n >= OUT_BY_REFERENCE)
            (void)out_block(o, s->block, piece); /* the output knows when it is broken */
        else
            (void)out_copy(o, piece.p, piece.n);
    }
}

/* What was lent to the output and could not be written leaves it again. */
static struct slice take_back(struct out *o)
{
    struct out_line *l = o->line;
    struct out_seg *s = l && l->seg_n ? seg_at(l, l->seg_n - 1) : NULL;

    if (!s || s->block)
        return slice_of(NULL, 0);
    l->seg_n--;
    o->pending -= s->n;
    o->end -= s->n;
    return slice_of(s->p, s->n);
}

void out_write(struct out *o, struct slice s)
{
    if (!o->host->flush || o->blocked || o->broken || o->pending + s.n < OUT_FLUSH_NOW) {
        copy_in_pieces(o, s);
        out_end(o);
        return;
    }
    end_tail(o);
    if (seg_push(o, NULL, s.p, s.n) < 0)
        return;
    o->pending += s.n;
    o->end += s.n;
    o->host->flush(o);
    copy_in_pieces(o, take_back(o));
}

int out_peek(const struct out *o, struct iovec *iov, int max)
{
    const struct out_line *l = o->line;
    int n = 0;

    for (uint32_t i = 0; l && i < l->seg_n && n < max; i++) {
        const struct out_seg *s = seg_at(l, i);

        if (s->n)
            iov[n++] = (struct iovec){(void *)(uintptr_t)s->p, s->n};
    }
    return n;
}

void out_consume(struct out *o, size_t n)
{
    struct out_line *l = o->line;

    o->pending -= n;
    if (!l)
        return;
    while (l->seg_n) {
        struct out_seg *s = seg_at(l, 0);

        if (n < s->n) {
            s->p += n;
            s->n -= n;
            return;
        }
        n -= s->n;
        seg_drop(o);
    }
    line_drop(o);
}

struct slice out_at(const struct out *o, size_t at)
{
    for (uint32_t i = 0; o->line && i < o->line->seg_n; i++) {
        const struct out_seg *s = seg_at(o->line, i);

        if (at < s->n)
            return slice_of(s->p + at, s->n - at);
        at -= s->n;
    }
    return slice_of(NULL, 0);
}

int out_move(struct out *from, struct out *to, size_t n)
{
    while (n) {
        const struct out_seg *s = seg_at(from->line, 0);
        struct slice part = slice_of(s->p, s->n < n ? s->n : n);

        if (part.n >= OUT_BY_REFERENCE && s->block)
            (void)out_block(to, s->block, part);
        else
            copy_in_pieces(to, part);
        if (to->broken)
            return -ENOMEM;
        out_consume(from, part.n);
        n -= part.n;
    }
    return 0;
}

void out_compact(struct out *o)
{
    struct out_seg *s;
    struct block *b;

    if (!o->line || o->line->seg_n != 1)
        return;
    s = seg_at(o->line, 0);
    if (s->block->size < 2 * s->n + BLOCK_SMALL / 4 || s->n > BLOCK_LARGE)
        return;
    b = block_new(s->n);
    if (!b)
        return; /* nothing lost: the larger block stays */
    memcpy(b->bytes, s->p, s->n);
    seg_release(o, s);
    *s = (struct out_seg){b->bytes, b->size, b};
}
