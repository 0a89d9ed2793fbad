/* why.h - what is known about something that may be held up: gathered from all workers by
 * why.c, put into sentences by explain.c.
 *
 * Owner    struct why is its ask's. Everything in it is a copy: no worker's thing is kept.
 * Thread   That of the ask at the time. */
#ifndef BROKERD_ADMIN_WHY_H
#define BROKERD_ADMIN_WHY_H

#include "brokerd/admin/internal.h"
#include "libbroker/base/name.h"

enum { WHY_QUEUES = 64, WHY_TAPS = 128, WHY_PUBLISHERS = 64, WHY_TARGETS = 64, WHY_NAME = 256 };

/* What something has to do with the thing asked for; bits. */
enum {
    BY_NAME = 1,   /* a queue: it is the one */
    BY_TOPIC = 2,  /* a queue that the topic reaches; a publisher that sends to it */
    BY_CLIENT = 4, /* a publisher or a queue of that client */
    BY_HOLD = 8,   /* a publisher held in front of a queue */
};

struct why_queue {
    uint64_t id;
    unsigned by;
    char name[WHY_NAME];
    struct inspect_queue q; /* its texts are not to be used, nor is its policy */
    uint64_t max_messages, max_bytes;
    const char *overflow;       /* static */
    bool store_is_down;         /* as it says of itself: full, stuck or away */
    char store_text[WHY_NAME];  /* why it has not opened the queue; "" */
    char dead_letter[WHY_NAME]; /* where its dead letters go, as in the settings */
};

struct why_tap {
    size_t queue; /* index */
    struct inspect_tap t;
    bool found; /* the connection's side, too: */
    char client[WHY_NAME];
    uint64_t client_id, credit;
    bool has_room;
};

struct why_publisher {
    uint64_t id;
    unsigned by;
    char client[WHY_NAME], to[WHY_NAME];
    bool to_queue, starved;
    uint64_t open;
    int64_t waiting_ms;
};

struct why_target {
    char name[WHY_NAME];
    bool is_queue;
};

struct why_service {
    bool found;
    unsigned servers;
    uint64_t open, waiting;
};

struct why {
    const char *what;
    uint64_t queue_id, client_id; /* if it is such an id; else 0 */
    bool is_client, is_topic;
    char client[WHY_NAME]; /* its name, and the door it came through */
    char door[32];
    uint64_t own_id;            /* of the client */
    struct why_service service; /* of that name */
    int64_t memory_left;
    uint64_t memory;

    struct why_queue queues[WHY_QUEUES];
    struct why_tap taps[WHY_TAPS];
    struct why_publisher publishers[WHY_PUBLISHERS];
    struct why_target targets[WHY_TARGETS];
    size_t queues_n, taps_n, publishers_n, targets_n;
    json_t *stores; /* by name, as the call `stores` tells them; NULL: none */
};

/* Put it into a->answer. */
void why_explain(const struct why *w, json_t *answer);

#endif
