#define _GNU_SOURCE
#include "tests/fault/states.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512, NAMES = 4096, STATE_FILE_MAX = 256 << 20 };

/* What the seed says of all that is not synced. */
enum mood {
    MOOD_EACH, /* of each by itself */
    MOOD_ALL,
    MOOD_NONE,
    MOOD_UNTIL, /* what was written before some point, and nothing later */
};

struct image {
    uint8_t *bytes;
    size_t n, cap;
};

struct name {
    char name[NAME_MAX + 64];
    uint32_t file; /* 0: there is no such file */
};

struct maker {
    const struct trace *t;
    struct state *s;
    uint64_t random;
    enum mood mood;
    size_t until;
    const char *base;
    struct name *origins; /* files that were there before: under which name */
    size_t origins_n;
    struct name *names; /* what there is */
    size_t names_n;
};

/* splitmix64 */
static uint64_t draw(struct maker *m)
{
    uint64_t z = m->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ------------------------------------------------------------------------------ durability */

/* Where the last sync of a file that had ended before the cut began; 0: there was none. */
static size_t synced_until(const struct maker *m, uint32_t file)
{
    const struct trace_entry *e = m->t->entry;
    bool ended = false;

    for (size_t i = m->s->cut; i--;) {
        if (e[i].r.file != file)
            continue;
        if (e[i].r.kind == TRACE_SYNC_END)
            ended = true;
        else if (e[i].r.kind == TRACE_SYNC_BEGIN && ended)
            return i;
    }
    return 0;
}

static bool same_name(const struct trace_entry *e, const char *folder)
{
    return e->r.name_n == strlen(folder) && memcmp(e->name, folder, e->r.name_n) == 0;
}

static size_t folder_synced_until(const struct maker *m, const char *folder)
{
    const struct trace_entry *e = m->t->entry;
    bool ended = false;

    for (size_t i = m->s->cut; i--;) {
        if (e[i].r.kind == TRACE_DIR_END && same_name(&e[i], folder))
            ended = true;
        else if (e[i].r.kind == TRACE_DIR_BEGIN && ended && same_name(&e[i], folder))
            return i;
    }
    return 0;
}

/* Is entry `i`, which no sync covers, there? */
static bool survives(struct maker *m, size_t i)
{
    switch (m->mood) {
    case MOOD_ALL:
        return true;
    case MOOD_NONE:
        return false;
    case MOOD_UNTIL:
        return i < m->until;
    case MOOD_EACH:
        break;
    }
    return draw(m) & 1;
}

/* --------------------------------------------------------------------------------- content */

static int grow(struct image *im, size_t n)
{
    if (n > STATE_FILE_MAX)
        return -EFBIG;
    if (n > im->cap) {
        size_t cap = n + n / 2 + 4096;
        uint8_t *bytes = realloc(im->bytes, cap);

        if (!bytes)
            return -ENOMEM;
        im->bytes = bytes;
        im->cap = cap;
    }
    if (n > im->n) {
        memset(im->bytes + im->n, 0, n - im->n);
        im->n = n;
    }
    return 0;
}

static int write_part(struct image *im, const struct trace_entry *e, size_t from, size_t to)
{
    int r = grow(im, e->r.offset + to);

    if (r == 0)
        memcpy(im->bytes + e->r.offset + from, e->data + from, to - from);
    return r;
}

static int write_torn(struct maker *m, struct image *im, const struct trace_entry *e)
{
    size_t n = e->r.data_n, to;
    int r = 0;

    m->s->torn++;
    if (draw(m) & 1) /* its first bytes */
        return write_part(im, e, 0, draw(m) % (n + 1));
    for (size_t from = 0; from < n && r == 0; from = to) {
        to = from + SECTOR - (e->r.offset + from) % SECTOR;
        to = to < n ? to : n;
        if (draw(m) & 1)
            r = write_part(im, e, from, to);
    }
    return r;
}

static int write_unsynced(struct maker *m, struct image *im, size_t i)
{
    const struct trace_entry *e = &m->t->entry[i];

    m->s->unsynced++;
    if (m->mood == MOOD_EACH && draw(m) % 3 == 0)
        return write_torn(m, im, e);
    if (!survives(m, i))
        return 0;
    m->s->kept++;
    return write_part(im, e, 0, e->r.data_n);
}

static int resize(struct image *im, size_t n)
{
    if (n <= im->n) {
        im->n = n;
        return 0;
    }
    return grow(im, n);
}

static int load(const char *dir, const char *name, struct image *im)
{
    char path[PATH_MAX];
    struct stat st;
    int fd, r;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = fstat(fd, &st) < 0 ? -errno : grow(im, (size_t)st.st_size);
    if (r == 0 && read(fd, im->bytes, im->n) != (ssize_t)im->n)
        r = -EIO;
    close(fd);
    return r;
}

/* What the file has in it. */
static int fill(struct maker *m, const struct name *f, struct image *im)
{
    size_t synced = synced_until(m, f->file);
    int r = 0;

    im->n = 0;
    for (size_t i = 0; i < m->origins_n && r == 0; i++)
        if (m->origins[i].file == f->file)
            r = load(m->base, m->origins[i].name, im);
    for (size_t i = 0; i < m->s->cut && r == 0; i++) {
        const struct trace_entry *e = &m->t->entry[i];

        if (e->r.file != f->file)
            continue;
        if (e->r.kind == TRACE_WRITE)
            r = i < synced ? write_part(im, e, 0, e->r.data_n) : write_unsynced(m, im, i);
        else if (e->r.kind == TRACE_SIZE && (i < synced || survives(m, i)))
            r = resize(im, e->r.offset);
    }
    return r;
}

/* ----------------------------------------------------------------------------------- names */

static struct name *find(struct maker *m, const char *name, size_t n)
{
    for (size_t i = 0; i < m->names_n; i++)
        if (strlen(m->names[i].name) == n && memcmp(m->names[i].name, name, n) == 0)
            return &m->names[i];
    if (m->names_n == NAMES || n >= sizeof m->names->name)
        return NULL;
    memcpy(m->names[m->names_n].name, name, n);
    m->names[m->names_n].name[n] = 0;
    m->names[m->names_n].file = 0;
    return &m->names[m->names_n++];
}

/* The file that had that name before entry i, whatever of it is durable. */
static uint32_t bearer(const struct maker *m, size_t i, const char *name, size_t n)
{
    while (i--) {
        const struct trace_entry *e = &m->t->entry[i];
        bool from = e->r.name_n == n && memcmp(e->name, name, n) == 0;
        bool to = e->r.data_n == n && memcmp(e->data, name, n) == 0;

        if (e->r.kind == TRACE_CREATE && from)
            return e->r.file;
        if (e->r.kind == TRACE_RENAME && to)
            return bearer(m, i, e->name, e->r.name_n);
        if ((e->r.kind == TRACE_RENAME || e->r.kind == TRACE_UNLINK) && from)
            return 0;
    }
    for (i = 0; i < m->origins_n; i++)
        if (strlen(m->origins[i].name) == n && memcmp(m->origins[i].name, name, n) == 0)
            return m->origins[i].file;
    return 0;
}

static int rename_entry(struct maker *m, size_t i)
{
    const struct trace_entry *e = &m->t->entry[i];
    struct name *from = find(m, e->name, e->r.name_n);
    struct name *to = find(m, (const char *)e->data, e->r.data_n);

    if (!from || !to)
        return -ENOSPC;
    to->file = bearer(m, i, e->name, e->r.name_n);
    from->file = 0;
    return 0;
}

static int apply_name(struct maker *m, size_t i)
{
    const struct trace_entry *e = &m->t->entry[i];
    struct name *n;

    if (e->r.kind == TRACE_RENAME)
        return rename_entry(m, i);
    n = find(m, e->name, e->r.name_n);
    if (!n)
        return -ENOSPC;
    n->file = e->r.kind == TRACE_CREATE ? e->r.file : 0;
    return 0;
}

/* The folder that a name is in: "" or what is before its slash. */
static void folder_of(const struct trace_entry *e, char ret[NAME_MAX + 64])
{
    const char *slash = memrchr(e->name, '/', e->r.name_n);
    size_t n = slash ? (size_t)(slash - e->name) : 0;

    n = n < NAME_MAX + 63 ? n : NAME_MAX + 63;
    memcpy(ret, e->name, n);
    ret[n] = 0;
}

/* The number that the trace has for a file that was there before; one of its own if the trace never
 * opened it. */
static uint32_t number_of(const struct maker *m, const char *name)
{
    for (size_t i = 0; i < m->t->n; i++) {
        const struct trace_entry *e = &m->t->entry[i];

        if (e->r.kind == TRACE_FOUND && same_name(e, name))
            return e->r.file;
    }
    return UINT32_MAX - (uint32_t)m->origins_n;
}

static int add_origin(struct maker *m, const char *name)
{
    struct name *n = find(m, name, strlen(name));

    if (!n)
        return -ENOSPC;
    n->file = number_of(m, name);
    m->origins[m->origins_n++] = *n;
    return 0;
}

/* The files of the base, in `folder` of it. */
static int add_origins(struct maker *m, const char *folder)
{
    char path[PATH_MAX], name[2 * NAME_MAX];
    struct dirent *e;
    struct stat st;
    int r = 0;
    DIR *d;

    snprintf(path, sizeof path, "%s/%s", m->base, folder);
    d = opendir(path);
    if (!d)
        return -errno;
    while (r == 0 && (e = readdir(d)) != NULL) {
        snprintf(name, sizeof name, "%s%s%s", folder, *folder ? "/" : "", e->d_name);
        if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        r = S_ISDIR(st.st_mode) ? add_origins(m, name) : add_origin(m, name);
    }
    closedir(d);
    return r;
}

static int name_all(struct maker *m)
{
    int r = m->base ? add_origins(m, "") : 0;

    for (size_t i = 0; i < m->s->cut && r == 0; i++) {
        const struct trace_entry *e = &m->t->entry[i];
        char folder[NAME_MAX + 64];

        if (e->r.kind != TRACE_CREATE && e->r.kind != TRACE_RENAME && e->r.kind != TRACE_UNLINK)
            continue;
        folder_of(e, folder);
        if (i < folder_synced_until(m, folder) || survives(m, i))
            r = apply_name(m, i);
    }
    return r;
}

/* ---------------------------------------------------------------------------------- a state */

static int store(const char *dir, const char *name, const struct image *im)
{
    char path[PATH_MAX];
    char *slash;
    int fd, r = 0;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    slash = strrchr(path, '/');
    *slash = 0;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    *slash = '/';
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    for (size_t at = 0; at < im->n && r == 0;) {
        ssize_t n = write(fd, im->bytes + at, im->n - at);

        if (n < 0)
            r = -errno;
        else
            at += (size_t)n;
    }
    close(fd);
    return r;
}

static void set_mood(struct maker *m)
{
    m->mood = draw(m) % 4 ? MOOD_EACH : (enum mood)(MOOD_ALL + draw(m) % 3);
    m->until = m->s->cut ? draw(m) % (m->s->cut + 1) : 0;
    if (m->s->cut > 64 && m->until < m->s->cut - 64) /* else nearly always none */
        m->until = m->s->cut - draw(m) % 64;
}

int state_make(const struct trace *t, struct state *s, const char *base, const char *dir)
{
    struct maker m = {.t = t, .s = s, .random = s->seed, .base = base};
    struct image im = {0};
    int r;

    s->unsynced = s->kept = s->torn = 0;
    m.names = calloc(NAMES, sizeof *m.names);
    m.origins = calloc(NAMES, sizeof *m.origins);
    if (!m.names || !m.origins) {
        free(m.names);
        free(m.origins);
        return -ENOMEM;
    }
    set_mood(&m);
    r = name_all(&m);
    for (size_t i = 0; i < m.names_n && r == 0; i++) {
        if (!m.names[i].file)
            continue;
        r = fill(&m, &m.names[i], &im);
        if (r == 0)
            r = store(dir, m.names[i].name, &im);
    }
    free(im.bytes);
    free(m.names);
    free(m.origins);
    return r;
}

int state_clear(const char *dir)
{
    struct dirent *e;
    DIR *d = opendir(dir);
    int r = 0;

    if (!d)
        return -errno;
    while (r == 0 && (e = readdir(d)) != NULL) {
        char path[PATH_MAX];

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(d), e->d_name, 0) == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        r = errno == EISDIR || errno == EPERM ? state_clear(path) : -errno;
        if (r == 0 && rmdir(path) < 0)
            r = -errno;
    }
    closedir(d);
    return r;
}
