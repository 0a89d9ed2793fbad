/* memo.h - the metadata of the message before, understood once.
 *
 * Why      A publisher mostly sends the same metadata with every message. To compare bytes is
 *          cheaper than to read them, and messages with equal metadata share a run.
 * Owner    Everything in a memo points into the memo's own memory.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_RSOCKET_MEMO_H
#define BROKERD_DOORS_RSOCKET_MEMO_H

#include "brokerd/doors/rsocket/meta.h"

struct memo {
    struct slice metadata; /* as they came */
    bool valid;            /* the rest may be used */
    bool has_route;
    struct slice route; /* first routing tag */
    struct ctype type;  /* of the message */
    bool has_meta;      /* `meta` says something */
    struct msg_meta meta;
    struct options options;
    size_t size; /* bytes of room, twice what `metadata` may have */
    uint8_t room[];
};

/* Does `m` (may be NULL) know these metadata? */
static inline bool memo_knows(const struct memo *m, struct slice metadata)
{
    return m && m->valid && slice_eq(m->metadata, metadata);
}

/* Read `metadata` into *m, which is made or made larger (NULL at first; free() ends it).
 * `allowed`: of enum option. -EINVAL or -ENOMEM with *ret_why; *m is then not valid. */
int memo_read(struct memo **m, const struct peer *c, struct slice metadata, unsigned allowed,
              struct refusal *ret_why);

#endif
