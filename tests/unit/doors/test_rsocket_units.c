/* RSocket's stream of bytes, cut into messages and made of them. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "brokerd/doors/rsocket/units.h"
#include "libbroker/wire/rsocket.h"

/* However the bytes are cut, units end where their lengths say. */
START_TEST(units_end_where_their_lengths_say)
{
    static const uint8_t bytes[] = {0, 0, 2, 'a', 'b', 0, 0, 0, 0, 0, 1, 'c'};
    static const size_t ends[] = {5, 8, 12};

    for (size_t step = 1; step <= sizeof bytes; step++) {
        struct unit_scan s = {0};
        size_t at = 0, n = 0;

        while (at < sizeof bytes) {
            size_t have = sizeof bytes - at < step ? sizeof bytes - at : step, used;
            bool is_end = false;

            used = rsocket_units.scan(&s, slice_of(bytes + at, have), &is_end);
            ck_assert_uint_le(used, have);
            ck_assert(is_end || used == have);
            at += used;
            if (!is_end)
                continue;
            ck_assert_uint_eq(at, ends[n]);
            n++;
            s = (struct unit_scan){0};
        }
        ck_assert_uint_eq(n, 3);
    }
}
END_TEST

START_TEST(a_message_gets_its_length)
{
    uint8_t p[] = "???hello";

    ck_assert_int_eq(rsocket_units.make(p + 3, 5), 0);
    ck_assert_mem_eq(p, "\0\0\5hello", 8);
    ck_assert_int_eq(rsocket_units.make(p + 3, 0xffffff), 0);
    ck_assert_mem_eq(p, "\xff\xff\xff", 3);
    ck_assert_int_eq(rsocket_units.make(p + 3, 0x1000000), -EMSGSIZE);
}
END_TEST

START_TEST(who_is_turned_away_hears_why)
{
    struct block_pool pool = {.small_n = 0};
    struct out_host host = {.pool = &pool};
    struct rs_frame f;
    const char *why;
    size_t used;
    struct iovec iov;
    struct out o;

    out_init(&o, &host);
    units_turn_away(&o, "not here");
    ck_assert_int_eq(out_peek(&o, &iov, 1), 1);
    ck_assert_int_eq(rs_decode(1000, iov.iov_base, iov.iov_len, &f, &used, &why), WIRE_FRAME);
    ck_assert_uint_eq(used, iov.iov_len);
    ck_assert_uint_eq(f.type, RS_ERROR);
    ck_assert_uint_eq(f.number, RS_REJECTED_SETUP);
    out_fini(&o);
    out_host_fini(&host);
    block_pool_fini(&pool);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rsocket units");
    TCase *tc = tcase_create("units");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, units_end_where_their_lengths_say);
    tcase_add_test(tc, a_message_gets_its_length);
    tcase_add_test(tc, who_is_turned_away_hears_why);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
