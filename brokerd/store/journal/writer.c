/* The journal's thread. A round: what workers want becomes a batch, is written and synced, applied,
 * and only then answered. No waiting for more to come: while one sync runs, the next batch gathers
 * by itself. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "brokerd/store/journal/internal.h"

enum {
    BIT_NS_SHIFT = 13, /* a bucket of sync times begins at 8 us */
    LOOK_ROUNDS = 16   /* a look for something to clear */
};

static int64_t clock_ns(clockid_t which)
{
    struct timespec ts;

    clock_gettime(which, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t journal_clock_ms(void)
{
    return clock_ns(CLOCK_MONOTONIC) / 1000000;
}

int64_t journal_wall_ms(void)
{
    return clock_ns(CLOCK_REALTIME) / 1000000;
}

/* ---------------------------------------------------------------------------------- to the disk */

static bool is_full(int r)
{
    return r == -ENOSPC || r == -EDQUOT;
}

static void count_sync(struct journal_facts *f, int64_t ns)
{
    unsigned bucket = 0;

    while (bucket + 1 < JOURNAL_SYNC_BUCKETS && ns >> (BIT_NS_SHIFT + bucket))
        bucket++;
    f->sync_times[bucket]++;
    f->syncs++;
    f->sync_ns += (uint64_t)ns;
    if ((uint64_t)ns > f->sync_ns_max)
        f->sync_ns_max = (uint64_t)ns;
}

int journal_commit(struct journal *j)
{
    uint64_t bytes = j->log.used;
    uint32_t records = j->log.records;
    bool lists = j->log.list_n != 0;
    int r = log_write(&j->log);
    int64_t began;

    if (is_full(r))
        return -ENOSPC;
    if (r < 0)
        journal_die(j, "write", r);
    began = clock_ns(CLOCK_MONOTONIC);
    atomic_store_explicit(&j->syncing_since_ms, began / 1000000, memory_order_relaxed);
    r = log_sync(&j->log);
    if (r < 0)
        journal_die(j, "sync", r);
    atomic_store_explicit(&j->syncing_since_ms, 0, memory_order_relaxed);
    count_sync(&j->facts, clock_ns(CLOCK_MONOTONIC) - began);
    if (lists)
        helper_listed(&j->helper, j->log.segment);
    j->facts.batches++;
    j->facts.records += records;
    j->facts.bytes += bytes;
    j->last_ms = began / 1000000;
    return 0;
}

static bool within_limit(const struct journal *j, uint64_t more)
{
    const struct segments *t = &j->catalog.segments;

    return t->disk_max == UINT64_MAX || t->disk + more <= t->disk_max;
}

/* Puts leave room for two segments, of which this is one. */
void journal_prepare(struct journal *j)
{
    if (within_limit(j, j->catalog.segments.segment_bytes))
        helper_prepare(&j->helper);
}

/* How it is about the next segment's file. */
static enum spare_state look_at_spare(struct journal *j)
{
    int error;
    enum spare_state s = helper_spare(&j->helper, &error);

    j->spare_ready = s == SPARE_READY;
    if (s == SPARE_READY)
        j->spare_full = false;
    if (s == SPARE_FAILED && !j->spare_full) {
        j->spare_full = true;
        journal_tell(j, JOURNAL_FULL, "no room for the next segment: %s", strerror(-error));
    }
    return s;
}

int journal_roll(struct journal *j, uint64_t need)
{
    uint64_t size = j->catalog.segments.segment_bytes,
             least = need + SEGMENT_HEAD + BATCH_HEAD + log_list_most(&j->log);
    enum spare_state s = look_at_spare(j);
    uint64_t end;
    int fd, old, r = 0;

    if (s != SPARE_READY) {
        j->facts.rolled_late++;
        journal_prepare(j);
        s = helper_wait(&j->helper);
        (void)look_at_spare(j);
    }
    if (s != SPARE_READY)
        return -ENOSPC;
    fd = helper_take(&j->helper);
    if (least > size) { /* one that is as large as its one batch */
        size = format_padded(least);
        r = within_limit(j, size) ? files_reserve(fd, size) : -ENOSPC;
    }
    if (r == 0)
        r = log_begin(&j->log, fd, size, journal_wall_ms(), &old, &end);
    if (is_full(r) || r == -EFBIG) {
        helper_put_back(&j->helper, fd);
        return -ENOSPC;
    }
    if (r < 0)
        journal_die(j, "segment", r);
    if (old >= 0)
        helper_cut(&j->helper, old, end);
    j->sweep.look = true;
    j->spare_ready = false;
    journal_prepare(j);
    return 0;
}

/* ------------------------------------------------------------------------------------ its room */

static uint64_t room(const struct journal *j)
{
    const struct segments *t = &j->catalog.segments;
    uint64_t space = segments_room(t);

    return log_room(&j->log) + space / t->segment_bytes * t->segment_bytes;
}

static void tell_room(struct journal *j, uint64_t let)
{
    for (unsigned w = 0; w < j->options.workers; w++) {
        struct journal_store *s = j->store[w];
        uint64_t wants = atomic_load(&s->wants);

        if (!wants || atomic_load(&j->taken) + wants > let)
            continue;
        atomic_store(&s->wants, 0);
        reply_add(j, w, &(struct answer){.kind = STORED_ROOM});
    }
}

/* Was anybody told that there is no room for what he has? */
static bool is_wanted(const struct journal *j)
{
    for (unsigned w = 0; w < j->options.workers; w++)
        if (atomic_load(&j->store[w]->wants))
            return true;
    return false;
}

/* Full is told when somebody was refused, and room when it is worth a segment: at the limit, each
 * acknowledgement makes some, and the next message takes it. */
static void tell_full(struct journal *j, bool stopped, uint64_t let)
{
    bool was = j->facts.full_since_ms != 0;

    if (!was && (stopped || is_wanted(j))) {
        j->facts.full_since_ms = journal_wall_ms();
        if (!stopped) /* else it was told why */
            journal_tell(j, JOURNAL_FULL, "the limit (max-disk) is reached");
    } else if (was && !stopped && !is_wanted(j) &&
               (let == UINT64_MAX ||
                let >= atomic_load(&j->taken) + j->catalog.segments.segment_bytes)) {
        j->facts.full_since_ms = 0;
        journal_tell(j, JOURNAL_ROOM, "there is room again");
    }
}

void journal_set_room(struct journal *j)
{
    const struct segments *t = &j->catalog.segments;
    bool stopped = j->write_full || j->spare_full;
    uint64_t let = t->disk_max == UINT64_MAX ? UINT64_MAX : j->done_bytes + room(j);

    atomic_store_explicit(&j->let, let, memory_order_release);
    atomic_store_explicit(&j->refuse, stopped ? -ENOSPC : 0, memory_order_relaxed);
    if (!stopped)
        tell_room(j, let);
    tell_full(j, stopped, let);
}

void journal_publish(struct journal *j)
{
    const struct segments *t = &j->catalog.segments;

    j->facts.disk = t->disk;
    j->facts.disk_max = t->disk_max;
    j->facts.data = t->data;
    j->facts.notes = t->notes;
    j->facts.segments = t->n;
    j->facts.messages = t->puts - j->catalog.past;
    j->facts.retained = j->catalog.past;
    j->facts.queues = j->names.n;
    pthread_mutex_lock(&j->facts_lock);
    j->told = j->facts;
    pthread_mutex_unlock(&j->facts_lock);
}

/* --------------------------------------------------------------------------------------- rounds */

/* Take what workers have sent. */
static void take(struct journal *j)
{
    struct parcel *newest, *oldest = NULL, *next;

    if (!atomic_load(&j->parcels))
        return;
    newest = atomic_exchange(&j->parcels, NULL);
    j->since_ms = j->since_ms ? j->since_ms : journal_clock_ms();
    for (struct parcel *p = newest; p; p = next) {
        next = p->next;
        p->next = oldest;
        oldest = p;
        j->urgent = j->urgent || p->urgent;
    }
    if (j->urgent)
        vigil_came(&j->vigil, clock_ns(CLOCK_MONOTONIC));
    if (j->tail)
        j->tail->next = oldest;
    else
        j->head = oldest;
    if (!j->at) {
        j->at = oldest;
        j->at_op = 0;
    }
    j->tail = newest;
}

/* There is no room: again, with less. */
static void with_less(struct journal *j)
{
    compose_rewind(j);
    if (j->mode == COMPOSE_NO_PUTS)
        j->retry_ms = journal_clock_ms() + RETRY_MS;
    j->mode = j->mode == COMPOSE_ALL ? COMPOSE_NO_PUTS : COMPOSE_HOLD;
}

/* Make a batch and have it on disk. */
static void write_batch(struct journal *j)
{
    for (;;) {
        enum composed how = compose(j);

        if (how == COMPOSED_ROLL && !j->log.records) {
            if (journal_roll(j, j->need) == 0)
                compose_rewind(j);
            else
                with_less(j);
            continue;
        }
        if (!j->log.records || journal_commit(j) == 0)
            return;
        if (!j->write_full)
            journal_tell(j, JOURNAL_FULL, "the disk is full");
        j->write_full = true;
        j->retry_ms = journal_clock_ms() + RETRY_MS;
        with_less(j);
    }
}

static void round_of_all(struct journal *j)
{
    uint64_t records = j->facts.records;

    (void)look_at_spare(j);
    j->mode = j->write_full || j->spare_full ? COMPOSE_NO_PUTS : COMPOSE_ALL;
    write_batch(j);
    read_all(j);
    compose_done(j);
    if (j->held)
        compose_removals(j);
    if (++j->rounds % LOOK_ROUNDS == 0)
        j->sweep.look = true;
    j->sweep.look_idle = true;
    j->few = j->facts.records - records <= SOON_MAX;
    if (!j->at) {
        j->urgent = false;
        j->since_ms = 0;
    }
}

/* All so far was confirmed: a batch without records says so, or the head of another segment. */
static int write_seal(struct journal *j)
{
    return log_room(&j->log) ? journal_commit(j) : journal_roll(j, 0);
}

/* A disk that was full: has it room now? */
static void retry(struct journal *j)
{
    j->retry_ms = journal_clock_ms() + RETRY_MS;
    if (j->write_full && j->mode != COMPOSE_HOLD && !j->held)
        j->write_full = write_seal(j) < 0; /* it does no harm */
    if (j->held) {
        j->write_full = false; /* the round tells */
        round_of_all(j);
    }
    if (look_at_spare(j) != SPARE_READY)
        journal_prepare(j);
    j->mode = COMPOSE_ALL;
}

static bool must_retry(const struct journal *j, int64_t now_ms)
{
    return (j->write_full || j->spare_full || j->held) && now_ms >= j->retry_ms;
}

static bool is_due(const struct journal *j, int64_t now_ms, bool stopping)
{
    if (!j->at)
        return false;
    return j->urgent || stopping || now_ms - j->since_ms >= SETTLE_WAIT_MS;
}

/* --------------------------------------------------------------------------------------- sleep */

void journal_wake(struct journal *j, bool urgent)
{
    uint32_t state = atomic_load(&j->sleep);

    if (state == AWAKE || (state == DOZING && !urgent))
        return;
    if (atomic_exchange(&j->sleep, AWAKE) != AWAKE)
        (void)syscall(SYS_futex, &j->sleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* When it wakes by itself. */
static int64_t nap_until(const struct journal *j, int64_t now_ms)
{
    int64_t until = INT64_MAX;

    if (j->at)
        until = j->since_ms + SETTLE_WAIT_MS;
    else if (!j->log.sealed) /* settlements need not wake it before */
        until = now_ms + SETTLE_WAIT_MS;
    if ((j->write_full || j->spare_full || j->held) && j->retry_ms < until)
        until = j->retry_ms;
    if (j->sweep.look && j->sweep.again_ms < until)
        until = j->sweep.again_ms > now_ms ? j->sweep.again_ms : now_ms + RETRY_MS;
    if (past_nap_ms(j) < until)
        until = past_nap_ms(j);
    for (unsigned w = 0; w < j->options.workers; w++)
        if (j->retry_call[w] && now_ms + 10 < until)
            until = now_ms + 10;
    return until;
}

/* One message after the other: the next one will be there in no time. True: something is. */
static bool linger(struct journal *j)
{
    for (int64_t now = clock_ns(CLOCK_MONOTONIC), to; vigil_on(&j->vigil, now); now = to) {
        if (atomic_load(&j->parcels) || atomic_load(&j->stop))
            return true;
        sched_yield();
        to = clock_ns(CLOCK_MONOTONIC);
        vigil_yielded(&j->vigil, now, to);
    }
    return false;
}

static void nap(struct journal *j, int64_t now_ms)
{
    int64_t until = nap_until(j, now_ms), ms = until - now_ms;
    uint32_t state = until == INT64_MAX ? ASLEEP : DOZING;
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

    if (ms <= 0 || linger(j))
        return;
    atomic_store(&j->sleep, state);
    if (!atomic_load(&j->parcels) && !atomic_load(&j->stop) && !atomic_load(&j->snapshot.wanted))
        (void)syscall(SYS_futex, &j->sleep, FUTEX_WAIT_PRIVATE, state,
                      until == INT64_MAX ? NULL : &ts, NULL, 0);
    atomic_store(&j->sleep, AWAKE);
}

/* -------------------------------------------------------------------------------------- its life
 */

/* A queue whose definition was lost gets a name. */
static void name_lost(struct journal *j, struct stored_queue *q)
{
    char name[32];
    struct record r = {
        .kind = RECORD_QUEUE, .queue = q->number, .segment = q->first, .seq = q->next};

    snprintf(name, sizeof name, "lost.%u", q->number);
    r.name = slice_str(name);
    if (log_add(&j->log, &r) == 0)
        return;
    if (journal_roll(j, record_size(&r)) < 0 || log_add(&j->log, &r) < 0)
        journal_tell(j, JOURNAL_DAMAGED, "queue %u has no name, and cannot get one", q->number);
}

static void tell_found(struct journal *j)
{
    struct stored_queue *q;
    size_t at = 0;

    while ((q = catalog_next(&j->catalog, &at)) != NULL)
        if (!q->gone && !q->definition)
            name_lost(j, q);
    if (j->log.records && journal_commit(j) < 0)
        log_drop(&j->log);
    at = 0;
    while ((q = catalog_next(&j->catalog, &at)) != NULL) {
        if (q->gone || !q->definition)
            continue;
        if (!names_find(j, slice_of(q->definition, q->name_n)))
            names_add(j, q);
        reply_add(j, 0, &(struct answer){.kind = STORED_FOUND, .more = read_found(q)});
    }
    {
        struct stored *all = journal_alloc(sizeof *all);

        *all = (struct stored){.kind = STORED_ALL_FOUND};
        reply_add(j, 0, &(struct answer){.kind = STORED_ALL_FOUND, .more = all});
    }
}

static void seal(struct journal *j)
{
    if (!j->log.sealed && !j->write_full && write_seal(j) < 0)
        j->write_full = true;
}

/* One thing after the other; false: there was nothing to do. */
static bool work(struct journal *j, bool stopping)
{
    int64_t now_ms = journal_clock_ms(), full_ms = j->facts.full_since_ms;
    uint64_t cleared = j->facts.cleared;
    bool any = false, round = false;

    take(j);
    if (must_retry(j, now_ms)) {
        retry(j);
        any = true;
    } else if (is_due(j, now_ms,
                      stopping)) { /* one round, then its answers: the next rewinds them */
        round_of_all(j);
        any = round = true;
    }
    if (!stopping && sweep_wanted(j)) {
        sweep_step(j);
        any = true;
    }
    any = past_expire_all(j, now_ms) || any;
    any = snapshot_step(j) || any;
    journal_set_room(j);
    reply_send(j);
    if (round && j->few)
        vigil_begin(&j->vigil, clock_ns(CLOCK_MONOTONIC));
    if (any || j->facts.full_since_ms != full_ms || j->facts.cleared != cleared)
        journal_publish(j);
    return any;
}

void *journal_thread(void *arg)
{
    struct journal *j = arg;
    uint64_t tried = UINT64_MAX; /* the end: bytes written when that was tried last */

    j->last_ms = journal_clock_ms();
    (void)look_at_spare(j);
    journal_prepare(j);
    tell_found(j);
    journal_set_room(j);
    reply_send(j);
    journal_publish(j);
    for (;;) {
        bool stopping = atomic_load(&j->stop);
        int64_t now_ms;

        if (work(j, stopping))
            continue;
        if (stopping && !atomic_load(&j->parcels)) {
            if (!j->held || tried == j->facts.bytes)
                break;
            tried = j->facts.bytes;
            j->retry_ms = 0; /* what waits for room is tried, as long as it finds some */
            continue;
        }
        if (j->sweep.look_idle) {
            j->sweep.look_idle = false;
            j->sweep.look = true;
            continue;
        }
        now_ms = journal_clock_ms();
        if (!j->at && now_ms - j->last_ms >= SEAL_MS)
            seal(j);
        nap(j, now_ms);
    }
    compose_tell_unremoved(j);
    seal(j);
    journal_publish(j);
    return NULL;
}
