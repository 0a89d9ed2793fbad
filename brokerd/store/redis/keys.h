/* keys.h - what a queue's things are called in Redis.
 *
 * Shape    PREFIX:{NAME}:m, :s, :b, :a (functions.lua). Braces make Redis Cluster keep them
 * together; in NAME `{`, `}` and `%` are `%` and two hexadecimal digits. Owner    A struct of keys
 * owns one allocation. Thread   Any: nothing is shared. */
#ifndef BROKERD_STORE_REDIS_KEYS_H
#define BROKERD_STORE_REDIS_KEYS_H

#include "libbroker/base/slice.h"

enum { KEYS_N = 4, KEYS_PREFIX_MAX = 64 };

enum keys_which { KEY_FACTS, KEY_STREAM, KEY_BACK, KEY_ATTEMPTS };

struct keys {
    char *bytes;
    struct slice base; /* PREFIX:{NAME}: by that name channels speak of the queue */
    struct slice key[KEYS_N];
    uint16_t slot;
};

/* Keys of the queue `name`. -ENOMEM. */
int keys_init(struct keys *k, struct slice prefix, struct slice name);
void keys_fini(struct keys *k);

/* May keys begin so? 1 to KEYS_PREFIX_MAX bytes, printable, without blanks and braces. */
bool keys_prefix_fits(struct slice prefix);

#endif
