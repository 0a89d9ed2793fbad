/* http_chunks.h - a body in chunks (RFC 9112, section 7.1), taken apart as it comes.
 *
 * Why      The length of such a body is known only at its end; and one who reads its framing in
 *          another way than the one in front of him can be made to see a request where there is
 *          data. So nothing but the grammar itself is accepted.
 * Shape    A step gives a piece of the body, as far as it lies in the bytes at hand. Extensions of
 * a chunk and fields after the last one are looked through and left out. Owner    Pieces are of the
 * bytes that were given. Thread   Any; pure. */
#ifndef BROKER_WIRE_HTTP_CHUNKS_H
#define BROKER_WIRE_HTTP_CHUNKS_H

#include "libbroker/base/slice.h"
#include "libbroker/wire/status.h"

enum { HTTP_CHUNK_LINE_MAX = 1024, HTTP_TRAILER_MAX = 8192 };

/* Zero at the beginning of a body. */
struct http_chunks {
    uint64_t left;    /* bytes of the chunk at hand that are to come */
    uint32_t trailer; /* bytes of the fields after the last chunk */
    uint8_t at;
    bool done; /* all of it has come */
};

/* The next piece, *ret (of a chunk; WIRE_FRAME), with *ret_used bytes of `in` to be consumed; *ret
 * is empty where there was only framing, or the end: then s->done. WIRE_MORE: nothing is used.
 * WIRE_BAD: *ret_why (static). */
enum wire_status http_chunks_next(struct http_chunks *s, struct slice in, struct slice *ret,
                                  size_t *ret_used, const char **ret_why);

/* The last `n` bytes of the piece given last are not consumed: they come again. */
static inline void http_chunks_back(struct http_chunks *s, size_t n)
{
    if (n) {
        s->left += n;
        s->at = 1;
    }
}

#endif
