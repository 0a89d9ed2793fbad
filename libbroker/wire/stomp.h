/* stomp.h - STOMP 1.0, 1.1 and 1.2: frames read where they lie, and written.
 *
 * Why      One strict codec for the broker's door, the load generator's tests and the fuzzer.
 * Shape        COMMAND EOL  *( name ":" value EOL )  EOL  body  NUL
 *          EOL is LF, or CR LF in any version. With `content-length` the body has so many bytes,
 *          else it ends at the first NUL. Between frames EOLs may stand: stomp_skip().
 *          Names and values are escaped in 1.1 and 1.2, but never in CONNECT, STOMP and CONNECTED.
 *          A value may have further colons in any version, as clients send them.
 *          What a peer sends bit by bit is read again from its frame's beginning, which is short;
 *          but of a body without a length only what is new: struct stomp_reader remembers.
 * Owner    A frame's slices point into the bytes it was read from, or into the frame itself where
 *          an escape was taken out.
 * Errors   enum wire_status; the text says what is wrong, fit for a peer.
 * Thread   Any; pure. */
#ifndef BROKER_WIRE_STOMP_H
#define BROKER_WIRE_STOMP_H

#include "libbroker/base/headers.h"
#include "libbroker/wire/status.h"

enum stomp_version { STOMP_1_0, STOMP_1_1, STOMP_1_2 };

/* X(NAME): the word is the name. Those of clients first. */
#define STOMP_COMMANDS(X)                                                                          \
    X(CONNECT)                                                                                     \
    X(STOMP)                                                                                       \
    X(SEND)                                                                                        \
    X(SUBSCRIBE)                                                                                   \
    X(UNSUBSCRIBE)                                                                                 \
    X(ACK)                                                                                         \
    X(NACK)                                                                                        \
    X(BEGIN)                                                                                       \
    X(COMMIT)                                                                                      \
    X(ABORT)                                                                                       \
    X(DISCONNECT)                                                                                  \
    X(CONNECTED)                                                                                   \
    X(MESSAGE)                                                                                     \
    X(RECEIPT)                                                                                     \
    X(ERROR)

enum stomp_command {
    STOMP_UNKNOWN,
#define X(name) STOMP_##name,
    STOMP_COMMANDS(X)
#undef X
};

enum {
    STOMP_COMMAND_MAX = 16,    /* bytes of a command */
    STOMP_HEADERS_MAX = 128,   /* headers of a frame */
    STOMP_LINE_MAX = 8 * 1024, /* bytes of one of their lines */
    STOMP_HEAD_MAX = 32 * 1024 /* bytes of command and headers in all */
};

struct stomp_frame {
    enum stomp_command command;
    bool has_length; /* `content-length` was there */
    unsigned headers_n;
    struct slice word; /* the command as it was written */
    struct slice head; /* command and headers as they were read, with the
                        * empty line */
    struct slice body;
    struct header header[STOMP_HEADERS_MAX]; /* in their order; of equal names the first counts */
    uint8_t text[STOMP_HEAD_MAX];            /* those that had escapes, without them */
};

/* What is known of a frame of which more must come. All zero: nothing. */
struct stomp_reader {
    enum stomp_version version;
    uint64_t body_max; /* bytes of a body */
    size_t scanned;    /* of the frame at the front: so many bytes need not be looked at for NUL */
    size_t need;       /* bytes the frame has, if that is known; else 0 */
};

/* How many bytes at the front are EOLs between frames. */
size_t stomp_skip(struct slice in);

/* Read the frame at the front of `in`, which does not begin with an EOL. Until the frame is all
 * there, `r` belongs to it: r->need may be set. *ret_used: its bytes, with the NUL. */
enum wire_status stomp_decode(struct stomp_reader *r, struct slice in, struct stomp_frame *f,
                              size_t *ret_used, const char **reterr_why);

/* The value of the first header `name`; false, *ret unchanged, if there is none. */
bool stomp_find(const struct stomp_frame *f, struct slice name, struct slice *ret);

/* A decimal number without sign or blanks, at most 19 digits. */
bool stomp_number(struct slice text, uint64_t *ret);

/* The word of a command, "?" for STOMP_UNKNOWN. Static. */
const char *stomp_word(enum stomp_command c);

/* ---- Writing: at `p` with enough room; each returns the byte after. */

/* The most that `n` bytes become when escaped. */
static inline size_t stomp_escaped_max(size_t n)
{
    return 2 * n;
}

/* A name or value. What the version cannot write becomes a blank. */
uint8_t *stomp_put_text(uint8_t *p, enum stomp_version v, struct slice text);

/* "name:value\n", where the name is one of ours and needs no escapes. */
uint8_t *stomp_put_header(uint8_t *p, enum stomp_version v, struct slice name, struct slice value);

/* Bytes as they are. */
static inline uint8_t *stomp_put(uint8_t *p, struct slice s)
{
    if (s.n)
        memcpy(p, s.p, s.n);
    return p + s.n;
}

/* A decimal number, at most 20 bytes. */
uint8_t *stomp_put_number(uint8_t *p, uint64_t n);

#endif
