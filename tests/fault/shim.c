/* A disk that is watched, and fails when told: between a program and the C library, for the files
 * of one folder (LD_PRELOAD).
 *
 *   SHIM_DIR    the folder; nothing else is touched
 *   SHIM_TRACE  file that what happens is appended to (trace.h)
 *   SHIM_FAULT  which calls fail: CALL:WHICH:HOW[,...]
 *                 CALL   write (pwrite, pwritev ..), sync (fsync and fdatasync of files), alloc
 *                        (fallocate, ftruncate), open (that makes a file), dir (fsync of a folder)
 *                 WHICH  K: the K-th; K+: that and all later; K+N: that and the next N - 1;
 *                        /K: every K-th; @FILE: while that file exists
 *                 HOW    an errno by name (EIO, ENOSPC, EDQUOT), `short` (a write that leaves out
 *                        its second half), `lie` (a sync that says yes, does nothing, and is not
 *                        seen), `stop` (the process is killed there)
 *   SHIM_CLOCK  seconds that the clock on the wall is off, for all of the process
 *   SHIM_BLIND  1: every check of XXH3 comes out the same, as if nothing were ever checked
 *
 * One lock around each call, so that the order in the trace is the order on the disk. */
#define _GNU_SOURCE
#include "tests/fault/trace.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { FDS = 4096, FILES = 65536, FAULTS = 16 };

enum call { CALL_WRITE, CALL_SYNC, CALL_ALLOC, CALL_OPEN, CALL_DIR, CALLS };
enum how { HOW_ERRNO = 1, HOW_SHORT, HOW_LIE, HOW_STOP };

struct fault {
    enum call call;
    enum how how;
    int error;
    unsigned long from, n, every; /* from the from-th, n of them; every: n-th at all times */
    const char *while_file;
};

/* By file descriptor: what it is. */
struct known {
    uint32_t file; /* 0: not of the folder */
    bool is_dir;
    char name[NAME_MAX + 64]; /* below the folder */
};

static struct {
    pthread_mutex_t lock;
    char dir[PATH_MAX];
    size_t dir_n;
    int trace; /* or -1 */
    uint32_t last_file;
    ino_t ino[FILES]; /* of file i + 1; 0: gone */
    struct known fd[FDS];
    struct fault fault[FAULTS];
    unsigned faults;
    unsigned long count[CALLS];
    bool is_blind;
    long clock_s;
} shim = {/* recursive: the trace is written by calls that come here, too */
          .lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
          .trace = -1};

/* The C library's own. */
#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* ------------------------------------------------------------------------------- settings */

static const char *const call_names[CALLS] = {"write", "sync", "alloc", "open", "dir"};

static void bad(const char *what)
{
    fprintf(stderr, "shim: SHIM_FAULT: %s: see tests/fault/shim.c\n", what);
    abort();
}

static void parse_which(struct fault *f, char *which)
{
    char *end;

    f->n = 1;
    if (which[0] == '@') {
        f->while_file = strdup(which + 1);
    } else if (which[0] == '/') {
        f->every = strtoul(which + 1, &end, 10);
    } else {
        f->from = strtoul(which, &end, 10);
        if (*end == '+')
            f->n = end[1] ? strtoul(end + 1, NULL, 10) : ULONG_MAX / 2;
    }
    if (!f->while_file && !f->every && !f->from)
        bad(which);
}

static void parse_how(struct fault *f, const char *how)
{
    static const struct {
        const char *name;
        int error;
    } errors[] = {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EINTR", EINTR}};

    f->how = strcmp(how, "short") == 0  ? HOW_SHORT
             : strcmp(how, "lie") == 0  ? HOW_LIE
             : strcmp(how, "stop") == 0 ? HOW_STOP
                                        : HOW_ERRNO;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (strcmp(errors[i].name, how) == 0)
            f->error = errors[i].error;
    if (f->how == HOW_ERRNO && !f->error)
        bad(how);
}

static void parse_fault(char *text)
{
    char *rest = NULL, *call = strtok_r(text, ":", &rest), *which = strtok_r(NULL, ":", &rest);
    struct fault *f = &shim.fault[shim.faults];
    unsigned i;

    if (shim.faults == FAULTS || !call || !which || !rest)
        bad(text);
    for (i = 0; i < CALLS && strcmp(call, call_names[i]) != 0; i++)
        continue;
    if (i == CALLS)
        bad(call);
    f->call = (enum call)i;
    parse_which(f, which);
    parse_how(f, rest);
    shim.faults++;
}

/* Asked for by the kernel's own call: it may come before anything is set up. */
int clock_gettime(clockid_t id, struct timespec *ret)
{
    int r = (int)syscall(SYS_clock_gettime, id, ret);

    if (r == 0 && id == CLOCK_REALTIME)
        ret->tv_sec += shim.clock_s;
    return r;
}

__attribute__((constructor)) static void setup(void)
{
    const char *dir = getenv("SHIM_DIR"), *trace = getenv("SHIM_TRACE"),
               *fault = getenv("SHIM_FAULT"), *blind = getenv("SHIM_BLIND"),
               *clock = getenv("SHIM_CLOCK");
    char *copy = fault ? strdup(fault) : NULL, *rest = NULL;

    shim.is_blind = blind && *blind == '1';
    shim.clock_s = clock ? strtol(clock, NULL, 10) : 0;
    if (!dir || !realpath(dir, shim.dir))
        return;
    shim.dir_n = strlen(shim.dir);
    if (trace)
        shim.trace = REAL(open)(trace, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    for (char *one = copy ? strtok_r(copy, ",", &rest) : NULL; one;) {
        char *next = strtok_r(NULL, ",", &rest);

        parse_fault(one);
        one = next;
    }
    free(copy);
}

/* ----------------------------------------------------------------------- what is it about */

static void lock(void)
{
    pthread_mutex_lock(&shim.lock);
}

/* Leaves errno as the call left it. */
static void unlock(void)
{
    int error = errno;

    pthread_mutex_unlock(&shim.lock);
    errno = error;
}

/* The name below the folder that `path` (at `at`) means; false: it is elsewhere. */
static bool below(int at, const char *path, char ret[NAME_MAX + 64])
{
    char whole[PATH_MAX], link[64], parent[PATH_MAX], found[PATH_MAX];
    const char *slash;
    ssize_t n = 0;

    if (!shim.dir_n)
        return false;
    if (path[0] != '/' && at != AT_FDCWD) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        n = readlink(link, whole, sizeof whole - 1);
        if (n < 0)
            return false;
    }
    whole[n] = 0;
    snprintf(parent, sizeof parent, "%s%s%s", whole, n ? "/" : "", path);
    if (realpath(parent, found) && strcmp(found, shim.dir) == 0) {
        ret[0] = 0;
        return true;
    }
    slash = strrchr(parent, '/');
    if (!slash || !slash[1])
        return false;
    snprintf(whole, sizeof whole, "%s", slash + 1);
    parent[slash == parent ? 1 : slash - parent] = 0;
    if (!realpath(parent, found) || strncmp(found, shim.dir, shim.dir_n) != 0 ||
        (found[shim.dir_n] && found[shim.dir_n] != '/'))
        return false;
    n = snprintf(ret, NAME_MAX + 64, "%s%s%s", found[shim.dir_n] ? found + shim.dir_n + 1 : "",
                 found[shim.dir_n] ? "/" : "", whole);
    return n < NAME_MAX + 64;
}

static struct known *of_fd(int fd)
{
    return fd >= 0 && fd < FDS && (shim.fd[fd].file || shim.fd[fd].is_dir) ? &shim.fd[fd] : NULL;
}

static uint32_t number_of(ino_t ino, bool made)
{
    for (uint32_t i = shim.last_file; i-- && !made;)
        if (shim.ino[i] == ino)
            return i + 1;
    /* a number of the file system may come again for another file */
    for (uint32_t i = 0; i < shim.last_file; i++)
        if (shim.ino[i] == ino)
            shim.ino[i] = 0;
    if (shim.last_file == FILES)
        abort();
    shim.ino[shim.last_file++] = ino;
    return shim.last_file;
}

/* ------------------------------------------------------------------------- noting, failing */

static void note(enum trace_kind kind, uint32_t file, uint64_t offset, const char *name,
                 const void *data, size_t n)
{
    struct trace_record r = {kind, file, offset, (uint32_t)strlen(name), (uint32_t)n};

    if (shim.trace >= 0 && trace_append(shim.trace, &r, name, data) < 0)
        abort(); /* a trace with a hole proves nothing */
}

static bool is_hit(const struct fault *f, unsigned long k)
{
    if (f->while_file)
        return access(f->while_file, F_OK) == 0;
    return f->every ? k % f->every == 0 : k >= f->from && k - f->from < f->n;
}

/* The fault that this call meets, or NULL. */
static const struct fault *meets(enum call call)
{
    unsigned long k = ++shim.count[call];

    for (unsigned i = 0; i < shim.faults; i++) {
        const struct fault *f = &shim.fault[i];

        if (f->call != call || !is_hit(f, k))
            continue;
        if (f->how == HOW_STOP)
            raise(SIGKILL);
        return f;
    }
    return NULL;
}

/* ---------------------------------------------------------------------- opening and closing */

static void opened(int fd, const char *name, bool made)
{
    struct stat st;
    struct known *k = &shim.fd[fd];

    if (fd >= FDS || fstat(fd, &st) < 0)
        abort();
    *k = (struct known){.is_dir = S_ISDIR(st.st_mode)};
    snprintf(k->name, sizeof k->name, "%s", name);
    if (k->is_dir)
        return;
    k->file = number_of(st.st_ino, made);
    note(made ? TRACE_CREATE : TRACE_FOUND, k->file, 0, name, NULL, 0);
}

static int open_at(int at, const char *path, int flags, mode_t mode)
{
    __typeof__(&openat) real_openat = REAL(openat);
    char name[NAME_MAX + 64];
    const struct fault *f = NULL;
    bool made;
    int fd;

    if (!below(at, path, name))
        return real_openat(at, path, flags, mode);
    lock();
    made = (flags & O_CREAT) && faccessat(at, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
    if (made)
        f = meets(CALL_OPEN);
    if (f) {
        errno = f->error;
        fd = -1;
    } else {
        fd = real_openat(at, path, flags, mode);
    }
    if (fd >= 0) {
        opened(fd, name, made);
        if (!made && (flags & O_TRUNC))
            note(TRACE_SIZE, shim.fd[fd].file, 0, "", NULL, 0);
    }
    unlock();
    return fd;
}

#define MODE(flags, last)                                                                          \
    mode_t mode = 0;                                                                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                         \
        va_list ap;                                                                                \
        va_start(ap, last);                                                                        \
        mode = va_arg(ap, mode_t);                                                                 \
        va_end(ap);                                                                                \
    }

int open(const char *path, int flags, ...)
{
    MODE(flags, flags)
    return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int at, const char *path, int flags, ...)
{
    MODE(flags, flags)
    return open_at(at, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE(flags, flags)
    return open_at(AT_FDCWD, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...)
{
    MODE(flags, flags)
    return open_at(at, path, flags, mode);
}

/* What the fortified headers make of the above. */
int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
    return open_at(AT_FDCWD, path, flags, 0);
}

int __openat_2(int at, const char *path, int flags);
int __openat_2(int at, const char *path, int flags)
{
    return open_at(at, path, flags, 0);
}

int __open64_2(const char *path, int flags);
int __open64_2(const char *path, int flags)
{
    return open_at(AT_FDCWD, path, flags, 0);
}

int __openat64_2(int at, const char *path, int flags);
int __openat64_2(int at, const char *path, int flags)
{
    return open_at(at, path, flags, 0);
}

int close(int fd)
{
    __typeof__(&close) real_close = REAL(close);
    int r;

    lock();
    if (of_fd(fd))
        shim.fd[fd] = (struct known){0};
    r = real_close(fd);
    unlock();
    return r;
}

/* -------------------------------------------------------------------------------- writing */

/* `v` as one piece of at most n bytes, which the caller frees. */
static uint8_t *joined(const struct iovec *v, int n, size_t *ret_n)
{
    uint8_t *all, *p;

    *ret_n = 0;
    for (int i = 0; i < n; i++)
        *ret_n += v[i].iov_len;
    p = all = malloc(*ret_n + 1);
    if (!all)
        abort();
    for (int i = 0; i < n; i++) {
        memcpy(p, v[i].iov_base, v[i].iov_len);
        p += v[i].iov_len;
    }
    return all;
}

/* The one way bytes get into a file of the folder. */
static ssize_t put(int fd, const struct known *k, const struct iovec *v, int n, off_t at)
{
    const struct fault *f = meets(CALL_WRITE);
    size_t len, most;
    uint8_t *all;
    ssize_t r;

    if (f && f->how == HOW_ERRNO) {
        errno = f->error;
        return -1;
    }
    all = joined(v, n, &len);
    most = f && f->how == HOW_SHORT && len > 1 ? len / 2 : len;
    r = REAL(pwrite)(fd, all, most, at);
    if (r > 0)
        note(TRACE_WRITE, k->file, (uint64_t)at, "", all, (size_t)r);
    free(all);
    return r;
}

static ssize_t put_at(int fd, const struct iovec *v, int n, off_t at)
{
    const struct known *k;
    ssize_t r;

    lock();
    k = of_fd(fd);
    r = k ? put(fd, k, v, n, at) : REAL(pwritev)(fd, v, n, at);
    unlock();
    return r;
}

/* Where the file's position is, moved on. */
static ssize_t put_on(int fd, const struct iovec *v, int n)
{
    const struct known *k;
    ssize_t r;

    lock();
    k = of_fd(fd);
    if (k) {
        off_t at = lseek(fd, 0, (fcntl(fd, F_GETFL) & O_APPEND) ? SEEK_END : SEEK_CUR);

        r = put(fd, k, v, n, at);
        if (r > 0)
            lseek(fd, at + r, SEEK_SET);
    } else {
        unlock();
        return REAL(writev)(fd, v, n);
    }
    unlock();
    return r;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    struct iovec v = {(void *)(uintptr_t)p, n};
    bool ours;

    lock();
    ours = of_fd(fd);
    unlock();
    return ours ? put_at(fd, &v, 1, at) : REAL(pwrite)(fd, p, n, at);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off_t at)
{
    return pwrite(fd, p, n, at);
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at)
{
    return put_at(fd, v, n, at);
}

ssize_t pwritev64(int fd, const struct iovec *v, int n, off_t at)
{
    return put_at(fd, v, n, at);
}

ssize_t write(int fd, const void *p, size_t n)
{
    struct iovec v = {(void *)(uintptr_t)p, n};
    bool ours;

    lock();
    ours = of_fd(fd);
    unlock();
    return ours ? put_on(fd, &v, 1) : REAL(write)(fd, p, n);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
    return put_on(fd, v, n);
}

/* ---------------------------------------------------------------------------------- sizes */

static void note_size(int fd, const struct known *k)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        abort();
    note(TRACE_SIZE, k->file, (uint64_t)st.st_size, "", NULL, 0);
}

int ftruncate(int fd, off_t n)
{
    const struct known *k;
    const struct fault *f;
    int r = -1;

    lock();
    k = of_fd(fd);
    f = k ? meets(CALL_ALLOC) : NULL;
    if (f && f->how == HOW_ERRNO)
        errno = f->error;
    else if ((r = REAL(ftruncate)(fd, n)) == 0 && k)
        note_size(fd, k);
    unlock();
    return r;
}

int ftruncate64(int fd, off_t n)
{
    return ftruncate(fd, n);
}

int fallocate(int fd, int mode, off_t at, off_t n)
{
    const struct known *k;
    const struct fault *f;
    int r = -1;

    lock();
    k = of_fd(fd);
    f = k ? meets(CALL_ALLOC) : NULL;
    if (f && f->how == HOW_ERRNO)
        errno = f->error;
    else if ((r = REAL(fallocate)(fd, mode, at, n)) == 0 && k)
        note_size(fd, k);
    unlock();
    return r;
}

int fallocate64(int fd, int mode, off_t at, off_t n)
{
    return fallocate(fd, mode, at, n);
}

int posix_fallocate(int fd, off_t at, off_t n)
{
    return fallocate(fd, 0, at, n) < 0 ? errno : 0;
}

int posix_fallocate64(int fd, off_t at, off_t n)
{
    return posix_fallocate(fd, at, n);
}

/* ---------------------------------------------------------------------------------- syncs */

/* The sync itself goes on beside other calls, as on a disk: only its ends are ordered. */
static int sync_with(int fd, int (*how)(int))
{
    const struct known *k;
    const struct fault *f;
    struct known is = {0};
    int r;

    lock();
    k = of_fd(fd);
    f = k ? meets(k->is_dir ? CALL_DIR : CALL_SYNC) : NULL;
    if (k)
        is = *k;
    if (f) {
        r = f->how == HOW_LIE ? 0 : -1;
        errno = f->error;
        unlock();
        return r;
    }
    if (k)
        note(is.is_dir ? TRACE_DIR_BEGIN : TRACE_SYNC_BEGIN, is.file, 0, is.is_dir ? is.name : "",
             NULL, 0);
    unlock();
    r = how(fd);
    lock();
    if (k && r == 0)
        note(is.is_dir ? TRACE_DIR_END : TRACE_SYNC_END, is.file, 0, is.is_dir ? is.name : "", NULL,
             0);
    unlock();
    return r;
}

int fsync(int fd)
{
    return sync_with(fd, REAL(fsync));
}

int fdatasync(int fd)
{
    return sync_with(fd, REAL(fdatasync));
}

/* ---------------------------------------------------------------------------------- names */

static int rename_at(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
    char old[NAME_MAX + 64], new[NAME_MAX + 64];
    bool ours = below(from_at, from, old) && below(to_at, to, new);
    int r;

    lock();
    r = REAL(renameat2)(from_at, from, to_at, to, flags);
    if (r == 0 && ours)
        note(TRACE_RENAME, 0, 0, old, new, strlen(new));
    unlock();
    return r;
}

int rename(const char *from, const char *to)
{
    return rename_at(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_at, const char *from, int to_at, const char *to)
{
    return rename_at(from_at, from, to_at, to, 0);
}

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
    return rename_at(from_at, from, to_at, to, flags);
}

int unlinkat(int at, const char *path, int flags)
{
    char name[NAME_MAX + 64];
    bool ours = below(at, path, name);
    int r;

    lock();
    r = REAL(unlinkat)(at, path, flags);
    if (r == 0 && ours)
        note(TRACE_UNLINK, 0, 0, name, NULL, 0);
    unlock();
    return r;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

/* --------------------------------------------------------------------------------- checks */

typedef unsigned long long check_fn(const void *p, size_t n);
typedef unsigned long long seeded_check_fn(const void *p, size_t n, unsigned long long seed);
check_fn XXH3_64bits;
seeded_check_fn XXH3_64bits_withSeed;

unsigned long long XXH3_64bits(const void *p, size_t n)
{
    return shim.is_blind ? 42 : ((check_fn *)real("XXH3_64bits"))(p, n);
}

unsigned long long XXH3_64bits_withSeed(const void *p, size_t n, unsigned long long seed)
{
    return shim.is_blind ? 42 : ((seeded_check_fn *)real("XXH3_64bits_withSeed"))(p, n, seed);
}
