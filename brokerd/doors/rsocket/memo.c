#include "brokerd/doors/rsocket/memo.h"

#include <errno.h>
#include <stdlib.h>

enum { MEMO_MIN = 64 };

/* Room for metadata of `n` bytes, and as much for the headers left over. */
static int make_room(struct memo **m, size_t n)
{
    size_t size = 2 * (n < MEMO_MIN ? MEMO_MIN : n);
    struct memo *fresh;

    /* A lone giant does not hold on to its memory. */
    if (*m && (*m)->size >= size && (*m)->size <= 8 * size)
        return 0;
    fresh = malloc(sizeof *fresh + size);
    if (!fresh)
        return -ENOMEM;
    free(*m);
    *fresh = (struct memo){.size = size};
    *m = fresh;
    return 0;
}

int memo_read(struct memo **m, const struct peer *c, struct slice metadata, unsigned allowed,
              struct refusal *ret_why)
{
    struct memo *o;
    struct meta meta;
    int r;

    if (*m)
        (*m)->valid = false;
    if (metadata.n > META_MAX) {
        refuse(ret_why, REASON_INVALID, "metadata are over %d bytes", META_MAX);
        return -EINVAL;
    }
    if (make_room(m, metadata.n) < 0) {
        refuse_memory(ret_why);
        return -ENOMEM;
    }
    o = *m;
    o->valid = false;
    if (metadata.n)
        memcpy(o->room, metadata.p, metadata.n);
    o->metadata = slice_of(o->room, metadata.n);
    r = meta_read(c, true, o->metadata, &meta, ret_why);
    if (r == 0)
        r = options_read(meta.headers, allowed, o->room + o->size / 2, &o->options, ret_why);
    if (r < 0)
        return r;
    o->has_route = meta.has_route;
    o->route = meta.route;
    o->type = meta.type;
    o->meta = (struct msg_meta){
        .headers = o->options.headers,
        .type = meta.type,
        .ttl_ms = o->options.ttl_ms,
        .require = o->options.require,
        .dedup = o->options.dedup,
    };
    o->has_meta = o->meta.headers.n > 0 || o->meta.ttl_ms > 0 || o->meta.require;
    o->valid = true;
    return 0;
}
