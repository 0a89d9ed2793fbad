/* Whatever the alignment and the length: all the bytes, and no other. */
#include <check.h>

#include "libbroker/base/copy.h"

enum { ROOM = 512 };

START_TEST(copies_just_that)
{
    uint8_t from[ROOM], to[ROOM], wanted[ROOM];
    size_t wrong = 0;

    for (size_t i = 0; i < ROOM; i++)
        from[i] = (uint8_t)(i * 7 + 1);
    for (size_t at = 0; at < COPY_LINE; at++)
        for (size_t n = 0; n < ROOM - 2 * COPY_LINE; n++) {
            size_t start = (at * 5 + n) % COPY_LINE; /* of the source: another alignment */

            memset(to, 0, sizeof to);
            memset(wanted, 0, sizeof wanted);
            memcpy(wanted + at, from + start, n);
            copy_for_later(to + at, from + start, n);
            wrong += memcmp(to, wanted, ROOM) != 0;
        }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("copy");
    TCase *tc = tcase_create("copy");
    SRunner *r;
    int failed;

    tcase_add_test(tc, copies_just_that);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
