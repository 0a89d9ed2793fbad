#include "brokerd/store/redis/url.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libbroker/base/units.h"

enum { DB_MAX = 65535 };

static const struct scheme {
    const char *begins;
    enum redis_kind kind;
    bool tls, is_path;
} schemes[] = {
    {"redis://", REDIS_SINGLE, false, false},
    {"rediss://", REDIS_SINGLE, true, false},
    {"redis+unix://", REDIS_SINGLE, false, true},
    {"redis+sentinel://", REDIS_SENTINEL, false, false},
    {"rediss+sentinel://", REDIS_SENTINEL, true, false},
    {"redis+cluster://", REDIS_CLUSTER, false, false},
    {"rediss+cluster://", REDIS_CLUSTER, true, false},
};

static int expected(const char *what, char *err, size_t err_size)
{
    (void)snprintf(err, err_size, "expected %s", what);
    return -EINVAL;
}

static const struct scheme *find_scheme(struct slice url)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (slice_starts(url, slice_str(schemes[i].begins)))
            return &schemes[i];
    return NULL;
}

/* What is before the first `end` (or all) into *ret; returns what is behind it. */
static struct slice cut(struct slice s, char end, struct slice *ret)
{
    const uint8_t *at = s.n ? memchr(s.p, end, s.n) : NULL;

    *ret = at ? slice_of(s.p, (size_t)(at - s.p)) : s;
    return at ? slice_from(s, ret->n + 1) : slice_from(s, s.n);
}

/* How much of it says who we are, its '@' included. A password may have one unescaped, a host has
 * none: so the last before the path counts. */
static size_t user_part(struct slice rest)
{
    struct slice authority;
    const uint8_t *at;

    (void)cut(rest, '/', &authority);
    at = authority.n ? memrchr(authority.p, '@', authority.n) : NULL;
    return at ? (size_t)(at - rest.p) + 1 : 0;
}

static int hex(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* A word with its escapes undone. */
static int take_word(struct slice s, char ret[REDIS_WORD_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        int c = s.p[i];

        if (c == '%') {
            int high = i + 2 < s.n ? hex(s.p[i + 1]) : -1, low = high >= 0 ? hex(s.p[i + 2]) : -1;

            if (low < 0)
                return -EINVAL;
            c = high << 4 | low;
            i += 2;
        }
        if (c == 0 || n + 1 == REDIS_WORD_MAX)
            return -EINVAL;
        ret[n++] = (char)c;
    }
    ret[n] = '\0';
    return 0;
}

static bool is_name_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

static bool is_v6_char(uint8_t c)
{
    return hex(c) >= 0 || c == ':' || c == '.';
}

static int take_port(struct slice s, uint16_t *ret)
{
    uint64_t port = 0;

    if (units_parse_count(s, 0, &port) < 0 || port > 65535)
        return -EINVAL;
    *ret = (uint16_t)port;
    return 0;
}

/* HOST[:PORT] */
static int take_host(struct slice s, uint16_t port, struct redis_host *ret)
{
    bool is_v6 = s.n && s.p[0] == '[';
    size_t from = is_v6, n = from;

    while (n < s.n && (is_v6 ? is_v6_char(s.p[n]) : is_name_char(s.p[n])))
        n++;
    if (n == from || n - from >= sizeof ret->name)
        return -EINVAL;
    memcpy(ret->name, s.p + from, n - from);
    ret->name[n - from] = '\0';
    ret->port = port;
    if (is_v6 && (n == s.n || s.p[n++] != ']'))
        return -EINVAL;
    if (n == s.n)
        return 0;
    return s.p[n] == ':' ? take_port(slice_from(s, n + 1), &ret->port) : -EINVAL;
}

static int take_user(struct slice s, struct redis_url *u)
{
    struct slice user, password = cut(s, ':', &user);

    return take_word(user, u->user) < 0 || take_word(password, u->password) < 0 ? -EINVAL : 0;
}

static int take_hosts(struct slice s, struct redis_url *u)
{
    uint16_t port = u->kind == REDIS_SENTINEL ? REDIS_SENTINEL_PORT : REDIS_PORT;
    bool more = true;

    while (more) {
        struct slice one, rest = cut(s, ',', &one);

        more = one.n != s.n;
        if (u->hosts_n == REDIS_HOSTS_MAX || take_host(one, port, &u->hosts[u->hosts_n]) < 0)
            return -EINVAL;
        u->hosts_n++;
        s = rest;
    }
    return u->kind == REDIS_SINGLE && u->hosts_n > 1 ? -EINVAL : 0;
}

/* What is behind the hosts: [MASTER][/DB] */
static const char *path_error(struct slice path, struct redis_url *u)
{
    uint64_t db = 0;

    if (u->kind == REDIS_CLUSTER)
        return path.n ? "nothing behind the hosts: a cluster has no databases" : NULL;
    if (u->kind == REDIS_SENTINEL) {
        struct slice master;

        path = cut(path, '/', &master);
        if (master.n == 0 || take_word(master, u->master) < 0)
            return "the master's name behind the hosts: redis+sentinel://HOST,HOST/NAME";
    }
    if (path.n && (units_parse_count(path, UNITS_ZERO, &db) < 0 || db > DB_MAX))
        return "the number of a database behind the last /";
    u->db = (uint32_t)db;
    return NULL;
}

static int take_path(struct slice path, struct redis_url *u, char *err, size_t err_size)
{
    if (path.n < 2 || path.p[0] != '/' || path.n >= REDIS_PATH_MAX || memchr(path.p, 0, path.n))
        return expected("the path of a socket, up to 107 bytes: redis+unix:///PATH", err, err_size);
    memcpy(u->hosts[0].name, path.p, path.n);
    u->hosts_n = 1;
    return 0;
}

int redis_url_parse(struct slice url, struct redis_url *ret, char *err, size_t err_size)
{
    const struct scheme *scheme = find_scheme(url);
    struct slice rest, hosts, path;
    const char *why;
    size_t n;

    if (!scheme || url.n >= REDIS_URL_MAX)
        return expected(
            "redis://, rediss://, redis+sentinel:// or redis+cluster:// and HOST:PORT, or "
            "redis+unix:///PATH",
            err, err_size);
    *ret = (struct redis_url){.kind = scheme->kind, .tls = scheme->tls};
    rest = slice_from(url, strlen(scheme->begins));
    n = user_part(rest);
    if (n && take_user(slice_of(rest.p, n - 1), ret) < 0)
        return expected("USER:PASSWORD before the @, with %25 for a %", err, err_size);
    if (scheme->is_path)
        return take_path(slice_from(rest, n), ret, err, err_size);
    path = cut(slice_from(rest, n), '/', &hosts);
    if (take_hosts(hosts, ret) < 0)
        return expected(ret->kind == REDIS_SINGLE ? "HOST or HOST:PORT, one of them"
                                                  : "HOST or HOST:PORT, up to 16, with commas",
                        err, err_size);
    why = path_error(path, ret);
    return why ? expected(why, err, err_size) : 0;
}

const char *redis_url_hide(struct slice url, char *buf, size_t size)
{
    const struct scheme *scheme = find_scheme(url);
    size_t at = scheme ? strlen(scheme->begins) : 0,
           n = scheme ? user_part(slice_from(url, at)) : 0;
    struct slice user, rest = slice_from(url, at + n);

    if (!scheme) { /* what it means nobody knows, so nothing of it is shown */
        (void)snprintf(buf, size, "(hidden)");
        return buf;
    }
    (void)cut(slice_of(url.p + at, n ? n - 1 : 0), ':', &user);
    (void)snprintf(buf, size, "%s%.*s%s%.*s", scheme->begins, (int)user.n, (const char *)user.p,
                   n ? "@" : "", (int)rest.n, (const char *)rest.p);
    return buf;
}
