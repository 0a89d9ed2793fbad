/* Composite metadata of what we send, built in the handle's scratch buffer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbroker/base/headers.h"
#include "libbroker/base/name.h"
#include "libbroker/client/client.h"
#include "libbroker/wire/composite.h"

enum { SETTINGS_MAX = 64 * 1024 }; /* bytes of headers in one message or request */

uint8_t *cl_buf_reserve(struct cl_buf *buf, size_t n)
{
    if (buf->cap - buf->n < n) {
        size_t cap = buf->cap ? buf->cap : 256;
        uint8_t *p;

        while (cap - buf->n < n)
            cap *= 2;
        p = realloc(buf->p, cap);
        if (!p)
            return NULL;
        buf->p = p;
        buf->cap = cap;
    }
    return buf->p + buf->n;
}

/* A name of ours, so that it is encoded by name and not by number. */
static struct mime headers_mime(void)
{
    return (struct mime){MIME_UNKNOWN, SLICE(HEADERS_MIME)};
}

int cl_meta_tags(broker *b, const char *prefix, struct slice first, const char *const *more,
                 size_t n_more)
{
    struct mime routing = {MIME_ROUTING, {NULL, 0}};
    size_t prefix_n = strlen(prefix), n = 1 + prefix_n + first.n;
    uint8_t *p;

    if (prefix_n + first.n > ROUTING_TAG_MAX || prefix_n + first.n == 0)
        return cl_fail(b, BROKER_INVALID, "a route has 1 to %d bytes", ROUTING_TAG_MAX);
    for (size_t i = 0; i < n_more; i++)
        n += routing_tag_size(strlen(more[i]));
    p = cl_buf_reserve(&b->scratch, n + 4);
    if (!p)
        return BROKER_NO_MEMORY;
    p = composite_put_head(p, &routing, n);
    *p++ = (uint8_t)(prefix_n + first.n);
    memcpy(p, prefix, prefix_n);
    p += prefix_n;
    if (first.n > 0)
        memcpy(p, first.p, first.n);
    p += first.n;
    for (size_t i = 0; i < n_more; i++)
        p = routing_put_tag(p, slice_str(more[i]));
    b->scratch.n = (size_t)(p - b->scratch.p);
    return BROKER_OK;
}

int cl_meta_route(broker *b, const char *prefix, struct slice name)
{
    return cl_meta_tags(b, prefix, name, NULL, 0);
}

int cl_meta_topic(broker *b, struct slice topic)
{
    return cl_meta_tags(b, "", topic, NULL, 0);
}

/* Begin the headers item: its value's length is written by end_headers(). */
static int begin_headers(broker *b, size_t *ret_at)
{
    struct mime mime = headers_mime();
    size_t n = mime_size(&mime) + 3;
    uint8_t *p = cl_buf_reserve(&b->scratch, n);

    if (!p)
        return BROKER_NO_MEMORY;
    composite_put_head(p, &mime, 0);
    b->scratch.n += n;
    *ret_at = b->scratch.n;
    return BROKER_OK;
}

static int end_headers(broker *b, size_t at)
{
    size_t n = b->scratch.n - at;

    if (n > SETTINGS_MAX)
        return cl_fail(b, BROKER_INVALID, "headers of more than %d bytes", SETTINGS_MAX);
    be_put_24(b->scratch.p + at - 3, (uint32_t)n);
    return BROKER_OK;
}

static int put_header(broker *b, const char *mark, const char *name, const char *value)
{
    size_t name_n = strlen(mark) + strlen(name), value_n = strlen(value);
    uint8_t *p;

    if (strlen(name) == 0 || name_n > HEADERS_NAME_MAX || value_n > HEADERS_VALUE_MAX)
        return cl_fail(b, BROKER_INVALID, "header \"%.40s\": name or value is empty or too long",
                       name);
    p = cl_buf_reserve(&b->scratch, headers_size(name_n, value_n));
    if (!p)
        return BROKER_NO_MEMORY;
    *p++ = (uint8_t)name_n;
    memcpy(p, mark, strlen(mark));
    memcpy(p + strlen(mark), name, strlen(name));
    p = be_put_16(p + name_n, (uint16_t)value_n);
    memcpy(p, value, value_n);
    b->scratch.n = (size_t)(p + value_n - b->scratch.p);
    return BROKER_OK;
}

/* Names with $ are the broker's own. */
static int put_own_headers(broker *b, const struct broker_header *headers, size_t count)
{
    int r = BROKER_OK;

    for (size_t i = 0; r == BROKER_OK && i < count; i++) {
        const struct broker_header *h = &headers[i];

        if (!h->name || !h->value)
            return cl_fail(b, BROKER_INVALID, "a header without name or value");
        if (h->name[0] == '$')
            return cl_fail(b, BROKER_INVALID, "header \"%.40s\": names with $ are the broker's",
                           h->name);
        r = put_header(b, "", h->name, h->value);
    }
    return r;
}

static bool has_headers(const struct broker_publish_options *o)
{
    return o->header_count > 0 || o->dedup || o->reply_to || o->ttl_ms || o->require;
}

static int put_publish_headers(broker *b, const struct broker_publish_options *o)
{
    char number[24];
    int r = BROKER_OK;

    if (o->ttl_ms) {
        snprintf(number, sizeof number, "%llu", (unsigned long long)o->ttl_ms);
        r = put_header(b, "$", "ttl", number);
    }
    if (r == BROKER_OK && o->dedup)
        r = put_header(b, "$", "dedup", o->dedup);
    if (r == BROKER_OK && o->require)
        r = put_header(b, "$", "require", "1");
    if (r == BROKER_OK && o->reply_to)
        r = put_header(b, "$", "reply-to", o->reply_to);
    return r == BROKER_OK ? put_own_headers(b, o->headers, o->header_count) : r;
}

static int put_content_type(broker *b, const char *type)
{
    size_t n = composite_data_type_size(slice_str(type));
    uint8_t *p;

    if (n == 0)
        return cl_fail(b, BROKER_INVALID, "not a content type: \"%.80s\"", type);
    p = cl_buf_reserve(&b->scratch, n);
    if (!p)
        return BROKER_NO_MEMORY;
    composite_put_data_type(p, slice_str(type));
    b->scratch.n += n;
    return BROKER_OK;
}

int cl_meta_publish(broker *b, const struct broker_publish_options *o)
{
    size_t at;
    int r = BROKER_OK;

    if (!o)
        return BROKER_OK;
    if (o->content_type && strcmp(o->content_type, b->opt.data_type) != 0)
        r = put_content_type(b, o->content_type);
    if (r != BROKER_OK || !has_headers(o))
        return r;
    r = begin_headers(b, &at);
    if (r == BROKER_OK)
        r = put_publish_headers(b, o);
    return r == BROKER_OK ? end_headers(b, at) : r;
}

int cl_meta_settings(broker *b, const struct broker_header *settings, size_t count,
                     const struct broker_header *extra)
{
    size_t at;
    int r;

    if (count == 0 && !extra)
        return BROKER_OK;
    r = begin_headers(b, &at);
    if (r == BROKER_OK && extra)
        r = put_header(b, "", extra->name, extra->value);
    for (size_t i = 0; r == BROKER_OK && i < count; i++) {
        if (!settings[i].name || !settings[i].value)
            return cl_fail(b, BROKER_INVALID, "a setting without name or value");
        r = put_header(b, settings[i].name[0] == '$' ? "" : "$", settings[i].name,
                       settings[i].value);
    }
    return r == BROKER_OK ? end_headers(b, at) : r;
}

int cl_meta_call(broker *b, const char *content_type, const struct broker_header *headers,
                 size_t count, uint32_t wait_ms)
{
    char number[16];
    size_t at;
    int r = content_type ? put_content_type(b, content_type) : BROKER_OK;

    if (r != BROKER_OK || (count == 0 && wait_ms == 0))
        return r;
    r = begin_headers(b, &at);
    if (r == BROKER_OK && wait_ms > 0) {
        snprintf(number, sizeof number, "%u", wait_ms);
        r = put_header(b, "$", "wait", number);
    }
    if (r == BROKER_OK)
        r = put_own_headers(b, headers, count);
    return r == BROKER_OK ? end_headers(b, at) : r;
}

static int name_verdict(broker *b, const char *why, struct slice name)
{
    if (!why)
        return BROKER_OK;
    return cl_fail(b, BROKER_INVALID, "%s: \"%.*s\"", why, name.n > 80 ? 80 : (int)name.n,
                   (const char *)name.p);
}

int cl_check_topic(broker *b, struct slice topic, bool to_queue)
{
    return name_verdict(b,
                        to_queue ? name_queue_error(topic, NAME_OF_CLIENT)
                                 : name_topic_error(topic, NAME_OF_CLIENT),
                        topic);
}

int cl_check_filter(broker *b, const char *filter)
{
    if (!filter)
        return cl_fail(b, BROKER_INVALID, "a filter is NULL");
    return name_verdict(b, name_filter_error(slice_str(filter)), slice_str(filter));
}
