/* What a publisher is to be told, against a list with one entry a message. */
#include "brokerd/core/ledger.h"
#include "tests/unit/support.h"

#include <errno.h>

enum { MESSAGES = 3000 };

struct one {
    uint32_t matched, accepted, waiting;
    uint16_t reason;
};

static struct one plain[MESSAGES + 1];
static uint64_t plain_open; /* of those, that wait */

static void add(struct ledger *l, uint64_t *n, const struct span *like, uint32_t count)
{
    struct span s = *like;

    s.first = *n + 1;
    s.count = count;
    if (ledger_add(l, &s) < 0)
        ck_abort_msg("no memory");
    plain_open += s.waiting ? count : 0;
    while (count--)
        plain[++*n] = (struct one){s.matched, s.accepted, s.waiting, s.reason};
}

/* What one answer does to one message. */
static bool answer_one(struct one *o, const struct answer *a)
{
    if (!o->waiting)
        return false;
    o->matched += a->matched;
    o->accepted += a->accepted;
    o->reason = worse_reason(o->reason, a->reason);
    o->waiting += a->more;
    o->waiting -= a->done < o->waiting ? a->done : o->waiting;
    return !o->waiting;
}

static void answer(struct seeded *s, struct ledger *l, uint64_t told, uint64_t n)
{
    static const enum reason reasons[] = {REASON_NONE, REASON_FULL, REASON_DROP_NEWEST};
    struct answer a = {.matched = (uint32_t)seeded_below(s, 2),
                       .accepted = (uint32_t)seeded_below(s, 2),
                       .done = 1,
                       .more = (uint16_t)(seeded_below(s, 4) == 0),
                       .reason = (uint16_t)reasons[seeded_below(s, 3)]};
    uint64_t first = told + 1 + seeded_below(s, n - told);
    uint32_t count = 1 + (uint32_t)seeded_below(s, 40);
    int64_t settled = 0;

    for (uint64_t i = first; i < first + count && i <= n; i++)
        settled += answer_one(&plain[i], &a);
    plain_open -= (uint64_t)settled;
    expect(s, ledger_answer(l, first, count, &a) == settled);
}

static uint64_t take_all(struct seeded *s, struct ledger *l, uint64_t told)
{
    struct span span;

    while (ledger_take(l, &span)) {
        expect(s, span.first == told + 1 && span.count > 0 && span.waiting == 0);
        for (; told + 1 < span.first + span.count; told++) {
            const struct one *o = &plain[told + 1];

            expect(s, !o->waiting && o->matched == span.matched);
            expect(s, o->accepted == span.accepted && o->reason == span.reason);
        }
    }
    return told;
}

START_TEST(like_one_entry_a_message)
{
    struct seeded s = seeded_start();

    for (int round = 0; round < 200; round++) {
        struct ledger l = {0};
        uint64_t n = 0, told = 0;

        plain_open = 0;
        while (n + 64 < MESSAGES || told < n) {
            if (n + 64 < MESSAGES && seeded_below(&s, 3) == 0) {
                struct span like = {.matched = (uint32_t)seeded_below(&s, 2),
                                    .accepted = (uint32_t)seeded_below(&s, 2),
                                    .waiting = (uint16_t)seeded_below(&s, 3)};

                add(&l, &n, &like, 1 + (uint32_t)seeded_below(&s, 64));
            }
            for (int i = 0; i < 8 && told < n; i++)
                answer(&s, &l, told, n);
            expect(&s, ledger_news(&l) == (told < n && !plain[told + 1].waiting));
            if (seeded_below(&s, 2))
                told = take_all(&s, &l, told);
            expect(&s, l.open == plain_open);
        }
        expect(&s, l.n == 0);
        ledger_fini(&l);
    }
}
END_TEST

START_TEST(a_steady_stream_is_one_span)
{
    struct ledger l = {0};
    struct span s = {.matched = 1, .accepted = 1};

    for (uint64_t i = 0; i < 1000; i++, s.first += s.count) {
        s.count = 64;
        if (i == 0)
            s.first = 1;
        ck_assert_int_eq(ledger_add(&l, &s), 0);
    }
    ck_assert_uint_eq(l.n, 1);
    ck_assert(ledger_take(&l, &s));
    ck_assert_uint_eq(s.count, 64000);
    ck_assert(!ledger_take(&l, &s));
    ledger_fini(&l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ledger");
    TCase *tc = tcase_create("outcomes");

    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, like_one_entry_a_message);
    tcase_add_test(tc, a_steady_stream_is_one_span);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
