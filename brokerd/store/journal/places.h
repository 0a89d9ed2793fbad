/* places.h - where each message of a queue lies, by its number.
 *
 * Why      A queue of ten million messages must not need their size in memory, and what was settled
 *          out of order must need none at all.
 * Shape    16 bytes a message, in pages of 256 numbers that are made when one of them is put there
 *          and freed when the last one leaves; the pages by rising number in an array, searched by
 *          halves. Puts at the end, the common case, and walks do not search.
 * Owner    places_fini() frees all. A place is valid until the next change.
 * Errors   -ENOMEM, nothing changed.
 * Thread   One at a time. */
#ifndef BROKERD_STORE_JOURNAL_PLACES_H
#define BROKERD_STORE_JOURNAL_PLACES_H

#include <stddef.h>
#include <stdint.h>

struct place {
    uint32_t segment;       /* 0: there is no such message */
    uint32_t offset;        /* of its put, in the segment's file */
    uint32_t size;          /* of the put */
    uint32_t overhead : 17; /* of that, what is not payload */
    uint32_t attempts : 15; /* deliveries that are known of; PLACES_ATTEMPTS_MAX: or more */
};

enum { PLACES_A_PAGE = 256, PLACES_ATTEMPTS_MAX = (1 << 15) - 1 };

struct places_page {
    uint64_t first; /* number of the first place: a multiple of PLACES_A_PAGE */
    uint32_t n;     /* of them there are */
    struct place place[PLACES_A_PAGE];
};

struct places {
    struct places_page **memory; /* of cap; the pages begin somewhere in it, for most leave there */
    struct places_page **page;
    size_t pages_n, cap;
    uint64_t n;
};

void places_fini(struct places *ps);

/* Where `seq` lies; NULL if it is not there. */
struct place *places_find(const struct places *ps, uint64_t seq);

/* Note where `seq` lies, in the place of what was noted before. */
int places_put(struct places *ps, uint64_t seq, const struct place *p);

/* So that places_put() of `seq` does not fail, whatever is put or dropped before. */
int places_reserve(struct places *ps, uint64_t seq);

/* It is gone; it must be there. */
void places_drop(struct places *ps, uint64_t seq);

/* The first one from *seq on, whose number *seq becomes; NULL: there is none. */
struct place *places_next(const struct places *ps, uint64_t *seq);

#endif
