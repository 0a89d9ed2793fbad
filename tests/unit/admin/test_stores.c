/* What people hear of stores: the call, the metrics, and why. */
#include "brokerd/admin/why.h"
#include "tests/unit/admin/parties.h"

/* A journal, of which worker 0 tells, and a Redis, of which each tells its part. */
static void add_stores(void *ctx, unsigned worker, json_t *to)
{
    json_t *redis = json_object_get(to, "redis");

    (void)ctx;
    if (worker == 0) {
        json_object_set_new(
            to, "journal",
            json_pack(
                "{s:s,s:s,s:i,s:n,s:{s:i,s:i},s:{s:i},s:{s:i,s:i,s:i,s:[{s:i,s:i},{s:i,s:i}]}}",
                "store", "journal", "state", "full", "disk_bytes", 4096, "max_disk_bytes",
                "counters", "puts", 7, "batches", 3, "refused", "full", 2, "sync", "count", 3,
                "total_us", 1500000, "max_us", 1000000, "buckets", "below_us", 8, "count", 2,
                "below_us", 0, "count", 1));
        redis = json_pack("{s:s,s:s,s:{s:i}}", "store", "redis", "state", "up", "counters",
                          "timeouts", 0);
        json_object_set_new(to, "redis", redis);
    }
    redis = json_object_get(redis, "counters");
    json_object_set_new(redis, "timeouts",
                        json_integer(json_integer_value(json_object_get(redis, "timeouts")) + 1));
}

static const struct admin_stores stores = {add_stores};

static bool has_line(const char *text, const char *line)
{
    size_t n = strlen(line);

    for (const char *at = text; (at = strstr(at, line)) != NULL; at += n)
        if ((at == text || at[-1] == '\n') && at[n] == '\n')
            return true;
    return false;
}

START_TEST(stores_are_told)
{
    static const char *const lines[] = {
        "# TYPE brokerd_store_up gauge",
        "brokerd_store_up{store=\"journal\"} 0",
        "brokerd_store_up{store=\"redis\"} 1",
        "brokerd_store_disk_bytes{store=\"journal\"} 4096",
        "brokerd_store_puts_total{store=\"journal\"} 7",
        "brokerd_store_timeouts_total{store=\"redis\"} 3",
        "brokerd_store_refused_total{store=\"journal\",why=\"full\"} 2",
        "# TYPE brokerd_store_sync_seconds histogram",
        "brokerd_store_sync_seconds_bucket{store=\"journal\",le=\"8e-06\"} 2",
        "brokerd_store_sync_seconds_bucket{store=\"journal\",le=\"+Inf\"} 3",
        "brokerd_store_sync_seconds_sum{store=\"journal\"} 1.5",
        "brokerd_store_sync_seconds_count{store=\"journal\"} 3",
    };
    json_t *a, *list;

    admin_stores = &stores;
    start();
    a = must(1, "stores", "{}");
    list = json_object_get(a, "stores");
    ck_assert_uint_eq(json_array_size(list), 2);
    ck_assert_str_eq(text(json_array_get(list, 0), "store"), "journal");
    ck_assert_int_eq(number(json_object_get(json_array_get(list, 1), "counters"), "timeouts"), 3);
    json_decref(a);
    a = must(2, "metrics", "{}");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        ck_assert_msg(has_line(text(a, "data"), lines[i]), "no line %s in %s", lines[i],
                      text(a, "data"));
    ck_assert_ptr_null(strstr(text(a, "data"), "brokerd_store_disk_limit_bytes"));
    ck_assert_ptr_null(strstr(text(a, "data"), "brokerd_store_puts_total{store=\"redis\"}"));
    json_decref(a);
    stop();
}
END_TEST

START_TEST(none_is_told)
{
    json_t *a;

    admin_stores = NULL;
    start();
    a = must(0, "stores", "{}");
    ck_assert_uint_eq(json_array_size(json_object_get(a, "stores")), 0);
    json_decref(a);
    a = must(0, "metrics", "{}");
    ck_assert_ptr_null(strstr(text(a, "data"), "brokerd_store"));
    json_decref(a);
    stop();
}
END_TEST

static const struct {
    const char *store;
    enum reason refuses;
    int64_t unstored_ms;
    bool down; /* as it says of itself */
    bool unopened;
    const char *bottleneck; /* NULL: none */
    const char *text;       /* of the last in the chain */
} waits[] = {
    {NULL, REASON_NONE, -1, false, false, "q", "queue \"q\": 3 messages wait; it has no consumer"},
    {"journal", REASON_NONE, 999, false, false, "q",
     "queue \"q\": 3 messages wait; it has no consumer"},
    {"journal", REASON_NONE, 1000, false, false, "journal",
     "store: \"journal\" has not answered for 1000 ms: 2 messages of \"q\" wait to be stored"},
    {"journal", REASON_FULL, -1, false, false, "journal",
     "store: \"journal\" is full and takes no messages until others have been acknowledged"},
    {"redis", REASON_NONE, -1, true, false, "redis", "store: \"redis\" is down: no answer"},
    {"redis", REASON_STORE, 5, false, false, "redis",
     "store: \"redis\" takes no messages: it is out of order"},
    {"redis", REASON_STORE, -1, true, true, "redis",
     "store: \"redis\" has not opened \"q\" for 77 ms: no right"},
};

START_TEST(why_names_the_store)
{
    struct why *w = calloc(1, sizeof *w);
    json_t *answer = json_object(), *last;

    w->what = "q";
    w->queues_n = 1;
    w->queues[0] = (struct why_queue){
        .id = 1,
        .by = BY_NAME,
        .name = "q",
        .q = {.name = "q",
              .depth = 3,
              .oldest_ms = 2000,
              .full_ms = -1,
              .store = waits[_i].store,
              .unstored = 2,
              .unstored_ms = waits[_i].unstored_ms,
              .store_refuses = waits[_i].refuses,
              .unopened_ms = waits[_i].unopened ? 77 : -1,
              .letters_ms = -1},
        .store_text = "no right",
        .max_messages = 10,
        .max_bytes = 10,
        .overflow = "reject",
        .store_is_down = waits[_i].down,
    };
    w->stores = json_pack("{s:{s:s,s:s}}", "redis", "state", "down", "text", "no answer");
    why_explain(w, answer);
    last = json_object_get(answer, "chain");
    last = json_array_get(last, json_array_size(last) - 1);
    ck_assert_str_eq(text(answer, "bottleneck"), waits[_i].bottleneck);
    ck_assert_str_eq(text(last, "text"), waits[_i].text);
    ck_assert_str_eq(text(last, "kind"), strcmp(waits[_i].bottleneck, "q") ? "store" : "queue");
    json_decref(answer);
    json_decref(w->stores);
    free(w);
}
END_TEST

/* What died waits for its letters, and with too many of them so does all the rest. */
START_TEST(why_names_the_letters) /* _i: too many */
{
    struct why *w = calloc(1, sizeof *w);
    json_t *answer = json_object(), *last;

    w->what = "q";
    w->queues_n = 1;
    w->queues[0] = (struct why_queue){
        .id = 1,
        .by = BY_NAME,
        .name = "q",
        .q = {.name = "q",
              .depth = 3,
              .oldest_ms = 2000,
              .full_ms = -1,
              .hungry = 1,
              .store = "journal",
              .unstored_ms = -1,
              .unopened_ms = -1,
              .letters = 12,
              .letters_ms = 5000,
              .letters_why = REASON_FULL,
              .letters_stop = _i},
        .dead_letter = "queue:dead",
        .overflow = "reject",
    };
    why_explain(w, answer);
    last = json_object_get(answer, "chain");
    last = json_array_get(last, json_array_size(last) - 1);
    ck_assert_str_eq(text(last, "kind"), "dead-letter");
    ck_assert_str_eq(text(last, "name"), "queue:dead");
    ck_assert_int_eq(json_integer_value(json_object_get(last, "since_ms")), 5000);
    ck_assert_str_eq(
        text(last, "text"),
        _i ? "dead letters: 12 of \"q\" wait for \"queue:dead\", as the store there is "
             "full; they are sent again each second; with so many of them the queue reads "
             "no more from its store"
           : "dead letters: 12 of \"q\" wait for \"queue:dead\", as the store there is "
             "full; they are sent again each second");
    if (_i)
        ck_assert_str_eq(text(answer, "bottleneck"), "queue:dead");
    else
        ck_assert(json_is_null(json_object_get(answer, "bottleneck")));
    json_decref(answer);
    free(w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("admin stores");
    TCase *tc = tcase_create("stores");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 2 * PATIENCE_S);
    tcase_add_test(tc, stores_are_told);
    tcase_add_test(tc, none_is_told);
    tcase_add_loop_test(tc, why_names_the_store, 0, sizeof waits / sizeof *waits);
    tcase_add_loop_test(tc, why_names_the_letters, 0, 2);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
