#include "libbroker/wire/http_chunks.h"

enum { AT_SIZE, AT_DATA, AT_DATA_END, AT_TRAILER };
enum { SIZE_DIGITS = 15 };

static enum wire_status bad(const char **ret_why, const char *why)
{
    *ret_why = why;
    return WIRE_BAD;
}

static int hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A line of at most `max` bytes, its CRLF not among *ret. */
static enum wire_status line_of(struct slice in, size_t max, struct slice *ret, const char **why)
{
    size_t n = in.n < max ? in.n : max;
    const uint8_t *lf = n ? memchr(in.p, '\n', n) : NULL;

    if (!lf)
        return in.n < max ? WIRE_MORE : bad(why, "a line between chunks is too long");
    if (lf == in.p || lf[-1] != '\r')
        return bad(why, "a line between chunks does not end with CR and LF");
    *ret = slice_of(in.p, (size_t)(lf - in.p) - 1);
    for (size_t i = 0; i < ret->n; i++) {
        if ((ret->p[i] < ' ' && ret->p[i] != '\t') || ret->p[i] == 0x7f)
            return bad(why, "a control character between chunks");
    }
    return WIRE_FRAME;
}

/* The size at the front of a line; what follows is an extension. */
static bool read_size(struct slice line, uint64_t *ret)
{
    size_t i = 0;

    *ret = 0;
    for (; i < line.n && hex(line.p[i]) >= 0; i++)
        *ret = *ret << 4 | (uint64_t)hex(line.p[i]);
    if (i == 0 || i > SIZE_DIGITS)
        return false;
    while (i < line.n && (line.p[i] == ' ' || line.p[i] == '\t'))
        i++;
    return i == line.n || (line.p[i] == ';' && i + 1 < line.n);
}

static enum wire_status take_size(struct http_chunks *s, struct slice in, size_t *used,
                                  const char **why)
{
    struct slice line;
    enum wire_status r = line_of(in, HTTP_CHUNK_LINE_MAX, &line, why);

    if (r != WIRE_FRAME)
        return r;
    if (!read_size(line, &s->left))
        return bad(why, "the size of a chunk is a hexadecimal number");
    *used = line.n + 2;
    s->at = s->left ? AT_DATA : AT_TRAILER;
    return WIRE_FRAME;
}

static enum wire_status take_data_end(struct http_chunks *s, struct slice in, size_t *used,
                                      const char **why)
{
    if (in.n < 2 && (in.n == 0 || in.p[0] == '\r'))
        return WIRE_MORE;
    if (in.p[0] != '\r' || in.p[1] != '\n')
        return bad(why, "a chunk is longer than its size");
    *used = 2;
    s->at = AT_SIZE;
    return WIRE_FRAME;
}

static enum wire_status take_trailer(struct http_chunks *s, struct slice in, size_t *used,
                                     const char **why)
{
    struct slice line;
    enum wire_status r = line_of(in, HTTP_TRAILER_MAX - s->trailer, &line, why);

    if (r != WIRE_FRAME)
        return r;
    if (line.n && (!memchr(line.p, ':', line.n) || line.p[0] == ' ' || line.p[0] == '\t'))
        return bad(why, "what follows the last chunk is no header field");
    *used = line.n + 2;
    s->trailer += (uint32_t)*used;
    s->done = line.n == 0;
    return WIRE_FRAME;
}

enum wire_status http_chunks_next(struct http_chunks *s, struct slice in, struct slice *ret,
                                  size_t *ret_used, const char **ret_why)
{
    *ret = slice_of(in.p, 0);
    *ret_used = 0;
    if (in.n == 0 || s->done)
        return WIRE_MORE;
    switch (s->at) {
    case AT_SIZE:
        return take_size(s, in, ret_used, ret_why);
    case AT_DATA:
        *ret_used = in.n < s->left ? in.n : (size_t)s->left;
        *ret = slice_of(in.p, *ret_used);
        s->left -= *ret_used;
        if (s->left == 0)
            s->at = AT_DATA_END;
        return WIRE_FRAME;
    case AT_DATA_END:
        return take_data_end(s, in, ret_used, ret_why);
    default:
        return take_trailer(s, in, ret_used, ret_why);
    }
}
