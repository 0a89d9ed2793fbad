/* explain.h - why a journal cannot be used, in words for whoever has to do something about it.
 *
 * Why      The broker that does not start and `broker store check` must say the same.
 * Errors   None: what does not fit is cut off.
 * Thread   Any: pure functions. */
#ifndef BROKERD_STORE_JOURNAL_EXPLAIN_H
#define BROKERD_STORE_JOURNAL_EXPLAIN_H

#include "brokerd/store/journal/recover.h"

enum { EXPLAIN_MAX = 1024 };

/* Opening the directory failed with `status`; -EBUSY: `pid` has it (0: who only looks). */
void explain_open(const char *path, int status, long pid, char *to, size_t n);

/* journal_recover() failed with `status`, having told `r`. */
void explain_recovery(const char *path, int status, const struct recovery *r, char *to, size_t n);

/* One place, as "0000000003.seg, bytes 4096 to 8192: 2 batches lost". */
void explain_damage(const struct damage *d, char *to, size_t n);

#endif
