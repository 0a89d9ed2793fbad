#include "brokerd/core/answer.h"

#include "brokerd/core/durable.h"
#include "brokerd/core/loss.h"
#include "brokerd/core/mail.h"
#include "brokerd/core/publish.h"
#include "brokerd/core/queue.h"

static bool same_answer(const struct answer *a, const struct answer *b)
{
    return a->matched == b->matched && a->accepted == b->accepted && a->done == b->done &&
           a->more == b->more && a->reason == b->reason;
}

static void apply_answer(struct core *c, const struct answer_batch *b, struct slice label)
{
    struct publisher *p = slots_get(&c->slots, SLOT_PUBLISHER, b->publisher);

    if (!p) { /* a dead letter; or it left before its messages settled */
        if (!loss_answer(c, b->publisher, &b->a, &b->by))
            c->count.stale_handles++;
        return;
    }
    if (ledger_answer(&p->ledger, b->first, b->count, &b->a) < 0)
        c->count.reason[REASON_MEMORY] += b->count;
    if (label.n)
        excuse_queue(&p->excuses, b->first, b->count, &b->by, label, c->stores[b->by.level]);
    if (!p->ledger.open)
        p->waiting_ms = 0;
    publisher_has_news(p);
}

void answer_flush(struct core *c)
{
    struct answer_batch late = c->late;
    const struct queue *q;
    struct slice label = {0};
    struct mail_settled *m;

    c->late.count = 0;
    if (!late.count)
        return;
    q = late.by.queue ? slots_get(&c->slots, SLOT_QUEUE, late.by.queue) : NULL;
    if (q)
        label = slice_str(q->label);
    if (handle_worker(late.publisher) == c->id) {
        apply_answer(c, &late, label);
        return;
    }
    m = mail_post(c, handle_worker(late.publisher), MAIL_SETTLED, sizeof *m + label.n, true);
    if (!m) {
        c->count.reason[REASON_MEMORY] += late.count;
        return;
    }
    m->publisher = late.publisher;
    m->first = late.first;
    m->count = late.count;
    m->answer = late.a;
    m->by = late.by;
    m->label_n = (uint8_t)label.n;
    if (label.n)
        memcpy(m->label, label.p, label.n);
}

void answer_add(struct core *c, handle_t publisher, uint64_t first, uint32_t count,
                const struct answer *a, const struct blamed *by)
{
    struct answer_batch *late = &c->late;
    handle_t queue = by ? by->queue : 0;

    if (!publisher)
        return;
    if (late->count && late->publisher == publisher && late->first + late->count == first &&
        late->by.queue == queue && (!by || late->by.blame == by->blame) &&
        same_answer(&late->a, a)) {
        late->count += count;
        return;
    }
    answer_flush(c);
    *late = (struct answer_batch){publisher, first, count, *a, {0}};
    if (by)
        late->by = *by;
}

static enum blame blame_of(const struct storage *d, enum reason reason)
{
    if (d && !d->open)
        return BLAME_UNOPENED;
    if (reason == REASON_STORE)
        return d->busy ? BLAME_BUSY : BLAME_STORE;
    if (d && d->refuses == REASON_FULL)
        return BLAME_FULL;
    return d && d->shared ? BLAME_SHARED : BLAME_LIMITS;
}

const struct blamed *answer_blame(const struct queue *q, enum reason reason, struct blamed *ret)
{
    const struct storage *d = q->backlog->stored;

    if (reason != REASON_FULL && (reason != REASON_STORE || !d))
        return NULL;
    *ret = (struct blamed){q->handle, q->backlog->waiting, q->backlog->bytes, blame_of(d, reason),
                           d ? q->policy->durable : DURABLE_MEMORY};
    return ret;
}

void answer_take(struct core *c, const struct mail_settled *m)
{
    struct answer_batch b = {m->publisher, m->first, m->count, m->answer, m->by};

    apply_answer(c, &b, slice_of(m->label, m->label_n));
}
