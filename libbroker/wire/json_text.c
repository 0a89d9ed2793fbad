#include "libbroker/wire/json_text.h"

#include "libbroker/base/rune.h"

#include <errno.h>
#include <stdlib.h>

/* A name, until its object is closed. */
struct key {
    uint64_t hash; /* of the name without its escapes */
    const uint8_t *where;
};

struct scan {
    const uint8_t *p, *end;
    struct json_fault *fault;
    struct json_member *top; /* members of the outermost object go here, unless NULL */
    unsigned top_n, top_max;
    unsigned depth;
    bool unique;
    unsigned keys_n;
    struct key key[JTEXT_MEMBERS_MAX]; /* of the objects that are open */
};

static bool fail_at(struct scan *s, const uint8_t *where, const char *what)
{
    *s->fault = (struct json_fault){what, where};
    return false;
}

static bool fail(struct scan *s, const char *what)
{
    return fail_at(s, s->p, what);
}

static void skip_blanks(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\r' || *s->p == '\n'))
        s->p++;
}

static bool at(const struct scan *s, uint8_t c)
{
    return s->p < s->end && *s->p == c;
}

/* ------------------------------------------------------------------------------- strings */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The number after `\u`, four digits at `p`; -1 if they are not. */
static int32_t hex4(const uint8_t *p, const uint8_t *end)
{
    int32_t v = 0;

    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int d = hex_digit(p[i]);

        if (d < 0)
            return -1;
        v = v << 4 | d;
    }
    return v;
}

/* What the letter after a backslash stands for; 0: none. */
static uint8_t plain_escape(uint8_t c)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";

    for (unsigned i = 0; i < sizeof from - 1; i++) {
        if (c == (uint8_t)from[i])
            return (uint8_t)to[i];
    }
    return 0;
}

/* The character that the escape at *p, its backslash passed, stands for. What is wrong with it, or
 * NULL. */
static const char *escape(const uint8_t **p, const uint8_t *end, uint32_t *ret)
{
    const uint8_t *at = *p;
    int32_t v, low;

    if (at == end)
        return "the line ends within a string";
    *ret = plain_escape(*at);
    if (*ret) {
        *p = at + 1;
        return NULL;
    }
    if (*at != 'u' || (v = hex4(at + 1, end)) < 0)
        return "an escape that is none of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX";
    if (v == 0)
        return "a NUL character in a string";
    at += 5;
    *ret = (uint32_t)v;
    if (v >= 0xd800 && v <= 0xdfff) {
        if (v > 0xdbff || end - at < 6 || at[0] != '\\' || at[1] != 'u' ||
            (low = hex4(at + 2, end)) < 0xdc00 || low > 0xdfff)
            return "half a surrogate pair";
        at += 6;
        *ret = 0x10000 + (((uint32_t)v - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
    }
    *p = at;
    return NULL;
}

/* Anything that ends a stretch of ASCII that stands for itself. */
static inline bool is_special(uint8_t c)
{
    return c < 0x20 || c == '"' || c == '\\' || c >= 0x80;
}

static const char *control_text(uint8_t c)
{
    if (c == 0)
        return "a NUL character";
    return c == '\n' || c == '\r' ? "a line break in a string"
                                  : "a control character in a string; write it as \\uXXXX";
}

static uint64_t hash_step(uint64_t hash, uint32_t c)
{
    return (hash ^ c) * UINT64_C(0x9e3779b97f4a7c15) + (hash >> 29);
}

/* One character that is not plain ASCII. */
static bool special(struct scan *s, uint32_t *ret)
{
    const uint8_t *after = s->p + 1;
    const char *what;
    size_t n;

    if (*s->p == '\\') {
        what = escape(&after, s->end, ret);
        if (what)
            return fail(s, what);
        s->p = after;
        return true;
    }
    if (*s->p < 0x20)
        return fail(s, control_text(*s->p));
    n = rune_decode(s->p, (size_t)(s->end - s->p), ret);
    if (n == 0)
        return fail(s, "not UTF-8");
    s->p += n;
    return true;
}

/* A string whose quote is at s->p; what stands within goes to *ret, its hash to *ret_hash (NULL:
 * no need). */
static bool string(struct scan *s, struct slice *ret, uint64_t *ret_hash)
{
    const uint8_t *start = ++s->p;
    uint64_t hash = 0;
    uint32_t c = 0;

    for (;;) {
        if (!ret_hash) {
            while (s->p < s->end && !is_special(*s->p))
                s->p++;
        }
        if (s->p == s->end)
            return fail(s, "the line ends within a string");
        if (*s->p == '"')
            break;
        if (!is_special(*s->p))
            c = *s->p++;
        else if (!special(s, &c))
            return false;
        hash = hash_step(hash, c);
    }
    if (ret)
        *ret = slice_of(start, (size_t)(s->p - start));
    if (ret_hash)
        *ret_hash = hash;
    s->p++;
    return true;
}

/* ------------------------------------------------------------------------- numbers and words */

static bool digits(struct scan *s)
{
    const uint8_t *start = s->p;

    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
    return s->p > start || fail(s, "a digit is missing");
}

static bool number(struct scan *s)
{
    if (at(s, '-'))
        s->p++;
    if (at(s, '0')) {
        s->p++;
        if (s->p < s->end && *s->p >= '0' && *s->p <= '9')
            return fail(s, "a number must not begin with 0");
    } else if (!digits(s)) {
        return false;
    }
    if (at(s, '.')) {
        s->p++;
        if (!digits(s))
            return false;
    }
    if (at(s, 'e') || at(s, 'E')) {
        s->p++;
        if (at(s, '+') || at(s, '-'))
            s->p++;
        return digits(s);
    }
    return true;
}

static bool word(struct scan *s, struct slice expected)
{
    if (!slice_starts(slice_of(s->p, (size_t)(s->end - s->p)), expected))
        return fail(s, "expected a value; text stands in double quotes");
    s->p += expected.n;
    return true;
}

/* -------------------------------------------------------------------------- objects and arrays */

static int by_hash(const void *a, const void *b)
{
    const struct key *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->where < y->where ? -1 : x->where > y->where;
}

/* No name twice among those from `first` on. Names of one hash count as one name: it has 64 bits,
 * and who finds two such has but his own message refused. */
static bool keys_differ(struct scan *s, unsigned first)
{
    struct key *k = s->key + first;
    unsigned n = s->keys_n - first;

    s->keys_n = first;
    if (!s->unique || n < 2)
        return true;
    qsort(k, n, sizeof *k, by_hash);
    for (unsigned i = 1; i < n; i++) {
        if (k[i].hash == k[i - 1].hash)
            return fail_at(s, k[i].where, "a name twice in one object");
    }
    return true;
}

static bool value(struct scan *s);

static bool enter(struct scan *s)
{
    if (++s->depth > JTEXT_DEPTH_MAX)
        return fail(s, "nested deeper than 64 levels");
    s->p++;
    skip_blanks(s);
    return true;
}

/* After a member or an element: is there one more? False too at the end or when something else
 * stands there. */
static bool has_more(struct scan *s, uint8_t closing, bool *ret_ok)
{
    skip_blanks(s);
    *ret_ok = true;
    if (at(s, ',')) {
        s->p++;
        skip_blanks(s);
        return true;
    }
    if (at(s, closing))
        s->p++;
    else
        *ret_ok = fail(s, closing == '}' ? "expected a comma, or } to end the object"
                                         : "expected a comma, or ] to end the array");
    return false;
}

static bool keep_top(struct scan *s, struct slice name, const uint8_t *start)
{
    if (!s->top || s->depth > 1)
        return true;
    if (s->top_n == s->top_max)
        return fail_at(s, name.p - 1, "more members than any message has");
    s->top[s->top_n++] = (struct json_member){name, slice_of(start, (size_t)(s->p - start))};
    return true;
}

static bool member(struct scan *s)
{
    struct slice name;
    const uint8_t *start;
    uint64_t hash;

    if (!at(s, '"'))
        return fail(s, "expected a name in double quotes");
    if (s->keys_n == JTEXT_MEMBERS_MAX)
        return fail(s, "more than 4096 members");
    s->key[s->keys_n].where = s->p;
    if (!string(s, &name, &hash))
        return false;
    s->key[s->keys_n++].hash = hash;
    skip_blanks(s);
    if (!at(s, ':'))
        return fail(s, "expected a colon after the name");
    s->p++;
    skip_blanks(s);
    start = s->p;
    return value(s) && keep_top(s, name, start);
}

static bool object(struct scan *s)
{
    unsigned first = s->keys_n;
    bool ok;

    if (!enter(s))
        return false;
    if (at(s, '}')) {
        s->p++;
    } else {
        do {
            if (!member(s))
                return false;
        } while (has_more(s, '}', &ok));
        if (!ok)
            return false;
    }
    s->depth--;
    return keys_differ(s, first);
}

static bool array(struct scan *s)
{
    bool ok;

    if (!enter(s))
        return false;
    if (at(s, ']')) {
        s->p++;
    } else {
        do {
            if (!value(s))
                return false;
        } while (has_more(s, ']', &ok));
        if (!ok)
            return false;
    }
    s->depth--;
    return true;
}

/* As deep as JTEXT_DEPTH_MAX, never deeper: a few KiB of stack. */
static bool value(struct scan *s)
{
    if (s->p == s->end)
        return fail(s, "the line ends where a value is expected");
    switch (*s->p) {
    case '{':
        return object(s);
    case '[':
        return array(s);
    case '"':
        return string(s, NULL, NULL);
    case 't':
        return word(s, SLICE("true"));
    case 'f':
        return word(s, SLICE("false"));
    case 'n':
        return word(s, SLICE("null"));
    case '-':
    case '0' ... '9':
        return number(s);
    default:
        return fail(s, *s->p == 0 ? "a NUL character"
                                  : "expected a value; text stands in double quotes");
    }
}

static int scan_all(struct scan *s, struct slice text)
{
    s->p = text.p;
    s->end = text.p + text.n;
    skip_blanks(s);
    if (s->top && !at(s, '{')) {
        fail(s, "expected an object: {\"id\": ..., \"data\": ...}");
        return -EPROTO;
    }
    if (!value(s))
        return -EPROTO;
    skip_blanks(s);
    if (s->p < s->end) {
        fail(s, "more after the end of the value");
        return -EPROTO;
    }
    return 0;
}

/* `key` is not cleared: 64 KiB. */
static void scan_start(struct scan *s, bool unique, struct json_fault *fault)
{
    s->fault = fault;
    s->top = NULL;
    s->top_n = s->top_max = 0;
    s->depth = 0;
    s->unique = unique;
    s->keys_n = 0;
}

int jtext_check(struct slice text, bool unique, struct json_fault *ret)
{
    struct scan s;

    scan_start(&s, unique, ret);
    return scan_all(&s, text);
}

int jtext_members(struct slice text, struct json_member *m, unsigned max, unsigned *ret_n,
                  struct json_fault *ret)
{
    struct scan s;
    int r;

    scan_start(&s, true, ret);
    s.top = m;
    s.top_max = max;
    r = scan_all(&s, text);
    if (r == 0)
        *ret_n = s.top_n;
    return r;
}

void jtext_place(struct slice text, const uint8_t *where, unsigned *ret_line, unsigned *ret_column)
{
    unsigned line = 1, column = 1;

    for (const uint8_t *p = text.p; p < where; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if ((*p & 0xc0) != 0x80) { /* not the inside of a character */
            column++;
        }
    }
    *ret_line = line;
    *ret_column = column;
}

/* ------------------------------------------------------------------------------------ writing */

static uint8_t *put_rune(uint8_t *p, uint32_t c)
{
    if (c < 0x80) {
        *p++ = (uint8_t)c;
    } else if (c < 0x800) {
        *p++ = (uint8_t)(0xc0 | c >> 6);
        *p++ = (uint8_t)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *p++ = (uint8_t)(0xe0 | c >> 12);
        *p++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        *p++ = (uint8_t)(0x80 | (c & 0x3f));
    } else {
        *p++ = (uint8_t)(0xf0 | c >> 18);
        *p++ = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        *p++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        *p++ = (uint8_t)(0x80 | (c & 0x3f));
    }
    return p;
}

size_t jtext_unescape(struct slice s, uint8_t *to)
{
    const uint8_t *in = s.p, *end = s.p + s.n;
    uint8_t *p = to;
    uint32_t c;

    while (in < end) {
        if (*in != '\\') {
            *p++ = *in++;
            continue;
        }
        in++;
        if (escape(&in, end, &c))
            break; /* it has been checked: never */
        p = put_rune(p, c);
    }
    return (size_t)(p - to);
}

/* The letter that a control character or quote is written with after a backslash; 0: `\u00XX`. */
static char short_escape(uint8_t c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    default:
        return 0;
    }
}

static bool needs_escape(uint8_t c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

size_t jtext_string_size(struct slice s)
{
    size_t n = s.n + 2;

    for (size_t i = 0; i < s.n; i++) {
        if (needs_escape(s.p[i]))
            n += short_escape(s.p[i]) ? 1 : 5;
    }
    return n;
}

uint8_t *jtext_put_string(uint8_t *p, struct slice s)
{
    static const char hex[] = "0123456789abcdef";

    *p++ = '"';
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];

        if (!needs_escape(c)) {
            *p++ = c;
        } else if (short_escape(c)) {
            *p++ = '\\';
            *p++ = (uint8_t)short_escape(c);
        } else {
            memcpy(p, "\\u00", 4);
            p[4] = (uint8_t)hex[c >> 4];
            p[5] = (uint8_t)hex[c & 15];
            p += 6;
        }
    }
    *p++ = '"';
    return p;
}

uint8_t *jtext_put_value(uint8_t *p, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) /* in a checked value they stand between its parts only */
        p[i] = s.p[i] == '\n' || s.p[i] == '\r' ? ' ' : s.p[i];
    return p + s.n;
}

uint8_t *base64_put(uint8_t *p, struct slice s)
{
    static const char letter[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < s.n; i += 3) {
        uint32_t v = (uint32_t)s.p[i] << 16;

        if (i + 1 < s.n)
            v |= (uint32_t)s.p[i + 1] << 8;
        if (i + 2 < s.n)
            v |= s.p[i + 2];
        *p++ = (uint8_t)letter[v >> 18];
        *p++ = (uint8_t)letter[v >> 12 & 63];
        *p++ = i + 1 < s.n ? (uint8_t)letter[v >> 6 & 63] : '=';
        *p++ = i + 2 < s.n ? (uint8_t)letter[v & 63] : '=';
    }
    return p;
}

static int base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(struct slice s, uint8_t *to, size_t *ret_n)
{
    uint32_t v = 0;
    uint8_t *p = to;
    size_t n = s.n;

    if (s.n % 4 != 0)
        return -EPROTO;
    while (n > 0 && s.n - n < 2 && s.p[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n; i++) {
        int d = base64_digit(s.p[i]);

        if (d < 0)
            return -EPROTO;
        v = v << 6 | (uint32_t)d;
        if (i % 4 > 0)
            *p++ = (uint8_t)(v >> (6 - 2 * (i % 4)));
    }
    if (n % 4 > 0 && (v & ((1U << (n % 4 == 2 ? 4 : 2)) - 1)))
        return -EPROTO; /* bits that are part of no byte */
    *ret_n = (size_t)(p - to);
    return 0;
}
