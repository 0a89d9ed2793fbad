#include "libbroker/base/pool.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define POOL_OF_MALLOC 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_OF_MALLOC 1
#endif
#endif
#ifndef POOL_OF_MALLOC
#define POOL_OF_MALLOC 0
#endif

enum {
    CHUNK = 64 * 1024,
    /* What a publisher with a full window of small messages has in its queue comes and goes all
     * the time: so much is not given back to the system only to be asked for again. */
    SPARE_MAX = (2 << 20) / CHUNK,
};

/* An object that is free, in its chunk. */
struct hole {
    struct hole *next;
};

/* The head of a chunk, with objects behind it. Those from offset `fresh` on were never out. */
struct pool_chunk {
    struct list_node link; /* in pool->open[cls] while there is room */
    struct pool *pool;
    union {
        struct hole *hole;       /* given back, the latest first: it is likely to be in cache */
        struct pool_chunk *next; /* spare */
    };
    uint32_t size; /* bytes of an object */
    uint32_t used, cap;
    uint32_t fresh;
    unsigned cls;
    alignas(64) char objects[];
};

/* ---------------------------------------------------------------------------- chunks */

static bool is_aligned(const void *p)
{
    return ((uintptr_t)p & (CHUNK - 1)) == 0;
}

static void *map(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

/* A chunk from the system. It puts mappings side by side, so most are aligned as they come. */
static struct pool_chunk *map_chunk(void)
{
    char *p = map(CHUNK), *at;

    if (!p || is_aligned(p))
        return (struct pool_chunk *)(void *)p;
    (void)munmap(p, CHUNK);
    p = map(2 * CHUNK);
    if (!p)
        return NULL;
    at = p + (CHUNK - ((uintptr_t)p & (CHUNK - 1)));
    (void)munmap(p, (size_t)(at - p));
    if (at < p + CHUNK)
        (void)munmap(at + CHUNK, (size_t)(p + CHUNK - at));
    return (struct pool_chunk *)(void *)at;
}

static struct pool_chunk *open_chunk(struct pool *p, unsigned cls)
{
    struct pool_chunk *c = p->spare;

    if (c) {
        p->spare = c->next;
        p->spare_n--;
    } else {
        c = map_chunk();
        if (!c)
            return NULL;
        p->chunks++;
    }
    *c = (struct pool_chunk){.pool = p, .size = pool_class_size(cls), .cls = cls};
    c->fresh = (uint32_t)sizeof *c;
    c->cap = (CHUNK - c->fresh) / c->size;
    list_push_back(&p->open[cls], &c->link);
    return c;
}

static void keep_spare(struct pool *p, struct pool_chunk *c)
{
    c->next = p->spare;
    p->spare = c;
    p->spare_n++;
}

/* It holds no object any more. The system may refuse to take it back, when the hole would make
 * too many mappings of one. */
static void close_chunk(struct pool *p, struct pool_chunk *c)
{
    list_remove(&c->link);
    if (p->spare_n < SPARE_MAX || munmap(c, CHUNK) < 0)
        keep_spare(p, c);
    else
        p->chunks--;
}

/* --------------------------------------------------------------------------- objects */

void pool_init(struct pool *p)
{
    *p = (struct pool){0};
    for (unsigned i = 0; i < POOL_CLASSES; i++)
        list_init(&p->open[i]);
}

void pool_fini(struct pool *p)
{
    struct pool_chunk *c;

    assert(p->used == 0);
    while ((c = p->spare) != NULL) {
        p->spare = c->next;
        (void)munmap(c, CHUNK);
    }
    p->spare_n = p->chunks = 0;
}

void *pool_get(struct pool *p, size_t n)
{
    struct pool_chunk *c;
    struct list_node *l;
    unsigned cls;
    void *object;

    if (POOL_OF_MALLOC || n > POOL_MAX) {
        object = malloc(n);
        p->used += object != NULL;
        return object;
    }
    cls = pool_class(n);
    l = list_first(&p->open[cls]);
    c = l ? LIST_ITEM(l, struct pool_chunk, link) : open_chunk(p, cls);
    if (!c)
        return NULL;
    if (c->hole) {
        object = c->hole;
        c->hole = c->hole->next;
    } else {
        object = (char *)c + c->fresh;
        c->fresh += c->size;
    }
    if (++c->used == c->cap)
        list_remove(&c->link);
    p->used++;
    return object;
}

void pool_put(struct pool *p, void *object, size_t n)
{
    struct pool_chunk *c;
    struct hole *hole;

    p->used--;
    if (POOL_OF_MALLOC || n > POOL_MAX) {
        free(object);
        return;
    }
    c = (struct pool_chunk *)((uintptr_t)object & ~(uintptr_t)(CHUNK - 1));
    assert(c->pool == p && n <= c->size);
    hole = object;
    hole->next = c->hole;
    c->hole = hole;
    if (c->used-- == c->cap)
        list_push_front(&p->open[c->cls], &c->link);
    if (c->used == 0)
        close_chunk(p, c);
}
