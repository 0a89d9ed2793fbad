/* pack.h - messages in an entry of another broker's inbox, packed and unpacked.
 *
 * Why      One command to Redis carries many messages; what is read there was written by whoever
 *          can write to that Redis, so nothing of it is believed before it was looked at.
 * Shape    Numbers are big-endian.
 *              head     u8 version, u64 session, u64 first, u8 length, sender
 *              run, ..  u8 length, topic, type, u64 id, u64 time, u32 n, then n messages:
 *              message  u8 what it has, u32 length, [u16 length, headers], [type], [u64 ttl], data
 *              type     u8 id, and for CTYPE_NAMED: u8 length, name
 *          Without a run it says how far the numbers went: up to before `first`.
 *          Messages of a run have ids that count up from the run's, and were published at the same
 *          time. `first` numbers the messages that a sender had for this receiver, in a session.
 * Owner    A struct pack owns its bytes. What is unpacked borrows the bytes.
 * Errors   -ENOMEM; -EPROTO: not such an entry.
 * Thread   Any; pure. */
#ifndef BROKERD_NODES_PACK_H
#define BROKERD_NODES_PACK_H

#include "brokerd/core/message.h"
#include "brokerd/core/outlet.h"

enum {
    PACK_VERSION = 1,
    PACK_SENDER_MAX = 128, /* bytes of a sender's name */
    PACK_HEADERS_MAX = 60 * 1024,
};

struct pack_head {
    uint64_t session; /* the sender's: it counts messages anew in each, and they rise */
    uint64_t first;   /* number of the first message, from 1 */
    struct slice from;
};

/* ------------------------------------------------------------------------------------- to pack */

/* Zeroed is an empty one. */
struct pack {
    uint8_t *bytes;
    size_t n, cap;
    size_t begun;  /* where the last run begins, */
    size_t run;    /* and where its count of messages stands; 0: there is no run */
    uint32_t runs; /* messages in that */
};

void pack_fini(struct pack *p);

/* -ENOMEM. `p` is empty. */
int pack_begin(struct pack *p, const struct pack_head *head);

/* The messages that follow are a run. -ENOMEM: there is none. */
int pack_run(struct pack *p, struct slice topic, struct ctype type, const struct origin *from);

/* One message more of it; `ttl_ms` in place of the view's. -ENOMEM: as it was, but a run without
 * messages is gone. */
int pack_message(struct pack *p, const struct msg_view *v, int64_t ttl_ms);

/* ----------------------------------------------------------------------------------- to unpack */

struct unpack {
    struct slice rest;
    uint32_t left; /* messages of the run */
    struct slice topic;
    struct ctype type;
    struct origin at; /* of the next message */
};

/* Look at all of an entry. -EPROTO: nothing of it is of use. `*ret_messages`: how many. */
int unpack_check(struct slice entry, struct pack_head *ret, uint64_t *ret_messages);

/* Begin with the messages of an entry that was looked at. */
void unpack_begin(struct unpack *u, struct slice entry);

/* The next messages of one run, at most `max`, into `v` and `metas`; how many, 0: there are no
 * more. topic, type and *from are theirs. */
uint32_t unpack_next(struct unpack *u, struct msg_view *v, struct msg_meta *metas, uint32_t max,
                     struct origin *from);

#endif
