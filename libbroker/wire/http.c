#include "libbroker/wire/http.h"

#include <errno.h>
#include <http_parser.h>
#include <string.h>
#include <strings.h>

size_t http_head_end(struct slice bytes, size_t *seen)
{
    while (*seen < bytes.n) {
        const uint8_t *from = bytes.p + *seen, *lf = memchr(from, '\n', bytes.n - *seen);
        size_t at;

        if (!lf) {
            *seen = bytes.n;
            return 0;
        }
        at = (size_t)(lf - bytes.p) + 1; /* the line after it: is it empty? */
        if (at < bytes.n && bytes.p[at] == '\n')
            return at + 1;
        if (at + 1 < bytes.n && bytes.p[at] == '\r' && bytes.p[at + 1] == '\n')
            return at + 2;
        if (at == bytes.n || (at + 1 == bytes.n && bytes.p[at] == '\r')) {
            *seen = at - 1; /* looked at again when there is more */
            return 0;
        }
        *seen = at;
    }
    return 0;
}

/* ---- what the parser finds */

struct finding {
    struct http_request *r;
    int err;
    const char *why;
};

static struct slice trimmed(struct slice s)
{
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = slice_from(s, 1);
    return s;
}

static int found_wrong(struct finding *f, int err, const char *why)
{
    f->err = err;
    f->why = why;
    return 1;
}

static int on_url(http_parser *p, const char *at, size_t n)
{
    struct finding *f = p->data;

    f->r->target = slice_of(at, n);
    return 0;
}

/* The parser lets blanks in names and control characters in values pass. */
static bool has_none(const char *at, size_t n, bool of_blanks)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)at[i];

        if (c == 0x7f || (of_blanks ? c <= ' ' : c < ' ' && c != '\t'))
            return false;
    }
    return true;
}

static int on_name(http_parser *p, const char *at, size_t n)
{
    struct finding *f = p->data;
    struct http_request *r = f->r;

    if (!has_none(at, n, true))
        return found_wrong(f, -EPROTO, "a blank in the name of a header field");
    if (r->fields_n == HTTP_FIELDS_MAX)
        return found_wrong(f, -EMSGSIZE, "too many header fields");
    r->field[r->fields_n++] = (struct http_field){slice_of(at, n), slice_of(at + n, 0)};
    return 0;
}

static int on_value(http_parser *p, const char *at, size_t n)
{
    struct finding *f = p->data;
    struct http_field *field = &f->r->field[f->r->fields_n - 1];

    if (n == 0)
        return 0;
    if (field->value.n || memchr(at, '\n', n)) /* a value in two pieces is on two lines */
        return found_wrong(f, -EPROTO, "a header field goes on in the next line");
    if (!has_none(at, n, false))
        return found_wrong(f, -EPROTO, "a control character in a header field");
    field->value = trimmed(slice_of(at, n));
    return 0;
}

/* What follows is not the parser's: as if it were another protocol. */
static int on_end(http_parser *p)
{
    (void)p;
    return 2;
}

/* The parser bears lines that end with LF alone; the one in front of us may not. */
static bool lines_end_well(struct slice head)
{
    const uint8_t *lf;

    for (; (lf = memchr(head.p, '\n', head.n)) != NULL;
         head = slice_from(head, (size_t)(lf - head.p) + 1)) {
        if (lf == head.p || lf[-1] != '\r')
            return false;
    }
    return true;
}

static const char *what_is_wrong(const http_parser *p)
{
    if (HTTP_PARSER_ERRNO(p) == HPE_OK)
        return "no head of a request";
    if (HTTP_PARSER_ERRNO(p) == HPE_UNEXPECTED_CONTENT_LENGTH)
        return "the length of the body is said twice: expected one Content-Length, or "
               "Transfer-Encoding: chunked";
    return http_errno_description(HTTP_PARSER_ERRNO(p));
}

int http_parse(struct slice head, struct http_request *ret, const char **ret_why)
{
    static const http_parser_settings settings = {.on_url = on_url,
                                                  .on_header_field = on_name,
                                                  .on_header_value = on_value,
                                                  .on_headers_complete = on_end};
    struct finding f = {.r = ret};
    const char *blank;
    http_parser p;
    size_t used;

    ret->fields_n = 0;
    ret->method = ret->target = slice_of(head.p, 0);
    if (!lines_end_well(head)) {
        *ret_why = "a line does not end with CR and LF";
        return -EPROTO;
    }
    http_parser_init(&p, HTTP_REQUEST);
    p.data = &f;
    used = http_parser_execute(&p, &settings, (const char *)head.p, head.n);
    *ret_why = f.why;
    if (f.err)
        return f.err;
    if (HTTP_PARSER_ERRNO(&p) != HPE_OK || used != head.n || !p.upgrade) {
        *ret_why = what_is_wrong(&p);
        return -EPROTO;
    }
    blank = memchr(head.p, ' ', head.n);
    ret->method = slice_of(head.p, blank ? (size_t)(blank - (const char *)head.p) : 0);
    ret->major = p.http_major;
    ret->minor = p.http_minor;
    return 0;
}

/* ---- what is asked of it */

bool http_same(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || strncasecmp((const char *)a.p, (const char *)b.p, a.n) == 0);
}

bool http_field(const struct http_request *r, const char *name, struct slice *ret)
{
    for (unsigned i = 0; i < r->fields_n; i++) {
        if (!http_same(r->field[i].name, slice_str(name)))
            continue;
        *ret = r->field[i].value;
        return true;
    }
    return false;
}

bool http_next(const struct http_request *r, const char *name, struct http_list *at,
               struct slice *ret)
{
    for (; at->field < r->fields_n; at->field++, at->at = 0) {
        struct slice value = r->field[at->field].value;

        if (!http_same(r->field[at->field].name, slice_str(name)))
            continue;
        while (at->at < value.n) {
            struct slice left = slice_from(value, at->at);
            const uint8_t *comma = memchr(left.p, ',', left.n);
            size_t n = comma ? (size_t)(comma - left.p) : left.n;

            at->at += n + (comma != NULL);
            *ret = trimmed(slice_of(left.p, n));
            if (ret->n)
                return true;
        }
    }
    return false;
}

bool http_has_token(const struct http_request *r, const char *name, const char *token)
{
    struct http_list at = {0};
    struct slice s;

    while (http_next(r, name, &at, &s)) {
        if (http_same(s, slice_str(token)))
            return true;
    }
    return false;
}
