#include "libbroker/wire/stomp.h"

static const struct {
    const char *word;
    uint8_t n;
} words[] = {{"?", 1},
#define X(name) {#name, sizeof #name - 1},
             STOMP_COMMANDS(X)
#undef X
};

enum { WORDS = sizeof words / sizeof words[0] };

const char *stomp_word(enum stomp_command c)
{
    return words[c].word;
}

static enum stomp_command command_of(struct slice word)
{
    for (unsigned i = 1; i < WORDS; i++)
        if (word.n == words[i].n && memcmp(word.p, words[i].word, word.n) == 0)
            return (enum stomp_command)i;
    return STOMP_UNKNOWN;
}

size_t stomp_skip(struct slice in)
{
    size_t n = 0;

    while (n < in.n && (in.p[n] == '\n' || in.p[n] == '\r'))
        n++;
    return n;
}

bool stomp_number(struct slice text, uint64_t *ret)
{
    uint64_t n = 0;

    if (text.n == 0 || text.n > 19)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(text.p[i] - '0');
    }
    *ret = n;
    return true;
}

bool stomp_find(const struct stomp_frame *f, struct slice name, struct slice *ret)
{
    for (unsigned i = 0; i < f->headers_n; i++) {
        if (slice_eq(f->header[i].name, name)) {
            *ret = f->header[i].value;
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------------------- reading */

static enum wire_status bad(const char **reterr_why, const char *text)
{
    *reterr_why = text;
    return WIRE_BAD;
}

/* "C style string literal escapes": "Undefined escape sequences such as \t MUST be treated as a
 * fatal protocol error." 0: this is one. */
static uint8_t unescaped(enum stomp_version v, uint8_t c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 'c':
        return ':';
    case '\\':
        return '\\';
    case 'r':
        return v == STOMP_1_2 ? '\r' : 0;
    default:
        return 0;
    }
}

/* Take the escapes out of *s, writing to *to, which moves on. */
static bool unescape(enum stomp_version v, struct slice *s, uint8_t **to)
{
    uint8_t *p = *to;

    if (!s->n || !memchr(s->p, '\\', s->n))
        return true;
    for (size_t i = 0; i < s->n; i++) {
        uint8_t c = s->p[i];

        if (c == '\\') {
            c = ++i < s->n ? unescaped(v, s->p[i]) : 0;
            if (!c)
                return false;
        }
        *p++ = c;
    }
    *s = slice_of(*to, (size_t)(p - *to));
    *to = p;
    return true;
}

static bool is_escaped(const struct stomp_reader *r, enum stomp_command c)
{
    return r->version != STOMP_1_0 && c != STOMP_CONNECT && c != STOMP_STOMP &&
           c != STOMP_CONNECTED;
}

/* The line at the front of `in`, without its EOL; *ret_used with it. False: it is not all there. */
static bool take_line(struct slice in, struct slice *ret, size_t *ret_used)
{
    const uint8_t *end = in.n ? memchr(in.p, '\n', in.n) : NULL;

    if (!end)
        return false;
    *ret = slice_of(in.p, (size_t)(end - in.p));
    *ret_used = ret->n + 1;
    if (ret->n && ret->p[ret->n - 1] == '\r')
        ret->n--;
    return true;
}

/* Split header lines from `at` on into f->header. WIRE_FRAME: to the empty line, at the end of
 * f->head. */
static enum wire_status read_headers(struct slice in, size_t at, struct stomp_frame *f,
                                     const char **reterr_why)
{
    size_t used;

    for (struct slice line; take_line(slice_from(in, at), &line, &used); at += used) {
        const uint8_t *colon;

        if (line.n == 0) {
            f->head = slice_of(in.p, at + used);
            return f->head.n > STOMP_HEAD_MAX ? bad(reterr_why, "the headers are too long in all")
                                              : WIRE_FRAME;
        }
        if (line.n > STOMP_LINE_MAX)
            return bad(reterr_why, "a header line is too long");
        if (f->headers_n == STOMP_HEADERS_MAX)
            return bad(reterr_why, "too many headers");
        colon = memchr(line.p, ':', line.n);
        if (!colon)
            return bad(reterr_why, "a header line has no colon");
        if (colon == line.p)
            return bad(reterr_why, "a header has no name");
        f->header[f->headers_n++] = (struct header){
            .name = slice_of(line.p, (size_t)(colon - line.p)),
            .value = slice_of(colon + 1, line.n - (size_t)(colon - line.p) - 1),
        };
    }
    if (in.n - at > STOMP_LINE_MAX + 1) /* one may be the CR before the LF to come */
        return bad(reterr_why, "a header line is too long");
    if (in.n > STOMP_HEAD_MAX)
        return bad(reterr_why, "the headers are too long in all");
    return WIRE_MORE;
}

/* Command and headers, as they are written. */
static enum wire_status read_head(struct slice in, struct stomp_frame *f, const char **reterr_why)
{
    size_t used;

    f->headers_n = 0;
    if (!take_line(in, &f->word, &used)) {
        /* One may be the CR before the LF that is to come. */
        return in.n > STOMP_COMMAND_MAX + 1 ? bad(reterr_why, "the command is too long")
                                            : WIRE_MORE;
    }
    if (f->word.n > STOMP_COMMAND_MAX)
        return bad(reterr_why, "the command is too long");
    f->command = command_of(f->word);
    return read_headers(in, used, f, reterr_why);
}

static enum wire_status take_escapes(const struct stomp_reader *r, struct stomp_frame *f,
                                     const char **reterr_why)
{
    uint8_t *to = f->text;

    if (!is_escaped(r, f->command) || !memchr(f->head.p, '\\', f->head.n))
        return WIRE_FRAME;
    for (unsigned i = 0; i < f->headers_n; i++)
        if (!unescape(r->version, &f->header[i].name, &to) ||
            !unescape(r->version, &f->header[i].value, &to))
            return bad(reterr_why, "a header has an unknown escape");
    return WIRE_FRAME;
}

/* A body whose length is known. */
static enum wire_status read_measured(struct stomp_reader *r, struct slice in,
                                      struct stomp_frame *f, uint64_t n, size_t *ret_used,
                                      const char **reterr_why)
{
    size_t all = f->head.n + (size_t)n + 1;

    if (in.n < all) {
        r->need = all;
        return WIRE_MORE;
    }
    if (in.p[all - 1] != 0)
        return bad(reterr_why, "the body is longer than its content-length");
    f->body = slice_of(in.p + f->head.n, (size_t)n);
    *ret_used = all;
    return WIRE_FRAME;
}

/* A body up to the first NUL. */
static enum wire_status read_terminated(struct stomp_reader *r, struct slice in,
                                        struct stomp_frame *f, size_t *ret_used,
                                        const char **reterr_why)
{
    size_t from = r->scanned > f->head.n && r->scanned <= in.n ? r->scanned : f->head.n;
    const uint8_t *end = in.n > from ? memchr(in.p + from, 0, in.n - from) : NULL;
    size_t n = (end ? (size_t)(end - in.p) : in.n) - f->head.n;

    if (n > r->body_max)
        return bad(reterr_why, "the body is too large");
    if (!end) {
        r->scanned = in.n;
        return WIRE_MORE;
    }
    f->body = slice_of(in.p + f->head.n, n);
    *ret_used = f->head.n + n + 1;
    return WIRE_FRAME;
}

static enum wire_status read_body(struct stomp_reader *r, struct slice in, struct stomp_frame *f,
                                  size_t *ret_used, const char **reterr_why)
{
    struct slice text;
    uint64_t n;

    f->has_length = stomp_find(f, SLICE("content-length"), &text);
    if (!f->has_length)
        return read_terminated(r, in, f, ret_used, reterr_why);
    if (!stomp_number(text, &n))
        return bad(reterr_why, "content-length is not a number");
    if (n > r->body_max)
        return bad(reterr_why, "the body is too large");
    return read_measured(r, in, f, n, ret_used, reterr_why);
}

enum wire_status stomp_decode(struct stomp_reader *r, struct slice in, struct stomp_frame *f,
                              size_t *ret_used, const char **reterr_why)
{
    enum wire_status s;

    r->need = 0;
    s = read_head(in, f, reterr_why);
    if (s == WIRE_MORE && in.n && memchr(in.p, 0, in.n)) /* else it would wait for ever */
        return bad(reterr_why, "a NUL before the end of the headers");
    if (s == WIRE_FRAME && memchr(f->head.p, 0, f->head.n))
        return bad(reterr_why, "a NUL before the end of the headers");
    if (s == WIRE_FRAME)
        s = take_escapes(r, f, reterr_why);
    if (s == WIRE_FRAME)
        s = read_body(r, in, f, ret_used, reterr_why);
    if (s != WIRE_MORE)
        r->scanned = 0;
    return s;
}

/* ------------------------------------------------------------------------------- writing */

/* What stands behind the backslash for `c`; 0: it is written as it is; ' ': it cannot be. */
static uint8_t escape_of(enum stomp_version v, uint8_t c)
{
    switch (c) {
    case '\n':
        return v == STOMP_1_0 ? ' ' : 'n';
    case ':':
        return v == STOMP_1_0 ? 0 : 'c';
    case '\\':
        return v == STOMP_1_0 ? 0 : '\\';
    case '\r':
        return v == STOMP_1_2 ? 'r' : ' ';
    case '\0':
        return ' ';
    default:
        return 0;
    }
}

uint8_t *stomp_put_text(uint8_t *p, enum stomp_version v, struct slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        uint8_t e = escape_of(v, text.p[i]);

        if (e && e != ' ')
            *p++ = '\\';
        *p++ = e ? e : text.p[i];
    }
    return p;
}

uint8_t *stomp_put_header(uint8_t *p, enum stomp_version v, struct slice name, struct slice value)
{
    p = stomp_put(p, name);
    *p++ = ':';
    p = stomp_put_text(p, v, value);
    *p++ = '\n';
    return p;
}

uint8_t *stomp_put_number(uint8_t *p, uint64_t n)
{
    uint8_t digit[20];
    size_t k = sizeof digit;

    do {
        digit[--k] = (uint8_t)('0' + n % 10);
        n /= 10;
    } while (n);
    memcpy(p, digit + k, sizeof digit - k);
    return p + (sizeof digit - k);
}
