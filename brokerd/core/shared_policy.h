/* shared_policy.h - one copy of a policy for all the queues that have the same.
 *
 * Why      A policy is a third of a kilobyte, and 10,000 subscriptions nearly always have one
 *          and the same.
 * Owner    Counted references, not atomic: a policy never leaves its core. The core remembers
 *          the one made last, without counting itself.
 * Errors   NULL without memory.
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_SHARED_POLICY_H
#define BROKERD_CORE_SHARED_POLICY_H

#include "brokerd/core/state.h"

/* A lasting copy of `p`, the one made last if that is the same; one reference, the caller's. */
const struct queue_policy *policy_share(struct core *c, const struct queue_policy *p);

/* Drop a reference. NULL is fine. */
void policy_unshare(struct core *c, const struct queue_policy *p);

#endif
