/* The journal alone, through its table: messages put, stored and settled a second, with so many on
 * their way, beside what the disk does by itself: writes of 256 bytes, each synced.
 *
 *     bench_journal [seconds a row] [directory] */
#include "tests/bench/journal.h"

#include <fcntl.h>
#include <sys/resource.h>

static double cpu(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void settle(struct bench *b)
{
    struct store_settlement s = {SETTLE_GONE, (uint32_t)(b->stored - b->settled), b->settled + 1, 0,
                                 0};

    if (!s.count)
        return;
    b->store->ops->settle(b->queue, &s, 1);
    b->settled = b->stored;
}

static void row(struct bench *b, uint32_t window, double seconds, double disk)
{
    struct journal_facts before = journal_facts(b->journal), after;
    uint64_t first = b->next;
    double began = now(), cpu_began = cpu(), took;

    while (now() - began < seconds) {
        uint32_t room = window - (uint32_t)(b->next - b->stored);

        if (room)
            put(b, room);
        settle(b);
        b->store->ops->flush(b->store);
        take(b);
    }
    took = now() - began;
    after = journal_facts(b->journal);
    printf("window %5u: %8.0f messages/s, %6.0f syncs/s (%.0f %% of the disk's), %.2f us of CPU a "
           "message\n",
           window, (double)(b->next - first) / took, (double)(after.syncs - before.syncs) / took,
           100 * (double)(after.syncs - before.syncs) / took / disk,
           (cpu() - cpu_began) * 1e6 / (double)(b->next - first));
    fflush(stdout);
    while (b->stored < b->next)
        take(b);
}

static double disk_alone(const char *dir, double seconds)
{
    static const char bytes[256];
    char path[512];
    double began = now();
    unsigned n = 0;
    int fd;

    snprintf(path, sizeof path, "%s/alone", dir);
    fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || posix_fallocate(fd, 0, 32 << 20) != 0 || fsync(fd) < 0)
        exit(1);
    for (; now() - began < seconds; n++)
        if (pwrite(fd, bytes, sizeof bytes, (off_t)(n * sizeof bytes)) < 0 || fdatasync(fd) < 0)
            exit(1);
    close(fd);
    unlink(path);
    printf("the disk alone: %.0f syncs/s\n", n / (now() - began));
    return n / (now() - began);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 2, disk;
    char dir[512] = "/var/tmp/bench_journal.XXXXXX", command[600];
    struct bench b = {.lock = PTHREAD_MUTEX_INITIALIZER};

    if (argc > 2)
        snprintf(dir, sizeof dir, "%s/bench_journal.XXXXXX", argv[2]);
    if (!mkdtemp(dir))
        return 1;
    b.options.path = dir;
    disk = disk_alone(dir, seconds / 2);
    b.wake = eventfd(0, 0);
    b.topic = topic_new(SLICE("work"), 1);
    begin(&b);
    b.queue = open_queue(&b, "work");
    row(&b, 1024, 0.3, disk); /* so that the rows are alike: in a segment that was filled */
    for (uint32_t window = 1; window <= 16384; window *= window < 64 ? 8 : 16)
        row(&b, window, seconds, disk);
    journal_free(b.journal);
    topic_unref(b.topic);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) == 0 ? 0 : 1;
}
