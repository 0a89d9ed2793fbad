/* Memory runs out at any request while durable queues are made, asked about, rewound, moved and
 * deleted: whoever waits is answered, and nothing is kept that should have gone. */
#include "brokerd/core/inspect.h"
#include "brokerd/core/manage.h"
#include "tests/unit/core/fake_store.h"

#include <check.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static unsigned fail_at; /* the request that fails, counting down from here; 0: none */
static bool failed;      /* one has */

/* Checked while memory is short: the library that tells of failures needs some, too. */
static int wrong; /* the first line that was */
#define must(x) (wrong = wrong || (x) ? wrong : __LINE__)

static bool fails(void)
{
    if (fail_at == 0 || --fail_at > 0)
        return false;
    failed = true;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

static struct fake fake;
static struct world world;
static struct policy_set *policies;
static struct world_peer pub, a;

static bool ignore(void *ctx, const struct inspect_message *m)
{
    (void)ctx, (void)m;
    return true;
}

static void attach(const char *from)
{
    struct slice filter = SLICE("news.*");
    uint8_t headers[64];
    struct consume_options o = {
        .queue = SLICE("d.q"), .filters = &filter, .filters_n = 1, .manual_ack = true, .credit = 2};
    struct refusal why;

    o.headers = slice_of(headers,
                         (size_t)(headers_put(headers, SLICE("$from"), slice_str(from)) - headers));
    a.closed = a.ready = false;
    a.consumer = NULL;
    if (core_attach(a.ep, &o, &a, &a.consumer, &why) < 0)
        a.closed = true;
    world_run(&world);
    must(a.ready || a.closed);
}

/* What is asked is answered, or cannot be asked. */
static void ask(struct core *c, uint64_t id)
{
    struct question *q = NULL;
    enum reason why;
    uint64_t n;

    if (core_queue_look(c, id, 9, &q) == 0) {
        world_run(&world);
        must(!q || core_question_over(q, &n, &why));
        (void)inspect_peek(c, id, 9, q, ignore, NULL);
        core_question_close(q);
    }
    q = NULL;
    if (core_queue_purge(c, id, &n, &q) == 0) {
        world_run(&world);
        must(!q || core_question_over(q, &n, &why));
        core_question_close(q);
    }
}

static void move(struct core *c, uint64_t id)
{
    struct move *m;

    if (core_move_open(c, id, SLICE("memory"), 9, &m) < 0)
        return;
    for (int i = 0; i < 20 && core_move_step(m) != MOVE_OVER; i++)
        world_run(&world);
    core_move_close(m);
}

static void say(uint64_t *said)
{
    const struct target to = {true, SLICE("d.q")};
    struct msg_view v = {.data = (const uint8_t *)"x", .len = 1};
    struct run run = {.v = &v, .n = 1, .bytes = 1, .type = {.id = CTYPE_NONE}};
    struct refusal why;

    *said += core_publish(pub.publisher, &to, &run, &why) == 0;
    world_run(&world);
}

/* Everything once, with the n-th request for memory failing. False: there was no n-th. */
static bool run(unsigned n)
{
    uint64_t said = 0, lost, id;
    struct core *c;

    world_start(&world, 2, policies, INT64_C(1) << 30);
    fake_start(&fake, &world, DURABLE_JOURNAL);
    world_connect(&world, &pub, 0);
    world_connect(&world, &a, 1);
    ck_assert_int_eq(core_publisher_open(pub.ep, PUBLISH_WINDOW, &pub, &pub.publisher), 0);
    world_run(&world);
    failed = false;
    fail_at = n;
    attach("new");
    say(&said);
    if (a.consumer)
        core_detach(a.consumer);
    world_run(&world);
    attach("first");
    say(&said);
    say(&said);
    say(&said);
    id = inspect_find_queue(world.core[0], SLICE("d.q"));
    c = id ? world.core[inspect_home(id)] : NULL;
    if (c)
        move(c, id);
    if (c)
        ask(c, id);
    if (c)
        (void)core_queue_delete(c, id, &lost);
    fail_at = 0;
    ck_assert_msg(!wrong, "request %u: line %d", n, wrong);
    world_run(&world);
    ck_assert_uint_ge(pub.upto, said);
    ck_assert(core_drained(world.core[0]) && core_drained(world.core[1]));
    if (!inspect_find_queue(world.core[0], SLICE("d.q")))
        ck_assert_msg(world.core[0]->used == 0 && world.core[1]->used == 0, "request %u", n);
    world_stop(&world);
    fake_end(&fake);
    return failed;
}

START_TEST(whoever_waits_is_answered)
{
    unsigned n = 1;

    policies = world_policy(POLICY_QUEUE, "d.#", "durable=journal retain=1h");
    while (run(n))
        n++;
    ck_assert_uint_gt(n, 50);
    policy_set_unref(policies);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("nomem_durable");
    TCase *t = tcase_create("nomem_durable");
    SRunner *r;
    int failures;

    tcase_set_timeout(t, 30);
    tcase_add_test(t, whoever_waits_is_answered);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failures = srunner_ntests_failed(r);
    srunner_free(r);
    return failures != 0;
}
