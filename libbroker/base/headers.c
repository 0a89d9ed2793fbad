/* headers.c - a message's headers in their one neutral form. */
#include "libbroker/base/headers.h"

#include <assert.h>
#include <errno.h>

#include "libbroker/base/be.h"
#include "libbroker/base/utf8.h"

int headers_next(struct slice *rest, struct header *ret)
{
    struct slice in = *rest;
    size_t name_n, value_n;

    if (in.n == 0)
        return 0;
    name_n = in.p[0];
    if (name_n == 0 || in.n < 1 + name_n + 2)
        return -EPROTO;
    value_n = be_get_16(in.p + 1 + name_n);
    if (in.n < headers_size(name_n, value_n))
        return -EPROTO;
    *ret = (struct header){
        .name = slice_of(in.p + 1, name_n),
        .value = slice_of(in.p + 1 + name_n + 2, value_n),
    };
    *rest = slice_from(in, headers_size(name_n, value_n));
    return 1;
}

int headers_check(struct slice headers, const struct headers_limits *limits,
                  const char **reterr_why)
{
    struct header h;
    size_t count = 0;
    int r;

    if (headers.n > limits->max_bytes) {
        *reterr_why = "the headers are too large";
        return -EMSGSIZE;
    }
    while ((r = headers_next(&headers, &h)) > 0) {
        if (++count > limits->max_count) {
            *reterr_why = "too many headers";
            return -EMSGSIZE;
        }
        if (!utf8_printable(h.name) || !utf8_printable(h.value)) {
            *reterr_why = "a header is not UTF-8, or has control characters";
            return -EPROTO;
        }
    }
    if (r < 0)
        *reterr_why = "the headers are cut short, or a name is empty";
    return r;
}

bool headers_find(struct slice headers, struct slice name, struct slice *ret_value)
{
    struct header h;

    while (headers_next(&headers, &h) > 0) {
        if (slice_eq(h.name, name)) {
            *ret_value = h.value;
            return true;
        }
    }
    return false;
}

uint8_t *headers_put(uint8_t *p, struct slice name, struct slice value)
{
    assert(name.n >= 1 && name.n <= HEADERS_NAME_MAX && value.n <= HEADERS_VALUE_MAX);
    *p++ = (uint8_t)name.n;
    memcpy(p, name.p, name.n);
    p = be_put_16(p + name.n, (uint16_t)value.n);
    if (value.n)
        memcpy(p, value.p, value.n);
    return p + value.n;
}
