/* rate.h - how many messages a connection may publish: a bucket that fills by the second.
 *
 * Why      One limit for all doors, where all of them publish (core_publish).
 * Shape    The bucket holds one second's worth and is full at first; each message takes one.
 *          Nothing is asked where there is no limit: `per_s` 0.
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_RATE_H
#define BROKERD_CORE_RATE_H

#include <stdint.h>

struct rate {
    uint32_t per_s;   /* messages a second; 0: any number */
    uint64_t level;   /* thousandths of a message that may be published at once */
    int64_t at_ms;    /* when that was so */
    uint64_t untold;  /* messages refused that no event has told of */
    int64_t event_ms; /* when one did; 0: none has */
};

/* A full one, `now_ms`. */
static inline struct rate rate_begin(uint32_t per_s, int64_t now_ms)
{
    return (struct rate){.per_s = per_s, .level = (uint64_t)per_s * 1000, .at_ms = now_ms};
}

/* How many of `n` messages may be published; they are counted as such. `per_s` is not 0. */
static inline uint32_t rate_take(struct rate *r, uint32_t n, int64_t now_ms)
{
    uint64_t whole = (uint64_t)r->per_s * 1000;
    uint64_t past = now_ms > r->at_ms ? (uint64_t)(now_ms - r->at_ms) : 0;

    r->at_ms = now_ms;
    r->level =
        past >= 1000 || r->level + past * r->per_s > whole ? whole : r->level + past * r->per_s;
    if (n > r->level / 1000)
        n = (uint32_t)(r->level / 1000);
    r->level -= (uint64_t)n * 1000;
    return n;
}

#endif
