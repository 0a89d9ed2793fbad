/* sim_makes.c - the model of a store and the journal, side by side: pair.h.
 *
 * Usage    run.h. */
#include "brokerd/store/journal/journal.h"
#include "brokerd/store/memory/memory.h"
#include "tests/sim/makes/awaited.h"
#include "tests/sim/pair.h"
#include "tests/suites/stores/calls.h"

#include <sched.h>
#include <stddef.h>
#include <unistd.h>

static struct memory_shelf *shelf;
static char path[256]; /* of the journal */

static void clean(void)
{
    char command[300];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
    if (system(command) != 0)
        fprintf(stderr, "sim_makes: %s is left\n", path);
}

/* ------------------------------------------------------------------------------------ answers */

/* A queue that was found at start. */
struct found {
    struct stored a;
    uint8_t bytes[512]; /* what `a` tells of it */
};

/* In which order queues are found is a make's own, and what is due at the same time in several may
 * follow it: the core hears of them in this one. */
static struct found found[QUEUES];

static uint8_t *keep(struct slice *s, uint8_t *at)
{
    memcpy(at, s->p, s->n);
    s->p = at;
    return at + s->n;
}

static void on_found(const struct stored *a)
{
    const struct store_definition *def = &a->def;

    for (unsigned i = 0; i < QUEUES; i++) {
        struct found *f = &found[i];

        if (!slice_eq(def->name, slice_str(queue_names[i])))
            continue;
        must(def->name.n + def->filters.n + def->wishes.n <= sizeof f->bytes, "a long definition");
        f->a = *a;
        (void)keep(&f->a.def.wishes, keep(&f->a.def.filters, keep(&f->a.def.name, f->bytes)));
    }
}

static void on_stored(struct core *c, const struct stored *a)
{
    if (a->kind == STORED_FOUND) {
        on_found(a);
        return;
    }
    for (unsigned i = 0; a->kind == STORED_ALL_FOUND && i < QUEUES; i++) {
        if (found[i].a.def.name.n)
            core_stored(c, &found[i].a);
        found[i] = (struct found){0};
    }
    core_stored(c, a);
}

/* --------------------------------------------------------------------------------- the model */

static void memory_start(struct broker *b)
{
    struct memory_options o = {.shelf = shelf, .core = b->w.core[0], .answer = on_stored};

    b->store[0] = memory_store_new(&o);
}

static bool memory_answer(struct broker *b, unsigned core)
{
    memory_shelf_clock(shelf, b->w.now);
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

/* In which turns answers come is a matter of chance, and what is delivered, dropped or has expired
 * in between depends on it. So they come as the model's do: what was sent out by the end of a turn
 * is answered in the next one. */
struct journal_own {
    struct broker *b;
    struct journal *journal;
    struct calls calls;
    struct store_ops ops; /* the journal's, but for flush() */
    void (*flush)(struct store *s);
    struct awaited awaited;
    uint64_t told; /* answers so far */
    bool found;    /* all queues that there were at start */
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

    own->told++;
    own->found |= a->kind == STORED_ALL_FOUND;
    on_stored(own->b->w.core[to], a);
}

static void journal_flush(struct store *store)
{
    struct journal_own *own = (void *)((uintptr_t)store->ops - offsetof(struct journal_own, ops));

    awaited_flush(&own->awaited, store);
    own->flush(store);
}

/* It may be full, and tell so; but nothing is ever damaged here. */
static void journal_says(void *ctx, const struct journal_event *ev)
{
    (void)ctx;
    if (ev->kind == JOURNAL_DAMAGED) {
        fprintf(stderr, "the journal: %s\n", ev->text);
        abort();
    }
}

static void journal_begin(struct broker *b)
{
    struct journal_own *own = calloc(1, sizeof *own);
    struct journal_options o = {
        .path = path,
        .segment_bytes = 1 << 16,
        .workers = 1,
        .ctx = own,
        .call = journal_call,
        .stored = journal_stored,
        .event = journal_says,
    };
    char text[512] = "";
    int r;

    b->own = own;
    own->b = b;
    calls_init(&own->calls);
    r = journal_open(&o, &own->journal, text, sizeof text);
    must(r == 0, "journal_open: %d, %s", r, text);
    b->store[0] = journal_store(own->journal, 0);
    own->ops = *b->store[0]->ops;
    own->flush = own->ops.flush;
    own->ops.flush = journal_flush;
    b->store[0]->ops = &own->ops;
    must(journal_start(own->journal) == 0, "journal_start");
}

static bool journal_idle(struct broker *b)
{
    struct journal_own *own = b->own;

    return own->found && !awaited_untaken(&own->awaited, b->store[0]);
}

static bool journal_answer(struct broker *b, unsigned core)
{
    struct journal_own *own = b->own;
    uint64_t told = own->told;
    double end = sim_seconds() + 20;

    (void)core;
    while (!own->found && !calls_come(&own->calls, 20))
        must(sim_seconds() < end, "the journal does not start");
    /* That there are some is told once, a moment after they have come. */
    while (awaited_untaken(&own->awaited, b->store[0])) {
        bool any = calls_come(&own->calls, 20);

        if (any && !awaited_any(&own->awaited, b->store[0]))
            calls_run(&own->calls);
        else if (any)
            sched_yield();
        must(sim_seconds() < end, "the journal does not answer: %llu of %llu, %llu batches",
             (unsigned long long)own->awaited.upto, (unsigned long long)own->awaited.sent,
             (unsigned long long)journal_facts(own->journal).batches);
    }
    calls_run(&own->calls);
    return own->told > told;
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

/* ------------------------------------------------------------------------------------- a run */

static void makes_begin(uint64_t seed)
{
    const char *tmp = getenv("TMPDIR");

    shelf = memory_shelf_new(false, seed);
    /* Where a sync costs nothing, if there is such a place: none of this is about disks. */
    (void)snprintf(path, sizeof path, "%s/sim-makes.XXXXXX",
                   tmp                             ? tmp
                   : access("/dev/shm", W_OK) == 0 ? "/dev/shm"
                                                   : "/tmp");
    if (!mkdtemp(path))
        fail("no directory: %s", path);
}

static void makes_end(void)
{
    clean();
    memory_shelf_free(shelf);
}

static void run(uint64_t seed, uint64_t steps, unsigned cores, bool talk)
{
    static const struct pairing pairing = {
        .program = "sim_makes",
        .bench = {&bench_memory, &bench_journal},
        .nodes = 1,
        .rest_ms = 20,
        .unit_ms = 1,
        .most = 5000,
        .begin = makes_begin,
        .end = makes_end,
        .clean = clean,
    };

    (void)cores;
    pair_run(&pairing, seed, steps, talk);
}

int main(int argc, char **argv)
{
    static const struct sim_runs runs = {
        .name = "sim_makes",
        .steps = 400,
        .seconds = 10,
        .least = 2,
        .run = run,
    };

    return sim_main(argc, argv, &runs);
}
