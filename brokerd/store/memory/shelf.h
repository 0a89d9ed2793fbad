/* shelf.h - what the model keeps: queues by name, and in each its messages by number.
 *
 * Shape    A *drawer* is a queue by its name, whether it exists now or not; drawers stay as long as
 *          the shelf. Its messages are one array in the order of their numbers, searched by
 *          halves: nothing here is fast, all of it can be seen to be right.
 *          Shared: a message that somebody has taken has a *holder*. Those without wait; they are
 *          what the limits are about. They are *new*, or *came back*.
 * Owner    The shelf, but for a message that is in no drawer yet.
 * Errors   NULL: -ENOMEM; insist() aborts.
 * Thread   One. */
#ifndef BROKERD_STORE_MEMORY_SHELF_H
#define BROKERD_STORE_MEMORY_SHELF_H

#include "brokerd/store/memory/memory.h"
#include "libbroker/base/list.h"
#include "libbroker/base/map.h"

/* Immutable but for what happens to it: attempts, due, holder. */
struct kept {
    uint64_t seq, id;
    int64_t time_ms, expires_ms, due_ms;
    int64_t gone_ms; /* retained: settled at */
    uint32_t attempts;
    const struct store_queue *holder;
    bool came_back;                    /* shared: somebody had it, and it waits again */
    struct slice topic, headers, data; /* in `bytes`, as is the type's name */
    struct ctype type;
    uint8_t bytes[];
};

struct drawer {
    struct memory_shelf *shelf;
    bool exists;
    uint64_t life; /* rises when it is made and when it is removed */
    struct slice name;
    struct slice filters, wishes; /* owned */
    struct queue_policy policy;
    uint64_t next; /* number of the next message */
    struct kept **msg;
    size_t n, cap;
    struct kept **past; /* settled, and retained; by number, too */
    size_t past_n, past_cap;
    uint64_t bytes;
    uint64_t waiting, waiting_bytes; /* without a holder */
    uint64_t stalled;                /* in that walk over the shelf's requests nothing more of it */
    struct list blocked;             /* requests to put that wait for room */
};

struct memory_shelf {
    bool shared;
    uint64_t random;
    int64_t wall_ms;
    uint64_t limit;
    uint64_t bytes; /* kept, or put and not answered */
    uint64_t walks;
    struct map drawers;
    struct list requests; /* sent out, not carried out */
    struct list stores;
};

/* Memory that must be had: for calls that cannot be refused. */
void *insist(size_t n);

/* A random number below n; whether it happens, `often` of 1,000 times. */
uint64_t shelf_below(struct memory_shelf *shelf, uint64_t n);
bool shelf_chance(struct memory_shelf *shelf, unsigned often);

/* The message `i` of a run, without a number. NULL without memory. */
struct kept *kept_new(const struct run *run, uint32_t i, const struct msg_origin *from);
void kept_say(const struct kept *m, struct stored_message *ret);

/* The drawer of that name, made if need be: NULL without memory. */
struct drawer *drawer_get(struct memory_shelf *shelf, struct slice name);
/* It exists from now on, empty; it does not any more. */
void drawer_make(struct drawer *d);
void drawer_remove(struct drawer *d);
void drawer_define(struct drawer *d, struct slice filters, struct slice wishes);
void drawer_free(struct drawer *d);

/* Where the first message is whose number is at least `seq`; d->n: nowhere. */
size_t drawer_find(const struct drawer *d, uint64_t seq);
/* It is kept: its number is the highest. */
void drawer_keep(struct drawer *d, struct kept *m);
/* The message at place `i` is gone. */
void drawer_drop(struct drawer *d, size_t i);
/* It is settled: gone, or retained for a while. */
void drawer_settle(struct drawer *d, size_t i);
/* What was settled before `gone_ms` or then is not retained any more. */
void drawer_forget(struct drawer *d, int64_t gone_ms);
/* What was settled too long ago, by the policy as it is now. */
void drawer_forget_old(struct drawer *d);
/* The queue goes on at another message. */
void drawer_rewind(struct drawer *d, const struct store_rewind *to);
/* Someone has the message now; NULL: nobody. */
void drawer_hold(struct drawer *d, struct kept *m, const struct store_queue *holder);
/* The place of the oldest that waits and fits (NULL: any does): of those that came back, by when
 * they are due, then of the new ones. d->n: none does. */
size_t drawer_oldest(const struct drawer *d,
                     bool (*fits)(const struct drawer *d, const struct kept *m));
/* What one had is everybody's again, `more` deliveries later. */
void drawer_let_go(struct drawer *d, const struct store_queue *holder, uint32_t more);

/* Is its time over, by its own time to live or the queue's? */
bool drawer_is_over(const struct drawer *d, const struct kept *m);
/* May it be taken now? */
bool drawer_is_free(const struct drawer *d, const struct kept *m);

void drawer_facts(const struct drawer *d, struct store_facts *ret);

#endif
