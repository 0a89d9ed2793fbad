/* call.h - calls to services: open, payloads under credit both ways, end.
 *
 * Why      A client asks SERVICE/METHOD and another client, or a part of the broker (`admin`),
 *          answers. No queue lies between: whoever is slow gives less credit, and so slows down
 *          who sends. Any door's client may call any door's server.
 * Shape    A server says core_serve(). A caller opens a call of one of four models; the core picks
 *          the server with the fewest calls open and tells it by server_ops.open. From then on
 *          both sides have a `struct call` of their own, and the same functions and callbacks:
 *
 *              caller                                                             server
 *              core_call_open ------------------------------------> server_ops.open
 *              core_call_request_n, _next, _complete, _cancel, _error --> ops->request_n ...
 *              ops->next, complete, request_n, cancel, error <------- core_call_next ...
 *
 *          Each side may send payloads (next) as far as the other has asked for (request_n; the
 *          caller's first payload, which comes with the opening, needs no credit), until it says
 *          complete. A side whose both directions are done is over.
 *              CALL_FNF       the opening is all there is: neither side has a struct call
 *              CALL_RESPONSE  one payload back, which is also the end; or complete without
 *              CALL_STREAM    payloads back
 *              CALL_CHANNEL   payloads both ways
 *          cancel of the caller ends all; of a channel's server it ends only the way up: the
 *          caller sends no more, the server goes on. error, of either, ends all.
 *          A server that refuses a call, or has no room for one, is asked after the others for a
 *          while (it would have the fewest calls, and so get them all).
 *          A server that goes away fails its calls: CALL_REJECTED where the opening has not left
 *          for its socket, else CALL_CANCELED.
 *          The core holds credit back where the receiver's output is full, and never lends more
 *          of it than CALL_WINDOW_BYTES of payload take, at the size seen lately.
 * Owner    A struct call is the core's. Whoever has it borrows it until `closed`, which comes once
 *          and last, whoever ended the call, also from within the function that ended it.
 * Errors   0, or -errno with nothing changed; where a peer is to be told why, a struct refusal.
 * Thread   The worker the side lives on. As with all of the core's tables, callbacks write bytes
 *          and set marks, and never call the core; except server_ops.open, as it says. */
#ifndef BROKERD_CORE_CALL_H
#define BROKERD_CORE_CALL_H

#include "brokerd/core/core.h"

struct call;
struct server;

enum {
    CALL_NAMES_MAX = 249,           /* bytes of a service's and a method's name together */
    CALL_WINDOW_FIRST = 16,         /* payloads asked for at once before their size is known */
    CALL_WINDOW_MAX = 256,          /* and at most */
    CALL_WINDOW_BYTES = 256 * 1024, /* or as many as make this, but one */
};

enum call_model { CALL_FNF, CALL_RESPONSE, CALL_STREAM, CALL_CHANNEL };

/* One payload; borrowed for the length of a call. */
struct call_payload {
    struct slice data;
    struct block *block;  /* holds data, so that it may be referred to; NULL: copy */
    struct ctype type;    /* of data; CTYPE_NONE: not known */
    struct slice headers; /* neutral form (base/headers.h) */
    /* The sender's metadata as they came, for a receiver that speaks the same: then they go on
     * unchanged, and type and headers, which say the same, are not looked at. `form` is compared
     * only (the address of something static): NULL, or not the receiver's own: build from type
     * and headers. */
    const void *form;
    struct slice native; /* p NULL: it had none, which is not the same as empty ones */
};

/* What opens a call; borrowed for the length of a call. */
struct call_request {
    enum call_model model;
    struct slice service, method;
    struct call_payload first;
    bool complete;   /* CALL_CHANNEL: the caller sends nothing after `first` */
    uint64_t credit; /* payloads the caller takes; CORE_UNLIMITED and above: any number.
                      * CALL_RESPONSE: 1, CALL_FNF: 0, whatever it says */
    int64_t wait_ms; /* how long to wait if nobody serves; 0: fail at once; below 0: as the
                      * settings say (call-wait). Not looked at by servers */
};

/* Why a call failed. The numbers are those RSocket has for these, so that none is lost on the way;
 * other doors say the words. From CALL_APPLICATION on they are the application's own. */
enum {
    CALL_FAILED = 0x201,   /* the server's handler failed */
    CALL_REJECTED = 0x202, /* not processed at all: safe to try again */
    CALL_CANCELED = 0x203, /* perhaps processed in part */
    CALL_INVALID = 0x204,  /* not understood */
    CALL_APPLICATION = 0x301,
};

struct call_error {
    uint32_t code;
    enum reason reason; /* of the broker, whose word the text begins with; REASON_NONE: the other
                         * side's own error, its text unchanged */
    struct slice text;  /* UTF-8, as far as its sender kept to that */
};

/* What a side is told. `complete` with a payload: it is the last. */
struct call_ops {
    void (*next)(void *ctx, const struct call_payload *p, bool complete);
    void (*request_n)(void *ctx, uint32_t n); /* `n` more payloads may be sent */
    void (*complete)(void *ctx);              /* the other side sends no more */
    /* Told to a server: the caller takes nothing more, `closed` follows. Told to the caller of a
     * channel: send no more; the server's payloads come on. */
    void (*cancel)(void *ctx);
    void (*error)(void *ctx, const struct call_error *e); /* `closed` follows */
    void (*closed)(void *ctx);                            /* the call is gone */
};

/* -------------------------------------------------------------------------------- both sides */

/* Send a payload; `complete`: the last (CALL_RESPONSE: it always is). 0 also where nobody is to
 * hear it any more. -ENOBUFS: beyond the credit, not sent: the call should be failed. -EPIPE: this
 * side has completed, or was told to cancel, already; nothing was sent: mostly a race. */
int core_call_next(struct call *call, const struct call_payload *p, bool complete);
/* Send no more payloads. Twice is fine. */
void core_call_complete(struct call *call);
/* Take `n` more payloads; CORE_UNLIMITED and above in sum: any number. */
void core_call_request_n(struct call *call, uint64_t n);
/* Take nothing more: ends a caller's call. */
void core_call_cancel(struct call *call);
/* Fail the call: the other side hears `e`. */
void core_call_error(struct call *call, const struct call_error *e);
/* The same with a refusal's reason and text; the code is that of the reason, `partly`: the other
 * side may have done something. */
void core_call_refuse(struct call *call, const struct refusal *why, bool partly);
/* Give the call up: a caller cancels, a server fails it as if it had gone away. Nothing is called
 * back, not even `closed`. NULL is fine. */
void core_call_close(struct call *call);

/* ------------------------------------------------------------------------------------ caller */

/* Open a call for `ep`; *ret is the caller's side. With CALL_FNF `ops` may be NULL, nothing is
 * called and *ret is NULL. The answer may come at once, before this returns: if that was `closed`,
 * *ret is NULL too, and 0 is returned. What comes to nothing later is told by `error`.
 *  -ENOENT  nobody serves it, and it does not wait
 *  -EPIPE   draining
 *  -EACCES  the broker's own, and the endpoint may not manage it (access.h)
 *  -EMFILE  the endpoint has as many calls open, or waiting for a server, as it may
 *  -EINVAL  not a service's name, or that and the method's are too long
 *  -ECONNREFUSED  the server did not take it
 *  -ENOMEM
 * all with *ret_why; nothing was called back. */
int core_call_open(struct endpoint *ep, const struct call_request *r, const struct call_ops *ops,
                   void *ctx, struct call **ret, struct refusal *ret_why);

/* ------------------------------------------------------------------------------------ server */

struct server_ops {
    /* A call for the server: take it by core_call_accept(), within this; or return -errno and say
     * in *why what the caller is to hear (CALL_REJECTED). `call` is NULL for CALL_FNF: nothing to
     * be accepted. The server may answer at once, after it accepted; other than core_call_* on
     * this call nothing of the core may be called. */
    int (*open)(void *server_ctx, struct call *call, const struct call_request *r,
                struct refusal *why);
    /* Every worker knows of the server now. NULL: not asked for. */
    void (*ready)(void *server_ctx);
    /* May it have one more call now? Asked before each `open`; -errno with *why: the call goes to
     * another server, if there is one. NULL: always. */
    int (*room)(void *server_ctx, struct refusal *why);
};

/* Let calls of `service` come to `ep`, as long as that lives; `server_ctx` goes with them. The same
 * endpoint may serve it once. -EINVAL not a name, -EACCES one of the broker's own, -EEXIST it
 * serves it already, -EMFILE it serves too many, -EPIPE draining, -ENOMEM; all with *ret_why. */
int core_serve(struct endpoint *ep, struct slice service, const struct server_ops *ops,
               void *server_ctx, struct server **ret, struct refusal *ret_why);
/* Take no new calls; those that are open go on. No callback of the server comes after. NULL is
 * fine. */
void core_unserve(struct server *s);
/* The service's name, borrowed. */
struct slice core_server_name(const struct server *s);

/* A part of the broker serves `service` (static) on this core, for callers of this core: it is to
 * do so on every one. -ENOMEM. */
int core_serve_own(struct core *c, const char *service, const struct server_ops *ops,
                   void *server_ctx);

/* Within server_ops.open: take `call`. `position`: of the endpoint's output, behind the opening
 * (out->end); 0 for a server in the process. */
void core_call_accept(struct call *call, const struct call_ops *ops, void *ctx, uint64_t position);

#endif
