/* terms.h - what a request's head says about how it is to be taken: its length, its host, whether
 * the connection goes on.
 *
 * Why      A request that two readers may understand in two ways is refused, not guessed about:
 * that is how requests are smuggled past the one in front. And a page in a browser may be made to
 *          send requests: whose page it is, and by what name it found us, is judged here.
 * Shape    One pass over the fields; handlers look up what else they want.
 * Thread   Any; pure. */
#ifndef BROKERD_DOORS_HTTP_TERMS_H
#define BROKERD_DOORS_HTTP_TERMS_H

#include "brokerd/doors/http/route.h"

struct terms {
    enum method method;
    struct slice host, origin, type; /* p NULL: not said */
    uint64_t length;                 /* of the body, unless it is chunked */
    bool is_old;                     /* HTTP/1.0 */
    bool keeps;                      /* the connection goes on */
    bool is_chunked;
    bool continues;   /* the client waits to be told to send the body */
    bool upgrades;    /* a WebSocket is asked for, well or not */
    bool says_more;   /* there are fields that make headers of a message */
    bool is_led;      /* a browser says that another site's page made it ask */
    bool is_foreign;  /* of terms_judge(): of a page that may not come: only to be looked at */
    bool is_guest;    /* the same: of a page that is not brokerd's own, nor in `origins` by name: it
                       * does not manage the broker */
    const char *cors; /* of terms_judge(): whose pages may see the answer; NULL: no other's */
};

/* Read them. 0; else the status to answer, and *ret_why says why (static). */
int terms_read(const struct http_request *r, struct terms *ret, const char **ret_why);

/* May it come to a listener that was told `site`, by that name, from a page of that origin? 0; else
 * 403 and why. Sets t->cors, t->is_foreign and t->is_guest. */
int terms_judge(struct terms *t, const struct door_site *site, const char **ret_why);

/* Does a field of that name make a header of a message? */
bool terms_is_header(struct slice field_name);

#endif
