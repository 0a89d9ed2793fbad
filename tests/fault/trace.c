#include "tests/fault/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

int trace_append(int fd, const struct trace_record *r, const void *name, const void *data)
{
    struct iovec v[3] = {{(void *)(uintptr_t)r, sizeof *r},
                         {(void *)(uintptr_t)name, r->name_n},
                         {(void *)(uintptr_t)data, r->data_n}};
    ssize_t want = (ssize_t)(sizeof *r + r->name_n + r->data_n);
    ssize_t n = writev(fd, v, 3);

    if (n < 0)
        return -errno;
    return n == want ? 0 : -EIO;
}

static int read_all(const char *path, uint8_t **ret, size_t *ret_n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), r = 0;
    struct stat st;
    size_t at = 0;

    *ret = NULL;
    if (fd < 0 || fstat(fd, &st) < 0)
        r = -errno;
    else if (!(*ret = malloc((size_t)st.st_size + 1)))
        r = -ENOMEM;
    while (r == 0 && at < (size_t)st.st_size) {
        ssize_t n = read(fd, *ret + at, (size_t)st.st_size - at);

        if (n <= 0)
            r = n ? -errno : -EIO;
        else
            at += (size_t)n;
    }
    if (fd >= 0)
        close(fd);
    *ret_n = at;
    return r;
}

/* The entry at *at, which moves on. False: there is none whole. */
static int take(const uint8_t *bytes, size_t n, size_t *at, struct trace_entry *ret)
{
    if (n - *at < sizeof ret->r)
        return -EPROTO;
    memcpy(&ret->r, bytes + *at, sizeof ret->r);
    *at += sizeof ret->r;
    if (n - *at < ret->r.name_n || n - *at - ret->r.name_n < ret->r.data_n)
        return -EPROTO;
    ret->name = (const char *)bytes + *at;
    ret->data = bytes + *at + ret->r.name_n;
    *at += (size_t)ret->r.name_n + ret->r.data_n;
    return 0;
}

int trace_load(const char *path, struct trace *ret)
{
    struct trace_entry e;
    uint8_t *bytes;
    size_t n, cap = 0;
    int r = read_all(path, &bytes, &n);

    *ret = (struct trace){.bytes = bytes};
    for (size_t at = 0; r == 0 && at < n;) {
        r = take(bytes, n, &at, &e);
        if (r == 0 && ret->n == cap) {
            struct trace_entry *more;

            cap = cap ? 2 * cap : 1024;
            more = realloc(ret->entry, cap * sizeof *more);
            if (more)
                ret->entry = more;
            else
                r = -ENOMEM;
        }
        if (r == 0)
            ret->entry[ret->n++] = e;
    }
    if (r < 0)
        trace_free(ret);
    return r;
}

void trace_free(struct trace *t)
{
    free(t->entry);
    free(t->bytes);
    *t = (struct trace){0};
}
