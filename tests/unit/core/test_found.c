/* Durable queues: their making waits for the store, what a store has is found at start, and what
 * is asked of it for people is answered later. */
#include "brokerd/core/inspect.h"
#include "brokerd/core/manage.h"
#include "brokerd/core/names.h"
#include "tests/unit/core/fake_store.h"

#include <check.h>
#include <errno.h>

static struct fake fake;
static struct world world;
static struct policy_set *policies;
static struct world_peer pub, a, b;

/* Queues "d.#" are durable; pub and a on core 0, b on the last. */
static void begin(unsigned cores, enum durable level, const char *settings)
{
    char text[256];

    snprintf(text, sizeof text, "durable=%s %s", durable_name(level), settings);
    policies = world_policy(POLICY_QUEUE, "d.#", text);
    world_start(&world, cores, policies, INT64_C(1) << 30);
    if (level != DURABLE_MEMORY)
        fake_start(&fake, &world, level);
}

static void connect_all(void)
{
    world_connect(&world, &pub, 0);
    world_connect(&world, &a, 0);
    world_connect(&world, &b, world.n - 1);
}

static void start(unsigned cores, const char *settings)
{
    begin(cores, DURABLE_JOURNAL, settings);
    world_run(&world);
    connect_all();
}

/* The broker stops, or dies; what is on the shelf stays. */
static void stop(bool kill)
{
    if (kill)
        fake_kill(&fake);
    world_stop(&world);
    fake_stop(&fake);
    policies = policy_set_unref(policies);
}

static void teardown(void)
{
    stop(false);
    fake_end(&fake);
}

static uint64_t find(const char *name)
{
    return inspect_find_queue(world.core[0], slice_str(name));
}

static struct inspect_queue look(const char *name)
{
    uint64_t id = find(name);
    struct inspect_queue q;

    ck_assert_msg(id, "no queue %s", name);
    ck_assert(inspect_queue(world.core[inspect_home(id)], id, &q));
    return q;
}

static bool note_filter(void *ctx, struct slice filter)
{
    size_t n = strlen(ctx);

    snprintf((char *)ctx + n, 256 - n, "%.*s ", (int)filter.n, (const char *)filter.p);
    return true;
}

static const char *bindings(const char *name)
{
    static char text[256];
    uint64_t id = find(name);

    text[0] = '\0';
    inspect_bindings(world.core[inspect_home(id)], id, note_filter, text);
    return text;
}

static void consume(struct world_peer *p, const char *queue, const char *filter, uint64_t credit)
{
    struct slice f = slice_str(filter);
    struct consume_options o = {.queue = slice_str(queue),
                                .filters = &f,
                                .filters_n = *filter != '\0',
                                .manual_ack = true,
                                .credit = credit};
    struct refusal why;

    ck_assert_int_eq(core_attach(p->ep, &o, p, &p->consumer, &why), 0);
}

/* ------------------------------------------------------------------------------- making */

START_TEST(without_its_store_a_durable_queue_cannot_be_made) /* _i: cores */
{
    struct consume_options o = {.queue = SLICE("d.q")};
    struct refusal why;
    int r;

    begin((unsigned)_i, DURABLE_MEMORY, "");
    policies = policy_set_unref(policies);
    policies = world_policy(POLICY_QUEUE, "d.#", "durable=journal");
    for (int i = 0; i < _i; i++)
        core_configure(world.core[i], policies);
    connect_all();
    r = core_attach(b.ep, &o, &b, &b.consumer, &why);
    world_publish(&pub, PUBLISH_WINDOW, true, "d.q", "1");
    world_run(&world);
    if (_i == 1) { /* it is known at once */
        ck_assert_int_eq(r, -ENOENT);
        ck_assert_str_eq(why.text, "store: the queue is durable, and there is no such store");
    } else {
        ck_assert(b.closed);
        ck_assert_int_eq(b.closed_reason, REASON_STORE);
    }
    ck_assert_uint_eq(pub.refused, 1);
    ck_assert_int_eq(pub.last.reason, REASON_STORE);
    ck_assert_uint_eq(find("d.q"), 0);
    ck_assert(world.events[EVENT_STORE] > 0);
    teardown();
}
END_TEST

START_TEST(a_queue_is_made_when_its_store_has_opened_it) /* _i: cores */
{
    start((unsigned)_i, "");
    consume(&b, "d.q", "", 9);
    world_publish(&pub, PUBLISH_WINDOW, true, "d.q", "1 2");
    world_run(&world);
    ck_assert(b.ready);
    ck_assert_str_eq(b.got, "1 2 ");
    ck_assert_uint_eq(pub.accepted, 2);
    ck_assert_str_eq(look("d.q").store, "memory");
    ck_assert_str_eq(bindings("d.q"), "d.q ");
    teardown();
}
END_TEST

START_TEST(a_store_that_cannot_open_it_refuses_all_who_wait)
{
    struct memory_trouble shut = {.shut = 1000}, none = {0};

    start(2, "");
    fake_trouble(&fake, &shut);
    consume(&b, "d.q", "", 9);
    world_publish(&pub, PUBLISH_WINDOW, true, "d.q", "1");
    world_run(&world);
    ck_assert(b.closed);
    ck_assert_int_eq(b.closed_reason, REASON_STORE);
    ck_assert_uint_eq(pub.refused, 1);
    fake_trouble(&fake, &none);
    world_publish(&pub, PUBLISH_WINDOW, true, "d.q", "2");
    consume(&a, "d.q", "", 9);
    world_run(&world);
    ck_assert_str_eq(a.got, "2 ");
    teardown();
}
END_TEST

/* ------------------------------------------------------------------------------- finding */

START_TEST(what_a_store_has_is_there_before_anybody_asks) /* _i: cores */
{
    start((unsigned)_i, "");
    consume(&b, "d.q", "news.*", 0);
    consume(&a, "d.q", "more", 0);
    world_run(&world);
    world_publish(&pub, PUBLISH_WINDOW, false, "news.a", "1 2 3");
    world_run(&world);
    ck_assert_uint_eq(pub.accepted, 3);
    stop(_i & 1);
    begin((unsigned)_i, DURABLE_JOURNAL, "");
    ck_assert(!core_has_found(world.core[0]));
    world_run(&world);
    for (int i = 0; i < _i; i++)
        ck_assert(core_has_found(world.core[i]));
    connect_all();
    ck_assert_uint_eq(strlen(bindings("d.q")), strlen("news.* more "));
    ck_assert_uint_eq(look("d.q").depth, 3);
    world_publish(&pub, PUBLISH_WINDOW, false, "news.b", "4");
    world_publish(&pub, PUBLISH_WINDOW, false, "more", "5");
    consume(&a, "d.q", "", 9);
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 3 4 5 ");
    teardown();
}
END_TEST

START_TEST(without_stores_there_is_nothing_to_find)
{
    begin(2, DURABLE_MEMORY, "");
    ck_assert(core_has_found(world.core[0]));
    ck_assert(core_has_found(world.core[1]));
    teardown();
}
END_TEST

/* The settings name it; somebody named a filter more; the settings change its store. */
START_TEST(what_is_found_stays_as_it_was)
{
    start(1, "max-messages=7");
    consume(&a, "d.q", "extra", 0);
    world_publish(&pub, PUBLISH_WINDOW, true, "d.q", "1");
    world_run(&world);
    stop(false);
    policies = world_policy(POLICY_QUEUE, "d.q", "max-messages=5");
    world_start(&world, 1, policies, INT64_C(1) << 30);
    fake_start(&fake, &world, DURABLE_JOURNAL);
    world_run(&world);
    connect_all();
    ck_assert_str_eq(look("d.q").store, "memory");
    ck_assert_str_eq(bindings("d.q"), "extra ");
    ck_assert_uint_eq(look("d.q").policy->max_messages, 5);
    ck_assert_uint_eq(world.events[EVENT_STORE], 1);
    teardown();
}
END_TEST

START_TEST(what_its_maker_wished_is_kept)
{
    uint8_t headers[64], *end = headers_put(headers, SLICE("$max-messages"), SLICE("2"));
    struct consume_options o = {.queue = SLICE("d.q"),
                                .headers = slice_of(headers, (size_t)(end - headers))};
    struct refusal why;

    start(2, "");
    ck_assert_int_eq(core_attach(b.ep, &o, &b, &b.consumer, &why), 0);
    world_run(&world);
    ck_assert_uint_eq(look("d.q").policy->max_messages, 2);
    stop(false);
    begin(2, DURABLE_JOURNAL, "");
    world_run(&world);
    ck_assert_uint_eq(look("d.q").policy->max_messages, 2);
    teardown();
}
END_TEST

static void say(enum stored_kind kind, const struct store *s, const char *name)
{
    struct stored found = {.kind = kind, .store = s, .def = {.name = slice_str(name)}};

    core_stored(world.core[0], &found);
}

START_TEST(a_name_belongs_to_the_store_that_told_it_first)
{
    struct store other = {fake.store[0] ? fake.store[0]->ops : NULL};

    start(1, "");
    consume(&a, "d.q", "", 0);
    consume(&b, "m", "", 0);
    world_run(&world);
    other.ops = fake.store[0]->ops;
    core_set_store(world.core[0], DURABLE_REDIS, &other);
    say(STORED_FOUND, &other, "d.q");
    ck_assert_uint_eq(world.events[EVENT_STORE], 1);
    ck_assert_int_eq(world.event.reason, REASON_STORE);
    say(STORED_FOUND, &other, "m");
    ck_assert_uint_eq(world.events[EVENT_STORE], 2);
    say(STORED_FOUND, &other, "no queue");
    ck_assert_uint_eq(world.events[EVENT_STORE], 3);
    say(STORED_REMOVED, &other, "d.q");
    say(STORED_ALL_FOUND, &other, "");
    ck_assert(core_has_found(world.core[0]));
    core_set_store(world.core[0], DURABLE_REDIS, NULL);
    say(STORED_ALL_FOUND, fake.store[0], "");
    world_run(&world);
    ck_assert_str_eq(look("d.q").store, "memory");
    ck_assert(!a.closed);
    teardown();
}
END_TEST

/* -------------------------------------------------------------------------- shared stores */

START_TEST(another_node_defines_and_removes)
{
    struct store *s;
    static const uint8_t filters[] = "\4d.qq\4news";
    struct stored found = {.kind = STORED_FOUND,
                           .def = {SLICE("d.q"), slice_of(filters, sizeof filters - 1), {0}}};

    begin(2, DURABLE_REDIS, "");
    world_run(&world);
    connect_all();
    consume(&b, "d.q", "", 9);
    world_run(&world);
    s = fake.store[0];
    found.store = s;
    core_stored(world.core[0], &found);
    world_run(&world);
    ck_assert_str_eq(bindings("d.q"), "d.q d.qq news ");
    world_publish(&pub, PUBLISH_WINDOW, false, "news", "1");
    world_run(&world);
    ck_assert_str_eq(b.got, "1 ");
    say(STORED_REMOVED, s, "d.q");
    world_run(&world);
    ck_assert(b.closed);
    ck_assert_int_eq(b.closed_reason, REASON_DELETED);
    ck_assert_uint_eq(find("d.q"), 0);
    teardown();
}
END_TEST

/* ------------------------------------------------------------------------------- the end */

START_TEST(a_deleted_queue_is_not_found_again) /* _i: by expiry, or by hand */
{
    uint64_t lost, id;

    start(2, _i ? "expires=1s" : "");
    world_publish(&pub, PUBLISH_WINDOW, true, "d.q", "1 2");
    world_run(&world);
    id = find("d.q");
    if (_i) {
        world_advance(&world, 1001);
    } else {
        ck_assert_int_eq(core_queue_delete(world.core[inspect_home(id)], id, &lost), 0);
        ck_assert_uint_eq(lost, 2);
    }
    world_run(&world);
    ck_assert_uint_eq(find("d.q"), 0);
    stop(false);
    begin(2, DURABLE_JOURNAL, "");
    world_run(&world);
    ck_assert_uint_eq(find("d.q"), 0);
    teardown();
}
END_TEST

/* Nobody waits for ever for what was on its way to the store. */
START_TEST(what_is_unstored_is_answered_when_its_queue_is_deleted)
{
    uint64_t lost, id;

    start(1, "");
    consume(&a, "d.q", "", 0);
    world_run(&world);
    id = find("d.q");
    world_publish(&pub, PUBLISH_WINDOW, true, "d.q", "1 2 3");
    core_tick(world.core[0]); /* nothing answers */
    ck_assert_uint_eq(look("d.q").unstored, 3);
    ck_assert(!core_drained(world.core[0]));
    ck_assert_int_eq(core_queue_delete(world.core[0], id, &lost), 0);
    world_run(&world);
    ck_assert_uint_eq(pub.upto, 3);
    ck_assert_uint_eq(pub.refused, 3);
    ck_assert(core_drained(world.core[0]));
    teardown();
}
END_TEST

START_TEST(is_drained_when_all_is_kept)
{
    start(1, "");
    world_publish(&pub, PUBLISH_FORGET, true, "d.q", "1 2 3");
    ck_assert(!core_drained(world.core[0]) || !find("d.q"));
    world_run(&world);
    ck_assert(core_drained(world.core[0]));
    world_publish(&pub, PUBLISH_FORGET, true, "d.q", "4");
    core_tick(world.core[0]);
    ck_assert(!core_drained(world.core[0]));
    world_run(&world);
    ck_assert(core_drained(world.core[0]));
    teardown();
}
END_TEST

/* -------------------------------------------------------------------------- purge, peek, move */

static bool note(void *ctx, const struct inspect_message *m)
{
    size_t n = strlen(ctx);

    snprintf((char *)ctx + n, 4096 - n, "%.*s:%s ", (int)(m->data.n < 8 ? m->data.n : 8),
             (const char *)m->data.p, m->state);
    return true;
}

static const char *peek(const char *name, uint32_t n)
{
    static char text[4096];
    struct core *c = world.core[inspect_home(find(name))];
    struct question *rest;
    enum reason why;
    uint64_t count;

    text[0] = '\0';
    ck_assert_int_eq(core_queue_look(c, find(name), n, &rest), 0);
    for (int i = 0; rest && i < 9 && !core_question_over(rest, &count, &why); i++)
        world_run(&world);
    ck_assert_int_eq(inspect_peek(c, find(name), n, rest, note, text), 0);
    core_question_close(rest);
    return text;
}

static uint64_t purge(const char *name)
{
    struct core *c = world.core[inspect_home(find(name))];
    uint64_t n, more = 0;
    struct question *rest;
    enum reason why = REASON_NONE;

    ck_assert_int_eq(core_queue_purge(c, find(name), &n, &rest), 0);
    for (int i = 0; rest && i < 9 && !core_question_over(rest, &more, &why); i++)
        world_run(&world);
    ck_assert_int_eq(why, REASON_NONE);
    core_question_close(rest);
    return n + more;
}

/* Some are in flight, some in the window, most only in the store. */
static void fill(const char *name, unsigned mib)
{
    char *big = malloc((1 << 20) + 1);

    memset(big, 'x', 1 << 20);
    big[1 << 20] = '\0';
    for (unsigned i = 0; i < mib; i++) {
        memcpy(big, &(char){(char)('a' + i)}, 1);
        world_publish(&pub, PUBLISH_WINDOW, true, name, big);
        world_run(&world);
    }
    free(big);
}

START_TEST(people_see_what_only_the_store_has) /* _i: cores */
{
    const char *text;

    start((unsigned)_i, "");
    consume(&b, "d.q", "", 2);
    world_run(&world);
    fill("d.q", 12);
    ck_assert_uint_eq(look("d.q").depth, 10);
    ck_assert_uint_eq(look("d.q").unacked, 2);
    ck_assert_uint_gt(look("d.q").away, 1);
    text = peek("d.q", 100);
    for (int c = 'c'; c < 'a' + 12; c++) {
        const char want[] = {(char)c, 'x', 'x', 'x', 'x', 'x', 'x', 'x', ':', 'w', '\0'};

        ck_assert_msg(strncmp(text, want, 10) == 0, "%c: %s", c, text);
        text = strchr(text, ' ') + 1;
    }
    ck_assert_str_eq(text, "axxxxxxx:unacked bxxxxxxx:unacked ");
    fill("d.q", 9);
    text = peek("d.q", 100); /* too much is too much: what comes behind is not told */
    ck_assert_ptr_null(strstr(text, "unacked"));
    ck_assert_uint_eq(strlen(peek("d.q", 10)), 10 * strlen("axxxxxxx:waiting "));
    teardown();
}
END_TEST

START_TEST(a_purge_leaves_what_is_in_flight_and_nothing_else) /* _i: cores */
{
    start((unsigned)_i, "");
    consume(&b, "d.q", "", 3);
    world_run(&world);
    fill("d.q", 20);
    core_ack(b.consumer, 2, 1, ACK_DONE, 0);
    world_run(&world);
    ck_assert_uint_eq(purge("d.q"), 17);
    ck_assert_uint_eq(look("d.q").depth, 0);
    ck_assert_uint_eq(look("d.q").unacked, 2);
    stop(true);
    begin((unsigned)_i, DURABLE_JOURNAL, "");
    world_run(&world);
    connect_all();
    ck_assert_uint_eq(look("d.q").depth, 2);
    consume(&a, "d.q", "", 9);
    world_run(&world);
    ck_assert_uint_eq(a.deliveries, 2);
    teardown();
}
END_TEST

/* A store that says nothing does not keep people waiting for ever. */
START_TEST(a_question_ends)
{
    struct question *rest;
    enum reason why;
    uint64_t n, lost;

    start(1, "");
    consume(&a, "d.q", "", 0);
    world_publish(&pub, PUBLISH_WINDOW, true, "d.q", "1 2");
    world_run(&world);
    ck_assert_int_eq(core_queue_purge(world.core[0], find("d.q"), &n, &rest), 0);
    ck_assert(!core_question_over(rest, &n, &why));
    core_clock(world.core[0], world.now + 10000, world.now + 10000);
    ck_assert(core_question_over(rest, &n, &why));
    ck_assert_int_eq(why, REASON_STORE);
    core_question_close(rest);
    ck_assert_int_eq(core_queue_purge(world.core[0], find("d.q"), &n, &rest), 0);
    ck_assert_int_eq(core_queue_delete(world.core[0], find("d.q"), &lost), 0);
    ck_assert(core_question_over(rest, &n, &why));
    ck_assert_int_eq(why, REASON_DELETED);
    core_question_close(rest);
    teardown();
}
END_TEST

static uint64_t move_all(const char *from, const char *to)
{
    struct core *c = world.core[inspect_home(find(from))];
    struct move *m;
    enum reason why;
    uint64_t n;

    ck_assert_int_eq(core_move_open(c, find(from), slice_str(to), UINT64_MAX, &m), 0);
    for (int i = 0; i < 1000 && core_move_step(m) != MOVE_OVER; i++)
        world_run(&world);
    ck_assert_int_eq(core_move_step(m), MOVE_OVER);
    n = core_move_done(m, &why);
    ck_assert_int_eq(why, REASON_NONE);
    core_move_close(m);
    world_run(&world);
    return n;
}

START_TEST(moves_between_stores) /* _i: cores */
{
    start((unsigned)_i, "");
    consume(&a, "d.from", "", 0);
    consume(&b, "memory", "", 0);
    world_run(&world);
    fill("d.from", 20);
    ck_assert_uint_eq(move_all("d.from", "memory"), 20);
    ck_assert_uint_eq(look("d.from").depth, 0);
    ck_assert_uint_eq(look("memory").depth, 20);
    ck_assert_uint_eq(move_all("memory", "d.from"), 20);
    ck_assert_uint_eq(look("d.from").depth, 20);
    ck_assert_uint_eq(look("memory").depth, 0);
    stop(true);
    begin((unsigned)_i, DURABLE_JOURNAL, "");
    world_run(&world);
    ck_assert_uint_eq(look("d.from").depth, 20);
    teardown();
}
END_TEST

/* Of a shared store's queue this node has what its consumers take, and no more. */
static void start_shared(unsigned cores)
{
    begin(cores, DURABLE_REDIS, "");
    world_run(&world);
    connect_all();
}

START_TEST(moves_what_other_nodes_could_have) /* _i: cores */
{
    start_shared((unsigned)_i);
    consume(&a, "d.from", "", 0);
    consume(&b, "memory", "", 0);
    world_publish(&pub, PUBLISH_WINDOW, true, "d.from", "1 2 3");
    world_run(&world);
    for (unsigned i = 0; i < 200; i++)
        world_publish(&pub, PUBLISH_FORGET, true, "d.from", "more");
    world_run(&world);
    ck_assert_uint_eq(move_all("d.from", "memory"), 203);
    ck_assert_uint_eq(look("memory").depth, 203);
    ck_assert_uint_eq(move_all("memory", "d.from"), 203);
    core_grant(a.consumer, 3);
    world_run(&world);
    ck_assert_str_eq(a.got, "1 2 3 ");
    teardown();
}
END_TEST

START_TEST(purges_and_shows_what_other_nodes_could_have)
{
    start_shared(2);
    consume(&b, "d.q", "", 2);
    world_publish(&pub, PUBLISH_WINDOW, true, "d.q", "1 2 3 4 5");
    world_run(&world);
    ck_assert_str_eq(b.got, "1 2 ");
    ck_assert_str_eq(peek("d.q", 9), "3:waiting 4:waiting 5:waiting 1:unacked 2:unacked ");
    ck_assert_uint_eq(purge("d.q"), 3);
    ck_assert_str_eq(peek("d.q", 9), "1:unacked 2:unacked ");
    core_grant(b.consumer, 9);
    world_run(&world);
    ck_assert_str_eq(b.got, "1 2 ");
    teardown();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("found");
    TCase *t = tcase_create("found");
    SRunner *r;
    int failed;

    tcase_set_timeout(t, 20);
    tcase_add_loop_test(t, without_its_store_a_durable_queue_cannot_be_made, 1, 3);
    tcase_add_loop_test(t, a_queue_is_made_when_its_store_has_opened_it, 1, 4);
    tcase_add_test(t, a_store_that_cannot_open_it_refuses_all_who_wait);
    tcase_add_loop_test(t, what_a_store_has_is_there_before_anybody_asks, 1, 4);
    tcase_add_test(t, without_stores_there_is_nothing_to_find);
    tcase_add_test(t, what_is_found_stays_as_it_was);
    tcase_add_test(t, what_its_maker_wished_is_kept);
    tcase_add_test(t, a_name_belongs_to_the_store_that_told_it_first);
    tcase_add_test(t, another_node_defines_and_removes);
    tcase_add_loop_test(t, a_deleted_queue_is_not_found_again, 0, 2);
    tcase_add_test(t, what_is_unstored_is_answered_when_its_queue_is_deleted);
    tcase_add_test(t, is_drained_when_all_is_kept);
    tcase_add_loop_test(t, people_see_what_only_the_store_has, 1, 3);
    tcase_add_loop_test(t, a_purge_leaves_what_is_in_flight_and_nothing_else, 1, 3);
    tcase_add_test(t, a_question_ends);
    tcase_add_loop_test(t, moves_between_stores, 1, 3);
    tcase_add_loop_test(t, moves_what_other_nodes_could_have, 1, 3);
    tcase_add_test(t, purges_and_shows_what_other_nodes_could_have);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
