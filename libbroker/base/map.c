#include "libbroker/base/map.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "libbroker/base/hash.h"

enum { MAP_MIN = 8 }; /* buckets; twice as many when there are as many entries */

void map_init(struct map *m, uint64_t seed)
{
    *m = (struct map){.seed = seed};
    list_init(&m->entries);
}

void map_fini(struct map *m)
{
    struct map_entry *next;

    for (struct map_entry *e = map_next(m, NULL); e; e = next) {
        next = map_next(m, e);
        free(e);
    }
    list_init(&m->entries);
    free(m->buckets);
    m->buckets = NULL;
    m->mask = m->n = 0;
}

/* Hang all entries into `size` new buckets, a power of two. */
static int rehash(struct map *m, size_t size)
{
    struct map_entry **buckets = calloc(size, sizeof(struct map_entry *));

    if (!buckets)
        return -ENOMEM;
    for (struct list_node *n = list_first(&m->entries); n; n = list_next(&m->entries, n)) {
        struct map_entry *e = LIST_ITEM(n, struct map_entry, link);

        e->chain = buckets[e->hash & (size - 1)];
        buckets[e->hash & (size - 1)] = e;
    }
    free(m->buckets);
    m->buckets = buckets;
    m->mask = size - 1;
    return 0;
}

/* Make sure that there are buckets, and enough. Longer chains are better than no entry. */
static int make_room(struct map *m)
{
    if (!m->buckets)
        return rehash(m, MAP_MIN);
    if (m->n > m->mask)
        (void)rehash(m, (m->mask + 1) * 2);
    return 0;
}

struct map_entry *map_find(const struct map *m, struct slice key)
{
    uint64_t hash;
    struct map_entry *e;

    if (!m->buckets)
        return NULL;
    hash = hash_bytes(m->seed, key);
    for (e = m->buckets[hash & m->mask]; e; e = e->chain)
        if (e->hash == hash && slice_eq(map_key(e), key))
            break;
    return e;
}

struct map_entry *map_add(struct map *m, struct slice key, void *value)
{
    struct map_entry *e, **bucket;

    assert(value);
    e = malloc(sizeof *e + key.n + 1);
    if (!e || make_room(m) < 0) {
        free(e);
        return NULL;
    }
    *e = (struct map_entry){.value = value, .hash = hash_bytes(m->seed, key), .key_n = key.n};
    if (key.n)
        memcpy(e->key, key.p, key.n);
    e->key[key.n] = '\0';
    bucket = &m->buckets[e->hash & m->mask];
    e->chain = *bucket;
    *bucket = e;
    list_push_back(&m->entries, &e->link);
    m->n++;
    return e;
}

void map_remove(struct map *m, struct map_entry *e)
{
    struct map_entry **at = &m->buckets[e->hash & m->mask];

    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    list_remove(&e->link);
    free(e);
    m->n--;
    if (m->n == 0)
        map_fini(m);
    else if (m->mask + 1 > MAP_MIN && m->n < (m->mask + 1) / 8)
        (void)rehash(m, (m->mask + 1) / 2); /* if not, it stays as it is */
}

void *map_get(const struct map *m, struct slice key)
{
    struct map_entry *e = map_find(m, key);

    return e ? e->value : NULL;
}

int map_put(struct map *m, struct slice key, void *value)
{
    struct map_entry *e = map_find(m, key);

    assert(value);
    if (!e)
        return map_add(m, key, value) ? 0 : -ENOMEM;
    e->value = value;
    return 0;
}

void *map_del(struct map *m, struct slice key)
{
    struct map_entry *e = map_find(m, key);
    void *value;

    if (!e)
        return NULL;
    value = e->value;
    map_remove(m, e);
    return value;
}

struct map_entry *map_next(const struct map *m, const struct map_entry *prev)
{
    struct list_node *n = prev ? list_next(&m->entries, &prev->link) : list_first(&m->entries);

    return n ? LIST_ITEM(n, struct map_entry, link) : NULL;
}
