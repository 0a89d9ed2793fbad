#include "libbroker/base/policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libbroker/base/units.h"

struct queue_policy policy_default(enum policy_kind kind)
{
    return (struct queue_policy){
        .max_messages = 131072,
        .max_bytes = 64ULL << 20,
        .message_ttl_ms = POLICY_NEVER,
        .block_timeout_ms = 10000,
        .ack_timeout_ms = 30000,
        .expires_ms = POLICY_NEVER,
        .max_deliveries = 20,
        .max_inflight = 10000,
        /* Every subscriber remembers for itself, and there may be many of them. */
        .dedup_max = kind == POLICY_SUBSCRIPTION ? 10000 : 100000,
        .dedup_window_ms = 600000,
        .overflow = kind == POLICY_SUBSCRIPTION ? OVERFLOW_DROP_OLDEST : OVERFLOW_REJECT,
        .block_fallback = OVERFLOW_REJECT,
        .durable = DURABLE_MEMORY,
    };
}

static const char *const overflow_names[] = {
    [OVERFLOW_BLOCK] = "block",
    [OVERFLOW_DROP_OLDEST] = "drop-oldest",
    [OVERFLOW_DROP_NEWEST] = "drop-newest",
    [OVERFLOW_REJECT] = "reject",
    [OVERFLOW_DISCONNECT] = "disconnect",
};
static const char *const durable_names[] = {
    [DURABLE_MEMORY] = "memory",
    [DURABLE_JOURNAL] = "journal",
    [DURABLE_REDIS] = "redis",
};

bool policy_equal(const struct queue_policy *a, const struct queue_policy *b)
{
    return a->max_messages == b->max_messages && a->max_bytes == b->max_bytes &&
           a->message_ttl_ms == b->message_ttl_ms && a->block_timeout_ms == b->block_timeout_ms &&
           a->ack_timeout_ms == b->ack_timeout_ms && a->expires_ms == b->expires_ms &&
           a->max_deliveries == b->max_deliveries && a->max_inflight == b->max_inflight &&
           a->dedup_max == b->dedup_max && a->dedup_window_ms == b->dedup_window_ms &&
           a->overflow == b->overflow && a->block_fallback == b->block_fallback &&
           a->durable == b->durable && a->replicas == b->replicas && a->retain_ms == b->retain_ms &&
           strcmp(a->dead_letter, b->dead_letter) == 0 &&
           a->dead_letter_queue == b->dead_letter_queue;
}

const char *overflow_name(enum overflow overflow)
{
    return overflow_names[overflow];
}

const char *durable_name(enum durable durable)
{
    return durable_names[durable];
}

/* One key: how its text becomes a field and back, and which kinds have it. */
enum key_type {
    KEY_COUNT,
    KEY_COUNT32,
    KEY_SIZE,
    KEY_TIME,
    KEY_TIME0, /* 0 is one */
    KEY_OVERFLOW,
    KEY_DURABLE,
    KEY_LETTER,
};

enum { IN_QUEUE = 1 << POLICY_QUEUE, IN_SUBSCRIPTION = 1 << POLICY_SUBSCRIPTION };
enum { IN_BOTH = IN_QUEUE | IN_SUBSCRIPTION };

struct key {
    const char *name;
    enum key_type type;
    unsigned kinds;   /* IN_ */
    unsigned choices; /* KEY_OVERFLOW: 1 << each enum overflow that may be said */
    size_t offset;    /* of the field in struct queue_policy */
};

enum { DROPS = 1 << OVERFLOW_DROP_OLDEST | 1 << OVERFLOW_DROP_NEWEST | 1 << OVERFLOW_REJECT };

#define FIELD(name) offsetof(struct queue_policy, name)

static const struct key keys[] = {
    {"durable", KEY_DURABLE, IN_QUEUE, 0, FIELD(durable)},
    {"max-messages", KEY_COUNT, IN_BOTH, 0, FIELD(max_messages)},
    {"max-bytes", KEY_SIZE, IN_BOTH, 0, FIELD(max_bytes)},
    {"message-ttl", KEY_TIME, IN_BOTH, 0, FIELD(message_ttl_ms)},
    {"overflow", KEY_OVERFLOW, IN_QUEUE, DROPS | 1 << OVERFLOW_BLOCK, FIELD(overflow)},
    {"overflow", KEY_OVERFLOW, IN_SUBSCRIPTION,
     DROPS | 1 << OVERFLOW_BLOCK | 1 << OVERFLOW_DISCONNECT, FIELD(overflow)},
    {"block-timeout", KEY_TIME, IN_BOTH, 0, FIELD(block_timeout_ms)},
    {"block-fallback", KEY_OVERFLOW, IN_BOTH, DROPS, FIELD(block_fallback)},
    {"ack-timeout", KEY_TIME, IN_QUEUE, 0, FIELD(ack_timeout_ms)},
    {"max-deliveries", KEY_COUNT32, IN_QUEUE, 0, FIELD(max_deliveries)},
    {"max-inflight", KEY_COUNT32, IN_QUEUE, 0, FIELD(max_inflight)},
    {"dead-letter", KEY_LETTER, IN_QUEUE, 0, FIELD(dead_letter)},
    {"expires", KEY_TIME, IN_QUEUE, 0, FIELD(expires_ms)},
    {"dedup-window", KEY_TIME, IN_BOTH, 0, FIELD(dedup_window_ms)},
    {"dedup-max", KEY_COUNT32, IN_BOTH, 0, FIELD(dedup_max)},
    {"retain", KEY_TIME0, IN_QUEUE, 0, FIELD(retain_ms)},
};

#undef FIELD

static const struct key *find_key(enum policy_kind kind, struct slice name)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (keys[i].kinds & 1u << kind && slice_eq(slice_str(keys[i].name), name))
            return &keys[i];
    }
    return NULL;
}

const char *policy_key_name(enum policy_kind kind, size_t i)
{
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        if (keys[k].kinds & 1u << kind && i-- == 0)
            return keys[k].name;
    }
    return NULL;
}

bool policy_has_key(enum policy_kind kind, struct slice key)
{
    return find_key(kind, key) != NULL;
}

/* The text of an error about a value: "KEY: expected WHAT, found "VALUE"", cut to fit. */
static int say_expected(const struct key *key, const char *what, struct slice value, char *err,
                        size_t err_size)
{
    int shown = value.n > 80 ? 80 : (int)value.n;

    (void)snprintf(err, err_size, "%s: expected %s, found \"%.*s\"", key->name, what, shown,
                   value.n ? (const char *)value.p : "");
    return -EINVAL;
}

/* The words of `choices` into `buf`: "block, drop-oldest or reject". */
static void list_choices(unsigned choices, char *buf, size_t size)
{
    size_t at = 0;

    for (unsigned i = 0; choices >> i; i++) {
        const char *join = at == 0 ? "" : choices >> (i + 1) ? ", " : " or ";

        if (!(choices & 1u << i))
            continue;
        at += (size_t)snprintf(buf + at, size - at, "%s%s", join, overflow_names[i]);
    }
}

static int set_overflow(const struct key *key, struct slice value, enum overflow *ret, char *err,
                        size_t err_size)
{
    char words[80];

    for (unsigned i = 0; i < sizeof overflow_names / sizeof *overflow_names; i++) {
        if (key->choices & 1u << i && slice_eq(value, slice_str(overflow_names[i]))) {
            *ret = (enum overflow)i;
            return 0;
        }
    }
    list_choices(key->choices, words, sizeof words);
    return say_expected(key, words, value, err, err_size);
}

#define REPLICAS_PREFIX SLICE("redis+")

/* "memory | journal | redis | redis+N" */
static int set_durable(const struct key *key, struct queue_policy *policy, struct slice value,
                       char *err, size_t err_size)
{
    if (slice_starts(value, REPLICAS_PREFIX) && value.n == REPLICAS_PREFIX.n + 1 &&
        value.p[value.n - 1] >= '1' && value.p[value.n - 1] <= '0' + POLICY_REPLICAS_MAX) {
        policy->durable = DURABLE_REDIS;
        policy->replicas = value.p[value.n - 1] - (uint32_t)'0';
        return 0;
    }
    for (unsigned i = 0; i < sizeof durable_names / sizeof *durable_names; i++) {
        if (slice_eq(value, slice_str(durable_names[i]))) {
            policy->durable = (enum durable)i;
            policy->replicas = 0;
            return 0;
        }
    }
    return say_expected(key, "memory, journal, redis or redis+N (N replicas, 1 to 9)", value, err,
                        err_size);
}

/* "TOPIC", "queue:NAME" or "". */
#define QUEUE_PREFIX SLICE("queue:")

static int set_letter(const struct key *key, struct queue_policy *policy, struct slice value,
                      char *err, size_t err_size)
{
    bool is_queue = slice_starts(value, QUEUE_PREFIX);
    struct slice name = is_queue ? slice_from(value, QUEUE_PREFIX.n) : value;
    const char *why = is_queue  ? name_queue_error(name, NAME_OF_CLIENT)
                      : value.n ? name_topic_error(value, NAME_OF_CLIENT)
                                : NULL;

    if (why) {
        (void)snprintf(err, err_size, "%s: %s", key->name, why);
        return -EINVAL;
    }
    if (name.n)
        memcpy(policy->dead_letter, name.p, name.n);
    policy->dead_letter[name.n] = '\0';
    policy->dead_letter_queue = is_queue;
    return 0;
}

static int set_number(const struct key *key, void *field, struct slice value, char *err,
                      size_t err_size)
{
    const unsigned flags = UNITS_NO_LIMIT;
    uint64_t count = 0;
    const char *what = "a number of 1 or more, or unlimited";
    int r;

    switch (key->type) {
    case KEY_SIZE:
        what = "a size of 1 byte or more (64MiB), or unlimited";
        r = units_parse_size(value, flags, field);
        break;
    case KEY_TIME:
        what = "a time longer than 0 with its unit (500ms, 30s, 5m, 1h, 2d), or never";
        r = units_parse_time(value, flags, field);
        break;
    case KEY_TIME0:
        what = "a time with its unit (0s, 30s, 5m, 1h, 2d), or never";
        r = units_parse_time(value, flags | UNITS_ZERO, field);
        break;
    case KEY_COUNT32:
        r = units_parse_count(value, flags, &count);
        if (r == 0 && count != UNITS_UNLIMITED && count >= POLICY_UNLIMITED32)
            r = -ERANGE;
        if (r == 0)
            *(uint32_t *)field = count == UNITS_UNLIMITED ? POLICY_UNLIMITED32 : (uint32_t)count;
        break;
    default: /* KEY_COUNT: the other types have functions of their own */
        r = units_parse_count(value, flags, field);
        break;
    }
    if (r == -ERANGE)
        what = "a smaller number, or unlimited";
    return r < 0 ? say_expected(key, what, value, err, err_size) : 0;
}

int policy_set_key(struct queue_policy *policy, enum policy_kind kind, struct slice key,
                   struct slice value, char *err, size_t err_size)
{
    const struct key *k = find_key(kind, key);
    void *field;

    if (!k) {
        (void)snprintf(err, err_size, "%.*s: not a setting of a %s", key.n > 80 ? 80 : (int)key.n,
                       key.n ? (const char *)key.p : "",
                       kind == POLICY_QUEUE ? "queue" : "subscription");
        return -ENOENT;
    }
    field = (char *)policy + k->offset;
    switch (k->type) {
    case KEY_OVERFLOW:
        return set_overflow(k, value, field, err, err_size);
    case KEY_DURABLE:
        return set_durable(k, policy, value, err, err_size);
    case KEY_LETTER:
        return set_letter(k, policy, value, err, err_size);
    case KEY_COUNT:
    case KEY_COUNT32:
    case KEY_SIZE:
    case KEY_TIME:
    case KEY_TIME0:
        break;
    }
    return set_number(k, field, value, err, err_size);
}

int policy_get_key(const struct queue_policy *policy, enum policy_kind kind, struct slice key,
                   char *buf, size_t size)
{
    const struct key *k = find_key(kind, key);
    const void *field;
    char number[UNITS_TEXT_MAX];
    const char *text = number, *before = "";
    uint32_t count;

    if (!k)
        return -ENOENT;
    field = (const char *)policy + k->offset;
    switch (k->type) {
    case KEY_COUNT:
        (void)units_format_count(*(const uint64_t *)field, number, sizeof number);
        break;
    case KEY_COUNT32:
        count = *(const uint32_t *)field;
        (void)units_format_count(count == POLICY_UNLIMITED32 ? UNITS_UNLIMITED : count, number,
                                 sizeof number);
        break;
    case KEY_SIZE:
        (void)units_format_size(*(const uint64_t *)field, number, sizeof number);
        break;
    case KEY_TIME:
    case KEY_TIME0:
        (void)units_format_time(*(const int64_t *)field, number, sizeof number);
        break;
    case KEY_OVERFLOW:
        text = overflow_name(*(const enum overflow *)field);
        break;
    case KEY_DURABLE:
        text = durable_name(policy->durable);
        if (policy->replicas) {
            (void)snprintf(number, sizeof number, "redis+%u", (unsigned)policy->replicas);
            text = number;
        }
        break;
    case KEY_LETTER:
        text = policy->dead_letter;
        before = policy->dead_letter_queue ? "queue:" : "";
        break;
    }
    return (size_t)snprintf(buf, size, "%s%s", before, text) < size ? 0 : -ENOSPC;
}

static void at_most(uint64_t *value, uint64_t limit)
{
    if (*value > limit)
        *value = limit;
}

static void at_most_time(int64_t *value, int64_t limit)
{
    if (*value > limit)
        *value = limit;
}

static void at_most32(uint32_t *value, uint32_t limit)
{
    if (*value > limit)
        *value = limit;
}

void policy_clamp(struct queue_policy *own, const struct queue_policy *configured)
{
    at_most(&own->max_messages, configured->max_messages);
    at_most(&own->max_bytes, configured->max_bytes);
    at_most_time(&own->message_ttl_ms, configured->message_ttl_ms);
    at_most_time(&own->block_timeout_ms, configured->block_timeout_ms);
    at_most_time(&own->ack_timeout_ms, configured->ack_timeout_ms);
    at_most_time(&own->expires_ms, configured->expires_ms);
    at_most32(&own->max_deliveries, configured->max_deliveries);
    at_most32(&own->max_inflight, configured->max_inflight);
    at_most32(&own->dedup_max, configured->dedup_max);
    at_most_time(&own->dedup_window_ms, configured->dedup_window_ms);
    at_most_time(&own->retain_ms, configured->retain_ms);
    own->durable = configured->durable;
    own->replicas = configured->replicas;
}
