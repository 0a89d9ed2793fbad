/* check.h - the books of the cores, added up from their containers. Included by sim_core.c. */
#ifndef TESTS_SIM_CHECK_H
#define TESTS_SIM_CHECK_H

#include "brokerd/core/budget.h"
#include "brokerd/core/dedup.h"
#include "brokerd/core/deliver.h"
#include "brokerd/core/durable.h"
#include "brokerd/core/queue.h"
#include "tests/sim/sim.h"

/* Messages found in one core, each once. */
struct found {
    const struct msg **msg;
    size_t n, cap;
    int64_t places, ids;
};

static void find_msg(struct found *f, const struct msg *m)
{
    if (f->n == f->cap) {
        f->cap = f->cap ? f->cap * 2 : 1024;
        f->msg = realloc(f->msg, f->cap * sizeof *f->msg);
    }
    f->msg[f->n++] = m;
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (const struct msg *const *)a;
    uintptr_t y = (uintptr_t) * (const struct msg *const *)b;

    return x < y ? -1 : x > y;
}

/* Each message once. */
static void count_once(struct found *f)
{
    size_t n = 0;

    if (f->n)
        qsort(f->msg, f->n, sizeof *f->msg, by_address);
    for (size_t i = 0; i < f->n; i++)
        if (i == 0 || f->msg[i] != f->msg[i - 1])
            f->msg[n++] = f->msg[i];
    f->n = n;
}

static int64_t cost_of(const struct found *f)
{
    int64_t sum = f->places * PLACE_CHARGE + f->ids * DEDUP_CHARGE;

    for (size_t i = 0; i < f->n; i++)
        sum += f->msg[i]->charge;
    return sum;
}

struct sum {
    uint64_t waiting, bytes, delayed, inflight;
    int64_t charged;
};

static void add(struct sum *s, struct found *f, const struct msg *m)
{
    s->charged += m->charge + PLACE_CHARGE;
    f->places++;
    find_msg(f, m);
}

static void add_waiting(struct sum *s, struct found *f, const struct msg *m)
{
    s->waiting++;
    s->bytes += m->len;
    add(s, f, m);
}

static void check_tap(const struct queue *q, const struct tap *t, struct sum *s, struct found *f)
{
    const struct flight *fl;
    uint64_t live = 0;

    if (!q->is_named)
        return;
    for (uint64_t i = 0; (fl = flights_next(&t->custody->flights, &i, UINT64_MAX)) != NULL; i++) {
        live++;
        add(s, f, fl->msg);
    }
    s->inflight += live;
    must(t->custody->unsettled == live, "%s: unsettled %llu, flights %llu", q->label,
         (unsigned long long)t->custody->unsettled, (unsigned long long)live);
    must(flights_end(&t->custody->flights) == t->numbered + 1, "%s: delivery numbers", q->label);
    must(sim.configured || t->custody->unsettled <= q->policy->max_inflight,
         "%s: above max-inflight", q->label);
    must(t->custody->written <= t->numbered, "%s: more written than delivered", q->label);
}

/* A waiting message and a hungry consumer, and nothing is going to bring them together. */
static bool is_stuck(const struct queue *q)
{
    return queue_ready(q) && q->hungry && !list_linked(&q->pump);
}

static void check_taps(const struct queue *q, struct sum *s, struct found *f)
{
    unsigned hungry = 0, taps = 0;

    for (const struct tap *t = tap_first(q); t; t = tap_next(t)) {
        taps++;
        hungry += t->hungry;
        check_tap(q, t, s, f);
        must(!t->hungry || (t->credit && !t->stopped), "%s: hungry without credit", q->label);
        must(!q->is_named || t->hungry == list_linked(&t->custody->hungry), "%s: line", q->label);
    }
    must(taps == taps_of(q) && hungry == hungry_of(q), "%s: %u taps of %u, %u hungry of %u",
         q->label, taps, taps_of(q), hungry, hungry_of(q));
    must(q->hungry ? q->hungry->hungry : !hungry, "%s: whose turn", q->label);
}

/* What went in is acked, delivered for good, lost for a reason, or still there. */
static void check_balance(const struct queue *q)
{
    static const enum reason lost[] = {REASON_DROP_OLDEST, REASON_EXPIRED, REASON_ATTEMPTS,
                                       REASON_REJECTED, REASON_PURGED};
    uint64_t sum = q->backlog->waiting + q->backlog->inflight +
                   (q->is_named ? q->backlog->settled.acked : q->out);

    if (sim.starving) /* what is lost for want of memory counts among what was refused for it */
        return;
    for (size_t i = 0; i < sizeof lost / sizeof *lost; i++)
        sum += q->backlog->losses ? q->backlog->losses->total[lost[i]] : 0;
    must(sum == q->in, "%s: %llu in, %llu accounted for", q->label, (unsigned long long)q->in,
         (unsigned long long)sum);
}

/* Each id can be found, and they will be forgotten. */
static void check_ids(const struct queue *q, struct found *f)
{
    const struct dedup *d = q->backlog->dedup;
    uint64_t n = d ? deque_len(&d->ids) : 0;

    must(!d || d->index.n == n, "%s: %llu ids, %zu in the index", q->label, (unsigned long long)n,
         d->index.n);
    must(sim.configured || n <= q->policy->dedup_max, "%s: above dedup-max", q->label);
    must(!n || q->backlog->timer.node.key <= dedup_due(q), "%s: ids are kept for ever", q->label);
    for (uint64_t i = n ? deque_first(&d->ids) : 0; n && i != deque_end(&d->ids); i++) {
        /* It begins with its hash. */
        const struct dedup_key *key = deque_slot(&d->ids, i);
        const void *thing;
        size_t at = key->hash;

        while ((thing = index_next(&d->index, key->hash, &at)) != NULL && thing != key)
            continue;
        must(thing, "%s: an id that is not found", q->label);
    }
    f->ids += (int64_t)n;
}

static void check_queue(const struct queue *q, struct found *f)
{
    struct sum s = {0};

    for (uint64_t i = deque_first(&q->backlog->fifo); i != deque_end(&q->backlog->fifo); i++) {
        const struct waiting *w = deque_slot(&q->backlog->fifo, i);

        if (w->msg)
            add_waiting(&s, f, w->msg);
    }
    for (size_t i = 0; i < q->backlog->back.n; i++)
        add_waiting(&s, f, HEAP_ITEM(q->backlog->back.nodes[i], struct back, timer.node)->msg);
    for (struct list_node *n = list_first(&q->backlog->delayed); n;
         n = list_next(&q->backlog->delayed, n)) {
        add_waiting(&s, f, LIST_ITEM(n, struct back, link)->msg);
        s.delayed++;
    }
    for (uint64_t i = deque_first(&q->backlog->held); i != deque_end(&q->backlog->held); i++)
        add(&s, f, ((const struct held *)deque_slot(&q->backlog->held, i))->msg);
    check_taps(q, &s, f);
    must(s.waiting == q->backlog->waiting && s.bytes == q->backlog->bytes,
         "%s: waiting %llu of %llu, bytes %llu/%llu", q->label,
         (unsigned long long)q->backlog->waiting, (unsigned long long)s.waiting,
         (unsigned long long)q->backlog->bytes, (unsigned long long)s.bytes);
    must(s.delayed == durable_delayed(q), "%s: delayed", q->label);
    must(s.inflight == q->backlog->inflight, "%s: in flight %llu of %llu", q->label,
         (unsigned long long)q->backlog->inflight, (unsigned long long)s.inflight);
    must(s.charged == q->backlog->charged, "%s: charged %lld of %lld", q->label,
         (long long)q->backlog->charged, (long long)s.charged);
    must(list_linked(&q->backlog->holding) == (deque_len(&q->backlog->held) > 0), "%s: holding",
         q->label);
    check_ids(q, f);
    check_balance(q);
}

static void find_parked(struct core *c, struct found *f)
{
    for (struct map_entry *e = map_next(&c->names, NULL); e; e = map_next(&c->names, e)) {
        struct named *n = e->value;

        for (struct list_node *l = list_first(&n->parked); l; l = list_next(&n->parked, l)) {
            find_msg(f, LIST_ITEM(l, struct parked, link)->msg);
            f->places++;
        }
    }
}

static void check_endpoints(const struct core *c)
{
    for (struct list_node *n = list_first(&c->endpoints); n; n = list_next(&c->endpoints, n)) {
        const struct endpoint *ep = LIST_ITEM(n, const struct endpoint, link);
        unsigned unready = 0;

        for (struct list_node *l = list_first(&ep->consumers); l;
             l = list_next(&ep->consumers, l)) {
            const struct consumer *k = LIST_ITEM(l, const struct consumer, link);

            unready += !k->ready;
            must(k->written <= k->delivered, "consumer: more written than delivered");
            must(!k->errand || !k->errand->remote ||
                     (k->delivered <= k->errand->lent && k->errand->lent <= k->errand->granted),
                 "consumer: delivered, lent, granted");
        }
        must(unready == ep->unready, "endpoint: unready %u of %u", ep->unready, unready);
    }
}

static void check_core(struct core *c)
{
    struct found f = {0};
    const struct queue *q;
    int64_t cost;

    for (uint32_t at = 0; (q = slots_next(&c->slots, SLOT_QUEUE, &at)) != NULL;)
        check_queue(q, &f);
    find_parked(c, &f);
    for (struct list_node *n = list_first(&c->letters); n; n = list_next(&c->letters, n))
        find_msg(&f, LIST_ITEM(n, struct letter, link)->msg);
    count_once(&f);
    cost = cost_of(&f);
    /* Verbs that wait are charged, too. */
    must(list_empty(&c->behind) ? cost == c->used : cost < c->used,
         "core %u: charged %lld, %lld found", c->id, (long long)c->used, (long long)cost);
    must(c->pool.used == f.n, "core %u: %llu messages kept, %zu found", c->id,
         (unsigned long long)c->pool.used, f.n);
    free(f.msg);
    check_endpoints(c);
}

/* After a turn: what could have been told was, or is put off and not for long. */
static void check_told(const struct core *c, int64_t due)
{
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        const struct source *s = &sim.source[i];
        const struct patience *p = s->party ? &s->p->patience : NULL;

        if (!s->party || s->p->ep->core != c || !ledger_news(&s->p->ledger))
            continue;
        must(s->kind == PUBLISH_WINDOW && p->is_tried, "publisher %u: not told", s->uid);
        must(patience_due(p) > sim.w.now && patience_due(p) <= sim.w.now + PATIENCE_LATE_MS,
             "publisher %u: put off at %lld", s->uid, (long long)p->since_ms);
        must(due <= patience_due(p), "publisher %u: told later than it may", s->uid);
        must(ledger_plain_news(&s->p->ledger) < PATIENCE_MESSAGES, "publisher %u: not told of many",
             s->uid);
    }
}

static void check_world(void)
{
    for (unsigned i = 0; i < sim.cores; i++)
        check_core(sim.w.core[i]);
    must(sim.w.memory >= -(int64_t)(sim.cores * 3 * BUDGET_STEP), "the budget is overdrawn by %lld",
         (long long)-sim.w.memory);
}

/* Nothing is on its way and the cores say they have nothing to do: is that so? */
static void check_quiet(void)
{
    bool waiting = sim.starving;

    for (unsigned i = 0; i < sim.cores; i++) {
        struct core *c = sim.w.core[i];
        const struct queue *q;

        for (uint32_t at = 0; (q = slots_next(&c->slots, SLOT_QUEUE, &at)) != NULL;) {
            if (sim.starving)
                continue;
            must(!is_stuck(q), "%s: %llu ready, %u hungry, and nothing moves", q->label,
                 (unsigned long long)queue_ready(q), hungry_of(q));
            must(!q->backlog->unseen && !q->making, "%s: still being made", q->label);
            must(!deque_len(&q->backlog->held) || q->backlog->waiting,
                 "%s: held in front of nothing", q->label);
            waiting |= deque_len(&q->backlog->held) > 0;
        }
        must(list_empty(&c->letters) && list_empty(&c->doomed), "core %u: left undone", i);
    }
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        const struct source *s = &sim.source[i];

        if (!s->party || s->kind == PUBLISH_FORGET)
            continue;
        must(waiting || s->told == s->sent, "publisher %u: %llu of %llu settled, nothing held",
             s->uid, (unsigned long long)s->told, (unsigned long long)s->sent);
        must(sim.starving || (s->p->told == s->told && s->p->next == s->sent + 1),
             "publisher %u: numbers", s->uid);
        must(s->kind != PUBLISH_WINDOW || s->allowance == s->p->allowance, "publisher %u: credit",
             s->uid);
    }
}

/* What a subscription was to get, it got, or was told that it did not, or it waits. */
static void check_subscription(const struct eater *e)
{
    const struct queue *q = e->k->tap->queue;
    /* What was rejected is the publisher's to know: counted, but no gap. */
    uint64_t sum = e->got + e->gaps + q->backlog->waiting + deque_len(&q->backlog->held) +
                   (q->backlog->losses ? q->backlog->losses->total[REASON_FULL] : 0) +
                   (q->backlog->dedup ? q->backlog->dedup->repeats : 0);

    for (unsigned r = 0; r < REASON_TABLE_SIZE; r++)
        sum += (q->backlog->losses ? q->backlog->losses->gap[r] : 0);
    must(e->ready, "%s: not ready", q->label);
    must(e->unlimited || e->got + e->k->tap->credit == e->granted, "%s: credit", q->label);
    if (e->loose || !sim.lossless)
        return;
    /* From another core it may get what was on its way when it came. */
    must(
        sum >= e->must && (sum <= e->must + e->may || sim.cores > 1),
        "%s: got %llu, gaps %llu, %llu waiting, %llu held, %llu rejected; published %llu, and %llu "
        "before ready",
        q->label, (unsigned long long)e->got, (unsigned long long)e->gaps,
        (unsigned long long)q->backlog->waiting, (unsigned long long)deque_len(&q->backlog->held),
        (unsigned long long)(q->backlog->losses ? q->backlog->losses->total[REASON_FULL] : 0),
        (unsigned long long)e->must, (unsigned long long)e->may);
}

static void check_eaters(void)
{
    if (sim.starving)
        return;
    for (unsigned i = 0; i < CONSUMERS; i++) {
        const struct eater *e = &sim.eater[i];

        if (!e->party || !e->k)
            continue;
        must(e->k->delivered == e->got, "consumer: %llu delivered, %llu came",
             (unsigned long long)e->k->delivered, (unsigned long long)e->got);
        must(e->ready, "a consumer never became ready");
        if (!e->is_queue)
            check_subscription(e);
    }
    for (unsigned i = 0; i < PARTIES; i++)
        must(!sim.party[i].ep || sim.party[i].barrier_told == sim.party[i].barrier_asked,
             "a barrier was not answered");
}

#endif
