/* Any bytes as a client of the STOMP door, with a real core behind it, and beside it subscribers to
 * everything by STOMP and by JSON: the door neither crashes nor reads past what came, keeps no more
 * than a frame may have, and writes only frames; to JSON go lines only.
 *
 * The first byte says how: bits 0 and 1 how many bytes come at a time, bit 2 two workers, bit 3 a
 * client that reads nothing, bit 4 that the broker drains before the end, bit 5 that some time
 * passes on the way, bit 6 that it has said CONNECT already. */
#include "brokerd/doors/json/json.h"
#include "brokerd/doors/stomp/stomp.h"
#include "libbroker/wire/json_line.h"
#include "libbroker/wire/stomp.h"
#include "tests/fuzz/fuzz_support.h"
#include "tests/unit/core/world.h"

enum { ALL_AT_ONCE = 1, PAIRS = 2, TWO_CORES = 4, STALLED = 8, DRAINED = 16, SLOW = 32, OPEN = 64 };
enum { MESSAGE_MAX = 1024, KEPT_MAX = STOMP_HEAD_MAX + MESSAGE_MAX + 2, STEP_MAX = 1024 };

static const struct door_limits limits = {.first_frame_max = 4096,
                                          .frame_max = 2048,
                                          .message_max = MESSAGE_MAX,
                                          .reassembly_max = 32768,
                                          .streams_max = 8,
                                          .keepalive_min_ms = 100,
                                          .idle_max_ms = 60000,
                                          .json_keepalive_ms = 1000};

/* What net would be for one connection. */
struct side {
    struct link link;
    struct link_host host;
    struct out_host outs;
    struct block_pool pool;
    const struct door_ops *door;
    struct door_conn *conn;
    struct world *w;
    bool closed, paused;
    uint8_t kept[KEPT_MAX + STEP_MAX]; /* what was not used */
    size_t kept_n;
};

static struct door_scratch scratches[2];

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

static void side_pause(struct link *l, bool pause)
{
    ((struct side *)l)->paused = pause;
}

static void side_open(struct side *s, const struct door_ops *door, struct world *w, unsigned core)
{
    memset(s, 0, sizeof *s);
    s->w = w;
    s->door = door;
    s->outs.pool = &s->pool;
    s->host = (struct link_host){.core = w->core[core],
                                 .limits = limits,
                                 .scratch = &scratches[core],
                                 .close = side_close,
                                 .peer = side_peer,
                                 .pause = side_pause};
    s->link = (struct link){.host = &s->host};
    out_init(&s->link.out, &s->outs);
    s->conn = door->open(&s->link);
    must(s->conn);
}

/* A frame at the front of `in`, in whatever version; its bytes. */
static size_t look_at_frame(struct slice in)
{
    static struct stomp_frame f;
    bool is_frame = false;
    size_t used = 0;

    for (int v = STOMP_1_2; v >= 0 && !is_frame; v--) {
        struct stomp_reader r = {.version = (enum stomp_version)v, .body_max = 1 << 20};
        const char *why;

        is_frame = stomp_decode(&r, in, &f, &used, &why) == WIRE_FRAME;
    }
    must(is_frame && f.command >= STOMP_CONNECTED);
    return used;
}

static size_t look_at_line(struct slice in)
{
    struct json_framer f = {0};
    struct json_message m;
    struct json_fault fault;
    struct slice line;
    size_t used;

    must(jline_frame(&f, 1 << 20, in, &line, &used) == WIRE_FRAME);
    must(jline_read(line, &m, &fault) == 0);
    return used;
}

static void side_read(struct side *s)
{
    size_t n = s->link.out.pending, at = 0;
    uint8_t *all = malloc(n + 1);
    struct iovec iov;

    must(all && !s->link.out.broken);
    while (s->link.out.pending > 0) {
        must(out_peek(&s->link.out, &iov, 1) == 1);
        memcpy(all + at, iov.iov_base, iov.iov_len);
        at += iov.iov_len;
        out_consume(&s->link.out, iov.iov_len);
    }
    for (at = 0; at < n;) {
        if (s->door == &json_door)
            at += look_at_line(slice_of(all + at, n - at));
        else if (all[at] == '\n')
            at++;
        else
            at += look_at_frame(slice_of(all + at, n - at));
    }
    free(all);
    if (s->link.endpoint)
        core_written(s->link.endpoint, s->link.out.end);
}

/* Bytes in memory of their own, so that a sanitizer sees a read past them. */
static void side_feed(struct side *s, const uint8_t *p, size_t n)
{
    struct block *b = block_new(s->kept_n + n + 1);
    size_t have = s->kept_n + n, used;

    must(b && have <= sizeof s->kept);
    memcpy(b->bytes, s->kept, s->kept_n);
    if (n)
        memcpy(b->bytes + s->kept_n, p, n);
    used = s->door->on_bytes(s->conn, slice_of(b->bytes, have), b);
    must(used <= have);
    s->kept_n = have - used;
    memcpy(s->kept, b->bytes + used, s->kept_n);
    must(s->closed || s->paused || s->kept_n <= KEPT_MAX);
    block_unref(b);
}

static void side_say(struct side *s, const char *text, size_t n)
{
    side_feed(s, (const uint8_t *)text, n);
}

static void side_end(struct side *s)
{
    s->door->free(s->conn);
    must(!s->link.endpoint);
    out_fini(&s->link.out);
    out_host_fini(&s->outs);
    block_pool_fini(&s->pool);
}

/* The client, and who listens. */
struct talk {
    struct world w;
    struct side client, stomp, json;
    unsigned how;
};

static void turn(struct talk *t, unsigned how)
{
    world_run(&t->w);
    if (!(how & STALLED) || t->client.link.out.pending > 1 << 20)
        side_read(&t->client);
    side_read(&t->stomp);
    side_read(&t->json);
    if (how & SLOW) {
        t->w.now += 40;
        for (unsigned i = 0; i < t->w.n; i++)
            core_clock(t->w.core[i], t->w.now, t->w.now);
        if (!t->client.closed)
            (void)stomp_door.on_time(t->client.conn, t->w.now);
    }
    if (!t->client.closed && !t->client.paused && t->client.kept_n)
        side_feed(&t->client, NULL, 0);
}

static void converse(struct talk *t, const uint8_t *data, size_t size)
{
    size_t step = t->how & ALL_AT_ONCE ? STEP_MAX : t->how & PAIRS ? 2 : 1;

    for (size_t at = 0; at < size && !t->client.closed;) {
        size_t n = size - at < step ? size - at : step;

        if (t->client.kept_n + n > sizeof t->client.kept)
            break; /* it is paused */
        side_feed(&t->client, data + at, n);
        at += n;
        turn(t, t->how);
    }
}

static void begin(struct talk *t, struct policy_set *policies)
{
    static const char everything[] = "CONNECT\naccept-version:1.2\n\n\0"
                                     "SUBSCRIBE\nid:1\ndestination:/topic/#\n\n";
    static const char all[] = "{\"id\":\"$subscribe\",\"data\":{\"topic\":\"#\"}}\n";

    for (unsigned i = 0; i < 2; i++)
        scratches[i].encoded.offer = 0; /* of a world that is gone */
    world_start(&t->w, t->how & TWO_CORES ? 2 : 1, policies, 1 << 20);
    side_open(&t->stomp, &stomp_door, &t->w, 0);
    side_say(&t->stomp, everything, sizeof everything); /* with the NUL behind */
    side_open(&t->json, &json_door, &t->w, 0);
    side_say(&t->json, all, sizeof all - 1);
    side_open(&t->client, &stomp_door, &t->w, t->w.n - 1);
    if (t->how & OPEN) {
        static const char opening[] = "CONNECT\naccept-version:1.0,1.1,1.2\nheart-beat:200,200\n\n";

        side_say(&t->client, opening, sizeof opening);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct policy_globals globals = {.max_message_bytes = MESSAGE_MAX,
                                                  .create_queues = true};
    static struct talk t;
    struct policy_set *policies;

    if (size < 2)
        return 0;
    t.how = data[0];
    must(stomp_door.recognise(slice_of(data + 1, size - 1)) <= DOOR_MORE);
    must(policy_set_new(&globals, &policies) == 0);
    begin(&t, policies);
    converse(&t, data + 1, size - 1);
    if (!t.client.closed && t.how & DRAINED)
        stomp_door.on_drain(t.client.conn);
    if (!t.client.closed)
        (void)stomp_door.on_time(t.client.conn, t.w.now + 100000);
    turn(&t, t.how & ~(unsigned)STALLED);
    side_end(&t.client);
    world_run(&t.w);
    side_end(&t.stomp);
    side_end(&t.json);
    world_stop(&t.w);
    policy_set_unref(policies);
    return 0;
}
