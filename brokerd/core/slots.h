/* slots.h - objects that other workers may name: handles with generations.
 *
 * Why      What another worker holds is a number, never a pointer: it may be old. A handle that
 *          finds nothing is an ordinary case with one answer each.
 * Shape    worker (8 bits), slot (24), generation (28 of 32). A slot's generation rises each
 *          time it is freed, so an old handle finds nothing for 2^28 reuses. 0 is never a handle.
 *          Slots lie in pages and are never moved: an array that doubled left behind, of 10,000
 *          idle subscribers, 35 bytes each.
 * Owner    The table borrows the objects.
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_SLOTS_H
#define BROKERD_CORE_SLOTS_H

#include <stdint.h>

typedef uint64_t handle_t;

/* What a handle may name; one asked for as another kind finds nothing. */
enum slot_kind {
    SLOT_FREE,
    SLOT_QUEUE,
    SLOT_TAP,
    SLOT_CONSUMER,
    SLOT_PUBLISHER,
    SLOT_CALL,
    SLOT_SERVER,
    SLOT_PLACE,
    SLOT_REGISTRY,
    SLOT_ENDPOINT,
    SLOT_LETTER,
};

/* 12 bytes, for as in index.h. */
struct __attribute__((packed)) slot {
    void *object; /* SLOT_FREE: next free slot's number, as an integer */
    uint32_t generation : 28;
    uint32_t kind : 4;
};

enum { SLOTS_A_PAGE = 256 }; /* 3 KiB */

struct slots {
    struct slot **page; /* as many as `n` need */
    uint32_t n;         /* slots ever used */
    uint32_t free;      /* number of a free slot + 1; 0 none */
    unsigned worker;
};

void slots_init(struct slots *s, unsigned worker);
void slots_fini(struct slots *s);

/* A handle for `object`; 0 without memory or after 2^24 live ones. */
handle_t slots_put(struct slots *s, enum slot_kind kind, void *object);

/* The object, or NULL if it is gone, of another kind or another worker's. */
void *slots_get(const struct slots *s, enum slot_kind kind, handle_t h);

/* The handle's object is gone. 0 and old handles are ignored. */
void slots_drop(struct slots *s, handle_t h);

/* Slot number `i`, below s->n. */
static inline struct slot *slots_at(const struct slots *s, uint32_t i)
{
    return &s->page[i / SLOTS_A_PAGE][i % SLOTS_A_PAGE];
}

/* All of a kind, one by one: the next in a slot from *at on, which is 0 at first; NULL: there are
 * no more. They may come and go meanwhile. */
void *slots_next(const struct slots *s, enum slot_kind kind, uint32_t *at);

static inline unsigned handle_worker(handle_t h)
{
    return (unsigned)(h >> 56);
}

#endif
