#include "libbroker/cli/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 256 << 10 };

void cli_reader_init(struct cli_reader *r, int fd, size_t max)
{
    *r = (struct cli_reader){.fd = fd, .max = max};
}

void cli_reader_fini(struct cli_reader *r)
{
    free(r->buf);
    *r = (struct cli_reader){.fd = -1};
}

int cli_reader_line(struct cli_reader *r, const char **ret_line, size_t *ret_len)
{
    size_t waiting = r->end - r->begin;
    const char *start = waiting ? r->buf + r->begin : "", *newline = NULL;

    if (waiting > r->looked)
        newline = memchr(start + r->looked, '\n', waiting - r->looked);
    if (!newline && !r->eof) {
        r->looked = waiting;
        return -EAGAIN;
    }
    if (!newline && waiting == 0)
        return -ENODATA;
    *ret_line = start;
    *ret_len = newline ? (size_t)(newline - start) : waiting;
    r->begin += *ret_len + (newline != NULL);
    r->looked = 0;
    return 0;
}

void cli_reader_rest(struct cli_reader *r, const char **ret_data, size_t *ret_len)
{
    *ret_len = r->end - r->begin;
    *ret_data = *ret_len ? r->buf + r->begin : "";
    r->begin = r->end;
}

/* Room for a chunk behind what waits. */
static int make_room(struct cli_reader *r)
{
    size_t waiting = r->end - r->begin, cap = r->cap ? 2 * r->cap : 2 * CHUNK;
    char *more;

    if (r->begin > 0 && waiting > 0)
        memmove(r->buf, r->buf + r->begin, waiting);
    r->begin = 0;
    r->end = waiting;
    if (r->cap - waiting >= CHUNK)
        return 0;
    more = realloc(r->buf, cap);
    if (!more)
        return -ENOMEM;
    r->buf = more;
    r->cap = cap;
    return 0;
}

int cli_reader_fill(struct cli_reader *r)
{
    ssize_t n;
    int e;

    if (r->eof)
        return 0;
    if (r->end - r->begin > r->max)
        return -EFBIG;
    e = make_room(r);
    if (e < 0)
        return e;
    n = read(r->fd, r->buf + r->end, r->cap - r->end);
    if (n < 0)
        return -errno;
    r->eof = n == 0;
    r->end += (size_t)n;
    return 0;
}
