/* sim_stores.c - durable queues over the model of a store that is late, refuses, is full, cannot
 *                open queues for a while, and whose broker dies; from one seed.
 *
 * What     Parties publish, consume, ack, nack, reject, leave; queues are purged and deleted; the
 *          broker is killed, or stopped in good order, and made again from what was kept. Checked
 *          all the time: nothing is delivered that was not published, was refused or was settled,
 *          and each publisher's messages come in order. At rest: what is kept is what was confirmed
 *          and not settled, no more and no less, and the cores' books say the same. At the end all
 *          that is kept is delivered. What is kept is a queue all the time, whether or not its
 *          store can open it: nothing published to it may be confirmed to nobody.
 *          A *strict* run has nothing that may lose messages: not one may be missing. In others no
 *          more than what was counted as lost.
 * Usage    run.h. */
#include "brokerd/store/memory/shelf.h"
#include "tests/sim/broker.h"
#include "tests/sim/run.h"

enum { UIDS = 4096, CORES_MAX = 3 };

enum state {
    SENT,     /* nobody has said what became of it */
    KEPT,     /* confirmed, or found kept */
    REFUSED,  /* or not there after a kill: it must not come any more */
    ACKED,    /* must not come any more in this life */
    REJECTED, /* a dead letter must come */
    LOOSE,    /* it was in a queue that was purged or deleted: it may come or not */
};

struct fate {
    uint8_t queue, state;
    bool marked;        /* is kept, at the last look */
    bool rejected;      /* once at least */
    bool letter;        /* its dead letter came */
    uint32_t low, high; /* the next delivery's number of attempts, at least and at most */
};

static struct sim {
    struct broker b;
    struct memory_shelf *shelf;
    uint64_t seed, random, step;
    unsigned cores;
    bool strict;
    bool letters;  /* dead letters come */
    bool stranded; /* they may fail: then the message waits in the store for the next life */
    struct memory_trouble trouble;
    struct {
        struct fate *fate;
        uint64_t n, cap;
    } writer[UIDS];
    uint32_t uids;
    bool disturbed[QUEUES];      /* in this life an eater left */
    uint32_t last[EATERS][UIDS]; /* numbers of first deliveries */
    uint64_t lost, gaps;         /* counted in former lives; missing ones */
    uint64_t published, confirmed, delivered, kills, stops, rests, refused, missing, unopened;
} sim;

void fail(const char *format, ...)
{
    va_list ap;

    fprintf(stderr, "sim_stores --seed %llu, step %llu: ", (unsigned long long)sim.seed,
            (unsigned long long)sim.step);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    if (sim.b.policies) {
        const struct queue_policy *p =
            &policy_set_find_queue(sim.b.policies, SLICE("q.one"))->policy;

        fprintf(stderr,
                "%u cores, late %u refuse %u balk %u damage %u shut %u; %s, %llu messages, %llu "
                "bytes, ttl "
                "%lld, deliveries %u, dead letters: %s\n",
                sim.cores, sim.trouble.late, sim.trouble.refuse, sim.trouble.balk,
                sim.trouble.damage, sim.trouble.shut, overflow_name(p->overflow),
                (unsigned long long)p->max_messages, (unsigned long long)p->max_bytes,
                (long long)p->message_ttl_ms, p->max_deliveries, p->dead_letter);
    }
    abort();
}

static uint64_t below(uint64_t n)
{
    uint64_t z = sim.random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % n;
}

static bool one_in(uint64_t n)
{
    return below(n) == 0;
}

/* ----------------------------------------------------------------------------- the model make */

static void bench_start(struct broker *b)
{
    for (unsigned i = 0; i < b->w.n; i++) {
        struct memory_options o = {
            .shelf = sim.shelf,
            .core = b->w.core[i],
            .answer = core_stored,
            .worker = i,
        };

        b->store[i] = memory_store_new(&o);
        memory_store_trouble(b->store[i], &sim.trouble);
    }
}

static bool bench_answer(struct broker *b, unsigned core)
{
    memory_shelf_clock(sim.shelf, b->w.now);
    return memory_store_answer(b->store[core]) > 0;
}

static bool bench_idle(struct broker *b)
{
    for (unsigned i = 0; i < b->w.n; i++)
        if (!memory_store_idle(b->store[i]))
            return false;
    return true;
}

static const struct bench bench = {
    .name = "memory",
    .level = DURABLE_JOURNAL,
    .start = bench_start,
    .answer = bench_answer,
    .idle = bench_idle,
};

/* ------------------------------------------------------------------------------------- fates */

static struct fate *fate_of(uint64_t key)
{
    uint64_t uid = key >> 32, number = key & UINT32_MAX;

    must(uid && uid < UIDS && number && number <= sim.writer[uid].n, "%llx: never published",
         (unsigned long long)key);
    return &sim.writer[uid].fate[number - 1];
}

static uint64_t kept_key(const struct kept *m)
{
    uint64_t key = 0;

    must(m->data.n >= 8, "something short is kept");
    memcpy(&key, m->data.p, 8);
    return key;
}

static struct drawer *drawer_of(unsigned queue)
{
    return map_get(&sim.shelf->drawers, slice_str(queue_names[queue]));
}

/* All fates, one by one. */
static struct fate *next_fate(uint32_t *uid, uint64_t *i)
{
    for (; *uid <= sim.uids; ++*uid, *i = 0)
        if (*i < sim.writer[*uid].n)
            return &sim.writer[*uid].fate[(*i)++];
    return NULL;
}

/* Note which are kept; nothing may be that was never published there. */
static void mark_kept(void)
{
    struct fate *f;
    uint32_t uid = 1;
    uint64_t i = 0;

    while ((f = next_fate(&uid, &i)) != NULL)
        f->marked = false;
    for (unsigned q = 0; q < QUEUES; q++) {
        const struct drawer *d = drawer_of(q);

        for (size_t k = 0; d && d->exists && k < d->n; k++) {
            uint64_t key = kept_key(d->msg[k]);

            f = fate_of(key);
            if (f->queue != q) {
                must(q == QUEUES - 1, "%llx: kept in %s", (unsigned long long)key, queue_names[q]);
                continue;
            }
            must(!f->marked, "%llx: kept twice", (unsigned long long)key);
            f->marked = true;
        }
    }
}

/* --------------------------------------------------------------------------------- callbacks */

static void on_deliver(struct eater *e, const struct delivery *d, uint32_t i, uint64_t key,
                       bool dead)
{
    struct fate *f = fate_of(key);
    const struct drawer *drawer = drawer_of(e->queue);
    uint64_t seq = d->seq + i;
    size_t at = drawer_find(drawer, seq);
    uint32_t uid = (uint32_t)(key >> 32), number = (uint32_t)key;
    uint32_t *last = &sim.last[e - sim.b.eater][uid];

    sim.delivered++;
    must(!sim.strict ||
             (at < drawer->n && drawer->msg[at]->seq == seq && kept_key(drawer->msg[at]) == key),
         "%llx: delivered as number %llu, and not kept as such", (unsigned long long)key,
         (unsigned long long)seq);
    must(!dead || e->queue == QUEUES - 1, "a dead letter in %s", queue_names[e->queue]);
    if (dead) {
        must(f->rejected || !sim.strict, "%llx: a dead letter of nothing", (unsigned long long)key);
        f->letter = true;
        return;
    }
    must(e->queue == f->queue, "%llx: in %s", (unsigned long long)key, queue_names[e->queue]);
    must(f->state != REFUSED, "%llx: was refused", (unsigned long long)key);
    must(f->state != ACKED && f->state != REJECTED, "%llx: was settled", (unsigned long long)key);
    must(d->attempt <= f->high && (d->attempt >= f->low || f->state == LOOSE),
         "%llx: attempt %u, not %u to %u", (unsigned long long)key, d->attempt, f->low, f->high);
    f->high = d->attempt + 1;
    if (d->attempt == 1 && !sim.disturbed[e->queue] && f->state != LOOSE) {
        must(number > *last, "%s: writer %u: %u after %u", queue_names[e->queue], uid, number,
             *last);
        *last = number;
    }
}

static void on_outcome(struct writer *s, uint64_t number, const struct outcome *o)
{
    struct fate *f = fate_of((uint64_t)s->uid << 32 | number);

    if (o->reason == REASON_NONE) {
        must(f->state != REFUSED, "refused, and confirmed");
        sim.confirmed++;
        if (f->state == SENT)
            f->state = KEPT;
    } else {
        must(f->state == SENT || f->state == LOOSE, "%llx: was delivered, and is refused: %s",
             (unsigned long long)s->uid << 32 | number, reason_name(o->reason));
        sim.refused++;
        if (f->state == SENT)
            f->state = REFUSED;
    }
}

static void on_closed(struct eater *e, enum reason why, uint64_t lost)
{
    (void)why;
    (void)lost;
    sim.disturbed[e->queue] = true;
}

static void on_gap(struct eater *e, const struct gap *g)
{
    (void)e;
    must(g->count, "an empty gap");
    sim.gaps += g->count;
}

/* ------------------------------------------------------------------------------ random acts */

static void open_writer(unsigned core)
{
    unsigned i = (unsigned)below(WRITERS);

    if (sim.b.writer[i].ep || sim.uids + 1 >= UIDS)
        return;
    writer_open(&sim.b, i, core, ++sim.uids);
}

static void publish(unsigned core)
{
    struct writer *s = &sim.b.writer[below(WRITERS)];
    unsigned queue = (unsigned)below(QUEUES - 1);
    uint32_t n = 1 + (uint32_t)below(one_in(4) ? BATCH : 4);
    uint32_t len[BATCH];
    struct msg_meta meta[BATCH] = {0};

    if (!s->ep || s->core != core)
        return;
    if (n > s->allowance)
        n = (uint32_t)s->allowance;
    for (uint32_t i = 0; i < n; i++) {
        len[i] = 8 + (uint32_t)below(one_in(50) ? 100000 : 200);
        meta[i].ttl_ms = sim.strict || !one_in(20) ? 0 : 1 + (int64_t)below(300);
    }
    while (sim.writer[s->uid].cap < s->sent + n) {
        sim.writer[s->uid].cap = sim.writer[s->uid].cap * 2 + 64;
        sim.writer[s->uid].fate =
            realloc(sim.writer[s->uid].fate, sim.writer[s->uid].cap * sizeof(struct fate));
    }
    for (uint32_t i = 0; i < n; i++)
        sim.writer[s->uid].fate[sim.writer[s->uid].n++] =
            (struct fate){.queue = (uint8_t)queue, .low = 1, .high = 1};
    sim.published += n;
    must(writer_publish(&sim.b, (unsigned)(s - sim.b.writer), queue, n, len, meta) == n,
         "it did not publish all");
}

static void leave_writer(unsigned core)
{
    unsigned i = (unsigned)below(WRITERS);

    if (sim.b.writer[i].ep && sim.b.writer[i].core == core && one_in(4))
        writer_leave(&sim.b, i);
}

static void attach(unsigned core)
{
    unsigned i = (unsigned)below(EATERS);

    if (sim.b.eater[i].ep)
        return;
    (void)eater_attach(&sim.b, i, core, (unsigned)below(QUEUES), below(100), NULL);
    memset(sim.last[i], 0, sizeof sim.last[i]);
}

/* An eater that is there and has a consumer; NULL: perhaps next time. */
static struct eater *some_eater(unsigned core)
{
    struct eater *e = &sim.b.eater[below(EATERS)];

    if (e->ep && !e->k) {
        if (e->core == core)
            eater_leave(&sim.b, (unsigned)(e - sim.b.eater));
        return NULL;
    }
    return e->ep && e->core == core ? e : NULL;
}

static void grant(unsigned core)
{
    struct eater *e = some_eater(core);

    if (e && e->n < HANDS / 4)
        eater_grant(&sim.b, (unsigned)(e - sim.b.eater), 1 + below(50));
}

static void note_settled(const struct eater *e, const struct hand *h, enum ack_verb verb)
{
    struct fate *f = fate_of(h->key);

    if (e->queue != f->queue) /* a dead letter */
        return;
    f->rejected |= verb == ACK_REJECT;
    if (verb == ACK_NACK)
        f->low = h->attempt + 1;
    else if (f->state != LOOSE)
        f->state = verb == ACK_DONE ? ACKED : REJECTED;
}

static void settle(unsigned core)
{
    struct eater *e = some_eater(core);
    unsigned n = 1 + (unsigned)below(20);

    while (e && e->k && e->n && n--) {
        enum ack_verb verb = one_in(8) ? ACK_NACK : one_in(20) ? ACK_REJECT : ACK_DONE;
        uint32_t delay = verb == ACK_NACK && one_in(2) ? (uint32_t)below(2000) : 0;
        unsigned at = one_in(2) ? 0 : (unsigned)below(e->n);
        struct hand h;

        if (core_is_behind(e->ep))
            return;
        h = eater_settle(&sim.b, (unsigned)(e - sim.b.eater), at, verb, delay);
        note_settled(e, &h, verb);
    }
}

static void leave(unsigned core)
{
    struct eater *e = some_eater(core);

    if (!e || !one_in(3))
        return;
    /* What it has comes again, as another attempt. */
    sim.disturbed[e->queue] = true;
    eater_leave(&sim.b, (unsigned)(e - sim.b.eater));
}

static void loosen(unsigned queue)
{
    struct fate *f;
    uint32_t uid = 1;
    uint64_t i = 0;

    while ((f = next_fate(&uid, &i)) != NULL)
        if (f->queue == queue && (f->state == SENT || f->state == KEPT))
            f->state = LOOSE;
}

static void purge_or_delete(unsigned core)
{
    unsigned i = (unsigned)below(QUEUES - 1), home;
    struct queue *q = broker_queue(&sim.b, i, &home);
    struct question *rest = NULL;
    uint64_t n;

    if (sim.strict || !q || home != core || q->making || durable_is_shut(q) || !one_in(30))
        return;
    loosen(i);
    if (one_in(2)) {
        must(core_queue_delete(sim.b.w.core[core], q->handle, &n) == 0, "delete");
    } else {
        must(core_queue_purge(sim.b.w.core[core], q->handle, &n, &rest) == 0, "purge");
        core_question_close(rest);
    }
}

static const struct {
    unsigned weight;
    void (*act)(unsigned core);
} acts[] = {{20, open_writer}, {100, publish}, {5, leave_writer}, {20, attach},
            {60, grant},       {100, settle},  {6, leave},        {5, purge_or_delete}};

static void act(unsigned core)
{
    unsigned sum = 0, pick;

    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        sum += acts[i].weight;
    pick = (unsigned)below(sum);
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        if (pick < acts[i].weight) {
            acts[i].act(core);
            return;
        }
        pick -= acts[i].weight;
    }
}

/* A turn in which not all comes that could. */
static void random_turn(void)
{
    unsigned core = (unsigned)below(sim.cores), n = (unsigned)below(4);

    core_clock(sim.b.w.core[core], sim.b.w.now, sim.b.w.now);
    if (!one_in(3))
        bench_answer(&sim.b, core);
    for (unsigned i = 0; i < sim.cores; i++)
        for (unsigned k = (unsigned)below(8); k && world_hand(&sim.b.w, i, core); k--)
            continue;
    while (n--)
        act(core);
    broker_turn_ends(&sim.b, core);
}

/* ------------------------------------------------------------------------------------ at rest */

static uint64_t losses(void)
{
    static const enum reason why[] = {REASON_DROP_OLDEST, REASON_EXPIRED, REASON_ATTEMPTS,
                                      REASON_STORE}; /* the last: damaged ones */
    size_t n = sizeof why / sizeof *why - !sim.trouble.damage;
    uint64_t sum = sim.lost;

    for (unsigned i = 0; i < QUEUES; i++) {
        unsigned home;
        const struct queue *q = broker_queue(&sim.b, i, &home);

        for (size_t k = 0; q && q->backlog->losses && k < n; k++)
            sum += q->backlog->losses->total[why[k]];
    }
    return sum;
}

/* What is kept is what must be; `killed`: settlements may not have been heard of. */
static void check_fates(bool killed)
{
    struct fate *f;
    uint32_t uid = 1;
    uint64_t i = 0;

    mark_kept();
    sim.missing = 0;
    while ((f = next_fate(&uid, &i)) != NULL) {
        unsigned long long key = (unsigned long long)uid << 32 | i;

        must(f->state != REFUSED || !f->marked, "%llx: refused, and kept", key);
        must(killed || f->state != ACKED || !f->marked, "%llx: acked, and kept", key);
        if (f->state == KEPT && !f->marked) {
            must(!sim.strict, "%llx: confirmed, not settled, and not kept", key);
            sim.missing++;
        }
    }
    must(sim.missing <= losses(), "%llu are missing, %llu were counted",
         (unsigned long long)sim.missing, (unsigned long long)losses());
}

/* The core's books, and the shelf's. */
static void check_queues(void)
{
    for (unsigned i = 0; i < QUEUES; i++) {
        const struct drawer *d = drawer_of(i);
        struct inspect_queue look;
        unsigned home;
        const struct queue *q = broker_queue(&sim.b, i, &home);

        must((q != NULL) == (d && d->exists) || (q && durable_is_shut(q)), "%s: %s", queue_names[i],
             q ? "there, and not kept" : "kept, and not there");
        if (!q)
            continue;
        must(inspect_queue(sim.b.w.core[home], q->handle, &look), "%s: inspect", queue_names[i]);
        if (look.unopened_ms >= 0) {
            must(sim.trouble.shut && !look.depth && !look.unacked, "%s: not open", queue_names[i]);
            sim.unopened++;
            continue;
        }
        must(look.depth + look.unacked == d->n ||
                 (sim.stranded && look.depth + look.unacked < d->n),
             "%s: %llu wait, %llu unacked, %zu kept", queue_names[i],
             (unsigned long long)look.depth, (unsigned long long)look.unacked, d->n);
        /* How large one was that is damaged, nobody knows. */
        must(q->backlog->bytes <= d->bytes || (sim.trouble.damage && q->backlog->stored->away_n),
             "%s: %llu bytes wait, %llu are kept", queue_names[i],
             (unsigned long long)q->backlog->bytes, (unsigned long long)d->bytes);
    }
}

static void rest(void)
{
    broker_rest(&sim.b);
    sim.rests++;
    check_queues();
    check_fates(false);
}

/* ----------------------------------------------------------------------------------- the end */

static struct policy_set *random_policies(void)
{
    struct policy_globals globals = policy_globals_default();
    struct queue_policy p = policy_default(POLICY_QUEUE), dead = p;
    static const enum overflow lossy[] = {OVERFLOW_DROP_OLDEST, OVERFLOW_DROP_NEWEST,
                                          OVERFLOW_REJECT, OVERFLOW_BLOCK};
    struct policy_set *set;

    p.durable = dead.durable = DURABLE_JOURNAL;
    dead.max_messages = dead.max_bytes = POLICY_UNLIMITED;
    p.max_messages = one_in(2) ? 5 + below(100) : POLICY_UNLIMITED;
    p.max_bytes = one_in(3) ? 1000 + below(1000000) : POLICY_UNLIMITED;
    p.overflow = sim.strict ? lossy[2 + below(2)] : lossy[below(4)];
    p.block_timeout_ms = 1 + (int64_t)below(2000);
    p.block_fallback = OVERFLOW_REJECT;
    p.max_deliveries = sim.strict || one_in(2) ? POLICY_UNLIMITED32 : 1 + (uint32_t)below(5);
    p.message_ttl_ms = sim.strict || one_in(2) ? POLICY_NEVER : 1 + (int64_t)below(3000);
    p.ack_timeout_ms = POLICY_NEVER;
    p.expires_ms = dead.expires_ms = POLICY_NEVER;
    if (one_in(2)) {
        (void)snprintf(p.dead_letter, sizeof p.dead_letter, "%s", queue_names[QUEUES - 1]);
        p.dead_letter_queue = true;
    }
    sim.stranded =
        p.dead_letter_queue && (sim.trouble.refuse || sim.trouble.balk || sim.trouble.shut);
    sim.letters = p.dead_letter_queue && sim.strict && !sim.stranded;
    if (policy_set_new(&globals, &set) < 0 ||
        policy_set_add(set, POLICY_QUEUE, SLICE("q.#"), &p, NULL, 0) < 0 ||
        policy_set_add(set, POLICY_QUEUE, SLICE("dead"), &dead, NULL, 0) < 0)
        abort();
    return set;
}

static void begin_life(void)
{
    int64_t now = sim.b.w.now ? sim.b.w.now + 1 + (int64_t)below(100) : 1000;

    broker_start(&sim.b, sim.cores, now);
    memset(sim.disturbed, 0, sizeof sim.disturbed);
    memset(sim.last, 0, sizeof sim.last);
    broker_rest(&sim.b);
    must(core_has_found(sim.b.w.core[0]), "not all that is kept was found");
    check_queues();
    if (!drawer_of(QUEUES - 1) || !drawer_of(QUEUES - 1)->exists)
        (void)eater_attach(&sim.b, 0, 0, QUEUES - 1, 100, NULL); /* makes it */
}

/* After the end of a life: what is kept now decides. */
static void settle_fates(bool killed)
{
    struct fate *f;
    uint32_t uid = 1;
    uint64_t i = 0;

    check_fates(killed);
    while ((f = next_fate(&uid, &i)) != NULL) {
        if (f->state == SENT)
            f->state = f->marked ? KEPT : REFUSED;
        if ((f->state == ACKED || f->state == REJECTED) && f->marked) {
            must(killed || (f->state == REJECTED && sim.stranded),
                 "a settlement was forgotten by a stop in good order");
            f->state = KEPT;
        }
        /* The shelf knows of deliveries what it was told. */
        if (killed || sim.stranded)
            f->low = 1;
    }
}

static void end_life(bool kill)
{
    struct store *s[WORLD_CORES];

    if (!kill) {
        for (unsigned i = 0; i < EATERS; i++)
            if (sim.b.eater[i].ep)
                eater_leave(&sim.b, i);
        for (unsigned i = 0; i < WRITERS; i++)
            if (sim.b.writer[i].ep)
                writer_leave(&sim.b, i);
        for (unsigned i = 0; i < sim.cores; i++)
            core_drain(sim.b.w.core[i]);
        broker_rest(&sim.b);
        for (unsigned i = 0; i < sim.cores; i++)
            must(core_drained(sim.b.w.core[i]), "drained, and something is left");
    }
    sim.lost = losses();
    for (unsigned i = 0; kill && i < sim.cores; i++)
        memory_store_kill(sim.b.store[i]);
    memcpy(s, sim.b.store, sizeof s);
    world_stop(&sim.b.w);
    sim.b.w.n = 0; /* nobody is there to be asked */
    for (unsigned i = 0; i < sim.cores; i++)
        memory_store_free(s[i]);
    settle_fates(kill);
}

static void step_once(void)
{
    if (one_in(5))
        sim.b.w.now += one_in(30) ? (int64_t)below(2000) : (int64_t)below(10);
    random_turn();
    if (one_in(150))
        rest();
    if (one_in(300)) {
        bool kill = !one_in(4);

        *(kill ? &sim.kills : &sim.stops) += 1;
        end_life(kill);
        begin_life();
    }
}

/* Everything comes, is acked, and nothing is left. */
static void drain_all(void)
{
    end_life(true);
    memset(&sim.trouble, 0, sizeof sim.trouble);
    begin_life();
    for (unsigned i = 0; i < EATERS; i++)
        if (sim.b.eater[i].ep)
            eater_leave(&sim.b, i);
    memset(sim.last, 0, sizeof sim.last);
    for (unsigned q = 0; q < QUEUES; q++)
        (void)eater_attach(&sim.b, q, (unsigned)below(sim.cores), q, 1000, NULL);
    for (unsigned again = 0; again < 200; again++) {
        uint64_t left = 0;

        broker_rest(&sim.b);
        for (unsigned i = 0; i < QUEUES; i++) {
            struct eater *e = &sim.b.eater[i];

            left += e->n + drawer_of(i)->n;
            for (unsigned n = 0; e->n && n < 1000; n++) {
                struct hand h = eater_settle(&sim.b, i, 0, ACK_DONE, 0);

                note_settled(e, &h, ACK_DONE);
                eater_grant(&sim.b, i, 1);
            }
        }
        if (!left)
            break;
        sim.b.w.now += 100;
        must(again < 199, "%llu messages never come", (unsigned long long)left);
    }
    rest();
}

static void check_letters(void)
{
    struct fate *f;
    uint32_t uid = 1;
    uint64_t i = 0;

    while (sim.letters && (f = next_fate(&uid, &i)) != NULL)
        must(f->state != REJECTED || f->letter, "%llx: rejected, and no dead letter",
             (unsigned long long)uid << 32 | i);
}

static void start(uint64_t seed)
{
    memset(&sim, 0, sizeof sim);
    sim.seed = sim.random = seed;
    sim.cores = 1 + (unsigned)below(CORES_MAX);
    sim.strict = one_in(2);
    sim.shelf = memory_shelf_new(false, seed);
    if (one_in(3))
        sim.trouble.late = (uint16_t)below(700);
    if (one_in(3))
        sim.trouble.refuse = (uint16_t)below(100);
    if (one_in(3))
        sim.trouble.balk = (uint16_t)below(200);
    if (!sim.strict && one_in(3))
        sim.trouble.damage = (uint16_t)below(20);
    if (one_in(3))
        sim.trouble.shut = (uint16_t)below(900);
    sim.b.bench = &bench;
    sim.b.policies = random_policies();
    sim.b.on_deliver = on_deliver;
    sim.b.on_outcome = on_outcome;
    sim.b.on_closed = on_closed;
    sim.b.on_gap = on_gap;
}

static void run(uint64_t seed, uint64_t steps, unsigned cores, bool talk)
{
    (void)cores;
    start(seed);
    begin_life();
    for (sim.step = 0; sim.step < steps; sim.step++)
        step_once();
    rest();
    drain_all();
    check_letters();
    end_life(false);
    if (talk)
        printf("seed %llu: %u cores%s, %llu published, %llu confirmed, %llu refused, %llu "
               "deliveries, %llu missing of %llu lost, %llu kills, %llu stops, %llu times at rest, "
               "%llu not open\n",
               (unsigned long long)seed, sim.cores, sim.strict ? ", strict" : "",
               (unsigned long long)sim.published, (unsigned long long)sim.confirmed,
               (unsigned long long)sim.refused, (unsigned long long)sim.delivered,
               (unsigned long long)sim.missing, (unsigned long long)sim.lost,
               (unsigned long long)sim.kills, (unsigned long long)sim.stops,
               (unsigned long long)sim.rests, (unsigned long long)sim.unopened);
    for (uint32_t i = 0; i <= sim.uids; i++)
        free(sim.writer[i].fate);
    for (unsigned i = 0; i < EATERS; i++)
        free(sim.b.eater[i].hand);
    memory_shelf_free(sim.shelf);
    broker_free_policies(&sim.b);
}

int main(int argc, char **argv)
{
    static const struct sim_runs runs = {
        .name = "sim_stores",
        .steps = 3000,
        .seconds = 5,
        .least = 20,
        .run = run,
    };

    return sim_main(argc, argv, &runs);
}
