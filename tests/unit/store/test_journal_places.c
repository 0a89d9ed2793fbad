/* Where messages lie, and when those were settled that are retained. */
#include "brokerd/store/journal/places.h"

#include "tests/unit/support.h"

enum { NUMBERS = 3000 };

/* What there is to be, by number. */
struct model {
    bool there, past;
    int64_t gone_ms;
};

static struct model model[NUMBERS];

static void expect_same(struct seeded *s, const struct places *ps, int64_t before_ms)
{
    uint64_t n = 0, past = 0, all = 0, waiting = 0, old = 0;

    for (uint64_t seq = 0; seq < NUMBERS; seq++) {
        const struct model *m = &model[seq];
        const struct place *p = places_find(ps, seq);
        int64_t within, told;

        expect(s, (p != NULL) == m->there);
        n += m->there;
        past += m->past;
        if (!m->there)
            continue;
        expect(s, p->segment == 1 + seq && p->is_past == m->past && p->size == 64);
        for (all = seq; places_next(ps, &all) != p;)
            expect(s, false);
        if (!m->past) {
            waiting = seq;
            expect(s, p->attempts == seq % 7 && places_next_waiting(ps, &waiting) == p);
            continue;
        }
        told = places_gone_ms(ps, seq, &within);
        expect(s, told >= m->gone_ms && told - m->gone_ms <= within);
        old = seq;
        expect(s, (places_next_past(ps, &old, before_ms) == p) == (told < before_ms));
        expect(s, places_next_past(ps, &old, INT64_MAX) != NULL);
    }
    expect(s, ps->n == n && ps->past == past);
}

/* Times from milliseconds to years apart, forwards and backwards, in one page and in many. */
START_TEST(when_it_was_settled)
{
    struct seeded s = seeded_start();
    struct places ps = {0};
    int64_t now = INT64_C(1700000000000);

    memset(model, 0, sizeof model);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t seq = seeded_below(&s, i < 10000 ? 256 : NUMBERS);
        struct model *m = &model[seq];
        struct place p = {.segment = (uint32_t)(1 + seq), .size = 64, .attempts = seq % 7};

        now += (int64_t)seeded_below(&s, UINT64_C(1) << seeded_below(&s, 34)) -
               (int64_t)seeded_below(&s, UINT64_C(1) << seeded_below(&s, 24));
        if (!m->there) {
            ck_assert_int_eq(places_put(&ps, seq, &p), 0);
            *m = (struct model){.there = true};
        } else if (seeded_below(&s, 2)) {
            places_retain(&ps, seq, now);
            *m = (struct model){true, true, now};
        } else if (m->past && seeded_below(&s, 2)) {
            places_revive(&ps, seq);
            m->past = false;
            places_find(&ps, seq)->attempts = seq % 7;
        } else {
            places_drop(&ps, seq);
            *m = (struct model){0};
        }
        if (i % 500 == 0)
            expect_same(&s, &ps, now - (int64_t)seeded_below(&s, UINT64_C(1) << 36));
    }
    places_fini(&ps);
}
END_TEST

/* What is settled within half a minute is told to the millisecond. */
START_TEST(exact_within_half_a_minute)
{
    struct places ps = {0};
    int64_t within;

    for (uint64_t seq = 1; seq < 256; seq++) {
        struct place p = {.segment = 1, .size = 64};

        ck_assert_int_eq(places_put(&ps, seq, &p), 0);
        places_retain(&ps, seq, INT64_C(1700000000000) + (int64_t)(seq * 9999) % 32768);
    }
    for (uint64_t seq = 1; seq < 256; seq++) {
        ck_assert_int_eq(places_gone_ms(&ps, seq, &within),
                         INT64_C(1700000000000) + (int64_t)(seq * 9999) % 32768);
        ck_assert_int_eq(within, 0);
    }
    ck_assert_uint_eq(sizeof(struct place), 16);
    places_fini(&ps);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("journal_places");
    TCase *tc = tcase_create("places");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, when_it_was_settled);
    tcase_add_test(tc, exact_within_half_a_minute);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
