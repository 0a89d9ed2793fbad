/* alarm.h - what the HTTP door has to do at a time, or soon, apart from bytes that come.
 *
 * Why      A stream is kept alive and settles what was seen a while ago; who waits for a message
 *          waits so long. And what the core's callbacks begin, which may not call it, is ended
 * here. Shape    One room a worker (door.h), with a heap of alarms; and those who wait for an
 * answer by number, for answers outlive who asked. Owner    An alarm lies in its owner, who takes
 * it out before he goes. Thread   The worker. */
#ifndef BROKERD_DOORS_HTTP_ALARM_H
#define BROKERD_DOORS_HTTP_ALARM_H

#include "brokerd/doors/door.h"
#include "libbroker/base/heap.h"
#include "libbroker/base/map.h"

struct alarm {
    struct heap_node node;
    /* It is time, and the alarm out again; may set it anew. From nothing of the door. */
    void (*ring)(struct alarm *a, int64_t now_ms);
};

struct alarms {
    struct door_room room;
    struct heap due;
    struct map asked; /* uint64_t, to whoever waits for an answer of that number */
    uint64_t numbered;
    bool draining; /* the broker is about to stop: all rang once for that */
};

/* Those of the link's worker, made if need be. NULL without memory. */
struct alarms *alarms_of(const struct link *l);

/* Set it, or set it to another time. -ENOMEM. */
int alarm_set(struct alarms *all, struct alarm *a, int64_t when_ms);
void alarm_drop(struct alarms *all, struct alarm *a);

#endif
