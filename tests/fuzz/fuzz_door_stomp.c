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
#include "tests/fuzz/fuzz_side.h"

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

static struct door_scratch scratches[2];

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
    size_t n;
    uint8_t *all = side_take(s, &n);

    for (size_t at = 0; at < n;) {
        if (s->door == &json_door)
            at += look_at_line(slice_of(all + at, n - at));
        else if (all[at] == '\n')
            at++;
        else
            at += look_at_frame(slice_of(all + at, n - at));
    }
    side_took(s, all);
}

static void side_say(struct side *s, const char *text, size_t n)
{
    side_feed(s, (const uint8_t *)text, n);
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
    if (how & SLOW)
        side_wait(&t->client, 40);
    if (!t->client.closed && !t->client.paused && t->client.kept_n)
        side_feed(&t->client, NULL, 0);
}

static void converse(struct talk *t, const uint8_t *data, size_t size)
{
    size_t step = t->how & ALL_AT_ONCE ? STEP_MAX : t->how & PAIRS ? 2 : 1;

    for (size_t at = 0; at < size && !t->client.closed;) {
        size_t n = size - at < step ? size - at : step;

        if (t->client.paused && t->client.kept_n + n > sizeof t->client.kept)
            break;
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
    side_open(&t->stomp, &stomp_door, &limits, &scratches[0], &t->w, 0);
    side_say(&t->stomp, everything, sizeof everything); /* with the NUL behind */
    side_open(&t->json, &json_door, &limits, &scratches[0], &t->w, 0);
    side_say(&t->json, all, sizeof all - 1);
    side_open(&t->client, &stomp_door, &limits, &scratches[t->w.n - 1], &t->w, t->w.n - 1);
    t->client.kept_max = KEPT_MAX;
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
