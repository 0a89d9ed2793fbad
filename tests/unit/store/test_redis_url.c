/* Where Redis is, as the settings say it. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/store/redis/url.h"

static const struct {
    const char *url;
    const char *means; /* KIND[ tls] HOST:PORT.. USER PASSWORD MASTER DB; or what was expected */
    int answer;
} rows[] = {
    {"redis://127.0.0.1:6380", "single 127.0.0.1:6380 [] [] [] 0", 0},
    {"redis://localhost", "single localhost:6379 [] [] [] 0", 0},
    {"redis://localhost/", "single localhost:6379 [] [] [] 0", 0},
    {"redis://localhost/3", "single localhost:6379 [] [] [] 3", 0},
    {"rediss://r.example.org:1/0", "single tls r.example.org:1 [] [] [] 0", 0},
    {"redis://[::1]:7000", "single ::1:7000 [] [] [] 0", 0},
    {"redis://me:secret@h", "single h:6379 [me] [secret] [] 0", 0},
    {"redis://:secret@h", "single h:6379 [] [secret] [] 0", 0},
    {"redis://me@h", "single h:6379 [me] [] [] 0", 0},
    {"redis://me:p%40%25%3a:@h", "single h:6379 [me] [p@%::] [] 0", 0},
    {"redis://me:a@b@h", "single h:6379 [me] [a@b] [] 0", 0},
    {"redis+sentinel://a,b:1,c/mymaster", "sentinel a:26379 b:1 c:26379 [] [] [mymaster] 0", 0},
    {"rediss+sentinel://u:p@a/m/2", "sentinel tls a:26379 [u] [p] [m] 2", 0},
    {"redis+cluster://a:1,b", "cluster a:1 b:6379 [] [] [] 0", 0},
    {"rediss+cluster://a", "cluster tls a:6379 [] [] [] 0", 0},
    {"redis+unix:///run/redis.sock", "single /run/redis.sock:0 [] [] [] 0", 0},
    {"redis+unix://me:a%2fb@/r", "single /r:0 [me] [a/b] [] 0", 0},
    {"redis+unix://run", "expected the path of a socket", -EINVAL},
    {"redis+unix:///", "expected the path of a socket", -EINVAL},
    {"", "expected redis://", -EINVAL},
    {"localhost:6379", "expected redis://", -EINVAL},
    {"http://localhost", "expected redis://", -EINVAL},
    {"redis://", "expected HOST", -EINVAL},
    {"redis://:1", "expected HOST", -EINVAL},
    {"redis://h:", "expected HOST", -EINVAL},
    {"redis://h:0", "expected HOST", -EINVAL},
    {"redis://h:65536", "expected HOST", -EINVAL},
    {"redis://h:x", "expected HOST", -EINVAL},
    {"redis://a,b", "one of them", -EINVAL},
    {"redis://[::1", "expected HOST", -EINVAL},
    {"redis://[]", "expected HOST", -EINVAL},
    {"redis://::1", "expected HOST", -EINVAL},
    {"redis://a b", "expected HOST", -EINVAL},
    {"redis://h/x", "number of a database", -EINVAL},
    {"redis://h/-1", "number of a database", -EINVAL},
    {"redis://h/65536", "number of a database", -EINVAL},
    {"redis://u:%4@h", "USER:PASSWORD", -EINVAL},
    {"redis://u:%zz@h", "USER:PASSWORD", -EINVAL},
    {"redis://u:%00@h", "USER:PASSWORD", -EINVAL},
    {"redis+sentinel://a,b", "the master's name", -EINVAL},
    {"redis+sentinel://a,b/", "the master's name", -EINVAL},
    {"redis+sentinel://a,,b/m", "expected HOST", -EINVAL},
    {"redis+cluster://a,", "expected HOST", -EINVAL},
    {"redis+cluster://a/1", "a cluster has no databases", -EINVAL},
    {"redis+cluster://a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", "up to 16", -EINVAL},
};

START_TEST(urls)
{
    static const char *const kinds[] = {"single", "sentinel", "cluster"};
    char err[REDIS_URL_ERROR_MAX] = "", text[1024];
    struct redis_url u;
    int r = redis_url_parse(slice_str(rows[_i].url), &u, err, sizeof err);
    size_t n;

    ck_assert_msg(r == rows[_i].answer, "%s: %d %s", rows[_i].url, r, err);
    if (r < 0) {
        ck_assert_msg(strstr(err, rows[_i].means) != NULL, "%s: %s", rows[_i].url, err);
        return;
    }
    n = (size_t)snprintf(text, sizeof text, "%s%s", kinds[u.kind], u.tls ? " tls" : "");
    for (unsigned i = 0; i < u.hosts_n; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, " %s:%u", u.hosts[i].name,
                              (unsigned)u.hosts[i].port);
    snprintf(text + n, sizeof text - n, " [%s] [%s] [%s] %u", u.user, u.password, u.master, u.db);
    ck_assert_str_eq(text, rows[_i].means);
}
END_TEST

START_TEST(words_that_are_too_long)
{
    char url[REDIS_URL_MAX + 64], err[REDIS_URL_ERROR_MAX];
    struct redis_url u;

    for (int n = REDIS_WORD_MAX - 1; n <= REDIS_WORD_MAX; n++) {
        snprintf(url, sizeof url, "redis://u:%0*d@h", n, 7);
        ck_assert_int_eq(redis_url_parse(slice_str(url), &u, err, sizeof err),
                         n < REDIS_WORD_MAX ? 0 : -EINVAL);
        ck_assert_ptr_null(strstr(err, "00"));
    }
    for (int n = REDIS_HOST_MAX - 1; n <= REDIS_HOST_MAX; n++) {
        snprintf(url, sizeof url, "redis://%0*d", n, 7);
        ck_assert_int_eq(redis_url_parse(slice_str(url), &u, err, sizeof err),
                         n < REDIS_HOST_MAX ? 0 : -EINVAL);
    }
    snprintf(url, sizeof url, "redis+cluster://h/%0*d", REDIS_URL_MAX, 7);
    ck_assert_int_eq(redis_url_parse(slice_str(url), &u, err, sizeof err), -EINVAL);
}
END_TEST

static const char *const hidden[][2] = {
    {"redis://u:secret@h:1/2", "redis://u@h:1/2"},
    {"redis://:secret@h", "redis://@h"},
    {"redis://h", "redis://h"},
    {"rediss+sentinel://u:a@secret@h,i/m", "rediss+sentinel://u@h,i/m"},
    {"redis+cluster://u:%zz@h", "redis+cluster://u@h"},
    {"redsi://u:secret@h", "(hidden)"},
    {"", "(hidden)"},
};

START_TEST(passwords_are_hidden)
{
    char buf[REDIS_URL_MAX], small[12];

    ck_assert_str_eq(redis_url_hide(slice_str(hidden[_i][0]), buf, sizeof buf), hidden[_i][1]);
    (void)redis_url_hide(slice_str(hidden[_i][0]), small, sizeof small);
    ck_assert(strncmp(small, hidden[_i][1], sizeof small - 1) == 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis_url");
    TCase *tc = tcase_create("redis_url");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, urls, 0, sizeof rows / sizeof *rows);
    tcase_add_test(tc, words_that_are_too_long);
    tcase_add_loop_test(tc, passwords_are_hidden, 0, sizeof hidden / sizeof *hidden);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
