#include "brokerd/store/journal/start.h"

#include "brokerd/store/journal/clear.h"
#include "brokerd/store/journal/explain.h"
#include "brokerd/store/journal/keep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { CLEAR_STEP = 1 << 20, LEAST_SEGMENT = 4096 };

struct begin {
    const struct start *s;
    struct recovery *r;
    struct files_source source;
    const char *doing; /* for people, when it fails */
};

static int64_t wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------------------ what is old */

static bool holds_anything(struct slice bytes)
{
    return bytes.n && (bytes.p[0] || memcmp(bytes.p, bytes.p + 1, bytes.n - 1) != 0);
}

/* Not a segment as far as recovery knows: it goes, but is kept for people if there is anything in
 * it. */
static int remove_unused(struct begin *b, uint32_t number)
{
    const struct journal_source *src = &b->source.source;
    struct slice bytes;
    int r = src->load(src->ctx, number, UINT64_MAX, &bytes);
    bool keep;

    if (r < 0)
        return r;
    keep = holds_anything(bytes);
    src->unload(src->ctx, number, bytes);
    if (keep)
        r = keep_damaged(b->s->files, number);
    return r < 0 ? r : files_remove(b->s->files, number);
}

static int keep_and_remove(struct begin *b)
{
    const struct journal_source *src = &b->source.source;
    int r = keep_no_snapshot(b->s->files);

    for (size_t i = 0; i < src->files_n && r == 0; i++) {
        uint32_t number = src->files[i].number;
        const struct segment *s = segments_find(&b->s->catalog->segments, number);

        if (!s)
            r = remove_unused(b, number);
        else if (s->damaged)
            r = keep_damaged(b->s->files, number);
    }
    return r;
}

static int cut(struct begin *b, uint32_t number, uint64_t end)
{
    int fd, r = files_segment(b->s->files, number, true, &fd);

    if (r < 0)
        return r;
    r = files_cut(fd, end);
    close(fd);
    if (r == 0)
        segments_resize(&b->s->catalog->segments, number, end, false);
    return r;
}

/* Each segment ends where its batches do; but for damaged ones. */
static int cut_all(struct begin *b)
{
    const struct segments *t = &b->s->catalog->segments;
    int r = 0;

    for (size_t i = 0; i < t->n && r == 0; i++)
        if (t->s[i].end < t->s[i].size)
            r = cut(b, t->s[i].number, t->s[i].end);
    return r;
}

/* ------------------------------------------------------------------------------ what is new */

static int new_log(struct begin *b)
{
    const struct recovery *r = b->r;
    uint64_t journal = r->journal, end = r->last_end, next = r->next_batch;

    while (!journal)
        if (getrandom(&journal, sizeof journal, 0) != (ssize_t)sizeof journal)
            return -EIO;
    if (r->last_batch) { /* it is withdrawn, and comes again */
        end = r->last_batch;
        next--;
    }
    return log_init(b->s->log, b->s->files, b->s->catalog, journal, next, r->last_segment, end);
}

/* The batch in memory becomes as large as it is; so does the file. */
static int write_batch(struct log *l)
{
    uint64_t size = l->end + log_size(l);

    if (size > l->size) {
        int r = files_reserve(l->fd, size);

        if (r < 0)
            return r;
        l->size = size;
        segments_resize(&l->catalog->segments, l->segment, l->size, true);
    }
    return log_write(l);
}

/* A put of the last batch, as it is now, if it is there: what that batch says of it is in that.
 */
static int put_again(struct log *l, const struct stored_queue *q, const struct record *rec)
{
    struct record state;
    int r = log_add(l, rec);

    return r == 0 && catalog_state(q, rec->seq, 0, &state) ? log_add(l, &state) : r;
}

static int record_again(struct begin *b, const struct record *rec, uint32_t offset)
{
    const struct stored_queue *q = catalog_queue(b->s->catalog, rec->queue);
    uint32_t last = b->r->last_segment;
    const struct place *p;

    if (!q || (q->gone && rec->kind != RECORD_GONE))
        return 0;
    p = rec->kind == RECORD_PUT || rec->kind == RECORD_RETURNED ? places_find(&q->places, rec->seq)
                                                                : NULL;
    switch (rec->kind) {
    case RECORD_PUT:
        return p && p->segment == last && p->offset == offset ? put_again(b->s->log, q, rec) : 0;
    case RECORD_RETURNED:
        if (!p || p->segment != rec->segment ||
            (p->segment == last && p->offset > b->r->last_batch))
            return 0;
        return log_add(b->s->log, rec);
    case RECORD_SETTLED:
    case RECORD_RETAINED:
    case RECORD_REWOUND:
    case RECORD_QUEUE:
    case RECORD_GONE:
        return log_add(b->s->log, rec);
    case RECORD_SEGMENTS: /* the new segment has its own */
        break;
    }
    return 0;
}

/* Into the batch in memory: what the last one on disk says. */
static int last_batch_again(struct begin *b)
{
    const struct journal_source *src = &b->source.source;
    uint64_t at = b->r->last_batch + BATCH_HEAD;
    struct slice bytes;
    struct record rec;
    int r = src->load(src->ctx, b->r->last_segment, b->r->last_end, &bytes);

    if (r < 0)
        return r;
    b->s->log->free_size = true;
    for (; r == 0 && at < bytes.n && record_decode(slice_from(bytes, at), &rec); at += rec.size)
        r = record_again(b, &rec, (uint32_t)at);
    src->unload(src->ctx, b->r->last_segment, bytes);
    return r;
}

/* A disk that is full stops publishers, not consumers, whose settlements need little: a segment as
 * small as need be. */
static int prepare_some(const struct files *f, uint64_t *size, int *ret_fd)
{
    for (;;) {
        int r = files_prepare(f, *size, ret_fd);

        if ((r != -ENOSPC && r != -EDQUOT) || *size < 2 * LEAST_SEGMENT)
            return r;
        *size = *size / 2 / LEAST_SEGMENT * LEAST_SEGMENT;
    }
}

static int new_segment(struct begin *b)
{
    struct log *l = b->s->log;
    uint64_t size = b->s->catalog->segments.segment_bytes, superseded = b->s->catalog->superseded;
    int fd, r = prepare_some(b->s->files, &size, &fd);

    if (r < 0)
        return r;
    r = log_begin_first(l, fd, size, wall_ms());
    if (r < 0) {
        close(fd);
        return r;
    }
    if (b->r->last_batch)
        r = last_batch_again(b);
    if (r == 0)
        r = write_batch(l);
    if (r == 0)
        r = files_publish(b->s->files, l->fd, l->segment);
    if (r == 0)
        r = log_sync(l);
    b->s->catalog->superseded = superseded; /* the withdrawn copies were there before */
    l->free_size = false;
    return r;
}

/* The copy that was withdrawn. */
static int cut_last(struct begin *b)
{
    const struct segment *s = segments_find(&b->s->catalog->segments, b->r->last_segment);

    return b->r->last_batch && !s->damaged ? cut(b, s->number, b->r->last_batch) : 0;
}

/* -------------------------------------------------------------------- what damage has spared */

static int write_moved(void *ctx, const struct record *r)
{
    struct begin *b = ctx;

    return log_add(b->s->log, r);
}

static int clear_bytes(struct begin *b, uint32_t number, struct slice bytes)
{
    struct log *l = b->s->log;
    struct clear w = {.catalog = b->s->catalog,
                      .journal = l->journal,
                      .segment = number,
                      .bytes = bytes,
                      .offset = SEGMENT_HEAD,
                      .write = write_moved,
                      .ctx = b};
    int more, r = 0;

    l->free_size = true;
    do {
        more = clear_step(&w, CLEAR_STEP);
        if (more < 0)
            return more;
        if (l->records)
            r = write_batch(l);
        if (l->records && r == 0)
            r = log_sync(l);
        if (r == 0 && more && log_room(l) < CLEAR_STEP)
            r = log_roll(l, 0, wall_ms());
    } while (more && r == 0);
    l->free_size = false;
    return r;
}

static int clear_segment(struct begin *b, uint32_t number)
{
    const struct journal_source *src = &b->source.source;
    struct slice bytes;
    int r = src->load(src->ctx, number, UINT64_MAX, &bytes);

    if (r < 0)
        return r;
    r = clear_bytes(b, number, bytes);
    src->unload(src->ctx, number, bytes);
    if (r < 0)
        return r;
    if (segments_find(&b->s->catalog->segments, number)->data) /* it was read otherwise before */
        return -EPROTO;
    catalog_drop_segment(b->s->catalog, number);
    return files_remove(b->s->files, number);
}

/* What numbers were used may be told by nothing but what is cleared: a queue's definition before it
 * may be lost. So all are told again. */
static int define_all(struct begin *b)
{
    struct log *l = b->s->log;
    const struct stored_queue *q;
    struct record d;
    size_t at = 0;
    int r = 0;

    l->free_size = true;
    while (r == 0 && (q = catalog_next(b->s->catalog, &at)) != NULL)
        if (!q->gone && catalog_definition(q, &d))
            r = log_add(l, &d);
    if (r == 0 && l->records)
        r = write_batch(l);
    if (r == 0 && l->records)
        r = log_sync(l);
    l->free_size = false;
    return r;
}

static int clear_damaged(struct begin *b)
{
    const struct segments *t = &b->s->catalog->segments;
    size_t i = 0;
    int r = b->r->damaged ? define_all(b) : 0;

    while (i < t->n && r == 0) {
        if (t->s[i].damaged)
            r = clear_segment(b, t->s[i].number);
        else
            i++;
    }
    return r;
}

/* --------------------------------------------------------------------------------- in order */

static int make_good(struct begin *b)
{
    int r;

    b->doing = "putting aside what is damaged or unused";
    r = keep_and_remove(b);
    if (r < 0)
        return r;
    b->doing = "cutting off what was torn";
    r = cut_all(b);
    if (r < 0)
        return r;
    b->doing = "beginning a segment";
    r = new_log(b);
    if (r == 0)
        r = new_segment(b);
    if (r == 0)
        r = cut_last(b);
    if (r < 0)
        return r;
    b->doing = "writing again what damage has spared";
    return clear_damaged(b);
}

int journal_begin(const struct start *s, struct recovery *ret, char *text, size_t text_n)
{
    struct begin b = {.s = s, .r = ret};
    int r = files_source_init(&b.source, s->files);

    *ret = (struct recovery){0};
    *s->log = (struct log){.fd = -1};
    if (r < 0) {
        explain_open(s->files->path, r, 0, text, text_n);
        return r;
    }
    r = journal_recover(&b.source.source, s->accept_damage, s->catalog, ret);
    if (r < 0) {
        explain_recovery(s->files->path, r, ret, text, text_n);
    } else {
        r = make_good(&b);
        if (r < 0) {
            (void)snprintf(text, text_n, "%s: %s: %s", s->files->path, b.doing, strerror(-r));
            log_fini(s->log);
        }
    }
    files_source_fini(&b.source);
    return r;
}
