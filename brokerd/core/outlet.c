#include "brokerd/core/outlet.h"

#include "brokerd/core/durable.h"
#include "brokerd/core/loss.h"
#include "brokerd/core/names.h"
#include "brokerd/core/queue.h"

#include <errno.h>

/* ------------------------------------------------------------------------- what is wanted here */

void core_set_wanted(struct core *c, void (*wanted)(void *ctx, struct slice filter, bool on),
                     void *ctx)
{
    c->wanted = wanted;
    c->wanted_ctx = ctx;
}

static bool is_shared(const struct queue *q)
{
    return q->backlog->stored && q->backlog->stored->shared;
}

static bool is_own(struct slice filter)
{
    return filter.n && filter.p[0] == '$';
}

void outlet_want(struct queue *q, struct slice filter, struct binding *b)
{
    struct core *c = q->core;

    if (!c->wanted || is_own(filter) || is_shared(q))
        return;
    if (b)
        b->is_wanted = true;
    c->wanted(c->wanted_ctx, filter, true);
}

void outlet_unwant(struct queue *q)
{
    struct core *c = q->core;
    struct slice label = slice_str(q->label);

    if (!c->wanted)
        return;
    if (!q->is_named && q->bindings_n && !is_own(label))
        c->wanted(c->wanted_ctx, label, false);
    for (const struct binding *b = q->bindings; b; b = b->next)
        if (b->is_wanted)
            c->wanted(c->wanted_ctx, binding_filter(b), false);
}

/* ---------------------------------------------------------------------------------- the outlet */

/* A name that no client can publish to, and that the settings may have a section for. */
#define OUTLET_LABEL "$nodes"

int core_outlet_open(struct endpoint *ep, void *ctx, struct consumer **ret, struct refusal *ret_why)
{
    static const uint8_t facts[] = "\6$facts\0\1"
                                   "1";
    const struct slice label = SLICE(OUTLET_LABEL);
    struct consume_options o = {.filters = &label,
                                .filters_n = 1,
                                .credit = CORE_UNLIMITED,
                                .headers = slice_of(facts, sizeof facts - 1)};
    int r = core_attach(ep, &o, ctx, ret, ret_why);

    if (r == 0)
        ep->core->outlet = (*ret)->tap->queue;
    return r;
}

int core_outlet_bind(struct consumer *outlet, struct slice filter)
{
    struct queue *q = outlet->tap->queue;
    int r = tree_bind(q->core->tree, filter, q);

    if (r < 0)
        return r;
    names_announce(q->core, filter, true, 0);
    return 0;
}

void core_outlet_unbind(struct consumer *outlet, struct slice filter)
{
    struct queue *q = outlet->tap->queue;

    if (tree_unbind(q->core->tree, filter, q) == 1)
        names_announce(q->core, filter, false, 0);
}

int64_t core_outlet_ttl(const struct consumer *outlet, const struct delivery *d, uint32_t i)
{
    const struct core *c = outlet->ep->core;
    int64_t expires_ms;

    if (d->run.v != c->views) /* it has not waited */
        return d->run.v[i].meta ? d->run.v[i].meta->ttl_ms : 0;
    expires_ms = c->taken[i]->expires_ms;
    if (expires_ms == INT64_MAX)
        return 0;
    return expires_ms > c->now_ms ? expires_ms - c->now_ms : 1;
}

uint64_t core_outlet_waiting(const struct consumer *outlet)
{
    return outlet->tap ? outlet->tap->queue->backlog->waiting : 0;
}

static bool wants_foreign(const struct queue *q)
{
    struct filter_walk w = {0};
    struct slice filter;

    if (!outlet_takes_foreign(q->core, q))
        return false;
    while (queue_next_filter(q, &w, &filter))
        if (!is_own(filter))
            return true;
    return false;
}

void core_foreign_missed(struct core *c)
{
    struct queue *q;

    for (uint32_t at = 0; (q = slots_next(&c->slots, SLOT_QUEUE, &at)) != NULL;)
        if (wants_foreign(q))
            loss_elsewhere(q);
}

bool outlet_takes_foreign(const struct core *c, const struct queue *q)
{
    return q != c->outlet && !is_shared(q);
}
