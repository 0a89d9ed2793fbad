/* The URLs of listeners. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/settings.h"
#include "libbroker/base/units.h"

static int expected(const char *what, struct slice found, char *err, size_t err_size)
{
    (void)snprintf(err, err_size, "expected %s, found \"%.*s\"", what,
                   found.n > 120 ? 120 : (int)found.n, found.n ? (const char *)found.p : "");
    return -EINVAL;
}

static bool is_host(struct slice host)
{
    for (size_t i = 0; i < host.n; i++) {
        if (!isalnum(host.p[i]) && !strchr(".-_:%", host.p[i]))
            return false;
    }
    return host.n > 0 && host.n < sizeof((struct settings_listener *)0)->host;
}

/* Only what is certain without asking anybody: a name may resolve to anything. */
static bool is_loopback(const char *host)
{
    struct in6_addr v6;
    struct in_addr v4;

    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcmp(host, "localhost") == 0;
}

static int parse_port(struct slice text, uint16_t *ret_port)
{
    uint64_t port = 0;

    if (units_parse_count(text, UNITS_ZERO, &port) < 0 || port > 65535)
        return -EINVAL;
    *ret_port = (uint16_t)port;
    return 0;
}

/* Split HOST[:PORT]; an address with colons stands in brackets. */
static int parse_host_port(struct slice text, struct settings_listener *l)
{
    const char *opening = text.n && text.p[0] == '[' ? "[" : "";
    const uint8_t *end = memchr(text.p, *opening ? ']' : ':', text.n);
    struct slice host, rest;

    if (*opening && !end)
        return -EINVAL;
    host = end ? slice_of(text.p, (size_t)(end - text.p)) : text;
    rest = slice_from(text, host.n);
    if (*opening) {
        host = slice_from(host, 1);
        rest = slice_from(rest, 1);
    }
    if (!is_host(host) || (!*opening && memchr(host.p, ':', host.n)))
        return -EINVAL;
    memcpy(l->host, host.p, host.n);
    l->host[host.n] = '\0';
    l->loopback = is_loopback(l->host);
    l->port = SETTINGS_PORT;
    if (rest.n == 0)
        return 0;
    return rest.p[0] == ':' ? parse_port(slice_from(rest, 1), &l->port) : -EINVAL;
}

static int parse_path(struct slice path, struct settings_listener *l)
{
    if (path.n < 2 || path.n >= sizeof l->path || path.p[0] != '/' || memchr(path.p, 0, path.n))
        return -EINVAL;
    memcpy(l->path, path.p, path.n);
    l->path[path.n] = '\0';
    return 0;
}

int settings_listener_parse(struct slice url, struct settings_listener *ret, char *err,
                            size_t err_size)
{
    static const char *const later[] = {"tls://", "ws://", "wss://"};
    struct settings_listener l = {.url = NULL};

    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        if (slice_starts(url, slice_str(later[i]))) {
            (void)snprintf(err, err_size, "%s is not supported by this version", later[i]);
            return -EINVAL;
        }
    }
    if (slice_starts(url, SLICE("tcp://"))) {
        l.transport = SETTINGS_TCP;
        if (parse_host_port(slice_from(url, 6), &l) < 0)
            return expected("tcp://HOST:PORT", url, err, err_size);
    } else if (slice_starts(url, SLICE("unix://"))) {
        l.transport = SETTINGS_UNIX;
        if (parse_path(slice_from(url, 7), &l) < 0)
            return expected("unix:///PATH, the path at most 107 bytes", url, err, err_size);
    } else {
        return expected("tcp://HOST:PORT or unix:///PATH", url, err, err_size);
    }
    l.manage = l.transport == SETTINGS_UNIX || l.loopback;
    l.url = strndup((const char *)url.p, url.n);
    if (!l.url)
        return -ENOMEM;
    *ret = l;
    return 0;
}

void settings_listener_fini(struct settings_listener *l)
{
    for (size_t i = 0; i < l->n_origins; i++)
        free(l->origins[i]);
    free(l->origins);
    free(l->url);
    *l = (struct settings_listener){.url = NULL};
}

int settings_listener_check(const struct settings_listener *listener, char *err, size_t err_size)
{
    if (listener->transport == SETTINGS_UNIX || listener->loopback || listener->insecure)
        return 0;
    (void)snprintf(err, err_size,
                   "expected insecure = true, since others than this host can reach %s and nobody "
                   "is authenticated until authentication exists",
                   listener->url);
    return -EINVAL;
}
