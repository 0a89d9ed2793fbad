#include "brokerd/store/redis/entry.h"

#include "libbroker/base/headers.h"
#include "libbroker/base/name.h"
#include "libbroker/base/utf8.h"

#include <errno.h>

enum { TYPE_NAME_MAX = 128 };

uint8_t *entry_write_number(uint8_t *p, uint64_t v)
{
    uint8_t digits[20];
    unsigned n = 0;

    do {
        digits[n++] = (uint8_t)('0' + v % 10);
        v /= 10;
    } while (v);
    while (n)
        *p++ = digits[--n];
    return p;
}

static uint8_t *put(uint8_t *p, uint64_t v)
{
    p = entry_write_number(p, v);
    *p++ = ' ';
    return p;
}

static uint8_t *put_bytes(uint8_t *p, struct slice s)
{
    if (s.n)
        memcpy(p, s.p, s.n);
    return p + s.n;
}

uint8_t *entry_write(uint8_t *p, const struct entry_facts *f)
{
    struct slice type = f->type.id == CTYPE_NAMED ? f->type.name : slice_of(NULL, 0);

    if (f->expires_ms == INT64_MAX) {
        *p++ = '-';
        *p++ = ' ';
    } else {
        p = put(p, f->expires_ms > 0 ? (uint64_t)f->expires_ms : 0);
    }
    p = put(p, f->time_ms > 0 ? (uint64_t)f->time_ms : 0);
    p = put(p, f->id);
    p = put(p, f->type.id);
    p = put(p, f->topic.n);
    p = put(p, type.n);
    p = put(p, f->headers.n);
    p = put_bytes(p, f->topic);
    p = put_bytes(p, type);
    return put_bytes(p, f->headers);
}

/* The digits at the front of `*s`, at least one, and then `end`. */
static bool take_number(struct slice *s, uint64_t max, char end, uint64_t *ret)
{
    uint64_t v = 0;
    size_t i = 0;

    for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++) {
        uint8_t digit = (uint8_t)(s->p[i] - '0');

        if (v > (max - digit) / 10)
            return false;
        v = 10 * v + digit;
    }
    if (i == 0 || i == s->n || s->p[i] != (uint8_t)end)
        return false;
    *ret = v;
    *s = slice_from(*s, i + 1);
    return true;
}

static struct slice cut(struct slice *s, uint64_t n)
{
    struct slice front = slice_of(s->p, (size_t)n);

    *s = slice_from(*s, (size_t)n);
    return front;
}

static bool is_type(struct ctype t)
{
    if (t.id != CTYPE_NAMED)
        return t.name.n == 0;
    for (size_t i = 0; i < t.name.n; i++)
        if (t.name.p[i] < ' ' || t.name.p[i] >= 0x7f)
            return false;
    return t.name.n > 0 && t.name.n <= TYPE_NAME_MAX;
}

/* As doors take them: some let line ends and tabs through, none other control characters. */
static bool is_text(struct slice s)
{
    return utf8_valid(s) && (!s.n || !memchr(s.p, '\0', s.n));
}

static bool are_headers(struct slice rest)
{
    struct header h;
    int r;

    while ((r = headers_next(&rest, &h)) > 0)
        if (!is_text(h.name) || !is_text(h.value))
            return false;
    return r == 0;
}

/* Could brokerd have written it? Anybody may write to Redis who has the right to, and the core
 * believes what it is told. A topic may be a queue's name, which the message was published to. */
static bool is_sound(const struct entry_facts *f)
{
    return !name_queue_error(f->topic, NAME_OF_BROKER) && is_type(f->type) &&
           are_headers(f->headers);
}

int entry_read(struct slice m, struct entry_facts *ret)
{
    uint64_t expires = INT64_MAX, time, id, type, topic_n, type_n, headers_n;

    if (slice_starts(m, SLICE("- ")))
        m = slice_from(m, 2);
    else if (!take_number(&m, INT64_MAX, ' ', &expires))
        return -EPROTO;
    if (!take_number(&m, INT64_MAX, ' ', &time) || !take_number(&m, UINT64_MAX, ' ', &id) ||
        !take_number(&m, CTYPE_NAMED, ' ', &type) || !take_number(&m, UINT16_MAX, ' ', &topic_n) ||
        !take_number(&m, UINT8_MAX, ' ', &type_n) ||
        !take_number(&m, UINT16_MAX, ' ', &headers_n) || topic_n + type_n + headers_n != m.n)
        return -EPROTO;
    ret->expires_ms = (int64_t)expires;
    ret->time_ms = (int64_t)time;
    ret->id = id;
    ret->topic = cut(&m, topic_n);
    ret->type = (struct ctype){(uint8_t)type, cut(&m, type_n)};
    ret->headers = m;
    return is_sound(ret) ? 0 : -EPROTO;
}

uint8_t *entry_write_id(uint8_t *p, uint64_t seq, uint64_t cum)
{
    p = entry_write_number(p, seq);
    *p++ = '-';
    return entry_write_number(p, cum);
}

int entry_read_id(struct slice id, uint64_t *ret_seq, uint64_t *ret_cum)
{
    uint64_t seq, cum = 0;

    if (!take_number(&id, UINT64_MAX, '-', &seq) || id.n == 0 || id.n > 20)
        return -EPROTO;
    for (size_t i = 0; i < id.n; i++) {
        uint8_t digit = (uint8_t)(id.p[i] - '0');

        if (digit > 9 || cum > (UINT64_MAX - digit) / 10)
            return -EPROTO;
        cum = 10 * cum + digit;
    }
    *ret_seq = seq;
    *ret_cum = cum;
    return 0;
}
