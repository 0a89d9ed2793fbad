/* suite.h - the same questions to every make of store, asked through its table (core/store.h).
 *
 * Shape    A make brings a table of how it is made, given time and made again (struct make). A
 *          *node* is one worker's struct store of it, with all it has answered (struct heard) in
 *          the order in which that came. Tests ask, then wait until what they expect was heard:
 *          until() gives the make turns until then, and fails after a while.
 *          Payloads tell which message they are of: each has a key, and body_of() makes its bytes.
 * Thread   One, but for what a make has of its own. */
#ifndef TESTS_SUITES_STORES_SUITE_H
#define TESTS_SUITES_STORES_SUITE_H

#include "brokerd/core/store.h"
#include "tests/unit/support.h"

#include <errno.h>

enum { NODES = 2, HEARD_MAX = 400000 };

/* An answer, copied. */
struct heard {
    struct stored a;
    struct stored_message *messages; /* with copies of all they refer to */
    uint8_t *bytes;
};

struct node {
    struct store *store;
    struct heard *heard;
    size_t n, cap;
    struct store_queue **open; /* open_n; a place may be NULL */
    size_t open_n;
};

struct world;

/* A make. What is made lies in w->own, and each node's store in w->node[i].store. */
struct make {
    const char *name;
    bool shared;
    unsigned nodes;                 /* 1; shared: NODES */
    void (*begin)(struct world *w); /* a place to keep things, empty */
    void (*start)(struct world *w); /* all nodes begin with what is kept there */
    /* Send out what was asked, and have answers come to suite_answer(): some, or none after a
     * short while. */
    void (*turn)(struct world *w);
    void (*stop)(struct world *w); /* all nodes that live stop in good order */
    /* One dies: its store is NULL then. NULL: it cannot. Shared only. */
    void (*die)(struct world *w, unsigned node);
    /* Somebody else writes where a queue is kept: how many things. NULL: nobody can. Shared only.
     */
    unsigned (*spoil)(struct world *w, const char *queue);
    void (*end)(struct world *w); /* the place is no more */
};

struct world {
    const struct make *make;
    void *own;
    struct node node[NODES];
    struct seeded random;
};

extern const struct make make_memory, make_memory_shared, make_journal, make_redis;

/* What makes hand their answers to; the node is passed off as a core. */
void suite_answer(struct core *node, const struct stored *a);

static inline int64_t wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* -------------------------------------------------------------------------------- asking */

/* A queue that is open on a node. */
struct opened {
    struct node *node;
    struct store_queue *q;
    handle_t handle;
    struct store_facts facts;   /* as of STORED_OPEN */
    uint64_t label;             /* of the next put: its number, where the core numbers */
    size_t seen;                /* of the node's heard: where the search for puts goes on */
    uint64_t answered, refused; /* puts */
};

/* Open a queue and wait until it is. `policy` NULL: the default. */
struct opened open_queue(struct world *w, unsigned node, const char *name,
                         const struct queue_policy *policy);
struct opened open_defined(struct world *w, unsigned node, const struct store_definition *def,
                           const struct queue_policy *policy);

/* No more of it; and what is open is closed when all stops. */
void close_queue(struct opened *o, bool remove);
void note_open(struct node *node, struct store_queue *q);

/* The payload of a key, in a buffer that the next call uses again; len at least 8, or 0. */
const uint8_t *body_of(uint64_t key, uint32_t len);
/* The key of what came, whose bytes are looked at. */
uint64_t key_of(const struct stored_message *m);

/* Put one run of `n` messages of `len` bytes, keys key, key + 1 ..; as put() returns. */
int put(struct opened *o, uint64_t key, uint32_t n, uint32_t len);
/* The same, and wait until all are kept. Large numbers go in several runs, none of which may be
 * refused for long. */
void put_kept(struct world *w, struct opened *o, uint64_t key, uint32_t n, uint32_t len);
/* Wait until all that was put is answered; none refused. */
void all_kept(struct world *w, struct opened *o);
/* Look through the answers to puts: each message once, in order. */
void count_puts(struct opened *o);

void settle(struct opened *o, enum settle_verb verb, uint64_t seq, uint32_t count,
            uint32_t attempts, int64_t due_ms);

/* -------------------------------------------------------------------------------- waiting */

/* Turns until the condition holds; fails after 20 s. */
#define until(w, condition)                                                                        \
    do {                                                                                           \
        int64_t end_ = wall_ms() + 20000;                                                          \
        while (!(condition)) {                                                                     \
            (w)->make->turn(w);                                                                    \
            ck_assert_msg(wall_ms() < end_, "%s: waited in vain for %s", (w)->make->name,          \
                          #condition);                                                             \
        }                                                                                          \
    } while (0)

/* Nothing put or settled is on its way on any node. */
void until_idle(struct world *w);

/* The answer of that kind for the queue (handle 0: of the store), from *at on, which is then behind
 * it; NULL: none yet. */
const struct heard *find_heard(const struct node *node, enum stored_kind kind, handle_t queue,
                               size_t *at);

/* Ask and wait for the answer, which is good until the next reopen. */
const struct heard *fetch(struct world *w, struct opened *o, uint64_t from, uint32_t n,
                          uint64_t bytes);
const struct heard *peek(struct world *w, struct opened *o, uint64_t from, uint32_t n);
struct store_facts facts_of(struct world *w, struct opened *o);
uint64_t purge(struct world *w, struct opened *o, uint64_t upto, const struct store_settlement *but,
               size_t n);
/* How many messages were lost for that reason, so far. */
uint64_t lost(const struct opened *o, enum reason reason);

/* All that is in a queue, as it can be seen by peek(). */
struct seen {
    uint64_t seq, key; /* key: 0 of an empty payload */
    uint32_t attempts;
    int64_t due_ms;
};

/* In the order of their numbers, at most `max`; how many there are. */
size_t look(struct world *w, struct opened *o, struct seen *list, size_t max);

/* All nodes stop and begin again; nothing is open then, and nothing heard. */
void reopen(struct world *w);

/* ---------------------------------------------------------------------------------- tests */

void add_common(TCase *tc);
void add_exclusive(TCase *tc);
void add_shared(TCase *tc);

/* The world of the test at hand: made before, ended after it. */
extern struct world *world;

#endif
