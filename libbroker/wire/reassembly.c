/* reassembly.c - the fragments of one stream joined to one request or payload. */
#include "libbroker/wire/reassembly.h"

#include <errno.h>

enum { FIRST_CAP = 4096 }; /* bytes: fragments are rarely smaller than this together */

void reassembly_init(struct reassembly *r)
{
    *r = (struct reassembly){0};
}

void reassembly_fini(struct reassembly *r)
{
    block_unref(r->block);
    reassembly_init(r);
}

struct block *reassembly_take(struct reassembly *r)
{
    struct block *b = r->block;

    reassembly_init(r);
    return b;
}

/* Room for `n` more bytes: doubles, so that each byte is moved a constant number of times, but
 * never beyond `max_bytes`, which is what the caller has agreed to hold. */
static int reserve(struct reassembly *r, size_t n, size_t max_bytes)
{
    size_t used = r->metadata_n + r->data_n;
    size_t held = reassembly_bytes(r), cap = held ? held : FIRST_CAP;
    struct block *b;

    if (n > max_bytes || used > max_bytes - n)
        return -EMSGSIZE;
    while (cap < used + n)
        cap = cap <= SIZE_MAX / 2 ? cap * 2 : SIZE_MAX;
    if (cap > max_bytes)
        cap = max_bytes > used + n ? max_bytes : used + n;
    if (cap <= held)
        return 0;
    b = block_resize(r->block, cap);
    if (!b)
        return -ENOMEM;
    r->block = b;
    return 0;
}

static void append(struct reassembly *r, struct slice s, size_t *part)
{
    if (s.n)
        memcpy(r->block->bytes + r->metadata_n + r->data_n, s.p, s.n);
    *part += s.n;
}

/* NEXT and COMPLETE of a request mean nothing, but for COMPLETE on a channel. */
static uint16_t whole_flags(const struct reassembly *r)
{
    uint16_t kept = RS_IGNORE;

    if (r->type == RS_PAYLOAD)
        kept |= RS_NEXT | RS_COMPLETE;
    else if (r->type == RS_REQUEST_CHANNEL)
        kept |= RS_COMPLETE;
    return (r->flags & kept) | (r->has_metadata ? RS_METADATA : 0);
}

/* A large message may live long: it gives back what growing by doubling took too much. */
static void trim(struct reassembly *r)
{
    size_t used = r->metadata_n + r->data_n;
    struct block *b;

    if (r->block->size - used <= used / 8 || r->block->size == FIRST_CAP)
        return;
    b = block_resize(r->block, used);
    if (b)
        r->block = b;
}

static void finish(struct reassembly *r, uint32_t stream, struct rs_frame *ret_whole)
{
    if (r->block)
        trim(r);
    *ret_whole = (struct rs_frame){
        .stream = stream,
        .type = r->type,
        .flags = whole_flags(r),
        .number = r->number,
        .has_metadata = r->has_metadata,
        .metadata = slice_of(r->metadata_n ? r->block->bytes : NULL, r->metadata_n),
    };
    if (r->data_n)
        ret_whole->data = slice_of(r->block->bytes + r->metadata_n, r->data_n);
    r->type = 0; /* idle; the buffer stays for who reads or takes it */
}

static int gather(struct reassembly *r, const struct rs_frame *f, size_t max_bytes)
{
    int e;

    /* Section 6: "once a fragment carries data, no later fragment may carry metadata". */
    if (f->has_metadata && r->data_n)
        return -EPROTO;
    if (f->metadata.n > SIZE_MAX - f->data.n)
        return -EMSGSIZE;
    e = reserve(r, f->metadata.n + f->data.n, max_bytes);
    if (e < 0)
        return e;
    r->has_metadata |= f->has_metadata;
    r->flags |= f->flags;
    append(r, f->metadata, &r->metadata_n);
    append(r, f->data, &r->data_n);
    return 0;
}

int reassembly_add(struct reassembly *r, const struct rs_frame *f, size_t max_bytes,
                   struct rs_frame *ret_whole)
{
    int e;

    if (f->type != RS_PAYLOAD && (reassembly_active(r) || !rs_is_request(f->type)))
        return -EINVAL;
    if (!reassembly_active(r)) {
        reassembly_fini(r); /* what the last whole frame was read from */
        if (!rs_is_followed(f)) {
            *ret_whole = *f;
            ret_whole->flags &= (uint16_t)~RS_FOLLOWS;
            return REASSEMBLY_DONE;
        }
        r->type = f->type;
        r->number = f->number;
    }
    e = gather(r, f, max_bytes);
    if (e < 0) {
        reassembly_fini(r);
        return e;
    }
    if (rs_is_followed(f))
        return REASSEMBLY_MORE;
    finish(r, f->stream, ret_whole);
    return REASSEMBLY_DONE;
}
