#include "brokerd/core/found.h"

#include "brokerd/core/names.h"
#include "libbroker/base/headers.h"

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

void core_stored(struct core *c, const struct stored *a)
{
    struct queue *q = a->queue ? slots_get(&c->slots, SLOT_QUEUE, a->queue) : NULL;

    (void)q;
    switch (a->kind) {
    case STORED_ALL_FOUND:
        c->searching &= ~(1u << found_level(c, a->store));
        break;
    default:
        break;
    }
}
