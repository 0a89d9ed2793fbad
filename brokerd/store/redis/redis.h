/* redis.h - durable queues in Redis, shared by all nodes that use it: the shared make of store
 *           (core/store.h).
 *
 * Why      A queue may be too large for one machine, or is to outlive it: then Redis keeps it, and
 *          any number of brokers serve it.
 * Shape        core --put, settle, fetch--> redis_store --FCALL, pipelined--> link.h ==> Redis
 *              core <--core_stored()------- redis_store <----- answers, news ----'
 *          What a queue is in Redis, and every step that changes it, is functions.lua; here is what
 *          gathers, asks, waits and tries again. Each worker has a store of its own, and is a node
 *          of its own to Redis: a consumer of the queues' groups, which others take over from when
 *          it has not been seen for REDIS_DEAD_MS.
 *          A put whose outcome is unknown is said again: the function knows by its labels what it
 *          took before. After options.patience it is refused (`store`); it may be there then.
 *          All is bounded while Redis is gone: puts by STORE_UNSTORED_*, settlements by what is in
 *          consumers' hands, commands by link.h.
 * Owner    redis_store_new() to redis_store_free(); before the event base, after the core's last
 *          call.
 * Errors   0 or -errno, and a text for people.
 * Thread   The worker's, but for facts. */
#ifndef BROKERD_STORE_REDIS_REDIS_H
#define BROKERD_STORE_REDIS_REDIS_H

#include "brokerd/core/store.h"
#include "brokerd/store/redis/link.h"
#include "brokerd/store/redis/url.h"

struct event_base;
struct redis_store;
struct worker;

enum {
    REDIS_PREFIX_MAX = 64, /* bytes of a prefix */
    REDIS_NODE_MAX = 64,   /* bytes of a node's name as the settings give it */
    REDIS_DEAD_MS = 10000, /* a node not seen for so long has died */
    REDIS_ERROR_MAX = 256,
};

enum redis_event {
    REDIS_DOWN,    /* no master takes commands */
    REDIS_BACK,    /* one does again */
    REDIS_TROUBLE, /* Redis refuses what it should do: out of memory, no permission .. */
    REDIS_LOST,    /* it has lost a queue, or may lose some: always told */
    REDIS_CLAIMED, /* messages of a dead node were taken over */
};

struct redis_store_options {
    unsigned worker; /* number 0 tells of queues that there are */
    struct event_base *base;
    struct core *core;
    void (*answer)(struct core *c, const struct stored *a); /* core_stored */
    const struct redis_url *url;
    const char *ca, *certificate, *key; /* as link.h */
    int64_t timeout_ms;                 /* as link.h; also what WAIT waits for replicas */
    int64_t patience_ms;                /* without a word of Redis; 0: 5 s */
    int64_t dead_ms;                    /* REDIS_DEAD_MS unless it is 0; the same for all nodes */
    const char *prefix;                 /* of all keys and channels; NULL: "brokerd" */
    const char *node;                   /* name of this broker; NULL: "node" */
    uint64_t seed;                      /* random: tells this life of the node from others */
    /* Something to be logged, at most a few each second; `text` is borrowed. May be NULL. */
    void (*event)(void *ctx, enum redis_event what, const char *text);
    void *ctx;
};

struct redis_facts {
    struct link_counts link;
    uint64_t put, refused;     /* messages kept; refused for whatever reason */
    uint64_t fetched, settled; /* messages */
    uint64_t returned;         /* given back */
    uint64_t expired, dropped; /* lost so, here */
    uint64_t claimed;          /* messages taken over from dead nodes, by this one */
    uint64_t repeated;         /* puts said again, for their outcome was unknown */
    uint64_t calls;            /* of functions */
    uint64_t held;             /* now: messages in this node's hands */
    uint64_t unstored;         /* now: messages put and not answered */
    unsigned queues;           /* now: open */
    bool up;
    char evicts[32];          /* its maxmemory-policy, if that may drop queues; "" */
    char text[LINK_TEXT_MAX]; /* why not, or what went wrong last */
};

/* -ENOMEM, -EINVAL: and why in `err`. */
int redis_store_new(const struct redis_store_options *o, struct redis_store **ret, char *err,
                    size_t err_size);

/* The table for the core and the worker. */
struct store *redis_store_table(struct redis_store *r);

/* Have it run in the turns of `w`. -ENOSPC. */
int redis_store_join(struct redis_store *r, struct worker *w);

/* Without a worker: do what is ready or due; when it wants to be called again at the latest. */
void redis_store_run(struct redis_store *r, int64_t now_ms, int64_t wall_ms);
int64_t redis_store_due(const struct redis_store *r);

/* The broker stops: give back what is held, say good-bye. Puts are refused from now on. */
void redis_store_stop(struct redis_store *r);
/* All that was said by redis_store_stop() is done; or Redis is not there to hear it. */
bool redis_store_stopped(const struct redis_store *r);

struct redis_facts redis_store_facts(const struct redis_store *r);

/* Nobody is answered. NULL is fine. */
void redis_store_free(struct redis_store *r);

#endif
