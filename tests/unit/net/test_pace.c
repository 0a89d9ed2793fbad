/* How much is read at once, by how long it takes. */
#include <check.h>

#include "brokerd/net/pace.h"

enum { MS = 1000 * 1000 };

START_TEST(slow_is_halved_quick_is_doubled)
{
    static const struct {
        uint8_t before;
        int took_ms;
        uint8_t after;
    } rows[] = {
        {0, 5, 0}, {0, 29, 0}, {0, 30, 1}, {1, 115, 2}, {5, 900, 5},
        {3, 9, 2}, {3, 10, 3}, {3, 29, 3}, {1, 0, 0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_uint_eq(pace_after(rows[i].before, (int64_t)rows[i].took_ms * MS), rows[i].after);
}
END_TEST

/* What takes the same time for each byte comes to rest. */
START_TEST(it_comes_to_rest)
{
    for (int64_t ns = 1; ns < 3000; ns += 7) { /* a byte */
        uint8_t pace = 0, before = 0;

        for (int i = 0; i < 2 * PACE_HALVINGS; i++) {
            before = pace;
            pace = pace_after(pace, ns * (int64_t)pace_bytes(pace, 256 << 10));
        }
        ck_assert_uint_eq(pace, before);
        ck_assert(pace == PACE_HALVINGS ||
                  ns * (int64_t)pace_bytes(pace, 256 << 10) < PACE_SLOW_NS);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pace");
    TCase *tc = tcase_create("pace");
    SRunner *r;
    int failed;

    tcase_add_test(tc, slow_is_halved_quick_is_doubled);
    tcase_add_test(tc, it_comes_to_rest);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
