/* Options: defaults, checks, addresses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbroker/client/client.h"
#include "libbroker/wire/composite.h"

static int refuse(char *text, size_t len, int code, const char *what, const char *value)
{
    if (text && len > 0)
        snprintf(text, len, "%s%s%s", what, *value ? ": " : "", value);
    return code;
}

/* Split HOST:PORT, [V6]:PORT or HOST into two strings of their own. */
static int split_host(const char *s, size_t n, struct cl_url *u)
{
    const char *colon, *end = s + n;
    size_t host_n;

    if (n > 0 && s[0] == '[') {
        const char *close = memchr(s, ']', n);

        if (!close || (close + 1 < end && close[1] != ':'))
            return BROKER_INVALID;
        colon = close + 1 < end ? close + 1 : NULL;
        s++;
        host_n = (size_t)(close - s);
    } else {
        colon = memchr(s, ':', n);
        host_n = colon ? (size_t)(colon - s) : n;
    }
    if (host_n == 0 ||
        (colon && (colon + 1 == end || memchr(colon + 1, '/', (size_t)(end - colon - 1)))))
        return BROKER_INVALID;
    u->host = strndup(s, host_n);
    u->port = colon ? strndup(colon + 1, (size_t)(end - colon - 1)) : strdup("7070");
    if (!u->host || !u->port)
        return BROKER_NO_MEMORY;
    if (strspn(u->port, "0123456789") != strlen(u->port) || strlen(u->port) > 5 ||
        strtol(u->port, NULL, 10) < 1 || strtol(u->port, NULL, 10) > 65535)
        return BROKER_INVALID;
    return BROKER_OK;
}

static bool starts(const char *s, size_t n, const char *word)
{
    return n >= strlen(word) && strncmp(s, word, strlen(word)) == 0;
}

static int parse_url(const char *s, size_t n, struct cl_url *u, char *text, size_t len)
{
    int r = BROKER_INVALID;

    u->text = strndup(s, n);
    if (!u->text)
        return BROKER_NO_MEMORY;
    if (starts(s, n, "tcp://")) {
        size_t rest = n - 6;

        if (rest > 0 && s[n - 1] == '/')
            rest--;
        r = split_host(s + 6, rest, u);
    } else if (starts(s, n, "unix://")) {
        u->path = strndup(s + 7, n - 7);
        if (!u->path)
            return BROKER_NO_MEMORY;
        r = u->path[0] == '/' && strlen(u->path) < 108 ? BROKER_OK : BROKER_INVALID;
    } else if (starts(s, n, "tls://") || starts(s, n, "ws://") || starts(s, n, "wss://")) {
        return refuse(text, len, BROKER_UNSUPPORTED, "this library speaks tcp:// and unix:// only",
                      u->text);
    }
    if (r == BROKER_INVALID)
        return refuse(text, len, r, "not an address (tcp://HOST:PORT or unix:///PATH)", u->text);
    return r;
}

static int parse_urls(const char *s, struct cl_options *o, char *text, size_t len)
{
    while (*(s += strspn(s, ", \t\n"))) {
        size_t n = strcspn(s, ", \t\n");
        int r;

        if (o->n_urls == CL_URLS_MAX)
            return refuse(text, len, BROKER_INVALID, "more than 16 addresses", s);
        r = parse_url(s, n, &o->urls[o->n_urls++], text, len);
        if (r != BROKER_OK)
            return r;
        s += n;
    }
    return o->n_urls > 0 ? BROKER_OK : refuse(text, len, BROKER_INVALID, "no address given", "");
}

static void set_defaults(struct broker_options *o)
{
#define DEFAULT(field, value) o->field = o->field ? o->field : (value)
    DEFAULT(keepalive_ms, 20000);
    DEFAULT(lifetime_ms, 90000);
    DEFAULT(connect_ms, 10000);
    DEFAULT(reconnect_min_ms, 100);
    DEFAULT(reconnect_max_ms, o->reconnect_min_ms > 10000 ? o->reconnect_min_ms : 10000);
    DEFAULT(outbox_messages, 65536);
    DEFAULT(outbox_bytes, (size_t)16 << 20);
    DEFAULT(max_message, (size_t)64 << 20);
    DEFAULT(max_frame, (size_t)1 << 20);
#undef DEFAULT
}

static int check(const struct broker_options *o, char *text, size_t len)
{
    if (o->max_frame < RS_FRAGMENT_MIN || o->max_frame > RS_FRAME_MAX)
        return refuse(text, len, BROKER_INVALID, "max_frame is 64 to 16777215", "");
    if (o->reconnect_min_ms > o->reconnect_max_ms)
        return refuse(text, len, BROKER_INVALID, "reconnect_min_ms is above reconnect_max_ms", "");
    if (o->keepalive_ms > INT32_MAX || o->lifetime_ms > INT32_MAX || o->connect_ms > INT32_MAX ||
        o->reconnect_max_ms > INT32_MAX)
        return refuse(text, len, BROKER_INVALID, "a time is over 24 days", "");
    if (o->max_message > SIZE_MAX / 4)
        return refuse(text, len, BROKER_INVALID, "max_message is too large", "");
    for (size_t i = 0; i < sizeof o->reserved / sizeof o->reserved[0]; i++)
        if (o->reserved[i])
            return refuse(text, len, BROKER_INVALID, "reserved options are set", "");
    if (o->name && strlen(o->name) > 240)
        return refuse(text, len, BROKER_INVALID, "the name is over 240 bytes", "");
    if (o->data_type && composite_data_type_size(slice_str(o->data_type)) == 0)
        return refuse(text, len, BROKER_INVALID, "not a content type", o->data_type);
    return BROKER_OK;
}

int cl_options_init(const struct broker_options *o, struct cl_options *ret, char *text, size_t len)
{
    const char *urls;
    int r;

    memset(ret, 0, sizeof *ret);
    if (o)
        ret->o = *o;
    set_defaults(&ret->o);
    r = check(&ret->o, text, len);
    if (r != BROKER_OK)
        return r;
    urls = ret->o.url ? ret->o.url : getenv("BROKER_URL");
    r = parse_urls(urls && *urls ? urls : BROKER_DEFAULT_URL, ret, text, len);
    if (r != BROKER_OK)
        goto fail;
    ret->name = ret->o.name ? strdup(ret->o.name) : NULL;
    ret->data_type = strdup(ret->o.data_type ? ret->o.data_type : "application/octet-stream");
    if (!ret->data_type || (ret->o.name && !ret->name)) {
        r = BROKER_NO_MEMORY;
        goto fail;
    }
    ret->o.url = NULL;
    ret->o.name = ret->name;
    ret->o.data_type = ret->data_type;
    return BROKER_OK;

fail:
    cl_options_fini(ret);
    return r;
}

void cl_options_fini(struct cl_options *o)
{
    for (unsigned i = 0; i < o->n_urls; i++) {
        free(o->urls[i].text);
        free(o->urls[i].host);
        free(o->urls[i].port);
        free(o->urls[i].path);
    }
    free(o->name);
    free(o->data_type);
    memset(o, 0, sizeof *o);
}
