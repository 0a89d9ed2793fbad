/* refuse.h - how a door words what became of a message, and what it was sent.
 *
 * Why      Every door says the same, as the core does (refusal.h).
 * Thread   Any; pure. */
#ifndef BROKERD_DOORS_REFUSE_H
#define BROKERD_DOORS_REFUSE_H

#include "brokerd/core/refusal.h"
#include "brokerd/doors/door.h"

/* The outcome of a message as its error: `full: queue "a" is full; 1 of 3 queues accepted`. */
void refuse_outcome(struct refusal *ret, const struct outcome *o);

/* As what a connection ends that is closed with this refusal. */
enum link_end refusal_end(const struct refusal *why);

/* `s` if it is printable and of a bearable length, else "?": for error texts. `buf` is used. */
const char *shown(struct slice s, char *buf, size_t size);

#endif
