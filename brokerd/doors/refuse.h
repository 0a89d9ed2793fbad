/* refuse.h - how a door words a refusal.
 *
 * Why      Every door says the same: the reason's word, then what a person can do something with.
 * Thread   Any; pure. */
#ifndef BROKERD_DOORS_REFUSE_H
#define BROKERD_DOORS_REFUSE_H

#include "brokerd/core/core.h"

/* Fill in a refusal: "WORD: TEXT", cut to what fits. */
void refuse(struct refusal *ret, enum reason reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* -ENOMEM as a refusal. */
void refuse_memory(struct refusal *ret);

/* The outcome of a message as its error: `full: queue "a" is full; 1 of 3 queues accepted`. */
void refuse_outcome(struct refusal *ret, const struct outcome *o);

/* `s` if it is printable and of a bearable length, else "?": for error texts. `buf` is used. */
const char *shown(struct slice s, char *buf, size_t size);

#endif
