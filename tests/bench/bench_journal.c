/* The journal alone, through its table: messages put, stored and settled a second, with so many on
 * their way, beside what the disk does by itself: writes of 256 bytes, each synced.
 *
 *     bench_journal [seconds a row] [directory] */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "brokerd/store/journal/journal.h"

enum { SIZE = 128, WINDOW_MAX = 65536 };

struct bench {
    struct journal *journal;
    struct store *store;
    struct store_queue *queue;
    struct topic *topic;
    int wake;
    pthread_mutex_t lock;
    journal_run_fn *run[16];
    void *arg[16];
    unsigned runs;
    uint64_t next, stored, settled; /* numbers: put, stored, settled so far */
    bool open;
};

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double cpu(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int call(void *ctx, unsigned to, journal_run_fn *run, void *arg)
{
    struct bench *b = ctx;
    uint64_t one = 1;

    (void)to;
    pthread_mutex_lock(&b->lock);
    b->run[b->runs] = run;
    b->arg[b->runs++] = arg;
    pthread_mutex_unlock(&b->lock);
    return write(b->wake, &one, sizeof one) == sizeof one ? 0 : -ENOMEM;
}

static void stored(void *ctx, unsigned w, const struct stored *a)
{
    struct bench *b = ctx;

    (void)w;
    if (a->kind == STORED_OPEN)
        b->open = true;
    if (a->kind != STORED_PUT)
        return;
    if (a->reason != REASON_NONE || a->first != b->stored + 1) {
        fprintf(stderr, "refused, or out of order\n");
        exit(1);
    }
    b->stored += a->count;
}

/* Wait for answers, and take them. */
static void take(struct bench *b)
{
    journal_run_fn *run[16];
    void *arg[16];
    uint64_t count;
    unsigned n;

    if (read(b->wake, &count, sizeof count) != sizeof count)
        exit(1);
    pthread_mutex_lock(&b->lock);
    n = b->runs;
    memcpy(run, b->run, sizeof run);
    memcpy(arg, b->arg, sizeof arg);
    b->runs = 0;
    pthread_mutex_unlock(&b->lock);
    for (unsigned i = 0; i < n; i++)
        run[i](arg[i], NULL);
}

static void put(struct bench *b, uint32_t n)
{
    static const uint8_t data[SIZE];
    static struct msg_view v[WINDOW_MAX];
    struct run run = {v, n, (uint64_t)n * SIZE, {CTYPE_NONE, {0}}, 0};
    struct msg_origin from = {b->topic, {CTYPE_NONE, {0}}, b->next + 1, 1000, 1000};

    for (uint32_t i = 0; i < n; i++)
        v[i] = (struct msg_view){data, SIZE, NULL, NULL};
    if (b->store->ops->put(b->queue, b->next + 1, &run, &from) < 0) {
        fprintf(stderr, "put is refused\n");
        exit(1);
    }
    b->next += n;
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
    char dir[512] = "/var/tmp/bench_journal.XXXXXX", text[1024], command[600];
    struct bench b = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct journal_options o = {.workers = 1, .ctx = &b, .call = call, .stored = stored};
    static const struct queue_policy policy;
    struct store_open open = {.def = {.name = SLICE("work")}, .policy = &policy};

    if (argc > 2)
        snprintf(dir, sizeof dir, "%s/bench_journal.XXXXXX", argv[2]);
    if (!mkdtemp(dir))
        return 1;
    o.path = dir;
    disk = disk_alone(dir, seconds / 2);
    b.wake = eventfd(0, 0);
    b.topic = topic_new(SLICE("work"), 1);
    if (journal_open(&o, &b.journal, text, sizeof text) < 0) {
        fprintf(stderr, "%s\n", text);
        return 1;
    }
    b.store = journal_store(b.journal, 0);
    if (journal_start(b.journal) < 0)
        return 1;
    b.queue = b.store->ops->open(b.store, &open, 1);
    b.store->ops->flush(b.store);
    while (!b.open)
        take(&b);
    row(&b, 1024, 0.3, disk); /* so that the rows are alike: in a segment that was filled */
    for (uint32_t window = 1; window <= 16384; window *= window < 64 ? 8 : 16)
        row(&b, window, seconds, disk);
    journal_free(b.journal);
    topic_unref(b.topic);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) == 0 ? 0 : 1;
}
