/* map.h - hash map from names (any bytes, copied) to pointers.
 *
 * Shape    Buckets with chains; keyed hash. Entries also hang in one list in the order they
 *          came, so a walk is the same in every run and bears the removal of the entry at hand
 *          (and of any but the next). An empty map holds no memory.
 * Owner    The map copies keys; values are the user's, never NULL.
 * Errors   -ENOMEM, nothing changed.
 * Thread   One at a time. */
#ifndef BROKER_BASE_MAP_H
#define BROKER_BASE_MAP_H

#include "libbroker/base/list.h"
#include "libbroker/base/slice.h"

/* Stays where it is until it is removed. The user may change `value`, nothing else. */
struct map_entry {
    void *value;
    struct map_entry *chain; /* next of the bucket */
    struct list_node link;
    uint64_t hash;
    size_t key_n;
    char key[]; /* terminated, for logs */
};

struct map {
    struct map_entry **buckets; /* mask + 1; NULL when empty */
    size_t mask, n;
    struct list entries; /* must not move: see list.h */
    uint64_t seed;
};

/* Make an empty map. `seed`: unguessable where peers choose names. Must not be moved after. */
void map_init(struct map *m, uint64_t seed);

/* Release all; the values are forgotten. The map is then empty. */
void map_fini(struct map *m);

/* The entry of `key`; NULL if there is none. */
struct map_entry *map_find(const struct map *m, struct slice key);

/* Add an entry; `key` must not be there yet. `value` not NULL. NULL without memory. */
struct map_entry *map_add(struct map *m, struct slice key, void *value);

/* Remove an entry of this map and free it. */
void map_remove(struct map *m, struct map_entry *e);

/* The value of `key`; NULL if there is none. */
void *map_get(const struct map *m, struct slice key);

/* Set the value of `key`, which is added if it is not there. -ENOMEM. */
int map_put(struct map *m, struct slice key, void *value);

/* Remove `key`. Returns the value it had, NULL if there was none. */
void *map_del(struct map *m, struct slice key);

/* Walk: `prev` NULL gives the first, then the one after `prev`; NULL at the end. */
struct map_entry *map_next(const struct map *m, const struct map_entry *prev);

static inline size_t map_len(const struct map *m)
{
    return m->n;
}

static inline struct slice map_key(const struct map_entry *e)
{
    return slice_of(e->key, e->key_n);
}

#endif
