/* reply.h - replies out of the bytes that Redis sends, and not one that is too much.
 *
 * Why      What hiredis 0.14 does with what a broken or hostile peer says (tried, and kept so by a
 *          test): more than seven arrays in one another, and lengths over 2^31, it refuses itself.
 *          But an announced array is allocated at once, 16 GiB for "*2147483647"; any number of
 *          bytes and objects is kept; and a line without an end is searched from its start with
 *          each piece that comes.
 * Shape    hiredis's reader, its functions that make objects wrapped, and its buffer looked at
 *          after each step. Bytes in, replies out.
 * Owner    A reply taken is the caller's: freeReplyObject().
 * Errors   -EPROTO: what came is no reply, or one beyond the limits; -ENOMEM. The reader is then
 *          of no use.
 * Thread   One at a time. */
#ifndef BROKERD_STORE_REDIS_REPLY_H
#define BROKERD_STORE_REDIS_REPLY_H

#include <stddef.h>

struct redisReader;
struct redisReply;
struct redisReplyObjectFunctions;

enum {
    REPLY_BYTES_MAX = 64 << 20,  /* of one reply */
    REPLY_OBJECTS_MAX = 1 << 20, /* in one reply: each takes some 64 bytes of memory */
    REPLY_LINE_MAX = 64 * 1024,  /* bytes of a status, an error, a number */
    REPLY_NUMBER_MAX = 8,        /* digits of a length */
};

struct reply_reader {
    struct redisReader *reader;
    const struct redisReplyObjectFunctions *make; /* hiredis's own */
    size_t bytes;                                 /* come since the last reply */
    size_t objects;                               /* in the reply that is coming */
};

/* -ENOMEM. Must not be moved afterwards. */
int reply_reader_init(struct reply_reader *r);

/* Zeroed is fine. */
void reply_reader_fini(struct reply_reader *r);

/* Bytes have come, which are copied. */
int reply_feed(struct reply_reader *r, const void *bytes, size_t n);

/* 1: the next reply, in *ret. 0: there is none yet. */
int reply_next(struct reply_reader *r, struct redisReply **ret);

#endif
