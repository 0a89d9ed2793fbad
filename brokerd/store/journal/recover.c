#include "brokerd/store/journal/recover.h"

#include <errno.h>
#include <stdlib.h>

/* What the heads say, before anything else is looked at. */
struct known {
    enum segment_status status;
    struct segment_head head; /* SEGMENT_OK */
    bool has_batch;           /* not SEGMENT_OK: there is one nevertheless */
    bool has_bytes;           /* not that either, but something behind the head */
    bool is_told;             /* that it is damaged as a whole */
};

/* The newest list of segments. */
struct list {
    uint32_t segment; /* that has it; 0: there is none that counts */
    uint8_t *bytes;   /* ranges */
    size_t n;
};

struct run {
    const struct journal_source *src;
    struct catalog *c;
    struct recovery *r;
    struct known *known; /* of each file */
    struct list list;
};

static void note_damage(struct run *u, uint32_t segment, uint64_t from, uint64_t to,
                        uint64_t batches)
{
    struct recovery *r = u->r;

    if (r->damaged < DAMAGE_TOLD)
        r->damage[r->damaged] = (struct damage){segment, from, to, batches, false};
    r->damaged++;
    r->lost_batches += batches;
    segments_damaged(&u->c->segments, segment);
}

/* ------------------------------------------------------------------------------------ heads */

/* Of a segment whose head is damaged: is there a batch of this journal? */
static bool has_batch(const struct run *u, struct slice bytes, uint32_t number)
{
    struct scan s = {
        .bytes = bytes, .journal = u->r->journal, .segment = number, .offset = SEGMENT_HEAD};
    struct scanned found;
    enum scan_status is = scan_next(&s, &found);

    return is == SCAN_BATCH || is == SCAN_HOLE;
}

static int look_at_head(struct run *u, size_t i)
{
    struct known *k = &u->known[i];
    uint32_t number = u->src->files[i].number;
    struct slice bytes;
    int r = u->src->load(u->src->ctx, number, SEGMENT_HEAD, &bytes);

    u->r->at = number;
    if (r < 0)
        return r;
    k->status = segment_decode(bytes, &k->head);
    u->r->version = k->head.version;
    if (k->status == SEGMENT_OK && k->head.number != number)
        k->status = SEGMENT_BAD;
    u->src->unload(u->src->ctx, number, bytes);
    if (k->status == SEGMENT_NEWER)
        return -ENOTSUP;
    if (k->status != SEGMENT_OK)
        return 0;
    if (u->r->journal && u->r->journal != k->head.journal)
        return -EXDEV;
    u->r->journal = k->head.journal;
    return 0;
}

/* If no head is left, the first thing that looks like a batch says which journal it is. */
static uint64_t journal_of(struct slice bytes, uint32_t number)
{
    uint64_t journal = 0;

    for (uint64_t at = SEGMENT_HEAD; at + BATCH_HEAD <= bytes.n && !journal; at += 8)
        journal = batch_journal(slice_from(bytes, at), number, (uint32_t)at);
    return journal;
}

static bool has_bytes(struct slice bytes)
{
    for (size_t i = SEGMENT_HEAD; i < bytes.n; i++)
        if (bytes.p[i])
            return true;
    return false;
}

static int look_beyond_head(struct run *u, size_t i)
{
    uint32_t number = u->src->files[i].number;
    struct slice bytes;
    int r;

    if (u->known[i].status == SEGMENT_OK)
        return 0;
    u->r->at = number;
    r = u->src->load(u->src->ctx, number, UINT64_MAX, &bytes);
    if (r < 0)
        return r;
    if (!u->r->journal)
        u->r->journal = journal_of(bytes, number);
    u->known[i].has_batch = u->r->journal && has_batch(u, bytes, number);
    u->known[i].has_bytes = has_bytes(bytes);
    u->src->unload(u->src->ctx, number, bytes);
    return 0;
}

static int look_at_heads(struct run *u)
{
    int r = 0;

    for (size_t i = 0; i < u->src->files_n && r == 0; i++)
        r = look_at_head(u, i);
    for (size_t i = 0; i < u->src->files_n && r == 0; i++)
        r = look_beyond_head(u, i);
    return r;
}

static bool is_used(const struct run *u, size_t i)
{
    return u->known[i].status == SEGMENT_OK || u->known[i].has_batch;
}

/* ---------------------------------------------------------------------------------- batches */

static int undecoded(struct run *u, struct slice record)
{
    u->r->newer_kind = record_newer(record);
    return u->r->newer_kind ? -ENOTSUP : -EPROTO;
}

/* It ends with the segment that it is in, and rises. */
static bool is_list(struct slice ranges, uint32_t segment)
{
    uint32_t first, last, before = 0;
    size_t i = 0;

    for (; range_decode(ranges, i, &first, &last); i++) {
        if (first <= before || last < first)
            return false;
        before = last;
    }
    return i && before == segment;
}

static int take_list(struct run *u, const struct record *r, uint32_t segment)
{
    struct list *l = &u->list;
    uint8_t *grown;

    if (!is_list(r->data, segment))
        return -EPROTO;
    grown = realloc(l->bytes, r->data.n);
    if (!grown)
        return -ENOMEM;
    memcpy(grown, r->data.p, r->data.n);
    *l = (struct list){segment, grown, r->data.n};
    return 0;
}

static int apply_batch(struct run *u, const struct scanned *b)
{
    uint64_t at = 0, n = 0;

    for (; at < b->records.n; n++) {
        struct record rec;
        int r;

        if (!record_decode(slice_from(b->records, at), &rec))
            return undecoded(u, slice_from(b->records, at));
        if (rec.kind == RECORD_SEGMENTS)
            r = take_list(u, &rec, b->head.segment);
        else
            r = catalog_apply(u->c, &rec, b->head.segment, (uint32_t)(b->from + BATCH_HEAD + at));
        if (r < 0)
            return r;
        at += rec.size;
    }
    if (n != b->head.records_n)
        return -EPROTO;
    u->r->records += n;
    u->r->batches++;
    return 0;
}

/* A batch that is whole; those missing before it are lost. */
static int take_batch(struct run *u, const struct scanned *b, uint64_t *hole)
{
    struct recovery *r = u->r;
    uint64_t lost = r->next_batch ? b->head.number - r->next_batch : 0;

    if (*hole || lost)
        note_damage(u, b->head.segment, *hole ? *hole : b->from, b->from, lost);
    *hole = 0;
    r->next_batch = b->head.number + 1;
    r->last_end = b->to;
    r->last_batch = b->from;
    return apply_batch(u, b);
}

/* The segment after i that has anything in it; SIZE_MAX: there is none. */
static size_t used_after(const struct run *u, size_t i)
{
    for (size_t k = i + 1; k < u->src->files_n; k++)
        if (is_used(u, k))
            return k;
    return SIZE_MAX;
}

/* Was file k the next to be written to after file i? */
static bool follows(const struct run *u, size_t i, size_t k)
{
    return u->src->files[k].number == u->src->files[i].number + 1;
}

/* The batches of segment i end where `tail` begins, whose bytes still count. */
static void end_segment(struct run *u, size_t i, const struct scanned *tail, bool torn)
{
    size_t k = used_after(u, i);
    uint32_t number = u->src->files[i].number;
    struct recovery *r = u->r;
    uint64_t damaged = r->damaged, lost = 0;

    if (k == SIZE_MAX) {
        segments_end(&u->c->segments, number, tail->from);
        r->torn_bytes = torn ? tail->to - tail->from : 0;
        return;
    }
    if (follows(u, i, k) && u->known[k].status != SEGMENT_OK) {
        if (torn)
            note_damage(u, number, tail->from, tail->to, 0); /* its first batch says how many */
        return;
    }
    if (follows(u, i, k)) {
        const struct segment_head *h = &u->known[k].head;

        if (r->next_batch && h->batch > r->next_batch)
            lost = h->batch - r->next_batch;
        if (lost || h->previous_end > tail->from)
            note_damage(u, number, tail->from, h->previous_end, lost);
    } else if (tail->to > tail->from) { /* it was closed, and cut where it ended */
        note_damage(u, number, tail->from, tail->to, 1);
    }
    if (r->damaged == damaged)
        segments_end(&u->c->segments, number, tail->from);
}

/* As far as the bytes of segment i count: its successor knows. */
static struct slice counting(const struct run *u, size_t i, struct slice bytes)
{
    size_t k = used_after(u, i);

    if (k != SIZE_MAX && follows(u, i, k) && u->known[k].status == SEGMENT_OK &&
        u->known[k].head.previous_end < bytes.n)
        bytes.n = u->known[k].head.previous_end;
    return bytes;
}

/* The first batch of segment i has which number, as far as is known? Those of segments that were
 * cleared are missing, and not lost. */
static void begin_segment(struct run *u, size_t i)
{
    const struct known *k = &u->known[i];

    u->r->last_segment = u->src->files[i].number;
    u->r->last_end = SEGMENT_HEAD;
    u->r->last_batch = 0;
    if (k->status == SEGMENT_OK) {
        u->r->next_batch = k->head.batch;
        return;
    }
    note_damage(u, u->r->last_segment, 0, SEGMENT_HEAD, 0);
    if (i == 0 || !follows(u, i - 1, i))
        u->r->next_batch = 0;
}

static int scan_segment(struct run *u, size_t i, struct slice bytes)
{
    uint32_t number = u->src->files[i].number;
    struct scan s = {.bytes = counting(u, i, bytes),
                     .journal = u->r->journal,
                     .segment = number,
                     .offset = SEGMENT_HEAD};
    struct scanned found;
    uint64_t hole = 0;
    int r;

    begin_segment(u, i);
    s.next = u->r->next_batch;
    for (;;) {
        enum scan_status is = scan_next(&s, &found);

        if (is == SCAN_TAIL || is == SCAN_END) {
            end_segment(u, i, &found, is == SCAN_TAIL);
            return 0;
        }
        if (is == SCAN_HOLE) {
            hole = found.from;
            continue;
        }
        r = take_batch(u, &found, &hole);
        if (r < 0)
            return r;
    }
}

/* Does segment i say that it followed the one before it? */
static bool followed(const struct run *u, size_t i)
{
    return u->known[i].status == SEGMENT_OK && follows(u, i - 1, i) &&
           u->known[i].head.previous == u->src->files[i - 1].number;
}

/* Segments before file i have nothing in them, not even a head. If that one says that it followed
 * one of them, it had something. */
static void note_lost_segment(struct run *u, size_t i)
{
    const struct segment_head *h = &u->known[i].head;
    const struct journal_file *f = &u->src->files[i - 1];

    if (!followed(u, i))
        return;
    note_damage(u, f->number, 0, f->size, u->r->next_batch ? h->batch - u->r->next_batch : 1);
    u->known[i - 1].is_told = true;
    u->r->torn_bytes = 0;
}

/* File i has no batch and no head. A head comes before all else, synced: where there is no more
 * than a part of one, there never was. */
static void skip_segment(struct run *u, size_t i)
{
    const struct journal_file *f = &u->src->files[i];

    u->r->blank++;
    if (u->known[i].has_bytes && (i + 1 == u->src->files_n || !followed(u, i + 1))) {
        note_damage(u, f->number, 0, f->size, 1);
        u->known[i].is_told = true;
    } else if (u->known[i].status == SEGMENT_BAD) {
        u->r->torn_bytes += f->size;
    }
}

static int read_segment(struct run *u, size_t i)
{
    const struct journal_file *f = &u->src->files[i];
    struct slice bytes;
    int r;

    if (!is_used(u, i)) {
        skip_segment(u, i);
        return 0;
    }
    if (u->r->blank)
        note_lost_segment(u, i);
    u->r->blank = 0;
    u->r->at = f->number;
    r = segments_add(&u->c->segments, f->number, f->size);
    if (r < 0)
        return r;
    r = u->src->load(u->src->ctx, f->number, UINT64_MAX, &bytes);
    if (r < 0)
        return r;
    r = scan_segment(u, i, bytes);
    u->src->unload(u->src->ctx, f->number, bytes);
    if (u->r->last_batch && u->list.segment != f->number)
        u->list.segment = 0; /* what it said is not known */
    return r;
}

/* --------------------------------------------------------------------------------- all of them */

/* Where the first of these is whose number is at least `number`. */
static size_t from(const struct journal_file *f, size_t n, uint64_t number)
{
    size_t low = 0;

    while (low < n) {
        size_t mid = low + (n - low) / 2;

        if (f[mid].number < number)
            low = mid + 1;
        else
            n = mid;
    }
    return low;
}

/* The first number from `number` on of which something is known: there is a file, or it was
 * cleared. */
static uint64_t next_known(const struct run *u, uint64_t number)
{
    const struct journal_source *s = u->src;
    size_t i = from(s->files, s->files_n, number), k = from(s->cleared, s->cleared_n, number);
    uint64_t file = i < s->files_n ? s->files[i].number : UINT64_MAX;
    uint64_t cleared = k < s->cleared_n ? s->cleared[k].number : UINT64_MAX;

    return file < cleared ? file : cleared;
}

static void note_missing(struct run *u, uint64_t first, uint64_t end)
{
    struct recovery *r = u->r;

    for (uint64_t n = first; n < end && r->damaged + (n - first) < DAMAGE_TOLD; n++)
        r->damage[r->damaged + (n - first)] =
            (struct damage){.segment = (uint32_t)n, .missing = true};
    r->damaged += end - first;
    r->missing += end - first;
}

/* A file with nothing in it that should have something. */
static void note_emptied(struct run *u, uint64_t number)
{
    const struct journal_source *s = u->src;
    size_t i = from(s->files, s->files_n, number);

    if (i < s->files_n && s->files[i].number == number && !is_used(u, i) && !u->known[i].is_told)
        note_damage(u, (uint32_t)number, 0, s->files[i].size, 1);
}

/* All these there should be, but for what was cleared. */
static void expect_segments(struct run *u, uint64_t first, uint64_t last)
{
    while (first <= last) {
        uint64_t known = next_known(u, first);

        if (known > last) {
            note_missing(u, first, last + 1);
            return;
        }
        note_missing(u, first, known);
        note_emptied(u, known);
        first = known + 1;
    }
}

/* What the newest list names, what was begun since, and what is known to have been begun last. */
static void expect_all(struct run *u)
{
    struct slice ranges = slice_of(u->list.bytes, u->list.n);
    uint64_t end = u->r->last_segment;
    uint32_t first, last;

    for (size_t i = 0; u->list.segment && range_decode(ranges, i, &first, &last); i++)
        expect_segments(u, first, last);
    if (u->list.segment)
        expect_segments(u, (uint64_t)u->list.segment + 1, end);
    if (u->src->newest > end)
        expect_segments(u, end ? end + 1 : u->src->newest, u->src->newest);
}

int journal_recover(const struct journal_source *src, bool accept_damage, struct catalog *c,
                    struct recovery *ret)
{
    struct run u = {.src = src, .c = c, .r = ret};
    int r;

    *ret = (struct recovery){0};
    u.known = calloc(src->files_n ? src->files_n : 1, sizeof *u.known);
    if (!u.known)
        return -ENOMEM;
    r = look_at_heads(&u);
    for (size_t i = 0; i < src->files_n && r == 0; i++)
        r = read_segment(&u, i);
    if (r == 0)
        expect_all(&u);
    free(u.known);
    free(u.list.bytes);
    if (r < 0)
        return r;
    catalog_forget_gone(c, 0);
    if (!ret->next_batch)
        ret->next_batch = 1;
    return (ret->lost_batches || ret->missing) && !accept_damage ? -EUCLEAN : 0;
}
