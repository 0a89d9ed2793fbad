/* shared.c - what a store is asked that several nodes share: it numbers, limits and hands out. */
#include "tests/suites/stores/suite.h"

static struct queue_policy limited(uint64_t max, enum overflow overflow)
{
    struct queue_policy p = policy_default(POLICY_QUEUE);

    p.max_messages = max;
    p.overflow = overflow;
    return p;
}

/* One after the other, so that its own answer says what became of each. */
static enum reason put_one(struct opened *o, uint64_t key)
{
    const struct heard *h;
    size_t at = o->node->n;

    ck_assert_int_eq(put(o, key, 1, 16), 0);
    until(world, (h = find_heard(o->node, STORED_PUT, o->handle, &at)) != NULL);
    count_puts(o);
    return h->a.reason;
}

START_TEST(taken_once)
{
    struct opened o[NODES] = {open_queue(world, 0, "take", NULL),
                              open_queue(world, 1, "take", NULL)};
    static bool came[2001];
    unsigned n = 0;

    put_kept(world, &o[0], 1, 1000, 20);
    put_kept(world, &o[1], 1001, 1000, 20);
    while (n < 2000) {
        unsigned i = (unsigned)seeded_below(&world->random, NODES);
        const struct heard *h = fetch(world, &o[i], 0, 37, 1 << 20);
        uint64_t last = 0;

        for (uint32_t k = 0; k < h->a.n; k++, n++) {
            uint64_t key = key_of(&h->messages[k]);

            ck_assert(key <= 2000 && !came[key]);
            ck_assert_uint_gt(h->messages[k].seq, last);
            last = h->messages[k].seq;
            came[key] = true;
            if (k % 2)
                settle(&o[i], SETTLE_GONE, last, 1, 0, 0);
        }
    }
    ck_assert_uint_eq(fetch(world, &o[0], 0, 37, 1 << 20)->a.n, 0);
    until_idle(world);
    ck_assert_uint_ge(facts_of(world, &o[0]).messages, 900);
    reopen(world); /* what they had is everybody's again */
    o[1] = open_queue(world, 1, "take", NULL);
    n = 0;
    for (const struct heard *h; (h = fetch(world, &o[1], 0, 500, 1 << 20))->a.n;)
        n += h->a.n;
    ck_assert_uint_eq(n, o[1].facts.messages);
}
END_TEST

START_TEST(each_nodes_order)
{
    struct opened o[NODES] = {open_queue(world, 0, "both", NULL),
                              open_queue(world, 1, "both", NULL)};
    static struct seen list[1000];
    uint64_t last[NODES] = {0};
    size_t n;

    for (uint64_t k = 1; k <= 100; k++)
        for (unsigned i = 0; i < NODES; i++)
            ck_assert_int_eq(put(&o[i], (uint64_t)i << 32 | (k * 3), 3, 16), 0);
    all_kept(world, &o[0]);
    all_kept(world, &o[1]);
    n = look(world, &o[0], list, ARRAY_LEN(list));
    ck_assert_uint_eq(n, 600);
    for (size_t i = 0; i < n; i++) {
        unsigned node = (unsigned)(list[i].key >> 32);

        ck_assert(node < NODES && list[i].key > last[node]);
        last[node] = list[i].key;
        ck_assert(i == 0 || list[i].seq > list[i - 1].seq);
    }
}
END_TEST

START_TEST(returned_to_all)
{
    struct opened o[NODES] = {open_queue(world, 0, "back", NULL),
                              open_queue(world, 1, "back", NULL)};
    const struct heard *h;
    int64_t due;
    size_t at;

    put_kept(world, &o[0], 1, 3, 20);
    h = fetch(world, &o[0], 0, 3, 1 << 20);
    ck_assert_uint_eq(h->a.n, 3);
    ck_assert_uint_eq(fetch(world, &o[1], 0, 5, 1 << 20)->a.n, 0);
    at = o[1].node->n;
    settle(&o[0], SETTLE_RETURNED, h->messages[1].seq, 1, 1, 0);
    until(world, find_heard(o[1].node, STORED_NEWS, o[1].handle, &at) != NULL);
    h = fetch(world, &o[1], 0, 5, 1 << 20);
    ck_assert_uint_eq(h->a.n, 1);
    ck_assert_uint_eq(key_of(&h->messages[0]), 2);
    ck_assert_uint_eq(h->messages[0].attempts, 1);

    /* With a delay. */
    due = wall_ms() + 150;
    at = o[1].node->n;
    settle(&o[1], SETTLE_RETURNED, h->messages[0].seq, 1, 4, due);
    until(world, find_heard(o[1].node, STORED_NEWS, o[1].handle, &at) != NULL);
    until(world, (h = fetch(world, &o[1], 0, 5, 1 << 20))->a.n == 1);
    ck_assert_int_ge(wall_ms(), due);
    ck_assert_uint_eq(h->messages[0].attempts, 4);
    until_idle(world);
    ck_assert_uint_eq(facts_of(world, &o[0]).messages, 3);
}
END_TEST

START_TEST(news_of_puts)
{
    struct opened o[NODES] = {open_queue(world, 0, "news", NULL),
                              open_queue(world, 1, "news", NULL)};
    size_t at;

    ck_assert_uint_eq(fetch(world, &o[0], 0, 5, 1 << 20)->a.n, 0);
    at = o[0].node->n;
    put_kept(world, &o[1], 1, 3, 20);
    until(world, find_heard(o[0].node, STORED_NEWS, o[0].handle, &at) != NULL);
    ck_assert_uint_eq(fetch(world, &o[0], 0, 5, 1 << 20)->a.n, 3);
}
END_TEST

START_TEST(a_node_dies)
{
    struct opened o[NODES] = {open_queue(world, 0, "die", NULL), open_queue(world, 1, "die", NULL)};
    const struct heard *h;
    unsigned n = 0;

    if (!world->make->die)
        return;
    put_kept(world, &o[1], 1, 20, 20);
    h = fetch(world, &o[0], 0, 10, 1 << 20);
    ck_assert_uint_eq(h->a.n, 10);
    settle(&o[0], SETTLE_GONE, h->messages[0].seq, 1, 0, 0);
    until_idle(world);
    ck_assert_uint_eq(fetch(world, &o[1], 0, 5, 1 << 20)->a.n, 5);
    world->make->die(world, 0);
    for (int64_t end = wall_ms() + 20000; n < 14 && wall_ms() < end;) {
        h = fetch(world, &o[1], 0, 20, 1 << 20);
        for (uint32_t i = 0; i < h->a.n; i++, n++)
            ck_assert_uint_eq(h->messages[i].attempts, key_of(&h->messages[i]) <= 10);
        if (!h->a.n)
            world->make->turn(world);
    }
    ck_assert_uint_eq(n, 14);
}
END_TEST

/* ----------------------------------------------------------------------------------- limits */

START_TEST(full_rejects)
{
    struct queue_policy p = limited(3, OVERFLOW_REJECT);
    struct opened o[NODES] = {open_queue(world, 0, "full", &p), open_queue(world, 1, "full", &p)};

    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(put_one(&o[i % 2], 1 + i), REASON_NONE);
    ck_assert_int_eq(put_one(&o[0], 4), REASON_FULL);
    ck_assert_int_eq(put_one(&o[1], 5), REASON_FULL);
    ck_assert_uint_eq(facts_of(world, &o[0]).messages, 3);
    /* What somebody has waits no more. */
    ck_assert_uint_eq(fetch(world, &o[1], 0, 1, 1000)->a.n, 1);
    ck_assert_int_eq(put_one(&o[0], 6), REASON_NONE);
    ck_assert_int_eq(put_one(&o[0], 7), REASON_FULL);
    /* A run is taken as far as there is room. */
    ck_assert_uint_eq(purge(world, &o[0], UINT64_MAX, NULL, 0), 3);
    ck_assert_int_eq(put(&o[0], 10, 5, 20), 0);
    until(world, (count_puts(&o[0]), o[0].answered == o[0].label - 1));
    ck_assert_uint_eq(facts_of(world, &o[0]).messages, 4);
}
END_TEST

START_TEST(full_drops_oldest)
{
    struct queue_policy p = limited(3, OVERFLOW_DROP_OLDEST);
    struct opened o = open_queue(world, 0, "oldest", &p);
    static struct seen list[10];

    put_kept(world, &o, 1, 3, 20);
    ck_assert_uint_eq(fetch(world, &o, 0, 1, 1000)->a.n, 1);
    put_kept(world, &o, 4, 3, 20);
    ck_assert_uint_eq(look(world, &o, list, ARRAY_LEN(list)), 4);
    ck_assert_uint_eq(list[0].key, 1);
    for (unsigned i = 1; i < 4; i++)
        ck_assert_uint_eq(list[i].key, 3 + i);
    ck_assert_uint_eq(lost(&o, REASON_DROP_OLDEST), 2);
}
END_TEST

START_TEST(full_drops_newest)
{
    struct queue_policy p = limited(2, OVERFLOW_DROP_NEWEST);
    struct opened o = open_queue(world, 0, "newest", &p);

    put_kept(world, &o, 1, 2, 20);
    ck_assert_int_eq(put_one(&o, 3), REASON_DROP_NEWEST);
    ck_assert_uint_eq(facts_of(world, &o).messages, 2);
}
END_TEST

START_TEST(full_blocks)
{
    struct queue_policy p = limited(2, OVERFLOW_BLOCK);
    struct opened o[NODES];
    const struct heard *h;
    int64_t since;
    size_t at;

    p.block_timeout_ms = 20000;
    o[0] = open_queue(world, 0, "block", &p);
    o[1] = open_queue(world, 1, "block", &p);
    put_kept(world, &o[0], 1, 2, 20);
    at = o[0].node->n;
    ck_assert_int_eq(put(&o[0], 3, 2, 20), 0);
    h = fetch(world, &o[1], 0, 1, 1000); /* room for one */
    ck_assert_uint_eq(h->a.n, 1);
    until(world, (h = find_heard(o[0].node, STORED_PUT, o[0].handle, &at)) != NULL);
    ck_assert_int_eq(h->a.reason, REASON_NONE);
    ck_assert_uint_eq(h->a.count, 1);
    ck_assert_uint_eq(facts_of(world, &o[1]).messages, 3);
    ck_assert_uint_eq(fetch(world, &o[1], 0, 1, 1000)->a.n, 1);
    all_kept(world, &o[0]);

    /* And its time is over. */
    p.block_timeout_ms = 100;
    p.block_fallback = OVERFLOW_REJECT;
    o[0].node->store->ops->define(o[0].q, &(struct store_open){{SLICE("block"), {0}, {0}}, &p});
    since = wall_ms();
    facts_of(world, &o[0]);
    ck_assert_int_eq(put_one(&o[0], 5), REASON_FULL);
    ck_assert_int_ge(wall_ms() - since, 100);
}
END_TEST

START_TEST(time_to_live)
{
    struct queue_policy p = policy_default(POLICY_QUEUE);
    struct opened o;
    int64_t since = wall_ms();

    p.message_ttl_ms = 150;
    o = open_queue(world, 0, "ttl", &p);
    put_kept(world, &o, 1, 5, 20);
    until(world, wall_ms() > since + 400);
    ck_assert_uint_eq(fetch(world, &o, 0, 10, 1000)->a.n, 0);
    until(world, lost(&o, REASON_EXPIRED) == 5);
    ck_assert_uint_eq(facts_of(world, &o).messages, 0);
}
END_TEST

/* ----------------------------------------------------------------------------- dead letters */

static struct queue_policy with_letters(uint64_t max, enum overflow overflow)
{
    struct queue_policy p = limited(max, overflow);

    (void)snprintf(p.dead_letter, sizeof p.dead_letter, "dead");
    return p;
}

/* Keys of those that nodes are to make letters of, since `at`: as bits. */
static uint64_t dead(struct opened *o, size_t nodes, enum reason reason)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < nodes; i++) {
        const struct heard *h;
        size_t at = 0;

        while (o[i].node->store && (h = find_heard(o[i].node, STORED_DEAD, o[i].handle, &at))) {
            ck_assert_int_eq(h->a.reason, reason);
            for (uint32_t k = 0; k < h->a.n; k++) {
                uint64_t bit = UINT64_C(1) << key_of(&h->messages[k]);

                ck_assert_msg(!(bits & bit), "two letters of one message");
                bits |= bit;
            }
        }
    }
    return bits;
}

/* The letters of those have come to where they were sent. */
static void settle_dead(struct opened *o)
{
    const struct heard *h;
    size_t at = 0;

    while ((h = find_heard(o->node, STORED_DEAD, o->handle, &at)))
        for (uint32_t k = 0; k < h->a.n; k++)
            settle(o, SETTLE_GONE, h->messages[k].seq, 1, 0, 0);
}

START_TEST(the_oldest_have_letters)
{
    struct queue_policy p = with_letters(3, OVERFLOW_DROP_OLDEST);
    struct opened o[NODES] = {open_queue(world, 0, "letters", &p),
                              open_queue(world, 1, "letters", &p)};
    static struct seen list[10];

    put_kept(world, &o[0], 1, 3, 20);
    put_kept(world, &o[1], 4, 2, 20);
    until(world, dead(o, NODES, REASON_DROP_OLDEST) == 0x06);
    settle_dead(&o[0]);
    settle_dead(&o[1]);
    until_idle(world);
    ck_assert_uint_eq(look(world, &o[0], list, ARRAY_LEN(list)), 3);
    ck_assert_uint_eq(list[0].key, 3);
    ck_assert_uint_eq(facts_of(world, &o[0]).bytes, 60);
    ck_assert_uint_eq(lost(&o[0], REASON_DROP_OLDEST) + lost(&o[1], REASON_DROP_OLDEST), 0);
}
END_TEST

/* What it was to make letters of waits again. */
START_TEST(who_makes_a_letter_dies)
{
    struct queue_policy p = with_letters(3, OVERFLOW_DROP_OLDEST);
    struct opened o[NODES] = {open_queue(world, 0, "heir", &p), open_queue(world, 1, "heir", &p)};
    uint64_t keys = 0;

    if (!world->make->die)
        return;
    put_kept(world, &o[0], 1, 5, 20);
    until(world, dead(o, 1, REASON_DROP_OLDEST) == 0x06);
    world->make->die(world, 0);
    for (int64_t end = wall_ms() + 20000; keys != 0x3e && wall_ms() < end;) {
        const struct heard *h = fetch(world, &o[1], 0, 10, 1 << 20);

        for (uint32_t i = 0; i < h->a.n; i++)
            keys |= UINT64_C(1) << key_of(&h->messages[i]);
        world->make->turn(world);
    }
    ck_assert_uint_eq(keys, 0x3e);
}
END_TEST

START_TEST(the_newest_have_letters)
{
    struct queue_policy p = with_letters(2, OVERFLOW_DROP_NEWEST);
    struct opened o = open_queue(world, 0, "newest", &p);
    const struct heard *h;
    uint64_t keys = 0;
    size_t at;

    put_kept(world, &o, 1, 2, 20);
    at = o.node->n;
    ck_assert_int_eq(put(&o, 3, 3, 20), 0);
    for (unsigned n = 0; n < 3; n += (unsigned)h->a.count) {
        until(world, (h = find_heard(o.node, STORED_PUT, o.handle, &at)) != NULL);
        ck_assert_int_eq(h->a.reason, REASON_DROP_NEWEST);
        ck_assert_uint_eq(h->a.n, h->a.count);
        for (uint32_t i = 0; i < h->a.n; i++)
            keys |= UINT64_C(1) << key_of(&h->messages[i]);
    }
    ck_assert_uint_eq(keys, 0x38);
    ck_assert_uint_eq(facts_of(world, &o).messages, 2);
}
END_TEST

START_TEST(those_in_time_have_letters)
{
    struct queue_policy p = with_letters(100, OVERFLOW_REJECT);
    struct opened o[NODES];
    int64_t since;

    p.message_ttl_ms = 300;
    o[0] = open_queue(world, 0, "late", &p);
    o[1] = open_queue(world, 1, "late", &p);
    put_kept(world, &o[0], 1, 3, 20);
    since = wall_ms();
    until(world, dead(o, NODES, REASON_EXPIRED) == 0x0e); /* nobody fetches */
    ck_assert_int_ge(wall_ms() - since, 250);
    ck_assert_int_le(wall_ms() - since, 300 + 1500);
    settle_dead(&o[0]);
    settle_dead(&o[1]);
    until_idle(world);
    ck_assert_uint_eq(facts_of(world, &o[0]).messages, 0);
    ck_assert_uint_eq(facts_of(world, &o[0]).bytes, 0);
}
END_TEST

static void put_with_ttl(struct opened *o, uint64_t key, int64_t ttl_ms)
{
    struct msg_meta meta = {.type = {.id = CTYPE_NONE}, .ttl_ms = ttl_ms};
    struct msg_view v = {.data = body_of(key, 20), .len = 20, .meta = &meta};
    struct run run = {.v = &v, .n = 1, .bytes = v.len, .type = {5, {0}}};
    struct msg_origin from = {topic_new(SLICE("t"), 1), run.type, key, wall_ms(), 77};

    ck_assert_int_eq(o->node->store->ops->put(o->q, o->label++, &run, &from), 0);
    topic_unref(from.topic);
}

/* Those with times of their own, in between others and among those that came back: _i says whether
 * there is a dead-letter topic. */
START_TEST(times_of_their_own)
{
    struct queue_policy p = _i ? with_letters(100, OVERFLOW_REJECT) : limited(100, OVERFLOW_REJECT);
    struct opened o = open_queue(world, 0, _i ? "own" : "own too", &p);
    static struct seen list[10];
    const struct heard *h;

    for (uint64_t key = 1; key <= 6; key++)
        put_with_ttl(&o, key, key % 2 ? 0 : 300);
    all_kept(world, &o);
    h = fetch(world, &o, 0, 2, 1 << 20); /* 1 and 2 come back, 2 for later */
    ck_assert_uint_eq(h->a.n, 2);
    settle(&o, SETTLE_RETURNED, h->messages[0].seq, 1, 1, 0);
    settle(&o, SETTLE_RETURNED, h->messages[1].seq, 1, 1, wall_ms() + 3600000);
    if (_i)
        until(world, dead(&o, 1, REASON_EXPIRED) == 0x54);
    else
        until(world, lost(&o, REASON_EXPIRED) == 3);
    settle_dead(&o);
    until_idle(world);
    ck_assert_uint_eq(facts_of(world, &o).messages, 3);
    ck_assert_uint_eq(facts_of(world, &o).bytes, 60);
    ck_assert_uint_eq(look(world, &o, list, ARRAY_LEN(list)), 3);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(list[i].key, 2 * i + 1);
        ck_assert_uint_eq(list[i].attempts, i == 0);
    }
    h = fetch(world, &o, 0, 10, 1 << 20);
    for (uint32_t n = h->a.n; n < 3; n += h->a.n)
        h = fetch(world, &o, 0, 10, 1 << 20);
}
END_TEST

START_TEST(purged_but_held)
{
    struct opened o[NODES] = {open_queue(world, 0, "held", NULL),
                              open_queue(world, 1, "held", NULL)};

    put_kept(world, &o[0], 1, 10, 20);
    ck_assert_uint_eq(fetch(world, &o[1], 0, 4, 1 << 20)->a.n, 4);
    ck_assert_uint_eq(purge(world, &o[0], UINT64_MAX, NULL, 0), 6);
    ck_assert_uint_eq(facts_of(world, &o[0]).messages, 4);
}
END_TEST

/* Skipped, counted, and in nobody's way: met by a put, then by a fetch. */
START_TEST(somebody_elses_entries)
{
    struct queue_policy policy = {
        .max_messages = 100, .max_bytes = 100000, .message_ttl_ms = 3600 * 1000};
    struct opened o;
    uint64_t spoilt = 0;

    if (!world->make->spoil)
        return;
    o = open_queue(world, 0, "spoilt", &policy);
    for (uint64_t k = 0; k < 4; k++) {
        const struct heard *h;

        put_kept(world, &o, 1 + 20 * k, 10, 20);
        spoilt += world->make->spoil(world, "spoilt");
        if (k % 2)
            put_kept(world, &o, 11 + 20 * k, 10, 20);
        for (uint32_t n = 0; n < 10 + 10 * (k % 2); n += h->a.n) {
            h = fetch(world, &o, 0, 100, 1 << 20);
            for (uint32_t i = 0; i < h->a.n; i++) {
                ck_assert_uint_eq(key_of(&h->messages[i]), 1 + 20 * k + n + i);
                settle(&o, SETTLE_GONE, h->messages[i].seq, 1, 0, 0);
            }
        }
        until(world, lost(&o, REASON_STORE) + lost(&o, REASON_EXPIRED) == spoilt);
    }
    put_kept(world, &o, 101, 2, 20);
    settle(&o, SETTLE_GONE, fetch(world, &o, 0, 1, 1 << 20)->messages[0].seq, 1, 0, 0);
    ck_assert_uint_eq(facts_of(world, &o).messages, 1);
    ck_assert_uint_eq(facts_of(world, &o).bytes, 20);
}
END_TEST

/* ---------------------------------------------------------------------------- other nodes */

START_TEST(made_and_removed_elsewhere)
{
    struct store_definition def = {SLICE("there"), SLICE("\3a.b"), SLICE("w")};
    const struct heard *h;
    struct opened o, p;
    size_t at = 0;

    for (unsigned i = 0; i < NODES; i++, at = 0)
        until(world, find_heard(&world->node[i], STORED_ALL_FOUND, 0, &at) != NULL);
    at = world->node[1].n;
    o = open_defined(world, 0, &def, NULL);
    until(world, (h = find_heard(&world->node[1], STORED_FOUND, 0, &at)) != NULL);
    ck_assert(slice_eq(h->a.def.name, def.name) && slice_eq(h->a.def.filters, def.filters) &&
              slice_eq(h->a.def.wishes, def.wishes));
    p = open_defined(world, 1, &def, NULL);
    put_kept(world, &p, 1, 1, 20);

    def.filters = SLICE("\3a.b\1#");
    o.node->store->ops->define(
        o.q,
        &(struct store_open){def, &(struct queue_policy){.max_messages = 100, .max_bytes = 1000}});
    until(world, (h = find_heard(&world->node[1], STORED_FOUND, 0, &at)) != NULL);
    ck_assert(slice_eq(h->a.def.name, def.name) && slice_eq(h->a.def.filters, def.filters));

    close_queue(&o, true);
    until(world, (h = find_heard(&world->node[1], STORED_REMOVED, 0, &at)) != NULL);
    ck_assert(slice_eq(h->a.def.name, def.name));
    ck_assert(put_one(&p, 2) != REASON_NONE);
    close_queue(&p, false);
    until_idle(world);
    reopen(world);
    at = 0;
    until(world, find_heard(&world->node[1], STORED_ALL_FOUND, 0, &at) != NULL);
    at = 0;
    ck_assert_ptr_null(find_heard(&world->node[1], STORED_FOUND, 0, &at));
}
END_TEST

void add_shared(TCase *tc)
{
    tcase_add_test(tc, taken_once);
    tcase_add_test(tc, each_nodes_order);
    tcase_add_test(tc, returned_to_all);
    tcase_add_test(tc, news_of_puts);
    tcase_add_test(tc, a_node_dies);
    tcase_add_test(tc, full_rejects);
    tcase_add_test(tc, full_drops_oldest);
    tcase_add_test(tc, full_drops_newest);
    tcase_add_test(tc, full_blocks);
    tcase_add_test(tc, time_to_live);
    tcase_add_test(tc, the_oldest_have_letters);
    tcase_add_test(tc, who_makes_a_letter_dies);
    tcase_add_test(tc, the_newest_have_letters);
    tcase_add_test(tc, those_in_time_have_letters);
    tcase_add_loop_test(tc, times_of_their_own, 0, 2);
    tcase_add_test(tc, purged_but_held);
    tcase_add_test(tc, somebody_elses_entries);
    tcase_add_test(tc, made_and_removed_elsewhere);
}
