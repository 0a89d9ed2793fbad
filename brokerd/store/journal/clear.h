/* clear.h - what a segment has of use, to be written again before its file goes.
 *
 * Shape    A walk through its batches, step by step. All that one step writes must go into one
 *          batch, in that order: first the settlements, those of the old copies among them,
 *          then the new copies of messages, and how often they were delivered. So whatever of it
 *          is on disk when the machine dies, of each message there is one copy that counts.
 *          Settlements get fewer on the way: one may well say of what is not there any more, or
 *          never was, that it is settled, so one range does for all between two messages that stay.
 *          What says that messages are retained, or wait again, is not copied, for something newer
 *          may say otherwise: it is told anew how they stand.
 * Owner    Records are borrowed for the call.
 * Errors   -ENOMEM; what `write` says. Either ends the walk.
 * Thread   The store's. */
#ifndef BROKERD_STORE_JOURNAL_CLEAR_H
#define BROKERD_STORE_JOURNAL_CLEAR_H

#include "brokerd/store/journal/catalog.h"

/* Write a record. One of kind RECORD_RETURNED with segment 0 means the segment it is written to. */
typedef int clear_write_fn(void *ctx, const struct record *r);

struct clear {
    const struct catalog *catalog;
    uint64_t journal;
    uint32_t segment;
    struct slice bytes; /* of it, as far as they count */
    uint64_t offset;    /* where to go on: SEGMENT_HEAD at first */
    clear_write_fn *write;
    void *ctx;
};

/* Go on for `most` bytes, and to the end of a batch; what is written is about that much at most. 1:
 * there is more; 0: that was all. What was written must have been applied to the catalog before
 * anything else is settled. */
int clear_step(struct clear *w, uint64_t most);

#endif
