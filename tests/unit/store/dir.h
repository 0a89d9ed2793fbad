/* dir.h - a place on a real disk for a test, gone when the test is over.
 *
 * Thread   One. */
#ifndef BROKER_TESTS_UNIT_STORE_DIR_H
#define BROKER_TESTS_UNIT_STORE_DIR_H

#include <ftw.h>
#include <unistd.h>

#include "tests/unit/support.h"

enum { DIR_PATH = 64 };

static inline void dir_make_in(const char *parent, char path[DIR_PATH])
{
    char made[DIR_PATH / 2];

    (void)snprintf(made, sizeof made, "%s/journal-test.XXXXXX", parent);
    ck_assert_ptr_nonnull(mkdtemp(made));
    (void)snprintf(path, DIR_PATH, "%s/j", made);
}

/* A path in a new directory, where nothing is yet. */
static inline void dir_make(char path[DIR_PATH])
{
    dir_make_in("/tmp", path);
}

/* The same in memory, if there is such a place: for thousands of syncs. */
static inline void dir_make_light(char path[DIR_PATH])
{
    dir_make_in(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", path);
}

static inline int dir_remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

/* All of what dir_make() made, and what was put there. */
static inline void dir_remove(char path[DIR_PATH])
{
    path[strlen(path) - 2] = '\0';
    (void)nftw(path, dir_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
