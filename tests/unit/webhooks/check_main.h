/* check_main.h - what every test program of this folder ends with.
 *
 * Thread   Main. */
#ifndef TESTS_UNIT_WEBHOOKS_CHECK_MAIN_H
#define TESTS_UNIT_WEBHOOKS_CHECK_MAIN_H

#include <check.h>
#include <stdlib.h>

/* Run one case's tests. Returns the exit status. */
static inline int check_run(const char *name, void (*add)(TCase *tc))
{
    Suite *s = suite_create(name);
    TCase *tc = tcase_create(name);
    SRunner *runner;
    int failed;

    add(tc);
    suite_add_tcase(s, tc);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

#endif
