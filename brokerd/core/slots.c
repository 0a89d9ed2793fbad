#include "brokerd/core/slots.h"

#include <stdlib.h>

enum { SLOT_MAX = 1 << 24 };

static uint32_t pages_of(const struct slots *s)
{
    return (s->n + SLOTS_A_PAGE - 1) / SLOTS_A_PAGE;
}

void slots_init(struct slots *s, unsigned worker)
{
    *s = (struct slots){.worker = worker};
}

void slots_fini(struct slots *s)
{
    for (uint32_t i = 0; i < pages_of(s); i++)
        free(s->page[i]);
    free(s->page);
    slots_init(s, s->worker);
}

/* Room for one slot more: another page, where all there are are full. */
static int slots_grow(struct slots *s)
{
    uint32_t pages = pages_of(s);
    struct slot **page;

    if (s->n == SLOT_MAX)
        return -1;
    if (s->n < pages * SLOTS_A_PAGE)
        return 0;
    page = realloc(s->page, (pages + 1) * sizeof *page);
    if (!page)
        return -1;
    s->page = page;
    page[pages] = malloc(SLOTS_A_PAGE * sizeof **page);
    return page[pages] ? 0 : -1;
}

static uint32_t handle_slot(handle_t h)
{
    return (uint32_t)(h >> 32) & (SLOT_MAX - 1);
}

handle_t slots_put(struct slots *s, enum slot_kind kind, void *object)
{
    struct slot *slot;
    uint32_t i;

    if (s->free) {
        i = s->free - 1;
        slot = slots_at(s, i);
        s->free = (uint32_t)(uintptr_t)slot->object;
    } else {
        if (slots_grow(s) < 0)
            return 0;
        i = s->n++;
        slot = slots_at(s, i);
        slot->generation = 1;
    }
    slot->object = object;
    slot->kind = kind;
    return (uint64_t)s->worker << 56 | (uint64_t)i << 32 | slot->generation;
}

static struct slot *slot_of(const struct slots *s, handle_t h)
{
    uint32_t i = handle_slot(h);
    struct slot *slot;

    if (h == 0 || handle_worker(h) != s->worker || i >= s->n)
        return NULL;
    slot = slots_at(s, i);
    return slot->generation == (uint32_t)h && slot->kind != SLOT_FREE ? slot : NULL;
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
        const struct slot *slot = slots_at(s, (*at)++);

        if (slot->kind == kind)
            return slot->object;
    }
    return NULL;
}
