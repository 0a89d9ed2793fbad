/* route.h - which handler a request goes to: the table of methods and paths.
 *
 * Why      What is here can be read in one place, and 404 and 405 say it.
 * Shape    A pattern is a path: segments between slashes, `*` for any one, and perhaps at its end
 * an action: `/v1/queues/ * /messages:receive`. In a request's path the action is what follows the
 * last colon of the last segment as it came, before anything is percent-decoded: so a colon, slash
 * or percent in a name is written %3A, %2F, %25. A path without a query that fits several patterns
 * goes to the first. Each file of handlers has a table, which ends with a NULL pattern; route.c
 * names them. Thread   Any; pure. */
#ifndef BROKERD_DOORS_HTTP_ROUTE_H
#define BROKERD_DOORS_HTTP_ROUTE_H

#include "brokerd/doors/http/exchange.h"

enum method {
    METHOD_GET = 1, /* HEAD goes there too */
    METHOD_HEAD = 2,
    METHOD_POST = 4,
    METHOD_PUT = 8,
    METHOD_DELETE = 16,
    METHOD_PATCH = 32,
    METHOD_OPTIONS = 64,
};

struct route {
    unsigned methods;    /* of enum method, or'ed */
    const char *pattern; /* "/v1/topics/" with a star */
    const struct handler *handler;
    const void *what; /* the handler's own */
};

/* What was found; slices are of the path, or of `decoded`. */
struct routed {
    const struct route *route; /* NULL: none, and */
    unsigned methods;          /* those that the path has; 0: there is no such path */
    struct slice arg[EXCHANGE_ARGS], query;
    uint8_t decoded[EXCHANGE_TEXT_MAX];
};

/* Where does `method` to `target` (a path, with its query) go? -EINVAL: the path cannot be
 * understood, and *ret_why says why (static). */
int route_find(enum method method, struct slice target, struct routed *ret, const char **ret_why);

/* The same in another list of tables (NULL at its end): for tests. */
int route_find_in(const struct route *const *tables, enum method method, struct slice target,
                  struct routed *ret, const char **ret_why);

/* The method of that name; 0: not one we know. */
enum method method_of(struct slice name);

/* "GET, HEAD, POST" in `buf`, of 64 bytes; returns it. */
const char *methods_text(unsigned methods, char *buf);

/* Percent-decode `s` to `out`, which has `size` bytes. Returns how many it made; -EINVAL: a percent
 * sign without two digits, or it does not fit. `plus`: `+` is a blank. */
long percent_decode(struct slice s, bool plus, uint8_t *out, size_t size);

#endif
