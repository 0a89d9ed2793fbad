/* pair.h - two makes of store must not be told apart: the same random operations at the edge of
 *          two sides, one over the model, the other over the make that is tried.
 *
 * What     After each step both sides come to rest; then what consumers and publishers were told
 *          must be the same, and so must be depths, counters and what is seen by looking
 *          (inspect_queue(), inspect_peek(), facts) of each queue. A side is one broker, or of a
 *          shared make two, of one core each; a queue has one consumer at most, at either, so that
 *          nothing but the store can make a difference.
 * Shape    sim_makes.c and sim_redis.c say how the sides are made (struct pairing), and include
 *          this.
 * Thread   One. */
#ifndef TESTS_SIM_PAIR_H
#define TESTS_SIM_PAIR_H

#include "tests/sim/broker.h"

#include <errno.h>

enum { LOG_BYTES = 1 << 17, LOOK = 60, NODES_MAX = 2, IDS = 20, KILL_MOVES = 13 };

struct pairing {
    const char *program;
    const struct bench *bench[2]; /* the model's, the other's */
    bool shared;
    unsigned nodes;
    int64_t rest_ms; /* of the two moves of the clock after each step */
    int64_t unit_ms; /* what times are multiples of */
    unsigned most;   /* of those in one move */
    /* A place to keep things for a run, empty; its end; and what must not be left behind when the
     * program aborts. */
    void (*begin)(uint64_t seed);
    void (*end)(void);
    void (*clean)(void);
};

/* What one side was told in this step. */
struct told {
    char text[LOG_BYTES];
    size_t n;
    uint64_t gaps[REASON_TABLE_SIZE];
};

/* What any of several nodes may have been the one to do. */
struct counts {
    uint64_t lost[REASON_TABLE_SIZE], published, letters;
};

struct side {
    struct broker node[NODES_MAX];
    struct told eater[QUEUES], writer[WRITERS];
    char looks[QUEUES][LOG_BYTES];
    struct counts now[QUEUES], past[QUEUES]; /* of all nodes; of former lives */
};

static struct sim {
    const struct pairing *pair;
    struct side side[2];
    uint64_t seed, random, step;
    const char *act;     /* of this step */
    unsigned at[QUEUES]; /* the node of that queue's consumer */
    uint32_t uids;
    uint64_t published, delivered, restarts;
    int retains[QUEUES]; /* 0: not decided; 1: no; 2: yes */
} sim;

static void say_policy(const char *name)
{
    const struct queue_policy *p =
        &policy_set_find_queue(sim.side[0].node[0].policies, slice_str(name))->policy;

    fprintf(stderr,
            "%s: %s (%s after %lld), %lld messages, %lld bytes, ttl %lld, deliveries %d, ack %lld, "
            "dead letters: %s\n",
            name, overflow_name(p->overflow), overflow_name(p->block_fallback),
            (long long)p->block_timeout_ms, (long long)p->max_messages, (long long)p->max_bytes,
            (long long)p->message_ttl_ms, (int)p->max_deliveries, (long long)p->ack_timeout_ms,
            p->dead_letter);
}

void fail(const char *format, ...)
{
    va_list ap;

    fprintf(stderr, "%s --seed %llu, step %llu: ", sim.pair->program, (unsigned long long)sim.seed,
            (unsigned long long)sim.step);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fprintf(stderr, "\nafter: %s\n", sim.act ? sim.act : "the start");
    for (unsigned i = 0; sim.side[0].node[0].policies && i < QUEUES; i++)
        say_policy(queue_names[i]);
    sim.pair->clean();
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

/* ------------------------------------------------------------------------------------ turns */

/* What was sent out is answered. */
static void node_wait(struct broker *b)
{
    if (b->bench->wait)
        b->bench->wait(b);
}

/* Turns until nothing moves at any node, while no time passes. */
static void side_calm(struct side *s)
{
    double end = sim_seconds() + 20;

    for (unsigned i = 0; i < sim.pair->nodes; i++) {
        s->node[i].store[0]->ops->flush(s->node[i].store[0]); /* what the test itself asked for */
        node_wait(&s->node[i]);
    }
    for (unsigned calm = 0; calm < 2;) {
        bool moved = false;

        for (unsigned i = 0; i < sim.pair->nodes; i++) {
            struct broker *b = &s->node[i];

            moved |= broker_turn(b, 0);
            node_wait(b);
            moved |= broker_has_mail(b) || !b->bench->idle(b);
        }
        calm = moved ? 0 : calm + 1;
        must(sim_seconds() < end, "%s: never comes to rest", s->node[0].bench->name);
    }
}

static void side_move(struct side *s, int64_t ms)
{
    for (unsigned i = 0; i < sim.pair->nodes; i++)
        s->node[i].w.now += ms;
}

/* The same, with the time that confirms which are put off and acks that wait for their turn need.
 */
static void side_rest(struct side *s)
{
    side_calm(s);
    for (unsigned i = 0; i < 2; i++) {
        side_move(s, sim.pair->rest_ms);
        side_calm(s);
    }
}

static const struct queue_policy *policy_of(unsigned queue)
{
    return &policy_set_find_queue(sim.side[0].node[0].policies, slice_str(queue_names[queue]))
                ->policy;
}

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

static struct told *told_eater(struct eater *e)
{
    return &side_of(e->b)->eater[e - e->b->eater];
}

static uint64_t sum_of(struct slice s)
{
    uint64_t h = 0;

    for (size_t i = 0; i < s.n; i++)
        h = h * UINT64_C(0x9e3779b97f4a7c15) + s.p[i] + 1;
    return h;
}

static void on_deliver(struct eater *e, const struct delivery *d, uint32_t i, uint64_t key,
                       bool dead)
{
    const struct msg_meta *meta = d->run.v[i].meta;
    /* Shared: any node may be the one that publishes a letter, a moment sooner or later. */
    uint64_t id = dead || sim.pair->shared ? 0 : d->id + i;

    note(told_eater(e), "%s%llx seq %llu attempt %u at %lld id %llx, %llx\n", dead ? "dead " : "",
         (unsigned long long)key, (unsigned long long)(d->seq + i), d->attempt,
         (long long)(dead ? 0 : d->time_ms), (unsigned long long)id,
         (unsigned long long)(meta && !(dead && sim.pair->shared) ? sum_of(meta->headers) : 0));
    sim.delivered++;
}

static void on_outcome(struct writer *s, uint64_t number, const struct outcome *o)
{
    note(&side_of(s->b)->writer[s - s->b->writer], "%llu: %s %u of %u\n",
         (unsigned long long)number, reason_name(o->reason), o->accepted, o->matched);
}

static void on_closed(struct eater *e, enum reason why, uint64_t lost)
{
    note(told_eater(e), "closed: %s, %llu lost\n", reason_name(why), (unsigned long long)lost);
}

static void on_gap(struct eater *e, const struct gap *g)
{
    told_eater(e)->gaps[g->reason] += g->count;
}

/* ------------------------------------------------------------------------------ comparison */

struct look {
    char *at, *end;
};

__attribute__((format(printf, 2, 3))) static void say(struct look *l, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    l->at += vsnprintf(l->at, (size_t)(l->end - l->at), format, ap);
    va_end(ap);
    must(l->at < l->end, "too much to see");
}

static bool look_at(void *ctx, const struct inspect_message *m)
{
    struct slice ignored;
    bool dead = headers_find(m->headers, SLICE("$dead-reason"), &ignored);
    uint64_t key = 0;

    memcpy(&key, m->data.p, m->data.n < 8 ? m->data.n : 8);
    say(ctx, "  %llu: %llx, %zu bytes, %llx, %u times, %s, of %lld\n", (unsigned long long)m->seq,
        (unsigned long long)key, m->data.n,
        (unsigned long long)(dead && sim.pair->shared ? 0 : sum_of(m->headers)), m->attempts,
        m->state, (long long)(dead ? 0 : m->time_ms));
    return true;
}

static void look_counts(struct look *l, const struct inspect_queue *q)
{
    say(l,
        "depth %llu, %llu bytes, unacked %llu, delayed %llu, held %llu, consumers %u, oldest %lld, "
        "unstored %llu of %llu\n",
        (unsigned long long)q->depth, (unsigned long long)q->bytes, (unsigned long long)q->unacked,
        (unsigned long long)q->delayed, (unsigned long long)q->held, q->consumers,
        (long long)q->oldest_ms, (unsigned long long)q->unstored,
        (unsigned long long)q->unstored_bytes);
    say(l,
        "delivered %llu, acked %llu, nacked %llu, again %llu, late %llu, timeouts %llu, repeats "
        "%llu\n",
        (unsigned long long)q->count.delivered, (unsigned long long)q->count.acked,
        (unsigned long long)q->count.nacked, (unsigned long long)q->count.redelivered,
        (unsigned long long)q->count.late, (unsigned long long)q->count.timeouts,
        (unsigned long long)q->count.duplicates);
}

static void add_counts(struct counts *to, const struct inspect_queue *q)
{
    for (unsigned r = 0; r < REASON_TABLE_SIZE; r++)
        to->lost[r] += q->count.reason[r];
    to->published += q->count.published;
    to->letters += q->count.dead_lettered;
}

static void say_sum(struct look *l, const struct counts *c)
{
    say(l, "published %llu, dead %llu\n", (unsigned long long)c->published,
        (unsigned long long)c->letters);
    for (unsigned r = 0; r < REASON_TABLE_SIZE; r++)
        if (c->lost[r])
            say(l, "%s %llu\n", reason_name((enum reason)r), (unsigned long long)c->lost[r]);
}

/* A node is about to end. */
static void keep_counts(struct side *s, struct broker *b)
{
    struct inspect_queue q;
    unsigned home;

    for (unsigned i = 0; i < QUEUES; i++) {
        const struct queue *queue = broker_queue(b, i, &home);

        if (queue && inspect_queue(b->w.core[0], queue->handle, &q))
            add_counts(&s->past[i], &q);
    }
}

static void look_facts(struct look *l, unsigned queue, struct question *asked)
{
    const struct store_facts *f = asked ? core_question_facts(asked) : NULL;

    if (f)
        say(l, "next %llu, first %llu, %llu messages, %llu bytes, %llu returned, oldest of %lld\n",
            (unsigned long long)f->next, (unsigned long long)f->first,
            (unsigned long long)f->messages, (unsigned long long)f->bytes,
            (unsigned long long)f->returned, (long long)(queue == QUEUES - 1 ? 0 : f->oldest_ms));
}

/* What was asked of a node's queue. */
struct asked {
    const struct queue *queue; /* NULL: it is not there */
    struct question *facts, *rest;
};

static void look_node(struct side *s, unsigned i, unsigned node, const struct asked *a,
                      struct look *l)
{
    struct core *c = s->node[node].w.core[0];
    struct inspect_queue q;
    uint64_t n;
    enum reason why;

    if (!a->queue || !inspect_queue(c, a->queue->handle, &q)) {
        say(l, "not there\n");
        return;
    }
    look_counts(l, &q);
    add_counts(&s->now[i], &q);
    must(!a->facts || core_question_over(a->facts, &n, &why), "facts that are not over");
    look_facts(l, i, a->facts);
    must(!a->rest || core_question_over(a->rest, &n, &why), "a look that is not over");
    must(inspect_peek(c, a->queue->handle, LOOK, a->rest, look_at, l) == 0, "peek");
}

/* Look at all queues, at all nodes. */
static void look_all(struct side *s)
{
    struct asked asked[QUEUES][NODES_MAX] = {0};

    for (unsigned i = 0; i < QUEUES; i++) {
        for (unsigned k = 0; k < sim.pair->nodes; k++) {
            struct core *c = s->node[k].w.core[0];
            struct asked *a = &asked[i][k];
            unsigned home;

            a->queue = broker_queue(&s->node[k], i, &home);
            must(!a->queue || (core_queue_ask(c, a->queue->handle, 1000, &a->facts) == 0 &&
                               core_queue_look(c, a->queue->handle, LOOK, &a->rest) == 0),
                 "look");
        }
    }
    side_calm(s);
    for (unsigned i = 0; i < QUEUES; i++) {
        struct look l = {s->looks[i], s->looks[i] + LOG_BYTES};

        s->now[i] = s->past[i];
        for (unsigned k = 0; k < sim.pair->nodes; k++) {
            say(&l, "node %u: ", k);
            look_node(s, i, k, &asked[i][k], &l);
            core_question_close(asked[i][k].facts);
            core_question_close(asked[i][k].rest);
        }
        say_sum(&l, &s->now[i]);
    }
}

static void same(const char *what, unsigned i, const char *a, const char *b)
{
    must(strcmp(a, b) == 0, "%s %u:\n%s--- and with the %s:\n%s", what, i, a,
         sim.pair->bench[1]->name, b);
}

/* For who looks for a difference: SIM_TALK=1. */
static void talk(const struct side *s)
{
    printf("-- %llu: %s, at %lld\n", (unsigned long long)sim.step, sim.act,
           (long long)s->node[0].w.now);
    for (unsigned i = 0; i < QUEUES; i++)
        if (s->eater[i].n)
            printf("%s at %u:\n%s", queue_names[i], sim.at[i], s->eater[i].text);
    for (unsigned i = 0; i < WRITERS; i++)
        if (s->writer[i].n)
            printf("publisher %u:\n%s", i, s->writer[i].text);
}

static void compare(void)
{
    struct side *s = sim.side;

    for (unsigned k = 0; k < 2; k++)
        side_rest(&s[k]);
    if (getenv("SIM_TALK"))
        for (unsigned k = 0; k < 2; k++)
            talk(&s[k]);
    for (unsigned i = 0; i < QUEUES; i++) {
        same("consumer", i, s[0].eater[i].text, s[1].eater[i].text);
        for (unsigned r = 0; r < REASON_TABLE_SIZE; r++)
            must(s[0].eater[i].gaps[r] == s[1].eater[i].gaps[r], "consumer %u: gaps of %s", i,
                 reason_name((enum reason)r));
    }
    for (unsigned i = 0; i < WRITERS; i++)
        same("publisher", i, s[0].writer[i].text, s[1].writer[i].text);
    for (unsigned k = 0; k < 2; k++)
        look_all(&s[k]);
    for (unsigned i = 0; i < QUEUES; i++)
        same("queue", i, s[0].looks[i], s[1].looks[i]);
    must(s[0].node[0].w.now == s[1].node[0].w.now, "their clocks");
}

/* Nothing was told yet. */
static void clear(void)
{
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; i < QUEUES; i++) {
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

/* Up to n units. */
static int64_t some_time(uint64_t n)
{
    return sim.pair->unit_ms > 1 ? sim.pair->unit_ms * (int64_t)below(n / 100 + 1) + 1
                                 : 1 + (int64_t)below(n);
}

static struct queue_policy random_policy(unsigned i)
{
    static const enum overflow overflow[] = {OVERFLOW_DROP_OLDEST, OVERFLOW_DROP_NEWEST,
                                             OVERFLOW_REJECT, OVERFLOW_BLOCK};
    struct queue_policy p = policy_default(POLICY_QUEUE);

    p.durable = sim.pair->bench[0]->level;
    p.max_messages = one_in(2) ? 2 + below(60) : POLICY_UNLIMITED;
    p.max_bytes = one_in(3) ? 1000 + below(100000) : POLICY_UNLIMITED;
    p.overflow = overflow[below(4)];
    p.block_timeout_ms = some_time(500);
    p.block_fallback = overflow[below(3)];
    p.max_deliveries = one_in(2) ? POLICY_UNLIMITED32 : 1 + (uint32_t)below(5);
    p.message_ttl_ms = one_in(2) ? POLICY_NEVER : some_time(3000);
    p.ack_timeout_ms = one_in(2) ? POLICY_NEVER : some_time(3000);
    p.expires_ms = POLICY_NEVER;
    p.dedup_window_ms = one_in(2) ? POLICY_NEVER : some_time(5000);
    /* Their clocks differ; and once it is decided it stays: the journal, started again with a
     * longer time, still has what a shorter one before had let go of. Shared: it keeps no past. */
    if (!sim.retains[i])
        sim.retains[i] = sim.pair->shared || one_in(2) ? 1 : 2;
    p.retain_ms = sim.retains[i] == 1 ? 0 : POLICY_NEVER;
    /* Letters of several queues would come in an order of chance; so would the end of those
     * that are there already. */
    if (i == QUEUES - 1) {
        p.max_messages = p.max_bytes = POLICY_UNLIMITED;
        p.message_ttl_ms = POLICY_NEVER;
        if (sim.pair->shared) /* a letter may come in the next second */
            p.ack_timeout_ms = POLICY_NEVER;
    }
    if (i == 0 && one_in(2)) {
        (void)snprintf(p.dead_letter, sizeof p.dead_letter, "%s", queue_names[QUEUES - 1]);
        p.dead_letter_queue = true;
        if (sim.pair->shared) /* when, and by which node, is not said */
            p.message_ttl_ms = POLICY_NEVER;
    }
    return p;
}

static struct policy_set *random_policies(void)
{
    struct policy_globals globals = policy_globals_default();
    struct policy_set *set;

    if (policy_set_new(&globals, &set) < 0)
        abort();
    for (unsigned i = 0; i < QUEUES; i++) {
        struct queue_policy p = random_policy(i);

        if (policy_set_add(set, POLICY_QUEUE, slice_str(queue_names[i]), &p, NULL, 0) < 0)
            abort();
    }
    return set;
}

/* Which of a shared queue's publishers at several nodes waits for room first is a matter of chance:
 * they are all at one. */
static unsigned random_writer(unsigned queue)
{
    unsigned i = (unsigned)below(WRITERS), nodes = sim.pair->nodes;

    if (policy_of(queue)->overflow == OVERFLOW_BLOCK)
        i = (i - i % nodes + queue % nodes) % WRITERS;
    return i;
}

static struct slice random_headers(uint8_t *at, struct msg_meta *meta)
{
    uint8_t *end = at;

    if (one_in(4)) {
        char value[32];
        int n = snprintf(value, sizeof value, "%llu", (unsigned long long)below(1000000));

        end = headers_put(end, SLICE("colour"), slice_of(value, (size_t)n));
    }
    if (one_in(6)) {
        char id[32];
        int n = snprintf(id, sizeof id, "%llu", (unsigned long long)below(IDS));

        end = headers_put(end, SLICE("$dedup"), slice_of(id, (size_t)n));
        meta->dedup = true;
    }
    return slice_of(at, (size_t)(end - at));
}

/* What expires where so many wait that Redis does not look through all of them in one go: with a
 * large one among them that may be 100. */
static bool is_deep(unsigned queue)
{
    struct side *s = &sim.side[0];
    struct inspect_queue q;
    unsigned home;
    const struct queue *at = broker_queue(&s->node[0], queue, &home);

    return at && inspect_queue(s->node[0].w.core[0], at->handle, &q) && q.depth + BATCH > 100;
}

static void publish(void)
{
    static uint8_t headers[BATCH][64];
    unsigned queue = (unsigned)below(QUEUES), i = random_writer(queue);
    unsigned node = i % sim.pair->nodes;
    uint32_t n = 1 + (uint32_t)below(one_in(4) ? BATCH : 4), len[BATCH];
    uint32_t large = (uint32_t)below(100);
    /* Shared: several that drop the oldest do so at once, whether or not what expired among those
     * would have made more room than they need. */
    bool own_ttl = !sim.pair->shared ||
                   (queue != 0 && (policy_of(queue)->overflow != OVERFLOW_BLOCK ||
                                   policy_of(queue)->block_fallback != OVERFLOW_DROP_OLDEST));
    struct msg_meta meta[BATCH] = {0};

    if (sim.pair->shared && is_deep(queue))
        return;
    for (uint32_t k = 0; k < n; k++) { /* at most one large one, so that they go in one piece */
        len[k] = 8 + (uint32_t)below(k == large ? 80000 : 300);
        meta[k].ttl_ms = one_in(20) && own_ttl ? some_time(2000) : 0;
        meta[k].headers = random_headers(headers[k], &meta[k]);
    }
    /* How many of a run are dropped before the first is delivered depends on whether they are
     * stored all at once. */
    if (policy_of(queue)->overflow == OVERFLOW_DROP_OLDEST)
        n = 1;
    if (!sim.side[0].node[node].writer[i].ep)
        sim.uids++;
    for (unsigned k = 0; k < 2; k++) {
        struct broker *b = &sim.side[k].node[node];

        if (!b->writer[i].ep) {
            writer_open(b, i, 0, sim.uids);
            side_calm(&sim.side[k]);
        }
        n = writer_publish(b, i, queue, n, len, meta);
    }
    sim.published += n;
}

/* NULL: where it left off. */
static const char *random_from(void)
{
    static char text[64];
    long long ms;

    switch (below(sim.pair->shared ? 100 : 8)) {
    case 0:
        return "first";
    case 1:
        return "last";
    case 2:
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)below(sim.published + 2));
        return text;
    case 3:
        ms = (long long)below((uint64_t)sim.side[0].node[0].w.now + 1000);
        (void)snprintf(text, sizeof text, "1970-01-01T%02lld:%02lld:%02lld.%03lldZ",
                       ms / 3600000 % 24, ms / 60000 % 60, ms / 1000 % 60, ms % 1000);
        return text;
    default:
        return NULL;
    }
}

static struct eater *eater_of(unsigned side, unsigned queue)
{
    return &sim.side[side].node[sim.at[queue]].eater[queue];
}

static void consume(void)
{
    unsigned i = (unsigned)below(QUEUES);
    uint64_t n = below(60);
    const char *from = random_from();
    bool leave = one_in(10);

    if (!eater_of(0, i)->ep)
        sim.at[i] = (unsigned)below(sim.pair->nodes);
    for (unsigned k = 0; k < 2; k++) {
        struct eater *e = eater_of(k, i);

        if (e->ep && (!e->k || leave))
            eater_leave(e->b, i);
        else if (e->ep && n)
            eater_grant(e->b, i, n);
        else if (!e->ep)
            note(&sim.side[k].eater[i], "%d\n",
                 eater_attach(&sim.side[k].node[sim.at[i]], i, 0, i, n, from));
    }
}

static enum ack_verb random_verb(void)
{
    return one_in(8) ? ACK_NACK : one_in(20) ? ACK_REJECT : ACK_DONE;
}

static void settle(void)
{
    unsigned i = (unsigned)below(QUEUES), n = 1 + (unsigned)below(30);
    /* Shared: settlements go out in chunks, and those that are nacked in several come back in any
     * order. */
    enum ack_verb one = one_in(2) ? ACK_NACK : random_verb();
    /* Letters of what expires at once come by when that was due, or had been. */
    bool has_letters = sim.pair->shared && i == 0;

    while (eater_of(0, i)->k && eater_of(0, i)->n && n--) {
        enum ack_verb verb = sim.pair->shared && n > 1 ? one : random_verb();
        bool later = verb == ACK_NACK && one_in(2) && !has_letters;
        uint32_t delay = later ? (uint32_t)some_time(2000) : 0;
        unsigned at = one_in(2) ? 0 : (unsigned)below(eater_of(0, i)->n);

        for (unsigned k = 0; k < 2; k++)
            (void)eater_settle(eater_of(k, i)->b, i, at, verb, delay);
    }
}

static void pass_time(void)
{
    unsigned most = one_in(4) ? sim.pair->most : (sim.pair->most + 49) / 50;
    int64_t ms = sim.pair->unit_ms * (int64_t)(1 + below(most));

    for (unsigned k = 0; k < 2; k++)
        side_move(&sim.side[k], ms);
}

static void purge(struct side *s, unsigned node, const struct queue *q)
{
    struct question *rest = NULL;
    uint64_t n = 0, more = 0;
    enum reason why = REASON_NONE;

    must(core_queue_purge(s->node[node].w.core[0], q->handle, &n, &rest) == 0, "purge");
    side_calm(s);
    must(!rest || core_question_over(rest, &more, &why), "a purge that is not over");
    core_question_close(rest);
    note(&s->writer[0], "%llu and %llu purged, %s\n", (unsigned long long)n,
         (unsigned long long)more, reason_name(why));
}

static void purge_or_delete(void)
{
    unsigned i = (unsigned)below(QUEUES), node = (unsigned)below(sim.pair->nodes);
    bool is_purge = one_in(2);

    if (!one_in(3))
        return;
    for (unsigned k = 0; k < 2; k++) {
        struct broker *b = &sim.side[k].node[node];
        unsigned home;
        const struct queue *q = broker_queue(b, i, &home);
        uint64_t n = 0;

        if (!q)
            continue;
        if (is_purge) {
            purge(&sim.side[k], node, q);
            continue;
        }
        must(core_queue_delete(b->w.core[0], q->handle, &n) == 0, "delete");
        sim.side[k].past[i] = (struct counts){0};
        note(&sim.side[k].writer[0], "%llu deleted\n", (unsigned long long)n);
    }
}

/* From a queue that has no consumer, to another. Shared: all of it, to one that is never full: how
 * many are fetched, are not taken and come back is a matter of chance. */
static void move(void)
{
    unsigned i = (unsigned)below(QUEUES);
    unsigned to = sim.pair->shared ? QUEUES - 1 : (unsigned)below(QUEUES);
    unsigned node = (unsigned)below(sim.pair->nodes);
    uint64_t n = sim.pair->shared ? UINT32_MAX : 1 + below(20);

    if (i == to || eater_of(0, i)->ep)
        return;
    for (unsigned k = 0; k < 2; k++) {
        struct side *s = &sim.side[k];
        struct core *c = s->node[node].w.core[0];
        unsigned home;
        const struct queue *q = broker_queue(&s->node[node], i, &home);
        struct move *m = NULL;
        enum reason why;
        int r = q ? core_move_open(c, q->handle, slice_str(queue_names[to]), n, &m) : -ENOENT;

        must(r == 0 || r == -ENOENT, "move: %d", r);
        side_calm(s);
        for (unsigned turns = 0; m && core_move_step(m) != MOVE_OVER; turns++) {
            side_calm(s);
            if (turns > 5 && !sim.pair->shared) /* it waits for room there: no more of it */
                core_move_stop(m);
            if (turns > 20)
                break;
        }
        note(&s->writer[0], "%d: %llu moved", r,
             (unsigned long long)(m ? core_move_done(m, &why) : 0));
        note(&s->writer[0], ", %s\n", reason_name(m ? why : REASON_NONE));
        core_move_close(m);
    }
}

/* Is something on its way at a queue? What waits for room there, too. */
static bool is_anything_unstored(void)
{
    for (unsigned k = 0; k < sim.pair->nodes; k++) {
        struct core *c = sim.side[0].node[k].w.core[0];

        for (struct list_node *n = list_first(&c->durables); n; n = list_next(&c->durables, n))
            if (durable_unstored(LIST_ITEM(n, struct storage, link)))
                return true;
    }
    return false;
}

static void configure(void)
{
    struct policy_set *set;

    /* Shared: what waits for room does by the policy it came with, or by that which is new. */
    if (!one_in(5) || (sim.pair->shared && is_anything_unstored()))
        return;
    set = random_policies();
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; i < sim.pair->nodes; i++) {
            struct broker *b = &sim.side[k].node[i];

            core_configure(b->w.core[0], set);
            policy_set_unref(b->policies);
            b->policies = policy_set_ref(set);
            side_calm(&sim.side[k]);
        }
    }
    policy_set_unref(set);
}

static void begin(struct side *s, unsigned node, int64_t now)
{
    struct broker *b = &s->node[node];

    broker_start(b, 1, now);
    broker_calm(b);
    must(core_has_found(b->w.core[0]), "not all queues were found");
}

static void end(struct broker *b, bool kill)
{
    if (kill && b->bench->kill)
        b->bench->kill(b);
    else
        b->bench->stop(b);
    world_stop(&b->w);
    b->bench->end(b);
}

/* All leave, in good order. */
static void drain(struct side *s, unsigned node)
{
    struct broker *b = &s->node[node];

    for (unsigned i = 0; i < EATERS; i++)
        if (b->eater[i].ep)
            eater_leave(b, i);
    for (unsigned i = 0; i < WRITERS; i++)
        if (b->writer[i].ep)
            writer_leave(b, i);
    core_drain(b->w.core[0]);
    side_calm(s);
    must(core_drained(b->w.core[0]), "drained, and something is left");
}

/* One node, or all at once. Of a shared store others take over what a dead one had when it has not
 * been heard of for a while; the model does at once, so until then nobody asks for anything. */
static void restart(void)
{
    bool kill = !sim.pair->shared || one_in(3), all = one_in(2);
    unsigned only = (unsigned)below(sim.pair->nodes);

    if (!one_in(4) || (sim.pair->shared && is_anything_unstored()))
        return;
    sim.restarts++;
    sim.act = kill ? "kill" : "stop";
    for (unsigned k = 0; k < 2; k++) {
        struct side *s = &sim.side[k];

        for (unsigned i = 0; i < sim.pair->nodes; i++) {
            struct broker *b = &s->node[i];

            if (!all && i != only)
                continue;
            if (!kill)
                drain(s, i);
            if (sim.pair->shared)
                keep_counts(s, b);
            end(b, kill);
            begin(s, i, b->w.now);
        }
        for (unsigned i = 0; kill && sim.pair->shared && i < KILL_MOVES; i++) {
            side_move(s, sim.pair->rest_ms);
            side_calm(s);
        }
    }
}

static const struct {
    unsigned weight;
    const char *name;
    void (*act)(void);
} acts[] = {
    {100, "publish", publish},      {60, "consume", consume},
    {80, "settle", settle},         {30, "time", pass_time},
    {10, "purge", purge_or_delete}, {4, "configure", configure},
    {24, "restart", restart},       {10, "move", move},
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

static void start(const struct policy_set *set)
{
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; i < sim.pair->nodes; i++) {
            struct broker *b = &sim.side[k].node[i];

            b->bench = sim.pair->bench[k];
            b->test = &sim.side[k];
            b->policies = policy_set_ref((struct policy_set *)(uintptr_t)set);
            b->on_deliver = on_deliver;
            b->on_outcome = on_outcome;
            b->on_closed = on_closed;
            b->on_gap = on_gap;
            begin(&sim.side[k], i, 1000);
        }
    }
}

static void stop(void)
{
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; i < sim.pair->nodes; i++) {
            struct broker *b = &sim.side[k].node[i];

            end(b, true);
            for (unsigned n = 0; n < EATERS; n++)
                free(b->eater[n].hand);
            broker_free_policies(b);
        }
    }
}

static void pair_run(const struct pairing *p, uint64_t seed, uint64_t steps, bool talk)
{
    struct policy_set *set;

    memset(&sim, 0, sizeof sim);
    sim.pair = p;
    sim.seed = sim.random = seed;
    p->begin(seed);
    set = random_policies();
    start(set);
    policy_set_unref(set);
    for (sim.step = 0; sim.step < steps; sim.step++) {
        clear();
        act();
        compare();
    }
    stop();
    p->end();
    if (talk)
        printf("seed %llu: %llu published, %llu deliveries, %llu restarts\n",
               (unsigned long long)seed, (unsigned long long)sim.published,
               (unsigned long long)sim.delivered / 2, (unsigned long long)sim.restarts);
}

#endif
