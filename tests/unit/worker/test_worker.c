/* Workers pass entries and calls on in order, wake each other, and end together. */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "brokerd/core/store.h"
#include "brokerd/worker/worker.h"
#include "tests/unit/worker/fake_core.h"

enum { WORKERS = 4, PATIENCE_S = 30 };

/* ---- a place where the test waits for what happens on workers */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned done;

static void one_done(void)
{
    pthread_mutex_lock(&lock);
    done++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void wait_done(unsigned n)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&lock);
    while (done < n)
        ck_assert_msg(pthread_cond_timedwait(&changed, &lock, &until) == 0, "%u of %u done", done,
                      n);
    pthread_mutex_unlock(&lock);
}

static struct workers *make(unsigned n, enum placement placement)
{
    struct workers_options o = {.n = n, .placement = placement, .memory = 64 << 20};
    struct workers *ws = NULL;

    done = 0;
    ck_assert_int_eq(workers_new(&o, &ws), 0);
    return ws;
}

static void end(struct workers *ws)
{
    workers_stop(ws);
    workers_join(ws);
    workers_free(ws);
    memset(&fake_core, 0, sizeof fake_core);
}

/* For the many checks on workers' threads: ck_assert would write to a pipe each time. */
static void must(bool holds, const char *what)
{
    if (!holds)
        ck_abort_msg("%s", what);
}

/* ---- every worker floods every other; order is kept for each pair, nothing is lost */

enum { FLOOD = 20000, FLOOD_A_TURN = 700 };

struct numbered {
    struct entry head;
    uint32_t number, fill;
    uint8_t filling[];
};

/* One for each worker; touched by its thread only. */
static struct flood {
    uint32_t sent, heard[WORKERS], calls[WORKERS];
    unsigned complete;
} flood[WORKERS];

struct numbered_call {
    unsigned from;
    uint32_t number;
};

static void note(unsigned at, unsigned from)
{
    struct flood *f = &flood[at];

    if (f->heard[from] + f->calls[from] == FLOOD && ++f->complete == WORKERS)
        one_done();
}

static void flood_take(struct core *c, struct entry *e)
{
    struct flood *f = &flood[c->o.id];
    const struct numbered *n = (const struct numbered *)(const void *)e;

    must(n->number == f->heard[e->from] + f->calls[e->from], "entry in order");
    for (uint32_t i = 0; i < n->fill; i++)
        must(n->filling[i] == (uint8_t)n->number, "entry unharmed");
    f->heard[e->from]++;
    note(c->o.id, e->from);
}

static void flood_call(void *arg, struct worker *w)
{
    struct numbered_call *n = arg;
    struct flood *f = &flood[worker_id(w)];

    must(n->number == f->heard[n->from] + f->calls[n->from], "call in order");
    f->calls[n->from]++;
    note(worker_id(w), n->from);
    free(n);
}

static void flood_one(struct core *c, unsigned to, uint32_t number)
{
    uint32_t fill = number % 1000 == 999 ? 200000 : number % 97;
    struct numbered *n;

    if (number % 50 == 7) { /* a call between entries: in order with them */
        struct numbered_call *call = malloc(sizeof *call);

        *call = (struct numbered_call){c->o.id, number};
        must(worker_call(c->o.ctx, to, flood_call, call) == 0, "call posted");
        return;
    }
    n = (struct numbered *)(void *)c->o.ops->post(c->o.ctx, to, sizeof *n + fill, true, 0);
    must(n != NULL, "entry posted");
    n->head.kind = 1;
    n->number = number;
    n->fill = fill;
    memset(n->filling, (uint8_t)number, fill);
}

static int64_t flood_tick(struct core *c)
{
    struct flood *f = &flood[c->o.id];

    for (unsigned i = 0; i < FLOOD_A_TURN && f->sent < FLOOD; i++, f->sent++)
        for (unsigned to = 0; to < WORKERS; to++)
            flood_one(c, to, f->sent);
    return f->sent < FLOOD ? c->now_ms : INT64_MAX;
}

START_TEST(entries_and_calls_keep_their_order)
{
    struct workers *ws = make(WORKERS, PLACEMENT_SPREAD);

    memset(flood, 0, sizeof flood);
    fake_core.take = flood_take;
    fake_core.tick = flood_tick;
    ck_assert_int_eq(workers_start(ws), 0);
    wait_done(WORKERS);
    end(ws);
    for (unsigned i = 0; i < WORKERS; i++)
        ck_assert_uint_eq(flood[i].complete, WORKERS);
}
END_TEST

/* ---- a call goes round and round: each hop wakes a sleeper */

enum { ROUNDS = 5000 };
static atomic_uint hops;

static void hop(void *arg, struct worker *w)
{
    (void)arg;
    if (atomic_fetch_add(&hops, 1) + 1 == ROUNDS)
        one_done();
    else
        must(worker_call(w, (worker_id(w) + 1) % WORKERS, hop, NULL) == 0, "hop");
}

START_TEST(a_sleeper_is_woken)
{
    struct workers *ws = make(WORKERS, PLACEMENT_SPREAD);

    atomic_store(&hops, 0);
    ck_assert_int_eq(workers_start(ws), 0);
    ck_assert_int_eq(workers_call(ws, 2, hop, NULL), 0);
    wait_done(1);
    end(ws);
}
END_TEST

/* ---- without credit a pair takes 4 MiB, until the batches come back */

static unsigned released;

static void count_release(struct entry *e)
{
    ck_assert_uint_eq(e->kind, 1);
    released++;
}

START_TEST(what_has_no_credit_is_bounded)
{
    struct workers *ws = make(2, PLACEMENT_PACK);
    struct core *c = worker_core(workers_get(ws, 0));
    unsigned n = 0;
    struct entry *e;

    while ((e = c->o.ops->post(c->o.ctx, 1, 65536, false, 0)) != NULL) {
        ck_assert_uint_eq(e->size, 65536);
        ck_assert_uint_eq(e->from, 0);
        ck_assert_uint_eq((uintptr_t)e % 8, 0);
        e->kind = 1;
        n++;
    }
    ck_assert_uint_eq(n, WORKER_PAIR_MAX / 65536);
    ck_assert_uint_eq(worker_stats(workers_get(ws, 0)).refused_full, 1);
    e = c->o.ops->post(c->o.ctx, 1, 9, true, 0); /* with credit it is taken all the same */
    ck_assert_ptr_nonnull(e);
    ck_assert_uint_eq(e->size, 16);
    e->kind = 1;
    e = c->o.ops->post(c->o.ctx, 0, 8, false, 0); /* another pair has its own bound */
    ck_assert_ptr_nonnull(e);
    e->kind = 1;
    released = 0;
    fake_core.release = count_release;
    end(ws); /* never started: all is released */
    ck_assert_uint_eq(released, n + 2);
}
END_TEST

static void post_again(void *arg, struct worker *w)
{
    struct core *c = worker_core(w);
    struct entry *e = c->o.ops->post(c->o.ctx, 1, 8000, false, 0);

    (void)arg;
    must(e != NULL, "room again");
    e->kind = 1;
    one_done();
}

/* On worker 1, behind the flood: the batches before it go home before this call does. */
static void answer(void *arg, struct worker *w)
{
    must(worker_call(w, 0, post_again, arg) == 0, "answer");
}

static void fill_pair(void *arg, struct worker *w)
{
    struct core *c = worker_core(w);
    struct entry *e;

    while ((e = c->o.ops->post(c->o.ctx, 1, 8000, false, 0)) != NULL)
        e->kind = 1;
    must(worker_call(w, 1, answer, arg) == 0, "call");
}

START_TEST(read_batches_make_room_again)
{
    struct workers *ws = make(2, PLACEMENT_PACK);

    ck_assert_int_eq(workers_start(ws), 0);
    ck_assert_int_eq(workers_call(ws, 0, fill_pair, NULL), 0);
    wait_done(1);
    end(ws);
}
END_TEST

/* ---- time: a due time ends the sleep, and the clock is new when the core sees it */

static atomic_int ticks_left;
static int64_t wanted_ms;

static int64_t due_tick(struct core *c)
{
    if (c->now_ms < wanted_ms)
        return wanted_ms;
    wanted_ms = c->now_ms + 5;
    if (atomic_fetch_sub(&ticks_left, 1) == 1)
        one_done();
    return wanted_ms;
}

START_TEST(sleeps_until_due)
{
    struct workers *ws = make(1, PLACEMENT_PACK);

    fake_core.tick = due_tick;
    wanted_ms = 0;
    atomic_store(&ticks_left, 10);
    ck_assert_int_eq(workers_start(ws), 0);
    wait_done(1);
    workers_stop(ws);
    workers_join(ws);
    /* About one turn for each due time; a loop that spins would have thousands. */
    ck_assert_uint_le(worker_stats(workers_get(ws, 0)).turns, 100);
    end(ws);
}
END_TEST

/* ---- hooks */

static unsigned steps[4];

static bool hook_input(void *ctx)
{
    (void)ctx;
    return steps[0]++ < 3; /* three more turns at once */
}

static bool hook_output(void *ctx)
{
    (void)ctx;
    return steps[1]++ % 2 == 0; /* every other one calls the core */
}

static int64_t hook_release(void *ctx)
{
    (void)ctx;
    if (++steps[2] == 4)
        one_done();
    return INT64_MAX;
}

START_TEST(hooks_have_their_part_of_a_turn)
{
    static const struct worker_hook hook = {hook_input, hook_output, hook_release}, none;
    struct workers *ws = make(1, PLACEMENT_PACK);
    struct worker *w = workers_get(ws, 0);

    memset(steps, 0, sizeof steps);
    for (unsigned i = 0; i < WORKER_HOOKS; i++)
        ck_assert_int_eq(worker_add_hook(w, i ? &none : &hook, NULL), 0);
    ck_assert_int_eq(worker_add_hook(w, &hook, NULL), -ENOSPC);
    ck_assert_int_eq(workers_start(ws), 0);
    wait_done(1);
    workers_stop(ws);
    workers_join(ws);
    ck_assert_uint_eq(steps[1], 2 * steps[2]);
    ck_assert_uint_ge(worker_core(w)->ticks, steps[1]);
    end(ws);
}
END_TEST

/* ---- placement and the budget */

/* ---- stores */

static struct core *store_core;
static unsigned flushes;

static void count_flush(struct store *s)
{
    (void)s;
    must(store_core->ticks == ++flushes, "flushed once, after the tick");
    if (flushes == 4)
        one_done();
}

static bool still_counts(const struct store *s)
{
    (void)s;
    return flushes < 4;
}

static bool three_turns_more(void *ctx)
{
    (void)ctx;
    return flushes < 3;
}

START_TEST(stores_are_flushed_once_a_turn)
{
    static const struct store_ops ops = {
        .name = "counting", .flush = count_flush, .busy = still_counts};
    static const struct worker_hook hook = {.input = three_turns_more};
    struct store counting = {&ops};
    struct workers *ws = make(1, PLACEMENT_PACK);
    struct worker *w = workers_get(ws, 0);

    flushes = 0;
    store_core = worker_core(w);
    ck_assert_int_eq(worker_add_hook(w, &hook, NULL), 0);
    ck_assert(!worker_stores_busy(w));
    ck_assert_int_eq(worker_add_store(w, &counting), 0);
    ck_assert(worker_stores_busy(w));
    ck_assert_int_eq(workers_start(ws), 0);
    wait_done(1);
    workers_stop(ws);
    workers_join(ws);
    ck_assert_uint_eq(flushes, worker_core(w)->ticks);
    ck_assert(!worker_stores_busy(w));
    for (unsigned i = 1; i < WORKER_STORES; i++)
        ck_assert_int_eq(worker_add_store(w, &counting), 0);
    ck_assert_int_eq(worker_add_store(w, &counting), -ENOSPC);
    end(ws);
}
END_TEST

static bool answer_soon, answers_come, told;
static unsigned busy_turns;
static struct worker *store_worker;

/* As if each turn put a message, or had the answer to one. */
static void put_or_answer(struct store *s)
{
    struct worker_stats now = worker_stats(store_worker);

    (void)s;
    answer_soon = answers_come ? !answer_soon : true;
    flushes++;
    if (!told && (answers_come ? now.turns > now.sleeps + busy_turns + 2 : flushes == 100)) {
        told = true;
        one_done();
    }
}

static bool is_soon(const struct store *s)
{
    (void)s;
    return answer_soon;
}

static bool half_the_turns(void *ctx)
{
    bool more = flushes % 32 < 16;

    (void)ctx;
    busy_turns += more;
    return more;
}

static int64_t some_later(void *ctx)
{
    (void)ctx;
    return worker_now(store_worker) + 2;
}

/* One that answers in a moment, time and again: there are turns for which the worker was not woken.
 */
static void run_with_store(bool answers)
{
    static const struct store_ops ops = {
        .name = "prompt", .flush = put_or_answer, .busy = still_counts, .soon = is_soon};
    static const struct worker_hook hook = {.input = half_the_turns, .release = some_later};
    struct store prompt = {&ops};
    struct workers *ws = make(1, PLACEMENT_PACK);
    struct worker_stats all;

    store_worker = workers_get(ws, 0);
    flushes = busy_turns = 0;
    answers_come = answers;
    answer_soon = told = false;
    ck_assert_int_eq(worker_add_hook(store_worker, &hook, NULL), 0);
    ck_assert_int_eq(worker_add_store(store_worker, &prompt), 0);
    ck_assert_int_eq(workers_start(ws), 0);
    wait_done(1);
    workers_stop(ws);
    workers_join(ws);
    all = worker_stats(store_worker);
    if (!answers) /* it is told to stop in between, which is no sleep either */
        ck_assert_uint_le(all.turns, all.sleeps + busy_turns + 2);
    end(ws);
}

START_TEST(stays_awake_for_a_prompt_store)
{
    run_with_store(true);
}
END_TEST

START_TEST(sleeps_if_no_answer_comes)
{
    run_with_store(false);
}
END_TEST

START_TEST(spread_deals_in_turn)
{
    struct workers *ws = make(3, PLACEMENT_SPREAD);

    for (unsigned i = 0; i < 9; i++)
        ck_assert_uint_eq(workers_place(ws), i % 3);
    end(ws);
}
END_TEST

START_TEST(pack_fills_the_lowest_then_the_next)
{
    struct workers *ws = make(3, PLACEMENT_PACK);

    /* never started, so all of them are idle */
    for (unsigned i = 0; i < 1025; i++)
        ck_assert_uint_eq(workers_place(ws), 0);
    ck_assert_uint_eq(workers_place(ws), 1); /* 1025 more than the emptiest */
    for (unsigned i = 0; i < 10; i++)
        worker_left(workers_get(ws, 0));
    ck_assert_uint_eq(workers_place(ws), 0);
    ck_assert_uint_eq(worker_connections(workers_get(ws, 0)), 1016);
    end(ws);
}
END_TEST

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static atomic_bool work_is_over;

static void work(void *arg, struct worker *w)
{
    (void)arg;
    (void)w;
    one_done();
    while (!atomic_load(&work_is_over))
        sched_yield();
}

/* When a connection is first placed on `w`. */
static int64_t placed_on(struct workers *ws, unsigned w)
{
    int64_t until = now_ms() + PATIENCE_S * 1000;
    unsigned i;

    do {
        ck_assert_int_lt(now_ms(), until);
        sched_yield();
        i = workers_place(ws);
        worker_left(workers_get(ws, i));
    } while (i != w);
    return now_ms();
}

START_TEST(who_works_long_gets_no_more)
{
    struct workers *ws = make(2, PLACEMENT_PACK);
    int64_t since;

    ck_assert_int_eq(workers_start(ws), 0);
    atomic_store(&work_is_over, false);
    ck_assert_int_eq(workers_call(ws, 0, work, NULL), 0);
    wait_done(1);
    since = now_ms();
    placed_on(ws, 0);
    /* 70 % of a second, less what it worked when it started. */
    ck_assert_int_ge(placed_on(ws, 1) - since, 300);
    atomic_store(&work_is_over, true);
    placed_on(ws, 0);
    end(ws);
}
END_TEST

START_TEST(publishers_follow_one_by_one)
{
    struct workers *ws = make(2, PLACEMENT_SPREAD);

    ck_assert(!workers_may_follow(ws, 1));
    workers_set_placement(ws, PLACEMENT_PACK);
    ck_assert(workers_may_follow(ws, 1)); /* never started, so idle */
    ck_assert(!workers_may_follow(ws, 1));
    ck_assert(workers_may_follow(ws, 0));
    ck_assert_uint_eq(workers_place(ws), 0);
    worker_moved(workers_get(ws, 0), workers_get(ws, 1));
    ck_assert_uint_eq(worker_connections(workers_get(ws, 0)), 0);
    ck_assert_uint_eq(worker_connections(workers_get(ws, 1)), 1);
    end(ws);
}
END_TEST

START_TEST(the_budget_is_shared)
{
    struct workers *ws = make(2, PLACEMENT_PACK);
    struct core *a = worker_core(workers_get(ws, 0)), *b = worker_core(workers_get(ws, 1));
    const int64_t total = 64 << 20, step = 1 << 20;

    ck_assert_int_eq(a->o.ops->memory(a->o.ctx, 1000), total - 1000);
    ck_assert_int_eq(workers_memory_left(ws), total - 1000 - step);
    ck_assert_int_eq(a->o.ops->memory(a->o.ctx, 1000), total - 2000); /* of what was drawn */
    ck_assert_int_eq(workers_memory_left(ws), total - 1000 - step);
    ck_assert_int_le(b->o.ops->memory(b->o.ctx, total), 0); /* granted, and overdrawn */
    ck_assert_int_lt(a->o.ops->memory(a->o.ctx, 0), 0);
    b->o.ops->memory(b->o.ctx, -total);
    a->o.ops->memory(a->o.ctx, -2000);
    ck_assert_int_ge(workers_memory_left(ws), total - 4 * step);
    workers_set_memory(ws, total / 2);
    ck_assert_uint_eq(workers_memory(ws), total / 2);
    ck_assert_int_le(a->o.ops->memory(a->o.ctx, 0), total / 2);
    end(ws);
}
END_TEST

/* What an entry only points to is on its way, too; but nothing is too large to go alone. */
START_TEST(what_entries_refer_to_counts)
{
    struct workers *ws = make(2, PLACEMENT_PACK);
    struct core *c = worker_core(workers_get(ws, 0));
    struct entry *e = c->o.ops->post(c->o.ctx, 1, 64, true, 8 * WORKER_PAIR_MAX);

    ck_assert_ptr_nonnull(e); /* somebody's credit bounds it: it is not in others' way */
    e->kind = 1;
    e = c->o.ops->post(c->o.ctx, 1, 64, false, 8 * WORKER_PAIR_MAX);

    ck_assert_ptr_nonnull(e);
    e->kind = 1;
    ck_assert_ptr_null(c->o.ops->post(c->o.ctx, 1, 64, false, 0));
    end(ws);
}
END_TEST

START_TEST(hashes_have_a_seed_of_the_process)
{
    struct workers *one = make(2, PLACEMENT_PACK), *other = make(1, PLACEMENT_PACK);
    uint64_t seed = worker_core(workers_get(one, 0))->o.seed;

    ck_assert_uint_ne(seed, 0);
    ck_assert_uint_eq(worker_core(workers_get(one, 1))->o.seed, seed);
    ck_assert_uint_ne(worker_core(workers_get(other, 0))->o.seed, seed);
    end(one);
    end(other);
}
END_TEST

START_TEST(options_are_checked)
{
    struct workers *ws = NULL;

    ck_assert_int_eq(workers_new(&(struct workers_options){.n = 0}, &ws), -EINVAL);
    ck_assert_int_eq(workers_new(&(struct workers_options){.n = 65}, &ws), -EINVAL);
    ck_assert_ptr_null(ws);
    ws = make(64, PLACEMENT_PACK);
    ck_assert_uint_eq(workers_count(ws), 64);
    ck_assert_int_eq(workers_start(ws), 0);
    end(ws);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker");
    TCase *tc = tcase_create("worker");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 2 * PATIENCE_S);
    tcase_add_test(tc, entries_and_calls_keep_their_order);
    tcase_add_test(tc, a_sleeper_is_woken);
    tcase_add_test(tc, what_has_no_credit_is_bounded);
    tcase_add_test(tc, read_batches_make_room_again);
    tcase_add_test(tc, sleeps_until_due);
    tcase_add_test(tc, hooks_have_their_part_of_a_turn);
    tcase_add_test(tc, stores_are_flushed_once_a_turn);
    tcase_add_test(tc, stays_awake_for_a_prompt_store);
    tcase_add_test(tc, sleeps_if_no_answer_comes);
    tcase_add_test(tc, spread_deals_in_turn);
    tcase_add_test(tc, pack_fills_the_lowest_then_the_next);
    tcase_add_test(tc, who_works_long_gets_no_more);
    tcase_add_test(tc, publishers_follow_one_by_one);
    tcase_add_test(tc, the_budget_is_shared);
    tcase_add_test(tc, what_entries_refer_to_counts);
    tcase_add_test(tc, hashes_have_a_seed_of_the_process);
    tcase_add_test(tc, options_are_checked);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
