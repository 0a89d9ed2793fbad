/* memory.h - the model of a store: simple and obviously right, what the others are compared with.
 *
 * Why      Tests of the core need a store that answers when they say so, late, or badly; and a
 *          journal or a Redis is right if nobody can tell it from this one. It is no make for a
 *          broker: what it keeps is gone with the process.
 * Shape    A *shelf* keeps what a disk or a Redis would: queues by name, their messages by number.
 *          It outlives the stores that use it: one for each worker, and, of a shared one, of each
 *          node. What a store is asked for is a list of requests; flush() appends it to the
 *          shelf's, and memory_store_answer() carries them out, those of one queue in order, and
 *          answers.
 *          A broker that dies is its stores' memory_store_kill(): of what was sent out and not
 *          answered, some was done, for each queue from the beginning on. What its cores still say
 *          while they are freed is nothing. Then free these stores, and make new ones.
 *          Trouble comes by chance, from a seed: so does how far such a beginning goes.
 * Owner    The caller: stores before the shelf. Cores are borrowed, and must not call a store after
 *          it was freed.
 * Errors   NULL: -ENOMEM. Where the table cannot refuse and there is no memory, it aborts.
 * Thread   One. */
#ifndef BROKERD_STORE_MEMORY_MEMORY_H
#define BROKERD_STORE_MEMORY_MEMORY_H

#include "brokerd/core/store.h"

struct memory_shelf;

/* An empty shelf: exclusive, or shared among nodes. */
struct memory_shelf *memory_shelf_new(bool shared, uint64_t seed);
void memory_shelf_free(struct memory_shelf *shelf); /* NULL is fine */

/* The time there. Shared: what is due, has expired or has waited long enough for room is judged by
 * it, in the next memory_store_answer(). */
void memory_shelf_clock(struct memory_shelf *shelf, int64_t wall_ms);

/* From now on a put that would make more payload bytes than that of all queues together is refused,
 * -ENOSPC; UINT64_MAX at first. */
void memory_shelf_limit(struct memory_shelf *shelf, uint64_t bytes);

/* How often what goes wrong, of 1,000 times. All 0: all is well. */
struct memory_trouble {
    uint16_t late;   /* an answer, and with it those of its queue after it, waits a turn more */
    uint16_t refuse; /* a message is not kept: REASON_STORE */
    uint16_t unsure; /* of those: it is kept though. Shared only */
    uint16_t balk;   /* put() does not even begin: -EAGAIN, -ENOSPC, -EIO; STORED_ROOM comes next */
    uint16_t damage; /* a message turns out to be damaged when it is fetched: STORED_LOST */
    uint16_t shut;   /* a queue cannot be opened */
};

struct memory_options {
    struct memory_shelf *shelf;
    struct core *core;
    void (*answer)(struct core *c, const struct stored *a); /* core_stored */
    unsigned worker; /* number 0 is told of the queues that there are */
    unsigned node;   /* shared: the worker's broker */
};

/* A store for one worker; what it is told of queues at start comes by its first
 * memory_store_answer(). */
struct store *memory_store_new(const struct memory_options *o);

/* Its broker has stopped: all that was asked is done, nothing is answered. NULL is fine. */
void memory_store_free(struct store *s);

/* Its broker has died: see above. It still may be called, and is to be freed, but nothing comes of
 * what it is asked. Shared: what its queues had taken is everybody's again, delivered once more. */
void memory_store_kill(struct store *s);

void memory_store_trouble(struct store *s, const struct memory_trouble *t);

/* Carry out what was sent out, as far as it is this store's to answer, and answer it. To be called
 * between turns, as answers come. How many there were; 0 perhaps for trouble, so see below. */
unsigned memory_store_answer(struct store *s);

/* Nothing asked of this store waits to be sent out, carried out or answered, but for room. */
bool memory_store_idle(const struct store *s);

#endif
