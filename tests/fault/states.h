/* states.h - what a disk may hold after a power failure, made of a trace.
 *
 * Why      A sync is the only promise a disk makes. Of all else that was written before the power
 *          went, any part may be there: nothing, all, some sectors, the later without the earlier.
 * Shape    A state is a point in the trace and a seed. Made durable are: of each file what was
 *          written before its last completed sync began; of names what was done before the last
 *          completed sync of their folder began. For each later write (or change of size, or of
 *          names) the seed decides: it is there, it is not, its first bytes are, some of its
 *          sectors of 512 bytes are. One seed in four takes all alike (all there, none, up to
 *          some point in time), for that is what disks mostly do.
 * Owner    state_make() fills a folder, which must be empty.
 * Errors   -errno.
 * Thread   Any. */
#ifndef BROKER_TESTS_FAULT_STATES_H
#define BROKER_TESTS_FAULT_STATES_H

#include "tests/fault/trace.h"

/* What is known of a state, to say where a violation was found. */
struct state {
    size_t cut;                  /* the first `cut` entries of the trace have happened */
    uint64_t seed;               /* what of the unsynced is there */
    size_t unsynced, kept, torn; /* writes: in all; of them whole; in part */
};

/* Fill `dir` with what it may hold. `base` is a folder whose files were there, durable, before the
 * trace began; NULL: there were none. */
int state_make(const struct trace *t, struct state *s, const char *base, const char *dir);

/* Remove all files of `dir`, and of folders below it. */
int state_clear(const char *dir);

#endif
