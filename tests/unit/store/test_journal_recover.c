/* What recovery makes of a journal that was torn, spoilt, half written or half cleared; and that
 * disk use stays within its bound whatever is settled when. */
#include "tests/unit/store/disk.h"

#include <errno.h>

static struct disk disk; /* large */

/* Queue 2 retains what is settled: now and then the time of some of it is over, or it goes on at
 * another message. */
static void the_past(struct disk *d, struct seeded *s)
{
    const struct stored_queue *q = catalog_queue(&d->catalog, 2);

    if (!q || q->next < 2 || seeded_below(s, 8))
        return;
    if (seeded_below(s, 2)) {
        d->over_ms += (int64_t)seeded_below(s, (uint64_t)(d->now_ms - d->over_ms + 1));
        disk_expire(&d->catalog, d->over_ms);
        return;
    }
    disk_rewind(d, 2, 1 + seeded_below(s, q->next - 1));
    disk_commit(d);
}

/* Three queues' worth of everything, in several segments: `batches` of them. */
static void play(struct disk *d, struct seeded *s, unsigned batches, uint64_t *next)
{
    static uint8_t buf[DISK_RECORDS][128];

    for (unsigned b = 0; b < batches; b++) {
        unsigned n = 1 + (unsigned)seeded_below(s, 6);
        uint32_t queue = 1 + (uint32_t)seeded_below(s, 3);
        const struct stored_queue *q = catalog_queue(&d->catalog, queue);

        if (!q) {
            disk_make_queue(d, queue, queue == 1 ? "one" : queue == 2 ? "two" : "three");
            next[queue] = 1;
        }
        for (unsigned i = 0; i < n; i++) {
            uint64_t seq = 1 + seeded_below(s, next[queue]);

            if (q && seeded_below(s, 2) && places_next(&q->places, &seq)) {
                bool twice = false;

                for (unsigned k = 0; k < d->n; k++)
                    twice |= d->batch[k].seq == seq;
                if (!twice && seeded_below(s, 3) && queue != 2)
                    disk_settle(d, queue, seq);
                else if (!twice && queue == 2 && !places_find(&q->places, seq)->is_past)
                    disk_retain(d, queue, seq);
                else if (queue == 2)
                    continue;
                else if (!twice)
                    disk_return(d, queue, seq, 1 + (uint32_t)seeded_below(s, 5),
                                (int64_t)seeded_below(s, 2) * 1000);
            } else {
                disk_put(d, queue, next[queue]++, buf[i]);
            }
        }
        if (d->n)
            disk_commit(d);
        the_past(d, s);
    }
}

static void expect_recovers(struct seeded *s, struct disk *d)
{
    struct catalog c;
    struct recovery r;

    expect(s, disk_recover(d, false, &c, &r) == 0);
    expect(s, r.damaged == 0 && r.torn_bytes == 0 && c.strays == 0 && c.superseded == 0);
    expect(s, same_catalog(&d->catalog, &c));
    expect(s, same_accounts(&d->catalog.segments, &c.segments));
    expect(s, r.next_batch == d->next_batch && r.last_segment == d->current);
    expect(s, r.last_end == d->file[d->current].n && r.last_batch == d->last_batch);
    catalog_fini(&c);
}

START_TEST(nothing_there)
{
    struct catalog c;
    struct recovery r;

    disk_init(&disk, 4096);
    ck_assert_int_eq(disk_recover(&disk, false, &c, &r), 0);
    ck_assert(r.journal == 0 && r.next_batch == 1 && r.last_segment == 0);
    catalog_fini(&c);
    disk_fini(&disk);
}
END_TEST

START_TEST(all_of_it_comes_back)
{
    struct seeded s = seeded_start();
    uint64_t next[4];

    disk_init(&disk, 2048);
    for (int i = 0; i < 40; i++) {
        play(&disk, &s, 5, next);
        expect_recovers(&s, &disk);
        if (disk_clear(&disk, true))
            expect_recovers(&s, &disk);
    }
    expect(&s, disk.cleared > 2);
    disk_fini(&disk);
}
END_TEST

/* --------------------------------------------------------------------- the last batch, torn */

/* The last batch is written as `torn` says: recovery comes to what was before it, or to `after`
 * if all of it is there; and again, when the journal has gone on in a new segment. */
struct torn {
    struct disk *d;
    struct catalog before; /* from a recovery without the last batch */
    struct catalog after;
    struct slice file; /* the last one, as it should be */
    size_t from;       /* where the last batch begins */
};

static void torn_init(struct torn *t, struct disk *d)
{
    struct disk_file *f = &d->file[d->current];
    struct recovery r;

    t->d = d;
    t->from = d->last_batch;
    t->file = exact(slice_of(f->bytes, f->n));
    ck_assert_int_eq(disk_recover(d, false, &t->after, &r), 0);
    f->n = t->from;
    ck_assert_int_eq(disk_recover(d, false, &t->before, &r), 0);
}

static void torn_fini(struct torn *t)
{
    catalog_fini(&t->before);
    catalog_fini(&t->after);
    free((void *)(uintptr_t)t->file.p);
}

static void expect_torn(struct torn *t, const uint8_t *bytes, size_t n)
{
    struct disk_file *f = &t->d->file[t->d->current], *g = f + 1, kept = *f;
    bool whole = n >= t->file.n && memcmp(bytes, t->file.p, t->file.n) == 0;
    struct catalog c;
    struct recovery r;
    struct segment_head h = {.journal = DISK_JOURNAL};

    *f = (struct disk_file){(uint8_t *)(uintptr_t)bytes, n};
    ck_assert_int_eq(disk_recover(t->d, false, &c, &r), 0);
    ck_assert_uint_eq(r.damaged, 0);
    ck_assert(same_catalog(whole ? &t->after : &t->before, &c));
    ck_assert_uint_eq(r.last_end, whole ? t->file.n : t->from);
    ck_assert_uint_eq(segments_find(&c.segments, r.last_segment)->end, r.last_end);
    catalog_fini(&c);
    /* It goes on in a new segment: what was torn stays out of account. */
    h.number = t->d->current + 1;
    h.previous = r.last_segment;
    h.previous_end = (uint32_t)r.last_end;
    h.batch = r.next_batch;
    *g = (struct disk_file){malloc(SEGMENT_HEAD), SEGMENT_HEAD};
    segment_encode(&h, g->bytes);
    ck_assert_int_eq(disk_recover(t->d, false, &c, &r), 0);
    ck_assert(r.damaged == 0 && r.torn_bytes == 0);
    ck_assert(same_catalog(whole ? &t->after : &t->before, &c));
    catalog_fini(&c);
    /* Even if the disk finds what it had lost. */
    *f = kept;
    f->n = t->file.n;
    ck_assert_int_eq(disk_recover(t->d, false, &c, &r), 0);
    ck_assert(same_catalog(whole ? &t->after : &t->before, &c));
    catalog_fini(&c);
    free(g->bytes);
    *g = (struct disk_file){0};
    *f = kept;
}

static void begin_torn(struct torn *t, struct seeded *s, unsigned last_puts)
{
    static uint8_t buf[DISK_RECORDS][128];
    uint64_t next[4];

    disk_init(&disk, 4096);
    play(&disk, s, 20, next);
    if (disk.file[disk.current].n > 2000)
        disk_begin_segment(&disk);
    for (unsigned i = 0; i < last_puts; i++)
        disk_put(&disk, 1, 1000 + i, buf[i]);
    disk_make_queue(&disk, 9, "nine");
    disk_commit(&disk);
    torn_init(t, &disk);
}

START_TEST(torn_at_each_byte)
{
    struct seeded s = seeded_start();
    struct torn t;

    begin_torn(&t, &s, 4);
    for (size_t n = t.from; n <= t.file.n; n++) {
        struct slice cut = exact(slice_of(t.file.p, n));

        expect_torn(&t, cut.p, n);
        free((void *)(uintptr_t)cut.p);
    }
    torn_fini(&t);
    disk_fini(&disk);
}
END_TEST

/* The file has its size already; from some byte on there are zeros. */
START_TEST(zeros_from_each_byte_on)
{
    struct seeded s = seeded_start();
    struct torn t;
    uint8_t *bytes;

    begin_torn(&t, &s, 4);
    bytes = malloc(t.file.n + 1000);
    for (size_t n = t.from; n <= t.file.n; n++) {
        memcpy(bytes, t.file.p, n);
        memset(bytes + n, 0, t.file.n + 1000 - n);
        expect_torn(&t, bytes, t.file.n + 1000);
    }
    free(bytes);
    torn_fini(&t);
    disk_fini(&disk);
}
END_TEST

/* Of the last batch's sectors any may have arrived, in whatever order; those that did not have
 * zeros, or rubbish. */
START_TEST(any_of_the_sectors)
{
    enum { SECTOR = 64 };
    struct seeded s = seeded_start();
    struct torn t;
    uint8_t *bytes;
    size_t first, sectors;

    begin_torn(&t, &s, 5);
    bytes = malloc(t.file.n);
    first = t.from / SECTOR;
    sectors = (t.file.n + SECTOR - 1) / SECTOR - first;
    sectors = sectors < 11 ? sectors : 11;
    for (unsigned set = 0; set < 1U << sectors; set++) {
        memcpy(bytes, t.file.p, t.file.n);
        for (size_t k = 0; k < sectors; k++) {
            size_t from = (first + k) * SECTOR, to = from + SECTOR;

            if (set >> k & 1)
                continue;
            from = from > t.from ? from : t.from; /* what was there before stays */
            to = to < t.file.n ? to : t.file.n;
            if (set & 1)
                seeded_fill(&s, bytes + from, to - from);
            else
                memset(bytes + from, 0, to - from);
        }
        expect_torn(&t, bytes, t.file.n);
    }
    free(bytes);
    torn_fini(&t);
    disk_fini(&disk);
}
END_TEST

/* The segment was made, and perhaps its head written: nothing else. */
START_TEST(a_segment_without_anything)
{
    struct seeded s = seeded_start();
    uint64_t next[4];
    uint8_t head[SEGMENT_HEAD + 8];
    struct catalog c;
    struct recovery r;
    struct disk_file *f;

    disk_init(&disk, 4096);
    play(&disk, &s, 20, next);
    disk_begin_segment(&disk);
    f = &disk.file[disk.current];
    memset(head, 0, sizeof head);
    memcpy(head, f->bytes, SEGMENT_HEAD);
    for (size_t n = 0; n <= sizeof head; n++) {
        uint8_t part[SEGMENT_HEAD + 8] = {0};
        struct disk_file kept = *f;

        memcpy(part, head, n);
        *f = (struct disk_file){part, sizeof part};
        expect(&s, disk_recover(&disk, false, &c, &r) == 0 && r.damaged == 0);
        expect(&s, same_catalog(&disk.catalog, &c));
        expect(&s, r.blank == (n < SEGMENT_HEAD && memcmp(part, head, SEGMENT_HEAD) != 0));
        expect(&s, r.next_batch == disk.next_batch);
        catalog_fini(&c);
        *f = kept;
    }
    disk_fini(&disk);
}
END_TEST

/* -------------------------------------------------------------------------------- damage */

/* Which batch has the byte? Counted from 0 through all segments; -1: a head of a segment. */
struct batch_at {
    uint32_t segment;
    uint64_t from, to;
    bool last; /* of all */
};

static bool find_batch(struct disk *d, uint32_t segment, size_t byte, struct batch_at *ret)
{
    struct slice bytes = slice_of(d->file[segment].bytes, d->file[segment].n);
    struct scan s = {
        .bytes = bytes, .journal = DISK_JOURNAL, .segment = segment, .offset = SEGMENT_HEAD};
    struct scanned x;

    while (scan_next(&s, &x) == SCAN_BATCH) {
        if (byte < x.from || byte >= x.to)
            continue;
        *ret = (struct batch_at){segment, x.from, x.to,
                                 segment == d->current && x.from == d->last_batch};
        return true;
    }
    return false;
}

/* Every message that is there now and whose put was not hit is there, and where it was; what is
 * there besides was there once (its settlement was hit), and its bytes are those that were put. */
static void expect_rest(struct seeded *s, struct disk *d, const struct catalog *c,
                        const struct batch_at *hit)
{
    const struct stored_queue *q, *o;
    const struct place *p, *now;
    uint8_t buf[128];
    size_t at = 0;

    while ((q = catalog_next(&d->catalog, &at)) != NULL) {
        o = catalog_queue(c, q->number);
        for (uint64_t seq = 0; (p = places_next(&q->places, &seq)) != NULL; seq++) {
            bool was_hit =
                hit && p->segment == hit->segment && p->offset >= hit->from && p->offset < hit->to;

            now = o ? places_find(&o->places, seq) : NULL;
            /* With a rewind, what it made wait is retained again, and its time may be over. */
            was_hit |= hit && q->number == 2 && !p->is_past;
            expect(s, was_hit || (now && now->segment == p->segment && now->offset == p->offset));
        }
    }
    at = 0;
    while ((q = catalog_next(c, &at)) != NULL) {
        for (uint64_t seq = 0; (p = places_next(&q->places, &seq)) != NULL; seq++) {
            struct record r;
            const struct disk_file *f = &d->file[p->segment];

            expect(s, record_decode_put(slice_of(f->bytes + p->offset, f->n - p->offset), &r));
            expect(s, r.seq == seq && r.queue == q->number);
            expect(s, slice_eq(r.data, disk_data(q->number, seq, buf)));
        }
    }
}

static void flip(struct seeded *s, struct disk *d, uint32_t segment, size_t bit)
{
    uint8_t *p = &d->file[segment].bytes[bit / 8];
    struct batch_at hit;
    bool in_batch = find_batch(d, segment, bit / 8, &hit);
    struct catalog c;
    struct recovery r;
    int status;

    *p ^= (uint8_t)(1 << bit % 8);
    status = disk_recover(d, false, &c, &r);
    if (!in_batch || hit.last)
        expect(s, status == 0 && r.lost_batches == 0);
    else
        expect(s, status == -EUCLEAN && r.lost_batches == 1 && r.damaged == 1);
    if (in_batch && !hit.last)
        expect(s, r.damage[0].segment == segment && r.damage[0].from == hit.from);
    if (in_batch && hit.last)
        expect(s, r.torn_bytes == hit.to - hit.from);
    expect(s, c.superseded == 0);
    expect_rest(s, d, &c, in_batch ? &hit : NULL);
    catalog_fini(&c);
    *p ^= (uint8_t)(1 << bit % 8);
}

/* Each byte of several segments, some of which were cleared: all else is there. */
START_TEST(one_bit_in_each_byte)
{
    struct seeded s = seeded_start();
    uint64_t next[4];

    disk_init(&disk, 1500);
    play(&disk, &s, 40, next);
    while (disk_clear(&disk, true))
        ;
    play(&disk, &s, 3, next);
    for (uint32_t i = 1; i <= disk.current; i++)
        for (size_t byte = 0; byte < disk.file[i].n; byte++)
            flip(&s, &disk, i, 8 * byte + seeded_below(&s, 8));
    disk_fini(&disk);
}
END_TEST

/* A file that has lost all, or its end. */
START_TEST(a_segment_lost)
{
    struct seeded s = seeded_start();
    uint64_t next[4];
    struct catalog c;
    struct recovery r;

    disk_init(&disk, 1500);
    play(&disk, &s, 60, next);
    ck_assert_uint_gt(disk.current, 2);
    for (uint32_t i = 1; i < disk.current; i++) {
        struct disk_file kept = disk.file[i];
        uint8_t *zeros = calloc(1, kept.n);

        disk.file[i].bytes = zeros;
        expect(&s, disk_recover(&disk, false, &c, &r) == -EUCLEAN && r.lost_batches > 0);
        catalog_fini(&c);
        disk.file[i] = kept;
        disk.file[i].n -= 8;
        expect(&s, disk_recover(&disk, false, &c, &r) == -EUCLEAN && r.lost_batches == 1);
        catalog_fini(&c);
        disk.file[i] = kept;
        free(zeros);
    }
    disk_fini(&disk);
}
END_TEST

/* Each file that is not there is missed, but for those that were cleared; also the last one, if
 * somebody knows that it was begun. */
START_TEST(a_segment_missing)
{
    struct seeded s = seeded_start();
    uint64_t next[4];
    struct catalog c;
    struct recovery r;
    unsigned there = 0;

    disk_init(&disk, 1500);
    for (int i = 0; i < 20; i++) {
        play(&disk, &s, 6, next);
        disk_clear(&disk, true);
    }
    expect(&s, disk.cleared > 2);
    for (uint32_t i = 1; i <= disk.current; i++) {
        struct disk_file kept = disk.file[i];

        if (!kept.bytes)
            continue;
        there++;
        disk.file[i] = (struct disk_file){0};
        disk.newest = i == disk.current ? i : 0;
        expect(&s, disk_recover(&disk, false, &c, &r) == -EUCLEAN);
        expect(&s, r.missing == 1 && r.damaged == 1 && r.lost_batches == 0);
        expect(&s, r.damage[0].missing && r.damage[0].segment == i);
        catalog_fini(&c);
        expect(&s, disk_recover(&disk, true, &c, &r) == 0 && r.missing == 1);
        catalog_fini(&c);
        disk.file[i] = kept;
    }
    expect(&s, there > 3);
    disk.newest = disk.current;
    expect_recovers(&s, &disk);
    disk_fini(&disk);
}
END_TEST

/* All of it gone, but for what was noted beside it. */
START_TEST(every_segment_missing)
{
    struct catalog c;
    struct recovery r;

    disk_init(&disk, 4096);
    disk.newest = 17;
    ck_assert_int_eq(disk_recover(&disk, false, &c, &r), -EUCLEAN);
    ck_assert(r.missing == 1 && r.damage[0].segment == 17);
    catalog_fini(&c);
    disk_fini(&disk);
}
END_TEST

/* A list whose batch is damaged says nothing, nor does the one before it; one that is none is
 * refused. */
START_TEST(a_list_spoilt)
{
    static uint8_t buf[128];
    uint8_t ranges[2 * RANGE_SIZE];
    struct catalog c;
    struct recovery r;

    disk_init(&disk, 4096);
    disk_make_queue(&disk, 1, "q");
    for (uint64_t seq = 1; seq <= 4; seq++) {
        disk_put(&disk, 1, seq, buf);
        disk_commit(&disk);
        disk_begin_segment(&disk);
    }
    disk_put(&disk, 1, 5, buf);
    disk_commit(&disk);
    disk_put(&disk, 1, 6, buf);
    disk_commit(&disk);
    disk.file[5].bytes[SEGMENT_HEAD + BATCH_HEAD] ^= 1;
    ck_assert_int_eq(disk_recover(&disk, false, &c, &r), -EUCLEAN);
    ck_assert(r.missing == 0 && r.lost_batches == 1);
    catalog_fini(&c);
    disk_begin_segment(&disk);
    for (int i = 0; i < 3; i++) {
        range_encode(1, i == 0 ? 4 : 3, ranges);
        range_encode(i == 0 ? 4 : 5, i == 2 ? 5 : 6, ranges + RANGE_SIZE);
        disk.n = 0;
        disk_add(&disk, &(struct record){.kind = RECORD_SEGMENTS,
                                         .data = slice_of(ranges, sizeof ranges)});
        disk.lists = false;
        disk_commit(&disk);
        ck_assert_int_eq(disk_recover(&disk, true, &c, &r), i == 1 ? 0 : -EPROTO);
        ck_assert_uint_eq(r.missing, 0);
        catalog_fini(&c);
        disk.file[6].n = SEGMENT_HEAD;
        disk.next_batch--;
    }
    disk_fini(&disk);
}
END_TEST

START_TEST(what_is_refused)
{
    struct seeded s = seeded_start();
    uint64_t next[4];
    struct segment_head h = {.journal = 77, .number = 100};
    struct catalog c;
    struct recovery r;
    uint8_t *bytes = calloc(1, SEGMENT_HEAD);

    disk_init(&disk, 1500);
    play(&disk, &s, 20, next);
    segment_encode(&h, bytes);
    disk.file[100] = (struct disk_file){bytes, SEGMENT_HEAD};
    ck_assert_int_eq(disk_recover(&disk, true, &c, &r), -EXDEV);
    catalog_fini(&c);
    disk_fini(&disk);
}
END_TEST

/* ------------------------------------------------------------------------------- clearing */

/* Die after a segment was cleared and before, or after, it was unlinked; go on; again. */
/* A record that this program does not know is told apart from one that makes no sense. */
START_TEST(of_a_later_kind)
{
    struct segment_head head = {.journal = DISK_JOURNAL, .number = 1, .batch = 1};
    struct batch_head b = {
        .journal = DISK_JOURNAL, .number = 1, .segment = 1, .offset = SEGMENT_HEAD, .records_n = 1};
    uint8_t record[32] = {RECORD_KINDS + 1, 0, 0, 0, 0, 0, 0, 32};
    struct catalog c;
    struct recovery r;

    disk_init(&disk, 4096);
    disk.file[1] = (struct disk_file){malloc(256), SEGMENT_HEAD + BATCH_HEAD + 32};
    for (unsigned i = 0; i < 2; i++) {
        segment_encode(&head, disk.file[1].bytes);
        record[0] = i ? 0 : RECORD_KINDS + 1;
        memcpy(disk.file[1].bytes + SEGMENT_HEAD + BATCH_HEAD, record, sizeof record);
        batch_encode(&b, slice_of(record, sizeof record), disk.file[1].bytes + SEGMENT_HEAD);
        ck_assert_int_eq(disk_recover(&disk, true, &c, &r), i ? -EPROTO : -ENOTSUP);
        ck_assert_uint_eq(r.newer_kind, i ? 0 : RECORD_KINDS + 1);
        ck_assert_uint_eq(r.at, 1);
        catalog_fini(&c);
    }
    disk_fini(&disk);
}
END_TEST

START_TEST(dying_while_clearing)
{
    struct seeded s = seeded_start();
    uint64_t next[4];

    for (int round = 0; round < 20; round++) {
        disk_init(&disk, 1500);
        for (int i = 0; i < 30; i++) {
            play(&disk, &s, 1 + (unsigned)seeded_below(&s, 8), next);
            disk_clear(&disk, seeded_below(&s, 2));
            expect_recovers(&s, &disk);
        }
        disk_fini(&disk);
    }
}
END_TEST

/* A queue that was deleted stays so, whatever is cleared in whatever order. */
START_TEST(a_queue_that_is_gone)
{
    static uint8_t buf[16][128];
    struct seeded s = seeded_start();
    struct record gone = {.kind = RECORD_GONE, .queue = 2};

    disk_init(&disk, 2048);
    disk_make_queue(&disk, 1, "stays");
    disk_make_queue(&disk, 2, "goes");
    disk_commit(&disk);
    for (uint64_t seq = 1; seq <= 200; seq++) {
        disk_put(&disk, 1, seq, buf[0]);
        if (seq <= 100)
            disk_put(&disk, 2, seq, buf[1]);
        if (seq == 100) {
            disk_commit(&disk);
            gone.segment = catalog_queue(&disk.catalog, 2)->first;
            gone.last = disk.current + 1;
            disk_add(&disk, &gone);
        }
        disk_commit(&disk);
        expect_recovers(&s, &disk);
    }
    for (uint64_t seq = 1; seq <= 200; seq++) {
        disk_settle(&disk, 1, seq);
        disk_commit(&disk);
        while (disk_clear(&disk, true))
            expect_recovers(&s, &disk);
    }
    ck_assert_ptr_null(catalog_queue(&disk.catalog, 2));
    disk_fini(&disk);
}
END_TEST

/* Nobody uses it, and its name stays. */
START_TEST(an_idle_queue)
{
    static uint8_t buf[128];
    struct seeded s = seeded_start();

    disk_init(&disk, 1024);
    disk_make_queue(&disk, 1, "busy");
    disk_make_queue(&disk, 2, "idle");
    disk_commit(&disk);
    for (uint64_t seq = 1; seq <= 300; seq++) {
        disk_put(&disk, 1, seq, buf);
        disk_commit(&disk);
        if (seq % 16 == 0) /* some stay, so that segments have to be cleared */
            continue;
        disk_settle(&disk, 1, seq);
        disk_commit(&disk);
        while (disk_clear(&disk, true))
            ;
    }
    ck_assert_ptr_null(disk.file[1].bytes);
    ck_assert_ptr_nonnull(catalog_queue(&disk.catalog, 2)->definition);
    expect_recovers(&s, &disk);
    disk_fini(&disk);
}
END_TEST

/* That an old copy is settled, said again, does not touch the new one. */
START_TEST(a_settlement_is_of_one_copy)
{
    struct record queue = {.kind = RECORD_QUEUE, .queue = 1, .segment = 1, .name = SLICE("q")},
                  put = {.kind = RECORD_PUT, .size = 64, .queue = 1, .seq = 5},
                  old = {.kind = RECORD_SETTLED, .queue = 1, .segment = 1, .seq = 1, .count = 9};
    struct catalog c;

    catalog_init(&c, 4096, UINT64_MAX);
    for (uint32_t i = 1; i <= 3; i++)
        ck_assert_int_eq(segments_add(&c.segments, i, 4096), 0);
    ck_assert_int_eq(catalog_apply(&c, &queue, 1, 120), 0);
    ck_assert_int_eq(catalog_apply(&c, &put, 1, 160), 0);
    ck_assert_int_eq(catalog_apply(&c, &old, 2, 120), 0);
    ck_assert_int_eq(catalog_apply(&c, &put, 2, 152), 0);
    ck_assert_int_eq(catalog_apply(&c, &old, 3, 120), 0);
    ck_assert_uint_eq(places_find(&catalog_queue(&c, 1)->places, 5)->segment, 2);
    ck_assert_uint_eq(c.superseded, 0);
    old.segment = 2;
    ck_assert_int_eq(catalog_apply(&c, &old, 3, 152), 0);
    ck_assert_ptr_null(places_find(&catalog_queue(&c, 1)->places, 5));
    put.seq = 0; /* nonsense */
    ck_assert_int_eq(catalog_apply(&c, &put, 3, 200), -EPROTO);
    catalog_fini(&c);
}
END_TEST

/* Which message of those there is settled next? */
enum pattern { FIFO, RANDOM, STRAGGLERS, PATTERNS };

static uint64_t pick(struct seeded *s, enum pattern pattern, const struct stored_queue *q)
{
    uint64_t first = 0, seq;

    places_next(&q->places, &first);
    if (pattern == FIFO)
        return first;
    do {
        seq = first + seeded_below(s, q->next - first);
        if (pattern == STRAGGLERS && seq % 100 == 0)
            seq++;
        if (!places_next(&q->places, &seq))
            seq = first;
    } while (pattern == STRAGGLERS && seq % 100 == 0);
    return seq;
}

/* As many as are above the backlog, some in one batch. */
static void settle_some(struct seeded *s, enum pattern pattern, uint64_t backlog)
{
    const struct stored_queue *q = catalog_queue(&disk.catalog, 1);

    while (q->places.n > backlog) {
        uint64_t seq = pick(s, pattern, q);

        for (unsigned k = 0; k < disk.n; k++)
            if (disk.batch[k].seq == seq)
                seq = 0;
        if (seq)
            disk_settle(&disk, 1, seq);
        if (!seq || disk.n == 16 || q->places.n - disk.n == backlog)
            disk_commit(&disk);
    }
}

/* The bound on disk use, at each step; and what clearing costs. */
START_TEST(disk_use_is_bounded)
{
    static uint8_t buf[64][128];
    enum { BACKLOG = 1000, STEPS = 600, A_STEP = 32 };
    struct seeded s = seeded_start();
    uint64_t next = 1, put_bytes = 0;

    disk_init(&disk, 16384);
    disk_make_queue(&disk, 1, "q");
    disk_commit(&disk);
    for (int step = 0; step < STEPS; step++) {
        const struct segments *g = &disk.catalog.segments;

        for (int i = 0; i < A_STEP; i++)
            disk_put(&disk, 1, next++, buf[i]);
        disk_commit(&disk);
        settle_some(&s, (enum pattern)_i, BACKLOG);
        while (disk_clear(&disk, true))
            ;
        expect(&s, g->disk <= 2 * g->data + 4 * disk.segment_bytes);
        if (step % 50 == 0)
            expect_recovers(&s, &disk);
    }
    put_bytes = (next - 1) * 110;
    expect(&s, disk.moved_bytes < put_bytes); /* some 0.2 to 0.6 a message, see docs/stores.md */
    if (getenv("BROKER_SHOW"))
        fprintf(stderr, "pattern %d: moved %.2f of what was put\n", _i,
                (double)disk.moved_bytes / (double)put_bytes);
    disk_fini(&disk);
}
END_TEST

START_TEST(room_within_the_limit)
{
    struct segments t = {.segment_bytes = 1000, .disk_max = 10000};

    ck_assert_uint_eq(segments_room(&t), 8000);
    ck_assert_int_eq(segments_add(&t, 1, 5000), 0);
    ck_assert_uint_eq(segments_room(&t), 3000);
    for (int i = 0; i < 10; i++)
        segments_put(&t, 1, 64, 1000);
    ck_assert_uint_eq(segments_room(&t), 3000 - 10 * SETTLED_SIZE);
    ck_assert_int_eq(segments_add(&t, 2, 4000), 0);
    ck_assert_uint_eq(segments_room(&t), 0);
    segments_fini(&t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal recovery");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, nothing_there);
    tcase_add_test(tc, all_of_it_comes_back);
    tcase_add_test(tc, torn_at_each_byte);
    tcase_add_test(tc, zeros_from_each_byte_on);
    tcase_add_test(tc, any_of_the_sectors);
    tcase_add_test(tc, a_segment_without_anything);
    tcase_add_test(tc, one_bit_in_each_byte);
    tcase_add_test(tc, a_segment_lost);
    tcase_add_test(tc, a_segment_missing);
    tcase_add_test(tc, every_segment_missing);
    tcase_add_test(tc, a_list_spoilt);
    tcase_add_test(tc, what_is_refused);
    tcase_add_test(tc, of_a_later_kind);
    tcase_add_test(tc, dying_while_clearing);
    tcase_add_test(tc, a_queue_that_is_gone);
    tcase_add_test(tc, an_idle_queue);
    tcase_add_test(tc, a_settlement_is_of_one_copy);
    tcase_add_loop_test(tc, disk_use_is_bounded, 0, PATTERNS);
    tcase_add_test(tc, room_within_the_limit);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
