#include "brokerd/core/spread.h"

#include "brokerd/core/answer.h"
#include "brokerd/core/mail.h"
#include "brokerd/core/outlet.h"
#include "brokerd/core/queue.h"

/* ---------------------------------------------------------------------------- to other workers */

/* Has it cost a publisher credit? */
static bool is_paid(const struct offer *o)
{
    return o->publisher && !o->unpaid;
}

/* Post a run to `worker`; `queue` 0: to whatever matches there. */
static struct mail_run *post(const struct offer *o, unsigned worker, handle_t queue)
{
    struct slice topic = topic_slice(o->topic);
    struct packing k = mail_measure(topic, o->run);
    struct mail_run *m = mail_post_run(o->core, worker, &k, is_paid(o));

    if (!m)
        return NULL;
    m->publisher = o->publisher;
    m->first = o->first;
    m->queue = queue;
    m->id = o->id;
    m->time_ms = o->time_ms;
    m->bytes_n = o->run->bytes;
    m->n = o->run->n;
    m->topic_n = (uint16_t)topic.n;
    m->may_hold = o->may_hold;
    m->type_id = o->run->type.id;
    m->type_n = (uint8_t)(o->run->type.id == CTYPE_NAMED ? o->run->type.name.n : 0);
    mail_pack(m->bytes, topic, o->run, &k);
    return m;
}

int spread_post(const struct offer *o, unsigned worker, handle_t queue)
{
    return post(o, worker, queue) ? 0 : -1;
}

void spread_refused(struct offer *o)
{
    enum reason why = is_paid(o) ? REASON_MEMORY : REASON_NO_CREDIT;

    o->matched++;
    o->core->count.reason[why] += o->run->n;
    offer_note_all(o, why);
}

/* Offer to this worker's queues. */
static void offer_to_all(struct offer *o, const struct route *r)
{
    if (r->n > 1)
        o->number = ++o->core->offers;
    for (uint32_t i = 0; i < r->n; i++)
        offer_to(o, r->queues[i]);
}

unsigned spread_out(struct offer *o, const struct route *r)
{
    unsigned posted = 0;

    offer_to_all(o, r);
    for (uint64_t w = r->workers; w; w &= w - 1) {
        if (spread_post(o, (unsigned)__builtin_ctzll(w), 0) == 0)
            posted++;
        else
            spread_refused(o);
    }
    return posted;
}

/* --------------------------------------------------------------------------- of another broker */

/* Queues that all brokers share have it already, and it does not go out again. */
static void offer_foreign_to_all(struct offer *o, const struct route *r)
{
    if (r->n > 1)
        o->number = ++o->core->offers;
    for (uint32_t i = 0; i < r->n; i++)
        if (outlet_takes_foreign(o->core, r->queues[i]))
            offer_to(o, r->queues[i]);
}

unsigned spread_foreign_out(struct offer *o, const struct route *r)
{
    unsigned posted = 0;

    offer_foreign_to_all(o, r);
    for (uint64_t w = r->workers; w; w &= w - 1) {
        struct mail_run *m = post(o, (unsigned)__builtin_ctzll(w), 0);

        if (m) {
            m->head.kind = MAIL_FOREIGN;
            posted++;
        } else {
            spread_refused(o);
        }
    }
    return posted;
}

/* -------------------------------------------------------------------------- from other workers */

struct answer_ctx {
    struct core *c;
    const struct offer *o;
};

/* What became of a range here, told to the publisher's worker as one answer. */
static void answer_range(void *ctx, const struct offer_range *r)
{
    const struct answer_ctx *a = ctx;
    struct answer answer = {.matched = r->matched,
                            .accepted = r->accepted,
                            .done = 1,
                            .more = r->held,
                            .reason = (uint16_t)r->reason};
    const struct blamed *by = NULL;
    struct blamed queue;

    if (r->reason != REASON_NONE && a->o->refuser && a->o->refused_for == r->reason)
        by = answer_blame(a->o->refuser, r->reason, &queue);
    answer_add(a->c, a->o->publisher, a->o->first + r->first, r->n, &answer, by);
}

static void answer_offer(struct offer *o)
{
    struct answer_ctx a = {o->core, o};

    offer_ranges(o, answer_range, &a);
    offer_end(o);
}

/* No queue here was offered the run: none is called that, or (`matched`) those that match could
 * not be found out. */
static void answer_refused(struct offer *o, enum reason reason, uint32_t matched)
{
    struct answer a = {.matched = matched, .done = 1, .reason = (uint16_t)reason};

    o->core->count.reason[reason] += o->run->n;
    answer_add(o->core, o->publisher, o->first, o->run->n, &a, NULL);
}

void spread_take_for_queue(struct offer *o, handle_t queue, struct topic *topic)
{
    struct queue *q = slots_get(&o->core->slots, SLOT_QUEUE, queue);

    o->topic = topic;
    if (!q) {
        o->core->count.stale_handles++;
        answer_refused(o, REASON_NOT_FOUND, 0);
        return;
    }
    offer_to(o, q);
    answer_offer(o);
}

static inline void take_run(struct core *c, struct mail_run *m, bool is_foreign)
{
    struct packed packed = {m->bytes, m->topic_n, m->type_n, m->n};
    struct slice topic = slice_of(m->bytes, m->topic_n);
    struct run run = {.v = c->in_views,
                      .n = m->n,
                      .bytes = m->bytes_n,
                      .type = {m->type_id, slice_of(m->bytes + m->topic_n, m->type_n)}};
    struct offer o = {.core = c,
                      .run = &run,
                      .id = m->id,
                      .time_ms = m->time_ms,
                      .publisher = m->publisher,
                      .first = m->first,
                      .may_hold = m->may_hold};
    struct route *r = route_get(c->routes, topic);

    run.head_room = mail_unpack(&packed, c->in_views, c->in_metas);
    offer_note_id(&o);
    if (!r) {
        answer_refused(&o, REASON_MEMORY, 1);
    } else if (m->queue) {
        spread_take_for_queue(&o, m->queue, r->topic);
    } else {
        o.topic = r->topic;
        if (is_foreign)
            offer_foreign_to_all(&o, r);
        else
            offer_to_all(&o, r);
        answer_offer(&o);
    }
    route_unref(r);
    mail_unref(&packed);
}

void spread_take_run(struct core *c, struct mail_run *m)
{
    take_run(c, m, false);
}

void spread_take_foreign(struct core *c, struct mail_run *m)
{
    take_run(c, m, true);
}
