/* rpeer.h - somebody to be connected to: a connection that is made again when it is lost.
 *
 * Why      Masters, Sentinels and the connection that listens have the same life: wait, connect,
 *          log in, be of use, be lost; and only what they are used for differs.
 * Shape    DOWN -> (due) OPENING -> GREETING -> READY -> DOWN ..; the waits grow from backoff_min
 *          to backoff_max, with jitter, until it has been ready for STEADY_MS. Greeting is AUTH,
 *          SELECT, CLIENT SETNAME and what the role needs besides, all pipelined; one that fails
 *          ends the connection. rpeer_run() does the work.
 * Owner    The link's list of peers, from rpeer_new() to rpeer_free().
 * Thread   The worker's. */
#ifndef BROKERD_STORE_REDIS_RPEER_H
#define BROKERD_STORE_REDIS_RPEER_H

#include "brokerd/store/redis/rconn.h"

enum rpeer_role {
    PEER_MASTER,   /* takes commands */
    PEER_LISTENER, /* subscribed to the link's channels */
    PEER_TELLER,   /* says who is master: a Sentinel, or some node of a cluster */
};

enum rpeer_state { PEER_DOWN, PEER_OPENING, PEER_GREETING, PEER_READY };

struct rpeer {
    struct list_node node; /* link->peers */
    struct link *link;
    struct redis_host at;
    enum rpeer_role role;
    enum rpeer_state state;
    struct rconn *conn; /* unless DOWN */
    uint64_t via;       /* number of its connection */
    unsigned greetings; /* not answered yet */
    unsigned tries;     /* in a row that came to nothing */
    int64_t due_ms;     /* DOWN: to be connected to then; INT64_MAX: not */
    int64_t ready_ms;   /* READY since */
    bool is_wanted;     /* cluster: the map has it */
    bool is_tired;      /* gets no commands any more: closed when none is on its way */
    bool is_parked;
    int64_t keep_ms;          /* cluster: wanted until then, whatever the map says */
    bool is_asked;            /* who is master was asked, and not answered yet */
    struct redis_host said;   /* Sentinel: the master's address; name "": nothing yet */
    uint64_t epoch;           /* Sentinel: of its election */
    char text[LINK_TEXT_MAX]; /* what went wrong last */
};

/* It connects with the next rpeer_run(). NULL: no memory. */
struct rpeer *rpeer_new(struct link *l, enum rpeer_role role, const struct redis_host *at);

/* Closes it at once, answering nobody: whoever has commands there takes them first. */
void rpeer_free(struct rpeer *p);

/* Do what is ready or due. */
void rpeer_run(struct rpeer *p);

/* When rpeer_run() wants to be called at the latest. */
int64_t rpeer_due(const struct rpeer *p);

static inline bool rpeer_is_ready(const struct rpeer *p)
{
    return p->state == PEER_READY;
}

/* Nothing is on its way by it? */
bool rpeer_is_idle(const struct rpeer *p);

/* Append a command, which is then the peer's: only while it is READY or GREETING. */
void rpeer_send(struct rpeer *p, struct command *cmd);

/* Send words. -ENOMEM: not. */
int rpeer_say(struct rpeer *p, enum command_kind kind, const char *const *words, unsigned n);

/* What was sent goes out. */
void rpeer_flush(struct rpeer *p);

/* Give up its connection, for that reason. */
void rpeer_drop(struct rpeer *p, const char *why);

/* It is of no use for now: closed, and connected to only after rpeer_hurry(). */
void rpeer_park(struct rpeer *p);

/* DOWN: connect at once. */
void rpeer_hurry(struct rpeer *p);

#endif
