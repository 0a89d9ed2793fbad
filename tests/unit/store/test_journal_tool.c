/* A journal without a broker: written, read back, copied, and what is told when it cannot be. */
#include "brokerd/store/journal/files.h"
#include "brokerd/store/journal/tool.h"
#include "tests/unit/store/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static char path[DIR_PATH];

enum { LARGE = (33 << 20) + 5 };

static uint8_t large[LARGE];

static struct slice data_of(uint64_t i, uint8_t *buf)
{
    size_t n = (i * 37) % 300;

    if (i == 77)
        return slice_of(large, sizeof large);
    for (size_t k = 0; k < n; k++)
        buf[k] = (uint8_t)(i + k);
    return slice_of(buf, n);
}

/* The i-th of a queue; its number is 3 i. */
static struct tool_message message(uint64_t i, uint8_t *buf)
{
    return (struct tool_message){.seq = 3 * i,
                                 .id = UINT64_MAX - i,
                                 .time_ms = (int64_t)i * 1000,
                                 .expires_ms = i % 5 ? INT64_MAX : (int64_t)i * 9000,
                                 .due_ms = i % 11 ? 0 : 12345,
                                 .attempts = i % 7 ? 0 : 4,
                                 .topic = SLICE("a.topic"),
                                 .type = i % 3 == 0   ? SLICE("application/json")
                                         : i % 3 == 1 ? SLICE("x/our-own")
                                                      : slice_of(NULL, 0),
                                 .headers = i % 2 ? SLICE("\1k\0\5value") : slice_of(NULL, 0),
                                 .data = data_of(i, buf)};
}

enum { MESSAGES = 300 };

static struct tool *opened_to_write(void)
{
    char text[TOOL_TEXT];
    struct tool *t;

    ck_assert_int_eq(tool_open_to_write(path, &t, text), 0);
    return t;
}

static struct tool *opened(void)
{
    char text[TOOL_TEXT];
    struct tool *t;

    ck_assert_int_eq(tool_open(path, NULL, NULL, &t, text), 0);
    return t;
}

static void write_journal(void)
{
    struct tool *t = opened_to_write();
    uint8_t buf[300];

    ck_assert_int_eq(tool_put_queue(t, SLICE("b"), SLICE("\3a.#\1c"), SLICE("\1s\0\1t"), 1000), 0);
    for (uint64_t i = 1; i <= MESSAGES; i++) {
        struct tool_message m = message(i, buf);

        ck_assert_int_eq(tool_put(t, SLICE("b"), &m), 0);
    }
    ck_assert_int_eq(tool_put_queue(t, SLICE("a"), slice_of(NULL, 0), slice_of(NULL, 0), 7), 0);
    ck_assert_int_eq(tool_finish(t), 0);
    tool_close(t);
}

/* ----------------------------------------------------------------------------------- there and
 * back */

static int expect_message(void *ctx, const struct tool_message *m)
{
    uint64_t *i = ctx;
    uint8_t buf[300];
    struct tool_message o = message(++*i, buf);

    ck_assert_uint_eq(m->seq, o.seq);
    ck_assert_uint_eq(m->id, o.id);
    ck_assert_int_eq(m->time_ms, o.time_ms);
    ck_assert_int_eq(m->expires_ms, o.expires_ms);
    ck_assert_int_eq(m->due_ms, o.due_ms);
    ck_assert_uint_eq(m->attempts, o.attempts);
    ck_assert(slice_eq(m->topic, o.topic) && slice_eq(m->type, o.type));
    ck_assert(slice_eq(m->headers, o.headers) && slice_eq(m->data, o.data));
    return 0;
}

static int stop_at_five(void *ctx, const struct tool_message *m)
{
    (void)m;
    return ++*(int *)ctx == 5 ? 55 : 0;
}

START_TEST(there_and_back)
{
    const struct tool_queue *q;
    struct slice filters, f;
    uint64_t i = 0, seq = 0;
    struct tool *t;
    int n = 0;

    write_journal();
    t = opened();
    ck_assert_uint_eq(tool_facts(t)->messages, MESSAGES);
    ck_assert_uint_eq(tool_facts(t)->queues, 2);
    ck_assert_uint_eq(tool_facts(t)->damaged, 0);
    ck_assert_uint_eq(tool_facts(t)->torn_bytes, 0);
    ck_assert_uint_gt(tool_facts(t)->segments, 1);
    ck_assert_str_eq(tool_queue(t, 0)->name, "a");
    ck_assert_uint_eq(tool_queue(t, 0)->next, 7);
    ck_assert_ptr_null(tool_queue(t, 2));
    q = tool_queue(t, 1);
    ck_assert_str_eq(q->name, "b");
    ck_assert(q->messages == MESSAGES && q->first == 3 && q->next == 1000);
    ck_assert_uint_eq(q->returned, MESSAGES / 7 + MESSAGES / 11 - MESSAGES / 77);
    filters = q->filters;
    ck_assert(tool_next_filter(&filters, &f) && slice_eq(f, SLICE("a.#")));
    ck_assert(tool_next_filter(&filters, &f) && slice_eq(f, SLICE("c")));
    ck_assert(!tool_next_filter(&filters, &f));
    ck_assert(slice_eq(q->settings, SLICE("\1s\0\1t")));
    ck_assert_int_eq(tool_walk(t, q, true, &seq, expect_message, &i), 0);
    ck_assert_uint_eq(i, MESSAGES);
    seq = 0;
    ck_assert_int_eq(tool_walk(t, q, true, &seq, stop_at_five, &n), 55);
    ck_assert_uint_eq(seq, 15);
    tool_close(t);
}
END_TEST

/* However little the last message leaves of a segment. */
START_TEST(filled_to_the_end)
{
    enum { SEGMENT = 32 << 20 };
    struct tool_message m = {.seq = 1, .expires_ms = INT64_MAX, .topic = SLICE("t")};
    struct tool *t;

    for (unsigned i = 0; i < 24; i++) {
        dir_remove(path);
        dir_make_light(path);
        t = opened_to_write();
        ck_assert_int_eq(tool_put_queue(t, SLICE("q"), slice_of(NULL, 0), slice_of(NULL, 0), 1), 0);
        m.data = slice_of(large, SEGMENT - 424 + 8 * (uint64_t)i);
        ck_assert_int_eq(tool_put(t, SLICE("q"), &m), 0);
        ck_assert_int_eq(tool_finish(t), 0);
        tool_close(t);
        t = opened();
        ck_assert_uint_eq(tool_facts(t)->messages, 1);
        ck_assert_uint_eq(tool_facts(t)->torn_bytes, 0);
        tool_close(t);
    }
}
END_TEST

/* What is there stays, numbers go on. */
START_TEST(added_to)
{
    struct tool_message m = {.topic = SLICE("t"), .expires_ms = INT64_MAX, .data = SLICE("x")};
    struct tool *t;

    write_journal();
    t = opened_to_write();
    ck_assert_int_eq(tool_put_queue(t, SLICE("b"), slice_of(NULL, 0), slice_of(NULL, 0), 1), 1);
    m.seq = 5;
    ck_assert_int_eq(tool_put(t, SLICE("b"), &m), 0);
    m.seq = 2000;
    ck_assert_int_eq(tool_put(t, SLICE("b"), &m), 0);
    ck_assert_int_eq(tool_put(t, SLICE("none"), &m), -ENOENT);
    m.headers = slice_of(large, 70000);
    ck_assert_int_eq(tool_put(t, SLICE("b"), &m), -EMSGSIZE);
    ck_assert_int_eq(tool_finish(t), 0);
    tool_close(t);
    t = opened();
    ck_assert_uint_eq(tool_facts(t)->messages, MESSAGES + 2);
    ck_assert_uint_eq(tool_queue(t, 1)->next, 2001);
    ck_assert(slice_eq(tool_queue(t, 1)->settings, SLICE("\1s\0\1t")));
    tool_close(t);
}
END_TEST

static bool never(void *ctx, uint64_t done, uint64_t total)
{
    uint64_t *sum = ctx;

    ck_assert_uint_le(done, total);
    *sum += done;
    return false;
}

START_TEST(copied)
{
    char to[DIR_PATH + 8], text[TOOL_TEXT] = "";
    struct tool *t;
    uint64_t sum = 0;

    write_journal();
    (void)snprintf(to, sizeof to, "%s.copy", path);
    ck_assert_int_eq(tool_copy(path, to, NULL, NULL, text), 0);
    ck_assert_int_eq(tool_open(to, NULL, NULL, &t, text), 0);
    ck_assert_uint_eq(tool_facts(t)->messages, MESSAGES);
    tool_close(t);
    ck_assert_int_eq(tool_copy(path, to, NULL, NULL, text), -EEXIST);
    ck_assert_ptr_nonnull(strstr(text, to));
    (void)snprintf(to, sizeof to, "%s.no", path);
    ck_assert_int_eq(tool_copy(path, to, never, &sum, text), -ECANCELED);
    ck_assert_int_lt(access(to, F_OK), 0);
}
END_TEST

/* ---------------------------------------------------------------------------------- what is wrong
 */

START_TEST(interrupted)
{
    char text[TOOL_TEXT];
    struct tool *t;
    uint64_t sum = 0;

    write_journal();
    ck_assert_int_eq(tool_open(path, never, &sum, &t, text), -ECANCELED);
    ck_assert_uint_gt(sum, 0);
}
END_TEST

START_TEST(cannot_be_read)
{
    char text[TOOL_TEXT] = "";
    struct tool *t, *other;

    ck_assert_int_eq(tool_open(path, NULL, NULL, &t, text), -ENOENT);
    ck_assert_ptr_nonnull(strstr(text, "no such directory"));
    t = opened_to_write();
    ck_assert_int_eq(tool_open(path, NULL, NULL, &other, text), -EBUSY);
    ck_assert_ptr_nonnull(strstr(text, "in use by a broker"));
    tool_close(t);
    ck_assert_ptr_null(tool_close(NULL));
}
END_TEST

static void spoil(const char *name, off_t at)
{
    char file[PATH_MAX], byte;
    int fd;

    (void)snprintf(file, sizeof file, "%s/%s", path, name);
    fd = open(file, O_RDWR);
    ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

START_TEST(damage_is_told)
{
    char text[TOOL_TEXT] = "";
    struct tool_damage d;
    struct tool *t;

    write_journal();
    spoil("0000000001.seg", 2000);
    t = opened();
    ck_assert_uint_eq(tool_facts(t)->damaged, 1);
    ck_assert_uint_eq(tool_facts(t)->lost_batches, 1);
    ck_assert_uint_lt(tool_facts(t)->messages, MESSAGES);
    ck_assert(tool_damage(t, 0, &d) && d.segment == 1 && d.from < 2000 && d.to > 2000);
    ck_assert_ptr_nonnull(strstr(d.text, "0000000001.seg"));
    ck_assert(!tool_damage(t, 1, &d));
    tool_close(t);
    ck_assert_int_eq(tool_open_to_write(path, &t, text), -EUCLEAN);
    ck_assert_ptr_nonnull(strstr(text, "is damaged"));
}
END_TEST

static int count(void *ctx, const struct tool_message *m)
{
    (void)m;
    ++*(int *)ctx;
    return 0;
}

/* The disk goes bad between the first look and the second. */
START_TEST(a_message_goes_bad)
{
    uint64_t seq = 0;
    struct tool *t;
    int n = 0;

    write_journal();
    t = opened();
    spoil("0000000001.seg", 3000);
    ck_assert_int_eq(tool_walk(t, tool_queue(t, 1), true, &seq, count, &n), -EBADMSG);
    ck_assert_uint_eq(seq, 3 * ((uint64_t)n + 1));
    seq++;
    ck_assert_int_eq(tool_walk(t, tool_queue(t, 1), true, &seq, count, &n), 0);
    ck_assert_int_eq(n, MESSAGES - 1);
    tool_close(t);
}
END_TEST

static void setup(void)
{
    dir_make(path);
}

static void teardown(void)
{
    dir_remove(path);
}

int main(void)
{
    Suite *suite = suite_create("journal tool");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, there_and_back);
    tcase_add_test(tc, filled_to_the_end);
    tcase_add_test(tc, added_to);
    tcase_add_test(tc, copied);
    tcase_add_test(tc, interrupted);
    tcase_add_test(tc, cannot_be_read);
    tcase_add_test(tc, damage_is_told);
    tcase_add_test(tc, a_message_goes_bad);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
