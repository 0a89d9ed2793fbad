#include "brokerd/doors/http/route.h"

#include <errno.h>
#include <stdio.h>

#include "brokerd/doors/http/handlers.h"

enum { SEGMENTS_MAX = 8 };

static const struct route *const tables[] = {
    publish_routes, service_routes, events_routes, receive_routes,
    settle_routes,  hook_routes,    manage_routes, NULL};

static const struct {
    enum method method;
    const char *name;
} methods[] = {{METHOD_GET, "GET"},        {METHOD_HEAD, "HEAD"},     {METHOD_POST, "POST"},
               {METHOD_PUT, "PUT"},        {METHOD_DELETE, "DELETE"}, {METHOD_PATCH, "PATCH"},
               {METHOD_OPTIONS, "OPTIONS"}};

enum { METHODS = sizeof methods / sizeof methods[0] };

enum method method_of(struct slice name)
{
    for (unsigned i = 0; i < METHODS; i++) {
        if (slice_eq(name, slice_str(methods[i].name)))
            return methods[i].method;
    }
    return 0;
}

const char *methods_text(unsigned which, char *buf)
{
    size_t at = 0;

    if (which & METHOD_GET)
        which |= METHOD_HEAD;
    buf[0] = '\0';
    for (unsigned i = 0; i < METHODS; i++) {
        if (which & methods[i].method)
            at += (size_t)sprintf(buf + at, "%s%s", at ? ", " : "", methods[i].name);
    }
    return buf;
}

/* ---- decoding */

static int hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

long percent_decode(struct slice s, bool plus, uint8_t *out, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];

        if (n == size)
            return -EINVAL;
        if (c == '%') {
            int high = i + 2 < s.n ? hex(s.p[i + 1]) : -1, low = high < 0 ? -1 : hex(s.p[i + 2]);

            if (low < 0)
                return -EINVAL;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        out[n++] = c;
    }
    return (long)n;
}

/* ---- the path, cut at its slashes */

struct path {
    struct slice segment[SEGMENTS_MAX];
    unsigned n;
    struct slice action; /* with its colon; empty: none */
};

static bool cut(struct slice path, struct path *ret)
{
    struct slice *last;
    const uint8_t *colon;

    ret->n = 0;
    ret->action = slice_of(path.p, 0);
    while (path.n) { /* at a slash */
        const uint8_t *slash = memchr(path.p + 1, '/', path.n - 1);
        size_t n = slash ? (size_t)(slash - path.p) : path.n;

        if (ret->n == SEGMENTS_MAX)
            return false;
        ret->segment[ret->n++] = slice_of(path.p + 1, n - 1);
        path = slice_from(path, n);
    }
    last = &ret->segment[ret->n - 1];
    colon = last->n ? memrchr(last->p, ':', last->n) : NULL;
    if (colon) {
        ret->action = slice_of(colon, last->n - (size_t)(colon - last->p));
        last->n -= ret->action.n;
    }
    return true;
}

/* Does the path have the pattern's shape? */
static bool fits(const struct path *p, const char *pattern)
{
    for (unsigned i = 0; i < p->n; i++) {
        size_t n;

        if (*pattern != '/')
            return false;
        n = strcspn(++pattern, "/:");
        if (n == 1 && *pattern == '*' ? p->segment[i].n == 0
                                      : !slice_eq(p->segment[i], slice_of(pattern, n)))
            return false;
        pattern += n;
    }
    return slice_eq(p->action, slice_str(pattern));
}

static int take_args(const struct path *p, const char *pattern, struct routed *ret)
{
    size_t used = 0;
    unsigned n = 0;

    for (unsigned i = 0; i < p->n; i++) {
        long made;

        pattern = strchr(pattern, '/') + 1;
        if (*pattern != '*')
            continue;
        if (!memchr(p->segment[i].p, '%', p->segment[i].n)) {
            ret->arg[n++] = p->segment[i];
            continue;
        }
        made =
            percent_decode(p->segment[i], false, ret->decoded + used, sizeof ret->decoded - used);
        if (made < 0)
            return -EINVAL;
        ret->arg[n++] = slice_of(ret->decoded + used, (size_t)made);
        used += (size_t)made;
    }
    return 0;
}

int route_find_in(const struct route *const *all, enum method method, struct slice target,
                  struct routed *ret, const char **ret_why)
{
    const uint8_t *query = memchr(target.p, '?', target.n);
    size_t n = query ? (size_t)(query - target.p) : target.n;
    struct path p;

    ret->route = NULL;
    ret->methods = 0;
    ret->query = query ? slice_from(target, n + 1) : slice_of(target.p, 0);
    if (target.n == 0 || target.p[0] != '/' || !cut(slice_of(target.p, n), &p))
        return 0;
    for (; *all; all++) {
        for (const struct route *r = *all; r->pattern; r++) {
            if (!fits(&p, r->pattern))
                continue;
            ret->methods |= r->methods;
            if (!(r->methods & (method == METHOD_HEAD ? METHOD_GET : method)))
                continue;
            ret->route = r;
            if (take_args(&p, r->pattern, ret) == 0)
                return 0;
            *ret_why = "a percent sign is followed by two hexadecimal digits, and a name is short";
            return -EINVAL;
        }
    }
    return 0;
}

int route_find(enum method method, struct slice target, struct routed *ret, const char **ret_why)
{
    return route_find_in(tables, method, target, ret, ret_why);
}
