/* stamp.h - the time a message was written, in the first bytes of its payload.
 *
 * Shape    Hexadecimal digits of nanoseconds: some protocols are of text. Fifteen of them last for
 *          36 years. The payloads of greetings are zero, and have no time. */
#ifndef TESTS_BENCH_LOAD_STAMP_H
#define TESTS_BENCH_LOAD_STAMP_H

#include <stddef.h>
#include <stdint.h>

enum { STAMP_SIZE = 15 };

static inline void stamp_put(uint8_t *payload, uint64_t ns)
{
    for (int i = STAMP_SIZE; i-- > 0; ns >>= 4)
        payload[i] = (uint8_t)("0123456789abcdef"[ns & 15]);
}

/* 0 if there is none. */
static inline uint64_t stamp_get(const uint8_t *payload)
{
    uint64_t ns = 0;

    if (payload[0] == 0)
        return 0;
    for (int i = 0; i < STAMP_SIZE; i++)
        ns = ns << 4 | (uint64_t)(payload[i] <= '9' ? payload[i] - '0' : payload[i] - 'a' + 10);
    return ns;
}

#endif
