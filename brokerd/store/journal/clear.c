#include "brokerd/store/journal/clear.h"

#include <errno.h>
#include <stdlib.h>

/* Settlements of use, gathered to be merged. */
struct range {
    uint32_t queue, segment;
    uint64_t seq, end;
};

struct ranges {
    struct range *r;
    size_t n, cap;
};

static int gather(struct ranges *g, uint32_t segment, const struct record *r, uint32_t count)
{
    if (g->n == g->cap) {
        size_t cap = g->cap ? 2 * g->cap : 64;
        struct range *grown = realloc(g->r, cap * sizeof *grown);

        if (!grown)
            return -ENOMEM;
        g->r = grown;
        g->cap = cap;
    }
    g->r[g->n++] = (struct range){r->queue, segment, r->seq, r->seq + count};
    return 0;
}

static int compare(const void *one, const void *other)
{
    const struct range *a = one, *b = other;

    if (a->queue != b->queue)
        return a->queue < b->queue ? -1 : 1;
    if (a->segment != b->segment)
        return a->segment < b->segment ? -1 : 1;
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* May `b`, which does not begin before `a`, become part of it? Not if a message that is there, in
 * that segment, lies between them. */
static bool joins(const struct catalog *c, const struct range *a, const struct range *b)
{
    const struct stored_queue *q = catalog_queue(c, a->queue);
    const struct place *p;
    uint64_t end = b->end > a->end ? b->end : a->end;

    if (a->queue != b->queue || a->segment != b->segment || end - a->seq > UINT32_MAX)
        return false;
    for (uint64_t seq = a->end; (p = places_next(&q->places, &seq)) != NULL && seq < b->seq; seq++)
        if (p->segment == a->segment)
            return false;
    return true;
}

static int write_ranges(const struct clear *w, struct ranges *g)
{
    if (g->n)
        qsort(g->r, g->n, sizeof *g->r, compare);
    for (size_t i = 0, next; i < g->n; i = next) {
        struct range *a = &g->r[i];
        struct record r = {.kind = RECORD_SETTLED, .queue = a->queue, .segment = a->segment};
        int status;

        for (next = i + 1; next < g->n && joins(w->catalog, a, &g->r[next]); next++)
            if (g->r[next].end > a->end)
                a->end = g->r[next].end;
        r.seq = a->seq;
        r.count = (uint32_t)(a->end - a->seq);
        status = w->write(w->ctx, &r);
        if (status < 0)
            return status;
    }
    return 0;
}

static int move(const struct clear *w, const struct record *r)
{
    const struct stored_queue *q = catalog_queue(w->catalog, r->queue);
    struct record state;
    int status = w->write(w->ctx, r);

    return status == 0 && catalog_state(q, r->seq, 0, &state) ? w->write(w->ctx, &state) : status;
}

/* The next message that is in the segment that `r` is about, from *seq on, below `end`. */
static const struct place *next_of(const struct stored_queue *q, const struct record *r,
                                   uint64_t *seq, uint64_t end)
{
    const struct place *p;

    while ((p = places_next(&q->places, seq)) != NULL && *seq < end && p->segment != r->segment)
        ++*seq;
    return p && *seq < end ? p : NULL;
}

/* Of what is retained or rewound: all that is not there any more is settled. */
static int gather_gone(const struct clear *w, const struct record *r, struct ranges *g)
{
    const struct stored_queue *q = catalog_queue(w->catalog, r->queue);
    uint64_t from = r->seq, seq = from, end = from + r->count;
    int status = 0;

    while (status == 0 && from < end) {
        struct record gone = *r;

        if (!next_of(q, r, &seq, end))
            seq = end;
        gone.seq = from;
        if (seq > from)
            status = gather(g, r->segment, &gone, (uint32_t)(seq - from));
        from = ++seq;
    }
    return status;
}

/* Does the record `r` tell how a message stands: one that is past, since then, or one that waits?
 */
static bool tells(const struct stored_queue *q, const struct record *r, uint64_t seq,
                  const struct place *p)
{
    int64_t within, gone_ms;

    if (r->kind == RECORD_REWOUND || !p->is_past)
        return r->kind == RECORD_REWOUND && !p->is_past;
    gone_ms = places_gone_ms(&q->places, seq, &within);
    return r->time_ms <= gone_ms && gone_ms - r->time_ms <= within;
}

/* And all that is there stands as it does, if that is known by `r`: a record for each run. */
static int tell_state(const struct clear *w, const struct record *r)
{
    const struct stored_queue *q = catalog_queue(w->catalog, r->queue);
    uint64_t end = r->seq + r->count, seq = r->seq;
    struct record run = {0}, state;
    const struct place *p;
    int status = 0;

    for (; status == 0 && (p = next_of(q, r, &seq, end)) != NULL; seq++) {
        if (!tells(q, r, seq, p))
            continue;
        if (!catalog_state(q, seq, r->segment, &state))
            state = (struct record){.time_ms = 0};
        if (run.count && run.seq + run.count == seq &&
            (run.kind == RECORD_REWOUND || run.time_ms == state.time_ms)) {
            run.count++;
            continue;
        }
        if (run.count)
            status = w->write(w->ctx, &run);
        run = *r;
        run.seq = seq;
        run.count = 1;
        run.time_ms = state.time_ms;
    }
    return status == 0 && run.count ? w->write(w->ctx, &run) : status;
}

/* Those that wait again by `r` were returned since. */
static int tell_returned(const struct clear *w, const struct record *r)
{
    const struct stored_queue *q = catalog_queue(w->catalog, r->queue);
    uint64_t end = r->seq + r->count, seq = r->seq;
    struct record state;
    int status = 0;

    if (!q->returned)
        return 0;
    for (; status == 0 && next_of(q, r, &seq, end) != NULL; seq++)
        if (catalog_state(q, seq, r->segment, &state) && state.kind == RECORD_RETURNED)
            status = w->write(w->ctx, &state);
    return status;
}

/* The record's part in what is written first, which is gathered, or else what it becomes. */
static int clear_record(const struct clear *w, const struct record *r, uint32_t offset,
                        struct ranges *first)
{
    struct record now;
    int status;

    if (!catalog_needs(w->catalog, r, w->segment, offset))
        return 0;
    switch (r->kind) {
    case RECORD_PUT:
        return first ? gather(first, w->segment, r, 1) : move(w, r);
    case RECORD_SETTLED:
        return first ? gather(first, r->segment, r, r->count) : 0;
    case RECORD_RETAINED:
    case RECORD_REWOUND:
        if (first)
            return gather_gone(w, r, first);
        status = tell_state(w, r);
        return status == 0 && r->kind == RECORD_REWOUND ? tell_returned(w, r) : status;
    case RECORD_RETURNED:
        return first ? 0 : w->write(w->ctx, r);
    case RECORD_QUEUE:
    case RECORD_GONE:
        if (!first && catalog_definition(catalog_queue(w->catalog, r->queue), &now))
            return w->write(w->ctx, &now);
        break;
    case RECORD_SEGMENTS: /* is never needed */
        break;
    }
    return 0;
}

/* Go through the batches from w->offset to `end`, to the last of which *s then has come. False:
 * there are no more. */
static int walk(const struct clear *w, uint64_t end, struct ranges *first, struct scan *s)
{
    struct scanned b;
    struct record rec;
    int r = 0;

    *s = (struct scan){
        .bytes = w->bytes, .journal = w->journal, .segment = w->segment, .offset = w->offset};
    while (s->offset < end && r == 0) {
        enum scan_status is = scan_next(s, &b);

        if (is == SCAN_HOLE)
            continue;
        if (is != SCAN_BATCH)
            return 0;
        for (uint64_t at = 0; r == 0 && record_decode(slice_from(b.records, at), &rec);
             at += rec.size)
            r = clear_record(w, &rec, (uint32_t)(b.from + BATCH_HEAD + at), first);
    }
    return r < 0 ? r : 1;
}

int clear_step(struct clear *w, uint64_t most)
{
    struct ranges first = {0};
    struct scan s;
    int r = walk(w, w->offset + most, &first, &s);

    if (r >= 0)
        r = write_ranges(w, &first);
    free(first.r);
    if (r >= 0)
        r = walk(w, w->offset + most, NULL, &s);
    w->offset = s.offset;
    return r;
}
