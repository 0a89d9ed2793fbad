/* The settings of queues: keys, what clients may ask for, and which rule a queue gets. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbroker/base/policy.h"

static const enum policy_kind kinds[] = {POLICY_QUEUE, POLICY_SUBSCRIPTION};

#define QUEUE POLICY_QUEUE
#define SUB POLICY_SUBSCRIPTION

static const struct {
    enum policy_kind kind;
    const char *key, *value;
    int answer;
    const char *text; /* 0: as policy_get_key writes it; else part of the error */
} rows[] = {
    {QUEUE, "max-messages", "5", 0, "5"},
    {QUEUE, "max-messages", "unlimited", 0, "unlimited"},
    {QUEUE, "max-messages", "0", -EINVAL, "max-messages: expected a number of 1 or more"},
    {QUEUE, "max-messages", "99999999999999999999", -EINVAL, "smaller number"},
    {QUEUE, "max-bytes", "1024KiB", 0, "1MiB"},
    {QUEUE, "max-bytes", "1 MiB", -EINVAL, "found \"1 MiB\""},
    {QUEUE, "message-ttl", "never", 0, "never"},
    {QUEUE, "message-ttl", "90s", 0, "90s"},
    {QUEUE, "message-ttl", "90", -EINVAL, "with its unit"},
    {QUEUE, "overflow", "block", 0, "block"},
    {QUEUE, "overflow", "disconnect", -EINVAL, "drop-oldest, drop-newest or reject"},
    {SUB, "overflow", "disconnect", 0, "disconnect"},
    {SUB, "overflow", "Block", -EINVAL, "reject or disconnect"},
    {QUEUE, "block-timeout", "1s", 0, "1s"},
    {QUEUE, "block-fallback", "drop-newest", 0, "drop-newest"},
    {QUEUE, "block-fallback", "block", -EINVAL,
     "block-fallback: expected drop-oldest, drop-newest or reject"},
    {QUEUE, "ack-timeout", "5m", 0, "5m"},
    {SUB, "ack-timeout", "5m", -ENOENT, "ack-timeout: not a setting of a subscription"},
    {QUEUE, "max-deliveries", "1", 0, "1"},
    {QUEUE, "max-deliveries", "4294967295", -EINVAL, "smaller number"},
    {QUEUE, "max-inflight", "unlimited", 0, "unlimited"},
    {QUEUE, "dead-letter", "dead.orders", 0, "dead.orders"},
    {QUEUE, "dead-letter", "", 0, ""},
    {QUEUE, "dead-letter", "queue:dead", 0, "queue:dead"},
    {QUEUE, "dead-letter", "queue:", -EINVAL, "dead-letter: queue name is empty"},
    {QUEUE, "dead-letter", "queue:a b", -EINVAL, "dead-letter: queue name contains"},
    {QUEUE, "dead-letter", "queue:$SYS", -EINVAL, "reserved"},
    {QUEUE, "dead-letter", "dead..x", -EINVAL, "dead-letter: topic has an empty level"},
    {QUEUE, "dead-letter", "$SYS.dead", -EINVAL, "reserved"},
    {QUEUE, "expires", "7d", 0, "7d"},
    {QUEUE, "dedup-window", "5m", 0, "5m"},
    {SUB, "dedup-window", "never", 0, "never"},
    {SUB, "dedup-window", "0s", -EINVAL, "longer than 0"},
    {QUEUE, "dedup-max", "unlimited", 0, "unlimited"},
    {QUEUE, "retain", "0s", 0, "0ms"},
    {QUEUE, "retain", "2d", 0, "2d"},
    {QUEUE, "retain", "never", 0, "never"},
    {QUEUE, "retain", "2", -EINVAL, "a time with its unit"},
    {SUB, "retain", "2d", -ENOENT, "not a setting"},
    {SUB, "dedup-max", "0", -EINVAL, "1 or more"},
    {QUEUE, "durable", "memory", 0, "memory"},
    {QUEUE, "durable", "journal", 0, "journal"},
    {QUEUE, "durable", "redis", 0, "redis"},
    {QUEUE, "durable", "redis+1", 0, "redis+1"},
    {QUEUE, "durable", "redis+9", 0, "redis+9"},
    {QUEUE, "durable", "redis+0", -EINVAL, "redis+N (N replicas, 1 to 9)"},
    {QUEUE, "durable", "redis+10", -EINVAL, "redis+N"},
    {QUEUE, "durable", "redis+", -EINVAL, "redis+N"},
    {QUEUE, "durable", "redis+a", -EINVAL, "redis+N"},
    {QUEUE, "durable", "redis +1", -EINVAL, "redis+N"},
    {QUEUE, "durable", "", -EINVAL, "expected memory, journal"},
    {QUEUE, "durable", "disk", -EINVAL, "expected memory, journal"},
    {QUEUE, "max-mesages", "5", -ENOENT, "max-mesages: not a setting of a queue"},
    {QUEUE, "", "5", -ENOENT, "not a setting"},
};

START_TEST(keys)
{
    struct queue_policy p = policy_default(rows[_i].kind), before = p;
    char text[POLICY_ERROR_MAX] = "";
    int r = policy_set_key(&p, rows[_i].kind, slice_str(rows[_i].key), slice_str(rows[_i].value),
                           text, sizeof text);

    ck_assert_msg(r == rows[_i].answer, "%s = %s: %d %s", rows[_i].key, rows[_i].value, r, text);
    if (r < 0) {
        ck_assert_msg(strstr(text, rows[_i].text) != NULL, "%s", text);
        ck_assert(memcmp(&p, &before, sizeof p) == 0);
    } else {
        ck_assert_int_eq(
            policy_get_key(&p, rows[_i].kind, slice_str(rows[_i].key), text, sizeof text), 0);
        ck_assert_str_eq(text, rows[_i].text);
    }
}
END_TEST

START_TEST(every_key_reads_what_it_writes)
{
    enum policy_kind kind = kinds[_i];
    struct queue_policy p = policy_default(kind), before = p;
    char value[POLICY_ERROR_MAX], err[POLICY_ERROR_MAX];
    const char *name;
    size_t n = 0;

    for (; (name = policy_key_name(kind, n)) != NULL; n++) {
        struct slice key = slice_str(name);

        ck_assert(policy_has_key(kind, key));
        ck_assert_int_eq(policy_get_key(&p, kind, key, value, sizeof value), 0);
        ck_assert_int_eq(policy_set_key(&p, kind, key, slice_str(value), err, sizeof err), 0);
    }
    ck_assert(memcmp(&p, &before, sizeof p) == 0);
    ck_assert_uint_eq(n, kind == POLICY_QUEUE ? 15 : 8);
}
END_TEST

/* A longest value and a small buffer: cut, terminated, nothing written past the end. */
START_TEST(long_values_and_small_buffers)
{
    struct queue_policy p = policy_default(POLICY_QUEUE);
    char topic[NAME_MAX_BYTES + 2], err[16], queue[POLICY_VALUE_MAX], value[POLICY_VALUE_MAX];

    memset(topic, 'x', sizeof topic);
    ck_assert_int_eq(policy_set_key(&p, POLICY_QUEUE, SLICE("dead-letter"),
                                    slice_of(topic, NAME_MAX_BYTES), err, sizeof err),
                     0);
    ck_assert_uint_eq(strlen(p.dead_letter), NAME_MAX_BYTES);
    snprintf(queue, sizeof queue, "queue:%.*s", NAME_MAX_BYTES, topic);
    ck_assert_int_eq(
        policy_set_key(&p, POLICY_QUEUE, SLICE("dead-letter"), slice_str(queue), err, sizeof err),
        0);
    ck_assert_int_eq(policy_get_key(&p, POLICY_QUEUE, SLICE("dead-letter"), value, sizeof value),
                     0);
    ck_assert_str_eq(value, queue);
    ck_assert_int_eq(policy_set_key(&p, POLICY_QUEUE, SLICE("dead-letter"),
                                    slice_of(topic, NAME_MAX_BYTES + 1), err, sizeof err),
                     -EINVAL);
    ck_assert_uint_eq(strlen(err), sizeof err - 1);
    ck_assert_int_eq(policy_get_key(&p, POLICY_QUEUE, SLICE("dead-letter"), err, sizeof err),
                     -ENOSPC);
    ck_assert_int_eq(policy_get_key(&p, POLICY_QUEUE, SLICE("nope"), err, sizeof err), -ENOENT);
}
END_TEST

START_TEST(defaults)
{
    struct queue_policy q = policy_default(POLICY_QUEUE), s = policy_default(POLICY_SUBSCRIPTION);

    ck_assert_int_eq(q.overflow, OVERFLOW_REJECT);
    ck_assert_int_eq(s.overflow, OVERFLOW_DROP_OLDEST);
    ck_assert_uint_eq(s.max_messages, 131072);
    ck_assert_uint_eq(s.max_bytes, 64 << 20);
    ck_assert_int_eq(q.ack_timeout_ms, 30000);
    ck_assert_uint_eq(q.max_deliveries, 20);
    ck_assert_uint_eq(q.max_inflight, 10000);
    ck_assert_str_eq(q.dead_letter, "");
    ck_assert_int_eq(q.dedup_window_ms, 600000);
    ck_assert_uint_eq(q.dedup_max, 100000);
    ck_assert_uint_eq(s.dedup_max, 10000);
}
END_TEST

START_TEST(clamp)
{
    struct queue_policy configured = policy_default(POLICY_QUEUE), own = configured;

    configured.max_messages = 100;
    configured.expires_ms = 5000;
    own.max_messages = 1000;
    own.max_bytes = 10;
    own.message_ttl_ms = 1;
    own.expires_ms = POLICY_NEVER;
    own.max_inflight = POLICY_UNLIMITED32;
    own.dedup_window_ms = POLICY_NEVER;
    own.dedup_max = 7;
    own.overflow = OVERFLOW_BLOCK;
    own.durable = DURABLE_JOURNAL;
    policy_clamp(&own, &configured);
    ck_assert_uint_eq(own.max_messages, 100);
    ck_assert_uint_eq(own.max_bytes, 10);
    ck_assert_int_eq(own.message_ttl_ms, 1);
    ck_assert_int_eq(own.expires_ms, 5000);
    ck_assert_uint_eq(own.max_inflight, 10000);
    ck_assert_int_eq(own.dedup_window_ms, 600000);
    ck_assert_uint_eq(own.dedup_max, 7);
    ck_assert_int_eq(own.overflow, OVERFLOW_BLOCK);
    ck_assert_int_eq(own.durable, DURABLE_MEMORY);
}
END_TEST

static void add(struct policy_set *set, enum policy_kind kind, const char *filter, uint64_t mark)
{
    struct queue_policy p = policy_default(kind);

    p.max_messages = mark;
    ck_assert_int_eq(policy_set_add(set, kind, slice_str(filter), &p, NULL, 0), 0);
}

static struct policy_set *make_set(void)
{
    struct policy_globals globals = policy_globals_default();
    struct policy_set *set = NULL;

    ck_assert_int_eq(policy_set_new(&globals, &set), 0);
    return set;
}

START_TEST(last_match_wins)
{
    struct policy_set *set = make_set();

    ck_assert_uint_eq(policy_set_find_queue(set, SLICE("a"))->policy.max_messages, 131072);
    add(set, POLICY_QUEUE, "#", 1);
    add(set, POLICY_QUEUE, "orders.#", 2);
    add(set, POLICY_QUEUE, "orders.eu", 3);
    add(set, POLICY_SUBSCRIPTION, "a.*", 4);
    ck_assert_uint_eq(policy_set_find_queue(set, SLICE("a"))->policy.max_messages, 1);
    ck_assert_uint_eq(policy_set_find_queue(set, SLICE("orders"))->policy.max_messages, 2);
    ck_assert_uint_eq(policy_set_find_queue(set, SLICE("orders.eu"))->policy.max_messages, 3);
    ck_assert_uint_eq(policy_set_find_subscription(set, SLICE("a.b"))->policy.max_messages, 4);
    ck_assert_uint_eq(policy_set_find_subscription(set, SLICE("a.#"))->policy.max_messages, 131072);
    ck_assert_int_eq(policy_set_find_subscription(set, SLICE("x"))->policy.overflow,
                     OVERFLOW_DROP_OLDEST);
    ck_assert_str_eq(policy_set_rule(set, POLICY_QUEUE, 2)->filter, "orders.eu");
    ck_assert_ptr_null(policy_set_rule(set, POLICY_QUEUE, 3));
    for (uint64_t i = 0; i < 20; i++) /* grows */
        add(set, POLICY_QUEUE, "many", 100 + i);
    ck_assert_uint_eq(policy_set_find_queue(set, SLICE("many"))->policy.max_messages, 119);
    ck_assert_uint_eq(policy_set_globals(set)->max_message_bytes, 64 << 20);
    ck_assert_ptr_null(policy_set_unref(set));
}
END_TEST

START_TEST(binds)
{
    struct policy_set *set = make_set();
    struct queue_policy p = policy_default(POLICY_QUEUE);
    const struct slice filters[] = {SLICE("orders.*"), SLICE("x.#")};
    const struct slice bad[] = {SLICE("a..b")};
    const struct policy_rule *rule;

    ck_assert_int_eq(policy_set_add(set, POLICY_QUEUE, SLICE("q"), &p, filters, 2), 0);
    rule = policy_set_find_queue(set, SLICE("q"));
    ck_assert_uint_eq(rule->n_binds, 2);
    ck_assert_str_eq(rule->binds[0], "orders.*");
    ck_assert_str_eq(rule->binds[1], "x.#");
    ck_assert_uint_eq(policy_set_find_queue(set, SLICE("other"))->n_binds, 0);
    ck_assert_int_eq(policy_set_add(set, POLICY_QUEUE, SLICE("q"), &p, bad, 1), -EINVAL);
    ck_assert_int_eq(policy_set_add(set, POLICY_QUEUE, SLICE("a.#.b"), &p, NULL, 0), -EINVAL);
    ck_assert_int_eq(policy_set_add(set, POLICY_SUBSCRIPTION, SLICE("q"), &p, filters, 2), -EINVAL);
    ck_assert_ptr_null(policy_set_rule(set, POLICY_QUEUE, 1));
    policy_set_unref(set);
    policy_set_unref(NULL);
}
END_TEST

static void *ref_and_unref(void *arg)
{
    for (int i = 0; i < 1000; i++)
        policy_set_unref(policy_set_ref(arg));
    policy_set_unref(arg);
    return NULL;
}

START_TEST(passes_between_threads)
{
    struct policy_set *set = make_set();
    pthread_t threads[2];

    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ref_and_unref, policy_set_ref(set)), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    policy_set_unref(set); /* the last: a leak or a double free would be reported */
}
END_TEST

START_TEST(equal_is_equal_in_every_key)
{
    static const char *const changed[][2] = {
        {"max-messages", "7"},   {"max-bytes", "7KiB"},
        {"message-ttl", "7s"},   {"block-timeout", "7s"},
        {"ack-timeout", "7s"},   {"expires", "7s"},
        {"max-deliveries", "7"}, {"max-inflight", "7"},
        {"overflow", "block"},   {"block-fallback", "drop-newest"},
        {"dead-letter", "x"},    {"dedup-window", "7s"},
        {"dedup-max", "7"},      {"retain", "1d"},
    };
    char err[POLICY_ERROR_MAX];

    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) {
        struct queue_policy a = policy_default(POLICY_QUEUE), b = a;

        ck_assert(policy_equal(&a, &b));
        ck_assert_int_eq(policy_set_key(&b, POLICY_QUEUE, slice_str(changed[i][0]),
                                        slice_str(changed[i][1]), err, sizeof err),
                         0);
        ck_assert_msg(!policy_equal(&a, &b), "%s", changed[i][0]);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("policy");
    TCase *tc = tcase_create("policy");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, keys, 0, (int)(sizeof rows / sizeof *rows));
    tcase_add_loop_test(tc, every_key_reads_what_it_writes, 0, 2);
    tcase_add_test(tc, long_values_and_small_buffers);
    tcase_add_test(tc, defaults);
    tcase_add_test(tc, clamp);
    tcase_add_test(tc, equal_is_equal_in_every_key);
    tcase_add_test(tc, last_match_wins);
    tcase_add_test(tc, binds);
    tcase_add_test(tc, passes_between_threads);
    suite_add_tcase(s, tc);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
