/* What was put off until the batch was applied: answers that tell how things are then, and
 * messages, read from their places. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "brokerd/store/journal/internal.h"
#include "libbroker/base/be.h"

enum {
    GAP_MAX = 4096,    /* bytes that are not wanted, but read along, between two puts */
    FETCH_MAX = 16384, /* messages of one answer */
    PUT_TIME = 32      /* where a put has its time */
};

/* -------------------------------------------------------------------------------------- files */

int read_file(struct journal *j, uint32_t segment, int *ret_fd)
{
    struct open_file *oldest = &j->open[0];
    int r;

    if (segment == j->log.segment) {
        *ret_fd = j->log.fd;
        return 0;
    }
    for (unsigned i = 0; i < OPEN_FILES; i++) {
        struct open_file *f = &j->open[i];

        if (f->segment == segment) {
            f->used = ++j->open_used;
            *ret_fd = f->fd;
            return 0;
        }
        if (f->used < oldest->used)
            oldest = f;
    }
    r = files_segment(&j->files, segment, false, ret_fd);
    if (r < 0)
        return r;
    if (oldest->segment)
        close(oldest->fd);
    *oldest = (struct open_file){segment, *ret_fd, ++j->open_used};
    return 0;
}

void read_forget_file(struct journal *j, uint32_t segment)
{
    for (unsigned i = 0; i < OPEN_FILES; i++) {
        if (j->open[i].segment == segment) {
            close(j->open[i].fd);
            j->open[i] = (struct open_file){0};
        }
    }
}

void read_fini(struct journal *j)
{
    for (unsigned i = 0; i < OPEN_FILES; i++)
        if (j->open[i].segment)
            close(j->open[i].fd);
}

static int read_at(struct journal *j, uint32_t segment, uint64_t offset, void *to, size_t n)
{
    int fd, r = read_file(j, segment, &fd);

    if (r < 0)
        return r;
    j->facts.read_bytes += n;
    return files_read(fd, to, n, offset);
}

/* --------------------------------------------------------------------------------- one message */

static bool decode(const struct stored_queue *kept, uint64_t seq, struct slice bytes,
                   struct stored_message *ret)
{
    struct record r;

    if (!record_decode_put(bytes, &r) || r.queue != kept->number || r.seq != seq)
        return false;
    *ret = (struct stored_message){.seq = seq,
                                   .id = r.id,
                                   .time_ms = r.time_ms,
                                   .expires_ms = r.expires_ms,
                                   .due_ms = catalog_due(kept, seq),
                                   .attempts = places_find(&kept->places, seq)->attempts,
                                   .topic = r.topic,
                                   .headers = r.headers,
                                   .data = r.data,
                                   .type = {r.type_id, r.type}};
    return true;
}

/* It cannot be read: it is gone, not even retained, and so it is not counted twice. */
static void lose(struct journal *j, const struct stored_queue *kept, uint64_t seq)
{
    enum { SIZE = sizeof(struct op) + sizeof(struct store_settlement) };
    uint64_t memory[SIZE / sizeof(uint64_t)];
    struct op *gone = (struct op *)(void *)memory;
    struct store_settlement settlement = {.verb = SETTLE_GONE, .count = 1, .seq = seq};

    *gone = (struct op){.size = SIZE, .kind = OP_SETTLE, .n = 1, .q = kept->open, .token = 1};
    memcpy(gone->data, &settlement, sizeof settlement);
    j->facts.damaged++;
    journal_tell(j, JOURNAL_DAMAGED, "queue \"%.*s\": message %llu is damaged, and lost",
                 (int)kept->name_n, (const char *)kept->definition, (unsigned long long)seq);
    if (kept->open && !kept->open->closing)
        compose_hold(j, kept->open->of->worker, gone);
}

/* -------------------------------------------------------------------------------- many of them */

struct wanted {
    uint64_t seq;
    struct place at;
    uint64_t to; /* where in the answer's bytes */
};

struct fetch {
    struct wanted *w;
    uint32_t n;
    uint64_t raw;  /* bytes of all, with gaps */
    uint64_t upto; /* looked at all numbers before this one */
};

/* Does `b` go on where `a` ends, or nearly? */
static bool adjoins(const struct place *a, const struct place *b)
{
    return a->segment == b->segment && b->offset >= a->offset + a->size &&
           b->offset - (a->offset + a->size) <= GAP_MAX;
}

static void choose(const struct stored_queue *kept, const struct later *l, struct fetch *f)
{
    const struct op *op = l->op;
    uint32_t most = op->n < FETCH_MAX ? op->n : FETCH_MAX;
    uint64_t seq = op->first, payload = 0;
    const struct place *p = NULL;

    *f = (struct fetch){.w = journal_alloc((most ? most : 1) * sizeof *f->w), .upto = l->next};
    while (f->n < most && (p = places_next_waiting(&kept->places, &seq)) != NULL && seq < l->next) {
        struct wanted *last = f->n ? &f->w[f->n - 1] : NULL;

        payload += p->size - p->overhead;
        if (f->n && (payload > op->bytes || f->raw + p->size > 2 * (uint64_t)STORE_FETCH_BYTES))
            break;
        if (last && adjoins(&last->at, p))
            f->raw += p->offset - (last->at.offset + last->at.size);
        f->w[f->n++] = (struct wanted){seq, *p, f->raw};
        f->raw += p->size;
        seq++;
    }
    if (p && seq < l->next)
        f->upto = seq;
    if (!most)
        f->upto = op->first;
}

/* Read wanted ones i .. to - 1, which adjoin, in one go. */
static int read_run(struct journal *j, const struct fetch *f, uint32_t i, uint32_t to, uint8_t *raw)
{
    const struct wanted *first = &f->w[i], *last = &f->w[to - 1];

    return read_at(j, first->at.segment, first->at.offset, raw + first->to,
                   last->to + last->at.size - first->to);
}

static uint32_t run_end(const struct fetch *f, uint32_t i)
{
    uint32_t to = i + 1;

    while (to < f->n && adjoins(&f->w[to - 1].at, &f->w[to].at))
        to++;
    return to;
}

/* Read all that was chosen into `m`; returns how many are in order. */
static uint32_t take(struct journal *j, const struct stored_queue *kept, const struct fetch *f,
                     struct stored_message *m, uint8_t *raw)
{
    uint32_t n = 0;

    for (uint32_t i = 0, to; i < f->n; i = to) {
        bool whole;

        to = run_end(f, i);
        whole = read_run(j, f, i, to, raw) == 0;
        for (; i < to; i++) {
            const struct wanted *w = &f->w[i];

            if ((whole || read_run(j, f, i, i + 1, raw) == 0) &&
                decode(kept, w->seq, slice_of(raw + w->to, w->at.size), &m[n]))
                n++;
            else
                lose(j, kept, w->seq);
        }
    }
    return n;
}

static struct stored *read_messages(struct journal *j, const struct later *l, uint64_t *ret_lost)
{
    const struct stored_queue *kept = l->op->q->kept;
    struct stored *a;
    struct stored_message *m;
    struct fetch f;

    choose(kept, l, &f);
    a = journal_alloc(sizeof *a + f.n * sizeof *m + f.raw);
    m = (struct stored_message *)(a + 1);
    *a = (struct stored){.first = l->op->first, .token = l->op->token, .upto = f.upto};
    a->n = take(j, kept, &f, m, (uint8_t *)(m + f.n));
    a->messages = m;
    *ret_lost = f.n - a->n;
    j->facts.fetches++;
    j->facts.fetched += a->n;
    free(f.w);
    return a;
}

/* -------------------------------------------------------------------------------------- facts */

int64_t read_time(struct journal *j, const struct place *p, int64_t otherwise)
{
    uint8_t head[PUT_HEAD];

    if (read_at(j, p->segment, p->offset, head, sizeof head) < 0)
        return otherwise;
    return (int64_t)be_get_64(head + PUT_TIME);
}

static struct store_facts facts_of(struct journal *j, const struct stored_queue *kept)
{
    uint64_t seq = 0;
    const struct place *p = places_next_waiting(&kept->places, &seq);
    struct store_facts f = {.next = kept->next,
                            .first = p ? seq : kept->next,
                            .messages = kept->places.n - kept->places.past,
                            .bytes = kept->payload,
                            .returned = kept->returned,
                            .disk = kept->bytes + kept->def_size};

    if (p)
        f.oldest_ms = read_time(j, p, 0);
    return f;
}

static struct stored *plain(void)
{
    struct stored *a = journal_alloc(sizeof *a);

    *a = (struct stored){0};
    return a;
}

struct stored *read_found(const struct stored_queue *q)
{
    struct stored *a = journal_alloc(sizeof *a + q->name_n + q->filters_n + q->wishes_n);
    uint8_t *p = (uint8_t *)(a + 1);

    *a = (struct stored){.kind = STORED_FOUND};
    if (q->definition)
        memcpy(p, q->definition, q->name_n + q->filters_n + q->wishes_n);
    a->def.name = slice_of(p, q->name_n);
    a->def.filters = slice_of(p + q->name_n, q->filters_n);
    a->def.wishes = slice_of(p + q->name_n + q->filters_n, q->wishes_n);
    return a;
}

/* ---------------------------------------------------------------------------------- each of them
 */

static void opened(struct journal *j, const struct op *op, struct answer *a, struct stored *more)
{
    struct store_queue *q = op->q;

    if (q->opening) {
        q->kept = catalog_queue(&j->catalog, q->opening);
        names_add(j, q->kept);
    }
    if (!q->kept)
        return;
    q->kept->open = q;
    q->kept->retain_ms = (int64_t)op->first;
    past_expire(j, q->kept);
    q->opening = 0;
    a->count = q->kept->number;
    more->facts = facts_of(j, q->kept);
}

static void closed(struct journal *j, const struct later *l)
{
    struct store_queue *q = l->op->q;

    if (!q->kept)
        return;
    if (q->kept->open == q)
        q->kept->open = NULL;
    if (l->op->kind == OP_REMOVE)
        index_del(&j->names, l->hash, q->kept);
    q->kept = NULL;
}

static void answer(struct journal *j, const struct later *l)
{
    struct answer *a = &j->reply[l->worker]->a[l->answer];
    struct store_queue *q = l->op->q;
    uint64_t lost = 0;

    if (a->kind == ANSWER_CLOSED) {
        closed(j, l);
        return;
    }
    if ((l->op->kind == OP_FETCH || l->op->kind == OP_PEEK) && q->kept)
        a->more = read_messages(j, l, &lost);
    else
        a->more = plain();
    a = &j->reply[l->worker]->a[l->answer];
    a->more->kind = (enum stored_kind)a->kind;
    a->more->reason = a->reason;
    a->more->token = l->op->token;
    if (l->op->kind == OP_OPEN)
        opened(j, l->op, a, a->more);
    else if ((l->op->kind == OP_ASK || l->op->kind == OP_REWIND) && q->kept)
        a->more->facts = facts_of(j, q->kept);
    else if (l->op->kind == OP_PURGE)
        a->more->count = l->op->bytes + (j->purging == l->op ? j->purged : 0);
    if (lost)
        read_tell_lost(j, q, lost);
}

void read_tell_lost(struct journal *j, struct store_queue *q, uint64_t n)
{
    struct stored *a = plain();

    a->kind = STORED_LOST;
    a->reason = REASON_STORE;
    a->count = n;
    reply_add(j, q->of->worker, &(struct answer){.q = q, .kind = STORED_LOST, .more = a});
}

void read_all(struct journal *j)
{
    for (unsigned i = 0; i < j->later_n; i++)
        answer(j, &j->later[i]);
}
