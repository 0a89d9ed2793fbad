/* N cores, peers that do whatever peers may do, and mail that arrives when it likes: from one
 * seed. After each step the books must balance, at rest nothing may be stuck, and each callback
 * must agree with what the simulation itself has kept in mind.
 *
 *   sim_core [--seed N] [--steps M] [--cores K]
 *
 * Without --seed: one after the other, from SIM_SEED (or 1) on, for SIM_SECONDS (or 5). */
#include "brokerd/core/outlet.h"
#include "tests/sim/check.h"
#include "tests/sim/model.h"
#include "tests/sim/run.h"

#include <errno.h>

struct sim sim;

void sim_fail(const char *format, ...)
{
    va_list ap;

    fprintf(stderr, "sim_core: step %llu: ", (unsigned long long)sim.step);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fprintf(stderr, "\nreplay: sim_core --seed %llu --steps %llu --cores %u\n",
            (unsigned long long)sim.random.seed, (unsigned long long)sim.step + 1, sim.cores);
    abort();
}

static struct core *awake(unsigned core)
{
    core_clock(sim.w.core[core], sim.w.now, sim.w.now + 1000000);
    return sim.w.core[core];
}

/* ----------------------------------------------------------------------------- settings */

static const char *const topics[] = {"t.a", "t.b", "t.a.x", "u", "q0", "q1", "t", "v.w"};
static const char *const filters[] = {"t.*", "t.#", "t.a", "u",   "#",
                                      "*",   "q0",  "*.a", "v.w", "t.b"};
static const char *const queues[QUEUES] = {"q0", "q1", "q2", "work.q3"};

#define PICK(a) ((a)[below(sizeof(a) / sizeof *(a))])

static struct queue_policy random_policy(enum policy_kind kind)
{
    static const enum overflow fallback[] = {OVERFLOW_REJECT, OVERFLOW_DROP_OLDEST,
                                             OVERFLOW_DROP_NEWEST};
    struct queue_policy p = policy_default(kind);

    p.overflow = (enum overflow)below(kind == POLICY_QUEUE ? 4 : 5);
    p.block_fallback = PICK(fallback);
    if (!one_in(3))
        p.max_messages = 1 + below(one_in(2) ? 5 : 300);
    if (one_in(3))
        p.max_bytes = 1 + below(one_in(2) ? 200 : 100000);
    if (one_in(3))
        p.message_ttl_ms = 1 + (int64_t)below(500);
    p.block_timeout_ms = one_in(3) ? POLICY_NEVER : 1 + (int64_t)below(500);
    p.dedup_window_ms = sim.remembers ? POLICY_NEVER : 1 + (int64_t)below(500);
    p.dedup_max = sim.remembers ? POLICY_UNLIMITED32 : 1 + (uint32_t)below(one_in(2) ? 5 : 300);
    if (kind == POLICY_SUBSCRIPTION)
        return p;
    p.ack_timeout_ms = one_in(3) ? POLICY_NEVER : 1 + (int64_t)below(500);
    if (one_in(4))
        p.expires_ms = 1 + (int64_t)below(1000);
    p.max_deliveries = one_in(2) ? 20 : 1 + (uint32_t)below(4);
    p.max_inflight = 1 + (uint32_t)below(one_in(2) ? 10 : 1000);
    if (one_in(2))
        snprintf(p.dead_letter, sizeof p.dead_letter, "dead.%u", (unsigned)below(2));
    p.dead_letter_queue = *p.dead_letter && one_in(3);
    return p;
}

static struct policy_set *random_policies(void)
{
    struct policy_globals globals = policy_globals_default();
    struct policy_set *set;

    globals.create_queues = !one_in(8);
    if (policy_set_new(&globals, &set) < 0)
        abort();
    for (unsigned i = 0; i < QUEUES; i++) {
        struct queue_policy p = random_policy(POLICY_QUEUE);
        struct slice bind = slice_str(PICK(filters));

        if (policy_set_add(set, POLICY_QUEUE, slice_str(one_in(2) ? queues[i] : "#"), &p, &bind,
                           one_in(2)) < 0)
            abort();
    }
    for (unsigned i = 0; i < 3; i++) {
        struct queue_policy p = random_policy(POLICY_SUBSCRIPTION);

        if (policy_set_add(set, POLICY_SUBSCRIPTION, slice_str(i ? PICK(filters) : "#"), &p, NULL,
                           0) < 0)
            abort();
    }
    return set;
}

/* ---------------------------------------------------------------------- what peers do */

static struct party *any_party(void)
{
    struct party *p = &PICK(sim.party);

    return p->ep ? p : NULL;
}

static void connect_party(void)
{
    const struct endpoint_desc d = {.name = "party"};
    struct party *p = &PICK(sim.party);

    if (p->ep)
        return;
    *p = (struct party){.core = (unsigned)below(sim.cores)};
    if (core_endpoint_open(awake(p->core), &d, &party_ops, p, &p->ep) < 0)
        must(sim.starving, "endpoint");
}

/* What its connection did not write, the core may take back as not delivered. */
static void forget_unwritten(struct eater *e)
{
    struct told *p;

    learn_queue(e);
    p = e->queue ? told_of(e->queue) : NULL;
    for (uint64_t i = e->k->written; p && i < e->got; i++) {
        struct record *r = e->log[i].key ? record_of(p, e->log[i].key) : NULL;

        if (r && r->low == e->log[i].attempt)
            r->low--;
    }
    must(sim.starving || e->k->written == 0 || e->log[e->k->written - 1].at <= e->party->written,
         "taken as written too early");
}

static void leave(struct eater *e)
{
    disturbed(e);
    e->party = NULL;
    e->k = NULL;
}

static void disconnect(struct party *p)
{
    struct endpoint *ep = p->ep;

    for (unsigned i = 0; i < CONSUMERS; i++) {
        struct eater *e = &sim.eater[i];

        if (e->party != p)
            continue;
        if (e->is_queue)
            forget_unwritten(e);
        leave(e);
    }
    for (unsigned i = 0; i < PUBLISHERS; i++)
        if (sim.source[i].party == p)
            sim.source[i].party = NULL;
    awake(p->core);
    p->ep = NULL;
    core_endpoint_close(ep);
}

static uint64_t random_credit(void)
{
    if (one_in(10))
        return CORE_UNLIMITED + below(100);
    return one_in(3) ? below(3) : below(600);
}

static void new_eater(struct eater *e, struct party *p)
{
    free(e->log);
    memset(e, 0, sizeof *e);
    e->party = p;
    e->filters_n = 1 + (unsigned)below(FILTERS);
    for (unsigned i = 0; i < e->filters_n; i++) {
        e->filters[i] = PICK(filters);
        e->loose |= strcmp(e->filters[i], "#") == 0 || strcmp(e->filters[i], "dead.#") == 0;
    }
    if (one_in(20)) {
        e->filters[0] = "dead.#";
        e->loose = true;
    }
    e->granted = random_credit();
    e->unlimited = e->granted >= CORE_UNLIMITED;
}

/* The core's own handle on the consumer comes as the call returns; callbacks need none. */
static void attach(struct eater *e, const char *queue)
{
    static struct consumer nobody;
    struct slice f[FILTERS];
    struct consume_options o = {.filters = f, .manual_ack = e->manual, .credit = e->granted};
    struct refusal why = {0};
    int r;

    o.queue = queue ? slice_str(queue) : slice_of(NULL, 0);
    o.filters_n = queue && one_in(2) ? 0 : e->filters_n;
    for (unsigned i = 0; i < e->filters_n; i++)
        f[i] = slice_str(e->filters[i]);
    e->k = &nobody;
    r = core_attach(e->party->ep, &o, e, &e->k, &why);
    if (r == 0) {
        must(e->k != &nobody, "attached to nobody");
        learn_queue(e);
        return;
    }
    must(r == -EPIPE || r == -ENOENT || (r == -ENOMEM && sim.starving), "attach: %d", r);
    must(r == -ENOMEM || (why.reason != REASON_NONE && why.text[0]), "refused without a reason");
    e->party = NULL;
    e->k = NULL;
}

static void new_consumer(void)
{
    struct eater *e = &PICK(sim.eater);
    struct party *p = any_party();

    if (!p || e->party)
        return;
    awake(p->core);
    new_eater(e, p);
    e->is_queue = one_in(2);
    e->manual = e->is_queue && !one_in(3);
    attach(e, e->is_queue ? PICK(queues) : NULL);
}

static struct eater *any_eater(void)
{
    struct eater *e = &PICK(sim.eater);

    if (!e->party)
        return NULL;
    awake(e->party->core);
    return e;
}

static void detach(void)
{
    struct eater *e = any_eater();
    struct consumer *k = e ? e->k : NULL;

    if (!e)
        return;
    leave(e);
    core_detach(k);
}

/* Go, and leave what was written with whoever got it: any party may settle it later. */
static void part(void)
{
    struct eater *e = any_eater();
    struct consumer *k = e ? e->k : NULL;
    struct delivery_ref *ref = &PICK(sim.left);

    if (!e || !e->manual)
        return;
    if (e->got && core_delivery_ref(k, 1 + below(e->got), ref) < 0)
        must(sim.starving, "a delivery without a name");
    forget_unwritten(e);
    leave(e);
    core_part(k, k->written);
}

static void settle(void)
{
    const struct settlement s = {.queue = SLICE("any"),
                                 .ref = PICK(sim.left),
                                 .verb = (enum ack_verb)(1 + below(4)),
                                 .arg_ms = (uint32_t)below(300)};
    struct party *p = any_party();
    struct refusal why;
    int r;

    if (!p || !s.ref.tap)
        return;
    awake(p->core);
    if (one_in(3)) {
        sim.took_over = true;
        r = core_take_over(p->ep, &s, &why);
    } else {
        sim.asked++;
        r = core_settle(p->ep, &s, sim.asked, &why);
    }
    must(r == 0 || (r == -ENOMEM && sim.starving), "settle: %d", r);
}

/* The name of a delivery whose consumer goes on. */
static void name_one(void)
{
    struct eater *e = any_eater();

    if (e && e->manual && e->got && core_delivery_ref(e->k, e->got, &PICK(sim.left)) < 0)
        must(sim.starving, "a delivery without a name");
}

static void grant(void)
{
    struct eater *e = any_eater();
    uint64_t n = random_credit();

    if (!e)
        return;
    e->granted += n;
    /* What is open, not what was ever given, makes it unlimited. */
    e->unlimited |= e->granted - e->got >= CORE_UNLIMITED;
    core_grant(e->k, n);
}

/* Those that are in flight at a queue on the same core are settled by this for good. */
static void note_final(struct eater *e, uint64_t first, uint32_t count)
{
    struct told *p = e->queue ? told_of(e->queue) : NULL;

    if (!p || !e->k->tap)
        return;
    for (uint64_t i = first; flights_next(&e->k->tap->custody->flights, &i, first + count); i++)
        if (e->log[i - 1].key)
            record_of(p, e->log[i - 1].key)->final = true;
}

static void ack(void)
{
    struct eater *e = any_eater();
    enum ack_verb verb = (enum ack_verb)(one_in(2) ? ACK_DONE : 1 + below(4));
    uint64_t first;
    uint32_t count;
    int r;

    if (!e)
        return;
    first = e->got < 30 || one_in(10) ? 1 + below(e->got + 2) : e->got - below(30);
    count = 1 + (uint32_t)below(one_in(3) ? 100 : 5);
    if (!e->manual || first > e->got || first + count - 1 > e->got) {
        must(core_ack(e->k, first, count, verb, 0) == -EINVAL, "an ack of what never came");
        return;
    }
    if ((verb == ACK_DONE || verb == ACK_REJECT) && !core_is_behind(e->party->ep))
        note_final(e, first, count);
    r = core_ack(e->k, first, count, verb, one_in(2) ? 0 : (uint32_t)below(300));
    must(r == 0 || (r == -ENOMEM && sim.starving), "ack: %d", r);
}

/* More verbs than are carried out at once: those that follow wait behind them. */
static void ack_in_vain(void)
{
    struct eater *e = any_eater();
    int r = 0;

    if (!e || !e->manual || e->got < 100)
        return;
    for (unsigned i = 0; i < 400 && r == 0; i++)
        r = core_ack(e->k, 1, (uint32_t)e->got, ACK_EXTEND, 1 + (uint32_t)below(300));
    must(r == 0 || (r == -ENOMEM && sim.starving), "extend: %d", r);
}

static void write_output(void)
{
    struct party *p = any_party();

    if (!p)
        return;
    awake(p->core);
    p->written += one_in(2) ? p->out - p->written : below(p->out - p->written + 1);
    core_written(p->ep, p->written);
    core_writable(p->ep, !one_in(6));
}

static void ask_barrier(void)
{
    struct party *p = any_party();

    if (p && core_barrier(p->ep, p->barrier_asked + 1) == 0)
        p->barrier_asked++;
    else
        must(!p || sim.starving, "barrier");
}

/* -------------------------------------------------------------------------- publishing */

static void new_publisher(void)
{
    struct source *s = &PICK(sim.source);
    struct party *p = any_party();
    int32_t *expect = s->expect;
    size_t cap = s->expect_cap;

    if (!p || s->party || sim.uids + 1 == UIDS)
        return;
    awake(p->core);
    *s = (struct source){.party = p,
                         .kind = (enum publisher_kind)below(3),
                         .uid = ++sim.uids,
                         .allowance = 1,
                         .expect = expect,
                         .expect_cap = cap};
    if (core_publisher_open(p->ep, s->kind, s, &s->p) < 0)
        s->party = NULL; /* draining */
    else if (one_in(2))  /* few live long enough to be tried by themselves */
        s->p->patience.at_once = s->p->patience.spell = 1 + (uint32_t)below(4);
}

static bool filter_matches(struct slice filter, const char *topic)
{
    char text[NAME_MAX_BYTES + 1];

    snprintf(text, sizeof text, "%.*s", (int)filter.n, (const char *)filter.p);
    return sim_matches(text, topic);
}

/* How many queues the topic matches, if all are on the publisher's core. */
static int32_t count_matches(unsigned core, const char *topic)
{
    int32_t count = 0;

    for (unsigned i = 0; i < sim.cores; i++) {
        const struct slots *s = &sim.w.core[i]->slots;
        const struct queue *q;

        for (uint32_t at = 0; (q = slots_next(s, SLOT_QUEUE, &at)) != NULL;) {
            struct filter_walk w = {0};
            struct slice filter;
            bool matches = false;

            while (queue_next_filter(q, &w, &filter))
                matches |= filter_matches(filter, topic);
            count += matches;
            if (matches && i != core)
                return -1;
        }
    }
    return count;
}

static void note_published(struct source *s, const struct target *to, const char *name, uint32_t n)
{
    /* Interest of another core that is gone may still be on its way. */
    int32_t expect =
        to->is_queue || sim.cores > 1 || sim.starving ? -1 : count_matches(s->party->core, name);

    for (; s->expect_cap < s->sent + n; s->expect_cap = s->expect_cap * 2 + 256)
        s->expect = realloc(s->expect, (s->expect_cap * 2 + 256) * sizeof *s->expect);
    for (uint32_t i = 0; i < n; i++)
        s->expect[s->sent++] = expect;
    sim.published += n;
    if (to->is_queue)
        return;
    for (unsigned i = 0; i < CONSUMERS; i++) {
        struct eater *e = &sim.eater[i];
        bool wants = false;

        for (unsigned k = 0; e->party && !e->is_queue && k < e->filters_n; k++)
            wants |= sim_matches(e->filters[k], name);
        if (wants && e->ready)
            e->must += n;
        else if (wants)
            e->may += n;
    }
}

struct letter_box {
    struct msg_view v[600];
    struct msg_meta meta[600];
    uint8_t headers[600][64];
    uint8_t *bytes;
    uint8_t head_room;
    bool ids; /* some have one: then each goes by itself */
    struct block *block;
};

/* Messages of one publisher share one here and there, and some are everybody's. */
static void add_id(struct letter_box *b, uint32_t i, uint64_t key)
{
    uint64_t id = one_in(4) ? 1 + below(50) : (key & ~UINT64_C(7)) | 1;
    struct msg_meta *meta = &b->meta[i];
    uint8_t *end = b->headers[i] + meta->headers.n;

    end = headers_put(end, SLICE("$dedup"), slice_of(&id, 8));
    meta->headers = slice_of(b->headers[i], (size_t)(end - b->headers[i]));
    meta->dedup = true;
    b->v[i].meta = meta;
}

static void write_message(struct letter_box *b, uint32_t i, uint64_t key, uint32_t len)
{
    uint8_t *p = b->bytes += b->head_room;

    b->meta[i] = (struct msg_meta){.type = {.id = CTYPE_NONE}};
    b->v[i] = (struct msg_view){.data = p, .len = len};
    if (len >= 8)
        memcpy(p, &key, 8);
    for (uint32_t k = 8; k < len; k++)
        p[k] = (uint8_t)(key + k);
    b->bytes += len;
    if (len < 8 || one_in(10)) {
        uint8_t *h = headers_put(b->headers[i], SLICE("key"), slice_of(&key, 8));

        h = headers_put(h, SLICE("x"), SLICE("some value"));
        b->meta[i].headers = slice_of(b->headers[i], (size_t)(h - b->headers[i]));
        b->v[i].meta = &b->meta[i];
    }
    if (b->ids && one_in(3))
        add_id(b, i, key);
    if (one_in(30)) {
        b->meta[i].ttl_ms = 1 + (int64_t)below(300);
        b->v[i].meta = &b->meta[i];
    }
    if (b->block && one_in(2))
        b->v[i].block = b->block;
}

static uint32_t random_size(void)
{
    if (one_in(200))
        return 16384 + (uint32_t)below(60000);
    return one_in(10) ? (uint32_t)below(8) : 8 + (uint32_t)below(200);
}

static struct run random_run(struct letter_box *b, const struct source *s, uint32_t n)
{
    struct run run = {.v = b->v, .n = n, .type = {.id = CTYPE_NONE}};
    uint32_t size[600];

    for (uint32_t i = 0; i < n; i++)
        run.bytes += size[i] = random_size();
    run.head_room = b->head_room = one_in(2) ? 0 : 9;
    b->ids = one_in(6);
    SAFELY(b->block = block_new(run.bytes + n * run.head_room + 1));
    b->bytes = b->block->bytes;
    for (uint32_t i = 0; i < n; i++)
        write_message(b, i, (uint64_t)s->uid << 32 | (s->sent + i + 1), size[i]);
    if (one_in(10))
        run.type = (struct ctype){CTYPE_NAMED, SLICE("text/strange")};
    return run;
}

static uint32_t random_count(const struct source *s)
{
    uint32_t n = one_in(4) ? 1 + (uint32_t)below(599) : 1 + (uint32_t)below(8);

    if (s->kind == PUBLISH_ONCE)
        return 1;
    if (s->kind == PUBLISH_WINDOW && n > s->allowance && !one_in(20))
        n = (uint32_t)s->allowance;
    return n;
}

/* The core hears of topics, whatever comes then. */
static void foresee(struct core *c)
{
    struct slice topic[CORE_FORESEE_MAX];
    unsigned n = 1 + (unsigned)below(CORE_FORESEE_MAX);

    for (unsigned i = 0; i < n; i++)
        topic[i] = one_in(16) ? SLICE("no..topic.*") : slice_str(PICK(topics));
    core_foresee(c, topic, n);
}

static void publish(void)
{
    static struct letter_box box;
    struct source *s = &PICK(sim.source);
    bool is_queue = one_in(4);
    const char *name = is_queue ? PICK(queues) : PICK(topics);
    struct target to = {is_queue, slice_str(name)};
    struct refusal why = {0};
    struct run run;
    uint32_t n;
    int r;

    if (!s->party || (s->kind == PUBLISH_ONCE && s->sent) || (n = random_count(s)) == 0)
        return;
    awake(s->party->core);
    if (one_in(4))
        foresee(sim.w.core[s->party->core]);
    run = random_run(&box, s, n);
    /* By its books, before the callbacks that may come from within. */
    if (s->kind != PUBLISH_WINDOW || n <= s->allowance) {
        uint64_t sent = s->sent;

        if (s->kind == PUBLISH_WINDOW)
            s->allowance -= n;
        if (!sim.w.core[s->party->core]->draining)
            note_published(s, &to, name, n);
        r = core_publish(s->p, &to, &run, &why);
        must(r == 0 || (r == -EPIPE && s->sent == sent) || (r == -ENOMEM && sim.starving),
             "publish: %d", r);
        if (r == -ENOMEM) { /* a door ends such a stream */
            s->party = NULL;
            core_publisher_close(s->p);
        }
        if (r == -EPIPE && s->kind == PUBLISH_WINDOW)
            s->allowance += n;
    } else {
        r = core_publish(s->p, &to, &run, &why);
        must(r == -ENOBUFS || r == -EPIPE || (r == -ENOMEM && sim.starving),
             "published beyond the credit: %d", r);
    }
    block_unref(box.block);
}

static void trouble_publisher(void)
{
    struct source *s = &PICK(sim.source);

    if (!s->party)
        return;
    awake(s->party->core);
    if (one_in(3)) {
        s->party = NULL;
        core_publisher_close(s->p);
    } else {
        core_publisher_last(s->p);
    }
}

/* ------------------------------------------------------------------- what workers do */

static void hand_mail(void)
{
    unsigned from = (unsigned)below(sim.cores), to = (unsigned)below(sim.cores);
    unsigned n = (unsigned)below(8);

    awake(to);
    if (one_in(2))
        world_foresee(&sim.w, from, to);
    while (n-- && world_hand(&sim.w, from, to))
        continue;
}

static void tick(void)
{
    struct core *c = awake((unsigned)below(sim.cores));

    check_told(c, core_tick(c));
}

static void manage_queue(void)
{
    struct core *c = awake((unsigned)below(sim.cores));
    struct queue *q;
    struct question *rest;
    uint64_t n;

    for (uint32_t at = 0; (q = slots_next(&c->slots, SLOT_QUEUE, &at)) != NULL;) {
        int expect = q->making ? -ENOENT : 0;

        if (!one_in(4))
            continue;
        if (one_in(2)) {
            must(core_queue_purge(c, q->handle, &n, &rest) == expect, "purge");
            must(q->making || !q->backlog->waiting, "%s: not empty after a purge", q->label);
        } else if (q->is_named) {
            must(core_queue_delete(c, q->handle, &n) == expect, "delete");
        }
        return;
    }
}

static void configure(void)
{
    struct policy_set *set;

    SAFELY(set = random_policies());
    for (unsigned i = 0; i < sim.cores; i++)
        core_configure(awake(i), set);
    policy_set_unref(sim.policies);
    sim.policies = set;
    sim.configured = true;
}

/* Of what other brokers published some did not come. */
static void miss_foreign(void)
{
    for (unsigned i = 0; i < sim.cores; i++)
        core_foreign_missed(awake(i));
}

static void squeeze_memory(void)
{
    int64_t budget = one_in(3) ? (int64_t)below(1 << 20) : INT64_C(1) << (20 + below(8));

    /* Others have taken some, or given it back. */
    sim.w.memory += budget > sim.budget ? budget - sim.budget : 0;
    sim.budget = budget > sim.budget ? budget : sim.budget;
}

/* Memory is short for a while, and then it is not. */
static void starve(void)
{
    sim.failing = sim.starving && one_in(2);
}

static bool anything_moves(void)
{
    bool moved = false;
    int64_t due;

    for (unsigned i = 0; i < sim.cores; i++) {
        awake(i);
        for (unsigned j = 0; j < sim.cores; j++)
            while (world_hand(&sim.w, j, i))
                moved = true;
        due = core_tick(sim.w.core[i]);
        check_told(sim.w.core[i], due);
        moved |= due <= sim.w.now;
    }
    for (unsigned i = 0; i < sim.cores; i++)
        for (unsigned j = 0; j < sim.cores; j++)
            moved |= sim.w.box[i][j].first != NULL;
    return moved;
}

/* Confirms that are put off, acks that wait for their turn. */
static bool something_takes_time(void)
{
    for (unsigned i = 0; i < sim.cores; i++)
        if (!list_empty(&sim.w.core[i]->unhurried) || !list_empty(&sim.w.core[i]->behind))
            return true;
    return false;
}

static void come_to_rest(void)
{
    unsigned turns = 0;

    sim.failing = false;
    for (bool again = true; again;) {
        while (anything_moves())
            must(++turns < 20000, "never comes to rest");
        again = something_takes_time();
        if (again)
            sim.w.now += PATIENCE_LATE_MS;
    }
    check_world();
    check_quiet();
    check_eaters();
    sim.quiets++;
}

static const struct {
    unsigned weight;
    void (*act)(void);
} acts[] = {{20, connect_party}, {60, new_consumer},
            {15, detach},        {10, part},
            {10, name_one},      {30, settle},
            {120, grant},        {200, ack},
            {5, ack_in_vain},    {150, write_output},
            {10, ask_barrier},   {60, new_publisher},
            {300, publish},      {10, trouble_publisher},
            {250, hand_mail},    {250, tick},
            {10, starve},        {2, manage_queue},
            {1, configure},      {5, squeeze_memory},
            {3, miss_foreign}};

static void act_once(void)
{
    uint64_t sum = 0, pick;

    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        sum += acts[i].weight;
    pick = below(sum);
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        if (pick < acts[i].weight) {
            acts[i].act();
            return;
        }
        pick -= acts[i].weight;
    }
}

static void step_once(void)
{
    if (one_in(5))
        sim.w.now += one_in(30) ? (int64_t)below(2000) : (int64_t)below(10);
    if (one_in(150)) {
        struct party *p = any_party();

        if (p)
            disconnect(p);
    } else {
        act_once();
    }
    if (one_in(40))
        check_world();
    if (one_in(100))
        come_to_rest();
}

/* ---------------------------------------------------------------------------- a world */

static void start(uint64_t seed, unsigned cores)
{
    memset(&sim, 0, sizeof sim);
    sim.random = (struct seeded){seed, seed};
    sim.cores = 1 + (unsigned)below(WORLD_CORES); /* drawn in any case, so that a seed replays */
    if (cores)
        sim.cores = cores;
    sim.tight_mail = one_in(3);
    sim.lossless = !sim.tight_mail;
    sim.starving = one_in(5);
    sim.remembers = one_in(2);
    sim.policies = random_policies();
    sim.budget = one_in(3) ? INT64_C(1) << (20 + below(5)) : INT64_C(1) << 40;
    world_start(&sim.w, sim.cores, sim.policies, sim.budget);
    for (unsigned i = 0; i < sim.cores; i++)
        sim.w.core[i]->ops = &sim_core_ops;
}

static void delete_queues(void)
{
    for (unsigned i = 0; i < sim.cores; i++) {
        struct core *c = awake(i);
        struct queue *q;

        for (uint32_t at = 0; (q = slots_next(&c->slots, SLOT_QUEUE, &at)) != NULL;)
            names_delete(q, REASON_DELETED, true);
    }
}

/* Everybody leaves in good order: nothing may remain. */
static void empty_world(void)
{
    if (one_in(2)) {
        for (unsigned i = 0; i < sim.cores; i++)
            core_drain(awake(i));
        come_to_rest();
        for (unsigned i = 0; i < sim.cores; i++)
            must(sim.starving || core_drained(sim.w.core[i]),
                 "core %u: drained, and something is left", i);
    }
    for (unsigned i = 0; i < PARTIES; i++)
        if (sim.party[i].ep)
            disconnect(&sim.party[i]);
    come_to_rest();
    delete_queues();
    come_to_rest();
    for (unsigned i = 0; i < sim.cores; i++) {
        if (sim.starving) /* mail that found no room was not sent: others wait for it still */
            continue;
        must(sim.w.core[i]->used == 0, "core %u: %lld bytes charged for nothing", i,
             (long long)sim.w.core[i]->used);
        must(map_len(&sim.w.core[i]->names) == 0, "core %u: names that lead nowhere", i);
        must(tree_counts(sim.w.core[i]->tree).bindings == 0, "core %u: bindings of nobody's", i);
    }
}

static void stop(void)
{
    world_stop(&sim.w);
    policy_set_unref(sim.policies);
    for (unsigned i = 0; i < CONSUMERS; i++)
        free(sim.eater[i].log);
    for (unsigned i = 0; i < PUBLISHERS; i++)
        free(sim.source[i].expect);
    for (unsigned i = 0; i < 64; i++)
        free(sim.told[i].record);
}

static void run(uint64_t seed, uint64_t steps, unsigned cores, bool talk)
{
    start(seed, cores);
    for (sim.step = 0; sim.step < steps; sim.step++)
        step_once();
    come_to_rest();
    if (talk)
        printf("seed %llu: %u cores, %llu steps: %llu published, %llu deliveries (%llu again), "
               "%llu lost and told, %llu with ids, %llu consumers ended, %llu times at rest\n",
               (unsigned long long)seed, sim.cores, (unsigned long long)steps,
               (unsigned long long)sim.published, (unsigned long long)sim.deliveries,
               (unsigned long long)sim.redeliveries, (unsigned long long)sim.gaps,
               (unsigned long long)sim.ids, (unsigned long long)sim.closings,
               (unsigned long long)sim.quiets);
    if (one_in(2))
        empty_world();
    stop();
}

int main(int argc, char **argv)
{
    static const struct sim_runs runs = {
        .name = "sim_core",
        .steps = 4000,
        .seconds = 5,
        .least = 20,
        .cores_max = WORLD_CORES,
        .run = run,
    };

    return sim_main(argc, argv, &runs);
}
