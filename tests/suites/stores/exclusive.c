/* exclusive.c - what a store is asked whose messages one core numbers, limits and has. */
#include "tests/suites/stores/suite.h"

START_TEST(fetched_by_number)
{
    struct opened o = open_queue(world, 0, "fetch", NULL);
    const struct heard *h;
    uint64_t at = 1, came = 0;

    put_kept(world, &o, 1, 5000, 100);
    while (at <= 5000) {
        h = fetch(world, &o, at, 300, 10000);
        ck_assert_uint_ge(h->a.n, 1);
        ck_assert_uint_le(h->a.n, 300);
        for (uint32_t i = 0; i < h->a.n; i++, came++) {
            ck_assert_uint_eq(h->messages[i].seq, came + 1);
            ck_assert_uint_eq(key_of(&h->messages[i]), came + 1);
        }
        ck_assert_uint_gt(h->a.upto, h->messages[h->a.n - 1].seq);
        at = h->a.upto;
    }
    ck_assert_uint_eq(came, 5000);
    ck_assert_uint_eq(at, 5001);
    h = fetch(world, &o, 5001, 10, 100);
    ck_assert_uint_eq(h->a.n, 0);
    ck_assert_uint_eq(h->a.upto, 5001);
    /* Fetched is not taken: again, from the middle. */
    h = fetch(world, &o, 2500, 3, 100000);
    ck_assert_uint_eq(h->a.n, 3);
    ck_assert_uint_eq(h->messages[0].seq, 2500);
}
END_TEST

START_TEST(fetched_over_holes)
{
    struct opened o = open_queue(world, 0, "holes", NULL);
    const struct heard *h;
    uint64_t at = 1;

    put_kept(world, &o, 1, 1000, 10);
    settle(&o, SETTLE_GONE, 1, 100, 0, 0);
    settle(&o, SETTLE_GONE, 150, 800, 0, 0);
    settle(&o, SETTLE_GONE, 999, 2, 0, 0);
    for (uint64_t seq = 101; seq < 999; at = h->a.upto) {
        h = fetch(world, &o, at, 7, 1 << 20);
        ck_assert(h->a.n || h->a.upto > at);
        for (uint32_t i = 0; i < h->a.n; i++, seq++) {
            seq = seq == 150 ? 950 : seq;
            ck_assert_uint_eq(h->messages[i].seq, seq);
            ck_assert_uint_eq(key_of(&h->messages[i]), seq);
        }
        ck_assert(at <= seq);
    }
    ck_assert_uint_eq(facts_of(world, &o).messages, 49 + 49);
    ck_assert_uint_eq(facts_of(world, &o).first, 101);
    /* Nothing is left: and yet no number is used again. */
    ck_assert_uint_eq(purge(world, &o, 1000, NULL, 0), 98);
    until_idle(world);
    reopen(world);
    o = open_queue(world, 0, "holes", NULL);
    ck_assert_uint_eq(o.facts.messages, 0);
    ck_assert_uint_eq(o.facts.next, 1001);
    ck_assert_uint_eq(o.facts.first, 1001);
}
END_TEST

START_TEST(numbers_with_holes)
{
    struct opened o = open_queue(world, 0, "numbers", NULL);
    const struct heard *h;

    put_kept(world, &o, 1, 10, 10);
    /* Those between were refused by the core, or by the store. */
    o.label = 500;
    ck_assert_int_eq(put(&o, 500, 3, 10), 0);
    o.facts.next = 490; /* ten were answered */
    all_kept(world, &o);
    h = fetch(world, &o, 1, 100, 1 << 20);
    ck_assert_uint_eq(h->a.n, 13);
    ck_assert_uint_eq(h->messages[10].seq, 500);
    ck_assert_uint_eq(h->a.upto, 503);
    until_idle(world);
    reopen(world);
    o = open_queue(world, 0, "numbers", NULL);
    ck_assert_uint_eq(o.facts.next, 503);
    ck_assert_uint_eq(peek(world, &o, 11, 100)->messages[0].seq, 500);
}
END_TEST

START_TEST(returned_with_attempts)
{
    struct opened o = open_queue(world, 0, "back", NULL);
    int64_t due = wall_ms() + 3600000;
    const struct heard *h;

    put_kept(world, &o, 1, 100, 10);
    settle(&o, SETTLE_RETURNED, 5, 1, 1, 0);
    settle(&o, SETTLE_RETURNED, 10, 5, 2, due);
    settle(&o, SETTLE_RETURNED, 12, 1, 3, 0);
    settle(&o, SETTLE_GONE, 13, 1, 0, 0);
    ck_assert_uint_eq(facts_of(world, &o).returned, 5);
    for (unsigned again = 0; again < 2; again++) {
        h = fetch(world, &o, 1, 100, 1 << 20);
        ck_assert_uint_eq(h->a.n, 99);
        for (uint32_t i = 0; i < h->a.n; i++) {
            const struct stored_message *m = &h->messages[i];
            bool late = m->seq >= 10 && m->seq < 15 && m->seq != 12;

            ck_assert_uint_eq(m->attempts, m->seq == 12 ? 3 : m->seq == 5 ? 1 : late ? 2 : 0);
            ck_assert_int_eq(m->due_ms, late ? due : 0);
        }
        until_idle(world);
        reopen(world);
        o = open_queue(world, 0, "back", NULL);
        ck_assert_uint_eq(o.facts.returned, 5);
    }
}
END_TEST

START_TEST(purged_but_some)
{
    const struct store_settlement but[] = {
        {SETTLE_GONE, 1, 1, 0, 0}, {SETTLE_GONE, 10, 20, 0, 0}, {SETTLE_GONE, 5, 95, 0, 0}};
    struct opened o = open_queue(world, 0, "but", NULL);
    static struct seen list[200];

    put_kept(world, &o, 1, 100, 10);
    settle(&o, SETTLE_GONE, 25, 1, 0, 0);
    ck_assert_uint_eq(purge(world, &o, 96, but, 3), 96 - 1 - 10 - 2);
    for (unsigned again = 0; again < 2; again++) {
        ck_assert_uint_eq(look(world, &o, list, ARRAY_LEN(list)), 1 + 9 + 6);
        ck_assert_uint_eq(list[0].seq, 1);
        ck_assert_uint_eq(list[1].seq, 20);
        ck_assert_uint_eq(list[9].seq, 29);
        ck_assert_uint_eq(list[10].seq, 95);
        ck_assert_uint_eq(list[15].seq, 100);
        until_idle(world);
        reopen(world);
        o = open_queue(world, 0, "but", NULL);
    }
}
END_TEST

/* Puts, fetches and settlements of one queue, one behind the other without waiting: each sees what
 * was asked before it. */
START_TEST(answers_in_order)
{
    struct opened o = open_queue(world, 0, "pipeline", NULL);
    const struct store_ops *ops = o.node->store->ops;
    const struct heard *h;
    size_t at = o.node->n;

    ck_assert_int_eq(put(&o, 1, 20, 50), 0);
    ops->fetch(o.q, 1, 100, 1 << 20);
    ck_assert_int_eq(put(&o, 21, 5, 50), 0);
    settle(&o, SETTLE_GONE, 3, 2, 0, 0);
    ck_assert_int_eq(ops->peek(o.q, 1, 100, 7), 0);
    ck_assert_int_eq(ops->purge(o.q, 10, NULL, 0, 8), 0);
    ck_assert_int_eq(ops->ask(o.q, 9), 0);
    until(world, (h = find_heard(o.node, STORED_MESSAGES, o.handle, &at)) != NULL);
    ck_assert_uint_eq(h->a.n, 20);
    until(world, (h = find_heard(o.node, STORED_PEEKED, o.handle, &at)) != NULL);
    ck_assert_uint_eq(h->a.n, 23);
    until(world, (h = find_heard(o.node, STORED_PURGED, o.handle, &at)) != NULL);
    ck_assert_uint_eq(h->a.count, 8);
    until(world, (h = find_heard(o.node, STORED_FACTS, o.handle, &at)) != NULL);
    ck_assert_uint_eq(h->a.facts.messages, 15);
    all_kept(world, &o);
}
END_TEST

/* -------------------------------------------------------------------------------- the past */

static struct queue_policy retaining(int64_t ms)
{
    struct queue_policy p = policy_default(POLICY_QUEUE);

    p.retain_ms = ms;
    return p;
}

static struct store_facts rewound(struct opened *o, enum rewind_to to, uint64_t seq,
                                  int64_t time_ms)
{
    const struct store_rewind where = {to, seq, time_ms};
    size_t at = o->node->n;
    const struct heard *h;

    ck_assert_int_eq(o->node->store->ops->rewind(o->q, &where, 4711), 0);
    until(world, (h = find_heard(o->node, STORED_REWOUND, o->handle, &at)) != NULL);
    ck_assert_uint_eq(h->a.token, 4711);
    ck_assert_int_eq(h->a.reason, REASON_NONE);
    return h->a.facts;
}

/* first .. last wait, and nothing else, as if never delivered; of key k is number k. */
static void expect_waits(struct opened *o, uint64_t first, uint64_t last)
{
    const struct heard *h = fetch(world, o, 0, 1000, STORE_FETCH_BYTES);
    struct store_facts f = facts_of(world, o);

    ck_assert_uint_eq(h->a.n, last + 1 - first);
    for (uint32_t i = 0; i < h->a.n; i++) {
        ck_assert_uint_eq(h->messages[i].seq, first + i);
        ck_assert_uint_eq(key_of(&h->messages[i]), first + i);
        ck_assert_uint_eq(h->messages[i].attempts, 0);
        ck_assert_int_eq(h->messages[i].due_ms, 0);
    }
    ck_assert_uint_eq(f.messages, last + 1 - first);
    ck_assert_uint_eq(f.first, last < first ? f.next : first);
    ck_assert_uint_eq(f.returned, 0);
}

static const struct {
    enum rewind_to to;
    uint64_t seq, waits_from;
} rewinds[] = {
    {REWIND_FIRST, 0, 1}, {REWIND_LAST, 0, 100},
    {REWIND_SEQ, 30, 30}, {REWIND_SEQ, 70, 70},
    {REWIND_SEQ, 0, 1},   {REWIND_SEQ, 999, 101},
    {REWIND_TIME, 0, 1},  {REWIND_TIME, INT64_MAX, 101},
};

/* Half of them acknowledged, some of the others returned: and then it goes on where it is told, and
 * so it stands after a stop; what comes after that can be had again, too. */
START_TEST(goes_on_elsewhere) /* _i: where; and reopened before that */
{
    uint64_t from = rewinds[_i / 2].waits_from;
    struct queue_policy policy = retaining(POLICY_NEVER);
    struct opened o = open_queue(world, 0, "past", &policy);
    struct store_facts f;

    put_kept(world, &o, 1, 100, 60);
    settle(&o, SETTLE_GONE, 1, 40, 0, 0);
    settle(&o, SETTLE_GONE, 45, 6, 0, 0);
    settle(&o, SETTLE_RETURNED, 60, 20, 3, 0);
    settle(&o, SETTLE_RETURNED, 80, 2, 1, wall_ms() + 3600000);
    if (_i % 2) {
        until_idle(world);
        reopen(world);
        o = open_queue(world, 0, "past", &policy);
        ck_assert_uint_eq(o.facts.messages, 54);
        ck_assert_uint_eq(o.facts.first, 41);
        ck_assert_uint_eq(o.facts.returned, 22);
    }
    f = rewound(&o, rewinds[_i / 2].to, rewinds[_i / 2].seq, (int64_t)rewinds[_i / 2].seq);
    ck_assert_uint_eq(f.messages, 101 - from);
    ck_assert_uint_eq(f.first, from);
    ck_assert_uint_eq(f.next, 101);
    expect_waits(&o, from, 100);
    put_kept(world, &o, 101, 10, 60);
    for (unsigned again = 0; again < 2; again++) {
        expect_waits(&o, from, 110);
        until_idle(world);
        reopen(world);
        o = open_queue(world, 0, "past", &policy);
    }
    settle(&o, SETTLE_GONE, from, (uint32_t)(111 - from), 0, 0);
    rewound(&o, REWIND_FIRST, 0, 0);
    expect_waits(&o, 1, 110);
}
END_TEST

static void put_of(struct opened *o, uint64_t n, int64_t time_ms, int64_t step_ms)
{
    struct topic *topic = topic_new(SLICE("t"), 1);

    for (; n; n--, time_ms += step_ms, o->label++) {
        struct msg_origin from = {topic, {5, {0}}, o->label, time_ms, 77};
        struct msg_view v = {.data = body_of(o->label, 60), .len = 60};
        struct run run = {.v = &v, .n = 1, .bytes = v.len, .type = from.type};

        ck_assert_int_eq(o->node->store->ops->put(o->q, o->label, &run, &from), 0);
    }
    all_kept(world, o);
    topic_unref(topic);
}

static void goes_on_at(struct opened *o, int64_t time_ms, uint64_t from)
{
    (void)rewound(o, REWIND_TIME, 0, time_ms);
    expect_waits(o, from, o->label - 1);
}

/* What was moved here was published before what is here: the first of a time is found all the same,
 * and nothing after it is passed over. */
START_TEST(goes_on_at_a_time) /* _i: how many more come in between, which are other segments */
{
    static const unsigned more[] = {0, 3000};
    struct queue_policy policy = retaining(POLICY_NEVER);
    struct opened o = open_queue(world, 0, "times", &policy);
    struct opened other = open_queue(world, 0, "other", NULL);

    put_of(&o, 100, 1000, 10);
    put_kept(world, &other, 1, more[_i], 100);
    put_of(&o, 250, 500, 1); /* moved */
    put_kept(world, &other, 1, more[_i], 100);
    put_of(&o, 20, 2000, 10);
    settle(&o, SETTLE_GONE, 1, 200, 0, 0);
    for (unsigned again = 0; again < 2; again++) {
        goes_on_at(&o, 0, 1);
        goes_on_at(&o, 2195, 371);
        goes_on_at(&o, 1505, 52);
        goes_on_at(&o, 1990, 100);
        goes_on_at(&o, 1991, 351);
        goes_on_at(&o, 510, 1);
        goes_on_at(&o, 2190, 370);
        until_idle(world);
        reopen(world);
        o = open_queue(world, 0, "times", &policy);
    }
}
END_TEST

/* Without retention there is a place to go on at, and nothing before it. */
START_TEST(goes_on_without_a_past)
{
    struct opened o = open_queue(world, 0, "nothing", NULL);

    put_kept(world, &o, 1, 100, 60);
    settle(&o, SETTLE_GONE, 1, 40, 0, 0);
    rewound(&o, REWIND_FIRST, 0, 0);
    expect_waits(&o, 41, 100);
    rewound(&o, REWIND_SEQ, 90, 0);
    expect_waits(&o, 90, 100);
    rewound(&o, REWIND_FIRST, 0, 0);
    for (unsigned again = 0; again < 2; again++) {
        expect_waits(&o, 90, 100);
        until_idle(world);
        reopen(world);
        o = open_queue(world, 0, "nothing", NULL);
    }
}
END_TEST

/* It is retained so long from the settlement on, whatever is opened and stopped meanwhile; another
 * policy counts from when it is told. */
START_TEST(retained_for_a_time)
{
    struct queue_policy policy = retaining(300), none = retaining(0),
                        ever = retaining(POLICY_NEVER);
    struct opened o = open_queue(world, 0, "time", &policy);
    const struct store_definition def = {.name = SLICE("time")};
    int64_t end;

    put_kept(world, &o, 1, 50, 60);
    settle(&o, SETTLE_GONE, 1, 50, 0, 0);
    until_idle(world);
    end = wall_ms() + 301; /* by then */
    reopen(world);
    until(world, wall_ms() > end);
    o = open_queue(world, 0, "time", &policy);
    rewound(&o, REWIND_FIRST, 0, 0);
    expect_waits(&o, 51, 50);
    o.node->store->ops->define(o.q, &(struct store_open){.def = def, .policy = &ever});
    put_kept(world, &o, 51, 50, 60);
    settle(&o, SETTLE_GONE, 51, 20, 0, 0);
    rewound(&o, REWIND_FIRST, 0, 0);
    expect_waits(&o, 51, 100);
    settle(&o, SETTLE_GONE, 51, 20, 0, 0);
    o.node->store->ops->define(o.q, &(struct store_open){.def = def, .policy = &none});
    o.node->store->ops->define(o.q, &(struct store_open){.def = def, .policy = &ever});
    rewound(&o, REWIND_FIRST, 0, 0);
    expect_waits(&o, 71, 100);
}
END_TEST

START_TEST(purged_and_removed_with_its_past)
{
    struct queue_policy policy = retaining(POLICY_NEVER);
    struct opened o = open_queue(world, 0, "gone", &policy);

    put_kept(world, &o, 1, 100, 60);
    settle(&o, SETTLE_GONE, 1, 40, 0, 0);
    ck_assert_uint_eq(purge(world, &o, 100, NULL, 0), 60);
    rewound(&o, REWIND_FIRST, 0, 0);
    expect_waits(&o, 101, 100);
    put_kept(world, &o, 101, 10, 60);
    settle(&o, SETTLE_GONE, 101, 10, 0, 0);
    close_queue(&o, true);
    o = open_queue(world, 0, "gone", &policy);
    rewound(&o, REWIND_FIRST, 0, 0);
    ck_assert_uint_eq(facts_of(world, &o).messages, 0);
}
END_TEST

void add_exclusive(TCase *tc)
{
    tcase_add_test(tc, fetched_by_number);
    tcase_add_test(tc, fetched_over_holes);
    tcase_add_test(tc, numbers_with_holes);
    tcase_add_test(tc, returned_with_attempts);
    tcase_add_test(tc, purged_but_some);
    tcase_add_test(tc, answers_in_order);
    tcase_add_loop_test(tc, goes_on_elsewhere, 0, 2 * (int)ARRAY_LEN(rewinds));
    tcase_add_loop_test(tc, goes_on_at_a_time, 0, 2);
    tcase_add_test(tc, goes_on_without_a_past);
    tcase_add_test(tc, retained_for_a_time);
    tcase_add_test(tc, purged_and_removed_with_its_past);
}
