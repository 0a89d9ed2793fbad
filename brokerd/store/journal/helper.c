/* A second thread, for what the first must not wait for: the next segment's file, cutting the last
 * one at its end, and removing what was cleared. In this order: a segment is cut for good before
 * its successor can have one. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "brokerd/store/journal/internal.h"

void helper_init(struct helper *h, struct journal *j)
{
    *h = (struct helper){.journal = j, .spare_fd = -1, .cut_fd = -1};
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->work, NULL);
    pthread_cond_init(&h->done, NULL);
}

/* ------------------------------------------------------------------------------------ its jobs */

static void cut(struct helper *h, int fd, uint64_t at)
{
    int r = files_cut(fd, at);

    if (r == 0)
        r = files_sync(fd);
    if (r < 0)
        journal_die(h->journal, "cut", r);
    close(fd);
}

static void do_cut(struct helper *h)
{
    int fd = h->cut_fd;
    uint64_t at = h->cut_at;

    pthread_mutex_unlock(&h->lock);
    cut(h, fd, at);
    pthread_mutex_lock(&h->lock);
    h->cut_fd = -1;
}

static void do_prepare(struct helper *h)
{
    struct journal *j = h->journal;
    int fd = -1, r;

    pthread_mutex_unlock(&h->lock);
    r = files_prepare(&j->files, j->catalog.segments.segment_bytes, &fd);
    pthread_mutex_lock(&h->lock);
    h->spare = r < 0 ? SPARE_FAILED : SPARE_READY;
    h->spare_error = r;
    h->spare_fd = fd;
    pthread_cond_broadcast(&h->done);
}

static void do_remove(struct helper *h)
{
    struct journal *j = h->journal;
    uint32_t number = h->remove;
    int r;

    pthread_mutex_unlock(&h->lock);
    r = files_remove(&j->files, number);
    if (r < 0)
        journal_die(j, "remove", r);
    pthread_mutex_lock(&h->lock);
    h->remove = 0;
    h->removed = number;
}

/* One that no list names any more, not even if the last batch, which may be the newest list, should
 * be torn; false: there is none. */
static bool do_forget(struct helper *h)
{
    for (size_t i = 0; i < h->cleared_n; i++) {
        uint32_t number = h->cleared[i].number;

        if (h->cleared[i].at + 1 >= h->listed)
            continue;
        h->cleared[i] = h->cleared[--h->cleared_n];
        pthread_mutex_unlock(&h->lock);
        files_forget_cleared(&h->journal->files, number);
        pthread_mutex_lock(&h->lock);
        return true;
    }
    return false;
}

static bool do_one(struct helper *h)
{
    if (h->cut_fd >= 0)
        do_cut(h);
    else if (h->spare == SPARE_BUSY)
        do_prepare(h);
    else if (h->remove)
        do_remove(h);
    else
        return false;
    return true;
}

static void *run(void *arg)
{
    struct helper *h = arg;

    pthread_mutex_lock(&h->lock);
    for (;;) {
        bool any = do_one(h);

        if (any) {
            pthread_mutex_unlock(&h->lock);
            journal_wake(h->journal, true);
            pthread_mutex_lock(&h->lock);
        } else if (do_forget(h)) {
            continue;
        } else if (h->stop) {
            break;
        } else {
            pthread_cond_wait(&h->work, &h->lock);
        }
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* Without memory it stays until the next start, which does no harm. */
static void note_cleared(struct helper *h, uint32_t number, uint32_t at)
{
    if (h->cleared_n == h->cleared_cap) {
        size_t cap = h->cleared_cap ? 2 * h->cleared_cap : 16;
        struct cleared *grown = realloc(h->cleared, cap * sizeof *grown);

        if (!grown)
            return;
        h->cleared = grown;
        h->cleared_cap = cap;
    }
    h->cleared[h->cleared_n++] = (struct cleared){number, at};
}

/* What was cleared before the start: the new segment's list does not name it. */
static int note_found(struct helper *h)
{
    struct journal_file *list;
    size_t n;
    int r = files_cleared(&h->journal->files, &list, &n);

    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++)
        note_cleared(h, list[i].number, h->journal->log.segment - 1);
    free(list);
    return 0;
}

int helper_start(struct helper *h)
{
    int r = note_found(h);

    if (r < 0)
        return r;
    r = -pthread_create(&h->thread, NULL, run, h);

    h->is_running = r == 0;
    if (h->is_running)
        pthread_setname_np(h->thread, "journal-files");
    return r;
}

void helper_stop(struct helper *h)
{
    if (h->is_running) {
        pthread_mutex_lock(&h->lock);
        h->stop = true;
        pthread_cond_signal(&h->work);
        pthread_mutex_unlock(&h->lock);
        pthread_join(h->thread, NULL);
        h->is_running = false;
    }
    if (h->spare_fd >= 0)
        close(h->spare_fd);
    h->spare_fd = -1;
    h->spare = SPARE_NONE;
    free(h->cleared);
    h->cleared = NULL;
    h->cleared_n = h->cleared_cap = 0;
}

/* --------------------------------------------------------------------------- the thread's side */

void helper_prepare(struct helper *h)
{
    pthread_mutex_lock(&h->lock);
    if (h->spare == SPARE_NONE || h->spare == SPARE_FAILED) {
        h->spare = SPARE_BUSY;
        pthread_cond_signal(&h->work);
    }
    pthread_mutex_unlock(&h->lock);
}

enum spare_state helper_spare(struct helper *h, int *ret_error)
{
    enum spare_state s;

    pthread_mutex_lock(&h->lock);
    s = h->spare;
    *ret_error = h->spare_error;
    pthread_mutex_unlock(&h->lock);
    return s;
}

enum spare_state helper_wait(struct helper *h)
{
    enum spare_state s;

    pthread_mutex_lock(&h->lock);
    while (h->spare == SPARE_BUSY)
        pthread_cond_wait(&h->done, &h->lock);
    s = h->spare;
    pthread_mutex_unlock(&h->lock);
    return s;
}

int helper_take(struct helper *h)
{
    int fd;

    pthread_mutex_lock(&h->lock);
    fd = h->spare_fd;
    h->spare_fd = -1;
    h->spare = SPARE_NONE;
    pthread_mutex_unlock(&h->lock);
    return fd;
}

void helper_put_back(struct helper *h, int fd)
{
    pthread_mutex_lock(&h->lock);
    h->spare_fd = fd;
    h->spare = SPARE_READY;
    pthread_mutex_unlock(&h->lock);
}

void helper_cut(struct helper *h, int fd, uint64_t at)
{
    pthread_mutex_lock(&h->lock);
    h->cut_fd = fd;
    h->cut_at = at;
    pthread_cond_signal(&h->work);
    pthread_mutex_unlock(&h->lock);
}

void helper_remove(struct helper *h, uint32_t number)
{
    pthread_mutex_lock(&h->lock);
    h->remove = number;
    pthread_cond_signal(&h->work);
    pthread_mutex_unlock(&h->lock);
}

uint32_t helper_removed(struct helper *h, uint32_t at)
{
    uint32_t number;

    pthread_mutex_lock(&h->lock);
    number = h->removed;
    h->removed = 0;
    if (number)
        note_cleared(h, number, at);
    pthread_mutex_unlock(&h->lock);
    return number;
}

void helper_listed(struct helper *h, uint32_t segment)
{
    pthread_mutex_lock(&h->lock);
    h->listed = segment;
    if (h->cleared_n)
        pthread_cond_signal(&h->work);
    pthread_mutex_unlock(&h->lock);
}
