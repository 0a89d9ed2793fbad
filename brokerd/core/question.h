/* question.h - what is asked of a queue's store for people, and answered turns later.
 *
 * Shape    A question waits in the core's list under a token that goes to the store and comes back.
 *          It is over when it is answered, when its queue is gone, or after QUESTION_MS.
 * Owner    Whoever asked closes it (manage.h); what was answered is the question's.
 * Thread   The queue's worker. */
#ifndef BROKERD_CORE_QUESTION_H
#define BROKERD_CORE_QUESTION_H

#include "brokerd/core/manage.h"
#include "brokerd/core/state.h"
#include "brokerd/core/store.h"

enum {
    QUESTION_MS = 10000,
    PEEKED_BYTES = 4 << 20, /* of messages that are kept for people, one at least */
};

/* Messages of one answer. */
struct peeked {
    struct list_node link;
    uint32_t n;
    struct stored_message messages[]; /* then the bytes of all */
};

struct question {
    struct core *core;
    struct list_node link; /* in core->questions until it is over */
    handle_t queue;
    uint64_t token;
    int64_t until_ms;
    enum reason reason; /* REASON_NONE: it was answered */
    uint64_t count;     /* purged, of what this core did not know of */
    uint32_t wanted;    /* peeked: so many more */
    bool cut;           /* there were more */
    bool has_facts;
    struct store_facts facts;
    struct list peeked; /* struct peeked */
    int64_t charged;
};

/* A question about `q`, with a token of its own. NULL without memory. */
struct question *question_new(struct queue *q);

/* The first `n` messages of its store from a number on. -ENOMEM. */
int question_peek(struct queue *q, uint64_t from, uint32_t n, struct question **ret);

/* STORED_PEEKED, PURGED, FACTS. */
void questions_take(struct queue *q, const struct stored *a);

/* A queue is gone: what was asked of it is over. */
void questions_end(struct core *c, handle_t queue);

#endif
