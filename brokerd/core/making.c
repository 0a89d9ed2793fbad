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

enum {
    OPEN_LATE_MS = 2000,  /* a store that has not opened a queue by then is not waited for */
    OPEN_AGAIN_MS = 1000, /* one that could not is asked again after so long */
};

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

static void is_made(struct queue *q)
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

/* Its store is asked for the first time, and may still be expected to answer. */
static bool is_opening(const struct storage *d)
{
    return d && !d->open && d->at && !d->late;
}

void making_seen(struct queue *q)
{
    if (q->making && !q->backlog->unseen && !is_opening(q->backlog->stored))
        is_made(q);
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
    making_seen(q);
}

/* ----------------------------------------------------------------------- with a store */

/* A durable one that nobody expects to be there is opened first, and then bound. */
static int open_new(struct queue *q, bool stays)
{
    struct store_open o;
    uint8_t *bytes;
    int r = adopt_definition(q, &o, &bytes);

    if (r < 0)
        return r;
    r = durable_open(q, q->core->stores[q->policy->durable], &o);
    free(bytes);
    if (r < 0)
        return r;
    q->backlog->stored->stays = stays;
    heap_update(&q->core->timers, &q->backlog->stored->timer.node,
                stays ? q->core->now_ms + OPEN_LATE_MS : INT64_MAX);
    return 0;
}

/* People hear once that it is not open, and once that it is. */
static void tell_late(struct queue *q, enum reason reason, const char *text)
{
    struct storage *d = q->backlog->stored;
    char all[256];

    if (d->late)
        return;
    d->late = true;
    snprintf(all, sizeof all, "store \"%s\" has not opened it: %.160s; until then nothing is taken",
             d->store->ops->name, text);
    found_tell(q->core, slice_str(q->label), reason, all);
}

/* What lies there cannot be told from what is not: nobody may miss it. */
static void not_opened(struct queue *q, const struct stored *a)
{
    struct storage *d = q->backlog->stored;

    q->core->count.unopened++;
    if (!d->stays) {
        found_tell(q->core, slice_str(q->label), a->reason,
                   a->text ? a->text : "it cannot be opened");
        d->at = NULL;
        make_fails(q, a->reason);
        return;
    }
    durable_not_opened(d, a->text);
    heap_update(&q->core->timers, &d->timer.node, q->core->now_ms + OPEN_AGAIN_MS);
    tell_late(q, a->reason, a->text ? a->text : "it cannot");
    making_seen(q);
}

static void opened(struct queue *q, const struct stored *a)
{
    const struct storage *d = q->backlog->stored;
    bool redefine = q->backlog->redefine;

    q->backlog->redefine = false;
    durable_begin(q, &a->facts);
    if (redefine)
        adopt_define(q);
    if (d->late)
        found_tell(q->core, slice_str(q->label), REASON_NONE, "its store has opened it at last");
    queue_arm(q); /* it may expire from now on */
    if (d->stays)
        making_seen(q);
    else
        bind_new(q);
}

void making_opened(struct queue *q, const struct stored *a)
{
    const struct storage *d = q->backlog->stored;

    if (!d || d->open || !d->at)
        return;
    if (a->reason == REASON_NONE)
        opened(q, a);
    else
        not_opened(q, a);
}

void making_open_due(struct storage *d)
{
    struct queue *q = d->queue;
    struct store_open o;
    uint8_t *bytes;

    if (d->at) { /* it has not answered */
        heap_update(&q->core->timers, &d->timer.node, INT64_MAX);
        tell_late(q, REASON_STORE, "it does not answer");
        making_seen(q);
        return;
    }
    heap_update(&q->core->timers, &d->timer.node, q->core->now_ms + OPEN_AGAIN_MS);
    if (adopt_definition(q, &o, &bytes) < 0)
        return;
    if (durable_open_again(q, &o) == 0)
        heap_update(&q->core->timers, &d->timer.node, INT64_MAX);
    free(bytes);
}

/* ------------------------------------------------------------------------------- begin */

/* Is it one that is to be there whether or not its store can open it: do others rely on that? */
static bool is_expected(const struct core *c, const struct wish *w)
{
    const struct policy_rule *rule = policy_set_find_queue(c->policies, w->name);

    return w->found || slice_eq(slice_str(rule->filter), w->name);
}

void making_begin(struct core *c, const struct wish *w)
{
    const struct adopt a = {w->name, w->headers, w->level, w->found};
    struct queue_policy policy;
    struct refusal why;
    bool stays = w->level != DURABLE_MEMORY && is_expected(c, w);
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
        r = open_new(q, stays);
    if (r < 0)
        make_fails(q, reason_of(r));
    else if (stays || w->level == DURABLE_MEMORY)
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
