#include "brokerd/core/manage.h"

#include "brokerd/core/budget.h"
#include "brokerd/core/deliver.h"
#include "brokerd/core/names.h"
#include "brokerd/core/publish.h"
#include "brokerd/core/queue.h"

#include <errno.h>
#include <stdlib.h>

enum { MOVE_BATCH = 64, MOVE_BYTES = 1 << 20 };

static struct queue *queue_of(struct core *c, uint64_t id)
{
    struct queue *q = slots_get(&c->slots, SLOT_QUEUE, id);

    return q && !q->making ? q : NULL;
}

int core_queue_purge(struct core *c, uint64_t queue, uint64_t *ret)
{
    struct queue *q = queue_of(c, queue);

    if (!q)
        return -ENOENT;
    *ret = queue_purge(q, REASON_PURGED);
    deliver_later(q); /* what was held has room now */
    return 0;
}

int core_queue_delete(struct core *c, uint64_t queue, uint64_t *ret_lost)
{
    struct queue *q = queue_of(c, queue);

    if (!q || !q->is_named)
        return -ENOENT;
    *ret_lost = q->backlog->waiting + q->backlog->inflight;
    names_delete(q, REASON_DELETED);
    return 0;
}

/* -------------------------------------------------------------------------------- moving */

/* What is on its way: flight i is message i of the publisher. */
struct move {
    struct core *core;
    handle_t queue, to;
    struct endpoint *ep;
    struct publisher *publisher;
    struct deque flights; /* struct flight; in the queue's books they are in flight, too */
    uint64_t left, done;
    enum reason reason;
    bool ended; /* no more are taken */
    size_t name_n;
    char name[]; /* of the queue they go to */
};

static void not_accepted(struct move *m, enum reason reason)
{
    m->ended = true;
    if (m->reason == REASON_NONE)
        m->reason = reason;
}

/* One message has arrived, or goes back to its place. */
static void settle_one(struct move *m, struct flight *f, bool arrived)
{
    struct queue *q = slots_get(&m->core->slots, SLOT_QUEUE, m->queue);

    if (q)
        q->backlog->inflight--;
    if (!q) { /* the queue has been deleted meanwhile */
        budget_charge(m->core, -PLACE_CHARGE);
        budget_unref(m->core, f->msg);
    } else if (arrived) {
        queue_let_go(q, f->msg);
    } else {
        queue_put_back(q, f, 0);
    }
    f->msg = NULL;
    if (arrived)
        m->done++;
    if (q)
        deliver_later(q);
}

static void trim(struct move *m)
{
    while (deque_len(&m->flights) &&
           !((struct flight *)deque_slot(&m->flights, deque_first(&m->flights)))->msg)
        deque_pop(&m->flights);
}

static void on_settled(void *ctx, uint64_t upto, const struct outcome *o, size_t n)
{
    struct move *m = ctx;

    (void)upto;
    for (; n--; o++) {
        bool arrived = o->reason == REASON_NONE && o->accepted;

        for (uint64_t i = o->first; i < o->first + o->count; i++) {
            struct flight *f = deque_at(&m->flights, i);

            if (f && f->msg)
                settle_one(m, f, arrived);
        }
        if (!arrived)
            not_accepted(m, o->reason);
    }
    trim(m);
}

static void on_granted(void *ctx, uint32_t n)
{
    (void)ctx; /* moved messages need no credit: there is one batch at a time */
    (void)n;
}

static const struct endpoint_ops move_ops = {
    .door = "admin", .settled = on_settled, .granted = on_granted};

int core_move_open(struct core *c, uint64_t queue, struct slice to, uint64_t n, struct move **ret)
{
    const struct endpoint_desc d = {.name = "move", .is_broker = true};
    const struct queue *q = queue_of(c, queue);
    const struct named *target = map_get(&c->names, to);
    struct move *m;
    int r;

    if (!q || !target || target->state != NAMED_KNOWN)
        return -ENOENT;
    m = calloc(1, sizeof *m + to.n);
    if (!m)
        return -ENOMEM;
    m->core = c;
    m->queue = queue;
    m->to = target->queue;
    m->name_n = to.n;
    memcpy(m->name, to.p, to.n);
    m->left = queue_ready(q) < n ? queue_ready(q) : n;
    deque_init(&m->flights, sizeof(struct flight));
    deque_start_at(&m->flights, 1);
    r = core_endpoint_open(c, &d, &move_ops, m, &m->ep);
    if (r == 0)
        r = core_publisher_open(m->ep, PUBLISH_WINDOW, m, &m->publisher);
    if (r < 0) {
        core_move_close(m);
        return r;
    }
    *ret = m;
    return 0;
}

/* Take the queue's head and send it on. False if there is none. */
static bool move_one(struct move *m, struct queue *q, uint64_t *bytes)
{
    struct flight *f;
    struct head h;

    if (!queue_head(q, &h))
        return false;
    f = deque_push(&m->flights);
    if (!f) {
        not_accepted(m, REASON_MEMORY);
        return false;
    }
    *f = (struct flight){.msg = h.msg,
                         .seq = h.seq,
                         .since_ms = h.since_ms,
                         .deadline_ms = INT64_MAX,
                         .attempts = h.attempts};
    queue_take(q, &h);
    q->backlog->inflight++;
    m->left--;
    *bytes += f->msg->len;
    if (publish_moved(m->publisher, m->to, slice_of(m->name, m->name_n), f->msg) < 0) {
        settle_one(m, f, false);
        not_accepted(m, REASON_MEMORY);
    }
    return true;
}

enum move_state core_move_step(struct move *m)
{
    struct queue *q = slots_get(&m->core->slots, SLOT_QUEUE, m->queue);
    uint64_t bytes = 0;

    if (deque_len(&m->flights)) /* one batch at a time */
        return MOVE_WAITS;
    for (unsigned i = 0; q && !m->ended && m->left && i < MOVE_BATCH && bytes < MOVE_BYTES; i++)
        if (!move_one(m, q, &bytes))
            m->ended = true;
    trim(m);
    return deque_len(&m->flights) ? MOVE_SENT : MOVE_OVER;
}

uint64_t core_move_done(const struct move *m, enum reason *ret_reason)
{
    *ret_reason = m->reason;
    return m->done;
}

void core_move_stop(struct move *m)
{
    m->ended = true;
}

void core_move_close(struct move *m)
{
    if (!m)
        return;
    for (; deque_len(&m->flights); deque_pop(&m->flights)) {
        struct flight *f = deque_slot(&m->flights, deque_first(&m->flights));

        if (f->msg)
            settle_one(m, f, false);
    }
    deque_fini(&m->flights);
    core_endpoint_close(m->ep);
    free(m);
}
