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

/* True if `s` is well-formed UTF-8 without control characters (U+0000..U+001F,
 * U+007F..U+009F). The empty slice is. */
bool utf8_printable(struct slice s);

#endif
