/* put.h - writing text into memory that has room for it.
 *
 * Why      An answer to a small message is a dozen of these; with snprintf() formatting took 4 % of
 * a pipelined publish. Thread   Any; pure. Each returns the byte after what it wrote. */
#ifndef BROKERD_DOORS_HTTP_PUT_H
#define BROKERD_DOORS_HTTP_PUT_H

#include "libbroker/base/slice.h"

static inline uint8_t *put(uint8_t *p, const char *s)
{
    size_t n = strlen(s);

    memcpy(p, s, n);
    return p + n;
}

static inline uint8_t *put_slice(uint8_t *p, struct slice s)
{
    if (s.n)
        memcpy(p, s.p, s.n);
    return p + s.n;
}

static inline uint8_t *put_number(uint8_t *p, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + n % 10);
    } while (n /= 10);
    return put_slice(p, slice_of(digits + at, sizeof digits - at));
}

#endif
