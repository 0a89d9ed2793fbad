/* exchange.h - one HTTP request and its answer: what the engine lends a handler.
 *
 * Why      Publishing, receiving, calls and management know what a request means; connections,
 *          pipelining, bodies, limits and the order of answers are the engine's alone (peer.h).
 * Shape    A route (route.h) names a handler. The engine calls
 *              begin()  when the head is there,
 *              body()   when the body is: once with all of it, or in pieces as it comes,
 *              over()   when the exchange is over: answered wholly, or its client has gone.
 *          The handler answers within these or at any later time: exchange_answer() or
 *          exchange_refuse(); or it streams: exchange_stream(), exchange_write() .., _finish().
 *          Answers reach the client in the order of its requests: what is answered early waits.
 *          Who streams, or takes its time, is alone: it begins when all before it have been
 *          answered, and nothing after it is looked at until it is over. Then what it writes is at
 *          once the connection's output, and the core's `deliver` is paced by that (core_writable).
 *          A handler that consumes or publishes does so on the connection's endpoint.
 * Owner    An exchange is the engine's, from begin() to over(); `state` is the handler's.
 * Errors   Without memory for an answer the connection ends (its output is broken), and over()
 *          comes as ever.
 * Thread   The connection's worker. begin(), body() and over() are never called from the core's
 *          callbacks, and may call the core; the functions below may be called from them. */
#ifndef BROKERD_DOORS_HTTP_EXCHANGE_H
#define BROKERD_DOORS_HTTP_EXCHANGE_H

#include "brokerd/doors/door.h"
#include "brokerd/doors/window.h"
#include "libbroker/base/list.h"
#include "libbroker/wire/http.h"

struct hpeer;
struct exchange;
struct route;
struct terms;

enum { EXCHANGE_ARGS = 4, EXCHANGE_TEXT_MAX = 512 };

/* What a handler does with a request's body. */
enum body_kind {
    BODY_NONE,  /* there must be none; body() is called once, with nothing */
    BODY_WHOLE, /* body() is called once, with all of it; head and args can be read then too */
    BODY_PARTS, /* body() is called for each piece, and at the end */
};

struct handler {
    enum body_kind kind;
    bool
        alone; /* begins when all before it are answered, nothing after it is looked at meanwhile */
    uint64_t body_max; /* bytes; 0: max-message. A longer body is refused. BODY_PARTS: no limit */
    /* Another handler for some requests, by what their heads say. NULL: none. */
    const struct handler *(*choose)(const struct terms *t);
    /* The head is there. May answer: then body() is not called. NULL is fine. */
    void (*begin)(struct exchange *x);
    /* Some of the body, perhaps none, lying in `block` (NULL: nowhere that can be referred to).
     * Returns the bytes used; BODY_PARTS may leave some, which come again (as long as the peer is
     * read: a window that is used up sees to that); `last`: nothing follows these. */
    size_t (*body)(struct exchange *x, struct slice part, struct block *block, bool last);
    /* Of who is alone: all has come that will, and the client waits for nothing more; or has gone.
     * Answer soon, with what there is. Perhaps more than once. NULL: it is over. */
    void (*hurry)(struct exchange *x);
    /* It is over: free what is x->state, leave the core. NULL is fine. */
    void (*over)(struct exchange *x);
};

typedef void exchange_settled_fn(struct exchange *x, const struct outcome *o);

struct exchange {
    struct list_node link; /* of the engine */
    struct hpeer *peer;    /* the same */
    const struct route *route;
    const struct handler *handler; /* the route's, or the one it chose */
    /* NULL outside of begin() and, but for BODY_PARTS, body(). As long as that: the args, what
     * stood in the path for each * of the route's pattern, percent-decoded; and the query, as it
     * came (exchange_query()). */
    const struct http_request *request;
    const struct terms *terms; /* as long: what the engine has read in it (terms.h) */
    struct slice arg[EXCHANGE_ARGS], query;
    void *state;   /* the handler's; NULL at first */
    uint64_t note; /* the same; 0 */
    /* What follows is the engine's. */
    exchange_settled_fn *settled;
    uint32_t unsettled; /* of what it published */
    struct held *held;  /* answered before its turn */
    const char *cors;   /* whose pages may see the answer; NULL: nobody asked */
    uint16_t status;
    uint8_t method;      /* enum method */
    bool is_old : 1;     /* HTTP/1.0 */
    bool closes : 1;     /* nothing follows its answer */
    bool answered : 1;   /* nothing more is to be said */
    bool streams : 1;    /* the head of its answer is out, more is to come */
    bool is_chunked : 1; /* and in chunks */
    bool continues : 1;  /* the client waits to be told to send the body */
    bool body_done : 1;  /* the request has come wholly */
    bool cuts : 1;       /* answered before that, the connection ends */
    bool is_over : 1;    /* out of its turn's line; over() is to be called */
    bool gone : 1;       /* the client has gone, or will not hear this: for over() to read */
};

/* -------------------------------------------------------------------------------- the answer */

/* An answer; borrowed for the call. */
struct response {
    int status;
    struct slice type;    /* Content-Type; empty: not said */
    struct slice body;    /* none with 204 and 304 */
    struct block *block;  /* holds the body, so that it may be referred to; NULL: copy */
    struct slice headers; /* further fields, in the neutral form (base/headers.h): names as they
                           * are to appear; a value with control characters is left out */
    int retry_after;      /* seconds; 0: not said */
    const char *allow;    /* field Allow; NULL: not said */
    bool is_preflight;    /* to a page that asks what it may send: say it */
};

/* Answer, once. HEAD is answered without the body by itself. */
void exchange_answer(struct exchange *x, const struct response *r);
/* {"error":{"reason":"full","text":"full: .."}} with the reason's status, and Retry-After. */
void exchange_refuse(struct exchange *x, const struct refusal *why);
/* The same with `r`, but for the body: for refusals of HTTP's own (405, 415 ..). */
void exchange_refuse_with(struct exchange *x, const struct response *r, const struct refusal *why);
/* JSON, of any length. */
void exchange_answer_json(struct exchange *x, int status, struct slice json);
/* {"error":{"reason":"failed","code":769,"text":".."}}: a server's own error, not the broker's. */
void exchange_fail(struct exchange *x, int status, uint32_t code, struct slice text);

/* Begin an answer whose length is not known; of a handler that is alone. r->body: its beginning,
 * perhaps empty. Where the request is HEAD, what is written is left out. */
void exchange_stream(struct exchange *x, const struct response *r);
/* More of it: one or more pieces that belong together, as one chunk. Nothing after the end. */
void exchange_write(struct exchange *x, const struct slice *piece, unsigned n);
/* The end of it. `cut`: something is missing, the connection is closed so that the client sees. */
void exchange_finish(struct exchange *x, bool cut);

/* The output's position behind what was written last: what the core's deliver() returns. */
uint64_t exchange_position(const struct exchange *x);

/* -------------------------------------------------------------------------- what it may ask */

/* The connection's link: who it is, the core, its limits. */
struct link *exchange_link(const struct exchange *x);

/* The connection's endpoint, made if need be. 0; -EPIPE draining, -ENOMEM with *ret_why. */
int exchange_endpoint(struct exchange *x, struct endpoint **ret, struct refusal *ret_why);

/* A consumer on that endpoint: the first member of what is its context at core_attach(). The
 * members are as those of endpoint_ops; NULL: not asked for (but deliver). */
struct hconsumer {
    uint64_t (*deliver)(struct hconsumer *k, const struct delivery *d);
    void (*ready)(struct hconsumer *k);
    void (*closed)(struct hconsumer *k, const struct refusal *why, uint64_t lost);
};

/* Publish a run on the connection's window, which has room for a message: the engine begins nothing
 * while it has none; for more, exchange_room() tells. `settled` (of one exchange always the same)
 * is called for each message when it has settled, in order, perhaps from the core's callbacks,
 * unless the exchange is over before. 0; -errno with *ret_why, nothing was published. */
int exchange_publish(struct exchange *x, const struct target *to, const struct run *run,
                     exchange_settled_fn *settled, struct refusal *ret_why);
/* Messages that may be published now; none: the peer is not read until there are. */
uint32_t exchange_room(struct exchange *x);

/* The first value of `name` in the query, percent-decoded into `buf`: *ret is there. 1; 0: it is
 * not said; -EINVAL: it cannot be decoded, or is longer than `size`. */
int exchange_query(const struct exchange *x, const char *name, uint8_t *buf, size_t size,
                   struct slice *ret);

/* The message headers that a request's fields make (Broker-NAME, Broker-Meta-NAME, traceparent,
 * tracestate, ce-NAME, Idempotency-Key), in the neutral form at `buf`, EXCHANGE_HEADERS_MAX bytes;
 * *ret points there, or is empty. 0; -EINVAL with *ret_why. */
enum { EXCHANGE_HEADERS_MAX = HTTP_HEAD_MAX + 2 * HTTP_FIELDS_MAX };
int exchange_headers(const struct exchange *x, uint8_t *buf, struct slice *ret,
                     struct refusal *ret_why);

/* The other way: the fields that a message's headers make, for response.headers, in `buf` of `size`
 * bytes. What cannot stand in a field is left out, and what does not fit: of a head of more than 16
 * KiB clients take no notice. */
struct slice exchange_fields(struct slice headers, uint8_t *buf, size_t size);

#endif
