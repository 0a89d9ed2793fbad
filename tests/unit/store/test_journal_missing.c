/* Files of a journal that are not there: each is missed, by name, until that is accepted; what was
 * cleared is not, and neither is it in a copy that was made meanwhile. */
#include "brokerd/store/journal/tool.h"
#include "tests/unit/store/running.h"

static struct running r;

static void put_n(unsigned i, unsigned n, uint16_t size)
{
    while (n--)
        ck_assert_int_eq(r_put(&r, i, size), 0);
    r_until(&r, r.queue[i].answered == r.queue[i].next - 1);
}

/* Most are acked, in no order, so that segments are cleared in no order. */
static void work(struct seeded *s, unsigned rounds)
{
    struct r_queue *q = &r.queue[0];

    for (unsigned n = 0; n < rounds; n++) {
        put_n(0, 40, 300);
        for (unsigned i = 0; i < 60; i++) {
            uint64_t seq = 1 + seeded_below(s, q->next - 1);

            if (q->state[seq] == R_STORED && seq % 10)
                r_settle(&r, 0, seq, 1);
        }
    }
    r_ask(&r, 0);
}

static struct journal_file *list(size_t *ret_n)
{
    struct files f = {.dir = -1, .lock = -1};
    struct journal_file *files;

    (void)snprintf(f.path, sizeof f.path, "%s", r.path);
    ck_assert_int_eq(files_list(&f, &files, ret_n), 0);
    return files;
}

static void path_of(uint32_t number, const char *more, char *to)
{
    (void)snprintf(to, 128, "%s/%010u.seg%s", r.path, number, more);
}

/* Refused, by name. */
static void expect_missing(uint32_t number)
{
    char wanted[128], text[TOOL_TEXT] = "";
    struct tool_damage d;
    struct tool *t;

    (void)snprintf(wanted, sizeof wanted, "1 file is missing (%010u.seg is missing)", number);
    ck_assert_int_eq(journal_open(&r.options, &r.journal, r.text, sizeof r.text), -EUCLEAN);
    ck_assert_msg(strstr(r.text, wanted) != NULL, "no '%s' in: %s", wanted, r.text);
    ck_assert_int_eq(tool_open(r.path, NULL, NULL, &t, text), 0);
    ck_assert(tool_facts(t)->missing == 1 && tool_facts(t)->damaged == 1);
    ck_assert(tool_damage(t, 0, &d) && d.missing && d.segment == number);
    tool_close(t);
}

START_TEST(each_is_missed)
{
    struct seeded s = seeded_start();
    struct journal_file *files;
    char at[128], aside[128];
    size_t n;

    r_init(&r, 8192, 0);
    r_open_queue(&r, 0);
    work(&s, 40);
    expect(&s, journal_facts(r.journal).cleared > 5);
    r_stop(&r);
    files = list(&n);
    expect(&s, n > 5);
    for (size_t i = 0; i < n; i++) {
        path_of(files[i].number, "", at);
        path_of(files[i].number, ".aside", aside);
        ck_assert_int_eq(rename(at, aside), 0);
        expect_missing(files[i].number);
        ck_assert_int_eq(rename(aside, at), 0);
    }
    free(files);
    ck_assert_msg(r_begin(&r) == 0, "%s", r.text);
    r_open_queue(&r, 0);
    r_check(&r, 0);
    r_fini(&r);
}
END_TEST

/* It is met no more, even by who accepts nothing. */
START_TEST(accepted_once)
{
    struct seeded s = seeded_start();
    struct journal_file *files;
    uint32_t number;
    char at[128];
    size_t n;

    r_init(&r, 8192, 0);
    r_open_queue(&r, 0);
    work(&s, 40);
    r_stop(&r);
    files = list(&n);
    number = files[_i ? n / 2 : n - 1].number;
    free(files);
    path_of(number, "", at);
    ck_assert_int_eq(unlink(at), 0);
    expect_missing(number);
    r.options.accept_damage = true;
    ck_assert_int_eq(journal_open(&r.options, &r.journal, r.text, sizeof r.text), 0);
    ck_assert_uint_eq(journal_facts(r.journal).damaged, 1);
    journal_free(r.journal);
    r.options.accept_damage = false;
    for (int i = 0; i < 3; i++) {
        ck_assert_msg(r_begin(&r) == 0, "%s", r.text);
        ck_assert_uint_eq(journal_recovery(r.journal)->damaged, 0);
        r_stop(&r);
    }
    r_fini(&r);
}
END_TEST

START_TEST(copies_are_whole)
{
    struct seeded s = seeded_start();
    char from[128], to[128], command[160], text[TOOL_TEXT] = "";
    struct tool *t;

    r_init(&r, 8192, 0);
    r_open_queue(&r, 0);
    (void)snprintf(from, sizeof from, "%s/snapshot", r.path);
    (void)snprintf(to, sizeof to, "%s/copy", r.path);
    (void)snprintf(command, sizeof command, "rm -r %s", to);
    for (int i = 0; i < 30; i++) {
        work(&s, 1 + (unsigned)seeded_below(&s, 6));
        ck_assert_int_eq(journal_snapshot(r.journal, 20000), 0);
        ck_assert_int_eq(tool_copy(from, to, NULL, NULL, text), 0);
        ck_assert_int_eq(tool_open(to, NULL, NULL, &t, text), 0);
        expect(&s, tool_facts(t)->damaged == 0);
        tool_close(t);
        ck_assert_int_eq(system(command), 0);
        ck_assert_int_eq(journal_release(r.journal), 0);
    }
    expect(&s, journal_facts(r.journal).cleared > 5);
    r_fini(&r);
}
END_TEST

/* What says that a file was cleared goes when no list names it any more. */
START_TEST(nothing_piles_up)
{
    struct seeded s = seeded_start();
    struct files f = {.dir = -1, .lock = -1};
    struct journal_file *old;
    size_t n;

    r_init(&r, 8192, 0);
    r_open_queue(&r, 0);
    work(&s, 100);
    expect(&s, journal_facts(r.journal).cleared > 20);
    r_stop(&r);
    (void)snprintf(f.path, sizeof f.path, "%s", r.path);
    ck_assert_int_eq(files_cleared(&f, &old, &n), 0);
    free(old);
    expect(&s, n < 10);
    for (int i = 0; i < 2; i++) {
        ck_assert_msg(r_begin(&r) == 0, "%s", r.text);
        r_open_queue(&r, 0);
        work(&s, 3);
        r_stop(&r);
    }
    r_fini(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal missing");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, each_is_missed);
    tcase_add_loop_test(tc, accepted_once, 0, 2);
    tcase_add_test(tc, copies_are_whole);
    tcase_add_test(tc, nothing_piles_up);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
