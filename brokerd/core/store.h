/* store.h - what keeps a durable queue: a table of functions, and the answers they give.
 *
 * Why      The core knows when a message is to be kept and when it is gone, and nothing of disks
 *          and networks. A store knows those, and nothing of publishers and consumers.
 *
 *              offer --> queue --put--> store --STORED_PUT--> window in memory --> deliver
 *                          | settle -----^      fetch, STORED_MESSAGES --^
 *              publisher <-- confirm, when stored
 *
 * Shape    A make of store (brokerd/store/memory, journal, redis) gives each worker one struct
 *          store, with its table. Calls only note what is wanted: they never block and never call
 *          back. What a turn has said goes out by flush(), at its end. Answers come in later turns
 *          by core_stored(), each for one queue by its handle; one that finds no queue is of no
 *          consequence. Of one queue they come in the order of what they answer.
 *
 *          A store is *exclusive* (memory, journal) or *shared* (redis), as its table says:
 *
 *                       exclusive                          shared with other nodes
 *            numbers    the core gives them: 1, 2, 3..     the store does; `first` of put() is a
 *                       never used again                   mere label for the answer
 *            limits     the core's: it knows all that      the store's, by the policy it is told:
 *                       waits                              others put, too. A put of a queue that
 *                                                          blocks waits there for its deadline
 *            fetch      reads again what is kept, from a   takes what no node has, as many as its
 *                       number on                          consumers would take and no more; it is
 *                                                          this node's until settled
 *            returned   a note of attempts and due time;   it is everybody's again: the core keeps
 *                       the core has the message           nothing of it, a fetch brings it
 *
 *          Always: a message is delivered only when stored; put() is answered only when it is kept
 *          as the queue's level promises (docs/stores.md); a settlement may be lost if the broker
 *          dies soon after it, which costs a delivery more, never a message.
 * Owner    A call borrows all it is given, and so does core_stored().
 * Errors   As each function says. What fails later comes as an answer with a reason: REASON_STORE
 *          (the store failed, or does not answer), REASON_FULL, REASON_MEMORY.
 * Thread   The worker's. */
#ifndef BROKERD_CORE_STORE_H
#define BROKERD_CORE_STORE_H

#include "brokerd/core/message.h"
#include "brokerd/core/slots.h"
#include "libbroker/base/policy.h"
#include "libbroker/base/reason.h"

struct core;
struct store;
struct store_queue; /* a make's own: a queue that is open */

enum {
    STORE_UNSTORED_MAX = 16384,      /* messages of a queue put and not answered, at most */
    STORE_UNSTORED_BYTES = 16 << 20, /* the same in bytes; one message is always taken */
    STORE_FETCH_BYTES = 1 << 20,     /* of one answer, or one message */
};

/* What a queue is, for the store to keep and for others to find. */
struct store_definition {
    struct slice name;
    struct slice filters; /* its bindings: (u8 length, filter)* */
    struct slice wishes;  /* own settings, as headers in the neutral form */
};

struct store_open {
    struct store_definition def;
    const struct queue_policy *policy; /* shared: limits, overflow, TTL, replicas are the store's to
                                        * heed; exclusive: how long to retain, and nothing else */
};

enum settle_verb {
    SETTLE_GONE,     /* acked, rejected, expired, dropped, purged: it is no more */
    SETTLE_RETURNED, /* it was delivered `attempts` times and came back, due at due_ms */
};

struct store_settlement {
    enum settle_verb verb;
    uint32_t count; /* seq .. seq + count - 1 */
    uint64_t seq;
    uint32_t attempts; /* returned */
    int64_t due_ms;    /* returned: wall clock; 0: at once */
};

/* Where a queue is to go on (`$from`). */
enum rewind_to {
    REWIND_FIRST, /* the first that waits or is retained */
    REWIND_LAST,  /* the last that was put, if it is there still; else nothing waits */
    REWIND_SEQ,   /* that number, or the next that is there */
    REWIND_TIME,  /* the first that was published then (wall clock) or later */
};

struct store_rewind {
    enum rewind_to to;
    uint64_t seq;
    int64_t time_ms;
};

struct store_ops {
    const char *name; /* as in the settings: "journal"; static */
    bool shared;

    /* The queue of that name, made if need be. Answered by STORED_OPEN. NULL: -ENOMEM. */
    struct store_queue *(*open)(struct store *s, const struct store_open *o, handle_t queue);
    /* It has other bindings or settings now, or another policy to heed. */
    void (*define)(struct store_queue *q, const struct store_open *o);
    /* Messages, numbered from `first` on, are to be kept. `from` tells of all: topic, type, time,
     * and the id of the first, the others' follow; a view's TTL counts from that time. Answered by
     * STORED_PUT, in order, each message once. -EAGAIN: too much is on its way
     * (STORE_UNSTORED_MAX), nothing was taken, STORED_ROOM will come; -ENOSPC: the store is full;
     * -EIO: it is out of order. Without a STORED_ROOM: -EMSGSIZE, one is larger than it can ever
     * keep; -ENOMEM. */
    int (*put)(struct store_queue *q, uint64_t first, const struct run *run,
               const struct msg_origin *from);
    /* The next messages: exclusive, from number `from` on; shared (from 0), those that nobody has.
     * At most n, and about `bytes`. Answered by one STORED_MESSAGES. One at a time for a queue:
     * not before the last was answered. */
    void (*fetch)(struct store_queue *q, uint64_t from, uint32_t n, uint64_t bytes);
    /* What became of messages. Cannot be refused, is not answered. */
    void (*settle)(struct store_queue *q, const struct store_settlement *s, size_t n);
    /* For people: up to n messages from a number on, in order of numbers, whatever state they are
     * in. Nothing is taken. Answered by STORED_PEEKED with the token. -ENOMEM. */
    int (*peek)(struct store_queue *q, uint64_t from, uint32_t n, uint64_t token);
    /* All up to number `upto` are gone, but for those in `but` (n ranges, ascending): exclusive,
     * they are in the consumers' hands. Shared: all that nobody has. Answered by STORED_PURGED.
     * -ENOMEM. */
    int (*purge)(struct store_queue *q, uint64_t upto, const struct store_settlement *but, size_t n,
                 uint64_t token);
    /* The queue goes on at another message: of all that it has, and of what is settled but retained
     * (policy->retain_ms since then), everything from there on waits, as if never delivered, and
     * everything before it is settled. Nothing is in flight; settlements were told before. Answered
     * by STORED_REWOUND, in order with what is put and fetched. -ENOMEM. NULL: it keeps no past. */
    int (*rewind)(struct store_queue *q, const struct store_rewind *to, uint64_t token);
    /* How it stands. Answered by STORED_FACTS. A shared store may tell so unasked, too, with token
     * 0. -ENOMEM. */
    int (*ask)(struct store_queue *q, uint64_t token);
    /* No more calls and no more answers: `q` is the store's to free. `remove`: the queue is deleted
     * with all it holds (shared: for all nodes), and stays so; else it is as it was when it is
     * opened next. */
    void (*close)(struct store_queue *q, bool remove);
    /* End of the turn: what was gathered goes out. */
    void (*flush)(struct store *s);
    /* Is anything put or settled that is not kept yet? For a broker that stops. */
    bool (*busy)(const struct store *s);
    /* What of it is full, in a few words for people: "max-disk 1GiB". NULL: it cannot tell. */
    void (*say_full)(const struct store *s, char *buf, size_t size);
    /* Are there a few puts out, whose answer may come at any moment? Who asks may stay awake for
     * it. NULL: that cannot be said. */
    bool (*soon)(const struct store *s);
};

/* The first member of a make's own struct. */
struct store {
    const struct store_ops *ops;
};

/* --------------------------------------------------------------------------------- answers */

enum stored_kind {
    STORED_OPEN, /* it may be used; or reason says why not, and it is closed */
    STORED_PUT,  /* first, count: kept (REASON_NONE), or refused for a reason. Shared, where there
                  * is a dead-letter topic and REASON_DROP_NEWEST: with the messages, for what
                  * was put is not in memory any more */
    STORED_ROOM, /* put() after -EAGAIN, -ENOSPC or -EIO may be tried again */
    STORED_MESSAGES, /* what was fetched */
    STORED_PEEKED,
    STORED_PURGED, /* count */
    STORED_FACTS,
    STORED_REWOUND, /* facts: as it stands now; or reason says why it stands as before */
    STORED_LOST, /* the store has lost or dropped `count` messages for `reason`: to be counted, and
                  * the consumers told. Shared: drop-oldest, expired, attempts. All: REASON_STORE,
                  * damaged ones */
    STORED_DEAD, /* shared, where there is a dead-letter topic: these wait no more, for a reason
                  * (drop-oldest, expired), and are this node's as if fetched: dead letters are made
                  * of them, and then they are settled */
    STORED_NEWS, /* shared: there may be something to fetch */
    /* Of the store, to worker 0's core; queue is 0. */
    STORED_FOUND, /* it has a queue (def) that is to be made: at start; shared: made elsewhere, or
                   * it has other bindings or settings there now */
    STORED_ALL_FOUND, /* that were all at start */
    STORED_REMOVED,   /* shared: the queue def.name was deleted elsewhere */
};

/* How a queue stands in the store. */
struct store_facts {
    uint64_t next;            /* exclusive: the number that the next message is to have */
    uint64_t first;           /* the least that is there; next: none is */
    uint64_t messages, bytes; /* there are; bytes of payload */
    uint64_t returned;        /* of those, were delivered before or are delayed */
    uint64_t disk;            /* bytes that they take, as far as that can be said */
    int64_t oldest_ms;        /* wall clock, when the first was published; 0: there is none */
};

/* Borrowed for the call. */
struct stored_message {
    uint64_t seq, id;
    int64_t time_ms;    /* wall clock, published */
    int64_t expires_ms; /* wall clock; INT64_MAX never */
    int64_t due_ms;     /* wall clock; not to be delivered before */
    uint32_t attempts;  /* deliveries so far that are known of */
    struct slice topic, headers, data;
    struct ctype type;
};

struct stored {
    enum stored_kind kind;
    const struct store *store; /* found, all_found, removed: whose it is; else it may be NULL */
    handle_t queue;
    uint64_t token; /* peeked, purged, facts, rewound: as asked */
    enum reason reason;
    uint64_t first; /* put: as it was called with. messages: what was asked from */
    uint64_t count; /* put, purged, lost */
    uint64_t upto;  /* messages, exclusive: from `first` up to here there are these and no others */
    const struct stored_message *messages; /* messages, peeked, dead; put, dropped as the newest */
    uint32_t n;
    struct store_facts facts;    /* open, facts, rewound */
    struct store_definition def; /* found, removed */
    const char *text;            /* more about a reason, for people; or NULL */
};

/* An answer; in any turn, before core_tick(). */
void core_stored(struct core *c, const struct stored *a);

/* The store that queues of that level have from now on, before the first turn. The core borrows it
 * for life. */
void core_set_store(struct core *c, enum durable level, struct store *s);

/* Are all queues that stores have found at start open, as far as this core knows? Nothing should be
 * published before. */
bool core_has_found(const struct core *c);

#endif
