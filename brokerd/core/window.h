/* window.h - the part of a durable queue that is in memory: how messages come into it from the
 * store, and how its end is cut.
 *
 * Why      Apart from what is put and confirmed (durable.h): this is what a long backlog costs.
 * Shape    A fetch fills the fifo by number, with holes where few numbers are missing; what was
 *          delivered before goes to `back`, and so does all of an answer in which most numbers are
 *          missing. One fetch at a time; what comes of one that a cut or a purge has overtaken is
 *          not taken.
 * Thread   The queue's worker. */
#ifndef BROKERD_CORE_WINDOW_H
#define BROKERD_CORE_WINDOW_H

#include "brokerd/core/durable.h"

/* What could be delivered now, in bytes of payload and places. Delayed messages do not count: they
 * stay however large the window may be. */
uint64_t window_bytes(const struct storage *d);

/* What was unstored enters as the fifo's last, if there is room; its reference passes. False: it
 * does not. */
bool window_push(struct storage *d, uint64_t seq, struct msg *m);

/* No more of the budget may be in windows than they leave to all else. Is it so? And: cut them
 * until it is. */
bool window_affords(struct core *c);
void window_shrink(struct core *c);

/* Let go of the last message, which stays in the store. False: there is none that may go. */
bool window_cut(struct storage *d);

/* What is on its way in a fetch counts no more. */
void window_has_come(struct storage *d);

/* A message of the store's, in memory: one reference, the caller's. NULL without memory. */
struct msg *window_keep(struct storage *d, const struct stored_message *s);

/* What was fetched has come. */
void window_take(struct storage *d, const struct stored *a);

/* Fetch if it is time to. Shared: give back what nobody here will take. */
void window_fetch(struct storage *d);

#endif
