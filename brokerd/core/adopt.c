#include "brokerd/core/adopt.h"

#include "brokerd/core/consume.h"
#include "brokerd/core/deliver.h"
#include "brokerd/core/durable.h"
#include "brokerd/core/found.h"
#include "brokerd/core/queue.h"
#include "brokerd/core/shared_policy.h"
#include "brokerd/core/tap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------- settings */

/* It stays where it is; people hear that the settings have it otherwise. */
static void keep_level(struct core *c, struct slice name, enum durable level,
                       struct queue_policy *policy)
{
    char text[200];

    if (policy->durable == level)
        return;
    snprintf(text, sizeof text,
             "the settings say durable = %s; the queue stays in %s: move its messages to another "
             "one, and delete it",
             durable_name(policy->durable), durable_name(level));
    found_tell(c, name, REASON_NONE, text);
    policy->durable = level;
    policy->replicas = 0;
}

int adopt_policy(struct core *c, const struct adopt *a, struct queue_policy *ret,
                 struct refusal *why)
{
    bool facts; /* its consumer's affair */
    int r = consume_policy(c, POLICY_QUEUE, a->name, a->headers, ret, &facts, why);

    if (r < 0 && !a->found)
        return r;
    if (r < 0) /* written by another version, perhaps: what the settings say is always right */
        (void)consume_policy(c, POLICY_QUEUE, a->name, slice_of(NULL, 0), ret, &facts, why);
    keep_level(c, a->name, a->level, ret);
    return 0;
}

static struct slice wish_of(const struct queue *q)
{
    const struct kept_wish *kept = q->backlog->wish;

    return kept ? slice_of(kept->headers, kept->n) : slice_of(NULL, 0);
}

static void find_policy(const struct queue *q, struct queue_policy *ret)
{
    enum policy_kind kind = q->is_named ? POLICY_QUEUE : POLICY_SUBSCRIPTION;
    struct refusal why; /* the wish was granted once: it is not refused now */
    bool facts;

    (void)consume_policy(q->core, kind, slice_str(q->label), wish_of(q), ret, &facts, &why);
    if (q->is_named)
        keep_level(q->core, slice_str(q->label), q->policy->durable, ret);
}

void adopt_learned(struct queue *q)
{
    const struct queue_policy *shared;
    struct queue_policy policy;

    find_policy(q, &policy);
    shared = policy_share(q->core, &policy);
    if (!shared) { /* it keeps its old limits */
        q->core->count.reason[REASON_MEMORY]++;
        return;
    }
    policy_unshare(q->core, q->policy);
    q->policy = shared;
    if (q->backlog->waiting)
        q->backlog->expiry_ms = q->core->now_ms; /* look again */
    offer_admit(q);
    if (q->policy->overflow != OVERFLOW_BLOCK) /* or what comes next would overtake them */
        offer_end_holds(q, REASON_FULL);
    queue_arm(q);
    for (struct tap *t = tap_first(q); t; t = tap_next(t))
        tap_look(t);
    deliver_later(q);
}

void adopt_again(struct queue *q)
{
    adopt_learned(q);
    adopt_define(q);
}

/* -------------------------------------------------------------------------- what stores know */

int adopt_definition(const struct queue *q, struct store_open *ret, uint8_t **ret_bytes)
{
    struct filter_walk w = {0};
    struct slice filter;
    size_t n = 0;
    uint8_t *p;

    while (queue_next_filter(q, &w, &filter))
        n += 1 + filter.n;
    p = *ret_bytes = malloc(n + 1);
    if (!p)
        return -ENOMEM;
    for (w = (struct filter_walk){0}; queue_next_filter(q, &w, &filter); p += filter.n) {
        *p++ = (uint8_t)filter.n;
        memcpy(p, filter.p, filter.n);
    }
    *ret = (struct store_open){
        .def = {slice_str(q->label), slice_of(*ret_bytes, n), wish_of(q)},
        .policy = q->policy,
    };
    return 0;
}

void adopt_define(struct queue *q)
{
    const struct storage *d = q->backlog->stored;
    struct store_open o;
    uint8_t *bytes;

    if (!d)
        return;
    if (!d->open) { /* the store hears of it when it is */
        q->backlog->redefine = true;
        return;
    }
    if (adopt_definition(q, &o, &bytes) < 0) {
        q->core->count.reason[REASON_MEMORY]++;
        return;
    }
    d->store->ops->define(d->at, &o);
    free(bytes);
}
