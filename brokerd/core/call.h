/* call.h - a call to a service: open, replies under credit, end.
 *
 * Why      `admin` is a service like those that clients will serve one day: doors pass a call
 *          on by name and need not know who answers.
 * Shape    One call pairs a caller (a stream of some door) with a server. Today servers live in
 *          the process and are registered with core_serve(); calls from one connection to
 *          another will hang from the same functions.
 * Owner    struct call belongs to the core; both sides borrow it. It ends exactly once: by
 *          call_complete, call_refuse or core_call_cancel.
 * Thread   The worker the core lives on. */
#ifndef BROKERD_CORE_CALL_H
#define BROKERD_CORE_CALL_H

#include "brokerd/core/core.h"

struct call;

/* What the caller is told; none of these may call into the core. */
struct call_ops {
    /* One reply; borrowed. */
    void (*next)(void *ctx, struct slice data, struct ctype type);
    /* No more; the call is gone. */
    void (*complete)(void *ctx);
    /* Refused or failed; the call is gone. */
    void (*refused)(void *ctx, const struct refusal *why);
};

/* Open a call of `service`/`method`. The answer may come at once, before this returns: then
 * *ret is NULL and 0 is returned. `credit`: replies that may be sent. -ENOENT: nobody serves
 * it (*ret_why); -ENOMEM. */
int core_call_open(struct endpoint *ep, struct slice service, struct slice method,
                   struct slice data, uint64_t credit, const struct call_ops *ops, void *ctx,
                   struct call **ret, struct refusal *ret_why);
void core_call_grant(struct call *call, uint64_t n);
void core_call_cancel(struct call *call); /* the caller hears no more; NULL is fine */

/* A server in the process. `open` must answer by call_* sooner or later; `method` and `data`
 * are borrowed. `gone` tells that the caller has cancelled: forget the call (may be NULL only
 * if `open` always answers at once). */
struct call_server {
    void (*open)(void *ctx, struct call *call, struct slice method, struct slice data);
    void (*gone)(void *ctx, struct call *call);
};

/* Serve `service` (static string) on this core. -ENOMEM. */
int core_serve(struct core *c, const char *service, const struct call_server *server, void *ctx);

/* Server side. A reply without credit waits in the call; -ENOBUFS: too many wait already,
 * -ENOMEM. Neither: it was not taken. */
int call_reply(struct call *call, struct slice data, struct ctype type);
void call_complete(struct call *call);
void call_refuse(struct call *call, const struct refusal *why);

/* A place for the server to keep what belongs to the call. */
void call_set_state(struct call *call, void *state);
void *call_state(const struct call *call);

#endif
