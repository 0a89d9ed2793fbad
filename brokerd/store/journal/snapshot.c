/* All that is on disk put aside, at one moment of a journal that goes on: between two rounds its
 * thread closes the segment it writes to, and gives each closed one a second name. */
#include <errno.h>
#include <time.h>

#include "brokerd/store/journal/internal.h"
#include "brokerd/store/journal/keep.h"

void snapshot_init(struct snapshot *s)
{
    pthread_condattr_t attr;

    *s = (struct snapshot){.state = SNAPSHOT_NONE};
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->done, &attr);
    pthread_condattr_destroy(&attr);
}

void snapshot_fini(struct snapshot *s)
{
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->done);
}

/* Between rounds there is no batch on its way, but for one that the full disk did not take. */
static int take(struct journal *j)
{
    int r;

    if (j->write_full || j->log.records)
        return -ENOSPC;
    r = journal_roll(j, 0); /* its head seals what is before */
    return r < 0 ? r : keep_snapshot(&j->files, j->log.segment);
}

bool snapshot_step(struct journal *j)
{
    struct snapshot *s = &j->snapshot;
    int r;

    if (!atomic_load_explicit(&s->wanted, memory_order_acquire))
        return false;
    atomic_store(&s->wanted, false);
    r = take(j);
    pthread_mutex_lock(&s->lock);
    s->state = SNAPSHOT_TAKEN;
    s->result = r;
    pthread_cond_signal(&s->done);
    pthread_mutex_unlock(&s->lock);
    return true;
}

int journal_snapshot(struct journal *j, int timeout_ms)
{
    struct snapshot *s = &j->snapshot;
    struct timespec until;
    int r = 0;

    if (!j->is_running)
        return -ESRCH;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000 + 1;
    pthread_mutex_lock(&s->lock);
    s->state = SNAPSHOT_WANTED;
    atomic_store_explicit(&s->wanted, true, memory_order_release);
    journal_wake(j, true);
    while (s->state == SNAPSHOT_WANTED && r == 0)
        r = -pthread_cond_timedwait(&s->done, &s->lock, &until);
    if (s->state == SNAPSHOT_TAKEN)
        r = s->result;
    else
        atomic_store(&s->wanted, false);
    s->state = SNAPSHOT_NONE;
    pthread_mutex_unlock(&s->lock);
    return r;
}

int journal_release(struct journal *j)
{
    return keep_no_snapshot(&j->files);
}
