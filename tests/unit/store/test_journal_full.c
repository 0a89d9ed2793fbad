/* A disk that is full and has room again, at the worst moments: nothing that was asked is left
 * without its answer. */
#include <stdatomic.h>
#include <sys/uio.h>

#include "tests/unit/store/running.h"

static struct running r;

/* ------------------------------------------------------------------------------ the disk's side
 */

static atomic_bool full;         /* nothing can be written */
static atomic_bool stop_at_read; /* who reads waits .. */
static atomic_bool is_at_read;   /* .. here */
static atomic_long largest;      /* no more can be reserved; 0: any */
static atomic_long later_by;     /* seconds that the clock goes ahead */

/* By both names that they may have, where files may be large. */
#define WRITES(name)                                                                               \
    ssize_t __real_##name(int fd, const struct iovec *iov, int n, off_t at);                       \
    ssize_t __wrap_##name(int fd, const struct iovec *iov, int n, off_t at);                       \
    ssize_t __wrap_##name(int fd, const struct iovec *iov, int n, off_t at)                        \
    {                                                                                              \
        if (!atomic_load(&full))                                                                   \
            return __real_##name(fd, iov, n, at);                                                  \
        errno = ENOSPC;                                                                            \
        return -1;                                                                                 \
    }
WRITES(pwritev)
WRITES(pwritev64)

#define READS(name)                                                                                \
    ssize_t __real_##name(int fd, void *to, size_t n, off_t at);                                   \
    ssize_t __wrap_##name(int fd, void *to, size_t n, off_t at);                                   \
    ssize_t __wrap_##name(int fd, void *to, size_t n, off_t at)                                    \
    {                                                                                              \
        while (atomic_load(&stop_at_read)) {                                                       \
            atomic_store(&is_at_read, true);                                                       \
            sched_yield();                                                                         \
        }                                                                                          \
        return __real_##name(fd, to, n, at);                                                       \
    }
READS(pread)
READS(pread64)

#define RESERVES(name)                                                                             \
    int __real_##name(int fd, int mode, off_t at, off_t n);                                        \
    int __wrap_##name(int fd, int mode, off_t at, off_t n);                                        \
    int __wrap_##name(int fd, int mode, off_t at, off_t n)                                         \
    {                                                                                              \
        if (!atomic_load(&largest) || n <= atomic_load(&largest))                                  \
            return __real_##name(fd, mode, at, n);                                                 \
        errno = ENOSPC;                                                                            \
        return -1;                                                                                 \
    }
RESERVES(fallocate)
RESERVES(fallocate64)

int __real_clock_gettime(clockid_t which, struct timespec *ret);
int __wrap_clock_gettime(clockid_t which, struct timespec *ret);

int __wrap_clock_gettime(clockid_t which, struct timespec *ret)
{
    int status = __real_clock_gettime(which, ret);

    if (which == CLOCK_MONOTONIC)
        ret->tv_sec += atomic_load(&later_by);
    return status;
}

/* -------------------------------------------------------------------------------------- the tests
 */

static void fetch(unsigned i, uint64_t from)
{
    struct r_queue *q = &r.queue[i];

    r.store[q->worker]->ops->fetch(q->q, from, 10, 1 << 20);
}

/* While the thread reads, room comes back, its time to try again, and more than a round can do: the
 * last of it needs another segment. */
START_TEST(all_at_once)
{
    static uint8_t wish[6000];
    static const struct queue_policy policy;
    struct store_open o = {.def = {slice_str("q1"), {0}, slice_of(wish, sizeof wish)},
                           .policy = &policy};
    struct r_queue *q = &r.queue[0];

    r_init(&r, 8192, 0);
    r_open_queue(&r, 0);
    r_open_queue(&r, 1);
    for (unsigned i = 0; i < 20; i++)
        ck_assert_int_eq(r_put(&r, 0, 100), 0);
    r_until(&r, q->answered == 20);
    atomic_store(&full, true);
    r_settle(&r, 0, 1, 1);
    atomic_store(&stop_at_read, true);
    fetch(0, 2);
    r_flush(&r);
    while (!atomic_load(&is_at_read)) /* the test's time ends it */
        sched_yield();
    /* Now the settlement waits for room. */
    fetch(0, 3);
    r.store[1]->ops->fetch(r.queue[1].q, 1, 10, 1 << 20);
    r.store[1]->ops->define(r.queue[1].q, &o);
    r_flush(&r);
    atomic_store(&full, false);
    atomic_fetch_add(&later_by, 10);
    atomic_store(&stop_at_read, false);
    r_until(&r, q->fetched == 2 && r.queue[1].fetched == 1);
    r_check(&r, 0);
    r_fini(&r);
}
END_TEST

/* Settlements that find no room wait, but only so many: the others make room in memory and by files
 * that go, and are as if never said after a restart. */
START_TEST(more_than_may_wait)
{
    enum { ROUNDS = 20000 };
    struct r_queue *q = &r.queue[0];
    uint64_t unrecorded;

    r_init(&r, 8192, 0);
    r_open_queue(&r, 0);
    for (unsigned i = 0; i < 300; i++)
        ck_assert_int_eq(r_put(&r, 0, 300), 0);
    r_until(&r, q->answered == 300);
    atomic_store(&full, true);
    for (unsigned i = 0; i < ROUNDS; i++) { /* nothing that could be merged */
        r_settle(&r, 0, 1, 1);
        r_settle(&r, 0, 3, 1);
        if (i % 500 == 0)
            r_flush(&r);
    }
    for (uint64_t seq = 300; seq > 20; seq -= 2)
        r_settle(&r, 0, seq, 1);
    for (uint64_t seq = 299; seq > 20; seq -= 2)
        r_settle(&r, 0, seq, 1);
    r_return(&r, 0, 15, 99000);
    r_flush(&r);
    while (
        !journal_facts(r.journal).cleared) /* nothing was written for it; the test's time ends it */
        sched_yield();
    r_check(&r, 0);
    r_ask(&r, 0);
    unrecorded = journal_facts(r.journal).unrecorded;
    ck_assert_uint_eq(unrecorded, 283); /* 1 and 3 twice: held, and not */
    ck_assert_ptr_nonnull(strstr(r.events, "do not outlive a restart"));
    atomic_store(&full, false);
    while (r_put(&r, 0, 100) < 0)
        r_until(&r, q->rooms);
    r_until(&r, q->answered == q->next - 1);
    r_check(&r, 0);
    r_stop(&r);
    ck_assert_msg(r_begin(&r) == 0, "%s", r.text);
    r_open_queue(&r, 0);
    ck_assert_uint_ge(q->facts.messages, q->live);
    ck_assert_uint_le(q->facts.messages, q->live + unrecorded);
    ck_assert_uint_eq(q->facts.next, q->next);
    r_fini(&r);
}
END_TEST

static void remove_queue(unsigned i)
{
    struct r_queue *q = &r.queue[i];

    r.store[q->worker]->ops->close(q->q, true);
    q->q = NULL;
    r_until(&r, !r_busy(&r));
}

/* A queue that is deleted while nothing can be written: a stop tries it once more; with _i in vain,
 * and says so. */
START_TEST(removed_at_the_end)
{
    r_init(&r, 8192, 0);
    r_open_queue(&r, 0);
    r_open_queue(&r, 1);
    for (unsigned i = 0; i < 20; i++)
        ck_assert_int_eq(r_put(&r, i % 2, 100), 0);
    r_until(&r, r.queue[0].answered == 10 && r.queue[1].answered == 10);
    atomic_store(&full, true);
    r_settle(&r, 0, 1, 1);
    remove_queue(1);
    atomic_store(&full, _i);
    r_stop(&r);
    atomic_store(&full, false);
    ck_assert_msg(r_begin(&r) == 0, "%s", r.text);
    ck_assert_uint_eq(r.queue[0].found, 1);
    ck_assert_uint_eq(r.queue[1].found, (unsigned)_i);
    ck_assert((strstr(r.events, "queue \"q1\" was deleted") != NULL) == _i);
    r_fini(&r);
}
END_TEST

/* There is no next segment, and this one is used up by what comes back: a queue can be deleted all
 * the same, and its files go. */
START_TEST(removed_with_a_full_disk)
{
    struct r_queue *q = &r.queue[0];
    unsigned queues;

    r_init(&r, 8192, 0);
    r_open_queue(&r, 0);
    r_open_queue(&r, 1);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_int_eq(r_put(&r, 0, 100), 0);
    r_until(&r, q->answered == 10);
    atomic_store(&largest, 1);
    while (r_put(&r, 1, 100) == 0) /* until the thread has seen that there is no more */
        r_until(&r, r.queue[1].answered == r.queue[1].next - 1);
    queues = (unsigned)journal_facts(r.journal).queues;
    while (!journal_facts(r.journal).unrecorded) { /* the test's time ends it */
        for (uint64_t seq = 1; seq <= 10; seq++)
            r_return(&r, 0, seq, 99000);
        r_flush(&r);
    }
    remove_queue(1);
    while (journal_facts(r.journal).queues == queues)
        sched_yield();
    r_stop(&r);
    atomic_store(&largest, 0);
    ck_assert_msg(r_begin(&r) == 0, "%s", r.text);
    ck_assert_uint_eq(r.queue[0].found, 1);
    ck_assert_uint_eq(r.queue[1].found, 0);
    r_fini(&r);
}
END_TEST

/* Who was killed with a full disk can start: consumers are served, and make room. */
START_TEST(a_start_on_a_full_disk)
{
    struct r_queue *q = &r.queue[0];
    uint64_t last;

    r_init(&r, 65536, 0);
    r_open_queue(&r, 0);
    for (unsigned i = 0; i < 20; i++)
        ck_assert_int_eq(r_put(&r, 0, 100), 0);
    r_until(&r, q->answered == 20);
    r_stop(&r);
    atomic_store(&largest, 20000);
    ck_assert_msg(r_begin(&r) == 0, "%s", r.text);
    r_open_queue(&r, 0);
    r_settle(&r, 0, 1, 10);
    r_check(&r, 0);
    while (r_put(&r, 0, 100) == 0) /* until the thread has seen that there is no more */
        r_until(&r, q->answered == q->next - 1);
    atomic_store(&largest, 0);
    r_until(&r, q->rooms);
    last = q->next;
    ck_assert_int_eq(r_put(&r, 0, 100), 0);
    r_until(&r, q->answered == last);
    ck_assert_int_eq(q->state[last], R_STORED);
    r_check(&r, 0);
    r_fini(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal full");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, all_at_once);
    tcase_add_test(tc, more_than_may_wait);
    tcase_add_test(tc, a_start_on_a_full_disk);
    tcase_add_loop_test(tc, removed_at_the_end, 0, 2);
    tcase_add_test(tc, removed_with_a_full_disk);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
