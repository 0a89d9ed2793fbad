#include "brokerd/doors/rsocket/setup.h"

#include "brokerd/doors/rsocket/calls.h"
#include "brokerd/doors/rsocket/consume.h"
#include "brokerd/doors/rsocket/lease.h"
#include "brokerd/doors/rsocket/meta.h"
#include "brokerd/doors/rsocket/publish.h"
#include "brokerd/doors/rsocket/serve.h"
#include "brokerd/doors/rsocket/session.h"
#include "libbroker/base/headers.h"
#include "libbroker/base/utf8.h"
#include "libbroker/wire/rsocket.h"

#include <errno.h>
#include <stdlib.h>

#define MIME_COMPOSITE_NAME "message/x.rsocket.composite-metadata.v0"
#define MIME_ROUTING_NAME "message/x.rsocket.routing.v0"

enum { CLIENT_NAME_MAX = 64 }; /* bytes of the name a client gives itself */

static const char *peer_text(const void *ctx)
{
    return link_peer(((const struct peer *)ctx)->link);
}

static const struct endpoint_ops endpoint_ops = {
    .door = "rsocket",
    .peer = peer_text,
    .deliver = consume_deliver,
    .ready = consume_ready,
    .closed = consume_closed,
    .settled = publish_settled,
    .granted = publish_granted,
    .barrier = calls_barrier,
};

/* What is wrong with it, in the order of the table of RSocket's "Setup"; 0 for nothing. */
static uint32_t refusal_code(const struct rs_frame *f, const char **ret_text)
{
    if (f->stream != 0 || f->type != RS_SETUP) {
        *ret_text = "the first frame must be SETUP or RESUME, on stream 0";
        return RS_INVALID_SETUP;
    }
    if (f->setup.major != 1 || f->setup.minor != 0) {
        *ret_text = "only version 1.0 is spoken here";
        return RS_UNSUPPORTED_SETUP;
    }
    return 0;
}

static enum peer_metadata metadata_kind(struct slice mime)
{
    if (slice_eq(mime, SLICE(MIME_COMPOSITE_NAME)))
        return METADATA_COMPOSITE;
    if (slice_eq(mime, SLICE(MIME_ROUTING_NAME)))
        return METADATA_ROUTING;
    return METADATA_OPAQUE;
}

/* The data type, its name copied. -ENOMEM. */
static int keep_type(struct peer *c, struct slice mime)
{
    struct ctype t = ctype_of(mime);
    uint8_t *name = NULL;

    if (t.id == CTYPE_NAMED) {
        name = peer_rare(c) ? malloc(t.name.n) : NULL;
        if (!name)
            return -ENOMEM;
        memcpy(name, t.name.p, t.name.n);
        c->rare->type_name = name;
    }
    c->type_id = t.id;
    c->type_len = (uint8_t)t.name.n;
    return 0;
}

/* Silence that we bear: the client's word, which has 31 bits, within our limits. */
static uint32_t lifetime(const struct door_limits *l, const struct rs_setup *s)
{
    int64_t interval = s->keepalive_ms, ms = s->lifetime_ms;

    if (interval < l->keepalive_min_ms)
        interval = l->keepalive_min_ms;
    if (ms < interval)
        ms = interval;
    return (uint32_t)(ms < l->idle_max_ms ? ms : l->idle_max_ms);
}

/* Metadata of SETUP: whole. *ret_service: what the client serves from the beginning, or empty. */
static uint32_t metadata_code(const struct peer *c, const struct rs_frame *f,
                              struct slice *ret_service, struct refusal *ret_why)
{
    const struct slice serve = SLICE("serve/");
    struct meta m;

    *ret_service = slice_of(NULL, 0);
    if (meta_read(c, f->has_metadata, f->metadata, &m, ret_why) < 0)
        return RS_INVALID_SETUP;
    if (m.has_route && slice_starts(m.route, serve))
        *ret_service = slice_from(m.route, serve.n);
    return 0;
}

/* What people see of the client: the name it gives itself in a header, else its address. */
static const char *client_name(const struct peer *c, const struct rs_frame *f, char *buf,
                               size_t size)
{
    struct refusal unused;
    struct slice name;
    struct meta m;

    if (meta_read(c, f->has_metadata, f->metadata, &m, &unused) < 0 ||
        !headers_find(m.headers, SLICE("name"), &name) || name.n == 0 || name.n >= size ||
        !utf8_printable(name))
        return NULL;
    memcpy(buf, name.p, name.n);
    buf[name.n] = '\0';
    return buf;
}

static void no_memory(struct peer *c)
{
    peer_fail(c, RS_REJECTED_SETUP, "the broker has no memory for this");
}

/* SETUP is as it should be: does it ask for what there is? Then the peer is established. */
static void establish(struct peer *c, const struct rs_frame *f)
{
    char name[CLIENT_NAME_MAX + 1];
    struct endpoint_desc desc;
    struct refusal why;
    struct slice service;
    uint32_t code;

    c->metadata = metadata_kind(f->setup.metadata_mime);
    code = metadata_code(c, f, &service, &why);
    if (code) {
        peer_fail(c, code, why.text);
        return;
    }
    desc = link_desc(c->link, client_name(c, f, name, sizeof name));
    if (keep_type(c, f->setup.data_mime) < 0 ||
        core_endpoint_open(c->link->host->core, &desc, &endpoint_ops, c, &c->link->endpoint) < 0 ||
        ((f->flags & RS_LEASE_FLAG) && lease_begin(c) < 0)) {
        no_memory(c);
        return;
    }
    if (service.p && serve_begin(c, service, &why) < 0) {
        peer_fail(c, RS_REJECTED_SETUP, why.text);
        return;
    }
    c->lifetime_ms = lifetime(&c->link->host->limits, &f->setup);
    c->established = true;
}

/* The same, but the peer is a session's, which this connection carries. */
static void establish_session(struct peer *carrier, const struct rs_frame *f)
{
    struct peer *c = session_begin(carrier, f);

    if (!c)
        return;
    establish(c, f);
    session_begun(carrier);
}

void setup_first(struct peer *c, const struct rs_frame *f)
{
    const char *text;
    uint32_t code;

    if (f->type == RS_RESUME && f->stream == 0) {
        session_resume(c, f);
        return;
    }
    code = refusal_code(f, &text);
    if (code)
        peer_fail(c, code, text);
    else if (f->flags & RS_RESUME_ENABLE)
        establish_session(c, f);
    else
        establish(c, f);
}

/* | u24 length | u32 stream | u16 type and flags |: the stream is 0, the type SETUP or RESUME.
 * Any other known type on a small stream id is a client that forgot its SETUP; no other
 * protocol begins so, and we can tell it. */
enum door_match setup_recognise(struct slice first)
{
    uint8_t type;

    for (size_t i = 3; i <= 5; i++) {
        if (first.n > i && first.p[i] != 0)
            return DOOR_NO;
    }
    if (first.n <= 7)
        return DOOR_MORE;
    type = first.p[7] >> 2;
    return type >= RS_SETUP && type <= RS_RESUME_OK ? DOOR_YES : DOOR_NO;
}
