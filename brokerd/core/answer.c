#include "brokerd/core/answer.h"

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
        if (!loss_answer(c, b->publisher, &b->a))
            c->count.stale_handles++;
        return;
    }
    if (ledger_answer(&p->ledger, b->first, b->count, &b->a) < 0)
        c->count.reason[REASON_MEMORY] += b->count;
    if (label.n)
        excuse_full(&p->excuses, b->first, b->count, &b->full, label);
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
    q = late.full.queue ? slots_get(&c->slots, SLOT_QUEUE, late.full.queue) : NULL;
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
    m->full = late.full;
    m->label_n = (uint8_t)label.n;
    if (label.n)
        memcpy(m->label, label.p, label.n);
}

void answer_add(struct core *c, handle_t publisher, uint64_t first, uint32_t count,
                const struct answer *a, const struct queue *full)
{
    struct answer_batch *late = &c->late;
    handle_t queue = full ? full->handle : 0;

    if (!publisher)
        return;
    if (late->count && late->publisher == publisher && late->first + late->count == first &&
        late->full.queue == queue && same_answer(&late->a, a)) {
        late->count += count;
        return;
    }
    answer_flush(c);
    *late = (struct answer_batch){publisher, first, count, *a, {0}};
    if (queue)
        late->full = queue_fullness(full);
}

void answer_take(struct core *c, const struct mail_settled *m)
{
    struct answer_batch b = {m->publisher, m->first, m->count, m->answer, m->full};

    apply_answer(c, &b, slice_of(m->label, m->label_n));
}
