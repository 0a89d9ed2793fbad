#include "brokerd/store/journal/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_BYTES = 1 << 20, LOCK_TEXT = 64 };

static int failed(void)
{
    return -errno;
}

/* -------------------------------------------------------------------------------- directory */

const char *files_path(const struct files *f, const char *name, char *to)
{
    (void)snprintf(to, PATH_MAX, "%s/%s", f->path, name);
    return to;
}

/* Kinds of numbered files. */
static const char segment[] = ".seg", cleared[] = ".old";

static const char *path_of(const struct files *f, uint32_t number, const char *kind, char *to)
{
    char name[FILES_NAME];

    (void)snprintf(name, sizeof name, "%010u%s", number, kind);
    return files_path(f, name, to);
}

const char *files_segment_path(const struct files *f, uint32_t number, char *to)
{
    return path_of(f, number, segment, to);
}

static int sync_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

    if (fd < 0)
        return errno == EACCES ? 0 : failed(); /* whoever made it for us answers for it */
    if (fsync(fd) < 0)
        r = failed();
    close(fd);
    return r;
}

/* A directory that was just made is in its parent's keeping: that one is synced, at each start, for
 * the last one may have died before it. */
static int make_directory(const char *path)
{
    char parent[FILES_PATH_MAX];
    size_t n = strlen(path);

    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return failed();
    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n && path[n - 1] != '/')
        n--;
    if (n == 0)
        return sync_path(".");
    memcpy(parent, path, n);
    parent[n] = '\0';
    return sync_path(parent);
}

static int open_directory(const char *path, struct files *ret)
{
    *ret = (struct files){.dir = -1, .lock = -1};
    if (strlen(path) >= sizeof ret->path)
        return -ENAMETOOLONG;
    memcpy(ret->path, path, strlen(path) + 1);
    ret->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return ret->dir < 0 ? failed() : 0;
}

/* Who has the lock, as the file says. */
static pid_t holder(int fd)
{
    char text[24];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    return (pid_t)strtol(text, NULL, 10);
}

static int take_lock(struct files *f, int how, pid_t *ret_pid)
{
    if (flock(f->lock, how | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return failed();
    /* Those who only look do not sign: then it is the last broker's name that stands there. */
    *ret_pid = how == LOCK_EX && flock(f->lock, LOCK_SH | LOCK_NB) == 0 ? 0 : holder(f->lock);
    return -EBUSY;
}

/* The lock file's two lines, of one size at all times. The second one has the number twice, so that
 * what was torn is not taken for one. */
static int write_lock(const struct files *f, uint32_t newest)
{
    char text[LOCK_TEXT];
    int n = snprintf(text, sizeof text, "%-20ld\n%010u %010u\n", (long)getpid(), newest, newest);

    return pwrite(f->lock, text, (size_t)n, 0) < 0 ? failed() : 0;
}

/* The segment that was begun last; 0: it is not known. */
static uint32_t read_newest(const struct files *f)
{
    char text[LOCK_TEXT] = "", *at;
    unsigned long once, twice;

    if (f->lock < 0 || pread(f->lock, text, sizeof text - 1, 0) < 0)
        return 0;
    (void)strtol(text, &at, 10);
    once = strtoul(at, &at, 10);
    twice = strtoul(at, &at, 10);
    return once == twice && once <= UINT32_MAX ? (uint32_t)once : 0;
}

static int sign_lock(struct files *f)
{
    return write_lock(f, read_newest(f));
}

int files_open(const char *path, struct files *ret, pid_t *ret_pid)
{
    char at[PATH_MAX];
    int r;

    *ret = (struct files){.dir = -1, .lock = -1};
    if (strlen(path) >= sizeof ret->path)
        return -ENAMETOOLONG;
    r = make_directory(path);
    if (r == 0)
        r = open_directory(path, ret);
    if (r == 0) {
        ret->lock = open(files_path(ret, "lock", at), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        r = ret->lock < 0 ? failed() : take_lock(ret, LOCK_EX, ret_pid);
    }
    if (r == 0)
        r = sign_lock(ret);
    if (r < 0)
        files_close(ret);
    return r;
}

int files_open_to_read(const char *path, struct files *ret, pid_t *ret_pid)
{
    char at[PATH_MAX];
    int r = open_directory(path, ret);

    if (r == 0) {
        ret->lock = open(files_path(ret, "lock", at), O_RDONLY | O_CLOEXEC);
        if (ret->lock >= 0)
            r = take_lock(ret, LOCK_SH, ret_pid);
        else if (errno != ENOENT)
            r = failed();
    }
    if (r < 0)
        files_close(ret);
    return r;
}

void files_close(struct files *f)
{
    if (f->lock >= 0)
        close(f->lock);
    if (f->dir >= 0)
        close(f->dir);
    f->lock = f->dir = -1;
}

/* The number in the name of a file of that kind; 0: it is none. */
static uint32_t number_of(const char *name, const char *kind)
{
    size_t digits = strspn(name, "0123456789");
    unsigned long n =
        digits == 10 && strcmp(name + digits, kind) == 0 ? strtoul(name, NULL, 10) : 0;

    return n <= UINT32_MAX ? (uint32_t)n : 0;
}

static int by_number(const void *one, const void *other)
{
    const struct journal_file *a = one, *b = other;

    return a->number < b->number ? -1 : a->number > b->number;
}

/* 1: it is the n-th; 0: it is not there. */
static int list_add(const char *at, uint32_t number, struct journal_file **list, size_t n)
{
    struct stat st;

    if ((n & (n + 1)) == 0) { /* room for n + 1 was made, a power of two */
        struct journal_file *grown = realloc(*list, 2 * (n + 1) * sizeof *grown);

        if (!grown)
            return -ENOMEM;
        *list = grown;
    }
    if (stat(at, &st) < 0)
        return errno == ENOENT ? 0 : failed(); /* it was removed since */
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    (*list)[n] = (struct journal_file){number, (uint64_t)st.st_size};
    return 1;
}

static int list_kind(const struct files *f, const char *kind, struct journal_file **ret,
                     size_t *ret_n)
{
    struct journal_file *list = NULL;
    char at[PATH_MAX];
    struct dirent *e;
    size_t n = 0;
    int r = 0;
    DIR *d = opendir(f->path);

    if (!d)
        return failed();
    while (r >= 0 && (errno = 0, e = readdir(d)) != NULL) {
        uint32_t number = number_of(e->d_name, kind);

        if (!number)
            continue;
        r = list_add(path_of(f, number, kind, at), number, &list, n);
        n += r > 0;
    }
    if (r >= 0)
        r = failed(); /* of readdir(); 0 at the end */
    closedir(d);
    if (r < 0) {
        free(list);
        return r;
    }
    if (n)
        qsort(list, n, sizeof *list, by_number);
    *ret = list;
    *ret_n = n;
    return 0;
}

int files_list(const struct files *f, struct journal_file **ret, size_t *ret_n)
{
    return list_kind(f, segment, ret, ret_n);
}

int files_cleared(const struct files *f, struct journal_file **ret, size_t *ret_n)
{
    return list_kind(f, cleared, ret, ret_n);
}

int files_sync_directory(const struct files *f)
{
    return fsync(f->dir) < 0 ? failed() : 0;
}

/* --------------------------------------------------------------------------------- reading */

int files_segment(const struct files *f, uint32_t number, bool write, int *ret_fd)
{
    char at[PATH_MAX];
    int fd = open(files_segment_path(f, number, at), (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);

    if (fd < 0)
        return failed();
    *ret_fd = fd;
    return 0;
}

int files_read(int fd, void *to, size_t n, uint64_t offset)
{
    uint8_t *p = to;

    while (n) {
        ssize_t got = pread(fd, p, n, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return failed();
        if (got == 0)
            return -ENODATA;
        p += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}

static uint64_t size_of(const struct files_source *s, uint32_t number)
{
    struct journal_file key = {.number = number};
    const struct journal_file *f =
        bsearch(&key, s->list, s->source.files_n, sizeof *s->list, by_number);

    return f ? f->size : 0;
}

static int source_load(void *ctx, uint32_t number, uint64_t most, struct slice *ret)
{
    struct files_source *s = ctx;
    uint64_t n = size_of(s, number);
    int fd, r;

    if (n > most)
        n = most;
    if (n > s->cap) {
        free(s->buffer);
        s->buffer = malloc(n);
        s->cap = s->buffer ? n : 0;
        if (!s->buffer)
            return -ENOMEM;
    }
    r = files_segment(s->files, number, false, &fd);
    if (r < 0)
        return r;
    r = files_read(fd, s->buffer, n, 0);
    close(fd);
    *ret = slice_of(s->buffer, n);
    return r;
}

static void source_unload(void *ctx, uint32_t number, struct slice bytes)
{
    (void)ctx, (void)number, (void)bytes;
}

int files_source_init(struct files_source *s, const struct files *f)
{
    int r;

    *s = (struct files_source){.files = f};
    s->source = (struct journal_source){.ctx = s, .load = source_load, .unload = source_unload};
    s->source.newest = read_newest(f);
    r = files_list(f, &s->list, &s->source.files_n);
    if (r == 0)
        r = files_cleared(f, &s->cleared, &s->source.cleared_n);
    s->source.files = s->list;
    s->source.cleared = s->cleared;
    return r;
}

void files_source_fini(struct files_source *s)
{
    free(s->list);
    free(s->cleared);
    free(s->buffer);
    *s = (struct files_source){0};
}

/* --------------------------------------------------------------------------------- writing */

/* The file system cannot reserve: zeros do it, where blocks once written stay. */
static int write_zeros(int fd, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[64 << 10];

    while (from < to) {
        size_t n = to - from < sizeof zeros ? (size_t)(to - from) : sizeof zeros;
        struct iovec iov = {(void *)(uintptr_t)zeros, n};
        int r = files_write(fd, &iov, 1, from);

        if (r < 0)
            return r;
        from += n;
    }
    return 0;
}

int files_reserve(int fd, uint64_t size)
{
    struct stat st;

    for (;;) {
        if (fallocate(fd, 0, 0, (off_t)size) == 0)
            return 0;
        if (errno == EINTR)
            continue;
        if (errno != EOPNOTSUPP && errno != ENOSYS)
            return failed();
        if (fstat(fd, &st) < 0)
            return failed();
        return write_zeros(fd, (uint64_t)st.st_size, size);
    }
}

int files_prepare(const struct files *f, uint64_t size, int *ret_fd)
{
    char at[PATH_MAX];
    int fd = open(files_path(f, "next", at), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                  0600),
        r;

    if (fd < 0)
        return failed();
    r = files_reserve(fd, size);
    if (r < 0) {
        (void)unlink(at); /* what it did get would be missing elsewhere */
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

void files_forget_prepared(const struct files *f)
{
    char at[PATH_MAX];

    (void)unlink(files_path(f, "next", at));
}

int files_write(int fd, struct iovec *iov, size_t n, uint64_t offset)
{
    while (n) {
        ssize_t put = pwritev(fd, iov, n < IOV_MAX ? (int)n : IOV_MAX, (off_t)offset);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? failed() : -EIO;
        offset += (uint64_t)put;
        for (; n && (size_t)put >= iov->iov_len; iov++, n--)
            put -= (ssize_t)iov->iov_len;
        if (n) {
            iov->iov_base = (uint8_t *)iov->iov_base + put;
            iov->iov_len -= (size_t)put;
        }
    }
    return 0;
}

int files_sync(int fd)
{
    return fdatasync(fd) < 0 ? failed() : 0;
}

int files_publish(const struct files *f, int fd, uint32_t number)
{
    char from[PATH_MAX], to[PATH_MAX];
    int r = files_sync(fd);

    if (r < 0)
        return r;
    if (rename(files_path(f, "next", from), files_segment_path(f, number, to)) < 0)
        return failed();
    r = files_sync_directory(f);
    if (r < 0)
        return r;
    r = write_lock(f, number);
    return r == -ENOSPC || r == -EDQUOT ? 0 : r;
}

int files_cut(int fd, uint64_t size)
{
    return ftruncate(fd, (off_t)size) < 0 ? failed() : 0;
}

/* The space of a file that was cleared; but other names of it (snapshot/, damaged/) keep it. */
static void give_back(const char *path)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && st.st_nlink == 1)
        (void)files_cut(fd, 0);
    close(fd);
}

int files_remove(const struct files *f, uint32_t number)
{
    char from[PATH_MAX], to[PATH_MAX];
    int r;

    if (rename(files_segment_path(f, number, from), path_of(f, number, cleared, to)) < 0)
        return failed();
    r = files_sync_directory(f);
    if (r == 0)
        give_back(to);
    return r;
}

void files_forget_cleared(const struct files *f, uint32_t number)
{
    char at[PATH_MAX];

    (void)unlink(path_of(f, number, cleared, at));
}

int files_note_cleared(const struct files *f, uint32_t number)
{
    char at[PATH_MAX];
    int fd =
        open(path_of(f, number, cleared, at), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return failed();
    close(fd);
    return 0;
}

static int copy_bytes(int from, int to, uint64_t n)
{
    uint8_t *buffer = malloc(COPY_BYTES);
    int r = buffer ? 0 : -ENOMEM;

    for (uint64_t at = 0; at < n && r == 0;) {
        size_t part = n - at < COPY_BYTES ? (size_t)(n - at) : COPY_BYTES;
        ssize_t got = pread(from, buffer, part, (off_t)at);
        struct iovec iov = {buffer, got < 0 ? 0 : (size_t)got};

        if (got == 0) /* cut at its end meanwhile */
            break;
        if (got > 0)
            r = files_write(to, &iov, 1, at);
        else if (errno != EINTR)
            r = failed();
        at += iov.iov_len;
    }
    free(buffer);
    return r < 0 ? r : files_sync(to);
}

int files_copy(const struct files *f, uint32_t number, uint64_t n, const char *path)
{
    int from, to, r = files_segment(f, number, false, &from);

    if (r < 0)
        return r;
    to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    r = to < 0 ? failed() : copy_bytes(from, to, n);
    if (to >= 0)
        close(to);
    if (r < 0 && to >= 0)
        (void)unlink(path);
    close(from);
    return r;
}
