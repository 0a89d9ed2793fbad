/* Any bytes as a client of the JSON door, with a real core behind it and a subscriber to everything
 * beside it: the door neither crashes nor reads past what came, takes no more than it was given,
 * and writes only lines that are messages.
 *
 * The first byte says how: bits 0 and 1 how many bytes come at a time, bit 2 two workers, bit 3 a
 * client that reads nothing, bit 4 that the broker drains before the end, bit 5 that some time
 * passes on the way. */
#include "brokerd/doors/json/json.h"
#include "libbroker/wire/json_line.h"
#include "tests/fuzz/fuzz_support.h"
#include "tests/unit/core/world.h"

enum { ALL_AT_ONCE = 1, PAIRS = 2, TWO_CORES = 4, STALLED = 8, DRAINED = 16, SLOW = 32 };

static const struct door_limits limits = {.first_frame_max = 4096,
                                          .frame_max = 2048,
                                          .message_max = 1024,
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
    struct door_scratch scratch;
    struct door_conn *conn;
    struct world *w;
    bool closed, paused;
    uint8_t kept[4096]; /* what was not used */
    size_t kept_n;
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

static void side_pause(struct link *l, bool pause)
{
    ((struct side *)l)->paused = pause;
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
                                 .peer = side_peer,
                                 .pause = side_pause};
    s->link = (struct link){.host = &s->host};
    out_init(&s->link.out, &s->outs);
    s->conn = json_door.open(&s->link);
    must(s->conn);
}

/* A line of the broker's: a message, and short of line breaks. */
static void look_at(struct slice line)
{
    struct json_message m;
    struct json_fault fault;

    must(jline_read(line, &m, &fault) == 0);
    must(!memchr(line.p, '\r', line.n));
}

static void side_read(struct side *s)
{
    size_t n = s->link.out.pending, at = 0, used = 0;
    uint8_t *all = malloc(n + 1);
    struct json_framer f = {0};
    struct slice line;
    struct iovec iov;

    must(all && !s->link.out.broken);
    while (s->link.out.pending > 0) {
        must(out_peek(&s->link.out, &iov, 1) == 1);
        memcpy(all + at, iov.iov_base, iov.iov_len);
        at += iov.iov_len;
        out_consume(&s->link.out, iov.iov_len);
    }
    for (at = 0; at < n; at += used) {
        must(jline_frame(&f, 1 << 20, slice_of(all + at, n - at), &line, &used) == WIRE_FRAME);
        look_at(line);
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
    memcpy(b->bytes + s->kept_n, p, n);
    used = json_door.on_bytes(s->conn, slice_of(b->bytes, have), b);
    must(used <= have);
    s->kept_n = have - used;
    memcpy(s->kept, b->bytes + used, s->kept_n);
    must(s->closed || s->paused || s->kept_n <= limits.frame_max + 1);
    block_unref(b);
}

static void side_end(struct side *s)
{
    json_door.free(s->conn);
    must(!s->link.endpoint);
    out_fini(&s->link.out);
    out_host_fini(&s->outs);
    block_pool_fini(&s->pool);
}

static void turn(struct side *client, struct side *listener, unsigned how)
{
    world_run(client->w);
    if (!(how & STALLED) || client->link.out.pending > 1 << 20)
        side_read(client);
    side_read(listener);
    if (how & SLOW) {
        client->w->now += 40;
        for (unsigned i = 0; i < client->w->n; i++)
            core_clock(client->w->core[i], client->w->now, client->w->now);
        if (!client->closed)
            (void)json_door.on_time(client->conn, client->w->now);
    }
}

static void converse(struct side *client, struct side *listener, unsigned how, const uint8_t *data,
                     size_t size)
{
    size_t step = how & ALL_AT_ONCE ? 1024 : how & PAIRS ? 2 : 1;

    for (size_t at = 0; at < size && !client->closed;) {
        size_t n = size - at < step ? size - at : step;

        if (client->paused && client->kept_n + n > sizeof client->kept)
            break;
        side_feed(client, data + at, n);
        at += n;
        turn(client, listener, how);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char all[] = "{\"id\":\"$subscribe\",\"data\":{\"topic\":\"#\",\"facts\":true}}\n";
    static const struct policy_globals globals = {.max_message_bytes = 1024, .create_queues = true};
    struct policy_set *policies;
    struct side client, listener;
    struct world w;
    unsigned how;

    if (size < 2)
        return 0;
    how = data[0];
    must(json_door.recognise(slice_of(data + 1, size - 1)) <= DOOR_MORE);
    must(policy_set_new(&globals, &policies) == 0);
    world_start(&w, how & TWO_CORES ? 2 : 1, policies, 1 << 20);
    side_open(&listener, &w, 0);
    side_feed(&listener, (const uint8_t *)all, sizeof all - 1);
    side_open(&client, &w, w.n - 1);
    converse(&client, &listener, how, data + 1, size - 1);
    if (!client.closed && how & DRAINED)
        json_door.on_drain(client.conn);
    if (!client.closed)
        (void)json_door.on_time(client.conn, w.now + 100000);
    turn(&client, &listener, how & ~(unsigned)STALLED);
    side_end(&client);
    world_run(&w);
    side_end(&listener);
    world_stop(&w);
    policy_set_unref(policies);
    return 0;
}
