/* fake_core.h - a core that only does what a test tells it: for tests of the rooms around the
 * core. Included by one file of a test program; the linker then leaves the real core out. */
#ifndef TESTS_UNIT_WORKER_FAKE_CORE_H
#define TESTS_UNIT_WORKER_FAKE_CORE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "brokerd/core/core.h"
#include "brokerd/core/entry.h"

struct core {
    struct core_options o;
    int64_t now_ms, wall_ms;
    int64_t charged; /* bytes, by core_charge() */
    uint64_t ticks;
    struct entry *ahead[CORE_FORESEE_MAX]; /* what it was told to be next */
    unsigned ahead_at, ahead_n;
};

/* What the test does in place of the core; any may be NULL. Set before workers start. */
static struct fake_core_ops {
    void (*take)(struct core *c, struct entry *e);
    void (*release)(struct entry *e);
    int64_t (*tick)(struct core *c);
} fake_core;

int core_new(const struct core_options *o, struct core **ret)
{
    struct core *c = calloc(1, sizeof *c);

    if (!c)
        return -ENOMEM;
    c->o = *o;
    *ret = c;
    return 0;
}

void core_free(struct core *c)
{
    free(c);
}

void core_clock(struct core *c, int64_t now_ms, int64_t wall_ms)
{
    c->now_ms = now_ms;
    c->wall_ms = wall_ms;
}

int64_t core_now(const struct core *c)
{
    return c->now_ms;
}

void core_foresee_mail(struct core *c, struct entry *const *e, unsigned n)
{
    if (c->ahead_at != c->ahead_n || n > CORE_FORESEE_MAX)
        abort();
    memcpy(c->ahead, e, n * sizeof(struct entry *));
    c->ahead_at = 0;
    c->ahead_n = n;
}

void core_take(struct core *c, struct entry *e)
{
    if (c->ahead_at < c->ahead_n && e != c->ahead[c->ahead_at++])
        abort();
    if (fake_core.take)
        fake_core.take(c, e);
}

void entry_release(struct entry *e)
{
    if (fake_core.release)
        fake_core.release(e);
}

int64_t core_tick(struct core *c)
{
    c->ticks++;
    return fake_core.tick ? fake_core.tick(c) : INT64_MAX;
}

#endif
