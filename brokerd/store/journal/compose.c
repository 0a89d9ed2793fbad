/* What workers want, made records of a batch, in the order in which they said it. Nothing is
 * changed but the batch and the answers, so that a batch that could not be written is made again,
 * in another way: what must not happen before it is on disk is put off until then (j->later). */
#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

#include "brokerd/store/journal/internal.h"
#include "libbroker/base/be.h"

enum step {
    STEP_DONE,
    STEP_END, /* the batch ends before it */
    STEP_ROLL /* so does the segment */
};

/* ---------------------------------------------------------------------------------------- names */

static uint64_t hash_name(struct slice name)
{
    return XXH3_64bits(name.p, name.n);
}

static struct slice name_of(const struct stored_queue *q)
{
    return slice_of(q->definition, q->definition ? q->name_n : 0);
}

struct stored_queue *names_find(const struct journal *j, struct slice name)
{
    uint64_t hash = hash_name(name);
    size_t at = hash;
    struct stored_queue *q;

    while ((q = index_next(&j->names, hash, &at)) != NULL)
        if (slice_eq(name_of(q), name))
            return q;
    return NULL;
}

void names_add(struct journal *j, struct stored_queue *q)
{
    while (index_add(&j->names, hash_name(name_of(q)), q) < 0)
        free(journal_alloc(PARCEL_BYTES));
}

/* --------------------------------------------------------------------------------- what is pending
 */

/* The next op of a parcel; NULL: there is none. */
static struct op *next_op(struct journal *j)
{
    while (j->at && j->at_op == j->at->used) {
        j->at = j->at->next;
        j->at_op = 0;
    }
    return j->at ? (struct op *)(void *)(j->at->bytes + j->at_op) : NULL;
}

bool compose_pending(const struct journal *j)
{
    return j->held || j->at;
}

void compose_hold(struct journal *j, unsigned worker, const struct op *op)
{
    struct held *h = journal_alloc(offsetof(struct held, op) + op->size);

    h->next = NULL;
    h->worker = worker;
    h->done = false;
    memcpy(&h->op, op, op->size);
    *j->held_end = h;
    j->held_end = &h->next;
    j->held_bytes += op->size;
}

static void later(struct journal *j, unsigned worker, struct op *op, const struct answer *a)
{
    struct later *l = &j->later[j->later_n++];

    *l = (struct later){.op = op, .worker = worker, .answer = reply_add(j, worker, a)};
}

/* ---------------------------------------------------------------------------------------- puts */

static uint64_t most_to_define(const struct stored_queue *kept)
{
    uint64_t strings = kept ? (uint64_t)kept->name_n + kept->filters_n + kept->wishes_n : 0;

    return format_padded(QUEUE_HEAD + strings);
}

/* As many of the records as may be added now: their bytes, *ret_n, *ret_payload. */
static uint64_t that_fit(struct slice records, uint64_t most, uint32_t *ret_n,
                         uint64_t *ret_payload)
{
    uint64_t used = 0, payload = 0;
    uint32_t n = 0;

    while (used < records.n) {
        const uint8_t *p = records.p + used;
        uint64_t size = be_get_32(p + 4);

        if (size > most - used)
            break;
        used += size;
        payload += be_get_32(p + 48);
        n++;
    }
    *ret_n = n;
    *ret_payload = payload;
    return used;
}

/* The segment was made for what does not fit else. */
static bool is_fresh(const struct journal *j)
{
    return j->log.end == SEGMENT_HEAD && !j->log.records;
}

/* So much may be put now, a definition aside. A part of the segment is left for settlements as long
 * as there is no other one for them. */
static uint64_t room_for_puts(const struct journal *j, const struct stored_queue *kept)
{
    uint64_t reserve = j->spare_ready || is_fresh(j) ? 0 : j->catalog.segments.segment_bytes / 4;
    uint64_t taken = reserve + log_definition_size(&j->log, kept), room = log_room(&j->log);
    uint64_t left = j->log.used < BATCH_MAX ? BATCH_MAX - j->log.used : 0;

    room = room > taken ? room - taken : 0;
    return j->log.records && left < room ? left : room;
}

/* The index shall have room for them. */
static bool index_room(struct stored_queue *kept, uint64_t first, uint32_t n)
{
    uint64_t last = first + n - 1;

    for (uint64_t seq = first; seq <= last; seq += PLACES_A_PAGE - seq % PLACES_A_PAGE)
        if (places_reserve(&kept->places, seq) < 0)
            return false;
    return true;
}

static enum reason may_put(const struct journal *j, const struct store_queue *q)
{
    if (!q->kept || q->kept->gone)
        return REASON_NOT_FOUND;
    return j->mode == COMPOSE_ALL ? REASON_NONE : REASON_FULL;
}

static void refuse(struct journal *j, unsigned w, const struct op *op, enum reason reason)
{
    uint64_t n = op->n - j->part.n;

    reply_put(j, w, op->q, op->first + j->part.n, n, op->bytes - j->part.payload, reason);
    j->batch.refused[reason == REASON_MEMORY] += n;
    j->done_bytes += op->token;
    j->part = (struct part){0};
}

static enum step put(struct journal *j, unsigned w, const struct op *op)
{
    struct store_queue *q = op->q;
    enum reason no = may_put(j, q);
    struct slice left = slice_of(op->data + j->part.bytes, op->size - sizeof *op - j->part.bytes);
    uint64_t payload, most, used;
    uint32_t n;
    int r;

    if (no) {
        refuse(j, w, op, no);
        return STEP_DONE;
    }
    most = room_for_puts(j, q->kept);
    used = that_fit(left, most, &n, &payload);
    if (!n) { /* one that is too large for the batch, or for the segment? */
        uint64_t size = be_get_32(left.p + 4);

        if (j->log.records && j->log.used + size > BATCH_MAX)
            return STEP_END;
        j->need = size + most_to_define(q->kept);
        return STEP_ROLL;
    }
    if (!index_room(q->kept, op->first + j->part.n, n)) {
        refuse(j, w, op, REASON_MEMORY);
        return STEP_DONE;
    }
    r = log_put(&j->log, q->kept, slice_of(left.p, used), n);
    if (r == -ENOMEM) {
        refuse(j, w, op, REASON_MEMORY);
        return STEP_DONE;
    }
    reply_put(j, w, q, op->first + j->part.n, n, payload, REASON_NONE);
    j->part = (struct part){j->part.bytes + used, j->part.n + n, j->part.payload + payload};
    q->put_in = j->log.serial;
    q->put_next = op->first + j->part.n;
    j->batch.puts += n;
    j->batch.put_bytes += used;
    if (used < left.n)
        return STEP_END;
    j->done_bytes += op->token;
    j->part = (struct part){0};
    return STEP_DONE;
}

/* --------------------------------------------------------------------------------- settlements */

enum { RANGE_MAX = 1 << 20 };

/* Without room for anything else a queue can still be removed. */
static bool is_for_removals(const struct journal *j, const struct record *r)
{
    return j->mode == COMPOSE_NO_PUTS && r->kind != RECORD_GONE && !is_fresh(j) &&
           log_room(&j->log) < record_size(r) +
                                   most_to_define(catalog_queue(&j->catalog, r->queue)) +
                                   REMOVAL_BYTES;
}

static enum step add(struct journal *j, const struct record *r)
{
    for (;;) {
        int status = is_for_removals(j, r) ? -ENOSPC : log_add(&j->log, r);

        if (status == 0)
            return STEP_DONE;
        if (status == -ENOMEM && !j->log.records) {
            free(journal_alloc(BATCH_MAX));
            continue;
        }
        j->need = record_size(r) + most_to_define(catalog_queue(&j->catalog, r->queue));
        return status == -ENOMEM ? STEP_END : STEP_ROLL;
    }
}

/* How messages are settled: RECORD_SETTLED, all that is there; RECORD_RETAINED, what waits. */
struct settling {
    enum record_kind kind;
    int64_t time_ms;
};

static struct settling settling(const struct stored_queue *kept, bool retain)
{
    if (!retain || !past_retains(kept))
        return (struct settling){.kind = RECORD_SETTLED};
    return (struct settling){RECORD_RETAINED, journal_wall_ms()};
}

static enum step add_settled(struct journal *j, const struct stored_queue *kept,
                             struct settling how, uint32_t segment, uint64_t first, uint64_t end)
{
    return add(j, &(struct record){.kind = how.kind,
                                   .queue = kept->number,
                                   .segment = segment,
                                   .seq = first,
                                   .count = (uint32_t)(end - first),
                                   .time_ms = how.time_ms});
}

/* Does the run that ends with `last` end there, before `seq`? What is retained is told exactly: of
 * numbers between, recovery may know more than we, whose time is over. */
static bool ends(struct settling how, uint64_t first, uint64_t last, uint64_t seq)
{
    return seq - first >= RANGE_MAX || (how.kind == RECORD_RETAINED && seq != last + 1);
}

/* What there is of first .. end - 1 is settled: a record for each run in one segment. STEP_END:
 * what is left of it, once the batch is applied. */
static enum step settle_range(struct journal *j, const struct stored_queue *kept,
                              struct settling how, uint64_t first, uint64_t end, uint64_t *count)
{
    uint64_t seq = first, run = 0, last = 0;
    uint32_t segment = 0;
    const struct place *p;

    for (; (p = how.kind == RECORD_RETAINED ? places_next_waiting(&kept->places, &seq)
                                            : places_next(&kept->places, &seq)) != NULL &&
           seq < end;
         seq++) {
        if (segment && (p->segment != segment || ends(how, run, last, seq))) {
            enum step s = add_settled(j, kept, how, segment, run, last + 1);

            if (s != STEP_DONE)
                return s;
            segment = 0;
            if (*count >= RANGE_MAX || j->log.used >= BATCH_MAX)
                return STEP_END;
        }
        if (!segment) {
            segment = p->segment;
            run = seq;
        }
        last = seq;
        *count += !p->is_past;
    }
    return segment ? add_settled(j, kept, how, segment, run, last + 1) : STEP_DONE;
}

/* A range of them is unusual: most come back one by one. *seq: where it begins, and how far it
 * came.
 */
static enum step returned(struct journal *j, const struct stored_queue *kept,
                          const struct store_settlement *s, uint64_t *seq)
{
    const struct place *p;

    for (; (p = places_next_waiting(&kept->places, seq)) != NULL && *seq - s->seq < s->count;
         (*seq)++) {
        enum step step = add(j, &(struct record){.kind = RECORD_RETURNED,
                                                 .queue = kept->number,
                                                 .segment = p->segment,
                                                 .seq = *seq,
                                                 .attempts = s->attempts,
                                                 .due_ms = s->due_ms});

        if (step != STEP_DONE)
            return step;
    }
    return STEP_DONE;
}

/* This batch has puts or settlements of it: how it stands is known when that is applied. */
static bool is_changing(const struct journal *j, const struct store_queue *q)
{
    return j->log.records && (q->put_in == j->log.serial || q->settled_in == j->log.serial);
}

/* Where the puts of this batch lie is known when it is applied. */
static bool must_wait(const struct journal *j, const struct store_queue *q, uint64_t end)
{
    return q->put_in == j->log.serial && end > q->kept->next;
}

static enum step settle_one(struct journal *j, const struct op *op,
                            const struct store_settlement *s, uint64_t *seq)
{
    struct store_queue *q = op->q;
    enum step step;
    uint64_t n = 0;

    if (must_wait(j, q, s->seq + s->count) || j->log.used >= BATCH_MAX)
        return STEP_END;
    if (s->verb == SETTLE_RETURNED)
        step = returned(j, q->kept, s, seq);
    else
        step = settle_range(j, q->kept, settling(q->kept, op->token == 0), *seq, s->seq + s->count,
                            &n);
    j->batch.settlements += n;
    q->settled_in = j->log.serial;
    return step;
}

/* What is on disk of an op that no batch or segment has room for at once is not said again: what
 * came back would be, for it looks as before. */
static enum step settle(struct journal *j, struct op *op)
{
    const struct store_settlement *s = (const struct store_settlement *)(const void *)op->data;

    if (!op->q->kept || op->q->kept->gone)
        return STEP_DONE;
    for (uint64_t i = op->bytes; i < op->n; i++) {
        uint64_t seq = i == op->bytes && op->first ? op->first : s[i].seq;
        enum step step = settle_one(j, op, &s[i], &seq);

        if (step == STEP_DONE)
            continue;
        j->settling = op;
        j->settling_at = i;
        j->settling_seq = seq;
        return step;
    }
    return STEP_DONE;
}

/* In memory only. A note about the segment that it is in is none. */
static void apply_unrecorded(struct journal *j, const struct record *r)
{
    while (catalog_apply(&j->catalog, r, r->segment, 0) == -ENOMEM)
        free(journal_alloc(PARCEL_BYTES));
}

static uint64_t settle_unrecorded(struct journal *j, const struct stored_queue *kept,
                                  struct settling how, const struct store_settlement *s)
{
    bool waiting = how.kind != RECORD_SETTLED;
    const struct place *p;
    uint64_t seq = s->seq, n = 0;

    for (; (p = waiting ? places_next_waiting(&kept->places, &seq)
                        : places_next(&kept->places, &seq)) != NULL &&
           seq - s->seq < s->count;
         seq++) {
        n += !p->is_past;
        apply_unrecorded(j, &(struct record){.kind = how.kind,
                                             .queue = kept->number,
                                             .segment = p->segment,
                                             .seq = seq,
                                             .count = 1,
                                             .time_ms = how.time_ms,
                                             .attempts = s->attempts,
                                             .due_ms = s->due_ms});
    }
    return n;
}

/* There is no room for settlements on the disk, and too many wait for it: these are true here from
 * now on, so that segments get empty and go, but after a restart they are as if never said. */
static void let_go(struct journal *j, const struct op *op)
{
    const struct store_settlement *s = (const struct store_settlement *)(const void *)op->data;
    const struct stored_queue *kept = op->q->kept;

    s += op->bytes;
    for (uint64_t i = op->bytes; kept && !kept->gone && i < op->n; i++, s++) {
        struct settling how = s->verb == SETTLE_RETURNED
                                  ? (struct settling){.kind = RECORD_RETURNED}
                                  : settling(kept, op->token == 0);

        j->facts.unrecorded += settle_unrecorded(j, kept, how, s);
    }
    j->sweep.look = true;
    if (!j->unrecorded)
        journal_tell(
            j, JOURNAL_UNRECORDED,
            "there is no room even for acknowledgements: from now on they do not outlive a "
            "restart, and what was acknowledged would be delivered again");
    j->unrecorded = true;
}

/* What is retained where a purge does not reach otherwise: among what is in hand, and beyond it. */
static enum step purge_past(struct journal *j, const struct stored_queue *kept, uint64_t from,
                            uint64_t end)
{
    const struct place *p;

    for (; (p = places_next_past(&kept->places, &from, INT64_MAX)) != NULL && from < end; from++) {
        enum step s = add_settled(j, kept, (struct settling){.kind = RECORD_SETTLED}, p->segment,
                                  from, from + 1);

        if (s != STEP_DONE)
            return s;
        if (j->log.used >= BATCH_MAX)
            return STEP_END;
    }
    return STEP_DONE;
}

static enum step purge(struct journal *j, unsigned w, struct op *op)
{
    const struct store_settlement *but = (const struct store_settlement *)(const void *)op->data;
    struct store_queue *q = op->q;
    uint64_t upto = op->first < UINT64_MAX ? op->first + 1 : op->first; /* no number is so high */
    struct settling how = {.kind = RECORD_SETTLED};                     /* nothing is retained */
    uint64_t from = 0, n = 0;

    if (is_changing(j, q) || j->purging)
        return STEP_END;
    for (uint32_t i = 0; q->kept && i <= op->n; i++) {
        uint64_t end = i < op->n && but[i].seq < upto ? but[i].seq : upto;
        enum step step = from < end ? settle_range(j, q->kept, how, from, end, &n) : STEP_DONE;

        q->settled_in = j->log.serial;
        j->purging = op;
        j->purged = n;
        if (step == STEP_DONE && q->kept->places.past)
            step = purge_past(j, q->kept, end, i < op->n ? but[i].seq + but[i].count : UINT64_MAX);
        if (step != STEP_DONE)
            return step;
        if (i < op->n)
            from = but[i].seq + but[i].count;
    }
    later(j, w, op, &(struct answer){.q = q, .kind = STORED_PURGED});
    return STEP_DONE;
}

/* The queue goes on at another message: one batch, or nothing. */
static enum step rewind_queue(struct journal *j, unsigned w, struct op *op)
{
    struct answer a = {.kind = STORED_REWOUND, .q = op->q};
    struct store_queue *q = op->q;
    int r;

    if (is_changing(j, q))
        return STEP_END;
    if (!q->kept || q->kept->gone) {
        a.reason = REASON_STORE;
    } else if (j->mode != COMPOSE_ALL) {
        a.reason = REASON_FULL;
    } else {
        r = past_rewind(j, q->kept, op, &j->need);
        if (r == -ENOSPC) {
            j->need += most_to_define(q->kept);
            return STEP_ROLL;
        }
        if (r < 0)
            a.reason = REASON_MEMORY;
        q->settled_in = j->log.serial;
    }
    later(j, w, op, &a);
    return STEP_DONE;
}

/* -------------------------------------------------------------------------------------- queues */

/* Something in this batch makes or removes a queue of that name. */
static bool in_doubt(const struct journal *j, struct slice name)
{
    for (unsigned i = 0; i < j->later_n; i++) {
        const struct op *op = j->later[i].op;
        struct record r;

        if (op->kind == OP_OPEN && op->q->opening &&
            record_decode(slice_of(op->data, op->size - sizeof *op), &r) && slice_eq(r.name, name))
            return true;
        if (op->kind == OP_REMOVE && op->q->kept && slice_eq(name_of(op->q->kept), name))
            return true;
    }
    return false;
}

static bool same_definition(const struct stored_queue *kept, const struct record *r)
{
    size_t n = r->name.n + r->filters.n + r->wishes.n;

    return kept->name_n == r->name.n && kept->filters_n == r->filters.n &&
           kept->wishes_n == r->wishes.n && memcmp(kept->definition, r->name.p, n) == 0;
}

/* It is defined so on disk already, and this batch does not say otherwise. */
static bool is_defined(const struct journal *j, const struct stored_queue *kept,
                       const struct record *r)
{
    return kept->writing != j->log.serial && same_definition(kept, r);
}

static enum step redefine(struct journal *j, const struct stored_queue *kept, struct record *r)
{
    if (is_defined(j, kept, r))
        return STEP_DONE;
    r->queue = kept->number;
    r->segment = kept->first;
    r->seq = kept->next;
    return add(j, r);
}

static enum step make_queue(struct journal *j, struct store_queue *q, struct record *r)
{
    enum step step;

    r->queue = j->next_queue;
    r->segment = j->log.segment;
    step = add(j, r);
    if (step != STEP_DONE)
        return step;
    j->next_queue++;
    q->opening = r->queue;
    return STEP_DONE;
}

static enum step open_queue(struct journal *j, unsigned w, struct op *op)
{
    struct store_queue *q = op->q;
    struct answer a = {.q = q, .kind = STORED_OPEN};
    enum step step = STEP_DONE;
    struct record r;

    (void)record_decode(slice_of(op->data, op->size - sizeof *op), &r);
    if (in_doubt(j, r.name))
        return STEP_END;
    q->opening = 0;
    q->kept = names_find(j, r.name);
    if (j->mode == COMPOSE_HOLD)
        a.reason = REASON_STORE;
    else if (!q->kept)
        step = make_queue(j, q, &r);
    else
        step = redefine(j, q->kept, &r);
    if (step == STEP_DONE)
        later(j, w, op, &a);
    return step;
}

static enum step define(struct journal *j, struct op *op)
{
    struct store_queue *q = op->q;
    struct record r;

    (void)record_decode(slice_of(op->data, op->size - sizeof *op), &r);
    if (!q->kept || q->kept->gone)
        return STEP_DONE;
    if (q->kept->retain_ms != (int64_t)op->first) { /* it is about all that is settled so far */
        if (is_changing(j, q))
            return STEP_END;
        q->kept->retain_ms = (int64_t)op->first;
        past_expire(j, q->kept);
    }
    return redefine(j, q->kept, &r);
}

/* The worker lets go of it: its answer is the last one. */
static enum step close_queue(struct journal *j, unsigned w, struct op *op)
{
    struct store_queue *q = op->q;
    enum step step = STEP_DONE;

    q->closing = true;
    if (op->kind == OP_REMOVE && q->kept && !q->kept->gone)
        step = add(j, &(struct record){.kind = RECORD_GONE,
                                       .queue = q->kept->number,
                                       .segment = q->kept->first,
                                       .last = j->log.segment});
    if (step == STEP_DONE) {
        later(j, w, op, &(struct answer){.q = q, .kind = ANSWER_CLOSED});
        j->later[j->later_n - 1].hash = q->kept ? hash_name(name_of(q->kept)) : 0;
    }
    return step;
}

/* --------------------------------------------------------------------------------------- reads */

static enum step read_later(struct journal *j, unsigned w, struct op *op)
{
    static const unsigned kinds[] = {
        [OP_FETCH] = STORED_MESSAGES, [OP_PEEK] = STORED_PEEKED, [OP_ASK] = STORED_FACTS};
    struct store_queue *q = op->q;
    uint64_t next = q->kept ? q->kept->next : 1;

    if (j->reading_bytes >= READ_BYTES)
        return STEP_END;
    j->reading_bytes += op->bytes;
    later(j, w, op, &(struct answer){.q = q, .kind = kinds[op->kind]});
    /* Later puts of this batch are answered after this. */
    j->later[j->later_n - 1].next =
        q->put_in == j->log.serial && q->put_next > next ? q->put_next : next;
    return STEP_DONE;
}

/* --------------------------------------------------------------------------------- the whole */

static enum step write_step(struct journal *j, unsigned w, struct op *op)
{
    switch (op->kind) {
    case OP_SETTLE:
        return settle(j, op);
    case OP_DEFINE:
        return define(j, op);
    case OP_PURGE:
        return purge(j, w, op);
    default:
        return close_queue(j, w, op);
    }
}

static enum step step(struct journal *j, unsigned w, struct op *op)
{
    if (j->later_n == LATER_MAX || (j->log.records && j->log.used >= BATCH_MAX))
        return STEP_END;
    switch (op->kind) {
    case OP_PUT:
        return put(j, w, op);
    case OP_OPEN:
        return open_queue(j, w, op);
    case OP_FETCH:
    case OP_PEEK:
    case OP_ASK:
        return read_later(j, w, op);
    case OP_REWIND:
        return rewind_queue(j, w, op);
    default:
        break;
    }
    if (j->mode != COMPOSE_HOLD)
        return write_step(j, w, op);
    if (op->kind == OP_SETTLE && j->held_bytes + op->size > HELD_BYTES)
        let_go(j, op);
    else
        compose_hold(j, w, op); /* closing, too: what it closes may be held */
    return STEP_DONE;
}

static enum step compose_held(struct journal *j)
{
    enum step s = STEP_DONE;

    for (struct held *h = j->held; h && s == STEP_DONE; h = h->next) {
        s = step(j, h->worker, &h->op);
        h->done = s == STEP_DONE;
    }
    return s;
}

enum composed compose(struct journal *j)
{
    enum step s = STEP_DONE;
    struct op *op;

    j->mark = (struct mark){j->at, j->at_op, j->part, j->done_bytes, j->next_queue};
    if (j->mode != COMPOSE_HOLD)
        s = compose_held(j);
    while (s == STEP_DONE && (op = next_op(j)) != NULL) {
        s = step(j, j->at->worker, op);
        if (s == STEP_DONE)
            j->at_op += op->size;
    }
    return s == STEP_ROLL ? COMPOSED_ROLL : COMPOSED;
}

static void forget(struct journal *j)
{
    j->later_n = 0;
    j->reading_bytes = 0;
    j->purging = NULL;
    j->purged = 0;
    j->settling = NULL;
    j->batch = (struct batch_counts){0};
}

void compose_rewind(struct journal *j)
{
    log_drop(&j->log);
    j->at = j->mark.at;
    j->at_op = j->mark.at_op;
    j->part = j->mark.part;
    j->done_bytes = j->mark.done_bytes;
    j->next_queue = j->mark.next_queue;
    for (struct held *h = j->held; h; h = h->next)
        h->done = false;
    reply_rewind(j);
    forget(j);
}

static void drop_held(struct journal *j)
{
    while (j->held && j->held->done) {
        struct held *h = j->held;

        j->held = h->next;
        j->held_bytes -= h->op.size;
        free(h);
    }
    if (!j->held) {
        j->held_end = &j->held;
        j->unrecorded = false;
    }
}

static bool is_unremoved(const struct held *h)
{
    return h->op.kind == OP_REMOVE && h->op.q->kept && !h->op.q->kept->gone;
}

/* Its other ops that wait find no queue, and so they end. */
static bool remove_queue(struct journal *j, struct store_queue *q)
{
    struct stored_queue *kept = q->kept;
    const struct record r = {
        .kind = RECORD_GONE, .queue = kept->number, .segment = kept->first, .last = j->log.segment};
    uint64_t hash = hash_name(name_of(kept));

    if (log_add(&j->log, &r) < 0 || journal_commit(j) < 0) {
        log_drop(&j->log);
        return false;
    }
    index_del(&j->names, hash, kept);
    if (kept->open == q)
        kept->open = NULL;
    q->kept = NULL;
    j->sweep.look = true;
    return true;
}

void compose_removals(struct journal *j)
{
    for (struct held *h = j->held; h; h = h->next)
        if (is_unremoved(h) && !remove_queue(j, h->op.q))
            return;
}

void compose_tell_unremoved(struct journal *j)
{
    for (const struct held *h = j->held; h; h = h->next) {
        struct slice name = is_unremoved(h) ? name_of(h->op.q->kept) : (struct slice){0};

        if (name.n)
            journal_tell(
                j, JOURNAL_UNRECORDED,
                "queue \"%.*s\" was deleted, and there is no room to record it: it will be "
                "there again at the next start",
                (int)name.n, (const char *)name.p);
    }
}

void compose_done(struct journal *j)
{
    if (j->purging)
        j->purging->bytes += j->purged;
    if (j->settling) {
        j->settling->bytes = j->settling_at;
        j->settling->first = j->settling_seq;
    }
    (void)next_op(j);
    while (j->head != j->at) {
        struct parcel *p = j->head;

        j->head = p->next;
        p->next = j->done;
        j->done = p;
    }
    if (!j->head)
        j->tail = NULL;
    drop_held(j);
    j->facts.puts += j->batch.puts;
    j->facts.put_bytes += j->batch.put_bytes;
    j->facts.settlements += j->batch.settlements;
    j->facts.refused_space += j->batch.refused[0];
    j->facts.refused_memory += j->batch.refused[1];
    forget(j);
}
