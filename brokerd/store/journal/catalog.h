/* catalog.h - what a journal has: its queues, where their messages lie, and what that leaves of use
 *             in each segment.
 *
 * Why      Recovery and the running store must come to the same picture of the same records: so it
 *          is made by one function, catalog_apply(), called for each record once it is on disk,
 *          whether it was just written or found there.
 * Shape    Queues by number. What a record means:
 *              put       the message is there. One that is there already: the former copy is of no
 *                        use (after damage only: who moves a message settles the old copy, in
 *                        the same batch and before the new one)
 *              settled   those of the range whose put is in that segment are gone: so a
 *                        settlement never hits a copy elsewhere
 *              retained  the same, but they are kept, and known to be past, since that time
 *              rewound   those of the range in that segment wait again, but for what was past
 *                        already at that time: its time was over
 *              returned  it has been delivered so often, and is due then
 *              queue     name, bindings, settings; the least number of its next message
 *              gone      the queue is not there any more; the record is of use until the segments
 *                        are gone that may have records of the queue
 *          What is past stays until it is settled again, or catalog_expire() says that its time is
 *          over: there is no record of that, for the time it was settled at is known.
 *          A record of a queue that nobody defined (its definition was damaged) makes one without a
 *          name: its messages are kept.
 * Owner    catalog_fini() frees all.
 * Errors   -ENOMEM: a part of the record may have been applied: the catalog is good for nothing
 *          more. -EPROTO: the record makes no sense.
 * Thread   The store's, or recovery's. */
#ifndef BROKERD_STORE_JOURNAL_CATALOG_H
#define BROKERD_STORE_JOURNAL_CATALOG_H

#include "brokerd/core/index.h"
#include "brokerd/store/journal/format.h"
#include "brokerd/store/journal/places.h"
#include "brokerd/store/journal/segments.h"

struct store_queue;

/* A message that came back, to be delivered again not before its time. */
struct delayed {
    uint64_t seq;
    int64_t due_ms; /* wall clock */
};

struct stored_queue {
    uint32_t number;
    bool gone;                /* its messages are; this is for its record, while that is of use */
    uint32_t first;           /* segment of its first record */
    uint32_t last;            /* gone: of its last one */
    uint32_t defined;         /* segment of its newest definition, or of its end; 0: none */
    uint32_t def_size;        /* of that */
    uint64_t next;            /* number of the next message */
    uint64_t writing;         /* log.h: the last batch that has its definition */
    struct store_queue *open; /* the running store's: who has it open; NULL: nobody */
    uint64_t bytes;           /* of puts */
    uint64_t payload;         /* of messages that wait, themselves */
    uint64_t past_payload;    /* of those that are past */
    int64_t retain_ms;        /* the running store's: for so long; INT64_MAX: for ever */
    uint64_t returned;        /* messages that were delivered before, or are delayed */
    struct places places;
    struct index delayed; /* struct delayed, by seq */
    uint8_t *definition;  /* name, filters, wishes; NULL: lost */
    uint32_t name_n, filters_n, wishes_n;
};

struct catalog {
    struct index queues; /* struct stored_queue, by number */
    uint32_t next_queue; /* number of the next one */
    uint64_t past;       /* messages that are settled and retained, of all queues */
    struct segments segments;
    uint64_t superseded; /* puts of what was there already: 0 but for damage */
    uint64_t strays;     /* records of queues nobody defined: the same */
};

void catalog_init(struct catalog *c, uint64_t segment_bytes, uint64_t disk_max);
void catalog_fini(struct catalog *c);

/* NULL: there is none. */
struct stored_queue *catalog_queue(const struct catalog *c, uint32_t number);

/* All of them, in no order: *at is 0 at first. NULL: no more. */
struct stored_queue *catalog_next(const struct catalog *c, size_t *at);

/* Deliveries as a place can tell them. */
static inline uint32_t catalog_attempts(const struct record *r)
{
    return r->attempts < PLACES_ATTEMPTS_MAX ? r->attempts : PLACES_ATTEMPTS_MAX;
}

/* When the message is due, wall clock; 0: at once. */
int64_t catalog_due(const struct stored_queue *q, uint64_t seq);

/* A record is at that place, on disk. */
int catalog_apply(struct catalog *c, const struct record *r, uint32_t segment, uint32_t offset);

/* What defines the queue (or says that it is gone) as it is now; false: its definition was lost.
 * Borrows from it. */
bool catalog_definition(const struct stored_queue *q, struct record *ret);

/* Is the record, at that place, of use: has it to be written again before its segment goes? */
bool catalog_needs(const struct catalog *c, const struct record *r, uint32_t segment,
                   uint32_t offset);

/* Messages that were settled before that time are not retained any more, `most` of them at most.
 * Returns how many. */
uint64_t catalog_expire(struct catalog *c, struct stored_queue *q, int64_t before_ms,
                        uint64_t most);

/* What a message that is there was once it was put, as a record about that segment (0: the one that
 * is written to): returned, or retained. False: nothing. */
bool catalog_state(const struct stored_queue *q, uint64_t seq, uint32_t segment,
                   struct record *ret);

/* A segment's file is gone; nothing in it was of use. */
void catalog_drop_segment(struct catalog *c, uint32_t number);

/* Forget queues that are gone, as far as only segment `number` (0: none) has records of them. */
void catalog_forget_gone(struct catalog *c, uint32_t number);

#endif
