/* auditor: publishes and consumes, and knows at each moment what a broker owes it.
 *
 *   auditor [-u URL[,URL..]] [-v URL]... [-q QUEUE] [-p PUBLISHERS] [-c CONSUMERS] [-n MESSAGES]
 *           [-w WINDOW] [-s BYTES] [-t SECONDS] [-r PER_SECOND] [-k K] [-m TRACE] [-D]
 *
 * Publishes until it has sent MESSAGES or is sent SIGTERM, whatever the broker does meanwhile:
 * killed, restarted, another one in its place; then waits, SECONDS at most after the last sign of
 * life, until all is confirmed and delivered, and prints what became of it, one line of JSON.
 * Exit 0: the broker kept its word; 1: it did not; 2: nothing can be said, some message is still
 * out, or too little happened.
 *
 *   lost      confirmed and never delivered          phantom   delivered, never sent
 *   corrupt   delivered, and not as it was sent      disorder  first deliveries of one publisher
 *                                                              not in its order (one consumer)
 * Repeated deliveries are counted (`again`): they are the price of at-least-once. What was refused
 * may not come; what nobody answered for may.
 *
 * -v   where consumers connect instead, each to the next of these: other nodes
 * -k   leave every K-th message unacknowledged: what lies between them goes, they stay
 * -m   note what was sent, confirmed and acked in a trace (tests/fault/trace.h)
 * -D   give messages dedup ids: each must come once, but for deliveries cut by a death
 *
 * A message is "P S " (publisher, number), then bytes that are a function of the two. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker.h"
#include "tests/fault/trace.h"

enum { PUBLISHERS_MAX = 16, CONSUMERS_MAX = 16, SIZE_MAX_BYTES = 1 << 20, HEAD = 40 };

enum { SENT = 1, CONFIRMED = 2, REFUSED = 4, UNKNOWN = 8, DELIVERED = 16 };

struct source {
    unsigned number;
    broker *b;
    broker_publisher *p;
    uint64_t sent, settled; /* messages 1 .. */
    uint64_t seen;          /* the highest delivered */
    uint8_t *state;         /* of each message */
    size_t cap;
};

struct sinkhole {
    broker *b;
    broker_subscription *s;
};

static struct {
    const char *url, *queue;
    const char *in[CONSUMERS_MAX]; /* consumers' addresses, if they have their own */
    unsigned in_n;
    unsigned publishers, consumers;
    uint64_t messages, window;
    size_t size;
    int patience_s;
    uint64_t rate, keep;
    bool dedup;
    int trace;
} want = {.queue = "audit",
          .publishers = 1,
          .consumers = 1,
          .messages = 10000,
          .window = 1024,
          .size = 128,
          .patience_s = 20,
          .trace = -1};

static struct source sources[PUBLISHERS_MAX];
static struct sinkhole sinks[CONSUMERS_MAX];
static struct {
    uint64_t delivered, again, phantom, corrupt, disorder, reconnects;
    int64_t life_ms; /* when something last went on */
    int64_t gap_ms;  /* the longest time that nothing was confirmed, while something was out */
    int64_t confirmed_ms;
} now;
static volatile sig_atomic_t stopped;

static void on_signal(int signal)
{
    (void)signal;
    stopped = 1;
}

static int64_t clock_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "auditor: %s: %s\n", what, why);
    exit(2);
}

static void mark(enum trace_kind kind, unsigned publisher, uint64_t seq)
{
    char id[HEAD];
    int n = snprintf(id, sizeof id, "%u %llu", publisher, (unsigned long long)seq);
    struct trace_record r = {.kind = kind, .data_n = (uint32_t)n};

    if (want.trace >= 0 && trace_append(want.trace, &r, "", id) < 0)
        die("the trace", strerror(errno));
}

/* --------------------------------------------------------------------------------- messages */

/* What message `seq` of a publisher is. Returns its size. */
static size_t compose(unsigned publisher, uint64_t seq, uint8_t *to)
{
    uint64_t z = seq * UINT64_C(0x9e3779b97f4a7c15) + publisher;
    size_t n = (size_t)snprintf((char *)to, HEAD, "%u %llu ", publisher, (unsigned long long)seq);
    size_t size = want.size > n ? want.size : n;

    for (size_t i = n; i < size; i++) {
        z ^= z << 13, z ^= z >> 7, z ^= z << 17;
        to[i] = (uint8_t)('a' + z % 26);
    }
    return size;
}

static uint8_t *state_of(struct source *s, uint64_t seq)
{
    if (seq >= s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 65536;
        uint8_t *more;

        while (cap <= seq)
            cap *= 2;
        more = realloc(s->state, cap);
        if (!more)
            die("memory", "none");
        memset(more + s->cap, 0, cap - s->cap);
        s->state = more;
        s->cap = cap;
    }
    return &s->state[seq];
}

/* ------------------------------------------------------------------------------- publishing */

static void on_confirm(broker_publisher *p, uint64_t settled, const struct broker_outcome *o,
                       size_t n, void *user)
{
    struct source *s = user;
    int64_t ms = clock_ms();

    (void)p;
    for (; n--; o++)
        for (uint64_t i = o->first; i < o->first + o->count; i++)
            *state_of(s, i) |= o->reason == BROKER_REASON_NONE ? UNKNOWN : REFUSED;
    for (; s->settled < settled; s->settled++) {
        uint8_t *st = state_of(s, s->settled + 1);

        if (!(*st & (UNKNOWN | REFUSED))) {
            *st |= CONFIRMED;
            mark(TRACE_CONFIRMED, s->number, s->settled + 1);
        }
    }
    if (now.confirmed_ms && ms - now.confirmed_ms > now.gap_ms)
        now.gap_ms = ms - now.confirmed_ms;
    now.life_ms = now.confirmed_ms = ms;
}

static void on_end(broker_publisher *p, int error, const char *text, void *user)
{
    (void)p, (void)user;
    die(broker_strerror(error), text);
}

static uint64_t due(int64_t began_ms)
{
    uint64_t n = want.messages / want.publishers;
    uint64_t paced = want.rate ? (uint64_t)(clock_ms() - began_ms) * want.rate / 1000 : n;

    return stopped ? 0 : paced < n ? paced : n;
}

static void publish_some(struct source *s, uint64_t upto)
{
    static uint8_t message[SIZE_MAX_BYTES + HEAD];

    while (s->sent < upto && s->sent - s->settled < want.window) {
        char id[HEAD];
        struct broker_publish_options o = {.dedup = id};
        size_t n = compose(s->number, s->sent + 1, message);
        int64_t r;

        snprintf(id, sizeof id, "%d-%u-%llu", (int)getpid(), s->number,
                 (unsigned long long)s->sent + 1);
        *state_of(s, s->sent + 1) = SENT;
        mark(TRACE_ISSUED, s->number, s->sent + 1);
        r = broker_publisher_publish(s->p, NULL, message, n, want.dedup ? &o : NULL);
        if (r == BROKER_NO_CREDIT)
            break;
        if (r < 0)
            die("publish", broker_strerror((int)r));
        s->sent++;
    }
    broker_publisher_flush(s->p);
}

/* -------------------------------------------------------------------------------- consuming */

static void judge(struct source *s, uint64_t seq)
{
    uint8_t *st = state_of(s, seq);

    now.delivered++;
    if (*st & DELIVERED) {
        now.again++;
        return;
    }
    *st |= DELIVERED;
    if (seq < s->seen && want.consumers == 1)
        now.disorder++;
    s->seen = seq > s->seen ? seq : s->seen;
}

static void on_message(broker_subscription *sub, broker_message *m, void *user)
{
    static uint8_t expected[SIZE_MAX_BYTES + HEAD];
    unsigned publisher = 0;
    unsigned long long seq = 0;
    size_t n;
    const uint8_t *data = broker_message_data(m, &n);
    char head[HEAD] = "";

    (void)user;
    memcpy(head, data, n < sizeof head - 1 ? n : sizeof head - 1);
    now.life_ms = clock_ms();
    if (sscanf(head, "%u %llu ", &publisher, &seq) != 2 || publisher >= want.publishers || !seq)
        now.corrupt++;
    else if (seq > sources[publisher].sent && !(*state_of(&sources[publisher], seq) & SENT))
        now.phantom++;
    else if (compose(publisher, seq, expected) != n || memcmp(expected, data, n) != 0)
        now.corrupt++;
    else
        judge(&sources[publisher], seq);
    if (want.keep && seq % want.keep == 0)
        return;
    mark(TRACE_ACKED, publisher, seq);
    broker_ack(sub, broker_message_number(m), 1);
}

static void on_sub_end(broker_subscription *s, int error, int reason, const char *text, void *user)
{
    (void)s, (void)reason, (void)user;
    die(broker_strerror(error), text);
}

/* ------------------------------------------------------------------------------------- all */

static void on_state(broker *b, const struct broker_event *ev, void *user)
{
    (void)b, (void)user;
    if (ev->state == BROKER_STATE_DISCONNECTED)
        now.reconnects++;
    if (ev->state == BROKER_STATE_CONNECTED)
        now.life_ms = clock_ms();
}

static broker *join(const char *url, const char *name)
{
    struct broker_options o = {.url = url,
                               .name = name,
                               .reconnect_min_ms = 20,
                               .reconnect_max_ms = 200,
                               .keepalive_ms = 1000,
                               .lifetime_ms = 5000,
                               .on_state = on_state};
    char text[256] = "";
    broker *b;
    int r = broker_new(&o, &b, text, sizeof text);

    if (r < 0)
        die(broker_strerror(r), text);
    broker_connect(b, 0);
    return b;
}

static void begin(void)
{
    uint64_t kept = want.keep ? want.messages / want.keep : 0;

    for (unsigned i = 0; i < want.consumers; i++) {
        struct broker_subscribe_options o = {.credit = (uint32_t)(2 * (want.window + kept)),
                                             .ack = BROKER_ACK_MANUAL,
                                             .on_message = on_message,
                                             .on_end = on_sub_end};

        sinks[i].b = join(want.in_n ? want.in[i % want.in_n] : want.url, "audit-in");
        if (broker_consume(sinks[i].b, want.queue, &o, &sinks[i].s) < 0)
            die("consume", broker_errmsg(sinks[i].b));
    }
    for (unsigned i = 0; i < want.publishers; i++) {
        struct source *s = &sources[i];
        struct broker_publisher_options o = {.topic = want.queue,
                                             .to_queue = true,
                                             .on_confirm = on_confirm,
                                             .on_end = on_end,
                                             .user = s};

        s->number = i;
        s->b = join(want.url, "audit-out");
        if (broker_publisher_new(s->b, &o, &s->p) < 0)
            die("publisher", broker_errmsg(s->b));
    }
}

static void turn(void)
{
    struct pollfd fds[PUBLISHERS_MAX + CONSUMERS_MAX];
    broker *b[PUBLISHERS_MAX + CONSUMERS_MAX];
    nfds_t n = 0;
    int wait_ms = 10;

    for (unsigned i = 0; i < want.publishers; i++)
        b[n++] = sources[i].b;
    for (unsigned i = 0; i < want.consumers; i++)
        b[n++] = sinks[i].b;
    for (nfds_t i = 0; i < n; i++) {
        int ms = broker_timeout_ms(b[i]);

        fds[i] = (struct pollfd){.fd = broker_fd(b[i]), .events = POLLIN};
        wait_ms = ms != BROKER_FOREVER && ms < wait_ms ? ms : wait_ms;
    }
    poll(fds, n, wait_ms);
    for (nfds_t i = 0; i < n; i++)
        if (broker_process(b[i]) != BROKER_OK)
            die("the connection", broker_errmsg(b[i]));
}

/* Messages of a source that are in state `is` and not in state `not`. */
static uint64_t count(uint8_t is, uint8_t not )
{
    uint64_t n = 0;

    for (unsigned i = 0; i < want.publishers; i++)
        for (uint64_t k = 1; k <= sources[i].sent; k++)
            n += (*state_of(&sources[i], k) & is) == is && !(*state_of(&sources[i], k) & not );
    return n;
}

static bool all_settled(void)
{
    for (unsigned i = 0; i < want.publishers; i++)
        if (sources[i].settled < sources[i].sent)
            return false;
    return true;
}

static bool done(bool all_sent)
{
    static uint64_t looked;

    if (!all_sent || !all_settled())
        return false;
    if (looked == now.delivered + 1) /* nothing has come since the last look */
        return false;
    looked = now.delivered + 1;
    return count(CONFIRMED, DELIVERED) == 0;
}

static bool publish_all(int64_t began_ms)
{
    bool all = true;

    for (unsigned i = 0; i < want.publishers; i++) {
        publish_some(&sources[i], due(began_ms));
        all = all && (stopped || sources[i].sent >= want.messages / want.publishers);
    }
    return all;
}

static int verdict(bool in_time)
{
    uint64_t sent = count(SENT, 0), confirmed = count(CONFIRMED, 0),
             lost = count(CONFIRMED, DELIVERED);
    bool broken = lost || now.phantom || now.corrupt || now.disorder;

    printf("{\"sent\":%llu,\"confirmed\":%llu,\"refused\":%llu,\"unknown\":%llu,"
           "\"delivered\":%llu,\"again\":%llu,\"lost\":%llu,\"phantom\":%llu,\"corrupt\":%llu,"
           "\"disorder\":%llu,\"reconnects\":%llu,\"longest_gap_ms\":%lld}\n",
           (unsigned long long)sent, (unsigned long long)confirmed,
           (unsigned long long)count(REFUSED, 0), (unsigned long long)count(UNKNOWN, 0),
           (unsigned long long)now.delivered, (unsigned long long)now.again,
           (unsigned long long)lost, (unsigned long long)now.phantom,
           (unsigned long long)now.corrupt, (unsigned long long)now.disorder,
           (unsigned long long)now.reconnects, (long long)now.gap_ms);
    if (broken)
        return 1;
    return in_time && confirmed ? 0 : 2;
}

static void options(int argc, char **argv)
{
    int c;

    while ((c = getopt(argc, argv, "u:v:q:p:c:n:w:s:t:r:k:m:D")) != -1) {
        switch (c) {
        case 'u':
            want.url = optarg;
            break;
        case 'v':
            if (want.in_n == CONSUMERS_MAX)
                die("usage", "too many addresses");
            want.in[want.in_n++] = optarg;
            break;
        case 'q':
            want.queue = optarg;
            break;
        case 'p':
            want.publishers = (unsigned)atoi(optarg);
            break;
        case 'c':
            want.consumers = (unsigned)atoi(optarg);
            break;
        case 'n':
            want.messages = strtoull(optarg, NULL, 10);
            break;
        case 'w':
            want.window = strtoull(optarg, NULL, 10);
            break;
        case 's':
            want.size = strtoull(optarg, NULL, 10);
            break;
        case 't':
            want.patience_s = atoi(optarg);
            break;
        case 'r':
            want.rate = strtoull(optarg, NULL, 10);
            break;
        case 'k':
            want.keep = strtoull(optarg, NULL, 10);
            break;
        case 'm':
            want.trace = open(optarg, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
            break;
        case 'D':
            want.dedup = true;
            break;
        default:
            die("usage", "see tests/programs/auditor.c");
        }
    }
    if (!want.publishers || want.publishers > PUBLISHERS_MAX || !want.consumers ||
        want.consumers > CONSUMERS_MAX || want.size > SIZE_MAX_BYTES || !want.window)
        die("usage", "a number is out of range");
}

int main(int argc, char **argv)
{
    int64_t began;
    bool all = false, in_time = true;

    options(argc, argv);
    signal(SIGTERM, on_signal);
    signal(SIGPIPE, SIG_IGN);
    begin();
    began = now.life_ms = clock_ms();
    while (!done(all)) {
        all = publish_all(began);
        turn();
        if (clock_ms() - now.life_ms > (int64_t)want.patience_s * 1000) {
            in_time = false;
            break;
        }
    }
    return verdict(in_time);
}
