/* rconn.h - one connection to one Redis: commands out, in order; their replies in, in that order.
 *
 * Shape    Looks up the name, connects (each address in turn), TLS if there is to be any; then
 *          `open` is told, and commands are written and matched with the replies that come. It
 *          ends once, for a reason: the owner hears `closed` and takes what was not answered out
 *          of the two lists. Events of the loop only mark it; rconn_run() does the work and makes
 *          all callbacks but `mark`.
 *
 *          It is taken for dead if nothing comes for `timeout_ms` while something is expected; an
 *          idle one is asked (PING) now and then.
 * Owner    Commands in the lists are the connection's until they are taken out; those that remain
 *          are freed with it.
 * Errors   A number, -errno, and a text for people.
 * Thread   The worker's. */
#ifndef BROKERD_STORE_REDIS_RCONN_H
#define BROKERD_STORE_REDIS_RCONN_H

#include "brokerd/store/redis/command.h"
#include "libbroker/base/list.h"

struct rconn;
struct event_base;
struct tls;

enum {
    CONN_SCRATCH = 64 * 1024,   /* bytes of rconn_options.scratch */
    CONN_READ_MAX = 512 * 1024, /* bytes read in one rconn_run() */
};

struct rconn_ops {
    /* It is marked: rconn_run() is to be called soon. From the loop. */
    void (*mark)(void *ctx);
    /* It is open: commands may be sent. */
    void (*open)(void *ctx);
    /* A reply. `cmd` is the caller's now; NULL: it answers nothing, and if that is not well (0 is
     * returned) the connection ends. `reply` is borrowed. */
    bool (*replied)(void *ctx, struct command *cmd, const struct redisReply *reply);
    /* Is that reply no answer to the next command, but something said unasked? */
    bool (*is_unasked)(void *ctx, const struct redisReply *reply);
    /* It is over. Only rconn_take() and rconn_free() may be called. */
    void (*closed)(void *ctx, int error, const char *text);
};

struct rconn_options {
    struct event_base *base;
    const char *host; /* or a path; kept by the caller */
    uint16_t port;
    struct tls *tls; /* NULL: none */
    int64_t timeout_ms;
    uint8_t *scratch; /* for the time of a call */
    const struct rconn_ops *ops;
    void *ctx;
};

/* It begins at once. NULL: no memory. */
struct rconn *rconn_new(const struct rconn_options *o, int64_t now_ms);

/* NULL is fine. Not from within its callbacks, but for closed(). */
void rconn_free(struct rconn *c);

/* Append a command: only while it is open. It goes out by rconn_flush(). */
void rconn_send(struct rconn *c, struct command *cmd, int64_t now_ms);
void rconn_flush(struct rconn *c, int64_t now_ms);

/* End it, with the next rconn_run(), for that reason; a second one does not count. */
void rconn_fail(struct rconn *c, int error, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Do what is ready or due. It may be over then. */
void rconn_run(struct rconn *c, int64_t now_ms);

/* When rconn_run() wants to be called at the latest. */
int64_t rconn_due(const struct rconn *c);

/* Nothing is sent or to be sent? */
bool rconn_is_idle(const struct rconn *c);

/* Take out the next that was not answered, in order: first those that were sent (*ret_sent), which
 * may have been executed, then the others. NULL: none is left. */
struct command *rconn_take(struct rconn *c, bool *ret_sent);

#endif
