#include "brokerd/doors/body.h"

#include "brokerd/doors/options.h"
#include "libbroker/base/headers.h"

#include <inttypes.h>
#include <stdio.h>

struct jbody_type jbody_type(struct ctype t)
{
    struct slice name = ctype_name(t);

    return (struct jbody_type){
        .name = name,
        .is_json = jline_is_json(name),
        .is_plain = slice_eq(name, SLICE("application/json")),
    };
}

struct jbody jbody_of(struct slice payload, struct slice headers, const struct jbody_type *t)
{
    struct jbody b = {.payload = payload, .headers = headers};

    b.shape = jline_shape(payload, t->is_json);
    /* A value that is no string can be of no other type; a string without a type is text. */
    if (!t->is_plain || b.shape != JLINE_VALUE || memchr("\" \t\r\n", payload.p[0], 5))
        b.type = t->name;
    return b;
}

/* ----------------------------------------------------------------------------------- the room */

static size_t headers_room(struct slice headers)
{
    size_t n = 0;
    struct header h;

    while (headers_next(&headers, &h) > 0)
        n += jtext_string_size(h.name) + jtext_string_size(h.value) + 4;
    return n;
}

size_t jbody_data_room(const struct jbody *b)
{
    return b->shape == JLINE_BASE64 ? 4 : jline_payload_size(b->shape, b->payload);
}

size_t jbody_more_room(const struct jbody *b)
{
    size_t n = sizeof "\"type\":,\"headers\":{},\"base64\":\"\"," + jtext_string_size(b->type) +
               headers_room(b->headers);

    return b->shape == JLINE_BASE64 ? n + base64_size(b->payload.n) : n;
}

/* ------------------------------------------------------------------------------------ writing */

uint8_t *jput(uint8_t *p, struct slice s)
{
    if (s.n)
        memcpy(p, s.p, s.n);
    return p + s.n;
}

uint8_t *jput_number(uint8_t *p, uint64_t n)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%" PRIu64, n);

    return jput(p, slice_of(text, (size_t)size));
}

uint8_t *jput_name(uint8_t *p, struct slice name)
{
    if (p[-1] != '{')
        *p++ = ',';
    p = jtext_put_string(p, name);
    *p++ = ':';
    return p;
}

/* All headers after the first of a name stand in its array. */
static bool is_first(struct slice all, const struct header *h)
{
    struct slice value;

    return headers_find(all, h->name, &value) && value.p == h->value.p;
}

static uint8_t *put_values(uint8_t *p, struct slice rest, const struct header *first)
{
    uint8_t *array = p;
    struct header h;

    p = jtext_put_string(p, first->value);
    while (headers_next(&rest, &h) > 0) {
        if (!slice_eq(h.name, first->name))
            continue;
        if (*array != '[') {
            memmove(array + 1, array, (size_t)(p - array));
            *array = '[';
            p++;
        }
        *p++ = ',';
        p = jtext_put_string(p, h.value);
    }
    if (*array == '[')
        *p++ = ']';
    return p;
}

/* Those of the broker's (`$`, said without it) or those of users. */
static uint8_t *put_headers(uint8_t *p, struct slice all, bool ours)
{
    struct slice rest = all;
    struct header h;

    while (headers_next(&rest, &h) > 0) {
        if ((h.name.p[0] == '$') != ours || !is_first(all, &h))
            continue;
        if (ours)
            p = jtext_put_string(jput_name(p, slice_from(h.name, 1)), h.value);
        else
            p = put_values(jput_name(p, h.name), rest, &h);
    }
    return p;
}

static bool has_users(struct slice headers)
{
    struct header h;

    while (headers_next(&headers, &h) > 0) {
        if (h.name.p[0] != '$')
            return true;
    }
    return false;
}

uint8_t *jbody_put_data(uint8_t *p, const struct jbody *b)
{
    if (b->shape == JLINE_BASE64)
        return jput(p, SLICE("null")); /* it stands in base64 */
    return jline_put_payload(p, b->shape, b->payload);
}

uint8_t *jbody_put_more(uint8_t *p, const struct jbody *b)
{
    if (b->type.n)
        p = jtext_put_string(jput_name(p, SLICE("type")), b->type);
    p = put_headers(p, b->headers, true);
    if (has_users(b->headers)) {
        p = jput_name(p, SLICE("headers"));
        *p++ = '{';
        p = put_headers(p, b->headers, false);
        *p++ = '}';
    }
    if (b->shape == JLINE_BASE64)
        p = jline_put_payload(jput_name(p, SLICE("base64")), b->shape, b->payload);
    return p;
}
