/* fake_store.h - the model store (brokerd/store/memory) under the cores of a world: world_run() has
 * it answer before each core's turn and sends out what the turn said after it. */
#ifndef TESTS_UNIT_CORE_FAKE_STORE_H
#define TESTS_UNIT_CORE_FAKE_STORE_H

#include "brokerd/store/memory/memory.h"
#include "tests/unit/core/world.h"

struct fake {
    struct memory_shelf *shelf; /* outlives the world: what a broker finds when it begins again */
    struct store *store[WORLD_CORES];
    struct world *world;
};

static inline bool fake_turn(void *ctx, unsigned core)
{
    const struct fake *f = ctx;

    memory_shelf_clock(f->shelf, f->world->now);
    return memory_store_answer(f->store[core]) > 0;
}

static inline bool fake_flush(void *ctx, unsigned core)
{
    const struct fake *f = ctx;

    f->store[core]->ops->flush(f->store[core]);
    return !memory_store_idle(f->store[core]);
}

/* Each core of a world that has just started gets a store at that level; its shelf is made if
 * there is none. */
static inline void fake_start(struct fake *f, struct world *w, enum durable level)
{
    if (!f->shelf)
        f->shelf = memory_shelf_new(level == DURABLE_REDIS, 1);
    for (unsigned i = 0; i < w->n; i++) {
        struct memory_options o = {
            .shelf = f->shelf, .core = w->core[i], .answer = core_stored, .worker = i};

        f->store[i] = memory_store_new(&o);
        if (!f->store[i])
            abort();
        core_set_store(w->core[i], level, f->store[i]);
    }
    f->world = w;
    w->stores = (struct world_stores){f, fake_turn, fake_flush};
}

static inline void fake_trouble(struct fake *f, const struct memory_trouble *t)
{
    for (unsigned i = 0; i < WORLD_CORES && f->store[i]; i++)
        memory_store_trouble(f->store[i], t);
}

/* The broker dies: nothing that its cores say from here on comes to anything. */
static inline void fake_kill(const struct fake *f)
{
    for (unsigned i = 0; i < WORLD_CORES && f->store[i]; i++)
        memory_store_kill(f->store[i]);
}

/* The world has stopped, and its cores with it. */
static inline void fake_stop(struct fake *f)
{
    for (unsigned i = 0; i < WORLD_CORES; i++) {
        memory_store_free(f->store[i]);
        f->store[i] = NULL;
    }
}

/* And nothing is kept any more. */
static inline void fake_end(struct fake *f)
{
    fake_stop(f);
    memory_shelf_free(f->shelf);
    f->shelf = NULL;
}

#endif
