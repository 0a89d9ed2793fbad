#include "brokerd/store/journal/log.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIRST_BUFFER = 64 << 10 };

int log_init(struct log *l, const struct files *files, struct catalog *catalog, uint64_t journal,
             uint64_t next_batch, uint32_t segment, uint64_t end)
{
    *l = (struct log){.files = files,
                      .catalog = catalog,
                      .journal = journal,
                      .next_batch = next_batch,
                      .segment = segment,
                      .fd = -1,
                      .end = end,
                      .sealed = true,
                      .cap = FIRST_BUFFER,
                      .used = BATCH_HEAD,
                      .serial = 1};
    l->buf = malloc(l->cap);
    return l->buf ? 0 : -ENOMEM;
}

void log_fini(struct log *l)
{
    if (l->fd >= 0)
        close(l->fd);
    free(l->buf);
    free(l->list);
    *l = (struct log){.fd = -1};
}

/* ------------------------------------------------------------------------------------ segments */

static int write_head(const struct log *l, int fd, int64_t wall_ms)
{
    struct segment_head h = {.journal = l->journal,
                             .number = l->segment + 1,
                             .previous = l->segment,
                             .previous_end = (uint32_t)l->end,
                             .batch = l->next_batch,
                             .made_ms = wall_ms};
    uint8_t head[SEGMENT_HEAD];

    segment_encode(&h, head);
    return files_write(fd, &(struct iovec){head, sizeof head}, 1, 0);
}

static int grow_buffer(struct log *l, uint64_t n)
{
    size_t cap = l->cap;
    uint8_t *grown;

    if (n <= l->cap - l->used)
        return 0;
    while (cap - l->used < n)
        cap *= 2;
    grown = realloc(l->buf, cap);
    if (!grown)
        return -ENOMEM;
    l->buf = grown;
    l->cap = cap;
    return 0;
}

/* Which segments there are, now that one was begun, into l->list, where there is room for it. */
static void make_list(struct log *l)
{
    const struct segments *t = &l->catalog->segments;
    struct record r = {.kind = RECORD_SEGMENTS};
    uint8_t *ranges = l->list + SEGMENTS_HEAD;
    size_t n = 0;

    for (size_t i = 0, next; i < t->n; i = next) {
        for (next = i + 1; next < t->n && t->s[next].number == t->s[next - 1].number + 1; next++)
            ;
        range_encode(t->s[i].number, t->s[next - 1].number, ranges + RANGE_SIZE * n++);
    }
    r.data = slice_of(ranges, RANGE_SIZE * n);
    l->list_n = record_size(&r);
    (void)record_encode(&r, l->list);
}

/* So that a list can be made and written. */
static int reserve_list(struct log *l)
{
    uint64_t most = log_list_most(l);
    uint8_t *grown = realloc(l->list, most);

    if (!grown)
        return -ENOMEM;
    l->list = grown;
    return grow_buffer(l, most);
}

static int adopt(struct log *l, int fd, uint64_t size, int *ret_old, uint64_t *ret_end)
{
    struct segments *t = &l->catalog->segments;
    int r = segments_add(t, l->segment + 1, size);

    if (r < 0)
        return r;
    if (l->fd >= 0)
        segments_resize(t, l->segment, l->end, false);
    *ret_old = l->fd;
    *ret_end = l->end;
    l->fd = fd;
    l->segment++;
    l->end = SEGMENT_HEAD;
    l->size = size;
    l->sealed = true;
    segments_resize(t, l->segment, size, true);
    make_list(l);
    return 0;
}

int log_begin(struct log *l, int fd, uint64_t size, int64_t wall_ms, int *ret_old,
              uint64_t *ret_end)
{
    int r = reserve_list(l);

    if (r == 0)
        r = write_head(l, fd, wall_ms);
    if (r < 0)
        return r;
    r = files_publish(l->files, fd, l->segment + 1);
    if (r == -ENOSPC || r == -EDQUOT || r == -EFBIG) /* a sync failed: that the disk was full is no
                                                      * excuse */
        return -EIO;
    if (r < 0)
        return r;
    return adopt(l, fd, size, ret_old, ret_end);
}

int log_roll(struct log *l, uint64_t least, int64_t wall_ms)
{
    uint64_t size = l->catalog->segments.segment_bytes, end;
    int fd, old, r;

    least += SEGMENT_HEAD + log_list_most(l);
    if (size < least)
        size = least;
    r = files_prepare(l->files, size, &fd);
    if (r < 0)
        return r;
    r = log_begin(l, fd, size, wall_ms, &old, &end);
    if (r < 0) {
        close(fd);
        return r;
    }
    if (old < 0)
        return 0;
    r = files_cut(old, end);
    close(old);
    return r;
}

int log_begin_first(struct log *l, int fd, uint64_t size, int64_t wall_ms)
{
    uint64_t end;
    int r = reserve_list(l), old;

    if (r == 0)
        r = write_head(l, fd, wall_ms);
    return r < 0 ? r : adopt(l, fd, size, &old, &end);
}

/* ----------------------------------------------------------------------------------- the batch */

static int make_room(struct log *l, uint64_t n)
{
    if (!l->free_size && n > log_room(l))
        return -ENOSPC;
    return grow_buffer(l, n + l->list_n);
}

static void append(struct log *l, const struct record *r, uint64_t size)
{
    (void)record_encode(r, l->buf + l->used);
    l->used += size;
    l->records++;
}

static bool must_define(const struct log *l, const struct stored_queue *q)
{
    return q && q->defined != l->segment && q->writing != l->serial && !q->gone && q->definition;
}

uint64_t log_definition_size(const struct log *l, const struct stored_queue *q)
{
    struct record d;

    return must_define(l, q) && catalog_definition(q, &d) ? record_size(&d) : 0;
}

/* `q` is defined in this batch, or was in the segment before. */
static void note_defined(struct log *l, uint32_t queue)
{
    struct stored_queue *q = catalog_queue(l->catalog, queue);

    if (q)
        q->writing = l->serial;
}

/* Room for `n` bytes and the queue's definition, which is added if it is missing. */
static int define(struct log *l, const struct stored_queue *q, uint64_t n)
{
    struct record d;
    uint64_t size = log_definition_size(l, q);
    int r = make_room(l, size + n);

    if (r < 0 || !size)
        return r;
    (void)catalog_definition(q, &d);
    append(l, &d, size);
    note_defined(l, q->number);
    return 0;
}

int log_add(struct log *l, const struct record *r)
{
    struct record copy = *r;
    uint64_t size = record_size(r);
    const struct stored_queue *q;
    int status;

    if (!size)
        return -EPROTO;
    if (r->kind == RECORD_QUEUE || r->kind == RECORD_GONE) {
        status = make_room(l, size);
        if (status < 0)
            return status;
        append(l, r, size);
        note_defined(l, r->queue);
        return 0;
    }
    q = catalog_queue(l->catalog, r->queue);
    status = define(l, q, size);
    if (status < 0)
        return status;
    if ((r->kind == RECORD_RETURNED || r->kind == RECORD_RETAINED) && !r->segment)
        copy.segment = l->segment;
    append(l, &copy, size);
    return 0;
}

int log_reserve(struct log *l, const struct stored_queue *q, uint64_t n)
{
    return make_room(l, log_definition_size(l, q) + n);
}

int log_put(struct log *l, const struct stored_queue *q, struct slice records, uint32_t n)
{
    int r = define(l, q, records.n);

    if (r < 0)
        return r;
    memcpy(l->buf + l->used, records.p, records.n);
    l->used += records.n;
    l->records += n;
    return 0;
}

void log_drop(struct log *l)
{
    l->used = BATCH_HEAD;
    l->records = 0;
    l->serial++;
}

/* --------------------------------------------------------------------------------- to the disk */

int log_write(struct log *l)
{
    uint64_t size = log_size(l);
    struct batch_head h = {.journal = l->journal,
                           .number = l->next_batch,
                           .segment = l->segment,
                           .offset = (uint32_t)l->end,
                           .records_n = l->records + (l->list_n != 0)};

    if (l->fd < 0 || l->end + size > l->size)
        return -ENOSPC;
    if (l->list_n)
        memcpy(l->buf + l->used, l->list, l->list_n);
    batch_encode(&h, slice_of(l->buf + BATCH_HEAD, size - BATCH_HEAD), l->buf);
    return files_write(l->fd, &(struct iovec){l->buf, size}, 1, l->end);
}

static int apply(struct log *l)
{
    struct slice left = slice_of(l->buf + BATCH_HEAD, l->used - BATCH_HEAD);
    struct record rec;
    int r = 0;

    for (; left.n && r == 0; left = slice_from(left, rec.size)) {
        if (!record_decode(left, &rec))
            return -EPROTO;
        r = catalog_apply(l->catalog, &rec, l->segment,
                          (uint32_t)(l->end + (uint64_t)(left.p - l->buf)));
    }
    return r;
}

int log_sync(struct log *l)
{
    int r = files_sync(l->fd);

    if (r == 0)
        r = apply(l);
    if (r < 0)
        return r;
    l->end += log_size(l);
    l->next_batch++;
    l->sealed = l->records == 0;
    l->list_n = 0;
    log_drop(l);
    return 0;
}
