/* broker.h - a broker of N cores and its stores in one process, and parties that use its queues:
 *            what sim_stores.c kills and makes again, and sim_makes.c has two of.
 *
 * Shape    A *bench* is a make of store for it: how its stores are made, given time, freed. In a
 *          turn a core hears its store's answers, takes mail, and does what the test wants; then it
 *          ticks, and its store is flushed: only then others see what it posted, as in a worker.
 *          Each message has a key: writer (never the same again, not in another life either) and
 *          number. A writer publishes to queues by name, so a message is for one queue.
 * Thread   One. */
#ifndef TESTS_SIM_BROKER_H
#define TESTS_SIM_BROKER_H

#include "brokerd/core/durable.h"
#include "brokerd/core/inspect.h"
#include "brokerd/core/manage.h"
#include "tests/sim/run.h"
#include "tests/unit/core/world.h"

#include <stdarg.h>

enum { EATERS = 6, WRITERS = 4, QUEUES = 4, HANDS = 4096, BATCH = 40 };

/* The last one is where dead letters go. */
static const char *const queue_names[QUEUES] = {"q.one", "q.two", "q.three", "dead"};

struct broker;

struct bench {
    const char *name;
    enum durable level;
    /* Make stores for the cores there are, b->store[], on what was kept. */
    void (*start)(struct broker *b);
    /* Answers for a core, in its turn; whether there were any. */
    bool (*answer)(struct broker *b, unsigned core);
    /* Is there nothing more to come? */
    bool (*idle)(struct broker *b);
    /* The stores stop, before the cores are freed; and are freed, after them. `kill`: instead of
     * `stop`, the broker dies; NULL: it cannot. */
    void (*stop)(struct broker *b);
    void (*kill)(struct broker *b);
    void (*end)(struct broker *b);
    /* What was sent out is answered before anybody else has a turn; NULL: it need not be. */
    void (*wait)(struct broker *b);
};

/* A delivery that its consumer has. */
struct hand {
    uint64_t number, seq, key;
    uint32_t attempt;
};

struct eater {
    struct broker *b;
    struct endpoint *ep; /* NULL: not there */
    struct consumer *k;  /* NULL: it has ended */
    unsigned core, queue;
    uint64_t out, got, granted;
    bool slow;         /* what is delivered is not written */
    struct hand *hand; /* of HANDS: not settled, by number */
    unsigned n;
};

struct writer {
    struct broker *b;
    struct endpoint *ep;
    struct publisher *p;
    unsigned core;
    uint32_t uid;
    uint64_t sent, told, allowance;
};

struct broker {
    const struct bench *bench;
    void *own; /* the bench's */
    struct world w;
    struct policy_set *policies;
    struct store *store[WORLD_CORES];
    struct eater eater[EATERS];
    struct writer writer[WRITERS];
    /* What the test is told of; after it is noted here. */
    void *test;
    void (*on_deliver)(struct eater *e, const struct delivery *d, uint32_t i, uint64_t key,
                       bool dead);
    void (*on_outcome)(struct writer *s, uint64_t number, const struct outcome *o);
    void (*on_closed)(struct eater *e, enum reason why, uint64_t lost);
    void (*on_gap)(struct eater *e, const struct gap *g);
};

/* Say what is wrong, and with which seed; abort. The test's own. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);
#define must(cond, ...)                                                                            \
    do {                                                                                           \
        if (!(cond))                                                                               \
            fail(__VA_ARGS__);                                                                     \
    } while (0)

/* ------------------------------------------------------------------------------- messages */

static inline void write_body(uint8_t *p, uint64_t key, uint32_t len)
{
    memcpy(p, &key, 8);
    for (uint32_t i = 8; i < len; i++)
        p[i] = (uint8_t)(key + i);
}

static inline uint64_t read_key(const struct msg_view *v, bool *ret_dead)
{
    struct slice ignored;
    uint64_t key = 0;

    must(v->len >= 8, "a payload of %u bytes", v->len);
    memcpy(&key, v->data, 8);
    for (uint32_t i = 8; i < v->len; i++)
        must(v->data[i] == (uint8_t)(key + i), "%llx: byte %u is another", (unsigned long long)key,
             i);
    *ret_dead = v->meta && headers_find(v->meta->headers, SLICE("$dead-reason"), &ignored);
    return key;
}

/* ------------------------------------------------------------------------------- callbacks */

static inline uint64_t eater_deliver(void *ctx, const struct delivery *d)
{
    struct eater *e = ctx;

    must(e->ep && e->k, "delivered to one who left");
    must(d->first == e->got + 1, "delivery %llu after %llu", (unsigned long long)d->first,
         (unsigned long long)e->got);
    must(e->got + d->run.n <= e->granted, "more than was granted");
    for (unsigned i = 0; i < d->gaps_n; i++)
        e->b->on_gap(e, &d->gaps[i]);
    for (uint32_t i = 0; i < d->run.n; i++) {
        bool dead;
        uint64_t key = read_key(&d->run.v[i], &dead);

        e->got++;
        e->out += d->run.v[i].len + 9;
        must(e->n < HANDS, "a consumer's hands are full");
        e->hand[e->n++] = (struct hand){e->got, d->seq + i, key, d->attempt};
        e->b->on_deliver(e, d, i, key, dead);
    }
    if (!e->slow)
        core_written(e->ep, e->out);
    return e->out;
}

static inline void eater_ready(void *ctx)
{
    (void)ctx;
}

static inline void eater_closed(void *ctx, const struct refusal *why, uint64_t lost)
{
    struct eater *e = ctx;

    must(e->k, "closed before it was attached, or twice");
    e->k = NULL;
    e->n = 0;
    e->b->on_closed(e, why->reason, lost);
}

static inline void writer_settled(void *ctx, uint64_t upto, const struct outcome *o, size_t n)
{
    struct writer *s = ctx;

    must(s->ep, "settled: nobody asked");
    for (size_t i = 0; i < n; i++) {
        must(o[i].first == s->told + 1, "outcome of %llu after %llu",
             (unsigned long long)o[i].first, (unsigned long long)s->told);
        for (uint32_t k = 0; k < o[i].count; k++)
            s->b->on_outcome(s, ++s->told, &o[i]);
    }
    must(upto == s->told && upto <= s->sent, "told of what was not sent");
}

static inline void writer_granted(void *ctx, uint32_t n)
{
    ((struct writer *)ctx)->allowance += n;
}

static const struct endpoint_ops broker_eater_ops = {
    .door = "sim",
    .deliver = eater_deliver,
    .ready = eater_ready,
    .closed = eater_closed,
};

static const struct endpoint_ops broker_writer_ops = {
    .door = "sim",
    .settled = writer_settled,
    .granted = writer_granted,
};

/* ---------------------------------------------------------------------------- its life */

/* A broker of n cores on what is kept at a place. b->test and what goes with it are the test's. */
static inline void broker_start(struct broker *b, unsigned n, int64_t now)
{
    for (unsigned i = 0; i < EATERS; i++)
        b->eater[i] = (struct eater){.b = b, .hand = b->eater[i].hand};
    for (unsigned i = 0; i < WRITERS; i++)
        b->writer[i] = (struct writer){.b = b};
    world_start(&b->w, n, b->policies, INT64_C(1) << 40);
    b->w.now = now;
    for (unsigned i = 0; i < n; i++)
        core_clock(b->w.core[i], now, now);
    b->bench->start(b);
    for (unsigned i = 0; i < n; i++)
        core_set_store(b->w.core[i], b->bench->level, b->store[i]);
}

/* All mail for a core that others have let go out. */
static inline bool broker_mail(struct broker *b, unsigned core)
{
    bool moved = false;

    for (unsigned i = 0; i < b->w.n; i++)
        while (world_hand(&b->w, i, core))
            moved = true;
    return moved;
}

/* The end of a core's turn. */
static inline bool broker_turn_ends(struct broker *b, unsigned core)
{
    bool due = core_tick(b->w.core[core]) <= b->w.now;

    b->store[core]->ops->flush(b->store[core]);
    return due;
}

/* A turn in which a core does all there is. */
static inline bool broker_turn(struct broker *b, unsigned core)
{
    bool moved;

    core_clock(b->w.core[core], b->w.now, b->w.now);
    moved = b->bench->answer(b, core);
    moved |= broker_mail(b, core);
    return broker_turn_ends(b, core) || moved;
}

static inline bool broker_has_mail(const struct broker *b)
{
    for (unsigned i = 0; i < b->w.n; i++)
        for (unsigned j = 0; j < b->w.n; j++)
            if (b->w.box[i][j].first)
                return true;
    return false;
}

/* Turns until nothing moves, while no time passes. */
static inline void broker_calm(struct broker *b)
{
    double end = sim_seconds() + 20;

    for (unsigned i = 0; i < b->w.n; i++) /* what the test itself has asked for */
        b->store[i]->ops->flush(b->store[i]);
    for (unsigned calm = 0; calm < 2;) {
        bool moved = false;

        for (unsigned i = 0; i < b->w.n; i++)
            moved |= broker_turn(b, i);
        moved |= broker_has_mail(b) || !b->bench->idle(b);
        calm = moved ? 0 : calm + 1;
        must(sim_seconds() < end, "%s: never comes to rest", b->bench->name);
    }
}

/* The same, with the time that confirms which are put off and acks that wait for their turn need.
 */
static inline void broker_rest(struct broker *b)
{
    broker_calm(b);
    for (unsigned i = 0; i < 2; i++) {
        b->w.now += 20;
        broker_calm(b);
    }
}

static inline void broker_free_policies(struct broker *b)
{
    policy_set_unref(b->policies);
    b->policies = NULL;
}

/* ------------------------------------------------------------------------- what parties do */

/* `from`: where the queue is to go on (`$from`), or NULL. False: that was refused. */
static inline bool eater_attach(struct broker *b, unsigned i, unsigned core, unsigned queue,
                                uint64_t credit, const char *from)
{
    struct eater *e = &b->eater[i];
    struct endpoint_desc d = {.name = "eater"};
    struct consume_options o = {
        .queue = slice_str(queue_names[queue]), .manual_ack = true, .credit = credit};
    struct refusal why;
    uint8_t headers[96], *end; /* number, time and id of each message, not of a run's first */
    int r;

    end = headers_put(headers, SLICE("$facts"), SLICE("1"));
    if (from)
        end = headers_put(end, SLICE("$from"), slice_str(from));
    o.headers = slice_of(headers, (size_t)(end - headers));

    must(!e->ep, "an eater that is there");
    *e = (struct eater){.b = b, .core = core, .queue = queue, .granted = credit, .hand = e->hand};
    if (!e->hand)
        e->hand = malloc(HANDS * sizeof *e->hand);
    must(core_endpoint_open(b->w.core[core], &d, &broker_eater_ops, e, &e->ep) == 0, "endpoint");
    r = core_attach(e->ep, &o, e, &e->k, &why);
    must(r == 0 || (from && why.reason == REASON_INVALID), "attach: %d, %s", r, why.text);
    if (r == 0)
        return true;
    core_endpoint_close(e->ep);
    e->ep = NULL;
    return false;
}

static inline void eater_leave(struct broker *b, unsigned i)
{
    struct eater *e = &b->eater[i];

    core_endpoint_close(e->ep);
    e->ep = NULL;
    e->k = NULL;
    e->n = 0;
}

static inline void eater_grant(struct broker *b, unsigned i, uint64_t n)
{
    b->eater[i].granted += n;
    core_grant(b->eater[i].k, n);
}

/* Settle the delivery at place `at` of what it has. */
static inline struct hand eater_settle(struct broker *b, unsigned i, unsigned at,
                                       enum ack_verb verb, uint32_t arg_ms)
{
    struct eater *e = &b->eater[i];
    struct hand h = e->hand[at];
    int r = core_ack(e->k, h.number, 1, verb, arg_ms);

    must(r == 0, "ack: %d", r);
    memmove(&e->hand[at], &e->hand[at + 1], (e->n - at - 1) * sizeof *e->hand);
    e->n--;
    return h;
}

static inline void writer_open(struct broker *b, unsigned i, unsigned core, uint32_t uid)
{
    struct writer *s = &b->writer[i];
    struct endpoint_desc d = {.name = "writer"};

    must(!s->ep, "a writer that is there");
    *s = (struct writer){.b = b, .core = core, .uid = uid};
    must(core_endpoint_open(b->w.core[core], &d, &broker_writer_ops, s, &s->ep) == 0, "endpoint");
    must(core_publisher_open(s->ep, PUBLISH_WINDOW, s, &s->p) == 0, "publisher");
}

static inline void writer_leave(struct broker *b, unsigned i)
{
    core_endpoint_close(b->writer[i].ep);
    b->writer[i].ep = NULL;
}

/* Publish n messages, as far as its window lets it; how many those were. */
static inline uint32_t writer_publish(struct broker *b, unsigned i, unsigned queue, uint32_t n,
                                      const uint32_t *len, struct msg_meta *meta)
{
    struct writer *s = &b->writer[i];
    struct target to = {true, slice_str(queue_names[queue])};
    struct msg_view v[BATCH];
    struct run run = {.v = v, .type = {.id = CTYPE_NONE}};
    struct refusal why = {0};
    struct block *block;
    uint64_t bytes = 0;
    int r;

    run.n = n < s->allowance ? n : (uint32_t)s->allowance;
    if (!run.n)
        return 0;
    for (uint32_t k = 0; k < run.n; k++)
        bytes += len[k];
    block = block_new(bytes);
    for (uint32_t k = 0; k < run.n; k++) {
        bool plain = !meta[k].ttl_ms && !meta[k].headers.n;

        meta[k].type.id = CTYPE_NONE;
        v[k] = (struct msg_view){block->bytes + run.bytes, len[k], plain ? NULL : &meta[k], block};
        write_body(block->bytes + run.bytes, (uint64_t)s->uid << 32 | (s->sent + k + 1), len[k]);
        run.bytes += len[k];
    }
    s->sent += run.n;
    s->allowance -= run.n;
    r = core_publish(s->p, &to, &run, &why);
    must(r == 0, "publish: %d, %s", r, why.text);
    block_unref(block);
    return run.n;
}

/* The queue on its home core; NULL: it is not there. */
static inline struct queue *broker_queue(struct broker *b, unsigned queue, unsigned *ret_core)
{
    for (unsigned i = 0; i < b->w.n; i++) {
        uint64_t id = inspect_find_queue(b->w.core[i], slice_str(queue_names[queue]));
        struct queue *q;

        if (!id || inspect_home(id) != i)
            continue;
        q = slots_get(&b->w.core[i]->slots, SLOT_QUEUE, id);
        *ret_core = i;
        return q;
    }
    return NULL;
}

#endif
