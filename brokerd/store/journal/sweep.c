/* Clearing, in steps between rounds: what a segment has of use is written again at the journal's
 * end, then its file goes. A step is a batch of its own, so that nothing is settled in it but the
 * old copies. */
#include <errno.h>
#include <sys/mman.h>

#include "brokerd/store/journal/internal.h"
#include "brokerd/store/journal/keep.h"

enum { LOAD_BYTES = 1 << 20 };

static int write_record(void *ctx, const struct record *r)
{
    struct journal *j = ctx;

    if (r->kind == RECORD_PUT)
        j->facts.moved_bytes += record_size(r);
    return log_add(&j->log, r);
}

static void forget_bytes(struct sweep *s)
{
    if (s->bytes)
        (void)munmap(s->bytes, s->n);
    s->bytes = NULL;
    s->n = s->loaded = 0;
}

void sweep_fini(struct sweep *s)
{
    forget_bytes(s);
}

/* A step's batch is to fit into an ordinary segment. */
static uint64_t step_bytes(const struct journal *j)
{
    uint64_t part = j->catalog.segments.segment_bytes / 4;

    return part < SWEEP_BYTES ? part : SWEEP_BYTES;
}

/* ----------------------------------------------------------------------------------- a victim */

static void leave(struct journal *j)
{
    struct sweep *s = &j->sweep;

    forget_bytes(s);
    s->leaving = s->victim;
    s->victim = 0;
    helper_remove(&j->helper, s->leaving);
}

static void has_left(struct journal *j, uint32_t number)
{
    read_forget_file(j, number);
    catalog_drop_segment(&j->catalog, number);
    j->facts.cleared++;
    j->sweep.leaving = 0;
    j->sweep.look = true;
    if (j->spare_full)
        j->retry_ms = 0; /* there may be room now */
    else
        journal_prepare(j);
}

static void begin(struct journal *j, uint32_t victim)
{
    const struct segment *g = segments_find(&j->catalog.segments, victim);
    struct sweep *s = &j->sweep;
    void *p;

    s->victim = victim;
    s->walked = false;
    if (segment_live(g) == 0) {
        leave(j);
        return;
    }
    p = mmap(NULL, g->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) { /* some other time */
        s->victim = 0;
        return;
    }
    s->bytes = p;
    s->n = g->size;
    s->loaded = 0;
    s->clear = (struct clear){.catalog = &j->catalog,
                              .journal = j->log.journal,
                              .segment = victim,
                              .bytes = slice_of(s->bytes, s->n),
                              .offset = SEGMENT_HEAD,
                              .write = write_record,
                              .ctx = j};
}

/* Without room to write, there may be segments that only need to go: the victim must not be in
 * their way. What was moved of it stays moved. */
static void give_up(struct sweep *s)
{
    forget_bytes(s);
    s->victim = 0;
    s->look = true;
    s->again_ms = journal_clock_ms() + RETRY_MS;
}

static bool may_begin(const struct journal *j, uint32_t number)
{
    const struct segment *g = segments_find(&j->catalog.segments, number);

    return segment_live(g) == 0 ||
           (!j->write_full && !j->spare_full && journal_clock_ms() >= j->sweep.again_ms);
}

bool sweep_wanted(struct journal *j)
{
    struct sweep *s = &j->sweep;
    uint32_t number;

    if (s->leaving) {
        number = helper_removed(&j->helper, j->log.segment);
        if (number)
            has_left(j, number);
    }
    if (s->victim && (j->write_full || j->spare_full))
        give_up(s);
    if (s->victim)
        return true;
    if (s->leaving || !s->look)
        return false;
    number = segments_victim(&j->catalog.segments);
    s->look = number && !may_begin(j, number);
    if (number && !s->look)
        begin(j, number);
    return s->victim != 0;
}

/* -------------------------------------------------------------------------------------- steps */

/* What cannot be read is as good as damaged: it stays zero. */
static void load(struct journal *j)
{
    struct sweep *s = &j->sweep;
    uint64_t n = s->n - s->loaded < LOAD_BYTES ? s->n - s->loaded : LOAD_BYTES;
    int fd;

    if (read_file(j, s->victim, &fd) == 0)
        (void)files_read(fd, s->bytes + s->loaded, n, s->loaded);
    s->loaded += n;
}

/* The batch, made as if there were room without end: is there? 0, or -ENOSPC: it is forgotten, and
 * to be made again. */
static int commit(struct journal *j)
{
    uint64_t used = j->log.used;
    int r = 0;

    j->log.free_size = false;
    if (!j->log.records) {
        log_drop(&j->log);
        return 0;
    }
    if (j->log.end + log_size(&j->log) > j->log.size) {
        log_drop(&j->log);
        r = journal_roll(j, used);
        if (r == 0)
            return -EAGAIN;
    } else {
        r = journal_commit(j);
        if (r == 0)
            return 0;
        j->write_full = true;
    }
    log_drop(&j->log);
    return r;
}

/* A message whose batch is damaged: its own check may say that it is not. */
static int salvage_one(struct journal *j, const struct stored_queue *q, uint64_t seq,
                       const struct place *p, bool *ret_lost)
{
    const struct sweep *s = &j->sweep;
    struct record gone = {
        .kind = RECORD_SETTLED, .queue = q->number, .segment = s->victim, .seq = seq, .count = 1};
    struct record r, state;
    int status = log_add(&j->log, &gone);

    *ret_lost = p->offset + (uint64_t)p->size > s->n ||
                !record_decode_put(slice_of(s->bytes + p->offset, p->size), &r) ||
                r.queue != q->number || r.seq != seq;
    if (status < 0 || *ret_lost)
        return status;
    status = write_record(j, &r);
    return status == 0 && catalog_state(q, seq, 0, &state) ? log_add(&j->log, &state) : status;
}

static int salvage_queue(struct journal *j, struct stored_queue *q, uint64_t *ret_lost)
{
    const struct place *p;
    struct record def;
    bool lost;
    int r = 0;

    if (q->defined == j->sweep.victim && q->writing != j->log.serial && catalog_definition(q, &def))
        r = log_add(&j->log, &def);
    for (uint64_t seq = 0;
         r == 0 && j->log.used < step_bytes(j) && (p = places_next(&q->places, &seq)) != NULL;
         seq++) {
        if (p->segment != j->sweep.victim)
            continue;
        r = salvage_one(j, q, seq, p, &lost);
        *ret_lost += lost;
    }
    return r;
}

/* What was in damaged batches, as far as it is whole: queue by queue, a batch at a time. True:
 * there is more. */
static bool salvage(struct journal *j)
{
    struct stored_queue *q;
    size_t at = 0;

    while ((q = catalog_next(&j->catalog, &at)) != NULL) {
        uint64_t lost = 0;
        int r;

        j->log.free_size = true;
        r = salvage_queue(j, q, &lost);
        if (r == 0 && !j->log.records) {
            j->log.free_size = false;
            continue;
        }
        r = r == 0 ? commit(j) : r;
        j->log.free_size = false;
        if (r < 0) {
            log_drop(&j->log);
            if (r != -EAGAIN)
                give_up(&j->sweep);
            return true;
        }
        j->facts.damaged += lost;
        if (lost)
            journal_tell(j, JOURNAL_DAMAGED, "queue \"%.*s\": %llu messages in segment %u are lost",
                         (int)q->name_n, (const char *)q->definition, (unsigned long long)lost,
                         j->sweep.victim);
        if (lost && q->open)
            read_tell_lost(j, q->open, lost);
        return true;
    }
    return false;
}

static void walk(struct journal *j)
{
    struct sweep *s = &j->sweep;
    uint64_t from = s->clear.offset;
    int more, r;

    j->log.free_size = true;
    more = clear_step(&s->clear, step_bytes(j));
    r = more < 0 ? more : commit(j);
    j->log.free_size = false;
    if (r == 0) {
        s->walked = more == 0;
        return;
    }
    log_drop(&j->log);
    s->clear.offset = from;
    if (r != -EAGAIN)
        give_up(s);
}

void sweep_step(struct journal *j)
{
    struct sweep *s = &j->sweep;
    const struct segment *g;

    if (s->loaded < s->n) {
        load(j);
        return;
    }
    if (!s->walked) {
        walk(j);
        return;
    }
    /* That a queue is gone which had records here alone need not be told elsewhere. */
    catalog_forget_gone(&j->catalog, s->victim);
    g = segments_find(&j->catalog.segments, s->victim);
    if (g->data) {
        if (s->kept != s->victim) {
            journal_tell(j, JOURNAL_DAMAGED, "segment %u is damaged; it is kept in damaged/",
                         s->victim);
            (void)keep_damaged(&j->files, s->victim);
            s->kept = s->victim;
        }
        if (salvage(j))
            return;
    }
    leave(j);
}
