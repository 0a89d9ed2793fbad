/* Any bytes as the files of a journal: a start refuses them with a text or makes a journal of them,
 * and then, if nothing in them is forged, the next start finds nothing damaged, and the same queues
 * and messages.
 *
 * The first byte: 1 accept damage, 2 make the checks of heads and batches right, so that what is
 * within them is looked at, too. Then files: two bytes of length (the highest bit: a number is left
 * out before it), and so many bytes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "brokerd/store/journal/keep.h"
#include "brokerd/store/journal/start.h"
#include "libbroker/base/be.h"
#include "tests/fuzz/fuzz_support.h"

enum { JOURNAL = 7, FILES = 12, ACCEPT = 1, REPAIR = 2, SEGMENT = 4096, HEAD_MAGIC = 8 };

static char path[64];

struct counts {
    uint64_t queues, messages, returned, next, payload;
};

/* -------------------------------------------------------------------------------- the files */

static void repair_head(uint8_t *p, uint32_t number)
{
    be_put_32(be_put_32(p + HEAD_MAGIC, FORMAT_VERSION), number);
    be_put_64(p + 16, JOURNAL);
    memcpy(p, "brokerdJ", HEAD_MAGIC);
    be_put_64(p + SEGMENT_HEAD - 8, XXH3_64bits(p, SEGMENT_HEAD - 8));
}

/* What begins at `at` becomes a batch of the records that it has; how long it is. */
static size_t repair_batch(uint8_t *p, size_t n, uint32_t number, size_t at)
{
    size_t room = n - at - BATCH_HEAD, size = be_get_32(p + at + 4) % 4096 / 8 * 8;
    struct batch_head h = {.journal = JOURNAL,
                           .number = be_get_64(p + at + 8),
                           .segment = number,
                           .offset = (uint32_t)at};
    struct record r;
    struct slice left;

    size = size < room ? size : room / 8 * 8;
    left = slice_of(p + at + BATCH_HEAD, size);
    for (; record_decode(left, &r); h.records_n++)
        left = slice_from(left, r.size);
    batch_encode(&h, slice_of(p + at + BATCH_HEAD, size - left.n), p + at);
    return BATCH_HEAD + size - left.n;
}

static void repair(uint8_t *p, size_t n, uint32_t number)
{
    if (n < SEGMENT_HEAD)
        return;
    repair_head(p, number);
    for (size_t at = SEGMENT_HEAD; at + BATCH_HEAD <= n;)
        at += repair_batch(p, n, number, at);
}

static void write_file(uint32_t number, const uint8_t *p, size_t n, bool repaired)
{
    char name[128];
    uint8_t *copy = malloc(n + 1);
    int fd;

    must(copy != NULL);
    memcpy(copy, p, n);
    if (repaired)
        repair(copy, n, number);
    (void)snprintf(name, sizeof name, "%s/%010u.seg", path, number);
    fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    must(fd >= 0 && write(fd, copy, n) == (ssize_t)n);
    close(fd);
    free(copy);
}

static void write_files(const uint8_t *data, size_t size)
{
    bool repaired = data[0] & REPAIR;
    size_t at = 1;
    uint32_t number = 0;

    for (unsigned i = 0; i < FILES && at + 2 <= size; i++) {
        size_t n = be_get_16(data + at) & 0x7fff;

        number += 1 + (data[at] >> 7);
        at += 2;
        n = n < size - at ? n : size - at;
        write_file(number, data + at, n, repaired);
        at += n;
    }
}

/* -------------------------------------------------------------------------------- the starts */

static struct counts count(const struct catalog *c)
{
    struct counts n = {0};
    struct stored_queue *q;
    size_t at = 0;

    while ((q = catalog_next(c, &at)) != NULL) {
        uint64_t seq = 0, payload = 0, messages = 0;
        const struct place *p;

        for (; (p = places_next(&q->places, &seq)) != NULL; seq++) {
            must(seq < q->next && segments_find(&c->segments, p->segment) != NULL);
            payload += p->size - p->overhead;
            messages++;
        }
        must(messages == q->places.n && payload == q->payload && q->returned <= messages);
        must(!q->gone || !messages);
        if (q->gone || (!q->definition && !messages)) /* its name is lost, and with it all of it */
            continue;
        n.queues++;
        n.messages += messages;
        n.returned += q->returned;
        n.payload += payload;
        if (q->definition)
            n.next += q->next;
    }
    must(n.messages == c->segments.puts);
    return n;
}

/* A broker's start and end: 0 or -errno. */
static int start(bool accept, struct counts *ret, struct recovery *recovery)
{
    char text[1024] = "";
    struct files files;
    struct catalog catalog;
    struct log log;
    struct start s = {&files, &catalog, &log, accept};
    pid_t pid;
    int r = files_open(path, &files, &pid);

    must(r == 0);
    catalog_init(&catalog, SEGMENT, UINT64_MAX);
    r = journal_begin(&s, recovery, text, sizeof text);
    must(r == 0 || *text);
    *ret = count(&catalog);
    if (r == 0)
        log_fini(&log);
    catalog_fini(&catalog);
    files_close(&files);
    return r;
}

static bool same(const struct counts *a, const struct counts *b)
{
    return a->queues == b->queues && a->messages == b->messages && a->payload == b->payload &&
           a->returned == b->returned && a->next == b->next;
}

static void remove_lock(void)
{
    char name[128];

    (void)snprintf(name, sizeof name, "%s/lock", path);
    (void)unlink(name);
}

static void remove_all(void)
{
    char command[128];
    struct files f;
    struct journal_file *list;
    size_t n;
    pid_t pid;

    must(files_open(path, &f, &pid) == 0 && files_list(&f, &list, &n) == 0);
    for (size_t i = 0; i < n; i++)
        must(files_remove(&f, list[i].number) == 0);
    free(list);
    must(files_cleared(&f, &list, &n) == 0);
    for (size_t i = 0; i < n; i++)
        files_forget_cleared(&f, list[i].number);
    free(list);
    files_forget_prepared(&f);
    (void)snprintf(command, sizeof command, "%s/damaged", path);
    if (access(command, F_OK) == 0) { /* as another folder is removed */
        char to[128];

        (void)snprintf(to, sizeof to, "%s/snapshot", path);
        must(rename(command, to) == 0 && keep_no_snapshot(&f) == 0);
    }
    files_close(&f);
    remove_lock(); /* it says which segment was the last */
}

static void make_path(void)
{
    (void)snprintf(path, sizeof path, "%s/fuzz-journal.XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    must(mkdtemp(path) != NULL);
}

static void remove_path(void)
{
    remove_lock();
    (void)rmdir(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct recovery recovery;
    struct counts first, second;
    int r;

    if (!size)
        return 0;
    if (!*path) {
        make_path();
        (void)atexit(remove_path);
    }
    write_files(data, size);
    r = start(data[0] & ACCEPT, &first, &recovery);
    must(r != -EUCLEAN || !(data[0] & ACCEPT));
    if (r == 0) {
        r = start(false, &second, &recovery);
        if (!(data[0] & REPAIR)) /* else what it says of itself need not be so */
            must(r == 0 && recovery.lost_batches == 0 && same(&first, &second));
    }
    remove_all();
    return 0;
}
