/* found.h - the stores of a core, and the queues that lie in them when it begins.
 *
 * Why      A queue that a store keeps is there before anybody names it, or what is published to its
 *          topics meanwhile would miss it.
 * Shape    Stores tell worker 0 of what they have (STORED_FOUND .. STORED_ALL_FOUND). It has each
 *          made on its home, hash(name) % workers, as the store knew it. Whoever wishes for a queue
 *          before all stores have told waits: it may be one of those. A name belongs to the store
 *          that told of it first.
 * Owner    Stores are main's, and outlive the core.
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_FOUND_H
#define BROKERD_CORE_FOUND_H

#include "brokerd/core/state.h"

/* Something of a queue and its store that people should know: `text`. */
void found_tell(struct core *c, struct slice queue, enum reason reason, const char *text);

/* The level of a core's store; DURABLE_MEMORY if it is none of them. */
enum durable found_level(const struct core *c, const struct store *s);

#endif
