/* internal.h - what the files of a link share: link.c (lanes, and what goes where), rpeer.c, and
 * the two that know who is master: cluster.c, sentinel.c.
 *
 * A lane is a slot's commands: those in flight by one connection, those it turned away (in order,
 * before all that is new), and those that wait. It sends while nothing keeps it from it:
 *
 *      link_send --> waiting --------------> in flight --> answered
 *                       ^  when none is in      |
 *                       '--flight: back <-------' turned away, or never sent
 *
 * Thread   The worker's. */
#ifndef BROKERD_STORE_REDIS_INTERNAL_H
#define BROKERD_STORE_REDIS_INTERNAL_H

#include "brokerd/store/redis/rpeer.h"
#include "brokerd/store/redis/slots.h"
#include "libbroker/base/heap.h"
#include "libbroker/base/slice.h"

enum {
    PEERS_MAX = 512,         /* more masters than that nobody is told of */
    STEADY_MS = 1000,        /* ready for so long: the next wait is a short one again */
    ASK_MIN_MS = 100,        /* between two looks at the topology */
    ASK_BACKSTOP_MS = 15000, /* looked at so often even if all is well */
};

/* Who is master, of what: made three times. */
struct topology {
    /* At the beginning: -ENOMEM. */
    int (*start)(struct link *l);
    /* That peer is ready; is lost, or could not be connected to. */
    void (*ready)(struct rpeer *p);
    void (*lost)(struct rpeer *p);
    /* The answer to what it asked, COMMAND_SLOTS, EPOCH or MASTER; something said unasked. */
    void (*replied)(struct rpeer *p, enum command_kind kind, const struct redisReply *reply);
    void (*heard)(struct rpeer *p, struct slice channel, struct slice text);
    /* `p` has turned a command away. Where it is to go then: NULL: as its slot. */
    struct rpeer *(*turned)(struct rpeer *p, const struct turned *t);
    /* Once in link_run(). */
    void (*run)(struct link *l);
    /* Whether a MOVED and an ASK can be followed. */
    bool has_slots;
};
extern const struct topology topology_single, topology_cluster, topology_sentinel;

struct lane {
    struct heap_node due; /* link->due, always; key INT64_MAX: nothing */
    struct list back, waiting;
    struct rpeer *on; /* in flight by that one */
    bool asking;      /* those in flight are */
    bool is_refused;  /* somebody heard -EAGAIN */
    uint16_t slot;
    unsigned in_flight;
    unsigned tries;   /* turned away in a row */
    int64_t retry_ms; /* not before */
    uint64_t commands, bytes;
};

struct link {
    struct link_options o;
    struct redis_url url;
    const struct topology *topology;
    struct tls *tls;
    uint64_t random;
    int64_t now_ms;
    uint64_t via; /* last given */
    uint8_t *scratch;

    struct list peers;
    unsigned peers_n;
    struct rpeer *listener; /* NULL: no channels */
    struct rpeer *master;   /* single, Sentinel; NULL: not known */
    uint64_t epoch;         /* Sentinel: the master's election */
    struct rpeer **map;     /* cluster: of each slot; NULL: not known */

    struct lane *lanes[LINK_SLOTS];
    struct heap due;
    bool is_pump_wanted; /* someone became ready, or the map is another */

    int64_t ask_ms;     /* the topology is to be asked for then; INT64_MAX: not */
    int64_t asked_ms;   /* it was, last */
    unsigned ask_tries; /* in a row that came to nothing */

    bool is_begun, is_up, is_refused, is_room, is_marked;
    struct link_counts counts;
    char text[LINK_TEXT_MAX];

    struct slice *channels;
    struct command **prepare; /* encoded once, copied for each connection */
    char *name;
};

/* --------------------------------------------------------------------------------- lane.c, for
 * link.c */

/* The lane of a slot, made if need be. NULL: no memory. */
struct lane *lane_get(struct link *l, uint16_t slot);

/* NULL is fine. Nobody is answered. */
void lane_free(struct lane *lane);

/* May a command of so many bytes come? If not, link->is_room will be set when it may. */
bool lane_has_room(struct link *l, struct lane *lane, size_t size);

/* A new command. No callback is made. */
void lane_add(struct link *l, struct lane *lane, struct command *cmd);

/* Send what can be sent. No callback is made. */
void lane_send(struct link *l, struct lane *lane);

/* What waits may do so for `ms` longer. */
void lane_wait_longer(struct link *l, struct lane *lane, int64_t ms);

/* Answer what has waited too long. */
void lane_expire(struct link *l, struct lane *lane);

/* A reply to a command, which is the callee's; its connection was lost, after it was sent or
 * before. */
void lane_replied(struct rpeer *p, struct command *cmd, const struct redisReply *reply);
void lane_lost(struct rpeer *p, struct command *cmd, bool sent, const char *text);

/* That peer is about to be freed. */
void lane_forget(struct lane *lane, const struct rpeer *p);

/* ------------------------------------------------------------------------- link.c, for the others
 */

/* Something is to be done by link_run(). */
void link_mark(struct link *l);

/* `base` .. twice that, times 2 for each of `tries`, at most `most`; with jitter of a half. */
int64_t link_backoff(struct link *l, unsigned tries, int64_t least, int64_t most);

/* Who is master is to be asked in so many ms, or as soon as it may be. */
void link_ask(struct link *l, int64_t in_ms);

/* What went wrong, for people: "HOST:PORT: ..". */
void link_note(struct link *l, const struct rpeer *p, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Of rpeer.c: a peer is ready; is not any more (its connection is there still, with its commands);
 * has an answer to `cmd`, which is the callee's; was told something unasked. */
void link_peer_ready(struct rpeer *p);
void link_peer_lost(struct rpeer *p, const char *text); /* NULL: it was given up */
void link_peer_replied(struct rpeer *p, struct command *cmd, const struct redisReply *reply);
void link_peer_heard(struct rpeer *p, struct slice channel, struct slice text);

/* Where the listener is to connect to. False: nowhere yet. */
bool link_listener_place(struct link *l, struct redis_host *ret);

/* Free a peer that nothing is on its way by. */
void link_forget_peer(struct link *l, struct rpeer *p);

#endif
