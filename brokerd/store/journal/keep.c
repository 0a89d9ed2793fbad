#include "brokerd/store/journal/keep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAMES_MAX = 100 }; /* of one number in damaged/: another journal may have been here before */

/* A folder of the journal's, made if need be, itself as struct files. */
static int open_folder(const struct files *f, const char *name, struct files *ret)
{
    *ret = (struct files){.dir = -1, .lock = -1};
    if (snprintf(ret->path, sizeof ret->path, "%s/%s", f->path, name) >= (int)sizeof ret->path)
        return -ENAMETOOLONG;
    if (mkdir(ret->path, 0700) < 0 && errno != EEXIST)
        return -errno;
    ret->dir = open(ret->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return ret->dir < 0 ? -errno : 0;
}

/* What is in it is on disk, and so is its own name. */
static int sync_folder(const struct files *f, const struct files *folder)
{
    int r = files_sync_directory(folder);

    return r < 0 ? r : files_sync_directory(f);
}

static bool same_file(const char *one, const char *other)
{
    struct stat a, b;

    return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev;
}

/* A segment is at `to`, too. -EEXIST: something else is. */
static int link_or_copy(const struct files *f, uint32_t number, const char *to)
{
    char from[PATH_MAX];
    struct stat st;

    if (link(files_segment_path(f, number, from), to) == 0)
        return 0;
    if (errno == EEXIST && same_file(from, to))
        return 0;
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK)
        return -errno;
    if (stat(from, &st) < 0)
        return -errno;
    return files_copy(f, number, (uint64_t)st.st_size, to);
}

/* 0000000003.seg, or 0000000003.seg.1 .. */
static int keep_in(const struct files *f, const struct files *folder, uint32_t number)
{
    char plain[PATH_MAX], to[PATH_MAX + 8];
    int r = -EEXIST;

    (void)files_segment_path(folder, number, plain);
    for (int i = 0; i < NAMES_MAX && r == -EEXIST; i++) {
        (void)snprintf(to, sizeof to, i ? "%s.%d" : "%s", plain, i);
        r = link_or_copy(f, number, to);
    }
    return r;
}

int keep_damaged(const struct files *f, uint32_t number)
{
    struct files folder;
    int r = open_folder(f, "damaged", &folder);

    if (r == 0)
        r = keep_in(f, &folder, number);
    if (r == 0)
        r = sync_folder(f, &folder);
    files_close(&folder);
    return r;
}

/* What was cleared since the last list: looked at when all that is there has been linked, for one
 * may be cleared meanwhile. */
static int note_cleared(const struct files *f, const struct files *folder)
{
    struct journal_file *list;
    size_t n;
    int r = files_cleared(f, &list, &n);

    if (r < 0)
        return r;
    for (size_t i = 0; i < n && r == 0; i++)
        r = files_note_cleared(folder, list[i].number);
    free(list);
    return r;
}

int keep_snapshot(const struct files *f, uint32_t but)
{
    struct journal_file *list = NULL;
    struct files folder = {.dir = -1, .lock = -1};
    char to[PATH_MAX];
    size_t n = 0;
    int r = keep_no_snapshot(f);

    if (r == 0)
        r = files_list(f, &list, &n);
    if (r == 0)
        r = open_folder(f, "snapshot", &folder);
    for (size_t i = 0; i < n && r == 0; i++) {
        if (list[i].number == but)
            continue;
        r = link_or_copy(f, list[i].number, files_segment_path(&folder, list[i].number, to));
        if (r == -ENOENT)
            r = 0;
    }
    if (r == 0)
        r = note_cleared(f, &folder);
    free(list);
    files_close(&folder);
    if (r < 0)
        (void)keep_no_snapshot(f);
    return r;
}

int keep_no_snapshot(const struct files *f)
{
    char at[PATH_MAX], name[PATH_MAX + NAME_MAX + 2];
    struct dirent *e;
    DIR *d = opendir(files_path(f, "snapshot", at));
    int r = 0;

    if (!d)
        return errno == ENOENT ? 0 : -errno;
    while ((e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        (void)snprintf(name, sizeof name, "%s/%s", at, e->d_name);
        if (unlink(name) < 0 && errno != ENOENT)
            r = -errno;
    }
    closedir(d);
    if (r == 0 && rmdir(at) < 0)
        r = -errno;
    return r;
}
