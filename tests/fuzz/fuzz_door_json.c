/* Any bytes as a client of the JSON door, with a real core behind it and a subscriber to everything
 * beside it: the door neither crashes nor reads past what came, takes no more than it was given,
 * and writes only lines that are messages.
 *
 * The first byte says how: bits 0 and 1 how many bytes come at a time, bit 2 two workers, bit 3 a
 * client that reads nothing, bit 4 that the broker drains before the end, bit 5 that some time
 * passes on the way. */
#include "brokerd/doors/json/json.h"
#include "libbroker/wire/json_line.h"
#include "tests/fuzz/fuzz_side.h"

enum { ALL_AT_ONCE = 1, PAIRS = 2, TWO_CORES = 4, STALLED = 8, DRAINED = 16, SLOW = 32 };

static const struct door_limits limits = {.first_frame_max = 4096,
                                          .frame_max = 2048,
                                          .message_max = 1024,
                                          .reassembly_max = 32768,
                                          .streams_max = 8,
                                          .keepalive_min_ms = 100,
                                          .idle_max_ms = 60000,
                                          .json_keepalive_ms = 1000};

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
    size_t n, at, used = 0;
    uint8_t *all = side_take(s, &n);
    struct json_framer f = {0};
    struct slice line;

    for (at = 0; at < n; at += used) {
        must(jline_frame(&f, 1 << 20, slice_of(all + at, n - at), &line, &used) == WIRE_FRAME);
        look_at(line);
    }
    side_took(s, all);
}

static void turn(struct side *client, struct side *listener, unsigned how)
{
    world_run(client->w);
    if (!(how & STALLED) || client->link.out.pending > 1 << 20)
        side_read(client);
    side_read(listener);
    if (how & SLOW)
        side_wait(client, 40);
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
    struct door_scratch scratch[2] = {0};
    struct world w;
    unsigned how;

    if (size < 2)
        return 0;
    how = data[0];
    must(json_door.recognise(slice_of(data + 1, size - 1)) <= DOOR_MORE);
    must(policy_set_new(&globals, &policies) == 0);
    world_start(&w, how & TWO_CORES ? 2 : 1, policies, 1 << 20);
    side_open(&listener, &json_door, &limits, &scratch[0], &w, 0);
    side_feed(&listener, (const uint8_t *)all, sizeof all - 1);
    side_open(&client, &json_door, &limits, &scratch[1], &w, w.n - 1);
    client.kept_max = limits.frame_max + 1;
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
