/* making.h - a queue is made at its home: what it is bound to, its store, and when it may be used.
 *
 * Shape    begin: a queue with its policy; one that is durable is opened by its store first, for
 *          until then nothing could be kept. Then it is bound, and made when all workers know of
 *          its bindings: worker 0 hears of that, or why it could not be (names.h).
 *          A durable one that a store has, or that the settings name, is bound at once: what is
 *          published to its topics must not miss it because its store is late. If it cannot be
 *          opened it is made all the same, takes nothing (held, or refused `store`), and its store
 *          is asked again each second.
 * Thread   The home's worker. */
#ifndef BROKERD_CORE_MAKING_H
#define BROKERD_CORE_MAKING_H

#include "brokerd/core/state.h"

/* A queue that is wanted. */
struct wish {
    struct slice name;
    struct slice filters, headers; /* packed bindings; own settings */
    enum durable level;            /* to the home: what keeps it */
    bool found;                    /* the same: a store has it */
};

/* Is there that header? */
bool making_wish_says(const struct wish *w, struct slice name, struct slice wanted);

/* Make it here. */
void making_begin(struct core *c, const struct wish *w);

/* Its store has opened it, or could not. */
void making_opened(struct queue *q, const struct stored *a);

/* Its store has been late with opening it, or is to be asked again. */
struct storage;
void making_open_due(struct storage *d);

/* If all workers know of its bindings, and its store need not be waited for: it is made. */
void making_seen(struct queue *q);

/* A queue that is there has these bindings and settings now, by another node's doing. Bindings that
 * are no more stay until it is opened next: nobody takes any away. */
void making_learn(struct core *c, handle_t queue, const struct wish *w);

#endif
