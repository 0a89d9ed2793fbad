#include "brokerd/doors/http/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What a path leads to. */
static const struct {
    const char *path;
    const char *door; /* NULL: any */
    bool is_echo;
} paths[] = {
    {"/", NULL, false},         {"/ws", NULL, false},     {"/rsocket", "rsocket", false},
    {"/stomp", "stomp", false}, {"/json", "json", false}, {"/echo", NULL, true},
};

/* The doors that subprotocols name; of one door the best first. */
static const struct {
    const char *name, *door;
} subprotocols[] = {{"rsocket", "rsocket"},
                    {"json", "json"},
                    {"v12.stomp", "stomp"},
                    {"v11.stomp", "stomp"},
                    {"v10.stomp", "stomp"}};

enum { PATHS = sizeof paths / sizeof *paths, NAMES = sizeof subprotocols / sizeof *subprotocols };

__attribute__((format(printf, 3, 4))) static void say(struct answer *a, int status,
                                                      const char *format, ...)
{
    va_list args;

    a->status = status;
    va_start(args, format);
    (void)vsnprintf(a->text, sizeof a->text, format, args);
    va_end(args);
}

/* The door of that name, if it is served there and WebSocket can carry it. */
static const struct door_ops *served(const char *name, const struct door_site *site,
                                     const struct door_ops *const *all)
{
    for (unsigned i = 0; all[i]; i++) {
        if (strcmp(all[i]->name, name) == 0)
            return all[i]->units && (site->carried >> i & 1) ? all[i] : NULL;
    }
    return NULL;
}

/* The first of the offered that is spoken there, by the door of the path if that has one, decides
 * which door; of those that name it, the best. */
static void choose(const struct http_request *r, const struct door_site *site,
                   const struct door_ops *const *all, struct answer *a)
{
    struct http_list at = {0};
    unsigned best = NAMES;
    struct slice offered;

    while (http_next(r, "sec-websocket-protocol", &at, &offered)) {
        for (unsigned i = 0; i < best; i++) {
            const struct door_ops *door = served(subprotocols[i].door, site, all);

            if (!slice_eq(offered, slice_str(subprotocols[i].name)) || !door ||
                (a->upgrade.door && a->upgrade.door != door))
                continue;
            a->subprotocol = offered;
            a->upgrade.door = door;
            best = i;
        }
    }
}

/* The entry of a request's path, what follows ? left out; PATHS: none. */
static unsigned path_of(const struct http_request *r, const struct door_site *site)
{
    const uint8_t *query = memchr(r->target.p, '?', r->target.n);
    struct slice path = r->target;

    if (query)
        path.n = (size_t)(query - path.p);
    for (unsigned i = 0; i < PATHS; i++) {
        if (slice_eq(path, slice_str(paths[i].path)) && (!paths[i].is_echo || site->echo))
            return i;
    }
    return PATHS;
}

static void answer_websocket(const struct http_request *r, unsigned path,
                             const struct door_site *site, const struct door_ops *const *all,
                             struct answer *a)
{
    const char *why;
    int status = handshake_check(r, a->accept, &why);

    if (status != 101) {
        say(a, status, "%s", why);
        return;
    }
    a->status = 101;
    a->upgrade.is_echo = paths[path].is_echo;
    if (a->upgrade.is_echo)
        return;
    if (paths[path].door) {
        a->upgrade.door = served(paths[path].door, site, all);
        if (!a->upgrade.door) {
            say(a, 404, "%s is not served here", paths[path].door);
            return;
        }
    }
    choose(r, site, all, a);
}

bool answer_is_websocket(const struct http_request *r, const struct door_site *site)
{
    unsigned path = path_of(r, site);

    /* At the root there is something else too. */
    return site->websocket && path != PATHS && (path > 0 || handshake_is_asked(r));
}

void answer_request(const struct http_request *r, const struct door_site *site,
                    const struct door_ops *const *all, struct answer *ret)
{
    unsigned path = path_of(r, site);

    *ret = (struct answer){0};
    if (!site->websocket)
        say(ret, 404, "this listener does not serve WebSocket, and nothing else is here yet");
    else if (path == PATHS)
        say(ret, 404, "nothing is here; WebSocket is at /ws");
    else if (!slice_eq(r->method, SLICE("GET")))
        say(ret, 405, "only GET is answered here, with a WebSocket");
    else if (!handshake_is_asked(r))
        say(ret, 426, "this is for WebSocket: the field Upgrade has to say so");
    else
        answer_websocket(r, path, site, all, ret);
}
