/* How long a start takes that finds so many millions of messages of 128 bytes in the journal, the
 * page cache dropped if that is permitted; and, besides, what purging them costs those who use the
 * store at the time.
 *
 *     bench_recovery [directory [millions ..]]
 *
 * 1: it took longer than 2 s a million. */
#include "tests/bench/journal.h"

#include <dirent.h>
#include <fcntl.h>

enum { RUN = 1024, MOST_S = 2 /* a million */ };

static void fill(struct bench *b, uint64_t n)
{
    b->queue = open_queue(b, "work");
    while (b->stored < n) {
        while (b->next - b->stored <= STORE_UNSTORED_MAX - RUN && b->next < n)
            put(b, n - b->next < RUN ? (uint32_t)(n - b->next) : RUN);
        b->store->ops->flush(b->store);
        take(b);
    }
}

/* Off the page cache, file by file: anybody may do that with what is on disk. */
static void forget_files(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    while (d && (e = readdir(d)) != NULL) {
        int fd = openat(dirfd(d), e->d_name, O_RDONLY);

        if (fd < 0)
            continue;
        (void)fdatasync(fd);
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
    if (d)
        closedir(d);
}

static const char *drop_caches(const char *dir)
{
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
    bool done;

    sync();
    forget_files(dir);
    if (fd < 0)
        return "its files dropped from the page cache (the whole cache: not permitted)";
    done = write(fd, "3", 1) == 1;
    close(fd);
    return done ? "the page cache dropped"
                : "its files dropped from the page cache (the whole cache: not permitted)";
}

/* One at a time into another queue, while `n` messages are purged: how long the longest waits. */
static void purge(struct bench *b, uint64_t n)
{
    double began, last, longest = 0;

    b->next = b->stored = 0;
    b->queue = open_queue(b, "other");
    b->purged = false;
    began = now();
    if (b->store->ops->purge(open_queue(b, "work"), UINT64_MAX, NULL, 0, 1) < 0)
        exit(1);
    while (!b->purged) {
        last = now();
        put(b, 1);
        b->store->ops->flush(b->store);
        while (b->stored < b->next)
            take(b);
        longest = now() - last > longest ? now() - last : longest;
    }
    printf("  purging %.0f million: %.0f ms; who puts one meanwhile waits %.0f ms at most\n",
           (double)n / 1e6, (now() - began) * 1e3, longest * 1e3);
}

static bool measure(const char *parent, uint64_t n)
{
    struct bench b = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = eventfd(0, 0)};
    char dir[512], command[600];
    const char *dropped;
    double took;

    snprintf(dir, sizeof dir, "%s/bench_recovery.XXXXXX", parent);
    if (!mkdtemp(dir))
        exit(1);
    b.options.path = dir;
    b.topic = topic_new(SLICE("work"), 1);
    begin(&b);
    fill(&b, n);
    journal_free(b.journal);
    b.runs = b.opened = b.open = 0;
    dropped = drop_caches(dir);
    took = now();
    begin(&b);
    took = now() - took;
    printf("%.0f million messages of %d B: read in %.2f s (at most %.0f s), %s\n", (double)n / 1e6,
           SIZE, took, MOST_S * (double)n / 1e6, dropped);
    purge(&b, n);
    fflush(stdout);
    journal_free(b.journal);
    topic_unref(b.topic);
    close(b.wake);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) == 0 && took <= MOST_S * (double)n / 1e6;
}

int main(int argc, char **argv)
{
    const char *parent = argc > 1 ? argv[1] : "/var/tmp";
    bool good = true;

    if (argc <= 2)
        good = measure(parent, 1000000);
    for (int i = 2; i < argc; i++)
        good = measure(parent, strtoull(argv[i], NULL, 10) * 1000000) && good;
    return good ? 0 : 1;
}
