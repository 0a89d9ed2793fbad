#include "libbroker/wire/json_line.h"

#include "libbroker/base/utf8.h"

#include <errno.h>
#include <strings.h>

enum wire_status jline_frame(struct json_framer *f, size_t max, struct slice in, struct slice *ret,
                             size_t *ret_used)
{
    size_t look = in.n < max + 2 ? in.n : max + 2, n; /* a line of `max`, CR, LF */
    const uint8_t *lf = look > f->looked ? memchr(in.p + f->looked, '\n', look - f->looked) : NULL;

    if (!lf) {
        f->looked = look;
        return look == max + 2 ? WIRE_BAD : WIRE_MORE;
    }
    n = (size_t)(lf - in.p);
    *ret_used = n + 1;
    if (n > 0 && in.p[n - 1] == '\r')
        n--;
    if (n > max)
        return WIRE_BAD;
    *ret = slice_of(in.p, n);
    f->looked = 0;
    f->line_n++;
    return WIRE_FRAME;
}

/* ------------------------------------------------------------------------------- the message */

static int fault(struct json_fault *ret, const uint8_t *where, const char *what)
{
    *ret = (struct json_fault){what, where};
    return -EPROTO;
}

int jline_read(struct slice line, struct json_message *ret, struct json_fault *ret_fault)
{
    struct json_message m = {.id = {NULL, 0}};
    struct json_member member[3];
    unsigned n = 0;
    int r = jtext_members(line, member, 3, &n, ret_fault);

    if (r < 0)
        return r;
    for (unsigned i = 0; i < n; i++) {
        struct slice v = member[i].value;

        if (slice_eq(member[i].name, SLICE("id"))) {
            if (!jtext_is_string(v))
                return fault(ret_fault, v.p, "id must be a string");
            m.id = slice_of(v.p + 1, v.n - 2);
        } else if (slice_eq(member[i].name, SLICE("data"))) {
            m.data = v;
        } else if (slice_eq(member[i].name, SLICE("meta"))) {
            if (v.p[0] != '{')
                return fault(ret_fault, v.p, "meta must be an object");
            m.meta = v;
        } else {
            return fault(ret_fault, member[i].name.p - 1,
                         "a member that no message has: there are id, data and meta");
        }
    }
    if (!m.id.p || !m.data.p)
        return fault(ret_fault, line.p + line.n,
                     m.id.p ? "data is missing; it may be null" : "id is missing");
    *ret = m;
    return 0;
}

/* ------------------------------------------------------------------------------- the payload */

static bool same_word(struct slice s, struct slice word)
{
    return s.n == word.n && strncasecmp((const char *)s.p, (const char *)word.p, s.n) == 0;
}

bool jline_is_json(struct slice type)
{
    const uint8_t *end = type.n ? memchr(type.p, ';', type.n) : NULL;
    size_t n = end ? (size_t)(end - type.p) : type.n;

    while (n > 0 && type.p[n - 1] == ' ')
        n--;
    type.n = n;
    return same_word(type, SLICE("application/json")) || same_word(type, SLICE("text/json")) ||
           (n > 5 && same_word(slice_from(type, n - 5), SLICE("+json")));
}

enum jline_shape jline_shape(struct slice payload, bool is_json)
{
    struct json_fault ignored;

    if (is_json)
        return jtext_check(payload, false, &ignored) == 0 ? JLINE_VALUE : JLINE_BASE64;
    if (utf8_valid(payload) && (payload.n == 0 || !memchr(payload.p, 0, payload.n)))
        return JLINE_STRING;
    return JLINE_BASE64;
}

size_t jline_payload_size(enum jline_shape shape, struct slice payload)
{
    switch (shape) {
    case JLINE_VALUE:
        return payload.n;
    case JLINE_STRING:
        return jtext_string_size(payload);
    case JLINE_BASE64:
        break;
    }
    return base64_size(payload.n) + 2;
}

uint8_t *jline_put_payload(uint8_t *p, enum jline_shape shape, struct slice payload)
{
    switch (shape) {
    case JLINE_VALUE:
        return jtext_put_value(p, payload);
    case JLINE_STRING:
        return jtext_put_string(p, payload);
    case JLINE_BASE64:
        break;
    }
    *p++ = '"';
    p = base64_put(p, payload);
    *p++ = '"';
    return p;
}
