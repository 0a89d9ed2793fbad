#include "brokerd/core/replay.h"

#include "brokerd/core/deliver.h"
#include "brokerd/core/durable.h"
#include "brokerd/core/queue.h"
#include "libbroker/base/rfc3339.h"
#include "libbroker/base/units.h"

#include <errno.h>
#include <stdio.h>

int replay_parse(struct slice value, struct replay *ret)
{
    struct replay r = {.wanted = true};

    if (slice_eq(value, SLICE("new")))
        r.wanted = false;
    else if (slice_eq(value, SLICE("first")))
        r.to.to = REWIND_FIRST;
    else if (slice_eq(value, SLICE("last")))
        r.to.to = REWIND_LAST;
    else if (units_parse_count(value, 0, &r.to.seq) == 0)
        r.to.to = REWIND_SEQ;
    else if (rfc3339_parse(value, &r.to.time_ms) == 0)
        r.to.to = REWIND_TIME;
    else
        return -EINVAL;
    *ret = r;
    return 0;
}

int replay_check(const struct queue *q, const struct replay *r, struct refusal *why)
{
    const struct storage *d = q->backlog->stored;
    enum reason reason = REASON_INVALID;
    const char *text = NULL;

    if (!r->wanted)
        return 0;
    if (d && !d->open) {
        reason = REASON_STORE;
        text = "$from: the queue's store has not opened it yet";
    } else if (!d || !d->store->ops->rewind) {
        text = "$from: only \"new\" is possible, this queue keeps no past";
    } else if (q->backlog->taps_n || q->backlog->inflight) {
        text = "$from: only \"new\" is possible while others have messages of the queue";
    }
    if (!text)
        return 0;
    why->reason = reason;
    snprintf(why->text, sizeof why->text, "%s: %s", reason_name(reason), text);
    return -EINVAL;
}

/* All that waits, but what is unstored, is only in the store now. */
static void leave_memory(struct storage *d)
{
    struct backlog *b = d->queue->backlog;
    uint64_t n = b->waiting - durable_unstored(d), bytes = b->bytes - d->unstored_bytes;

    queue_forget(d->queue); /* `w` is 0 from now on: what gets stored is away, too */
    durable_stand(d, 0, n, bytes);
}

int replay_begin(struct tap *t, const struct replay *r)
{
    struct queue *q = t->queue;
    struct storage *d = q->backlog->stored;
    int err;

    if (!t->custody->handle)
        t->custody->handle = slots_put(&q->core->slots, SLOT_TAP, t);
    if (!t->custody->handle)
        return -ENOMEM;
    durable_hand_over(d);
    err = d->store->ops->rewind(d->at, &r->to, t->custody->handle);
    if (err < 0)
        return err;
    t->stopped = true;
    d->rewinds++;
    leave_memory(d);
    return 0;
}

/* All that was put before is answered. */
void replay_take(struct queue *q, const struct stored *a)
{
    struct tap *t = slots_get(&q->core->slots, SLOT_TAP, a->token);
    struct storage *d = q->backlog->stored;
    struct refusal why = {.reason = a->reason};

    if (!d->rewinds)
        return;
    d->rewinds--; /* if not the last, who asked has gone, and another has asked since */
    if (a->reason == REASON_NONE)
        durable_stand_as(d, &a->facts);
    else /* all that there is, wherever it begins */
        durable_stand(d, 1, d->away_n, d->away_bytes);
    if (!t)
        return;
    if (a->reason != REASON_NONE) {
        snprintf(why.text, sizeof why.text, "%s: $from: %s", reason_name(a->reason),
                 a->text ? a->text : "the queue's store cannot do that");
        tap_refuse(t, &why);
        return;
    }
    t->stopped = t->parted;
    tap_look(t);
}
