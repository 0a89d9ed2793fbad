/* What workers send each other: entries of their cores and calls, in batches.
 *
 * A batch is filled by its sender during a turn, pushed at its end, read by the receiver and
 * then pushed back, so that memory is always freed and counted by whom it was allocated. */
#include <errno.h>
#include <stdlib.h>

#include "brokerd/worker/internal.h"

struct call_entry {
    struct entry head; /* kind ENTRY_WORKER */
    worker_fn *fn;
    void *arg;
};

static size_t round_up(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

static struct batch *batch_get(struct worker *w, size_t size)
{
    struct batch *b = w->spare;

    if (size > BATCH_BYTES)
        return batch_new(size);
    if (!b)
        return batch_new(BATCH_BYTES);
    w->spare = b->next;
    w->spare_n--;
    return b;
}

static void batch_put(struct worker *w, struct batch *b)
{
    if (b->cap != BATCH_BYTES || w->spare_n == BATCH_SPARE) {
        batch_free(b);
        return;
    }
    b->used = b->weight = 0;
    b->is_read = false;
    b->next = w->spare;
    w->spare = b;
    w->spare_n++;
}

/* A new batch at the young end of the pair's chain. */
static struct batch *batch_open(struct worker *w, unsigned to, size_t size)
{
    struct pair *p = &w->pair[to];
    struct batch *b = batch_get(w, size);

    if (!b)
        return NULL;
    b->from = (uint16_t)w->id;
    b->to = (uint16_t)to;
    b->next = p->newest;
    p->newest = b;
    if (!p->oldest)
        p->oldest = b;
    w->posted_to |= UINT64_C(1) << to;
    return b;
}

struct entry *worker_post(void *ctx, unsigned to, size_t size, bool credited, size_t refers)
{
    struct worker *w = ctx;
    struct pair *p = &w->pair[to];
    struct batch *b = p->newest;

    if (!credited && p->in_flight >= WORKER_PAIR_MAX) {
        w->stats.refused_full++;
        return NULL;
    }
    size = round_up(size);
    if (size > UINT32_MAX || ((!b || b->cap - b->used < size) && !(b = batch_open(w, to, size)))) {
        w->stats.refused_memory++;
        return NULL;
    }
    if (!credited) {
        p->in_flight += size + refers;
        b->weight += size + refers;
    }
    w->stats.entries_out++;
    w->stats.bytes_out += size;
    return batch_add(b, size);
}

void worker_send_mail(struct worker *w)
{
    while (w->posted_to) {
        unsigned to = (unsigned)__builtin_ctzll(w->posted_to);
        struct pair *p = &w->pair[to];
        struct mailbox *m = &w->group->w[to].mailbox;

        w->posted_to &= w->posted_to - 1;
        for (struct batch *b = p->newest; b; b = b->next)
            w->stats.batches_out++;
        mailbox_push(m, p->newest, p->oldest);
        p->newest = p->oldest = NULL;
        if (mailbox_wake(m))
            w->stats.wakeups_sent++;
    }
}

static void take_call(struct worker *w, const struct call_entry *call)
{
    w->stats.calls++;
    call->fn(call->arg, w);
}

/* The core hears of some entries before it takes them one by one: for messages that each name
 * another topic that saves a quarter of the CPU of two workers. */
static void read_batch(struct worker *w, struct batch *b)
{
    struct entry *ahead[CORE_FORESEE_MAX], *e;
    unsigned n;
    size_t at = 0;

    do {
        for (n = 0; n < CORE_FORESEE_MAX && (e = batch_next(b, &at)) != NULL; n++) {
            if (e->kind == ENTRY_WORKER)
                break;
            ahead[n] = e;
        }
        if (n > 1)
            core_foresee_mail(w->core, ahead, n);
        for (unsigned i = 0; i < n; i++)
            core_take(w->core, ahead[i]);
        w->stats.entries_in += n;
        if (n < CORE_FORESEE_MAX && e)
            take_call(w, (const struct call_entry *)e);
    } while (n == CORE_FORESEE_MAX || e);
}

/* The batch goes home, without waking anybody: it only matters to a worker that posts. */
static void send_back(struct worker *w, struct batch *b)
{
    if (b->from == BATCH_OUTSIDE) {
        batch_free(b);
        return;
    }
    b->is_read = true;
    mailbox_push(&w->group->w[b->from].mailbox, b, b);
}

bool worker_read_mail(struct worker *w)
{
    struct batch *b = mailbox_take(&w->mailbox), *next;
    bool any = b != NULL;

    for (; b; b = next) {
        next = b->next;
        if (b->is_read) {
            w->pair[b->to].in_flight -= b->weight;
            batch_put(w, b);
        } else {
            read_batch(w, b);
            send_back(w, b);
        }
    }
    return any;
}

static void drop_batches(struct batch *b)
{
    while (b) {
        struct batch *next = b->next;
        size_t at = 0;

        if (!b->is_read)
            for (struct entry *e; (e = batch_next(b, &at)) != NULL;)
                if (e->kind != ENTRY_WORKER)
                    entry_release(e);
        batch_free(b);
        b = next;
    }
}

void worker_drop_mail(struct worker *w)
{
    drop_batches(mailbox_take(&w->mailbox));
    for (unsigned i = 0; i < CORE_MAX_WORKERS; i++) {
        drop_batches(w->pair[i].newest);
        w->pair[i].newest = w->pair[i].oldest = NULL;
    }
    w->posted_to = 0;
    while (w->spare) { /* they hold no entries, whatever is left in them */
        struct batch *next = w->spare->next;

        batch_free(w->spare);
        w->spare = next;
    }
    w->spare_n = 0;
}

int worker_call(struct worker *w, unsigned to, worker_fn *fn, void *arg)
{
    struct entry *e = worker_post(w, to, sizeof(struct call_entry), true, 0);

    if (!e)
        return -ENOMEM;
    e->kind = ENTRY_WORKER;
    ((struct call_entry *)e)->fn = fn;
    ((struct call_entry *)e)->arg = arg;
    return 0;
}

int workers_call(struct workers *ws, unsigned to, worker_fn *fn, void *arg)
{
    struct batch *b = batch_new(sizeof(struct call_entry));
    struct call_entry *call;

    if (!b)
        return -ENOMEM;
    b->from = BATCH_OUTSIDE;
    b->to = (uint16_t)to;
    call = (struct call_entry *)batch_add(b, sizeof *call);
    call->head.kind = ENTRY_WORKER;
    call->fn = fn;
    call->arg = arg;
    mailbox_push(&ws->w[to].mailbox, b, b);
    mailbox_wake(&ws->w[to].mailbox);
    return 0;
}
