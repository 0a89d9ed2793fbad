#include "brokerd/core/found.h"

#include "brokerd/core/durable.h"
#include "brokerd/core/making.h"
#include "brokerd/core/names.h"
#include "brokerd/core/question.h"
#include "brokerd/core/replay.h"

#include <stdio.h>

void core_set_store(struct core *c, enum durable level, struct store *s)
{
    c->stores[level] = s;
    if (c->id == 0)
        c->searching |= 1u << level;
}

bool core_has_found(const struct core *c)
{
    return !c->searching && !c->finding;
}

enum durable found_level(const struct core *c, const struct store *s)
{
    for (unsigned i = DURABLE_REDIS; i > DURABLE_MEMORY; i--)
        if (s && c->stores[i] == s)
            return (enum durable)i;
    return DURABLE_MEMORY;
}

void found_tell(struct core *c, struct slice queue, enum reason reason, const char *text)
{
    char name[NAME_MAX_BYTES + 1];
    struct core_event ev = {.kind = EVENT_STORE,
                            .reason = reason,
                            .queue = name,
                            .topic = "",
                            .client = "",
                            .why = text};

    snprintf(name, sizeof name, "%.*s", (int)(queue.n < NAME_MAX_BYTES ? queue.n : NAME_MAX_BYTES),
             (const char *)queue.p);
    c->ops->event(c->ctx, &ev);
}

static void all_found(struct core *c, const struct stored *a)
{
    c->searching &= ~(1u << found_level(c, a->store));
    if (!c->searching)
        names_all_found(c);
}

/* What a store says of itself, not of a queue that is open. */
static void take_store(struct core *c, const struct stored *a)
{
    enum durable level = found_level(c, a->store);

    if (level == DURABLE_MEMORY || c->id)
        return;
    if (a->kind == STORED_FOUND)
        names_found(c, &a->def, level);
    else if (a->kind == STORED_REMOVED)
        names_removed(c, a->def.name, level);
    else
        all_found(c, a);
}

static void take_queue(struct queue *q, const struct stored *a)
{
    switch (a->kind) {
    case STORED_OPEN:
        making_opened(q, a);
        break;
    case STORED_PEEKED:
    case STORED_PURGED:
    case STORED_FACTS:
        if (q->backlog->stored)
            questions_take(q, a);
        break;
    case STORED_REWOUND:
        if (q->backlog->stored)
            replay_take(q, a);
        break;
    default:
        if (q->backlog->stored)
            durable_stored(q, a);
        break;
    }
}

void core_stored(struct core *c, const struct stored *a)
{
    struct queue *q = a->queue ? slots_get(&c->slots, SLOT_QUEUE, a->queue) : NULL;

    if (!a->queue)
        take_store(c, a);
    else if (q)
        take_queue(q, a);
    else
        c->count.stale_handles++;
}
