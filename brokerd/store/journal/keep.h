/* keep.h - segments under a second name: those that are damaged, for people; and all of them as
 *          they are at one moment, for a backup.
 *
 * Why      A closed segment is never written to again. So a hard link is a copy of it that costs
 *          nothing, and stays when the journal has no more use for the segment.
 * Shape    path/damaged/   0000000003.seg ..: until somebody removes them
 *          path/snapshot/  the same names: until they have been copied, or the broker starts
 *          Where there are no hard links, bytes are copied.
 * Errors   0 or -errno.
 * Thread   As files.h. */
#ifndef BROKERD_STORE_JOURNAL_KEEP_H
#define BROKERD_STORE_JOURNAL_KEEP_H

#include "brokerd/store/journal/files.h"

/* A segment is in damaged/, synced. One that is there already is not kept twice. */
int keep_damaged(const struct files *f, uint32_t number);

/* All segments but `but`, which is open, are in snapshot/; what was there before is not. Others may
 * be removed meanwhile: those had nothing of use. */
int keep_snapshot(const struct files *f, uint32_t but);

/* There is no snapshot/ any more; 0, too, if there was none. */
int keep_no_snapshot(const struct files *f);

#endif
