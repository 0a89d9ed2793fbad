/* files.h - the journal's directory: who may use it, which segments there are, and every call that
 *           changes a file.
 *
 * Why      What is on disk after a crash depends on the order of a few system calls. They are all
 *          here, each under its plain name, so that a test can trace them and make any of them
 *          fail (tests/fault).
 * Shape    path/ (mode 0700) has
 *              lock             flock'ed for as long as the journal is in use; says by which pid,
 *                               and which segment was begun last
 *              0000000001.seg   the segments, numbers rising
 *              0000000001.old   empty: that one was cleared, and a list on disk may still name it
 *              next             one that is being prepared: of no meaning to recovery
 *              damaged/         copies of damaged segments, for people
 *          A segment begins in four steps, of which only the last makes it one:
 *              files_prepare()  `next` is there and has its room: any thread, ahead of time
 *              files_write()    its head
 *              files_publish()  synced, renamed, directory synced
 *              files_write(), files_sync()   its first batch
 * Owner    files_close() gives the lock back. Descriptors are the caller's.
 * Errors   0 or -errno. What failed to sync (files_sync, files_publish, files_remove, and
 *          files_sync_directory) may be gone whatever a second try says: nobody may go on from it.
 * Thread   Any, but one at a time for one file; all of it may block. */
#ifndef BROKERD_STORE_JOURNAL_FILES_H
#define BROKERD_STORE_JOURNAL_FILES_H

#include "brokerd/store/journal/recover.h"

#include <limits.h>
#include <sys/types.h>
#include <sys/uio.h>

enum { FILES_NAME = 16, FILES_PATH_MAX = PATH_MAX - FILES_NAME };

struct files {
    char path[FILES_PATH_MAX];
    int dir;  /* for its syncs */
    int lock; /* -1: none, of a copy that is only read */
};

/* -------------------------------------------------------------------------------- directory */

/* For a broker: the directory is made where it is not there (its parent must be), and locked.
 * -EBUSY: a broker has it, *ret_pid (0: somebody looks at it just now); -ENAMETOOLONG; or what the
 * system says. */
int files_open(const char *path, struct files *ret, pid_t *ret_pid);

/* For who only looks: nothing is made or written. The lock is shared with others who look, if there
 * is one to be had: a copy need not have any. -EBUSY as above; -ENOENT: no directory. */
int files_open_to_read(const char *path, struct files *ret, pid_t *ret_pid);

void files_close(struct files *f);

/* A file's path in `to`, of PATH_MAX bytes. Returns `to`. */
const char *files_path(const struct files *f, const char *name, char *to);
const char *files_segment_path(const struct files *f, uint32_t number, char *to);

/* The segments by rising number, in *ret, which the caller frees (NULL if there are none). */
int files_list(const struct files *f, struct journal_file **ret, size_t *ret_n);

/* The same of segments that files_remove() removed, and which are not forgotten; without sizes. */
int files_cleared(const struct files *f, struct journal_file **ret, size_t *ret_n);

/* What has been made, renamed or removed in the directory is on disk. */
int files_sync_directory(const struct files *f);

/* --------------------------------------------------------------------------------- reading */

/* A segment's descriptor in *ret_fd, to read, or to write as well. */
int files_segment(const struct files *f, uint32_t number, bool write, int *ret_fd);

/* `n` bytes at `offset`, all of them; -ENODATA: the file ends before. */
int files_read(int fd, void *to, size_t n, uint64_t offset);

/* Segments for recovery, one at a time, in a buffer that they share. */
struct files_source {
    const struct files *files;
    uint8_t *buffer;
    size_t cap;
    struct journal_file *list, *cleared;
    struct journal_source source; /* for journal_recover() */
};

/* All segments that there are now. A read that fails is recovery's failure: bytes that cannot be
 * read are not taken for bytes that are not there. */
int files_source_init(struct files_source *s, const struct files *f);
void files_source_fini(struct files_source *s);

/* --------------------------------------------------------------------------------- writing */

/* A file that is to become a segment, with room for `size` bytes, which read as zeros. What was
 * prepared before and not published is gone. */
int files_prepare(const struct files *f, uint64_t size, int *ret_fd);

/* What was prepared and not published is gone. */
void files_forget_prepared(const struct files *f);

/* Room up to `size`, in a file that has less; it reads as zeros. */
int files_reserve(int fd, uint64_t size);

/* All that the `n` pieces have, none of them empty, at `offset`. They are changed. On failure any
 * part of it may be there. */
int files_write(int fd, struct iovec *iov, size_t n, uint64_t offset);

/* What was written is on disk. */
int files_sync(int fd);

/* What files_prepare() made, with a head written to it, is segment `number` from now on. That it
 * was begun is noted besides, not synced: should it be lost, whoever starts can tell, mostly. */
int files_publish(const struct files *f, int fd, uint32_t number);

/* The file ends at `size`. Not synced. */
int files_cut(int fd, uint64_t size);

/* A segment is gone, and the directory synced; that it was cleared can be seen until that is
 * forgotten, when no list that counts names it (format.h, RECORD_SEGMENTS). */
int files_remove(const struct files *f, uint32_t number);
void files_forget_cleared(const struct files *f, uint32_t number);

/* For a copy: say in `f` that a segment was cleared. */
int files_note_cleared(const struct files *f, uint32_t number);

/* A copy of the first `n` bytes of a segment at `path` (where nothing is), synced; the caller syncs
 * its directory. Of fewer, if there are fewer: its broker may just be cutting it at its end. */
int files_copy(const struct files *f, uint32_t number, uint64_t n, const char *path);

#endif
