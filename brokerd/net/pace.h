/* pace.h - how much of a connection is read at once.
 *
 * Why      What a read brings is dealt with before anybody else has a turn. 256 KiB for one
 * consumer take a millisecond or two; for 1,000 of them 115, and that long nothing moves for
 * others. Shape    Reads are of the whole block at first. One that filled what it might take and
 * then took PACE_SLOW_NS or more halves those that follow; one that took less than PACE_QUICK_NS
 *          doubles them again.
 * Thread   Any; plain values. */
#ifndef BROKERD_NET_PACE_H
#define BROKERD_NET_PACE_H

#include <stddef.h>
#include <stdint.h>

enum {
    PACE_SLOW_NS = 30 * 1000 * 1000,
    PACE_QUICK_NS = 10 * 1000 * 1000, /* less than half of slow: it does not go to and fro */
    PACE_HALVINGS = 5
};

/* Bytes to read into a block of `size` after so many halvings. */
static inline size_t pace_bytes(uint8_t halvings, size_t size)
{
    return size >> halvings;
}

/* The halvings after a full read that took so long to deal with. */
static inline uint8_t pace_after(uint8_t halvings, int64_t took_ns)
{
    if (took_ns >= PACE_SLOW_NS && halvings < PACE_HALVINGS)
        return (uint8_t)(halvings + 1);
    if (took_ns < PACE_QUICK_NS && halvings > 0)
        return (uint8_t)(halvings - 1);
    return halvings;
}

#endif
