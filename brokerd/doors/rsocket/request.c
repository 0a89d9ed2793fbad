#include "brokerd/doors/rsocket/request.h"

#include "brokerd/doors/rsocket/calls.h"
#include "brokerd/doors/rsocket/consume.h"
#include "brokerd/doors/rsocket/publish.h"
#include "brokerd/doors/rsocket/send.h"
#include "brokerd/doors/rsocket/serve.h"
#include "libbroker/wire/rsocket.h"

struct request {
    struct peer *c;
    const struct rs_frame *f;
    struct block *block;
    struct meta meta;
    struct slice name; /* what follows the word; may be empty */
};

static void request_refuse(const struct request *r, const struct refusal *why)
{
    if (r->f->type == RS_REQUEST_FNF) /* "Never answered, not even with ERROR" */
        peer_drop(r->c, why);
    else
        peer_refuse(r->c, r->f->stream, why, false);
}

/* ----------------------------------------------------------------------------- the routes */

static void publish(const struct request *r, bool is_queue)
{
    const struct publish_request p = {r->f->stream, is_queue, r->name, r->f, r->block, &r->meta};
    struct refusal why;

    if (r->name.n > UINT8_MAX) {
        refuse(&why, REASON_INVALID, "a name has at most 240 bytes");
        request_refuse(r, &why);
    } else if (r->f->type == RS_REQUEST_FNF) {
        publish_forget(r->c, &p);
    } else if (r->f->type == RS_REQUEST_RESPONSE) {
        publish_once(r->c, &p);
    } else {
        publish_channel(r->c, &p);
    }
}

static void on_publish(const struct request *r)
{
    publish(r, false);
}

static void on_send(const struct request *r)
{
    publish(r, true);
}

static void consume(const struct request *r, bool is_queue)
{
    consume_open(r->c, &(struct consume_request){r->f->stream, is_queue, r->name, r->f, &r->meta});
}

static void on_subscribe(const struct request *r)
{
    consume(r, false);
}

static void on_consume(const struct request *r)
{
    consume(r, true);
}

static void call(const struct request *r, struct slice service, struct slice method)
{
    if (r->f->type == RS_REQUEST_RESPONSE && slice_eq(service, SLICE("admin")) &&
        slice_eq(method, SLICE("ping")))
        calls_ping(r->c, r->f->stream);
    else
        calls_open(r->c,
                   &(struct call_route){r->f->stream, service, method, r->f, r->block, &r->meta});
}

static void on_call(const struct request *r)
{
    const uint8_t *slash = memchr(r->name.p, '/', r->name.n);
    struct refusal why;
    size_t n;

    if (!slash) {
        refuse(&why, REASON_INVALID, "a call's route is call/SERVICE/METHOD");
        request_refuse(r, &why);
        return;
    }
    n = (size_t)(slash - r->name.p);
    call(r, slice_of(r->name.p, n), slice_from(r->name, n + 1));
}

static void on_admin(const struct request *r)
{
    call(r, SLICE("admin"), r->name);
}

static void on_serve(const struct request *r)
{
    struct refusal why;

    if (r->f->type == RS_REQUEST_RESPONSE)
        serve_open(r->c, r->f->stream, r->name);
    else if (serve_begin(r->c, r->name, &why) < 0)
        request_refuse(r, &why);
}

static void on_unserve(const struct request *r)
{
    struct refusal why;

    if (serve_stop(r->c, r->name, &why) < 0) {
        request_refuse(r, &why);
    } else if (r->f->type == RS_REQUEST_RESPONSE) {
        send_payload(r->c, r->f->stream, &(struct payload){.flags = RS_NEXT | RS_COMPLETE});
        send_end(r->c);
    }
}

/* Which interactions a route has, and which of them must name something. */
enum { FNF = 1, RESPONSE = 2, STREAM = 4, CHANNEL = 8 };

static const struct route {
    const char *word;
    uint8_t with_name, without_name; /* interactions: WORD/NAME, and the bare WORD */
    void (*begin)(const struct request *r);
} routes[] = {
    {"publish", FNF | RESPONSE | CHANNEL, CHANNEL, on_publish},
    {"send", FNF | RESPONSE | CHANNEL, CHANNEL, on_send},
    {"subscribe", STREAM, 0, on_subscribe},
    {"consume", STREAM | CHANNEL, 0, on_consume},
    {"call", FNF | RESPONSE | STREAM | CHANNEL, 0, on_call},
    {"admin", RESPONSE | STREAM, 0, on_admin},
    {"serve", FNF | RESPONSE, 0, on_serve},
    {"unserve", FNF | RESPONSE, 0, on_unserve},
};

static uint8_t interaction(uint8_t type)
{
    switch (type) {
    case RS_REQUEST_FNF:
        return FNF;
    case RS_REQUEST_RESPONSE:
        return RESPONSE;
    case RS_REQUEST_STREAM:
        return STREAM;
    default:
        return CHANNEL;
    }
}

/* -------------------------------------------------------------------------------- finding it */

/* The route whose word begins `tag`; NULL if there is none. *ret_name is what follows. */
static const struct route *find(struct slice tag, struct slice *ret_name, bool *ret_has_name)
{
    const uint8_t *slash = tag.n ? memchr(tag.p, '/', tag.n) : NULL;
    struct slice word = slash ? slice_of(tag.p, (size_t)(slash - tag.p)) : tag;

    *ret_has_name = slash != NULL;
    *ret_name = slash ? slice_from(tag, word.n + 1) : slice_of(NULL, 0);
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (slice_eq(word, slice_str(routes[i].word)))
            return &routes[i];
    }
    return NULL;
}

static void refuse_no_route(const struct request *r, struct refusal *why)
{
    if (r->c->metadata == METADATA_OPAQUE)
        refuse(why, REASON_INVALID,
               "a request needs a route, and metadata of the type given in SETUP have none; use "
               "message/x.rsocket.composite-metadata.v0 or message/x.rsocket.routing.v0");
    else
        refuse(why, REASON_INVALID, "the request has no route (routing metadata, item 0x7E)");
}

static void refuse_unknown(const struct request *r, struct refusal *why)
{
    char buf[64];

    refuse(why, REASON_NOT_FOUND,
           "no route %s; there are publish/TOPIC, publish, send/QUEUE, send, subscribe/FILTER, "
           "consume/QUEUE, serve/SERVICE, unserve/SERVICE, call/SERVICE/METHOD, admin/COMMAND",
           shown(r->meta.route, buf, sizeof buf));
}

/* The route of `r`, with r->name set; NULL with *ret_why. */
static const struct route *route_of(struct request *r, struct refusal *why)
{
    const struct route *route;
    bool has_name;
    uint8_t kind = interaction(r->f->type);

    if (!r->meta.has_route || r->meta.route.n == 0) {
        refuse_no_route(r, why);
        return NULL;
    }
    route = find(r->meta.route, &r->name, &has_name);
    if (!route) {
        refuse_unknown(r, why);
    } else if (has_name && r->name.n == 0) {
        refuse(why, REASON_INVALID, "the name after %s/ is empty", route->word);
    } else if (has_name ? route->with_name & kind : route->without_name & kind) {
        return route;
    } else if (!has_name && (route->with_name & kind)) {
        refuse(why, REASON_INVALID, "route %s needs a name: %s/NAME", route->word, route->word);
    } else {
        refuse(why, REASON_INVALID, "route %s does not take this interaction", route->word);
    }
    return NULL;
}

/* Has the frame what every request of its kind must have? */
static int check(const struct request *r, struct refusal *why)
{
    bool has_n = r->f->type == RS_REQUEST_STREAM || r->f->type == RS_REQUEST_CHANNEL;

    if (has_n && r->f->number == 0) {
        refuse(why, REASON_INVALID, "request n is 0");
        return -1;
    }
    if (r->c->draining) {
        refuse(why, REASON_DRAINING, "the connection takes no new requests");
        return -1;
    }
    return 0;
}

void request_begin(struct peer *c, const struct rs_frame *f, struct block *block)
{
    struct request r = {.c = c, .f = f, .block = block};
    const struct route *route = NULL;
    struct refusal why = {REASON_NONE, ""};

    if (check(&r, &why) == 0 && meta_read(c, f->has_metadata, f->metadata, &r.meta, &why) == 0)
        route = route_of(&r, &why);
    if (route)
        route->begin(&r);
    else
        request_refuse(&r, &why);
}
