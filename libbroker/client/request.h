/* request.h - one request that is answered once: a confirmed publish, or anything else.
 *
 * Shape    Lives in broker.requests until it is answered, fails or times out; while there is no
 *          connection it waits there. A publish whose connection was lost is sent again; another
 *          request fails, for nobody knows whether it was carried out.
 * Owner    The list owns it. Whoever waits for it lends a struct cl_waiter. */
#ifndef BROKER_CLIENT_REQUEST_H
#define BROKER_CLIENT_REQUEST_H

#include "libbroker/client/client.h"

/* Where the outcome goes when a thread waits for it. */
struct cl_waiter {
    bool done;
    struct broker_receipt receipt; /* its text points into `text` */
    broker_message *answer;        /* kept for the waiter; NULL */
    char text[CL_TEXT_MAX];
};

/* Who is told. One of the three. */
struct cl_teller {
    broker_receipt_fn *receipt;
    broker_answer_fn *answer;
    struct cl_waiter *waiter;
    void *user;
};

/* Make a request of the metadata in b->scratch and `data` (copied) and send it if there is a
 * connection. BROKER_NO_CREDIT too many are under way, BROKER_TOO_LARGE, BROKER_NO_MEMORY. */
int cl_request_new(broker *b, bool publish, struct slice data, int timeout_ms,
                   const struct cl_teller *teller);

/* The same, and wait for the outcome in teller->waiter. BROKER_IN_CALLBACK; else as the receipt's
 * status. */
int cl_request_wait(broker *b, bool publish, struct slice data, int timeout_ms,
                    struct cl_waiter *w);

#endif
