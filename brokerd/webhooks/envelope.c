#include "brokerd/webhooks/envelope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "brokerd/webhooks/field.h"
#include "libbroker/base/headers.h"
#include "libbroker/base/utf8.h"
#include "libbroker/wire/json_text.h"

enum { TIME_TEXT = 32 };

static const char *const ours[] = {"specversion", "id", "source", "type", "time", NULL};

const char *envelope_attribute(const struct envelope *e, size_t i)
{
    (void)e;
    return i < sizeof ours / sizeof *ours ? ours[i] : NULL;
}

/* The attribute that a header names; false: it names none. */
static bool attribute_of(struct slice name, struct slice *ret)
{
    if (!field_starts(name, "ce-") || name.n == 3)
        return false;
    *ret = slice_from(name, 3);
    for (size_t i = 0; i < ret->n; i++)
        if (!(ret->p[i] >= 'a' && ret->p[i] <= 'z') && !(ret->p[i] >= '0' && ret->p[i] <= '9'))
            return false;
    return true;
}

bool envelope_is_given(const struct envelope *e, const char *attribute)
{
    struct slice rest = e->headers, name;
    struct header h;

    while (headers_next(&rest, &h) > 0)
        if (attribute_of(h.name, &name) && slice_eq(name, slice_str(attribute)) &&
            field_is_value(h.value))
            return true;
    return false;
}

static const char *time_text(int64_t ms, char buf[TIME_TEXT])
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    size_t n;

    (void)gmtime_r(&s, &tm);
    n = strftime(buf, TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(buf + n, TIME_TEXT - n, ".%03dZ", (int)(ms % 1000));
    return buf;
}

static struct slice value_of(const struct envelope *e, const char *attribute, char buf[TIME_TEXT])
{
    if (strcmp(attribute, "specversion") == 0)
        return SLICE("1.0");
    if (strcmp(attribute, "id") == 0)
        return slice_str(e->id);
    if (strcmp(attribute, "source") == 0)
        return slice_str(e->source);
    return strcmp(attribute, "type") == 0 ? e->topic : slice_str(time_text(e->time_ms, buf));
}

int envelope_field_value(const struct envelope *e, const char *attribute, char *buf, size_t size)
{
    char time[TIME_TEXT];
    struct slice v = value_of(e, attribute, time);
    size_t n = 0;

    for (size_t i = 0; i < v.n && n + 4 <= size; i++) {
        uint8_t c = v.p[i];

        if (c <= ' ' || c > '~' || c == '"' || c == '%')
            n += (size_t)snprintf(buf + n, 4, "%%%02X", c);
        else
            buf[n++] = (char)c;
    }
    return (int)n;
}

/* ---------------------------------------------------------------------------------------- JSON */

static int hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A field's value without its percent-encoding, into `to`, which has room for v.n bytes. */
static size_t decode(struct slice v, uint8_t *to)
{
    size_t n = 0;

    for (size_t i = 0; i < v.n; i++) {
        bool is_code = v.p[i] == '%' && i + 2 < v.n && hex(v.p[i + 1]) >= 0 && hex(v.p[i + 2]) >= 0;

        to[n++] = is_code ? (uint8_t)(hex(v.p[i + 1]) << 4 | hex(v.p[i + 2])) : v.p[i];
        i += is_code ? 2 : 0;
    }
    return n;
}

static bool is_json_type(struct slice type)
{
    const uint8_t *semicolon = type.n ? memchr(type.p, ';', type.n) : NULL;
    size_t n = semicolon ? (size_t)(semicolon - type.p) : type.n;

    while (n && type.p[n - 1] == ' ')
        n--;
    return field_is(slice_of(type.p, n), "application/json") ||
           (n > 5 && field_is(slice_of(type.p + n - 5, 5), "+json"));
}

enum data_form { DATA_JSON, DATA_TEXT, DATA_BASE64 };

static enum data_form form_of(const struct envelope *e)
{
    struct json_fault fault;

    if (is_json_type(e->type) && jtext_check(e->data, false, &fault) == 0)
        return DATA_JSON;
    if (field_starts(e->type, "text/") && utf8_valid(e->data) &&
        !(e->data.n && memchr(e->data.p, 0, e->data.n))) /* which many a reader of JSON ends at */
        return DATA_TEXT;
    return DATA_BASE64;
}

/* Does the message say an attribute of its own here, that goes into the object? */
static bool is_extra(const struct header *h, struct slice *name)
{
    return attribute_of(h->name, name) && field_is_value(h->value) &&
           !slice_eq(*name, SLICE("datacontenttype")) && !slice_eq(*name, SLICE("data"));
}

static size_t size_of(const struct envelope *e, enum data_form form)
{
    size_t n = 256 + 6 * (strlen(e->id) + strlen(e->source) + e->topic.n + e->type.n);
    struct slice rest = e->headers;
    struct header h;

    while (headers_next(&rest, &h) > 0)
        n += 6 * (h.name.n + h.value.n) + 16;
    if (form == DATA_BASE64)
        return n + base64_size(e->data.n);
    return n + (form == DATA_TEXT ? jtext_string_size(e->data) : e->data.n);
}

static uint8_t *put_member(uint8_t *p, struct slice name, struct slice value)
{
    *p++ = ',';
    p = jtext_put_string(p, name);
    *p++ = ':';
    return jtext_put_string(p, value);
}

static uint8_t *put_given(uint8_t *p, const struct envelope *e, uint8_t *scratch)
{
    struct slice rest = e->headers, name;
    struct header h;

    while (headers_next(&rest, &h) > 0) {
        struct slice value;

        if (!is_extra(&h, &name) || slice_eq(name, SLICE("specversion")))
            continue;
        value = slice_of(scratch, decode(h.value, scratch));
        if (utf8_printable(value))
            p = put_member(p, name, value);
    }
    return p;
}

static uint8_t *put_raw(uint8_t *p, const char *text)
{
    size_t n = strlen(text);

    memcpy(p, text, n);
    return p + n;
}

static uint8_t *put_data(uint8_t *p, const struct envelope *e, enum data_form form)
{
    if (form == DATA_BASE64) {
        p = put_raw(p, ",\"data_base64\":\"");
        p = base64_put(p, e->data);
        *p++ = '"';
        return p;
    }
    p = put_raw(p, ",\"data\":");
    return form == DATA_TEXT ? jtext_put_string(p, e->data) : jtext_put_value(p, e->data);
}

int envelope_json(const struct envelope *e, uint8_t **ret, size_t *ret_n)
{
    enum data_form form = form_of(e);
    uint8_t *buf = malloc(size_of(e, form)), *p = buf;
    uint8_t *scratch = malloc(HEADERS_VALUE_MAX);
    char time[TIME_TEXT];

    if (!buf || !scratch) {
        free(buf);
        free(scratch);
        return -ENOMEM;
    }
    p = put_raw(p, "{\"specversion\":\"1.0\"");
    for (size_t i = 1; ours[i]; i++)
        if (!envelope_is_given(e, ours[i]))
            p = put_member(p, slice_str(ours[i]), value_of(e, ours[i], time));
    p = put_given(p, e, scratch);
    p = put_member(p, SLICE("datacontenttype"), e->type);
    p = put_data(p, e, form);
    *p++ = '}';
    free(scratch);
    *ret = buf;
    *ret_n = (size_t)(p - buf);
    return 0;
}
