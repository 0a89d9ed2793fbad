/* slots.h - which slot of a Cluster a key is in, which node a slot is at, and what Redis says when
 *           it turns a command away.
 *
 * Shape    Pure functions of text and replies.
 * Owner    What is returned points into what was given.
 * Errors   -EPROTO: that is not what it should be.
 * Thread   Any. */
#ifndef BROKERD_STORE_REDIS_SLOTS_H
#define BROKERD_STORE_REDIS_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "brokerd/store/redis/link.h"

struct redisReply;

/* CRC16 as Redis has it: XMODEM. */
uint16_t slots_crc16(struct slice bytes);

/* An error by which Redis turns a command away without having executed it. */
enum turn {
    TURN_NOT,     /* it is another error, or none */
    TURN_MOVED,   /* the slot is at another node, which it names */
    TURN_ASK,     /* this key is, while its slot is on the way there */
    TURN_LATER,   /* in a moment: LOADING, TRYAGAIN, CLUSTERDOWN, NOREPLICAS, BUSY */
    TURN_REPLICA, /* the master is another by now: READONLY, MASTERDOWN */
};

struct turned {
    enum turn turn;
    uint16_t slot;        /* MOVED, ASK */
    struct redis_host at; /* the same; name "": the host that answered */
};

/* Which of them `reply` is. One that names a node by nonsense is TURN_NOT. */
struct turned slots_turned(const struct redisReply *reply);

/* One line of CLUSTER SLOTS. */
struct slots_range {
    uint16_t first, last;
    struct redis_host master; /* name "": the host that answered */
};

/* The i-th line of the reply to CLUSTER SLOTS. -EPROTO. */
int slots_range(const struct redisReply *reply, size_t i, struct slots_range *ret);

/* The answer to SENTINEL MASTER, keys and values as texts: the number of the election that made it
 * the master. -EPROTO. */
int slots_epoch(const struct redisReply *reply, uint64_t *ret);

/* Host and port as two texts: the answer to SENTINEL GET-MASTER-ADDR-BY-NAME. -EPROTO; *ret is
 * then as it was. */
int slots_address(const struct redisReply *reply, struct redis_host *ret);

#endif
