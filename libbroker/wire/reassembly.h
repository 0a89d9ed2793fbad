/* reassembly.h - the fragments of one stream joined to one request or payload.
 *
 * Why      RSocket cuts what is larger than a frame; the sequence may be endless, so what is
 *          gathered has a limit, and memory grows with what has arrived, never with a promise.
 * Shape    Metadata come before data, so one buffer holds both: metadata, then data. Until a
 *          sequence starts there is none: an idle stream pays for this struct only.
 * Owner    The buffer is ours. The slices of a finished frame point into it (or, for one that was
 *          never cut, into the caller's input) and live until the next reassembly_add or _fini,
 *          or for good if the caller takes the buffer. Who neither takes it nor expects more
 *          calls _fini, so that a large message does not stay behind.
 * Thread   The stream's. */
#ifndef BROKER_WIRE_REASSEMBLY_H
#define BROKER_WIRE_REASSEMBLY_H

#include "libbroker/base/block.h"
#include "libbroker/wire/rsocket.h"

struct reassembly {
    struct block *block; /* metadata_n bytes of metadata, then data_n of data; NULL when idle */
    size_t metadata_n, data_n;
    uint32_t number; /* initial n of the request */
    uint16_t flags;  /* NEXT and COMPLETE of all fragments so far */
    uint8_t type;    /* of the first fragment; 0: no sequence runs */
    bool has_metadata;
};

enum { REASSEMBLY_MORE = 0, REASSEMBLY_DONE = 1 };

/* Make `r` empty and idle; allocates nothing. */
void reassembly_init(struct reassembly *r);

/* Drop what was gathered: at the end of the stream, on CANCEL or ERROR in mid-sequence. `r` is
 * idle again and can go on. */
void reassembly_fini(struct reassembly *r);

/* True in mid-sequence: the stream's next PAYLOAD belongs to it. */
static inline bool reassembly_active(const struct reassembly *r)
{
    return r->type != 0;
}

/* Bytes of memory held now, for the caller's budget. */
static inline size_t reassembly_bytes(const struct reassembly *r)
{
    return r->block ? r->block->size : 0;
}

/* Add the next frame of the stream: a request or PAYLOAD, or in mid-sequence a PAYLOAD.
 * `max_bytes` limits metadata and data together.
 * REASSEMBLY_DONE  *ret_whole is the frame: type, stream and number of the first fragment, flags
 *                  without FOLLOWS and with NEXT or COMPLETE if any fragment had it. A frame
 *                  that is no fragment comes back as it is, uncopied, whatever its size.
 * REASSEMBLY_MORE  more fragments must come.
 * -EMSGSIZE        over max_bytes. ERROR[INVALID] for a request, else CANCEL.
 * -EPROTO          metadata after data. ERROR[CONNECTION_ERROR] or [INVALID].
 * -EINVAL          not a request or PAYLOAD; in mid-sequence, not a PAYLOAD: what was gathered
 *                  stays, so that the caller may ignore the frame.
 * -ENOMEM          no memory.
 * After the other errors what was gathered is gone and `r` is idle. */
int reassembly_add(struct reassembly *r, const struct rs_frame *f, size_t max_bytes,
                   struct rs_frame *ret_whole);

/* After REASSEMBLY_DONE: the block that the whole frame's slices point into passes to the caller,
 * with its one reference; NULL if the frame was not copied. */
struct block *reassembly_take(struct reassembly *r);

#endif
