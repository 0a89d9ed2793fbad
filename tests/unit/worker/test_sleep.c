/* Between a worker's last look at its mailbox and its sleep others go on. Here something comes in
 * right behind each look, which a busy machine shows once in a thousand ends. The program is linked
 * with mailbox_is_empty() wrapped. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "brokerd/worker/internal.h"
#include "tests/unit/worker/fake_core.h"

enum { WORKERS = 3, PATIENCE_S = 30, ENDS = 300 };

/* ---- an end that must come within a time */

struct ending {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct workers *ws;
    bool is_over;
};

static void *join_all(void *arg)
{
    struct ending *e = arg;

    workers_join(e->ws);
    pthread_mutex_lock(&e->lock);
    e->is_over = true;
    pthread_cond_signal(&e->changed);
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

static void must_end(struct workers *ws)
{
    struct ending e = {
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .ws = ws};
    struct timespec until;
    pthread_t t;
    int r = 0;

    workers_stop(ws);
    ck_assert_int_eq(pthread_create(&t, NULL, join_all, &e), 0);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&e.lock);
    while (!e.is_over && r == 0)
        r = pthread_cond_timedwait(&e.changed, &e.lock, &until);
    pthread_mutex_unlock(&e.lock);
    ck_assert_msg(e.is_over, "a worker sleeps, and nobody will wake it");
    pthread_join(t, NULL);
}

static struct workers *make(unsigned n)
{
    struct workers_options o = {.n = n, .memory = 64 << 20};
    struct workers *ws = NULL;

    ck_assert_int_eq(workers_new(&o, &ws), 0);
    return ws;
}

/* ---- what comes behind a look */

static atomic_int looks_left; /* so many looks are followed by something; below 0: none */

/* A batch that comes home: it wakes nobody. */
static void come_home(struct mailbox *m)
{
    struct batch *b = batch_new(64);

    if (!b)
        abort();
    b->is_read = true;
    mailbox_push(m, b, b);
}

bool __real_mailbox_is_empty(struct mailbox *m);
bool __wrap_mailbox_is_empty(struct mailbox *m);

bool __wrap_mailbox_is_empty(struct mailbox *m)
{
    bool empty = __real_mailbox_is_empty(m);

    if (empty && atomic_fetch_sub(&looks_left, 1) > 0)
        come_home(m);
    return empty;
}

/* ---- tests */

/* The first look that finds nothing is followed by a batch, or the first two, and so on. */
START_TEST(batches_that_come_home_late_keep_nobody)
{
    struct workers *ws = make(1 + (unsigned)_i % WORKERS);

    atomic_store(&looks_left, _i);
    ck_assert_int_eq(workers_start(ws), 0);
    must_end(ws);
    ck_assert_int_lt(atomic_load(&looks_left), _i);
    workers_free(ws);
}
END_TEST

static void hop(void *arg, struct worker *w)
{
    (void)arg;
    if (!w->is_stopping && worker_call(w, (w->id + 1) % w->group->n, hop, NULL) < 0)
        abort();
}

/* Calls go round and round until the end, so that batches come home all the time. */
START_TEST(workers_end_however_busy)
{
    atomic_store(&looks_left, 0);
    for (unsigned i = 0; i < ENDS; i++) {
        struct workers *ws = make(WORKERS);

        ck_assert_int_eq(workers_start(ws), 0);
        for (unsigned k = 0; k < i % 4; k++)
            ck_assert_int_eq(workers_call(ws, k % WORKERS, hop, NULL), 0);
        must_end(ws);
        workers_free(ws);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sleep");
    TCase *tc = tcase_create("sleep");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 2 * PATIENCE_S);
    tcase_add_loop_test(tc, batches_that_come_home_late_keep_nobody, 0, 12);
    tcase_add_test(tc, workers_end_however_busy);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
