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

void add_exclusive(TCase *tc)
{
    tcase_add_test(tc, fetched_by_number);
    tcase_add_test(tc, fetched_over_holes);
    tcase_add_test(tc, numbers_with_holes);
    tcase_add_test(tc, returned_with_attempts);
    tcase_add_test(tc, purged_but_some);
    tcase_add_test(tc, answers_in_order);
}
