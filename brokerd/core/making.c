#include "brokerd/core/making.h"

#include "brokerd/core/adopt.h"
#include "brokerd/core/consume.h"
#include "brokerd/core/deliver.h"
#include "brokerd/core/durable.h"
#include "brokerd/core/found.h"
#include "brokerd/core/names.h"
#include "brokerd/core/queue.h"
#include "libbroker/base/headers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

bool making_wish_says(const struct wish *w, struct slice name, struct slice wanted)
{
    struct slice value;

    return w->headers.n && headers_find(w->headers, name, &value) && slice_eq(value, wanted);
}

static bool is_unbound(const struct wish *w)
{
    return making_wish_says(w, SLICE("$bind"), SLICE("none"));
}

/* What a store has kept may be of another version, or broken. */
static int plan_packed(struct queue *q, struct slice filters, bool found)
{
    while (filters.n) {
        struct slice filter = slice_of(filters.p + 1, filters.p[0]);
        const char *error = NULL;
        int r;

        if (found && filter.n >= filters.n)
            error = "its bindings are broken";
        else if (found)
            error = name_filter_error(filter);
        if (error)
            found_tell(q->core, slice_str(q->label), REASON_INVALID, error);
        if (found && filter.n >= filters.n)
            return 0;
        r = error ? 0 : names_plan(q, filter);
        if (r < 0)
            return r;
        filters = slice_from(filters, 1 + filter.n);
    }
    return 0;
}

/* The filters its store knows of, or its maker named; else those of the settings, else its own name
 * as a topic, unless its maker wants none. */
static int plan_bindings(struct queue *q, const struct wish *w)
{
    const struct policy_rule *rule = policy_set_find_queue(q->core->policies, w->name);

    if (w->found || w->filters.n)
        return plan_packed(q, w->filters, w->found);
    for (size_t i = 0; i < rule->n_binds; i++) {
        int r = names_plan(q, slice_str(rule->binds[i]));

        if (r < 0)
            return r;
    }
    if (!rule->n_binds && !is_unbound(w) && !name_topic_error(w->name, NAME_OF_CLIENT))
        return names_plan(q, w->name);
    return 0;
}

void making_seen(struct queue *q)
{
    struct core_event ev = {.kind = EVENT_QUEUE_MADE, .queue = q->label, .topic = "", .client = ""};

    q->making = false;
    if (q->backlog->idle_since_ms !=
        INT64_MAX) /* unused from now on, not while nobody knew of it */
        q->backlog->idle_since_ms = q->core->now_ms;
    queue_arm(q);
    q->core->ops->event(q->core->ctx, &ev);
    names_report_made(q->core, slice_str(q->label), q->handle, REASON_NONE);
}

/* It cannot be made after all; frees it. */
static void make_fails(struct queue *q, enum reason reason)
{
    struct refusal nobody = {.reason = REASON_NONE};
    struct core *c = q->core;
    char name[NAME_MAX_BYTES + 1];

    snprintf(name, sizeof name, "%s", q->label);
    queue_end(q, REASON_NONE, &nobody);
    names_report_made(c, slice_str(name), 0, reason);
}

static enum reason reason_of(int error)
{
    return error == -ENOSPC ? REASON_LIMIT : REASON_MEMORY;
}

/* It may be published to: it is made when all workers know that. */
static void bind_new(struct queue *q)
{
    int answers = names_bind_planned(q);

    if (answers < 0) {
        make_fails(q, reason_of(answers));
        return;
    }
    q->backlog->unseen = (unsigned)answers;
    if (!q->backlog->unseen)
        making_seen(q);
}

/* A durable one is opened by its store first: until then nothing could be kept. */
static int open_new(struct queue *q)
{
    struct store_open o;
    uint8_t *bytes;
    int r = adopt_definition(q, &o, &bytes);

    if (r < 0)
        return r;
    r = durable_open(q, q->core->stores[q->policy->durable], &o);
    free(bytes);
    return r;
}

void making_opened(struct queue *q, const struct stored *a)
{
    struct storage *d = q->backlog->stored;
    bool redefine = q->backlog->redefine;

    if (!q->making || !d || d->open)
        return;
    q->backlog->redefine = false;
    if (a->reason == REASON_NONE) {
        durable_begin(q, &a->facts);
        if (redefine)
            adopt_define(q);
        bind_new(q);
        return;
    }
    found_tell(q->core, slice_str(q->label), a->reason, a->text ? a->text : "it cannot be opened");
    d->at = NULL; /* it is closed */
    make_fails(q, a->reason);
}

void making_begin(struct core *c, const struct wish *w)
{
    const struct adopt a = {w->name, w->headers, w->level, w->found};
    struct queue_policy policy;
    struct refusal why;
    struct queue *q;
    int r;

    if (adopt_policy(c, &a, &policy, &why) < 0) {
        names_report_made(c, w->name, 0, why.reason);
        return;
    }
    if (w->level != DURABLE_MEMORY && !c->stores[w->level]) {
        found_tell(c, w->name, REASON_STORE, "it is durable, and there is no such store here");
        names_report_made(c, w->name, 0, REASON_STORE);
        return;
    }
    q = queue_new(c, true, w->name, &policy);
    if (!q) {
        names_report_made(c, w->name, 0, REASON_MEMORY);
        return;
    }
    q->making = true;
    r = consume_keep_wish(q, w->headers);
    if (r == 0)
        r = plan_bindings(q, w);
    if (r == 0 && w->level != DURABLE_MEMORY)
        r = open_new(q);
    if (r < 0)
        make_fails(q, reason_of(r));
    else if (w->level == DURABLE_MEMORY)
        bind_new(q);
}

static bool is_bound(const struct queue *q, struct slice filter)
{
    for (const struct binding *b = q->bindings; b; b = b->next)
        if (slice_eq(binding_filter(b), filter))
            return true;
    return false;
}

void making_learn(struct core *c, handle_t queue, const struct wish *w)
{
    struct queue *q = slots_get(&c->slots, SLOT_QUEUE, queue);
    struct slice rest = w->filters;

    if (!q || q->making)
        return;
    while (rest.n && rest.p[0] < rest.n) {
        struct slice filter = slice_of(rest.p + 1, rest.p[0]);

        if (!name_filter_error(filter) && !is_bound(q, filter) && names_bind(q, filter, 0) < 0)
            c->count.reason[REASON_MEMORY]++;
        rest = slice_from(rest, 1 + filter.n);
    }
    if (consume_keep_wish(q, w->headers) < 0)
        c->count.reason[REASON_MEMORY]++;
    adopt_learned(q);
}
