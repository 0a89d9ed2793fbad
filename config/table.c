#include "config/table.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "brokerd/doors/inlet.h"
#include "brokerd/store/redis/url.h"
#include "brokerd/webhooks/spec.h"
#include "libbroker/base/units.h"

static const char *const placements[] = {
    [SETTINGS_PACK] = "pack", [SETTINGS_SPREAD] = "spread", [SETTINGS_SPREAD + 1] = NULL};
static const char *const log_levels[] = {
    [LEVEL_ERROR] = "error", [LEVEL_WARNING] = "warning", [LEVEL_NOTICE] = "notice",
    [LEVEL_INFO] = "info",   [LEVEL_DEBUG] = "debug",     [LEVEL_DEBUG + 1] = NULL};
static const char *const log_formats[] = {[LOG_FORMAT_AUTO] = "auto",
                                          [LOG_FORMAT_PLAIN] = "plain",
                                          [LOG_FORMAT_PRIORITY] = "priority",
                                          [LOG_FORMAT_JSON] = "json",
                                          [LOG_FORMAT_JSON + 1] = NULL};

static const char *const syncs[] = {"always", NULL};

#define KIB 1024ULL
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define SECOND 1000ULL
#define DAY (86400 * SECOND)
#define FIELD(name) .offset = offsetof(struct settings, name)
#define POLICY(what) .type = SETTING_POLICY, .text = what
#define TEXT(name)                                                                                 \
    .min = 0, .max = sizeof((struct settings *)0)->name, .offset = offsetof(struct settings, name)
#define OF(name) .title = (name), .restart = true

static const char *wrong_path(struct slice value, char *buf, size_t size)
{
    (void)buf;
    (void)size;
    return value.n && value.p[0] == '/' ? NULL : "a path that begins with /";
}

static const char *wrong_url(struct slice value, char *buf, size_t size)
{
    struct redis_url u;
    int r = redis_url_parse(value, &u, buf, size);

    explicit_bzero(&u, sizeof u);
    return r < 0 ? buf + strlen("expected ") : NULL;
}

static bool is_word(struct slice value, const char *others)
{
    for (size_t i = 0; i < value.n; i++)
        if (!isalnum(value.p[i]) && !strchr(others, value.p[i]))
            return false;
    return true;
}

static const char *wrong_prefix(struct slice value, char *buf, size_t size)
{
    (void)buf;
    (void)size;
    return value.n && is_word(value, ".-_:") ? NULL : "letters, digits and .-_:";
}

static const char *wrong_node(struct slice value, char *buf, size_t size)
{
    (void)buf;
    (void)size;
    return is_word(value, ".-_") ? NULL : "letters, digits and .-_";
}

static const struct section sections[] = {
    {"", NULL, NULL},
    {"limits", NULL, "What connections may ask for. A change is for connections made after it."},
    {"log", NULL, "What is written to stderr."},
    {"listen", SETTINGS_LISTEN_DEFAULT,
     "Where connections are accepted: tcp://HOST:PORT (port 0: any free one) or unix:///PATH. "
     "May be repeated; without any, " SETTINGS_LISTEN_DEFAULT ". A change takes a restart."},
    {"queue", "#",
     "Settings of the queues whose name matches; of several sections the last that matches "
     "counts, whole. One without a wildcard makes that queue at start. May be repeated."},
    {"subscription", "#",
     "The same for plain subscriptions, by their filter: a section is for all whose messages its "
     "own filter would match too. May be repeated."},
    {"webhook", "billing",
     "Messages delivered to an HTTP endpoint, from the queue webhook.NAME; docs/webhooks.md tells "
     "more. May be repeated. url and topic have no defaults: these are examples."},
    {"hook", "example",
     "Webhooks of others: what is posted to /v1/hooks/NAME and is signed as said here is published "
     "to the topic; docs/webhooks.md tells more. May be repeated. topic and secret have no "
     "defaults: "
     "these are examples."},
    {"store", "journal",
     "Queues with durable = journal are kept in files here: what was confirmed is on disk. Only "
     "with "
     "this section; docs/durable-queues.md tells more."},
    {"store", "redis",
     "Queues with durable = redis, or redis+N, are kept in Redis (7 or later), where several "
     "brokerds may share them. Only with this section; docs/durable-queues.md tells more."},
};

static const struct setting rows[] = {
    {"", "workers", SETTING_COUNT, "auto", 1, SETTINGS_WORKERS_MAX, FIELD(workers), .auto_ = true,
     .restart = true,
     .text = "Threads, each with an event loop of its own; auto: as many as there are cores."},
    {"", "placement", SETTING_WORD, "pack", FIELD(placement), .words = placements,
     .text =
         "Where a new connection goes: pack fills one worker before the next, and one that only "
         "publishes may later go where its messages go; spread takes them in turn."},
    {"", "memory", SETTING_SIZE, "1GiB", MIB, 1024 * 1024 * GIB, FIELD(memory),
     .text = "Budget for everything that waits in brokerd. Above it, publishers are refused."},
    {"", "max-message", SETTING_SIZE, "64MiB", 1, 2 * GIB, FIELD(max_message),
     .text = "Largest message, reassembled."},
    {"", "create-queues", SETTING_BOOL, "true", FIELD(create_queues),
     .text = "A client that names an unknown queue makes it."},
    {"", "call-wait", SETTING_TIME, "0ms", 0, DAY, FIELD(call_wait_ms),
     .text = "How long a call waits if nobody serves it, unless it says so itself ($wait). 0ms: it "
             "fails at once."},
    {"", "metrics-queues", SETTING_COUNT, "1000", 0, 100000, FIELD(metrics_queues),
     .text = "Queues that /metrics tells of one by one; the others are added up."},
    {"", "drain-timeout", SETTING_TIME, "30s", 1, DAY, FIELD(drain_ms),
     .text = "How long stopping and draining may take before what is left is cut off."},

    {"limits", "max-connections", SETTING_COUNT, "100000", 1, UINT64_MAX,
     FIELD(limits.max_connections), .text = "Connections open at once, of all listeners."},
    {"limits", "first-frame-timeout", SETTING_TIME, "10s", 1, DAY, FIELD(limits.first_frame_ms),
     .text = "How long a new connection may take to say what it is."},
    {"limits", "first-frame-max", SETTING_SIZE, "64KiB", 64, 16 * MIB,
     FIELD(limits.first_frame_max), .text = "Largest frame before the handshake is done."},
    {"limits", "frame-max", SETTING_SIZE, "16MiB", 4 * KIB, GIB, FIELD(limits.frame_max),
     .text = "Largest frame after it. A larger message comes in fragments, where the protocol has "
             "them."},
    {"limits", "reassembly-max", SETTING_SIZE, "128MiB", 4 * KIB, 64 * GIB,
     FIELD(limits.reassembly_max),
     .text = "Bytes of unfinished messages on one connection, all streams together."},
    {"limits", "max-streams", SETTING_COUNT, "10000", 1, 1 << 24, FIELD(limits.max_streams),
     .text = "Streams open at once on one connection: subscriptions, publishers, requests."},
    {"limits", "max-calls", SETTING_COUNT, "10000", 1, 1 << 24, FIELD(limits.max_calls),
     .text = "Calls of one connection that are open at once, or wait for a server."},
    {"limits", "publish-rate", SETTING_COUNT, "unlimited", 1, UINT64_MAX,
     FIELD(limits.publish_rate),
     .text = "Messages that one connection may publish in a second; it may save up one second's "
             "worth. What is above it is refused."},
    {"limits", "keepalive-min", SETTING_TIME, "500ms", 1, DAY, FIELD(limits.keepalive_min_ms),
     .text = "Shortest keep-alive interval; a client that asks for a shorter one gets this."},
    {"limits", "idle-max", SETTING_TIME, "10m", SECOND, 365 * DAY, FIELD(limits.idle_max_ms),
     .text = "Longest time a silent connection is kept, whatever the client asks for."},
    {"limits", "resume-max-sessions", SETTING_COUNT, "10000", 0, 1 << 24,
     FIELD(limits.resume_max_sessions),
     .text = "Sessions that outlive their connection (RSocket RESUME), on each worker. 0: none."},
    {"limits", "resume-timeout", SETTING_TIME, "1m", SECOND, DAY, FIELD(limits.resume_timeout_ms),
     .text = "How long a session without a connection is kept."},
    {"limits", "resume-max-bytes", SETTING_SIZE, "16MiB", 64 * KIB, 4 * GIB,
     FIELD(limits.resume_max_bytes),
     .text = "Bytes kept for one session until its client has acknowledged them. Deliveries pause "
             "at half of it; a session that has more all the same is dropped."},
    {"limits", "lease-requests", SETTING_COUNT, "100000", 1, 0x7fffffff,
     FIELD(limits.lease_requests),
     .text = "Requests that one lease allows a client that asks for leases (RSocket LEASE). While "
             "the broker is short of memory, or behind with what the client asked for, it is 0."},
    {"limits", "lease-ttl", SETTING_TIME, "10s", SECOND, DAY, FIELD(limits.lease_ttl_ms),
     .text = "How long a lease lasts; it is renewed after half of it, or of its requests."},
    {"limits", "json-keepalive", SETTING_TIME, "1s", 100, DAY, FIELD(limits.json_keepalive_ms),
     .text = "How often the JSON door says a keep-alive; a client that says them too and then "
             "nothing for three times as long is gone."},

    {"limits", "http-idle", SETTING_TIME, "75s", 100, DAY, FIELD(limits.http_idle_ms),
     .text =
         "How long an HTTP connection is kept open without a request. Once it has made one, the "
         "head of the next may take as long as first-frame-timeout from its first byte on; a "
         "body, or a client that reads its answers, that much longer than it takes at 500 "
         "bytes a second."},

    {"limits", "websocket-ping", SETTING_TIME, "30s", 50, UINT64_MAX,
     FIELD(limits.websocket_ping_ms),
     .text = "A WebSocket from which nothing was heard for so long is pinged; one that does not "
             "answer two pings is closed. never: none is."},

    {"log", "level", SETTING_WORD, "notice", FIELD(log_level), .words = log_levels,
     .text = "The least important lines still written: error, warning, notice, info or debug."},
    {"log", "format", SETTING_WORD, "auto", FIELD(log_format), .words = log_formats,
     .text = "plain (time, level, text), priority (<N> before the text, for systemd) or json (an "
             "object a line); auto: priority under systemd, else plain."},

    {"listen", "protocols", SETTING_PROTOCOLS, "{}", .restart = true,
     .text = "Protocols served there: rsocket, json, stomp, http, websocket. Empty: every one; "
             "websocket alone: every one it can carry. A connection's first bytes say which it "
             "is."},
    {"listen", "origins", SETTING_ORIGINS, "{}", .restart = true,
     .text =
         "Origins (https://HOST:PORT, as browsers say it) whose pages may come "
         "here by HTTP and WebSocket, and manage the broker, besides its own; those of the host "
         "itself, and with \"*\" any page there is, may come, but not manage it."},
    {"listen", "echo", SETTING_FLAG, "false", .restart = true,
     .text = "A WebSocket opened at /echo says everything back: for suites that test WebSocket."},
    {"listen", "stomp-binary", SETTING_FLAG, "false", .restart = true,
     .text = "STOMP over WebSocket always goes out in binary messages; else in text where it is "
             "UTF-8."},
    {"listen", "insecure", SETTING_FLAG, "false", .restart = true,
     .text = "Serve an address that others than this host can reach, although nobody is "
             "authenticated: needed for any but loopback, until authentication exists."},
    {"listen", "manage", SETTING_FLAG, "true", .restart = true,
     .text = "Who comes this way may manage the broker: what `broker queue`, `kill`, `info`.. ask, "
             "the same over HTTP, /metrics and the dashboard. Without a word: true on loopback and "
             "Unix sockets, false elsewhere."},
    {"listen", "certificate", .type = SETTING_LATER},
    {"listen", "key", .type = SETTING_LATER},
    {"listen", "client-ca", .type = SETTING_LATER},

    {"queue", "bind", SETTING_FILTERS, "{}", .restart = true,
     .text = "Filters whose messages go into the queue. Empty: the topic of the queue's own name."},
    {"queue", "durable",
     POLICY("What keeps the messages, and so what a confirm means: memory, journal (on disk), "
            "redis, or \"redis+N\" (so many of its replicas have it, 1 to 9). journal and redis "
            "need their store section.")},
    {"queue", "max-messages", POLICY("Messages that may wait.")},
    {"queue", "max-bytes", POLICY("Bytes of them.")},
    {"queue", "message-ttl", POLICY("How long a message may wait.")},
    {"queue", "overflow",
     POLICY("What happens when the queue is full: block (the publisher waits), "
            "drop-oldest, drop-newest or reject (the publisher is told).")},
    {"queue", "block-timeout",
     POLICY("With block: the longest wait, then block-fallback decides.")},
    {"queue", "block-fallback", POLICY("After that wait: reject, drop-oldest or drop-newest.")},
    {"queue", "ack-timeout",
     POLICY("A delivery not acknowledged for so long goes to another consumer.")},
    {"queue", "max-deliveries", POLICY("Deliveries of one message, then it is dead.")},
    {"queue", "max-inflight", POLICY("Unacknowledged deliveries of one consumer.")},
    {"queue", "dead-letter",
     POLICY("Topic, or queue:NAME, for what was rejected, expired, dropped or delivered too "
            "often; empty: none.")},
    {"queue", "expires", POLICY("The queue is deleted after so long without a consumer.")},
    {"queue", "dedup-window",
     POLICY("For so long the id ($dedup) of a message taken is remembered: one that comes again is "
            "accepted, and not taken again.")},
    {"queue", "dedup-max",
     POLICY("Ids remembered, 48 bytes of memory each; of more, the oldest are forgotten earlier.")},
    {"queue", "retain",
     POLICY("With durable = journal: what has been acknowledged stays on disk for so long, for a "
            "consumer that asks for it again ($from).")},

    {"subscription", "max-messages", POLICY("Messages that may wait.")},
    {"subscription", "max-bytes", POLICY("Bytes of them.")},
    {"subscription", "message-ttl", POLICY("How long a message may wait.")},
    {"subscription", "overflow",
     POLICY("What happens when a subscriber falls behind: block (its publishers "
            "wait), drop-oldest, drop-newest, reject or disconnect (the subscription "
            "ends).")},
    {"subscription", "block-timeout",
     POLICY("With block: the longest wait, then block-fallback decides.")},
    {"subscription", "block-fallback",
     POLICY("After that wait: reject, drop-oldest or drop-newest.")},
    {"subscription", "dedup-window",
     POLICY("For so long the id ($dedup) of a message is remembered: one that comes again is "
            "accepted, and not delivered again.")},
    {"subscription", "dedup-max",
     POLICY("Ids remembered, 48 bytes of memory each; of more, the oldest are forgotten earlier.")},

    {"webhook", "topic", SETTING_WEBHOOKS, "{ \"billing.#\" }",
     .text = "Filters of the messages that are delivered; one, or a list."},
    {"webhook", "url", SETTING_WEBHOOK, "https://billing.example.com/events",
     .text = "Where they are posted to."},
    {"webhook", "secret", SETTING_WEBHOOK, "",
     .text =
         "Signs each request (Standard Webhooks): whsec_ and base64 of 24 to 64 bytes, or whsk_ "
         "and an Ed25519 key. Empty: nothing is signed."},
    {"webhook", "secret-old", SETTING_WEBHOOK, "",
     .text = "Signs too, while receivers learn the new one."},
    {"webhook", "format", SETTING_WEBHOOK, "plain",
     .text = "plain (the payload as it is), cloudevents (with its attributes as header fields) or "
             "cloudevents-json (one JSON object around it)."},
    {"webhook", "source", SETTING_WEBHOOK, "/brokerd",
     .text = "The attribute source of CloudEvents: a URI reference."},
    {"webhook", "headers", SETTING_WEBHOOKS, "{}",
     .text = "Further header fields of each request, \"NAME: VALUE\"."},
    {"webhook", "window", SETTING_WEBHOOK, "64",
     .text =
         "Most requests at once. It begins with 4, grows with success and shrinks with trouble."},
    {"webhook", "timeout", SETTING_WEBHOOK, "20s",
     .text = "How long one request may take, the answer's head included."},
    {"webhook", "connect-timeout", SETTING_WEBHOOK, "5s",
     .text = "How long it may take to be connected."},
    {"webhook", "retry", SETTING_WEBHOOKS, "{ 5s, 5m, 30m, 2h, 5h, 10h, 14h, 20h, 24h }",
     .text =
         "How long before each further attempt, more or less a fifth. After the last the message "
         "goes to the queue webhook.NAME.dead. never: there is none."},
    {"webhook", "break-after", SETTING_WEBHOOK, "10",
     .text = "After so many failures in a row it is not called for a while."},
    {"webhook", "break-time", SETTING_WEBHOOK, "1s",
     .text = "That while, at first; twice as long each time that it fails again."},
    {"webhook", "break-time-max", SETTING_WEBHOOK, "5m", .text = "And at most."},
    {"webhook", "allow", SETTING_WEBHOOKS, "{}",
     .text = "Ranges of addresses (\"10.0.0.0/8\") that it may be sent to, although they are not "
             "public ones."},
    {"webhook", "insecure", SETTING_WEBHOOK, "false",
     .text = "http:// is allowed: sent in the clear."},
    {"webhook", "ca", SETTING_WEBHOOK, "",
     .text = "File with the certificates that are trusted. Empty: the system's."},
    {"webhook", "enabled", SETTING_WEBHOOK, "true",
     .text = "false: its queue collects, nothing is sent."},

    {"hook", "topic", SETTING_HOOK, "hooks.example", .text = "Where it is published."},
    {"hook", "scheme", SETTING_HOOK, "standard",
     .text =
         "How it is signed: standard (Standard Webhooks), github, stripe, or none: then whoever "
         "may come to the listener may publish."},
    {"hook", "secret", SETTING_HOOK, "whsec_bm90IGEgc2VjcmV0LCBidXQgYW4gZXhhbXBsZQ==",
     .text = "What the sender signs with: with standard whsec_ and base64, or whpk_ and its public "
             "Ed25519 key; else as the sender has it."},
    {"hook", "secret-file", SETTING_HOOK, "",
     .text = "A file that has it instead, read at start and at each reload."},
    {"hook", "secret-old", SETTING_HOOK, "",
     .text = "The one before, which is good too, while the sender is taught the new one."},
    {"hook", "secret-old-file", SETTING_HOOK, "", .text = "A file that has that."},
    {"hook", "tolerance", SETTING_HOOK, "5m",
     .text =
         "How long ago, or in how long, it may be that it was signed; never: any time. github "
         "tells no time. dedup-window of the queues should be at least twice as long, so that what "
         "is sent again meanwhile is known to be a repeat."},
    {"hook", "require", SETTING_HOOK, "true",
     .text =
         "Refuse what no queue matches, so that the sender sends it again; false: answer that it "
         "is well."},
    {"hook", "headers", SETTING_HOOKS, "{}",
     .text = "Header fields of the request that become headers of the message, as X-GitHub-Event. "
             "The signature does not cover them."},

    {"store", "path", SETTING_TEXT, "/var/lib/brokerd", TEXT(journal.path), OF("journal"),
     .wrong = wrong_path,
     .text = "The directory of the journal's files, made if it is not there. One brokerd has it."},
    {"store", "sync", SETTING_WORD, "always", FIELD(journal.sync), OF("journal"), .words = syncs,
     .text = "When what was written is made sure to be on disk: always, before it is confirmed. "
             "There is no other way yet."},
    {"store", "max-disk", SETTING_SIZE, "unlimited", 512 * KIB, UINT64_MAX, FIELD(journal.max_disk),
     OF("journal"),
     .text = "Bytes that the files may take; at least 8 segments. Above it messages are refused "
             "(full), while what is there is delivered and acknowledged."},
    {"store", "segment", SETTING_SIZE, "32MiB", 64 * KIB, GIB, FIELD(journal.segment),
     OF("journal"), .text = "Size of one file."},
    {"store", "accept-damage", SETTING_BOOL, "false", FIELD(journal.accept_damage), OF("journal"),
     .text = "Start although a part of the files is damaged, and what was in it is lost. Without, "
             "brokerd says what is damaged and does not start."},

    {"store", "url", SETTING_TEXT, "redis://127.0.0.1:6379", TEXT(redis.url), OF("redis"),
     .wrong = wrong_url,
     .text = "redis://[USER:PASSWORD@]HOST[:PORT][/DB], redis+sentinel://HOST,HOST/MASTER or "
             "redis+cluster://HOST,HOST; with rediss for redis: by TLS."},
    {"store", "password-file", SETTING_TEXT, "", TEXT(redis.password_file), OF("redis"),
     .text = "A file that has the password, in place of the URL."},
    {"store", "ca", SETTING_TEXT, "", TEXT(redis.ca), OF("redis"),
     .text = "TLS: file with the certificates that are trusted. Empty: the system's."},
    {"store", "certificate", SETTING_TEXT, "", TEXT(redis.certificate), OF("redis"),
     .text = "TLS: file with our own certificate, where Redis asks for one."},
    {"store", "key", SETTING_TEXT, "", TEXT(redis.key), OF("redis"),
     .text = "TLS: file with its key."},
    {"store", "timeout", SETTING_TIME, "2s", 50, DAY, FIELD(redis.timeout_ms), OF("redis"),
     .text = "A Redis that does not answer for so long is out of order: its connection is made "
             "anew, and what was on its way is said again."},
    {"store", "patience", SETTING_TIME, "5s", 50, DAY, FIELD(redis.patience_ms), OF("redis"),
     .text = "A publish that Redis has not taken for so long, while it answers none, is refused "
             "(store), at the latest a timeout later. More than a failover takes: then none is."},
    {"store", "prefix", SETTING_TEXT, "brokerd", TEXT(redis.prefix), OF("redis"),
     .wrong = wrong_prefix,
     .text = "What the names of its keys begin with. brokerds with the same one share queues."},
    {"store", "topics", SETTING_BOOL, "false", FIELD(redis.topics), OF("redis"),
     .text = "Share topics too: what is published on one brokerd reaches subscribers of all."},
    {"store", "node", SETTING_TEXT, "", TEXT(redis.node), OF("redis"), .wrong = wrong_node,
     .text = "This brokerd's name among them. Empty: the host's, and something random."},

    {"user", "", .type = SETTING_LATER},
};

#undef FIELD
#undef POLICY
#undef TEXT
#undef OF

enum { N_ROWS = sizeof rows / sizeof *rows, N_SECTIONS = sizeof sections / sizeof *sections };

/* The doors, and WebSocket, which carries the others. */
static const char *const protocols[] = {"rsocket", "json", "stomp", "http", "websocket", NULL};

const struct setting *setting_at(size_t i)
{
    return i < N_ROWS ? &rows[i] : NULL;
}

const struct section *section_at(size_t i)
{
    return i < N_SECTIONS ? &sections[i] : NULL;
}

const struct setting *setting_find(const char *section, const char *key)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        if (strcmp(rows[i].section, section) == 0 && strcmp(rows[i].key, key) == 0)
            return &rows[i];
    }
    return NULL;
}

bool setting_is_scalar(enum setting_type type)
{
    return type <= SETTING_TEXT;
}

bool setting_is_list(enum setting_type type)
{
    return type == SETTING_FILTERS || type == SETTING_PROTOCOLS || type == SETTING_ORIGINS ||
           type == SETTING_WEBHOOKS || type == SETTING_HOOKS;
}

enum policy_kind setting_policy_kind(const char *section)
{
    return strcmp(section, "queue") == 0 ? POLICY_QUEUE : POLICY_SUBSCRIPTION;
}

static int expected(const struct setting *row, const char *what, struct slice found, char *err,
                    size_t err_size)
{
    (void)snprintf(err, err_size, "%s: expected %s, found \"%.*s\"", row->key, what,
                   found.n > 80 ? 80 : (int)found.n, found.n ? (const char *)found.p : "");
    return -EINVAL;
}

/* The words ended by NULL as "a, b or c". */
static const char *join(const char *const *words, char *buf, size_t size)
{
    size_t at = 0;

    buf[0] = '\0';
    for (size_t i = 0; words[i] && at < size; i++) {
        const char *before = i == 0 ? "" : words[i + 1] ? ", " : " or ";

        at += (size_t)snprintf(buf + at, size - at, "%s%s", before, words[i]);
    }
    return buf;
}

static int word_index(const char *const *words, struct slice value)
{
    for (int i = 0; words[i]; i++) {
        if (slice_eq(slice_str(words[i]), value))
            return i;
    }
    return -1;
}

/* Any number: its value as 64 bits, UINT64_MAX for no limit. */
static int parse_number(const struct setting *row, struct slice value, uint64_t *ret)
{
    unsigned flags = (row->max == UINT64_MAX ? UNITS_NO_LIMIT : 0) | (row->min ? 0 : UNITS_ZERO);
    int64_t ms = 0;
    int r;

    switch (row->type) {
    case SETTING_SIZE:
        return units_parse_size(value, flags, ret);
    case SETTING_TIME:
        r = units_parse_time(value, flags, &ms);
        if (r == 0)
            *ret = ms == UNITS_NEVER ? UINT64_MAX : (uint64_t)ms;
        return r;
    default:
        if (row->auto_ && slice_eq(value, SLICE("auto"))) {
            *ret = 0;
            return 0;
        }
        r = units_parse_count(value, flags, ret);
        return r == 0 && *ret != UINT64_MAX && *ret >= UINT32_MAX ? -ERANGE : r;
    }
}

static const char *format_number(enum setting_type type, uint64_t number, char *buf, size_t size)
{
    switch (type) {
    case SETTING_SIZE:
        return units_format_size(number, buf, size);
    case SETTING_TIME:
        return units_format_time(number == UINT64_MAX ? UNITS_NEVER : (int64_t)number, buf, size);
    default:
        return units_format_count(number, buf, size);
    }
}

static int check_number(const struct setting *row, struct slice value, char *err, size_t err_size)
{
    char what[160], min[UNITS_TEXT_MAX], max[UNITS_TEXT_MAX];
    uint64_t number = 0;
    int r = parse_number(row, value, &number);

    if (r == 0 && ((number >= row->min && number <= row->max) || (row->auto_ && number == 0)))
        return 0;
    (void)snprintf(what, sizeof what, "%s from %s to %s%s",
                   row->type == SETTING_SIZE   ? "a size"
                   : row->type == SETTING_TIME ? "a time with its unit (500ms, 30s, 5m)"
                                               : "a number",
                   format_number(row->type, row->min, min, sizeof min),
                   format_number(row->type, row->max, max, sizeof max),
                   row->auto_ ? ", or auto" : "");
    return expected(row, what, value, err, err_size);
}

static int check_text(const struct setting *row, struct slice value, char *err, size_t err_size)
{
    char buf[REDIS_URL_ERROR_MAX];
    const char *wrong = row->wrong ? row->wrong(value, buf, sizeof buf) : NULL;

    if (value.n >= row->max)
        (void)snprintf(err, err_size, "%s: expected at most %zu bytes, found %zu", row->key,
                       (size_t)row->max - 1, value.n);
    else if (wrong) /* what was found may have a password */
        (void)snprintf(err, err_size, "%s: expected %s", row->key, wrong);
    else
        return 0;
    return -EINVAL;
}

static int check_protocol(const struct setting *row, struct slice value, char *err, size_t err_size)
{
    char words[80];

    for (size_t i = 0; protocols[i]; i++) {
        if (slice_eq(value, slice_str(protocols[i])))
            return 0;
    }
    return expected(row, join(protocols, words, sizeof words), value, err, err_size);
}

/* As browsers say it: a scheme and a host, nothing behind them. */
static int check_origin(const struct setting *row, struct slice value, char *err, size_t err_size)
{
    const uint8_t *host = value.n > 3 ? memmem(value.p, value.n, "://", 3) : NULL;
    size_t at = host ? (size_t)(host - value.p) + 3 : 0;

    if (slice_eq(value, SLICE("*")) || slice_eq(value, SLICE("null")) ||
        (host && host != value.p && at < value.n && !memchr(value.p + at, '/', value.n - at)))
        return 0;
    return expected(row, "an origin (https://HOST:PORT, nothing behind it) or *", value, err,
                    err_size);
}

const char *setting_protocol(struct slice name)
{
    for (size_t i = 0; protocols[i]; i++) {
        if (slice_eq(name, slice_str(protocols[i])))
            return protocols[i];
    }
    return NULL;
}

/* libconfuse's own words for a boolean. */
static int parse_bool(struct slice value, bool *ret)
{
    static const char *const yes[] = {"true", "yes", "on", NULL};
    static const char *const no[] = {"false", "no", "off", NULL};

    *ret = word_index(yes, value) >= 0;
    return *ret || word_index(no, value) >= 0 ? 0 : -EINVAL;
}

bool setting_bool(struct slice value)
{
    bool b = false;

    (void)parse_bool(value, &b);
    return b;
}

int setting_check(const struct setting *row, struct slice value, char *err, size_t err_size)
{
    struct queue_policy scratch;
    const char *why;
    char words[80];
    bool b;

    switch (row->type) {
    case SETTING_COUNT:
    case SETTING_SIZE:
    case SETTING_TIME:
        return check_number(row, value, err, err_size);
    case SETTING_BOOL:
    case SETTING_FLAG:
        return parse_bool(value, &b) < 0 ? expected(row, "true or false", value, err, err_size) : 0;
    case SETTING_WORD:
        if (word_index(row->words, value) >= 0)
            return 0;
        return expected(row, join(row->words, words, sizeof words), value, err, err_size);
    case SETTING_TEXT:
        return check_text(row, value, err, err_size);
    case SETTING_POLICY:
        scratch = policy_default(setting_policy_kind(row->section));
        return policy_set_key(&scratch, setting_policy_kind(row->section), slice_str(row->key),
                              value, err, err_size) < 0
                   ? -EINVAL
                   : 0;
    case SETTING_FILTERS:
        why = name_filter_error(value);
        if (!why)
            return 0;
        (void)snprintf(err, err_size, "%s: %s, found \"%.*s\"", row->key, why,
                       value.n > 80 ? 80 : (int)value.n, value.n ? (const char *)value.p : "");
        return -EINVAL;
    case SETTING_PROTOCOLS:
        return check_protocol(row, value, err, err_size);
    case SETTING_ORIGINS:
        return check_origin(row, value, err, err_size);
    case SETTING_WEBHOOK:
    case SETTING_WEBHOOKS:
        return spec_value_check(row->key, value, err, err_size) < 0 ? -EINVAL : 0;
    case SETTING_HOOK:
    case SETTING_HOOKS:
        return inlet_check(row->key, value, err, err_size);
    case SETTING_LATER:
        break;
    }
    (void)snprintf(err, err_size, "%s: not supported by this version", row->key);
    return -EINVAL;
}

void setting_store(const struct setting *row, struct slice value, struct settings *settings)
{
    char *field = (char *)settings + row->offset;
    uint64_t number = 0;

    switch (row->type) {
    case SETTING_COUNT:
        (void)parse_number(row, value, &number);
        *(uint32_t *)field = number == UINT64_MAX ? UINT32_MAX : (uint32_t)number;
        break;
    case SETTING_SIZE:
        (void)parse_number(row, value, (uint64_t *)field);
        break;
    case SETTING_TIME:
        (void)parse_number(row, value, &number);
        *(int64_t *)field = number == UINT64_MAX ? UNITS_NEVER : (int64_t)number;
        break;
    case SETTING_BOOL:
        *(bool *)field = setting_bool(value);
        break;
    case SETTING_WORD:
        *(unsigned *)field = (unsigned)word_index(row->words, value);
        break;
    case SETTING_TEXT:
        if (value.n)
            memcpy(field, value.p, value.n);
        field[value.n] = '\0';
        break;
    case SETTING_POLICY:
    case SETTING_FILTERS:
    case SETTING_PROTOCOLS:
    case SETTING_FLAG:
    case SETTING_ORIGINS:
    case SETTING_WEBHOOK:
    case SETTING_WEBHOOKS:
    case SETTING_HOOK:
    case SETTING_HOOKS:
    case SETTING_LATER:
        break; /* not scalars */
    }
}

const char *setting_format(const struct setting *row, const struct settings *settings, char *buf,
                           size_t size)
{
    const char *field = (const char *)settings + row->offset;
    uint32_t count;
    int64_t ms;

    switch (row->type) {
    case SETTING_COUNT:
        count = *(const uint32_t *)field;
        return format_number(row->type, count == UINT32_MAX ? UINT64_MAX : count, buf, size);
    case SETTING_SIZE:
        return format_number(row->type, *(const uint64_t *)field, buf, size);
    case SETTING_TIME:
        ms = *(const int64_t *)field;
        return format_number(row->type, ms == UNITS_NEVER ? UINT64_MAX : (uint64_t)ms, buf, size);
    case SETTING_BOOL:
        (void)snprintf(buf, size, "%s", *(const bool *)field ? "true" : "false");
        return buf;
    case SETTING_TEXT:
        if (row->wrong == wrong_url)
            return redis_url_hide(slice_str(field), buf, size);
        (void)snprintf(buf, size, "%s", field);
        return buf;
    default: /* SETTING_WORD: the only scalar left */
        (void)snprintf(buf, size, "%s", row->words[*(const unsigned *)field]);
        return buf;
    }
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;

    return ab < c ? ab : c;
}

enum { WORD_MAX = 32 }; /* longer ones are no key's neighbour */

/* Insertions, deletions, replacements and swaps of neighbours that make `b` of `a`. */
static unsigned distance(const char *a, const char *b)
{
    unsigned d[WORD_MAX + 1][WORD_MAX + 1];
    size_t n = strlen(a), m = strlen(b);

    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    for (size_t i = 0; i <= n; i++)
        d[i][0] = (unsigned)i;
    for (size_t k = 0; k <= m; k++)
        d[0][k] = (unsigned)k;
    for (size_t i = 1; i <= n; i++) {
        for (size_t k = 1; k <= m; k++) {
            d[i][k] =
                min3(d[i - 1][k] + 1, d[i][k - 1] + 1, d[i - 1][k - 1] + (a[i - 1] != b[k - 1]));
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
                d[i][k] = min3(d[i][k], d[i - 2][k - 2] + 1, d[i][k]);
        }
    }
    return d[n][m];
}

static void nearer(const char *candidate, const char *word, const char **best, unsigned *limit)
{
    unsigned d = *candidate ? distance(candidate, word) : WORD_MAX;

    if (d < *limit) {
        *limit = d;
        *best = candidate;
    }
}

const char *setting_closest(const char *section, const char *word)
{
    unsigned limit = 2 + (unsigned)strlen(word) / 4; /* one mistake in three letters, about */
    const char *best = NULL;

    for (size_t i = 0; i < N_ROWS; i++) {
        if (rows[i].type != SETTING_LATER && strcmp(rows[i].section, section) == 0)
            nearer(rows[i].key, word, &best, &limit);
    }
    for (size_t i = 0; *section == '\0' && i < N_SECTIONS; i++)
        nearer(sections[i].name, word, &best, &limit);
    return best;
}
