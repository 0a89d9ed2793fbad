#include "tests/bench/load/resp.h"

#include "tests/bench/load/load.h"

#include <string.h>

size_t resp_number(const uint8_t *p, size_t n, int64_t *ret)
{
    size_t at = n && p[0] == '-' ? 1 : 0;
    int64_t v = 0;

    for (; at < n && p[at] >= '0' && p[at] <= '9'; at++)
        v = v * 10 + (p[at] - '0');
    if (n - at < 2)
        return 0;
    if (p[at] != '\r' || p[at + 1] != '\n')
        die("redis-server: not a number: %.*s", (int)at, (const char *)p);
    *ret = p[0] == '-' ? -v : v;
    return at + 2;
}

static size_t line_size(const uint8_t *p, size_t n)
{
    const uint8_t *end = memchr(p, '\n', n);

    return end ? (size_t)(end - p) + 1 : 0;
}

/* What stands behind the line of `count` replies, which ends at `at`. */
static size_t replies_size(const uint8_t *p, size_t n, size_t at, int64_t count)
{
    for (; count > 0; count--) {
        size_t one = at < n ? resp_size(p + at, n - at) : 0;

        if (one == 0)
            return 0;
        at += one;
    }
    return at;
}

size_t resp_size(const uint8_t *p, size_t n)
{
    int64_t v = 0;
    size_t at;

    if (n == 0)
        return 0;
    switch (p[0]) {
    case '+':
    case ':':
    case '_':
        return line_size(p, n);
    case '$':
        at = resp_number(p + 1, n - 1, &v);
        if (v < 0)
            return at + 1;
        return at && n - 1 - at >= (size_t)v + 2 ? 1 + at + (size_t)v + 2 : 0;
    case '*':
    case '>':
    case '%':
        at = resp_number(p + 1, n - 1, &v);
        return at ? replies_size(p, n, at + 1, p[0] == '%' ? 2 * v : v) : 0;
    case '-':
        at = line_size(p, n);
        if (at)
            die("redis-server says: %.*s", (int)at - 2, (const char *)p);
        return 0;
    default:
        die("redis-server: not a reply: %.*s", n < 40 ? (int)n : 40, (const char *)p);
    }
}
