/* start.h - a journal as the last broker left it becomes one that can be written to.
 *
 * Why      What recovery reads (recover.h) has to be made good before anything is served: what is
 *          torn goes, what is damaged is kept aside, and the last batch is written once more, for
 *          the page cache may show what a disk that failed to sync it does not have.
 * Shape    In this order, each step such that dying behind it costs nothing, and all of it can be
 *          done again:
 *              1  recover: nothing is changed; damage, a later version, mixed files end it here
 *              2  damaged segments and what is no segment any more: linked into damaged/
 *              3  files without any content removed, segments cut at their end
 *              4  a new segment begun, the last batch written there again, synced
 *              5  what damaged segments still have of use written there too, and they removed: a
 *                 damage that was accepted once is not met again at the next start
 * Owner    Catalog and log are the caller's, the catalog initialised; good for nothing after an
 *          error.
 * Errors   -errno, with a text for people.
 * Thread   The caller's; it blocks as long as reading everything takes. */
#ifndef BROKERD_STORE_JOURNAL_START_H
#define BROKERD_STORE_JOURNAL_START_H

#include "brokerd/store/journal/files.h"
#include "brokerd/store/journal/log.h"

struct start {
    const struct files *files;
    struct catalog *catalog; /* knows a segment's size, and the limit */
    struct log *log;         /* at the end: of the new segment */
    bool accept_damage;
};

int journal_begin(const struct start *s, struct recovery *ret, char *text, size_t text_n);

#endif
