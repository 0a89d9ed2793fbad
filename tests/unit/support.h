/* support.h - what unit tests of codecs share: hex, a seeded random source, a main.
 *
 * Random  Every test program takes its seed from BROKER_SEED, or makes one up; a failure prints
 *         it (expect()), so that any run can be had again.
 * Memory  exact() copies bytes into a heap block of their very size: with the address sanitizer
 *         a decoder that reads one byte too far is caught.
 * Thread  One. */
#ifndef BROKER_TESTS_UNIT_SUPPORT_H
#define BROKER_TESTS_UNIT_SUPPORT_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libbroker/base/slice.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

struct seeded {
    uint64_t seed, state;
};

/* BROKER_SEED, or one made up from the clock. */
static inline struct seeded seeded_start(void)
{
    const char *env = getenv("BROKER_SEED");
    struct timespec now;
    uint64_t seed;

    clock_gettime(CLOCK_MONOTONIC, &now);
    seed =
        env ? strtoull(env, NULL, 0) : (uint64_t)now.tv_sec * 1000000007U + (uint64_t)now.tv_nsec;
    return (struct seeded){seed, seed};
}

/* The next random number below `limit` (at least 1): splitmix64. */
static inline uint64_t seeded_below(struct seeded *s, uint64_t limit)
{
    uint64_t z = s->state += 0x9e3779b97f4a7c15U;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return (z ^ z >> 31) % limit;
}

/* Fill `n` bytes. */
static inline void seeded_fill(struct seeded *s, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)seeded_below(s, 256);
}

/* Fail the test, naming the seed, unless `condition` holds. An assertion of Check is a system call,
 * and this is called millions of times. */
#define expect(s, condition)                                                                       \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("%s; BROKER_SEED=%llu", #condition, (unsigned long long)(s)->seed);       \
    } while (0)

/* The bytes that `text` spells in hex, blanks ignored, in a block of their exact size; the
 * caller frees .p, which is never NULL. */
static inline struct slice hex(const char *text)
{
    uint8_t *p = malloc(strlen(text) / 2 + 1);
    unsigned int byte;
    size_t n = 0;
    int used;

    while (sscanf(text, " %2x%n", &byte, &used) == 1) {
        p[n++] = (uint8_t)byte;
        text += used;
    }
    return slice_of(realloc(p, n ? n : 1), n);
}

/* A copy of `s` in a block of its exact size; the caller frees .p, which is never NULL. */
static inline struct slice exact(struct slice s)
{
    uint8_t *p = malloc(s.n ? s.n : 1);

    if (s.n)
        memcpy(p, s.p, s.n);
    return slice_of(p, s.n);
}

/* Is `part` empty or wholly inside `whole`? */
static inline bool inside(struct slice part, struct slice whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

/* Run one suite; the status for main to return. */
static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
