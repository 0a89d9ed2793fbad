/* The journal's directory: who may use it, what is in it, and that a segment is there whole or not
 * at all. */
#include "brokerd/store/journal/files.h"
#include "brokerd/store/journal/keep.h"
#include "tests/unit/store/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[DIR_PATH];

static struct files opened(void)
{
    struct files f;
    pid_t pid = -1;

    ck_assert_int_eq(files_open(path, &f, &pid), 0);
    return f;
}

static void begin_segment(const struct files *f, uint32_t number, const char *text, uint64_t size)
{
    struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
    int fd;

    ck_assert_int_eq(files_prepare(f, size, &fd), 0);
    ck_assert_int_eq(files_write(fd, &iov, 1, 0), 0);
    ck_assert_int_eq(files_publish(f, fd, number), 0);
    close(fd);
}

/* ------------------------------------------------------------------------------------- lock */

/* In another process, for locks are a process's: 0, or the negative status and the pid told. */
static int open_elsewhere(bool to_read, pid_t *ret_pid)
{
    int pipes[2], status[2] = {0, -1};
    pid_t child;

    ck_assert_int_eq(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        struct files f;
        pid_t pid = -1;

        status[0] = to_read ? files_open_to_read(path, &f, &pid) : files_open(path, &f, &pid);
        status[1] = (int)pid;
        _exit(write(pipes[1], status, sizeof status) < 0);
    }
    ck_assert_int_eq(read(pipes[0], status, sizeof status), sizeof status);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    close(pipes[0]);
    close(pipes[1]);
    *ret_pid = (pid_t)status[1];
    return status[0];
}

START_TEST(one_broker_has_it)
{
    struct files f = opened();
    struct stat st;
    pid_t pid;

    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0700);
    ck_assert_int_eq(open_elsewhere(false, &pid), -EBUSY);
    ck_assert_int_eq(pid, getpid());
    ck_assert_int_eq(open_elsewhere(true, &pid), -EBUSY);
    ck_assert_int_eq(pid, getpid());
    files_close(&f);
    ck_assert_int_eq(open_elsewhere(false, &pid), 0);
}
END_TEST

START_TEST(many_may_look)
{
    struct files f = opened(), reader;
    pid_t pid;

    files_close(&f);
    ck_assert_int_eq(files_open_to_read(path, &reader, &pid), 0);
    ck_assert_int_eq(open_elsewhere(true, &pid), 0);
    ck_assert_int_eq(open_elsewhere(false, &pid), -EBUSY);
    ck_assert_int_eq(pid, 0);
    files_close(&reader);
    ck_assert_int_eq(open_elsewhere(false, &pid), 0);
}
END_TEST

/* A copy that somebody made of the segments alone. Looking at it makes nothing. */
START_TEST(without_a_lock)
{
    char at[PATH_MAX];
    struct files f;
    pid_t pid;

    ck_assert_int_eq(files_open_to_read(path, &f, &pid), -ENOENT);
    ck_assert_int_eq(mkdir(path, 0500), 0);
    ck_assert_int_eq(files_open_to_read(path, &f, &pid), 0);
    ck_assert_int_lt(access(files_path(&f, "lock", at), F_OK), 0);
    files_close(&f);
}
END_TEST

START_TEST(no_place_for_it)
{
    char deep[PATH_MAX];
    struct files f;
    pid_t pid;
    int fd;

    (void)snprintf(deep, sizeof deep, "%s/not/there", path);
    ck_assert_int_eq(files_open(deep, &f, &pid), -ENOENT);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    close(fd);
    ck_assert_int_eq(files_open(path, &f, &pid), -ENOTDIR);
    memset(deep, 'x', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    ck_assert_int_eq(files_open(deep, &f, &pid), -ENAMETOOLONG);
    ck_assert_int_eq(files_open_to_read(deep, &f, &pid), -ENAMETOOLONG);
}
END_TEST

/* --------------------------------------------------------------------------------- segments */

static const uint32_t numbers[] = {7, 10, 4000000000U, 3, 100, 9, 8, 12, 11};
static const uint32_t sorted[] = {3, 7, 8, 9, 10, 11, 12, 100, 4000000000U};

START_TEST(only_segments_are_listed)
{
    static const char *const others[] = {"next",           "1.seg",           "0000000005.seg~",
                                         "0000000000.seg", "00000000006.seg", "9999999999.seg",
                                         "x000000005.seg"};
    struct files f = opened();
    struct journal_file *list = NULL;
    char at[PATH_MAX];
    size_t n = 1;

    ck_assert_int_eq(files_list(&f, &list, &n), 0);
    ck_assert(n == 0 && !list);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        begin_segment(&f, numbers[i], "head", 100 + numbers[i] % 7);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        close(open(files_path(&f, others[i], at), O_WRONLY | O_CREAT, 0600));
    ck_assert_int_eq(mkdir(files_path(&f, "damaged", at), 0700), 0);
    ck_assert_int_eq(files_list(&f, &list, &n), 0);
    ck_assert_uint_eq(n, ARRAY_LEN(sorted));
    for (size_t i = 0; i < n; i++) {
        ck_assert_uint_eq(list[i].number, sorted[i]);
        ck_assert_uint_eq(list[i].size, 100 + sorted[i] % 7);
    }
    free(list);
    files_close(&f);
}
END_TEST

START_TEST(a_segment_comes_and_goes)
{
    struct files f = opened();
    struct journal_file *list;
    uint8_t bytes[100];
    size_t n;
    int fd;

    ck_assert_int_eq(files_segment(&f, 1, false, &fd), -ENOENT);
    begin_segment(&f, 1, "head", sizeof bytes);
    ck_assert_int_eq(files_segment(&f, 1, true, &fd), 0);
    ck_assert_int_eq(files_read(fd, bytes, sizeof bytes, 0), 0);
    ck_assert(memcmp(bytes, "head", 4) == 0);
    for (size_t i = 4; i < sizeof bytes; i++)
        ck_assert_uint_eq(bytes[i], 0);
    ck_assert_int_eq(files_read(fd, bytes, sizeof bytes, 1), -ENODATA);
    ck_assert_int_eq(files_reserve(fd, 200), 0);
    ck_assert_int_eq(files_read(fd, bytes, sizeof bytes, 100), 0);
    ck_assert_int_eq(files_cut(fd, 64), 0);
    ck_assert_int_eq(files_sync(fd), 0);
    close(fd);
    ck_assert_int_eq(files_list(&f, &list, &n), 0);
    ck_assert(n == 1 && list[0].size == 64);
    free(list);
    ck_assert_int_eq(files_remove(&f, 1), 0);
    ck_assert_int_eq(files_remove(&f, 1), -ENOENT);
    ck_assert_int_eq(files_list(&f, &list, &n), 0);
    ck_assert_uint_eq(n, 0);
    files_close(&f);
}
END_TEST

/* What was prepared and never used leaves nothing in what is prepared next. */
START_TEST(prepared_again)
{
    struct files f = opened();
    char leftover[] = "leftover", at[PATH_MAX];
    struct iovec iov = {leftover, 8};
    uint8_t bytes[50];
    int fd;

    ck_assert_int_eq(files_prepare(&f, 100, &fd), 0);
    ck_assert_int_eq(files_write(fd, &iov, 1, 20), 0);
    close(fd);
    files_forget_prepared(&f);
    files_forget_prepared(&f);
    ck_assert_int_lt(access(files_path(&f, "next", at), F_OK), 0);
    ck_assert_int_eq(files_prepare(&f, 100, &fd), 0);
    ck_assert_int_eq(files_write(fd, &(struct iovec){leftover, 8}, 1, 20), 0);
    close(fd);
    begin_segment(&f, 5, "head", 50);
    ck_assert_int_eq(files_segment(&f, 5, false, &fd), 0);
    ck_assert_int_eq(files_read(fd, bytes, sizeof bytes, 0), 0);
    ck_assert_uint_eq(bytes[20], 0);
    ck_assert_int_eq(files_read(fd, bytes, 1, 50), -ENODATA);
    close(fd);
    files_close(&f);
}
END_TEST

/* More pieces than one call takes. */
START_TEST(many_pieces)
{
    enum { PIECES = 2 * IOV_MAX + 3 };
    struct files f = opened();
    static struct iovec iov[PIECES];
    static uint8_t out[3 * PIECES], in[3 * PIECES];
    int fd;

    for (size_t i = 0; i < sizeof out; i++)
        out[i] = (uint8_t)(i * 7 + 1);
    for (size_t i = 0, at = 0; i < PIECES; at += iov[i++].iov_len)
        iov[i] = (struct iovec){out + at, 1 + i % 3};
    ck_assert_int_eq(files_prepare(&f, 16, &fd), 0);
    ck_assert_int_eq(files_write(fd, iov, PIECES, 8), 0);
    ck_assert_int_eq(files_read(fd, in, 2 * PIECES - 3, 8), 0);
    ck_assert(memcmp(in, out, 2 * PIECES - 3) == 0);
    close(fd);
    files_close(&f);
}
END_TEST

START_TEST(copied)
{
    struct files f = opened();
    char at[PATH_MAX];
    struct stat st;

    begin_segment(&f, 2, "head and more", 3 << 20);
    ck_assert_int_eq(files_copy(&f, 2, (2 << 20) + 5, files_path(&f, "copy", at)), 0);
    ck_assert_int_eq(stat(at, &st), 0);
    ck_assert_int_eq(st.st_size, (2 << 20) + 5);
    ck_assert_int_eq(files_copy(&f, 2, 10, at), -EEXIST);
    /* its size was looked at before its broker cut it */
    ck_assert_int_eq(files_copy(&f, 2, 4 << 20, files_path(&f, "other", at)), 0);
    ck_assert_int_eq(stat(at, &st), 0);
    ck_assert_int_eq(st.st_size, 3 << 20);
    files_close(&f);
}
END_TEST

static void expect_there(const struct files *f, const char *name, bool there)
{
    char at[PATH_MAX];

    ck_assert_msg((access(files_path(f, name, at), F_OK) == 0) == there, "%s", name);
}

/* A damaged segment is there for people, once, whatever becomes of it; and so is another one that
 * had its number before. */
START_TEST(kept_for_people)
{
    struct files f = opened();

    begin_segment(&f, 3, "three", 100);
    ck_assert_int_eq(keep_damaged(&f, 3), 0);
    ck_assert_int_eq(keep_damaged(&f, 3), 0);
    expect_there(&f, "damaged/0000000003.seg", true);
    expect_there(&f, "damaged/0000000003.seg.1", false);
    ck_assert_int_eq(files_remove(&f, 3), 0);
    expect_there(&f, "damaged/0000000003.seg", true);
    begin_segment(&f, 3, "another three", 100);
    ck_assert_int_eq(keep_damaged(&f, 3), 0);
    expect_there(&f, "damaged/0000000003.seg.1", true);
    ck_assert_int_eq(keep_damaged(&f, 4), -ENOENT);
    files_close(&f);
}
END_TEST

START_TEST(put_aside_for_a_backup)
{
    struct files f = opened();

    ck_assert_int_eq(keep_no_snapshot(&f), 0);
    begin_segment(&f, 1, "one", 100);
    begin_segment(&f, 2, "two", 100);
    begin_segment(&f, 3, "open", 100);
    ck_assert_int_eq(keep_snapshot(&f, 3), 0);
    expect_there(&f, "snapshot/0000000001.seg", true);
    expect_there(&f, "snapshot/0000000003.seg", false);
    ck_assert_int_eq(files_remove(&f, 1), 0);
    expect_there(&f, "snapshot/0000000001.seg", true);
    ck_assert_int_eq(keep_snapshot(&f, 2), 0); /* in place of the other */
    expect_there(&f, "snapshot/0000000001.seg", false);
    expect_there(&f, "snapshot/0000000002.seg", false);
    expect_there(&f, "snapshot/0000000003.seg", true);
    ck_assert_int_eq(keep_no_snapshot(&f), 0);
    expect_there(&f, "snapshot", false);
    expect_there(&f, "0000000003.seg", true);
    files_close(&f);
}
END_TEST

START_TEST(read_for_recovery)
{
    struct files f = opened();
    struct files_source s;
    struct slice bytes;

    begin_segment(&f, 2, "two", 100);
    begin_segment(&f, 4, "four", 10000);
    ck_assert_int_eq(files_source_init(&s, &f), 0);
    ck_assert_uint_eq(s.source.files_n, 2);
    ck_assert_int_eq(s.source.load(s.source.ctx, 2, UINT64_MAX, &bytes), 0);
    ck_assert(bytes.n == 100 && memcmp(bytes.p, "two", 3) == 0);
    s.source.unload(s.source.ctx, 2, bytes);
    ck_assert_int_eq(s.source.load(s.source.ctx, 4, 64, &bytes), 0);
    ck_assert(bytes.n == 64 && memcmp(bytes.p, "four", 4) == 0);
    s.source.unload(s.source.ctx, 4, bytes);
    ck_assert_int_eq(s.source.load(s.source.ctx, 4, UINT64_MAX, &bytes), 0);
    ck_assert_uint_eq(bytes.n, 10000);
    s.source.unload(s.source.ctx, 4, bytes);
    ck_assert_int_eq(files_remove(&f, 4), 0);
    ck_assert_int_eq(s.source.load(s.source.ctx, 4, UINT64_MAX, &bytes), -ENOENT);
    files_source_fini(&s);
    files_close(&f);
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
    Suite *suite = suite_create("journal files");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, one_broker_has_it);
    tcase_add_test(tc, many_may_look);
    tcase_add_test(tc, without_a_lock);
    tcase_add_test(tc, no_place_for_it);
    tcase_add_test(tc, only_segments_are_listed);
    tcase_add_test(tc, a_segment_comes_and_goes);
    tcase_add_test(tc, prepared_again);
    tcase_add_test(tc, many_pieces);
    tcase_add_test(tc, copied);
    tcase_add_test(tc, kept_for_people);
    tcase_add_test(tc, put_aside_for_a_backup);
    tcase_add_test(tc, read_for_recovery);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
