/* Any bytes as a client of the RSocket door, with a real core behind it and a subscriber to
 * everything beside it: the door neither crashes nor reads past what came, takes no more than it
 * was given, and writes only whole frames.
 *
 * The first byte says how: bit 0 begins with a good SETUP, bits 1 and 2 how many bytes come at a
 * time, bit 3 with routing metadata instead of composite, bit 4 two workers, bit 5 a client that
 * reads nothing, bit 6 that SETUP has a resume token, bit 7 that it asks for leases. Four bytes of
 * 0xff (no frame is so long) cut the connection; the next begins with the right RESUME, or with
 * what follows if that is another 0xff. */
#include "brokerd/doors/rsocket/rsocket.h"
#include "libbroker/base/log.h"
#include "libbroker/wire/composite.h"
#include "libbroker/wire/rsocket.h"
#include "tests/fuzz/fuzz_support.h"
#include "tests/unit/core/world.h"

#define COMPOSITE "message/x.rsocket.composite-metadata.v0"
#define ROUTING "message/x.rsocket.routing.v0"

enum { WITH_SETUP = 1, ALL_AT_ONCE = 2, PAIRS = 4, TAGS = 8, TWO_CORES = 16, STALLED = 32 };
enum { SESSION = 64, LEASED = 128, CUT = 4 };

static const struct door_limits limits = {.first_frame_max = 4096,
                                          .frame_max = 8192,
                                          .message_max = 16384,
                                          .reassembly_max = 32768,
                                          .streams_max = 16,
                                          .keepalive_min_ms = 100,
                                          .idle_max_ms = 60000,
                                          .session_bytes = 8192,
                                          .session_ms = 60000,
                                          .sessions_max = 4,
                                          .lease_requests = 8,
                                          .lease_ms = 1000};

/* What net would be for one connection. */
struct side {
    struct link link;
    struct link_host host;
    struct out_host outs;
    struct block_pool pool;
    struct door_scratch scratch;
    struct door_conn *conn;
    struct world *w;
    uint64_t got; /* position: what the client has read of a session */
    bool closed;
};

static void side_close(struct link *l, const char *why, enum link_end end)
{
    struct side *s = (struct side *)l;

    (void)end;
    must(!s->closed && *why);
    s->closed = true;
}

static const char *side_peer(const struct link *l)
{
    (void)l;
    return "fuzz";
}

static void side_open(struct side *s, struct world *w, unsigned core)
{
    memset(s, 0, sizeof *s);
    s->w = w;
    s->outs.pool = &s->pool;
    s->host = (struct link_host){.core = w->core[core],
                                 .limits = limits,
                                 .scratch = &s->scratch,
                                 .close = side_close,
                                 .peer = side_peer};
    s->link = (struct link){.host = &s->host};
    out_init(&s->link.out, &s->outs);
    s->conn = rsocket_door.open(&s->link);
    must(s->conn);
}

/* The output holds whole frames only. */
static void side_read(struct side *s)
{
    size_t n = s->link.out.pending, at = 0, used;
    uint8_t *all = malloc(n + 1);
    const char *why = "";
    struct rs_frame f;
    struct iovec iov;

    must(all && !s->link.out.broken);
    while (s->link.out.pending > 0) {
        must(out_peek(&s->link.out, &iov, 1) == 1);
        memcpy(all + at, iov.iov_base, iov.iov_len);
        at += iov.iov_len;
        out_consume(&s->link.out, iov.iov_len);
    }
    for (at = 0; at < n; at += used) {
        must(rs_decode(limits.frame_max, all + at, n - at, &f, &used, &why) == WIRE_FRAME);
        s->got += f.stream ? used - RS_TCP_LENGTH : 0;
    }
    free(all);
    if (s->link.endpoint && !s->link.apart)
        core_written(s->link.endpoint, s->link.out.end);
}

/* Bytes in memory of their own, so that a sanitizer sees a read past them. Returns how many were
 * used. */
static size_t side_feed(struct side *s, const uint8_t *p, size_t n)
{
    struct block *b = block_new(n);
    size_t used;

    must(b);
    memcpy(b->bytes, p, n);
    used = rsocket_door.on_bytes(s->conn, slice_of(b->bytes, n), b);
    must(used <= n);
    must(s->closed || n - used < RS_TCP_LENGTH || s->link.need > n - used);
    block_unref(b);
    return used;
}

static void side_cut(struct side *s)
{
    rsocket_door.free(s->conn);
    must(!s->link.endpoint);
    out_fini(&s->link.out);
}

/* Another connection, after a cut. */
static void side_again(struct side *s)
{
    s->closed = false;
    s->link = (struct link){.host = &s->host};
    out_init(&s->link.out, &s->outs);
    s->conn = rsocket_door.open(&s->link);
    must(s->conn);
}

static void side_end(struct side *s)
{
    struct door_room *room;

    side_cut(s);
    if ((room = s->scratch.rooms) != NULL) {
        room->ops->on_time(room, s->w->now + 200000); /* who is away has expired */
        s->scratch.rooms = NULL;
        room->ops->free(room);
    }
    out_host_fini(&s->outs);
    block_pool_fini(&s->pool);
}

static size_t put_setup(uint8_t *p, struct slice metadata_mime, unsigned how)
{
    struct rs_frame f = {.type = RS_SETUP,
                         .flags = (uint16_t)((how & SESSION ? RS_RESUME_ENABLE : 0) |
                                             (how & LEASED ? RS_LEASE_FLAG : 0)),
                         .setup = {.major = 1,
                                   .keepalive_ms = 1000,
                                   .lifetime_ms = 5000,
                                   .token = SLICE("t"),
                                   .metadata_mime = metadata_mime,
                                   .data_mime = SLICE("text/plain")}};

    return (size_t)(rs_put(p, &f) - p);
}

/* Everything that is published arrives here too. */
static void listen_to_all(struct side *s)
{
    uint8_t in[512], route[64], *end = composite_put_route(route, SLICE("subscribe/#"));
    size_t n = put_setup(in, SLICE(COMPOSITE), 0);
    struct rs_frame f = {.type = RS_REQUEST_STREAM,
                         .stream = 1,
                         .number = RS_N_MAX,
                         .has_metadata = true,
                         .metadata = slice_of(route, (size_t)(end - route))};

    n = (size_t)(rs_put(in + n, &f) - in);
    must(side_feed(s, in, n) == n);
}

static void turn(struct side *client, struct side *listener, bool stalled)
{
    world_run(client->w);
    if (!stalled || client->link.out.pending > 1 << 20)
        side_read(client);
    side_read(listener);
}

static bool is_cut(const uint8_t *p, size_t n)
{
    return n >= CUT && p[0] == 0xff && p[1] == 0xff && p[2] == 0xff && p[3] == 0xff;
}

/* Returns the bytes up to the next cut, or to the end. */
static size_t converse(struct side *client, struct side *listener, unsigned how,
                       const uint8_t *data, size_t size)
{
    size_t whole = 0, step, kept = 0;

    while (whole < size && !is_cut(data + whole, size - whole))
        whole++;
    step = how & ALL_AT_ONCE ? whole : how & PAIRS ? 2 : 1;
    for (size_t end = 0; end < whole && !client->closed;) {
        end = whole - end < step ? whole : end + step;
        kept += side_feed(client, data + kept, end - kept);
        turn(client, listener, how & STALLED);
    }
    return whole;
}

/* The connection is cut, with what it has not read; the client goes on, or does what it likes. */
static void go_on(struct side *client, struct side *listener, bool is_right)
{
    struct rs_frame f = {
        .type = RS_RESUME, .setup = {.major = 1, .token = SLICE("t")}, .position = client->got};
    uint8_t in[64];

    side_cut(client);
    turn(client, listener, true);
    side_again(client);
    if (is_right)
        (void)side_feed(client, in, (size_t)(rs_put(in, &f) - in));
}

static void converse_on(struct side *client, struct side *listener, unsigned how,
                        const uint8_t *data, size_t size)
{
    size_t at = converse(client, listener, how, data, size);

    while (size - at > CUT) {
        at += CUT;
        go_on(client, listener, data[at] != 0xff);
        at++;
        at += converse(client, listener, how, data + at, size - at);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct policy_globals globals = {
        .max_message_bytes = 16384, .create_queues = true, .max_calls = 64};
    struct policy_set *policies;
    struct side client, listener;
    struct world w;
    uint8_t setup[256];
    unsigned how;

    if (size < 2)
        return 0;
    log_setup(LEVEL_ERROR, LOG_FORMAT_PLAIN); /* sessions expire in every other run */
    how = data[0];
    must(policy_set_new(&globals, &policies) == 0);
    world_start(&w, how & TWO_CORES ? 2 : 1, policies, 1 << 20);
    side_open(&listener, &w, 0);
    listen_to_all(&listener);
    side_open(&client, &w, w.n - 1);
    if (how & WITH_SETUP)
        (void)side_feed(&client, setup,
                        put_setup(setup, how & TAGS ? SLICE(ROUTING) : SLICE(COMPOSITE), how));
    converse_on(&client, &listener, how, data + 1, size - 1);
    if (!client.closed && how & STALLED)
        rsocket_door.on_drain(client.conn);
    (void)rsocket_door.on_time(client.conn, w.now + 100000);
    turn(&client, &listener, false);
    side_end(&client);
    world_run(&w);
    side_end(&listener);
    world_stop(&w);
    policy_set_unref(policies);
    return 0;
}
