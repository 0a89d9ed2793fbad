#include "libbroker/base/hash.h"

/* SipHash (Aumasson, Bernstein: "SipHash: a fast short-input PRF") with one round per word and
 * three at the end: enough that collisions cannot be aimed for, and it costs a few ns for the
 * names seen here. Its 128-bit key is the seed and a number made of it: what an attacker has to
 * guess is the seed. */

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 = rotate(s->v0, 32) + s->v3;
    s->v2 += s->v1;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

/* The machine's byte order will do: a hash never leaves the process. */
static inline uint64_t load(const uint8_t *p, size_t n)
{
    uint64_t word = 0;

    memcpy(&word, p, n);
    return word;
}

uint64_t hash_bytes(uint64_t seed, struct slice in)
{
    uint64_t k0 = seed, k1 = hash_pair(seed, ~seed, 1);
    struct sip s = {
        k0 ^ UINT64_C(0x736f6d6570736575),
        k1 ^ UINT64_C(0x646f72616e646f6d),
        k0 ^ UINT64_C(0x6c7967656e657261),
        k1 ^ UINT64_C(0x7465646279746573),
    };
    size_t i = 0;

    for (; i + 8 <= in.n; i += 8)
        sip_word(&s, load(in.p + i, 8));
    sip_word(&s, (uint64_t)in.n << 56 | (i < in.n ? load(in.p + i, in.n - i) : 0));
    s.v2 ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
