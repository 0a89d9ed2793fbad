/* calls.h - services: asking them (`$request`) and serving them (`$serve`).
 *
 * Shape    A request has a number of the client's, a call that comes to it one of ours; both are
 *          struct jcall, until the core says that the call is gone.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_JSON_CALLS_H
#define BROKERD_DOORS_JSON_CALLS_H

#include "brokerd/core/call.h"
#include "brokerd/doors/json/ask.h"

struct jcall {
    struct jpeer *peer;
    struct jcall *next; /* in peer->calls_ended */
    struct call *call;  /* NULL: gone */
    uint64_t number;
    bool is_server; /* it came to us */
    bool gone;
};

int jcall_request(struct jpeer *c, struct jask *a, struct block *block, struct refusal *ret_why);
int jcall_cancel(struct jpeer *c, struct jask *a, struct refusal *ret_why);
int jcall_credit(struct jpeer *c, struct jask *a, struct refusal *ret_why);
int jcall_serve(struct jpeer *c, struct jask *a, struct refusal *ret_why);
int jcall_unserve(struct jpeer *c, struct jask *a, struct refusal *ret_why);
int jcall_reply(struct jpeer *c, struct jask *a, struct block *block, struct refusal *ret_why);
int jcall_error(struct jpeer *c, struct jask *a, struct refusal *ret_why);

/* Free the calls that have ended. Not from the core's callbacks. */
void jcall_sweep(struct jpeer *c);

/* Give up all calls and services. */
void jcall_fini(struct jpeer *c);

#endif
