/* utf8.h - is this text?
 *
 * Why      Names, header names and header values travel between protocols and end up in logs
 *          and terminals: what is not UTF-8, or carries control characters, is refused where
 *          it enters.
 * Thread   Any; pure. */
#ifndef BROKER_BASE_UTF8_H
#define BROKER_BASE_UTF8_H

#include "libbroker/base/slice.h"

/* True if `s` is well-formed UTF-8 (no overlong form, no surrogate, nothing above U+10FFFF).
 * The empty slice is. */
bool utf8_valid(struct slice s);

/* Text that comes in pieces; zero at its beginning. */
struct utf8 {
    uint32_t rune;   /* of a character that is not whole: its bits so far */
    uint8_t have, n; /* bytes of it that were there, and all it has; 0: none is open */
    bool is_bad;
};

/* The next piece. False as soon as no piece can make it well-formed any more. */
bool utf8_more(struct utf8 *u, struct slice s);

/* True if all pieces together are well-formed, the last character whole. */
static inline bool utf8_whole(const struct utf8 *u)
{
    return !u->is_bad && u->n == 0;
}

/* True if `s` is well-formed UTF-8 without control characters (U+0000..U+001F,
 * U+007F..U+009F). The empty slice is. */
bool utf8_printable(struct slice s);

#endif
