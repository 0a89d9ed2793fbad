/* What admin sees of a core, and what it may do to queues: purge, delete, move. */
#include "brokerd/core/inspect.h"
#include "brokerd/core/manage.h"
#include "tests/unit/core/world.h"

#include <check.h>
#include <errno.h>

static struct world world;
static struct policy_set *policies;
static struct world_peer pub, a, b;

static void start(unsigned cores, const char *settings)
{
    struct queue_policy policy = policy_default(POLICY_QUEUE);
    struct policy_globals globals = policy_globals_default();
    char err[POLICY_ERROR_MAX], copy[256];

    snprintf(copy, sizeof copy, "%s", settings);
    ck_assert_int_eq(policy_set_new(&globals, &policies), 0);
    for (char *key = strtok(copy, " "); key; key = strtok(NULL, " ")) {
        char *value = strchr(key, '=');

        ck_assert_int_eq(policy_set_key(&policy, POLICY_QUEUE, slice_of(key, value - key),
                                        slice_str(value + 1), err, sizeof err),
                         0);
    }
    ck_assert_int_eq(policy_set_add(policies, POLICY_QUEUE, SLICE("to.#"), &policy, NULL, 0), 0);
    world_start(&world, cores, policies, INT64_C(1) << 30);
    world_connect(&world, &pub, 0);
    world_connect(&world, &a, 0);
    world_connect(&world, &b, cores - 1);
}

static void teardown(void)
{
    world_stop(&world);
    policies = policy_set_unref(policies);
}

/* A queue `name` on the peer's core, with a consumer that takes nothing yet. */
static uint64_t make(struct world_peer *p, const char *name)
{
    ck_assert_int_eq(world_consume(p, name, true, 0), 0);
    world_run(&world);
    ck_assert(p->ready);
    return inspect_find_queue(p->ep->core, slice_str(name));
}

static struct inspect_queue look(uint64_t id)
{
    struct inspect_queue q;

    ck_assert(inspect_queue(world.core[inspect_home(id)], id, &q));
    return q;
}

static bool note(void *ctx, const struct inspect_message *m)
{
    char *text = ctx;
    size_t n = strlen(text);

    snprintf(text + n, 512 - n, "%.*s:%s:%.*s ", (int)m->data.n, (const char *)m->data.p, m->state,
             (int)m->topic.n, (const char *)m->topic.p);
    return true;
}

static const char *peek(uint64_t id, uint32_t n)
{
    static char text[512];

    text[0] = '\0';
    ck_assert_int_eq(inspect_peek(world.core[inspect_home(id)], id, n, NULL, note, text), 0);
    return text;
}

static void run_move(struct move *m)
{
    for (int i = 0; i < 100 && core_move_step(m) != MOVE_OVER; i++)
        world_run(&world);
    ck_assert_int_eq(core_move_step(m), MOVE_OVER);
}

/* Whatever gives way when there is no room: it has been full since then. */
START_TEST(a_queue_without_room_is_full)
{
    static const char *const overflow[] = {"reject", "drop-oldest", "drop-newest", "block"};
    char settings[64];
    uint64_t id;

    snprintf(settings, sizeof settings, "max-messages=2 overflow=%s", overflow[_i]);
    start(1, settings);
    id = make(&a, "to.q");
    world_publish(&pub, PUBLISH_WINDOW, true, "to.q", "1 2");
    world_run(&world);
    ck_assert_int_eq(look(id).full_ms, -1);
    world_publish(&pub, PUBLISH_WINDOW, true, "to.q", "3");
    world_run(&world);
    ck_assert_int_ge(look(id).full_ms, 0);
    teardown();
}
END_TEST

START_TEST(sees_what_waits)
{
    uint64_t id;
    struct inspect_queue q;
    struct inspect_totals t;

    start(1, "");
    id = make(&a, "from");
    world_publish(&pub, PUBLISH_WINDOW, false, "from", "1 2 3 4");
    world_run(&world);
    core_grant(a.consumer, 2);
    world_advance(&world, 70);
    core_ack(a.consumer, 2, 1, ACK_NACK, 1000);
    world_run(&world);
    q = look(id);
    ck_assert_str_eq(q.name, "from");
    ck_assert_uint_eq(q.depth, 3);
    ck_assert_uint_eq(q.delayed, 1);
    ck_assert_uint_eq(q.unacked, 1);
    ck_assert_uint_eq(q.count.nacked, 1);
    ck_assert_int_eq(q.oldest_ms, 70);
    ck_assert_int_eq(q.full_ms, -1);
    ck_assert_str_eq(peek(id, 10), "3:waiting:from 4:waiting:from 2:delayed:from 1:unacked:from ");
    ck_assert_str_eq(peek(id, 1), "3:waiting:from ");
    inspect_totals(world.core[0], &t);
    ck_assert_uint_eq(t.queues, 1);
    ck_assert_uint_eq(t.endpoints, 3);
    ck_assert_uint_eq(t.count.published, 4);
    ck_assert_uint_eq(t.count.nacked, 1);
    teardown();
}
END_TEST

static bool keep_tap(void *ctx, const struct inspect_tap *t)
{
    *(struct inspect_tap *)ctx = *t;
    return true;
}

static bool keep_holder(void *ctx, const struct inspect_holder *h)
{
    *(struct inspect_holder *)ctx = *h;
    return true;
}

START_TEST(finds_who_waits_for_whom) /* _i: the consumer's core */
{
    struct inspect_tap t = {0};
    struct inspect_holder h = {0};
    struct inspect_consumer k;
    struct inspect_publisher p;
    struct core *home;
    uint64_t id;

    start(_i + 1, "max-messages=1 overflow=block");
    ck_assert_int_eq(world_consume(&a, "to", true, 0), 0); /* its home is core 0 */
    world_run(&world);
    id = make(&b, "to");
    home = world.core[inspect_home(id)];
    world_publish(&pub, PUBLISH_WINDOW, true, "to", "1 2 3");
    world_advance(&world, 30);
    ck_assert_uint_eq(look(id).held, 2);
    ck_assert_int_eq(look(id).full_ms, 30);
    inspect_taps(home, id, keep_tap, &t);
    ck_assert_int_ge(t.stalled_ms, 30);
    ck_assert(inspect_consumer(world.core[inspect_home(t.consumer)], t.consumer, &k));
    ck_assert_uint_eq(k.credit, 0);
    ck_assert_str_eq(k.label, "to");
    ck_assert_uint_eq(inspect_home(t.consumer), (unsigned)_i);
    inspect_holders(home, id, keep_holder, &h);
    ck_assert_uint_eq(h.n, 2);
    ck_assert(inspect_publisher(world.core[inspect_home(h.publisher)], h.publisher, &p));
    ck_assert_int_eq(p.waiting_ms, 30);
    ck_assert_uint_eq(p.open, 2);
    ck_assert(p.to_queue);
    teardown();
}
END_TEST

/* A dead letter that is moved back is what it was: with its topic, and able to die again. */
START_TEST(a_dead_letter_comes_back) /* _i: cores */
{
    uint64_t dead, work;
    char first[512];
    struct move *m;

    start((unsigned)_i, "max-deliveries=1 dead-letter=dead");
    dead = make(&b, "dead");
    ck_assert_int_eq(world_consume(&a, "to.w", true, 100), 0);
    world_run(&world);
    work = inspect_find_queue(a.ep->core, SLICE("to.w"));
    world_publish(&pub, PUBLISH_WINDOW, false, "to.w", "x");
    world_run(&world);
    ck_assert_int_eq(core_ack(a.consumer, 1, 1, ACK_REJECT, 0), 0);
    world_run(&world);
    snprintf(first, sizeof first, "%s", peek(dead, 9));
    ck_assert_str_eq(first, "x:waiting:dead ");
    ck_assert_int_eq(core_move_open(world.core[inspect_home(dead)], dead, SLICE("to.w"), 9, &m), 0);
    run_move(m);
    core_move_close(m);
    world_run(&world);
    ck_assert_str_eq(a.got, "x x ");
    ck_assert_str_eq(peek(work, 9), "x:unacked:to.w ");
    ck_assert_str_eq(a.headers, "");
    ck_assert_int_eq(core_ack(a.consumer, 2, 1, ACK_REJECT, 0), 0);
    world_run(&world);
    ck_assert_str_eq(peek(dead, 9), first);
    teardown();
}
END_TEST

START_TEST(moves_all_to_another_queue) /* _i: the core it lives on */
{
    struct move *m;
    enum reason why;
    uint64_t from, to;

    start(_i + 1, "");
    from = make(&a, "from");
    to = make(&b, "to");
    ck_assert_uint_eq(inspect_home(to), (unsigned)_i);
    world_publish(&pub, PUBLISH_WINDOW, false, "from", "1 2 3 4 5");
    world_run(&world);
    ck_assert_int_eq(core_move_open(world.core[0], from, SLICE("nowhere"), 9, &m), -ENOENT);
    ck_assert_int_eq(core_move_open(world.core[0], from, SLICE("to"), 4, &m), 0);
    run_move(m);
    ck_assert_uint_eq(core_move_done(m, &why), 4);
    ck_assert_int_eq(why, REASON_NONE);
    core_move_close(m);
    ck_assert_str_eq(peek(from, 10), "5:waiting:from ");
    ck_assert_str_eq(peek(to, 10), "1:waiting:from 2:waiting:from 3:waiting:from 4:waiting:from ");
    ck_assert_uint_eq(look(from).unacked, 0);
    teardown();
}
END_TEST

START_TEST(what_is_refused_stays_in_its_place)
{
    struct move *m;
    enum reason why;
    uint64_t from, to;

    start(_i + 1, "max-messages=2");
    from = make(&a, "from");
    to = make(&b, "to");
    world_publish(&pub, PUBLISH_WINDOW, false, "from", "1 2 3 4");
    world_run(&world);
    ck_assert_int_eq(core_move_open(world.core[0], from, SLICE("to"), 9, &m), 0);
    run_move(m);
    ck_assert_uint_eq(core_move_done(m, &why), 2);
    ck_assert_int_eq(why, REASON_FULL);
    core_move_close(m);
    ck_assert_uint_eq(look(to).depth, 2);
    core_grant(a.consumer, 10);
    world_run(&world);
    ck_assert_str_eq(a.got, "3 4 ");
    teardown();
}
END_TEST

START_TEST(a_queue_deleted_in_the_middle_of_a_move)
{
    struct move *m;
    enum reason why;
    uint64_t from, lost;
    int64_t memory;

    start(2, "");
    memory = world.memory;
    from = make(&a, "from");
    make(&b, "to");
    world_publish(&pub, PUBLISH_WINDOW, false, "from", "1 2 3 4");
    world_run(&world);
    ck_assert_int_eq(core_move_open(world.core[0], from, SLICE("to"), 9, &m), 0);
    ck_assert(core_move_step(m) != MOVE_OVER);
    ck_assert_int_eq(core_queue_delete(world.core[0], from, &lost), 0);
    run_move(m);
    ck_assert_uint_eq(core_move_done(m, &why), 4);
    core_move_close(m);
    ck_assert(a.closed && a.closed_reason == REASON_DELETED);
    core_grant(b.consumer, 10);
    world_run(&world);
    ck_assert_str_eq(b.got, "1 2 3 4 ");
    core_ack(b.consumer, 1, 4, ACK_DONE, 0);
    world_run(&world);
    ck_assert_int_eq(world.core[0]->used, 0);
    ck_assert_int_eq(world.core[1]->used, 0);
    ck_assert_int_ge(memory, world.memory);
    teardown();
}
END_TEST

START_TEST(purges_and_admits_what_was_held)
{
    struct question *rest;
    uint64_t id, n;

    start(1, "max-messages=2 overflow=block");
    id = make(&a, "to");
    world_publish(&pub, PUBLISH_WINDOW, true, "to", "1 2 3 4");
    world_run(&world);
    ck_assert_int_eq(core_queue_purge(world.core[0], id + 1, &n, &rest), -ENOENT);
    ck_assert_int_eq(core_queue_purge(world.core[0], id, &n, &rest), 0);
    ck_assert_uint_eq(n, 2);
    world_run(&world);
    ck_assert_uint_eq(look(id).depth, 2);
    ck_assert_uint_eq(look(id).count.reason[REASON_PURGED], 2);
    ck_assert_uint_eq(pub.upto, 4);
    teardown();
}
END_TEST

static bool note_filter(void *ctx, const struct inspect_queue *q, struct slice filter)
{
    char *text = ctx;
    size_t n = strlen(text);

    snprintf(text + n, 256 - n, "%s<%.*s ", q->label, (int)filter.n, (const char *)filter.p);
    return true;
}

static bool count(void *ctx, const struct inspect_queue *q)
{
    (void)q;
    ++*(unsigned *)ctx;
    return true;
}

START_TEST(tells_routes_and_walks_in_steps)
{
    char text[256] = "";
    unsigned n = 0;
    uint32_t at = 0;

    start(1, "");
    make(&a, "from");
    ck_assert_int_eq(world_subscribe(&b, "*", 1), 0);
    world_run(&world);
    ck_assert_int_eq(inspect_route(world.core[0], SLICE("from"), note_filter, text), 0);
    ck_assert_str_eq(text, "from<from *<* ");
    do
        at = inspect_queues(world.core[0], at, 1, count, &n);
    while (at);
    ck_assert_uint_eq(n, 2);
    teardown();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("manage");
    TCase *t = tcase_create("manage");
    SRunner *r;
    int failed;

    tcase_add_loop_test(t, a_queue_without_room_is_full, 0, 4);
    tcase_add_test(t, sees_what_waits);
    tcase_add_loop_test(t, finds_who_waits_for_whom, 0, 2);
    tcase_add_loop_test(t, a_dead_letter_comes_back, 1, 3);
    tcase_add_loop_test(t, moves_all_to_another_queue, 0, 2);
    tcase_add_loop_test(t, what_is_refused_stays_in_its_place, 0, 2);
    tcase_add_test(t, a_queue_deleted_in_the_middle_of_a_move);
    tcase_add_test(t, purges_and_admits_what_was_held);
    tcase_add_test(t, tells_routes_and_walks_in_steps);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
