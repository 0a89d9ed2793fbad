/* awaited.h - whether the journal has answered all that a worker asked it so far.
 *
 * Why      A simulation takes answers all at once, or its seed would not replay: which have come by
 *          then is a matter of chance. The table cannot tell, for it counts what was taken, and a
 *          settlement may wait for company.
 * Thread   The worker's. */
#ifndef TESTS_SIM_MAKES_AWAITED_H
#define TESTS_SIM_MAKES_AWAITED_H

#include "brokerd/core/store.h"

/* Of a journal's store; zeroed with it. */
struct awaited {
    uint64_t sent, upto; /* parcels so far; up to the last one with more than settlements */
};

/* Its flush() is about to be called. */
void awaited_flush(struct awaited *a, const struct store *store);

/* Is an answer on its way? Settlements behind all else are not waited for. */
bool awaited_any(const struct awaited *a, const struct store *store);
/* Was any not taken yet? */
bool awaited_untaken(const struct awaited *a, const struct store *store);

#endif
