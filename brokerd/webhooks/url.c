#include "brokerd/webhooks/url.h"

#include <stdint.h>

#include "libbroker/base/units.h"

/* Ports at which a request for HTTP could be taken for another protocol's commands. */
static const uint16_t other_protocols[] = {
    1,    7,    9,    11,   13,   15,   17,   19,   20,   21,   22,   23,   25,    37,
    42,   43,   53,   69,   77,   79,   87,   95,   101,  102,  103,  104,  109,   110,
    111,  113,  115,  117,  119,  123,  135,  137,  139,  143,  161,  179,  389,   427,
    465,  512,  513,  514,  515,  526,  530,  531,  532,  540,  548,  554,  556,   563,
    587,  601,  636,  989,  990,  993,  995,  1719, 1720, 1723, 2049, 3306, 3659,  4045,
    5060, 5061, 5432, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6697, 10080, 11211,
};

static const char *port_error(struct slice text)
{
    uint64_t port;

    if (units_parse_count(text, 0, &port) < 0 || port > 65535)
        return "a port from 1 to 65535";
    for (size_t i = 0; i < sizeof other_protocols / sizeof *other_protocols; i++)
        if (other_protocols[i] == port)
            return "a port that is HTTP's (this one is another protocol's)";
    return NULL;
}

static bool is_name_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

static bool is_v6_char(uint8_t c)
{
    return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || (c >= '0' && c <= '9') || c == ':' ||
           c == '.';
}

static const char *authority_error(struct slice a)
{
    bool is_v6 = a.n && a.p[0] == '[';
    size_t n = is_v6;

    while (n < a.n && (is_v6 ? is_v6_char(a.p[n]) : is_name_char(a.p[n])))
        n++;
    if (n == (size_t)is_v6 || n > 253)
        return "a host behind http:// or https://";
    if (is_v6 && (n == a.n || a.p[n++] != ']'))
        return "an IPv6 address in brackets";
    if (n == a.n)
        return NULL;
    return a.p[n] == ':' ? port_error(slice_from(a, n + 1)) : "HOST[:PORT], without a user";
}

const char *url_error(struct slice text, struct url *ret)
{
    struct url u = {.is_https = slice_starts(text, SLICE("https://"))};
    struct slice rest;
    const char *error;
    size_t n;

    if (text.n > URL_MAX)
        return "at most 2048 bytes";
    if (!u.is_https && !slice_starts(text, SLICE("http://")))
        return "https://HOST[:PORT][/PATH] (or http://, with insecure = true)";
    for (n = 0; n < text.n; n++) {
        if (text.p[n] <= ' ' || text.p[n] > '~' || strchr("\"<>\\^`{|}", text.p[n]))
            return "a URL without blanks, control characters and such as must be escaped";
        if (text.p[n] == '#')
            return "a URL without a fragment (#)";
    }
    rest = slice_from(text, u.is_https ? 8 : 7);
    for (n = 0; n < rest.n && rest.p[n] != '/' && rest.p[n] != '?'; n++)
        ;
    error = authority_error(slice_of(rest.p, n));
    if (error)
        return error;
    u.origin = slice_of(text.p, (size_t)(rest.p - text.p) + n);
    while (n < rest.n && rest.p[n] != '?')
        n++;
    u.base = slice_of(text.p, (size_t)(rest.p - text.p) + n);
    if (ret)
        *ret = u;
    return NULL;
}
