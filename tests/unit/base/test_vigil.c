/* Staying awake pays where what comes next came soon, time and again; and costs little elsewhere.
 */
#include <check.h>

#include "libbroker/base/vigil.h"

enum { SHORT = VIGIL_NS / 3, LONG = VIGIL_NS + 1 };

/* Waits of so long, one after the other. */
static void wait_for(struct vigil *v, int64_t *now, unsigned times, int64_t each)
{
    while (times--) {
        vigil_begin(v, *now);
        *now += each;
        vigil_came(v, *now);
    }
}

START_TEST(not_before_short_waits_were_seen)
{
    struct vigil v = {0};
    int64_t now = 1;

    ck_assert(!vigil_on(&v, now));
    wait_for(&v, &now, VIGIL_STEP - 1, SHORT);
    vigil_begin(&v, now);
    ck_assert(!vigil_on(&v, now));
    vigil_came(&v, ++now);
    ck_assert(!vigil_on(&v, now)); /* nothing is waited for */
    vigil_begin(&v, now);
    ck_assert(vigil_on(&v, now));
    ck_assert(vigil_on(&v, now + VIGIL_NS));
    ck_assert(vigil_on(&v, now)); /* however often it looks */
}
END_TEST

START_TEST(never_for_waits_that_are_long)
{
    struct vigil v = {0};
    int64_t now = 1;

    wait_for(&v, &now, 100, LONG);
    vigil_begin(&v, now);
    ck_assert(!vigil_on(&v, now));
    wait_for(&v, &now, 3 * VIGIL_MOST, SHORT);
    wait_for(&v, &now, VIGIL_MOST / VIGIL_STEP, LONG);
    vigil_begin(&v, now);
    ck_assert(!vigil_on(&v, now));
}
END_TEST

START_TEST(in_vain_once_in_so_many)
{
    struct vigil v = {0};
    int64_t now = 1;
    unsigned vain = 0, waits = 1000;

    wait_for(&v, &now, VIGIL_MOST, SHORT);
    for (unsigned i = 0; i < waits; i++) {
        wait_for(&v, &now, 1, SHORT);
        vigil_begin(&v, now);
        vain += vigil_on(&v, now);
        now += LONG;
        ck_assert(!vigil_on(&v, now)); /* it sleeps from now on, */
        ck_assert(!vigil_on(&v, now));
        now += LONG;
        vigil_came(&v, now); /* and what comes later is no short wait */
    }
    ck_assert_uint_ge(vain, 1);
    ck_assert_uint_le(vain, waits / VIGIL_STEP + VIGIL_MOST);
}
END_TEST

START_TEST(not_while_others_want_the_cpu)
{
    struct vigil v = {0};
    int64_t now = 1, lost;

    wait_for(&v, &now, VIGIL_MOST, SHORT);
    vigil_begin(&v, now);
    vigil_yielded(&v, now, now + VIGIL_LOST_NS);
    now += VIGIL_LOST_NS;
    ck_assert(vigil_on(&v, now));
    vigil_came(&v, now);
    lost = now + VIGIL_LOST_NS + 1;
    vigil_yielded(&v, now, lost);
    vigil_begin(&v, lost);
    ck_assert(!vigil_on(&v, lost));
    vigil_begin(&v, lost + VIGIL_OFF_NS - 1);
    ck_assert(!vigil_on(&v, lost + VIGIL_OFF_NS - 1));
    ck_assert(vigil_on(&v, lost + VIGIL_OFF_NS));
}
END_TEST

/* The CPU is lost whenever it is looked for something, or once in a while. */
static int64_t off_after(unsigned times, int64_t apart_ns)
{
    struct vigil v = {0};
    int64_t now = 1;

    while (times--) {
        now += apart_ns;
        vigil_yielded(&v, now, now + VIGIL_LOST_NS + 1);
        now = v.off_ns;
    }
    return v.lost_ns;
}

START_TEST(longer_if_lost_again_and_again)
{
    ck_assert_int_eq(off_after(1, 1000), VIGIL_OFF_NS);
    ck_assert_int_eq(off_after(2, 1000), 2 * VIGIL_OFF_NS);
    ck_assert_int_eq(off_after(50, 1000), VIGIL_OFF_MOST_NS);
    ck_assert_int_eq(off_after(50, VIGIL_OFF_APART * (int64_t)VIGIL_OFF_NS + 1), VIGIL_OFF_NS);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("vigil");
    TCase *c = tcase_create("vigil");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(c, not_before_short_waits_were_seen);
    tcase_add_test(c, never_for_waits_that_are_long);
    tcase_add_test(c, in_vain_once_in_so_many);
    tcase_add_test(c, not_while_others_want_the_cpu);
    tcase_add_test(c, longer_if_lost_again_and_again);
    suite_add_tcase(s, c);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
