/* What a start makes of a journal's directory: the same messages, whatever state it was in and
 * wherever the start is killed; and what it tells when it refuses. */
#include "brokerd/store/journal/explain.h"
#include "brokerd/store/journal/start.h"
#include "libbroker/base/be.h"
#include "tests/unit/store/dir.h"
#include "tests/unit/store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <xxhash.h>

enum { SEGMENT = 2048 };

static struct disk disk; /* large */
static char path[DIR_PATH];

/* ------------------------------------------------------------------- dying at the k-th call */

static int die_at; /* 0: never */

static void step(void)
{
    if (die_at && --die_at == 0)
        _exit(99);
}

#define WRAP(type, name, parameters, arguments)                                                    \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        step();                                                                                    \
        return __real_##name arguments;                                                            \
    }
WRAP(ssize_t, pwritev, (int fd, const struct iovec *iov, int n, off_t at), (fd, iov, n, at))
WRAP(int, fdatasync, (int fd), (fd))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, fallocate, (int fd, int mode, off_t at, off_t n), (fd, mode, at, n))
WRAP(int, rename, (const char *from, const char *to), (from, to))
WRAP(int, unlink, (const char *name), (name))
WRAP(int, ftruncate, (int fd, off_t n), (fd, n))
WRAP(int, link, (const char *from, const char *to), (from, to))
WRAP(int, mkdir, (const char *name, mode_t mode), (name, mode))
/* As they are called where files may be large. */
WRAP(ssize_t, pwritev64, (int fd, const struct iovec *iov, int n, off_t at), (fd, iov, n, at))
WRAP(int, fallocate64, (int fd, int mode, off_t at, off_t n), (fd, mode, at, n))
WRAP(int, ftruncate64, (int fd, off_t n), (fd, n))

/* --------------------------------------------------------------------------------- journals */

static void write_file(const char *name, const uint8_t *bytes, size_t n)
{
    char at[PATH_MAX];
    int fd;

    (void)snprintf(at, sizeof at, "%s/%s", path, name);
    fd = open(at, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
    close(fd);
}

static void segment_name(uint32_t number, char *to)
{
    (void)snprintf(to, FILES_NAME, "%010u.seg", number);
}

/* The journal in memory, as files. */
static void write_disk(const struct disk *d)
{
    char name[FILES_NAME];

    ck_assert(mkdir(path, 0700) == 0 || errno == EEXIST);
    for (uint32_t i = 1; i < DISK_SEGMENTS; i++) {
        if (!d->file[i].bytes)
            continue;
        segment_name(i, name);
        write_file(name, d->file[i].bytes, d->file[i].n);
    }
}

/* Messages in three queues, some settled, some returned, in several segments. */
static void play(struct disk *d, struct seeded *s, unsigned batches)
{
    static uint8_t buf[DISK_RECORDS][128];
    static uint64_t next[4];

    for (unsigned b = 0; b < batches; b++) {
        uint32_t queue = 1 + (uint32_t)seeded_below(s, 3);
        const struct stored_queue *q = catalog_queue(&d->catalog, queue);
        uint64_t seq = 0;

        if (!q) {
            disk_make_queue(d, queue, queue == 1 ? "one" : queue == 2 ? "two" : "three");
            next[queue] = 1;
        } else if (seeded_below(s, 2) && places_next(&q->places, &seq)) {
            disk_settle(d, queue, seq++);
            if (places_next(&q->places, &seq))
                disk_return(d, queue, seq, 3, seeded_below(s, 2) ? 1000 : 0);
        }
        for (uint64_t i = seeded_below(s, 5); i <= 4; i++)
            disk_put(d, queue, next[queue]++, buf[i]);
        disk_commit(d);
    }
}

struct started {
    struct files files;
    struct catalog catalog;
    struct log log;
    struct recovery recovery;
    char text[EXPLAIN_MAX];
};

static int start(struct started *t, bool accept_damage)
{
    struct start s = {&t->files, &t->catalog, &t->log, accept_damage};
    pid_t pid;

    t->text[0] = '\0';
    ck_assert_int_eq(files_open(path, &t->files, &pid), 0);
    catalog_init(&t->catalog, SEGMENT, UINT64_MAX);
    return journal_begin(&s, &t->recovery, t->text, sizeof t->text);
}

static void end(struct started *t)
{
    log_fini(&t->log);
    catalog_fini(&t->catalog);
    files_close(&t->files);
}

/* What is there now, without changing it. */
static uint64_t look(struct recovery *ret)
{
    struct files f;
    struct files_source src;
    struct catalog c;
    uint64_t sum;
    pid_t pid;

    ck_assert_int_eq(files_open_to_read(path, &f, &pid), 0);
    ck_assert_int_eq(files_source_init(&src, &f), 0);
    catalog_init(&c, SEGMENT, UINT64_MAX);
    ck_assert_int_eq(journal_recover(&src.source, true, &c, ret), 0);
    sum = disk_fingerprint(&c);
    ck_assert_uint_eq(c.superseded, 0);
    catalog_fini(&c);
    files_source_fini(&src);
    files_close(&f);
    return sum;
}

/* Files that are cut where their batches end, and nothing else. */
static void expect_tidy(const struct started *t)
{
    struct journal_file *list;
    size_t n;

    ck_assert_int_eq(files_list(&t->files, &list, &n), 0);
    ck_assert_uint_eq(n, t->catalog.segments.n);
    for (size_t i = 0; i < n; i++) {
        const struct segment *s = &t->catalog.segments.s[i];

        ck_assert_uint_eq(list[i].number, s->number);
        ck_assert_uint_eq(list[i].size, s->size);
        ck_assert_int_eq(s->open, i + 1 == n);
    }
    free(list);
}

/* A message more, by the log that the start has left. */
static void write_one(struct started *t, uint32_t queue)
{
    const struct stored_queue *q = catalog_queue(&t->catalog, queue);
    struct record r = {.kind = RECORD_PUT,
                       .queue = queue,
                       .seq = q->next,
                       .id = 1,
                       .expires_ms = INT64_MAX,
                       .type_id = 0x80,
                       .topic = SLICE("t"),
                       .data = SLICE("one more")};

    ck_assert_int_eq(log_add(&t->log, &r), 0);
    ck_assert_int_eq(log_write(&t->log), 0);
    ck_assert_int_eq(log_sync(&t->log), 0);
}

/* ------------------------------------------------------------------------------------ tests */

START_TEST(the_first_start)
{
    struct started t;
    struct recovery r;
    uint64_t journal;

    ck_assert_int_eq(start(&t, false), 0);
    ck_assert_uint_eq(t.recovery.journal, 0);
    ck_assert_uint_ne(t.log.journal, 0);
    ck_assert_uint_eq(t.log.segment, 1);
    expect_tidy(&t);
    journal = t.log.journal;
    end(&t);
    ck_assert_uint_eq(look(&r), 0);
    ck_assert_uint_eq(r.journal, journal);
    ck_assert(r.last_segment == 1 && r.damaged == 0 && r.torn_bytes == 0);
}
END_TEST

/* Again and again, with a torn tail, blank files and what a backup has left. */
START_TEST(the_same_messages)
{
    struct seeded s = seeded_start();

    disk_init(&disk, SEGMENT);
    for (int i = 0; i < 10; i++) {
        struct started t;
        struct recovery r;
        char name[FILES_NAME];
        uint64_t sum;

        play(&disk, &s, 1 + (unsigned)seeded_below(&s, 8));
        sum = disk_fingerprint(&disk.catalog);
        dir_remove(path);
        dir_make(path);
        write_disk(&disk);
        segment_name(disk.current + 1, name);
        write_file(name, (const uint8_t[200]){0}, 200);
        write_file("next", (const uint8_t *)"leftover", 8);
        for (int again = 0; again < 3; again++) {
            expect(&s, start(&t, false) == 0);
            expect(&s, t.catalog.superseded == 0);
            expect(&s, disk_fingerprint(&t.catalog) == sum);
            expect_tidy(&t);
            end(&t);
            expect(&s, look(&r) == sum && r.damaged == 0 && r.torn_bytes == 0);
        }
        expect(&s, start(&t, false) == 0);
        write_one(&t, catalog_queue(&t.catalog, 1) ? 1 : catalog_queue(&t.catalog, 2) ? 2 : 3);
        sum = disk_fingerprint(&t.catalog);
        end(&t);
        expect(&s, look(&r) == sum && r.damaged == 0);
    }
    disk_fini(&disk);
}
END_TEST

/* The page cache showed a batch that the disk has not: what was served after the start is there
 * nevertheless, and nothing looks like damage. */
START_TEST(the_last_batch_was_not_on_disk)
{
    struct seeded s = seeded_start();

    for (int i = 0; i < 20; i++) {
        struct started t;
        struct recovery r;
        char name[FILES_NAME];
        uint64_t sum;
        struct disk_file *f;

        disk_init(&disk, SEGMENT);
        play(&disk, &s, 3 + (unsigned)seeded_below(&s, 9));
        sum = disk_fingerprint(&disk.catalog);
        write_disk(&disk);
        expect(&s, start(&t, false) == 0);
        end(&t);
        f = &disk.file[disk.current];
        memset(f->bytes + disk.last_batch, 0, f->n - disk.last_batch);
        segment_name(disk.current, name);
        write_file(name, f->bytes, seeded_below(&s, 2) ? f->n : disk.last_batch);
        expect(&s, look(&r) == sum && r.damaged == 0);
        expect(&s, start(&t, false) == 0);
        expect(&s, disk_fingerprint(&t.catalog) == sum);
        end(&t);
        disk_fini(&disk);
        dir_remove(path);
        dir_make(path);
    }
}
END_TEST

/* Runs a start that dies at its k-th call. Did it? */
static bool die(int k, bool accept_damage)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct started t;

        die_at = k;
        _exit(start(&t, accept_damage) == 0 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) != 1);
    return WEXITSTATUS(status) == 99;
}

/* One segment has a batch with a bit that is wrong, and this one is not the last. */
static void spoil(struct seeded *s, uint32_t segment)
{
    struct disk_file *f = &disk.file[segment];
    struct scan scan = {.bytes = slice_of(f->bytes, f->n),
                        .journal = DISK_JOURNAL,
                        .segment = segment,
                        .offset = SEGMENT_HEAD};
    struct scanned found;

    ck_assert_int_eq(scan_next(&scan, &found), SCAN_BATCH);
    f->bytes[found.from + seeded_below(s, found.to - found.from)] ^= 4;
}

START_TEST(killed_anywhere)
{
    struct seeded s = seeded_start();
    bool damaged = _i == 1;
    int calls = 0;

    disk_init(&disk, SEGMENT);
    play(&disk, &s, 15);
    if (damaged)
        spoil(&s, 2);
    for (int k = 1, died = 1; died; k++, calls++) {
        struct started t;
        struct recovery r;
        char name[FILES_NAME];
        uint64_t sum;

        dir_remove(path);
        dir_make(path);
        write_disk(&disk);
        segment_name(disk.current + 1, name);
        write_file(name, (const uint8_t[200]){0}, 200);
        sum = look(&r);
        expect(&s, damaged == (r.damaged == 1));
        expect(&s, damaged || sum == disk_fingerprint(&disk.catalog));
        died = die(k, true);
        expect(&s, look(&r) == sum);
        expect(&s, died || r.damaged == 0);
        expect(&s, start(&t, true) == 0);
        expect(&s, disk_fingerprint(&t.catalog) == sum && t.catalog.superseded == 0);
        expect_tidy(&t);
        end(&t);
        expect(&s, look(&r) == sum && r.damaged == 0);
    }
    expect(&s, calls > (damaged ? 15 : 8));
    disk_fini(&disk);
}
END_TEST

/* ----------------------------------------------------------------------------------- refused */

static void expect_told(struct started *t, const char *const *parts)
{
    for (; *parts; parts++)
        ck_assert_msg(strstr(t->text, *parts), "no '%s' in: %s", *parts, t->text);
    end(t);
}

static void expect_unchanged(void)
{
    struct stat st;
    char at[PATH_MAX];

    for (uint32_t i = 1; i < DISK_SEGMENTS; i++) {
        if (!disk.file[i].bytes)
            continue;
        (void)snprintf(at, sizeof at, "%s/%010u.seg", path, i);
        ck_assert_int_eq(stat(at, &st), 0);
        ck_assert_uint_eq((uint64_t)st.st_size, disk.file[i].n);
    }
}

START_TEST(damage_is_refused_until_accepted)
{
    struct seeded s = seeded_start();
    struct started t;
    struct recovery r;
    char at[PATH_MAX];
    struct stat st;

    disk_init(&disk, SEGMENT);
    play(&disk, &s, 15);
    spoil(&s, 2);
    write_disk(&disk);
    expect(&s, start(&t, false) == -EUCLEAN);
    expect_told(&t, (const char *const[]){path, "1 batch of confirmed messages", "0000000002.seg",
                                          "accept-damage = true", "broker store check", NULL});
    expect_unchanged();
    expect(&s, start(&t, true) == 0);
    expect(&s, t.recovery.lost_batches == 1);
    (void)files_path(&t.files, "damaged/0000000002.seg", at);
    expect(&s, stat(at, &st) == 0 && (uint64_t)st.st_size == disk.file[2].n);
    expect(&s, !segments_find(&t.catalog.segments, 2));
    end(&t);
    (void)look(&r);
    expect(&s, r.damaged == 0);
    expect(&s, start(&t, false) == 0); /* it was accepted, once and for all */
    end(&t);
    disk_fini(&disk);
}
END_TEST

/* Bytes that nobody can make sense of are not thrown away, nor taken for a new journal. */
START_TEST(nothing_but_rubbish)
{
    uint8_t rubbish[500];
    struct started t;
    struct recovery r;
    char at[PATH_MAX];

    memset(rubbish, 'x', sizeof rubbish);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    write_file("0000000007.seg", rubbish, sizeof rubbish);
    ck_assert_int_eq(start(&t, false), -EUCLEAN);
    expect_told(&t, (const char *const[]){"0000000007.seg, bytes 0 to 500", NULL});
    ck_assert_int_eq(start(&t, true), 0);
    ck_assert_int_eq(access(files_path(&t.files, "damaged/0000000007.seg", at), F_OK), 0);
    expect_tidy(&t);
    end(&t);
    ck_assert(look(&r) == 0 && r.damaged == 0);
}
END_TEST

START_TEST(a_later_version)
{
    struct seeded s = seeded_start();
    struct started t;
    uint8_t *head;

    disk_init(&disk, SEGMENT);
    play(&disk, &s, 3);
    head = disk.file[1].bytes;
    be_put_32(head + 8, 9);
    be_put_64(head + SEGMENT_HEAD - 8, XXH3_64bits(head, SEGMENT_HEAD - 8));
    write_disk(&disk);
    ck_assert_int_eq(start(&t, true), -ENOTSUP);
    expect_told(&t, (const char *const[]){"0000000001.seg", "version 9", "up to 1", NULL});
    expect_unchanged();
    disk_fini(&disk);
}
END_TEST

START_TEST(of_two_journals)
{
    struct seeded s = seeded_start();
    struct segment_head h = {.journal = 5, .number = 4000};
    uint8_t head[SEGMENT_HEAD];
    struct started t;

    disk_init(&disk, SEGMENT);
    play(&disk, &s, 3);
    write_disk(&disk);
    segment_encode(&h, head);
    write_file("0000004000.seg", head, sizeof head);
    ck_assert_int_eq(start(&t, true), -EXDEV);
    expect_told(&t, (const char *const[]){"0000004000.seg", "another journal", NULL});
    expect_unchanged();
    disk_fini(&disk);
}
END_TEST

START_TEST(explained)
{
    char text[EXPLAIN_MAX];

    explain_open("/a/b", -EBUSY, 77, text, sizeof text);
    ck_assert_str_eq(text, "/a/b is in use by a broker (pid 77)");
    explain_open("/a/b", -EBUSY, 0, text, sizeof text);
    ck_assert_str_eq(text, "/a/b is being read (broker store ..): try again when that is done");
    explain_open("/a/b", -EACCES, 0, text, sizeof text);
    ck_assert_str_eq(text, "/a/b: Permission denied");
    explain_damage(&(struct damage){3, 64, 128, 2, false}, text, sizeof text);
    ck_assert_str_eq(text, "0000000003.seg, bytes 64 to 128: 2 batches lost");
    explain_damage(&(struct damage){3, 0, 64, 0, false}, text, sizeof text);
    ck_assert_str_eq(text, "0000000003.seg, bytes 0 to 64: nothing lost");
    explain_recovery("/a", -EIO, &(struct recovery){.at = 4}, text, sizeof text);
    ck_assert_str_eq(text, "/a/0000000004.seg: Input/output error");
    explain_recovery("/a", -EUCLEAN, &(struct recovery){.lost_batches = 2}, text, 20);
    ck_assert_str_eq(text, "/a is damaged: 2 ba");
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
    Suite *suite = suite_create("journal start");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, the_first_start);
    tcase_add_test(tc, the_same_messages);
    tcase_add_test(tc, the_last_batch_was_not_on_disk);
    tcase_add_loop_test(tc, killed_anywhere, 0, 2);
    tcase_add_test(tc, damage_is_refused_until_accepted);
    tcase_add_test(tc, nothing_but_rubbish);
    tcase_add_test(tc, a_later_version);
    tcase_add_test(tc, of_two_journals);
    tcase_add_test(tc, explained);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
