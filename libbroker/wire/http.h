/* http.h - the head of an HTTP/1 request: its line and its fields.
 *
 * Why      Whoever comes by HTTP says in the head what he wants, a WebSocket above all.
 * Shape    The head is waited for whole, then parsed where it lies by libhttp-parser; what is
 *          found are slices of it. What a server must not guess about is refused: lines that go
 *          on in the next, more fields than HTTP_FIELDS_MAX, a head above HTTP_HEAD_MAX.
 * Owner    Nothing is allocated; slices live as long as the bytes.
 * Thread   Any; pure. */
#ifndef BROKER_WIRE_HTTP_H
#define BROKER_WIRE_HTTP_H

#include <stdbool.h>

#include "libbroker/base/slice.h"

enum { HTTP_HEAD_MAX = 16 * 1024, HTTP_FIELDS_MAX = 100 };

struct http_field {
    struct slice name, value; /* the value without blanks around it */
};

struct http_request {
    struct slice method, target;
    unsigned major, minor;
    unsigned fields_n;
    struct http_field field[HTTP_FIELDS_MAX];
};

/* The bytes of a head, its blank line included, if it ends within `bytes`; else 0. *seen, 0 at
 * first, is how far was looked: `bytes` may be longer the next time. */
size_t http_head_end(struct slice bytes, size_t *seen);

/* Parse a whole head. 0; -EMSGSIZE: too many fields; -EPROTO: it is none, and *ret_why says in a
 * few words (static) why. */
int http_parse(struct slice head, struct http_request *ret, const char **ret_why);

/* The value of the first field of that name, whose case does not count; false: there is none. */
bool http_field(const struct http_request *r, const char *name, struct slice *ret);

/* Elements of a list, over all fields of that name, one by one. */
struct http_list {
    unsigned field; /* zero at first */
    size_t at;
};

/* The next element that is not empty; false: no more. */
bool http_next(const struct http_request *r, const char *name, struct http_list *at,
               struct slice *ret);

/* Is `token` (its case does not count) an element of the list? */
bool http_has_token(const struct http_request *r, const char *name, const char *token);

/* Are they the same but for the case of ASCII letters? */
bool http_same(struct slice a, struct slice b);

#endif
