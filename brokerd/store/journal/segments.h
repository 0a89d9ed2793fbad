/* segments.h - how much of each segment is still of use, and which one to clear next.
 *
 * Why      Disk use must follow what is live, whatever the order of acks; a disk limit that is
 *          hard; and acks that find room when puts do not.
 * Shape    Of use are puts that are not settled, the newest definition of each queue, and notes:
 *          settlements and returns, as long as the segment that the put lies in is there (for
 *          with it the put would come back). So clearing one segment may make notes of no use in
 *          others. To clear a segment is to write what is of use in it again at the journal's
 *          end, sync that, and unlink the file.
 *          Always: disk <= 2 x data + 4 segments once segments_victim() finds nothing, with data
 *          the bytes of puts and definitions of use.
 * Owner    segments_fini() frees the tables.
 * Errors   -ENOMEM, nothing changed.
 * Thread   The store's, or recovery's. */
#ifndef BROKERD_STORE_JOURNAL_SEGMENTS_H
#define BROKERD_STORE_JOURNAL_SEGMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of notes about what lies in segment `on`. */
struct notes {
    uint32_t on;
    uint64_t bytes;
};

struct segment {
    uint32_t number;
    bool open;     /* written to: never a victim */
    bool damaged;  /* recovery found damage in it */
    uint64_t size; /* bytes on disk */
    uint64_t end;  /* after recovery: where its batches end; what is behind is to be cut off, before
                    * anything else. `size`, where that is damaged: it stays, to be looked at */
    uint64_t data; /* of those, of puts and definitions of use */
    int64_t oldest_ms, newest_ms; /* all puts that have come here were published then or between */
    uint64_t notes_bytes;
    struct notes *notes; /* by rising `on` */
    uint32_t notes_n, notes_cap;
};

struct segments {
    struct segment *s; /* by rising number */
    size_t n, cap;
    uint64_t disk, data, notes; /* sums */
    uint64_t puts;              /* of use: each reserves room for its ack */
    uint64_t segment_bytes;     /* an ordinary one's size */
    uint64_t disk_max;          /* UINT64_MAX: no limit */
};

void segments_fini(struct segments *t);

/* A segment was begun, its number above all others, or is found there. */
int segments_add(struct segments *t, uint32_t number, uint64_t size);

/* Its file has another size now; `open`: it is written to. */
void segments_resize(struct segments *t, uint32_t number, uint64_t size, bool open);

/* Recovery found its end there. */
void segments_end(struct segments *t, uint32_t number, uint64_t end);

/* Recovery found damage there; of no consequence where there is no such segment. */
void segments_damaged(struct segments *t, uint32_t number);

/* The file is gone, and its directory synced. */
void segments_drop(struct segments *t, uint32_t number);

/* NULL: there is none of that number. */
const struct segment *segments_find(const struct segments *t, uint32_t number);

/* Is there one from `first` to `last`, besides `but`? */
bool segments_any(const struct segments *t, uint32_t first, uint32_t last, uint32_t but);

/* A put in `number`, of what was published at that time; one there has been settled. */
void segments_put(struct segments *t, uint32_t number, uint32_t size, int64_t time_ms);
void segments_unput(struct segments *t, uint32_t number, uint32_t size);

/* A definition in `number`; one there is not the newest any more. */
void segments_define(struct segments *t, uint32_t number, uint32_t size);
void segments_undefine(struct segments *t, uint32_t number, uint32_t size);

/* A note in segment `in` about what is in `on`. Of no use if that is the same segment, or gone. */
int segments_note(struct segments *t, uint32_t in, uint32_t on, uint32_t size);

/* Bytes of use in a segment: what clearing it would have to write again. */
static inline uint64_t segment_live(const struct segment *s)
{
    return s->data + s->notes_bytes;
}

/* Which segment to clear now: 0 none. One without anything of use always; else, when disk use is
 * above its mark, the one with the least share of use. */
uint32_t segments_victim(const struct segments *t);

/* How many more bytes of puts may be taken within the limit, when what all acks and one clearing
 * may need is left aside. */
uint64_t segments_room(const struct segments *t);

#endif
