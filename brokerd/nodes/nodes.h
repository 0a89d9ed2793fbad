/* nodes.h - topics of several brokers: what is published on one reaches who subscribes on another.
 *
 * Why      Brokers that use one Redis share durable queues by their store. With this they share
 *          topics, too: subscriptions, and queues that are kept on one node alone.
 * Shape    Worker 0 has it all, but for what each worker tells of its queues' filters:
 *
 *            core --wanted--> interest --SADD--> PREFIX:{%node.ID}:w, read by all other nodes
 *            outlet, bound to what others want --pack--> XADD --> PREFIX:{%node.OTHER}:in
 *            core <--core_publish_foreign()-- unpack <--XREAD-- PREFIX:{%node.ID}:in
 *
 *          Each node says in the hash PREFIX:{%nodes}, each second, that it is alive. One that says
 *          so no more for NODES_DEAD_MS is gone: nothing is sent to it.
 *          A message arrives once or never, and those of one publisher in order. What is lost
 *          (Redis slow or gone, an inbox too long) is counted by who knows of it: the sender what
 *          it could not send, the receiver the numbers that it did not get. Who consumes on the
 *          receiver is told a gap; that of the last messages shows by an entry without messages,
 *          which says how far the numbers went.
 *          Publishers are never slowed down by it, and memory is bounded: by the outlet, a
 *          subscription that drops its oldest; by OUT_HIGH_WATER on its way; by NODES_INBOX and
 *          NODES_INBOX_BYTES in Redis.
 * Owner    nodes_new() to nodes_free(): after the cores, before the loops they live in.
 * Errors   0 or -errno.
 * Thread   As each function says; worker 0's where nothing is said. */
#ifndef BROKERD_NODES_NODES_H
#define BROKERD_NODES_NODES_H

#include "brokerd/store/redis/url.h"
#include "brokerd/worker/worker.h"
#include "libbroker/base/log.h"

struct nodes;

enum {
    NODES_MAX = 64,              /* other nodes */
    NODES_FILTERS_MAX = 16384,   /* that one asks for; who wants more asks for all topics */
    NODES_BEAT_MS = 1000,        /* each says so often that it is there */
    NODES_DEAD_MS = 5000,        /* one that has not done so for so long is not there */
    NODES_FORGET_MS = 15000,     /* and is forgotten, also by Redis */
    NODES_KNOW_MS = 2000,        /* what others want is waited for at the start */
    NODES_KEEP_MS = 30000,       /* as are its inbox and its filters */
    NODES_INBOX = 4096,          /* entries of an inbox, about, */
    NODES_INBOX_BYTES = 1 << 26, /* and of their bytes; the oldest give way */
    NODES_ENTRY_BYTES = 1 << 16, /* of one entry, unless its last message is larger */
    NODES_MESSAGE_MAX = 1 << 25, /* a larger one is not sent, as it could not be read */
    NODES_ID_MAX = 96,
    NODES_ERROR_MAX = 256,
};

struct nodes_options {
    const struct redis_url *url;
    const char *ca, *certificate, *key; /* as link.h */
    int64_t timeout_ms;
    const char *prefix; /* as that of the store */
    const char *node;   /* this one's name */
    uint64_t seed;      /* random */
    /* Something people should know: `kind` as in $SYS.KIND, static; `node` another's. */
    void (*event)(void *ctx, enum log_level level, const char *kind, const char *node,
                  const char *text);
    void *ctx;
};

/* Work on all of `ws`, whose workers must not run yet. -ENOMEM, -ENOSPC, -EINVAL and why in `err`.
 * Main's thread. */
int nodes_new(const struct nodes_options *o, struct workers *ws, struct nodes **ret, char *err,
              size_t err_size);

/* Does it know what others want, so that the first message that is published here reaches them? Or
 * has it waited for that long enough. */
bool nodes_know(struct nodes *n);

/* Say good-bye: what was published goes out, then others forget this node. */
void nodes_stop(struct nodes *n);
/* They have heard it, or cannot. */
bool nodes_stopped(const struct nodes *n);

struct nodes_facts {
    const char *id;
    unsigned nodes;     /* others, alive */
    uint64_t filters;   /* that this one asks for */
    uint64_t wanted;    /* that others ask for, each once */
    uint64_t forwarded; /* messages, each as often as nodes have it */
    uint64_t entries;   /* they travelled in */
    uint64_t lost;      /* messages that could not be sent, or perhaps not */
    uint64_t received;  /* messages */
    uint64_t missed;    /* numbers that did not come, or came when it was too late for them */
    uint64_t malformed; /* entries of no use */
    uint64_t waiting;   /* now, for Redis to take them */
    bool up;            /* Redis takes commands */
};

struct nodes_facts nodes_facts(const struct nodes *n);

/* Another node, as this one sees it. */
struct nodes_other {
    const char *id;
    uint64_t filters, forwarded, lost, received, missed;
    bool alive;
};

/* All of them. */
void nodes_each(const struct nodes *n, void (*fn)(void *ctx, const struct nodes_other *o),
                void *ctx);

/* NULL is fine. Main's thread. */
void nodes_free(struct nodes *n);

#endif
