#include "brokerd/store/redis/reply.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <string.h>

static struct reply_reader *reader_of(const redisReadTask *t)
{
    return t->privdata;
}

/* ------------------------------------------------------------------------------- objects, bounded
 */

static bool may_make(const redisReadTask *t)
{
    return reader_of(t)->objects++ < REPLY_OBJECTS_MAX;
}

static void *make_string(const redisReadTask *t, char *s, size_t n)
{
    return may_make(t) ? reader_of(t)->make->createString(t, s, n) : NULL;
}

static void *make_integer(const redisReadTask *t, long long v)
{
    return may_make(t) ? reader_of(t)->make->createInteger(t, v) : NULL;
}

static void *make_nil(const redisReadTask *t)
{
    return may_make(t) ? reader_of(t)->make->createNil(t) : NULL;
}

static void *make_array(const redisReadTask *t, int n)
{
    const struct reply_reader *r = reader_of(t);

    if (!may_make(t) || n < 0 || (size_t)n > REPLY_OBJECTS_MAX - r->objects)
        return NULL;
    return r->make->createArray(t, n);
}

static redisReplyObjectFunctions bounded = {
    make_string, make_array, make_integer, make_nil, freeReplyObject,
};

/* ------------------------------------------------------------------------------------ the reader
 */

int reply_reader_init(struct reply_reader *r)
{
    *r = (struct reply_reader){.reader = redisReaderCreate()};
    if (!r->reader)
        return -ENOMEM;
    r->make = r->reader->fn;
    r->reader->fn = &bounded;
    r->reader->privdata = r;
    return 0;
}

void reply_reader_fini(struct reply_reader *r)
{
    if (r->reader)
        redisReaderFree(r->reader);
    *r = (struct reply_reader){.reader = NULL};
}

int reply_feed(struct reply_reader *r, const void *bytes, size_t n)
{
    if (n > REPLY_BYTES_MAX - r->bytes)
        return -EPROTO;
    r->bytes += n;
    if (redisReaderFeed(r->reader, bytes, n) == REDIS_OK)
        return 0;
    return r->reader->err == REDIS_ERR_OOM ? -ENOMEM : -EPROTO;
}

/* Nothing more can be read: is what is there the beginning of something that will end? */
static bool is_waiting_well(const redisReader *r)
{
    size_t n = r->len - r->pos, digits;
    const char *at = r->buf + r->pos;

    if (r->ridx < 0 || n == 0)
        return true;
    if (r->rstack[r->ridx].type != REDIS_REPLY_STRING)
        return n <= REPLY_LINE_MAX;
    for (digits = 0; digits < n && at[digits] != '\r'; digits++)
        if (digits == REPLY_NUMBER_MAX)
            return false;
    return true;
}

int reply_next(struct reply_reader *r, struct redisReply **ret)
{
    void *reply = NULL;

    if (redisReaderGetReply(r->reader, &reply) != REDIS_OK)
        return -EPROTO;
    if (!reply)
        return is_waiting_well(r->reader) ? 0 : -EPROTO;
    r->bytes = r->reader->len - r->reader->pos;
    r->objects = 0;
    *ret = reply;
    return 1;
}
