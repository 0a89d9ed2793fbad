/* guard ROW | guard --list
 *
 * What tests/bench/guard/guard.py counts: the way of a message through the rsocket door and the
 * core, with no socket and no loop. A row's messages go from connection to connection as in a
 * worker's turn: input as a socket would bring it, core_tick(), what the outputs hold thrown away
 * as if written, core_tick() again. Only that runs inside the functions named counted_*, whose
 * instructions callgrind counts; making the clients' bytes and reading what they are answered do
 * not. Prints how many messages were counted, or fails if not every byte of them was delivered.
 *
 * Everything is the same in each run: sizes, seeds, order. A row that needs fewer than some
 * hundred thousand messages to be steady has fewer: callgrind is fifty times slower. */
#include "brokerd/doors/rsocket/rsocket.h"
#include "libbroker/wire/broker_rs.h"
#include "libbroker/wire/composite.h"
#include "libbroker/wire/rsocket.h"
#include "tests/unit/core/world.h"

#include <stdarg.h>

enum {
    READ_BULK = 1024 * 1024, /* bytes net reads at once, at most */
    SIDES = 160,
    HEARD = 64 * 1024,
    FILTERS = 10000, /* of those that subscribe with wildcards */
    FILTERS_A_STREAM = 50,
    TOPIC = 40, /* bytes of a topic's name with its end, at most */
    STREAM = 1
};

static const struct door_limits limits = {.first_frame_max = 4096,
                                          .frame_max = 1 << 20,
                                          .message_max = 1 << 20,
                                          .reassembly_max = 4 << 20,
                                          .streams_max = 100000,
                                          .keepalive_min_ms = 100,
                                          .idle_max_ms = 600000};

/* What net is for one connection, and the client at its other end. */
struct side {
    struct link link;
    struct link_host host;
    struct door_conn *conn;
    bool dirty;
    bool hears; /* what it is sent is kept for hear(); else only counted */
    uint8_t heard[HEARD];
    size_t heard_n;
    uint64_t credit, confirmed;
};

static struct world world;
static struct policy_set *policies;
static struct block_pool pool;
static struct door_scratch scratch;
static struct side sides[SIDES], *dirty[SIDES];
static unsigned sides_n, dirty_n;
static struct block *input;

static _Noreturn void die(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    (void)vfprintf(stderr, format, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    exit(1);
}

/* ---------------------------------------------------------------------------------- as net does */

static struct side *side_of(struct out *o)
{
    return (struct side *)((char *)o - offsetof(struct side, link.out));
}

static void mark_dirty(struct out *o)
{
    struct side *s = side_of(o);

    if (!s->dirty) {
        s->dirty = true;
        dirty[dirty_n++] = s;
    }
}

static void write_all(struct out *o)
{
    struct side *s = side_of(o);
    struct iovec iov[64];

    while (o->pending > 0) {
        int n = out_peek(o, iov, 64);
        size_t taken = 0;

        for (int i = 0; i < n; i++) {
            if (s->hears && s->heard_n + iov[i].iov_len <= HEARD) {
                memcpy(s->heard + s->heard_n, iov[i].iov_base, iov[i].iov_len);
                s->heard_n += iov[i].iov_len;
            }
            taken += iov[i].iov_len;
        }
        out_consume(o, taken);
    }
    if (s->link.endpoint)
        core_written(s->link.endpoint, o->end);
}

static void flush(struct out *o)
{
    write_all(o);
    mark_dirty(o);
}

static struct out_host outs = {flush, mark_dirty, .pool = &pool};

static void closed(struct link *l, const char *why, enum link_end end)
{
    (void)l, (void)end;
    die("the door closed a connection: %s", why);
}

static const char *named(const struct link *l)
{
    (void)l;
    return "guard";
}

static void bytes_came(struct side *s, size_t n)
{
    if (rsocket_door.on_bytes(s->conn, slice_of(input->bytes, n), input) != n)
        die("the door left some of its input");
}

static void end_turn(void)
{
    for (unsigned i = 0; i < world.n; i++) {
        core_clock(world.core[i], world.now, world.now);
        for (unsigned j = 0; j < world.n; j++)
            while (world_hand(&world, j, i))
                continue;
        (void)core_tick(world.core[i]);
    }
    while (dirty_n) {
        struct side *s = dirty[--dirty_n];

        s->dirty = s->link.out.is_dirty = false;
        write_all(&s->link.out);
    }
    for (unsigned i = 0; i < world.n; i++)
        (void)core_tick(world.core[i]);
}

/* What guard.py has callgrind count: by name, so neither static nor inlined. */
void counted_input(struct side *s, size_t n);
void counted_turn(void);

__attribute__((noinline)) void counted_input(struct side *s, size_t n)
{
    bytes_came(s, n);
    __asm__ volatile(""); /* a call in last place may become a jump, which callgrind misses */
}

__attribute__((noinline)) void counted_turn(void)
{
    end_turn();
    __asm__ volatile("");
}

static bool counting;

/* The first `n` bytes of the input have come from `s`. */
static void say(struct side *s, size_t n)
{
    if (counting)
        counted_input(s, n);
    else
        bytes_came(s, n);
}

static void turn(void)
{
    if (counting)
        counted_turn();
    else
        end_turn();
}

/* --------------------------------------------------------------------------- what clients say */

static size_t put_setup(uint8_t *to)
{
    struct rs_frame f = {
        .type = RS_SETUP,
        .setup = {.major = 1,
                  .keepalive_ms = 20000,
                  .lifetime_ms = 600000,
                  .metadata_mime = SLICE("message/x.rsocket.composite-metadata.v0"),
                  .data_mime = SLICE("application/octet-stream")}};

    return (size_t)(rs_put(to, &f) - to);
}

/* A request with these routing tags, each ended by a zero byte. */
static size_t put_request(uint8_t *to, uint8_t type, uint32_t stream, uint32_t n, const char *tags,
                          size_t tags_n)
{
    static const struct mime routing = {MIME_ROUTING, {NULL, 0}};
    uint8_t list[4096], item[4200], *p = list, *end;
    struct rs_frame f = {.type = type, .stream = stream, .number = n, .has_metadata = true};

    for (const char *t = tags; t < tags + tags_n; t += strlen(t) + 1)
        p = routing_put_tag(p, slice_str(t));
    end = composite_put(item, &routing, slice_of(list, (size_t)(p - list)));
    f.metadata = slice_of(item, (size_t)(end - item));
    return (size_t)(rs_put(to, &f) - to);
}

static struct side *open_side(unsigned core)
{
    struct side *s = &sides[sides_n++];

    s->host = (struct link_host){.core = world.core[core],
                                 .scratch = &scratch,
                                 .limits = limits,
                                 .close = closed,
                                 .peer = named};
    s->link = (struct link){.host = &s->host};
    out_init(&s->link.out, &outs);
    s->conn = rsocket_door.open(&s->link);
    if (!s->conn)
        die("no connection");
    say(s, put_setup(input->bytes));
    return s;
}

/* `route` is one routing tag: "publish/bench", "consume/jobs".. */
static struct side *open_stream(unsigned core, uint8_t type, uint32_t id, const char *route,
                                uint32_t n)
{
    struct side *s = open_side(core);

    s->hears = strncmp(route, "publish", 7) == 0 || strncmp(route, "send", 4) == 0;
    say(s, put_request(input->bytes, type, id, n, route, strlen(route) + 1));
    turn();
    return s;
}

/* Credit and confirms that have come. */
static void hear(struct side *s)
{
    const char *why = "";
    struct rs_frame f;
    size_t used;

    for (size_t at = 0; at < s->heard_n; at += used) {
        if (rs_decode(RS_FRAME_MAX, s->heard + at, s->heard_n - at, &f, &used, &why) != WIRE_FRAME)
            die("an answer that is no frame: %s", why);
        if (f.type == RS_REQUEST_N)
            s->credit += f.number;
        else if (f.type == RS_PAYLOAD && f.data.n == CONFIRM_HEAD_SIZE)
            s->confirmed = be_get_64(f.data.p);
        else
            die("a publisher was answered: %.*s", (int)f.data.n, (const char *)f.data.p);
    }
    s->heard_n = 0;
}

static uint32_t random_32(void)
{
    static uint64_t state = 1;

    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(state >> 33);
}

/* ------------------------------------------------------------------------------------- the rows */

struct row {
    const char *name, *what;
    void (*run)(const struct row *r);
    uint64_t count;  /* messages counted, or whatever `what` says is counted */
    size_t size;     /* bytes of a payload */
    unsigned a_turn; /* messages of each publisher in a turn, at most */
    unsigned publishers, consumers, cores;
    const char *publish, *consume; /* routes; of several publishers each adds its number */
    size_t told;                   /* bytes of metadata in each delivery */
    bool is_lone;  /* each message names its topic, another than the one before it */
    bool is_mixed; /* every second consumer has another stream, hence another head */
};

struct flow {
    const struct row *row;
    struct side *publisher, *consumer; /* the first of each */
    size_t frame;                      /* bytes of a delivery */
    uint64_t start;                    /* consumer's output before the first */
    uint64_t acked;
    bool acks;
};

static void topic_name(char *to, unsigned i)
{
    (void)snprintf(to, TOPIC, "tenant%02u.device%05u.temperature", i % 100, i % FILTERS);
}

/* One message, written at `to`; its length. */
static size_t put_message(const struct row *r, uint8_t *to)
{
    uint8_t item[TOPIC + 8], *p;
    char topic[TOPIC];

    if (r->is_lone) {
        topic_name(topic, random_32() % FILTERS);
        p = composite_put_route(item, slice_str(topic));
        p = rs_put_payload_metadata_head(to, STREAM, RS_NEXT, slice_of(item, (size_t)(p - item)),
                                         r->size);
    } else {
        p = rs_put_payload_head(to, STREAM, RS_NEXT, r->size);
    }
    memset(p, 'x', r->size);
    return (size_t)(p - to) + r->size;
}

/* What the publisher may send of `most` messages, as one input; how many they are. */
static uint64_t publish(const struct row *r, struct side *s, uint64_t most)
{
    size_t n = 0;

    hear(s);
    if (most > r->a_turn)
        most = r->a_turn;
    if (most > s->credit)
        most = s->credit;
    for (uint64_t i = 0; i < most; i++)
        n += put_message(r, input->bytes + n);
    if (n)
        say(s, n);
    s->credit -= most;
    return most;
}

/* All that came is acknowledged, in one verb. */
static void acknowledge(struct flow *f)
{
    uint64_t got = (f->consumer->link.out.end - f->start) / f->frame;
    struct consumer_verb v = {VERB_ACK, f->acked + 1, (uint32_t)(got - f->acked), 0};
    uint8_t *p = rs_put_payload_head(input->bytes, STREAM, RS_NEXT, CONSUMER_VERB_SIZE);

    if (got == f->acked)
        return;
    f->acked = got;
    p = consumer_verb_put(p, &v);
    say(f->consumer, (size_t)(p - input->bytes));
    turn();
}

static void publish_all(struct flow *f, uint64_t messages)
{
    for (uint64_t sent = 0, before; sent < messages;) {
        before = sent;
        for (unsigned i = 0; i < f->row->publishers; i++)
            sent += publish(f->row, &f->publisher[i], messages - sent);
        if (sent == before)
            die("no publisher has credit");
        turn();
        if (f->acks)
            acknowledge(f);
    }
}

/* FILTERS subscriptions of one client; each topic matches one of them. */
static void subscribe_all(struct side *s)
{
    char tags[FILTERS_A_STREAM * TOPIC], *p;

    for (unsigned i = 0; i < FILTERS; i += FILTERS_A_STREAM) {
        p = tags;
        for (unsigned j = i; j < i + FILTERS_A_STREAM; j++)
            p += 1 + sprintf(p, "%stenant%02u.device%05u.*", j > i ? "" : "subscribe/", j % 100, j);
        say(s, put_request(input->bytes, RS_REQUEST_STREAM, STREAM + 2 + 2 * i, RS_N_MAX, tags,
                           (size_t)(p - tags)));
    }
    turn();
}

static void open_publishers(struct flow *f)
{
    const struct row *r = f->row;
    char route[64];

    f->publisher = &sides[sides_n];
    for (unsigned i = 0; i < r->publishers; i++) {
        if (r->publishers > 1)
            (void)snprintf(route, sizeof route, "%s.%02u", r->publish, i);
        else
            (void)snprintf(route, sizeof route, "%s", r->publish);
        open_stream(0, RS_REQUEST_CHANNEL, STREAM, route, RS_N_MAX);
    }
}

static void open_flow(struct flow *f, const struct row *r, uint32_t credit)
{
    *f = (struct flow){.row = r,
                       .consumer = &sides[sides_n],
                       .frame = RS_PAYLOAD_HEAD_SIZE + r->told + r->size,
                       .acks = strncmp(r->consume, "consume/", 8) == 0};
    for (unsigned i = 0; i < r->consumers; i++)
        open_stream(r->cores - 1, f->acks ? RS_REQUEST_CHANNEL : RS_REQUEST_STREAM,
                    r->is_mixed ? STREAM + 2 * (i % 2) : STREAM, r->consume, credit);
    open_publishers(f);
    f->start = f->consumer->link.out.end;
}

/* `messages` have been delivered since the start, whole, and to all alike. */
static void expect_delivered(const struct flow *f, uint64_t messages)
{
    for (unsigned i = 0; i < f->row->consumers; i++) {
        uint64_t bytes = f->consumer[i].link.out.end - f->start;

        if (bytes != messages * f->frame)
            die("%llu bytes were delivered, not %llu", (unsigned long long)bytes,
                (unsigned long long)(messages * f->frame));
    }
}

/* A quarter as much comes first, uncounted, until windows and pools are what they will be. */
static void count_flow(struct flow *f)
{
    const struct row *r = f->row;

    publish_all(f, r->count / 4);
    turn();
    counting = true;
    publish_all(f, r->count);
    counting = false;
    turn();
    expect_delivered(f, r->count / 4 + r->count);
}

static void run_flow(const struct row *r)
{
    struct flow f;

    open_flow(&f, r, RS_N_MAX);
    count_flow(&f);
}

/* Topics at random: few come twice within what is cached. */
static void run_cold(const struct row *r)
{
    struct flow f;

    open_flow(&f, r, RS_N_MAX);
    subscribe_all(f.consumer);
    f.start = f.consumer->link.out.end;
    count_flow(&f);
}

/* No credit, so all is kept; then credit for all of it. Again and again. */
static void run_backlog(const struct row *r)
{
    struct flow f;

    open_flow(&f, r, 1 + r->a_turn); /* opening a publisher is a message too */
    publish_all(&f, r->a_turn);
    counting = true;
    for (uint64_t done = 0; done < r->count; done += r->a_turn) {
        publish_all(&f, r->a_turn);
        (void)rs_put_request_n(input->bytes, STREAM, r->a_turn);
        say(f.consumer, RS_REQUEST_N_SIZE);
        turn();
    }
    counting = false;
    expect_delivered(&f, r->a_turn + r->count);
}

/* Another subscription comes and goes beside FILTERS that stay. */
static void run_churn(const struct row *r)
{
    struct side *s = open_side(0);
    char tag[TOPIC + 16];
    size_t n;

    subscribe_all(s);
    s = open_side(0);
    for (uint64_t i = 0; i < r->count + r->count / 4; i++) {
        uint32_t stream = STREAM + 2 * (uint32_t)i;

        counting = i >= r->count / 4;
        n = (size_t)sprintf(tag, "subscribe/tenant%02u.*.number%05u", (unsigned)(i % 100),
                            (unsigned)i);
        say(s, put_request(input->bytes, RS_REQUEST_STREAM, stream, RS_N_MAX, tag, n + 1));
        turn();
        (void)rs_put_cancel(input->bytes, stream);
        say(s, RS_CANCEL_SIZE);
        turn();
    }
    counting = false;
}

#define ONE_TO_ONE .publishers = 1, .consumers = 1, .cores = 1
#define BENCH .publish = "publish/bench", .consume = "subscribe/bench"

static const struct row rows[] = {
    {"direct-16", "one to one, 16 B, reads of 256 KiB", run_flow, 200000, 16, 10000, ONE_TO_ONE,
     BENCH},
    {"direct-128", "one to one, 128 B", run_flow, 100000, 128, 1900, ONE_TO_ONE, BENCH},
    {"direct-1024", "one to one, 1 KiB", run_flow, 20000, 1024, 250, ONE_TO_ONE, BENCH},
    {"direct-65536", "one to one, 64 KiB, reads of 1 MiB", run_flow, 2000, 65536, 15, ONE_TO_ONE,
     BENCH},
    {"alone-128", "one to one, 128 B, one message in a turn", run_flow, 20000, 128, 1, ONE_TO_ONE,
     BENCH},
    {"other-worker-128", "one to one, 128 B, handed to another worker", run_flow, 50000, 128, 1900,
     .publishers = 1, .consumers = 1, .cores = 2, BENCH},
    {"fan-out-100", "one to 100, 128 B, all deliveries of a message", run_flow, 8000, 128, 1900,
     .publishers = 1, .consumers = 100, .cores = 1, BENCH},
    {"fan-out-mixed", "the same, every second one on another stream", run_flow, 8000, 128, 1900,
     .publishers = 1, .consumers = 100, .cores = 1, BENCH, .is_mixed = true},
    {"fan-in-16", "16 publishers on 16 topics to one wildcard, 128 B", run_flow, 50000, 128, 200,
     .publishers = 16, .consumers = 1, .cores = 1, .publish = "publish/bench",
     .consume = "subscribe/bench.*", .told = 3 + 5 + sizeof "bench.00" - 1},
    {"queue-128", "work queue, acks of 1,000 messages in one verb", run_flow, 50000, 128, 1000,
     ONE_TO_ONE, .publish = "send/jobs", .consume = "consume/jobs"},
    {"queue-alone-128", "work queue, one message at a time and its ack", run_flow, 20000, 128, 1,
     ONE_TO_ONE, .publish = "send/jobs", .consume = "consume/jobs"},
    {"backlog-128", "kept without credit, then delivered", run_backlog, 20000, 128, 1000,
     ONE_TO_ONE, BENCH},
    {"cold-16", "each to another of 10,000 topics, one wildcard each", run_cold, 20000, 16, 1000,
     ONE_TO_ONE, .publish = "publish", .consume = "subscribe/nothing",
     .told = 3 + 5 + sizeof "tenant00.device00000.temperature" - 1, .is_lone = true},
    {"churn", "a wildcard subscription comes and goes among 10,000", run_churn, 4000, .cores = 1},
};

static void close_all(void)
{
    for (unsigned i = 0; i < sides_n; i++) {
        rsocket_door.free(sides[i].conn);
        out_fini(&sides[i].link.out);
    }
    block_pool_fini(&pool);
    block_unref(input);
    world_run(&world);
    world_stop(&world);
    policy_set_unref(policies);
}

static const struct row *row_of(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    die("no such row: %s", name);
}

int main(int argc, char **argv)
{
    const struct row *r;

    if (argc != 2)
        die("usage: guard ROW | guard --list");
    if (strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
            (void)printf("%s %s\n", rows[i].name, rows[i].what);
        return 0;
    }
    r = row_of(argv[1]);
    policies = world_policy(POLICY_QUEUE, "", "");
    input = block_new(READ_BULK);
    if (!input)
        die("out of memory");
    world_start(&world, r->cores, policies, INT64_C(1) << 30);
    r->run(r);
    (void)printf("%llu\n", (unsigned long long)r->count);
    close_all();
    return 0;
}
