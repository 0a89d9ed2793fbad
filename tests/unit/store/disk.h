/* disk.h - a journal in memory: what the store's thread does with files, done with arrays, so that
 *          tests can stop it anywhere and spoil any byte.
 *
 * Shape    A batch is gathered by disk_add(), then written and applied to the catalog by
 *          disk_commit(). disk_trim() clears segments as long as there is a victim. A queue is
 *          defined in each segment before its first record there.
 * Thread   One. */
#ifndef BROKER_TESTS_UNIT_STORE_DISK_H
#define BROKER_TESTS_UNIT_STORE_DISK_H

#include "brokerd/store/journal/clear.h"
#include "brokerd/store/journal/recover.h"
#include "tests/unit/support.h"

enum { DISK_SEGMENTS = 8192, DISK_RECORDS = 512 };

struct disk_file {
    uint8_t *bytes;
    size_t n;
};

struct disk {
    struct catalog catalog;
    struct disk_file file[DISK_SEGMENTS];
    uint32_t old[DISK_SEGMENTS]; /* cleared when that was current; 0: no list names it */
    bool lists;                  /* the next batch is the first one of its segment */
    uint8_t list[RANGE_SIZE * DISK_SEGMENTS];
    size_t list_n;
    uint32_t current;  /* segment written to; 0: none yet */
    uint32_t newest;   /* what is told to have been begun last; 0: nothing is */
    uint32_t previous; /* for the next one's head */
    uint64_t previous_end, next_batch;
    size_t segment_bytes, last_batch; /* where the last batch is in the current segment */
    struct record batch[DISK_RECORDS];
    unsigned n;
    uint64_t cleared, moved_bytes;
    int64_t now_ms, over_ms; /* settlements' clock; what was settled before is retained no more */
};

enum { DISK_JOURNAL = 0x1234567 };

static inline void disk_init(struct disk *d, size_t segment_bytes)
{
    memset(d, 0, sizeof *d);
    d->segment_bytes = segment_bytes;
    d->next_batch = 1;
    catalog_init(&d->catalog, segment_bytes, UINT64_MAX);
}

static inline void disk_fini(struct disk *d)
{
    for (size_t i = 0; i < DISK_SEGMENTS; i++)
        free(d->file[i].bytes);
    catalog_fini(&d->catalog);
}

/* Which segments there are. */
static inline void disk_make_list(struct disk *d)
{
    d->lists = true;
    d->list_n = 0;
    for (uint32_t i = 1, last; i <= d->current; i = last + 1) {
        for (last = i; last <= d->current && d->file[last].bytes; last++)
            ;
        if (last > i)
            range_encode(i, last - 1, d->list + RANGE_SIZE * d->list_n++);
    }
}

static inline void disk_begin_segment(struct disk *d)
{
    struct segment_head h = {.journal = DISK_JOURNAL,
                             .number = d->current + 1,
                             .previous = d->previous,
                             .previous_end = (uint32_t)d->previous_end,
                             .batch = d->next_batch,
                             .made_ms = 1000};
    struct disk_file *f = &d->file[h.number];

    ck_assert_uint_lt(h.number, DISK_SEGMENTS);
    if (d->current && segments_find(&d->catalog.segments, d->current))
        segments_resize(&d->catalog.segments, d->current, d->file[d->current].n, false);
    d->current = h.number;
    f->bytes = malloc(SEGMENT_HEAD);
    f->n = SEGMENT_HEAD;
    ck_assert_ptr_nonnull(f->bytes);
    segment_encode(&h, f->bytes);
    ck_assert_int_eq(segments_add(&d->catalog.segments, h.number, f->n), 0);
    segments_resize(&d->catalog.segments, h.number, f->n, true);
    d->previous = h.number;
    d->previous_end = f->n;
    disk_make_list(d);
}

/* The queue's definition, if the current segment has none: as one more record. */
static inline void disk_define(struct disk *d, uint32_t queue, struct record *out, unsigned *n)
{
    const struct stored_queue *q = catalog_queue(&d->catalog, queue);

    for (unsigned i = 0; i < *n; i++)
        if (out[i].kind == RECORD_QUEUE && out[i].queue == queue)
            return;
    if (q && q->defined != d->current && !q->gone && catalog_definition(q, &out[*n]))
        (*n)++;
}

/* Write and apply what was gathered. */
static inline void disk_commit(struct disk *d)
{
    struct record all[2 * DISK_RECORDS + 1];
    struct batch_head head = {.journal = DISK_JOURNAL};
    uint64_t size = 0, offset;
    unsigned n = 0;
    uint8_t *records, *p;
    struct disk_file *f;

    for (unsigned i = 0; i < d->n; i++)
        size += record_size(&d->batch[i]) + 64; /* definitions have short names here */
    size += d->lists ? SEGMENTS_HEAD + RANGE_SIZE * d->list_n : 0;
    if (!d->current || (d->file[d->current].n > SEGMENT_HEAD &&
                        d->file[d->current].n + BATCH_HEAD + size > d->segment_bytes))
        disk_begin_segment(d);
    for (unsigned i = 0; i < d->n; i++) {
        if (d->batch[i].kind != RECORD_QUEUE && d->batch[i].kind != RECORD_GONE)
            disk_define(d, d->batch[i].queue, all, &n);
        all[n] = d->batch[i];
        if ((all[n].kind == RECORD_RETURNED || all[n].kind == RECORD_RETAINED) && !all[n].segment)
            all[n].segment = d->current;
        n++;
    }
    if (d->lists)
        all[n++] = (struct record){.kind = RECORD_SEGMENTS,
                                   .data = slice_of(d->list, RANGE_SIZE * d->list_n)};
    f = &d->file[d->current];
    size = 0;
    for (unsigned i = 0; i < n; i++)
        size += record_size(&all[i]);
    offset = f->n;
    f->bytes = realloc(f->bytes, f->n + BATCH_HEAD + size);
    records = f->bytes + offset + BATCH_HEAD;
    p = records;
    for (unsigned i = 0; i < n; i++)
        p = record_encode(&all[i], p);
    head.number = d->next_batch++;
    head.segment = d->current;
    head.offset = (uint32_t)offset;
    head.records_n = n;
    batch_encode(&head, slice_of(records, size), f->bytes + offset);
    f->n += BATCH_HEAD + size;
    d->last_batch = offset;
    d->previous_end = f->n;
    segments_resize(&d->catalog.segments, d->current, f->n, true);
    for (p = records; size;) {
        struct record r;

        ck_assert(record_decode(slice_of(p, size), &r));
        ck_assert_int_eq(catalog_apply(&d->catalog, &r, d->current, (uint32_t)(p - f->bytes)), 0);
        p += r.size;
        size -= r.size;
    }
    for (size_t i = 0; d->lists && i < DISK_SEGMENTS; i++)
        if (d->old[i] + 1 < d->current) /* as helper.c does */
            d->old[i] = 0;
    d->lists = false;
    d->n = 0;
}

static inline void disk_add(struct disk *d, const struct record *r)
{
    d->batch[d->n++] = *r;
}

static inline int disk_write(void *ctx, const struct record *r)
{
    struct disk *d = ctx;

    d->moved_bytes += record_size(r);
    ck_assert_uint_lt(d->n, DISK_RECORDS);
    disk_add(d, r);
    return 0;
}

/* How often it was delivered, or when it was settled. */
static inline uint64_t disk_state(const struct stored_queue *q, uint64_t seq, const struct place *p)
{
    int64_t within;

    return p->is_past ? 1000003 + (uint64_t)places_gone_ms(&q->places, seq, &within) : p->attempts;
}

/* What messages there are, whatever place they have. */
static inline uint64_t disk_fingerprint(const struct catalog *c)
{
    const struct stored_queue *q;
    const struct place *p;
    uint64_t sum = 0;
    size_t at = 0;

    while ((q = catalog_next(c, &at)) != NULL)
        for (uint64_t seq = 0; (p = places_next(&q->places, &seq)) != NULL; seq++)
            sum += (seq + 1) * (q->number * UINT64_C(0x9e3779b97f4a7c15)) +
                   disk_state(q, seq, p) * 7 + (uint64_t)catalog_due(q, seq);
    return sum;
}

/* Clear one segment if there is a victim. `unlink` false: die before that. */
static inline bool disk_clear(struct disk *d, bool unlink)
{
    uint32_t victim = segments_victim(&d->catalog.segments);
    struct disk_file *f = &d->file[victim];
    struct clear w = {.catalog = &d->catalog,
                      .journal = DISK_JOURNAL,
                      .segment = victim,
                      .bytes = slice_of(f->bytes, f->n),
                      .offset = SEGMENT_HEAD,
                      .write = disk_write,
                      .ctx = d};
    uint64_t messages = disk_fingerprint(&d->catalog);
    int more;

    if (!victim)
        return false;
    do {
        more = clear_step(&w, d->segment_bytes / 4);
        ck_assert_int_ge(more, 0);
        if (d->n)
            disk_commit(d);
    } while (more);
    d->cleared++;
    ck_assert_uint_eq(disk_fingerprint(&d->catalog), messages);
    if (!unlink)
        return true;
    catalog_drop_segment(&d->catalog, victim);
    free(f->bytes);
    *f = (struct disk_file){0};
    d->old[victim] = d->current;
    return true;
}

/* ---------------------------------------------------------------------------- recovery */

static inline int disk_load(void *ctx, uint32_t number, uint64_t most, struct slice *ret)
{
    const struct disk *d = ctx;
    size_t n = d->file[number].n;

    *ret = exact(slice_of(d->file[number].bytes, n < most ? n : (size_t)most));
    return 0;
}

static inline void disk_unload(void *ctx, uint32_t number, struct slice bytes)
{
    (void)ctx, (void)number;
    free((void *)(uintptr_t)bytes.p);
}

/* What was settled before is retained no more. */
static inline void disk_expire(struct catalog *c, int64_t before_ms)
{
    struct stored_queue *q;
    size_t at = 0;

    while ((q = catalog_next(c, &at)) != NULL)
        (void)catalog_expire(c, q, before_ms, UINT64_MAX);
}

static inline int disk_recover(struct disk *d, bool accept, struct catalog *c, struct recovery *r)
{
    struct journal_file *files = calloc(DISK_SEGMENTS, sizeof *files);
    struct journal_file *cleared = calloc(DISK_SEGMENTS, sizeof *cleared);
    struct journal_source src = {
        .ctx = d, .files = files, .cleared = cleared, .load = disk_load, .unload = disk_unload};
    int status;

    for (uint32_t i = 0; i < DISK_SEGMENTS; i++)
        if (d->file[i].bytes)
            files[src.files_n++] = (struct journal_file){i, d->file[i].n};
        else if (d->old[i])
            cleared[src.cleared_n++] = (struct journal_file){i, 0};
    src.newest = d->newest;
    catalog_init(c, d->segment_bytes, UINT64_MAX);
    status = journal_recover(&src, accept, c, r);
    free(cleared);
    free(files);
    disk_expire(c, d->over_ms);
    return status;
}

/* Do both have the same queues with the same messages in the same places? */
static inline bool same_queue(const struct stored_queue *a, const struct stored_queue *b)
{
    uint64_t i = 0, k = 0;
    const struct place *p, *o;

    if (!b || a->gone != b->gone || a->next != b->next || a->places.n != b->places.n ||
        a->bytes != b->bytes || a->payload != b->payload || a->past_payload != b->past_payload ||
        a->places.past != b->places.past || a->returned != b->returned || a->name_n != b->name_n ||
        a->first != b->first || (a->name_n && memcmp(a->definition, b->definition, a->name_n) != 0))
        return false;
    for (; (p = places_next(&a->places, &i)) != NULL; i++, k++) {
        o = places_next(&b->places, &k);
        if (!o || i != k || p->segment != o->segment || p->offset != o->offset ||
            p->size != o->size || p->is_past != o->is_past ||
            disk_state(a, i, p) != disk_state(b, k, o) || catalog_due(a, i) != catalog_due(b, k))
            return false;
    }
    return true;
}

static inline bool same_catalog(const struct catalog *a, const struct catalog *b)
{
    const struct stored_queue *q;
    size_t at = 0;

    if (a->queues.n != b->queues.n)
        return false;
    while ((q = catalog_next(a, &at)) != NULL)
        if (!same_queue(q, catalog_queue(b, q->number)))
            return false;
    return true;
}

/* The accounts too: what is of use in which segment. */
static inline bool same_accounts(const struct segments *a, const struct segments *b)
{
    if (a->n != b->n || a->data != b->data || a->notes != b->notes || a->puts != b->puts)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (a->s[i].number != b->s[i].number || a->s[i].data != b->s[i].data ||
            a->s[i].notes_bytes != b->s[i].notes_bytes)
            return false;
    return true;
}

/* --------------------------------------------------------------------------- making records */

/* What message `seq` of `queue` has in it, into `buf`: a function of the two. */
static inline struct slice disk_data(uint32_t queue, uint64_t seq, uint8_t *buf)
{
    size_t n = (seq * 7 + queue) % 97;

    for (size_t i = 0; i < n; i++)
        buf[i] = (uint8_t)(seq * 31 + queue * 17 + i);
    return slice_of(buf, n);
}

static inline void disk_put(struct disk *d, uint32_t queue, uint64_t seq, uint8_t *buf)
{
    struct record r = {.kind = RECORD_PUT,
                       .queue = queue,
                       .seq = seq,
                       .id = seq * 3,
                       .time_ms = 77,
                       .expires_ms = INT64_MAX,
                       .type_id = 0x80,
                       .topic = SLICE("a.topic"),
                       .data = disk_data(queue, seq, buf)};

    disk_add(d, &r);
}

static inline void disk_make_queue(struct disk *d, uint32_t queue, const char *name)
{
    struct record r = {.kind = RECORD_QUEUE,
                       .queue = queue,
                       .segment = d->current ? d->current : 1,
                       .seq = 1,
                       .name = slice_str(name),
                       .filters = SLICE("\3a.#")};

    disk_add(d, &r);
}

static inline void disk_settle(struct disk *d, uint32_t queue, uint64_t seq)
{
    const struct stored_queue *q = catalog_queue(&d->catalog, queue);
    const struct place *p = places_find(&q->places, seq);
    struct record r = {.kind = RECORD_SETTLED, .queue = queue, .seq = seq, .count = 1};

    ck_assert_ptr_nonnull(p);
    r.segment = p->segment;
    disk_add(d, &r);
}

static inline void disk_retain(struct disk *d, uint32_t queue, uint64_t seq)
{
    disk_settle(d, queue, seq);
    d->batch[d->n - 1].kind = RECORD_RETAINED;
    d->batch[d->n - 1].time_ms = ++d->now_ms;
}

/* All from `seq` on waits again, in a batch of its own: a record for each segment. */
static inline void disk_rewind(struct disk *d, uint32_t queue, uint64_t seq)
{
    const struct stored_queue *q = catalog_queue(&d->catalog, queue);
    const struct segments *t = &d->catalog.segments;
    struct record r = {.kind = RECORD_REWOUND,
                       .queue = queue,
                       .seq = seq,
                       .count = (uint32_t)(q->next - seq),
                       .time_ms = d->over_ms};

    for (size_t i = 0; i < t->n && d->n < DISK_RECORDS; i++) {
        r.segment = t->s[i].number;
        disk_add(d, &r);
    }
}

static inline void disk_return(struct disk *d, uint32_t queue, uint64_t seq, uint32_t attempts,
                               int64_t due_ms)
{
    const struct place *p = places_find(&catalog_queue(&d->catalog, queue)->places, seq);
    struct record r = {.kind = RECORD_RETURNED,
                       .queue = queue,
                       .seq = seq,
                       .attempts = attempts,
                       .due_ms = due_ms};

    ck_assert_ptr_nonnull(p);
    r.segment = p->segment;
    disk_add(d, &r);
}

#endif
