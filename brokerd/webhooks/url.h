/* url.h - what a webhook's URL may look like.
 *
 * Why      A URL that two readers understand differently is how a guard is got round. So only the
 *          plainest form is taken: http or https, a host, perhaps a port, path and query.
 * Owner    Everything borrows from the text.
 * Thread   Any; pure. */
#ifndef BROKERD_WEBHOOKS_URL_H
#define BROKERD_WEBHOOKS_URL_H

#include <stdbool.h>

#include "libbroker/base/slice.h"

enum { URL_MAX = 2048 };

struct url {
    bool is_https;
    struct slice base;   /* all before the query: for those who manage; a query may have secrets */
    struct slice origin; /* all before the path, which may have some, too: for everybody */
};

/* NULL: it may be, *ret (which may be NULL) says what it is. Else what is wrong with it: static, a
 * text to stand behind "expected". No user, no fragment, printable ASCII only, no port where
 * another protocol than HTTP listens. Where it leads is judged when it is connected to
 * (address.h). */
const char *url_error(struct slice text, struct url *ret);

#endif
