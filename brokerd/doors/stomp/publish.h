/* publish.h - messages up: SEND.
 *
 * Shape    What a SEND says besides its body is read once, into a memo: where it goes, the
 * message's headers in neutral form, its type. The next one that begins with the same bytes (but
 * for the id of its receipt) says the same: such frames are taken together, as one run, without
 * being decoded (stomp_send_scan). Thread   The connection's worker. */
#ifndef BROKERD_DOORS_STOMP_PUBLISH_H
#define BROKERD_DOORS_STOMP_PUBLISH_H

#include "brokerd/doors/stomp/peer.h"

enum {
    STOMP_MESSAGE_HEADERS_MAX = 32768, /* bytes of a message's headers, in neutral form */
};

struct stomp_memo {
    struct target target; /* its name in `name` */
    enum stomp_place place;
    struct ctype type;
    struct msg_meta meta;
    int64_t wait_ms; /* of a call; -1: not said */
    bool has_meta;
    bool has_length, has_receipt;
    bool repeats;           /* frames that begin with the same bytes say the same */
    uint64_t length;        /* of the body */
    size_t front_n, back_n; /* bytes of the head before the receipt's id, and after it */
    size_t size;            /* of `room` */
    char name[2 * NAME_MAX_BYTES];
    uint8_t room[]; /* the head, the type, the headers */
};

/* Publish the messages at the front of `in` that say what the last SEND said. Returns the bytes
 * used, 0 if the first frame is none of these, or not all there, or there is no room for it now. */
size_t stomp_send_scan(struct stomp_peer *c, struct slice in, struct block *block);

/* A SEND. False: not now. */
bool stomp_send(struct stomp_peer *c, const struct stomp_frame *f);

/* Read what `f`, a SEND to `d`, says into *m, which may be NULL or one to be used again. False: the
 * peer was told what is wrong, or (c->waiting) it has to come again. */
bool stomp_memo_read(struct stomp_peer *c, const struct stomp_frame *f,
                     const struct stomp_destination *d, struct stomp_memo **m);

/* Publish `n` messages that say what `m` says: at most window_room(). Of a failure the peer is
 * told; `receipt`: of the first of them. */
bool stomp_publish(struct stomp_peer *c, const struct stomp_memo *m, const struct msg_view *v,
                   uint32_t n, struct slice receipt);

/* Is it a header of users, one that MESSAGE does not have for itself? */
bool stomp_is_carried(struct slice name);

/* Do `n` messages answer somebody who has gone, and the reply queue too? That is no error: they are
 * counted, and dropped. */
bool stomp_is_late(struct stomp_peer *c, const struct stomp_memo *m, uint32_t n);

/* It goes to a queue that must be there, and is not: the peer was told. */
bool stomp_is_missing(struct stomp_peer *c, const struct stomp_memo *m, struct slice receipt);

/* Whether it may be published, as far as that can be told before. False: the peer was told. */
bool stomp_may_publish(struct stomp_peer *c, const struct stomp_memo *m, struct slice receipt);

/* A message of what `m` and `body` say. */
struct msg_view stomp_view(const struct stomp_memo *m, struct slice body, struct block *block);

#endif
