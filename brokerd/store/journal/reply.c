/* Answers on their way to a worker: gathered while a batch is made, sent once it is on disk. */
#include <stdlib.h>

#include "brokerd/store/journal/internal.h"

static struct reply *reply_of(struct journal *j, unsigned w)
{
    if (!j->reply[w]) {
        j->reply[w] = journal_alloc(sizeof **j->reply);
        *j->reply[w] = (struct reply){0};
    }
    return j->reply[w];
}

size_t reply_add(struct journal *j, unsigned w, const struct answer *a)
{
    struct reply *r = reply_of(j, w);

    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 16;
        struct answer *grown = journal_alloc(cap * sizeof *grown);

        if (r->n)
            memcpy(grown, r->a, r->n * sizeof *grown);
        free(r->a);
        r->a = grown;
        r->cap = cap;
    }
    r->a[r->n] = *a;
    return r->n++;
}

/* Puts that follow each other need one answer. */
void reply_put(struct journal *j, unsigned w, struct store_queue *q, uint64_t first, uint64_t n,
               uint64_t bytes, enum reason reason)
{
    struct reply *r = reply_of(j, w);
    struct answer *last = r->n ? &r->a[r->n - 1] : NULL;

    if (last && last->kind == STORED_PUT && last->q == q && last->reason == reason &&
        last->first + last->count == first) {
        last->count += n;
        last->bytes += bytes;
        return;
    }
    reply_add(j, w,
              &(struct answer){.q = q,
                               .kind = STORED_PUT,
                               .reason = reason,
                               .first = first,
                               .count = n,
                               .bytes = bytes});
}

void reply_rewind(struct journal *j)
{
    for (unsigned w = 0; w < j->options.workers; w++)
        if (j->reply[w])
            j->reply[w]->n = 0; /* `more` comes only after the batch */
}

void reply_free(struct reply *r)
{
    for (struct parcel *p = r->done, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    for (size_t i = 0; i < r->n; i++)
        free(r->a[i].more);
    free(r->a);
    free(r);
}

static void push(struct journal *j, unsigned w, struct reply *r)
{
    struct journal_store *s = j->store[w];
    struct reply *before = atomic_load_explicit(&s->replies, memory_order_relaxed);

    do
        r->next = before;
    while (!atomic_compare_exchange_weak(&s->replies, &before, r));
    if (!before)
        j->retry_call[w] = true;
}

void reply_send(struct journal *j)
{
    for (struct parcel *p = j->done, *next; p; p = next) {
        struct reply *r = reply_of(j, p->worker);

        next = p->next;
        p->next = r->done;
        r->done = p;
    }
    j->done = NULL;
    for (unsigned w = 0; w < j->options.workers; w++) {
        if (j->reply[w])
            push(j, w, j->reply[w]);
        j->reply[w] = NULL;
        if (j->retry_call[w])
            j->retry_call[w] =
                j->options.call(j->options.ctx, w, journal_take_replies, j->store[w]) < 0;
    }
}
