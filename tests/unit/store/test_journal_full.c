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
    struct store_open o = {.def = {slice_str("q1"), {0}, slice_of(wish, sizeof wish)}};
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

int main(void)
{
    Suite *suite = suite_create("journal full");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, all_at_once);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
