/* slice.h - a borrowed piece of memory: where it starts and how long it is.
 *
 * Owner    Nobody here: a slice never frees. Whoever hands one out says how long it lives.
 * Thread   Any. */
#ifndef BROKER_BASE_SLICE_H
#define BROKER_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *p; /* may be NULL when n is 0 */
    size_t n;         /* bytes */
};

/* A slice of a string literal, without its terminator. */
#define SLICE(literal) ((struct slice){(const uint8_t *)(literal), sizeof(literal) - 1})

static inline struct slice slice_of(const void *p, size_t n)
{
    return (struct slice){(const uint8_t *)p, n};
}

/* The bytes of a C string, without its terminator; `s` must not be NULL. */
static inline struct slice slice_str(const char *s)
{
    return slice_of(s, strlen(s));
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_starts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

/* What is left of `s` after its first `n` bytes; `n` must be at most s.n. */
static inline struct slice slice_from(struct slice s, size_t n)
{
    return (struct slice){s.p + n, s.n - n};
}

#endif
