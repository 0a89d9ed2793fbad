/* model.h - the cores' side of the simulation: their memory, which may fail; their callbacks, each
 * held against what the simulation has kept in mind. Included by sim_core.c. */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include "brokerd/core/dedup.h"
#include "tests/sim/sim.h"

/* --------------------------------------------------------------------------- memory */

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static bool fails(void)
{
    return sim.failing && one_in(30);
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

/* Call something that may not fail. */
#define SAFELY(call)                                                                               \
    do {                                                                                           \
        bool was = sim.failing;                                                                    \
        sim.failing = false;                                                                       \
        call;                                                                                      \
        sim.failing = was;                                                                         \
    } while (0)

/* ------------------------------------------------------------ the model of named queues */

static struct told *told_of(handle_t queue)
{
    struct told *p = &sim.told[queue * UINT64_C(0x9e3779b97f4a7c15) >> 58];

    for (unsigned i = 0; i < 64; i++, p = p == &sim.told[63] ? sim.told : p + 1) {
        if (p->queue == queue)
            return p;
        if (p->queue == 0) {
            p->queue = queue;
            return p;
        }
    }
    return NULL; /* more queues than it can remember: those are not looked at */
}

static size_t place_of(const struct told *p, uint64_t key)
{
    size_t i = (key * UINT64_C(0x9e3779b97f4a7c15)) >> 32 & (p->cap - 1);

    while (p->record[i].key && p->record[i].key != key)
        i = (i + 1) & (p->cap - 1);
    return i;
}

static struct record *record_of(struct told *p, uint64_t key)
{
    struct record *r;

    if (p->n * 2 >= p->cap) {
        struct told old = *p;

        p->cap = old.cap ? old.cap * 2 : 1024;
        p->record = calloc(p->cap, sizeof *p->record);
        for (size_t i = 0; i < old.cap; i++)
            if (old.record[i].key)
                p->record[place_of(p, old.record[i].key)] = old.record[i];
        free(old.record);
    }
    r = &p->record[place_of(p, key)];
    if (!r->key) {
        *r = (struct record){.key = key, .low = UINT32_MAX};
        p->n++;
    }
    return r;
}

static struct tap *remote_tap(const struct eater *e)
{
    if (!e->k || !e->k->errand || !e->k->errand->remote)
        return NULL;
    return slots_get(&sim.w.core[handle_worker(e->k->errand->remote)]->slots, SLOT_TAP,
                     e->k->errand->remote);
}

static void learn_queue(struct eater *e)
{
    const struct tap *t = e->k && e->k->tap ? e->k->tap : remote_tap(e);

    if (t && !e->queue)
        e->queue = t->queue->handle;
}

static void disturbed(struct eater *e)
{
    struct told *p;

    learn_queue(e);
    p = e->is_queue && e->queue ? told_of(e->queue) : NULL;
    if (p)
        p->disturbed = true;
}

/* --------------------------------------------------------------------------- callbacks */

static uint64_t key_of(const struct msg_view *v, bool *ret_dead, uint64_t *ret_id)
{
    struct slice rest = v->meta ? v->meta->headers : slice_of(NULL, 0);
    struct header h;
    uint64_t key = 0;

    *ret_dead = false;
    *ret_id = 0;
    while (headers_next(&rest, &h) > 0) {
        *ret_dead |= slice_eq(h.name, SLICE("$dead-reason"));
        if (slice_eq(h.name, SLICE("key")))
            memcpy(&key, h.value.p, 8);
        if (slice_eq(h.name, SLICE("$dedup")))
            memcpy(ret_id, h.value.p, 8);
    }
    if (v->len >= 8)
        memcpy(&key, v->data, 8);
    for (uint32_t i = 8; i < v->len; i += 1 + v->len / 16)
        must(v->data[i] == (uint8_t)(key + i), "a payload is not what it was");
    must(key, "a message of nobody's");
    return key;
}

/* A queue that forgets no ids delivers one message of each. */
static void take_id(const struct eater *e, struct told *p, uint64_t key, uint64_t id)
{
    const struct queue *q =
        slots_get(&sim.w.core[handle_worker(e->queue)]->slots, SLOT_QUEUE, e->queue);
    struct record *r;

    if (!id || !sim.remembers || !q || !q->backlog->dedup || q->backlog->dedup->forgotten)
        return;
    r = record_of(p, KEY_OF_ID | id);
    must(!r->first || r->first == key, "%s: %llx came though %llx had its id", q->label,
         (unsigned long long)key, (unsigned long long)r->first);
    r->first = key;
    sim.ids++;
}

static void take_from_queue(struct eater *e, uint64_t key, uint64_t id, uint32_t attempt)
{
    struct told *p = e->queue ? told_of(e->queue) : NULL;
    struct record *r;

    /* To other cores a delivery travels while its ack times out, another overtakes it, and so on:
     * what a consumer sees of the attempts is then anything. */
    sim.redeliveries += attempt > 1;
    if (p)
        take_id(e, p, key, id);
    if (!p || sim.cores > 1 || sim.starving)
        return;
    r = record_of(p, key);
    must(!r->final, "%llx: delivered after it was settled", (unsigned long long)key);
    if (r->low != UINT32_MAX) {
        must(attempt > r->low && attempt <= r->high + 1, "%llx: attempt %u, not %u to %u",
             (unsigned long long)key, attempt, r->low + 1, r->high + 1);
    } else if (attempt == 1 && !p->disturbed) {
        uint32_t uid = (uint32_t)(key >> 32), number = (uint32_t)key;

        must(number > p->last[uid], "publisher %u: first delivery of %u after %u", uid, number,
             p->last[uid]);
    }
    if (attempt == 1 && (uint32_t)key > p->last[key >> 32])
        p->last[key >> 32] = (uint32_t)key;
    r->low = r->high = attempt;
}

static void take_from_subscription(struct eater *e, uint64_t key, const char *topic)
{
    uint32_t uid = (uint32_t)(key >> 32), number = (uint32_t)key;
    bool wanted = false;

    for (unsigned i = 0; i < e->filters_n; i++)
        wanted |= sim_matches(e->filters[i], topic);
    must(wanted, "%s: %s was not asked for", e->filters[0], topic);
    must(sim.starving || number > e->last[uid], "%s: publisher %u: %u after %u", e->filters[0], uid,
         number, e->last[uid]);
    e->last[uid] = number;
}

static void note_delivery(struct eater *e, uint64_t key, uint32_t attempt)
{
    if (e->got == e->log_cap) {
        e->log_cap = e->log_cap ? e->log_cap * 2 : 64;
        e->log = realloc(e->log, e->log_cap * sizeof *e->log);
    }
    e->log[e->got++] = (struct delivered){key, e->party->out, attempt};
    sim.deliveries++;
}

static uint64_t on_deliver(void *ctx, const struct delivery *d)
{
    struct eater *e = ctx;
    struct party *party = e->party;
    uint64_t bytes = 0;

    must(party && party->ep, "delivered to one who left");
    must(e->k, "delivered before it was attached, or after the end");
    must(d->first == e->got + 1, "delivery %llu after %llu", (unsigned long long)d->first,
         (unsigned long long)e->got);
    must(e->unlimited || e->got + d->run.n <= e->granted, "credit for %llu, delivery of %llu",
         (unsigned long long)e->granted, (unsigned long long)(e->got + d->run.n));
    must(d->run.n >= 1 && (d->attempt == 1 || d->run.n == 1), "a run of redeliveries");
    learn_queue(e);
    for (unsigned i = 0; i < d->gaps_n; i++) {
        e->gaps += d->gaps[i].count;
        sim.gaps += d->gaps[i].count;
        must(!d->gaps[i].count == (d->gaps[i].reason == REASON_NODE), "an empty gap");
    }
    for (uint32_t i = 0; i < d->run.n; i++) {
        bool dead;
        uint64_t id, key = key_of(&d->run.v[i], &dead, &id);

        /* As doors do: what is there may be written over. */
        memset((uint8_t *)(uintptr_t)d->run.v[i].data - d->run.head_room, 0xaa, d->run.head_room);
        party->out += d->run.v[i].len + 9;
        bytes += d->run.v[i].len;
        if (!dead && e->is_queue)
            take_from_queue(e, key, id, d->attempt);
        else if (!dead)
            take_from_subscription(e, key, d->topic->name);
        note_delivery(e, dead ? 0 : key, d->attempt);
    }
    must(bytes == d->run.bytes, "a run's bytes");
    if (one_in(3)) {
        party->written += below(party->out - party->written + 1);
        core_written(party->ep, party->written);
    }
    if (one_in(20))
        core_writable(party->ep, false);
    return party->out;
}

static void on_ready(void *ctx)
{
    struct eater *e = ctx;

    must(e->party && e->k && !e->ready, "ready: too often or too late");
    e->ready = true;
    learn_queue(e);
}

static void on_closed(void *ctx, const struct refusal *why, uint64_t lost)
{
    struct eater *e = ctx;

    (void)lost;
    must(e->party && e->k, "closed before it was attached, or twice");
    must(why->reason != REASON_NONE || sim.took_over, "closed without a reason");
    must(why->text[0], "closed without a word");
    e->k = NULL; /* the core has freed it */
    disturbed(e);
    e->party = NULL;
    sim.closings++;
}

static void check_outcome(const struct source *s, const struct outcome *o, uint64_t number)
{
    int32_t expect = s->expect[number - 1];

    must(expect < 0 || (uint32_t)expect == o->matched, "publisher %u: %llu matched %u, not %d",
         s->uid, (unsigned long long)number, o->matched, expect);
    must(sim.starving || o->accepted <= o->matched, "more accepted than matched");
    must(sim.starving || (o->reason == REASON_NONE) == (o->matched && o->accepted == o->matched),
         "publisher %u: %u of %u accepted, %s", s->uid, o->accepted, o->matched,
         reason_name(o->reason));
}

static void on_settled(void *ctx, uint64_t upto, const struct outcome *o, size_t n)
{
    struct source *s = ctx;

    must(s->party && s->kind != PUBLISH_FORGET && n, "settled: nobody asked");
    for (size_t i = 0; i < n; i++) {
        must(o[i].first == s->told + 1 && o[i].count, "publisher %u: outcome of %llu after %llu",
             s->uid, (unsigned long long)o[i].first, (unsigned long long)s->told);
        for (uint32_t k = 0; k < o[i].count; k++)
            check_outcome(s, &o[i], ++s->told);
    }
    must(upto == s->told && upto <= s->sent, "publisher %u: told %llu of %llu", s->uid,
         (unsigned long long)upto, (unsigned long long)s->sent);
    if (s->kind == PUBLISH_ONCE)
        s->party = NULL;
}

static void on_granted(void *ctx, uint32_t n)
{
    struct source *s = ctx;

    must(s->party && s->kind == PUBLISH_WINDOW && n, "granted: nobody asked");
    s->allowance += n;
    must(s->allowance <= CORE_WINDOW_MAX + 1, "allowance of %llu",
         (unsigned long long)s->allowance);
}

static void on_barrier(void *ctx, uint64_t token)
{
    struct party *p = ctx;

    must(p->ep && token == p->barrier_told + 1 && token <= p->barrier_asked, "barriers in order");
    p->barrier_told = token;
    for (unsigned i = 0; i < CONSUMERS; i++)
        must(sim.eater[i].party != p || sim.eater[i].ready, "a barrier before all are ready");
}

static void on_resolved(void *ctx, uint64_t token, bool settled)
{
    const struct party *p = ctx;

    (void)settled;
    must(p->ep && token && token <= sim.asked, "an answer to nobody's question");
    sim.answered++;
}

static const struct endpoint_ops party_ops = {
    .door = "sim",
    .deliver = on_deliver,
    .ready = on_ready,
    .closed = on_closed,
    .settled = on_settled,
    .granted = on_granted,
    .barrier = on_barrier,
    .resolved = on_resolved,
};

/* A batch may be full for what nobody has credit for. */
static struct entry *post(void *ctx, unsigned to, size_t size, bool credited, size_t refers)
{
    if (fails() || (!credited && sim.tight_mail && one_in(4)))
        return NULL;
    return world_post(ctx, to, size, credited, refers);
}

static const struct core_ops sim_core_ops = {post, world_memory, world_event};

#endif
