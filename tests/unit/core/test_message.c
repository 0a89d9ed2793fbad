/* A kept message says what its view said, and costs what it is charged for. */
#include <check.h>
#include <stdlib.h>

#include "brokerd/core/message.h"

static struct pool pool;
static struct topic *topic;

static void make_topic(void)
{
    pool_init(&pool);
    topic = topic_new(SLICE("orders.eu"), 77);
    ck_assert_ptr_nonnull(topic);
}

static void drop_topic(void)
{
    ck_assert_uint_eq(topic->refs, 1);
    topic_unref(topic);
    topic_unref(NULL);
    pool_fini(&pool);
}

static struct msg_origin origin(struct ctype type)
{
    return (struct msg_origin){
        .topic = topic, .type = type, .id = 9, .time_ms = 1000, .now_ms = 50};
}

static const struct ctype none = {.id = CTYPE_NONE};

START_TEST(topic_is_counted)
{
    ck_assert_str_eq(topic->name, "orders.eu");
    ck_assert_uint_eq(topic->hash, 77);
    ck_assert(slice_eq(topic_slice(topic), SLICE("orders.eu")));
    ck_assert_ptr_eq(topic_ref(topic), topic);
    topic_unref(topic);
}
END_TEST

START_TEST(copies_a_small_one)
{
    char data[] = "payload", headers[] = "\3foo\0\3bar", type[] = "text/x-poem";
    struct msg_meta meta = {
        .headers = slice_of(headers, 9), .type = {CTYPE_NAMED, slice_str(type)}, .ttl_ms = 200};
    struct msg_view v = {.data = (uint8_t *)data, .len = 7, .meta = &meta};
    struct msg_origin from = origin((struct ctype){.id = 5});
    struct msg *m = msg_keep(&pool, &v, &from);

    ck_assert_ptr_nonnull(m);
    memset(data, 'x', 7); /* what was borrowed is gone */
    memset(headers, 'x', 9);
    memset(type, 'x', 11);

    ck_assert(slice_eq(slice_of(m->data, m->len), SLICE("payload")));
    ck_assert(slice_eq(msg_headers(m), slice_of("\3foo\0\3bar", 9)));
    ck_assert(ctype_eq(msg_type(m), (struct ctype){CTYPE_NAMED, SLICE("text/x-poem")}));
    ck_assert_ptr_eq(m->topic, topic);
    ck_assert_ptr_null(m->block);
    ck_assert_uint_eq(m->id, 9);
    ck_assert_int_eq(m->time_ms, 1000);
    ck_assert_int_eq(m->expires_ms, 250);
    ck_assert_uint_eq(m->charge, pool_room(sizeof *m + 7 + 9 + 11));

    ck_assert_ptr_eq(msg_ref(m), m);
    msg_unref(&pool, m);
    ck_assert_uint_eq(m->refs, 1);
    msg_unref(&pool, m);
    msg_unref(&pool, NULL);
}
END_TEST

START_TEST(type_is_its_own_or_the_runs)
{
    struct msg_meta plain = {.type = none}, own = {.type = {.id = 3}};
    struct msg_view v = {.data = (const uint8_t *)"", .len = 0};
    struct ctype named = {CTYPE_NAMED, SLICE("a/b")};
    struct msg_origin from = origin(named);
    const struct msg_meta *metas[] = {NULL, &plain, &own};

    for (int i = 0; i < 3; i++) {
        struct msg *m;

        v.meta = metas[i];
        m = msg_keep(&pool, &v, &from);
        ck_assert_ptr_nonnull(m);
        ck_assert(ctype_eq(msg_type(m), i < 2 ? named : own.type));
        ck_assert_uint_eq(m->charge, pool_room(sizeof *m + (i < 2 ? 3 : 0)));
        ck_assert_uint_eq(m->len, 0);
        ck_assert_int_eq(m->expires_ms, INT64_MAX);
        msg_unref(&pool, m);
    }
}
END_TEST

static const struct {
    const char *name;
    size_t block; /* its size; 0: none */
    uint32_t len;
    bool refers;
} rows[] = {
    {"small", 65536, 16383, false},
    {"large enough", 65536, 16384, true},
    {"the whole block", 16384, 16384, true},
    {"too small a part", 65537, 16384, false},
    {"large in a large block", 1 << 20, 1 << 18, true},
    {"large, no block", 0, 1 << 18, false},
};

START_TEST(refers_to_its_block)
{
    struct block *b = block_new(rows[_i].block ? rows[_i].block : (size_t)rows[_i].len);
    struct msg_view v = {.data = b->bytes, .len = rows[_i].len};
    struct msg_origin from = origin(none);
    size_t here = sizeof(struct msg) + (rows[_i].refers ? 0 : rows[_i].len);
    struct msg *m;

    memset(b->bytes, 'd', b->size);
    v.block = rows[_i].block ? b : NULL;
    m = msg_keep(&pool, &v, &from);
    ck_assert_ptr_nonnull(m);
    ck_assert_msg((m->block == b) == rows[_i].refers, "%s", rows[_i].name);
    ck_assert_msg((m->data == b->bytes) == rows[_i].refers, "%s", rows[_i].name);
    ck_assert_uint_eq(m->charge, pool_room(here) + (rows[_i].refers ? rows[_i].block : 0));
    ck_assert(block_alone(b) != rows[_i].refers);
    block_unref(b); /* the message has a reference of its own, or a copy */
    for (uint32_t i = 0; i < m->len; i++)
        ck_assert_int_eq(m->data[i], 'd');
    msg_unref(&pool, m);
}
END_TEST

START_TEST(never_expires_by_overflow)
{
    struct msg_meta meta = {.type = none, .ttl_ms = INT64_MAX};
    struct msg_view v = {.data = (const uint8_t *)"x", .len = 1, .meta = &meta};
    struct msg_origin from = origin(none);
    struct msg *m = msg_keep(&pool, &v, &from);

    ck_assert_int_eq(m->expires_ms, INT64_MAX);
    msg_unref(&pool, m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("message");
    TCase *tc = tcase_create("message");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, make_topic, drop_topic);
    tcase_add_test(tc, topic_is_counted);
    tcase_add_test(tc, copies_a_small_one);
    tcase_add_test(tc, type_is_its_own_or_the_runs);
    tcase_add_loop_test(tc, refers_to_its_block, 0, (int)(sizeof rows / sizeof rows[0]));
    tcase_add_test(tc, never_expires_by_overflow);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
