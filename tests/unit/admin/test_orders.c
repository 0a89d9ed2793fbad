/* What main does for admin: another thread is main here. */
#include "tests/unit/admin/parties.h"

static struct fake_main {
    pthread_t thread;
    unsigned woken, seen, ends, drains, asked;
    const char *mistakes[3]; /* of the next reload */
    bool draining;
    int snapshot; /* what it answers */
} mine;

static void fake_wake(void *ctx)
{
    (void)ctx;
    count_up(&mine.woken);
}

static const char *fake_settings(void *ctx, const struct admin_listener *to)
{
    static const struct admin_setting all[] = {
        {.section = "", .key = "workers", .value = "2", .fallback = "auto", .restart = true},
        {.section = "log", .key = "level", .value = "info", .fallback = "notice"},
        {.section = "listen", .title = "tcp://a", .key = "protocols", .is_list = true},
        {.section = "listen", .title = "tcp://a", .key = "manage", .value = "true"},
        {.section = "queue", .title = "#", .key = "bind", .value = "a", .is_list = true},
        {.section = "queue", .title = "#", .key = "bind", .value = "b", .is_list = true},
        {.section = "queue", .title = "x", .key = "max-messages", .value = "5"},
    };

    (void)ctx;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        to->setting(to->ctx, &all[i]);
    to->change(to->ctx, &(struct admin_change){"memory", "1GiB", "2GiB", false});
    return "/etc/b.conf";
}

static int fake_reload(void *ctx, const struct admin_listener *to)
{
    (void)ctx;
    if (mine.draining)
        return -EPIPE;
    for (unsigned i = 0; mine.mistakes[i]; i++)
        to->mistake(to->ctx, mine.mistakes[i]);
    if (mine.mistakes[0])
        return -EINVAL;
    to->change(to->ctx, &(struct admin_change){"workers", "2", "3", true});
    return 0;
}

static void fake_drain(void *ctx)
{
    (void)ctx;
    count_up(&mine.drains);
}

static int fake_snapshot(void *ctx, bool keep, char *path, size_t n)
{
    (void)ctx;
    (void)snprintf(path, n, "/a/%s", keep ? "kept" : "gone");
    return mine.snapshot;
}

static const struct admin_main fake_main = {fake_wake, fake_settings, fake_reload, fake_drain,
                                            fake_snapshot};

static void *run_main(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    while (!mine.ends) {
        while (mine.woken == mine.seen)
            pthread_cond_wait(&changed, &lock);
        mine.seen = mine.woken;
        pthread_mutex_unlock(&lock);
        admin_orders(admin);
        pthread_mutex_lock(&lock);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void start_with_main(void)
{
    mine = (struct fake_main){.woken = 0};
    start_for(&fake_main);
    ck_assert_int_eq(pthread_create(&mine.thread, NULL, run_main, NULL), 0);
}

static void stop_with_main(void)
{
    count_up(&mine.ends);
    fake_wake(NULL);
    pthread_join(mine.thread, NULL);
    stop();
}

static json_t *at(const json_t *o, const char *list, size_t i)
{
    return json_array_get(json_object_get(o, list), i);
}

START_TEST(the_settings_in_force)
{
    json_t *a, *one;

    start_with_main();
    a = must(2, "config", "");
    ck_assert_str_eq(text(a, "file"), "/etc/b.conf");
    one = at(a, "settings", 0);
    ck_assert_str_eq(text(one, "key"), "workers");
    ck_assert_str_eq(text(one, "default"), "auto");
    ck_assert(json_is_true(json_object_get(one, "restart")));
    ck_assert_str_eq(text(at(a, "settings", 1), "section"), "log");
    ck_assert_uint_eq(json_array_size(json_object_get(a, "sections")), 3);
    one = json_object_get(at(a, "sections", 0), "settings");
    ck_assert(json_is_array(json_object_get(one, "protocols")));
    ck_assert_str_eq(text(one, "manage"), "true");
    one = json_object_get(at(a, "sections", 1), "settings");
    ck_assert_uint_eq(json_array_size(json_object_get(one, "bind")), 2);
    ck_assert_str_eq(text(at(a, "sections", 2), "title"), "x");
    ck_assert_str_eq(text(at(a, "changes", 0), "after"), "2GiB");
    json_decref(a);
    stop_with_main();
}
END_TEST

START_TEST(a_reload_tells_what_changed)
{
    json_t *a;

    start_with_main();
    a = must(1, "reload", "");
    ck_assert_str_eq(text(at(a, "changes", 0), "what"), "workers");
    ck_assert(json_is_true(json_object_get(at(a, "changes", 0), "restart")));
    json_decref(a);
    mine.mistakes[0] = "b.conf:3: overflow: expected block";
    ck_assert_ptr_null(ask(1, "reload", ""));
    ck_assert_str_eq(refusal.text,
                     "invalid: b.conf:3: overflow: expected block; the old settings stay");
    mine.mistakes[1] = "b.conf:4: more";
    ck_assert_ptr_null(ask(1, "reload", ""));
    ck_assert_str_eq(refusal.text, "invalid: b.conf:3: overflow: expected block (and 1 mistakes "
                                   "more); the old settings stay");
    mine.draining = true;
    ck_assert_ptr_null(ask(1, "reload", ""));
    ck_assert_int_eq(refusal.reason, REASON_DRAINING);
    stop_with_main();
}
END_TEST

START_TEST(files_are_put_aside)
{
    static const struct {
        int error;
        enum reason reason;
        const char *text;
    } rows[] = {
        {-ENOENT, REASON_NOT_FOUND, "not-found: this broker keeps nothing in files"},
        {-ENOSPC, REASON_FULL, "full: there is no room"},
        {-ETIMEDOUT, REASON_STORE, "store: the journal's disk does not answer"},
        {-EROFS, REASON_STORE, "store: /a/kept: Read-only"},
    };
    json_t *a;

    start_with_main();
    a = must(1, "store-snapshot", "");
    ck_assert_str_eq(text(a, "path"), "/a/kept");
    json_decref(a);
    a = must(1, "store-release", "");
    ck_assert_str_eq(text(a, "path"), "/a/gone");
    json_decref(a);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mine.snapshot = rows[i].error;
        ck_assert_ptr_null(ask(1, "store-snapshot", ""));
        ck_assert_int_eq(refusal.reason, rows[i].reason);
        ck_assert_msg(strncmp(refusal.text, rows[i].text, strlen(rows[i].text)) == 0, "%s",
                      refusal.text);
    }
    mine.snapshot = 0;
    stop_with_main();
}
END_TEST

START_TEST(a_drain_is_answered_first)
{
    json_t *a;

    start_with_main();
    a = must(0, "drain", "");
    ck_assert(json_is_true(json_object_get(a, "draining")));
    json_decref(a);
    pthread_mutex_lock(&lock);
    wait_for(&mine.drains, 1, "drain");
    pthread_mutex_unlock(&lock);
    stop_with_main();
}
END_TEST

/* The broker ends before main comes to it. */
START_TEST(what_main_never_did)
{
    struct question q = {.method = "config", .data = ""};
    struct question *arg = &q;

    mine = (struct fake_main){.woken = 0};
    start_for(&fake_main);
    on_worker(1, open_call, &arg);
    ck_assert_uint_eq(mine.woken, 1);
    stop();
}
END_TEST

START_TEST(without_main)
{
    static const char *const calls[] = {"config", "reload", "drain", "store-snapshot",
                                        "store-release"};

    start();
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
        ck_assert_ptr_null(ask(i % 3, calls[i], ""));
        ck_assert_int_eq(refusal.reason, REASON_NOT_FOUND);
    }
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("admin orders");
    TCase *tc = tcase_create("orders");
    SRunner *r;
    int failed;

    tcase_add_test(tc, the_settings_in_force);
    tcase_add_test(tc, a_reload_tells_what_changed);
    tcase_add_test(tc, files_are_put_aside);
    tcase_add_test(tc, a_drain_is_answered_first);
    tcase_add_test(tc, what_main_never_did);
    tcase_add_test(tc, without_main);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
