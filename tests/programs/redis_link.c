/* redis_link: sends commands by a link, and judges at the end what became of each.
 *
 *   redis_link URL [keys=8] [window=64] [rate=20000] [size=8] [timeout=MS] [patience=MS] [ca=FILE]
 *              [certificate=FILE] [key=FILE] [commands=N] [base=NAME]
 *
 * Appends 1, 2, 3 .. to a list under each key (RPUSH), `window` of a key at once and `rate` a
 * second in all, and publishes to a channel that it listens to, until something comes from its
 * input, or it ends. Then it waits for the answers, reads the lists, and says what is wrong:
 *
 *   disorder  a number that does not come after the one before it in its list (a double is one)
 *   phantom   one that is there though it was answered that it was not executed
 *   missing   one that is not there though it was answered that it was
 *
 * Prints lines: "up", "down WHY", "listening", "deaf", every 50 ms "status ..", and at the end the
 * same as "end ..". Exit status: 1 if there is disorder or a phantom; what is missing is for the
 * caller to judge, who knows what its Redis promised. */
#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "brokerd/store/redis/link.h"

enum { KEYS_MAX = 256, TICK_MS = 2, STATUS_MS = 50, PUBLISH_MS = 20, SIZE_MAX_ = 65536 };

enum fate { PENDING, REPLIED, UNSENT, UNKNOWN, REFUSED_BY_REDIS };

struct key {
    struct run *run;
    char name[64];
    uint16_t slot;
    uint64_t next, out;
    uint8_t *fate; /* by number */
    uint64_t cap;
};

struct run {
    struct event_base *base;
    struct link *link;
    struct key keys[KEYS_MAX];
    unsigned keys_n, window, rate, size;
    uint64_t replied, unsent, unknown, errors, refused, rooms, heard;
    uint64_t missing, phantom, disorder, late;
    unsigned reads; /* not answered yet */
    bool is_over, is_ready;
    int64_t filled_ms, status_ms, published_ms;
    char channel[64];
};

static struct run r;

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void die(const char *what)
{
    fprintf(stderr, "redis_link: %s\n", what);
    exit(2);
}

/* --------------------------------------------------------------------------------------- sending
 */

struct sent {
    struct key *key;
    uint64_t n;
};

static void on_answer(void *ctx, const struct link_answer *a)
{
    struct sent *s = ctx;
    uint8_t *fate = &s->key->fate[s->n];

    s->key->out--;
    if (*fate != PENDING)
        die("a command was answered twice");
    switch (a->outcome) {
    case LINK_REPLIED:
        if (a->reply->type == REDIS_REPLY_INTEGER) {
            *fate = REPLIED;
            r.replied++;
            break;
        }
        *fate = REFUSED_BY_REDIS;
        if (!r.errors++)
            printf("error %s\n", a->reply->str ? a->reply->str : "no error");
        break;
    case LINK_UNSENT:
        *fate = UNSENT;
        if (!r.unsent++)
            printf("unsent %s\n", a->text);
        break;
    case LINK_UNKNOWN:
        *fate = UNKNOWN;
        if (!r.unknown++)
            printf("unknown %s\n", a->text);
        break;
    }
    free(s);
}

/* Room for number n. */
static void grow(struct key *k, uint64_t n)
{
    if (n < k->cap)
        return;
    k->fate = realloc(k->fate, k->cap * 2 + 4096);
    if (!k->fate)
        die("no memory");
    memset(k->fate + k->cap, PENDING, k->cap + 4096);
    k->cap = k->cap * 2 + 4096;
}

static bool send_one(struct key *k)
{
    static char value[SIZE_MAX_ + 32];
    struct sent *s = malloc(sizeof *s);
    int n = snprintf(value, sizeof value, "%0*" PRIu64, (int)r.size, k->next + 1);
    const struct slice args[] = {SLICE("RPUSH"), slice_str(k->name), slice_of(value, (size_t)n)};
    const struct link_command cmd = {args, 3, k->slot};

    if (!s)
        die("no memory");
    *s = (struct sent){k, k->next + 1};
    grow(k, s->n);
    if (link_send(r.link, &cmd, on_answer, s) < 0) {
        free(s);
        r.refused++;
        return false;
    }
    k->next++;
    k->out++;
    return true;
}

static void fill(int64_t now)
{
    uint64_t budget = (uint64_t)(now - r.filled_ms) * r.rate / 1000;

    if (budget == 0)
        return;
    r.filled_ms = now;
    for (bool some = true; some && budget;) {
        some = false;
        for (unsigned i = 0; i < r.keys_n && budget; i++) {
            if (r.keys[i].out >= r.window || !send_one(&r.keys[i]))
                continue;
            some = true;
            budget--;
        }
    }
}

static void ignore_answer(void *ctx, const struct link_answer *a)
{
    (void)ctx;
    (void)a;
}

static void publish(int64_t now)
{
    const struct slice args[] = {SLICE("PUBLISH"), slice_str(r.channel), SLICE("hello")};
    const struct link_command cmd = {args, 3, link_slot(slice_str(r.channel))};

    if (now - r.published_ms < PUBLISH_MS)
        return;
    r.published_ms = now;
    if (link_send(r.link, &cmd, ignore_answer, NULL) < 0)
        r.refused++;
}

/* --------------------------------------------------------------------------------------- judging
 */

static void judge(struct key *k, const struct redisReply *list)
{
    uint64_t last = 0;
    uint8_t *seen = calloc(1, k->cap + 1);

    if (!seen)
        die("no memory");
    for (size_t i = 0; i < list->elements; i++) {
        uint64_t n = strtoull(list->element[i]->str, NULL, 10);

        if (n && n <= last && k->fate[n] == UNKNOWN && !seen[n]) {
            r.late++; /* what a Redis that hung had in its socket */
            seen[n] = 1;
            continue;
        }
        if (n <= last) {
            r.disorder++;
            printf("disorder %s: %" PRIu64 " after %" PRIu64 "\n", k->name, n, last);
        }
        last = n;
        if (n == 0 || n > k->next || k->fate[n] == UNSENT || k->fate[n] == REFUSED_BY_REDIS) {
            r.phantom++;
            printf("phantom %s: %" PRIu64 "\n", k->name, n);
        } else {
            seen[n] = 1;
        }
    }
    for (uint64_t n = 1; n <= k->next; n++)
        r.missing += k->fate[n] == REPLIED && !seen[n];
    free(seen);
}

static void on_list(void *ctx, const struct link_answer *a)
{
    if (a->outcome != LINK_REPLIED || a->reply->type != REDIS_REPLY_ARRAY)
        die("a list could not be read at the end");
    judge(ctx, a->reply);
    r.reads--;
}

static void read_lists(void)
{
    for (unsigned i = 0; i < r.keys_n; i++) {
        struct key *k = &r.keys[i];
        const struct slice args[] = {SLICE("LRANGE"), slice_str(k->name), SLICE("0"), SLICE("-1")};
        const struct link_command cmd = {args, 4, k->slot};

        if (link_send(r.link, &cmd, on_list, k) < 0)
            die("a list could not be asked for");
        r.reads++;
    }
}

/* --------------------------------------------------------------------------------------- the loop
 */

static void status(const char *word)
{
    const struct link_counts c = link_counts(r.link);

    printf("%s replied=%" PRIu64 " unsent=%" PRIu64 " unknown=%" PRIu64 " errors=%" PRIu64
           " refused=%" PRIu64 " rooms=%" PRIu64 " heard=%" PRIu64 " in_flight=%" PRIu64
           " bytes=%" PRIu64 " connects=%" PRIu64 " failures=%" PRIu64 " timeouts=%" PRIu64
           " moved=%" PRIu64 " asked=%" PRIu64 " retried=%" PRIu64 " refreshes=%" PRIu64
           " malformed=%" PRIu64 " nodes=%u ready=%u missing=%" PRIu64 " phantom=%" PRIu64
           " disorder=%" PRIu64 " late=%" PRIu64 "\n",
           word, r.replied, r.unsent, r.unknown, r.errors, r.refused, r.rooms, r.heard, c.in_flight,
           c.bytes, c.connects, c.failures, c.timeouts, c.moved, c.asked, c.retried, c.refreshes,
           c.malformed, c.nodes, c.ready, r.missing, r.phantom, r.disorder, r.late);
    fflush(stdout);
}

static void on_ready(void *ctx)
{
    (void)ctx;
    r.is_ready = true;
}

static void on_state(void *ctx, bool up, const char *text)
{
    (void)ctx;
    printf(up ? "up\n" : "down %s\n", text);
    fflush(stdout);
}

static void on_room(void *ctx)
{
    (void)ctx;
    r.rooms++;
}

static void on_message(void *ctx, struct slice channel, struct slice text)
{
    (void)ctx;
    if (!slice_eq(channel, slice_str(r.channel)) || !slice_eq(text, SLICE("hello")))
        die("a message is not what was published");
    r.heard++;
}

static void on_listening(void *ctx, bool on)
{
    (void)ctx;
    printf(on ? "listening\n" : "deaf\n");
    fflush(stdout);
}

static void on_input(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    (void)ctx;
    r.is_over = true;
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    (void)ctx;
}

static void turn(void)
{
    const struct timeval none = {0, 0};
    int64_t now = now_ms();

    link_run(r.link, now);
    if (!r.is_over) {
        fill(now);
        publish(now);
    }
    link_flush(r.link);
    if (now - r.status_ms >= STATUS_MS) {
        status("status");
        r.status_ms = now;
    }
    if (link_due(r.link) <= now)
        event_base_once(r.base, -1, EV_TIMEOUT, on_tick, NULL, &none);
    event_base_loop(r.base, EVLOOP_ONCE);
}

static void run_until_answered(void)
{
    do {
        turn();
    } while (!r.is_over || link_counts(r.link).in_flight);
}

static const char *option(int argc, char **argv, const char *name, const char *otherwise)
{
    size_t n = strlen(name);

    for (int i = 2; i < argc; i++)
        if (strncmp(argv[i], name, n) == 0 && argv[i][n] == '=')
            return argv[i] + n + 1;
    return otherwise;
}

static unsigned number(int argc, char **argv, const char *name, const char *otherwise)
{
    return (unsigned)strtoul(option(argc, argv, name, otherwise), NULL, 10);
}

static void make_keys(const char *base)
{
    for (unsigned i = 0; i < r.keys_n; i++) {
        struct key *k = &r.keys[i];

        (void)snprintf(k->name, sizeof k->name, "{%.40s.%u}:list", base, i);
        k->slot = link_slot(slice_str(k->name));
    }
    (void)snprintf(r.channel, sizeof r.channel, "%.40s:news", base);
}

static const char *on_prepared(void *ctx, unsigned i, const struct redisReply *reply)
{
    (void)ctx;
    (void)i;
    return reply->type == REDIS_REPLY_STRING ? NULL : "it does not echo";
}

static void make_link(int argc, char **argv)
{
    static const struct slice echo[] = {SLICE("ECHO"), SLICE("ready")};
    static const struct link_command prepare = {echo, 2, 0};
    const struct slice channel = slice_str(r.channel);
    char err[512];
    struct redis_url url;
    struct link_options o = {
        .base = r.base,
        .url = &url,
        .name = "redis_link",
        .ca = option(argc, argv, "ca", NULL),
        .certificate = option(argc, argv, "certificate", NULL),
        .key = option(argc, argv, "key", NULL),
        .timeout_ms = number(argc, argv, "timeout", "500"),
        .patience_ms = number(argc, argv, "patience", "20000"),
        .commands_max = number(argc, argv, "commands", "0"),
        .seed = (uint64_t)now_ms(),
        .prepare = &prepare,
        .prepare_n = 1,
        .prepared = on_prepared,
        .channels = &channel,
        .channels_n = 1,
        .message = on_message,
        .listening = on_listening,
        .ready = on_ready,
        .state = on_state,
        .room = on_room,
    };

    if (redis_url_parse(slice_str(argv[1]), &url, err, sizeof err) < 0 ||
        link_new(&o, &r.link, err, sizeof err) < 0)
        die(err);
}

int main(int argc, char **argv)
{
    const struct timeval tick = {0, TICK_MS * 1000};
    struct event *input, *timer;

    if (argc < 2)
        die("which URL?");
    signal(SIGPIPE, SIG_IGN);
    r.base = event_base_new();
    r.keys_n = number(argc, argv, "keys", "8");
    r.window = number(argc, argv, "window", "64");
    r.rate = number(argc, argv, "rate", "20000");
    r.size = number(argc, argv, "size", "8");
    if (r.keys_n > KEYS_MAX || r.size > SIZE_MAX_)
        die("too many keys, or too large");
    make_keys(option(argc, argv, "base", "test"));
    make_link(argc, argv);
    input = event_new(r.base, 0, EV_READ | EV_PERSIST, on_input, NULL);
    timer = event_new(r.base, -1, EV_PERSIST, on_tick, NULL);
    event_add(input, NULL);
    event_add(timer, &tick);
    r.filled_ms = now_ms();
    while (!r.is_over)
        turn();
    event_del(input);
    run_until_answered();
    read_lists();
    run_until_answered();
    status("end");
    link_free(r.link);
    event_free(input);
    event_free(timer);
    event_base_free(r.base);
    for (unsigned i = 0; i < r.keys_n; i++)
        free(r.keys[i].fate);
    return r.disorder || r.phantom || r.reads;
}
