/* service.h - who serves calls, and the two sides of one; inner side of call.h.
 *
 * Shape    A side (struct call) points at the other if that is on this core too, else it has its
 *          handle. A call without a server yet keeps its request in the service's line.
 *
 *              endpoint --- calling --- call === call --- calling --- endpoint
 *                                 \                             \ server
 *                                  (waits) --- service --- place . . . (handle of the server)
 *
 *          Worker 0 is told of every server, names the worker of a service's first one its home,
 *          and tells everybody. The home has a place for each server and counts its calls; an
 *          opening goes there, then to the server's worker; all else goes straight.
 * Owner    Calls and servers: their endpoint. Places and services: the core.
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_SERVICE_H
#define BROKERD_CORE_SERVICE_H

#include "brokerd/core/call.h"
#include "brokerd/core/state.h"

enum {
    SERVERS_MAX = 1000,            /* services of one endpoint */
    CALL_WAITING_BYTES = 16 << 20, /* of openings of one endpoint that wait for a server */
    CALL_UNREAD_BYTES = 4 << 20,   /* of openings for a server whose output is full */
    CALL_OPENING_BYTES = 256,      /* of each, besides what it carries */
    CALL_TRIES = 8,                /* servers without room for it; homes without a server */
    PLACE_RESTS_MS = 100,          /* who refused a call is asked after the others for so long */
    CALL_RETRY_MS = 5,             /* then, if it may wait, it tries again after so long */
};

/* Somebody on this core who serves. */
struct server {
    struct endpoint *ep;
    struct list_node link; /* in calling->servers; once it has left: in core->owing or none */
    const struct server_ops *ops;
    void *ctx;
    handle_t handle; /* 0: it has left */
    handle_t was;    /* what it was then, for who is yet to be told */
    uint8_t name_n;
    char name[];
};

/* A server as the service's home sees it. */
struct place {
    struct service *service;
    struct list_node link; /* in service->places, by whose turn it is */
    handle_t handle, server;
    uint64_t open;          /* calls */
    uint64_t opened;        /* ever */
    int64_t rests_until_ms; /* it refused a call: others are asked first */
};

/* A server as worker 0 sees it. */
struct member {
    struct list_node link;
    handle_t server;
    bool placed;  /* its home knows */
    bool welcome; /* it was told that all know */
};

/* What worker 0 keeps of a service besides. */
struct registry {
    struct list members;
    handle_t handle;
    unsigned home;
    unsigned unseen; /* workers that have yet to learn of the home */
    bool told;       /* the home has a place: everybody is told of it */
};

struct service {
    struct core *core;
    struct map_entry *entry;
    const struct server_ops *own; /* a part of the broker serves it, or NULL */
    void *own_ctx;
    bool known;          /* somebody serves it, at `home` */
    unsigned home;       /* worker */
    struct list waiting; /* struct call, in the order they came */
    uint64_t waiting_n;
    struct list places; /* at home */
    struct registry *registry;
};

/* What an endpoint needs that calls or serves: there while it does. */
struct calling {
    struct endpoint *ep;
    struct list calls, servers;
    struct list thirsty;        /* struct call that lend no credit while the output is full */
    unsigned calls_n, served_n; /* calls: opened by it, and those it serves */
    unsigned servers_n;
    uint64_t waiting_bytes;
    uint64_t unread_bytes; /* of openings, given to its servers since its output is full */
};

/* What could not be said to the other side yet: its handle is not known, or there was no memory.
 * In this order. */
struct owed {
    uint64_t n; /* request_n */
    bool complete, cancel, error;
    uint32_t code; /* of the error */
    uint8_t reason;
};

struct call {
    struct core *core;
    struct endpoint *ep; /* NULL: a server in the process, or a side nobody has any more */
    const struct call_ops *ops;
    void *ctx;
    struct list_node link;    /* in calling->calls */
    struct list_node thirsty; /* in calling->thirsty */
    struct call *peer;        /* the other side, on this core; or NULL */
    handle_t handle;          /* 0: nobody needs it */
    handle_t remote;          /* the other side on another worker; 0: not known (yet) */
    struct owed owed;
    struct list_node owing; /* in core->owing while some of it may be said */
    uint8_t model;          /* enum call_model */
    bool is_caller : 1;
    bool may_send : 1, may_hear : 1; /* payloads: this side, the other */
    bool opening : 1;                /* within the function that makes it */
    bool ended : 1;                  /* while opening: to be freed after it */
    bool lingering : 1;              /* nobody has it any more, but others must hear so */
    bool counted : 1;                /* in the core's calls_open: not those to `admin` */
    bool away : 1;                   /* the opening is on its way to a server elsewhere */
    uint64_t credit;                 /* payloads this side may send */
    uint64_t wanted;                 /* this side takes, not yet said to the other */
    uint64_t lent;                   /* said, and not come yet */
    uint32_t window, average;        /* payloads; bytes of one, lately */
    uint64_t position;               /* server's: of its output, behind the opening */
    handle_t place;            /* server's: at the service's home, until that was told; or 0 */
    struct service *service;   /* caller's, while it waits */
    struct kept_request *kept; /* caller's, while it waits */
    struct list_node waiter;   /* in service->waiting */
    struct timer timer;        /* while it waits */
    int64_t until_ms;          /* caller's: how long it waits for a server */
    uint8_t tries;
    uint8_t name_n; /* caller's: bytes of the service's name */
    uint8_t name[];
};

/* ------------------------------------------------------------------------------------ sides */

/* A side of `ep` (NULL: of the process): the caller's of `service`, or, where that is empty, the
 * server's. NULL without memory. */
struct call *call_new(struct core *c, struct endpoint *ep, enum call_model model,
                      struct slice service);
/* It is gone: `closed` is called, the other side hears nothing. */
void call_end(struct call *k);
/* The same, and nothing is called. */
void call_drop(struct call *k);
/* It failed by itself: `error`, then `closed`. */
void call_fail(struct call *k, const struct refusal *why, bool partly);
/* Say to the other side what it is owed, as far as that can be done now. */
void call_pay(struct call *k);
/* Credit of an opening: what may be lent at once. */
uint64_t call_lend_first(struct call *k, uint64_t wanted);
/* A call of `ep` (NULL: of another worker) to `service`, whatever that is, came to nothing. */
void call_count_failed(struct core *c, const struct endpoint *ep, enum reason reason,
                       struct slice service);
uint32_t call_code(enum reason reason, bool partly);

/* The other side has said so. */
void call_take_next(struct call *k, const struct call_payload *p, bool complete); /* by mail */
void call_hear_next(struct call *k, const struct call_payload *p, bool complete);
void call_hear_n(struct call *k, uint64_t n);
void call_hear_complete(struct call *k);
void call_hear_cancel(struct call *k);
void call_hear_error(struct call *k, const struct call_error *e);

/* Output has room again: credit goes on. */
void calling_go_on(struct endpoint *ep);
/* The endpoint goes: its calls and servers with it. */
void calling_free(struct endpoint *ep);
/* The endpoint's part, made if need be; NULL without memory. calling_trim() frees it if it has
 * become empty. */
struct calling *calling_of(struct endpoint *ep);
void calling_trim(struct endpoint *ep);

/* --------------------------------------------------------------------------------- services */

/* Forget all services, tell nobody. After the endpoints. */
void services_free(struct core *c);
/* The service of that name; get: made if need be, NULL without memory. */
struct service *service_find(struct core *c, struct slice name);
struct service *service_get(struct core *c, struct slice name);
/* Forget it if there is nothing to remember. */
void service_trim(struct service *s);
/* At its home: the place with the fewest calls open, which has one more from now on. NULL: there is
 * none. */
struct place *service_pick(struct service *s);
/* Is there another than `p` that does not rest? */
bool service_has_more(const struct service *s, const struct place *p);
/* At its home: the server of `place` did not take a call. It rests, or, if it has `gone`, its place
 * goes too: worker 0 says so only later, and it would draw all new calls until then. */
void service_not_taken(struct core *c, handle_t place, bool gone);
/* A call of `place` at this core or elsewhere is over, or was `refused` by the server. False:
 * without memory the other worker was not told. */
bool service_call_ended(struct core *c, handle_t place, bool refused);
/* serve .. served */
void service_take(struct core *c, struct entry *e);
/* A worker has heard of the service of `token`: seen. */
void service_seen(struct core *c, uint64_t token);
/* Services and calls that could not post go on. False: some still cannot. */
bool services_pay(struct core *c);

#endif
