/* policy.h - how a queue behaves: limits, overflow, time-outs; and the rules that say which
 * queue gets which.
 *
 * Why      The settings file writes these, clients ask for them in `$key` headers, the core obeys
 *          them: one struct, one parser, one set of defaults for all three.
 * Shape    struct queue_policy is a plain value, copied at will. A struct policy_set is a snapshot:
 *          the rules of one settings file in order, and what else of it the core needs. It is
 *          filled once, then shared and never changed; a reload makes a new one.
 * Owner    Sets are counted references; the rules found in one are borrowed and live as long.
 * Errors   0 or -errno; texts for a person go into a buffer of the caller's.
 * Thread   Values: any. A set: add rules before it is shared; then any thread may look, ref and
 *          unref (the count is atomic, so that a snapshot can pass between workers). */
#ifndef BROKER_BASE_POLICY_H
#define BROKER_BASE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbroker/base/name.h"
#include "libbroker/base/slice.h"

/* What gives way when a queue is full. */
enum overflow {
    OVERFLOW_BLOCK,       /* hold the publisher, up to block_timeout_ms */
    OVERFLOW_DROP_OLDEST, /* the oldest waiting message goes */
    OVERFLOW_DROP_NEWEST, /* the new message is discarded */
    OVERFLOW_REJECT,      /* the new message is refused */
    OVERFLOW_DISCONNECT,  /* the stream is ended; subscriptions only */
};

/* What keeps a queue's messages. */
enum durable { DURABLE_MEMORY, DURABLE_JOURNAL, DURABLE_REDIS };

/* Which section of the settings a policy is of: named queues, or subscriptions (anonymous ones). */
enum policy_kind { POLICY_QUEUE, POLICY_SUBSCRIPTION };

/* No limit, in the fields below. */
#define POLICY_UNLIMITED UINT64_MAX
#define POLICY_UNLIMITED32 UINT32_MAX
#define POLICY_NEVER INT64_MAX

struct queue_policy {
    uint64_t max_messages;        /* that may wait, at least 1; or POLICY_UNLIMITED */
    uint64_t max_bytes;           /* of them, at least 1; or POLICY_UNLIMITED */
    int64_t message_ttl_ms;       /* or POLICY_NEVER */
    int64_t block_timeout_ms;     /* longest hold; or POLICY_NEVER */
    int64_t ack_timeout_ms;       /* or POLICY_NEVER */
    int64_t expires_ms;           /* delete after so long without a consumer; or POLICY_NEVER */
    uint32_t max_deliveries;      /* then a message is dead; or POLICY_UNLIMITED32 */
    uint32_t max_inflight;        /* unacknowledged, of one consumer; or POLICY_UNLIMITED32 */
    uint32_t dedup_max;           /* ids remembered, at least 1; or POLICY_UNLIMITED32 */
    int64_t dedup_window_ms;      /* for so long; or POLICY_NEVER: they are never too old */
    int64_t retain_ms;            /* durable: what has settled can be had again for so long; 0: not
                                   * at all; or POLICY_NEVER: it stays */
    enum overflow overflow;       /* OVERFLOW_DISCONNECT only for subscriptions */
    enum overflow block_fallback; /* after a hold: reject, drop-oldest or drop-newest */
    enum durable durable;
    uint32_t replicas;                    /* with DURABLE_REDIS: redis+N; else 0 */
    char dead_letter[NAME_MAX_BYTES + 1]; /* a topic, terminated; "" for none */
    bool dead_letter_queue;               /* it is a queue */
};

enum {
    POLICY_REPLICAS_MAX = 9,               /* redis+9; one digit */
    POLICY_ERROR_MAX = 512,                /* enough for any error text below */
    POLICY_VALUE_MAX = NAME_MAX_BYTES + 16 /* and for any value, terminated */
};

/* The built-in policy: what a queue gets that no rule matches. Anonymous queues drop their
 * oldest, named ones reject; both at 131,072 messages or 64 MiB. */
struct queue_policy policy_default(enum policy_kind kind);

/* Do both say the same? */
bool policy_equal(const struct queue_policy *a, const struct queue_policy *b);

/* The word of the settings for a value ("drop-oldest", "journal"). Static text. */
const char *overflow_name(enum overflow overflow);
const char *durable_name(enum durable durable);

/* Set one field from its key in the settings (no `$`: "max-messages") and the text of its value
 * ("64MiB", "never", "drop-oldest"). `err` gets a text fit for a peer, which begins with the key.
 * -ENOENT  no such key for this kind.
 * -EINVAL  a value that is wrong for it.
 * On error `policy` is unchanged. */
int policy_set_key(struct queue_policy *policy, enum policy_kind kind, struct slice key,
                   struct slice value, char *err, size_t err_size);

/* Is there a key of that name, for that kind? For doors that must tell an option from a typo. */
bool policy_has_key(enum policy_kind kind, struct slice key);

/* Write the value of `key` as the settings write it into `buf` (POLICY_ERROR_MAX is enough);
 * a dead_letter of "" is written as "". -ENOENT no such key for this kind, -ENOSPC no room. */
int policy_get_key(const struct queue_policy *policy, enum policy_kind kind, struct slice key,
                   char *buf, size_t size);

/* The keys of a kind in the order of the manual; NULL past the last. For listings and texts. */
const char *policy_key_name(enum policy_kind kind, size_t i);

/* Bring what a client asked for within what the settings allow. Start from a copy of the
 * configured policy, set the client's keys on it, then clamp: each number (limits and times) is
 * at most the configured one; overflow, block-fallback, dead-letter and expires the client may
 * choose, except that a queue expires no later than configured; durability is as configured. */
void policy_clamp(struct queue_policy *own, const struct queue_policy *configured);

/* A section of the settings: what matches `filter` has `policy`. */
struct policy_rule {
    const char *filter; /* terminated */
    struct queue_policy policy;
    const char *const *binds; /* filters a queue is bound to; only in rules for queues */
    size_t n_binds;           /* 0: bound to the topic of its own name, if that is a topic */
};

/* What else of the settings the core needs. */
struct policy_globals {
    uint64_t max_message_bytes; /* largest message taken */
    bool create_queues;         /* may a client that names an unknown queue make it? */
    int64_t call_wait_ms;       /* a call waits so long if nobody serves it; 0: it fails at once */
    uint32_t max_calls;         /* of one connection: open, or waiting for a server */
};

struct policy_set;

/* The globals of a broker without settings: 64 MiB, true. */
struct policy_globals policy_globals_default(void);

/* A set without rules in *ret_set, one reference, the caller's. -ENOMEM. */
int policy_set_new(const struct policy_globals *globals, struct policy_set **ret_set);

/* Append a rule; everything is copied. `filter` and `binds` must be valid filters; `binds` only
 * with POLICY_QUEUE. Only before the set is shared. -EINVAL a bad filter, -ENOMEM. */
int policy_set_add(struct policy_set *set, enum policy_kind kind, struct slice filter,
                   const struct queue_policy *policy, const struct slice *binds, size_t n_binds);

/* One reference more; returns `set`. */
struct policy_set *policy_set_ref(struct policy_set *set);

/* One reference less; frees with the last. NULL is fine. Returns NULL. */
struct policy_set *policy_set_unref(struct policy_set *set);

const struct policy_globals *policy_set_globals(const struct policy_set *set);

/* The last rule whose filter matches the queue's name, else the built-in one; never NULL. */
const struct policy_rule *policy_set_find_queue(const struct policy_set *set, struct slice name);

/* The last rule whose filter covers the subscription's (a valid one): all it can match, the rule
 * matches too. Else the built-in rule; never NULL. */
const struct policy_rule *policy_set_find_subscription(const struct policy_set *set,
                                                       struct slice filter);

/* The i-th rule of a kind in the order of the file, NULL past the last. A queue's rule whose
 * filter is literal names a queue to be made at start. */
const struct policy_rule *policy_set_rule(const struct policy_set *set, enum policy_kind kind,
                                          size_t i);

#endif
