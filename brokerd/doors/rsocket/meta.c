#include "brokerd/doors/rsocket/meta.h"

#include "libbroker/base/headers.h"
#include "libbroker/wire/composite.h"

#include <errno.h>

static int bad(struct refusal *why, const char *text)
{
    refuse(why, REASON_INVALID, "%s", text);
    return -EINVAL;
}

static int read_tags(struct slice tags, struct meta *m, struct refusal *why)
{
    struct slice rest, tag;
    int r;

    if (m->has_route)
        return 0; /* the first routing item counts */
    r = routing_next(&tags, &m->route);
    if (r < 0)
        return bad(why, "a routing tag is cut short");
    if (r == 0)
        return 0;
    m->has_route = true;
    m->tags = rest = tags;
    while ((r = routing_next(&rest, &tag)) > 0)
        ;
    return r < 0 ? bad(why, "a routing tag is cut short") : 0;
}

static int read_headers(struct slice headers, struct meta *m, struct refusal *why)
{
    static const struct headers_limits limits = {META_HEADERS_COUNT, META_HEADERS_MAX};
    const char *text = "headers are broken";

    if (headers_check(headers, &limits, &text) < 0)
        return bad(why, text);
    m->headers = headers;
    return 0;
}

static int read_type(struct slice value, struct meta *m, struct refusal *why)
{
    struct mime mime;

    if (data_type_decode(value, &mime) < 0)
        return bad(why, "the content type (item 0x7A) is cut short");
    m->has_type = true;
    if (mime.id >= 0)
        m->type = (struct ctype){.id = (uint8_t)mime.id};
    else
        m->type = ctype_of(mime.name);
    return 0;
}

static int read_composite(struct slice rest, struct meta *m, struct refusal *why)
{
    struct composite_item item;
    int r;

    while ((r = composite_next(&rest, &item)) > 0) {
        r = 0;
        if (item.mime.id == MIME_ROUTING)
            r = read_tags(item.value, m, why);
        else if (item.mime.id == MIME_DATA_TYPE)
            r = read_type(item.value, m, why);
        else if (item.mime.id == MIME_UNKNOWN && slice_eq(item.mime.name, SLICE(HEADERS_MIME)))
            r = read_headers(item.value, m, why);
        if (r < 0)
            return r;
    }
    return r < 0 ? bad(why, "composite metadata are cut short") : 0;
}

int meta_read(const struct peer *c, bool has_metadata, struct slice metadata, struct meta *ret,
              struct refusal *ret_why)
{
    *ret = (struct meta){.type = peer_type(c)};
    if (!has_metadata)
        return 0;
    if (metadata.n > META_MAX) {
        refuse(ret_why, REASON_INVALID, "metadata are over %d bytes", META_MAX);
        return -EINVAL;
    }
    switch ((enum peer_metadata)c->metadata) {
    case METADATA_COMPOSITE:
        return read_composite(metadata, ret, ret_why);
    case METADATA_ROUTING:
        return read_tags(metadata, ret, ret_why);
    case METADATA_OPAQUE:
        break;
    }
    return 0;
}
