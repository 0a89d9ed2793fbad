/* sim_makes.c - the model of a store and the journal, side by side: pair.h.
 *
 * Usage    run.h. */
#include "brokerd/store/memory/memory.h"
#include "tests/sim/pair.h"
#include "tests/suites/stores/calls.h"

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

/* --------------------------------------------------------------------------------- the model */

static void memory_start(struct broker *b)
{
    struct memory_options o = {.shelf = shelf, .core = b->w.core[0], .answer = core_stored};

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
        .path = path,
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
