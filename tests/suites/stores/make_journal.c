/* make_journal.c - the journal, in a directory of its own, with small segments. What its thread
 * wants run on the worker's waits here for a turn. */
#include "brokerd/store/journal/journal.h"
#include "tests/suites/stores/suite.h"

#include <pthread.h>
#include <unistd.h>

enum { CALLS_MAX = 65536, TURN_MS = 5 };

struct own {
    struct world *w;
    struct journal *journal;
    char path[256];
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct {
        journal_run_fn *run;
        void *arg;
    } call[CALLS_MAX];
    size_t calls;
};

static int on_call(void *ctx, unsigned to, journal_run_fn *run, void *arg)
{
    struct own *p = ctx;

    ck_assert_uint_eq(to, 0);
    pthread_mutex_lock(&p->lock);
    if (p->calls == CALLS_MAX)
        abort();
    p->call[p->calls].run = run;
    p->call[p->calls++].arg = arg;
    pthread_cond_signal(&p->came);
    pthread_mutex_unlock(&p->lock);
    return 0;
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
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->came, NULL);
}

/* What was called for, outside the lock. */
static size_t run_calls(struct own *p)
{
    size_t n = 0;

    pthread_mutex_lock(&p->lock);
    for (; n < p->calls; n++) {
        journal_run_fn *run = p->call[n].run;
        void *arg = p->call[n].arg;

        pthread_mutex_unlock(&p->lock);
        run(arg, NULL);
        pthread_mutex_lock(&p->lock);
    }
    p->calls = 0;
    pthread_mutex_unlock(&p->lock);
    return n;
}

static void turn(struct world *w)
{
    struct own *p = w->own;
    struct timespec until;

    w->node[0].store->ops->flush(w->node[0].store);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += TURN_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&p->lock);
    while (!p->calls && pthread_cond_timedwait(&p->came, &p->lock, &until) == 0)
        continue;
    pthread_mutex_unlock(&p->lock);
    run_calls(p);
}

static void stop(struct world *w)
{
    struct own *p = w->own;

    w->node[0].store->ops->flush(w->node[0].store);
    journal_stop(p->journal);
    run_calls(p);
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
