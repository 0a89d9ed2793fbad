/* make_journal.c - the journal, in a directory of its own, with small segments. What its thread
 * wants run on the worker's waits here for a turn. */
#include "tests/suites/stores/calls.h"
#include "tests/suites/stores/suite.h"

#include <unistd.h>

enum { TURN_MS = 5 };

struct own {
    struct world *w;
    struct journal *journal;
    char path[256];
    struct calls calls;
};

static int on_call(void *ctx, unsigned to, journal_run_fn *run, void *arg)
{
    struct own *p = ctx;

    ck_assert_uint_eq(to, 0);
    return calls_push(&p->calls, run, arg);
}

static void on_stored(void *ctx, unsigned to, const struct stored *a)
{
    struct own *p = ctx;

    (void)to;
    suite_answer((struct core *)&p->w->node[0], a);
}

static void start(struct world *w)
{
    struct own *p = w->own;
    struct journal_options o = {
        .path = p->path,
        .segment_bytes = 1 << 20,
        .workers = 1,
        .ctx = p,
        .call = on_call,
        .stored = on_stored,
    };
    char text[512] = "";
    int r = journal_open(&o, &p->journal, text, sizeof text);

    ck_assert_msg(r == 0, "journal_open: %d, %s", r, text);
    w->node[0].store = journal_store(p->journal, 0);
    ck_assert_int_eq(journal_start(p->journal), 0);
}

static void begin(struct world *w)
{
    struct own *p = calloc(1, sizeof *p);
    const char *tmp = getenv("TMPDIR");

    w->own = p;
    p->w = w;
    (void)snprintf(p->path, sizeof p->path, "%s/journal.XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(p->path));
    calls_init(&p->calls);
}

static void turn(struct world *w)
{
    struct own *p = w->own;

    w->node[0].store->ops->flush(w->node[0].store);
    calls_wait(&p->calls, TURN_MS);
}

static void stop(struct world *w)
{
    struct own *p = w->own;

    w->node[0].store->ops->flush(w->node[0].store);
    journal_stop(p->journal);
    calls_run(&p->calls);
    journal_free(p->journal);
    p->journal = NULL;
}

static void clean(const char *path)
{
    char command[300];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
    if (system(command) != 0)
        fprintf(stderr, "%s is left\n", path);
}

static void end(struct world *w)
{
    struct own *p = w->own;

    clean(p->path);
    calls_fini(&p->calls);
    free(p);
}

const struct make make_journal = {
    .name = "journal",
    .nodes = 1,
    .begin = begin,
    .start = start,
    .turn = turn,
    .stop = stop,
    .end = end,
};
