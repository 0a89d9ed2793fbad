/* The driver of brokerd's native protocol. Everything goes over streams of fixed numbers: one to
 * publish, one to consume, one to ask whether all is done, and one for each subscription. */
#include "tests/bench/load/load.h"

#include <stdlib.h>
#include <string.h>

#include "libbroker/base/headers.h"
#include "libbroker/wire/broker_rs.h"
#include "libbroker/wire/composite.h"
#include "libbroker/wire/rsocket.h"

enum {
    PUBLISH_STREAM = 1,
    PING_STREAM = 3,
    CONSUME_STREAM = 5,
    FIRST_SUBSCRIPTION = 7,
    ROUTE_MAX = 16 + LOAD_NAME_MAX,
    METADATA_MAX = 256,
    NAMED_HEAD =
        RS_HEAD_SIZE + 3 + 4 /* of a message with one item of metadata, without its value */
};

extern const struct driver rsocket_driver, rsocket_loss_driver;

/* What `state` is used for. */
enum {
    ACKED,       /* consumer: deliveries acknowledged */
    USED_CREDIT, /* subscriber with a limit: messages since it last granted some */
    WAITING      /* for what, until it is ready: of the bits below */
};

enum { WAITING_PING = 1, WAITING_CREDIT = 2 };

static uint32_t subscription_stream(unsigned id)
{
    return FIRST_SUBSCRIPTION + 2 * id;
}

static void put_frame(struct side *s, const struct rs_frame *f)
{
    uint8_t *p = side_room(s, rs_size(f));

    side_add(s, (size_t)(rs_put(p, f) - p));
}

static void put_setup(struct side *s)
{
    struct rs_frame f = {.type = RS_SETUP};

    f.setup.major = 1;
    f.setup.keepalive_ms = 20000;
    f.setup.lifetime_ms = 600000; /* longer than any run: the generator sends no keep-alive */
    f.setup.metadata_mime = SLICE("message/x.rsocket.composite-metadata.v0");
    f.setup.data_mime = SLICE("application/octet-stream");
    put_frame(s, &f);
}

/* Metadata: the route, and what further items there are. */
static void put_request_with(struct side *s, uint32_t stream, uint8_t type, const char *verb,
                             const char *name, uint32_t n, struct slice items, struct slice data)
{
    uint8_t metadata[METADATA_MAX], *end;
    char route[ROUTE_MAX];
    struct rs_frame f = {
        .stream = stream, .type = type, .number = n, .has_metadata = true, .data = data};
    size_t len = strlen(verb);

    memcpy(route, verb, len);
    memcpy(route + len, name, strlen(name) + 1);
    end = composite_put_route(metadata, slice_str(route));
    if (items.n)
        end = mempcpy(end, items.p, items.n);
    f.metadata = slice_of(metadata, (size_t)(end - metadata));
    put_frame(s, &f);
}

static void put_request(struct side *s, uint32_t stream, uint8_t type, const char *verb,
                        const char *name, uint32_t n)
{
    put_request_with(s, stream, type, verb, name, n, slice_of(NULL, 0), slice_of(NULL, 0));
}

static void rsocket_subscribe(struct side *s, unsigned id, const char *filter)
{
    put_request(s, subscription_stream(id), RS_REQUEST_STREAM, "subscribe/", filter,
                s->part.credit ? s->part.credit : RS_N_MAX);
}

static void rsocket_unsubscribe(struct side *s, unsigned id, const char *filter)
{
    (void)filter;
    rs_put_cancel(side_room(s, RS_CANCEL_SIZE), subscription_stream(id));
    side_add(s, RS_CANCEL_SIZE);
}

static void wait_for(struct side *s, unsigned what)
{
    s->state[WAITING] |= what;
    s->ready = false;
}

static void came(struct side *s, unsigned what)
{
    s->state[WAITING] &= ~(uint64_t)what;
    s->ready = s->state[WAITING] == 0;
}

static void rsocket_sync(struct side *s)
{
    wait_for(s, WAITING_PING);
    put_request(s, PING_STREAM, RS_REQUEST_RESPONSE, "admin/ping", "", 1);
}

/* The item that has the broker confirm losses only. */
static struct slice only_losses(uint8_t *to)
{
    static const struct mime type = {
        .id = MIME_UNKNOWN, .name = {(const uint8_t *)HEADERS_MIME, sizeof HEADERS_MIME - 1}};
    uint8_t header[32], *end = headers_put(header, SLICE("$confirm"), SLICE("loss"));
    struct slice value = slice_of(header, (size_t)(end - header));

    return slice_of(to, (size_t)(composite_put(to, &type, value) - to));
}

/* A channel for one topic or queue takes its first message with the request; on one for all topics
 * that only opens it. */
static void open_channel(struct side *s, const char *verb, const char *name, size_t size)
{
    uint8_t *zeros = calloc(1, size + 1), items[METADATA_MAX / 2];
    bool loss = s->driver == &rsocket_loss_driver;

    if (!zeros)
        die("out of memory");
    put_request_with(s, PUBLISH_STREAM, RS_REQUEST_CHANNEL, verb, name, RS_N_MAX,
                     loss ? only_losses(items) : slice_of(NULL, 0), slice_of(zeros, size));
    free(zeros);
    s->greeted = s->granted = size ? 1 : 0;
    wait_for(s, WAITING_CREDIT);
}

static void rsocket_open(struct side *s)
{
    const struct part *part = &s->part;

    put_setup(s);
    for (unsigned i = 0; i < part->filters_n; i++)
        rsocket_subscribe(s, i, part->filters[i]);
    if (part->consume)
        put_request(s, CONSUME_STREAM, RS_REQUEST_CHANNEL, "consume/", part->consume, RS_N_MAX);
    rsocket_sync(s);
    if (part->any_topic)
        open_channel(s, "publish", "", 0);
    else if (part->topic)
        open_channel(s, "publish/", part->topic, part->size);
    else if (part->produce)
        open_channel(s, "send/", part->produce, part->size);
}

static size_t rsocket_message(struct side *s, uint8_t *to, const char *topic, size_t size,
                              uint8_t **ret_payload)
{
    uint8_t metadata[METADATA_MAX], *p;

    if (s->part.any_topic) {
        p = composite_put_route(metadata, slice_str(topic));
        p = rs_put_payload_metadata_head(to, PUBLISH_STREAM, RS_NEXT,
                                         slice_of(metadata, (size_t)(p - metadata)), size);
    } else {
        p = rs_put_payload_head(to, PUBLISH_STREAM, RS_NEXT, size);
    }
    memset(p, 'x', size);
    *ret_payload = p;
    return (size_t)(p - to) + size;
}

/* The first whole frame, decoded; false if there is none yet. */
static bool frame(const uint8_t *p, size_t n, struct rs_frame *ret, size_t *ret_used)
{
    const char *why;
    enum wire_status got = rs_decode(RS_FRAME_MAX, p, n, ret, ret_used, &why);

    if (got == WIRE_BAD)
        die("a bad frame: %s", why);
    if (got == WIRE_FRAME && ret->type == RS_ERROR)
        die("the broker says: %.*s", (int)ret->data.n, (const char *)ret->data.p);
    return got == WIRE_FRAME;
}

/* What the broker has settled, and what of it it did not take. */
static void confirm(struct side *s, struct slice data)
{
    struct confirm_reader r;
    struct confirm_entry e;

    if (confirm_decode(data, &r) < 0)
        die("a bad confirm");
    s->confirmed = r.settled;
    while (confirm_next(&r, &e) > 0)
        if (e.reason != REASON_NO_MATCH)
            s->refused += e.count;
}

/* Losses are told in headers, "COUNT REASON" for each reason. */
static void note_gaps(struct side *s, struct slice metadata)
{
    struct composite_item item;
    struct header h;

    while (composite_next(&metadata, &item) > 0)
        if (slice_eq(item.mime.name, SLICE(HEADERS_MIME)))
            while (headers_next(&item.value, &h) > 0)
                if (slice_eq(h.name, SLICE("$gap")))
                    s->told_lost += strtoull((const char *)h.value.p, NULL, 10);
}

static void delivery(struct side *s, const struct rs_frame *f)
{
    if (f->data.n != s->part.size)
        die("a message of %zu bytes came, wanted is one of %zu", f->data.n, s->part.size);
    if (f->has_metadata)
        note_gaps(s, f->metadata);
    s->got++;
    if (s->each)
        s->each(s, f->data.p, f->data.n);
}

static void other_frame(struct side *s, const struct rs_frame *f)
{
    if (f->type == RS_REQUEST_N && f->stream == PUBLISH_STREAM) {
        s->granted += f->number;
        came(s, WAITING_CREDIT);
    } else if (f->type == RS_PAYLOAD && f->stream == PUBLISH_STREAM) {
        confirm(s, f->data);
    } else if (f->type == RS_PAYLOAD && f->stream == PING_STREAM) {
        came(s, WAITING_PING);
    } else if (f->type == RS_PAYLOAD) {
        delivery(s, f);
    }
}

/* Messages without metadata, as long as there is nothing else. Shape and length of each are looked
 * at, the bytes of the payload are not. Returns the bytes used. */
static size_t plain_messages(struct side *s, const uint8_t *p, size_t n)
{
    size_t at = 0, one = RS_PAYLOAD_HEAD_SIZE + s->part.size;

    for (; n - at >= one && be_get_16(p + at + 7) == RS_PLAIN_PAYLOAD &&
           be_get_24(p + at) + (size_t)RS_TCP_LENGTH == one &&
           be_get_32(p + at + 3) != PUBLISH_STREAM;
         at += one) {
        s->got++;
        if (s->each)
            s->each(s, p + at + RS_PAYLOAD_HEAD_SIZE, s->part.size);
    }
    return at;
}

/* The same of messages whose metadata are their topic, one routing item, and nothing else. */
static size_t named_messages(struct side *s, const uint8_t *p, size_t n)
{
    size_t at = 0, item, one;

    for (; n - at > NAMED_HEAD; at += one) {
        const uint8_t *head = p + at, *metadata = head + RS_HEAD_SIZE + 3;

        item = be_get_24(metadata + 1);
        one = NAMED_HEAD + item + s->part.size;
        if (n - at < one || be_get_24(head) + (size_t)RS_TCP_LENGTH != one ||
            be_get_16(head + 7) != RS_TYPE_FLAGS(RS_PAYLOAD, RS_NEXT | RS_METADATA) ||
            be_get_24(head + RS_HEAD_SIZE) != item + 4 || metadata[0] != (0x80 | MIME_ROUTING))
            break;
        s->got++;
        if (s->each)
            s->each(s, head + NAMED_HEAD + item, s->part.size);
    }
    return at;
}

/* All that came is acknowledged at once, in one verb. */
static void acknowledge(struct side *s)
{
    struct consumer_verb v = {.kind = VERB_ACK, .first = s->state[ACKED] + 1};
    uint8_t *p;

    v.count = (uint32_t)(s->got - s->state[ACKED]);
    if (v.count == 0)
        return;
    p = side_room(s, RS_PAYLOAD_HEAD_SIZE + CONSUMER_VERB_SIZE);
    p = rs_put_payload_head(p, CONSUME_STREAM, RS_NEXT, CONSUMER_VERB_SIZE);
    consumer_verb_put(p, &v);
    side_add(s, RS_PAYLOAD_HEAD_SIZE + CONSUMER_VERB_SIZE);
    s->state[ACKED] = s->got;
}

/* A subscriber with a limit, and one filter, renews what it used when that is half of it. */
static void renew_credit(struct side *s, uint64_t messages)
{
    s->state[USED_CREDIT] += messages;
    if (s->state[USED_CREDIT] < s->part.credit / 2)
        return;
    rs_put_request_n(side_room(s, RS_REQUEST_N_SIZE), subscription_stream(0),
                     (uint32_t)s->state[USED_CREDIT]);
    side_add(s, RS_REQUEST_N_SIZE);
    s->state[USED_CREDIT] = 0;
}

static size_t rsocket_take(struct side *s, const uint8_t *p, size_t n)
{
    uint64_t before = s->got;
    struct rs_frame f;
    size_t at = 0, used;

    for (;; at += used) {
        at += plain_messages(s, p + at, n - at);
        at += named_messages(s, p + at, n - at);
        if (!frame(p + at, n - at, &f, &used))
            break;
        other_frame(s, &f);
    }
    if (s->part.consume)
        acknowledge(s);
    if (s->part.credit)
        renew_credit(s, s->got - before);
    return at;
}

const struct driver rsocket_driver = {
    .name = "rsocket",
    .does = LOAD_TOPICS | LOAD_DUPLEX | LOAD_WILDCARDS | LOAD_QUEUES | LOAD_STALLS,
    .open = rsocket_open,
    .take = rsocket_take,
    .message = rsocket_message,
    .subscribe = rsocket_subscribe,
    .unsubscribe = rsocket_unsubscribe,
    .sync = rsocket_sync,
};

/* The same, but only losses are confirmed: what a plain publish is elsewhere, and told of more. */
const struct driver rsocket_loss_driver = {
    .name = "rsocket-loss",
    .does = LOAD_TOPICS | LOAD_DUPLEX | LOAD_WILDCARDS | LOAD_STALLS,
    .open = rsocket_open,
    .take = rsocket_take,
    .message = rsocket_message,
    .subscribe = rsocket_subscribe,
    .unsubscribe = rsocket_unsubscribe,
    .sync = rsocket_sync,
};
