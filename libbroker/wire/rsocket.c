/* rsocket.c - RSocket 1.0 frames to bytes and back.
 *
 * One row a type says which parts a frame has; decoder, encoder and sizes all follow it, so
 * they cannot disagree. The order of parts is the same for every type:
 *
 *      header | setup or resume | u31 number | u31 count | u64 position(s) | metadata | data */
#include "libbroker/wire/rsocket.h"

#include <assert.h>

enum part {
    PART_SETUP = 0x01,         /* version, times, token?, MIME types */
    PART_RESUME = 0x02,        /* version, token, two positions */
    PART_NUMBER = 0x04,        /* u31 */
    PART_CODE = 0x08,          /* u32, into number as well */
    PART_COUNT = 0x10,         /* u31 */
    PART_POSITION = 0x20,      /* u63 */
    PART_METADATA = 0x40,      /* u24 length and metadata, if RS_METADATA is set */
    PART_METADATA_REST = 0x80, /* metadata to the end, no length */
    PART_DATA = 0x100,         /* data to the end */
    PART_KNOWN = 0x200,        /* a type we can encode */
};

static const uint16_t parts_of_type[64] = {
    [RS_SETUP] = PART_KNOWN | PART_SETUP | PART_METADATA | PART_DATA,
    [RS_LEASE] = PART_KNOWN | PART_NUMBER | PART_COUNT | PART_METADATA_REST,
    [RS_KEEPALIVE] = PART_KNOWN | PART_POSITION | PART_DATA,
    [RS_REQUEST_RESPONSE] = PART_KNOWN | PART_METADATA | PART_DATA,
    [RS_REQUEST_FNF] = PART_KNOWN | PART_METADATA | PART_DATA,
    [RS_REQUEST_STREAM] = PART_KNOWN | PART_NUMBER | PART_METADATA | PART_DATA,
    [RS_REQUEST_CHANNEL] = PART_KNOWN | PART_NUMBER | PART_METADATA | PART_DATA,
    [RS_REQUEST_N] = PART_KNOWN | PART_NUMBER,
    [RS_CANCEL] = PART_KNOWN,
    [RS_PAYLOAD] = PART_KNOWN | PART_METADATA | PART_DATA,
    [RS_ERROR] = PART_KNOWN | PART_CODE | PART_DATA,
    [RS_METADATA_PUSH] = PART_KNOWN | PART_METADATA_REST,
    [RS_RESUME] = PART_KNOWN | PART_RESUME,
    [RS_RESUME_OK] = PART_KNOWN | PART_POSITION,
    [RS_EXT] = PART_KNOWN | PART_NUMBER | PART_DATA,
};

static const uint64_t mask_63 = UINT64_MAX >> 1;

/* What the types we do not know get: everything behind the header is data. */
static unsigned int parts(uint8_t type)
{
    unsigned int p = parts_of_type[type & 0x3f];

    return p ? p : PART_DATA;
}

/* ---- decoding ---- */

/* The takers move `*in` on; false, nothing moved, if it is too short. */

static bool take_16(struct slice *in, uint16_t *ret)
{
    if (in->n < 2)
        return false;
    *ret = be_get_16(in->p);
    *in = slice_from(*in, 2);
    return true;
}

static bool take_32(struct slice *in, uint32_t *ret)
{
    if (in->n < 4)
        return false;
    *ret = be_get_32(in->p);
    *in = slice_from(*in, 4);
    return true;
}

static bool take_31(struct slice *in, uint32_t *ret)
{
    if (!take_32(in, ret))
        return false;
    *ret &= RS_N_MAX;
    return true;
}

static bool take_63(struct slice *in, uint64_t *ret)
{
    if (in->n < 8)
        return false;
    *ret = be_get_64(in->p) & mask_63;
    *in = slice_from(*in, 8);
    return true;
}

static bool take_bytes(struct slice *in, size_t n, struct slice *ret)
{
    if (in->n < n)
        return false;
    *ret = slice_of(in->p, n);
    *in = slice_from(*in, n);
    return true;
}

static bool take_token(struct slice *in, struct slice *ret)
{
    uint16_t n;

    return take_16(in, &n) && take_bytes(in, n, ret);
}

static bool take_mime(struct slice *in, struct slice *ret)
{
    struct slice n;

    return take_bytes(in, 1, &n) && take_bytes(in, n.p[0], ret);
}

static const char *decode_setup(struct slice *in, uint16_t flags, struct rs_setup *s)
{
    *s = (struct rs_setup){0};
    if (!take_16(in, &s->major) || !take_16(in, &s->minor) || !take_31(in, &s->keepalive_ms) ||
        !take_31(in, &s->lifetime_ms))
        return "SETUP is cut short";
    if (s->keepalive_ms == 0)
        return "SETUP with a keepalive interval of 0";
    if (s->lifetime_ms == 0)
        return "SETUP with a max lifetime of 0";
    if ((flags & RS_RESUME_ENABLE) && !take_token(in, &s->token))
        return "SETUP is cut short in its resume token";
    if (!take_mime(in, &s->metadata_mime) || !take_mime(in, &s->data_mime))
        return "SETUP is cut short in its MIME types";
    return NULL;
}

static const char *decode_resume(struct slice *in, struct rs_frame *f)
{
    struct rs_setup *s = &f->setup;

    *s = (struct rs_setup){0};
    if (!take_16(in, &s->major) || !take_16(in, &s->minor) || !take_token(in, &s->token) ||
        !take_63(in, &f->position) || !take_63(in, &f->first_position))
        return "RESUME is cut short";
    return NULL;
}

static const char *decode_metadata(struct slice *in, struct rs_frame *f)
{
    if (in->n < 3)
        return "the metadata length is cut short";
    f->has_metadata = true;
    if (be_get_24(in->p) > in->n - 3)
        return "the metadata are longer than the frame";
    f->metadata = slice_of(in->p + 3, be_get_24(in->p));
    *in = slice_from(*in, 3 + f->metadata.n);
    return NULL;
}

/* Everything after the header; NULL, or what is wrong. */
static const char *decode_parts(struct slice in, struct rs_frame *f)
{
    const char *why = NULL;
    unsigned int has = parts(f->type);

    if (has & PART_SETUP)
        why = decode_setup(&in, f->flags, &f->setup);
    else if (has & PART_RESUME)
        why = decode_resume(&in, f);
    if (why)
        return why;
    if ((has & PART_NUMBER) && !take_31(&in, &f->number))
        return "the frame is cut short";
    if ((has & PART_CODE) && !take_32(&in, &f->number))
        return "ERROR without a code";
    if ((has & PART_COUNT) && !take_31(&in, &f->count))
        return "the frame is cut short";
    if ((has & PART_POSITION) && !take_63(&in, &f->position))
        return "the frame is cut short";
    if ((has & PART_METADATA) && (f->flags & RS_METADATA)) {
        why = decode_metadata(&in, f);
        if (why)
            return why;
    }
    if (has & PART_METADATA_REST) {
        /* METADATA_PUSH has M always set; who forgot it still means metadata. */
        f->has_metadata = (f->flags & RS_METADATA) || f->type == RS_METADATA_PUSH;
        if (f->has_metadata)
            f->metadata = in;
    }
    if (has & PART_DATA)
        f->data = in;
    return NULL;
}

/* All of *f but setup, which is large and nearly never there. */
static void clear_frame(struct rs_frame *f)
{
    f->stream = f->number = f->count = 0;
    f->type = 0;
    f->flags = 0;
    f->position = f->first_position = 0;
    f->has_metadata = false;
    f->metadata = f->data = (struct slice){0};
}

enum wire_status rs_decode_body(const uint8_t *buf, size_t len, struct rs_frame *ret,
                                const char **reterr_why)
{
    const char *why;
    uint16_t word;

    clear_frame(ret);
    if (len < RS_HEADER) {
        *reterr_why = "a frame shorter than its header";
        return WIRE_BAD;
    }
    word = be_get_16(buf + 4);
    ret->stream = be_get_32(buf) & RS_STREAM_MAX;
    ret->type = (uint8_t)(word >> 10);
    ret->flags = word & RS_FLAGS;
    why = decode_parts(slice_of(buf + RS_HEADER, len - RS_HEADER), ret);
    if (why) {
        *reterr_why = why;
        return WIRE_BAD;
    }
    return WIRE_FRAME;
}

enum wire_status rs_decode(uint32_t max_frame, const uint8_t *buf, size_t len, struct rs_frame *ret,
                           size_t *ret_used, const char **reterr_why)
{
    uint32_t n;

    if (len < RS_TCP_LENGTH)
        return WIRE_MORE;
    n = be_get_24(buf);
    if (n > max_frame || n < RS_HEADER) {
        clear_frame(ret);
        *ret_used = 0;
        *reterr_why = n < RS_HEADER ? "a frame shorter than its header"
                                    : "a frame longer than the limit of this connection";
        return WIRE_BAD;
    }
    if (len - RS_TCP_LENGTH < n)
        return WIRE_MORE;
    *ret_used = RS_TCP_LENGTH + n;
    return rs_decode_body(buf + RS_TCP_LENGTH, n, ret, reterr_why);
}

uint32_t rs_bad_code(const struct rs_frame *bad)
{
    return bad->type == RS_SETUP ? RS_INVALID_SETUP : RS_CONNECTION_ERROR;
}

/* ---- encoding ---- */

static uint8_t *put_slice(uint8_t *p, struct slice s)
{
    if (s.n)
        memcpy(p, s.p, s.n);
    return p + s.n;
}

static uint8_t *put_metadata(uint8_t *p, struct slice metadata)
{
    return put_slice(be_put_24(p, (uint32_t)metadata.n), metadata);
}

uint8_t *rs_put_payload_metadata_head(uint8_t *p, uint32_t stream, uint16_t flags,
                                      struct slice metadata, size_t data_len)
{
    p = rs_put_head(p, stream, RS_PAYLOAD, flags | RS_METADATA, 3 + metadata.n + data_len);
    return put_metadata(p, metadata);
}

uint8_t *rs_put_keepalive(uint8_t *p, uint16_t flags, uint64_t position, struct slice data)
{
    p = rs_put_head(p, 0, RS_KEEPALIVE, flags, 8 + data.n);
    return put_slice(be_put_64(p, position & mask_63), data);
}

uint8_t *rs_put_error(uint8_t *p, uint32_t stream, uint32_t code, struct slice text)
{
    p = rs_put_head(p, stream, RS_ERROR, 0, 4 + text.n);
    return put_slice(be_put_32(p, code), text);
}

static bool has_number(uint8_t type)
{
    return parts(type) & PART_NUMBER;
}

size_t rs_request_head_size(const struct rs_request *r)
{
    return RS_HEAD_SIZE + (has_number(r->type) ? 4 : 0) + (r->has_metadata ? 3 + r->metadata.n : 0);
}

uint8_t *rs_put_request_head(uint8_t *p, const struct rs_request *r, size_t data_len)
{
    uint16_t flags = r->has_metadata ? r->flags | RS_METADATA : r->flags & ~RS_METADATA;

    assert(rs_is_request(r->type));
    p = rs_put_head(p, r->stream, r->type, flags,
                    rs_request_head_size(r) - RS_HEAD_SIZE + data_len);
    if (has_number(r->type))
        p = be_put_32(p, r->n);
    return r->has_metadata ? put_metadata(p, r->metadata) : p;
}

/* Does the frame carry a token? RESUME always does. */
static bool has_token(const struct rs_frame *f)
{
    return f->type == RS_RESUME || (f->flags & RS_RESUME_ENABLE);
}

static size_t setup_size(const struct rs_frame *f)
{
    const struct rs_setup *s = &f->setup;
    size_t token = has_token(f) ? 2 + s->token.n : 0;

    if (f->type == RS_RESUME)
        return 4 + token + 16;
    return 12 + token + 1 + s->metadata_mime.n + 1 + s->data_mime.n;
}

static uint8_t *put_token(uint8_t *p, struct slice token)
{
    return put_slice(be_put_16(p, (uint16_t)token.n), token);
}

static uint8_t *put_mime(uint8_t *p, struct slice mime)
{
    *p++ = (uint8_t)mime.n;
    return put_slice(p, mime);
}

static uint8_t *put_setup(uint8_t *p, const struct rs_frame *f)
{
    const struct rs_setup *s = &f->setup;

    p = be_put_16(p, s->major);
    p = be_put_16(p, s->minor);
    if (f->type == RS_RESUME) {
        p = put_token(p, s->token);
        p = be_put_64(p, f->position & mask_63);
        return be_put_64(p, f->first_position & mask_63);
    }
    p = be_put_32(p, s->keepalive_ms & RS_N_MAX);
    p = be_put_32(p, s->lifetime_ms & RS_N_MAX);
    if (has_token(f))
        p = put_token(p, s->token);
    return put_mime(put_mime(p, s->metadata_mime), s->data_mime);
}

/* Is there a field whose own length does not fit? */
static bool setup_fits(const struct rs_frame *f)
{
    return f->setup.token.n <= RS_TOKEN_MAX && f->setup.metadata_mime.n <= RS_MIME_MAX &&
           f->setup.data_mime.n <= RS_MIME_MAX;
}

size_t rs_size(const struct rs_frame *f)
{
    unsigned int has = parts(f->type);
    size_t n = RS_HEAD_SIZE;

    if (f->type > 0x3f || !(has & PART_KNOWN))
        return 0;
    if (has & (PART_SETUP | PART_RESUME)) {
        if (!setup_fits(f))
            return 0;
        n += setup_size(f);
    }
    n += has & (PART_NUMBER | PART_CODE) ? 4 : 0;
    n += has & PART_COUNT ? 4 : 0;
    n += has & PART_POSITION ? 8 : 0;
    /* each is checked alone first, so that no sum can wrap */
    if (f->metadata.n > RS_FRAME_MAX || f->data.n > RS_FRAME_MAX)
        return 0;
    if (f->has_metadata && (has & (PART_METADATA | PART_METADATA_REST)))
        n += (has & PART_METADATA ? 3 : 0) + f->metadata.n;
    n += has & PART_DATA ? f->data.n : 0;
    return n <= RS_TCP_LENGTH + RS_FRAME_MAX ? n : 0;
}

/* The M flag of `f` as it has to be on the wire. */
static uint16_t flags_of(const struct rs_frame *f, unsigned int has)
{
    if (!(has & (PART_METADATA | PART_METADATA_REST)))
        return f->flags;
    if (f->has_metadata || f->type == RS_METADATA_PUSH)
        return f->flags | RS_METADATA;
    return f->flags & ~RS_METADATA;
}

uint8_t *rs_put(uint8_t *p, const struct rs_frame *f)
{
    unsigned int has = parts(f->type);
    size_t size = rs_size(f);

    assert(size != 0);
    p = rs_put_head(p, f->stream & RS_STREAM_MAX, f->type, flags_of(f, has), size - RS_HEAD_SIZE);
    if (has & (PART_SETUP | PART_RESUME))
        p = put_setup(p, f);
    if (has & PART_NUMBER)
        p = be_put_32(p, f->number & RS_N_MAX);
    if (has & PART_CODE)
        p = be_put_32(p, f->number);
    if (has & PART_COUNT)
        p = be_put_32(p, f->count & RS_N_MAX);
    if (has & PART_POSITION)
        p = be_put_64(p, f->position & mask_63);
    if (f->has_metadata && (has & PART_METADATA))
        p = put_metadata(p, f->metadata);
    if (f->has_metadata && (has & PART_METADATA_REST))
        p = put_slice(p, f->metadata);
    return has & PART_DATA ? put_slice(p, f->data) : p;
}

/* ---- fragments ---- */

void rs_fragmenter_init(struct rs_fragmenter *c, const struct rs_frame *f, uint32_t max_frame)
{
    assert(rs_is_request(f->type) || f->type == RS_PAYLOAD);
    assert(max_frame >= RS_FRAGMENT_MIN && max_frame <= RS_FRAME_MAX);
    *c = (struct rs_fragmenter){
        .data = f->data,
        .stream = f->stream & RS_STREAM_MAX,
        .n = f->number,
        .max_frame = max_frame,
        .flags = f->flags & (RS_IGNORE | RS_COMPLETE | RS_NEXT),
        .type = f->type,
        .has_metadata = f->has_metadata,
    };
    if (f->has_metadata)
        c->metadata = f->metadata;
}

/* The first `n` bytes of `*s`, or all of it if that is less; they leave `*s`. */
static struct slice cut(struct slice *s, size_t n)
{
    struct slice head = slice_of(s->p, s->n < n ? s->n : n);

    if (head.n)
        *s = slice_from(*s, head.n);
    return head;
}

/* Flags of the fragment being made: of the whole frame those that belong here. */
static uint16_t fragment_flags(const struct rs_fragmenter *c, bool first, bool last)
{
    uint16_t flags = c->flags & RS_IGNORE;

    if (first && last)
        flags = c->flags; /* not cut at all */
    else if (c->type == RS_PAYLOAD)
        flags |= RS_NEXT;
    if (last)
        flags |= c->flags & RS_COMPLETE;
    else
        flags |= RS_FOLLOWS;
    return flags;
}

bool rs_fragmenter_next(struct rs_fragmenter *c, struct rs_fragment *ret)
{
    size_t fixed = has_number(c->type) ? 4 : 0;
    size_t room = c->max_frame - RS_HEADER - fixed - (c->has_metadata ? 3 : 0);
    bool metadata_here = c->has_metadata;
    bool last;
    uint16_t flags;
    uint8_t *p;

    if (c->done)
        return false;
    ret->metadata = cut(&c->metadata, room);
    ret->data = cut(&c->data, room - ret->metadata.n);
    last = c->metadata.n == 0 && c->data.n == 0;
    flags = fragment_flags(c, !c->started, last);

    p = rs_put_head(ret->head, c->stream, c->type, metadata_here ? flags | RS_METADATA : flags,
                    fixed + (metadata_here ? 3 : 0) + ret->metadata.n + ret->data.n);
    if (fixed)
        p = be_put_32(p, c->n);
    if (metadata_here)
        p = be_put_24(p, (uint32_t)ret->metadata.n);
    ret->head_n = (size_t)(p - ret->head);

    c->started = true;
    c->type = RS_PAYLOAD;
    c->has_metadata = c->metadata.n != 0;
    c->done = last;
    return true;
}

size_t rs_fragmented_size(const struct rs_frame *f, uint32_t max_frame)
{
    struct rs_fragmenter c;
    struct rs_fragment part;
    size_t n = 0;

    rs_fragmenter_init(&c, f, max_frame);
    while (rs_fragmenter_next(&c, &part))
        n += part.head_n + part.metadata.n + part.data.n;
    return n;
}

uint8_t *rs_put_fragmented(uint8_t *p, const struct rs_frame *f, uint32_t max_frame)
{
    struct rs_fragmenter c;
    struct rs_fragment part;

    rs_fragmenter_init(&c, f, max_frame);
    while (rs_fragmenter_next(&c, &part)) {
        p = put_slice(p, slice_of(part.head, part.head_n));
        p = put_slice(put_slice(p, part.metadata), part.data);
    }
    return p;
}
