/* Any bytes as what Redis says, to a store that has asked for something of each kind: it answers
 * the core with what is within bounds, lets go of everything at its end, and keeps no more than
 * replies may have (reply.h).
 *
 * The first byte: 1 a replica must have what is put; 2 the greeting is of the input's, too; 4 a
 * Cluster. Then steps: a byte, of which the low bits are what is asked before (enum step), 64 to
 * whom the bytes are said (the connection that listens), 128 a second goes by; two bytes of length,
 * and so many bytes. What came before the input's first word a Redis that is well has said. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "brokerd/store/redis/functions.h"
#include "brokerd/store/redis/redis.h"
#include "libbroker/base/be.h"
#include "libbroker/base/headers.h"
#include "tests/fuzz/fuzz_support.h"

enum { REPLICA = 1, GREETING = 2, CLUSTER = 4, LISTENS = 64, LATER = 128, CONNS = 8, TURNS = 6 };
enum step { NOTHING, PUT, TAKE, SETTLE, GIVE, PEEK, FACTS, PURGE, DEFINE, CLOSE };

/* One that the store has made to us. */
struct conn {
    int fd;
    redisReader *reader;
    bool listens;
};

static struct {
    struct event_base *base;
    int listener;
    struct sockaddr_un at;
    struct topic *topic;
    struct redis_url url;
    struct redis_store *r;
    struct store *table;
    struct store_queue *q;
    struct conn conn[CONNS];
    unsigned conns;
    int64_t now;
    bool well; /* it is answered as by a Redis that is */
    bool open, fetching;
    uint64_t label, tokens, seqs[64];
    unsigned seqs_n;
} t;

/* ---------------------------------------------------------------------------------- the core */

/* All that it refers to is there. */
static uint64_t read_slice(struct slice s)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < s.n; i++)
        sum += s.p[i];
    return sum;
}

static void read_message(const struct stored_message *m)
{
    struct slice rest = m->headers;
    struct header h;
    uint64_t sum;

    must(m->seq > 0 && m->topic.n > 0);
    sum = read_slice(m->topic) + read_slice(m->data) + read_slice(m->type.name);
    while (headers_next(&rest, &h) > 0)
        sum += read_slice(h.name) + read_slice(h.value);
    must(rest.n == 0 && sum + 1 != 0);
}

static void on_stored(struct core *c, const struct stored *a)
{
    (void)c;
    for (uint32_t i = 0; i < a->n; i++)
        read_message(&a->messages[i]);
    if (a->kind == STORED_OPEN && a->reason == REASON_NONE)
        t.open = true;
    else if (a->kind == STORED_OPEN)
        t.q = NULL;
    if (a->kind == STORED_MESSAGES) {
        must(t.fetching);
        t.fetching = false;
    }
    for (uint32_t i = 0; (a->kind == STORED_MESSAGES || a->kind == STORED_DEAD) && i < a->n; i++)
        if (t.seqs_n < 64)
            t.seqs[t.seqs_n++] = a->messages[i].seq;
    if (a->kind == STORED_PUT)
        must(a->count > 0 && a->first + a->count <= t.label);
}

static struct store_open definition(struct queue_policy *policy, bool replica)
{
    *policy = policy_default(POLICY_QUEUE);
    policy->durable = DURABLE_REDIS;
    policy->replicas = replica;
    policy->max_messages = 100;
    return (struct store_open){{SLICE("q"), {0}, {0}}, policy};
}

static void put(void)
{
    static const uint8_t body[] = "payload";
    struct msg_view v[2] = {{.data = body, .len = 7}, {.data = body, .len = 3}};
    struct run run = {.v = v, .n = 2, .bytes = 10, .type = {.id = CTYPE_NONE}};
    struct msg_origin from = {t.topic, run.type, 1, t.now, t.now};

    if (t.table->ops->put(t.q, t.label, &run, &from) == 0)
        t.label += run.n;
}

static void settle(enum settle_verb verb)
{
    struct store_settlement s = {.verb = verb, .count = 1, .attempts = 1};

    for (; t.seqs_n; t.seqs_n--) {
        s.seq = t.seqs[t.seqs_n - 1];
        t.table->ops->settle(t.q, &s, 1);
    }
}

static void act(enum step step)
{
    struct queue_policy policy;
    struct store_open o = definition(&policy, false);

    if (!t.q || !t.open)
        return;
    switch (step) {
    case PUT:
        put();
        break;
    case TAKE:
        if (!t.fetching)
            t.table->ops->fetch(t.q, 0, 20, 1 << 20);
        t.fetching = true;
        break;
    case SETTLE:
        settle(SETTLE_GONE);
        break;
    case GIVE:
        settle(SETTLE_RETURNED);
        break;
    case PEEK:
        (void)t.table->ops->peek(t.q, 1, 10, ++t.tokens);
        break;
    case FACTS:
        (void)t.table->ops->ask(t.q, ++t.tokens);
        break;
    case PURGE:
        (void)t.table->ops->purge(t.q, UINT64_MAX, NULL, 0, ++t.tokens);
        break;
    case DEFINE:
        o.def.filters = SLICE("\3a.b");
        t.table->ops->define(t.q, &o);
        break;
    case CLOSE:
        t.table->ops->close(t.q, t.tokens % 2);
        t.q = NULL;
        break;
    case NOTHING:
        break;
    }
}

/* --------------------------------------------------------------------------------- the server */

static void say(const struct conn *c, const void *bytes, size_t n)
{
    if (c->fd >= 0)
        (void)!send(c->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void say_text(const struct conn *c, const char *text)
{
    say(c, text, strlen(text));
}

static bool is_word(const redisReply *cmd, size_t i, const char *word)
{
    return i < cmd->elements && strcmp(cmd->element[i]->str, word) == 0;
}

/* As a Redis that is well, and empty. */
static void answer(struct conn *c, const redisReply *cmd)
{
    char text[512];

    if (is_word(cmd, 0, "SUBSCRIBE")) {
        c->listens = true;
        for (size_t i = 1; i < cmd->elements; i++) {
            (void)snprintf(text, sizeof text, "*3\r\n$9\r\nsubscribe\r\n$%zu\r\n%s\r\n:%zu\r\n",
                           cmd->element[i]->len, cmd->element[i]->str, i);
            say_text(c, text);
        }
    } else if (is_word(cmd, 0, "CLUSTER")) {
        (void)snprintf(text, sizeof text,
                       "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$%zu\r\n%s\r\n:1\r\n$1\r\nx\r\n",
                       strlen(t.at.sun_path), t.at.sun_path);
        say_text(c, text);
    } else if (is_word(cmd, 0, "FUNCTION")) {
        say_text(c, "$9\r\nbrokerd_1\r\n");
    } else if (is_word(cmd, 1, "brokerd_1_revision")) {
        (void)snprintf(text, sizeof text, ":%d\r\n", FUNCTIONS_REVISION);
        say_text(c, text);
    } else if (is_word(cmd, 0, "HSCAN")) {
        say_text(c, "*2\r\n$1\r\n0\r\n*0\r\n");
    } else if (is_word(cmd, 1, "brokerd_1_facts")) {
        say_text(
            c, "*11\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n$0\r\n\r\n$0\r\n\r\n:0\r\n");
    } else if (is_word(cmd, 1, "brokerd_1_open")) {
        say_text(c, "*0\r\n");
    } else if (is_word(cmd, 1, "brokerd_1_beat")) {
        say_text(c, "*1\r\n:0\r\n");
    } else if (is_word(cmd, 0, "FCALL")) {
        say_text(c, ":0\r\n");
    } else {
        say_text(c, "+OK\r\n");
    }
}

/* What it asks is heard in any case, and answered while all is well. */
static void serve(struct conn *c)
{
    static char buf[1 << 16];
    void *cmd = NULL;
    ssize_t n;

    while (c->fd >= 0 && (n = recv(c->fd, buf, sizeof buf, MSG_DONTWAIT)) != -1) {
        if (n == 0) {
            close(c->fd);
            c->fd = -1;
            return;
        }
        must(redisReaderFeed(c->reader, buf, (size_t)n) == REDIS_OK);
        while (redisReaderGetReply(c->reader, &cmd) == REDIS_OK && cmd) {
            if (t.well)
                answer(c, cmd);
            freeReplyObject(cmd);
        }
    }
}

static void turn(void)
{
    int fd;

    redis_store_run(t.r, t.now, t.now);
    t.table->ops->flush(t.table);
    while ((fd = accept4(t.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        if (t.conns == CONNS) {
            close(fd);
            continue;
        }
        t.conn[t.conns++] = (struct conn){.fd = fd, .reader = redisReaderCreate()};
    }
    for (unsigned i = 0; i < t.conns; i++)
        serve(&t.conn[i]);
    event_base_loop(t.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void turns(unsigned n)
{
    while (n--)
        turn();
}

/* ------------------------------------------------------------------------------------ the run */

static void begin_once(void)
{
    char dir[] = "/tmp/fuzz-redis.XXXXXX";

    if (t.base)
        return;
    must(mkdtemp(dir) != NULL);
    t.base = event_base_new();
    t.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    t.at.sun_family = AF_UNIX;
    (void)snprintf(t.at.sun_path, sizeof t.at.sun_path, "%s/s", dir);
    t.topic = topic_new(SLICE("a.b"), 1);
    must(t.base && t.listener >= 0 && t.topic);
    must(bind(t.listener, (struct sockaddr *)&t.at, sizeof t.at) == 0);
    must(listen(t.listener, 64) == 0);
}

/* Nothing is left for others to clean. */
static __attribute__((destructor)) void leave(void)
{
    char *slash = strrchr(t.at.sun_path, '/');

    if (!slash)
        return;
    (void)unlink(t.at.sun_path);
    *slash = '\0';
    (void)rmdir(t.at.sun_path);
    close(t.listener);
    event_base_free(t.base);
    topic_free(t.topic);
}

static void start(unsigned flags)
{
    struct redis_store_options o = {
        .base = t.base, .answer = on_stored, .url = &t.url, .node = "n", .seed = 1};
    struct queue_policy policy;
    struct store_open open = definition(&policy, flags & REPLICA);
    char err[REDIS_ERROR_MAX];

    t.url =
        (struct redis_url){.kind = flags & CLUSTER ? REDIS_CLUSTER : REDIS_SINGLE, .hosts_n = 1};
    (void)snprintf(t.url.hosts[0].name, sizeof t.url.hosts[0].name, "%.100s", t.at.sun_path);
    t.now = 1000;
    t.well = !(flags & GREETING);
    t.open = t.fetching = false;
    t.label = 1;
    t.seqs_n = t.conns = 0;
    must(redis_store_new(&o, &t.r, err, sizeof err) == 0);
    t.table = redis_store_table(t.r);
    t.q = t.table->ops->open(t.table, &open, 1);
    for (unsigned i = 0; i < 40 && t.well && !t.open; i++)
        turn();
    must(!t.well || t.open || flags & CLUSTER); /* whose nodes are not at paths */
    t.well = false;
}

static void stop(void)
{
    redis_store_free(t.r);
    for (unsigned i = 0; i < t.conns; i++) {
        if (t.conn[i].fd >= 0)
            close(t.conn[i].fd);
        redisReaderFree(t.conn[i].reader);
    }
    for (int fd; (fd = accept4(t.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
        close(fd);
    event_base_loop(t.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void say_to(bool listens, struct slice s)
{
    for (unsigned i = t.conns; i-- > 0;)
        if (t.conn[i].fd >= 0 && t.conn[i].listens == listens) {
            say(&t.conn[i], s.p, s.n);
            return;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data, size);

    if (size == 0)
        return 0;
    begin_once();
    start(*data);
    for (rest = slice_from(rest, 1); rest.n >= 3;) {
        uint8_t what = rest.p[0];
        size_t n = be_get_16(rest.p + 1);

        rest = slice_from(rest, 3);
        n = n < rest.n ? n : rest.n;
        t.now += what & LATER ? 1000 : 0;
        act((enum step)(what & 15) <= CLOSE ? (enum step)(what & 15) : NOTHING);
        turns(2);
        say_to(what & LISTENS, slice_of(rest.p, n));
        turns(2);
        rest = slice_from(rest, n);
    }
    turns(TURNS);
    stop();
    return 0;
}
