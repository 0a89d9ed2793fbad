/* sim_makes.c - two makes of store must not be told apart: the same random operations at the edge
 *               of two brokers, one over the model, the other over the make that is tried.
 *
 * What     After each step both come to rest; then what consumers and publishers were told must be
 *          the same, and so must be depths, counters and what is seen by looking (inspect_queue(),
 *          inspect_peek()) of each queue. One core each, and one consumer a queue, so that nothing
 *          but the store can make a difference; tests/sim/sim_stores.c has the rest.
 * Usage    sim_makes [--make journal] [--seed N] [--steps N]; without a seed, SIM_SEED and the ones
 *          after it for SIM_SECONDS. */
#include "brokerd/store/memory/memory.h"
#include "tests/sim/broker.h"
#include "tests/suites/stores/calls.h"

#include <unistd.h>

enum { LOG_BYTES = 1 << 17, LOOK = 60 };

/* What one side was told in this step. */
struct told {
    char text[LOG_BYTES];
    size_t n;
    uint64_t gaps[REASON_TABLE_SIZE];
};

struct side {
    struct broker b;
    struct told eater[EATERS], writer[WRITERS];
    char looks[QUEUES][LOG_BYTES];
};

static struct sim {
    struct side side[2];
    struct memory_shelf *shelf;
    char path[256]; /* of the journal */
    uint64_t seed, random, step;
    const char *act; /* of this step */
    uint32_t uids;
    uint64_t published, delivered, restarts;
    int retains[QUEUES]; /* 0: not decided; 1: no; 2: yes */
} sim;

static void say_policy(const char *name)
{
    const struct queue_policy *p =
        &policy_set_find_queue(sim.side[0].b.policies, slice_str(name))->policy;

    fprintf(stderr,
            "%s: %s (%s after %lld), %lld messages, %lld bytes, ttl %lld, deliveries %d, ack %lld, "
            "dead letters: %s\n",
            name, overflow_name(p->overflow), overflow_name(p->block_fallback),
            (long long)p->block_timeout_ms, (long long)p->max_messages, (long long)p->max_bytes,
            (long long)p->message_ttl_ms, (int)p->max_deliveries, (long long)p->ack_timeout_ms,
            p->dead_letter);
}

static void clean(void)
{
    char command[300];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", sim.path);
    if (system(command) != 0)
        fprintf(stderr, "sim_makes: %s is left\n", sim.path);
}

void fail(const char *format, ...)
{
    va_list ap;

    fprintf(stderr, "sim_makes --seed %llu, step %llu: ", (unsigned long long)sim.seed,
            (unsigned long long)sim.step);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fprintf(stderr, "\nafter: %s\n", sim.act);
    for (unsigned i = 0; sim.side[0].b.policies && i < QUEUES; i++)
        say_policy(queue_names[i]);
    clean();
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

/* --------------------------------------------------------------------------------- the model */

static void memory_start(struct broker *b)
{
    struct memory_options o = {.shelf = sim.shelf, .core = b->w.core[0], .answer = core_stored};

    b->store[0] = memory_store_new(&o);
}

static bool memory_answer(struct broker *b, unsigned core)
{
    memory_shelf_clock(sim.shelf, b->w.now);
    return memory_store_answer(b->store[core]) > 0;
}

static bool memory_idle(struct broker *b)
{
    return memory_store_idle(b->store[0]);
}

static void memory_stop(struct broker *b)
{
    memory_store_kill(b->store[0]); /* nothing is on its way */
}

static void memory_end(struct broker *b)
{
    memory_store_free(b->store[0]);
}

static const struct bench bench_memory = {
    .name = "memory",
    .level = DURABLE_JOURNAL,
    .start = memory_start,
    .answer = memory_answer,
    .idle = memory_idle,
    .stop = memory_stop,
    .end = memory_end,
};

/* ------------------------------------------------------------------------------- the journal */

struct journal_own {
    struct broker *b;
    struct journal *journal;
    struct calls calls;
};

static int journal_call(void *ctx, unsigned to, journal_run_fn *run, void *arg)
{
    struct journal_own *own = ctx;

    (void)to;
    return calls_push(&own->calls, run, arg);
}

static void journal_stored(void *ctx, unsigned to, const struct stored *a)
{
    struct journal_own *own = ctx;

    core_stored(own->b->w.core[to], a);
}

static void journal_begin(struct broker *b)
{
    struct journal_own *own = calloc(1, sizeof *own);
    struct journal_options o = {
        .path = sim.path,
        .segment_bytes = 1 << 16,
        .workers = 1,
        .ctx = own,
        .call = journal_call,
        .stored = journal_stored,
    };
    char text[512] = "";
    int r;

    b->own = own;
    own->b = b;
    calls_init(&own->calls);
    r = journal_open(&o, &own->journal, text, sizeof text);
    must(r == 0, "journal_open: %d, %s", r, text);
    b->store[0] = journal_store(own->journal, 0);
    must(journal_start(own->journal) == 0, "journal_start");
}

/* Settlements may wait for company: nobody waits for them. */
static bool journal_idle(struct broker *b)
{
    struct core *c = b->w.core[0];
    struct queue *q;

    if (!core_has_found(c) || !list_empty(&c->questions))
        return false;
    for (uint32_t at = 0; (q = slots_next(&c->slots, SLOT_QUEUE, &at)) != NULL;)
        if (q->making || (q->backlog->stored &&
                          (durable_unstored(q->backlog->stored) || q->backlog->stored->fetching ||
                           q->backlog->stored->rewinds || !q->backlog->stored->open)))
            return false;
    return true;
}

static bool journal_answer(struct broker *b, unsigned core)
{
    struct journal_own *own = b->own;

    (void)core;
    if (journal_idle(b))
        return calls_run(&own->calls) > 0;
    return calls_wait(&own->calls, 20) > 0;
}

static void journal_ends(struct broker *b)
{
    struct journal_own *own = b->own;

    journal_stop(own->journal);
    calls_run(&own->calls);
}

static void journal_over(struct broker *b)
{
    struct journal_own *own = b->own;

    journal_free(own->journal);
    calls_fini(&own->calls);
    free(own);
}

static const struct bench bench_journal = {
    .name = "journal",
    .level = DURABLE_JOURNAL,
    .start = journal_begin,
    .answer = journal_answer,
    .idle = journal_idle,
    .stop = journal_ends,
    .end = journal_over,
};

/* --------------------------------------------------------------------------- what is told */

__attribute__((format(printf, 2, 3))) static void note(struct told *t, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    t->n += (size_t)vsnprintf(t->text + t->n, LOG_BYTES - t->n, format, ap);
    va_end(ap);
    must(t->n < LOG_BYTES, "too much was told");
}

static struct side *side_of(const struct broker *b)
{
    return b->test;
}

static void on_deliver(struct eater *e, const struct delivery *d, uint32_t i, uint64_t key,
                       bool dead)
{
    note(&side_of(e->b)->eater[e - e->b->eater], "%s%llx seq %llu attempt %u at %lld id %llx\n",
         dead ? "dead " : "", (unsigned long long)key, (unsigned long long)(d->seq + i), d->attempt,
         (long long)d->time_ms, (unsigned long long)(dead ? 0 : d->id + i));
    sim.delivered++;
}

static void on_outcome(struct writer *s, uint64_t number, const struct outcome *o)
{
    note(&side_of(s->b)->writer[s - s->b->writer], "%llu: %s %u of %u\n",
         (unsigned long long)number, reason_name(o->reason), o->accepted, o->matched);
}

static void on_closed(struct eater *e, enum reason why, uint64_t lost)
{
    note(&side_of(e->b)->eater[e - e->b->eater], "closed: %s, %llu lost\n", reason_name(why),
         (unsigned long long)lost);
}

static void on_gap(struct eater *e, const struct gap *g)
{
    side_of(e->b)->eater[e - e->b->eater].gaps[g->reason] += g->count;
}

/* ------------------------------------------------------------------------------ comparison */

struct look {
    char *at, *end;
};

static bool look_at(void *ctx, const struct inspect_message *m)
{
    struct look *l = ctx;
    uint64_t key = 0;

    memcpy(&key, m->data.p, m->data.n < 8 ? m->data.n : 8);
    l->at +=
        snprintf(l->at, (size_t)(l->end - l->at),
                 "  %llu: %llx, %zu bytes, %u times, %s, of %lld\n", (unsigned long long)m->seq,
                 (unsigned long long)key, m->data.n, m->attempts, m->state, (long long)m->time_ms);
    must(l->at < l->end, "too much to see");
    return true;
}

static void look_queue(struct side *s, unsigned i)
{
    char *at = s->looks[i], *end = at + LOG_BYTES;
    struct core *c = s->b.w.core[0];
    struct question *rest = NULL;
    struct inspect_queue q;
    unsigned home;
    const struct queue *queue = broker_queue(&s->b, i, &home);
    uint64_t n;
    enum reason why;

    if (!queue || !inspect_queue(c, queue->handle, &q)) {
        (void)snprintf(at, LOG_BYTES, "not there\n");
        return;
    }
    at += snprintf(at, LOG_BYTES,
                   "depth %llu, %llu bytes, unacked %llu, delayed %llu, held %llu, consumers %u, "
                   "oldest %lld\n",
                   (unsigned long long)q.depth, (unsigned long long)q.bytes,
                   (unsigned long long)q.unacked, (unsigned long long)q.delayed,
                   (unsigned long long)q.held, q.consumers, (long long)q.oldest_ms);
    at += snprintf(at, (size_t)(end - at),
                   "published %llu, delivered %llu, acked %llu, nacked %llu, again %llu, late "
                   "%llu, timeouts %llu, dead %llu\n",
                   (unsigned long long)q.count.published, (unsigned long long)q.count.delivered,
                   (unsigned long long)q.count.acked, (unsigned long long)q.count.nacked,
                   (unsigned long long)q.count.redelivered, (unsigned long long)q.count.late,
                   (unsigned long long)q.count.timeouts, (unsigned long long)q.count.dead_lettered);
    for (unsigned r = 0; r < REASON_TABLE_SIZE; r++)
        if (q.count.reason[r])
            at += snprintf(at, (size_t)(end - at), "%s %llu\n", reason_name((enum reason)r),
                           (unsigned long long)q.count.reason[r]);
    must(core_queue_look(c, queue->handle, LOOK, &rest) == 0, "look");
    broker_calm(&s->b);
    must(!rest || core_question_over(rest, &n, &why), "a look that is not over");
    must(inspect_peek(c, queue->handle, LOOK, rest, look_at, &(struct look){at, end}) == 0, "peek");
    core_question_close(rest);
}

static void same(const char *what, unsigned i, const char *a, const char *b)
{
    must(strcmp(a, b) == 0, "%s %u:\n%s--- and with the %s:\n%s", what, i, a,
         sim.side[1].b.bench->name, b);
}

static void compare(void)
{
    struct side *s = sim.side;

    for (unsigned k = 0; k < 2; k++)
        broker_rest(&s[k].b);
    for (unsigned i = 0; i < EATERS; i++) {
        same("consumer", i, s[0].eater[i].text, s[1].eater[i].text);
        for (unsigned r = 0; r < REASON_TABLE_SIZE; r++)
            must(s[0].eater[i].gaps[r] == s[1].eater[i].gaps[r], "consumer %u: gaps of %s", i,
                 reason_name((enum reason)r));
    }
    for (unsigned i = 0; i < WRITERS; i++)
        same("publisher", i, s[0].writer[i].text, s[1].writer[i].text);
    for (unsigned i = 0; i < QUEUES; i++) {
        for (unsigned k = 0; k < 2; k++)
            look_queue(&s[k], i);
        same("queue", i, s[0].looks[i], s[1].looks[i]);
    }
    must(s[0].b.w.now == s[1].b.w.now, "their clocks");
}

/* Nothing was told yet. */
static void clear(void)
{
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; i < EATERS; i++) {
            sim.side[k].eater[i].n = 0;
            sim.side[k].eater[i].text[0] = '\0';
        }
        for (unsigned i = 0; i < WRITERS; i++) {
            sim.side[k].writer[i].n = 0;
            sim.side[k].writer[i].text[0] = '\0';
        }
    }
}

/* -------------------------------------------------------------------- the same for both sides */

static struct policy_set *random_policies(void)
{
    static const enum overflow overflow[] = {OVERFLOW_DROP_OLDEST, OVERFLOW_DROP_NEWEST,
                                             OVERFLOW_REJECT, OVERFLOW_BLOCK};
    struct policy_globals globals = policy_globals_default();
    struct policy_set *set;

    if (policy_set_new(&globals, &set) < 0)
        abort();
    for (unsigned i = 0; i < QUEUES; i++) {
        struct queue_policy p = policy_default(POLICY_QUEUE);

        p.durable = DURABLE_JOURNAL;
        p.max_messages = one_in(2) ? 2 + below(60) : POLICY_UNLIMITED;
        p.max_bytes = one_in(3) ? 1000 + below(100000) : POLICY_UNLIMITED;
        p.overflow = overflow[below(4)];
        p.block_timeout_ms = 1 + (int64_t)below(500);
        p.block_fallback = overflow[below(3)];
        p.max_deliveries = one_in(2) ? POLICY_UNLIMITED32 : 1 + (uint32_t)below(5);
        p.message_ttl_ms = one_in(2) ? POLICY_NEVER : 1 + (int64_t)below(3000);
        p.ack_timeout_ms = one_in(2) ? POLICY_NEVER : 1 + (int64_t)below(3000);
        p.expires_ms = POLICY_NEVER;
        /* Their clocks differ; and once it is decided it stays: the journal, started again with a
         * longer time, still has what a shorter one before had let go of. */
        if (!sim.retains[i])
            sim.retains[i] = one_in(2) ? 1 : 2;
        p.retain_ms = sim.retains[i] == 1 ? 0 : POLICY_NEVER;
        /* Letters of several queues would come in an order of chance; so would the end of those
         * that are there already. */
        if (i == QUEUES - 1) {
            p.max_messages = p.max_bytes = POLICY_UNLIMITED;
            p.message_ttl_ms = POLICY_NEVER;
        }
        if (i == 0 && one_in(2)) {
            (void)snprintf(p.dead_letter, sizeof p.dead_letter, "%s", queue_names[QUEUES - 1]);
            p.dead_letter_queue = true;
        }
        if (policy_set_add(set, POLICY_QUEUE, slice_str(queue_names[i]), &p, NULL, 0) < 0)
            abort();
    }
    return set;
}

static void publish(void)
{
    unsigned i = (unsigned)below(WRITERS), queue = (unsigned)below(QUEUES);
    uint32_t n = 1 + (uint32_t)below(one_in(4) ? BATCH : 4), len[BATCH];
    int64_t ttl[BATCH];

    for (uint32_t k = 0; k < n; k++) {
        len[k] = 8 + (uint32_t)below(one_in(100) ? 80000 : 300);
        ttl[k] = one_in(20) ? 1 + (int64_t)below(2000) : 0;
    }
    /* How many of a run are dropped before the first is delivered depends on whether they are
     * stored all at once. */
    if (policy_set_find_queue(sim.side[0].b.policies, slice_str(queue_names[queue]))
            ->policy.overflow == OVERFLOW_DROP_OLDEST)
        n = 1;
    if (!sim.side[0].b.writer[i].ep)
        sim.uids++;
    for (unsigned k = 0; k < 2; k++) {
        struct broker *b = &sim.side[k].b;

        if (!b->writer[i].ep) {
            writer_open(b, i, 0, sim.uids);
            broker_calm(b);
        }
        n = writer_publish(b, i, queue, n, len, ttl);
    }
    sim.published += n;
}

/* NULL: where it left off. */
static const char *random_from(void)
{
    static char text[64];
    long long ms;

    switch (below(8)) {
    case 0:
        return "first";
    case 1:
        return "last";
    case 2:
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)below(sim.published + 2));
        return text;
    case 3:
        ms = (long long)below((uint64_t)sim.side[0].b.w.now + 1000);
        (void)snprintf(text, sizeof text, "1970-01-01T%02lld:%02lld:%02lld.%03lldZ",
                       ms / 3600000 % 24, ms / 60000 % 60, ms / 1000 % 60, ms % 1000);
        return text;
    default:
        return NULL;
    }
}

static void consume(void)
{
    unsigned i = (unsigned)below(QUEUES);
    uint64_t n = below(60);
    const char *from = random_from();
    bool leave = one_in(10);

    for (unsigned k = 0; k < 2; k++) {
        struct broker *b = &sim.side[k].b;
        struct eater *e = &b->eater[i];

        if (e->ep && (!e->k || leave))
            eater_leave(b, i);
        else if (e->ep && n)
            eater_grant(b, i, n);
        else if (!e->ep)
            note(&sim.side[k].eater[i], "%d\n", eater_attach(b, i, 0, i, n, from));
    }
}

static void settle(void)
{
    unsigned i = (unsigned)below(QUEUES), n = 1 + (unsigned)below(30);

    while (sim.side[0].b.eater[i].k && sim.side[0].b.eater[i].n && n--) {
        enum ack_verb verb = one_in(8) ? ACK_NACK : one_in(20) ? ACK_REJECT : ACK_DONE;
        uint32_t delay = verb == ACK_NACK && one_in(2) ? (uint32_t)below(2000) : 0;
        unsigned at = one_in(2) ? 0 : (unsigned)below(sim.side[0].b.eater[i].n);

        for (unsigned k = 0; k < 2; k++)
            (void)eater_settle(&sim.side[k].b, i, at, verb, delay);
    }
}

static void pass_time(void)
{
    int64_t ms = (int64_t)below(one_in(4) ? 5000 : 100);

    for (unsigned k = 0; k < 2; k++)
        sim.side[k].b.w.now += ms;
}

static void purge_or_delete(void)
{
    unsigned i = (unsigned)below(QUEUES);
    bool purge = one_in(2);

    if (!one_in(3))
        return;
    for (unsigned k = 0; k < 2; k++) {
        struct broker *b = &sim.side[k].b;
        struct question *rest = NULL;
        unsigned home;
        const struct queue *q = broker_queue(b, i, &home);
        uint64_t n = 0;

        if (!q)
            continue;
        if (purge)
            must(core_queue_purge(b->w.core[0], q->handle, &n, &rest) == 0, "purge");
        else
            must(core_queue_delete(b->w.core[0], q->handle, &n) == 0, "delete");
        core_question_close(rest);
        note(&sim.side[k].writer[0], "%llu purged or deleted\n", (unsigned long long)n);
    }
}

static void configure(void)
{
    struct policy_set *set;

    if (!one_in(5))
        return;
    set = random_policies();
    for (unsigned k = 0; k < 2; k++) {
        struct broker *b = &sim.side[k].b;

        core_configure(b->w.core[0], set);
        policy_set_unref(b->policies);
        b->policies = policy_set_ref(set);
    }
    policy_set_unref(set);
}

static void begin(struct broker *b, int64_t now)
{
    broker_start(b, 1, now);
    broker_calm(b);
    must(core_has_found(b->w.core[0]), "not all queues were found");
}

static void end(struct broker *b)
{
    b->bench->stop(b);
    world_stop(&b->w);
    b->bench->end(b);
}

static void restart(void)
{
    if (!one_in(4))
        return;
    sim.restarts++;
    for (unsigned k = 0; k < 2; k++) {
        struct broker *b = &sim.side[k].b;

        end(b);
        begin(b, b->w.now);
    }
}

static const struct {
    unsigned weight;
    const char *name;
    void (*act)(void);
} acts[] = {
    {100, "publish", publish}, {60, "consume", consume},       {80, "settle", settle},
    {30, "time", pass_time},   {10, "purge", purge_or_delete}, {4, "configure", configure},
    {24, "restart", restart},
};

static void act(void)
{
    unsigned sum = 0, pick;

    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        sum += acts[i].weight;
    pick = (unsigned)below(sum);
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        if (pick < acts[i].weight) {
            sim.act = acts[i].name;
            acts[i].act();
            return;
        }
        pick -= acts[i].weight;
    }
}

/* ------------------------------------------------------------------------------------- a run */

static void run(uint64_t seed, uint64_t steps, bool talk)
{
    const char *tmp = getenv("TMPDIR");
    struct policy_set *set;

    memset(&sim, 0, sizeof sim);
    sim.seed = sim.random = seed;
    sim.shelf = memory_shelf_new(false, seed);
    /* Where a sync costs nothing, if there is such a place: none of this is about disks. */
    (void)snprintf(sim.path, sizeof sim.path, "%s/sim-makes.XXXXXX",
                   tmp                             ? tmp
                   : access("/dev/shm", W_OK) == 0 ? "/dev/shm"
                                                   : "/tmp");
    if (!mkdtemp(sim.path))
        fail("no directory: %s", sim.path);
    set = random_policies();
    for (unsigned k = 0; k < 2; k++) {
        struct broker *b = &sim.side[k].b;

        b->bench = k ? &bench_journal : &bench_memory;
        b->test = &sim.side[k];
        b->policies = policy_set_ref(set);
        b->on_deliver = on_deliver;
        b->on_outcome = on_outcome;
        b->on_closed = on_closed;
        b->on_gap = on_gap;
        begin(b, 1000);
    }
    policy_set_unref(set);
    for (sim.step = 0; sim.step < steps; sim.step++) {
        clear();
        act();
        compare();
    }
    for (unsigned k = 0; k < 2; k++) {
        end(&sim.side[k].b);
        for (unsigned i = 0; i < EATERS; i++)
            free(sim.side[k].b.eater[i].hand);
        broker_free_policies(&sim.side[k].b);
    }
    memory_shelf_free(sim.shelf);
    clean();
    if (talk)
        printf("seed %llu: %llu published, %llu deliveries, %llu restarts\n",
               (unsigned long long)seed, (unsigned long long)sim.published,
               (unsigned long long)sim.delivered / 2, (unsigned long long)sim.restarts);
}

static uint64_t number(const char *text, uint64_t otherwise)
{
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

int main(int argc, char **argv)
{
    uint64_t seed = 0, steps = 400, first = number(getenv("SIM_SEED"), 1);
    double end_at = broker_seconds() + (double)number(getenv("SIM_SECONDS"), 10);

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = number(argv[i + 1], 0);
        else if (strcmp(argv[i], "--steps") == 0)
            steps = number(argv[i + 1], steps);
        else
            return fprintf(stderr, "sim_makes: what is %s?\n", argv[i]), 2;
    }
    if (seed) {
        run(seed, steps, true);
        return 0;
    }
    for (seed = first; seed < first + 2 || broker_seconds() < end_at; seed++)
        run(seed, steps, seed < first + 3);
    printf("%llu seeds of %llu steps\n", (unsigned long long)(seed - first),
           (unsigned long long)steps);
    return 0;
}
