/* format.h - the journal's bytes: segments, batches and records, made and read back.
 *
 * Why      What is on disk outlives the program that wrote it, and the disk may have changed it:
 *          one strict codec, without any I/O, for the writer, recovery, `broker store check`, tests
 *          and the fuzzer.
 * Shape    All numbers are big-endian; everything begins at a multiple of 8.
 *              segment  header (64 bytes), batches one after the other, then zeros or nothing
 *              batch    header (56 bytes), then records; all of them count, or none does
 *              record   kind, a few numbers, then bytes, filled up with zeros to a multiple of 8
 *          A batch says where it stands (journal, segment, offset) and has a check over that and
 *          one over its records: bytes of another journal, of elsewhere in this one, or inside of
 *          a message are never taken for a batch. A put has a check of its own besides, so that
 *          one message can be read without the batch it is in.
 * Owner    What is read points into the bytes it was read from.
 * Errors   false, or a status; nothing is ever read beyond the bytes given.
 * Thread   Any: pure functions. */
#ifndef BROKERD_STORE_JOURNAL_FORMAT_H
#define BROKERD_STORE_JOURNAL_FORMAT_H

#include "libbroker/base/slice.h"

enum {
    FORMAT_VERSION = 1,
    SEGMENT_HEAD = 64,
    BATCH_HEAD = 56,
    PUT_HEAD = 56,
    SETTLED_SIZE = 32, /* what a put reserves for its ack */
    RETURNED_SIZE = 40,
    GONE_SIZE = 24,
    QUEUE_HEAD = 32,
    SEGMENTS_HEAD = 16,
    RANGE_SIZE = 8,              /* of one of its ranges */
    BATCH_RECORDS_MAX = 1 << 30, /* bytes of them: a segment stays below 4 GiB */
};

#define FORMAT_TIME_MAX ((INT64_C(1) << 48) - 1)

/* The bytes that `n` take, filled up. */
static inline uint64_t format_padded(uint64_t n)
{
    return (n + 7) & ~UINT64_C(7);
}

/* -------------------------------------------------------------------------------- segments */

struct segment_head {
    uint64_t journal;      /* the same in all of one journal; drawn at random, never 0 */
    uint32_t number;       /* from 1, rising; as in the file's name */
    uint32_t previous;     /* the number before, 0: there was none */
    uint32_t previous_end; /* so many bytes of that one count: what follows was never confirmed */
    uint64_t batch;        /* the number of the first batch here */
    int64_t made_ms;       /* wall clock */
    uint32_t version;      /* decoded: of the format; the rest is 0 for SEGMENT_NEWER */
};

enum segment_status {
    SEGMENT_OK,
    SEGMENT_BLANK, /* zeros, or too few bytes: never used */
    SEGMENT_NEWER, /* intact, of a format version that this program does not know */
    SEGMENT_BAD,
};

void segment_encode(const struct segment_head *h, uint8_t *to); /* SEGMENT_HEAD bytes */
enum segment_status segment_decode(struct slice bytes, struct segment_head *ret);

/* --------------------------------------------------------------------------------- batches */

struct batch_head {
    uint64_t journal;
    uint64_t number;          /* one more than the batch before, all segments' */
    uint32_t segment, offset; /* where the head stands */
    uint32_t records_n;       /* 0: a seal. It says that all before it was confirmed */
};

/* Make the head of a batch, whose records are `records`. */
void batch_encode(const struct batch_head *h, struct slice records, uint8_t *to);

/* The journal that bytes at `offset` of a segment are of, if they are an intact batch's head there;
 * 0: they are not. For when all segments' heads are damaged. */
uint64_t batch_journal(struct slice bytes, uint32_t segment, uint32_t offset);

/* Going through the batches of one segment. */
struct scan {
    struct slice bytes; /* of the segment, as far as they count */
    uint64_t journal;
    uint32_t segment;
    uint64_t offset; /* where to look next: SEGMENT_HEAD at first */
    uint64_t next;   /* the least number the next batch may have */
};

enum scan_status {
    SCAN_BATCH, /* a whole batch */
    SCAN_HOLE,  /* what is from `from` to `to` is not a batch; a later one follows */
    SCAN_TAIL,  /* no batch from `from` to the end (`to`), but bytes that are not zero */
    SCAN_END,   /* nothing but zeros from `from` to the end */
};

struct scanned {
    uint64_t from, to; /* offsets */
    struct batch_head head;
    struct slice records; /* SCAN_BATCH */
};

/* The next thing. SCAN_TAIL and SCAN_END are the last. */
enum scan_status scan_next(struct scan *s, struct scanned *ret);

/* --------------------------------------------------------------------------------- records */

enum record_kind {
    RECORD_PUT = 1,  /* a queue has a message */
    RECORD_SETTLED,  /* messages of a queue are gone, as far as they lie in that segment */
    RECORD_RETURNED, /* one was delivered and came back */
    RECORD_QUEUE,    /* there is a queue; precedes all other records of it in each segment */
    RECORD_GONE,     /* there is no such queue any more, nor any message of it */
    RECORD_RETAINED, /* as settled, but what waits, or is retained, may be had again for a while */
    RECORD_REWOUND,  /* as if never delivered, or settled: they wait again */
    RECORD_SEGMENTS, /* of no queue: these segments were there when this one began, itself the last:
                      * in the first batch of each */
    RECORD_KINDS = RECORD_SEGMENTS /* none is above that */
};

/* Fields by kind; the others are 0. */
struct record {
    enum record_kind kind;
    uint32_t size;    /* of the whole record, as encoded */
    uint32_t queue;   /* all: the queue's number, never used for another one */
    uint32_t segment; /* settled, returned ..: where the put is; queue, gone: where the queue's
                       * first record is */
    uint32_t last;    /* gone: the segment of its last record */
    uint32_t count;   /* settled, retained, rewound: seq .. seq + count - 1 */
    uint64_t seq;     /* put, settled, returned ..; queue: its next message has this or a higher */
    uint64_t id;      /* put .. */
    int64_t time_ms;  /* wall clock, published; retained: settled; rewound: settled before that, it
                       * stays so. Of those two 48 bits are kept: 0 .. FORMAT_TIME_MAX */
    int64_t expires_ms; /* wall clock; INT64_MAX never */
    uint8_t type_id;    /* as ctype.id (message.h) */
    struct slice topic, type, headers,
        data;                           /* segments: data: ranges, first and last number each */
    uint32_t attempts;                  /* returned: deliveries so far */
    int64_t due_ms;                     /* returned: wall clock; 0: at once */
    struct slice name, filters, wishes; /* queue: its name; bindings and own settings, as packed by
                                         * mail.h */
};

/* How many bytes the record takes; 0: some part of it is too long for the format. */
uint64_t record_size(const struct record *r);

/* Write it: record_size() bytes. Returns the byte after. r->size is not looked at. */
uint8_t *record_encode(const struct record *r, uint8_t *to);

/* A range of RECORD_SEGMENTS: RANGE_SIZE bytes. */
void range_encode(uint32_t first, uint32_t last, uint8_t *to);
/* The i-th one of a record's; false: there are no more. */
bool range_decode(struct slice ranges, size_t i, uint32_t *ret_first, uint32_t *ret_last);

/* Take the record at the beginning of `bytes`. False: that is none. */
bool record_decode(struct slice bytes, struct record *ret);

/* What record_decode() did not take, in a batch that is intact: the kind of it, if that is one of a
 * later version; else 0. */
unsigned record_newer(struct slice bytes);

/* record_decode() for a put that was read alone: its own check counts. */
bool record_decode_put(struct slice bytes, struct record *ret);

#endif
