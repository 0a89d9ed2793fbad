#include "brokerd/core/dedup.h"

#include "brokerd/core/budget.h"
#include "brokerd/core/queue.h"
#include "libbroker/base/hash.h"
#include "libbroker/base/headers.h"

#include <errno.h>
#include <stdlib.h>

/* What is forgotten for each id that comes, at most: more than one, so that many whose time is over
 * do not pile up, and few, so that none has to wait for them all. */
enum { FORGET_MAX = 8 };

struct remembered {
    struct dedup_key key;
    int64_t at_ms : 63;
    bool forgotten : 1; /* and in the index no more; its place goes when its time has come */
};

struct dedup_key dedup_key(const struct core *c, struct slice headers)
{
    uint64_t seed = c->names.seed; /* unguessable, and no other core need know it */
    struct slice id = {0};

    (void)headers_find(headers, SLICE("$dedup"), &id);
    return (struct dedup_key){hash_bytes(seed, id), hash_bytes(hash_pair(seed, seed, 2), id)};
}

static struct dedup *own_dedup(struct queue *q)
{
    struct backlog *b = queue_backlog(q);

    if (!b || b->dedup)
        return b ? b->dedup : NULL;
    b->dedup = calloc(1, sizeof *b->dedup);
    if (b->dedup)
        deque_init(&b->dedup->ids, sizeof(struct remembered));
    return b->dedup;
}

static struct remembered *oldest(const struct dedup *d)
{
    return deque_slot(&d->ids, deque_first(&d->ids));
}

static bool is_over(const struct queue *q, const struct remembered *r)
{
    int64_t window = q->policy->dedup_window_ms;

    return window != POLICY_NEVER && q->core->now_ms - r->at_ms >= window;
}

static struct remembered *find(const struct queue *q, const struct dedup *d, struct dedup_key key)
{
    size_t at = key.hash;
    struct remembered *r;

    while ((r = index_next(&d->index, key.hash, &at)) != NULL)
        if (r->key.hash == key.hash && r->key.check == key.check && !is_over(q, r))
            return r;
    return NULL;
}

/* ---- forgetting */

static void forget_oldest(struct queue *q, struct dedup *d)
{
    struct remembered *r = oldest(d);

    if (!r->forgotten)
        index_del(&d->index, r->key.hash, r);
    deque_pop(&d->ids);
    budget_charge(q->core, -DEDUP_CHARGE);
}

/* Is there no room for one more? No queue's ids may take more of the budget than they leave. */
static bool is_full(const struct queue *q, const struct dedup *d)
{
    uint64_t n = deque_len(&d->ids);

    return n >= q->policy->dedup_max || (int64_t)(n * DEDUP_CHARGE) > budget_left(q->core);
}

static void tell_forgotten(struct queue *q, struct dedup *d)
{
    struct core *c = q->core;
    struct core_event ev = {.kind = EVENT_IDS_FORGOTTEN,
                            .count = ++d->untold,
                            .queue = q->label,
                            .topic = "",
                            .client = ""};

    d->forgotten++;
    if (d->told_ms && c->now_ms < d->told_ms + DEDUP_EVENT_MS)
        return;
    d->untold = 0;
    d->told_ms = c->now_ms;
    c->ops->event(c->ctx, &ev);
}

static void make_room(struct queue *q, struct dedup *d)
{
    for (unsigned i = 0; i < FORGET_MAX && deque_len(&d->ids); i++) {
        bool over = is_over(q, oldest(d));

        if (!over && !is_full(q, d))
            return;
        if (!over)
            tell_forgotten(q, d);
        forget_oldest(q, d);
    }
}

/* ---- what comes */

bool dedup_repeats(struct queue *q, struct dedup_key key)
{
    struct dedup *d = q->backlog->dedup;

    if (!d || !find(q, d, key))
        return false;
    d->repeats++;
    q->core->count.repeats++;
    return true;
}

int dedup_add(struct queue *q, struct dedup_key key)
{
    struct dedup *d = own_dedup(q);
    struct remembered *r;

    if (!d)
        return -ENOMEM;
    if (dedup_repeats(q, key))
        return 1;
    make_room(q, d);
    r = deque_push(&d->ids);
    if (!r)
        return -ENOMEM;
    *r = (struct remembered){key, q->core->now_ms, false};
    if (index_add(&d->index, key.hash, r) < 0) {
        deque_unpush(&d->ids);
        return -ENOMEM;
    }
    budget_charge(q->core, DEDUP_CHARGE);
    if (deque_len(&d->ids) == 1) /* with more the timer is set, if for an earlier time */
        queue_arm(q);
    return 0;
}

void dedup_undo(struct queue *q)
{
    struct dedup *d = q->backlog->dedup;
    struct remembered *r = deque_slot(&d->ids, deque_end(&d->ids) - 1);

    index_del(&d->index, r->key.hash, r);
    deque_unpush(&d->ids);
    budget_charge(q->core, -DEDUP_CHARGE);
    queue_arm(q); /* to be held it may have set the timer, with this id as the last */
}

void dedup_forget(struct queue *q, struct dedup_key key)
{
    struct dedup *d = q->backlog->dedup;
    struct remembered *r = d ? find(q, d, key) : NULL;

    if (!r)
        return;
    index_del(&d->index, key.hash, r);
    r->forgotten = true;
}

/* ---- the end */

static void forget_all(struct queue *q, struct dedup *d)
{
    budget_charge(q->core, -(int64_t)(deque_len(&d->ids) * DEDUP_CHARGE));
    index_fini(&d->index);
    deque_fini(&d->ids);
}

int64_t dedup_due(const struct queue *q)
{
    const struct dedup *d = q->backlog->dedup;
    const struct remembered *last;
    int64_t due;

    if (!d || !deque_len(&d->ids))
        return INT64_MAX;
    last = deque_slot(&d->ids, deque_end(&d->ids) - 1);
    if (__builtin_add_overflow(last->at_ms, q->policy->dedup_window_ms, &due))
        return INT64_MAX;
    return due;
}

void dedup_expire(struct queue *q)
{
    if (dedup_due(q) <= q->core->now_ms)
        forget_all(q, q->backlog->dedup);
}

void dedup_free(struct queue *q)
{
    struct dedup *d = q->backlog->dedup;

    if (!d)
        return;
    forget_all(q, d);
    free(d);
}
