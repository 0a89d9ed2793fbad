/* hash.h - keyed hashes: whoever does not know the seed cannot aim for collisions.
 *
 * Thread   Any: pure functions. */
#ifndef BROKER_BASE_HASH_H
#define BROKER_BASE_HASH_H

#include "libbroker/base/slice.h"

/* Hash of bytes that a peer may have chosen (SipHash-1-3, its key drawn from `seed`). */
uint64_t hash_bytes(uint64_t seed, struct slice s);

/* Hash of two numbers that no peer chooses, such as addresses: fast, not for names. */
static inline uint64_t hash_pair(uint64_t seed, uint64_t a, uint64_t b)
{
    uint64_t x = (a ^ seed) * UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 32 ^ b) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 29;
}

#endif
