/* places.h - where each message of a queue lies, by its number.
 *
 * Why      A queue of ten million messages must not need their size in memory, and what was settled
 *          out of order must need none at all.
 * Shape    16 bytes a message, in pages of 256 numbers that are made when one of them is put there
 *          and freed when the last one leaves; the pages by rising number in an array, searched by
 *          halves. Puts at the end, the common case, and walks do not search.
 *          A message waits, or is *past*: settled, and retained for a while. When that was settled
 *          is told in the bits that count deliveries of one that waits: in units of a page's own,
 *          from a time of its own on. A unit is 1 ms, or what it takes for the page to tell its
 *          earliest from its latest: their distance / 16,384 at most, and then a time is told too
 *          late by 2 units at most, never too early.
 * Owner    places_fini() frees all. A place is valid until the next change.
 * Errors   -ENOMEM, nothing changed.
 * Thread   One at a time. */
#ifndef BROKERD_STORE_JOURNAL_PLACES_H
#define BROKERD_STORE_JOURNAL_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct place {
    uint32_t segment;       /* 0: there is no such message */
    uint32_t offset;        /* of its put, in the segment's file */
    uint32_t size : 31;     /* of the put */
    uint32_t is_past : 1;   /* it was settled, and is retained */
    uint32_t overhead : 17; /* of that, what is not payload */
    uint32_t attempts : 15; /* deliveries that are known of; PLACES_ATTEMPTS_MAX: or more. Past:
                             * when it was settled, see places_gone_ms() */
};

enum { PLACES_A_PAGE = 256, PLACES_ATTEMPTS_MAX = (1 << 15) - 1 };

struct places_page {
    uint64_t first; /* number of the first place: a multiple of PLACES_A_PAGE */
    uint16_t n;     /* of them there are */
    uint16_t past;  /* of those, are past */
    uint8_t unit;   /* times are told in 1 << unit ms */
    int64_t since;  /* from here on; none is earlier */
    struct place place[PLACES_A_PAGE];
};

struct places {
    struct places_page **memory; /* of cap; the pages begin somewhere in it, for most leave there */
    struct places_page **page;
    size_t pages_n, cap;
    uint64_t n, past; /* messages; of those, are past */
};

void places_fini(struct places *ps);

/* Where `seq` lies; NULL if it is not there. */
struct place *places_find(const struct places *ps, uint64_t seq);

/* Note where `seq` lies, in the place of what was noted before, which must not be past. */
int places_put(struct places *ps, uint64_t seq, const struct place *p);

/* So that places_put() of `seq` does not fail, whatever is put or dropped before. */
int places_reserve(struct places *ps, uint64_t seq);

/* It is gone; it must be there. */
void places_drop(struct places *ps, uint64_t seq);

/* The first one from *seq on, whose number *seq becomes; NULL: there is none. */
struct place *places_next(const struct places *ps, uint64_t *seq);

/* The same, of those that wait only. */
struct place *places_next_waiting(const struct places *ps, uint64_t *seq);

/* The same, of those only that are past, settled before that time. */
struct place *places_next_past(const struct places *ps, uint64_t *seq, int64_t before_ms);

/* It is past, settled then; it waits again, without attempts. It must be there. */
void places_retain(struct places *ps, uint64_t seq, int64_t gone_ms);
void places_revive(struct places *ps, uint64_t seq);

/* When one that is past was settled, and within which time that is exact. */
int64_t places_gone_ms(const struct places *ps, uint64_t seq, int64_t *ret_within);

#endif
