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
#include "tests/fuzz/fuzz_side.h"

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

/* The output holds whole frames only. Adds to `got`, if there is such, what a session counts. */
static void read_frames(struct side *s, uint64_t *got)
{
    size_t n, used;
    uint8_t *all = side_take(s, &n);
    const char *why = "";
    struct rs_frame f;

    for (size_t at = 0; at < n; at += used) {
        must(rs_decode(limits.frame_max, all + at, n - at, &f, &used, &why) == WIRE_FRAME);
        if (got)
            *got += f.stream ? used - RS_TCP_LENGTH : 0;
    }
    side_took(s, all);
}

static void feed(struct side *s, const uint8_t *p, size_t n)
{
    side_feed(s, p, n);
    must(s->closed || s->kept_n < RS_TCP_LENGTH || s->link.need > s->kept_n);
}

/* Sessions of this worker expire. */
static void end_rooms(struct door_scratch *scratch, uint64_t now)
{
    struct door_room *room = scratch->rooms;

    if (!room)
        return;
    room->ops->on_time(room, now + 200000);
    scratch->rooms = NULL;
    room->ops->free(room);
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
    feed(s, in, n);
    must(s->kept_n == 0);
}

/* The client, and who listens beside it. */
struct talk {
    struct world w;
    struct side client, listener;
    struct door_scratch scratch[2];
    uint64_t got; /* position: what the client has read of a session */
    unsigned how;
};

static void turn(struct talk *t, bool stalled)
{
    world_run(&t->w);
    if (!stalled || t->client.link.out.pending > 1 << 20)
        read_frames(&t->client, &t->got);
    read_frames(&t->listener, NULL);
}

static bool is_cut(const uint8_t *p, size_t n)
{
    return n >= CUT && p[0] == 0xff && p[1] == 0xff && p[2] == 0xff && p[3] == 0xff;
}

/* Returns the bytes up to the next cut, or to the end. */
static size_t converse(struct talk *t, const uint8_t *data, size_t size)
{
    size_t whole = 0, step;

    while (whole < size && !is_cut(data + whole, size - whole))
        whole++;
    step = t->how & ALL_AT_ONCE ? whole : t->how & PAIRS ? 2 : 1;
    for (size_t at = 0, n; at < whole && !t->client.closed; at += n) {
        n = whole - at < step ? whole - at : step;
        feed(&t->client, data + at, n);
        turn(t, t->how & STALLED);
    }
    return whole;
}

/* The connection is cut, with what it has not read; the client goes on, or does what it likes. */
static void go_on(struct talk *t, bool is_right)
{
    struct rs_frame f = {
        .type = RS_RESUME, .setup = {.major = 1, .token = SLICE("t")}, .position = t->got};
    uint8_t in[64];

    side_cut(&t->client);
    turn(t, true);
    side_connect(&t->client);
    if (is_right)
        feed(&t->client, in, (size_t)(rs_put(in, &f) - in));
}

static void converse_on(struct talk *t, const uint8_t *data, size_t size)
{
    size_t at = converse(t, data, size);

    while (size - at > CUT) {
        at += CUT;
        go_on(t, data[at] != 0xff);
        at++;
        at += converse(t, data + at, size - at);
    }
}

static void begin(struct talk *t, struct policy_set *policies)
{
    uint8_t setup[256];
    struct slice mime = t->how & TAGS ? SLICE(ROUTING) : SLICE(COMPOSITE);

    world_start(&t->w, t->how & TWO_CORES ? 2 : 1, policies, 1 << 20);
    side_open(&t->listener, &rsocket_door, &limits, &t->scratch[0], &t->w, 0);
    listen_to_all(&t->listener);
    side_open(&t->client, &rsocket_door, &limits, &t->scratch[1], &t->w, t->w.n - 1);
    if (t->how & WITH_SETUP)
        feed(&t->client, setup, put_setup(setup, mime, t->how));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct policy_globals globals = {
        .max_message_bytes = 16384, .create_queues = true, .max_calls = 64};
    struct policy_set *policies;
    struct talk t = {0};

    if (size < 2)
        return 0;
    log_setup(LEVEL_ERROR, LOG_FORMAT_PLAIN); /* sessions expire in every other run */
    t.how = data[0];
    must(policy_set_new(&globals, &policies) == 0);
    begin(&t, policies);
    converse_on(&t, data + 1, size - 1);
    if (!t.client.closed && t.how & STALLED)
        rsocket_door.on_drain(t.client.conn);
    (void)rsocket_door.on_time(t.client.conn, t.w.now + 100000);
    turn(&t, false);
    side_cut(&t.client);
    end_rooms(&t.scratch[1], t.w.now);
    side_fini(&t.client);
    world_run(&t.w);
    side_end(&t.listener);
    world_stop(&t.w);
    policy_set_unref(policies);
    return 0;
}
