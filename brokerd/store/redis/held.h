/* held.h - the messages of one queue that are in this node's hands: by number, their ids and sizes.
 *
 * Why      The core names a message by its number; Redis by its id, and its account needs the size.
 * Shape    Open addressing, a power of two, at most three quarters full; a removal closes the gap.
 *          24 bytes an entry. Empty it holds no memory.
 * Errors   -ENOMEM, nothing changed.
 * Thread   One at a time. */
#ifndef BROKERD_STORE_REDIS_HELD_H
#define BROKERD_STORE_REDIS_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct held_message {
    uint64_t seq; /* 0: a free place */
    uint64_t cum; /* second half of its id */
    uint32_t len; /* bytes of payload */
    bool dead;    /* a dead letter is being made of it */
};

struct held_set {
    struct held_message *at;
    size_t size, n; /* places, messages */
};

/* Add one that is not there; its number is not 0. -ENOMEM. */
int held_add(struct held_set *h, const struct held_message *m);

/* NULL: there is none. */
const struct held_message *held_find(const struct held_set *h, uint64_t seq);

/* Take it out. False: there is none. */
bool held_take(struct held_set *h, uint64_t seq, struct held_message *ret);

void held_fini(struct held_set *h);

#endif
