/* resolve.h - the addresses of a host's name, without the loop waiting for them.
 *
 * Shape    What is an address already, or a path (it begins with /), is known at once. Anything
 *          else is asked of the system (getaddrinfo) by a thread for this one question, which
 *          writes to a pipe when it is done. A question given up is forgotten by its thread when
 *          the system answers.
 * Owner    The asker, until resolve_free().
 * Errors   As each function says.
 * Thread   The asker's. */
#ifndef BROKERD_STORE_REDIS_RESOLVE_H
#define BROKERD_STORE_REDIS_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { RESOLVE_MAX = 8 }; /* addresses of one name; more are not looked at */

struct resolved {
    struct sockaddr_storage address[RESOLVE_MAX];
    socklen_t size[RESOLVE_MAX];
    unsigned n;
};

struct resolve;

/* True: `host` needs no asking, *ret is complete (perhaps with none: a path too long). */
bool resolve_at_once(const char *host, uint16_t port, struct resolved *ret);

/* Ask. -ENOMEM, -EMFILE, -EAGAIN (no thread). */
int resolve_new(const char *host, uint16_t port, struct resolve **ret);

/* Becomes readable when it is done. */
int resolve_fd(const struct resolve *r);

/* Once it is readable: NULL, and *ret has the addresses, one at least; or why there are none. */
const char *resolve_take(struct resolve *r, struct resolved *ret);

/* NULL is fine. */
void resolve_free(struct resolve *r);

#endif
