#include "libbroker/cli/out.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

enum { PATIENCE_US = 200000 }; /* how long one write may wait */

void cli_out_init(struct cli_out *o, int fd)
{
    struct stat st;

    *o = (struct cli_out){.fd = fd};
    o->timed = fstat(fd, &st) != 0 || !S_ISREG(st.st_mode);
}

void cli_out_fini(struct cli_out *o)
{
    free(o->buf);
    *o = (struct cli_out){.fd = -1};
}

size_t cli_out_waiting(const struct cli_out *o)
{
    return o->end - o->begin;
}

char *cli_out_room(struct cli_out *o, size_t len)
{
    size_t waiting = cli_out_waiting(o), cap = o->cap ? o->cap : 2 * CLI_OUT_BULK;
    char *more;

    if (len <= o->cap - o->end)
        return o->buf + o->end;
    if (o->begin > 0 && len <= o->cap - waiting) {
        memmove(o->buf, o->buf + o->begin, waiting);
        o->begin = 0;
        o->end = waiting;
        return o->buf + o->end;
    }
    while (cap - o->end < len) {
        if (__builtin_mul_overflow(cap, 2, &cap))
            return NULL;
    }
    more = realloc(o->buf, cap);
    if (!more)
        return NULL;
    o->buf = more;
    o->cap = cap;
    return o->buf + o->end;
}

int cli_out_put(struct cli_out *o, const void *data, size_t len)
{
    char *room = len > 0 ? cli_out_room(o, len) : NULL;

    if (len == 0) /* there may be no buffer yet, which is no failure */
        return 0;
    if (!room)
        return -ENOMEM;
    memcpy(room, data, len);
    o->end += len;
    return 0;
}

/* It repeats: a first signal just before the write would interrupt nothing. */
static void set_timer(const struct cli_out *o, long us)
{
    struct itimerval t = {{0, us}, {0, us}};

    if (o->timed)
        setitimer(ITIMER_REAL, &t, NULL);
}

int cli_out_flush(struct cli_out *o)
{
    int r = 0;

    if (cli_out_waiting(o) == 0)
        return 0;
    set_timer(o, PATIENCE_US);
    while (r == 0 && cli_out_waiting(o) > 0) {
        ssize_t n = write(o->fd, o->buf + o->begin, cli_out_waiting(o));

        if (n >= 0)
            o->begin += (size_t)n;
        else
            r = errno == EINTR ? -EAGAIN : -errno;
    }
    set_timer(o, 0);
    if (cli_out_waiting(o) == 0)
        o->begin = o->end = 0;
    return r;
}
