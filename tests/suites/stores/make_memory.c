/* make_memory.c - the model itself. */
#include "brokerd/store/memory/memory.h"
#include "tests/suites/stores/suite.h"

static void start(struct world *w)
{
    for (unsigned i = 0; i < w->make->nodes; i++) {
        struct memory_options o = {
            .shelf = w->own,
            .core = (struct core *)&w->node[i],
            .answer = suite_answer,
            .node = i,
        };

        w->node[i].store = memory_store_new(&o);
    }
}

static void begin(struct world *w)
{
    w->own = memory_shelf_new(w->make->shared, w->random.seed);
}

static void turn(struct world *w)
{
    memory_shelf_clock(w->own, wall_ms());
    for (unsigned i = 0; i < w->make->nodes; i++)
        if (w->node[i].store)
            w->node[i].store->ops->flush(w->node[i].store);
    for (unsigned i = 0; i < w->make->nodes; i++)
        if (w->node[i].store)
            memory_store_answer(w->node[i].store);
}

static void stop(struct world *w)
{
    for (unsigned i = 0; i < w->make->nodes; i++)
        memory_store_free(w->node[i].store);
}

static void die(struct world *w, unsigned node)
{
    memory_store_kill(w->node[node].store);
    memory_store_free(w->node[node].store);
    w->node[node].store = NULL;
}

static void end(struct world *w)
{
    memory_shelf_free(w->own);
}

const struct make make_memory = {
    .name = "memory",
    .nodes = 1,
    .begin = begin,
    .start = start,
    .turn = turn,
    .stop = stop,
    .end = end,
};

const struct make make_memory_shared = {
    .name = "memory-shared",
    .shared = true,
    .nodes = NODES,
    .begin = begin,
    .start = start,
    .turn = turn,
    .stop = stop,
    .die = die,
    .end = end,
};
