/* outlet.h - messages between brokers: what others want goes out, what they publish comes in.
 *
 * Why      Brokers that share topics (brokerd/nodes) are one to their clients. The core need not
 *          know how they speak, only three things: which filters clients here want, which queue is
 *          the way out, and which messages came in that way.
 * Shape    core --wanted()--> nodes              a filter is wanted by a queue here, or no more
 *          outlet: a subscription of an endpoint of the broker's own, bound to what others want
 *          foreign: what another broker published. It is offered neither to the outlet (no echo)
 *          nor to queues in a store that brokers share: who published it has put it there.
 *          Queues in such stores want nothing of others, for the same reason. Neither do filters
 *          that begin with `$`: what a broker says of itself stays there.
 * Errors   As core.h.
 * Thread   The core's worker. The outlet is one broker's one, on worker 0. */
#ifndef BROKERD_CORE_OUTLET_H
#define BROKERD_CORE_OUTLET_H

#include "brokerd/core/core.h"

struct binding;
struct queue;

/* From now on tell of each queue that binds itself to a filter, or is no longer bound to it: as
 * often as it was told `on`. From within the core, which must not be called back. Before the first
 * queue. */
void core_set_wanted(struct core *c, void (*wanted)(void *ctx, struct slice filter, bool on),
                     void *ctx);

/* A subscription that nothing is bound to yet, for one endpoint of the broker's own; it is told the
 * facts of messages. Errors as core_attach(). */
int core_outlet_open(struct endpoint *ep, void *ctx, struct consumer **ret,
                     struct refusal *ret_why);
/* Bind it to a filter, which it must not be bound to yet. -ENOMEM. */
int core_outlet_bind(struct consumer *outlet, struct slice filter);
/* Bound to it no more. All must be unbound before the outlet's endpoint is closed. */
void core_outlet_unbind(struct consumer *outlet, struct slice filter);
/* What is left of the time to live of the i-th message that deliver() was handed, ms; 0: it lives
 * on. Only from within deliver() of an outlet. */
int64_t core_outlet_ttl(const struct consumer *outlet, const struct delivery *d, uint32_t i);
/* Messages that wait there. */
uint64_t core_outlet_waiting(const struct consumer *outlet);

/* What a message has from where it was published. */
struct origin {
    uint64_t id; /* of the first; the others follow */
    int64_t time_ms;
};

/* As core_publish() to a topic, on a PUBLISH_WINDOW publisher, but the run was published by another
 * broker. Never waits in front of a full queue. */
int core_publish_foreign(struct publisher *p, struct slice topic, const struct run *run,
                         const struct origin *from, struct refusal *ret_why);

/* Of what other brokers published some did not come, of whatever topics: who consumes from a queue
 * that could have had any of it hears of a gap, REASON_NODE and of unknown size, with the next
 * delivery. This core's queues. */
void core_foreign_missed(struct core *c);

/* ---------------------------------------------------------------------- for files of the core */

/* May that queue have what another broker published? */
bool outlet_takes_foreign(const struct core *c, const struct queue *q);

/* `q` is bound to `filter`; `b` is the binding, NULL: it is the queue's label. */
void outlet_want(struct queue *q, struct slice filter, struct binding *b);
/* It is about to be bound to nothing. */
void outlet_unwant(struct queue *q);

#endif
