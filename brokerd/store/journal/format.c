#include "brokerd/store/journal/format.h"

#include "libbroker/base/be.h"

#include <assert.h>
#include <xxhash.h>

static const uint8_t segment_magic[8] = "brokerdJ";
enum { BATCH_MAGIC = 0x62724a62 };

static bool all_zero(const uint8_t *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static uint8_t *put(uint8_t *at, struct slice s)
{
    if (s.n)
        memcpy(at, s.p, s.n);
    return at + s.n;
}

/* -------------------------------------------------------------------------------- segments */

void segment_encode(const struct segment_head *h, uint8_t *to)
{
    uint8_t *p = put(to, slice_of(segment_magic, sizeof segment_magic));

    p = be_put_32(p, FORMAT_VERSION);
    p = be_put_32(p, h->number);
    p = be_put_64(p, h->journal);
    p = be_put_64(p, h->batch);
    p = be_put_32(p, h->previous);
    p = be_put_32(p, h->previous_end);
    p = be_put_64(p, (uint64_t)h->made_ms);
    p = be_put_64(p, 0);
    be_put_64(p, XXH3_64bits(to, (size_t)(p - to)));
}

enum segment_status segment_decode(struct slice bytes, struct segment_head *ret)
{
    const uint8_t *p = bytes.p;

    if (all_zero(p, bytes.n < SEGMENT_HEAD ? bytes.n : SEGMENT_HEAD))
        return SEGMENT_BLANK;
    if (bytes.n < SEGMENT_HEAD || memcmp(p, segment_magic, sizeof segment_magic) != 0 ||
        be_get_64(p + SEGMENT_HEAD - 8) != XXH3_64bits(p, SEGMENT_HEAD - 8))
        return SEGMENT_BAD;
    if (be_get_32(p + 8) != FORMAT_VERSION) {
        *ret = (struct segment_head){.version = be_get_32(p + 8)};
        return SEGMENT_NEWER;
    }
    *ret = (struct segment_head){.version = FORMAT_VERSION,
                                 .number = be_get_32(p + 12),
                                 .journal = be_get_64(p + 16),
                                 .batch = be_get_64(p + 24),
                                 .previous = be_get_32(p + 32),
                                 .previous_end = be_get_32(p + 36),
                                 .made_ms = (int64_t)be_get_64(p + 40)};
    return SEGMENT_OK;
}

/* --------------------------------------------------------------------------------- batches */

/*   0 magic   4 bytes of records   8 number   16 segment   20 offset   24 records   28 0
 *  32 journal   40 check of the records   48 check of the head so far */
void batch_encode(const struct batch_head *h, struct slice records, uint8_t *to)
{
    uint8_t *p = be_put_32(to, BATCH_MAGIC);

    assert(records.n % 8 == 0 && records.n <= BATCH_RECORDS_MAX && h->offset % 8 == 0);
    p = be_put_32(p, (uint32_t)records.n);
    p = be_put_64(p, h->number);
    p = be_put_32(p, h->segment);
    p = be_put_32(p, h->offset);
    p = be_put_32(p, h->records_n);
    p = be_put_32(p, 0);
    p = be_put_64(p, h->journal);
    p = be_put_64(p, XXH3_64bits(records.p, records.n));
    be_put_64(p, XXH3_64bits(to, (size_t)(p - to)));
}

uint64_t batch_journal(struct slice bytes, uint32_t segment, uint32_t offset)
{
    const uint8_t *p = bytes.p;

    if (bytes.n < BATCH_HEAD || be_get_32(p) != BATCH_MAGIC || be_get_32(p + 16) != segment ||
        be_get_32(p + 20) != offset || be_get_32(p + 28) != 0 ||
        be_get_64(p + BATCH_HEAD - 8) != XXH3_64bits(p, BATCH_HEAD - 8))
        return 0;
    return be_get_64(p + 32);
}

/* Is there a batch's head of this segment at `at`, and a number that may be? Then *ret_len is what
 * it says of the length of its records, which may end beyond the bytes. */
static bool head_at(const struct scan *s, uint64_t at, struct batch_head *ret, uint32_t *ret_len)
{
    const uint8_t *p = s->bytes.p + at;
    uint64_t journal = batch_journal(slice_from(s->bytes, at), s->segment, (uint32_t)at);

    if (!journal || journal != s->journal || be_get_64(p + 8) < s->next)
        return false;
    *ret_len = be_get_32(p + 4);
    *ret = (struct batch_head){.journal = journal,
                               .number = be_get_64(p + 8),
                               .segment = s->segment,
                               .offset = (uint32_t)at,
                               .records_n = be_get_32(p + 24)};
    return true;
}

/* A whole batch at `at`? */
static bool batch_at(const struct scan *s, uint64_t at, struct scanned *ret)
{
    uint32_t len;

    if (!head_at(s, at, &ret->head, &len) || len > s->bytes.n - at - BATCH_HEAD)
        return false;
    ret->records = slice_of(s->bytes.p + at + BATCH_HEAD, len);
    if (len % 8 || XXH3_64bits(ret->records.p, len) != be_get_64(s->bytes.p + at + 40))
        return false;
    ret->from = at;
    ret->to = at + BATCH_HEAD + len;
    return true;
}

/* The first batch from `at` on; false: there is none. */
static bool search(const struct scan *s, uint64_t at, struct scanned *ret)
{
    struct batch_head head;
    uint32_t len;

    for (; at + BATCH_HEAD <= s->bytes.n; at += 8) {
        if (batch_at(s, at, ret))
            return true;
        /* Damaged within its records: what is in there is no batch. */
        if (head_at(s, at, &head, &len) && len % 8 == 0 && len <= s->bytes.n - at - BATCH_HEAD)
            at += BATCH_HEAD + len - 8;
    }
    return false;
}

enum scan_status scan_next(struct scan *s, struct scanned *ret)
{
    uint64_t at = s->offset, end = s->bytes.n;

    if (at > end)
        at = end;
    if (batch_at(s, at, ret)) {
        s->offset = ret->to;
        s->next = ret->head.number + 1;
        return SCAN_BATCH;
    }
    if (search(s, at, ret)) {
        s->offset = ret->from;
        *ret = (struct scanned){.from = at, .to = ret->from, .head = ret->head};
        return SCAN_HOLE;
    }
    s->offset = end;
    *ret = (struct scanned){.from = at, .to = end};
    return all_zero(s->bytes.p + at, (size_t)(end - at)) ? SCAN_END : SCAN_TAIL;
}

/* --------------------------------------------------------------------------------- records
 *
 * All:       0 kind  1 a  2 b  3 c   4 size   8 queue   12 word
 * put:       a type_id, b bytes of the type's name, c of the topic; word: check
 *            16 seq   24 id   32 time   40 expires   48 bytes of data   52 of headers (16)   54 0
 *            56 topic, type's name, headers, data
 * settled:   word: segment   16 seq   24 count   28 0
 * returned:  word: segment   16 seq   24 attempts   28 0   32 due
 * queue:     a bytes of the name; word: first segment   16 next seq   24 bytes of filters
 *            28 of wishes   32 name, filters, wishes
 * retained,
 * rewound:   a, b bits 47 to 32 of the time; word: segment   16 seq   24 count   28 of time (32)
 * gone:      word: first segment   16 last segment   20 0
 * segments:  queue: 0; word: ranges   16 first, 20 last of each, rising */

static uint64_t exact_size(const struct record *r)
{
    switch (r->kind) {
    case RECORD_PUT:
        if (r->topic.n > UINT8_MAX || r->type.n > UINT8_MAX || r->headers.n > UINT16_MAX)
            return 0;
        return PUT_HEAD + r->topic.n + r->type.n + r->headers.n + r->data.n;
    case RECORD_SETTLED:
    case RECORD_RETAINED:
    case RECORD_REWOUND:
        return SETTLED_SIZE;
    case RECORD_RETURNED:
        return RETURNED_SIZE;
    case RECORD_QUEUE:
        if (r->name.n > UINT8_MAX)
            return 0;
        return QUEUE_HEAD + r->name.n + r->filters.n + r->wishes.n;
    case RECORD_GONE:
        return GONE_SIZE;
    case RECORD_SEGMENTS:
        return r->data.n && r->data.n % RANGE_SIZE == 0 ? SEGMENTS_HEAD + r->data.n : 0;
    }
    return 0;
}

uint64_t record_size(const struct record *r)
{
    uint64_t size = format_padded(exact_size(r));

    return size <= BATCH_RECORDS_MAX ? size : 0;
}

/* Of a put, but for the check itself. */
static uint32_t put_check(const uint8_t *p, size_t n)
{
    return (uint32_t)XXH3_64bits_withSeed(p + 16, n - 16, XXH3_64bits(p, 12));
}

/* A time in 48 bits: as much of it as there is. */
static uint64_t time_48(int64_t ms)
{
    return ms <= 0 ? 0 : (uint64_t)(ms < FORMAT_TIME_MAX ? ms : FORMAT_TIME_MAX);
}

static bool has_time(enum record_kind kind)
{
    return kind == RECORD_RETAINED || kind == RECORD_REWOUND;
}

static uint8_t *head_encode(const struct record *r, uint8_t *p, uint32_t size)
{
    *p++ = (uint8_t)r->kind;
    if (has_time(r->kind)) {
        p = be_put_16(p, (uint16_t)(time_48(r->time_ms) >> 32));
        *p++ = 0;
    } else {
        *p++ = r->kind == RECORD_QUEUE ? (uint8_t)r->name.n : r->type_id;
        *p++ = (uint8_t)r->type.n;
        *p++ = (uint8_t)r->topic.n;
    }
    p = be_put_32(p, size);
    p = be_put_32(p, r->queue);
    return be_put_32(p,
                     r->kind == RECORD_SEGMENTS ? (uint32_t)(r->data.n / RANGE_SIZE) : r->segment);
}

uint8_t *record_encode(const struct record *r, uint8_t *to)
{
    uint32_t size = (uint32_t)record_size(r);
    uint8_t *p = head_encode(r, to, size);

    switch (r->kind) {
    case RECORD_PUT:
        p = be_put_64(be_put_64(p, r->seq), r->id);
        p = be_put_64(be_put_64(p, (uint64_t)r->time_ms), (uint64_t)r->expires_ms);
        p = be_put_32(p, (uint32_t)r->data.n);
        p = be_put_16(be_put_16(p, (uint16_t)r->headers.n), 0);
        p = put(put(put(put(p, r->topic), r->type), r->headers), r->data);
        break;
    case RECORD_SETTLED:
        p = be_put_32(be_put_32(be_put_64(p, r->seq), r->count), 0);
        break;
    case RECORD_RETAINED:
    case RECORD_REWOUND:
        p = be_put_32(be_put_64(p, r->seq), r->count);
        p = be_put_32(p, (uint32_t)time_48(r->time_ms));
        break;
    case RECORD_RETURNED:
        p = be_put_32(be_put_32(be_put_64(p, r->seq), r->attempts), 0);
        p = be_put_64(p, (uint64_t)r->due_ms);
        break;
    case RECORD_QUEUE:
        p = be_put_32(be_put_64(p, r->seq), (uint32_t)r->filters.n);
        p = be_put_32(p, (uint32_t)r->wishes.n);
        p = put(put(put(p, r->name), r->filters), r->wishes);
        break;
    case RECORD_GONE:
        p = be_put_32(be_put_32(p, r->last), 0);
        break;
    case RECORD_SEGMENTS:
        p = put(p, r->data);
        break;
    }
    memset(p, 0, (size_t)(to + size - p));
    if (r->kind == RECORD_PUT)
        be_put_32(to + 12, put_check(to, size));
    return to + size;
}

/* Takes `n` of what is left at *p. The sizes were checked. */
static struct slice take(const uint8_t **p, size_t n)
{
    struct slice s = slice_of(*p, n);

    *p += n;
    return s;
}

static void put_decode(const uint8_t *p, struct record *r)
{
    const uint8_t *at = p + PUT_HEAD;

    r->segment = 0;
    r->type_id = p[1];
    r->seq = be_get_64(p + 16);
    r->id = be_get_64(p + 24);
    r->time_ms = (int64_t)be_get_64(p + 32);
    r->expires_ms = (int64_t)be_get_64(p + 40);
    r->topic = take(&at, p[3]);
    r->type = take(&at, p[2]);
    r->headers = take(&at, be_get_16(p + 52));
    r->data = take(&at, be_get_32(p + 48));
}

static void queue_decode(const uint8_t *p, struct record *r)
{
    const uint8_t *at = p + QUEUE_HEAD;

    r->seq = be_get_64(p + 16);
    r->name = take(&at, p[1]);
    r->filters = take(&at, be_get_32(p + 24));
    r->wishes = take(&at, be_get_32(p + 28));
}

/* The size that a record's head and lengths ask for; 0: of no kind that there is, or not even its
 * head is there. */
static uint64_t announced(struct slice b)
{
    const uint8_t *p = b.p;

    switch (p[0]) {
    case RECORD_PUT:
        return b.n < PUT_HEAD ? 0
                              : PUT_HEAD + (uint64_t)p[2] + p[3] + be_get_16(p + 52) +
                                    (uint64_t)be_get_32(p + 48);
    case RECORD_SETTLED:
    case RECORD_RETAINED:
    case RECORD_REWOUND:
        return SETTLED_SIZE;
    case RECORD_RETURNED:
        return RETURNED_SIZE;
    case RECORD_QUEUE:
        return b.n < QUEUE_HEAD
                   ? 0
                   : QUEUE_HEAD + (uint64_t)p[1] + be_get_32(p + 24) + (uint64_t)be_get_32(p + 28);
    case RECORD_GONE:
        return GONE_SIZE;
    case RECORD_SEGMENTS:
        return SEGMENTS_HEAD + (uint64_t)be_get_32(p + 12) * RANGE_SIZE;
    default:
        return 0;
    }
}

bool record_decode(struct slice bytes, struct record *ret)
{
    const uint8_t *p = bytes.p;
    struct record r = {0};
    uint64_t size;

    if (bytes.n < GONE_SIZE)
        return false;
    size = format_padded(announced(bytes));
    if (!size || size > bytes.n || size != be_get_32(p + 4))
        return false;
    r.kind = (enum record_kind)p[0];
    r.size = (uint32_t)size;
    r.queue = be_get_32(p + 8);
    r.segment = be_get_32(p + 12);
    switch (r.kind) {
    case RECORD_PUT:
        put_decode(p, &r);
        break;
    case RECORD_SETTLED:
        r.seq = be_get_64(p + 16);
        r.count = be_get_32(p + 24);
        break;
    case RECORD_RETAINED:
    case RECORD_REWOUND:
        r.seq = be_get_64(p + 16);
        r.count = be_get_32(p + 24);
        r.time_ms = (int64_t)((uint64_t)be_get_16(p + 1) << 32 | be_get_32(p + 28));
        break;
    case RECORD_RETURNED:
        r.seq = be_get_64(p + 16);
        r.attempts = be_get_32(p + 24);
        r.due_ms = (int64_t)be_get_64(p + 32);
        break;
    case RECORD_QUEUE:
        queue_decode(p, &r);
        break;
    case RECORD_GONE:
        r.last = be_get_32(p + 16);
        break;
    case RECORD_SEGMENTS:
        r.segment = 0;
        r.data = slice_of(p + SEGMENTS_HEAD, size - SEGMENTS_HEAD);
        break;
    }
    *ret = r;
    return true;
}

unsigned record_newer(struct slice bytes)
{
    const uint8_t *p = bytes.p;

    return bytes.n >= GONE_SIZE && p[0] > RECORD_KINDS && be_get_32(p + 4) % 8 == 0 &&
                   be_get_32(p + 4) <= bytes.n
               ? p[0]
               : 0;
}

void range_encode(uint32_t first, uint32_t last, uint8_t *to)
{
    be_put_32(be_put_32(to, first), last);
}

bool range_decode(struct slice ranges, size_t i, uint32_t *ret_first, uint32_t *ret_last)
{
    if (i >= ranges.n / RANGE_SIZE)
        return false;
    *ret_first = be_get_32(ranges.p + i * RANGE_SIZE);
    *ret_last = be_get_32(ranges.p + i * RANGE_SIZE + 4);
    return true;
}

bool record_decode_put(struct slice bytes, struct record *ret)
{
    struct record r;

    if (!record_decode(bytes, &r) || r.kind != RECORD_PUT ||
        put_check(bytes.p, r.size) != be_get_32(bytes.p + 12))
        return false;
    *ret = r;
    return true;
}
