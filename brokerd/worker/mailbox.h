/* mailbox.h - where a worker finds what others sent it.
 *
 * Why      Cores live on one thread each and still must speak: without a lock, and with a
 *          system call only if the other sleeps.
 * Shape    A list that any thread pushes onto in one step and its owner takes whole. What it
 *          holds are batches: pieces of memory with entries one after the other. The eventfd
 *          is edge-triggered and never read.
 * Owner    A batch in the list is the mailbox's; whoever takes it, has it.
 * Thread   push, wake: any. take, sleep, awake: the one owner's. */
#ifndef BROKERD_WORKER_MAILBOX_H
#define BROKERD_WORKER_MAILBOX_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brokerd/core/entry.h"

enum {
    CACHE_LINE = 64,
    BATCH_BYTES = 64 * 1024 - 64, /* room of an ordinary batch */
    BATCH_OUTSIDE = 0xffff        /* `from` of a batch that no worker sent: freed when read */
};

struct batch {
    struct batch *next;
    uint16_t from, to; /* worker numbers; the batch goes back to `from` when it was read */
    bool is_read;      /* on its way back */
    size_t used, cap;  /* of bytes */
    size_t weight;     /* of entries without credit, and of blocks they refer to */
    alignas(8) uint8_t bytes[];
};

/* A batch with room for `cap` bytes; NULL without memory. Ordinary ones are the kernel's pages, not
 * the allocator's: what a storm of subscriptions needed of them left holes of 40 bytes a connection
 * in the heap. */
struct batch *batch_new(size_t cap);
void batch_free(struct batch *b);

/* Room for `size` bytes (a multiple of 8, at most cap - used) at its end, as an entry with size
 * and from set. */
struct entry *batch_add(struct batch *b, size_t size);

/* The entry at *at, which moves on; NULL at the end. Start with *at 0. */
struct entry *batch_next(struct batch *b, size_t *at);

struct mailbox {
    alignas(CACHE_LINE) _Atomic(struct batch *) head; /* newest first */
    alignas(CACHE_LINE) atomic_bool asleep;
    int fd; /* eventfd */
};

/* Make it empty in place. -errno of eventfd(). */
int mailbox_init(struct mailbox *m);

/* Close it; batches left are the caller's to take before. */
void mailbox_fini(struct mailbox *m);

/* Put in a chain of batches that is linked from `newest` to `oldest` by next. Does not wake. */
void mailbox_push(struct mailbox *m, struct batch *newest, struct batch *oldest);

/* Wake the owner if it sleeps or is about to. True if it had to be woken. */
bool mailbox_wake(struct mailbox *m);

/* All that is there, oldest first, linked by next; NULL if empty. */
struct batch *mailbox_take(struct mailbox *m);

bool mailbox_is_empty(struct mailbox *m);

/* The owner is about to sleep: whoever pushes from now on must wake it. It has to look once
 * more after that, at all that may be pushed. */
void mailbox_sleep(struct mailbox *m);

/* The owner is awake. */
void mailbox_awake(struct mailbox *m);

#endif
