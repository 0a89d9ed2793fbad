/* call.h - a call of the connection's to a service, whose one answer is an exchange's.
 *
 * Why      Services of clients (service.c) and the broker's own, `admin` (manage.c), are called in
 *          the same way; what differs is how the answer is written.
 * Owner    The call is x->state, from hcall_open() to hcall_over(), the handler's over().
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_HTTP_CALL_H
#define BROKERD_DOORS_HTTP_CALL_H

#include "brokerd/core/call.h"
#include "brokerd/doors/http/exchange.h"

/* How answers are written; each is to answer `x`, at once. */
struct hcall_ops {
    void (*answer)(struct exchange *x, const struct call_payload *p); /* NULL: as 200 */
    void (*refuse)(struct exchange *x, const struct refusal *why);    /* NULL: exchange_refuse() */
};

/* Make the call. It is answered at any later time, or within this; if it is refused, too. `ops` is
 * static. */
void hcall_open(struct exchange *x, const struct call_request *r, const struct hcall_ops *ops);

/* The exchange is over, whether a call was made or not. */
void hcall_over(struct exchange *x);

#endif
