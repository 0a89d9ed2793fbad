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

static inline uint64_t le_16(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8;
}

static inline uint64_t le_32(const uint8_t *p)
{
    return le_16(p) | le_16(p + 2) << 16;
}

/* The last bytes, fewer than eight: at both ends of them, which overlap. A memcpy() of a size that
 * is not known is a call, and took as long as the rest for names of a few bytes. */
static inline uint64_t last_bytes(const uint8_t *p, size_t n)
{
    if (n >= 4)
        return le_32(p) | le_32(p + n - 4) << (8 * (n - 4));
    if (n >= 2)
        return le_16(p) | le_16(p + n - 2) << (8 * (n - 2));
    return n ? *p : 0;
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
        sip_word(&s, le_32(in.p + i) | le_32(in.p + i + 4) << 32);
    sip_word(&s, (uint64_t)in.n << 56 | (i < in.n ? last_bytes(in.p + i, in.n - i) : 0));
    s.v2 ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
