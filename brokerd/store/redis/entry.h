/* entry.h - a message as it stands in Redis: the field `m` of a stream's entry, and its id.
 *
 * Shape    `m`: EXPIRES TIME ID TYPE TOPIC_LEN TYPE_LEN HEADERS_LEN, decimal, a blank behind each;
 *          then topic, name of the type, headers. EXPIRES is `-` for never. The id: SEQ-CUM.
 *          (The payload is the field `d`.) People can read it: that is worth the few bytes.
 * Owner    What is read points into the bytes it was read from.
 * Errors   -EPROTO: that was not written by us; nothing is read beyond the bytes given. What is
 *          taken the core can be given: names, type and headers are as a door would take them.
 * Thread   Any: pure functions. */
#ifndef BROKERD_STORE_REDIS_ENTRY_H
#define BROKERD_STORE_REDIS_ENTRY_H

#include "brokerd/core/store.h"

enum {
    ENTRY_HEAD_MAX = 3 * 21 + 4 + 3 * 6, /* bytes before the topic */
    ENTRY_ID_MAX = 42,                   /* bytes of an id, terminated */
};

/* What `m` says. */
struct entry_facts {
    int64_t expires_ms; /* INT64_MAX never */
    int64_t time_ms;
    uint64_t id;
    struct slice topic, headers;
    struct ctype type;
};

/* Bytes of `m` at most. */
static inline size_t entry_size(const struct entry_facts *f)
{
    return ENTRY_HEAD_MAX + f->topic.n + f->type.name.n + f->headers.n;
}

/* Write `m` at `p`, which has room for entry_size() bytes; returns the byte after. */
uint8_t *entry_write(uint8_t *p, const struct entry_facts *f);

int entry_read(struct slice m, struct entry_facts *ret);

/* A decimal number, written; returns the byte after. At most 20 bytes. */
uint8_t *entry_write_number(uint8_t *p, uint64_t v);

/* SEQ-CUM. */
uint8_t *entry_write_id(uint8_t *p, uint64_t seq, uint64_t cum);
int entry_read_id(struct slice id, uint64_t *ret_seq, uint64_t *ret_cum);

#endif
