/* units.h - sizes, times and counts as people write them: "64MiB", "30s", "10000", "never".
 *
 * Why      Settings, `$key` headers and the CLI read the same words for the same numbers.
 * Shape    A number is decimal digits, then perhaps a unit, nothing between them and nothing
 *          around. Sizes: B, KiB, MiB, GiB, or none for bytes. Times: ms, s, m, h, d; a unit is
 *          needed unless the caller allows plain milliseconds. 0 is an error unless allowed.
 * Owner    Text is borrowed for the call.
 * Errors   0; -EINVAL not such a number, or one that is not allowed; -ERANGE too large to be
 *          represented, or above UNITS_TIME_MAX. *ret is untouched on error.
 * Thread   Any: pure functions. */
#ifndef BROKER_BASE_UNITS_H
#define BROKER_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "libbroker/base/slice.h"

/* What stands for no limit: `unlimited` or `never`, each where UNITS_NO_LIMIT allows it. */
#define UNITS_UNLIMITED UINT64_MAX
#define UNITS_NEVER INT64_MAX

/* The longest time, ms: a thousand years. So that sums with any clock have room. */
#define UNITS_TIME_MAX (INT64_C(365000) * 24 * 3600 * 1000)

enum {
    UNITS_ZERO = 1,     /* 0 is allowed */
    UNITS_NO_LIMIT = 2, /* `unlimited` and `never` are allowed, and mean the same */
    UNITS_PLAIN_MS = 4, /* a time without a unit is milliseconds */
};

enum { UNITS_TEXT_MAX = 32 }; /* what any of the formats below needs, terminator included */

/* A size in bytes; UNITS_UNLIMITED for no limit. `flags` of UNITS_. */
int units_parse_size(struct slice text, unsigned flags, uint64_t *ret_bytes);

/* A time in milliseconds, at most UNITS_TIME_MAX; UNITS_NEVER for no limit. `flags` of UNITS_. */
int units_parse_time(struct slice text, unsigned flags, int64_t *ret_ms);

/* A count; UNITS_UNLIMITED for no limit. `flags` of UNITS_. */
int units_parse_count(struct slice text, unsigned flags, uint64_t *ret_count);

/* The inverse: the largest unit that divides evenly ("64MiB", "1500ms", "unlimited"). Writes at
 * most `size` bytes, terminator included, and returns `buf`. Times that are "no limit" are
 * written `never`. */
const char *units_format_size(uint64_t bytes, char *buf, size_t size);
const char *units_format_time(int64_t ms, char *buf, size_t size);
const char *units_format_count(uint64_t count, char *buf, size_t size);

#endif
