/* link.h - commands to Redis and their answers: one Redis, a master that Sentinels name, or a
 *          Cluster, all alike.
 *
 * Why      Who keeps queues in Redis wants to say a command with its key and hear what became of
 *          it. Where the key lives, connections, time-outs, moved slots, new masters, passwords
 *          and TLS are known here and nowhere else.
 *
 *              link_send() --> lane of its slot --> node's connection ==> Redis
 *                 answer  <-- link_run() <----------------'
 *
 * Shape    A link is one worker's. Commands are gathered, and go out by link_flush(), pipelined;
 *          events of the loop only mark what is ready; link_run(), in the worker's turn, reads,
 *          connects, retries, and makes every callback but ready(). From within those link_send()
 *          may be called, and nothing else but what only asks.
 *
 *          Order: of one slot (link_slot(), so of one key) commands are executed in the order they
 *          were sent in, and answered in that order. Where Redis turns one away for a moment
 *          (MOVED, ASK, TRYAGAIN, CLUSTERDOWN, LOADING, READONLY, MASTERDOWN, NOREPLICAS, BUSY), it
 *          and all behind it wait and are sent again, in that order. One gap is left, for they are
 *          pipelined: those already on their way behind it are executed if Redis changes its mind
 *          between the two. What has no key (WAIT) is never turned away, so it may be answered
 *          before what it was sent behind.
 *
 *          Each command is answered once, with an outcome:
 *            LINK_REPLIED  Redis answered; perhaps with an error that another try does not change
 *            LINK_UNSENT   it was not executed: within options.patience no connection took it, or
 *                          Redis turned it away each time
 *            LINK_UNKNOWN  it was sent, and then the connection was lost, or Redis said nothing for
 *                          options.timeout: it was executed, or was not, or (by one that hung and
 *                          goes on) will be yet
 *
 *          Everything is bounded while Redis is slow or gone: commands and bytes by limits
 *          (-EAGAIN, then room()), waiting by patience, answers by reply.h.
 *
 *          WAIT speaks of one connection: it covers the writes answered *before* it with the same
 *          `via`. Sent with the slot of those writes, directly behind them, it has that `via` but
 *          for a connection lost or a slot moved in between.
 * Owner    A command's arguments are copied. A reply is borrowed for the callback.
 * Errors   0 or -errno.
 * Thread   The worker's. Names are looked up by a thread of its own (resolve.h). */
#ifndef BROKERD_STORE_REDIS_LINK_H
#define BROKERD_STORE_REDIS_LINK_H

#include "brokerd/store/redis/url.h"
#include "libbroker/base/slice.h"

struct event_base;
struct link;
struct redisReply; /* of hiredis: <hiredis/hiredis.h> */

enum {
    LINK_SLOTS = 16384,
    LINK_ARGS_MAX = 1024 * 1024, /* arguments of one command; Redis takes no more */
    LINK_TEXT_MAX = 256,
};

enum link_outcome { LINK_REPLIED, LINK_UNSENT, LINK_UNKNOWN };

struct link_answer {
    enum link_outcome outcome;
    const struct redisReply *reply; /* LINK_REPLIED; else NULL */
    const char *text; /* else why, for people: "127.0.0.1:6379: connection refused"; no secrets */
    uint64_t via;     /* the connection it was answered by: never the same number for another */
};

typedef void link_answer_fn(void *ctx, const struct link_answer *a);

struct link_counts {
    uint64_t sent;      /* commands accepted */
    uint64_t connects;  /* connections ready for commands, the first ones included */
    uint64_t failures;  /* attempts to connect that failed, and connections lost */
    uint64_t timeouts;  /* of those, because Redis said nothing */
    uint64_t moved;     /* commands that were told so */
    uint64_t asked;     /* ASK */
    uint64_t retried;   /* turned away for a moment, for another reason */
    uint64_t unsent;    /* commands answered so */
    uint64_t unknown;   /* commands answered so */
    uint64_t refreshes; /* the map of slots, or the master's address, asked for */
    uint64_t malformed; /* connections given up because what came was not a reply */
    uint64_t refused;   /* link_send() -EAGAIN */
    uint64_t in_flight; /* now: commands not answered yet */
    uint64_t bytes;     /* now: bytes of those */
    unsigned nodes;     /* now: masters known */
    unsigned ready;     /* now: connections to them that are ready */
};

struct link_options {
    struct event_base *base;
    const struct redis_url *url;        /* copied */
    const char *name;                   /* CLIENT SETNAME; printable, without blanks; NULL: none */
    const char *ca, *certificate, *key; /* files, for TLS; NULL: the system's CAs, no certificate */
    int64_t timeout_ms;                 /* without any answer, and to connect; 0: 2 s */
    int64_t patience_ms; /* a command waits so long to be sent, and for retries; 0: 10 s */
    int64_t backoff_min_ms, backoff_max_ms; /* between attempts; 0: 20 ms, 1 s */
    uint64_t commands_max, bytes_max; /* not answered; 0: 65,536 and 64 MiB. One slot may have a
                                       * quarter of each. A command is always taken if there is
                                       * none */
    uint64_t seed;                    /* for jitter */

    /* Sent first on each connection to a master, before any other command: libraries of functions,
     * say. `prepared` judges the reply of the i-th: NULL, or why the connection is of no use
     * (static; it is closed and tried again). */
    const struct link_command *prepare;
    unsigned prepare_n;
    const char *(*prepared)(void *ctx, unsigned i, const struct redisReply *reply);

    /* Channels to listen to, on a connection of its own. */
    const struct slice *channels;
    unsigned channels_n;
    void (*message)(void *ctx, struct slice channel, struct slice text);
    /* Messages come from now on; or no more for a while: what is said meanwhile is lost. */
    void (*listening)(void *ctx, bool on);

    /* Something is to be done by link_run(); from the loop. */
    void (*ready)(void *ctx);
    /* Some master takes commands; or none does any more, and `text` says why. May be NULL. */
    void (*state)(void *ctx, bool up, const char *text);
    /* link_send() may be tried again after -EAGAIN. May be NULL. */
    void (*room)(void *ctx);
    void *ctx;
};

/* A command: its arguments, the name being the first, and where it goes. */
struct link_command {
    const struct slice *args;
    unsigned n;
    uint16_t slot;
};

/* A link, which begins to connect with the first link_run(). All that `o` points to is copied but
 * for `base` and `ctx`. -ENOMEM; -EINVAL and why in `err`: a certificate that cannot be read. */
int link_new(const struct link_options *o, struct link **ret, char *err, size_t err_size);

/* Closes all; nobody is told or answered. NULL is fine. Not from within a callback. */
void link_free(struct link *l);

/* The slot of a key: CRC16 of the key, or of what is between its first { and the } behind that. */
uint16_t link_slot(struct slice key);

/* Send it, whether anybody is connected or not. Answered later, by link_run(), by done(ctx, ..).
 * -EAGAIN: too much is on its way; room() will be called. -ENOMEM; -EINVAL: no argument or too
 * many, or a slot there is not. */
int link_send(struct link *l, const struct link_command *cmd, link_answer_fn *done, void *ctx);

/* What was sent goes out. At the end of a turn. */
void link_flush(struct link *l);

/* Do what is ready or due. */
void link_run(struct link *l, int64_t now_ms);

/* When link_run() wants to be called at the latest; INT64_MAX: when something is ready. */
int64_t link_due(const struct link *l);

/* Does some master take commands? */
bool link_is_up(const struct link *l);

/* Why it does not, or what went wrong last; "" if nothing has. */
const char *link_text(const struct link *l);

struct link_counts link_counts(const struct link *l);

#endif
