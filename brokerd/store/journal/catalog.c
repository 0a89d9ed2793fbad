#include "brokerd/store/journal/catalog.h"

#include <errno.h>
#include <stdlib.h>

/* No number is so high, whatever a file says: there is room for what is reckoned from numbers. */
#define SEQ_END ((uint64_t)1 << 62)

/* Numbers rise one by one: spread them. */
static uint64_t hash_of(uint64_t n)
{
    n *= UINT64_C(0x9e3779b97f4a7c15);
    return n ^ n >> 32;
}

void catalog_init(struct catalog *c, uint64_t segment_bytes, uint64_t disk_max)
{
    *c = (struct catalog){.next_queue = 1,
                          .segments = {.segment_bytes = segment_bytes, .disk_max = disk_max}};
}

static void free_delayed(struct stored_queue *q)
{
    for (size_t i = 0; q->delayed.slots && i <= q->delayed.mask; i++)
        free(q->delayed.slots[i].thing);
    index_fini(&q->delayed);
}

static void queue_free(struct stored_queue *q)
{
    free_delayed(q);
    places_fini(&q->places);
    free(q->definition);
    free(q);
}

void catalog_fini(struct catalog *c)
{
    size_t at = 0;
    struct stored_queue *q;

    while ((q = catalog_next(c, &at)) != NULL)
        queue_free(q);
    index_fini(&c->queues);
    segments_fini(&c->segments);
}

struct stored_queue *catalog_queue(const struct catalog *c, uint32_t number)
{
    size_t at = hash_of(number);
    struct stored_queue *q;

    while ((q = index_next(&c->queues, hash_of(number), &at)) != NULL)
        if (q->number == number)
            return q;
    return NULL;
}

struct stored_queue *catalog_next(const struct catalog *c, size_t *at)
{
    while (c->queues.slots && *at <= c->queues.mask) {
        struct stored_queue *q = c->queues.slots[(*at)++].thing;

        if (q)
            return q;
    }
    return NULL;
}

static struct stored_queue *queue_get(struct catalog *c, uint32_t number, uint32_t segment)
{
    struct stored_queue *q = catalog_queue(c, number);

    if (q)
        return q;
    q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    *q = (struct stored_queue){
        .number = number, .first = segment, .next = 1, .retain_ms = INT64_MAX};
    if (index_add(&c->queues, hash_of(number), q) < 0) {
        free(q);
        return NULL;
    }
    if (number >= c->next_queue)
        c->next_queue = number + 1;
    return q;
}

/* ---------------------------------------------------------------------------------- delays */

static struct delayed *find_delayed(const struct stored_queue *q, uint64_t seq)
{
    size_t at = hash_of(seq);
    struct delayed *d;

    while ((d = index_next(&q->delayed, hash_of(seq), &at)) != NULL)
        if (d->seq == seq)
            return d;
    return NULL;
}

int64_t catalog_due(const struct stored_queue *q, uint64_t seq)
{
    const struct delayed *d = q->delayed.n ? find_delayed(q, seq) : NULL;

    return d ? d->due_ms : 0;
}

static int set_due(struct stored_queue *q, uint64_t seq, int64_t due_ms)
{
    struct delayed *d = q->delayed.n ? find_delayed(q, seq) : NULL;

    if (d && due_ms) {
        d->due_ms = due_ms;
    } else if (d) {
        index_del(&q->delayed, hash_of(seq), d);
        free(d);
    } else if (due_ms) {
        d = malloc(sizeof *d);
        if (!d || index_add(&q->delayed, hash_of(seq), d) < 0) {
            free(d);
            return -ENOMEM;
        }
        *d = (struct delayed){seq, due_ms};
    }
    return 0;
}

/* -------------------------------------------------------------------------------- messages */

static bool is_returned(const struct stored_queue *q, uint64_t seq, const struct place *p)
{
    return !p->is_past && (p->attempts || catalog_due(q, seq));
}

/* It is not among those any more that wait, or are past. */
static void leave(struct catalog *c, struct stored_queue *q, uint64_t seq, const struct place *p)
{
    uint64_t payload = p->size - p->overhead;

    c->past -= p->is_past;
    *(p->is_past ? &q->past_payload : &q->payload) -= payload;
    q->returned -= is_returned(q, seq, p);
    (void)set_due(q, seq, 0);
}

static void settle(struct catalog *c, struct stored_queue *q, uint64_t seq, const struct place *p)
{
    leave(c, q, seq, p);
    segments_unput(&c->segments, p->segment, p->size);
    q->bytes -= p->size;
    places_drop(&q->places, seq);
}

static void retain(struct catalog *c, struct stored_queue *q, uint64_t seq, const struct place *p,
                   int64_t gone_ms)
{
    leave(c, q, seq, p);
    c->past++;
    q->past_payload += p->size - p->overhead;
    places_retain(&q->places, seq, gone_ms);
}

static void revive(struct catalog *c, struct stored_queue *q, uint64_t seq, const struct place *p)
{
    leave(c, q, seq, p);
    q->payload += p->size - p->overhead;
    places_revive(&q->places, seq);
}

static int apply_put(struct catalog *c, struct stored_queue *q, const struct record *r,
                     uint32_t segment, uint32_t offset)
{
    struct place p = {.segment = segment,
                      .offset = offset,
                      .size = r->size & INT32_MAX,
                      .overhead = (r->size - (uint32_t)r->data.n) & 0x1ffff};
    const struct place *old;

    if (r->seq == 0 || r->seq >= SEQ_END)
        return -EPROTO;
    old = places_find(&q->places, r->seq);
    if (old) {
        c->superseded++;
        settle(c, q, r->seq, old);
    }
    if (places_put(&q->places, r->seq, &p) < 0)
        return -ENOMEM;
    segments_put(&c->segments, segment, r->size, r->time_ms);
    q->bytes += r->size;
    q->payload += r->data.n;
    if (r->seq >= q->next)
        q->next = r->seq + 1;
    return 0;
}

/* A message that the record is about: settled, retained or rewound. */
static void apply_to(struct catalog *c, struct stored_queue *q, const struct record *r,
                     uint64_t seq, const struct place *p)
{
    int64_t within;

    if (r->kind == RECORD_SETTLED)
        settle(c, q, seq, p);
    else if (r->kind == RECORD_RETAINED)
        retain(c, q, seq, p, r->time_ms);
    else if (!p->is_past || places_gone_ms(&q->places, seq, &within) >= r->time_ms)
        revive(c, q, seq, p);
}

static int apply_settled(struct catalog *c, struct stored_queue *q, const struct record *r,
                         uint32_t segment)
{
    uint64_t end = r->seq + r->count, seq = r->seq;
    const struct place *p;

    if (end < r->seq || end > SEQ_END)
        return -EPROTO;
    for (; (p = places_next(&q->places, &seq)) != NULL && seq < end; seq++)
        if (p->segment == r->segment)
            apply_to(c, q, r, seq, p);
    if (end > q->next) /* its put was damaged */
        q->next = end;
    return segments_note(&c->segments, segment, r->segment, r->size);
}

static int apply_returned(struct catalog *c, struct stored_queue *q, const struct record *r,
                          uint32_t segment)
{
    struct place *p = places_find(&q->places, r->seq);

    if (p && p->segment == r->segment && !p->is_past) {
        bool was = is_returned(q, r->seq, p);

        if (set_due(q, r->seq, r->due_ms) < 0)
            return -ENOMEM;
        q->returned -= was;
        p->attempts = catalog_attempts(r) & PLACES_ATTEMPTS_MAX;
        q->returned += is_returned(q, r->seq, p);
    }
    return segments_note(&c->segments, segment, r->segment, r->size);
}

/* ---------------------------------------------------------------------------------- queues */

static void define(struct catalog *c, struct stored_queue *q, uint32_t segment, uint32_t size)
{
    if (q->defined)
        segments_undefine(&c->segments, q->defined, q->def_size);
    q->defined = segment;
    q->def_size = size;
    segments_define(&c->segments, segment, size);
}

static int apply_queue(struct catalog *c, struct stored_queue *q, const struct record *r,
                       uint32_t segment)
{
    size_t n = r->name.n + r->filters.n + r->wishes.n;
    uint8_t *d;

    if (r->seq > SEQ_END)
        return -EPROTO;
    d = malloc(n ? n : 1);
    if (!d)
        return -ENOMEM;
    if (n) /* they follow each other in the record */
        memcpy(d, r->name.p, n);
    free(q->definition);
    q->definition = d;
    q->name_n = (uint32_t)r->name.n;
    q->filters_n = (uint32_t)r->filters.n;
    q->wishes_n = (uint32_t)r->wishes.n;
    q->first = r->segment;
    if (r->seq > q->next)
        q->next = r->seq;
    define(c, q, segment, r->size);
    return 0;
}

static int apply_gone(struct catalog *c, struct stored_queue *q, const struct record *r,
                      uint32_t segment)
{
    const struct place *p;
    uint64_t seq = 0;

    for (; (p = places_next(&q->places, &seq)) != NULL; seq++)
        settle(c, q, seq, p);
    free(q->definition);
    q->definition = NULL;
    q->name_n = q->filters_n = q->wishes_n = 0;
    q->gone = true;
    q->first = r->segment;
    q->last = r->last;
    define(c, q, segment, r->size);
    return 0;
}

bool catalog_definition(const struct stored_queue *q, struct record *ret)
{
    const uint8_t *d = q->definition;

    if (q->gone) {
        *ret = (struct record){
            .kind = RECORD_GONE, .queue = q->number, .segment = q->first, .last = q->last};
        return true;
    }
    if (!d)
        return false;
    *ret = (struct record){.kind = RECORD_QUEUE,
                           .queue = q->number,
                           .segment = q->first,
                           .seq = q->next,
                           .name = slice_of(d, q->name_n),
                           .filters = slice_of(d + q->name_n, q->filters_n),
                           .wishes = slice_of(d + q->name_n + q->filters_n, q->wishes_n)};
    return true;
}

int catalog_apply(struct catalog *c, const struct record *r, uint32_t segment, uint32_t offset)
{
    struct stored_queue *q;

    if (r->kind == RECORD_SEGMENTS) /* of no queue: recovery's (recover.c) */
        return 0;
    q = queue_get(c, r->queue, segment);
    if (!q)
        return -ENOMEM;
    if (q->gone && r->kind != RECORD_GONE)
        return -EPROTO;
    if (!q->definition && !q->gone && r->kind != RECORD_QUEUE && r->kind != RECORD_GONE)
        c->strays++;
    switch (r->kind) {
    case RECORD_PUT:
        return apply_put(c, q, r, segment, offset);
    case RECORD_SETTLED:
    case RECORD_RETAINED:
    case RECORD_REWOUND:
        return apply_settled(c, q, r, segment);
    case RECORD_RETURNED:
        return apply_returned(c, q, r, segment);
    case RECORD_QUEUE:
        return apply_queue(c, q, r, segment);
    case RECORD_GONE:
        return apply_gone(c, q, r, segment);
    case RECORD_SEGMENTS:
        break;
    }
    return -EPROTO;
}

/* ---------------------------------------------------------------------------- what is of use */

bool catalog_needs(const struct catalog *c, const struct record *r, uint32_t segment,
                   uint32_t offset)
{
    const struct stored_queue *q = catalog_queue(c, r->queue);
    const struct place *p;

    if (!q || (q->gone && r->kind != RECORD_GONE))
        return false;
    switch (r->kind) {
    case RECORD_PUT:
        p = places_find(&q->places, r->seq);
        return p && p->segment == segment && p->offset == offset;
    case RECORD_SETTLED:
    case RECORD_RETAINED:
    case RECORD_REWOUND:
        return r->segment != segment && segments_find(&c->segments, r->segment);
    case RECORD_RETURNED:
        p = places_find(&q->places, r->seq);
        return r->segment != segment && p && p->segment == r->segment && !p->is_past &&
               p->attempts == catalog_attempts(r) && catalog_due(q, r->seq) == r->due_ms;
    case RECORD_QUEUE:
        return q->defined == segment;
    case RECORD_GONE:
        return q->defined == segment && segments_any(&c->segments, q->first, q->last, segment);
    case RECORD_SEGMENTS:
        break;
    }
    return false;
}

uint64_t catalog_expire(struct catalog *c, struct stored_queue *q, int64_t before_ms, uint64_t most)
{
    const struct place *p;
    uint64_t seq = 0, n = 0;

    for (; n < most && (p = places_next_past(&q->places, &seq, before_ms)) != NULL; seq++, n++)
        settle(c, q, seq, p);
    return n;
}

bool catalog_state(const struct stored_queue *q, uint64_t seq, uint32_t segment, struct record *ret)
{
    const struct place *p = places_find(&q->places, seq);
    struct record r = {.queue = q->number, .segment = segment, .seq = seq};
    int64_t within;

    if (p->is_past) {
        r.kind = RECORD_RETAINED;
        r.count = 1;
        r.time_ms = places_gone_ms(&q->places, seq, &within);
    } else if (is_returned(q, seq, p)) {
        r.kind = RECORD_RETURNED;
        r.attempts = p->attempts;
        r.due_ms = catalog_due(q, seq);
    } else {
        return false;
    }
    *ret = r;
    return true;
}

void catalog_forget_gone(struct catalog *c, uint32_t number)
{
    struct stored_queue *q;
    size_t at = 0;

    while ((q = catalog_next(c, &at)) != NULL) {
        if (!q->gone || segments_any(&c->segments, q->first, q->last, number))
            continue;
        segments_undefine(&c->segments, q->defined, q->def_size);
        index_del(&c->queues, hash_of(q->number), q);
        queue_free(q);
        at = 0; /* others have moved up, perhaps from the end to the beginning */
    }
}

void catalog_drop_segment(struct catalog *c, uint32_t number)
{
    catalog_forget_gone(c, number);
    segments_drop(&c->segments, number);
}
