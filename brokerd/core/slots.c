#include "brokerd/core/slots.h"

#include <stdlib.h>

enum { SLOT_MAX = 1 << 24 };

void slots_init(struct slots *s, unsigned worker)
{
    *s = (struct slots){.worker = worker};
}

void slots_fini(struct slots *s)
{
    free(s->slot);
    slots_init(s, s->worker);
}

static int slots_grow(struct slots *s)
{
    uint32_t cap = s->cap ? s->cap * 2 : 64;
    struct slot *slot;

    if (cap > SLOT_MAX)
        return -1;
    slot = realloc(s->slot, cap * sizeof *slot);
    if (!slot)
        return -1;
    s->slot = slot;
    s->cap = cap;
    return 0;
}

static uint32_t handle_slot(handle_t h)
{
    return (uint32_t)(h >> 32) & (SLOT_MAX - 1);
}

handle_t slots_put(struct slots *s, enum slot_kind kind, void *object)
{
    uint32_t i;

    if (s->free) {
        i = s->free - 1;
        s->free = (uint32_t)(uintptr_t)s->slot[i].object;
    } else {
        if (s->n == s->cap && slots_grow(s) < 0)
            return 0;
        i = s->n++;
        s->slot[i].generation = 1;
    }
    s->slot[i].object = object;
    s->slot[i].kind = kind;
    return (uint64_t)s->worker << 56 | (uint64_t)i << 32 | s->slot[i].generation;
}

static struct slot *slot_of(const struct slots *s, handle_t h)
{
    uint32_t i = handle_slot(h);

    if (h == 0 || handle_worker(h) != s->worker || i >= s->n)
        return NULL;
    if (s->slot[i].generation != (uint32_t)h || s->slot[i].kind == SLOT_FREE)
        return NULL;
    return &s->slot[i];
}

void *slots_get(const struct slots *s, enum slot_kind kind, handle_t h)
{
    const struct slot *slot = slot_of(s, h);

    return slot && slot->kind == kind ? slot->object : NULL;
}

void slots_drop(struct slots *s, handle_t h)
{
    struct slot *slot = slot_of(s, h);

    if (!slot)
        return;
    slot->kind = SLOT_FREE;
    if (++slot->generation == 0)
        slot->generation = 1;
    slot->object = (void *)(uintptr_t)s->free;
    s->free = handle_slot(h) + 1;
}

void *slots_next(const struct slots *s, enum slot_kind kind, uint32_t *at)
{
    while (*at < s->n) {
        const struct slot *slot = &s->slot[(*at)++];

        if (slot->kind == kind)
            return slot->object;
    }
    return NULL;
}
