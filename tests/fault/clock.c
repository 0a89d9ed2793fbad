/* A wall clock that a test sets: between a program and the C library (LD_PRELOAD).
 *
 *   CLOCK_FILE  8 bytes, which stay mapped: milliseconds since 1970. It stands still until they
 *               change. Time that only passes (CLOCK_MONOTONIC) is left alone. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* NULL: nobody sets it, and it goes as ever. */
static const volatile int64_t *now_ms;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CLOCK_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *p = fd >= 0 ? mmap(NULL, sizeof *now_ms, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

    if (path && p == MAP_FAILED)
        abort();
    if (p != MAP_FAILED)
        now_ms = p;
    if (fd >= 0)
        close(fd);
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
    int64_t ms;

    if (!now_ms || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
        return (int)syscall(SYS_clock_gettime, id, ret);
    ms = *now_ms;
    *ret = (struct timespec){ms / 1000, ms % 1000 * 1000000};
    return 0;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
    struct timespec t;

    (void)zone;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    *ret = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *ret)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t);
    if (ret)
        *ret = t.tv_sec;
    return t.tv_sec;
}
